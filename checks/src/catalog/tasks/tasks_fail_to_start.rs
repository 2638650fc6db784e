//! Tasks of the current version, or of one that was just rolled back, never run: they stop before,
//! or ECS cannot place them. It counts them and quotes the most frequent reason; the cause behind
//! it is for other checks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::aws::event;
use crate::aws::stop_reason::{self, Step, Trouble};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Command;
use crate::facts::deployment::rollout;
use crate::facts::tasks::reason;
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Task;
use crate::text::capitalised;

crate::check! {
    /// Tasks stop before they run, or cannot be placed at all.
    ///
    /// # Why it matters
    ///
    /// The app is not to blame: it was never started. ECS retries with increasing delays, up to 15
    /// minutes; only a new deployment or a new task definition resets them.
    ///
    /// # How we tell
    ///
    /// Tasks of the version that ECS is deploying, or has just rolled back, stopped with
    /// `TaskFailedToStart` within the hour: two of them, or the newest of all failures. Or, while
    /// tasks are missing, ECS says in a service event that it cannot place, launch or consistently
    /// start tasks, and no later event supersedes it. A single event of the last three minutes does
    /// not count yet.
    ///
    /// # What to do
    ///
    /// Fix the cause. To see the full reason:
    ///
    /// ```sh
    /// aws ecs describe-tasks --cluster <cluster> --tasks <task> --query 'tasks[].[stopCode,stoppedReason,containers[].reason]'
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `too_few_running`, `tasks_keep_stopping`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "Tasks fail to start",
    severity: High,
    role: Symptom,
    shows: TasksFailToStart,
    explains: [TasksKeepStopping, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(snapshot, 3, "ResourceInitializationError: something that no check knows");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let failures = findings.see(stop::failures(patient)).unwrap_or_default();
    let told: Vec<Finding> =
        failures.iter().filter_map(|failures| of_tasks(patient, findings, failures)).collect();
    let primary_told = failures.iter().zip(&told).any(|(failures, _)| failures.is_primary);
    told.into_iter().for_each(|finding| findings.add(finding));
    if !primary_told {
        of_events(patient).into_iter().for_each(|finding| findings.add(finding));
    }
    Ok(())
}

fn of_tasks(patient: &Patient, findings: &mut Findings, failures: &Failures) -> Option<Finding> {
    let stopped: Vec<&Task> = failures
        .tasks
        .iter()
        .copied()
        .filter(|task| StopKind::of(task) == StopKind::FailedToStart)
        .collect();
    let newest = *stopped.first()?;
    if stopped.len() < 2
        && failures.tasks.first().is_none_or(|last| last.task_arn != newest.task_arn)
    {
        return None;
    }
    let reasons = by_reason(patient, findings, &stopped);
    let of_usual = &reasons[0];
    let words = words(patient, findings, of_usual[0]);
    let fate = if failures.is_primary { "" } else { ", which was rolled back," };
    let others = match reasons.len() {
        1 => String::new(),
        more => format!(
            ", and {} other {} for the rest",
            more - 1,
            if more == 2 { "reason" } else { "reasons" }
        ),
    };
    let claim = format!(
        "{} of {} failed tasks of {}{fate} stopped before they ran, {}: \"{}\" ({}){others}",
        stopped.len(),
        failures.tasks.len(),
        rollout::short(failures.task_definition),
        stop::when(patient.now(), &stopped),
        stop_reason::quoted(words),
        of_usual.len(),
    );
    let finding = Subject::new(Kind::TaskDefinition, failures.task_definition)
        .sick(claim, stop::evidence(of_usual[0]))
        .because_all(reasons[1..].iter().map(|tasks| stop::evidence(tasks[0])))
        .because_all(of_container(of_usual[0], words))
        .detail(failed_step(words))
        .mend(remedy(words, patient.see(Call::DescribeTasks, newest.id())));
    Some(concerning(finding, failures.task_definition))
}

/// The tasks by what their reason means, the most frequent one first: two texts of one trouble
/// differ in ids of requests alone.
fn by_reason<'a>(
    patient: &Patient,
    findings: &mut Findings,
    stopped: &[&'a Task],
) -> Vec<Vec<&'a Task>> {
    let mut reasons: BTreeMap<(Option<Trouble>, &str), Vec<&Task>> = BTreeMap::new();
    for task in stopped.iter().copied() {
        let key = match findings.see(reason::of_task(patient, task)).flatten() {
            Some((reason, ..)) => (Some(reason.trouble), ""),
            None => {
                let words = words(patient, findings, task);
                (None, words.split("RequestID").next().unwrap_or_default())
            }
        };
        reasons.entry(key).or_default().push(task);
    }
    let mut reasons: Vec<Vec<&Task>> = reasons.into_values().collect();
    reasons.sort_by_key(|tasks| Reverse(tasks.len()));
    reasons
}

/// What tells most: the words that a check knows, else the task's own; where these are what ECS
/// says of every task, a container's.
fn words<'a>(patient: &Patient, findings: &mut Findings, task: &'a Task) -> &'a str {
    if let Some((_, text, _)) = findings.see(reason::of_task(patient, task)).flatten() {
        return text;
    }
    let own = task.stopped_reason.as_deref();
    let is_generic = own.is_none_or(|own| {
        let own = own.trim_end_matches('.');
        own.is_empty() || own == "Task failed to start"
    });
    let own_words = own.unwrap_or("no reason");
    if !is_generic {
        return own_words;
    }
    // One that can end the task comes before one that cannot.
    let spoken = task.containers.iter().filter(|it| !stop::is_added_by_aws(&it.name));
    let mut spoken: Vec<(bool, &str)> = spoken
        .filter_map(|container| Some((&container.name, container.reason.as_deref()?)))
        .map(|(name, text)| (findings.see(stop::can_end(patient, task, name)) == Some(true), text))
        .collect();
    spoken.sort_by_key(|(can_end, _)| !can_end);
    spoken.first().map_or(own_words, |(_, text)| text)
}

fn of_events(patient: &Patient) -> Option<Finding> {
    let definition = reason::brought_up(patient.service())?;
    let complaints = reason::complaints(patient);
    let telling = complaints.iter().find(|event| stop_reason::read(&event.message).is_some());
    let newest = *telling.or(complaints.first())?;
    let oldest = complaints.last().and_then(|event| event.created_at);
    if complaints.len() < 2
        && oldest.is_none_or(|at| time::age(patient.now(), at) < reason::SETTLED)
    {
        return None;
    }
    let ago = newest.created_at.map_or_else(String::new, |at| {
        format!(" {} ago", time::words(time::age(patient.now(), at)))
    });
    let claim = format!(
        "ECS cannot start tasks of {}, as last reported{ago}: \"{}\"",
        rollout::short(definition),
        stop_reason::quoted(event::why(&newest.message))
    );
    let finding = Subject::new(Kind::TaskDefinition, definition)
        .sick(claim, patient.evidence("events.message", &newest.message).at(newest.created_at))
        .detail(failed_step(&newest.message))
        .mend(remedy(&newest.message, patient.see(Call::DescribeServices, patient.arn())));
    Some(concerning(finding, definition))
}

/// A container's reason that is quoted in place of the task's.
fn of_container(task: &Task, text: &str) -> Option<Evidence> {
    let container = task.containers.iter().find(|it| it.reason.as_deref() == Some(text))?;
    let reason = container.reason.as_deref()?;
    Some(
        Evidence::new(Call::DescribeTasks, &task.task_arn, "containers.reason", reason)
            .at(task.stopped_at),
    )
}

/// The step at which a start failed whose reason no other check tells.
fn step(text: &str) -> Option<Step> {
    stop_reason::step(text).filter(|_| stop_reason::read(text).is_none())
}

/// `Pulling the image failed, because the certificate of the registry is not trusted.`
fn failed_step(text: &str) -> String {
    let Some(step) = step(text) else { return String::new() };
    let why = stop_reason::hindrance(text)
        .map_or_else(String::new, |hindrance| format!(", because {}", hindrance.clause(text)));
    format!("{} failed{why}.", capitalised(step.words()))
}

fn remedy(text: &str, see: Command) -> Remedy {
    let again = "a new deployment does not wait for ECS's next attempt.";
    let summary = match step(text) {
        Some(step) => {
            let advice = stop_reason::hindrance(text).map_or(step.advice(), |it| it.advice);
            format!("{advice} Then deploy again: {again}")
        }
        None => format!("Fix the reason, then deploy again: {again}"),
    };
    Remedy::new(summary).cli(see)
}

/// What never ran was never registered: a target that fails now is not why.
fn concerning(finding: Finding, definition: &str) -> Finding {
    finding.concerns(Kind::TaskDefinition, definition).concerns_no(Kind::TargetGroup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::testing::{exam, says};

    #[test]
    fn counts_and_quotes_the_usual_reason_and_its_outliers() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap()[1].stopped_reason =
            Some("InternalError: odd".into());
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "3 of 3 failed tasks of mailer:12 stopped before they ran, within 8 min, the last 2 min ago: \"ResourceInitializationError: \
                 something that no check knows\" (2), and 1 other reason for the rest."
            ]
        );
    }

    #[test]
    fn texts_that_differ_in_an_id_are_one_reason() {
        for text in [
            "failed to validate logger args: RequestID: 1, The specified log group does not exist.",
            "InternalError: RequestID: 1, odd",
        ] {
            let mut snapshot = (CHECK.example)();
            let arn = snapshot.services[0].service_arn.clone();
            for (n, task) in snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().enumerate() {
                task.stopped_reason =
                    Some(text.replace("RequestID: 1", &format!("RequestID: {n}")));
            }
            assert!(says(CHECK, &snapshot)[0].ends_with("\" (3)."), "{text}");
        }
    }

    #[test]
    fn a_single_failed_start_counts_only_as_the_last_word() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 2, 1, None);
        let arn = snapshot.services[0].service_arn.clone();
        let start = |minutes| Task {
            stop_code: Some("TaskFailedToStart".into()),
            stopped_at: Some(minutes_ago(minutes)),
            ..Task::default()
        };
        let model = snapshot.stopped_tasks.change(&arn).unwrap()[0].clone();
        let task = |minutes| Task {
            started_by: model.started_by.clone(),
            task_definition_arn: model.task_definition_arn.clone(),
            ..start(minutes)
        };
        snapshot.stopped_tasks.change(&arn).unwrap().push(task(20));
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.stopped_tasks.change(&arn).unwrap().insert(0, task(1));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn events_tell_while_tasks_are_lacking() {
        let mut snapshot = baseline::worker();
        baseline::say(
            &mut snapshot,
            30,
            "(service mailer) is unable to consistently start tasks successfully.",
        );
        assert!(says(CHECK, &snapshot).is_empty(), "every desired task runs");
        baseline::lack_tasks(&mut snapshot);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "ECS cannot start tasks of mailer:12, as last reported 30 min ago: \"(service mailer) is unable to consistently start tasks \
                 successfully\"."
            ]
        );
        baseline::say(
            &mut snapshot,
            40,
            "(service mailer) was unable to place a task. Reason: Capacity is unavailable at this time.",
        );
        snapshot.services[0].events.swap(0, 1);
        assert!(
            says(CHECK, &snapshot)[0].contains("Capacity is unavailable"),
            "the event that tells why has the word"
        );
    }

    #[test]
    fn where_ecs_says_only_that_it_failed_the_containers_words_are_quoted() {
        let said = |reason: &str| {
            let mut snapshot = baseline::worker();
            baseline::fail_to_start(&mut snapshot, 2, reason);
            let arn = snapshot.services[0].service_arn.clone();
            for task in snapshot.stopped_tasks.change(&arn).unwrap() {
                task.containers[0].reason =
                    Some("CannotPullContainerError: Head \"https://r.example.com/v2/\": x509: certificate has expired".into());
            }
            let finding = exam(CHECK, &snapshot).findings.remove(0);
            (finding.claim.contains("x509"), finding.detail, finding.remedy.summary)
        };
        let (quoted, step, advice) = said("Task failed to start");
        assert_eq!(
            (quoted, step.as_str()),
            (
                true,
                "Pulling the image failed, because the certificate of the registry is not trusted."
            )
        );
        assert!(advice.starts_with("Install a certificate of a public CA"), "{advice}");
        let (quoted, step, advice) = said("InternalError: something new");
        assert!(!quoted && step.is_empty() && advice.starts_with("Fix the reason"), "{advice}");
    }

    #[test]
    fn a_step_that_failed_for_an_unknown_fault_is_named_with_advice_of_its_own() {
        for (text, step, advice) in [
            (
                "CannotPullContainerError: something new",
                "Pulling the image failed.",
                "Pull the image elsewhere",
            ),
            (
                "unable to pull secrets or registry auth: unable to retrieve secret from asm: odd",
                "Fetching a secret failed.",
                "Compare valueFrom",
            ),
            (
                "unable to download firelens s3 config file: odd",
                "Setting up FireLens or the log driver failed, because the FireLens configuration cannot be fetched from Amazon S3.",
                "Allow the execution role to read the file",
            ),
        ] {
            let mut snapshot = baseline::worker();
            baseline::fail_to_start(&mut snapshot, 2, text);
            let finding = exam(CHECK, &snapshot).findings.remove(0);
            assert_eq!(finding.detail, step);
            assert!(finding.remedy.summary.starts_with(advice), "{}", finding.remedy.summary);
        }
    }

    #[test]
    fn of_an_event_what_follows_its_reason_is_quoted() {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        let event = "(service mailer) was unable to place a task. Reason: Something that nobody knows. For more, see the docs.";
        baseline::say(&mut snapshot, 30, event);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "ECS cannot start tasks of mailer:12, as last reported 30 min ago: \"Something that nobody knows\"."
            ]
        );
    }

    #[test]
    fn tasks_that_ran_did_start() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 3, 1, None);
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 0);
    }
}
