//! An EFS file system of the task cannot be mounted: nobody lets the task in on port 2049, or the
//! access point is not there.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Fault, Trouble};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::reason;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

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
    /// zone) from a denial (IAM, file system policy), from what does not exist, and from a name
    /// that does not resolve: on an instance the volume plug-in says "Failed to resolve", as where
    /// DNS host names of the VPC are off. The mount
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
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: Connection timed out : unsuccessful EFS utils command execution; code: 32",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::FileSystemNotMounted], |told, _| {
        let timed_out = told.text.to_ascii_lowercase().contains("timed out");
        let hindrance = stop_reason::hindrance(told.text);
        let because = hindrance.map(|it| format!(", because {}", it.clause(told.text)));
        let (why, advice) = match told.reason.fault {
            _ if because.is_some() => {
                (because.as_deref().unwrap_or_default(), hindrance.map_or("", |it| it.advice))
            }
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
        let id = stop_reason::part(&FILE_SYSTEM, told.text);
        let remedy = Remedy::new(advice)
            .cli(aws!(
                "efs describe-mount-targets --file-system-id {}",
                id.map_or(Word::needed("FILE_SYSTEM_ID"), Word::new)
            ))
            .cli(told.see(patient));
        let remedy = if told.text.contains(UNRESOLVED) { resolving(remedy) } else { remedy };
        Some(
            told.finding(patient, &format!("the EFS file system cannot be mounted{why}"))
                .mend(remedy),
        )
    })
}

static FILE_SYSTEM: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"(?<it>fs-[0-9a-f]{8,})"));

/// How the volume plug-in of an instance says that DNS does not know the file system.
const UNRESOLVED: &str = "Failed to resolve";

fn resolving(remedy: Remedy) -> Remedy {
    remedy
        .cli(aws!("ec2 modify-vpc-attribute --vpc-id $VPC_ID --enable-dns-support"))
        .cli(aws!("ec2 modify-vpc-attribute --vpc-id $VPC_ID --enable-dns-hostnames"))
        .terraform(hcl!(
            r#"
            resource "aws_vpc" "this" {
              enable_dns_support   = true
              enable_dns_hostnames = true
            }"#
        ))
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
                .starts_with("The EFS file system cannot be mounted, because the directory that it is to mount is not on the file system: 2 of 2")
        );
    }

    #[test]
    fn a_name_that_does_not_resolve_on_an_instance_is_a_matter_of_dns() {
        let mut snapshot = crate::baseline::worker();
        crate::baseline::fail_to_start(
            &mut snapshot,
            2,
            "CannotCreateVolumeError: Error response from daemon: create ecs-mailer-data: VolumeDriver.Create: mounting volume failed: Failed to resolve \"fs-0a1b2c3d4e5f60718.efs.eu-west-2.amazonaws.com\" - check that your file system ID is correct.",
        );
        let finding = crate::testing::exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.claim.starts_with("the EFS file system cannot be mounted, because the name fs-0a1b2c3d4e5f60718.efs.eu-west-2.amazonaws.com does not resolve in the VPC: 2 of 2"),
            "{}",
            finding.claim
        );
        let shell = finding.remedy.shell().join("\n");
        assert!(shell.contains("--file-system-id fs-0a1b2c3d4e5f60718"), "{shell}");
        assert!(shell.contains("--enable-dns-hostnames"), "{shell}");
    }

    #[test]
    fn another_resource_is_no_file_system() {
        assert!(
            with("unable to pull secrets or registry auth: pull command failed: : signal: killed")
                .is_empty()
        );
    }
}
