//! The instances on which a service may run: what a task of it needs, what each instance has left,
//! and what keeps new instances from coming. Numbers are those of now, while ECS's message about
//! them may be some minutes old.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::call::Call;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::capacity::{Attribute, PlacementConstraint, SuspendedProcess};
use crate::snapshot::{
    AutoScalingGroup, CapacityProvider, Cluster, ContainerInstance, GroupActivity, Service,
    ServiceEvent, Task, TaskDefinition,
};
use crate::text::{and_list, count, parsed, plural};

/// For how long a message about placement is current.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How long instances usually take to come up and register, when a capacity provider requests them.
pub const ARRIVAL: SignedDuration = SignedDuration::from_mins(10);
/// For how long a failed launch tells why no instance comes.
const LAUNCH: SignedDuration = SignedDuration::from_hours(1);

/// The capacity providers of the service that have instances; Fargate's have none.
pub fn providers(service: &Service) -> impl Iterator<Item = &str> {
    service
        .capacity_providers
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("FARGATE"))
}

/// The capacity providers of a cluster that have instances.
pub fn providers_of_cluster(cluster: &Cluster) -> impl Iterator<Item = &str> {
    let names = cluster.capacity_providers.iter().map(String::as_str);
    names.filter(|name| !name.starts_with("FARGATE"))
}

/// Whether instances of the cluster's capacity providers are what the service lacks, though it
/// names none of them: ECS cannot place its tasks, and any registered instance would do.
pub fn may_use_providers_of_cluster(service: &Service, now: Timestamp) -> bool {
    service.launch_type.as_deref() == Some("EC2")
        && providers(service).next().is_none()
        && complains_of_placement(service, now)
}

/// Whether the service runs on instances, and they are worth a look: it lacks tasks, or ECS
/// recently could not place one.
pub fn matters(service: &Service, now: Timestamp) -> bool {
    let launch_type = service.launch_type.as_deref();
    let on_instances =
        matches!(launch_type, Some("EC2" | "EXTERNAL")) || providers(service).next().is_some();
    let lacks = service.lacks_tasks()
        || service.deployments.iter().any(|one| one.running_count < one.desired_count);
    on_instances && (lacks || complains_of_placement(service, now))
}

/// Whether ECS said within a day that it could not place a task on any instance.
fn complains_of_placement(service: &Service, now: Timestamp) -> bool {
    let of_today =
        |event: &&ServiceEvent| event.created_at.is_some_and(|at| time::age(now, at) < DAY);
    service.events.iter().filter(of_today).any(|event| {
        matches!(
            stop_reason::read(&event.message).map(|reason| reason.trouble),
            Some(
                Trouble::NoInstanceFits
                    | Trouble::AgentDisconnected
                    | Trouble::CapacityProviderEmpty
            )
        )
    })
}

/// Whether ECS keeps this task until a capacity provider has an instance for it.
pub fn waits_for_instance(service: &Service, task: &Task) -> bool {
    task.last_status == "PROVISIONING"
        && task.container_instance_arn.is_none()
        && providers(service).next().is_some()
}

/// What a task needs of one instance.
#[derive(Debug)]
pub struct Need<'a> {
    pub cpu: i32,
    pub memory: i32,
    /// Host ports, with their protocol.
    ports: Vec<(i32, bool)>,
    gpu: usize,
    attributes: &'a [Attribute],
    constraints: Vec<&'a PlacementConstraint>,
    /// The zones of the task's subnets, where it has a network interface of its own and all zones
    /// are known.
    zones: Vec<&'a str>,
}

impl<'a> Need<'a> {
    /// The zones of the subnets may be hidden: then they rule nothing out.
    pub fn of(
        service: &'a Service,
        definition: &'a TaskDefinition,
        zones: Vec<&'a str>,
    ) -> Need<'a> {
        let containers = &definition.container_definitions;
        let reserved = containers
            .iter()
            .map(|container| container.memory_reservation.or(container.memory).unwrap_or(0))
            .fold(0, i32::saturating_add);
        let network = definition.network_mode.as_deref().unwrap_or("bridge");
        let mappings = containers.iter().flat_map(|container| &container.port_mappings);
        let ports = mappings.filter_map(|mapping| {
            let port = if network == "host" {
                mapping.host_port.filter(|port| *port != 0).or(mapping.container_port)
            } else {
                mapping.host_port
            };
            Some((port.filter(|port| *port != 0)?, mapping.protocol.as_deref() == Some("udp")))
        });
        Need {
            cpu: definition.cpu.as_deref().and_then(cpu_units).unwrap_or_else(|| {
                let cpus = containers.iter().filter_map(|container| container.cpu);
                cpus.fold(0, i32::saturating_add)
            }),
            memory: definition.memory.as_deref().and_then(mebibytes).unwrap_or(reserved),
            ports: if network == "awsvpc" || network == "none" {
                Vec::new()
            } else {
                ports.collect()
            },
            gpu: containers
                .iter()
                .filter_map(|container| container.gpu)
                .map(|gpus| gpus.max(0) as usize)
                .sum(),
            attributes: &definition.requires_attributes,
            constraints: service
                .placement_constraints
                .iter()
                .chain(&definition.placement_constraints)
                .collect(),
            zones: if network == "awsvpc" { zones } else { Vec::new() },
        }
    }

    /// `256 CPU units, 512 MiB of memory and port 8080`.
    pub fn words(&self) -> String {
        let number = |amount: i32, unit: &str| (amount > 0).then(|| format!("{amount} {unit}"));
        let ports: Vec<String> = self.ports.iter().map(|(port, _)| port.to_string()).collect();
        let ports = (!ports.is_empty())
            .then(|| format!("host {} {}", plural(ports.len(), "port", "ports"), and_list(&ports)));
        let gpus = (self.gpu > 0).then(|| count(self.gpu, "GPU"));
        and_list(
            [number(self.cpu, "CPU units"), number(self.memory, "MiB of memory"), gpus, ports]
                .into_iter()
                .flatten(),
        )
    }

    /// Everything that keeps the task off this instance, as far as it can be known; `own` tasks are
    /// of the service.
    pub fn lacks(&self, instance: &'a ContainerInstance, own: &[&Task]) -> Vec<Lack<'a>> {
        let free = &instance.remaining_resources;
        let mut lacks = Vec::new();
        if instance.status != "ACTIVE" {
            lacks.push(Lack::Status(&instance.status));
        }
        if !instance.agent_connected {
            lacks.push(Lack::Agent);
        }
        lacks.extend(
            free.cpu
                .filter(|free| *free < self.cpu)
                .map(|free| Lack::Cpu { short: self.cpu.saturating_sub(free), free }),
        );
        lacks.extend(
            free.memory
                .filter(|free| *free < self.memory)
                .map(|free| Lack::Memory { short: self.memory.saturating_sub(free), free }),
        );
        for (port, udp) in &self.ports {
            let taken = if *udp { &free.ports_udp } else { &free.ports };
            if taken.iter().any(|taken| parsed(taken) == Some(*port)) {
                let by_us = own.iter().any(|task| {
                    task.containers.iter().any(|container| container.host_ports.contains(port))
                });
                lacks.push(Lack::Port { port: *port, by_us });
            }
        }
        // What is left of GPUs is not told in a documented way: those that the instance has at all
        // are.
        if instance.registered_resources.gpu.len() < self.gpu {
            lacks.push(Lack::Gpu { has: instance.registered_resources.gpu.len() });
        }
        let has = |wanted: &&Attribute| match (instance.attributes.get(&wanted.name), &wanted.value)
        {
            (Some(value), Some(wanted)) => value == wanted,
            (has, _) => has.is_some(),
        };
        // An instance of which no attribute is told lacks none that we know of.
        let known = !instance.attributes.is_empty();
        lacks.extend(
            self.attributes
                .iter()
                .filter(|wanted| known && !has(wanted))
                .map(|wanted| Lack::Attribute(&wanted.name)),
        );
        for constraint in &self.constraints {
            match (constraint.kind.as_str(), &constraint.expression) {
                ("distinctInstance", _) if !own.is_empty() => lacks.push(Lack::Occupied),
                ("memberOf", Some(expression))
                    if known && holds(expression, instance) == Some(false) =>
                {
                    lacks.push(Lack::Constraint(expression))
                }
                _ => {}
            }
        }
        let zone = instance.attributes.get("ecs.availability-zone");
        lacks.extend(
            zone.filter(|zone| !self.zones.is_empty() && !self.zones.contains(&zone.as_str()))
                .map(|zone| Lack::Zone(zone)),
        );
        lacks
    }

    /// Whether even an empty instance of this kind is too small.
    pub fn is_too_large_for(&self, instance: &ContainerInstance) -> bool {
        let whole = &instance.registered_resources;
        whole.cpu.is_some_and(|cpu| cpu < self.cpu)
            || whole.memory.is_some_and(|memory| memory < self.memory)
    }
}

/// `256`, `1024`, `.5 vCPU` or `1 vcpu` in CPU units.
fn cpu_units(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix("vcpu") {
        Some(number) => parsed::<f64>(number.trim()).map(|cpus| (cpus * 1024.0) as i32),
        None => parsed(&text),
    }
}

/// `512`, `1 GB` or `.5GB` in MiB.
fn mebibytes(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix("gb") {
        Some(number) => parsed::<f64>(number.trim()).map(|gigabytes| (gigabytes * 1024.0) as i32),
        None => parsed(&text),
    }
}

/// Whether an instance meets an expression of the cluster query language: one comparison of an
/// attribute. What is more than that is not decided here.
fn holds(expression: &str, instance: &ContainerInstance) -> Option<bool> {
    let (operator, at) = ["!in ", " in ", "==", "!="]
        .iter()
        .find_map(|operator| Some((*operator, expression.find(operator)?)))?;
    let (name, value) = (expression[..at].trim(), expression[at + operator.len()..].trim());
    let plain = |text: &str| {
        !text.contains(['(', ')', '*'])
            && ![" and ", " or ", "&&", "||"].iter().any(|word| text.contains(word))
    };
    let name = name
        .strip_prefix("attribute:")
        .filter(|name| plain(name) && !name.contains(char::is_whitespace) && plain(value))?;
    let has = instance.attributes.get(name).map(String::as_str);
    let words = |text: &str| {
        text.trim_matches(['[', ']'])
            .split(',')
            .map(|word| word.trim().trim_matches('"').to_owned())
            .collect::<Vec<_>>()
    };
    let is_one = has.is_some_and(|has| words(value).iter().any(|word| word == has));
    Some(if operator.starts_with('!') { !is_one } else { is_one })
}

/// Why a task does not fit an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack<'a> {
    Cpu {
        short: i32,
        free: i32,
    },
    Memory {
        short: i32,
        free: i32,
    },
    /// Taken, perhaps by a task of this very service.
    Port {
        port: i32,
        by_us: bool,
    },
    Gpu {
        has: usize,
    },
    Attribute(&'a str),
    Constraint(&'a str),
    /// One task per instance is allowed, and it has one.
    Occupied,
    Zone(&'a str),
    Status(&'a str),
    Agent,
}

impl Lack<'_> {
    /// What follows an instance's name: `is 512 MiB of memory short (300 of 3884 free)`.
    pub fn words(&self, instance: &ContainerInstance) -> String {
        let whole = &instance.registered_resources;
        let of =
            |whole: Option<i32>| whole.map_or_else(String::new, |whole| format!(" of {whole}"));
        match self {
            Lack::Cpu { short, free } => {
                format!("is {short} CPU units short ({free}{} free)", of(whole.cpu))
            }
            Lack::Memory { short, free } => {
                format!("is {short} MiB of memory short ({free}{} free)", of(whole.memory))
            }
            Lack::Port { port, by_us: false } => format!("has port {port} in use"),
            Lack::Port { port, by_us: true } => {
                format!("has port {port} in use by a task of this service")
            }
            Lack::Gpu { has } => format!("has {}", count(*has, "GPU")),
            Lack::Attribute(name) => format!("lacks attribute {name}"),
            Lack::Constraint(expression) => format!("does not meet the constraint {expression}"),
            Lack::Occupied => "already runs a task of the service (distinctInstance)".into(),
            Lack::Zone(zone) => format!("is in {zone}, where the service has no subnet"),
            Lack::Status(status) => format!("is {status}"),
            Lack::Agent => "has a disconnected agent".into(),
        }
    }

    /// The field that shows it, where one does.
    pub fn evidence(
        &self,
        patient: &Patient,
        instance: &ContainerInstance,
        definition: &TaskDefinition,
    ) -> Option<Evidence> {
        let of_instance = |field, value: &dyn ToString| {
            Evidence::new(
                Call::DescribeContainerInstances,
                &instance.container_instance_arn,
                field,
                value.to_string(),
            )
        };
        let of_definition = |field, value: &str| {
            Evidence::new(
                Call::DescribeTaskDefinition,
                &definition.task_definition_arn,
                field,
                value,
            )
        };
        Some(match self {
            Lack::Cpu { free, .. } => of_instance("remainingResources.CPU", free),
            Lack::Memory { free, .. } => of_instance("remainingResources.MEMORY", free),
            Lack::Port { port, .. } => {
                let of_udp = instance.remaining_resources.ports_udp.contains(&port.to_string());
                of_instance(
                    if of_udp {
                        "remainingResources.PORTS_UDP"
                    } else {
                        "remainingResources.PORTS"
                    },
                    port,
                )
            }
            Lack::Agent => of_instance("agentConnected", &false),
            Lack::Status(status) => of_instance("status", status),
            Lack::Attribute(name) => of_definition("requiresAttributes.name", name),
            Lack::Constraint(expression) if is_of_service(patient.service(), expression) => {
                patient.evidence("placementConstraints.expression", expression)
            }
            Lack::Constraint(expression) => {
                of_definition("placementConstraints.expression", expression)
            }
            Lack::Gpu { .. } | Lack::Occupied | Lack::Zone(_) => return None,
        })
    }
}

/// Whether the service requires it, and not the task definition.
pub fn is_of_service(service: &Service, expression: &str) -> bool {
    service
        .placement_constraints
        .iter()
        .any(|constraint| constraint.expression.as_deref() == Some(expression))
}

/// One instance, and all that keeps the task off it.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub instance: &'a ContainerInstance,
    pub lacks: Vec<Lack<'a>>,
}

/// The instances that the service may use, the closest to fit first; one that ECS itself calls the
/// closest before others of its kind.
pub fn candidates<'a>(
    patient: &Patient<'a>,
    need: &Need<'a>,
    named: Option<&str>,
) -> Result<Vec<Candidate<'a>>, Blind> {
    let service = patient.service();
    let external = service.launch_type.as_deref() == Some("EXTERNAL");
    let running = patient.running_tasks()?;
    let usable = |instance: &&ContainerInstance| match instance.ec2_instance_id.as_deref() {
        _ if providers(service).next().is_some() => {
            providers(service).any(|name| instance.capacity_provider_name.as_deref() == Some(name))
        }
        Some(id) => id.starts_with("mi-") == external,
        None => !external,
    };
    let candidates = patient.container_instances()?.iter().filter(usable).map(|instance| {
        let on_it = |task: &&Task| {
            task.container_instance_arn.as_deref() == Some(&instance.container_instance_arn)
        };
        Candidate {
            instance,
            lacks: need.lacks(instance, &running.iter().filter(on_it).collect::<Vec<_>>()),
        }
    });
    let mut candidates: Vec<Candidate> = candidates.collect();
    let is_named = |candidate: &Candidate| {
        named.is_some_and(|named| candidate.instance.id().starts_with(named))
    };
    // An instance that drains does so on purpose: it is not close to anything.
    let rank = |candidate: &Candidate| {
        (candidate.instance.status != "ACTIVE", candidate.lacks.len(), !is_named(candidate))
    };
    candidates.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| {
            shortage(a, need).partial_cmp(&shortage(b, need)).unwrap_or(Ordering::Equal)
        })
    });
    Ok(candidates)
}

/// How much of what the task needs is missing, as a share.
fn shortage(candidate: &Candidate, need: &Need) -> f64 {
    let share = |lack: &Lack| match *lack {
        Lack::Cpu { short, .. } => f64::from(short) / f64::from(need.cpu.max(1)),
        Lack::Memory { short, .. } => f64::from(short) / f64::from(need.memory.max(1)),
        _ => 1.0,
    };
    candidate.lacks.iter().map(share).sum()
}

/// What keeps a capacity provider from providing instances.
#[derive(Debug)]
pub enum Block<'a> {
    NotOfCluster,
    /// It is not for use: its status.
    NotActive(&'a str),
    UpdateFailed(&'a str),
    GroupGone(&'a str),
    LaunchFailed(&'a GroupActivity),
    /// The process without which no instance comes.
    Suspended(&'a SuspendedProcess),
    AtMaximum {
        desired: i32,
        maximum: i32,
    },
    /// Nothing makes the group larger.
    NotManaged {
        desired: i32,
    },
    /// Instances are in service that no agent has registered with the cluster.
    Unregistered {
        in_service: usize,
        missing: Vec<&'a str>,
    },
    /// Instances are registered that ECS does not count as the provider's, nor as any other's.
    OfNoProvider(Vec<&'a ContainerInstance>),
}

impl Block<'_> {
    /// Whether it keeps all instances from coming or being used, and not only those that ECS
    /// requests through the provider.
    fn holds_for_everybody(&self) -> bool {
        matches!(self, Block::LaunchFailed(_) | Block::Unregistered { .. })
    }
}

/// A capacity provider with what stands behind it.
#[derive(Debug)]
pub struct Supply<'a> {
    pub name: &'a str,
    pub provider: Option<&'a CapacityProvider>,
    pub group: Option<&'a AutoScalingGroup>,
    pub block: Option<Block<'a>>,
}

/// What the capacity providers can give: those of the service; or those of the cluster where the
/// service names none, as far as they concern it.
pub fn supplies<'a>(patient: &Patient<'a>) -> Result<Vec<Supply<'a>>, Blind> {
    let service = patient.service();
    if providers(service).next().is_some() {
        return providers(service).map(|name| supply(patient, name)).collect();
    }
    if !may_use_providers_of_cluster(service, patient.now()) {
        return Ok(Vec::new());
    }
    let cluster = patient.cluster_details()?;
    let names: Vec<&str> = cluster.into_iter().flat_map(providers_of_cluster).collect();
    // Beside instances that are there, another group's trouble says nothing.
    if names.len() > 1 && !patient.container_instances()?.is_empty() {
        return Ok(Vec::new());
    }
    let mut supplies: Vec<Supply> =
        names.into_iter().map(|name| supply(patient, name)).collect::<Result<_, Blind>>()?;
    for supply in &mut supplies {
        supply.block = supply.block.take().filter(Block::holds_for_everybody);
    }
    Ok(supplies)
}

/// What a capacity provider can give. Each question waits for what the one before it
/// leaves open.
pub fn supply<'a>(patient: &Patient<'a>, name: &'a str) -> Result<Supply<'a>, Blind> {
    let of_cluster = patient
        .cluster_details()?
        .is_none_or(|cluster| cluster.capacity_providers.iter().any(|known| known == name));
    let provider = patient.capacity_provider(name)?;
    let mut supply = Supply { name, provider, group: None, block: None };
    if !of_cluster {
        supply.block = Some(Block::NotOfCluster);
        return Ok(supply);
    }
    let Some(provider) = provider else { return Ok(supply) };
    if let Some(status) = provider.status.as_deref().filter(|status| *status != "ACTIVE") {
        supply.block = Some(Block::NotActive(status));
        return Ok(supply);
    }
    if let (Some("UPDATE_FAILED" | "CREATE_FAILED"), Some(reason)) =
        (provider.update_status.as_deref(), provider.update_status_reason.as_deref())
    {
        supply.block = Some(Block::UpdateFailed(reason));
        return Ok(supply);
    }
    let Some(name) = provider.group() else { return Ok(supply) };
    supply.group = patient.auto_scaling_group(name)?;
    supply.block = match supply.group {
        None => Some(Block::GroupGone(name)),
        Some(group) => of_group(
            patient,
            provider,
            group,
            patient.group_activities(name)?,
            patient.container_instances()?,
        ),
    };
    Ok(supply)
}

fn of_group<'a>(
    patient: &Patient<'a>,
    provider: &CapacityProvider,
    group: &'a AutoScalingGroup,
    activities: &'a [GroupActivity],
    registered: &'a [ContainerInstance],
) -> Option<Block<'a>> {
    let desired = group.desired_capacity.unwrap_or_default();
    let launches = |activity: &&GroupActivity| {
        activity.description.as_deref().is_some_and(|text| text.starts_with("Launching"))
    };
    // A launch that worked after it makes a failure history.
    let last_launch = activities.iter().find(launches);
    let recent = |activity: &&GroupActivity| {
        activity.start_time.is_some_and(|at| time::age(patient.now(), at) < LAUNCH)
    };
    if let Some(failed) = last_launch
        .filter(|activity| activity.status_code.as_deref() == Some("Failed"))
        .filter(recent)
    {
        return Some(Block::LaunchFailed(failed));
    }
    if let Some(process) =
        group.suspended_processes.iter().find(|process| process.process_name == "Launch")
    {
        return Some(Block::Suspended(process));
    }
    let in_service: Vec<&str> = group
        .instances
        .iter()
        .filter(|instance| instance.lifecycle_state.as_deref() == Some("InService"))
        .map(|instance| instance.instance_id.as_str())
        .collect();
    let known = |id: &str| {
        registered.iter().any(|instance| instance.ec2_instance_id.as_deref() == Some(id))
    };
    let missing: Vec<&str> = in_service.iter().copied().filter(|id| !known(id)).collect();
    let settled = last_launch
        .and_then(|launch| launch.start_time)
        .is_none_or(|at| time::age(patient.now(), at) >= ARRIVAL);
    if !missing.is_empty() && settled {
        return Some(Block::Unregistered { in_service: in_service.len(), missing });
    }
    let managed = provider.managed_scaling.as_ref().and_then(|scaling| scaling.status.as_deref());
    // A group that ECS can make larger will have an instance of its own.
    let grows = managed != Some("DISABLED") && group.max_size.is_none_or(|maximum| maximum > 0);
    if (!in_service.is_empty() || !grows)
        && let Some(loose) = of_no_provider(provider, &in_service, registered)
    {
        return Some(Block::OfNoProvider(loose));
    }
    if let Some(maximum) = group.max_size.filter(|maximum| desired >= *maximum) {
        return Some(Block::AtMaximum { desired, maximum });
    }
    let on_their_way = (group.instances.len() as i64) < i64::from(desired);
    (managed == Some("DISABLED") && !on_their_way).then_some(Block::NotManaged { desired })
}

/// The instances that take tasks and belong to no capacity provider, where the provider has none of
/// its own: a strategy never uses them. ECS assigns an instance when it registers, and only one
/// that the provider's group launched while the provider was there.
fn of_no_provider<'a>(
    provider: &CapacityProvider,
    in_service: &[&str],
    registered: &'a [ContainerInstance],
) -> Option<Vec<&'a ContainerInstance>> {
    let own = |instance: &&ContainerInstance| {
        instance.capacity_provider_name.as_deref() == Some(&provider.name)
    };
    if registered.iter().any(|instance| own(&instance)) {
        return None;
    }
    let takes_tasks =
        |instance: &&ContainerInstance| instance.status == "ACTIVE" && instance.agent_connected;
    let of_group = |instance: &ContainerInstance| {
        let id = instance.ec2_instance_id.as_deref();
        in_service.is_empty() || id.is_some_and(|id| in_service.contains(&id))
    };
    let loose = registered
        .iter()
        .filter(takes_tasks)
        .filter(|instance| instance.capacity_provider_name.is_none() && of_group(instance));
    let loose: Vec<&ContainerInstance> = loose.collect();
    (!loose.is_empty()).then_some(loose)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::snapshot::capacity::Resources;
    use crate::snapshot::{ContainerDefinition, PortMapping};

    fn instance() -> ContainerInstance {
        ContainerInstance {
            container_instance_arn: "arn:aws:ecs:eu-west-2:123456789012:container-instance/prod/8f"
                .into(),
            status: "ACTIVE".into(),
            agent_connected: true,
            registered_resources: Resources {
                cpu: Some(2048),
                memory: Some(3884),
                ..Resources::default()
            },
            remaining_resources: Resources {
                cpu: Some(1024),
                memory: Some(300),
                ports: vec!["22".into(), "8080".into()],
                ..Resources::default()
            },
            attributes: [("stack", "prod"), ("ecs.availability-zone", "eu-west-2a")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..ContainerInstance::default()
        }
    }

    fn definition(change: impl FnOnce(&mut TaskDefinition)) -> TaskDefinition {
        let mapping = PortMapping {
            container_port: Some(8080),
            host_port: Some(0),
            ..PortMapping::default()
        };
        let container = ContainerDefinition {
            cpu: Some(256),
            memory: Some(1024),
            memory_reservation: Some(256),
            port_mappings: vec![mapping],
            ..ContainerDefinition::default()
        };
        let mut definition =
            TaskDefinition { container_definitions: vec![container], ..TaskDefinition::default() };
        change(&mut definition);
        definition
    }

    fn lacks(change: impl FnOnce(&mut TaskDefinition)) -> Vec<String> {
        let (service, definition, instance) = (Service::default(), definition(change), instance());
        Need::of(&service, &definition, vec!["eu-west-2b"])
            .lacks(&instance, &[])
            .iter()
            .map(|lack| lack.words(&instance))
            .collect()
    }

    #[test]
    fn a_reservation_counts_before_a_limit_and_the_task_before_its_containers() {
        assert!(lacks(|_| ()).is_empty(), "256 MiB are reserved, and 300 are free");
        assert_eq!(
            lacks(|definition| definition.memory = Some("0.5 GB".into())),
            ["is 212 MiB of memory short (300 of 3884 free)"]
        );
        assert_eq!(
            lacks(|definition| definition.cpu = Some("2 vCPU".into())),
            ["is 1024 CPU units short (1024 of 2048 free)"]
        );
    }

    #[test]
    fn only_a_fixed_port_on_the_host_can_be_taken() {
        let port = |network: &str, host| {
            lacks(|definition| {
                definition.network_mode = Some(network.into());
                definition.container_definitions[0].port_mappings[0].host_port = host;
            })
        };
        assert_eq!(port("bridge", Some(8080)), ["has port 8080 in use"]);
        assert_eq!(port("host", None), ["has port 8080 in use"]);
        assert!(port("bridge", Some(0)).is_empty());
        assert_eq!(
            port("awsvpc", Some(8080)),
            ["is in eu-west-2a, where the service has no subnet"],
            "its interface has ports of its own"
        );
    }

    #[test]
    fn constraints_that_are_more_than_a_comparison_are_not_decided() {
        let met = |expression: &str| holds(expression, &instance());
        assert_eq!(met("attribute:stack == prod"), Some(true));
        assert_eq!(met("attribute:stack == test"), Some(false));
        assert_eq!(met("attribute:stack != test"), Some(true));
        assert_eq!(met("attribute:stack in [test, prod]"), Some(true));
        assert_eq!(met("attribute:stack !in [test, prod]"), Some(false));
        assert_eq!(met("attribute:ecs.instance-type =~ t3.*"), None);
        assert_eq!(met("attribute:stack == test or attribute:zone == a"), None);
        assert_eq!(met("task:group == service:db"), None);
    }

    #[test]
    fn an_attribute_may_need_a_value() {
        let wanted = |name: &str, value: Option<&str>| {
            let attribute = Attribute { name: name.into(), value: value.map(str::to_owned) };
            lacks(|definition| definition.requires_attributes = vec![attribute])
        };
        assert!(wanted("stack", None).is_empty());
        assert_eq!(wanted("stack", Some("test")), ["lacks attribute stack"]);
        assert_eq!(wanted("gpu", None), ["lacks attribute gpu"]);
    }

    #[test]
    fn a_service_that_has_its_tasks_needs_no_look_at_instances() {
        let mut snapshot = baseline::ec2();
        assert!(!matters(&snapshot.services[0], baseline::NOW));
        snapshot.services[0].running_count = 1;
        assert!(matters(&snapshot.services[0], baseline::NOW));
        let mut fargate = baseline::fargate();
        fargate.services[0].running_count = 1;
        assert!(!matters(&fargate.services[0], baseline::NOW));
    }
}
