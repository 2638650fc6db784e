//! The target group that gets the traffic has no registered target, so the load balancer has
//! nowhere to send a request. Other checks tell why it is empty.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, GroupState};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::plural;

crate::check! {
    /// The target group that a listener rule sends the traffic to has no registered target, or only
    /// draining ones.
    ///
    /// # Why it matters
    ///
    /// A load balancer without a target returns 503 for every request. The tasks may look healthy
    /// meanwhile: they are being replaced, or registered in the other target group of a blue/green
    /// pair.
    ///
    /// # How we tell
    ///
    /// A rule forwards to the group with a weight above 0, and `DescribeTargetHealth` lists no
    /// target for it, or only draining ones. The idle group of a pair, with weight 0 in every rule,
    /// is expected to be empty and is not reported; nor is a deployment younger than three minutes.
    ///
    /// # What to do
    ///
    /// The cause has the fix. Look again with
    ///
    /// ```sh
    /// aws elbv2 describe-target-health --target-group-arn <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `balancer_answers_503`, `rule_points_at_empty_group`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The target group that gets the traffic has no target",
    severity: Critical,
    role: Symptom,
    shows: NoTarget,
    explains: [BalancerAnswers503, ConnectionsReset],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth],
    example: on fargate, |snapshot| {
        snapshot.target_health.put(crate::baseline::id::group("api"), Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    // Whether something is registered behind a load balancer that is not read is not known.
    for front in traffic::unread(patient) {
        findings.see::<()>(Err(front.blind()));
    }
    if traffic::groups(patient)?.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    if rollout::just_began(patient) {
        return Ok(());
    }
    for forward in traffic::forwards(patient)? {
        for share in forward.live() {
            let state = traffic::state(patient, share.group);
            let (Some(targets), Some(state)) =
                (findings.see(patient.targets(share.group)), findings.see(state))
            else {
                continue;
            };
            let name = traffic::group_name(share.group);
            let (claim, evidence) = match state {
                GroupState::Empty => (
                    format!(
                        "target group {name} gets {:.0} % of the traffic of {} and has no registered target",
                        share.percent,
                        forward.name()
                    ),
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        share.group,
                        "TargetHealthDescriptions",
                        "[]",
                    ),
                ),
                GroupState::Draining => (
                    format!(
                        "target group {name} gets {:.0} % of the traffic of {}, and {} draining",
                        share.percent,
                        forward.name(),
                        plural(
                            targets.len(),
                            "its only target is".to_owned(),
                            format!("all of its {} targets are", targets.len())
                        )
                    ),
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        share.group,
                        "TargetHealth.State",
                        &targets[0].state,
                    ),
                ),
                GroupState::Serves
                | GroupState::FailsOpen
                | GroupState::Warming
                | GroupState::Unused
                | GroupState::Unknown => continue,
            };
            let see_again = Remedy::new(
                "Fix what keeps tasks from being registered; then a target appears here.",
            )
            .cli(patient.see(Call::DescribeTargetHealth, share.group));
            findings.add(
                Subject::new(Kind::TargetGroup, share.group)
                    .sick(claim, evidence)
                    .because(Evidence::new(
                        Call::DescribeRules,
                        &forward.rule.rule_arn,
                        "ForwardConfig.TargetGroups.Weight",
                        share.weight,
                    ))
                    .mend(see_again)
                    .concerns(Kind::TargetGroup, share.group)
                    .concerns(Kind::ListenerRule, &forward.rule.rule_arn),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, minutes_ago};
    use crate::snapshot::{Snapshot, Target};
    use crate::testing::says;

    fn with_states(states: &[&str]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let target = |state: &&str| Target {
            id: "10.0.1.21".into(),
            port: Some(8080),
            state: (*state).into(),
            ..Target::default()
        };
        snapshot.target_health.put(id::group("api"), states.iter().map(target).collect());
        snapshot
    }

    #[test]
    fn a_target_that_may_serve_soon_or_fails_its_checks_is_a_target() {
        for states in [&["initial"][..], &["unhealthy"], &["draining", "healthy"]] {
            assert!(says(CHECK, &with_states(states)).is_empty(), "{states:?}");
        }
        for states in [&[][..], &["draining"]] {
            assert_eq!(says(CHECK, &with_states(states)).len(), 1, "{states:?}");
        }
    }

    #[test]
    fn a_service_that_was_made_just_now_has_no_target_yet() {
        let mut snapshot = with_states(&[]);
        snapshot.services[0].deployments.truncate(1);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(1));
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
