//! Fargate is not available in an Availability Zone of the service's subnets. ECS only says
//! "Internal error.", so it is only likely.

use std::collections::BTreeSet;

use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::network::reach;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::and_list;
use crate::{aws, hcl, words};

crate::check! {
    /// Fargate cannot place tasks in an Availability Zone of the service's subnets.
    ///
    /// # Why it matters
    ///
    /// Fargate is not available in some Availability Zones of some regions, nor in Local Zones.
    /// Each attempt that uses such a subnet fails.
    ///
    /// # How we tell
    ///
    /// A service event says "was unable to place a task. Reason: Internal error.", which AWS
    /// documents with this meaning, and no later event supersedes it. No API tells which
    /// Availability Zones have Fargate, so they are listed and the claim is "likely".
    ///
    /// # What to do
    ///
    /// Compare the ids of the Availability Zones with AWS's list, and remove the subnet from the
    /// service:
    ///
    /// ```sh
    /// aws ec2 describe-subnets --subnet-ids <subnets> --query 'Subnets[].[SubnetId,AvailabilityZone,AvailabilityZoneId]'
    /// ```
    ///
    /// Terraform/OpenTofu: `network_configuration { subnets }` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `fargate_capacity_unavailable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "Fargate is likely not available in a subnet's zone",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeSubnets],
    example: on worker, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(snapshot, 8, "(service mailer) was unable to place a task. Reason: Internal error.");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::ZoneUnsupported], |told, findings| {
        let subnets = reach::configured(patient, None)
            .map(|network| network.subnets.as_slice())
            .unwrap_or_default();
        let zone = |id: &String, findings: &mut Findings| {
            findings
                .see(patient.subnet(id))
                .flatten()
                .and_then(|subnet| subnet.availability_zone.as_deref())
        };
        let seen: Vec<(&String, &str)> =
            subnets.iter().filter_map(|id| Some((id, zone(id, findings)?))).collect();
        // Where a task runs, Fargate runs.
        let running = findings.see(patient.running_tasks()).unwrap_or_default();
        let supported = |zone: &str| {
            running.iter().any(|task| {
                task.last_status == "RUNNING" && task.availability_zone.as_deref() == Some(zone)
            })
        };
        let (good, doubtful): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, zone)| supported(zone));
        // Where one zone alone is in doubt, and the others are known, those can stay.
        let doubted: BTreeSet<&str> = doubtful.iter().map(|(_, zone)| *zone).collect();
        let keep: Vec<&String> = match doubted.len() == 1 && seen.len() == subnets.len() {
            true => good.iter().map(|(id, _)| *id).collect(),
            false => Vec::new(),
        };
        let seen = if doubtful.is_empty() { good } else { doubtful };
        let zones: BTreeSet<&str> = seen.iter().map(|(_, zone)| *zone).collect();
        let of = match zones.len() {
            0 => "an Availability Zone of its subnets".to_owned(),
            1 => and_list(&zones),
            _ => format!("one of {}", and_list(&zones)),
        };
        let evidence = seen
            .iter()
            .map(|(id, zone)| Evidence::new(Call::DescribeSubnets, *id, "AvailabilityZone", zone));
        let remedy = Remedy::new(
            "Remove the subnet whose Availability Zone has no Fargate from the service; the AWS documentation lists the supported ones by id.",
        )
        .cli(
            aws!("ec2 describe-subnets --subnet-ids")
                .args(subnets)
                .and(words!("--query Subnets[].[SubnetId,AvailabilityZone,AvailabilityZoneId]")),
        )
        .cli(told.see(patient));
        let remedy = match keep.as_slice() {
            [] => remedy,
            keep => fixes::subnets(patient, keep.iter().map(|id| Word::new(*id)))
                .into_iter()
                .fold(remedy, Remedy::cli)
                .terraform(hcl!(
                    r#"
                    resource "aws_ecs_service" {} {
                      network_configuration {
                        subnets = {}
                      }
                    }"#,
                    patient.name(),
                    keep
                )),
        };
        Some(
            told.finding(patient, &format!("Fargate is likely not available in {of}"))
                .because_all(evidence)
                .mend(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says;

    #[test]
    fn lists_the_zones_and_says_likely() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Fargate is likely not available in one of eu-west-2a and eu-west-2b: reported by ECS for mailer:12, 8 min ago."
            ]
        );
    }

    #[test]
    fn a_zone_in_which_a_task_runs_is_not_the_one() {
        let healthy = crate::baseline::worker();
        let arn = healthy.services[0].service_arn.clone();
        let mut snapshot = (CHECK.example)();
        snapshot.running_tasks = healthy.running_tasks;
        let running = snapshot.running_tasks.change(&arn).unwrap();
        running.truncate(1);
        running[0].availability_zone = Some("eu-west-2a".into());
        let shell = crate::testing::exam(CHECK, &snapshot).findings.remove(0).remedy.shell();
        assert!(shell.iter().any(|command| command.contains("subnets=[subnet-0a1]")), "{shell:?}");
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Fargate is likely not available in eu-west-2b: reported by ECS for mailer:12, 8 min ago."
            ]
        );
    }

    #[test]
    fn an_internal_error_of_something_else_is_no_zone() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].message = "(service mailer) was unable to place a task. Reason: Internal error. Volume vol-1 failed.".into();
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
