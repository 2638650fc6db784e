//! The load balancer allows every address. That is right for a public site and wrong for anything
//! else, so it is a risk unless the user said which sources to expect; then
//! `ingress_wider_than_expected` names the rules that allow too much.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::inbound_rules::{self, Admitted, InboundRules};
use crate::facts::inbound::web_acl;
use crate::finding::{Evidence, Kind, Subject};
use crate::patient::Patient;
use crate::text::and_list;

crate::check! {
    /// The security groups of the load balancer allow every address on a port that it listens on.
    ///
    /// # Why it matters
    ///
    /// Everybody on the internet can send requests to the service, and scanners will. For a public
    /// site that is intended. Express Mode itself opens its load balancer to the world, and has no
    /// setting for it.
    ///
    /// # How we tell
    ///
    /// The load balancer is internet-facing, and the inbound rules of all its groups together cover
    /// all of IPv4 (`0.0.0.0/0`, or its two halves) or, on a dual-stack load balancer, all of IPv6,
    /// on the port of a listener. A prefix list stands for its entries: CloudFront's is not the
    /// world, and a list with `0.0.0.0/0` in it is. Ports without a listener do not count. A web
    /// ACL that blocks unknown sources is named. A network load balancer without security groups is
    /// not examined. With `--expect-ingress`, expected sources are no finding.
    ///
    /// # What to do
    ///
    /// State the sources that you expect, and ecs-doctor compares: `--expect-ingress
    /// 203.0.113.0/24`. To close it, allow your own sources first, then remove the rule:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr <block>
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// ```
    ///
    /// Terraform/OpenTofu: `cidr_ipv4` in `aws_vpc_security_group_ingress_rule`.
    /// `aws_ecs_express_gateway_service` has no argument for it: the security groups that Express
    /// Mode takes are the tasks'. ECS has the permission to add the rule again, and may do so, so
    /// check after each deployment. Alternatives: a web ACL in front of the load balancer, whose
    /// allow list must then include the addresses of your own tasks; private subnets, which make
    /// the load balancer internal; security groups of your own on the load balancer, with `aws
    /// elbv2 set-security-groups`, which the tasks must then allow (ECS's managed policy does not
    /// allow it to restore its own group; AWS does not guarantee that this stays so); or a service
    /// with a load balancer of its own, or behind an ECS gateway, which takes a security group for
    /// its clients. Up to 25 Express services share one load balancer: a change there affects all
    /// of them.
    ///
    /// # See also
    ///
    /// `ingress_wider_than_expected`, `open_rule_beside_narrow_one`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "The load balancer is open to every address",
    severity: Low,
    role: Risk,
    shows: OpenToWorld,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups,
        GetManagedPrefixListEntries, DescribeManagedPrefixLists, GetWebAclForResource,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::everywhere;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(443))]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let inbounds = inbound_rules::each(patient, findings)?;
    if inbounds.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer with security groups"));
    }
    if !inbounds.iter().any(InboundRules::is_public) {
        return Err(NoAnswer::NotApplicable("the load balancer is internal"));
    }
    for inbound in inbounds.iter().filter(|inbound| inbound.is_public()) {
        judge(patient, findings, inbound);
    }
    Ok(())
}

fn judge(patient: &Patient, findings: &mut Findings, inbound: &InboundRules) {
    let intent = patient.intent();
    let admitted = inbound.lets_in(patient, findings, |list| !intent.expects_list(list)).blocks;
    let mut open: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    let mut wide: Vec<&Admitted> = Vec::new();
    for port in inbound.listeners.iter().filter_map(|listener| listener.port) {
        for (family, v6) in [("IPv4", false), ("IPv6", true)] {
            let Some((world, rules)) = inbound_rules::world(&admitted, v6, port) else { continue };
            if !intent.expects(&world) {
                open.entry(family).or_default().insert(port);
                wide.extend(rules);
            }
        }
    }
    if wide.is_empty() {
        return;
    }
    let ports: BTreeSet<i32> = open.values().flatten().copied().collect();
    let groups: BTreeSet<&str> = wide.iter().map(|one| one.group.group_name.as_str()).collect();
    let lists: BTreeSet<String> = wide
        .iter()
        .filter_map(|one| one.list)
        .map(|list| inbound_rules::source_name(patient, list))
        .collect();
    let lists = if lists.is_empty() {
        String::new()
    } else {
        format!(" with what is in {}", and_list(lists))
    };
    let acl = findings
        .see(web_acl::before(patient, &inbound.balancer.load_balancer_arn))
        .flatten()
        .filter(|acl| web_acl::blocks_strangers(acl));
    let guard = acl.map_or_else(String::new, |acl| {
        format!("Its web ACL {} blocks unknown sources.", acl.name)
    });
    let claim = format!(
        "load balancer {} allows every {} address on {}, by security group {}{lists}",
        inbound.name(),
        and_list(open.keys()),
        inbound_rules::port_words(&ports),
        and_list(groups)
    );
    let balancer = &inbound.balancer.load_balancer_arn;
    let scheme = Evidence::new(Call::DescribeLoadBalancers, balancer, "Scheme", "internet-facing");
    let mut finding = Subject::new(Kind::LoadBalancer, balancer).sick(claim, scheme).detail(guard);
    if let (true, Some(kind)) = (open.contains_key("IPv6"), &inbound.balancer.ip_address_type) {
        finding = finding.because(Evidence::new(
            Call::DescribeLoadBalancers,
            balancer,
            "IpAddressType",
            kind,
        ));
    }
    let summary = "If this is a public site, ignore this. Otherwise allow your own sources first (203.0.113.0/24 stands for them), then remove the wide rule. With --expect-ingress ecs-doctor names the rules that allow too much.";
    // Few readers want to close it: the explanation has alternatives for those who do.
    let express = " Express Mode has no setting for it: `ecs-doctor explain balancer_open_to_world` has alternatives.";
    let express = if inbound_rules::is_of_express(&wide) { express } else { "" };
    let mut remedy = inbound_rules::revoking(format!("{summary}{express}"), &wide);
    if let (Some(port), Some(one)) = (ports.first(), wide.first()) {
        // First of all: in between nobody must be shut out.
        let admit = ports
            .iter()
            .map(|port| inbound_rules::authorize(&one.group.group_id, *port, "203.0.113.0/24"));
        remedy.commands.splice(0..0, admit);
        remedy = remedy.terraform(inbound_rules::terraform(
            "clients",
            &one.group.group_id,
            *port,
            "203.0.113.0/24",
        ));
    }
    findings.add(
        finding
            .because_all(inbound_rules::evidence(&wide))
            .because_all(inbound.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, balancer)
            .concerns_all(Kind::SecurityGroup, wide.iter().map(|one| one.group.group_id.as_str())),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, id, prefix_list};
    use crate::exam::Outcome;
    use crate::snapshot::{IpPermission, LoadBalancer, Snapshot};
    use crate::testing::{exam, exam_with, expecting, says};

    fn with(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    fn blocks(v4: &[&str], v6: &[&str], port: i32) -> IpPermission {
        let own = |blocks: &[&str]| blocks.iter().map(|block| (*block).to_owned()).collect();
        IpPermission { cidr_ip: own(v4), cidr_ipv6: own(v6), ..everywhere("tcp", Some(port)) }
    }

    fn balancer(snapshot: &mut Snapshot) -> &mut LoadBalancer {
        snapshot.load_balancers.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap()
    }

    #[test]
    fn two_halves_are_the_world_even_over_two_groups() {
        let mut snapshot = with(vec![blocks(&["0.0.0.0/1"], &[], 443)]);
        let mut other = snapshot.security_groups.change("sg-balancer").unwrap().clone();
        other.group_id = "sg-other".into();
        other.group_name = "other".into();
        other.ip_permissions = vec![blocks(&["128.0.0.0/1"], &[], 443)];
        snapshot.security_groups.put("sg-other", other);
        assert!(
            says(CHECK, &snapshot).is_empty(),
            "a group that the load balancer does not have counts"
        );
        balancer(&mut snapshot).security_groups.push("sg-other".into());
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Load balancer web allows every IPv4 address on port 443, by security group other and web-balancer."
            ]
        );
    }

    #[test]
    fn a_port_without_a_listener_does_not_count() {
        assert!(says(CHECK, &with(vec![everywhere("tcp", Some(80))])).is_empty());
        assert!(!says(CHECK, &with(vec![everywhere("-1", None)])).is_empty());
    }

    #[test]
    fn ipv6_counts_on_a_dual_stack_balancer_only() {
        let mut snapshot = with(vec![blocks(&[], &["::/0"], 443)]);
        assert!(says(CHECK, &snapshot).is_empty());
        balancer(&mut snapshot).ip_address_type = Some("dualstack".into());
        assert!(says(CHECK, &snapshot)[0].contains("every IPv6 address on port 443"));
        let mut private_v4 = with(vec![everywhere("tcp", Some(443))]);
        balancer(&mut private_v4).ip_address_type = Some("dualstack-without-public-ipv4".into());
        assert!(says(CHECK, &private_v4).is_empty());
    }

    #[test]
    fn cloudfronts_list_is_not_the_world() {
        let mut snapshot = with(Vec::new());
        let list = prefix_list::of_cloudfront(&mut snapshot);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![prefix_list::from_list(443, list)];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_list_that_has_the_world_is_the_world() {
        let mut snapshot = with(vec![
            prefix_list::from_list(443, "pl-0ff1ce"),
            blocks(&["128.0.0.0/1"], &[], 443),
        ]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "nobody has looked into it"
        );
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24", "0.0.0.0/1"]);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert_eq!(
            finding.says(),
            "Load balancer web allows every IPv4 address on port 443, by security group web-balancer with what is in pl-0ff1ce (office)."
        );
        let shut = |source: &str| {
            format!(
                "aws ec2 revoke-security-group-ingress --group-id sg-balancer --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,{source}'"
            )
        };
        assert_eq!(
            finding.remedy.shell()[1..],
            [
                shut("IpRanges=[{CidrIp=128.0.0.0/1}]"),
                shut("PrefixListIds=[{PrefixListId=pl-0ff1ce}]")
            ]
        );
        assert_eq!(
            exam_with(CHECK, &snapshot, &expecting(&["pl-0ff1ce"])).outcome,
            Outcome::Healthy,
            "the user expects the list"
        );
    }

    #[test]
    fn an_allow_list_at_the_web_acl_is_named() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        snapshot
            .web_acls
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .default_action = Some("Block".into());
        assert!(
            says(CHECK, &snapshot)[0].ends_with(
                "by security group web-balancer. Its web ACL web blocks unknown sources."
            )
        );
    }

    #[test]
    fn an_internal_balancer_is_not_open_to_the_world() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        balancer(&mut snapshot).scheme = Some("internal".into());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable("the load balancer is internal")
        );
    }

    #[test]
    fn a_balancer_without_groups_is_not_judged() {
        let mut snapshot = baseline::fargate();
        balancer(&mut snapshot).security_groups.clear();
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable("no load balancer with security groups")
        );
    }

    #[test]
    fn an_expected_world_is_no_finding() {
        let snapshot = with(vec![everywhere("tcp", Some(443))]);
        let outcome = |expected: &str| exam_with(CHECK, &snapshot, &expecting(&[expected])).outcome;
        assert_eq!(outcome("0.0.0.0/0"), Outcome::Healthy);
        assert_eq!(outcome("203.0.113.0/24"), Outcome::Sick);
    }

    #[test]
    fn express_is_told_the_ways_out() {
        let mut snapshot = baseline::express();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![everywhere("tcp", Some(443)), everywhere("tcp", Some(80))];
        let finding = &exam(CHECK, &snapshot).findings[0];
        assert!(finding.says().contains("on port 443,"), "{}", finding.says());
        assert!(
            finding.remedy.summary.contains("Express Mode has no setting"),
            "{}",
            finding.remedy.summary
        );
        assert_eq!(
            finding.remedy.shell(),
            [
                "aws ec2 authorize-security-group-ingress --group-id sg-balancer --ip-permissions \
                 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=203.0.113.0/24}]'",
                "aws ec2 revoke-security-group-ingress --group-id sg-balancer --ip-permissions \
                 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=0.0.0.0/0}]'"
            ],
            "the right ones come in before the others stay out"
        );
    }

    #[test]
    fn a_hidden_group_is_not_taken_for_a_closed_one() {
        let mut snapshot = baseline::fargate();
        balancer(&mut snapshot).security_groups.push("sg-never-seen".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
