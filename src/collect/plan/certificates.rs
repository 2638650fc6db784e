//! What guards the way in: the certificates of the listeners, and the web ACL in front of a
//! load balancer.

use std::collections::BTreeSet;

use checks::facts::inbound::web_acl;
use checks::seen::Seen;
use checks::snapshot::{Listener, WebAcl};
use futures::future::{join, join_all};

use super::Plan;
use crate::collect::cloudwatch::Query;
use crate::collect::{fill, list};

impl Plan<'_> {
    /// The certificates of those listeners that speak TLS. ACM lists all of the region at once: its
    /// list waits for no listener to name its own, and nothing stays but what is on a listener.
    pub(super) async fn certificates(&self, listeners: &[Listener]) {
        let secure =
            |listener: &&Listener| matches!(listener.protocol.as_deref(), Some("HTTPS" | "TLS"));
        let secure: Vec<&str> = listeners
            .iter()
            .filter(secure)
            .map(|listener| listener.listener_arn.as_str())
            .collect();
        if secure.is_empty() {
            return;
        }
        let of_listeners =
            join_all(secure.iter().map(|listener| self.aws.listener_certificates(listener)));
        let (of_listeners, listed) =
            join(of_listeners, self.certificates.get_or_init(|| self.aws.certificates())).await;
        let named = of_listeners.iter().flat_map(|answer| match answer {
            Seen::Yes(certificates) => certificates.as_deref().unwrap_or_default(),
            Seen::No(_) => &[],
        });
        let wanted: BTreeSet<String> = named
            .map(|certificate| certificate.certificate_arn.clone())
            .filter(|arn| arn.contains(":acm:"))
            .collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let found = listed.as_ref().map(|all| {
            all.iter().filter(|one| wanted.contains(&one.certificate_arn)).cloned().collect()
        });
        self.note(|snapshot| {
            fill(&mut snapshot.certificates, &wanted, found, |certificate| {
                &certificate.certificate_arn
            });
            for (listener, answer) in secure.iter().zip(of_listeners) {
                snapshot.listener_certificates.insert(*listener, answer);
            }
        });
    }

    /// Network load balancers have none.
    pub(super) async fn web_acl(&self, balancer: &str) {
        if !balancer.contains(":loadbalancer/app/") {
            return;
        }
        let answer = self.aws.web_acl(balancer).await;
        let acls = list(&answer.as_ref().map(|acl| acl.clone().into_iter().collect()));
        self.note(|snapshot| snapshot.web_acls.insert(balancer, answer));
        for acl in acls.iter().filter(|acl| !self.fresh("web acl", [acl.arn.clone()]).is_empty()) {
            let metrics = async {
                let queries = Query::of_web_acl(acl, &self.aws.region);
                let table = self.aws.metrics(&queries, self.now).await;
                self.note(|snapshot| snapshot.metrics.0.extend(table.0));
            };
            join(metrics, self.allow_lists(acl)).await;
        }
    }

    /// Whom a web ACL lets in that blocks by default: an empty list lets in nobody.
    async fn allow_lists(&self, acl: &WebAcl) {
        if acl.default_action.as_deref() == Some("Block") {
            let sets = web_acl::letting_in(acl, &web_acl::Verdict::Default);
            let sets = self.fresh("ip set", sets.into_iter().map(str::to_owned));
            let sets =
                sets.iter().map(|arn| self.keep(|s| &mut s.ip_sets, arn, self.aws.ip_set(arn)));
            join_all(sets).await;
        }
    }
}
