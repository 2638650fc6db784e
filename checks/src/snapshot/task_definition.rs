//! Task definitions, without anything secret: of environment variables the names, and of URLs in
//! them the hosts; of commands what tells two of them apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::capacity::{Attribute, PlacementConstraint};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskDefinition {
    pub task_definition_arn: String,
    pub family: String,
    pub revision: i32,
    /// `awsvpc`, `bridge`, `host` or `none`; absent means `bridge`.
    pub network_mode: Option<String>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub task_role_arn: Option<String>,
    pub execution_role_arn: Option<String>,
    /// `X86_64` or `ARM64`, of the runtime platform.
    pub cpu_architecture: Option<String>,
    pub operating_system_family: Option<String>,
    pub container_definitions: Vec<ContainerDefinition>,
    /// What an instance needs to be able to do, as ECS worked it out.
    pub requires_attributes: Vec<Attribute>,
    pub placement_constraints: Vec<PlacementConstraint>,
    pub volumes: Vec<Volume>,
}

/// The newest active revisions of a family, the newest first; one is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewestRevisions {
    pub family: String,
    pub task_definition_arns: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContainerDefinition {
    pub name: String,
    pub image: String,
    pub essential: bool,
    pub port_mappings: Vec<PortMapping>,
    pub environment: Vec<EnvironmentVariable>,
    /// Names of variables that come from a secret; their values are never read.
    pub secrets: Vec<String>,
    /// Those of them that come from Secrets Manager.
    pub injected_secrets: Vec<InjectedSecret>,
    /// None where the container has no log configuration.
    pub log_driver: Option<String>,
    /// `fluentbit` or `fluentd`, where the container is the router of the others' logs.
    pub firelens_type: Option<String>,
    pub awslogs_group: Option<String>,
    pub awslogs_region: Option<String>,
    pub awslogs_stream_prefix: Option<String>,
    pub version_consistency: Option<String>,
    pub has_health_check: bool,
    pub health_check: Option<HealthCheck>,
    pub entry_point: Option<Arguments>,
    pub command: Option<Arguments>,
    pub cpu: Option<i32>,
    pub memory: Option<i32>,
    pub memory_reservation: Option<i32>,
    /// Seconds between SIGTERM and SIGKILL; absent means 30, unless an instance's agent is set
    /// otherwise.
    pub stop_timeout: Option<i32>,
    /// How many GPUs it needs.
    pub gpu: Option<i32>,
    pub mount_points: Vec<MountPoint>,
}

/// Where a container sees a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MountPoint {
    pub source_volume: Option<String>,
    pub container_path: Option<String>,
    pub read_only: Option<bool>,
}

/// A volume by its name and by where its files are; options of its driver, which may be secret, are
/// dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Volume {
    pub name: String,
    /// Of a bind mount: the path on the instance.
    pub host_source_path: Option<String>,
    /// Of an EFS volume.
    pub file_system_id: Option<String>,
    pub root_directory: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PortMapping {
    pub name: Option<String>,
    pub container_port: Option<i32>,
    pub host_port: Option<i32>,
    pub protocol: Option<String>,
}

/// One environment variable: its name, and the host names of URLs in its value. The value itself is
/// dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EnvironmentVariable {
    pub name: String,
    pub hosts: Vec<String>,
}

/// A variable that comes from Secrets Manager: its name, and where ECS takes its value from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InjectedSecret {
    pub name: String,
    /// The ARN of the secret; behind it may stand a JSON key, a version stage and a version id.
    pub value_from: String,
}

/// The words of a command, which may be secret: how many they are, and four digits by which most
/// commands differ. Too few to find out with them what was in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Arguments {
    pub count: usize,
    pub fingerprint: String,
}

/// A container's own health check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealthCheck {
    pub command: Arguments,
    pub interval: Option<i32>,
    pub timeout: Option<i32>,
    pub retries: Option<i32>,
    pub start_period: Option<i32>,
}
