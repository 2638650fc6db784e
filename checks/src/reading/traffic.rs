//! The traffic path of a service: listener, rule, weights, target groups, targets.
//! Weighted rules do not fail over, and a balancer sends traffic to unhealthy targets if it has no others: so only
//! a group with no usable target at all makes the balancer itself answer 503.

use std::collections::BTreeSet;

use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Listener, Rule, Target, TargetGroup};

/// One way in: a rule that forwards to some group of the service.
#[derive(Debug)]
pub struct Way<'a> {
    pub listener: &'a Listener,
    pub rule: &'a Rule,
    pub shares: Vec<Share<'a>>,
    /// ECS shifts traffic on this rule: it is the production rule of the deployment controller, or Express's own.
    pub managed: bool,
}

/// A target group of a rule, with its part of the traffic.
#[derive(Debug)]
pub struct Share<'a> {
    pub group: &'a str,
    pub weight: i32,
    /// Of all weights of the rule, 0 to 100.
    pub percent: f64,
}

impl<'a> Way<'a> {
    /// Hosts that the rule asks for; none where it takes every host.
    pub fn hosts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.rule.conditions.iter().filter(|condition| condition.field == "host-header").flat_map(|c| c.values.iter().map(String::as_str))
    }

    /// Shares that get traffic.
    pub fn live(&self) -> impl Iterator<Item = &Share<'a>> {
        self.shares.iter().filter(|share| share.weight > 0)
    }

    /// `api.example.com`, or `HTTPS:443` for a rule that takes every host.
    pub fn name(&self) -> String {
        let hosts: Vec<&str> = self.hosts().collect();
        let paths: Vec<&str> =
            self.rule.conditions.iter().filter(|c| c.field == "path-pattern").flat_map(|c| c.values.iter().map(String::as_str)).collect();
        let listener = format!("{}:{}", self.listener.protocol.as_deref().unwrap_or("listener"), self.listener.port.unwrap_or_default());
        match (hosts.is_empty(), paths.is_empty()) {
            (true, true) => listener,
            (true, false) => format!("{listener} {}", paths.join(", ")),
            (false, true) => hosts.join(", "),
            (false, false) => format!("{} {}", hosts.join(", "), paths.join(", ")),
        }
    }
}

/// The target groups of a service: those it is registered with, and the other half of a pair.
pub fn groups<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let service = patient.service();
    let mut groups = BTreeSet::new();
    for balancer in &service.load_balancers {
        groups.extend(balancer.target_group_arn.as_deref());
        groups.extend(balancer.alternate_target_group_arn.as_deref());
    }
    if patient.is_express() {
        for arn in &service.current_service_revisions {
            for path in patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths) {
                groups.extend(path.target_groups.iter().filter_map(|group| group.arn.as_deref()));
            }
        }
    }
    Ok(groups)
}

/// The rules on which ECS shifts traffic.
fn managed_rules<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let service = patient.service();
    let mut rules: BTreeSet<&str> = service.load_balancers.iter().filter_map(|balancer| balancer.production_listener_rule.as_deref()).collect();
    if patient.is_express() {
        for arn in &service.current_service_revisions {
            for path in patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths) {
                rules.extend(path.rule.as_ref().and_then(|rule| rule.arn.as_deref()));
            }
        }
    }
    Ok(rules)
}

/// The load balancers in front of the service.
pub fn balancers<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let mut balancers = BTreeSet::new();
    for group in groups(patient)? {
        balancers.extend(patient.target_group(group)?.iter().flat_map(|group| &group.load_balancer_arns).map(String::as_str));
    }
    if patient.is_express() {
        for arn in &patient.service().current_service_revisions {
            for path in patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths) {
                balancers.extend(path.load_balancer.as_ref().and_then(|balancer| balancer.arn.as_deref()));
            }
        }
    }
    Ok(balancers)
}

/// Every rule of the service's balancers, with its listener.
pub fn all_rules<'a>(patient: &Patient<'a>) -> Result<Vec<(&'a Listener, &'a Rule)>, Blind> {
    let mut rules = Vec::new();
    for balancer in balancers(patient)? {
        for listener in patient.listeners(balancer)? {
            rules.extend(patient.rules(&listener.listener_arn)?.iter().map(|rule| (listener, rule)));
        }
    }
    Ok(rules)
}

/// Every way in to the service.
pub fn ways<'a>(patient: &Patient<'a>) -> Result<Vec<Way<'a>>, Blind> {
    let groups = groups(patient)?;
    let managed = managed_rules(patient)?;
    let mut ways = Vec::new();
    for (listener, rule) in all_rules(patient)? {
        let forwards = || rule.actions.iter().filter(|action| action.kind == "forward").flat_map(|action| &action.target_groups);
        if !forwards().any(|group| groups.contains(group.target_group_arn.as_str())) {
            continue;
        }
        let total: i32 = forwards().map(|group| group.weight).sum();
        let percent = |weight: i32| if total > 0 { f64::from(weight) * 100.0 / f64::from(total) } else { 0.0 };
        let shares = forwards().map(|group| Share { group: &group.target_group_arn, weight: group.weight, percent: percent(group.weight) }).collect();
        ways.push(Way { listener, rule, shares, managed: managed.contains(rule.rule_arn.as_str()) });
    }
    Ok(ways)
}

/// The groups that get traffic by some rule.
pub fn live_groups<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    Ok(ways(patient)?.iter().flat_map(|way| way.live().map(|share| share.group).collect::<Vec<_>>()).collect())
}

/// What a balancer can do with a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Some target is healthy, or its health is not checked.
    Serves,
    /// All registered targets are unhealthy: the balancer sends traffic to all of them.
    FailsOpen,
    /// No target is healthy yet, and some have had no health check.
    Warming,
    /// Every target is registered where this balancer sends no traffic.
    Unused,
    /// Every target is on its way out.
    Draining,
    Empty,
}

impl GroupState {
    pub fn of(targets: &[Target]) -> GroupState {
        let any = |states: &[&str]| targets.iter().any(|target| states.contains(&target.state.as_str()));
        if any(&["healthy", "unavailable"]) {
            GroupState::Serves
        } else if any(&["initial"]) {
            GroupState::Warming
        } else if any(&["unhealthy"]) {
            GroupState::FailsOpen
        } else if any(&["draining", "unhealthy.draining"]) {
            GroupState::Draining
        } else if targets.is_empty() {
            GroupState::Empty
        } else {
            GroupState::Unused
        }
    }

    /// Whether the balancer has nowhere to send a request and answers 503 itself. Draining alone is not documented
    /// to do so, but has been seen to.
    pub fn answers_503(self) -> bool {
        matches!(self, GroupState::Empty | GroupState::Unused | GroupState::Draining)
    }
}

pub fn state(patient: &Patient, group: &str) -> Result<GroupState, Blind> {
    Ok(GroupState::of(patient.targets(group)?))
}

/// The name of a target group, from its ARN: `arn:…:targetgroup/api/0123` → `api`.
pub fn group_name(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or(arn)
}

/// The name of a load balancer, from its ARN: `arn:…:loadbalancer/app/web/0123` → `web`.
pub fn balancer_name(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or(arn)
}

/// The port that the health check of a target really asks.
pub fn health_check_port(group: &TargetGroup, target: &Target) -> Option<i32> {
    match group.health_check_port.as_deref() {
        None | Some("traffic-port") => target.port,
        Some(port) => crate::reading::parsed(port),
    }
}

/// A target group with the other half of its pair, if ECS deploys over a pair: a task that is registered in one half
/// can be why the other is empty.
pub fn pair<'a>(patient: &Patient<'a>, group: &str) -> Result<BTreeSet<&'a str>, Blind> {
    let service = patient.service();
    for balancer in &service.load_balancers {
        let pair: BTreeSet<&str> = balancer.target_group_arn.as_deref().into_iter().chain(balancer.alternate_target_group_arn.as_deref()).collect();
        if pair.contains(group) {
            return Ok(pair);
        }
    }
    if patient.is_express() {
        for arn in &service.current_service_revisions {
            for path in patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths) {
                let pair: BTreeSet<&str> = path.target_groups.iter().filter_map(|group| group.arn.as_deref()).collect();
                if pair.contains(group) {
                    return Ok(pair);
                }
            }
        }
    }
    Ok(BTreeSet::new())
}
