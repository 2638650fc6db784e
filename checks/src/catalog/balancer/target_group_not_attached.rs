//! The service registers its tasks in a target group that no load balancer forwards to.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::{aws, hcl};

crate::check! {
    /// No listener of any load balancer forwards to the service's target group.
    ///
    /// # Why it matters
    ///
    /// No request reaches the tasks through this group. Its targets stay `unused`: the load
    /// balancer does not health-check them, so failing ones go unnoticed, and a deployment that
    /// waits for healthy targets never ends. Often the group was created and the listener rule
    /// forgotten.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetGroups` gives an empty list of `LoadBalancerArns`, and no rule of the
    /// service's load balancers forwards to the group. The idle target group of a blue/green pair
    /// may be detached between deployments: as long as the other one is attached, that is normal.
    /// Where CodeDeploy or an external controller deploys, the service may name outdated groups,
    /// and nothing is said.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws elbv2 create-rule --listener-arn <listener> --priority <number> \
    ///   --conditions Field=host-header,Values=<host> --actions Type=forward,TargetGroupArn=<arn>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener_rule` whose `action` forwards to the group; for a
    /// network load balancer the `default_action` of its `aws_lb_listener`.
    ///
    /// # See also
    ///
    /// `targets_unused`, `target_group_missing`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "No load balancer forwards to the service's target group",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnused, DeploymentStuck],
    applies: [BehindLoadBalancer, DeployedByEcs],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, target};
        let group = id::group("api");
        snapshot.target_groups.change(&group).into_iter().for_each(|group| group.load_balancer_arns.clear());
        let listeners: Vec<String> = snapshot.rules.0.keys().cloned().collect();
        for listener in &listeners {
            snapshot.rules.change(listener).into_iter().for_each(|rules| rules.retain(|rule| rule.is_default));
        }
        let unused = |address, zone| crate::snapshot::Target {
            reason: Some("Target.NotInUse".into()),
            description: Some("Target group is not configured to receive traffic from the load balancer".into()),
            ..target(address, 8080, zone, "unused")
        };
        snapshot.target_health.put(group, vec![unused("10.0.1.21", "eu-west-2a"), unused("10.0.2.22", "eu-west-2b")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(detached) = findings.see(is_detached(patient, group)) else { continue };
        if !detached || findings.see(other_half_is_attached(patient, group)) != Some(false) {
            continue;
        }
        let name = traffic::group_name(group);
        let remedy = Remedy::new(
            "Forward to the group in a listener rule; on a network load balancer, in a listener.",
        )
        .cli(aws!(
            "elbv2 create-rule --listener-arn $LISTENER_ARN --priority $PRIORITY \
             --conditions Field=host-header,Values=$HOST_NAME \
             --actions Type=forward,TargetGroupArn={}",
            group
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb_listener_rule" "this" {
              listener_arn = aws_lb_listener.https.arn
              action {
                type             = "forward"
                target_group_arn = {}
              }
              condition {
                host_header {
                  values = ["<host>"]
                }
              }
            }"#,
            group
        ));
        let claim = format!(
            "no load balancer forwards to target group {name}, so no request reaches the service through it"
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::new(Call::DescribeTargetGroups, group, "LoadBalancerArns", "[]"),
                )
                .mend(remedy)
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?),
        );
    }
    Ok(())
}

/// A group that is gone is not detached.
fn is_detached(patient: &Patient, group: &str) -> Result<bool, Blind> {
    match patient.target_group(group)? {
        Some(group) => Ok(traffic::balancers_of(patient, group)?.is_empty()),
        None => Ok(false),
    }
}

fn other_half_is_attached(patient: &Patient, group: &str) -> Result<bool, Blind> {
    for half in traffic::pair(patient, group)?.into_iter().filter(|half| *half != group) {
        if !is_detached(patient, half)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    #[test]
    fn names_the_group() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No load balancer forwards to target group api, so no request reaches the service through it."
            ]
        );
    }

    #[test]
    fn the_idle_half_of_a_pair_may_be_detached() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        snapshot.target_groups.change(&idle).unwrap().load_balancer_arns.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.target_groups.insert(live, Seen::No(Why::Denied("no".into())));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "who knows about the other half"
        );
    }

    #[test]
    fn a_pair_that_is_detached_as_a_whole_is_none() {
        let mut snapshot = baseline::express();
        for half in express_groups() {
            snapshot.target_groups.change(&half).unwrap().load_balancer_arns.clear();
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "a rule forwards to them");
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.put(listener, Vec::new());
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 2);
    }

    #[test]
    fn codedeploy_moves_between_groups_that_the_service_does_not_name() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_controller = Some("CODE_DEPLOY".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_rule_that_was_seen_is_believed_before_an_empty_list() {
        let snapshot = baseline::request_path::second_group("admin");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut hidden = snapshot.clone();
        hidden.rules.0.values_mut().for_each(|rules| *rules = Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &hidden).outcome, Outcome::CouldNotLook);
        let mut without = snapshot;
        without.rules.0.values_mut().for_each(|rules| {
            if let Seen::Yes(Some(rules)) = rules {
                rules.retain(|rule| rule.priority != "20");
            }
        });
        assert!(
            says(CHECK, &without)[0].starts_with("No load balancer forwards to target group admin")
        );
    }

    #[test]
    fn a_group_that_is_gone_is_for_another_check() {
        let mut snapshot = baseline::fargate();
        snapshot.target_groups.insert(baseline::id::group("api"), Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
