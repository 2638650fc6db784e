//! From the client to a target: load balancer, listener rules, target groups and their health checks.

use crate::check::Check;

mod balancer_answers_503;
mod health_check_refused;
mod health_check_times_out;
mod health_check_wrong_answer;
mod rule_never_reached;
mod rule_points_at_empty_group;
mod target_group_empty;
mod target_warming_up;
mod targets_failing_open;
mod targets_unhealthy;
mod targets_unused;
mod traffic_split_over_empty_group;

/// In the order of the causal chain, symptom to cause; equal findings are reported in this order.
pub(super) const CHECKS: &[Check] = &[
    balancer_answers_503::CHECK,
    target_group_empty::CHECK,
    targets_unused::CHECK,
    targets_unhealthy::CHECK,
    targets_failing_open::CHECK,
    target_warming_up::CHECK,
    health_check_wrong_answer::CHECK,
    health_check_refused::CHECK,
    health_check_times_out::CHECK,
    rule_points_at_empty_group::CHECK,
    rule_never_reached::CHECK,
    traffic_split_over_empty_group::CHECK,
];
