//! ECS cannot assume the task role or the execution role: it does not exist, or its trust policy
//! does not name ECS tasks.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::access::refusal;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// ECS cannot assume a role that the task definition names.
    ///
    /// # Why it matters
    ///
    /// No task is launched at all, so there is no stopped task to inspect: only a service event
    /// reports it.
    ///
    /// # How we tell
    ///
    /// A service event says "ECS was unable to assume the role", and no later event supersedes it.
    /// A new role may need some seconds, so a single event of the last three minutes does not
    /// count. Then the role itself is checked: whether it exists, and who can assume it by its
    /// trust policy.
    ///
    /// # What to do
    ///
    /// The role must exist, and its trust policy must allow `ecs-tasks.amazonaws.com` to assume it:
    ///
    /// ```sh
    /// aws iam get-role --role-name <role> --query Role.AssumeRolePolicyDocument
    /// aws iam update-assume-role-policy --role-name <role> --policy-document file://trust.json
    /// ```
    ///
    /// Terraform/OpenTofu: `assume_role_policy` of `aws_iam_role`.
    ///
    /// # See also
    ///
    /// `service_linked_role_broken`, `secret_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html>
    title: "ECS cannot assume a role of the task",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetRole],
    example: on worker, |snapshot| {
        crate::baseline::access::trust(snapshot, "mailer-task", &["ec2.amazonaws.com"]);
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            12,
            "(service mailer) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::123456789012:role/mailer-task' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).",
        );
    },
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::RoleNotAssumable], |told, findings| {
        let role = refusal::role_named(told.text);
        let claim = match role {
            Some(role) => format!("ECS cannot assume role {role}"),
            None => "ECS cannot assume a role of the task".to_owned(),
        };
        let named = role.map_or(Word::needed("ROLE"), Word::new);
        let own = refusal::unassumable(patient, told.text);
        let is_gone = own.is_some_and(|own| matches!(findings.see(patient.role(own)), Some(None)));
        let remedy = Remedy::new(
            "Create the role, or allow ecs-tasks.amazonaws.com to assume it (the command replaces its whole trust policy).",
        );
        let remedy = match is_gone {
            true => remedy.cli(aws!(
                "iam create-role --role-name {} --assume-role-policy-document {}",
                named,
                TRUST
            )),
            false => remedy
                .cli(aws!(
                    "iam get-role --role-name {} --query Role.AssumeRolePolicyDocument",
                    named
                ))
                .cli(aws!(
                    "iam update-assume-role-policy --role-name {} --policy-document {}",
                    named,
                    TRUST
                )),
        };
        let remedy = remedy
            .cli(fixes::deploy(patient, told))
            .terraform(hcl!(
                r#"
                resource "aws_iam_role" "task" {
                  name               = {}
                  assume_role_policy = jsonencode({
                    Version   = "2012-10-17"
                    Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }]
                  })
                }"#,
                role.unwrap_or("role")
            ));
        let mut finding = told.finding(patient, &claim).mend(remedy);
        let trust =
            own.and_then(|role| refusal::trust(patient, findings, role, "ecs-tasks.amazonaws.com"));
        if let Some(trust) = trust {
            finding = finding.detail(format!("{}.", trust.words));
            finding.remedy.summary = trust.mend;
            finding = finding.because_all(trust.evidence);
        }
        Some(finding)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::seen::Seen;
    use crate::testing::says;

    #[test]
    fn names_the_role() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "ECS cannot assume role mailer-task: reported by ECS for mailer:12, 12 min ago. Its trust policy allows ec2.amazonaws.com to assume it, but not \
                 ecs-tasks.amazonaws.com."
            ]
        );
    }

    /// What is said of the role behind its name, as IAM knows it.
    fn of_role(change: impl FnOnce(&mut crate::snapshot::Snapshot)) -> String {
        let mut snapshot = (CHECK.example)();
        change(&mut snapshot);
        let says = says(CHECK, &snapshot).remove(0);
        says.split_once(" 12 min ago.").unwrap().1.to_owned()
    }

    #[test]
    fn tells_a_role_that_is_gone_from_one_that_trusts_others_or_was_mended() {
        assert_eq!(
            of_role(|snapshot| snapshot.roles.insert("mailer-task", Seen::Yes(None))),
            " The role does not exist."
        );
        let mut gone = (CHECK.example)();
        gone.roles.insert("mailer-task", Seen::Yes(None));
        let fix = crate::testing::exam(CHECK, &gone).findings.remove(0).remedy.shell().remove(0);
        assert!(fix.starts_with("aws iam create-role --role-name mailer-task "), "{fix}");
        let mended = of_role(|snapshot| {
            baseline::access::trust(snapshot, "mailer-task", &["ecs-tasks.amazonaws.com"])
        });
        assert_eq!(
            mended,
            " Its trust policy now allows ecs-tasks.amazonaws.com to assume it, so it was likely fixed since."
        );
        let narrow = of_role(|snapshot| {
            baseline::access::trust(snapshot, "mailer-task", &["ecs-tasks.amazonaws.com"]);
            snapshot.roles.change("mailer-task").unwrap().assume_role_policy_document.condition =
                vec!["aws:SourceAccount".into()];
        });
        assert_eq!(
            narrow,
            " Its trust policy names ecs-tasks.amazonaws.com, with conditions on aws:SourceAccount that are likely not met."
        );
        assert_eq!(
            of_role(|snapshot| snapshot.roles.0.clear()),
            "",
            "what may not be seen says nothing"
        );
    }

    #[test]
    fn a_role_of_another_account_is_not_looked_up_in_this_one() {
        let said = of_role(|snapshot| {
            let event = &mut snapshot.services[0].events[0].message;
            *event = event.replace("::123456789012:", "::999999999999:");
        });
        assert_eq!(said, "");
    }

    #[test]
    fn a_role_that_was_made_just_now_may_not_be_there_yet() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].created_at = Some(baseline::minutes_ago(1));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn tasks_that_start_afterwards_overrule_it() {
        let mut snapshot = (CHECK.example)();
        baseline::say(&mut snapshot, 5, "(service mailer) has reached a steady state.");
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
