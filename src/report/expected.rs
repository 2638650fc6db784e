//! Whose expectations a report was made with, where they stood in a file: which file, and which
//! checks would have found something without it.

use std::path::Path;

use checks::diagnosis::Diagnosis;
use checks::exam::Outcome;
use checks::patient::Intent;
use schemars::JsonSchema;
use serde::Serialize;

use super::plain;

/// The file may be somebody else's, so what it does is told.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExpectedReport {
    /// The file whose word counted.
    pub file: String,
    /// Who should be able to reach the load balancer, by it.
    pub ingress: Vec<String>,
    /// Checks that find nothing because of it.
    pub silenced: Vec<&'static str>,
}

impl ExpectedReport {
    /// From the diagnosis that expects it, and the one that expects nothing.
    pub fn new(file: &Path, intent: &Intent, with: &Diagnosis, without: &Diagnosis) -> Self {
        let found = |diagnosis: &Diagnosis, id: &str| {
            let sick = |outcome: &Outcome| *outcome == Outcome::Sick;
            diagnosis.exams.iter().any(|exam| exam.check.id() == id && sick(&exam.outcome))
        };
        let ids = without.exams.iter().map(|exam| exam.check.id());
        ExpectedReport {
            file: plain(&file.display().to_string()),
            ingress: intent.expected().map(|who| who.to_string()).collect(),
            silenced: ids.filter(|id| found(without, id) && !found(with, id)).collect(),
        }
    }
}
