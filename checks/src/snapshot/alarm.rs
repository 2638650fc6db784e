//! CloudWatch alarms that a deployment watches, and when they changed their state.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Alarm {
    pub alarm_name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state_value: String,
    pub state_reason: Option<String>,
    pub state_updated_timestamp: Option<Timestamp>,
    pub threshold: Option<f64>,
    pub comparison_operator: Option<String>,
    pub evaluation_periods: Option<i32>,
    pub datapoints_to_alarm: Option<i32>,
    pub treat_missing_data: Option<String>,
    /// Every metric that it looks at, in an expression or alone.
    pub metric_names: Vec<String>,
    pub expressions: Vec<String>,
    /// Target groups (`targetgroup/…`) among its dimensions.
    pub target_groups: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AlarmTransition {
    pub timestamp: Option<Timestamp>,
    /// `Alarm updated from OK to ALARM`.
    pub history_summary: String,
}

impl AlarmTransition {
    pub fn to_alarm(&self) -> bool {
        self.history_summary.ends_with("to ALARM")
    }
}
