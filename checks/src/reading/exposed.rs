//! Tasks that the internet reaches without a load balancer: a public address, a subnet that routes to an internet gateway, and
//! security groups of their own that let the world in where they listen.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::check::Findings;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::address::{self, Cidr};
use crate::reading::route::{self, Way};
use crate::reading::{parsed, reach};
use crate::seen::Blind;
use crate::snapshot::{Interface, IpPermission, SecurityGroup, Task};

/// A rule of a task's group that lets the world in, with the port that it opens; none where it opens every port.
pub struct Opening<'a> {
    pub group: &'a SecurityGroup,
    pub permission: &'a IpPermission,
    pub port: Option<i32>,
}

/// The tasks of one version that are reachable, and the rules that make them so.
pub struct Reachable<'a> {
    pub openings: Vec<Opening<'a>>,
    pub tasks: Vec<(&'a Task, &'a Interface)>,
}

/// The running tasks that are reachable, by version. What the user expects to be open is left out.
pub fn tasks<'a>(patient: &Patient<'a>, findings: &mut Findings) -> Result<Vec<Reachable<'a>>, Blind> {
    let mut reachable: BTreeMap<&str, Reachable> = BTreeMap::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let Some(id) = task.network_interface_id.as_deref() else { continue };
        let Some(interface) = findings.see(patient.interface(id)).flatten() else { continue };
        if interface.public_ip.is_none() || !findings.see(is_on_internet(patient, interface)).unwrap_or_default() {
            continue;
        }
        let Some(openings) = findings.see(openings(patient, task, interface)) else { continue };
        if !openings.is_empty() {
            reachable.entry(&task.task_definition_arn).or_insert_with(|| Reachable { openings, tasks: Vec::new() }).tasks.push((task, interface));
        }
    }
    Ok(reachable.into_values().collect())
}

fn is_on_internet(patient: &Patient, interface: &Interface) -> Result<bool, Blind> {
    let Some(subnet) = interface.subnet_id.as_deref() else { return Ok(false) };
    Ok(route::out(patient, subnet, None)?.is_some_and(|exit| matches!(exit.way, Way::Internet(_))))
}

/// The rules that let the world in where the task listens: on the ports of its containers, or anywhere if it maps none.
fn openings<'a>(patient: &Patient<'a>, task: &Task, interface: &Interface) -> Result<Vec<Opening<'a>>, Blind> {
    let mut groups = Vec::new();
    for id in &interface.groups {
        groups.extend(patient.security_group(id)?);
    }
    let permissions = || groups.iter().flat_map(|group| group.ip_permissions.iter().map(move |permission| (*group, permission)));
    let definition = patient.task_definition(&task.task_definition_arn)?;
    let containers = definition.into_iter().flat_map(|definition| &definition.container_definitions);
    let ports: BTreeSet<i32> = containers.flat_map(|container| &container.port_mappings).filter_map(|mapping| mapping.container_port).collect();
    let mut openings = Vec::new();
    let mut open = |port: Option<i32>, here: Vec<(&'a SecurityGroup, &'a IpPermission)>| {
        if let Some(world) = world(&here)
            && !address::within(&world, &patient.intent().expect_ingress)
        {
            openings.extend(here.into_iter().filter(|(_, one)| one.cidr_ip.iter().any(|cidr| is_wide(cidr))).map(|(group, permission)| Opening {
                group,
                permission,
                port,
            }));
        }
    };
    for port in &ports {
        open(Some(*port), permissions().filter(|(_, permission)| reach::covers_tcp(permission, *port)).collect());
    }
    if ports.is_empty() {
        permissions().for_each(|one| open(one.1.from_port, vec![one]));
    }
    Ok(openings)
}

/// All of IPv4, if these rules together let it in.
fn world(permissions: &[(&SecurityGroup, &IpPermission)]) -> Option<Cidr> {
    let blocks: Vec<Cidr> = permissions.iter().flat_map(|(_, permission)| &permission.cidr_ip).filter_map(|cidr| parsed(cidr)).collect();
    address::together(&blocks).into_iter().find(|block| block.is_world() && !block.is_v6())
}

/// Whether a block is a part of the world's way in, and not a private one beside it.
fn is_wide(cidr: &str) -> bool {
    parsed::<Cidr>(cidr).is_some_and(|block| block.length() <= 1)
}

impl<'a> Opening<'a> {
    /// The blocks that make it so wide, as AWS spells them.
    pub fn wide(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.permission.cidr_ip.iter().filter(|cidr| is_wide(cidr))
    }
}

/// The public addresses, and the blocks that may come, each once.
pub fn evidence(openings: &[Opening], tasks: &[(&Task, &Interface)]) -> Vec<Evidence> {
    let public = tasks.iter().filter_map(|(_, interface)| {
        let address = interface.public_ip.as_ref()?;
        Some(Evidence::new(Call::DescribeNetworkInterfaces, &interface.network_interface_id, "Association.PublicIp", address))
    });
    let rules = openings.iter().flat_map(|opening| {
        let group = &opening.group.group_id;
        opening.wide().map(move |cidr| Evidence::new(Call::DescribeSecurityGroups, group, "IpPermissions.IpRanges.CidrIp", cidr))
    });
    let mut evidence: Vec<Evidence> = Vec::new();
    for one in public.chain(rules) {
        if !evidence.contains(&one) {
            evidence.push(one);
        }
    }
    evidence
}
