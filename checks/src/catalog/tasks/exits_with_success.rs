//! An essential container exits as if its work were done. A service must keep running, so ECS
//! treats that as a failure, although every exit code is 0.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::{ending, last_word, stop};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// An essential container exits with code 0, which stops its task.
    ///
    /// # Why it matters
    ///
    /// Nothing looks like an error, and yet tasks keep being replaced: ECS expects a service's
    /// tasks to run indefinitely.
    ///
    /// # How we tell
    ///
    /// Two tasks of the version within the hour, or the newest failure, have
    /// `EssentialContainerExited`, and the container that ended them has exit code 0; no other
    /// container failed before it. Tasks that a deployment or scaling stopped may also exit with 0
    /// and do not count. If the log nevertheless ends with a crash, a shell likely swallowed the
    /// exit code.
    ///
    /// # What to do
    ///
    /// Either the command puts the app in the background and returns (start it in the foreground),
    /// or it is a job (run it with `run-task` or on a schedule, not as a service), or a sidecar is
    /// done and should not be essential.
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.containerDefinitions[].[name,essential,command]'
    /// ```
    ///
    /// Terraform/OpenTofu: `essential` and `command` in `container_definitions` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `exits_with_error`, `normal_stops`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "A container exits as if it were done",
    severity: High,
    role: Cause,
    explains: [TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetLogEvents],
    example: on worker, |snapshot| {
        crate::baseline::exit_tasks(snapshot, 3, 0, None);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        let Some(definition) = findings.see(patient.task_definition(failures.task_definition))
        else {
            continue;
        };
        for ((container, code), ended) in
            ending::exits(patient, &failures, definition, |code| code == 0)
        {
            let tasks = &ended.tasks;
            let newest = tasks[0];
            let helpers = definition.is_some_and(|definition| {
                definition.container_definitions.iter().filter(|one| one.essential).count() > 1
            });
            let fate = if failures.is_primary { "" } else { ", which was rolled back," };
            let logged = last_word::of(patient, findings, container, tasks);
            // A shell that starts the app may exit with 0 even though the app failed.
            let meaning = match &logged.crash {
                Some(crash) => format!("although, by its log, {}", crash.words),
                None => "as if it were done".to_owned(),
            };
            let claim = format!(
                "container {container} exits with code 0, {meaning}: {} of {} failed tasks of {}{fate} stopped for this reason {}",
                tasks.len(),
                failures.tasks.len(),
                rollout::short(failures.task_definition),
                stop::when(patient.now(), tasks)
            );
            let helper = if helpers {
                " If it is a sidecar that may exit, set essential to false."
            } else {
                ""
            };
            let advice = match &logged.crash {
                Some(crash) => format!(
                    "{} Also have the start script pass on the exit code, so that a failure is visible.",
                    crash.kind.advice()
                ),
                None => format!(
                    "Keep the process in the foreground; or, if it is a job, run it with run-task or on a schedule.{helper}"
                ),
            };
            let remedy =
                Remedy::new(advice)
                    .cli(patient.see(
                        Call::DescribeTaskDefinition,
                        rollout::short(failures.task_definition),
                    ))
                    .cli(patient.see(Call::DescribeTasks, newest.id()));
            findings.add(
                Subject::new(Kind::TaskDefinition, failures.task_definition)
                    .sick(
                        claim,
                        Evidence::new(
                            Call::DescribeTasks,
                            &newest.task_arn,
                            "containers.exitCode",
                            code,
                        )
                        .at(newest.stopped_at),
                    )
                    .detail(ended.undecided())
                    .because(stop::evidence(newest))
                    .because_all(logged.evidence)
                    .mend(remedy)
                    .concerns(Kind::TaskDefinition, failures.task_definition)
                    .concerns_no(Kind::TargetGroup),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::snapshot::{Container, Snapshot, Task};
    use crate::testing::{each_stopped, says};

    fn with(change: impl Fn(&mut Task)) -> Snapshot {
        each_stopped((CHECK.example)(), change)
    }

    #[test]
    fn an_exit_with_0_is_a_failure_of_a_service() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container worker exits with code 0, as if it were done: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min \
                 ago."
            ]
        );
    }

    #[test]
    fn a_crash_that_a_shell_hides_is_told() {
        let mut snapshot = (CHECK.example)();
        baseline::log_at_last(&mut snapshot, &["Error: Cannot find module 'express'", "bye"]);
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Container worker exits with code 0, although, by its log, Node.js cannot find module 'express': 3 of")
        );
        baseline::log_at_last(&mut snapshot, &["sent 12 messages", "done"]);
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Container worker exits with code 0, as if it were done: 3 of")
        );
    }

    #[test]
    fn a_clean_stop_by_a_deployment_is_normal() {
        let scaled = |task: &mut Task| {
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            task.stopped_reason = Some(
                "Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into(),
            );
        };
        assert!(says(CHECK, &with(scaled)).is_empty());
    }

    #[test]
    fn a_container_that_ends_after_another_had_failed_is_not_the_one() {
        let failed = |task: &mut Task| {
            task.containers.push(Container {
                name: "proxy".into(),
                exit_code: Some(1),
                ..Container::default()
            })
        };
        assert!(says(CHECK, &with(failed)).is_empty());
    }

    #[test]
    fn a_helper_that_may_end_ends_nothing() {
        let mut snapshot = (CHECK.example)();
        let definition = baseline::id::ecs("task-definition/mailer:12");
        snapshot.task_definitions.change(&definition).unwrap().container_definitions[0].essential =
            false;
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
