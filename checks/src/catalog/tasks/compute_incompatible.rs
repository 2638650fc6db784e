//! The task definition does not match the compute of the service: registered for EC2 instances, but
//! run on Fargate, or the other way round.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// The task definition cannot run on the launch type or capacity provider of the service.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start.
    ///
    /// # How we tell
    ///
    /// A stopped task or a service event says that the task definition "is not compatible with the
    /// selected compute strategy". The network mode is quoted: Fargate supports only `awsvpc`.
    ///
    /// # What to do
    ///
    /// Register it for the right one; Fargate requires `awsvpc` and a supported combination of CPU
    /// and memory:
    ///
    /// ```sh
    /// aws ecs register-task-definition --requires-compatibilities FARGATE --network-mode awsvpc --cli-input-json file://task-definition.json
    /// ```
    ///
    /// Terraform/OpenTofu: `requires_compatibilities` and `network_mode` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `tasks_fail_to_start`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/failed-to-start-error.html>
    title: "The task definition does not fit the launch type",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        use crate::baseline::{fail_to_start, id};
        fail_to_start(snapshot, 3, "The selected task definition is not compatible with the selected compute strategy.");
        let definition = id::ecs("task-definition/mailer:12");
        snapshot.task_definitions.change(&definition).into_iter().for_each(|definition| definition.network_mode = Some("bridge".into()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ComputeIncompatible], |told, findings| {
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let service = patient.service();
        let on = service.launch_type.clone().or_else(|| {
            (!service.capacity_providers.is_empty()).then(|| service.capacity_providers.join(", "))
        });
        let on = on.unwrap_or_else(|| "the compute of the service".into());
        let mode = definition.and_then(|definition| definition.network_mode.as_deref());
        let wrong_mode = mode.filter(|mode| *mode != "awsvpc" && on.starts_with("FARGATE"));
        let why = wrong_mode.map_or_else(String::new, |mode| {
            format!(", because its network mode is {mode} and Fargate supports only awsvpc")
        });
        let remedy = Remedy::new(format!(
            "Register the task definition for {on}, or change the launch type or capacity provider of the service."
        ))
        .cli(aws!(
            "ecs register-task-definition --requires-compatibilities FARGATE \
             --network-mode awsvpc --cli-input-json file://task-definition.json"
        ))
        .cli(told.see(patient))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_task_definition" {} {
              requires_compatibilities = ["FARGATE"]
              network_mode             = "awsvpc"
            }"#,
            patient.name()
        ));
        let evidence = wrong_mode.map(|mode| {
            Evidence::new(
                crate::call::Call::DescribeTaskDefinition,
                told.task_definition,
                "networkMode",
                mode,
            )
        });
        Some(
            told.finding(
                patient,
                &format!("task definition {} is not compatible with {on}{why}", told.version()),
            )
            .because_all(evidence)
            .mend(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_the_network_mode_where_that_is_it() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "Task definition mailer:12 is not compatible with FARGATE, because its network mode is bridge and Fargate supports only awsvpc: 3 of 3"
        ));
    }

    #[test]
    fn with_the_right_mode_something_else_does_not_fit() {
        assert!(
            says_of_failed_starts(
                CHECK,
                2,
                "The selected task definition is not compatible with the selected compute strategy."
            )[0]
            .starts_with("Task definition mailer:12 is not compatible with FARGATE: 2 of 2")
        );
    }

    #[test]
    fn a_task_that_finds_no_place_fits_and_is_told_by_another() {
        let words = "RESOURCE:MEMORY";
        assert!(says_of_failed_starts(CHECK, 2, words).is_empty());
    }
}
