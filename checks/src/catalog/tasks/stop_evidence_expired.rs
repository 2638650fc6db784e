//! Something is wrong and tasks did stop, but so long ago that ECS no longer has them: their
//! reasons are lost. The note keeps an empty list from being read as "nothing stopped".

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::ServiceEvent;
use crate::{aws, hcl};

/// How long ECS keeps stopped tasks, at least.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

const STOPPED: &str = r#"{"source":["aws.ecs"],"detail-type":["ECS Task State Change"],"detail":{"lastStatus":["STOPPED"]}}"#;

crate::check! {
    /// The service's events report tasks that failed or stopped, but ECS no longer has these tasks,
    /// nor their stopped reasons.
    ///
    /// # Why it matters
    ///
    /// ECS keeps stopped tasks for about an hour. After that, nothing shows why they stopped, and
    /// an empty list does not mean "nothing stopped".
    ///
    /// # How we tell
    ///
    /// An event of the last day, more than an hour old, reports stopped or unhealthy tasks or a
    /// failed deployment; none of the tasks that `DescribeTasks` still has failed; and something is
    /// wrong now: too few tasks run, or the newest deployment was rolled back. Otherwise it is
    /// history, and there is no note.
    ///
    /// # What to do
    ///
    /// Run ecs-doctor within an hour of the next failure, or keep the evidence:
    ///
    /// ```sh
    /// aws events put-rule --name ecs-stopped-tasks --event-pattern '{"source":["aws.ecs"],"detail-type":["ECS Task State Change"],"detail":{"lastStatus":["STOPPED"]}}'
    /// aws events put-targets --rule ecs-stopped-tasks --targets Id=logs,Arn=<log group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_cloudwatch_event_rule` and `aws_cloudwatch_event_target`.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html>
    title: "Stopped tasks and their reasons are no longer available",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeTasks],
    example: on fargate, |snapshot| {
        use crate::baseline::minutes_ago;
        let service = &mut snapshot.services[0];
        let message = "(service api) (deployment ecs-svc/1000000000000000013) deployment failed: tasks failed to start.".into();
        service.events.push(ServiceEvent { id: "7f0f2c5e-0000-4000-8000-000000000002".into(), created_at: Some(minutes_ago(190)), message });
        let arn = service.service_arn.clone();
        for deployment in snapshot.service_deployments.change(&arn).into_iter().flat_map(|deployments| deployments.first_mut()) {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let now = patient.now();
    let today = |event: &&ServiceEvent| event.created_at.is_some_and(|at| time::age(now, at) < DAY);
    let Some(told) = patient
        .service()
        .events
        .iter()
        .filter(today)
        .find(|event| tells_of_failure(&event.message))
    else {
        return Ok(());
    };
    let Some(at) = told.created_at.filter(|at| time::age(now, *at) > KEPT) else { return Ok(()) };
    let Some(wrong) = wrong_now(patient)? else { return Ok(()) };
    let left = patient.stopped_tasks()?;
    if !left.iter().all(|task| StopKind::of(task).is_on_purpose()) {
        return Ok(());
    }
    let claim = format!(
        "the newest event about failing or stopping tasks is {} old, and ECS keeps stopped tasks for about an hour: their reasons are no longer available",
        time::words(time::age(now, at))
    );
    let gone = match left.first() {
        Some(task) => stop::evidence(task),
        None => Evidence::new(Call::DescribeTasks, patient.arn(), "tasks", "[]"),
    };
    let keep = Remedy::new(
        "Run ecs-doctor within an hour of the next failure, or have EventBridge write every stopped task to a log group, which needs a resource policy for events.amazonaws.com.",
    )
    .cli(aws!("events put-rule --name ecs-stopped-tasks --event-pattern {}", STOPPED))
    .cli(aws!(
        "events put-targets --rule ecs-stopped-tasks \
         --targets Id=logs,Arn=arn:{}:logs:{}:{}:log-group:/aws/events/ecs-stopped-tasks",
        patient.partition(),
        patient.region(),
        patient.account()
    ))
    .terraform(hcl!(
        r#"
        resource "aws_cloudwatch_event_rule" "stopped_tasks" {
          event_pattern = jsonencode({
            source      = ["aws.ecs"]
            detail-type = ["ECS Task State Change"]
            detail      = { lastStatus = ["STOPPED"] }
          })
        }"#
    ));
    let evidence = patient.evidence("events.message", &told.message).at(told.created_at);
    findings.add(patient.subject().sick(claim, evidence).because(gone).because(wrong).mend(keep));
    Ok(())
}

fn tells_of_failure(message: &str) -> bool {
    matches!(
        event::read(message),
        Event::Stopped { .. }
            | Event::TargetUnhealthy { .. }
            | Event::DeploymentFailed { .. }
            | Event::RolledBack { .. }
            | Event::NoRollbackCandidate
            | Event::CannotStartConsistently
    )
}

/// What makes the past matter now.
fn wrong_now(patient: &Patient) -> Result<Option<Evidence>, Blind> {
    let service = patient.service();
    if service.running_count < service.desired_count {
        return Ok(Some(patient.evidence("runningCount", service.running_count)));
    }
    let failed = rollout::newest(patient)?.filter(|deployment| rollout::is_rolled_back(deployment));
    Ok(failed.map(|deployment| {
        Evidence::new(
            Call::DescribeServiceDeployments,
            &deployment.service_deployment_arn,
            "status",
            &deployment.status,
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::snapshot::{Snapshot, Task};
    use crate::testing::says;

    fn with(minutes: i64, message: &str, running: i32) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let service = &mut snapshot.services[0];
        service.running_count = running;
        service.events.push(ServiceEvent {
            id: "1".into(),
            created_at: Some(minutes_ago(minutes)),
            message: message.into(),
        });
        snapshot
    }

    const STOPPED: &str =
        "(service api) has stopped 1 running tasks: (task 0123456789abcdef0123456789abcdef).";

    #[test]
    fn says_how_old_the_last_word_is() {
        assert_eq!(
            says(CHECK, &with(200, STOPPED, 0)),
            [
                "The newest event about failing or stopping tasks is 3 h 20 min old, and ECS keeps stopped tasks for about an hour: their reasons are no longer available."
            ]
        );
    }

    #[test]
    fn a_service_that_is_well_has_nothing_to_look_up() {
        assert!(says(CHECK, &with(200, STOPPED, 2)).is_empty());
    }

    #[test]
    fn what_is_younger_than_an_hour_has_not_expired() {
        assert!(says(CHECK, &with(50, STOPPED, 0)).is_empty());
    }

    #[test]
    fn what_is_older_than_a_day_is_history() {
        assert!(says(CHECK, &with(1500, STOPPED, 0)).is_empty());
        assert!(says(CHECK, &with(200, "(service api) has reached a steady state.", 0)).is_empty());
    }

    #[test]
    fn a_failed_task_that_is_still_there_is_evidence_enough() {
        let mut snapshot = with(200, STOPPED, 0);
        let arn = snapshot.services[0].service_arn.clone();
        let task = |code: &str| Task { stop_code: Some(code.into()), ..Task::default() };
        snapshot.stopped_tasks.put(&arn, vec![task("UserInitiated")]);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        snapshot.stopped_tasks.put(&arn, vec![task("UserInitiated"), task("TaskFailedToStart")]);
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
