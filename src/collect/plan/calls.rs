//! Whether calls of siblings by their public names get in: what the web ACL before the sibling's
//! load balancer has for addresses, and, where it or the security groups are narrow, the addresses
//! that the tasks come from. Everything else has to be known.

use checks::facts::inbound::web_acl;
use checks::facts::peers::sibling;
use checks::patient::{Intent, Patient};
use checks::seen::Seen;
use checks::snapshot::Snapshot;
use futures::future::{join, join_all};

use super::Plan;

impl Plan<'_> {
    pub(super) async fn calls_of_siblings(&self) {
        let called = self.examined(sibling::called);
        if called.is_empty() {
            return;
        }
        let mut unguarded = called.clone();
        self.note(|snapshot| {
            unguarded.retain(|arn| {
                !snapshot.web_acls.0.contains_key(arn) && arn.contains(":loadbalancer/app/")
            })
        });
        join_all(
            unguarded.iter().map(|arn| self.keep(|s| &mut s.web_acls, arn, self.aws.web_acl(arn))),
        )
        .await;
        let mut sets = Vec::new();
        self.note(|snapshot: &mut Snapshot| {
            let acls = called.iter().filter_map(|arn| snapshot.web_acls.0.get(arn));
            let acls =
                acls.filter_map(|acl| if let Seen::Yes(acl) = acl { acl.as_ref() } else { None });
            sets.extend(acls.flat_map(web_acl::ip_sets).map(str::to_owned));
        });
        let sets = self.fresh("ip set", sets);
        let sets = sets.iter().map(|arn| self.keep(|s| &mut s.ip_sets, arn, self.aws.ip_set(arn)));
        let gateways = self.examined(sibling::behind_narrow_doors);
        let gateways = gateways.iter().map(|gateway| {
            self.keep(|s| &mut s.nat_addresses, gateway, self.aws.nat_addresses(gateway))
        });
        join(join_all(sets), join_all(gateways)).await;
    }

    /// What a reading makes of all that is known by now.
    pub(super) fn examined<T>(&self, read: impl FnOnce(&Patient) -> T) -> T {
        let draft = self.draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read(&Patient::new(&draft, self.service, &Intent::default()))
    }
}
