//! The log group that the task definition names does not exist, and the execution role is not
//! allowed to create it.

use std::collections::BTreeSet;

use crate::aws::stop_reason::{self, Trouble};
use crate::call::Call;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::facts::access::refusal;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// The log group of a container does not exist, and ECS is not allowed to create it.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start: the log driver starts before the app. With
    /// `awslogs-create-group`, the execution role needs `logs:CreateLogGroup`, which the managed
    /// policy does not include.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while the log driver was set up, and the end of the reason is
    /// `ResourceNotFoundException`, or a denied `logs:CreateLogGroup`. ECS may mention a missing
    /// log group in a reason that ends in a timeout: that is a network problem.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws logs create-log-group --log-group-name <group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_cloudwatch_log_group`.
    ///
    /// # See also
    ///
    /// `log_driver_unfit`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "The log group does not exist",
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
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log group: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/mailer-execution/0123 is not authorized to perform: logs:CreateLogGroup on resource: arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/mailer:log-stream:",
        );
        crate::baseline::access::simulate(
            snapshot,
            "mailer-execution",
            "logs:CreateLogGroup",
            "arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/mailer:log-stream:",
            "implicitDeny",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::LogGroupMissing], |told, findings| {
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let containers = definition.iter().flat_map(|definition| &definition.container_definitions);
        let groups: BTreeSet<&str> =
            containers.filter_map(|container| container.awslogs_group.as_deref()).collect();
        // Of several groups, it is unknown which one is missing.
        let name = match groups.len() {
            0 => "the log group".to_owned(),
            1 => format!("log group {}", and_list(&groups)),
            _ => format!("one of the log groups {}", and_list(&groups)),
        };
        let refused = stop_reason::refused(told.text);
        let claim = match refused.role {
            Some(role) => {
                format!("{name} does not exist, and role {role} is not allowed to create it")
            }
            None => format!("{name} does not exist"),
        };
        let mut remedy = Remedy::new("Create the log group, set its retention, and deploy again.");
        for group in &groups {
            remedy = remedy.cli(aws!("logs create-log-group --log-group-name {}", group));
        }
        if let Some(group) = groups.first() {
            remedy = remedy.terraform(hcl!(
                r#"
                resource "aws_cloudwatch_log_group" {} {
                  name              = {}
                  retention_in_days = 30
                }"#,
                patient.name(),
                group
            ));
        }
        let named = |group: &&str| {
            Evidence::new(
                Call::DescribeTaskDefinition,
                told.task_definition,
                "containerDefinitions.logConfiguration.options.awslogs_group",
                group,
            )
        };
        let finding = told
            .finding(patient, &claim)
            .because_all(groups.iter().map(named))
            .mend(remedy.cli(fixes::deploy(patient, told)).cli(told.see(patient)));
        // Once the group exists, the role needs no permission: what its policies say is told, and
        // the remedy stays.
        let remedy = finding.remedy.clone();
        let question = refusal::of_start(patient, findings, told);
        Some(refusal::settle(patient, findings, finding, told.text, question.as_ref()).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::says_of_failed_starts;

    fn with(tail: &str) -> Vec<String> {
        says_of_failed_starts(
            CHECK,
            2,
            &format!("ResourceInitializationError: failed to validate logger args: {tail}"),
        )
    }

    #[test]
    fn names_the_group() {
        let found = with(
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1",
        );
        assert!(
            found[0].starts_with(
                "Log group /ecs/mailer does not exist: 2 of 2 failed tasks of mailer:12"
            )
        );
    }

    #[test]
    fn a_group_that_may_not_be_created_is_missing_too() {
        let found = with(
            "failed to create Cloudwatch log group: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/01 is not authorized to \
             perform: logs:CreateLogGroup on resource: arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/mailer:log-stream:",
        );
        assert!(found[0].starts_with(
            "Log group /ecs/mailer does not exist, and role exec is not allowed to create it: "
        ));
    }

    #[test]
    fn a_message_about_a_missing_group_may_be_the_network() {
        let found = with(
            "The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and \
             Amazon CloudWatch. Check your network configuration. : signal: killed",
        );
        assert!(found.is_empty());
    }

    #[test]
    fn a_log_message_that_is_iam_is_no_missing_group() {
        let found = with(
            "failed to create Cloudwatch log stream: AccessDeniedException: not authorized to perform: logs:CreateLogStream",
        );
        assert!(found.is_empty());
    }

    #[test]
    fn two_causes_at_once_have_each_its_own_chain() {
        let network = "CannotPullContainerError: failed to resolve ref mailer:1: failed to do request: dial tcp 52.94.53.1:443: i/o timeout";
        let missing = "ResourceInitializationError: failed to validate logger args: ResourceNotFoundException: The specified log group does not exist.";
        let mut snapshot = baseline::worker();
        baseline::roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into()
        });
        baseline::fail_to_start(&mut snapshot, 6, network);
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table.routes.truncate(1);
        }
        let arn = snapshot.services[0].service_arn.clone();
        for task in &mut snapshot.stopped_tasks.change(&arn).unwrap()[3..] {
            task.started_by = Some("ecs-svc/1000000000000000013".into());
            task.task_definition_arn = baseline::id::ecs("task-definition/mailer:13");
            task.stopped_reason = Some(missing.into());
        }
        let intent = crate::patient::Intent::default();
        let diagnosis =
            crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let chain = |id: &str| {
            let root = diagnosis.roots.iter().find(|root| root.check.id() == id).unwrap();
            let mut ids = Vec::new();
            let mut node = root;
            while let Some(next) = node.explains.first() {
                ids.push(next.check.id());
                node = next;
            }
            ids
        };
        assert_eq!(
            chain("no_route_out"),
            [
                "registry_unreachable",
                "tasks_fail_to_start",
                "tasks_keep_stopping",
                "too_few_running"
            ]
        );
        assert_eq!(
            chain("log_group_missing"),
            ["tasks_fail_to_start", "tasks_keep_stopping", "deployment_rolled_back"]
        );
    }
}
