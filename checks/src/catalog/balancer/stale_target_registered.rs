//! A target that passes its health check and is not one of the service's tasks: ECS did not
//! deregister it, and something else has its port or its address now. A draining target, one of a
//! service that shares the group, and one that somebody registered by hand are not meant.

use std::net::IpAddr;

use jiff::SignedDuration;

use crate::aws::cidr::Cidr;
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::{health_check, instance, traffic};
use crate::facts::peers::callers;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Sibling, Target, TargetGroup, Task, TaskDefinition};
use crate::text::{count, parsed};
use crate::{aws, hcl};

crate::check! {
    /// A target group that gets requests has a healthy target that belongs to no task of the
    /// service.
    ///
    /// # Why it matters
    ///
    /// The target used to be a task. ECS did not deregister it, and now another container or
    /// another host has its port or its address and passes the health check. The load balancer
    /// sends it a share of the requests, and the wrong app answers them: with 404, with another
    /// app's page, or with something that only looks right.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` has a target in the state `healthy` whose host port or address none
    /// of the service's running tasks has. No task may have started or stopped within the
    /// deregistration delay: it could be that one. And it has to be one that ECS registered. A
    /// stopped task of the service had it; or it is a port that Docker chose, or an address in the
    /// subnets of the service, and no other service of the cluster shares the target group. Where
    /// that could not be seen, nothing is claimed.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws elbv2 deregister-targets --target-group-arn <arn> --targets Id=<instance or address>,Port=<port>
    /// ```
    ///
    /// Terraform/OpenTofu: keep fixed host ports of other task definitions out of 32768 to 65535,
    /// the range of Docker's dynamic ports: `hostPort` in `container_definitions`.
    ///
    /// # See also
    ///
    /// `targets_unused`, `app_answers_4xx`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html>
    title: "A healthy target is not one of the service's tasks",
    severity: High,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetGroupAttributes, DescribeTargetHealth, DescribeListeners, DescribeRules,
        DescribeTasks, DescribeTaskDefinition, DescribeSubnets, ListServices,
    ],
    example: on ec2, |snapshot| {
        use crate::baseline::{id, target};
        let targets = snapshot.target_health.change(&id::group("web"));
        targets.into_iter().for_each(|targets| targets.push(target("i-0a1b2c3d4e5f60001", 32801, "eu-west-2a", "healthy")));
    },
}

/// A task that starts or stops needs a moment to be registered, or to be noticed as gone.
const MOMENT: SignedDuration = SignedDuration::from_mins(5);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if patient.service().deployment_controller.as_deref() == Some("EXTERNAL") {
        return Err(NoAnswer::NotApplicable("an external controller registers the targets"));
    }
    let live = traffic::live_groups(patient)?;
    for group in traffic::groups(patient)?.into_iter().filter(|group| live.contains(group)) {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        for target in findings.see(patient.targets(group)).into_iter().flatten() {
            let stale = findings.see(Stale::of(patient, settings, target)).flatten();
            stale.into_iter().for_each(|stale| findings.add(finding(patient, &stale)));
        }
    }
    Ok(())
}

/// A target that ECS no longer tracks.
struct Stale<'a> {
    group: &'a TargetGroup,
    target: &'a Target,
    /// A task of the service that had it.
    former: Option<&'a Task>,
    /// A service of the cluster that maps its port of the host.
    owner: Option<(&'a Sibling, &'a TaskDefinition)>,
}

impl<'a> Stale<'a> {
    fn of(
        patient: &Patient<'a>,
        group: &'a TargetGroup,
        target: &'a Target,
    ) -> Result<Option<Stale<'a>>, Blind> {
        let is_healthy = target.state == "healthy";
        if !is_healthy
            || !can_be_held_against_tasks(group, target)
            || health_check::task_behind(patient, target)?.is_some()
            || !all_tasks_are_placed(patient)?
        {
            return Ok(None);
        }
        let drained = rollout::deregistration_delay(patient, &group.target_group_arn)? + MOMENT;
        let (mut former, mut may_be) = (None, false);
        for task in patient.stopped_tasks()? {
            let is_over = ended(patient, task) > drained;
            match had(task, target) {
                Some(true) if is_over => former = former.or(Some(task)),
                Some(false) => {}
                Some(true) | None => may_be |= !is_over,
            }
        }
        if may_be {
            return Ok(None);
        }
        let siblings = siblings(patient)?;
        let is_ours = former.is_some()
            || (is_registered_by_ecs(patient, group, target)?
                && !may_be_shared(patient, group, siblings.as_deref())?);
        let owner = match siblings.filter(|_| is_ours) {
            Some(siblings) => owner(patient, target, &siblings)?,
            None => None,
        };
        Ok(is_ours.then_some(Stale { group, target, former, owner }))
    }

    /// `target i-0a1b2c3d4e5f60001:32801`
    fn name(&self) -> String {
        let port = self.target.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.target.id)
    }
}

/// Tasks are known by their addresses of IPv4 and by their ports of the host.
fn can_be_held_against_tasks(group: &TargetGroup, target: &Target) -> bool {
    match group.target_type.as_deref() {
        Some("instance") => target.port.is_some(),
        Some("ip") => !target.id.contains(':'),
        _ => false,
    }
}

/// Whether each running task tells where it listens; one that starts does not yet.
fn all_tasks_are_placed(patient: &Patient) -> Result<bool, Blind> {
    let is_young =
        |task: &Task| task.started_at.is_none_or(|start| time::age(patient.now(), start) < MOMENT);
    let is_placed = |task: &Task| {
        let mut containers = task.containers.iter();
        task.private_address().is_some() || containers.any(|one| !one.host_ports.is_empty())
    };
    Ok(patient.running_tasks()?.iter().all(|task| is_placed(task) && !is_young(task)))
}

/// How long ago a task ended.
fn ended(patient: &Patient, task: &Task) -> SignedDuration {
    task.stopped_at.map_or(SignedDuration::ZERO, |at| time::age(patient.now(), at))
}

/// Whether a task that stopped had what the target has; none where AWS does not tell any more.
fn had(task: &Task, target: &Target) -> Option<bool> {
    if instance::is_one(target) {
        let ports = || task.containers.iter().flat_map(|container| &container.host_ports);
        let is_told = ports().next().is_some();
        is_told.then(|| ports().any(|port| target.port == Some(*port)))
    } else {
        task.private_address().map(|address| address == target.id)
    }
}

/// Whether it is like what ECS registers for this service: a port that Docker chose, or an address
/// in one of its subnets.
fn is_registered_by_ecs(
    patient: &Patient,
    group: &TargetGroup,
    target: &Target,
) -> Result<bool, Blind> {
    if instance::is_one(target) {
        return Ok(instance::has_dynamic_port(patient, target) && target.port != group.port);
    }
    let Some(address) = parsed::<IpAddr>(&target.id) else { return Ok(false) };
    let service = patient.service();
    let of_deployments =
        service.deployments.iter().filter_map(|one| one.network_configuration.as_ref());
    let networks = service.network_configuration.iter().chain(of_deployments);
    for subnet in networks.flat_map(|network| &network.subnets) {
        let block = patient.subnet(subnet)?.and_then(|subnet| subnet.cidr_block.as_deref());
        if block.and_then(parsed::<Cidr>).is_some_and(|block| block.has(address)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The other active services of the cluster; none where they are too many to be looked at.
fn siblings<'a>(patient: &Patient<'a>) -> Result<Option<Vec<&'a Sibling>>, Blind> {
    let Some(listed) = patient.cluster_services()? else { return Ok(None) };
    if callers::are_too_many(listed, patient.arn()) {
        return Ok(None);
    }
    let mut siblings = Vec::new();
    for arn in listed.service_arns.iter().filter(|arn| *arn != patient.arn()) {
        siblings.extend(patient.sibling(arn)?.filter(|sibling| sibling.status == "ACTIVE"));
    }
    Ok(Some(siblings))
}

/// Whether another service may register its tasks with the group on purpose. Where a snapshot does
/// not tell with which groups a service does, one that maps no port of its own choosing cannot be
/// the owner of one that Docker chose.
fn may_be_shared(
    patient: &Patient,
    group: &TargetGroup,
    siblings: Option<&[&Sibling]>,
) -> Result<bool, Blind> {
    let Some(siblings) = siblings else { return Ok(true) };
    for sibling in siblings {
        let shares = match &sibling.target_groups {
            Some(groups) => groups.contains(&group.target_group_arn),
            None => {
                group.target_type.as_deref() != Some("instance")
                    || has_ports_of_dockers(patient, sibling)?
            }
        };
        if shares {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_ports_of_dockers(patient: &Patient, sibling: &Sibling) -> Result<bool, Blind> {
    let Some(definition) = &sibling.task_definition else { return Ok(true) };
    let mappings = patient
        .task_definition(definition)?
        .into_iter()
        .flat_map(|definition| &definition.container_definitions)
        .flat_map(|container| &container.port_mappings);
    let mut host_ports = mappings.map(|mapping| mapping.host_port);
    Ok(host_ports.any(|port| port.is_none_or(|port| port == 0)))
}

/// The service of the cluster that maps just this port of the host.
fn owner<'a>(
    patient: &Patient<'a>,
    target: &Target,
    siblings: &[&'a Sibling],
) -> Result<Option<(&'a Sibling, &'a TaskDefinition)>, Blind> {
    if !instance::is_one(target) {
        return Ok(None);
    }
    for sibling in siblings {
        let Some(definition) = &sibling.task_definition else { continue };
        let Some(definition) = patient.task_definition(definition)? else { continue };
        let containers = &definition.container_definitions;
        let mut mappings = containers.iter().flat_map(|container| &container.port_mappings);
        if mappings.any(|mapping| mapping.host_port.is_some() && mapping.host_port == target.port) {
            return Ok(Some((sibling, definition)));
        }
    }
    Ok(None)
}

fn finding(patient: &Patient, stale: &Stale) -> Finding {
    let (group, target) = (&stale.group.target_group_arn, stale.target);
    let what = if instance::is_one(target) { "host port" } else { "address" };
    let claim = format!(
        "target {} of target group {} is healthy, but no running task of {} has that {what}: likely another app answers its share of the requests",
        stale.name(),
        traffic::group_name(group),
        patient.name()
    );
    let of_target =
        |field, value: &str| Evidence::new(Call::DescribeTargetHealth, group, field, value);
    let port = target.port.map(|port| of_target("Target.Port", &port.to_string()));
    let mut finding = Subject::new(Kind::Target, &target.id)
        .sick(claim, of_target("Target.Id", &target.id))
        .because_all(port)
        .because(of_target("TargetHealth.State", &target.state));
    if let Some(task) = stale.former {
        let age = time::words(ended(patient, task));
        finding = finding
            .detail(format!("Task {}, which stopped {age} ago, had it.", task.id()))
            .because(Evidence::new(Call::DescribeTasks, &task.task_arn, "lastStatus", "STOPPED"));
    }
    if let Some((sibling, definition)) = stale.owner {
        let name = rollout::short(&definition.task_definition_arn);
        finding = finding
            .detail(format!(
                "Service {} of the cluster maps that host port ({name}).",
                sibling.service_name
            ))
            .because_all(target.port.map(|port| {
                let of = &definition.task_definition_arn;
                Evidence::new(Call::DescribeTaskDefinition, of, "portMappings.hostPort", port)
            }));
    }
    let running = patient.service().running_count;
    finding
        .detail(format!(
            "The service has {}.",
            count(running.unsigned_abs() as usize, "running task")
        ))
        .because(patient.evidence("runningCount", running))
        .mend(remedy(stale))
        .concerns(Kind::TargetGroup, group)
}

fn remedy(stale: &Stale) -> Remedy {
    let id = match stale.target.port {
        Some(port) => format!("Id={},Port={port}", stale.target.id),
        None => format!("Id={}", stale.target.id),
    };
    let remedy = Remedy::new(
        "Deregister it, unless somebody registered it on purpose: ECS does not touch targets that it does not know.",
    )
    .cli(aws!(
        "elbv2 deregister-targets --target-group-arn {} --targets {}",
        stale.group.target_group_arn,
        id
    ));
    if !instance::is_one(stale.target) {
        return remedy;
    }
    remedy.terraform(hcl!(
        r#"
        # Keep fixed host ports of all services out of 32768 to 65535.
        container_definitions = jsonencode([{
          portMappings = [{ containerPort = var.port, hostPort = var.port }]
        }])"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, stop_tasks, target};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{PortMapping, Snapshot};
    use crate::testing::{exam, says};

    /// The Fargate service with one more target, in its own subnet.
    fn with_address(address: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let targets = snapshot.target_health.change(&id::group("api")).unwrap();
        targets.push(target(address, 8080, "eu-west-2a", "healthy"));
        snapshot
    }

    fn mailer(snapshot: &mut Snapshot) -> &mut Sibling {
        snapshot.siblings.change(&id::ecs("service/prod/mailer")).unwrap()
    }

    fn silent(why: &str, change: impl Fn(&mut Snapshot)) {
        for (dress, make) in
            [("instance", (CHECK.example)()), ("address", with_address("10.0.1.99"))]
        {
            let mut snapshot = make;
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "{dress}");
            change(&mut snapshot);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{dress}: {why}");
        }
    }

    #[test]
    fn names_the_target_and_takes_just_that_away() {
        let example = (CHECK.example)();
        assert_eq!(
            says(CHECK, &example),
            [
                "Target i-0a1b2c3d4e5f60001:32801 of target group web is healthy, but no running task of web has that host port: likely another app answers its share of the requests. The service has 2 running tasks."
            ]
        );
        let remedy = exam(CHECK, &example).findings.remove(0).remedy;
        assert!(remedy.shell()[0].contains("Id=i-0a1b2c3d4e5f60001,Port=32801"));
        let said = says(CHECK, &with_address("10.0.1.99"));
        assert!(said[0].starts_with("Target 10.0.1.99:8080 of target group api"), "{said:?}");
    }

    #[test]
    fn a_service_that_maps_the_port_is_named() {
        let mut snapshot = (CHECK.example)();
        let mailer = id::ecs("task-definition/mailer:4");
        let mapping = PortMapping { host_port: Some(32801), ..PortMapping::default() };
        let mailer = snapshot.task_definitions.change(&mailer).unwrap();
        mailer.container_definitions[0].port_mappings.push(mapping);
        let said = says(CHECK, &snapshot);
        assert!(said[0].contains("Service mailer of the cluster maps that host port"), "{said:?}");
    }

    #[test]
    fn a_group_that_another_service_shares_has_its_tasks_too() {
        silent("shared on purpose", |snapshot| {
            let group = snapshot.services[0].load_balancers[0].target_group_arn.clone();
            mailer(snapshot).target_groups = group.map(|group| vec![group]);
        });
    }

    #[test]
    fn what_is_draining_or_unhealthy_gets_no_requests_or_is_another_trouble() {
        for state in ["draining", "unhealthy", "initial", "unused"] {
            silent(state, |snapshot| {
                let group = snapshot.services[0].load_balancers[0].target_group_arn.clone();
                let targets = snapshot.target_health.change(&group.unwrap()).unwrap();
                targets.last_mut().unwrap().state = state.into();
            });
        }
    }

    #[test]
    fn a_task_that_just_stopped_or_just_starts_may_be_the_one() {
        silent("it just stopped", |snapshot| {
            stop_tasks(snapshot, 1, |task| {
                task.containers.iter_mut().for_each(|one| {
                    (one.host_ports, one.private_ipv4_address) = (Vec::new(), None);
                });
                task.private_ipv4_address = None;
                task.stopped_at = Some(minutes_ago(3));
            });
        });
        silent("it just starts", |snapshot| {
            let arn = snapshot.services[0].service_arn.clone();
            let tasks = snapshot.running_tasks.change(&arn).unwrap();
            let mut starting = tasks[0].clone();
            starting.containers.clear();
            (starting.started_at, starting.private_ipv4_address) = (None, None);
            tasks.push(starting);
        });
    }

    #[test]
    fn a_task_that_had_it_proves_it_wherever_it_is() {
        let mut snapshot = with_address("192.168.7.7");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "somebody's own target");
        stop_tasks(&mut snapshot, 1, |task| {
            task.containers[0].private_ipv4_address = Some("192.168.7.7".into());
            task.stopped_at = Some(minutes_ago(45));
        });
        let said = says(CHECK, &snapshot);
        assert!(said[0].contains(", which stopped 45 min ago, had it."), "{said:?}");
    }

    #[test]
    fn a_port_of_the_instances_own_group_is_not_dockers() {
        let mut snapshot = baseline::ec2();
        let targets = snapshot.target_health.change(&id::group("web")).unwrap();
        targets.push(target("i-0a1b2c3d4e5f60009", 3000, "eu-west-2a", "healthy"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn who_shares_the_group_is_not_known_where_the_cluster_was_not_seen() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.cluster_services.insert(&cluster, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut snapshot = (CHECK.example)();
        snapshot.cluster_services.change(&cluster).unwrap().truncated = true;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "too many to look at");
    }

    #[test]
    fn an_older_snapshot_tells_by_the_ports_that_others_map() {
        let mut snapshot = (CHECK.example)();
        mailer(&mut snapshot).target_groups = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        let definition = id::ecs("task-definition/mailer:4");
        let mapping = PortMapping { container_port: Some(80), ..PortMapping::default() };
        let definition = snapshot.task_definitions.change(&definition).unwrap();
        definition.container_definitions[0].port_mappings.push(mapping);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it may share the group");
    }
}
