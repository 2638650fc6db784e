//! Which code runs: for each container of each current version the tag, the digest that ECS pinned
//! when the deployment began, the digests that running tasks report, and the digest that the tag
//! has now. A task may report the platform's manifest where the tag names an index over several
//! platforms: both are the same image.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::aws::image;
use crate::aws::time;
use crate::facts::deployment::rollout;
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::{Image, Revision, Task};

/// How the four digests of a container compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// What runs is what was pinned, or what the tag has now.
    Same,
    /// The tag points at another image than the one that is pinned and runs.
    #[serde(rename = "tag_moved")]
    Moved,
    /// Tasks of one version run different images.
    Mixed,
    /// Too little is known.
    Unknown,
}

impl Compared {
    pub fn differs(self) -> bool {
        matches!(self, Compared::Moved | Compared::Mixed)
    }
}

/// One container of one version.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub revision: &'a Revision,
    pub container: &'a str,
    /// As the task definition spells it.
    pub image: &'a str,
    pub pinned: Option<&'a str>,
    /// How many running tasks report which digest.
    pub running: BTreeMap<&'a str, usize>,
    pub tag: Option<&'a Image>,
    /// The digests behind the tag, where it names an index.
    pub platforms: Option<&'a [String]>,
    pub compared: Compared,
    /// A new deployment would bring what the tag has now, and nothing says that it should not.
    pub deploy_again: bool,
}

impl Row<'_> {
    fn is_tags(&self, digest: &str) -> bool {
        let behind = |platforms: &[String]| platforms.iter().any(|platform| platform == digest);
        self.tag.is_some_and(|tag| tag.image_digest == digest) || self.platforms.is_some_and(behind)
    }

    fn compare(&self) -> Compared {
        let distinct: BTreeSet<Option<&str>> =
            self.running.keys().map(|digest| (!self.is_tags(digest)).then_some(*digest)).collect();
        let known: Vec<&str> = self.running.keys().copied().chain(self.pinned).collect();
        // An index whose platforms we could not see may have what runs behind it.
        let opaque = self.tag.is_some_and(Image::is_index) && self.platforms.is_none();
        match (distinct.len(), self.tag) {
            (2.., _) if opaque => Compared::Unknown,
            (2.., _) => Compared::Mixed,
            (_, Some(_)) if known.iter().any(|digest| self.is_tags(digest)) => Compared::Same,
            (_, Some(_)) if known.is_empty() || opaque => Compared::Unknown,
            (_, Some(_)) => Compared::Moved,
            (1, None) if self.pinned.is_some_and(|pinned| self.running.contains_key(pinned)) => {
                Compared::Same
            }
            (_, None) => Compared::Unknown,
        }
    }
}

/// A push that is younger may still be on its way into a deployment.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

/// Every container of every version that the service has now, the newest version first.
pub fn read<'a>(patient: &Patient<'a>, unseen: &mut Unseen) -> Vec<Row<'a>> {
    let arns = &patient.service().current_service_revisions;
    let mut revisions: Vec<&Revision> =
        arns.iter().filter_map(|arn| unseen.see(patient.revision(arn)).flatten()).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.created_at));
    let tasks = unseen.see(patient.running_tasks()).unwrap_or_default();
    let newest = unseen.see(rollout::newest(patient)).flatten();
    let mut rows = Vec::new();
    for revision in &revisions {
        let Some(definition) = revision
            .task_definition
            .as_deref()
            .and_then(|arn| unseen.see(patient.task_definition(arn)).flatten())
        else {
            continue;
        };
        let own = |task: &&Task| {
            task.last_status == "RUNNING" && version_of(&revisions, task) == Some(*revision)
        };
        for container in &definition.container_definitions {
            let tag = image::tagged(&container.image)
                .and_then(|_| unseen.see(patient.image(&container.image)).flatten());
            let mut running = BTreeMap::new();
            let reported = tasks
                .iter()
                .filter(own)
                .flat_map(|task| &task.containers)
                .filter(|one| one.name == container.name);
            for digest in reported.filter_map(|one| one.image_digest.as_deref()) {
                *running.entry(digest).or_default() += 1;
            }
            let platforms = tag
                .filter(|tag| tag.is_index())
                .and_then(|_| unseen.see(patient.image_platforms(&container.image)));
            let pinned =
                revision.container_images.iter().find(|one| one.container_name == container.name);
            let mut row = Row {
                revision,
                container: &container.name,
                image: &container.image,
                pinned: pinned.and_then(|one| one.image_digest.as_deref()),
                running,
                tag,
                platforms,
                compared: Compared::Unknown,
                deploy_again: false,
            };
            row.compared = row.compare();
            // After a rollback the tag has what was just rolled back: it should not be deployed
            // again.
            let stays = newest.filter(|newest| {
                newest.status == "SUCCESSFUL"
                    && newest
                        .target_service_revision
                        .iter()
                        .any(|one| one.arn == revision.service_revision_arn)
            });
            let pushed_after = |began: Option<Timestamp>| {
                tag.and_then(|tag| tag.image_pushed_at).is_some_and(|pushed| {
                    began.is_some_and(|began| began < pushed)
                        && time::age(patient.now(), pushed) >= SETTLED
                })
            };
            row.deploy_again = row.compared == Compared::Moved
                && stays.is_some_and(|newest| pushed_after(rollout::started(newest)));
            rows.push(row);
        }
    }
    rows
}

/// The version that a task is of: that of its task definition; of several, the newest that is older
/// than the task.
fn version_of<'a>(revisions: &[&'a Revision], task: &Task) -> Option<&'a Revision> {
    let same = || {
        revisions.iter().copied().filter(|revision| {
            revision.task_definition.as_deref() == Some(task.task_definition_arn.as_str())
        })
    };
    same().find(|revision| revision.created_at <= task.created_at).or(same().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;

    fn rows(snapshot: &Snapshot) -> Vec<(Compared, bool)> {
        let intent = Intent::default();
        let patient = Patient::new(snapshot, &snapshot.services[0], &intent);
        let mut unseen = Unseen::default();
        read(&patient, &mut unseen).iter().map(|row| (row.compared, row.deploy_again)).collect()
    }

    fn moved(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let tag = snapshot.images.change(&id::image("api:1.4.2")).unwrap();
        tag.image_digest = id::digest(2);
        tag.image_pushed_at = Some(minutes_ago(50));
        change(&mut snapshot);
        snapshot
    }

    fn index(snapshot: &mut Snapshot, platforms: Option<Vec<String>>) {
        let image = id::image("api:1.4.2");
        let tag = snapshot.images.change(&image).unwrap();
        tag.image_manifest_media_type = Some("application/vnd.oci.image.index.v1+json".into());
        if let Some(platforms) = platforms {
            snapshot.image_platforms.put(image, platforms);
        }
    }

    #[test]
    fn healthy_services_run_what_their_tag_has() {
        for (name, snapshot) in baseline::ALL {
            assert_eq!(rows(&snapshot()), [(Compared::Same, false)], "{name}");
        }
    }

    #[test]
    fn a_tag_that_moved_asks_for_a_new_deployment() {
        assert_eq!(rows(&moved(|_| ())), [(Compared::Moved, true)]);
    }

    #[test]
    fn a_platform_behind_the_tags_index_is_the_tags_image() {
        assert_eq!(
            rows(&moved(|snapshot| index(snapshot, Some(vec![id::digest(7), id::digest(1)])))),
            [(Compared::Same, false)]
        );
        assert_eq!(
            rows(&moved(|snapshot| index(snapshot, Some(vec![id::digest(7)])))),
            [(Compared::Moved, true)]
        );
    }

    #[test]
    fn an_index_that_nobody_could_look_into_proves_nothing() {
        assert_eq!(rows(&moved(|snapshot| index(snapshot, None))), [(Compared::Unknown, false)]);
    }

    #[test]
    fn what_was_rolled_back_is_not_asked_for_again() {
        let snapshot = moved(|snapshot| {
            baseline::roll_out(snapshot, 40, |deployment| {
                deployment.status = "ROLLBACK_SUCCESSFUL".into()
            })
        });
        assert_eq!(rows(&snapshot), [(Compared::Moved, false)]);
    }

    #[test]
    fn a_push_in_progress_asks_for_nothing() {
        let snapshot = moved(|snapshot| {
            snapshot.images.change(&id::image("api:1.4.2")).unwrap().image_pushed_at =
                Some(minutes_ago(1))
        });
        assert_eq!(rows(&snapshot), [(Compared::Moved, false)]);
    }

    #[test]
    fn tasks_of_one_version_with_two_images_are_mixed() {
        let snapshot = moved(|snapshot| {
            let arn = snapshot.services[0].service_arn.clone();
            snapshot.running_tasks.change(&arn).unwrap()[0].containers[0].image_digest =
                Some(id::digest(2));
        });
        assert_eq!(rows(&snapshot), [(Compared::Mixed, false)]);
    }

    #[test]
    fn two_versions_in_a_deployment_have_a_row_each() {
        let mut snapshot = baseline::fargate();
        baseline::roll_out(&mut snapshot, 5, |_| ());
        let arn = snapshot.services[0].service_arn.clone();
        let definition = snapshot.services[0].deployments[0].task_definition.clone().unwrap();
        snapshot
            .revisions
            .change(&snapshot.services[0].current_service_revisions[0].clone())
            .unwrap()
            .container_images[0]
            .image_digest = Some(id::digest(2));
        let task = &mut snapshot.running_tasks.change(&arn).unwrap()[0];
        task.task_definition_arn = definition;
        task.containers[0].image_digest = Some(id::digest(2));
        snapshot.images.change(&id::image("api:1.4.2")).unwrap().image_digest = id::digest(2);
        // The old version runs what the tag had before: its own row says so, and nothing asks to
        // deploy.
        assert_eq!(rows(&snapshot), [(Compared::Same, false), (Compared::Moved, false)]);
    }

    #[test]
    fn an_image_by_digest_is_compared_with_what_was_pinned() {
        let mut snapshot = baseline::fargate();
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        definition.container_definitions[0].image =
            format!("{}@{}", id::image("api"), id::digest(1));
        assert_eq!(rows(&snapshot), [(Compared::Same, false)]);
    }
}
