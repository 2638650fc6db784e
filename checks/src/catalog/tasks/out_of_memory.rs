//! The kernel killed a container because it exceeded its memory limit. Only the runtime's message
//! proves it: exit code 137 is any SIGKILL, and ECS sends one, too.

use jiff::SignedDuration;

use crate::aws::crash;
use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::command::{Argument, Word};
use crate::facts::tasks::{last_word, metric, stop};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl};

crate::check! {
    /// An essential container exceeded its memory limit, and the kernel killed it.
    ///
    /// # Why it matters
    ///
    /// The task stops with requests in flight, and its replacement runs out of memory again.
    ///
    /// # How we tell
    ///
    /// The container's reason says `OutOfMemoryError`, or "killed due to memory usage". Exit code
    /// 137 alone does not count: ECS also kills containers that ignore SIGTERM. A container that is
    /// not essential does not stop its task and is not reported. The service's memory utilization
    /// of the last hour is quoted where it was near the limit, and the log where it confirms the
    /// cause.
    ///
    /// # What to do
    ///
    /// Give the task more memory, or set a lower limit in the app (`-XX:MaxRAMPercentage`,
    /// `--max-old-space-size`):
    ///
    /// ```sh
    /// aws ecs register-task-definition --memory 1024 --cli-input-json file://task-definition.json
    /// ```
    ///
    /// Terraform/OpenTofu: `memory` of `aws_ecs_task_definition`, and `memory` in its
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `killed_after_stop_timeout`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/out-of-memory.html>
    title: "A container runs out of memory",
    severity: High,
    role: Cause,
    explains: [TasksKeepStopping, TasksFailToStart, BalancerAnswers502, BalancerAnswers503, BalancerAnswers504],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetMetricData, GetLogEvents],
    example: on worker, |snapshot| {
        use crate::baseline::{exit_tasks, minutes_ago};
        use crate::snapshot::Series;
        exit_tasks(snapshot, 3, 137, Some("OutOfMemoryError: Container killed due to memory usage"));
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Memory.of(&arn), Series { values: vec![(minutes_ago(9), 61.5), (minutes_ago(3), 99.6)] });
    },
}

/// Near enough to the limit to confirm what the kernel did.
const NEAR: f64 = 90.0;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::OutOfMemory], |told, findings| {
        // The task definition says which containers are essential; without it, it is unknown
        // whether this one stopped the task.
        let definition = findings.see(patient.task_definition(told.task_definition))?;
        if told.container.is_some_and(|name| !stop::is_essential(definition, name)) {
            return None;
        }
        let who =
            told.container.map_or("a container".to_owned(), |name| format!("container {name}"));
        let memory = definition.and_then(|definition| definition.memory.as_deref());
        let limit =
            memory.map_or_else(String::new, |memory| format!(" of a task with {memory} MiB"));
        let mut finding =
            told.finding(patient, &format!("{who}{limit} runs out of memory and is killed"));
        finding = finding.because_all(memory.map(|memory| {
            Evidence::new(
                crate::call::Call::DescribeTaskDefinition,
                told.task_definition,
                "memory",
                memory,
            )
        }));
        let used = findings.see(metric::recent(
            patient,
            Metric::Memory,
            patient.arn(),
            SignedDuration::from_hours(1),
        ));
        if let Some(used) = used.flatten().filter(|used| used.peak >= NEAR) {
            finding = finding.detail(format!("The service's memory peaked at {:.0} %.", used.peak));
            finding = finding.because(used.evidence);
        }
        if let Some(name) = told.container {
            let logged = last_word::of(patient, findings, name, &told.tasks);
            if logged.crash.is_some_and(|crash| crash.kind == crash::CrashKind::OutOfMemory) {
                finding = finding.because_all(logged.evidence);
            }
        }
        let more = memory
            .and_then(crate::text::parsed::<u32>)
            .map(|memory| memory.saturating_mul(2).to_string());
        let remedy = Remedy::new(
            "Give the task or the container more memory, or set a lower limit in the app; then find out what grows.",
        )
        .cli(aws!(
            "ecs register-task-definition --memory {} --cli-input-json file://task-definition.json",
            more.as_ref().map_or(Word::needed("MEMORY"), Argument::word)
        ))
        .cli(told.see(patient))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_task_definition" {} {
              memory = {}
            }"#,
            patient.name(),
            more.map_or(hcl!("var.memory"), |more| hcl!("{}", more))
        ));
        Some(finding.mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::testing::{exam, says};

    #[test]
    fn names_container_limit_and_peak() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container worker of a task with 512 MiB runs out of memory and is killed: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, \
                 the last 2 min ago. The service's memory peaked at 100 %."
            ]
        );
    }

    #[test]
    fn exit_code_137_without_the_words_is_not_memory() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 3, 137, None);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_helper_that_is_not_essential_does_not_end_a_task() {
        let mut snapshot = (CHECK.example)();
        let definition = baseline::id::ecs("task-definition/mailer:12");
        snapshot.task_definitions.change(&definition).unwrap().container_definitions[0].essential =
            false;
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.task_definitions.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_metric_that_may_not_be_read_hides_no_kill() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.0.clear();
        assert!(says(CHECK, &snapshot)[0].ends_with("the last 2 min ago."));
    }
}
