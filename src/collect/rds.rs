//! What RDS tells of the databases that variables name: their state, and the security groups and
//! subnets they have. Names of databases and users stay where they are.

use aws_sdk_rds::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{DbCluster, DbInstance, DbProxy, DbProxyTarget};

use super::{Aws, text};

impl Aws {
    pub async fn db_instance(&self, identifier: &str) -> Seen<Option<DbInstance>> {
        let request = self.rds.describe_db_instances().db_instance_identifier(identifier).send();
        let reply = self.asker.ask(Call::DescribeDBInstances, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.db_instances?.into_iter().next()).map(db_instance)
        })
    }

    pub async fn db_cluster(&self, identifier: &str) -> Seen<Option<DbCluster>> {
        let request = self.rds.describe_db_clusters().db_cluster_identifier(identifier).send();
        let reply = self.asker.ask(Call::DescribeDBClusters, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.db_clusters?.into_iter().next()).map(db_cluster)
        })
    }

    pub async fn db_proxy(&self, name: &str) -> Seen<Option<DbProxy>> {
        let request = self.rds.describe_db_proxies().db_proxy_name(name).send();
        let reply = self.asker.ask(Call::DescribeDBProxies, request).await;
        reply
            .map(|reply| reply.and_then(|reply| reply.db_proxies?.into_iter().next()).map(db_proxy))
    }

    pub async fn db_proxy_targets(&self, proxy: &str) -> Seen<Option<Vec<DbProxyTarget>>> {
        let request = self.rds.describe_db_proxy_targets().db_proxy_name(proxy).send();
        let reply = self.asker.ask(Call::DescribeDBProxyTargets, request).await;
        reply.map(|reply| {
            reply.map(|reply| {
                reply.targets.unwrap_or_default().into_iter().map(db_proxy_target).collect()
            })
        })
    }
}

fn groups(from: Option<Vec<types::VpcSecurityGroupMembership>>) -> Vec<String> {
    from.unwrap_or_default().into_iter().filter_map(|group| group.vpc_security_group_id).collect()
}

fn db_instance(from: types::DbInstance) -> DbInstance {
    let subnets = from.db_subnet_group.and_then(|group| group.subnets).unwrap_or_default();
    let endpoint = from.endpoint;
    DbInstance {
        db_instance_identifier: from.db_instance_identifier.unwrap_or_default(),
        db_instance_status: from.db_instance_status,
        engine: from.engine,
        // Members of a cluster have the port in the endpoint only.
        port: endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.port)
            .or(from.db_instance_port.filter(|port| *port != 0)),
        address: endpoint.and_then(|endpoint| endpoint.address),
        allocated_storage: from.allocated_storage,
        publicly_accessible: from.publicly_accessible.unwrap_or_default(),
        vpc_security_group_id: groups(from.vpc_security_groups),
        subnet_identifier: subnets
            .into_iter()
            .filter_map(|subnet| subnet.subnet_identifier)
            .collect(),
    }
}

fn db_cluster(from: types::DbCluster) -> DbCluster {
    let members = from.db_cluster_members.unwrap_or_default();
    DbCluster {
        db_cluster_identifier: from.db_cluster_identifier.unwrap_or_default(),
        status: from.status,
        engine: from.engine,
        port: from.port,
        vpc_security_group_id: groups(from.vpc_security_groups),
        db_cluster_members: members
            .into_iter()
            .filter_map(|member| member.db_instance_identifier)
            .collect(),
    }
}

fn db_proxy(from: types::DbProxy) -> DbProxy {
    DbProxy {
        db_proxy_name: from.db_proxy_name.unwrap_or_default(),
        status: text(from.status),
        engine_family: from.engine_family,
        vpc_security_group_ids: from.vpc_security_group_ids.unwrap_or_default(),
        vpc_subnet_ids: from.vpc_subnet_ids.unwrap_or_default(),
    }
}

fn db_proxy_target(from: types::DbProxyTarget) -> DbProxyTarget {
    let (state, reason, description) = from.target_health.map_or((None, None, None), |health| {
        (text(health.state), text(health.reason), health.description)
    });
    DbProxyTarget { rds_resource_id: from.rds_resource_id, state, reason, description }
}
