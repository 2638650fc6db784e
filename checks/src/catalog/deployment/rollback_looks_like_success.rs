//! After a rollback the primary deployment is COMPLETED, but it is that of the old version. A note,
//! so that a green pipeline is not mistaken for a live new version.

use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Kind, Remedy, Subject};
use crate::hcl::{Hcl, Name};
use crate::patient::Patient;
use crate::text::capitalised;
use crate::{hcl, words};

crate::check! {
    /// The service's primary deployment is `COMPLETED`, but what completed is the rollback.
    ///
    /// # Why it matters
    ///
    /// Pipelines, dashboards and Terraform that wait for a steady state report success, while the
    /// old version runs.
    ///
    /// # How we tell
    ///
    /// The newest service deployment was rolled back, its target revision is not among the
    /// service's current ones, and the primary deployment of `DescribeServices` is `COMPLETED`.
    ///
    /// # What to do
    ///
    /// Nothing to fix in the service: see `deployment_rolled_back` for the rollback. Make pipelines
    /// check the status of the service deployment:
    ///
    /// ```sh
    /// aws ecs describe-service-deployments --service-deployment-arns <arn> --query 'serviceDeployments[0].status'
    /// ```
    ///
    /// Terraform/OpenTofu: `wait_for_steady_state = true` of `aws_ecs_service`, with a
    /// `postcondition` that `self.task_definition` is the intended one.
    ///
    /// # See also
    ///
    /// `deployment_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    title: "COMPLETED is the state of the rollback",
    severity: Info,
    role: Note,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on fargate, |snapshot| {
        *snapshot = (super::deployment_rolled_back::CHECK.example)();
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::newest(patient)?.filter(|deployment| rollback::is_done(deployment))
    else {
        return Ok(());
    };
    let service = patient.service();
    let Some(primary) = service.primary() else {
        return Ok(());
    };
    let is_live = deployment
        .target_service_revision
        .as_ref()
        .is_some_and(|target| service.current_service_revisions.contains(&target.arn));
    if primary.rollout_state.as_deref() != Some("COMPLETED") || is_live {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let runs = primary.task_definition.as_deref().map_or("the previous version", rollout::short);
    let claim = format!("the primary deployment is COMPLETED, but that is the rollback to {runs}");
    let failed = format!("{} did not succeed.", capitalised(&rollout::name(deployment, brings)));
    let remedy = Remedy::new(
        "Make pipelines check the status of the service deployment, not of the service.",
    )
    .cli(rollout::see(patient, deployment).and(words!("--query serviceDeployments[0].status")));
    let remedy =
        if patient.is_express() { remedy } else { remedy.terraform(postcondition(patient.name())) };
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "status", &deployment.status))
            .detail(failed)
            .because(patient.evidence("deployments.rolloutState", "COMPLETED"))
            .because_all(
                primary
                    .task_definition
                    .as_ref()
                    .map(|definition| patient.evidence("deployments.taskDefinition", definition)),
            )
            .mend(remedy)
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

fn postcondition(name: &str) -> Hcl {
    hcl!(
        r#"
        resource "aws_ecs_service" {} {
          wait_for_steady_state = true
          lifecycle {
            postcondition {
              condition     = self.task_definition == aws_ecs_task_definition.{}.arn
              error_message = "The deployment was rolled back."
            }
          }
        }"#,
        name,
        Name(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::testing::{exam, says};

    #[test]
    fn says_which_version_was_completed() {
        let expected = "The primary deployment is COMPLETED, but that is the rollback to api:12. The deployment of api:13 did not succeed.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
    }

    #[test]
    fn a_rollback_still_in_progress_looks_like_none() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployments[0].rollout_state = Some("IN_PROGRESS".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_success_is_a_success() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&arn).unwrap()[0].status = "SUCCESSFUL".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_version_that_is_current_was_not_taken_back() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let target = snapshot.service_deployments.change(&arn).unwrap()[0]
            .target_service_revision
            .clone()
            .unwrap()
            .arn;
        snapshot.services[0].current_service_revisions.push(target);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
