//! A health check that is refused, and what the app's own log says of it: the lines that the
//! container logs from its start on, of the version that fails, and the port of the check, as the
//! app inside the container knows it.

use std::collections::BTreeSet;

use crate::aws::listen_line::{self, Listening};
use crate::call::{Call, LOG_STREAM};
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::health_check::{self, FailedCheck, Failure};
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::facts::tasks::container_log;
use crate::finding::{Evidence, Finding, Kind, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LogLine, TargetGroup};

/// Failures past the grace period at which something came back at once, and it was no answer; or
/// may have, as a network load balancer does not say more.
fn failures<'a>(patient: &Patient<'a>, group: &str) -> Result<Vec<FailedCheck<'a>>, Blind> {
    let failures = health_check::failures_past_grace(patient, group)?;
    Ok(failures
        .into_iter()
        .filter(|failed| matches!(failed.failure, Failure::Refused | Failure::Unanswered))
        .collect())
}

/// A target group whose health check is refused.
pub struct Refused<'a> {
    pub group: &'a str,
    pub settings: &'a TargetGroup,
    pub failures: Vec<FailedCheck<'a>>,
}

impl<'a> Refused<'a> {
    pub fn first(&self) -> &FailedCheck<'a> {
        &self.failures[0]
    }

    /// Whether the health check may as well be dropped in the network: its load balancer does not
    /// say how it failed.
    pub fn may_be_dropped(&self) -> bool {
        self.failures.iter().any(|failed| failed.failure.may_be_dropped())
    }

    /// The finding, as far as it is the same whatever the cause.
    pub fn sick(&self, patient: &Patient, claim: String) -> Result<Finding, Blind> {
        let finding =
            Subject::new(Kind::TargetGroup, self.group).sick(claim, self.first().evidence.clone());
        let given_up = self.first().given_up().and_then(|version| version.task_definition);
        Ok(finding
            .concerns_all(Kind::TaskDefinition, given_up)
            .concerns(Kind::TargetGroup, self.group)
            .concerns_all(Kind::TargetGroup, traffic::pair(patient, self.group)?))
    }
}

/// Every target group of the service whose health check is refused.
pub fn groups<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
) -> Result<Vec<Refused<'a>>, NoAnswer> {
    let mut refused = Vec::new();
    for group in health_check::groups(patient, findings)? {
        let Some(failures) =
            findings.see(failures(patient, group)).filter(|failures| !failures.is_empty())
        else {
            continue;
        };
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        refused.push(Refused { group, settings, failures });
    }
    Ok(refused)
}

/// The port of the health check, as the app inside the container knows it.
pub fn port_in_container(
    patient: &Patient,
    group: &TargetGroup,
    failed: &FailedCheck,
) -> Option<i32> {
    match group.target_type.as_deref() {
        Some("ip") => reach::health_check_port(patient, group, failed.target),
        // An instance's port is Docker's choice; only that of the traffic is known to lead to the
        // container's.
        _ => reach::health_check_port(patient, group, None),
    }
}

/// A line of the app's log.
#[derive(Debug)]
pub struct Line<'a> {
    pub line: &'a LogLine,
    pub evidence: Evidence,
}

impl<'a> Line<'a> {
    /// Where it says that the app listens, if it is such a line.
    pub fn listens(&self) -> Option<Listening<'a>> {
        listen_line::read(&self.line.message)
    }
}

/// The lines of the container that is registered with the group, of the versions whose targets
/// fail.
pub fn lines<'a>(
    patient: &Patient<'a>,
    group: &str,
    refused: &[FailedCheck<'a>],
) -> Result<Vec<Line<'a>>, Blind> {
    let versions = health_check::marks(patient, refused)?;
    let container = traffic::container(patient, group);
    let mut lines = Vec::new();
    for stream in container_log::streams(patient)?
        .into_iter()
        .filter(|stream| Some(stream.container) == container)
    {
        let task = stream.task;
        if !versions
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
        {
            continue;
        }
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        let line = |line: &'a LogLine| Line {
            line,
            evidence: Evidence::new(Call::GetLogEvents, &of, "message", &line.message)
                .at(line.timestamp),
        };
        lines.extend(patient.log_lines(stream.group, &stream.stream)?.iter().map(line));
    }
    Ok(lines)
}

/// The one other port that the app says it listens on, with the last line that says so. Not where
/// it also names the port that is asked, or none, or several.
pub fn other_port<'l, 'a>(lines: &'l [Line<'a>], asked: i32) -> Option<(i32, &'l Line<'a>)> {
    let starts: Vec<(Option<i32>, &Line)> =
        lines.iter().filter_map(|line| Some((line.listens()?.port, line))).collect();
    if starts.iter().any(|(port, _)| port.is_none_or(|port| port == asked)) {
        return None;
    }
    let named: BTreeSet<i32> = starts.iter().filter_map(|(port, _)| *port).collect();
    starts.last().filter(|_| named.len() == 1).and_then(|(port, line)| Some(((*port)?, *line)))
}
