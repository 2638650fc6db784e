//! Who can reach whom through security groups. They only allow, and every rule of every group adds up.
//! A prefix list is an answer that we have not looked into: then nobody may claim that the way is closed.

use std::net::IpAddr;

use crate::reading::address::Cidr;
use crate::reading::parsed;
use crate::snapshot::{IpPermission, SecurityGroup};

/// Whether some rule lets traffic through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    No,
    /// Only a prefix list could: its entries are not known.
    Unknown,
    Yes,
}

/// The other side of a connection: the groups it is a member of, and its addresses.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub groups: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// Blocks that its address is in, where the address itself is not known; a rule must cover one of them wholly.
    pub blocks: Vec<Cidr>,
}

/// Whether a permission covers a TCP port.
pub fn covers_tcp(permission: &IpPermission, port: i32) -> bool {
    match permission.ip_protocol.as_str() {
        "-1" => true,
        "tcp" | "6" => permission.from_port.is_none_or(|from| from <= port) && permission.to_port.is_none_or(|to| port <= to),
        _ => false,
    }
}

/// The blocks, IPv4 and IPv6, that a permission names; what cannot be read as a block names nothing.
pub fn blocks(permission: &IpPermission) -> impl Iterator<Item = Cidr> + '_ {
    permission.cidr_ip.iter().chain(&permission.cidr_ipv6).filter_map(|text| parsed(text))
}

fn admits_one(permission: &IpPermission, peer: &Peer) -> Admission {
    let by_group = permission.group_id.iter().any(|group| peer.groups.contains(group));
    let by_address =
        blocks(permission).any(|block| peer.addresses.iter().any(|address| block.has(*address)) || peer.blocks.iter().any(|b| block.covers(b)));
    if by_group || by_address {
        Admission::Yes
    } else if permission.prefix_list_id.is_empty() {
        Admission::No
    } else {
        Admission::Unknown
    }
}

fn admits(permissions: &[IpPermission], port: i32, peer: &Peer) -> Admission {
    permissions.iter().filter(|permission| covers_tcp(permission, port)).map(|permission| admits_one(permission, peer)).max().unwrap_or(Admission::No)
}

/// Whether these groups together let the peer in on a TCP port.
pub fn lets_in<'a>(groups: impl IntoIterator<Item = &'a SecurityGroup>, port: i32, from: &Peer) -> Admission {
    groups.into_iter().map(|group| admits(&group.ip_permissions, port, from)).max().unwrap_or(Admission::No)
}

/// Whether these groups together let traffic out to the peer on a TCP port.
pub fn lets_out<'a>(groups: impl IntoIterator<Item = &'a SecurityGroup>, port: i32, to: &Peer) -> Admission {
    groups.into_iter().map(|group| admits(&group.ip_permissions_egress, port, to)).max().unwrap_or(Admission::No)
}
