//! The digests that a deployment has pinned: whether one is another than the tag has now, and whether
//! it is still in ECR.

use crate::aws::image::{InEcr, Reference, by_digest, in_ecr};
use crate::call::Call;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Image;
use crate::snapshot::deployment::ContainerImage;

/// Whether a pinned digest must be asked about by itself: the tag is gone, or has another one now.
/// The collector asks for just these.
pub fn has_left(tag: Option<&Image>, pinned: &str) -> bool {
    tag.is_none_or(|tag| tag.image_digest != pinned)
}

/// The digest of a container's image that a revision starts its tasks from, if ECR can be asked
/// about it.
pub fn pinned(container: &ContainerImage) -> Option<(InEcr<'_>, &str)> {
    let image = in_ecr(&container.image)?;
    match (image.reference, container.image_digest.as_deref()) {
        (_, Some(digest)) | (Reference::Digest(digest), None) => Some((image, digest)),
        (Reference::Tag(_), None) => None,
    }
}

/// The proof that an image that a revision has pinned is no longer in ECR, if it is not.
pub fn gone(patient: &Patient, container: &ContainerImage) -> Result<Option<Evidence>, Blind> {
    let Some((image, digest)) =
        pinned(container).filter(|(image, _)| image.region == patient.region())
    else {
        return Ok(None);
    };
    // The tag is not asked about where another version than the current one is meant; the digest
    // is, then.
    let tag = match image.reference {
        Reference::Tag(_) => patient.image(&container.image),
        Reference::Digest(_) => Ok(None),
    };
    if let Ok(tag) = &tag
        && !has_left(*tag, digest)
    {
        return Ok(None);
    }
    let key = by_digest(image.uri, digest);
    let row = match (patient.pinned_image(&key), tag) {
        (Ok(row), _) => row,
        (Err(blind), Ok(_)) | (Err(_), Err(blind)) => return Err(blind),
    };
    Ok(match row {
        Some(row) => row
            .failure_code
            .as_deref()
            .filter(|code| *code == "ImageNotFound")
            .map(|code| Evidence::new(Call::BatchGetImage, key, "failures.failureCode", code)),
        None => Some(Evidence::new(Call::BatchGetImage, key, "images", "[]")),
    })
}
