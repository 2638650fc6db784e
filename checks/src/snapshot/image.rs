//! Images as ECR tells them: what a tag points at now.

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

impl Image {
    /// Whether the digest is that of an index, with one manifest a platform behind it.
    pub fn is_index(&self) -> bool {
        self.image_manifest_media_type.as_deref().is_some_and(|kind| kind.contains("image.index") || kind.contains("manifest.list"))
    }
}
