//! One task, or all tasks in one Availability Zone: nothing takes over if it fails. Nothing is
//! wrong yet.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::scaling;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::snapshot::Task;
use crate::{aws, hcl, words};

crate::check! {
    /// The service runs one task, or all of its tasks in one Availability Zone.
    ///
    /// # Why it matters
    ///
    /// Tasks stop: because of a crash, maintenance of the host by AWS or an outage of a zone. With
    /// one task, nothing answers until the next one runs and is healthy. For a worker that can
    /// wait, that is fine.
    ///
    /// # How we tell
    ///
    /// `desiredCount` is 1; or it is more, and every running task is in the same Availability Zone.
    /// A daemon service, a service at zero and a deployment of the last three minutes are skipped.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --desired-count 2
    /// aws application-autoscaling register-scalable-target --service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id service/<cluster>/<service> --min-capacity 2
    /// aws ecs update-service --cluster <cluster> --service <service> --availability-zone-rebalancing ENABLED
    /// aws ecs update-express-gateway-service --service-arn <arn> --scaling-target minTaskCount=2   # Express Mode
    /// ```
    ///
    /// Terraform/OpenTofu: `desired_count`, and subnets of two zones in `network_configuration`, of
    /// `aws_ecs_service`; `min_capacity` in `aws_appautoscaling_target`; `scaling_target` in
    /// `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `too_few_running`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "Nothing takes over if a task or its zone fails",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [DescribeServices, DescribeTasks, DescribeScalableTargets],
    example: on fargate, |snapshot| {
        let arn = snapshot.services[0].service_arn.clone();
        let service = &mut snapshot.services[0];
        (service.desired_count, service.running_count) = (1, 1);
        snapshot.running_tasks.change(&arn).into_iter().for_each(|tasks| tasks.truncate(1));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.scheduling_strategy.as_deref() == Some("DAEMON") {
        return Err(NoAnswer::NotApplicable("a daemon service runs one task per instance"));
    }
    match service.desired_count {
        0 => return Err(NoAnswer::NotApplicable("no task is desired")),
        1 => one_task(patient, findings),
        _ => one_zone(patient, findings)?,
    }
    Ok(())
}

fn one_task(patient: &Patient, findings: &mut Findings) {
    let configuration = &patient.service().deployment_configuration;
    let mut finding = patient.subject().sick(
        "one task is desired: if it stops, the service is down until a replacement runs",
        patient.evidence("desiredCount", 1),
    );
    // With one task and no room above it, ECS must stop the old task before it starts the new one.
    if let (Some(100), Some(minimum @ 0..=99)) =
        (configuration.maximum_percent, configuration.minimum_healthy_percent)
    {
        finding = finding
            .detail("Each deployment stops it first, too, because maximumPercent is 100.")
            .because(patient.evidence("deploymentConfiguration.maximumPercent", 100))
            .because(patient.evidence("deploymentConfiguration.minimumHealthyPercent", minimum));
    }
    let summary =
        "Run two tasks in two Availability Zones, unless the service may be down for a while.";
    let remedy = if patient.is_express() {
        Remedy::new(summary)
            .cli(aws!(
                "ecs update-express-gateway-service --service-arn {} \
                 --scaling-target minTaskCount=2",
                patient.arn()
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_express_gateway_service" {} {
                  scaling_target {
                    min_task_count = 2
                  }
                }"#,
                patient.name()
            ))
    } else if findings
        .see(scaling::target(patient))
        .flatten()
        .is_some_and(|target| target.min_capacity < 2)
    {
        // Auto scaling removes a second task again, if its minimum is less.
        Remedy::new(summary)
            .cli(scaling::register(patient, words!("--min-capacity 2")))
            .terraform(scaling::terraform(patient, hcl!("min_capacity = 2")))
    } else {
        Remedy::new(summary)
            .cli(patient.update_service().and(words!("--desired-count 2")))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_service" {} {
                  desired_count = 2
                }"#,
                patient.name()
            ))
    };
    findings.add(finding.mend(remedy));
}

fn one_zone(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let running: Vec<&Task> =
        patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING").collect();
    let zones: BTreeSet<Option<&str>> =
        running.iter().map(|task| task.availability_zone.as_deref()).collect();
    let zones: Vec<Option<&str>> = zones.into_iter().collect();
    // A task without a zone may be in any.
    let [Some(zone)] = zones.as_slice() else { return Ok(()) };
    if running.len() < 2 || rollout::just_began(patient) {
        return Ok(());
    }
    let claim = format!(
        "all {} running tasks are in Availability Zone {zone}: if it fails, the service is down until replacements run elsewhere",
        running.len()
    );
    let in_zone =
        |task: &&Task| Evidence::new(Call::DescribeTasks, &task.task_arn, "availabilityZone", zone);
    let remedy = Remedy::new(
        "Give the service subnets in two Availability Zones; if it has them, have ECS rebalance the tasks.",
    )
    .cli(patient.update_service().and(words!("--availability-zone-rebalancing ENABLED")))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          availability_zone_rebalancing = "ENABLED"
          network_configuration {
            subnets = var.subnets_in_two_zones
          }
        }"#,
        patient.name()
    ));
    let first = patient.evidence("desiredCount", patient.service().desired_count);
    findings.add(
        patient.subject().sick(claim, first).because_all(running.iter().map(in_zone)).mend(remedy),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::{Service, Snapshot};
    use crate::testing::{exam, says};

    fn with(change: impl FnOnce(&mut Service, &mut Vec<Task>)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let Snapshot { services, running_tasks, .. } = &mut snapshot;
        change(&mut services[0], running_tasks.change(&arn).unwrap());
        snapshot
    }

    #[test]
    fn two_tasks_in_one_zone_fall_together() {
        let snapshot =
            with(|_, tasks| tasks[1].availability_zone = tasks[0].availability_zone.clone());
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "All 2 running tasks are in Availability Zone eu-west-2a: if it fails, the service is down until replacements run elsewhere."
            ]
        );
    }

    #[test]
    fn a_zone_that_is_not_told_is_no_zone() {
        assert!(says(CHECK, &with(|_, tasks| tasks[1].availability_zone = None)).is_empty());
        assert!(
            says(
                CHECK,
                &with(|_, tasks| tasks.iter_mut().for_each(|task| task.availability_zone = None))
            )
            .is_empty()
        );
    }

    #[test]
    fn one_of_two_that_runs_is_not_all_in_one_zone() {
        assert!(says(CHECK, &with(|_, tasks| tasks.truncate(1))).is_empty());
        assert!(says(CHECK, &with(|_, tasks| tasks[1].last_status = "PENDING".into())).is_empty());
    }

    #[test]
    fn a_deployment_that_just_began_has_not_spread_yet() {
        let snapshot = with(|service, tasks| {
            service.deployments[0].created_at = Some(minutes_ago(1));
            tasks[1].availability_zone = tasks[0].availability_zone.clone();
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_second_task_of_a_deployment_does_not_make_it_two() {
        assert_eq!(says(CHECK, &with(|service, _| service.desired_count = 1)).len(), 1);
    }

    #[test]
    fn says_if_each_deployment_stops_the_only_task_first() {
        let snapshot = with(|service, _| {
            service.desired_count = 1;
            service.deployment_configuration.maximum_percent = Some(100);
            service.deployment_configuration.minimum_healthy_percent = Some(0);
        });
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("Each deployment stops it first, too, because maximumPercent is 100.")
        );
    }

    #[test]
    fn where_auto_scaling_would_take_it_away_again_the_minimum_is_raised() {
        let command = |minimum: i32| {
            let mut snapshot = with(|service, _| service.desired_count = 1);
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.scalable_targets.change(&arn).unwrap().min_capacity = minimum;
            exam(CHECK, &snapshot).findings.remove(0).remedy.shell().remove(0)
        };
        assert!(command(1).ends_with("--min-capacity 2"));
        assert!(command(2).ends_with("--desired-count 2"));
    }

    #[test]
    fn a_daemon_and_a_service_at_zero_are_left_alone() {
        let daemon = with(|service, _| {
            (service.desired_count, service.scheduling_strategy) = (1, Some("DAEMON".into()))
        });
        let zero = with(|service, _| service.desired_count = 0);
        for snapshot in [daemon, zero] {
            assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        }
    }
}
