//! An internet-facing load balancer is in a subnet that has no route to an internet gateway: its
//! addresses there are public, and unreachable.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::facts::network::route;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, RouteTable};
use crate::text::{and_list, plural};
use crate::{aws, hcl};

crate::check! {
    /// An internet-facing load balancer is in a subnet without a route to an internet gateway.
    ///
    /// # Why it matters
    ///
    /// The load balancer's name resolves to one public address per subnet. Those in a private
    /// subnet never answer: clients always time out, or, if it is one subnet of two, every other
    /// time.
    ///
    /// # How we tell
    ///
    /// `Scheme` is `internet-facing`, and the route table of a subnet of the load balancer, its own
    /// or the VPC's main one, has no route to an internet gateway: its default route is missing, a
    /// blackhole, or leads to a NAT gateway. A default route to a firewall or an appliance may
    /// still bring requests in, so nothing is claimed. Load balancers with public IPv6 addresses
    /// only are left out.
    ///
    /// # What to do
    ///
    /// Give the load balancer at least two public subnets, or give its subnets a route:
    ///
    /// ```sh
    /// aws elbv2 set-subnets --load-balancer-arn <balancer> --subnets <public subnets>
    /// aws ec2 create-route --route-table-id <table> --destination-cidr-block 0.0.0.0/0 --gateway-id <internet gateway>
    /// ```
    ///
    /// Terraform/OpenTofu: `subnets` of `aws_lb`.
    ///
    /// # See also
    ///
    /// `balancer_internal`, `balancer_closed_to_clients`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "An internet-facing load balancer is in a private subnet",
    severity: Critical,
    role: Cause,
    explains: [],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeLoadBalancers, DescribeSubnets, DescribeRouteTables],
    example: on fargate, |snapshot| {
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten().filter(|table| !table.main) {
            table.subnet_ids.retain(|id| id != "subnet-0d4");
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for arn in traffic::balancers(patient)? {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        let is_public = balancer.scheme.as_deref() == Some("internet-facing");
        if !is_public
            || balancer.ip_address_type.as_deref() == Some("dualstack-without-public-ipv4")
        {
            continue;
        }
        let mut private: Vec<(&str, &RouteTable)> = Vec::new();
        for subnet in &balancer.subnets {
            let table = findings
                .see(table(patient, subnet))
                .flatten()
                .filter(|table| route::is_private(table));
            private.extend(table.map(|table| (subnet.as_str(), table)));
        }
        if let Some((_, table)) = private.first() {
            findings.add(finding(balancer, &private, table));
        }
    }
    Ok(())
}

fn table<'a>(patient: &Patient<'a>, subnet: &str) -> Result<Option<&'a RouteTable>, Blind> {
    let Some(vpc) = patient.subnet(subnet)?.and_then(|subnet| subnet.vpc_id.as_deref()) else {
        return Ok(None);
    };
    Ok(route::table(patient.route_tables(vpc)?, subnet))
}

fn finding(
    balancer: &LoadBalancer,
    private: &[(&str, &RouteTable)],
    table: &RouteTable,
) -> Finding {
    let arn = &balancer.load_balancer_arn;
    let (closed, all) = (private.len(), balancer.subnets.len());
    let subnets = and_list(private.iter().map(|(subnet, _)| *subnet));
    let outcome = if closed == all {
        "no client on the internet gets an answer"
    } else {
        "clients that resolve to an address there get no answer"
    };
    let verb = plural(closed, "has", "have");
    let claim = format!(
        "load balancer {} is internet-facing, but {closed} of its {all} subnets ({subnets}) {verb} no route to an internet gateway: {outcome}",
        balancer.load_balancer_name
    );
    let routes = private.iter().flat_map(|(_, table)| {
        let of = &table.route_table_id;
        let targets = table.routes.iter().filter_map(|route| route.target.as_deref());
        targets.map(move |target| {
            Evidence::new(Call::DescribeRouteTables, of, "Routes.Target", target)
        })
    });
    let mut evidence: Vec<Evidence> = Vec::new();
    for one in routes {
        if !evidence.contains(&one) {
            evidence.push(one);
        }
    }
    let remedy = Remedy::new("Move the load balancer to at least two public subnets, or give these subnets a route to an internet gateway.")
        .cli(aws!(
            "elbv2 set-subnets --load-balancer-arn {} \
             --subnets $PUBLIC_SUBNET_ID $OTHER_PUBLIC_SUBNET_ID",
            arn
        ))
        .cli(aws!(
            "ec2 create-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 \
             --gateway-id $INTERNET_GATEWAY_ID",
            table.route_table_id
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb" "this" {
              subnets = aws_subnet.public[*].id
            }"#
        ));
    Subject::new(Kind::LoadBalancer, arn)
        .sick(claim, Evidence::new(Call::DescribeLoadBalancers, arn, "Scheme", "internet-facing"))
        .because_all(evidence)
        .mend(remedy)
        .concerns(Kind::LoadBalancer, arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    #[test]
    fn names_balancer_and_subnet() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Load balancer web is internet-facing, but 1 of its 2 subnets (subnet-0d4) has no route to an internet gateway: clients that resolve to an address there get no answer."
            ]
        );
    }

    #[test]
    fn with_all_of_them_private_nobody_gets_in() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.change("vpc-1").unwrap()[1].subnet_ids.clear();
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("2 of its 2 subnets (subnet-0c3 and subnet-0d4) have no route to an internet gateway: no client on the internet")
        );
    }

    #[test]
    fn a_firewall_on_the_way_may_let_clients_in() {
        for target in ["vpce-0f1", "eni-0a1", "igw-1"] {
            let mut snapshot = (CHECK.example)();
            snapshot.route_tables.change("vpc-1").unwrap()[0].routes[1].target =
                Some(target.into());
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{target}");
        }
    }

    #[test]
    fn an_internal_balancer_belongs_into_private_subnets() {
        let mut snapshot = (CHECK.example)();
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .scheme = Some("internal".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_tables_prove_nothing() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        assert_eq!(exam(CHECK, &baseline::worker()).outcome, Outcome::Healthy);
    }
}
