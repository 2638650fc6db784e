//! A narrow rule stands beside a wide one on the same port and has no effect: security groups only
//! allow, and all rules of all groups add up. Somebody believes the load balancer to be narrower
//! than it is.

use std::collections::BTreeSet;

use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::inbound_rules::{self, Admitted, InboundRules};
use crate::finding::{Kind, Subject};
use crate::patient::Patient;
use crate::text::{and_list, plural};

crate::check! {
    /// One rule allows a few addresses to reach the load balancer, and another allows all of them
    /// and more on the same port.
    ///
    /// # Why it matters
    ///
    /// Rules of a security group only allow, and the rules of all groups of a load balancer add up.
    /// A narrow group beside the wide one that Express Mode attaches closes nothing, although it
    /// looks as if the service were closed.
    ///
    /// # How we tell
    ///
    /// Of the CIDR blocks that the groups of one load balancer allow on one listener port, one lies
    /// entirely within a wider one. IPv6 blocks count on dual-stack load balancers only, ports
    /// without a listener do not. A prefix list stands for its entries; as the narrow one it has no
    /// effect if all of them lie within wider ones. A security group as the source is not compared:
    /// it does not stand for fixed addresses.
    ///
    /// # What to do
    ///
    /// Remove the wide rule:
    ///
    /// ```sh
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// ```
    ///
    /// or, if the wide one is intended, the narrow one, unless that opens other ports as well.
    /// Terraform/OpenTofu: remove the wide `aws_vpc_security_group_ingress_rule`, or its group from
    /// `security_groups` of `aws_lb`.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `ingress_wider_than_expected`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "A wide rule makes a narrower rule pointless",
    severity: Medium,
    role: Risk,
    shows: NarrowRuleVoid,
    explains: [OpenToWorld],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups,
        GetManagedPrefixListEntries, DescribeManagedPrefixLists,
    ],
    example: on express, |snapshot| {
        use crate::baseline::everywhere;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions.push(everywhere("tcp", Some(443))));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let (inbounds, intent) = (inbound_rules::each(patient, findings)?, patient.intent());
    if inbounds.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer with security groups"));
    }
    for inbound in &inbounds {
        let admitted = inbound.lets_in(patient, findings, |_| true).blocks;
        // Of rules inside rules inside rules only the widest one tells the story.
        let widest =
            admitted.iter().filter(|wide| !admitted.iter().any(|other| covers(other, wide)));
        let unexpected = widest.filter(|wide| {
            !intent.expects(&wide.block) && !wide.list.is_some_and(|list| intent.expects_list(list))
        });
        let mut told: Vec<(&str, &str, &str)> = Vec::new();
        for wide in unexpected {
            let void: Vec<&Admitted> = admitted
                .iter()
                .filter(|narrow| covers(wide, narrow) && is_void(narrow, &admitted))
                .collect();
            let rule = (wide.group.group_id.as_str(), wide.source(), wide.cidr);
            if !void.is_empty() && !told.contains(&rule) {
                told.push(rule);
                tell(patient, findings, inbound, wide, &void);
            }
        }
    }
    Ok(())
}

/// Whether a block makes another pointless on some port. Blocks are nested or apart, so no union of
/// wider ones does more. What is nested within one list was never meant to be narrow.
fn covers(wide: &Admitted, narrow: &Admitted) -> bool {
    let in_one_list = wide.list.is_some() && wide.list == narrow.list;
    !in_one_list
        && wide.block != narrow.block
        && wide.block.covers(&narrow.block)
        && !wide.ports.is_disjoint(&narrow.ports)
}

/// Whether nothing is left of the rule that has a block: of a list, some other block may still
/// count.
fn is_void(narrow: &Admitted, admitted: &[Admitted]) -> bool {
    let mut of_list = admitted.iter().filter(|one| one.list == narrow.list);
    narrow.list.is_none() || of_list.all(|one| admitted.iter().any(|wide| covers(wide, one)))
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    inbound: &InboundRules,
    wide: &Admitted,
    void: &[&Admitted],
) {
    let ports: BTreeSet<i32> =
        void.iter().flat_map(|narrow| narrow.ports.intersection(&wide.ports)).copied().collect();
    let narrow: BTreeSet<&str> = void.iter().map(|narrow| narrow.source()).collect();
    let (subject, verb) = plural(narrow.len(), ("rule", "has"), ("rules", "have"));
    // On a port that the wide rule does not cover, only the narrow one allows its addresses.
    let is_void = void.iter().all(|narrow| narrow.ports.is_subset(&wide.ports));
    let claim = format!(
        "{} of security group {} allows more than {} on {} of load balancer {}: rules add up, so the narrow {subject} {verb} no effect{}",
        wide.words(patient),
        wide.group.group_name,
        and_list(narrow.iter().map(|source| inbound_rules::source_name(patient, source))),
        inbound_rules::port_words(&ports),
        inbound.name(),
        if is_void { String::new() } else { format!(" on {}", inbound_rules::port_words(&ports)) },
    );
    let summary = if is_void {
        "Remove the wide rule. If the wide one is intended, remove the narrow one instead."
    } else {
        "Remove the wide rule. If the wide one is intended, still keep the narrow one: it opens other ports as well."
    };
    let remedy = inbound_rules::closing(summary, &[wide]);
    findings.add(
        Subject::new(Kind::SecurityGroup, &wide.group.group_id)
            .sick(claim, wide.rule())
            .named()
            .because_all(wide.entry())
            .because_all(inbound_rules::evidence(void))
            .because_all(inbound.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, &inbound.balancer.load_balancer_arn)
            .concerns(Kind::SecurityGroup, &wide.group.group_id),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, id, prefix_list};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Listener, Snapshot};
    use crate::testing::{exam, exam_with, expecting, says};

    fn with(more: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.extend(more);
        snapshot
    }

    #[test]
    fn rules_of_two_groups_add_up() {
        let mut snapshot = baseline::fargate();
        let mut wide = snapshot.security_groups.change("sg-balancer").unwrap().clone();
        (wide.group_id, wide.group_name, wide.ip_permissions) =
            ("sg-wide".into(), "wide".into(), vec![everywhere("tcp", Some(443))]);
        snapshot.security_groups.put("sg-wide", wide);
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .security_groups
            .push("sg-wide".into());
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "0.0.0.0/0 of security group wide allows more than 198.51.100.0/24 and 203.0.113.0/24 on port 443 of load balancer web: \
                 rules add up, so the narrow rules have no effect."
            ]
        );
    }

    #[test]
    fn a_block_that_covers_another_is_enough() {
        let wider =
            IpPermission { cidr_ip: vec!["203.0.0.0/16".into()], ..everywhere("tcp", Some(443)) };
        let says = says(CHECK, &with(vec![wider]));
        assert!(
            says[0].starts_with("203.0.0.0/16 of") && says[0].contains("than 203.0.113.0/24 on"),
            "{says:?}"
        );
    }

    #[test]
    fn of_nested_rules_only_the_widest_is_told() {
        let wider =
            IpPermission { cidr_ip: vec!["203.0.0.0/16".into()], ..everywhere("tcp", Some(443)) };
        assert_eq!(says(CHECK, &with(vec![wider, everywhere("-1", None)])).len(), 1);
    }

    #[test]
    fn another_port_or_family_makes_nothing_void() {
        let v6 = IpPermission {
            cidr_ip: Vec::new(),
            cidr_ipv6: vec!["::/0".into()],
            ..everywhere("tcp", Some(443))
        };
        assert!(
            says(CHECK, &with(vec![everywhere("tcp", Some(80)), everywhere("udp", Some(443)), v6]))
                .is_empty()
        );
    }

    #[test]
    fn the_same_block_twice_is_no_narrow_rule() {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![everywhere("tcp", Some(443)), everywhere("-1", None)];
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn an_expected_world_needs_no_narrow_rule() {
        assert!(
            exam_with(CHECK, &with(vec![everywhere("tcp", Some(443))]), &expecting(&["0.0.0.0/0"]))
                .findings
                .is_empty()
        );
    }

    /// Nothing but a list lets anybody in, and one more rule.
    fn beside_list(blocks: &[&str], more: IpPermission) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let list = prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", blocks);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![prefix_list::from_list(443, list), more];
        snapshot
    }

    #[test]
    fn a_narrow_list_is_void_with_its_last_block() {
        let narrow = ["203.0.113.0/24", "192.0.2.0/24"];
        let says = says(CHECK, &beside_list(&narrow, everywhere("tcp", Some(443))));
        assert!(says[0].contains("allows more than pl-0ff1ce (office) on port 443"), "{says:?}");
        let wider =
            IpPermission { cidr_ip: vec!["203.0.0.0/16".into()], ..everywhere("tcp", Some(443)) };
        assert!(
            exam(CHECK, &beside_list(&narrow, wider)).findings.is_empty(),
            "the other block still counts"
        );
    }

    #[test]
    fn a_wide_block_in_a_list_makes_a_rule_void() {
        let narrow =
            IpPermission { cidr_ip: vec!["203.0.113.0/24".into()], ..everywhere("tcp", Some(443)) };
        let snapshot = beside_list(&["203.0.0.0/16", "203.0.113.128/25"], narrow);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding
                .says()
                .starts_with("203.0.0.0/16 in prefix list pl-0ff1ce (office) of security group web-balancer allows more than 203.0.113.0/24 on"),
            "{}",
            finding.says()
        );
        assert!(
            finding.remedy.shell()[0].ends_with("PrefixListIds=[{PrefixListId=pl-0ff1ce}]'"),
            "{:?}",
            finding.remedy.shell()
        );
        assert!(
            exam_with(CHECK, &snapshot, &expecting(&["pl-0ff1ce"])).findings.is_empty(),
            "the user expects the list"
        );
    }

    #[test]
    fn blocks_of_one_list_are_no_narrow_rules() {
        let other =
            IpPermission { cidr_ip: vec!["192.0.2.0/24".into()], ..everywhere("tcp", Some(443)) };
        let snapshot = beside_list(&["203.0.0.0/16", "203.0.113.0/24"], other);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut unseen = snapshot;
        unseen.prefix_lists.insert("pl-0ff1ce", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &unseen).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_narrow_rule_that_works_on_another_port_stays() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        let listeners =
            snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap();
        listeners.push(Listener {
            listener_arn: "admin".into(),
            port: Some(8443),
            ..listeners[0].clone()
        });
        let finding = |to: i32| {
            let mut snapshot = snapshot.clone();
            let permissions =
                &mut snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions;
            permissions.retain(|permission| permission.cidr_ip == ["0.0.0.0/0"]);
            permissions.push(IpPermission {
                cidr_ip: vec!["203.0.113.0/24".into()],
                to_port: Some(to),
                ..everywhere("tcp", Some(443))
            });
            exam(CHECK, &snapshot).findings.remove(0)
        };
        let (both, one) = (finding(8443), finding(443));
        assert!(
            both.says().ends_with("so the narrow rule has no effect on port 443."),
            "{}",
            both.says()
        );
        assert!(!both.remedy.summary.contains("remove the narrow one"), "{}", both.remedy.summary);
        assert!(one.says().ends_with("so the narrow rule has no effect."), "{}", one.says());
        // The narrow rule is there already, and a rule of the same words is refused.
        assert_eq!((both.remedy.terraform, one.remedy.terraform), (None, None));
    }
}
