//! An EBS volume that ECS manages for the task cannot be created or attached. The check reports
//! what ECS says in the task's stopped reason; the status of attachments is not in the snapshot.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::arn;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// ECS cannot create or attach the EBS volume of a task.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped, and the reason mentions an EBS volume, its creation or
    /// attachment, or the infrastructure role that ECS uses for it. The wording varies, so the
    /// reason is quoted and nothing more is claimed.
    ///
    /// # What to do
    ///
    /// The infrastructure role needs `AmazonECSInfrastructureRolePolicyForVolumes` and must trust
    /// `ecs.amazonaws.com`; the snapshot, key and volume type must exist in the Availability Zone.
    ///
    /// ```sh
    /// aws ecs describe-tasks --cluster <cluster> --tasks <task> --query 'tasks[].attachments[?type==`AmazonElasticBlockStorage`]'
    /// ```
    ///
    /// Terraform/OpenTofu: `volume_configuration` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `file_system_not_mounted`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshoot-ebs-volumes.html>
    title: "An EBS volume cannot be attached",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ECS was unable to assume the configured ECS Infrastructure Role 'arn:aws:iam::123456789012:role/mailer-volumes'. Please verify that the role being passed has the proper trust relationship with Amazon ECS",
        );
    },
}

static ROLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"unable to assume the configured ECS Infrastructure Role '[^']*role/(?<it>[^']+)'")
});

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::VolumeNotAttached], |told, _| {
        let role = stop_reason::part(&ROLE, told.text).map(arn::last);
        let why = role.map_or_else(
            || format!(" (\"{}\")", stop_reason::quoted(told.text)),
            |role| format!(", because ECS is not allowed to assume role {role}"),
        );
        let advice = match role.is_some() {
            true => {
                "Allow ecs.amazonaws.com to assume the infrastructure role (the command replaces its whole trust policy), attach AmazonECSInfrastructureRolePolicyForVolumes to it, and deploy again."
            }
            false => {
                "Look at the attachment's statusReason and fix what it names: the role, the key, the snapshot, or the Availability Zone."
            }
        };
        let task = told.tasks.first().map_or(Word::needed("TASK_ID"), |task| Word::new(task.id()));
        let remedy = match role {
            Some(role) => {
                trusting(patient, Remedy::new(advice), role).cli(fixes::deploy(patient, told))
            }
            None => Remedy::new(advice),
        };
        let remedy = remedy.cli(aws!(
            "ecs describe-tasks --cluster {} --tasks {} \
             --query tasks[].attachments[?type==`AmazonElasticBlockStorage`]",
            patient.cluster(),
            task
        ));
        Some(
            told.finding(
                patient,
                &format!("the task's EBS volume cannot be created or attached{why}"),
            )
            .mend(remedy),
        )
    })
}

/// What allows ECS to assume the role, and the role to manage volumes.
fn trusting(patient: &Patient, remedy: Remedy, role: &str) -> Remedy {
    remedy
        .cli(aws!(
            "iam update-assume-role-policy --role-name {} --policy-document {}",
            role,
            TRUST
        ))
        .cli(aws!(
            "iam attach-role-policy --role-name {} --policy-arn arn:{}:iam::aws:policy/{}",
            role,
            patient.partition(),
            POLICY
        ))
        .terraform(hcl!(
            r#"
            resource "aws_iam_role" "volumes" {
              name               = {}
              assume_role_policy = jsonencode({
                Version   = "2012-10-17"
                Statement = [{ Effect = "Allow", Principal = { Service = "ecs.amazonaws.com" }, Action = "sts:AssumeRole" }]
              })
            }

            resource "aws_iam_role_policy_attachment" "volumes" {
              role       = aws_iam_role.volumes.name
              policy_arn = "arn:{}:iam::aws:policy/{}"
            }"#,
            role,
            patient.partition(),
            POLICY
        ))
}

const POLICY: &str = "service-role/AmazonECSInfrastructureRolePolicyForVolumes";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_the_role_or_quotes_what_ecs_says() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .starts_with("The task's EBS volume cannot be created or attached, because ECS is not allowed to assume role mailer-volumes: 3 of 3")
        );
        let text = "InvalidVolume.ZoneMismatch: The volume is not in the zone of the task";
        assert!(
            says_of_failed_starts(CHECK, 2, text)[0]
                .contains("attached (\"InvalidVolume.ZoneMismatch: ")
        );
    }

    #[test]
    fn the_role_of_the_task_is_another_one() {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        let message = "(service mailer) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::123456789012:role/x' that was \
                       provided for this task.).";
        baseline::say(&mut snapshot, 8, message);
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
