//! A volume of the task cannot be mounted: an EFS file system whose name does not resolve, whose
//! port 2049 is closed or whose access point does not exist; on EC2 also a volume of another
//! plugin.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::arn;
use crate::aws::stop_reason::{self, Fault, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word};
use crate::facts::network::reach;
use crate::facts::tasks::reason::Told;
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
    /// Tasks of the version stopped with "failed to invoke EFS utils commands", or on EC2 with
    /// "VolumeDriver.Create: mounting volume failed". The end of the reason distinguishes a timeout
    /// (the security group of the mount target, or no mount target in the Availability Zone), a
    /// name that does not resolve (DNS hostnames of the VPC), a denial (IAM, file system policy)
    /// and something that does not exist. The mount targets themselves are not looked up. For
    /// volumes of other Docker plugins, the reason is quoted.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws efs describe-mount-targets --file-system-id <file system>
    /// aws ec2 authorize-security-group-ingress --group-id <mount target's group> --protocol tcp --port 2049 --source-group <task's group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_efs_mount_target` in each Availability Zone, with `security_groups`
    /// that allow the tasks on port 2049.
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

static FILE_SYSTEM: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\b(?<it>fs-[0-9a-f]+)"));

const PORT: &str = "Allow the tasks' security group on port 2049 in the security group of the mount targets, and create a mount target in each Availability Zone of the tasks.";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::FileSystemNotMounted], |told, findings| {
        let file_system = stop_reason::part(&FILE_SYSTEM, told.text);
        let (claim, remedy) = match is_of_efs(told.text) {
            true => {
                let definition = findings.see(patient.task_definition(told.task_definition));
                let role = definition.flatten().and_then(|one| one.task_role_arn.as_deref());
                of_efs(patient, told, file_system, role.map(arn::last))
            }
            false => of_plugin(told),
        };
        Some(told.finding(patient, &claim).mend(remedy.cli(told.see(patient))))
    })
}

/// Whether the words are about EFS; on EC2 a volume may be any plugin's.
fn is_of_efs(text: &str) -> bool {
    ["EFS", "efs", "mount.nfs", "fs-"].iter().any(|word| text.contains(word))
}

fn of_efs(
    patient: &Patient,
    told: &Told,
    file_system: Option<&str>,
    task_role: Option<&str>,
) -> (String, Remedy) {
    let words = told.text.to_ascii_lowercase();
    let says = |some: &[&str]| some.iter().any(|word| words.contains(word));
    let unresolved = says(&["failed to resolve", "name or service not known"]);
    let hindrance = stop_reason::hindrance(told.text);
    let because = hindrance.map(|it| (format!(", because {}", it.clause(told.text)), it.advice));
    let (why, advice) = match told.reason.fault {
        _ if unresolved => (
            ", because its DNS name does not resolve",
            "Turn on DNS support and DNS hostnames for the VPC, create a mount target in each Availability Zone of the tasks, and check the id of the file system.",
        ),
        _ if because.is_some() => {
            because.as_ref().map_or(("", ""), |(why, advice)| (why.as_str(), *advice))
        }
        _ if says(&["timed out"]) => (" in time", PORT),
        Some(Fault::Network) => (", because it cannot be reached", PORT),
        _ if says(&["access denied by server"]) => (DENIED, ALLOW),
        Some(Fault::Denied | Fault::Key) => (DENIED, ALLOW),
        Some(Fault::Missing) => (
            ", because something that it names does not exist",
            "Correct the file system, access point or directory in the task definition, or create it.",
        ),
        _ => (
            "",
            "Look at the end of the reason: a closed port 2049, a missing mount target, a denial, or a directory that does not exist.",
        ),
    };
    let named = file_system.map_or_else(String::new, |id| format!(" {id}"));
    let id = file_system.map_or(Word::needed("FILE_SYSTEM_ID"), Word::new);
    let remedy =
        Remedy::new(advice).cli(aws!("efs describe-mount-targets --file-system-id {}", id));
    let remedy = match unresolved {
        true => remedy
            .cli(aws!("ec2 modify-vpc-attribute --vpc-id $VPC_ID --enable-dns-hostnames"))
            .terraform(hcl!(
                r#"
                resource "aws_vpc" "this" {
                  enable_dns_support   = true
                  enable_dns_hostnames = true
                }"#
            )),
        false if advice == PORT => port_open(patient, remedy),
        false if advice == ALLOW => {
            remedy.cli(allowed(patient, file_system, task_role)).cli(fixes::deploy(patient, told))
        }
        false => remedy,
    };
    (format!("the EFS file system{named} cannot be mounted{why}"), remedy)
}

const DENIED: &str = ", because access is denied";
const ALLOW: &str = "Allow elasticfilesystem:ClientMount (and ClientWrite) for the task role, in its policies or in the file system policy, and deploy again.";

/// What allows the tasks at the mount targets.
fn port_open(patient: &Patient, remedy: Remedy) -> Remedy {
    let groups = reach::configured(patient, None).map(|network| &network.security_groups);
    let group = groups.and_then(|groups| groups.first());
    remedy
        .cli(aws!(
            "ec2 authorize-security-group-ingress --group-id $MOUNT_TARGET_GROUP_ID --protocol tcp \
             --port 2049 --source-group {}",
            group.map_or(Word::needed("TASK_GROUP_ID"), Word::new)
        ))
        .terraform(hcl!(
            r#"
            resource "aws_vpc_security_group_ingress_rule" "efs" {
              security_group_id            = var.mount_target_group
              referenced_security_group_id = {}
              ip_protocol                  = "tcp"
              from_port                    = 2049
              to_port                      = 2049
            }"#,
            group.map_or(hcl!("var.task_group"), |group| hcl!("{}", group))
        ))
}

/// What allows the task role to mount this file system.
fn allowed(patient: &Patient, file_system: Option<&str>, task_role: Option<&str>) -> Command {
    let of = format!(
        "arn:{}:elasticfilesystem:{}:{}:file-system/",
        patient.partition(),
        patient.region(),
        patient.account()
    );
    let actions = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"];
    let id = file_system.map_or(Word::needed("FILE_SYSTEM_ID"), Word::new);
    fixes::allow(task_role, "file-system", &actions, &of, id)
}

/// A volume of another driver on an instance, with Docker's message.
fn of_plugin(told: &Told) -> (String, Remedy) {
    let claim =
        format!("a volume of the task cannot be created (\"{}\")", stop_reason::quoted(told.text));
    let remedy = Remedy::new(
        "Compare dockerVolumeConfiguration in the task definition with the volume plugins of the instances.",
    )
    .cli(aws!(
        "ecs describe-task-definition --task-definition {} --query taskDefinition.volumes",
        told.version()
    ));
    (claim, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{exam, says, says_of_failed_starts};

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
                .starts_with("The EFS file system cannot be mounted, because the directory to mount does not exist on the file system: 2 of 2")
        );
    }

    #[test]
    fn on_instances_the_volume_plugin_has_words_of_its_own() {
        let said = |why: &str| {
            let mut snapshot = baseline::ec2();
            let text =
                format!("CannotCreateVolumeError: Error response from daemon: create data: {why}");
            baseline::fail_to_start(&mut snapshot, 2, &text);
            exam(CHECK, &snapshot).findings.remove(0)
        };
        let unresolved = said(
            "VolumeDriver.Create: mounting volume failed: b'mount.nfs4: Failed to resolve server fs-0a1b2c3d.efs.eu-west-2.amazonaws.com: Name or service not known'",
        );
        assert!(unresolved.says().starts_with(
            "The EFS file system fs-0a1b2c3d cannot be mounted, because its DNS name does not resolve: 2 of 2"
        ));
        let shell = unresolved.remedy.shell().join("\n");
        assert!(shell.contains("--file-system-id fs-0a1b2c3d"), "{shell}");
        assert!(shell.contains("--enable-dns-hostnames"), "{shell}");
        let denied = said(
            "VolumeDriver.Create: mounting volume failed: b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'",
        );
        assert!(denied.says().contains("because access is denied"), "{}", denied.says());
        let plugin = said("error looking up volume plugin rexray/ebs: plugin not found");
        assert!(plugin.says().starts_with("A volume of the task cannot be created"));
        assert!(!plugin.says().contains("EFS"));
    }

    #[test]
    fn another_resource_is_no_file_system() {
        assert!(
            with("unable to pull secrets or registry auth: pull command failed: : signal: killed")
                .is_empty()
        );
    }
}
