//! The ECS agent of a container instance is not connected, so nothing can be placed there.

use crate::call::quote;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::reading::reason::{self, Trouble};

crate::check! {
    /// The ECS agent of an instance does not talk to ECS.
    ///
    /// # Why it matters
    ///
    /// The instance runs and costs money, and takes no new task. What runs on it goes on, unsupervised.
    ///
    /// # How we tell
    ///
    /// A service event says that the closest instance "encountered error AGENT", or that the agent did not start in time; or a task stopped
    /// with the reason `AGENT`. Which agents are connected is not looked up yet.
    ///
    /// # What to do
    ///
    /// Look at the agent's log on the instance, its role and its way to ECS; or replace the instance.
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster> --filter agentConnected==false
    /// ```
    ///
    /// Terraform/OpenTofu: the launch template of `aws_autoscaling_group`: its AMI, instance profile and subnets.
    ///
    /// # See also
    ///
    /// `no_instance_fits`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
    title: "The ECS agent of an instance is not connected",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on ec2, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            8,
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 8f0c1d2e3a4b5c6d7e8f9a0b1c2d3e4f) encountered error \"AGENT\". For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::AgentDisconnected], |told, _| {
        let remedy = Remedy::new("Look at the agent on the instance (its log, its role, its way to ECS), or replace the instance.")
            .cli(format!("aws ecs list-container-instances --cluster {} --filter agentConnected==false", quote(patient.cluster())))
            .cli(told.see(patient));
        Some(told.finding(patient, "The ECS agent of the closest container instance is not connected").mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::says;

    #[test]
    fn an_agent_is_told_by_its_name() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            ["The ECS agent of the closest container instance is not connected: ECS said so of web:12 8 min ago."]
        );
    }

    #[test]
    fn an_instance_without_room_has_an_agent() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        let message = "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching \
                       (container-instance 8f0c1d2e3a4b) has insufficient CPU units available.";
        baseline::say(&mut snapshot, 8, message);
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
