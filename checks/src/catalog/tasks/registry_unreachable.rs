//! The registry does not answer: timeouts and refused connections while a task pulls its image or
//! fetches ECR's authorization. What blocks the connection is for the network checks.

use crate::aws::stop_reason::{Step, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Kind, Remedy};
use crate::patient::Patient;

crate::check! {
    /// The task cannot reach the registry of its image.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. The pull uses the task's own network interface: its
    /// subnet's route, its address and its security groups.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while they pulled the image or fetched ECR's authorization, and
    /// the end of the reason is that of a timeout: `dial tcp`, `i/o timeout`, `context deadline
    /// exceeded`, `signal: killed`, "connection issue". It may begin like a missing permission or a
    /// missing image: the end decides. `httpReaderSeeker: failed open` means that ECR itself was
    /// reached, and the layers in S3 were not.
    ///
    /// # What to do
    ///
    /// Give the subnet a route: a NAT gateway, an internet gateway with public IP addresses, or VPC
    /// endpoints for `ecr.api`, `ecr.dkr` and S3. To see its routes now:
    ///
    /// ```sh
    /// aws ec2 describe-route-tables --filters Name=association.subnet-id,Values=<subnet>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_nat_gateway`, `aws_vpc_endpoint`, or `assign_public_ip` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `public_ip_missing`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/verify-connectivity.html>
    title: "The registry cannot be reached",
    severity: High,
    role: Symptom,
    shows: RegistryUnreachable,
    explains: [TasksFailToStart, DigestNotResolved],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::RegistryUnreachable], |told, _| {
        let claim = match told.reason.step {
            Some(Step::SecretOrRegistryAuth) => {
                "the task cannot reach ECR, or the service that stores its secrets"
            }
            _ if told.text.contains("httpReaderSeeker") => {
                "the task reaches the registry but not the image's layers, which ECR keeps in S3"
            }
            Some(Step::RegistryAuth) => "the task cannot reach ECR to log in",
            _ => "the task cannot reach the registry of its image",
        };
        let subnets = told.tasks.iter().filter_map(|task| task.subnet_id.as_deref());
        let remedy = Remedy::new(
            "Give the tasks a route to the registry: a NAT gateway, an internet gateway with public IP addresses, or VPC endpoints for ecr.api, ecr.dkr and S3 (a gateway endpoint); and allow outbound traffic on port 443 in their security groups.",
        )
        .cli(told.see(patient));
        Some(told.finding(patient, claim).concerns_all(Kind::Subnet, subnets).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(reason: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, reason)
    }

    #[test]
    fn says_what_of_the_registry_cannot_be_reached() {
        assert!(
            says(CHECK, &(CHECK.example)())[0].starts_with(
                "The task cannot reach ECR to log in: 3 of 3 failed tasks of mailer:12"
            )
        );
        assert!(
            with("ResourceInitializationError: unable to pull secrets or registry auth: pull command failed: : signal: killed")[0]
                .starts_with("The task cannot reach ECR, or the service that stores its secrets: ")
        );
        assert!(
            with(
                "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReaderSeeker: failed open: failed to do request"
            )[0]
            .starts_with("The task reaches the registry but not the image's layers")
        );
    }

    #[test]
    fn what_answers_is_reached() {
        for text in [
            "CannotPullContainerError: failed to resolve ref mailer:1: mailer:1: not found",
            "CannotPullContainerError: failed to resolve ref mailer:1: unexpected status from HEAD request: 403 Forbidden",
            "CannotPullContainerError: httpReadSeeker: failed open: 429 Too Many Requests - Server message: toomanyrequests",
        ] {
            assert!(with(text).is_empty(), "{text}");
        }
    }
}
