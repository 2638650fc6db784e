//! The registry answers and denies the pull: the execution role, the instance role, or the
//! credentials for a private registry are not sufficient. It names role and action as IAM named
//! them.

use crate::aws::arn;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::access::refusal;
use crate::facts::network::egress_path;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// The registry denies access to the image.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. On Fargate, the *execution* role pulls, not the task
    /// role; on EC2, the role of the instance does.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while they pulled the image or fetched ECR's authorization, and
    /// the end of the reason is a denial: `AccessDeniedException`, "not authorized to perform",
    /// 403, 401, or "check that the role has the permissions". Where IAM names the role, action and
    /// resource, they are reported. A simulation of the role's policies then shows whether no
    /// policy allows the action, a policy denies it, or the role's policies allow it and another
    /// policy refuses it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws iam attach-role-policy --role-name <role> --policy-arn arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy
    /// ```
    ///
    /// An image in another account also needs that repository's policy. Terraform/OpenTofu:
    /// `aws_iam_role_policy_attachment`, `aws_ecr_repository_policy`.
    ///
    /// # See also
    ///
    /// `image_not_found`, `registry_unreachable`, `secret_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The registry denies the pull",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, DigestNotResolved],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        SimulatePrincipalPolicy,
    ],
    example: on worker, |snapshot| {
        crate::baseline::access::simulate(snapshot, "mailer-execution", "ecr:GetAuthorizationToken", "*", "implicitDeny");
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/mailer-execution/0123456789abcdef is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ImagePullDenied], |told, findings| {
        // No change to a role helps against what an endpoint refuses.
        if egress_path::is_of_endpoint(told.text) {
            return None;
        }
        let refused = stop_reason::refused(told.text);
        let claim = match (refused.role, refused.action) {
            (Some(role), Some(action)) => {
                format!(
                    "the registry denies the pull, because role {role} is not allowed to call {action}"
                )
            }
            _ => "the registry denies the pull".to_owned(),
        };
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let execution = definition.and_then(|one| one.execution_role_arn.as_deref());
        let of_instance = is_of_instance(told.text, patient);
        let role = refused.role.or(execution.map(arn::last).filter(|_| !of_instance));
        let (policy, unknown) = if of_instance {
            ("AmazonEC2ContainerRegistryReadOnly", "INSTANCE_ROLE")
        } else {
            ("service-role/AmazonECSTaskExecutionRolePolicy", "EXECUTION_ROLE")
        };
        let remedy = Remedy::new(
            "Allow the role to pull: ecr:GetAuthorizationToken on *, and ecr:BatchCheckLayerAvailability, ecr:GetDownloadUrlForLayer and ecr:BatchGetImage on the repository. A repository in another account must allow it, too; another registry needs repositoryCredentials.",
        )
        .cli(aws!(
            "iam attach-role-policy --role-name {} --policy-arn arn:{}:iam::aws:policy/{}",
            role.map_or(Word::needed(unknown), Word::new),
            patient.partition(),
            policy
        ))
        .cli(fixes::deploy(patient, told))
        .cli(told.see(patient))
        .terraform(hcl!(
            r#"
            resource "aws_iam_role_policy_attachment" "pull" {
              role       = {}
              policy_arn = "arn:{}:iam::aws:policy/{}"
            }"#,
            role.map_or(hcl!("var.role"), |role| hcl!("{}", role)),
            patient.partition(),
            policy
        ));
        let question = refusal::of_start(patient, findings, told);
        Some(refusal::settle(
            patient,
            findings,
            told.finding(patient, &claim).mend(remedy),
            told.text,
            question.as_ref(),
        ))
    })
}

/// On EC2 it is the instance that pulls, unless the text names an execution role.
fn is_of_instance(text: &str, patient: &Patient) -> bool {
    patient.service().launch_type.as_deref() == Some("EC2")
        && !text.contains("execution resource retrieval")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{exam, says, says_of_failed_starts};

    fn with(reason: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, reason)
    }

    #[test]
    fn names_the_role_and_what_it_may_not() {
        let snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The registry denies the pull, because role mailer-execution is not allowed to call ecr:GetAuthorizationToken: 3 of 3 failed tasks of mailer:12 \
                 stopped for this reason within 8 min, the last 2 min ago. No policy of the role allows it."
            ]
        );
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .contains("--role-name mailer-execution ")
        );
    }

    #[test]
    fn a_bare_403_names_nobody() {
        let found = with(
            "CannotPullContainerError: failed to resolve ref mailer:1: unexpected status from HEAD request to https://x: 403 Forbidden",
        );
        assert!(found[0].starts_with("The registry denies the pull: 2 of 2"));
    }

    #[test]
    fn a_secret_that_is_denied_is_no_pull_that_is() {
        let text = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: AccessDeniedException: not \
                    authorized to perform: secretsmanager:GetSecretValue";
        assert!(with(text).is_empty());
    }

    #[test]
    fn a_registry_that_nobody_reaches_denies_nothing() {
        let text = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve ecr registry auth: RequestError: send request \
                    failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout";
        assert!(with(text).is_empty());
    }

    #[test]
    fn on_instances_the_instance_pulls() {
        let mut snapshot = baseline::ec2();
        baseline::fail_to_start(
            &mut snapshot,
            2,
            "CannotPullContainerError: Error response from daemon: no basic auth credentials",
        );
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .ends_with("AmazonEC2ContainerRegistryReadOnly")
        );
    }
}
