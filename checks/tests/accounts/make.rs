//! Makes accounts out of others. What is made is what AWS would show of it: nothing is in two places
//! that contradict each other.

use std::collections::BTreeMap;

use ecs_doctor_checks::baseline::{self, minutes_ago, roll_out};
use ecs_doctor_checks::call::LOG_STREAM;
use ecs_doctor_checks::diagnosis::{Diagnosis, Node, diagnose};
use ecs_doctor_checks::facts::tasks::stop::StopKind;
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::seen::Seen;
use ecs_doctor_checks::snapshot::deployment::{BreakerState, Rollback};
use ecs_doctor_checks::snapshot::service::ServiceEvent;
use ecs_doctor_checks::snapshot::{SecurityGroup, Snapshot, Subnet, Table, Target, Task};
use jiff::{SignedDuration, Timestamp};

/// The diagnosis of the only service.
pub fn diagnosed(snapshot: &Snapshot) -> Diagnosis {
    diagnose(&Patient::new(snapshot, &snapshot.services[0], &Intent::default()))
}

/// The checks of a finding and of all that follows from it, an outline for the reader of a failure.
pub fn outline(nodes: &[Node]) -> String {
    fn draw(node: &Node, depth: usize, lines: &mut String) {
        *lines +=
            &format!("  {}{}: {}\n", "  ".repeat(depth), node.check.id(), node.finding.says());
        node.explains.iter().for_each(|child| draw(child, depth + 1, lines));
    }
    let mut lines = String::new();
    nodes.iter().for_each(|node| draw(node, 0, &mut lines));
    lines
}

/// Whether a check is somewhere below a finding.
pub fn is_below(node: &Node, check: &str) -> bool {
    node.explains.iter().any(|child| child.check.id() == check || is_below(child, check))
}

/// The healthy service that an example was made of: the one that it differs least from.
pub fn healthy(sick: &Snapshot) -> Snapshot {
    let parts = |snapshot: &Snapshot| serde_json::to_value(snapshot).expect("JSON");
    let arn = sick.services[0].service_arn.clone();
    let sick = parts(sick);
    let differences = |healthy: &Snapshot| {
        let healthy = parts(healthy);
        let fields = sick.as_object().expect("an object");
        fields.iter().filter(|(name, value)| healthy.get(name.as_str()) != Some(*value)).count()
    };
    let all = baseline::ALL.iter().map(|(_, make)| make());
    let of_name = all.filter(|healthy| healthy.services[0].service_arn == arn);
    of_name.min_by_key(differences).expect("a healthy service")
}

/// How long ago the breaker went back.
const BACK: i64 = 24;
/// How long ago the account was as the example shows it.
const THEN: i64 = 26;
/// How long ago the deployment began that brought the trouble.
const BEGAN: i64 = 110;

const NEW: &str = "ecs-svc/1000000000000000013";

/// The same trouble, which a new version met; then the circuit breaker went back, and the old one is
/// healthy. None where no task of the example failed, so that no breaker would have counted it.
pub fn gone_back(sick: &Snapshot) -> Option<Snapshot> {
    let healthy = healthy(sick);
    let (then, before) = (&sick.services[0], &healthy.services[0]);
    if then.deployments.first().map(|primary| &primary.id)
        != before.deployments.first().map(|primary| &primary.id)
    {
        return None;
    }
    let arn = before.service_arn.clone();
    let mut account = sick.clone();
    roll_out(&mut account, BEGAN, |deployment| {
        let reason =
            "Service deployment rolled back because the circuit breaker threshold was exceeded.";
        let old = deployment.source_service_revisions.first().map(|old| old.arn.clone());
        deployment.status = "ROLLBACK_SUCCESSFUL".into();
        deployment.status_reason = Some(reason.into());
        deployment.updated_at = Some(minutes_ago(19));
        deployment.finished_at = Some(minutes_ago(19));
        deployment.deployment_circuit_breaker =
            Some(BreakerState { status: Some("TRIGGERED".into()), failure_count: 3, threshold: 3 });
        deployment.rollback = Some(Rollback {
            reason: Some(reason.into()),
            started_at: Some(minutes_ago(BACK)),
            service_revision_arn: old,
        });
    });
    let definition = before.deployments[0].task_definition.clone()?;
    let new = format!("{}13", definition.strip_suffix("12")?);
    let mut failed = stopped_then(sick, &definition, &new);
    let mut said = said_then(sick, &healthy);
    let mut logs = Vec::new();
    for (group, target, task) in unhealthy_then(sick) {
        let task = replaced(&group, &new, task, failed.len() as i64, &mut logs);
        let port = target.port.unwrap_or_default();
        said.push(ServiceEvent {
            id: format!("7f0f2c5e-0000-4000-8000-2{:011}", failed.len()),
            created_at: task.stopped_at,
            message: format!(
                "(service {}) (task {}) (port {port}) is unhealthy in (target-group {group}) due to (reason {}).",
                before.service_name,
                task.id(),
                target.description.as_deref().unwrap_or("Health checks failed")
            ),
        });
        failed.push(task);
    }
    if failed.is_empty() && said.is_empty() {
        return None;
    }
    failed.sort_by_key(|task| std::cmp::Reverse(task.stopped_at));
    said.sort_by_key(|event| std::cmp::Reverse(event.created_at));
    let own_subnets = own_subnets(&mut account, &healthy);
    failed.iter_mut().for_each(|task| move_task(task, &own_subnets));
    put_back(&mut account, &healthy, sick, &new);
    move_revision(&mut account, &arn, &own_subnets);
    let known = failed.iter().filter(|task| task.last_status == "STOPPED");
    account.stopped_tasks.put(&arn, known.cloned().collect());
    for (from, to) in logs {
        move_logs(&mut account, &healthy, &from, &to);
    }
    shift_logs(&mut account, &failed);
    let service = &mut account.services[0];
    let fails = ServiceEvent {
        id: "7f0f2c5e-0000-4000-8000-300000000000".into(),
        created_at: Some(minutes_ago(BACK)),
        message: format!(
            "(service {}) (deployment {NEW}) deployment failed: tasks failed to start.",
            service.service_name
        ),
    };
    service.events.splice(0..0, [fails].into_iter().chain(said));
    Some(account)
}

/// What a table has under a key; nothing where it was not seen.
fn rows<T: Clone>(table: &Table<Vec<T>>, key: &str) -> Vec<T> {
    match table.get(key) {
        Seen::Yes(Some(rows)) => rows.clone(),
        Seen::Yes(None) | Seen::No(_) => Vec::new(),
    }
}

fn earlier(at: &mut Option<Timestamp>) {
    *at = at.map(|at| at - SignedDuration::from_mins(THEN));
}

/// The tasks that had failed then, as those of the new version. What ECS, AWS or a person stopped on
/// purpose is no failure, and no breaker counts it.
fn stopped_then(sick: &Snapshot, definition: &str, new: &str) -> Vec<Task> {
    let arn = &sick.services[0].service_arn;
    let stopped = rows(&sick.stopped_tasks, arn);
    let own = stopped
        .iter()
        .filter(|task| task.task_definition_arn == definition && StopKind::of(task).is_failure());
    own.map(|task| {
        let mut task = Task {
            started_by: Some(NEW.into()),
            task_definition_arn: new.into(),
            created_at: task
                .created_at
                .or(task.stopped_at.map(|at| at - SignedDuration::from_mins(1))),
            ..task.clone()
        };
        for at in [&mut task.created_at, &mut task.started_at, &mut task.stopping_at] {
            earlier(at);
        }
        earlier(&mut task.stopped_at);
        task
    })
    .collect()
}

/// What ECS had said then, and says no more of a healthy service.
fn said_then(sick: &Snapshot, healthy: &Snapshot) -> Vec<ServiceEvent> {
    let new =
        sick.services[0].events.iter().filter(|event| !healthy.services[0].events.contains(event));
    new.map(|event| {
        let mut event = event.clone();
        // However long it had been said by then, it was in the life of the version.
        let oldest = minutes_ago(BEGAN - 1);
        earlier(&mut event.created_at);
        event.created_at = event.created_at.map(|at| at.max(oldest));
        event
    })
    .collect()
}

/// The targets that failed then, each with its group and its task.
fn unhealthy_then(sick: &Snapshot) -> Vec<(String, Target, Task)> {
    let arn = &sick.services[0].service_arn;
    let tasks = rows(&sick.running_tasks, arn);
    let mut unhealthy = Vec::new();
    for group in sick.target_health.0.keys() {
        for target in rows(&sick.target_health, group)
            .into_iter()
            .filter(|target| target.state == "unhealthy")
        {
            let has_port = |task: &&Task| {
                task.containers.iter().any(|container| {
                    target.port.is_some_and(|port| container.host_ports.contains(&port))
                })
            };
            let behind = tasks
                .iter()
                .find(|task| task.private_address() == Some(target.id.as_str()))
                .or_else(|| tasks.iter().find(has_port));
            if let Some(task) = behind {
                unhealthy.push((group.clone(), target.clone(), task.clone()));
            }
        }
    }
    unhealthy
}

/// The task as one that ECS replaced for the health check, and whose log moves with it.
fn replaced(
    group: &str,
    new: &str,
    task: Task,
    number: i64,
    logs: &mut Vec<(String, String)>,
) -> Task {
    let old = task.id().to_owned();
    let id = format!("{}{number:04}", &old[..old.len() - 4]);
    logs.push((old.clone(), id.clone()));
    let stopped = minutes_ago(THEN + number * 4);
    Task {
        task_arn: task.task_arn.replace(&old, &id),
        started_by: Some(NEW.into()),
        task_definition_arn: new.into(),
        last_status: "STOPPED".into(),
        desired_status: "STOPPED".into(),
        stop_code: Some("ServiceSchedulerInitiated".into()),
        stopped_reason: Some(format!("Task failed ELB health checks in (target-group {group})")),
        created_at: Some(stopped - SignedDuration::from_mins(3)),
        started_at: Some(stopped - SignedDuration::from_mins(2)),
        stopping_at: Some(stopped),
        stopped_at: Some(stopped),
        ..task
    }
}

/// Whatever the old version has to be healthy; what the new one had asked for is in its revision.
fn put_back(account: &mut Snapshot, healthy: &Snapshot, sick: &Snapshot, new: &str) {
    let before = &healthy.services[0];
    let arn = &before.service_arn;
    account.services[0] = before.clone();
    account.running_tasks = healthy.running_tasks.clone();
    account.target_health = healthy.target_health.clone();
    account.metrics = healthy.metrics.clone();
    account.alarms = healthy.alarms.clone();
    for (definition, seen) in &healthy.task_definitions.0 {
        account.task_definitions.insert(definition, seen.clone());
    }
    for (revision, seen) in &healthy.revisions.0 {
        account.revisions.insert(revision, seen.clone());
    }
    let target = account
        .service_deployments
        .change(arn)
        .and_then(|all| all[0].target_service_revision.clone())
        .map(|target| target.arn);
    let asked = sick.services[0].network_configuration.clone();
    let mut groups = asked.as_ref().map(|it| it.security_groups.clone()).unwrap_or_default();
    for group in &mut groups {
        let (then, before) =
            (sick.security_groups.0.get(group), healthy.security_groups.0.get(group));
        if then != before {
            // The old version is healthy with this one, so the new one had another.
            let own = format!("{group}-13");
            let renamed = renamed_group(sick, group, &own);
            account.security_groups.insert(&own, renamed);
            if let Some(before) = before {
                account.security_groups.insert(group.as_str(), before.clone());
            }
            *group = own;
        }
    }
    if let Some(revision) = target.and_then(|target| account.revisions.change(&target)) {
        revision.task_definition = Some(new.into());
        if let Some(asked) = asked {
            revision.subnets = asked.subnets;
            revision.security_groups = groups;
            revision.assign_public_ip = asked.assign_public_ip;
        }
    }
}

/// The subnets in which another network ACL had the word: the old version is healthy in them, so the
/// new one was in others, each with its number among the blocks of the VPC.
fn own_subnets(account: &mut Snapshot, healthy: &Snapshot) -> BTreeMap<String, (String, u8)> {
    let mut own = BTreeMap::new();
    for (vpc, seen) in &healthy.network_acls.0 {
        let Seen::Yes(Some(before)) = seen else { continue };
        let Some(acls) = account.network_acls.change(vpc) else { continue };
        let pairs = before.iter().flat_map(|acl| acl.subnet_id.iter().map(move |id| (acl, id)));
        for (before, subnet) in pairs {
            let other = acls.iter_mut().find(|acl| {
                acl.subnet_id.contains(subnet) && acl.network_acl_id != before.network_acl_id
            });
            let Some(other) = other else { continue };
            let number = 200 + own.len() as u8;
            let new = format!("{subnet}-13");
            other.subnet_id.retain(|id| id != subnet);
            other.subnet_id.push(new.clone());
            let back = acls.iter_mut().find(|acl| acl.network_acl_id == before.network_acl_id);
            back.into_iter().for_each(|acl| acl.subnet_id.push(subnet.clone()));
            own.insert(subnet.clone(), (new, number));
        }
    }
    for (old, (new, number)) in &own {
        if let Some(row) = account.subnets.change(old).cloned() {
            let block = Some(format!("10.0.{number}.0/24"));
            account.subnets.put(new, Subnet { subnet_id: new.clone(), cidr_block: block, ..row });
        }
        for tables in account.route_tables.0.values_mut() {
            let Seen::Yes(Some(tables)) = tables else { continue };
            let joined = tables.iter_mut().filter(|table| table.subnet_ids.contains(old));
            joined.for_each(|table| table.subnet_ids.push(new.clone()));
        }
    }
    own
}

/// Puts a task into the subnet that its version had of its own.
fn move_task(task: &mut Task, own: &BTreeMap<String, (String, u8)>) {
    let Some((new, number)) = task.subnet_id.as_ref().and_then(|id| own.get(id)) else { return };
    task.subnet_id = Some(new.clone());
    let of_containers =
        task.containers.iter_mut().map(|container| &mut container.private_ipv4_address);
    for address in of_containers.chain([&mut task.private_ipv4_address]).flatten() {
        let host = address.rsplit('.').next().unwrap_or_default();
        *address = format!("10.0.{number}.{host}");
    }
}

/// Has the version that was given up ask for its own subnets.
fn move_revision(account: &mut Snapshot, arn: &str, own: &BTreeMap<String, (String, u8)>) {
    let newest = account.service_deployments.change(arn).and_then(|all| all.first());
    let target = newest.and_then(|newest| newest.target_service_revision.clone());
    let Some(revision) = target.and_then(|target| account.revisions.change(&target.arn)) else {
        return;
    };
    for subnet in &mut revision.subnets {
        if let Some((new, _)) = own.get(subnet) {
            *subnet = new.clone();
        }
    }
}

fn renamed_group(sick: &Snapshot, group: &str, own: &str) -> Seen<Option<SecurityGroup>> {
    let mut seen = sick.security_groups.0.get(group).cloned().unwrap_or_default();
    if let Seen::Yes(Some(group)) = &mut seen {
        group.group_id = own.into();
    }
    seen
}

/// Moves the streams of one task to another; the first has its healthy ones again.
fn move_logs(account: &mut Snapshot, healthy: &Snapshot, from: &str, to: &str) {
    let own: Vec<String> = account
        .logs
        .0
        .keys()
        .filter(|key| key.contains(LOG_STREAM) && key.ends_with(from))
        .cloned()
        .collect();
    for key in own {
        if let Some(lines) = account.logs.0.remove(&key) {
            account.logs.insert(key.replace(from, to), lines);
        }
        if let Some(lines) = healthy.logs.0.get(&key) {
            account.logs.insert(&key, lines.clone());
        }
    }
}

/// What the tasks that failed had logged was logged then.
fn shift_logs(account: &mut Snapshot, failed: &[Task]) {
    let of_failed: Vec<String> = account
        .logs
        .0
        .keys()
        .filter(|key| failed.iter().any(|task| key.ends_with(task.id())))
        .cloned()
        .collect();
    for key in of_failed {
        for line in account.logs.change(&key).into_iter().flatten() {
            earlier(&mut line.timestamp);
        }
    }
}
