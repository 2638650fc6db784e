//! The hosts that the service is configured to call, and the tasks as the called side sees them:
//! their security groups, addresses and network. Hosts that only a browser uses do not count as
//! calls.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::aws::admission::Admission;
use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::facts::inbound::instance;
use crate::facts::network::reach::{self, Peer};
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{IpPermission, SecurityGroup};
use crate::text::{and_list, parsed};

/// A host that a variable of a current version names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub definition: &'a str,
    pub container: &'a str,
    pub variable: &'a str,
    pub host: &'a str,
}

/// Every host that a current version is told to call.
pub fn named<'a>(patient: &Patient<'a>) -> Result<Vec<Named<'a>>, Blind> {
    let mut all = Vec::new();
    for definition in versions(patient) {
        all.extend(
            named_by(patient, definition)?
                .into_iter()
                .filter(|named| !is_for_browsers(named.variable)),
        );
    }
    Ok(all)
}

/// The task definitions of the current versions.
pub fn versions<'a>(patient: &Patient<'a>) -> BTreeSet<&'a str> {
    patient.service().definitions().collect()
}

/// Every host that a task definition names, in whatever variable.
pub fn named_by<'a>(patient: &Patient<'a>, definition: &'a str) -> Result<Vec<Named<'a>>, Blind> {
    let mut all = Vec::new();
    for container in patient
        .task_definition(definition)?
        .iter()
        .flat_map(|definition| &definition.container_definitions)
    {
        for variable in &container.environment {
            all.extend(variable.hosts.iter().map(|host| Named {
                definition,
                container: &container.name,
                variable: &variable.name,
                host,
            }));
        }
    }
    Ok(all)
}

/// How many variables of the current versions come from secrets: what these name is never read.
pub fn secrets(patient: &Patient) -> Result<usize, Blind> {
    let mut secrets = 0;
    for definition in versions(patient) {
        secrets += patient
            .task_definition(definition)?
            .iter()
            .flat_map(|one| &one.container_definitions)
            .map(|one| one.secrets.len())
            .sum::<usize>();
    }
    Ok(secrets)
}

/// Whether a variable is there for browsers or others outside, who use the public name:
/// `NEXT_PUBLIC_API`, `CORS_ORIGINS`, callbacks, links to the frontend.
pub fn is_for_browsers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let built_in = ["VITE_", "REACT_APP_", "VUE_APP_", "GATSBY_"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    built_in
        || [
            "PUBLIC", "CORS", "ORIGIN", "REDIRECT", "CALLBACK", "ALLOWED", "LOGOUT", "FRONTEND",
            "SITE_URL", "WEBHOOK", "ISSUER", "AUDIENCE",
        ]
        .iter()
        .any(|word| name.contains(word))
}

impl Named<'_> {
    /// The variable and its host. The value itself is never kept: of its URLs only the hosts are.
    pub fn evidence(&self) -> [Evidence; 2] {
        let of = |field, value| {
            Evidence::new(Call::DescribeTaskDefinition, self.definition, field, value)
        };
        [
            of("containerDefinitions.environment.name", self.variable),
            of("containerDefinitions.environment.value.hosts", self.host),
        ]
    }
}

/// The tasks of the service as the called side sees them.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    /// Every security group of the tasks; none where one of them is not to be found.
    pub groups: Option<Vec<&'a SecurityGroup>>,
    pub group_ids: BTreeSet<&'a str>,
    pub subnets: Vec<&'a str>,
    pub vpc: &'a str,
    pub peer: Peer,
    /// The groups, subnets and addresses are those of the tasks' instances.
    pub on_instances: bool,
}

/// Why it does not apply where tasks have no network of their own, and no target says where their
/// instances are.
pub const NO_INTERFACE: &str =
    "tasks have no network interface of their own, and no target shows their instances";

/// The tasks of the primary deployment; none where their network is not known. Tasks without a
/// network of their own call with the addresses and the groups of their instances.
pub fn caller<'a>(patient: &Patient<'a>) -> Result<Option<Caller<'a>>, Blind> {
    let Some(network) = reach::configured(patient, None) else { return on_instances(patient) };
    let group_ids = reach::task_groups(patient, None)?;
    let mut vpc = None;
    let mut blocks: Vec<Cidr> = Vec::new();
    for id in &network.subnets {
        if let Some(subnet) = patient.subnet(id)? {
            vpc = vpc.or(subnet.vpc_id.as_deref());
            blocks.extend(subnet.cidr_block.as_deref().and_then(parsed::<Cidr>));
        }
    }
    let primary = stop::primary_version(patient);
    let runs = patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING");
    let ours = runs.filter(|task| {
        primary
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    });
    let addresses: Vec<IpAddr> = ours.filter_map(|task| parsed(task.private_address()?)).collect();
    let (Some(vpc), false) = (vpc, group_ids.is_empty()) else { return Ok(None) };
    // Where the addresses are known, what else the subnets have does not count.
    if !addresses.is_empty() {
        blocks.clear();
    }
    let subnets = network.subnets.iter().map(String::as_str).collect();
    Caller::new(patient, group_ids, subnets, vpc, Peer { addresses, blocks, ..Peer::default() })
        .map(Some)
}

fn on_instances<'a>(patient: &Patient<'a>) -> Result<Option<Caller<'a>>, Blind> {
    let interfaces = instance::of_tasks(patient)?;
    let subnets: BTreeSet<&str> =
        interfaces.iter().filter_map(|interface| interface.subnet_id.as_deref()).collect();
    let mut vpc = None;
    for id in &subnets {
        vpc = vpc.or(patient.subnet(id)?.and_then(|subnet| subnet.vpc_id.as_deref()));
    }
    let Some(vpc) = vpc else { return Ok(None) };
    // To allow one of the instances is to allow some of the tasks.
    let group_ids =
        interfaces.iter().flat_map(|interface| &interface.groups).map(String::as_str).collect();
    let addresses = interfaces
        .iter()
        .filter_map(|interface| parsed(interface.private_ip_address.as_deref()?))
        .collect();
    let peer = Peer { addresses, ..Peer::default() };
    Caller::new(patient, group_ids, subnets.into_iter().collect(), vpc, peer).map(Some)
}

/// The security groups that are proved to block the tasks' calls.
#[derive(Clone, Debug)]
pub enum Closed<'a> {
    /// Those of the other side do not allow the tasks.
    In(Vec<&'a SecurityGroup>),
    /// Those of the tasks block outbound traffic.
    Out(Vec<&'a SecurityGroup>),
}

impl<'a> Caller<'a> {
    fn new(
        patient: &Patient<'a>,
        group_ids: BTreeSet<&'a str>,
        subnets: Vec<&'a str>,
        vpc: &'a str,
        mut peer: Peer,
    ) -> Result<Caller<'a>, Blind> {
        peer.groups = group_ids.iter().map(|id| (*id).to_owned()).collect();
        let groups = reach::security_groups(patient, &group_ids)?;
        Ok(Caller {
            groups,
            group_ids,
            subnets,
            vpc,
            peer,
            on_instances: reach::configured(patient, None).is_none(),
        })
    }

    /// Whether security groups block the tasks' calls to a destination in the same VPC with these
    /// groups and subnets. Without subnets the addresses are not known, and any rule that names a
    /// block may have them.
    pub fn closed(
        &self,
        patient: &Patient<'a>,
        groups: &[String],
        subnets: &[String],
        port: i32,
    ) -> Result<Option<Closed<'a>>, Blind> {
        let Some(theirs) = reach::security_groups(patient, groups)? else { return Ok(None) };
        if theirs.is_empty() {
            return Ok(None);
        }
        // The tasks' IPv6 addresses are not known: a rule for IPv6 may be how the two meet.
        let by_v6 = |permissions: &[IpPermission]| {
            permissions.iter().any(|one| reach::covers_tcp(one, port) && !one.cidr_ipv6.is_empty())
        };
        if reach::lets_in(patient, &theirs, port, &self.peer)? == Admission::No {
            return Ok((!theirs.iter().any(|group| by_v6(&group.ip_permissions)))
                .then_some(Closed::In(theirs)));
        }
        let Some(own) = self
            .groups
            .as_ref()
            .filter(|own| !own.iter().any(|group| by_v6(&group.ip_permissions_egress)))
        else {
            return Ok(None);
        };
        let blocks = match reach::subnet_blocks(patient, subnets)? {
            Some(blocks) if !blocks.is_empty() => blocks,
            // Any address, private ones too: `0.0.0.0/0` as a peer is the world outside.
            _ => ["0.0.0.0/1", "128.0.0.0/1"].iter().filter_map(|half| parsed(half)).collect(),
        };
        let to = Peer { groups: groups.to_vec(), blocks, ..Peer::default() };
        Ok((reach::lets_out(patient, own, port, &to)? == Admission::No)
            .then(|| Closed::Out(own.clone())))
    }
}

impl Closed<'_> {
    /// `no rule of security group sg-1 of database orders-db allows the tasks (sg-2) on port 5432:
    /// they cannot connect`
    pub fn claim(&self, caller: &Caller, callee: &str, port: i32) -> String {
        let list = |groups: &[&SecurityGroup]| and_list(groups.iter().map(|group| &group.group_id));
        let (who, whose) = if caller.on_instances {
            ("tasks' instances", "instances")
        } else {
            ("tasks", "tasks")
        };
        match self {
            Closed::In(groups) => format!(
                "no rule of security group {} of {callee} allows the {who} ({}) on port {port}: they cannot connect",
                list(groups),
                and_list(&caller.group_ids)
            ),
            Closed::Out(groups) => {
                format!(
                    "no rule of the {whose}' security group {} allows outbound traffic to {callee} on port {port}: they cannot connect",
                    list(groups)
                )
            }
        }
    }

    pub fn groups(&self) -> &[&SecurityGroup] {
        match self {
            Closed::In(groups) | Closed::Out(groups) => groups,
        }
    }

    pub fn subject(&self) -> Subject {
        Subject::new(Kind::SecurityGroup, self.groups().first().map_or("", |group| &group.group_id))
    }

    /// What the groups do allow.
    pub fn evidence(&self, port: i32) -> Vec<Evidence> {
        match self {
            Closed::In(groups) => {
                groups.iter().map(|group| reach::what_it_admits(group, port)).collect()
            }
            Closed::Out(groups) => {
                groups.iter().map(|group| reach::what_it_lets_out(group, port)).collect()
            }
        }
    }

    /// The rule that is missing, between the first group of the tasks and the first of the other
    /// side.
    pub fn remedy(&self, caller: &Caller, theirs: &[String], port: i32) -> Remedy {
        let (own, theirs) = (
            caller.group_ids.iter().next().copied().unwrap_or_default(),
            theirs.first().map_or("", String::as_str),
        );
        match self {
            Closed::In(_) => {
                let whose = if caller.on_instances { "instances" } else { "tasks" };
                let remedy =
                    Remedy::new(format!("Allow the {whose}' security group on port {port}."));
                reach::let_in(remedy, "tasks", theirs, own, port)
            }
            Closed::Out(_) => {
                let remedy = Remedy::new(format!(
                    "Allow outbound traffic from the tasks to security group {theirs} on port {port}."
                ));
                reach::let_out(remedy, "tasks", own, theirs, port)
            }
        }
    }
}
