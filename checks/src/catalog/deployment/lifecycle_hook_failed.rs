//! A lifecycle hook returned FAILED, could not be called or returned a response that ECS cannot
//! read, or a pause timed out. A hook that still waits for approval is for `pause_hook_waiting` to
//! report.

use serde_json::json;

use crate::aws;
use crate::aws::arn;
use crate::aws::rollback_reason::{self, HookFailure, Reason};
use crate::check::{Findings, NoAnswer};
use crate::facts::access::refusal;
use crate::facts::deployment::hook::{function_name, has_failed};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::deployment::HookDetail;

crate::check! {
    /// The newest deployment failed because of a lifecycle hook: its Lambda function returned
    /// `FAILED`, could not be called or returned an invalid response, or a pause timed out.
    ///
    /// # Why it matters
    ///
    /// The new version may be fine: what failed is the test of it. Each further deployment will
    /// fail in the same way, and on a new service there is nothing to roll back to.
    ///
    /// # How we tell
    ///
    /// `statusReason` or `rollback.reason` of the newest service deployment, or a service event,
    /// names the hook's stage and how it failed, in AWS's words; or among `lifecycleHookDetails`
    /// one is `FAILED`, or is `TIMED_OUT` and its timeout action is not `CONTINUE`. A role that is
    /// not allowed to move the traffic is reported in the same words, and is for
    /// `infrastructure_role_denied`. Where IAM names what the hook's role is not allowed to do, a
    /// simulation of its policies shows what denies it.
    ///
    /// # What to do
    ///
    /// Look at what the function logged. It has to return `{"hookStatus": "SUCCEEDED"}`, or
    /// `IN_PROGRESS` to be called again, within 15 minutes:
    ///
    /// ```sh
    /// aws logs tail /aws/lambda/<function> --since 2h
    /// ```
    ///
    /// Terraform/OpenTofu: `hook_target_arn`, `role_arn` and `lifecycle_stages` of `lifecycle_hook`
    /// in `deployment_configuration` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `pause_hook_waiting`, `infrastructure_role_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html>
    title: "A lifecycle hook failed or could not be called",
    severity: High,
    role: Cause,
    explains: [RolledBack, RollbackFailed],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, SimulatePrincipalPolicy],
    example: on fargate, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        use crate::snapshot::deployment::Rollback;
        let function = "arn:aws:lambda:eu-west-2:123456789012:function:smoke-test";
        crate::baseline::access::simulate(snapshot, "deploymentHooks", "lambda:InvokeFunction", function, "implicitDeny");
        roll_out(snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.deployment_configuration.strategy = Some("BLUE_GREEN".into());
            deployment.status_reason = Some(format!(
                "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. ECS was unable to invoke hook target \
                 {function} due to User: arn:aws:sts::123456789012:assumed-role/deploymentHooks/ECSLifecycleHook is not authorized to perform: \
                 lambda:InvokeFunction on resource: {function}"
            ));
            deployment.rollback = Some(Rollback { started_at: Some(minutes_ago(30)), ..Rollback::default() });
            deployment.lifecycle_hook_details = vec![HookDetail {
                target_type: Some("AWS_LAMBDA".into()),
                target_arn: Some(function.into()),
                status: Some("FAILED".into()),
                ..HookDetail::default()
            }];
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::newest(patient)?.filter(|deployment| deployment.status != "SUCCESSFUL")
    else {
        return Ok(());
    };
    let hook = deployment.lifecycle_hook_details.iter().find(|hook| has_failed(hook));
    let reasons = rollback::reasons(patient, deployment);
    let told = reasons
        .iter()
        .find_map(|(reason, evidence)| Some((Failed::told(reason)?, evidence.clone())));
    // The same words tell of a role that may not move the traffic: then no hook failed, whatever
    // its status says.
    let denied = reasons.iter().any(|(reason, _)| matches!(reason, Reason::Denied(_)));
    let by_status = || {
        hook.filter(|_| !denied)
            .and_then(|hook| Some((Failed::seen(deployment, hook), status(deployment, hook)?)))
    };
    let Some((failed, evidence)) = told.or_else(by_status) else { return Ok(()) };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let ends = if rollback::began(deployment) {
        "so ECS began a rollback"
    } else {
        "and ECS has not continued"
    };
    let claim = format!(
        "{} failed at a hook: {}, {ends}",
        rollout::name(deployment, brings),
        failed.words()
    );
    let mut finding = Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
        .sick(claim, evidence)
        .because_all(hook.and_then(|hook| status(deployment, hook)))
        .because(rollout::evidence(deployment, "status", &deployment.status))
        .mend(failed.remedy(patient, deployment).cli(rollout::again(patient, brings)))
        .since(rollback::started(deployment))
        .concerns_all(Kind::TaskDefinition, brings);
    if let What::Hook(HookFailure::NotInvoked { why, .. }) = failed.what {
        finding = refusal::settle(
            patient,
            findings,
            finding,
            why,
            refusal::of_words(patient, why).as_ref(),
        );
    }
    findings.add(finding);
    Ok(())
}

fn status(deployment: &ServiceDeployment, hook: &HookDetail) -> Option<Evidence> {
    hook.status
        .as_ref()
        .map(|status| rollout::evidence(deployment, "lifecycleHookDetails.status", status))
}

/// What failed, at which stage.
struct Failed<'a> {
    stage: Option<&'a str>,
    what: What<'a>,
}

enum What<'a> {
    Hook(HookFailure<'a>),
    /// A hook that has the status, and of which ECS says nothing more.
    Silent {
        target: Option<&'a str>,
    },
    PauseTimedOut,
}

impl<'a> Failed<'a> {
    fn told(reason: &Reason<'a>) -> Option<Failed<'a>> {
        match *reason {
            Reason::Hook { stage, failure } => {
                Some(Failed { stage: Some(stage), what: What::Hook(failure) })
            }
            Reason::PauseTimedOut { stage } => {
                Some(Failed { stage: Some(stage), what: What::PauseTimedOut })
            }
            _ => None,
        }
    }

    fn seen(deployment: &'a ServiceDeployment, hook: &'a HookDetail) -> Failed<'a> {
        let pause = hook.target_type.as_deref() == Some("PAUSE");
        let what = if pause {
            What::PauseTimedOut
        } else {
            What::Silent { target: hook.target_arn.as_deref() }
        };
        Failed { stage: deployment.lifecycle_stage.as_deref(), what }
    }

    fn words(&self) -> String {
        let at = self.stage.map_or_else(String::new, |stage| format!(" at stage {stage}"));
        match self.what {
            What::Hook(HookFailure::SaidFailed { target }) => {
                format!("{}{at} returned FAILED", function(target))
            }
            What::Hook(HookFailure::Unparsed { target, why }) => {
                format!("{}{at} returned a response that ECS cannot read ({why})", function(target))
            }
            What::Hook(HookFailure::NotInvoked { target, why }) => {
                match rollback_reason::denied(why) {
                    Some(denied) => {
                        let action = denied.action.unwrap_or("lambda:InvokeFunction");
                        format!(
                            "ECS could not call {}{at}, because role {} does not allow {action}",
                            function(target),
                            denied.name()
                        )
                    }
                    None => format!(
                        "ECS could not call {}{at}: {}",
                        function(target),
                        why.trim_end_matches('.')
                    ),
                }
            }
            What::Hook(HookFailure::RoleNotAssumed { role }) => {
                format!("ECS could not assume the hook's role {}{at}", arn::last(role))
            }
            What::Hook(HookFailure::Other("")) => format!("the hook{at} failed"),
            What::Hook(HookFailure::Other(why)) => {
                format!("the hook{at} failed (ECS says: \"{why}\")")
            }
            What::Silent { target } => {
                format!("{}{at} failed", target.map_or("the hook".to_owned(), function))
            }
            What::PauseTimedOut => format!("the pause{at} timed out before anybody approved it"),
        }
    }

    fn remedy(&self, patient: &Patient, deployment: &ServiceDeployment) -> Remedy {
        let tail =
            |target: &str| aws!("logs tail /aws/lambda/{} --since 2h", function_name(target));
        match self.what {
            What::Hook(HookFailure::SaidFailed { target }) => {
                Remedy::new("Look at what the function tested, fix that or the test, and deploy again.").cli(tail(target))
            }
            What::Hook(HookFailure::Unparsed { target, .. }) => {
                Remedy::new("Make the function return {\"hookStatus\": \"SUCCEEDED\"}, FAILED or IN_PROGRESS within 15 minutes, then deploy again.").cli(tail(target))
            }
            What::Hook(HookFailure::NotInvoked { target, why }) => {
                let role = rollback_reason::denied(why).map(|denied| denied.name()).or_else(|| role_of(deployment, target));
                not_invoked(role, target)
            }
            What::Hook(HookFailure::RoleNotAssumed { role }) => {
                let trust = json!({
                    "Version": "2012-10-17",
                    "Statement": [{ "Effect": "Allow", "Principal": { "Service": "ecs.amazonaws.com" }, "Action": "sts:AssumeRole" }]
                });
                Remedy::new("Allow ECS to assume the role: it must exist and trust ecs.amazonaws.com. The first command replaces its whole trust policy. Then deploy again.")
                    .cli(aws!("iam update-assume-role-policy --role-name {} --policy-document {}", arn::last(role), trust))
            }
            What::Silent { target: Some(target) } => Remedy::new("Look at what the function logged, fix it, and deploy again.").cli(tail(target)),
            What::Hook(HookFailure::Other(_)) | What::Silent { target: None } => {
                Remedy::new("Find out which hook failed, fix it, and deploy again.").cli(rollout::see(patient, deployment))
            }
            What::PauseTimedOut => Remedy::new("Deploy again and approve it in time, or give the pause a longer timeout."),
        }
    }
}

fn not_invoked(role: Option<&str>, target: &str) -> Remedy {
    let remedy = Remedy::new("Allow the hook's role to call the function, then deploy again.");
    match role {
        Some(role) => {
            refusal::allowing(remedy, role, "deployment-hook", "lambda:InvokeFunction", target)
        }
        None => {
            let allow =
                json!({ "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": target });
            remedy.cli(aws!(
                "iam put-role-policy --role-name $HOOK_ROLE --policy-name deployment-hook \
                 --policy-document {}",
                json!({ "Version": "2012-10-17", "Statement": [allow] })
            ))
        }
    }
}

/// The role with which ECS calls this function, as configured.
fn role_of<'a>(deployment: &'a ServiceDeployment, target: &str) -> Option<&'a str> {
    let mut hooks = deployment.deployment_configuration.lifecycle_hooks.iter();
    let hook = hooks.find(|hook| hook.hook_target_arn.as_deref() == Some(target))?;
    hook.role_arn.as_deref().map(arn::last)
}

fn function(arn: &str) -> String {
    format!("function {}", function_name(arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::roll_out;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::snapshot::service::LifecycleHook;
    use crate::testing::{exam, newest_deployment, says};

    const FUNCTION: &str = "arn:aws:lambda:eu-west-2:123456789012:function:smoke-test";

    fn failed(reason: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status_reason = Some(reason.into());
        snapshot
    }

    const HOOKS: &str =
        "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.";

    #[test]
    fn names_function_stage_and_what_the_role_may_not() {
        let exam = exam(CHECK, &(CHECK.example)());
        let expected = "The deployment of api:13 failed at a hook: ECS could not call function smoke-test at stage POST_TEST_TRAFFIC_SHIFT, because role \
                        deploymentHooks does not allow lambda:InvokeFunction, so ECS began a rollback. No policy of the role allows it.";
        assert_eq!(exam.findings[0].says(), expected);
        assert!(
            exam.findings[0].remedy.shell()[0]
                .starts_with("aws iam put-role-policy --role-name deploymentHooks ")
        );
    }

    #[test]
    fn each_documented_failure_has_its_own_words_and_remedy() {
        let cases = [
            (format!("{HOOKS} Lifecycle hook target {FUNCTION} returned FAILED status."), "returned FAILED", "aws logs tail /aws/lambda/smoke-test"),
            (
                format!("{HOOKS} ECS was unable to parse the response from {FUNCTION} due to HookStatus must not be null"),
                "returned a response that ECS cannot read (HookStatus must not be null)",
                "aws logs tail /aws/lambda/smoke-test",
            ),
            (
                format!("{HOOKS} ECS was unable to assume role arn:aws:iam::123456789012:role/hooks"),
                "ECS could not assume the hook's role hooks at stage",
                "aws iam update-assume-role-policy --role-name hooks",
            ),
            (
                "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT pause hook timed out.".to_owned(),
                "the pause at stage POST_TEST_TRAFFIC_SHIFT timed out before anybody approved it",
                "aws ecs update-service --cluster prod --service api --task-definition api:13 --force-new-deployment",
            ),
            (format!("{HOOKS} Something new."), "(ECS says: \"Something new\")", "aws ecs describe-service-deployments"),
        ];
        for (reason, words, command) in cases {
            let exam = exam(CHECK, &failed(&reason));
            let finding = &exam.findings[0];
            assert!(finding.says().contains(words), "{}", finding.says());
            assert!(finding.remedy.shell()[0].starts_with(command), "{:?}", finding.remedy.shell());
            let again = "--task-definition api:13 --force-new-deployment";
            assert!(finding.remedy.shell().iter().any(|it| it.ends_with(again)), "{reason}");
        }
    }

    #[test]
    fn a_function_that_cannot_be_called_for_another_reason_names_the_configured_role() {
        let mut snapshot = failed(&format!(
            "{HOOKS} ECS was unable to invoke hook target {FUNCTION} due to Function not found"
        ));
        let hook = LifecycleHook {
            hook_target_arn: Some(FUNCTION.into()),
            role_arn: Some("arn:aws:iam::123456789012:role/hooks".into()),
            ..LifecycleHook::default()
        };
        newest_deployment(&mut snapshot).deployment_configuration.lifecycle_hooks = vec![hook];
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings[0].says().contains("ECS could not call function smoke-test at stage POST_TEST_TRAFFIC_SHIFT: Function not found"));
        assert!(exam.findings[0].remedy.shell()[0].contains("--role-name hooks "));
    }

    #[test]
    fn a_status_tells_where_ecs_gives_no_reason() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status_reason = None;
        assert!(says(CHECK, &snapshot)[0].contains("function smoke-test failed"));
        newest_deployment(&mut snapshot).lifecycle_hook_details[0].status =
            Some("TIMED_OUT".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        newest_deployment(&mut snapshot).lifecycle_hook_details[0].timeout_action =
            Some("CONTINUE".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it went on, as it was told");
        newest_deployment(&mut snapshot).lifecycle_hook_details[0].status =
            Some("SUCCEEDED".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_role_that_may_not_move_traffic_is_no_hook() {
        let reason = format!(
            "{HOOKS} User: arn:aws:sts::123456789012:assumed-role/ecsElb/ECSNetworkingWithELB is not authorized to perform: \
             elasticloadbalancing:ModifyListener"
        );
        assert_eq!(exam(CHECK, &failed(&reason)).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_success_after_it_makes_it_history() {
        let mut snapshot = (CHECK.example)();
        roll_out(&mut snapshot, 10, |deployment| {
            deployment.status = "SUCCESSFUL".into();
            deployment.status_reason = None;
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
