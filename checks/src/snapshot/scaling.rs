//! What scales a service: its bounds, policies and schedules in Application Auto Scaling, and what
//! these did lately.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounds within which auto scaling sets `desiredCount`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScalableTarget {
    /// `service/<cluster>/<service>`
    pub resource_id: String,
    pub min_capacity: i32,
    pub max_capacity: i32,
    pub suspended_state: SuspendedState,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SuspendedState {
    pub dynamic_scaling_in_suspended: bool,
    pub dynamic_scaling_out_suspended: bool,
    pub scheduled_scaling_suspended: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScalingPolicy {
    pub policy_name: String,
    /// `TargetTrackingScaling`, `StepScaling` or `PredictiveScaling`.
    pub policy_type: String,
    /// Of target tracking: the value that it holds.
    pub target_value: Option<f64>,
    /// Of target tracking: `ECSServiceAverageCPUUtilization` and its like.
    pub predefined_metric_type: Option<String>,
    /// Of target tracking by a metric of the user's own.
    pub metric_name: Option<String>,
    /// Of target tracking by requests: the load balancer and the target group that are counted, as
    /// `app/<name>/<id>/targetgroup/<name>/<id>`.
    pub resource_label: Option<String>,
    /// Target groups (`targetgroup/…`) among the dimensions of a metric of the user's own.
    pub target_groups: Vec<String>,
    /// The CloudWatch alarms that trigger it.
    pub alarm_names: Vec<String>,
}

impl ScalingPolicy {
    /// The target groups whose metrics it watches, as the end of their ARNs.
    pub fn watched_groups(&self) -> Vec<&str> {
        let label = self.resource_label.as_deref();
        let labelled = label.and_then(|label| Some(&label[label.find("targetgroup/")?..]));
        self.target_groups.iter().map(String::as_str).chain(labelled).collect()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScalingActivity {
    pub activity_id: String,
    /// `Setting desired count to 4.`
    pub description: String,
    /// `monitor alarm … in state ALARM triggered policy …`
    pub cause: String,
    pub start_time: Option<Timestamp>,
    /// `Pending`, `InProgress`, `Successful`, `Overridden`, `Unfulfilled` or `Failed`.
    pub status_code: String,
    pub status_message: Option<String>,
    /// Where it was tried and nothing was changed.
    pub not_scaled_reasons: Vec<NotScaledReason>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NotScaledReason {
    /// `AlreadyAtMaxCapacity`, `AlreadyAtMinCapacity`, `AlreadyAtDesiredCapacity`,
    /// `AutoScalingAnticipatedFlapping` or `TargetServicePutResourceAsUnscalable`.
    pub code: String,
    pub max_capacity: Option<i32>,
}

/// A change of the bounds at set times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScheduledAction {
    pub scheduled_action_name: String,
    /// `cron(…)`, `rate(…)` or `at(…)`.
    pub schedule: String,
    pub timezone: Option<String>,
    pub min_capacity: Option<i32>,
    pub max_capacity: Option<i32>,
}
