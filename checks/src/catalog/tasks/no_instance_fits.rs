//! No container instance of the cluster has room for the task or meets its requirements. ECS names
//! the closest one and what it lacks; the instances' own numbers show how much each lacks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::call::Call;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word, Words};
use crate::facts::tasks::capacity::{self, Candidate, Lack, Need};
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::snapshot::{ContainerInstance, TaskDefinition};
use crate::text::{and_list, pattern};
use crate::{aws, hcl, words};

crate::check! {
    /// ECS finds no container instance that can run the task.
    ///
    /// # Why it matters
    ///
    /// The task is not started at all. A rolling deployment needs room for the old and the new
    /// tasks at the same time.
    ///
    /// # How we tell
    ///
    /// A service event says that no container instance met all requirements, or a stopped task has
    /// a reason like `RESOURCE:MEMORY`, and no later event supersedes it. A single event of the
    /// last three minutes does not count: instances may still be launching. Then what the task
    /// needs (CPU, memory, fixed host ports, GPUs, attributes, placement constraints, the
    /// Availability Zones of its subnets) is compared with what each instance has left now, whether
    /// it accepts tasks, and whether its agent is connected. Constraints with more than one
    /// comparison, and free network interfaces, are not evaluated.
    ///
    /// # What to do
    ///
    /// Use more or larger instances, or smaller tasks. With a fixed host port, an instance runs
    /// only one such task:
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster>
    /// aws ecs describe-container-instances --cluster <cluster> --container-instances <instance> --query 'containerInstances[].remainingResources'
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_ecs_capacity_provider` with `managed_scaling`, `cpu` and `memory`
    /// of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `agent_disconnected`, `capacity_provider_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "No container instance can run the task",
    severity: High,
    role: Cause,
    shows: NoInstanceFits,
    explains: [TasksFailToStart, TooFewRunning],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        DescribeContainerInstances,
        DescribeSubnets,
    ],
    example: on ec2, |snapshot| {
        use crate::baseline::capacity::instance;
        crate::baseline::lack_tasks(snapshot);
        let (cluster, definition) = (snapshot.services[0].cluster_arn.clone(), snapshot.services[0].task_definition.clone().unwrap_or_default());
        for (row, free) in snapshot.container_instances.change(&cluster).into_iter().flatten().zip([220, 300]) {
            row.remaining_resources.memory = Some(free);
        }
        let subnets = vec!["subnet-0a1".into(), "subnet-0b2".into()];
        let network = crate::snapshot::service::NetworkConfiguration { subnets, ..Default::default() };
        snapshot.services[0].deployments[0].network_configuration = Some(network);
        snapshot.task_definitions.change(&definition).into_iter().for_each(|definition| definition.network_mode = Some("awsvpc".into()));
        let closest = instance(8);
        let closest = crate::aws::arn::last(&closest);
        crate::baseline::say(
            snapshot,
            8,
            &format!("(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance {closest}) has insufficient memory available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."),
        );
    },
}

static INSTANCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"container-instance (?<it>[0-9a-f-]+)"));
static LACKS: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"container-instance [0-9a-f-]+\)? (?<it>[^.]+)"));
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"RESOURCE:(?<it>\w+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::NoInstanceFits], |told, findings| {
        let named = stop_reason::part(&INSTANCE, told.text);
        let lacks = stop_reason::part(&LACKS, told.text);
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let need = definition.map(|definition| {
            Need::of(patient.service(), definition, zones(patient, findings, definition))
        });
        let candidates =
            need.as_ref().filter(|_| capacity::matters(patient.service(), patient.now()));
        let candidates = candidates.and_then(|need| {
            Some((need, findings.see(capacity::candidates(patient, need, named))?))
        });
        let Some((need, candidates)) = candidates else {
            // Without the instances, ECS's own message is all there is.
            let why = match (named, lacks, stop_reason::part(&RESOURCE, told.text)) {
                (Some(instance), Some(lacks), _) => format!(
                    " (the closest one, {}, {lacks})",
                    instance.get(..12).unwrap_or(instance)
                ),
                (_, _, Some(resource)) => format!(" (they lack {resource})"),
                _ => String::new(),
            };
            return Some(told.finding(patient, &format!("{CLAIM}{why}")).mend(remedy_by_words(
                patient,
                lacks.unwrap_or_default(),
                named,
            )));
        };
        let (claim, detail) = in_numbers(patient, told, need, &candidates);
        let finding = Finding { claim, detail, ..told.finding(patient, CLAIM) };
        let closest = candidates.first().zip(definition);
        let lacks = closest.into_iter().flat_map(|(closest, definition)| {
            closest.lacks.iter().map(move |lack| (closest.instance, lack, definition))
        });
        let evidence = lacks.filter_map(|(instance, lack, definition)| {
            lack.evidence(patient, instance, definition)
        });
        Some(finding.because_all(needs(definition)).because_all(evidence).mend(remedy(
            patient,
            need,
            &candidates,
        )))
    })
}

const CLAIM: &str = "no container instance has room for the task or meets its requirements";

/// The zones of the service's subnets; none where one of them is hidden.
fn zones<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    definition: &TaskDefinition,
) -> Vec<&'a str> {
    let service = patient.service();
    if definition.network_mode.as_deref() != Some("awsvpc") {
        return Vec::new();
    }
    let primary = service.primary();
    let network = primary
        .and_then(|primary| primary.network_configuration.as_ref())
        .or(service.network_configuration.as_ref());
    let zones: Option<Vec<&str>> = network
        .into_iter()
        .flat_map(|network| &network.subnets)
        .map(|id| findings.see(patient.subnet(id)).flatten()?.availability_zone.as_deref())
        .collect();
    zones.unwrap_or_default()
}

/// Claim and detail: `no container instance fits web:31: the closest of 3, i-0a1b, is 212 MiB of
/// memory short …` and `A task needs …`.
fn in_numbers(
    patient: &Patient,
    told: &Told,
    need: &Need,
    candidates: &[Candidate],
) -> (String, String) {
    let version = told.version();
    let needs = match need.words() {
        words if words.is_empty() => String::new(),
        words => format!("A task needs {words}. "),
    };
    let detail = match told.said {
        Some(at) => format!(
            "{needs}ECS last reported {} ago that it cannot place one.",
            time::words(time::age(patient.now(), at))
        ),
        None => format!("{needs}{}.", told.count(patient.now())),
    };
    let Some((closest, others)) = candidates.split_first() else {
        let claim = format!(
            "no container instance fits {version}: the cluster has none that the service can use"
        );
        return (claim, detail);
    };
    let name = closest.instance.name();
    if closest.lacks.is_empty() {
        let claim = format!(
            "no container instance had room for {version}, although {name} seems to have what it needs now"
        );
        return (claim, detail);
    }
    let words = |candidate: &Candidate| {
        and_list(candidate.lacks.iter().map(|lack| lack.words(candidate.instance)))
    };
    let lacks = words(closest);
    let how = match others {
        [] => format!("the only one, {name}, {lacks}"),
        all if all.iter().all(|other| words(other) == lacks) => {
            format!("each of {} instances {lacks}", candidates.len())
        }
        [other] => format!(
            "the closest of 2, {name}, {lacks}; the other, {}, {}",
            other.instance.name(),
            words(other)
        ),
        many => {
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            for lack in many.iter().filter_map(|other| other.lacks.first()) {
                *kinds.entry(kind(lack)).or_default() += 1;
            }
            let kinds =
                and_list(kinds.into_iter().map(|(kind, number)| format!("{number} {kind}")));
            format!("the closest of {}, {name}, {lacks}; of the others {kinds}", candidates.len())
        }
    };
    (format!("no container instance fits {version}: {how}"), detail)
}

/// What a number of instances has in common.
fn kind(lack: &Lack) -> &'static str {
    match lack {
        Lack::Cpu { .. } => "short of CPU",
        Lack::Memory { .. } => "short of memory",
        Lack::Port { .. } => "with the port in use",
        Lack::Gpu { .. } => "without enough GPUs",
        Lack::Attribute(_) | Lack::Constraint(_) => "that do not meet the constraints",
        Lack::Occupied => "that already run a task of the service",
        Lack::Zone(_) => "in another Availability Zone",
        Lack::Status(_) => "not ACTIVE",
        Lack::Agent => "without a connected agent",
    }
}

/// What the task requests: as a whole, or its containers one by one.
fn needs(definition: Option<&TaskDefinition>) -> Vec<Evidence> {
    let Some(definition) = definition else { return Vec::new() };
    let of = |field, value: String| {
        Evidence::new(Call::DescribeTaskDefinition, &definition.task_definition_arn, field, value)
    };
    let mut needs: Vec<Evidence> =
        definition.cpu.iter().map(|cpu| of("cpu", cpu.clone())).collect();
    needs.extend(definition.memory.iter().map(|memory| of("memory", memory.clone())));
    if definition.memory.is_none() {
        needs.extend(definition.container_definitions.iter().filter_map(|container| {
            let reserved = container
                .memory_reservation
                .map(|memory| of("containerDefinitions.memoryReservation", memory.to_string()));
            reserved
                .or_else(|| Some(of("containerDefinitions.memory", container.memory?.to_string())))
        }));
    }
    needs
}

const PORT: &str = "With a fixed host port, an instance runs only one such task: use hostPort 0, awsvpc, or more instances.";
const ATTRIBUTE: &str =
    "Set the attribute that the task requires on an instance, or remove the requirement.";
const ROOM: &str = "Add instances or use larger ones, or request less CPU and memory; a deployment needs room for both versions, unless minimumHealthyPercent is below 100.";

/// What to do by ECS's words alone.
fn remedy_by_words(patient: &Patient, lacks: &str, instance: Option<&str>) -> Remedy {
    let advice = match lacks {
        lacks if lacks.contains("port") => PORT,
        lacks if lacks.contains("attribute") => ATTRIBUTE,
        _ => ROOM,
    };
    let cluster = patient.cluster();
    let remedy = match advice {
        PORT => Remedy::new(advice).cli(fixes::register()),
        ROOM => Remedy::new(advice).cli(fixes::add_instances()),
        _ => Remedy::new(advice),
    };
    remedy.cli(match instance {
        Some(instance) => aws!(
            "ecs describe-container-instances --cluster {} --container-instances {} \
             --query containerInstances[].remainingResources",
            cluster,
            instance
        ),
        None => aws!("ecs list-container-instances --cluster {}", cluster),
    })
}

/// What to do about what the closest instance lacks.
fn remedy(patient: &Patient, need: &Need, candidates: &[Candidate]) -> Remedy {
    let cluster = patient.cluster();
    let all = aws!(
        "ecs describe-container-instances --cluster {} --container-instances {} \
         --query containerInstances[].[ec2InstanceId,status,agentConnected,remainingResources]",
        cluster,
        // As JSON, which may be one argument.
        Word::output(aws!(
            "ecs list-container-instances --cluster {} --query containerInstanceArns --output json",
            cluster
        ))
    );
    let update = |options: Words| patient.update_service().and(options);
    let free_port = hcl!(
        r#"
        # in the portMappings of container_definitions of aws_ecs_task_definition
        hostPort = 0"#
    );
    let deploys = patient.service().deployments.len() > 1;
    let more = hcl!(
        r#"
        resource "aws_ecs_capacity_provider" "instances" {
          name = "instances"
          auto_scaling_group_provider {
            auto_scaling_group_arn = aws_autoscaling_group.ecs.arn
            managed_scaling { status = "ENABLED" }
          }
        }"#
    );
    let Some(closest) = candidates.first() else {
        return Remedy::new(
            "Add instances that the service can use; they must register with this cluster.",
        )
        .cli(fixes::add_instances())
        .cli(all)
        .terraform(more);
    };
    let instance = closest.instance;
    if candidates.iter().all(|candidate| need.is_too_large_for(candidate.instance)) {
        return Remedy::new(
            "Even an empty instance is too small for the task: use a larger instance type, or request less CPU or memory.",
        )
        .cli(all)
        .terraform(hcl!(
            r#"
            # in aws_launch_template
            instance_type = "m6i.xlarge""#
        ));
    }
    match closest.lacks.first() {
        Some(Lack::Port { by_us: true, .. }) if deploys => Remedy::new(
            "The old tasks use the port that the new ones need: allow ECS to stop a task first, or use hostPort 0 or awsvpc.",
        )
        .cli(update(words!(
            "--deployment-configuration minimumHealthyPercent=50,maximumPercent=100"
        )))
        .terraform(hcl!(
            r#"
            # in aws_ecs_service
            deployment_minimum_healthy_percent = 50
            deployment_maximum_percent         = 100"#
        )),
        Some(Lack::Port { by_us: true, .. }) => Remedy::new(
            "The service's own tasks use the port, one per instance: add an instance, or use hostPort 0 or awsvpc.",
        )
        .cli(fixes::register())
        .cli(all)
        .terraform(free_port),
        Some(Lack::Port { .. }) => {
            Remedy::new(PORT).cli(fixes::register()).cli(all).terraform(free_port)
        }
        Some(Lack::Constraint(expression))
            if capacity::is_of_service(patient.service(), expression) =>
        {
            Remedy::new(ATTRIBUTE)
                .cli(put_attribute(cluster, expression, instance))
                .cli(update(words!("--placement-constraints []")))
                .terraform(hcl!(
                    r#"
                    # in aws_ecs_service: remove or correct
                    placement_constraints { }"#
                ))
        }
        Some(Lack::Constraint(name) | Lack::Attribute(name)) => {
            Remedy::new(ATTRIBUTE).cli(put_attribute(cluster, name, instance))
        }
        Some(Lack::Gpu { .. }) => Remedy::new(
            "Use an instance type with enough GPUs, on the ECS GPU-optimized AMI, or request fewer.",
        )
        .cli(all),
        Some(Lack::Occupied) => Remedy::new(
            "The service allows one task per instance (distinctInstance): add instances, or run fewer tasks.",
        )
        .cli(fixes::add_instances())
        .cli(all),
        Some(Lack::Zone(_)) => {
            let remedy = Remedy::new(
                "Give the service a subnet in the Availability Zone of the instances, or launch \
                 instances in the Availability Zones of its subnets.",
            );
            fixes::another_subnet(patient).into_iter().fold(remedy, Remedy::cli).cli(all)
        }
        Some(Lack::Status(_)) => Remedy::new(
            "Set an instance to ACTIVE again, or add one: a draining or deregistering instance accepts no tasks.",
        )
        .cli(aws!(
            "ecs update-container-instances-state --cluster {} --container-instances {} \
             --status ACTIVE",
            cluster,
            instance.id()
        )),
        Some(Lack::Agent) => {
            let remedy = Remedy::new(
                "Restart the agent of the instance that has room, or replace the instance.",
            );
            fixes::restart_agent(instance).into_iter().fold(remedy, Remedy::cli).cli(all)
        }
        Some(Lack::Cpu { .. } | Lack::Memory { .. }) => {
            Remedy::new(ROOM).cli(fixes::add_instances()).cli(all).terraform(more)
        }
        None => Remedy::new(
            "Wait for ECS to retry (after failures, up to 15 minutes), or deploy again; where tasks have network interfaces of their own, an instance may have none left.",
        )
        .cli(update(words!("--force-new-deployment"))),
    }
}

/// The command that gives an instance an attribute: by name, or as the simple expression requires
/// it.
fn put_attribute(cluster: &str, wanted: &str, instance: &ContainerInstance) -> Command {
    let wanted = wanted.trim_start_matches("attribute:");
    let attribute = match wanted.split_once("==") {
        Some((name, value)) => format!("name={},value={}", name.trim(), value.trim()),
        None => format!("name={}", wanted.split([' ', '!']).next().unwrap_or(wanted)),
    };
    aws!(
        "ecs put-attributes --cluster {} --attributes {},targetType=container-instance,targetId={}",
        cluster,
        attribute,
        instance.id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::instance};
    use crate::call::Call;
    use crate::exam::{Outcome, examine};
    use crate::patient::Intent;
    use crate::snapshot::{Snapshot, Task};
    use crate::testing::{exam, says};

    const EVENT: &str = "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching \
                         (container-instance 8f0c1d2e3a4b) is already using a port required by your task.";

    /// No task runs since a port, of which ECS spoke, is taken; `change` is told of the instances.
    fn short(change: impl Fn(&mut Vec<ContainerInstance>)) -> Snapshot {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(&mut snapshot, 8, EVENT);
        let cluster = snapshot.services[0].cluster_arn.clone();
        change(snapshot.container_instances.change(&cluster).unwrap());
        snapshot
    }

    fn definition(snapshot: &mut Snapshot) -> &mut TaskDefinition {
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        snapshot.task_definitions.change(&definition).unwrap()
    }

    #[test]
    fn says_in_numbers_why_no_instance_fits() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No container instance fits web:12: the closest of 2, i-0a1b2c3d4e5f60001, is 212 MiB of memory short (300 of 3884 free); the other, \
                 i-0a1b2c3d4e5f60002, is 292 MiB of memory short (220 of 3884 free). A task needs 256 CPU units and 512 MiB of memory. ECS last reported 8 min ago that it cannot place one."
            ]
        );
    }

    #[test]
    fn without_the_instances_it_says_what_ecs_says() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent)
            .blindfolded([Call::DescribeContainerInstances]);
        let check: &'static crate::check::Check = Box::leak(Box::new(CHECK));
        let exam = examine(check, &patient);
        let expected = "No container instance has room for the task or meets its requirements (the closest one, 888888888888, has insufficient memory available): reported by ECS for web:12, 8 min ago.";
        assert_eq!(exam.findings[0].says(), expected);
        assert_eq!(
            (exam.outcome, exam.missed[0].call),
            (Outcome::Sick, Call::DescribeContainerInstances)
        );
    }

    #[test]
    fn capacity_that_came_meanwhile_overrules_it() {
        let mut snapshot = (CHECK.example)();
        baseline::say(&mut snapshot, 3, "(service web) has reached a steady state.");
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn instances_that_are_on_their_way_take_a_moment() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].created_at = Some(baseline::minutes_ago(1));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_port_that_the_service_itself_holds_has_advice_of_its_own() {
        let mut snapshot = short(|instances| {
            instances.truncate(1);
            instances[0].remaining_resources.ports.push("3000".into());
        });
        definition(&mut snapshot).container_definitions[0].port_mappings[0].host_port = Some(3000);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().contains(
                "fits web:12: the only one, i-0a1b2c3d4e5f60002, has port 3000 in use. A task needs"
            ),
            "{}",
            finding.says()
        );
        assert!(finding.remedy.summary.starts_with("With a fixed host port"));
        let mut own = Task { container_instance_arn: Some(instance(7)), ..Task::default() };
        own.containers
            .push(crate::snapshot::Container { host_ports: vec![3000], ..Default::default() });
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.put(arn, vec![own]);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().contains("has port 3000 in use by a task of this service. A task needs"),
            "{}",
            finding.says()
        );
        assert!(
            finding
                .remedy
                .summary
                .starts_with("The service's own tasks use the port, one per instance: ")
        );
        let older = snapshot.services[0].deployments[0].clone();
        snapshot.services[0].deployments.push(older);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.remedy.shell()[0].ends_with(
                "--deployment-configuration 'minimumHealthyPercent=50,maximumPercent=100'"
            ),
            "a deployment needs no more"
        );
    }

    #[test]
    fn an_instance_that_would_be_too_small_when_empty_is_no_matter_of_more_of_them() {
        let mut snapshot = short(|_| ());
        definition(&mut snapshot).memory = Some("8192".into());
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.remedy.summary.starts_with("Even an empty instance is too small"),
            "{}",
            finding.remedy.summary
        );
    }

    #[test]
    fn a_constraint_of_the_service_is_quoted_and_can_be_met_or_dropped() {
        let mut snapshot = short(|_| ());
        let constraint = crate::snapshot::capacity::PlacementConstraint {
            kind: "memberOf".into(),
            expression: Some("attribute:stack == batch".into()),
        };
        snapshot.services[0].placement_constraints = vec![constraint];
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().contains("fits web:12: each of 2 instances does not meet the constraint attribute:stack == batch. "),
            "{}",
            finding.says()
        );
        assert!(
            finding
                .evidence
                .iter()
                .any(|evidence| evidence.field == "placementConstraints.expression")
        );
        assert!(finding.remedy.shell()[0].contains(
            "--attributes 'name=stack,value=batch,targetType=container-instance,targetId=7777"
        ));
    }

    #[test]
    fn room_that_is_there_by_now_is_said_to_be() {
        let says = says(CHECK, &short(|_| ()));
        assert!(
            says[0].contains("although i-0a1b2c3d4e5f60002 seems to have what it needs now"),
            "{says:?}"
        );
    }

    #[test]
    fn many_instances_are_counted_by_what_they_lack() {
        let snapshot = short(|instances| {
            let mut more = instances[0].clone();
            more.container_instance_arn.push('9');
            more.status = "DRAINING".into();
            instances.push(more);
            instances[0].agent_connected = false;
            instances[1].remaining_resources.cpu = Some(0);
        });
        let said = &says(CHECK, &snapshot)[0];
        assert!(said.contains("the closest of 3, i-0a1b2c3d4e5f60002, "), "{said}");
        assert!(
            said.contains(
                "has a disconnected agent; of the others 1 not ACTIVE and 1 short of CPU. "
            ),
            "{said}"
        );
    }
}
