//! The service names a target group that does not exist any more, so ECS has nowhere to register
//! its tasks.

use crate::aws::event::{self, Event};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::{aws, hcl, words};

crate::check! {
    /// A target group that the service should register its tasks with was deleted.
    ///
    /// # Why it matters
    ///
    /// No task of the service gets a request through it, and ECS stops tasks that it cannot find
    /// there. It happens when Terraform replaces a group, for a new name, port or VPC, and the
    /// service keeps the old ARN.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetGroups` says that there is no such group. A denied call does not count. An
    /// event with `TARGET GROUP IS NOT FOUND` is quoted where there is one; alone it proves
    /// nothing, because it may be about a group that the service had before.
    ///
    /// # What to do
    ///
    /// Create a target group, forward to it in a listener rule, and set it in the service:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> \
    ///   --load-balancers targetGroupArn=<new arn>,containerName=<container>,containerPort=<port>
    /// ```
    ///
    /// Terraform/OpenTofu: `lifecycle { create_before_destroy = true }` and `name_prefix` in
    /// `aws_lb_target_group`, so that the service moves before the old group is deleted.
    ///
    /// # See also
    ///
    /// `target_group_empty`, `target_group_not_attached`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "The service's target group does not exist",
    severity: Critical,
    role: Cause,
    explains: [NoTarget, TasksKeepStopping, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, say};
        let group = id::group("api");
        snapshot.target_groups.insert(&group, crate::seen::Seen::Yes(None));
        snapshot.target_health.insert(&group, crate::seen::Seen::Yes(None));
        let task = id::task(1);
        say(snapshot, 4, &format!("(service api, taskSet ecs-svc/1000000000000000012) (task {task}) is not healthy in target-group ({group})) due to TARGET GROUP IS NOT FOUND."));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(None) = findings.see(patient.target_group(group)) else { continue };
        let name = traffic::group_name(group);
        let registered = patient
            .service()
            .load_balancers
            .iter()
            .find(|balancer| balancer.target_group_arn.as_deref() == Some(group));
        let container = registered
            .and_then(|balancer| balancer.container_name.as_deref())
            .map_or_else(|| Word::needed("CONTAINER_NAME"), Word::new);
        let port = registered
            .and_then(|balancer| balancer.container_port)
            .map_or_else(|| Word::needed("CONTAINER_PORT"), |port| Word::new(port.to_string()));
        let told = patient
            .service()
            .events
            .iter()
            .find(|event| event::read(&event.message) == Event::TargetGroupNotFound { group });
        let remedy = Remedy::new(format!(
            "Create a target group to replace {name}, forward to it in a listener rule, and set its ARN in the service."
        ))
        .cli(aws!("elbv2 describe-target-groups --names {}", name))
        .cli(patient.update_service().and(words!(
            "--load-balancers targetGroupArn=$TARGET_GROUP_ARN,containerName={},containerPort={}",
            container,
            port
        )))
        .terraform(hcl!(
            r#"
            resource "aws_lb_target_group" "this" {
              name_prefix = "api-"
              lifecycle {
                create_before_destroy = true
              }
            }"#
        ));
        let claim = format!(
            "the service should register its tasks in target group {name}, which no longer exists"
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(claim, Evidence::new(Call::DescribeTargetGroups, group, "TargetGroups", "[]"))
                .because_all(told.map(|event| {
                    patient.evidence("events.message", &event.message).at(event.created_at)
                }))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, say};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    #[test]
    fn names_the_group_and_quotes_the_event() {
        let snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            ["The service should register its tasks in target group api, which no longer exists."]
        );
        assert_eq!(exam(CHECK, &snapshot).findings[0].evidence.len(), 2);
    }

    #[test]
    fn a_refused_call_does_not_make_a_group_missing() {
        let mut snapshot = (CHECK.example)();
        snapshot.target_groups.insert(id::group("api"), Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.findings.len()), (Outcome::CouldNotLook, 0));
    }

    #[test]
    fn an_event_about_a_group_that_was_replaced_is_history() {
        let mut snapshot = baseline::fargate();
        let gone = id::group("api-before");
        say(
            &mut snapshot,
            4,
            &format!(
                "(service api) (task 1) is not healthy in target-group ({gone})) due to TARGET GROUP IS NOT FOUND."
            ),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
