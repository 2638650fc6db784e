//! The load balancer's name has IPv6 addresses, but only IPv4 is open to everyone. Whether IPv6 is
//! routed to its subnets at all is for another check, and so is a load balancer that is closed to
//! everybody.

use std::collections::BTreeSet;

use crate::aws;
use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Command;
use crate::facts::inbound::inbound_rules::{self, Admitted, InboundRules};
use crate::facts::inbound::traffic;
use crate::facts::network::network_acl::{self, Crossing, Dropped, OF_BALANCERS};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::LoadBalancer;
use crate::text::{and_list, parsed};

crate::check! {
    /// A dual-stack load balancer is open to everyone over IPv4, and closed over IPv6.
    ///
    /// # Why it matters
    ///
    /// The name of a dual-stack load balancer has AAAA records, and a client with IPv6 tries those
    /// first. Its connections time out: some clients then try IPv4 and are only slow, others never
    /// get an answer. From an IPv4 network everything looks fine.
    ///
    /// # How we tell
    ///
    /// The `IpAddressType` of an internet-facing load balancer is `dualstack`; on a port on which
    /// requests reach the service, its security groups allow `0.0.0.0/0` and no IPv6 block at all.
    /// Or a network ACL of its subnets drops IPv6, inbound or outbound. A load balancer whose
    /// security groups allow only a few addresses is left out: its clients may well have IPv4 only.
    ///
    /// # What to do
    ///
    /// Allow IPv6 as well, or remove it from the load balancer:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <balancer's group> --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,Ipv6Ranges=[{CidrIpv6=::/0}]'
    /// aws elbv2 set-ip-address-type --load-balancer-arn <arn> --ip-address-type ipv4
    /// ```
    ///
    /// Terraform/OpenTofu: `cidr_ipv6` of an `aws_vpc_security_group_ingress_rule`, or
    /// `ip_address_type` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `balancer_ipv6_not_routed`, `balancer_closed_to_clients`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html#ip-address-type>
    title: "A dual-stack load balancer allows IPv4 clients only",
    severity: High,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules,
        DescribeSecurityGroups, DescribeNetworkAcls, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{prefix_list, request_path};
        request_path::dual_stack(snapshot);
        let office = prefix_list::list(snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24"]);
        let group = snapshot.security_groups.change("sg-balancer");
        group.into_iter().for_each(|group| group.ip_permissions.push(prefix_list::from_list(443, office)));
        let rules = snapshot.security_groups.change("sg-balancer").into_iter().flat_map(|group| &mut group.ip_permissions);
        rules.for_each(|rule| rule.cidr_ipv6.clear());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut examined = false;
    for arn in traffic::balancers(patient)? {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        if !network_acl::matter_to(balancer) {
            continue;
        }
        examined = true;
        let ports = served(patient, arn)?;
        let by_groups = inbound_rules::of_balancer(patient, arn, findings)
            .and_then(|inbound| by_security_groups(patient, findings, &inbound, &ports));
        let found = match by_groups {
            Some(found) => Some(found),
            None => findings.see(by_network_acl(patient, balancer, &ports)).flatten(),
        };
        found.into_iter().for_each(|found| findings.add(found));
    }
    if examined || !findings.hidden.is_empty() {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("no internet-facing load balancer with IPv6 beside IPv4"))
    }
}

/// The ports of a load balancer on which requests reach the service.
fn served(patient: &Patient, balancer: &str) -> Result<BTreeSet<i32>, Blind> {
    let forwards = traffic::forwards(patient)?;
    let live = forwards.iter().filter(|forward| {
        forward.listener.load_balancer_arn == balancer && forward.live().next().is_some()
    });
    Ok(live.filter_map(|forward| forward.listener.port).collect())
}

/// Ports that are open to every IPv4 address and to none of IPv6.
fn by_security_groups(
    patient: &Patient,
    findings: &mut Findings,
    inbound: &InboundRules,
    ports: &BTreeSet<i32>,
) -> Option<Finding> {
    // A group that is not seen may allow IPv6.
    if inbound.groups.len() < inbound.balancer.security_groups.len() {
        return None;
    }
    let let_in = inbound.lets_in(patient, findings, |_| true);
    if let_in.unknown.iter().any(|source| source.starts_with("pl-")) {
        return None;
    }
    let is_half_open = |port: &&i32| {
        let has_ipv6 = |one: &Admitted| one.block.is_v6() && one.ports.contains(*port);
        inbound_rules::world(&let_in.blocks, false, **port).is_some()
            && !let_in.blocks.iter().any(has_ipv6)
    };
    let closed: BTreeSet<i32> = ports.iter().filter(is_half_open).copied().collect();
    let port = closed.first().copied()?;
    let (_, by_ipv4) = inbound_rules::world(&let_in.blocks, false, port)?;
    let names =
        inbound.groups.iter().map(|group| format!("{} ({})", group.group_name, group.group_id));
    let claim = format!(
        "load balancer {} is dual-stack, and its security groups, {}, allow everyone on {} over IPv4 only: clients that connect over IPv6 time out",
        inbound.name(),
        and_list(names),
        inbound_rules::port_words(&closed)
    );
    let group = &by_ipv4.first()?.group.group_id;
    let remedy = remedy(inbound.balancer, inbound_rules::authorize(group, port, "::/0"))
        .terraform(inbound_rules::terraform("ipv6", group, port, "::/0"));
    let rules = by_ipv4.iter().map(|one| one.rule());
    Some(finding(inbound.balancer, claim).because_all(rules).mend(remedy))
}

/// The first network ACL of the load balancer's subnets that drops inbound IPv6, or the answers. An
/// older snapshot has none.
fn by_network_acl(
    patient: &Patient,
    balancer: &LoadBalancer,
    ports: &BTreeSet<i32>,
) -> Result<Option<Finding>, Blind> {
    let (Some(vpc), Some(world)) = (&balancer.vpc_id, parsed::<Cidr>("::/0")) else {
        return Ok(None);
    };
    let crossings = balancer.subnets.iter().flat_map(|subnet| {
        let crossing = move |egress, ports| Crossing { subnet, egress, peer: world, ports };
        let inward = ports.iter().map(move |port| crossing(false, *port..=*port));
        inward.chain([crossing(true, OF_BALANCERS)])
    });
    let dropped = match network_acl::dropped(patient, vpc, crossings) {
        Err(Blind { why: Why::NotAsked, .. }) => None,
        dropped => dropped?,
    };
    Ok(dropped.map(|dropped| of_acl(balancer, &dropped)))
}

fn of_acl(balancer: &LoadBalancer, dropped: &Dropped) -> Finding {
    let acl = &dropped.acl.network_acl_id;
    let claim = format!(
        "load balancer {} is dual-stack, and network ACL {acl} of its subnet {} drops IPv6 on {} {}: clients that connect over IPv6 time out",
        balancer.load_balancer_name,
        dropped.crossing.subnet,
        network_acl::port_words(&dropped.crossing.ports),
        if dropped.crossing.egress { "outbound" } else { "inbound" }
    );
    let remedy = remedy(balancer, dropped.allow(dropped.free_number(0)));
    finding(balancer, claim).because_all(dropped.evidence()).mend(remedy)
}

fn finding(balancer: &LoadBalancer, claim: String) -> Finding {
    let arn = &balancer.load_balancer_arn;
    let kind = balancer.ip_address_type.as_deref().unwrap_or_default();
    Subject::new(Kind::LoadBalancer, arn)
        .sick(claim, Evidence::new(Call::DescribeLoadBalancers, arn, "IpAddressType", kind))
        .detail("Its name has AAAA records, which clients with IPv6 try first.")
        .concerns(Kind::LoadBalancer, arn)
}

fn remedy(balancer: &LoadBalancer, let_in: Command) -> Remedy {
    Remedy::new(
        "Allow IPv6 as well (the first command); or, if you want IPv4 only, remove IPv6 from the load balancer (the second).",
    )
    .cli(let_in)
    .cli(aws!(
        "elbv2 set-ip-address-type --load-balancer-arn {} --ip-address-type ipv4",
        balancer.load_balancer_arn
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, from_block, id, prefix_list, request_path::dual_stack};
    use crate::exam::Outcome;
    use crate::seen::Seen;
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn with_rules(rules: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = rules;
        snapshot
    }

    fn typed(kind: &str, scheme: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let balancer = snapshot.load_balancers.change(&balancer()).unwrap();
        (balancer.ip_address_type, balancer.scheme) = (Some(kind.into()), Some(scheme.into()));
        snapshot
    }

    #[test]
    fn names_balancer_groups_and_port_and_mends_the_rule_first() {
        let example = (CHECK.example)();
        assert_eq!(
            says(CHECK, &example),
            [
                "Load balancer web is dual-stack, and its security groups, web-balancer (sg-balancer), allow everyone on port 443 over IPv4 only: clients that connect over IPv6 time out. Its name has AAAA records, which clients with IPv6 try first."
            ]
        );
        let remedy = exam(CHECK, &example).findings.remove(0).remedy;
        assert!(remedy.shell()[0].contains("CidrIpv6=::/0"), "{:?}", remedy.shell());
        assert!(remedy.shell()[1].ends_with("--ip-address-type ipv4"), "{:?}", remedy.shell());
    }

    #[test]
    fn a_balancer_that_lets_both_in_is_as_it_should_be() {
        let mut snapshot = baseline::fargate();
        dual_stack(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.network_acls.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "an older snapshot");
    }

    #[test]
    fn without_public_ipv6_there_is_nothing_to_let_in() {
        for (kind, scheme) in [
            ("ipv4", "internet-facing"),
            ("dualstack", "internal"),
            ("dualstack-without-public-ipv4", "internet-facing"),
        ] {
            let outcome = exam(CHECK, &typed(kind, scheme)).outcome;
            assert!(matches!(outcome, Outcome::NotApplicable(_)), "{kind} {scheme}: {outcome:?}");
        }
    }

    #[test]
    fn a_balancer_for_a_few_may_do_without_ipv6() {
        let office = with_rules(vec![from_block(443, "203.0.113.0/24")]);
        assert_eq!(exam(CHECK, &office).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_list_may_have_blocks_of_ipv6() {
        let everybody = baseline::everywhere("tcp", Some(443));
        let mut snapshot =
            with_rules(vec![everybody.clone(), prefix_list::from_list(443, "pl-0ff1ce")]);
        snapshot.prefix_lists.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &["2001:db8::/32"]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &["198.51.100.0/24"]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn a_network_acl_that_knows_no_ipv6_drops_it() {
        let mut snapshot = baseline::fargate();
        dual_stack(&mut snapshot);
        let acls = snapshot.network_acls.change("vpc-1").unwrap();
        acls[0].entries.retain(|entry| entry.ipv6_cidr_block.is_none());
        let said = says(CHECK, &snapshot);
        assert!(
            said[0].contains("network ACL acl-1 of its subnet subnet-0c3 drops IPv6"),
            "{said:?}"
        );
        snapshot.network_acls.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
