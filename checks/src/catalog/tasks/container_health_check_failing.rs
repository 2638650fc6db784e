//! The health check that the task definition gives to a container fails, so ECS replaces the task.
//! The balancer's health check is another one, and may pass all the while.

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Task;
use crate::{aws, hcl};

crate::check! {
    /// The container's own health check fails, and ECS stops the task for it.
    ///
    /// # Why it matters
    ///
    /// The balancer may call the same task healthy, and yet ECS replaces it. Often the command of
    /// the check needs a tool that is not in the image, such as `curl`, or the app needs longer to
    /// start than the check has patience.
    ///
    /// # How we tell
    ///
    /// Two tasks of the version within the hour, or the newest failure, stopped with "failed
    /// container health checks". `UNKNOWN` means that there is no such check, and is normal.
    ///
    /// # What to do
    ///
    /// Try the command in the image, and give the app time with `startPeriod`, up to 300 seconds:
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.containerDefinitions[].[name,healthCheck]'
    /// ```
    ///
    /// Terraform/OpenTofu: `healthCheck` in `container_definitions` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html>
    title: "The container's own health check fails",
    severity: High,
    role: Cause,
    explains: [TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on worker, |snapshot| {
        crate::baseline::stop_tasks(snapshot, 3, |task| {
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            task.stopped_reason = Some("Task failed container health checks".into());
            task.health_status = Some("UNHEALTHY".into());
            task.containers.iter_mut().for_each(|container| container.health_status = Some("UNHEALTHY".into()));
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        let tasks: Vec<&Task> = failures
            .tasks
            .iter()
            .copied()
            .filter(|task| StopKind::of(task) == StopKind::ContainerHealthCheck)
            .collect();
        let Some(newest) = tasks.first().copied() else { continue };
        if tasks.len() < 2 && failures.tasks[0].task_arn != newest.task_arn {
            continue;
        }
        let unhealthy = newest
            .containers
            .iter()
            .find(|container| container.health_status.as_deref() == Some("UNHEALTHY"));
        let whose = unhealthy
            .map_or("a container".to_owned(), |container| format!("container {}", container.name));
        let fate = if failures.is_primary { "" } else { ", which was rolled back," };
        let lived =
            newest.started_at.zip(newest.stopped_at).filter(|(started, stopped)| stopped > started);
        let lived = lived.map_or_else(String::new, |(started, stopped)| {
            format!("The newest of them ran for {}.", time::words(stopped.duration_since(started)))
        });
        let claim = format!(
            "the health check of {whose} fails: {} of {} failed tasks of {}{fate} stopped so {}",
            tasks.len(),
            failures.tasks.len(),
            rollout::short(failures.task_definition),
            stop::when(patient.now(), &tasks)
        );
        let name = unhealthy.map_or("app", |container| container.name.as_str());
        let remedy = Remedy::new(
            "Try the check's command inside the image (is curl in there?), and give the app time \
             to start with startPeriod.",
        )
        .cli(aws!(
            "ecs describe-task-definition --task-definition {} \
             --query taskDefinition.containerDefinitions[].[name,healthCheck]",
            rollout::short(failures.task_definition)
        ))
        .cli(patient.see(Call::DescribeTasks, newest.id()))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_task_definition" {} {
              container_definitions = jsonencode([{
                name        = {}
                healthCheck = { command = ["CMD-SHELL", "…"], startPeriod = 60 }
              }])
            }"#,
            patient.name(),
            name
        ));
        let of_container = |container: &crate::snapshot::Container| {
            let status = container.health_status.as_deref()?;
            Some(Evidence::new(
                Call::DescribeTasks,
                &newest.task_arn,
                "containers.healthStatus",
                status,
            ))
        };
        findings.add(
            Subject::new(Kind::TaskDefinition, failures.task_definition)
                .sick(claim, stop::evidence(newest))
                .detail(lived)
                .because_all(unhealthy.and_then(of_container))
                .mend(remedy)
                .concerns(Kind::TaskDefinition, failures.task_definition)
                .concerns_no(Kind::TargetGroup),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::snapshot::Snapshot;
    use crate::testing::{each_stopped, says};

    fn with(change: impl Fn(&mut Task)) -> Snapshot {
        each_stopped((CHECK.example)(), change)
    }

    #[test]
    fn names_the_container_and_how_long_it_ran() {
        let snapshot = with(|task| task.started_at = Some(minutes_ago(5)));
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The health check of container worker fails: 3 of 3 failed tasks of mailer:12 stopped so within 8 min, the last 2 min ago. The newest of \
                 them ran for 3 min."
            ]
        );
    }

    #[test]
    fn the_balancers_health_check_is_another_one() {
        let reason =
            format!("Task failed ELB health checks in (target-group {})", id::group("api"));
        assert!(says(CHECK, &with(|task| task.stopped_reason = Some(reason.clone()))).is_empty());
    }

    #[test]
    fn without_a_health_check_the_status_is_unknown_and_that_is_normal() {
        assert!(says(CHECK, &baseline::worker()).is_empty());
        assert!(
            says(
                CHECK,
                &with(
                    |task| task.stopped_reason = Some("Essential container in task exited".into())
                )
            )
            .is_empty()
        );
    }
}
