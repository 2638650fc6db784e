//! What a service talks to: sibling services by Service Connect or Cloud Map, and databases of RDS,
//! with the dates of the secrets that it logs in with. Asked only where the service is configured for it, or where a variable names the host.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Service Connect as a deployment or a revision has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceConnect {
    pub enabled: bool,
    /// A name, or the ARN of a namespace.
    pub namespace: Option<String>,
    /// The ports that the service offers; none for a service that is a client only.
    pub services: Vec<ServiceConnectService>,
}

/// One port that a service offers to others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceConnectService {
    /// The name of a port mapping in the task definition.
    pub port_name: String,
    pub discovery_name: Option<String>,
    pub client_aliases: Vec<ClientAlias>,
    /// Where the proxy listens, if not on the container's port.
    pub ingress_port_override: Option<i32>,
    /// 0 turns it off; without one it is 15 s for HTTP.
    pub per_request_timeout_seconds: Option<i32>,
    pub idle_timeout_seconds: Option<i32>,
}

/// The name and port by which clients call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientAlias {
    pub port: Option<i32>,
    pub dns_name: Option<String>,
}

/// What ECS registered in Cloud Map for a port that a deployment offers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceConnectResource {
    pub discovery_name: Option<String>,
    pub discovery_arn: Option<String>,
}

/// Where ECS registers the tasks of a service in Cloud Map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceRegistry {
    pub registry_arn: Option<String>,
    pub port: Option<i32>,
    pub container_name: Option<String>,
    pub container_port: Option<i32>,
}

/// Services of any cluster that use a namespace, as far as one page shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NamespaceServices {
    pub namespace: String,
    pub service_arns: Vec<String>,
    /// There are more than one page shows.
    pub truncated: bool,
}

/// The services of a cluster, by ARN, as far as one page shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClusterServices {
    pub service_arns: Vec<String>,
    /// There are more than one page shows.
    pub truncated: bool,
}

/// Another service of the cluster, with the version that it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sibling {
    pub service_arn: String,
    pub service_name: String,
    pub status: String,
    pub task_definition: Option<String>,
    /// The target groups that it registers its tasks with; older snapshots do not tell.
    pub target_groups: Option<Vec<String>>,
}

/// A service of Cloud Map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiscoveryService {
    pub id: String,
    pub name: Option<String>,
    pub create_date: Option<Timestamp>,
    /// `A`, `AAAA`, `SRV` or `CNAME`; none where instances are found by API calls only.
    pub record_types: Vec<String>,
    /// Whether it has `HealthCheckCustomConfig`, by which ECS reports a task's health. Snapshots
    /// that were taken before this was kept do not tell.
    pub health_check_custom_config: Option<bool>,
}

/// Something registered with a service of Cloud Map, with what its health check says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiscoveryInstance {
    pub id: String,
    /// `AWS_INSTANCE_IPV4`, `AWS_INSTANCE_PORT`, and the service that ECS registered it for.
    pub attributes: BTreeMap<String, String>,
}

/// What Cloud Map thinks of the instances of a service, by their ids.
pub type InstanceHealth = BTreeMap<String, String>;

/// The public addresses that a NAT gateway lends to those who leave by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NatAddresses {
    pub nat_gateway_id: String,
    pub public_ip: Vec<String>,
}

/// A secret of Secrets Manager: its dates, and nothing of what is in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Secret {
    pub arn: String,
    pub name: String,
    /// When anything of it changed: its value, but also its description or a tag.
    pub last_changed_date: Option<Timestamp>,
    /// When Secrets Manager rotated it; none where it does not rotate it.
    pub last_rotated_date: Option<Timestamp>,
    /// From when on it is gone for good, where it was deleted: until then it can be restored.
    pub deleted_date: Option<Timestamp>,
}

/// A database of RDS: one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DbInstance {
    pub db_instance_identifier: String,
    pub db_instance_status: Option<String>,
    pub engine: Option<String>,
    pub address: Option<String>,
    pub port: Option<i32>,
    pub allocated_storage: Option<i32>,
    pub publicly_accessible: bool,
    pub vpc_security_group_id: Vec<String>,
    pub subnet_identifier: Vec<String>,
}

/// An Aurora or Multi-AZ cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DbCluster {
    pub db_cluster_identifier: String,
    pub status: Option<String>,
    pub engine: Option<String>,
    pub port: Option<i32>,
    pub vpc_security_group_id: Vec<String>,
    /// The identifiers of its instances.
    pub db_cluster_members: Vec<String>,
}

/// A proxy in front of databases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DbProxy {
    pub db_proxy_name: String,
    pub status: Option<String>,
    /// `MYSQL`, `POSTGRESQL` or `SQLSERVER`.
    pub engine_family: Option<String>,
    pub vpc_security_group_ids: Vec<String>,
    pub vpc_subnet_ids: Vec<String>,
}

/// A database behind a proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DbProxyTarget {
    pub rds_resource_id: Option<String>,
    /// `REGISTERING`, `AVAILABLE`, `UNAVAILABLE` or `UNUSED`.
    pub state: Option<String>,
    /// Such as `AUTH_FAILURE` or `UNREACHABLE`.
    pub reason: Option<String>,
    pub description: Option<String>,
}

/// A cache of ElastiCache with several nodes: what primary and reader endpoints belong to. It has
/// the security groups of its clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReplicationGroup {
    pub replication_group_id: String,
    pub status: Option<String>,
    pub port: Option<i32>,
    pub member_clusters: Vec<String>,
}

/// One cluster of ElastiCache: Memcached, or a node of a replication group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CacheCluster {
    pub cache_cluster_id: String,
    pub cache_cluster_status: Option<String>,
    pub port: Option<i32>,
    pub security_group_id: Vec<String>,
}

/// A serverless cache of ElastiCache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerlessCache {
    pub serverless_cache_name: String,
    pub status: Option<String>,
    pub port: Option<i32>,
    pub security_group_ids: Vec<String>,
    pub subnet_ids: Vec<String>,
}
