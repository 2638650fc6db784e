//! The openings between a load balancer and its tasks: one port of tasks, or of the instances that
//! they run on, that have the same security groups, and what the health checks prove about the
//! path. A health check that passes, or fails with an answer, shows that the path is open; that of
//! a Network Load Balancer does not say whether it got one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::aws::admission::Admission;
use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::facts::deployment::rollout;
use crate::facts::inbound::health_check::{self, FailedCheck, Failure};
use crate::facts::inbound::instance::{self, EPHEMERAL};
use crate::facts::inbound::traffic;
use crate::facts::network::network_acl::{self, Crossing, Dropped};
use crate::facts::network::reach::{self, Ports};
use crate::facts::tasks::stop::StopKind;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Why};
use crate::snapshot::{LoadBalancer, Target, TargetGroup, Task};

/// One port of tasks that have the same security groups; of ports that Docker chose, those that
/// have the same trouble.
#[derive(Clone)]
pub struct TaskPorts<'a> {
    /// The security groups of the tasks, or of the instances that stand for them.
    pub task_groups: BTreeSet<&'a str>,
    pub ports: BTreeSet<i32>,
    /// Docker chose the ports, so that the next task has another one.
    pub dynamic: bool,
    /// The health check asks this port, so that its results tell about it.
    pub checked: bool,
    pub passes: bool,
    /// A health check that fails here, and in such a way that something may drop it.
    pub failed: Option<FailedCheck<'a>>,
    /// The targets behind it that are registered now.
    pub targets: Vec<&'a Target>,
}

impl TaskPorts<'_> {
    /// Whether a health check proves that it is open; or it is so new that ECS may still be adding
    /// the rule for it.
    pub fn is_beyond_doubt(&self, patient: &Patient) -> bool {
        (self.checked && self.passes) || (self.failed.is_none() && rollout::just_began(patient))
    }

    /// Whose security groups they are.
    pub fn whose(&self) -> &'static str {
        if self.targets.iter().any(|target| instance::is_one(target)) {
            "instances"
        } else {
            "tasks"
        }
    }

    /// What has to be open for this opening, and for that of the next task.
    pub fn needs(&self) -> Ports {
        match self.ports.first() {
            Some(port) if !self.dynamic => (*port).into(),
            _ => EPHEMERAL.into(),
        }
    }

    /// Which instances have these groups, as evidence; where a task has an interface, that is named
    /// by the task itself.
    pub fn evidence(&self, patient: &Patient) -> Result<Vec<Evidence>, Blind> {
        let mut evidence = Vec::new();
        if let Some(target) = self.targets.iter().find(|target| instance::is_one(target))
            && let Some(interface) = instance::interface(patient, target)?
        {
            let of_interface = |group| {
                Evidence::new(
                    Call::DescribeNetworkInterfaces,
                    &interface.network_interface_id,
                    "Groups",
                    group,
                )
            };
            evidence.extend(interface.groups.iter().map(of_interface));
        }
        Ok(evidence)
    }

    /// What a closed opening does to the health check, or to the requests.
    pub fn effect(&self, group: &TargetGroup) -> String {
        let name = traffic::group_name(&group.target_group_arn);
        match (&self.failed, self.checked) {
            (Some(failed), _) => match &failed.version {
                Some(version) if failed.given_up().is_some() => format!(
                    "so the health check of target group {name} {} for {}{}",
                    failed.failure.verb_then(),
                    version.name(),
                    version.fate().trim_end_matches(',')
                ),
                _ => {
                    format!("so the health check of target group {name} {}", failed.failure.verb())
                }
            },
            (None, true) => {
                format!("so the health check of target group {name} cannot get through")
            }
            (None, false) => format!(
                "so requests to target group {name} cannot get through, whatever its health check on another port shows"
            ),
        }
    }
}

/// A closed opening between a load balancer and the targets of a group.
pub struct Closed<'a> {
    pub group: &'a TargetGroup,
    pub balancer: &'a LoadBalancer,
    pub ports: TaskPorts<'a>,
}

/// Why no opening can be closed.
pub const NOBODY_BEHIND: &str = "no tasks or instances behind such a load balancer";

/// Examines each opening between such load balancers and tasks, or their instances; those that are
/// closed. What is closed in the same way on several ports that Docker chose is one. None where no
/// task and no instance is behind such a load balancer.
pub fn closed<'a>(
    patient: &Patient<'a>,
    notes: &mut impl See,
    concerns: impl Fn(&LoadBalancer) -> bool,
    is_closed: impl Fn(&LoadBalancer, &TaskPorts<'a>) -> Result<bool, Blind>,
) -> Result<Option<Vec<Closed<'a>>>, Blind> {
    let mut all: Option<Vec<Closed>> = None;
    for group in traffic::groups(patient)? {
        let Some(settings) = notes.see(patient.target_group(group)).flatten() else { continue };
        if !matches!(settings.target_type.as_deref(), Some("ip" | "instance")) {
            continue;
        }
        let balancers = notes.see(traffic::balancers_of(patient, settings));
        for arn in balancers.into_iter().flatten() {
            let Some(balancer) = notes.see(patient.load_balancer(arn)).flatten() else { continue };
            if !concerns(balancer) {
                continue;
            }
            let mut closed: Vec<TaskPorts> = Vec::new();
            let given_up = notes.see(health_check::of_the_given_up(patient, group));
            let openings = notes.see(openings(patient, settings, given_up.flatten()));
            for opening in openings.into_iter().flatten() {
                if notes.see(is_closed(balancer, &opening)).unwrap_or_default() {
                    add(&mut closed, opening);
                }
            }
            let closed =
                closed.into_iter().map(|ports| Closed { group: settings, balancer, ports });
            all.get_or_insert_default().extend(closed);
        }
    }
    Ok(all)
}

/// Whether what comes to this opening has addresses and groups of the load balancer's own. A
/// Network Load Balancer may hand on its clients' addresses; only its health checks always
/// come from itself.
pub fn is_balancers_own(balancer: &LoadBalancer, opening: &TaskPorts) -> bool {
    opening.checked || !is_network(balancer)
}

pub fn is_network(balancer: &LoadBalancer) -> bool {
    balancer.load_balancer_type.as_deref() == Some("network")
}

pub fn has_groups(balancer: &LoadBalancer) -> bool {
    !balancer.security_groups.is_empty()
}

/// Whether the tasks see who the load balancer is: by its groups, or, of a network load balancer
/// that has none, by the addresses of its subnets.
pub fn is_known_to_tasks(balancer: &LoadBalancer) -> bool {
    has_groups(balancer) || is_network(balancer)
}

/// Adds a closed opening, or its port to those that are closed in the same way.
fn add<'a>(closed: &mut Vec<TaskPorts<'a>>, opening: TaskPorts<'a>) {
    let is_alike = |other: &&mut TaskPorts| {
        other.dynamic
            && opening.dynamic
            && other.task_groups == opening.task_groups
            && other.checked == opening.checked
    };
    match closed.iter_mut().find(is_alike) {
        Some(alike) => {
            alike.ports.extend(opening.ports);
            alike.targets.extend(opening.targets);
            alike.failed = alike.failed.take().or(opening.failed);
        }
        None => closed.push(opening),
    }
}

/// The openings of a target group: those of its registered targets, and of a task that was just
/// replaced, or failed before its version was rolled back.
fn openings<'a>(
    patient: &Patient<'a>,
    group: &TargetGroup,
    given_up: Option<FailedCheck<'a>>,
) -> Result<Vec<TaskPorts<'a>>, Blind> {
    let arn = &group.target_group_arn;
    let mut openings: BTreeMap<(BTreeSet<&str>, i32), TaskPorts> = BTreeMap::new();
    let mut add = |target: Option<&'a Target>,
                   failed: Option<&FailedCheck<'a>>|
     -> Result<(), Blind> {
        let healthy = target.is_some_and(|target| target.state == "healthy");
        let groups = match failed {
            Some(failed) => reach::groups_of(patient, failed),
            None => reach::task_groups(patient, target),
        };
        let task_groups = match groups {
            Err(Blind { why: Why::NotAsked, .. }) if target.is_some_and(need_not_be_seen) => {
                return Ok(());
            }
            other => other?,
        };
        let checked = reach::health_check_port(patient, group, target);
        let traffic = target.map_or(reach::container_port(patient, group), |target| target.port);
        let dynamic = target.is_some_and(|target| instance::has_dynamic_port(patient, target));
        // Which groups another service's target has is not known.
        for port in BTreeSet::from([checked, traffic])
            .into_iter()
            .flatten()
            .filter(|_| !task_groups.is_empty())
        {
            let (checked, dynamic) = (checked == Some(port), dynamic && traffic == Some(port));
            let new = || TaskPorts {
                task_groups: task_groups.clone(),
                ports: BTreeSet::from([port]),
                dynamic,
                checked,
                passes: false,
                failed: None,
                targets: Vec::new(),
            };
            let opening = openings.entry((task_groups.clone(), port)).or_insert_with(new);
            opening.passes |= healthy || failed.is_some_and(answers);
            if let Some(failed) = failed.filter(|failed| checked && failed.failure.may_be_dropped())
            {
                opening.failed.get_or_insert(failed.clone());
            }
            opening.targets.extend(target);
        }
        Ok(())
    };
    let mut failures = health_check::failures(patient, arn)?;
    if failures.is_empty() {
        failures.extend(given_up);
    }
    for target in patient.targets(arn)?.iter().filter(|target| !target.state.ends_with("draining"))
    {
        add(Some(target), failures.iter().find(|failed| failed.target == Some(target)))?;
    }
    for failed in failures.iter().filter(|failed| failed.target.is_none()) {
        add(None, Some(failed))?;
    }
    // Which group of a pair an unregistered task belongs to is not known.
    let alone = patient.targets(arn)?.is_empty() && traffic::pair(patient, arn)?.len() < 2;
    if alone && patient.running_tasks()?.iter().any(|task| task.last_status == "RUNNING") {
        add(None, None)?;
    }
    Ok(openings.into_values().collect())
}

/// Of very many instances the collector asks only about some, those with trouble first. The path to
/// a healthy one is open.
fn need_not_be_seen(target: &Target) -> bool {
    instance::is_one(target) && target.state == "healthy"
}

/// Whether a failed health check got an answer, so that the path is open.
fn answers(failed: &FailedCheck) -> bool {
    matches!(failed.failure, Failure::WrongAnswer | Failure::Refused)
}

/// A subnet of tasks where a network ACL drops the health checks.
#[derive(Debug)]
pub struct Shut<'a> {
    pub subnet: &'a str,
    /// What is dropped first on the path from each of the load balancer's subnets that is cut off.
    pub dropped: Vec<Dropped<'a>>,
    /// How many of the load balancer's subnets are cut off, and how many it has.
    pub cut_off: (usize, usize),
    /// A health check that fails there.
    pub failed: FailedCheck<'a>,
}

/// What a health check that may be dropped calls in a subnet.
struct Asked<'a> {
    peer: Cidr,
    port: i32,
    /// Docker chose the port.
    dynamic: bool,
    failed: FailedCheck<'a>,
}

/// The subnets of a target group's tasks whose health checks all time out, or fail without a word
/// of how, and an ACL between them and the load balancer drops the traffic, one way or the other.
pub fn shut_by_acls<'a>(
    patient: &Patient<'a>,
    group: &TargetGroup,
    balancer: &'a LoadBalancer,
) -> Result<Vec<Shut<'a>>, Blind> {
    let arn = &group.target_group_arn;
    let Some(vpc) = &balancer.vpc_id else { return Ok(Vec::new()) };
    let failures = health_check::now_or_then(patient, arn)?;
    let mut behind: BTreeMap<&str, Asked> = BTreeMap::new();
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for target in patient.targets(arn)? {
        let subnet = match reach::target_subnet(patient, target) {
            Err(Blind { why: Why::NotAsked, .. }) if need_not_be_seen(target) => None,
            other => other?,
        };
        let Some(subnet) = subnet else { continue };
        let failed = failures.iter().find(|failed| failed.target == Some(target));
        if target.state == "healthy" || failed.is_some_and(answers) {
            open.insert(subnet);
        }
        if let Some(failed) = failed.filter(|failed| failed.failure.may_be_dropped())
            && let (Some(address), Some(port)) = (reach::target_address(patient, target)?, reach::health_check_port(patient, group, Some(target)))
            // The load balancer's subnets are known by their IPv4 blocks.
            && address.is_ipv4()
        {
            let dynamic = target.port == Some(port) && instance::has_dynamic_port(patient, target);
            behind.entry(subnet).or_insert_with(|| Asked {
                peer: address.into(),
                port,
                dynamic,
                failed: failed.clone(),
            });
        }
    }
    // Between two tasks of a kill loop the one that was replaced tells where it was.
    for failed in
        failures.iter().filter(|failed| failed.target.is_none() && failed.failure.may_be_dropped())
    {
        for subnet in replaced_in(patient, failed)? {
            if let (Some(block), Some(port)) = (
                reach::subnet_block(patient, subnet)?,
                reach::health_check_port(patient, group, None),
            ) {
                behind.entry(subnet).or_insert_with(|| Asked {
                    peer: block,
                    port,
                    dynamic: false,
                    failed: failed.clone(),
                });
            }
        }
    }
    let mut shut = Vec::new();
    for (subnet, Asked { peer, port, dynamic, failed }) in
        behind.into_iter().filter(|(subnet, _)| !open.contains(subnet))
    {
        let mut dropped = Vec::new();
        for own in balancer.subnets.iter().filter(|own| *own != subnet) {
            let Some(block) = reach::subnet_block(patient, own)? else { continue };
            let crossing = |subnet, egress, peer, ports| Crossing { subnet, egress, peer, ports };
            let hops = |ports: RangeInclusive<i32>| {
                [
                    crossing(own.as_str(), true, peer, ports.clone()),
                    crossing(subnet, false, block, ports),
                    crossing(subnet, true, block, network_acl::OF_BALANCERS),
                    crossing(own.as_str(), false, peer, network_acl::OF_BALANCERS),
                ]
            };
            let Some(found) = network_acl::dropped(patient, vpc, hops(port..=port))? else {
                continue;
            };
            // Where all ports are dropped that Docker may choose, all of them have to be allowed.
            let all =
                if dynamic { network_acl::dropped(patient, vpc, hops(EPHEMERAL))? } else { None };
            dropped.push(all.filter(|all| all.crossing.is_at(&found.crossing)).unwrap_or(found));
        }
        let cut_off = (dropped.len(), balancer.subnets.len());
        if !dropped.is_empty() {
            shut.push(Shut { subnet, dropped, cut_off, failed });
        }
    }
    Ok(shut)
}

/// The subnets of the tasks that were stopped for such a health check; where ECS has forgotten the
/// tasks of a version that it rolled back, those that it had asked for.
fn replaced_in<'a>(
    patient: &Patient<'a>,
    failed: &FailedCheck<'a>,
) -> Result<BTreeSet<&'a str>, Blind> {
    let Some(version) = &failed.version else { return Ok(BTreeSet::new()) };
    let is_replaced = |task: &&Task| {
        version.has(task) && matches!(StopKind::of(task), StopKind::BalancerHealthCheck { .. })
    };
    let replaced = patient.stopped_tasks()?.iter().filter(is_replaced);
    let subnets: BTreeSet<&str> = replaced.filter_map(|task| task.subnet_id.as_deref()).collect();
    if !subnets.is_empty() || failed.given_up().is_none() {
        return Ok(subnets);
    }
    let network = version.network(patient)?;
    Ok(network.into_iter().flat_map(|network| network.subnets).map(String::as_str).collect())
}

/// Whether security groups or network ACLs are proved to drop some of these health checks, from
/// some load balancer.
pub fn is_shut<'a>(
    patient: &Patient<'a>,
    group: &'a TargetGroup,
    failures: &[FailedCheck],
) -> Result<bool, Blind> {
    for arn in traffic::balancers_of(patient, group)? {
        let Some(balancer) = patient.load_balancer(arn)? else { continue };
        let by_acls = match shut_by_acls(patient, group, balancer) {
            // Network ACLs are asked about only where something timed out: nothing proves that one
            // is in the way.
            Err(Blind { why: Why::NotAsked, .. }) => false,
            shut => !shut?.is_empty(),
        };
        if by_acls {
            return Ok(true);
        }
        for failed in failures.iter().filter(|_| is_known_to_tasks(balancer)) {
            let groups = reach::groups_of(patient, failed)?;
            let Some(port) = reach::health_check_port(patient, group, failed.target)
                .filter(|_| !groups.is_empty())
            else {
                continue;
            };
            let closed = |admission| admission == Admission::No;
            if closed(reach::into_task(patient, balancer, &groups, port)?)
                || (has_groups(balancer)
                    && closed(reach::out_to_task(patient, balancer, &groups, failed.target, port)?))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The load balancer's groups as evidence.
pub fn groups_of(balancer: &LoadBalancer) -> impl Iterator<Item = Evidence> {
    balancer.security_groups.iter().map(|id| {
        Evidence::new(
            Call::DescribeLoadBalancers,
            &balancer.load_balancer_arn,
            "SecurityGroups",
            id,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, id};
    use crate::snapshot::Snapshot;
    use crate::testing::of;

    fn failed(failure: Failure) -> FailedCheck<'static> {
        let evidence = Evidence::new(Call::DescribeTargetHealth, "group", "State", "unhealthy");
        FailedCheck { failure, code: None, description: "", target: None, version: None, evidence }
    }

    fn opening(port: i32) -> TaskPorts<'static> {
        TaskPorts {
            task_groups: BTreeSet::from(["sg-task"]),
            ports: BTreeSet::from([port]),
            dynamic: false,
            checked: true,
            passes: false,
            failed: None,
            targets: Vec::new(),
        }
    }

    fn young(minutes: i32) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].deployments.truncate(1);
        snapshot.services[0].deployments[0].created_at =
            Some(NOW - crate::aws::time::minutes(minutes));
        snapshot
    }

    #[test]
    fn a_door_is_beyond_doubt_if_its_own_check_passes_or_all_of_it_is_new() {
        let (old, new) = (young(60), young(1));
        let beyond =
            |snapshot: &Snapshot, opening: &TaskPorts| of(snapshot, |p| opening.is_beyond_doubt(p));
        let passes = || TaskPorts { passes: true, ..opening(8080) };
        assert!(beyond(&old, &passes()));
        assert!(!beyond(&old, &TaskPorts { checked: false, ..passes() }), "of another port");
        assert!(!beyond(&old, &opening(8080)));
        assert!(beyond(&new, &opening(8080)));
        let failed = TaskPorts { failed: Some(failed(Failure::TimedOut)), ..opening(8080) };
        assert!(!beyond(&new, &failed));
        assert!(beyond(&old, &TaskPorts { passes: true, ..failed }));
    }

    #[test]
    fn a_port_that_docker_chose_needs_all_that_it_may_choose() {
        assert_eq!(opening(8080).needs(), Ports(8080, 8080));
        assert_eq!(TaskPorts { dynamic: true, ..opening(32768) }.needs(), Ports(32768, 65535));
    }

    #[test]
    fn the_groups_are_of_instances_where_a_target_is_one() {
        let target = |id: &str| baseline::target(id, 8080, "eu-west-2a", "healthy");
        let (task, instance) = (target("10.0.1.21"), target("i-1"));
        let mut opening = opening(8080);
        opening.targets = vec![&task];
        assert_eq!(opening.whose(), "tasks");
        opening.targets.push(&instance);
        assert_eq!(opening.whose(), "instances");
    }

    #[test]
    fn a_closed_door_tells_what_it_does_to_the_health_check_or_to_requests() {
        let group = TargetGroup { target_group_arn: id::group("api"), ..TargetGroup::default() };
        let effect = |failure: Option<Failure>, checked| {
            TaskPorts { failed: failure.map(failed), checked, ..opening(8080) }.effect(&group)
        };
        let check = "so the health check of target group api";
        assert_eq!(effect(Some(Failure::TimedOut), true), format!("{check} times out"));
        assert_eq!(effect(Some(Failure::Unanswered), true), format!("{check} fails"));
        assert_eq!(effect(None, true), format!("{check} cannot get through"));
        assert!(effect(None, false).starts_with("so requests to target group api cannot"));
    }

    #[test]
    fn doors_that_docker_chose_and_are_closed_alike_are_told_once() {
        let dynamic = |port| TaskPorts { dynamic: true, ..opening(port) };
        let told = |others: Vec<TaskPorts<'static>>| {
            let mut closed = vec![dynamic(32768)];
            others.into_iter().for_each(|opening| add(&mut closed, opening));
            closed.iter().map(|opening| opening.ports.len()).collect::<Vec<_>>()
        };
        assert_eq!(told(vec![dynamic(32769), dynamic(32770)]), [3]);
        assert_eq!(told(vec![opening(8080)]), [1, 1], "nobody chose that one");
        assert_eq!(told(vec![TaskPorts { checked: false, ..dynamic(32769) }]), [1, 1]);
        let groups = BTreeSet::from(["sg-other"]);
        assert_eq!(told(vec![TaskPorts { task_groups: groups, ..dynamic(32769) }]), [1, 1]);
        let mut closed = vec![dynamic(32768)];
        add(&mut closed, TaskPorts { failed: Some(failed(Failure::TimedOut)), ..dynamic(32769) });
        assert_eq!(closed[0].failed.as_ref().map(|it| it.failure), Some(Failure::TimedOut));
    }

    #[test]
    fn behind_a_network_load_balancer_only_health_checks_are_its_own() {
        let own = |kind: Option<&str>, checked| {
            let balancer = LoadBalancer {
                load_balancer_type: kind.map(Into::into),
                ..LoadBalancer::default()
            };
            is_balancers_own(&balancer, &TaskPorts { checked, ..opening(8080) })
        };
        assert!(own(Some("application"), false));
        assert!(own(Some("network"), true));
        assert!(!own(Some("network"), false));
    }

    #[test]
    fn a_health_check_that_fails_with_an_answer_shows_that_the_way_is_open() {
        for (failure, open) in [
            (Failure::WrongAnswer, true),
            (Failure::Refused, true),
            (Failure::TimedOut, false),
            (Failure::Unanswered, false),
            (Failure::Other, false),
        ] {
            assert_eq!(answers(&failed(failure)), open, "{failure:?}");
        }
    }
}
