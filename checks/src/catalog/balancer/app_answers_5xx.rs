//! The app itself answers with 5xx: tasks run and pass their health checks, and clients get errors.
//! Other checks tell why.

use crate::catalog::balancer::common::app_errors;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Lasting};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The app answers a large part of its requests with 5xx.
    ///
    /// # Why it matters
    ///
    /// Tasks run and health checks pass, so ECS and the load balancer see a healthy service, and
    /// clients get errors.
    ///
    /// # How we tell
    ///
    /// `HTTPCode_Target_5XX_Count` of a target group against its `RequestCount`, minute by minute
    /// over the last hour, and over the day before it where they fill that hour. It counts if it
    /// lasts for at least five minutes and until now, with at least ten such answers in the last 15
    /// minutes, and they are a fifth of all, or a twentieth where that is at least twice what was
    /// usual before. Minutes in which a deployment or scaling stopped a task are left out: such
    /// errors come from stopping it. Errors of the load balancer itself are counted elsewhere.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. Where there is none, look at the
    /// logs of the running tasks, or roll back the version that it came with:
    ///
    /// ```sh
    /// aws logs tail <group> --since 30m
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <before>
    /// ```
    ///
    /// Terraform/OpenTofu: an alarm in `alarms` of `aws_ecs_service`, so that the next such version
    /// is rolled back.
    ///
    /// # See also
    ///
    /// `balancer_answers_502`, `no_route_out`, `database_blocked`, `saturated`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>
    title: "The app answers many requests with 5xx",
    severity: High,
    role: Symptom,
    shows: AppAnswers5xx,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTasks, DescribeTaskDefinition, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 25 { 84.0 } else { 1.0 })).collect();
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), crate::snapshot::Series { values });
    },
}

const TO_DO: &str = "Find the error in the logs of the running tasks and fix it. If it came with a new version, roll back to the previous one.";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in answers::groups(patient)? {
        let lasting = answers::of_app(patient, Metric::Target5xx, group)?;
        if let Some(lasting) = lasting.filter(Lasting::is_trouble) {
            findings.add(app_errors::finding(patient, Metric::Target5xx, group, &lasting, TO_DO));
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
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), Series { values });
        snapshot
    }

    #[test]
    fn says_how_many_since_when_and_what_was_usual() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The app behind target group api answered 1260 of 1800 requests (70 %) with 5xx in the last 15 min. It began 25 min ago; before that it was less than 1 %."
            ]
        );
        assert_eq!(
            says(CHECK, &counting(|_| 66.0)),
            [
                "The app behind target group api answered 990 of 1800 requests (55 %) with 5xx in the last 15 min. It has lasted for at least an hour."
            ]
        );
    }

    #[test]
    fn a_burst_a_usual_share_and_few_requests_are_no_trouble() {
        let burst = counting(|ago| if (6..12).contains(&ago) { 60.0 } else { 0.0 });
        assert_eq!(exam(CHECK, &burst).outcome, Outcome::Healthy, "a burst");
        assert_eq!(exam(CHECK, &counting(|_| 7.0)).outcome, Outcome::Healthy, "a usual share");
        let mut quiet = counting(|ago| if ago % 2 == 0 { 1.0 } else { 0.0 });
        quiet.metrics.put(Metric::GroupRequests.of(&id::group("api")), minutes(1.0));
        assert_eq!(exam(CHECK, &quiet).outcome, Outcome::Healthy, "few requests");
    }

    #[test]
    fn what_breaks_while_a_deployment_replaces_tasks_is_no_trouble() {
        let mut snapshot = counting(|ago| if ago <= 6 { 60.0 } else { 0.0 });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        baseline::stop_tasks(&mut snapshot, 1, |task| {
            task.stopped_reason = Some(
                "Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into(),
            );
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            (task.stopping_at, task.stopped_at) = (Some(minutes_ago(4)), Some(minutes_ago(2)));
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_version_that_it_came_with_is_named() {
        let mut snapshot = counting(|ago| if ago <= 25 { 84.0 } else { 1.0 });
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(28));
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("The deployment of api:12 began 3 min before: likely it came with"),
        );
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::Target5xx.of(&id::group("api"));
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
