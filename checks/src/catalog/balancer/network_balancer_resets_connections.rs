//! Connections through a network load balancer are reset, far more of them than before. It has no
//! status codes: this is what an application load balancer would report with 502 and 503. Other
//! checks tell why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::call::Call;
use crate::catalog::balancer::common::network_metrics;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Lasting, Minute};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

crate::check! {
    /// Far more of the connections through a network load balancer are reset than before.
    ///
    /// # Why it matters
    ///
    /// Clients see `Connection reset by peer`. A network load balancer has no status codes, so
    /// neither it nor the app's log shows it.
    ///
    /// # How we tell
    ///
    /// `TCP_ELB_Reset_Count` and `TCP_Target_Reset_Count` of the load balancer against its
    /// `NewFlowCount`, minute by minute over the last hour. It counts if it lasts for at least five
    /// minutes and until now, with at least ten resets in the last 15 minutes; if they are a fifth
    /// of all connections and at least twice what was usual before; and if they took the place of
    /// good connections. Some apps always end connections with a reset: a share that is usual is
    /// not reported. Minutes in which a deployment or scaling stopped a task are left out, and so
    /// is a load balancer that also serves other services.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. Where there is none:
    ///
    /// ```sh
    /// aws elbv2 describe-target-health --target-group-arn <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change until the cause is known.
    ///
    /// # See also
    ///
    /// `network_balancer_zone_without_target`, `network_balancer_out_of_ports`,
    /// `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html>
    title: "Connections through the network load balancer are reset",
    severity: High,
    role: Symptom,
    shows: ConnectionsReset,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTasks, GetMetricData,
    ],
    example: on network, |snapshot| {
        use crate::baseline::{minutes_ago, network};
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 25 { 84.0 } else { 1.0 })).collect();
        snapshot.metrics.put(Metric::TargetResets.of(&network::balancer()), crate::snapshot::Series { values });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let balancers = network_metrics::balancers(patient)?;
    if balancers.is_empty() {
        return Err(network_metrics::NONE);
    }
    for (balancer, groups) in balancers {
        let resets = Resets::of(patient, balancer)?;
        let minutes = answers::without_replacements(patient, resets.minutes())?;
        let lasting = answers::lasting(&minutes, patient.now());
        if let Some(lasting) = lasting.filter(Lasting::displaces_good) {
            let finding = finding(patient, balancer, &resets, &lasting);
            findings.add(finding.concerns_all(Kind::TargetGroup, groups));
        }
    }
    Ok(())
}

/// What was counted, by the minute.
struct Resets {
    flows: BTreeMap<Timestamp, f64>,
    by_balancer: BTreeMap<Timestamp, f64>,
    by_targets: BTreeMap<Timestamp, f64>,
}

impl Resets {
    fn of(patient: &Patient, balancer: &str) -> Result<Resets, Blind> {
        let values = |metric| -> Result<BTreeMap<Timestamp, f64>, Blind> {
            let series = network_metrics::series(patient, metric, balancer)?;
            Ok(series.into_iter().flat_map(|series| series.values.iter().copied()).collect())
        };
        Ok(Resets {
            flows: values(Metric::NewFlows)?,
            by_balancer: values(Metric::ElbResets)?,
            by_targets: values(Metric::TargetResets)?,
        })
    }

    /// Of those that were open before a minute more may be reset than new ones come.
    fn minutes(&self) -> Vec<Minute> {
        let minute = |(at, flows): (&Timestamp, &f64)| {
            let resets = [&self.by_balancer, &self.by_targets]
                .iter()
                .filter_map(|counted| counted.get(at))
                .sum::<f64>();
            Minute { at: *at, errors: resets, answers: flows.max(resets) }
        };
        self.flows.iter().map(minute).filter(|minute| minute.answers > 0.0).collect()
    }

    /// Who reset most of them in the worst minute, with how many.
    fn most(&self, at: Timestamp) -> (Metric, f64) {
        let count = |counted: &BTreeMap<Timestamp, f64>| counted.get(&at).copied().unwrap_or(0.0);
        let (balancer, targets) = (count(&self.by_balancer), count(&self.by_targets));
        if targets >= balancer {
            (Metric::TargetResets, targets)
        } else {
            (Metric::ElbResets, balancer)
        }
    }
}

fn finding(patient: &Patient, balancer: &str, resets: &Resets, lasting: &Lasting) -> Finding {
    let (at, _) = lasting.peak;
    let (metric, peak) = resets.most(at);
    let why = match metric {
        Metric::TargetResets => {
            "Targets reset most of them: likely nothing listens there, or the app closes connections in use."
        }
        _ => {
            "The load balancer itself reset most of them: it likely had no target for them, or they had been idle for too long."
        }
    };
    let claim = format!(
        "{} through network load balancer {} were reset {}",
        lasting.words_of("connections"),
        traffic::balancer_name(balancer),
        lasting.span(patient.now())
    );
    let remedy = Remedy::new(
        "Check that targets are healthy in every zone, and find out from the logs of the tasks why they refuse or close connections.",
    )
    .cli(patient.see(Call::DescribeLoadBalancers, balancer));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, Evidence::metric(metric, balancer, peak).at(Some(at)))
        .detail(why)
        .detail(lasting.history(patient.now()))
        .detail(answers::came_with_words(patient, lasting.since))
        .since(lasting.since)
        .mend(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, minutes, minutes_ago, network};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn counting(metric: Metric, values: impl Fn(i64) -> f64) -> Snapshot {
        let mut snapshot = network::service();
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), values(ago))).collect();
        snapshot.metrics.put(metric.of(&network::balancer()), Series { values });
        snapshot
    }

    #[test]
    fn says_how_many_since_when_and_who_resets() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "1260 of 1800 connections (70 %) through network load balancer web were reset in the last 15 min. Targets reset most of them: likely nothing listens there, or the app closes connections in use. It began 25 min ago; before that it was less than 1 %."
            ]
        );
        let by_itself = counting(Metric::ElbResets, |ago| if ago <= 25 { 84.0 } else { 1.0 });
        assert!(says(CHECK, &by_itself)[0].contains("The load balancer itself reset most of them"));
    }

    #[test]
    fn an_app_that_always_ends_with_a_reset_is_as_usual() {
        let usual = counting(Metric::TargetResets, |_| 110.0);
        assert_eq!(exam(CHECK, &usual).outcome, Outcome::Healthy);
        let burst = counting(Metric::TargetResets, |ago| if ago == 9 { 110.0 } else { 0.0 });
        assert_eq!(exam(CHECK, &burst).outcome, Outcome::Healthy, "a burst");
    }

    #[test]
    fn what_a_deployment_resets_is_no_trouble() {
        let mut snapshot = counting(Metric::TargetResets, |ago| if ago <= 6 { 84.0 } else { 0.0 });
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
    fn on_a_shared_balancer_they_may_be_anothers() {
        let mut snapshot = (CHECK.example)();
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let other = host_rule("arn:other", "5", "o.example.com", forward(&[("arn:other", 1)]));
        snapshot.rules.change(&listener).unwrap().insert(0, other);
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn an_older_snapshot_and_an_application_balancer_have_no_such_metric() {
        let mut older = (CHECK.example)();
        older.metrics.0.remove(&Metric::NewFlows.of(&network::balancer()));
        for snapshot in [older, baseline::fargate()] {
            assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        }
        let mut refused = (CHECK.example)();
        let metric = Metric::NewFlows.of(&network::balancer());
        refused.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &refused).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn quiet_hours_are_no_trouble() {
        let mut snapshot = counting(Metric::TargetResets, |_| 0.3);
        snapshot.metrics.put(Metric::NewFlows.of(&network::balancer()), minutes(1.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
