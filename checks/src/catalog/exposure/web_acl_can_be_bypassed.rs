//! A web ACL is there and blocks nothing: tasks can be reached without it, none of its rules
//! blocks, or the load balancer allows requests while AWS WAF does not respond. Its rules are not
//! judged otherwise.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::exposed::{self, Reachable};
use crate::facts::inbound::{traffic, web_acl};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::{Hcl, Name};
use crate::patient::Patient;
use crate::snapshot::{WebAcl, WebAclRule};
use crate::text::and_list;
use crate::{aws, hcl};

const FAIL_OPEN: &str = "waf.fail_open.enabled";

crate::check! {
    /// The load balancer has a web ACL that requests can bypass, or that blocks none of them.
    ///
    /// # Why it matters
    ///
    /// Somebody set it up to block requests, and believes that it does.
    ///
    /// # How we tell
    ///
    /// One of three. Tasks can be reached directly, without the load balancer, as
    /// `task_directly_reachable` finds them. Or the default action is to allow, and no rule can
    /// stop a request: each one allows or counts, and rule groups are overridden to count; a
    /// captcha or a challenge stops requests, too. Rules that Firewall Manager adds are not in the
    /// list, so a web ACL that it manages is not judged this way. Or the load balancer's attribute
    /// `waf.fail_open.enabled` is true: while AWS WAF does not respond, all requests are allowed.
    /// Whether CloudFront in front of it can be bypassed depends on the security groups:
    /// `balancer_open_to_world`. Rules that only count for a trial period before they block cannot
    /// be told apart.
    ///
    /// # What to do
    ///
    /// Close the direct access to the tasks; set rules to Block once you have seen what they count:
    ///
    /// ```sh
    /// aws wafv2 get-web-acl --scope REGIONAL --name <name> --id <id>
    /// aws wafv2 update-web-acl --scope REGIONAL --name <name> --id <id> --default-action Allow={} --rules file://rules.json \
    ///   --visibility-config <as it is> --lock-token <token>
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <load balancer> --attributes Key=waf.fail_open.enabled,Value=false
    /// ```
    ///
    /// Terraform/OpenTofu: `action { block {} }` and `override_action { none {} }` in the `rule` of
    /// `aws_wafv2_web_acl`; `enable_waf_fail_open = false` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `no_web_acl`, `task_directly_reachable`, `web_acl_blocks_requests`,
    /// <https://docs.aws.amazon.com/waf/latest/developerguide/web-acl-processing-order.html>
    title: "The web ACL can be bypassed, or blocks nothing",
    severity: Medium,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth,
        DescribeLoadBalancerAttributes,
        GetWebAclForResource, DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables, DescribeNetworkInterfaces,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{expose_tasks, from_block};
        expose_tasks(snapshot);
        snapshot.security_groups.change("sg-task").into_iter().for_each(|group| group.ip_permissions.push(from_block(8080, "0.0.0.0/0")));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut guarded = Vec::new();
    for balancer in
        traffic::balancers(patient)?.into_iter().filter(|arn| arn.contains(":loadbalancer/app/"))
    {
        let Some(Some(acl)) = findings.see(patient.web_acl(balancer)) else { continue };
        guarded.push((balancer, acl));
        if web_acl::blocks_nothing(acl) {
            findings.add(toothless(balancer, acl));
        }
        let attributes = findings.see(patient.load_balancer_attributes(balancer)).flatten();
        if attributes
            .and_then(|attributes| attributes.get(FAIL_OPEN))
            .is_some_and(|value| value == "true")
        {
            findings.add(fails_open(balancer, acl));
        }
    }
    if guarded.is_empty() {
        return Err(NoAnswer::NotApplicable("no web ACL"));
    }
    for reachable in exposed::tasks(patient, findings)? {
        guarded
            .iter()
            .for_each(|(balancer, acl)| findings.add(gone_around(balancer, acl, &reachable)));
    }
    Ok(())
}

fn toothless(balancer: &str, acl: &WebAcl) -> Finding {
    let counting: Vec<&WebAclRule> =
        acl.rules.iter().filter(|rule| rule.action.as_deref() != Some("Allow")).collect();
    let why = match counting.as_slice() {
        [] if acl.rules.is_empty() => "it has no rules".to_owned(),
        [] => "all of its rules allow".to_owned(),
        [rule] => format!("its rule {} only counts", rule.name),
        several => {
            format!("its rules {} only count", and_list(several.iter().map(|rule| &rule.name)))
        }
    };
    let claim = format!(
        "web ACL {} of load balancer {} blocks nothing: {why}, and its default action is to allow",
        acl.name,
        traffic::balancer_name(balancer)
    );
    let rules = counting.iter().filter_map(|rule| {
        let action = rule.action.as_ref().map(|action| ("Rules.Action", action));
        let (field, value) = action
            .or(rule.override_action.as_ref().map(|action| ("Rules.OverrideAction", action)))?;
        Some(Evidence::new(Call::GetWebAclForResource, balancer, field, value))
    });
    let summary = if counting.is_empty() {
        "Add a rule that blocks the unwanted requests (edit web-acl.json), or remove the web ACL: as it is, it only adds cost."
    } else {
        "Look at what the rules count, then set them to Block (edit web-acl.json)."
    };
    let remedy = Remedy::new(summary)
        .cli(aws!("wafv2 get-web-acl --scope REGIONAL --name {} --id {}", acl.name, acl.id))
        .cli(aws!(
            "wafv2 update-web-acl --scope REGIONAL --name {} --id {} \
             --cli-input-json file://web-acl.json",
            acl.name,
            acl.id
        ))
        .terraform(in_terraform(&counting));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, Evidence::new(Call::GetWebAclForResource, balancer, "DefaultAction", "Allow"))
        .because_all(rules)
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

/// What makes the rules block: a rule has an action of its own, and only a rule group has one that
/// overrides.
fn in_terraform(counting: &[&WebAclRule]) -> Hcl {
    let nothing = Hcl::default();
    let rule = |action: &str, inner: &str| {
        hcl!(
            r#"
            rule {
              {} {
                {} {{}}
              }
            }"#,
            Name(action),
            Name(inner),
            nothing
        )
    };
    let (rules, groups): (Vec<&WebAclRule>, Vec<&WebAclRule>) =
        counting.iter().copied().partition(|rule| rule.action.is_some());
    let mut blocks = Vec::new();
    if !rules.is_empty() || groups.is_empty() {
        blocks.extend([hcl!("# in each rule that should block"), rule("action", "block")]);
    }
    if !groups.is_empty() {
        blocks.extend([
            hcl!("# in each rule group that should block"),
            rule("override_action", "none"),
        ]);
    }
    hcl!(
        r#"
        resource "aws_wafv2_web_acl" "web" {
          {}
        }"#,
        Hcl::lines(blocks)
    )
}

fn fails_open(balancer: &str, acl: &WebAcl) -> Finding {
    let name = traffic::balancer_name(balancer);
    let claim = format!(
        "while AWS WAF does not respond, load balancer {name} allows every request, bypassing web ACL {}",
        acl.name
    );
    let remedy =
        Remedy::new("Set it to fail closed, if blocking matters more than availability: clients then get 500 while AWS WAF does not respond.")
            .cli(aws!(
                "elbv2 modify-load-balancer-attributes --load-balancer-arn {} \
                 --attributes Key={},Value=false",
                balancer,
                FAIL_OPEN
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb" "web" {
                  # …
                  enable_waf_fail_open = false
                }"#
            ));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(
            claim,
            Evidence::new(Call::DescribeLoadBalancerAttributes, balancer, FAIL_OPEN, "true"),
        )
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

fn gone_around(balancer: &str, acl: &WebAcl, reachable: &Reachable) -> Finding {
    let Reachable { openings, addresses, .. } = reachable;
    let claim = format!(
        "web ACL {} of load balancer {} can be bypassed: the tasks can be reached directly at {}",
        acl.name,
        traffic::balancer_name(balancer),
        and_list(addresses)
    );
    let summary = "Allow only the load balancer in the tasks' security groups: see `ecs-doctor explain task_directly_reachable`.";
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, Evidence::new(Call::GetWebAclForResource, balancer, "Name", &acl.name))
        .because_all(reachable.evidence())
        .mend(Remedy::new(summary))
        .concerns(Kind::LoadBalancer, balancer)
        .concerns_all(
            Kind::SecurityGroup,
            openings.iter().map(|opening| opening.group.group_id.as_str()),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn alb() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn with(change: impl FnOnce(&mut WebAcl)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        change(snapshot.web_acls.change(&alb()).unwrap());
        snapshot
    }

    fn rule(name: &str, action: Option<&str>, overridden: Option<&str>) -> WebAclRule {
        WebAclRule {
            name: name.into(),
            action: action.map(Into::into),
            override_action: overridden.map(Into::into),
            ..WebAclRule::default()
        }
    }

    #[test]
    fn rules_that_only_count_block_nothing() {
        let counting = with(|acl| {
            acl.rules =
                vec![rule("office", Some("Count"), None), rule("common", None, Some("Count"))]
        });
        assert_eq!(
            says(CHECK, &counting),
            [
                "Web ACL web of load balancer web blocks nothing: its rules office and common only count, and its default action is to allow."
            ]
        );
        assert_eq!(says(CHECK, &with(|acl| acl.rules.clear())).len(), 1);
    }

    #[test]
    fn a_rule_blocks_by_its_action_and_a_group_by_its_override() {
        let remedy = |rules: Vec<WebAclRule>| {
            exam(CHECK, &with(|acl| acl.rules = rules)).findings.remove(0).remedy
        };
        let (plain, group) =
            (rule("office", Some("Count"), None), rule("common", None, Some("Count")));
        for (rules, by_action, by_override) in [
            (vec![plain.clone()], true, false),
            (vec![group.clone()], false, true),
            (vec![plain, group], true, true),
            (vec![], true, false),
        ] {
            let remedy = remedy(rules);
            let terraform = remedy.terraform.clone().unwrap();
            assert_eq!(
                (
                    terraform.contains(" action {\n      block {}"),
                    terraform.contains("override_action {\n      none {}")
                ),
                (by_action, by_override)
            );
        }
        assert!(remedy(Vec::new()).summary.starts_with("Add a rule that blocks"), "nothing counts");
    }

    #[test]
    fn whatever_may_stop_a_request_is_enough() {
        for stops in [
            rule("a", Some("Block"), None),
            rule("a", Some("Captcha"), None),
            rule("a", Some("Challenge"), None),
            rule("a", None, Some("None")),
        ] {
            let name = format!("{stops:?}");
            assert_eq!(
                exam(CHECK, &with(|acl| acl.rules = vec![rule("b", Some("Count"), None), stops]))
                    .outcome,
                Outcome::Healthy,
                "{name}"
            );
        }
        let list = with(|acl| {
            acl.default_action = Some("Block".into());
            acl.rules = vec![rule("office", Some("Allow"), None)];
        });
        assert_eq!(exam(CHECK, &list).outcome, Outcome::Healthy);
    }

    #[test]
    fn what_firewall_manager_adds_is_not_in_the_list() {
        let managed = with(|acl| {
            acl.rules.clear();
            acl.managed_by_firewall_manager = true;
        });
        assert_eq!(exam(CHECK, &managed).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_balancer_that_fails_open_is_told() {
        let mut snapshot = baseline::fargate();
        snapshot
            .load_balancer_attributes
            .change(&alb())
            .unwrap()
            .insert(FAIL_OPEN.into(), "true".into());
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "While AWS WAF does not respond, load balancer web allows every request, bypassing web ACL web."
            ]
        );
    }

    #[test]
    fn without_a_web_acl_there_is_nothing_to_go_around() {
        let mut snapshot = (CHECK.example)();
        snapshot.web_acls.insert(alb(), Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable("no web ACL"));
        snapshot.web_acls.insert(alb(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
