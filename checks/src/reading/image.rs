//! Images as task definitions spell them: which of them ECR can be asked about by tag.

/// An image in a private ECR registry by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    pub repository: &'a str,
    pub tag: &'a str,
}

/// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2`; none for another registry, and none with a digest,
/// for which no tag counts. Without a tag it is `latest`.
pub fn tagged(image: &str) -> Option<Tagged<'_>> {
    let (host, path) = image.split_once('/')?;
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    if account.len() != 12 || !rest.contains(".amazonaws.com") || path.contains('@') {
        return None;
    }
    let (repository, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
    Some(Tagged { repository, tag })
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
        assert_eq!(parts("123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2"), Some(("team/api", "1.2")));
        assert_eq!(parts("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api"), Some(("api", "latest")));
        for other in ["123456789012.dkr.ecr.eu-west-2.amazonaws.com/api@sha256:00", "nginx:1.27", "public.ecr.aws/nginx/nginx:1.27"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
