//! The instances under a service that brings its own, asked for only while it lacks tasks.

use std::collections::BTreeSet;

use checks::facts::tasks::capacity;
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
            if names.is_empty() {
                return;
            }
            let of_cluster = self.keep(|s| &mut s.clusters, cluster, self.aws.cluster(cluster));
            join(of_cluster, self.capacity_providers(&names)).await;
        };
        join(instances, providers).await;
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
