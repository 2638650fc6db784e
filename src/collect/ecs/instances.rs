//! What ECS tells of the instances of a cluster, and of the capacity providers that bring them.

use std::collections::BTreeMap;

use aws_sdk_ecs::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::capacity::{
    Attribute, ManagedScaling, PlacementConstraint, PlacementStrategy, Resources,
};
use checks::snapshot::{CapacityProvider, Cluster, ContainerInstance, Table};
use futures::future::join_all;

use super::behind;
use crate::collect::{Aws, fill, text, time};

/// How many container instances one call takes.
const INSTANCES: usize = 100;

impl Aws {
    /// Every container instance of a cluster, whatever its status.
    pub async fn container_instances(&self, cluster: &str) -> Seen<Option<Vec<ContainerInstance>>> {
        let pages = self.asker.pages(Call::ListContainerInstances, |token| async {
            let page = self
                .ecs
                .list_container_instances()
                .cluster(cluster)
                .max_results(100)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.container_instance_arns.unwrap_or_default(), page.next_token))
        });
        let arns = match pages.await {
            Seen::Yes(arns) => arns.unwrap_or_default(),
            Seen::No(why) => return behind(Call::ListContainerInstances, &why),
        };
        let batches = arns.chunks(INSTANCES).map(|arns| {
            let request = self
                .ecs
                .describe_container_instances()
                .cluster(cluster)
                .set_container_instances(Some(arns.to_vec()));
            let request = request.include(types::ContainerInstanceField::ContainerInstanceHealth);
            self.asker.ask(Call::DescribeContainerInstances, request.send())
        });
        let mut instances = Vec::new();
        for batch in join_all(batches).await {
            match batch {
                Seen::Yes(reply) => instances.extend(
                    reply
                        .and_then(|reply| reply.container_instances)
                        .unwrap_or_default()
                        .into_iter()
                        .map(instance),
                ),
                Seen::No(why) => return Seen::No(why),
            }
        }
        instances.sort_by(|a, b| a.container_instance_arn.cmp(&b.container_instance_arn));
        Seen::Yes(Some(instances))
    }

    pub async fn cluster(&self, arn: &str) -> Seen<Option<Cluster>> {
        let request = self.ecs.describe_clusters().clusters(arn).send();
        self.asker.ask(Call::DescribeClusters, request).await.map(|reply| {
            let cluster = reply?.clusters.unwrap_or_default().into_iter().next()?;
            Some(Cluster {
                cluster_arn: cluster.cluster_arn.unwrap_or_default(),
                status: cluster.status,
                capacity_providers: cluster.capacity_providers.unwrap_or_default(),
            })
        })
    }

    /// Capacity providers by name. Some belong to a cluster, and are told of only where it is
    /// named.
    pub async fn capacity_providers(
        &self,
        cluster: &str,
        names: &[String],
    ) -> Table<CapacityProvider> {
        let mut table = Table::default();
        let request = self
            .ecs
            .describe_capacity_providers()
            .cluster(cluster)
            .set_capacity_providers(Some(names.to_vec()))
            .send();
        let reply = self.asker.ask(Call::DescribeCapacityProviders, request).await;
        let found = reply.map(|reply| {
            reply
                .and_then(|reply| reply.capacity_providers)
                .unwrap_or_default()
                .into_iter()
                .map(provider)
                .collect()
        });
        fill(&mut table, names, found, |provider| &provider.name);
        table
    }
}

fn instance(from: types::ContainerInstance) -> ContainerInstance {
    let attributes = from.attributes.unwrap_or_default().into_iter();
    ContainerInstance {
        container_instance_arn: from.container_instance_arn.unwrap_or_default(),
        ec2_instance_id: from.ec2_instance_id,
        capacity_provider_name: from.capacity_provider_name,
        status: from.status.unwrap_or_default(),
        status_reason: from.status_reason,
        agent_connected: from.agent_connected,
        agent_version: from.version_info.and_then(|version| version.agent_version),
        overall_status: from.health_status.and_then(|health| text(health.overall_status)),
        running_tasks_count: from.running_tasks_count,
        pending_tasks_count: from.pending_tasks_count,
        registered_at: time(from.registered_at),
        registered_resources: resources(from.registered_resources.unwrap_or_default()),
        remaining_resources: resources(from.remaining_resources.unwrap_or_default()),
        attributes: attributes
            .map(|attribute| (attribute.name, attribute.value.unwrap_or_default()))
            .collect(),
    }
}

fn resources(from: Vec<types::Resource>) -> Resources {
    let named: BTreeMap<String, types::Resource> =
        from.into_iter().filter_map(|resource| Some((resource.name.clone()?, resource))).collect();
    let number = |name: &str| named.get(name).map(|resource| resource.integer_value);
    let set = |name: &str| {
        named.get(name).and_then(|resource| resource.string_set_value.clone()).unwrap_or_default()
    };
    Resources {
        cpu: number("CPU"),
        memory: number("MEMORY"),
        ports: set("PORTS"),
        ports_udp: set("PORTS_UDP"),
        gpu: set("GPU"),
    }
}

fn provider(from: types::CapacityProvider) -> CapacityProvider {
    let (group, scaling) = from
        .auto_scaling_group_provider
        .map(|group| (group.auto_scaling_group_arn, group.managed_scaling))
        .unzip();
    CapacityProvider {
        name: from.name.unwrap_or_default(),
        status: text(from.status),
        update_status: text(from.update_status),
        update_status_reason: from.update_status_reason,
        auto_scaling_group_arn: group,
        managed_scaling: scaling.flatten().map(|scaling| ManagedScaling {
            status: text(scaling.status),
            target_capacity: scaling.target_capacity,
        }),
    }
}

pub fn attribute(from: types::Attribute) -> Attribute {
    Attribute { name: from.name, value: from.value }
}

pub fn constraint(from: types::PlacementConstraint) -> PlacementConstraint {
    PlacementConstraint { kind: text(from.r#type).unwrap_or_default(), expression: from.expression }
}

pub fn constraint_of_definition(
    from: types::TaskDefinitionPlacementConstraint,
) -> PlacementConstraint {
    PlacementConstraint { kind: text(from.r#type).unwrap_or_default(), expression: from.expression }
}

pub fn strategy(from: types::PlacementStrategy) -> PlacementStrategy {
    PlacementStrategy { kind: text(from.r#type).unwrap_or_default(), field: from.field }
}
