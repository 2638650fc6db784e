//! Who can reach whom through security groups. They only allow, and every rule of every group adds
//! up. A prefix list that nobody has looked into may have any address: then nobody may claim that
//! the way is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::facts::inbound::{health_check, instance, traffic};
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Remedy};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::service::NetworkConfiguration;
use crate::snapshot::{IpPermission, LoadBalancer, SecurityGroup, Target, TargetGroup, Task};
use crate::text::parsed;
use crate::{aws, hcl};

/// Whether some rule lets traffic through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    No,
    /// Perhaps: by a prefix list whose entries are not known, or by addresses that may be the
    /// peer's.
    Unknown,
    Yes,
}

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

/// Whether these permissions together let the peer through on a TCP port.
pub fn admits<'p>(
    permissions: impl IntoIterator<Item = &'p IpPermission>,
    port: i32,
    peer: &Peer,
    lists: &Lists,
) -> Admission {
    let covering = permissions.into_iter().filter(|permission| covers_tcp(permission, port));
    covering.map(|permission| admits_one(permission, peer, lists)).max().unwrap_or(Admission::No)
}

/// Whether these groups together let the peer in on a TCP port.
pub fn lets_in(
    patient: &Patient,
    groups: &[&SecurityGroup],
    port: i32,
    from: &Peer,
) -> Result<Admission, Blind> {
    let permissions = || groups.iter().flat_map(|group| &group.ip_permissions);
    through(patient, permissions, port, from)
}

/// Whether these groups together let traffic out to the peer on a TCP port.
pub fn lets_out(
    patient: &Patient,
    groups: &[&SecurityGroup],
    port: i32,
    to: &Peer,
) -> Result<Admission, Blind> {
    let permissions = || groups.iter().flat_map(|group| &group.ip_permissions_egress);
    through(patient, permissions, port, to)
}

/// Looks into prefix lists only where no other rule lets the peer through.
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

/// The network that the deployment of a task asks for, or, without a task, the primary deployment.
pub fn configured<'a>(
    patient: &Patient<'a>,
    task: Option<&Task>,
) -> Option<&'a NetworkConfiguration> {
    let service = patient.service();
    let started_by = task.and_then(|task| task.started_by.as_deref());
    let deployment = service
        .deployments
        .iter()
        .find(|d| started_by.map_or(d.status == "PRIMARY", |id| d.id == id));
    deployment
        .and_then(|deployment| deployment.network_configuration.as_ref())
        .or(service.network_configuration.as_ref())
}

/// The address at which the balancer finds a target; none where its instance is gone.
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

/// The port that the balancer's health check asks at a target, or at any task of the service.
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

/// Every one of these groups; none if one of them is not to be found, for it might let anybody
/// through.
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

/// Whether the security groups of a task let the balancer in on a port: by its groups, or by the
/// blocks of its subnets.
pub fn into_task(
    patient: &Patient,
    balancer: &LoadBalancer,
    task_groups: &BTreeSet<&str>,
    port: i32,
) -> Result<Admission, Blind> {
    let Some(groups) = security_groups(patient, task_groups)? else {
        return Ok(Admission::Unknown);
    };
    let by_group = Peer { groups: balancer.security_groups.clone(), ..Peer::default() };
    if lets_in(patient, &groups, port, &by_group)? == Admission::Yes {
        return Ok(Admission::Yes);
    }
    let Some(from) = balancer_as_peer(patient, balancer)? else { return Ok(Admission::Unknown) };
    lets_in(patient, &groups, port, &from)
}

/// The balancer as its targets see it; none where one of its subnets is not to be found.
fn balancer_as_peer(patient: &Patient, balancer: &LoadBalancer) -> Result<Option<Peer>, Blind> {
    let blocks = subnet_blocks(patient, &balancer.subnets)?;
    Ok(blocks.map(|blocks| Peer {
        groups: balancer.security_groups.clone(),
        blocks,
        ..Peer::default()
    }))
}

/// The ports on which single rules of these groups surely admit the balancer.
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

/// Whether the security groups of a balancer let it out to a target on a port. Without a target, to
/// any task: wherever its subnets may put it.
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

/// What a group does admit, as evidence: on this port somebody else, or else on other ports, or
/// nobody at all.
pub fn what_it_admits(group: &SecurityGroup, port: i32) -> Evidence {
    what_it_has(
        group,
        &group.ip_permissions,
        ["IpPermissions", "IpPermissions.FromPort", "IpPermissions.IpProtocol"],
        port,
    )
}

/// What a group does let out.
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

/// The rule that lets one group into another on a port, or a range of them, as a command and as
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

/// The same of the other direction: the rule that lets one group out to another.
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

/// A rule that lets one group into another on a port.
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
}
