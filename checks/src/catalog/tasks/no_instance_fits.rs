//! No container instance of the cluster has room for the task, or fits it. ECS names the closest one and what it lacks; the
//! instances themselves tell in numbers how far each is off.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::call::{Call, quote};
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::reading::capacity::{self, Candidate, Lack, Need};
use crate::reading::reason::{self, Told, Trouble};
use crate::reading::{and_list, pattern};
use crate::snapshot::TaskDefinition;

crate::check! {
    /// ECS finds no container instance on which the task could run.
    ///
    /// # Why it matters
    ///
    /// The task is not started at all. During a rolling deployment there must be room for the old and the new tasks beside
    /// each other.
    ///
    /// # How we tell
    ///
    /// A service event says that no container instance met all requirements, or a stopped task has a reason like
    /// `RESOURCE:MEMORY`, and no later event overrules it. One such event of the last three minutes does not count: instances
    /// may be on their way. Then what the task needs (CPU, memory, fixed host ports, GPUs, attributes, placement constraints,
    /// the zones of its subnets) is held against what each instance has left now, whether it takes tasks, and whether its
    /// agent is connected. Constraints that are more than one comparison, and free network interfaces, are not judged.
    ///
    /// # What to do
    ///
    /// More or larger instances, or smaller tasks; fixed host ports let one task run on an instance:
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster>
    /// aws ecs describe-container-instances --cluster <cluster> --container-instances <instance> --query 'containerInstances[].remainingResources'
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_ecs_capacity_provider` with `managed_scaling`, `cpu` and `memory` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `agent_disconnected`, `capacity_provider_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "No container instance has room for the task, or fits it",
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
        let closest = closest.rsplit('/').next().unwrap_or_default();
        crate::baseline::say(
            snapshot,
            8,
            &format!("(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance {closest}) has insufficient memory available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."),
        );
    },
}

static INSTANCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"container-instance (?<it>[0-9a-f-]+)"));
static LACKS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"container-instance [0-9a-f-]+\)? (?<it>[^.]+)"));
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"RESOURCE:(?<it>\w+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::NoInstanceFits], |told, findings| {
        let named = reason::part(&INSTANCE, told.text);
        let lacks = reason::part(&LACKS, told.text);
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        let need = definition.map(|definition| Need::of(patient.service(), definition, zones(patient, findings, definition)));
        let candidates = need.as_ref().filter(|_| capacity::matters(patient.service(), patient.now()));
        let candidates = candidates.and_then(|need| Some((need, findings.see(capacity::candidates(patient, need, named))?)));
        let Some((need, candidates)) = candidates else {
            // Without the instances, ECS's own words are all there is.
            let why = match (named, lacks, reason::part(&RESOURCE, told.text)) {
                (Some(instance), Some(lacks), _) => format!(" (the closest one, {}, {lacks})", instance.get(..12).unwrap_or(instance)),
                (_, _, Some(resource)) => format!(" (they lack {resource})"),
                _ => String::new(),
            };
            let remedy = Remedy::new(advice_by_words(lacks.unwrap_or_default()));
            return Some(told.finding(patient, &format!("{CLAIM}{why}")).mend(commands(patient, told, remedy, named)));
        };
        let mut finding = told.finding(patient, CLAIM);
        finding.says += &format!(" {}", in_numbers(told, need, &candidates));
        let closest = candidates.first();
        let evidence = closest.into_iter().flat_map(|closest| closest.lacks.iter().map(|lack| lack.evidence(closest.instance)));
        let remedy = Remedy::new(advice(need, &candidates));
        let remedy = commands(patient, told, remedy, closest.map(|closest| closest.instance.id()).or(named));
        Some(finding.because_all(needs(definition)).because_all(evidence).mend(remedy))
    })
}

const CLAIM: &str = "No container instance has room for the task, or fits it";

/// The zones of the service's subnets; none where one of them is hidden.
fn zones<'a>(patient: &Patient<'a>, findings: &mut Findings, definition: &TaskDefinition) -> Vec<&'a str> {
    let service = patient.service();
    if definition.network_mode.as_deref() != Some("awsvpc") {
        return Vec::new();
    }
    let primary = service.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
    let network = primary.and_then(|primary| primary.network_configuration.as_ref()).or(service.network_configuration.as_ref());
    let zones: Option<Vec<&str>> = network
        .into_iter()
        .flat_map(|network| &network.subnets)
        .map(|id| findings.see(patient.subnet(id)).flatten()?.availability_zone.as_deref())
        .collect();
    zones.unwrap_or_default()
}

/// `It needs 256 CPU units and 512 MiB of memory; of 3 instances the closest, i-0a1b, is 212 MiB of memory short …`.
fn in_numbers(told: &Told, need: &Need, candidates: &[Candidate]) -> String {
    let needs = match need.words() {
        words if words.is_empty() => String::new(),
        words => format!("{} needs {words}; ", told.version()),
    };
    let Some((closest, others)) = candidates.split_first() else { return format!("{needs}no instance of the kind it wants is in the cluster.") };
    let name = closest.instance.name();
    if closest.lacks.is_empty() {
        return format!("{needs}by now instance {name} seems to have what it needs, so ECS may place it when it tries again.");
    }
    let lacks = and_list(closest.lacks.iter().map(|lack| lack.words(closest.instance)));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for lack in others.iter().filter_map(|other| other.lacks.first()) {
        *kinds.entry(kind(lack)).or_default() += 1;
    }
    let rest = match others {
        [] => return format!("{needs}the only instance, {name}, {lacks}."),
        [other] => format!("the other, {}, {}", other.instance.name(), and_list(other.lacks.iter().map(|lack| lack.words(other.instance)))),
        many => format!("of the other {}, {}", many.len(), and_list(kinds.into_iter().map(|(kind, number)| format!("{number} {kind}")))),
    };
    format!("{needs}of {} instances the closest, {name}, {lacks}; {rest}.", candidates.len())
}

/// What a number of instances has in common.
fn kind(lack: &Lack) -> &'static str {
    match lack {
        Lack::Cpu { .. } => "short of CPU",
        Lack::Memory { .. } => "short of memory",
        Lack::Port { .. } => "with the port taken",
        Lack::Gpu { .. } => "without enough GPUs",
        Lack::Attribute(_) | Lack::Constraint(_) => "without what the constraints ask for",
        Lack::Occupied => "with a task of the service already",
        Lack::Zone(_) => "in another zone",
        Lack::Status(_) => "not ACTIVE",
        Lack::Agent => "without a connected agent",
    }
}

/// What the task definition asks for, where it is the task that does.
fn needs(definition: Option<&TaskDefinition>) -> impl Iterator<Item = Evidence> {
    let of = |definition: &TaskDefinition, field, value: &Option<String>| {
        value.as_ref().map(|value| Evidence::new(Call::DescribeTaskDefinition, &definition.task_definition_arn, field, value))
    };
    definition
        .into_iter()
        .flat_map(move |definition| of(definition, "cpu", &definition.cpu).into_iter().chain(of(definition, "memory", &definition.memory)))
}

const PORT: &str = "A fixed host port lets one such task run on an instance: use hostPort 0, awsvpc, or more instances.";
const ATTRIBUTE: &str = "Give an instance the attribute that the task asks for, or do not ask for it.";
const ROOM: &str =
    "Add or enlarge instances, or ask for less CPU and memory; a deployment needs room for both versions, unless minimumHealthyPercent is below 100.";

fn advice_by_words(lacks: &str) -> &'static str {
    match lacks {
        lacks if lacks.contains("port") => PORT,
        lacks if lacks.contains("attribute") => ATTRIBUTE,
        _ => ROOM,
    }
}

fn advice(need: &Need, candidates: &[Candidate]) -> &'static str {
    let all_too_small = !candidates.is_empty() && candidates.iter().all(|candidate| need.is_too_large_for(candidate.instance));
    match candidates.first().and_then(|closest| closest.lacks.first()) {
        _ if all_too_small => "Even an empty instance is too small for the task: use a larger instance type, or ask for less.",
        Some(Lack::Port { by_us: true, .. }) => {
            "The port is held by the service's own tasks: let a deployment stop one first (minimumHealthyPercent below 100), add an instance, or use \
             hostPort 0 or awsvpc."
        }
        Some(Lack::Port { .. }) => PORT,
        Some(Lack::Attribute(_) | Lack::Constraint(_) | Lack::Gpu { .. }) => ATTRIBUTE,
        Some(Lack::Occupied) => "One task an instance is asked for (distinctInstance): add instances, or want fewer tasks.",
        Some(Lack::Zone(_)) => "Give the service a subnet in the zone of the instances, or instances in the zones of its subnets.",
        Some(Lack::Status(_)) => "Let an instance take tasks again, or add one: what drains or deregisters takes none.",
        Some(Lack::Agent) => "Mend the agent of the instance that has room, or replace the instance.",
        Some(Lack::Cpu { .. } | Lack::Memory { .. }) => ROOM,
        None if candidates.is_empty() => "Add instances of the kind that the service wants; they must register with this cluster.",
        None => {
            "Wait for ECS to try again (after failures it takes up to 15 minutes), or deploy again; where tasks have network interfaces of their own, an instance may have none left."
        }
    }
}

fn commands(patient: &Patient, told: &Told, remedy: Remedy, instance: Option<&str>) -> Remedy {
    let cluster = quote(patient.cluster());
    remedy
        .cli(match instance {
            Some(instance) => format!(
                "aws ecs describe-container-instances --cluster {cluster} --container-instances {instance} --query 'containerInstances[].remainingResources'"
            ),
            None => format!("aws ecs list-container-instances --cluster {cluster}"),
        })
        .cli(told.see(patient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::instance};
    use crate::call::Call;
    use crate::exam::{Outcome, examine};
    use crate::patient::Intent;
    use crate::snapshot::{ContainerInstance, Snapshot, Task};
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
            ["No container instance has room for the task, or fits it: ECS said so of web:12 8 min ago. web:12 needs 256 CPU units and 512 MiB of \
              memory; of 2 instances the closest, i-0a1b2c3d4e5f60001, is 212 MiB of memory short (300 of 3884 free); the other, i-0a1b2c3d4e5f60002, \
              is 292 MiB of memory short (220 of 3884 free)."]
        );
    }

    #[test]
    fn without_the_instances_it_says_what_ecs_says() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent).blindfolded([Call::DescribeContainerInstances]);
        let check: &'static crate::check::Check = Box::leak(Box::new(CHECK));
        let exam = examine(check, &patient);
        let expected = "No container instance has room for the task, or fits it (the closest one, 888888888888, has insufficient memory available): ECS \
                        said so of web:12 8 min ago.";
        assert_eq!(exam.findings[0].says, expected);
        assert_eq!((exam.outcome, exam.missed[0].call), (Outcome::Sick, Call::DescribeContainerInstances));
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
        assert!(finding.says.ends_with("and host port 3000; the only instance, i-0a1b2c3d4e5f60002, has port 3000 taken."), "{}", finding.says);
        assert!(finding.remedy.summary.starts_with("A fixed host port"));
        let mut own = Task { container_instance_arn: Some(instance(7)), ..Task::default() };
        own.containers.push(crate::snapshot::Container { host_ports: vec![3000], ..Default::default() });
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.put(arn, vec![own]);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(finding.says.ends_with("has port 3000 taken by a task of this service."), "{}", finding.says);
        assert!(finding.remedy.summary.starts_with("The port is held by the service's own tasks"));
    }

    #[test]
    fn an_instance_that_would_be_too_small_when_empty_is_no_matter_of_more_of_them() {
        let mut snapshot = short(|_| ());
        definition(&mut snapshot).memory = Some("8192".into());
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(finding.remedy.summary.starts_with("Even an empty instance is too small"), "{}", finding.remedy.summary);
    }

    #[test]
    fn room_that_is_there_by_now_is_said_to_be() {
        let says = says(CHECK, &short(|_| ()));
        assert!(says[0].contains("by now instance i-0a1b2c3d4e5f60002 seems to have what it needs"), "{says:?}");
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
        assert!(said.contains("of 3 instances the closest, "), "{said}");
        assert!(said.ends_with("has an agent that is not connected; of the other 2, 1 not ACTIVE and 1 short of CPU."), "{said}");
    }
}
