//! Versions and how they come and go: rollouts, rollbacks, hooks, and what ECS manages for them.

pub mod hook;
pub mod managed;
pub mod protection;
pub mod rollback;
pub mod rollout;
pub mod version;
