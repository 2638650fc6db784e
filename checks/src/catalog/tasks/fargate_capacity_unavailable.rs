//! Fargate itself currently has no capacity in the service's Availability Zones.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::reach;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{hcl, words};

crate::check! {
    /// AWS has no Fargate capacity left in the service's Availability Zones, or no Spot capacity.
    ///
    /// # Why it matters
    ///
    /// The task is not started until there is capacity. With Spot alone or a single Availability
    /// Zone, there is no alternative meanwhile.
    ///
    /// # How we tell
    ///
    /// A service event says "Capacity is unavailable at this time", and no later event supersedes
    /// it. A single event of the last three minutes does not count. The account's quota has a
    /// different message.
    ///
    /// # What to do
    ///
    /// Use more Availability Zones, and on-demand capacity as a base:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --capacity-provider-strategy capacityProvider=FARGATE,base=1,weight=1 capacityProvider=FARGATE_SPOT,weight=3 --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `capacity_provider_strategy` and `network_configuration { subnets }` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `vcpu_quota_reached`, `spot_interrupted`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "Fargate has no capacity in these zones now",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            8,
            "(service mailer) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::FargateCapacityUnavailable], |told, _| {
        let providers = &patient.service().capacity_providers;
        let only_spot =
            !providers.is_empty() && providers.iter().all(|provider| provider == "FARGATE_SPOT");
        let subnets = reach::configured(patient, None).map_or(0, |network| network.subnets.len());
        let claim = match (only_spot, subnets) {
            (true, _) => {
                "Fargate has no Spot capacity now, and the service uses nothing else".to_owned()
            }
            (false, 1) => {
                "Fargate has no capacity now in the Availability Zone of the service's only subnet"
                    .to_owned()
            }
            (false, _) => {
                "Fargate has no capacity now in the service's Availability Zones".to_owned()
            }
        };
        let mut finding = told.finding(patient, &claim);
        if only_spot {
            finding = finding.because_all(
                providers.iter().map(|provider| patient.evidence("capacityProviders", provider)),
            );
        }
        let remedy = Remedy::new(
            "Add subnets in other Availability Zones, and on-demand capacity as a base beside Spot (this starts a new deployment); or wait: ECS retries automatically.",
        )
        .cli(
            patient.update_service().and(words!(
                "--capacity-provider-strategy capacityProvider=FARGATE,base=1,weight=1 \
                 --force-new-deployment"
            )),
        )
        .cli(told.see(patient))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_service" {} {
              capacity_provider_strategy {
                capacity_provider = "FARGATE"
                base              = 1
                weight            = 1
              }
            }"#,
            patient.name()
        ));
        Some(finding.mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says;

    #[test]
    fn tells_spot_alone_from_fargate() {
        let mut snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Fargate has no capacity now in the service's Availability Zones: reported by ECS for mailer:12, 8 min ago."
            ]
        );
        snapshot.services[0].capacity_providers = vec!["FARGATE_SPOT".into()];
        assert!(
            says(CHECK, &snapshot)[0].starts_with(
                "Fargate has no Spot capacity now, and the service uses nothing else: "
            )
        );
    }

    #[test]
    fn a_service_that_has_all_its_tasks_has_the_capacity() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].running_count = 2;
        snapshot.services[0].deployments[0].running_count = 2;
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
