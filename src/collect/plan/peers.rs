//! What the service talks to: databases that variables name, siblings by Service Connect, its own
//! names in Cloud Map, and the secrets that it logs in with. Nothing is asked for a service that has none of these.

use std::collections::BTreeSet;

use checks::facts::peers::database::{self, DatabaseKind};
use checks::facts::peers::login;
use checks::facts::peers::service_connect::{self, Names};
use checks::seen::Seen;
use checks::snapshot::{Service, TaskDefinition};
use futures::future::{Shared, join, join_all, join3};

use super::Plan;
use crate::collect::last;

/// How many siblings of a namespace are looked at, ten a call.
const SIBLINGS: usize = 30;

impl Plan<'_> {
    pub(super) async fn peers(
        &self,
        definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>,
    ) {
        let registries = self
            .service
            .service_registries
            .iter()
            .filter_map(|registry| registry.registry_arn.clone());
        let databases = async {
            join_all(hosts(&definitions.clone().await).iter().map(|host| self.database(host)))
                .await;
        };
        join3(databases, self.siblings(definitions.clone()), self.registries(registries.collect()))
            .await;
    }

    /// A database with the security groups and the subnets that decide who reaches it.
    async fn database(&self, host: &str) {
        let here = |host: &database::Host| host.is_in(&self.aws.region) && !host.kind.is_cache();
        let Some(host) = database::host(host).filter(here) else { return };
        let name = host.identifier;
        if self.fresh("database", [format!("{:?} {name}", host.kind)]).is_empty() {
            return;
        }
        match host.kind {
            DatabaseKind::Instance => {
                let instance = self.aws.db_instance(name).await;
                let (groups, subnets) = match &instance {
                    Seen::Yes(Some(instance)) => {
                        (instance.vpc_security_group_id.clone(), instance.subnet_identifier.clone())
                    }
                    Seen::Yes(None) | Seen::No(_) => Default::default(),
                };
                self.note(|snapshot| snapshot.db_instances.insert(name, instance));
                join(self.security_groups(groups), self.subnets(subnets)).await;
            }
            DatabaseKind::Cluster => {
                let cluster = self.aws.db_cluster(name).await;
                let groups = match &cluster {
                    Seen::Yes(Some(cluster)) => cluster.vpc_security_group_id.clone(),
                    Seen::Yes(None) | Seen::No(_) => Vec::new(),
                };
                self.note(|snapshot| snapshot.db_clusters.insert(name, cluster));
                self.security_groups(groups).await;
            }
            DatabaseKind::Proxy => {
                let proxy = async {
                    let proxy = self.aws.db_proxy(name).await;
                    let (groups, subnets) = match &proxy {
                        Seen::Yes(Some(proxy)) => {
                            (proxy.vpc_security_group_ids.clone(), proxy.vpc_subnet_ids.clone())
                        }
                        Seen::Yes(None) | Seen::No(_) => Default::default(),
                    };
                    self.note(|snapshot| snapshot.db_proxies.insert(name, proxy));
                    join(self.security_groups(groups), self.subnets(subnets)).await;
                };
                let targets = self.aws.db_proxy_targets(name);
                let targets = self.keep(|s| &mut s.db_proxy_targets, name, targets);
                join(proxy, targets).await;
            }
            // Asked only where connections fail.
            DatabaseKind::ReplicationGroup
            | DatabaseKind::CacheCluster
            | DatabaseKind::ServerlessCache => {}
        }
    }

    /// The caches to which connections failed; tasks and logs have to be known.
    pub(super) async fn caches(&self) {
        let hosts = self.examined(database::caches_in_trouble);
        join_all(hosts.iter().map(|host| self.cache(host))).await;
    }

    /// A cache with the security groups and the subnets that decide who reaches it.
    async fn cache(&self, host: &str) {
        let Some(host) = database::host(host) else { return };
        let name = host.identifier;
        if self.fresh("database", [format!("{:?} {name}", host.kind)]).is_empty() {
            return;
        }
        match host.kind {
            DatabaseKind::ReplicationGroup => {
                let group = self.aws.replication_group(name).await;
                let first = match &group {
                    Seen::Yes(Some(group)) => group.member_clusters.first().cloned(),
                    Seen::Yes(None) | Seen::No(_) => None,
                };
                self.note(|snapshot| snapshot.replication_groups.insert(name, group));
                if let Some(first) = first {
                    self.cache_cluster(&first).await;
                }
            }
            DatabaseKind::CacheCluster => self.cache_cluster(name).await,
            DatabaseKind::ServerlessCache => {
                let cache = self.aws.serverless_cache(name).await;
                let (groups, subnets) = match &cache {
                    Seen::Yes(Some(cache)) => {
                        (cache.security_group_ids.clone(), cache.subnet_ids.clone())
                    }
                    Seen::Yes(None) | Seen::No(_) => Default::default(),
                };
                self.note(|snapshot| snapshot.serverless_caches.insert(name, cache));
                join(self.security_groups(groups), self.subnets(subnets)).await;
            }
            DatabaseKind::Instance | DatabaseKind::Cluster | DatabaseKind::Proxy => {}
        }
    }

    async fn cache_cluster(&self, id: &str) {
        let cluster = self.aws.cache_cluster(id).await;
        let groups = match &cluster {
            Seen::Yes(Some(cluster)) => cluster.security_group_id.clone(),
            Seen::Yes(None) | Seen::No(_) => Vec::new(),
        };
        self.note(|snapshot| snapshot.cache_clusters.insert(id, cluster));
        self.security_groups(groups).await;
    }

    /// The secrets that containers got whose logins are refused. Whoever has learned what the tasks
    /// log calls here.
    pub(super) async fn secrets(&self) {
        let arns = self.fresh("secret", self.examined(login::secrets_in_question));
        join_all(arns.iter().map(|arn| self.keep(|s| &mut s.secrets, arn, self.aws.secret(arn))))
            .await;
    }

    /// The siblings that variables name: those of the namespace, and those of the cluster that are
    /// called like a host.
    async fn siblings(&self, definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>) {
        let namespace = service_connect::configuration(self.service)
            .and_then(|connect| connect.namespace.as_deref());
        let listed = async {
            let Some(namespace) = namespace else { return Vec::new() };
            let listed = self.aws.namespace_services(namespace).await;
            let arns = match &listed {
                Seen::Yes(Some(listed)) => listed.service_arns.clone(),
                Seen::Yes(None) | Seen::No(_) => Vec::new(),
            };
            self.note(|snapshot| snapshot.namespace_services.insert(namespace, listed));
            arns
        };
        let (listed, definitions) = join(listed, definitions).await;
        let hosts = hosts(&definitions);
        let names = Names::of(hosts.iter().map(String::as_str), namespace);
        if names.is_empty() {
            return;
        }
        let own = &self.service.service_arn;
        let prefix = own.strip_suffix(last(own)).unwrap_or(own);
        let mut wanted: Vec<String> =
            names.first_labels().map(|label| format!("{prefix}{label}")).collect();
        wanted.extend(listed);
        let mut arns: Vec<String> = Vec::new();
        for arn in wanted.into_iter().filter(|arn| arn != own) {
            if !arns.contains(&arn) && arns.len() < SIBLINGS {
                arns.push(arn);
            }
        }
        let clusters: BTreeSet<String> = arns.iter().map(|arn| cluster_of(arn)).collect();
        join_all(clusters.iter().map(|cluster| {
            let (arns, names) =
                (arns.iter().filter(|arn| cluster_of(arn) == *cluster).cloned().collect(), &names);
            self.siblings_of(cluster, arns, names)
        }))
        .await;
    }

    async fn siblings_of(&self, cluster: &str, arns: Vec<String>, names: &Names) {
        let services: Vec<Service> = match self.aws.services(cluster, &arns).await {
            Seen::Yes(services) => {
                let services = services.unwrap_or_default();
                self.note(|snapshot| {
                    arns.iter().for_each(|arn| snapshot.peers.insert(arn, Seen::Yes(None)))
                });
                self.note(|snapshot| {
                    services.iter().for_each(|service| {
                        snapshot.peers.put(&service.service_arn, service.clone())
                    })
                });
                services
            }
            Seen::No(why) => {
                self.note(|snapshot| {
                    arns.iter().for_each(|arn| snapshot.peers.insert(arn, Seen::No(why.clone())))
                });
                Vec::new()
            }
        };
        join_all(
            services
                .iter()
                .filter(|service| names.call(service))
                .map(|service| self.sibling(service)),
        )
        .await;
    }

    /// A sibling that is called: its ports, who is let in there, and since when its name exists.
    async fn sibling(&self, service: &Service) {
        let Some(deployment) = service.primary() else { return };
        let network = deployment
            .network_configuration
            .clone()
            .or(service.network_configuration.clone())
            .unwrap_or_default();
        let names = deployment
            .service_connect_resources
            .iter()
            .filter_map(|resource| resource.discovery_arn.clone());
        let named = async {
            join_all(self.fresh("name", names).iter().map(|arn| {
                self.keep(|s| &mut s.discovery_services, arn, self.aws.discovery_service(arn))
            }))
            .await;
        };
        let definition = self.definitions(deployment.task_definition.iter().cloned().collect());
        let registries = service
            .service_registries
            .iter()
            .filter_map(|registry| registry.registry_arn.clone())
            .collect();
        let network =
            join(self.security_groups(network.security_groups), self.subnets(network.subnets));
        join(join(definition, network), join(named, self.registries(registries))).await;
    }

    /// What Cloud Map gives out for a service.
    async fn registries(&self, arns: Vec<String>) {
        join_all(self.fresh("registry", arns).iter().map(|arn| async move {
            join3(
                self.keep(|s| &mut s.discovery_services, arn, self.aws.discovery_service(arn)),
                self.keep(|s| &mut s.discovery_instances, arn, self.aws.discovery_instances(arn)),
                self.keep(|s| &mut s.discovery_health, arn, self.aws.discovery_health(arn)),
            )
            .await;
        }))
        .await;
    }
}

/// Every host that variables of these versions name.
fn hosts(definitions: &[TaskDefinition]) -> BTreeSet<String> {
    let containers = definitions.iter().flat_map(|definition| &definition.container_definitions);
    containers
        .flat_map(|container| &container.environment)
        .flat_map(|variable| variable.hosts.iter().cloned())
        .collect()
}

/// The cluster's ARN, from that of a service.
fn cluster_of(service: &str) -> String {
    service
        .replacen(":service/", ":cluster/", 1)
        .rsplit_once('/')
        .map_or_else(|| service.to_owned(), |(cluster, _)| cluster.to_owned())
}
