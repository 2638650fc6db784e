//! Service events say that ECS was not allowed to register targets, or to describe their health.

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::{rollback_reason, time};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::version::{self, Version};
use crate::facts::inbound::traffic;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceEvent;
use crate::{aws, hcl};

crate::check! {
    /// IAM does not allow ECS to register the service's tasks in the target group, or to describe
    /// their health there.
    ///
    /// # Why it matters
    ///
    /// The tasks run, and no request reaches them: the group stays empty. A deployment cannot
    /// finish.
    ///
    /// # How we tell
    ///
    /// The newest service event about the group within half an hour says that ECS failed to
    /// register targets, or to describe their health, because a role is not authorized; and none
    /// after it says that it registered any. Other errors, such as throttling, do not count.
    ///
    /// # What to do
    ///
    /// Attach the policy that ECS needs to the role; without a role of your own, recreate the
    /// service-linked role of ECS:
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
    title: "ECS is not allowed to register the service's targets",
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
        // No policy can be attached to a role that AWS made: it has what it needs.
        let remedy = if role.starts_with("AWSServiceRoleFor") {
            Remedy::new("AWS created this role for ECS: a service control policy or a permissions boundary denies the action.")
                .cli(aws!("iam get-role --role-name {}", role))
        } else {
            Remedy::new(format!(
                "Attach the policy for load balancers to role {role}; ECS then retries on its own."
            ))
            .cli(aws!(
                "iam attach-role-policy --role-name {} \
                 --policy-arn arn:{}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers",
                role,
                patient.partition()
            ))
            .terraform(hcl!(
                r#"
                resource "aws_iam_role_policy_attachment" "load_balancer" {
                  role       = {}
                  policy_arn = "arn:{}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
                }"#,
                role,
                patient.partition()
            ))
        };
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    format!(
                        "ECS is not allowed to use target group {name}: role {role} lacks {action}"
                    ),
                    patient.evidence("events.message", &event.message).at(event.created_at),
                )
                .detail(format!("ECS reported this {since} ago."))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

/// The newest event about registration in a group, if it is a failure of today, or of a version
/// that was rolled back and that no later one has replaced; events come newest first.
fn refusal<'a>(
    patient: &Patient<'a>,
    versions: &[Version],
    group: &str,
) -> Option<(&'a ServiceEvent, &'a str)> {
    let recent = time::before(patient.now(), RECENT);
    let given_up = versions
        .iter()
        .filter(|version| version.is_given_up())
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
                "ECS is not allowed to use target group api: role ecs-balancer lacks elasticloadbalancing:RegisterTargets. ECS reported this 3 min ago."
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
