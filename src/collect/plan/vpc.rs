//! What surrounds the tasks in their VPC. A healthy service pays nothing for it: network ACLs,
//! endpoints, NAT gateways and DNS are asked only where a reason, an event or a health check shows
//! that something cannot be reached; network ACLs also where a load balancer has public IPv6. What
//! ECS says in its events is known at once; what tasks and targets tell, a step or two later; and
//! what the app's own log tells counts only where something suffers.

use checks::facts::network::{captured, dialled, egress_path, joined};
use checks::seen::Seen;
use checks::snapshot::{Endpoint, Snapshot};
use futures::future::{Shared, join, join_all, join4};

use super::{Plan, Tasks};
use crate::collect::known;

impl Plan<'_> {
    /// Finds out whether something cannot be reached, as early as that can be known. `suffering` is
    /// over when logs and metrics are there, and the versions that they are held against.
    pub(super) async fn find_unreached(
        &self,
        tasks: Shared<impl Future<Output = Tasks>>,
        health: Shared<impl Future<Output = bool>>,
        suffering: impl Future<Output = ()>,
    ) {
        let found = egress_path::is_unreached_by_events(self.service)
            || (health.await && self.some_target_timed_out())
            || tasks.await.stopped.iter().any(egress_path::is_unreached)
            || {
                suffering.await;
                self.examined(|patient| {
                    dialled::is_unreached(patient) || captured::is_suspected(patient)
                })
            };
        self.unreached.send_replace(Some(found));
    }

    fn some_target_timed_out(&self) -> bool {
        let mut found = false;
        self.note(|snapshot: &mut Snapshot| {
            found = known(&snapshot.target_health).iter().flatten().any(egress_path::timed_out)
        });
        found
    }

    async fn something_is_unreached(&self) -> bool {
        // The plan outlives all of its parts, so the sender is never gone.
        self.unreached
            .subscribe()
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|found| *found == Some(true))
    }

    pub(super) async fn surroundings(&self, vpc: &str) {
        if !self.something_is_unreached().await {
            return;
        }
        let acls = self.network_acls(vpc);
        let gateways = self.keep(|s| &mut s.nat_gateways, vpc, self.aws.nat_gateways(vpc));
        let dns = self.keep(|s| &mut s.vpc_dns, vpc, self.aws.vpc_dns(vpc));
        join4(acls, gateways, dns, self.endpoints(vpc)).await;
    }

    /// Asked for each VPC once, for whatever reason.
    pub(super) async fn network_acls(&self, vpc: &str) {
        for vpc in self.fresh("network acls", [vpc.to_owned()]) {
            self.keep(|s| &mut s.network_acls, &vpc, self.aws.network_acls(&vpc)).await;
        }
    }

    /// The endpoints, and of those that tasks need to start also who is let in and where they are.
    async fn endpoints(&self, vpc: &str) {
        let endpoints = self.aws.endpoints(vpc).await;
        let needed: Vec<Endpoint> = match &endpoints {
            Seen::Yes(found) => found
                .iter()
                .flatten()
                .filter(|endpoint| egress_path::is_needed(endpoint))
                .cloned()
                .collect(),
            Seen::No(_) => Vec::new(),
        };
        self.note(|snapshot| snapshot.endpoints.insert(vpc, endpoints));
        let subnets = async {
            let subnets = self
                .fresh("subnet", needed.iter().flat_map(|endpoint| endpoint.subnet_ids.clone()));
            let table = self.aws.subnets(subnets).await;
            self.note(|snapshot| snapshot.subnets.0.extend(table.0));
        };
        join(
            subnets,
            self.security_groups(
                needed.iter().flat_map(|endpoint| endpoint.groups.clone()).collect(),
            ),
        )
        .await;
    }

    /// What joins the VPC to another one in which an address does not answer the app, and that VPC's
    /// routes, where it is the account's own. A VPC whose routes are known is not asked about again.
    pub(super) async fn joined_networks(&self) {
        let (connections, gateways) = self.examined(joined::ids);
        let connections = async {
            let table = self.aws.peering_connections(self.fresh("peering", connections)).await;
            self.note(|snapshot| snapshot.peering_connections.0.extend(table.0));
        };
        let gateways = self.fresh("transit gateway", gateways);
        let attachments = gateways.iter().map(|gateway| {
            let answer = self.aws.transit_attachments(gateway);
            self.keep(|s| &mut s.transit_attachments, gateway, answer)
        });
        join(connections, join_all(attachments)).await;
        let vpcs = self.fresh("vpc", self.examined(joined::other_vpcs));
        join_all(
            vpcs.iter()
                .map(|vpc| self.keep(|s| &mut s.route_tables, vpc, self.aws.route_tables(vpc))),
        )
        .await;
    }

    /// What is in the prefix lists that rules name, where something is unreached.
    pub(super) async fn lists_in_trouble(&self, ids: Vec<String>) {
        if !ids.is_empty() && self.something_is_unreached().await {
            self.prefix_lists(ids).await;
        }
    }

    pub(super) async fn prefix_lists(&self, ids: Vec<String>) {
        join_all(
            self.fresh("prefix list", ids)
                .iter()
                .map(|id| self.keep(|s| &mut s.prefix_lists, id, self.aws.prefix_list(id))),
        )
        .await;
    }
}
