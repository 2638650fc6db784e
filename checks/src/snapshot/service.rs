//! The service as `DescribeServices` tells it, and what Express Mode adds.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::capacity::{PlacementConstraint, PlacementStrategy};
use super::peers::{ServiceConnect, ServiceConnectResource, ServiceRegistry};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Service {
    pub service_arn: String,
    pub service_name: String,
    pub cluster_arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    pub desired_count: i32,
    pub running_count: i32,
    pub pending_count: i32,
    /// `EC2`, `FARGATE`, `EXTERNAL` or `MANAGED_INSTANCES`; absent where a capacity provider
    /// strategy decides.
    pub launch_type: Option<String>,
    pub capacity_providers: Vec<String>,
    pub platform_version: Option<String>,
    /// On Fargate: `Linux`, or a version of Windows.
    pub platform_family: Option<String>,
    /// Not returned for Express services: see the deployments.
    pub task_definition: Option<String>,
    pub deployment_configuration: DeploymentConfiguration,
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`; absent means `ECS`.
    pub deployment_controller: Option<String>,
    pub deployments: Vec<Deployment>,
    /// Where CodeDeploy or an external controller deploys: there are no deployments then.
    pub task_sets: Vec<TaskSet>,
    /// Newest first; ECS keeps 100.
    pub events: Vec<ServiceEvent>,
    pub load_balancers: Vec<ServiceLoadBalancer>,
    pub service_registries: Vec<ServiceRegistry>,
    pub network_configuration: Option<NetworkConfiguration>,
    pub health_check_grace_period_seconds: Option<i32>,
    /// `REPLICA` or `DAEMON`.
    pub scheduling_strategy: Option<String>,
    pub placement_constraints: Vec<PlacementConstraint>,
    pub placement_strategy: Vec<PlacementStrategy>,
    pub created_at: Option<Timestamp>,
    pub current_service_deployment: Option<String>,
    pub current_service_revisions: Vec<String>,
    /// `ECS` for Express services, `CUSTOMER` or absent for all others.
    pub resource_management_type: Option<String>,
    /// The role with which ECS registers targets: often the service-linked one.
    pub role_arn: Option<String>,
}

impl Service {
    /// Whether ECS itself runs the deployments; if not, CodeDeploy or an external controller does.
    pub fn is_deployed_by_ecs(&self) -> bool {
        matches!(self.deployment_controller.as_deref(), None | Some("ECS"))
    }

    /// The deployment that ECS brings up, or has brought up last; none where it does not deploy.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == "PRIMARY")
    }

    /// The task sets that are there to stay, or on their way in.
    pub fn current_task_sets(&self) -> impl Iterator<Item = &TaskSet> {
        self.task_sets.iter().filter(|set| set.status != "DRAINING")
    }

    /// Whether the version that is brought up, or any task set, runs fewer tasks than it should.
    pub fn lacks_tasks(&self) -> bool {
        let primary = self.primary().is_some_and(|one| one.running_count < one.desired_count);
        let task_set = self.current_task_sets().any(TaskSet::lacks_tasks);
        self.running_count < self.desired_count || primary || task_set
    }

    /// The task definitions of all versions that it has now, whoever deploys them.
    pub fn definitions(&self) -> impl Iterator<Item = &str> {
        let of_deployments = self.deployments.iter().map(|one| &one.task_definition);
        let of_task_sets = self.task_sets.iter().map(|one| &one.task_definition);
        of_deployments.chain(of_task_sets).filter_map(Option::as_deref)
    }

    /// The task definition of the version that serves, whoever deploys it.
    pub fn primary_definition(&self) -> Option<&str> {
        let mut task_sets = self.task_sets.iter().filter(|set| set.status == "PRIMARY");
        match self.primary() {
            Some(deployment) => deployment.task_definition.as_deref(),
            None => task_sets.find_map(|set| set.task_definition.as_deref()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeploymentConfiguration {
    /// `ROLLING`, `BLUE_GREEN`, `LINEAR` or `CANARY`; absent means `ROLLING`.
    pub strategy: Option<String>,
    pub maximum_percent: Option<i32>,
    pub minimum_healthy_percent: Option<i32>,
    pub bake_time_in_minutes: Option<i32>,
    pub canary_percent: Option<f64>,
    pub canary_bake_time_in_minutes: Option<i32>,
    pub step_percent: Option<f64>,
    pub step_bake_time_in_minutes: Option<i32>,
    pub deployment_circuit_breaker: Option<CircuitBreaker>,
    pub alarms: Option<DeploymentAlarms>,
    pub lifecycle_hooks: Vec<LifecycleHook>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CircuitBreaker {
    pub enable: bool,
    pub rollback: bool,
    pub reset_on_healthy_task: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeploymentAlarms {
    pub alarm_names: Vec<String>,
    pub enable: bool,
    pub rollback: bool,
}

/// Something that a deployment waits for at some of its stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LifecycleHook {
    /// `AWS_LAMBDA`, which is the default, or `PAUSE`.
    pub target_type: Option<String>,
    pub hook_target_arn: Option<String>,
    pub role_arn: Option<String>,
    pub lifecycle_stages: Vec<String>,
}

/// One version, as CodeDeploy or an external controller deploys it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskSet {
    pub id: String,
    /// `PRIMARY` serves production traffic, `ACTIVE` does not, `DRAINING` is on its way out.
    pub status: String,
    pub task_definition: Option<String>,
    pub computed_desired_count: i32,
    pub running_count: i32,
    pub pending_count: i32,
    /// `STEADY_STATE` or `STABILIZING`.
    pub stability_status: Option<String>,
    /// CodeDeploy's id of the deployment.
    pub external_id: Option<String>,
}

impl TaskSet {
    pub fn lacks_tasks(&self) -> bool {
        self.running_count < self.computed_desired_count
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Deployment {
    pub id: String,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: String,
    pub task_definition: Option<String>,
    pub desired_count: i32,
    pub running_count: i32,
    pub pending_count: i32,
    /// Falls back to 0 as soon as one task runs: 0 does not mean that none failed.
    pub failed_tasks: i32,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub rollout_state: Option<String>,
    pub rollout_state_reason: Option<String>,
    /// The version that `LATEST` was when the deployment was made.
    pub platform_version: Option<String>,
    pub network_configuration: Option<NetworkConfiguration>,
    pub service_connect_configuration: Option<ServiceConnect>,
    pub service_connect_resources: Vec<ServiceConnectResource>,
    pub vpc_lattice_configurations: Vec<VpcLatticeConfiguration>,
}

/// A target group of VPC Lattice that ECS registers the tasks of a deployment in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VpcLatticeConfiguration {
    pub target_group_arn: String,
    pub port_name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceEvent {
    pub id: String,
    pub created_at: Option<Timestamp>,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceLoadBalancer {
    pub target_group_arn: Option<String>,
    /// The name of a classic load balancer, in place of a target group.
    pub load_balancer_name: Option<String>,
    pub container_name: Option<String>,
    pub container_port: Option<i32>,
    pub alternate_target_group_arn: Option<String>,
    pub production_listener_rule: Option<String>,
    pub test_listener_rule: Option<String>,
    /// The infrastructure role of blue/green, linear and canary deployments.
    pub role_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkConfiguration {
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: Option<String>,
}

/// An Express service as `DescribeExpressGatewayService` tells it: what the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExpressService {
    pub service_arn: String,
    pub status_code: Option<String>,
    pub status_reason: Option<String>,
    pub health_check_path: Option<String>,
    pub container_port: Option<i32>,
    /// Host names of the public or private endpoints.
    pub endpoints: Vec<String>,
}
