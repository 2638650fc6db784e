//! Spot capacity was reclaimed, and the tasks that ran on it have not been replaced. An
//! interruption whose tasks were replaced is normal for Spot.

use jiff::SignedDuration;

use crate::aws::{stop_reason, time};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::stop::{self, StopKind};
use crate::finding::{Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Task;
use crate::{hcl, words};

crate::check! {
    /// AWS reclaimed Spot capacity, and tasks have been missing since.
    ///
    /// # Why it matters
    ///
    /// With Spot alone, there may be no capacity for the interrupted tasks for an indefinite time.
    ///
    /// # How we tell
    ///
    /// A task of a current version stopped within the hour with `SpotInterruption` or
    /// `TerminationNotice`, or because "your Spot Task was interrupted", and fewer tasks run than
    /// desired. Interruptions whose tasks were replaced are not reported; nor are those after which
    /// new tasks were launched and failed for another reason: then there is capacity, and that
    /// failure is the problem.
    ///
    /// # What to do
    ///
    /// Use on-demand capacity as a base:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --capacity-provider-strategy capacityProvider=FARGATE,base=1,weight=1 capacityProvider=FARGATE_SPOT,weight=3 --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `capacity_provider_strategy { capacity_provider = "FARGATE" base = 1 }`
    /// of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `fargate_capacity_unavailable`, `too_few_running`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html>
    title: "Spot capacity was reclaimed",
    severity: Medium,
    role: Cause,
    explains: [TooFewRunning, NoTarget, BalancerAnswers502, BalancerAnswers503, BalancerAnswers504],
    reads: [DescribeServices, DescribeTasks],
    example: on worker, |snapshot| {
        crate::baseline::stop_tasks(snapshot, 2, |task| {
            task.stop_code = Some("SpotInterruption".into());
            task.stopped_reason = Some("Your Spot Task was interrupted.".into());
        });
        crate::baseline::lack_tasks(snapshot);
        snapshot.services[0].capacity_providers = vec!["FARGATE_SPOT".into()];
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.running_count >= service.desired_count {
        return Ok(());
    }
    let versions = stop::current_versions(patient);
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let is_spot = |task: &&Task| {
        StopKind::of(task) == StopKind::Spot
            || task
                .stopped_reason
                .as_deref()
                .is_some_and(|reason| reason.contains("Spot Task was interrupted"))
    };
    let current = |task: &&Task| {
        versions
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    };
    let recent = |task: &&Task| task.stopped_at.is_some_and(|at| at >= hour_ago);
    let stopped: Vec<&Task> =
        patient.stopped_tasks()?.iter().filter(is_spot).filter(current).filter(recent).collect();
    let Some(newest) = stopped.first() else { return Ok(()) };
    if is_history(patient, newest)? {
        return Ok(());
    }
    let claim = format!(
        "Spot capacity was reclaimed from {} {}, and {} of {} desired tasks run",
        crate::text::count(stopped.len(), "task"),
        stop::when(patient.now(), &stopped),
        service.running_count,
        service.desired_count
    );
    let remedy =
        Remedy::new("Add on-demand capacity as a base beside Spot, and subnets in more Availability Zones. This starts a new deployment.")
            .cli(patient.update_service().and(words!(
                "--capacity-provider-strategy capacityProvider=FARGATE,base=1,weight=1 \
                 capacityProvider=FARGATE_SPOT,weight=3 --force-new-deployment"
            )))
            .cli(patient.see(Call::DescribeTasks, newest.id()))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_service" {} {
                  capacity_provider_strategy {
                    capacity_provider = "FARGATE"
                    base              = 1
                    weight            = 1
                  }
                }"#,
                patient.name()
            ));
    let subject: Subject = patient.subject();
    findings.add(
        subject
            .sick(claim, stop::evidence(newest))
            .because(patient.evidence("runningCount", service.running_count))
            .mend(remedy),
    );
    Ok(())
}

/// Whether there was capacity for a replacement since, which failed for a reason of its own: then
/// the interruption set it off, and is not why tasks are missing.
fn is_history(patient: &Patient, interrupted: &Task) -> Result<bool, Blind> {
    let versions = stop::current_versions(patient);
    let later = |task: &Task| {
        task.created_at.zip(interrupted.stopped_at).is_some_and(|(made, cut)| made >= cut)
    };
    let groups = stop::groups(patient)?;
    let failed = groups
        .iter()
        .filter(|group| group.kind.is_failure() && group.is_of(&versions))
        .flat_map(|group| &group.tasks);
    // What keeps a task from being placed is said of the task itself.
    let launched = |task: &Task| {
        let reason = task.stopped_reason.as_deref().and_then(stop_reason::read);
        reason.is_none_or(|reason| !reason.trouble.is_of_placement())
    };
    Ok(failed.into_iter().any(|task| later(task) && launched(task)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::testing::says;

    #[test]
    fn counts_interruptions_and_what_is_left() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Spot capacity was reclaimed from 2 tasks within 4 min, the last 2 min ago, and 0 of 2 desired tasks run."
            ]
        );
    }

    #[test]
    fn an_interruption_that_was_made_good_is_what_spot_is() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].running_count = 2;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    /// The newest stop is no interruption but a task that was launched after it, or before.
    fn and_then(made: i64, reason: &str) -> Vec<String> {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let stopped = snapshot.stopped_tasks.change(&arn).unwrap();
        let mut failed = stopped[0].clone();
        stopped.iter_mut().for_each(|task| task.stopped_at = Some(minutes_ago(20)));
        failed.task_arn.push('9');
        failed.stop_code = Some("TaskFailedToStart".into());
        failed.stopped_reason = Some(reason.into());
        (failed.created_at, failed.stopped_at) = (Some(minutes_ago(made)), Some(minutes_ago(2)));
        stopped.insert(0, failed);
        says(CHECK, &snapshot)
    }

    #[test]
    fn a_replacement_that_was_launched_and_failed_is_the_trouble_now() {
        let gone = "CannotPullContainerError: failed to resolve ref mailer:1: not found";
        assert!(and_then(5, gone).is_empty());
        assert_eq!(and_then(30, gone).len(), 1, "that one was launched before");
        let none = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
        assert_eq!(and_then(5, none).len(), 1, "no capacity is what Spot does");
    }

    #[test]
    fn tasks_that_are_lacking_for_another_reason_are_not_spots() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(|task| {
            task.stop_code = Some("UserInitiated".into());
            task.stopped_reason = Some("Task stopped by user".into());
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
