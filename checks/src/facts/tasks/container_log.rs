//! Where the containers of a service log: streams of the tasks that matter, and log groups.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::tasks::stop::StopKind;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{ContainerDefinition, Task};

/// One container's stream of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream<'a> {
    pub group: &'a str,
    pub stream: String,
    pub container: &'a str,
    pub task: &'a Task,
}

/// How many stopped tasks' logs are worth reading, of one version and in all, and how many running
/// ones'; the collector asks for just these.
const OF_ONE_VERSION: usize = 2;
const STOPPED: usize = 3;
const RUNNING: usize = 1;

/// The tasks whose logs are read: the newest that stopped by failure, not all of one version, and
/// one that runs.
pub fn tasks_to_read<'a>(
    stopped: &'a [Task],
    running: &'a [Task],
) -> impl Iterator<Item = &'a Task> {
    let mut of_version: BTreeMap<&str, usize> = BTreeMap::new();
    let failed = stopped.iter().filter(|task| StopKind::of(task).is_failure() && has_logged(task));
    let failed = failed.filter(move |task| {
        let count = of_version.entry(&task.task_definition_arn).or_default();
        *count += 1;
        *count <= OF_ONE_VERSION
    });
    let failed = failed.take(STOPPED);
    let mut running: Vec<&Task> =
        running.iter().filter(|task| task.last_status == "RUNNING").collect();
    running.sort_by_key(|task| std::cmp::Reverse(task.started_at));
    failed.chain(running.into_iter().take(RUNNING))
}

/// A task of which no container ran has written no log.
fn has_logged(task: &Task) -> bool {
    StopKind::of(task) != StopKind::FailedToStart
        || task.started_at.is_some()
        || task.containers.iter().any(|container| container.exit_code.is_some())
}

/// The stream of one container of one task, where the `awslogs` driver gives it a name that can be
/// told beforehand.
pub fn stream<'a>(container: &'a ContainerDefinition, task: &Task) -> Option<(&'a str, String)> {
    let group = container.awslogs_group.as_deref()?;
    let prefix = container.awslogs_stream_prefix.as_deref()?;
    Some((group, format!("{prefix}/{}/{}", container.name, task.id())))
}

/// Every stream that was asked for.
pub fn streams<'a>(patient: &Patient<'a>) -> Result<Vec<Stream<'a>>, Blind> {
    let mut streams = Vec::new();
    for task in tasks_to_read(patient.stopped_tasks()?, patient.running_tasks()?) {
        for container in patient
            .task_definition(&task.task_definition_arn)?
            .iter()
            .flat_map(|definition| &definition.container_definitions)
        {
            if let Some((group, stream)) = stream(container, task) {
                streams.push(Stream { group, stream, container: &container.name, task });
            }
        }
    }
    Ok(streams)
}

/// The log groups of the service's containers.
pub fn groups<'a>(patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
    let mut groups = BTreeSet::new();
    for definition in patient.service().definitions() {
        if let Some(definition) = patient.task_definition(definition)? {
            groups.extend(
                definition
                    .container_definitions
                    .iter()
                    .filter_map(|container| container.awslogs_group.as_deref()),
            );
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Container;

    fn ended(version: &str, n: u8) -> Task {
        let container =
            Container { name: "app".into(), exit_code: Some(1), ..Container::default() };
        Task {
            task_arn: format!("task/{version}-{n}"),
            task_definition_arn: version.into(),
            stop_code: Some("EssentialContainerExited".into()),
            containers: vec![container],
            ..Task::default()
        }
    }

    fn read(stopped: &[Task]) -> Vec<&str> {
        tasks_to_read(stopped, &[]).map(Task::id).collect()
    }

    #[test]
    fn one_version_that_fails_often_does_not_hide_another() {
        let stopped = [ended("old", 1), ended("old", 2), ended("old", 3), ended("new", 1)];
        assert_eq!(read(&stopped), ["old-1", "old-2", "new-1"]);
    }

    #[test]
    fn what_never_ran_has_no_log() {
        let never_ran = Task {
            stop_code: Some("TaskFailedToStart".into()),
            containers: Vec::new(),
            ..ended("new", 1)
        };
        let ended_while_it_started =
            Task { stop_code: Some("TaskFailedToStart".into()), ..ended("new", 2) };
        assert_eq!(read(&[never_ran, ended_while_it_started]), ["new-2"]);
    }
}
