//! The load balancer itself returns 504: no connection to a target within 10 s, or no answer within
//! its idle timeout. The metrics of the target groups show which of the two it was; other checks
//! tell why.

use crate::call::Call;
use crate::catalog::balancer::common::balancer_errors::{self, Errors};
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::metric::Recent;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl};

crate::check! {
    /// The load balancer itself returns `504 Gateway Time-out`: it could not connect to a target
    /// within 10 seconds, or the target gave no answer within the load balancer's idle timeout.
    ///
    /// # Why it matters
    ///
    /// Clients wait and finally get an error. While they wait they hold connections, and the next
    /// ones wait longer.
    ///
    /// # How we tell
    ///
    /// `HTTPCode_ELB_504_Count` of the load balancer has at least three in two of the last 15
    /// minutes. It counts for the whole load balancer: where other services share it, the service's
    /// own target groups have to have connection errors in those minutes
    /// (`TargetConnectionErrorCount`), or answers that took nearly as long as the idle timeout
    /// (`TargetResponseTime`). The same two metrics tell a blocked network path from a slow app;
    /// the verdict is "likely".
    ///
    /// # What to do
    ///
    /// The cause has the fix. If the app needs that long by design, raise the idle timeout:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> --attributes Key=idle_timeout.timeout_seconds,Value=120
    /// ```
    ///
    /// Terraform/OpenTofu: `idle_timeout` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `task_security_group_blocks_balancer`, `health_check_times_out`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The load balancer itself returns 504",
    severity: High,
    role: Symptom,
    shows: BalancerAnswers504,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTasks, GetMetricData,
        DescribeLoadBalancerAttributes,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes};
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.metrics.put(Metric::Elb504.of(&balancer), minutes(4.0));
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), minutes(59.2));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for errors in balancer_errors::errors(patient, Metric::Elb504)? {
        let unconnected = errors.of_groups(patient, Metric::ConnectionErrors)?;
        let timeout =
            findings.see(balancer_errors::idle_timeout(patient, errors.balancer)).flatten();
        let slowest = errors.of_groups(patient, Metric::ResponseTime)?;
        // Near the timeout are those that just made it.
        let slow =
            slowest.filter(|slowest| timeout.is_some_and(|timeout| slowest.peak >= 0.9 * timeout));
        let own = errors.alone || unconnected.is_some() || slow.is_some();
        if own && errors.sum() >= 3.0 {
            findings.add(finding(patient, &errors, unconnected, slow.zip(timeout))?);
        }
    }
    Ok(())
}

fn finding(
    patient: &Patient,
    errors: &Errors,
    unconnected: Option<Recent>,
    slow: Option<(Recent, f64)>,
) -> Result<Finding, Blind> {
    let claim = format!(
        "load balancer {} itself returned 504 for {}",
        errors.name(),
        errors.words(patient)?
    );
    let why = match (&unconnected, &slow) {
        (Some(unconnected), _) => format!(
            "{:.0} connections to targets failed: likely something on the network path drops them.",
            unconnected.sum
        ),
        (None, Some((slowest, timeout))) => format!(
            "The slowest answer in time took {:.1} s, and the load balancer waits {timeout:.0} s: the app is likely too slow.",
            slowest.peak
        ),
        (None, None) => {
            "CloudWatch counts no failed connections: targets likely take too long, or hang."
                .to_owned()
        }
    };
    let arn = errors.balancer;
    let see = patient.see(Call::DescribeLoadBalancerAttributes, arn);
    let remedy = if unconnected.is_some() {
        Remedy::new(
            "Allow traffic from the load balancer to the targets: check security groups, network ACLs and routes.",
        )
        .cli(see)
    } else {
        Remedy::new("Make the app answer faster. Raise the idle timeout only if the app needs that long by design.")
            .cli(see)
            .cli(aws!(
                "elbv2 modify-load-balancer-attributes --load-balancer-arn {} \
                 --attributes Key={},Value=120",
                arn,
                balancer_errors::IDLE_TIMEOUT
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb" {} {
                  idle_timeout = 120
                }"#,
                errors.name()
            ))
    };
    let waits = slow
        .as_ref()
        .filter(|_| unconnected.is_none())
        .map(|(_, timeout)| balancer_errors::idle_timeout_evidence(arn, *timeout));
    Ok(Subject::new(Kind::LoadBalancer, arn)
        .sick(claim, errors.evidence())
        .detail(why)
        .because_all(unconnected.map(|unconnected| unconnected.evidence))
        .because_all(slow.map(|(slowest, _)| slowest.evidence))
        .because_all(waits)
        .mend(remedy)
        .concerns_all(Kind::TargetGroup, errors.groups.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, id, minutes, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn shared() -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::Elb504.of(&balancer()), minutes(4.0));
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let other = id::group("other");
        snapshot
            .rules
            .change(&listener)
            .unwrap()
            .insert(0, host_rule("arn:other", "5", "other.example.com", forward(&[(&other, 1)])));
        snapshot
    }

    #[test]
    fn a_slow_app_is_told_from_a_closed_way() {
        let slow = (CHECK.example)();
        assert_eq!(
            says(CHECK, &slow),
            [
                "Load balancer web itself returned 504 for 60 of 1800 requests in the last 15 min. The slowest answer in time took 59.2 s, and the load balancer waits 60 s: the app is likely too slow."
            ]
        );
        let mut closed = (CHECK.example)();
        closed.metrics.put(Metric::ConnectionErrors.of(&id::group("api")), minutes(4.0));
        assert!(says(CHECK, &closed)[0].ends_with(
            "60 connections to targets failed: likely something on the network path drops them."
        ));
    }

    #[test]
    fn on_a_shared_balancer_the_groups_own_metrics_decide() {
        let mut snapshot = shared();
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), minutes(0.2));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), minutes(58.0));
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 1);
    }

    #[test]
    fn a_slow_answer_alone_is_no_error() {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::ResponseTime.of(&id::group("api")), minutes(58.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn one_bad_minute_is_over() {
        let mut snapshot = baseline::fargate();
        snapshot
            .metrics
            .put(Metric::Elb504.of(&balancer()), Series { values: vec![(minutes_ago(6), 40.0)] });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
