//! The service is scaled to zero though a load balancer sends it traffic. That may be intended, by
//! a schedule for instance, but it is why nothing answers.

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Words;
use crate::facts::tasks::scaling;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::snapshot::{ScalableTarget, ScalingActivity, ScheduledAction};
use crate::{aws, hcl, words};

crate::check! {
    /// The desired count of the service is 0, and it has a load balancer that clients use.
    ///
    /// # Why it matters
    ///
    /// The load balancer has no target and answers every request with 503. ECS still reports the
    /// deployment as completed: no task is missing. A scaling policy does not bring it back either,
    /// since without a task there is no CPU or memory to measure.
    ///
    /// # How we tell
    ///
    /// `desiredCount` and `runningCount` are 0, and the service has a target group. A service
    /// without one, such as a worker, is skipped: no client waits for it. Where the service has
    /// auto scaling, its activities show whether a schedule or a policy set it to 0, and its
    /// scheduled actions whether one sets a minimum again. Where a scheduled action set it to 0 and
    /// another one, that recurs, sets a minimum again, it is intended: then it is a note with both
    /// names, and so are its consequences.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --desired-count 1
    /// aws ecs update-express-gateway-service --service-arn <arn> --scaling-target minTaskCount=1   # Express Mode
    /// ```
    ///
    /// and, so that it does not fall to 0 again, a minimum of 1 in auto scaling.
    /// Terraform/OpenTofu: `desired_count` in `aws_ecs_service`, `min_capacity` in
    /// `aws_appautoscaling_target`, `scaling_target` in `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `target_group_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "The service is scaled to zero",
    severity: High,
    role: Cause,
    explains: [NoTarget],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeScalableTargets, DescribeScalingActivities, DescribeScheduledActions],
    example: on express, |snapshot| {
        let service = &mut snapshot.services[0];
        (service.desired_count, service.running_count) = (0, 0);
        (service.deployments[0].desired_count, service.deployments[0].running_count) = (0, 0);
        let arn = service.service_arn.clone();
        snapshot.running_tasks.put(&arn, Vec::new());
        snapshot.scheduled_actions.put(&arn, Vec::new());
        snapshot.target_health.put(&crate::baseline::express_groups()[0], Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service.status != "ACTIVE" {
        return Err(NoAnswer::NotApplicable("the service is not active"));
    }
    if service.scheduling_strategy.as_deref() == Some("DAEMON") {
        return Err(NoAnswer::NotApplicable("a daemon service runs one task per instance"));
    }
    if service.desired_count != 0 || service.running_count != 0 {
        return Ok(());
    }
    let completed = service
        .primary()
        .filter(|deployment| deployment.rollout_state.as_deref() == Some("COMPLETED"));
    let mut details = Vec::new();
    let mut evidence = Vec::new();
    let mut meant = false;
    let bounds = findings.see(scaling::target(patient)).flatten();
    if let Some(bounds) = bounds {
        let activities = findings.see(scaling::activities(patient)).unwrap_or_default();
        let set = activities.first().filter(|newest| {
            newest.description.trim_end_matches('.').ends_with("desired count to 0")
        });
        details.extend(set.map(|set| who_set_it(patient, set, activities)));
        meant = set.is_some_and(|set| scheduled(set, activities).is_some());
        evidence.push(scaling::evidence(patient, "MinCapacity", bounds.min_capacity));
        evidence.extend(
            set.map(|set| scaling::did(set, "ScalingActivities.Description", &set.description)),
        );
    }
    details.extend(completed.map(|_| "ECS still reports the deployment as completed.".to_owned()));
    if bounds.is_some() {
        let again = findings
            .see(patient.scheduled_actions())
            .map(|actions| actions.iter().find(|action| action.min_capacity.unwrap_or(0) > 0));
        let is_suspended =
            bounds.is_some_and(|bounds| bounds.suspended_state.scheduled_scaling_suspended);
        meant &= again.flatten().is_some_and(is_recurring) && !is_suspended;
        details.push(what_brings_it_back(again));
        let schedule = |action: &ScheduledAction| {
            Evidence::new(
                Call::DescribeScheduledActions,
                &action.scheduled_action_name,
                "Schedule",
                &action.schedule,
            )
        };
        evidence.extend(again.flatten().map(schedule));
    }
    let claim =
        "the service is scaled to 0 tasks, so its load balancer has nowhere to send a request";
    findings.add(
        patient
            .subject()
            .sick(claim, patient.evidence("desiredCount", 0))
            .detail(details.join(" "))
            .because(patient.evidence("runningCount", 0))
            .because_all(
                completed.map(|_| patient.evidence("deployments.rolloutState", "COMPLETED")),
            )
            .because_all(evidence)
            .mend(remedy(patient, bounds))
            .meant_if(meant),
    );
    Ok(())
}

/// `Auto scaling did that 31 h ago (scheduled action weekend).` A schedule changes the bounds, and
/// these the count.
fn who_set_it(patient: &Patient, set: &ScalingActivity, activities: &[ScalingActivity]) -> String {
    let scheduled = scheduled(set, activities);
    let ago = set.start_time.map_or_else(String::new, |at| {
        format!(" {} ago", time::words(time::age(patient.now(), at)))
    });
    format!("Auto scaling did that{ago} ({}).", scheduled.unwrap_or(set).moved_by())
}

/// The activity of a scheduled action that set the count, or the bounds that set it.
fn scheduled<'a>(
    set: &'a ScalingActivity,
    activities: &'a [ScalingActivity],
) -> Option<&'a ScalingActivity> {
    let near = |other: &ScalingActivity| match (other.start_time, set.start_time) {
        (Some(other), Some(set)) => set.duration_since(other).abs() <= time::MINUTE * 5,
        _ => false,
    };
    activities.iter().find(|other| other.cause.starts_with("scheduled action") && near(other))
}

/// Whether an action comes again, as those of nights and weekends do: what was to happen once may
/// have been missed.
fn is_recurring(action: &ScheduledAction) -> bool {
    ["cron(", "rate("].iter().any(|kind| action.schedule.starts_with(kind))
}

/// A policy needs something to measure; a schedule does not.
fn what_brings_it_back(again: Option<Option<&ScheduledAction>>) -> String {
    match again {
        Some(Some(action)) => {
            let zone = action.timezone.as_ref().map_or_else(String::new, |zone| format!(" {zone}"));
            format!(
                "Scheduled action {} sets a minimum of {} again: {}{zone}.",
                action.scheduled_action_name,
                action.min_capacity.unwrap_or(0),
                action.schedule
            )
        }
        Some(None) => "No schedule brings it back, and likely no policy does: without a task there is nothing to measure.".to_owned(),
        None => "Likely no scaling policy brings it back: without a task there is nothing to measure.".to_owned(),
    }
}

fn remedy(patient: &Patient, bounds: Option<&ScalableTarget>) -> Remedy {
    let remedy = Remedy::new(
        "If this is intended, leave it. If not, run a task again and, if auto scaling is configured, set its minimum to 1.",
    );
    if patient.is_express() {
        return remedy
            .cli(aws!(
                "ecs update-express-gateway-service --service-arn {} \
                 --scaling-target minTaskCount=1",
                patient.arn()
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_express_gateway_service" {} {
                  scaling_target {
                    min_task_count = 1
                  }
                }"#,
                patient.name()
            ));
    }
    let remedy = remedy.cli(patient.update_service().and(words!("--desired-count 1")));
    match bounds {
        // Raised, the minimum itself brings a task back.
        Some(bounds) if bounds.min_capacity == 0 => {
            let raised = if bounds.max_capacity == 0 {
                words!("--max-capacity 2")
            } else {
                Words::default()
            };
            remedy
                .cli(scaling::register(patient, words!("--min-capacity 1").and(raised)))
                .terraform(scaling::terraform(patient, hcl!("min_capacity = 1")))
        }
        _ => remedy.terraform(hcl!(
            r#"
            resource "aws_ecs_service" {} {
              desired_count = 1
            }"#,
            patient.name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::diagnosis::{Diagnosis, Standing, Verdict, diagnose};
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
            says(CHECK, &at_zero(baseline::ec2())),
            [
                "The service is scaled to 0 tasks, so its load balancer has nowhere to send a request. ECS still reports the deployment as completed."
            ]
        );
    }

    /// At zero by a schedule, which set the bounds, which set the count.
    fn by_schedule() -> Snapshot {
        let mut snapshot = at_zero(baseline::fargate());
        let arn = snapshot.services[0].service_arn.clone();
        let target = snapshot.scalable_targets.change(&arn).unwrap();
        (target.min_capacity, target.max_capacity) = (0, 0);
        let activity = |description: &str, cause: &str| ScalingActivity {
            activity_id: description.into(),
            description: description.into(),
            cause: cause.into(),
            start_time: Some(baseline::minutes_ago(600)),
            status_code: "Successful".into(),
            ..ScalingActivity::default()
        };
        let activities = snapshot.scaling_activities.change(&arn).unwrap();
        activities.insert(
            0,
            activity(
                "Setting min capacity to 0 and max capacity to 0",
                "scheduled action name night was triggered",
            ),
        );
        activities
            .insert(0, activity("Setting desired count to 0.", "maximum capacity was set to 0"));
        snapshot.scheduled_actions.put(&arn, Vec::new());
        snapshot
    }

    #[test]
    fn says_which_schedule_did_it_and_which_ends_it() {
        let mut snapshot = by_schedule();
        let told = says(CHECK, &snapshot);
        assert!(
            told[0].contains(" Auto scaling did that 10 h ago (scheduled action night). "),
            "{told:?}"
        );
        assert!(told[0].ends_with(" No schedule brings it back, and likely no policy does: without a task there is nothing to measure."), "{told:?}");
        let arn = snapshot.services[0].service_arn.clone();
        let morning = ScheduledAction {
            scheduled_action_name: "morning".into(),
            schedule: "cron(0 6 ? * MON-FRI *)".into(),
            timezone: Some("Europe/London".into()),
            min_capacity: Some(2),
            max_capacity: Some(10),
        };
        snapshot.scheduled_actions.put(arn, vec![morning]);
        assert!(says(CHECK, &snapshot)[0].ends_with("Scheduled action morning sets a minimum of 2 again: cron(0 6 ? * MON-FRI *) Europe/London."));
    }

    /// At zero by a schedule, with these actions.
    fn with_actions(actions: Vec<ScheduledAction>) -> Diagnosis {
        let mut snapshot = by_schedule();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scheduled_actions.put(arn, actions);
        snapshot.target_health.put(baseline::id::group("api"), Vec::new());
        let intent = Intent::default();
        diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent))
    }

    fn action(name: &str, schedule: &str, minimum: i32) -> ScheduledAction {
        ScheduledAction {
            scheduled_action_name: name.into(),
            schedule: schedule.into(),
            timezone: None,
            min_capacity: Some(minimum),
            max_capacity: Some(minimum),
        }
    }

    #[test]
    fn a_night_that_a_morning_ends_is_a_note_with_both_names() {
        let diagnosis = with_actions(vec![
            action("night", "cron(0 19 * * ? *)", 0),
            action("morning", "cron(0 6 * * ? *)", 2),
        ]);
        assert_ne!(diagnosis.verdict, Verdict::Sick, "{:?}", diagnosis.roots);
        let note = diagnosis.notes.iter().find(|note| note.check.id() == CHECK.id()).unwrap();
        assert_eq!(note.standing, Standing::Note);
        assert_eq!(note.explains[0].check.id(), "target_group_empty");
        for name in ["night", "morning"] {
            assert!(note.finding.detail.contains(name), "{}", note.finding.detail);
        }
    }

    #[test]
    fn a_night_without_a_morning_is_a_cause() {
        let night = || action("night", "cron(0 19 * * ? *)", 0);
        for actions in [vec![night()], vec![night(), action("once", "at(2026-12-01T06:00:00)", 2)]]
        {
            let diagnosis = with_actions(actions);
            assert_eq!(diagnosis.roots[0].check.id(), CHECK.id());
            assert_eq!(diagnosis.roots[0].standing, Standing::Cause);
        }
    }

    #[test]
    fn a_person_who_set_it_is_not_called_auto_scaling() {
        let mut snapshot = at_zero(baseline::fargate());
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scheduled_actions.put(arn, Vec::new());
        assert!(!says(CHECK, &snapshot)[0].contains("Auto scaling did that"));
    }

    #[test]
    fn speaks_of_auto_scaling_only_where_there_is_some() {
        let says = says(CHECK, &at_zero(baseline::ec2()));
        assert!(!says[0].contains("uto scaling"), "{says:?}");
    }

    #[test]
    fn a_worker_at_zero_keeps_nobody_waiting() {
        assert_eq!(
            exam(CHECK, &at_zero(baseline::worker())).outcome,
            Outcome::NotApplicable("no load balancer")
        );
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
