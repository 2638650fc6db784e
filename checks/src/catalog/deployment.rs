//! How the new version is doing: stuck, rolled back, baking, and what stopped it.

use crate::check::Check;

mod deployment_rolled_back;
mod rollback_failed;
mod rollback_looks_like_success;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    deployment_rolled_back::CHECK,
    rollback_failed::CHECK,
    rollback_looks_like_success::CHECK,
];
