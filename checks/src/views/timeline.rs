//! What happened, in one ordered list: service events, steps of deployments, starts and stops of
//! tasks, alarms, what auto scaling did, and targets that became unhealthy. What repeats between
//! two steps of a deployment is one line with its count, so that a crash loop of an hour takes as
//! little room as one crash.

use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::facts::deployment::rollback;
use crate::facts::deployment::rollout::{self, Strategy};
use crate::facts::inbound::traffic;
use crate::facts::tasks::scaling;
use crate::facts::tasks::stop::StopKind;
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::metric::Metric;
use crate::snapshot::{ServiceDeployment, ServiceEvent, Task};
use crate::text::{count, pattern};
use crate::views::trail;

/// Who tells of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "EntrySource")]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A step of a deployment.
    Deployment,
    /// A CloudWatch alarm that changed its state.
    Alarm,
    /// What auto scaling did, or could not.
    Scaling,
    /// An event of the service.
    Event,
    /// A task that started or stopped.
    Task,
    /// Targets that became healthy or unhealthy, by their metric.
    Targets,
    /// CloudTrail: somebody changed something.
    Trail,
}

impl Source {
    /// A step, after which the same lines mean something new.
    fn is_step(self) -> bool {
        matches!(self, Source::Deployment | Source::Alarm)
    }
}

/// One line: a moment, or several of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Timestamp,
    /// The last of several; the same as `at` for one.
    pub last: Timestamp,
    pub count: usize,
    pub source: Source,
    pub says: String,
}

/// Everything that the snapshot knows of since a moment, oldest first.
pub fn read(patient: &Patient, since: Timestamp, unseen: &mut Unseen) -> Vec<Entry> {
    let mut line = Vec::new();
    let mut note = |at: Option<Timestamp>, source: Source, says: String| {
        if let Some(at) = at.filter(|at| *at >= since) {
            line.push(Entry { at, last: at, count: 1, source, says });
        }
    };
    let deployments = unseen.see(patient.service_deployments()).unwrap_or_default();
    let touches = |deployment: &&ServiceDeployment| {
        rollout::is_under_way(deployment) || ended(deployment).is_none_or(|ended| ended >= since)
    };
    for deployment in deployments.iter().filter(touches) {
        steps(patient, deployment, unseen, &mut note);
    }
    let running = unseen.see(patient.running_tasks()).unwrap_or_default();
    let stopped = unseen.see(patient.stopped_tasks()).unwrap_or_default();
    for task in running.iter().chain(stopped) {
        let name = format!("a task of {}", rollout::short(&task.task_definition_arn));
        note(task.started_at, Source::Task, format!("{name} runs"));
        note(task.stopped_at, Source::Task, format!("{name} stops: {}", why(task)));
    }
    for event in &patient.service().events {
        if let Some(says) = event_words(event, running.iter().chain(stopped), deployments) {
            note(event.created_at, Source::Event, says);
        }
    }
    let mut alarms: Vec<&str> = deployments
        .iter()
        .flat_map(|deployment| &deployment.alarms)
        .flat_map(|alarms| &alarms.alarm_names)
        .map(String::as_str)
        .collect();
    alarms.extend(
        patient
            .service()
            .deployment_configuration
            .alarms
            .iter()
            .flat_map(|alarms| &alarms.alarm_names)
            .map(String::as_str),
    );
    alarms.sort_unstable();
    alarms.dedup();
    for alarm in alarms {
        for transition in unseen.see(patient.alarm_history(alarm)).unwrap_or_default() {
            let says = match transition.history_summary.strip_prefix("Alarm updated ") {
                Some(change) => format!("alarm {alarm} goes {change}"),
                None => transition.history_summary.clone(),
            };
            note(transition.timestamp, Source::Alarm, says);
        }
    }
    for activity in unseen.see(scaling::activities(patient)).unwrap_or_default() {
        if let Some(says) = scaling::words(activity) {
            note(activity.start_time, Source::Scaling, says);
        }
    }
    for group in unseen.see(traffic::groups(patient)).unwrap_or_default() {
        let name = traffic::group_name(group);
        if unseen.see(traffic::is_measured(patient, group)) != Some(true) {
            continue;
        }
        let Some(series) = unseen.see(patient.metric(Metric::UnhealthyHosts, group)).flatten()
        else {
            continue;
        };
        let mut before = 0.0;
        for (at, value) in &series.values {
            if *value != before {
                let targets = count(*value as usize, "unhealthy target");
                note(
                    Some(*at),
                    Source::Targets,
                    format!(
                        "{} in {name}",
                        if *value > 0.0 { targets } else { "no unhealthy target".into() }
                    ),
                );
            }
            before = *value;
        }
    }
    for deed in trail::read(patient, unseen).unwrap_or_default() {
        note(Some(deed.at), Source::Trail, deed.words());
        (1..deed.count).for_each(|_| note(Some(deed.last), Source::Trail, deed.words()));
    }
    line.sort_by(|a, b| (a.at, a.source, &a.says).cmp(&(b.at, b.source, &b.says)));
    fold(line)
}

/// What repeats until the next step is one line, at its first time.
fn fold(line: Vec<Entry>) -> Vec<Entry> {
    let mut folded: Vec<Entry> = Vec::new();
    let mut step = 0;
    for entry in line {
        let known = folded[step..]
            .iter_mut()
            .find(|known| known.source == entry.source && known.says == entry.says);
        match known {
            Some(known) => {
                known.count += 1;
                known.last = entry.at;
            }
            None => {
                let is_step = entry.source.is_step();
                folded.push(entry);
                if is_step {
                    step = folded.len();
                }
            }
        }
    }
    folded
}

fn steps(
    patient: &Patient,
    deployment: &ServiceDeployment,
    unseen: &mut Unseen,
    note: &mut impl FnMut(Option<Timestamp>, Source, String),
) {
    let brings = unseen.see(rollout::brings(patient, deployment)).flatten();
    let name = match brings {
        Some(definition) => format!("the deployment of {}", rollout::short(definition)),
        None => format!("deployment {}", rollout::short(&deployment.service_deployment_arn)),
    };
    let strategy = Strategy::of(&deployment.deployment_configuration);
    note(rollout::started(deployment), Source::Deployment, format!("{name} begins ({strategy})"));
    if let Some(stage) = deployment.lifecycle_stage.as_deref().filter(|_| {
        rollout::is_under_way(deployment) && deployment.updated_at > rollout::started(deployment)
    }) {
        note(
            deployment.updated_at,
            Source::Deployment,
            format!("{name} was last updated, at stage {stage}"),
        );
    }
    if rollback::began(deployment) {
        note(
            rollback::started(deployment),
            Source::Deployment,
            format!("{name} starts to roll back"),
        );
    }
    let end = match deployment.status.as_str() {
        _ if rollout::is_under_way(deployment) => return,
        "SUCCESSFUL" => format!("{name} succeeds"),
        "ROLLBACK_SUCCESSFUL" => {
            format!("{name} is rolled back; the old version is in service again")
        }
        "ROLLBACK_FAILED" => match deployment.status_reason.as_deref() {
            Some(reason) => {
                format!("{name} fails, and so does its rollback: {}", reason.trim_end_matches('.'))
            }
            None => format!("{name} fails, and so does its rollback"),
        },
        status => format!("{name} ends: {status}"),
    };
    note(ended(deployment), Source::Deployment, end);
}

fn ended(deployment: &ServiceDeployment) -> Option<Timestamp> {
    deployment.finished_at.or(deployment.stopped_at)
}

/// Why a task stopped, in a few words; of a start that failed also the kind of error.
fn why(task: &Task) -> String {
    let words = StopKind::of(task);
    match (&words, task.stopped_reason.as_deref().and_then(|reason| reason.split_once(':'))) {
        (StopKind::FailedToStart, Some((error, _))) if error.len() < 60 && !error.contains('/') => {
            format!("{} ({error})", words.words())
        }
        _ => words.words(),
    }
}

/// What an event says without the service's name and without ids; none where a task or a deployment
/// says it better.
fn event_words<'a>(
    event: &ServiceEvent,
    mut tasks: impl Iterator<Item = &'a Task>,
    deployments: &[ServiceDeployment],
) -> Option<String> {
    let named = |group: &str| traffic::group_name(group).to_owned();
    let targets = |number: u32| count(number as usize, "target");
    let near = |at: Option<Timestamp>| {
        let apart =
            |at: Timestamp, event: Timestamp| at.duration_since(event).abs() <= time::MINUTE * 2;
        at.zip(event.created_at).is_some_and(|(at, event)| apart(at, event))
    };
    match event::read(&event.message) {
        Event::Started { .. } | Event::Stopped { .. }
            if tasks.any(|task| event.message.contains(task.id())) =>
        {
            None
        }
        Event::Started { count: number } => {
            Some(format!("{} started", count(number as usize, "task")))
        }
        Event::Stopped { count: number } => {
            Some(format!("{} stopped", count(number as usize, "task")))
        }
        Event::SteadyState => Some("the service reached a steady state".into()),
        Event::Registered { count: number, group } => {
            Some(format!("{} registered in {}", targets(number), named(group)))
        }
        Event::Deregistered { count: number, group } => {
            Some(format!("{} deregistered from {}", targets(number), named(group)))
        }
        Event::Draining { count: number } => {
            Some(format!("{} draining", count(number as usize, "task")))
        }
        Event::TargetUnhealthy { group, reason } => {
            Some(format!("a target in {} is unhealthy: {reason}", named(group)))
        }
        Event::DeploymentCompleted { .. }
            if deployments.iter().any(|one| near(one.finished_at)) =>
        {
            None
        }
        Event::RollingBackTo { .. }
            if deployments.iter().any(|one| near(rollback::started(one))) =>
        {
            None
        }
        Event::NoRollbackCandidate | Event::RolledBack { .. }
            if deployments.iter().any(|one| {
                rollout::is_rolled_back(one)
                    && (near(one.finished_at) || near(rollback::started(one)))
            }) =>
        {
            None
        }
        Event::PercentDeadlock => Some(
            "ECS can neither start nor stop a task: the minimum and maximum healthy percent leave no room"
                .into(),
        ),
        Event::Throttled => Some("ECS API calls are throttled".into()),
        Event::DeploymentFailed { why, .. } => Some(format!("the deployment fails: {why}")),
        _ => Some(clean(&event.message)),
    }
}

static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^\(service [^)]*\)\s*"));
static TASK: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\s*\(?\btask [0-9a-f]{32}\)?"));
static ARN: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"arn:aws[\w-]*:[\w-]*:[\w-]*:\d*:[\w:-]*/?(?<path>[\w./:-]*)"));

/// An event without the service's name and task ids, and with names for ARNs.
fn clean(message: &str) -> String {
    let mut text = message.trim().to_owned();
    if let Some(prefix) = PREFIX.as_ref() {
        text = prefix.replace(&text, "").into_owned();
    }
    if let Some(task) = TASK.as_ref() {
        text = task.replace_all(&text, "").into_owned();
    }
    if let Some(arn) = ARN.as_ref() {
        text = arn
            .replace_all(&text, |found: &regex::Captures| {
                rollout::short(found.name("path").map_or(&found[0], |path| path.as_str()))
                    .to_owned()
            })
            .into_owned();
    }
    text.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, roll_out};
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{AlarmTransition, Series, Snapshot};

    fn told(snapshot: &Snapshot, minutes: i64) -> (Vec<String>, Unseen) {
        let intent = Intent::default();
        let mut unseen = Unseen::default();
        let patient = Patient::new(snapshot, &snapshot.services[0], &intent);
        let entries = read(&patient, minutes_ago(minutes), &mut unseen);
        let words = |entry: &Entry| match entry.count {
            1 => format!("{} {}", time::clock(entry.at), entry.says),
            several => format!(
                "{} {} ×{several} until {}",
                time::clock(entry.at),
                entry.says,
                time::clock(entry.last)
            ),
        };
        (entries.iter().map(words).collect(), unseen)
    }

    fn event(snapshot: &mut Snapshot, minutes: i64, message: &str) {
        let event = ServiceEvent {
            id: String::new(),
            created_at: Some(minutes_ago(minutes)),
            message: format!("(service api) {message}"),
        };
        snapshot.services[0].events.insert(0, event);
    }

    /// Four tasks that failed, before and after the breaker gave up.
    fn crash_loop() -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_FAILED".into();
            deployment.status_reason =
                Some("No rollback candidate was found to run the rollback.".into());
            deployment.finished_at = Some(minutes_ago(15));
        });
        let task = |n: u8, minutes| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            task_definition_arn: id::ecs("task-definition/api:13"),
            stopped_reason: Some("Task failed ELB health checks in (target-group arn)".into()),
            started_at: Some(minutes_ago(minutes + 2)),
            stopped_at: Some(minutes_ago(minutes)),
            ..Task::default()
        };
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.put(&arn, vec![task(6, 5), task(5, 20), task(4, 25), task(3, 30)]);
        event(&mut snapshot, 20, &format!("has stopped 1 running tasks: (task {}).", id::task(5)));
        event(
            &mut snapshot,
            15,
            "rollback has failed. No rollback candidate was found to run the rollback.",
        );
        snapshot
    }

    #[test]
    fn what_repeats_between_two_steps_is_one_line() {
        let expected = [
            "02:15 UTC the service reached a steady state",
            "02:20 UTC the deployment of api:13 begins (rolling)",
            "02:28 UTC a task of api:13 runs ×3 until 02:38 UTC",
            "02:30 UTC a task of api:13 stops: failed the load balancer's health check ×3 until 02:40 UTC",
            "02:45 UTC the deployment of api:13 fails, and so does its rollback: No rollback candidate was found to run the rollback",
            "02:53 UTC a task of api:13 runs",
            "02:55 UTC a task of api:13 stops: failed the load balancer's health check",
        ];
        assert_eq!(told(&crash_loop(), 60).0, expected);
    }

    #[test]
    fn what_is_older_is_left_out() {
        assert_eq!(told(&crash_loop(), 8).0.len(), 2);
        assert!(told(&baseline::fargate(), 30).0.is_empty());
    }

    #[test]
    fn alarms_and_targets_stand_between_tasks() {
        let mut snapshot = baseline::express();
        let transition = |minutes, summary: &str| AlarmTransition {
            timestamp: Some(minutes_ago(minutes)),
            history_summary: summary.into(),
        };
        snapshot.alarm_history.put(
            "default/api/RollbackAlarm",
            vec![transition(9, "Alarm updated from OK to ALARM")],
        );
        let [live, _] = baseline::express_groups();
        let values = [12, 11, 10, 9]
            .into_iter()
            .zip([0.0, 1.0, 1.0, 0.0])
            .map(|(minutes, value)| (minutes_ago(minutes), value))
            .collect();
        snapshot.metrics.put(Metric::UnhealthyHosts.of(&live), Series { values });
        let expected = [
            "02:49 UTC 1 unhealthy target in ecs-gateway-tg-1a2b3c4d5e6f70001",
            "02:51 UTC alarm default/api/RollbackAlarm goes from OK to ALARM",
            "02:51 UTC no unhealthy target in ecs-gateway-tg-1a2b3c4d5e6f70001",
        ];
        assert_eq!(told(&snapshot, 30).0, expected);
    }

    #[test]
    fn events_without_a_task_record_are_told_and_unknown_ones_are_kept() {
        let mut snapshot = baseline::fargate();
        event(&mut snapshot, 9, &format!("has started 1 tasks: (task {}).", id::task(7)));
        event(
            &mut snapshot,
            8,
            &format!(
                "(task {}) did something new in (target-group {}).",
                id::task(7),
                id::group("api")
            ),
        );
        assert_eq!(
            told(&snapshot, 20).0,
            [
                "02:51 UTC 1 task started",
                "02:52 UTC did something new in (target-group 6d0ecf831eec9f09)"
            ]
        );
    }

    #[test]
    fn what_could_not_be_seen_is_noted() {
        let mut snapshot = crash_loop();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.insert(&arn, Seen::No(Why::Denied("no".into())));
        let (told, unseen) = told(&snapshot, 60);
        assert_eq!(unseen.0.len(), 1);
        assert!(told.iter().any(|line| line.ends_with("1 task stopped")), "{told:?}");
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(PREFIX.is_some() && TASK.is_some() && ARN.is_some());
    }
}
