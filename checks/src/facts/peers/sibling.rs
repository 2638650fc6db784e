//! Siblings that the service calls by their public names: behind one of its own load balancers or
//! another one of its VPC, by a load balancer's own name, or at another Express host. And the
//! addresses that its tasks then come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::aws::host::{self, AwsHost};
use crate::call::Call;
use crate::facts::inbound::inbound_rules::{self, InboundRules};
use crate::facts::inbound::{instance, traffic, web_acl};
use crate::facts::network::reach;
use crate::facts::network::route::{self, NextHop};
use crate::facts::peers::callee::{self, Named};
use crate::facts::tasks::stop;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::{
    Interface, Listener, LoadBalancer, Rule, ServiceLoadBalancer, TaskDefinition,
};
use crate::text::parsed;

/// How many other load balancers of a VPC are looked into: Elastic Load Balancing answers an
/// account ten questions a second. Of more just their names are known.
pub const OTHERS: usize = 5;

/// Who answers at a host, as far as this service's load balancers tell.
#[derive(Clone, Debug)]
pub enum Callee<'a> {
    /// Another service's rule on an internet-facing load balancer, if the host's DNS leads there;
    /// with the ports of all listeners that have such a rule.
    Rule { rule: &'a Rule, balancer: &'a LoadBalancer, ports: BTreeSet<i32> },
    /// The own name of an internet-facing load balancer.
    Balancer(&'a LoadBalancer),
    /// Some Express service, likely a public one.
    Express,
}

impl<'a> Callee<'a> {
    /// The load balancer that a call goes through, where it is known.
    pub fn balancer(&self) -> Option<&'a LoadBalancer> {
        match self {
            Callee::Rule { balancer, .. } | Callee::Balancer(balancer) => Some(balancer),
            Callee::Express => None,
        }
    }
}

/// Whether a host may be that of a sibling behind a load balancer: AWS's own services are behind
/// none of the account, and private names are the private way.
pub fn may_be_one(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let is_private = [".internal", ".local", ".localhost"].iter().any(|end| host.ends_with(end))
        || host.starts_with("internal-");
    let may_be_behind_a_balancer = match host::of_aws(&host) {
        Some(of) => matches!(of, AwsHost::Elb { .. } | AwsHost::Express { .. }),
        None => !host.ends_with(".cloudfront.net"),
    };
    host.contains('.')
        && parsed::<IpAddr>(&host).is_none()
        && !is_private
        && may_be_behind_a_balancer
}

/// Whether variables of these versions name a host that may be a sibling's: only then other
/// load balancers are asked about.
pub fn may_be_called<'d>(definitions: impl IntoIterator<Item = &'d TaskDefinition>) -> bool {
    let containers =
        definitions.into_iter().flat_map(|definition| &definition.container_definitions);
    let variables = containers
        .flat_map(|container| &container.environment)
        .filter(|variable| !callee::is_for_browsers(&variable.name));
    variables.flat_map(|variable| &variable.hosts).any(|host| may_be_one(host))
}

/// The calls of siblings by public names that variables of the current versions tell of.
pub fn calls<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<(Named<'a>, Callee<'a>)>, Blind> {
    let named: Vec<Named> =
        callee::named(patient)?.into_iter().filter(|named| may_be_one(named.host)).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let siblings = Siblings::of(patient, findings)?;
    Ok(named
        .into_iter()
        .filter_map(|name| Some((name, siblings.callee(name.host, patient.region())?)))
        .collect())
}

/// What the load balancers of the VPC answer for.
struct Siblings<'a> {
    own: BTreeSet<String>,
    /// Rules that send a host to another service, with the load balancer, where we may see it.
    rules: Vec<(&'a Listener, &'a Rule, Option<&'a LoadBalancer>)>,
    /// Internet-facing load balancers whose own name does not lead to this service.
    balancers: Vec<&'a LoadBalancer>,
    /// There is an internal load balancer whose rules were not read: it may be the private way to
    /// any host.
    unread: bool,
}

impl<'a> Siblings<'a> {
    fn of(patient: &Patient<'a>, findings: &mut impl See) -> Result<Siblings<'a>, Blind> {
        let forwards = traffic::forwards(patient)?;
        let ours: BTreeSet<&str> =
            forwards.iter().map(|forward| forward.rule.rule_arn.as_str()).collect();
        let takes_any_host: BTreeSet<&str> = forwards
            .iter()
            .filter(|forward| forward.hosts().next().is_none())
            .map(|forward| forward.listener.load_balancer_arn.as_str())
            .collect();
        let mut own: BTreeSet<String> = forwards
            .iter()
            .flat_map(|forward| forward.hosts())
            .map(str::to_ascii_lowercase)
            .collect();
        own.extend(
            traffic::ingress_paths(patient)?
                .into_iter()
                .filter_map(|path| path.endpoint.as_deref())
                .map(str::to_ascii_lowercase),
        );
        let mut rules = Vec::new();
        for (listener, rule) in traffic::all_rules(patient)? {
            let forwards = rule.actions.iter().any(|action| action.kind == "forward");
            let is_test = |balancer: &ServiceLoadBalancer| {
                balancer.test_listener_rule.as_deref() == Some(rule.rule_arn.as_str())
            };
            let is_own = ours.contains(rule.rule_arn.as_str())
                || patient.service().load_balancers.iter().any(is_test);
            if forwards && !is_own {
                let balancer =
                    findings.see(patient.load_balancer(&listener.load_balancer_arn)).flatten();
                rules.push((listener, rule, balancer));
            }
        }
        let mut balancers = Vec::new();
        for arn in
            traffic::balancers(patient)?.into_iter().filter(|arn| !takes_any_host.contains(arn))
        {
            balancers.extend(
                findings
                    .see(patient.load_balancer(arn))
                    .flatten()
                    .filter(|balancer| is_public(balancer)),
            );
        }
        // One that may not be seen may be the private way to a host: so all of them have to be.
        let others = patient.other_balancers()?;
        let mut unread = false;
        for arn in others {
            let Some(balancer) = patient.load_balancer(arn)? else { continue };
            balancers.extend(Some(balancer).filter(|balancer| is_public(balancer)));
            unread |= others.len() > OTHERS && !is_public(balancer);
            if others.len() > OTHERS
                || balancer.load_balancer_type.as_deref() != Some("application")
            {
                continue;
            }
            for listener in patient.listeners(arn)? {
                let forwards = patient
                    .rules(&listener.listener_arn)?
                    .iter()
                    .filter(|rule| rule.actions.iter().any(|action| action.kind == "forward"));
                rules.extend(forwards.map(|rule| (listener, rule, Some(balancer))));
            }
        }
        Ok(Siblings { own, rules, balancers, unread })
    }

    fn callee(&self, host: &str, region: &str) -> Option<Callee<'a>> {
        let host = host.to_ascii_lowercase();
        if self.own.contains(&host) {
            return None;
        }
        let found: Vec<_> = self.rules.iter().filter(|(_, rule, _)| answers(rule, &host)).collect();
        if let Some((_, rule, balancer)) = found.first() {
            // Where an internal load balancer answers for it, too, a private zone may lead there.
            let all_public = !self.unread
                && found.iter().all(|(_, _, balancer)| balancer.is_some_and(is_public));
            let balancer = balancer.filter(|_| all_public)?;
            let here = found
                .iter()
                .filter(|(listener, ..)| listener.load_balancer_arn == balancer.load_balancer_arn);
            return Some(Callee::Rule {
                rule,
                balancer,
                ports: here.filter_map(|(listener, ..)| listener.port).collect(),
            });
        }
        let is_name_of = |balancer: &LoadBalancer| {
            let name = balancer.dns_name.as_deref().map(str::to_ascii_lowercase);
            name.as_deref() == Some(host.strip_prefix("dualstack.").unwrap_or(&host))
        };
        if let Some(balancer) = self.balancers.iter().find(|balancer| is_name_of(balancer)) {
            return Some(Callee::Balancer(balancer));
        }
        (host::of_aws(&host) == Some(AwsHost::Express { region })).then_some(Callee::Express)
    }
}

fn is_public(balancer: &LoadBalancer) -> bool {
    balancer.scheme.as_deref() == Some("internet-facing")
}

/// Whether a rule asks for just this host. A wildcard would match hosts that live elsewhere.
fn answers(rule: &Rule, host: &str) -> bool {
    let hosts = rule
        .conditions
        .iter()
        .filter(|condition| condition.field == "host-header")
        .flat_map(|condition| &condition.values);
    hosts.into_iter().any(|value| value.eq_ignore_ascii_case(host))
}

/// A public address that tasks come from when they call somebody on the internet.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub address: IpAddr,
    /// The NAT gateway whose address it is; without one it is a task's own, and the next task has
    /// another.
    pub nat_gateway: Option<String>,
    /// It is the address of an instance, and the next instance has another.
    pub of_instance: bool,
    pub evidence: Evidence,
}

/// Where the tasks' outbound route leads: the NAT gateways, and the addresses of tasks, or
/// instances, that have one of their own.
fn ways_out(patient: &Patient) -> Result<(BTreeSet<String>, Vec<Source>), Blind> {
    let primary = stop::primary_version(patient);
    let mut places: Vec<(&str, Option<&Interface>, bool)> = Vec::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let is_primary = primary
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn));
        let (true, Some(subnet), Some(interface)) =
            (is_primary, task.subnet_id.as_deref(), task.network_interface_id.as_deref())
        else {
            continue;
        };
        places.push((subnet, patient.interface(interface)?, false));
    }
    if is_on_instances(patient) {
        let interfaces = instance::of_tasks(patient)?;
        places.extend(interfaces.into_iter().filter_map(|interface| {
            Some((interface.subnet_id.as_deref()?, Some(interface), true))
        }));
    }
    let (mut gateways, mut own) = (BTreeSet::new(), Vec::new());
    for (subnet, interface, of_instance) in places {
        let Some(exit) = route::out(patient, subnet, None)? else { continue };
        if let NextHop::Internet(_) = exit.next_hop {
            own.extend(interface.and_then(|interface| {
                let text = interface.public_ip.as_deref()?;
                let evidence = Evidence::new(
                    Call::DescribeNetworkInterfaces,
                    &interface.network_interface_id,
                    "Association.PublicIp",
                    text,
                );
                Some(Source { address: parsed(text)?, nat_gateway: None, of_instance, evidence })
            }));
        } else {
            let targets = exit
                .table
                .routes
                .iter()
                .filter(|route| route.destination == "0.0.0.0/0")
                .filter_map(|route| route.target.clone());
            gateways.extend(targets.filter(|target| target.starts_with("nat-")));
        }
    }
    Ok((gateways, own))
}

/// The load balancers that calls of siblings go through, by their ARNs: what guards them decides
/// whether the calls get there.
pub fn called(patient: &Patient) -> BTreeSet<String> {
    callees(patient)
        .iter()
        .filter_map(Callee::balancer)
        .map(|balancer| balancer.load_balancer_arn.clone())
        .collect()
}

fn callees<'a>(patient: &Patient<'a>) -> Vec<Callee<'a>> {
    let calls = calls(patient, &mut Unseen::default());
    Unseen::default().see(calls).unwrap_or_default().into_iter().map(|(_, callee)| callee).collect()
}

/// The NAT gateways whose addresses the collector has to ask for: a sibling's inbound rules are
/// narrow, or a web ACL before it goes by addresses, and tasks leave by them.
pub fn behind_narrow_doors(patient: &Patient) -> BTreeSet<String> {
    let mut unseen = Unseen::default();
    let narrow = callees(patient).iter().any(|callee| {
        let Some(arn) = callee.balancer().map(|balancer| balancer.load_balancer_arn.as_str())
        else {
            return false;
        };
        let is_narrow = inbound_rules::of_balancer(patient, arn, &mut unseen)
            .is_some_and(|inbound| !is_open(patient, &inbound, callee, &mut Unseen::default()));
        is_narrow
            || unseen
                .see(web_acl::before(patient, arn))
                .flatten()
                .is_some_and(|acl| !web_acl::ip_sets(acl).is_empty())
    });
    if narrow { unseen.see(ways_out(patient)).unwrap_or_default().0 } else { BTreeSet::new() }
}

/// Whether every IPv4 address is allowed where the call arrives.
pub fn is_open<'a>(
    patient: &Patient<'a>,
    inbound: &InboundRules<'a>,
    callee: &Callee,
    findings: &mut impl See,
) -> bool {
    match callee {
        Callee::Rule { ports, .. } => {
            let mut open_by = |lists: bool| {
                let blocks = inbound.lets_in(patient, findings, |_| lists).blocks;
                ports.iter().any(|port| inbound_rules::world(&blocks, false, *port).is_some())
            };
            open_by(false) || open_by(true)
        }
        // Of a call by the load balancer's own name the port is not known.
        Callee::Balancer(_) | Callee::Express => inbound.is_open_to_world(patient, findings),
    }
}

/// Every public address that the tasks come from, as far as it is known; empty where it is not.
pub fn sources(patient: &Patient) -> Result<Vec<Source>, Blind> {
    let (gateways, mut sources) = ways_out(patient)?;
    for gateway in gateways {
        for text in patient.nat_addresses(&gateway)?.into_iter().flat_map(|nat| &nat.public_ip) {
            let evidence = Evidence::new(
                Call::DescribeNatGateways,
                &gateway,
                "NatGatewayAddresses.PublicIp",
                text,
            );
            let source = |address| Source {
                address,
                nat_gateway: Some(gateway.clone()),
                of_instance: false,
                evidence,
            };
            sources.extend(parsed(text).map(source));
        }
    }
    Ok(sources)
}

/// Whether the tasks may go out by IPv6, too, with addresses that are not known here.
pub fn may_leave_by_v6(patient: &Patient) -> Result<bool, Blind> {
    let configured = reach::configured(patient, None)
        .into_iter()
        .flat_map(|network| network.subnets.iter().map(String::as_str));
    let mut subnets: BTreeSet<&str> = configured.collect();
    if is_on_instances(patient) {
        subnets.extend(
            instance::of_tasks(patient)?
                .into_iter()
                .filter_map(|interface| interface.subnet_id.as_deref()),
        );
    }
    for subnet in subnets {
        if patient.subnet(subnet)?.is_some_and(|subnet| !subnet.ipv6_cidr_block.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether tasks have no network of their own, so that it is their instances' address that counts.
pub fn is_on_instances(patient: &Patient) -> bool {
    reach::configured(patient, None).is_none()
}
