//! The target group takes another kind of target than the tasks are: addresses where they share
//! those of instances, or instances where they have their own.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// The target type of the group does not fit the network mode of the task definition: tasks
    /// with `awsvpc` are registered by address, those with `bridge` or `host` by the instance that
    /// they run on.
    ///
    /// # Why it matters
    ///
    /// ECS cannot register such tasks. The deployment that changes the network mode fails.
    ///
    /// # How we tell
    ///
    /// `TargetType` of the group and `networkMode` of the primary deployment's task definition do
    /// not go together. Groups for a Lambda function or for another load balancer are left out; so
    /// is a task definition that names no mode.
    ///
    /// # What to do
    ///
    /// The type of a target group cannot be changed: create another one, and set it in the service.
    ///
    /// ```sh
    /// aws elbv2 create-target-group --name <name> --target-type ip --protocol HTTP --port <port> --vpc-id <vpc>
    /// ```
    ///
    /// Terraform/OpenTofu: `target_type = "ip"` in `aws_lb_target_group`, which replaces it.
    ///
    /// # See also
    ///
    /// `target_group_in_other_vpc`, `target_group_missing`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "The target group's type does not fit the network mode",
    severity: High,
    role: Cause,
    explains: [NoTarget, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTaskDefinition],
    example: on fargate, |snapshot| {
        let group = crate::baseline::id::group("api");
        snapshot.target_groups.change(&group).into_iter().for_each(|group| group.target_type = Some("instance".into()));
        snapshot.target_health.put(&group, Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let definitions: Vec<String> = stop::primary_version(patient)
        .into_iter()
        .filter_map(|version| version.task_definition)
        .collect();
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        for arn in &definitions {
            let Some(definition) = findings.see(patient.task_definition(arn)).flatten() else {
                continue;
            };
            let (Some(kind), Some(mode)) =
                (settings.target_type.as_deref(), definition.network_mode.as_deref())
            else {
                continue;
            };
            let wanted = match (mode, kind) {
                ("awsvpc", "instance") => "ip",
                ("bridge" | "host", "ip") => "instance",
                _ => continue,
            };
            let name = traffic::group_name(group);
            let version = format!("{}:{}", definition.family, definition.revision);
            let claim = format!(
                "tasks of {version} have network mode {mode} and need a target group of type {wanted}; {name} is of type {kind}, so ECS cannot register them there"
            );
            let (protocol, port) =
                (settings.protocol.as_deref().unwrap_or("HTTP"), settings.port.unwrap_or(80));
            let vpc = settings.vpc_id.as_deref().map_or_else(|| Word::needed("VPC_ID"), Word::new);
            let remedy = Remedy::new(format!(
                "Replace {name} with a target group of type {wanted}, in its listener rule and in the service; or go back to a task definition with the other network mode."
            ))
            .cli(aws!(
                "elbv2 create-target-group --name {}-{} --target-type {} --protocol {} --port {} \
                 --vpc-id {}",
                name,
                wanted,
                wanted,
                protocol,
                port,
                vpc
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  target_type = {}
                }"#,
                name,
                wanted
            ));
            findings.add(
                Subject::new(Kind::TargetGroup, group)
                    .sick(
                        claim,
                        Evidence::new(Call::DescribeTargetGroups, group, "TargetType", kind),
                    )
                    .because(Evidence::new(Call::DescribeTaskDefinition, arn, "networkMode", mode))
                    .mend(remedy)
                    .concerns(Kind::TargetGroup, group)
                    .concerns(Kind::TaskDefinition, arn),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(mut snapshot: Snapshot, kind: &str) -> Snapshot {
        snapshot.target_groups.0.keys().cloned().collect::<Vec<_>>().iter().for_each(|group| {
            snapshot.target_groups.change(group).unwrap().target_type = Some(kind.into());
        });
        snapshot
    }

    #[test]
    fn says_which_type_the_mode_needs() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Tasks of api:12 have network mode awsvpc and need a target group of type ip; api is of type instance, so ECS cannot register them there."
            ]
        );
        assert!(
            says(CHECK, &with(baseline::ec2(), "ip"))[0]
                .contains("network mode bridge and need a target group of type instance")
        );
    }

    #[test]
    fn another_balancer_or_a_function_as_target_is_not_ours_to_judge() {
        for kind in ["alb", "lambda"] {
            assert_eq!(exam(CHECK, &with(baseline::fargate(), kind)).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn a_task_definition_without_a_mode_proves_nothing() {
        let mut snapshot = (CHECK.example)();
        let definition = id::ecs("task-definition/api:12");
        snapshot.task_definitions.change(&definition).unwrap().network_mode = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
