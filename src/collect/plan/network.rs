//! The network around the service and its load balancers. Ids come from many parts, and each is
//! asked about once.

use std::collections::BTreeSet;

use checks::snapshot::Revision;
use checks::snapshot::service::NetworkConfiguration;
use futures::future::{Shared, join, join_all};

use super::Plan;
use crate::collect::known;

impl Plan<'_> {
    fn networks(&self) -> impl Iterator<Item = &NetworkConfiguration> {
        let deployments = self
            .service
            .deployments
            .iter()
            .filter_map(|deployment| deployment.network_configuration.as_ref());
        self.service.network_configuration.iter().chain(deployments)
    }

    /// The VPC of the tasks, by the subnets that they may be in.
    pub(super) async fn own_vpcs(&self) -> BTreeSet<String> {
        self.described_subnets(
            self.networks().flat_map(|network| network.subnets.clone()).collect(),
        )
        .await
    }

    pub(super) async fn network_of_service(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
        own_vpcs: Shared<impl Future<Output = BTreeSet<String>>>,
    ) {
        let groups = self.networks().flat_map(|network| network.security_groups.clone()).collect();
        let vpcs = async { self.vpcs(own_vpcs.await).await };
        let of_revisions = async {
            self.security_groups(
                current.await.into_iter().flat_map(|revision| revision.security_groups).collect(),
            )
            .await;
        };
        join(join(vpcs, self.security_groups(groups)), of_revisions).await;
    }

    pub(super) async fn security_groups(&self, ids: Vec<String>) {
        let table = self.aws.security_groups(self.fresh("security group", ids)).await;
        let lists = known(&table)
            .iter()
            .flat_map(|group| group.ip_permissions.iter().chain(&group.ip_permissions_egress))
            .flat_map(|rule| rule.prefix_list_id.clone())
            .collect();
        self.note(|snapshot| snapshot.security_groups.0.extend(table.0));
        join(self.lists_of_doors(), self.lists_in_trouble(lists)).await;
    }

    pub(super) async fn subnets(&self, ids: Vec<String>) {
        self.vpcs(self.described_subnets(ids).await).await;
    }

    async fn described_subnets(&self, ids: Vec<String>) -> BTreeSet<String> {
        let table = self.aws.subnets(self.fresh("subnet", ids)).await;
        let vpcs = known(&table).into_iter().filter_map(|subnet| subnet.vpc_id).collect();
        self.note(|snapshot| snapshot.subnets.0.extend(table.0));
        vpcs
    }

    /// A VPC is named by the target groups one step before the load balancer's subnets name it.
    pub(super) async fn vpcs(&self, ids: BTreeSet<String>) {
        join_all(self.fresh("vpc", ids).iter().map(|vpc| async move {
            let tables = self.keep(|s| &mut s.route_tables, vpc, self.aws.route_tables(vpc));
            join(tables, self.surroundings(vpc)).await;
        }))
        .await;
    }
}
