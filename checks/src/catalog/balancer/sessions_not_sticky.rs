//! Sessions live in the memory of one task each, and the target group sends a client to any of
//! them: another task does not know its session. The log says so, and the share of 4xx is what
//! chance predicts.

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use crate::aws::time;
use crate::call::{Call, LOG_STREAM};
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Lasting};
use crate::facts::inbound::traffic;
use crate::facts::tasks::container_log;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// Several tasks keep sessions in memory, and the target group has no stickiness.
    ///
    /// # Why it matters
    ///
    /// A session begins on one task, and the next request may go to another that does not know it.
    /// With two tasks half of the requests fail, with three two thirds. With one task it works.
    ///
    /// # How we tell
    ///
    /// `stickiness.enabled` of the target group is `false`; it has at least two healthy targets; of
    /// its answers in the last 15 minutes a share of about (n - 1) / n is 4xx, as expected where a
    /// client reaches its own one of n tasks by chance; and the log of a running task says at least
    /// twice within the hour that a session is not known. No setting shows whether sessions are
    /// kept in memory, so the verdict is "likely".
    ///
    /// # What to do
    ///
    /// Keep sessions in a store that all tasks share, such as ElastiCache or DynamoDB. Or turn on
    /// stickiness, which sends each client to the same task, if clients keep the load balancer's
    /// cookie:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> \
    ///   --attributes Key=stickiness.enabled,Value=true Key=stickiness.type,Value=lb_cookie
    /// ```
    ///
    /// Terraform/OpenTofu: `stickiness` in `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `app_answers_4xx`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html>
    title: "Sessions are kept in each task, and the target group has no stickiness",
    severity: Medium,
    role: Cause,
    explains: [AppAnswers4xx],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetGroupAttributes, DescribeTargetHealth, DescribeTasks,
        DescribeTaskDefinition, GetLogEvents, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes, peers};
        let group = id::group("api");
        snapshot.metrics.put(Metric::Target4xx.of(&group), minutes(59.0));
        if let Some(attributes) = snapshot.target_group_attributes.change(&group) {
            attributes.insert(STICKY.into(), "false".into());
        }
        for _ in 0..2 {
            peers::log(snapshot, "{\"code\":-32600,\"message\":\"Session not found\"}");
        }
    },
}

const STICKY: &str = "stickiness.enabled";

/// What servers say to a session that they do not have; an expired one is another matter.
static UNKNOWN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:session(?: id)?(?: [\w-]+)? (?:is )?(?:not found|unknown|does not exist|not recognized)|(?:unknown|no such|no valid|invalid) session(?: id)?\b|\bunknown sid\b)",
    )
});

/// How far the share may be from what chance makes of it.
const OFF: f64 = 0.15;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in answers::groups(patient)? {
        let Some(lasting) = answers::of_app(patient, Metric::Target4xx, group)? else { continue };
        let targets = patient.targets(group)?;
        let count = targets.iter().filter(|target| target.state == "healthy").count();
        let by_chance = 1.0 - 1.0 / count.max(1) as f64;
        if count < 2 || (lasting.share() - by_chance).abs() > OFF {
            continue;
        }
        let attributes = patient.target_group_attributes(group)?;
        if attributes.and_then(|all| all.get(STICKY)).is_none_or(|sticky| sticky != "false") {
            continue;
        }
        if let Some(line) = unknown_session(patient, findings) {
            findings.add(finding(group, count, &lasting, line));
        }
    }
    Ok(())
}

/// The newest line that tells of a session which a running task does not know, where there are
/// several.
fn unknown_session(patient: &Patient, findings: &mut Findings) -> Option<Evidence> {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let mut said = Vec::new();
    for stream in findings.see(container_log::streams(patient)).unwrap_or_default() {
        if stream.task.last_status != "RUNNING" {
            continue;
        }
        let lines = findings.see(patient.log_lines(stream.group, &stream.stream));
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        said.extend(
            lines
                .into_iter()
                .flatten()
                .filter(|line| line.timestamp.is_some_and(|at| at >= hour_ago))
                .filter(|line| UNKNOWN.as_ref().is_some_and(|it| it.is_match(&line.message)))
                .map(|line| {
                    Evidence::new(Call::GetLogEvents, &of, "events.message", &line.message)
                        .at(line.timestamp)
                }),
        );
    }
    (said.len() > 1).then(|| said.pop()).flatten()
}

fn finding(group: &str, count: usize, lasting: &Lasting, line: Evidence) -> Finding {
    let name = traffic::group_name(group);
    let claim = format!(
        "target group {name} has {count} targets and no stickiness, and the app does not recognize its clients' sessions: {} got 4xx in the last 15 min",
        lasting.words()
    );
    let (at, peak) = lasting.peak;
    let remedy = Remedy::new(
        "Turn on stickiness, if clients keep the load balancer's cookie, or keep sessions in a store that all tasks share.",
    )
    .cli(aws!(
        "elbv2 modify-target-group-attributes --target-group-arn {} \
         --attributes Key=stickiness.enabled,Value=true Key=stickiness.type,Value=lb_cookie",
        group
    ))
    .terraform(hcl!(
        r#"
        resource "aws_lb_target_group" {} {
          stickiness {
            enabled = true
            type    = "lb_cookie"
          }
        }"#,
        name
    ));
    Subject::new(Kind::TargetGroup, group)
        .sick(claim, Evidence::new(Call::DescribeTargetGroupAttributes, group, STICKY, "false"))
        .detail(format!(
            "The log says \"{}\": each session likely exists only in the task where it began.",
            crate::text::shortened(line.value.trim(), 160)
        ))
        .because(Evidence::metric(Metric::Target4xx, group, peak).at(Some(at)))
        .because(line)
        .mend(remedy)
        .concerns(Kind::TargetGroup, group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    #[test]
    fn says_how_many_targets_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Target group api has 2 targets and no stickiness, and the app does not recognize its clients' sessions: 885 of 1800 requests (49 %) got 4xx in the last 15 min. The log says \"{\"code\":-32600,\"message\":\"Session not found\"}\": each session likely exists only in the task where it began."
            ]
        );
    }

    #[test]
    fn stickiness_one_target_another_share_and_a_silent_log_are_no_case_of_it() {
        let group = id::group("api");
        let mut sticky = (CHECK.example)();
        sticky.target_group_attributes.change(&group).unwrap().insert(STICKY.into(), "true".into());
        let mut single = (CHECK.example)();
        single.target_health.change(&group).unwrap().truncate(1);
        let mut expired = (CHECK.example)();
        expired.metrics.put(Metric::Target4xx.of(&group), minutes(20.0));
        let mut silent = (CHECK.example)();
        silent.logs = baseline::fargate().logs;
        for (name, snapshot) in
            [("sticky", sticky), ("one", single), ("some expired", expired), ("silent", silent)]
        {
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{name}");
        }
    }

    #[test]
    fn a_session_that_ended_is_not_unknown() {
        let is_unknown = |line: &str| UNKNOWN.as_ref().unwrap().is_match(line);
        for line in [
            "Session not found",
            "{\"code\":1,\"message\":\"Session ID unknown\"}",
            "400 Bad Request: No valid session ID provided",
            "WARN unknown session 4f2a",
        ] {
            assert!(is_unknown(line), "{line}");
        }
        for line in ["session expired", "your session has ended", "page not found in session view"]
        {
            assert!(!is_unknown(line), "{line}");
        }
    }

    #[test]
    fn without_the_log_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        snapshot.logs.0.values_mut().for_each(|log| *log = Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
