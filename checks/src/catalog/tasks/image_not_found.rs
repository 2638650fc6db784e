//! The image of a task is not in its registry: a tag that was never pushed, a repository that does
//! not exist, or a digest that has been deleted. Registries that could not be reached or refused
//! the pull are for other checks.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::image;
use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::call::Call;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, words};

crate::check! {
    /// The registry answers that it does not have the image, its tag or its digest.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. The message is the same for a typo, a tag that was not
    /// pushed, another region or account, and a lifecycle policy that deleted the digest to which
    /// the deployment had pinned the tag.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with `CannotPullContainerError`, and the end of the reason says
    /// "not found", "manifest unknown" or "check whether the image exists". Timeouts and denials
    /// are for other checks. If ECR has the tag by now, that is reported. Docker Hub answers "pull
    /// access denied" for missing and for private images, which cannot be told apart.
    ///
    /// # What to do
    ///
    /// Push the image, or use one that exists:
    ///
    /// ```sh
    /// aws ecr describe-images --repository-name <repository> --image-ids imageTag=<tag>
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family:revision>
    /// ```
    ///
    /// Terraform/OpenTofu: `image` in `container_definitions` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `image_pull_denied`, `registry_unreachable`, `digest_gone`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The image is not in the registry",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, DigestNotResolved],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeImages],
    example: on worker, |snapshot| {
        use crate::baseline::{fail_to_start, id};
        use crate::seen::Seen;
        let image = id::image("mailer:0.9.0");
        let reason = format!("CannotPullContainerError: pull image manifest has been retried 7 time(s): failed to resolve ref {image}: {image}: not found");
        fail_to_start(snapshot, 3, &reason);
        snapshot.images.insert(&image, Seen::Yes(None));
    },
}

static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"(?:resolve ref|manifest for|access denied for) (?<it>[^\s,]+?):?(?:[\s,]|$)")
});

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ImageNotFound], |told, findings| {
        let named = told.image().or(stop_reason::part(&NAMED, told.text));
        let name = named.map_or("of the task definition", short);
        let claim = if told.text.contains("@sha256:") {
            format!("the digest of image {name} is no longer in the registry")
        } else {
            format!("image {name} is not in the registry")
        };
        let claim = if told.text.contains("pull access denied") {
            format!("{claim}, or it is private")
        } else {
            claim
        };
        let mut finding = told.finding(patient, &claim);
        if let Some(pushed) = pushed_since(patient, told, findings, named) {
            finding = finding.detail(format!(
                "ECR has this tag now: it was pushed {} ago, so a new deployment may succeed.",
                words(patient, &pushed)
            ));
            finding = finding.because(pushed);
        }
        Some(finding.mend(remedy(patient, told, named)))
    })
}

/// The push of the tag, if ECR has it now. Only for what the service runs now: the collector looks
/// up nothing else.
fn pushed_since(
    patient: &Patient,
    told: &Told,
    findings: &mut Findings,
    named: Option<&str>,
) -> Option<Evidence> {
    let image = named.filter(|image| told.is_primary && image::tagged(image).is_some())?;
    let row = findings.see(patient.image(image)).flatten()?;
    let pushed = row.image_pushed_at?;
    Some(
        Evidence::new(Call::DescribeImages, image, "imageDetails.imagePushedAt", pushed)
            .at(Some(pushed)),
    )
}

fn words(patient: &Patient, pushed: &Evidence) -> String {
    pushed.at.map_or_else(String::new, |at| time::words(time::age(patient.now(), at)))
}

/// `api:1.4.2` of the whole name: what a user calls it.
fn short(image: &str) -> &str {
    let name = image.split_once("@sha256:").map_or(image, |(name, _)| name);
    match (image::in_ecr(name), name.split_once('/')) {
        (Some(_), Some((_, name))) => name,
        _ => name,
    }
}

fn remedy(patient: &Patient, told: &Told, named: Option<&str>) -> Remedy {
    let remedy = Remedy::new(
        "Push the image with this tag, or deploy a task definition whose image exists.",
    )
    .cli(told.see(patient));
    let remedy = match named.and_then(image::tagged) {
        Some(image) => remedy.cli(aws!(
            "ecr describe-images --repository-name {} --image-ids imageTag={}",
            image.repository,
            image.tag
        )),
        None => remedy,
    };
    remedy.cli(patient.update_service().and(words!("--force-new-deployment")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::testing::{says, says_of_failed_starts};

    fn with(reason: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, reason)
    }

    #[test]
    fn names_the_image_and_the_count() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Image mailer:0.9.0 is not in the registry: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn a_tag_that_was_pushed_meanwhile_is_told() {
        let mut snapshot = (CHECK.example)();
        let image = id::image("mailer:0.9.0");
        let row = baseline::worker().images.change(&image).cloned().unwrap();
        snapshot
            .images
            .put(&image, crate::snapshot::Image { image_pushed_at: Some(minutes_ago(1)), ..row });
        assert!(says(CHECK, &snapshot)[0].ends_with(
            "ECR has this tag now: it was pushed 60 s ago, so a new deployment may succeed."
        ));
    }

    #[test]
    fn a_digest_that_was_deleted_is_named_as_one() {
        let reason = format!(
            "CannotPullContainerError: failed to resolve ref mailer:1@sha256:{}: not found",
            "0".repeat(64)
        );
        assert!(
            with(&reason)[0].starts_with(
                "The digest of image mailer:0.9.0 is no longer in the registry: 2 of 2"
            )
        );
    }

    #[test]
    fn a_registry_that_hides_what_is_private_may_do_so_here() {
        let text = "CannotPullContainerError: The task can’t pull the image. Check whether the image exists. Error response from daemon: pull access \
                    denied for some/nonsense, repository does not exist or may require 'docker login': denied: requested access to the resource is denied";
        assert!(with(text)[0].contains("is not in the registry, or it is private"));
    }

    #[test]
    fn a_timeout_or_a_denial_or_another_cpu_is_no_missing_image() {
        for text in [
            "CannotPullContainerError: failed to resolve ref mailer:1: failed to do request: Head \"https://x\": dial tcp 1.2.3.4:443: i/o timeout",
            "CannotPullContainerError: failed to resolve ref mailer:1: unexpected status from HEAD request: 403 Forbidden",
            "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'",
        ] {
            assert!(with(text).is_empty(), "{text}");
        }
    }
}
