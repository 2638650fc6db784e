//! The registry answers that there were too many pulls. Docker Hub counts them by IP address, and
//! the tasks of a VPC share that of its NAT gateway.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// The registry rejects pulls because its rate limit is reached.
    ///
    /// # Why it matters
    ///
    /// Tasks start or fail by chance. Docker Hub counts anonymous pulls by IP address, and all
    /// tasks behind a NAT gateway share one; a crash loop uses up the limit of everything else
    /// behind it.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while they pulled, and the reason says `toomanyrequests` or
    /// 429.
    ///
    /// # What to do
    ///
    /// Pull through ECR, which caches the image:
    ///
    /// ```sh
    /// aws ecr create-pull-through-cache-rule --ecr-repository-prefix docker-hub --upstream-registry-url registry-1.docker.io --credential-arn <secret>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_ecr_pull_through_cache_rule`, or `repositoryCredentials` in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `image_pull_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The registry rejects the pull: rate limit reached",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotPullContainerError: inspect image has been retried 5 time(s): httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/nginx/manifests/1.27: 429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit.",
        );
    },
}

static NAMED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"/v2/(?:library/)?(?<it>[^\s:]+?)/(?:manifests|blobs)/"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::RegistryRateLimited], |told, _| {
        let (of_docker, registry) = match told.text.contains("docker.io") {
            true => (true, "Docker Hub"),
            false => (false, "the registry"),
        };
        let remedy = Remedy::new(
            "Use an ECR pull-through cache, keep the image in ECR, or pull with an account that has a higher limit (repositoryCredentials).",
        );
        let remedy = match of_docker {
            true => remedy
                .cli(aws!(
                    "ecr create-pull-through-cache-rule --ecr-repository-prefix docker-hub \
                     --upstream-registry-url registry-1.docker.io --credential-arn $SECRET_ARN"
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_ecr_pull_through_cache_rule" "docker_hub" {
                      ecr_repository_prefix = "docker-hub"
                      upstream_registry_url = "registry-1.docker.io"
                      credential_arn        = aws_secretsmanager_secret.docker_hub.arn
                    }"#
                )),
            false => remedy.cli(fixes::register()).terraform(hcl!(
                r#"
                resource "aws_ecs_task_definition" {} {
                  container_definitions = jsonencode([{
                    repositoryCredentials = { credentialsParameter = aws_secretsmanager_secret.registry.arn }
                  }])
                }"#,
                patient.name()
            )),
        };
        let image = stop_reason::part(&NAMED, told.text)
            .map_or_else(|| " the pull".to_owned(), |image| format!(" the pull of {image}"));
        Some(
            told.finding(
                patient,
                &format!("{registry} rejects{image}, because its rate limit is reached"),
            )
            .mend(remedy.cli(told.see(patient))),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_docker_hub_where_it_is_the_one() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "Docker Hub rejects the pull of nginx, because its rate limit is reached: 3 of 3 failed tasks"
        ));
    }

    #[test]
    fn a_throttled_secret_is_no_rate_limit_of_a_registry() {
        let text = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: ThrottlingException: Rate exceeded";
        assert!(says_of_failed_starts(CHECK, 2, text).is_empty());
    }
}
