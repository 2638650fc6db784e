//! Why tasks do not start, or do not stay.

use crate::check::Check;

mod agent_disconnected;
mod capacity_provider_empty;
mod common;
mod compute_incompatible;
mod container_cannot_start;
mod container_health_check_failing;
mod dependency_never_ready;
mod disk_full;
mod env_file_unreadable;
mod exits_with_error;
mod exits_with_success;
mod fargate_capacity_unavailable;
mod fargate_maintenance;
mod file_system_not_mounted;
mod image_not_found;
mod image_pull_denied;
mod image_wrong_architecture;
mod instance_launch_failed;
mod instance_not_registered;
mod interface_not_provisioned;
mod killed_after_stop_timeout;
mod log_destination_unreachable;
mod log_driver_unfit;
mod log_group_missing;
mod mount_hides_files;
mod native_crash;
mod no_instance_fits;
mod normal_stops;
mod out_of_memory;
mod registry_rate_limited;
mod registry_unreachable;
mod role_not_assumable;
mod secret_denied;
mod secret_malformed;
mod secret_missing;
mod secret_store_unreachable;
mod service_linked_role_broken;
mod spot_interrupted;
mod stop_evidence_expired;
mod subnet_full;
mod tasks_fail_to_start;
mod tasks_keep_stopping;
mod too_few_running;
mod vcpu_quota_reached;
mod volume_not_attached;
mod zone_unsupported;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    too_few_running::CHECK,
    tasks_keep_stopping::CHECK,
    tasks_fail_to_start::CHECK,
    stop_evidence_expired::CHECK,
    image_not_found::CHECK,
    image_pull_denied::CHECK,
    registry_unreachable::CHECK,
    registry_rate_limited::CHECK,
    image_wrong_architecture::CHECK,
    disk_full::CHECK,
    secret_denied::CHECK,
    secret_missing::CHECK,
    secret_malformed::CHECK,
    secret_store_unreachable::CHECK,
    log_group_missing::CHECK,
    log_driver_unfit::CHECK,
    log_destination_unreachable::CHECK,
    role_not_assumable::CHECK,
    out_of_memory::CHECK,
    killed_after_stop_timeout::CHECK,
    native_crash::CHECK,
    exits_with_error::CHECK,
    exits_with_success::CHECK,
    container_health_check_failing::CHECK,
    dependency_never_ready::CHECK,
    container_cannot_start::CHECK,
    mount_hides_files::CHECK,
    no_instance_fits::CHECK,
    agent_disconnected::CHECK,
    capacity_provider_empty::CHECK,
    fargate_capacity_unavailable::CHECK,
    vcpu_quota_reached::CHECK,
    subnet_full::CHECK,
    interface_not_provisioned::CHECK,
    zone_unsupported::CHECK,
    spot_interrupted::CHECK,
    fargate_maintenance::CHECK,
    file_system_not_mounted::CHECK,
    volume_not_attached::CHECK,
    env_file_unreadable::CHECK,
    compute_incompatible::CHECK,
    service_linked_role_broken::CHECK,
    normal_stops::CHECK,
    instance_launch_failed::CHECK,
    instance_not_registered::CHECK,
];
