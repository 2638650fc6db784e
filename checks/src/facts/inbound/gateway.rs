//! The gateways of ECS by which clients reach a service: the ports that it offers there, and its
//! routes, as the current revisions have them. What the load balancer behind a gateway answers is
//! not read.

use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::Revision;
use crate::snapshot::deployment::GatewayConnection;

/// The revisions of the service that offer a port on gateways.
pub fn revisions<'a>(patient: &Patient<'a>) -> Result<Vec<&'a Revision>, Blind> {
    let mut offering = Vec::new();
    for arn in &patient.service().current_service_revisions {
        let revision = patient.revision(arn)?;
        offering.extend(revision.filter(|revision| !revision.gateway_connectors.is_empty()));
    }
    Ok(offering)
}

/// Whether the route of a connection could not be made, changed or removed.
pub fn failed(connection: &GatewayConnection) -> bool {
    connection.status.as_deref().is_some_and(|status| status.ends_with("_FAILED"))
}

/// The gateways on which a route of the service failed, so that the collector asks them why.
pub fn in_trouble(patient: &Patient) -> Vec<String> {
    let revisions = Unseen::default().see(revisions(patient)).unwrap_or_default();
    let connections = revisions.into_iter().flat_map(|revision| &revision.gateway_connections);
    let failed = connections.filter(|connection| failed(connection));
    failed.filter_map(|connection| connection.gateway_arn.clone()).collect()
}
