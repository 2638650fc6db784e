//! The deployment waits on purpose and will continue on its own. A note that says until when, so
//! that nobody stops a deployment that behaves as configured.

use crate::aws::time::{age, clock, words};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// The new version runs, and ECS watches its alarms for the configured time before it
    /// continues.
    ///
    /// # Why it matters
    ///
    /// For minutes, or up to a day, the deployment is `IN_PROGRESS` while all tasks run and nothing
    /// happens. That is normal; stopping it discards a good deployment.
    ///
    /// # How we tell
    ///
    /// The newest service deployment is at `BAKE_TIME`, or a canary or linear one shifts part of
    /// the traffic, for less than the bake time configured for that stage. Or a rolling deployment
    /// with alarms has all its tasks running: AWS then waits "less than five minutes" unless a bake
    /// time is configured. The API does not report when a stage began; the deployment's last update
    /// is used instead, so the end is approximate.
    ///
    /// # What to do
    ///
    /// Wait. To see its progress:
    ///
    /// ```sh
    /// aws ecs describe-service-deployments --service-deployment-arns <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: `bake_time_in_minutes` in `deployment_configuration` of
    /// `aws_ecs_service`, for the next time.
    ///
    /// # See also
    ///
    /// `deployment_stuck`, `both_versions_running`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html>
    title: "The deployment is in its bake time, and its end is known",
    severity: Info,
    role: Note,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on express, |snapshot| {
        crate::baseline::roll_out(snapshot, 9, |deployment| {
            deployment.lifecycle_stage = Some("BAKE_TIME".into());
            deployment.updated_at = Some(crate::baseline::minutes_ago(1));
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::under_way(patient)? else { return Ok(()) };
    let Some(bake) = rollout::baking(patient, deployment) else { return Ok(()) };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let name = rollout::name(deployment, brings);
    let left = words(age(bake.ends, patient.now()));
    let claim = if bake.configured {
        format!(
            "{name} is in its configured bake time of {}, which ends at about {}, in {left}",
            words(bake.length),
            clock(bake.ends)
        )
    } else {
        format!(
            "{name} has all its tasks running; ECS watches its alarms before it completes the deployment, by default for less than 5 min"
        )
    };
    let stage = deployment
        .lifecycle_stage
        .as_ref()
        .map(|stage| rollout::evidence(deployment, "lifecycleStage", stage));
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "status", &deployment.status))
            .because_all(stage)
            .because_all(
                deployment.updated_at.map(|at| rollout::evidence(deployment, "updatedAt", at)),
            )
            .mend(
                Remedy::new(format!("Wait until about {}.", clock(bake.ends)))
                    .cli(rollout::see(patient, deployment)),
            )
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::snapshot::service::DeploymentAlarms;
    use crate::snapshot::{ServiceDeployment, Snapshot};
    use crate::testing::{exam, says};

    fn express(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 9, |deployment| {
            deployment.updated_at = Some(minutes_ago(2));
            change(deployment);
        });
        snapshot
    }

    fn rolling(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 9, |deployment| {
            deployment.deployment_configuration.alarms = Some(DeploymentAlarms {
                alarm_names: vec!["errors".into()],
                enable: true,
                rollback: true,
            });
            change(deployment);
        });
        snapshot
    }

    #[test]
    fn says_when_it_ends() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The deployment of api:13 is in its configured bake time of 3 min, which ends at about 03:02 UTC, in 2 min."
            ]
        );
    }

    #[test]
    fn a_canary_bakes_while_it_has_part_of_the_traffic() {
        let shift = |weight| {
            express(|deployment| {
                deployment.lifecycle_stage = Some("PRODUCTION_TRAFFIC_SHIFT".into());
                deployment
                    .target_service_revision
                    .iter_mut()
                    .for_each(|target| target.requested_production_traffic_weight = Some(weight));
            })
        };
        assert_eq!(exam(CHECK, &shift(5.0)).outcome, Outcome::Sick);
        assert_eq!(exam(CHECK, &shift(100.0)).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_bake_that_is_over_is_no_excuse() {
        let snapshot = express(|deployment| {
            deployment.lifecycle_stage = Some("BAKE_TIME".into());
            deployment.updated_at = Some(minutes_ago(4));
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn tasks_that_still_start_do_not_bake() {
        let snapshot = express(|deployment| deployment.lifecycle_stage = Some("SCALE_UP".into()));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rolling_deployment_with_alarms_bakes_once_all_its_tasks_run() {
        let mut snapshot = rolling(|_| ());
        assert!(says(CHECK, &snapshot)[0].contains("by default for less than 5 min"));
        assert!(
            says(
                CHECK,
                &rolling(|deployment| deployment.deployment_configuration.bake_time_in_minutes =
                    Some(20))
            )[0]
            .contains("bake time of 20 min")
        );
        snapshot.services[0].deployments[0].running_count = 1;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_alarms_a_rolling_deployment_does_not_bake() {
        let snapshot = rolling(|deployment| deployment.deployment_configuration.alarms = None);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rollback_does_not_bake() {
        let snapshot = express(|deployment| {
            deployment.lifecycle_stage = Some("BAKE_TIME".into());
            deployment.status = "ROLLBACK_IN_PROGRESS".into();
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
