//! Prefix lists that let clients in to a load balancer: what is in them, and what they are called.
//! They are asked about whatever the user expects, so that a saved snapshot can be held against any
//! expectation later. Few load balancers have one.

use std::collections::BTreeSet;

use checks::seen::Seen;
use checks::snapshot::SecurityGroup;
use futures::future::join;

use super::Plan;
use crate::collect::known;

impl Plan<'_> {
    /// The lists that inbound rules of the load balancers' groups name, as far as load balancers
    /// and groups are known by now. A group may come before its load balancer, where tasks share
    /// it, or after: whoever comes second finds both.
    pub(super) async fn lists_of_doors(&self) {
        let mut lists = BTreeSet::new();
        self.note(|snapshot| {
            for id in known(&snapshot.load_balancers)
                .iter()
                .flat_map(|balancer| &balancer.security_groups)
            {
                if let Some(Seen::Yes(Some(SecurityGroup { ip_permissions, .. }))) =
                    snapshot.security_groups.0.get(id)
                {
                    lists.extend(
                        ip_permissions
                            .iter()
                            .flat_map(|permission| permission.prefix_list_id.clone()),
                    );
                }
            }
        });
        let names = async {
            let table = self
                .aws
                .managed_prefix_lists(self.fresh("name of a prefix list", lists.clone()))
                .await;
            self.note(|snapshot| snapshot.managed_prefix_lists.0.extend(table.0));
        };
        join(names, self.prefix_lists(lists.iter().cloned().collect())).await;
    }
}
