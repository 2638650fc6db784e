//! The environment file in S3 that the task definition names cannot be read: it is not there, the
//! execution role may not, or S3 cannot be reached.

use crate::aws;
use crate::aws::stop_reason::{Fault, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;

crate::check! {
    /// A task cannot download its environment file from S3.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with "failed to download env files", or because the task cannot
    /// download the environment variable files. The end of the reason tells a timeout from a denial
    /// and from a file that is not there; S3 also answers 403 for a file that is not there, if the
    /// role may not list the bucket.
    ///
    /// # What to do
    ///
    /// The *execution* role needs `s3:GetObject` on the file and `s3:GetBucketLocation` on the
    /// bucket, and the subnet a way to S3.
    ///
    /// ```sh
    /// aws s3api head-object --bucket <bucket> --key <file>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_iam_role_policy` of the execution role; `environmentFiles` in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `secret_denied`, `no_route_out`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/use-environment-file.html>
    title: "The environment file in S3 cannot be read",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: failed to download env files: service call has been retried 1 time(s): operation error S3: HeadObject, https response error StatusCode: 403, api error Forbidden: Forbidden.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::EnvironmentFileUnreadable], |told, _| {
        let (why, advice) = match told.reason.fault {
            Some(Fault::Network) => (
                "S3 cannot be reached",
                "Give the tasks a way to S3: a gateway endpoint in the route table of their subnets, a NAT gateway, or a public address.",
            ),
            Some(Fault::Denied | Fault::Key) => (
                "S3 answers that it is forbidden",
                "Allow s3:GetObject on the file and s3:GetBucketLocation on the bucket to the execution role, and see that the file is there.",
            ),
            Some(Fault::Missing) => (
                "it is not there",
                "Put the file where environmentFiles names it, or mend the name.",
            ),
            _ => (
                "S3 did not hand it out",
                "See the end of the reason: the way to S3, the execution role, or the name of the file.",
            ),
        };
        let remedy = Remedy::new(advice)
            .cli(aws!("s3api head-object --bucket $BUCKET --key $FILE"))
            .cli(told.see(patient));
        Some(
            told.finding(patient, &format!("the environment file cannot be read, because {why}"))
                .mend(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(tail: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, &format!("ResourceInitializationError: {tail}"))
    }

    #[test]
    fn the_end_of_the_reason_tells_why() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "The environment file cannot be read, because S3 answers that it is forbidden: 3 of 3"
        ));
        let head = "failed to download env files: file download command: non-empty error stream:";
        let timeout = with(&format!(
            "{head} RequestCanceled: request context canceled caused by: context deadline exceeded"
        ));
        assert!(timeout[0].contains("because S3 cannot be reached"));
        assert!(
            with(&format!("{head} NoSuchKey: The specified key does not exist"))[0]
                .contains("because it is not there")
        );
    }

    #[test]
    fn a_secret_is_no_environment_file() {
        assert!(with("unable to pull secrets or registry auth: unable to retrieve secret from asm: AccessDeniedException").is_empty());
    }
}
