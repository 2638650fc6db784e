//! Two troubles on one account: the one must not hide the other, nor take its effects. Examples
//! are merged that were made from the same healthy service and changed different things of it.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use ecs_doctor_checks::baseline;
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::check::{Check, Role};
use ecs_doctor_checks::diagnosis::{Diagnosis, Node, diagnose};
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::snapshot::Snapshot;
use ecs_doctor_checks::symptom::Symptom;
use serde_json::Value;

/// Both changes of one value; none where they contradict each other. Objects are merged member by
/// member, so that two examples may change different rows of a table; lists only as a whole.
fn merged(base: &Value, one: &Value, other: &Value) -> Option<Value> {
    if one == other || base == other {
        return Some(one.clone());
    }
    if base == one {
        return Some(other.clone());
    }
    let (Value::Object(base), Value::Object(one), Value::Object(other)) = (base, one, other) else {
        return None;
    };
    let names: BTreeSet<&String> = base.keys().chain(one.keys()).chain(other.keys()).collect();
    let mut all = serde_json::Map::new();
    for name in names {
        let is_gone = one.get(name).is_none() || other.get(name).is_none();
        let [base, one, other] = [base, one, other].map(|it| it.get(name).unwrap_or(&Value::Null));
        let value = merged(base, one, other)?;
        // What one of them took away is not there, rather than null.
        if !(is_gone && value.is_null()) {
            all.insert(name.clone(), value);
        }
    }
    Some(Value::Object(all))
}

/// The service stands in a list of one, and its members may be changed by different examples.
fn merged_snapshots(base: &Value, one: &Value, other: &Value) -> Option<Snapshot> {
    let mut all = [base, one, other].map(Value::clone);
    let [base_service, one_service, other_service] =
        all.each_mut().map(|it| it["services"][0].take());
    let mut both = merged(&all[0], &all[1], &all[2])?;
    both["services"][0] = merged(&base_service, &one_service, &other_service)?;
    Some(serde_json::from_value(both).expect("a snapshot"))
}

fn diagnosed(snapshot: &Snapshot) -> Diagnosis {
    let intent = Intent::default();
    diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent))
}

/// For each finding the findings that it stands under, from the root on.
fn ways(diagnosis: &Diagnosis) -> BTreeMap<&'static str, Vec<Vec<&'static str>>> {
    fn walk(
        node: &Node,
        above: &[&'static str],
        ways: &mut BTreeMap<&'static str, Vec<Vec<&'static str>>>,
    ) {
        let id = node.check.id();
        ways.entry(id).or_default().push(above.to_vec());
        let above = [above, &[id]].concat();
        node.explains.iter().for_each(|node| walk(node, &above, ways));
    }
    let mut all = BTreeMap::new();
    for root in diagnosis.roots.iter().chain(&diagnosis.notes) {
        walk(root, &[], &mut all);
    }
    all
}

/// An example that stands as a root, with what follows from it.
struct Example {
    check: &'static Check,
    json: Value,
    found: BTreeSet<&'static str>,
    effects: BTreeSet<&'static str>,
}

impl Example {
    /// None of a note: what its example has beside it is not its own.
    fn of(check: &'static Check) -> Option<Example> {
        if check.role == Role::Note {
            return None;
        }
        let snapshot = (check.example)();
        let diagnosis = diagnosed(&snapshot);
        let ways = ways(&diagnosis);
        ways.get(check.id()).filter(|ways| ways.iter().any(Vec::is_empty))?;
        let is_effect =
            |ways: &Vec<Vec<&str>>| ways.iter().any(|above| above.first() == Some(&check.id()));
        Some(Example {
            check,
            json: serde_json::to_value(&snapshot).expect("JSON"),
            found: ways.keys().copied().collect(),
            effects: ways.iter().filter(|(_, ways)| is_effect(ways)).map(|(id, _)| *id).collect(),
        })
    }
}

/// Examples that leave nothing for others to look at; they themselves must not be hidden.
const TAKES_ALL: &[&str] =
    &["target_group_missing", "target_group_not_attached", "service_not_active", "deletion_stuck"];

/// Pairs of which one is rightly silent beside the other, each with why.
const APART: &[(&str, &[&str], &str)] = &[
    (
        "secret_rotated_since_start",
        &["killed_after_stop_timeout", "tag_moved"],
        "the task whose log tells started after the rotation there, so that its secret is the new one",
    ),
    (
        "traffic_weight_zero",
        &[
            "balancer_answers_502",
            "balancer_answers_504",
            "balancer_answers_5xx",
            "target_group_empty",
            "target_registration_denied",
            "target_type_mismatch",
            "target_group_in_other_vpc",
            "keep_alive_too_short",
            "every_answer_is_a_redirect",
            "spot_drops_requests",
        ],
        "no request is for the service's groups, so what the load balancer answers is not about it",
    ),
    (
        "traffic_weight_zero",
        &["service_discovery_not_provisioned"],
        "without a share of the traffic the group is empty for whatever reason",
    ),
    (
        "traffic_weight_zero",
        &["scaling_metric_blind"],
        "where no traffic comes nothing is claimed of what counts it",
    ),
    (
        "service_discovery_not_provisioned",
        &["sessions_not_sticky", "task_directly_reachable", "web_acl_can_be_bypassed"],
        "no task runs that requests could get to",
    ),
    (
        "traffic_weight_zero",
        &["plain_http_served"],
        "the other listener sends its requests to the service",
    ),
    (
        "target_group_not_attached",
        &["plain_http_served"],
        "the other listener sends its requests to the service, so its group is attached",
    ),
    (
        "sessions_not_sticky",
        &[
            "target_group_empty",
            "target_registration_denied",
            "target_type_mismatch",
            "target_group_in_other_vpc",
            "zone_not_enabled",
            "web_acl_blocks_requests",
            "certificate_wrong",
            "too_few_running",
            "task_security_group_blocks_balancer",
            "balancer_closed_to_clients",
            "network_acl_blocks",
        ],
        "requests do not get to several tasks that serve, so there are no shares to compare",
    ),
    (
        "killed_after_stop_timeout",
        &[
            "app_answers_5xx",
            "app_answers_4xx",
            "sessions_not_sticky",
            "peer_route_missing",
            "endpoint_captures_public_api",
        ],
        "while a deployment stops tasks, errors are of the moment",
    ),
    (
        "app_answers_slowly",
        &["certificate_wrong", "balancer_closed_to_clients"],
        "where clients are shut out there are next to no answers",
    ),
    (
        "alarm_counts_client_errors",
        &["app_answers_5xx"],
        "the alarm may have fired for the app's own errors",
    ),
    (
        "internal_service_published",
        &["web_acl_blocks_requests"],
        "a web ACL that lets strangers in no longer publishes nothing",
    ),
    (
        "internal_service_published",
        &["identity_provider_unreachable"],
        "a rule that signs users in means to publish the service",
    ),
    (
        "sibling_locked_out",
        &["balancer_answers_5xx"],
        "the errors of a load balancer that siblings share may be theirs",
    ),
    (
        "traffic_split_over_empty_group",
        &[
            "alarm_already_firing",
            "alarm_blind_to_idle_group",
            "canary_starved_of_traffic",
            "stage_timeout_near",
        ],
        "while a deployment is under way the weights of ECS's own rule are left to ECS",
    ),
    (
        "keep_alive_too_short",
        &["killed_after_stop_timeout", "mixed_digests", "too_few_running"],
        "where tasks end or are others, 502 says nothing of idle connections",
    ),
    (
        "mixed_digests",
        &["health_check_wrong_port", "health_check_wrong_protocol"],
        "the tasks that listen are no longer those that were logged",
    ),
    (
        "too_few_running",
        &["task_directly_reachable", "web_acl_can_be_bypassed"],
        "no task runs that could be reached",
    ),
    (
        "single_task",
        &["network_acl_blocks", "scaling_at_maximum"],
        "the one that is left is in another subnet, and one is not the maximum",
    ),
    ("circuit_breaker_off", &["circuit_breaker_stalled"], "what is off cannot stall"),
    (
        "no_web_acl",
        &["web_acl_blocks_requests", "web_acl_blocks_large_bodies", "web_acl_can_be_bypassed"],
        "what is not there blocks nothing",
    ),
    (
        "task_protection_holds",
        &["logs_missing", "service_connect_starved"],
        "the deployment brings another task definition",
    ),
    (
        "spot_drops_requests",
        &["circuit_breaker_stalled", "too_few_running"],
        "while tasks are lacking, the interruption itself is the trouble",
    ),
    ("percent_deadlock", &["tag_moved"], "nothing runs of the version that is brought"),
    (
        "tasks_keep_stopping",
        &["alarm_already_firing"],
        "the tasks that stopped are not of the deployment that is under way",
    ),
];

fn are_apart(one: &Example, other: &Example) -> bool {
    let names = |a: &Example, b: &Example| {
        APART.iter().any(|(id, others, _)| *id == a.check.id() && others.contains(&b.check.id()))
    };
    names(one, other) || names(other, one)
}

/// Everything that the map leads to from what is found.
fn reach(found: &BTreeSet<&str>) -> BTreeSet<Symptom> {
    let explained = |id: &&str| catalog::find(id).map_or(&[][..], |check| check.explains);
    let mut next: Vec<Symptom> = found.iter().flat_map(explained).copied().collect();
    let mut reached: BTreeSet<Symptom> = BTreeSet::new();
    while let Some(symptom) = next.pop() {
        if reached.insert(symptom) {
            let shown = catalog::checks().filter(|check| check.shows == Some(symptom));
            next.extend(shown.flat_map(|check| check.explains.iter().copied()));
        }
    }
    reached
}

/// Whether no finding of the one can be why there is one of the other.
fn are_independent(one: &Example, other: &Example) -> bool {
    let joins = |cause: &Example, effect: &Example| {
        let reach = reach(&cause.found);
        let shown = effect.found.iter().filter_map(|id| catalog::find(id)?.shows);
        shown.into_iter().any(|shown| reach.contains(&shown))
    };
    !joins(one, other) && !joins(other, one)
}

/// What of an example is not told where another trouble is there too.
fn hidden(example: &Example, both: &Diagnosis) -> Vec<String> {
    let (id, ways) = (example.check.id(), ways(both));
    let stands = |of: &[&str], finding: &str| {
        ways.get(finding).is_some_and(|ways| {
            ways.iter().any(|above| above.starts_with(of) && above.is_empty() == of.is_empty())
        })
    };
    let root = (!stands(&[], id)).then(|| format!("{id} is no root"));
    let effects = example
        .effects
        .iter()
        .filter(|effect| !stands(&[id], effect))
        .map(|effect| format!("{effect} is not under {id} but {:?}", ways.get(effect)));
    root.into_iter().chain(effects).collect()
}

#[test]
fn the_one_trouble_does_not_hide_the_other() {
    let (mut pairs, mut wrong) = (0, Vec::new());
    for (name, make) in baseline::ALL {
        let base = serde_json::to_value(make()).expect("JSON");
        let service = &base["services"][0]["service_arn"];
        let of_base = |example: &Example| &example.json["services"][0]["service_arn"] == service;
        let examples: Vec<Example> =
            catalog::checks().filter_map(Example::of).filter(of_base).collect();
        for (index, one) in examples.iter().enumerate() {
            for other in examples[..index].iter().filter(|other| are_independent(one, other)) {
                let Some(both) = merged_snapshots(&base, &one.json, &other.json) else { continue };
                pairs += 1;
                let both = diagnosed(&both);
                let takes_all = |example: &Example| TAKES_ALL.contains(&example.check.id());
                let left = |example: &Example, beside: &Example| match takes_all(beside) {
                    true => Vec::new(),
                    false => hidden(example, &both),
                };
                let hidden = [left(one, other), left(other, one)].concat();
                let pair = format!("{:?} and {:?} on {name}", one.check, other.check);
                match (hidden.is_empty(), are_apart(one, other)) {
                    (true, true) => wrong.push(format!("{pair} do well: they are not apart")),
                    (false, false) => wrong.push(format!("{pair}: {}", hidden.join("; "))),
                    (true, false) | (false, true) => {}
                }
            }
        }
    }
    assert!(pairs > 1000, "only {pairs} pairs of examples could be merged");
    assert!(wrong.is_empty(), "{} of {pairs}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_merge_keeps_both_changes_and_refuses_two_of_one_thing() {
    let value = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
    let base = value(r#"{"a": 1, "table": {"x": [1], "y": 2}}"#);
    let one = value(r#"{"a": 1, "table": {"x": [1, 2], "y": 2}}"#);
    let other = value(r#"{"a": 3, "table": {"x": [1], "y": 2, "z": 4}}"#);
    assert_eq!(
        merged(&base, &one, &other),
        Some(value(r#"{"a": 3, "table": {"x": [1, 2], "y": 2, "z": 4}}"#))
    );
    let without = value(r#"{"a": 1, "table": {"y": 2}}"#);
    assert_eq!(
        merged(&base, &other, &without),
        Some(value(r#"{"a": 3, "table": {"y": 2, "z": 4}}"#))
    );
    let against = value(r#"{"a": 1, "table": {"x": [9], "y": 2}}"#);
    assert_eq!(merged(&base, &one, &against), None);
}
