//! The network around tasks and load balancers, as EC2 tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecurityGroup {
    pub group_id: String,
    pub group_name: String,
    pub vpc_id: Option<String>,
    /// Tagged `AmazonECSManaged=true`: Express Mode made it.
    pub ecs_managed: bool,
    pub ip_permissions: Vec<IpPermission>,
    pub ip_permissions_egress: Vec<IpPermission>,
}

/// One permission; security groups only allow, and all of them add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IpPermission {
    /// `tcp`, `udp`, `icmp`, a number, or `-1` for all.
    pub ip_protocol: String,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub cidr_ip: Vec<String>,
    pub cidr_ipv6: Vec<String>,
    /// Members of these groups are let through.
    pub group_id: Vec<String>,
    pub prefix_list_id: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Subnet {
    pub subnet_id: String,
    pub vpc_id: Option<String>,
    pub availability_zone: Option<String>,
    pub cidr_block: Option<String>,
    pub ipv6_cidr_block: Vec<String>,
    pub available_ip_address_count: Option<i32>,
    pub map_public_ip_on_launch: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RouteTable {
    pub route_table_id: String,
    pub main: bool,
    pub subnet_ids: Vec<String>,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Route {
    /// A CIDR block or a prefix list.
    pub destination: String,
    /// The gateway, interface or connection that takes it.
    pub target: Option<String>,
    /// `active`, `blackhole` or `filtered`.
    pub state: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Interface {
    pub network_interface_id: String,
    pub private_ip_address: Option<String>,
    pub public_ip: Option<String>,
    pub ipv6_address: Vec<String>,
    pub groups: Vec<String>,
    pub subnet_id: Option<String>,
    pub status: Option<String>,
}
