//! The app itself answers with 4xx: far more than before, in the place of good answers. Other
//! checks tell why, and a share that is usual is not reported.

use crate::catalog::balancer::common::app_errors;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Lasting};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The app answers far more of its requests with 4xx than before, in place of good answers.
    ///
    /// # Why it matters
    ///
    /// To CloudWatch a 4xx is a client error. A version that lost a path, a key that is no longer
    /// accepted, or a session that another task holds is not, and nothing else shows it: tasks run
    /// and health checks pass.
    ///
    /// # How we tell
    ///
    /// `HTTPCode_Target_4XX_Count` of a target group against its `RequestCount`, minute by minute
    /// over the last hour, and over the day before it where they fill that hour. It counts if it
    /// lasts for at least five minutes and until now, with at least ten such answers in the last 15
    /// minutes; if they are a fifth of all and at least twice what was usual before; and if they
    /// took the place of good answers. Scanners add 4xx but do not reduce the good answers. A share
    /// of 4xx that the service always has is not reported.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. Where there is none, the access logs
    /// of the load balancer show the paths and the clients:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> \
    ///   --attributes Key=access_logs.s3.enabled,Value=true Key=access_logs.s3.bucket,Value=<bucket>
    /// ```
    ///
    /// Terraform/OpenTofu: `access_logs` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `app_answers_5xx`, `sessions_not_sticky`, `web_acl_blocks_requests`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>
    title: "The app answers far more requests with 4xx than before",
    severity: Medium,
    role: Symptom,
    shows: AppAnswers4xx,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTasks, DescribeTaskDefinition, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 25 { 84.0 } else { 4.0 })).collect();
        snapshot.metrics.put(Metric::Target4xx.of(&id::group("api")), crate::snapshot::Series { values });
    },
}

const TO_DO: &str = "Find the failing requests in the logs of the running tasks or in the access logs of the load balancer. If it came with a new version, roll back to the previous one.";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in answers::groups(patient)? {
        let lasting = answers::of_app(patient, Metric::Target4xx, group)?;
        if let Some(lasting) = lasting.filter(Lasting::displaces_good) {
            findings.add(app_errors::finding(patient, Metric::Target4xx, group, &lasting, TO_DO));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn counting(values: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), values(ago))).collect();
        snapshot.metrics.put(Metric::Target4xx.of(&id::group("api")), Series { values });
        snapshot
    }

    #[test]
    fn says_how_many_since_when_and_what_was_usual() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The app behind target group api answered 1260 of 1800 requests (70 %) with 4xx in the last 15 min. It began 25 min ago; before that it was 3 %."
            ]
        );
    }

    #[test]
    fn a_usual_share_of_4xx_is_no_trouble_however_large() {
        assert_eq!(exam(CHECK, &counting(|_| 60.0)).outcome, Outcome::Healthy);
    }

    #[test]
    fn scanners_take_no_good_answer_away() {
        let mut snapshot = counting(|ago| if ago <= 25 { 400.0 } else { 4.0 });
        let requests = (1..=60)
            .rev()
            .map(|ago| (minutes_ago(ago), if ago <= 25 { 518.0 } else { 120.0 }))
            .collect();
        let metric = Metric::GroupRequests.of(&id::group("api"));
        snapshot.metrics.put(metric.clone(), Series { values: requests });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.metrics.put(metric, minutes(450.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn what_lasts_for_hours_is_held_against_the_day() {
        let mut snapshot = counting(|_| 84.0);
        let group = id::group("api");
        let spans = |of: fn(i64) -> f64| Series {
            values: (12..300).rev().map(|ago| (minutes_ago(ago * 5 + 5), of(ago))).collect(),
        };
        snapshot.metrics_before.put(Metric::GroupRequests.of(&group), spans(|_| 600.0));
        let metric = Metric::Target4xx.of(&group);
        snapshot
            .metrics_before
            .put(metric.clone(), spans(|ago| if ago < 60 { 420.0 } else { 20.0 }));
        assert!(says(CHECK, &snapshot)[0].contains("before that it was 3 %"));
        snapshot.metrics_before.put(metric.clone(), spans(|_| 420.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "yesterday as today");
        snapshot.metrics_before.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::Target4xx.of(&id::group("api"));
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
