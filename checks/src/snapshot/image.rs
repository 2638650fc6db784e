//! Images and their repositories as ECR tells them: what a tag points at now, and what may move or
//! remove it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Image {
    pub repository_name: String,
    pub image_digest: String,
    pub image_tags: Vec<String>,
    pub image_pushed_at: Option<Timestamp>,
    pub image_manifest_media_type: Option<String>,
    pub image_status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Repository {
    pub repository_name: String,
    /// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api`
    pub repository_uri: String,
    /// `MUTABLE`, `IMMUTABLE`, `IMMUTABLE_WITH_EXCLUSION` or `MUTABLE_WITH_EXCLUSION`.
    pub image_tag_mutability: Option<String>,
    /// Patterns of the tags for which the opposite holds, with `*` for any characters.
    pub image_tag_mutability_exclusion_filters: Vec<String>,
}

/// An image that a deployment has pinned by its digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PinnedImage {
    pub image_digest: String,
    /// `ImageNotFound` and others; absent where the registry has it.
    pub failure_code: Option<String>,
}

/// What removes images from a repository by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LifecyclePolicy {
    /// The lowest priority is looked at first.
    pub rules: Vec<LifecycleRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LifecycleRule {
    pub rule_priority: i64,
    /// `untagged`, `tagged` or `any`.
    pub tag_status: String,
    /// `sinceImagePushed`, `imageCountMoreThan` and others.
    pub count_type: String,
    /// `days`, where it counts time.
    pub count_unit: Option<String>,
    pub count_number: i64,
    /// `expire`, or a transition to another storage class. The field is called `action.type` at
    /// AWS.
    pub action: String,
}

impl Image {
    /// Whether the digest is that of an index, with one manifest a platform behind it.
    pub fn is_index(&self) -> bool {
        self.image_manifest_media_type
            .as_deref()
            .is_some_and(|kind| kind.contains("image.index") || kind.contains("manifest.list"))
    }
}
