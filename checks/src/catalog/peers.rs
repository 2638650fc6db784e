//! From service to service.

use crate::check::Check;

mod calls_sibling_over_internet;
mod cloud_map_stale;
mod database_blocked;
mod database_not_available;
mod peer_security_group_blocks;
mod secret_rotated_since_start;
mod service_connect_client_stale;
mod service_connect_namespace_differs;
mod service_connect_port_unknown;
mod service_connect_starved;
mod service_discovery_not_provisioned;
mod sibling_locked_out;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    calls_sibling_over_internet::CHECK,
    sibling_locked_out::CHECK,
    service_connect_client_stale::CHECK,
    service_connect_port_unknown::CHECK,
    service_connect_namespace_differs::CHECK,
    service_connect_starved::CHECK,
    peer_security_group_blocks::CHECK,
    cloud_map_stale::CHECK,
    database_blocked::CHECK,
    database_not_available::CHECK,
    service_discovery_not_provisioned::CHECK,
    secret_rotated_since_start::CHECK,
];
