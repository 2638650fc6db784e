//! Old and new tasks run side by side because the deployment strategy requires it. A note, so that
//! nobody mistakes the old tasks for leftovers.

use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::count;

crate::check! {
    /// A canary, linear or blue/green deployment keeps the old version running alongside the new
    /// one until its bake time is over.
    ///
    /// # Why it matters
    ///
    /// Twice the tasks run, and requests may be served by either version. That is what these
    /// strategies are for; stopping the old tasks removes what ECS would roll back to.
    ///
    /// # How we tell
    ///
    /// The newest service deployment is under way with one of these strategies, between its test
    /// traffic and the end of its bake time, and tasks of both revisions run. A rolling deployment
    /// does not count: it never keeps both for long.
    ///
    /// # What to do
    ///
    /// Wait; `baking` says until when, `deployment_stuck` whether it takes too long. To see the
    /// share of the traffic:
    ///
    /// ```sh
    /// aws ecs describe-service-deployments --service-deployment-arns <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: `strategy` in `deployment_configuration` of `aws_ecs_service`, to choose
    /// another strategy.
    ///
    /// # See also
    ///
    /// `baking`, `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html>
    title: "Both versions run on purpose",
    severity: Info,
    role: Note,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on express, |snapshot| {
        crate::baseline::roll_out(snapshot, 6, |deployment| {
            deployment.lifecycle_stage = Some("PRODUCTION_TRAFFIC_SHIFT".into());
            deployment.target_service_revision.iter_mut().for_each(|target| target.requested_production_traffic_weight = Some(5.0));
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| deployment.status == "IN_PROGRESS")
    else {
        return Ok(());
    };
    let strategy = Strategy::of(&deployment.deployment_configuration);
    let on_purpose = matches!(strategy, Strategy::BlueGreen | Strategy::Linear | Strategy::Canary)
        && rollout::shifts_traffic(deployment);
    let old: i32 = deployment
        .source_service_revisions
        .iter()
        .map(|revision| revision.running_task_count)
        .fold(0, i32::saturating_add);
    let Some(target) = deployment
        .target_service_revision
        .as_ref()
        .filter(|target| on_purpose && old > 0 && target.running_task_count > 0)
    else {
        return Ok(());
    };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let share = target.requested_production_traffic_weight.map_or_else(String::new, |weight| {
        format!(", and the new version gets {weight} % of the traffic")
    });
    let stage = deployment.lifecycle_stage.as_deref().unwrap_or_default();
    let claim = format!(
        "{} runs both versions on purpose, as its {} strategy requires: {} and {} new",
        rollout::name(deployment, brings),
        strategy,
        count(old, "old task"),
        target.running_task_count
    );
    let weight = target.requested_production_traffic_weight;
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "lifecycleStage", stage))
            .detail(format!("It is at stage {stage}{share}."))
            .because_all(
                deployment
                    .deployment_configuration
                    .strategy
                    .as_ref()
                    .map(|s| rollout::evidence(deployment, "deploymentConfiguration.strategy", s)),
            )
            .because_all(deployment.source_service_revisions.iter().map(|old| {
                rollout::evidence(
                    deployment,
                    "sourceServiceRevisions.runningTaskCount",
                    old.running_task_count,
                )
            }))
            .because(rollout::evidence(
                deployment,
                "targetServiceRevision.runningTaskCount",
                target.running_task_count,
            ))
            .because_all(weight.map(|weight| {
                rollout::evidence(
                    deployment,
                    "targetServiceRevision.requestedProductionTrafficWeight",
                    weight,
                )
            }))
            .mend(
                Remedy::new("Leave the old tasks alone: ECS stops them when the deployment ends.")
                    .cli(rollout::see(patient, deployment)),
            )
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::snapshot::{ServiceDeployment, Snapshot};
    use crate::testing::{exam, newest_deployment, says};

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    #[test]
    fn tells_strategy_tasks_and_share() {
        let expected = "The deployment of api:13 runs both versions on purpose, as its canary strategy requires: 2 old tasks and 2 new. It is at stage \
                        PRODUCTION_TRAFFIC_SHIFT, and the new version gets 5 % of the traffic.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn one_task_is_no_plural() {
        let snapshot = example(|deployment| {
            deployment
                .source_service_revisions
                .iter_mut()
                .for_each(|old| old.running_task_count = 1)
        });
        assert!(says(CHECK, &snapshot)[0].contains("requires: 1 old task and 2 new."));
    }

    #[test]
    fn a_rolling_deployment_has_no_such_purpose() {
        let snapshot = example(|deployment| deployment.deployment_configuration.strategy = None);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn before_and_after_the_shift_there_is_nothing_to_note() {
        for stage in [Some("SCALE_UP"), Some("CLEAN_UP"), None] {
            let snapshot =
                example(|deployment| deployment.lifecycle_stage = stage.map(str::to_owned));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{stage:?}");
        }
    }

    #[test]
    fn a_first_deployment_has_one_version_only() {
        let snapshot = example(|deployment| deployment.source_service_revisions.clear());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_deployment_that_ended_or_goes_back_is_another_matter() {
        for status in ["SUCCESSFUL", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED"] {
            let snapshot = example(|deployment| deployment.status = status.into());
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{status}");
        }
    }
}
