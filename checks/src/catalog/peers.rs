//! From service to service.

use crate::check::Check;

mod calls_sibling_over_internet;
mod database_blocked;
mod database_not_available;
mod peer_security_group_blocks;
mod service_connect_client_stale;
mod service_connect_namespace_differs;
mod service_connect_port_unknown;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    calls_sibling_over_internet::CHECK,
    service_connect_client_stale::CHECK,
    service_connect_port_unknown::CHECK,
    service_connect_namespace_differs::CHECK,
    peer_security_group_blocks::CHECK,
    database_blocked::CHECK,
    database_not_available::CHECK,
];
