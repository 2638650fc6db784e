//! `ecs-doctor diff <SERVICE>`: what differs between two versions of a service, the last good one
//! and the newest unless others are named.

use std::path::Path;

use anyhow::{Result, anyhow};
use checks::patient::{Intent, Patient};
use checks::views::diff::NoVersion;

use crate::cli::{self, Format};
use crate::commands::diagnose::{self, Question};
use crate::config::Config;
use crate::exit::{Exit, UsageError};
use crate::printed;
use crate::report::history::{ChangesReport, Diff, Heading, TrailReport};
use crate::report::text::Text;
use crate::report::{json, wording};

pub fn run(options: &cli::Diff) -> Result<Exit> {
    if let Some(version) = options.from.as_deref().filter(|file| is_version(file)) {
        return Err(UsageError(format!(
            "--from {} is no snapshot file; versions are named with --old and --new",
            version.display()
        ))
        .into());
    }
    let versions: Vec<&str> = options.old.iter().chain(&options.new).map(String::as_str).collect();
    let access = options.access.clone().with(&Config::load(None)?.defaults());
    let question = Question {
        trail: options.trail,
        versions: &versions,
        ..Question::about(options.service.as_deref(), &access)
    };
    let snapshot = diagnose::snapshot(&question, options.from.as_deref())?;
    let intent = Intent::default();
    let patient = Patient::new(&snapshot, diagnose::only(&snapshot)?, &intent);
    let changes = ChangesReport::new(&patient, options.old.as_deref(), options.new.as_deref())
        .map_err(|why| explain(why, patient.name()))?;
    let trail = TrailReport::new(&patient);
    let diff =
        Diff { heading: Heading::new("ecs-doctor-diff/v1", &snapshot, &patient), changes, trail };
    printed::page(|out| match options.output {
        Format::Text => Text::default().diff(&diff, out),
        Format::Json => json::write(&diff, out),
    })?;
    Ok(Exit::Fine)
}

/// A number or `family:number`, where there is no such file.
fn is_version(file: &Path) -> bool {
    let text = file.to_string_lossy();
    let number = text.rsplit(':').next().unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !file.exists()
}

fn explain(why: NoVersion, service: &str) -> anyhow::Error {
    match why {
        NoVersion::Unknown { wanted, known } if known.is_empty() => {
            anyhow!("there is no version {wanted} of {service} to be seen")
        }
        NoVersion::Unknown { wanted, known } => anyhow!(
            "there is no version {wanted} of {service} to be seen; there are {}",
            known.join(", ")
        ),
        NoVersion::NothingToCompare => {
            anyhow!(
                "{service} has no earlier successful deployment to compare with; name two versions with --old and --new"
            )
        }
        NoVersion::Blind(blind) => {
            let origin = blind.origin();
            let said =
                origin.why.message().map_or_else(String::new, |message| format!(": {message}"));
            anyhow!(
                "could not see the versions of {service}: {} {}{said}",
                origin.call.action(),
                wording::why(origin.why.blindness())
            )
        }
    }
}
