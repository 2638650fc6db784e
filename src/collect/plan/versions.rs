//! The versions of a service: its deployments, its revisions and their task definitions.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use checks::aws::event::{self, Event};
use checks::facts::tasks::stop::StopKind;
use checks::seen::Seen;
use checks::snapshot::{Revision, Table, TaskDefinition};
use futures::future::{Shared, join, join_all, join3};

use super::{Plan, Tasks};
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
    /// task definitions; and the version that ECS gave up, if it is the newest.
    pub(super) async fn history(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) -> Option<GivenUp> {
        let arn = self.service.service_arn.clone();
        // AWS refuses the question where another controller deploys: there are none then.
        let listed = if self.service.is_deployed_by_ecs() {
            self.aws.listed_deployments(self.service).await
        } else {
            Seen::Yes(Vec::new())
        };
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
            let newest = current.clone().await;
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
            let given_up = listed.first().filter(|newest| was_given_up(&newest.status))?;
            let revision = older.iter().chain(&newest).find(|revision| {
                Some(&revision.service_revision_arn)
                    == given_up.target_service_revision_arn.as_ref()
            });
            Some(GivenUp { revision: revision.cloned() })
        };
        let ((), given_up) = join(described, versions).await;
        self.note(|snapshot| snapshot.listed_deployments.insert(&arn, listed.map(Some)));
        given_up
    }

    /// What a version that ECS gave up had asked for, and the target groups in which its tasks
    /// failed, though the service may have others now.
    pub(super) async fn given_up(
        &self,
        history: Shared<impl Future<Output = Option<GivenUp>>>,
        current: Shared<impl Future<Output = Vec<Revision>>>,
        tasks: Shared<impl Future<Output = Tasks>>,
    ) {
        let Some(GivenUp { revision }) = history.await else { return };
        let (own, tasks) = join(self.group_arns(current), tasks).await;
        let revision = revision.as_ref();
        let mut groups: BTreeSet<String> = revision.into_iter().flat_map(groups_of).collect();
        groups.extend(self.service.events.iter().filter_map(|event| {
            match event::read(&event.message) {
                Event::TargetUnhealthy { group, .. } => Some(group.to_owned()),
                _ => None,
            }
        }));
        groups.extend(tasks.stopped.iter().filter_map(|task| match StopKind::of(task) {
            StopKind::BalancerHealthCheck { group } => Some(group),
            _ => None,
        }));
        let former = groups.difference(&own).filter(|arn| arn.starts_with("arn:")).cloned();
        let (guards, subnets) = revision
            .map(|revision| (revision.security_groups.clone(), revision.subnets.clone()))
            .unwrap_or_default();
        join3(
            self.security_groups(guards),
            self.subnets(subnets),
            self.former_groups(former.collect()),
        )
        .await;
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

/// The version that ECS gave up, with its revision where AWS told it.
#[derive(Clone)]
pub(super) struct GivenUp {
    revision: Option<Revision>,
}

/// Whether ECS gave up what a deployment of this status brought.
fn was_given_up(status: &str) -> bool {
    status.starts_with("ROLLBACK_") || status == "STOPPED"
}

/// The target groups of a revision.
fn groups_of(revision: &Revision) -> impl Iterator<Item = String> + '_ {
    let registered = revision
        .load_balancers
        .iter()
        .flat_map(|balancer| [&balancer.target_group_arn, &balancer.alternate_target_group_arn]);
    let managed = revision.ingress_paths.iter().flat_map(|path| &path.target_groups);
    registered.chain(managed.map(|group| &group.arn)).flatten().cloned()
}
