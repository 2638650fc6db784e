//! An EFS file system of the task cannot be mounted: nobody lets the task in on port 2049, or the
//! access point is not there.

use crate::aws;
use crate::aws::stop_reason::{Fault, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;

crate::check! {
    /// A task cannot mount its EFS file system.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with "failed to invoke EFS utils commands". The end of the
    /// reason tells a timeout (the security group of the mount target, or no mount target in the
    /// zone) from a denial (IAM, file system policy) and from what does not exist. The mount
    /// targets themselves are not looked up.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws efs describe-mount-targets --file-system-id <file system>
    /// aws ec2 authorize-security-group-ingress --group-id <mount target's group> --protocol tcp --port 2049 --source-group <task's group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_efs_mount_target` in each zone, with `security_groups` that admit
    /// the tasks on port 2049.
    ///
    /// # See also
    ///
    /// `volume_not_attached`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "An EFS file system cannot be mounted",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: Connection timed out : unsuccessful EFS utils command execution; code: 32",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::FileSystemNotMounted], |told, _| {
        let timed_out = told.text.to_ascii_lowercase().contains("timed out");
        let (why, advice) = match told.reason.fault {
            _ if timed_out => (
                " in time",
                "Let the tasks' security group in on port 2049 at the mount targets, and have a mount target in each zone of the tasks.",
            ),
            Some(Fault::Network) => (
                ", because it cannot be reached",
                "Let the tasks' security group in on port 2049 at the mount targets, and have a mount target in each zone of the tasks.",
            ),
            Some(Fault::Denied | Fault::Key) => (
                ", because access is denied",
                "Allow elasticfilesystem:ClientMount (and ClientWrite) to the task role, and in the file system's policy.",
            ),
            Some(Fault::Missing) => (
                ", because something that it names does not exist",
                "Mend the file system, access point or directory that the task definition names.",
            ),
            _ => (
                "",
                "See the end of the reason: a closed port 2049, a missing mount target, a denial, or a directory that is not there.",
            ),
        };
        let remedy = Remedy::new(advice)
            .cli(aws!("efs describe-mount-targets --file-system-id $FILE_SYSTEM_ID"))
            .cli(told.see(patient));
        Some(
            told.finding(patient, &format!("the EFS file system cannot be mounted{why}"))
                .mend(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(tail: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, &format!("ResourceInitializationError: {tail}"))
    }

    #[test]
    fn the_end_of_the_reason_tells_why() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .starts_with("The EFS file system cannot be mounted in time: 3 of 3")
        );
        let head = "failed to invoke EFS utils commands to set up EFS volumes: stderr:";
        assert!(
            with(&format!("{head} access denied by server: AccessDeniedException"))[0]
                .contains("because access is denied")
        );
        assert!(
            with(&format!("{head} b'mount.nfs4: mounting fs failed, reason given by server: No such file or directory'"))[0]
                .starts_with("The EFS file system cannot be mounted: 2 of 2")
        );
    }

    #[test]
    fn another_resource_is_no_file_system() {
        assert!(
            with("unable to pull secrets or registry auth: pull command failed: : signal: killed")
                .is_empty()
        );
    }
}
