//! Every rule that names the service's target groups gives them the weight 0, so that another group
//! gets all requests. An empty group is for other checks, and so is a pair of which the other group
//! has the traffic.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::{self, Forward};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::text::and_list;

crate::check! {
    /// The rules that forward to the service's target groups give them weight 0, and another group
    /// gets every request.
    ///
    /// # Why it matters
    ///
    /// The tasks run and are healthy, and no request reaches them: something else answers, such as
    /// a forgotten maintenance page, or the other one of two services.
    ///
    /// # How we tell
    ///
    /// In every rule that names a target group of the service, all of these groups have weight 0,
    /// and some other group has more and a target that gets the requests. As long as one rule sends
    /// some requests to one of the groups, nothing is said; nor where CodeDeploy or an external
    /// controller deploys, for which the service may name outdated groups.
    ///
    /// # What to do
    ///
    /// If the service should get the requests, give its target group the weight:
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --actions Type=forward,TargetGroupArn=<target group>
    /// aws elbv2 modify-listener --listener-arn <listener> --default-actions Type=forward,TargetGroupArn=<target group>
    /// ```
    ///
    /// Terraform/OpenTofu: `weight` of each `target_group` in the `forward` of
    /// `aws_lb_listener_rule` or `aws_lb_listener`.
    ///
    /// # See also
    ///
    /// `rule_points_at_empty_group`, `no_rule_matches`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>
    title: "The rules give the service's target group weight 0",
    severity: High,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer, DeployedByEcs],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth],
    example: on fargate, |snapshot| {
        use crate::baseline::{forward, id, target};
        let maintenance = id::group("maintenance");
        snapshot.target_health.put(&maintenance, vec![target("10.0.1.90", 8080, "eu-west-2a", "healthy")]);
        let listener = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = listener.and_then(|listener| snapshot.rules.change(&listener)) {
            rules[0].actions = vec![forward(&[(&id::group("api"), 0), (&maintenance, 100)])];
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let own = traffic::groups(patient)?;
    let forwards = traffic::forwards(patient)?;
    if forwards.iter().flat_map(Forward::live).any(|share| own.contains(share.group)) {
        return Ok(());
    }
    for forward in &forwards {
        if findings.see(somebody_else_serves(patient, forward)) == Some(true) {
            findings.add(finding(patient, forward, own.iter().copied().collect())?);
        }
    }
    Ok(())
}

/// Whether a group that gets requests by this rule has somewhere to send them.
fn somebody_else_serves(patient: &Patient, forward: &Forward) -> Result<bool, Blind> {
    for share in forward.live() {
        if !traffic::state(patient, share.group)?.answers_503() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn finding(patient: &Patient, forward: &Forward, own: Vec<&str>) -> Result<Finding, Blind> {
    let named = forward.shares.iter().filter(|share| own.contains(&share.group));
    let named: Vec<&str> = named.map(|share| share.group).collect();
    let others: Vec<String> = forward
        .live()
        .map(|share| {
            format!(
                "{} ({})",
                traffic::group_name(share.group),
                traffic::percent_words(share.percent)
            )
        })
        .collect();
    let claim = format!(
        "the rule for {} gives target group {} weight 0 and sends every request to {}: the service gets none",
        forward.name(),
        and_list(named.iter().map(|group| traffic::group_name(group))),
        and_list(others)
    );
    let weight = |value: i32| {
        Evidence::new(
            Call::DescribeRules,
            &forward.rule.rule_arn,
            "ForwardConfig.TargetGroups.Weight",
            value,
        )
    };
    // Of a pair, the group with healthy targets is the one that can take the requests.
    let mut live = None;
    for group in &named {
        if !traffic::state(patient, group)?.answers_503() {
            live = live.or(Some(*group));
        }
    }
    let live = live.or(named.first().copied()).unwrap_or_default();
    let weights: Vec<(&str, i32)> = forward
        .shares
        .iter()
        .map(|share| (share.group, if share.group == live { 100 } else { 0 }))
        .collect();
    let remedy = Remedy::new(
        "If the service should get the requests, give its target group the weight. If the other group should get them, remove the service's group from the rule.",
    )
    .cli(forward.set_weights(&weights))
    .terraform(forward.weights_in_terraform(&weights));
    Ok(Subject::new(Kind::ListenerRule, &forward.rule.rule_arn)
        .sick(claim, weight(0))
        .because_all(forward.live().map(|share| weight(share.weight)))
        .mend(remedy)
        .concerns(Kind::ListenerRule, &forward.rule.rule_arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, id, target};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Rule, Snapshot};
    use crate::testing::{exam, says};

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    #[test]
    fn names_the_group_its_weight_and_who_gets_the_requests() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The rule for api.example.com gives target group api weight 0 and sends every request to maintenance (100 %): the service gets none."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings.remove(0).remedy;
        let group = id::group("api");
        assert!(remedy.shell()[0].contains(&format!("{{TargetGroupArn={group},Weight=100}}")));
    }

    #[test]
    fn one_rule_that_sends_a_little_is_enough() {
        let mut snapshot = (CHECK.example)();
        let group = id::group("api");
        rules(&mut snapshot)[0].actions =
            vec![forward(&[(&group, 1), (&id::group("maintenance"), 99)])];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot).insert(1, host_rule("other", "30", "a.b", forward(&[(&group, 1)])));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_idle_half_of_a_pair_is_meant_to_have_no_weight() {
        assert_eq!(exam(CHECK, &baseline::express()).outcome, Outcome::Healthy);
    }

    #[test]
    fn who_answers_no_request_is_for_another_check_and_who_is_not_seen_for_nobody() {
        let mut snapshot = (CHECK.example)();
        snapshot.target_health.put(id::group("maintenance"), Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot
            .target_health
            .put(id::group("maintenance"), vec![target("i-1", 80, "eu-west-2a", "unhealthy")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "it gets them all the same");
        snapshot.target_health.insert(id::group("maintenance"), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn codedeploy_moves_between_groups_that_the_service_does_not_name() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_controller = Some("CODE_DEPLOY".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
