//! Images as task definitions spell them, taken apart: registry, repository, tag, digest.

use super::host::{self, AwsHost};

/// An image in a private ECR registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InEcr<'a> {
    /// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api`, which is also ECR's URI of the
    /// repository.
    pub uri: &'a str,
    pub account: &'a str,
    /// The region of its registry: only images of the service's own region are asked about.
    pub region: &'a str,
    pub repository: &'a str,
    pub reference: Reference<'a>,
}

/// What tells an image from the others of its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    Tag(&'a str),
    Digest(&'a str),
}

/// Takes the spelling of an image apart; none for another registry. Without a tag it is `latest`,
/// and beside a digest no tag counts.
pub fn in_ecr(image: &str) -> Option<InEcr<'_>> {
    let (host, path) = image.split_once('/')?;
    let AwsHost::Ecr { account, region } = host::of_aws(host)? else { return None };
    let (name, digest) =
        path.split_once('@').map_or((path, None), |(name, digest)| (name, Some(digest)));
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let uri = image.get(..host.len() + 1 + repository.len())?;
    Some(InEcr {
        uri,
        account,
        region,
        repository,
        reference: digest.map_or(Reference::Tag(tag), Reference::Digest),
    })
}

/// An image in a private ECR registry by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    pub repository: &'a str,
    pub tag: &'a str,
}

/// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2`; none for another registry, and none
/// with a digest, for which no tag counts. Without a tag it is `latest`.
pub fn tagged(image: &str) -> Option<Tagged<'_>> {
    match in_ecr(image)? {
        InEcr { repository, reference: Reference::Tag(tag), .. } => {
            Some(Tagged { repository, tag })
        }
        InEcr { reference: Reference::Digest(_), .. } => None,
    }
}

/// The key of an image by its digest: `…/team/api@sha256:…`.
pub fn by_digest(uri: &str, digest: &str) -> String {
    format!("{uri}@{digest}")
}

/// The beginning of a digest, enough to tell two apart: `sha256:0123456789ab`.
pub fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_in_private_ecr_can_be_asked_about() {
        let parts = |image| tagged(image).map(|tagged| (tagged.repository, tagged.tag));
        assert_eq!(
            parts("123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2"),
            Some(("team/api", "1.2"))
        );
        assert_eq!(
            parts("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api"),
            Some(("api", "latest"))
        );
        assert_eq!(
            parts("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/api:2"),
            Some(("api", "2"))
        );
        assert_eq!(parts("123456789012.dkr-ecr.eu-west-2.on.aws/api:2"), Some(("api", "2")));
        for other in [
            "123456789012.dkr.ecr.eu-west-2.amazonaws.com/api@sha256:00",
            "nginx:1.27",
            "public.ecr.aws/nginx/nginx:1.27",
        ] {
            assert_eq!(parts(other), None, "{other}");
        }
    }

    #[test]
    fn an_image_by_digest_has_its_repository() {
        let uri = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api";
        for spelled in [format!("{uri}@sha256:00"), format!("{uri}:1.2@sha256:00")] {
            assert_eq!(
                in_ecr(&spelled),
                Some(InEcr {
                    uri,
                    account: "123456789012",
                    region: "eu-west-2",
                    repository: "team/api",
                    reference: Reference::Digest("sha256:00")
                }),
                "{spelled}"
            );
        }
        let tagged = format!("{uri}:1.2");
        assert_eq!(
            in_ecr(&tagged).map(|image| by_digest(image.uri, "sha256:01")),
            Some(format!("{uri}@sha256:01"))
        );
        assert_eq!(in_ecr("public.ecr.aws/nginx/nginx:1.27"), None);
    }
}
