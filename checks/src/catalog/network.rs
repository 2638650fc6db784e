//! What can reach what: security groups between balancer and tasks.

use crate::check::Check;

mod task_security_group_blocks_balancer;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[task_security_group_blocks_balancer::CHECK];
