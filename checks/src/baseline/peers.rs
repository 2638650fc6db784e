//! What healthy services talk to: the worker has its databases and a sibling that it calls by
//! Service Connect; the Fargate service is registered in Cloud Map.

use std::collections::BTreeMap;

use super::{REGION, everywhere, forward, from_group, host_rule, id, minutes_ago};
use crate::call::LOG_STREAM;
use crate::snapshot::peers::{
    ClientAlias, ServiceConnect, ServiceConnectResource, ServiceConnectService, ServiceRegistry,
};
use crate::snapshot::web_acl::Statement;
use crate::snapshot::*;

pub const INSTANCE_HOST: &str = "mailer-db.c9akciq32rgz.eu-west-2.rds.amazonaws.com";
pub const CLUSTER_HOST: &str = "reports.cluster-ro-c9akciq32rgz.eu-west-2.rds.amazonaws.com";
pub const PROXY_HOST: &str = "pool.proxy-c9akciq32rgz.eu-west-2.rds.amazonaws.com";

/// The ARN of a service of Cloud Map.
pub fn discovery(id: &str) -> String {
    format!("arn:aws:servicediscovery:{REGION}:{}:service/{id}", super::ACCOUNT)
}

/// Three databases that let the tasks in. The proxy is in a VPC of its own, to which there is a
/// route.
pub(super) fn databases(snapshot: &mut Snapshot) {
    name_host(
        snapshot,
        &[("DATABASE_URL", INSTANCE_HOST), ("REPORTS_URL", CLUSTER_HOST), ("POOL_URL", PROXY_HOST)],
    );
    let groups = || vec!["sg-database".to_owned()];
    let subnets = || vec!["subnet-db-a".to_owned()];
    snapshot.db_instances.put(
        "mailer-db",
        DbInstance {
            db_instance_identifier: "mailer-db".into(),
            db_instance_status: Some("available".into()),
            engine: Some("postgres".into()),
            address: Some(INSTANCE_HOST.into()),
            port: Some(5432),
            allocated_storage: Some(100),
            publicly_accessible: false,
            vpc_security_group_id: groups(),
            subnet_identifier: subnets(),
        },
    );
    snapshot.db_clusters.put(
        "reports",
        DbCluster {
            db_cluster_identifier: "reports".into(),
            status: Some("available".into()),
            engine: Some("aurora-postgresql".into()),
            port: Some(5432),
            vpc_security_group_id: groups(),
            db_cluster_members: vec!["reports-1".into(), "reports-2".into()],
        },
    );
    snapshot.db_proxies.put(
        "pool",
        DbProxy {
            db_proxy_name: "pool".into(),
            status: Some("available".into()),
            engine_family: Some("POSTGRESQL".into()),
            vpc_security_group_ids: vec!["sg-pool".into()],
            vpc_subnet_ids: vec!["subnet-pool-a".into()],
        },
    );
    let target = DbProxyTarget {
        rds_resource_id: Some("mailer-db".into()),
        state: Some("AVAILABLE".into()),
        ..DbProxyTarget::default()
    };
    snapshot.db_proxy_targets.put("pool", vec![target]);
    for (group, subnet, vpc, block) in [
        ("sg-database", "subnet-db-a", "vpc-1", "10.0.21.0/24"),
        ("sg-pool", "subnet-pool-a", "vpc-data", "10.9.1.0/24"),
    ] {
        snapshot.security_groups.put(
            group,
            SecurityGroup {
                group_id: group.into(),
                group_name: "databases".into(),
                vpc_id: Some(vpc.into()),
                ip_permissions: vec![from_group(5432, "sg-task")],
                ..SecurityGroup::default()
            },
        );
        snapshot.subnets.put(
            subnet,
            Subnet {
                subnet_id: subnet.into(),
                vpc_id: Some(vpc.into()),
                availability_zone: Some("eu-west-2a".into()),
                cidr_block: Some(block.into()),
                available_ip_address_count: Some(240),
                map_public_ip_on_launch: Some(false),
                ..Subnet::default()
            },
        );
    }
    let peering = Route {
        destination: "10.9.0.0/16".into(),
        target: Some("pcx-1".into()),
        state: Some("active".into()),
    };
    snapshot
        .route_tables
        .change("vpc-1")
        .into_iter()
        .flatten()
        .for_each(|table| table.routes.push(peering.clone()));
}

/// Adds the secret that the containers get, rotated so long ago. A healthy service is not asked for
/// it.
pub fn rotate(snapshot: &mut Snapshot, minutes: i64) {
    let name = format!("{}-db", snapshot.services[0].service_name);
    let rotated = Some(minutes_ago(minutes));
    let secret = Secret {
        arn: id::secret(&name),
        name: name.clone(),
        last_changed_date: rotated,
        last_rotated_date: rotated,
        deleted_date: None,
    };
    snapshot.secrets.put(id::secret(&name), secret);
}

/// The sibling's ARN: it serves `http://orders:8080` in the namespace `internal`.
pub fn sibling() -> String {
    id::ecs("service/prod/orders")
}

/// Makes the service a client of a sibling by Service Connect.
pub(super) fn connected(snapshot: &mut Snapshot) {
    let mut hosts = hosts(snapshot);
    hosts.push(("ORDERS_URL".into(), "orders".into()));
    let named: Vec<(&str, &str)> =
        hosts.iter().map(|(name, host)| (name.as_str(), host.as_str())).collect();
    name_host(snapshot, &named);
    let client =
        ServiceConnect { enabled: true, namespace: Some("internal".into()), services: Vec::new() };
    let service = &mut snapshot.services[0];
    service.deployments[0].service_connect_configuration = Some(client.clone());
    let (own, network) = (service.service_arn.clone(), service.network_configuration.clone());
    let offered = ServiceConnectService {
        port_name: "http".into(),
        discovery_name: Some("orders".into()),
        client_aliases: vec![ClientAlias { port: Some(8080), dns_name: Some("orders".into()) }],
        ..ServiceConnectService::default()
    };
    let definition = id::ecs("task-definition/orders:7");
    let mut orders = service.clone();
    orders.service_arn = sibling();
    orders.service_name = "orders".into();
    orders.task_definition = Some(definition.clone());
    orders.network_configuration = network.map(|network| service::NetworkConfiguration {
        security_groups: vec!["sg-orders".into()],
        ..network
    });
    orders.events.clear();
    orders.current_service_revisions.clear();
    orders.current_service_deployment = None;
    for deployment in &mut orders.deployments {
        deployment.id = "ecs-svc/1000000000000000007".into();
        deployment.task_definition = Some(definition.clone());
        deployment.network_configuration = orders.network_configuration.clone();
        deployment.created_at = Some(minutes_ago(10 * 1440));
        deployment.service_connect_configuration =
            Some(ServiceConnect { services: vec![offered.clone()], ..client.clone() });
        deployment.service_connect_resources = vec![ServiceConnectResource {
            discovery_name: Some("orders".into()),
            discovery_arn: Some(discovery("srv-orders")),
        }];
    }
    snapshot.namespace_services.put(
        "internal",
        NamespaceServices {
            namespace: "internal".into(),
            service_arns: vec![own, sibling()],
            truncated: false,
        },
    );
    snapshot.peers.put(sibling(), orders);
    let port = PortMapping {
        name: Some("http".into()),
        container_port: Some(8080),
        protocol: Some("tcp".into()),
        ..PortMapping::default()
    };
    snapshot.task_definitions.put(
        &definition,
        TaskDefinition {
            task_definition_arn: definition.clone(),
            family: "orders".into(),
            revision: 7,
            network_mode: Some("awsvpc".into()),
            cpu: Some("512".into()),
            memory: Some("1024".into()),
            container_definitions: vec![ContainerDefinition {
                name: "orders".into(),
                image: id::image("orders:3.0.0"),
                essential: true,
                port_mappings: vec![port],
                ..ContainerDefinition::default()
            }],
            ..TaskDefinition::default()
        },
    );
    snapshot.security_groups.put(
        "sg-orders",
        SecurityGroup {
            group_id: "sg-orders".into(),
            group_name: "orders-tasks".into(),
            vpc_id: Some("vpc-1".into()),
            ip_permissions: vec![from_group(8080, "sg-task")],
            ..SecurityGroup::default()
        },
    );
    snapshot.discovery_services.put(
        discovery("srv-orders"),
        DiscoveryService {
            id: "srv-orders".into(),
            name: Some("orders".into()),
            create_date: Some(minutes_ago(60 * 1440)),
            record_types: Vec::new(),
            health_check_custom_config: Some(false),
        },
    );
}

/// Registers the tasks that run in Cloud Map.
pub(super) fn registered(snapshot: &mut Snapshot) {
    let registry = discovery("srv-api");
    let service = &mut snapshot.services[0];
    service.service_registries = vec![ServiceRegistry {
        registry_arn: Some(registry.clone()),
        ..ServiceRegistry::default()
    }];
    let arn = service.service_arn.clone();
    let tasks = snapshot.running_tasks.change(&arn).map(|tasks| tasks.clone()).unwrap_or_default();
    let instance = |task: &Task| DiscoveryInstance {
        id: task.id().into(),
        attributes: BTreeMap::from([(
            "AWS_INSTANCE_IPV4".into(),
            task.private_address().unwrap_or_default().into(),
        )]),
    };
    let record_types = vec!["A".into()];
    let named = DiscoveryService {
        id: "srv-api".into(),
        name: Some("api".into()),
        create_date: Some(minutes_ago(80 * 1440)),
        record_types,
        health_check_custom_config: Some(true),
    };
    snapshot.discovery_services.put(&registry, named);
    snapshot.discovery_instances.put(&registry, tasks.iter().map(instance).collect());
    snapshot.discovery_health.put(
        &registry,
        tasks.iter().map(|task| (task.id().to_owned(), "HEALTHY".to_owned())).collect(),
    );
}

/// Gives the cluster a second service: `mailer`, which names nobody's host.
pub(super) fn neighbour(snapshot: &mut Snapshot) {
    let service = &snapshot.services[0];
    let (own, cluster) = (service.service_arn.clone(), service.cluster_arn.clone());
    let mailer = own.replace(&service.service_name, "mailer");
    let definition = id::ecs("task-definition/mailer:4");
    snapshot.cluster_services.put(
        cluster,
        ClusterServices { service_arns: vec![own, mailer.clone()], truncated: false },
    );
    let sibling = Sibling {
        service_arn: mailer.clone(),
        service_name: "mailer".into(),
        status: "ACTIVE".into(),
        task_definition: Some(definition.clone()),
        target_groups: Some(Vec::new()),
    };
    snapshot.siblings.put(mailer, sibling);
    let container = ContainerDefinition {
        name: "worker".into(),
        essential: true,
        ..ContainerDefinition::default()
    };
    let version = TaskDefinition {
        task_definition_arn: definition.clone(),
        revision: 4,
        container_definitions: vec![container],
        ..TaskDefinition::default()
    };
    snapshot.task_definitions.put(definition, version);
}

/// The variables of `mailer` that name hosts: these and no others.
pub fn sibling_names(snapshot: &mut Snapshot, named: &[(&str, &str)]) {
    let definition = snapshot.task_definitions.change(&id::ecs("task-definition/mailer:4"));
    for container in
        definition.into_iter().flat_map(|definition| &mut definition.container_definitions)
    {
        container.environment = named
            .iter()
            .map(|(name, host)| EnvironmentVariable {
                name: (*name).into(),
                hosts: vec![(*host).into()],
            })
            .collect();
    }
}

/// Puts another application load balancer into the VPC, with a rule for a host; its ARN.
pub fn other_balancer(snapshot: &mut Snapshot, name: &str, scheme: &str, host: &str) -> String {
    let balancer = id::elb(&format!("loadbalancer/app/{name}/1111111111111111"));
    let listener = id::elb(&format!("listener/app/{name}/1111111111111111/2222222222222222"));
    let rule = id::elb(&format!(
        "listener-rule/app/{name}/1111111111111111/2222222222222222/3333333333333333"
    ));
    let own = LoadBalancer {
        load_balancer_arn: balancer.clone(),
        load_balancer_name: name.into(),
        load_balancer_type: Some("application".into()),
        scheme: Some(scheme.into()),
        dns_name: Some(format!("{name}-987654321.eu-west-2.elb.amazonaws.com")),
        vpc_id: Some("vpc-1".into()),
        security_groups: vec!["sg-balancer".into()],
        ..LoadBalancer::default()
    };
    snapshot.load_balancers.put(&balancer, own);
    let https = Listener {
        listener_arn: listener.clone(),
        load_balancer_arn: balancer.clone(),
        port: Some(443),
        protocol: Some("HTTPS".into()),
        ..Listener::default()
    };
    snapshot.listeners.put(&balancer, vec![https]);
    snapshot
        .rules
        .put(listener, vec![host_rule(&rule, "1", host, forward(&[(&id::group("billing"), 1)]))]);
    let service = snapshot.services[0].service_arn.clone();
    snapshot
        .other_balancers
        .change(&service)
        .into_iter()
        .for_each(|others| others.push(balancer.clone()));
    balancer
}

/// Puts a web ACL before a load balancer that lets in just these blocks, and its security groups
/// let in everybody.
pub fn allow_list(snapshot: &mut Snapshot, balancer: &str, blocks: &[&str]) {
    let arn = format!(
        "arn:aws:wafv2:{REGION}:{}:regional/ipset/office/9f8e7d6c-5b4a-4938-8271-605f4e3d2c1b",
        super::ACCOUNT
    );
    let set = IpSet {
        arn: arn.clone(),
        id: "9f8e7d6c-5b4a-4938-8271-605f4e3d2c1b".into(),
        name: "office".into(),
        ip_address_version: Some("IPV4".into()),
        addresses: blocks.iter().map(|block| (*block).to_owned()).collect(),
    };
    snapshot.ip_sets.put(&arn, set);
    let rule = WebAclRule {
        name: "the-office".into(),
        action: Some("Allow".into()),
        statement: Statement {
            kind: "IPSetReference".into(),
            arn: Some(arn),
            ..Statement::default()
        },
        ..WebAclRule::default()
    };
    let acl = WebAcl {
        name: "inside-only".into(),
        default_action: Some("Block".into()),
        rules: vec![rule],
        ..WebAcl::default()
    };
    snapshot.web_acls.put(balancer, acl);
    let group = SecurityGroup {
        group_id: "sg-open".into(),
        ip_permissions: vec![everywhere("tcp", Some(443))],
        ..SecurityGroup::default()
    };
    snapshot.security_groups.put("sg-open", group);
    snapshot
        .load_balancers
        .change(balancer)
        .into_iter()
        .for_each(|balancer| balancer.security_groups = vec!["sg-open".into()]);
}

fn hosts(snapshot: &mut Snapshot) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for definition in
        definition(snapshot).into_iter().flat_map(|definition| &definition.container_definitions)
    {
        all.extend(
            definition
                .environment
                .iter()
                .flat_map(|one| one.hosts.iter().map(|host| (one.name.clone(), host.clone()))),
        );
    }
    all
}

fn definition(snapshot: &mut Snapshot) -> Option<&mut TaskDefinition> {
    let arn = snapshot.services[0].deployments[0].task_definition.clone()?;
    snapshot.task_definitions.change(&arn)
}

/// The variables of the current version that name hosts: these and no others.
pub fn name_host(snapshot: &mut Snapshot, named: &[(&str, &str)]) {
    for container in definition(snapshot)
        .into_iter()
        .flat_map(|definition| &mut definition.container_definitions)
    {
        container.environment.retain(|variable| variable.hosts.is_empty());
        container.environment.extend(named.iter().map(|(name, host)| EnvironmentVariable {
            name: (*name).into(),
            hosts: vec![(*host).into()],
        }));
    }
}

pub const CACHE_HOST: &str = "master.sessions.abc123.euw2.cache.amazonaws.com";

/// Gives the worker a cache that lets its tasks in, as ElastiCache tells it once a connection to it
/// failed, and the log line that says so.
pub fn cache_in_trouble(snapshot: &mut Snapshot, message: &str) {
    name_host(snapshot, &[("REDIS_URL", CACHE_HOST)]);
    snapshot.replication_groups.put(
        "sessions",
        ReplicationGroup {
            replication_group_id: "sessions".into(),
            status: Some("available".into()),
            port: Some(6379),
            member_clusters: vec!["sessions-001".into(), "sessions-002".into()],
        },
    );
    snapshot.cache_clusters.put(
        "sessions-001",
        CacheCluster {
            cache_cluster_id: "sessions-001".into(),
            cache_cluster_status: Some("available".into()),
            port: Some(6379),
            security_group_id: vec!["sg-cache".into()],
        },
    );
    snapshot.security_groups.put(
        "sg-cache",
        SecurityGroup {
            group_id: "sg-cache".into(),
            group_name: "sessions-cache".into(),
            vpc_id: Some("vpc-1".into()),
            ip_permissions: vec![from_group(6379, "sg-task")],
            ..SecurityGroup::default()
        },
    );
    log(snapshot, message);
}

/// Adds a line, two minutes old, to every log that was read.
pub fn log(snapshot: &mut Snapshot, message: &str) {
    for (key, lines) in &mut snapshot.logs.0 {
        if let crate::seen::Seen::Yes(Some(lines)) = lines {
            let stream = key.split_once(LOG_STREAM).map_or("", |(_, stream)| stream);
            lines.push(LogLine {
                timestamp: Some(minutes_ago(2)),
                message: message.into(),
                log_stream_name: stream.into(),
            });
        }
    }
}
