//! How one check went for one patient. The engine here is the only place that calls a check: it
//! keeps what was found before a check went blind, and a check that crashes takes nothing else with
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::Serialize;

use crate::call::Call;
use crate::check::{Check, Findings, NoAnswer};
use crate::finding::Finding;
use crate::patient::Patient;
use crate::seen::Blind;

/// How a check ended, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It found its trouble, though perhaps not everywhere it wanted to look.
    Sick,
    /// It panicked: our bug.
    Crashed,
    CouldNotLook,
    /// And why, in a few words.
    NotApplicable(&'static str),
    Healthy,
}

/// How a check ended, the most telling first; without why it did not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It found its trouble, though perhaps not everywhere it wanted to look.
    Sick,
    /// It panicked: a bug of the program.
    Crashed,
    /// A call that it needs was not answered, and what it did see is fine.
    CouldNotLook,
    /// The service has nothing for it to look at.
    NotApplicable,
    /// It looked everywhere, and found nothing.
    Healthy,
}

impl Outcome {
    pub fn ended(self) -> Ended {
        match self {
            Outcome::Sick => Ended::Sick,
            Outcome::Crashed => Ended::Crashed,
            Outcome::CouldNotLook => Ended::CouldNotLook,
            Outcome::NotApplicable(_) => Ended::NotApplicable,
            Outcome::Healthy => Ended::Healthy,
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
    let ended = catch_unwind(AssertUnwindSafe(|| (check.look)(patient, &mut findings)));
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
