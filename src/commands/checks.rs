//! `ecs-doctor checks`: every check by group.

use std::io::Write;

use anyhow::Result;
use checks::catalog;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use crate::exit::Exit;
use crate::printed;
use crate::report::text;

pub fn run() -> Result<Exit> {
    printed::page(list)?;
    Ok(Exit::Fine)
}

fn list(out: &mut dyn Write) -> Result<()> {
    for (number, group) in catalog::GROUPS.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", group.name, group.about)?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(text::width()).unwrap_or(80));
        // An id is there to be copied: it stays in one piece.
        table.set_constraints([ColumnConstraint::ContentWidth]);
        for check in group.checks {
            table.add_row([
                check.id(),
                &check.role.to_string(),
                &check.severity.to_string(),
                check.title,
            ]);
        }
        for line in table.lines() {
            writeln!(out, " {}", line.trim_end())?;
        }
    }
    Ok(())
}
