//! Tasks as `DescribeTasks` tells them, running or stopped.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Task {
    pub task_arn: String,
    /// The id of the deployment that started it.
    pub started_by: Option<String>,
    pub task_definition_arn: String,
    pub last_status: String,
    pub desired_status: String,
    pub health_status: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub availability_zone: Option<String>,
    pub created_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub network_interface_id: Option<String>,
    /// That of its network interface, as its attachment has it.
    pub private_ipv4_address: Option<String>,
    pub subnet_id: Option<String>,
    pub container_instance_arn: Option<String>,
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Container {
    pub name: String,
    pub image: Option<String>,
    pub image_digest: Option<String>,
    pub last_status: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub health_status: Option<String>,
    pub private_ipv4_address: Option<String>,
    /// Host ports that bridge networking gave to the container.
    pub host_ports: Vec<i32>,
}

/// Whether ECS may stop a task to scale in or to finish a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProtectedTask {
    pub task_arn: String,
    pub protection_enabled: bool,
    pub expiration_date: Option<Timestamp>,
}

impl Task {
    /// The last part of the ARN, which is also the last part of its log streams.
    pub fn id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or(&self.task_arn)
    }

    /// By its containers, of which some have none while they start; else by its attachment.
    pub fn private_address(&self) -> Option<&str> {
        self.containers
            .iter()
            .find_map(|container| container.private_ipv4_address.as_deref())
            .or(self.private_ipv4_address.as_deref())
    }
}
