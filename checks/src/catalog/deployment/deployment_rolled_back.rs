//! The newest deployment was rolled back, so an old version runs. It says from which version to
//! which, and what made ECS roll back: the circuit breaker, an alarm, or the reason that ECS gives.

use crate::aws::time::{age, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;

crate::check! {
    /// The newest deployment failed and ECS restored the previous version.
    ///
    /// # Why it matters
    ///
    /// The service looks fine and runs old code: what was deployed is not live, and the next
    /// deployment of the same version will fail in the same way.
    ///
    /// # How we tell
    ///
    /// The status of the newest service deployment is `ROLLBACK_SUCCESSFUL`, or `STOPPED` with a
    /// rollback. Its circuit breaker or its alarms are `TRIGGERED`, or it gives a reason in words.
    /// A rollback that a later deployment followed is history, and a deployment that was stopped
    /// because a newer one began does not count.
    ///
    /// # What to do
    ///
    /// Fix what made it fail, then deploy again. To see why it failed:
    ///
    /// ```sh
    /// aws ecs describe-service-deployments --service-deployment-arns <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here; the rollback did its job.
    ///
    /// # See also
    ///
    /// `alarm_rolled_back`, `tasks_keep_stopping`, `rollback_looks_like_success`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    title: "The newest deployment was rolled back; the old version runs",
    severity: High,
    role: Symptom,
    shows: RolledBack,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on fargate, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        use crate::snapshot::deployment::{BreakerState, Rollback};
        roll_out(snapshot, 40, |deployment| {
            let reason = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
            let old = deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.status_reason = Some(reason.into());
            deployment.finished_at = Some(minutes_ago(19));
            deployment.deployment_circuit_breaker = Some(BreakerState { status: Some("TRIGGERED".into()), failure_count: 3, threshold: 3 });
            deployment.rollback = Some(Rollback { reason: Some(reason.into()), started_at: Some(minutes_ago(24)), service_revision_arn: old });
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::newest(patient)?.filter(|deployment| rollback::is_done(deployment))
    else {
        return Ok(());
    };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let ended = deployment.finished_at.or(rollback::started(deployment));
    let when =
        ended.map_or_else(String::new, |at| format!(" {} ago", words(age(patient.now(), at))));
    let back =
        deployment.rollback.as_ref().and_then(|rollback| rollback.service_revision_arn.as_deref());
    let (runs, evidence_of_old) = match back {
        Some(revision) => old_version(
            revision,
            findings.see(rollout::task_definition(patient, revision)).flatten(),
            brings,
        ),
        None => ("the previous version".to_owned(), None),
    };
    // Alarms that ECS does not name are for `alarm_rolled_back` to find out.
    let fired: Vec<&str> = deployment
        .alarms
        .iter()
        .flat_map(|alarms| &alarms.triggered_alarm_names)
        .map(String::as_str)
        .collect();
    let triggers = rollback::triggers(patient, deployment, &fired);
    let because = match (triggers.is_empty(), rollback::reason(deployment)) {
        (false, _) => format!(
            " because {}",
            triggers.iter().map(|(words, _)| words.as_str()).collect::<Vec<_>>().join(", and ")
        ),
        (true, Some(reason)) => format!(" (ECS says: \"{}\")", reason.value.trim_end_matches('.')),
        (true, None) => " and ECS gives no reason".to_owned(),
    };
    let claim = format!(
        "{} was rolled back{when}{because}; {runs} runs again",
        rollout::name(deployment, brings)
    );
    let status = rollout::evidence(deployment, "status", &deployment.status).at(ended);
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, status)
            .because_all(triggers.into_iter().map(|(_, evidence)| evidence))
            .because_all(rollback::reason(deployment))
            .because_all(evidence_of_old)
            .mend(
                Remedy::new("Fix what made it fail, then deploy again.")
                    .cli(rollout::see(patient, deployment)),
            )
            .concerns_all(Kind::TaskDefinition, brings)
            .since(rollback::started(deployment)),
    );
    Ok(())
}

/// What runs again, in the words that tell it from what was rolled back: a forced deployment has no
/// task definition of its own.
fn old_version(
    revision: &str,
    definition: Option<&str>,
    given_up: Option<&str>,
) -> (String, Option<Evidence>) {
    match definition {
        Some(definition) if given_up != Some(definition) => {
            let evidence = Evidence::new(
                Call::DescribeServiceRevisions,
                revision,
                "taskDefinition",
                definition,
            );
            (rollout::short(definition).to_owned(), Some(evidence))
        }
        _ => (format!("service revision {}", rollout::short(revision)), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::ServiceDeployment;
    use crate::snapshot::deployment::{AlarmsState, Rollback};
    use crate::testing::{exam, newest_deployment, says};

    #[test]
    fn tells_versions_and_the_breaker() {
        let expected = "The deployment of api:13 was rolled back 19 min ago because the circuit breaker counted 3 failed tasks (its threshold is \
                        3); api:12 runs again.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
    }

    #[test]
    fn tells_the_alarm() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).deployment_circuit_breaker = None;
        newest_deployment(&mut snapshot).alarms = Some(AlarmsState {
            status: Some("TRIGGERED".into()),
            alarm_names: vec!["errors".into()],
            triggered_alarm_names: vec!["errors".into()],
        });
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The deployment of api:13 was rolled back 19 min ago because alarm errors fired; api:12 runs again."
            ]
        );
    }

    #[test]
    fn quotes_a_reason_that_it_does_not_know() {
        let mut snapshot = (CHECK.example)();
        let deployment = newest_deployment(&mut snapshot);
        deployment.deployment_circuit_breaker = None;
        deployment
            .rollback
            .iter_mut()
            .for_each(|rollback| rollback.reason = Some("Something new.".into()));
        let expected = "The deployment of api:13 was rolled back 19 min ago (ECS says: \"Something new\"); api:12 runs again.";
        assert_eq!(says(CHECK, &snapshot), [expected]);
    }

    #[test]
    fn a_reason_that_is_understood_is_said_in_few_words() {
        let function = "arn:aws:lambda:eu-west-2:123456789012:function:smoke-test";
        let hooks = "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.";
        let network = "Service deployment rolled back because of invalid networking configuration.";
        let cases = [
            (
                format!("{hooks} Lifecycle hook target {function} returned FAILED status."),
                "lifecycle hook smoke-test returned FAILED",
            ),
            (
                format!(
                    "{hooks} ECS was unable to invoke hook target {function} due to no permission"
                ),
                "lifecycle hook smoke-test could not be called",
            ),
            (
                "Service deployment rolled back because POST_SCALE_UP pause hook timed out.".into(),
                "nobody approved it in time at the pause of stage",
            ),
            (
                format!("{network} One or more rules not found"),
                "its listener rules do not fit the strategy",
            ),
            (
                "Service deployment stopped by StopServiceDeployment.".into(),
                "a person or a script stopped it",
            ),
        ];
        for (reason, words) in cases {
            let mut snapshot = (CHECK.example)();
            let deployment = newest_deployment(&mut snapshot);
            deployment.deployment_circuit_breaker = None;
            deployment.status_reason = Some(reason.clone());
            deployment
                .rollback
                .iter_mut()
                .for_each(|rollback| rollback.reason = Some(reason.clone()));
            let said = says(CHECK, &snapshot);
            assert!(said[0].contains(&format!("because {words}")), "{said:?}");
        }
    }

    #[test]
    fn a_success_after_it_makes_a_rollback_history() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let rolled_back = newest_deployment(&mut snapshot).clone();
        snapshot
            .service_deployments
            .change(&arn)
            .unwrap()
            .insert(0, ServiceDeployment { status: "SUCCESSFUL".into(), ..rolled_back });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_deployment_that_was_only_stopped_is_no_rollback() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| deployment.status = "STOPPED".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        newest_deployment(&mut snapshot).rollback =
            Some(Rollback { started_at: Some(minutes_ago(20)), ..Rollback::default() });
        let expected = "The deployment of api:13 was rolled back 20 min ago and ECS gives no reason; the previous version runs again.";
        assert_eq!(says(CHECK, &snapshot), [expected]);
    }

    #[test]
    fn a_rollback_that_failed_or_still_goes_on_is_not_done() {
        for status in ["ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS"] {
            let mut snapshot = (CHECK.example)();
            newest_deployment(&mut snapshot).status = status.into();
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{status}");
        }
    }

    #[test]
    fn a_forced_deployment_is_told_by_its_revision() {
        let mut snapshot = (CHECK.example)();
        let new = newest_deployment(&mut snapshot).target_service_revision.clone().unwrap().arn;
        let same = snapshot.services[0].deployments[0].task_definition.clone();
        snapshot.revisions.change(&new).unwrap().task_definition = same;
        let said = says(CHECK, &snapshot);
        assert!(
            said[0].starts_with("The deployment of api:12 was")
                && said[0].ends_with("service revision 4000000000000000012 runs again."),
            "{said:?}"
        );
    }

    #[test]
    fn a_hidden_revision_leaves_the_finding() {
        let mut snapshot = (CHECK.example)();
        for revision in snapshot.revisions.0.values_mut() {
            *revision = Seen::No(Why::Denied("no".into()));
        }
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.outcome, Outcome::Sick);
        assert!(
            exam.findings[0].says().starts_with("Deployment deployment3 was rolled back"),
            "{}",
            exam.findings[0].says()
        );
        assert_eq!(exam.missed.len(), 1);
    }
}
