//! The service is being deleted, or was. Everything else about it follows from that.

use crate::aws;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::scaling::tasks;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::plural;

crate::check! {
    /// Somebody deleted the service: ECS no longer starts tasks for it, and still shows it for a
    /// while.
    ///
    /// # Why it matters
    ///
    /// If that was intended, all is well, and what still points to it (listener rules, alarms, DNS
    /// names) should be cleaned up. If not, it must be recreated: a deleted service cannot be
    /// restored.
    ///
    /// # How we tell
    ///
    /// `status` is `DRAINING` (deleted, and tasks are still stopping) or `INACTIVE` (deleted, and
    /// all are gone).
    ///
    /// # What to do
    ///
    /// Once it is `INACTIVE`, the name is free again:
    ///
    /// ```sh
    /// aws ecs create-service --cluster <cluster> --service-name <service> --cli-input-json file://service.json
    /// ```
    ///
    /// Terraform/OpenTofu: `terraform apply -replace=aws_ecs_service.<name>`, or remove the
    /// resource.
    ///
    /// # See also
    ///
    /// `deletion_stuck`, `desired_zero`, `target_group_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html>
    title: "The service is deleted",
    severity: Medium,
    role: Cause,
    shows: Deleted,
    explains: [NoTarget],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        let service = &mut snapshot.services[0];
        service.status = "DRAINING".into();
        (service.desired_count, service.running_count) = (0, 1);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let claim = match service.status.as_str() {
        "DRAINING" if service.running_count > 0 => {
            let tasks = tasks(service.running_count);
            let verb = plural(service.running_count, "is", "are");
            format!(
                "the service is being deleted: {tasks} {verb} still running, and no new ones start"
            )
        }
        "DRAINING" => {
            "the service is being deleted: its last tasks are gone, and no new ones start".to_owned()
        }
        "INACTIVE" => {
            "the service was deleted: it has no tasks and starts none; ECS still shows it for a while"
                .to_owned()
        }
        _ => return Ok(()),
    };
    let remedy = Remedy::new(
        "If that was intended, remove what still points to it, such as listener rules. If not, recreate it once it is INACTIVE: it cannot be restored.",
    )
    .cli(aws!(
        "ecs create-service --cluster {} --service-name {} --cli-input-json file://service.json",
        patient.cluster(),
        patient.name()
    ));
    findings.add(
        patient
            .subject()
            .sick(claim, patient.evidence("status", &service.status))
            .because(patient.evidence("runningCount", service.running_count))
            .mend(remedy),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::diagnosis::diagnose;
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;
    use crate::testing::says;

    fn with(status: &str, running: i32) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let service = &mut snapshot.services[0];
        service.status = status.into();
        (service.desired_count, service.running_count) = (0, running);
        snapshot
    }

    #[test]
    fn says_how_far_it_is() {
        assert_eq!(
            says(CHECK, &with("DRAINING", 2)),
            ["The service is being deleted: 2 tasks are still running, and no new ones start."]
        );
        assert_eq!(
            says(CHECK, &with("DRAINING", 1)),
            ["The service is being deleted: 1 task is still running, and no new ones start."]
        );
        assert!(says(CHECK, &with("INACTIVE", 0))[0].starts_with("The service was deleted"));
    }

    #[test]
    fn an_active_service_at_zero_is_not_deleted() {
        assert!(says(CHECK, &with("ACTIVE", 0)).is_empty());
    }

    #[test]
    fn is_why_nothing_is_left_for_the_traffic() {
        let mut snapshot = with("INACTIVE", 0);
        snapshot.target_health.put(baseline::id::group("api"), Vec::new());
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = &diagnosis.roots[0];
        assert_eq!(
            (root.check.id(), root.explains[0].check.id()),
            (CHECK.id(), "target_group_empty")
        );
    }
}
