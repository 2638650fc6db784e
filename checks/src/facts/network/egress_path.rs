//! How tasks on Fargate reach what they need to start, where they did not: through a VPC endpoint,
//! or out of the subnet. Each hop is examined separately: names, endpoint, security groups, network
//! ACLs, route, NAT gateway, public address. A hop that cannot be seen blocks nothing; the check
//! that asks becomes blind.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::aws::admission::Admission;
use crate::aws::cidr::Cidr;
use crate::aws::dial;
use crate::aws::host::{self, AwsHost};
use crate::aws::image;
use crate::aws::stop_reason::{self, Destination, Fault, Step, Trouble};
use crate::call::Call;
use crate::facts::network::dialled;
use crate::facts::network::network_acl::{self, Crossing, Dropped};
use crate::facts::network::reach::{self, Peer};
use crate::facts::network::route::{self, NextHop, Stranded};
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Finding, Kind, Subject};
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{
    Endpoint, NatGateway, Route, RouteTable, SecurityGroup, Service, Target, Task, VpcDns,
};
use crate::text::{and_list, plural};

/// What of AWS a task needs to start. Each may have an endpoint in the VPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    EcrApi,
    EcrDkr,
    S3,
    Logs,
    SecretsManager,
    Ssm,
}

impl Need {
    const ALL: [Need; 6] =
        [Need::EcrApi, Need::EcrDkr, Need::S3, Need::Logs, Need::SecretsManager, Need::Ssm];

    /// The end of the name of its endpoint service.
    pub fn word(self) -> &'static str {
        match self {
            Need::EcrApi => "ecr.api",
            Need::EcrDkr => "ecr.dkr",
            Need::S3 => "s3",
            Need::Logs => "logs",
            Need::SecretsManager => "secretsmanager",
            Need::Ssm => "ssm",
        }
    }

    /// What the words of a reason are about; none where an image is not in ECR, or the words leave
    /// it open.
    pub fn of(told: &Told) -> Option<Need> {
        let text = told.text;
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["starport-layer-bucket", "httpReaderSeeker"]) {
            return Some(Need::S3);
        }
        if told.reason.trouble == Trouble::LogDestinationUnreachable {
            return None;
        }
        match told.reason.step? {
            Step::RegistryAuth => Some(Need::EcrApi),
            Step::Pull => {
                let is_in_ecr = !says(&["https://"])
                    && told.image().is_some_and(|image| image::in_ecr(image).is_some());
                let names_ecr =
                    host::named_in(text).any(|host| matches!(host, AwsHost::Ecr { .. }));
                (is_in_ecr || names_ecr).then_some(Need::EcrDkr)
            }
            Step::Secret
                if says(&[
                    "from ssm",
                    "ssm:",
                    "ssm parameters",
                    "Systems Manager",
                    "Parameter Store",
                    "//ssm.",
                ]) =>
            {
                Some(Need::Ssm)
            }
            Step::Secret => Some(Need::SecretsManager),
            Step::Log => Some(Need::Logs),
            Step::EnvironmentFile => Some(Need::S3),
            Step::SecretOrRegistryAuth
            | Step::FileSystem
            | Step::Container
            | Step::LogRouter
            | Step::Interface
            | Step::Launch
            | Step::TaskDefinition
            | Step::Agent => None,
        }
    }

    /// Whether an endpoint is for it, in whatever partition.
    pub fn is_served_by(self, endpoint: &Endpoint) -> bool {
        endpoint.service_name.contains("amazonaws")
            && endpoint.service_name.ends_with(&format!(".{}", self.word()))
            && !is_fips(endpoint)
    }
}

fn is_fips(endpoint: &Endpoint) -> bool {
    endpoint.service_name.contains("fips")
}

/// Whether an endpoint is for something that tasks need to start.
pub fn is_needed(endpoint: &Endpoint) -> bool {
    Need::ALL.iter().any(|need| need.is_served_by(endpoint))
}

pub fn is_interface(endpoint: &Endpoint) -> bool {
    endpoint.vpc_endpoint_type.eq_ignore_ascii_case("interface")
}

fn is_dead(gateway: &NatGateway) -> bool {
    matches!(gateway.state.as_str(), "failed" | "deleting" | "deleted")
}

fn is_available(endpoint: &Endpoint) -> bool {
    endpoint.state.eq_ignore_ascii_case("available")
}

/// One trouble of tasks that could not reach something out of one subnet.
#[derive(Debug)]
pub struct EgressPath<'a> {
    pub stranded: Stranded<'a>,
    pub need: Option<Need>,
    pub vpc: &'a str,
}

/// Every path that failed, of the versions that tell of today's trouble.
pub fn failed<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<EgressPath<'a>> {
    let mut failed = Vec::new();
    let mut stranded = route::stranded(patient, findings);
    stranded.extend(dialled::dialled(patient, findings));
    for stranded in stranded {
        if let Some(vpc) = findings
            .see(patient.subnet(stranded.subnet))
            .flatten()
            .and_then(|subnet| subnet.vpc_id.as_deref())
        {
            failed.push(EgressPath { need: Need::of(&stranded.told), stranded, vpc });
        }
    }
    failed
}

/// Why nothing gets out of a subnet.
#[derive(Clone, Copy, Debug)]
pub enum Stop<'a> {
    /// No route has the address.
    Nowhere,
    /// The route leads to something that is not there any more.
    Blackhole(&'a Route),
    /// The route leads to a NAT gateway that does not work.
    DeadNat(&'a Route, &'a NatGateway),
    /// The NAT gateway is in a subnet that has no route to the internet itself.
    NatWithoutWay(&'a NatGateway, &'a str),
    /// The route leads to an internet gateway, and the tasks have no public address.
    NoPublicAddress(&'a Route),
}

/// What is wrong with the endpoint that should serve a path.
#[derive(Debug)]
pub enum Unfit<'a> {
    /// There is none, in a VPC that has others for what tasks need.
    Missing(Vec<&'a Endpoint>),
    NotAvailable(&'a Endpoint),
    NoPrivateNames(&'a Endpoint),
    /// A gateway endpoint that is not in the subnet's route table.
    NotInTable(&'a Endpoint, &'a RouteTable),
    /// Its security groups do not allow the tasks.
    Closed(&'a Endpoint, Vec<&'a SecurityGroup>),
}

impl<'a> EgressPath<'a> {
    /// The address that did not answer, if the internet has it.
    pub fn public_address(&self) -> Option<IpAddr> {
        self.stranded.address().filter(|address| !Cidr::from(*address).is_private())
    }

    /// Whether an AWS service is called, which may have an endpoint, and not what the app or a log
    /// driver calls.
    pub fn asks_aws(&self) -> bool {
        let trouble = self.stranded.told.reason.trouble;
        self.stranded.dialled.is_none() && trouble != Trouble::LogDestinationUnreachable
    }

    /// Whether the address that did not answer is inside: an endpoint's, where a task did not
    /// start.
    pub fn is_inside(&self) -> bool {
        self.stranded.address().is_some_and(|address| Cidr::from(address).is_private())
    }

    /// The port that was asked. Other registries may be asked on other ports.
    pub fn port(&self) -> Option<i32> {
        match &self.stranded.dialled {
            Some(dialled) => dialled.dial.port.map(i32::from),
            None => {
                let on_443 = self.need.is_some() || self.stranded.address().is_none();
                let named = dial::read(self.stranded.told.text).and_then(|dial| dial.port);
                named.map(i32::from).or(on_443.then_some(443))
            }
        }
    }

    fn endpoints(&self, patient: &Patient<'a>) -> Result<Vec<&'a Endpoint>, Blind> {
        let Some(need) = self.need else { return Ok(Vec::new()) };
        Ok(patient
            .endpoints(self.vpc)?
            .iter()
            .filter(|endpoint| need.is_served_by(endpoint))
            .collect())
    }

    /// Which endpoints for what tasks need the VPC has: none of them is for this.
    pub fn other_endpoints(&self, patient: &Patient<'a>) -> Result<Vec<Evidence>, Blind> {
        let all = patient.endpoints(self.vpc)?;
        if all.is_empty() {
            return Ok(vec![Evidence::new(
                Call::DescribeVpcEndpoints,
                self.vpc,
                "VpcEndpoints",
                "[]",
            )]);
        }
        Ok(all
            .iter()
            .map(|endpoint| of_endpoint(endpoint, "ServiceName", &endpoint.service_name))
            .collect())
    }

    /// The interface endpoint that the name of what is needed leads to.
    pub fn endpoint(&self, patient: &Patient<'a>) -> Result<Option<&'a Endpoint>, Blind> {
        if self.public_address().is_some() || self.stranded.to == Destination::Unresolved {
            return Ok(None);
        }
        let named = |endpoint: &&Endpoint| {
            is_interface(endpoint) && is_available(endpoint) && endpoint.private_dns_enabled
        };
        Ok(self.endpoints(patient)?.into_iter().find(named))
    }

    /// Whether the VPC has an endpoint that the name of what is needed should lead to.
    pub fn has_private_name(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        Ok(self
            .endpoints(patient)?
            .iter()
            .any(|endpoint| is_interface(endpoint) && endpoint.private_dns_enabled))
    }

    /// The settings of the VPC, if names do not resolve in it as they have to: at all, or, where
    /// the address that did not answer is public, to the endpoint that has a private name for it.
    pub fn names_off(&self, patient: &Patient<'a>) -> Result<Option<&'a VpcDns>, Blind> {
        let passes_by = self.public_address().is_some() && self.has_private_name(patient)?;
        if matches!(self.stranded.to, Destination::Address(_)) && !passes_by {
            return Ok(None);
        }
        let Some(dns) = patient.vpc_dns(self.vpc)? else { return Ok(None) };
        let asks_private_name =
            self.stranded.dialled.as_ref().is_some_and(|dialled| dialled.has_private_name());
        let is_off = match self.stranded.to {
            // The private zones of Route 53 and Cloud Map need both.
            Destination::Unresolved if asks_private_name => {
                !(dns.enable_dns_support && dns.enable_dns_hostnames)
            }
            Destination::Unresolved | Destination::Unknown => !dns.enable_dns_support,
            Destination::Address(_) => {
                passes_by && !(dns.enable_dns_support && dns.enable_dns_hostnames)
            }
        };
        Ok(is_off.then_some(dns))
    }

    /// Whether the traffic went past an endpoint because its private name does not count.
    fn is_led_past(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        Ok(self.public_address().is_some()
            && self.has_private_name(patient)?
            && self.names_off(patient)?.is_some())
    }

    /// The route table of the subnet.
    fn table(&self, patient: &Patient<'a>) -> Result<Option<&'a RouteTable>, Blind> {
        Ok(route::table(patient.route_tables(self.vpc)?, self.stranded.subnet))
    }

    /// Whether a gateway endpoint takes the traffic by a route of the subnet.
    fn has_gateway(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        if self.need != Some(Need::S3) {
            return Ok(false);
        }
        let Some(table) = self.table(patient)? else { return Ok(false) };
        Ok(self
            .endpoints(patient)?
            .iter()
            .any(|endpoint| endpoint.route_table_ids.contains(&table.route_table_id)))
    }

    /// Whether the words leave open what is needed, so that some endpoint of the VPC may serve it.
    fn may_have_endpoint(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        if let Some(service) = self.service() {
            return self.is_served(patient, service);
        }
        let told = &self.stranded.told;
        let is_open = match told.reason.step {
            Some(Step::SecretOrRegistryAuth) => true,
            Some(Step::Pull) => told.image().is_none(),
            _ => false,
        };
        let is_vague = is_open && self.need.is_none() && self.stranded.address().is_none();
        Ok(is_vague
            && patient
                .endpoints(self.vpc)?
                .iter()
                .any(|endpoint| is_interface(endpoint) && is_needed(endpoint)))
    }

    /// The service of AWS that the app calls by its public name.
    pub fn service(&self) -> Option<&'a str> {
        let host = self.stranded.dialled.as_ref()?.dial.host?;
        host::service(host).filter(|_| self.stranded.address().is_none())
    }

    /// Whether the name of a service leads to an endpoint of the VPC, or its addresses to a gateway
    /// of the subnet's routes. Some endpoints have a longer name than the service:
    /// `kinesis-streams`.
    fn is_served(&self, patient: &Patient<'a>, service: &str) -> Result<bool, Blind> {
        let table = self.table(patient)?;
        let is_way = |endpoint: &Endpoint| {
            let routes = &endpoint.route_table_ids;
            (is_interface(endpoint) && is_available(endpoint) && endpoint.private_dns_enabled)
                || table.is_some_and(|table| routes.contains(&table.route_table_id))
        };
        let named = |endpoint: &Endpoint| {
            let name = endpoint.service_name.as_str();
            let in_region =
                name.split_once("amazonaws.").and_then(|(_, rest)| rest.split_once('.'));
            in_region.is_some_and(|(_, short)| short.starts_with(service))
        };
        Ok(patient.endpoints(self.vpc)?.iter().any(|endpoint| named(endpoint) && is_way(endpoint)))
    }

    /// What stops it as it leaves the subnet. None where it goes to an endpoint, where nothing
    /// stops it, and where that cannot be told.
    pub fn stop(&self, patient: &Patient<'a>) -> Result<Option<(&'a RouteTable, Stop<'a>)>, Blind> {
        let by_name = matches!(self.stranded.to, Destination::Unresolved);
        let is_v6 = self.stranded.address().is_some_and(|address| address.is_ipv6());
        // To what is joined to the VPC, a route may be missing as well.
        let is_endpoint = self.is_inside() && self.asks_aws();
        if by_name
            || is_v6
            || is_endpoint
            || self.endpoint(patient)?.is_some()
            || self.has_gateway(patient)?
            || self.may_have_endpoint(patient)?
            || self.is_led_past(patient)?
        {
            return Ok(None);
        }
        let Some(exit) = route::out(patient, self.stranded.subnet, self.stranded.address())? else {
            return Ok(None);
        };
        let stop = match exit.next_hop {
            // Without an address IPv6 may have been meant.
            NextHop::Nowhere
                if self.stranded.address().is_none()
                    && self.goes_out_by_v6(patient, exit.table)? =>
            {
                None
            }
            NextHop::Nowhere => Some(Stop::Nowhere),
            // What became of a NAT gateway tells more, where it can still be seen.
            NextHop::Blackhole(route) => match self.nat(patient, route) {
                Ok(Some(gateway)) if is_dead(gateway) => Some(Stop::DeadNat(route, gateway)),
                Ok(_) | Err(_) => Some(Stop::Blackhole(route)),
            },
            NextHop::Nat(route) => self.nat_stop(patient, route)?,
            NextHop::Internet(route) => {
                self.lacks_public_address(patient)?.then_some(Stop::NoPublicAddress(route))
            }
            NextHop::Elsewhere | NextHop::Unknown => None,
        };
        Ok(stop.map(|stop| (exit.table, stop)))
    }

    fn goes_out_by_v6(&self, patient: &Patient, table: &RouteTable) -> Result<bool, Blind> {
        let has_block = patient
            .subnet(self.stranded.subnet)?
            .is_some_and(|subnet| !subnet.ipv6_cidr_block.is_empty());
        Ok(has_block && table.routes.iter().any(|route| route.destination == "::/0"))
    }

    /// The NAT gateway of a route, and the table of the subnet that it is in.
    fn nat(&self, patient: &Patient<'a>, route: &Route) -> Result<Option<&'a NatGateway>, Blind> {
        let id = route.target.as_deref();
        Ok(patient
            .nat_gateways(self.vpc)?
            .iter()
            .find(|gateway| Some(gateway.nat_gateway_id.as_str()) == id))
    }

    fn nat_stop(&self, patient: &Patient<'a>, route: &'a Route) -> Result<Option<Stop<'a>>, Blind> {
        let Some(gateway) = self.nat(patient, route)? else { return Ok(None) };
        if is_dead(gateway) {
            return Ok(Some(Stop::DeadNat(route, gateway)));
        }
        // A private NAT gateway leads to other networks, a regional one is in no subnet.
        let (Some("public"), Some(subnet)) =
            (gateway.connectivity_type.as_deref(), gateway.subnet_id.as_deref())
        else {
            return Ok(None);
        };
        let Some(table) = route::table(patient.route_tables(self.vpc)?, subnet) else {
            return Ok(None);
        };
        Ok(route::is_private(table).then_some(Stop::NatWithoutWay(gateway, subnet)))
    }

    fn lacks_public_address(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        let network = self.stranded.told.version.network(patient)?;
        Ok(network.is_some_and(|network| network.assign_public_ip != Some("ENABLED")))
    }

    /// What is wrong with the endpoint that it needs. An endpoint that is no good matters only
    /// where nothing else leads out.
    pub fn unfit(&self, patient: &Patient<'a>) -> Result<Option<Unfit<'a>>, Blind> {
        let Some(need) = self.need else { return Ok(None) };
        let own = self.endpoints(patient)?;
        if self.stranded.to == Destination::Unresolved {
            return Ok(None);
        }
        // An endpoint with private names was meant to be the route, even where the name still
        // resolved outside: whatever else stops it, nothing gets through closed groups.
        let named = own
            .iter()
            .copied()
            .find(|endpoint| is_interface(endpoint) && endpoint.private_dns_enabled);
        let is_way = self.is_inside() || self.endpoint(patient)?.is_some();
        let closed = match named {
            Some(_) if self.is_led_past(patient)? => None,
            Some(endpoint) => {
                self.closed(patient, endpoint)?.map(|groups| Unfit::Closed(endpoint, groups))
            }
            None => None,
        };
        if is_way || closed.is_some() {
            return Ok(closed);
        }
        let Some((table, stop)) = self.stop(patient)? else { return Ok(None) };
        let (interfaces, gateways): (Vec<&Endpoint>, Vec<&Endpoint>) =
            own.into_iter().partition(|endpoint| is_interface(endpoint));
        let is_own = matches!(stop, Stop::Nowhere | Stop::NoPublicAddress(_));
        let unfit =
            if let Some(endpoint) = interfaces.iter().find(|endpoint| !is_available(endpoint)) {
                Some(Unfit::NotAvailable(endpoint))
            } else if let Some(endpoint) =
                interfaces.iter().find(|endpoint| !endpoint.private_dns_enabled)
            {
                Some(Unfit::NoPrivateNames(endpoint))
            } else if let Some(endpoint) = gateways.first() {
                Some(Unfit::NotInTable(endpoint, table))
            } else {
                let others = patient
                    .endpoints(self.vpc)?
                    .iter()
                    .filter(|endpoint| is_needed(endpoint) && !need.is_served_by(endpoint));
                let others: Vec<&Endpoint> = others.collect();
                // Just a gateway endpoint for S3 does not show that the subnet is meant to live
                // without an outbound route.
                let lives_on_endpoints = others.iter().any(|endpoint| is_interface(endpoint));
                (interfaces.is_empty() && lives_on_endpoints).then_some(Unfit::Missing(others))
            };
        // A broken outbound route is the trouble, whatever else is missing.
        Ok(unfit.filter(|_| is_own))
    }

    /// The security groups that the tasks of the version have, or had.
    pub fn task_groups(&self, patient: &Patient<'a>) -> Result<Vec<&'a str>, Blind> {
        let network = self.stranded.told.version.network(patient)?;
        let groups = network.into_iter().flat_map(|network| network.security_groups);
        Ok(groups.map(String::as_str).collect())
    }

    /// The endpoint's security groups, if they allow no task of the subnet.
    fn closed(
        &self,
        patient: &Patient<'a>,
        endpoint: &'a Endpoint,
    ) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
        let own = self.task_groups(patient)?;
        let (Some(groups), Some(block)) = (
            reach::security_groups(patient, &endpoint.groups)?,
            reach::subnet_block(patient, self.stranded.subnet)?,
        ) else {
            return Ok(None);
        };
        if own.is_empty() || groups.is_empty() {
            return Ok(None);
        }
        let from = Peer {
            groups: own.into_iter().map(String::from).collect(),
            blocks: vec![block],
            ..Peer::default()
        };
        Ok((reach::lets_in(patient, &groups, 443, &from)? == Admission::No).then_some(groups))
    }

    /// The other side, as rules of the tasks' own subnet and groups meet it.
    fn peer(&self, patient: &Patient<'a>) -> Result<Option<Peer>, Blind> {
        let groups_of = |endpoint: Option<&Endpoint>| {
            endpoint.map(|endpoint| endpoint.groups.clone()).unwrap_or_default()
        };
        Ok(match (self.stranded.to, self.endpoint(patient)?) {
            (Destination::Unresolved, _) => None,
            // Whose address it is, only the endpoint's groups tell; without them a rule for a group
            // may be for it.
            (Destination::Address(_), None)
                if self.is_inside() && !self.goes_by_address(patient)? =>
            {
                None
            }
            (Destination::Address(address), endpoint) => Some(Peer {
                groups: groups_of(endpoint),
                addresses: vec![address],
                ..Peer::default()
            }),
            (Destination::Unknown, Some(endpoint)) => {
                reach::subnet_blocks(patient, &endpoint.subnet_ids)?.map(|blocks| Peer {
                    groups: endpoint.groups.clone(),
                    blocks,
                    ..Peer::default()
                })
            }
            (Destination::Unknown, None) if self.may_have_endpoint(patient)? => None,
            (Destination::Unknown, None) => {
                Some(Peer { blocks: vec![Cidr::WORLD], ..Peer::default() })
            }
        })
    }

    /// Whether a connection to somebody else than AWS is judged by its address alone: no rule of
    /// the tasks' groups for its port names a group or a list, of which the other side may be.
    fn goes_by_address(&self, patient: &Patient<'a>) -> Result<bool, Blind> {
        if self.asks_aws() {
            return Ok(false);
        }
        let Some(groups) = reach::security_groups(patient, &self.task_groups(patient)?)? else {
            return Ok(false);
        };
        let mut rules = groups.iter().flat_map(|group| &group.ip_permissions_egress);
        Ok(rules.all(|rule| rule.group_id.is_empty() && rule.prefix_list_id.is_empty()))
    }

    /// The tasks' security groups, if they allow no outbound traffic to where it goes.
    pub fn kept_in(&self, patient: &Patient<'a>) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
        let own = self.task_groups(patient)?;
        let Some(port) = self.port().filter(|_| !own.is_empty()) else { return Ok(None) };
        let (Some(peer), Some(groups)) =
            (self.peer(patient)?, reach::security_groups(patient, &own)?)
        else {
            return Ok(None);
        };
        Ok((reach::lets_out(patient, &groups, port, &peer)? == Admission::No).then_some(groups))
    }

    /// The network ACL that drops it at the border of the tasks' subnet, or of the subnet of its
    /// NAT gateway.
    pub fn dropped(&self, patient: &Patient<'a>) -> Result<Option<Dropped<'a>>, Blind> {
        let subnet = self.stranded.subnet;
        let peer = match self.peer(patient)? {
            Some(Peer { addresses, .. }) if !addresses.is_empty() => Cidr::from(addresses[0]),
            Some(Peer { blocks, .. }) if blocks == [Cidr::WORLD] => Cidr::WORLD,
            // Which of several subnets of an endpoint it was is not known.
            _ => return Ok(None),
        };
        let Some(own) = reach::subnet_block(patient, subnet)? else { return Ok(None) };
        if own.covers(&peer) {
            return Ok(None);
        }
        let port = match &self.stranded.dialled {
            Some(_) => self.port(),
            None => self.port().or(Some(443)),
        };
        let Some(port) = port else { return Ok(None) };
        let crossing = |subnet, egress, peer, ports| Crossing { subnet, egress, peer, ports };
        let mut hops = vec![
            crossing(subnet, true, peer, port..=port),
            crossing(subnet, false, peer, network_acl::OF_LINUX),
        ];
        if !self.is_inside()
            && let Some(exit) = route::out(patient, subnet, self.stranded.address())?
            && let NextHop::Nat(route) = exit.next_hop
            && let Some(gateway) =
                self.nat(patient, route)?.and_then(|gateway| gateway.subnet_id.as_deref())
        {
            hops.push(crossing(gateway, false, own, port..=port));
            hops.push(crossing(gateway, true, peer, port..=port));
            hops.push(crossing(gateway, false, peer, network_acl::OF_BALANCERS));
            hops.push(crossing(gateway, true, own, network_acl::OF_LINUX));
        }
        network_acl::dropped(patient, self.vpc, hops)
    }

    /// `to 52.94.53.1, which did not answer`, or where it was meant to go.
    pub fn destination(&self) -> String {
        if let Some(dialled) = &self.stranded.dialled {
            return format!("to {}, which the app calls", dialled.dial.to());
        }
        match (self.stranded.address(), self.need) {
            (Some(address), _) => format!("to {address}, which did not answer"),
            (None, Some(need)) => format!("to {}", need.words()),
            (None, None) => "to the internet".to_owned(),
        }
    }
}

impl Need {
    /// By its usual name.
    pub fn words(self) -> &'static str {
        match self {
            Need::EcrApi => "ECR",
            Need::EcrDkr => "ECR's registry",
            Need::S3 => "S3",
            Need::Logs => "CloudWatch Logs",
            Need::SecretsManager => "Secrets Manager",
            Need::Ssm => "Parameter Store",
        }
    }
}

/// Evidence that an endpoint is as it is.
pub fn of_endpoint(endpoint: &Endpoint, field: &'static str, value: impl ToString) -> Evidence {
    Evidence::new(Call::DescribeVpcEndpoints, &endpoint.vpc_endpoint_id, field, value)
}

// What shows that something cannot be reached, so that the collector asks what surrounds the tasks:
// a little more than the checks take for proved, so that they never miss what was not asked.

/// Whether a text speaks of something that did not answer, or of an endpoint that refused.
fn tells(text: &str) -> bool {
    let is_of_network = |reason: stop_reason::Reason| {
        matches!(
            reason.trouble,
            Trouble::RegistryUnreachable
                | Trouble::SecretStoreUnreachable
                | Trouble::LogsUnreachable
                | Trouble::LogDestinationUnreachable
        ) || reason.fault == Some(Fault::Network)
    };
    stop_reason::read(text).is_some_and(is_of_network)
        || is_of_endpoint(text)
        || text.contains("Request timed out")
}

/// Whether an endpoint refused: by its policy, or S3 for the layers that ECR keeps there, which
/// asks for no role.
pub fn is_of_endpoint(text: &str) -> bool {
    text.contains("VPC endpoint policy")
        || (text.contains("starport-layer-bucket") && text.contains("403"))
}

pub fn is_unreached_by_events(service: &Service) -> bool {
    service.events.iter().any(|event| tells(&event.message))
}

pub fn is_unreached(task: &Task) -> bool {
    task.stopped_reason
        .iter()
        .chain(task.containers.iter().filter_map(|container| container.reason.as_ref()))
        .any(|text| tells(text))
}

pub fn timed_out(target: &Target) -> bool {
    target.description.as_deref() == Some("Request timed out")
}

/// Paths that end at the same thing, reported as one: of several subnets, versions apart.
pub fn together<'j, 'a, S>(
    stops: Vec<(&'j EgressPath<'a>, String, S)>,
) -> Vec<(Vec<&'j EgressPath<'a>>, S)> {
    let mut together: Vec<(String, Vec<&EgressPath>, S)> = Vec::new();
    for (path, at, stop) in stops {
        let at = format!("{at} {}", path.stranded.told.task_definition);
        match together.iter_mut().find(|(known, ..)| *known == at) {
            Some((_, paths, _)) => paths.push(path),
            None => together.push((at, vec![path], stop)),
        }
    }
    together.into_iter().map(|(_, paths, stop)| (paths, stop)).collect()
}

/// `subnet subnet-0a1`, `subnets subnet-0a1 and subnet-0b2`.
pub fn subnet_words(paths: &[&EgressPath]) -> String {
    let subnets: BTreeSet<&str> = paths.iter().map(|path| path.stranded.subnet).collect();
    let noun = plural(subnets.len(), "subnet", "subnets");
    format!("{noun} {}", and_list(subnets))
}

/// A finding about paths that failed: the claim, how many tasks bear it out, and AWS's words as
/// evidence.
pub fn finding(patient: &Patient, about: Subject, paths: &[&EgressPath], claim: &str) -> Finding {
    let told = &paths[0].stranded.told;
    let said = match &paths[0].stranded.dialled {
        Some(dialled) => dialled.words(told.text),
        None => format!("{}.", told.count(patient.now())),
    };
    let finding = about
        .sick(claim, told.evidence.clone())
        .detail(said)
        .concerns_all(Kind::Subnet, paths.iter().map(|path| path.stranded.subnet))
        .concerns(Kind::TaskDefinition, told.task_definition);
    paths.iter().fold(finding, |finding, path| match &path.stranded.dialled {
        Some(dialled) => finding.concerns_all(Kind::TargetGroup, dialled.target_groups()),
        // What keeps a task from starting is no reason for what others answer.
        None => finding.concerns_no(Kind::TargetGroup),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::check::Findings;
    use crate::exam::examine;
    use crate::facts::network::captured;
    use crate::patient::Intent;
    use crate::seen::Seen;
    use crate::snapshot::Snapshot;

    /// Whether the collector would have asked what surrounds the tasks.
    fn is_asked(snapshot: &Snapshot) -> bool {
        let service = &snapshot.services[0];
        let intent = Intent::default();
        let patient = Patient::new(snapshot, service, &intent);
        let timed_out = |group: &String| patient.targets(group).unwrap().iter().any(timed_out);
        is_unreached_by_events(service)
            || patient.stopped_tasks().unwrap().iter().any(is_unreached)
            || dialled::is_unreached(&patient)
            || captured::is_suspected(&patient)
            || snapshot.target_health.0.keys().any(timed_out)
    }

    /// Whether network ACLs are asked for on account of IPv6.
    fn is_dual_stack(snapshot: &Snapshot) -> bool {
        snapshot.load_balancers.0.values().any(|balancer| {
            matches!(balancer, Seen::Yes(Some(balancer)) if network_acl::matter_to(balancer))
        })
    }

    #[test]
    fn what_checks_read_of_the_surroundings_is_asked_for() {
        let surroundings = [
            Call::DescribeNetworkAcls,
            Call::DescribeVpcEndpoints,
            Call::DescribeNatGateways,
            Call::DescribeVpcAttribute,
        ];
        let intent = Intent::default();
        let mut found = 0;
        for example in catalog::checks() {
            let snapshot = (example.example)();
            // Those of `peers` ask for one NAT gateway by its id.
            let by_vpc = catalog::checks().filter(|check| check.group() != "peers");
            for check in
                by_vpc.filter(|check| check.reads.iter().any(|call| surroundings.contains(call)))
            {
                let read =
                    examine(check, &Patient::new(&snapshot, &snapshot.services[0], &intent)).read;
                let of_vpc: Vec<Call> =
                    read.into_iter().filter(|call| surroundings.contains(call)).collect();
                if !of_vpc.is_empty() {
                    let for_ipv6 =
                        of_vpc == [Call::DescribeNetworkAcls] && is_dual_stack(&snapshot);
                    assert!(
                        is_asked(&snapshot) || for_ipv6,
                        "{check:?} reads it in the example of {example:?}"
                    );
                    found += 1;
                }
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn nothing_is_asked_for_a_healthy_service() {
        for (name, make) in crate::baseline::ALL {
            assert!(!is_asked(&make()), "{name}");
        }
    }

    #[test]
    fn a_reason_tells_what_is_needed() {
        let need = |text: &str| {
            let mut snapshot = crate::baseline::worker();
            crate::baseline::fail_to_start(&mut snapshot, 2, text);
            let intent = Intent::default();
            failed(
                &Patient::new(&snapshot, &snapshot.services[0], &intent),
                &mut Findings::default(),
            )
            .first()
            .and_then(|path| path.need)
        };
        let auth = "ResourceInitializationError: unable to pull secrets or registry auth: ";
        assert_eq!(
            need(&format!(
                "{auth}Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 1.2.3.4:443: i/o timeout"
            )),
            Some(Need::EcrApi)
        );
        assert_eq!(
            need(&format!("{auth}unable to retrieve secret from asm: context deadline exceeded")),
            Some(Need::SecretsManager)
        );
        assert_eq!(
            need(&format!("{auth}unable to retrieve secrets from ssm: context deadline exceeded")),
            Some(Need::Ssm)
        );
        assert_eq!(
            need(&format!("{auth}pull command failed: : signal: killed")),
            None,
            "one of several"
        );
        assert_eq!(
            need(
                "CannotPullContainerError: Head \"https://registry-1.docker.io/v2/\": context deadline exceeded"
            ),
            None,
            "no endpoint is for it"
        );
        assert_eq!(
            need(
                "CannotPullContainerError: failed to copy: httpReaderSeeker: failed open: failed to do request"
            ),
            Some(Need::S3)
        );
        assert_eq!(
            need("ResourceInitializationError: failed to validate logger args: signal: killed"),
            Some(Need::Logs)
        );
    }
}
