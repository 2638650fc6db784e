//! A subnet has no free address for the task's network interface.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Trouble};
use crate::call::Call;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::network::reach;
use crate::facts::tasks::reason;
use crate::finding::{Evidence, Kind, Remedy};
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// A subnet of the service has no free addresses.
    ///
    /// # Why it matters
    ///
    /// Each task with `awsvpc` networking uses one IP address, and a deployment temporarily runs
    /// both versions. In a small subnet, the service works until its next deployment.
    ///
    /// # How we tell
    ///
    /// A stopped task or a service event says that EC2 refused the network interface with
    /// `InsufficientFreeAddressesInSubnet`; or EC2 refused it without that code and the subnet that
    /// it names has no free address now. The number of free addresses now is quoted: there may be
    /// some again.
    ///
    /// # What to do
    ///
    /// Add subnets (the command sets the whole list), or find out what uses the addresses:
    ///
    /// ```sh
    /// aws ec2 describe-network-interfaces --filters Name=subnet-id,Values=<subnet> --query 'NetworkInterfaces[].[Status,Description]'
    /// aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[…],securityGroups=[…],assignPublicIp=DISABLED}'
    /// ```
    ///
    /// Terraform/OpenTofu: `network_configuration { subnets }` of `aws_ecs_service`, and another
    /// `aws_subnet`.
    ///
    /// # See also
    ///
    /// `interface_not_provisioned`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/failed-to-start-error.html>
    title: "A subnet has no free addresses",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeSubnets],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in subnet 'subnet-0a1': InsufficientFreeAddressesInSubnet",
        );
        snapshot.subnets.change("subnet-0a1").into_iter().for_each(|subnet| subnet.available_ip_address_count = Some(0));
    },
}

static SUBNET: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"(?<it>subnet-[0-9a-f]+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(
        patient,
        findings,
        &[Trouble::SubnetFull, Trouble::InterfaceNotProvisioned],
        |told, findings| {
            // The tasks may have met several full subnets, one after the other.
            let records = told.tasks.iter().map(|task| reason::of_task(patient, task));
            let records: Vec<_> = records.filter_map(|record| findings.see(record)?).collect();
            let texts = records.iter().map(|(_, text, _)| *text).chain([told.text]);
            let named: BTreeMap<&str, Option<i32>> = texts
                .filter_map(|text| stop_reason::part(&SUBNET, text))
                .map(|id| {
                    (
                        id,
                        findings
                            .see(patient.subnet(id))
                            .flatten()
                            .and_then(|subnet| subnet.available_ip_address_count),
                    )
                })
                .collect();
            let full = told.reason.trouble == Trouble::SubnetFull;
            let shown: Vec<(&str, Option<i32>)> =
                named.into_iter().filter(|(_, free)| full || *free == Some(0)).collect();
            if !full && shown.is_empty() {
                return None;
            }
            let words: Vec<String> = shown
                .iter()
                .map(|(id, free)| match free {
                    Some(free) => format!("{id} ({free} free now)"),
                    None => (*id).to_owned(),
                })
                .collect();
            let claim = match words.as_slice() {
                [] => "a subnet has no free address for the task".to_owned(),
                words => {
                    format!("no address was free for the task in {}", crate::text::and_list(words))
                }
            };
            let counted = shown.iter().filter_map(|(id, free)| {
                Some(Evidence::new(Call::DescribeSubnets, *id, "AvailableIpAddressCount", (*free)?))
            });
            let subnet = shown.first().map_or(Word::needed("SUBNET_ID"), |(id, _)| Word::new(*id));
            let known = reach::configured(patient, None);
            let remedy = Remedy::new(
                "Add subnets with free addresses to the service, or free unused addresses; a deployment needs up to twice as many addresses as the service has tasks.",
            )
            .cli(aws!(
                "ec2 describe-network-interfaces --filters Name=subnet-id,Values={} \
                 --query NetworkInterfaces[].[Status,Description]",
                subnet
            ))
            .cli(told.see(patient));
            let remedy = fixes::another_subnet(patient)
                .into_iter()
                .fold(remedy, Remedy::cli)
                .terraform(hcl!(
                    r#"
                    resource "aws_ecs_service" {} {
                      network_configuration {
                        subnets = concat({}, [var.another_subnet])
                      }
                    }"#,
                    patient.name(),
                    known.map(|network| network.subnets.as_slice()).unwrap_or_default()
                ));
            Some(
                told.finding(patient, &claim)
                    .because_all(counted)
                    .concerns_all(Kind::Subnet, shown.iter().map(|(id, _)| *id))
                    .mend(remedy),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{says, says_of_failed_starts};

    #[test]
    fn names_the_subnet_and_what_is_free_now() {
        let mut snapshot = (CHECK.example)();
        assert!(
            says(CHECK, &snapshot)[0].starts_with("No address was free for the task in subnet-0a1 (0 free now): 3 of 3 failed tasks of mailer:12")
        );
        snapshot.subnets.change("subnet-0a1").unwrap().available_ip_address_count = Some(7);
        assert!(says(CHECK, &snapshot)[0].contains("(7 free now)"));
        snapshot.subnets.0.clear();
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("No address was free for the task in subnet-0a1: 3 of 3")
        );
    }

    #[test]
    fn an_interface_that_fails_without_that_word_needs_a_subnet_that_is_full() {
        let mut snapshot = baseline::worker();
        let text = "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in subnet 'subnet-0a1'";
        baseline::fail_to_start(&mut snapshot, 3, text);
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.subnets.change("subnet-0a1").unwrap().available_ip_address_count = Some(0);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_timeout_is_no_full_subnet() {
        assert!(
            says_of_failed_starts(
                CHECK,
                3,
                "Timeout waiting for network interface provisioning to complete."
            )
            .is_empty()
        );
    }
}
