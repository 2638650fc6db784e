//! The grammar of service events. AWS varies brackets, words and the trailing dot between launch
//! types and years, so the patterns anchor leniently; what no pattern knows stays `Other` and is
//! never guessed at.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::text::{parsed, pattern};

/// What one service event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    SteadyState,
    Started {
        count: u32,
    },
    Stopped {
        count: u32,
    },
    Registered {
        count: u32,
        group: &'a str,
    },
    Deregistered {
        count: u32,
        group: &'a str,
    },
    Draining {
        count: u32,
    },
    DeploymentCompleted {
        deployment: &'a str,
    },
    /// `tasks failed to start` or `alarm detected`.
    DeploymentFailed {
        deployment: &'a str,
        why: &'a str,
    },
    RollingBackTo {
        deployment: &'a str,
    },
    /// `Service deployment rolled back because …`, of blue/green, linear and canary deployments.
    RolledBack {
        why: &'a str,
    },
    NoRollbackCandidate,
    TargetUnhealthy {
        group: &'a str,
        reason: &'a str,
    },
    TargetGroupNotFound {
        group: &'a str,
    },
    LaunchFailed {
        error: &'a str,
    },
    CannotPlace {
        reason: &'a str,
    },
    CannotStartConsistently,
    PercentDeadlock,
    ProtectedTasks,
    NoInstancesInProvider,
    CouldNotLaunch {
        count: u32,
    },
    ProvisioningLimit,
    Throttled,
    IamMisconfigured,
    RegistrationFailed {
        group: &'a str,
        error: &'a str,
    },
    /// A target that ECS could not take out of its group.
    DeregistrationFailed {
        group: &'a str,
        error: &'a str,
    },
    AgentTimedOut,
    Other,
}

type Make = for<'a> fn(&Captures<'a>) -> Event<'a>;

fn text<'a>(captures: &Captures<'a>, name: &str) -> &'a str {
    captures.name(name).map_or("", |found| found.as_str())
}

fn count(captures: &Captures) -> u32 {
    parsed(text(captures, "n")).unwrap_or_default()
}

/// Patterns in order of trial: the more telling before the more general.
const GRAMMAR: &[(&str, Make)] = &[
    (r"has reached a steady state\.?$", |_| Event::SteadyState),
    (r"has started (?<n>\d+) tasks?:", |c| Event::Started { count: count(c) }),
    (r"has stopped (?<n>\d+) running tasks?:", |c| Event::Stopped { count: count(c) }),
    (r"\) registered (?<n>\d+) targets? in \(target-group (?<tg>[^)]+)\)", |c| Event::Registered {
        count: count(c),
        group: text(c, "tg"),
    }),
    (r"\) deregistered (?<n>\d+) targets? in \(target-group (?<tg>[^)]+)\)", |c| {
        Event::Deregistered { count: count(c), group: text(c, "tg") }
    }),
    (r"has begun draining connections on (?<n>\d+) tasks?", |c| Event::Draining {
        count: count(c),
    }),
    (r"\(deployment (?<d>[^)]+)\) deployment completed\.?$", |c| Event::DeploymentCompleted {
        deployment: text(c, "d"),
    }),
    (r"\(deployment (?<d>[^)]+)\) deployment failed: (?<why>.+?)\.?$", |c| {
        Event::DeploymentFailed { deployment: text(c, "d"), why: text(c, "why") }
    }),
    (r"rolling back to deployment (?<d>\S+?)\.?$", |c| Event::RollingBackTo {
        deployment: text(c, "d"),
    }),
    (r"Service deployment rolled back because (?<why>.+)$", |c| Event::RolledBack {
        why: text(c, "why"),
    }),
    (r"No rollback candidate was found", |_| Event::NoRollbackCandidate),
    (r"target-group (?<tg>\S+?)\)* due to TARGET (GROUP )?IS NOT FOUND", |c| {
        Event::TargetGroupNotFound { group: text(c, "tg").trim_start_matches('(') }
    }),
    (
        r"is unhealthy in \(?(target-group|elb) (?<tg>[^\s)]+)\)? due to \(reason (?<r>.+?)\)\.?$",
        |c| Event::TargetUnhealthy { group: text(c, "tg"), reason: text(c, "r") },
    ),
    (r"failed to launch a task with \(error (?<e>.+)\)\.?$", |c| Event::LaunchFailed {
        error: text(c, "e"),
    }),
    (
        r"failed to (describe target health on|register targets in) \(?target-group (?<tg>[^\s)]+)\)? with \(error (?<e>.+)\)",
        |c| Event::RegistrationFailed { group: text(c, "tg"), error: text(c, "e") },
    ),
    (
        r"failed to deregister targets in \(?target-group (?<tg>[^\s)]+)\)? with \(error (?<e>.+)\)",
        |c| Event::DeregistrationFailed { group: text(c, "tg"), error: text(c, "e") },
    ),
    (r"was unable to place a task because (?<r>.+)$", |c| Event::CannotPlace {
        reason: text(c, "r"),
    }),
    (r"was unable to place a task\. Reason: (?<r>.+)$", |c| Event::CannotPlace {
        reason: text(c, "r"),
    }),
    (r"is unable to consistently start tasks successfully", |_| Event::CannotStartConsistently),
    (
        r"was unable to stop or start tasks during a deployment because of the service deployment configuration",
        |_| Event::PercentDeadlock,
    ),
    (
        r"unable to scale in(\. Reason: The number of protected tasks| due to \(reason \d+ tasks? under protection\))",
        |_| Event::ProtectedTasks,
    ),
    (r"No Container Instances were found in your capacity provider", |_| {
        Event::NoInstancesInProvider
    }),
    (r"could not launch (?<n>\d+) tasks? for deployment", |c| Event::CouldNotLaunch {
        count: count(c),
    }),
    (r"tasks provisioning capacity limit was exceeded", |_| Event::ProvisioningLimit),
    (r"operations are being throttled", |_| Event::Throttled),
    (r"IAM (permissions policies have|trust relationship has) been misconfigured", |_| {
        Event::IamMisconfigured
    }),
    (r"Timed out waiting for Amazon ECS Agent to start", |_| Event::AgentTimedOut),
];

static PATTERNS: LazyLock<Vec<(Regex, Make)>> = LazyLock::new(|| {
    GRAMMAR.iter().filter_map(|(text, make)| Some((pattern(text)?, *make))).collect()
});

/// Reads one service event.
pub fn read(message: &str) -> Event<'_> {
    PATTERNS
        .iter()
        .find_map(|(pattern, make)| pattern.captures(message).map(|captures| make(&captures)))
        .unwrap_or(Event::Other)
}

/// What an event says of why: what follows "Reason:" or stands in "with (error …)", without the
/// pointer to the documentation after it; the whole of an event that has neither.
pub fn why(message: &str) -> &str {
    let after = |mark: &str| message.split_once(mark).map(|(_, after)| after);
    let reason = after(" Reason: ").or_else(|| {
        let error = after(" with (error ")?.trim_end_matches('.');
        Some(error.strip_suffix(')').unwrap_or(error))
    });
    let reason = reason.unwrap_or(message);
    let end = reason.find(" For more information, see").or_else(|| reason.find(" For more, see"));
    reason[..end.unwrap_or(reason.len())].trim()
}

/// Whom an event is about, where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// The id of a task.
    pub task: Option<&'a str>,
    /// The id of a deployment or a task set, as its tasks have it in `startedBy`.
    pub version: Option<&'a str>,
}

static TASK: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\(task ([0-9a-f-]+)\)"));
static VERSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b(?:taskSet|task set|deployment) \(?(ecs-svc/[0-9]+)"));

/// The first task and the first version that an event names.
pub fn about(message: &str) -> About<'_> {
    let first = |pattern: &Option<Regex>| {
        let captures = pattern.as_ref()?.captures(message)?;
        captures.get(1).map(|found| found.as_str())
    };
    About { task: first(&TASK), version: first(&VERSION) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_a_task_a_version_both_or_neither() {
        let task = "0123456789abcdef0123456789abcdef";
        let about_task =
            format!("(service api) (task {task}) (port 80) is unhealthy in (target-group tg)");
        let set = format!("(service api, taskSet ecs-svc/12) (task {task}) (port 80) is unhealthy");
        for (message, names, version) in [
            ("(service api) has reached a steady state.", None, None),
            (about_task.as_str(), Some(task), None),
            (set.as_str(), Some(task), Some("ecs-svc/12")),
            ("(service api) (deployment ecs-svc/8) deployment failed: x.", None, Some("ecs-svc/8")),
            ("(service api) rolling back to deployment ecs-svc/7.", None, Some("ecs-svc/7")),
            ("because task set (ecs-svc/1) was unable to scale in", None, Some("ecs-svc/1")),
        ] {
            assert_eq!(about(message), About { task: names, version }, "{message}");
        }
        assert!(TASK.is_some() && VERSION.is_some());
    }

    #[test]
    fn why_is_what_follows_the_reason_up_to_the_pointer_to_the_docs() {
        for (message, why_it_says) in [
            (
                "(service api) was unable to place a task. Reason: Internal error. For more information, see the Troubleshooting section.",
                "Internal error.",
            ),
            (
                "(service api) failed to launch a task with (error TaskDefinition is inactive).",
                "TaskDefinition is inactive",
            ),
            (
                "(service api) failed to launch a task with (error No such role (api)).",
                "No such role (api)",
            ),
            (
                "(service api) has reached a steady state.",
                "(service api) has reached a steady state.",
            ),
        ] {
            assert_eq!(why(message), why_it_says);
        }
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(PATTERNS.len(), GRAMMAR.len());
    }

    #[test]
    fn reads_events_as_ecs_writes_them() {
        let group =
            "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/api/0123456789abcdef";
        let unhealthy = format!(
            "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason Health checks failed with these codes: [404])."
        );
        let registered = format!("(service api) registered 2 targets in (target-group {group})");
        let deregistered =
            format!("(service api) deregistered 1 targets in (target-group {group})");
        let gone = format!(
            "(service api, taskSet ecs-svc/1) (task 0123456789abcdef0123456789abcdef) is not healthy in target-group ({group})) due to TARGET GROUP IS NOT FOUND."
        );
        let task_unhealthy = format!(
            "(service api, taskSet ecs-svc/12) (task 0123456789abcdef0123456789abcdef) (port 80) is unhealthy in (target-group {group}) due to (reason Request timed out)"
        );
        let cases: &[(&str, Event)] = &[
            ("(service api) has reached a steady state.", Event::SteadyState),
            (
                "(service api) has started 2 tasks: (task 0123456789abcdef0123456789abcdef) (task 1123456789abcdef0123456789abcdef).",
                Event::Started { count: 2 },
            ),
            (
                "(service api) has stopped 1 running tasks: (task 0123456789abcdef0123456789abcdef).",
                Event::Stopped { count: 1 },
            ),
            (&registered, Event::Registered { count: 2, group }),
            (&deregistered, Event::Deregistered { count: 1, group }),
            (
                "(service api, taskSet ecs-svc/7) has begun draining connections on 1 tasks.",
                Event::Draining { count: 1 },
            ),
            (
                "(service api) (deployment ecs-svc/7) deployment completed.",
                Event::DeploymentCompleted { deployment: "ecs-svc/7" },
            ),
            (
                "(service api) (deployment ecs-svc/8) deployment failed: tasks failed to start.",
                Event::DeploymentFailed { deployment: "ecs-svc/8", why: "tasks failed to start" },
            ),
            (
                "(service api) (deployment ecs-svc/8) deployment failed: alarm detected.",
                Event::DeploymentFailed { deployment: "ecs-svc/8", why: "alarm detected" },
            ),
            (
                "(service api) rolling back to deployment ecs-svc/7.",
                Event::RollingBackTo { deployment: "ecs-svc/7" },
            ),
            (
                &unhealthy,
                Event::TargetUnhealthy {
                    group,
                    reason: "Health checks failed with these codes: [404]",
                },
            ),
            (&task_unhealthy, Event::TargetUnhealthy { group, reason: "Request timed out" }),
            (&gone, Event::TargetGroupNotFound { group }),
            (
                "(service api) was unable to place a task. Reason: Capacity is unavailable at this time.",
                Event::CannotPlace { reason: "Capacity is unavailable at this time." },
            ),
            (
                "(service api) is unable to consistently start tasks successfully.",
                Event::CannotStartConsistently,
            ),
            (
                "(service api) was unable to place a task because no container instance met all of its requirements.",
                Event::CannotPlace { reason: "no container instance met all of its requirements." },
            ),
            (
                "Service deployment rolled back because the circuit breaker threshold was exceeded.",
                Event::RolledBack { why: "the circuit breaker threshold was exceeded." },
            ),
            ("No rollback candidate was found to run the rollback.", Event::NoRollbackCandidate),
            (
                "(service api) failed to launch a task with (error ECS was unable to assume the role).",
                Event::LaunchFailed { error: "ECS was unable to assume the role" },
            ),
            (
                "(service api) failed to register targets in (target-group api) with (error not authorized)",
                Event::RegistrationFailed { group: "api", error: "not authorized" },
            ),
            (
                "(service api) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
                Event::PercentDeadlock,
            ),
            (
                "(service api) was unable to reach steady state because task set (ecs-svc/1) was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks.",
                Event::ProtectedTasks,
            ),
            (
                "(service api, taskSet ecs-svc/1) was unable to scale in due to (reason 2 tasks under protection).",
                Event::ProtectedTasks,
            ),
            (
                "(service api) could not launch 3 tasks for deployment ecs-svc/1.",
                Event::CouldNotLaunch { count: 3 },
            ),
            (
                "(service api) was unable to place tasks in your cluster because the tasks provisioning capacity limit was exceeded.",
                Event::ProvisioningLimit,
            ),
            (
                "(service api) operations are being throttled. Will try again later.",
                Event::Throttled,
            ),
            (
                "(service api) IAM trust relationship has been misconfigured or changed, and ECS can no longer maintain your service.",
                Event::IamMisconfigured,
            ),
            ("(service api) did something new.", Event::Other),
        ];
        for (message, event) in cases {
            assert_eq!(&read(message), event, "{message}");
        }
    }
}
