//! What keeps tasks of a version from starting or running: read from stopped tasks and their
//! containers, and from service events where the tasks are gone or were never created. The words
//! come before exit codes; what they mean is in `aws::stop_reason`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::aws::event::{self, Event};
use crate::aws::stop_reason::{Reason, Trouble, read};
use crate::aws::time;
use crate::call::Call;
use crate::command::Command;
use crate::facts::deployment::rollout;
use crate::facts::deployment::version::{self, Version};
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::finding::{Evidence, Finding, Kind, Subject};
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{Service, ServiceEvent, Task};

/// One trouble of one version, with everything that tells of it.
#[derive(Debug)]
pub struct Told<'a> {
    pub reason: Reason,
    /// AWS's words, the newest.
    pub text: &'a str,
    pub evidence: Evidence,
    pub task_definition: &'a str,
    pub version: Version<'a>,
    /// Whether the primary deployment brings this version; if not, it was rolled back.
    pub is_primary: bool,
    /// The container whose own reason it is.
    pub container: Option<&'a str>,
    /// The tasks that stopped for it, newest first; none where only events tell.
    pub tasks: Vec<&'a Task>,
    /// How many tasks of the version failed, for whatever reason.
    pub failed: usize,
    /// When ECS last reported it in an event, where no stopped task tells.
    pub said: Option<Timestamp>,
}

impl<'a> Told<'a> {
    pub fn version(&self) -> &'a str {
        rollout::short(self.task_definition)
    }

    /// `7 of 7 failed tasks of api:12 stopped for this reason within 40 s, the last 3 min ago`.
    pub fn count(&self, now: Timestamp) -> String {
        let fate = if self.is_primary { "" } else { ", which was rolled back," };
        let version = self.version();
        match (self.tasks.len(), self.said) {
            (0, Some(at)) => {
                let fate = if self.is_primary { "," } else { fate };
                format!(
                    "reported by ECS for {version}{fate} {} ago",
                    time::words(time::age(now, at))
                )
            }
            (0, None) => format!("reported by ECS for {version}{}", fate.trim_end_matches(',')),
            (some, _) => format!(
                "{some} of {} failed tasks of {version}{fate} stopped for this reason {}",
                self.failed,
                stop::when(now, &self.tasks)
            ),
        }
    }

    /// The image of the container that it is about, where that is certain.
    pub fn image(&self) -> Option<&'a str> {
        let containers = &self.tasks.first()?.containers;
        let container = match (self.container, containers.as_slice()) {
            (Some(name), all) => all.iter().find(|container| container.name == name)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        container.image.as_deref()
    }

    /// A finding about this version: the claim, which is a clause, how many tasks bear it out, and
    /// AWS's words as evidence.
    pub fn finding(&self, patient: &Patient, claim: &str) -> Finding {
        // What keeps a task from starting is not a failed health check of a load balancer: where
        // tasks stop for that, this is not why.
        Subject::new(Kind::TaskDefinition, self.task_definition)
            .sick(format!("{claim}: {}", self.count(patient.now())), self.evidence.clone())
            .concerns(Kind::TaskDefinition, self.task_definition)
            .concerns_no(Kind::TargetGroup)
    }

    /// The command that shows AWS's words again.
    pub fn see(&self, patient: &Patient) -> Command {
        let id = self.tasks.first().map_or(patient.arn(), |task| task.id());
        patient.see(self.evidence.call, id)
    }
}

/// Every trouble that tells of today: of the versions that matter, not over, and not an hour old.
pub fn told<'a>(patient: &Patient<'a>, notes: &mut impl See) -> Vec<Told<'a>> {
    let failures = notes.see(stop::failures(patient));
    let mut told = Vec::new();
    for failures in failures.iter().flatten() {
        told.extend(by_tasks(patient, notes, failures));
    }
    let by_events = by_events(patient)
        .into_iter()
        .chain(notes.see(by_events_of_the_rolled_back(patient)).into_iter().flatten());
    for event in by_events {
        let known = |told: &Told| {
            told.task_definition == event.task_definition
                && told.reason.trouble == event.reason.trouble
        };
        if !told.iter().any(known) {
            told.push(event);
        }
    }
    told
}

/// What a task's record says: what it means, in which words, and the container whose words these are.
pub type Record<'a> = (Reason, &'a str, Option<&'a str>);

/// What one task's record says: its own reason first, then that of a container which can end it.
pub fn of_task<'a>(patient: &Patient, task: &'a Task) -> Result<Option<Record<'a>>, Blind> {
    let own = task.stopped_reason.as_deref().and_then(|text| Some((read(text)?, text)));
    let containers = task.containers.iter().filter(|it| !stop::is_added_by_aws(&it.name));
    let mut of_containers = containers.filter_map(|container| {
        let text = container.reason.as_deref()?;
        Some((read(text)?, text, container.name.as_str()))
    });
    if let Some((reason, text)) = own {
        let alike = of_containers.find(|(one, ..)| one.trouble == reason.trouble);
        return Ok(Some((reason, text, alike.map(|(_, _, name)| name))));
    }
    for (reason, text, name) in of_containers {
        if stop::can_end(patient, task, name)? {
            return Ok(Some((reason, text, Some(name))));
        }
    }
    Ok(None)
}

fn by_tasks<'a>(
    patient: &Patient,
    findings: &mut impl See,
    failures: &Failures<'a>,
) -> Vec<Told<'a>> {
    let mut groups: BTreeMap<Trouble, Vec<(Record, &Task)>> = BTreeMap::new();
    // A health check's verdict is no reason to look into what a container said when it was stopped
    // for it.
    let own = |task: &Task| {
        matches!(
            StopKind::of(task),
            StopKind::FailedToStart | StopKind::Exited { .. } | StopKind::Other
        )
    };
    for task in failures.tasks.iter().copied().filter(|task| own(task)) {
        if let Some(record) = findings.see(of_task(patient, task)).flatten() {
            groups.entry(record.0.trouble).or_default().push((record, task));
        }
    }
    let newest = failures.tasks.first().map(|task| task.task_arn.as_str());
    // One stop among many others is an outlier, unless it is the last word.
    groups.retain(|_, tasks| tasks.len() > 1 || newest == Some(tasks[0].1.task_arn.as_str()));
    let told = groups.into_values().map(|group| {
        let (reason, text, container) = group[0].0;
        let tasks: Vec<&Task> = group.into_iter().map(|(_, task)| task).collect();
        let field = if tasks[0].stopped_reason.as_deref() == Some(text) {
            "stoppedReason"
        } else {
            "containers.reason"
        };
        Told {
            reason,
            text,
            evidence: Evidence::new(Call::DescribeTasks, &tasks[0].task_arn, field, text)
                .at(tasks[0].stopped_at),
            task_definition: failures.task_definition,
            version: failures.version.clone(),
            is_primary: failures.is_primary,
            container,
            tasks,
            failed: failures.tasks.len(),
            said: None,
        }
    });
    told.collect()
}

/// For how long an event can tell of what is still so.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Placement may fail for a moment, while capacity is on its way.
pub const SETTLED: SignedDuration = SignedDuration::from_mins(3);

/// What ECS says of the version that it deploys now, as long as that lacks tasks: since the
/// deployment began, and since the last event that supersedes all before it.
fn by_events<'a>(patient: &Patient<'a>) -> Vec<Told<'a>> {
    let definition = brought_up(patient.service());
    let mut versions = version::primary(patient).into_iter();
    let Some(version) = versions.find(|version| version.task_definition == definition) else {
        return Vec::new();
    };
    tell_events(patient, complaints(patient), &version)
}

/// The task definition of the version that is brought up now: that of the primary deployment, or of
/// the task set that lacks tasks.
pub fn brought_up(service: &Service) -> Option<&str> {
    let mut task_sets = service.current_task_sets();
    task_sets
        .find(|set| set.lacks_tasks())
        .and_then(|set| set.task_definition.as_deref())
        .or(service.primary_definition())
}

/// The events, newest first, in which ECS says that it cannot start or place tasks of the version
/// that it brings up now.
pub fn complaints<'a>(patient: &Patient<'a>) -> Vec<&'a ServiceEvent> {
    let service = patient.service();
    if !service.lacks_tasks() {
        return Vec::new();
    }
    let supersedes = |event: &ServiceEvent| {
        matches!(
            event::read(&event.message),
            Event::SteadyState
                | Event::DeploymentCompleted { .. }
                | Event::RollingBackTo { .. }
                | Event::DeploymentFailed { .. }
                | Event::RolledBack { .. }
        )
    };
    let began = service.primary().and_then(|primary| primary.created_at);
    let since = service.events.iter().take_while(|event| !supersedes(event));
    let recent = since.filter(|event| {
        event.created_at.is_some_and(|at| {
            began.is_none_or(|began| at >= began) && time::age(patient.now(), at) < DAY
        })
    });
    let mut placed = false;
    let mut complaints = Vec::new();
    for event in recent {
        placed |= matches!(event::read(&event.message), Event::Started { .. });
        // A task that was placed since then shows that there is room; that it started does not show
        // that it ran.
        let over = || {
            placed && read(&event.message).is_some_and(|reason| reason.trouble.is_of_placement())
        };
        if complains(event) && !over() {
            complaints.push(event);
        }
    }
    complaints
}

/// What ECS said while it tried to bring up the version that it then rolled back: it stands until a
/// later one succeeds.
fn by_events_of_the_rolled_back<'a>(patient: &Patient<'a>) -> Result<Vec<Told<'a>>, Blind> {
    let mut told = Vec::new();
    for version in version::troubled(patient)?.iter().filter(|version| version.is_past()) {
        let (Some(began), Some(ended)) = (version.began, version.ended) else { continue };
        let within =
            |event: &&ServiceEvent| event.created_at.is_some_and(|at| at >= began && at <= ended);
        let events = patient.service().events.iter().filter(within).collect();
        told.extend(tell_events(patient, events, version));
    }
    Ok(told)
}

fn tell_events<'a>(
    patient: &Patient<'a>,
    events: Vec<&'a ServiceEvent>,
    version: &Version<'a>,
) -> Vec<Told<'a>> {
    let Some(definition) = version.task_definition else { return Vec::new() };
    let mut groups: BTreeMap<Trouble, Vec<(Reason, &ServiceEvent)>> = BTreeMap::new();
    for event in events.into_iter().filter(|event| complains(event)) {
        if let Some(reason) = read(&event.message) {
            groups.entry(reason.trouble).or_default().push((reason, event));
        }
    }
    let settled = |events: &[(Reason, &ServiceEvent)]| {
        events.len() > 1
            || events.iter().any(|(_, event)| {
                event.created_at.is_some_and(|at| time::age(patient.now(), at) >= SETTLED)
            })
    };
    groups.retain(|_, events| settled(events));
    let told = groups.into_values().map(|events| {
        let (reason, newest) = events[0];
        Told {
            reason,
            text: &newest.message,
            evidence: patient.evidence("events.message", &newest.message).at(newest.created_at),
            task_definition: definition,
            version: version.clone(),
            is_primary: !version.is_past(),
            container: None,
            tasks: Vec::new(),
            failed: 0,
            said: newest.created_at,
        }
    });
    told.collect()
}

/// Whether ECS says in an event that it cannot start or place a task.
pub fn complains(event: &ServiceEvent) -> bool {
    matches!(
        event::read(&event.message),
        Event::CannotPlace { .. }
            | Event::CannotStartConsistently
            | Event::LaunchFailed { .. }
            | Event::NoInstancesInProvider
            | Event::CouldNotLaunch { .. }
            | Event::ProvisioningLimit
            | Event::AgentTimedOut
            | Event::IamMisconfigured
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::patient::Intent;
    use crate::seen::Unseen;
    use crate::snapshot::{Container, RevisionSummary, ServiceDeployment, Snapshot};
    use crate::testing::{newest_deployment, of};

    const MISSING: &str = "CannotPullContainerError: failed to resolve ref mailer:1: not found";

    fn troubles(snapshot: &Snapshot) -> Vec<(Trouble, usize, usize)> {
        let intent = Intent::default();
        let patient = Patient::new(snapshot, &snapshot.services[0], &intent);
        told(&patient, &mut Unseen::default())
            .iter()
            .map(|told| (told.reason.trouble, told.tasks.len(), told.failed))
            .collect()
    }

    fn complaint(minutes: i64, reason: &str) -> Snapshot {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(
            &mut snapshot,
            minutes,
            &format!("(service mailer) was unable to place a task. Reason: {reason}"),
        );
        snapshot
    }

    #[test]
    fn the_modal_reason_counts_and_an_outlier_does_not() {
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(&mut snapshot, 3, MISSING);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap()[2].stopped_reason =
            Some("Timeout waiting for network interface provisioning to complete.".into());
        assert_eq!(troubles(&snapshot), [(Trouble::ImageNotFound, 2, 3)]);
    }

    #[test]
    fn what_another_version_or_another_hour_said_names_nothing() {
        for change in [
            |task: &mut Task| task.started_by = Some("ecs-svc/1".into()),
            |task: &mut Task| task.stopped_at = Some(minutes_ago(61)),
        ] {
            let mut snapshot = baseline::worker();
            baseline::fail_to_start(&mut snapshot, 3, MISSING);
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(change);
            assert!(troubles(&snapshot).is_empty());
        }
    }

    #[test]
    fn a_containers_reason_counts_where_the_tasks_says_nothing() {
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(&mut snapshot, 2, "Task failed to start");
        let arn = snapshot.services[0].service_arn.clone();
        let containers = vec![Container {
            name: "worker".into(),
            reason: Some(MISSING.into()),
            ..Container::default()
        }];
        snapshot
            .stopped_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.containers = containers.clone());
        assert_eq!(troubles(&snapshot), [(Trouble::ImageNotFound, 2, 2)]);
    }

    #[test]
    fn events_tell_where_the_tasks_have_expired() {
        assert_eq!(troubles(&complaint(100, MISSING)), [(Trouble::ImageNotFound, 0, 0)]);
    }

    #[test]
    fn an_event_adds_nothing_to_what_tasks_tell() {
        let mut snapshot = complaint(5, MISSING);
        baseline::fail_to_start(&mut snapshot, 2, MISSING);
        assert_eq!(troubles(&snapshot), [(Trouble::ImageNotFound, 2, 2)]);
    }

    #[test]
    fn events_that_later_ones_overrule_tell_nothing() {
        let mut snapshot = complaint(100, MISSING);
        baseline::say(&mut snapshot, 5, "(service mailer) has reached a steady state.");
        assert!(troubles(&snapshot).is_empty());
        let mut snapshot = complaint(100, MISSING);
        baseline::say(
            &mut snapshot,
            5,
            "(service mailer) rolling back to deployment ecs-svc/1000000000000000012.",
        );
        assert!(troubles(&snapshot).is_empty());
    }

    #[test]
    fn events_of_before_the_deployment_or_of_a_full_service_tell_nothing() {
        let mut snapshot = complaint(100, MISSING);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(50));
        assert!(troubles(&snapshot).is_empty());
        let mut snapshot = complaint(100, MISSING);
        snapshot.services[0].running_count = 2;
        snapshot.services[0].deployments[0].running_count = 2;
        assert!(troubles(&snapshot).is_empty());
    }

    #[test]
    fn a_task_that_was_placed_since_then_ends_what_was_said_of_placing() {
        let started =
            "(service mailer) has started 1 tasks: (task 0123456789abcdef0123456789abcdef).";
        let mut snapshot = complaint(20, "Capacity is unavailable at this time.");
        assert_eq!(troubles(&snapshot), [(Trouble::FargateCapacityUnavailable, 0, 0)]);
        baseline::say(&mut snapshot, 5, started);
        assert!(troubles(&snapshot).is_empty());
        let mut snapshot = complaint(20, MISSING);
        baseline::say(&mut snapshot, 5, started);
        assert_eq!(
            troubles(&snapshot),
            [(Trouble::ImageNotFound, 0, 0)],
            "that it was placed does not show that it ran"
        );
    }

    #[test]
    fn one_complaint_of_just_now_may_be_over_in_a_moment() {
        assert!(troubles(&complaint(1, "Capacity is unavailable at this time.")).is_empty());
    }

    #[test]
    fn a_trouble_is_counted_in_tasks_or_told_by_an_event() {
        let count = |snapshot: &Snapshot| {
            of(snapshot, |patient| {
                told(patient, &mut Unseen::default()).remove(0).count(patient.now())
            })
        };
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(&mut snapshot, 2, MISSING);
        assert_eq!(
            count(&snapshot),
            "2 of 2 failed tasks of mailer:12 stopped for this reason within 4 min, the last 2 min ago"
        );
        assert_eq!(count(&complaint(100, MISSING)), "reported by ECS for mailer:12, 100 min ago");
        let said = of(&complaint(100, MISSING), |patient| {
            let mut told = told(patient, &mut Unseen::default());
            let event = Told { is_primary: false, said: None, ..told.remove(0) };
            event.count(patient.now())
        });
        assert_eq!(said, "reported by ECS for mailer:12, which was rolled back");
    }

    #[test]
    fn the_image_is_that_of_the_container_with_the_reason_or_of_the_only_one() {
        let image = |named: Option<&str>, containers: &[&str]| {
            let container = |name: &&str| Container {
                name: (*name).into(),
                image: Some(format!("{name}:1")),
                ..Container::default()
            };
            let containers = containers.iter().map(container).collect();
            let task = Task { containers, ..Task::default() };
            of(&complaint(100, MISSING), |patient| {
                let mut told = told(patient, &mut Unseen::default());
                let one = Told { container: named, tasks: vec![&task], ..told.remove(0) };
                one.image().map(str::to_owned)
            })
        };
        assert_eq!(image(Some("app"), &["sidecar", "app"]).as_deref(), Some("app:1"));
        assert_eq!(image(None, &["app"]).as_deref(), Some("app:1"));
        assert_eq!(image(None, &["sidecar", "app"]), None, "nobody knows whose");
        assert_eq!(image(Some("app"), &["sidecar"]), None);
    }

    #[test]
    fn a_tasks_own_reason_comes_before_its_containers_and_names_who_says_the_same() {
        let read = |own: Option<&str>, of_container: &str| {
            let task = Task {
                stopped_reason: own.map(Into::into),
                containers: vec![Container {
                    name: "app".into(),
                    reason: Some(of_container.into()),
                    ..Container::default()
                }],
                ..Task::default()
            };
            of(&baseline::worker(), |patient| {
                let record = of_task(patient, &task).unwrap();
                record.map(|(reason, _, name)| (reason.trouble, name.map(str::to_owned)))
            })
        };
        let memory = "OutOfMemoryError: Container killed due to memory usage";
        let app = || Some("app".to_owned());
        assert_eq!(read(Some(MISSING), MISSING), Some((Trouble::ImageNotFound, app())));
        assert_eq!(read(Some(MISSING), memory), Some((Trouble::ImageNotFound, None)));
        assert_eq!(
            read(Some("Essential container exited"), memory),
            Some((Trouble::OutOfMemory, app()))
        );
        assert_eq!(read(None, "something else"), None);
    }

    #[test]
    fn what_is_said_of_a_helper_is_not_why_the_task_ended() {
        let told = |essential: bool| {
            let mut snapshot = baseline::worker();
            baseline::exit_tasks(&mut snapshot, 2, 1, None);
            let definition = baseline::id::ecs("task-definition/mailer:12");
            let version = snapshot.task_definitions.change(&definition).unwrap();
            let mut helper = version.container_definitions[0].clone();
            (helper.name, helper.essential) = ("agent".into(), essential);
            version.container_definitions.insert(0, helper);
            let arn = snapshot.services[0].service_arn.clone();
            for task in snapshot.stopped_tasks.change(&arn).unwrap() {
                let helper = Container {
                    name: "agent".into(),
                    reason: Some(MISSING.into()),
                    ..Container::default()
                };
                task.containers.insert(0, helper);
            }
            let hidden = of(&snapshot, |patient| {
                let task = &patient.stopped_tasks().unwrap()[0];
                let blind = Patient::new(&snapshot, &snapshot.services[0], patient.intent())
                    .blindfolded([Call::DescribeTaskDefinition]);
                of_task(&blind, task).is_err()
            });
            assert!(hidden, "without the task definition nobody knows");
            troubles(&snapshot)
        };
        assert_eq!(told(false), []);
        assert_eq!(told(true), [(Trouble::ImageNotFound, 2, 2)]);
    }

    #[test]
    fn a_health_checks_verdict_is_no_reason_to_ask_the_container() {
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(&mut snapshot, 2, "Task failed container health checks");
        let arn = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&arn).unwrap() {
            task.containers[0].reason = Some(MISSING.into());
        }
        assert_eq!(troubles(&snapshot), []);
    }

    #[test]
    fn an_event_tells_for_a_day_and_a_single_one_after_three_minutes() {
        let told = |minutes: i64| !troubles(&complaint(minutes, MISSING)).is_empty();
        let begin = |snapshot: &mut Snapshot| {
            snapshot.services[0].deployments[0].created_at = Some(minutes_ago(2880));
        };
        assert!(!told(2));
        assert!(told(3));
        for (minutes, tells) in [(1439, true), (1440, false)] {
            let mut snapshot = complaint(minutes, MISSING);
            begin(&mut snapshot);
            assert_eq!(!troubles(&snapshot).is_empty(), tells, "{minutes} minutes ago");
        }
        let mut twice = complaint(1, MISSING);
        let again = twice.services[0].events[0].clone();
        twice.services[0].events.insert(0, again);
        assert_eq!(troubles(&twice), [(Trouble::ImageNotFound, 0, 0)], "two are no accident");
    }

    #[test]
    fn a_deployment_that_lacks_tasks_is_told_of_though_the_service_has_enough() {
        let lacks = |service: i32, primary: i32| {
            let mut snapshot = complaint(20, MISSING);
            snapshot.services[0].running_count = service;
            snapshot.services[0].deployments[0].running_count = primary;
            !troubles(&snapshot).is_empty()
        };
        assert!(lacks(0, 0));
        assert!(lacks(2, 1));
        assert!(lacks(1, 2));
        assert!(!lacks(2, 2));
        let mut snapshot = complaint(20, MISSING);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(20));
        assert!(!troubles(&snapshot).is_empty(), "it was said in the first minute");
        snapshot.services[0].deployments[0].status = "ACTIVE".into();
        assert!(troubles(&snapshot).is_empty(), "of no version that comes up");
    }

    /// The deployment of mailer:13 began half an hour ago; ten minutes ago ECS went back from it.
    fn rolled_back(said: i64) -> Snapshot {
        let mut snapshot = baseline::worker();
        let revision = baseline::id::ecs("service-revision/prod/mailer/13");
        let definition = baseline::id::ecs("task-definition/mailer:13");
        let deployment = newest_deployment(&mut snapshot);
        deployment.status = "ROLLBACK_SUCCESSFUL".into();
        deployment.started_at = Some(minutes_ago(30));
        deployment.finished_at = Some(minutes_ago(10));
        deployment.target_service_revision =
            Some(RevisionSummary { arn: revision.clone(), ..Default::default() });
        let brought =
            crate::snapshot::Revision { task_definition: Some(definition), ..Default::default() };
        snapshot.revisions.put(revision, brought);
        let event = format!("(service mailer) was unable to place a task. Reason: {MISSING}");
        baseline::say(&mut snapshot, said, &event);
        snapshot
    }

    #[test]
    fn what_ecs_said_before_it_went_back_is_told_of_the_version_that_it_took_away() {
        for (said, tells) in [(31, false), (30, true), (20, true), (10, true), (9, false)] {
            assert_eq!(!troubles(&rolled_back(said)).is_empty(), tells, "{said} minutes ago");
        }
        let version = of(&rolled_back(20), |patient| {
            let told = told(patient, &mut Unseen::default()).remove(0);
            (told.version().to_owned(), told.is_primary)
        });
        assert_eq!(version, ("mailer:13".into(), false));
        let mut snapshot = rolled_back(20);
        newest_deployment(&mut snapshot).status = "SUCCESSFUL".into();
        assert!(troubles(&snapshot).is_empty());
    }

    #[test]
    fn only_what_keeps_ecs_from_placing_a_task_ends_when_one_is_placed() {
        for trouble in [Trouble::QuotaReached, Trouble::RoleNotAssumable, Trouble::NoInstanceFits] {
            assert!(trouble.is_of_placement(), "{trouble:?}");
        }
        for trouble in [Trouble::ImageNotFound, Trouble::SubnetFull, Trouble::OutOfMemory] {
            assert!(!trouble.is_of_placement(), "{trouble:?}");
        }
    }

    #[test]
    fn one_stop_among_others_counts_only_if_it_is_the_last_word() {
        let timeout = "Timeout waiting for network interface provisioning to complete.";
        for (odd, count) in [(0, 2), (1, 1)] {
            let mut snapshot = baseline::worker();
            baseline::fail_to_start(&mut snapshot, 3, MISSING);
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.stopped_tasks.change(&arn).unwrap()[odd].stopped_reason = Some(timeout.into());
            assert_eq!(troubles(&snapshot).len(), count, "the odd one is number {odd}");
        }
    }

    #[test]
    fn whoever_deploys_the_trouble_is_told() {
        let told = |controller: Option<&str>| {
            let mut snapshot = complaint(100, MISSING);
            snapshot.services[0].deployment_controller = controller.map(Into::into);
            troubles(&snapshot)
        };
        for controller in [None, Some("EXTERNAL"), Some("CODE_DEPLOY")] {
            assert_eq!(told(controller), [(Trouble::ImageNotFound, 0, 0)], "{controller:?}");
        }
    }

    #[test]
    fn an_event_adds_what_no_task_tells() {
        let mut snapshot = complaint(5, "Capacity is unavailable at this time.");
        baseline::fail_to_start(&mut snapshot, 2, MISSING);
        assert_eq!(
            troubles(&snapshot),
            [(Trouble::ImageNotFound, 2, 2), (Trouble::FargateCapacityUnavailable, 0, 0)]
        );
    }

    #[test]
    fn an_event_that_is_no_complaint_tells_nothing_whatever_its_words() {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(&mut snapshot, 5, &format!("(service mailer) did something new. {MISSING}"));
        assert_eq!(troubles(&snapshot), []);
    }

    #[test]
    fn what_was_said_of_a_rollback_stands_until_a_later_deployment_succeeds() {
        let mut snapshot = rolled_back(1440);
        let deployment = newest_deployment(&mut snapshot);
        deployment.started_at = Some(minutes_ago(1500));
        deployment.finished_at = Some(minutes_ago(1430));
        assert_eq!(troubles(&snapshot).len(), 1, "a day ago");
        let arn = snapshot.services[0].service_arn.clone();
        let deployments = snapshot.service_deployments.change(&arn).unwrap();
        let later = ServiceDeployment {
            status: "SUCCESSFUL".into(),
            started_at: Some(minutes_ago(60)),
            ..deployments[0].clone()
        };
        deployments.insert(0, later);
        assert_eq!(troubles(&snapshot), []);
    }
}
