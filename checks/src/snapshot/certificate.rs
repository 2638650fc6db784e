//! The certificates that listeners show to clients, as Elastic Load Balancing and ACM tell them.
//! Names and dates only.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate of a listener. Beside the default there may be many: the client's host name picks
/// one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListenerCertificate {
    pub certificate_arn: String,
    pub is_default: bool,
}

/// A certificate as ACM's list has it. Those that were uploaded to IAM are not in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Certificate {
    pub certificate_arn: String,
    pub domain_name: Option<String>,
    /// The first hundred names; `domain_name` is among them.
    pub subject_alternative_name_summaries: Vec<String>,
    pub has_additional_subject_alternative_names: bool,
    /// `ISSUED`, `EXPIRED`, `PENDING_VALIDATION`, `REVOKED` and others.
    pub status: Option<String>,
    /// `IMPORTED`, `AMAZON_ISSUED` or `PRIVATE`; the field is called `Type` at AWS.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `ELIGIBLE` or `INELIGIBLE`: whether ACM renews it.
    pub renewal_eligibility: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}
