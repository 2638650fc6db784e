//! The group that gets the traffic has no registered target, so the load balancer has nowhere to
//! send a request. Why the group is empty is for other checks to say.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, GroupState};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// The target group that a listener rule sends the traffic to has no registered target, or only
    /// targets that are on their way out.
    ///
    /// # Why it matters
    ///
    /// A load balancer without a target answers every request itself, with 503. The tasks may look
    /// fine meanwhile: they are replaced, or registered in the other half of a blue/green pair.
    ///
    /// # How we tell
    ///
    /// A rule forwards to the group with a weight above 0, and `DescribeTargetHealth` lists no
    /// target for it, or only draining ones. The idle half of a pair, with weight 0 in every rule,
    /// is meant to be empty and is not reported; nor is a deployment that is younger than three
    /// minutes.
    ///
    /// # What to do
    ///
    /// The remedy is in the cause. Look again with
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
    title: "The group that gets the traffic has no target",
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
    // Whether something is registered behind a front that is not read, nobody knows.
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
                        "target group {name} gets {:.0} % of the traffic of {}, and all of its {} targets are draining",
                        share.percent,
                        forward.name(),
                        targets.len()
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
                "Mend what keeps tasks from being registered; then a target appears here.",
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
