//! What auto scaling does with a service: its bounds, what it was refused, and its activities in
//! words. A daemon service has none: it runs one task per instance.

use std::sync::LazyLock;

use regex::Regex;

use crate::call::Call;
use crate::command::{Command, Words};
use crate::facts::tasks::metric;
use crate::finding::Evidence;
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::metric::Metric;
use crate::snapshot::{ScalableTarget, ScalingActivity, ScalingPolicy, Service};
use crate::text::{count, pattern};
use crate::{aws, hcl};

/// What Application Auto Scaling calls the service; none for one that it cannot scale.
pub fn resource(service: &Service) -> Option<String> {
    let cluster = service.cluster_arn.rsplit('/').next().unwrap_or(&service.cluster_arn);
    let is_daemon = service.scheduling_strategy.as_deref() == Some("DAEMON");
    (!is_daemon).then(|| format!("service/{cluster}/{}", service.service_name))
}

/// Whether the schedule tells anything: of a service at zero, and where schedules are suspended.
/// Where no policy scales the service, it does, too.
pub fn needs_schedule(service: &Service, target: &ScalableTarget) -> bool {
    service.desired_count == 0 || target.suspended_state.scheduled_scaling_suspended
}

/// `1 task`, `4 tasks`
pub fn tasks(number: i32) -> String {
    count(number.max(0), "task")
}

/// The bounds of auto scaling; none where nothing scales the service.
pub fn target<'a>(patient: &Patient<'a>) -> Result<Option<&'a ScalableTarget>, Blind> {
    if resource(patient.service()).is_none() { Ok(None) } else { patient.scalable_target() }
}

/// What it did, or tried and did not do, newest first.
pub fn activities<'a>(patient: &Patient<'a>) -> Result<&'a [ScalingActivity], Blind> {
    if target(patient)?.is_none() { Ok(&[]) } else { patient.scaling_activities() }
}

/// Whether the tasks have used up their CPU or their memory for minutes on end.
pub fn is_overloaded(patient: &Patient) -> Result<bool, Blind> {
    for metric in [Metric::Cpu, Metric::Memory] {
        if metric::lasting(patient, metric, patient.arn(), metric::LASTING, metric::BUSY)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The alarms of the scaling policies, where they matter: the tasks have more to do than they can,
/// and nothing is done about it. CPU and memory that are used up are known to be measured.
pub fn alarms_to_see(patient: &Patient) -> Vec<String> {
    let mut unseen = Unseen::default();
    let policies = match unseen.see(is_overloaded(patient)) {
        Some(true) => unseen.see(patient.scaling_policies()).unwrap_or_default(),
        Some(false) | None => &[],
    };
    let measured = |policy: &&ScalingPolicy| {
        let metric = policy.predefined_metric_type.as_deref();
        metric.is_some_and(|metric| metric.starts_with("ECSServiceAverage"))
    };
    let others = policies.iter().filter(|policy| !measured(policy));
    others.flat_map(|policy| policy.alarm_names.iter().cloned()).collect()
}

/// Evidence from the bounds.
pub fn evidence(patient: &Patient, field: &'static str, value: impl ToString) -> Evidence {
    Evidence::new(Call::DescribeScalableTargets, patient.arn(), field, value)
}

/// Evidence from an activity.
pub fn did(activity: &ScalingActivity, field: &'static str, value: impl ToString) -> Evidence {
    Evidence::new(Call::DescribeScalingActivities, &activity.activity_id, field, value)
        .at(activity.start_time)
}

/// The command that changes the bounds, or what is suspended.
pub fn register(patient: &Patient, options: Words) -> Command {
    aws!(
        "application-autoscaling register-scalable-target --service-namespace ecs \
         --scalable-dimension ecs:service:DesiredCount --resource-id service/{}/{}",
        patient.cluster(),
        patient.name()
    )
    .and(options)
}

/// The same in Terraform/OpenTofu: lines of the scalable target.
pub fn terraform(patient: &Patient, lines: Hcl) -> Hcl {
    hcl!(
        r#"
        resource "aws_appautoscaling_target" {} {
          {}
        }"#,
        patient.name(),
        lines
    )
}

impl ScalingActivity {
    /// Whether it wanted more tasks than its maximum allows.
    pub fn refused_at_maximum(&self) -> bool {
        self.not_scaled_reasons.iter().any(|reason| reason.code == "AlreadyAtMaxCapacity")
    }

    /// Whether it tried and AWS failed it, rather than that there was nothing to do.
    pub fn failed(&self) -> bool {
        self.status_code == "Failed" && self.not_scaled_reasons.is_empty()
    }

    /// What moved it: `policy cpu`, `scheduled action night`; else AWS's words.
    pub fn moved_by(&self) -> String {
        let found = MOVED_BY.as_ref().and_then(|pattern| pattern.captures(&self.cause));
        match found.as_ref().map(|found| (found.name("policy"), found.name("schedule"))) {
            Some((Some(policy), _)) => format!("policy {}", policy.as_str()),
            Some((_, Some(schedule))) => format!("scheduled action {}", schedule.as_str()),
            _ => self.cause.trim_end_matches('.').to_owned(),
        }
    }
}

static MOVED_BY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"triggered policy (?<policy>\S+?)\.?$|^scheduled action name (?<schedule>.+) was triggered",
    )
});

/// An activity in a few words; none for a try with nothing to do.
pub fn words(activity: &ScalingActivity) -> Option<String> {
    let by = activity.moved_by();
    let what = activity.description.trim_end_matches('.');
    if activity.refused_at_maximum() {
        return Some(format!("auto scaling wants more tasks than its maximum ({by})"));
    }
    if !activity.not_scaled_reasons.is_empty() {
        return None;
    }
    let what = what
        .strip_prefix("Setting ")
        .map_or_else(|| what.to_owned(), |what| format!("sets {what}"));
    if activity.failed() {
        let why = activity
            .status_message
            .as_deref()
            .map_or_else(String::new, |why| format!(": {}", why.trim_end_matches('.')));
        return Some(format!("auto scaling {what} ({by}), which fails{why}"));
    }
    Some(format!("auto scaling {what} ({by})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::NotScaledReason;

    fn activity(description: &str, cause: &str) -> ScalingActivity {
        ScalingActivity {
            description: description.into(),
            cause: cause.into(),
            status_code: "Successful".into(),
            ..ScalingActivity::default()
        }
    }

    #[test]
    fn says_what_was_done_and_by_whom() {
        let alarm = "monitor alarm TargetTracking-service/prod/api-AlarmHigh-92d0f1ab in state ALARM triggered policy cpu";
        let cases = [
            (
                activity("Setting desired count to 4.", alarm),
                "auto scaling sets desired count to 4 (policy cpu)",
            ),
            (
                activity(
                    "Setting min capacity to 0 and max capacity to 0",
                    "scheduled action name night was triggered",
                ),
                "auto scaling sets min capacity to 0 and max capacity to 0 (scheduled action night)",
            ),
            (
                activity("Setting desired count to 0.", "maximum capacity was set to 0"),
                "auto scaling sets desired count to 0 (maximum capacity was set to 0)",
            ),
        ];
        for (activity, expected) in cases {
            assert_eq!(words(&activity).as_deref(), Some(expected));
        }
        let failed = ScalingActivity {
            status_code: "Failed".into(),
            status_message: Some("Failed to set desired count to 4.".into()),
            ..activity("Setting desired count to 4.", alarm)
        };
        assert_eq!(
            words(&failed).as_deref(),
            Some(
                "auto scaling sets desired count to 4 (policy cpu), which fails: Failed to set desired count to 4"
            )
        );
    }

    #[test]
    fn a_try_with_nothing_to_do_is_no_news() {
        let tried = |code: &str| ScalingActivity {
            status_code: "Failed".into(),
            not_scaled_reasons: vec![NotScaledReason { code: code.into(), max_capacity: None }],
            ..activity(
                "Attempting to scale due to alarm triggered",
                "monitor alarm a in state ALARM triggered policy cpu",
            )
        };
        assert_eq!(words(&tried("AlreadyAtMinCapacity")), None);
        assert!(!tried("AlreadyAtMinCapacity").failed());
        assert_eq!(
            words(&tried("AlreadyAtMaxCapacity")).as_deref(),
            Some("auto scaling wants more tasks than its maximum (policy cpu)")
        );
    }
}
