//! What can reach what: security groups between balancer and tasks, and the tasks' way out.

use crate::check::Check;

mod no_route_out;
mod public_ip_missing;
mod task_security_group_blocks_balancer;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[task_security_group_blocks_balancer::CHECK, no_route_out::CHECK, public_ip_missing::CHECK];
