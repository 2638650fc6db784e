//! Tasks of the current version, or of one that was just rolled back, stop repeatedly. It counts
//! them and names the most frequent reason; the cause behind it is for other checks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::aws::exit_code;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::facts::tasks::ending;
use crate::facts::tasks::last_word::{self, LastWord};
use crate::facts::tasks::reason;
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Task;

crate::check! {
    /// Tasks of the version that ECS is deploying, or has just rolled back, stop repeatedly.
    ///
    /// # Why it matters
    ///
    /// Every stop takes a task out of service, and a version whose tasks do not keep running is
    /// rolled back or never completes. The counters hide it: `failedTasks` is reset to 0 as soon as
    /// one task runs.
    ///
    /// # How we tell
    ///
    /// Two or more tasks of one version stopped for a failure within the last hour: a health check,
    /// an exit, a failed start. Stops by scaling, by a deployment or by a person do not count, nor
    /// those of older versions; those of a version that was rolled back do, if it was the newest.
    /// Nor do stops that are over: all desired tasks run, and none has stopped for at least ten
    /// minutes and three times the usual interval.
    ///
    /// # What to do
    ///
    /// Fix the cause. To look at a stopped task:
    ///
    /// ```sh
    /// aws ecs list-tasks --cluster <cluster> --service-name <service> --desired-status STOPPED
    /// aws ecs describe-tasks --cluster <cluster> --tasks <task>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `exits_with_error`, `targets_unhealthy`, `too_few_running`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "Tasks keep stopping",
    severity: High,
    role: Symptom,
    shows: TasksKeepStopping,
    explains: [
        NoTarget, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed, BalancerAnswers502, BalancerAnswers503, BalancerAnswers504,
        ConnectionsReset,
    ],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        GetLogEvents,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, id, minutes_ago};
        let arn = snapshot.services[0].service_arn.clone();
        let reason = format!("Task failed ELB health checks in (target-group {})", express_groups()[0]);
        let model = snapshot.running_tasks.change(&arn).map(|tasks| tasks[0].clone()).unwrap_or_default();
        let stopped = |n: u8| Task {
            task_arn: id::ecs(&format!("task/default/{}", id::task(n))),
            last_status: "STOPPED".into(),
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(reason.clone()),
            stopped_at: Some(minutes_ago(i64::from(n) * 4)),
            ..model.clone()
        };
        snapshot.stopped_tasks.put(&arn, (1..=4).map(stopped).collect());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)?.iter().filter(|failures| failures.tasks.len() > 1) {
        tell(patient, findings, failures)?;
    }
    Ok(())
}

const WHO_KILLS: &str = "Find out what sends SIGKILL: a watchdog or supervisor in the image, or a script that stops the container. The end of the log may show it.";
const WHO_STOPS: &str = "Find out what sends SIGTERM: a supervisor in the image, a script that stops the container, or the app shutting itself down. The end of the log may show it.";

fn tell(patient: &Patient, findings: &mut Findings, failures: &Failures) -> Result<(), Blind> {
    let reasons = reasons(patient, findings, &failures.tasks);
    let words: Vec<String> =
        reasons.iter().map(|(kind, tasks)| format!("{} ({})", kind.words(), tasks.len())).collect();
    let version = rollout::short(failures.task_definition);
    let fate = if failures.is_primary { "" } else { ", which was rolled back," };
    let (usual, newest) = (&reasons[0].0, reasons[0].1[0]);
    let by_signal = match usual {
        StopKind::Exited { container, code: Some(code) } if exit_code::is_from_outside(*code) => {
            let of_runtime = findings.see(reason::of_task(patient, newest)).flatten().is_some();
            (!of_runtime).then_some((container, *code))
        }
        _ => None,
    };
    let claim = format!(
        "{} tasks of {version}{fate} failed {}: {}",
        failures.tasks.len(),
        stop::when(patient.now(), &failures.tasks),
        words.join(", ")
    );
    // A killed process cannot log that, but it may have logged what was wrong before.
    let logged = match by_signal {
        Some((container, _)) => last_word::of(patient, findings, container, &reasons[0].1),
        None => LastWord::default(),
    };
    let (detail, advice) = match by_signal {
        Some((_, 137)) => {
            ("Code 137 is SIGKILL, and nothing shows that it was for memory.", WHO_KILLS)
        }
        Some((_, 143)) => ("Code 143 is SIGTERM, and ECS did not send it.", WHO_STOPS),
        _ => ("", "Fix the reason why the tasks stop."),
    };
    let newest_of_others = reasons[1..].iter().map(|(_, tasks)| tasks[0]);
    let exits = reasons
        .iter()
        .filter(|(kind, _)| matches!(kind, StopKind::Exited { .. }))
        .filter_map(|(kind, tasks)| code_of(kind, tasks[0]));
    let see = |call: Call, id: &str| patient.see(call, id);
    let mut finding = Subject::new(Kind::TaskDefinition, failures.task_definition)
        .sick(claim, stop::evidence(newest))
        .detail(detail)
        .detail(logged.quoted())
        .because_all(newest_of_others.map(stop::evidence))
        .because_all(exits)
        .because_all(logged.evidence)
        .because(Evidence::new(
            Call::DescribeTasks,
            &newest.task_arn,
            "taskDefinitionArn",
            failures.task_definition,
        ))
        .mend(
            Remedy::new(advice)
                .cli(see(Call::DescribeTasks, newest.id()))
                .cli(see(Call::ListTasks, patient.arn())),
        )
        .concerns(Kind::TaskDefinition, failures.task_definition);
    finding = match usual {
        StopKind::BalancerHealthCheck { group } => finding
            .concerns(Kind::TargetGroup, group)
            .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?),
        // A target that fails at the moment is not why tasks exit or never start.
        _ => finding.concerns_no(Kind::TargetGroup),
    };
    findings.add(finding);
    Ok(())
}

/// The reasons with their tasks, the usual one first.
fn reasons<'a>(
    patient: &Patient,
    findings: &mut Findings,
    tasks: &[&'a Task],
) -> Vec<(StopKind, Vec<&'a Task>)> {
    let mut reasons: BTreeMap<StopKind, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        let kind = findings.see(ending::kind(patient, task));
        reasons.entry(kind.unwrap_or_else(|| StopKind::of(task))).or_default().push(task);
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, tasks)| Reverse(tasks.len()));
    reasons
}

fn code_of(kind: &StopKind, task: &Task) -> Option<Evidence> {
    let StopKind::Exited { code: Some(code), .. } = kind else { return None };
    Some(
        Evidence::new(Call::DescribeTasks, &task.task_arn, "containers.exitCode", code)
            .at(task.stopped_at),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::snapshot::{Container, Snapshot};
    use crate::testing::says;

    fn failed_to_start(minutes: i64) -> Task {
        Task {
            task_arn: id::ecs(&format!("task/prod/{minutes:032}")),
            started_by: Some("ecs-svc/1000000000000000012".into()),
            task_definition_arn: id::ecs("task-definition/api:12"),
            stop_code: Some("TaskFailedToStart".into()),
            stopped_reason: Some("CannotPullContainerError: not found".into()),
            created_at: Some(minutes_ago(minutes + 1)),
            stopped_at: Some(minutes_ago(minutes)),
            ..Task::default()
        }
    }

    fn exited(minutes: i64, code: i32) -> Task {
        let container =
            Container { name: "app".into(), exit_code: Some(code), ..Container::default() };
        Task {
            stop_code: Some("EssentialContainerExited".into()),
            stopped_reason: Some("Essential container in task exited".into()),
            containers: vec![container],
            ..failed_to_start(minutes)
        }
    }

    fn with(stopped: Vec<Task>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.put(arn, stopped);
        snapshot
    }

    #[test]
    fn names_the_usual_reason_first_and_the_others_after_it() {
        let snapshot = with(vec![failed_to_start(2), exited(6, 1), exited(9, 1)]);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "3 tasks of api:12 failed within 7 min, the last 2 min ago: container app exited with code 1 (2), failed to start (1)."
            ]
        );
    }

    #[test]
    fn one_stop_is_no_series() {
        assert!(says(CHECK, &with(vec![exited(2, 1)])).is_empty());
    }

    #[test]
    fn tasks_of_an_older_version_do_not_count() {
        let old = |task: Task| Task {
            started_by: Some("ecs-svc/1000000000000000011".into()),
            task_definition_arn: id::ecs("task-definition/api:11"),
            ..task
        };
        assert!(says(CHECK, &with(vec![old(exited(2, 1)), old(exited(4, 1))])).is_empty());
        let same_definition =
            |task: Task| Task { started_by: Some("ecs-svc/1000000000000000011".into()), ..task };
        assert!(
            says(CHECK, &with(vec![same_definition(exited(2, 1)), same_definition(exited(4, 1))]))
                .is_empty()
        );
    }

    #[test]
    fn of_a_kill_without_a_word_it_says_that_nothing_tells_of_memory() {
        let says_of = |reason: Option<&str>| {
            let mut tasks = vec![exited(2, 137), exited(6, 137)];
            tasks.iter_mut().for_each(|task| task.containers[0].reason = reason.map(String::from));
            let mut snapshot = with(tasks);
            baseline::log_at_last(&mut snapshot, &["Too many open files", "bye"]);
            says(CHECK, &snapshot).remove(0)
        };
        assert!(says_of(None).ends_with("exited with code 137 (2). Code 137 is SIGKILL, and nothing shows that it was for memory. Its log says \"Too many open files\"."));
        assert!(
            says_of(Some("OutOfMemoryError: Container killed due to memory usage"))
                .ends_with("exited with code 137 (2).")
        );
    }

    #[test]
    fn of_a_sigterm_that_ecs_did_not_send_it_reads_the_log_as_well() {
        let mut snapshot = with(vec![exited(2, 143), exited(6, 143)]);
        assert!(says(CHECK, &snapshot)[0].ends_with(
            "Code 143 is SIGTERM, and ECS did not send it. The end of its log could not be read."
        ));
        baseline::log_at_last(&mut snapshot, &["error: the leader is gone", "Terminated"]);
        assert!(
            says(CHECK, &snapshot)[0].ends_with(
                "Code 143 is SIGTERM, and ECS did not send it. Its log says \"error: the leader is gone\"."
            )
        );
    }

    #[test]
    fn stops_on_purpose_do_not_count() {
        let scaled = |minutes| Task {
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(
                "Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into(),
            ),
            ..exited(minutes, 143)
        };
        let by_hand = |minutes| Task {
            stop_code: Some("UserInitiated".into()),
            stopped_reason: Some("Task stopped by user".into()),
            ..exited(minutes, 143)
        };
        assert!(says(CHECK, &with(vec![scaled(1), scaled(2), by_hand(3), by_hand(4)])).is_empty());
    }

    #[test]
    fn what_is_over_does_not_count() {
        let over = vec![exited(30, 1), exited(32, 1)];
        assert!(says(CHECK, &with(over.clone())).is_empty());
        let mut still_missing = with(over);
        still_missing.services[0].running_count = 1;
        assert_eq!(says(CHECK, &still_missing).len(), 1);
        assert_eq!(
            says(CHECK, &with(vec![exited(15, 1), exited(35, 1), exited(55, 1)])).len(),
            1,
            "a slow loop is not over"
        );
    }

    #[test]
    fn stops_of_more_than_an_hour_ago_are_history() {
        let mut snapshot = with(vec![exited(70, 1), exited(80, 1)]);
        snapshot.services[0].running_count = 0;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    /// The newest deployment, of this version, was rolled back; ECS has dropped it from the
    /// service.
    fn rolled_back(version: &str, stopped: Vec<Task>) -> Snapshot {
        let mut snapshot = with(stopped);
        let arn = snapshot.services[0].service_arn.clone();
        let revision = id::ecs("service-revision/prod/api/4000000000000000013");
        let mut row = snapshot
            .revisions
            .change(&snapshot.services[0].current_service_revisions[0])
            .unwrap()
            .clone();
        row.task_definition = Some(id::ecs(&format!("task-definition/{version}")));
        snapshot.revisions.put(&revision, row);
        let deployments = snapshot.service_deployments.change(&arn).unwrap();
        let mut newest = deployments[0].clone();
        newest.status = "ROLLBACK_SUCCESSFUL".into();
        newest.started_at = Some(minutes_ago(50));
        newest.target_service_revision.as_mut().unwrap().arn = revision;
        deployments.insert(0, newest);
        snapshot
    }

    fn of_13(task: Task) -> Task {
        Task {
            started_by: Some("ecs-svc/1000000000000000013".into()),
            task_definition_arn: id::ecs("task-definition/api:13"),
            ..task
        }
    }

    #[test]
    fn a_version_that_was_rolled_back_is_found_though_its_deployment_is_gone() {
        let snapshot = rolled_back("api:13", vec![of_13(exited(40, 1)), of_13(exited(44, 1))]);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "2 tasks of api:13, which was rolled back, failed within 4 min, the last 40 min ago: container app exited with code 1 (2)."
            ]
        );
    }

    #[test]
    fn a_deployment_that_was_rolled_back_may_share_its_task_definition_with_the_one_before() {
        let forced =
            |task: Task| Task { started_by: Some("ecs-svc/1000000000000000013".into()), ..task };
        let snapshot = rolled_back("api:12", vec![forced(exited(40, 1)), forced(exited(44, 1))]);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn an_earlier_try_of_the_version_that_was_rolled_back_is_history() {
        assert!(
            says(CHECK, &rolled_back("api:13", vec![of_13(exited(55, 1)), of_13(exited(57, 1))]))
                .is_empty()
        );
    }

    #[test]
    fn whoever_deploys_tasks_that_stop_are_told() {
        let mut snapshot = with(vec![exited(2, 1), exited(4, 1)]);
        snapshot.services[0].deployment_controller = Some("CODE_DEPLOY".into());
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }
}
