//! Settings that hurt.

use crate::check::Check;

mod desired_zero;
mod drain_shorter_than_requests;
mod grace_period_too_short;
mod saturated;
mod scaling_at_maximum;
mod scaling_suspended;
mod single_task;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    grace_period_too_short::CHECK,
    drain_shorter_than_requests::CHECK,
    single_task::CHECK,
    desired_zero::CHECK,
    scaling_at_maximum::CHECK,
    scaling_suspended::CHECK,
    saturated::CHECK,
];
