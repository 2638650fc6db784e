//! What ECR tells of an image: the digest that its tag has now, for several platforms the digests
//! behind it, and what may move the tag or remove the image.

use aws_sdk_ecr::types::ImageIdentifier;
use checks::aws::image::{InEcr, Reference, in_ecr};
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::image::LifecycleRule;
use checks::snapshot::{Image, LifecyclePolicy, PinnedImage, Repository};
use serde::Deserialize;

use super::{Aws, text, time};

/// A repository of ECR, with an image by its tag, or by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcrImage<'a> {
    pub account: &'a str,
    pub region: &'a str,
    /// ECR's URI of the repository.
    pub uri: &'a str,
    pub repository: &'a str,
    pub reference: Reference<'a>,
}

impl<'a> EcrImage<'a> {
    /// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2`; none for another registry.
    pub fn parse(image: &'a str) -> Option<EcrImage<'a>> {
        let InEcr { uri, account, region, repository, reference } = in_ecr(image)?;
        Some(EcrImage { account, region, uri, repository, reference })
    }

    fn id(&self) -> ImageIdentifier {
        match self.reference {
            Reference::Tag(tag) => ImageIdentifier::builder().image_tag(tag).build(),
            Reference::Digest(digest) => ImageIdentifier::builder().image_digest(digest).build(),
        }
    }
}

/// Every kind of manifest that a digest can be of.
const MANIFESTS: [&str; 5] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    digest: String,
}

impl Aws {
    pub async fn image(&self, image: &EcrImage<'_>) -> Seen<Option<Image>> {
        let request = self
            .ecr
            .describe_images()
            .registry_id(image.account)
            .repository_name(image.repository)
            .image_ids(image.id())
            .send();
        self.asker.ask(Call::DescribeImages, request).await.map(|reply| {
            let detail = reply.and_then(|reply| reply.image_details?.into_iter().next())?;
            Some(Image {
                repository_name: detail.repository_name.unwrap_or_default(),
                image_digest: detail.image_digest.unwrap_or_default(),
                image_tags: detail.image_tags.unwrap_or_default(),
                image_pushed_at: time(detail.image_pushed_at),
                image_manifest_media_type: detail.image_manifest_media_type,
                image_status: text(detail.image_status),
            })
        })
    }

    /// Digests of the platform manifests behind a multi-architecture tag.
    pub async fn image_platforms(&self, image: &EcrImage<'_>) -> Seen<Option<Vec<String>>> {
        let request = self
            .ecr
            .batch_get_image()
            .registry_id(image.account)
            .repository_name(image.repository)
            .image_ids(image.id())
            .accepted_media_types("application/vnd.oci.image.index.v1+json")
            .accepted_media_types("application/vnd.docker.distribution.manifest.list.v2+json")
            .send();
        self.asker.ask(Call::BatchGetImage, request).await.map(|reply| {
            let manifest = reply
                .and_then(|reply| reply.images?.into_iter().next())
                .and_then(|image| image.image_manifest)?;
            let index: Option<Index> = serde_json::from_str(&manifest).ok();
            index.map(|index| index.manifests.into_iter().map(|manifest| manifest.digest).collect())
        })
    }
}

impl Aws {
    /// Whether these digests are still in the repository; in the order in which they are asked
    /// about.
    pub async fn pinned_images(
        &self,
        image: &EcrImage<'_>,
        digests: &[&str],
    ) -> Seen<Option<Vec<PinnedImage>>> {
        let ids = digests
            .iter()
            .map(|digest| ImageIdentifier::builder().image_digest(*digest).build())
            .collect();
        let request = self
            .ecr
            .batch_get_image()
            .registry_id(image.account)
            .repository_name(image.repository)
            .set_image_ids(Some(ids));
        let request = request.set_accepted_media_types(Some(
            MANIFESTS.iter().map(|kind| (*kind).to_owned()).collect(),
        ));
        self.asker.ask(Call::BatchGetImage, request.send()).await.map(|reply| {
            let failures = reply?.failures.unwrap_or_default();
            let failure = |digest: &str| {
                failures.iter().find(|failure| {
                    failure.image_id.as_ref().and_then(|id| id.image_digest()) == Some(digest)
                })
            };
            let pinned = |digest: &&str| PinnedImage {
                image_digest: (*digest).to_owned(),
                failure_code: failure(digest)
                    .and_then(|failure| text(failure.failure_code.clone())),
            };
            Some(digests.iter().map(pinned).collect())
        })
    }

    /// The repository itself: whether its tags can be moved.
    pub async fn repository(&self, image: &EcrImage<'_>) -> Seen<Option<Repository>> {
        let request = self
            .ecr
            .describe_repositories()
            .registry_id(image.account)
            .repository_names(image.repository)
            .send();
        self.asker.ask(Call::DescribeRepositories, request).await.map(|reply| {
            let found = reply.and_then(|reply| reply.repositories?.into_iter().next())?;
            let filters = found.image_tag_mutability_exclusion_filters.unwrap_or_default();
            Some(Repository {
                repository_name: found.repository_name.unwrap_or_default(),
                repository_uri: found.repository_uri.unwrap_or_default(),
                image_tag_mutability: text(found.image_tag_mutability),
                image_tag_mutability_exclusion_filters: filters
                    .into_iter()
                    .map(|filter| filter.filter)
                    .collect(),
            })
        })
    }

    /// What removes images from the repository by itself.
    pub async fn lifecycle_policy(&self, image: &EcrImage<'_>) -> Seen<Option<LifecyclePolicy>> {
        let request = self
            .ecr
            .get_lifecycle_policy()
            .registry_id(image.account)
            .repository_name(image.repository)
            .send();
        self.asker.ask(Call::GetLifecyclePolicy, request).await.map(|reply| {
            let policy: Policy = serde_json::from_str(&reply?.lifecycle_policy_text?).ok()?;
            let mut rules: Vec<LifecycleRule> =
                policy.rules.into_iter().map(lifecycle_rule).collect();
            rules.sort_by_key(|rule| rule.rule_priority);
            Some(LifecyclePolicy { rules })
        })
    }
}

/// The text of a lifecycle policy, as far as it matters here.
#[derive(Deserialize)]
struct Policy {
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyRule {
    rule_priority: i64,
    selection: Selection,
    action: PolicyAction,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: String,
    count_type: String,
    count_unit: Option<String>,
    count_number: i64,
}

#[derive(Deserialize)]
struct PolicyAction {
    r#type: String,
}

fn lifecycle_rule(from: PolicyRule) -> LifecycleRule {
    let Selection { tag_status, count_type, count_unit, count_number } = from.selection;
    LifecycleRule {
        rule_priority: from.rule_priority,
        tag_status,
        count_type,
        count_unit,
        count_number,
        action: from.action.r#type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_ecr_images_by_tag_and_digest() {
        let image = |text| {
            EcrImage::parse(text)
                .map(|image| (image.account, image.region, image.repository, image.reference))
        };
        let account = "123456789012";
        let tag =
            |region, repository, tag| Some((account, region, repository, Reference::Tag(tag)));
        assert_eq!(
            image("123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2"),
            tag("eu-west-2", "team/api", "1.2")
        );
        assert_eq!(
            image("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api"),
            tag("cn-north-1", "api", "latest")
        );
        let digest = Reference::Digest("sha256:00");
        assert_eq!(
            image("123456789012.dkr.ecr.eu-west-2.amazonaws.com/api@sha256:00"),
            Some((account, "eu-west-2", "api", digest))
        );
        assert_eq!(image("nginx:1.27"), None);
        assert_eq!(image("public.ecr.aws/nginx/nginx:1.27"), None);
    }
}
