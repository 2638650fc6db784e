//! Fargate does not run in a zone of the service's subnets. ECS says no more than "Internal
//! error.", so it is only likely.

use std::collections::BTreeSet;

use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::reach;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::and_list;
use crate::{aws, words};

crate::check! {
    /// Fargate cannot place tasks in a zone of the service's subnets.
    ///
    /// # Why it matters
    ///
    /// Some zones of some regions have no Fargate, and local zones have none. Each try that meets
    /// such a subnet fails.
    ///
    /// # How we tell
    ///
    /// A service event says "was unable to place a task. Reason: Internal error.", which AWS
    /// documents as just this, and no later event overrules it. Which zones have Fargate cannot be
    /// asked, so the zones are listed and the claim is "likely".
    ///
    /// # What to do
    ///
    /// Compare the ids of the zones with AWS's list, and take the subnet out:
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
    title: "Fargate likely does not run in a subnet's zone",
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
        let seen = if doubtful.is_empty() { good } else { doubtful };
        let zones: BTreeSet<&str> = seen.iter().map(|(_, zone)| *zone).collect();
        let of = match zones.len() {
            0 => "one of its subnets' zones".to_owned(),
            1 => and_list(&zones),
            _ => format!("one of {}", and_list(&zones)),
        };
        let evidence = seen
            .iter()
            .map(|(id, zone)| Evidence::new(Call::DescribeSubnets, *id, "AvailabilityZone", zone));
        let remedy = Remedy::new(
            "Take the subnet whose zone has no Fargate out of the service; AWS's docs list the \
             zones by id.",
        )
        .cli(
            aws!("ec2 describe-subnets --subnet-ids")
                .args(subnets)
                .and(words!("--query Subnets[].[SubnetId,AvailabilityZone,AvailabilityZoneId]")),
        )
        .cli(told.see(patient));
        Some(
            told.finding(patient, &format!("Fargate likely does not run in {of}"))
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
                "Fargate likely does not run in one of eu-west-2a and eu-west-2b: ECS said so of mailer:12 8 min ago."
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
        assert_eq!(
            says(CHECK, &snapshot),
            ["Fargate likely does not run in eu-west-2b: ECS said so of mailer:12 8 min ago."]
        );
    }

    #[test]
    fn an_internal_error_of_something_else_is_no_zone() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].message = "(service mailer) was unable to place a task. Reason: Internal error. Volume vol-1 failed.".into();
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
