//! What ECR tells of a tag: the digest that it has now, and for several platforms the digests behind it.

use aws_sdk_ecr::types::ImageIdentifier;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::Image;
use serde::Deserialize;

use super::{Aws, text, time};

/// An image in ECR by tag, as a task definition spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcrImage<'a> {
    pub account: &'a str,
    pub region: &'a str,
    pub repository: &'a str,
    pub tag: &'a str,
}

impl<'a> EcrImage<'a> {
    /// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2`; none for another registry, or with a digest.
    pub fn parse(image: &'a str) -> Option<EcrImage<'a>> {
        let (host, path) = image.split_once('/')?;
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let region = rest.split_once(".amazonaws.com")?.0;
        if path.contains('@') || account.len() != 12 {
            return None;
        }
        let (repository, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
        Some(EcrImage { account, region, repository, tag })
    }

    fn id(&self) -> ImageIdentifier {
        ImageIdentifier::builder().image_tag(self.tag).build()
    }
}

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
        let request = self.ecr.describe_images().registry_id(image.account).repository_name(image.repository).image_ids(image.id()).send();
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
            let manifest = reply.and_then(|reply| reply.images?.into_iter().next()).and_then(|image| image.image_manifest)?;
            let index: Option<Index> = serde_json::from_str(&manifest).ok();
            index.map(|index| index.manifests.into_iter().map(|manifest| manifest.digest).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_ecr_images_by_tag() {
        let image = |text| EcrImage::parse(text).map(|image| (image.region, image.repository, image.tag));
        assert_eq!(image("123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2"), Some(("eu-west-2", "team/api", "1.2")));
        assert_eq!(image("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api"), Some(("cn-north-1", "api", "latest")));
        assert_eq!(image("123456789012.dkr.ecr.eu-west-2.amazonaws.com/api@sha256:00"), None);
        assert_eq!(image("nginx:1.27"), None);
        assert_eq!(image("public.ecr.aws/nginx/nginx:1.27"), None);
    }
}
