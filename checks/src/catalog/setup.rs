//! Settings that hurt.

use crate::check::Check;

mod deletion_stuck;
mod desired_zero;
mod drain_shorter_than_requests;
mod grace_period_too_short;
mod logs_missing;
mod platform_version_old;
mod saturated;
mod scaling_at_maximum;
mod scaling_metric_blind;
mod scaling_suspended;
mod service_not_active;
mod single_task;
mod spot_drops_requests;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    grace_period_too_short::CHECK,
    drain_shorter_than_requests::CHECK,
    single_task::CHECK,
    desired_zero::CHECK,
    scaling_at_maximum::CHECK,
    scaling_suspended::CHECK,
    saturated::CHECK,
    spot_drops_requests::CHECK,
    service_not_active::CHECK,
    logs_missing::CHECK,
    platform_version_old::CHECK,
    deletion_stuck::CHECK,
    scaling_metric_blind::CHECK,
];
