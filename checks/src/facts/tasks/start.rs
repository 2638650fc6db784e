//! How long tasks take to start: from the moment their containers run until the app says in its log
//! that it listens.

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use crate::aws::listen_line;
use crate::call::{Call, LOG_STREAM};
use crate::facts::tasks::container_log;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LogLine, Task};
use crate::text::pattern;

/// One start, as the log of a task shows it.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    pub task: &'a Task,
    pub took: SignedDuration,
    /// The line in which the app says that it is ready.
    pub evidence: Evidence,
}

/// A line so long after the start is not the start's: servers say that they listen when they
/// reload, too.
const LONGEST: SignedDuration = SignedDuration::from_mins(30);

/// `Started Application in 138.2 seconds (process running for 139.9)`
static STARTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\bStarted \S+ in \d+(?:\.\d+)? seconds\b"));

/// Whether the app says that it is ready for requests on one of these ports, or on a port that it
/// does not name.
fn is_ready(line: &LogLine, ports: &[i32]) -> bool {
    match listen_line::read(&line.message) {
        Some(listens) => {
            !listens.is_local() && listens.port.is_none_or(|port| ports.contains(&port))
        }
        None => STARTED.as_ref().is_some_and(|pattern| pattern.is_match(&line.message)),
    }
}

/// The slowest start of this container in tasks of one version, as far as the logs that were read
/// show one.
pub fn slowest<'a>(
    patient: &Patient<'a>,
    task_definition: &str,
    container: &str,
) -> Result<Option<Start<'a>>, Blind> {
    let containers = patient
        .task_definition(task_definition)?
        .into_iter()
        .flat_map(|definition| &definition.container_definitions);
    let mappings =
        containers.filter(|one| one.name == container).flat_map(|one| &one.port_mappings);
    let ports: Vec<i32> = mappings.filter_map(|mapping| mapping.container_port).collect();
    let mut starts = Vec::new();
    for stream in container_log::streams(patient)? {
        let task = stream.task;
        let Some(began) = task.started_at.filter(|_| {
            stream.container == container && task.task_definition_arn == task_definition
        }) else {
            continue;
        };
        let after = |line: &LogLine| {
            line.timestamp
                .map(|at| at.duration_since(began))
                .filter(|took| *took >= SignedDuration::ZERO && *took <= LONGEST)
        };
        let ready = patient
            .log_lines(stream.group, &stream.stream)?
            .iter()
            .filter(|line| is_ready(line, &ports));
        if let Some((line, took)) = ready.filter_map(|line| Some((line, after(line)?))).next() {
            let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
            starts.push(Start {
                task,
                took,
                evidence: Evidence::new(Call::GetLogEvents, of, "events.message", &line.message)
                    .at(line.timestamp),
            });
        }
    }
    Ok(starts.into_iter().max_by_key(|start| start.took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_line_that_ends_a_start() {
        let ready = |message: &str| {
            is_ready(&LogLine { message: message.into(), ..LogLine::default() }, &[8080])
        };
        assert!(ready("Started OrdersApplication in 138.2 seconds (process running for 139.9)"));
        assert!(ready("Tomcat started on port(s): 8080 (http) with context path ''"));
        assert!(ready("listening on 0.0.0.0:8080"));
        assert!(!ready("Tomcat started on port(s): 9090 (http)"), "the port of the metrics");
        assert!(!ready("listening on 127.0.0.1:8080"), "nobody reaches it there");
        assert!(!ready("Starting OrdersApplication using Java 21"));
        assert!(!ready("started job import in 12 s"));
    }
}
