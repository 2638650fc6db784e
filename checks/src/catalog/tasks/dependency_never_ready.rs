//! A container depends on another one of its task that does not reach the required condition:
//! `dependsOn` was not fulfilled in time, or never can be.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws;
use crate::aws::stop_reason::{self, Trouble};
use crate::call::Call;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::last_word;
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::text::pattern;

crate::check! {
    /// A container depends on another one that never becomes ready, so the task does not start.
    ///
    /// # Why it matters
    ///
    /// The app itself is not started at all, and its log is empty: the problem is in the container
    /// that it depends on.
    ///
    /// # How we tell
    ///
    /// A reason mentions a "container ordering dependency" that has timed out, did not exit
    /// successfully or will never start. That is the ECS agent's wording; where Fargate's differs,
    /// this check reports nothing. The exit code of the container depended on, and the end of its
    /// log, are quoted where they are known.
    ///
    /// # What to do
    ///
    /// Read the log of the container depended on. If it only needs longer, raise its
    /// `startTimeout`; if it is a one-time job, use the condition `SUCCESS` or `COMPLETE`, not
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
    title: "A container depends on another that is never ready",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetLogEvents],
    example: on worker, |snapshot| {
        let definition = crate::baseline::id::ecs("task-definition/mailer:12");
        if let Some(version) = snapshot.task_definitions.change(&definition) {
            let mut job = version.container_definitions[0].clone();
            (job.name, job.essential) = ("migrate".into(), false);
            version.container_definitions.push(job);
        }
        let waits = "dependency graph: container ordering dependency [migrate(migrate:12) (STOPPED->RUNNING)] for target [worker(mailer:12) (NONE->RUNNING)] has timed out.";
        crate::baseline::fail_to_start(snapshot, 3, "Task failed to start");
        let arn = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&arn).into_iter().flatten() {
            task.containers[0].reason = Some(waits.into());
            let ended = crate::snapshot::Container { name: "migrate".into(), exit_code: Some(137), ..Default::default() };
            task.containers.push(ended);
        }
        crate::baseline::log_at_last(snapshot, &["Error: cannot connect to the database, trying again"]);
    },
}

static WAITED_FOR: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"dependency \[(?<it>[A-Za-z0-9_-]+)[\](]"));
static WAITING: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"for target \[(?<it>[A-Za-z0-9_-]+)[\](]"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::DependencyNeverReady], |told, findings| {
        let name = |it: Option<&str>, otherwise: &str| {
            it.map_or(otherwise.to_owned(), |name| format!("container {name}"))
        };
        let waiting = name(stop_reason::part(&WAITING, told.text), "a container");
        let waited_for = name(stop_reason::part(&WAITED_FOR, told.text), "another one");
        let claim = match told.text {
            text if text.contains("did not exit successfully") => {
                format!("{waiting} depends on {waited_for}, which failed")
            }
            text if text.contains("has timed out") => {
                format!("{waiting} depends on {waited_for}, which was not ready in time")
            }
            _ => format!("{waiting} depends on {waited_for}, which will never start"),
        };
        let remedy = Remedy::new(format!(
            "Look at the log of {waited_for}; fix it, give it more time with startTimeout, or change the dependsOn condition."
        ))
        .cli(aws!(
            "ecs describe-task-definition --task-definition {} \
             --query taskDefinition.containerDefinitions[].[name,dependsOn,startTimeout]",
            told.version()
        ))
        .cli(told.see(patient));
        let finding = told.finding(patient, &claim).mend(remedy);
        Some(match stop_reason::part(&WAITED_FOR, told.text) {
            Some(name) => with_its_end(patient, findings, finding, name, told),
            None => finding,
        })
    })
}

/// How the container depended on ended: its exit code and the end of its log.
fn with_its_end(
    patient: &Patient,
    findings: &mut Findings,
    mut finding: Finding,
    name: &str,
    told: &Told,
) -> Finding {
    let ended = told.tasks.iter().find_map(|task| {
        let container = task.containers.iter().find(|container| container.name == name)?;
        Some((task, container.exit_code.filter(|code| *code != 0)?))
    });
    if let Some((task, code)) = ended {
        let exit = Evidence::new(Call::DescribeTasks, &task.task_arn, "containers.exitCode", code);
        finding = finding
            .detail(format!("Container {name} exited with code {code}."))
            .because(exit.at(task.stopped_at));
    }
    let logged = last_word::of(patient, findings, name, &told.tasks);
    if let Some(quote) = &logged.quote {
        finding = finding.detail(format!("Its log says: \"{quote}\"."));
    }
    finding.because_all(logged.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Container;
    use crate::testing::{each_stopped, says, says_of_failed_starts};

    #[test]
    fn names_both_containers() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .starts_with("Container worker depends on container migrate, which was not ready in time: 3 of 3 failed tasks")
        );
    }

    #[test]
    fn the_container_that_is_waited_for_tells_how_it_ended() {
        let mut snapshot = crate::baseline::worker();
        crate::baseline::fail_to_start(&mut snapshot, 2, "Task failed to start");
        let waits = "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [migrate(example.com/web:v8) (STOPPED->RUNNING) - Exit: 1] for target [worker(example.com/web:v8) (NONE->RUNNING)] as dependency did not exit successfully.";
        let snapshot = each_stopped(snapshot, |task| {
            task.containers[0].reason = Some(waits.into());
            task.containers.push(Container {
                name: "migrate".into(),
                exit_code: Some(1),
                ..Container::default()
            });
        });
        let said = says(CHECK, &snapshot).remove(0);
        assert!(
            said.starts_with("Container worker depends on container migrate, which failed: 2 of 2")
                && said.contains("Container migrate exited with code 1."),
            "{said}"
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
