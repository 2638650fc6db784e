//! Who can reach whom through security groups. They only allow, and every rule of every group adds up.
//! A prefix list is an answer that we have not looked into: then nobody may claim that the way is closed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::call::Call;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::address::Cidr;
use crate::reading::{health_check, parsed, stop, traffic};
use crate::seen::Blind;
use crate::snapshot::service::NetworkConfiguration;
use crate::snapshot::{IpPermission, LoadBalancer, SecurityGroup, Target, TargetGroup, Task};

/// Whether some rule lets traffic through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    No,
    /// Perhaps: by a prefix list, whose entries are not known, or by addresses that may be the peer's.
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
    let perhaps = || blocks(permission).any(|block| peer.blocks.iter().any(|b| b.covers(&block)));
    if by_group || by_address {
        Admission::Yes
    } else if !permission.prefix_list_id.is_empty() || perhaps() {
        Admission::Unknown
    } else {
        Admission::No
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

/// The security groups that the task behind a target really has: those of its interface. Without a target: those of
/// the newest running task of the primary deployment, or what that deployment asks for. Empty where nothing tells.
pub fn task_groups<'a>(patient: &Patient<'a>, target: Option<&Target>) -> Result<BTreeSet<&'a str>, Blind> {
    let task = match target {
        Some(target) => match health_check::task_behind(patient, target)? {
            Some(task) => Some(task),
            None => return Ok(BTreeSet::new()),
        },
        None => {
            let primary = stop::primary_version(patient);
            let is_primary = |task: &&Task| primary.iter().any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn));
            patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING").filter(is_primary).max_by_key(|task| task.started_at)
        }
    };
    if let Some(interface) = task.and_then(|task| task.network_interface_id.as_deref())
        && let Some(interface) = patient.interface(interface)?
    {
        return Ok(interface.groups.iter().map(String::as_str).collect());
    }
    Ok(configured(patient, task).into_iter().flat_map(|network| &network.security_groups).map(String::as_str).collect())
}

/// The network that the deployment of a task asks for, or, without a task, the primary deployment.
pub fn configured<'a>(patient: &Patient<'a>, task: Option<&Task>) -> Option<&'a NetworkConfiguration> {
    let service = patient.service();
    let started_by = task.and_then(|task| task.started_by.as_deref());
    let deployment = service.deployments.iter().find(|d| started_by.map_or(d.status == "PRIMARY", |id| d.id == id));
    deployment.and_then(|deployment| deployment.network_configuration.as_ref()).or(service.network_configuration.as_ref())
}

/// The port that the balancer's health check asks at a target, or at any task of the service.
pub fn health_check_port(patient: &Patient, group: &TargetGroup, target: Option<&Target>) -> Option<i32> {
    match (group.health_check_port.as_deref(), target) {
        (_, Some(target)) => traffic::health_check_port(group, target),
        (None | Some("traffic-port"), None) => container_port(patient, group),
        (Some(port), None) => parsed(port),
    }
}

/// The port that tasks are registered with in a group, where tasks have addresses of their own.
pub fn container_port(patient: &Patient, group: &TargetGroup) -> Option<i32> {
    let arn = Some(group.target_group_arn.as_str());
    let mut balancers = patient.service().load_balancers.iter();
    let registered = balancers.find(|b| b.target_group_arn.as_deref() == arn || b.alternate_target_group_arn.as_deref() == arn);
    registered.map_or(group.port, |balancer| balancer.container_port)
}

/// Every one of these groups; none if one of them is not to be found, for it might let anybody through.
pub fn security_groups<'a, I: AsRef<str>>(patient: &Patient<'a>, ids: impl IntoIterator<Item = I>) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
    ids.into_iter().map(|id| patient.security_group(id.as_ref())).collect()
}

/// The blocks of these subnets; none if one of them is not to be found.
pub fn subnet_blocks<'a>(patient: &Patient, ids: impl IntoIterator<Item = &'a String>) -> Result<Option<Vec<Cidr>>, Blind> {
    ids.into_iter().map(|id| Ok(patient.subnet(id)?.and_then(|subnet| parsed(subnet.cidr_block.as_deref()?)))).collect()
}

/// Whether the security groups of a task let the balancer in on a port: by its groups, or by the blocks of its subnets.
pub fn into_task(patient: &Patient, balancer: &LoadBalancer, task_groups: &BTreeSet<&str>, port: i32) -> Result<Admission, Blind> {
    let Some(groups) = security_groups(patient, task_groups)? else { return Ok(Admission::Unknown) };
    let mut from = Peer { groups: balancer.security_groups.clone(), ..Peer::default() };
    if lets_in(groups.iter().copied(), port, &from) == Admission::Yes {
        return Ok(Admission::Yes);
    }
    let Some(blocks) = subnet_blocks(patient, &balancer.subnets)? else { return Ok(Admission::Unknown) };
    from.blocks = blocks;
    Ok(lets_in(groups, port, &from))
}

/// Whether the security groups of a balancer let it out to a target on a port. Without a target, to any task: wherever
/// its subnets may put it.
pub fn out_to_task(
    patient: &Patient,
    balancer: &LoadBalancer,
    task_groups: &BTreeSet<&str>,
    target: Option<&Target>,
    port: i32,
) -> Result<Admission, Blind> {
    let Some(groups) = security_groups(patient, &balancer.security_groups)? else { return Ok(Admission::Unknown) };
    let mut to = Peer { groups: task_groups.iter().map(|id| (*id).to_owned()).collect(), ..Peer::default() };
    match target {
        Some(target) => to.addresses.extend(parsed::<IpAddr>(&target.id)),
        None => {
            let subnets = configured(patient, None).into_iter().flat_map(|network| &network.subnets);
            let Some(blocks) = subnet_blocks(patient, subnets)? else { return Ok(Admission::Unknown) };
            to.blocks = blocks;
        }
    }
    Ok(lets_out(groups, port, &to))
}

/// What a group does admit: on this port somebody else, or else on other ports, or nobody at all.
pub fn rule(group: &SecurityGroup, port: i32) -> Evidence {
    match first_rule(&group.ip_permissions, port) {
        Some((field, value)) => Evidence::new(Call::DescribeSecurityGroups, &group.group_id, field, value),
        None => Evidence::new(Call::DescribeSecurityGroups, &group.group_id, "IpPermissions", "[]"),
    }
}

/// The same of the other direction: where a group lets its members go.
pub fn rule_out(group: &SecurityGroup, port: i32) -> Evidence {
    match first_rule(&group.ip_permissions_egress, port) {
        Some((field, value)) => Evidence::new(Call::DescribeSecurityGroups, &group.group_id, field, value),
        None => Evidence::new(Call::DescribeSecurityGroups, &group.group_id, "IpPermissionsEgress", "[]"),
    }
}

fn first_rule(permissions: &[IpPermission], port: i32) -> Option<(&'static str, String)> {
    let on_port = permissions.iter().find(|permission| covers_tcp(permission, port));
    Some(match (on_port, permissions.first()?) {
        (Some(other), _) => match (other.group_id.first(), other.cidr_ip.first(), other.cidr_ipv6.first()) {
            (Some(id), ..) => ("UserIdGroupPairs.GroupId", id.clone()),
            (None, Some(block), _) => ("IpRanges.CidrIp", block.clone()),
            (None, None, Some(block)) => ("Ipv6Ranges.CidrIpv6", block.clone()),
            (None, None, None) => ("IpPermissions.IpProtocol", other.ip_protocol.clone()),
        },
        (None, elsewhere) => match elsewhere.from_port {
            Some(from) => ("IpPermissions.FromPort", from.to_string()),
            None => ("IpPermissions.IpProtocol", elsewhere.ip_protocol.clone()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(cidr: &str) -> SecurityGroup {
        let rule =
            IpPermission { ip_protocol: "tcp".into(), from_port: Some(80), to_port: Some(80), cidr_ip: vec![cidr.into()], ..IpPermission::default() };
        SecurityGroup { ip_permissions: vec![rule], ..SecurityGroup::default() }
    }

    #[test]
    fn a_rule_for_a_part_of_the_peers_block_may_be_the_peer() {
        let from = Peer { blocks: vec!["10.0.3.0/24".parse().unwrap()], ..Peer::default() };
        assert_eq!(lets_in([&group("10.0.0.0/16")], 80, &from), Admission::Yes);
        assert_eq!(lets_in([&group("10.0.3.17/32")], 80, &from), Admission::Unknown);
        assert_eq!(lets_in([&group("10.0.4.0/24")], 80, &from), Admission::No);
        assert_eq!(lets_in([&group("10.0.0.0/16")], 81, &from), Admission::No);
    }
}
