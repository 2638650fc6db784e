//! ECS tells in its events that it was not allowed to register targets, or to ask for their health.

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::{rollback_reason, time};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::version::{self, State, Version};
use crate::facts::inbound::traffic;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceEvent;
use crate::{aws, hcl};

crate::check! {
    /// IAM does not let ECS register the service's tasks in the target group, or look at their
    /// health there.
    ///
    /// # Why it matters
    ///
    /// The tasks run, and no request reaches them: the group stays empty. A deployment cannot end.
    ///
    /// # How we tell
    ///
    /// The newest service event about the group within half an hour says that ECS failed to
    /// register targets, or to describe their health, because a role is not authorized; and none
    /// after it says that it registered any. Other errors, such as throttling, are no refusal.
    ///
    /// # What to do
    ///
    /// Give the role what ECS needs; with no role of your own, let AWS make its service-linked role
    /// again:
    ///
    /// ```sh
    /// aws iam attach-role-policy --role-name <role> --policy-arn arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers
    /// aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_iam_role_policy_attachment`, or `aws_iam_service_linked_role`.
    ///
    /// # See also
    ///
    /// `target_group_empty`, `infrastructure_role_denied`, `service_linked_role_broken`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html>
    title: "ECS may not register the service's targets",
    severity: Critical,
    role: Cause,
    explains: [NoTarget, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, say};
        let group = id::group("api");
        snapshot.target_health.put(&group, Vec::new());
        say(snapshot, 3, &format!("(service api) failed to register targets in (target-group {group}) with (error User: arn:aws:sts::123456789012:assumed-role/ecs-balancer/ecs-service-scheduler is not authorized to perform: elasticloadbalancing:RegisterTargets on resource: {group} because no identity-based policy allows the elasticloadbalancing:RegisterTargets action)"));
    },
}

/// ECS tries again every few minutes, so an older refusal is over.
const RECENT: SignedDuration = SignedDuration::from_mins(30);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let versions = findings.see(version::troubled(patient)).unwrap_or_default();
    for group in traffic::groups(patient)? {
        let Some((event, error)) = refusal(patient, &versions, group) else { continue };
        let Some(denied) = rollback_reason::denied(error) else { continue };
        let name = traffic::group_name(group);
        let action = denied.action.unwrap_or("elasticloadbalancing:RegisterTargets");
        let role = denied.name();
        let since =
            time::words(time::age(patient.now(), event.created_at.unwrap_or(patient.now())));
        let remedy = if role.starts_with("AWSServiceRoleFor") {
            Remedy::new("AWS made this role for ECS: a policy of your organisation, or a boundary, takes the action away again.")
                .cli(aws!("iam get-role --role-name {}", role))
        } else {
            Remedy::new(format!(
                "Give role {role} what ECS needs for load balancers; ECS then registers the tasks by itself."
            ))
            .cli(aws!(
                "iam attach-role-policy --role-name {} \
                 --policy-arn arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers",
                role
            ))
        };
        let terraform = hcl!(
            r#"
            resource "aws_iam_role_policy_attachment" "balancer" {
              role       = {}
              policy_arn = "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
            }"#,
            role
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    format!("ECS may not use target group {name}: role {role} lacks {action}"),
                    patient.evidence("events.message", &event.message).at(event.created_at),
                )
                .detail(format!("It said so {since} ago."))
                .mend(remedy.terraform(terraform))
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

/// The newest event about registration in a group, if it is a failure of today, or of a version
/// that ECS gave up and no later one has taken the place of; events come newest first.
fn refusal<'a>(
    patient: &Patient<'a>,
    versions: &[Version],
    group: &str,
) -> Option<(&'a ServiceEvent, &'a str)> {
    let recent = time::before(patient.now(), RECENT);
    let given_up = versions
        .iter()
        .filter(|version| version.state != State::Current)
        .filter_map(|version| version.began)
        .min();
    let since = given_up.map_or(recent, |began| began.min(recent));
    let events = patient
        .service()
        .events
        .iter()
        .take_while(|event| event.created_at.is_none_or(|at| at >= since));
    let newest =
        events.map(|event| (event, event::read(&event.message))).find(|(_, read)| match read {
            Event::Registered { group: named, .. }
            | Event::RegistrationFailed { group: named, .. } => *named == group,
            _ => false,
        })?;
    match newest {
        (event, Event::RegistrationFailed { error, .. }) => Some((event, error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, say};
    use crate::exam::Outcome;
    use crate::testing::{exam, says};

    #[test]
    fn names_role_and_action() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "ECS may not use target group api: role ecs-balancer lacks elasticloadbalancing:RegisterTargets. It said so 3 min ago."
            ]
        );
    }

    #[test]
    fn what_was_registered_since_is_allowed() {
        let mut snapshot = (CHECK.example)();
        say(
            &mut snapshot,
            1,
            &format!("(service api) registered 2 targets in (target-group {})", id::group("api")),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_hour_old_refusal_is_over() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].created_at = Some(minutes_ago(55));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn another_error_is_no_refusal() {
        let mut snapshot = baseline::fargate();
        say(
            &mut snapshot,
            3,
            &format!(
                "(service api) failed to register targets in (target-group {}) with (error Rate exceeded)",
                id::group("api")
            ),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_role_that_aws_made_gets_no_policy_of_ours() {
        let mut snapshot = (CHECK.example)();
        let event = &mut snapshot.services[0].events[0];
        event.message = event.message.replace("ecs-balancer", "AWSServiceRoleForECS");
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .starts_with("aws iam get-role --role-name AWSServiceRoleForECS")
        );
    }
}
