//! What AWS forgets between two looks: stopped tasks expire, events roll over, metrics have no
//! values. Then a diagnosis may know less, but it must not fall apart: what was a step of a chain
//! becomes no trouble of its own, and no cause comes up that was not seen before.

#![cfg(test)]

use std::collections::BTreeSet;

use ecs_doctor_checks::catalog;
use ecs_doctor_checks::diagnosis::{Diagnosis, Node, Standing, diagnose};
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::seen::Seen;
use ecs_doctor_checks::snapshot::{Series, Snapshot};

type Forget = (&'static str, fn(&mut Snapshot));

/// Each alone; together they are one more.
const FORGOTTEN: &[Forget] = &[
    ("stopped tasks", |snapshot| {
        for stopped in snapshot.stopped_tasks.0.values_mut() {
            if matches!(stopped, Seen::Yes(_)) {
                *stopped = Seen::Yes(Some(Vec::new()));
            }
        }
    }),
    ("events", |snapshot| snapshot.services.iter_mut().for_each(|service| service.events.clear())),
    ("metrics", |snapshot| {
        for series in snapshot.metrics.0.values_mut() {
            if matches!(series, Seen::Yes(_)) {
                *series = Seen::Yes(Some(Series::default()));
            }
        }
    }),
];

fn diagnosed(snapshot: &Snapshot) -> Diagnosis {
    let intent = Intent::default();
    diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent))
}

/// Roots that are no mere risk.
fn troubles(diagnosis: &Diagnosis) -> Vec<&Node> {
    let is_trouble =
        |root: &&Node| matches!(root.standing, Standing::Cause | Standing::Unexplained);
    diagnosis.roots.iter().filter(is_trouble).collect()
}

fn ids(nodes: &[&Node]) -> Vec<&'static str> {
    nodes.iter().map(|node| node.check.id()).collect()
}

/// Every check that found something, wherever it stands.
fn found(diagnosis: &Diagnosis) -> BTreeSet<&'static str> {
    let found = diagnosis.exams.iter().filter(|exam| !exam.findings.is_empty());
    found.map(|exam| exam.check.id()).collect()
}

/// What is wrong with the diagnosis of an account of which something was forgotten.
fn complaints(before: &Diagnosis, after: &Diagnosis) -> Vec<String> {
    let (seen, still) = (found(before), found(after));
    let (were, are) = (troubles(before), troubles(after));
    let mut complaints = Vec::new();
    let causes = are.iter().filter(|root| root.standing == Standing::Cause);
    let invented: Vec<&str> =
        causes.map(|root| root.check.id()).filter(|id| !seen.contains(id)).collect();
    if !invented.is_empty() {
        complaints.push(format!("{invented:?} became causes"));
    }
    // Where a cause itself was forgotten, what followed from it is left unexplained.
    let all_known = were.iter().all(|root| still.contains(root.check.id()));
    if all_known && are.len() > were.len() {
        complaints.push(format!("{:?} became {:?}", ids(&were), ids(&are)));
    }
    let first = were.first().filter(|first| still.contains(first.check.id()));
    if let Some(first) = first
        && are.first().is_none_or(|root| root.check.id() != first.check.id())
    {
        complaints.push(format!("{:?} is not the first of {:?}", first.check, ids(&are)));
    }
    complaints
}

#[test]
fn what_aws_forgets_makes_no_new_trouble() {
    let mut wrong = Vec::new();
    for check in catalog::checks() {
        let example = (check.example)();
        let before = diagnosed(&example);
        let mut all = example.clone();
        for (what, forget) in FORGOTTEN {
            let mut one = example.clone();
            forget(&mut one);
            forget(&mut all);
            for complaint in complaints(&before, &diagnosed(&one)) {
                wrong.push(format!("{check:?} without its {what}: {complaint}"));
            }
        }
        for complaint in complaints(&before, &diagnosed(&all)) {
            wrong.push(format!("{check:?} without any of these: {complaint}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The law would see a cause that is new, a first root that is another, and one more trouble.
#[test]
fn a_diagnosis_that_falls_apart_would_be_seen() {
    let example =
        |id: &str| diagnosed(&(catalog::find(id).expect("a check of the catalog").example)());
    let (stopping, exits) = (example("tasks_keep_stopping"), example("exits_with_error"));
    assert_eq!(complaints(&stopping, &stopping), Vec::<String>::new());
    assert!(!complaints(&stopping, &exits).is_empty(), "exits were not seen before");
    let fewer = |by: usize| {
        let mut diagnosis = exits.clone();
        diagnosis.roots.drain(..by);
        diagnosis
    };
    assert!(!complaints(&exits, &fewer(1)).is_empty(), "the first root is gone");
    assert!(!complaints(&fewer(1), &exits).is_empty(), "there is one trouble more");
}
