//! Who changed something: write events of CloudTrail, where the user asked for them. Of a request
//! and its answer nothing enters: they hold what people typed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Table;

/// What CloudTrail has of the resources on a service's path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Trail {
    /// From when on it was asked.
    pub since: Timestamp,
    /// By resource: an ARN, or the id or name that AWS uses for it; newest first.
    pub events: Table<Vec<TrailEvent>>,
    /// Resources that have more events than were read: only the newest are there.
    pub cut: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TrailEvent {
    pub event_id: String,
    pub event_time: Option<Timestamp>,
    /// `ModifyRule`
    pub event_name: String,
    /// `elasticloadbalancing.amazonaws.com`
    pub event_source: String,
    /// The name of a user, or of a role's session.
    pub username: Option<String>,
    /// The role, if one was assumed. CloudTrail calls it `sessionContext.sessionIssuer.userName`.
    pub role: Option<String>,
    /// The AWS service that did it, for somebody or by itself.
    pub invoked_by: Option<String>,
    /// Why it was refused, if it was: then nothing has changed.
    pub error_code: Option<String>,
}
