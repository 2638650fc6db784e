//! The newest deployment failed, and its rollback failed too. A first deployment has nothing to
//! roll back to: then the failed rollback is only a consequence, and the finding says so.

use jiff::SignedDuration;

use crate::aws::time::{age, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::deployment::ListedDeployment;
use crate::words;

crate::check! {
    /// The newest deployment failed, ECS tried to roll back to the previous version, and could not.
    ///
    /// # Why it matters
    ///
    /// "Rollback failed" sounds worse than the failure itself. On a new service it is not: there is
    /// no version to roll back to, and the thing to fix is what made the first deployment fail. On
    /// an old service no healthy version may be left running.
    ///
    /// # How we tell
    ///
    /// The status of the newest service deployment is `ROLLBACK_FAILED`. With the reason "No
    /// rollback candidate was found to run the rollback." we look for an earlier deployment that
    /// succeeded. ECS keeps deployments for 90 days, so of an older service we say only that none
    /// succeeded in that time.
    ///
    /// # What to do
    ///
    /// Fix what made the deployment fail and deploy again; no rollback target is needed for that.
    /// An old service can be rolled back by hand:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family:revision> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `task_definition` of `aws_ecs_service`, for an old service; nothing to
    /// change for a new one.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`, `alarm_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/action-logs-troubleshooting.html>
    title: "The rollback failed",
    severity: High,
    role: Symptom,
    shows: RollbackFailed,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, ListServiceDeployments],
    example: on express, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        use crate::snapshot::deployment::BreakerState;
        roll_out(snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_FAILED".into();
            deployment.status_reason = Some("No rollback candidate was found to run the rollback.".into());
            deployment.finished_at = Some(minutes_ago(12));
            deployment.deployment_circuit_breaker = Some(BreakerState { status: Some("TRIGGERED".into()), failure_count: 3, threshold: 3 });
            deployment.source_service_revisions = Vec::new();
        });
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.services[0].created_at = Some(minutes_ago(41));
        snapshot.service_deployments.change(&arn).into_iter().for_each(|all| all.truncate(1));
        snapshot.listed_deployments.change(&arn).into_iter().for_each(|all| all.truncate(1));
    },
}

const NO_CANDIDATE: &str = "No rollback candidate was found";

/// How long ECS keeps a deployment.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::newest(patient)?.filter(|deployment| deployment.status == "ROLLBACK_FAILED")
    else {
        return Ok(());
    };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let given = deployment.rollback.as_ref().and_then(|rollback| rollback.reason.as_ref());
    let status_reason = deployment
        .status_reason
        .as_ref()
        .map(|reason| rollout::evidence(deployment, "statusReason", reason));
    let reasons: Vec<Evidence> = status_reason
        .into_iter()
        .chain(given.map(|reason| rollout::evidence(deployment, "rollback.reason", reason)))
        .collect();
    let no_candidate = reasons.iter().any(|reason| reason.value.contains(NO_CANDIDATE));
    let earlier = findings
        .see(patient.listed_deployments())
        .map(|all| all.iter().find(|listed| has_succeeded(listed)));
    let when = deployment
        .finished_at
        .map_or_else(String::new, |at| format!(" {} ago", words(age(patient.now(), at))));
    let young =
        patient.service().created_at.is_some_and(|created| age(patient.now(), created) < KEPT);
    let (meaning, remedy) = match earlier {
        Some(None) if no_candidate => (
            format!(
                "Nothing to roll back to: {}. The failed rollback only follows from the failed deployment and needs no fix of its own",
                if young {
                    "no deployment of this service has ever succeeded"
                } else {
                    "no deployment has succeeded in the 90 days that ECS keeps"
                }
            ),
            Remedy::new(
                "Ignore the rollback: fix what made the deployment fail, then deploy again.",
            ),
        ),
        _ => {
            // The reason for rolling back does not explain why the rollback failed.
            let told = deployment.status_reason.as_ref();
            let told = told.map_or("ECS gives no reason".to_owned(), |reason| {
                format!("ECS says: {}", reason.trim_end_matches('.'))
            });
            let good =
                earlier.flatten().and_then(|listed| listed.target_service_revision_arn.as_deref());
            let good = good.and_then(|revision| {
                findings.see(rollout::task_definition(patient, revision)).flatten()
            });
            (told, go_back_by_hand(patient, good))
        }
    };
    let claim =
        format!("{} failed, and so did its rollback{when}", rollout::name(deployment, brings));
    let earlier = earlier.flatten().map(|listed| {
        Evidence::new(
            Call::ListServiceDeployments,
            &listed.service_deployment_arn,
            "status",
            &listed.status,
        )
    });
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(
                claim,
                rollout::evidence(deployment, "status", &deployment.status)
                    .at(deployment.finished_at),
            )
            .detail(format!("{meaning}."))
            .because_all(reasons)
            .because_all(earlier)
            .mend(remedy.cli(rollout::see(patient, deployment)))
            .concerns_all(Kind::TaskDefinition, brings)
            .since(rollback::started(deployment)),
    );
    Ok(())
}

/// A deployment that was rolled back had a version to roll back to, so there was a success before
/// it.
fn has_succeeded(listed: &ListedDeployment) -> bool {
    matches!(listed.status.as_str(), "SUCCESSFUL" | "ROLLBACK_SUCCESSFUL")
}

fn go_back_by_hand(patient: &Patient, good: Option<&str>) -> Remedy {
    let remedy = Remedy::new(
        "Fix what made the deployment fail and deploy again, or deploy a version that has worked.",
    );
    match good {
        Some(definition) if !patient.is_express() => {
            let definition = rollout::short(definition);
            remedy.cli(
                patient
                    .update_service()
                    .and(words!("--task-definition {} --force-new-deployment", definition)),
            )
        }
        _ => remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn failed(reason: Option<&str>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_FAILED".into();
            deployment.status_reason = reason.map(str::to_owned);
        });
        snapshot
    }

    #[test]
    fn a_first_deployment_has_nothing_to_go_back_to() {
        let says = says(CHECK, &(CHECK.example)());
        let expected = "The deployment of api:13 failed, and so did its rollback 12 min ago. Nothing to roll back to: no deployment of this service \
                        has ever succeeded. The failed rollback only follows from the failed deployment and needs no fix of its own.";
        assert_eq!(says, [expected]);
    }

    #[test]
    fn failures_before_it_do_not_make_a_version_to_go_back_to() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let all = snapshot.listed_deployments.change(&arn).unwrap();
        all.push(all[0].clone());
        assert!(says(CHECK, &snapshot)[0].contains("needs no fix of its own"));
    }

    #[test]
    fn an_old_service_may_have_succeeded_before_ecs_forgot() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].created_at = Some(minutes_ago(400 * 1440));
        let says = &says(CHECK, &snapshot)[0];
        assert!(says.contains("90 days") && !says.contains("ever"), "{says}");
    }

    #[test]
    fn with_an_earlier_success_it_is_no_mere_consequence() {
        let exam =
            exam(CHECK, &failed(Some("No rollback candidate was found to run the rollback.")));
        let [finding] = exam.findings.as_slice() else { panic!("{exam:?}") };
        assert!(!finding.says().contains("Nothing to roll back to"), "{}", finding.says());
        assert!(
            finding
                .says()
                .ends_with("ECS says: No rollback candidate was found to run the rollback."),
            "{}",
            finding.says()
        );
    }

    #[test]
    fn a_hidden_list_is_no_proof_of_a_first_deployment() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.listed_deployments.insert(arn, Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert!(
            !exam.findings[0].says().contains("Nothing to roll back to"),
            "{}",
            exam.findings[0].says()
        );
        assert_eq!(exam.missed.len(), 1);
    }

    #[test]
    fn another_reason_is_quoted_with_a_version_that_worked() {
        let mut snapshot = failed(Some(
            "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed",
        ));
        let arn = snapshot.services[0].service_arn.clone();
        let exam = exam(CHECK, &snapshot);
        assert!(
            exam.findings[0].says().ends_with("PRE_SCALE_UP lifecycle hook(s) failed."),
            "{}",
            exam.findings[0].says()
        );
        let good = "aws ecs update-service --cluster prod --service api --task-definition api:12 --force-new-deployment";
        assert_eq!(exam.findings[0].remedy.shell()[0], good);
        snapshot.service_deployments.change(&arn).unwrap()[0].status_reason = None;
        assert!(says(CHECK, &snapshot)[0].ends_with("ECS gives no reason."));
    }

    #[test]
    fn a_success_after_it_makes_it_history() {
        let mut snapshot = failed(None);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&arn).unwrap().remove(0);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
