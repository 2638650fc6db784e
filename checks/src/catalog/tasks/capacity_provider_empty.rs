//! The capacity provider has no container instances to give, or the cluster may not wait for more of them.

use crate::call::quote;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::reading::and_list;
use crate::reading::reason::{self, Trouble};

crate::check! {
    /// The service's capacity provider has no instances, or too many tasks wait for instances already.
    ///
    /// # Why it matters
    ///
    /// No task is placed until instances come, and they may never: the Auto Scaling group may be at its maximum, suspended, or
    /// its instances may fail to register.
    ///
    /// # How we tell
    ///
    /// A service event says "No Container Instances were found in your capacity provider", or that the provisioning limit of 500
    /// tasks a cluster was exceeded, and no later event overrules it. The group behind the provider is not looked up yet.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs describe-capacity-providers --capacity-providers <provider>
    /// aws autoscaling describe-scaling-activities --auto-scaling-group-name <group> --max-items 5
    /// ```
    ///
    /// Terraform/OpenTofu: `max_size` of `aws_autoscaling_group`, `managed_scaling` of `aws_ecs_capacity_provider`.
    ///
    /// # See also
    ///
    /// `no_instance_fits`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "The capacity provider has no instances to give",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on ec2, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        snapshot.services[0].capacity_providers = vec!["web-instances".into()];
        crate::baseline::say(
            snapshot,
            8,
            "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider. See details in the troubleshooting section.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::CapacityProviderEmpty], |told, _| {
        let providers = &patient.service().capacity_providers;
        let named = if providers.is_empty() { String::new() } else { format!(" {}", and_list(providers)) };
        let claim = match told.text.contains("provisioning capacity limit") {
            true => "Too many tasks of the cluster wait for instances: its limit is 500".to_owned(),
            false => format!("Capacity provider{named} has no container instances"),
        };
        let see = match providers.is_empty() {
            true => format!("aws ecs describe-clusters --clusters {}", quote(patient.cluster())),
            false => format!(
                "aws ecs describe-capacity-providers --capacity-providers {}",
                providers.iter().map(|name| quote(name)).collect::<Vec<_>>().join(" ")
            ),
        };
        let remedy =
            Remedy::new("See why the Auto Scaling group brings no instances: its maximum, its scaling activities, and whether they register.")
                .cli(see)
                .cli(told.see(patient));
        Some(told.finding(patient, &claim).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::says;

    #[test]
    fn names_the_provider() {
        assert_eq!(says(CHECK, &(CHECK.example)()), ["Capacity provider web-instances has no container instances: ECS said so of web:12 8 min ago."]);
    }

    #[test]
    fn instances_without_room_are_not_none() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(&mut snapshot, 8, "(service web) was unable to place a task because no container instance met all of its requirements.");
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
