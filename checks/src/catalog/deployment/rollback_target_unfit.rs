//! The version that ECS rolls back to, or would, cannot start or become healthy: its image is gone,
//! or it fails today's health check, which is not its own. That the rollback failed is for
//! `rollback_failed` to report.

use crate::aws::image::{self, short};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::{Word, Words};
use crate::facts::deployment::{rollback, rollout};
use crate::facts::image::pinned;
use crate::facts::tasks::stop;
use crate::facts::tasks::stop::StopKind;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::deployment::ContainerImage;
use crate::snapshot::{ManagedTargetGroup, Revision, ServiceDeployment, TargetGroup, Task};
use crate::text::{count, parsed};
use crate::{aws, hcl, words};

crate::check! {
    /// The newest deployment fails, and the previous version cannot take its place.
    ///
    /// # Why it matters
    ///
    /// A rollback is only as good as the version it restores. If the image that this version has
    /// pinned is deleted, its tasks cannot start; the old tasks that still run are all there is.
    ///
    /// # How we tell
    ///
    /// ECS is rolling back or could not, or the circuit breaker has begun to count failures of the
    /// new version; and ECR does not have the digest that the revision to roll back to has pinned.
    /// Or, in a rollback, the target group's health check requests another path or port than this
    /// revision was made for, and its tasks have failed that check since. The latter is known for
    /// Express services only, whose revisions contain their health check.
    ///
    /// # What to do
    ///
    /// Deploy the old version again, so that ECS resolves its tag; if the tag is gone too, push the
    /// image first:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family:revision> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: a rule in `aws_ecr_lifecycle_policy` that keeps the last versions.
    ///
    /// # See also
    ///
    /// `rollback_failed`, `digest_gone`, `circuit_breaker_stalled`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The version to roll back to cannot start or become healthy",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck, RollbackFailed],
    applies: [DeployedByEcs],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeImages, BatchGetImage, DescribeTargetGroups, DescribeTasks,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, id, minutes_ago, roll_out};
        use crate::snapshot::deployment::Rollback;
        use crate::snapshot::image::PinnedImage;
        roll_out(snapshot, 50, |deployment| {
            deployment.status = "ROLLBACK_FAILED".into();
            let old = deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.rollback = Some(Rollback { reason: None, started_at: Some(minutes_ago(35)), service_revision_arn: old });
        });
        let [live, _] = express_groups();
        snapshot.target_groups.change(&live).into_iter().for_each(|group| group.health_check_path = Some("/ready".into()));
        snapshot.images.change(&id::image("api:1.4.2")).into_iter().for_each(|tag| tag.image_digest = id::digest(2));
        let key = image::by_digest(&id::image("api"), &id::digest(1));
        snapshot.pinned_images.put(key, PinnedImage { image_digest: id::digest(1), failure_code: Some("ImageNotFound".into()) });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::newest(patient)?
        .filter(|deployment| rollback::is_open(deployment) || fails(deployment))
    else {
        return Ok(());
    };
    let is_target = |arn: &&str| {
        deployment.target_service_revision.as_ref().is_none_or(|target| target.arn != *arn)
    };
    let Some(back) = rollout::back_to(deployment).filter(is_target) else { return Ok(()) };
    let Some(revision) = patient.revision(back)? else { return Ok(()) };
    for container in &revision.container_images {
        if let Some(Some(proof)) = findings.see(pinned::gone(patient, container)) {
            tell_gone(patient, findings, deployment, revision, container, proof);
        }
    }
    if rollback::is_open(deployment) {
        fails_health_check(patient, findings, deployment, revision)?;
    }
    Ok(())
}

/// Whether the breaker has begun to count: then a rollback is next.
fn fails(deployment: &ServiceDeployment) -> bool {
    let breaker = deployment.deployment_circuit_breaker.as_ref();
    deployment.status == "IN_PROGRESS" && breaker.is_some_and(|breaker| breaker.failure_count > 0)
}

/// `ECS is rolling back to api:12`, as far as it has come.
fn way_back(deployment: &ServiceDeployment, revision: &Revision) -> String {
    let version =
        revision.task_definition.as_deref().map_or("the previous version", rollout::short);
    match deployment.status.as_str() {
        "IN_PROGRESS" => format!("ECS would roll back to {version}"),
        "ROLLBACK_FAILED" => format!("ECS tried to roll back to {version}"),
        _ => format!("ECS is rolling back to {version}"),
    }
}

fn tell_gone(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
    revision: &Revision,
    container: &ContainerImage,
    proof: Evidence,
) {
    let Some((image, digest)) = pinned::pinned(container) else { return };
    let claim = format!(
        "{}, but the image that it pinned, {} of {}, is no longer in ECR: none of its tasks can start",
        way_back(deployment, revision),
        short(digest),
        image.repository
    );
    let pinned = Evidence::new(
        Call::DescribeServiceRevisions,
        &revision.service_revision_arn,
        "containerImages.imageDigest",
        digest,
    );
    let finding = Subject::new(Kind::Revision, &revision.service_revision_arn)
        .sick(claim, proof)
        .because(pinned);
    add(patient, findings, deployment, revision, finding, deploy_anew(patient, revision));
}

fn deploy_anew(patient: &Patient, revision: &Revision) -> Remedy {
    let version = revision.task_definition.as_deref().map(rollout::short);
    let definition = version.map_or(Word::needed("TASK_DEFINITION"), Word::new);
    let deploy = words!("--task-definition {} --force-new-deployment", definition);
    let remedy = Remedy::new("Deploy that version again, so that ECS resolves its tag; if the tag is gone too, push the image first.")
        .cli(patient.update_service().and(deploy));
    if patient.is_express() {
        return remedy;
    }
    remedy.terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          task_definition      = {}
          force_new_deployment = true
        }"#,
        patient.name(),
        version.unwrap_or("<family:revision>")
    ))
}

fn add(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
    revision: &Revision,
    finding: Finding,
    remedy: Remedy,
) {
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let versions = brings.into_iter().chain(revision.task_definition.as_deref());
    findings.add(
        finding
            .because(rollout::evidence(deployment, "status", &deployment.status))
            .mend(remedy)
            .concerns_all(Kind::TaskDefinition, versions),
    );
}

/// What a health check was, and what it is now.
struct OtherCheck<'a> {
    paths: Option<(&'a str, &'a str)>,
    /// Only where both are named: `traffic-port` may be any.
    ports: Option<(i32, i32)>,
}

impl<'a> OtherCheck<'a> {
    fn of(managed: &'a ManagedTargetGroup, group: &'a TargetGroup) -> Option<OtherCheck<'a>> {
        let paths = managed.health_check_path.as_deref().zip(group.health_check_path.as_deref());
        let ports =
            managed.health_check_port.zip(group.health_check_port.as_deref().and_then(parsed));
        let other = OtherCheck {
            paths: paths.filter(|(then, now)| then != now),
            ports: ports.filter(|(then, now)| then != now),
        };
        (other.paths.is_some() || other.ports.is_some()).then_some(other)
    }

    /// `/health`, `port 8080`, `/health on port 8080`; as it was, or as it is.
    fn words(&self, now: bool) -> String {
        let path = self.paths.map(|(then, today)| if now { today } else { then });
        let port = self.ports.map(|(then, today)| if now { today } else { then });
        match (path, port) {
            (Some(path), Some(port)) => format!("{path} on port {port}"),
            (Some(path), None) => path.to_owned(),
            (None, port) => format!("port {}", port.unwrap_or_default()),
        }
    }

    fn evidence(&self, revision: &str, group: &str) -> Vec<Evidence> {
        let then = |field, value: &dyn ToString| {
            Evidence::new(Call::DescribeServiceRevisions, revision, field, value.to_string())
        };
        let now = |field, value: &dyn ToString| {
            Evidence::new(Call::DescribeTargetGroups, group, field, value.to_string())
        };
        let mut evidence = Vec::new();
        if let Some((path, today)) = &self.paths {
            evidence
                .push(then("ecsManagedResources.ingressPaths.targetGroups.healthCheckPath", path));
            evidence.push(now("HealthCheckPath", today));
        }
        if let Some((port, today)) = &self.ports {
            evidence
                .push(then("ecsManagedResources.ingressPaths.targetGroups.healthCheckPort", port));
            evidence.push(now("HealthCheckPort", today));
        }
        evidence
    }

    fn remedy(&self, group: &str) -> Remedy {
        let path =
            self.paths.map_or(Words::default(), |(path, _)| words!("--health-check-path {}", path));
        let port =
            self.ports.map_or(Words::default(), |(port, _)| words!("--health-check-port {}", port));
        let modify = aws!("elbv2 modify-target-group --target-group-arn {}", group);
        Remedy::new(format!(
            "Set the health check back to {} until the old version is back.",
            self.words(false)
        ))
        .cli(modify.and(path).and(port))
    }
}

/// Tasks of the old version that fail a health check which is not the one that it was made for.
fn fails_health_check(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
    revision: &Revision,
) -> Result<(), Blind> {
    let (Some(version), Some(since)) =
        (revision.task_definition.as_deref(), rollback::started(deployment))
    else {
        return Ok(());
    };
    for managed in revision.ingress_paths.iter().flat_map(|path| &path.target_groups) {
        let Some(arn) = managed.arn.as_deref() else { continue };
        let Some(group) = patient.target_group(arn)? else { continue };
        let Some(other) = OtherCheck::of(managed, group) else { continue };
        let of_group = |task: &&Task| matches!(StopKind::of(task), StopKind::BalancerHealthCheck { group } if group == arn);
        let its_own = |task: &&Task| {
            task.task_definition_arn == version
                && task.created_at.is_some_and(|created| created >= since)
        };
        let failed: Vec<&Task> =
            patient.stopped_tasks()?.iter().filter(its_own).filter(of_group).collect();
        let Some(newest) = failed.first() else { continue };
        let claim = format!(
            "{}, which was made for a health check of {}; target group {} now checks {}, and {} of that version failed it since",
            way_back(deployment, revision),
            other.words(false),
            group.target_group_name,
            other.words(true),
            count(failed.len(), "task")
        );
        let finding = Subject::new(Kind::Revision, &revision.service_revision_arn)
            .sick(claim, stop::evidence(newest))
            .because_all(other.evidence(&revision.service_revision_arn, arn))
            .concerns(Kind::TargetGroup, arn);
        add(patient, findings, deployment, revision, finding, other.remedy(arn));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, id, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::snapshot::deployment::Rollback;
    use crate::testing::{exam, newest_deployment, says};

    #[test]
    fn says_what_is_gone() {
        let expected = "ECS tried to roll back to api:12, but the image that it pinned, sha256:111111111111 of api, is no longer in ECR: none of its tasks can start.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
    }

    #[test]
    fn a_failing_deployment_is_warned_before_it_goes_back() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status = "IN_PROGRESS".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "nothing has failed yet");
        newest_deployment(&mut snapshot)
            .deployment_circuit_breaker
            .iter_mut()
            .for_each(|breaker| breaker.failure_count = 1);
        assert!(says(CHECK, &snapshot)[0].starts_with("ECS would roll back to api:12"));
    }

    #[test]
    fn a_digest_that_the_tag_still_has_is_there() {
        let mut snapshot = (CHECK.example)();
        snapshot.images.change(&id::image("api:1.4.2")).unwrap().image_digest = id::digest(1);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_digest_that_the_tag_has_left_may_still_be_there() {
        let mut snapshot = (CHECK.example)();
        let key = image::by_digest(&id::image("api"), &id::digest(1));
        snapshot.pinned_images.change(&key).unwrap().failure_code = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.pinned_images.change(&key).unwrap().failure_code = Some("KmsError".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "that is no proof");
        snapshot.pinned_images.insert(&key, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_rollback_that_is_done_had_what_it_needed() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status = "ROLLBACK_SUCCESSFUL".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn it_is_why_the_rollback_failed() {
        use crate::diagnosis::diagnose;
        use crate::patient::Intent;
        let snapshot = (CHECK.example)();
        let diagnosis =
            diagnose(&Patient::new(&snapshot, &snapshot.services[0], &Intent::default()));
        assert_eq!(diagnosis.roots[0].check.id(), "rollback_target_unfit");
        assert_eq!(diagnosis.roots[0].explains[0].check.id(), "rollback_failed");
    }

    /// An Express service rolls back, and its health check is another by now.
    fn other_check(path: &str, failed: bool) -> Snapshot {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 50, |deployment| {
            deployment.status = "ROLLBACK_IN_PROGRESS".into();
            let old =
                deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.rollback = Some(Rollback {
                reason: None,
                started_at: Some(minutes_ago(35)),
                service_revision_arn: old,
            });
        });
        let [live, _] = express_groups();
        snapshot.target_groups.change(&live).unwrap().health_check_path = Some(path.into());
        let arn = snapshot.services[0].service_arn.clone();
        let task = Task {
            task_arn: id::ecs("task/default/7"),
            task_definition_arn: id::ecs("task-definition/api:12"),
            stopped_reason: Some(format!("Task failed ELB health checks in (target-group {live})")),
            created_at: Some(minutes_ago(20)),
            stopped_at: Some(minutes_ago(15)),
            ..Task::default()
        };
        snapshot.stopped_tasks.put(&arn, if failed { vec![task] } else { Vec::new() });
        snapshot
    }

    #[test]
    fn an_old_version_may_not_know_todays_health_check() {
        let expected = "ECS is rolling back to api:12, which was made for a health check of /health; target group ecs-gateway-tg-1a2b3c4d5e6f70001 now checks /ready, \
                        and 1 task of that version failed it since.";
        assert_eq!(says(CHECK, &other_check("/ready", true)), [expected]);
        assert_eq!(
            exam(CHECK, &other_check("/ready", false)).outcome,
            Outcome::Healthy,
            "none of its tasks has failed it"
        );
        assert_eq!(
            exam(CHECK, &other_check("/health", true)).outcome,
            Outcome::Healthy,
            "it failed its own check: that is another trouble"
        );
    }

    #[test]
    fn another_port_is_another_health_check_too() {
        let with_port = |port: &str| {
            let mut snapshot = other_check("/health", true);
            let [live, _] = express_groups();
            snapshot.target_groups.change(&live).unwrap().health_check_port = Some(port.into());
            snapshot
        };
        let made_for = with_port("traffic-port").revisions.0.values().find_map(|row| match row {
            Seen::Yes(Some(revision)) => {
                revision.ingress_paths[0].target_groups[0].health_check_port
            }
            _ => None,
        });
        let port = made_for.expect("Express names it");
        let exam_of = |port: &str| exam(CHECK, &with_port(port));
        assert!(
            exam_of("9000").findings[0]
                .says()
                .contains(&format!("a health check of port {port}; target group")),
            "{:?}",
            exam_of("9000").findings
        );
        assert!(
            exam_of("9000").findings[0].remedy.shell()[0]
                .ends_with(&format!(" --health-check-port {port}"))
        );
        assert_eq!(exam_of("traffic-port").outcome, Outcome::Healthy, "that is likely the same");
        assert_eq!(exam_of(&port.to_string()).outcome, Outcome::Healthy);
    }
}
