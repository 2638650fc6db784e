//! JSON, `ecs-doctor/v1`: the report as it is. Additive within v1.

use std::io::Write;

use super::{Print, Report};

pub struct Json;

impl Print for Json {
    fn print(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        serde_json::to_writer_pretty(&mut *out, report)?;
        writeln!(out)?;
        Ok(())
    }
}
