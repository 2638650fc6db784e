//! Another VPC of the same account that is joined to the service's: by a peering connection, or by
//! a transit gateway to which both are attached.

use super::{ACCOUNT, REGION};
use crate::snapshot::*;

/// Joins VPC `vpc-peer` by peering connection `pcx-1`: its block, and the routes that it has besides.
pub fn peer(snapshot: &mut Snapshot, block: &str, routes: &[(&str, &str)]) {
    join(snapshot, "pcx-1", "peer", block, routes);
    let side = |vpc: &str| PeeredVpc {
        vpc_id: vpc.into(),
        owner_id: ACCOUNT.into(),
        region: REGION.into(),
    };
    let connection = PeeringConnection {
        vpc_peering_connection_id: "pcx-1".into(),
        status_code: "active".into(),
        requester: side("vpc-1"),
        accepter: side("vpc-peer"),
    };
    snapshot.peering_connections.put("pcx-1", connection);
}

/// Joins VPC `vpc-shared` by transit gateway `tgw-1`, which leads to everything in `172.16.0.0/12`.
pub fn attach(snapshot: &mut Snapshot, block: &str, routes: &[(&str, &str)]) {
    join(snapshot, "tgw-1", "shared", block, routes);
    for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
        table.routes.push(route("172.16.0.0/12", "tgw-1"));
    }
    let attachment = |vpc: &str| TransitAttachment {
        transit_gateway_attachment_id: format!("tgw-attach-{vpc}"),
        vpc_id: vpc.into(),
        vpc_owner_id: ACCOUNT.into(),
        state: "available".into(),
    };
    snapshot.transit_attachments.put("tgw-1", vec![attachment("vpc-1"), attachment("vpc-shared")]);
}

fn join(snapshot: &mut Snapshot, joint: &str, name: &str, block: &str, routes: &[(&str, &str)]) {
    for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
        table.routes.push(route(block, joint));
    }
    let mut there = vec![route(block, "local")];
    there.extend(routes.iter().map(|(destination, target)| route(destination, target)));
    let table = RouteTable {
        route_table_id: format!("rtb-{name}"),
        main: true,
        subnet_ids: Vec::new(),
        routes: there,
    };
    snapshot.route_tables.put(format!("vpc-{name}"), vec![table]);
}

pub fn route(destination: &str, target: &str) -> Route {
    Route {
        destination: destination.into(),
        target: Some(target.into()),
        state: Some("active".into()),
    }
}
