//! Why ECS says that it gave a deployment up, taken apart: the breaker, a hook, a pause, the
//! listener rule, or a role that may not do what the deployment needs. The words are those of AWS's
//! troubleshooting page for blue/green deployments; what no pattern knows stays `Other` and is
//! never guessed at.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::text::pattern;

/// What one reason says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    Breaker,
    NoCandidate,
    Hook { stage: &'a str, failure: HookFailure<'a> },
    PauseTimedOut { stage: &'a str },
    Rule(RuleFault<'a>),
    Denied(Denied<'a>),
    Other,
}

/// How a Lambda hook failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFailure<'a> {
    /// It ran and said no.
    SaidFailed {
        target: &'a str,
    },
    /// It answered something that is no hook's answer.
    Unparsed {
        target: &'a str,
        why: &'a str,
    },
    NotInvoked {
        target: &'a str,
        why: &'a str,
    },
    RoleNotAssumed {
        role: &'a str,
    },
    Other(&'a str),
}

/// What a listener rule has that the strategy cannot work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleFault<'a> {
    /// The target group is in neither of the rules.
    GroupMissing {
        group: &'a str,
    },
    PairMissing,
    /// Both groups get traffic.
    BothServe {
        rule: &'a str,
    },
    ForeignGroup {
        group: &'a str,
    },
    RuleGone,
    Other(&'a str),
}

/// A role that ECS uses, and what it may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied<'a> {
    /// Its name, or its ARN where AWS gives that.
    pub role: &'a str,
    pub action: Option<&'a str>,
}

impl<'a> Denied<'a> {
    /// The role's name, which the IAM commands want.
    pub fn name(&self) -> &'a str {
        self.role.rsplit('/').next().unwrap_or(self.role)
    }
}

type Make = for<'a> fn(&Captures<'a>) -> Reason<'a>;

fn text<'a>(captures: &Captures<'a>, name: &str) -> &'a str {
    captures.name(name).map_or("", |found| found.as_str())
}

fn hook<'a>(captures: &Captures<'a>, failure: HookFailure<'a>) -> Reason<'a> {
    Reason::Hook { stage: text(captures, "stage"), failure }
}

/// Patterns in order of trial: the more telling before the more general.
const GRAMMAR: &[(&str, Make)] = &[
    (r"circuit breaker threshold was exceeded", |_| Reason::Breaker),
    (r"No rollback candidate was found", |_| Reason::NoCandidate),
    // ECS itself moves the traffic under this session name: a hook has no part in it, though the
    // text says so.
    (
        r"assumed-role/(?<role>[^/\s]+)/\S+ is not authorized to perform: (?<action>elasticloadbalancing:\w+)",
        |c| {
            Reason::Denied(Denied {
                role: text(c, "role"),
                action: c.name("action").map(|action| action.as_str()),
            })
        },
    ),
    (r"missing permissions on ECS Infrastructure Role '(?<role>[^']+)'", |c| {
        Reason::Denied(Denied { role: text(c, "role"), action: None })
    }),
    (r"because (?<stage>\w+) pause hook timed out", |c| Reason::PauseTimedOut {
        stage: text(c, "stage"),
    }),
    (
        r"because (?<stage>\w+) lifecycle hook\(s\) failed\.? *Lifecycle hook target (?<target>\S+) returned FAILED",
        |c| hook(c, HookFailure::SaidFailed { target: text(c, "target") }),
    ),
    (
        r"because (?<stage>\w+) lifecycle hook\(s\) failed\.? *ECS was unable to parse the response from (?<target>\S+) due to (?<why>.+?)\.?$",
        |c| hook(c, HookFailure::Unparsed { target: text(c, "target"), why: text(c, "why") }),
    ),
    (
        r"because (?<stage>\w+) lifecycle hook\(s\) failed\.? *ECS was unable to invoke hook target (?<target>\S+) due to (?<why>.+?)\.?$",
        |c| hook(c, HookFailure::NotInvoked { target: text(c, "target"), why: text(c, "why") }),
    ),
    (
        r"because (?<stage>\w+) lifecycle hook\(s\) failed\.? *ECS was unable to assume role (?<role>[^\s,]+?)[.,]?(\s|$)",
        |c| hook(c, HookFailure::RoleNotAssumed { role: text(c, "role") }),
    ),
    (r"because (?<stage>\w+) lifecycle hook\(s\) failed\.? *(?<rest>.*?)\.?$", |c| {
        hook(c, HookFailure::Other(text(c, "rest")))
    }),
    (
        r"Target group (?<group>\S+) is not associated with either productionListenerRule or testListenerRule",
        |c| Reason::Rule(RuleFault::GroupMissing { group: text(c, "group") }),
    ),
    (r"Both targetGroup and alternateTargetGroup must be associated", |_| {
        Reason::Rule(RuleFault::PairMissing)
    }),
    (
        r"productionListenerRule (?<rule>\S+) should have exactly one target group serving traffic",
        |c| Reason::Rule(RuleFault::BothServe { rule: text(c, "rule") }),
    ),
    (r"forwarding traffic to unexpected target group (?<group>[^\s,]+?)\.?(\s|$)", |c| {
        Reason::Rule(RuleFault::ForeignGroup { group: text(c, "group") })
    }),
    (r"One or more rules not found", |_| Reason::Rule(RuleFault::RuleGone)),
    (r"because of invalid networking configuration[.:]? *(?<rest>.*?)\.?$", |c| {
        Reason::Rule(RuleFault::Other(text(c, "rest")))
    }),
];

static PATTERNS: LazyLock<Vec<(Regex, Make)>> = LazyLock::new(|| {
    GRAMMAR.iter().filter_map(|(text, make)| Some((pattern(text)?, *make))).collect()
});

/// Reads one reason.
pub fn read(text: &str) -> Reason<'_> {
    PATTERNS
        .iter()
        .find_map(|(pattern, make)| pattern.captures(text).map(|captures| make(&captures)))
        .unwrap_or(Reason::Other)
}

/// The role that ECS used for something that IAM refused, in AWS's usual words for it.
pub fn denied(text: &str) -> Option<Denied<'_>> {
    static DENIED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"assumed-role/(?<role>[^/\s]+)/\S+ is not authorized to perform: (?<action>[\w-]+:\w+)",
        )
    });
    let found = DENIED.as_ref()?.captures(text)?;
    Some(Denied {
        role: found.name("role")?.as_str(),
        action: found.name("action").map(|action| action.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(PATTERNS.len(), GRAMMAR.len());
    }

    #[test]
    fn reads_reasons_as_aws_documents_them() {
        let target = "arn:aws:lambda:eu-west-2:123456789012:function:smoke-test";
        let hook = |failure| Reason::Hook { stage: "POST_TEST_TRAFFIC_SHIFT", failure };
        let hooks = "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.";
        let rule = "arn:aws:elasticloadbalancing:eu-west-2:123456789012:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee";
        let group =
            "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/api/6d0ecf831eec9f09";
        let network = "Service deployment rolled back because of invalid networking configuration.";
        let invoke = format!(
            "User: arn:aws:sts::123456789012:assumed-role/hooks/ECSLifecycleHook is not authorized to perform: lambda:InvokeFunction on resource: {target}"
        );
        let cases = [
            ("Service deployment rolled back because the circuit breaker threshold was exceeded.".to_owned(), Reason::Breaker),
            ("No rollback candidate was found to run the rollback.".into(), Reason::NoCandidate),
            (format!("{hooks} Lifecycle hook target {target} returned FAILED status."), hook(HookFailure::SaidFailed { target })),
            (
                format!("{hooks} ECS was unable to parse the response from {target} due to HookStatus must not be null"),
                hook(HookFailure::Unparsed { target, why: "HookStatus must not be null" }),
            ),
            (
                format!("{hooks} ECS was unable to invoke hook target {target} due to {invoke}"),
                hook(HookFailure::NotInvoked { target, why: &invoke }),
            ),
            (
                format!("{hooks} ECS was unable to assume role arn:aws:iam::123456789012:role/hooks."),
                hook(HookFailure::RoleNotAssumed { role: "arn:aws:iam::123456789012:role/hooks" }),
            ),
            (format!("{hooks} Something new."), hook(HookFailure::Other("Something new"))),
            ("Service deployment rolled back because POST_SCALE_UP pause hook timed out.".into(), Reason::PauseTimedOut { stage: "POST_SCALE_UP" }),
            (
                format!(
                    "{hooks} User: arn:aws:sts::123456789012:assumed-role/ecsElb/ECSNetworkingWithELB is not authorized to perform: \
                     elasticloadbalancing:ModifyListener on resource: {rule}"
                ),
                Reason::Denied(Denied { role: "ecsElb", action: Some("elasticloadbalancing:ModifyListener") }),
            ),
            (
                format!(
                    "{network} ECS was unable to manage the ELB resources due to missing permissions on ECS Infrastructure Role 'arn:aws:iam::123456789012:role/ecsElb'."
                ),
                Reason::Denied(Denied { role: "arn:aws:iam::123456789012:role/ecsElb", action: None }),
            ),
            (
                format!("{network} Target group {group} is not associated with either productionListenerRule or testListenerRule."),
                Reason::Rule(RuleFault::GroupMissing { group }),
            ),
            (
                format!(
                    "{network} Both targetGroup and alternateTargetGroup must be associated with the productionListenerRule or testListenerRule."
                ),
                Reason::Rule(RuleFault::PairMissing),
            ),
            (
                format!(
                    "{network} productionListenerRule {rule} should have exactly one target group serving traffic but found 2 target groups which are serving traffic"
                ),
                Reason::Rule(RuleFault::BothServe { rule }),
            ),
            (
                format!("{network} Production listener rule is forwarding traffic to unexpected target group {group}. Expected one of a and b"),
                Reason::Rule(RuleFault::ForeignGroup { group }),
            ),
            (format!("{network} One or more rules not found"), Reason::Rule(RuleFault::RuleGone)),
            (format!("{network} Something new"), Reason::Rule(RuleFault::Other("Something new"))),
            ("Somebody stopped it.".into(), Reason::Other),
        ];
        for (text, expected) in &cases {
            assert_eq!(read(text), *expected, "{text}");
        }
    }

    #[test]
    fn reads_who_may_not_do_what() {
        let express = "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/ecsInfrastructureRoleForExpressServices/ECSGateway is not authorized to \
                       perform: ec2:DescribeAccountAttributes because no identity-based policy allows the ec2:DescribeAccountAttributes action";
        let expected = Denied {
            role: "ecsInfrastructureRoleForExpressServices",
            action: Some("ec2:DescribeAccountAttributes"),
        };
        assert_eq!(denied(express), Some(expected));
        assert_eq!(denied("The subnet has no free addresses."), None);
        assert_eq!(
            Denied { role: "arn:aws:iam::123456789012:role/path/ecsElb", action: None }.name(),
            "ecsElb"
        );
    }
}
