//! The account cannot run more: its quota of Fargate vCPUs or tasks is reached, or the account is
//! blocked.

use crate::aws::stop_reason::Trouble;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// The account's quota of Fargate vCPUs is reached, or the account is blocked.
    ///
    /// # Why it matters
    ///
    /// No task of any service in this region starts. A deployment temporarily runs both versions,
    /// so the quota may be enough for the service but not for its deployment.
    ///
    /// # How we tell
    ///
    /// A service event says that the limit on the number of vCPUs or tasks is reached, that the
    /// requested configuration is above the limit, or that the account is blocked; and no later
    /// event supersedes it. The quota itself is not looked up.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws service-quotas get-service-quota --service-code fargate --quota-code L-3032A538
    /// aws service-quotas request-service-quota-increase --service-code fargate --quota-code L-3032A538 --desired-value <vCPUs>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_servicequotas_service_quota`.
    ///
    /// # See also
    ///
    /// `fargate_capacity_unavailable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "The account's quota is reached, or it is blocked",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            8,
            "(service mailer) was unable to place a task. Reason: You’ve reached the limit on the number of vCPUs you can run concurrently.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::QuotaReached], |told, _| {
        let claim = match told.text {
            text if text.contains("blocked") => {
                "AWS says that the account is blocked, so it cannot run any tasks"
            }
            text if text.contains("configuration is above your limit") => {
                "the task requests more CPU or memory than the account's limit allows"
            }
            text if text.contains("number of tasks") => {
                "the account has reached its quota of tasks"
            }
            _ => "the account has reached its quota of Fargate vCPUs",
        };
        let blocked = told.text.contains("blocked");
        let spot =
            patient.service().capacity_providers.iter().any(|provider| provider == "FARGATE_SPOT");
        let code = if spot { "L-36FBB829" } else { "L-3032A538" };
        let remedy = match blocked {
            true => Remedy::new(
                "Ask AWS Support why the account is blocked; new accounts are blocked until they are verified.",
            ),
            false => Remedy::new(
                "Request a higher quota, or stop tasks that are not needed; a deployment temporarily runs both versions.",
            ),
        };
        if blocked {
            return Some(told.finding(patient, claim).mend(remedy.cli(told.see(patient))));
        }
        let remedy = remedy
            .cli(aws!(
                "service-quotas get-service-quota --service-code fargate --quota-code {}",
                code
            ))
            .cli(aws!(
                "service-quotas request-service-quota-increase --service-code fargate \
                 --quota-code {} --desired-value $VCPUS",
                code
            ))
            .terraform(hcl!(
                r#"
                resource "aws_servicequotas_service_quota" "fargate" {
                  service_code = "fargate"
                  quota_code   = {}
                  value        = 64
                }"#,
                code
            ));
        Some(told.finding(patient, claim).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says;

    fn with(reason: &str) -> Vec<String> {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].message =
            format!("(service mailer) was unable to place a task. Reason: {reason}");
        says(CHECK, &snapshot)
    }

    #[test]
    fn tells_quota_size_and_block_apart() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The account has reached its quota of Fargate vCPUs: reported by ECS for mailer:12, 8 min ago."
            ]
        );
        assert!(
            with("You've reached the limit on the number of tasks you can run concurrently")[0]
                .starts_with("The account has reached its quota of tasks")
        );
        assert!(
            with("The requested MEMORY configuration is above your limit.")[0]
                .starts_with("The task requests more CPU or memory")
        );
        assert!(
            with("Task could not be placed because your account is currently blocked.")[0]
                .starts_with("AWS says that the account is blocked")
        );
    }

    #[test]
    fn capacity_that_aws_lacks_is_no_quota() {
        assert!(with("Capacity is unavailable at this time. Please try again later or in a different availability zone.").is_empty());
    }
}
