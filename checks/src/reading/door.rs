//! The doors between a balancer and its tasks: one port of tasks that have the same security groups, and what the health
//! checks prove about the way there. A health check that passes, or fails with an answer, shows that the way is open.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::acl::{self, Crossing, Dropped};
use crate::reading::address::Cidr;
use crate::reading::health_check::{self, FailedCheck, Failure};
use crate::reading::stop::{self, StopKind};
use crate::reading::{parsed, reach, rollout, traffic};
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, Target, TargetGroup};

/// One port of tasks that have the same security groups.
pub struct Door<'a> {
    pub task_groups: BTreeSet<&'a str>,
    pub port: i32,
    /// The health check asks this port, so that its results tell about it.
    pub checked: bool,
    pub passes: bool,
    pub timed_out: Option<Evidence>,
    /// The targets behind it that are registered now.
    pub targets: Vec<&'a Target>,
}

impl Door<'_> {
    /// Whether a health check proves that it is open; or it is so new that ECS may still be adding the rule for it.
    pub fn is_beyond_doubt(&self, patient: &Patient) -> bool {
        (self.checked && self.passes) || (self.timed_out.is_none() && rollout::just_began(patient))
    }

    /// What a closed door does to the health check, or to the requests.
    pub fn effect(&self, group: &TargetGroup) -> String {
        let name = traffic::group_name(&group.target_group_arn);
        match (&self.timed_out, self.checked) {
            (Some(_), _) => format!("so the health check of target group {name} times out"),
            (None, true) => format!("so the health check of target group {name} cannot get through"),
            (None, false) => format!("so requests to target group {name} cannot get through, whatever its health check on another port says"),
        }
    }
}

/// Calls `tell` for each door between a balancer with security groups and tasks with addresses of their own.
pub fn each<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    mut tell: impl FnMut(&'a TargetGroup, &'a LoadBalancer, &Door<'a>, &mut Findings) -> Result<(), Blind>,
) -> Result<(), NoAnswer> {
    let groups = traffic::groups(patient)?;
    if groups.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    let mut examined = false;
    for group in groups {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        for arn in &settings.load_balancer_arns {
            let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
            if settings.target_type.as_deref() == Some("ip") && !balancer.security_groups.is_empty() {
                examined = true;
                for door in findings.see(doors(patient, settings)).into_iter().flatten() {
                    tell(settings, balancer, &door, findings)?;
                }
            }
        }
    }
    if examined { Ok(()) } else { Err(NoAnswer::NotApplicable("no tasks with addresses of their own behind a balancer with security groups")) }
}

/// The doors of a target group: those of its registered targets, and of a task that was just replaced.
fn doors<'a>(patient: &Patient<'a>, group: &TargetGroup) -> Result<Vec<Door<'a>>, Blind> {
    let arn = &group.target_group_arn;
    let mut doors: BTreeMap<(BTreeSet<&str>, i32), Door> = BTreeMap::new();
    let mut add = |target: Option<&'a Target>, failed: Option<&FailedCheck>| -> Result<(), Blind> {
        let task_groups = reach::task_groups(patient, target)?;
        let checked = reach::health_check_port(patient, group, target);
        let traffic = target.map_or(reach::container_port(patient, group), |target| target.port);
        // Which groups a stranger's target has, nobody knows.
        for port in BTreeSet::from([checked, traffic]).into_iter().flatten().filter(|_| !task_groups.is_empty()) {
            let checked = checked == Some(port);
            let new = Door { task_groups: task_groups.clone(), port, checked, passes: false, timed_out: None, targets: Vec::new() };
            let door = doors.entry((task_groups.clone(), port)).or_insert(new);
            let healthy = target.is_some_and(|target| target.state == "healthy");
            door.passes |= healthy || failed.is_some_and(answers);
            if let Some(failed) = failed.filter(|failed| checked && failed.failure == Failure::TimedOut) {
                door.timed_out.get_or_insert(failed.evidence.clone());
            }
            door.targets.extend(target);
        }
        Ok(())
    };
    let failures = health_check::failures(patient, arn)?;
    for target in patient.targets(arn)?.iter().filter(|target| !target.state.ends_with("draining")) {
        add(Some(target), failures.iter().find(|failed| failed.target == Some(target)))?;
    }
    for failed in failures.iter().filter(|failed| failed.target.is_none()) {
        add(None, Some(failed))?;
    }
    // Of a pair nobody knows which half a task that is not registered belongs to.
    let alone = patient.targets(arn)?.is_empty() && traffic::pair(patient, arn)?.len() < 2;
    if alone && patient.running_tasks()?.iter().any(|task| task.last_status == "RUNNING") {
        add(None, None)?;
    }
    Ok(doors.into_values().collect())
}

/// Whether a failed health check got an answer, so that the way is open.
fn answers(failed: &FailedCheck) -> bool {
    matches!(failed.failure, Failure::WrongAnswer | Failure::Refused)
}

/// A subnet of tasks where a network ACL drops the health checks.
#[derive(Debug)]
pub struct Shut<'a> {
    pub subnet: &'a str,
    /// What is dropped first on the way from each of the balancer's subnets that is cut off.
    pub dropped: Vec<Dropped<'a>>,
    /// How many of the balancer's subnets are cut off, and how many it has.
    pub cut_off: (usize, usize),
    pub timed_out: Evidence,
}

/// The subnets of a target group's tasks whose health checks all time out, and an ACL between them and the balancer drops
/// the traffic, one way or the other.
pub fn shut_by_acls<'a>(patient: &Patient<'a>, group: &TargetGroup, balancer: &'a LoadBalancer) -> Result<Vec<Shut<'a>>, Blind> {
    let arn = &group.target_group_arn;
    let Some(vpc) = &balancer.vpc_id else { return Ok(Vec::new()) };
    let failures = health_check::failures(patient, arn)?;
    let mut behind: BTreeMap<&str, Vec<(Cidr, i32, Evidence)>> = BTreeMap::new();
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for target in patient.targets(arn)? {
        let Some(subnet) = health_check::task_behind(patient, target)?.and_then(|task| task.subnet_id.as_deref()) else { continue };
        let failed = failures.iter().find(|failed| failed.target == Some(target));
        if target.state == "healthy" || failed.is_some_and(answers) {
            open.insert(subnet);
        }
        if let Some(failed) = failed.filter(|failed| failed.failure == Failure::TimedOut)
            && let (Some(address), Some(port)) = (parsed::<Cidr>(&target.id), reach::health_check_port(patient, group, Some(target)))
            // The balancer's subnets are known by their IPv4 blocks.
            && !address.is_v6()
        {
            behind.entry(subnet).or_default().push((address, port, failed.evidence.clone()));
        }
    }
    // Between two tasks of a kill loop the one that was replaced tells where it was.
    for failed in failures.iter().filter(|failed| failed.target.is_none() && failed.failure == Failure::TimedOut) {
        let primary = stop::primary_version(patient);
        let groups = stop::groups(patient)?;
        let replaced = groups.iter().filter(|stops| matches!(stops.kind, StopKind::BalancerHealthCheck { .. }) && stops.is_of(&primary));
        for subnet in replaced.flat_map(|stops| &stops.tasks).filter_map(|task| task.subnet_id.as_deref()) {
            if let (Some(block), Some(port)) = (reach::subnet_block(patient, subnet)?, reach::health_check_port(patient, group, None)) {
                behind.entry(subnet).or_default().push((block, port, failed.evidence.clone()));
            }
        }
    }
    let mut shut = Vec::new();
    for (subnet, tasks) in behind.into_iter().filter(|(subnet, _)| !open.contains(subnet)) {
        let Some((peer, port, timed_out)) = tasks.into_iter().next() else { continue };
        let mut dropped = Vec::new();
        for own in balancer.subnets.iter().filter(|own| *own != subnet) {
            let Some(block) = reach::subnet_block(patient, own)? else { continue };
            let crossing = |subnet, egress, peer, ports| Crossing { subnet, egress, peer, ports };
            let hops = [
                crossing(own.as_str(), true, peer, port..=port),
                crossing(subnet, false, block, port..=port),
                crossing(subnet, true, block, acl::OF_BALANCERS),
                crossing(own.as_str(), false, peer, acl::OF_BALANCERS),
            ];
            dropped.extend(acl::dropped(patient, vpc, hops)?);
        }
        let cut_off = (dropped.len(), balancer.subnets.len());
        if !dropped.is_empty() {
            shut.push(Shut { subnet, dropped, cut_off, timed_out });
        }
    }
    Ok(shut)
}

/// The balancer's groups as evidence.
pub fn groups_of(balancer: &LoadBalancer) -> impl Iterator<Item = Evidence> {
    balancer.security_groups.iter().map(|id| Evidence::new(Call::DescribeLoadBalancers, &balancer.load_balancer_arn, "SecurityGroups", id))
}
