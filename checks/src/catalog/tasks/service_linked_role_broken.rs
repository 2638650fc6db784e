//! ECS lost the permissions with which it looks after the service: its service-linked role is
//! missing or was changed.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// ECS may not maintain the service any more.
    ///
    /// # Why it matters
    ///
    /// Tasks that stop are not replaced, targets are not registered, nothing scales. What runs goes
    /// on until it stops.
    ///
    /// # How we tell
    ///
    /// While tasks are lacking, a service event says that IAM's permissions policies or trust
    /// relationship "have been misconfigured or changed, and ECS can no longer maintain your
    /// service", and no later event overrules it.
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
            "its role does not trust it any more"
        } else {
            "its role has lost permissions"
        };
        let remedy = Remedy::new(
            "Bring the service-linked role back, or undo the change to the role that the service \
             names.",
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
                &format!("ECS cannot maintain the service any more, because {why}"),
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
                "ECS cannot maintain the service any more, because its role does not trust it any more: ECS said so of mailer:12 8 min ago."
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
