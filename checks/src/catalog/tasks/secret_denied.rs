//! The execution role is not allowed to read a secret or a parameter that the task definition
//! names, or to use the key that encrypts it. Secrets that cannot be reached, or do not exist, are
//! for other checks.

use crate::aws::arn;
use crate::aws::stop_reason::{self, Fault, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::access::refusal;
use crate::facts::network::egress_path;
use crate::finding::Remedy;
use crate::patient::Patient;

crate::check! {
    /// The task's execution role is not allowed to read a secret or a parameter, or to use the KMS
    /// key that encrypts it.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. The *execution* role reads the values of `secrets`, not
    /// the task role, which the app uses at run time.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while ECS fetched their secrets, and the end of the reason is a
    /// denial: `AccessDeniedException`, or "Access to KMS is not allowed". Where IAM names the
    /// role, action and resource, they are reported. A simulation of the role's policies then shows
    /// whether no policy allows the action, a policy denies it, or the role's policies allow it and
    /// another policy refuses it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws iam put-role-policy --role-name <execution role> --policy-name secrets --policy-document file://policy.json
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_iam_role_policy` of the execution role; for a customer managed key
    /// also `kms:Decrypt` on it.
    ///
    /// # See also
    ///
    /// `secret_missing`, `secret_store_unreachable`, `image_pull_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "The execution role cannot read a secret",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        SimulatePrincipalPolicy,
    ],
    example: on worker, |snapshot| {
        crate::baseline::access::simulate(
            snapshot,
            "mailer-execution",
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:eu-west-2:123456789012:secret:mailer-db-AbCdEf",
            "implicitDeny",
        );
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:mailer-db-AbCdEf from secrets manager: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/mailer-execution/0123456789abcdef is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-2:123456789012:secret:mailer-db-AbCdEf because no identity-based policy allows the secretsmanager:GetSecretValue action",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::SecretDenied], |told, findings| {
        // No change to a role helps against what an endpoint refuses.
        if egress_path::is_of_endpoint(told.text) {
            return None;
        }
        let refused = stop_reason::refused(told.text);
        let by_key = told.reason.fault == Some(Fault::Key);
        let who =
            refused.role.map_or("the execution role".to_owned(), |role| format!("role {role}"));
        let what = match (refused.action, by_key) {
            (Some(action), _) => format!("is not allowed to call {action}"),
            (None, true) => "is not allowed to use the key that encrypts a secret".to_owned(),
            (None, false) => "is not allowed to read a secret".to_owned(),
        };
        let on =
            refused.resource.map_or_else(String::new, |resource| format!(" on {}", name(resource)));
        let (usual, unknown) = match by_key {
            true => ("kms:Decrypt", "KMS_KEY_ARN"),
            false if told.text.contains("ssm") => ("ssm:GetParameters", "PARAMETER_ARN"),
            false => ("secretsmanager:GetSecretValue", "SECRET_ARN"),
        };
        let action = refused.action.unwrap_or(usual);
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let execution = definition.and_then(|definition| definition.execution_role_arn.as_deref());
        let remedy = Remedy::new(format!(
            "Allow the execution role (not the task role) to call {action}, then deploy again."
        ));
        let role = refused.role.or(execution.map(arn::last));
        // A secret or a key is never opened on `*`.
        let resource = refused.resource.filter(|resource| *resource != "*");
        let remedy = match (role, resource) {
            (Some(role), Some(resource)) => {
                refusal::allowing(remedy, role, "secrets", action, resource)
            }
            _ => remedy.cli(fixes::allow(role, "secrets", &[action], "", Word::needed(unknown))),
        };
        let remedy = remedy.cli(fixes::deploy(patient, told)).cli(told.see(patient));
        let question = refusal::of_start(patient, findings, told);
        let finding = told.finding(patient, &format!("{who} {what}{on}")).mend(remedy);
        Some(refusal::settle(patient, findings, finding, told.text, question.as_ref()))
    })
}

/// What a user calls a resource: the end of its ARN.
fn name(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exam, says, says_of_failed_starts};

    fn with(tail: &str) -> Vec<String> {
        let text = format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: {tail}"
        );
        says_of_failed_starts(CHECK, 2, &text)
    }

    #[test]
    fn names_role_action_and_secret() {
        let snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Role mailer-execution is not allowed to call secretsmanager:GetSecretValue on mailer-db-AbCdEf: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 \
                 min, the last 2 min ago. No policy of the role allows it."
            ]
        );
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .contains("\"Action\":\"secretsmanager:GetSecretValue\"")
        );
    }

    /// The example, as IAM's simulation decides it.
    fn decided(decision: &str) -> crate::finding::Finding {
        let mut snapshot = (CHECK.example)();
        let simulation = snapshot.simulations.0.keys().next().cloned().unwrap();
        snapshot.simulations.change(&simulation).unwrap().eval_decision = decision.into();
        exam(CHECK, &snapshot).findings.remove(0)
    }

    #[test]
    fn a_deny_is_not_mended_by_allowing_more() {
        let mut snapshot = (CHECK.example)();
        let secret = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:mailer-db-AbCdEf";
        crate::baseline::access::simulate(
            &mut snapshot,
            "mailer-execution",
            "secretsmanager:GetSecretValue",
            secret,
            "explicitDeny",
        );
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().ends_with(
                "It is explicitly denied by policy no-secrets, so adding a permission does not help."
            ),
            "{}",
            finding.says()
        );
        assert!(finding.remedy.shell().iter().all(|command| !command.contains("put-role-policy")));
        assert!(finding.evidence.iter().any(|evidence| evidence.value == "no-secrets"));
    }

    #[test]
    fn policies_that_allow_it_by_now_send_to_the_other_policies() {
        let finding = decided("allowed");
        assert!(
            finding.says().contains("The role's own policies now allow it"),
            "{}",
            finding.says()
        );
        assert!(
            finding.remedy.shell()[0]
                .starts_with("aws secretsmanager get-resource-policy --secret-id arn:")
        );
    }

    #[test]
    fn without_iam_the_finding_stays_and_names_the_call() {
        let mut snapshot = (CHECK.example)();
        snapshot.simulations.0.clear();
        let exam = exam(CHECK, &snapshot);
        assert!(
            exam.findings[0].says().ends_with("the last 2 min ago."),
            "{}",
            exam.findings[0].says()
        );
        assert!(exam.findings[0].remedy.summary.contains("iam:SimulatePrincipalPolicy would show"));
        assert_eq!(exam.missed[0].call, crate::call::Call::SimulatePrincipalPolicy);
        let command = exam.findings[0].remedy.shell().pop().unwrap();
        assert!(command.starts_with("aws iam simulate-principal-policy --policy-source-arn arn:aws:iam::123456789012:role/mailer-execution --action-names secretsmanager:GetSecretValue --resource-arns arn:"), "{command}");
    }

    #[test]
    fn a_key_that_may_not_be_used_is_named_as_one() {
        assert!(with("AccessDeniedException: Access to KMS is not allowed")[0].starts_with(
            "The execution role is not allowed to use the key that encrypts a secret: 2 of 2"
        ));
    }

    #[test]
    fn what_the_reason_does_not_name_is_asked_of_the_user_and_never_opened_on_all() {
        for (tail, unknown) in [
            ("AccessDeniedException: Access to KMS is not allowed", "$KMS_KEY_ARN"),
            ("AccessDeniedException", "$SECRET_ARN"),
        ] {
            let mut snapshot = crate::baseline::worker();
            let text = format!(
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: {tail}"
            );
            crate::baseline::fail_to_start(&mut snapshot, 2, &text);
            let fix = exam(CHECK, &snapshot).findings.remove(0).remedy.shell().remove(0);
            assert!(fix.starts_with("aws iam put-role-policy --role-name "), "{fix}");
            assert!(fix.contains(unknown) && !fix.contains("\"*\""), "{fix}");
        }
    }

    #[test]
    fn a_secrets_message_that_is_a_network_fault_is_no_denial() {
        assert!(with("There is a connection issue between the task and AWS Secrets Manager. context deadline exceeded").is_empty());
        assert!(
            with("ResourceNotFoundException: Secrets Manager can't find the specified secret.")
                .is_empty()
        );
    }
}
