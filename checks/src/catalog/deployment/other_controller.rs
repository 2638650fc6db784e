//! CodeDeploy or an external controller deploys this service, so the other checks of this group do
//! not apply. A note that says so, with the state of the controller's task sets.

use crate::aws;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::service::TaskSet;

crate::check! {
    /// CodeDeploy or an external controller runs the service's deployments.
    ///
    /// # Why it matters
    ///
    /// ECS has no service deployments, no circuit breaker, no rollback alarms and no stages for it:
    /// their absence here says nothing. The state of a deployment is known to the controller only.
    ///
    /// # How we tell
    ///
    /// `deploymentController.type` is `CODE_DEPLOY` or `EXTERNAL`. The service has task sets
    /// instead of deployments.
    ///
    /// # What to do
    ///
    /// Query the controller:
    ///
    /// ```sh
    /// aws ecs describe-task-sets --cluster <cluster> --service <service>
    /// aws deploy get-deployment --deployment-id <id>
    /// ```
    ///
    /// Terraform/OpenTofu: `deployment_controller { type = "ECS" }` of `aws_ecs_service` would make
    /// ECS deploy it, blue/green included; changing it creates a new service.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    title: "CodeDeploy or an external controller deploys the service",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        crate::baseline::hand_over(snapshot, "CODE_DEPLOY");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if rollout::ecs_controls(patient) {
        return Ok(());
    }
    let Some(controller) = &service.deployment_controller else { return Ok(()) };
    let who = if controller == "CODE_DEPLOY" { "CodeDeploy" } else { "an external controller" };
    let sets: Vec<String> = service.task_sets.iter().map(words).collect();
    let sets = if sets.is_empty() { String::new() } else { format!("{}.", sets.join("; ")) };
    let claim = format!(
        "{who} deploys this service, so there is no ECS circuit breaker, rollback alarm or lifecycle stage to check"
    );
    let remedy = Remedy::new("Check the state of the deployment in its controller.")
        .cli(aws!("ecs describe-task-sets").and(patient.cli()));
    let ids = service
        .task_sets
        .iter()
        .filter(|_| controller == "CODE_DEPLOY")
        .filter_map(|set| set.external_id.as_deref());
    let remedy = ids.fold(remedy, |remedy, id| {
        remedy.cli(aws!("deploy get-deployment --deployment-id {}", id))
    });
    findings.add(
        patient
            .subject()
            .sick(claim, patient.evidence("deploymentController", controller))
            .detail(sets)
            .because_all(service.task_sets.iter().filter_map(|set| {
                Some(patient.evidence("taskSets.stabilityStatus", set.stability_status.as_ref()?))
            }))
            .mend(remedy),
    );
    Ok(())
}

/// `The PRIMARY task set runs 2 of 2 tasks of api:12 (STEADY_STATE)`
fn words(set: &TaskSet) -> String {
    let version = set
        .task_definition
        .as_deref()
        .map_or(String::new(), |definition| format!(" of {}", rollout::short(definition)));
    let state =
        set.stability_status.as_deref().map_or(String::new(), |state| format!(" ({state})"));
    format!(
        "The {} task set runs {} of {} tasks{version}{state}",
        set.status, set.running_count, set.computed_desired_count
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::testing::{exam, says};

    #[test]
    fn says_who_deploys_and_what_runs() {
        let expected = "CodeDeploy deploys this service, so there is no ECS circuit breaker, rollback alarm or lifecycle stage to check. The PRIMARY task set runs 2 of 2 \
                        tasks of api:12 (STEADY_STATE).";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
        assert!(
            exam(CHECK, &(CHECK.example)()).findings[0].remedy.shell()[1]
                .ends_with("--deployment-id d-ABCDEF123")
        );
    }

    #[test]
    fn an_external_controller_has_no_codedeploy() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].deployment_controller = Some("EXTERNAL".into());
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings[0].says().starts_with("An external controller"));
        assert_eq!(exam.findings[0].remedy.commands.len(), 1);
    }

    #[test]
    fn ecs_is_the_default() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].deployment_controller = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn it_is_a_note_and_leaves_a_healthy_service_healthy() {
        use crate::diagnosis::{Verdict, diagnose};
        use crate::patient::Intent;
        let snapshot = (CHECK.example)();
        let diagnosis =
            diagnose(&Patient::new(&snapshot, &snapshot.services[0], &Intent::default()));
        assert!(diagnosis.verdict >= Verdict::AtRisk, "{:?}", diagnosis.roots);
        assert!(diagnosis.notes.iter().any(|note| note.check.id() == "other_controller"));
    }
}
