//! A deployment stopped because a newer one began. A note for anyone who finds their deployment
//! `STOPPED`.

use jiff::{SignedDuration, Timestamp};

use crate::aws::time::{age, words};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;

crate::check! {
    /// The deployment before the newest one was stopped, because somebody deployed again.
    ///
    /// # Why it matters
    ///
    /// Its status is `STOPPED`, and its version was not rolled out. That is not a failure: ECS
    /// works on one deployment at a time, and the newest one wins.
    ///
    /// # How we tell
    ///
    /// The deployment before the newest is `STOPPED` or `STOP_REQUESTED` without a rollback, and
    /// the newest one began within a minute of that. It is reported while the newest is under way,
    /// or for two hours.
    ///
    /// # What to do
    ///
    /// Nothing; look at the newest deployment instead:
    ///
    /// ```sh
    /// aws ecs list-service-deployments --service <arn> --max-results 3
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change; two pipelines that deploy the same service should
    /// wait for each other.
    ///
    /// # See also
    ///
    /// `deployment_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    title: "A newer deployment replaced the previous one",
    severity: Info,
    role: Note,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on fargate, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        roll_out(snapshot, 6, |_| ());
        let arn = snapshot.services[0].service_arn.clone();
        if let Some(all) = snapshot.service_deployments.change(&arn) {
            let before = ServiceDeployment {
                service_deployment_arn: all[0].service_deployment_arn.replace("deployment3", "deployment2b"),
                status: "STOPPED".into(),
                created_at: Some(minutes_ago(14)),
                started_at: Some(minutes_ago(14)),
                stopped_at: Some(minutes_ago(6)),
                ..all[0].clone()
            };
            all.insert(1, before);
        }
    },
}

/// How near the end of the one is to the beginning of the other.
const NEAR: SignedDuration = SignedDuration::from_secs(60);
/// After that nobody looks for it any more.
const NEWS: SignedDuration = SignedDuration::from_hours(2);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let [newest, before, ..] = patient.service_deployments()? else { return Ok(()) };
    let (Some(began), Some(ended)) = (newest.created_at, ended(before, newest)) else {
        return Ok(());
    };
    let is_news = rollout::is_under_way(newest) || age(patient.now(), began) < NEWS;
    if !is_news || began.duration_since(ended).abs() > NEAR {
        return Ok(());
    }
    let gone = findings.see(rollout::brings(patient, before)).flatten();
    let brings = findings.see(rollout::brings(patient, newest)).flatten();
    let after = before
        .created_at
        .map_or_else(String::new, |at| format!(", {} after it began", words(age(ended, at))));
    let instead = match (brings, gone) {
        (Some(brings), Some(gone)) if brings == gone => {
            "the same version, deployed again".to_owned()
        }
        (Some(brings), _) => rollout::short(brings).to_owned(),
        (None, _) => "the newer one".to_owned(),
    };
    let claim = format!(
        "{} was stopped {} ago{after}, because a newer deployment began: {instead}",
        rollout::name(before, gone),
        words(age(patient.now(), ended))
    );
    findings.add(
        Subject::new(Kind::Deployment, &before.service_deployment_arn)
            .sick(claim, rollout::evidence(before, "status", &before.status).at(Some(ended)))
            .because(rollout::evidence(newest, "createdAt", began).at(Some(began)))
            .mend(
                Remedy::new("Look at the newest deployment instead.")
                    .cli(rollout::see(patient, newest)),
            )
            .concerns_all(Kind::TaskDefinition, gone),
    );
    Ok(())
}

/// When it was stopped; one that is asked to stop ends now.
fn ended(before: &ServiceDeployment, newest: &ServiceDeployment) -> Option<Timestamp> {
    match before.status.as_str() {
        _ if before.rollback.is_some() => None,
        "STOPPED" => before.stopped_at.or(before.finished_at),
        "STOP_REQUESTED" => newest.created_at,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::snapshot::deployment::Rollback;
    use crate::testing::{exam, says};

    fn example(change: impl FnOnce(&mut [ServiceDeployment])) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        change(snapshot.service_deployments.change(&arn).unwrap());
        snapshot
    }

    #[test]
    fn says_what_took_its_place() {
        let expected = "The deployment of api:13 was stopped 6 min ago, 8 min after it began, because a newer deployment began: the same version, deployed again.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn a_deployment_that_a_person_stopped_was_not_replaced() {
        let snapshot = example(|all| all[1].stopped_at = Some(minutes_ago(9)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rollback_is_another_matter() {
        let snapshot = example(|all| all[1].rollback = Some(Rollback::default()));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let snapshot = example(|all| all[1].status = "ROLLBACK_SUCCESSFUL".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn one_that_is_being_stopped_counts() {
        let snapshot = example(|all| {
            all[1].status = "STOP_REQUESTED".into();
            all[1].stopped_at = None;
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn after_hours_it_is_history() {
        let snapshot = example(|all| {
            all[0].status = "SUCCESSFUL".into();
            all[0].created_at = Some(minutes_ago(180));
            all[1].stopped_at = Some(minutes_ago(180));
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
