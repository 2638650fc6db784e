//! What ElastiCache tells of the caches to which connections fail: their state, and the security
//! groups and subnets they have.

use aws_sdk_elasticache::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{CacheCluster, ReplicationGroup, ServerlessCache};

use super::Aws;

impl Aws {
    pub async fn replication_group(&self, id: &str) -> Seen<Option<ReplicationGroup>> {
        let request =
            self.elasticache.describe_replication_groups().replication_group_id(id).send();
        let reply = self.asker.ask(Call::DescribeReplicationGroups, request).await;
        reply.map(|reply| {
            reply
                .and_then(|reply| reply.replication_groups?.into_iter().next())
                .map(replication_group)
        })
    }

    pub async fn cache_cluster(&self, id: &str) -> Seen<Option<CacheCluster>> {
        let request = self
            .elasticache
            .describe_cache_clusters()
            .cache_cluster_id(id)
            .show_cache_node_info(true)
            .send();
        let reply = self.asker.ask(Call::DescribeCacheClusters, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.cache_clusters?.into_iter().next()).map(cache_cluster)
        })
    }

    pub async fn serverless_cache(&self, name: &str) -> Seen<Option<ServerlessCache>> {
        let request =
            self.elasticache.describe_serverless_caches().serverless_cache_name(name).send();
        let reply = self.asker.ask(Call::DescribeServerlessCaches, request).await;
        reply.map(|reply| {
            reply
                .and_then(|reply| reply.serverless_caches?.into_iter().next())
                .map(serverless_cache)
        })
    }
}

fn port(endpoint: Option<types::Endpoint>) -> Option<i32> {
    endpoint.and_then(|endpoint| endpoint.port)
}

fn replication_group(from: types::ReplicationGroup) -> ReplicationGroup {
    let primary = from.node_groups.unwrap_or_default().into_iter().next();
    ReplicationGroup {
        replication_group_id: from.replication_group_id.unwrap_or_default(),
        status: from.status,
        // With cluster mode there is one endpoint for all shards, and else one for each.
        port: port(from.configuration_endpoint)
            .or(port(primary.and_then(|group| group.primary_endpoint))),
        member_clusters: from.member_clusters.unwrap_or_default(),
    }
}

fn cache_cluster(from: types::CacheCluster) -> CacheCluster {
    let node = from.cache_nodes.unwrap_or_default().into_iter().next();
    CacheCluster {
        cache_cluster_id: from.cache_cluster_id.unwrap_or_default(),
        cache_cluster_status: from.cache_cluster_status,
        port: port(from.configuration_endpoint).or(port(node.and_then(|node| node.endpoint))),
        security_group_id: from
            .security_groups
            .unwrap_or_default()
            .into_iter()
            .filter_map(|group| group.security_group_id)
            .collect(),
    }
}

fn serverless_cache(from: types::ServerlessCache) -> ServerlessCache {
    ServerlessCache {
        serverless_cache_name: from.serverless_cache_name.unwrap_or_default(),
        status: from.status,
        port: port(from.endpoint),
        security_group_ids: from.security_group_ids.unwrap_or_default(),
        subnet_ids: from.subnet_ids.unwrap_or_default(),
    }
}
