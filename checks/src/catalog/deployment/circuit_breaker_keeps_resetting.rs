//! Tasks fail again and again, and the circuit breaker never gets to its threshold: every task that
//! is briefly healthy resets its count. Why the tasks fail is for other checks to say.

use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::snapshot::service::{CircuitBreaker, DeploymentConfiguration};
use crate::snapshot::{ServiceDeployment, Task};
use crate::text::count;

crate::check! {
    /// More tasks of the new version have failed than the circuit breaker allows, and it has not
    /// triggered, because a task that becomes healthy resets its count to 0.
    ///
    /// # Why it matters
    ///
    /// A version that starts, passes one health check and dies is the worst case: the breaker never
    /// stops it. The deployment runs for hours, starting tasks and losing them.
    ///
    /// # How we tell
    ///
    /// The deployment is `IN_PROGRESS`, its breaker is enabled and `MONITORING`,
    /// `resetOnHealthyTask` is not turned off (it is on by default), and more tasks of the new
    /// version have failed since it began than the threshold, while `failureCount` is below it. At
    /// least one of these tasks ran. Tasks of other versions, and those that scaling, a deployment
    /// or a person stopped, do not count. Stopped tasks are kept for about an hour, so there may
    /// have been more.
    ///
    /// # What to do
    ///
    /// Stop resetting the count. The command replaces the whole deployment configuration:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration \
    ///   '{"deploymentCircuitBreaker":{"enable":true,"rollback":true,"resetOnHealthyTask":false}}'
    /// ```
    ///
    /// Terraform/OpenTofu:
    /// `deployment_configuration.deployment_circuit_breaker.reset_on_healthy_task` of
    /// `awscc_ecs_service`; whether `aws_ecs_service` has it depends on the provider's version.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`, `deployment_stuck`, `circuit_breaker_off`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    title: "Tasks that are briefly healthy reset the circuit breaker's count",
    severity: Medium,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, roll_out};
        roll_out(snapshot, 95, |deployment| {
            deployment.deployment_circuit_breaker.iter_mut().for_each(|breaker| breaker.failure_count = 1);
        });
        let arn = snapshot.services[0].service_arn.clone();
        let task = |n: u8| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            started_by: Some("ecs-svc/1000000000000000013".into()),
            task_definition_arn: id::ecs("task-definition/api:13"),
            last_status: "STOPPED".into(),
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(format!("Task failed ELB health checks in (target-group {})", id::group("api"))),
            created_at: Some(minutes_ago(i64::from(n) * 10 + 6)),
            started_at: Some(minutes_ago(i64::from(n) * 10 + 5)),
            stopped_at: Some(minutes_ago(i64::from(n) * 10)),
            ..Task::default()
        };
        snapshot.stopped_tasks.put(&arn, (1..=5).map(task).collect());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::under_way(patient)?
        .filter(|deployment| deployment.status == "IN_PROGRESS" && resets(deployment))
    else {
        return Ok(());
    };
    let Some(breaker) = deployment
        .deployment_circuit_breaker
        .as_ref()
        .filter(|breaker| breaker.status.as_deref() == Some("MONITORING"))
    else {
        return Ok(());
    };
    let failed = failed(patient.stopped_tasks()?, patient, deployment);
    let below = breaker.failure_count < breaker.threshold;
    if !below
        || failed.len() as i64 <= i64::from(breaker.threshold)
        || !failed.iter().any(|task| task.started_at.is_some())
    {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let claim = format!(
        "{} of the new version failed {}, and the circuit breaker counts {} of {}: each task that is briefly healthy resets its count to 0",
        count(failed.len(), "task"),
        stop::when(patient.now(), &failed),
        breaker.failure_count,
        breaker.threshold
    );
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(
                claim,
                rollout::evidence(
                    deployment,
                    "deploymentCircuitBreaker.failureCount",
                    breaker.failure_count,
                ),
            )
            .because(rollout::evidence(
                deployment,
                "deploymentCircuitBreaker.threshold",
                breaker.threshold,
            ))
            .because(rollout::evidence(deployment, "deploymentCircuitBreaker.status", "MONITORING"))
            .because_all(failed.first().map(|task| stop::evidence(task)))
            .mend(remedy(patient, deployment))
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

/// Whether the breaker is on, and a healthy task resets its count, which is the default.
fn resets(deployment: &ServiceDeployment) -> bool {
    let configured = deployment.deployment_configuration.deployment_circuit_breaker.as_ref();
    configured.is_some_and(|breaker| breaker.enable && breaker.reset_on_healthy_task != Some(false))
}

/// Tasks of the new version that failed since the deployment began, newest first.
fn failed<'a>(
    stopped: &'a [Task],
    patient: &Patient,
    deployment: &ServiceDeployment,
) -> Vec<&'a Task> {
    let new = stop::primary_version(patient);
    let began = rollout::started(deployment);
    let is_new = |task: &&Task| {
        new.iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    };
    let since =
        |task: &&Task| task.stopped_at.is_some_and(|at| began.is_none_or(|began| at >= began));
    stopped
        .iter()
        .filter(is_new)
        .filter(since)
        .filter(|task| StopKind::of(task).is_failure())
        .collect()
}

fn remedy(patient: &Patient, deployment: &ServiceDeployment) -> Remedy {
    let configured = &patient.service().deployment_configuration;
    let stands =
        CircuitBreaker { enable: true, rollback: true, reset_on_healthy_task: Some(false) };
    let configured =
        DeploymentConfiguration { deployment_circuit_breaker: Some(stands), ..configured.clone() };
    let remedy = Remedy::new(
        "Roll back now, and stop resetting the count in future deployments. The second command replaces the whole deployment configuration: add anything else that is set there, such as hooks.",
    )
    .cli(rollout::stop(deployment))
    .cli(rollout::configure(patient, &configured));
    if patient.is_express() {
        return remedy;
    }
    remedy.terraform(hcl!(
        r#"
        resource "awscc_ecs_service" {} {
          deployment_configuration = {
            deployment_circuit_breaker = {
              enable                = true
              rollback              = true
              reset_on_healthy_task = false
            }
          }
        }"#,
        patient.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, newest_deployment, says};

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    fn stopped(snapshot: &mut Snapshot) -> &mut Vec<Task> {
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap()
    }

    #[test]
    fn tells_what_failed_and_what_the_breaker_counts() {
        let expected = "5 tasks of the new version failed within 40 min, the last 10 min ago, and the circuit breaker counts 1 of 3: each task that is briefly healthy resets its count to 0.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn a_breaker_that_may_still_trigger_is_left_to_it() {
        let mut snapshot = example(|_| ());
        stopped(&mut snapshot).truncate(3);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "three failures are the threshold, not more"
        );
    }

    #[test]
    fn a_count_that_is_not_set_back_is_another_matter() {
        type Edit = fn(&mut ServiceDeployment);
        let others: [(&str, Edit); 5] = [
            ("the count stands", |d| {
                d.deployment_configuration
                    .deployment_circuit_breaker
                    .iter_mut()
                    .for_each(|breaker| breaker.reset_on_healthy_task = Some(false));
            }),
            ("the breaker is off", |d| {
                d.deployment_configuration.deployment_circuit_breaker = None
            }),
            ("the breaker triggered", |d| {
                d.deployment_circuit_breaker
                    .iter_mut()
                    .for_each(|breaker| breaker.status = Some("TRIGGERED".into()))
            }),
            ("the count is at its threshold", |d| {
                d.deployment_circuit_breaker
                    .iter_mut()
                    .for_each(|breaker| breaker.failure_count = 3)
            }),
            ("it is rolling back", |d| d.status = "ROLLBACK_IN_PROGRESS".into()),
        ];
        for (why, change) in others {
            assert_eq!(exam(CHECK, &example(change)).outcome, Outcome::Healthy, "{why}");
        }
    }

    #[test]
    fn tasks_that_never_ran_set_nothing_back() {
        let mut snapshot = example(|_| ());
        stopped(&mut snapshot).iter_mut().for_each(|task| task.started_at = None);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn old_tasks_and_clean_stops_do_not_count() {
        let mut snapshot = example(|_| ());
        stopped(&mut snapshot)
            .iter_mut()
            .for_each(|task| task.started_by = Some("ecs-svc/1000000000000000012".into()));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = example(|_| ());
        stopped(&mut snapshot).iter_mut().for_each(|task| {
            task.stopped_reason =
                Some("Scaling activity initiated by (deployment ecs-svc/1)".into())
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_command_keeps_the_rest_and_lets_the_count_stand() {
        let command = &exam(CHECK, &example(|_| ())).findings[0].remedy.shell()[1];
        for part in [r#""resetOnHealthyTask":false"#, r#""maximumPercent":200"#] {
            assert!(command.contains(part), "{command}");
        }
    }
}
