//! The account that this program was made for: the first deployment of a service answers its health
//! check with 404, its half of the pair never gets traffic, and clients get 503. It has one root at
//! any minute of the kill loop, whatever AWS has forgotten by then.

use ecs_doctor_checks::diagnosis::Standing;
use ecs_doctor_checks::seen::Seen;
use ecs_doctor_checks::snapshot::deployment::BreakerState;
use ecs_doctor_checks::snapshot::{Snapshot, Table, Task};
use jiff::{SignedDuration, Timestamp};

use crate::make::{diagnosed, is_below, outline};

fn account() -> Snapshot {
    let text = include_str!("../../../tests/cases/seed-503-first-deploy-404.snapshot.json");
    serde_json::from_str(text).expect("a snapshot")
}

/// Every row of a table that was seen, to change it.
fn rows<T>(table: &mut Table<T>) -> impl Iterator<Item = &mut T> {
    table.0.values_mut().filter_map(|seen| match seen {
        Seen::Yes(row) => row.as_mut(),
        Seen::No(_) => None,
    })
}

/// What becomes of the task that replaces the last one that stopped.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// It is registered, and fails.
    Fails,
    /// It is registered, and the first health checks are still to come.
    Starts,
    /// It is not there yet.
    Awaited,
}

/// The account as it was, or would be, at that time.
fn at(moment: Timestamp, next: Next) -> Snapshot {
    let mut account = account();
    account.taken_at = moment;
    let is_told = |at: Option<Timestamp>| at.is_none_or(|at| at <= moment);
    for tasks in rows(&mut account.stopped_tasks) {
        tasks.retain(|task: &Task| is_told(task.stopped_at));
    }
    for lines in rows(&mut account.logs).chain(rows(&mut account.health_checker_logs)) {
        lines.retain(|line| is_told(line.timestamp));
    }
    for series in rows(&mut account.metrics) {
        series.values.retain(|(at, _)| is_told(Some(*at)));
    }
    let stopped = rows(&mut account.stopped_tasks).map(|tasks| tasks.len()).sum::<usize>();
    let service = &mut account.services[0];
    service.events.retain(|event| is_told(event.created_at));
    for deployment in rows(&mut account.service_deployments).flatten() {
        if !is_told(deployment.finished_at) {
            deployment.status = "IN_PROGRESS".into();
            deployment.status_reason = None;
            deployment.finished_at = None;
            deployment.updated_at = deployment.started_at;
            deployment.rollback = None;
            deployment.deployment_circuit_breaker = Some(BreakerState {
                status: Some("MONITORING".into()),
                failure_count: i32::try_from(stopped).expect("a few"),
                threshold: 10,
            });
            service.deployments[0].rollout_state = Some("IN_PROGRESS".into());
            service.deployments[0].rollout_state_reason = None;
        }
    }
    for listed in rows(&mut account.listed_deployments).flatten() {
        if !is_told(listed.finished_at) {
            listed.status = "IN_PROGRESS".into();
            (listed.status_reason, listed.finished_at) = (None, None);
        }
    }
    let age = SignedDuration::from_secs(if matches!(next, Next::Fails) { 180 } else { 20 });
    for tasks in rows(&mut account.running_tasks) {
        for task in tasks.iter_mut() {
            (task.created_at, task.started_at) = (Some(moment - age), Some(moment - age));
        }
        if matches!(next, Next::Awaited) {
            tasks.clear();
        }
    }
    for targets in rows(&mut account.target_health) {
        match next {
            Next::Fails => {}
            Next::Starts => targets.iter_mut().for_each(|target| {
                target.state = "initial".into();
                target.reason = Some("Elb.RegistrationInProgress".into());
                target.description = Some("Target registration is in progress".into());
            }),
            Next::Awaited => targets.clear(),
        }
    }
    if matches!(next, Next::Awaited) {
        let service = &mut account.services[0];
        (service.running_count, service.deployments[0].running_count) = (0, 0);
    }
    account
}

/// The roots that something suffers from, where they are not the one; or no 503 below it.
fn wrong(account: &Snapshot) -> Option<String> {
    let roots = diagnosed(account).roots;
    let troubles: Vec<_> = roots
        .iter()
        .filter(|root| matches!(root.standing, Standing::Cause | Standing::Unexplained))
        .collect();
    let holds = troubles.len() == 1
        && troubles[0].check.id() == "health_check_wrong_answer"
        && is_below(troubles[0], "balancer_answers_503");
    (!holds).then(|| outline(&roots))
}

#[test]
fn it_has_one_root_one_five_and_twenty_minutes_after_each_stop() {
    let mut stops: Vec<Timestamp> = Vec::new();
    for tasks in rows(&mut account().stopped_tasks) {
        stops.extend(tasks.iter().filter_map(|task| task.stopped_at));
    }
    stops.sort();
    // The first of the loop, one in the middle, and the one before the breaker went back.
    let stops = [stops[0], stops[stops.len() / 2], stops[stops.len() - 1]];
    let mut told = Vec::new();
    for stop in stops {
        for minutes in [1, 5, 20] {
            let moment = stop + SignedDuration::from_mins(minutes);
            for next in [Next::Fails, Next::Starts, Next::Awaited] {
                if let Some(roots) = wrong(&at(moment, next)) {
                    told.push(format!("{minutes} min after {stop}, {next:?}:\n{roots}"));
                }
            }
        }
    }
    assert!(told.is_empty(), "{}\n{}", told.len(), told.join("\n"));
}

#[test]
fn it_has_one_root_when_the_stopped_tasks_have_expired() {
    let mut account = account();
    rows(&mut account.stopped_tasks).for_each(Vec::clear);
    assert_eq!(wrong(&account), None);
    account.taken_at += SignedDuration::from_hours(2);
    rows(&mut account.metrics).for_each(|series| {
        series.values.iter_mut().for_each(|(at, _)| *at += SignedDuration::from_hours(2));
    });
    assert_eq!(wrong(&account), None);
}
