//! What AWS WAF tells of the web ACL in front of a load balancer. Of statements only their kind and
//! what they refer to.

use aws_sdk_wafv2::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::web_acl::{IpSet, Statement, WebAcl, WebAclRule};

use super::{Aws, text};

impl Aws {
    pub async fn web_acl(&self, balancer: &str) -> Seen<Option<WebAcl>> {
        let request = self.waf.get_web_acl_for_resource().resource_arn(balancer).send();
        let reply = self.asker.ask(Call::GetWebAclForResource, request).await;
        reply.map(|reply| reply.and_then(|reply| reply.web_acl).map(web_acl))
    }

    /// The addresses of an IP set, which its ARN names: `…:regional/ipset/<name>/<id>`.
    pub async fn ip_set(&self, arn: &str) -> Seen<Option<IpSet>> {
        let mut parts = arn.rsplit('/');
        let (id, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let request = self.waf.get_ip_set().scope(types::Scope::Regional).id(id).name(name).send();
        let reply = self.asker.ask(Call::GetIpSet, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.ip_set).map(|set| IpSet {
                arn: set.arn,
                id: set.id,
                name: set.name,
                ip_address_version: text(Some(set.ip_address_version)),
                addresses: set.addresses,
            })
        })
    }
}

fn web_acl(from: types::WebAcl) -> WebAcl {
    let default = from.default_action;
    let mut rules: Vec<WebAclRule> = from.rules.unwrap_or_default().into_iter().map(rule).collect();
    rules.sort_by_key(|rule| rule.priority);
    WebAcl {
        arn: from.arn,
        id: from.id,
        name: from.name,
        default_action: default.and_then(|action| {
            first(&[("Block", action.block.is_some()), ("Allow", action.allow.is_some())])
        }),
        metric_name: from.visibility_config.map(|config| config.metric_name),
        managed_by_firewall_manager: from.managed_by_firewall_manager,
        rules,
    }
}

fn rule(from: types::Rule) -> WebAclRule {
    let action = from.action.as_ref().and_then(action);
    let over = from
        .override_action
        .and_then(|over| first(&[("Count", over.count.is_some()), ("None", over.none.is_some())]));
    WebAclRule {
        name: from.name,
        priority: from.priority,
        action,
        override_action: over,
        metric_name: from.visibility_config.map(|config| config.metric_name),
        statement: from.statement.map(statement).unwrap_or_default(),
    }
}

fn action(from: &types::RuleAction) -> Option<String> {
    first(&[
        ("Block", from.block.is_some()),
        ("Allow", from.allow.is_some()),
        ("Count", from.count.is_some()),
        ("Captcha", from.captcha.is_some()),
        ("Challenge", from.challenge.is_some()),
    ])
}

/// WAF says which action it is by which member is there.
fn first(members: &[(&str, bool)]) -> Option<String> {
    members.iter().find(|(_, there)| *there).map(|(name, _)| (*name).to_owned())
}

fn statement(from: types::Statement) -> Statement {
    let joined = |kind: &str, statements: Vec<types::Statement>| Statement {
        kind: kind.into(),
        statements: statements.into_iter().map(statement).collect(),
        ..Statement::default()
    };
    let refers = |kind: &str, arn: String| Statement {
        kind: kind.into(),
        arn: Some(arn),
        ..Statement::default()
    };
    if let Some(and) = from.and_statement {
        joined("And", and.statements)
    } else if let Some(or) = from.or_statement {
        joined("Or", or.statements)
    } else if let Some(not) = from.not_statement {
        joined("Not", not.statement.into_iter().map(|inner| *inner).collect())
    } else if let Some(rate) = from.rate_based_statement {
        joined("RateBased", rate.scope_down_statement.into_iter().map(|inner| *inner).collect())
    } else if let Some(group) = from.managed_rule_group_statement {
        let inner = group.scope_down_statement.into_iter().map(|inner| *inner).collect();
        let overrides = group.rule_action_overrides.unwrap_or_default().into_iter();
        let rule_action_overrides = overrides
            .filter_map(|over| Some((over.name, action(over.action_to_use.as_ref()?)?)))
            .collect();
        Statement {
            name: Some(format!("{} {}", group.vendor_name, group.name)),
            rule_action_overrides,
            ..joined("ManagedRuleGroup", inner)
        }
    } else if let Some(set) = from.ip_set_reference_statement {
        let header_name = set.ip_set_forwarded_ip_config.map(|config| config.header_name);
        Statement { header_name, ..refers("IPSetReference", set.arn) }
    } else if let Some(group) = from.rule_group_reference_statement {
        refers("RuleGroupReference", group.arn)
    } else if let Some(set) = from.regex_pattern_set_reference_statement {
        refers("RegexPatternSetReference", set.arn)
    } else if let Some(constraint) = from.size_constraint_statement {
        let part = constraint.field_to_match.as_ref().and_then(|part| {
            first(&[("Body", part.body.is_some()), ("JsonBody", part.json_body.is_some())])
        });
        Statement {
            kind: "SizeConstraint".into(),
            size_of: part,
            comparison_operator: text(Some(constraint.comparison_operator)),
            size: Some(constraint.size),
            ..Statement::default()
        }
    } else {
        let kind = first(&[
            ("GeoMatch", from.geo_match_statement.is_some()),
            ("AsnMatch", from.asn_match_statement.is_some()),
            ("LabelMatch", from.label_match_statement.is_some()),
            ("ByteMatch", from.byte_match_statement.is_some()),
            ("RegexMatch", from.regex_match_statement.is_some()),
            ("SqliMatch", from.sqli_match_statement.is_some()),
            ("XssMatch", from.xss_match_statement.is_some()),
        ]);
        Statement { kind: kind.unwrap_or_default(), ..Statement::default() }
    }
}
