//! The load balancer has IPv6 addresses, and its subnets no inbound route for them: no route to an
//! internet gateway, or one to an egress-only gateway, which allows outbound connections only.
//! Which sources are allowed is for other checks.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::{Argument, Word};
use crate::facts::inbound::traffic;
use crate::facts::network::route::{self, NextHop};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, Route, RouteTable};
use crate::text::{and_list, parsed};
use crate::{aws, hcl};

crate::check! {
    /// An internet-facing load balancer has IPv6 addresses in subnets whose IPv6 routes do not lead
    /// to an internet gateway.
    ///
    /// # Why it matters
    ///
    /// The name of the load balancer has AAAA records, and a client with IPv6 tries those first. It
    /// gets no answer and its connections time out, while IPv4 works.
    ///
    /// # How we tell
    ///
    /// The `IpAddressType` of an internet-facing load balancer begins with `dualstack`, and the
    /// route table of one of its subnets sends internet IPv6 nowhere, into a blackhole, or to an
    /// egress-only internet gateway, which allows outbound connections only. Where the subnet has
    /// IPv4 and no inbound route for that either, `balancer_in_private_subnet` reports it. Firewall
    /// endpoints and transit gateways may bring requests in, so nothing is claimed.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-route --route-table-id <table> --destination-ipv6-cidr-block ::/0 --gateway-id <internet gateway>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_route` with `destination_ipv6_cidr_block` and `gateway_id`.
    ///
    /// # See also
    ///
    /// `balancer_closed_to_ipv6`, `balancer_in_private_subnet`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/egress-only-internet-gateway.html>
    title: "A dual-stack load balancer's subnets have no route for IPv6",
    severity: High,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSubnets, DescribeRouteTables],
    example: on fargate, |snapshot| {
        crate::baseline::request_path::dual_stack(snapshot);
        let routes = snapshot.route_tables.change("vpc-1").into_iter().flatten().flat_map(|table| &mut table.routes);
        routes.filter(|route| route.destination == "::/0").for_each(|route| route.target = Some("eigw-1".into()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut examined = false;
    for arn in traffic::balancers(patient)? {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        if !balancer.is_public() || !balancer.has_ipv6() {
            continue;
        }
        examined = true;
        let mut cut_off = Vec::new();
        for subnet in &balancer.subnets {
            cut_off.extend(findings.see(CutOff::of(patient, balancer, subnet)).flatten());
        }
        if !cut_off.is_empty() {
            findings.add(finding(balancer, &cut_off));
        }
    }
    if examined || !findings.hidden.is_empty() {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("no internet-facing load balancer with IPv6"))
    }
}

/// A subnet of a load balancer without an inbound route for IPv6.
struct CutOff<'a> {
    subnet: &'a str,
    table: &'a RouteTable,
    why: Why<'a>,
}

enum Why<'a> {
    Nowhere,
    Blackhole(&'a Route),
    EgressOnly(&'a Route),
}

impl<'a> CutOff<'a> {
    fn of(
        patient: &Patient<'a>,
        balancer: &LoadBalancer,
        subnet: &'a str,
    ) -> Result<Option<CutOff<'a>>, Blind> {
        // Any address of the internet's.
        let Some(exit) = route::out(patient, subnet, parsed("2000::1"))? else { return Ok(None) };
        let only_ipv6 =
            balancer.ip_address_type.as_deref() == Some("dualstack-without-public-ipv4");
        if !only_ipv6 && route::is_private(exit.table) {
            return Ok(None);
        }
        let why = match exit.next_hop {
            NextHop::Nowhere => Some(Why::Nowhere),
            NextHop::Blackhole(route) => Some(Why::Blackhole(route)),
            NextHop::Elsewhere => egress_only(exit.table).map(Why::EgressOnly),
            NextHop::Internet(_) | NextHop::Nat(_) | NextHop::Unknown => None,
        };
        Ok(why.map(|why| CutOff { subnet, table: exit.table, why }))
    }

    /// What the table has instead, as evidence.
    fn evidence(&self) -> Vec<Evidence> {
        let of = |field, value: &str| {
            Evidence::new(Call::DescribeRouteTables, &self.table.route_table_id, field, value)
        };
        match self.why {
            Why::Nowhere => route::destinations(self.table),
            Why::Blackhole(route) => {
                vec![of("Routes.Destination", &route.destination), of("Routes.State", "blackhole")]
            }
            Why::EgressOnly(route) => {
                let target = route.target.as_deref().unwrap_or_default();
                vec![of("Routes.Destination", &route.destination), of("Routes.Target", target)]
            }
        }
    }

    fn words(&self) -> String {
        match self.why {
            Why::Nowhere => "have no IPv6 route".to_owned(),
            Why::Blackhole(_) => "send IPv6 into a blackhole".to_owned(),
            Why::EgressOnly(route) => format!(
                "send IPv6 to egress-only internet gateway {}, which allows no inbound connections",
                route.target.as_deref().unwrap_or_default()
            ),
        }
    }

    /// A wrong route has to be replaced.
    fn verb(&self) -> &'static str {
        if matches!(self.why, Why::Nowhere) { "create-route" } else { "replace-route" }
    }
}

/// The default route of a table for IPv6, if it leads to an egress-only internet gateway.
fn egress_only(table: &RouteTable) -> Option<&Route> {
    table.routes.iter().find(|route| {
        route.destination.contains(':')
            && route.target.as_deref().is_some_and(|target| target.starts_with("eigw-"))
    })
}

fn finding(balancer: &LoadBalancer, cut_off: &[CutOff]) -> Finding {
    let arn = &balancer.load_balancer_arn;
    let (first, all) = (&cut_off[0], balancer.subnets.len());
    let claim = format!(
        "load balancer {} is dual-stack, but {} of its {all} subnets ({}) {}: clients that connect over IPv6 time out",
        balancer.load_balancer_name,
        cut_off.len(),
        and_list(cut_off.iter().map(|one| one.subnet)),
        first.words()
    );
    let kind = balancer.ip_address_type.as_deref().unwrap_or_default();
    let mut evidence: Vec<Evidence> = Vec::new();
    for one in cut_off.iter().flat_map(CutOff::evidence) {
        if !evidence.contains(&one) {
            evidence.push(one);
        }
    }
    let table = &first.table.route_table_id;
    let gateway = internet_gateway(first.table)
        .map_or_else(|| Word::needed("INTERNET_GATEWAY_ID"), |gateway| gateway.word());
    let remedy = Remedy::new("Give the subnets an IPv6 route to the VPC's internet gateway.")
        .cli(aws!(
            "ec2 {} --route-table-id {} --destination-ipv6-cidr-block ::/0 --gateway-id {}",
            first.verb(),
            table,
            gateway
        ))
        .terraform(hcl!(
            r#"
            resource "aws_route" "ipv6" {
              route_table_id              = {}
              destination_ipv6_cidr_block = "::/0"
              gateway_id                  = aws_internet_gateway.this.id
            }"#,
            table
        ));
    Subject::new(Kind::LoadBalancer, arn)
        .sick(claim, Evidence::new(Call::DescribeLoadBalancers, arn, "IpAddressType", kind))
        .detail("Its name has AAAA records, which clients with IPv6 try first.")
        .because_all(evidence)
        .mend(remedy)
        .concerns(Kind::LoadBalancer, arn)
}

/// The internet gateway that IPv4 uses.
fn internet_gateway(table: &RouteTable) -> Option<&str> {
    let mut targets = table.routes.iter().filter_map(|route| route.target.as_deref());
    targets.find(|target| target.starts_with("igw-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, request_path::dual_stack};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why as Unseen};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with_routes(change: impl Fn(&mut Vec<Route>)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        dual_stack(&mut snapshot);
        let tables = snapshot.route_tables.change("vpc-1").unwrap();
        tables.iter_mut().filter(|table| !table.main).for_each(|table| change(&mut table.routes));
        snapshot
    }

    fn ipv6(routes: &mut [Route]) -> impl Iterator<Item = &mut Route> {
        routes.iter_mut().filter(|route| route.destination == "::/0")
    }

    #[test]
    fn an_egress_only_gateway_lets_nobody_in() {
        let example = (CHECK.example)();
        assert_eq!(
            says(CHECK, &example),
            [
                "Load balancer web is dual-stack, but 2 of its 2 subnets (subnet-0c3 and subnet-0d4) send IPv6 to egress-only internet gateway eigw-1, which allows no inbound connections: clients that connect over IPv6 time out. Its name has AAAA records, which clients with IPv6 try first."
            ]
        );
        let remedy = exam(CHECK, &example).findings.remove(0).remedy;
        assert_eq!(
            remedy.shell(),
            [
                "aws ec2 replace-route --route-table-id rtb-public --destination-ipv6-cidr-block ::/0 --gateway-id igw-1"
            ]
        );
    }

    #[test]
    fn no_route_and_a_dead_one_lead_nowhere() {
        let none = with_routes(|routes| routes.retain(|route| route.destination != "::/0"));
        assert!(says(CHECK, &none)[0].contains("have no IPv6 route"));
        let dead = with_routes(|routes| {
            ipv6(routes).for_each(|route| route.state = Some("blackhole".into()))
        });
        assert!(says(CHECK, &dead)[0].contains("send IPv6 into a blackhole"));
    }

    #[test]
    fn a_route_to_the_internet_gateway_or_past_a_firewall_is_a_way_in() {
        assert_eq!(exam(CHECK, &with_routes(|_| ())).outcome, Outcome::Healthy);
        let firewall = with_routes(|routes| {
            ipv6(routes).for_each(|route| route.target = Some("vpce-0a1b2c".into()))
        });
        assert_eq!(exam(CHECK, &firewall).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_balancer_without_public_ipv6_needs_no_such_route() {
        for (kind, scheme) in [("ipv4", "internet-facing"), ("dualstack", "internal")] {
            let mut snapshot = (CHECK.example)();
            let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
            let balancer = snapshot.load_balancers.change(&arn).unwrap();
            (balancer.ip_address_type, balancer.scheme) = (Some(kind.into()), Some(scheme.into()));
            let outcome = exam(CHECK, &snapshot).outcome;
            assert!(matches!(outcome, Outcome::NotApplicable(_)), "{kind} {scheme}: {outcome:?}");
        }
    }

    #[test]
    fn a_subnet_that_is_private_altogether_is_another_trouble() {
        let private = with_routes(|routes| {
            routes.retain(|route| route.target.as_deref() == Some("local"));
        });
        assert_eq!(exam(CHECK, &private).outcome, Outcome::Healthy);
    }

    #[test]
    fn routes_that_were_refused_are_not_known() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.insert("vpc-1", Seen::No(Unseen::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
