//! A volume is mounted over the files that a container starts from, so that it sees the volume
//! instead of the files of the image. Files that are missing without a mount are for the checks of
//! starts and exits.

use crate::aws;
use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::mount::{self, Cover};
use crate::facts::tasks::{ending, last_word, stop};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;

crate::check! {
    /// A volume is mounted over the files from which a container starts.
    ///
    /// # Why it matters
    ///
    /// The image is complete and runs anywhere else. In the task, the volume replaces the directory
    /// with the app, and the app is not on the volume: no task of this version keeps running.
    ///
    /// # How we tell
    ///
    /// The runtime or the container's log names a file, a command or a module that was not found,
    /// and a mount point of that container covers its path, or the directory of such modules
    /// (`node_modules`, `site-packages`, `vendor`). That the volume is the cause is likely, not
    /// certain: the image may lack the file as well. A mount elsewhere does not count.
    ///
    /// # What to do
    ///
    /// Mount the volume at a path that is empty in the image, and have the app write there; or put
    /// the files on the volume.
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <family:revision> --query 'taskDefinition.[volumes,containerDefinitions[].[name,mountPoints]]'
    /// ```
    ///
    /// Terraform/OpenTofu: `mountPoints` in `container_definitions` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `container_cannot_start`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bind-mounts.html>
    title: "A volume hides files that a container needs",
    severity: High,
    role: Cause,
    explains: [ContainerExits, TasksFailToStart, TasksKeepStopping],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        GetLogEvents,
    ],
    example: on worker, |snapshot| {
        mount_at(snapshot, "/app");
        crate::baseline::exit_tasks(snapshot, 3, 1, None);
        crate::baseline::log_at_last(snapshot, &["Error: Cannot find module '/app/server.js'"]);
    },
}

/// Mounts a volume in the first container of `mailer:12`.
fn mount_at(snapshot: &mut crate::snapshot::Snapshot, path: &str) {
    let definition = crate::baseline::id::ecs("task-definition/mailer:12");
    if let Some(version) = snapshot.task_definitions.change(&definition) {
        version.volumes.push(crate::snapshot::Volume {
            name: "uploads".into(),
            file_system_id: Some("fs-0a1b2c3d4e5f60718".into()),
            ..Default::default()
        });
        version.container_definitions[0].mount_points.push(crate::snapshot::MountPoint {
            source_volume: Some("uploads".into()),
            container_path: Some(path.into()),
            read_only: None,
        });
    }
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    of_starts(patient, findings)?;
    of_exits(patient, findings)
}

/// Commands that the runtime did not find.
fn of_starts(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ContainerCannotStart], |told, findings| {
        let definition = findings.see(patient.task_definition(told.task_definition))??;
        let container = told.container?;
        let cover = mount::over_command(definition, container, told.text)?;
        let finding = told.finding(patient, &claim(container, &cover));
        Some(completed(patient, finding, told.task_definition, container, &cover))
    })
}

/// Files and modules that a container did not find before it ended.
fn of_exits(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        let Some(Some(definition)) =
            findings.see(patient.task_definition(failures.task_definition))
        else {
            continue;
        };
        for ((container, _), ended) in ending::exits(patient, &failures, Some(definition), |_| true)
        {
            let logged = last_word::of(patient, findings, container, &ended.tasks);
            let Some(cover) =
                logged.quote.and_then(|line| mount::over_line(definition, container, line))
            else {
                continue;
            };
            let fate = if failures.is_primary { "" } else { ", which was rolled back," };
            let claim = format!(
                "{}: {} of {} failed tasks of {}{fate} ended this way {}",
                claim(container, &cover),
                ended.tasks.len(),
                failures.tasks.len(),
                rollout::short(failures.task_definition),
                stop::when(patient.now(), &ended.tasks)
            );
            let finding = Subject::new(Kind::TaskDefinition, failures.task_definition)
                .sick(claim, stop::evidence(ended.tasks[0]))
                .because_all(logged.evidence)
                .concerns(Kind::TaskDefinition, failures.task_definition)
                .concerns_no(Kind::TargetGroup);
            findings.add(completed(patient, finding, failures.task_definition, container, &cover));
        }
    }
    Ok(())
}

fn claim(container: &str, cover: &Cover) -> String {
    let volume = cover.volume.map_or("a volume".to_owned(), |name| format!("volume {name}"));
    format!(
        "{volume} is mounted over {} and likely hides {} from container {container}",
        cover.path, cover.missing
    )
}

fn completed(
    patient: &Patient,
    finding: Finding,
    definition: &str,
    container: &str,
    cover: &Cover,
) -> Finding {
    let mount = Evidence::new(
        Call::DescribeTaskDefinition,
        definition,
        "mountPoints.containerPath",
        cover.path,
    );
    let remedy = Remedy::new(format!(
        "Mount the volume at a path that is empty in the image, and have the app write there; or put the missing files on the volume. The container sees the volume instead of what the image has in {}.",
        cover.path
    ))
    .cli(aws!(
        "ecs describe-task-definition --task-definition {} \
         --query taskDefinition.[volumes,containerDefinitions[].[name,mountPoints]]",
        rollout::short(definition)
    ))
    .cli(aws!("ecs register-task-definition --cli-input-json file://task-definition.json"))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          container_definitions = jsonencode([{
            name        = {}
            mountPoints = [{ sourceVolume = {}, containerPath = "/data" }]
          }])
        }"#,
        patient.name(),
        container,
        cover.volume.unwrap_or("data")
    ));
    finding.because(mount).mend(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{each_stopped, exam, says};

    fn ended_with(path: &str, line: &str) -> Vec<String> {
        let mut snapshot = baseline::worker();
        mount_at(&mut snapshot, path);
        baseline::exit_tasks(&mut snapshot, 3, 1, None);
        baseline::log_at_last(&mut snapshot, &[line]);
        says(CHECK, &snapshot)
    }

    #[test]
    fn names_the_volume_where_it_lies_and_what_it_hides() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Volume uploads is mounted over /app and likely hides /app/server.js from container worker: 3 of 3 failed tasks of mailer:12 ended this way within 8 min, the last 2 min ago."
            ]
        );
    }

    fn not_started(path: &str) -> Snapshot {
        let mut snapshot = baseline::worker();
        mount_at(&mut snapshot, path);
        let reason = "CannotStartContainerError: Error response from daemon: runc create failed: unable to start container process: exec: \"/srv/bin/mailer\": stat /srv/bin/mailer: no such file or directory: unknown";
        baseline::fail_to_start(&mut snapshot, 2, reason);
        each_stopped(snapshot, |task| task.containers[0].reason = Some(reason.into()))
    }

    #[test]
    fn a_command_that_the_runtime_does_not_find_is_told_here_alone() {
        let snapshot = not_started("/srv");
        assert!(
            says(CHECK, &snapshot)[0].starts_with(
                "Volume uploads is mounted over /srv and likely hides /srv/bin/mailer from container worker: 2 of 2"
            )
        );
        let other = super::super::container_cannot_start::CHECK;
        assert!(says(other, &snapshot).is_empty());
        let elsewhere = not_started("/data");
        assert!(says(CHECK, &elsewhere).is_empty());
        assert!(says(other, &elsewhere)[0].contains("\"/srv/bin/mailer\" is not in the image: "));
    }

    #[test]
    fn a_mount_elsewhere_or_another_trouble_says_nothing() {
        let missing = "Error: Cannot find module '/app/server.js'";
        assert!(ended_with("/app-data", missing).is_empty());
        assert!(ended_with("/var/cache", missing).is_empty());
        assert!(ended_with("/app", "Error: connect ECONNREFUSED 10.0.9.9:5432").is_empty());
        assert!(ended_with("/app", "Error: Cannot find module 'express'").is_empty());
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 3, 1, None);
        baseline::log_at_last(&mut snapshot, &[missing]);
        assert!(says(CHECK, &snapshot).is_empty(), "the image lacks it");
    }

    #[test]
    fn without_the_task_definition_nobody_knows_what_is_mounted() {
        let mut snapshot = (CHECK.example)();
        snapshot.task_definitions.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
