//! The environment file in S3 that the task definition names cannot be read: it does not exist, the
//! execution role is not allowed to, or S3 cannot be reached.

use crate::aws::arn;
use crate::aws::stop_reason::{Fault, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::reason::Told;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

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
    /// download the environment variable files. The end of the reason distinguishes a timeout, a
    /// denial and a missing file; S3 also answers 403 for a missing file if the role is not allowed
    /// to list the bucket.
    ///
    /// # What to do
    ///
    /// The *execution* role needs `s3:GetObject` on the file and `s3:GetBucketLocation` on the
    /// bucket, and the subnet needs a route to S3.
    ///
    /// ```sh
    /// aws s3api head-object --bucket <bucket> --key <file>
    /// aws iam put-role-policy --role-name <execution role> --policy-name environment-file --policy-document file://policy.json
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
    reasons::each(patient, findings, &[Trouble::EnvironmentFileUnreadable], |told, findings| {
        let (why, advice) = match told.reason.fault {
            Some(Fault::Network) => (
                "S3 cannot be reached",
                "Give the tasks a route to S3: a gateway endpoint in the route table of their subnets, a NAT gateway, or public IP addresses.",
            ),
            Some(Fault::Denied | Fault::Key) => (
                "S3 denies access (403)",
                "Allow the execution role to call s3:GetObject on the file and s3:GetBucketLocation on the bucket, make sure that the file exists, and deploy again.",
            ),
            Some(Fault::Missing) => (
                "it does not exist",
                "Upload the file to where environmentFiles names it, or correct the name.",
            ),
            _ => (
                "it could not be downloaded from S3",
                "Look at the end of the reason: the route to S3, the execution role, or the name of the file.",
            ),
        };
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let role = definition.and_then(|one| one.execution_role_arn.as_deref()).map(arn::last);
        let remedy =
            Remedy::new(advice).cli(aws!("s3api head-object --bucket $BUCKET --key $FILE"));
        let remedy = fixed(patient, told, remedy, role).cli(told.see(patient));
        Some(
            told.finding(patient, &format!("the environment file cannot be read, because {why}"))
                .mend(remedy),
        )
    })
}

/// What makes the file readable, where the end of the reason says what is in the way.
fn fixed(patient: &Patient, told: &Told, remedy: Remedy, role: Option<&str>) -> Remedy {
    let s3 = format!("arn:{}:s3:::", patient.partition());
    let allow = |policy: &str, action: &str, resource: &'static str| {
        fixes::allow(role, policy, &[action], &s3, Word::needed(resource))
    };
    let remedy = match told.reason.fault {
        Some(Fault::Network) => remedy
            .cli(aws!(
                "ec2 create-vpc-endpoint --vpc-id $VPC_ID --service-name com.amazonaws.{}.s3 \
                 --route-table-ids $ROUTE_TABLE_ID",
                patient.region()
            ))
            .terraform(hcl!(
                r#"
                resource "aws_vpc_endpoint" "s3" {
                  vpc_id          = var.vpc_id
                  service_name    = "com.amazonaws.{}.s3"
                  route_table_ids = var.route_table_ids
                }"#,
                patient.region()
            )),
        Some(Fault::Denied | Fault::Key) => remedy
            .cli(allow("environment-file", "s3:GetObject", "BUCKET_AND_FILE"))
            .cli(allow("environment-bucket", "s3:GetBucketLocation", "BUCKET"))
            .terraform(hcl!(
                r#"
                resource "aws_iam_role_policy" "environment_file" {
                  role   = {}
                  policy = jsonencode({
                    Version   = "2012-10-17"
                    Statement = [
                      { Effect = "Allow", Action = "s3:GetObject", Resource = "${aws_s3_bucket.environment.arn}/*" },
                      { Effect = "Allow", Action = "s3:GetBucketLocation", Resource = aws_s3_bucket.environment.arn },
                    ]
                  })
                }"#,
                role.map_or(hcl!("var.execution_role"), |role| hcl!("{}", role))
            )),
        Some(Fault::Missing) => {
            remedy.cli(aws!("s3api put-object --bucket $BUCKET --key $FILE --body $FILE"))
        }
        _ => return remedy,
    };
    remedy.cli(fixes::deploy(patient, told))
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
            "The environment file cannot be read, because S3 denies access (403): 3 of 3"
        ));
        let head = "failed to download env files: file download command: non-empty error stream:";
        let timeout = with(&format!(
            "{head} RequestCanceled: request context canceled caused by: context deadline exceeded"
        ));
        assert!(timeout[0].contains("because S3 cannot be reached"));
        assert!(
            with(&format!("{head} NoSuchKey: The specified key does not exist"))[0]
                .contains("because it does not exist")
        );
    }

    #[test]
    fn a_secret_is_no_environment_file() {
        assert!(with("unable to pull secrets or registry auth: unable to retrieve secret from asm: AccessDeniedException").is_empty());
    }
}
