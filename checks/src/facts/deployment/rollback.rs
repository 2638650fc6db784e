//! Rollbacks: whether a deployment was rolled back, what made ECS roll it back, and which of its
//! alarms fired. How a rollout goes forward is for `rollout` to say.

use jiff::Timestamp;

use crate::aws::event::{self, Event};
use crate::aws::rollback_reason::{self, Reason, RuleFault};
use crate::facts::deployment::{hook, rollout};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::deployment::ListedDeployment;
use crate::snapshot::{AlarmTransition, ServiceDeployment, ServiceEvent};
use crate::text::{and_list, count};

/// Whether the old version is back in place.
pub fn is_done(deployment: &ServiceDeployment) -> bool {
    deployment.status == "ROLLBACK_SUCCESSFUL"
        || (deployment.status == "STOPPED" && deployment.rollback.is_some())
}

/// Whether ECS is rolling back, has rolled back, or could not.
pub fn began(deployment: &ServiceDeployment) -> bool {
    is_done(deployment)
        || matches!(
            deployment.status.as_str(),
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_FAILED"
        )
}

pub fn started(deployment: &ServiceDeployment) -> Option<Timestamp> {
    deployment.rollback.as_ref().and_then(|rollback| rollback.started_at)
}

/// Whether ECS is on its way back, or could not get there.
pub fn is_open(deployment: &ServiceDeployment) -> bool {
    began(deployment) && !is_done(deployment)
}

/// The last deployment that succeeded, of all that ECS still lists.
pub fn last_success<'a>(patient: &Patient<'a>) -> Result<Option<&'a ListedDeployment>, Blind> {
    Ok(patient.listed_deployments()?.iter().find(|listed| listed.status == "SUCCESSFUL"))
}

/// What ECS says about why it rolled back, as evidence.
pub fn reason(deployment: &ServiceDeployment) -> Option<Evidence> {
    let given = deployment.rollback.as_ref().and_then(|rollback| rollback.reason.as_deref());
    match (given, deployment.status_reason.as_deref()) {
        (Some(reason), _) => Some(rollout::evidence(deployment, "rollback.reason", reason)),
        (None, Some(reason)) => Some(rollout::evidence(deployment, "statusReason", reason)),
        (None, None) => None,
    }
}

/// What made ECS roll a deployment back, each in words that follow "because", with its proof: the
/// breaker, an alarm, a hook, the listener rule, a role, a person. `fired` are the alarms that
/// fired, as far as they are known.
pub fn triggers(
    patient: &Patient,
    deployment: &ServiceDeployment,
    fired: &[&str],
) -> Vec<(String, Evidence)> {
    let mut triggers: Vec<(String, Evidence)> = Vec::new();
    if let Some(breaker) = deployment
        .deployment_circuit_breaker
        .as_ref()
        .filter(|breaker| breaker.status.as_deref() == Some("TRIGGERED"))
    {
        let failed = count(breaker.failure_count.max(0) as usize, "failed task");
        let says = format!(
            "the circuit breaker counted {failed} (its threshold is {})",
            breaker.threshold
        );
        triggers.push((
            says,
            rollout::evidence(deployment, "deploymentCircuitBreaker.status", "TRIGGERED"),
        ));
    }
    if let Some(evidence) = alarm_evidence(patient, deployment) {
        let says = match fired {
            [] => "an alarm fired".to_owned(),
            [one] => format!("alarm {one} fired"),
            several => format!("alarms {} fired", and_list(several)),
        };
        triggers.push((says, evidence));
    }
    let mut told = false;
    for (reason, evidence) in reasons(patient, deployment) {
        let Some(says) = words(&reason) else { continue };
        told = true;
        if !triggers.iter().any(|(known, _)| *known == says) {
            triggers.push((says, evidence));
        }
    }
    let failed =
        deployment.lifecycle_hook_details.iter().filter(|hook| !told && hook::has_failed(hook));
    triggers.extend(failed.filter_map(|failed| {
        let status = failed.status.as_deref()?;
        let how = if status == "FAILED" { "failed" } else { "timed out" };
        let says = format!("lifecycle hook {} {how}", hook::name(failed));
        Some((says, rollout::evidence(deployment, "lifecycleHookDetails.status", status)))
    }));
    if let Some(reason) =
        reason(deployment).filter(|reason| triggers.is_empty() && is_by_person(&reason.value))
    {
        let says =
            format!("a person or a script stopped it (\"{}\")", reason.value.trim_end_matches('.'));
        triggers.push((says, reason));
    }
    triggers
}

fn alarm_evidence(patient: &Patient, deployment: &ServiceDeployment) -> Option<Evidence> {
    let alarms = deployment.alarms.as_ref()?;
    match (alarms.triggered_alarm_names.first(), alarms.status.as_deref()) {
        (Some(first), _) => {
            Some(rollout::evidence(deployment, "alarms.triggeredAlarmNames", first))
        }
        (None, Some("TRIGGERED")) => {
            Some(rollout::evidence(deployment, "alarms.status", "TRIGGERED"))
        }
        _ => alarm_event(patient, deployment)
            .map(|event| patient.evidence("events.message", &event.message).at(event.created_at)),
    }
}

/// A reason of ECS's in a few words; none for what is told by the deployment itself, or is not
/// understood.
fn words(reason: &Reason) -> Option<String> {
    use rollback_reason::HookFailure::{NotInvoked, Other, RoleNotAssumed, SaidFailed, Unparsed};
    match reason {
        Reason::Hook { failure: SaidFailed { target }, .. } => {
            Some(format!("lifecycle hook {} returned FAILED", hook::function_name(target)))
        }
        Reason::Hook { failure: Unparsed { target, .. }, .. } => Some(format!(
            "lifecycle hook {} returned a response that ECS cannot read",
            hook::function_name(target)
        )),
        Reason::Hook { failure: NotInvoked { target, .. }, .. } => {
            Some(format!("lifecycle hook {} could not be called", hook::function_name(target)))
        }
        Reason::Hook { failure: RoleNotAssumed { .. }, .. } => {
            Some("the role of a lifecycle hook could not be assumed".into())
        }
        Reason::Hook { stage, failure: Other(_) } => {
            Some(format!("a lifecycle hook at stage {stage} failed"))
        }
        Reason::PauseTimedOut { stage } => {
            Some(format!("nobody approved it in time at the pause of stage {stage}"))
        }
        Reason::Denied(denied) => Some(match denied.action {
            Some(action) => format!("role {} does not allow {action}", denied.name()),
            None => format!("role {} lacks permissions", denied.name()),
        }),
        Reason::Rule(RuleFault::Other(_))
        | Reason::Breaker
        | Reason::NoCandidate
        | Reason::Other => None,
        Reason::Rule(_) => Some("its listener rules do not fit the strategy".into()),
    }
}

/// AWS does not document its words for it: these name a user's request, and no other reason that is
/// known does.
fn is_by_person(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase().replace('-', " ");
    ["stopservicedeployment", "stop service deployment", "user initiated", "user request"]
        .iter()
        .any(|words| reason.contains(words))
}

/// The event with which ECS says that an alarm ended this deployment; only rolling deployments have
/// one.
pub fn alarm_event<'a>(
    patient: &Patient<'a>,
    deployment: &ServiceDeployment,
) -> Option<&'a ServiceEvent> {
    let began = rollout::started(deployment)?;
    let since = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= began));
    since.into_iter().find(|event| {
        matches!(event::read(&event.message), Event::DeploymentFailed { why: "alarm detected", .. })
    })
}

/// The alarms that made ECS roll back: those that it names. Where it names none, the only alarm
/// that it watched, or of several those whose history shows that they fired meanwhile.
pub fn fired_alarms<'a>(
    patient: &Patient<'a>,
    deployment: &'a ServiceDeployment,
) -> Result<Vec<&'a str>, Blind> {
    let Some(alarms) = deployment.alarms.as_ref().filter(|_| began(deployment)) else {
        return Ok(Vec::new());
    };
    let named = |names: &'a [String]| names.iter().map(String::as_str).collect::<Vec<_>>();
    let triggered =
        alarms.status.as_deref() == Some("TRIGGERED") || alarm_event(patient, deployment).is_some();
    match (alarms.triggered_alarm_names.as_slice(), alarms.alarm_names.as_slice()) {
        ([], _) if !triggered => Ok(Vec::new()),
        ([], [only]) => Ok(vec![only]),
        ([], several) => {
            let mut fired = Vec::new();
            for name in named(several) {
                fired.extend(went_off(patient, deployment, name)?.map(|_| name));
            }
            Ok(fired)
        }
        (triggered, _) => Ok(named(triggered)),
    }
}

/// When an alarm went to ALARM during a deployment, before ECS began to roll back. An alarm that
/// was in ALARM already when the deployment began is ignored by ECS, and here, too.
pub fn went_off<'a>(
    patient: &Patient<'a>,
    deployment: &ServiceDeployment,
    alarm: &str,
) -> Result<Option<&'a AlarmTransition>, Blind> {
    let began = rollout::started(deployment);
    let ended = started(deployment).or(deployment.finished_at).unwrap_or(patient.now());
    let within = |transition: &&AlarmTransition| {
        transition.timestamp.is_some_and(|at| began.is_some_and(|began| began <= at) && at <= ended)
    };
    // The history is newest first, and the first time is the one that counts.
    Ok(patient
        .alarm_history(alarm)?
        .iter()
        .rev()
        .filter(|transition| transition.to_alarm())
        .find(within))
}

/// Every reason that ECS gives for rolling a deployment back: its own two, and those of its events.
pub fn reasons<'a>(
    patient: &Patient<'a>,
    deployment: &'a ServiceDeployment,
) -> Vec<(Reason<'a>, Evidence)> {
    let own = deployment
        .rollback
        .iter()
        .filter_map(|rollback| rollback.reason.as_deref())
        .map(|reason| (reason, "rollback.reason"));
    let own = own.chain(deployment.status_reason.as_deref().map(|reason| (reason, "statusReason")));
    let own = own.map(|(reason, field)| {
        (rollback_reason::read(reason), rollout::evidence(deployment, field, reason))
    });
    let began = rollout::started(deployment);
    let since = patient.service().events.iter().filter(move |event| {
        event.created_at.is_some_and(|at| began.is_some_and(|began| at >= began))
    });
    let told =
        since.filter(|event| matches!(event::read(&event.message), Event::RolledBack { .. }));
    own.chain(told.map(|event| {
        (
            rollback_reason::read(&event.message),
            patient.evidence("events.message", &event.message).at(event.created_at),
        )
    }))
    .collect()
}
