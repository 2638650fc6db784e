//! The causal map: from checks to symptoms and on to checks. It has no circle, so every chain has a
//! beginning.

#![cfg(test)]

use std::collections::BTreeSet;

use ecs_doctor_checks::catalog;
use ecs_doctor_checks::symptom::Symptom;
use ecs_doctor_checks::symptom::Symptom::*;

/// A step of the map: a check that explains the second symptom shows the first.
type Step = (Symptom, Symptom);

fn map() -> BTreeSet<Step> {
    catalog::checks()
        .flat_map(|check| check.shows.into_iter().map(move |shown| (shown, check)))
        .flat_map(|(shown, check)| check.explains.iter().map(move |effect| (shown, *effect)))
        .collect()
}

/// Steps around in a circle, or into one: those that are left when whatever leads nowhere is taken
/// away, again and again.
fn circles(mut map: BTreeSet<Step>) -> BTreeSet<Step> {
    loop {
        let leads_on: BTreeSet<Symptom> = map.iter().map(|(from, _)| *from).collect();
        let left: BTreeSet<Step> =
            map.iter().filter(|(_, to)| leads_on.contains(to)).copied().collect();
        if left == map {
            return left;
        }
        map = left;
    }
}

#[test]
fn has_no_circle() {
    assert_eq!(circles(map()), BTreeSet::new());
}

#[test]
fn a_circle_would_be_found() {
    let chain = [(TargetsUnhealthy, TasksKeepStopping), (TasksKeepStopping, NoTarget)];
    let closed = |back: Step| circles(chain.into_iter().chain([back]).collect());
    assert_eq!(circles(chain.into()).len(), 0);
    assert_eq!(closed((NoTarget, TargetsUnhealthy)).len(), 3);
    assert_eq!(closed((NoTarget, NoTarget)).len(), 3, "with the way into it");
    assert_eq!(closed((NoTarget, BalancerAnswers503)).len(), 0);
}

#[test]
fn a_check_names_each_symptom_once() {
    for check in catalog::checks() {
        let explained: BTreeSet<Symptom> = check.explains.iter().copied().collect();
        assert_eq!(explained.len(), check.explains.len(), "{check:?} explains one twice");
    }
}

/// The chains that operators meet most, each step of which some check draws.
#[test]
fn leads_from_the_app_to_what_clients_feel() {
    let map = map();
    for step in [
        (HealthCheckRefused, TargetsUnhealthy),
        (TargetsUnhealthy, TasksKeepStopping),
        (TasksKeepStopping, NoTarget),
        (NoTarget, BalancerAnswers503),
    ] {
        assert!(map.contains(&step), "{step:?}");
    }
}
