//! A weighted rule sends a part of its traffic to a group without a usable target, and that part
//! fails. Where the group is the one that the tasks should be in, the rule is right and the tasks
//! are the problem: that is for other checks.

use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, Dead, Forward};
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;

crate::check! {
    /// A weighted rule splits its traffic over several target groups, and one of them has no usable
    /// target.
    ///
    /// # Why it matters
    ///
    /// Weighted rules do not fail over: the part that goes to the empty group gets 503, although
    /// the other group could serve it. It looks like an app that fails now and then.
    ///
    /// # How we tell
    ///
    /// A rule gives several groups a weight above 0; one of them has no registered target, or only
    /// unused or draining ones, and another can answer. The empty group is the one of a pair that
    /// the tasks have left, or another service's. While a deployment is under way, ECS sets the
    /// weights of its own rule, and nothing is said of it.
    ///
    /// # What to do
    ///
    /// Set the weight of the empty group to 0 until it has targets:
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --actions 'Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=<live>,Weight=100},{TargetGroupArn=<empty>,Weight=0}]}'
    /// ```
    ///
    /// Terraform/OpenTofu: `weight` of the `target_group` in the `forward` block of
    /// `aws_lb_listener_rule`.
    ///
    /// # See also
    ///
    /// `balancer_answers_503`, `rule_points_at_empty_group`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>
    title: "A rule sends part of its traffic to a group with no usable target",
    severity: Critical,
    role: Cause,
    explains: [BalancerAnswers503, NoTarget],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeServiceDeployments, DescribeTargetGroups, DescribeListeners, DescribeRules,
        DescribeTargetHealth,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, forward};
        let [live, idle] = express_groups();
        let listener = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = listener.and_then(|listener| snapshot.rules.change(&listener)) {
            rules[0].actions = vec![forward(&[(&live, 950), (&idle, 50)])];
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for forward in traffic::forwards(patient)? {
        let (mut dead, mut answers) = (Vec::new(), false);
        for share in forward.live() {
            match findings.see(Dead::of(patient, share)) {
                Some(Some(share)) => dead.push(share),
                Some(None) => answers = true,
                None => {}
            }
        }
        if !answers
            || dead.is_empty()
            || findings.see(is_ecs_business(patient, &forward)) != Some(false)
        {
            continue;
        }
        dead.retain(|dead| findings.see(is_left(patient, dead.share.group)) == Some(true));
        if !dead.is_empty() {
            findings.add(finding(&forward, &dead));
        }
    }
    Ok(())
}

/// Whether ECS is moving the weights of this rule.
fn is_ecs_business(patient: &Patient, forward: &Forward) -> Result<bool, Blind> {
    Ok(forward.managed && rollout::under_way(patient)?.is_some())
}

/// Whether the service's tasks are not meant to be in this group: they are in the other one of its
/// pair, or it is not the service's.
fn is_left(patient: &Patient, group: &str) -> Result<bool, Blind> {
    for half in traffic::pair(patient, group)?.into_iter().filter(|half| *half != group) {
        if !traffic::state(patient, half)?.answers_503() {
            return Ok(true);
        }
    }
    Ok(!traffic::groups(patient)?.contains(group))
}

fn finding(forward: &Forward, dead: &[Dead]) -> Finding {
    let percent: f64 = dead.iter().map(|dead| dead.share.percent).sum();
    let why: Vec<String> = dead.iter().map(Dead::words).collect();
    let claim = format!(
        "the rule for {} sends {} of its traffic where no target answers: {}",
        forward.name(),
        traffic::percent_words(percent),
        why.join("; ")
    );
    let is_dead = |group: &str| dead.iter().any(|dead| dead.share.group == group);
    let weights: Vec<(&str, i32)> = forward
        .shares
        .iter()
        .map(|share| (share.group, if is_dead(share.group) { 0 } else { share.weight }))
        .collect();
    let others = if forward.rule.actions.len() > 1 {
        " Add the rule's other actions to the command: it replaces all of them."
    } else {
        ""
    };
    let remedy = Remedy::new(format!(
        "Set the weight of the empty group to 0 until it has targets.{others}"
    ))
    .cli(forward.set_weights(&weights))
    .terraform(forward.weights_in_terraform(&weights));
    let [weight, state] = dead[0].evidence(forward.rule);
    Subject::new(Kind::ListenerRule, &forward.rule.rule_arn)
        .sick(claim, weight)
        .detail("Weighted rules do not fail over, so these requests fail.")
        .because(state)
        .because_all(dead.iter().skip(1).flat_map(|dead| dead.evidence(forward.rule)))
        .mend(remedy)
        .concerns(Kind::ListenerRule, &forward.rule.rule_arn)
        .concerns_all(Kind::TargetGroup, dead.iter().map(|dead| dead.share.group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, forward, id, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Rule, Snapshot};
    use crate::testing::{exam, says};

    fn first_rule(snapshot: &mut Snapshot) -> &mut Rule {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        &mut snapshot.rules.change(&listener).unwrap()[0]
    }

    /// A rolling service that shares its host with another one.
    fn shared_host(
        own: Vec<crate::snapshot::Target>,
        other: Vec<crate::snapshot::Target>,
    ) -> Snapshot {
        let mut snapshot = baseline::fargate();
        first_rule(&mut snapshot).actions =
            vec![forward(&[(&id::group("api"), 3), (&id::group("other"), 1)])];
        snapshot.target_health.put(id::group("api"), own);
        snapshot.target_health.put(id::group("other"), other);
        snapshot
    }

    fn healthy() -> Vec<crate::snapshot::Target> {
        vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]
    }

    #[test]
    fn weights_are_told_as_parts_of_the_whole() {
        let found = says(CHECK, &(CHECK.example)());
        assert!(found[0].contains("sends 5 % of its traffic where no target answers"), "{found:?}");
    }

    #[test]
    fn the_remedy_keeps_the_weights_of_the_others() {
        let [live, idle] = express_groups();
        let finding = exam(CHECK, &(CHECK.example)()).findings.remove(0);
        assert!(finding.remedy.shell()[0].contains(&format!(
            "{{TargetGroupArn={live},Weight=950}},{{TargetGroupArn={idle},Weight=0}}"
        )));
    }

    #[test]
    fn while_ecs_shifts_traffic_the_weights_are_its_own() {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&service).unwrap()[0].status = "IN_PROGRESS".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.service_deployments.insert(service, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn unhealthy_targets_still_get_their_part() {
        let mut snapshot = (CHECK.example)();
        let [_, idle] = express_groups();
        snapshot
            .target_health
            .put(idle, vec![unhealthy("10.0.1.30", 8080, "Target.Timeout", "Request timed out")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rule_with_one_live_group_is_no_split() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        first_rule(&mut snapshot).actions = vec![forward(&[(&live, 0), (&idle, 100)])];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn another_services_empty_group_takes_its_part_down() {
        let found = says(CHECK, &shared_host(healthy(), Vec::new()));
        assert!(found[0].contains("sends 25 % of its traffic"), "{found:?}");
    }

    #[test]
    fn where_the_services_own_tasks_are_missing_the_rule_is_right() {
        assert_eq!(exam(CHECK, &shared_host(Vec::new(), healthy())).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_unseen_group_is_not_empty() {
        let mut snapshot = shared_host(healthy(), Vec::new());
        snapshot.target_health.insert(id::group("other"), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
