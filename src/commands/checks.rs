//! `ecs-doctor checks`: every check, by group; one line each, so that it can be searched.

use std::io::Write;

use anyhow::Result;
use checks::catalog::{self, Group};
use checks::check::{Check, Role, Severity};
use serde::Serialize;

use crate::cli::{Checks, Format};
use crate::exit::Exit;
use crate::printed;
use crate::report::{json, text};

/// A check as scripts see it.
#[derive(Serialize)]
struct Row {
    check: &'static str,
    group: &'static str,
    role: Role,
    severity: Severity,
    title: &'static str,
    /// The IAM actions of the calls that it reads.
    reads: Vec<&'static str>,
}

pub fn run(options: &Checks) -> Result<Exit> {
    printed::page(|out| match options.output {
        Format::Text => catalog::GROUPS.iter().try_for_each(|group| list(group, out)),
        Format::Json => json::write(&catalog::checks().map(row).collect::<Vec<_>>(), out),
    })?;
    Ok(Exit::Fine)
}

fn list(group: &Group, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{}: {}", group.name, group.about)?;
    for check in group.checks {
        let line = format!(
            "  {:<36} {:<8} {:<8} {}",
            check.id(),
            check.role.to_string(),
            check.severity.to_string(),
            check.title
        );
        writeln!(out, "{}", text::one_line(&line))?;
    }
    writeln!(out)?;
    Ok(())
}

fn row(check: &'static Check) -> Row {
    Row {
        check: check.id(),
        group: check.group(),
        role: check.role,
        severity: check.severity,
        title: check.title,
        reads: check.reads.iter().map(|call| call.action()).collect(),
    }
}
