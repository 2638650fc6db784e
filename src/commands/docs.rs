//! `ecs-doctor docs <FOLDER>`, hidden: writes every page that is made from the program itself. A
//! test compares the committed pages with these, so a page can be stale for no longer than until
//! the next test.

mod schema;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use checks::call::Call;
use checks::catalog;
use checks::check::Check;
use checks::diagnosis::diagnose;
use checks::patient::{Expected, Intent, Patient};
use checks::snapshot::Snapshot;
use checks::symptom::Symptom;

use crate::cli::Docs;
use crate::commands::{explain, permissions};
use crate::exit::Exit;
use crate::report::history::{Diff, Timeline};
use crate::report::services::Services;
use crate::report::{FindingReport, Report, ServiceReport};

const MADE: &str = "<!-- Made by `cargo run -- docs docs`; do not edit. -->\n\n";

pub fn run(options: &Docs) -> Result<Exit> {
    for (name, text) in pages()? {
        let file = options.folder.join(name);
        let folder = file.parent().unwrap_or(&options.folder);
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(Exit::Fine)
}

fn pages() -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for check in catalog::checks() {
        pages.insert(
            format!("checks/{}.md", check.id()),
            format!("{MADE}{}\n\n{}", explain::page(check), example(check)?),
        );
    }
    pages.insert("checks/README.md".into(), list());
    pages.insert("map.md".into(), map());
    pages.insert("permissions.md".into(), permissions_page()?);
    pages.insert("report.schema.json".into(), schema::page::<Report>()?);
    pages.insert("diff.schema.json".into(), schema::page::<Diff>()?);
    pages.insert("timeline.schema.json".into(), schema::page::<Timeline>()?);
    pages.insert("services.schema.json".into(), schema::page::<Services>()?);
    pages.insert("snapshot.schema.json".into(), schema::page::<Snapshot>()?);
    Ok(pages)
}

/// What the check says of its own example, which is a healthy service made sick.
fn example(check: &Check) -> Result<String> {
    let snapshot = (check.example)();
    let intent: Intent = ["203.0.113.0/24", "198.51.100.0/24"]
        .iter()
        .filter_map(|block| block.parse::<Expected>().ok())
        .collect();
    let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
    let report = ServiceReport::new(&patient, &diagnose(&patient), None);
    let mut text = String::from("## What it looks like\n");
    if let Some(finding) =
        find(&report.roots, check.id()).or_else(|| find(&report.notes, check.id()))
    {
        writeln!(text, "\n> {}\n", finding.says)?;
        for evidence in &finding.evidence {
            writeln!(
                text,
                "- `{}`: `{}` ({})",
                evidence.field,
                evidence.value,
                evidence.call.action()
            )?;
        }
        writeln!(text, "\n{}", finding.remedy.summary)?;
        if !finding.remedy.cli.is_empty() {
            writeln!(text, "\n```sh\n{}\n```", finding.remedy.cli.join("\n"))?;
        }
        if let Some(terraform) = &finding.remedy.terraform {
            writeln!(text, "\n```terraform\n{terraform}\n```")?;
        }
    }
    Ok(text)
}

fn find<'a>(findings: &'a [FindingReport], id: &str) -> Option<&'a FindingReport> {
    findings.iter().find_map(|finding| {
        if finding.check == id { Some(finding) } else { find(&finding.explains, id) }
    })
}

fn list() -> String {
    let mut text = format!(
        "{MADE}# The checks\n\nEach is a file, a page, and an id that scripts can rely on. `ecs-doctor explain <check>` prints its page.\n"
    );
    for group in catalog::GROUPS.iter().filter(|group| !group.checks.is_empty()) {
        text += &format!(
            "\n## {}: {}\n\n| check | the trouble | role | severity |\n|---|---|---|---|\n",
            group.name, group.about
        );
        for check in group.checks {
            text += &format!(
                "| [`{0}`]({0}.md) | {1} | {2} | {3} |\n",
                check.id(),
                check.title,
                check.role,
                check.severity
            );
        }
    }
    text
}

/// The causal map as a drawing: checks are boxes, symptoms are round.
fn map() -> String {
    let mut text = format!(
        "{MADE}# The causal map\n\nA check shows a symptom, other checks explain it: that is how causes come to stand before what they cause. \
         An arrow is drawn in a report only if the two findings are about the same part of the service.\n\n```mermaid\nflowchart LR\n"
    );
    for symptom in Symptom::ALL {
        text += &format!("  {symptom:?}([\"{}\"])\n", symptom.words());
    }
    for check in catalog::checks() {
        for symptom in check.explains {
            text += &format!("  {}[{0}] --> {symptom:?}\n", check.id());
        }
        if let Some(symptom) = check.shows {
            text += &format!("  {symptom:?} -.-> {}[{0}]\n", check.id());
        }
    }
    text + "```\n"
}

fn permissions_page() -> Result<String> {
    let mut text = format!(
        "{MADE}# Permissions\n\nThe program only reads. Without one of these it says what it could not look at, and everything else stands.\n\n\
         | action | what for | checks that read it |\n|---|---|---|\n"
    );
    for call in Call::ALL {
        let readers = catalog::checks().filter(|check| check.reads.contains(call)).count();
        writeln!(
            text,
            "| `{}` | {} | {} |",
            call.needs().collect::<Vec<_>>().join("` with `"),
            call.why(),
            match (readers, call) {
                (0, Call::LookupEvents) => "none: only `--trail`".into(),
                (0, _) => "none: to find the service".into(),
                _ => readers.to_string(),
            }
        )?;
    }
    writeln!(
        text,
        "\n## The policy\n\n`ecs-doctor permissions` prints it.\n\n```json\n{}\n```",
        permissions::policy()?
    )?;
    Ok(text)
}
