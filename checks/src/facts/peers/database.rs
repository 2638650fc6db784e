//! The RDS databases that variables name by their hosts, and the ElastiCache caches to which
//! connections fail: what each is, in what state, and whether the tasks can reach it. A host shows
//! identifier, kind and region, but not the account.

use std::collections::BTreeSet;

use crate::aws::host::{self, AwsHost, CacheEndpoint};
use crate::call::Call;
use crate::facts::peers::callee::{self, Named};
use crate::facts::tasks::connection_errors::{self, Failed};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::{
    CacheCluster, DbCluster, DbInstance, DbProxy, ReplicationGroup, ServerlessCache,
};

/// What answers at a host of RDS or ElastiCache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseKind {
    Instance,
    Cluster,
    Proxy,
    ReplicationGroup,
    CacheCluster,
    ServerlessCache,
}

/// A host of RDS or ElastiCache, taken apart:
/// `orders.cluster-ro-c9akciq32rgz.eu-west-2.rds.amazonaws.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host<'a> {
    pub kind: DatabaseKind,
    pub identifier: &'a str,
    /// ElastiCache abbreviates it.
    pub region: &'a str,
}

impl Host<'_> {
    /// Whether it is in this region.
    pub fn is_in(&self, region: &str) -> bool {
        match self.kind.is_cache() {
            true => host::abbreviates(self.region, region),
            false => self.region == region,
        }
    }
}

/// The database that a host names. An endpoint with a name of its own does not say whose it is, and
/// is none here.
pub fn host(host: &str) -> Option<Host<'_>> {
    let (identifier, account, region) = match host::of_aws(host)? {
        AwsHost::Rds { identifier, account, region } => (identifier, account, region),
        AwsHost::Cache { endpoint, identifier, region } => {
            let kind = match endpoint {
                CacheEndpoint::ReplicationGroup => DatabaseKind::ReplicationGroup,
                CacheEndpoint::Cluster => DatabaseKind::CacheCluster,
                CacheEndpoint::Serverless => DatabaseKind::ServerlessCache,
            };
            return Some(Host { kind, identifier, region });
        }
        _ => return None,
    };
    let kind = match account.rsplit_once('-').map(|(kind, _)| kind) {
        None => DatabaseKind::Instance,
        Some("cluster" | "cluster-ro") => DatabaseKind::Cluster,
        Some("proxy") => DatabaseKind::Proxy,
        Some(_) => return None,
    };
    Some(Host { kind, identifier, region })
}

/// A database as RDS tells it, or a cache as ElastiCache does.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    Instance(&'a DbInstance),
    Cluster(&'a DbCluster),
    Proxy(&'a DbProxy),
    /// With its first cluster, which has its security groups.
    ReplicationGroup(&'a ReplicationGroup, Option<&'a CacheCluster>),
    CacheCluster(&'a CacheCluster),
    ServerlessCache(&'a ServerlessCache),
}

/// A host that variables name, or that a connection failed to, with what answers there; none where
/// this account has no such database in the region.
#[derive(Clone, Debug)]
pub struct Database<'a> {
    pub host: Host<'a>,
    /// The host as it is written.
    pub host_name: &'a str,
    /// Where it is named; empty where only the log tells the host, since it comes from a secret.
    pub named: Vec<Named<'a>>,
    pub told: Option<Told<'a>>,
}

/// The databases that variables of the current versions name, in the region of the service, and the
/// caches to which connections failed; what may not be seen is noted.
pub fn named<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Database<'a>>, Blind> {
    let mut databases: Vec<Database> = Vec::new();
    for (host, host_name, named) in hosts(patient, findings)? {
        match databases.iter_mut().find(|known| known.host_name == host_name) {
            Some(known) => known.named.extend(named),
            None => {
                let Some(told) = findings.see(told(patient, &host)) else { continue };
                databases.push(Database {
                    host,
                    host_name,
                    named: named.into_iter().collect(),
                    told,
                });
            }
        }
    }
    Ok(databases)
}

/// A host with its name, and the variable that names it.
type Mention<'a> = (Host<'a>, &'a str, Option<Named<'a>>);

fn hosts<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Result<Vec<Mention<'a>>, Blind> {
    let here = |name: &'a str| host(name).filter(|host| host.is_in(patient.region()));
    let by_variables: Vec<Mention> = callee::named(patient)?
        .into_iter()
        .filter_map(|named| Some((here(named.host)?, named.host, Some(named))))
        .collect();
    let failed = connection_errors::failed(patient, findings);
    let in_logs = failed.iter().filter_map(|failed| {
        let name = failed.dial()?.host?;
        Some((here(name).filter(|host| host.kind.is_cache())?, name, None))
    });
    let fails = |(host, name, _): &Mention| {
        !host.kind.is_cache() || failed.iter().any(|failed| is_about_cache(failed, name))
    };
    Ok(by_variables.into_iter().filter(fails).chain(in_logs).collect())
}

/// The ports of Redis and Valkey, of the reader of a serverless cache, and of Memcached.
const CACHE_PORTS: [i32; 3] = [6379, 6380, 11211];

/// Whether a line is about a connection to a cache of this name. What ElastiCache says of the port
/// is not known before it is asked.
fn is_about_cache(failed: &Failed, name: &str) -> bool {
    failed.is_about(name, None) || CACHE_PORTS.iter().any(|port| failed.is_about(name, Some(*port)))
}

/// The hosts of the caches to which connections failed, so that the collector asks about them.
pub fn caches_in_trouble(patient: &Patient) -> BTreeSet<String> {
    let mut unseen = Unseen::default();
    let hosts = hosts(patient, &mut unseen);
    let hosts = unseen.see(hosts).unwrap_or_default();
    let caches = hosts.into_iter().filter(|(host, ..)| host.kind.is_cache());
    caches.map(|(_, name, _)| name.to_owned()).collect()
}

fn told<'a>(patient: &Patient<'a>, host: &Host) -> Result<Option<Told<'a>>, Blind> {
    Ok(match host.kind {
        DatabaseKind::Instance => patient.db_instance(host.identifier)?.map(Told::Instance),
        DatabaseKind::Cluster => patient.db_cluster(host.identifier)?.map(Told::Cluster),
        DatabaseKind::Proxy => patient.db_proxy(host.identifier)?.map(Told::Proxy),
        DatabaseKind::ReplicationGroup => match patient.replication_group(host.identifier)? {
            Some(group) => {
                let first = match group.member_clusters.first() {
                    Some(first) => patient.cache_cluster(first)?,
                    None => None,
                };
                Some(Told::ReplicationGroup(group, first))
            }
            None => None,
        },
        DatabaseKind::CacheCluster => {
            patient.cache_cluster(host.identifier)?.map(Told::CacheCluster)
        }
        DatabaseKind::ServerlessCache => {
            patient.serverless_cache(host.identifier)?.map(Told::ServerlessCache)
        }
    })
}

/// Why there is nothing to look at.
pub const NONE: &str = "no variable names an RDS database, and no connection to a cache failed";

/// Why nothing can be said of databases that RDS does not have in this account.
pub const ELSEWHERE: &str = "the database is in another account, or was deleted";

impl DatabaseKind {
    /// Whether ElastiCache has it, and not RDS.
    pub fn is_cache(self) -> bool {
        matches!(
            self,
            DatabaseKind::ReplicationGroup
                | DatabaseKind::CacheCluster
                | DatabaseKind::ServerlessCache
        )
    }

    pub fn words(self) -> &'static str {
        match self {
            DatabaseKind::Instance => "database",
            DatabaseKind::Cluster => "database cluster",
            DatabaseKind::Proxy => "database proxy",
            DatabaseKind::ReplicationGroup => "cache",
            DatabaseKind::CacheCluster => "cache cluster",
            DatabaseKind::ServerlessCache => "serverless cache",
        }
    }

    pub fn call(self) -> Call {
        match self {
            DatabaseKind::Instance => Call::DescribeDBInstances,
            DatabaseKind::Cluster => Call::DescribeDBClusters,
            DatabaseKind::Proxy => Call::DescribeDBProxies,
            DatabaseKind::ReplicationGroup => Call::DescribeReplicationGroups,
            DatabaseKind::CacheCluster => Call::DescribeCacheClusters,
            DatabaseKind::ServerlessCache => Call::DescribeServerlessCaches,
        }
    }
}

impl<'a> Told<'a> {
    pub fn status(&self) -> Option<&'a str> {
        match self {
            Told::Instance(instance) => instance.db_instance_status.as_deref(),
            Told::Cluster(cluster) => cluster.status.as_deref(),
            Told::Proxy(proxy) => proxy.status.as_deref(),
            Told::ReplicationGroup(group, _) => group.status.as_deref(),
            Told::CacheCluster(cluster) => cluster.cache_cluster_status.as_deref(),
            Told::ServerlessCache(cache) => cache.status.as_deref(),
        }
    }

    /// The port; a proxy has that of its engine.
    pub fn port(&self) -> Option<i32> {
        match self {
            Told::Instance(instance) => instance.port,
            Told::Cluster(cluster) => cluster.port,
            Told::Proxy(proxy) => match proxy.engine_family.as_deref()? {
                "MYSQL" => Some(3306),
                "POSTGRESQL" => Some(5432),
                "SQLSERVER" => Some(1433),
                _ => None,
            },
            Told::ReplicationGroup(group, first) => {
                group.port.or(first.and_then(|cluster| cluster.port))
            }
            Told::CacheCluster(cluster) => cluster.port,
            Told::ServerlessCache(cache) => cache.port,
        }
    }

    pub fn security_groups(&self) -> &'a [String] {
        match self {
            Told::Instance(instance) => &instance.vpc_security_group_id,
            Told::Cluster(cluster) => &cluster.vpc_security_group_id,
            Told::Proxy(proxy) => &proxy.vpc_security_group_ids,
            Told::ReplicationGroup(_, first) => {
                first.map_or(&[], |cluster| cluster.security_group_id.as_slice())
            }
            Told::CacheCluster(cluster) => &cluster.security_group_id,
            Told::ServerlessCache(cache) => &cache.security_group_ids,
        }
    }

    /// The subnets it is in; a cluster does not tell.
    pub fn subnets(&self) -> &'a [String] {
        match self {
            Told::Instance(instance) => &instance.subnet_identifier,
            Told::Cluster(_) | Told::ReplicationGroup(..) | Told::CacheCluster(_) => &[],
            Told::Proxy(proxy) => &proxy.vpc_subnet_ids,
            Told::ServerlessCache(cache) => &cache.subnet_ids,
        }
    }
}

impl<'a> Database<'a> {
    /// `database orders-db (DATABASE_URL)`, or `cache sessions` where only the log names it.
    pub fn name(&self) -> String {
        let variables: BTreeSet<&str> = self.named.iter().map(|named| named.variable).collect();
        let variables = match variables.is_empty() {
            true => String::new(),
            false => format!(" ({})", variables.into_iter().collect::<Vec<_>>().join(", ")),
        };
        format!("{} {}{variables}", self.host.kind.words(), self.host.identifier)
    }

    /// Evidence of one of its security groups: a replication group has those of its clusters.
    pub fn group_evidence(&self, group: &str) -> Evidence {
        match self.told {
            Some(Told::ReplicationGroup(_, Some(first))) => Evidence::new(
                Call::DescribeCacheClusters,
                &first.cache_cluster_id,
                "SecurityGroups.SecurityGroupId",
                group,
            ),
            Some(Told::CacheCluster(_)) => self.evidence("SecurityGroups.SecurityGroupId", group),
            Some(Told::ServerlessCache(_)) => self.evidence("SecurityGroupIds", group),
            Some(Told::Proxy(_)) => self.evidence("VpcSecurityGroupIds", group),
            _ => self.evidence("VpcSecurityGroups.VpcSecurityGroupId", group),
        }
    }

    /// Evidence of the database itself.
    pub fn evidence(&self, field: &'static str, value: impl ToString) -> Evidence {
        Evidence::new(self.host.kind.call(), self.host.identifier, field, value)
    }

    /// Its status, in AWS's spelling.
    pub fn status_evidence(&self, status: &str) -> Evidence {
        self.evidence(
            match self.host.kind {
                DatabaseKind::Instance => "DBInstanceStatus",
                DatabaseKind::CacheCluster => "CacheClusterStatus",
                _ => "Status",
            },
            status,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_what_it_is() {
        let at = |text| host(text).map(|host| (host.kind, host.identifier, host.region));
        assert_eq!(
            at("orders-db.c9akciq32rgz.eu-west-2.rds.amazonaws.com"),
            Some((DatabaseKind::Instance, "orders-db", "eu-west-2"))
        );
        assert_eq!(
            at("orders.cluster-c9akciq32rgz.eu-west-2.rds.amazonaws.com"),
            Some((DatabaseKind::Cluster, "orders", "eu-west-2"))
        );
        assert_eq!(
            at("orders.cluster-ro-c9akciq32rgz.eu-west-2.rds.amazonaws.com"),
            Some((DatabaseKind::Cluster, "orders", "eu-west-2"))
        );
        assert_eq!(
            at("pool.proxy-c9akciq32rgz.eu-west-2.rds.amazonaws.com"),
            Some((DatabaseKind::Proxy, "pool", "eu-west-2"))
        );
    }

    #[test]
    fn an_endpoint_with_a_name_of_its_own_does_not_say_whose_it_is() {
        for text in [
            "reports.cluster-custom-c9akciq32rgz.eu-west-2.rds.amazonaws.com",
            "read.endpoint.proxy-c9akciq32rgz.eu-west-2.rds.amazonaws.com",
            "db.prod.local",
            "rds.amazonaws.com",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
