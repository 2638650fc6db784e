//! One paragraph about the file that shaped the report.

use std::io::Write;

use checks::text::and_list;

use super::{DIM, Text};
use crate::report::ServiceReport;

impl Text {
    pub(super) fn expected(
        &self,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        for accepted in &service.accepted {
            let until =
                accepted.until.as_ref().map_or(String::new(), |day| format!(" until {day}"));
            let verb = if accepted.expired { "accepted" } else { "accepts" };
            let words =
                format!("{} {verb} {}{until}: {}", accepted.file, accepted.check, accepted.reason);
            writeln!(out)?;
            self.paragraph(out, "", DIM, &words)?;
        }
        let Some(expected) = &service.expected else { return Ok(()) };
        let ingress = match expected.ingress.as_slice() {
            [] => "nobody".to_owned(),
            blocks => and_list(blocks),
        };
        let silenced = match expected.silenced.as_slice() {
            [] => "It silences no check.".to_owned(),
            checks => format!("Without it, these would find something: {}.", and_list(checks)),
        };
        writeln!(out)?;
        let words =
            format!("{} expects {ingress} to reach the load balancer. {silenced}", expected.file);
        self.paragraph(out, "", DIM, &words)
    }
}
