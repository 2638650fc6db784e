//! From the client to a target: load balancer, listener rules, target groups and their health
//! checks.

use crate::check::Check;

mod app_answers_4xx;
mod app_answers_5xx;
mod app_answers_slowly;
mod balancer_answers_502;
mod balancer_answers_503;
mod balancer_answers_504;
mod balancer_answers_5xx;
mod balancer_not_active;
mod certificate_expires_soon;
mod certificate_wrong;
mod common;
mod every_answer_is_a_redirect;
mod front_not_seen;
mod gateway_route_failed;
mod gateway_unfit;
mod health_check_refused;
mod health_check_times_out;
mod health_check_wrong_answer;
mod health_check_wrong_port;
mod health_check_wrong_protocol;
mod identity_provider_unreachable;
mod keep_alive_too_short;
mod network_balancer_out_of_ports;
mod network_balancer_resets_connections;
mod network_balancer_zone_without_target;
mod no_rule_matches;
mod rule_never_reached;
mod rule_points_at_empty_group;
mod sessions_not_sticky;
mod stale_target_registered;
mod target_group_empty;
mod target_group_in_other_vpc;
mod target_group_missing;
mod target_group_not_attached;
mod target_registration_denied;
mod target_type_mismatch;
mod target_warming_up;
mod targets_failing_open;
mod targets_flapping;
mod targets_unhealthy;
mod targets_unused;
mod traffic_split_over_empty_group;
mod traffic_weight_zero;
mod url_not_served;
mod web_acl_blocks_large_bodies;
mod web_acl_blocks_requests;
mod zonal_shift_active;
mod zone_not_enabled;

/// In the order of the causal chain, symptom to cause; equal findings are reported in this order.
pub(super) const CHECKS: &[Check] = &[
    balancer_answers_503::CHECK,
    balancer_answers_502::CHECK,
    balancer_answers_504::CHECK,
    balancer_answers_5xx::CHECK,
    network_balancer_resets_connections::CHECK,
    app_answers_5xx::CHECK,
    app_answers_slowly::CHECK,
    app_answers_4xx::CHECK,
    target_group_empty::CHECK,
    targets_unused::CHECK,
    targets_unhealthy::CHECK,
    targets_failing_open::CHECK,
    targets_flapping::CHECK,
    target_warming_up::CHECK,
    health_check_wrong_answer::CHECK,
    health_check_refused::CHECK,
    health_check_times_out::CHECK,
    health_check_wrong_port::CHECK,
    health_check_wrong_protocol::CHECK,
    rule_points_at_empty_group::CHECK,
    rule_never_reached::CHECK,
    traffic_split_over_empty_group::CHECK,
    no_rule_matches::CHECK,
    target_group_not_attached::CHECK,
    target_group_missing::CHECK,
    target_registration_denied::CHECK,
    target_type_mismatch::CHECK,
    target_group_in_other_vpc::CHECK,
    stale_target_registered::CHECK,
    zone_not_enabled::CHECK,
    network_balancer_zone_without_target::CHECK,
    network_balancer_out_of_ports::CHECK,
    every_answer_is_a_redirect::CHECK,
    balancer_not_active::CHECK,
    zonal_shift_active::CHECK,
    identity_provider_unreachable::CHECK,
    web_acl_blocks_requests::CHECK,
    web_acl_blocks_large_bodies::CHECK,
    certificate_wrong::CHECK,
    certificate_expires_soon::CHECK,
    keep_alive_too_short::CHECK,
    front_not_seen::CHECK,
    url_not_served::CHECK,
    traffic_weight_zero::CHECK,
    sessions_not_sticky::CHECK,
    gateway_unfit::CHECK,
    gateway_route_failed::CHECK,
];
