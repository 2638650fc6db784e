//! No container instance of the cluster has room for the task, or fits it. ECS names the closest one and what it lacks.

use std::sync::LazyLock;

use regex::Regex;

use crate::call::quote;
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::reading::pattern;
use crate::reading::reason::{self, Trouble};

crate::check! {
    /// ECS finds no container instance on which the task could run.
    ///
    /// # Why it matters
    ///
    /// The task is not started at all. During a rolling deployment there must be room for the old and the new tasks beside
    /// each other.
    ///
    /// # How we tell
    ///
    /// A service event says that no container instance met all requirements, or a stopped task has a reason like
    /// `RESOURCE:MEMORY`, and no later event overrules it. The closest instance and what it lacks are quoted. One such event of
    /// the last three minutes does not count: instances may be on their way. How much room each instance has is not looked
    /// up yet.
    ///
    /// # What to do
    ///
    /// More or larger instances, or smaller tasks; fixed host ports let one task run on an instance:
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster>
    /// aws ecs describe-container-instances --cluster <cluster> --container-instances <instance> --query 'containerInstances[].remainingResources'
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_ecs_capacity_provider` with `managed_scaling`, `cpu` and `memory` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `agent_disconnected`, `capacity_provider_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "No container instance has room for the task, or fits it",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on ec2, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::say(
            snapshot,
            8,
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 8f0c1d2e3a4b5c6d7e8f9a0b1c2d3e4f) has insufficient memory available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        );
    },
}

static INSTANCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"container-instance (?<it>[0-9a-f-]+)"));
static LACKS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"container-instance [0-9a-f-]+\)? (?<it>[^.]+)"));
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"RESOURCE:(?<it>\w+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reason::each(patient, findings, &[Trouble::NoInstanceFits], |told, _| {
        let instance = reason::part(&INSTANCE, told.text);
        let lacks = reason::part(&LACKS, told.text);
        let why = match (instance, lacks, reason::part(&RESOURCE, told.text)) {
            (Some(instance), Some(lacks), _) => format!(" (the closest one, {}, {lacks})", instance.get(..12).unwrap_or(instance)),
            (_, _, Some(resource)) => format!(" (they lack {resource})"),
            _ => String::new(),
        };
        let advice = match lacks.unwrap_or_default() {
            lacks if lacks.contains("port") => "A fixed host port lets one such task run on an instance: use hostPort 0, awsvpc, or more instances.",
            lacks if lacks.contains("attribute") => "Give an instance the attribute that the task asks for, or do not ask for it.",
            _ => {
                "Add or enlarge instances, or ask for less CPU and memory; a deployment needs room for both versions, unless minimumHealthyPercent is below 100."
            }
        };
        let cluster = quote(patient.cluster());
        let remedy = Remedy::new(advice)
            .cli(match instance {
                Some(instance) => format!(
                    "aws ecs describe-container-instances --cluster {cluster} --container-instances {instance} --query 'containerInstances[].remainingResources'"
                ),
                None => format!("aws ecs list-container-instances --cluster {cluster}"),
            })
            .cli(told.see(patient));
        Some(told.finding(patient, &format!("No container instance has room for the task, or fits it{why}")).mend(remedy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::{exam, says};

    #[test]
    fn names_the_closest_instance_and_what_it_lacks() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No container instance has room for the task, or fits it (the closest one, 8f0c1d2e3a4b, has insufficient memory available): ECS said so \
              of web:12 8 min ago."
            ]
        );
    }

    #[test]
    fn capacity_that_came_meanwhile_overrules_it() {
        let mut snapshot = (CHECK.example)();
        baseline::say(&mut snapshot, 3, "(service web) has reached a steady state.");
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn instances_that_are_on_their_way_take_a_moment() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].created_at = Some(baseline::minutes_ago(1));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_port_that_is_taken_has_advice_of_its_own() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        let message = "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching \
                       (container-instance 8f0c1d2e3a4b) is already using a port required by your task.";
        baseline::say(&mut snapshot, 8, message);
        assert!(exam(CHECK, &snapshot).findings[0].remedy.summary.starts_with("A fixed host port"));
    }
}
