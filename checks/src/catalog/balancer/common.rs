//! What only the checks of load balancers share.

pub(super) mod app_errors;
pub(super) mod balancer_errors;
pub(super) mod complaint;
pub(super) mod network_metrics;
pub(super) mod new_version;
pub(super) mod refused_health_check;
pub(super) mod running_logs;
