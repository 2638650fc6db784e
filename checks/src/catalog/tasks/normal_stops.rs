//! All stopped tasks were stopped on purpose: by a deployment, by scaling or manually. The note
//! keeps users from investigating them.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::stop;
use crate::facts::tasks::stop::StopKind;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::Task;
use crate::text::{and_list, count};

crate::check! {
    /// Every task that stopped recently was stopped on purpose: by a deployment, by scaling, or by
    /// a user or a script.
    ///
    /// # Why it matters
    ///
    /// A list of stopped tasks looks like a problem, and exit code 143 like a crash. It is how ECS
    /// replaces tasks.
    ///
    /// # How we tell
    ///
    /// Every stopped task that `DescribeTasks` still has, about those of the last hour, has the
    /// reason `Scaling activity initiated by …` or the stop code `UserInitiated`. With one failure
    /// among them, there is no note.
    ///
    /// # What to do
    ///
    /// Nothing. To list the tasks:
    ///
    /// ```sh
    /// aws ecs list-tasks --cluster <cluster> --service-name <service> --desired-status STOPPED
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "Tasks were only stopped on purpose",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeTasks],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let arn = snapshot.services[0].service_arn.clone();
        let model = snapshot.running_tasks.change(&arn).map(|tasks| tasks[0].clone()).unwrap_or_default();
        let stopped = |n: u8| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            last_status: "STOPPED".into(),
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some("Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into()),
            stopped_at: Some(minutes_ago(i64::from(n))),
            ..model.clone()
        };
        snapshot.stopped_tasks.put(&arn, vec![stopped(4), stopped(5)]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let stopped: Vec<&Task> = patient.stopped_tasks()?.iter().collect();
    let mut kinds: BTreeMap<StopKind, Vec<&Task>> = BTreeMap::new();
    for task in &stopped {
        kinds.entry(StopKind::of(task)).or_default().push(task);
    }
    let mut evidence = kinds.values().map(|tasks| stop::evidence(tasks[0]));
    let Some(first) = evidence.next() else { return Ok(()) };
    if !kinds.keys().all(StopKind::is_on_purpose) {
        return Ok(());
    }
    let words = kinds.iter().map(|(kind, tasks)| format!("{} {}", tasks.len(), kind.words()));
    let claim = format!(
        "{} stopped {}, none for a failure: {}",
        count(stopped.len(), "task"),
        stop::when(patient.now(), &stopped),
        and_list(words)
    );
    let see = patient.see(Call::ListTasks, patient.arn());
    findings.add(
        patient
            .subject()
            .sick(claim, first)
            .because_all(evidence)
            .mend(Remedy::new("Nothing to fix.").cli(see)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::says;

    fn with(change: impl FnOnce(&mut Vec<Task>)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        change(snapshot.stopped_tasks.change(&arn).unwrap());
        snapshot
    }

    #[test]
    fn counts_by_who_stopped_them() {
        let snapshot = with(|tasks| {
            tasks[1].stop_code = Some("UserInitiated".into());
            tasks[1].stopped_reason = None;
        });
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "2 tasks stopped within 60 s, the last 4 min ago, none for a failure: 1 stopped by a deployment or by scaling and 1 stopped by a user or a script."
            ]
        );
    }

    #[test]
    fn one_failure_among_them_is_not_normal() {
        let snapshot = with(|tasks| {
            tasks[0].stop_code = Some("TaskFailedToStart".into());
            tasks[0].stopped_reason = Some("CannotPullContainerError: not found".into());
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_reason_that_nobody_knows_is_not_called_normal() {
        let snapshot = with(|tasks| tasks[0].stopped_reason = Some("Something new".into()));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn without_stops_there_is_nothing_to_note() {
        assert!(says(CHECK, &with(Vec::clear)).is_empty());
    }
}
