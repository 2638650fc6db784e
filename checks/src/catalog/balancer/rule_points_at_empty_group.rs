//! A listener rule still sends its traffic to the half of a pair that the tasks have left. ECS
//! moves the weights of its own rule only, so a rule for another host stays behind after each
//! deployment.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, Dead, GroupState, Way};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::text::count;

crate::check! {
    /// A listener rule sends all its traffic to the half of a pair of target groups that has no
    /// usable target, while the tasks are registered in the other half.
    ///
    /// # Why it matters
    ///
    /// Requests that this rule takes get 503, while those for another host work. It happens to a
    /// domain of your own on an Express service, after each deployment that swaps the halves; and
    /// to ECS's own rule if Terraform sets its weights back.
    ///
    /// # How we tell
    ///
    /// Every group that the rule gives a weight above 0 has no registered target, or only unused or
    /// draining ones, and the other half of the pair has a healthy target. While a deployment is
    /// under way, that half must also get traffic from ECS's own rule: before the shift, waiting
    /// there is normal.
    ///
    /// # What to do
    ///
    /// Give the rule the weights of the half that has the tasks, and let whatever manages it follow
    /// each deployment: an EventBridge rule on `SERVICE_DEPLOYMENT_IN_PROGRESS` that copies the
    /// weights, or CloudFront in front of ECS's own host name.
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --actions 'Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=<live>,Weight=100},{TargetGroupArn=<idle>,Weight=0}]}'
    /// ```
    ///
    /// Terraform/OpenTofu: `lifecycle { ignore_changes = [action] }` in `aws_lb_listener_rule`, so
    /// that the code does not set the weights back.
    ///
    /// # See also
    ///
    /// `balancer_answers_503`, `traffic_split_over_empty_group`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>
    title: "A rule sends its traffic to the half of a pair that has no target",
    severity: Critical,
    role: Cause,
    explains: [BalancerAnswers503, NoTarget, TargetsUnused],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeServiceDeployments, DescribeTargetGroups, DescribeListeners, DescribeRules,
        DescribeTargetHealth,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, forward, host_rule, id};
        let [live, idle] = express_groups();
        let rule = id::elb("listener-rule/app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188/f2f7dc8efc522ab2/00000000000000a1");
        let rules = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = rules.and_then(|listener| snapshot.rules.change(&listener)) {
            rules.insert(1, host_rule(&rule, "10", "www.example.com", forward(&[(&idle, 100), (&live, 0)])));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let ways = traffic::ways(patient)?;
    for way in &ways {
        let mut dead = Vec::new();
        for share in way.live() {
            dead.extend(findings.see(Dead::of(patient, share)).flatten());
        }
        if dead.is_empty() || dead.len() < way.live().count() {
            continue;
        }
        let at_rest = findings
            .see(rollout::under_way(patient))
            .is_some_and(|deployment| deployment.is_none());
        if let Some(serving) = findings.see(serving_half(patient, &ways, way, at_rest)).flatten() {
            findings.add(finding(patient, &ways, way, &dead, serving)?);
        }
    }
    Ok(())
}

/// The half of the pair that has the tasks and should have the rule's traffic. Unless ECS is at
/// rest, its own rule has to say so too.
fn serving_half<'a>(
    patient: &Patient<'a>,
    ways: &[Way<'a>],
    way: &Way<'a>,
    at_rest: bool,
) -> Result<Option<&'a str>, Blind> {
    let live: BTreeSet<&str> = way.live().map(|share| share.group).collect();
    for group in &live {
        for half in traffic::pair(patient, group)?.into_iter().filter(|half| !live.contains(half)) {
            if (at_rest || managed(ways, half).is_some())
                && traffic::state(patient, half)? == GroupState::Serves
            {
                return Ok(Some(half));
            }
        }
    }
    Ok(None)
}

/// ECS's own rule that gives a group traffic.
fn managed<'w, 'a>(ways: &'w [Way<'a>], group: &str) -> Option<&'w Way<'a>> {
    ways.iter().find(|way| way.managed && way.live().any(|share| share.group == group))
}

fn finding(
    patient: &Patient,
    ways: &[Way],
    way: &Way,
    dead: &[Dead],
    serving: &str,
) -> Result<Finding, Blind> {
    let why: Vec<String> = dead.iter().map(Dead::words).collect();
    let healthy =
        patient.targets(serving)?.iter().filter(|target| target.state == "healthy").count();
    let reason = match managed(ways, serving) {
        Some(_) => "ECS moved the traffic there with its own rule, and leaves this one as it is.",
        None => "No deployment is under way that would move the traffic there.",
    };
    let claim = format!(
        "the rule for {} sends all its traffic where no target answers: {}",
        way.name(),
        why.join("; ")
    );
    let other_half = format!(
        "The other half, {}, has {}. {reason}",
        traffic::group_name(serving),
        count(healthy, "healthy target")
    );
    let weights: Vec<(&str, i32)> = match managed(ways, serving) {
        Some(managed) => managed.shares.iter().map(|share| (share.group, share.weight)).collect(),
        None => [(serving, 100)]
            .into_iter()
            .chain(dead.iter().map(|dead| (dead.share.group, 0)))
            .collect(),
    };
    let others = if way.rule.actions.len() > 1 {
        " Name the rule's other actions too: the command replaces all of them."
    } else {
        ""
    };
    let remedy = Remedy::new(format!(
        "Send the rule's traffic to {}, and let it follow each deployment.{others}",
        traffic::group_name(serving)
    ))
    .cli(way.set_weights(&weights))
    .terraform(way.weights_in_terraform(&weights));
    let [weight, state] = dead[0].evidence(way.rule);
    Ok(Subject::new(Kind::ListenerRule, &way.rule.rule_arn)
        .sick(claim, weight)
        .detail(other_half)
        .because(state)
        .because_all(dead.iter().skip(1).flat_map(|dead| dead.evidence(way.rule)))
        .because(Evidence::new(
            Call::DescribeTargetHealth,
            serving,
            "TargetHealth.State",
            "healthy",
        ))
        .mend(remedy)
        .concerns(Kind::ListenerRule, &way.rule.rule_arn)
        .concerns(Kind::TargetGroup, serving)
        .concerns_all(Kind::TargetGroup, dead.iter().map(|dead| dead.share.group)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, EXPRESS_HOST, express_groups, forward, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Rule, Snapshot};
    use crate::testing::{exam, says};

    fn rule<'a>(snapshot: &'a mut Snapshot, host: &str) -> &'a mut Rule {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let rules = snapshot.rules.change(&listener).unwrap();
        rules
            .iter_mut()
            .find(|rule| {
                rule.conditions
                    .iter()
                    .any(|condition| condition.values.iter().any(|value| value == host))
            })
            .unwrap()
    }

    fn deploy(snapshot: &mut Snapshot) {
        let service = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&service).unwrap()[0].status = "IN_PROGRESS".into();
    }

    #[test]
    fn names_the_host_both_halves_and_why() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The rule for www.example.com sends all its traffic where no target answers: target group ecs-gateway-tg-1a2b3c4d5e6f70002 has no registered target. The other half, ecs-gateway-tg-1a2b3c4d5e6f70001, has 2 healthy targets. ECS moved the traffic there with its own rule, and leaves this one as it is."
            ]
        );
    }

    #[test]
    fn copies_the_weights_of_ecs_own_rule() {
        let [live, idle] = express_groups();
        let finding = exam(CHECK, &(CHECK.example)()).findings.remove(0);
        assert!(finding.remedy.shell()[0].contains(&format!(
            "{{TargetGroupArn={live},Weight=100}},{{TargetGroupArn={idle},Weight=0}}"
        )));
    }

    #[test]
    fn a_default_rule_is_changed_at_its_listener() {
        let mut snapshot = (CHECK.example)();
        rule(&mut snapshot, "www.example.com").is_default = true;
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .starts_with("aws elbv2 modify-listener --listener-arn ")
        );
    }

    #[test]
    fn other_weights_alone_are_drift_and_no_outage() {
        let mut snapshot = (CHECK.example)();
        let [live, idle] = express_groups();
        rule(&mut snapshot, "www.example.com").actions = vec![forward(&[(&live, 1), (&idle, 0)])];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rule_that_also_leads_to_somebody_who_answers_is_only_a_split() {
        let mut snapshot = (CHECK.example)();
        let [_, idle] = express_groups();
        let other = baseline::id::group("other");
        rule(&mut snapshot, "www.example.com").actions = vec![forward(&[(&idle, 1), (&other, 1)])];
        snapshot
            .target_health
            .put(&other, vec![target("10.0.1.40", 8080, "eu-west-2a", "healthy")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_half_that_answers_though_unhealthy_is_not_empty() {
        let mut snapshot = (CHECK.example)();
        let [_, idle] = express_groups();
        snapshot
            .target_health
            .put(&idle, vec![unhealthy("10.0.1.30", 8080, "Target.Timeout", "Request timed out")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn before_the_shift_the_tasks_wait_in_the_other_half() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        let targets = snapshot.target_health.change(&live).unwrap().split_off(0);
        snapshot.target_health.put(&idle, targets);
        deploy(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn ecs_own_rule_counts_when_no_deployment_will_move_it() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        rule(&mut snapshot, EXPRESS_HOST).actions = vec![forward(&[(&live, 0), (&idle, 100)])];
        let found = says(CHECK, &snapshot);
        assert!(
            found[0].ends_with("No deployment is under way that would move the traffic there."),
            "{found:?}"
        );
        let service = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.insert(service, Seen::No(Why::Denied("no".into())));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "one may be under way, unseen"
        );
    }

    #[test]
    fn during_a_deployment_a_rule_that_stayed_behind_counts() {
        let mut snapshot = (CHECK.example)();
        deploy(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 1);
    }

    #[test]
    fn an_empty_service_has_no_better_half() {
        let mut snapshot = (CHECK.example)();
        let [live, _] = express_groups();
        snapshot.target_health.put(live, vec![target("10.0.1.21", 8080, "eu-west-2a", "draining")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_single_group_has_no_other_half() {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(baseline::id::group("api"), Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
