//! The image that the service runs is no longer in the registry, or will not be for long. The
//! running tasks keep running, and the next one does not start.

use crate::aws::image::{self, InEcr, Reference, short};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::facts::image::pinned::{self, has_left};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::deployment::ContainerImage;
use crate::snapshot::image::LifecycleRule;
use crate::snapshot::{Image, Revision};
use crate::text::count;
use crate::{aws, hcl, words};

crate::check! {
    /// The image that a current version of the service starts its tasks from is gone from ECR, is
    /// archived there, or is about to be removed by a lifecycle rule.
    ///
    /// # Why it matters
    ///
    /// Nothing shows it: the running tasks have their image. The next task that has to start,
    /// because of scaling, a restart or a rollback, cannot pull it, and then the service shrinks or
    /// stays down.
    ///
    /// # How we tell
    ///
    /// The tag now has a different digest from the one that the revision has pinned, or is gone,
    /// and ECR answers `ImageNotFound` for the pinned one. Or no digest was pinned and the tag is
    /// gone. Or ECR reports the image as `ARCHIVED`, which likely cannot be pulled. Or the tag has
    /// moved on and a lifecycle rule removes untagged images: unless another tag keeps the image,
    /// it is deleted. A platform of a multi-architecture tag is not untagged. Where ECS is rolling
    /// back to that version, `rollback_target_unfit` reports it.
    ///
    /// # What to do
    ///
    /// Deploy again now, while tasks are running, so that ECS pins the current digest of the tag;
    /// if the tag is gone too, push the image first:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// aws ecr update-image-storage-class --repository-name <repository> --image-id imageDigest=<digest> --target-storage-class STANDARD   # archived
    /// ```
    ///
    /// And make the lifecycle policy keep what is deployed. Terraform/OpenTofu: `policy` of
    /// `aws_ecr_lifecycle_policy`, with `countType = "imageCountMoreThan"` and a large enough
    /// number.
    ///
    /// # See also
    ///
    /// `tag_moved`, `rollback_target_unfit`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The running image is gone from the registry; the next start fails",
    severity: High,
    role: Risk,
    explains: [DigestNotResolved],
    applies: [DeployedByEcs],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeImages, BatchGetImage, GetLifecyclePolicy,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        use crate::snapshot::LifecyclePolicy;
        use crate::snapshot::image::PinnedImage;
        let uri = id::image("api");
        if let Some(tag) = snapshot.images.change(&id::image("api:1.4.2")) {
            tag.image_digest = id::digest(2);
            tag.image_pushed_at = Some(minutes_ago(2 * 1440));
        }
        let gone = PinnedImage { image_digest: id::digest(1), failure_code: Some("ImageNotFound".into()) };
        snapshot.pinned_images.put(image::by_digest(&uri, &id::digest(1)), gone);
        let rule = LifecycleRule {
            rule_priority: 1,
            tag_status: "untagged".into(),
            count_type: "sinceImagePushed".into(),
            count_unit: Some("days".into()),
            count_number: 1,
            action: "expire".into(),
        };
        snapshot.lifecycle_policies.put(&uri, LifecyclePolicy { rules: vec![rule] });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let newest = rollout::newest(patient)?;
    let told_elsewhere =
        newest.filter(|deployment| rollback::is_open(deployment)).and_then(rollout::back_to);
    for arn in patient
        .service()
        .current_service_revisions
        .iter()
        .filter(|arn| told_elsewhere != Some(arn.as_str()))
    {
        let Some(revision) = patient.revision(arn)? else { continue };
        for container in &revision.container_images {
            let Some(image) =
                image::in_ecr(&container.image).filter(|image| image.region == patient.region())
            else {
                continue;
            };
            let lost = findings.see(Lost::of(patient, container, image)).flatten();
            if let Some(lost) = lost {
                let finding = lost.tell(patient, findings, revision, container, image);
                findings.add(finding);
            }
        }
    }
    Ok(())
}

/// What is, or will be, missing.
enum Lost<'a> {
    Digest { digest: &'a str, proof: Evidence },
    Tag { tag: &'a str },
    Archived { tag: &'a Image },
    Soon { digest: &'a str, tag: &'a str, rule: &'a LifecycleRule },
}

impl<'a> Lost<'a> {
    fn of(
        patient: &Patient<'a>,
        container: &'a ContainerImage,
        image: InEcr<'a>,
    ) -> Result<Option<Lost<'a>>, Blind> {
        let pinned = pinned::pinned(container).map(|(_, digest)| digest);
        if let (Some(proof), Some(digest)) = (pinned::gone(patient, container)?, pinned) {
            return Ok(Some(Lost::Digest { digest, proof }));
        }
        let Reference::Tag(name) = image.reference else { return Ok(None) };
        let tag = patient.image(&container.image)?;
        match (tag, pinned) {
            (None, None) => Ok(Some(Lost::Tag { tag: name })),
            (Some(tag), _)
                if tag.image_status.as_deref() == Some("ARCHIVED")
                    && pinned.is_none_or(|digest| !has_left(Some(tag), digest)) =>
            {
                Ok(Some(Lost::Archived { tag }))
            }
            (Some(tag), Some(digest))
                if has_left(Some(tag), digest)
                    && !is_platform(patient, tag, container, digest)? =>
            {
                Ok(removes_untagged(patient, image)?.map(|rule| Lost::Soon {
                    digest,
                    tag: name,
                    rule,
                }))
            }
            _ => Ok(None),
        }
    }

    fn tell(
        &self,
        patient: &Patient,
        findings: &mut Findings,
        revision: &Revision,
        container: &ContainerImage,
        image: InEcr,
    ) -> Finding {
        let version = revision.task_definition.as_deref().map_or("this version", rollout::short);
        let repository = image.repository;
        let pinned = |digest: &str| {
            Evidence::new(
                Call::DescribeServiceRevisions,
                &revision.service_revision_arn,
                "containerImages.imageDigest",
                digest,
            )
        };
        let subject = Subject::new(Kind::Image, &container.image);
        let finding = match self {
            Lost::Digest { digest, proof } => {
                let rule = findings.see(removed_by(patient, image)).flatten();
                let why = rule.map_or_else(String::new, |rule| {
                    format!("A lifecycle rule {}, which is the likely reason.", removes(rule))
                });
                let claim = format!(
                    "{version} starts its tasks from {} of {repository}, which is no longer in ECR: the next task cannot start",
                    short(digest)
                );
                subject
                    .sick(claim, proof.clone())
                    .detail(why)
                    .because(pinned(digest))
                    .because_all(rule.map(|rule| evidence(image, rule)))
            }
            Lost::Tag { tag } => {
                let claim = format!(
                    "{version} starts its tasks from tag {tag} of {repository}, which is no longer in ECR: the next task cannot start"
                );
                subject.sick(
                    claim,
                    Evidence::new(Call::DescribeImages, &container.image, "imageDetails", "[]"),
                )
            }
            Lost::Archived { tag } => {
                let claim = format!(
                    "{version} starts its tasks from {} of {repository}, which ECR has archived: the next task likely cannot start",
                    short(&tag.image_digest)
                );
                subject.sick(
                    claim,
                    Evidence::new(
                        Call::DescribeImages,
                        &container.image,
                        "imageStatus",
                        "ARCHIVED",
                    ),
                )
            }
            Lost::Soon { digest, tag, rule } => {
                let claim =
                    format!("{version} starts its tasks from {} of {repository}", short(digest));
                subject
                    .sick(claim, evidence(image, rule))
                    .detail(format!(
                        "Tag {tag} points to another image now, and a lifecycle rule {}: unless another tag keeps this image, the next task cannot start then.",
                        removes(rule)
                    ))
                    .because(pinned(digest))
            }
        };
        let finding = if revision.task_definition.is_some() { finding.named() } else { finding };
        finding
            .mend(self.remedy(patient, repository))
            .concerns_all(Kind::TaskDefinition, revision.task_definition.as_deref())
            .concerns(Kind::Container, &container.container_name)
    }

    fn remedy(&self, patient: &Patient, repository: &str) -> Remedy {
        let anew = patient.update_service().and(words!("--force-new-deployment"));
        let remedy = match self {
            Lost::Digest { .. } | Lost::Soon { .. } => Remedy::new(
                "Deploy again now, while tasks are running, so that ECS pins the current digest of the tag; if the tag is gone too, push the image first. And make the lifecycle policy keep what is deployed.",
            ),
            Lost::Tag { .. } => Remedy::new(
                "Push the image again under its tag, or deploy another one; then ECS pins its digest.",
            ),
            Lost::Archived { tag } => Remedy::new(
                "Restore the image and deploy again when it is ACTIVE, or deploy another one.",
            )
            .cli(aws!(
                "ecr update-image-storage-class --repository-name {} --image-id imageDigest={} \
                 --target-storage-class STANDARD",
                repository,
                tag.image_digest
            )),
        };
        let remedy = remedy.cli(anew);
        let remedy = if matches!(self, Lost::Digest { .. } | Lost::Soon { .. }) {
            remedy.cli(aws!("ecr get-lifecycle-policy --repository-name {}", repository))
        } else {
            remedy
        };
        remedy.terraform(hcl!(
            r#"
            resource "aws_ecr_lifecycle_policy" {} {
              repository = {}
              policy = jsonencode({ rules = [{
                rulePriority = 1
                selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 100 }
                action       = { type = "expire" }
              }] })
            }"#,
            repository.replace('/', "_"),
            repository
        ))
    }
}

/// Whether a digest is one of the platforms behind the tag: then the tag keeps it.
fn is_platform(
    patient: &Patient,
    tag: &Image,
    container: &ContainerImage,
    digest: &str,
) -> Result<bool, Blind> {
    Ok(tag.is_index()
        && patient.image_platforms(&container.image)?.iter().any(|platform| platform == digest))
}

/// The rule of the repository that removes untagged images.
fn removes_untagged<'a>(
    patient: &Patient<'a>,
    image: InEcr,
) -> Result<Option<&'a LifecycleRule>, Blind> {
    let rules = patient.lifecycle_policy(image.uri)?.map_or(&[][..], |policy| &policy.rules);
    Ok(rules.iter().find(|rule| rule.action == "expire" && rule.tag_status == "untagged"))
}

/// The rule that may have removed an image: one over untagged images, or over all of them. Of those
/// over some tags we do not know which tags the image had.
fn removed_by<'a>(patient: &Patient<'a>, image: InEcr) -> Result<Option<&'a LifecycleRule>, Blind> {
    let rules = patient.lifecycle_policy(image.uri)?.map_or(&[][..], |policy| &policy.rules);
    Ok(rules.iter().find(|rule| {
        rule.action == "expire" && matches!(rule.tag_status.as_str(), "untagged" | "any")
    }))
}

/// `removes untagged images 14 days after they were pushed`
fn removes(rule: &LifecycleRule) -> String {
    let number = rule.count_number;
    let days = count(number, "day");
    let images = if rule.tag_status == "untagged" { "untagged images" } else { "images" };
    match rule.count_type.as_str() {
        "sinceImagePushed" => format!("removes {images} {days} after they were pushed"),
        "sinceImagePulled" => format!("removes {images} {days} after they were last pulled"),
        "imageCountMoreThan" => format!("keeps only the newest {number} {images}"),
        _ => format!("removes {images}"),
    }
}

fn evidence(image: InEcr, rule: &LifecycleRule) -> Evidence {
    Evidence::new(
        Call::GetLifecyclePolicy,
        image.uri,
        "lifecyclePolicyText.rules.selection.countNumber",
        rule.count_number,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::snapshot::image::PinnedImage;
    use crate::testing::{exam, says};

    fn key() -> String {
        image::by_digest(&id::image("api"), &id::digest(1))
    }

    fn example(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(&mut snapshot);
        snapshot
    }

    fn tag(snapshot: &mut Snapshot) -> &mut Image {
        snapshot.images.change(&id::image("api:1.4.2")).unwrap()
    }

    #[test]
    fn says_what_is_gone_and_what_likely_took_it() {
        let expected = "api:12 starts its tasks from sha256:111111111111 of api, which is no longer in ECR: the next task cannot start. A lifecycle rule \
                        removes untagged images 1 day after they were pushed, which is the likely reason.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
        let of_all = example(|snapshot| {
            let rule = &mut snapshot.lifecycle_policies.change(&id::image("api")).unwrap().rules[0];
            (rule.tag_status, rule.count_type, rule.count_number) =
                ("any".into(), "imageCountMoreThan".into(), 50);
        });
        assert!(
            says(CHECK, &of_all)[0].ends_with(
                "A lifecycle rule keeps only the newest 50 images, which is the likely reason."
            ),
            "{:?}",
            says(CHECK, &of_all)
        );
        let no_rule = example(|snapshot| {
            snapshot.lifecycle_policies.insert(id::image("api"), Seen::Yes(None))
        });
        assert!(says(CHECK, &no_rule)[0].ends_with("the next task cannot start."));
    }

    #[test]
    fn an_image_that_a_rule_will_take_is_told_beforehand() {
        let there =
            example(|snapshot| snapshot.pinned_images.change(&key()).unwrap().failure_code = None);
        let expected = "api:12 starts its tasks from sha256:111111111111 of api. Tag 1.4.2 points to another image now, and a lifecycle rule removes untagged images 1 day after they were pushed: unless another tag keeps this image, the next task cannot start then.";
        assert_eq!(says(CHECK, &there), [expected]);
        let kept = example(|snapshot| {
            snapshot.pinned_images.change(&key()).unwrap().failure_code = None;
            snapshot.lifecycle_policies.change(&id::image("api")).unwrap().rules[0].tag_status =
                "tagged".into();
        });
        assert_eq!(exam(CHECK, &kept).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_platform_of_the_tag_is_not_without_a_tag() {
        let platform = example(|snapshot| {
            snapshot.pinned_images.change(&key()).unwrap().failure_code = None;
            tag(snapshot).image_manifest_media_type =
                Some("application/vnd.oci.image.index.v1+json".into());
            snapshot.image_platforms.put(id::image("api:1.4.2"), vec![id::digest(1)]);
        });
        assert_eq!(exam(CHECK, &platform).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_digest_that_the_tag_has_is_there() {
        let there = example(|snapshot| tag(snapshot).image_digest = id::digest(1));
        let exam = exam(CHECK, &there);
        assert_eq!(exam.outcome, Outcome::Healthy);
        assert!(!exam.read.contains(&Call::BatchGetImage), "nobody has to ask");
    }

    #[test]
    fn an_archived_image_likely_cannot_be_pulled() {
        let archived = example(|snapshot| {
            tag(snapshot).image_digest = id::digest(1);
            tag(snapshot).image_status = Some("ARCHIVED".into());
        });
        assert!(says(CHECK, &archived)[0].contains("which ECR has archived: the next task likely"));
        let restore = exam(CHECK, &archived).findings[0].remedy.shell()[0].clone();
        assert!(
            restore.starts_with("aws ecr update-image-storage-class --repository-name api "),
            "{restore}"
        );
    }

    #[test]
    fn without_a_pinned_digest_the_tag_itself_may_be_gone() {
        let mut snapshot =
            example(|snapshot| snapshot.images.insert(id::image("api:1.4.2"), Seen::Yes(None)));
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).unwrap().container_images[0].image_digest = None;
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "api:12 starts its tasks from tag 1.4.2 of api, which is no longer in ECR"
        ));
        use crate::diagnosis::{Standing, diagnose};
        use crate::patient::Intent;
        let diagnosis =
            diagnose(&Patient::new(&snapshot, &snapshot.services[0], &Intent::default()));
        let root = diagnosis.roots.iter().find(|root| root.check.id() == "digest_gone").unwrap();
        assert_eq!(
            (root.standing, root.explains[0].check.id()),
            (Standing::Cause, "digest_not_resolved")
        );
    }

    #[test]
    fn an_image_spelled_by_its_digest_may_be_gone_too() {
        let mut snapshot = baseline::fargate();
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).unwrap().container_images[0].image = key();
        snapshot.pinned_images.put(
            key(),
            PinnedImage { image_digest: id::digest(1), failure_code: Some("ImageNotFound".into()) },
        );
        snapshot.lifecycle_policies.insert(id::image("api"), Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        snapshot.pinned_images.change(&key()).unwrap().failure_code = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_refused_answer_is_not_an_image_that_is_there() {
        let hidden = example(|snapshot| {
            snapshot.pinned_images.insert(key(), Seen::No(Why::Denied("no".into())))
        });
        assert_eq!(exam(CHECK, &hidden).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn the_version_that_ecs_goes_back_to_is_told_elsewhere() {
        let back = example(|snapshot| {
            roll_out(snapshot, 40, |deployment| deployment.status = "ROLLBACK_IN_PROGRESS".into())
        });
        assert!(
            says(CHECK, &back).iter().all(|says| !says.starts_with("api:12")),
            "{:?}",
            says(CHECK, &back)
        );
    }
}
