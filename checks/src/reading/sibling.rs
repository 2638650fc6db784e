//! Siblings that the service calls by their public names: behind one of its own balancers, by a balancer's own name, or at
//! another Express host. And the addresses that its tasks then come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::call::Call;
use crate::check::Findings;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::callee::{self, Named};
use crate::reading::route::{self, Way};
use crate::reading::{ingress, instance, parsed, reach, stop, traffic};
use crate::seen::Blind;
use crate::snapshot::{Interface, Listener, LoadBalancer, Rule};

/// Who answers at a host, as far as this service's balancers tell.
#[derive(Clone, Copy, Debug)]
pub enum Callee<'a> {
    /// Another service's rule on a balancer that is open to the internet.
    Rule { listener: &'a Listener, rule: &'a Rule, balancer: &'a LoadBalancer },
    /// The balancer's own name.
    Balancer(&'a LoadBalancer),
    /// Some Express service, likely a public one.
    Express,
}

/// The calls of siblings by public names that variables of the current versions tell of.
pub fn calls<'a>(patient: &Patient<'a>, findings: &mut Findings) -> Result<Vec<(Named<'a>, Callee<'a>)>, Blind> {
    let named = callee::named(patient)?;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let siblings = Siblings::of(patient, findings)?;
    Ok(named.into_iter().filter_map(|name| Some((name, siblings.callee(name.host, patient.region())?))).collect())
}

/// What the service's balancers answer for.
struct Siblings<'a> {
    own: BTreeSet<String>,
    /// Rules that send a host to another service, with the balancer, where we may see it.
    rules: Vec<(&'a Listener, &'a Rule, Option<&'a LoadBalancer>)>,
    /// Balancers whose own name does not lead to this service.
    balancers: Vec<&'a LoadBalancer>,
}

impl<'a> Siblings<'a> {
    fn of(patient: &Patient<'a>, findings: &mut Findings) -> Result<Siblings<'a>, Blind> {
        let ways = traffic::ways(patient)?;
        let ours: BTreeSet<&str> = ways.iter().map(|way| way.rule.rule_arn.as_str()).collect();
        let takes_any_host: BTreeSet<&str> =
            ways.iter().filter(|way| way.hosts().next().is_none()).map(|way| way.listener.load_balancer_arn.as_str()).collect();
        let mut own: BTreeSet<String> = ways.iter().flat_map(|way| way.hosts()).map(str::to_ascii_lowercase).collect();
        own.extend(traffic::ingress_paths(patient)?.into_iter().filter_map(|path| path.endpoint.as_deref()).map(str::to_ascii_lowercase));
        let mut rules = Vec::new();
        for (listener, rule) in traffic::all_rules(patient)? {
            let forwards = rule.actions.iter().any(|action| action.kind == "forward");
            if forwards && !ours.contains(rule.rule_arn.as_str()) {
                let balancer = findings.see(patient.load_balancer(&listener.load_balancer_arn)).flatten();
                rules.push((listener, rule, balancer));
            }
        }
        let mut balancers = Vec::new();
        for arn in traffic::balancers(patient)?.into_iter().filter(|arn| !takes_any_host.contains(arn)) {
            balancers.extend(findings.see(patient.load_balancer(arn)).flatten().filter(|balancer| is_public(balancer)));
        }
        Ok(Siblings { own, rules, balancers })
    }

    fn callee(&self, host: &str, region: &str) -> Option<Callee<'a>> {
        let host = host.to_ascii_lowercase();
        if self.own.contains(&host) {
            return None;
        }
        if let Some((listener, rule, balancer)) = self.rules.iter().find(|(_, rule, _)| answers(rule, &host)) {
            let public = balancer.filter(|balancer| is_public(balancer))?;
            return Some(Callee::Rule { listener, rule, balancer: public });
        }
        let is_name_of = |balancer: &LoadBalancer| {
            let name = balancer.dns_name.as_deref().map(str::to_ascii_lowercase);
            name.as_deref() == Some(host.strip_prefix("dualstack.").unwrap_or(&host))
        };
        if let Some(balancer) = self.balancers.iter().find(|balancer| is_name_of(balancer)) {
            return Some(Callee::Balancer(balancer));
        }
        host.ends_with(&format!(".ecs.{region}.on.aws")).then_some(Callee::Express)
    }
}

fn is_public(balancer: &LoadBalancer) -> bool {
    balancer.scheme.as_deref() == Some("internet-facing")
}

/// Whether a rule asks for just this host. A wildcard would match hosts that live elsewhere.
fn answers(rule: &Rule, host: &str) -> bool {
    let hosts = rule.conditions.iter().filter(|condition| condition.field == "host-header").flat_map(|condition| &condition.values);
    hosts.into_iter().any(|value| value.eq_ignore_ascii_case(host))
}

/// A public address that tasks come from when they call somebody on the internet.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub address: IpAddr,
    /// The NAT gateway that lends it to all of them; without one it is a task's own, and the next task has another.
    pub nat_gateway: Option<String>,
    /// It is the address of an instance, and the next instance has another.
    pub of_instance: bool,
    pub evidence: Evidence,
}

/// Where the tasks' way out leads: the NAT gateways, and the addresses of tasks, or instances, that have one of their own.
fn ways_out(patient: &Patient) -> Result<(BTreeSet<String>, Vec<Source>), Blind> {
    let primary = stop::primary_version(patient);
    let mut places: Vec<(&str, Option<&Interface>, bool)> = Vec::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let is_primary = primary.iter().any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn));
        let (true, Some(subnet), Some(interface)) = (is_primary, task.subnet_id.as_deref(), task.network_interface_id.as_deref()) else { continue };
        places.push((subnet, patient.interface(interface)?, false));
    }
    if is_on_instances(patient) {
        let interfaces = instance::of_tasks(patient)?;
        places.extend(interfaces.into_iter().filter_map(|interface| Some((interface.subnet_id.as_deref()?, Some(interface), true))));
    }
    let (mut gateways, mut own) = (BTreeSet::new(), Vec::new());
    for (subnet, interface, of_instance) in places {
        let Some(exit) = route::out(patient, subnet, None)? else { continue };
        if let Way::Internet(_) = exit.way {
            own.extend(interface.and_then(|interface| {
                let text = interface.public_ip.as_deref()?;
                let evidence = Evidence::new(Call::DescribeNetworkInterfaces, &interface.network_interface_id, "Association.PublicIp", text);
                Some(Source { address: parsed(text)?, nat_gateway: None, of_instance, evidence })
            }));
        } else {
            let targets = exit.table.routes.iter().filter(|route| route.destination == "0.0.0.0/0").filter_map(|route| route.target.clone());
            gateways.extend(targets.filter(|target| target.starts_with("nat-")));
        }
    }
    Ok((gateways, own))
}

/// The NAT gateways whose addresses the collector has to ask for: a sibling's door is narrow, and tasks leave by them.
pub fn behind_narrow_doors(patient: &Patient) -> BTreeSet<String> {
    let mut unseen = Findings::default();
    let calls = unseen.see(calls(patient, &mut Findings::default())).unwrap_or_default();
    let through = |balancer: &LoadBalancer| {
        calls.iter().any(|(_, callee)| match callee {
            Callee::Rule { balancer: named, .. } | Callee::Balancer(named) => named.load_balancer_arn == balancer.load_balancer_arn,
            Callee::Express => false,
        })
    };
    if calls.is_empty() {
        return BTreeSet::new();
    }
    let doors = unseen.see(ingress::doors(patient, &mut Findings::default())).unwrap_or_default();
    let narrow = doors.iter().any(|door| through(door.balancer) && !door.is_open_to_world());
    if narrow { unseen.see(ways_out(patient)).unwrap_or_default().0 } else { BTreeSet::new() }
}

/// Every public address that the tasks come from, as far as it is known; empty where it is not.
pub fn sources(patient: &Patient) -> Result<Vec<Source>, Blind> {
    let (gateways, mut sources) = ways_out(patient)?;
    for gateway in gateways {
        for text in patient.nat_addresses(&gateway)?.into_iter().flat_map(|nat| &nat.public_ip) {
            let evidence = Evidence::new(Call::DescribeNatGateways, &gateway, "NatGatewayAddresses.PublicIp", text);
            let source = |address| Source { address, nat_gateway: Some(gateway.clone()), of_instance: false, evidence };
            sources.extend(parsed(text).map(source));
        }
    }
    Ok(sources)
}

/// Whether tasks have no network of their own, so that it is their instances' address that counts.
pub fn is_on_instances(patient: &Patient) -> bool {
    reach::configured(patient, None).is_none()
}
