//! The versions of a service: its deployments, its revisions and their task definitions.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use checks::seen::Seen;
use checks::snapshot::{Revision, Table, TaskDefinition};
use futures::future::{Shared, join, join_all};

use super::Plan;
use crate::collect::ecr::EcrImage;
use crate::collect::{known, last, take};

/// How many of the newest deployments have their revisions read, beside the last one that
/// succeeded.
const REVISIONS: usize = 4;

impl Plan<'_> {
    pub(super) async fn current_revisions(&self) -> Vec<Revision> {
        self.revisions(self.service.current_service_revisions.clone()).await
    }

    pub(super) async fn revisions(&self, arns: Vec<String>) -> Vec<Revision> {
        let mut table = Table::default();
        let mut fresh: BTreeSet<String> = self.fresh("revision", arns).into_iter().collect();
        fresh.retain(|arn| match take(&mut self.aws.memory().revisions, arn) {
            Some(revision) => {
                table.insert(arn, revision);
                false
            }
            None => true,
        });
        table.0.extend(self.aws.revisions(fresh).await.0);
        let found = known(&table);
        self.note(|snapshot| snapshot.revisions.0.extend(table.0));
        found
    }

    /// The deployments, and the versions of the newest and of the last that succeeded, with their
    /// task definitions.
    pub(super) async fn history(&self, current: Shared<impl Future<Output = Vec<Revision>>>) {
        let arn = self.service.service_arn.clone();
        let listed = self.aws.listed_deployments(self.service).await;
        let described = async {
            let described = self.aws.service_deployments(&listed).await;
            self.note(|snapshot| snapshot.service_deployments.insert(&arn, described.map(Some)));
            self.refusals().await;
        };
        let versions = async {
            let listed = match &listed {
                Seen::Yes(listed) => listed.as_slice(),
                Seen::No(_) => &[],
            };
            let good = listed.iter().filter(|deployment| deployment.status == "SUCCESSFUL").take(2);
            let good: Vec<String> = good
                .filter_map(|deployment| deployment.target_service_revision_arn.clone())
                .collect();
            let newest = listed
                .iter()
                .take(REVISIONS)
                .filter_map(|deployment| deployment.target_service_revision_arn.clone());
            let wanted = newest.chain(good.iter().cloned());
            let wanted = wanted
                .filter(|arn| !self.service.current_service_revisions.contains(arn))
                .collect();
            let older = self.revisions(wanted).await;
            let newest = current.await;
            let definitions = self.definitions(
                older
                    .iter()
                    .chain(&newest)
                    .filter_map(|revision| revision.task_definition.clone())
                    .collect(),
            );
            let goes_back = listed.first().is_some_and(|newest| {
                newest.status.starts_with("ROLLBACK_") && newest.status != "ROLLBACK_SUCCESSFUL"
            });
            let last_good = older.iter().filter(|revision| {
                goes_back && good.first() == Some(&revision.service_revision_arn)
            });
            join(definitions, self.way_back(last_good)).await;
        };
        join(described, versions).await;
        self.note(|snapshot| snapshot.listed_deployments.insert(&arn, listed.map(Some)));
    }

    /// Whether the version that ECS goes back to still has its images. Those of current versions
    /// are asked about anyway.
    pub(super) async fn way_back<'b>(&self, revisions: impl Iterator<Item = &'b Revision>) {
        let images = revisions.flat_map(|revision| &revision.container_images);
        let pinned = images.filter_map(|image| {
            Some((EcrImage::parse(&image.image)?, image.image_digest.clone()?))
        });
        let here = pinned.filter(|(image, _)| image.region == self.aws.region);
        join_all(here.map(|(image, digest)| self.pinned(image, [digest].into()))).await;
    }

    pub(super) async fn express_service(&self) {
        if self.is_express() {
            let arn = &self.service.service_arn;
            let express = self.aws.express_service(arn);
            self.keep(|s| &mut s.express_services, arn, express).await;
        }
    }

    pub(super) fn definitions_of_deployments(&self) -> Vec<String> {
        let own = self.service.task_definition.as_deref();
        self.service.definitions().chain(own).map(str::to_owned).collect()
    }

    pub(super) async fn definitions(&self, arns: Vec<String>) -> Vec<TaskDefinition> {
        let arns: BTreeSet<String> = arns.into_iter().filter(|arn| !arn.is_empty()).collect();
        join_all(arns.iter().map(|arn| self.definition(arn))).await.into_iter().flatten().collect()
    }

    /// Several parts of the plan need the same task definition: the first asks, the others wait for
    /// the answer.
    pub(super) async fn definition(&self, arn: &str) -> Option<TaskDefinition> {
        let answer = Arc::clone(
            self.definitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(arn.to_owned())
                .or_default(),
        );
        let ask = || async {
            let definition = self.aws.task_definition(arn).await;
            let known =
                if let Seen::Yes(definition) = &definition { definition.clone() } else { None };
            self.note(|snapshot| snapshot.task_definitions.insert(arn, definition));
            known
        };
        answer.get_or_init(ask).await.clone()
    }

    /// Whether a newer version is registered than any that is deployed; a service has one family of
    /// them.
    pub(super) async fn newest_revisions(&self) {
        let families = self.definitions_of_deployments();
        let families =
            families.iter().filter_map(|arn| Some(last(arn).split_once(':')?.0.to_owned()));
        join_all(self.fresh("family", families).iter().map(|family| {
            self.keep(|s| &mut s.newest_revisions, family, self.aws.newest_revisions(family))
        }))
        .await;
    }
}
