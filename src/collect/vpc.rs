//! What EC2 tells of a whole VPC: network ACLs, endpoints, NAT gateways, DNS; and what is in a
//! prefix list, and its name.

use aws_sdk_ec2::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{
    AclEntry, Endpoint, ManagedPrefixList, NatGateway, NetworkAcl, PeeredVpc, PeeringConnection,
    Table, TransitAttachment, VpcDns,
};
use futures::future::join;

use super::ec2::{IDS, filter};
use super::{Aws, fill, text};

impl Aws {
    pub async fn network_acls(&self, vpc: &str) -> Seen<Option<Vec<NetworkAcl>>> {
        let pages = self.asker.pages(Call::DescribeNetworkAcls, |token| async {
            let page = self
                .ec2
                .describe_network_acls()
                .filters(filter("vpc-id", &[vpc.to_owned()]))
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.network_acls.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().map(network_acl).collect()))
    }

    pub async fn endpoints(&self, vpc: &str) -> Seen<Option<Vec<Endpoint>>> {
        let pages = self.asker.pages(Call::DescribeVpcEndpoints, |token| async {
            let page = self
                .ec2
                .describe_vpc_endpoints()
                .filters(filter("vpc-id", &[vpc.to_owned()]))
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.vpc_endpoints.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().map(endpoint).collect()))
    }

    pub async fn nat_gateways(&self, vpc: &str) -> Seen<Option<Vec<NatGateway>>> {
        let pages = self.asker.pages(Call::DescribeNatGateways, |token| async {
            let page = self
                .ec2
                .describe_nat_gateways()
                .filter(filter("vpc-id", &[vpc.to_owned()]))
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.nat_gateways.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().map(nat_gateway).collect()))
    }

    /// EC2 tells one attribute at a time.
    pub async fn vpc_dns(&self, vpc: &str) -> Seen<Option<VpcDns>> {
        let ask = |attribute| {
            self.asker.ask(
                Call::DescribeVpcAttribute,
                self.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(attribute).send(),
            )
        };
        let (support, hostnames) = join(
            ask(types::VpcAttributeName::EnableDnsSupport),
            ask(types::VpcAttributeName::EnableDnsHostnames),
        )
        .await;
        let is_on = |value: Option<types::AttributeBooleanValue>| {
            value.and_then(|value| value.value) == Some(true)
        };
        match (support, hostnames) {
            (Seen::Yes(Some(support)), Seen::Yes(Some(hostnames))) => Seen::Yes(Some(VpcDns {
                vpc_id: vpc.to_owned(),
                enable_dns_support: is_on(support.enable_dns_support),
                enable_dns_hostnames: is_on(hostnames.enable_dns_hostnames),
            })),
            (Seen::No(why), _) | (_, Seen::No(why)) => Seen::No(why),
            _ => Seen::Yes(None),
        }
    }

    pub async fn peering_connections(&self, ids: Vec<String>) -> Table<PeeringConnection> {
        let mut table = Table::default();
        for batch in ids.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeVpcPeeringConnections, |token| async {
                let request = self
                    .ec2
                    .describe_vpc_peering_connections()
                    .filters(filter("vpc-peering-connection-id", batch));
                let page = request.set_next_token(token).send().await?;
                Ok((page.vpc_peering_connections.unwrap_or_default(), page.next_token))
            });
            let found = pages.await.map(|found| {
                found.unwrap_or_default().into_iter().map(peering_connection).collect()
            });
            fill(&mut table, batch, found, |connection| &connection.vpc_peering_connection_id);
        }
        table
    }

    /// The VPCs of the account that are attached to a transit gateway, and those of others if the
    /// gateway is the account's.
    pub async fn transit_attachments(&self, gateway: &str) -> Seen<Option<Vec<TransitAttachment>>> {
        let pages = self.asker.pages(Call::DescribeTransitGatewayVpcAttachments, |token| async {
            let page = self
                .ec2
                .describe_transit_gateway_vpc_attachments()
                .filters(filter("transit-gateway-id", &[gateway.to_owned()]))
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.transit_gateway_vpc_attachments.unwrap_or_default(), page.next_token))
        });
        pages
            .await
            .map(|found| found.map(|found| found.into_iter().map(transit_attachment).collect()))
    }

    pub async fn managed_prefix_lists(&self, ids: Vec<String>) -> Table<ManagedPrefixList> {
        let mut table = Table::default();
        for batch in ids.chunks(IDS) {
            let pages = self.asker.pages(Call::DescribeManagedPrefixLists, |token| async {
                let request = self
                    .ec2
                    .describe_managed_prefix_lists()
                    .filters(filter("prefix-list-id", batch));
                let page = request.set_next_token(token).send().await?;
                Ok((page.prefix_lists.unwrap_or_default(), page.next_token))
            });
            let found = pages.await.map(|found| {
                found.unwrap_or_default().into_iter().map(managed_prefix_list).collect()
            });
            fill(&mut table, batch, found, |list| &list.prefix_list_id);
        }
        table
    }

    pub async fn prefix_list(&self, id: &str) -> Seen<Option<Vec<String>>> {
        let pages = self.asker.pages(Call::GetManagedPrefixListEntries, |token| async {
            let page = self
                .ec2
                .get_managed_prefix_list_entries()
                .prefix_list_id(id)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.entries.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| {
            found.map(|found| found.into_iter().filter_map(|entry| entry.cidr).collect())
        })
    }
}

fn managed_prefix_list(from: types::ManagedPrefixList) -> ManagedPrefixList {
    ManagedPrefixList {
        prefix_list_id: from.prefix_list_id.unwrap_or_default(),
        prefix_list_name: from.prefix_list_name,
        owner_id: from.owner_id,
    }
}

fn network_acl(from: types::NetworkAcl) -> NetworkAcl {
    let mut entries: Vec<AclEntry> =
        from.entries.unwrap_or_default().into_iter().map(acl_entry).collect();
    entries.sort_by_key(|entry| (entry.egress, entry.rule_number));
    NetworkAcl {
        network_acl_id: from.network_acl_id.unwrap_or_default(),
        is_default: from.is_default == Some(true),
        subnet_id: from
            .associations
            .unwrap_or_default()
            .into_iter()
            .filter_map(|association| association.subnet_id)
            .collect(),
        entries,
    }
}

fn acl_entry(from: types::NetworkAclEntry) -> AclEntry {
    AclEntry {
        rule_number: from.rule_number.unwrap_or_default(),
        egress: from.egress == Some(true),
        protocol: from.protocol.unwrap_or_default(),
        rule_action: text(from.rule_action).unwrap_or_default(),
        cidr_block: from.cidr_block,
        ipv6_cidr_block: from.ipv6_cidr_block,
        from: from.port_range.as_ref().and_then(|range| range.from),
        to: from.port_range.as_ref().and_then(|range| range.to),
    }
}

fn endpoint(from: types::VpcEndpoint) -> Endpoint {
    Endpoint {
        vpc_endpoint_id: from.vpc_endpoint_id.unwrap_or_default(),
        vpc_endpoint_type: text(from.vpc_endpoint_type).unwrap_or_default(),
        service_name: from.service_name.unwrap_or_default(),
        state: text(from.state).unwrap_or_default(),
        private_dns_enabled: from.private_dns_enabled == Some(true),
        policy_document: from.policy_document,
        subnet_ids: from.subnet_ids.unwrap_or_default(),
        groups: from
            .groups
            .unwrap_or_default()
            .into_iter()
            .filter_map(|group| group.group_id)
            .collect(),
        route_table_ids: from.route_table_ids.unwrap_or_default(),
    }
}

fn peering_connection(from: types::VpcPeeringConnection) -> PeeringConnection {
    let side = |from: Option<types::VpcPeeringConnectionVpcInfo>| {
        from.map_or_else(PeeredVpc::default, |from| PeeredVpc {
            vpc_id: from.vpc_id.unwrap_or_default(),
            owner_id: from.owner_id.unwrap_or_default(),
            region: from.region.unwrap_or_default(),
        })
    };
    PeeringConnection {
        vpc_peering_connection_id: from.vpc_peering_connection_id.unwrap_or_default(),
        status_code: from.status.and_then(|status| text(status.code)).unwrap_or_default(),
        requester: side(from.requester_vpc_info),
        accepter: side(from.accepter_vpc_info),
    }
}

fn transit_attachment(from: types::TransitGatewayVpcAttachment) -> TransitAttachment {
    TransitAttachment {
        transit_gateway_attachment_id: from.transit_gateway_attachment_id.unwrap_or_default(),
        vpc_id: from.vpc_id.unwrap_or_default(),
        vpc_owner_id: from.vpc_owner_id.unwrap_or_default(),
        state: text(from.state).unwrap_or_default(),
    }
}

fn nat_gateway(from: types::NatGateway) -> NatGateway {
    NatGateway {
        nat_gateway_id: from.nat_gateway_id.unwrap_or_default(),
        state: text(from.state).unwrap_or_default(),
        subnet_id: from.subnet_id,
        connectivity_type: text(from.connectivity_type),
        failure_message: from.failure_message,
    }
}
