//! The app calls an address in another network that is connected to the VPC: the route there is in
//! place, and the one back is not, or the peering connection carries no traffic. A route that is
//! missing on this side is for another check.

use std::net::IpAddr;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::joined::{self, Joined, Joint, OtherSide};
use crate::facts::network::{egress_path, route};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::{PeeringConnection, RouteTable};
use crate::text::{and_more, plural};
use crate::{aws, hcl};

crate::check! {
    /// An address in a peered VPC, or behind a transit gateway, does not answer the app, because
    /// the other side has no route back.
    ///
    /// # Why it matters
    ///
    /// Both sides need a route, and each has route tables of its own. Where the route back is
    /// missing, requests arrive and their answers get lost: the app sees a timeout, which looks
    /// like a security group.
    ///
    /// # How we tell
    ///
    /// Clients get errors, health checks fail or tasks stop, the log of the last hour has a
    /// connection to a private address that got no answer, and the longest match in the route table
    /// of the tasks' subnet leads to a peering connection or a transit gateway. Then the peering
    /// connection is not `active`; or no route table of the VPC that has the address leads back to
    /// the tasks through it. Where only some do, it is not known which one counts, and nothing is
    /// claimed. A VPC of another account or in another region cannot be seen from here: then this
    /// check says that it could not look. The route tables of the transit gateway itself are not
    /// read.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-route --route-table-id <table of the other VPC> --destination-cidr-block <own CIDR> --vpc-peering-connection-id <connection>
    /// aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id <connection>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_route` in the other VPC, with `vpc_peering_connection_id` or
    /// `transit_gateway_id`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `task_egress_blocked`,
    /// <https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-routing.html>
    title: "A peered network has no route back",
    severity: High,
    role: Cause,
    explains: [
        ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeSubnets, DescribeRouteTables, DescribeTargetGroups, DescribeTargetHealth, GetLogEvents, GetMetricData,
        DescribeVpcPeeringConnections, DescribeTransitGatewayVpcAttachments,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, joined, minutes, peers};
        let errors = crate::snapshot::metric::Metric::Target5xx.of(&id::group("api"));
        snapshot.metrics.put(errors, minutes(60.0));
        peers::log(snapshot, "Error: connect ETIMEDOUT 172.31.4.9:5432");
        peers::log(snapshot, "Error: connect ETIMEDOUT 172.20.1.7:6379");
        joined::peer(snapshot, "172.31.0.0/16", &[]);
        joined::attach(snapshot, "172.20.0.0/16", &[("0.0.0.0/0", "tgw-1")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for joined in joined::joined(patient, findings) {
        let found = findings.see(examined(patient, &joined)).flatten();
        found.into_iter().for_each(|found| findings.add(found));
    }
    Ok(())
}

fn examined(patient: &Patient, joined: &Joined) -> Result<Option<Finding>, Blind> {
    let Some(own) = joined.own_address(patient)? else { return Ok(None) };
    match joined.other_side(patient)? {
        OtherSide::NotActive(connection) => Ok(Some(not_active(patient, joined, connection))),
        OtherSide::Vpc(vpc, tables) => Ok(joined
            .lacks_way_back(tables, own)
            .then(|| no_way_back(patient, joined, vpc, tables, own))),
        // Only the route tables of the other side would show it.
        OtherSide::Elsewhere => Err(Blind { call: Call::DescribeRouteTables, why: Why::NotAsked }),
    }
}

fn not_active(patient: &Patient, joined: &Joined, connection: &PeeringConnection) -> Finding {
    let id = &connection.vpc_peering_connection_id;
    let state = &connection.status_code;
    let claim = format!(
        "the route from subnet {} {}, leads through peering connection {id}, which is {state} and carries no traffic",
        joined.path.stranded.subnet,
        joined.path.destination()
    );
    let remedy = if state == "pending-acceptance" {
        Remedy::new("Accept the peering connection in the account of the other VPC.")
            .cli(aws!("ec2 accept-vpc-peering-connection --vpc-peering-connection-id {}", id))
            .terraform(hcl!(
                r#"
                resource "aws_vpc_peering_connection_accepter" "this" {
                  vpc_peering_connection_id = {}
                  auto_accept               = true
                }"#,
                id
            ))
    } else {
        Remedy::new("Recreate the peering connection, and point the routes of both sides to it.")
            .cli(aws!(
                "ec2 create-vpc-peering-connection --vpc-id {} --peer-vpc-id $PEER_VPC_ID",
                joined.path.vpc
            ))
            .terraform(hcl!(
                r#"
                resource "aws_vpc_peering_connection" "this" {
                  vpc_id      = {}
                  peer_vpc_id = aws_vpc.peer.id
                  auto_accept = true
                }"#,
                joined.path.vpc
            ))
    };
    let state = Evidence::new(Call::DescribeVpcPeeringConnections, id, "Status.Code", state);
    told(patient, joined, &claim).because(state).mend(remedy)
}

fn no_way_back(
    patient: &Patient,
    joined: &Joined,
    vpc: &str,
    tables: &[RouteTable],
    own: IpAddr,
) -> Finding {
    let ids: Vec<&str> = tables.iter().map(|table| table.route_table_id.as_str()).collect();
    let block = joined.own_block(own).map_or_else(|| own.to_string(), |block| block.to_string());
    let noun = plural(ids.len(), "route table", "route tables");
    let has = plural(ids.len(), "has", "have");
    let claim = format!(
        "the route from subnet {} {}, leads through {} to VPC {vpc}, which has no route back: {noun} {} there {has} no route to {block} through it",
        joined.path.stranded.subnet,
        joined.path.destination(),
        joined.joint.words(),
        and_more(&ids, 3)
    );
    let option = match joined.joint {
        Joint::Peering(_) => "vpc-peering-connection-id",
        Joint::TransitGateway(_) => "transit-gateway-id",
    };
    let remedy = Remedy::new(format!(
        "Give the subnet of {} in VPC {vpc} a route back to {block}.",
        joined.address
    ));
    let remedy = ids.iter().take(3).fold(remedy, |remedy, table| {
        remedy.cli(aws!(
            "ec2 create-route --route-table-id {} --destination-cidr-block {} --{} {}",
            table,
            block,
            option,
            joined.joint.id()
        ))
    });
    let argument = option.replace('-', "_");
    let remedy = remedy.terraform(hcl!(
        r#"
        resource "aws_route" "back" {
          route_table_id         = {}
          destination_cidr_block = {}
          {} = {}
        }"#,
        ids.first().copied().unwrap_or_default(),
        block,
        Name(&argument),
        joined.joint.id()
    ));
    let of_tables = tables.iter().take(3).flat_map(route::destinations);
    told(patient, joined, &claim).because_all(of_tables).mend(remedy)
}

/// A finding with what the log says, and the route that leads there.
fn told(patient: &Patient, joined: &Joined, claim: &str) -> Finding {
    let about = Subject::new(Kind::Peering, joined.joint.id());
    let table = &joined.table.route_table_id;
    let there = |field, value: &str| Evidence::new(Call::DescribeRouteTables, table, field, value);
    egress_path::finding(patient, about, &[&joined.path], claim)
        .because(there("Routes.Destination", &joined.route.destination))
        .because(there("Routes.Target", joined.joint.id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, joined};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::Seen;
    use crate::snapshot::Snapshot;
    use crate::snapshot::metric::Metric;
    use crate::testing::{exam, says};

    fn failing() -> Snapshot {
        let mut snapshot = baseline::fargate();
        let errors = Metric::Target5xx.of(&baseline::id::group("api"));
        snapshot.metrics.put(errors, baseline::minutes(60.0));
        baseline::peers::log(&mut snapshot, "dial tcp 172.31.4.9:5432: i/o timeout");
        snapshot
    }

    #[test]
    fn names_both_sides_and_what_joins_them() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The route from subnet subnet-0a1 to 172.31.4.9:5432, which the app calls, leads through peering connection pcx-1 to VPC vpc-peer, which has no route back: route table rtb-peer there has no route to 10.0.0.0/16 through it. The log says \"Error: connect ETIMEDOUT 172.31.4.9:5432\"."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings.remove(0).remedy.shell();
        assert_eq!(
            remedy[0],
            "aws ec2 create-route --route-table-id rtb-peer --destination-cidr-block 10.0.0.0/16 --vpc-peering-connection-id pcx-1"
        );
    }

    #[test]
    fn a_route_back_by_the_same_way_or_to_a_wider_block_is_enough() {
        for destination in ["10.0.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "pl-0123"] {
            let mut snapshot = failing();
            joined::peer(&mut snapshot, "172.31.0.0/16", &[(destination, "pcx-1")]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{destination}");
        }
        for (destination, target) in
            [("0.0.0.0/0", "igw-2"), ("10.9.0.0/16", "pcx-1"), ("10.0.0.0/16", "pcx-other")]
        {
            let mut snapshot = failing();
            joined::peer(&mut snapshot, "172.31.0.0/16", &[(destination, target)]);
            assert_eq!(says(CHECK, &snapshot).len(), 1, "{destination} {target}");
        }
    }

    #[test]
    fn of_several_tables_one_that_leads_back_leaves_it_open() {
        let mut snapshot = failing();
        joined::peer(&mut snapshot, "172.31.0.0/16", &[]);
        let tables = snapshot.route_tables.change("vpc-peer").unwrap();
        let mut other = tables[0].clone();
        other.routes.push(joined::route("10.0.0.0/16", "pcx-1"));
        tables.push(other);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_connection_that_nobody_accepted_carries_nothing() {
        let mut snapshot = failing();
        joined::peer(&mut snapshot, "172.31.0.0/16", &[("10.0.0.0/16", "pcx-1")]);
        snapshot.peering_connections.change("pcx-1").unwrap().status_code =
            "pending-acceptance".into();
        let found = exam(CHECK, &snapshot).findings.remove(0);
        assert!(found.says().contains("which is pending-acceptance"), "{found:?}");
        assert!(found.remedy.shell()[0].contains("accept-vpc-peering-connection"), "{found:?}");
    }

    #[test]
    fn behind_a_transit_gateway_it_is_the_vpc_that_has_the_address() {
        let mut snapshot = failing();
        joined::attach(&mut snapshot, "172.31.0.0/16", &[]);
        let found = says(CHECK, &snapshot);
        assert!(
            found[0].contains(
                "leads through transit gateway tgw-1 to VPC vpc-shared, which has no route back"
            ),
            "{found:?}"
        );
        let mut open = failing();
        joined::attach(&mut open, "172.31.0.0/16", &[("0.0.0.0/0", "tgw-1")]);
        assert_eq!(exam(CHECK, &open).outcome, Outcome::Healthy);
        let mut elsewhere = failing();
        joined::attach(&mut elsewhere, "172.30.0.0/16", &[]);
        assert_eq!(exam(CHECK, &elsewhere).outcome, Outcome::CouldNotLook, "another has it");
    }

    #[test]
    fn another_accounts_routes_are_not_seen() {
        let mut snapshot = failing();
        joined::peer(&mut snapshot, "172.31.0.0/16", &[]);
        snapshot.peering_connections.change("pcx-1").unwrap().accepter.owner_id =
            "210987654321".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        snapshot.peering_connections.insert("pcx-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_address_in_the_vpc_itself_needs_no_such_route() {
        let mut snapshot = baseline::fargate();
        let errors = Metric::Target5xx.of(&baseline::id::group("api"));
        snapshot.metrics.put(errors, baseline::minutes(60.0));
        baseline::peers::log(&mut snapshot, "connect ETIMEDOUT 10.0.21.5:5432");
        joined::peer(&mut snapshot, "172.31.0.0/16", &[]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn explains_what_clients_get() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let roots = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent)).roots;
        assert_eq!(roots[0].check.id(), CHECK.id());
        assert!(roots[0].explains.iter().any(|node| node.check.id() == "app_answers_5xx"));
    }
}
