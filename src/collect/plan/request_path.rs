//! From the target groups to the load balancers, and what those forward where.

use std::collections::BTreeSet;

use checks::facts::inbound::{gateway, traffic};
use checks::facts::network::network_acl;
use checks::seen::Seen;
use checks::snapshot::deployment::IngressPath;
use checks::snapshot::{Listener, Revision, Table, TargetGroup};
use futures::future::{Shared, join, join_all, join3, join4};

use super::Plan;
use crate::collect::cloudwatch::Query;
use crate::collect::{known, take};

impl Plan<'_> {
    /// What ECS manages for an Express service is in its revision; no other service has to wait for
    /// that.
    pub(super) async fn ingress_paths(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) -> Vec<IngressPath> {
        if self.is_express() {
            current.await.into_iter().flat_map(|revision| revision.ingress_paths).collect()
        } else {
            Vec::new()
        }
    }

    pub(super) fn is_express(&self) -> bool {
        self.service.resource_management_type.as_deref() == Some("ECS")
    }

    /// The service's target groups: its own, and those that ECS manages.
    pub(super) async fn group_arns(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) -> BTreeSet<String> {
        let paths = self.ingress_paths(current).await;
        let own = self.service.load_balancers.iter().flat_map(|balancer| {
            [&balancer.target_group_arn, &balancer.alternate_target_group_arn]
        });
        let managed = paths.iter().flat_map(|path| &path.target_groups).map(|group| &group.arn);
        own.chain(managed).flatten().cloned().collect()
    }

    /// The gateways on which a route of the service failed; the revisions have to be known.
    pub(super) async fn gateways(&self) {
        let gateways = self.fresh("gateway", self.examined(gateway::in_trouble));
        join_all(
            gateways.iter().map(|arn| self.keep(|s| &mut s.gateways, arn, self.aws.gateway(arn))),
        )
        .await;
    }

    pub(super) async fn target_groups(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) -> Vec<TargetGroup> {
        let arns = self.group_arns(current).await;
        let described = join_all(arns.iter().map(|arn| self.aws.target_group(arn)));
        let attributes = join_all(arns.iter().map(|arn| self.aws.target_group_attributes(arn)));
        // Attributes wait for nothing and nothing waits for them, but a join of both costs no round
        // trip.
        let (described, attributes) = join(described, attributes).await;
        let table = Table(arns.iter().cloned().zip(described).collect());
        let found = known(&table);
        self.note(|snapshot| {
            snapshot.target_groups.0.extend(table.0);
            snapshot.target_group_attributes = Table(arns.into_iter().zip(attributes).collect());
        });
        found
    }

    /// Target groups that are not the service's now, with their targets and load balancers: those
    /// in which tasks of a version failed that ECS gave up.
    pub(super) async fn former_groups(&self, arns: BTreeSet<String>) {
        join_all(self.fresh("former target group", arns).iter().map(|arn| async move {
            let group = self.aws.target_group(arn).await;
            let balancers = match &group {
                Seen::Yes(Some(group)) => group.load_balancer_arns.clone(),
                Seen::Yes(None) | Seen::No(_) => Vec::new(),
            };
            self.note(|snapshot| snapshot.target_groups.insert(arn, group));
            let health = self.keep(|s| &mut s.target_health, arn, self.aws.target_health(arn));
            join(health, self.each_load_balancer(balancers)).await;
        }))
        .await;
    }

    /// Whether some target is not healthy, or a group has none: then it is worth reading the health
    /// checker's lines.
    pub(super) async fn target_health(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
    ) -> bool {
        let arns = self.group_arns(current).await;
        let health = join_all(arns.iter().map(|arn| self.aws.target_health(arn))).await;
        let table = Table(arns.into_iter().zip(health).collect());
        let trouble = known(&table)
            .iter()
            .flatten()
            .any(|target| matches!(target.state.as_str(), "unhealthy" | "initial"));
        self.note(|snapshot| snapshot.target_health.0.extend(table.0));
        trouble
    }

    /// A rule may split its traffic between a group of this service and one of another: then both
    /// have to be seen.
    pub(super) async fn health_beside(&self, own: BTreeSet<String>) {
        let mut beside = BTreeSet::new();
        self.note(|snapshot| {
            for action in known(&snapshot.rules).iter().flatten().flat_map(|rule| &rule.actions) {
                let groups = || action.target_groups.iter().map(|group| &group.target_group_arn);
                if groups().any(|group| own.contains(group)) {
                    beside.extend(groups().filter(|group| !own.contains(*group)).cloned());
                }
            }
        });
        join_all(beside.iter().map(|group| {
            self.keep(|s| &mut s.target_health, group, self.aws.target_health(group))
        }))
        .await;
    }

    pub(super) async fn load_balancers(
        &self,
        current: Shared<impl Future<Output = Vec<Revision>>>,
        groups: Shared<impl Future<Output = Vec<TargetGroup>>>,
    ) {
        // Express names its load balancer in the revision, one step before its target groups do.
        let named = async {
            let paths = self.ingress_paths(current).await;
            self.each_load_balancer(
                paths.into_iter().filter_map(|path| path.load_balancer?.arn).collect(),
            )
            .await;
        };
        let attached = async {
            let groups = groups.await;
            let networks =
                self.vpcs(groups.iter().filter_map(|group| group.vpc_id.clone()).collect());
            let balancers = self.each_load_balancer(
                groups.into_iter().flat_map(|group| group.load_balancer_arns).collect(),
            );
            join(networks, balancers).await;
        };
        join(named, attached).await;
    }

    pub(super) async fn each_load_balancer(&self, arns: Vec<String>) {
        join_all(self.fresh("load balancer", arns).iter().map(|arn| self.load_balancer(arn))).await;
    }

    pub(super) async fn load_balancer(&self, arn: &str) {
        let balancer = async {
            let balancer = self.aws.load_balancer(arn).await;
            let (groups, subnets, vpc) = match &balancer {
                Seen::Yes(Some(balancer)) => {
                    let vpc = balancer.vpc_id.clone().filter(|_| network_acl::matter_to(balancer));
                    (balancer.security_groups.clone(), balancer.subnets.clone(), vpc)
                }
                Seen::Yes(None) | Seen::No(_) => Default::default(),
            };
            self.note(|snapshot| snapshot.load_balancers.insert(arn, balancer));
            let acls = join_all(vpc.iter().map(|vpc| self.network_acls(vpc)));
            join3(self.security_groups(groups), self.subnets(subnets), acls).await;
        };
        let attributes = self.aws.load_balancer_attributes(arn);
        let attributes = self.keep(|s| &mut s.load_balancer_attributes, arn, attributes);
        let listeners = async {
            let found = self.listeners(arn).await;
            let policies =
                found.iter().filter_map(|listener| listener.ssl_policy.clone()).collect();
            let rules = async {
                self.rules(&found).await;
                self.sign_ins(arn, &found).await;
            };
            join3(rules, self.certificates(&found), self.ssl_policies(policies)).await;
        };
        join4(balancer, attributes, listeners, self.web_acl(arn)).await;
    }

    pub(super) async fn listeners(&self, balancer: &str) -> Vec<Listener> {
        let remembered = take(&mut self.aws.memory().listeners, balancer);
        let listeners = match remembered {
            Some(listeners) => listeners,
            None => self.aws.listeners(balancer).await,
        };
        let found = match &listeners {
            Seen::Yes(listeners) => listeners.clone().unwrap_or_default(),
            Seen::No(_) => Vec::new(),
        };
        self.note(|snapshot| snapshot.listeners.insert(balancer, listeners));
        found
    }

    pub(super) async fn rules(&self, listeners: &[Listener]) {
        join_all(listeners.iter().map(|listener| async move {
            let listener = &listener.listener_arn;
            let remembered = take(&mut self.aws.memory().rules, listener);
            let rules = match remembered {
                Some(rules) => rules,
                None => self.aws.rules(listener).await,
            };
            self.note(|snapshot| snapshot.rules.insert(listener, rules));
        }))
        .await;
    }

    /// How signing users in goes, where a rule of the load balancer does that.
    async fn sign_ins(&self, balancer: &str, listeners: &[Listener]) {
        let mut signs_in = false;
        self.note(|snapshot| {
            let rules = listeners
                .iter()
                .filter_map(|listener| match snapshot.rules.0.get(&listener.listener_arn)? {
                    Seen::Yes(rules) => rules.as_ref(),
                    Seen::No(_) => None,
                })
                .flatten();
            signs_in = rules.flat_map(|rule| &rule.actions).any(traffic::signs_in);
        });
        if signs_in {
            let table = self.aws.metrics(&Query::of_sign_in(balancer), self.now).await;
            self.note(|snapshot| snapshot.metrics.0.extend(table.0));
        }
    }

    async fn ssl_policies(&self, names: Vec<String>) {
        let table = self.aws.ssl_policies(&self.fresh("ssl policy", names)).await;
        self.note(|snapshot| snapshot.ssl_policies.0.extend(table.0));
    }
}
