//! What only the report asks: the path of a request drawn, the rollout told, what changed, what
//! happened. A view names no trouble, and no check reads one.

pub mod diff;
pub mod digests;
pub mod progress;
pub mod request_path;
pub mod timeline;
pub mod trail;
