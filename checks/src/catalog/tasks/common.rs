//! What only the checks of tasks share.

pub(super) mod reasons;
