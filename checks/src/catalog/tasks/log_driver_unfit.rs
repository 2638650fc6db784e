//! The log driver cannot be initialized: its options are wrong, the execution role is not allowed
//! to write logs, or CloudWatch Logs cannot be reached. The last is explained by the network, so it
//! shows a symptom; the other two are fixed here.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::arn;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::access::refusal;
use crate::facts::network::egress_path;
use crate::facts::tasks::log_driver;
use crate::finding::{Kind, Remedy};
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// The log driver of a container cannot be initialized, although its log group is not what is
    /// missing.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start: the log driver starts before the app, so there is no log
    /// to read.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with "failed to validate logger args" or "failed to initialize
    /// logging driver". The end of the reason distinguishes three cases: a timeout means that
    /// CloudWatch Logs cannot be reached, a denial that the execution role is not allowed to write
    /// logs, and anything else that the driver rejects its options.
    ///
    /// # What to do
    ///
    /// Look at the options:
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.containerDefinitions[].logConfiguration'
    /// ```
    ///
    /// Terraform/OpenTofu: `logConfiguration` in `container_definitions`; `aws_vpc_endpoint` for
    /// `logs`.
    ///
    /// # See also
    ///
    /// `log_group_missing`, `log_destination_unreachable`, `no_route_out`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "The log driver cannot be initialized",
    severity: High,
    role: Cause,
    shows: LogsUnreachable,
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
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/mailer-execution/0123 is not authorized to perform: logs:CreateLogStream on resource: arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/mailer:log-stream:ecs/worker/0123",
        );
        crate::baseline::access::simulate(
            snapshot,
            "mailer-execution",
            "logs:CreateLogStream",
            "arn:aws:logs:eu-west-2:123456789012:log-group:/ecs/mailer:log-stream:ecs/worker/0123",
            "implicitDeny",
        );
    },
}

static ARGUMENTS: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"validate logger args: (?<it>.+?)(?: ?: exit status \d+)?$"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(
        patient,
        findings,
        &[Trouble::LogsUnreachable, Trouble::LogsDenied, Trouble::LogOptionsWrong],
        |told, findings| {
            // No change to a role helps against what an endpoint refuses.
            if egress_path::is_of_endpoint(told.text) {
                return None;
            }
            // Logs that go elsewhere than to CloudWatch are for another check.
            if findings.see(log_driver::elsewhere(patient, told))?.is_some() {
                return None;
            }
            let refused = stop_reason::refused(told.text);
            let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
            let execution = definition.and_then(|one| one.execution_role_arn.as_deref());
            let role = refused.role.or(execution.map(arn::last));
            let (claim, remedy) = match told.reason.trouble {
                Trouble::LogsUnreachable => (
                    "the log driver cannot reach CloudWatch Logs".to_owned(),
                    Remedy::new(
                        "Give the tasks a route to CloudWatch Logs: a NAT gateway, an internet gateway with public IP addresses, or an interface endpoint for logs; and allow outbound traffic on port 443 in their security groups.",
                    )
                    .cli(told.see(patient)),
                ),
                Trouble::LogsDenied => (
                    format!(
                        "{} is not allowed to {}",
                        refused
                            .role
                            .map_or("the execution role".to_owned(), |role| format!("role {role}")),
                        refused.action.map_or("write logs".to_owned(), |action| format!("call {action}"))
                    ),
                    Remedy::new(
                        "Allow the execution role to call logs:CreateLogStream and logs:PutLogEvents on the log group, then deploy again.",
                    )
                    .cli(aws!(
                        "iam attach-role-policy --role-name {} --policy-arn \
                         arn:{}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
                        role.map_or(Word::needed("EXECUTION_ROLE"), Word::new),
                        patient.partition()
                    ))
                    .cli(fixes::deploy(patient, told))
                    .cli(told.see(patient))
                    .terraform(hcl!(
                        r#"
                        resource "aws_iam_role_policy_attachment" "execution" {
                          role       = {}
                          policy_arn = "arn:{}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
                        }"#,
                        role.map_or(hcl!("var.execution_role"), |role| hcl!("{}", role)),
                        patient.partition()
                    )),
                ),
                _ => (
                    format!(
                        "the log driver rejects its options (\"{}\")",
                        stop_reason::quoted(
                            stop_reason::part(&ARGUMENTS, told.text).unwrap_or(told.text)
                        )
                    ),
                    Remedy::new(
                        "Fix logConfiguration.options in the task definition, and deploy it.",
                    )
                    .cli(aws!(
                        "ecs describe-task-definition --task-definition {} \
                         --query taskDefinition.containerDefinitions[].logConfiguration",
                        told.version()
                    ))
                    .cli(fixes::register())
                    .terraform(hcl!(
                        r#"
                        resource "aws_ecs_task_definition" {} {
                          container_definitions = jsonencode([{
                            logConfiguration = { logDriver = "awslogs", options = var.log_options }
                          }])
                        }"#,
                        patient.name()
                    )),
                ),
            };
            let subnets = told.tasks.iter().filter_map(|task| task.subnet_id.as_deref());
            let finding = told.finding(patient, &claim).mend(remedy);
            // A subnet's route can only explain that CloudWatch cannot be reached.
            Some(match told.reason.trouble {
                Trouble::LogsUnreachable => finding.concerns_all(Kind::Subnet, subnets),
                Trouble::LogsDenied => {
                    let question = refusal::of_start(patient, findings, told);
                    refusal::settle(
                        patient,
                        findings,
                        finding.concerns_no(Kind::Subnet),
                        told.text,
                        question.as_ref(),
                    )
                }
                _ => finding.concerns_no(Kind::Subnet),
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says_of_failed_starts;

    fn with(tail: &str) -> Vec<String> {
        says_of_failed_starts(
            CHECK,
            2,
            &format!("ResourceInitializationError: failed to validate logger args: {tail}"),
        )
    }

    #[test]
    fn the_end_of_the_reason_tells_network_role_and_options_apart() {
        let network = "The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the \
                       task and Amazon CloudWatch. Check your network configuration. : signal: killed";
        assert!(
            with(network)[0].starts_with("The log driver cannot reach CloudWatch Logs: 2 of 2")
        );
        let denied = "failed to create Cloudwatch log stream: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/01 is not \
                      authorized to perform: logs:CreateLogStream on resource: arn:aws:logs:x";
        assert!(
            with(denied)[0].starts_with("Role exec is not allowed to call logs:CreateLogStream: ")
        );
        assert!(with("awslogs-region is required: exit status 1")[0].starts_with(
            "The log driver rejects its options (\"awslogs-region is required\"): 2 of 2"
        ));
    }

    #[test]
    fn a_missing_group_is_for_another_check() {
        assert!(with("failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.").is_empty());
    }
}
