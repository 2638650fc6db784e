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
        let own = diagnosed(&sick);
        let is_cause = own
            .roots
            .first()
            .is_some_and(|root| root.check.id() == check.id() && root.standing == Standing::Cause);
        let Some(mut account) = gone_back(&sick).filter(|_| is_cause) else { continue };
        let mut after = diagnosed(&account);
        let mut holds = is_told_by(check.id(), &after);
        // It stands until a later deployment succeeds, as long as ECS remembers the tasks.
        for minutes in [30, 150] {
            account.taken_at += SignedDuration::from_mins(minutes);
            let later = diagnosed(&account);
            if holds && !is_told_by(check.id(), &later) {
                (holds, after) = (false, later);
            }
        }
        match (holds, apart.remove(check.id())) {
            (true, None) => held += 1,
            (true, Some(_)) => wrong.push(format!("{} is on the list, and it holds", check.id())),
            (false, None) => {
                wrong.push(format!("{}:\n{}", check.id(), outline(&after.roots)));
            }
            (false, Some(_)) => {}
        }
    }
    wrong.extend(apart.into_keys().map(|name| format!("{name} is on the list without need")));
    assert!(wrong.is_empty(), "{} wrong, {held} right\n{}", wrong.len(), wrong.join("\n"));
    assert!(held > 20, "{held}");
}
