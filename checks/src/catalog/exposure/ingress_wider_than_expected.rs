//! The balancer lets in addresses that the user did not expect. The account cannot know who should come in, so this
//! check asks only where the user said so, and then names each rule and the command that takes it away.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Kind, Subject};
use crate::patient::Patient;
use crate::reading::address::{self, Cidr};
use crate::reading::and_list;
use crate::reading::ingress::{self, Admitted, Door};

/// How many rules are named in the sentence; all of them are in the evidence and in the remedy.
const NAMED: usize = 4;

crate::check! {
    /// The load balancer lets in addresses outside those that you said to expect with `--expect-ingress`.
    ///
    /// # Why it matters
    ///
    /// The service can be reached by those whom you meant to keep out. A narrow rule beside the wide one does not help:
    /// rules add up.
    ///
    /// # How we tell
    ///
    /// Each block that the security groups of the balancer let in to a listener port must lie wholly within the blocks
    /// that you expect, taken together. IPv6 blocks count on dual-stack balancers only. Blocks are judged as they stand, on
    /// an internal balancer too. A prefix list or a group as the source is named and not judged; a web ACL, and a
    /// network load balancer without security groups, are not looked at.
    ///
    /// # What to do
    ///
    /// Let in those whom you expect, then take away each rule that goes too far:
    ///
    /// ```sh
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// ```
    ///
    /// Terraform/OpenTofu: `cidr_ipv4` in `aws_vpc_security_group_ingress_rule`. The groups of an Express service's
    /// balancer are ECS's own: there is no argument for them, and ECS may add the rule again.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `open_rule_beside_narrow_one`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "The balancer lets in addresses that you did not expect",
    severity: Medium,
    role: Cause,
    explains: [OpenToWorld, NarrowRuleVoid],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeSecurityGroups,
    ],
    example: on express, |snapshot| {
        use crate::baseline::everywhere;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(443))]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let expected = &patient.intent().expect_ingress;
    if expected.is_empty() {
        return Err(NoAnswer::NotApplicable("no --expect-ingress given"));
    }
    let doors = ingress::doors(patient, findings)?;
    if doors.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer with security groups"));
    }
    let mut judged = false;
    for door in &doors {
        let admitted = door.admitted();
        judged |= !admitted.is_empty() || door.not_judged().is_empty();
        let (inside, outside): (Vec<&Admitted>, Vec<&Admitted>) = admitted.iter().partition(|one| address::within(&one.block, expected));
        if !outside.is_empty() {
            tell(findings, door, expected, &inside, &outside);
        }
    }
    // Whom a prefix list lets in we do not know: that is no health.
    if judged { Ok(()) } else { Err(NoAnswer::NotApplicable("it lets in prefix lists or groups only, which are not judged")) }
}

fn tell(findings: &mut Findings, door: &Door, expected: &[Cidr], inside: &[&Admitted], outside: &[&Admitted]) {
    let rule = |one: &Admitted| format!("{} on {} (security group {})", one.cidr, ingress::port_words(&one.ports), one.group.group_name);
    let mut named: Vec<String> = Vec::new();
    for one in outside {
        let words = rule(one);
        if !named.contains(&words) {
            named.push(words);
        }
    }
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let mut says = format!("Load balancer {} lets in addresses outside {}: {}.", door.name(), and_list(expected), and_list(named));
    let not_judged = door.not_judged();
    if !not_judged.is_empty() {
        says.push_str(&format!(" Not judged: {}.", and_list(not_judged)));
    }
    let ports: BTreeSet<i32> = outside.iter().flat_map(|one| &one.ports).copied().collect();
    let balancer = &door.balancer.load_balancer_arn;
    let group = &outside[0].group.group_id;
    let mut remedy = ingress::closing("Let in those whom you expect, then take away each rule that goes too far.", outside);
    let missing = missing(door, expected, inside, &ports);
    let opening = missing.iter().map(|(port, block)| ingress::authorize(group, *port, block));
    // Those who should come in are let in before the others are shut out.
    remedy.cli = opening.chain(remedy.cli).collect();
    if let (Some(port), Some(block)) = (ports.first(), expected.first()) {
        remedy = remedy.terraform(ingress::terraform(group, *port, &block.to_string()));
    }
    let attached = Evidence::new(Call::DescribeLoadBalancers, balancer, "SecurityGroups", group);
    findings.add(
        Subject::new(Kind::LoadBalancer, balancer)
            .sick(says, attached)
            .because_all(ingress::evidence(outside))
            .because_all(door.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, balancer)
            .concerns_all(Kind::SecurityGroup, outside.iter().map(|one| one.group.group_id.as_str())),
    );
}

/// Whom you expect and whom no rule but those that go too far lets in, by port.
fn missing(door: &Door, expected: &[Cidr], inside: &[&Admitted], ports: &BTreeSet<i32>) -> Vec<(i32, Cidr)> {
    let v6 = door.balancer.ip_address_type.as_deref().is_some_and(|kind| kind.starts_with("dualstack"));
    let mut missing = Vec::new();
    for port in ports {
        let stays: Vec<Cidr> = inside.iter().filter(|one| one.ports.contains(port)).map(|one| one.block).collect();
        let usable = expected.iter().filter(|block| v6 || !block.is_v6());
        missing.extend(usable.filter(|block| !address::within(block, &stays)).map(|block| (*port, *block)));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere};
    use crate::exam::{Exam, Outcome};
    use crate::patient::Intent;
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, exam_with};

    fn with(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    fn expecting(snapshot: &Snapshot, blocks: &[&str]) -> Exam {
        exam_with(CHECK, snapshot, &Intent { expect_ingress: blocks.iter().map(|block| block.parse().unwrap()).collect() })
    }

    fn from(blocks: &[&str]) -> IpPermission {
        IpPermission { cidr_ip: blocks.iter().map(|block| (*block).to_owned()).collect(), ..everywhere("tcp", Some(443)) }
    }

    #[test]
    fn asks_only_where_the_user_said_what_to_expect() {
        assert_eq!(exam(CHECK, &with(vec![from(&["0.0.0.0/0"])])).outcome, Outcome::NotApplicable("no --expect-ingress given"));
    }

    #[test]
    fn two_expected_halves_cover_a_whole_block() {
        let snapshot = with(vec![from(&["203.0.113.0/24"])]);
        assert_eq!(expecting(&snapshot, &["203.0.113.0/25", "203.0.113.128/25"]).outcome, Outcome::Healthy);
        assert_eq!(expecting(&snapshot, &["203.0.113.0/25"]).outcome, Outcome::Sick);
    }

    #[test]
    fn lets_the_expected_in_before_it_shuts_the_others_out() {
        let both = with(vec![from(&["203.0.113.0/24"]), everywhere("-1", None)]);
        let commands = |exam: Exam| exam.findings[0].remedy.cli.clone();
        let revoke = "aws ec2 revoke-security-group-ingress --group-id sg-balancer --ip-permissions 'IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]'";
        assert_eq!(commands(expecting(&both, &["203.0.113.0/24"])), [revoke]);
        let authorize = "aws ec2 authorize-security-group-ingress --group-id sg-balancer --ip-permissions \
                         'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=192.0.2.0/24}]'";
        let commands = commands(expecting(&both, &["203.0.113.0/24", "192.0.2.0/24"]));
        assert_eq!(commands, [authorize, revoke]);
    }

    #[test]
    fn a_prefix_list_is_named_and_not_judged() {
        let list = IpPermission { cidr_ip: Vec::new(), prefix_list_id: vec!["pl-93a247fa".into()], ..everywhere("tcp", Some(443)) };
        let alone = expecting(&with(vec![list.clone()]), &["203.0.113.0/24"]);
        assert_eq!(alone.outcome, Outcome::NotApplicable("it lets in prefix lists or groups only, which are not judged"));
        let beside = expecting(&with(vec![list, from(&["0.0.0.0/0"])]), &["203.0.113.0/24"]);
        assert!(beside.findings[0].says.ends_with("Not judged: pl-93a247fa."), "{}", beside.findings[0].says);
    }

    #[test]
    fn ipv6_and_ports_that_nobody_can_use_do_not_count() {
        let v6 = IpPermission { cidr_ip: Vec::new(), cidr_ipv6: vec!["::/0".into()], ..everywhere("tcp", Some(443)) };
        let snapshot = with(vec![from(&["203.0.113.0/24"]), everywhere("tcp", Some(22)), v6]);
        assert_eq!(expecting(&snapshot, &["203.0.113.0/24"]).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_long_list_is_cut_in_the_sentence_only() {
        let blocks = ["192.0.2.0/28", "192.0.2.16/28", "192.0.2.32/28", "192.0.2.48/28", "192.0.2.64/28", "192.0.2.80/28"];
        let exam = expecting(&with(vec![from(&blocks)]), &["203.0.113.0/24"]);
        assert!(exam.findings[0].says.ends_with("and 2 more."), "{}", exam.findings[0].says);
        assert_eq!(exam.findings[0].remedy.cli.iter().filter(|command| command.contains("revoke")).count(), 6);
    }

    #[test]
    fn explains_that_the_balancer_is_open() {
        let snapshot = with(vec![from(&["0.0.0.0/0"])]);
        let intent = Intent { expect_ingress: vec!["203.0.113.0/24".parse().unwrap()] };
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
        let diagnosis = crate::diagnosis::diagnose(&patient);
        let root = diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).unwrap();
        assert!(root.explains.iter().any(|node| node.check.id() == "balancer_open_to_world"), "{root:?}");
    }
}
