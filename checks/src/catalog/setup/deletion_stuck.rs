//! A deleted service whose deletion does not finish: ECS is not allowed to deregister its targets,
//! its tasks are protected, or the reason is not visible. That the service is deleted at all is for
//! `service_not_active` to report.

use jiff::{SignedDuration, Timestamp};

use crate::aws::event::{self, Event};
use crate::aws::{arn, rollback_reason, stop_reason, time};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::access::refusal;
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::facts::tasks::scaling::tasks;
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::snapshot::{ServiceEvent, Simulation};
use crate::text::plural;
use crate::{aws, hcl, words};

crate::check! {
    /// The service was deleted, and ECS cannot finish the deletion.
    ///
    /// # Why it matters
    ///
    /// The service stays in `DRAINING`, its tasks keep running and cost money, its name is not
    /// free, and CloudFormation or Terraform/OpenTofu wait until they time out.
    ///
    /// # How we tell
    ///
    /// `status` is `DRAINING`, and the newest service event about a target group says that ECS
    /// failed to deregister targets; or the role in `roleArn` (or in `advancedConfiguration` of a
    /// load balancer) does not exist, or a simulation of its policies does not allow
    /// `elasticloadbalancing:DeregisterTargets`; or ECS says that protected tasks keep it from
    /// scaling in. Without any of these, tasks that still run long after the deregistration delay
    /// has passed are enough, and the role is only the likely cause. The time that draining takes
    /// as configured is normal. The service-linked role cannot be deleted while it is in use.
    ///
    /// # What to do
    ///
    /// Restore the role with its permissions until the service is `INACTIVE`:
    ///
    /// ```sh
    /// aws iam create-role --role-name <role> --assume-role-policy-document '{…}'
    /// aws iam attach-role-policy --role-name <role> --policy-arn arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceRole
    /// ```
    ///
    /// Terraform/OpenTofu: `depends_on` in `aws_ecs_service` names the role's policy, so that it is
    /// destroyed after the service.
    ///
    /// # See also
    ///
    /// `service_not_active`, `target_registration_denied`, `task_protection_holds`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html>,
    /// <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecs_service>
    title: "The service cannot finish being deleted",
    severity: High,
    role: Cause,
    explains: [Deleted],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroupAttributes, GetRole, SimulatePrincipalPolicy,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{ACCOUNT, minutes_ago};
        use crate::seen::Seen;
        let service = &mut snapshot.services[0];
        service.status = "DRAINING".into();
        (service.desired_count, service.running_count) = (0, 1);
        service.role_arn = Some(format!("arn:aws:iam::{ACCOUNT}:role/api-balancer"));
        if let Some(primary) = service.deployments.first_mut() {
            (primary.desired_count, primary.running_count) = (0, 1);
            primary.updated_at = Some(minutes_ago(52));
        }
        snapshot.roles.insert("api-balancer", Seen::Yes(None));
    },
}

/// How much longer than the deregistration delay ECS may take to stop the last task.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if patient.service().status != "DRAINING" {
        return Err(NoAnswer::NotApplicable("the service is not being deleted"));
    }
    let since = deleted_at(patient);
    let finding = match failed_deregistration(patient) {
        Some(failure) => Some(refused(patient, &failure)),
        None => match of_roles(patient, findings) {
            Some(finding) => Some(finding),
            None => protected(patient, since).or(too_long(patient, findings, since)?),
        },
    };
    if let Some(finding) = finding {
        findings.add(finding.since(since));
    }
    Ok(())
}

/// When the service was deleted, as far as its last deployment tells: deleting it sets what is
/// desired to 0.
fn deleted_at(patient: &Patient) -> Option<Timestamp> {
    patient.service().primary().and_then(|primary| primary.updated_at.or(primary.created_at))
}

struct Failure<'a> {
    event: &'a ServiceEvent,
    group: &'a str,
    error: &'a str,
}

/// The newest event about targets, if it is that ECS could not deregister one; events come newest
/// first.
fn failed_deregistration<'a>(patient: &Patient<'a>) -> Option<Failure<'a>> {
    let mut about_targets =
        patient.service().events.iter().filter_map(|event| match event::read(&event.message) {
            Event::DeregistrationFailed { group, error } => {
                Some(Some(Failure { event, group, error }))
            }
            Event::Deregistered { .. } | Event::Registered { .. } => Some(None),
            _ => None,
        });
    about_targets.next()?
}

fn refused(patient: &Patient, failure: &Failure) -> Finding {
    let group = traffic::group_name(failure.group);
    let evidence =
        patient.evidence("events.message", &failure.event.message).at(failure.event.created_at);
    let refused = stop_reason::refused(failure.error);
    let (claim, remedy) = match (refused.action, refused.resource, refused.role) {
        (Some("sts:AssumeRole"), Some(role), _) => {
            let role = arn::last(role.trim_end_matches([')', '.']));
            let claim = format!(
                "ECS cannot deregister the targets of target group {group}, since it cannot assume role {role}: the role is gone, or no longer trusts ecs.amazonaws.com"
            );
            (claim, restore(patient, role))
        }
        (Some(action), resource, Some(role)) => {
            let claim = format!(
                "ECS cannot deregister the targets of target group {group}: role {role} lacks {action}"
            );
            (claim, allow(role, action, resource.unwrap_or(failure.group)))
        }
        _ => {
            let role = rollback_reason::denied(failure.error);
            let claim = format!(
                "ECS cannot deregister the targets of target group {group} (\"{}\")",
                stop_reason::quoted(failure.error)
            );
            let remedy = match role {
                Some(denied) => restore(patient, denied.name()),
                None => Remedy::new("Fix what the message names; ECS retries on its own.")
                    .cli(patient.see(Call::DescribeServices, patient.arn())),
            };
            (claim, remedy)
        }
    };
    patient.subject().sick(claim, evidence).mend(remedy)
}

/// A role of the service that is gone, or may no longer deregister targets.
fn of_roles(patient: &Patient, findings: &mut Findings) -> Option<Finding> {
    for role in refusal::of_deletion(patient) {
        let name = arn::last(role);
        let field = match patient.service().role_arn.as_deref() == Some(role) {
            true => "roleArn",
            false => "loadBalancers.advancedConfiguration.roleArn",
        };
        let named = patient.evidence(field, role);
        if findings.see(patient.role(name)).is_some_and(|found| found.is_none()) {
            let claim =
                format!("role {name}, with which ECS deregisters the targets, no longer exists");
            return Some(patient.subject().sick(claim, named).mend(restore(patient, name)));
        }
        let Some(question) = refusal::deregistering(patient, role) else { continue };
        let simulation = findings.see(patient.simulation(&question.key())).flatten();
        if simulation.is_some_and(denies) {
            let claim = format!(
                "no policy of role {name} allows {}, so ECS cannot deregister the targets",
                question.action
            );
            let finding = patient.subject().sick(claim, named).because_all(simulation.map(|it| {
                Evidence::new(
                    Call::SimulatePrincipalPolicy,
                    question.key(),
                    "EvalDecision",
                    &it.eval_decision,
                )
            }));
            let resource = question.resource.unwrap_or("*");
            return Some(finding.mend(allow(name, question.action, resource)));
        }
    }
    None
}

/// Whether the role's policies refuse it, whatever the conditions of the request are.
fn denies(simulation: &Simulation) -> bool {
    simulation.eval_decision != "allowed" && simulation.missing_context_values.is_empty()
}

/// Tasks that somebody protected from being stopped: ECS says so once, when it tries.
fn protected(patient: &Patient, since: Option<Timestamp>) -> Option<Finding> {
    let service = patient.service();
    let since_deletion =
        |event: &&ServiceEvent| event.created_at.zip(since).is_some_and(|(at, since)| at >= since);
    let mut events = service.events.iter().take_while(since_deletion);
    let event = events.find(|event| event::read(&event.message) == Event::ProtectedTasks)?;
    if service.running_count == 0 {
        return None;
    }
    let claim = format!(
        "{} of the service still run, and scale-in protection keeps ECS from stopping them",
        tasks(service.running_count)
    );
    let remedy = Remedy::new("Wait until their work is done, or remove the protection.")
        .cli(aws!(
            "ecs list-tasks --cluster {} --service-name {}",
            patient.cluster(),
            patient.name()
        ))
        .cli(aws!(
            "ecs update-task-protection --cluster {} --tasks $TASK_ID --no-protection-enabled",
            patient.cluster()
        ));
    let evidence = patient.evidence("events.message", &event.message).at(event.created_at);
    Some(patient.subject().sick(claim, evidence).mend(remedy))
}

/// Tasks that run on long after they should be gone, and nothing tells why.
fn too_long(
    patient: &Patient,
    findings: &mut Findings,
    since: Option<Timestamp>,
) -> Result<Option<Finding>, NoAnswer> {
    let service = patient.service();
    let Some(since) = since.filter(|_| service.running_count > 0) else { return Ok(None) };
    let mut delay = SignedDuration::ZERO;
    for group in traffic::groups(patient)? {
        delay = delay.max(rollout::deregistration_delay(patient, group)?);
    }
    let age = time::age(patient.now(), since);
    if age < delay + PATIENCE {
        return Ok(None);
    }
    let roles = refusal::of_deletion(patient);
    let seen = roles.iter().all(|role| findings.see(patient.role(arn::last(role))).is_some());
    let likely = match roles.first() {
        Some(role) if !seen => {
            format!("likely role {} is gone or lacks permissions", arn::last(role))
        }
        _ => "neither its events nor its roles show why".to_owned(),
    };
    let (running, verb) =
        (tasks(service.running_count), plural(service.running_count, "runs", "run"));
    let claim = format!("{running} still {verb} {} after the deletion: {likely}", time::words(age));
    let remedy = match roles.first() {
        Some(role) => restore(patient, arn::last(role)),
        None => Remedy::new(
            "Check the newest events and the tasks: ECS may be waiting for an instance whose agent is not connected, for a deleted role or for protected tasks.",
        )
        .cli(patient.see(Call::DescribeServices, patient.arn()))
        .cli(aws!(
            "ecs delete-service --cluster {} --service {} --force",
            patient.cluster(),
            patient.name()
        )),
    };
    let evidence = patient.evidence("status", &service.status);
    let finding = patient
        .subject()
        .sick(claim, evidence)
        .because(patient.evidence("runningCount", service.running_count))
        .mend(remedy);
    Ok(Some(finding))
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// How a role comes back for as long as the deletion takes.
fn restore(patient: &Patient, role: &str) -> Remedy {
    let policy = &format!(
        "arn:{}:iam::aws:policy/service-role/AmazonEC2ContainerServiceRole",
        patient.partition()
    );
    Remedy::new(format!(
        "Restore role {role} with its policy; ECS then finishes on its own. Delete the role after the service."
    ))
    .cli(
        aws!("iam create-role --role-name {}", role)
            .and(words!("--assume-role-policy-document {}", TRUST)),
    )
    .cli(aws!("iam attach-role-policy --role-name {} --policy-arn {}", role, policy))
    .terraform(depends_on(patient))
}

fn allow(role: &str, action: &str, resource: &str) -> Remedy {
    let remedy = Remedy::new(
        "Give the role this permission back until the service is INACTIVE; ECS retries on its own.",
    );
    refusal::allowing(remedy, role, "ecs-deregisters", action, resource)
}

/// What keeps it from happening again.
fn depends_on(patient: &Patient) -> hcl::Hcl {
    hcl!(
        r#"
        resource "aws_ecs_service" {} {
          # destroyed before the policy of its role
          depends_on = [aws_iam_role_policy_attachment.ecs]
        }"#,
        patient.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, ACCOUNT, id, minutes_ago, say};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// A service that was deleted so many minutes ago, with a task that still runs.
    fn draining(mut snapshot: Snapshot, minutes: i64) -> Snapshot {
        let service = &mut snapshot.services[0];
        service.status = "DRAINING".into();
        (service.desired_count, service.running_count) = (0, 1);
        let primary = &mut service.deployments[0];
        (primary.desired_count, primary.running_count) = (0, 1);
        primary.updated_at = Some(minutes_ago(minutes));
        snapshot
    }

    fn with_role(mut snapshot: Snapshot, role: &str) -> Snapshot {
        snapshot.services[0].role_arn = Some(format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
        snapshot
    }

    #[test]
    fn names_the_role_that_is_gone_and_how_it_comes_back() {
        let exam = exam(CHECK, &(CHECK.example)());
        assert_eq!(
            exam.findings[0].says(),
            "Role api-balancer, with which ECS deregisters the targets, no longer exists."
        );
        let shell = exam.findings[0].remedy.shell().join("\n");
        assert!(shell.contains("aws iam create-role --role-name api-balancer"), "{shell}");
    }

    #[test]
    fn a_policy_that_is_gone_is_as_good_as_a_role_that_is() {
        let mut snapshot = with_role(draining(baseline::ec2(), 8), "web-lb");
        baseline::access::trust(&mut snapshot, "web-lb", &["ecs.amazonaws.com"]);
        let group = snapshot.services[0].load_balancers[0].target_group_arn.clone().unwrap();
        let mut simulate = |decision: &str| {
            let action = "elasticloadbalancing:DeregisterTargets";
            baseline::access::simulate(&mut snapshot, "web-lb", action, &group, decision);
            says(CHECK, &snapshot)
        };
        assert!(
            simulate("implicitDeny")[0].starts_with(
                "No policy of role web-lb allows elasticloadbalancing:DeregisterTargets"
            )
        );
        assert!(simulate("allowed").is_empty(), "it was deleted 8 minutes ago");
    }

    #[test]
    fn ecs_says_itself_what_it_cannot_do() {
        let mut snapshot = draining(baseline::fargate(), 12);
        let group = id::group("api");
        say(
            &mut snapshot,
            3,
            &format!(
                "(service api) failed to deregister targets in (target-group {group}) with (error User: arn:aws:sts::123456789012:assumed-role/service.s2/ecs-ess is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/api-ecs-service-role)"
            ),
        );
        let said = says(CHECK, &snapshot);
        assert!(
            said[0].starts_with(
                "ECS cannot deregister the targets of target group api, since it cannot assume role api-ecs-service-role"
            ),
            "{said:?}"
        );
        say(
            &mut snapshot,
            1,
            &format!("(service api) deregistered 1 targets in (target-group {group})"),
        );
        assert!(says(CHECK, &snapshot).is_empty(), "it has worked since");
    }

    #[test]
    fn a_role_that_lacks_the_permission_is_named_with_it() {
        let mut snapshot = draining(baseline::ec2(), 12);
        let group = id::group("web");
        say(
            &mut snapshot,
            3,
            &format!(
                "(service web) failed to deregister targets in (target-group {group}) with (error User: arn:aws:sts::123456789012:assumed-role/web-lb/ecs-service-scheduler is not authorized to perform: elasticloadbalancing:DeregisterTargets on resource: {group} because no identity-based policy allows the elasticloadbalancing:DeregisterTargets action)"
            ),
        );
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "ECS cannot deregister the targets of target group web: role web-lb lacks elasticloadbalancing:DeregisterTargets."
            ]
        );
    }

    #[test]
    fn draining_takes_its_time() {
        assert_eq!(exam(CHECK, &draining(baseline::fargate(), 20)).outcome, Outcome::Healthy);
        let said = says(CHECK, &draining(baseline::fargate(), 95));
        assert!(said[0].starts_with("1 task still runs 95 min after the deletion: "), "{said:?}");
        let mut gone = draining(baseline::fargate(), 95);
        gone.services[0].running_count = 0;
        assert!(says(CHECK, &gone).is_empty(), "no task is left");
    }

    #[test]
    fn protected_tasks_are_told_as_such() {
        let mut snapshot = draining(baseline::worker(), 40);
        say(
            &mut snapshot,
            30,
            "(service mailer) was unable to scale in. Reason: The number of protected tasks exceeds the desired number.",
        );
        assert!(
            says(CHECK, &snapshot)[0].contains("scale-in protection keeps ECS from stopping them")
        );
    }

    #[test]
    fn a_role_that_may_not_be_seen_is_only_likely() {
        let mut snapshot = with_role(draining(baseline::fargate(), 20), "api-balancer");
        let denied = || Seen::No(Why::Denied("no".into()));
        snapshot.roles.insert("api-balancer", denied());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut long = draining(snapshot, 95);
        long.roles.insert("api-balancer", denied());
        assert!(
            says(CHECK, &long)[0]
                .ends_with("likely role api-balancer is gone or lacks permissions.")
        );
    }

    #[test]
    fn a_service_at_zero_is_not_being_deleted() {
        let mut snapshot = draining(baseline::fargate(), 95);
        snapshot.services[0].status = "ACTIVE".into();
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn the_deletion_itself_follows_from_it() {
        let (snapshot, intent) = ((CHECK.example)(), Intent::default());
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = &diagnosis.roots[0];
        assert_eq!(
            (root.check.id(), root.explains[0].check.id()),
            (CHECK.id(), "service_not_active")
        );
    }
}
