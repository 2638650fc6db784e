//! What fails the balancer's health check, and how: from the targets that are registered now, or,
//! between two tasks of a kill loop, from the newest service event about the group.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Target, Task};
use crate::text::{parsed, pattern};

/// How the health check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The app answers with a code that the matcher refuses.
    WrongAnswer,
    /// A connection is refused or reset, or the answer is malformed.
    Refused,
    /// No answer in time.
    TimedOut,
    /// A network load balancer says only that it failed: refused, answered wrongly, or dropped on
    /// the way.
    Unanswered,
    /// Something that is not the app's doing: an internal error, an unusable address, a stopped
    /// instance.
    Other,
}

impl Failure {
    /// Whether something on the way may drop the health check.
    pub fn may_be_dropped(self) -> bool {
        matches!(self, Failure::TimedOut | Failure::Unanswered)
    }

    /// What the health check does, as far as AWS tells.
    pub fn verb(self) -> &'static str {
        if self == Failure::TimedOut { "times out" } else { "fails" }
    }
}

/// One target that fails now, or the newest event about one that was replaced.
#[derive(Clone, Debug)]
pub struct FailedCheck<'a> {
    pub failure: Failure,
    /// The status code, of a wrong answer.
    pub code: Option<u16>,
    /// AWS's words for it: `Request timed out`.
    pub description: &'a str,
    /// The target's address or instance, and its port; none where only an event tells of it.
    pub target: Option<&'a Target>,
    pub evidence: Evidence,
}

static CODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"Health checks failed with these codes: \[(\d{3})"));

/// The protocols of the target groups of network load balancers.
const OF_NETWORK: [&str; 6] = ["TCP", "UDP", "TLS", "TCP_UDP", "QUIC", "TCP_QUIC"];

/// Whether the words of a failed health check tell that something came back: those of a network
/// load balancer do not, and a group that cannot be seen may be one's.
fn tells_how(patient: &Patient, group: &str) -> bool {
    let of_network =
        |protocol: Option<&str>| protocol.is_some_and(|protocol| OF_NETWORK.contains(&protocol));
    patient
        .target_group(group)
        .is_ok_and(|group| group.is_some_and(|group| !of_network(group.protocol.as_deref())))
}

/// Reads a description as target health and service events have it; they share the words.
fn failure(patient: &Patient, group: &str, description: &str) -> (Failure, Option<u16>) {
    let code = CODE
        .as_ref()
        .and_then(|code| code.captures(description))
        .and_then(|found| parsed(found.get(1)?.as_str()));
    match description {
        _ if code.is_some() => (Failure::WrongAnswer, code),
        "Request timed out" => (Failure::TimedOut, None),
        "Health checks failed" if tells_how(patient, group) => (Failure::Refused, None),
        "Health checks failed" => (Failure::Unanswered, None),
        _ => (Failure::Other, None),
    }
}

/// Every failure of the health check in a group, now.
pub fn failures<'a>(patient: &Patient<'a>, group: &str) -> Result<Vec<FailedCheck<'a>>, Blind> {
    let targets = patient.targets(group)?;
    let unhealthy: Vec<FailedCheck> = targets
        .iter()
        .filter(|target| target.state == "unhealthy")
        .map(|target| {
            let description = target.description.as_deref().unwrap_or_default();
            let (failure, code) = failure(patient, group, description);
            let evidence = match target.description {
                Some(_) => Evidence::new(
                    Call::DescribeTargetHealth,
                    group,
                    "TargetHealth.Description",
                    description,
                ),
                None => Evidence::new(
                    Call::DescribeTargetHealth,
                    group,
                    "TargetHealth.State",
                    &target.state,
                ),
            };
            FailedCheck { failure, code, description, target: Some(target), evidence }
        })
        .collect();
    // An unused target is not asked anything: what became of tasks before it is no health check
    // that failed.
    let replaced = unhealthy.is_empty()
        && !targets.iter().any(|target| matches!(target.state.as_str(), "healthy" | "unused"));
    if replaced { last_replaced(patient, group) } else { Ok(unhealthy) }
}

/// In a kill loop there are moments without a target: then tasks that stopped for the health check
/// of this group in the last half hour, together with an event that says how it failed, tell the
/// same.
fn last_replaced<'a>(patient: &Patient<'a>, group: &str) -> Result<Vec<FailedCheck<'a>>, Blind> {
    let recent = time::before(patient.now(), SignedDuration::from_mins(30));
    let is_recent = |at: Option<Timestamp>| at.is_some_and(|at| at >= recent);
    let pair = traffic::pair(patient, group)?;
    let current = stop::primary_version(patient);
    let replaced = stop::groups(patient)?.iter().any(|stopped| {
        matches!(&stopped.kind, stop::StopKind::BalancerHealthCheck { group: named } if pair.contains(named.as_str()) || named == group)
            && stopped.is_of(&current)
            && is_recent(stopped.last_stop())
    });
    if !replaced {
        return Ok(Vec::new());
    }
    let told =
        patient.service().events.iter().filter(|event| is_recent(event.created_at)).find_map(
            |event| match event::read(&event.message) {
                Event::TargetUnhealthy { group: named, reason } if named == group => {
                    let (failure, code) = failure(patient, group, reason);
                    let evidence =
                        patient.evidence("events.message", &event.message).at(event.created_at);
                    Some(FailedCheck { failure, code, description: reason, target: None, evidence })
                }
                _ => None,
            },
        );
    Ok(told.into_iter().collect())
}

/// The running task that a target stands for: the one with its address; on an instance, the
/// youngest that has its port.
pub fn task_behind<'a>(patient: &Patient<'a>, target: &Target) -> Result<Option<&'a Task>, Blind> {
    let tasks = patient.running_tasks()?;
    let has_port = |task: &&Task| {
        target.port.is_some_and(|port| {
            task.containers.iter().any(|container| container.host_ports.contains(&port))
        })
    };
    let by_address = tasks.iter().find(|task| task.private_address() == Some(target.id.as_str()));
    Ok(by_address.or_else(|| tasks.iter().filter(has_port).max_by_key(|task| task.started_at)))
}

/// Whether the service's grace period is not over for the target's task: then it may be unhealthy
/// because it starts.
pub fn in_grace(patient: &Patient, target: &Target) -> Result<bool, Blind> {
    let grace = time::seconds(patient.service().health_check_grace_period_seconds.unwrap_or(0));
    if grace.is_zero() {
        return Ok(false);
    }
    let Some(task) = task_behind(patient, target)? else { return Ok(false) };
    let age = task
        .started_at
        .or(task.created_at)
        .map_or(SignedDuration::ZERO, |start| time::age(patient.now(), start));
    Ok(age < grace)
}

/// Failures that cannot be put down to a task's normal start.
pub fn failures_past_grace<'a>(
    patient: &Patient<'a>,
    group: &str,
) -> Result<Vec<FailedCheck<'a>>, Blind> {
    let mut past = Vec::new();
    for failed in failures(patient, group)? {
        let starts = match failed.target {
            Some(target) => in_grace(patient, target)?,
            None => false,
        };
        if !starts {
            past.push(failed);
        }
    }
    Ok(past)
}
