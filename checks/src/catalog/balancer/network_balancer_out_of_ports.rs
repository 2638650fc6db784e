//! A network load balancer has no ports left from which to open connections to targets, because it
//! replaces the clients' addresses with its own. More targets, or the clients' own addresses, give
//! it more.

use crate::catalog::balancer::common::network_metrics;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::{answers, traffic};
use crate::facts::tasks::metric;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl, words};

crate::check! {
    /// A network load balancer ran out of ports and could not open connections to its targets.
    ///
    /// # Why it matters
    ///
    /// Where a network load balancer does not preserve client IP addresses, it opens each
    /// connection from an address of its own, with about 55,000 ports for each target. When they
    /// are taken, AWS drops the connections of clients, and no target ever sees them.
    ///
    /// # How we tell
    ///
    /// `PortAllocationErrorCount` of the load balancer was above 0 in at least two of the last 15
    /// minutes: AWS says that any such error is a dropped connection. A load balancer that also
    /// serves other services is left out.
    ///
    /// # What to do
    ///
    /// Run more targets, have clients leave fewer connections open, or preserve client IP
    /// addresses, if the security groups of the tasks allow those:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> --attributes Key=preserve_client_ip.enabled,Value=true
    /// ```
    ///
    /// Terraform/OpenTofu: `desired_count` of `aws_ecs_service`; `preserve_client_ip` in
    /// `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `network_balancer_resets_connections`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-troubleshooting.html>
    title: "The network load balancer has run out of ports",
    severity: High,
    role: Cause,
    explains: [ConnectionsReset],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetMetricData],
    example: on network, |snapshot| {
        use crate::baseline::{minutes_ago, network};
        let values = [9, 6, 3].map(|ago| (minutes_ago(ago), 40.0)).to_vec();
        snapshot.metrics.put(Metric::PortErrors.of(&network::balancer()), crate::snapshot::Series { values });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let balancers = network_metrics::balancers(patient)?;
    if balancers.is_empty() {
        return Err(network_metrics::NONE);
    }
    let start = crate::aws::time::before(patient.now(), answers::SPAN);
    for (balancer, groups) in balancers {
        let Some(series) = network_metrics::series(patient, Metric::PortErrors, balancer)? else {
            continue;
        };
        let minutes = series.since(start).filter(|count| *count > 0.0).count();
        let recent = metric::recent(patient, Metric::PortErrors, balancer, answers::SPAN)?;
        if let Some(recent) = recent.filter(|_| minutes > 1) {
            let group = groups.first().copied().unwrap_or_default();
            let finding = finding(patient, balancer, group, recent);
            findings.add(finding.concerns_all(Kind::TargetGroup, groups));
        }
    }
    Ok(())
}

fn finding(patient: &Patient, balancer: &str, group: &str, recent: metric::Recent) -> Finding {
    let claim = format!(
        "network load balancer {} had no port left for {:.0} connections in the last 15 min and dropped them",
        traffic::balancer_name(balancer),
        recent.sum
    );
    let more = patient.service().desired_count.saturating_mul(2).max(2);
    let remedy = Remedy::new(
        "Run more tasks (the first command), or preserve client IP addresses (the second), if the tasks' security groups allow those.",
    )
    .cli(patient.update_service().and(words!("--desired-count {}", more)))
    .cli(aws!(
        "elbv2 modify-target-group-attributes --target-group-arn {} \
         --attributes Key=preserve_client_ip.enabled,Value=true",
        group
    ))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          desired_count = {}
        }"#,
        patient.name(),
        more
    ));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, recent.evidence)
        .detail("It opens connections from its own addresses, which have about 55,000 ports for each target.")
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, network};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn counting(values: &[(i64, f64)]) -> Snapshot {
        let mut snapshot = network::service();
        let values = values.iter().map(|(ago, count)| (minutes_ago(*ago), *count)).collect();
        snapshot.metrics.put(Metric::PortErrors.of(&network::balancer()), Series { values });
        snapshot
    }

    #[test]
    fn says_how_many_were_dropped() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Network load balancer web had no port left for 120 connections in the last 15 min and dropped them. It opens connections from its own addresses, which have about 55,000 ports for each target."
            ]
        );
    }

    #[test]
    fn what_is_over_is_no_trouble() {
        assert_eq!(exam(CHECK, &counting(&[(50, 9.0), (49, 9.0)])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &counting(&[(5, 9.0)])).outcome, Outcome::Healthy, "one minute");
    }

    #[test]
    fn an_application_balancer_has_ports_enough() {
        let outcome = exam(CHECK, &baseline::fargate()).outcome;
        assert!(matches!(outcome, Outcome::NotApplicable(_)), "{outcome:?}");
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::PortErrors.of(&network::balancer());
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
