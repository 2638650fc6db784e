//! Tasks that the internet reaches without a load balancer: a public address, a subnet that routes
//! to an internet gateway, and security groups that allow everyone where they listen; their own, or
//! those of the instances that they run on.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::cidr::{self, Cidr};
use crate::call::Call;
use crate::facts::inbound::instance::{self, EPHEMERAL};
use crate::facts::inbound::{health_check, traffic};
use crate::facts::network::reach::{self, Ports};
use crate::facts::network::route::{self, NextHop};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{Interface, IpPermission, SecurityGroup, Target, Task};
use crate::text::parsed;

/// A rule of a task's group that allows everyone, with the port that it opens; none where it opens
/// every port.
pub struct Opening<'a> {
    pub group: &'a SecurityGroup,
    pub permission: &'a IpPermission,
    pub port: Option<i32>,
    pub family: Family,
    /// The ports on which the load balancer has to be allowed instead.
    pub needs: Option<Ports>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// The tasks of one version that are reachable, and the rules that make them so.
#[derive(Default)]
pub struct Reachable<'a> {
    pub openings: Vec<Opening<'a>>,
    pub tasks: Vec<(&'a Task, &'a Interface)>,
    /// Where they are reached.
    pub addresses: Vec<&'a str>,
}

/// Where a task is reached: its own interface, or that of its instance.
struct Place<'a> {
    task: &'a Task,
    interface: &'a Interface,
    /// The target that the instance is, with its port of the host.
    target: Option<&'a Target>,
}

/// The running tasks that are reachable, by version. What the user expects to be open is left out.
pub fn tasks<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Reachable<'a>>, Blind> {
    let mut reachable: BTreeMap<&str, Reachable> = BTreeMap::new();
    let mut places = with_interfaces(patient, findings)?;
    places.extend(on_instances(patient, findings)?);
    for place in places {
        for family in [Family::V4, Family::V6] {
            let Some(address) = family.address_of(place.interface) else { continue };
            if !findings.see(family.is_on_internet(patient, place.interface)).unwrap_or_default() {
                continue;
            }
            let Some(openings) = findings.see(openings(patient, &place, family)) else { continue };
            if openings.is_empty() {
                continue;
            }
            let version = reachable.entry(&place.task.task_definition_arn).or_default();
            if !version.addresses.contains(&address) {
                version.addresses.push(address);
            }
            let known: Vec<(Family, Option<i32>)> =
                version.openings.iter().map(|opening| (opening.family, opening.port)).collect();
            version.openings.extend(
                openings
                    .into_iter()
                    .filter(|opening| !known.contains(&(opening.family, opening.port))),
            );
            let is_here = |(task, interface): &(&Task, &Interface)| {
                task.task_arn == place.task.task_arn
                    && interface.network_interface_id == place.interface.network_interface_id
            };
            if !version.tasks.iter().any(is_here) {
                version.tasks.push((place.task, place.interface));
            }
        }
    }
    Ok(reachable.into_values().collect())
}

/// Tasks that have a network interface.
fn with_interfaces<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Place<'a>>, Blind> {
    let mut places = Vec::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let Some(id) = task.network_interface_id.as_deref() else { continue };
        let Some(interface) = findings.see(patient.interface(id)).flatten() else { continue };
        places.push(Place { task, interface, target: None });
    }
    Ok(places)
}

/// Tasks behind targets that are instances.
fn on_instances<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Place<'a>>, Blind> {
    let mut places = Vec::new();
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        if settings.target_type.as_deref() != Some("instance") {
            continue;
        }
        for target in findings
            .see(patient.targets(group))
            .into_iter()
            .flatten()
            .filter(|target| !target.state.ends_with("draining"))
        {
            let Some(interface) = findings.see(instance::interface(patient, target)).flatten()
            else {
                continue;
            };
            let Some(task) = health_check::task_behind(patient, target)? else { continue };
            places.push(Place { task, interface, target: Some(target) });
        }
    }
    Ok(places)
}

impl Family {
    pub fn word(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// By which the internet would reach an interface.
    fn address_of(self, interface: &Interface) -> Option<&str> {
        match self {
            Family::V4 => interface.public_ip.as_deref(),
            Family::V6 => interface.ipv6_address.first().map(String::as_str),
        }
    }

    fn blocks(self, permission: &IpPermission) -> &[String] {
        match self {
            Family::V4 => &permission.cidr_ip,
            Family::V6 => &permission.cidr_ipv6,
        }
    }

    /// Whether a block is a part of the internet, and not a private one beside it.
    fn is_wide(self, cidr: &str) -> bool {
        let longest = if self == Family::V4 { 1 } else { 4 };
        parsed::<Cidr>(cidr).is_some_and(|block| block.length() <= longest)
    }

    /// An egress-only gateway, and a NAT gateway, allow no inbound connections.
    fn is_on_internet(self, patient: &Patient, interface: &Interface) -> Result<bool, Blind> {
        let Some(subnet) = interface.subnet_id.as_deref() else { return Ok(false) };
        // Where the default route of IPv4 leads, and where any global address of IPv6 would.
        let to = if self == Family::V4 { None } else { parsed("2000::1") };
        Ok(route::out(patient, subnet, to)?
            .is_some_and(|exit| matches!(exit.next_hop, NextHop::Internet(_))))
    }
}

impl Place<'_> {
    /// Where the task listens: on a port of the host, or on those of its containers; none where it
    /// maps none.
    fn ports(&self, patient: &Patient) -> Result<BTreeSet<i32>, Blind> {
        if let Some(target) = self.target {
            return Ok(target.port.into_iter().collect());
        }
        let definition = patient.task_definition(&self.task.task_definition_arn)?;
        let containers =
            definition.into_iter().flat_map(|definition| &definition.container_definitions);
        Ok(containers
            .flat_map(|container| &container.port_mappings)
            .filter_map(|mapping| mapping.container_port)
            .collect())
    }
}

/// The rules that allow everyone where the task listens: on its ports, or anywhere if it maps none.
fn openings<'a>(
    patient: &Patient<'a>,
    place: &Place<'a>,
    family: Family,
) -> Result<Vec<Opening<'a>>, Blind> {
    let mut groups = Vec::new();
    for id in &place.interface.groups {
        groups.extend(patient.security_group(id)?);
    }
    let permissions = || {
        groups.iter().flat_map(|group| {
            group.ip_permissions.iter().map(move |permission| (*group, permission))
        })
    };
    let ports = place.ports(patient)?;
    let dynamic = place.target.is_some_and(|target| instance::has_dynamic_port(patient, target));
    let mut openings = Vec::new();
    let mut open = |port: Option<i32>, here: Vec<(&'a SecurityGroup, &'a IpPermission)>| {
        if let Some(world) = world(&here, family)
            && !patient.intent().expects(&world)
        {
            let wide =
                |one: &IpPermission| family.blocks(one).iter().any(|cidr| family.is_wide(cidr));
            let here = here.into_iter().filter(|(_, permission)| wide(permission));
            let needs = if dynamic { Some(EPHEMERAL.into()) } else { port.map(Ports::from) };
            openings.extend(here.map(|(group, permission)| Opening {
                group,
                permission,
                port,
                family,
                needs,
            }));
        }
    };
    for port in &ports {
        open(
            Some(*port),
            permissions().filter(|(_, permission)| reach::covers_tcp(permission, *port)).collect(),
        );
    }
    if ports.is_empty() {
        permissions().for_each(|one| open(one.1.from_port, vec![one]));
    }
    Ok(openings)
}

/// All of the family, if these rules together allow it.
fn world(permissions: &[(&SecurityGroup, &IpPermission)], family: Family) -> Option<Cidr> {
    let blocks: Vec<Cidr> = permissions
        .iter()
        .flat_map(|(_, permission)| family.blocks(permission))
        .filter_map(|cidr| parsed(cidr))
        .collect();
    cidr::together(&blocks).into_iter().find(Cidr::is_world)
}

impl<'a> Opening<'a> {
    /// The blocks that make it so wide, as AWS spells them.
    pub fn wide(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        let family = self.family;
        family.blocks(self.permission).iter().filter(move |cidr| family.is_wide(cidr))
    }
}

impl Reachable<'_> {
    /// The public addresses, and the blocks that may come, each once.
    pub fn evidence(&self) -> Vec<Evidence> {
        let families: BTreeSet<Family> =
            self.openings.iter().map(|opening| opening.family).collect();
        let addresses = self.tasks.iter().flat_map(|(_, interface)| {
            families.iter().filter_map(|family| {
                let field = if *family == Family::V4 {
                    "Association.PublicIp"
                } else {
                    "Ipv6Addresses.Ipv6Address"
                };
                Some(Evidence::new(
                    Call::DescribeNetworkInterfaces,
                    &interface.network_interface_id,
                    field,
                    family.address_of(interface)?,
                ))
            })
        });
        let rules = self.openings.iter().flat_map(|opening| {
            let field = if opening.family == Family::V4 {
                "IpPermissions.IpRanges.CidrIp"
            } else {
                "IpPermissions.Ipv6Ranges.CidrIpv6"
            };
            opening.wide().map(move |cidr| {
                Evidence::new(Call::DescribeSecurityGroups, &opening.group.group_id, field, cidr)
            })
        });
        let mut evidence: Vec<Evidence> = Vec::new();
        for one in addresses.chain(rules) {
            if !evidence.contains(&one) {
                evidence.push(one);
            }
        }
        evidence
    }
}
