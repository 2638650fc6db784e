//! How requests come in: load balancers and their rules, target groups and health checks, who is let
//! in and by what.

pub mod answers;
pub mod entry;
pub mod exposed;
pub mod gateway;
pub mod health_check;
pub mod inbound_rules;
pub mod instance;
pub mod probe;
pub mod request;
pub mod task_access;
pub mod traffic;
pub mod web_acl;
