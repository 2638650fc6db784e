//! A listener rule still sends its traffic to the target group of a pair that the tasks have left.
//! ECS moves the weights of its own rule only, so a rule for another host stays behind after each
//! deployment.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, Dead, Forward, GroupState};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Target;
use crate::text::count;

crate::check! {
    /// A listener rule sends all its traffic to the one of two target groups that has no usable
    /// target, while the tasks are registered in the other one.
    ///
    /// # Why it matters
    ///
    /// Requests that match this rule get 503, while those for another host work. It happens to a
    /// custom domain on an Express service, after each deployment that swaps the two groups; and to
    /// ECS's own rule if Terraform resets its weights.
    ///
    /// # How we tell
    ///
    /// Every group that the rule gives a weight above 0 has no registered target, or only unused or
    /// draining ones, and the tasks are in another group: in the other one of the pair, or in a
    /// group of the service that the rule gives weight 0. Its targets are healthy; or, if the
    /// newest deployment succeeded, unhealthy, or unused only because no rule forwards to them, as
    /// after a stack update that wrote the template's action into ECS's own rule. While a
    /// deployment is under way, that group must also get traffic from ECS's own rule: before the
    /// shift, waiting there is normal.
    ///
    /// # What to do
    ///
    /// Give all the rule's weight to the group that has the tasks, and automate that after each
    /// deployment: an EventBridge rule on `SERVICE_DEPLOYMENT_IN_PROGRESS` that copies the weights,
    /// or CloudFront in front of ECS's own host name.
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --actions 'Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=<live>,Weight=100},{TargetGroupArn=<idle>,Weight=0}]}'
    /// ```
    ///
    /// Terraform/OpenTofu: `lifecycle { ignore_changes = [action] }` in `aws_lb_listener_rule`, so
    /// that Terraform does not reset the weights.
    ///
    /// # See also
    ///
    /// `balancer_answers_503`, `traffic_split_over_empty_group`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>
    title: "A rule sends its traffic to the empty one of two target groups",
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
    let forwards = traffic::forwards(patient)?;
    for forward in &forwards {
        let mut dead = Vec::new();
        for share in forward.live() {
            dead.extend(findings.see(Dead::of(patient, share)).flatten());
        }
        if dead.is_empty() || dead.len() < forward.live().count() {
            continue;
        }
        let rest = findings.see(Rest::of(patient)).unwrap_or(Rest::None);
        if let Some(serving) =
            findings.see(serving_half(patient, &forwards, forward, rest)).flatten()
        {
            findings.add(finding(&forwards, forward, &dead, &serving));
        }
    }
    Ok(())
}

/// Whether ECS has left the tasks where they are.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    /// A deployment is under way, or that is not known.
    None,
    /// The newest deployment failed, and may have left tasks where they never got traffic.
    AfterFailure,
    AfterSuccess,
}

impl Rest {
    fn of(patient: &Patient) -> Result<Rest, Blind> {
        Ok(match rollout::newest(patient)? {
            Some(newest) if rollout::is_under_way(newest) => Rest::None,
            Some(newest) if newest.status != "SUCCESSFUL" => Rest::AfterFailure,
            // ECS forgets deployments after 90 days.
            Some(_) | None => Rest::AfterSuccess,
        })
    }
}

/// The group that has the tasks and should have the rule's traffic: the other half of a pair, or a
/// group of the service that the rule knows and gives no weight. Unless ECS is at rest, its own
/// rule has to say so too. Tasks that do not answer may be why a deployment never moved the traffic
/// to them: then the rule is not the problem.
fn serving_half<'a>(
    patient: &Patient<'a>,
    forwards: &[Forward<'a>],
    forward: &Forward<'a>,
    rest: Rest,
) -> Result<Option<Half<'a>>, Blind> {
    let live: BTreeSet<&str> = forward.live().map(|share| share.group).collect();
    let own = traffic::groups(patient)?;
    let mut candidates: Vec<(&str, bool)> = Vec::new();
    for group in &live {
        candidates.extend(traffic::pair(patient, group)?.into_iter().map(|half| (half, true)));
    }
    candidates.extend(forward.shares.iter().map(|share| (share.group, false)));
    for (group, paired) in candidates {
        let has_traffic = managed(forwards, group).is_some();
        if live.contains(group) || !own.contains(group) || (rest == Rest::None && !has_traffic) {
            continue;
        }
        let targets = patient.targets(group)?;
        let had_traffic = has_traffic || rest == Rest::AfterSuccess;
        let has_tasks = match GroupState::of(targets) {
            GroupState::Serves => true,
            GroupState::FailsOpen => had_traffic,
            GroupState::Unused => had_traffic && targets.iter().all(lacks_rule),
            GroupState::Warming
            | GroupState::Draining
            | GroupState::Empty
            | GroupState::Unknown => false,
        };
        if has_tasks {
            return Ok(Some(Half { group, targets, paired }));
        }
    }
    Ok(None)
}

/// Where the tasks are.
struct Half<'a> {
    group: &'a str,
    targets: &'a [Target],
    /// It is the other half of the pair, rather than a group that the rule gives no weight.
    paired: bool,
}

impl Half<'_> {
    /// The state that most of its targets have, or should have: `2 healthy targets`.
    fn words(&self) -> String {
        let state = self.telling().map_or("healthy", |target| target.state.as_str());
        let alike = self.targets.iter().filter(|target| target.state == state).count();
        let name = traffic::group_name(self.group);
        let who = if self.paired {
            format!("The other target group, {name},")
        } else {
            format!("Target group {name}, to which the rule gives no weight,")
        };
        match state {
            "unused" => format!(
                "{who} has {} and no rule that forwards to it",
                count(alike, "registered target")
            ),
            state => format!("{who} has {}", count(alike, &format!("{state} target"))),
        }
    }

    /// The best target.
    fn telling(&self) -> Option<&Target> {
        ["healthy", "unavailable", "unhealthy", "unused"]
            .into_iter()
            .find_map(|state| self.targets.iter().find(|target| target.state == state))
    }
}

/// Whether a target is unused only because no rule forwards to it.
fn lacks_rule(target: &Target) -> bool {
    target.state == "unused"
        && target
            .description
            .as_deref()
            .is_some_and(|why| why.contains("not configured to receive traffic"))
}

/// ECS's own rule that gives a group traffic.
fn managed<'w, 'a>(forwards: &'w [Forward<'a>], group: &str) -> Option<&'w Forward<'a>> {
    forwards
        .iter()
        .find(|forward| forward.managed && forward.live().any(|share| share.group == group))
}

fn finding(forwards: &[Forward], forward: &Forward, dead: &[Dead], half: &Half) -> Finding {
    let why: Vec<String> = dead.iter().map(Dead::words).collect();
    let serving = half.group;
    let reason = match managed(forwards, serving) {
        Some(_) => "ECS moved the traffic there with its own rule and does not change this one.",
        None => "No deployment is under way that would move the traffic there.",
    };
    let claim = format!(
        "the rule for {} sends all its traffic where no target answers: {}",
        forward.name(),
        why.join("; ")
    );
    let other_half = format!("{}. {reason}", half.words());
    let weights: Vec<(&str, i32)> = match managed(forwards, serving) {
        Some(managed) => managed.shares.iter().map(|share| (share.group, share.weight)).collect(),
        None => [(serving, 100)]
            .into_iter()
            .chain(dead.iter().map(|dead| (dead.share.group, 0)))
            .collect(),
    };
    let others = if forward.rule.actions.len() > 1 {
        " Add the rule's other actions to the command: it replaces all of them."
    } else {
        ""
    };
    let remedy = Remedy::new(format!(
        "Send the rule's traffic to {}, and update the rule after each deployment.{others}",
        traffic::group_name(serving)
    ))
    .cli(forward.set_weights(&weights))
    .terraform(forward.weights_in_terraform(&weights));
    let [weight, state] = dead[0].evidence(forward.rule);
    let telling = half.telling().map(|target| {
        Evidence::new(Call::DescribeTargetHealth, serving, "TargetHealth.State", &target.state)
    });
    Subject::new(Kind::ListenerRule, &forward.rule.rule_arn)
        .sick(claim, weight)
        .detail(other_half)
        .because(state)
        .because_all(dead.iter().skip(1).flat_map(|dead| dead.evidence(forward.rule)))
        .because_all(telling)
        .mend(remedy)
        .concerns(Kind::ListenerRule, &forward.rule.rule_arn)
        .concerns(Kind::TargetGroup, serving)
        .concerns_all(Kind::TargetGroup, dead.iter().map(|dead| dead.share.group))
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
                "The rule for www.example.com sends all its traffic where no target answers: target group ecs-gateway-tg-1a2b3c4d5e6f70002 has no registered target. The other target group, ecs-gateway-tg-1a2b3c4d5e6f70001, has 2 healthy targets. ECS moved the traffic there with its own rule and does not change this one."
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

    /// A stack update wrote the template's group into ECS's own rule.
    fn reset(half: Vec<Target>) -> Snapshot {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        rule(&mut snapshot, EXPRESS_HOST).actions = vec![forward(&[(&idle, 100)])];
        snapshot.target_health.put(&live, half);
        snapshot
    }

    fn unused(description: &str) -> Target {
        Target {
            reason: Some("Target.NotInUse".into()),
            description: Some(description.into()),
            ..target("10.0.1.21", 8080, "eu-west-2a", "unused")
        }
    }

    #[test]
    fn targets_that_are_unused_for_want_of_a_rule_are_where_it_should_lead() {
        let no_rule = "Target group is not configured to receive traffic from the load balancer";
        let snapshot = reset(vec![unused(no_rule)]);
        let found = says(CHECK, &snapshot);
        assert!(
            found[0].contains("has 1 registered target and no rule that forwards to it."),
            "{found:?}"
        );
        let no_zone = "Target is in an Availability Zone that is not enabled for the load balancer";
        assert!(says(CHECK, &reset(vec![unused(no_zone)])).is_empty(), "a rule would not help");
        let mut deploying = snapshot;
        deploy(&mut deploying);
        assert!(says(CHECK, &deploying).is_empty(), "they wait for the shift");
    }

    #[test]
    fn another_trouble_of_the_tasks_does_not_hide_the_rule() {
        let failing = unhealthy("10.0.1.30", 8080, "Target.Timeout", "Request timed out");
        let mut snapshot = reset(vec![failing]);
        let found = says(CHECK, &snapshot);
        assert!(found[0].contains("has 1 unhealthy target."), "{found:?}");
        let service = snapshot.services[0].service_arn.clone();
        let newest = &mut snapshot.service_deployments.change(&service).unwrap()[0];
        newest.status = "ROLLBACK_FAILED".into();
        assert!(
            says(CHECK, &snapshot).is_empty(),
            "they never answered, so ECS never moved the traffic"
        );
    }

    #[test]
    fn a_group_of_no_version_that_a_rule_kept_is_as_dead_as_a_half() {
        let mut snapshot = (CHECK.example)();
        let [live, idle] = express_groups();
        let former = baseline::id::group("former");
        rule(&mut snapshot, "www.example.com").actions =
            vec![forward(&[(&live, 0), (&former, 100)])];
        snapshot.target_health.put(&former, Vec::new());
        deploy(&mut snapshot);
        let found = exam(CHECK, &snapshot).findings;
        assert!(found[0].says().contains("to which the rule gives no weight,"), "{found:?}");
        rule(&mut snapshot, "www.example.com").actions =
            vec![forward(&[(&live, 0), (&former, 100), (&idle, 0)])];
        rule(&mut snapshot, EXPRESS_HOST).actions = vec![forward(&[(&idle, 100)])];
        assert!(says(CHECK, &snapshot).is_empty(), "ECS is on its way elsewhere");
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
