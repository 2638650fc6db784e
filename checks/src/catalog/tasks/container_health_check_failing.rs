//! The health check that the task definition sets for a container fails, so ECS replaces the task.
//! The load balancer's health check is a different one and may pass.

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{Container, Task};
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// The container's own health check fails, so ECS stops the task.
    ///
    /// # Why it matters
    ///
    /// ECS replaces the task even if the load balancer considers it healthy. Often the command of
    /// the health check needs a tool that is not in the image, such as `curl`, or the app takes
    /// longer to start than the health check allows.
    ///
    /// # How we tell
    ///
    /// Two tasks of the version within the hour, or the newest failure, stopped with "failed
    /// container health checks". `UNKNOWN` means that there is no such health check, which is
    /// normal.
    ///
    /// # What to do
    ///
    /// Run the command in the image, and give the app time to start with `startPeriod`, up to 300
    /// seconds:
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
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::stop_tasks(snapshot, 3, |task| {
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            task.stopped_reason = Some("Task failed container health checks".into());
            task.health_status = Some("UNHEALTHY".into());
            task.containers.iter_mut().for_each(|container| container.health_status = Some("UNHEALTHY".into()));
            let helper = Container { name: "relay".into(), health_status: Some("HEALTHY".into()), ..Container::default() };
            task.containers.push(helper);
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
        let unhealthy = unhealthy(patient, findings, newest);
        let names = unhealthy.iter().map(|container| container.name.as_str());
        let is_proxy = matches!(
            unhealthy.as_slice(),
            [only] if stop::is_service_connect_proxy(&only.name)
        );
        let whose = match unhealthy.as_slice() {
            [] => "a container".to_owned(),
            [only] if is_proxy => {
                format!("the Service Connect proxy, which ECS adds as container {},", only.name)
            }
            [only] => format!("container {}", only.name),
            _ => format!("containers {}", and_list(names)),
        };
        let fate = if failures.is_primary { "" } else { ", which was rolled back," };
        let lived =
            newest.started_at.zip(newest.stopped_at).filter(|(started, stopped)| stopped > started);
        let lived = lived.map_or_else(String::new, |(started, stopped)| {
            format!("The newest of them ran for {}.", time::words(stopped.duration_since(started)))
        });
        let claim = format!(
            "the health check of {whose} fails: {} of {} failed tasks of {}{fate} stopped for this reason {}",
            tasks.len(),
            failures.tasks.len(),
            rollout::short(failures.task_definition),
            stop::when(patient.now(), &tasks)
        );
        let version = rollout::short(failures.task_definition);
        let remedy = if is_proxy {
            of_the_proxy(patient, version)
        } else {
            let name = unhealthy.first().map_or("app", |container| container.name.as_str());
            of_the_app(patient, version, name)
        }
        .cli(patient.see(Call::DescribeTasks, newest.id()));
        let of_container = |container: &&Container| {
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
                .because_all(unhealthy.iter().filter_map(of_container))
                .mend(remedy)
                .concerns(Kind::TaskDefinition, failures.task_definition)
                .concerns_no(Kind::TargetGroup),
        );
    }
    Ok(())
}

/// The containers whose health check fails and can end the task: GuardDuty's, and those that are
/// not essential, do not count.
fn unhealthy<'a>(patient: &Patient, findings: &mut Findings, task: &'a Task) -> Vec<&'a Container> {
    let unhealthy = task
        .containers
        .iter()
        .filter(|container| container.health_status.as_deref() == Some("UNHEALTHY"));
    unhealthy
        .filter(|one| findings.see(stop::can_end(patient, task, &one.name)) == Some(true))
        .collect()
}

fn of_the_app(patient: &Patient, version: &str, name: &str) -> Remedy {
    Remedy::new(
        "Run the health check's command in the image (does it have curl?), and give the app time to start with startPeriod.",
    )
    .cli(aws!(
        "ecs describe-task-definition --task-definition {} \
         --query taskDefinition.containerDefinitions[].[name,healthCheck]",
        version
    ))
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
    ))
}

/// The proxy's health check is not the user's: it lacks CPU and memory, or a route to ECS.
fn of_the_proxy(patient: &Patient, version: &str) -> Remedy {
    Remedy::new(
        "Give the task enough CPU and memory for the proxy (AWS recommends 256 CPU units and 64 MiB more than the app needs) and a route to Amazon ECS: a NAT gateway or an interface endpoint for ecs-agent. The service's logConfiguration says where the proxy logs.",
    )
    .cli(aws!(
        "ecs describe-task-definition --task-definition {} \
         --query taskDefinition.[cpu,memory,containerDefinitions[].[name,cpu,memory]]",
        version
    ))
    .cli(patient.see(Call::DescribeServices, patient.arn()))
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
                "The health check of container worker fails: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago. The newest of \
                 them ran for 3 min."
            ]
        );
    }

    fn beside(name: &'static str) -> Vec<String> {
        let sick = |name: &str| Container {
            name: name.into(),
            health_status: Some("UNHEALTHY".into()),
            ..Container::default()
        };
        says(CHECK, &with(|task| task.containers.insert(0, sick(name))))
    }

    #[test]
    fn the_proxy_of_service_connect_has_no_command_that_one_could_try() {
        let snapshot = with(|task| {
            task.containers[0].health_status = Some("HEALTHY".into());
            let proxy = Container {
                name: "ecs-service-connect-x1y2".into(),
                health_status: Some("UNHEALTHY".into()),
                ..Container::default()
            };
            task.containers.push(proxy);
        });
        let finding = crate::testing::exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.claim.starts_with("the health check of the Service Connect proxy, which ECS adds as container ecs-service-connect-x1y2, fails: 3 of 3"),
            "{}",
            finding.claim
        );
        assert!(!finding.remedy.summary.contains("curl"), "{}", finding.remedy.summary);
    }

    #[test]
    fn guardduty_hurts_nobody_and_two_that_do_are_both_named() {
        assert!(beside("aws-guardduty-agent-x1")[0].contains("of container worker fails"));
        let both = &beside("cache")[0];
        assert!(both.contains("of containers cache and worker fails"), "{both}");
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
