//! Service deployments and service revisions: how one version was rolled out, and what exactly it
//! is.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::peers::ServiceConnect;
use super::service::{DeploymentConfiguration, ServiceLoadBalancer};

/// A deployment as `ListServiceDeployments` tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListedDeployment {
    pub service_deployment_arn: String,
    pub target_service_revision_arn: Option<String>,
    pub status: String,
    pub status_reason: Option<String>,
    pub created_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// A deployment as `DescribeServiceDeployments` tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceDeployment {
    pub service_deployment_arn: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `STOPPED`, `ROLLBACK_SUCCESSFUL`, `ROLLBACK_FAILED`
    /// and others.
    pub status: String,
    pub status_reason: Option<String>,
    pub created_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// An open set: AWS's docs know a stage that its own model lacks.
    pub lifecycle_stage: Option<String>,
    pub source_service_revisions: Vec<RevisionSummary>,
    pub target_service_revision: Option<RevisionSummary>,
    pub deployment_configuration: DeploymentConfiguration,
    pub deployment_circuit_breaker: Option<BreakerState>,
    pub alarms: Option<AlarmsState>,
    pub rollback: Option<Rollback>,
    pub lifecycle_hook_details: Vec<HookDetail>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RevisionSummary {
    pub arn: String,
    pub requested_task_count: i32,
    pub running_task_count: i32,
    pub pending_task_count: i32,
    pub requested_production_traffic_weight: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BreakerState {
    /// `TRIGGERED`, `MONITORING`, `MONITORING_COMPLETE` or `DISABLED`.
    pub status: Option<String>,
    pub failure_count: i32,
    pub threshold: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AlarmsState {
    pub status: Option<String>,
    pub alarm_names: Vec<String>,
    pub triggered_alarm_names: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rollback {
    pub reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub service_revision_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HookDetail {
    pub hook_id: Option<String>,
    pub target_type: Option<String>,
    pub target_arn: Option<String>,
    pub status: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub timeout_action: Option<String>,
}

/// One version of a service: task definition, images with their pinned digests, and for Express
/// what ECS manages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Revision {
    pub service_revision_arn: String,
    pub task_definition: Option<String>,
    pub created_at: Option<Timestamp>,
    pub container_images: Vec<ContainerImage>,
    pub resolved_load_balancers: Vec<ResolvedLoadBalancer>,
    /// Express only: the ways in that ECS made and manages.
    pub ingress_paths: Vec<IngressPath>,
    pub security_groups: Vec<String>,
    /// Express only, like the resources below: what scales the service.
    pub scalable_target: Option<ManagedResource>,
    pub application_auto_scaling_policies: Vec<ManagedResource>,
    pub metric_alarms: Vec<ManagedResource>,
    pub service_security_groups: Vec<ManagedResource>,
    pub log_groups: Vec<ManagedResource>,
    pub subnets: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: Option<String>,
    pub launch_type: Option<String>,
    pub capacity_providers: Vec<String>,
    pub platform_version: Option<String>,
    pub load_balancers: Vec<ServiceLoadBalancer>,
    pub service_connect_configuration: Option<ServiceConnect>,
    /// The ports that the service offers on gateways of ECS.
    pub gateway_connectors: Vec<GatewayConnector>,
    /// The gateways that it is connected to, each by a route of its own.
    pub gateway_connections: Vec<GatewayConnection>,
}

/// A port of the service that ECS connects to gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewayConnector {
    pub port_name: String,
    /// `PUBLIC` or `PRIVATE`; none where both will do.
    pub access_types: Vec<String>,
}

/// A gateway that the service is connected to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewayConnection {
    pub gateway_arn: Option<String>,
    pub gateway_route_arn: Option<String>,
    pub port_name: Option<String>,
    pub service_url: Option<String>,
    /// The state of the route: `ACTIVE`, `CREATE_FAILED` and others.
    pub status: Option<String>,
}

/// A gateway of ECS, as far as it tells why something of it failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gateway {
    pub gateway_arn: String,
    pub name: Option<String>,
    pub status: Option<String>,
    pub failures: Vec<GatewayFailure>,
}

/// What failed at a gateway, or at one of its routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewayFailure {
    /// Of the gateway, or of the route.
    pub arn: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContainerImage {
    pub container_name: String,
    pub image: String,
    pub image_digest: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResolvedLoadBalancer {
    pub target_group_arn: Option<String>,
    pub production_listener_rule: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IngressPath {
    /// `PUBLIC` or `PRIVATE`.
    pub access_type: Option<String>,
    /// The host name, without a scheme.
    pub endpoint: Option<String>,
    pub load_balancer: Option<ManagedResource>,
    pub load_balancer_security_groups: Vec<ManagedResource>,
    pub certificate: Option<ManagedResource>,
    pub listener: Option<ManagedResource>,
    pub rule: Option<ManagedResource>,
    pub target_groups: Vec<ManagedTargetGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManagedResource {
    pub arn: Option<String>,
    /// `PROVISIONING`, `ACTIVE`, `DEPROVISIONING`, `DELETED` or `FAILED`.
    pub status: Option<String>,
    pub status_reason: Option<String>,
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManagedTargetGroup {
    pub arn: Option<String>,
    pub status: Option<String>,
    pub status_reason: Option<String>,
    pub updated_at: Option<Timestamp>,
    pub health_check_path: Option<String>,
    pub health_check_port: Option<i32>,
    pub port: Option<i32>,
}
