//! The new version is complete, and the deployment does not end because old tasks are protected
//! from being stopped: somebody, usually the app itself, asked ECS to leave them alone until their
//! work is done.

use crate::aws;
use crate::aws::arn;
use crate::aws::event::{self, Event};
use crate::aws::time::{age, clock, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::protection;
use crate::facts::deployment::rollout::{self, Strategy};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{ProtectedTask, ServiceDeployment, Task};
use crate::text::{count, plural};

crate::check! {
    /// Tasks of the old version have scale-in protection, so ECS may not stop them and the
    /// deployment cannot end.
    ///
    /// # Why it matters
    ///
    /// Old code goes on running, and the deployment is `IN_PROGRESS` until the protection ends: two
    /// hours by default, and up to two days. A worker that never removes its protection blocks
    /// every deployment.
    ///
    /// # How we tell
    ///
    /// A deployment is under way, all its new tasks run (and, unless it is a rolling one, it is at
    /// `CLEAN_UP`), or ECS says in an event that protected tasks keep it from scaling in; and
    /// `GetTaskProtection` has protected tasks of older deployments whose protection has not
    /// expired. That may be intended: the work of these tasks is not done.
    ///
    /// # What to do
    ///
    /// Wait until their work is done; or, if it can be lost, remove the protection:
    ///
    /// ```sh
    /// aws ecs update-task-protection --cluster <cluster> --tasks <task> --no-protection-enabled
    /// ```
    ///
    /// Terraform/OpenTofu: none; the app protects its tasks at run time.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "Protected tasks keep the deployment from ending",
    severity: Medium,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, GetTaskProtection],
    example: on worker, |snapshot| {
        use crate::baseline::{NOW, minutes_ago, roll_out};
        roll_out(snapshot, 70, |deployment| deployment.updated_at = Some(minutes_ago(66)));
        let arn = snapshot.services[0].service_arn.clone();
        let old: Vec<String> = snapshot.running_tasks.change(&arn).into_iter().flatten().map(|task| task.task_arn.clone()).collect();
        let protected = |task_arn: &String| ProtectedTask {
            task_arn: task_arn.clone(),
            protection_enabled: true,
            expiration_date: Some(NOW + jiff::SignedDuration::from_mins(50)),
        };
        snapshot.task_protection.put(&arn, old.iter().take(1).map(protected).collect());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| deployment.status == "IN_PROGRESS")
    else {
        return Ok(());
    };
    let told = told(patient, deployment);
    if told.is_none() && !is_complete(patient, deployment) {
        return Ok(());
    }
    let old = protection::old_tasks(patient.service(), patient.running_tasks()?);
    if old.is_empty() {
        return Ok(());
    }
    let protected: Vec<&ProtectedTask> = patient
        .task_protection()?
        .iter()
        .filter(|task| is_protected(patient, task, &old))
        .collect();
    let Some(last) = protected.iter().max_by_key(|task| task.expiration_date) else {
        return Ok(());
    };
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let ends = last.expiration_date.map_or_else(String::new, |at| {
        format!(
            "The last protection ends in {} (at {}), unless it is renewed.",
            words(age(at, patient.now())),
            clock(at)
        )
    });
    let (tasks, verb) = (count(protected.len(), "old task"), plural(protected.len(), "is", "are"));
    let claim = format!(
        "{} cannot end: {tasks} {verb} protected from being stopped",
        rollout::name(deployment, brings)
    );
    let unprotect = aws!("ecs update-task-protection --cluster {} --tasks", patient.cluster())
        .args(protected.iter().map(|task| arn::last(&task.task_arn)))
        .arg("--no-protection-enabled");
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, Evidence::new(Call::GetTaskProtection, &last.task_arn, "protectedTasks.protectionEnabled", true))
            .detail(ends)
            .because_all(last.expiration_date.map(|at| Evidence::new(Call::GetTaskProtection, &last.task_arn, "protectedTasks.expirationDate", at)))
            .because_all(told)
            .mend(
                Remedy::new("Wait until these tasks have done their work; or, if it can be lost, remove their protection.")
                    .cli(unprotect),
            )
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

/// Whether nothing is left to do but to stop the old tasks.
fn is_complete(patient: &Patient, deployment: &ServiceDeployment) -> bool {
    let service = patient.service();
    let primary = service.primary();
    let all_run = primary.is_some_and(|primary| primary.running_count >= service.desired_count);
    let rolls = Strategy::of(&deployment.deployment_configuration) == Strategy::Rolling;
    all_run && (rolls || deployment.lifecycle_stage.as_deref() == Some("CLEAN_UP"))
}

fn told(patient: &Patient, deployment: &ServiceDeployment) -> Option<Evidence> {
    let from = rollout::started(deployment)?;
    let mut events = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= from));
    let event = events.find(|event| event::read(&event.message) == Event::ProtectedTasks)?;
    Some(patient.evidence("events.message", &event.message).at(event.created_at))
}

fn is_protected(patient: &Patient, task: &ProtectedTask, old: &[&Task]) -> bool {
    let lasts = task.expiration_date.is_none_or(|at| at > patient.now());
    task.protection_enabled && lasts && old.iter().any(|old| old.task_arn == task.task_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{ServiceEvent, Snapshot};
    use crate::testing::{exam, says};

    fn example(change: impl FnOnce(&mut Snapshot, &str)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        change(&mut snapshot, &arn);
        snapshot
    }

    #[test]
    fn says_how_many_until_when_and_how_to_end_it() {
        let snapshot = example(|_, _| ());
        let expected = "The deployment of mailer:13 cannot end: 1 old task is protected from being stopped. The last protection ends in 50 min (at 03:50 \
                        UTC), unless it is renewed.";
        assert_eq!(says(CHECK, &snapshot), [expected]);
        let command = &exam(CHECK, &snapshot).findings[0].remedy.shell()[0];
        assert_eq!(
            *command,
            format!(
                "aws ecs update-task-protection --cluster prod --tasks {} --no-protection-enabled",
                "1".repeat(32)
            )
        );
    }

    #[test]
    fn a_protection_that_is_off_or_over_holds_nothing() {
        let off = example(|snapshot, arn| {
            snapshot.task_protection.change(arn).unwrap()[0].protection_enabled = false
        });
        assert_eq!(exam(CHECK, &off).outcome, Outcome::Healthy);
        let over = example(|snapshot, arn| {
            snapshot.task_protection.change(arn).unwrap()[0].expiration_date = Some(minutes_ago(1))
        });
        assert_eq!(exam(CHECK, &over).outcome, Outcome::Healthy);
    }

    #[test]
    fn while_new_tasks_start_protection_is_not_what_it_waits_for() {
        let starts = |told: bool| {
            example(|snapshot, _| {
                snapshot.services[0].deployments[0].running_count = 1;
                let message = "(service mailer, taskSet ecs-svc/1) was unable to reach steady state because task set (ecs-svc/1) was unable to scale in. \
                               Reason: The number of protected tasks are more than the desired count of tasks";
                let event = ServiceEvent {
                    id: "e".into(),
                    created_at: Some(minutes_ago(3)),
                    message: message.into(),
                };
                snapshot.services[0].events.splice(0..0, told.then_some(event));
            })
        };
        assert_eq!(exam(CHECK, &starts(false)).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &starts(true)).outcome, Outcome::Sick);
    }

    #[test]
    fn a_canary_keeps_its_old_tasks_until_its_clean_up() {
        for (stage, expected) in [("BAKE_TIME", Outcome::Healthy), ("CLEAN_UP", Outcome::Sick)] {
            let snapshot = example(|snapshot, arn| {
                let deployment = &mut snapshot.service_deployments.change(arn).unwrap()[0];
                deployment.deployment_configuration.strategy = Some("CANARY".into());
                deployment.lifecycle_stage = Some(stage.into());
            });
            assert_eq!(exam(CHECK, &snapshot).outcome, expected, "{stage}");
        }
    }

    #[test]
    fn new_tasks_may_be_protected() {
        let snapshot = example(|snapshot, arn| {
            let tasks = snapshot.running_tasks.change(arn).unwrap();
            tasks
                .iter_mut()
                .for_each(|task| task.started_by = Some("ecs-svc/1000000000000000013".into()));
        });
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.outcome, Outcome::Healthy);
        assert!(!exam.read.contains(&Call::GetTaskProtection), "without old tasks nobody asks");
    }

    #[test]
    fn a_refused_answer_is_not_no_protection() {
        let snapshot = example(|snapshot, arn| {
            snapshot.task_protection.insert(arn, Seen::No(Why::Denied("no".into())))
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
