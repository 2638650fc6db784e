//! Neither the circuit breaker nor an alarm would stop a failing deployment. A risk: it is about
//! the next deployment, not about the one that runs.

use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::Remedy;
use crate::hcl;
use crate::patient::Patient;
use crate::snapshot::service::{CircuitBreaker, DeploymentConfiguration};

crate::check! {
    /// The deployment circuit breaker is off, and no alarm would roll a deployment back.
    ///
    /// # Why it matters
    ///
    /// ECS keeps starting tasks of a broken version, for hours or days, and the deployment stays
    /// `IN_PROGRESS`. Nobody is notified, and you have to roll back yourself.
    ///
    /// # How we tell
    ///
    /// `deploymentCircuitBreaker.enable` of the service is false, which is the default, and there
    /// is no deployment alarm that is enabled and rolls back. Services that CodeDeploy or an
    /// external controller deploys are skipped: they cannot have the circuit breaker.
    ///
    /// # What to do
    ///
    /// Turn on the circuit breaker, with rollback. The command replaces the whole deployment
    /// configuration:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration \
    ///   '{"deploymentCircuitBreaker":{"enable":true,"rollback":true},"maximumPercent":200,"minimumHealthyPercent":100}'
    /// ```
    ///
    /// Terraform/OpenTofu: `deployment_circuit_breaker { enable = true rollback = true }` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    title: "The circuit breaker is off, and no alarm rolls back",
    severity: Low,
    role: Risk,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        let off = CircuitBreaker { enable: false, rollback: false, reset_on_healthy_task: None };
        snapshot.services[0].deployment_configuration.deployment_circuit_breaker = Some(off);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let configured = &patient.service().deployment_configuration;
    let breaker = configured.deployment_circuit_breaker.as_ref();
    let alarms =
        configured.alarms.as_ref().filter(|alarms| alarms.enable && !alarms.alarm_names.is_empty());
    if breaker.is_some_and(|breaker| breaker.enable) || alarms.is_some_and(|alarms| alarms.rollback)
    {
        return Ok(());
    }
    let claim = match alarms {
        Some(alarms) => format!(
            "the deployment circuit breaker is off, and alarm {} ends a deployment without a rollback: a failing version stays",
            alarms.alarm_names.join(", ")
        ),
        None => "the deployment circuit breaker is off and no alarm is configured: ECS retries a failing version indefinitely".to_owned(),
    };
    let evidence = match breaker {
        Some(breaker) => patient
            .evidence("deploymentConfiguration.deploymentCircuitBreaker.enable", breaker.enable),
        None => patient.evidence("deploymentConfiguration.deploymentCircuitBreaker", "null"),
    };
    let rolls_back = alarms
        .map(|alarms| patient.evidence("deploymentConfiguration.alarms.rollback", alarms.rollback));
    let on = CircuitBreaker {
        enable: true,
        rollback: true,
        reset_on_healthy_task: breaker.and_then(|breaker| breaker.reset_on_healthy_task),
    };
    let configured =
        DeploymentConfiguration { deployment_circuit_breaker: Some(on), ..configured.clone() };
    let remedy = Remedy::new(
        "Turn on the circuit breaker, with rollback. The command replaces the whole deployment configuration: add anything else that is set there, such as hooks.",
    )
    .cli(rollout::configure(patient, &configured))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          deployment_circuit_breaker {
            enable   = true
            rollback = true
          }
        }"#,
        patient.name()
    ));
    findings.add(patient.subject().sick(claim, evidence).because_all(rolls_back).mend(remedy));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::snapshot::service::DeploymentAlarms;
    use crate::testing::{exam, says};

    fn with_alarms(enable: bool, rollback: bool) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_configuration.alarms =
            Some(DeploymentAlarms { alarm_names: vec!["errors".into()], enable, rollback });
        snapshot
    }

    #[test]
    fn an_alarm_that_rolls_back_is_enough() {
        assert_eq!(exam(CHECK, &with_alarms(true, true)).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_alarm_that_is_off_or_does_not_roll_back_is_not() {
        assert!(says(CHECK, &with_alarms(false, true))[0].contains("no alarm is configured"));
        assert!(
            says(CHECK, &with_alarms(true, false))[0]
                .contains("alarm errors ends a deployment without a rollback")
        );
    }

    #[test]
    fn a_breaker_without_rollback_still_stops_a_failing_deployment() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_configuration.deployment_circuit_breaker =
            Some(CircuitBreaker { enable: true, rollback: false, reset_on_healthy_task: None });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_breaker_never_set_is_off() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_configuration.deployment_circuit_breaker = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn codedeploy_and_external_controllers_have_no_breaker() {
        for controller in ["CODE_DEPLOY", "EXTERNAL"] {
            let mut snapshot = (CHECK.example)();
            snapshot.services[0].deployment_controller = Some(controller.into());
            assert_eq!(
                exam(CHECK, &snapshot).outcome,
                Outcome::NotApplicable(rollout::OTHER_CONTROLLER)
            );
        }
    }

    #[test]
    fn the_command_keeps_what_was_configured() {
        let command = &exam(CHECK, &with_alarms(true, false)).findings[0].remedy.shell()[0];
        for part in [
            r#""maximumPercent":200"#,
            r#""minimumHealthyPercent":100"#,
            r#""strategy":"ROLLING""#,
            r#""alarmNames":["errors"]"#,
        ] {
            assert!(command.contains(part), "{command} has no {part}");
        }
        assert!(
            command.contains(r#""deploymentCircuitBreaker":{"enable":true,"rollback":true}"#),
            "{command}"
        );
    }
}
