//! The traffic path of a service: listener, rule, weights, target groups, targets. Weighted rules
//! do not fail over, and a load balancer sends traffic to unhealthy targets if it has no others: so
//! only a group with no usable target at all makes the load balancer itself answer 503.

use std::collections::BTreeSet;

use crate::aws::arn;
use crate::call::Call;
use crate::command::Command;
use crate::finding::Evidence;
use crate::hcl::{Hcl, Name};
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::deployment::IngressPath;
use crate::snapshot::{Action, Listener, Rule, Target, TargetGroup};
use crate::{aws, hcl};

/// A rule that forwards to some group of the service, with its listener.
#[derive(Debug)]
pub struct Forward<'a> {
    pub listener: &'a Listener,
    pub rule: &'a Rule,
    pub shares: Vec<Share<'a>>,
    /// ECS shifts traffic on this rule: it is the production rule of the deployment controller, or
    /// Express's own.
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

/// Whether an action asks an identity provider who the user is.
pub fn signs_in(action: &Action) -> bool {
    matches!(action.kind.as_str(), "authenticate-oidc" | "authenticate-cognito")
}

/// A part of the traffic in words: `5 %`, `less than 1 %`.
pub fn percent_words(percent: f64) -> String {
    if percent > 0.0 && percent < 1.0 { "less than 1 %".into() } else { format!("{percent:.0} %") }
}

impl<'a> Forward<'a> {
    /// Hosts that the rule asks for; none where it takes every host.
    pub fn hosts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.rule
            .conditions
            .iter()
            .filter(|condition| condition.field == "host-header")
            .flat_map(|c| c.values.iter().map(String::as_str))
    }

    /// Shares that get traffic.
    pub fn live(&self) -> impl Iterator<Item = &Share<'a>> {
        self.shares.iter().filter(|share| share.weight > 0)
    }

    /// Whether HTTP is spoken here: only then can the load balancer answer with a status code of
    /// its own.
    pub fn is_http(&self) -> bool {
        matches!(self.listener.protocol.as_deref(), Some("HTTP" | "HTTPS"))
    }

    /// The command that gives the rule these weights. A default rule belongs to its listener and is
    /// changed there.
    pub fn set_weights(&self, weights: &[(&str, i32)]) -> Command {
        let groups: Vec<String> = weights
            .iter()
            .map(|(group, weight)| format!("{{TargetGroupArn={group},Weight={weight}}}"))
            .collect();
        let action = &format!("Type=forward,ForwardConfig={{TargetGroups=[{}]}}", groups.join(","));
        if self.rule.is_default {
            aws!(
                "elbv2 modify-listener --listener-arn {} --default-actions {}",
                self.listener.listener_arn,
                action
            )
        } else {
            aws!("elbv2 modify-rule --rule-arn {} --actions {}", self.rule.rule_arn, action)
        }
    }

    /// The same weights in Terraform/OpenTofu. ECS changes the weights of its own rule, so the code
    /// must not.
    pub fn weights_in_terraform(&self, weights: &[(&str, i32)]) -> Hcl {
        let group = |(arn, weight): &(&str, i32)| {
            hcl!("target_group {\n  arn    = {}\n  weight = {}\n}", arn, weight)
        };
        let groups = Hcl::lines(weights.iter().map(group));
        let (resource, action) = if self.rule.is_default {
            ("aws_lb_listener", Name("default_action"))
        } else {
            ("aws_lb_listener_rule", Name("action"))
        };
        hcl!(
            r#"
            resource {} "this" {
              {} {
                type = "forward"
                forward {
                  {}
                }
              }
              lifecycle {
                ignore_changes = [{}]
              }
            }"#,
            resource,
            action,
            groups,
            action
        )
    }

    /// `api.example.com`, or `HTTPS:443` for a rule that takes every host.
    pub fn name(&self) -> String {
        let hosts: Vec<&str> = self.hosts().collect();
        let paths: Vec<&str> = self
            .rule
            .conditions
            .iter()
            .filter(|c| c.field == "path-pattern")
            .flat_map(|c| c.values.iter().map(String::as_str))
            .collect();
        let listener = format!(
            "{}:{}",
            self.listener.protocol.as_deref().unwrap_or("listener"),
            self.listener.port.unwrap_or_default()
        );
        let name = match (hosts.is_empty(), paths.is_empty()) {
            (true, true) => listener,
            (true, false) => format!("{listener} {}", paths.join(", ")),
            (false, true) => hosts.join(", "),
            (false, false) => format!("{} {}", hosts.join(", "), paths.join(", ")),
        };
        // A rule that also asks for a header or a sender takes only some of the requests.
        let narrowed = self
            .rule
            .conditions
            .iter()
            .any(|c| !matches!(c.field.as_str(), "host-header" | "path-pattern"));
        if narrowed { format!("{name} (under further conditions)") } else { name }
    }
}

/// The ingress paths that ECS manages for an Express service; for all others none, and nothing is
/// asked.
pub fn ingress_paths<'a>(patient: &Patient<'a>) -> Result<Vec<&'a IngressPath>, Blind> {
    let mut paths = Vec::new();
    if patient.is_express() {
        for arn in &patient.service().current_service_revisions {
            paths
                .extend(patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths));
        }
    }
    Ok(paths)
}

/// The target groups of a service: those it is registered with, and the other half of a pair.
pub fn groups<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let service = patient.service();
    let mut groups = BTreeSet::new();
    for balancer in &service.load_balancers {
        groups.extend(balancer.target_group_arn.as_deref());
        groups.extend(balancer.alternate_target_group_arn.as_deref());
    }
    for path in ingress_paths(patient)? {
        groups.extend(path.target_groups.iter().filter_map(|group| group.arn.as_deref()));
    }
    Ok(groups)
}

/// A front that requests come by and that is not read: its listeners, its targets and what they
/// answer are not in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread<'a> {
    /// A classic load balancer, where it is known by its name.
    Classic(Option<&'a str>),
    /// A target group of VPC Lattice.
    Lattice(&'a str),
}

impl Unread<'_> {
    pub fn words(&self) -> String {
        match self {
            Unread::Classic(Some(name)) => format!("classic load balancer {name}"),
            Unread::Classic(None) => "a load balancer without a target group".into(),
            Unread::Lattice(arn) => format!("VPC Lattice target group {}", arn::last(arn)),
        }
    }

    /// What keeps it from being judged.
    pub fn blind(&self) -> Blind {
        Blind { call: Call::DescribeTargetHealth, why: Why::NotAsked }
    }
}

/// The fronts of the service that are not read.
pub fn unread<'a>(patient: &Patient<'a>) -> BTreeSet<Unread<'a>> {
    let service = patient.service();
    let without_group = service.load_balancers.iter().filter(|own| own.target_group_arn.is_none());
    let classic = without_group.map(|own| Unread::Classic(own.load_balancer_name.as_deref()));
    let live = service.deployments.iter().filter(|deployment| deployment.status != "INACTIVE");
    let lattice = live.flat_map(|deployment| &deployment.vpc_lattice_configurations);
    let lattice = lattice.map(|group| Unread::Lattice(&group.target_group_arn));
    classic.chain(lattice).collect()
}

/// Whether the metrics of a group are asked for: CloudWatch has those that the program reads for
/// application load balancers.
pub fn is_measured(patient: &Patient, group: &str) -> Result<bool, Blind> {
    let Some(group) = patient.target_group(group)? else { return Ok(false) };
    Ok(balancers_of(patient, group)?.iter().any(|arn| arn.contains(":loadbalancer/app/")))
}

/// The rules on which ECS shifts traffic.
fn managed_rules<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let service = patient.service();
    let mut rules: BTreeSet<&str> = service
        .load_balancers
        .iter()
        .filter_map(|balancer| balancer.production_listener_rule.as_deref())
        .collect();
    for path in ingress_paths(patient)? {
        rules.extend(path.rule.as_ref().and_then(|rule| rule.arn.as_deref()));
    }
    Ok(rules)
}

/// The load balancers in front of the service.
pub fn balancers<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let mut balancers = BTreeSet::new();
    for group in groups(patient)? {
        if let Some(group) = patient.target_group(group)? {
            balancers.extend(balancers_of(patient, group)?);
        }
    }
    for path in ingress_paths(patient)? {
        balancers.extend(path.load_balancer.as_ref().and_then(|balancer| balancer.arn.as_deref()));
    }
    Ok(balancers)
}

/// The load balancers that send requests to a group of the service: those that it names, or, where
/// it names none, those with a rule that forwards to it. A rule that was seen is the better proof.
pub fn balancers_of<'a>(
    patient: &Patient<'a>,
    group: &'a TargetGroup,
) -> Result<BTreeSet<&'a str>, Blind> {
    if !group.load_balancer_arns.is_empty() {
        return Ok(group.load_balancer_arns.iter().map(String::as_str).collect());
    }
    let forwards = |rule: &Rule| {
        let mut groups = rule.actions.iter().flat_map(|action| &action.target_groups);
        groups.any(|forwarded| forwarded.target_group_arn == group.target_group_arn)
    };
    let mut balancers = BTreeSet::new();
    for listener in patient.known_listeners()? {
        if patient.rules(&listener.listener_arn)?.iter().any(forwards) {
            balancers.insert(listener.load_balancer_arn.as_str());
        }
    }
    Ok(balancers)
}

/// Every rule of the service's load balancers, with its listener.
pub fn all_rules<'a>(patient: &Patient<'a>) -> Result<Vec<(&'a Listener, &'a Rule)>, Blind> {
    let mut rules = Vec::new();
    for balancer in balancers(patient)? {
        for listener in patient.listeners(balancer)? {
            rules
                .extend(patient.rules(&listener.listener_arn)?.iter().map(|rule| (listener, rule)));
        }
    }
    Ok(rules)
}

/// Whether no rule of a load balancer leads to anybody else.
pub fn serves_nobody_else(patient: &Patient, balancer: &str) -> Result<bool, Blind> {
    let own = groups(patient)?;
    for listener in patient.listeners(balancer)? {
        let actions = patient.rules(&listener.listener_arn)?.iter().flat_map(|rule| &rule.actions);
        if actions
            .flat_map(|action| &action.target_groups)
            .any(|group| !own.contains(group.target_group_arn.as_str()))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every rule by which clients get to the service. The test rule of a blue/green deployment is
/// none: it may well lead to the empty half of a pair.
pub fn forwards<'a>(patient: &Patient<'a>) -> Result<Vec<Forward<'a>>, Blind> {
    let groups = groups(patient)?;
    let managed = managed_rules(patient)?;
    let is_test = |rule: &Rule| {
        patient
            .service()
            .load_balancers
            .iter()
            .any(|b| b.test_listener_rule.as_deref() == Some(rule.rule_arn.as_str()))
    };
    let mut forwards = Vec::new();
    for (listener, rule) in all_rules(patient)?.into_iter().filter(|(_, rule)| !is_test(rule)) {
        let named = || {
            rule.actions
                .iter()
                .filter(|action| action.kind == "forward")
                .flat_map(|action| &action.target_groups)
        };
        if !named().any(|group| groups.contains(group.target_group_arn.as_str())) {
            continue;
        }
        let total: i32 = named().map(|group| group.weight).fold(0, i32::saturating_add);
        let percent = |weight: i32| {
            if total > 0 { f64::from(weight) * 100.0 / f64::from(total) } else { 0.0 }
        };
        let shares = named()
            .map(|group| Share {
                group: &group.target_group_arn,
                weight: group.weight,
                percent: percent(group.weight),
            })
            .collect();
        forwards.push(Forward {
            listener,
            rule,
            shares,
            managed: managed.contains(rule.rule_arn.as_str()),
        });
    }
    Ok(forwards)
}

/// The groups that get traffic by some rule.
pub fn live_groups<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    Ok(forwards(patient)?
        .iter()
        .flat_map(|forward| forward.live().map(|share| share.group).collect::<Vec<_>>())
        .collect())
}

/// What a load balancer can do with a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Some target is healthy, or its health is not checked.
    Serves,
    /// All registered targets are unhealthy: the load balancer sends traffic to all of them.
    FailsOpen,
    /// No target is healthy yet, and some have had no health check.
    Warming,
    /// Every target is registered where this load balancer sends no traffic.
    Unused,
    /// Every target is draining.
    Draining,
    Empty,
    /// Some target is in a state that we do not know, so that it may serve or not.
    Unknown,
}

/// The states of targets of which we know what a load balancer does with them.
const STATES: [&str; 7] =
    ["healthy", "unavailable", "initial", "unhealthy", "draining", "unhealthy.draining", "unused"];

impl GroupState {
    pub fn of(targets: &[Target]) -> GroupState {
        let any =
            |states: &[&str]| targets.iter().any(|target| states.contains(&target.state.as_str()));
        if any(&["healthy", "unavailable"]) {
            GroupState::Serves
        } else if !targets.iter().all(|target| STATES.contains(&target.state.as_str())) {
            GroupState::Unknown
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

    /// What a group in this state has: `no registered target`.
    pub fn words(self) -> &'static str {
        match self {
            GroupState::Serves => "a healthy target",
            GroupState::FailsOpen => "only unhealthy targets",
            GroupState::Warming => "only targets that wait for their first health check",
            GroupState::Unused => "only targets that the load balancer does not use",
            GroupState::Draining => "only draining targets",
            GroupState::Empty => "no registered target",
            GroupState::Unknown => "targets whose state is not known",
        }
    }

    /// Whether the load balancer has nowhere to send a request and answers 503 itself. Draining
    /// alone is not documented to do so, but has been seen to.
    pub fn answers_503(self) -> bool {
        matches!(self, GroupState::Empty | GroupState::Unused | GroupState::Draining)
    }
}

/// A part of a rule's traffic that goes to a group without a target that could answer.
#[derive(Debug)]
pub struct Dead<'w, 'a> {
    pub share: &'w Share<'a>,
    pub state: GroupState,
    targets: &'a [Target],
}

impl<'w, 'a> Dead<'w, 'a> {
    /// The share as a dead one, if it is.
    pub fn of(patient: &Patient<'a>, share: &'w Share<'a>) -> Result<Option<Dead<'w, 'a>>, Blind> {
        let (targets, state) = (patient.targets(share.group)?, state(patient, share.group)?);
        Ok(state.answers_503().then_some(Dead { share, state, targets }))
    }

    /// `target group api has no registered target`
    pub fn words(&self) -> String {
        format!("target group {} has {}", group_name(self.share.group), self.state.words())
    }

    /// The share in the rule, and the state of the group's first target, or that there is none.
    pub fn evidence(&self, rule: &Rule) -> [Evidence; 2] {
        let group = self.share.group;
        [
            Evidence::new(
                Call::DescribeRules,
                &rule.rule_arn,
                "ForwardConfig.TargetGroups.Weight",
                self.share.weight,
            ),
            match self.targets.first() {
                Some(target) => Evidence::new(
                    Call::DescribeTargetHealth,
                    group,
                    "TargetHealth.State",
                    &target.state,
                ),
                None => Evidence::new(
                    Call::DescribeTargetHealth,
                    group,
                    "TargetHealthDescriptions",
                    "[]",
                ),
            },
        ]
    }
}

/// What a load balancer can do with a group. Where targets are in a state that we do not know,
/// nobody can tell.
pub fn state(patient: &Patient, group: &str) -> Result<GroupState, Blind> {
    let targets = patient.targets(group)?;
    let state = GroupState::of(targets);
    let strange = targets.iter().find(|target| !STATES.contains(&target.state.as_str()));
    match strange.filter(|_| state == GroupState::Unknown) {
        Some(target) => Err(Blind {
            call: Call::DescribeTargetHealth,
            why: Why::Unreadable(format!("a target is in the state {:?}", target.state)),
        }),
        None => Ok(state),
    }
}

/// The container that is registered with a group. Express wants it to be called `Main`.
pub fn container<'a>(patient: &Patient<'a>, group: &str) -> Option<&'a str> {
    let mut balancers = patient.service().load_balancers.iter();
    let registered = balancers.find(|b| {
        [&b.target_group_arn, &b.alternate_target_group_arn]
            .into_iter()
            .flatten()
            .any(|arn| arn == group)
    });
    registered
        .and_then(|balancer| balancer.container_name.as_deref())
        .or(patient.is_express().then_some("Main"))
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
        Some(port) => crate::text::parsed(port),
    }
}

/// A target group with the other half of its pair, if ECS deploys over a pair: a task that is
/// registered in one half can be why the other is empty. A group without another half is alone,
/// and one of somebody else's is in none.
pub fn pair<'a>(patient: &Patient<'a>, group: &str) -> Result<BTreeSet<&'a str>, Blind> {
    let registered = patient.service().load_balancers.iter().map(|balancer| {
        [&balancer.target_group_arn, &balancer.alternate_target_group_arn]
            .into_iter()
            .filter_map(|arn| arn.as_deref())
            .collect::<BTreeSet<&str>>()
    });
    // An Express service names one half here; both are in what ECS manages for it.
    let managed = ingress_paths(patient)?
        .into_iter()
        .map(|path| path.target_groups.iter().filter_map(|group| group.arn.as_deref()).collect());
    let pairs = registered.chain(managed).filter(|pair: &BTreeSet<&str>| pair.contains(group));
    Ok(pairs.max_by_key(BTreeSet::len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, id};
    use crate::seen::Seen;
    use crate::snapshot::{Condition, Snapshot};
    use crate::testing::of;

    /// The snapshot after a change to the rules of its only HTTPS listener.
    fn with_rules(mut snapshot: Snapshot, change: impl FnOnce(&mut Vec<Rule>)) -> Snapshot {
        let listener = id::elb("listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2");
        change(snapshot.rules.change(&listener).unwrap());
        snapshot
    }

    fn shares(snapshot: &Snapshot) -> Vec<(String, i32, f64)> {
        of(snapshot, |patient| {
            let forwards = forwards(patient).unwrap();
            let shares = forwards.iter().flat_map(|forward| &forward.shares);
            shares.map(|it| (group_name(it.group).to_owned(), it.weight, it.percent)).collect()
        })
    }

    #[test]
    fn a_rule_that_asks_for_more_than_the_host_says_so() {
        let listener =
            Listener { port: Some(443), protocol: Some("HTTPS".into()), ..Listener::default() };
        let mut rule = host_rule("arn", "1", "api.example.com", forward(&[("group", 1)]));
        let name = |rule: &Rule| {
            Forward { listener: &listener, rule, shares: Vec::new(), managed: false }.name()
        };
        assert_eq!(name(&rule), "api.example.com");
        rule.conditions.push(Condition {
            field: "http-header".into(),
            name: Some("X-Test".into()),
            values: vec!["1".into()],
            ..Condition::default()
        });
        assert_eq!(name(&rule), "api.example.com (under further conditions)");
    }

    #[test]
    fn a_small_part_is_not_called_none() {
        assert_eq!(
            [percent_words(100.0), percent_words(5.0), percent_words(0.4)],
            ["100 %", "5 %", "less than 1 %"]
        );
    }

    #[test]
    fn a_part_of_the_traffic_is_told_in_whole_percents() {
        assert_eq!(percent_words(1.0), "1 %");
        assert_eq!(percent_words(0.0), "0 %");
    }

    #[test]
    fn a_group_is_what_its_best_targets_make_it() {
        for (states, state, answers_503) in [
            (&["healthy", "unhealthy", "initial"][..], GroupState::Serves, false),
            (&["unavailable"], GroupState::Serves, false),
            (&["initial", "unhealthy"], GroupState::Warming, false),
            (&["unhealthy", "draining", "unused"], GroupState::FailsOpen, false),
            (&["draining", "unused"], GroupState::Draining, true),
            (&["unhealthy.draining"], GroupState::Draining, true),
            (&["unused"], GroupState::Unused, true),
            (&[], GroupState::Empty, true),
            (&["degraded", "healthy"], GroupState::Serves, false),
            (&["degraded"], GroupState::Unknown, false),
            (&["degraded", "unused", "draining"], GroupState::Unknown, false),
        ] {
            let target = |state: &&str| baseline::target("10.0.1.21", 8080, "eu-west-2a", state);
            let targets: Vec<Target> = states.iter().map(target).collect();
            assert_eq!(GroupState::of(&targets), state, "{states:?}");
            assert_eq!(state.answers_503(), answers_503, "{state:?}");
        }
    }

    #[test]
    fn requests_get_to_the_service_by_a_rule_that_forwards_to_it() {
        let api = || id::group("api");
        let forwards =
            |rules: Vec<Rule>| shares(&with_rules(baseline::fargate(), |all| *all = rules));
        let rule = |groups: &[(&str, i32)]| host_rule("rule", "1", "a.b", forward(groups));
        assert_eq!(shares(&baseline::fargate()), [("api".into(), 1, 100.0)]);
        assert_eq!(forwards(vec![]), []);
        assert_eq!(forwards(vec![rule(&[("arn:x/other/1", 1)])]), [], "of another service");
        let mut redirect = rule(&[(&api(), 1)]);
        redirect.actions[0].kind = "redirect".into();
        assert_eq!(forwards(vec![redirect]), [], "nothing is forwarded");
        assert_eq!(
            forwards(vec![rule(&[(&api(), 1), ("arn:x/other/1", 3)])]),
            [("api".into(), 1, 25.0), ("other".into(), 3, 75.0)]
        );
        assert_eq!(forwards(vec![rule(&[(&api(), 0)])]), [("api".into(), 0, 0.0)]);
    }

    #[test]
    fn only_what_has_weight_gets_traffic() {
        let (api, other) = (id::group("api"), id::group("other"));
        let weights = [(api.as_str(), 0), (other.as_str(), 1)];
        let snapshot = with_rules(baseline::fargate(), |rules| {
            *rules = vec![host_rule("rule", "1", "a.b", forward(&weights))];
        });
        let live = of(&snapshot, |patient| {
            let live = live_groups(patient).unwrap();
            live.into_iter().map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(live, [other]);
    }

    #[test]
    fn the_test_rule_is_no_way_in_and_the_production_rule_is_ecss_own() {
        let managed = |change: fn(&mut crate::snapshot::ServiceLoadBalancer, String)| {
            let mut snapshot = baseline::fargate();
            let rule = of(&snapshot, |patient| forwards(patient).unwrap()[0].rule.rule_arn.clone());
            change(&mut snapshot.services[0].load_balancers[0], rule);
            of(&snapshot, |patient| {
                forwards(patient).unwrap().iter().map(|forward| forward.managed).collect::<Vec<_>>()
            })
        };
        assert_eq!(managed(|_, _| ()), [false]);
        assert_eq!(managed(|it, rule| it.production_listener_rule = Some(rule)), [true]);
        assert_eq!(managed(|it, rule| it.test_listener_rule = Some(rule)), [false; 0]);
    }

    #[test]
    fn http_is_spoken_only_by_an_application_load_balancers_listeners() {
        for (protocol, is_http) in
            [(Some("HTTP"), true), (Some("HTTPS"), true), (Some("TLS"), false), (None, false)]
        {
            let listener = Listener { protocol: protocol.map(Into::into), ..Listener::default() };
            let rule = Rule::default();
            let forward =
                Forward { listener: &listener, rule: &rule, shares: Vec::new(), managed: false };
            assert_eq!(forward.is_http(), is_http, "{protocol:?}");
        }
    }

    #[test]
    fn a_rule_without_hosts_is_named_by_its_listener_and_paths() {
        let listener =
            Listener { port: Some(80), protocol: Some("HTTP".into()), ..Listener::default() };
        let name = |conditions: &[(&str, &str)]| {
            let condition = |(field, value): &(&str, &str)| Condition {
                field: (*field).into(),
                values: vec![(*value).into()],
                ..Condition::default()
            };
            let conditions = conditions.iter().map(condition).collect();
            let rule = Rule { conditions, ..Rule::default() };
            Forward { listener: &listener, rule: &rule, shares: Vec::new(), managed: false }.name()
        };
        assert_eq!(name(&[]), "HTTP:80");
        assert_eq!(name(&[("path-pattern", "/v1/*")]), "HTTP:80 /v1/*");
        assert_eq!(name(&[("host-header", "a.b"), ("path-pattern", "/v1/*")]), "a.b /v1/*");
        assert_eq!(name(&[("source-ip", "10.0.0.0/8")]), "HTTP:80 (under further conditions)");
    }

    #[test]
    fn only_groups_of_application_load_balancers_are_measured() {
        let measured = |balancers: &[&str]| {
            let mut snapshot = baseline::fargate();
            let group = snapshot.target_groups.change(&id::group("api")).unwrap();
            group.load_balancer_arns = balancers.iter().map(|it| (*it).into()).collect();
            of(&snapshot, |patient| is_measured(patient, &id::group("api")))
        };
        assert_eq!(measured(&["arn:x:loadbalancer/app/web/1"]), Ok(true));
        assert_eq!(measured(&["arn:x:loadbalancer/net/web/1"]), Ok(false));
        assert_eq!(measured(&[]), Ok(true), "a rule forwards to it");
    }

    #[test]
    fn a_rule_that_was_seen_is_the_better_proof_of_a_balancer() {
        let mut snapshot = baseline::fargate();
        let front = |snapshot: &Snapshot| of(snapshot, |patient| balancers(patient).unwrap().len());
        snapshot.target_groups.change(&id::group("api")).unwrap().load_balancer_arns.clear();
        assert_eq!(front(&snapshot), 1);
        assert_eq!(of(&snapshot, |patient| forwards(patient).unwrap().len()), 1);
        for rules in snapshot.rules.0.values_mut() {
            *rules = Seen::Yes(Some(Vec::new()));
        }
        assert_eq!(front(&snapshot), 0);
    }

    #[test]
    fn a_pair_is_both_halves_of_what_the_service_is_registered_with() {
        let mut snapshot = baseline::fargate();
        let pair_of = |snapshot: &Snapshot, group: &str| {
            of(snapshot, |patient| pair(patient, group).map(|pair| pair.len()))
        };
        assert_eq!(pair_of(&snapshot, &id::group("api")), Ok(1));
        snapshot.services[0].load_balancers[0].alternate_target_group_arn = Some("green".into());
        assert_eq!(pair_of(&snapshot, &id::group("api")), Ok(2));
        assert_eq!(pair_of(&snapshot, "green"), Ok(2));
        assert_eq!(pair_of(&snapshot, "another"), Ok(0));
        let express = baseline::express();
        let [blue, green] = baseline::express_groups();
        let named = &express.services[0].load_balancers;
        assert_eq!(named.len(), 1, "an Express service names one half");
        assert_eq!(named[0].alternate_target_group_arn, None);
        for group in [blue, green] {
            assert_eq!(pair_of(&express, &group), Ok(2));
        }
        assert_eq!(pair_of(&baseline::express(), "another"), Ok(0));
    }

    #[test]
    fn a_group_has_the_container_that_is_registered_with_it() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].load_balancers[0].alternate_target_group_arn = Some("green".into());
        let has = |group: &str| of(&snapshot, |p| container(p, group).map(str::to_owned));
        assert_eq!(has(&id::group("api")).as_deref(), Some("app"));
        assert_eq!(has("green").as_deref(), Some("app"));
        assert_eq!(has("another"), None);
        let express = baseline::express();
        assert_eq!(of(&express, |p| container(p, "another")), Some("Main"));
    }

    #[test]
    fn the_health_check_asks_the_targets_port_or_one_of_its_own() {
        let target = baseline::target("10.0.1.21", 8080, "eu-west-2a", "healthy");
        for (port, asked) in [
            (None, Some(8080)),
            (Some("traffic-port"), Some(8080)),
            (Some("9000"), Some(9000)),
            (Some("nonsense"), None),
        ] {
            let group =
                TargetGroup { health_check_port: port.map(Into::into), ..TargetGroup::default() };
            assert_eq!(health_check_port(&group, &target), asked, "{port:?}");
        }
    }

    #[test]
    fn a_share_is_dead_where_no_target_could_answer() {
        let dead = |targets: Vec<Target>| {
            let (mut snapshot, group) = (baseline::fargate(), id::group("api"));
            snapshot.target_health.put(&group, targets);
            let share = Share { group: &group, weight: 1, percent: 100.0 };
            of(&snapshot, |patient| {
                let dead = Dead::of(patient, &share).unwrap()?;
                let [_, state] = dead.evidence(&Rule::default());
                Some((dead.words(), state.field, state.value))
            })
        };
        let target = |state: &str| baseline::target("10.0.1.21", 8080, "eu-west-2a", state);
        assert_eq!(dead(vec![target("unhealthy")]), None);
        let empty = "target group api has no registered target".to_owned();
        assert_eq!(dead(vec![]), Some((empty, "TargetHealthDescriptions", "[]".into())));
        let draining = "target group api has only draining targets".to_owned();
        assert_eq!(
            dead(vec![target("draining")]),
            Some((draining, "TargetHealth.State", "draining".into()))
        );
    }
}
