//! A container waits for another one of its task, which does not get there: `dependsOn` was not
//! fulfilled in time, or can never be.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws;
use crate::aws::stop_reason::{self, Trouble};
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::reason;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;

crate::check! {
    /// A container depends on another one that never gets ready, so the task does not start.
    ///
    /// # Why it matters
    ///
    /// The app itself is not started at all, and its log is empty: the trouble is in the container
    /// that it waits for.
    ///
    /// # How we tell
    ///
    /// A reason speaks of a "container ordering dependency" that has timed out, did not exit
    /// successfully or will never start. That is the ECS agent's wording; where Fargate words it
    /// otherwise, this check stays silent.
    ///
    /// # What to do
    ///
    /// Read the log of the container that is waited for. If it only needs longer, raise its
    /// `startTimeout`; if it is a one-time job, the condition is `SUCCESS` or `COMPLETE`, not
    /// `HEALTHY`.
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.containerDefinitions[].[name,dependsOn,startTimeout]'
    /// ```
    ///
    /// Terraform/OpenTofu: `dependsOn` and `startTimeout` in `container_definitions` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `container_health_check_failing`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "A container waits for another that never gets ready",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "TaskFailedToStart: dependency graph: container ordering dependency [migrate] for target [worker] has timed out.",
        );
    },
}

static WAITED_FOR: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"dependency \[(?<it>[A-Za-z0-9_-]+)\]"));
static WAITING: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"for target \[(?<it>[A-Za-z0-9_-]+)\]"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::DependencyNeverReady], |told, _| {
        let name = |it: Option<&str>, otherwise: &str| {
            it.map_or(otherwise.to_owned(), |name| format!("container {name}"))
        };
        let waiting = name(stop_reason::part(&WAITING, told.text), "a container");
        let waited_for = name(stop_reason::part(&WAITED_FOR, told.text), "another one");
        let claim = match told.text {
            text if text.contains("did not exit successfully") => {
                format!("of its task, {waiting} waits for {waited_for}, which failed")
            }
            text if text.contains("has timed out") => {
                format!("of its task, {waiting} waits for {waited_for}, which is not ready in time")
            }
            _ => format!("of its task, {waiting} waits for {waited_for}, which will never start"),
        };
        let remedy = Remedy::new(format!(
            "Read the log of {waited_for}; mend it, give it more time with startTimeout, or wait \
             for something else."
        ))
        .cli(aws!(
            "ecs describe-task-definition --task-definition {} \
             --query taskDefinition.containerDefinitions[].[name,dependsOn,startTimeout]",
            told.version()
        ))
        .cli(told.see(patient));
        Some(told.finding(patient, &claim).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_both_containers() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .starts_with("Of its task, container worker waits for container migrate, which is not ready in time: 3 of 3 failed tasks")
        );
    }

    #[test]
    fn a_word_about_dependencies_alone_says_nothing() {
        assert!(
            says_of_failed_starts(
                CHECK,
                2,
                "ResourceInitializationError: dependency not available"
            )
            .is_empty()
        );
    }
}
