//! Targets that are instances. Tasks in bridge or host mode have no network interface of their own:
//! the load balancer talks to the primary interface of their instance, on a host port, and it is
//! the instance's security groups that have to allow it.

use std::ops::RangeInclusive;

use crate::facts::inbound::{health_check, traffic};
use crate::facts::tasks::stop;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Interface, Target, Task, TaskDefinition};

/// Where Docker takes a host port from if the port mapping names none; AWS: ports below are outside
/// of the range.
pub const EPHEMERAL: RangeInclusive<i32> = 32768..=65535;

pub fn is_one(target: &Target) -> bool {
    target.id.starts_with("i-")
}

/// The interface behind a target that is an instance; none where the instance is gone, or the port
/// is none of this service's tasks: an Auto Scaling group that is attached to the target group
/// registers its instances, too, at the group's own port.
pub fn interface<'a>(
    patient: &Patient<'a>,
    target: &Target,
) -> Result<Option<&'a Interface>, Blind> {
    let is_fixed = fixes(patient, target);
    let ours = health_check::task_behind(patient, target)?.is_some() || is_fixed?;
    if ours { patient.instance_interface(&target.id) } else { Ok(None) }
}

/// The interfaces of the instances that run tasks of the primary deployment, as far as targets
/// tell, each once: in bridge and host mode tasks call others with the addresses and the security
/// groups of these.
pub fn of_tasks<'a>(patient: &Patient<'a>) -> Result<Vec<&'a Interface>, Blind> {
    let primary = stop::primary_version(patient);
    let is_primary = |task: &Task| {
        primary
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    };
    let mut interfaces: Vec<&Interface> = Vec::new();
    for group in traffic::groups(patient)? {
        for target in patient.targets(group)?.iter().filter(|target| is_one(target)) {
            if health_check::task_behind(patient, target)?.is_some_and(is_primary)
                && let Some(interface) = interface(patient, target)?
                && !interfaces
                    .iter()
                    .any(|known| known.network_interface_id == interface.network_interface_id)
            {
                interfaces.push(interface);
            }
        }
    }
    Ok(interfaces)
}

/// Whether Docker chose the port, so that the next task has another one.
pub fn has_dynamic_port(patient: &Patient, target: &Target) -> bool {
    let in_range = target.port.is_some_and(|port| EPHEMERAL.contains(&port));
    // Without its task definition the port itself tells: AWS asks not to map any port of that
    // range.
    is_one(target) && in_range && !matches!(fixes(patient, target), Ok(true))
}

/// Whether a current version maps just this port of the host.
fn fixes(patient: &Patient, target: &Target) -> Result<bool, Blind> {
    for definition in patient.service().definitions() {
        let definition = patient.task_definition(definition)?;
        if definition
            .is_some_and(|definition| fixed_ports(definition).any(|port| target.port == Some(port)))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The ports of the host that a version names; in host mode those are the containers' own.
fn fixed_ports(definition: &TaskDefinition) -> impl Iterator<Item = i32> {
    let is_host = definition.network_mode.as_deref() == Some("host");
    let mappings =
        definition.container_definitions.iter().flat_map(|container| &container.port_mappings);
    mappings.filter_map(move |mapping| {
        if is_host { mapping.container_port } else { mapping.host_port.filter(|port| *port != 0) }
    })
}
