//! The path behind the rule, one branch for each target group that gets a part of the requests:
//! group, targets, tasks.

use std::collections::BTreeMap;

use super::answer::Outcome;
use super::walk::Draft;
use super::{Branch, Hop, HopKind, Mark, is_http};
use crate::facts::deployment::rollout;
use crate::facts::inbound::health_check::{self, Failure};
use crate::facts::inbound::traffic::{self, GroupState};
use crate::seen::Blind;
use crate::snapshot::{Listener, Target};
use crate::text::{and_list, count};

impl Draft<'_, '_> {
    pub(super) fn branch(
        &self,
        group: &str,
        percent: f64,
        listener: &Listener,
    ) -> (Branch, Outcome) {
        let name = traffic::group_name(group);
        let part = if percent > 99.9 {
            "all requests".into()
        } else {
            format!("{} of the requests", traffic::percent_words(percent))
        };
        let mut hops = vec![Hop::new(
            HopKind::TargetGroup,
            Mark::Good,
            Some(group),
            name.into(),
            format!("{name} gets {part}"),
        )];
        let outcome = self.to_tasks(group, listener, &mut hops);
        (Branch { group: group.into(), percent, hops }, outcome)
    }

    fn to_tasks(&self, group: &str, listener: &Listener, hops: &mut Vec<Hop>) -> Outcome {
        let targets = match self.patient.targets(group) {
            Ok(targets) => targets,
            Err(blind) => {
                hops.push(Hop::unseen(HopKind::Targets, blind));
                return Outcome::Unknown;
            }
        };
        let state = GroupState::of(targets);
        let mark = if state == GroupState::Unknown {
            Mark::Unseen
        } else if state == GroupState::Serves
            && targets.iter().all(|target| target.state != "unhealthy")
        {
            Mark::Good
        } else {
            Mark::Bad
        };
        let (short, says) = target_words(targets, state);
        hops.push(Hop::new(HopKind::Targets, mark, Some(group), short, says));
        if state.answers_503() {
            return if is_http(listener) {
                Outcome::Own { status: "503", likely: state == GroupState::Draining }
            } else {
                Outcome::Fails
            };
        }
        if let Some((says, outcome)) = self.elsewhere(group) {
            hops.push(Hop::new(HopKind::Tasks, Mark::Good, None, says.into(), says.into()));
            return outcome;
        }
        match self.tasks(targets) {
            Err(blind) => {
                hops.push(Hop::unseen(HopKind::Tasks, blind));
                return Outcome::Unknown;
            }
            Ok((mark, says)) => hops.push(Hop::new(HopKind::Tasks, mark, None, says.clone(), says)),
        }
        if hops.last().is_some_and(|tasks| tasks.mark == Mark::Bad) {
            return Outcome::Unknown;
        }
        match state {
            GroupState::Serves => Outcome::App,
            GroupState::Warming | GroupState::Unknown => Outcome::Unknown,
            _ => self.fails_open(group, listener),
        }
    }

    /// A group whose targets are no tasks of this service.
    fn elsewhere(&self, group: &str) -> Option<(&'static str, Outcome)> {
        if let Ok(Some(described)) = self.patient.target_group(group) {
            match described.target_type.as_deref() {
                Some("lambda") => {
                    return Some((
                        "none: a Lambda function",
                        Outcome::Other("the Lambda function"),
                    ));
                }
                Some("alb") => {
                    return Some((
                        "none: another load balancer",
                        Outcome::Other("the load balancer behind it"),
                    ));
                }
                _ => {}
            }
        }
        let own = traffic::groups(self.patient).is_ok_and(|groups| groups.contains(group));
        (!own).then_some(("not of this service", Outcome::Other("another service")))
    }

    /// The tasks behind the targets that get requests, by version.
    fn tasks(&self, targets: &[Target]) -> Result<(Mark, String), Blind> {
        let healthy = targets.iter().any(|target| target.state == "healthy");
        let gets_requests = |target: &&Target| {
            if healthy { target.state == "healthy" } else { !target.state.contains("draining") }
        };
        let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
        let mut strangers = 0;
        for target in targets.iter().filter(gets_requests) {
            match health_check::task_behind(self.patient, target)? {
                Some(task) => {
                    *versions.entry(rollout::short(&task.task_definition_arn)).or_default() += 1
                }
                None => strangers += 1,
            }
        }
        let mut words: Vec<String> = versions
            .iter()
            .map(|(version, tasks)| format!("{} of {version}", count(*tasks, "task")))
            .collect();
        if strangers > 0 {
            words.push(format!(
                "{} that no running task of {} has",
                count(strangers, "target"),
                self.patient.name()
            ));
        }
        Ok((if versions.is_empty() { Mark::Bad } else { Mark::Good }, and_list(words)))
    }

    /// What comes of sending requests to targets of which none is healthy, by how they
    /// fail. The health check tells of other requests only where it asks the port that they go to;
    /// that it is late tells of none.
    fn fails_open(&self, group: &str, listener: &Listener) -> Outcome {
        let (Ok(failures), Ok(described)) =
            (health_check::failures(self.patient, group), self.patient.target_group(group))
        else {
            return Outcome::Unknown;
        };
        let same_port = |target: &Target| {
            described.is_some_and(|group| traffic::health_check_port(group, target) == target.port)
        };
        let all = |failure: Failure| {
            !failures.is_empty() && failures.iter().all(|failed| failed.failure == failure)
        };
        if all(Failure::WrongAnswer) {
            Outcome::App
        } else if !is_http(listener) {
            Outcome::Unknown
        } else if all(Failure::Refused)
            && failures.iter().all(|failed| failed.target.is_some_and(same_port))
        {
            Outcome::Own { status: "502", likely: true }
        } else if all(Failure::TimedOut) {
            Outcome::AppUnless("504")
        } else {
            Outcome::AppUnless("502 or 504")
        }
    }
}

/// `2 of 2 targets healthy`; and what the others are. Draining targets are not counted.
fn target_words(targets: &[Target], state: GroupState) -> (String, String) {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    targets.iter().for_each(|target| *states.entry(target.state.as_str()).or_default() += 1);
    let serving = targets
        .iter()
        .filter(|target| matches!(target.state.as_str(), "healthy" | "unavailable"))
        .count();
    let staying = targets.iter().filter(|target| !target.state.contains("draining")).count();
    let short = match (targets.len(), staying) {
        (0, _) => "no target".to_owned(),
        (_, 0) => format!("{} draining", count(targets.len(), "target")),
        _ => format!("{serving} of {} healthy", count(staying, "target")),
    };
    let others: Vec<String> = states
        .iter()
        .filter(|(state, _)| **state != "healthy")
        .map(|(state, number)| format!("{number} {state}"))
        .collect();
    let why = targets
        .iter()
        .find(|target| target.state != "healthy")
        .and_then(|target| target.description.as_deref());
    let says = match state {
        GroupState::Empty => "no target is registered".into(),
        GroupState::FailsOpen => {
            format!("{short}; the load balancer sends them requests anyway")
        }
        _ => short.clone(),
    };
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let why = why
        .filter(|_| !others.is_empty())
        .map_or_else(String::new, |why| format!(": {}", why.trim_end_matches('.')));
    (short, format!("{says}{others}{why}"))
}
