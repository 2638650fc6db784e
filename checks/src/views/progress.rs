//! The newest deployment, told: where it is, what it waits for, when it should end, what both
//! versions have of tasks and traffic, what the breaker and the alarms say; and of a rollback what
//! triggered it, from where to where.

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::facts::deployment::rollout::Strategy;
use crate::facts::deployment::{hook, rollback, rollout};
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop;
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::deployment::{BreakerState, HookDetail};
use crate::snapshot::metric::Metric;
use crate::snapshot::{AlarmTransition, RevisionSummary, ServiceDeployment};
use crate::text::count;

/// The newest deployment as it stands.
#[derive(Debug)]
pub struct Progress<'a> {
    pub deployment: &'a ServiceDeployment,
    /// `api:13`, where its version is known.
    pub brings: Option<&'a str>,
    pub strategy: Strategy,
    pub is_under_way: bool,
    pub began: Option<Timestamp>,
    /// Of a rollout that is over.
    pub ended: Option<Timestamp>,
    /// When its stage began, about.
    pub stage_began: Option<Timestamp>,
    /// What has to happen before it continues; ends without a full stop.
    pub waits_for: Option<String>,
    /// About, if nothing comes between; only where bakes are all that is left.
    pub ends: Option<Timestamp>,
    /// The new version first.
    pub sides: Vec<Side<'a>>,
    pub requests: Option<Requests>,
    pub breaker: Option<Breaker<'a>>,
    pub alarms: Vec<AlarmNow<'a>>,
    pub rollback: Option<WentBack<'a>>,
}

/// One of the versions of a deployment.
#[derive(Debug)]
pub struct Side<'a> {
    pub is_new: bool,
    pub revision: &'a str,
    /// `api:13`, where it is known.
    pub brings: Option<&'a str>,
    pub requested: i32,
    pub running: i32,
    pub pending: i32,
    /// The part of the traffic that the deployment wants it to have, 0 to 100.
    pub asked: Option<f64>,
    /// The part that the listener rule gives to its target group.
    pub set: Option<f64>,
}

/// Requests to all target groups of the service since a moment: the beginning of the stage, three
/// minutes to an hour ago.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    pub since: Timestamp,
    pub count: f64,
}

#[derive(Debug)]
pub struct Breaker<'a> {
    pub state: &'a BreakerState,
    /// Why it does not, or may not, see the failure.
    pub blind: Option<String>,
}

/// An alarm that the deployment watches.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmNow<'a> {
    pub name: &'a str,
    pub state: Option<&'a str>,
    pub since: Option<Timestamp>,
    /// Whether it was in ALARM already when the deployment began: then ECS ignores it. Unknown
    /// where its history is.
    pub fired_before: Option<bool>,
}

/// What ECS did when it rolled the new version back.
#[derive(Debug)]
pub struct WentBack<'a> {
    pub trigger: String,
    pub at: Option<Timestamp>,
    pub from: Option<&'a str>,
    /// None where ECS found no version to roll back to.
    pub to: Option<&'a str>,
    /// Why ECS could not, in its own words.
    pub why_not: Option<&'a str>,
}

/// The newest deployment, where ECS controls it.
pub fn read<'a>(patient: &Patient<'a>, unseen: &mut Unseen) -> Option<Progress<'a>> {
    if !rollout::ecs_controls(patient) {
        return None;
    }
    let deployment = unseen.see(rollout::newest(patient)).flatten()?;
    let brings = unseen.see(rollout::brings(patient, deployment)).flatten().map(rollout::short);
    let is_under_way = rollout::is_under_way(deployment);
    let stage_began = rollout::stage_began(deployment);
    let forwards = unseen.see(traffic::forwards(patient)).unwrap_or_default();
    let sides = sides(patient, deployment, &forwards, unseen);
    let waits_for = is_under_way.then(|| waits_for(patient, deployment)).flatten();
    Some(Progress {
        brings,
        strategy: Strategy::of(&deployment.deployment_configuration),
        is_under_way,
        began: rollout::started(deployment),
        ended: if is_under_way { None } else { deployment.finished_at.or(deployment.stopped_at) },
        stage_began: stage_began.filter(|_| is_under_way),
        waits_for,
        ends: ends(patient, deployment),
        requests: if is_under_way { requests(patient, stage_began, unseen) } else { None },
        breaker: breaker(patient, deployment, unseen),
        alarms: alarms(patient, deployment, unseen),
        rollback: went_back(patient, deployment, brings, unseen),
        sides,
        deployment,
    })
}

fn sides<'a>(
    patient: &Patient<'a>,
    deployment: &'a ServiceDeployment,
    forwards: &[traffic::Forward<'a>],
    unseen: &mut Unseen,
) -> Vec<Side<'a>> {
    let new = deployment.target_service_revision.iter().map(|summary| (true, summary));
    let old = deployment.source_service_revisions.iter().map(|summary| (false, summary));
    let mut side = |is_new: bool, summary: &'a RevisionSummary| {
        let revision = unseen.see(patient.revision(&summary.arn)).flatten();
        let groups: Vec<&str> = revision
            .iter()
            .flat_map(|one| &one.resolved_load_balancers)
            .filter_map(|one| one.target_group_arn.as_deref())
            .collect();
        let shares =
            forwards.iter().filter(|forward| forward.managed).flat_map(|forward| &forward.shares);
        Side {
            is_new,
            revision: &summary.arn,
            brings: revision
                .and_then(|revision| revision.task_definition.as_deref())
                .map(rollout::short),
            requested: summary.requested_task_count,
            running: summary.running_task_count,
            pending: summary.pending_task_count,
            asked: summary.requested_production_traffic_weight,
            set: shares
                .into_iter()
                .find(|share| groups.contains(&share.group))
                .map(|share| share.percent),
        }
    };
    let mut sides: Vec<Side> =
        new.chain(old).map(|(is_new, summary)| side(is_new, summary)).collect();
    // Rolling deployments register both versions in one group: its part of the traffic is nobody's
    // own.
    if Strategy::of(&deployment.deployment_configuration) == Strategy::Rolling {
        sides.iter_mut().for_each(|side| side.set = None);
    }
    sides
}

fn waits_for(patient: &Patient, deployment: &ServiceDeployment) -> Option<String> {
    if matches!(deployment.status.as_str(), "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS") {
        return Some("the old version to take over again".into());
    }
    if deployment.status == "STOP_REQUESTED" {
        return Some("the requested stop to finish".into());
    }
    if let Some(hook) =
        deployment.lifecycle_hook_details.iter().find_map(|hook| hook_words(patient, hook))
    {
        return Some(hook);
    }
    let target = deployment.target_service_revision.as_ref()?;
    let missing = target.requested_task_count.saturating_sub(target.running_task_count);
    if missing > 0 {
        return Some(format!(
            "{} of {} tasks of the new version to run",
            missing, target.requested_task_count
        ));
    }
    if let Some(bake) = rollout::baking(patient, deployment) {
        return Some(format!(
            "its bake time of {}, until about {}",
            time::words(bake.length),
            time::clock(bake.ends)
        ));
    }
    let alarms = deployment.alarms.as_ref().is_some_and(|alarms| !alarms.alarm_names.is_empty());
    match (deployment.lifecycle_stage.as_deref(), rollout::bake_ends(deployment)) {
        (Some("CLEAN_UP"), _) => Some("old targets to drain and old tasks to stop".into()),
        (_, Some(ended)) => {
            let late = time::words(time::age(patient.now(), ended));
            let what = if alarms { ": likely its alarms" } else { "" };
            Some(format!("something beyond its bake time, which ended {late} ago{what}"))
        }
        (Some("SCALE_UP" | "POST_SCALE_UP"), None) => Some("the new tasks to be healthy".into()),
        (None | Some("RECONCILE_SERVICE"), None) => old_tasks(deployment),
        (Some(_), None) => None,
    }
}

fn old_tasks(deployment: &ServiceDeployment) -> Option<String> {
    let old: i32 = deployment
        .source_service_revisions
        .iter()
        .map(|revision| revision.running_task_count)
        .sum();
    let words = count(tally(old), "old task");
    (old > 0).then(|| format!("{words} to drain and stop"))
}

fn hook_words(patient: &Patient, detail: &HookDetail) -> Option<String> {
    let until = detail.expires_at.map_or_else(String::new, |at| {
        let then = match detail.timeout_action.as_deref() {
            Some("CONTINUE") => ", when it continues automatically",
            Some("ROLLBACK") => ", when it rolls back",
            _ => "",
        };
        format!(
            ", until {} (in {}){then}",
            time::clock(at),
            time::words(at.duration_since(patient.now()))
        )
    });
    let id = detail.hook_id.as_deref().unwrap_or("without an id");
    match (detail.status.as_deref()?, detail.target_type.as_deref()) {
        ("AWAITING_ACTION", _) => Some(format!("approval at pause hook {id}{until}")),
        ("IN_PROGRESS", Some("PAUSE")) => Some(format!("pause hook {id}{until}")),
        ("IN_PROGRESS", _) => Some(format!("lifecycle hook {}{until}", hook::name(detail))),
        _ => None,
    }
}

/// When it should end: after the present bake and those that follow it. Earlier stages have no
/// known end.
fn ends(patient: &Patient, deployment: &ServiceDeployment) -> Option<Timestamp> {
    let bake = rollout::baking(patient, deployment)?;
    let configured = &deployment.deployment_configuration;
    let last = time::minutes(configured.bake_time_in_minutes.unwrap_or(0));
    let weight = deployment
        .target_service_revision
        .as_ref()
        .and_then(|revision| revision.requested_production_traffic_weight);
    let rest = match (deployment.lifecycle_stage.as_deref(), Strategy::of(configured)) {
        (Some("PRODUCTION_TRAFFIC_SHIFT"), Strategy::Canary) => last,
        (Some("PRODUCTION_TRAFFIC_SHIFT"), Strategy::Linear) => {
            let step = configured.step_percent.unwrap_or(10.0).max(0.1);
            // The last step is the whole, and what follows it is the bake.
            let steps = ((100.0 - weight?) / step).ceil() as i32 - 1;
            last + time::minutes(
                configured.step_bake_time_in_minutes.unwrap_or(6).saturating_mul(steps.max(0)),
            )
        }
        _ => SignedDuration::ZERO,
    };
    Some(time::after(bake.ends, rest))
}

fn requests(
    patient: &Patient,
    stage_began: Option<Timestamp>,
    unseen: &mut Unseen,
) -> Option<Requests> {
    let minutes_ago = |minutes| time::before(patient.now(), SignedDuration::from_mins(minutes));
    // Metrics have one value a minute, and the newest come late: of less than three minutes they
    // would say nothing.
    let since = stage_began?.clamp(minutes_ago(60), minutes_ago(3));
    let groups = unseen.see(traffic::groups(patient))?;
    if groups.is_empty() {
        return None;
    }
    let mut count = 0.0;
    for group in groups {
        // A group that we cannot see could have had them all.
        count += unseen
            .see(patient.metric(Metric::GroupRequests, group))?
            .map_or(0.0, |series| series.sum_since(since));
    }
    Some(Requests { since, count })
}

fn breaker<'a>(
    patient: &Patient,
    deployment: &'a ServiceDeployment,
    unseen: &mut Unseen,
) -> Option<Breaker<'a>> {
    let state = deployment.deployment_circuit_breaker.as_ref()?;
    let configured = deployment.deployment_configuration.deployment_circuit_breaker.as_ref();
    let off = state.status.as_deref() == Some("DISABLED")
        || configured.is_some_and(|breaker| !breaker.enable);
    let blind = if off {
        Some("it is off, so failing tasks do not stop the deployment".into())
    } else if rollout::is_under_way(deployment) && state.status.as_deref() == Some("MONITORING") {
        let resets = configured.is_none_or(|breaker| breaker.reset_on_healthy_task != Some(false));
        let failed = failed_tasks(patient, deployment, unseen);
        let unseen_failures =
            resets && state.failure_count < state.threshold && failed > tally(state.threshold);
        unseen_failures
            .then(|| format!("{} failed since it began; each task that is healthy for a moment resets its count to 0", count(failed, "task")))
    } else {
        None
    };
    Some(Breaker { state, blind })
}

/// A count of AWS's as one of ours; below 0 there is none.
fn tally(number: i32) -> usize {
    number.max(0) as usize
}

/// How many tasks of the version that is brought up failed since the deployment began.
fn failed_tasks(patient: &Patient, deployment: &ServiceDeployment, unseen: &mut Unseen) -> usize {
    let versions = unseen.see(stop::failing_versions(patient)).unwrap_or_default();
    let groups = unseen.see(stop::groups(patient)).unwrap_or_default();
    let began = rollout::started(deployment);
    let failures = groups.iter().filter(|group| group.kind.is_failure() && group.is_of(&versions));
    failures.flat_map(|group| &group.tasks).filter(|task| task.stopped_at >= began).count()
}

fn alarms<'a>(
    patient: &Patient<'a>,
    deployment: &'a ServiceDeployment,
    unseen: &mut Unseen,
) -> Vec<AlarmNow<'a>> {
    let names = deployment.alarms.iter().flat_map(|alarms| &alarms.alarm_names);
    names
        .map(|name| {
            let alarm = unseen.see(patient.alarm(name)).flatten();
            let history = unseen.see(patient.alarm_history(name));
            let (state, since) = (
                alarm.map(|alarm| alarm.state_value.as_str()),
                alarm.and_then(|alarm| alarm.state_updated_timestamp),
            );
            let fired_before = match (rollout::started(deployment), history) {
                (Some(began), Some(history)) => was_firing(history, began).or_else(|| {
                    // Without a change of state since, it was then what it is now.
                    since.filter(|since| *since <= began).and(state).map(|state| state == "ALARM")
                }),
                _ => None,
            };
            AlarmNow { name, state, since, fired_before }
        })
        .collect()
}

/// Whether an alarm was in ALARM at a moment: by the last change before it, or by what the first
/// one after it left.
fn was_firing(history: &[AlarmTransition], at: Timestamp) -> Option<bool> {
    let before =
        history.iter().find(|transition| transition.timestamp.is_some_and(|when| when <= at));
    let after =
        history.iter().rev().find(|transition| transition.timestamp.is_some_and(|when| when > at));
    before
        .map(AlarmTransition::to_alarm)
        .or_else(|| after.map(|transition| transition.history_summary.contains("from ALARM to")))
}

fn went_back<'a>(
    patient: &Patient<'a>,
    deployment: &'a ServiceDeployment,
    brings: Option<&'a str>,
    unseen: &mut Unseen,
) -> Option<WentBack<'a>> {
    if !rollback::began(deployment) {
        return None;
    }
    let to =
        deployment.rollback.as_ref().and_then(|rollback| rollback.service_revision_arn.as_deref());
    let version = |arn: &'a str, unseen: &mut Unseen| {
        let definition =
            unseen.see(rollout::task_definition(patient, arn)).flatten().map(rollout::short);
        // A forced deployment has no task definition of its own.
        definition.filter(|definition| Some(*definition) != brings).unwrap_or(rollout::short(arn))
    };
    Some(WentBack {
        trigger: trigger(patient, deployment, unseen),
        at: rollback::started(deployment),
        from: brings.or(deployment
            .target_service_revision
            .as_ref()
            .map(|revision| rollout::short(&revision.arn))),
        to: to.map(|arn| version(arn, unseen)),
        why_not: deployment
            .status_reason
            .as_deref()
            .filter(|_| deployment.status == "ROLLBACK_FAILED"),
    })
}

/// Why ECS rolled it back; where no trigger is known, what ECS says.
fn trigger(patient: &Patient, deployment: &ServiceDeployment, unseen: &mut Unseen) -> String {
    let fired = unseen.see(rollback::fired_alarms(patient, deployment)).unwrap_or_default();
    let triggers = rollback::triggers(patient, deployment, &fired);
    match (triggers.is_empty(), rollback::reason(deployment)) {
        (false, _) => triggers.into_iter().map(|(says, _)| says).collect::<Vec<_>>().join(", and "),
        (true, Some(reason)) => format!("ECS says: \"{}\"", reason.value.trim_end_matches('.')),
        (true, None) => "ECS reports no reason".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, roll_out};
    use crate::patient::Intent;
    use crate::snapshot::deployment::{AlarmsState, ResolvedLoadBalancer, Rollback};
    use crate::snapshot::{Snapshot, Task};

    fn told<T>(snapshot: &Snapshot, look: impl FnOnce(Progress) -> T) -> T {
        let intent = Intent::default();
        let mut unseen = Unseen::default();
        look(read(&Patient::new(snapshot, &snapshot.services[0], &intent), &mut unseen).unwrap())
    }

    const ALARM: &str = "default/api/RollbackAlarm";

    fn canary(updated: i64, weight: f64) -> Snapshot {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 20, |deployment| {
            deployment.lifecycle_stage = Some("PRODUCTION_TRAFFIC_SHIFT".into());
            deployment.updated_at = Some(minutes_ago(updated));
            deployment
                .target_service_revision
                .as_mut()
                .unwrap()
                .requested_production_traffic_weight = Some(weight);
            deployment.alarms.as_mut().unwrap().status = Some("MONITORING".into());
        });
        snapshot
    }

    #[test]
    fn a_canary_in_its_bake_ends_after_both_bakes() {
        told(&canary(1, 5.0), |progress| {
            assert_eq!(
                progress.waits_for.as_deref(),
                Some("its bake time of 3 min, until about 03:02 UTC")
            );
            assert_eq!(progress.ends, Some(minutes_ago(-5)));
            assert_eq!(progress.brings, Some("api:13"));
        });
    }

    #[test]
    fn a_canary_past_its_bake_has_no_expected_end() {
        told(&canary(15, 5.0), |progress| {
            let waits = progress.waits_for.unwrap();
            assert_eq!(
                waits,
                "something beyond its bake time, which ended 12 min ago: likely its alarms"
            );
            assert_eq!(progress.ends, None);
        });
    }

    #[test]
    fn linear_steps_that_are_left_count() {
        let mut snapshot = canary(1, 60.0);
        let arn = snapshot.services[0].service_arn.clone();
        let configured =
            &mut snapshot.service_deployments.change(&arn).unwrap()[0].deployment_configuration;
        configured.strategy = Some("LINEAR".into());
        configured.step_percent = Some(20.0);
        configured.step_bake_time_in_minutes = Some(5);
        // 60 %: four minutes are left; 80 %: five more; 100 %: the bake of three minutes.
        told(&snapshot, |progress| assert_eq!(progress.ends, Some(minutes_ago(-12))));
    }

    #[test]
    fn weights_asked_and_set_stand_side_by_side() {
        let mut snapshot = canary(1, 5.0);
        let [live, idle] = baseline::express_groups();
        for (revision, group) in
            snapshot.services[0].current_service_revisions.clone().iter().zip([idle, live])
        {
            let resolved = ResolvedLoadBalancer {
                target_group_arn: Some(group),
                production_listener_rule: None,
            };
            snapshot.revisions.change(revision).unwrap().resolved_load_balancers = vec![resolved];
        }
        told(&snapshot, |progress| {
            let sides: Vec<_> = progress
                .sides
                .iter()
                .map(|side| (side.is_new, side.brings, side.asked, side.set))
                .collect();
            assert_eq!(
                sides,
                [
                    (true, Some("api:13"), Some(5.0), Some(0.0)),
                    (false, Some("api:12"), None, Some(100.0))
                ]
            );
        });
    }

    #[test]
    fn missing_tasks_come_before_bakes() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 4, |deployment| {
            deployment.target_service_revision.as_mut().unwrap().running_task_count = 0
        });
        told(&snapshot, |progress| {
            assert_eq!(
                progress.waits_for.as_deref(),
                Some("2 of 2 tasks of the new version to run")
            )
        });
    }

    #[test]
    fn a_pause_says_for_whom_and_until_when() {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 30, |deployment| {
            deployment.lifecycle_hook_details = vec![HookDetail {
                hook_id: Some("approve".into()),
                target_type: Some("PAUSE".into()),
                status: Some("AWAITING_ACTION".into()),
                expires_at: Some(minutes_ago(-90)),
                timeout_action: Some("ROLLBACK".into()),
                ..HookDetail::default()
            }];
        });
        told(&snapshot, |progress| {
            let expected =
                "approval at pause hook approve, until 04:30 UTC (in 90 min), when it rolls back";
            assert_eq!(progress.waits_for.as_deref(), Some(expected));
        });
    }

    #[test]
    fn requests_count_from_the_stage_and_are_unknown_where_one_group_is_hidden() {
        let mut snapshot = canary(11, 5.0);
        let [live, idle] = baseline::express_groups();
        told(&snapshot, |progress| {
            assert_eq!(
                progress.requests,
                Some(Requests { since: minutes_ago(11), count: 2.0 * 11.0 * 120.0 })
            )
        });
        snapshot.metrics.0.remove(&Metric::GroupRequests.of(&idle));
        told(&snapshot, |progress| assert_eq!(progress.requests, None));
        snapshot.metrics.0.remove(&Metric::GroupRequests.of(&live));
        told(&snapshot, |progress| assert_eq!(progress.requests, None));
    }

    #[test]
    fn an_alarm_that_fired_before_the_deployment_says_so() {
        let transition = |minutes, summary: &str| AlarmTransition {
            timestamp: Some(minutes_ago(minutes)),
            history_summary: summary.into(),
        };
        let (to_alarm, to_ok) =
            ("Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK");
        for (history, expected) in [
            (vec![transition(5, to_ok), transition(60, to_alarm)], Some(true)),
            (vec![transition(5, to_alarm), transition(60, to_ok)], Some(false)),
            (vec![transition(5, to_ok)], Some(true)),
            (vec![transition(5, to_alarm)], Some(false)),
            (Vec::new(), Some(false)),
        ] {
            let mut snapshot = canary(1, 5.0);
            snapshot.alarm_history.put(ALARM, history.clone());
            told(&snapshot, |progress| {
                assert_eq!(progress.alarms[0].fired_before, expected, "{history:?}")
            });
        }
    }

    fn rolled_back(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.finished_at = Some(minutes_ago(28));
            let old =
                deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.rollback = Some(Rollback {
                reason: None,
                started_at: Some(minutes_ago(33)),
                service_revision_arn: old,
            });
            change(deployment);
        });
        snapshot
    }

    #[test]
    fn a_rollback_says_what_triggered_it_from_where_to_where() {
        let by_breaker = rolled_back(|deployment| {
            deployment.deployment_circuit_breaker = Some(BreakerState {
                status: Some("TRIGGERED".into()),
                failure_count: 3,
                threshold: 3,
            });
        });
        told(&by_breaker, |progress| {
            let back = progress.rollback.unwrap();
            assert_eq!(
                back.trigger,
                "the circuit breaker counted 3 failed tasks (its threshold is 3)"
            );
            assert_eq!((back.from, back.to), (Some("api:13"), Some("api:12")));
            assert!(!progress.is_under_way && progress.waits_for.is_none());
        });
        let by_alarm = rolled_back(|deployment| {
            deployment.alarms = Some(AlarmsState {
                status: Some("TRIGGERED".into()),
                alarm_names: vec![ALARM.into()],
                triggered_alarm_names: vec![ALARM.into()],
            });
        });
        told(&by_alarm, |progress| {
            assert_eq!(progress.rollback.unwrap().trigger, format!("alarm {ALARM} fired"))
        });
        told(&rolled_back(|_| ()), |progress| {
            assert_eq!(progress.rollback.unwrap().trigger, "ECS reports no reason")
        });
    }

    #[test]
    fn a_rollback_with_nothing_to_go_back_to_has_no_version_to_name() {
        let snapshot = rolled_back(|deployment| {
            deployment.status = "ROLLBACK_FAILED".into();
            deployment.rollback = None;
            deployment.status_reason =
                Some("No rollback candidate was found to run the rollback.".into());
        });
        told(&snapshot, |progress| {
            let back = progress.rollback.unwrap();
            assert_eq!(back.to, None);
            assert_eq!(back.why_not, Some("No rollback candidate was found to run the rollback."));
            assert_eq!(
                back.trigger,
                "ECS says: \"No rollback candidate was found to run the rollback\""
            );
        });
    }

    #[test]
    fn a_breaker_that_healthy_moments_reset_is_called_blind() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 50, |_| ());
        let arn = snapshot.services[0].service_arn.clone();
        let definition = snapshot.services[0].deployments[0].task_definition.clone().unwrap();
        let stopped = (1..=5).map(|n| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            started_by: Some("ecs-svc/1000000000000000013".into()),
            task_definition_arn: definition.clone(),
            stopped_reason: Some("Task failed container health checks".into()),
            stopped_at: Some(minutes_ago(i64::from(n) * 8)),
            ..Task::default()
        });
        snapshot.stopped_tasks.put(&arn, stopped.collect());
        told(&snapshot, |progress| {
            let blind = progress.breaker.unwrap().blind.unwrap();
            assert_eq!(
                blind,
                "5 tasks failed since it began; each task that is healthy for a moment resets its count to 0"
            );
        });
    }

    #[test]
    fn other_controllers_are_not_told() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].deployment_controller = Some("CODE_DEPLOY".into());
        let intent = Intent::default();
        assert!(
            read(&Patient::new(&snapshot, &snapshot.services[0], &intent), &mut Unseen::default())
                .is_none()
        );
    }
}
