//! Connections that failed, as apps log them: to which host or port, and how. It joins "cannot be
//! reached", as the settings have it, with the errors that the app logs now.

use jiff::SignedDuration;

use crate::aws::dial::{self, Dial};
pub use crate::aws::dial::{How, how};
use crate::aws::time;
use crate::call::{Call, LOG_STREAM};
use crate::facts::deployment::version::{self, State};
use crate::facts::tasks::container_log::{self, Stream};
use crate::finding::{Evidence, Finding, Kind};
use crate::patient::Patient;
use crate::seen::See;
use crate::snapshot::{LogLine, Task};

/// A log line about a connection that failed.
#[derive(Clone, Debug)]
pub struct Failed<'a> {
    pub how: How,
    pub line: &'a LogLine,
    stream: Stream<'a>,
}

/// The lines about connections that failed, of tasks that tell of today's trouble; the newest
/// first.
pub fn failed<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<Failed<'a>> {
    let failed = recent(patient, findings, |line| how(&line.message));
    failed.into_iter().map(|(how, line, stream)| Failed { how, line, stream }).collect()
}

/// The lines in which something can be read, of tasks that tell of today's trouble, with what was
/// read; the newest first. They are those of the last hour, or, of a version that ECS rolled back,
/// of the last hour that the task had: why it failed stands until a later deployment succeeds.
pub fn recent<'a, T>(
    patient: &Patient<'a>,
    findings: &mut impl See,
    read: impl Fn(&'a LogLine) -> Option<T>,
) -> Vec<(T, &'a LogLine, Stream<'a>)> {
    let Some(versions) = findings.see(version::troubled(patient)) else { return Vec::new() };
    let Some(streams) = findings.see(container_log::streams(patient)) else { return Vec::new() };
    let mut told = Vec::new();
    for stream in streams {
        let Some(version) = versions.iter().find(|version| version.has(stream.task)) else {
            continue;
        };
        let end = stream.task.stopped_at.filter(|_| version.state != State::Current);
        let hour_ago = time::before(end.unwrap_or(patient.now()), SignedDuration::from_hours(1));
        let Some(lines) = findings.see(patient.log_lines(stream.group, &stream.stream)) else {
            continue;
        };
        let recent = lines.iter().filter(|line| line.timestamp.is_some_and(|at| at >= hour_ago));
        told.extend(recent.filter_map(|line| Some((read(line)?, line, stream.clone()))));
    }
    told.sort_by_key(|(_, line, _)| std::cmp::Reverse(line.timestamp));
    told
}

/// A log line as evidence.
pub fn evidence_of(line: &LogLine, stream: &Stream) -> Evidence {
    let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
    Evidence::new(Call::GetLogEvents, of, "events.message", &line.message).at(line.timestamp)
}

impl<'a> Failed<'a> {
    /// The address of the failed connection, if the line has it.
    pub fn dial(&self) -> Option<Dial<'a>> {
        dial::read(&self.line.message)
    }

    pub fn task(&self) -> &'a Task {
        self.stream.task
    }

    /// Whether the line names the host, or an address with this port.
    pub fn is_about(&self, host: &str, port: Option<i32>) -> bool {
        let line = self.line.message.to_ascii_lowercase();
        names(&line, host)
            || port.is_some_and(|port| names(&line, &port.to_string()) && !line.contains("://"))
    }

    pub fn evidence(&self) -> Evidence {
        evidence_of(self.line, &self.stream)
    }
}

/// Whether a line has a word as a whole, and not as part of a longer one: `orders`, not
/// `orders-db`.
fn names(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) =
            (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}

/// The finding with what the logs say of it. Only where they do, it may be why tasks of these
/// versions end or fail their checks; else nothing seen follows from it.
pub fn join(finding: Finding, failed: &[&Failed]) -> Finding {
    match failed.first() {
        Some(newest) => finding.because(newest.evidence()).concerns_all(
            Kind::TaskDefinition,
            failed.iter().map(|one| &one.stream.task.task_definition_arn),
        ),
        None => finding.concerns_no(Kind::TaskDefinition).concerns_no(Kind::TargetGroup),
    }
}

/// ` The log says "…".`
pub fn quote(failed: &[&Failed]) -> String {
    let Some(newest) = failed.first() else { return String::new() };
    let line = newest.line.message.trim().lines().next().unwrap_or_default().trim_end();
    let cut: String = line.chars().take(160).collect();
    format!(" The log says \"{cut}{}\".", if cut.len() < line.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out, stop_tasks};
    use crate::seen::Unseen;
    use crate::testing::of;

    #[test]
    fn what_a_version_said_that_was_given_up_counts_whatever_its_age() {
        let said = |status: &str| {
            let mut snapshot = baseline::fargate();
            roll_out(&mut snapshot, 290, |deployment| deployment.status = status.into());
            let new =
                snapshot.newest_revisions.change("api").unwrap().task_definition_arns[0].clone();
            stop_tasks(&mut snapshot, 2, |task| {
                task.started_by = Some("ecs-svc/1000000000000000013".into());
                task.task_definition_arn = new.clone();
                task.stop_code = Some("EssentialContainerExited".into());
                task.containers.iter_mut().for_each(|container| container.exit_code = Some(1));
                let ended = Some(minutes_ago(240));
                (task.created_at, task.started_at) = (ended, ended);
                (task.stopping_at, task.stopped_at) = (ended, ended);
            });
            baseline::log_at_last(&mut snapshot, &["Error: connect ETIMEDOUT 10.0.21.17:5432"]);
            of(&snapshot, |patient| failed(patient, &mut Unseen::default()).len())
        };
        assert_eq!(said("ROLLBACK_SUCCESSFUL"), 2);
        assert_eq!(said("SUCCESSFUL"), 0, "it came up after all");
    }

    #[test]
    fn a_name_is_not_a_part_of_a_longer_one() {
        assert!(names("getaddrinfo enotfound orders", "orders"));
        assert!(names("connect to http://orders:8080 timed out", "orders"));
        assert!(!names("getaddrinfo enotfound orders-db", "orders"));
        assert!(!names("getaddrinfo enotfound old.orders", "orders"));
        assert!(!names("connect econnrefused 10.0.0.5:15432", "5432"));
    }
}
