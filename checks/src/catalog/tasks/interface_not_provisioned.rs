//! A task's network interface, or its disk, was not ready in time. Once, it is a transient problem
//! of AWS; repeatedly, it is not.

use crate::aws;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;

crate::check! {
    /// AWS repeatedly fails to provide the network interface or the disk of the tasks in time.
    ///
    /// # Why it matters
    ///
    /// The task stops before it starts. Usually the next attempt, which ECS makes automatically,
    /// succeeds.
    ///
    /// # How we tell
    ///
    /// Three or more tasks of the version stopped within the hour with "Timeout waiting for network
    /// interface provisioning", the same for ephemeral storage, or an EC2 error while the interface
    /// was created. Fewer are transient and not reported. A full subnet has an error of its own.
    ///
    /// # What to do
    ///
    /// Wait for the next attempt; if it keeps failing, check whether the account has reached its
    /// quota of network interfaces, and contact AWS Support.
    ///
    /// ```sh
    /// aws service-quotas get-service-quota --service-code vpc --quota-code L-DF5E4CA3
    /// aws health describe-events --filter services=ECS,EC2
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change.
    ///
    /// # See also
    ///
    /// `subnet_full`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/failed-to-start-error.html>
    title: "The tasks' network interface is not ready in time",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(snapshot, 3, "Timeout waiting for network interface provisioning to complete.");
    },
}

/// So many are more than a transient problem.
const SEVERAL: usize = 3;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::InterfaceNotProvisioned], |told, _| {
        if told.tasks.len() < SEVERAL {
            return None;
        }
        let claim = match told.text {
            text if text.contains("EphemeralStorage") => {
                "AWS does not provide the task's disk in time".to_owned()
            }
            text if text.contains("Timeout") => {
                "AWS does not provide the task's network interface in time".to_owned()
            }
            text => format!(
                "EC2 refuses to create the task's network interface (\"{}\")",
                stop_reason::quoted(text)
            ),
        };
        let remedy = Remedy::new(
            "ECS retries automatically; if it keeps failing, check the quota of network interfaces and contact AWS Support.",
        )
        .cli(aws!("service-quotas get-service-quota --service-code vpc --quota-code L-DF5E4CA3"))
        .cli(told.see(patient));
        Some(told.finding(patient, &claim).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says_of_failed_starts;

    fn with(count: u8, reason: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, count, reason)
    }

    #[test]
    fn three_are_told_and_two_are_a_hiccup() {
        let reason = "Timeout waiting for network interface provisioning to complete.";
        assert!(
            with(3, reason)[0]
                .starts_with("AWS does not provide the task's network interface in time: 3 of 3")
        );
        assert!(with(2, reason).is_empty());
        assert!(
            with(3, "Timeout waiting for EphemeralStorage provisioning to complete.")[0]
                .starts_with("AWS does not provide the task's disk")
        );
    }

    #[test]
    fn a_full_subnet_has_a_word_of_its_own() {
        let reason = "Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-0a1': InsufficientFreeAddressesInSubnet";
        assert!(with(3, reason).is_empty());
    }
}
