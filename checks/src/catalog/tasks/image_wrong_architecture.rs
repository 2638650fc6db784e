//! The image is built for another CPU than that of the tasks: the registry has no manifest for it,
//! or the kernel cannot run the program. The first is a failed pull, the second a container that
//! exits at once; both are reported here.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Trouble};
use crate::call::{Call, LOG_STREAM};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::command::Command;
use crate::facts::deployment::rollout;
use crate::facts::tasks::container_log;
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// The image has no variant for the CPU on which the tasks run.
    ///
    /// # Why it matters
    ///
    /// No task of this version can run. Typically the image was built on an Apple silicon laptop,
    /// while Fargate's default is X86_64.
    ///
    /// # How we tell
    ///
    /// Either tasks stopped while they pulled, and the reason says that the manifest has no
    /// descriptor for the platform; or a container exited, and its log says `exec format error`.
    ///
    /// # What to do
    ///
    /// Build the image for the CPU of the tasks, or run the tasks on the CPU of the image:
    ///
    /// ```sh
    /// docker buildx build --platform linux/amd64 --push --tag <image> .
    /// aws ecs register-task-definition --runtime-platform cpuArchitecture=ARM64,operatingSystemFamily=LINUX --cli-input-json file://task-definition.json
    /// ```
    ///
    /// Terraform/OpenTofu: `runtime_platform { cpu_architecture = "ARM64" }` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `image_not_found`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "The image is built for another CPU",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, ContainerExits],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetLogEvents],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'",
        );
    },
}

const AT_EXEC: &str = "exec format error";

static PLATFORM: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"matching platform '?(?<it>[a-z]+/[a-z0-9/]+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::WrongArchitecture], |told, _| {
        let claim = match stop_reason::part(&PLATFORM, told.text) {
            Some(platform) => {
                format!("the image has no variant for {platform}, on which the tasks run")
            }
            None => "the image is built for another CPU than that of the tasks".to_owned(),
        };
        let has = of_image(told.text.contains("/arm64"));
        Some(told.finding(patient, &claim).mend(remedy(patient, has, told.see(patient))))
    })?;
    for failures in findings.see(stop::failures(patient)).iter().flatten() {
        at_exec(patient, findings, failures);
    }
    Ok(())
}

/// The kernel's message in the log of a container that exited.
fn at_exec(patient: &Patient, findings: &mut Findings, failures: &Failures) {
    let exited = |arn: &str| {
        failures.tasks.iter().any(|task| {
            task.task_arn == arn && matches!(StopKind::of(task), StopKind::Exited { .. })
        })
    };
    let streams = findings.see(container_log::streams(patient)).unwrap_or_default();
    for stream in streams.into_iter().filter(|stream| exited(&stream.task.task_arn)) {
        let lines =
            findings.see(patient.log_lines(stream.group, &stream.stream)).unwrap_or_default();
        let Some(line) = lines.iter().find(|line| line.message.contains(AT_EXEC)) else { continue };
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        let claim = format!(
            "the kernel cannot run the program of container {}, which is built for another CPU: its log of a task of {} says \"{}\"",
            stream.container,
            rollout::short(failures.task_definition),
            stop_reason::quoted(&line.message)
        );
        let definition = findings.see(patient.task_definition(failures.task_definition)).flatten();
        let cpu = definition.and_then(|definition| definition.cpu_architecture.as_deref());
        let has = of_image(cpu == Some("ARM64"));
        let finding = Subject::new(Kind::TaskDefinition, failures.task_definition)
            .sick(
                claim,
                Evidence::new(Call::GetLogEvents, &of, "events.message", &line.message)
                    .at(line.timestamp),
            )
            .because(stop::evidence(stream.task))
            .mend(remedy(patient, has, patient.see(Call::GetLogEvents, &of)))
            .concerns(Kind::TaskDefinition, failures.task_definition)
            .concerns_no(Kind::TargetGroup);
        findings.add(finding);
        return;
    }
}

/// The CPU that an image has, if it is the other one than that of the tasks.
fn of_image(tasks_have_arm: bool) -> &'static str {
    if tasks_have_arm { "X86_64" } else { "ARM64" }
}

fn remedy(patient: &Patient, cpu_of_image: &str, see: Command) -> Remedy {
    Remedy::new(
        "Build the image for the CPU of the tasks (docker buildx build --platform linux/amd64, or \
         linux/arm64, or both), or set the image's CPU in the task definition's runtimePlatform.",
    )
    .cli(aws!(
        "ecs register-task-definition \
         --runtime-platform cpuArchitecture={},operatingSystemFamily=LINUX \
         --cli-input-json file://task-definition.json",
        cpu_of_image
    ))
    .cli(see)
    .terraform(hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          runtime_platform {
            cpu_architecture        = {}
            operating_system_family = "LINUX"
          }
        }"#,
        patient.name(),
        cpu_of_image
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::snapshot::Snapshot;
    use crate::testing::says;

    fn with_log(message: &str) -> Snapshot {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, 1, None);
        baseline::log_at_last(&mut snapshot, &[message]);
        snapshot
    }

    #[test]
    fn a_pull_message_that_is_an_architecture_names_the_platform() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The image has no variant for linux/amd64, on which the tasks run: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last \
                 2 min ago."
            ]
        );
    }

    #[test]
    fn the_log_of_a_container_that_ended_tells_too() {
        assert_eq!(
            says(CHECK, &with_log("exec /usr/bin/sh: exec format error")),
            [
                "The kernel cannot run the program of container worker, which is built for another CPU: its log of a task of mailer:12 says \"exec \
                 /usr/bin/sh: exec format error\"."
            ]
        );
        assert!(says(CHECK, &with_log("Error: bad format")).is_empty());
    }

    #[test]
    fn it_stands_before_the_exit_that_follows_from_it() {
        let snapshot = with_log("exec /app: exec format error");
        let intent = crate::patient::Intent::default();
        let diagnosis =
            crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).unwrap();
        assert_eq!(
            root.explains.iter().map(|node| node.check.id()).collect::<Vec<_>>(),
            ["exits_with_error"]
        );
        assert_eq!(root.explains[0].explains[0].check.id(), "tasks_keep_stopping");
    }
}
