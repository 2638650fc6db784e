//! AWS replaced tasks to maintain the infrastructure under them. The note keeps users from looking
//! for a crash.

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::Task;

crate::check! {
    /// AWS stopped tasks to maintain the infrastructure under them, and started replacements.
    ///
    /// # Why it matters
    ///
    /// A task that ran for weeks is suddenly gone, without a deployment or an error. That is
    /// normal, unless it was the only one.
    ///
    /// # How we tell
    ///
    /// A task stopped within the hour because "ECS is performing maintenance on the underlying
    /// infrastructure", or with the stop code `InfrastructureHealth`.
    ///
    /// # What to do
    ///
    /// Nothing. With two tasks in two Availability Zones, there is no impact; AWS announces planned
    /// retirements in the AWS Health Dashboard.
    ///
    /// ```sh
    /// aws ecs describe-tasks --cluster <cluster> --tasks <task>
    /// ```
    ///
    /// Terraform/OpenTofu: `desired_count = 2` of `aws_ecs_service`, if it was the only one.
    ///
    /// # See also
    ///
    /// `single_task`, `normal_stops`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-maintenance.html>
    title: "AWS replaced tasks for maintenance",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeTasks],
    example: on worker, |snapshot| {
        crate::baseline::stop_tasks(snapshot, 1, |task| {
            task.stop_code = Some("ServiceSchedulerInitiated".into());
            task.stopped_reason = Some("Service mailer: ECS is performing maintenance on the underlying infrastructure hosting the task.".into());
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let recent = |task: &&Task| task.stopped_at.is_some_and(|at| at >= hour_ago);
    let stopped: Vec<&Task> = patient
        .stopped_tasks()?
        .iter()
        .filter(recent)
        .filter(|task| StopKind::of(task) == StopKind::Maintenance)
        .collect();
    let Some(newest) = stopped.first() else { return Ok(()) };
    let claim = format!(
        "AWS stopped {} for maintenance {}, which is normal: ECS starts replacements",
        crate::text::count(stopped.len(), "task"),
        stop::when(patient.now(), &stopped)
    );
    let see = patient.see(Call::DescribeTasks, newest.id());
    findings.add(
        patient.subject().sick(claim, stop::evidence(newest)).mend(
            Remedy::new("Nothing to fix; two tasks in two Availability Zones avoid an impact.")
                .cli(see),
        ),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::patient::Intent;
    use crate::testing::says;

    #[test]
    fn counts_what_aws_replaced() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "AWS stopped 1 task for maintenance 2 min ago, which is normal: ECS starts replacements."
            ]
        );
    }

    #[test]
    fn maintenance_is_no_failure_of_the_service() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let diagnosis =
            crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        assert!(diagnosis.roots.is_empty(), "{:?}", diagnosis.roots);
    }

    #[test]
    fn another_stop_or_one_of_yesterday_is_no_maintenance() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, 1, None);
        assert!(says(CHECK, &snapshot).is_empty());
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap()[0].stopped_at = Some(minutes_ago(70));
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
