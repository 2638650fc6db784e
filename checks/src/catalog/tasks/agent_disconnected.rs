//! The ECS agent of a container instance is not connected, so nothing can be placed there.

use crate::aws;
use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::capacity::{self, Candidate, Lack, Need};
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::{and_list, count};

crate::check! {
    /// The ECS agent of an instance is not connected to ECS.
    ///
    /// # Why it matters
    ///
    /// The instance runs and costs money, but gets no new tasks. Running tasks continue without
    /// supervision.
    ///
    /// # How we tell
    ///
    /// A service event says that the closest instance "encountered error AGENT", or that the agent
    /// did not start in time; or a task stopped with the reason `AGENT`. Then `agentConnected` of
    /// each instance shows which ones are affected. Where ECS says that no instance fits, an
    /// instance counts that would fit if its agent were connected. Agents reconnect several times a
    /// day, which is normal, so a disconnected one alone is not a finding.
    ///
    /// # What to do
    ///
    /// Restart the agent; check its log on the instance, its role and its route to ECS; or replace
    /// the instance.
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster> --filter agentConnected==false
    /// ```
    ///
    /// Terraform/OpenTofu: the launch template of `aws_autoscaling_group`: its AMI, instance
    /// profile and subnets.
    ///
    /// # See also
    ///
    /// `no_instance_fits`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
    title: "The ECS agent of an instance is not connected",
    severity: High,
    role: Cause,
    explains: [NoInstanceFits, TasksFailToStart, TooFewRunning],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        DescribeContainerInstances,
    ],
    example: on ec2, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.change(&cluster).into_iter().flatten().skip(1).for_each(|instance| instance.agent_connected = false);
        crate::baseline::say(
            snapshot,
            8,
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 88888888888888888888888888888888) encountered error \"AGENT\". For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(
        patient,
        findings,
        &[Trouble::AgentDisconnected, Trouble::NoInstanceFits],
        |told, findings| {
            let said = told.reason.trouble == Trouble::AgentDisconnected;
            let candidates = candidates(patient, told, findings);
            let without: Vec<&Candidate> = candidates
                .iter()
                .flatten()
                .filter(|candidate| is_without_agent(candidate, said))
                .collect();
            if !said && without.is_empty() {
                return None;
            }
            let names = and_list(without.iter().map(|candidate| candidate.instance.name()));
            let claim = match without.as_slice() {
                [] => "the ECS agent of the closest container instance is not connected".to_owned(),
                [only] if !said => format!(
                    "instance {} would fit the task, but its ECS agent is not connected",
                    only.instance.name()
                ),
                [_] => format!("the ECS agent of instance {names} is not connected"),
                many => format!(
                    "the ECS agents of {} are not connected ({names})",
                    count(many.len(), "instance")
                ),
            };
            let mut remedy = Remedy::new(
                "Restart the agent. If it stays disconnected, check its log /var/log/ecs/ecs-agent.log, its instance profile, and its route to ECS on port 443, or replace the instance.",
            )
            .cli(aws!(
                "ecs list-container-instances --cluster {} --filter agentConnected==false",
                patient.cluster()
            ));
            let restart = without.first().and_then(|one| fixes::restart_agent(one.instance));
            remedy = restart.into_iter().fold(remedy, Remedy::cli);
            if let Some(id) =
                without.first().and_then(|candidate| candidate.instance.ec2_instance_id.as_deref())
            {
                remedy = remedy.cli(aws!("ssm start-session --target {}", id));
            }
            let evidence = without.iter().map(|candidate| {
                Evidence::new(
                    Call::DescribeContainerInstances,
                    &candidate.instance.container_instance_arn,
                    "agentConnected",
                    candidate.instance.agent_connected,
                )
            });
            let finding = told.finding(patient, &claim).because_all(evidence).mend(remedy);
            Some(if said && without.is_empty() && candidates.is_some() {
                finding.detail("By now, the agents of all ACTIVE instances are connected.")
            } else {
                finding
            })
        },
    )
}

/// Every instance that the service can use, where they may be seen; the network is of no interest
/// here.
fn candidates<'a>(
    patient: &Patient<'a>,
    told: &Told<'a>,
    findings: &mut Findings,
) -> Option<Vec<Candidate<'a>>> {
    if !capacity::matters(patient.service(), patient.now()) {
        return None;
    }
    let definition = findings.see(patient.task_definition(told.task_definition)).flatten()?;
    findings.see(capacity::candidates(
        patient,
        &Need::of(patient.service(), definition, Vec::new()),
        None,
    ))
}

/// Whether the agent is disconnected: where ECS does not mention it, only if nothing else keeps the
/// task off.
fn is_without_agent(candidate: &Candidate, said: bool) -> bool {
    if said {
        candidate.instance.status == "ACTIVE" && candidate.lacks.contains(&Lack::Agent)
    } else {
        candidate.lacks == [Lack::Agent]
    }
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
            [
                "The ECS agent of instance i-0a1b2c3d4e5f60001 is not connected: reported by ECS for web:12, 8 min ago."
            ]
        );
    }

    #[test]
    fn an_agent_that_came_back_is_said_to_have() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot
            .container_instances
            .change(&cluster)
            .unwrap()
            .iter_mut()
            .for_each(|instance| instance.agent_connected = true);
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("8 min ago. By now, the agents of all ACTIVE instances are connected.")
        );
    }

    #[test]
    fn an_instance_that_only_lacks_its_agent_is_found_where_no_other_fits() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        let message = "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching \
                       (container-instance 7777) has insufficient memory available.";
        baseline::say(&mut snapshot, 8, message);
        let cluster = snapshot.services[0].cluster_arn.clone();
        let instances = snapshot.container_instances.change(&cluster).unwrap();
        instances[0].remaining_resources.memory = Some(1);
        instances[1].agent_connected = false;
        let expected = "Instance i-0a1b2c3d4e5f60001 would fit the task, but its ECS agent is not connected: reported by ECS for web:12, 8 min ago.";
        assert_eq!(says(CHECK, &snapshot), [expected]);
        snapshot.container_instances.change(&cluster).unwrap()[1].remaining_resources.memory =
            Some(1);
        assert!(says(CHECK, &snapshot).is_empty(), "with its agent it would not fit either");
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
