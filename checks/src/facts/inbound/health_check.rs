//! What fails the load balancer's health check, and how: from the targets that are registered now;
//! between two tasks of a kill loop, from the newest service event about the group; and of a
//! version that ECS rolled back, from the events of its life, whoever is registered today.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::facts::deployment::version::{self, Mark, State, Version};
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop::StopKind;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Why};
use crate::snapshot::{ServiceEvent, Target, Task};
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
    /// Whether something on the path may drop the health check.
    pub fn may_be_dropped(self) -> bool {
        matches!(self, Failure::TimedOut | Failure::Unanswered)
    }

    /// What the health check does, as far as AWS tells.
    pub fn verb(self) -> &'static str {
        if self == Failure::TimedOut { "times out" } else { "fails" }
    }

    /// What it did, where it is over.
    pub fn verb_then(self) -> &'static str {
        if self == Failure::TimedOut { "timed out" } else { "failed" }
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
    /// The version that was asked, where only an event tells of it.
    pub version: Option<Version<'a>>,
    pub evidence: Evidence,
}

impl<'a> FailedCheck<'a> {
    /// The version that ECS rolled back, if this is over.
    pub fn given_up(&self) -> Option<&Version<'a>> {
        self.version.as_ref().filter(|version| version.state != State::Current)
    }

    /// `api:13, which was rolled back,` and `until 25 min ago`, of a version that ECS rolled back.
    pub fn past(&self, now: Timestamp) -> Option<(String, String)> {
        let version = self.given_up()?;
        let until = self.evidence.at.map_or_else(String::new, |at| {
            format!(" until {} ago", time::words(time::age(now, at)))
        });
        Some((format!("{}{}", version.name(), version.fate()), until))
    }
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
            FailedCheck {
                failure,
                code,
                description,
                target: Some(target),
                version: None,
                evidence,
            }
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
    let stopped = patient.stopped_tasks()?;
    let was_replaced = |version: &Version| {
        stopped.iter().any(|task| {
            is_recent(task.stopped_at)
                && version.has(task)
                && stopped_for(task)
                    .is_some_and(|named| pair.contains(named.as_str()) || named == group)
        })
    };
    let Some(version) = version::primary(patient).into_iter().find(was_replaced) else {
        return Ok(Vec::new());
    };
    let told = complaints(patient, group)
        .find(|(event, _)| is_recent(event.created_at))
        .map(|(event, reason)| by_event(patient, group, version, event, reason));
    Ok(told.into_iter().collect())
}

/// The group whose health check a task was stopped for.
fn stopped_for(task: &Task) -> Option<String> {
    match StopKind::of(task) {
        StopKind::BalancerHealthCheck { group } => Some(group),
        _ => None,
    }
}

/// The events, newest first, that say how targets of this group failed, with AWS's words for it.
fn complaints<'a>(
    patient: &Patient<'a>,
    group: &str,
) -> impl Iterator<Item = (&'a ServiceEvent, &'a str)> {
    patient.service().events.iter().filter_map(move |event| match event::read(&event.message) {
        Event::TargetUnhealthy { group: named, reason } if named == group => Some((event, reason)),
        _ => None,
    })
}

fn by_event<'a>(
    patient: &Patient<'a>,
    group: &str,
    version: Version<'a>,
    event: &'a ServiceEvent,
    reason: &'a str,
) -> FailedCheck<'a> {
    let (failure, code) = failure(patient, group, reason);
    let evidence = patient.evidence("events.message", &event.message).at(event.created_at);
    FailedCheck {
        failure,
        code,
        description: reason,
        target: None,
        version: Some(version),
        evidence,
    }
}

/// How the health check of a group failed for a version that ECS rolled back: the newest event
/// about one of its targets. It stands until a later deployment succeeds, whoever is registered
/// now.
pub fn of_the_given_up<'a>(
    patient: &Patient<'a>,
    group: &str,
) -> Result<Option<FailedCheck<'a>>, Blind> {
    for version in version::troubled(patient)?.into_iter().filter(Version::is_given_up) {
        if !failed_its_checks(patient, &version)? {
            continue;
        }
        for (event, reason) in complaints(patient, group) {
            if is_about(patient, &version, event)? {
                return Ok(Some(by_event(patient, group, version, event, reason)));
            }
        }
    }
    Ok(None)
}

/// Whether a version ended for its health checks: tasks of it were stopped for one; or none is
/// known to have failed of anything else, and it was the circuit breaker that ended it. A target
/// may be unhealthy for a moment in a version that an alarm ended.
fn failed_its_checks(patient: &Patient, version: &Version) -> Result<bool, Blind> {
    let own: Vec<&Task> =
        patient.stopped_tasks()?.iter().filter(|task| version.has(task)).collect();
    if own.iter().any(|task| stopped_for(task).is_some()) {
        return Ok(true);
    }
    let failed = own.iter().any(|task| StopKind::of(task).is_failure());
    Ok(!failed && version::was_broken_off(patient)?)
}

/// Whether an event about an unhealthy target is about one of this version's: it was made in the
/// version's life, and names the version or a task of it, or nobody that is known to be another's.
fn is_about(patient: &Patient, version: &Version, event: &ServiceEvent) -> Result<bool, Blind> {
    if !event.created_at.is_some_and(|at| version.lived(at)) {
        return Ok(false);
    }
    let about = event::about(&event.message);
    if let Some(id) = about.version
        && !version.marks.is_empty()
    {
        return Ok(version.marks.iter().any(|mark| mark.deployment == id));
    }
    let Some(id) = about.task else { return Ok(true) };
    let mut known = patient.stopped_tasks()?.iter().chain(patient.running_tasks()?);
    Ok(known.find(|task| task.id() == id).is_none_or(|task| version.has(task)))
}

/// How the health check of a group fails: now, or else as it did for a version that ECS rolled
/// back.
pub fn now_or_then<'a>(patient: &Patient<'a>, group: &str) -> Result<Vec<FailedCheck<'a>>, Blind> {
    let now = if traffic::groups(patient)?.contains(group) {
        failures(patient, group)?
    } else {
        Vec::new()
    };
    if now.is_empty() {
        return Ok(of_the_given_up(patient, group)?.into_iter().collect());
    }
    Ok(now)
}

/// The target groups whose health checks tell of today's trouble: those of the service, and those
/// that events name of a version that ECS rolled back.
pub fn groups<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<BTreeSet<&'a str>, Blind> {
    let mut groups = traffic::groups(patient)?;
    let given_up = findings.see(version::troubled(patient)).unwrap_or_default();
    for version in given_up.iter().filter(|version| version.is_given_up()) {
        groups.extend(patient.service().events.iter().filter_map(|event| {
            let lived = event.created_at.is_some_and(|at| version.lived(at));
            match event::read(&event.message) {
                Event::TargetUnhealthy { group, .. } if lived => Some(group),
                _ => None,
            }
        }));
    }
    Ok(groups)
}

/// How tasks of the versions whose health checks failed are told from others.
pub fn marks(patient: &Patient, failures: &[FailedCheck]) -> Result<Vec<Mark>, Blind> {
    let mut marks = Vec::new();
    for failed in failures {
        match (failed.target, &failed.version) {
            (Some(target), _) => marks.extend(task_behind(patient, target)?.map(Mark::of)),
            (None, Some(version)) => marks.extend(version.marks.iter().cloned()),
            (None, None) => {}
        }
    }
    Ok(marks)
}

/// The running task that a target stands for: the one with its address, by its containers, its
/// attachment or its interface; on an instance, the youngest that has its port.
pub fn task_behind<'a>(patient: &Patient<'a>, target: &Target) -> Result<Option<&'a Task>, Blind> {
    let tasks = patient.running_tasks()?;
    let has_port = |task: &&Task| {
        target.port.is_some_and(|port| {
            task.containers.iter().any(|container| container.host_ports.contains(&port))
        })
    };
    let own = tasks.iter().find(|task| task.private_address() == Some(target.id.as_str()));
    let by_address = match own {
        Some(task) => Some(task),
        None => by_interface(patient, target, tasks)?,
    };
    Ok(by_address.or_else(|| tasks.iter().filter(has_port).max_by_key(|task| task.started_at)))
}

/// The running task without an address of its own whose interface has that of the target.
fn by_interface<'a>(
    patient: &Patient<'a>,
    target: &Target,
    tasks: &'a [Task],
) -> Result<Option<&'a Task>, Blind> {
    let has_none = |task: &&Task| task.last_status == "RUNNING" && task.private_address().is_none();
    for task in tasks.iter().filter(has_none) {
        let Some(id) = &task.network_interface_id else { continue };
        let interface = match patient.interface(id) {
            Err(Blind { why: Why::NotAsked, .. }) => None,
            interface => interface?,
        };
        if interface.is_some_and(|it| it.private_ip_address.as_deref() == Some(&target.id)) {
            return Ok(Some(task));
        }
    }
    Ok(None)
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
    for failed in now_or_then(patient, group)? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::check::Findings;
    use crate::seen::Seen;
    use crate::snapshot::deployment::{BreakerState, Rollback};
    use crate::snapshot::{Container, Interface, Snapshot};
    use crate::testing::{newest_deployment, of};

    type Edit = fn(&mut Snapshot);

    fn api() -> String {
        id::group("api")
    }

    fn failing(description: &str) -> Target {
        baseline::unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", description)
    }

    fn with_targets(targets: Vec<Target>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(api(), targets);
        snapshot
    }

    fn found(snapshot: &Snapshot) -> Vec<(Failure, Option<u16>)> {
        of(snapshot, |patient| {
            let failures = failures(patient, &api()).unwrap();
            failures.iter().map(|failed| (failed.failure, failed.code)).collect()
        })
    }

    #[test]
    fn a_description_tells_how_the_health_check_fails() {
        for (description, failure, code) in [
            ("Health checks failed with these codes: [404]", Failure::WrongAnswer, Some(404)),
            ("Health checks failed with these codes: [502, 504]", Failure::WrongAnswer, Some(502)),
            ("Request timed out", Failure::TimedOut, None),
            ("Health checks failed", Failure::Refused, None),
            ("Health checks failed due to an internal error", Failure::Other, None),
        ] {
            assert_eq!(found(&with_targets(vec![failing(description)])), [(failure, code)]);
            let drops = matches!(failure, Failure::TimedOut);
            assert_eq!(failure.may_be_dropped(), drops, "{description}");
            assert_eq!(failure.verb(), if drops { "times out" } else { "fails" });
        }
        assert!(Failure::Unanswered.may_be_dropped());
        assert_eq!(Failure::Unanswered.verb(), "fails");
    }

    #[test]
    fn a_network_load_balancer_does_not_tell_how() {
        let of_protocol = |protocol: &str| {
            let mut snapshot = with_targets(vec![failing("Health checks failed")]);
            snapshot.target_groups.change(&api()).unwrap().protocol = Some(protocol.into());
            found(&snapshot)
        };
        for protocol in ["TCP", "UDP", "TLS", "TCP_UDP", "QUIC", "TCP_QUIC"] {
            assert_eq!(of_protocol(protocol), [(Failure::Unanswered, None)], "{protocol}");
        }
        assert_eq!(of_protocol("HTTPS"), [(Failure::Refused, None)]);
        for hidden in [crate::seen::Seen::default(), crate::seen::Seen::Yes(None)] {
            let mut snapshot = with_targets(vec![failing("Health checks failed")]);
            snapshot.target_groups.insert(api(), hidden);
            assert_eq!(found(&snapshot), [(Failure::Unanswered, None)], "it may be one's");
        }
    }

    #[test]
    fn the_state_is_quoted_where_there_is_no_description() {
        let quoted = |description: Option<&str>| {
            let target = Target { description: description.map(Into::into), ..failing("") };
            of(&with_targets(vec![target]), |patient| {
                let evidence = failures(patient, &api()).unwrap().remove(0).evidence;
                (evidence.field, evidence.value)
            })
        };
        let timed_out = "Request timed out".to_owned();
        assert_eq!(quoted(Some("Request timed out")), ("TargetHealth.Description", timed_out));
        assert_eq!(quoted(None), ("TargetHealth.State", "unhealthy".into()));
    }

    /// A kill loop between two tasks: one was replaced two minutes ago, and an event of five
    /// minutes ago says why.
    fn kill_loop() -> Snapshot {
        let mut snapshot = with_targets(Vec::new());
        baseline::stop_tasks(&mut snapshot, 1, |task| {
            let reason = format!("Task failed ELB health checks in (target-group {})", api());
            task.stopped_reason = Some(reason);
        });
        let group = api();
        let event = format!(
            "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason Request timed out)."
        );
        baseline::say(&mut snapshot, 5, &event);
        snapshot
    }

    #[test]
    fn between_two_tasks_the_newest_event_tells() {
        let timed_out = [(Failure::TimedOut, None)];
        assert_eq!(found(&kill_loop()), timed_out);
        let target = |state: &str| baseline::target("10.0.1.21", 8080, "eu-west-2a", state);
        for (state, tells) in
            [("healthy", false), ("unused", false), ("initial", true), ("draining", true)]
        {
            let mut snapshot = kill_loop();
            snapshot.target_health.put(api(), vec![target(state)]);
            assert_eq!(found(&snapshot) == timed_out, tells, "{state}");
        }
    }

    #[test]
    fn an_event_tells_only_with_a_task_of_now_that_was_replaced_for_it() {
        let changes: [(&str, Edit); 5] = [
            ("no task", |s| baseline::stop_tasks(s, 0, |_| ())),
            ("for another reason", |s| baseline::stop_tasks(s, 1, |_| ())),
            ("of another version", |s| {
                let arn = s.services[0].service_arn.clone();
                s.stopped_tasks.change(&arn).unwrap()[0].started_by = Some("ecs-svc/1".into());
            }),
            ("too long ago", |s| {
                let arn = s.services[0].service_arn.clone();
                s.stopped_tasks.change(&arn).unwrap()[0].stopped_at = Some(minutes_ago(31));
            }),
            ("the event is too old", |s| {
                s.services[0].events[0].created_at = Some(minutes_ago(31));
            }),
        ];
        for (why, change) in changes {
            let mut snapshot = kill_loop();
            change(&mut snapshot);
            assert_eq!(found(&snapshot), [], "{why}");
        }
        let mut snapshot = kill_loop();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap()[0].stopped_at = Some(minutes_ago(30));
        snapshot.services[0].events[0].created_at = Some(minutes_ago(30));
        assert_eq!(found(&snapshot), [(Failure::TimedOut, None)], "half an hour is recent");
    }

    #[test]
    fn an_event_or_a_stop_of_another_group_tells_nothing_of_this_one() {
        let mut snapshot = kill_loop();
        snapshot.target_health.put(id::group("other"), Vec::new());
        let other = of(&snapshot, |patient| failures(patient, &id::group("other")).unwrap().len());
        assert_eq!(other, 0);
        let mut snapshot = kill_loop();
        let message = &mut snapshot.services[0].events[0].message;
        *message = message.replace(&api(), &id::group("other"));
        assert_eq!(found(&snapshot), []);
    }

    const NEW: &str = "ecs-svc/1000000000000000013";

    fn complaint(task: &str) -> String {
        format!(
            "(service api) (task {task}) (port 8080) is unhealthy in (target-group {}) due to (reason Request timed out).",
            api()
        )
    }

    /// All targets are healthy. Version 13 came 40 minutes ago and was given up 24 minutes ago by
    /// the circuit breaker; its task was stopped for the health check, and an event says how that
    /// failed.
    fn given_up() -> Snapshot {
        let mut snapshot = baseline::fargate();
        baseline::roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.rollback =
                Some(Rollback { started_at: Some(minutes_ago(24)), ..Rollback::default() });
            deployment.deployment_circuit_breaker =
                Some(BreakerState { status: Some("TRIGGERED".into()), ..BreakerState::default() });
        });
        baseline::stop_tasks(&mut snapshot, 1, |task| {
            task.started_by = Some(NEW.into());
            task.task_definition_arn = id::ecs("task-definition/api:13");
            task.created_at = Some(minutes_ago(33));
            task.stopped_at = Some(minutes_ago(30));
            let reason = format!("Task failed ELB health checks in (target-group {})", api());
            task.stopped_reason = Some(reason);
        });
        baseline::say(&mut snapshot, 31, &complaint(&id::task(3)));
        snapshot
    }

    fn then(snapshot: &Snapshot) -> Option<(Failure, String, String)> {
        of(snapshot, |patient| {
            let failed = of_the_given_up(patient, &api()).unwrap()?;
            let (version, until) = failed.past(patient.now()).unwrap();
            assert_eq!(now_or_then(patient, &api()).unwrap().len(), 1);
            Some((failed.failure, version, until))
        })
    }

    #[test]
    fn a_version_that_was_given_up_is_judged_by_its_own_events() {
        let told = (
            Failure::TimedOut,
            "api:13, which was rolled back,".to_owned(),
            " until 31 min ago".to_owned(),
        );
        let forget = |s: &mut Snapshot| baseline::stop_tasks(s, 0, |_| ());
        let changes: [(&str, Edit, bool); 8] = [
            ("as it is", |_| (), true),
            (
                "three hours later",
                |s| {
                    s.taken_at += SignedDuration::from_hours(3);
                },
                true,
            ),
            ("its tasks are forgotten", |s| baseline::stop_tasks(s, 0, |_| ()), true),
            (
                "a task of the old version failed",
                |s| s.services[0].events[0].message = complaint(&id::task(1)),
                false,
            ),
            (
                "before it came",
                |s| s.services[0].events[0].created_at = Some(minutes_ago(41)),
                false,
            ),
            (
                "after it went",
                |s| s.services[0].events[0].created_at = Some(minutes_ago(23)),
                false,
            ),
            (
                "an alarm ended it, and its task was taken away with it",
                |s| {
                    let arn = s.services[0].service_arn.clone();
                    s.stopped_tasks.change(&arn).unwrap()[0].stopped_reason =
                        Some(format!("Scaling activity initiated by (deployment {NEW})"));
                    newest_deployment(s).deployment_circuit_breaker = None;
                },
                false,
            ),
            (
                "its tasks stopped for something else, and one that is forgotten failed",
                |s| {
                    let arn = s.services[0].service_arn.clone();
                    let task = &mut s.stopped_tasks.change(&arn).unwrap()[0];
                    (task.stopped_reason, task.stop_code) =
                        (None, Some("TaskFailedToStart".into()));
                    s.services[0].events[0].message = complaint(&id::task(9));
                },
                false,
            ),
        ];
        for (what, change, tells) in changes {
            let mut snapshot = given_up();
            change(&mut snapshot);
            let found = then(&snapshot);
            assert_eq!(found.is_some(), tells, "{what}");
            if what == "as it is" {
                assert_eq!(found, Some(told.clone()));
            }
        }
        let mut by_alarm = given_up();
        forget(&mut by_alarm);
        newest_deployment(&mut by_alarm).deployment_circuit_breaker = None;
        assert_eq!(then(&by_alarm), None, "an alarm ended it, and nothing is left of its tasks");
    }

    #[test]
    fn what_fails_now_goes_before_what_failed_then() {
        let mut snapshot = given_up();
        snapshot.target_health.put(api(), vec![failing("Health checks failed")]);
        let failed = of(&snapshot, |patient| now_or_then(patient, &api()).unwrap().remove(0));
        assert_eq!((failed.failure, failed.target.is_some()), (Failure::Refused, true));
        assert!(failed.given_up().is_none());
    }

    #[test]
    fn a_group_that_the_service_has_no_more_is_judged_too() {
        let mut snapshot = given_up();
        let former = id::group("former");
        let message = complaint(&id::task(3)).replace(&api(), &former);
        snapshot.services[0].events[0].message = message;
        of(&snapshot, |patient| {
            let mut findings = Findings::default();
            let groups = groups(patient, &mut findings).unwrap();
            assert!(groups.contains(former.as_str()) && groups.contains(api().as_str()));
            assert_eq!(now_or_then(patient, &former).unwrap().len(), 1, "nobody asks for targets");
        });
        assert!(
            of(&baseline::fargate(), |patient| groups(patient, &mut Findings::default())
                .unwrap()
                .len())
                == 1
        );
    }

    #[test]
    fn a_task_is_behind_a_target_by_its_address_or_its_port_on_the_instance() {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let task = |digit: u8, address: Option<&str>, port: i32, minutes: i64| Task {
            task_arn: id::task(digit),
            started_at: Some(minutes_ago(minutes)),
            containers: vec![Container {
                private_ipv4_address: address.map(Into::into),
                host_ports: vec![port],
                ..Container::default()
            }],
            ..Task::default()
        };
        let tasks = vec![
            task(1, Some("10.0.1.21"), 0, 9),
            task(2, None, 32768, 5),
            task(3, None, 32768, 1),
            task(4, None, 32769, 0),
        ];
        snapshot.running_tasks.put(&arn, tasks);
        let behind = |id: &str, port: i32| {
            let target = baseline::target(id, port, "eu-west-2a", "healthy");
            of(&snapshot, |patient| {
                task_behind(patient, &target).unwrap().map(|task| task.task_arn.clone())
            })
        };
        assert_eq!(behind("10.0.1.21", 32768), Some(id::task(1)));
        assert_eq!(behind("i-1", 32768), Some(id::task(3)), "the youngest");
        assert_eq!(behind("i-1", 80), None);
    }

    #[test]
    fn a_task_whose_containers_have_no_address_is_found_by_its_attachment_or_its_interface() {
        let mut snapshot = with_targets(vec![failing("Request timed out")]);
        let arn = snapshot.services[0].service_arn.clone();
        let tasks = snapshot.running_tasks.change(&arn).unwrap();
        tasks.retain(|task| task.private_address() == Some("10.0.1.21"));
        tasks[0].containers.iter_mut().for_each(|it| it.private_ipv4_address = None);
        tasks[0].network_interface_id = Some("eni-1".into());
        let is_found = |snapshot: &Snapshot| {
            of(snapshot, |patient| {
                let target = &patient.targets(&api()).unwrap()[0];
                task_behind(patient, target).map(|task| task.is_some())
            })
        };
        let mut attached = snapshot.clone();
        attached.running_tasks.change(&arn).unwrap()[0].private_ipv4_address =
            Some("10.0.1.21".into());
        assert_eq!(is_found(&attached), Ok(true));
        let interface = |address: &str| Interface {
            private_ip_address: Some(address.into()),
            ..Interface::default()
        };
        snapshot.interfaces.put("eni-1", interface("10.0.1.21"));
        assert_eq!(is_found(&snapshot), Ok(true));
        snapshot.interfaces.put("eni-1", interface("10.0.1.22"));
        assert_eq!(is_found(&snapshot), Ok(false));
        snapshot.interfaces.0.clear();
        assert_eq!(is_found(&snapshot), Ok(false), "it was not asked about");
        snapshot.interfaces.insert("eni-1", Seen::No(Why::Denied("no".into())));
        assert!(is_found(&snapshot).is_err());
    }

    #[test]
    fn a_task_may_be_unhealthy_while_it_starts() {
        let graced = |grace: Option<i32>, started: Option<i64>, created: Option<i64>| {
            let mut snapshot = with_targets(vec![failing("Request timed out")]);
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.services[0].health_check_grace_period_seconds = grace;
            let tasks = snapshot.running_tasks.change(&arn).unwrap();
            tasks.retain(|task| task.private_address() == Some("10.0.1.21"));
            tasks[0].started_at = started.map(minutes_ago);
            tasks[0].created_at = created.map(minutes_ago);
            of(&snapshot, |patient| {
                let target = &patient.targets(&api()).unwrap()[0];
                let graced = in_grace(patient, target).unwrap();
                assert_eq!(failures_past_grace(patient, &api()).unwrap().is_empty(), graced);
                graced
            })
        };
        assert!(!graced(None, Some(0), None));
        assert!(!graced(Some(0), Some(0), None));
        assert!(graced(Some(120), Some(1), Some(9)));
        assert!(!graced(Some(120), Some(2), Some(9)));
        assert!(!graced(Some(120), None, Some(9)));
        assert!(graced(Some(120), None, None), "it has not started yet");
    }

    #[test]
    fn a_stranger_and_a_replaced_task_have_no_grace() {
        let mut snapshot = with_targets(vec![Target {
            id: "10.9.9.9".into(),
            port: Some(1),
            ..failing("Request timed out")
        }]);
        snapshot.services[0].health_check_grace_period_seconds = Some(3600);
        let past = |snapshot: &Snapshot| {
            of(snapshot, |patient| failures_past_grace(patient, &api()).unwrap().len())
        };
        assert_eq!(past(&snapshot), 1);
        let mut snapshot = kill_loop();
        snapshot.services[0].health_check_grace_period_seconds = Some(3600);
        assert_eq!(past(&snapshot), 1);
    }
}
