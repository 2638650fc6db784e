//! A deployment takes far longer than its own settings allow for. The finding says at which stage
//! it is and since when; why it does not end is for other checks to say.

use crate::aws;
use crate::aws::time::{age, clock, words};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{hook, rollback, rollout};
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::deployment::HookDetail;

crate::check! {
    /// A deployment is still under way, long after its grace period, its bake times and the
    /// draining of old targets should have been over.
    ///
    /// # Why it matters
    ///
    /// The new version is not fully live, and both versions may be running and billed. ECS itself
    /// fails it only after 24 hours in one stage.
    ///
    /// # How we tell
    ///
    /// The newest service deployment has not ended, and its age exceeds the grace period, all
    /// configured bake times, and for each batch of tasks the longest deregistration delay of the
    /// service's target groups (300 s where a group does not say) and ten minutes; never less than
    /// 25 minutes. A deployment in its configured bake time is not stuck. Where the deregistration
    /// delay cannot be read, the longest that AWS allows, one hour, is assumed. The API does not
    /// report when a stage began, so the deployment's last update is used instead, and "since" is
    /// approximate.
    ///
    /// # What to do
    ///
    /// The fix is in the cause. To roll back to the previous version at once:
    ///
    /// ```sh
    /// aws ecs stop-service-deployment --service-deployment-arn <arn> --stop-type ROLLBACK
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here; `deployment_circuit_breaker { enable = true
    /// rollback = true }` of `aws_ecs_service` ends a failing deployment automatically.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`, `targets_unhealthy`, `canary_starved_of_traffic`, `baking`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    title: "The deployment is far past its expected end",
    severity: High,
    role: Symptom,
    shows: DeploymentStuck,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroupAttributes],
    example: on fargate, |snapshot| {
        crate::baseline::roll_out(snapshot, 180, |deployment| {
            deployment.lifecycle_stage = Some("SCALE_UP".into());
            deployment.target_service_revision.iter_mut().for_each(|target| target.running_task_count = 0);
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::under_way(patient)? else { return Ok(()) };
    // A rollback is a rollout of its own, and its time starts again.
    let Some(began) = rollback::started(deployment).or(rollout::started(deployment)) else {
        return Ok(());
    };
    let draining = findings.see(rollout::draining(patient)).unwrap_or(rollout::LONGEST_DRAINING);
    let patience = rollout::patience(patient, deployment, draining);
    let lasts = age(patient.now(), began);
    if lasts <= patience || rollout::baking(patient, deployment).is_some() {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let stage = match (&deployment.lifecycle_stage, deployment.updated_at) {
        (Some(stage), Some(at)) => format!(
            ", at stage {stage} since about {} ({} ago)",
            clock(at),
            words(age(patient.now(), at))
        ),
        (Some(stage), None) => format!(", at stage {stage}"),
        (None, Some(at)) => {
            format!(
                ", no lifecycle stage reported, last updated {} ago",
                words(age(patient.now(), at))
            )
        }
        (None, None) => String::new(),
    };
    let tasks = match &deployment.target_service_revision {
        Some(target) => format!(
            "{} of {} tasks of the new version run.",
            target.running_task_count, target.requested_task_count
        ),
        None => String::new(),
    };
    let running = hook::running(deployment);
    let waits = running.map_or_else(String::new, |running| {
        format!("It waits for lifecycle hook {}, which has not finished.", hook::name(running))
    });
    let claim = format!(
        "{} has been {} for {}{stage}; its settings allow for {} at most",
        rollout::name(deployment, brings),
        deployment.status,
        words(lasts),
        words(patience)
    );
    let target = deployment.target_service_revision.as_ref();
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(
                claim,
                rollout::evidence(deployment, "status", &deployment.status).at(Some(began)),
            )
            .detail(tasks)
            .detail(waits)
            .because_all(
                deployment
                    .lifecycle_stage
                    .as_ref()
                    .map(|stage| rollout::evidence(deployment, "lifecycleStage", stage)),
            )
            .because_all(
                deployment.updated_at.map(|at| rollout::evidence(deployment, "updatedAt", at)),
            )
            .because_all(target.map(|target| {
                rollout::evidence(
                    deployment,
                    "targetServiceRevision.runningTaskCount",
                    target.running_task_count,
                )
            }))
            .because_all(running.map(|_| {
                rollout::evidence(deployment, "lifecycleHookDetails.status", "IN_PROGRESS")
            }))
            .mend(remedy(patient, deployment, running))
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

fn remedy(
    patient: &Patient,
    deployment: &ServiceDeployment,
    running: Option<&HookDetail>,
) -> Remedy {
    let remedy = match running.and_then(|running| running.target_arn.as_deref()) {
        Some(function) => Remedy::new(
            "Look at what the hook's function waits for, or roll back to the previous version.",
        )
        .cli(aws!("logs tail /aws/lambda/{} --since 2h", hook::function_name(function))),
        None => Remedy::new(
            "Fix what keeps the deployment from ending, or roll back to the previous version.",
        )
        .cli(rollout::see(patient, deployment)),
    };
    remedy.cli(rollout::stop(deployment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn rolling(minutes: i64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, minutes, |_| ());
        snapshot
    }

    fn drain(snapshot: &mut Snapshot, seconds: Option<&str>) {
        let attributes = seconds
            .map(|seconds| ("deregistration_delay.timeout_seconds".to_owned(), seconds.to_owned()));
        snapshot.target_group_attributes.put(id::group("api"), attributes.into_iter().collect());
    }

    #[test]
    fn names_stage_and_since_when() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The deployment of api:13 has been IN_PROGRESS for 3 h, at stage SCALE_UP since about 00:02 UTC (2 h 58 min ago); its settings allow for 25 min at most. 0 of 2 tasks of the new version run."
            ]
        );
    }

    #[test]
    fn names_the_hook_that_it_waits_for() {
        let with = |status: &str| {
            let mut snapshot = (CHECK.example)();
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.service_deployments.change(&arn).unwrap()[0].lifecycle_hook_details =
                vec![HookDetail {
                    target_type: Some("AWS_LAMBDA".into()),
                    target_arn: Some(
                        "arn:aws:lambda:eu-west-2:123456789012:function:load-test:live".into(),
                    ),
                    status: Some(status.into()),
                    ..HookDetail::default()
                }];
            exam(CHECK, &snapshot).findings[0].clone()
        };
        let finding = with("IN_PROGRESS");
        assert!(
            finding
                .says()
                .ends_with("It waits for lifecycle hook load-test, which has not finished."),
            "{}",
            finding.says()
        );
        assert_eq!(finding.remedy.shell()[0], "aws logs tail /aws/lambda/load-test --since 2h");
        assert!(!with("SUCCEEDED").says().contains("load-test"), "that one is over");
    }

    #[test]
    fn a_deployment_within_its_time_is_not_stuck() {
        assert_eq!(exam(CHECK, &rolling(20)).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_long_deregistration_delay_lengthens_its_time() {
        let mut snapshot = rolling(60);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        drain(&mut snapshot, Some("3600"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_absent_delay_is_300_seconds() {
        let mut snapshot = rolling(27);
        snapshot.services[0].health_check_grace_period_seconds = Some(900);
        drain(&mut snapshot, None);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "15 min of grace, 5 of draining, 10 for the rest"
        );
        snapshot.services[0].health_check_grace_period_seconds = Some(600);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn a_hidden_delay_may_be_an_hour_and_no_longer() {
        let hide = |mut snapshot: Snapshot| {
            snapshot
                .target_group_attributes
                .insert(id::group("api"), Seen::No(Why::Denied("no".into())));
            snapshot
        };
        assert_eq!(exam(CHECK, &hide(rolling(60))).outcome, Outcome::CouldNotLook);
        assert_eq!(exam(CHECK, &hide(rolling(75))).outcome, Outcome::Sick);
    }

    #[test]
    fn a_configured_bake_is_not_stuck_however_late_it_began() {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 180, |deployment| {
            deployment.lifecycle_stage = Some("BAKE_TIME".into());
            deployment.updated_at = Some(minutes_ago(2));
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn many_small_batches_take_their_time() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].desired_count = 20;
        roll_out(&mut snapshot, 120, |deployment| {
            deployment.deployment_configuration.maximum_percent = Some(110)
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "ten batches of two tasks");
    }

    #[test]
    fn the_time_of_a_rollback_begins_anew() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 180, |deployment| {
            deployment.status = "ROLLBACK_IN_PROGRESS".into();
            deployment.rollback = Some(crate::snapshot::deployment::Rollback {
                started_at: Some(minutes_ago(5)),
                ..Default::default()
            });
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_deployment_that_ended_is_not_stuck_and_codedeploy_is_not_ours() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 180, |deployment| deployment.status = "SUCCESSFUL".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.services[0].deployment_controller = Some("CODE_DEPLOY".into());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable(rollout::OTHER_CONTROLLER)
        );
    }
}
