//! Risks that somebody has decided to live with, by a file: they leave the findings, and come back
//! when the day has passed. Causes and symptoms cannot be accepted.

use std::path::Path;

use checks::check::Severity;
use checks::diagnosis::{Standing, Verdict};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use super::{FindingReport, ServiceReport, Summary, plain, summary, wording};
use crate::config::Accept;

/// A risk that a file accepts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AcceptedReport {
    pub check: String,
    pub reason: String,
    /// The last day on which it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The file that accepts it.
    pub file: String,
    /// Whether that day has passed: then it is among the findings again.
    pub expired: bool,
}

impl ServiceReport {
    /// Takes the accepted risks out of the findings, and says which they are.
    pub fn accept(&mut self, accepted: &[(&Accept, &Path)], today: Date) {
        let is_risk = |root: &FindingReport, accept: &Accept| {
            root.standing == Standing::Risk && root.check == accept.check
        };
        for (accept, file) in accepted {
            if !self.roots.iter().any(|root| is_risk(root, accept)) {
                continue;
            }
            let expired = accept.until.is_some_and(|until| until < today);
            if !expired {
                self.roots.retain(|root| !is_risk(root, accept));
            }
            self.accepted.push(AcceptedReport {
                check: accept.check.clone(),
                reason: plain(&accept.reason),
                until: accept.until.map(|until| until.to_string()),
                file: plain(&file.display().to_string()),
                expired,
            });
        }
        self.findings = summary::flat(&self.roots);
        self.summary = Summary::new(&self.roots, &self.findings, &self.exams);
        let at_risk = self.roots.iter().find(|root| root.severity <= Severity::Medium);
        match (self.verdict, at_risk) {
            (Verdict::AtRisk, None) => {
                self.verdict = Verdict::Healthy;
                self.headline = wording::well(self.summary.observations);
            }
            (Verdict::AtRisk, Some(risk)) => self.headline.clone_from(&risk.says),
            (Verdict::Healthy, _) => self.headline = wording::well(self.summary.observations),
            (Verdict::Sick | Verdict::Unknown, _) => {}
        }
    }
}
