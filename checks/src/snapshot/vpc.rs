//! What a VPC has beside subnets and groups: network ACLs, endpoints, NAT gateways and its own name
//! service; and whose the prefix lists are that rules name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkAcl {
    pub network_acl_id: String,
    pub is_default: bool,
    /// Of its associations.
    pub subnet_id: Vec<String>,
    /// In the order of their numbers, both directions; the first that matches has the word.
    pub entries: Vec<AclEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AclEntry {
    pub rule_number: i32,
    pub egress: bool,
    /// A number, or `-1` for all.
    pub protocol: String,
    /// `allow` or `deny`.
    pub rule_action: String,
    pub cidr_block: Option<String>,
    pub ipv6_cidr_block: Option<String>,
    pub from: Option<i32>,
    pub to: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Endpoint {
    pub vpc_endpoint_id: String,
    /// `Interface`, `Gateway` or others.
    pub vpc_endpoint_type: String,
    /// `com.amazonaws.eu-west-2.ecr.api`.
    pub service_name: String,
    /// `available`, `pending`, `pendingAcceptance`, `failed` and others, in whatever case.
    pub state: String,
    pub private_dns_enabled: bool,
    pub policy_document: Option<String>,
    /// Of an interface endpoint.
    pub subnet_ids: Vec<String>,
    pub groups: Vec<String>,
    /// Of a gateway endpoint.
    pub route_table_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NatGateway {
    pub nat_gateway_id: String,
    /// `pending`, `failed`, `available`, `deleting` or `deleted`.
    pub state: String,
    /// None for a regional one, which is in no subnet.
    pub subnet_id: Option<String>,
    /// `public` or `private`.
    pub connectivity_type: Option<String>,
    pub failure_message: Option<String>,
}

/// Whether the VPC resolves names at all, and gives names to what is in it; endpoints with private
/// names need both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VpcDns {
    pub vpc_id: String,
    pub enable_dns_support: bool,
    pub enable_dns_hostnames: bool,
}

/// What joins two VPCs, of which one may be another account's or in another region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeeringConnection {
    pub vpc_peering_connection_id: String,
    /// `active`, `pending-acceptance`, `expired`, `rejected`, `failed`, `deleted` and others.
    pub status_code: String,
    pub requester: PeeredVpc,
    pub accepter: PeeredVpc,
}

/// One side of a peering connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeeredVpc {
    pub vpc_id: String,
    pub owner_id: String,
    pub region: String,
}

/// A VPC that is attached to a transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TransitAttachment {
    pub transit_gateway_attachment_id: String,
    pub vpc_id: String,
    pub vpc_owner_id: String,
    /// `available`, `pendingAcceptance`, `rejected`, `deleted` and others.
    pub state: String,
}

/// The CIDR blocks of a prefix list.
pub type Blocks = Vec<String>;

/// The entries of it are a table of their own: they are asked for by another call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManagedPrefixList {
    pub prefix_list_id: String,
    pub prefix_list_name: Option<String>,
    /// An account, or `AWS` for a list of AWS's own.
    pub owner_id: Option<String>,
}
