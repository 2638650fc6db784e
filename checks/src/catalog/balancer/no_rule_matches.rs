//! The service's own host matches no rule of the listener any more, so the default action answers for it.

use jiff::SignedDuration;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::{metric, request, traffic};
use crate::seen::Blind;
use crate::snapshot::deployment::IngressPath;
use crate::snapshot::metric::Metric;
use crate::snapshot::{Listener, Rule};

crate::check! {
    /// No rule of the listener takes the host that Express Mode gave to the service, so the listener's default action
    /// answers: with Express Mode a plain 404.
    ///
    /// # Why it matters
    ///
    /// Every request for the service's own URL gets the balancer's 404, and the app never sees it. Somebody changed or
    /// deleted the rule that ECS made.
    ///
    /// # How we tell
    ///
    /// The host is the endpoint of the way in that ECS manages. Every rule of the balancer's listeners is held against it as
    /// Elastic Load Balancing does: without regard to case, with `*` and `?`. A rule without a host condition takes every
    /// host, and regular expressions are not read: with either, nothing is claimed. `HTTP_Fixed_Response_Count` is quoted,
    /// and counts for all services behind the balancer. While ECS makes the rule, it is too early.
    ///
    /// # What to do
    ///
    /// Put the host back into ECS's rule, with your own in a rule beside it (priority 10 or more leaves ECS room):
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --conditions Field=host-header,Values=<endpoint>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener_rule` of your own for your own host; leave ECS's rule out of the code.
    ///
    /// # See also
    ///
    /// `rule_points_at_empty_group`, `managed_resource_failed`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-work.html>
    title: "No listener rule takes the service's host",
    severity: Critical,
    role: Cause,
    explains: [],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetMetricData],
    example: on express, |snapshot| {
        let listener = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = listener.and_then(|listener| snapshot.rules.change(&listener)) {
            rules[0].conditions[0].values = vec!["www.example.com".into()];
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !patient.is_express() {
        return Err(NoAnswer::NotApplicable("not an Express service: which hosts it should have is not known"));
    }
    let mut paths: Vec<(&str, &IngressPath)> = Vec::new();
    for arn in &patient.service().current_service_revisions {
        paths.extend(patient.revision(arn)?.iter().flat_map(|revision| &revision.ingress_paths).map(|path| (arn.as_str(), path)));
    }
    let rules = traffic::all_rules(patient)?;
    for (revision, path) in paths {
        let (Some(endpoint), Some("ACTIVE")) = (path.endpoint.as_deref(), path.rule.as_ref().and_then(|rule| rule.status.as_deref())) else {
            continue;
        };
        if rules.iter().any(|(_, rule)| may_take(rule, endpoint)) {
            continue;
        }
        let Some((listener, default)) = rules.iter().find(|(listener, rule)| rule.is_default && is_of(listener, path)) else { continue };
        let counted = findings.see(counted(patient, listener)).flatten();
        findings.add(finding((revision, path), endpoint, listener, default, counted));
    }
    Ok(())
}

/// Whether a rule takes requests for a host, or may. The default rule takes what nobody wants.
fn may_take(rule: &Rule, endpoint: &str) -> bool {
    let forwards = rule.actions.iter().any(|action| action.kind == "forward");
    (forwards || !rule.is_default) && request::may_take_host(rule, endpoint)
}

fn is_of(listener: &Listener, path: &IngressPath) -> bool {
    path.listener.as_ref().and_then(|managed| managed.arn.as_deref()).is_none_or(|arn| arn == listener.listener_arn)
}

fn counted(patient: &Patient, listener: &Listener) -> Result<Option<metric::Recent>, Blind> {
    metric::recent(patient, Metric::FixedResponses, &listener.load_balancer_arn, SignedDuration::from_mins(15))
}

fn finding((revision, path): (&str, &IngressPath), endpoint: &str, listener: &Listener, default: &Rule, counted: Option<metric::Recent>) -> Finding {
    let action = default.actions.first();
    let answer = match (action.map(|action| action.kind.as_str()), action.and_then(|action| action.status_code.as_deref())) {
        (Some("fixed-response"), Some(code)) => format!("the default action answers {code} by itself"),
        (Some(kind), _) => format!("the default action ({kind}) answers"),
        (None, _) => "the default action answers".to_owned(),
    };
    let mut says = format!(
        "No rule of load balancer {} takes {endpoint}, the service's own host: {answer}.",
        traffic::balancer_name(&listener.load_balancer_arn)
    );
    if let Some(counted) = &counted {
        says += &format!(" It gave {:.0} fixed answers in 15 min, for all services behind it.", counted.sum);
    }
    let rule = path.rule.as_ref().and_then(|rule| rule.arn.as_deref()).unwrap_or("<rule>");
    let remedy = Remedy::new("Put the host back into the rule that ECS made; a host of your own goes into a rule beside it, with a priority of 10 or more.")
        .cli(format!("aws elbv2 modify-rule --rule-arn {rule} --conditions Field=host-header,Values={endpoint}"))
        .terraform(
            "resource \"aws_lb_listener_rule\" \"own_host\" {\n  priority = 10\n  condition {\n    host_header {\n      values = [\"<your host>\"]\n    }\n  }\n}",
        );
    let mut finding = Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(says, Evidence::new(Call::DescribeServiceRevisions, revision, "ingressPaths.endpoint", endpoint));
    if let Some(code) = action.and_then(|action| action.status_code.as_deref()) {
        finding = finding.because(Evidence::new(Call::DescribeRules, &default.rule_arn, "Actions.FixedResponseConfig.StatusCode", code));
    }
    finding.because_all(counted.map(|counted| counted.evidence)).mend(remedy).concerns(Kind::Listener, &listener.listener_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, EXPRESS_HOST, express_groups, forward};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    #[test]
    fn names_host_and_answer() {
        let said = says(CHECK, &(CHECK.example)());
        let expected = format!(
            "No rule of load balancer ecs-express-gateway-alb-1a2b3c4d takes {EXPRESS_HOST}, the service's own host: the default action answers 404 by itself."
        );
        assert_eq!(said, [expected]);
    }

    #[test]
    fn wildcards_and_case_match_as_aws_has_it() {
        for pattern in ["*.ECS.eu-west-2.on.aws", "ap-????????????????????????????????.ecs.eu-west-2.on.aws"] {
            let mut snapshot = (CHECK.example)();
            rules(&mut snapshot)[0].conditions[0].values.push(pattern.into());
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{pattern}");
        }
    }

    #[test]
    fn a_rule_for_every_host_or_a_default_that_forwards_takes_it() {
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot)[0].conditions.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot).last_mut().unwrap().actions = vec![forward(&[(&express_groups()[0], 1)])];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_regular_expression_may_be_the_one() {
        let mut snapshot = (CHECK.example)();
        let condition = &mut rules(&mut snapshot)[0].conditions[0];
        condition.values.clear();
        // AWS does not say whether it has to match the whole host.
        condition.regex_values = vec!["^ap-".into()];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rule_in_the_making_is_too_early() {
        let mut snapshot = (CHECK.example)();
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).unwrap().ingress_paths[0].rule.as_mut().unwrap().status = Some("PROVISIONING".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn nobody_knows_which_hosts_another_service_should_have() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
    }
}
