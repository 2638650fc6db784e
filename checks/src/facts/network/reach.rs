//! Which traffic security groups allow. They only allow, and every rule of every group adds up. An
//! unseen prefix list may have any address: then nothing may be claimed to be closed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::aws::admission::Admission;
use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::facts::inbound::health_check::{self, FailedCheck};
use crate::facts::inbound::{instance, traffic};
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Remedy};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::service::NetworkConfiguration;
use crate::snapshot::{IpPermission, LoadBalancer, SecurityGroup, Target, TargetGroup, Task};
use crate::text::parsed;
use crate::{aws, hcl, words};

/// The other side of a connection: the groups it is a member of, and its addresses.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub groups: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// Blocks that its address is in, where the address itself is not known; a rule must cover one
    /// of them wholly.
    pub blocks: Vec<Cidr>,
}

/// The blocks of prefix lists, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Lists(pub BTreeMap<String, Vec<Cidr>>);

impl Lists {
    /// What is in the lists that these permissions name. One that was not asked about, because
    /// nothing was the matter, stays unknown.
    pub fn of<'p>(
        patient: &Patient,
        permissions: impl IntoIterator<Item = &'p IpPermission>,
    ) -> Result<Lists, Blind> {
        let mut lists = Lists::default();
        for id in permissions.into_iter().flat_map(|permission| &permission.prefix_list_id) {
            match patient.prefix_list(id) {
                Ok(Some(blocks)) => {
                    lists.0.insert(
                        id.clone(),
                        blocks.iter().filter_map(|block| parsed(block)).collect(),
                    );
                }
                Ok(None) | Err(Blind { why: Why::NotAsked, .. }) => {}
                Err(blind) => return Err(blind),
            }
        }
        Ok(lists)
    }
}

/// Whether a permission covers a TCP port.
pub fn covers_tcp(permission: &IpPermission, port: i32) -> bool {
    match permission.ip_protocol.as_str() {
        "-1" => true,
        "tcp" | "6" => {
            permission.from_port.is_none_or(|from| from <= port)
                && permission.to_port.is_none_or(|to| port <= to)
        }
        _ => false,
    }
}

/// The blocks, IPv4 and IPv6, that a permission names; what cannot be read as a block names
/// nothing.
pub fn blocks(permission: &IpPermission) -> impl Iterator<Item = Cidr> + '_ {
    permission.cidr_ip.iter().chain(&permission.cidr_ipv6).filter_map(|text| parsed(text))
}

fn admits_one(permission: &IpPermission, peer: &Peer, lists: &Lists) -> Admission {
    let by_group = permission.group_id.iter().any(|group| peer.groups.contains(group));
    let listed =
        permission.prefix_list_id.iter().filter_map(|id| lists.0.get(id)).flatten().copied();
    let named: Vec<Cidr> = blocks(permission).chain(listed).collect();
    let is_peer = |block: &Cidr| {
        peer.addresses.iter().any(|address| block.has(*address))
            || peer.blocks.iter().any(|b| block.covers(b))
    };
    // Of the world, private blocks are no part.
    let may_be_peer = |block: &Cidr| {
        peer.blocks.iter().any(|b| b.covers(block) && !(b.is_world() && block.is_private()))
    };
    if by_group || named.iter().any(is_peer) {
        Admission::Yes
    } else if permission.prefix_list_id.iter().any(|id| !lists.0.contains_key(id))
        || named.iter().any(may_be_peer)
    {
        Admission::Unknown
    } else {
        Admission::No
    }
}

/// Whether these permissions together allow the peer on a TCP port.
pub fn admits<'p>(
    permissions: impl IntoIterator<Item = &'p IpPermission>,
    port: i32,
    peer: &Peer,
    lists: &Lists,
) -> Admission {
    let covering = permissions.into_iter().filter(|permission| covers_tcp(permission, port));
    covering.map(|permission| admits_one(permission, peer, lists)).max().unwrap_or(Admission::No)
}

/// Whether these groups together allow the peer on a TCP port.
pub fn lets_in(
    patient: &Patient,
    groups: &[&SecurityGroup],
    port: i32,
    from: &Peer,
) -> Result<Admission, Blind> {
    let permissions = || groups.iter().flat_map(|group| &group.ip_permissions);
    through(patient, permissions, port, from)
}

/// Whether these groups together allow outbound traffic to the peer on a TCP port.
pub fn lets_out(
    patient: &Patient,
    groups: &[&SecurityGroup],
    port: i32,
    to: &Peer,
) -> Result<Admission, Blind> {
    let permissions = || groups.iter().flat_map(|group| &group.ip_permissions_egress);
    through(patient, permissions, port, to)
}

/// Looks into prefix lists only where no other rule allows the peer.
fn through<'p, I: Iterator<Item = &'p IpPermission>>(
    patient: &Patient,
    permissions: impl Fn() -> I,
    port: i32,
    peer: &Peer,
) -> Result<Admission, Blind> {
    let plainly = admits(permissions(), port, peer, &Lists::default());
    if plainly != Admission::Unknown {
        return Ok(plainly);
    }
    let lists =
        Lists::of(patient, permissions().filter(|permission| covers_tcp(permission, port)))?;
    Ok(admits(permissions(), port, peer, &lists))
}

/// The security groups that the task behind a target really has: those of its interface, or of its
/// instance's. Without a target: those of the newest running task of the primary deployment, or
/// what that deployment asks for. Empty where nothing tells.
pub fn task_groups<'a>(
    patient: &Patient<'a>,
    target: Option<&Target>,
) -> Result<BTreeSet<&'a str>, Blind> {
    if let Some(target) = target.filter(|target| instance::is_one(target)) {
        return Ok(instance::interface(patient, target)?
            .into_iter()
            .flat_map(|interface| &interface.groups)
            .map(String::as_str)
            .collect());
    }
    let task = match target {
        Some(target) => match health_check::task_behind(patient, target)? {
            Some(task) => Some(task),
            None => return Ok(BTreeSet::new()),
        },
        None => {
            let primary = stop::primary_version(patient);
            let is_primary = |task: &&Task| {
                primary.iter().any(|version| {
                    version.started(task.started_by.as_deref(), &task.task_definition_arn)
                })
            };
            patient
                .running_tasks()?
                .iter()
                .filter(|task| task.last_status == "RUNNING")
                .filter(is_primary)
                .max_by_key(|task| task.started_at)
        }
    };
    if let Some(interface) = task.and_then(|task| task.network_interface_id.as_deref())
        && let Some(interface) = patient.interface(interface)?
    {
        return Ok(interface.groups.iter().map(String::as_str).collect());
    }
    Ok(configured(patient, task)
        .into_iter()
        .flat_map(|network| &network.security_groups)
        .map(String::as_str)
        .collect())
}

/// The security groups of the tasks whose health check failed: those of the target's task, or those
/// that a rolled-back version asked for.
pub fn groups_of<'a>(
    patient: &Patient<'a>,
    failed: &FailedCheck<'a>,
) -> Result<BTreeSet<&'a str>, Blind> {
    match failed.given_up() {
        Some(version) => {
            let network = version.network(patient)?;
            let groups = network.into_iter().flat_map(|network| network.security_groups);
            Ok(groups.map(String::as_str).collect())
        }
        None => task_groups(patient, failed.target),
    }
}

/// The network that the deployment of a task asks for, or, without a task, the primary deployment.
pub fn configured<'a>(
    patient: &Patient<'a>,
    task: Option<&Task>,
) -> Option<&'a NetworkConfiguration> {
    let service = patient.service();
    let started_by = task.and_then(|task| task.started_by.as_deref());
    let deployment = match started_by {
        Some(id) => service.deployments.iter().find(|deployment| deployment.id == id),
        None => service.primary(),
    };
    deployment
        .and_then(|deployment| deployment.network_configuration.as_ref())
        .or(service.network_configuration.as_ref())
}

/// The address at which the load balancer finds a target; none where its instance is gone.
pub fn target_address(patient: &Patient, target: &Target) -> Result<Option<IpAddr>, Blind> {
    if instance::is_one(target) {
        return Ok(instance::interface(patient, target)?
            .and_then(|interface| parsed(interface.private_ip_address.as_deref()?)));
    }
    Ok(parsed(&target.id))
}

/// The subnet of the task behind a target, or of its instance.
pub fn target_subnet<'a>(patient: &Patient<'a>, target: &Target) -> Result<Option<&'a str>, Blind> {
    if instance::is_one(target) {
        return Ok(instance::interface(patient, target)?
            .and_then(|interface| interface.subnet_id.as_deref()));
    }
    Ok(health_check::task_behind(patient, target)?.and_then(|task| task.subnet_id.as_deref()))
}

/// The port that the load balancer's health check uses at a target, or at any task of the service.
pub fn health_check_port(
    patient: &Patient,
    group: &TargetGroup,
    target: Option<&Target>,
) -> Option<i32> {
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
    let registered = balancers.find(|b| {
        b.target_group_arn.as_deref() == arn || b.alternate_target_group_arn.as_deref() == arn
    });
    registered.map_or(group.port, |balancer| balancer.container_port)
}

/// Every one of these groups; none if one of them is not to be found, for it might allow anybody.
pub fn security_groups<'a, I: AsRef<str>>(
    patient: &Patient<'a>,
    ids: impl IntoIterator<Item = I>,
) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
    ids.into_iter().map(|id| patient.security_group(id.as_ref())).collect()
}

/// The blocks of these subnets, of both families; none if one of them is not to be found.
pub fn subnet_blocks<'a>(
    patient: &Patient,
    ids: impl IntoIterator<Item = &'a String>,
) -> Result<Option<Vec<Cidr>>, Blind> {
    let mut blocks = Vec::new();
    for id in ids {
        let (Some(subnet), Some(block)) = (patient.subnet(id)?, subnet_block(patient, id)?) else {
            return Ok(None);
        };
        blocks.push(block);
        blocks.extend(subnet.ipv6_cidr_block.iter().filter_map(|block| parsed::<Cidr>(block)));
    }
    Ok(Some(blocks))
}

/// The IPv4 block of a subnet; none if it is not to be found.
pub fn subnet_block(patient: &Patient, id: &str) -> Result<Option<Cidr>, Blind> {
    Ok(patient.subnet(id)?.and_then(|subnet| parsed(subnet.cidr_block.as_deref()?)))
}

/// Whether no rule of these groups is about a port at all: then it is closed to every source. Not
/// where one of the groups is not to be found.
pub fn admit_nobody(patient: &Patient, ids: &BTreeSet<&str>, port: i32) -> Result<bool, Blind> {
    let groups = security_groups(patient, ids)?;
    let is_silent = |group: &&SecurityGroup| {
        !group.ip_permissions.iter().any(|permission| covers_tcp(permission, port))
    };
    Ok(groups.is_some_and(|groups| groups.iter().all(is_silent)))
}

/// Whether the security groups of a task allow the load balancer on a port: by its groups, or by
/// the blocks of its subnets.
pub fn into_task(
    patient: &Patient,
    balancer: &LoadBalancer,
    task_groups: &BTreeSet<&str>,
    port: i32,
) -> Result<Admission, Blind> {
    let Some(groups) = security_groups(patient, task_groups)? else {
        return Ok(Admission::Unknown);
    };
    if admit_nobody(patient, task_groups, port)? {
        return Ok(Admission::No);
    }
    let by_group = Peer { groups: balancer.security_groups.clone(), ..Peer::default() };
    if lets_in(patient, &groups, port, &by_group)? == Admission::Yes {
        return Ok(Admission::Yes);
    }
    let Some(from) = balancer_as_peer(patient, balancer)? else { return Ok(Admission::Unknown) };
    lets_in(patient, &groups, port, &from)
}

/// The load balancer as its targets see it; none where one of its subnets is not to be found.
fn balancer_as_peer(patient: &Patient, balancer: &LoadBalancer) -> Result<Option<Peer>, Blind> {
    let blocks = subnet_blocks(patient, &balancer.subnets)?;
    Ok(blocks.map(|blocks| Peer {
        groups: balancer.security_groups.clone(),
        blocks,
        ..Peer::default()
    }))
}

/// The ports on which single rules of these groups certainly allow the load balancer.
pub fn open_to(
    patient: &Patient,
    balancer: &LoadBalancer,
    groups: &[&SecurityGroup],
) -> Result<BTreeSet<Ports>, Blind> {
    let Some(from) = balancer_as_peer(patient, balancer)? else { return Ok(BTreeSet::new()) };
    let rules = groups.iter().flat_map(|group| &group.ip_permissions);
    let admitted = rules.filter(|rule| {
        rule.from_port
            .is_some_and(|port| admits([*rule], port, &from, &Lists::default()) == Admission::Yes)
    });
    Ok(admitted.filter_map(|rule| Some(Ports(rule.from_port?, rule.to_port?))).collect())
}

/// Whether the security groups of a load balancer allow outbound traffic to a target on a port.
/// Without a target, to any task: wherever its subnets may put it.
pub fn out_to_task(
    patient: &Patient,
    balancer: &LoadBalancer,
    task_groups: &BTreeSet<&str>,
    target: Option<&Target>,
    port: i32,
) -> Result<Admission, Blind> {
    let Some(groups) = security_groups(patient, &balancer.security_groups)? else {
        return Ok(Admission::Unknown);
    };
    let mut to =
        Peer { groups: task_groups.iter().map(|id| (*id).to_owned()).collect(), ..Peer::default() };
    match target {
        Some(target) => to.addresses.extend(target_address(patient, target)?),
        None => {
            let subnets =
                configured(patient, None).into_iter().flat_map(|network| &network.subnets);
            let Some(blocks) = subnet_blocks(patient, subnets)? else {
                return Ok(Admission::Unknown);
            };
            to.blocks = blocks;
        }
    }
    lets_out(patient, &groups, port, &to)
}

/// What a group does allow, as evidence: on this port another source, or else on other ports, or
/// nothing at all.
pub fn what_it_admits(group: &SecurityGroup, port: i32) -> Evidence {
    what_it_has(
        group,
        &group.ip_permissions,
        ["IpPermissions", "IpPermissions.FromPort", "IpPermissions.IpProtocol"],
        port,
    )
}

/// What outbound traffic a group does allow.
pub fn what_it_lets_out(group: &SecurityGroup, port: i32) -> Evidence {
    what_it_has(
        group,
        &group.ip_permissions_egress,
        ["IpPermissionsEgress", "IpPermissionsEgress.FromPort", "IpPermissionsEgress.IpProtocol"],
        port,
    )
}

fn what_it_has(
    group: &SecurityGroup,
    permissions: &[IpPermission],
    [none, from_port, protocol]: [&'static str; 3],
    port: i32,
) -> Evidence {
    let of_group = |field, value: &str| {
        Evidence::new(Call::DescribeSecurityGroups, &group.group_id, field, value)
    };
    let on_port = permissions.iter().find(|permission| covers_tcp(permission, port));
    match (on_port, permissions.first()) {
        (Some(other), _) => match (
            other.group_id.first(),
            other.cidr_ip.first(),
            other.cidr_ipv6.first(),
            other.prefix_list_id.first(),
        ) {
            (Some(id), ..) => of_group("UserIdGroupPairs.GroupId", id),
            (None, Some(block), ..) => of_group("IpRanges.CidrIp", block),
            (None, None, Some(block), _) => of_group("Ipv6Ranges.CidrIpv6", block),
            (None, None, None, Some(list)) => of_group("PrefixListIds.PrefixListId", list),
            (None, None, None, None) => of_group(protocol, &other.ip_protocol),
        },
        (None, Some(elsewhere)) => match elsewhere.from_port {
            Some(from) => of_group(from_port, &from.to_string()),
            None => of_group(protocol, &elsewhere.ip_protocol),
        },
        (None, None) => of_group(none, "[]"),
    }
}

/// What a rule opens: one port, or all from the first to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports(pub i32, pub i32);

impl From<i32> for Ports {
    fn from(port: i32) -> Ports {
        Ports(port, port)
    }
}

impl From<RangeInclusive<i32>> for Ports {
    fn from(ports: RangeInclusive<i32>) -> Ports {
        Ports(*ports.start(), *ports.end())
    }
}

impl Ports {
    /// `port 8080`, `ports 32768 to 65535`.
    pub fn words(self) -> String {
        let Ports(from, to) = self;
        if from == to { format!("port {from}") } else { format!("ports {from} to {to}") }
    }
}

/// As the AWS CLI spells them: `8080`, `32768-65535`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ports(from, to) = self;
        if from == to { write!(f, "{from}") } else { write!(f, "{from}-{to}") }
    }
}

/// The rule that allows one group into another on a port, or a range of them, as a command and as
/// Terraform/OpenTofu.
pub fn let_in(
    remedy: Remedy,
    name: &str,
    group: &str,
    source: &str,
    ports: impl Into<Ports>,
) -> Remedy {
    let (into, from, ports) = (group, source, ports.into());
    remedy
        .cli(aws!("ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {} --source-group {}", into, ports.to_string(), from))
        .terraform(ingress_in_terraform(name, group, source, ports))
}

/// The remedy with the rules that allow blocks into a group. Where none is known, the user knows.
pub fn let_blocks_in(
    remedy: Remedy,
    group: &str,
    blocks: &BTreeSet<Cidr>,
    ports: impl Into<Ports>,
) -> Remedy {
    let ports @ Ports(from, to) = ports.into();
    let command = aws!(
        "ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {}",
        group,
        ports.to_string()
    );
    if blocks.is_empty() {
        return remedy.cli(command.and(words!("--cidr $BALANCER_SUBNET_CIDR")));
    }
    let blocks: Vec<String> = blocks.iter().map(Cidr::to_string).collect();
    let remedy = blocks
        .iter()
        .fold(remedy, |remedy, block| remedy.cli(command.clone().and(words!("--cidr {}", block))));
    remedy.terraform(hcl!(
        r#"
        resource "aws_vpc_security_group_ingress_rule" "balancer" {
          for_each          = toset({})
          security_group_id = {}
          ip_protocol       = "tcp"
          from_port         = {}
          to_port           = {}
          cidr_ipv4         = each.value
        }"#,
        blocks,
        group,
        from,
        to
    ))
}

/// The same for the other direction: the rule that allows traffic from one group to another.
pub fn let_out(
    remedy: Remedy,
    name: &str,
    group: &str,
    peer: &str,
    ports: impl Into<Ports>,
) -> Remedy {
    let ports @ Ports(from, to) = ports.into();
    let pair = &format!(
        "IpProtocol=tcp,FromPort={from},ToPort={to},UserIdGroupPairs=[{{GroupId={peer}}}]"
    );
    remedy
        .cli(aws!(
            "ec2 authorize-security-group-egress --group-id {} --ip-permissions {}",
            group,
            pair
        ))
        .terraform(rule_in_terraform("egress", name, group, peer, ports))
}

/// A rule that allows one group into another on a port.
pub fn ingress_in_terraform(name: &str, group: &str, source: &str, ports: impl Into<Ports>) -> Hcl {
    rule_in_terraform("ingress", name, group, source, ports.into())
}

fn rule_in_terraform(
    way: &str,
    name: &str,
    group: &str,
    peer: &str,
    Ports(from, to): Ports,
) -> Hcl {
    hcl!(
        r#"
        resource "aws_vpc_security_group_{}_rule" {} {
          security_group_id            = {}
          referenced_security_group_id = {}
          ip_protocol                  = "tcp"
          from_port                    = {}
          to_port                      = {}
        }"#,
        way,
        name,
        group,
        peer,
        from,
        to
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_block, from_group, id, minutes_ago};
    use crate::seen::Seen;
    use crate::snapshot::Snapshot;
    use crate::testing::of;

    fn rule(cidr: &str) -> IpPermission {
        IpPermission {
            ip_protocol: "tcp".into(),
            from_port: Some(80),
            to_port: Some(80),
            cidr_ip: vec![cidr.into()],
            ..IpPermission::default()
        }
    }

    #[test]
    fn a_rule_for_a_part_of_the_peers_block_may_be_the_peer() {
        let from = Peer { blocks: vec!["10.0.3.0/24".parse().unwrap()], ..Peer::default() };
        let admits = |cidr, port| admits([&rule(cidr)], port, &from, &Lists::default());
        assert_eq!(admits("10.0.0.0/16", 80), Admission::Yes);
        assert_eq!(admits("10.0.3.17/32", 80), Admission::Unknown);
        assert_eq!(admits("10.0.4.0/24", 80), Admission::No);
        assert_eq!(admits("10.0.0.0/16", 81), Admission::No);
    }

    #[test]
    fn a_prefix_list_is_unknown_until_it_is_looked_into() {
        let by_list =
            IpPermission { cidr_ip: Vec::new(), prefix_list_id: vec!["pl-1".into()], ..rule("") };
        let from = Peer { addresses: vec!["10.0.3.17".parse().unwrap()], ..Peer::default() };
        let admits = |lists: &Lists| admits([&by_list], 80, &from, lists);
        assert_eq!(admits(&Lists::default()), Admission::Unknown);
        assert_eq!(
            admits(&Lists(BTreeMap::from([("pl-1".into(), vec!["10.0.4.0/24".parse().unwrap()])]))),
            Admission::No
        );
        assert_eq!(
            admits(&Lists(BTreeMap::from([("pl-1".into(), vec!["10.0.3.0/24".parse().unwrap()])]))),
            Admission::Yes
        );
    }

    /// Random numbers that are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }

        fn chance(&mut self, of: u64) -> bool {
            self.roll(of) == 0
        }

        fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
            &from[self.roll(from.len() as u64) as usize]
        }

        /// Of few bits, so that blocks and addresses often meet.
        fn v4(&mut self) -> u32 {
            0x0a00_0000 | (self.roll(4) << 16 | self.roll(4) << 8 | self.roll(8)) as u32
        }

        fn v6(&mut self) -> u128 {
            0x2001_0db8 << 96 | u128::from(self.roll(4)) << 64 | u128::from(self.roll(8))
        }

        fn block(&mut self) -> String {
            if self.chance(2) {
                format!(
                    "{}/{}",
                    std::net::Ipv4Addr::from(self.v4()),
                    self.pick(&[0, 8, 14, 16, 22, 24, 30, 32])
                )
            } else {
                format!(
                    "{}/{}",
                    std::net::Ipv6Addr::from(self.v6()),
                    self.pick(&[0, 32, 62, 64, 126, 128])
                )
            }
        }

        fn some<T>(&mut self, mut one: impl FnMut(&mut Dice) -> T) -> Vec<T> {
            (0..self.roll(3)).map(|_| one(self)).collect()
        }
    }

    const GROUPS: [&str; 4] = ["sg-0", "sg-1", "sg-2", "sg-3"];
    const LISTS: [&str; 3] = ["pl-0", "pl-1", "pl-2"];

    /// Whether one address is in a block, bit by bit and in no other way than the textbook's.
    fn is_in(address: IpAddr, block: &str) -> bool {
        let (network, length) = block.split_once('/').unwrap();
        let length: u32 = length.parse().unwrap();
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let ((address, width), (network, same)) = (bits(address), bits(network.parse().unwrap()));
        width == same
            && (0..length)
                .all(|bit| (address >> (width - 1 - bit)) & 1 == (network >> (width - 1 - bit)) & 1)
    }

    #[test]
    fn agrees_with_an_evaluator_that_tries_everything_on_random_rules() {
        let mut dice = Dice(5);
        let mut admitted = 0;
        for round in 0..20_000 {
            let lists: BTreeMap<String, Vec<String>> =
                LISTS.iter().map(|id| ((*id).into(), dice.some(Dice::block))).collect();
            let rules: Vec<IpPermission> = (0..dice.roll(5))
                .map(|_| {
                    let protocol = *dice.pick(&["tcp", "tcp", "6", "udp", "icmp", "-1"]);
                    let from = 78 + dice.roll(4) as i32;
                    let blocks = dice.some(Dice::block);
                    IpPermission {
                        ip_protocol: protocol.into(),
                        from_port: (protocol != "-1").then_some(from),
                        to_port: (protocol != "-1").then_some(from + dice.roll(3) as i32),
                        cidr_ip: blocks
                            .iter()
                            .filter(|block| !block.contains(':'))
                            .cloned()
                            .collect(),
                        cidr_ipv6: blocks
                            .iter()
                            .filter(|block| block.contains(':'))
                            .cloned()
                            .collect(),
                        group_id: dice.some(|dice| (*dice.pick(&GROUPS)).to_owned()),
                        prefix_list_id: dice.some(|dice| (*dice.pick(&LISTS)).to_owned()),
                    }
                })
                .collect();
            let address: IpAddr = if dice.chance(2) {
                IpAddr::V4(dice.v4().into())
            } else {
                IpAddr::V6(dice.v6().into())
            };
            let groups = dice.some(|dice| (*dice.pick(&GROUPS)).to_owned());

            let mut expected = false;
            for rule in &rules {
                let mut ports = rule.from_port.unwrap_or(0)..=rule.to_port.unwrap_or(65535);
                let carries = match rule.ip_protocol.as_str() {
                    "-1" => true,
                    "tcp" | "6" => ports.any(|port| port == 80),
                    _ => false,
                };
                let mut sources: Vec<&String> =
                    rule.cidr_ip.iter().chain(&rule.cidr_ipv6).collect();
                rule.prefix_list_id.iter().for_each(|list| sources.extend(&lists[list]));
                let known = sources.iter().any(|block| is_in(address, block))
                    || groups.iter().any(|group| rule.group_id.contains(group));
                expected |= carries && known;
            }

            let lists = Lists(
                lists
                    .into_iter()
                    .map(|(id, blocks)| {
                        (id, blocks.iter().map(|block| block.parse().unwrap()).collect())
                    })
                    .collect(),
            );
            let peer = Peer { groups, addresses: vec![address], ..Peer::default() };
            let found = admits(&rules, 80, &peer, &lists);
            assert_eq!(
                found,
                if expected { Admission::Yes } else { Admission::No },
                "round {round}: {peer:?} {rules:#?} {lists:?}"
            );
            admitted += usize::from(expected);
        }
        assert!((2_000..18_000).contains(&admitted), "the dice are fair: {admitted}");
    }

    #[test]
    fn a_permission_covers_the_ports_from_its_first_to_its_last() {
        let covers = |protocol: &str, from, to| {
            let permission = IpPermission {
                ip_protocol: protocol.into(),
                from_port: from,
                to_port: to,
                ..IpPermission::default()
            };
            covers_tcp(&permission, 80)
        };
        for (from, to, covered) in [
            (Some(80), Some(80), true),
            (Some(79), Some(81), true),
            (Some(81), Some(90), false),
            (Some(70), Some(79), false),
            (None, Some(80), true),
            (None, Some(79), false),
            (Some(80), None, true),
            (Some(81), None, false),
        ] {
            for protocol in ["tcp", "6"] {
                assert_eq!(covers(protocol, from, to), covered, "{from:?} to {to:?}");
            }
            assert!(!covers("udp", from, to));
            assert!(covers("-1", from, to), "whatever the ports say");
        }
    }

    #[test]
    fn a_private_block_is_no_part_of_the_world() {
        let world = Peer { blocks: vec!["0.0.0.0/0".parse().unwrap()], ..Peer::default() };
        let admits = |cidr| admits([&rule(cidr)], 80, &world, &Lists::default());
        assert_eq!(admits("0.0.0.0/0"), Admission::Yes);
        assert_eq!(admits("203.0.113.0/24"), Admission::Unknown);
        assert_eq!(admits("10.0.0.0/8"), Admission::No);
        let office = Peer { blocks: vec!["10.0.0.0/8".parse().unwrap()], ..Peer::default() };
        let to_office = super::admits([&rule("10.1.0.0/16")], 80, &office, &Lists::default());
        assert_eq!(to_office, Admission::Unknown);
    }

    #[test]
    fn the_best_of_all_rules_counts_and_lists_are_read_only_where_they_decide() {
        let list =
            IpPermission { cidr_ip: Vec::new(), prefix_list_id: vec!["pl-1".into()], ..rule("") };
        let let_in = |seen: Option<Seen<Option<Vec<String>>>>, rules: &[IpPermission]| {
            let mut snapshot = baseline::fargate();
            seen.into_iter().for_each(|seen| snapshot.prefix_lists.insert("pl-1", seen));
            let group = SecurityGroup { ip_permissions: rules.to_vec(), ..Default::default() };
            let peer = Peer { addresses: vec!["10.0.3.17".parse().unwrap()], ..Peer::default() };
            of(&snapshot, |patient| lets_in(patient, &[&group], 80, &peer))
        };
        let refused = || Some(Seen::No(Why::Declined));
        let blocks = |block: &str| Some(Seen::Yes(Some(vec![block.to_owned()])));
        let blind = Blind { call: Call::GetManagedPrefixListEntries, why: Why::Declined };
        let list = || list.clone();
        assert_eq!(let_in(refused(), &[list(), rule("10.0.0.0/8")]), Ok(Admission::Yes));
        assert_eq!(let_in(refused(), &[list()]), Err(blind));
        assert_eq!(let_in(None, &[list()]), Ok(Admission::Unknown), "it was not asked");
        assert_eq!(let_in(Some(Seen::Yes(None)), &[list()]), Ok(Admission::Unknown));
        assert_eq!(let_in(blocks("10.0.3.0/24"), &[list()]), Ok(Admission::Yes));
        assert_eq!(let_in(blocks("10.9.0.0/16"), &[list()]), Ok(Admission::No));
        let other_port = IpPermission { from_port: Some(81), to_port: Some(81), ..list() };
        assert_eq!(let_in(refused(), &[other_port]), Ok(Admission::No));
        assert_eq!(let_in(None, &[]), Ok(Admission::No));
    }

    /// The service behind a load balancer, whose task and load balancer have these rules.
    fn guarded(inbound: &[IpPermission], outbound: &[IpPermission]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let groups = &mut snapshot.security_groups;
        groups.change("sg-task").unwrap().ip_permissions = inbound.to_vec();
        groups.change("sg-balancer").unwrap().ip_permissions_egress = outbound.to_vec();
        snapshot
    }

    fn balancer(patient: &Patient) -> LoadBalancer {
        let arn = traffic::balancers(patient).unwrap().into_iter().next().unwrap();
        patient.load_balancer(arn).unwrap().unwrap().clone()
    }

    #[test]
    fn a_task_lets_the_balancer_in_by_its_group_or_by_the_blocks_of_all_its_subnets() {
        let admitted = |snapshot: &Snapshot| {
            of(snapshot, |p| into_task(p, &balancer(p), &BTreeSet::from(["sg-task"]), 8080))
        };
        let by = |rules: &[IpPermission]| admitted(&guarded(rules, &[]));
        assert_eq!(by(&[from_group(8080, "sg-balancer")]), Ok(Admission::Yes));
        assert_eq!(by(&[from_group(8081, "sg-balancer")]), Ok(Admission::No));
        assert_eq!(by(&[from_group(8080, "sg-other")]), Ok(Admission::No));
        assert_eq!(by(&[from_block(8080, "10.0.0.0/16")]), Ok(Admission::Yes));
        assert_eq!(by(&[]), Ok(Admission::No));
        let mut gone = guarded(&[from_block(8080, "203.0.113.0/24")], &[]);
        gone.subnets.insert("subnet-0c3", Seen::Yes(None));
        assert_eq!(admitted(&gone), Ok(Admission::Unknown), "nobody knows where it is");
        let mut gone = guarded(&[from_block(8081, "0.0.0.0/0")], &[]);
        gone.subnets.insert("subnet-0c3", Seen::Yes(None));
        assert_eq!(admitted(&gone), Ok(Admission::No), "no rule is about the port");
        let mut gone = guarded(&[], &[]);
        gone.security_groups.insert("sg-task", Seen::Yes(None));
        assert_eq!(admitted(&gone), Ok(Admission::Unknown), "it might let anybody in");
        let mut hidden = guarded(&[from_group(8080, "sg-balancer")], &[]);
        hidden.subnets.insert("subnet-0c3", Seen::No(Why::Declined));
        assert_eq!(admitted(&hidden), Ok(Admission::Yes), "the group suffices");
    }

    #[test]
    fn the_balancer_is_let_out_to_a_target_or_to_wherever_tasks_may_be() {
        let target = baseline::target("10.0.1.21", 8080, "eu-west-2a", "healthy");
        let out = |rules: &[IpPermission], target: Option<&Target>| {
            let groups = BTreeSet::from(["sg-task"]);
            of(&guarded(&[], rules), |p| out_to_task(p, &balancer(p), &groups, target, 8080))
        };
        let here = |rules: &[IpPermission]| out(rules, Some(&target));
        assert_eq!(here(&[from_block(8080, "10.0.1.0/24")]), Ok(Admission::Yes));
        assert_eq!(here(&[from_block(8080, "10.0.2.0/24")]), Ok(Admission::No));
        assert_eq!(here(&[from_group(8080, "sg-task")]), Ok(Admission::Yes));
        assert_eq!(here(&[]), Ok(Admission::No));
        assert_eq!(out(&[from_block(8080, "10.0.0.0/16")], None), Ok(Admission::Yes));
        assert_eq!(out(&[from_block(8080, "10.0.1.7/32")], None), Ok(Admission::Unknown));
        assert_eq!(out(&[from_block(8080, "10.0.9.0/24")], None), Ok(Admission::No));
        let mut gone = guarded(&[], &[]);
        gone.security_groups.insert("sg-balancer", Seen::Yes(None));
        let groups = BTreeSet::from(["sg-task"]);
        let admitted = of(&gone, |p| out_to_task(p, &balancer(p), &groups, None, 8080));
        assert_eq!(admitted, Ok(Admission::Unknown));
    }

    #[test]
    fn open_ports_are_those_of_rules_that_surely_admit_the_balancer() {
        let rules = [
            IpPermission { to_port: Some(9000), ..from_group(8080, "sg-balancer") },
            from_group(22, "sg-other"),
            from_block(80, "10.0.0.0/16"),
            from_block(81, "10.0.3.1/32"),
            IpPermission { ip_protocol: "udp".into(), ..from_group(53, "sg-balancer") },
            everywhere("-1", None),
        ];
        let open = of(&guarded(&rules, &[]), |p| {
            let group = p.security_group("sg-task").unwrap().unwrap();
            open_to(p, &balancer(p), &[group]).unwrap()
        });
        assert_eq!(open, BTreeSet::from([Ports(80, 80), Ports(8080, 9000)]));
    }

    #[test]
    fn a_target_has_the_groups_of_its_tasks_interface() {
        let groups = |snapshot: &Snapshot, target: Option<&str>| {
            let target = target.map(|id| baseline::target(id, 32768, "eu-west-2a", "healthy"));
            of(snapshot, |patient| {
                let groups = task_groups(patient, target.as_ref()).unwrap();
                groups.into_iter().map(str::to_owned).collect::<Vec<_>>()
            })
        };
        let mut snapshot = baseline::fargate();
        assert_eq!(groups(&snapshot, Some("10.0.1.21")), ["sg-task"]);
        assert_eq!(groups(&snapshot, Some("10.9.9.9")), [""; 0], "a stranger");
        let arn = snapshot.services[0].service_arn.clone();
        let tasks = snapshot.running_tasks.change(&arn).unwrap();
        let interfaces: Vec<String> =
            tasks.iter().filter_map(|task| task.network_interface_id.clone()).collect();
        (tasks[0].started_at, tasks[1].started_at) = (Some(minutes_ago(9)), Some(minutes_ago(1)));
        for (interface, group) in interfaces.iter().zip(["sg-old", "sg-new"]) {
            snapshot.interfaces.change(interface).unwrap().groups = vec![group.into()];
        }
        assert_eq!(groups(&snapshot, Some("10.0.1.21")), ["sg-old"]);
        assert_eq!(groups(&snapshot, None), ["sg-new"], "the newest task");
        let newest = &mut snapshot.running_tasks.change(&arn).unwrap()[1];
        newest.last_status = "PENDING".into();
        assert_eq!(groups(&snapshot, None), ["sg-old"], "the newest that runs");
        let oldest = &mut snapshot.running_tasks.change(&arn).unwrap()[0];
        oldest.started_by = Some("ecs-svc/1".into());
        assert_eq!(groups(&snapshot, None), ["sg-task"], "what the deployment asks for");
        let ec2 = baseline::ec2();
        assert_eq!(groups(&ec2, Some("i-0a1b2c3d4e5f60001")), ["sg-instance"]);
    }

    #[test]
    fn a_tasks_network_is_that_of_its_deployment() {
        let network = |group: &str| NetworkConfiguration {
            security_groups: vec![group.into()],
            ..NetworkConfiguration::default()
        };
        let mut snapshot = baseline::fargate();
        let service = &mut snapshot.services[0];
        service.network_configuration = Some(network("sg-service"));
        let mut older = service.deployments[0].clone();
        (older.id, older.status) = ("ecs-svc/1".into(), "ACTIVE".into());
        older.network_configuration = Some(network("sg-older"));
        service.deployments[0].network_configuration = Some(network("sg-primary"));
        service.deployments.insert(0, older);
        let configured = |snapshot: &Snapshot, started_by: Option<&str>| {
            let task = started_by.map(|id| Task { started_by: Some(id.into()), ..Task::default() });
            of(snapshot, |patient| {
                configured(patient, task.as_ref()).unwrap().security_groups[0].clone()
            })
        };
        assert_eq!(configured(&snapshot, None), "sg-primary");
        assert_eq!(configured(&snapshot, Some("ecs-svc/1")), "sg-older");
        assert_eq!(configured(&snapshot, Some("ecs-svc/0")), "sg-service");
        snapshot.services[0].deployments[1].network_configuration = None;
        assert_eq!(configured(&snapshot, None), "sg-service");
    }

    #[test]
    fn a_target_is_found_at_its_address_or_at_its_instances() {
        let found = |snapshot: &Snapshot, id: &str, port: i32| {
            let target = baseline::target(id, port, "eu-west-2a", "healthy");
            of(snapshot, |patient| {
                let address = target_address(patient, &target).unwrap();
                let subnet = target_subnet(patient, &target).unwrap();
                (address.map(|it| it.to_string()), subnet.map(str::to_owned))
            })
        };
        let at = |address: &str, subnet: &str| (Some(address.into()), Some(subnet.into()));
        assert_eq!(found(&baseline::fargate(), "10.0.1.21", 8080), at("10.0.1.21", "subnet-0a1"));
        let instance = "i-0a1b2c3d4e5f60001";
        let mut ec2 = baseline::ec2();
        assert_eq!(found(&ec2, instance, 32768), at("10.0.1.101", "subnet-0a1"));
        assert_eq!(found(&ec2, instance, 1), (None, None), "no task of ours has this port");
        ec2.instance_interfaces.insert(instance, Seen::Yes(None));
        assert_eq!(found(&ec2, instance, 32768), (None, None), "the instance is gone");
    }

    #[test]
    fn the_health_check_asks_a_port_of_the_target_or_of_any_task() {
        let asked = |port: Option<&str>, target: Option<i32>| {
            let group = TargetGroup {
                target_group_arn: id::group("api"),
                port: Some(1),
                health_check_port: port.map(Into::into),
                ..TargetGroup::default()
            };
            let target =
                target.map(|port| baseline::target("10.0.1.21", port, "eu-west-2a", "healthy"));
            of(&baseline::fargate(), |p| health_check_port(p, &group, target.as_ref()))
        };
        for port in [None, Some("traffic-port")] {
            assert_eq!(asked(port, Some(32768)), Some(32768));
            assert_eq!(asked(port, None), Some(8080));
        }
        assert_eq!(asked(Some("9000"), Some(32768)), Some(9000));
        assert_eq!(asked(Some("9000"), None), Some(9000));
    }

    #[test]
    fn a_group_has_the_port_of_the_container_that_is_registered_with_it() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].load_balancers[0].alternate_target_group_arn = Some("green".into());
        let port = |arn: &str| {
            let group = TargetGroup {
                target_group_arn: arn.into(),
                port: Some(80),
                ..TargetGroup::default()
            };
            of(&snapshot, |patient| container_port(patient, &group))
        };
        assert_eq!(port(&id::group("api")), Some(8080));
        assert_eq!(port("green"), Some(8080));
        assert_eq!(port("another"), Some(80), "its own");
    }

    #[test]
    fn subnets_have_blocks_of_both_families() {
        let mut snapshot = baseline::fargate();
        snapshot.subnets.change("subnet-0a1").unwrap().ipv6_cidr_block =
            vec!["2001:db8::/64".into()];
        let blocks = |snapshot: &Snapshot, ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).into()).collect();
            let blocks = of(snapshot, |patient| subnet_blocks(patient, &ids)).unwrap();
            blocks.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            blocks(&snapshot, &["subnet-0a1", "subnet-0b2"]).unwrap(),
            ["10.0.1.0/24", "2001:db8::/64", "10.0.2.0/24"]
        );
        snapshot.subnets.insert("subnet-0b2", Seen::Yes(None));
        assert_eq!(blocks(&snapshot, &["subnet-0a1", "subnet-0b2"]), None);
    }

    #[test]
    fn what_a_group_admits_is_told_from_the_rule_that_comes_nearest() {
        let told = |rules: &[IpPermission]| {
            let group = SecurityGroup {
                ip_permissions: rules.to_vec(),
                ip_permissions_egress: rules.to_vec(),
                ..SecurityGroup::default()
            };
            let (inbound, outbound) = (what_it_admits(&group, 80), what_it_lets_out(&group, 80));
            let same = inbound.field.replacen("IpPermissions", "IpPermissionsEgress", 1);
            assert_eq!((same.as_str(), &inbound.value), (outbound.field, &outbound.value));
            (inbound.field, inbound.value)
        };
        let listed =
            IpPermission { cidr_ip: Vec::new(), prefix_list_id: vec!["pl-1".into()], ..rule("") };
        let v6 = IpPermission { cidr_ip: Vec::new(), cidr_ipv6: vec!["::/0".into()], ..rule("") };
        let nobody = IpPermission { cidr_ip: Vec::new(), ..rule("") };
        for (rules, field, value) in [
            (
                vec![from_block(22, "10.0.0.0/8"), rule("10.0.0.0/8")],
                "IpRanges.CidrIp",
                "10.0.0.0/8",
            ),
            (vec![from_group(80, "sg-1")], "UserIdGroupPairs.GroupId", "sg-1"),
            (vec![v6], "Ipv6Ranges.CidrIpv6", "::/0"),
            (vec![listed], "PrefixListIds.PrefixListId", "pl-1"),
            (vec![nobody], "IpPermissions.IpProtocol", "tcp"),
            (vec![from_group(22, "sg-1")], "IpPermissions.FromPort", "22"),
            (vec![everywhere("icmp", None)], "IpPermissions.IpProtocol", "icmp"),
            (vec![], "IpPermissions", "[]"),
        ] {
            assert_eq!(told(&rules), (field, value.to_owned()));
        }
    }

    #[test]
    fn ports_are_one_or_a_range() {
        let spelled = |ports: Ports| (ports.words(), ports.to_string());
        assert_eq!(spelled(8080.into()), ("port 8080".into(), "8080".into()));
        assert_eq!(
            spelled((32768..=65535).into()),
            ("ports 32768 to 65535".into(), "32768-65535".into())
        );
    }
}
