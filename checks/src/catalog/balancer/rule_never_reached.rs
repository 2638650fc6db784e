//! A rule that comes first matches every request of the service's own rule and answers it with an
//! error: most often a maintenance page that was left on. The service is healthy, and no request
//! reaches it.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::request;
use crate::facts::inbound::traffic::{self, Forward};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Rule;
use crate::text::parsed;
use crate::{aws, hcl};

crate::check! {
    /// A listener rule with a lower priority number matches every request of the service's own
    /// rule, and answers with an error as a fixed response.
    ///
    /// # Why it matters
    ///
    /// Clients get the fixed error. Tasks and targets are healthy, so nothing else shows it: a
    /// forgotten maintenance page looks like this.
    ///
    /// # How we tell
    ///
    /// A listener evaluates its rules by priority, the lowest number first, and the first that
    /// matches decides. A rule before the service's own has only conditions on hosts and paths, and
    /// these match everything that the service's rule matches; its action is a fixed response with
    /// a status of 400 or higher. A rule that matches only a part of the requests, forwards or
    /// redirects is not reported.
    ///
    /// # What to do
    ///
    /// Remove the first rule, or move it behind the service's own.
    ///
    /// ```sh
    /// aws elbv2 delete-rule --rule-arn <the first rule>
    /// ```
    ///
    /// Terraform/OpenTofu: remove its `aws_lb_listener_rule`, or raise `priority`.
    ///
    /// # See also
    ///
    /// `balancer_answers_503`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html>
    title: "Another rule answers with an error before the service's own",
    severity: Critical,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules],
    example: on fargate, |snapshot| {
        use crate::baseline::{host_rule, id};
        use crate::snapshot::Action;
        let arn = id::elb("listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/00000000000000a1");
        let closed = Action { kind: "fixed-response".into(), status_code: Some("503".into()), ..Action::default() };
        let listener = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = listener.and_then(|listener| snapshot.rules.change(&listener)) {
            rules.insert(0, host_rule(&arn, "1", "*.example.com", closed));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for forward in traffic::forwards(patient)?.iter().filter(|forward| forward.is_http()) {
        let rules = patient.rules(&forward.listener.listener_arn)?;
        if let Some((first, code)) = request::taken_before(rules, forward.rule)
            .and_then(|first| Some((first, error(first)?)))
        {
            findings.add(finding(forward, first, code));
        }
    }
    Ok(())
}

/// The status of a fixed response that is an error.
fn error(rule: &Rule) -> Option<&str> {
    let fixed = rule.actions.iter().find(|action| action.kind == "fixed-response")?;
    fixed.status_code.as_deref().filter(|code| parsed::<u16>(code).is_some_and(|code| code >= 400))
}

fn finding(forward: &Forward, first: &Rule, code: &str) -> Finding {
    let claim = format!(
        "{} comes before {} and matches all its requests: the load balancer returns {code} as a fixed response, and no request reaches the service",
        request::rule_within(first),
        request::rule_within(forward.rule)
    );
    let remedy = Remedy::new(format!(
        "If that response is no longer wanted, remove {}. Otherwise move it behind {}.",
        request::rule_name(first),
        request::rule_name(forward.rule)
    ))
    .cli(aws!("elbv2 delete-rule --rule-arn {}", first.rule_arn))
    .terraform(hcl!(
        r#"
        # remove the aws_lb_listener_rule that answers first, or give it the higher number:
        resource "aws_lb_listener_rule" "first" {
          priority = 1000
        }"#
    ));
    Subject::new(Kind::ListenerRule, &first.rule_arn)
        .sick(
            claim,
            Evidence::new(
                Call::DescribeRules,
                &first.rule_arn,
                "Actions.FixedResponseConfig.StatusCode",
                code,
            ),
        )
        .because(Evidence::new(Call::DescribeRules, &first.rule_arn, "Priority", &first.priority))
        .because(Evidence::new(
            Call::DescribeRules,
            &forward.rule.rule_arn,
            "Priority",
            &forward.rule.priority,
        ))
        .mend(remedy)
        .concerns(Kind::ListenerRule, &forward.rule.rule_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Condition, Snapshot};
    use crate::testing::{exam, says};

    fn first(snapshot: &mut Snapshot) -> &mut Rule {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        &mut snapshot.rules.change(&listener).unwrap()[0]
    }

    #[test]
    fn names_both_rules_and_the_answer() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Rule 1 (host *.example.com) comes before rule 10 (host api.example.com) and matches all its requests: the load balancer returns 503 as a fixed response, and no request reaches the service."
            ]
        );
    }

    #[test]
    fn a_part_of_the_requests_is_no_trouble() {
        let mut snapshot = (CHECK.example)();
        let path = Condition {
            field: "path-pattern".into(),
            values: vec!["/admin/*".into()],
            ..Condition::default()
        };
        first(&mut snapshot).conditions.push(path);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_redirect_or_another_service_may_be_meant() {
        for kind in ["redirect", "forward"] {
            let mut snapshot = (CHECK.example)();
            first(&mut snapshot).actions[0].kind = kind.into();
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{kind}");
        }
        let mut snapshot = (CHECK.example)();
        first(&mut snapshot).actions[0].status_code = Some("200".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "a page");
    }

    #[test]
    fn behind_the_services_own_rule_it_never_has_its_turn() {
        let mut snapshot = (CHECK.example)();
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap().swap(0, 1);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_rules_are_not_healthy() {
        let mut snapshot = (CHECK.example)();
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.insert(listener, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
