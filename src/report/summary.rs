//! A diagnosis as scripts and screens count it: how many of each kind there are, and every finding
//! once, flat, with a pointer to what it follows from.

use checks::check::Severity;
use checks::diagnosis::Standing;
use checks::exam::Ended;
use checks::seen::Blindness;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ExamReport, FindingReport, SubjectReport};

/// How many findings there are of each standing; notes are not counted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// The worst severity of anything but a note.
    pub worst: Option<Severity>,
    pub causes: usize,
    /// Symptoms that no cause was found for.
    pub unexplained: usize,
    /// Symptoms that follow from a cause or from another symptom.
    pub symptoms: usize,
    /// Risks of medium severity or worse.
    pub risks: usize,
    /// Risks of low severity: they leave a service healthy.
    pub observations: usize,
    /// Checks that could not look, but for those that were told not to.
    pub unseen: usize,
}

/// A finding without what follows from it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FlatFinding {
    /// Its place in this list.
    pub id: usize,
    pub check: &'static str,
    pub standing: Standing,
    pub severity: Severity,
    pub subject: SubjectReport,
    pub says: String,
    /// The `id` of the finding that it follows from.
    pub under: Option<usize>,
}

impl Summary {
    pub fn new(roots: &[FindingReport], findings: &[FlatFinding], exams: &[ExamReport]) -> Summary {
        let of = |standing| findings.iter().filter(move |finding| finding.standing == standing);
        let hurts = |finding: &&FlatFinding| finding.severity <= Severity::Medium;
        Summary {
            worst: roots.iter().map(|root| root.severity).min(),
            causes: of(Standing::Cause).count(),
            unexplained: of(Standing::Unexplained).count(),
            symptoms: of(Standing::Symptom).count(),
            risks: of(Standing::Risk).filter(hurts).count(),
            observations: of(Standing::Risk).filter(|finding| !hurts(finding)).count(),
            unseen: exams.iter().filter(|exam| exam.is_unseen()).count(),
        }
    }
}

impl ExamReport {
    /// Whether the check came to no end, although nobody told it not to look.
    pub fn is_unseen(&self) -> bool {
        let declined = self.missed.iter().all(|missed| missed.why == Blindness::Declined);
        match self.outcome {
            Ended::Crashed => true,
            Ended::CouldNotLook => !declined,
            Ended::Sick | Ended::Healthy | Ended::NotApplicable => false,
        }
    }
}

/// Roots in their order, each before what follows from it.
pub fn flat(roots: &[FindingReport]) -> Vec<FlatFinding> {
    fn add(finding: &FindingReport, under: Option<usize>, all: &mut Vec<FlatFinding>) {
        let id = all.len();
        all.push(FlatFinding {
            id,
            check: finding.check,
            standing: finding.standing,
            severity: finding.severity,
            subject: finding.subject.clone(),
            says: finding.says.clone(),
            under,
        });
        finding.explains.iter().for_each(|effect| add(effect, Some(id), all));
    }
    let mut all = Vec::new();
    roots.iter().for_each(|root| add(root, None, &mut all));
    all
}
