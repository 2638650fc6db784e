//! Spot interruptions cut requests off: the load balancer answered 502 in the same minutes in which
//! AWS reclaimed tasks. Tasks that are missing since then, and 502 at other times, are for other
//! checks.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::{answers, traffic};
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Finding, Kind, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Task;
use crate::snapshot::metric::Metric;
use crate::text::count;
use crate::{aws, hcl};

crate::check! {
    /// Whenever AWS reclaims a Spot task, clients get 502.
    ///
    /// # Why it matters
    ///
    /// Two minutes before AWS reclaims capacity, the tasks on it get SIGTERM. An app that exits at
    /// once drops its requests: those in flight, and those that the load balancer sends while the
    /// target is still being deregistered. It happens again with every interruption.
    ///
    /// # How we tell
    ///
    /// Within the last hour a task stopped with `SpotInterruption` or `TerminationNotice`, and in
    /// the minutes of its end `HTTPCode_ELB_502_Count` counted at least three. A load balancer that
    /// serves other services as well is skipped, since it counts for all of them.
    ///
    /// # What to do
    ///
    /// Keep serving after SIGTERM until the target is deregistered, and exit well within two
    /// minutes: `stopTimeout` up to 120 s, and a shorter deregistration delay.
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> --attributes Key=deregistration_delay.timeout_seconds,Value=60
    /// ```
    ///
    /// On instances, `ECS_ENABLE_SPOT_INSTANCE_DRAINING=true` in the agent's configuration.
    /// Terraform/OpenTofu: `deregistration_delay` in `aws_lb_target_group`; `stopTimeout` in
    /// `container_definitions`; `capacity_provider_strategy` with an on-demand base in
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `spot_interrupted`, `drain_shorter_than_requests`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html>
    title: "Spot interruptions drop requests",
    severity: Medium,
    role: Risk,
    explains: [BalancerAnswers502],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTasks, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, stop_tasks};
        stop_tasks(snapshot, 2, |task| {
            task.stop_code = Some("SpotInterruption".into());
            task.stopped_reason = Some("Your Spot Task was interrupted.".into());
        });
        snapshot.services[0].capacity_providers = vec!["FARGATE_SPOT".into()];
        let values = [6, 2].map(|ago| (minutes_ago(ago), 7.0)).to_vec();
        snapshot.metrics.put(Metric::Elb502.of(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")), crate::snapshot::Series { values });
    },
}

/// Fewer may be coincidence.
const FEW: f64 = 3.0;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let taken: Vec<&Task> = patient
        .stopped_tasks()?
        .iter()
        .filter(|task| StopKind::of(task) == StopKind::Spot)
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    for balancer in traffic::balancers(patient)? {
        if balancer.contains(":loadbalancer/app/")
            && let Some(cut) = findings.see(cut_off(patient, balancer, &taken)).flatten()
        {
            findings.add(finding(patient, balancer, &taken, &cut)?);
        }
    }
    Ok(())
}

/// The minutes in which interruptions came with 502, where those are this service's.
fn cut_off(
    patient: &Patient,
    balancer: &str,
    taken: &[&Task],
) -> Result<Option<Vec<(Timestamp, f64)>>, Blind> {
    let counted = patient.metric(Metric::Elb502, balancer)?;
    let near = |at: Timestamp| taken.iter().any(|task| answers::is_near(task, at));
    let minutes: Vec<(Timestamp, f64)> = counted
        .into_iter()
        .flat_map(|series| series.values.iter().copied())
        .filter(|(at, errors)| *errors > 0.0 && near(*at))
        .collect();
    let errors: f64 = minutes.iter().map(|(_, errors)| errors).sum();
    Ok((errors >= FEW && traffic::serves_nobody_else(patient, balancer)?).then_some(minutes))
}

fn finding(
    patient: &Patient,
    balancer: &str,
    taken: &[&Task],
    cut: &[(Timestamp, f64)],
) -> Result<Finding, Blind> {
    let with_errors: Vec<&Task> = taken
        .iter()
        .copied()
        .filter(|task| cut.iter().any(|(at, _)| answers::is_near(task, *at)))
        .collect();
    let errors: f64 = cut.iter().map(|(_, errors)| errors).sum();
    let claim = format!(
        "Spot capacity was reclaimed from {} {}, and in the same minutes load balancer {} answered {errors:.0} requests with 502",
        count(with_errors.len(), "task"),
        stop::when(patient.now(), &with_errors),
        traffic::balancer_name(balancer)
    );
    let worst = cut.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let of_metric =
        worst.map(|(at, errors)| Evidence::metric(Metric::Elb502, balancer, errors).at(Some(*at)));
    let groups: BTreeSet<&str> = traffic::live_groups(patient)?;
    let on_instances = with_errors.iter().any(|task| task.container_instance_arn.is_some());
    let mut finding = patient
        .subject()
        .sick(claim, stop::evidence(with_errors.first().unwrap_or(&taken[0])))
        .detail("Likely the app exits on SIGTERM while requests are still in flight.");
    if on_instances {
        finding = finding.detail(
            "On EC2 instances, the agent drains tasks only with ECS_ENABLE_SPOT_INSTANCE_DRAINING=true.",
        );
    }
    Ok(finding.because_all(of_metric).mend(remedy(&groups)).concerns_all(Kind::TargetGroup, groups))
}

fn remedy(groups: &BTreeSet<&str>) -> Remedy {
    let remedy = Remedy::new(
        "Keep the app serving after SIGTERM until its target is deregistered, within the two minutes that Spot allows (stopTimeout up to 120 s), and set a deregistration delay shorter than that.",
    );
    let remedy = groups.iter().fold(remedy, |remedy, group| {
        remedy.cli(aws!(
            "elbv2 modify-target-group-attributes --target-group-arn {} \
             --attributes Key=deregistration_delay.timeout_seconds,Value=60",
            *group
        ))
    });
    remedy.terraform(hcl!(
        r#"
        resource "aws_lb_target_group" "this" {
          deregistration_delay = 60
        }
        container_definitions = jsonencode([{
          stopTimeout = 120
        }])"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{forward, host_rule, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn counting(values: &[(i64, f64)]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let values = values.iter().map(|(ago, errors)| (minutes_ago(*ago), *errors)).collect();
        snapshot.metrics.put(Metric::Elb502.of(&balancer()), Series { values });
        snapshot
    }

    #[test]
    fn counts_interruptions_and_what_clients_got() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Spot capacity was reclaimed from 2 tasks within 4 min, the last 2 min ago, and in the same minutes load balancer web answered 14 requests with 502. Likely the app exits on SIGTERM while requests are still in flight."
            ]
        );
    }

    #[test]
    fn an_interruption_that_nobody_felt_is_what_spot_is() {
        for (why, values) in [
            ("no 502", &[][..]),
            ("a few", &[(6, 1.0), (2, 1.0)][..]),
            ("at another time", &[(40, 30.0), (39, 30.0)][..]),
        ] {
            assert_eq!(exam(CHECK, &counting(values)).outcome, Outcome::Healthy, "{why}");
        }
    }

    #[test]
    fn tasks_that_ended_for_another_reason_are_not_spots() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(|task| {
            task.stop_code = Some("EssentialContainerExited".into());
            task.stopped_reason = Some("Essential container in task exited".into());
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn on_a_shared_balancer_they_may_be_anothers() {
        let mut snapshot = (CHECK.example)();
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let other = host_rule("arn:other", "5", "o.example.com", forward(&[("arn:other", 1)]));
        snapshot.rules.change(&listener).unwrap().insert(0, other);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::Elb502.of(&balancer());
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
