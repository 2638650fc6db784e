//! Every target of a group is `unused`: registered where the load balancer sends no traffic. The
//! load balancer's words tell whether the group is in no rule, or the zone is not enabled; other
//! checks tell what to change.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, GroupState};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::text::plural;

crate::check! {
    /// The tasks are registered as targets, but every one of them is `unused`: the target group is
    /// in no rule of the load balancer, or the tasks run in a zone that the load balancer does not
    /// serve.
    ///
    /// # Why it matters
    ///
    /// An unused target is not health-checked and gets no requests. If the group is the one that a
    /// rule sends the traffic to, the load balancer answers 503. ECS treats such a target as
    /// unhealthy and replaces its task.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the state `unused` for every target of the group. The idle
    /// target group of a blue/green pair may be detached between deployments: it is not reported
    /// while the other one has targets. Nor is a deployment younger than three minutes.
    ///
    /// # What to do
    ///
    /// The description of the state tells which: forward to the group in a rule, or enable the
    /// zone.
    ///
    /// ```sh
    /// aws elbv2 describe-target-health --target-group-arn <arn>
    /// aws elbv2 set-subnets --load-balancer-arn <arn> --subnets <subnet> <subnet>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener_rule` that forwards to the group, or `subnets` of
    /// `aws_lb`.
    ///
    /// # See also
    ///
    /// `rule_points_at_empty_group`, `balancer_answers_503`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "Every target of the group is unused",
    severity: High,
    role: Symptom,
    shows: TargetsUnused,
    explains: [BalancerAnswers503, TasksKeepStopping],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetHealth],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, target};
        let unused = |address, zone| crate::snapshot::Target {
            reason: Some("Target.NotInUse".into()),
            description: Some("Target is in an Availability Zone that is not enabled for the load balancer".into()),
            ..target(address, 8080, zone, "unused")
        };
        snapshot.target_health.put(id::group("api"), vec![unused("10.0.1.21", "eu-west-2a"), unused("10.0.2.22", "eu-west-2b")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if rollout::just_began(patient) {
        return Ok(());
    }
    for group in traffic::groups(patient)? {
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        if findings.see(traffic::state(patient, group)) != Some(GroupState::Unused) {
            continue;
        }
        // One group of a pair is idle and may be detached: that is expected, as long as the other
        // one works.
        if findings.see(other_half_works(patient, group)) != Some(false) {
            continue;
        }
        let name = traffic::group_name(group);
        let reasons: BTreeSet<&str> =
            targets.iter().filter_map(|target| target.description.as_deref()).collect();
        let mut claim = plural(
            targets.len(),
            format!("the only target in target group {name} is not in use"),
            format!("none of the {} targets in target group {name} is in use", targets.len()),
        );
        for reason in &reasons {
            claim += &format!(": {reason}");
        }
        let remedy = Remedy::new("Forward to this group in a rule, or enable the targets' zone on the load balancer, as the description says.")
            .cli(patient.see(Call::DescribeTargetHealth, group));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        group,
                        "TargetHealth.State",
                        &targets[0].state,
                    ),
                )
                .because_all(reasons.iter().map(|reason| {
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        group,
                        "TargetHealth.Description",
                        reason,
                    )
                }))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?),
        );
    }
    Ok(())
}

fn other_half_works(patient: &Patient, group: &str) -> Result<bool, Blind> {
    for half in traffic::pair(patient, group)?.into_iter().filter(|half| *half != group) {
        if !traffic::state(patient, half)?.answers_503() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, id, minutes_ago, target};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    fn unused() -> crate::snapshot::Target {
        target("10.0.1.21", 8080, "eu-west-2a", "unused")
    }

    #[test]
    fn the_balancers_words_are_in_the_finding() {
        let says = says(CHECK, &(CHECK.example)());
        assert_eq!(
            says,
            [
                "None of the 2 targets in target group api is in use: Target is in an Availability Zone that is not enabled for the load balancer."
            ]
        );
    }

    #[test]
    fn a_target_in_a_state_that_nobody_knows_may_be_in_use() {
        let mut snapshot = baseline::fargate();
        let strange = target("10.0.2.22", 8080, "eu-west-2b", "degraded");
        snapshot.target_health.put(id::group("api"), vec![unused(), strange]);
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.findings.len()), (Outcome::CouldNotLook, 0));
    }

    #[test]
    fn one_usable_target_is_enough() {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(
            id::group("api"),
            vec![unused(), target("10.0.2.22", 8080, "eu-west-2b", "initial")],
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_detached_idle_half_is_normal() {
        let mut snapshot = baseline::express();
        let [_, idle] = express_groups();
        snapshot.target_health.put(&idle, vec![unused()]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn tasks_in_the_wrong_half_are_reported_if_the_other_is_empty() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        snapshot.target_health.put(&live, Vec::new());
        snapshot.target_health.put(&idle, vec![unused()]);
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.findings.len(), 1);
        let of_live = exam.findings[0].clone().concerns(Kind::TargetGroup, &live).scope;
        assert_eq!(
            exam.findings[0].scope, of_live,
            "it explains what goes wrong in the other half"
        );
    }

    #[test]
    fn an_unseen_other_half_may_be_the_one_that_works() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        snapshot.target_health.insert(live, Seen::No(Why::Denied("no".into())));
        snapshot.target_health.put(&idle, vec![unused()]);
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.findings.len()), (Outcome::CouldNotLook, 0));
    }

    #[test]
    fn targets_of_a_fresh_deployment_are_not_in_use_yet() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(1));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
