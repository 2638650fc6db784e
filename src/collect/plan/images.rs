//! The images that the versions run: what their tags point at now, and what is pinned.

use std::collections::{BTreeMap, BTreeSet};

use checks::aws::image::{Reference, by_digest};
use checks::facts::image::pinned::has_left;
use checks::seen::Seen;
use checks::snapshot::{Image, PinnedImage, Revision, Table, TaskDefinition};
use futures::future::{Shared, join, join_all};

use super::Plan;
use crate::collect::ecr::EcrImage;

impl Plan<'_> {
    /// The images by their tags, with the repositories they are in, and the digests that current
    /// revisions have pinned.
    pub(super) async fn images(
        &self,
        definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) {
        let (definitions, current) = join(definitions, current).await;
        let containers =
            definitions.iter().flat_map(|definition| &definition.container_definitions);
        let images = self.fresh("image", containers.map(|container| container.image.clone()));
        let here = |spelled: &String| {
            EcrImage::parse(spelled).is_some_and(|image| image.region == self.aws.region)
        };
        let images: Vec<String> = images.into_iter().filter(here).collect();
        let of_images = join_all(images.iter().map(|spelled| {
            let pinned = current
                .iter()
                .flat_map(|revision| &revision.container_images)
                .filter(move |pinned| pinned.image == *spelled);
            self.image(spelled, pinned.filter_map(|pinned| pinned.image_digest.clone()).collect())
        }));
        let repositories =
            self.repositories(images.iter().filter_map(|spelled| EcrImage::parse(spelled)));
        join(of_images, repositories).await;
    }

    pub(super) async fn repositories<'b>(&self, images: impl Iterator<Item = EcrImage<'b>>) {
        // Only a tag can be moved.
        let tagged: BTreeMap<&str, EcrImage> = images
            .filter(|image| matches!(image.reference, Reference::Tag(_)))
            .map(|image| (image.uri, image))
            .collect();
        join_all(tagged.into_iter().map(|(uri, image)| async move {
            self.keep(|s| &mut s.repositories, uri, self.aws.repository(&image)).await;
        }))
        .await;
    }

    /// One image as a task definition spells it, and what revisions have pinned of it.
    pub(super) async fn image(&self, spelled: &str, pinned: BTreeSet<String>) {
        let Some(parsed) = EcrImage::parse(spelled) else { return };
        if let Reference::Digest(digest) = parsed.reference {
            return self.pinned(parsed, [digest.to_owned()].into()).await;
        }
        let image = self.aws.image(&parsed).await;
        let (is_index, left) = match &image {
            Seen::Yes(image) => {
                let left =
                    pinned.into_iter().filter(|digest| has_left(image.as_ref(), digest)).collect();
                (image.as_ref().is_some_and(Image::is_index), left)
            }
            Seen::No(_) => (false, BTreeSet::new()),
        };
        self.note(|snapshot| snapshot.images.insert(spelled, image));
        let platforms = async {
            if is_index {
                let platforms = self.aws.image_platforms(&parsed);
                self.keep(|s| &mut s.image_platforms, spelled, platforms).await;
            }
        };
        join(platforms, self.pinned(parsed, left)).await;
    }

    /// Whether pinned digests are still in the registry, and which rule would remove them.
    pub(super) async fn pinned(&self, image: EcrImage<'_>, digests: BTreeSet<String>) {
        let keys = self.fresh("digest", digests.iter().map(|digest| by_digest(image.uri, digest)));
        if keys.is_empty() {
            return;
        }
        let images = async {
            let digests: Vec<&str> =
                keys.iter().filter_map(|key| Some(key.split_once('@')?.1)).collect();
            let found = self.aws.pinned_images(&image, &digests).await;
            self.note(|snapshot| fill_pinned(&mut snapshot.pinned_images, &keys, found));
        };
        let policy = async {
            for uri in self.fresh("lifecycle policy", [image.uri.to_owned()]) {
                let policy = self.aws.lifecycle_policy(&image);
                self.keep(|s| &mut s.lifecycle_policies, &uri, policy).await;
            }
        };
        join(images, policy).await;
    }
}

/// The same for digests, which the answer has in the order of the keys; none where the whole
/// repository is gone.
fn fill_pinned(
    table: &mut Table<PinnedImage>,
    keys: &[String],
    answer: Seen<Option<Vec<PinnedImage>>>,
) {
    match answer {
        Seen::Yes(Some(found)) => {
            keys.iter().zip(found).for_each(|(key, image)| table.put(key, image))
        }
        Seen::Yes(None) => keys.iter().for_each(|key| table.insert(key, Seen::Yes(None))),
        Seen::No(why) => keys.iter().for_each(|key| table.insert(key, Seen::No(why.clone()))),
    }
}
