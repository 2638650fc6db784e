//! Targets fail the health check, recover, and fail again. One dip is normal; three within the hour
//! are a pattern.

use jiff::{SignedDuration, Timestamp};

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::facts::tasks::metric;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl, words};

crate::check! {
    /// Targets of a group turn unhealthy and healthy again, several times within an hour.
    ///
    /// # Why it matters
    ///
    /// Each time the other targets take over the load, and often that makes them fail next. ECS may
    /// replace tasks in waves, and each healthy moment resets a deployment's circuit breaker.
    ///
    /// # How we tell
    ///
    /// `UnHealthyHostCount` of the group rises from 0 at least three times within the last hour,
    /// each time after a minute in which it was 0 and `HealthyHostCount` was not; the last rise is
    /// within 15 minutes. A single dip that recovered is normal. Targets that were unhealthy all
    /// along are for `targets_unhealthy`. CPU at 90 % or more in the same hour is named: then the
    /// app is likely too busy to answer in time.
    ///
    /// # What to do
    ///
    /// Give the tasks more CPU or run more of them, make the health check cheaper, and tolerate
    /// more failures in a row:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --unhealthy-threshold-count 5
    /// ```
    ///
    /// Terraform/OpenTofu: `cpu` in `aws_ecs_task_definition`; `unhealthy_threshold` in the
    /// `health_check` of `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `health_check_times_out`, `circuit_breaker_keeps_resetting`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "Targets flap between healthy and unhealthy",
    severity: High,
    role: Symptom,
    shows: TargetsFlapping,
    explains: [TasksKeepStopping, DeploymentStuck],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let dips = |minute: i64| if matches!(minute % 12, 4 | 5) { 1.0 } else { 0.0 };
        let values = (1..=60).rev().map(|minute| (minutes_ago(minute), dips(minute))).collect();
        snapshot.metrics.put(Metric::UnhealthyHosts.of(&id::group("api")), crate::snapshot::Series { values });
        let service = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&service), crate::baseline::minutes(97.0));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        if findings.see(traffic::is_measured(patient, group)) != Some(true) {
            continue;
        }
        let Some(falls) = findings.see(falls(patient, group)) else { continue };
        let [first, _, .., (last, number)] = falls.as_slice() else { continue };
        if falls.len() < 3 || time::age(patient.now(), *last) > SignedDuration::from_mins(15) {
            continue;
        }
        let name = traffic::group_name(group);
        let claim = format!(
            "targets of group {name} turned unhealthy {} times within {} and recovered in between, the last time {} ago",
            falls.len(),
            time::words(last.duration_since(first.0)),
            time::words(time::age(patient.now(), *last))
        );
        let cpu = findings
            .see(metric::recent(patient, Metric::Cpu, patient.arn(), SignedDuration::from_hours(1)))
            .flatten();
        let busy = cpu.filter(|cpu| cpu.peak >= 90.0);
        let why = busy.as_ref().map_or_else(String::new, |busy| {
            format!(
                "In that time the service reached {:.0} % of its CPU: the app is likely too busy to answer the check.",
                busy.peak
            )
        });
        let more = patient.service().desired_count.saturating_add(1);
        let remedy = Remedy::new("Give the tasks more CPU or run more of them, and make the health check's path cheaper.")
            .cli(aws!(
                "elbv2 modify-target-group --target-group-arn {} --unhealthy-threshold-count 5",
                group
            ))
            .cli(patient.update_service().and(words!("--desired-count {}", more)))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  health_check {
                    unhealthy_threshold = 5
                  }
                }"#,
                name
            ));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::metric(Metric::UnhealthyHosts, group, number).at(Some(*last)),
                )
                .detail(why)
                .because_all(busy.map(|busy| busy.evidence))
                .because_all(told(patient, group))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

/// Each minute in which the group's targets turned unhealthy, after they had all been well, with
/// the number of them.
fn falls(patient: &Patient, group: &str) -> Result<Vec<(Timestamp, f64)>, Blind> {
    let healthy = patient
        .metric(Metric::HealthyHosts, group)?
        .map(|series| series.values.as_slice())
        .unwrap_or_default();
    let unhealthy = patient
        .metric(Metric::UnhealthyHosts, group)?
        .map(|series| series.values.as_slice())
        .unwrap_or_default();
    let mut was_well = false;
    let mut falls = Vec::new();
    for (at, number) in unhealthy {
        if *number > 0.0 && was_well {
            falls.push((*at, *number));
        }
        was_well =
            *number == 0.0 && healthy.iter().any(|(minute, number)| minute == at && *number > 0.0);
    }
    Ok(falls)
}

/// The newest event that says how the check failed.
fn told(patient: &Patient, group: &str) -> Option<Evidence> {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let recent = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= hour_ago));
    let is_own = |message: &str| matches!(event::read(message), Event::TargetUnhealthy { group: named, .. } if named == group);
    let event = recent.into_iter().find(|event| is_own(&event.message))?;
    Some(patient.evidence("events.message", &event.message).at(event.created_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn unhealthy(number: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let values = (1..=60).rev().map(|minute| (minutes_ago(minute), number(minute))).collect();
        snapshot.metrics.put(Metric::UnhealthyHosts.of(&id::group("api")), Series { values });
        snapshot
    }

    #[test]
    fn counts_the_falls_and_names_the_load() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Targets of group api turned unhealthy 5 times within 48 min and recovered in between, the last time 5 min ago. In that time the service reached 97 % of its CPU: the app is likely too busy to answer the check."
            ]
        );
    }

    #[test]
    fn a_minute_that_healed_is_no_pattern() {
        assert_eq!(
            exam(CHECK, &unhealthy(|minute| if minute == 8 { 1.0 } else { 0.0 })).outcome,
            Outcome::Healthy
        );
        assert_eq!(
            exam(CHECK, &unhealthy(|minute| if matches!(minute, 8 | 5) { 1.0 } else { 0.0 }))
                .outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn a_group_that_no_application_balancer_has_is_not_measured() {
        let mut snapshot = (CHECK.example)();
        snapshot.target_groups.change(&id::group("api")).unwrap().load_balancer_arns =
            vec![id::elb("loadbalancer/net/edge/50dc6c495c0c9188")];
        snapshot.metrics.0.retain(|metric, _| !metric.contains(":targetgroup/"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unhealthy_all_along_is_another_matter() {
        assert_eq!(
            exam(CHECK, &unhealthy(|minute| if minute < 40 { 2.0 } else { 0.0 })).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn what_was_over_a_while_ago_is_history() {
        assert_eq!(
            exam(
                CHECK,
                &unhealthy(|minute| if minute > 25 && minute % 6 == 0 { 1.0 } else { 0.0 })
            )
            .outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn an_empty_moment_between_two_tasks_is_no_recovery() {
        let mut snapshot = unhealthy(|minute| if minute % 6 < 4 { 1.0 } else { 0.0 });
        snapshot.metrics.put(Metric::HealthyHosts.of(&id::group("api")), baseline::minutes(0.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
