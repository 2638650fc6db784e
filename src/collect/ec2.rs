//! What EC2 tells of the network. All of it is asked by filter, so that one id that is gone hides
//! no other, and so that no call is the unfiltered kind that EC2 throttles first.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws_sdk_ec2::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{
    Interface, IpPermission, LoadBalancer, NatAddresses, Route, RouteTable, SecurityGroup, Subnet,
    Table,
};

use super::{Aws, fill, text};

/// How many ids one filter takes.
pub(super) const IDS: usize = 200;

pub(super) fn filter(name: &str, values: &[String]) -> types::Filter {
    types::Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

impl Aws {
    pub async fn security_groups(&self, ids: Vec<String>) -> Table<SecurityGroup> {
        let mut table = Table::default();
        for batch in ids.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeSecurityGroups, |token| async {
                let request =
                    self.ec2.describe_security_groups().filters(filter("group-id", batch));
                let page = request.set_next_token(token).send().await?;
                Ok((page.security_groups.unwrap_or_default(), page.next_token))
            });
            let found = pages
                .await
                .map(|found| found.unwrap_or_default().into_iter().map(security_group).collect());
            fill(&mut table, batch, found, |group| &group.group_id);
        }
        table
    }

    pub async fn subnets(&self, ids: Vec<String>) -> Table<Subnet> {
        let mut table = Table::default();
        for batch in ids.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeSubnets, |token| async {
                let page = self
                    .ec2
                    .describe_subnets()
                    .filters(filter("subnet-id", batch))
                    .set_next_token(token)
                    .send()
                    .await?;
                Ok((page.subnets.unwrap_or_default(), page.next_token))
            });
            let found = pages
                .await
                .map(|found| found.unwrap_or_default().into_iter().map(subnet).collect());
            fill(&mut table, batch, found, |subnet| &subnet.subnet_id);
        }
        table
    }

    pub async fn interfaces(&self, ids: Vec<String>) -> Table<Interface> {
        let mut table = Table::default();
        for batch in ids.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeNetworkInterfaces, |token| async {
                let request = self
                    .ec2
                    .describe_network_interfaces()
                    .filters(filter("network-interface-id", batch));
                let page = request.set_next_token(token).send().await?;
                Ok((page.network_interfaces.unwrap_or_default(), page.next_token))
            });
            let found = pages
                .await
                .map(|found| found.unwrap_or_default().into_iter().map(interface).collect());
            fill(&mut table, batch, found, |interface| &interface.network_interface_id);
        }
        table
    }

    /// Every address of a load balancer's network interfaces. Nothing but their description ties
    /// them to the load balancer: `ELB app/<name>/<id>`,
    /// <https://repost.aws/knowledge-center/elb-find-load-balancer-ip>. The VPC is for EC2, which
    /// may refuse to search many interfaces by description alone.
    pub async fn balancer_addresses(
        &self,
        balancer: &LoadBalancer,
    ) -> Seen<Option<BTreeSet<IpAddr>>> {
        let id = balancer.load_balancer_arn.split_once(":loadbalancer/").map_or("", |(_, id)| id);
        let mut filters = vec![filter("description", &[format!("ELB {id}")])];
        filters
            .extend(balancer.vpc_id.iter().map(|vpc| filter("vpc-id", std::slice::from_ref(vpc))));
        let pages = self.asker.pages(Call::DescribeNetworkInterfaces, |token| async {
            let request = self.ec2.describe_network_interfaces().set_filters(Some(filters.clone()));
            let page = request.set_next_token(token).send().await?;
            Ok((page.network_interfaces.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().flat_map(addresses).collect()))
    }

    /// The primary interfaces of instances, by the instances' ids.
    pub async fn instance_interfaces(&self, instances: &[String]) -> Table<Interface> {
        let mut table = Table::default();
        for batch in instances.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeNetworkInterfaces, |token| async {
                let request = self
                    .ec2
                    .describe_network_interfaces()
                    .filters(filter("attachment.instance-id", batch));
                let page = request
                    .filters(filter("attachment.device-index", &["0".to_owned()]))
                    .set_next_token(token)
                    .send()
                    .await?;
                Ok((page.network_interfaces.unwrap_or_default(), page.next_token))
            });
            match pages.await {
                Seen::Yes(found) => {
                    batch.iter().for_each(|id| table.insert(id, Seen::Yes(None)));
                    for one in found.unwrap_or_default() {
                        // Each network card of a large instance has a first interface; the
                        // instance's own is on the first card.
                        let attachment = one.attachment.as_ref().filter(|attachment| {
                            attachment.network_card_index.is_none_or(|card| card == 0)
                        });
                        if let Some(id) =
                            attachment.and_then(|attachment| attachment.instance_id.clone())
                        {
                            table.put(id, interface(one));
                        }
                    }
                }
                Seen::No(why) => {
                    batch.iter().for_each(|id| table.insert(id, Seen::No(why.clone())))
                }
            }
        }
        table
    }

    /// The public addresses that a NAT gateway lends.
    pub async fn nat_addresses(&self, gateway: &str) -> Seen<Option<NatAddresses>> {
        let request = self
            .ec2
            .describe_nat_gateways()
            .filter(filter("nat-gateway-id", &[gateway.to_owned()]))
            .send();
        self.asker.ask(Call::DescribeNatGateways, request).await.map(|reply| {
            let found = reply?.nat_gateways?.into_iter().next()?;
            let addresses = found.nat_gateway_addresses.unwrap_or_default();
            Some(NatAddresses {
                nat_gateway_id: found.nat_gateway_id.unwrap_or_default(),
                public_ip: addresses.into_iter().filter_map(|address| address.public_ip).collect(),
            })
        })
    }

    pub async fn route_tables(&self, vpc: &str) -> Seen<Option<Vec<RouteTable>>> {
        let pages = self.asker.pages(Call::DescribeRouteTables, |token| async {
            let request =
                self.ec2.describe_route_tables().filters(filter("vpc-id", &[vpc.to_owned()]));
            let page = request.set_next_token(token).send().await?;
            Ok((page.route_tables.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().map(route_table).collect()))
    }
}

fn security_group(from: types::SecurityGroup) -> SecurityGroup {
    let tags = from.tags.unwrap_or_default();
    SecurityGroup {
        group_id: from.group_id.unwrap_or_default(),
        group_name: from.group_name.unwrap_or_default(),
        vpc_id: from.vpc_id,
        ecs_managed: tags.iter().any(|tag| {
            tag.key.as_deref() == Some("AmazonECSManaged") && tag.value.as_deref() == Some("true")
        }),
        ip_permissions: from
            .ip_permissions
            .unwrap_or_default()
            .into_iter()
            .map(permission)
            .collect(),
        ip_permissions_egress: from
            .ip_permissions_egress
            .unwrap_or_default()
            .into_iter()
            .map(permission)
            .collect(),
    }
}

fn permission(from: types::IpPermission) -> IpPermission {
    IpPermission {
        ip_protocol: from.ip_protocol.unwrap_or_default(),
        from_port: from.from_port,
        to_port: from.to_port,
        cidr_ip: from
            .ip_ranges
            .unwrap_or_default()
            .into_iter()
            .filter_map(|range| range.cidr_ip)
            .collect(),
        cidr_ipv6: from
            .ipv6_ranges
            .unwrap_or_default()
            .into_iter()
            .filter_map(|range| range.cidr_ipv6)
            .collect(),
        group_id: from
            .user_id_group_pairs
            .unwrap_or_default()
            .into_iter()
            .filter_map(|pair| pair.group_id)
            .collect(),
        prefix_list_id: from
            .prefix_list_ids
            .unwrap_or_default()
            .into_iter()
            .filter_map(|list| list.prefix_list_id)
            .collect(),
    }
}

fn subnet(from: types::Subnet) -> Subnet {
    Subnet {
        subnet_id: from.subnet_id.unwrap_or_default(),
        vpc_id: from.vpc_id,
        availability_zone: from.availability_zone,
        cidr_block: from.cidr_block,
        ipv6_cidr_block: from
            .ipv6_cidr_block_association_set
            .unwrap_or_default()
            .into_iter()
            .filter_map(|block| block.ipv6_cidr_block)
            .collect(),
        available_ip_address_count: from.available_ip_address_count,
        map_public_ip_on_launch: from.map_public_ip_on_launch,
    }
}

fn interface(from: types::NetworkInterface) -> Interface {
    Interface {
        network_interface_id: from.network_interface_id.unwrap_or_default(),
        private_ip_address: from.private_ip_address,
        public_ip: from.association.and_then(|association| association.public_ip),
        ipv6_address: from
            .ipv6_addresses
            .unwrap_or_default()
            .into_iter()
            .filter_map(|address| address.ipv6_address)
            .collect(),
        groups: from
            .groups
            .unwrap_or_default()
            .into_iter()
            .filter_map(|group| group.group_id)
            .collect(),
        subnet_id: from.subnet_id,
        status: text(from.status),
    }
}

/// Public, private and IPv6, the first of each family and all further ones.
fn addresses(from: types::NetworkInterface) -> impl Iterator<Item = IpAddr> {
    let further = from.private_ip_addresses.unwrap_or_default().into_iter();
    let further = further.flat_map(|address| {
        [
            address.private_ip_address,
            address.association.and_then(|association| association.public_ip),
        ]
    });
    let first =
        [from.private_ip_address, from.association.and_then(|association| association.public_ip)];
    let v6 =
        from.ipv6_addresses.unwrap_or_default().into_iter().map(|address| address.ipv6_address);
    first.into_iter().chain(further).chain(v6).flatten().filter_map(|text| text.parse().ok())
}

fn route_table(from: types::RouteTable) -> RouteTable {
    let associations = from.associations.unwrap_or_default();
    RouteTable {
        route_table_id: from.route_table_id.unwrap_or_default(),
        main: associations.iter().any(|association| association.main == Some(true)),
        subnet_ids: associations
            .into_iter()
            .filter_map(|association| association.subnet_id)
            .collect(),
        routes: from.routes.unwrap_or_default().into_iter().map(route).collect(),
    }
}

fn route(from: types::Route) -> Route {
    let destination = from
        .destination_cidr_block
        .or(from.destination_ipv6_cidr_block)
        .or(from.destination_prefix_list_id);
    let target = from
        .gateway_id
        .or(from.nat_gateway_id)
        .or(from.transit_gateway_id)
        .or(from.network_interface_id)
        .or(from.vpc_peering_connection_id)
        .or(from.egress_only_internet_gateway_id)
        .or(from.instance_id)
        .or(from.local_gateway_id)
        .or(from.carrier_gateway_id)
        .or(from.core_network_arn);
    Route { destination: destination.unwrap_or_default(), target, state: text(from.state) }
}
