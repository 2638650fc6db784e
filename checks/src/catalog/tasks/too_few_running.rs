//! Fewer tasks run than desired, and not just because one is being replaced right now. The reason
//! is for other checks.

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::{capacity, reason, stop};
use crate::finding::{Evidence, Kind, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Service, ServiceEvent, Task};

/// How long the replacement of a task may take before it is a problem.
const REPLACEMENT: SignedDuration = SignedDuration::from_mins(3);
/// How long the first task of a deployment may take, with its image and its health check.
const FIRST_TASK: SignedDuration = SignedDuration::from_mins(5);
/// How long a deployment may run fewer tasks, if its minimum healthy percent allows it.
const DEPLOYMENT: SignedDuration = SignedDuration::from_mins(25);

crate::check! {
    /// The service runs fewer tasks than it should.
    ///
    /// # Why it matters
    ///
    /// The running tasks carry the load of the missing ones; with none, nothing answers.
    ///
    /// # How we tell
    ///
    /// `runningCount` is below `desiredCount`. It is not reported during a normal replacement of a
    /// task: the deployment or the missing task is younger than three minutes and no more than one
    /// task has failed within the hour; nor while a task waits for an instance of a capacity
    /// provider, in its first ten minutes; nor during a deployment whose `minimumHealthyPercent`
    /// allows for it, in its first 25 minutes. Where one task is desired and a deployment that
    /// began less than five minutes ago replaces it, without a failure so far, that is a note. A
    /// daemon service runs one task per instance and is not checked.
    ///
    /// # What to do
    ///
    /// Fix the cause. To see what ECS says about it:
    ///
    /// ```sh
    /// aws ecs describe-services --cluster <cluster> --services <service>
    /// aws ecs list-tasks --cluster <cluster> --service-name <service> --desired-status STOPPED
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "Fewer tasks run than desired",
    severity: High,
    role: Symptom,
    shows: TooFewRunning,
    explains: [NoTarget, DeploymentStuck],
    reads: [DescribeServices, DescribeTasks],
    example: on fargate, |snapshot| {
        snapshot.services[0].running_count = 0;
        snapshot.services[0].deployments[0].running_count = 0;
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.put(&arn, Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.scheduling_strategy.as_deref() == Some("DAEMON") {
        return Err(NoAnswer::NotApplicable("a daemon service runs one task per instance"));
    }
    if service.status != "ACTIVE" || service.desired_count == 0 {
        return Err(NoAnswer::NotApplicable("no task is desired"));
    }
    if service.running_count >= service.desired_count || rollout::just_began(patient) {
        return Ok(());
    }
    let only_one = replaces_the_only_one(patient)?;
    if !only_one && is_being_replaced(patient)? {
        return Ok(());
    }
    let Service { desired_count: desired, running_count: running, pending_count: pending, .. } =
        service;
    let waiting = longest_waiting(patient)?;
    let claim = match (pending, waiting) {
        (0, _) => format!("{running} of {desired} desired tasks run, and none is pending"),
        (1.., Some(task)) => format!(
            "{running} of {desired} desired tasks run, {pending} pending, one of them for {}",
            time::words(
                task.created_at
                    .map_or(SignedDuration::ZERO, |created| time::age(patient.now(), created))
            )
        ),
        _ => format!("{running} of {desired} desired tasks run, {pending} pending"),
    };
    let complaint = complaint(service);
    let said = complaint.and_then(|event| Some((event, event.created_at?))).map(|(event, at)| {
        let at = time::clock(at);
        match event::read(&event.message) {
            Event::CannotPlace { reason } => {
                let reason = reason.trim_end_matches('.');
                format!("At {at} ECS said that it cannot place a task: \"{reason}\".")
            }
            _ => format!("At {at} ECS said that it cannot start or place a task."),
        }
    });
    let see = |call: Call| patient.see(call, patient.arn());
    let mut finding = patient
        .subject()
        .sick(claim, patient.evidence("runningCount", running))
        .detail(said.unwrap_or_default())
        .detail(if only_one {
            "A deployment that just started is replacing the only task; that takes some minutes."
        } else {
            ""
        })
        .because(patient.evidence("desiredCount", desired))
        .because(patient.evidence("pendingCount", pending))
        .because_all(
            complaint.map(|event| {
                patient.evidence("events.message", &event.message).at(event.created_at)
            }),
        )
        .because_all(waiting.and_then(|task| Some((task, task.created_at?))).map(
            |(task, created)| {
                Evidence::new(Call::DescribeTasks, &task.task_arn, "createdAt", created)
                    .at(Some(created))
            },
        ))
        .mend(
            Remedy::new(
                "Fix what keeps tasks from starting or running; ECS then starts the missing tasks automatically.",
            )
            .cli(see(Call::DescribeServices))
            .cli(see(Call::ListTasks)),
        )
        .meant_if(only_one);
    let lacking = service
        .deployments
        .iter()
        .filter(|deployment| deployment.running_count < deployment.desired_count);
    finding = finding.concerns_all(
        Kind::TaskDefinition,
        lacking.filter_map(|deployment| deployment.task_definition.as_deref()),
    );
    // A task that runs can be registered: if a rule has no target nevertheless, this is not why.
    findings.add(if *running > 0 { finding.concerns_no(Kind::ListenerRule) } else { finding });
    Ok(())
}

/// Whether all that is missing is on its way, or has only just stopped, in the ordinary course of
/// things.
fn is_being_replaced(patient: &Patient) -> Result<bool, Blind> {
    let service = patient.service();
    let recent = time::before(patient.now(), REPLACEMENT);
    let current = stop::primary_version(patient);
    let groups = stop::groups(patient)?;
    let failures: usize = groups
        .iter()
        .filter(|group| group.kind.is_failure() && group.is_of(&current))
        .map(|group| group.tasks.len())
        .sum();
    if failures > 1 {
        return Ok(false);
    }
    let stopped = groups
        .iter()
        .flat_map(|group| &group.tasks)
        .filter(|task| task.stopped_at.is_some_and(|at| at >= recent))
        .count();
    let arriving = time::before(patient.now(), capacity::ARRIVAL);
    let since =
        |task: &Task| if capacity::waits_for_instance(service, task) { arriving } else { recent };
    let starting = patient
        .running_tasks()?
        .iter()
        .filter(|task| is_starting(task) && task.created_at.is_some_and(|at| at >= since(task)))
        .count();
    let excused = stopped as i64 + starting as i64;
    Ok(excused >= i64::from(service.desired_count) - i64::from(service.running_count)
        || is_allowed_by_deployment(patient))
}

/// Whether a deployment that has only just begun is replacing the one task that there is, and none
/// of its own has failed.
fn replaces_the_only_one(patient: &Patient) -> Result<bool, Blind> {
    let service = patient.service();
    let Some(began) = service
        .deployments
        .iter()
        .find(|deployment| {
            deployment.status == "PRIMARY"
                && deployment.rollout_state.as_deref() == Some("IN_PROGRESS")
        })
        .and_then(|deployment| deployment.created_at)
    else {
        return Ok(false);
    };
    if service.desired_count != 1 || time::age(patient.now(), began) >= FIRST_TASK {
        return Ok(false);
    }
    let current = stop::primary_version(patient);
    let failed = |group: &stop::StopGroup| group.kind.is_failure() && group.is_of(&current);
    Ok(!stop::groups(patient)?.iter().any(failed) && complaint(service).is_none())
}

/// Whether a young deployment runs fewer tasks on purpose.
fn is_allowed_by_deployment(patient: &Patient) -> bool {
    let service = patient.service();
    let percent =
        i64::from(service.deployment_configuration.minimum_healthy_percent.unwrap_or(100));
    let enough =
        i64::from(service.running_count) * 100 >= i64::from(service.desired_count) * percent;
    let young = service.primary().is_some_and(|deployment| {
        deployment.rollout_state.as_deref() == Some("IN_PROGRESS")
            && deployment
                .created_at
                .is_some_and(|created| time::age(patient.now(), created) < DEPLOYMENT)
    });
    percent > 0 && enough && young
}

fn is_starting(task: &Task) -> bool {
    matches!(task.last_status.as_str(), "PROVISIONING" | "PENDING" | "ACTIVATING")
}

fn longest_waiting<'a>(patient: &Patient<'a>) -> Result<Option<&'a Task>, Blind> {
    Ok(patient
        .running_tasks()?
        .iter()
        .filter(|task| is_starting(task) && task.created_at.is_some())
        .min_by_key(|task| task.created_at))
}

/// The newest event in which ECS says why it has no task, unless all was well afterwards.
fn complaint(service: &Service) -> Option<&ServiceEvent> {
    let since_steady =
        service.events.iter().take_while(|event| event::read(&event.message) != Event::SteadyState);
    since_steady.into_iter().find(|event| reason::complains(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::diagnosis::Diagnosis;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// One of two tasks is missing since some minutes; `change` is told of the one that is left.
    fn missing(change: impl FnOnce(&mut Service, &mut Vec<Task>, &mut Vec<Task>)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let mut running = snapshot.running_tasks.change(&arn).unwrap().clone();
        let mut stopped = vec![running.remove(0)];
        stopped[0].stopped_at = Some(minutes_ago(20));
        stopped[0].stop_code = Some("ServiceSchedulerInitiated".into());
        let service = &mut snapshot.services[0];
        (service.running_count, service.deployments[0].running_count) = (1, 1);
        change(service, &mut running, &mut stopped);
        snapshot.running_tasks.put(&arn, running);
        snapshot.stopped_tasks.put(&arn, stopped);
        snapshot
    }

    fn pending(running: &mut Vec<Task>, minutes: i64) {
        let mut task = running[0].clone();
        task.task_arn.push('9');
        task.last_status = "PENDING".into();
        task.created_at = Some(minutes_ago(minutes));
        running.push(task);
    }

    #[test]
    fn says_how_long_a_task_has_been_pending() {
        let snapshot = missing(|service, running, _| {
            service.pending_count = 1;
            pending(running, 12);
        });
        assert_eq!(
            says(CHECK, &snapshot),
            ["1 of 2 desired tasks run, 1 pending, one of them for 12 min."]
        );
    }

    #[test]
    fn a_task_that_is_being_replaced_is_not_missing() {
        assert!(says(CHECK, &missing(|_, running, _| pending(running, 1))).is_empty());
        assert!(
            says(CHECK, &missing(|_, _, stopped| stopped[0].stopped_at = Some(minutes_ago(1))))
                .is_empty()
        );
    }

    #[test]
    fn an_instance_that_a_capacity_provider_starts_takes_some_minutes() {
        let waiting = |minutes| {
            missing(|service, running, _| {
                service.capacity_providers = vec!["web-instances".into()];
                pending(running, minutes);
                let task = running.last_mut().unwrap();
                (task.last_status, task.container_instance_arn) = ("PROVISIONING".into(), None);
            })
        };
        assert!(says(CHECK, &waiting(6)).is_empty());
        assert_eq!(says(CHECK, &waiting(12)).len(), 1);
    }

    #[test]
    fn a_task_that_is_replaced_after_each_failure_is_missing() {
        let snapshot = missing(|_, running, stopped| {
            pending(running, 1);
            stopped[0].stop_code = Some("TaskFailedToStart".into());
            stopped.push(stopped[0].clone());
        });
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_young_deployment_may_run_fewer_within_its_minimum() {
        let deploying = |percent| {
            missing(|service, _, _| {
                service.deployment_configuration.minimum_healthy_percent = Some(percent);
                service.deployments[0].rollout_state = Some("IN_PROGRESS".into());
                service.deployments[0].created_at = Some(minutes_ago(10));
            })
        };
        assert!(says(CHECK, &deploying(50)).is_empty());
        assert_eq!(says(CHECK, &deploying(100)).len(), 1);
    }

    #[test]
    fn a_deployment_that_just_began_says_nothing_yet() {
        let snapshot =
            missing(|service, _, _| service.deployments[0].created_at = Some(minutes_ago(1)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    /// A canary deployment replaces the only task, and the group is empty meanwhile.
    fn replacing(minutes: i64, change: impl FnOnce(&mut Snapshot)) -> Diagnosis {
        let mut snapshot = missing(|service, running, stopped| {
            (service.desired_count, service.running_count, service.pending_count) = (1, 0, 1);
            let mut old = service.deployments[0].clone();
            (old.id, old.status) = ("ecs-svc/1000000000000000011".into(), "ACTIVE".into());
            (old.desired_count, old.running_count) = (0, 0);
            let new = &mut service.deployments[0];
            (new.desired_count, new.running_count, new.pending_count) = (1, 0, 1);
            new.rollout_state = Some("IN_PROGRESS".into());
            new.created_at = Some(minutes_ago(minutes));
            service.deployments.push(old);
            pending(running, minutes);
            running.remove(0);
            stopped[0].stopped_reason =
                Some("Scaling activity initiated by (deployment ecs-svc/1)".into());
        });
        snapshot.target_health.put(baseline::id::group("api"), Vec::new());
        change(&mut snapshot);
        let intent = crate::patient::Intent::default();
        crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent))
    }

    fn is_trouble(diagnosis: &Diagnosis) -> bool {
        diagnosis.roots.iter().any(|root| {
            root.check.id() == CHECK.id()
                || root.explains.iter().any(|node| node.check.id() == CHECK.id())
        })
    }

    #[test]
    fn a_deployment_that_replaces_the_only_task_is_a_note_for_some_minutes() {
        let diagnosis = replacing(4, |_| ());
        assert!(!is_trouble(&diagnosis));
        let note = diagnosis.notes.iter().find(|note| note.check.id() == CHECK.id()).unwrap();
        assert_eq!(note.explains[0].check.id(), "target_group_empty");
        let roots: Vec<&str> = diagnosis.roots.iter().map(|root| root.check.id()).collect();
        assert!(!roots.contains(&"target_group_empty"), "{roots:?}");
        assert!(is_trouble(&replacing(6, |_| ())));
    }

    #[test]
    fn a_first_task_that_failed_or_more_than_one_task_is_no_note() {
        let failed = replacing(4, |snapshot| {
            let arn = snapshot.services[0].service_arn.clone();
            let stopped = snapshot.stopped_tasks.change(&arn).unwrap();
            stopped.iter_mut().for_each(|task| {
                task.started_by = Some("ecs-svc/1000000000000000012".into());
                task.stop_code = Some("TaskFailedToStart".into());
                task.stopped_reason = Some("CannotPullContainerError: not found".into());
                task.created_at = Some(minutes_ago(3));
                task.stopped_at = Some(minutes_ago(2));
            });
        });
        assert!(!failed.notes.iter().any(|note| note.check.id() == CHECK.id()));
        let several = replacing(4, |snapshot| snapshot.services[0].desired_count = 2);
        assert!(!several.notes.iter().any(|note| note.check.id() == CHECK.id()));
    }

    #[test]
    fn a_daemon_or_a_service_at_zero_has_no_number_to_reach() {
        let daemon = missing(|service, _, _| service.scheduling_strategy = Some("DAEMON".into()));
        let zero = missing(|service, _, _| (service.desired_count, service.running_count) = (0, 0));
        for snapshot in [daemon, zero] {
            assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        }
    }

    #[test]
    fn ecs_complaints_count_until_the_next_steady_state() {
        let complain = |service: &mut Service, at: usize| {
            let message = "(service api) was unable to place a task. Reason: Capacity is unavailable at this time.".into();
            service.events.insert(
                at,
                ServiceEvent { id: "1".into(), created_at: Some(minutes_ago(8)), message },
            );
        };
        let said = "At 02:52 UTC ECS said that it cannot place a task: \"Capacity is unavailable at this time\".";
        assert!(says(CHECK, &missing(|service, _, _| complain(service, 0)))[0].ends_with(said));
        assert!(
            says(CHECK, &missing(|service, _, _| complain(service, 1)))[0]
                .ends_with("none is pending.")
        );
    }

    #[test]
    fn explains_an_empty_group_only_if_no_task_runs() {
        let explains = |mut snapshot: Snapshot| {
            snapshot.target_health.put(baseline::id::group("api"), Vec::new());
            let intent = crate::patient::Intent::default();
            let diagnosis = crate::diagnosis::diagnose(&Patient::new(
                &snapshot,
                &snapshot.services[0],
                &intent,
            ));
            let root =
                diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).cloned().unwrap();
            root.explains.iter().any(|node| node.check.id() == "target_group_empty")
        };
        assert!(!explains(missing(|_, _, _| ())));
        assert!(explains((CHECK.example)()));
    }
}
