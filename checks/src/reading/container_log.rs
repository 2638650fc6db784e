//! Where the containers of a service log: streams of the tasks that matter, and log groups.

use std::collections::BTreeSet;

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

/// How many stopped and how many running tasks' logs are worth reading; the collector asks for just these.
pub const STOPPED: usize = 2;
pub const RUNNING: usize = 1;

/// The tasks whose logs are read: the newest that stopped by failure, and one that runs.
pub fn tasks_to_read<'a>(stopped: &'a [Task], running: &'a [Task]) -> impl Iterator<Item = &'a Task> {
    let failed = stopped.iter().filter(|task| super::stop::StopKind::of(task).is_failure()).take(STOPPED);
    let mut running: Vec<&Task> = running.iter().filter(|task| task.last_status == "RUNNING").collect();
    running.sort_by_key(|task| std::cmp::Reverse(task.started_at));
    failed.chain(running.into_iter().take(RUNNING))
}

/// The stream of one container of one task, where the `awslogs` driver gives it a name that can be told beforehand.
pub fn stream<'a>(container: &'a ContainerDefinition, task: &Task) -> Option<(&'a str, String)> {
    let group = container.awslogs_group.as_deref()?;
    let prefix = container.awslogs_stream_prefix.as_deref()?;
    Some((group, format!("{prefix}/{}/{}", container.name, task.id())))
}

/// Every stream that was asked for.
pub fn streams<'a>(patient: &Patient<'a>) -> Result<Vec<Stream<'a>>, Blind> {
    let mut streams = Vec::new();
    for task in tasks_to_read(patient.stopped_tasks()?, patient.running_tasks()?) {
        for container in patient.task_definition(&task.task_definition_arn)?.iter().flat_map(|definition| &definition.container_definitions) {
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
    for definition in patient.service().deployments.iter().filter_map(|deployment| deployment.task_definition.as_deref()) {
        if let Some(definition) = patient.task_definition(definition)? {
            groups.extend(definition.container_definitions.iter().filter_map(|container| container.awslogs_group.as_deref()));
        }
    }
    Ok(groups)
}
