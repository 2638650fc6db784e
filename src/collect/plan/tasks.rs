//! The tasks, what they logged, and the network interfaces they have.

use std::collections::BTreeSet;

use checks::call::LOG_STREAM;
use checks::facts::deployment::protection;
use checks::facts::tasks::container_log;
use checks::facts::tasks::stop::StopKind;
use checks::seen::{Seen, Why};
use checks::snapshot::{Task, TaskDefinition};
use futures::future::{Shared, join, join_all};

use super::{Plan, Tasks};
use crate::collect::{known, list};

impl Plan<'_> {
    pub(super) async fn tasks(&self) -> Tasks {
        let (running, stopped) = self.aws.tasks(self.service).await;
        let arn = &self.service.service_arn;
        let tasks = Tasks { running: list(&running), stopped: list(&stopped) };
        self.note(|snapshot| {
            snapshot.running_tasks.insert(arn, running.map(Some));
            snapshot.stopped_tasks.insert(arn, stopped.map(Some));
        });
        tasks
    }

    /// The last lines of the tasks that matter; where health checks fail, also what the health
    /// checker asked.
    pub(super) async fn logs(
        &self,
        tasks: Shared<impl Future<Output = Tasks>>,
        definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>,
        trouble: Shared<impl Future<Output = bool>>,
    ) {
        let streams = async {
            let tasks = tasks.clone().await;
            let chosen: Vec<&Task> =
                container_log::tasks_to_read(&tasks.stopped, &tasks.running).collect();
            let mut known = definitions.clone().await;
            known.extend(
                self.definitions(
                    chosen.iter().map(|task| task.task_definition_arn.clone()).collect(),
                )
                .await,
            );
            let keys: BTreeSet<(String, String)> = chosen
                .iter()
                .flat_map(|task| {
                    let definition = known.iter().filter(|definition| {
                        definition.task_definition_arn == task.task_definition_arn
                    });
                    definition
                        .flat_map(|definition| &definition.container_definitions)
                        .filter_map(|container| container_log::stream(container, task))
                })
                .map(|(group, stream)| (group.to_owned(), stream))
                .collect();
            join_all(keys.iter().map(|(group, stream)| async move {
                let lines = if self.aws.read_logs {
                    self.aws.log_lines(group, stream).await
                } else {
                    Seen::No(Why::Declined)
                };
                self.note(|snapshot| {
                    snapshot.logs.insert(format!("{group}{LOG_STREAM}{stream}"), lines)
                });
            }))
            .await;
        };
        let health_checker = async {
            let (definitions, trouble) = join(definitions.clone(), trouble).await;
            let replaced =
                |task: &Task| matches!(StopKind::of(task), StopKind::BalancerHealthCheck { .. });
            if trouble || tasks.clone().await.stopped.iter().any(replaced) {
                let containers =
                    definitions.iter().flat_map(|definition| &definition.container_definitions);
                let groups: BTreeSet<&str> =
                    containers.filter_map(|container| container.awslogs_group.as_deref()).collect();
                join_all(groups.into_iter().map(|group| async move {
                    let lines = if self.aws.read_logs {
                        self.aws.health_checker_lines(group, self.now).await
                    } else {
                        Seen::No(Why::Declined)
                    };
                    self.note(|snapshot| snapshot.health_checker_logs.insert(group, lines));
                }))
                .await;
            }
        };
        join(streams, health_checker).await;
    }

    /// While tasks of an older deployment run beside the newest one: whether they may be stopped.
    pub(super) async fn protection(&self, tasks: Shared<impl Future<Output = Tasks>>) {
        let tasks = tasks.await;
        let old: Vec<String> = protection::old_tasks(self.service, &tasks.running)
            .iter()
            .map(|task| task.task_arn.clone())
            .collect();
        if !old.is_empty() {
            let protected = self.aws.task_protection(&self.service.cluster_arn, old).await;
            self.note(|snapshot| {
                snapshot.task_protection.insert(&self.service.service_arn, protected)
            });
        }
    }

    pub(super) async fn interfaces(&self, tasks: Shared<impl Future<Output = Tasks>>) {
        let tasks = tasks.await;
        let table = self
            .aws
            .interfaces(self.fresh(
                "interface",
                tasks.running.into_iter().filter_map(|task| task.network_interface_id),
            ))
            .await;
        let groups = known(&table).into_iter().flat_map(|interface| interface.groups).collect();
        self.note(|snapshot| snapshot.interfaces = table);
        self.security_groups(groups).await;
    }
}
