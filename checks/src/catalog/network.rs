//! What can reach what: security groups between load balancer and tasks, and the tasks' way out.

use crate::check::Check;

mod balancer_closed_to_clients;
mod balancer_closed_to_ipv6;
mod balancer_egress_blocked;
mod balancer_in_private_subnet;
mod balancer_internal;
mod balancer_ipv6_not_routed;
mod endpoint_captures_public_api;
mod endpoint_unfit;
mod network_acl_blocks;
mod no_route_out;
mod peer_route_missing;
mod public_ip_missing;
mod task_egress_blocked;
mod task_security_group_blocks_balancer;
mod vpc_dns_off;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    task_security_group_blocks_balancer::CHECK,
    balancer_egress_blocked::CHECK,
    balancer_closed_to_clients::CHECK,
    balancer_closed_to_ipv6::CHECK,
    balancer_ipv6_not_routed::CHECK,
    network_acl_blocks::CHECK,
    no_route_out::CHECK,
    peer_route_missing::CHECK,
    public_ip_missing::CHECK,
    endpoint_unfit::CHECK,
    endpoint_captures_public_api::CHECK,
    task_egress_blocked::CHECK,
    balancer_internal::CHECK,
    balancer_in_private_subnet::CHECK,
    vpc_dns_off::CHECK,
];
