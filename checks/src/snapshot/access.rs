//! What IAM tells of a role that was refused something: whom it trusts, and whether its policies
//! allow one action on one resource. Asked for only after a failure that names them. Of a trust
//! policy only what is trusted enters, no conditions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Role {
    pub role_name: String,
    pub arn: String,
    pub assume_role_policy_document: TrustPolicy,
}

/// A trust policy, in short.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TrustPolicy {
    /// The services that it lets assume the role.
    pub service: Vec<String>,
    /// Keys of conditions under which it does, such as `aws:SourceAccount`.
    pub condition: Vec<String>,
    /// Whether some statement denies.
    pub denies: bool,
}

/// What `SimulatePrincipalPolicy` says of one role, one action and one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Simulation {
    pub policy_source_arn: String,
    pub eval_action_name: String,
    pub eval_resource_name: Option<String>,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub eval_decision: String,
    /// The policies with the statements that decided.
    pub matched_statements: Vec<MatchedStatement>,
    /// Keys of conditions that a simulation cannot know.
    pub missing_context_values: Vec<String>,
    pub allowed_by_permissions_boundary: Option<bool>,
    pub allowed_by_organizations: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MatchedStatement {
    pub source_policy_id: Option<String>,
    pub source_policy_type: Option<String>,
}
