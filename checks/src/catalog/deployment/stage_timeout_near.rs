//! A stage of the deployment lasts so long that ECS will soon end it. Why it lasts is for other
//! checks to say.

use jiff::SignedDuration;

use crate::aws::time::{after, age, clock, words};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// One stage of a blue/green, linear or canary deployment nears the 24 hours after which ECS
    /// fails the deployment.
    ///
    /// # Why it matters
    ///
    /// When the 24 hours are over, ECS rolls back to the previous version, at an hour that nobody
    /// chose. CloudFormation itself times out after 36 hours.
    ///
    /// # How we tell
    ///
    /// The deployment is `IN_PROGRESS` and was last updated more than 20 hours ago; the API does
    /// not report when a stage began, so the last update is used instead. A pause has a time limit
    /// of its own, and a bake time that is configured to last that long ends on its own: both are
    /// skipped. Rolling deployments have no stages.
    ///
    /// # What to do
    ///
    /// Fix what keeps the stage from ending, or roll back now:
    ///
    /// ```sh
    /// aws ecs stop-service-deployment --service-deployment-arn <arn> --stop-type ROLLBACK
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `deployment_stuck`, `pause_hook_waiting`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html>
    title: "A stage is close to the 24 hours after which ECS fails it",
    severity: Medium,
    role: Risk,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on express, |snapshot| {
        crate::baseline::roll_out(snapshot, 1290, |deployment| {
            deployment.lifecycle_stage = Some("SCALE_UP".into());
            deployment.updated_at = Some(crate::baseline::minutes_ago(1280));
        });
    },
}

const LIMIT: SignedDuration = SignedDuration::from_hours(24);
const NEAR: SignedDuration = SignedDuration::from_hours(20);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| deployment.status == "IN_PROGRESS")
    else {
        return Ok(());
    };
    let (Some(stage), Some(began)) =
        (&deployment.lifecycle_stage, rollout::stage_began(deployment))
    else {
        return Ok(());
    };
    let has_stages = matches!(
        Strategy::of(&deployment.deployment_configuration),
        Strategy::BlueGreen | Strategy::Linear | Strategy::Canary
    );
    let pauses = deployment
        .lifecycle_hook_details
        .iter()
        .any(|hook| hook.status.as_deref() == Some("AWAITING_ACTION"));
    let lasts = age(patient.now(), began);
    if !has_stages || pauses || lasts < NEAR || rollout::baking(patient, deployment).is_some() {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let end = after(began, LIMIT);
    let when = if end > patient.now() {
        format!("in about {} (at {})", words(age(end, patient.now())), clock(end))
    } else {
        "any moment now".into()
    };
    let claim = format!(
        "{} has been at stage {stage} for about {}",
        rollout::name(deployment, brings),
        words(lasts)
    );
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "lifecycleStage", stage))
            .detail(format!("ECS fails a stage after 24 h and rolls back to the previous version: {when}."))
            .because_all(deployment.updated_at.map(|at| rollout::evidence(deployment, "updatedAt", at).at(Some(at))))
            .mend(
                Remedy::new("Fix what keeps the stage from ending, or roll back now, at a time of your choice.")
                    .cli(rollout::see(patient, deployment))
                    .cli(rollout::stop(deployment)),
            )
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::snapshot::deployment::HookDetail;
    use crate::snapshot::{ServiceDeployment, Snapshot};
    use crate::testing::{exam, newest_deployment, says};

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    #[test]
    fn tells_when_ecs_ends_it() {
        let expected = "The deployment of api:13 has been at stage SCALE_UP for about 21 h 20 min. ECS fails a stage after 24 h and rolls back to the previous version: in about 2 h 40 min (at 05:40 UTC).";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
        let late = example(|deployment| deployment.updated_at = Some(minutes_ago(1500)));
        assert!(says(CHECK, &late)[0].ends_with("any moment now."));
    }

    #[test]
    fn a_day_of_many_stages_is_not_a_stage_of_a_day() {
        let snapshot = example(|deployment| deployment.updated_at = Some(minutes_ago(600)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn what_ends_by_itself_is_left_alone() {
        type Edit = fn(&mut ServiceDeployment);
        let others: [(&str, Edit); 4] = [
            ("a rolling deployment has no stages", |d| {
                d.deployment_configuration.strategy = Some("ROLLING".into())
            }),
            ("a pause has its own limit", |d| {
                d.lifecycle_hook_details = vec![HookDetail {
                    status: Some("AWAITING_ACTION".into()),
                    ..HookDetail::default()
                }];
            }),
            ("a bake of a day was asked for", |d| {
                d.lifecycle_stage = Some("BAKE_TIME".into());
                d.deployment_configuration.bake_time_in_minutes = Some(1440);
            }),
            ("it is rolling back already", |d| d.status = "ROLLBACK_IN_PROGRESS".into()),
        ];
        for (why, change) in others {
            assert_eq!(exam(CHECK, &example(change)).outcome, Outcome::Healthy, "{why}");
        }
    }
}
