//! Healthy services, complete as the collector would bring them: what every check must be silent
//! on, and what the checks' examples make sick. They are made up, say so, and share one clock.

pub mod peers;
pub mod prefix_list;
pub mod request_path;
pub mod scaling;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::call::LOG_STREAM;
use crate::facts::tasks::container_log;
use crate::intent::{Expected, Intent};
use crate::seen::{Seen, Why};
use crate::snapshot::deployment::{BreakerState, ContainerImage, IngressPath, ListedDeployment};
use crate::snapshot::metric::{Metric, Owner};
use crate::snapshot::service::{
    CircuitBreaker, DeploymentAlarms, DeploymentConfiguration, NetworkConfiguration,
};
use crate::snapshot::*;

pub mod access;
pub mod capacity;
pub mod instances;
pub mod joined;
pub mod network;
mod vpc;

pub use network::service as network;
pub use vpc::{endpoint, endpoint_group};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-2";

/// The clock of every baseline: 22 November 2026, three in the morning.
pub const NOW: Timestamp = Timestamp::constant(1_795_316_400, 0);

/// What the user of the examples expects; only the checks that ask for it are moved by it.
pub fn intent() -> Intent {
    ["203.0.113.0/24", "198.51.100.0/24"].into_iter().flat_map(str::parse::<Expected>).collect()
}

/// Makes a fresh copy of a baseline.
pub type Make = fn() -> Snapshot;

/// Every baseline by name.
pub const ALL: &[(&str, Make)] = &[
    ("fargate", fargate),
    ("express", express),
    ("ec2", ec2),
    ("worker", worker),
    ("network", network),
];

pub fn minutes_ago(minutes: i64) -> Timestamp {
    NOW - SignedDuration::from_mins(minutes)
}

/// Ids that the examples need to name.
pub mod id {
    use super::{ACCOUNT, REGION};

    pub fn ecs(rest: &str) -> String {
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{rest}")
    }

    pub fn elb(rest: &str) -> String {
        format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{rest}")
    }

    pub fn group(name: &str) -> String {
        elb(&format!("targetgroup/{name}/6d0ecf831eec9f09"))
    }

    pub fn image(name: &str) -> String {
        format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}")
    }

    /// A secret of Secrets Manager.
    pub fn secret(name: &str) -> String {
        format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf")
    }

    /// A task id, from one digit.
    pub fn task(digit: u8) -> String {
        char::from(b'0' + digit % 10).to_string().repeat(32)
    }

    pub fn digest(digit: u8) -> String {
        format!("sha256:{}", char::from(b'0' + digit % 10).to_string().repeat(64))
    }
}

fn empty() -> Snapshot {
    Snapshot {
        format: FORMAT.into(),
        made_by: "ecs-doctor".into(),
        taken_at: NOW,
        account: ACCOUNT.into(),
        region: REGION.into(),
        example: Some("a healthy service, made up".into()),
        ..Snapshot::default()
    }
}

/// What differs between services; [`service`] makes the rest.
struct Plan {
    name: &'static str,
    cluster: &'static str,
    tasks: u8,
    image: &'static str,
    container: &'static str,
    port: Option<i32>,
    ec2: bool,
    log_group: &'static str,
}

const SUBNETS: [(&str, &str, &str); 2] =
    [("subnet-0a1", "eu-west-2a", "10.0.1.0/24"), ("subnet-0b2", "eu-west-2b", "10.0.2.0/24")];

/// A service with its tasks, deployments, revision, image and logs; no load balancer.
fn service(plan: &Plan) -> Snapshot {
    let mut snapshot = empty();
    let Plan { name, cluster, .. } = *plan;
    let arn = id::ecs(&format!("service/{cluster}/{name}"));
    let definition = id::ecs(&format!("task-definition/{name}:12"));
    let revision = id::ecs(&format!("service-revision/{cluster}/{name}/4000000000000000012"));
    let deployment_arn =
        |n: u8| id::ecs(&format!("service-deployment/{cluster}/{name}/deployment{n}"));
    let image = id::image(plan.image);
    let network = NetworkConfiguration {
        subnets: SUBNETS.iter().map(|(id, ..)| (*id).into()).collect(),
        security_groups: vec!["sg-task".into()],
        assign_public_ip: Some("DISABLED".into()),
    };
    let configuration = DeploymentConfiguration {
        strategy: Some("ROLLING".into()),
        maximum_percent: Some(200),
        minimum_healthy_percent: Some(100),
        deployment_circuit_breaker: Some(CircuitBreaker {
            enable: true,
            rollback: true,
            reset_on_healthy_task: Some(true),
        }),
        ..DeploymentConfiguration::default()
    };
    let count = i32::from(plan.tasks);
    snapshot.services.push(Service {
        service_arn: arn.clone(),
        service_name: name.into(),
        cluster_arn: id::ecs(&format!("cluster/{cluster}")),
        status: "ACTIVE".into(),
        desired_count: count,
        running_count: count,
        launch_type: Some(if plan.ec2 { "EC2" } else { "FARGATE" }.into()),
        platform_version: (!plan.ec2).then(|| "LATEST".into()),
        platform_family: (!plan.ec2).then(|| "Linux".into()),
        task_definition: Some(definition.clone()),
        deployment_configuration: configuration.clone(),
        deployment_controller: Some("ECS".into()),
        deployments: vec![Deployment {
            id: "ecs-svc/1000000000000000012".into(),
            status: "PRIMARY".into(),
            task_definition: Some(definition.clone()),
            desired_count: count,
            running_count: count,
            created_at: Some(minutes_ago(3 * 1440)),
            updated_at: Some(minutes_ago(3 * 1440 - 8)),
            rollout_state: Some("COMPLETED".into()),
            rollout_state_reason: Some(
                "ECS deployment ecs-svc/1000000000000000012 completed.".into(),
            ),
            platform_version: (!plan.ec2).then(|| "1.4.0".into()),
            network_configuration: (!plan.ec2).then(|| network.clone()),
            ..Deployment::default()
        }],
        events: vec![ServiceEvent {
            id: "7f0f2c5e-0000-4000-8000-000000000001".into(),
            created_at: Some(minutes_ago(45)),
            message: format!("(service {name}) has reached a steady state."),
        }],
        network_configuration: (!plan.ec2).then_some(network),
        health_check_grace_period_seconds: plan.port.map(|_| 60),
        scheduling_strategy: Some("REPLICA".into()),
        created_at: Some(minutes_ago(90 * 1440)),
        current_service_deployment: Some(deployment_arn(2)),
        current_service_revisions: vec![revision.clone()],
        ..Service::default()
    });
    let deployment = |n: u8, days: i64| ServiceDeployment {
        service_deployment_arn: deployment_arn(n),
        status: "SUCCESSFUL".into(),
        created_at: Some(minutes_ago(days * 1440)),
        started_at: Some(minutes_ago(days * 1440)),
        updated_at: Some(minutes_ago(days * 1440 - 8)),
        finished_at: Some(minutes_ago(days * 1440 - 8)),
        target_service_revision: Some(RevisionSummary {
            arn: if n == 2 {
                revision.clone()
            } else {
                id::ecs(&format!("service-revision/{cluster}/{name}/4000000000000000011"))
            },
            requested_task_count: count,
            running_task_count: count,
            ..RevisionSummary::default()
        }),
        deployment_configuration: configuration.clone(),
        deployment_circuit_breaker: Some(BreakerState {
            status: Some("MONITORING_COMPLETE".into()),
            failure_count: 0,
            threshold: 3,
        }),
        ..ServiceDeployment::default()
    };
    let deployments = vec![deployment(2, 3), deployment(1, 20)];
    snapshot.other_balancers.put(&arn, Vec::new());
    snapshot.listed_deployments.put(&arn, deployments.iter().map(listed).collect());
    snapshot.service_deployments.put(&arn, deployments);
    snapshot.revisions.put(
        &revision,
        Revision {
            service_revision_arn: revision.clone(),
            task_definition: Some(definition.clone()),
            created_at: Some(minutes_ago(3 * 1440)),
            container_images: vec![ContainerImage {
                container_name: plan.container.into(),
                image: image.clone(),
                image_digest: Some(id::digest(1)),
            }],
            security_groups: vec!["sg-task".into()],
            subnets: if plan.ec2 {
                Vec::new()
            } else {
                SUBNETS.iter().map(|(id, ..)| (*id).into()).collect()
            },
            assign_public_ip: (!plan.ec2).then(|| "DISABLED".into()),
            launch_type: Some(if plan.ec2 { "EC2" } else { "FARGATE" }.into()),
            ..Revision::default()
        },
    );
    snapshot.task_definitions.put(
        &definition,
        TaskDefinition {
            task_definition_arn: definition.clone(),
            family: name.into(),
            revision: 12,
            network_mode: Some(if plan.ec2 { "bridge" } else { "awsvpc" }.into()),
            cpu: Some("256".into()),
            memory: Some("512".into()),
            task_role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/{name}-task")),
            execution_role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole")),
            cpu_architecture: Some("X86_64".into()),
            operating_system_family: Some("LINUX".into()),
            container_definitions: vec![ContainerDefinition {
                name: plan.container.into(),
                image: image.clone(),
                essential: true,
                port_mappings: plan
                    .port
                    .map(|port| PortMapping {
                        container_port: Some(port),
                        protocol: Some("tcp".into()),
                        ..PortMapping::default()
                    })
                    .into_iter()
                    .collect(),
                environment: vec![EnvironmentVariable {
                    name: "LOG_LEVEL".into(),
                    hosts: Vec::new(),
                }],
                secrets: vec!["DATABASE_PASSWORD".into()],
                injected_secrets: vec![InjectedSecret {
                    name: "DATABASE_PASSWORD".into(),
                    value_from: id::secret(&format!("{name}-db")),
                }],
                log_driver: Some("awslogs".into()),
                awslogs_group: Some(plan.log_group.into()),
                awslogs_region: Some(REGION.into()),
                awslogs_stream_prefix: Some("ecs".into()),
                ..ContainerDefinition::default()
            }],
            ..TaskDefinition::default()
        },
    );
    let tasks: Vec<Task> = (1..=plan.tasks).map(|n| task(plan, n, &definition, &image)).collect();
    for task in &tasks {
        let stream = format!("ecs/{}/{}", plan.container, task.id());
        let line = LogLine {
            timestamp: Some(minutes_ago(2)),
            message: "GET /orders 200 3.1 ms".into(),
            log_stream_name: stream.clone(),
        };
        snapshot.logs.put(format!("{}{LOG_STREAM}{stream}", plan.log_group), vec![line]);
        if let (Some(interface), Some(subnet)) = (&task.network_interface_id, &task.subnet_id) {
            let groups = vec!["sg-task".into()];
            let address = task.private_address().map(str::to_owned);
            let interface_row = Interface {
                network_interface_id: interface.clone(),
                private_ip_address: address,
                groups,
                subnet_id: Some(subnet.clone()),
                status: Some("in-use".into()),
                ..Interface::default()
            };
            snapshot.interfaces.put(interface, interface_row);
        }
    }
    snapshot.health_checker_logs.put(plan.log_group, Vec::new());
    snapshot.running_tasks.put(&arn, tasks);
    snapshot.stopped_tasks.put(&arn, Vec::new());
    snapshot.images.put(
        &image,
        Image {
            repository_name: name.into(),
            image_digest: id::digest(1),
            image_tags: vec![image.rsplit(':').next().unwrap_or_default().into()],
            image_pushed_at: Some(minutes_ago(3 * 1440 + 20)),
            image_manifest_media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
            image_status: Some("ACTIVE".into()),
        },
    );
    snapshot
        .newest_revisions
        .put(name, NewestRevisions { family: name.into(), task_definition_arns: vec![definition] });
    let uri = id::image(name);
    snapshot.repositories.put(
        &uri,
        Repository {
            repository_name: name.into(),
            repository_uri: uri.clone(),
            image_tag_mutability: Some("IMMUTABLE".into()),
            image_tag_mutability_exclusion_filters: Vec::new(),
        },
    );
    for (subnet, zone, block) in SUBNETS {
        let row = Subnet {
            subnet_id: subnet.into(),
            vpc_id: Some("vpc-1".into()),
            availability_zone: Some(zone.into()),
            cidr_block: Some(block.into()),
            available_ip_address_count: Some(240),
            map_public_ip_on_launch: Some(false),
            ..Subnet::default()
        };
        snapshot.subnets.put(subnet, row);
    }
    let routes = |gateway: &str| {
        vec![
            Route {
                destination: "10.0.0.0/16".into(),
                target: Some("local".into()),
                state: Some("active".into()),
            },
            Route {
                destination: "0.0.0.0/0".into(),
                target: Some(gateway.into()),
                state: Some("active".into()),
            },
        ]
    };
    snapshot.route_tables.put(
        "vpc-1",
        vec![
            RouteTable {
                route_table_id: "rtb-private".into(),
                main: true,
                subnet_ids: SUBNETS.iter().map(|(id, ..)| (*id).into()).collect(),
                routes: routes("nat-1"),
            },
            RouteTable {
                route_table_id: "rtb-public".into(),
                main: false,
                subnet_ids: vec!["subnet-0c3".into(), "subnet-0d4".into()],
                routes: routes("igw-1"),
            },
        ],
    );
    scaling::add(&mut snapshot, (!plan.ec2 && plan.port.is_some()).then_some(count));
    vpc::surround(&mut snapshot);
    for metric in Metric::ALL.iter().filter(|metric| metric.owner() == Owner::Service) {
        snapshot.metrics.put(metric.of(&arn), minutes(20.0));
    }
    snapshot.security_groups.put(
        "sg-task",
        SecurityGroup {
            group_id: "sg-task".into(),
            group_name: format!("{name}-tasks"),
            vpc_id: Some("vpc-1".into()),
            ip_permissions_egress: vec![everywhere("-1", None)],
            ..SecurityGroup::default()
        },
    );
    snapshot
}

fn task(plan: &Plan, n: u8, definition: &str, image: &str) -> Task {
    let (subnet, zone, _) = SUBNETS[usize::from(n - 1) % SUBNETS.len()];
    let address = format!("10.0.{}.{}", (n - 1) % 2 + 1, 20 + n);
    Task {
        task_arn: id::ecs(&format!("task/{}/{}", plan.cluster, id::task(n))),
        started_by: Some("ecs-svc/1000000000000000012".into()),
        task_definition_arn: definition.into(),
        last_status: "RUNNING".into(),
        desired_status: "RUNNING".into(),
        health_status: Some("UNKNOWN".into()),
        availability_zone: Some(zone.into()),
        created_at: Some(minutes_ago(3 * 1440 - 1)),
        started_at: Some(minutes_ago(3 * 1440 - 2)),
        network_interface_id: (!plan.ec2).then(|| format!("eni-{n}")),
        subnet_id: (!plan.ec2).then(|| subnet.into()),
        container_instance_arn: plan
            .ec2
            .then(|| id::ecs(&format!("container-instance/{}/{}", plan.cluster, id::task(8)))),
        containers: vec![Container {
            name: plan.container.into(),
            image: Some(image.into()),
            image_digest: Some(id::digest(1)),
            last_status: Some("RUNNING".into()),
            health_status: Some("UNKNOWN".into()),
            private_ipv4_address: (!plan.ec2).then_some(address),
            host_ports: if plan.ec2 { vec![32_767 + i32::from(n)] } else { Vec::new() },
            ..Container::default()
        }],
        ..Task::default()
    }
}

/// The short form of a deployment, as the list has it.
pub fn listed(deployment: &ServiceDeployment) -> ListedDeployment {
    ListedDeployment {
        service_deployment_arn: deployment.service_deployment_arn.clone(),
        target_service_revision_arn: deployment
            .target_service_revision
            .as_ref()
            .map(|revision| revision.arn.clone()),
        status: deployment.status.clone(),
        status_reason: deployment.status_reason.clone(),
        created_at: deployment.created_at,
        started_at: deployment.started_at,
        finished_at: deployment.finished_at,
    }
}

/// Begins a deployment of version 13, some minutes ago; `change` says how far it came. The service
/// is left as that deployment leaves it: with both versions, with the new one, or, where it went
/// back, as it was.
pub fn roll_out(
    snapshot: &mut Snapshot,
    minutes: i64,
    change: impl FnOnce(&mut ServiceDeployment),
) {
    let next = |id: &str| format!("{}13", id.strip_suffix("12").unwrap_or(id));
    let Service {
        service_arn: arn,
        desired_count: count,
        current_service_revisions,
        deployments,
        ..
    } = snapshot.services[0].clone();
    let (old, new) = (&current_service_revisions[0], next(&current_service_revisions[0]));
    let definition = next(deployments[0].task_definition.as_deref().unwrap_or_default());
    let summary = |arn: &str| RevisionSummary {
        arn: arn.into(),
        requested_task_count: count,
        running_task_count: count,
        ..RevisionSummary::default()
    };
    let before = snapshot
        .service_deployments
        .change(&arn)
        .and_then(|all| all.first().cloned())
        .unwrap_or_default();
    let mut deployment = ServiceDeployment {
        service_deployment_arn: before.service_deployment_arn.replace("deployment2", "deployment3"),
        status: "IN_PROGRESS".into(),
        created_at: Some(minutes_ago(minutes)),
        started_at: Some(minutes_ago(minutes)),
        updated_at: Some(minutes_ago(minutes - 2)),
        finished_at: None,
        source_service_revisions: vec![summary(old)],
        target_service_revision: Some(summary(&new)),
        deployment_circuit_breaker: Some(BreakerState {
            status: Some("MONITORING".into()),
            failure_count: 0,
            threshold: 3,
        }),
        ..before
    };
    change(&mut deployment);
    if let Some(revision) = snapshot.revisions.change(old).cloned() {
        let revision = Revision {
            service_revision_arn: new.clone(),
            task_definition: Some(definition.clone()),
            created_at: deployment.created_at,
            ..revision
        };
        snapshot.revisions.put(&new, revision);
    }
    if let Some(before) = deployments[0]
        .task_definition
        .as_deref()
        .and_then(|before| snapshot.task_definitions.change(before).cloned())
    {
        snapshot.task_definitions.put(
            &definition,
            TaskDefinition { task_definition_arn: definition.clone(), revision: 13, ..before },
        );
    }
    let family = snapshot.services[0].service_name.clone();
    snapshot.newest_revisions.put(
        &family,
        NewestRevisions { family: family.clone(), task_definition_arns: vec![definition.clone()] },
    );
    let service = &mut snapshot.services[0];
    let primary = |state: &str| Deployment {
        id: "ecs-svc/1000000000000000013".into(),
        task_definition: Some(definition.clone()),
        created_at: deployment.created_at,
        updated_at: deployment.updated_at,
        rollout_state: Some(state.into()),
        rollout_state_reason: None,
        ..deployments[0].clone()
    };
    if crate::facts::deployment::rollout::is_under_way(&deployment) {
        service.current_service_deployment = Some(deployment.service_deployment_arn.clone());
        service.current_service_revisions = vec![new, old.clone()];
        service.deployments = vec![
            primary("IN_PROGRESS"),
            Deployment { status: "ACTIVE".into(), ..deployments[0].clone() },
        ];
    } else if deployment.status == "SUCCESSFUL" {
        service.current_service_revisions = vec![new];
        service.deployments = vec![primary("COMPLETED")];
    }
    if let Some(listed_before) = snapshot.listed_deployments.change(&arn) {
        listed_before.insert(0, listed(&deployment));
    }
    if let Some(all) = snapshot.service_deployments.change(&arn) {
        all.insert(0, deployment);
    }
}

/// Lets another controller deploy the service, `CODE_DEPLOY` or `EXTERNAL`: its deployments become
/// task sets, of which the oldest serves, and AWS tells of no deployment of its own.
pub fn hand_over(snapshot: &mut Snapshot, controller: &str) {
    let service = &mut snapshot.services[0];
    let arn = service.service_arn.clone();
    service.deployment_controller = Some(controller.into());
    let oldest = service.deployments.len().saturating_sub(1);
    let task_set = |(index, deployment): (usize, Deployment)| {
        let is_stable = deployment.running_count >= deployment.desired_count;
        TaskSet {
            id: deployment.id,
            status: if index == oldest { "PRIMARY" } else { "ACTIVE" }.into(),
            task_definition: deployment.task_definition,
            computed_desired_count: deployment.desired_count,
            running_count: deployment.running_count,
            pending_count: deployment.pending_count,
            stability_status: Some(if is_stable { "STEADY_STATE" } else { "STABILIZING" }.into()),
            external_id: Some("d-ABCDEF123".into()),
        }
    };
    service.task_sets =
        std::mem::take(&mut service.deployments).into_iter().enumerate().map(task_set).collect();
    service.current_service_deployment = None;
    service.current_service_revisions.clear();
    let refused = "UnsupportedFeatureException: Service deployments are only supported for the ECS deployment controller.";
    snapshot.listed_deployments.insert(&arn, Seen::No(Why::Unreadable(refused.into())));
    snapshot.service_deployments.insert(&arn, Seen::No(Why::Unreadable(refused.into())));
    snapshot.revisions.0.clear();
}

/// Lets no client's request reach the targets any more, since twenty minutes.
pub fn shut_clients_out(snapshot: &mut Snapshot) {
    for balancer in snapshot.services[0].load_balancers.clone() {
        let group = Metric::GroupRequests.of(&balancer.target_group_arn.unwrap_or_default());
        if let Some(series) = snapshot.metrics.change(&group) {
            series.values.retain(|(at, _)| *at < minutes_ago(20));
        }
    }
}

/// One value for each of the last sixty minutes.
pub fn minutes(value: f64) -> Series {
    Series { values: (1..=60).rev().map(|minute| (minutes_ago(minute), value)).collect() }
}

pub fn everywhere(protocol: &str, port: Option<i32>) -> IpPermission {
    IpPermission {
        ip_protocol: protocol.into(),
        from_port: port,
        to_port: port,
        cidr_ip: vec!["0.0.0.0/0".into()],
        ..IpPermission::default()
    }
}

/// Lets a block of IPv4 addresses in on one TCP port.
pub fn from_block(port: i32, cidr: &str) -> IpPermission {
    IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(port)) }
}

/// Puts the running tasks on the internet: public addresses, in subnets that route to the internet
/// gateway.
pub fn expose_tasks(snapshot: &mut Snapshot) {
    for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
        table
            .routes
            .iter_mut()
            .filter(|route| route.destination == "0.0.0.0/0")
            .for_each(|route| route.target = Some("igw-1".into()));
    }
    let interfaces =
        snapshot.interfaces.0.values_mut().filter_map(|seen| {
            if let Seen::Yes(interface) = seen { interface.as_mut() } else { None }
        });
    for (number, interface) in interfaces.enumerate() {
        interface.public_ip = Some(format!("198.51.100.{}", 21 + number));
    }
}

/// Gives a load balancer a listener for plain HTTP on port 80, with one action for everything.
pub fn plain_listener(snapshot: &mut Snapshot, name: &str, action: Action) {
    let balancer = id::elb(&format!("loadbalancer/app/{name}/50dc6c495c0c9188"));
    let listener = id::elb(&format!("listener/app/{name}/50dc6c495c0c9188/0000000000000080"));
    snapshot.rules.put(&listener, vec![default_rule(&listener, action.clone())]);
    if let Some(listeners) = snapshot.listeners.change(&balancer) {
        listeners.push(Listener {
            listener_arn: listener,
            load_balancer_arn: balancer,
            port: Some(80),
            protocol: Some("HTTP".into()),
            ssl_policy: None,
            default_actions: vec![action],
        });
    }
}

pub fn from_group(port: i32, group: &str) -> IpPermission {
    IpPermission {
        ip_protocol: "tcp".into(),
        from_port: Some(port),
        to_port: Some(port),
        group_id: vec![group.into()],
        ..IpPermission::default()
    }
}

pub fn target(address: &str, port: i32, zone: &str, state: &str) -> Target {
    Target {
        id: address.into(),
        port: Some(port),
        availability_zone: Some(zone.into()),
        state: state.into(),
        ..Target::default()
    }
}

/// A target that fails its health check, with AWS's reason and words.
pub fn unhealthy(address: &str, port: i32, reason: &str, description: &str) -> Target {
    Target {
        reason: Some(reason.into()),
        description: Some(description.into()),
        ..target(address, port, "eu-west-2a", "unhealthy")
    }
}

pub fn forward(shares: &[(&str, i32)]) -> Action {
    let group = |(arn, weight): &(&str, i32)| WeightedGroup {
        target_group_arn: (*arn).into(),
        weight: *weight,
    };
    Action {
        kind: "forward".into(),
        target_groups: shares.iter().map(group).collect(),
        ..Action::default()
    }
}

pub fn host_rule(arn: &str, priority: &str, host: &str, action: Action) -> Rule {
    let condition = Condition {
        field: "host-header".into(),
        values: vec![host.into()],
        ..Condition::default()
    };
    Rule {
        rule_arn: arn.into(),
        priority: priority.into(),
        is_default: false,
        conditions: vec![condition],
        actions: vec![action],
    }
}

fn default_rule(listener: &str, action: Action) -> Rule {
    let arn = format!("{}/0000000000000000", listener.replace(":listener/", ":listener-rule/"));
    Rule {
        rule_arn: arn,
        priority: "default".into(),
        is_default: true,
        conditions: Vec::new(),
        actions: vec![action],
    }
}

/// Puts a load balancer before the service: `groups` are its target groups, `rules` those of its
/// HTTPS listener.
fn balance(
    snapshot: &mut Snapshot,
    name: &str,
    port: i32,
    target_type: &str,
    groups: &[&str],
    rules: impl FnOnce(&str) -> Vec<Rule>,
) {
    let balancer = id::elb(&format!("loadbalancer/app/{name}/50dc6c495c0c9188"));
    let listener = id::elb(&format!("listener/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2"));
    snapshot.load_balancers.put(
        &balancer,
        LoadBalancer {
            load_balancer_arn: balancer.clone(),
            load_balancer_name: name.into(),
            dns_name: Some(format!("{name}-1234567890.{REGION}.elb.amazonaws.com")),
            scheme: Some("internet-facing".into()),
            load_balancer_type: Some("application".into()),
            state: Some("active".into()),
            ip_address_type: Some("ipv4".into()),
            vpc_id: Some("vpc-1".into()),
            availability_zones: SUBNETS.iter().map(|(_, zone, _)| (*zone).into()).collect(),
            subnets: vec!["subnet-0c3".into(), "subnet-0d4".into()],
            security_groups: vec!["sg-balancer".into()],
            created_time: Some(minutes_ago(90 * 1440)),
            ..LoadBalancer::default()
        },
    );
    let attributes = [("idle_timeout.timeout_seconds", "60"), ("access_logs.s3.enabled", "false")];
    snapshot.load_balancer_attributes.put(&balancer, pairs(&attributes));
    let rules = rules(&listener);
    let default_actions = rules.last().map(|rule| rule.actions.clone()).unwrap_or_default();
    snapshot.rules.put(&listener, rules);
    snapshot.listeners.put(
        &balancer,
        vec![Listener {
            listener_arn: listener,
            load_balancer_arn: balancer.clone(),
            port: Some(443),
            protocol: Some("HTTPS".into()),
            ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into()),
            default_actions,
        }],
    );
    let policy = "ELBSecurityPolicy-TLS13-1-2-2021-06";
    snapshot.ssl_policies.put(
        policy,
        SslPolicy { name: policy.into(), ssl_protocols: vec!["TLSv1.2".into(), "TLSv1.3".into()] },
    );
    for group in groups {
        snapshot.target_groups.put(
            *group,
            TargetGroup {
                target_group_arn: (*group).into(),
                target_group_name: crate::facts::inbound::traffic::group_name(group).into(),
                protocol: Some("HTTP".into()),
                protocol_version: Some("HTTP1".into()),
                port: Some(port),
                vpc_id: Some("vpc-1".into()),
                target_type: Some(target_type.into()),
                ip_address_type: Some("ipv4".into()),
                load_balancer_arns: vec![balancer.clone()],
                health_check_enabled: Some(true),
                health_check_protocol: Some("HTTP".into()),
                health_check_port: Some("traffic-port".into()),
                health_check_path: Some("/health".into()),
                health_check_interval_seconds: Some(30),
                health_check_timeout_seconds: Some(5),
                healthy_threshold_count: Some(5),
                unhealthy_threshold_count: Some(2),
                matcher: Some("200".into()),
            },
        );
        snapshot
            .target_group_attributes
            .put(*group, pairs(&[("deregistration_delay.timeout_seconds", "300")]));
        snapshot.target_health.put(*group, Vec::new());
    }
    for (subnet, zone, block) in
        [("subnet-0c3", "eu-west-2a", "10.0.3.0/24"), ("subnet-0d4", "eu-west-2b", "10.0.4.0/24")]
    {
        let row = Subnet {
            subnet_id: subnet.into(),
            vpc_id: Some("vpc-1".into()),
            availability_zone: Some(zone.into()),
            cidr_block: Some(block.into()),
            available_ip_address_count: Some(240),
            map_public_ip_on_launch: Some(true),
            ..Subnet::default()
        };
        snapshot.subnets.put(subnet, row);
    }
    // The office and a partner: open to the world is a finding, and a healthy service has none.
    let clients = IpPermission {
        ip_protocol: "tcp".into(),
        from_port: Some(443),
        to_port: Some(443),
        cidr_ip: vec!["203.0.113.0/24".into(), "198.51.100.0/24".into()],
        ..IpPermission::default()
    };
    let row = SecurityGroup {
        group_id: "sg-balancer".into(),
        group_name: format!("{name}-balancer"),
        vpc_id: Some("vpc-1".into()),
        ip_permissions: vec![clients],
        ip_permissions_egress: vec![everywhere("-1", None)],
        ..SecurityGroup::default()
    };
    snapshot.security_groups.put("sg-balancer", row);
    if let Some(group) = snapshot.security_groups.change("sg-task") {
        group.ip_permissions.push(from_group(port, "sg-balancer"));
    }
    for metric in Metric::ALL {
        let value = match metric {
            Metric::Requests | Metric::GroupRequests => 120.0,
            Metric::HealthyHosts => 2.0,
            Metric::ResponseTime => 0.3,
            _ => 0.0,
        };
        let owners: &[&str] = match metric.owner() {
            Owner::LoadBalancer => &[balancer.as_str()],
            Owner::TargetGroup => groups,
            Owner::NetworkBalancer | Owner::Service | Owner::WebAcl | Owner::SignIn => &[],
        };
        for owner in owners {
            // CloudWatch has no values where nothing happened.
            snapshot.metrics.put(
                metric.of(owner),
                if value > 0.0 { minutes(value) } else { Series::default() },
            );
        }
    }
    request_path::guard(snapshot, &balancer);
    peers::neighbour(snapshot);
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

/// A Fargate service behind an application load balancer: two tasks in two zones, rolling
/// deployments.
pub fn fargate() -> Snapshot {
    let mut snapshot = service(&Plan {
        name: "api",
        cluster: "prod",
        tasks: 2,
        image: "api:1.4.2",
        container: "app",
        port: Some(8080),
        ec2: false,
        log_group: "/ecs/api",
    });
    let group = id::group("api");
    balance(&mut snapshot, "web", 8080, "ip", &[&group], |listener| {
        vec![
            host_rule(
                &format!("{}/9683b2d02a6cabee", listener.replace(":listener/", ":listener-rule/")),
                "10",
                "api.example.com",
                forward(&[(&group, 1)]),
            ),
            default_rule(
                listener,
                Action {
                    kind: "fixed-response".into(),
                    status_code: Some("404".into()),
                    ..Action::default()
                },
            ),
        ]
    });
    snapshot.target_health.put(
        &group,
        vec![
            target("10.0.1.21", 8080, "eu-west-2a", "healthy"),
            target("10.0.2.22", 8080, "eu-west-2b", "healthy"),
        ],
    );
    snapshot.services[0].load_balancers = vec![ServiceLoadBalancer {
        target_group_arn: Some(group),
        container_name: Some("app".into()),
        container_port: Some(8080),
        ..ServiceLoadBalancer::default()
    }];
    peers::registered(&mut snapshot);
    snapshot
}

/// The two halves of the Express service's pair: the first has the traffic.
pub fn express_groups() -> [String; 2] {
    [id::group("ecs-gateway-tg-1a2b3c4d5e6f70001"), id::group("ecs-gateway-tg-1a2b3c4d5e6f70002")]
}

/// The host that Express gave to its service.
pub const EXPRESS_HOST: &str = "ap-0123456789abcdef0123456789abcdef.ecs.eu-west-2.on.aws";

/// An Express service: canary deployments over a pair of target groups, an alarm of ECS's making.
pub fn express() -> Snapshot {
    let mut snapshot = service(&Plan {
        name: "api",
        cluster: "default",
        tasks: 2,
        image: "api:1.4.2",
        container: "Main",
        port: Some(8080),
        ec2: false,
        log_group: "/aws/ecs/default/api-1a2b",
    });
    let [live, idle] = express_groups();
    let mut rule_arn = String::new();
    balance(
        &mut snapshot,
        "ecs-express-gateway-alb-1a2b3c4d",
        8080,
        "ip",
        &[&live, &idle],
        |listener| {
            rule_arn =
                format!("{}/9683b2d02a6cabee", listener.replace(":listener/", ":listener-rule/"));
            vec![
                host_rule(&rule_arn, "1", EXPRESS_HOST, forward(&[(&live, 100), (&idle, 0)])),
                default_rule(
                    listener,
                    Action {
                        kind: "fixed-response".into(),
                        status_code: Some("404".into()),
                        ..Action::default()
                    },
                ),
            ]
        },
    );
    snapshot.target_health.put(
        &live,
        vec![
            target("10.0.1.21", 8080, "eu-west-2a", "healthy"),
            target("10.0.2.22", 8080, "eu-west-2b", "healthy"),
        ],
    );
    let alarm = "default/api/RollbackAlarm";
    let configuration = DeploymentConfiguration {
        strategy: Some("CANARY".into()),
        canary_percent: Some(5.0),
        canary_bake_time_in_minutes: Some(3),
        bake_time_in_minutes: Some(3),
        alarms: Some(DeploymentAlarms {
            alarm_names: vec![alarm.into()],
            enable: true,
            rollback: true,
        }),
        ..snapshot.services[0].deployment_configuration.clone()
    };
    let service = &mut snapshot.services[0];
    let arn = service.service_arn.clone();
    service.resource_management_type = Some("ECS".into());
    service.task_definition = None;
    service.launch_type = None;
    service.capacity_providers = vec!["FARGATE".into()];
    // Of the pair, which the revision has, `DescribeServices` names the half that is live.
    service.load_balancers = vec![ServiceLoadBalancer {
        target_group_arn: Some(live.clone()),
        container_name: Some("Main".into()),
        container_port: Some(8080),
        ..ServiceLoadBalancer::default()
    }];
    service.deployment_configuration = configuration.clone();
    let revision = service.current_service_revisions[0].clone();
    for deployment in snapshot.service_deployments.change(&arn).into_iter().flatten() {
        deployment.deployment_configuration = configuration.clone();
        deployment.alarms = Some(deployment::AlarmsState {
            status: Some("MONITORING_COMPLETE".into()),
            alarm_names: vec![alarm.into()],
            triggered_alarm_names: Vec::new(),
        });
    }
    let active = |arn: &str| {
        let updated_at = Some(minutes_ago(90 * 1440));
        Some(ManagedResource {
            arn: Some(arn.into()),
            status: Some("ACTIVE".into()),
            status_reason: None,
            updated_at,
        })
    };
    let balancer = id::elb("loadbalancer/app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188");
    let listener =
        id::elb("listener/app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188/f2f7dc8efc522ab2");
    if let Some(revision) = snapshot.revisions.change(&revision) {
        let group = |arn: &String| ManagedTargetGroup {
            arn: Some(arn.clone()),
            status: Some("ACTIVE".into()),
            status_reason: None,
            updated_at: Some(minutes_ago(90 * 1440)),
            health_check_path: Some("/health".into()),
            health_check_port: Some(8080),
            port: Some(8080),
        };
        revision.ingress_paths = vec![IngressPath {
            access_type: Some("PUBLIC".into()),
            endpoint: Some(EXPRESS_HOST.into()),
            load_balancer: active(&balancer),
            load_balancer_security_groups: active(&format!(
                "arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-balancer"
            ))
            .into_iter()
            .collect(),
            certificate: active(&format!(
                "arn:aws:acm:{REGION}:{ACCOUNT}:certificate/7c6b5a49-3827-4165-9f0e-1d2c3b4a5968"
            )),
            listener: active(&listener),
            rule: active(&rule_arn),
            target_groups: [&live, &idle].into_iter().map(group).collect(),
        }];
        revision.scalable_target = active(&format!(
            "arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0ec51a2b3c4d5e6f7081"
        ));
        revision.metric_alarms =
            active(&format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm}"))
                .into_iter()
                .collect();
        revision.service_security_groups =
            active(&format!("arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-task"))
                .into_iter()
                .collect();
        revision.log_groups =
            active(&format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/ecs/default/api-1a2b"))
                .into_iter()
                .collect();
    }
    if let Some(group) = snapshot.security_groups.change("sg-balancer") {
        group.ecs_managed = true;
    }
    snapshot.express_services.put(
        &arn,
        ExpressService {
            service_arn: arn.clone(),
            status_code: Some("ACTIVE".into()),
            status_reason: None,
            health_check_path: Some("/health".into()),
            container_port: Some(8080),
            endpoints: vec![EXPRESS_HOST.into()],
        },
    );
    snapshot.alarms.put(
        alarm,
        Alarm {
            alarm_name: alarm.into(),
            state_value: "OK".into(),
            state_reason: Some(
                "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as [NonBreaching].".into(),
            ),
            state_updated_timestamp: Some(minutes_ago(3 * 1440)),
            threshold: Some(1.0),
            comparison_operator: Some("GreaterThanThreshold".into()),
            evaluation_periods: Some(3),
            datapoints_to_alarm: Some(2),
            treat_missing_data: Some("notBreaching".into()),
            metric_names: ["HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "RequestCountPerTarget"].map(String::from).into(),
            expressions: vec!["100 * (IF(m_0_4xx < 5, 0, m_0_4xx) + m_0_5xx) / FILL(m_0_total, 1)".into()],
            target_groups: [&live, &idle].map(|arn| arn.rsplit(':').next().unwrap_or_default().to_owned()).into(),
        },
    );
    snapshot.alarm_history.put(alarm, Vec::new());
    snapshot
}

/// A service on EC2 with bridge networking: instances are the targets, on ports that Docker chose.
pub fn ec2() -> Snapshot {
    let mut snapshot = service(&Plan {
        name: "web",
        cluster: "prod",
        tasks: 2,
        image: "web:2.0.1",
        container: "web",
        port: Some(3000),
        ec2: true,
        log_group: "/ecs/web",
    });
    let group = id::group("web");
    balance(&mut snapshot, "web", 3000, "instance", &[&group], |listener| {
        vec![default_rule(listener, forward(&[(&group, 1)]))]
    });
    snapshot.target_health.put(
        &group,
        vec![
            target("i-0a1b2c3d4e5f60001", 32768, "eu-west-2a", "healthy"),
            target("i-0a1b2c3d4e5f60002", 32769, "eu-west-2b", "healthy"),
        ],
    );
    snapshot.services[0].load_balancers = vec![ServiceLoadBalancer {
        target_group_arn: Some(group),
        container_name: Some("web".into()),
        container_port: Some(3000),
        ..ServiceLoadBalancer::default()
    }];
    capacity::put(&mut snapshot);
    // The partner comes by a prefix list.
    let partner = prefix_list::list(&mut snapshot, "pl-9a47e5", "partner", &["198.51.100.0/24"]);
    if let Some(group) = snapshot.security_groups.change("sg-balancer") {
        group
            .ip_permissions
            .iter_mut()
            .for_each(|permission| permission.cidr_ip.retain(|block| block != "198.51.100.0/24"));
        group.ip_permissions.push(prefix_list::from_list(443, partner));
    }
    instances::put(&mut snapshot);
    snapshot
}

/// A worker: no load balancer, no port.
pub fn worker() -> Snapshot {
    let mut snapshot = service(&Plan {
        name: "mailer",
        cluster: "prod",
        tasks: 2,
        image: "mailer:0.9.0",
        container: "worker",
        port: None,
        ec2: false,
        log_group: "/ecs/mailer",
    });
    peers::databases(&mut snapshot);
    peers::connected(&mut snapshot);
    snapshot
}

/// Takes away all tasks of the service's only deployment, and the targets with them: ECS tries to
/// start new ones.
pub fn lack_tasks(snapshot: &mut Snapshot) {
    let service = &mut snapshot.services[0];
    service.running_count = 0;
    service.deployments.iter_mut().for_each(|deployment| deployment.running_count = 0);
    let arn = service.service_arn.clone();
    snapshot.running_tasks.put(arn, Vec::new());
    let groups: Vec<String> = snapshot.target_health.0.keys().cloned().collect();
    groups.iter().for_each(|group| snapshot.target_health.put(group, Vec::new()));
}

/// Puts an event before all others.
pub fn say(snapshot: &mut Snapshot, minutes: i64, message: &str) {
    let id = format!("7f0f2c5e-0000-4000-8000-1{minutes:011}");
    snapshot.services[0].events.insert(
        0,
        ServiceEvent { id, created_at: Some(minutes_ago(minutes)), message: message.into() },
    );
}

/// Puts tasks of the primary deployment that stopped one after the other, four minutes apart,
/// newest first.
pub fn stop_tasks(snapshot: &mut Snapshot, count: u8, change: impl Fn(&mut Task)) {
    let arn = snapshot.services[0].service_arn.clone();
    let model = snapshot
        .running_tasks
        .change(&arn)
        .and_then(|tasks| tasks.first().cloned())
        .unwrap_or_default();
    let primary = snapshot.services[0].deployments[0].clone();
    let stopped = (0..count).map(|n| {
        let minutes = i64::from(n) * 4 + 2;
        let mut task = Task {
            task_arn: model.task_arn.replace(&id::task(1), &id::task(n + 3)),
            started_by: Some(primary.id.clone()),
            task_definition_arn: primary.task_definition.clone().unwrap_or_default(),
            last_status: "STOPPED".into(),
            desired_status: "STOPPED".into(),
            created_at: Some(minutes_ago(minutes + 1)),
            started_at: Some(minutes_ago(minutes)),
            stopping_at: Some(minutes_ago(minutes)),
            stopped_at: Some(minutes_ago(minutes)),
            ..model.clone()
        };
        if task.task_arn.is_empty() {
            task.task_arn = id::ecs(&format!("task/prod/{}", id::task(n + 3)));
        }
        task.containers
            .iter_mut()
            .for_each(|container| container.last_status = Some("STOPPED".into()));
        change(&mut task);
        task
    });
    snapshot.stopped_tasks.put(arn, stopped.collect());
}

/// Puts tasks that never ran, for this reason, and takes away those that run.
pub fn fail_to_start(snapshot: &mut Snapshot, count: u8, reason: &str) {
    stop_tasks(snapshot, count, |task| {
        task.stop_code = Some("TaskFailedToStart".into());
        task.stopped_reason = Some(reason.into());
        task.started_at = None;
    });
    lack_tasks(snapshot);
}

/// Puts tasks whose first container ended by itself with this code, and without a word.
pub fn exit_tasks(snapshot: &mut Snapshot, count: u8, code: i32, reason: Option<&str>) {
    stop_tasks(snapshot, count, |task| {
        task.stop_code = Some("EssentialContainerExited".into());
        task.stopped_reason = Some("Essential container in task exited".into());
        for container in task.containers.iter_mut().take(1) {
            container.exit_code = Some(code);
            container.reason = reason.map(String::from);
        }
    });
    log_at_last(snapshot, &[]);
}

/// Makes these lines the last words of the containers of all tasks that stopped.
pub fn log_at_last(snapshot: &mut Snapshot, lines: &[&str]) {
    let arn = snapshot.services[0].service_arn.clone();
    let stopped = snapshot.stopped_tasks.change(&arn).cloned().unwrap_or_default();
    for task in &stopped {
        let definition = snapshot
            .task_definitions
            .change(&task.task_definition_arn)
            .cloned()
            .unwrap_or_default();
        for (group, stream) in definition
            .container_definitions
            .iter()
            .filter_map(|container| container_log::stream(container, task))
        {
            let line = |message: &&str| LogLine {
                timestamp: task.stopped_at,
                message: (*message).into(),
                log_stream_name: stream.clone(),
            };
            snapshot
                .logs
                .put(format!("{group}{LOG_STREAM}{stream}"), lines.iter().map(line).collect());
        }
    }
}
