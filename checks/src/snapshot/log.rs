//! Log lines, masked before they get here: keys, tokens and passwords never enter a snapshot.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogLine {
    pub timestamp: Option<Timestamp>,
    pub message: String,
    /// The stream, which ends in the task's id.
    pub log_stream_name: String,
}
