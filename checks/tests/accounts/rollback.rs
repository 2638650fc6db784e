//! The rollback law: the same trouble, then the breaker goes back and the old version is healthy.
//! That a cause has passed does not make it another one, and it is what the rollback follows from.

use std::collections::BTreeMap;

use ecs_doctor_checks::catalog;
use ecs_doctor_checks::diagnosis::{Diagnosis, Standing};
use jiff::SignedDuration;

use crate::make::{diagnosed, gone_back, is_below, outline};

/// Checks that the law does not hold for, each with why.
const APART: &[(&str, &str)] = &[
    ("killed_after_stop_timeout", "ECS stopped these tasks on purpose: no breaker counts them"),
    ("spot_interrupted", "AWS took these tasks away: no breaker counts them"),
    ("spot_drops_requests", "AWS took these tasks away: no breaker counts them"),
    ("balancer_egress_blocked", "the tasks of the old version are not reached either"),
    ("network_acl_blocks", "the tasks of the old version are in the same subnets"),
];

/// Whether this cause stands first, and the rollback follows from it.
fn is_told_by(check: &str, diagnosis: &Diagnosis) -> bool {
    diagnosis
        .roots
        .first()
        .is_some_and(|root| root.check.id() == check && is_below(root, "deployment_rolled_back"))
}

#[test]
fn a_cause_stands_when_its_version_went_back() {
    let mut apart: BTreeMap<&str, &str> = APART.iter().copied().collect();
    let (mut held, mut wrong) = (0, Vec::new());
    for check in catalog::checks() {
        let sick = (check.example)();
        let Some(mut account) = gone_back(&sick) else { continue };
        let is_cause = diagnosed(&sick)
            .roots
            .first()
            .is_some_and(|root| root.check.id() == check.id() && root.standing == Standing::Cause);
        if !is_cause {
            continue;
        }
        let then = diagnosed(&account);
        // It stands until a later deployment succeeds, as long as ECS remembers the tasks.
        account.taken_at += SignedDuration::from_hours(3);
        let later = diagnosed(&account);
        let lost = [then, later].into_iter().find(|told| !is_told_by(check.id(), told));
        match (lost, apart.remove(check.id())) {
            (None, None) => held += 1,
            (None, Some(_)) => wrong.push(format!("{} is on the list, and it holds", check.id())),
            (Some(told), None) => {
                wrong.push(format!("{}:\n{}", check.id(), outline(&told.roots)));
            }
            (Some(_), Some(_)) => {}
        }
    }
    wrong.extend(apart.into_keys().map(|name| format!("{name} is on the list without need")));
    assert!(wrong.is_empty(), "{} wrong, {held} right\n{}", wrong.len(), wrong.join("\n"));
    assert!(held > 35, "{held}");
}
