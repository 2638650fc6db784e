//! Targets are deregistered sooner than their slowest requests finish, so that each deployment and
//! each scale-in cuts some off.

use jiff::SignedDuration;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::facts::tasks::metric;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl};

crate::check! {
    /// The deregistration delay of the target group is shorter than the slowest requests.
    ///
    /// # Why it matters
    ///
    /// At every deployment and every scale-in the load balancer waits for the deregistration delay,
    /// then closes the connections that are still open: the client gets 502, and the work is lost
    /// or half done.
    ///
    /// # How we tell
    ///
    /// In the last hour some request took longer (`TargetResponseTime`, until the first byte of the
    /// response) than `deregistration_delay.timeout_seconds`. Downloads and WebSockets last even
    /// longer, which no metric shows.
    ///
    /// # What to do
    ///
    /// Set the deregistration delay longer than the slowest request takes, or make these requests
    /// faster. The app must keep serving after SIGTERM, within its `stopTimeout`.
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> --attributes Key=deregistration_delay.timeout_seconds,Value=60
    /// ```
    ///
    /// Terraform/OpenTofu: `deregistration_delay` in `aws_lb_target_group`; `stopTimeout` in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `killed_after_stop_timeout`, `normal_stops`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html>
    title: "Targets are deregistered before their slowest requests finish",
    severity: Low,
    role: Risk,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetGroupAttributes, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes};
        let group = id::group("api");
        if let Some(attributes) = snapshot.target_group_attributes.change(&group) {
            attributes.insert(DELAY.into(), "5".into());
        }
        snapshot.metrics.put(Metric::ResponseTime.of(&group), minutes(22.4));
    },
}

const DELAY: &str = "deregistration_delay.timeout_seconds";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        if !findings.see(speaks_http(patient, group)).unwrap_or_default() {
            continue;
        }
        let Some(delay) = findings.see(rollout::deregistration_delay(patient, group)) else {
            continue;
        };
        let hour = SignedDuration::from_hours(1);
        let Some(slowest) =
            findings.see(metric::recent(patient, Metric::ResponseTime, group, hour)).flatten()
        else {
            continue;
        };
        if slowest.peak <= delay.as_secs_f64() {
            continue;
        }
        let name = traffic::group_name(group);
        let claim = format!(
            "targets of {name} get {} s to drain, and the slowest request of the last hour took {:.0} s: deployments and scale-in cut such requests off",
            delay.as_secs(),
            slowest.peak.ceil()
        );
        let longer = (slowest.peak * 1.5).clamp(1.0, 3600.0).ceil();
        let remedy = Remedy::new(
            "Set the deregistration delay longer than the slowest request takes, and make the app finish its requests after SIGTERM.",
        )
        .cli(aws!(
            "elbv2 modify-target-group-attributes --target-group-arn {} --attributes Key={},Value={}",
            group,
            DELAY,
            longer
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb_target_group" {} {
              deregistration_delay = {}
            }"#,
            name,
            longer
        ));
        let set = findings
            .see(patient.target_group_attributes(group))
            .flatten()
            .and_then(|attributes| attributes.get(DELAY));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(claim, slowest.evidence)
                .because_all(set.map(|set| {
                    Evidence::new(Call::DescribeTargetGroupAttributes, group, DELAY, set)
                }))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

/// Only of HTTP, and of a group that some load balancer sends requests to, does CloudWatch know how
/// long they take.
fn speaks_http(patient: &Patient, group: &str) -> Result<bool, Blind> {
    let http = |protocol: &str| matches!(protocol, "HTTP" | "HTTPS");
    let Some(group) = patient.target_group(group)? else { return Ok(false) };
    let speaks = group.protocol.as_deref().is_some_and(http);
    Ok(speaks && !traffic::balancers_of(patient, group)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(delay: &str, slowest: f64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let group = id::group("api");
        snapshot.target_group_attributes.change(&group).unwrap().insert(DELAY.into(), delay.into());
        snapshot.metrics.put(Metric::ResponseTime.of(&group), minutes(slowest));
        snapshot
    }

    #[test]
    fn says_both_times() {
        assert_eq!(
            says(CHECK, &with("5", 22.4)),
            [
                "Targets of api get 5 s to drain, and the slowest request of the last hour took 23 s: deployments and scale-in cut such requests off."
            ]
        );
    }

    #[test]
    fn a_short_delay_is_fine_for_quick_requests() {
        assert!(says(CHECK, &with("5", 0.4)).is_empty());
        assert!(says(CHECK, &with("0", 0.0)).is_empty(), "no request at all");
    }

    #[test]
    fn slow_requests_are_fine_with_a_long_delay() {
        assert!(says(CHECK, &with("300", 58.0)).is_empty());
    }

    #[test]
    fn of_tcp_nobody_knows_how_long_it_takes() {
        let mut snapshot = with("5", 22.4);
        snapshot.target_groups.change(&id::group("api")).unwrap().protocol = Some("TCP".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_is_not_quick() {
        let mut snapshot = with("5", 22.4);
        snapshot
            .metrics
            .insert(Metric::ResponseTime.of(&id::group("api")), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
