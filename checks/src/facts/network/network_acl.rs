//! What a network ACL allows in one direction: its entries in the order of their numbers, the first
//! that matches decides, and what none matches is dropped. ACLs are stateless, so both directions
//! have to be examined.

use std::ops::RangeInclusive;

use crate::aws;
use crate::aws::admission::Admission;
use crate::aws::cidr::Cidr;
use crate::call::Call;
use crate::command::Command;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{AclEntry, LoadBalancer, NetworkAcl};
use crate::text::{and_list, parsed};

/// Ports from which a load balancer and a NAT gateway open connections.
pub const OF_BALANCERS: RangeInclusive<i32> = 1024..=65535;
/// Ports from which Linux opens connections.
pub const OF_LINUX: RangeInclusive<i32> = 32768..=60999;

/// Traffic of TCP at the border of a subnet, as its ACL sees it.
#[derive(Clone, Debug)]
pub struct Crossing<'a> {
    pub subnet: &'a str,
    pub egress: bool,
    /// The other side: one address, a subnet, or the world.
    pub peer: Cidr,
    /// The port that the traffic goes to.
    pub ports: RangeInclusive<i32>,
}

impl Crossing<'_> {
    /// Whether it is at the same border, in the same direction.
    pub fn is_at(&self, other: &Crossing) -> bool {
        (self.subnet, self.egress) == (other.subnet, other.egress)
    }
}

/// A crossing that an ACL does not allow.
#[derive(Clone, Debug)]
pub struct Dropped<'a> {
    pub acl: &'a NetworkAcl,
    pub crossing: Crossing<'a>,
    /// The entry that denies it; none where just no entry allows it.
    pub entry: Option<&'a AclEntry>,
}

/// Whether ACLs are asked for though nothing shows that something is not reached: their effect on
/// clients with IPv6 does not show over IPv4.
pub fn matter_to(balancer: &LoadBalancer) -> bool {
    balancer.is_public() && balancer.ip_address_type.as_deref() == Some("dualstack")
}

/// The number of the last entry of each direction, which denies what no other has matched.
const LAST: i32 = 32767;

/// The first of these crossings that is certainly dropped. None where all pass, or where it depends
/// on unknown addresses or ports.
pub fn dropped<'a>(
    patient: &Patient<'a>,
    vpc: &str,
    crossings: impl IntoIterator<Item = Crossing<'a>>,
) -> Result<Option<Dropped<'a>>, Blind> {
    let acls = patient.network_acls(vpc)?;
    for crossing in crossings {
        let Some(acl) =
            acls.iter().find(|acl| acl.subnet_id.iter().any(|id| id == crossing.subnet))
        else {
            continue;
        };
        if passes(acl, &crossing) == Admission::No {
            let entry = denier(acl, &crossing).filter(|entry| entry.rule_number != LAST);
            return Ok(Some(Dropped { acl, crossing, entry }));
        }
    }
    Ok(None)
}

/// The entries for this direction that may match, in order, with the block of each.
fn entries<'a>(acl: &'a NetworkAcl, crossing: &Crossing) -> Vec<(&'a AclEntry, Cidr)> {
    let mut entries: Vec<(&AclEntry, Cidr)> = acl
        .entries
        .iter()
        .filter(|entry| {
            entry.egress == crossing.egress && matches!(entry.protocol.as_str(), "-1" | "6")
        })
        .filter_map(|entry| {
            Some((
                entry,
                parsed::<Cidr>(entry.cidr_block.as_deref().or(entry.ipv6_cidr_block.as_deref())?)?,
            ))
        })
        // Of the world, private blocks are no part.
        .filter(|(_, block)| {
            block.covers(&crossing.peer)
                || (crossing.peer.covers(block)
                    && !(crossing.peer.is_world() && block.is_private()))
        })
        .collect();
    entries.sort_by_key(|(entry, _)| entry.rule_number);
    entries
}

fn ports(entry: &AclEntry) -> RangeInclusive<i32> {
    match (entry.protocol.as_str(), entry.from, entry.to) {
        ("6", Some(from), Some(to)) => from..=to,
        _ => 0..=65535,
    }
}

fn overlap(one: &RangeInclusive<i32>, other: &RangeInclusive<i32>) -> RangeInclusive<i32> {
    *one.start().max(other.start())..=*one.end().min(other.end())
}

/// What is left of some ranges without another.
fn without(
    ranges: &[RangeInclusive<i32>],
    taken: &RangeInclusive<i32>,
) -> Vec<RangeInclusive<i32>> {
    let left = |range: &RangeInclusive<i32>| {
        [
            *range.start()..=*range.end().min(&(taken.start() - 1)),
            *range.start().max(&(taken.end() + 1))..=*range.end(),
        ]
    };
    ranges.iter().flat_map(left).filter(|range| !range.is_empty()).collect()
}

/// `Yes`: every port for every address of the peer. `No`: none for any. `Unknown`: some.
pub fn passes(acl: &NetworkAcl, crossing: &Crossing) -> Admission {
    let mut undecided = vec![crossing.ports.clone()];
    let (mut allowed, mut denied) = (false, false);
    for (entry, block) in entries(acl, crossing) {
        let allow = entry.rule_action == "allow";
        if !undecided.iter().any(|range| !overlap(range, &ports(entry)).is_empty()) {
            continue;
        }
        allowed |= allow;
        denied |= !allow;
        // An entry for some addresses of the peer decides nothing about the others.
        if block.covers(&crossing.peer) {
            undecided = without(&undecided, &ports(entry));
        }
    }
    match (allowed, denied || !undecided.is_empty()) {
        (true, false) => Admission::Yes,
        (true, true) => Admission::Unknown,
        (false, _) => Admission::No,
    }
}

/// The entry that denies the first of the ports.
fn denier<'a>(acl: &'a NetworkAcl, crossing: &Crossing) -> Option<&'a AclEntry> {
    let first = *crossing.ports.start();
    entries(acl, crossing)
        .into_iter()
        .find(|(entry, block)| block.covers(&crossing.peer) && ports(entry).contains(&first))
        .map(|(entry, _)| entry)
}

impl Dropped<'_> {
    /// Whether the same direction of the same ACL is closed to the same ports, only for another
    /// peer.
    pub fn is_alike(&self, other: &Dropped) -> bool {
        self.acl.network_acl_id == other.acl.network_acl_id
            && self.crossing.subnet == other.crossing.subnet
            && self.crossing.egress == other.crossing.egress
            && self.crossing.ports == other.crossing.ports
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        let of = |field, value: String| {
            Evidence::new(Call::DescribeNetworkAcls, &self.acl.network_acl_id, field, value)
        };
        let mut evidence = vec![of("Associations.SubnetId", self.crossing.subnet.to_owned())];
        match self.entry {
            Some(entry) => evidence.extend([
                of("Entries.RuleNumber", entry.rule_number.to_string()),
                of("Entries.RuleAction", entry.rule_action.clone()),
            ]),
            // What is allowed that way: the ports, or where those are all, the blocks.
            None => {
                for entry in self.acl.entries.iter().filter(|entry| {
                    entry.egress == self.crossing.egress && entry.rule_action == "allow"
                }) {
                    match (entry.from, entry.to) {
                        (Some(from), Some(to)) => evidence.extend([
                            of("Entries.PortRange.From", from.to_string()),
                            of("Entries.PortRange.To", to.to_string()),
                        ]),
                        _ => evidence.extend(
                            entry.cidr_block.clone().map(|block| of("Entries.CidrBlock", block)),
                        ),
                    }
                }
            }
        }
        evidence
    }

    /// A number for an entry of ours: before the one that denies, or after all others.
    pub fn free_number(&self, nth: usize) -> i32 {
        let taken: Vec<i32> = self
            .acl
            .entries
            .iter()
            .filter(|entry| entry.egress == self.crossing.egress)
            .map(|entry| entry.rule_number)
            .collect();
        let free = |number: &i32| !taken.contains(number);
        let last = taken.iter().copied().filter(|number| *number < LAST).max().unwrap_or(90);
        match self.entry {
            Some(entry) => (1..entry.rule_number).rev().filter(free).nth(nth).unwrap_or(1),
            None => (last + 1..LAST)
                .filter(|number| free(number) && number % 10 == 0)
                .nth(nth)
                .unwrap_or(LAST - 1),
        }
    }

    /// The command that allows it.
    pub fn allow(&self, number: i32) -> Command {
        let direction = if self.crossing.egress { "--egress" } else { "--ingress" };
        let (from, to) = (self.crossing.ports.start(), self.crossing.ports.end());
        let block = if self.crossing.peer.is_v6() { "--ipv6-cidr-block" } else { "--cidr-block" };
        aws!(
            "ec2 create-network-acl-entry --network-acl-id {} {} --rule-number {} --protocol tcp \
             --port-range From={},To={} {} {} --rule-action allow",
            self.acl.network_acl_id,
            direction,
            number,
            from,
            to,
            block,
            self.crossing.peer.to_string()
        )
    }
}

/// `blocks outbound traffic to 10.0.1.21 on port 8080: its rule 90 denies it`, of crossings that
/// are alike.
pub fn words(alike: &[Dropped]) -> String {
    let Crossing { egress, ports, .. } = &alike[0].crossing;
    let name = |peer: &Cidr| {
        if peer.is_world() {
            "the internet".to_owned()
        } else {
            peer.to_string().trim_end_matches("/32").trim_end_matches("/128").to_owned()
        }
    };
    let peers = and_list(alike.iter().map(|dropped| name(&dropped.crossing.peer)));
    let traffic = if *egress {
        format!("outbound traffic to {peers}")
    } else {
        format!("inbound traffic from {peers}")
    };
    let why = match alike[0].entry {
        Some(entry) => format!("its rule {} denies it", entry.rule_number),
        None => "no rule of it allows this".to_owned(),
    };
    format!("blocks {traffic} on {}: {why}", port_words(ports))
}

/// `port 443`, or `ports 1024 to 65535`.
pub fn port_words(ports: &RangeInclusive<i32>) -> String {
    if ports.start() == ports.end() {
        format!("port {}", ports.start())
    } else {
        format!("ports {} to {}", ports.start(), ports.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, action, block, and the ports of TCP; without ports it is for all traffic.
    type Row<'a> = (i32, &'a str, &'a str, Option<(i32, i32)>);

    fn acl(entries: &[Row]) -> NetworkAcl {
        let entry = |(number, action, block, ports): &Row| AclEntry {
            rule_number: *number,
            egress: true,
            protocol: if ports.is_some() { "6" } else { "-1" }.into(),
            rule_action: (*action).into(),
            cidr_block: Some((*block).into()),
            from: ports.map(|ports| ports.0),
            to: ports.map(|ports| ports.1),
            ..AclEntry::default()
        };
        NetworkAcl {
            network_acl_id: "acl-1".into(),
            subnet_id: vec!["subnet-1".into()],
            entries: entries.iter().map(entry).collect(),
            is_default: false,
        }
    }

    fn out(acl: &NetworkAcl, peer: &str, ports: RangeInclusive<i32>) -> Admission {
        passes(
            acl,
            &Crossing { subnet: "subnet-1", egress: true, peer: peer.parse().unwrap(), ports },
        )
    }

    #[test]
    fn the_first_entry_that_matches_has_the_word_whatever_order_they_are_told_in() {
        let acl = acl(&[
            (200, "allow", "0.0.0.0/0", None),
            (100, "deny", "10.0.1.0/24", Some((8080, 8080))),
        ]);
        assert_eq!(out(&acl, "10.0.1.21/32", 8080..=8080), Admission::No);
        assert_eq!(out(&acl, "10.0.1.21/32", 8081..=8081), Admission::Yes);
        assert_eq!(out(&acl, "10.0.2.21/32", 8080..=8080), Admission::Yes);
        assert_eq!(
            out(&acl, "10.0.0.0/16", 8080..=8080),
            Admission::Unknown,
            "some of the addresses"
        );
    }

    #[test]
    fn what_no_entry_allows_is_dropped() {
        let acl = acl(&[(100, "allow", "0.0.0.0/0", Some((443, 443)))]);
        assert_eq!(out(&acl, "52.94.53.1/32", 443..=443), Admission::Yes);
        assert_eq!(out(&acl, "52.94.53.1/32", OF_LINUX), Admission::No);
        assert_eq!(out(&acl, "2600:1f18::1/128", 443..=443), Admission::No, "another family");
    }

    #[test]
    fn a_part_of_the_ports_is_neither_all_nor_none() {
        let acl = acl(&[(100, "allow", "0.0.0.0/0", Some((32768, 65535)))]);
        assert_eq!(out(&acl, "10.0.1.0/24", OF_BALANCERS), Admission::Unknown);
        assert_eq!(out(&acl, "10.0.1.0/24", OF_LINUX), Admission::Yes);
    }

    #[test]
    fn ranges_of_several_entries_add_up() {
        let acl = acl(&[
            (100, "allow", "0.0.0.0/0", Some((1024, 40000))),
            (110, "allow", "0.0.0.0/0", Some((40001, 65535))),
        ]);
        assert_eq!(out(&acl, "10.0.1.0/24", OF_BALANCERS), Admission::Yes);
    }

    #[test]
    fn a_private_block_is_no_part_of_the_world() {
        let acl = acl(&[(100, "allow", "10.0.0.0/8", None)]);
        assert_eq!(out(&acl, "0.0.0.0/0", 443..=443), Admission::No);
        assert_eq!(out(&acl, "10.1.0.0/16", 443..=443), Admission::Yes);
    }
}
