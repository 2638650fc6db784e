//! ECS lost the permissions that it needs to maintain the service: its service-linked role is
//! missing or was changed.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// ECS can no longer maintain the service.
    ///
    /// # Why it matters
    ///
    /// Tasks that stop are not replaced, targets are not registered, nothing scales. Running tasks
    /// continue until they stop.
    ///
    /// # How we tell
    ///
    /// While tasks are missing, a service event says that IAM's permissions policies or trust
    /// relationship "have been misconfigured or changed, and ECS can no longer maintain your
    /// service", and no later event supersedes it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws iam get-role --role-name AWSServiceRoleForECS
    /// aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_iam_service_linked_role` with `aws_service_name =
    /// "ecs.amazonaws.com"`.
    ///
    /// # See also
    ///
    /// `role_not_assumable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "The ECS service-linked role is missing or changed",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            8,
            "(service mailer) IAM trust relationship has been misconfigured or changed, and ECS can no longer maintain your service.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ServiceLinkedRoleBroken], |told, _| {
        let why = if told.text.contains("trust relationship") {
            "its role no longer trusts ECS"
        } else {
            "its role has lost permissions"
        };
        let remedy = Remedy::new(
            "Recreate the service-linked role, or revert the change to the role that the service names.",
        )
        .cli(aws!("iam get-role --role-name AWSServiceRoleForECS"))
        .cli(aws!("iam create-service-linked-role --aws-service-name ecs.amazonaws.com"))
        .terraform(hcl!(
            r#"
            resource "aws_iam_service_linked_role" "ecs" {
              aws_service_name = "ecs.amazonaws.com"
            }"#
        ));
        Some(
            told.finding(
                patient,
                &format!("ECS can no longer maintain the service, because {why}"),
            )
            .mend(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::says;

    #[test]
    fn tells_trust_from_permissions() {
        let mut snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "ECS can no longer maintain the service, because its role no longer trusts ECS: reported by ECS for mailer:12, 8 min ago."
            ]
        );
        snapshot.services[0].events[0].message =
            "(service mailer) IAM permissions policies have been misconfigured or changed, and ECS can no longer maintain your service.".into();
        assert!(says(CHECK, &snapshot)[0].contains("its role has lost permissions"));
    }

    #[test]
    fn a_role_of_the_task_is_another_one() {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(
            &mut snapshot,
            8,
            "(service mailer) failed to launch a task with (error ECS was unable to assume the role 'x'.).",
        );
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
