//! A container has no log configuration, so what it says when it fails is lost. Logs that go
//! elsewhere than to CloudWatch are fine.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{ContainerDefinition, Service};
use crate::text::{and_list, plural};
use crate::{aws, hcl, words};

crate::check! {
    /// An essential container has no log configuration.
    ///
    /// # Why it matters
    ///
    /// When a task ends, what it logged is the quickest way to the reason, and often the only one.
    /// On Fargate output without a log configuration is gone with the task; on an instance it stays
    /// in Docker's own files there, for a while.
    ///
    /// # How we tell
    ///
    /// `logConfiguration` of an essential container is missing in the task definition that is
    /// deployed now. Every driver counts, FireLens and Splunk as well as `awslogs`; and the log
    /// router container needs none. An app may still send its logs itself, over the network: this
    /// cannot be seen.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws logs create-log-group --log-group-name /ecs/<service>
    /// aws ecs register-task-definition --cli-input-json file://task-definition.json
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family>
    /// ```
    ///
    /// Terraform/OpenTofu: `logConfiguration` in `container_definitions` of
    /// `aws_ecs_task_definition`, `aws_cloudwatch_log_group`.
    ///
    /// # See also
    ///
    /// `log_group_missing`, `log_driver_unfit`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
    title: "A container has no log configuration",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [DescribeServices, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        let definition = snapshot.services[0].task_definition.clone().unwrap_or_default();
        for container in snapshot.task_definitions.change(&definition).into_iter().flat_map(|definition| &mut definition.container_definitions) {
            container.log_driver = None;
            (container.awslogs_group, container.awslogs_region, container.awslogs_stream_prefix) = (None, None, None);
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let Some(arn) = service.primary_definition().or(service.task_definition.as_deref()) else {
        return Err(NoAnswer::NotApplicable("no task definition of its own"));
    };
    let Some(definition) = patient.task_definition(arn)? else { return Ok(()) };
    let is_mute = |container: &&ContainerDefinition| {
        container.essential && container.log_driver.is_none() && container.firelens_type.is_none()
    };
    let mute: Vec<&str> = definition
        .container_definitions
        .iter()
        .filter(is_mute)
        .map(|container| container.name.as_str())
        .collect();
    let Some(first) = mute.first() else { return Ok(()) };
    let (containers, have) = plural(mute.len(), ("container", "has"), ("containers", "have"));
    let fate = if is_fargate(service) {
        "is lost with the task"
    } else {
        "stays in Docker's files on the instance, if anywhere"
    };
    let claim = format!(
        "{containers} {} of {} {have} no log configuration: the output {fate}",
        and_list(&mute),
        rollout::short(arn)
    );
    let group = format!("/ecs/{}", patient.name());
    let family = rollout::short(arn).split_once(':').map_or(arn, |(family, _)| family);
    let remedy = Remedy::new(
        "Configure a log driver, unless the app itself sends its logs elsewhere. The execution role must be allowed to write them.",
    )
    .cli(aws!("logs create-log-group --log-group-name {}", group))
    .cli(aws!("ecs register-task-definition --cli-input-json file://task-definition.json"))
    .cli(patient.update_service().and(words!("--task-definition {}", family)))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          container_definitions = jsonencode([{
            name = {}
            logConfiguration = {
              logDriver = "awslogs"
              options = {
                awslogs-group         = {}
                awslogs-region        = {}
                awslogs-stream-prefix = "ecs"
              }
            }
          }])
        }"#,
        patient.name(),
        first,
        group,
        patient.region()
    ));
    findings.add(
        Subject::new(Kind::TaskDefinition, arn)
            .sick(
                claim,
                Evidence::new(
                    Call::DescribeTaskDefinition,
                    arn,
                    "containerDefinitions.logConfiguration.logDriver",
                    "null",
                ),
            )
            .mend(remedy)
            .concerns(Kind::TaskDefinition, arn),
    );
    Ok(())
}

fn is_fargate(service: &Service) -> bool {
    service.launch_type.as_deref() == Some("FARGATE")
        || service.capacity_providers.iter().any(|provider| provider.starts_with("FARGATE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::snapshot::{Snapshot, TaskDefinition};
    use crate::testing::says;

    fn with(mut snapshot: Snapshot, change: impl FnOnce(&mut TaskDefinition)) -> Snapshot {
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        change(snapshot.task_definitions.change(&definition).unwrap());
        snapshot
    }

    fn mute(definition: &mut TaskDefinition) {
        definition.container_definitions[0].log_driver = None;
    }

    #[test]
    fn says_what_becomes_of_the_output() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container worker of mailer:12 has no log configuration: the output is lost with the task."
            ]
        );
        assert!(
            says(CHECK, &with(baseline::ec2(), mute))[0]
                .ends_with("stays in Docker's files on the instance, if anywhere.")
        );
    }

    #[test]
    fn logs_may_go_elsewhere_than_to_cloudwatch() {
        for driver in ["awsfirelens", "splunk", "json-file"] {
            assert!(
                says(
                    CHECK,
                    &with(baseline::worker(), |definition| definition.container_definitions[0]
                        .log_driver = Some(driver.into()))
                )
                .is_empty()
            );
        }
    }

    #[test]
    fn the_router_of_logs_needs_none_and_a_helper_may_be_mute() {
        let router = |definition: &mut TaskDefinition| {
            mute(definition);
            definition.container_definitions[0].firelens_type = Some("fluentbit".into());
        };
        assert!(says(CHECK, &with(baseline::worker(), router)).is_empty());
        let helper = |definition: &mut TaskDefinition| {
            mute(definition);
            definition.container_definitions[0].essential = false;
        };
        assert!(says(CHECK, &with(baseline::worker(), helper)).is_empty());
    }
}
