//! Who could get in.

use crate::check::Check;

mod balancer_open_to_world;
mod ingress_wider_than_expected;
mod open_rule_beside_narrow_one;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[balancer_open_to_world::CHECK, open_rule_beside_narrow_one::CHECK, ingress_wider_than_expected::CHECK];
