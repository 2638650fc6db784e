//! A Fargate service behind a network load balancer: it has no rules but one, knows connections and
//! no requests, and keeps to its zones.

use super::{fargate, forward, id, minutes};
use crate::snapshot::Snapshot;
use crate::snapshot::metric::{Metric, Owner, Series};

pub fn balancer() -> String {
    id::elb("loadbalancer/net/web/50dc6c495c0c9188")
}

/// The Fargate service with another kind of load balancer before it.
pub fn service() -> Snapshot {
    let mut snapshot = renamed(fargate());
    let (balancer, group) = (balancer(), id::group("api"));
    snapshot.web_acls.0.clear();
    snapshot.listener_certificates.0.clear();
    snapshot.certificates.0.clear();
    snapshot.ssl_policies.0.clear();
    if let Some(balancer) = snapshot.load_balancers.change(&balancer) {
        balancer.load_balancer_type = Some("network".into());
    }
    let attributes = [(CROSS_ZONE, "false"), ("access_logs.s3.enabled", "false")];
    snapshot.load_balancer_attributes.put(&balancer, super::pairs(&attributes));
    for listener in snapshot.listeners.change(&balancer).into_iter().flatten() {
        (listener.protocol, listener.ssl_policy) = (Some("TCP".into()), None);
        listener.default_actions = vec![forward(&[(&group, 1)])];
        let rules = vec![super::default_rule(&listener.listener_arn, forward(&[(&group, 1)]))];
        snapshot.rules.put(&listener.listener_arn, rules);
    }
    if let Some(group) = snapshot.target_groups.change(&group) {
        (group.protocol, group.protocol_version) = (Some("TCP".into()), None);
        (group.health_check_protocol, group.health_check_path) = (Some("TCP".into()), None);
        group.matcher = None;
    }
    if let Some(attributes) = snapshot.target_group_attributes.change(&group) {
        attributes.insert(CROSS_ZONE.into(), "use_load_balancer_configuration".into());
    }
    measure(&mut snapshot, &balancer, &group);
    snapshot
}

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

/// The ARNs of a network load balancer in the place of those of an application load balancer, and
/// a name of its own for the service.
fn renamed(snapshot: Snapshot) -> Snapshot {
    let renamed = serde_json::to_string(&snapshot).map(|json| {
        ["loadbalancer", "listener", "listener-rule"].iter().fold(json, |json, kind| {
            json.replace(&format!(":{kind}/app/"), &format!(":{kind}/net/"))
        })
    });
    let renamed = renamed.map(|json| {
        [("/prod/api", "/prod/edge"), ("\"service_name\":\"api\"", "\"service_name\":\"edge\"")]
            .iter()
            .fold(json, |json, (before, after)| json.replace(before, after))
    });
    match renamed.and_then(|json| serde_json::from_str(&json)) {
        Ok(renamed) => renamed,
        Err(_) => snapshot,
    }
}

/// What CloudWatch counts: connections, and how many targets are healthy.
fn measure(snapshot: &mut Snapshot, balancer: &str, group: &str) {
    for metric in Metric::ALL {
        match metric.owner() {
            Owner::LoadBalancer => {
                snapshot.metrics.0.remove(&metric.of(balancer));
            }
            Owner::NetworkBalancer => {
                let flows = *metric == Metric::NewFlows;
                let series = if flows { minutes(120.0) } else { Series::default() };
                snapshot.metrics.put(metric.of(balancer), series);
            }
            Owner::TargetGroup
                if !matches!(metric, Metric::HealthyHosts | Metric::UnhealthyHosts) =>
            {
                snapshot.metrics.0.remove(&metric.of(group));
            }
            Owner::TargetGroup | Owner::Service | Owner::WebAcl | Owner::SignIn => {}
        }
    }
}
