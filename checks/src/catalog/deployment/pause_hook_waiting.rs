//! The deployment is paused until a person, or a script in a person's place, approves it. That is
//! configured; the trouble is that nobody may notice.

use crate::aws;
use crate::aws::time::{age, clock, words};
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word};
use crate::facts::deployment::rollout;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::deployment::HookDetail;

crate::check! {
    /// A pause hook holds the deployment until somebody approves it or rolls it back.
    ///
    /// # Why it matters
    ///
    /// Nothing else will move it: not time, not traffic, not another task. AWS records no approver:
    /// anyone who is allowed to call `ecs:ContinueServiceDeployment` can approve it. When the pause
    /// times out, ECS takes the timeout action of the hook, which may be a rollback.
    ///
    /// # How we tell
    ///
    /// Among `lifecycleHookDetails` of the deployment under way one has the status
    /// `AWAITING_ACTION` and has not expired. A hook that calls a Lambda function waits on its own
    /// and does not count. The API does not report when a stage began; the deployment's last update
    /// is used instead, so "since" is approximate.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs continue-service-deployment --service-deployment-arn <arn> --hook-id <id> --action CONTINUE
    /// aws ecs continue-service-deployment --service-deployment-arn <arn> --hook-id <id> --action ROLLBACK
    /// ```
    ///
    /// Terraform/OpenTofu: `lifecycle_hook` in `deployment_configuration` of `aws_ecs_service`, if
    /// future deployments should not pause.
    ///
    /// # See also
    ///
    /// `lifecycle_hook_failed`, `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html>
    title: "The deployment is paused until somebody approves it",
    severity: Medium,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on fargate, |snapshot| {
        use crate::baseline::{NOW, minutes_ago, roll_out};
        roll_out(snapshot, 200, |deployment| {
            deployment.deployment_configuration.strategy = Some("BLUE_GREEN".into());
            deployment.lifecycle_stage = Some("POST_TEST_TRAFFIC_SHIFT".into());
            deployment.updated_at = Some(minutes_ago(190));
            deployment.lifecycle_hook_details = vec![HookDetail {
                hook_id: Some("ecs-hook-0a1b2c3d".into()),
                target_type: Some("PAUSE".into()),
                status: Some("AWAITING_ACTION".into()),
                expires_at: Some(NOW + jiff::SignedDuration::from_mins(1250)),
                timeout_action: Some("ROLLBACK".into()),
                ..HookDetail::default()
            }];
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::under_way(patient)? else { return Ok(()) };
    for hook in deployment.lifecycle_hook_details.iter().filter(|hook| waits(patient, hook)) {
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        let stage = deployment
            .lifecycle_stage
            .as_deref()
            .map_or_else(String::new, |stage| format!(" at stage {stage}"));
        let since = rollout::stage_began(deployment).map_or_else(String::new, |at| {
            format!(", since about {} ({} ago)", clock(at), words(age(patient.now(), at)))
        });
        let claim = format!(
            "{} is paused{stage} until somebody approves it{since}",
            rollout::name(deployment, brings)
        );
        let id = hook.hook_id.as_deref();
        findings.add(
            Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
                .sick(claim, rollout::evidence(deployment, "lifecycleHookDetails.status", "AWAITING_ACTION"))
                .detail(ends(patient, hook))
                .because_all(id.map(|id| rollout::evidence(deployment, "lifecycleHookDetails.hookId", id)))
                .because_all(deployment.lifecycle_stage.as_ref().map(|stage| rollout::evidence(deployment, "lifecycleStage", stage)))
                .because_all(hook.expires_at.map(|at| rollout::evidence(deployment, "lifecycleHookDetails.expiresAt", at)))
                .because_all(hook.timeout_action.as_ref().map(|then| rollout::evidence(deployment, "lifecycleHookDetails.timeoutAction", then)))
                .mend(
                    Remedy::new("Check the new version, then approve the deployment or roll it back: anyone who is allowed to call ecs:ContinueServiceDeployment can.")
                        .cli(go_on(deployment, hook, "CONTINUE"))
                        .cli(go_on(deployment, hook, "ROLLBACK")),
                )
                .concerns_all(Kind::TaskDefinition, brings),
        );
    }
    Ok(())
}

/// Whether it waits for an action now. Only a pause does; a snapshot without the type has nothing
/// else to say so.
fn waits(patient: &Patient, hook: &HookDetail) -> bool {
    let pauses = hook.target_type.as_deref().is_none_or(|kind| kind == "PAUSE")
        && hook.status.as_deref() == Some("AWAITING_ACTION");
    pauses && hook.expires_at.is_none_or(|at| at > patient.now())
}

/// What happens if nobody does anything, and when.
fn ends(patient: &Patient, hook: &HookDetail) -> String {
    let Some(at) = hook.expires_at else { return String::new() };
    let then = match hook.timeout_action.as_deref() {
        Some("ROLLBACK") => "ECS rolls back to the previous version",
        Some("CONTINUE") => "ECS continues on its own",
        _ => "the pause times out",
    };
    format!("In {} (at {}) {then}.", words(age(at, patient.now())), clock(at))
}

fn go_on(deployment: &ServiceDeployment, hook: &HookDetail, action: &str) -> Command {
    aws!(
        "ecs continue-service-deployment --service-deployment-arn {} --hook-id {} --action {}",
        deployment.service_deployment_arn,
        hook.hook_id.as_deref().map_or(Word::needed("HOOK_ID"), Word::new),
        action
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, newest_deployment, says};

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    #[test]
    fn tells_since_when_until_when_and_how_to_go_on() {
        let snapshot = example(|_| ());
        let expected = "The deployment of api:13 is paused at stage POST_TEST_TRAFFIC_SHIFT until somebody approves it, since about 23:50 UTC (3 h 10 min \
                        ago). In 20 h 50 min (at 23:50 UTC) ECS rolls back to the previous version.";
        assert_eq!(says(CHECK, &snapshot), [expected]);
        let command = &exam(CHECK, &snapshot).findings[0].remedy.shell()[0];
        assert!(
            command.ends_with("/deployment3 --hook-id ecs-hook-0a1b2c3d --action CONTINUE"),
            "{command}"
        );
    }

    #[test]
    fn a_pause_that_goes_on_by_itself_says_so() {
        let snapshot = example(|deployment| {
            deployment.lifecycle_hook_details[0].timeout_action = Some("CONTINUE".into())
        });
        assert!(says(CHECK, &snapshot)[0].ends_with("ECS continues on its own."));
    }

    #[test]
    fn what_waits_for_nobody_is_no_pause() {
        type Edit = fn(&mut HookDetail);
        let others: [(&str, Edit); 3] = [
            ("a Lambda function runs", |hook| {
                hook.target_type = Some("AWS_LAMBDA".into());
                hook.status = Some("IN_PROGRESS".into());
            }),
            ("somebody has approved it", |hook| hook.status = Some("SUCCEEDED".into())),
            ("it has timed out", |hook| hook.expires_at = Some(minutes_ago(1))),
        ];
        for (why, change) in others {
            let snapshot = example(|deployment| change(&mut deployment.lifecycle_hook_details[0]));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{why}");
        }
    }

    #[test]
    fn a_deployment_that_ended_waits_no_longer() {
        assert_eq!(
            exam(CHECK, &example(|deployment| deployment.status = "STOPPED".into())).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn it_is_why_the_deployment_does_not_end() {
        use crate::diagnosis::diagnose;
        use crate::patient::{Intent, Patient};
        let snapshot = example(|_| ());
        let diagnosis =
            diagnose(&Patient::new(&snapshot, &snapshot.services[0], &Intent::default()));
        assert_eq!(diagnosis.roots[0].check.id(), "pause_hook_waiting");
        assert_eq!(diagnosis.roots[0].explains[0].check.id(), "deployment_stuck");
    }
}
