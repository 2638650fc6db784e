//! A newer revision of the task definition is registered than any that is deployed. A note: it may
//! be intended for something else, but it is the first place to look when a change does not show.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::parsed;
use crate::words;

crate::check! {
    /// Somebody registered a newer revision of the service's task definition, and nobody deployed
    /// it.
    ///
    /// # Why it matters
    ///
    /// "The change is in the task definition, why does the service not have it?" A service runs the
    /// revision that it was told to run, not the newest.
    ///
    /// # How we tell
    ///
    /// The newest active revision of the family has a higher number than those of the service's
    /// deployments and of its newest service deployment, whatever its outcome. One-off tasks and
    /// other pipelines may register revisions for themselves, and Express Mode registers its own:
    /// it need not mean anything.
    ///
    /// # What to do
    ///
    /// If it is intended for the service:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --task-definition <family>
    /// ```
    ///
    /// Terraform/OpenTofu: `task_definition = aws_ecs_task_definition.this.arn` of
    /// `aws_ecs_service`, without `ignore_changes` for it.
    ///
    /// # See also
    ///
    /// `tag_moved`, `deployment_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    title: "A newer task definition exists and is not deployed",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, ListTaskDefinitions],
    example: on fargate, |snapshot| {
        let newest = crate::baseline::id::ecs("task-definition/api:14");
        snapshot.newest_revisions.change("api").into_iter().for_each(|family| family.task_definition_arns = vec![newest.clone()]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let Some(serves) = service.primary_definition() else { return Ok(()) };
    let Some((family, runs)) = revision(serves) else { return Ok(()) };
    let Some(newest) =
        patient.newest_revisions(family)?.and_then(|family| family.task_definition_arns.first())
    else {
        return Ok(());
    };
    let Some((_, number)) = revision(newest).filter(|(of, _)| *of == family) else { return Ok(()) };
    // The newest deployment may have failed and gone: its version was deployed all the same.
    let tried = match rollout::newest(patient)? {
        Some(deployment) => rollout::brings(patient, deployment)?,
        None => None,
    };
    let deployed = service.definitions().chain(tried);
    if deployed.filter_map(revision).any(|(_, deployed)| deployed >= number) {
        return Ok(());
    }
    let claim = format!(
        "{family}:{number} is registered and not deployed; the service runs {family}:{runs}"
    );
    let remedy = Remedy::new(
        "If it is intended for this service, deploy it; if it was made for something else, ignore this.",
    );
    let remedy = if patient.is_express() {
        remedy
    } else {
        remedy.cli(patient.update_service().and(words!("--task-definition {}:{}", family, number)))
    };
    let whose = match service.primary() {
        Some(_) => "deployments.taskDefinition",
        None => "taskSets.taskDefinition",
    };
    findings.add(
        Subject::new(Kind::TaskDefinition, newest)
            .sick(
                claim,
                Evidence::new(Call::ListTaskDefinitions, family, "taskDefinitionArns", newest),
            )
            .named()
            .because(patient.evidence(whose, serves))
            .mend(remedy)
            .concerns(Kind::TaskDefinition, newest),
    );
    Ok(())
}

/// `arn:…:task-definition/api:12` → (`api`, 12).
fn revision(arn: &str) -> Option<(&str, u32)> {
    let (family, number) = rollout::short(arn).split_once(':')?;
    Some((family, parsed(number)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn newest(snapshot: &mut Snapshot, number: u32) {
        snapshot.newest_revisions.change("api").unwrap().task_definition_arns =
            vec![id::ecs(&format!("task-definition/api:{number}"))];
    }

    #[test]
    fn says_what_is_registered_and_what_runs() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            ["api:14 is registered and not deployed; the service runs api:12."]
        );
    }

    #[test]
    fn numbers_are_not_letters() {
        let mut snapshot = baseline::fargate();
        newest(&mut snapshot, 9);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        newest(&mut snapshot, 100);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn a_version_that_is_being_deployed_or_failed_was_deployed() {
        for status in ["IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "STOPPED"] {
            let mut snapshot = baseline::fargate();
            roll_out(&mut snapshot, 10, |deployment| deployment.status = status.into());
            newest(&mut snapshot, 13);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{status}");
            newest(&mut snapshot, 14);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "{status}");
        }
    }

    #[test]
    fn a_deployment_that_cannot_be_seen_may_have_brought_it() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.insert(arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
