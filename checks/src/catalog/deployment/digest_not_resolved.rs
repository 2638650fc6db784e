//! ECS could not resolve the tag of an image to a digest, so it pins none. Why is for the image
//! checks to say: the tag is gone, the registry refuses or cannot be reached.

use jiff::SignedDuration;

use crate::aws::arn;
use crate::aws::time::age;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::deployment::ContainerImage;
use crate::snapshot::{Revision, TaskDefinition};
use crate::words;

crate::check! {
    /// A revision of the service has an image by tag and no digest for it: ECS tried three times to
    /// resolve the tag.
    ///
    /// # Why it matters
    ///
    /// Without a digest there is no version consistency: each task pulls what the tag points to at
    /// that moment, so tasks of one version may run different code. With the circuit breaker on,
    /// such a deployment fails as a whole.
    ///
    /// # How we tell
    ///
    /// `containerImages[].imageDigest` of the revision is absent, its image is referenced by tag,
    /// and its task definition has that container and does not turn `versionConsistency` off. A
    /// service scaled to zero resolves nothing, a revision of the last few minutes may not have got
    /// that far, and containers that ECS adds (GuardDuty, Service Connect) are never resolved:
    /// these are skipped.
    ///
    /// # What to do
    ///
    /// Fix what keeps the registry from resolving the tag, then deploy again:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Better, reference the image by its digest. Terraform/OpenTofu: `image =
    /// "${repository}@${digest}"` in `container_definitions` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `mixed_digests`, `digest_gone`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "ECS could not resolve the image tag to a digest",
    severity: Medium,
    role: Symptom,
    shows: DigestNotResolved,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTaskDefinition],
    example: on fargate, |snapshot| {
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).into_iter().for_each(|revision| revision.container_images[0].image_digest = None);
    },
}

/// ECS resolves tags when the first tasks start.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if patient.service().desired_count == 0 {
        return Err(NoAnswer::NotApplicable("the service is scaled to zero: no tag is resolved"));
    }
    for revision in revisions(patient)? {
        let settled =
            revision.created_at.is_none_or(|created| age(patient.now(), created) >= SETTLED);
        let Some(name) = revision.task_definition.as_deref().filter(|_| settled) else { continue };
        if revision.container_images.iter().all(|image| image.image_digest.is_some()) {
            continue;
        }
        let Some(definition) = patient.task_definition(name)? else { continue };
        for image in
            revision.container_images.iter().filter(|image| should_have_digest(image, definition))
        {
            tell(patient, findings, revision, name, image);
        }
    }
    Ok(())
}

/// The current revisions, and the one that the newest deployment could not bring up.
fn revisions<'a>(patient: &Patient<'a>) -> Result<Vec<&'a Revision>, Blind> {
    let mut revisions = Vec::new();
    let current = &patient.service().current_service_revisions;
    for arn in current {
        revisions.extend(patient.revision(arn)?);
    }
    let failed = rollout::newest(patient)?
        .filter(|deployment| rollback::began(deployment))
        .and_then(|failed| failed.target_service_revision.as_ref());
    if let Some(target) = failed.filter(|target| !current.contains(&target.arn)) {
        revisions.extend(patient.revision(&target.arn)?);
    }
    Ok(revisions)
}

fn should_have_digest(image: &ContainerImage, definition: &TaskDefinition) -> bool {
    let container = definition
        .container_definitions
        .iter()
        .find(|container| container.name == image.container_name);
    let consistent = container
        .is_some_and(|container| container.version_consistency.as_deref() != Some("disabled"));
    image.image_digest.is_none() && consistent && !image.image.contains('@')
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    revision: &Revision,
    definition: &str,
    image: &ContainerImage,
) {
    let short = arn::last(&image.image);
    let version = rollout::short(definition);
    let claim = format!(
        "ECS has pinned no digest for image {short} of container {} in {version}: it could not resolve the tag, so its tasks may run different images",
        image.container_name
    );
    let of = |field, value: &str| {
        Evidence::new(Call::DescribeServiceRevisions, &revision.service_revision_arn, field, value)
    };
    let remedy = Remedy::new("Fix what keeps the registry from resolving the tag, then deploy again. Better, reference the image by its digest.")
        .cli(patient.update_service().and(words!("--force-new-deployment")));
    findings.add(
        Subject::new(Kind::Image, &image.image)
            .sick(claim, of("containerImages.imageDigest", "null"))
            .because(of("containerImages.image", &image.image))
            .mend(remedy)
            .concerns(Kind::TaskDefinition, definition)
            .concerns(Kind::Container, &image.container_name),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn example(change: impl FnOnce(&mut Revision)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        change(snapshot.revisions.change(&revision).unwrap());
        snapshot
    }

    #[test]
    fn names_image_container_and_version() {
        let expected = "ECS has pinned no digest for image api:1.4.2 of container app in api:12: it could not resolve the tag, so its tasks may run \
                        different images.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn what_needs_no_resolving_is_resolved() {
        type Edit = fn(&mut Revision);
        let others: [(&str, Edit); 3] = [
            ("spelled by its digest", |revision| {
                revision.container_images[0].image =
                    format!("{}@{}", id::image("api"), id::digest(1))
            }),
            ("a container that ECS added", |revision| {
                revision.container_images[0].container_name = "aws-guardduty-agent".into()
            }),
            ("a revision of this minute", |revision| revision.created_at = Some(minutes_ago(1))),
        ];
        for (why, change) in others {
            assert_eq!(exam(CHECK, &example(change)).outcome, Outcome::Healthy, "{why}");
        }
    }

    #[test]
    fn consistency_that_was_turned_off_is_meant() {
        let mut snapshot = example(|_| ());
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        definition.container_definitions[0].version_consistency = Some("disabled".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_service_at_zero_resolves_nothing() {
        let mut snapshot = example(|_| ());
        snapshot.services[0].desired_count = 0;
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_deployment_that_failed_by_it_still_tells() {
        let mut snapshot = crate::baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        let target = id::ecs("service-revision/prod/api/4000000000000000013");
        snapshot.revisions.change(&target).unwrap().container_images[0].image_digest = None;
        assert!(says(CHECK, &snapshot)[0].contains("in api:13"), "{:?}", says(CHECK, &snapshot));
    }
}
