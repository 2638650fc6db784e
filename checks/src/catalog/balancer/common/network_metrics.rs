//! What CloudWatch counts for the network load balancers of a service. It counts for a whole load
//! balancer, so those that also serve other services are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::NoAnswer;
use crate::facts::inbound::traffic;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::Series;
use crate::snapshot::metric::Metric;

/// Why such a check does not apply.
pub const NONE: NoAnswer =
    NoAnswer::NotApplicable("no network load balancer of its own, or no CloudWatch metrics of one");

/// The network load balancers that lead to nobody else and that were measured, each with the
/// service's groups that it sends traffic to.
pub fn balancers<'a>(patient: &Patient<'a>) -> Result<BTreeMap<&'a str, BTreeSet<&'a str>>, Blind> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for forward in traffic::forwards(patient)? {
        let balancer = forward.listener.load_balancer_arn.as_str();
        if balancer.contains(":loadbalancer/net/") {
            all.entry(balancer).or_default().extend(forward.live().map(|share| share.group));
        }
    }
    let mut own = BTreeMap::new();
    for (balancer, groups) in all {
        if traffic::serves_nobody_else(patient, balancer)?
            && series(patient, Metric::NewFlows, balancer)?.is_some()
        {
            own.insert(balancer, groups);
        }
    }
    Ok(own)
}

/// A metric of a load balancer; none in a snapshot that is older than the question.
pub fn series<'a>(
    patient: &Patient<'a>,
    metric: Metric,
    balancer: &str,
) -> Result<Option<&'a Series>, Blind> {
    match patient.metric(metric, balancer) {
        Err(Blind { why: Why::NotAsked, .. }) => Ok(None),
        series => series,
    }
}
