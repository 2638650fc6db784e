//! What can reach what: security groups between balancer and tasks.

use crate::check::Check;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[];
