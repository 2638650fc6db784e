//! What only the checks of tasks share.

pub(super) mod fixes;
pub(super) mod reasons;
