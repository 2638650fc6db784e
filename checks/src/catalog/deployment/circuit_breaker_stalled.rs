//! The new version failed, the rollback failed too, and now ECS starts no more tasks. A first
//! deployment, which has nothing to roll back to, is for `rollback_failed` to report.

use crate::aws::event::{self, Event};
use crate::aws::image;
use crate::aws::time::{age, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::deployment::{rollback, rollout};
use crate::facts::image::pinned;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::snapshot::deployment::ContainerImage;
use crate::snapshot::{Deployment, ServiceDeployment};
use crate::{hcl, words};

crate::check! {
    /// The circuit breaker rolled back to the previous version, that one failed too, and no
    /// completed deployment is left.
    ///
    /// # Why it matters
    ///
    /// With no completed deployment to roll back to, the breaker starts no new tasks: the service
    /// stays as it is, with too few tasks or none, until somebody deploys.
    ///
    /// # How we tell
    ///
    /// The newest service deployment is rolling back to a version, or could not; the primary
    /// deployment of the service is `FAILED`, and none of its deployments is `COMPLETED`; the
    /// circuit breaker is on. Where ECS found no version to roll back to, this is not a stalled
    /// rollback but a first deployment.
    ///
    /// # What to do
    ///
    /// Deploy a known good version:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family:revision> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `task_definition` and `force_new_deployment = true` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `rollback_failed`, `rollback_target_unfit`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    title: "The rollback failed too, and ECS starts no more tasks",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck, TooFewRunning],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, ListServiceDeployments, DescribeImages, BatchGetImage],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, roll_out};
        use crate::snapshot::PinnedImage;
        use crate::snapshot::deployment::Rollback;
        roll_out(snapshot, 60, |deployment| {
            deployment.status = "ROLLBACK_IN_PROGRESS".into();
            let old = deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.rollback = Some(Rollback { reason: None, started_at: Some(minutes_ago(40)), service_revision_arn: old });
        });
        let service = &mut snapshot.services[0];
        service.running_count = 0;
        for deployment in &mut service.deployments {
            deployment.rollout_state = Some("FAILED".into());
            deployment.running_count = 0;
        }
        // The tag has moved on, and what the old version has pinned is still there.
        snapshot.images.change(&id::image("api:1.4.2")).into_iter().for_each(|tag| tag.image_digest = id::digest(2));
        let pinned = PinnedImage { image_digest: id::digest(1), failure_code: None };
        snapshot.pinned_images.put(image::by_digest(&id::image("api"), &id::digest(1)), pinned);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let Some(primary) = service.primary() else {
        return Ok(());
    };
    let is =
        |deployment: &Deployment, state: &str| deployment.rollout_state.as_deref() == Some(state);
    let breaker_is_on = service
        .deployment_configuration
        .deployment_circuit_breaker
        .as_ref()
        .is_some_and(|breaker| breaker.enable);
    if !breaker_is_on
        || !is(primary, "FAILED")
        || service.deployments.iter().any(|deployment| is(deployment, "COMPLETED"))
    {
        return Ok(());
    }
    let Some(deployment) =
        rollout::newest(patient)?.filter(|deployment| rollback::is_open(deployment))
    else {
        return Ok(());
    };
    let Some(goes_back) = goes_back(patient, deployment) else { return Ok(()) };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let back = rollout::back_to(deployment)
        .and_then(|revision| findings.see(rollout::task_definition(patient, revision)).flatten());
    let to = back.map_or("the previous version", rollout::short);
    let since = rollback::started(deployment)
        .map_or_else(String::new, |at| format!(" {} ago", words(age(patient.now(), at))));
    let claim = format!(
        "{} failed, ECS began to roll back to {to}{since}, and that failed too",
        rollout::name(deployment, brings)
    );
    let detail = format!(
        "No deployment of the service is COMPLETED, so the circuit breaker starts no more tasks: {} of {} run.",
        service.running_count, service.desired_count
    );
    let good = findings.see(rollback::last_success(patient)).flatten();
    let version = good.and_then(|listed| listed.target_service_revision_arn.as_deref());
    let version = version.and_then(|revision| findings.see(patient.revision(revision)).flatten());
    // What was good then is of no use now if its image is gone.
    let gone =
        |image: &ContainerImage| findings.see(pinned::gone(patient, image)).flatten().is_some();
    let is_gone = version.is_some_and(|revision| revision.container_images.iter().any(gone));
    let version =
        version.filter(|_| !is_gone).and_then(|revision| revision.task_definition.as_deref());
    let definition = version
        .map_or(Word::needed("TASK_DEFINITION"), |version| Word::new(rollout::short(version)));
    let which = if is_gone {
        "a version whose image still exists (the image of the last good one does not)"
    } else {
        "a known good version"
    };
    let remedy =
        Remedy::new(format!("Deploy {which}: only a new deployment makes ECS start tasks again."))
            .cli(
                patient
                    .update_service()
                    .and(words!("--task-definition {} --force-new-deployment", definition)),
            );
    let remedy =
        if patient.is_express() { remedy } else { remedy.terraform(forced(patient.name())) };
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "status", &deployment.status))
            .detail(detail)
            .because(patient.evidence("deployments.rolloutState", "FAILED"))
            .because(goes_back)
            .because_all(good.map(|listed| {
                Evidence::new(
                    Call::ListServiceDeployments,
                    &listed.service_deployment_arn,
                    "status",
                    &listed.status,
                )
            }))
            .mend(remedy)
            .since(rollback::started(deployment))
            .concerns_all(Kind::TaskDefinition, brings.into_iter().chain(back)),
    );
    Ok(())
}

/// The proof that there was a version to roll back to.
fn goes_back(patient: &Patient, deployment: &ServiceDeployment) -> Option<Evidence> {
    let revision =
        deployment.rollback.as_ref().and_then(|rollback| rollback.service_revision_arn.as_ref());
    let began = rollout::started(deployment)?;
    let mut events = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= began));
    let event =
        events.find(|event| matches!(event::read(&event.message), Event::RollingBackTo { .. }));
    revision
        .map(|revision| rollout::evidence(deployment, "rollback.serviceRevisionArn", revision))
        .or_else(|| {
            event.map(|event| {
                patient.evidence("events.message", &event.message).at(event.created_at)
            })
        })
}

fn forced(name: &str) -> Hcl {
    hcl!(
        r#"
        resource "aws_ecs_service" {} {
          task_definition      = "<family:revision>"
          force_new_deployment = true
        }"#,
        name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn deployment(snapshot: &mut Snapshot) -> &mut ServiceDeployment {
        let arn = snapshot.services[0].service_arn.clone();
        &mut snapshot.service_deployments.change(&arn).unwrap()[0]
    }

    #[test]
    fn tells_both_versions_and_what_runs() {
        let expected = "The deployment of api:13 failed, ECS began to roll back to api:12 40 min ago, and that failed too. No deployment of the service is COMPLETED, so the circuit breaker starts no more tasks: 0 of 2 run.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
        let good = "aws ecs update-service --cluster prod --service api --task-definition api:12 --force-new-deployment";
        assert_eq!(exam(CHECK, &(CHECK.example)()).findings[0].remedy.shell(), [good]);
    }

    #[test]
    fn a_good_version_without_its_image_is_not_recommended() {
        use crate::baseline::id;
        use crate::snapshot::PinnedImage;
        let mut snapshot = (CHECK.example)();
        snapshot.images.insert(id::image("api:1.4.2"), crate::seen::Seen::Yes(None));
        let gone =
            PinnedImage { image_digest: id::digest(1), failure_code: Some("ImageNotFound".into()) };
        snapshot.pinned_images.put(image::by_digest(&id::image("api"), &id::digest(1)), gone);
        let remedy = exam(CHECK, &snapshot).findings[0].remedy.clone();
        assert!(remedy.summary.contains("whose image still exists"), "{}", remedy.summary);
        assert!(remedy.shell()[0].contains("--task-definition \"$TASK_DEFINITION\""), "{remedy:?}");
    }

    #[test]
    fn a_first_deployment_that_fails_is_no_stalled_rollback() {
        let mut snapshot = (CHECK.example)();
        deployment(&mut snapshot).status = "ROLLBACK_FAILED".into();
        deployment(&mut snapshot).rollback = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_event_tells_that_there_was_a_way_back() {
        let mut snapshot = (CHECK.example)();
        deployment(&mut snapshot).rollback = None;
        snapshot.services[0].events[0].message =
            "(service api) rolling back to deployment ecs-svc/1000000000000000012.".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        snapshot.services[0].events[0].created_at = Some(crate::baseline::minutes_ago(1440));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "that was another deployment");
    }

    #[test]
    fn a_rollback_that_still_goes_on_is_not_stalled() {
        for state in ["IN_PROGRESS", "COMPLETED"] {
            let mut snapshot = (CHECK.example)();
            snapshot.services[0].deployments[0].rollout_state = Some(state.into());
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{state}");
        }
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployments[1].rollout_state = Some("COMPLETED".into());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "an older deployment is completed, ECS can roll back to it"
        );
    }

    #[test]
    fn without_a_breaker_ecs_goes_on_starting_tasks() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_configuration.deployment_circuit_breaker = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
