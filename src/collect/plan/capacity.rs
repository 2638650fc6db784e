//! The instances under a service that brings its own, asked for only while it lacks tasks.

use std::collections::BTreeSet;

use checks::facts::tasks::capacity;
use checks::seen::Seen;
use checks::snapshot::Table;
use futures::future::{join, join_all};

use super::Plan;
use crate::collect::known;

impl Plan<'_> {
    pub(super) async fn capacity(&self) {
        if !capacity::matters(self.service, self.now) {
            return;
        }
        let cluster = &self.service.cluster_arn;
        let instances = self.aws.container_instances(cluster);
        let instances = self.keep(|s| &mut s.container_instances, cluster, instances);
        let names: Vec<String> = capacity::providers(self.service).map(str::to_owned).collect();
        let providers = async {
            if !names.is_empty() {
                let of_cluster = self.keep(|s| &mut s.clusters, cluster, self.aws.cluster(cluster));
                join(of_cluster, self.capacity_providers(&names)).await;
            } else if capacity::may_use_providers_of_cluster(self.service, self.now) {
                self.providers_of_cluster().await;
            }
        };
        join(instances, providers).await;
    }

    /// Those of the cluster, for a service that names none and finds no instance.
    async fn providers_of_cluster(&self) {
        let cluster = &self.service.cluster_arn;
        let found = self.aws.cluster(cluster).await;
        let names: Vec<String> = match &found {
            Seen::Yes(Some(cluster)) => {
                capacity::providers_of_cluster(cluster).map(str::to_owned).collect()
            }
            Seen::Yes(None) | Seen::No(_) => Vec::new(),
        };
        self.note(|snapshot| snapshot.clusters.insert(cluster, found));
        if !names.is_empty() {
            self.capacity_providers(&names).await;
        }
    }

    /// The capacity providers, and then the groups behind them.
    async fn capacity_providers(&self, names: &[String]) {
        let providers = self.aws.capacity_providers(&self.service.cluster_arn, names).await;
        let groups: BTreeSet<String> = known(&providers)
            .iter()
            .filter_map(|provider| provider.group().map(str::to_owned))
            .collect();
        let groups: Vec<String> = groups.into_iter().collect();
        self.note(|snapshot| snapshot.capacity_providers = providers);
        if !groups.is_empty() {
            let activities = join_all(groups.iter().map(|group| self.aws.group_activities(group)));
            let (described, activities) =
                join(self.aws.auto_scaling_groups(&groups), activities).await;
            self.note(|snapshot| {
                snapshot.auto_scaling_groups = described;
                snapshot.group_activities = Table(groups.into_iter().zip(activities).collect());
            });
        }
    }
}
