//! Where traffic that leaves a subnet goes: by the longest prefix of the route table that the
//! subnet has, or of the VPC's main one. And which subnets the tasks are in that could not reach
//! something. The part that endpoints play is for the path.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::aws::cidr::Cidr;
use crate::aws::dial::{self, How};
use crate::aws::stop_reason::{self, Destination, Fault, Step, Trouble};
use crate::call::Call;
use crate::facts::network::dialled::Dialled;
use crate::facts::tasks::log_driver;
use crate::facts::tasks::reason::{self, Told};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{Route, RouteTable};
use crate::text::parsed;

/// Where the traffic goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NextHop<'a> {
    /// No route has the address.
    Nowhere,
    /// The route leads to something that is not there any more.
    Blackhole(&'a Route),
    /// To an internet gateway, which forwards only traffic from public addresses.
    Internet(&'a Route),
    /// To a NAT gateway.
    Nat(&'a Route),
    /// Somewhere else: a transit gateway, an appliance.
    Elsewhere,
    /// A prefix list or a partial route may or may not have it.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Exit<'a> {
    pub table: &'a RouteTable,
    pub next_hop: NextHop<'a>,
}

/// The next hop out of a subnet: to an address, or to wherever the default route leads. None where
/// subnet or table is unknown.
pub fn out<'a>(
    patient: &Patient<'a>,
    subnet: &str,
    to: Option<IpAddr>,
) -> Result<Option<Exit<'a>>, Blind> {
    let Some(vpc) = patient.subnet(subnet)?.and_then(|subnet| subnet.vpc_id.as_deref()) else {
        return Ok(None);
    };
    Ok(table(patient.route_tables(vpc)?, subnet)
        .map(|table| Exit { table, next_hop: next_hop(table, to) }))
}

/// The route table of a subnet among those of its VPC: its own, or the main one.
pub fn table<'a>(tables: &'a [RouteTable], subnet: &str) -> Option<&'a RouteTable> {
    let own = tables.iter().find(|table| table.subnet_ids.iter().any(|id| id == subnet));
    own.or_else(|| tables.iter().find(|table| table.main))
}

/// Whether no internet traffic enters or leaves by a table's routes: none of them leads to an
/// internet gateway, and the default route is missing, a blackhole, or leads to a NAT gateway. A
/// firewall or an appliance may carry it.
pub fn is_private(table: &RouteTable) -> bool {
    let leads_to = |route: &Route, kind: &str| {
        route.target.as_deref().is_some_and(|target| target.starts_with(kind))
    };
    let is_dead = |route: &Route| route.state.as_deref() == Some("blackhole");
    let has_gateway = table.routes.iter().any(|route| leads_to(route, "igw-") && !is_dead(route));
    let default = table.routes.iter().find(|route| route.destination == "0.0.0.0/0");
    !has_gateway && default.is_none_or(|route| is_dead(route) || leads_to(route, "nat-"))
}

fn block_of(route: &Route) -> Option<Cidr> {
    parsed(&route.destination)
}

/// The route that has an address, or the default route of IPv4: of several the one with the longest
/// prefix. Prefix lists are not looked into.
pub fn longest(table: &RouteTable, to: Option<IpAddr>) -> Option<&Route> {
    let has =
        |block: &Cidr| to.map_or(!block.is_v6() && block.is_world(), |address| block.has(address));
    let routes = table.routes.iter();
    routes
        .filter_map(|route| Some((route, block_of(route).filter(has)?)))
        .max_by_key(|(_, block)| block.length())
        .map(|(route, _)| route)
}

fn next_hop(table: &RouteTable, to: Option<IpAddr>) -> NextHop<'_> {
    let target = |route: &Route| route.target.clone().unwrap_or_default();
    match longest(table, to) {
        Some(route) if route.state.as_deref() == Some("blackhole") => NextHop::Blackhole(route),
        Some(route) if target(route).starts_with("igw-") => NextHop::Internet(route),
        Some(route) if target(route).starts_with("nat-") => NextHop::Nat(route),
        Some(_) => NextHop::Elsewhere,
        // A gateway endpoint's prefix list is that of S3 or DynamoDB; whatever else a list has, it
        // may be the address.
        None if table
            .routes
            .iter()
            .any(|route| block_of(route).is_none() && !target(route).starts_with("vpce-")) =>
        {
            NextHop::Unknown
        }
        // Without an address, a route for a part of the world may be the one that counts.
        None if to.is_none()
            && table.routes.iter().any(|route| {
                !["local", "vpce-", "pcx-"].iter().any(|near| target(route).starts_with(near))
            }) =>
        {
            NextHop::Unknown
        }
        None => NextHop::Nowhere,
    }
}

/// Every destination that a table does have: what is not among them has no route.
pub fn destinations(table: &RouteTable) -> Vec<Evidence> {
    let of = &table.route_table_id;
    table
        .routes
        .iter()
        .map(|route| {
            Evidence::new(Call::DescribeRouteTables, of, "Routes.Destination", &route.destination)
        })
        .collect()
}

/// A subnet out of which tasks could not reach what they need to start.
#[derive(Debug)]
pub struct Stranded<'a> {
    pub subnet: &'a str,
    pub told: Told<'a>,
    /// What did not answer, as far as the words tell.
    pub to: Destination,
    /// What the app's log says of it; none where ECS tells why a task did not start.
    pub dialled: Option<Dialled<'a>>,
}

impl Stranded<'_> {
    pub fn address(&self) -> Option<IpAddr> {
        match self.to {
            Destination::Address(address) => Some(address),
            Destination::Unresolved | Destination::Unknown => None,
        }
    }
}

/// The subnets of tasks on Fargate whose reasons prove that the network is the trouble, each once.
/// On EC2 the instance pulls, so the tasks' subnet does not matter.
pub fn stranded<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<Stranded<'a>> {
    let mut stranded: BTreeMap<(&str, &str), Stranded> = BTreeMap::new();
    for told in reason::told(patient, findings) {
        let to = stop_reason::destination(told.text);
        if !is_of_network(&told)
            || !is_on_fargate(patient, &told)
            || !is_by_own_interface(patient, &told)
        {
            continue;
        }
        // What a log driver other than CloudWatch's calls, only an address shows.
        let goes_elsewhere = findings.see(log_driver::elsewhere(patient, &told)).flatten();
        if goes_elsewhere.is_some() && to == Destination::Unknown {
            continue;
        }
        let of_tasks = |told: &Told<'a>| {
            told.tasks.iter().filter_map(|task| task.subnet_id.as_deref()).collect::<Vec<&str>>()
        };
        let mut subnets = of_tasks(&told);
        // Where only events tell, it is one of those that the version asks for; but stopped tasks
        // might know better.
        if subnets.is_empty() && findings.see(patient.stopped_tasks()).is_some() {
            let network = findings.see(told.version.network(patient)).flatten();
            subnets = network
                .into_iter()
                .flat_map(|network| network.subnets)
                .map(String::as_str)
                .collect();
        }
        for subnet in subnets {
            let told = Told {
                tasks: told.tasks.clone(),
                evidence: told.evidence.clone(),
                version: told.version.clone(),
                ..told
            };
            stranded.entry((subnet, told.task_definition)).or_insert(Stranded {
                subnet,
                told,
                to,
                dialled: None,
            });
        }
    }
    stranded.into_values().collect()
}

fn is_of_network(told: &Told) -> bool {
    match told.reason.trouble {
        // No route leads to what is in the task itself, and a refused connection reached its
        // destination.
        Trouble::LogDestinationUnreachable => {
            dial::read(told.text).is_some_and(|dial| dial.how != How::Refused && !dial.is_local())
        }
        Trouble::RegistryUnreachable
        | Trouble::SecretStoreUnreachable
        | Trouble::LogsUnreachable => true,
        Trouble::EnvironmentFileUnreadable => told.reason.fault == Some(Fault::Network),
        _ => false,
    }
}

fn is_on_fargate(patient: &Patient, told: &Told) -> bool {
    let service = patient.service();
    let by_service = match service.launch_type.as_deref() {
        Some(launch_type) => launch_type == "FARGATE",
        None => service.capacity_providers.iter().all(|provider| provider.starts_with("FARGATE")),
    };
    by_service && told.tasks.iter().all(|task| task.container_instance_arn.is_none())
}

/// Before platform version 1.4.0, Fargate fetched secrets and the registry's authorization over an
/// interface of its own.
fn is_by_own_interface(patient: &Patient, told: &Told) -> bool {
    let version = patient.service().platform_version.as_deref().unwrap_or("LATEST");
    let is_old = ["1.0", "1.1", "1.2", "1.3"].iter().any(|old| version.starts_with(old));
    !(is_old
        && matches!(
            told.reason.step,
            Some(Step::RegistryAuth | Step::Secret | Step::SecretOrRegistryAuth)
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str, &str)]) -> RouteTable {
        let route = |(destination, target, state): &(&str, &str, &str)| Route {
            destination: (*destination).into(),
            target: Some((*target).into()),
            state: Some((*state).into()),
        };
        RouteTable { routes: routes.iter().map(route).collect(), ..RouteTable::default() }
    }

    const LOCAL: (&str, &str, &str) = ("10.0.0.0/16", "local", "active");

    #[test]
    fn the_longest_prefix_has_the_word() {
        let to = parsed("52.94.53.1");
        let wide = ("0.0.0.0/0", "nat-1", "active");
        assert!(matches!(
            next_hop(&table(&[LOCAL, wide, ("52.94.0.0/16", "igw-1", "active")]), to),
            NextHop::Internet(_)
        ));
        assert!(matches!(
            next_hop(&table(&[LOCAL, ("52.94.0.0/16", "nat-0", "blackhole"), wide]), to),
            NextHop::Blackhole(_)
        ));
        assert!(matches!(
            next_hop(&table(&[LOCAL, wide, ("52.95.0.0/16", "nat-0", "blackhole")]), to),
            NextHop::Nat(_)
        ));
    }

    #[test]
    fn no_route_is_no_way_unless_a_list_may_have_it() {
        let to = parsed("52.94.53.1");
        assert_eq!(next_hop(&table(&[LOCAL]), to), NextHop::Nowhere);
        assert_eq!(
            next_hop(&table(&[LOCAL, ("::/0", "eigw-1", "active")]), to),
            NextHop::Nowhere,
            "another family"
        );
        assert_eq!(
            next_hop(&table(&[LOCAL, ("pl-7ca54015", "vpce-1", "active")]), to),
            NextHop::Nowhere,
            "the list of S3"
        );
        assert_eq!(
            next_hop(&table(&[LOCAL, ("pl-0123", "tgw-1", "active")]), to),
            NextHop::Unknown
        );
    }

    #[test]
    fn without_an_address_the_default_route_counts() {
        assert_eq!(
            next_hop(&table(&[LOCAL, ("172.16.0.0/12", "pcx-1", "active")]), None),
            NextHop::Nowhere
        );
        assert_eq!(
            next_hop(&table(&[LOCAL, ("52.0.0.0/8", "tgw-1", "active")]), None),
            NextHop::Unknown
        );
        assert_eq!(
            next_hop(&table(&[LOCAL, ("0.0.0.0/0", "tgw-1", "active")]), None),
            NextHop::Elsewhere
        );
    }
}
