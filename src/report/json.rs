//! JSON, `ecs-doctor/v1`: the report as it is, and its parts where they are asked for alone.
//! Additive within v1.

use std::io::Write;

use serde::Serialize;

use super::{Detail, Print, Report};

pub struct Json {
    pub detail: Detail,
}

impl Print for Json {
    fn print(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        match self.detail {
            Detail::Brief => write(&report.in_brief(), out),
            Detail::Full => write(report, out),
        }
    }
}

pub fn write(what: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, what)?;
    writeln!(out)?;
    Ok(())
}
