//! What has nothing to do with a trouble changes nothing of what is said about it: other services
//! on the same load balancer, containers that AWS or a team puts beside the app.

#![cfg(test)]

use std::collections::BTreeMap;

use ecs_doctor_checks::baseline::{self, forward, host_rule};
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::diagnosis::{Node, diagnose};
use ecs_doctor_checks::patient::Patient;
use ecs_doctor_checks::seen::Seen;
use ecs_doctor_checks::snapshot::{Container, Snapshot};

type Noise = (&'static str, fn(&mut Snapshot));

const NOISE: &[Noise] = &[
    ("another service on the load balancer", |snapshot| {
        for (listener, rules) in &mut snapshot.rules.0 {
            let Seen::Yes(Some(rules)) = rules else { continue };
            let arn = listener.replace(":listener/", ":listener-rule/") + "/0a0a0a0a0a0a0a0a";
            let group = baseline::id::group("neighbour");
            let rule = host_rule(&arn, "49000", "neighbour.example.org", forward(&[(&group, 1)]));
            let last = rules.iter().position(|rule| rule.is_default).unwrap_or(rules.len());
            rules.insert(last, rule);
        }
    }),
    ("GuardDuty's container", |snapshot| beside(snapshot, "aws-guardduty-agent-p6y7Xw")),
    ("an X-Ray daemon", |snapshot| beside(snapshot, "xray-daemon")),
];

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
    // The task definition knows a container of the team, and none of AWS's.
    if !name.starts_with("aws-") {
        for definition in snapshot.task_definitions.0.values_mut() {
            let Seen::Yes(Some(definition)) = definition else { continue };
            if let Some(first) = definition.container_definitions.first().cloned() {
                let mut sidecar = first;
                sidecar.name = name.into();
                sidecar.essential = false;
                sidecar.image = "public.ecr.aws/xray/aws-xray-daemon:3.3.13".into();
                sidecar.port_mappings.clear();
                sidecar.environment.clear();
                sidecar.health_check = None;
                definition.container_definitions.push(sidecar);
            }
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
