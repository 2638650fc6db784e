//! From the client to a target: load balancer, listener rules, target groups and their health checks.

use crate::check::Check;

mod health_check_wrong_answer;
mod target_group_empty;

/// In the order of the causal chain, symptom to cause; equal findings are reported in this order.
pub(super) const CHECKS: &[Check] = &[target_group_empty::CHECK, health_check_wrong_answer::CHECK];
