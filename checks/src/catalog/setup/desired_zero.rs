//! The service is scaled to zero though a balancer sends it traffic. That may be meant, by a schedule for instance; it
//! is why nothing answers all the same.

use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::reading::traffic;

crate::check! {
    /// The service wants no tasks, and has a load balancer that clients come to.
    ///
    /// # Why it matters
    ///
    /// The balancer has no target and answers every request with 503. ECS calls the deployment completed all the same:
    /// none of no tasks is missing. Auto scaling does not bring it back either, for without a task there is no CPU or memory to measure.
    ///
    /// # How we tell
    ///
    /// `desiredCount` and `runningCount` are 0, and the service has a target group. A service without one, such as a worker, is
    /// left alone: nobody waits for it. Whether somebody, a schedule or auto scaling set it to 0 is not in the snapshot.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --desired-count 1
    /// aws ecs update-express-gateway-service --service-arn <arn> --scaling-target minTaskCount=1   # Express Mode
    /// ```
    ///
    /// and, so that it does not fall to 0 again, a minimum of 1 in auto scaling. Terraform/OpenTofu: `desired_count` in
    /// `aws_ecs_service`, `min_capacity` in `aws_appautoscaling_target`, `scaling_target` in
    /// `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `target_group_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "The service is scaled to zero",
    severity: High,
    role: Cause,
    explains: [NoTarget],
    reads: [DescribeServices, DescribeServiceRevisions],
    example: on express, |snapshot| {
        let service = &mut snapshot.services[0];
        (service.desired_count, service.running_count) = (0, 0);
        (service.deployments[0].desired_count, service.deployments[0].running_count) = (0, 0);
        let arn = service.service_arn.clone();
        snapshot.running_tasks.put(&arn, Vec::new());
        snapshot.target_health.put(&crate::baseline::express_groups()[0], Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.status != "ACTIVE" {
        return Err(NoAnswer::NotApplicable("the service is not active"));
    }
    if service.scheduling_strategy.as_deref() == Some("DAEMON") {
        return Err(NoAnswer::NotApplicable("a daemon service runs one task an instance"));
    }
    if traffic::groups(patient)?.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    if service.desired_count != 0 || service.running_count != 0 {
        return Ok(());
    }
    let completed =
        service.deployments.iter().find(|deployment| deployment.status == "PRIMARY" && deployment.rollout_state.as_deref() == Some("COMPLETED"));
    let mut says = "The service is scaled to 0 tasks, so its load balancer has nowhere to send a request.".to_owned();
    if completed.is_some() {
        says.push_str(" ECS calls the deployment completed all the same.");
    }
    findings.add(
        patient
            .subject()
            .sick(says, patient.evidence("desiredCount", 0))
            .because(patient.evidence("runningCount", 0))
            .because_all(completed.map(|_| patient.evidence("deployments.rolloutState", "COMPLETED")))
            .mend(remedy(patient)),
    );
    Ok(())
}

fn remedy(patient: &Patient) -> Remedy {
    let name = patient.name();
    let remedy = Remedy::new(
        "If a schedule or a person meant it, leave it. If not, ask for a task again, and for a minimum of 1 in auto scaling, if it has one: from 0 \
         tasks it likely does not come back by itself, for there is nothing to measure.",
    );
    if patient.is_express() {
        let code = format!("resource \"aws_ecs_express_gateway_service\" \"{name}\" {{\n  scaling_target {{\n    min_task_count = 1\n  }}\n}}");
        remedy.cli(format!("aws ecs update-express-gateway-service --service-arn {} --scaling-target minTaskCount=1", patient.arn())).terraform(code)
    } else {
        let resource = crate::call::quote(&format!("service/{}/{name}", patient.cluster()));
        remedy
            .cli(format!("aws ecs update-service {} --desired-count 1", patient.cli()))
            .cli(format!("aws application-autoscaling describe-scheduled-actions --service-namespace ecs --resource-id {resource}"))
            .cli(format!(
                "aws application-autoscaling register-scalable-target --service-namespace ecs --scalable-dimension ecs:service:DesiredCount \
                 --resource-id {resource} --min-capacity 1"
            ))
            .terraform(format!("resource \"aws_ecs_service\" \"{name}\" {{\n  desired_count = 1\n}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn at_zero(mut snapshot: Snapshot) -> Snapshot {
        (snapshot.services[0].desired_count, snapshot.services[0].running_count) = (0, 0);
        snapshot
    }

    #[test]
    fn says_that_a_completed_deployment_means_nothing_here() {
        assert_eq!(
            says(CHECK, &at_zero(baseline::fargate())),
            [
                "The service is scaled to 0 tasks, so its load balancer has nowhere to send a request. ECS calls the deployment completed all the same."
            ]
        );
    }

    #[test]
    fn a_worker_at_zero_keeps_nobody_waiting() {
        assert_eq!(exam(CHECK, &at_zero(baseline::worker())).outcome, Outcome::NotApplicable("no load balancer"));
    }

    #[test]
    fn the_last_tasks_may_still_be_leaving() {
        let mut snapshot = at_zero(baseline::fargate());
        snapshot.services[0].running_count = 1;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_deleted_service_and_a_daemon_without_instances_are_another_matter() {
        let mut draining = at_zero(baseline::fargate());
        draining.services[0].status = "DRAINING".into();
        let mut daemon = at_zero(baseline::ec2());
        daemon.services[0].scheduling_strategy = Some("DAEMON".into());
        for snapshot in [draining, daemon] {
            assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        }
    }

    #[test]
    fn is_why_the_group_is_empty() {
        let (snapshot, intent) = ((CHECK.example)(), Intent::default());
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = &diagnosis.roots[0];
        assert_eq!(root.check.id(), CHECK.id());
        assert!(root.explains.iter().any(|node| node.check.id() == "target_group_empty"));
    }
}
