//! Task definitions, without anything secret: of environment variables the names, and of URLs in them the hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    pub container_definitions: Vec<ContainerDefinition>,
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
    pub log_driver: Option<String>,
    pub awslogs_group: Option<String>,
    pub awslogs_region: Option<String>,
    pub awslogs_stream_prefix: Option<String>,
    pub version_consistency: Option<String>,
    pub has_health_check: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PortMapping {
    pub name: Option<String>,
    pub container_port: Option<i32>,
    pub host_port: Option<i32>,
    pub protocol: Option<String>,
}

/// One environment variable: its name, and the host names of URLs in its value. The value itself is dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EnvironmentVariable {
    pub name: String,
    pub hosts: Vec<String>,
}
