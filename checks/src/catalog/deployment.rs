//! How the new version is doing: stuck, rolled back, baking, and what stopped it.

use crate::check::Check;

mod alarm_already_firing;
mod alarm_blind_to_idle_group;
mod alarm_counts_client_errors;
mod alarm_rolled_back;
mod baking;
mod both_versions_running;
mod canary_starved_of_traffic;
mod circuit_breaker_keeps_resetting;
mod circuit_breaker_off;
mod circuit_breaker_stalled;
mod deployment_rolled_back;
mod deployment_stuck;
mod digest_not_resolved;
mod express_strategy_locked;
mod infrastructure_role_denied;
mod lifecycle_hook_failed;
mod listener_rule_unfit;
mod managed_resource_failed;
mod old_targets_draining;
mod other_controller;
mod pause_hook_waiting;
mod percent_deadlock;
mod rollback_failed;
mod rollback_looks_like_success;
mod rollback_target_unfit;
mod scheduler_throttled;
mod stage_timeout_near;
mod superseded;
mod task_protection_holds;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    deployment_stuck::CHECK,
    deployment_rolled_back::CHECK,
    rollback_failed::CHECK,
    rollback_looks_like_success::CHECK,
    alarm_rolled_back::CHECK,
    alarm_counts_client_errors::CHECK,
    alarm_already_firing::CHECK,
    alarm_blind_to_idle_group::CHECK,
    canary_starved_of_traffic::CHECK,
    baking::CHECK,
    both_versions_running::CHECK,
    percent_deadlock::CHECK,
    circuit_breaker_off::CHECK,
    circuit_breaker_keeps_resetting::CHECK,
    circuit_breaker_stalled::CHECK,
    lifecycle_hook_failed::CHECK,
    pause_hook_waiting::CHECK,
    stage_timeout_near::CHECK,
    listener_rule_unfit::CHECK,
    infrastructure_role_denied::CHECK,
    old_targets_draining::CHECK,
    task_protection_holds::CHECK,
    digest_not_resolved::CHECK,
    rollback_target_unfit::CHECK,
    managed_resource_failed::CHECK,
    express_strategy_locked::CHECK,
    superseded::CHECK,
    other_controller::CHECK,
    scheduler_throttled::CHECK,
];
