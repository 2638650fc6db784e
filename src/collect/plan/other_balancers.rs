//! The load balancers of the VPC that are not the service's own, with their rules: one of them may
//! have a host that a variable names. Asked only where such a host is there.

use std::collections::BTreeSet;

use checks::call::Call;
use checks::facts::peers::sibling;
use checks::seen::{Blind, Seen, Why};
use checks::snapshot::{LoadBalancer, Revision, TargetGroup, TaskDefinition};
use futures::future::{Shared, join, join_all};

use super::Plan;
use crate::collect::list;

impl Plan<'_> {
    pub(super) async fn other_balancers(
        &self,
        definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>,
        current: Shared<impl Future<Output = Vec<Revision>>>,
        groups: Shared<impl Future<Output = Vec<TargetGroup>>>,
        own_vpcs: Shared<impl Future<Output = BTreeSet<String>>>,
    ) {
        if !sibling::may_be_called(&definitions.await) {
            return;
        }
        let (groups, mut vpcs) = join(groups, own_vpcs).await;
        vpcs.extend(groups.iter().filter_map(|group| group.vpc_id.clone()));
        if vpcs.is_empty() {
            return self.nowhere();
        }
        let mut own: BTreeSet<String> =
            groups.into_iter().flat_map(|group| group.load_balancer_arns).collect();
        own.extend(
            self.ingress_paths(current)
                .await
                .into_iter()
                .filter_map(|path| path.load_balancer?.arn),
        );
        let remembered = self.aws.memory().load_balancers.take();
        let all = match remembered {
            Some(balancers) => Seen::Yes(balancers),
            None => self.aws.all_load_balancers().await,
        };
        let is_other = |balancer: &LoadBalancer| {
            let is_here = balancer.vpc_id.as_ref().is_some_and(|vpc| vpcs.contains(vpc));
            is_here
                && balancer.load_balancer_type.as_deref() != Some("gateway")
                && !own.contains(&balancer.load_balancer_arn)
        };
        let others = all.map(|all| all.into_iter().filter(is_other).collect::<Vec<_>>());
        let arns = others.as_ref().map(|others| {
            Some(others.iter().map(|balancer| balancer.load_balancer_arn.clone()).collect())
        });
        let others = list(&others);
        self.note(|snapshot| {
            snapshot.other_balancers.insert(&self.service.service_arn, arns);
            others.iter().for_each(|balancer| {
                snapshot.load_balancers.put(&balancer.load_balancer_arn, balancer.clone())
            });
        });
        if others.len() > sibling::OTHERS {
            return;
        }
        let guards = self.security_groups(
            others.iter().flat_map(|balancer| balancer.security_groups.clone()).collect(),
        );
        let rules = join_all(others.iter().map(|balancer| async {
            let listeners = self.listeners(&balancer.load_balancer_arn).await;
            // The rules of a network load balancer do not look at hosts.
            if balancer.load_balancer_type.as_deref() == Some("application") {
                self.rules(&listeners).await;
            }
        }));
        join(guards, rules).await;
    }

    /// Without a VPC there is no other load balancer in it, unless the subnets that would tell it
    /// were refused.
    fn nowhere(&self) {
        self.note(|snapshot| {
            let hidden = snapshot.subnets.0.values().find_map(|subnet| {
                if let Seen::No(why) = subnet { Some(why.clone()) } else { None }
            });
            let others = match hidden {
                Some(why) => {
                    Seen::No(Why::Behind(Box::new(Blind { call: Call::DescribeSubnets, why })))
                }
                None => Seen::Yes(Some(Vec::new())),
            };
            snapshot.other_balancers.insert(&self.service.service_arn, others);
        });
    }
}
