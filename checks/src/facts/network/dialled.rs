//! Failed connections of the app itself: from which subnet, and where to. They stand beside what
//! ECS says of tasks that did not start, and use the same network. A line counts only where
//! something is affected; an app may log errors that it handles.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::aws::cidr::Cidr;
use crate::aws::dial::{Dial, How};
use crate::aws::host;
use crate::aws::stop_reason::{Destination, Reason, Trouble};
use crate::aws::time;
use crate::facts::deployment::version::{self, Version};
use crate::facts::inbound::{answers, traffic};
use crate::facts::network::route::Stranded;
use crate::facts::peers::service_connect;
use crate::facts::tasks::connection_errors::{self, Failed};
use crate::facts::tasks::reason::Told;
use crate::facts::tasks::stop::{self, StopKind};
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::Task;
use crate::snapshot::metric::Metric;

/// What an app's log says of one destination.
#[derive(Clone, Debug)]
pub struct Dialled<'a> {
    pub dial: Dial<'a>,
    /// How many lines say it, and when the oldest and the newest of them did.
    pub lines: usize,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Whether tasks that logged it stopped on their own.
    ended: bool,
    /// The target groups whose tasks logged it while they had requests, or health checks.
    groups: Vec<&'a str>,
}

impl Dialled<'_> {
    /// `The log says "connect ETIMEDOUT 203.0.113.80:443", 8 times within 7 min.`
    pub fn words(&self, line: &str) -> String {
        let often = match self.first.zip(self.last).map(|(first, last)| time::age(last, first)) {
            Some(span) if self.lines > 1 => {
                format!(", {} times within {}", self.lines, time::words(span))
            }
            _ => String::new(),
        };
        let line = line.trim().lines().next().unwrap_or_default();
        format!("The log says \"{}\"{often}.", crate::text::shortened(line, 160))
    }

    /// What a finding about it concerns: tasks that stop on their own are behind no target group.
    pub fn target_groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().copied().chain(self.ended.then_some(""))
    }

    /// Whether only the VPC, or what is joined to it, knows the name.
    pub fn has_private_name(&self) -> bool {
        self.dial.host.is_some_and(|host| service_connect::is_private(host, None))
    }
}

/// Whether the name may be that of something in the VPC: a database, a cache, a load balancer. A
/// service of AWS is outside, unless an endpoint of the VPC has its name.
fn may_be_inside(host: &str) -> bool {
    service_connect::is_private(host, None)
        || (host::of_aws(host).is_some() && host::service(host).is_none())
}

/// Log lines about connections that failed, with what each says of the other side.
type Lines<'a> = Vec<(Failed<'a>, Dial<'a>)>;

/// The connections that failed, each destination of a subnet and a version once, where something is
/// affected.
pub fn dialled<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<Stranded<'a>> {
    let (running, failing) = match findings.see(watched(patient)) {
        Some(watched) => watched,
        None => return Vec::new(),
    };
    if !running && !failing {
        return Vec::new();
    }
    let mut by_way: BTreeMap<(&str, &str, String), Lines<'a>> = BTreeMap::new();
    for failed in connection_errors::failed(patient, findings) {
        let (Some(dial), Some(subnet)) = (failed.dial(), failed.task().subnet_id.as_deref()) else {
            continue;
        };
        let watched = if is_up(failed.task()) { running } else { failing };
        if let (true, Some(way)) = (watched && !dial.is_local(), way(&dial)) {
            let version = failed.task().task_definition_arn.as_str();
            by_way.entry((subnet, version, way)).or_default().push((failed, dial));
        }
    }
    let groups = findings.see(traffic::groups(patient)).unwrap_or_default();
    let mut versions = findings.see(version::troubled(patient)).unwrap_or_default();
    versions.extend(version::current(patient));
    by_way
        .into_values()
        .filter_map(|lines| {
            let task = lines.first()?.0.task();
            let version = versions.iter().find(|version| version.has(task))?;
            stranded(patient, version, lines, &groups)
        })
        .collect()
}

/// Whether there is such a connection, so that the collector asks what surrounds the tasks.
pub fn is_unreached(patient: &Patient) -> bool {
    !dialled(patient, &mut Unseen::default()).is_empty()
}

pub fn is_up(task: &Task) -> bool {
    task.stopped_at.is_none() && task.last_status == "RUNNING"
}

/// Whether the logs of running tasks, and of those that failed, tell of a trouble.
pub fn watched(patient: &Patient) -> Result<(bool, bool), Blind> {
    let failing = !stop::failures(patient)?.is_empty();
    Ok((suffers(patient)?, failing))
}

/// Whether clients get errors or health checks fail while tasks run. Where nothing counts answers,
/// repeated log lines have to do.
fn suffers(patient: &Patient) -> Result<bool, Blind> {
    for group in traffic::groups(patient)? {
        if patient.targets(group)?.iter().any(|target| target.state == "unhealthy") {
            return Ok(true);
        }
    }
    let counted = answers::groups(patient)?;
    for group in &counted {
        let errors = answers::of_app(patient, Metric::Target5xx, group)?;
        let slower = answers::slower(&answers::times(patient, group)?, patient.now());
        if errors.is_some_and(|errors| errors.is_trouble()) || slower.is_some() {
            return Ok(true);
        }
    }
    Ok(counted.is_empty())
}

/// What is reported as one: an internal address and an AWS service each separately, all of the
/// internet together. None where the other side was reached, or where it is not known whether it is
/// internal.
fn way(dial: &Dial) -> Option<String> {
    match (dial.how, dial.address, dial.host) {
        (How::Refused, ..) => None,
        (How::Unresolved, ..) => Some("unresolved".to_owned()),
        (How::TimedOut, Some(address), _) if Cidr::from(address).is_private() => {
            Some(format!("{address}:{:?}", dial.port))
        }
        (How::TimedOut, Some(_), _) => Some(format!("outside::{:?}", dial.port)),
        (How::TimedOut, None, Some(host)) if !may_be_inside(host) => {
            let service = host::service(host).unwrap_or_default();
            Some(format!("outside:{service}:{:?}", dial.port))
        }
        (How::TimedOut, None, _) => None,
    }
}

/// How often an app has to log it where nothing else shows that it is affected.
const OFTEN: usize = 3;
const LASTING: SignedDuration = SignedDuration::from_mins(5);

fn stranded<'a>(
    patient: &Patient<'a>,
    version: &Version<'a>,
    lines: Lines<'a>,
    groups: &BTreeSet<&'a str>,
) -> Option<Stranded<'a>> {
    // An address tells more than a name.
    let (newest, dial) =
        lines.iter().find(|(_, dial)| dial.address.is_some()).or(lines.first())?.clone();
    let times = || lines.iter().filter_map(|(failed, _)| failed.line.timestamp);
    let (first, last) = (times().min(), times().max());
    let tasks: Vec<&Task> = unique(lines.iter().map(|(failed, _)| failed.task()));
    let up = tasks.iter().any(|task| is_up(task));
    let replaced = tasks.iter().any(|task| {
        matches!(StopKind::of(task), StopKind::BalancerHealthCheck { .. }) && !is_up(task)
    });
    let lasts = first.zip(last).is_some_and(|(first, last)| time::age(last, first) >= LASTING);
    let repeats = lines.len() >= OFTEN && lasts;
    // A worker that keeps running has nothing but its log to show that it is affected.
    if up && groups.is_empty() && !repeats {
        return None;
    }
    let to = match (dial.how, dial.address) {
        (How::Unresolved, _) => Destination::Unresolved,
        (_, Some(address)) => Destination::Address(address),
        (_, None) => Destination::Unknown,
    };
    let task = *tasks.first()?;
    let primary = version::primary(patient);
    let told = Told {
        reason: Reason { trouble: Trouble::AppUnreached, step: None, fault: None },
        text: &newest.line.message,
        evidence: newest.evidence(),
        task_definition: &task.task_definition_arn,
        version: version.clone(),
        is_primary: primary.iter().any(|primary| primary.has(task)),
        container: None,
        failed: tasks.len(),
        tasks: tasks.clone(),
        said: last,
    };
    let dialled = Dialled {
        dial,
        lines: lines.len(),
        first,
        last,
        ended: tasks.iter().any(|task| !is_up(task)),
        groups: if up || replaced { groups.iter().copied().collect() } else { Vec::new() },
    };
    Some(Stranded { subnet: task.subnet_id.as_deref()?, told, to, dialled: Some(dialled) })
}

fn unique<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<&'a Task> {
    let mut unique: Vec<&Task> = Vec::new();
    for task in tasks {
        if !unique.iter().any(|known| known.task_arn == task.task_arn) {
            unique.push(task);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, minutes_ago};
    use crate::check::Findings;
    use crate::snapshot::{LogLine, Snapshot};
    use crate::testing::of;

    /// A service whose log says this every two minutes.
    fn saying(mut snapshot: Snapshot, message: &str) -> Snapshot {
        for lines in snapshot.logs.0.values_mut() {
            let line = |ago: i64| LogLine {
                timestamp: Some(minutes_ago(ago)),
                message: message.into(),
                ..LogLine::default()
            };
            *lines = crate::seen::Seen::Yes(Some([8, 6, 4, 2].map(line).into()));
        }
        snapshot
    }

    fn failing() -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), minutes(60.0));
        snapshot
    }

    fn found(snapshot: &Snapshot) -> Vec<Destination> {
        of(snapshot, |patient| dialled(patient, &mut Findings::default()))
            .into_iter()
            .map(|stranded| stranded.to)
            .collect()
    }

    const TIMED_OUT: &str = "Error: connect ETIMEDOUT 203.0.113.80:443";

    #[test]
    fn counts_where_clients_suffer() {
        let address = Destination::Address("203.0.113.80".parse().unwrap());
        assert_eq!(found(&saying(failing(), TIMED_OUT)), [address]);
        assert_eq!(found(&saying(baseline::fargate(), TIMED_OUT)), [], "an app lives with it");
    }

    #[test]
    fn counts_of_a_worker_what_its_log_repeats() {
        assert_eq!(found(&saying(baseline::worker(), TIMED_OUT)).len(), 1);
        let mut once = saying(baseline::worker(), TIMED_OUT);
        once.logs.0.values_mut().for_each(|lines| {
            if let crate::seen::Seen::Yes(Some(lines)) = lines {
                lines.truncate(2);
            }
        });
        assert_eq!(found(&once), []);
    }

    #[test]
    fn counts_of_tasks_that_end() {
        let mut snapshot = baseline::fargate();
        baseline::exit_tasks(&mut snapshot, 3, 1, None);
        baseline::log_at_last(&mut snapshot, &[TIMED_OUT]);
        let stranded = of(&snapshot, |patient| dialled(patient, &mut Findings::default()));
        let groups: Vec<&str> =
            stranded[0].dialled.iter().flat_map(|dialled| dialled.target_groups()).collect();
        assert_eq!(groups, [""], "they end by themselves");
    }

    #[test]
    fn who_refuses_was_reached_and_a_name_may_be_inside() {
        for line in [
            "Error: connect ECONNREFUSED 10.0.1.40:8080",
            "Error: connect ETIMEDOUT 127.0.0.1:6379",
            "Connection timed out (orders.c9akciq32rgz.eu-west-2.rds.amazonaws.com:5432)",
            "Connection timed out (orders.internal:8080)",
        ] {
            assert_eq!(found(&saying(failing(), line)), [], "{line}");
        }
        for (line, to) in [
            ("Connection timed out (api.example.com:443)", Destination::Unknown),
            (
                "Connect timeout on endpoint URL: \"https://sqs.eu-west-2.amazonaws.com/\"",
                Destination::Unknown,
            ),
            ("getaddrinfo ENOTFOUND api.corp.local", Destination::Unresolved),
        ] {
            assert_eq!(found(&saying(failing(), line)), [to], "{line}");
        }
    }
}
