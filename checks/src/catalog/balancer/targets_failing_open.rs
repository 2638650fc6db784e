//! All targets of a group are unhealthy, so the load balancer sends requests to all of them:
//! clients then get the app's responses, and no 503 of the load balancer. A note, so that nobody
//! looks for one.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::{self, GroupState};
use crate::facts::tasks::metric;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;
use crate::text::count;

crate::check! {
    /// Every target of the group that gets the traffic is unhealthy, so the load balancer fails
    /// open: it sends requests to all of them, as if they were healthy.
    ///
    /// # Why it matters
    ///
    /// The site may work, or show the app's own errors, while the console says unhealthy. Clients
    /// do not get 503: that needs a group without any usable target. As soon as one target turns
    /// healthy, it gets all requests.
    ///
    /// # How we tell
    ///
    /// A rule of an HTTP listener sends traffic to the group, `DescribeTargetHealth` has an
    /// `unhealthy` target in it, and none that is `healthy` or still waits for its first check.
    /// Requests of the group's metric `RequestCount` are quoted where there are any; the load
    /// balancer's own health checks are not counted there.
    ///
    /// # What to do
    ///
    /// Fix the health check. To remove the load balancer from DNS instead of failing open, where
    /// another Region can serve:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> \
    ///   --attributes Key=target_group_health.dns_failover.minimum_healthy_targets.count,Value=1
    /// ```
    ///
    /// Terraform/OpenTofu: `target_group_health { dns_failover { minimum_healthy_targets_count = 1
    /// } }` in `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `balancer_answers_503`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "All targets are unhealthy, so the load balancer fails open",
    severity: Info,
    role: Note,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, unhealthy};
        let mismatch = |address| unhealthy(address, 8080, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [404]");
        snapshot.target_health.put(id::group("api"), vec![mismatch("10.0.1.21"), mismatch("10.0.2.22")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let live: BTreeSet<&str> = forwards
        .iter()
        .filter(|forward| forward.is_http())
        .flat_map(|forward| forward.live().map(|share| share.group))
        .collect();
    for group in live {
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        if GroupState::of(targets) != GroupState::FailsOpen {
            continue;
        }
        let unhealthy = targets.iter().filter(|target| target.state == "unhealthy").count();
        let claim = format!(
            "target group {} has no healthy target, so the load balancer fails open and sends requests to {}: clients get the app's responses, or 502 or 504 where it does not respond, but not 503",
            traffic::group_name(group),
            count(unhealthy, "unhealthy target"),
        );
        let requests = findings.see(metric::recent(
            patient,
            Metric::GroupRequests,
            group,
            SignedDuration::from_mins(15),
        ));
        let requests = requests.flatten();
        let counted = requests.as_ref().map_or_else(String::new, |requests| {
            format!("It got {:.0} requests in the last 15 min.", requests.sum)
        });
        let remedy = Remedy::new("This needs no action: fix the health check.")
            .cli(patient.see(Call::DescribeTargetHealth, group));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        group,
                        "TargetHealth.State",
                        "unhealthy",
                    ),
                )
                .detail(counted)
                .because_all(requests.map(|requests| requests.evidence))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, id, target, unhealthy};
    use crate::exam::Outcome;
    use crate::snapshot::metric::Series;
    use crate::snapshot::{Snapshot, Target};
    use crate::testing::{exam, says};

    fn failing(address: &str) -> Target {
        unhealthy(
            address,
            8080,
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        )
    }

    fn with(targets: Vec<Target>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(id::group("api"), targets);
        snapshot
    }

    #[test]
    fn says_that_it_is_not_a_503_and_how_many_requests_pass() {
        let says = says(CHECK, &(CHECK.example)());
        assert!(
            says[0].contains("2 unhealthy targets") && says[0].contains("but not 503"),
            "{says:?}"
        );
        assert!(says[0].ends_with("It got 1800 requests in the last 15 min."), "{says:?}");
    }

    #[test]
    fn no_traffic_is_no_number() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.put(Metric::GroupRequests.of(&id::group("api")), Series::default());
        assert!(says(CHECK, &snapshot)[0].ends_with("but not 503."));
    }

    #[test]
    fn one_healthy_target_gets_all_requests() {
        let snapshot =
            with(vec![failing("10.0.1.21"), target("10.0.2.22", 8080, "eu-west-2b", "healthy")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn draining_targets_are_not_failing_open() {
        let snapshot = with(vec![target("10.0.1.21", 8080, "eu-west-2a", "unhealthy.draining")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_half_without_traffic_fails_nobody() {
        let mut snapshot = baseline::express();
        let [_, idle] = express_groups();
        snapshot.target_health.put(&idle, vec![failing("10.0.1.21")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
