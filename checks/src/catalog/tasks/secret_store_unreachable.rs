//! Secrets Manager or Parameter Store does not answer. The reason begins like a missing permission
//! and ends in a timeout; the end decides. What blocks the connection is for the network checks.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Kind, Remedy};
use crate::patient::Patient;

crate::check! {
    /// The task cannot reach the service that stores its secrets: Secrets Manager or Parameter
    /// Store.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. IAM is the usual suspect here, wrongly: the request never
    /// got an answer.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while ECS fetched their secrets, and the end of the reason is
    /// that of a timeout: `dial tcp`, `i/o timeout`, `context deadline exceeded`, "connection
    /// issue".
    ///
    /// # What to do
    ///
    /// Give the subnet a route: a NAT gateway, an internet gateway with public IP addresses, or a
    /// VPC endpoint:
    ///
    /// ```sh
    /// aws ec2 create-vpc-endpoint --vpc-endpoint-type Interface --service-name com.amazonaws.<region>.secretsmanager --vpc-id <vpc> --subnet-ids <subnets> --security-group-ids <group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_vpc_endpoint`, `aws_nat_gateway`, or `assign_public_ip` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `public_ip_missing`, `secret_denied`, `registry_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "The secrets service cannot be reached",
    severity: High,
    role: Symptom,
    shows: SecretStoreUnreachable,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:mailer-db-AbCdEf from secrets manager: operation error Secrets Manager: GetSecretValue, https response error StatusCode: 0, RequestID: , canceled, context deadline exceeded.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::SecretStoreUnreachable], |told, _| {
        let of_parameters = ["ssm", "Systems Manager", "Parameter Store"]
            .iter()
            .any(|word| told.text.contains(word));
        let (store, endpoint) = if of_parameters {
            ("Parameter Store", "ssm")
        } else {
            ("Secrets Manager", "secretsmanager")
        };
        let subnets = told.tasks.iter().filter_map(|task| task.subnet_id.as_deref());
        let remedy = Remedy::new(format!(
            "Give the tasks a route to {store}: a NAT gateway, an internet gateway with public IP addresses, or an interface endpoint for {endpoint}; and allow outbound traffic on port 443 in their security groups."
        ))
        .cli(told.see(patient));
        let claim = format!("the task cannot reach {store}; this is not a denied permission");
        Some(told.finding(patient, &claim).concerns_all(Kind::Subnet, subnets).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_the_store() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "The task cannot reach Secrets Manager; this is not a denied permission: 3 of 3"
        ));
        let text = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: service call has been \
                    retried 5 time(s): RequestCanceled: request context canceled caused by: context deadline exceeded";
        assert!(
            says_of_failed_starts(CHECK, 2, text)[0]
                .starts_with("The task cannot reach Parameter Store")
        );
    }

    #[test]
    fn a_store_that_answers_is_reached() {
        let text = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: AccessDeniedException: not \
                    authorized to perform: secretsmanager:GetSecretValue";
        assert!(says_of_failed_starts(CHECK, 2, text).is_empty());
    }
}
