//! Express Mode has the canary strategy and no other. A note for the moment when that matters: a
//! deployment takes long, or its alarm rolled it back.

use jiff::SignedDuration;

use crate::aws::time::{age, minutes, words};
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::facts::inbound::traffic::percent_words;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::service::DeploymentConfiguration;

crate::check! {
    /// The strategy of an Express service cannot be changed: it is always a canary.
    ///
    /// # Why it matters
    ///
    /// A canary needs traffic to evaluate and time to bake. A small service has neither, and there
    /// is no setting for another strategy.
    ///
    /// # How we tell
    ///
    /// The service is an Express one, and its newest deployment has been under way for more than 25
    /// minutes, twice as long as usual, or an alarm rolled it back.
    ///
    /// # What to do
    ///
    /// The bake times can be changed; sources differ on whether each Express service accepts it.
    /// The command replaces the whole structure:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration '{"strategy":"CANARY","bakeTimeInMinutes":1,…}'
    /// ```
    ///
    /// For another strategy, recreate it as an ordinary service. Terraform/OpenTofu:
    /// `deployment_configuration { strategy = "ROLLING" }` of `aws_ecs_service`;
    /// `aws_ecs_express_gateway_service` has no argument for it.
    ///
    /// # See also
    ///
    /// `canary_starved_of_traffic`, `alarm_counts_client_errors`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-work.html>
    title: "Express Mode allows no other deployment strategy",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on express, |snapshot| {
        *snapshot = (super::canary_starved_of_traffic::CHECK.example)();
    },
}

/// Twice what a deployment of Express Mode usually takes.
const LONG: SignedDuration = SignedDuration::from_mins(25);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !patient.is_express() {
        return Err(NoAnswer::NotApplicable("not an Express service"));
    }
    let Some(deployment) = rollout::newest(patient)? else { return Ok(()) };
    let began = rollout::started(deployment);
    let long = rollout::is_under_way(deployment)
        && began.is_some_and(|began| age(patient.now(), began) > LONG);
    if !long && !alarm_sent_it_back(deployment) {
        return Ok(());
    }
    let configured = &deployment.deployment_configuration;
    let Some(strategy) = configured.strategy.as_deref() else { return Ok(()) };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let claim = format!(
        "Express Mode deploys by {} only{}; no other strategy is available",
        strategy.to_ascii_lowercase(),
        shape(configured)
    );
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "deploymentConfiguration.strategy", strategy))
            .because(patient.evidence("resourceManagementType", "ECS"))
            .mend(Remedy::new("Shorten the bake times, or send the canary some traffic. For another strategy, recreate it as an ordinary service."))
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

fn alarm_sent_it_back(deployment: &ServiceDeployment) -> bool {
    let fired = deployment.alarms.as_ref().is_some_and(|alarms| {
        alarms.status.as_deref() == Some("TRIGGERED") || !alarms.triggered_alarm_names.is_empty()
    });
    fired && rollback::began(deployment)
}

/// `, with 5 % of the traffic for 3 min and all of it for 3 min`
fn shape(configured: &DeploymentConfiguration) -> String {
    let (Some(percent), Some(canary), Some(bake)) = (
        configured.canary_percent,
        configured.canary_bake_time_in_minutes,
        configured.bake_time_in_minutes,
    ) else {
        return String::new();
    };
    format!(
        ", with {} of the traffic for {} and all of it for {}",
        percent_words(percent),
        words(minutes(canary)),
        words(minutes(bake))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn under_way(minutes: i64) -> Snapshot {
        let mut snapshot = baseline::express();
        roll_out(&mut snapshot, minutes, |deployment| deployment.updated_at = Some(minutes_ago(1)));
        snapshot
    }

    #[test]
    fn tells_the_shape_of_the_canary() {
        let expected = "Express Mode deploys by canary only, with 5 % of the traffic for 3 min and all of it for 3 min; no other strategy is available.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
    }

    #[test]
    fn a_deployment_of_the_usual_length_needs_no_such_note() {
        assert_eq!(exam(CHECK, &under_way(12)).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &under_way(26)).outcome, Outcome::Sick);
    }

    #[test]
    fn an_alarm_that_sent_it_back_makes_it_worth_saying() {
        assert_eq!(
            exam(CHECK, &(super::super::alarm_rolled_back::CHECK.example)()).outcome,
            Outcome::Sick
        );
        let mut by_breaker = baseline::express();
        roll_out(&mut by_breaker, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into()
        });
        assert_eq!(exam(CHECK, &by_breaker).outcome, Outcome::Healthy);
    }

    #[test]
    fn other_services_choose() {
        assert_eq!(
            exam(CHECK, &baseline::fargate()).outcome,
            Outcome::NotApplicable("not an Express service")
        );
    }
}
