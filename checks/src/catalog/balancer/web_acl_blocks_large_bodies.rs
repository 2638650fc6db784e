//! A rule of the web ACL blocks request bodies over its size limit, and blocks requests all the
//! time. Only samples show which requests these are, so it is a risk. A web ACL that blocks most
//! requests is for another check.

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::snapshot::web_acl::Statement;
use crate::snapshot::{WebAcl, WebAclRule};
use crate::{aws, hcl};

crate::check! {
    /// A rule of the web ACL blocks request bodies over a size limit, 8 KB by default, and blocks
    /// some requests all the time.
    ///
    /// # Why it matters
    ///
    /// Uploads, long forms and large JSON documents get 403 while everything else works. The app's
    /// log shows nothing of it. `AWSManagedRulesCommonRuleSet` has such a rule, which is easily
    /// missed: `SizeRestrictions_BODY`, for everything over 8 KB (8,192 bytes). That is also how
    /// much of a body an Application Load Balancer passes to AWS WAF; it cannot be raised.
    ///
    /// # How we tell
    ///
    /// The web ACL has the managed group with this rule neither overridden to count or allow nor
    /// narrowed by a scope-down statement; or a rule of its own that blocks bodies larger than a
    /// size on every path. In the last hour CloudWatch's `BlockedRequests` of that rule is at
    /// least 30, in at least 20 different minutes. CloudWatch counts a group as a whole: so for the
    /// managed group it also has to be 2 % of all requests, with at least 600 that got through,
    /// since on a site with few visitors scanners are as many. Where most requests are blocked,
    /// that is `web_acl_blocks_requests`.
    ///
    /// # What to do
    ///
    /// Look at the samples, which name the rule within the group. Then set that rule to count,
    /// and block large bodies where you do not expect them by a rule that matches its label:
    ///
    /// ```sh
    /// aws wafv2 get-sampled-requests --web-acl-arn <arn> --rule-metric-name <rule> --scope REGIONAL \
    ///   --time-window StartTime=<time>,EndTime=<time> --max-items 100
    /// ```
    ///
    /// Terraform/OpenTofu: `rule_action_override` in the `managed_rule_group_statement` of
    /// `aws_wafv2_web_acl`.
    ///
    /// # See also
    ///
    /// `web_acl_blocks_requests`,
    /// <https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html>
    title: "The web ACL blocks large request bodies",
    severity: Medium,
    role: Risk,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetWebAclForResource, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{minutes, request_path};
        let acl = request_path::web_acl();
        for blocked in [acl.clone(), format!("{acl}/common")] {
            snapshot.metrics.put(Metric::WafBlocked.of(&blocked), minutes(3.0));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut guarded = false;
    for balancer in
        traffic::balancers(patient)?.into_iter().filter(|arn| arn.contains(":loadbalancer/app/"))
    {
        let Some(acl) = findings.see(patient.web_acl(balancer)).flatten() else { continue };
        guarded = true;
        let through = findings.see(hour(patient, Metric::Requests, balancer));
        for (rule, limit) in acl.rules.iter().filter_map(|rule| Some((rule, limit(rule)?))) {
            let Some(metric) = &rule.metric_name else { continue };
            let blocked = findings.see(hour(patient, Metric::WafBlocked, &acl.metric_of(metric)));
            if let (Some(blocked), Some(through)) = (blocked, &through)
                && matters(&limit, &blocked, through)
            {
                findings.add(finding(patient, balancer, acl, rule, &limit, &blocked));
            }
        }
    }
    if guarded { Ok(()) } else { Err(NoAnswer::NotApplicable("no web ACL")) }
}

/// The size over which a rule refuses bodies.
enum Limit {
    /// That of AWS's own rule in the managed group.
    OfManagedRule,
    /// That of a rule of the web ACL itself.
    Bytes(i64),
}

/// AWS's group with a rule about the size of bodies, that rule, and its size.
const GROUP: &str = "AWS AWSManagedRulesCommonRuleSet";
const RULE: &str = "SizeRestrictions_BODY";
const SIZE: i64 = 8192;

fn limit(rule: &WebAclRule) -> Option<Limit> {
    let statement = &rule.statement;
    match (rule.action.as_deref(), rule.override_action.as_deref()) {
        (Some("Block"), _) => of_body(statement).map(Limit::Bytes),
        (None, Some("Count")) | (Some(_), _) => None,
        (None, _) => {
            let refuses = statement.name.as_deref() == Some(GROUP)
                && statement.statements.is_empty()
                && !statement.rule_action_overrides.contains_key(RULE);
            refuses.then_some(Limit::OfManagedRule)
        }
    }
}

/// The size of a statement that takes bodies which are larger; none where something else has to be
/// so as well, such as a path.
fn of_body(statement: &Statement) -> Option<i64> {
    let is_larger = matches!(statement.comparison_operator.as_deref(), Some("GT" | "GE"));
    let is_of_body = matches!(statement.size_of.as_deref(), Some("Body" | "JsonBody"));
    statement.size.filter(|_| is_larger && is_of_body)
}

/// A metric of the last hour.
struct Hour {
    sum: f64,
    /// In how many minutes it was above 0.
    minutes: usize,
    peak: Option<Evidence>,
}

fn hour(patient: &Patient, metric: Metric, of: &str) -> Result<Hour, Blind> {
    let values = patient.metric(metric, of)?.into_iter().flat_map(|series| &series.values);
    let counted: Vec<_> = values.filter(|(_, value)| *value > 0.0).collect();
    let peak = counted.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(Hour {
        sum: counted.iter().map(|(_, value)| value).sum(),
        minutes: counted.len(),
        peak: peak.map(|(at, peak)| Evidence::metric(metric, of, peak).at(Some(*at))),
    })
}

/// Whether it blocks all the time, and few among those who get through.
fn matters(limit: &Limit, blocked: &Hour, through: &Hour) -> bool {
    let lasts = blocked.sum >= 30.0 && blocked.minutes >= 20;
    let among_clients = match limit {
        Limit::Bytes(_) => true,
        Limit::OfManagedRule => {
            through.sum >= 600.0 && blocked.sum >= 0.02 * (through.sum + blocked.sum)
        }
    };
    lasts && among_clients && blocked.sum < through.sum
}

fn finding(
    patient: &Patient,
    balancer: &str,
    acl: &WebAcl,
    rule: &WebAclRule,
    limit: &Limit,
    blocked: &Hour,
) -> Finding {
    let (size, of) = match limit {
        Limit::OfManagedRule => (SIZE, " (AWSManagedRulesCommonRuleSet)"),
        Limit::Bytes(size) => (*size, ""),
    };
    let claim = format!(
        "rule {}{of} of web ACL {} blocks request bodies over {size} bytes, and blocked {:.0} requests in the last hour",
        rule.name, acl.name, blocked.sum
    );
    let detail = match limit {
        Limit::OfManagedRule => {
            "The group has the rule SizeRestrictions_BODY: CloudWatch counts the group as a whole, and samples name the rule. Uploads and long forms get 403."
        }
        Limit::Bytes(_) => "Uploads and long forms get 403.",
    };
    let metric = rule.metric_name.as_deref().unwrap_or_default();
    let start = time::before(patient.now(), SignedDuration::from_hours(1));
    let remedy = Remedy::new(
        "Look at samples of the blocked requests. Then set the rule to Count (edit web-acl.json), and block large bodies only where you do not expect them.",
    )
    .cli(aws!(
        "wafv2 get-sampled-requests --web-acl-arn {} --rule-metric-name {} --scope REGIONAL \
         --time-window StartTime={},EndTime={} --max-items 100",
        acl.arn,
        metric,
        start,
        patient.now()
    ))
    .cli(aws!("wafv2 get-web-acl --name {} --scope REGIONAL --id {}", acl.name, acl.id))
    .cli(aws!(
        "wafv2 update-web-acl --name {} --scope REGIONAL --id {} --cli-input-json file://web-acl.json",
        acl.name,
        acl.id
    ));
    let remedy = match limit {
        Limit::OfManagedRule => remedy.terraform(hcl!(
            r#"
            resource "aws_wafv2_web_acl" "this" {
              rule {
                name = {}
                statement {
                  managed_rule_group_statement {
                    vendor_name = "AWS"
                    name        = "AWSManagedRulesCommonRuleSet"
                    rule_action_override {
                      name = {}
                      action_to_use {
                        count {{}}
                      }
                    }
                  }
                }
              }
            }"#,
            rule.name,
            RULE,
            crate::hcl::Hcl::default()
        )),
        Limit::Bytes(_) => remedy.terraform(hcl!(
            r#"
            resource "aws_wafv2_web_acl" "this" {
              rule {
                name = {}
                action {
                  count {{}}
                }
              }
            }"#,
            rule.name,
            crate::hcl::Hcl::default()
        )),
    };
    let own = Evidence::new(Call::GetWebAclForResource, balancer, "WebACL.Rules.Name", &rule.name);
    let group = rule.statement.name.as_ref().map(|name| {
        let of = "WebACL.Rules.Statement.ManagedRuleGroupStatement.Name";
        Evidence::new(Call::GetWebAclForResource, balancer, of, name)
    });
    let bytes = rule.statement.size.map(|size| {
        let of = "WebACL.Rules.Statement.SizeConstraintStatement.Size";
        Evidence::new(Call::GetWebAclForResource, balancer, of, size)
    });
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, own)
        .detail(detail)
        .because_all(group)
        .because_all(bytes)
        .because_all(blocked.peak.clone())
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, request_path};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    /// A service whose web ACL has this rule, which blocks so much, while so much gets through.
    fn with(rule: WebAclRule, blocked: Series, through: Series) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let acl = request_path::web_acl();
        let metric = rule.metric_name.clone().unwrap();
        snapshot.web_acls.change(&balancer()).unwrap().rules = vec![rule];
        for of in [acl.clone(), format!("{acl}/{metric}")] {
            snapshot.metrics.put(Metric::WafBlocked.of(&of), blocked.clone());
        }
        snapshot.metrics.put(Metric::Requests.of(&balancer()), through);
        snapshot
    }

    fn managed() -> WebAclRule {
        let acl = baseline::fargate().web_acls.change(&balancer()).unwrap().clone();
        acl.rules[0].clone()
    }

    /// A rule of one's own about bodies.
    fn own(statement: Statement) -> WebAclRule {
        WebAclRule {
            name: "no-uploads".into(),
            action: Some("Block".into()),
            metric_name: Some("uploads".into()),
            statement,
            ..WebAclRule::default()
        }
    }

    fn larger_than(size: i64) -> Statement {
        Statement {
            kind: "SizeConstraint".into(),
            size_of: Some("Body".into()),
            comparison_operator: Some("GT".into()),
            size: Some(size),
            ..Statement::default()
        }
    }

    fn every(step: usize, series: Series) -> Series {
        Series { values: series.values.into_iter().step_by(step).collect() }
    }

    #[test]
    fn says_how_large_and_how_many() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Rule common (AWSManagedRulesCommonRuleSet) of web ACL web blocks request bodies over 8192 bytes, and blocked 180 requests in the last hour. The group has the rule SizeRestrictions_BODY: CloudWatch counts the group as a whole, and samples name the rule. Uploads and long forms get 403."
            ]
        );
    }

    #[test]
    fn a_rule_of_ones_own_is_counted_by_itself() {
        let found = says(CHECK, &with(own(larger_than(65_536)), minutes(1.0), minutes(5.0)));
        assert_eq!(
            found,
            [
                "Rule no-uploads of web ACL web blocks request bodies over 65536 bytes, and blocked 60 requests in the last hour. Uploads and long forms get 403."
            ]
        );
    }

    #[test]
    fn a_rule_that_counts_or_is_narrowed_refuses_nothing_by_surprise() {
        let overridden = |action: &str| {
            let mut rule = managed();
            rule.statement.rule_action_overrides = [(RULE.to_owned(), action.to_owned())].into();
            rule
        };
        let counting = WebAclRule { override_action: Some("Count".into()), ..managed() };
        let mut narrowed = managed();
        narrowed.statement.statements =
            vec![Statement { kind: "Not".into(), ..Statement::default() }];
        let mut other = managed();
        other.statement.name = Some("AWS AWSManagedRulesSQLiRuleSet".into());
        let of_header = Statement { size_of: None, ..larger_than(4096) };
        let with_path = Statement {
            kind: "And".into(),
            statements: vec![larger_than(8192), Statement::default()],
            ..Statement::default()
        };
        for rule in [
            overridden("Count"),
            overridden("Allow"),
            counting,
            narrowed,
            other,
            own(of_header),
            own(with_path),
        ] {
            let snapshot = with(rule.clone(), minutes(3.0), minutes(120.0));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{rule:?}");
        }
    }

    #[test]
    fn scanners_are_few_or_come_in_bursts_or_come_alone() {
        for (blocked, through) in [
            (Series::default(), minutes(120.0)),
            (every(10, minutes(90.0)), minutes(120.0)),
            (every(2, minutes(1.0)), minutes(120.0)),
            (minutes(1.0), minutes(2.0)),
            (minutes(900.0), minutes(120.0)),
        ] {
            let snapshot = with(managed(), blocked, through);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn without_the_web_acl_or_its_metrics_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let of = Metric::WafBlocked.of(&format!("{}/common", request_path::web_acl()));
        snapshot.metrics.insert(of, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        snapshot.web_acls.insert(balancer(), Seen::Yes(None));
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
