//! The production rule is not in the state that the deployment strategy needs: both target groups
//! of the pair get traffic, or one is in no rule, or a foreign one is in it. A rule that sends
//! clients nowhere is for the load balancer checks to report.

use crate::aws::rollback_reason::{Reason, RuleFault};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollback;
use crate::facts::deployment::rollout::{self, Strategy};
use crate::facts::inbound::traffic::{self, Forward, group_name, percent_words};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::text::and_list;

crate::check! {
    /// A blue/green, linear or canary deployment cannot move its traffic, because the listener rule
    /// is not in the state that it needs.
    ///
    /// # Why it matters
    ///
    /// ECS checks the rule before it moves traffic, and fails the deployment if the rule does not
    /// fit. Every further deployment fails in the same way, until somebody corrects the rule.
    ///
    /// # How we tell
    ///
    /// A rollback of the newest deployment began "because of invalid networking configuration", and
    /// AWS's message says what is wrong: two target groups get traffic, a target group of the pair
    /// is in no rule, another group is in it, or the rule does not exist. Or a deployment is under
    /// way, has not begun to move traffic, and its production rule already gives both groups a
    /// weight above 0: left over from a deployment that somebody interrupted, or set by hand.
    ///
    /// # What to do
    ///
    /// Send all the traffic to the target group that serves it now, then deploy again:
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --actions 'Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=<live>,Weight=100},{TargetGroupArn=<other>,Weight=0}]}'
    /// ```
    ///
    /// Terraform/OpenTofu: `alternate_target_group_arn`, `production_listener_rule` and
    /// `test_listener_rule` in `advanced_configuration` of the service's `load_balancer`; and
    /// `lifecycle { ignore_changes = [action] }` in `aws_lb_listener_rule`, so that applying it
    /// does not undo what ECS has set.
    ///
    /// # See also
    ///
    /// `traffic_split_over_empty_group`, `infrastructure_role_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html>
    title: "The production listener rule does not fit the deployment strategy",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck, RolledBack, RollbackFailed],
    applies: [DeployedByEcs],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules,
        DescribeTargetHealth,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, forward, id, minutes_ago, roll_out};
        use crate::snapshot::deployment::Rollback;
        let [live, idle] = express_groups();
        let listener = id::elb("listener/app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188/f2f7dc8efc522ab2");
        let mut rule = String::new();
        if let Some(rules) = snapshot.rules.change(&listener) {
            rules[0].actions = vec![forward(&[(&live, 950), (&idle, 50)])];
            rule = rules[0].rule_arn.clone();
        }
        roll_out(snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.status_reason = Some(format!(
                "Service deployment rolled back because of invalid networking configuration. productionListenerRule {rule} should have exactly one \
                 target group serving traffic but found 2 target groups which are serving traffic"
            ));
            deployment.rollback = Some(Rollback { started_at: Some(minutes_ago(38)), ..Rollback::default() });
        });
    },
}

/// Stages before any traffic is moved.
const BEFORE_SHIFT: [&str; 4] = ["RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP"];

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::newest(patient)? else { return Ok(()) };
    if rollback::began(deployment) {
        let told =
            rollback::reasons(patient, deployment).into_iter().find_map(|(reason, evidence)| {
                match reason {
                    Reason::Rule(fault) => Some((fault, evidence)),
                    _ => None,
                }
            });
        if let Some((fault, evidence)) = told {
            let forwards = findings.see(traffic::forwards(patient)).unwrap_or_default();
            let what = format!("failed because its listener rules do not fit: {}", words(fault));
            tell(
                patient,
                findings,
                deployment,
                &what,
                evidence,
                forwards.iter().find(|forward| forward.managed),
            );
        }
    } else if may_meet_leftovers(deployment) {
        let forwards = traffic::forwards(patient)?;
        if let Some(forward) =
            forwards.iter().find(|forward| forward.managed && forward.live().count() > 1)
        {
            let stage = rollout::evidence(
                deployment,
                "lifecycleStage",
                deployment.lifecycle_stage.as_deref().unwrap_or_default(),
            );
            tell(
                patient,
                findings,
                deployment,
                "has not begun to move traffic, but two target groups already get some",
                stage,
                Some(forward),
            );
        }
    }
    Ok(())
}

fn may_meet_leftovers(deployment: &ServiceDeployment) -> bool {
    let shifts = matches!(
        Strategy::of(&deployment.deployment_configuration),
        Strategy::BlueGreen | Strategy::Linear | Strategy::Canary
    );
    let stage = deployment.lifecycle_stage.as_deref();
    deployment.status == "IN_PROGRESS"
        && shifts
        && stage.is_some_and(|stage| BEFORE_SHIFT.contains(&stage))
}

fn words(fault: RuleFault) -> String {
    match fault {
        RuleFault::BothServe { .. } => {
            "two target groups get traffic where there should be one".into()
        }
        RuleFault::GroupMissing { group } => format!(
            "target group {} is in neither the production nor the test rule",
            group_name(group)
        ),
        RuleFault::PairMissing => {
            "the two target groups of the service are not both in the production or the test rule"
                .into()
        }
        RuleFault::ForeignGroup { group } => format!(
            "it forwards to target group {}, which ECS does not expect there",
            group_name(group)
        ),
        RuleFault::RuleGone => "a rule that the service names does not exist".into(),
        RuleFault::Other("") => "ECS calls the networking configuration invalid".into(),
        RuleFault::Other(why) => format!("ECS says: \"{}\"", why.trim_end_matches('.')),
    }
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
    what: &str,
    evidence: Evidence,
    forward: Option<&Forward>,
) {
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let now = forward.map_or_else(String::new, |forward| {
        format!("Now the rule for {} sends {}.", forward.name(), shares(forward))
    });
    let claim = format!("{} {what}", rollout::name(deployment, brings));
    let weights = forward.into_iter().flat_map(|forward| {
        let of = |share: &traffic::Share| {
            Evidence::new(
                Call::DescribeRules,
                &forward.rule.rule_arn,
                "ForwardConfig.TargetGroups.Weight",
                share.weight,
            )
        };
        forward.shares.iter().map(of).collect::<Vec<_>>()
    });
    let remedy = match forward {
        Some(forward) => put_right(patient, findings, forward, brings),
        None => Remedy::new("Correct the rules: both target groups of the service must be in them, with all the traffic on one.")
            .cli(rollout::see(patient, deployment)),
    };
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, evidence)
            .detail(now)
            .because_all(weights)
            .mend(remedy)
            .since(rollback::started(deployment))
            .concerns_all(Kind::TaskDefinition, brings),
    );
}

/// `95 % to api-a and 5 % to api-b`
fn shares(forward: &Forward) -> String {
    and_list(
        forward.shares.iter().map(|share| {
            format!("{} to {}", percent_words(share.percent), group_name(share.group))
        }),
    )
}

/// Both groups of the pair in the rule, and all the traffic to the one that can serve it; if that
/// cannot be seen, to the one with the larger part of it.
fn put_right(
    patient: &Patient,
    findings: &mut Findings,
    forward: &Forward,
    brings: Option<&str>,
) -> Remedy {
    let pairs = forward
        .shares
        .iter()
        .filter_map(|share| findings.see(traffic::pair(patient, share.group)))
        .filter(|pair| !pair.is_empty());
    let mut groups: Vec<&str> = pairs.take(1).flatten().collect();
    if groups.is_empty() {
        groups = forward.shares.iter().map(|share| share.group).collect();
    }
    let serves = |group: &str| {
        traffic::state(patient, group).map(|state| state == traffic::GroupState::Serves)
    };
    let weight = |group: &str| {
        forward.shares.iter().find(|share| share.group == group).map_or(0, |share| share.weight)
    };
    let candidates: Vec<(bool, i32, &str)> = groups
        .iter()
        .map(|group| (findings.see(serves(group)).unwrap_or_default(), weight(group), *group))
        .collect();
    let Some((_, _, live)) = candidates.iter().max() else {
        return Remedy::new("Send all the traffic to one target group.");
    };
    let weights: Vec<(&str, i32)> =
        groups.iter().map(|group| (*group, if group == live { 100 } else { 0 })).collect();
    let missing =
        groups.iter().find(|group| !forward.shares.iter().any(|share| share.group == **group));
    let what = match missing {
        Some(missing) => format!(
            "Add {} to the rule, next to {}, which keeps all the traffic",
            group_name(missing),
            group_name(live)
        ),
        None => format!("Send all the traffic to {}", group_name(live)),
    };
    let remedy = Remedy::new(format!("{what}; then deploy again."))
        .cli(forward.set_weights(&weights))
        .cli(rollout::again(patient, brings));
    if patient.is_express() {
        remedy
    } else {
        remedy.terraform(forward.weights_in_terraform(&weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, forward, id};
    use crate::exam::Outcome;
    use crate::snapshot::{Action, Snapshot};
    use crate::testing::{exam, newest_deployment, says};

    fn set_action(snapshot: &mut Snapshot, action: Action) {
        let listener = id::elb(
            "listener/app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188/f2f7dc8efc522ab2",
        );
        snapshot.rules.change(&listener).unwrap()[0].actions = vec![action];
    }

    fn under_way(stage: &str, weights: [i32; 2]) -> Snapshot {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        set_action(&mut snapshot, forward(&[(&live, weights[0]), (&idle, weights[1])]));
        baseline::roll_out(&mut snapshot, 6, |deployment| {
            deployment.lifecycle_stage = Some(stage.into())
        });
        snapshot
    }

    #[test]
    fn tells_what_is_wrong_and_what_the_rule_has_now() {
        let exam = exam(CHECK, &(CHECK.example)());
        let expected = format!(
            "The deployment of api:13 failed because its listener rules do not fit: two target groups get traffic where there should be one. Now the rule for {} sends 95 % to ecs-gateway-tg-1a2b3c4d5e6f70001 and 5 % to ecs-gateway-tg-1a2b3c4d5e6f70002.",
            baseline::EXPRESS_HOST
        );
        assert_eq!(exam.findings[0].says(), expected);
        let [live, idle] = express_groups();
        let command = &exam.findings[0].remedy.shell()[0];
        assert!(
            command.contains(&format!(
                "{{TargetGroupArn={live},Weight=100}},{{TargetGroupArn={idle},Weight=0}}"
            )),
            "{command}"
        );
    }

    #[test]
    fn a_group_that_is_in_no_rule_is_put_back_beside_the_one_that_serves() {
        let mut snapshot = (CHECK.example)();
        let [live, idle] = express_groups();
        set_action(&mut snapshot, forward(&[(&live, 1)]));
        newest_deployment(&mut snapshot).status_reason = Some(format!(
            "Service deployment rolled back because of invalid networking configuration. Target group {idle} is not associated with either \
             productionListenerRule or testListenerRule."
        ));
        let remedy = exam(CHECK, &snapshot).findings[0].remedy.clone();
        assert!(
            remedy.summary.starts_with("Add ecs-gateway-tg-1a2b3c4d5e6f70002 to the rule, next to"),
            "{}",
            remedy.summary
        );
        assert!(
            remedy.shell()[0].contains(&format!(
                "{{TargetGroupArn={live},Weight=100}},{{TargetGroupArn={idle},Weight=0}}"
            )),
            "{}",
            remedy.shell()[0]
        );
    }

    #[test]
    fn weights_that_were_left_over_stop_the_next_deployment() {
        let said = says(CHECK, &under_way("SCALE_UP", [950, 50]));
        assert!(
            said[0]
                .contains("has not begun to move traffic, but two target groups already get some"),
            "{said:?}"
        );
        assert_eq!(exam(CHECK, &under_way("SCALE_UP", [100, 0])).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_canary_that_moves_traffic_has_two_weights_on_purpose() {
        for stage in ["PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"] {
            assert_eq!(
                exam(CHECK, &under_way(stage, [950, 50])).outcome,
                Outcome::Healthy,
                "{stage}"
            );
        }
    }

    #[test]
    fn leftover_weights_without_a_deployment_are_for_the_balancer_checks() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        set_action(&mut snapshot, forward(&[(&live, 950), (&idle, 50)]));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn each_documented_fault_has_its_words() {
        let group = id::group("blue");
        let network = "Service deployment rolled back because of invalid networking configuration.";
        let cases = [
            (
                format!(
                    "{network} Target group {group} is not associated with either productionListenerRule or testListenerRule."
                ),
                "group blue is in neither",
            ),
            (
                format!(
                    "{network} Production listener rule is forwarding traffic to unexpected target group {group}. Expected a"
                ),
                "it forwards to target group blue",
            ),
            (
                format!("{network} One or more rules not found"),
                "a rule that the service names does not exist",
            ),
        ];
        for (reason, words) in cases {
            let mut snapshot = (CHECK.example)();
            newest_deployment(&mut snapshot).status_reason = Some(reason);
            assert!(says(CHECK, &snapshot)[0].contains(words), "{:?}", says(CHECK, &snapshot));
        }
    }

    #[test]
    fn another_reason_is_another_matter() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status_reason = Some(
            "Service deployment rolled back because the circuit breaker threshold was exceeded."
                .into(),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status = "SUCCESSFUL".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
