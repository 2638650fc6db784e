//! The instances under a service that brings its own: container instances as ECS knows them,
//! capacity providers, and the Auto Scaling groups behind those. Asked for only while such a
//! service lacks tasks, or ECS said that it cannot place one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContainerInstance {
    pub container_instance_arn: String,
    /// `i-…`, or `mi-…` of an external instance.
    pub ec2_instance_id: Option<String>,
    pub capacity_provider_name: Option<String>,
    /// `ACTIVE`, `DRAINING`, `REGISTERING`, `DEREGISTERING`, `REGISTRATION_FAILED` or `INACTIVE`.
    pub status: String,
    pub status_reason: Option<String>,
    pub agent_connected: bool,
    pub agent_version: Option<String>,
    pub overall_status: Option<String>,
    pub running_tasks_count: i32,
    pub pending_tasks_count: i32,
    pub registered_at: Option<Timestamp>,
    /// What the instance had when it registered.
    pub registered_resources: Resources,
    /// What is left. Of ports, those that are taken.
    pub remaining_resources: Resources,
    /// By name; many have no value.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Resources {
    /// CPU units: 1024 are a vCPU.
    pub cpu: Option<i32>,
    /// MiB.
    pub memory: Option<i32>,
    pub ports: Vec<String>,
    pub ports_udp: Vec<String>,
    pub gpu: Vec<String>,
}

/// What an instance must have: a name, and perhaps a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Attribute {
    pub name: String,
    pub value: Option<String>,
}

/// Where tasks may be placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlacementConstraint {
    /// `distinctInstance` or `memberOf`.
    #[serde(rename = "type")]
    pub kind: String,
    /// An expression of the cluster query language.
    pub expression: Option<String>,
}

/// In what order ECS tries the instances that fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlacementStrategy {
    /// `random`, `spread` or `binpack`.
    #[serde(rename = "type")]
    pub kind: String,
    pub field: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cluster {
    pub cluster_arn: String,
    pub status: Option<String>,
    /// The capacity providers that its services can use.
    pub capacity_providers: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CapacityProvider {
    pub name: String,
    /// `PROVISIONING`, `ACTIVE`, `DEPROVISIONING` or `INACTIVE`.
    pub status: Option<String>,
    pub update_status: Option<String>,
    pub update_status_reason: Option<String>,
    /// Absent where ECS manages the instances itself.
    pub auto_scaling_group_arn: Option<String>,
    pub managed_scaling: Option<ManagedScaling>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManagedScaling {
    /// `ENABLED` or `DISABLED`.
    pub status: Option<String>,
    pub target_capacity: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AutoScalingGroup {
    pub auto_scaling_group_name: String,
    pub min_size: Option<i32>,
    pub max_size: Option<i32>,
    pub desired_capacity: Option<i32>,
    pub instances: Vec<GroupInstance>,
    pub suspended_processes: Vec<SuspendedProcess>,
    /// Set while the group is being deleted.
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GroupInstance {
    pub instance_id: String,
    /// `Pending`, `InService`, `Terminating`, `Standby` and more.
    pub lifecycle_state: Option<String>,
    pub instance_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SuspendedProcess {
    pub process_name: String,
    pub suspension_reason: Option<String>,
}

/// One thing that an Auto Scaling group did, or tried to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GroupActivity {
    pub activity_id: String,
    pub description: Option<String>,
    /// `Successful`, `Failed`, `InProgress` and more.
    pub status_code: Option<String>,
    pub status_message: Option<String>,
    pub start_time: Option<Timestamp>,
}

impl ContainerInstance {
    /// The id that ECS names in its events.
    pub fn id(&self) -> &str {
        self.container_instance_arn.rsplit('/').next().unwrap_or(&self.container_instance_arn)
    }

    /// What a user calls it: the id of the EC2 instance, or else ECS's own.
    pub fn name(&self) -> &str {
        self.ec2_instance_id.as_deref().unwrap_or_else(|| self.id())
    }
}

impl CapacityProvider {
    /// The name of the Auto Scaling group, from its ARN.
    pub fn group(&self) -> Option<&str> {
        let arn = self.auto_scaling_group_arn.as_deref()?;
        Some(arn.rsplit_once("autoScalingGroupName/").map_or(arn, |(_, name)| name))
    }
}
