//! The role with which ECS manages the load balancer, or what Express Mode creates, does not allow
//! something that ECS needs. Other reasons why a managed resource fails are for
//! `managed_resource_failed` to report.

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use crate::aws::rollback_reason::{self, Denied, Reason};
use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time::age;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::access::refusal;
use crate::facts::deployment::{managed, rollback, rollout};
use crate::facts::tasks::reason;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl};

crate::check! {
    /// IAM denied ECS an action under the infrastructure role of the service.
    ///
    /// # Why it matters
    ///
    /// Without it ECS can neither move traffic between versions nor create or change the load
    /// balancer of an Express service: the deployment hangs with a resource that stays in
    /// `PROVISIONING`, or is rolled back.
    ///
    /// # How we tell
    ///
    /// An event or a stopped task says that ECS is not allowed to launch instances for a capacity
    /// provider. Or the reason that ECS gives for the rollback, or the `statusReason` of a resource
    /// that it manages, names the role and the action, or says that permissions are missing on the
    /// infrastructure role. AWS's own managed policies have had gaps. A role or policy that was
    /// created within the last two minutes may not have propagated; such a recent denial is
    /// skipped. Where an action is named, a simulation of the role's policies shows what denies it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws iam attach-role-policy --role-name <role> --policy-arn arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers
    /// aws iam put-role-policy --role-name <role> --policy-name <name> --policy-document '{…}'   # one action
    /// ```
    ///
    /// The role must also trust `ecs.amazonaws.com`. Terraform/OpenTofu:
    /// `aws_iam_role_policy_attachment` or `aws_iam_role_policy`; `role_arn` in
    /// `advanced_configuration` of the service's `load_balancer` names the role. The role of an
    /// Express service cannot be replaced, only its policies.
    ///
    /// # See also
    ///
    /// `managed_resource_failed`, `listener_rule_unfit`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-troubleshooting.html>
    title: "ECS is not allowed to manage what the deployment needs",
    severity: High,
    role: Cause,
    explains: [TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed, TasksFailToStart],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, SimulatePrincipalPolicy],
    example: on express, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        roll_out(snapshot, 35, |deployment| deployment.lifecycle_stage = Some("PRE_SCALE_UP".into()));
        crate::baseline::access::simulate(
            snapshot,
            "ecsInfrastructureRoleForExpressServices",
            "ec2:DescribeAccountAttributes",
            "*",
            "implicitDeny",
        );
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        if let Some(balancer) = snapshot.revisions.change(&newest).and_then(|revision| revision.ingress_paths[0].load_balancer.as_mut()) {
            balancer.status = Some("PROVISIONING".into());
            balancer.status_reason = Some(
                "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/ecsInfrastructureRoleForExpressServices/ECSGateway is not authorized to \
                 perform: ec2:DescribeAccountAttributes because no identity-based policy allows the ec2:DescribeAccountAttributes action"
                    .into(),
            );
            balancer.updated_at = Some(minutes_ago(33));
        }
    },
}

/// IAM takes a while to propagate a new role or policy.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    may_not_launch(patient, findings);
    let deployment = rollout::newest(patient)?;
    if let Some(deployment) = deployment.filter(|deployment| rollback::began(deployment)) {
        for (reason, evidence) in rollback::reasons(patient, deployment) {
            if let Reason::Denied(denied) = reason {
                let brings = findings.see(rollout::brings(patient, deployment)).flatten();
                let subject = Subject::new(Kind::Deployment, &deployment.service_deployment_arn);
                let text = evidence.value.clone();
                let finding =
                    finding(patient, subject, denied, "the load balancer", evidence, brings);
                let finding = refusal::settle(
                    patient,
                    findings,
                    finding,
                    &text,
                    refusal::of_words(patient, &text).as_ref(),
                );
                findings.add(
                    finding
                        .since(rollback::started(deployment))
                        .concerns_all(Kind::TaskDefinition, brings),
                );
                break;
            }
        }
    }
    let Some(revision) = managed::revision(patient)? else { return Ok(()) };
    let resources = managed::resources(revision);
    let waiting = managed::waiting(&resources);
    let mut told: Vec<Denied> = Vec::new();
    for resource in
        resources.iter().filter(|resource| matches!(resource.status, "PROVISIONING" | "FAILED"))
    {
        let settled = resource.updated_at.is_none_or(|at| age(patient.now(), at) >= SETTLED);
        let Some(denied) = resource
            .reason
            .and_then(rollback_reason::denied)
            .filter(|denied| settled && !told.contains(denied))
        else {
            continue;
        };
        told.push(denied);
        let brings = revision.task_definition.as_deref();
        let mut evidence = resource.evidence(revision);
        let Some(status) = evidence.next() else { continue };
        let finding =
            finding(patient, resource.subject(revision), denied, &resource.name(), status, brings)
                .because_all(evidence)
                .detail(managed::waiting_words(&waiting));
        let text = resource.reason.unwrap_or_default();
        let finding = refusal::settle(
            patient,
            findings,
            finding,
            text,
            refusal::of_words(patient, text).as_ref(),
        );
        findings.add(finding.since(resource.updated_at).concerns_all(Kind::TaskDefinition, brings));
    }
    Ok(())
}

/// Instances that ECS is not allowed to launch for a capacity provider.
fn may_not_launch(patient: &Patient, findings: &mut Findings) {
    let told = reason::told(patient, findings);
    for told in told.iter().filter(|told| told.reason.trouble == Trouble::LaunchDenied) {
        let provider = stop_reason::part(&PROVIDER, told.text)
            .map_or("a capacity provider".to_owned(), |it| format!("capacity provider {it}"));
        let refused = stop_reason::refused(told.text);
        let role = refused.role.map_or_else(String::new, |role| format!(" {role}"));
        let known = refused.role.map_or(Word::needed("INFRASTRUCTURE_ROLE"), Word::new);
        let (claim, remedy) = match refused.action {
            Some(action) => {
                let claim = format!(
                    "ECS needs {action} to launch instances for {provider}, and its infrastructure role{role} does not allow it"
                );
                let summary = if action == "iam:PassRole" {
                    "Allow the infrastructure role to pass the instance role: AWS's managed policy covers only roles whose name begins with ecsInstanceRole."
                } else {
                    "Grant the role this permission; ECS retries on its own."
                };
                let remedy = Remedy::new(summary);
                let remedy = match (refused.role, refused.resource) {
                    (Some(role), resource) => refusal::allowing(
                        remedy,
                        role,
                        "ecs-launches",
                        action,
                        resource.unwrap_or("*"),
                    ),
                    (None, _) => attaching(remedy, patient, &known, LAUNCHES),
                };
                (claim, remedy)
            }
            None => (
                format!(
                    "ECS is not allowed to launch instances for {provider}: its infrastructure role{role} lacks permissions"
                ),
                attaching(
                    Remedy::new(
                        "Attach AWS's managed policy to the role, or compare its own policy with that one; ECS retries on its own.",
                    ),
                    patient,
                    &known,
                    LAUNCHES,
                ),
            ),
        };
        findings.add(told.finding(patient, &claim).mend(remedy));
    }
}

static PROVIDER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"for capacity provider (?<it>[\w/-]+)"));

fn finding(
    patient: &Patient,
    subject: Subject,
    denied: Denied,
    what: &str,
    evidence: Evidence,
    brings: Option<&str>,
) -> Finding {
    let name = denied.name();
    let claim = match denied.action {
        Some(action) => format!(
            "ECS needs {action} for {what}, and its infrastructure role {name} does not allow it"
        ),
        None => {
            format!(
                "ECS is not allowed to manage {what}: its infrastructure role {name} lacks permissions"
            )
        }
    };
    subject.sick(claim, evidence).mend(remedy(patient, denied, brings))
}

fn remedy(patient: &Patient, denied: Denied, brings: Option<&str>) -> Remedy {
    let name = denied.name();
    let balancing = denied.action.is_none_or(|action| action.starts_with("elasticloadbalancing:"));
    let remedy = match denied.action {
        _ if balancing && !patient.is_express() => {
            let remedy = Remedy::new(
                "Attach AWS's managed policy to the role and make sure that it trusts ecs.amazonaws.com; then deploy again.",
            );
            attaching(remedy, patient, &Word::new(name), BALANCES)
        }
        Some(action) => {
            let remedy = Remedy::new(
                "Grant the role this permission; ECS retries on its own within about a minute.",
            );
            refusal::allowing(remedy, name, "ecs-needs", action, "*")
        }
        None => {
            let remedy = Remedy::new(
                "Attach AWS's managed policy to the role and make sure that it trusts ecs.amazonaws.com; ECS retries on its own.",
            );
            attaching(remedy, patient, &Word::new(name), EXPRESS)
        }
    };
    if patient.is_express() { remedy } else { remedy.cli(rollout::again(patient, brings)) }
}

/// AWS's managed policies for what an infrastructure role is used for.
const BALANCES: &str = "AmazonECSInfrastructureRolePolicyForLoadBalancers";
const LAUNCHES: &str = "AmazonECSInfrastructureRolePolicyForManagedInstances";
const EXPRESS: &str = "service-role/AmazonECSInfrastructureRoleforExpressGatewayServices";

fn attaching(remedy: Remedy, patient: &Patient, role: &Word, policy: &str) -> Remedy {
    let policy = &format!("arn:{}:iam::aws:policy/{policy}", patient.partition());
    let attach = aws!("iam attach-role-policy --role-name {} --policy-arn {}", role, policy);
    let name = match attach.needs().as_slice() {
        [] => hcl!("{}", attach.argv()[4]),
        _ => hcl!("var.infrastructure_role"),
    };
    remedy.cli(attach).terraform(hcl!(
        r#"
        resource "aws_iam_role_policy_attachment" "ecs_infrastructure" {
          role       = {}
          policy_arn = {}
        }"#,
        name,
        policy
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::snapshot::{ManagedResource, Snapshot};
    use crate::testing::{exam, says};

    fn balancer(snapshot: &mut Snapshot) -> &mut ManagedResource {
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&newest).unwrap().ingress_paths[0].load_balancer.as_mut().unwrap()
    }

    fn went_back(reason: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.status_reason = Some(reason.into());
        });
        snapshot
    }

    #[test]
    fn names_role_action_and_resource() {
        let exam = exam(CHECK, &(CHECK.example)());
        let expected = "ECS needs ec2:DescribeAccountAttributes for load balancer ecs-express-gateway-alb-1a2b3c4d, and its infrastructure role \
                        ecsInfrastructureRoleForExpressServices does not allow it. No policy of the role allows it.";
        assert_eq!(exam.findings[0].says(), expected);
        let command = &exam.findings[0].remedy.shell()[0];
        assert!(
            command.starts_with(
                "aws iam put-role-policy --role-name ecsInfrastructureRoleForExpressServices "
            ),
            "{command}"
        );
        assert!(command.contains(r#""Action":"ec2:DescribeAccountAttributes""#), "{command}");
    }

    #[test]
    fn a_deployment_that_could_not_move_traffic_names_it_too() {
        let said = says(
            CHECK,
            &went_back(
                "Service deployment rolled back because TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. User: \
                 arn:aws:sts::123456789012:assumed-role/ecsElb/ECSNetworkingWithELB is not authorized to perform: elasticloadbalancing:ModifyListener",
            ),
        );
        assert_eq!(
            said,
            [
                "ECS needs elasticloadbalancing:ModifyListener for the load balancer, and its infrastructure role ecsElb does not allow it."
            ]
        );
        let snapshot = went_back(
            "Service deployment rolled back because of invalid networking configuration. ECS was unable to manage the ELB resources due to missing \
             permissions on ECS Infrastructure Role 'arn:aws:iam::123456789012:role/ecsElb'.",
        );
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "ECS is not allowed to manage the load balancer: its infrastructure role ecsElb lacks permissions."
            ]
        );
        let command = &exam(CHECK, &snapshot).findings[0].remedy.shell()[0];
        assert!(command.starts_with("aws iam attach-role-policy --role-name ecsElb "), "{command}");
    }

    #[test]
    fn instances_that_may_not_be_launched_name_provider_role_and_action() {
        let said = |why: &str| {
            let mut snapshot = baseline::worker();
            baseline::lack_tasks(&mut snapshot);
            baseline::say(
                &mut snapshot,
                20,
                &format!(
                    "(service mailer) was unable to place a task. Reason: ResourceInitializationError: Unable to launch instance(s) for capacity provider cp. {why}"
                ),
            );
            exam(CHECK, &snapshot).findings
        };
        let denied = said(
            "UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/ecsInfrastructureRole/ECSManagedInstances is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/own because no identity-based policy allows the iam:PassRole action.",
        );
        assert!(denied[0].says().starts_with(
            "ECS needs iam:PassRole to launch instances for capacity provider cp, and its infrastructure role ecsInfrastructureRole does not allow it"
        ));
        assert!(denied[0].remedy.shell()[0].contains("arn:aws:iam::123456789012:role/own"));
        let unnamed =
            said("UnauthorizedOperation: You are not authorized to perform this operation.");
        assert!(unnamed[0].says().starts_with(
            "ECS is not allowed to launch instances for capacity provider cp: its infrastructure role lacks permissions"
        ), "{}", unnamed[0].says());
        assert_eq!(
            unnamed[0].remedy.shell(),
            [
                "aws iam attach-role-policy --role-name \"$INFRASTRUCTURE_ROLE\" --policy-arn arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"
            ]
        );
        assert!(said("InsufficientInstanceCapacity: no capacity.").is_empty());
    }

    #[test]
    fn one_role_and_one_action_are_told_once() {
        let mut snapshot = (CHECK.example)();
        let told = balancer(&mut snapshot).clone();
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&newest).unwrap().ingress_paths[0].listener = Some(told);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_role_that_was_made_just_now_may_not_have_arrived() {
        let mut snapshot = (CHECK.example)();
        balancer(&mut snapshot).updated_at = Some(minutes_ago(1));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn what_failed_otherwise_or_works_by_now_is_not_denied() {
        let mut snapshot = (CHECK.example)();
        balancer(&mut snapshot).status = Some("ACTIVE".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it works by now");
        let mut snapshot = (CHECK.example)();
        balancer(&mut snapshot).status_reason =
            Some("The subnet has too few free addresses.".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
