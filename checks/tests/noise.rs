//! What has nothing to do with a trouble changes nothing of what is said about it: other services
//! and rules on the same load balancer, containers that AWS or a team puts beside the app, and
//! deployments that are long over. Whoever deploys is a law of its own, in `controllers`.

#![cfg(test)]

use std::collections::BTreeMap;

use ecs_doctor_checks::baseline::{self, forward, host_rule};
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::diagnosis::{Node, diagnose};
use ecs_doctor_checks::patient::Patient;
use ecs_doctor_checks::seen::Seen;
use ecs_doctor_checks::snapshot::{
    Action, Container, ContainerDefinition, Revision, Rule, ServiceDeployment, Snapshot,
};

type Noise = (&'static str, fn(&mut Snapshot));

const NOISE: &[Noise] = &[
    ("another service on the load balancer", |snapshot| {
        let group = baseline::id::group("neighbour");
        let rule = ("49000", "neighbour.example.org", forward(&[(&group, 1)]));
        put_rules(snapshot, &[rule]);
    }),
    ("more rules for other hosts", |snapshot| {
        let redirect = Action {
            kind: "redirect".into(),
            status_code: Some("HTTP_301".into()),
            redirect_host: Some("shop.example.org".into()),
            ..Action::default()
        };
        let answer = Action {
            kind: "fixed-response".into(),
            status_code: Some("200".into()),
            ..Action::default()
        };
        put_rules(
            snapshot,
            &[("1", "old.example.org", redirect), ("2", "status.example.org", answer)],
        );
    }),
    ("GuardDuty's container", |snapshot| beside(snapshot, "aws-guardduty-agent-p6y7Xw")),
    ("Service Connect's container", |snapshot| beside(snapshot, "ecs-service-connect-Qk3vZ")),
    ("an X-Ray daemon", |snapshot| {
        beside(snapshot, "xray-daemon");
        define(snapshot, |sidecar| {
            sidecar.name = "xray-daemon".into();
            sidecar.image = "public.ecr.aws/xray/aws-xray-daemon:3.3.13".into();
        });
    }),
    ("a log router", |snapshot| {
        beside(snapshot, "log_router");
        define(snapshot, |sidecar| {
            sidecar.name = "log_router".into();
            sidecar.image = "public.ecr.aws/aws-observability/aws-for-fluent-bit:2.32.5".into();
            sidecar.firelens_type = Some("fluentbit".into());
            sidecar.essential = true;
        });
    }),
    ("older deployments that are over", older_deployments),
];

/// Puts rules on every listener, each where its priority has it, ahead of the default rule.
fn put_rules(snapshot: &mut Snapshot, added: &[(&str, &str, Action)]) {
    for (listener, rules) in &mut snapshot.rules.0 {
        let Seen::Yes(Some(rules)) = rules else { continue };
        for (priority, host, action) in added {
            let arn =
                listener.replace(":listener/", ":listener-rule/") + "/0a0a0a0a0a0a" + priority;
            let number =
                |rule: &Rule| rule.priority.parse::<u32>().map_or(u32::MAX, |number| number);
            let rule = host_rule(&arn, priority, host, action.clone());
            let place = rules.partition_point(|other| number(other) < number(&rule));
            rules.insert(place, rule);
        }
    }
}

/// Puts a container beside those of every task, which ended with its task and gave no reason.
fn beside(snapshot: &mut Snapshot, name: &str) {
    let tables = [&mut snapshot.running_tasks, &mut snapshot.stopped_tasks];
    for tasks in tables.into_iter().flat_map(|table| table.0.values_mut()) {
        let Seen::Yes(Some(tasks)) = tasks else { continue };
        for task in tasks.iter_mut().filter(|task| !task.containers.is_empty()) {
            let stopped = task.stopped_at.is_some();
            task.containers.push(Container {
                name: name.into(),
                last_status: Some(if stopped { "STOPPED" } else { "RUNNING" }.into()),
                exit_code: (stopped && task.started_at.is_some()).then_some(143),
                ..Container::default()
            });
        }
    }
}

/// Has every task definition know a container of the team's; of AWS's own it knows none.
fn define(snapshot: &mut Snapshot, change: impl Fn(&mut ContainerDefinition)) {
    for definition in snapshot.task_definitions.0.values_mut() {
        let Seen::Yes(Some(definition)) = definition else { continue };
        if let Some(mut sidecar) = definition.container_definitions.first().cloned() {
            sidecar.essential = false;
            sidecar.port_mappings.clear();
            sidecar.environment.clear();
            sidecar.secrets.clear();
            sidecar.health_check = None;
            sidecar.has_health_check = false;
            (sidecar.entry_point, sidecar.command) = (None, None);
            change(&mut sidecar);
            definition.container_definitions.push(sidecar);
        }
    }
}

/// What the service went through weeks ago: a deployment that was rolled back, one that somebody
/// stopped, and one that succeeded after both.
fn older_deployments(snapshot: &mut Snapshot) {
    let arn = snapshot.services[0].service_arn.clone();
    let Some(oldest) =
        snapshot.service_deployments.change(&arn).and_then(|all| all.last().cloned())
    else {
        return;
    };
    let revision = oldest.target_service_revision.clone();
    for (days, status) in [(60_i64, "SUCCESSFUL"), (61, "STOPPED"), (62, "ROLLBACK_SUCCESSFUL")] {
        let at = |minutes| Some(baseline::minutes_ago(days * 24 * 60 - minutes));
        let older = |arn: &str| format!("{arn}{days}");
        let mut deployment = ServiceDeployment {
            service_deployment_arn: older(&oldest.service_deployment_arn),
            status: status.into(),
            created_at: at(0),
            started_at: at(1),
            updated_at: at(20),
            finished_at: at(20),
            ..oldest.clone()
        };
        if let Some(target) = &mut deployment.target_service_revision {
            target.arn = older(&target.arn);
        }
        if let Some(known) =
            revision.as_ref().and_then(|target| snapshot.revisions.change(&target.arn).cloned())
        {
            let arn = older(&known.service_revision_arn);
            let known = Revision { service_revision_arn: arn.clone(), created_at: at(0), ..known };
            snapshot.revisions.put(arn, known);
        }
        if let Some(listed) = snapshot.listed_deployments.change(&arn) {
            listed.push(baseline::listed(&deployment));
        }
        if let Some(all) = snapshot.service_deployments.change(&arn) {
            all.push(deployment);
        }
    }
}

/// The roots and all that follows from them, as an outline.
fn outline(snapshot: &Snapshot) -> Vec<String> {
    fn draw(node: &Node, depth: usize, lines: &mut Vec<String>) {
        lines.push(format!("{}{}", "  ".repeat(depth), node.check.id()));
        node.explains.iter().for_each(|effect| draw(effect, depth + 1, lines));
    }
    let intent = baseline::intent();
    let diagnosis = diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent));
    let mut lines = vec![format!("{:?}", diagnosis.verdict)];
    diagnosis.roots.iter().for_each(|root| draw(root, 0, &mut lines));
    lines
}

/// Examples of which a noise is no noise, each with why.
const APART: &[(&str, &str, &str)] = &[
    (
        "balancer_answers_5xx",
        "another service on the load balancer",
        "CloudWatch counts for the whole load balancer: the errors may be the other service's",
    ),
    (
        "spot_drops_requests",
        "another service on the load balancer",
        "CloudWatch counts for the whole load balancer: the errors may be the other service's",
    ),
    (
        "network_balancer_resets_connections",
        "another service on the load balancer",
        "CloudWatch counts for the whole load balancer: they may be the other service's",
    ),
    (
        "network_balancer_out_of_ports",
        "another service on the load balancer",
        "CloudWatch counts for the whole load balancer: they may be the other service's",
    ),
    (
        "keep_alive_too_short",
        "another service on the load balancer",
        "CloudWatch counts for the whole load balancer: the errors may be the other service's",
    ),
];

#[test]
fn noise_changes_nothing() {
    let healthy = baseline::ALL.iter().map(|(name, make)| (*name, make()));
    let examples = catalog::checks().map(|check| (check.id(), (check.example)()));
    let mut changed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, snapshot) in healthy.chain(examples) {
        let before = outline(&snapshot);
        for (noise, add) in NOISE {
            let mut noisy = snapshot.clone();
            add(&mut noisy);
            let after = outline(&noisy);
            let apart = APART.iter().any(|(of, by, _)| (*of, *by) == (name, *noise));
            // An exception that is none any more goes.
            if (before != after) != apart {
                changed.entry(noise).or_default().push(format!("{name}: {before:?} → {after:?}"));
            }
        }
    }
    assert!(changed.is_empty(), "{changed:#?}");
}
