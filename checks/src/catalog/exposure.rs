//! Who could get in.

use crate::check::Check;

mod balancer_open_to_world;
mod ingress_wider_than_expected;
mod internal_service_published;
mod no_web_acl;
mod open_rule_beside_narrow_one;
mod plain_http_served;
mod task_directly_reachable;
mod tls_policy_old;
mod web_acl_can_be_bypassed;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    balancer_open_to_world::CHECK,
    open_rule_beside_narrow_one::CHECK,
    ingress_wider_than_expected::CHECK,
    task_directly_reachable::CHECK,
    no_web_acl::CHECK,
    web_acl_can_be_bypassed::CHECK,
    plain_http_served::CHECK,
    tls_policy_old::CHECK,
    internal_service_published::CHECK,
];
