//! The runtime cannot start a container's command: it is not in the image, may not be executed, or
//! the container cannot be made at all. Without an app there is no log, so the runtime's words are
//! all there is.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
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
    /// `ContainerRuntimeError` or one like these. "Executable file not found" names the command.
    /// `exec format error` is another CPU, and a full disk a full disk: these have checks of their
    /// own.
    ///
    /// # What to do
    ///
    /// Run the image with the same command elsewhere. `command` and `entryPoint` are lists of
    /// words, not lines for a shell.
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
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
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
    reasons::each(patient, findings, &[Trouble::ContainerCannotStart], |told, _| {
        let command = stop_reason::part(&COMMAND, told.text);
        let who =
            told.container.map_or("a container".to_owned(), |name| format!("container {name}"));
        let why = match command {
            Some(command)
                if told.text.contains("not found") || told.text.contains("no such file") =>
            {
                let hint = if command.contains(' ') {
                    " (a command is a list of words, not a line for a shell)"
                } else {
                    ""
                };
                format!(
                    ", because \"{command}\" is not in the image{hint}, or a volume is mounted over it"
                )
            }
            Some(command) if told.text.contains("permission denied") => {
                format!(", because \"{command}\" may not be executed")
            }
            _ => format!(" (\"{}\")", stop_reason::quoted(told.text)),
        };
        let remedy = Remedy::new(
            "Mend command or entryPoint in the task definition, the file in the image, or the \
             mountPoints that hide it, and deploy again.",
        )
        .cli(aws!(
            "ecs describe-task-definition --task-definition {} \
             --query taskDefinition.containerDefinitions[].[name,entryPoint,command,mountPoints]",
            told.version()
        ))
        .cli(told.see(patient));
        Some(told.finding(patient, &format!("the runtime cannot start {who}{why}")).mend(remedy))
    })
}

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
            "The runtime cannot start a container, because \"mailer serve\" is not in the image (a command is a list of words, not a line for a shell), or a volume is mounted over it: 3 of 3"
        ));
        assert!(
            with("exec: \"/run.sh\": permission denied: unknown")[0]
                .contains("because \"/run.sh\" may not be executed: 2 of 2")
        );
        assert!(with("something new")[0].contains(
            "(\"CannotStartContainerError: Error response from daemon: something new\")"
        ));
    }

    #[test]
    fn another_cpu_or_a_full_disk_has_a_check_of_its_own() {
        assert!(with("exec /app: exec format error").is_empty());
        assert!(with("mkdir /var/lib/docker/overlay2: no space left on device").is_empty());
    }
}
