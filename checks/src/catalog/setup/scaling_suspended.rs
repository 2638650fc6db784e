//! Auto scaling is configured but inactive: it is suspended, has neither policy nor schedule, or
//! fails. That it does not scale in while a deployment runs is by design.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::tasks::scaling;
use crate::finding::{Evidence, Finding, Kind, Remedy};
use crate::patient::Patient;
use crate::snapshot::ScalableTarget;
use crate::text::{and_list, plural};
use crate::{aws, hcl, words};

crate::check! {
    /// The service has auto scaling that does not work: it is suspended, has neither a policy nor a
    /// schedule, or its last attempt failed.
    ///
    /// # Why it matters
    ///
    /// The service looks as if it scaled with its load, but stays at its size. Likely scaling was
    /// suspended for a load test or an incident and never resumed.
    ///
    /// # How we tell
    ///
    /// `SuspendedState` of the scalable target; no policy and no scheduled action for it; or a
    /// newest activity with status `Failed` that is more than "already there". AWS itself turns
    /// scale-in off while a deployment runs: then only the other kinds count. Suspended schedules
    /// count only where there are some.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws application-autoscaling register-scalable-target --service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id service/<cluster>/<service> --suspended-state DynamicScalingInSuspended=false,DynamicScalingOutSuspended=false,ScheduledScalingSuspended=false
    /// ```
    ///
    /// Terraform/OpenTofu: `suspended_state` in `aws_appautoscaling_target`;
    /// `aws_appautoscaling_policy`.
    ///
    /// # See also
    ///
    /// `scaling_at_maximum`, `saturated`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshoot-service-auto-scaling.html>
    title: "Auto scaling is configured but inactive",
    severity: Medium,
    role: Risk,
    explains: [Saturated],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeScalableTargets, DescribeScalingPolicies, DescribeScalingActivities,
        DescribeScheduledActions,
    ],
    example: on fargate, |snapshot| {
        use crate::snapshot::ScheduledAction;
        let arn = snapshot.services[0].service_arn.clone();
        if let Some(target) = snapshot.scalable_targets.change(&arn) {
            target.suspended_state.dynamic_scaling_in_suspended = true;
            target.suspended_state.dynamic_scaling_out_suspended = true;
            target.suspended_state.scheduled_scaling_suspended = true;
        }
        let night = ScheduledAction { scheduled_action_name: "night".into(), schedule: "cron(0 22 * * ? *)".into(), ..ScheduledAction::default() };
        snapshot.scheduled_actions.put(arn, vec![night]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(target) = scaling::target(patient)? else {
        return Err(NoAnswer::NotApplicable("no auto scaling"));
    };
    if suspended(patient, findings, target) {
        return Ok(());
    }
    let no_policies = findings.see(patient.scaling_policies()).is_some_and(<[_]>::is_empty);
    if no_policies && findings.see(patient.scheduled_actions()).is_some_and(<[_]>::is_empty) {
        let claim = format!(
            "auto scaling is configured for {} to {} tasks, but has no policy and no scheduled action: nothing ever changes the number of tasks",
            target.min_capacity, target.max_capacity
        );
        let none =
            Evidence::new(Call::DescribeScalingPolicies, patient.arn(), "ScalingPolicies", "[]");
        findings.add(
            patient
                .subject()
                .sick(claim, none)
                .mend(policy(patient))
                .concerns(Kind::Service, patient.arn()),
        );
        return Ok(());
    }
    if let Some(failed) = scaling::activities(patient)?.first().filter(|activity| activity.failed())
    {
        let why =
            failed.status_message.as_deref().unwrap_or(&failed.description).trim_end_matches('.');
        let claim =
            format!("the last attempt of auto scaling ({}) failed: {why}", failed.moved_by());
        let remedy = Remedy::new(
            "Fix what the message names: likely a permission of the service-linked role of auto scaling, or a quota.",
        )
        .cli(patient.see(Call::DescribeScalingActivities, patient.arn()));
        let evidence = scaling::did(failed, "ScalingActivities.StatusCode", &failed.status_code);
        findings.add(
            patient
                .subject()
                .sick(claim, evidence)
                .mend(remedy)
                .concerns(Kind::Service, patient.arn()),
        );
    }
    Ok(())
}

/// Tells what is suspended, if anything is that matters now.
fn suspended(patient: &Patient, findings: &mut Findings, target: &ScalableTarget) -> bool {
    let state = &target.suspended_state;
    let scheduled = state.scheduled_scaling_suspended
        && findings.see(patient.scheduled_actions()).is_some_and(|actions| !actions.is_empty());
    // While a deployment runs, nothing is scaled in anyway. Where that cannot be seen, nothing is
    // claimed.
    let scale_in = state.dynamic_scaling_in_suspended
        && matches!(findings.see(rollout::under_way(patient)), Some(None))
        && !patient
            .service()
            .deployments
            .iter()
            .any(|deployment| deployment.rollout_state.as_deref() == Some("IN_PROGRESS"));
    let kinds = [
        (
            state.dynamic_scaling_out_suspended,
            "scale-out",
            "SuspendedState.DynamicScalingOutSuspended",
        ),
        (scale_in, "scale-in", "SuspendedState.DynamicScalingInSuspended"),
        (scheduled, "scheduled scaling", "SuspendedState.ScheduledScalingSuspended"),
    ];
    let off: Vec<_> = kinds.into_iter().filter(|(is_off, ..)| *is_off).collect();
    let mut evidence = off.iter().map(|(_, _, field)| scaling::evidence(patient, field, true));
    let Some(first) = evidence.next() else { return false };
    let what = and_list(off.iter().map(|(_, word, _)| word));
    let verb = plural(off.len(), "is", "are");
    let effect = if state.dynamic_scaling_out_suspended {
        format!(
            "however busy it gets, the service stays at {}",
            scaling::tasks(patient.service().desired_count)
        )
    } else if scale_in {
        "tasks added at a peak stay and cost money".to_owned()
    } else {
        "its schedules change nothing".to_owned()
    };
    let claim =
        format!("{what} {verb} suspended in auto scaling: {effect}, until somebody resumes it");
    let finding = patient.subject().sick(claim, first).because_all(evidence).mend(resume(patient));
    findings.add(only_if(state.dynamic_scaling_out_suspended, patient, finding));
    true
}

/// Only what adds no task explains that those there are have too much to do.
fn only_if(adds_none: bool, patient: &Patient, finding: Finding) -> Finding {
    if adds_none {
        finding.concerns(Kind::Service, patient.arn())
    } else {
        finding.concerns_no(Kind::Service)
    }
}

fn resume(patient: &Patient) -> Remedy {
    Remedy::new("If the reason for suspending it is over, resume it.")
        .cli(scaling::register(
            patient,
            words!(
                "--suspended-state DynamicScalingInSuspended=false,\
                 DynamicScalingOutSuspended=false,ScheduledScalingSuspended=false"
            ),
        ))
        .terraform(scaling::terraform(
            patient,
            hcl!(
                r#"
                suspended_state {
                  dynamic_scaling_in_suspended  = false
                  dynamic_scaling_out_suspended = false
                  scheduled_scaling_suspended   = false
                }"#
            ),
        ))
}

const TRACKING: &str = r#"{"TargetValue":60,"PredefinedMetricSpecification":{"PredefinedMetricType":"ECSServiceAverageCPUUtilization"}}"#;

fn policy(patient: &Patient) -> Remedy {
    Remedy::new(
        "Add a policy, such as target tracking on CPU; or remove auto scaling, so that nobody relies on it.",
    )
    .cli(aws!(
        "application-autoscaling put-scaling-policy --service-namespace ecs \
         --scalable-dimension ecs:service:DesiredCount --resource-id service/{}/{} \
         --policy-name cpu --policy-type TargetTrackingScaling \
         --target-tracking-scaling-policy-configuration {}",
        patient.cluster(),
        patient.name(),
        TRACKING
    ))
    .terraform(hcl!(
        r#"
        resource "aws_appautoscaling_policy" {} {
          policy_type = "TargetTrackingScaling"
          target_tracking_scaling_policy_configuration {
            target_value = 60
            predefined_metric_specification {
              predefined_metric_type = "ECSServiceAverageCPUUtilization"
            }
          }
        }"#,
        patient.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes, roll_out};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::metric::Metric;
    use crate::snapshot::{ScheduledAction, Snapshot, SuspendedState};
    use crate::testing::{exam, says};

    fn with(state: SuspendedState) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scalable_targets.change(&arn).unwrap().suspended_state = state;
        snapshot
    }

    fn scale_in() -> Snapshot {
        with(SuspendedState { dynamic_scaling_in_suspended: true, ..SuspendedState::default() })
    }

    fn busy(mut snapshot: Snapshot) -> Snapshot {
        let cpu = Metric::Cpu.of(&snapshot.services[0].service_arn);
        snapshot.metrics.put(cpu, minutes(97.0));
        snapshot
    }

    fn roots(snapshot: &Snapshot) -> Vec<(&'static str, usize)> {
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent));
        diagnosis.roots.iter().map(|root| (root.check.id(), root.explains.len())).collect()
    }

    #[test]
    fn says_what_is_off_and_what_that_means() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Scale-out, scale-in and scheduled scaling are suspended in auto scaling: however busy it gets, the service stays at 2 tasks, until somebody \
                 resumes it."
            ]
        );
        assert_eq!(
            says(CHECK, &scale_in()),
            [
                "Scale-in is suspended in auto scaling: tasks added at a peak stay and cost money, until somebody resumes it."
            ]
        );
    }

    #[test]
    fn scale_in_rests_while_a_deployment_runs() {
        let mut snapshot = scale_in();
        roll_out(&mut snapshot, 4, |_| ());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn whether_a_deployment_runs_must_be_seen() {
        let mut snapshot = scale_in();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.insert(arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_schedule_that_is_not_there_cannot_be_missed() {
        let mut snapshot =
            with(SuspendedState { scheduled_scaling_suspended: true, ..SuspendedState::default() });
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scheduled_actions.put(arn, Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn bounds_alone_move_nothing_but_a_schedule_does() {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scaling_policies.put(&arn, Vec::new());
        snapshot.scheduled_actions.put(&arn, Vec::new());
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Auto scaling is configured for 2 to 10 tasks, but has no policy")
        );
        snapshot.scheduled_actions.put(&arn, vec![ScheduledAction::default()]);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_failure_counts_until_the_next_success() {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let activities = snapshot.scaling_activities.change(&arn).unwrap();
        let mut failed = activities[0].clone();
        failed.status_code = "Failed".into();
        failed.status_message =
            Some("Failed to set desired count to 4. Reason: AccessDenied.".into());
        activities.push(failed.clone());
        assert!(says(CHECK, &snapshot).is_empty(), "it failed before it succeeded");
        snapshot.scaling_activities.change(&arn).unwrap().insert(0, failed);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The last attempt of auto scaling (policy cpu) failed: Failed to set desired count to 4. Reason: AccessDenied."
            ]
        );
    }

    #[test]
    fn only_what_adds_no_task_is_why_the_others_are_busy() {
        let out = with(SuspendedState {
            dynamic_scaling_out_suspended: true,
            ..SuspendedState::default()
        });
        assert!(roots(&busy(out)).contains(&(CHECK.id(), 1)));
        assert!(roots(&busy(scale_in())).contains(&(CHECK.id(), 0)));
    }
}
