//! Which sources the load balancers of a service allow: every block of every rule of their security
//! groups, at the ports that they listen on. Rules add up over all groups of a load balancer. A
//! prefix list as a source stands for its blocks, where they were seen; a group shows no known
//! addresses, so it is named and never judged.

use std::collections::BTreeSet;
use std::iter;

use crate::aws::cidr::{self, Cidr};
use crate::call::Call;
use crate::command::Command;
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::finding::{Evidence, Remedy};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{IpPermission, Listener, LoadBalancer, ManagedPrefixList, SecurityGroup};
use crate::text::{and_list, parsed, plural};
use crate::{aws, hcl};

/// A load balancer in front of the service, with what decides who is allowed to connect.
#[derive(Debug)]
pub struct InboundRules<'a> {
    pub balancer: &'a LoadBalancer,
    pub listeners: &'a [Listener],
    pub groups: Vec<&'a SecurityGroup>,
}

/// One block of one rule, and the listener ports that it opens.
#[derive(Clone, Debug)]
pub struct Admitted<'a> {
    pub group: &'a SecurityGroup,
    pub permission: &'a IpPermission,
    /// The prefix list that has the block, where the rule names a list.
    pub list: Option<&'a str>,
    /// As AWS spells it.
    pub cidr: &'a str,
    pub block: Cidr,
    pub ports: BTreeSet<i32>,
}

/// Which sources the rules of a load balancer allow.
#[derive(Clone, Debug, Default)]
pub struct LetIn<'a> {
    pub blocks: Vec<Admitted<'a>>,
    /// Groups, and prefix lists that were not seen: which addresses they allow is not known.
    pub unknown: BTreeSet<&'a str>,
}

/// How many blocks of one prefix list are named; the list itself has them all.
pub const NAMED: usize = 3;

/// Every load balancer in front of the service that security groups guard; a network load balancer
/// may have none.
pub fn each<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<InboundRules<'a>>, Blind> {
    Ok(traffic::balancers(patient)?
        .into_iter()
        .filter_map(|balancer| of_balancer(patient, balancer, findings))
        .collect())
}

/// One load balancer, if security groups guard it. What was not seen of it is noted, and the rest
/// stays useful: what the seen groups allow is allowed, whatever the others have.
pub fn of_balancer<'a>(
    patient: &Patient<'a>,
    balancer: &str,
    findings: &mut impl See,
) -> Option<InboundRules<'a>> {
    let balancer = findings
        .see(patient.load_balancer(balancer))
        .flatten()
        .filter(|balancer| !balancer.security_groups.is_empty())?;
    let listeners = findings.see(patient.listeners(&balancer.load_balancer_arn))?;
    let groups = balancer
        .security_groups
        .iter()
        .filter_map(|id| findings.see(patient.security_group(id)).flatten())
        .collect();
    Some(InboundRules { balancer, listeners, groups })
}

impl<'a> InboundRules<'a> {
    pub fn is_public(&self) -> bool {
        self.balancer.is_public()
    }

    pub fn is_application(&self) -> bool {
        self.balancer.load_balancer_type.as_deref() == Some("application")
    }

    pub fn name(&self) -> &'a str {
        &self.balancer.load_balancer_name
    }

    /// Whether clients can reach the load balancer by addresses of this family at all.
    pub fn speaks(&self, block: &Cidr) -> bool {
        if block.is_v6() {
            self.balancer.has_ipv6()
        } else {
            self.balancer.ip_address_type.as_deref() != Some("dualstack-without-public-ipv4")
        }
    }

    fn open_permissions(
        &self,
    ) -> impl Iterator<Item = (&'a SecurityGroup, &'a IpPermission, BTreeSet<i32>)> + '_ {
        let of_group = |group: &'a SecurityGroup| {
            group.ip_permissions.iter().map(move |permission| (group, permission))
        };
        self.groups.iter().copied().flat_map(of_group).filter_map(|(group, permission)| {
            let ports: BTreeSet<i32> =
                self.listeners.iter().filter_map(|listener| opened(permission, listener)).collect();
            (!ports.is_empty()).then_some((group, permission, ports))
        })
    }

    /// Every block that is allowed on a port that the load balancer listens on, directly or through
    /// one of the prefix lists that count; the others are left out.
    pub fn lets_in(
        &self,
        patient: &Patient<'a>,
        findings: &mut impl See,
        counts: impl Fn(&str) -> bool,
    ) -> LetIn<'a> {
        let mut let_in = LetIn::default();
        for (group, permission, ports) in self.open_permissions() {
            let mut admit = |list: Option<&'a str>, cidrs: &'a [String]| {
                for cidr in cidrs {
                    let Some(block) = parsed(cidr).filter(|block| self.speaks(block)) else {
                        continue;
                    };
                    let_in.blocks.push(Admitted {
                        group,
                        permission,
                        list,
                        cidr,
                        block,
                        ports: ports.clone(),
                    });
                }
            };
            admit(None, &permission.cidr_ip);
            admit(None, &permission.cidr_ipv6);
            let mut unknown: Vec<&'a String> = permission.group_id.iter().collect();
            for list in permission.prefix_list_id.iter().filter(|list| counts(list)) {
                match findings.see(patient.prefix_list(list)).flatten() {
                    Some(blocks) => admit(Some(list), blocks),
                    None => unknown.push(list),
                }
            }
            let_in.unknown.extend(unknown.into_iter().map(String::as_str));
        }
        let_in
    }

    /// Whether every IPv4 address is allowed on some port: then it does not matter where a caller
    /// comes from. Prefix lists count only where addresses alone are not the world.
    pub fn is_open_to_world(&self, patient: &Patient<'a>, findings: &mut impl See) -> bool {
        self.lets_in(patient, findings, |_| false).is_world()
            || self.lets_in(patient, findings, |_| true).is_world()
    }

    /// What is in the prefix lists that rules name, as evidence that somebody is not in them.
    pub fn entries(&self, patient: &Patient) -> Vec<Evidence> {
        let lists: BTreeSet<&String> = self
            .open_permissions()
            .flat_map(|(_, permission, _)| &permission.prefix_list_id)
            .collect();
        let of_list = |list: &String| match patient.prefix_list(list) {
            Ok(Some(blocks)) if blocks.is_empty() => {
                vec![Evidence::new(Call::GetManagedPrefixListEntries, list, "Entries", "[]")]
            }
            Ok(Some(blocks)) => blocks.iter().take(NAMED).map(|cidr| entry(list, cidr)).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        lists.into_iter().flat_map(of_list).collect()
    }

    /// Whether a rule names this prefix list for the port.
    pub fn names_list(&self, list: &String, port: i32) -> bool {
        self.open_permissions().any(|(_, permission, ports)| {
            ports.contains(&port) && permission.prefix_list_id.contains(list)
        })
    }

    /// Whether any source is allowed on a port: by addresses, by a prefix list, or from a group.
    pub fn lets_somebody_in(&self, port: i32) -> bool {
        let has_source = |permission: &IpPermission| {
            let IpPermission { cidr_ip, cidr_ipv6, group_id, prefix_list_id, .. } = permission;
            [cidr_ip, cidr_ipv6, group_id, prefix_list_id].iter().any(|sources| !sources.is_empty())
        };
        self.open_permissions()
            .any(|(_, permission, ports)| ports.contains(&port) && has_source(permission))
    }

    /// The listener's port, as evidence, for each of these ports.
    pub fn listens(&self, ports: &BTreeSet<i32>) -> Vec<Evidence> {
        let on = |listener: &&Listener| listener.port.is_some_and(|port| ports.contains(&port));
        let evidence = |listener: &Listener| {
            Evidence::new(
                Call::DescribeListeners,
                &listener.listener_arn,
                "Port",
                listener.port.unwrap_or_default(),
            )
        };
        self.listeners.iter().filter(on).map(evidence).collect()
    }
}

impl LetIn<'_> {
    fn is_world(&self) -> bool {
        let ports: BTreeSet<i32> = self.blocks.iter().flat_map(|one| &one.ports).copied().collect();
        ports.into_iter().any(|port| world(&self.blocks, false, port).is_some())
    }

    /// The sources whose addresses are not known, by name.
    pub fn unknown(&self, patient: &Patient) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|source| source_name(patient, source))
    }
}

impl<'a> Admitted<'a> {
    /// What the rule names: the block itself, or the list that has it.
    pub fn source(&self) -> &'a str {
        self.list.unwrap_or(self.cidr)
    }

    /// `0.0.0.0/0`, or `0.0.0.0/0 in prefix list pl-0ff1ce (office)`.
    pub fn words(&self, patient: &Patient) -> String {
        self.list.map_or_else(
            || self.cidr.to_owned(),
            |list| format!("{} in prefix list {}", self.cidr, source_name(patient, list)),
        )
    }

    /// The rule, as evidence.
    pub fn rule(&self) -> Evidence {
        let field = match self.list {
            Some(_) => "IpPermissions.PrefixListIds.PrefixListId",
            None if self.block.is_v6() => "IpPermissions.Ipv6Ranges.CidrIpv6",
            None => "IpPermissions.IpRanges.CidrIp",
        };
        Evidence::new(Call::DescribeSecurityGroups, &self.group.group_id, field, self.source())
    }

    /// The entry of the list that has the block.
    pub fn entry(&self) -> Option<Evidence> {
        self.list.map(|list| entry(list, self.cidr))
    }

    pub fn revoke(&self) -> Command {
        revoke(self.group, self.permission, self.source())
    }
}

/// The listener's port, if the permission opens it for the protocol that the listener takes.
fn opened(permission: &IpPermission, listener: &Listener) -> Option<i32> {
    let port = listener.port?;
    let IpPermission { ip_protocol, from_port, to_port, .. } = permission;
    let by_udp = matches!(ip_protocol.as_str(), "udp" | "17")
        && from_port.is_none_or(|from| from <= port)
        && to_port.is_none_or(|to| port <= to);
    let opens = match listener.protocol.as_deref() {
        _ if ip_protocol == "-1" => true,
        Some("UDP" | "QUIC") => by_udp,
        Some("TCP_UDP" | "TCP_QUIC") => by_udp || reach::covers_tcp(permission, port),
        _ => reach::covers_tcp(permission, port),
    };
    opens.then_some(port)
}

fn entry(list: &str, cidr: &str) -> Evidence {
    Evidence::new(Call::GetManagedPrefixListEntries, list, "Entries.Cidr", cidr)
}

/// A source of a rule as the user knows it: `pl-3b927c52
/// (com.amazonaws.global.cloudfront.origin-facing)`. A check does not need the name, so a missing
/// one is not noted.
pub fn source_name(patient: &Patient, source: &str) -> String {
    let list = if is_list(source) { patient.managed_prefix_list(source) } else { Ok(None) };
    match list {
        Ok(Some(ManagedPrefixList { prefix_list_name: Some(name), .. })) => {
            format!("{source} ({name})")
        }
        Ok(_) | Err(_) => source.to_owned(),
    }
}

/// Whether a prefix list is this account's, so that its owner can narrow it.
pub fn is_own_list(patient: &Patient, list: &str) -> bool {
    let list = patient.managed_prefix_list(list);
    matches!(list, Ok(Some(list)) if list.owner_id.as_deref() == Some(patient.account()))
}

fn is_list(source: &str) -> bool {
    source.starts_with("pl-")
}

/// The command that removes this source of this rule, a block or a prefix list, and nothing else.
pub fn revoke(group: &SecurityGroup, permission: &IpPermission, source: &str) -> Command {
    let IpPermission { ip_protocol, from_port, to_port, .. } = permission;
    let ports = match (from_port, to_port) {
        (Some(from), Some(to)) => format!(",FromPort={from},ToPort={to}"),
        _ => String::new(),
    };
    let ranges = range(source);
    aws!(
        "ec2 revoke-security-group-ingress --group-id {} --ip-permissions IpProtocol={}{},{}",
        group.group_id,
        ip_protocol,
        ports,
        ranges
    )
}

fn range(source: &str) -> String {
    if is_list(source) {
        format!("PrefixListIds=[{{PrefixListId={source}}}]")
    } else if source.contains(':') {
        format!("Ipv6Ranges=[{{CidrIpv6={source}}}]")
    } else {
        format!("IpRanges=[{{CidrIp={source}}}]")
    }
}

/// The blocks as evidence, each once; of a prefix list those that are named.
pub fn evidence(admitted: &[&Admitted]) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = Vec::new();
    for one in admitted {
        for new in iter::once(one.rule()).chain(one.entry()) {
            let entries = || {
                evidence.iter().filter(|told| {
                    new.call == Call::GetManagedPrefixListEntries
                        && told.call == new.call
                        && told.of == new.of
                })
            };
            if !evidence.contains(&new) && entries().count() < NAMED {
                evidence.push(new);
            }
        }
    }
    evidence
}

/// The command that allows a block or a prefix list on one port.
pub fn authorize(group: &str, port: i32, source: impl ToString) -> Command {
    let ranges = range(&source.to_string());
    aws!(
        "ec2 authorize-security-group-ingress --group-id {} --ip-permissions IpProtocol=tcp,FromPort={},ToPort={},{}",
        group,
        port,
        port,
        ranges
    )
}

/// The same as Terraform/OpenTofu.
pub fn terraform(name: &str, group: &str, port: i32, source: &str) -> Hcl {
    let source = match source {
        list if is_list(list) => hcl!("prefix_list_id    = {}", list),
        block if block.contains(':') => hcl!("cidr_ipv6         = {}", block),
        block => hcl!("cidr_ipv4         = {}", block),
    };
    hcl!(
        r#"
        resource "aws_vpc_security_group_ingress_rule" {} {
          security_group_id = {}
          ip_protocol       = "tcp"
          from_port         = {}
          to_port           = {}
          {}
        }"#,
        name,
        group,
        port,
        port,
        source
    )
}

/// `port 443` or `ports 80 and 443`.
pub fn port_words(ports: &BTreeSet<i32>) -> String {
    format!("{} {}", plural(ports.len(), "port", "ports"), and_list(ports))
}

/// Whether Express Mode made one of the groups of these rules.
pub fn is_of_express(wide: &[&Admitted]) -> bool {
    wide.iter().any(|admitted| admitted.group.ecs_managed)
}

/// The commands that remove rules that are too wide.
pub fn revoking<'a>(summary: impl Into<String>, wide: &[&Admitted<'a>]) -> Remedy {
    let revoke: BTreeSet<Command> = wide.iter().map(|admitted| admitted.revoke()).collect();
    revoke.into_iter().fold(Remedy::new(summary), Remedy::cli)
}

/// The same; for groups that Express Mode created, with the known alternatives.
pub fn closing<'a>(summary: &str, wide: &[&Admitted<'a>]) -> Remedy {
    let mut summary = summary.to_owned();
    if is_of_express(wide) {
        summary.push_str(
            " Express Mode has no setting for who reaches its load balancer: the security groups that it accepts are the tasks'. ECS is allowed to add \
             the rule again, so check after each deployment. Alternatives: a web ACL; private subnets, which make the load balancer \
             internal; a group of your own through aws elbv2 set-security-groups, which the tasks must then allow; or a service with its own \
             load balancer. Up to 25 services share this one.",
        );
    }
    revoking(summary, wide)
}

/// The blocks that make up the world for one family: the widest ones, if together they are the
/// world.
pub fn world<'b, 'a>(
    admitted: &'b [Admitted<'a>],
    v6: bool,
    port: i32,
) -> Option<(Cidr, Vec<&'b Admitted<'a>>)> {
    let here: Vec<&Admitted> = admitted
        .iter()
        .filter(|one| one.block.is_v6() == v6 && one.ports.contains(&port))
        .collect();
    let blocks: Vec<Cidr> = here.iter().map(|one| one.block).collect();
    let world = cidr::together(&blocks).into_iter().find(Cidr::is_world)?;
    let widest = |one: &Admitted| {
        world.covers(&one.block)
            && !blocks.iter().any(|block| *block != one.block && block.covers(&one.block))
    };
    Some((world, here.into_iter().filter(|one| widest(one)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_block, from_group, id, prefix_list};
    use crate::check::Findings;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;

    /// A service whose load balancer listens for HTTPS on port 443 and has these inbound rules.
    fn guarded(rules: &[IpPermission]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let group = snapshot.security_groups.change("sg-balancer").unwrap();
        group.ip_permissions = rules.to_vec();
        snapshot
    }

    /// The load balancer, for a test to change.
    fn balancer(snapshot: &mut Snapshot) -> &mut LoadBalancer {
        let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.change(&arn).unwrap()
    }

    fn at_door<T>(
        snapshot: &Snapshot,
        ask: impl FnOnce(&InboundRules, &Patient, &mut Findings) -> T,
    ) -> T {
        let intent = Intent::default();
        let patient = Patient::new(snapshot, &snapshot.services[0], &intent);
        let mut findings = Findings::default();
        let inbounds = each(&patient, &mut findings).unwrap();
        ask(&inbounds[0], &patient, &mut findings)
    }

    /// The blocks that are let in, the unknown sources, and how many calls were hidden.
    fn let_in(snapshot: &Snapshot) -> (Vec<String>, Vec<String>, usize) {
        at_door(snapshot, |inbound, patient, findings| {
            let let_in = inbound.lets_in(patient, findings, |_| true);
            let blocks = let_in.blocks.iter().map(|one| one.words(patient)).collect();
            (blocks, let_in.unknown(patient).collect(), findings.hidden.len())
        })
    }

    fn v6(cidr: &str) -> IpPermission {
        IpPermission {
            cidr_ip: Vec::new(),
            cidr_ipv6: vec![cidr.into()],
            ..everywhere("tcp", Some(443))
        }
    }

    #[test]
    fn only_a_balancer_that_groups_guard_is_a_door() {
        let count = |snapshot: &Snapshot| {
            let intent = Intent::default();
            let patient = Patient::new(snapshot, &snapshot.services[0], &intent);
            let mut findings = Findings::default();
            (each(&patient, &mut findings).unwrap().len(), findings.hidden.len())
        };
        let mut snapshot = guarded(&[]);
        assert_eq!(count(&snapshot), (1, 0));
        balancer(&mut snapshot).security_groups.clear();
        assert_eq!(count(&snapshot), (0, 0));
        let mut hidden = guarded(&[]);
        let arn = balancer(&mut hidden).load_balancer_arn.clone();
        hidden.listeners.insert(arn, Seen::No(Why::Declined));
        assert_eq!(count(&hidden), (0, 1));
        let mut hidden = guarded(&[]);
        hidden.security_groups.insert("sg-balancer", Seen::No(Why::Declined));
        assert_eq!(count(&hidden), (1, 1), "the rest stays useful");
    }

    #[test]
    fn a_door_tells_what_the_balancer_is() {
        let mut snapshot = guarded(&[]);
        let is = |snapshot: &Snapshot| {
            at_door(snapshot, |inbound, _, _| (inbound.is_public(), inbound.is_application()))
        };
        assert_eq!(is(&snapshot), (true, true));
        balancer(&mut snapshot).scheme = Some("internal".into());
        balancer(&mut snapshot).load_balancer_type = Some("network".into());
        assert_eq!(is(&snapshot), (false, false));
    }

    #[test]
    fn addresses_of_a_family_that_the_balancer_does_not_speak_are_not_let_in() {
        for (kind, v4_comes_in, v6_comes_in) in [
            (None, true, false),
            (Some("ipv4"), true, false),
            (Some("dualstack"), true, true),
            (Some("dualstack-without-public-ipv4"), false, true),
        ] {
            let mut snapshot = guarded(&[from_block(443, "203.0.113.0/24"), v6("2001:db8::/32")]);
            balancer(&mut snapshot).ip_address_type = kind.map(Into::into);
            let (blocks, ..) = let_in(&snapshot);
            let comes_in = |block: &str| blocks.iter().any(|one| one == block);
            assert_eq!(comes_in("203.0.113.0/24"), v4_comes_in, "{kind:?}");
            assert_eq!(comes_in("2001:db8::/32"), v6_comes_in, "{kind:?}");
        }
    }

    #[test]
    fn a_rule_counts_at_the_ports_that_the_balancer_listens_on() {
        let opens = |permission: IpPermission, protocol: &str| {
            let mut snapshot = guarded(&[permission]);
            let arn = balancer(&mut snapshot).load_balancer_arn.clone();
            snapshot.listeners.change(&arn).unwrap()[0].protocol = Some(protocol.into());
            at_door(&snapshot, |inbound, _, _| inbound.lets_somebody_in(443))
        };
        let ports = |protocol: &str, from, to| IpPermission {
            from_port: from,
            to_port: to,
            ..everywhere(protocol, None)
        };
        for (protocol, from, to, tcp, udp) in [
            ("tcp", Some(443), Some(443), true, false),
            ("tcp", Some(80), Some(80), false, false),
            ("udp", Some(443), Some(443), false, true),
            ("17", Some(400), Some(443), false, true),
            ("udp", Some(444), Some(500), false, false),
            ("udp", Some(400), Some(442), false, false),
            ("udp", None, None, false, true),
            ("-1", None, None, true, true),
        ] {
            let rule = || ports(protocol, from, to);
            assert_eq!(opens(rule(), "HTTPS"), tcp, "{protocol} {from:?} to {to:?}");
            for listener in ["UDP", "QUIC"] {
                assert_eq!(opens(rule(), listener), udp, "{protocol} {from:?} to {to:?}");
            }
            for listener in ["TCP_UDP", "TCP_QUIC"] {
                assert_eq!(opens(rule(), listener), tcp || udp, "{protocol} {from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn somebody_is_let_in_only_by_a_rule_with_a_source_and_at_its_port() {
        let somebody = |rule: IpPermission| {
            at_door(&guarded(&[rule]), |inbound, _, _| {
                assert!(!inbound.lets_somebody_in(80), "nobody listens there");
                inbound.lets_somebody_in(443)
            })
        };
        let nobody = IpPermission { cidr_ip: Vec::new(), ..from_block(443, "") };
        assert!(!somebody(nobody));
        for rule in [
            from_block(443, "203.0.113.0/24"),
            v6("2001:db8::/32"),
            from_group(443, "sg-office"),
            prefix_list::from_list(443, "pl-1"),
        ] {
            assert!(somebody(rule));
        }
    }

    #[test]
    fn a_group_and_a_list_that_was_not_seen_let_in_nobody_knows_whom() {
        let mut snapshot = guarded(&[
            from_group(443, "sg-office"),
            prefix_list::from_list(443, "pl-1"),
            prefix_list::from_list(443, "pl-2"),
            prefix_list::from_list(443, "pl-3"),
        ]);
        prefix_list::list(&mut snapshot, "pl-1", "office", &["203.0.113.0/24"]);
        snapshot.prefix_lists.insert("pl-2", Seen::Yes(None));
        snapshot.prefix_lists.insert("pl-3", Seen::No(Why::Declined));
        let block = "203.0.113.0/24 in prefix list pl-1 (office)".to_owned();
        let unknown = ["pl-2", "pl-3", "sg-office"].map(str::to_owned);
        assert_eq!(let_in(&snapshot), (vec![block], unknown.into(), 1));
        let without_lists = at_door(&snapshot, |inbound, patient, findings| {
            let let_in = inbound.lets_in(patient, findings, |_| false);
            (let_in.blocks.len(), let_in.unknown.into_iter().collect::<Vec<_>>().concat())
        });
        assert_eq!(without_lists, (0, "sg-office".into()));
    }

    #[test]
    fn a_door_is_open_to_the_world_where_all_addresses_add_up_at_one_port() {
        let is_open = |snapshot: &Snapshot| {
            at_door(snapshot, |inbound, patient, findings| {
                inbound.is_open_to_world(patient, findings)
            })
        };
        let halves = || [from_block(443, "0.0.0.0/1"), from_block(443, "128.0.0.0/1")];
        assert!(is_open(&guarded(&[from_block(443, "0.0.0.0/0")])));
        assert!(is_open(&guarded(&halves())));
        assert!(!is_open(&guarded(&halves()[..1])));
        assert!(!is_open(&guarded(&[from_block(80, "0.0.0.0/0")])), "nobody listens there");
        let mut dual = guarded(&[v6("::/0")]);
        balancer(&mut dual).ip_address_type = Some("dualstack".into());
        assert!(!is_open(&dual), "of IPv4 no address");
        let mut listed =
            guarded(&[from_block(443, "0.0.0.0/1"), prefix_list::from_list(443, "pl-1")]);
        assert!(!is_open(&listed));
        prefix_list::list(&mut listed, "pl-1", "rest", &["128.0.0.0/1"]);
        assert!(is_open(&listed), "with what is in the list");
    }

    #[test]
    fn the_world_is_made_up_of_its_widest_blocks() {
        let snapshot = guarded(&[
            from_block(443, "0.0.0.0/1"),
            from_block(443, "128.0.0.0/1"),
            from_block(443, "203.0.113.0/24"),
        ]);
        at_door(&snapshot, |inbound, patient, findings| {
            let blocks = inbound.lets_in(patient, findings, |_| true).blocks;
            let (world_block, widest) = world(&blocks, false, 443).unwrap();
            assert!(world_block.is_world());
            let widest: Vec<&str> = widest.iter().map(|one| one.cidr).collect();
            assert_eq!(widest, ["0.0.0.0/1", "128.0.0.0/1"]);
            assert!(world(&blocks, false, 80).is_none());
            assert!(world(&blocks, true, 443).is_none());
            assert!(world(&blocks[1..], false, 443).is_none());
        });
    }

    #[test]
    fn a_rule_is_quoted_by_the_source_that_it_names_and_a_list_by_its_first_entries() {
        let mut snapshot = guarded(&[
            from_block(443, "203.0.113.0/24"),
            from_block(443, "198.51.100.0/24"),
            from_block(443, "192.0.2.0/24"),
            v6("2001:db8::/32"),
            prefix_list::from_list(443, "pl-1"),
            prefix_list::from_list(443, "pl-2"),
        ]);
        balancer(&mut snapshot).ip_address_type = Some("dualstack".into());
        let blocks = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"];
        prefix_list::list(&mut snapshot, "pl-1", "office", &blocks);
        prefix_list::list(&mut snapshot, "pl-2", "partner", &["10.1.0.0/24"]);
        let quoted = at_door(&snapshot, |inbound, patient, findings| {
            let blocks = inbound.lets_in(patient, findings, |_| true).blocks;
            let quoted = evidence(&blocks.iter().collect::<Vec<_>>());
            let last = |field: &str| field.rsplit('.').next().unwrap().to_owned();
            quoted.iter().map(|it| format!("{} {}", last(it.field), it.value)).collect::<Vec<_>>()
        });
        assert_eq!(
            quoted,
            [
                "CidrIp 203.0.113.0/24",
                "CidrIp 198.51.100.0/24",
                "CidrIp 192.0.2.0/24",
                "CidrIpv6 2001:db8::/32",
                "PrefixListId pl-1",
                "Cidr 10.0.0.0/24",
                "Cidr 10.0.1.0/24",
                "Cidr 10.0.2.0/24",
                "PrefixListId pl-2",
                "Cidr 10.1.0.0/24"
            ]
        );
    }

    #[test]
    fn a_group_that_express_mode_made_is_known_by_its_tag() {
        let is = |managed: bool| {
            let mut snapshot = guarded(&[from_block(443, "203.0.113.0/24")]);
            snapshot.security_groups.change("sg-balancer").unwrap().ecs_managed = managed;
            at_door(&snapshot, |inbound, patient, findings| {
                let blocks = inbound.lets_in(patient, findings, |_| true).blocks;
                is_of_express(&blocks.iter().collect::<Vec<_>>())
            })
        };
        assert_eq!([is(true), is(false)], [true, false]);
    }

    #[test]
    fn who_is_not_in_a_list_is_shown_its_entries() {
        let entries = |blocks: Option<&[&str]>| {
            let mut snapshot = guarded(&[prefix_list::from_list(443, "pl-1")]);
            if let Some(blocks) = blocks {
                prefix_list::list(&mut snapshot, "pl-1", "office", blocks);
            }
            at_door(&snapshot, |inbound, patient, _| {
                inbound.entries(patient).into_iter().map(|it| it.value).collect::<Vec<_>>()
            })
        };
        assert_eq!(entries(None), [""; 0]);
        assert_eq!(entries(Some(&[])), ["[]"]);
        let four = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"];
        assert_eq!(entries(Some(&four)), four[..3]);
    }

    #[test]
    fn a_list_is_named_at_a_port_and_belongs_to_its_owner() {
        let mut snapshot = guarded(&[prefix_list::from_list(443, "pl-3b927c52")]);
        prefix_list::of_cloudfront(&mut snapshot);
        prefix_list::list(&mut snapshot, "pl-1", "office", &[]);
        at_door(&snapshot, |inbound, patient, _| {
            let (named, other) = ("pl-3b927c52".to_owned(), "pl-1".to_owned());
            assert!(inbound.names_list(&named, 443));
            assert!(!inbound.names_list(&named, 80));
            assert!(!inbound.names_list(&other, 443));
            assert!(is_own_list(patient, "pl-1"));
            assert!(!is_own_list(patient, "pl-3b927c52"));
            assert!(!is_own_list(patient, "pl-2"), "nobody told whose it is");
            assert_eq!(source_name(patient, "pl-1"), "pl-1 (office)");
            assert_eq!(source_name(patient, "pl-2"), "pl-2");
            assert_eq!(source_name(patient, "sg-1"), "sg-1");
        });
    }

    #[test]
    fn a_listener_is_quoted_for_each_port_that_matters() {
        at_door(&guarded(&[]), |inbound, _, _| {
            let quoted = |ports: &[i32]| inbound.listens(&ports.iter().copied().collect()).len();
            assert_eq!((quoted(&[443]), quoted(&[80])), (1, 0));
        });
        assert_eq!(port_words(&BTreeSet::from([443])), "port 443");
        assert_eq!(port_words(&BTreeSet::from([80, 443])), "ports 80 and 443");
    }
}
