//! The databases of RDS that variables name by their hosts: what each is, in what state, and
//! whether the tasks can reach it. A host says identifier, kind and region; who else's database it
//! may be, it does not.

use std::collections::BTreeSet;

use crate::aws::host::{self, AwsHost};
use crate::call::Call;
use crate::facts::peers::callee::{self, Named};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::{DbCluster, DbInstance, DbProxy};

/// What answers at a host of RDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseKind {
    Instance,
    Cluster,
    Proxy,
}

/// A host of RDS, taken apart: `orders.cluster-ro-c9akciq32rgz.eu-west-2.rds.amazonaws.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host<'a> {
    pub kind: DatabaseKind,
    pub identifier: &'a str,
    pub region: &'a str,
}

/// The database that a host names. An endpoint with a name of its own does not say whose it is, and
/// is none here.
pub fn host(host: &str) -> Option<Host<'_>> {
    let AwsHost::Rds { identifier, account, region } = host::of_aws(host)? else { return None };
    let kind = match account.rsplit_once('-').map(|(kind, _)| kind) {
        None => DatabaseKind::Instance,
        Some("cluster" | "cluster-ro") => DatabaseKind::Cluster,
        Some("proxy") => DatabaseKind::Proxy,
        Some(_) => return None,
    };
    Some(Host { kind, identifier, region })
}

/// A database as RDS tells it.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    Instance(&'a DbInstance),
    Cluster(&'a DbCluster),
    Proxy(&'a DbProxy),
}

/// A host of RDS that variables name, with what answers there; none where this account has no such
/// database in the region.
#[derive(Clone, Debug)]
pub struct Database<'a> {
    pub host: Host<'a>,
    /// Where it is named; never empty.
    pub named: Vec<Named<'a>>,
    pub told: Option<Told<'a>>,
}

/// The databases that variables of the current versions name, in the region of the service; what
/// may not be seen is noted.
pub fn named<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Database<'a>>, Blind> {
    let mut databases: Vec<Database> = Vec::new();
    for named in callee::named(patient)? {
        let Some(host) = host(named.host).filter(|host| host.region == patient.region()) else {
            continue;
        };
        match databases.iter_mut().find(|known| known.named[0].host == named.host) {
            Some(known) => known.named.push(named),
            None => {
                let Some(told) = findings.see(told(patient, &host)) else { continue };
                databases.push(Database { host, named: vec![named], told });
            }
        }
    }
    Ok(databases)
}

fn told<'a>(patient: &Patient<'a>, host: &Host) -> Result<Option<Told<'a>>, Blind> {
    Ok(match host.kind {
        DatabaseKind::Instance => patient.db_instance(host.identifier)?.map(Told::Instance),
        DatabaseKind::Cluster => patient.db_cluster(host.identifier)?.map(Told::Cluster),
        DatabaseKind::Proxy => patient.db_proxy(host.identifier)?.map(Told::Proxy),
    })
}

/// Why nothing can be said of databases that RDS here has never heard of.
pub const ELSEWHERE: &str = "the database is in another account, or is gone";

impl DatabaseKind {
    pub fn words(self) -> &'static str {
        match self {
            DatabaseKind::Instance => "database",
            DatabaseKind::Cluster => "database cluster",
            DatabaseKind::Proxy => "database proxy",
        }
    }

    pub fn call(self) -> Call {
        match self {
            DatabaseKind::Instance => Call::DescribeDBInstances,
            DatabaseKind::Cluster => Call::DescribeDBClusters,
            DatabaseKind::Proxy => Call::DescribeDBProxies,
        }
    }
}

impl<'a> Told<'a> {
    pub fn status(&self) -> Option<&'a str> {
        match self {
            Told::Instance(instance) => instance.db_instance_status.as_deref(),
            Told::Cluster(cluster) => cluster.status.as_deref(),
            Told::Proxy(proxy) => proxy.status.as_deref(),
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
        }
    }

    pub fn security_groups(&self) -> &'a [String] {
        match self {
            Told::Instance(instance) => &instance.vpc_security_group_id,
            Told::Cluster(cluster) => &cluster.vpc_security_group_id,
            Told::Proxy(proxy) => &proxy.vpc_security_group_ids,
        }
    }

    /// The subnets it is in; a cluster does not tell.
    pub fn subnets(&self) -> &'a [String] {
        match self {
            Told::Instance(instance) => &instance.subnet_identifier,
            Told::Cluster(_) => &[],
            Told::Proxy(proxy) => &proxy.vpc_subnet_ids,
        }
    }
}

impl<'a> Database<'a> {
    /// `database orders-db (DATABASE_URL)`
    pub fn name(&self) -> String {
        let variables: BTreeSet<&str> = self.named.iter().map(|named| named.variable).collect();
        format!(
            "{} {} ({})",
            self.host.kind.words(),
            self.host.identifier,
            variables.into_iter().collect::<Vec<_>>().join(", ")
        )
    }

    /// Evidence of the database itself.
    pub fn evidence(&self, field: &'static str, value: impl ToString) -> Evidence {
        Evidence::new(self.host.kind.call(), self.host.identifier, field, value)
    }

    /// Its status, in AWS's spelling.
    pub fn status_evidence(&self, status: &str) -> Evidence {
        self.evidence(
            if self.host.kind == DatabaseKind::Instance { "DBInstanceStatus" } else { "Status" },
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
