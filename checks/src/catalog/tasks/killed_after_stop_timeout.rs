//! ECS told a container to stop, it did not, and ECS killed it: exit code 137 that is not memory.
//! It only covers tasks that were stopped on purpose.

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::reason;
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Container, Task};
use crate::{aws, hcl};

crate::check! {
    /// Containers ignore SIGTERM, so ECS kills them when their stop timeout expires.
    ///
    /// # Why it matters
    ///
    /// Requests in flight are cut off at every deployment and scale-in, and each stop takes half a
    /// minute longer. Usually a shell is the first process and does not forward the signal.
    ///
    /// # How we tell
    ///
    /// Two tasks of a current version within the hour, stopped by a deployment, by scaling, by Spot
    /// or manually, have a container with exit code 137 and no reason from the runtime, and took at
    /// least its `stopTimeout` (30 seconds by default) to stop. Running out of memory has a reason
    /// of its own. A container with exit code 143 reacted to the signal.
    ///
    /// # What to do
    ///
    /// Start the app as the first process (`ENTRYPOINT ["app"]`, not `ENTRYPOINT app`), or use an
    /// init process that forwards signals: `linuxParameters.initProcessEnabled`. If the app needs
    /// longer, raise `stopTimeout`, on Fargate up to 120 seconds.
    ///
    /// ```sh
    /// aws ecs register-task-definition --cli-input-json file://task-definition.json
    /// ```
    ///
    /// Terraform/OpenTofu: `linuxParameters` and `stopTimeout` in `container_definitions` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `out_of_memory`, `normal_stops`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "Containers ignore SIGTERM and are killed",
    severity: Low,
    role: Cause,
    explains: [],
    reads: [DescribeServices, DescribeTasks, DescribeTaskDefinition],
    example: on fargate, |snapshot| {
        use crate::baseline::{minutes_ago, stop_tasks};
        stop_tasks(snapshot, 3, |task| {
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            task.stopped_reason = Some("Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into());
            task.stopping_at = task.stopped_at.map(|at| at - SignedDuration::from_secs(33));
            task.created_at = Some(minutes_ago(600));
            task.containers.iter_mut().for_each(|container| container.exit_code = Some(137));
        });
    },
}

/// How many seconds ECS waits between SIGTERM and SIGKILL, unless the task definition says
/// otherwise.
const STOP_TIMEOUT: i32 = 30;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let versions = stop::current_versions(patient);
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let recent = |task: &&Task| task.stopped_at.is_some_and(|at| at >= hour_ago);
    let current = |task: &&Task| {
        versions
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    };
    let told = |task: &&Task| {
        matches!(StopKind::of(task), StopKind::Scaling | StopKind::User | StopKind::Spot)
    };
    let stopped: Vec<&Task> =
        patient.stopped_tasks()?.iter().filter(recent).filter(current).filter(told).collect();
    let mut ended: Vec<(&Task, &Container, i32)> = Vec::new();
    for task in &stopped {
        ended.extend(killed(patient, task)?);
    }
    let killed = ended;
    let [(newest, container, timeout), _, ..] = killed.as_slice() else { return Ok(()) };
    let tasks: Vec<&Task> = killed.iter().map(|(task, ..)| *task).collect();
    let claim = format!(
        "container {} ignores SIGTERM and is killed {timeout} s later: {} of {} tasks that were told to stop ended with code 137, not for memory, {}",
        container.name,
        tasks.len(),
        stopped.len(),
        stop::when(patient.now(), &tasks)
    );
    let remedy = Remedy::new(
        "Run the app as the first process (exec form of ENTRYPOINT) or set initProcessEnabled, so that it receives SIGTERM; if it needs longer to finish, raise stopTimeout.",
    )
    .cli(aws!("ecs register-task-definition --cli-input-json file://task-definition.json"))
    .cli(patient.see(Call::DescribeTasks, newest.id()))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          container_definitions = jsonencode([{
            name            = {}
            stopTimeout     = 60
            linuxParameters = { initProcessEnabled = true }
          }])
        }"#,
        patient.name(),
        container.name
    ));
    findings.add(
        Subject::new(
            Kind::Container,
            format!("{}/{}", rollout::short(&newest.task_definition_arn), container.name),
        )
        .sick(
            claim,
            Evidence::new(Call::DescribeTasks, &newest.task_arn, "containers.exitCode", 137)
                .at(newest.stopped_at),
        )
        .because(stop::evidence(newest))
        .because_all(
            newest
                .stopping_at
                .map(|at| Evidence::new(Call::DescribeTasks, &newest.task_arn, "stoppingAt", at)),
        )
        .mend(remedy)
        .concerns(Kind::TaskDefinition, &newest.task_definition_arn),
    );
    Ok(())
}

/// The container that did not stop in time, and how many seconds it had.
fn killed<'a>(
    patient: &Patient,
    task: &'a Task,
) -> Result<Option<(&'a Task, &'a Container, i32)>, Blind> {
    let (Some(stopping), Some(stopped)) = (task.stopping_at, task.stopped_at) else {
        return Ok(None);
    };
    let by_force =
        |container: &&Container| container.exit_code == Some(137) && container.reason.is_none();
    let Some(container) = task.containers.iter().find(by_force) else { return Ok(None) };
    if reason::of_task(patient, task)?.is_some() {
        return Ok(None);
    }
    let definition = patient.task_definition(&task.task_definition_arn)?;
    let defined = definition.and_then(|definition| {
        definition.container_definitions.iter().find(|one| one.name == container.name)
    });
    let timeout = defined.and_then(|one| one.stop_timeout).unwrap_or(STOP_TIMEOUT);
    let in_time = stopped.duration_since(stopping) < SignedDuration::from_secs(timeout.into());
    Ok((!in_time).then_some((task, container, timeout)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{each_stopped, says};

    fn with(change: impl Fn(&mut Task)) -> Snapshot {
        each_stopped((CHECK.example)(), change)
    }

    #[test]
    fn counts_those_that_did_not_stop() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container app ignores SIGTERM and is killed 30 s later: 3 of 3 tasks that were told to stop ended with code 137, not for memory, within 8 min, the \
                 last 2 min ago."
            ]
        );
    }

    #[test]
    fn its_own_stop_timeout_counts() {
        let with_timeout = |seconds: i32| {
            let mut snapshot = (CHECK.example)();
            let definition = snapshot
                .task_definitions
                .change(&crate::baseline::id::ecs("task-definition/api:12"))
                .unwrap();
            definition.container_definitions[0].stop_timeout = Some(seconds);
            says(CHECK, &snapshot)
        };
        assert!(with_timeout(120).is_empty(), "killed before its time was over, so by another");
        assert!(with_timeout(5)[0].contains("is killed 5 s later"), "{:?}", with_timeout(5));
    }

    #[test]
    fn memory_is_another_matter() {
        let oom = |task: &mut Task| {
            task.containers[0].reason =
                Some("OutOfMemoryError: Container killed due to memory usage".into())
        };
        assert!(says(CHECK, &with(oom)).is_empty());
    }

    #[test]
    fn a_container_that_took_the_signal_is_fine() {
        assert!(says(CHECK, &with(|task| task.containers[0].exit_code = Some(143))).is_empty());
        assert!(
            says(CHECK, &with(|task| task.stopping_at = task.stopped_at)).is_empty(),
            "killed before its time was over, so by another"
        );
    }

    #[test]
    fn a_container_that_died_by_itself_was_not_told_to() {
        let died = |task: &mut Task| {
            task.stop_code = Some("EssentialContainerExited".into());
            task.stopped_reason = Some("Essential container in task exited".into());
        };
        assert!(says(CHECK, &with(died)).is_empty());
    }

    #[test]
    fn an_older_version_may_have_ignored_it() {
        assert!(
            says(CHECK, &with(|task| task.started_by = Some("ecs-svc/1000000000000000011".into())))
                .is_empty()
        );
    }
}
