//! The disk of the task, or of its instance, has no room for the image or for what the container
//! writes.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// There is no space left on the disk of the task or of its instance.
    ///
    /// # Why it matters
    ///
    /// The image cannot be unpacked, or the container cannot write, and the task does not start.
    /// ECR shows the size of the compressed image; unpacked, it may be three times as large.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped, and the reason says "no space left on device".
    ///
    /// # What to do
    ///
    /// A Fargate task has 20 GiB unless its task definition requests more, up to 200. On EC2, the
    /// instance's disk is full, often with unused images.
    ///
    /// ```sh
    /// aws ecs register-task-definition --ephemeral-storage sizeInGiB=40 --cli-input-json file://task-definition.json
    /// ```
    ///
    /// Terraform/OpenTofu: `ephemeral_storage { size_in_gib = 40 }` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `out_of_memory`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html>
    title: "No space is left on the task's disk",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart, TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to extract layer sha256:0123456789abcdef: write /var/lib/containerd/io.containerd.snapshotter: no space left on device: unknown",
        );
    },
}

const PRUNE: &str = "commands=[\"docker image prune --all --force\"]";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::DiskFull], |told, _| {
        let on_instance = told.tasks.iter().any(|task| task.container_instance_arn.is_some());
        let remedy = match on_instance {
            true => Remedy::new(
                "Free space on the instances: remove unused images, or use a larger volume.",
            )
            .cli(fixes::on_instance(Word::needed("INSTANCE_ID"), PRUNE))
            .cli(told.see(patient))
            .terraform(hcl!(
                r#"
                # in aws_launch_template
                block_device_mappings {
                  device_name = "/dev/xvda"
                  ebs { volume_size = 100 }
                }"#
            )),
            false => Remedy::new(
                "Request more ephemeralStorage in the task definition (default 20 GiB, at most 200), or make the image smaller.",
            )
            .cli(aws!(
                "ecs register-task-definition --ephemeral-storage sizeInGiB=40 \
                 --cli-input-json file://task-definition.json"
            ))
            .cli(told.see(patient))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_task_definition" {} {
                  ephemeral_storage {
                    size_in_gib = 40
                  }
                }"#,
                patient.name()
            )),
        };
        let whose = if on_instance { "the instance's" } else { "the task's" };
        Some(told.finding(patient, &format!("no space is left on {whose} disk")).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{exam, says, says_of_failed_starts};

    #[test]
    fn on_an_instance_it_is_the_instances_disk() {
        let mut snapshot = baseline::ec2();
        baseline::fail_to_start(
            &mut snapshot,
            2,
            "CannotPullContainerError: write /var/lib/docker/tmp: no space left on device",
        );
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("No space is left on the instance's disk: 2 of 2")
        );
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(remedy.shell()[0].contains("docker image prune"));
        assert!(remedy.terraform.is_some_and(|code| !code.as_str().contains("ephemeral_storage")));
    }

    #[test]
    fn a_pull_that_fails_otherwise_is_no_full_disk() {
        assert!(
            says_of_failed_starts(CHECK, 2, "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: unexpected EOF")
                .is_empty()
        );
    }
}
