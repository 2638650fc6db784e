//! The load balancer's security groups allow nobody on the ports that it listens on, or not the
//! clients that the user expects. Rules add up and only allow, so this is arithmetic; who the
//! clients are, only the user knows.

use std::collections::BTreeSet;

use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::inbound_rules::{self, InboundRules};
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Listener;
use crate::text::and_list;

crate::check! {
    /// No rule of the load balancer's security groups allows clients on a port that it listens on.
    ///
    /// # Why it matters
    ///
    /// Clients get no answer at all: no status code, just a timeout. Targets are healthy and every
    /// console is green.
    ///
    /// # How we tell
    ///
    /// Together, the inbound rules of the load balancer's security groups allow no source on any of
    /// its listener ports: no CIDR block, no security group and no prefix list with entries. Or,
    /// with `--expect-ingress`, they allow no address of an expected block, and no security group
    /// or unseen prefix list might allow it. IPv6 blocks count only if the load balancer has IPv6
    /// addresses, and IPv4 blocks only if it has IPv4 addresses. A closed port 80 beside an open
    /// 443 is not reported. PrivateLink traffic can bypass the security groups of a Network Load
    /// Balancer: one that permits this is left out, and so is an internal one for which it is not
    /// known.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <balancer's group> --protocol tcp --port 443 --cidr <block>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_ingress_rule` of the load balancer's group.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `balancer_internal`, `balancer_in_private_subnet`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The load balancer's security groups allow no clients",
    severity: Critical,
    role: Cause,
    explains: [],
    ruled_out_by: Requests,
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules,
        DescribeSecurityGroups, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::everywhere;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(8443))]);
        crate::baseline::shut_clients_out(snapshot);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let inbounds = inbound_rules::each(patient, findings)?;
    if !inbounds.iter().any(is_the_only_way_in) {
        return Err(NoAnswer::NotApplicable(
            "no load balancer that clients reach through its security groups alone",
        ));
    }
    for inbound in inbounds.iter().filter(|inbound| is_the_only_way_in(inbound)) {
        // A group that is not seen may allow anybody.
        if inbound.groups.len() == inbound.balancer.security_groups.len() {
            finding(patient, findings, inbound)
                .into_iter()
                .for_each(|finding| findings.add(finding));
        }
    }
    Ok(())
}

/// Whether nobody reaches the load balancer without passing its security groups.
fn is_the_only_way_in(inbound: &InboundRules) -> bool {
    let balancer = inbound.balancer;
    let enforced = balancer.enforce_security_group_inbound_rules_on_private_link_traffic.as_deref();
    match balancer.load_balancer_type.as_deref() {
        Some("application") => true,
        Some("network") if inbound.is_public() => enforced != Some("off"),
        Some("network") => enforced == Some("on"),
        _ => false,
    }
}

fn finding(patient: &Patient, findings: &mut Findings, inbound: &InboundRules) -> Option<Finding> {
    let ports: BTreeSet<i32> =
        inbound.listeners.iter().filter_map(|listener| listener.port).collect();
    let last = *ports.last()?;
    // Where somebody is certainly allowed, and nobody is expected, no prefix list has to be seen.
    let without_lists = inbound.lets_in(patient, findings, |_| false);
    if patient.intent().expect_ingress.is_empty()
        && !(without_lists.blocks.is_empty() && without_lists.unknown.is_empty())
    {
        return None;
    }
    let let_in = inbound.lets_in(patient, findings, |_| true);
    let (admitted, by_others) = (&let_in.blocks, !let_in.unknown.is_empty());
    let meets = |expected: &Cidr| {
        admitted.iter().any(|one| one.block.covers(expected) || expected.covers(&one.block))
    };
    // Nobody connects over a family that the load balancer does not have, whatever its security
    // groups say.
    let expected =
        patient.intent().expect_ingress.iter().filter(|expected| inbound.speaks(expected));
    let shut_out: Vec<&Cidr> = expected.filter(|expected| !meets(expected)).collect();
    let names =
        inbound.groups.iter().map(|group| format!("{} ({})", group.group_name, group.group_id));
    let who = if admitted.is_empty() && !by_others {
        "anybody".to_owned()
    } else if !shut_out.is_empty() && !by_others {
        and_list(&shut_out)
    } else {
        return None;
    };
    let port = findings.see(served(patient, inbound)).flatten().unwrap_or(last);
    let claim = format!(
        "no rule of load balancer {}'s security groups, {}, allows {who} on {}: connections time out",
        inbound.name(),
        and_list(names),
        inbound_rules::port_words(&ports)
    );
    let expected = shut_out
        .first()
        .map(|block| block.to_string())
        .or_else(|| patient.intent().expect_lists.first().cloned());
    let client = expected.unwrap_or("203.0.113.0/24".into());
    let group = &inbound.groups.first()?.group_id;
    let arn = &inbound.balancer.load_balancer_arn;
    let remedy = Remedy::new("Allow your clients (203.0.113.0/24 stands for their addresses unless --expect-ingress names them).")
        .cli(inbound_rules::authorize(group, port, &client))
        .terraform(inbound_rules::terraform("clients", group, port, &client));
    Some(
        Subject::new(Kind::LoadBalancer, arn)
            .sick(claim, reach::what_it_admits(inbound.groups.first()?, port))
            .because_all(
                inbound.groups.iter().skip(1).map(|group| reach::what_it_admits(group, port)),
            )
            .because_all(inbound.entries(patient))
            .because_all(inbound.groups.iter().map(|group| {
                Evidence::new(Call::DescribeLoadBalancers, arn, "SecurityGroups", &group.group_id)
            }))
            .because_all(inbound.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, arn),
    )
}

/// The port on which clients reach this service: the load balancer may listen on others for tests,
/// or for other services.
fn served(patient: &Patient, inbound: &InboundRules) -> Result<Option<i32>, Blind> {
    let forwards = traffic::forwards(patient)?;
    let here = |listener: &Listener| {
        inbound.listeners.iter().any(|own| own.listener_arn == listener.listener_arn)
    };
    let live =
        forwards.iter().filter(|forward| here(forward.listener) && forward.live().next().is_some());
    let ports: BTreeSet<i32> = live.filter_map(|forward| forward.listener.port).collect();
    Ok(ports.get(&443).or(ports.last()).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_group, id, prefix_list};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, exam_with, expecting, says};

    fn with(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    #[test]
    fn a_network_balancer_is_closed_unless_something_may_come_past_its_groups() {
        for (scheme, enforced, closed) in [
            ("internet-facing", None, true),
            ("internet-facing", Some("on"), true),
            ("internet-facing", Some("off"), false),
            ("internal", Some("on"), true),
            ("internal", Some("off"), false),
            ("internal", None, false),
        ] {
            let mut snapshot = with(Vec::new());
            let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
            let balancer = snapshot.load_balancers.change(&arn).unwrap();
            balancer.load_balancer_type = Some("network".into());
            balancer.scheme = Some(scheme.into());
            balancer.enforce_security_group_inbound_rules_on_private_link_traffic =
                enforced.map(Into::into);
            let found = !exam(CHECK, &snapshot).findings.is_empty();
            assert_eq!(found, closed, "{scheme}, {enforced:?}");
        }
    }

    #[test]
    fn names_balancer_groups_and_port() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of load balancer web's security groups, web-balancer (sg-balancer), allows anybody on port 443: connections time out."
            ]
        );
    }

    #[test]
    fn whoever_is_let_in_by_block_group_or_list_is_somebody() {
        for rule in [everywhere("-1", None), from_group(443, "sg-office")] {
            assert_eq!(exam(CHECK, &with(vec![rule])).outcome, Outcome::Healthy);
        }
        assert_eq!(exam(CHECK, &with(Vec::new())).outcome, Outcome::Sick);
    }

    #[test]
    fn a_prefix_list_lets_in_whom_it_has() {
        let mut snapshot = with(vec![prefix_list::from_list(443, "pl-0ff1ce")]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "nobody has looked into it"
        );
        let outcome = |snapshot: &Snapshot, expected: &[&str]| {
            exam_with(CHECK, snapshot, &expecting(expected)).outcome
        };
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24"]);
        assert_eq!(outcome(&snapshot, &[]), Outcome::Healthy);
        assert_eq!(outcome(&snapshot, &["203.0.113.7"]), Outcome::Healthy);
        assert_eq!(outcome(&snapshot, &["192.0.2.0/24"]), Outcome::Sick, "another office");
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &[]);
        assert_eq!(outcome(&snapshot, &[]), Outcome::Sick, "an empty list lets nobody in");
        let evidence = exam(CHECK, &snapshot).findings.remove(0).evidence;
        let told: Vec<(&str, &str)> =
            evidence.iter().map(|one| (one.field, one.value.as_str())).collect();
        assert!(
            told.contains(&("PrefixListIds.PrefixListId", "pl-0ff1ce"))
                && told.contains(&("Entries", "[]")),
            "{told:?}"
        );
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &["2001:db8::/32"]);
        assert_eq!(
            outcome(&snapshot, &[]),
            Outcome::Sick,
            "nor does one of IPv6 where the load balancer has IPv4 only"
        );
    }

    #[test]
    fn a_list_that_was_refused_is_no_matter_beside_an_open_rule() {
        let snapshot =
            with(vec![prefix_list::from_list(443, "pl-0ff1ce"), everywhere("tcp", Some(443))]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        assert_eq!(
            exam_with(CHECK, &snapshot, &expecting(&["pl-0ff1ce"])).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn an_expected_list_is_what_should_be_let_in() {
        let finding =
            exam_with(CHECK, &with(Vec::new()), &expecting(&["pl-0ff1ce"])).findings.remove(0);
        assert!(
            finding.remedy.shell()[0].ends_with("PrefixListIds=[{PrefixListId=pl-0ff1ce}]'"),
            "{:?}",
            finding.remedy.shell()
        );
    }

    #[test]
    fn one_port_that_is_open_beside_a_closed_one_is_enough() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        let listeners =
            snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap();
        listeners.push(Listener {
            listener_arn: "http".into(),
            port: Some(80),
            ..listeners[0].clone()
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn whom_the_user_expects_must_be_let_in() {
        let expect = |block: &str| expecting(&[block]);
        let snapshot = baseline::fargate();
        assert_eq!(
            exam_with(CHECK, &snapshot, &expect("203.0.113.7/32")).outcome,
            Outcome::Healthy
        );
        assert_eq!(
            exam_with(CHECK, &snapshot, &expect("203.0.0.0/16")).outcome,
            Outcome::Healthy,
            "some of them are"
        );
        let exam = exam_with(CHECK, &snapshot, &expect("192.0.2.0/24"));
        assert!(exam.findings[0].says().contains("allows 192.0.2.0/24 on port 443"), "{exam:?}");
    }

    #[test]
    fn nobody_can_come_by_ipv6_where_the_balancer_has_none() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        let outcome = |snapshot: &Snapshot| {
            exam_with(CHECK, snapshot, &expecting(&["0.0.0.0/0", "::/0"])).outcome
        };
        assert_eq!(outcome(&snapshot), Outcome::Healthy);
        let balancer = snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap();
        balancer.ip_address_type = Some("dualstack".into());
        assert_eq!(outcome(&snapshot), Outcome::Sick, "now it has, and only IPv4 is let in");
    }

    #[test]
    fn the_command_opens_the_port_that_leads_to_the_service() {
        let mut snapshot = with(Vec::new());
        let listeners =
            snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap();
        let serving = listeners[0].listener_arn.clone();
        listeners.push(Listener {
            listener_arn: "test".into(),
            port: Some(8443),
            ..listeners[0].clone()
        });
        snapshot.rules.put("test", Vec::new());
        let command =
            |snapshot: &Snapshot| exam(CHECK, snapshot).findings.remove(0).remedy.shell().remove(0);
        assert!(command(&snapshot).contains("FromPort=443,ToPort=443,"), "{}", command(&snapshot));
        let rules = snapshot.rules.change(&serving).unwrap().clone();
        snapshot.rules.put("test", rules.clone());
        assert!(command(&snapshot).contains("FromPort=443,"), "both lead there");
        snapshot.rules.put(&serving, Vec::new());
        assert!(command(&snapshot).contains("FromPort=8443,"), "only the other one does");
    }

    #[test]
    fn a_group_that_is_not_seen_may_let_anybody_in() {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.insert("sg-balancer", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
