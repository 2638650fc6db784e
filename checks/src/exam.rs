//! How one check went for one patient. The engine here is the only place that calls a check: it
//! keeps what was found before a check went blind, and a check that crashes takes nothing else with
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::call::Call;
use crate::check::{Check, Findings, NoAnswer};
use crate::finding::Finding;
use crate::patient::Patient;
use crate::seen::Blind;

/// How a check ended, the most telling first.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It found its trouble, though perhaps not everywhere it wanted to look.
    Sick,
    /// It panicked: our bug.
    Crashed,
    CouldNotLook,
    NotApplicable(&'static str),
    Healthy,
}

impl Outcome {
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Sick => "sick",
            Outcome::Crashed => "crashed",
            Outcome::CouldNotLook => "could_not_look",
            Outcome::NotApplicable(_) => "not_applicable",
            Outcome::Healthy => "healthy",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Exam {
    pub check: &'static Check,
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
    /// What it could not see, each call once.
    pub missed: Vec<Blind>,
    /// Every call whose answer it read.
    pub read: Vec<Call>,
}

pub fn examine(check: &'static Check, patient: &Patient) -> Exam {
    patient.forget_reads();
    let mut findings = Findings::default();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        check.applies.iter().try_for_each(|condition| condition.ask(patient))?;
        (check.look)(patient, &mut findings)
    }));
    let Findings { found, hidden: mut missed } = findings;
    let clean = match ended {
        Ok(Ok(())) => Outcome::Healthy,
        Ok(Err(NoAnswer::NotApplicable(why))) => Outcome::NotApplicable(why),
        Ok(Err(NoAnswer::CouldNotLook(blind))) => {
            missed.push(blind);
            Outcome::CouldNotLook
        }
        Err(_) => Outcome::Crashed,
    };
    missed.sort();
    missed.dedup_by(|a, b| a.call == b.call);
    let outcome = match clean {
        _ if !found.is_empty() => Outcome::Sick,
        Outcome::Crashed => Outcome::Crashed,
        _ if !missed.is_empty() => Outcome::CouldNotLook,
        other => other,
    };
    Exam { check, outcome, findings: found, missed, read: patient.reads() }
}
