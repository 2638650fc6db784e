//! Whoever deploys a service, its tasks, network and load balancers are diagnosed alike: every
//! example is handed to CodeDeploy and to an external controller, and its trouble must still be
//! found. Only what is about ECS's own deployments falls silent.

#![cfg(test)]

use std::collections::BTreeSet;

use ecs_doctor_checks::applies::Applies;
use ecs_doctor_checks::baseline;
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::diagnosis::{Diagnosis, Node, Standing, Verdict, diagnose};
use ecs_doctor_checks::exam::{Outcome, examine};
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::seen::{See, Unseen};
use ecs_doctor_checks::snapshot::Snapshot;

const CONTROLLERS: [&str; 2] = ["CODE_DEPLOY", "EXTERNAL"];

fn diagnosis(snapshot: &Snapshot) -> Diagnosis {
    diagnose(&Patient::new(snapshot, &snapshot.services[0], &Intent::default()))
}

fn handed_over(mut snapshot: Snapshot, controller: &str) -> Snapshot {
    baseline::hand_over(&mut snapshot, controller);
    snapshot
}

/// What no other controller can deploy: Express, Service Connect, and what ECS rolled back itself.
fn is_only_for_ecs(snapshot: &Snapshot) -> bool {
    let service = &snapshot.services[0];
    let connects =
        service.deployments.iter().any(|one| one.service_connect_configuration.is_some());
    let intent = Intent::default();
    let patient = Patient::new(snapshot, service, &intent);
    let newest = Unseen::default().see(patient.service_deployments()).and_then(<[_]>::first);
    let went_back = newest.is_some_and(|newest| newest.status.starts_with("ROLLBACK"));
    patient.is_express() || connects || went_back
}

#[test]
fn a_trouble_is_found_whoever_deploys() {
    let mut lost = Vec::new();
    for check in catalog::checks() {
        for controller in CONTROLLERS {
            if is_only_for_ecs(&(check.example)()) {
                continue;
            }
            let snapshot = handed_over((check.example)(), controller);
            let intent = baseline::intent();
            let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
            let outcome = examine(check, &patient).outcome;
            let of_ecs = check.applies.contains(&Applies::DeployedByEcs);
            if of_ecs {
                assert!(matches!(outcome, Outcome::NotApplicable(_)), "{check:?}: {outcome:?}");
            } else if outcome != Outcome::Sick {
                lost.push(format!("{check:?} with {controller}: {outcome:?}"));
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// What only ECS tells of what it does itself: which targets it registered, and since when a service
/// drains.
const TOLD_BY_ECS: [&str; 2] = ["stale_target_registered", "deletion_stuck"];

/// The causes and unexplained symptoms with all that follows from each, without what only ECS's own
/// deployments have and what only ECS tells.
fn outline(diagnosis: &Diagnosis) -> Vec<BTreeSet<&'static str>> {
    fn gather(node: &Node, found: &mut BTreeSet<&'static str>) {
        let is_of_ecs = node.check.applies.contains(&Applies::DeployedByEcs);
        if !is_of_ecs && !TOLD_BY_ECS.contains(&node.check.id()) {
            found.insert(node.check.id());
        }
        node.explains.iter().for_each(|effect| gather(effect, found));
    }
    let is_told = |root: &&Node| matches!(root.standing, Standing::Cause | Standing::Unexplained);
    let mut outline = Vec::new();
    for root in diagnosis.roots.iter().filter(is_told) {
        let mut found = BTreeSet::new();
        gather(root, &mut found);
        outline.push(found);
    }
    outline.retain(|found| !found.is_empty());
    outline
}

/// Another controller is no part of a trouble that has nothing to do with deployments.
#[test]
fn what_follows_from_a_trouble_is_the_same_whoever_deploys() {
    let mut changed = Vec::new();
    for check in catalog::checks() {
        let snapshot = (check.example)();
        if is_only_for_ecs(&snapshot) || check.applies.contains(&Applies::DeployedByEcs) {
            continue;
        }
        let before = outline(&diagnosis(&snapshot));
        for controller in CONTROLLERS {
            let after = outline(&diagnosis(&handed_over(snapshot.clone(), controller)));
            if before != after {
                changed.push(format!("{check:?} with {controller}: {before:?} → {after:?}"));
            }
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn a_healthy_service_is_healthy_whoever_deploys() {
    for (name, make) in baseline::ALL.iter().filter(|(_, make)| !is_only_for_ecs(&make())) {
        for controller in CONTROLLERS {
            let before = diagnosis(&make()).verdict;
            let after = diagnosis(&handed_over(make(), controller));
            assert_eq!(after.verdict, before, "{name} with {controller}: {:?}", after.roots);
        }
    }
}

/// CodeDeploy keeps both task sets while it waits: for somebody to send the traffic over, and then
/// for the hour in which it could go back.
#[test]
fn two_task_sets_that_run_are_no_trouble() {
    for controller in CONTROLLERS {
        let mut snapshot = baseline::fargate();
        baseline::roll_out(&mut snapshot, 90, |_| ());
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.services[0].running_count = 4;
        let old = snapshot.running_tasks.change(&arn).cloned().unwrap_or_default();
        let new = old.iter().enumerate().map(|(n, task)| {
            let mut task = task.clone();
            task.task_arn = task
                .task_arn
                .replace(&baseline::id::task(1 + n as u8), &baseline::id::task(11 + n as u8));
            task.started_by = Some("ecs-svc/1000000000000000013".into());
            task.task_definition_arn = task.task_definition_arn.replace(":12", ":13");
            task
        });
        let all = old.iter().cloned().chain(new).collect();
        snapshot.running_tasks.put(&arn, all);
        let diagnosis = diagnosis(&handed_over(snapshot, controller));
        assert!(diagnosis.verdict >= Verdict::AtRisk, "{controller}: {:?}", diagnosis.roots);
    }
}
