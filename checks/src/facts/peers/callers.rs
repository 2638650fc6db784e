//! The other services of the cluster that name one of this service's hosts in a variable. To know
//! that nobody else does, every one of them has to be seen: so it is told of clusters that have
//! few.

use std::collections::BTreeSet;

use crate::facts::peers::callee::{self, Named};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{ClusterServices, Sibling};

/// How many other services of a cluster are looked at: as many as one call describes.
pub const SIBLINGS: usize = 10;

/// A service and the host that one of its variables names.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub sibling: &'a Sibling,
    pub named: Named<'a>,
}

/// Who calls these hosts, as far as variables tell.
#[derive(Debug)]
pub enum Callers<'a> {
    /// The cluster has too many other services to look at all of them.
    TooMany,
    /// A sibling runs versions that are not seen, those of task sets: it may call, or tell
    /// browsers.
    Unread,
    /// A variable of a sibling, or of the service itself, tells browsers the host: so more call it
    /// than siblings.
    Browsers,
    /// Only siblings, or nobody.
    Siblings(Vec<Caller<'a>>),
}

/// Whether the cluster has too many services beside this one to look at all of them.
pub fn are_too_many(listed: &ClusterServices, own: &str) -> bool {
    listed.truncated || listed.service_arns.iter().filter(|arn| *arn != own).count() > SIBLINGS
}

/// A host as hosts are compared: in lower case, and a load balancer's own name without the
/// `dualstack.` that it may have in front.
pub fn plain(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.strip_prefix("dualstack.") {
        Some(name) if name.contains(".elb.") => name.to_owned(),
        _ => host,
    }
}

/// Who names one of these hosts, all of them in lower case.
pub fn of<'a>(patient: &Patient<'a>, hosts: &BTreeSet<String>) -> Result<Callers<'a>, Blind> {
    let listed = patient.cluster_services()?;
    if listed.is_some_and(|listed| are_too_many(listed, patient.arn())) {
        return Ok(Callers::TooMany);
    }
    let others =
        listed.iter().flat_map(|listed| &listed.service_arns).filter(|arn| *arn != patient.arn());
    let is_one = |named: &Named| hosts.contains(&plain(named.host));
    let mut callers = Vec::new();
    for arn in others {
        let Some(sibling) = patient.sibling(arn)?.filter(|sibling| sibling.status == "ACTIVE")
        else {
            continue;
        };
        let Some(definition) = sibling.task_definition.as_deref() else {
            return Ok(Callers::Unread);
        };
        callers.extend(
            callee::named_by(patient, definition)?
                .into_iter()
                .filter(is_one)
                .map(|named| Caller { sibling, named }),
        );
    }
    let mut own = Vec::new();
    for definition in callee::versions(patient) {
        own.extend(callee::named_by(patient, definition)?.into_iter().filter(is_one));
    }
    let mut all = callers.iter().map(|caller| &caller.named).chain(&own);
    Ok(if all.any(|named| callee::is_for_browsers(named.variable)) {
        Callers::Browsers
    } else {
        Callers::Siblings(callers)
    })
}
