//! The runtime cannot start a container: its command is not in the image or is not executable, or
//! the container cannot be created at all. The app does not run and logs nothing, so the runtime's
//! message is all there is.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws;
use crate::aws::stop_reason::{self, Step, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::mount;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;

crate::check! {
    /// The container runtime cannot start a container of the task.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start, and its log is empty.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with `CannotStartContainerError`, `CannotCreateContainerError`,
    /// `ContainerRuntimeError` or one like these. "Executable file not found" names the command;
    /// other messages name what the host rejects: limits, a GPU, a host port, a user, a mount,
    /// memory. Unknown messages are quoted. `exec format error` (an image for another CPU) and a
    /// full disk have checks of their own.
    ///
    /// # What to do
    ///
    /// It depends on the message. If the command is not found, run the image with the same command
    /// elsewhere: `command` and `entryPoint` are lists of arguments, not shell command lines.
    /// Otherwise, compare what the message names in the task definition and on the host.
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.containerDefinitions[].[name,entryPoint,command]'
    /// ```
    ///
    /// Terraform/OpenTofu: `entryPoint` and `command` in `container_definitions` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `exits_with_error`, `image_wrong_architecture`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cannot-start-container.html>
    title: "The runtime cannot start a container",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotStartContainerError: Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"mailer serve\": executable file not found in $PATH: unknown",
        );
    },
}

static COMMAND: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"exec: "(?<it>[^"]+)""#));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ContainerCannotStart], |told, findings| {
        let definition = findings.see(patient.task_definition(told.task_definition)).flatten();
        // What a volume hides, another check reports.
        let hides = |definition| mount::over_command(definition, told.container?, told.text);
        if definition.and_then(hides).is_some() {
            return None;
        }
        let who =
            told.container.map_or("a container".to_owned(), |name| format!("container {name}"));
        let is_known = told.container.is_some() && definition.is_some();
        let (why, advice, fields) = cause(told.text, is_known);
        let query = format!("taskDefinition.containerDefinitions[].[name,{fields}]");
        let remedy = Remedy::new(advice)
            .cli(aws!(
                "ecs describe-task-definition --task-definition {} --query {}",
                told.version(),
                query
            ))
            .cli(told.see(patient));
        Some(told.finding(patient, &format!("the runtime cannot start {who}{why}")).mend(remedy))
    })
}

const COMMAND_ADVICE: &str = "Fix command or entryPoint in the task definition, the file in the image, or the mountPoints that hide it, and deploy again.";

/// Why the runtime could not, what to do about it, and which fields of the task definition to
/// compare. That a command is not in the image is certain only where no volume can hide it.
fn cause(text: &str, mounts_are_known: bool) -> (String, &'static str, &'static str) {
    // The runtime has programs of its own for GPUs: a missing one is not a command of the app.
    let command =
        stop_reason::part(&COMMAND, text).filter(|command| !command.starts_with("nvidia"));
    let is_missing = ["not found", "no such file", "cannot find the file", "is a directory"]
        .iter()
        .any(|word| text.contains(word));
    match (command, stop_reason::hindrance(text)) {
        (Some(command), _) if is_missing => {
            let hint = if command.contains(' ') {
                " (a command is a list of arguments, not a shell command line)"
            } else {
                ""
            };
            let unless = if mounts_are_known { "" } else { ", or a volume is mounted over it" };
            let why = format!(", because \"{command}\" is not in the image{hint}{unless}");
            (why, COMMAND_ADVICE, "entryPoint,command,mountPoints")
        }
        (Some(command), _) if text.contains("permission denied") => {
            let why = format!(", because \"{command}\" is not executable");
            (why, COMMAND_ADVICE, "entryPoint,command,mountPoints")
        }
        (_, Some(hindrance)) => {
            let why = format!(", because {}", hindrance.clause(text));
            (why, hindrance.advice, SETTINGS)
        }
        _ => (format!(" (\"{}\")", stop_reason::quoted(text)), Step::Container.advice(), SETTINGS),
    }
}

/// The settings of a container that its host may reject.
const SETTINGS: &str =
    "portMappings,mountPoints,ulimits,user,memory,linuxParameters,resourceRequirements";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(tail: &str) -> Vec<String> {
        says_of_failed_starts(
            CHECK,
            2,
            &format!("CannotStartContainerError: Error response from daemon: {tail}"),
        )
    }

    #[test]
    fn names_the_command_that_is_not_there() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "The runtime cannot start a container, because \"mailer serve\" is not in the image (a command is a list of arguments, not a shell command line), or a volume is mounted over it: 3 of 3"
        ));
        assert!(
            with("exec: \"/run.sh\": permission denied: unknown")[0]
                .contains("because \"/run.sh\" is not executable: 2 of 2")
        );
        assert!(with("something new")[0].contains(
            "(\"CannotStartContainerError: Error response from daemon: something new\")"
        ));
    }

    #[test]
    fn what_the_host_refuses_has_advice_of_its_own() {
        for (words, why, advice) in [
            (
                "error setting rlimit type 7: operation not permitted",
                "a limit (ulimits)",
                "Lower ulimits",
            ),
            ("could not select device driver \"nvidia\"", "no GPU driver", "GPU-optimized AMI"),
            (
                "exec: \"nvidia-container-runtime-hook\": executable file not found in $PATH",
                "no GPU driver",
                "GPU-optimized AMI",
            ),
            (
                "Bind for 0.0.0.0:8080 failed: port is already allocated",
                "the host port that it requests is in use",
                "Set hostPort to 0",
            ),
            (
                "unable to find user app: no matching entries in passwd file",
                "the image has no user or group app",
                "/etc/passwd",
            ),
            (
                "error mounting \"/x\" to rootfs at \"/y\": not a directory",
                "a volume cannot be mounted",
                "Compare mountPoints",
            ),
            (
                "Minimum memory limit allowed is 6MB",
                "its memory limit is below",
                "Raise the container's memory",
            ),
        ] {
            let mut snapshot = crate::baseline::worker();
            let text = format!("CannotStartContainerError: Error response from daemon: {words}");
            crate::baseline::fail_to_start(&mut snapshot, 2, &text);
            let finding = crate::testing::exam(CHECK, &snapshot).findings.remove(0);
            assert!(finding.claim.contains(why), "{}", finding.claim);
            let summary = &finding.remedy.summary;
            assert!(summary.contains(advice) && !summary.contains("entryPoint"), "{summary}");
        }
    }

    #[test]
    fn another_cpu_or_a_full_disk_has_a_check_of_its_own() {
        assert!(with("exec /app: exec format error").is_empty());
        assert!(with("mkdir /var/lib/docker/overlay2: no space left on device").is_empty());
    }
}
