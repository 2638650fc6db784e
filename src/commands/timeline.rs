//! `ecs-doctor timeline <SERVICE>`: what happened to a service, in order.

use anyhow::Result;
use checks::patient::{Intent, Patient};

use crate::cli::{self, Format};
use crate::commands::diagnose::{self, Question};
use crate::config::Config;
use crate::exit::Exit;
use crate::printed;
use crate::report::history::{Heading, Timeline, TimelineReport};
use crate::report::json;
use crate::report::text::Text;

pub fn run(options: &cli::Timeline) -> Result<Exit> {
    let access = options.access.clone().with(&Config::load(None)?.defaults());
    let question =
        Question { trail: options.trail, ..Question::about(options.service.as_deref(), &access) };
    let snapshot = diagnose::snapshot(&question, options.from.as_deref())?;
    let intent = Intent::default();
    let patient = Patient::new(&snapshot, diagnose::only(&snapshot)?, &intent);
    let heading = Heading::new("ecs-doctor-timeline/v1", &snapshot, &patient);
    let timeline = Timeline { heading, timeline: TimelineReport::new(&patient, options.since) };
    printed::page(|out| match options.output {
        Format::Text => Text::default().timeline(&timeline, out),
        Format::Json => json::write(&timeline, out),
    })?;
    Ok(Exit::Fine)
}
