//! Which container ended a task. DescribeTasks has no time at which a container ended, so of
//! several essential ones the exit codes decide, and then the logs: who logs that it was told to
//! stop was not the first. Where nothing decides, all are named; the order of a list decides
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::exit_code;
use crate::facts::tasks::last_word::{self, Manner};
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Container, Task, TaskDefinition};
use crate::text::and_list;

/// How a task ended.
#[derive(Debug, PartialEq)]
pub struct Ending<'a> {
    /// The container that ended first, or, where that is undecided, the one of which most is known.
    pub first: &'a Container,
    /// Those that may have been first as well.
    pub others: Vec<&'a Container>,
}

/// How a task ended, as far as its essential containers tell.
pub fn of<'a>(
    patient: &Patient,
    task: &'a Task,
    definition: Option<&TaskDefinition>,
) -> Option<Ending<'a>> {
    let ended = ended(task, definition);
    if let Some(first) = ended.iter().copied().find(|one| is_of_runtime(one.reason.as_deref())) {
        return Some(Ending { first, others: Vec::new() });
    }
    let by_itself: Vec<&Container> =
        ended.iter().copied().filter(|one| !was_told_by_its_code(one)).collect();
    let suspects = if by_itself.is_empty() { ended } else { by_itself };
    if let [only] = suspects.as_slice() {
        return Some(Ending { first: only, others: Vec::new() });
    }
    let suspects: Vec<(Manner, &Container)> = suspects
        .into_iter()
        .map(|one| (last_word::manner(patient, &one.name, task), one))
        .collect();
    let suspects = those(suspects, |(manner, _)| *manner != Manner::Told);
    let suspects = those(suspects, |(_, one)| one.exit_code != Some(0));
    let mut suspects = those(suspects, |(manner, _)| *manner == Manner::Crashed);
    suspects.sort_by_key(|(_, one)| one.name.as_str());
    let mut suspects = suspects.into_iter().map(|(_, one)| one);
    Some(Ending { first: suspects.next()?, others: suspects.collect() })
}

/// The essential containers that ended, or that the runtime says something of.
fn ended<'a>(task: &'a Task, definition: Option<&TaskDefinition>) -> Vec<&'a Container> {
    let ended = |one: &&Container| one.exit_code.is_some() || one.reason.is_some();
    let essential = |one: &&Container| stop::is_essential(definition, &one.name);
    task.containers.iter().filter(ended).filter(essential).collect()
}

/// Those of the suspects for which it holds; all of them if it holds for none.
fn those<T: Clone>(suspects: Vec<T>, holds: impl Fn(&T) -> bool) -> Vec<T> {
    let some: Vec<T> = suspects.iter().filter(|one| holds(one)).cloned().collect();
    if some.is_empty() { suspects } else { some }
}

/// Whether it was told to stop after another had ended: SIGTERM, SIGKILL, or Windows's Ctrl+C.
fn was_told_by_its_code(container: &Container) -> bool {
    container.exit_code.is_some_and(exit_code::is_from_outside) && container.reason.is_none()
}

/// With such a reason the code is not the app's: it could not be started, or ran out of memory.
fn is_of_runtime(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| {
        ["OutOfMemory", "due to memory usage", "Cannot", "ContainerRuntime"]
            .iter()
            .any(|word| reason.contains(word))
    })
}

/// Why a task stopped, with the container that ended it by its task definition and its log.
pub fn kind(patient: &Patient, task: &Task) -> Result<StopKind, Blind> {
    let kind = StopKind::of(task);
    if !matches!(kind, StopKind::Exited { .. }) || task.containers.len() < 2 {
        return Ok(kind);
    }
    let definition = patient.task_definition(&task.task_definition_arn)?;
    Ok(match of(patient, task, definition) {
        Some(Ending { first, .. }) => {
            StopKind::Exited { container: first.name.clone(), code: first.exit_code }
        }
        None => kind,
    })
}

/// A container with the code that it ended with.
pub type Exit<'a> = (&'a str, i32);

/// Tasks that one exit ended, newest first.
#[derive(Debug, Default)]
pub struct Ended<'a> {
    pub tasks: Vec<&'a Task>,
    /// Exits that may have been first as well.
    pub others: BTreeSet<Exit<'a>>,
}

impl Ended<'_> {
    /// ` Nothing shows whether …`, where it is unknown which was first.
    pub fn undecided(&self) -> String {
        if self.others.is_empty() {
            return String::new();
        }
        let others = and_list(
            self.others.iter().map(|(name, code)| format!("container {name} (code {code})")),
        );
        format!(" Nothing shows whether {others} ended before that: read both logs to the end.")
    }
}

/// The exits that ended tasks with such a code, and with no reason of the runtime, which would have
/// the word. One such exit among other failures counts only if it is the newest.
pub fn exits<'a>(
    patient: &Patient,
    failures: &Failures<'a>,
    definition: Option<&TaskDefinition>,
    is_such: impl Fn(i32) -> bool,
) -> BTreeMap<Exit<'a>, Ended<'a>> {
    let exited = failures
        .tasks
        .iter()
        .copied()
        .filter(|task| matches!(StopKind::of(task), StopKind::Exited { .. }));
    let endings: Vec<(&Task, Ending)> =
        exited.filter_map(|task| Some((task, of(patient, task, definition)?))).collect();
    // The logs of a few tasks are read; the others ended alike if their codes are the same.
    let decided: BTreeMap<Vec<(&str, Option<i32>)>, &str> = endings
        .iter()
        .filter(|(_, ending)| ending.others.is_empty())
        .map(|(task, ending)| (codes(task, definition), ending.first.name.as_str()))
        .collect();
    let mut exits: BTreeMap<Exit, Ended> = BTreeMap::new();
    for (task, ending) in &endings {
        let alike = decided.get(&codes(task, definition)).and_then(|name| {
            let mut containers = task.containers.iter();
            containers.find(|container| container.name == *name)
        });
        let first = alike.unwrap_or(ending.first);
        let Some(code) = first.exit_code.filter(|code| is_such(*code)) else { continue };
        if is_of_runtime(first.reason.as_deref()) {
            continue;
        }
        let ended = exits.entry((first.name.as_str(), code)).or_default();
        ended.tasks.push(task);
        if alike.is_none() {
            let other = |one: &&'a Container| Some((one.name.as_str(), one.exit_code?));
            ended.others.extend(ending.others.iter().filter_map(other));
        }
    }
    let newest = failures.tasks.first().map(|task| task.task_arn.as_str());
    exits.retain(|_, ended| {
        ended.tasks.len() > 1 || newest == Some(ended.tasks[0].task_arn.as_str())
    });
    exits
}

/// By which tasks ended alike: the codes of their essential containers.
fn codes<'a>(task: &'a Task, definition: Option<&TaskDefinition>) -> Vec<(&'a str, Option<i32>)> {
    let mut codes: Vec<(&str, Option<i32>)> = ended(task, definition)
        .into_iter()
        .map(|container| (container.name.as_str(), container.exit_code))
        .collect();
    codes.sort_unstable();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::call::LOG_STREAM;
    use crate::facts::deployment::version;
    use crate::snapshot::{ContainerDefinition, LogLine, Snapshot};
    use crate::testing::of as with_patient;

    fn container(name: &str, exit_code: Option<i32>, reason: Option<&str>) -> Container {
        Container {
            name: name.into(),
            exit_code,
            reason: reason.map(Into::into),
            ..Container::default()
        }
    }

    /// Task n of `api:12`, which ended with these containers.
    fn task(n: u8, containers: &[Container]) -> Task {
        Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            task_definition_arn: id::ecs("task-definition/api:12"),
            stop_code: Some("EssentialContainerExited".into()),
            stopped_at: Some(minutes_ago(i64::from(n))),
            containers: containers.to_vec(),
            ..Task::default()
        }
    }

    /// An account whose `api:12` has these containers, each with a log of its own.
    fn account(names: &[(&str, bool)], stopped: &[Task], logs: &[(&str, &[&str])]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        definition.container_definitions = names
            .iter()
            .map(|(name, essential)| ContainerDefinition {
                name: (*name).into(),
                essential: *essential,
                awslogs_group: Some("/ecs/api".into()),
                awslogs_stream_prefix: Some("ecs".into()),
                ..ContainerDefinition::default()
            })
            .collect();
        for task in stopped {
            for (name, lines) in logs {
                let line = |message: &&str| LogLine {
                    timestamp: task.stopped_at,
                    message: (*message).into(),
                    ..LogLine::default()
                };
                let stream = format!("/ecs/api{LOG_STREAM}ecs/{name}/{}", task.id());
                snapshot.logs.put(stream, lines.iter().map(line).collect());
            }
        }
        snapshot.stopped_tasks.put(arn, stopped.to_vec());
        snapshot
    }

    /// Who ended a task of an app and a proxy, both essential, with these codes and logs.
    fn first(app: i32, proxy: i32, app_log: &[&str], proxy_log: &[&str]) -> (String, usize) {
        let containers = [container("proxy", Some(proxy), None), container("app", Some(app), None)];
        let one = task(1, &containers);
        let snapshot = account(
            &[("proxy", true), ("app", true)],
            std::slice::from_ref(&one),
            &[("app", app_log), ("proxy", proxy_log)],
        );
        with_patient(&snapshot, |patient| {
            let definition = patient.task_definition(&one.task_definition_arn).unwrap();
            let ending = of(patient, &one, definition).unwrap();
            (ending.first.name.clone(), ending.others.len())
        })
    }

    #[test]
    fn exit_codes_tell_who_was_told_to_stop() {
        assert_eq!(first(1, 143, &[], &[]), ("app".into(), 0));
        assert_eq!(first(1, 137, &[], &[]), ("app".into(), 0));
        assert_eq!(first(143, 0, &[], &[]), ("proxy".into(), 0));
        assert_eq!(first(2, 0, &[], &[]), ("app".into(), 0), "a failure before a clean exit");
        assert_eq!(first(exit_code::CONTROL_C, -1_073_741_819, &[], &[]), ("proxy".into(), 0));
    }

    #[test]
    fn logs_tell_where_codes_do_not() {
        let crash = ["Error: Cannot find module 'express'"];
        let told = ["received SIGTERM, shutting down", "error: upstream app:8080 is gone"];
        assert_eq!(first(1, 1, &crash, &["ready"]), ("app".into(), 0));
        assert_eq!(first(1, 1, &["ready"], &crash), ("proxy".into(), 0));
        assert_eq!(first(1, 1, &["ready"], &told), ("app".into(), 0));
        assert_eq!(first(0, 1, &["done"], &told), ("app".into(), 0), "whatever it ended with then");
        let late = ["Error: Cannot find module 'express'", "shutting down"];
        assert_eq!(first(1, 1, &late, &["ready"]), ("app".into(), 0), "that was its own doing");
    }

    #[test]
    fn where_nothing_decides_both_are_named_whatever_the_list_says() {
        assert_eq!(first(1, 1, &[], &[]), ("app".into(), 1));
        let crash = ["panic: no"];
        assert_eq!(first(1, 2, &crash, &crash), ("app".into(), 1));
    }

    #[test]
    fn who_is_not_essential_ends_nothing() {
        let side = container("side", Some(1), Some("CannotPullContainerError: not found"));
        let one = task(1, &[side, container("app", Some(0), None)]);
        let names = [("side", false), ("app", true)];
        let snapshot = account(&names, std::slice::from_ref(&one), &[]);
        with_patient(&snapshot, |patient| {
            let said = StopKind::Exited { container: "app".into(), code: Some(0) };
            assert_eq!(kind(patient, &one).unwrap(), said);
        });
    }

    fn exits_of(names: &[(&str, bool)], stopped: &[Task], logs: &[(&str, &[&str])]) -> Vec<String> {
        let snapshot = account(names, stopped, logs);
        with_patient(&snapshot, |patient| {
            let definition = patient.task_definition(&stopped[0].task_definition_arn).unwrap();
            let failures = Failures {
                task_definition: "api:12",
                version: version::primary(patient).remove(0),
                is_primary: true,
                tasks: stopped.iter().collect(),
            };
            exits(patient, &failures, definition, |code| code != 0)
                .into_iter()
                .map(|((name, code), ended)| {
                    format!("{name} {code} x{} +{}", ended.tasks.len(), ended.others.len())
                })
                .collect()
        })
    }

    #[test]
    fn tasks_whose_logs_were_not_read_ended_like_those_with_the_same_codes() {
        let both = [container("app", Some(1), None), container("proxy", Some(1), None)];
        let stopped: Vec<Task> = (1..=5).map(|n| task(n, &both)).collect();
        let names = [("app", true), ("proxy", true)];
        let crash: &[&str] = &["panic: no"];
        let logs = [("proxy", crash), ("app", &["ready"] as &[&str])];
        assert_eq!(exits_of(&names, &stopped, &logs), ["proxy 1 x5 +0"]);
        assert_eq!(exits_of(&names, &stopped, &[]), ["app 1 x5 +1"]);
    }

    #[test]
    fn the_exit_of_an_essential_container_counts_where_the_runtime_says_nothing() {
        let names = [("app", true), ("init", false)];
        let found = |containers: &[Container]| exits_of(&names, &[task(1, containers)], &[]);
        assert_eq!(found(&[container("app", Some(1), None)]), ["app 1 x1 +0"]);
        assert_eq!(found(&[container("app", Some(0), None)]), [""; 0]);
        assert_eq!(found(&[container("init", Some(1), None)]), [""; 0]);
        assert_eq!(found(&[container("stranger", Some(1), None)]), ["stranger 1 x1 +0"]);
        let app = |reason| [container("app", Some(137), Some(reason))];
        for reason in [
            "OutOfMemoryError: Container killed due to memory usage",
            "killed due to memory usage",
            "CannotStartContainerError: no such file",
            "ContainerRuntimeError: no",
        ] {
            assert_eq!(found(&app(reason)), [""; 0], "{reason}");
        }
        assert_eq!(found(&app("something else")), ["app 137 x1 +0"]);
    }

    #[test]
    fn one_exit_among_other_failures_counts_only_if_it_is_the_newest() {
        let exit = |n, code| task(n, &[container("app", Some(code), None)]);
        let other = |n| Task { stop_code: Some("TaskFailedToStart".into()), ..exit(n, 1) };
        let names = [("app", true)];
        for (tasks, found) in [
            (vec![exit(1, 1), other(2)], vec!["app 1 x1 +0"]),
            (vec![other(1), exit(2, 1)], vec![]),
            (vec![other(1), exit(2, 1), exit(3, 1)], vec!["app 1 x2 +0"]),
            (vec![exit(1, 2), exit(2, 1), exit(3, 1)], vec!["app 1 x2 +0", "app 2 x1 +0"]),
        ] {
            assert_eq!(exits_of(&names, &tasks, &[]), found, "{tasks:?}");
        }
    }
}
