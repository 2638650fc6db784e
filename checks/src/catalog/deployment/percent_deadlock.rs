//! Minimum and maximum percent leave a rolling deployment no room: it may start no task before it
//! stops one, and stop none before it starts one.

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::service::DeploymentConfiguration;

crate::check! {
    /// The percentages of the deployment configuration allow neither more tasks than there are nor
    /// fewer.
    ///
    /// # Why it matters
    ///
    /// The deployment does nothing at all, forever: no task of the new version starts, no old one
    /// stops, and there is no failure that the circuit breaker could count. It is an easy mistake:
    /// one task with 100 and 100.
    ///
    /// # How we tell
    ///
    /// A rolling deployment is under way and its new version has fewer tasks than desired; rounded
    /// as ECS does, down and up, `maximumPercent` allows no more tasks than desired and
    /// `minimumHealthyPercent` no fewer; and there are as many tasks as allowed. Or ECS says in a
    /// service event that the deployment configuration keeps it from starting and stopping tasks.
    /// Blue/green, linear and canary deployments start all new tasks beside the old ones, and a
    /// daemon service stops an old task before it starts the new one: neither counts.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration maximumPercent=200,minimumHealthyPercent=100
    /// ```
    ///
    /// Terraform/OpenTofu: `deployment_maximum_percent = 200` and
    /// `deployment_minimum_healthy_percent = 100` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "Minimum and maximum percent leave no room to start or stop a task",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on fargate, |snapshot| {
        snapshot.services[0].deployment_configuration.maximum_percent = Some(100);
        crate::baseline::roll_out(snapshot, 45, |deployment| {
            deployment.deployment_configuration.maximum_percent = Some(100);
            deployment.target_service_revision.iter_mut().for_each(|target| target.running_task_count = 0);
        });
        snapshot.services[0].deployments[0].running_count = 0;
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.scheduling_strategy.as_deref() == Some("DAEMON") {
        return Err(NoAnswer::NotApplicable(
            "a daemon service stops its old task before it starts the new one",
        ));
    }
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| deployment.status == "IN_PROGRESS")
    else {
        return Ok(());
    };
    let Some(primary) = service.primary() else {
        return Ok(());
    };
    let rolls = Strategy::of(&deployment.deployment_configuration) == Strategy::Rolling;
    if !rolls || primary.running_count >= service.desired_count {
        return Ok(());
    }
    let room = Room::of(&deployment.deployment_configuration, service.desired_count);
    let tasks: i32 = service
        .deployments
        .iter()
        .flat_map(|deployment| [deployment.running_count, deployment.pending_count])
        .fold(0, i32::saturating_add);
    let told = told(patient, deployment);
    if told.is_none() && !(room.is_none_left() && i64::from(tasks) >= room.most) {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let why = if room.is_none_left() {
        format!(
            "with {} desired, maximumPercent {} allows {} at most and minimumHealthyPercent {} requires {} at least",
            room.desired, room.maximum, room.most, room.minimum, room.least
        )
    } else {
        format!(
            "with maximumPercent {} and minimumHealthyPercent {} ECS says that it can do neither",
            room.maximum, room.minimum
        )
    };
    let claim = format!(
        "{} can neither start a new task nor stop an old one: {why}",
        rollout::name(deployment, brings)
    );
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, patient.evidence("desiredCount", service.desired_count))
            .because_all(percent(
                deployment,
                "deploymentConfiguration.maximumPercent",
                deployment.deployment_configuration.maximum_percent,
            ))
            .because_all(percent(
                deployment,
                "deploymentConfiguration.minimumHealthyPercent",
                deployment.deployment_configuration.minimum_healthy_percent,
            ))
            .because_all(told)
            .mend(remedy(patient))
            .since(rollout::started(deployment))
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

/// How many tasks there may be, at most and at least.
struct Room {
    desired: i64,
    maximum: i32,
    minimum: i32,
    most: i64,
    least: i64,
}

impl Room {
    /// Rounds as ECS does: the most down, the least up. The defaults are those of the API.
    fn of(configured: &DeploymentConfiguration, desired: i32) -> Room {
        let (maximum, minimum) = (
            configured.maximum_percent.unwrap_or(200),
            configured.minimum_healthy_percent.unwrap_or(100),
        );
        let desired = i64::from(desired.max(0));
        Room {
            desired,
            maximum,
            minimum,
            most: desired * i64::from(maximum) / 100,
            least: (desired * i64::from(minimum) + 99) / 100,
        }
    }

    fn is_none_left(&self) -> bool {
        self.desired > 0 && self.most <= self.desired && self.least >= self.desired
    }
}

fn percent(
    deployment: &ServiceDeployment,
    field: &'static str,
    value: Option<i32>,
) -> Option<Evidence> {
    value.map(|value| rollout::evidence(deployment, field, value))
}

/// ECS's own words for it, of this deployment and of the last hour.
fn told(patient: &Patient, deployment: &ServiceDeployment) -> Option<Evidence> {
    let from = rollout::started(deployment)?
        .max(time::before(patient.now(), SignedDuration::from_hours(1)));
    let mut events = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= from));
    let event = events.find(|event| event::read(&event.message) == Event::PercentDeadlock)?;
    Some(patient.evidence("events.message", &event.message).at(event.created_at))
}

fn remedy(patient: &Patient) -> Remedy {
    let configured = &patient.service().deployment_configuration;
    let room = DeploymentConfiguration {
        maximum_percent: Some(200),
        minimum_healthy_percent: Some(100),
        ..configured.clone()
    };
    Remedy::new(
        "Allow ECS to start new tasks before it stops the old ones. The command replaces the whole deployment configuration: add anything else that is set there, such as hooks.",
    )
    .cli(rollout::configure(patient, &room))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          deployment_maximum_percent         = 200
          deployment_minimum_healthy_percent = 100
        }"#,
        patient.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::snapshot::{ServiceEvent, Snapshot};
    use crate::testing::{exam, says};

    fn example(desired: i32, minimum: i32, maximum: i32) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let configured =
            &mut snapshot.service_deployments.change(&arn).unwrap()[0].deployment_configuration;
        (configured.minimum_healthy_percent, configured.maximum_percent) =
            (Some(minimum), Some(maximum));
        let service = &mut snapshot.services[0];
        (service.desired_count, service.deployments[1].running_count) = (desired, desired);
        snapshot
    }

    #[test]
    fn says_how_many_tasks_the_percentages_allow() {
        let expected = "The deployment of api:13 can neither start a new task nor stop an old one: with 1 desired, maximumPercent 100 allows 1 at most and \
                        minimumHealthyPercent 100 requires 1 at least.";
        assert_eq!(says(CHECK, &example(1, 100, 100)), [expected]);
    }

    #[test]
    fn percentages_round_as_ecs_rounds() {
        for (desired, minimum, maximum, sick) in [
            (3, 100, 125, true),
            (4, 100, 125, false),
            (2, 75, 100, true),
            (4, 75, 100, false),
            (1, 0, 100, false),
            (1, 100, 200, false),
            (1, 50, 150, true),
        ] {
            let found = exam(CHECK, &example(desired, minimum, maximum)).outcome == Outcome::Sick;
            assert_eq!(found, sick, "{desired} tasks, {minimum} to {maximum} %");
        }
    }

    #[test]
    fn with_a_task_missing_there_is_room() {
        let mut snapshot = example(3, 100, 100);
        snapshot.services[0].deployments[1].running_count = 2;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn only_a_rolling_deployment_under_way_needs_room() {
        let arn = example(1, 100, 100).services[0].service_arn.clone();
        let mut snapshot = example(1, 100, 100);
        snapshot.service_deployments.change(&arn).unwrap()[0].deployment_configuration.strategy =
            Some("BLUE_GREEN".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = example(1, 100, 100);
        snapshot.service_deployments.change(&arn).unwrap()[0].status = "SUCCESSFUL".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = example(1, 100, 100);
        snapshot.services[0].deployments[0].running_count = 1;
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "the new task runs: there was room"
        );
        let mut snapshot = example(1, 100, 100);
        snapshot.services[0].scheduling_strategy = Some("DAEMON".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn ecs_may_say_so_itself() {
        let mut snapshot = example(4, 75, 100);
        let message = "(service api) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the \
                       minimumHealthyPercent or maximumPercent value and try again.";
        let event = |minutes| ServiceEvent {
            id: "e".into(),
            created_at: Some(minutes_ago(minutes)),
            message: message.into(),
        };
        snapshot.services[0].events = vec![event(100)];
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "that was before this deployment"
        );
        snapshot.services[0].events = vec![event(10)];
        assert!(says(CHECK, &snapshot)[0].ends_with("ECS says that it can do neither."));
    }
}
