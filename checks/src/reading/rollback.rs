//! Going back: whether a deployment was given up, what made ECS give it up, and which of its alarms fired.
//! How a rollout goes forward is for `rollout` to say.

use jiff::Timestamp;

use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::event::{self, Event};
use crate::reading::rollout;
use crate::seen::Blind;
use crate::snapshot::deployment::ListedDeployment;
use crate::snapshot::{AlarmTransition, ServiceDeployment, ServiceEvent};

/// Whether the old version is back in place.
pub fn is_done(deployment: &ServiceDeployment) -> bool {
    deployment.status == "ROLLBACK_SUCCESSFUL" || (deployment.status == "STOPPED" && deployment.rollback.is_some())
}

/// Whether ECS goes back, has gone back, or could not.
pub fn began(deployment: &ServiceDeployment) -> bool {
    is_done(deployment) || matches!(deployment.status.as_str(), "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_FAILED")
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

/// What ECS says of why it went back, as evidence.
pub fn reason(deployment: &ServiceDeployment) -> Option<Evidence> {
    let given = deployment.rollback.as_ref().and_then(|rollback| rollback.reason.as_deref());
    match (given, deployment.status_reason.as_deref()) {
        (Some(reason), _) => Some(rollout::evidence(deployment, "rollback.reason", reason)),
        (None, Some(reason)) => Some(rollout::evidence(deployment, "statusReason", reason)),
        (None, None) => None,
    }
}

/// The event with which ECS says that an alarm ended this deployment; only rolling deployments have one.
pub fn alarm_event<'a>(patient: &Patient<'a>, deployment: &ServiceDeployment) -> Option<&'a ServiceEvent> {
    let began = rollout::started(deployment)?;
    let since = patient.service().events.iter().filter(|event| event.created_at.is_some_and(|at| at >= began));
    since.into_iter().find(|event| matches!(event::read(&event.message), Event::DeploymentFailed { why: "alarm detected", .. }))
}

/// The alarms that made ECS go back: those that it names. Where it names none, the only alarm that it watched, or
/// of several those whose history shows that they fired meanwhile.
pub fn fired_alarms<'a>(patient: &Patient<'a>, deployment: &'a ServiceDeployment) -> Result<Vec<&'a str>, Blind> {
    let Some(alarms) = deployment.alarms.as_ref().filter(|_| began(deployment)) else { return Ok(Vec::new()) };
    let named = |names: &'a [String]| names.iter().map(String::as_str).collect::<Vec<_>>();
    let triggered = alarms.status.as_deref() == Some("TRIGGERED") || alarm_event(patient, deployment).is_some();
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

/// When an alarm went to ALARM during a deployment, before ECS began to go back. An alarm that was in ALARM already
/// when the deployment began is ignored by ECS, and so it is here.
pub fn went_off<'a>(patient: &Patient<'a>, deployment: &ServiceDeployment, alarm: &str) -> Result<Option<&'a AlarmTransition>, Blind> {
    let began = rollout::started(deployment);
    let ended = started(deployment).or(deployment.finished_at).unwrap_or(patient.now());
    let within = |transition: &&AlarmTransition| transition.timestamp.is_some_and(|at| began.is_some_and(|began| began <= at) && at <= ended);
    // The history is newest first, and the first time is the one that counts.
    Ok(patient.alarm_history(alarm)?.iter().rev().filter(|transition| transition.to_alarm()).find(within))
}
