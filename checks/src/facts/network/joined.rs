//! Addresses in networks that are connected to the VPC by a peering connection or a transit
//! gateway, which do not answer the app: the route that leads there, and the VPC on the other side.
//! Both sides need a route, and each has its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::aws::arn::Arn;
use crate::aws::cidr::Cidr;
use crate::facts::network::egress_path::{self, EgressPath};
use crate::facts::network::{reach, route};
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen, Why};
use crate::snapshot::{PeeredVpc, PeeringConnection, Route, RouteTable};
use crate::text::parsed;

/// What joins two networks, by the id that routes have of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Joint<'a> {
    Peering(&'a str),
    TransitGateway(&'a str),
}

impl<'a> Joint<'a> {
    fn of(route: &'a Route) -> Option<Joint<'a>> {
        let target = route.target.as_deref()?;
        if target.starts_with("pcx-") {
            Some(Joint::Peering(target))
        } else if target.starts_with("tgw-") {
            Some(Joint::TransitGateway(target))
        } else {
            None
        }
    }

    pub fn id(self) -> &'a str {
        match self {
            Joint::Peering(id) | Joint::TransitGateway(id) => id,
        }
    }

    /// `peering connection pcx-1`, `transit gateway tgw-1`.
    pub fn words(self) -> String {
        match self {
            Joint::Peering(id) => format!("peering connection {id}"),
            Joint::TransitGateway(id) => format!("transit gateway {id}"),
        }
    }
}

/// An address that does not answer, with the route that leads there.
#[derive(Debug)]
pub struct Joined<'a> {
    pub path: EgressPath<'a>,
    pub address: IpAddr,
    pub joint: Joint<'a>,
    pub table: &'a RouteTable,
    pub route: &'a Route,
}

/// Every such address, each once for a subnet.
pub fn joined<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<Joined<'a>> {
    let mut joined = Vec::new();
    for path in egress_path::failed(patient, findings) {
        let inside = path.is_inside() && !path.asks_aws();
        let Some(address) = path.stranded.address().filter(|_| inside) else { continue };
        let exit = findings.see(route::out(patient, path.stranded.subnet, Some(address)));
        let Some(table) = exit.flatten().map(|exit| exit.table) else { continue };
        let route = route::longest(table, Some(address));
        let live = route.filter(|route| route.state.as_deref() != Some("blackhole"));
        if let Some((route, joint)) = live.and_then(|route| Some((route, Joint::of(route)?))) {
            joined.push(Joined { path, address, joint, table, route });
        }
    }
    joined
}

/// Peering connections and transit gateways to ask about.
pub fn ids(patient: &Patient) -> (Vec<String>, Vec<String>) {
    let joints: BTreeSet<Joint> =
        joined(patient, &mut Unseen::default()).iter().map(|joined| joined.joint).collect();
    let of = |peering: bool| {
        let joints = joints.iter();
        joints
            .filter(|joint| matches!(joint, Joint::Peering(_)) == peering)
            .map(|joint| joint.id().to_owned())
            .collect()
    };
    (of(true), of(false))
}

/// How many VPCs of one transit gateway are worth a question each.
const ATTACHED: usize = 10;

/// The VPCs on the other side whose routes can be asked for: they are the account's own.
pub fn other_vpcs(patient: &Patient) -> Vec<String> {
    let mut unseen = Unseen::default();
    let mut vpcs = BTreeSet::new();
    for joined in joined(patient, &mut unseen) {
        match joined.joint {
            Joint::Peering(id) => {
                let connection = unseen.see(patient.peering_connection(id)).flatten();
                let other =
                    connection.and_then(|connection| other_side(connection, joined.path.vpc));
                vpcs.extend(
                    other.filter(|other| is_own(patient, other)).map(|vpc| vpc.vpc_id.clone()),
                );
            }
            Joint::TransitGateway(id) => {
                let attached = attached(patient, id, joined.path.vpc);
                vpcs.extend(unseen.see(attached).into_iter().flatten().map(str::to_owned));
            }
        }
    }
    vpcs.into_iter().collect()
}

/// The side of a peering connection that is not this VPC.
pub fn other_side<'a>(connection: &'a PeeringConnection, vpc: &str) -> Option<&'a PeeredVpc> {
    let sides = [&connection.requester, &connection.accepter];
    sides.into_iter().find(|side| side.vpc_id != vpc && !side.vpc_id.is_empty())
}

/// Whether a VPC is the account's own, in this region, so that its routes can be seen.
pub fn is_own(patient: &Patient, vpc: &PeeredVpc) -> bool {
    Arn::read(patient.arn())
        .is_some_and(|own| own.account == vpc.owner_id && own.region == vpc.region)
}

/// The account's other VPCs that are attached to a transit gateway.
fn attached<'a>(patient: &Patient<'a>, gateway: &str, vpc: &str) -> Result<Vec<&'a str>, Blind> {
    let account = Arn::read(patient.arn()).map(|own| own.account);
    let others = patient.transit_attachments(gateway)?.iter().filter(|attachment| {
        attachment.state == "available"
            && attachment.vpc_id != vpc
            && Some(attachment.vpc_owner_id.as_str()) == account
    });
    Ok(others.map(|attachment| attachment.vpc_id.as_str()).take(ATTACHED).collect())
}

/// The other side, as far as it can be seen.
#[derive(Debug)]
pub enum OtherSide<'a> {
    /// The peering connection carries no traffic: its state.
    NotActive(&'a PeeringConnection),
    /// This VPC has the address, and these routes.
    Vpc(&'a str, &'a [RouteTable]),
    /// It is another account's, or in another region, or in no VPC: its routes are not seen here.
    Elsewhere,
}

impl<'a> Joined<'a> {
    pub fn other_side(&self, patient: &Patient<'a>) -> Result<OtherSide<'a>, Blind> {
        match self.joint {
            Joint::Peering(id) => {
                let Some(connection) = patient.peering_connection(id)? else {
                    return Ok(OtherSide::Elsewhere);
                };
                if connection.status_code != "active" {
                    return Ok(OtherSide::NotActive(connection));
                }
                let other = other_side(connection, self.path.vpc);
                match other.filter(|other| is_own(patient, other)) {
                    Some(other) => {
                        Ok(OtherSide::Vpc(&other.vpc_id, patient.route_tables(&other.vpc_id)?))
                    }
                    None => Ok(OtherSide::Elsewhere),
                }
            }
            Joint::TransitGateway(id) => {
                for vpc in attached(patient, id, self.path.vpc)? {
                    let tables = match patient.route_tables(vpc) {
                        Err(Blind { why: Why::NotAsked, .. }) => continue,
                        tables => tables?,
                    };
                    if has(tables, self.address) {
                        return Ok(OtherSide::Vpc(vpc, tables));
                    }
                }
                Ok(OtherSide::Elsewhere)
            }
        }
    }

    /// An address of the task, or of its subnet: answers need a route to it.
    pub fn own_address(&self, patient: &Patient) -> Result<Option<IpAddr>, Blind> {
        let of_task = self.path.stranded.told.tasks.iter().find_map(|task| task.private_address());
        let subnet = reach::subnet_block(patient, self.path.stranded.subnet)?;
        Ok(of_task.and_then(parsed).or(subnet.map(|block| block.first())))
    }

    /// The block of the VPC that the subnet is in: what the other side needs a route to.
    pub fn own_block(&self, address: IpAddr) -> Option<Cidr> {
        blocks_of(std::slice::from_ref(self.table)).find(|block| block.has(address))
    }

    /// Whether no route table of the other side leads back by what joins both: then it does not
    /// matter in which of its subnets the address is.
    pub fn lacks_way_back(&self, tables: &[RouteTable], own: IpAddr) -> bool {
        let leads_back = |table: &RouteTable| {
            route::longest(table, Some(own))
                .is_some_and(|route| route.target.as_deref() == Some(self.joint.id()))
        };
        let may_lead_back = |table: &RouteTable| {
            table.routes.iter().any(|route| {
                route.destination.starts_with("pl-")
                    && route.target.as_deref() == Some(self.joint.id())
            })
        };
        !tables.is_empty() && !tables.iter().any(|table| leads_back(table) || may_lead_back(table))
    }
}

/// The blocks of a VPC itself, by the local routes that each of its tables has.
fn blocks_of(tables: &[RouteTable]) -> impl Iterator<Item = Cidr> + '_ {
    let routes = tables.iter().flat_map(|table| &table.routes);
    let local = routes.filter(|route| route.target.as_deref() == Some("local"));
    local.filter_map(|route| parsed(&route.destination))
}

fn has(tables: &[RouteTable], address: IpAddr) -> bool {
    blocks_of(tables).any(|block| block.has(address))
}
