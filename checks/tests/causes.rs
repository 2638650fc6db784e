//! The causal map: from checks to symptoms and on to checks. It has no circle, so every chain has a
//! beginning.

#![cfg(test)]

use std::collections::BTreeMap;

use ecs_doctor_checks::catalog;
use ecs_doctor_checks::symptom::Symptom;

fn next(symptom: Symptom) -> Vec<Symptom> {
    catalog::checks()
        .filter(|check| check.shows == Some(symptom))
        .flat_map(|check| check.explains.iter().copied())
        .collect()
}

fn walk(symptom: Symptom, path: &mut Vec<Symptom>, done: &mut BTreeMap<Symptom, ()>) {
    assert!(!path.contains(&symptom), "a circle: {path:?} and again {symptom:?}");
    if done.contains_key(&symptom) {
        return;
    }
    path.push(symptom);
    for effect in next(symptom) {
        walk(effect, path, done);
    }
    path.pop();
    done.insert(symptom, ());
}

#[test]
fn has_no_circle() {
    let mut done = BTreeMap::new();
    for symptom in Symptom::ALL {
        walk(*symptom, &mut Vec::new(), &mut done);
    }
}

#[test]
fn a_cause_leads_somewhere_known() {
    for check in catalog::checks() {
        for symptom in check.explains {
            assert!(
                Symptom::ALL.contains(symptom),
                "{check:?} explains {symptom:?}, which is not in the list"
            );
        }
    }
}
