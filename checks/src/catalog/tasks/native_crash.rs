//! The process of an essential container was killed by a signal that it caused itself: a crash in
//! native code, not an error that the app reports.

use crate::aws::exit_code;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::{ending, last_word, stop};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// The process of an essential container crashed: the kernel ended it with a signal.
    ///
    /// # Why it matters
    ///
    /// The app has no chance to report an error, and its log often ends abruptly. ECS starts the
    /// task again, and it crashes again.
    ///
    /// # How we tell
    ///
    /// A stopped task has `EssentialContainerExited`, and an essential container has the exit code
    /// of a signal: 139 (SIGSEGV, invalid memory access), 134 (SIGABRT, the process aborted
    /// itself), 132 (SIGILL, often an instruction that the CPU does not have), 136 (SIGFPE); or, on
    /// Windows, the status of such a crash, such as -1073741819 (an access violation). It counts if
    /// two tasks of the version ended this way within the hour, or if the newest one did. 137 and
    /// 143 are sent from outside and are not crashes. Some runtimes log why they abort: Node.js,
    /// for example, when its heap is full. The end of the log is quoted.
    ///
    /// # What to do
    ///
    /// The problem is in the image, not in ECS: a native library, the runtime, or a build for
    /// another CPU. Run the same image elsewhere and collect a core dump.
    ///
    /// ```sh
    /// aws logs get-log-events --log-group-name <group> --log-stream-name <prefix>/<container>/<task>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change, apart from `image` in `container_definitions`.
    ///
    /// # See also
    ///
    /// `exits_with_error`, `out_of_memory`, `image_wrong_architecture`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "A container crashes with a signal",
    severity: High,
    role: Cause,
    explains: [TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetLogEvents],
    example: on worker, |snapshot| {
        crate::baseline::exit_tasks(snapshot, 3, 139, None);
    },
}

const LOOK: &str = "Find the crash in the image: a native library, the runtime, or the build.";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        let Some(definition) = findings.see(patient.task_definition(failures.task_definition))
        else {
            continue;
        };
        let exits = ending::exits(patient, &failures, definition, exit_code::is_native_crash);
        for ((container, code), ended) in exits {
            let tasks = &ended.tasks;
            let signal = exit_code::native_crash(code).unwrap_or("a signal");
            let fate = if failures.is_primary { "" } else { ", which was rolled back," };
            let logged = last_word::of(patient, findings, container, tasks);
            let claim = format!(
                "container {container} is killed by {signal} (exit code {code}){}: {} of {} failed tasks of {}{fate} stopped for this reason {}",
                logged.because(),
                tasks.len(),
                failures.tasks.len(),
                rollout::short(failures.task_definition),
                stop::when(patient.now(), tasks)
            );
            let advice = match (&logged.crash, code) {
                (Some(crash), _) => crash.kind.advice().to_owned(),
                (None, 132) => format!(
                    "{LOOK} SIGILL usually means that the program uses instructions that this CPU does not support."
                ),
                (None, _) => LOOK.to_owned(),
            };
            let see = |call: Call, id: &str| patient.see(call, id);
            let remedy = match &logged.stream {
                Some(stream) => Remedy::new(advice).cli(see(Call::GetLogEvents, stream)),
                None => Remedy::new(advice).cli(see(Call::DescribeTasks, tasks[0].id())),
            };
            findings.add(
                Subject::new(Kind::TaskDefinition, failures.task_definition)
                    .sick(
                        claim,
                        Evidence::new(
                            Call::DescribeTasks,
                            &tasks[0].task_arn,
                            "containers.exitCode",
                            code,
                        )
                        .at(tasks[0].stopped_at),
                    )
                    .detail(logged.says())
                    .detail(ended.undecided())
                    .because(stop::evidence(tasks[0]))
                    .because_all(logged.evidence)
                    .mend(remedy)
                    .concerns(Kind::TaskDefinition, failures.task_definition)
                    .concerns_no(Kind::TargetGroup),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::says;

    fn ended(code: i32) -> Vec<String> {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, code, None);
        says(CHECK, &snapshot)
    }

    #[test]
    fn names_the_signal() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container worker is killed by SIGSEGV (exit code 139): 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
        assert!(ended(134)[0].contains("SIGABRT"));
    }

    #[test]
    fn a_runtime_that_aborts_says_why() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, 134, None);
        baseline::log_at_last(
            &mut snapshot,
            &["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"],
        );
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Container worker is killed by SIGABRT (exit code 134), likely because Node.js runs out of heap: 2 of 2")
        );
    }

    #[test]
    fn windows_has_statuses_instead_of_signals() {
        assert!(ended(-1_073_741_819)[0].starts_with(
            "Container worker is killed by an access violation (exit code -1073741819): 2 of 2"
        ));
    }

    #[test]
    fn what_it_said_in_the_end_is_quoted() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, 139, None);
        baseline::log_at_last(&mut snapshot, &["loading plugin libfoo", "error in libfoo"]);
        assert!(says(CHECK, &snapshot)[0].ends_with("Its log says \"error in libfoo\"."));
    }

    #[test]
    fn codes_of_the_app_and_signals_from_outside_are_no_crash() {
        for code in [0, 1, 126, 127, 137, 143, 255] {
            assert!(ended(code).is_empty(), "{code}");
        }
    }
}
