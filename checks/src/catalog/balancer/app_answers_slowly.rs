//! Answers take far longer than they did: the slowest of every minute, for ten minutes on end.
//! Other checks tell why.

use crate::catalog::balancer::common::running_logs;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Slower};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The slowest answers of the app take far longer than they did.
    ///
    /// # Why it matters
    ///
    /// Clients wait and time out. Soon the load balancer times out as well and returns 504, or the
    /// health check gets no answer in time and ECS replaces tasks that are needed.
    ///
    /// # How we tell
    ///
    /// `TargetResponseTime` of a target group, the maximum of each minute. In every one of the last
    /// ten minutes it was at least two seconds and three times the middle of what was usual in the
    /// hour before, or, where they fill that hour, in the day before it, and longer than nine in
    /// ten of those minutes. A single slow report, or requests that always wait, are not reported;
    /// nor is a service with fewer than two requests a minute.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. Where there is none, look at what
    /// the app waits for: its database, another service, a third party.
    ///
    /// ```sh
    /// aws logs tail <group> --since 30m
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_cloudwatch_metric_alarm` on `TargetResponseTime`.
    ///
    /// # See also
    ///
    /// `saturated`, `balancer_answers_504`, `health_check_times_out`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>
    title: "Answers take far longer than before",
    severity: Medium,
    role: Symptom,
    shows: AppAnswersSlowly,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTaskDefinition, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 25 { 9.4 } else { 0.4 })).collect();
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), crate::snapshot::Series { values });
    },
}

/// With fewer requests in the last minutes, one that takes long is the slowest of its minute.
const FEW: f64 = 30.0;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in answers::groups(patient)? {
        let times = answers::times(patient, group)?;
        let Some(slower) = answers::slower(&times, patient.now()) else { continue };
        let start = crate::aws::time::before(patient.now(), answers::SPAN);
        let requests = patient.metric(Metric::GroupRequests, group)?;
        if requests.is_some_and(|requests| requests.sum_since(start) >= FEW) {
            findings.add(finding(patient, group, &slower));
        }
    }
    Ok(())
}

fn finding(patient: &Patient, group: &str, slower: &Slower) -> Finding {
    let (at, peak) = slower.peak;
    let claim = format!(
        "the slowest answer of each minute from target group {} takes {:.1} s; before it took {:.1} s",
        traffic::group_name(group),
        slower.now,
        slower.usual
    );
    let began = format!(
        "It began {} ago.",
        crate::aws::time::words(crate::aws::time::age(patient.now(), slower.since))
    );
    let remedy = Remedy::new(
        "Find out from the logs of the running tasks what they wait for. If it came with a new version, roll back to the previous one.",
    );
    Subject::new(Kind::TargetGroup, group)
        .sick(claim, Evidence::metric(Metric::ResponseTime, group, peak).at(Some(at)))
        .detail(began)
        .detail(answers::came_with_words(patient, Some(slower.since)))
        .since(Some(slower.since))
        .mend(running_logs::read_on(remedy, patient))
        .concerns(Kind::TargetGroup, group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn taking(seconds: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), seconds(ago))).collect();
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), Series { values });
        snapshot
    }

    #[test]
    fn says_how_long_it_takes_and_took() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The slowest answer of each minute from target group api takes 9.4 s; before it took 0.4 s. It began 25 min ago."
            ]
        );
    }

    #[test]
    fn requests_that_always_wait_and_reports_are_no_trouble() {
        assert_eq!(exam(CHECK, &taking(|_| 30.0)).outcome, Outcome::Healthy, "long polls");
        let reports = taking(|ago| if ago % 7 == 0 { 12.0 } else { 0.3 });
        assert_eq!(exam(CHECK, &reports).outcome, Outcome::Healthy, "a report now and then");
        let mut quiet = (CHECK.example)();
        quiet.metrics.put(Metric::GroupRequests.of(&id::group("api")), minutes(1.0));
        assert_eq!(exam(CHECK, &quiet).outcome, Outcome::Healthy, "few requests");
    }

    #[test]
    fn what_lasts_for_hours_is_held_against_the_day() {
        let mut snapshot = taking(|_| 9.4);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "nobody knows what was usual");
        let metric = Metric::ResponseTime.of(&id::group("api"));
        let spans = |of: fn(i64) -> f64| Series {
            values: (12..300).rev().map(|ago| (minutes_ago(ago * 5 + 5), of(ago))).collect(),
        };
        snapshot.metrics_before.put(metric.clone(), spans(|_| 12.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "long polls");
        snapshot.metrics_before.put(metric, spans(|ago| if ago < 60 { 9.0 } else { 0.6 }));
        assert!(
            says(CHECK, &snapshot)[0].contains("before it took 0.6 s. It began 4 h 55 min ago")
        );
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::ResponseTime.of(&id::group("api"));
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
