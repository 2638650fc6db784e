//! What a web ACL does with a request from an address, as far as addresses decide: enough of AWS
//! WAF's language to read an allow list. Everything else that a rule may look at is left open.

use std::net::IpAddr;

use crate::aws::cidr::Cidr;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::web_acl::{Statement, WebAcl, WebAclRule};
use crate::text::parsed;

/// Whether a request from an address comes through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// This rule blocks it.
    Rule(&'a WebAclRule),
    /// No rule lets it through, and the default action is to block.
    Default,
    /// It comes through, or something else than the address decides.
    Open,
}

/// Whether a statement is true of a request; `None` where more than the address decides.
type Truth = Option<bool>;

/// The ARNs of the IP sets that decide about addresses: the ones that a caller's address has to be
/// looked up in.
pub fn ip_sets(acl: &WebAcl) -> Vec<&str> {
    fn within<'a>(statement: &'a Statement, sets: &mut Vec<&'a str>) {
        if let ("IPSetReference", Some(arn)) = (statement.kind.as_str(), statement.arn.as_deref())
            && !sets.contains(&arn)
        {
            sets.push(arn);
        }
        statement.statements.iter().for_each(|inner| within(inner, sets));
    }
    let mut sets = Vec::new();
    acl.rules.iter().for_each(|rule| within(&rule.statement, &mut sets));
    sets
}

/// The ARNs of the IP sets into which an address has to go that a verdict blocks, to be let
/// through: those that `Allow` rules look for, or, where a rule blocks whoever is not in a set,
/// that set.
pub fn letting_in<'a>(acl: &'a WebAcl, verdict: &Verdict<'a>) -> Vec<&'a str> {
    fn within<'a>(statement: &'a Statement, in_it: bool, wanted: bool, sets: &mut Vec<&'a str>) {
        if let ("IPSetReference", Some(arn)) = (statement.kind.as_str(), statement.arn.as_deref())
            && in_it == wanted
            && !sets.contains(&arn)
        {
            sets.push(arn);
        }
        let in_it = if statement.kind == "Not" { !in_it } else { in_it };
        statement.statements.iter().for_each(|inner| within(inner, in_it, wanted, sets));
    }
    let mut sets = Vec::new();
    match verdict {
        Verdict::Rule(rule) => within(&rule.statement, true, false, &mut sets),
        Verdict::Default => {
            let allowing = acl.rules.iter().filter(|rule| rule.action.as_deref() == Some("Allow"));
            allowing.for_each(|rule| within(&rule.statement, true, true, &mut sets));
        }
        Verdict::Open => {}
    }
    sets
}

/// The web ACL before a load balancer; a network load balancer has none.
pub fn before<'a>(patient: &Patient<'a>, balancer: &str) -> Result<Option<&'a WebAcl>, Blind> {
    if balancer.contains(":loadbalancer/app/") { patient.web_acl(balancer) } else { Ok(None) }
}

/// Whether it is an allow list, in one of the two usual forms: it blocks what no rule allows, or a
/// rule blocks every address in none of its IP sets.
pub fn blocks_strangers(acl: &WebAcl) -> bool {
    acl.default_action.as_deref() == Some("Block") || blocks_all_but_a_list(acl)
}

/// Whether a rule blocks every address in none of its IP sets, and none before it may let somebody
/// through.
fn blocks_all_but_a_list(acl: &WebAcl) -> bool {
    // Firewall Manager has rules of its own before these.
    if acl.managed_by_firewall_manager {
        return false;
    }
    let is_set = |one: &Statement| one.kind == "IPSetReference" && one.header_name.is_none();
    let is_list = |one: &Statement| {
        is_set(one)
            || (one.kind == "Or" && !one.statements.is_empty() && one.statements.iter().all(is_set))
    };
    let is_all_others = |one: &Statement| {
        one.kind == "Not" && matches!(one.statements.as_slice(), [list] if is_list(list))
    };
    let lets_through =
        |rule: &WebAclRule| match (rule.action.as_deref(), rule.override_action.as_deref()) {
            (Some(action), _) => action == "Allow",
            (None, Some("Count")) => false,
            (None, _) => !allows_nobody(&rule.statement),
        };
    let decides = acl.rules.iter().find(|rule| {
        lets_through(rule)
            || (rule.action.as_deref() == Some("Block") && is_all_others(&rule.statement))
    });
    decides.is_some_and(|rule| !lets_through(rule))
}

/// Whether no request gets through: the default action is to block, and no rule can allow one.
pub fn lets_nobody_in(patient: &Patient, acl: &WebAcl) -> Result<bool, Blind> {
    if acl.default_action.as_deref() != Some("Block") || acl.managed_by_firewall_manager {
        return Ok(false);
    }
    for rule in &acl.rules {
        let may_let_in = match (rule.action.as_deref(), rule.override_action.as_deref()) {
            (Some("Allow"), _) => !is_never_true(patient, &rule.statement)?,
            (Some(_), _) | (None, Some("Count")) => false,
            (None, _) => !allows_nobody(&rule.statement),
        };
        if may_let_in {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a statement is true of no request, because the IP set that it looks into is empty.
fn is_never_true(patient: &Patient, statement: &Statement) -> Result<bool, Blind> {
    let mut inner = statement.statements.iter().map(|inner| is_never_true(patient, inner));
    match (statement.kind.as_str(), statement.arn.as_deref()) {
        ("IPSetReference", Some(arn)) => {
            Ok(patient.ip_set(arn)?.is_some_and(|set| set.addresses.is_empty()))
        }
        ("And", _) => inner.try_fold(false, |any, one| Ok(any || one?)),
        ("Or", _) if !statement.statements.is_empty() => {
            inner.try_fold(true, |all, one| Ok(all && one?))
        }
        _ => Ok(false),
    }
}

/// Whether it lets every request through, for all that we see of it.
pub fn blocks_nothing(acl: &WebAcl) -> bool {
    acl.default_action.as_deref() == Some("Allow")
        && !acl.managed_by_firewall_manager
        && !acl.rules.iter().any(may_stop)
}

/// Whether a rule can keep a request out. A rule group does what its own rules say, unless it is
/// overridden.
fn may_stop(rule: &WebAclRule) -> bool {
    match (rule.action.as_deref(), rule.override_action.as_deref()) {
        (Some("Allow" | "Count"), _) | (None, Some("Count")) => false,
        (_, _) => true,
    }
}

/// What becomes of a request from an address. Rules are evaluated in the order of their priority;
/// the first that allows or blocks decides.
pub fn verdict<'a>(
    patient: &Patient,
    acl: &'a WebAcl,
    address: IpAddr,
) -> Result<Verdict<'a>, Blind> {
    // Firewall Manager has rules of its own before and after these.
    if acl.managed_by_firewall_manager {
        return Ok(Verdict::Open);
    }
    for rule in &acl.rules {
        if rule.override_action.as_deref() == Some("Count") {
            continue;
        }
        let taken = truth(patient, &rule.statement, address)?;
        match (rule.action.as_deref(), taken) {
            (_, Some(false)) | (Some("Count"), _) => {}
            (Some("Block"), Some(true)) => return Ok(Verdict::Rule(rule)),
            // Whoever it does not block goes on to the next rule.
            (Some("Block"), None) => {}
            (None, None) if allows_nobody(&rule.statement) => {}
            _ => return Ok(Verdict::Open),
        }
    }
    Ok(if acl.default_action.as_deref() == Some("Block") {
        Verdict::Default
    } else {
        Verdict::Open
    })
}

/// Whether it is one of AWS's own rule groups: they block and count, and let nobody through, unless
/// their rules were given another action.
fn allows_nobody(group: &Statement) -> bool {
    group.name.as_deref().is_some_and(|name| name.starts_with("AWS "))
        && !group.rule_action_overrides.values().any(|action| action == "Allow")
}

fn truth(patient: &Patient, statement: &Statement, address: IpAddr) -> Result<Truth, Blind> {
    let inner = || {
        statement
            .statements
            .iter()
            .map(|inner| truth(patient, inner, address))
            .collect::<Result<Vec<Truth>, Blind>>()
    };
    Ok(match statement.kind.as_str() {
        // What a header says is not known.
        "IPSetReference" if statement.header_name.is_none() => match statement.arn.as_deref() {
            Some(arn) => patient.ip_set(arn)?.map(|set| {
                set.addresses
                    .iter()
                    .filter_map(|one| parsed::<Cidr>(one))
                    .any(|block| block.has(address))
            }),
            None => None,
        },
        "And" => every(inner()?),
        "Or" => every(inner()?.into_iter().map(not).collect()).map(|none| !none),
        "Not" => inner()?.into_iter().next().and_then(not),
        // Below its rate nothing is taken; outside its scope, never.
        "RateBased" => inner()?.into_iter().next().flatten().filter(|in_scope| !in_scope),
        _ => None,
    })
}

fn not(truth: Truth) -> Truth {
    truth.map(|truth| !truth)
}

/// Whether all are true: one that is not settles it, one that is open leaves it open.
fn every(truths: Vec<Truth>) -> Truth {
    if truths.contains(&Some(false)) {
        Some(false)
    } else if truths.contains(&None) {
        None
    } else {
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpSet, Snapshot};

    fn set(arn: &str) -> Statement {
        Statement { kind: "IPSetReference".into(), arn: Some(arn.into()), ..Statement::default() }
    }

    fn joined(kind: &str, statements: Vec<Statement>) -> Statement {
        Statement { kind: kind.into(), statements, ..Statement::default() }
    }

    fn rule(action: &str, statement: Statement) -> WebAclRule {
        WebAclRule {
            name: format!("{action} it"),
            action: Some(action.into()),
            statement,
            ..WebAclRule::default()
        }
    }

    /// What an ACL does with 18.130.1.2, where the set `office` has other addresses, and `own` has
    /// this one.
    fn of(default: &str, rules: Vec<WebAclRule>) -> String {
        let mut snapshot = baseline::fargate();
        let ip_set = |addresses: &[&str]| IpSet {
            addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
            ..IpSet::default()
        };
        snapshot.ip_sets.put("office", ip_set(&["203.0.113.0/24", "2001:db8::/32"]));
        snapshot.ip_sets.put("own", ip_set(&["18.130.1.2/32"]));
        let acl = WebAcl { default_action: Some(default.into()), rules, ..WebAcl::default() };
        asked(&snapshot, &acl).map_or("blind".into(), |verdict| match verdict {
            Verdict::Rule(rule) => rule.name.clone(),
            Verdict::Default => "default".into(),
            Verdict::Open => "open".into(),
        })
    }

    fn asked<'a>(snapshot: &'a Snapshot, acl: &'a WebAcl) -> Result<Verdict<'a>, Blind> {
        verdict(
            &Patient::new(snapshot, &snapshot.services[0], &Intent::default()),
            acl,
            "18.130.1.2".parse().unwrap(),
        )
    }

    #[test]
    fn an_allow_list_before_a_default_that_blocks() {
        assert_eq!(of("Block", vec![rule("Allow", set("office"))]), "default");
        assert_eq!(of("Block", vec![rule("Allow", set("own"))]), "open");
        assert_eq!(
            of("Block", vec![rule("Allow", set("office")), rule("Allow", set("own"))]),
            "open"
        );
        assert_eq!(of("Allow", vec![rule("Allow", set("office"))]), "open");
    }

    #[test]
    fn a_rule_that_blocks_everybody_else() {
        let block = |arn| rule("Block", joined("Not", vec![set(arn)]));
        assert_eq!(of("Allow", vec![block("office")]), "Block it");
        assert_eq!(of("Allow", vec![block("own")]), "open");
        assert_eq!(
            of(
                "Allow",
                vec![rule(
                    "Block",
                    joined("Not", vec![joined("Or", vec![set("office"), set("own")])])
                )]
            ),
            "open"
        );
        assert_eq!(of("Allow", vec![rule("Count", joined("Not", vec![set("office")]))]), "open");
    }

    #[test]
    fn an_allow_list_has_two_forms() {
        let acl = |default: &str, rules| WebAcl {
            default_action: Some(default.into()),
            rules,
            ..WebAcl::default()
        };
        let block = |statement| rule("Block", joined("Not", vec![statement]));
        let others = || block(set("office"));
        assert!(blocks_strangers(&acl("Block", Vec::new())));
        assert!(blocks_strangers(&acl("Allow", vec![others(), rule("Allow", set("own"))])));
        assert!(blocks_strangers(&acl(
            "Allow",
            vec![block(joined("Or", vec![set("office"), set("own")]))]
        )));
        let path = || Statement { kind: "ByteMatch".into(), ..Statement::default() };
        for rules in [
            Vec::new(),
            vec![rule("Allow", path()), others()],
            vec![rule("Count", joined("Not", vec![set("office")]))],
            vec![rule("Block", set("office"))],
            vec![block(joined("Or", vec![set("office"), path()]))],
            vec![block(joined("And", vec![set("office"), path()]))],
            vec![block(Statement { header_name: Some("X-Forwarded-For".into()), ..set("office") })],
            vec![
                WebAclRule {
                    action: None,
                    override_action: Some("None".into()),
                    ..rule("", path())
                },
                others(),
            ],
        ] {
            assert!(!blocks_strangers(&acl("Allow", rules.clone())), "{rules:?}");
        }
        assert!(!blocks_strangers(&WebAcl {
            managed_by_firewall_manager: true,
            ..acl("Allow", vec![others()])
        }));
    }

    #[test]
    fn the_first_that_decides_wins() {
        let block = rule("Block", joined("Not", vec![set("office")]));
        assert_eq!(of("Allow", vec![rule("Allow", set("own")), block.clone()]), "open");
        assert_eq!(of("Allow", vec![block, rule("Allow", set("own"))]), "Block it");
    }

    #[test]
    fn what_more_than_the_address_decides_stays_open() {
        let path = || Statement { kind: "ByteMatch".into(), ..Statement::default() };
        assert_eq!(of("Block", vec![rule("Allow", path())]), "open");
        assert_eq!(
            of("Block", vec![rule("Allow", joined("And", vec![set("office"), path()]))]),
            "default",
            "not from the office, whatever the path"
        );
        assert_eq!(
            of("Block", vec![rule("Allow", joined("And", vec![set("own"), path()]))]),
            "open"
        );
        assert_eq!(
            of("Allow", vec![rule("Block", joined("Or", vec![set("office"), path()]))]),
            "open"
        );
        assert_eq!(of("Block", vec![rule("Challenge", path())]), "open");
        let by_header = Statement { header_name: Some("X-Forwarded-For".into()), ..set("office") };
        assert_eq!(of("Block", vec![rule("Allow", by_header)]), "open");
        let own_group = WebAclRule {
            override_action: Some("None".into()),
            statement: Statement { kind: "RuleGroupReference".into(), ..Statement::default() },
            ..WebAclRule::default()
        };
        assert_eq!(
            of("Block", vec![own_group.clone()]),
            "open",
            "a group of rules may let them through"
        );
        assert_eq!(
            of("Block", vec![WebAclRule { override_action: Some("Count".into()), ..own_group }]),
            "default"
        );
    }

    #[test]
    fn aws_own_groups_let_nobody_through() {
        let managed = Statement {
            kind: "ManagedRuleGroup".into(),
            name: Some("AWS AWSManagedRulesCommonRuleSet".into()),
            ..Statement::default()
        };
        let rule_of = |statement| WebAclRule {
            override_action: Some("None".into()),
            statement,
            ..WebAclRule::default()
        };
        assert_eq!(
            of("Block", vec![rule_of(managed.clone()), rule("Allow", set("office"))]),
            "default"
        );
        let overridden = Statement {
            rule_action_overrides: [("NoUserAgent_HEADER".into(), "Allow".into())].into(),
            ..managed.clone()
        };
        assert_eq!(of("Block", vec![rule_of(overridden), rule("Allow", set("office"))]), "open");
        let vendor = Statement { name: Some("Somebody Bots".into()), ..managed };
        assert_eq!(of("Block", vec![rule_of(vendor), rule("Allow", set("office"))]), "open");
    }

    #[test]
    fn a_rate_limit_takes_nobody_outside_its_scope() {
        assert_eq!(
            of("Block", vec![rule("Allow", joined("RateBased", vec![set("office")]))]),
            "default"
        );
        assert_eq!(of("Allow", vec![rule("Block", joined("RateBased", Vec::new()))]), "open");
    }

    #[test]
    fn firewall_managers_own_rules_are_not_seen() {
        let snapshot = baseline::fargate();
        let acl = WebAcl {
            default_action: Some("Block".into()),
            managed_by_firewall_manager: true,
            ..WebAcl::default()
        };
        assert_eq!(asked(&snapshot, &acl), Ok(Verdict::Open));
    }

    #[test]
    fn without_the_set_nobody_knows() {
        let mut snapshot = baseline::fargate();
        snapshot.ip_sets.insert("office", Seen::No(Why::Denied("no".into())));
        let acl = WebAcl {
            default_action: Some("Block".into()),
            rules: vec![rule("Allow", set("office"))],
            ..WebAcl::default()
        };
        assert!(asked(&snapshot, &acl).is_err());
    }
}
