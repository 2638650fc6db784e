//! Settings that hurt.

use crate::check::Check;

mod desired_zero;
mod single_task;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[single_task::CHECK, desired_zero::CHECK];
