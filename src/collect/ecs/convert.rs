//! ECS's words in the SDK, turned into those of the snapshot. Here values of environment variables
//! and commands are dropped; nothing behind this file ever had them.

use aws_sdk_ecs::types;
use checks::snapshot::deployment::{
    self, ContainerImage, IngressPath, ListedDeployment, ResolvedLoadBalancer,
};
use checks::snapshot::peers::{
    ClientAlias, ServiceConnect, ServiceConnectResource, ServiceConnectService, ServiceRegistry,
};
use checks::snapshot::service::{self, NetworkConfiguration, VpcLatticeConfiguration};
use checks::snapshot::{
    Container, ContainerDefinition, Deployment, EnvironmentVariable, ExpressService, HealthCheck,
    InjectedSecret, ManagedResource, ManagedTargetGroup, MountPoint, PortMapping, Revision,
    RevisionSummary, Service, ServiceDeployment, ServiceEvent, ServiceLoadBalancer, Task,
    TaskDefinition, Volume,
};

use super::instances;
use crate::collect::{last, text, time};
use crate::mask;

pub fn service(from: types::Service) -> Service {
    Service {
        service_arn: from.service_arn.unwrap_or_default(),
        service_name: from.service_name.unwrap_or_default(),
        cluster_arn: from.cluster_arn.unwrap_or_default(),
        status: from.status.unwrap_or_default(),
        desired_count: from.desired_count,
        running_count: from.running_count,
        pending_count: from.pending_count,
        launch_type: text(from.launch_type),
        capacity_providers: from
            .capacity_provider_strategy
            .unwrap_or_default()
            .into_iter()
            .map(|item| item.capacity_provider)
            .collect(),
        platform_version: from.platform_version,
        platform_family: from.platform_family,
        task_definition: from.task_definition,
        deployment_configuration: from
            .deployment_configuration
            .map(deployment_configuration)
            .unwrap_or_default(),
        deployment_controller: text(from.deployment_controller.map(|controller| controller.r#type)),
        deployments: from.deployments.unwrap_or_default().into_iter().map(deployment).collect(),
        task_sets: from.task_sets.unwrap_or_default().into_iter().map(task_set).collect(),
        events: from.events.unwrap_or_default().into_iter().map(event).collect(),
        load_balancers: from
            .load_balancers
            .unwrap_or_default()
            .into_iter()
            .map(service_load_balancer)
            .collect(),
        service_registries: from
            .service_registries
            .unwrap_or_default()
            .into_iter()
            .map(service_registry)
            .collect(),
        network_configuration: from.network_configuration.and_then(network_configuration),
        health_check_grace_period_seconds: from.health_check_grace_period_seconds,
        scheduling_strategy: text(from.scheduling_strategy),
        placement_constraints: from
            .placement_constraints
            .unwrap_or_default()
            .into_iter()
            .map(instances::constraint)
            .collect(),
        placement_strategy: from
            .placement_strategy
            .unwrap_or_default()
            .into_iter()
            .map(instances::strategy)
            .collect(),
        created_at: time(from.created_at),
        current_service_deployment: from.current_service_deployment,
        current_service_revisions: from
            .current_service_revisions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|revision| revision.arn)
            .collect(),
        resource_management_type: text(from.resource_management_type),
        role_arn: from.role_arn,
    }
}

fn deployment_configuration(
    from: types::DeploymentConfiguration,
) -> service::DeploymentConfiguration {
    let canary = from.canary_configuration.as_ref();
    let linear = from.linear_configuration.as_ref();
    service::DeploymentConfiguration {
        strategy: text(from.strategy),
        maximum_percent: from.maximum_percent,
        minimum_healthy_percent: from.minimum_healthy_percent,
        bake_time_in_minutes: from.bake_time_in_minutes,
        canary_percent: canary.and_then(|canary| canary.canary_percent),
        canary_bake_time_in_minutes: canary.and_then(|canary| canary.canary_bake_time_in_minutes),
        step_percent: linear.and_then(|linear| linear.step_percent),
        step_bake_time_in_minutes: linear.and_then(|linear| linear.step_bake_time_in_minutes),
        deployment_circuit_breaker: from.deployment_circuit_breaker.map(|breaker| {
            service::CircuitBreaker {
                enable: breaker.enable,
                rollback: breaker.rollback,
                reset_on_healthy_task: breaker.reset_on_healthy_task,
            }
        }),
        alarms: from.alarms.map(|alarms| service::DeploymentAlarms {
            alarm_names: alarms.alarm_names,
            enable: alarms.enable,
            rollback: alarms.rollback,
        }),
        lifecycle_hooks: from
            .lifecycle_hooks
            .unwrap_or_default()
            .into_iter()
            .map(lifecycle_hook)
            .collect(),
    }
}

fn lifecycle_hook(from: types::DeploymentLifecycleHook) -> service::LifecycleHook {
    service::LifecycleHook {
        target_type: text(from.target_type),
        hook_target_arn: from.hook_target_arn,
        role_arn: from.role_arn,
        lifecycle_stages: from
            .lifecycle_stages
            .unwrap_or_default()
            .into_iter()
            .filter_map(|stage| text(Some(stage)))
            .collect(),
    }
}

fn task_set(from: types::TaskSet) -> service::TaskSet {
    service::TaskSet {
        id: from.id.unwrap_or_default(),
        status: from.status.unwrap_or_default(),
        task_definition: from.task_definition,
        computed_desired_count: from.computed_desired_count,
        running_count: from.running_count,
        pending_count: from.pending_count,
        stability_status: text(from.stability_status),
        external_id: from.external_id,
    }
}

fn deployment(from: types::Deployment) -> Deployment {
    Deployment {
        id: from.id.unwrap_or_default(),
        status: from.status.unwrap_or_default(),
        task_definition: from.task_definition,
        desired_count: from.desired_count,
        running_count: from.running_count,
        pending_count: from.pending_count,
        failed_tasks: from.failed_tasks,
        created_at: time(from.created_at),
        updated_at: time(from.updated_at),
        rollout_state: text(from.rollout_state),
        rollout_state_reason: from.rollout_state_reason.as_deref().map(mask::reason),
        platform_version: from.platform_version,
        network_configuration: from.network_configuration.and_then(network_configuration),
        service_connect_configuration: from.service_connect_configuration.map(service_connect),
        service_connect_resources: from
            .service_connect_resources
            .unwrap_or_default()
            .into_iter()
            .map(|resource| ServiceConnectResource {
                discovery_name: resource.discovery_name,
                discovery_arn: resource.discovery_arn,
            })
            .collect(),
        vpc_lattice_configurations: from
            .vpc_lattice_configurations
            .unwrap_or_default()
            .into_iter()
            .map(|lattice| VpcLatticeConfiguration {
                target_group_arn: lattice.target_group_arn,
                port_name: lattice.port_name,
            })
            .collect(),
    }
}

fn service_connect(from: types::ServiceConnectConfiguration) -> ServiceConnect {
    ServiceConnect {
        enabled: from.enabled,
        namespace: from.namespace,
        services: from
            .services
            .unwrap_or_default()
            .into_iter()
            .map(service_connect_service)
            .collect(),
    }
}

fn service_connect_service(from: types::ServiceConnectService) -> ServiceConnectService {
    let alias = |alias: types::ServiceConnectClientAlias| ClientAlias {
        port: Some(alias.port),
        dns_name: alias.dns_name,
    };
    ServiceConnectService {
        port_name: from.port_name,
        discovery_name: from.discovery_name,
        client_aliases: from.client_aliases.unwrap_or_default().into_iter().map(alias).collect(),
        ingress_port_override: from.ingress_port_override,
        per_request_timeout_seconds: from
            .timeout
            .as_ref()
            .and_then(|timeout| timeout.per_request_timeout_seconds),
        idle_timeout_seconds: from.timeout.and_then(|timeout| timeout.idle_timeout_seconds),
    }
}

fn service_registry(from: types::ServiceRegistry) -> ServiceRegistry {
    ServiceRegistry {
        registry_arn: from.registry_arn,
        port: from.port,
        container_name: from.container_name,
        container_port: from.container_port,
    }
}

fn event(from: types::ServiceEvent) -> ServiceEvent {
    ServiceEvent {
        id: from.id.unwrap_or_default(),
        created_at: time(from.created_at),
        message: mask::reason(&from.message.unwrap_or_default()),
    }
}

fn service_load_balancer(from: types::LoadBalancer) -> ServiceLoadBalancer {
    let advanced = from.advanced_configuration.as_ref();
    ServiceLoadBalancer {
        alternate_target_group_arn: advanced
            .and_then(|advanced| advanced.alternate_target_group_arn.clone()),
        production_listener_rule: advanced
            .and_then(|advanced| advanced.production_listener_rule.clone()),
        test_listener_rule: advanced.and_then(|advanced| advanced.test_listener_rule.clone()),
        role_arn: advanced.and_then(|advanced| advanced.role_arn.clone()),
        target_group_arn: from.target_group_arn,
        load_balancer_name: from.load_balancer_name,
        container_name: from.container_name,
        container_port: from.container_port,
    }
}

fn network_configuration(from: types::NetworkConfiguration) -> Option<NetworkConfiguration> {
    from.awsvpc_configuration.map(|awsvpc| NetworkConfiguration {
        subnets: awsvpc.subnets,
        security_groups: awsvpc.security_groups.unwrap_or_default(),
        assign_public_ip: text(awsvpc.assign_public_ip),
    })
}

pub fn express_service(from: types::EcsExpressGatewayService) -> ExpressService {
    let (status_code, status_reason) =
        from.status.map_or((None, None), |status| (text(status.status_code), status.status_reason));
    let mut configurations = from.active_configurations.unwrap_or_default();
    configurations.sort_by_key(|configuration| configuration.created_at);
    let newest = configurations.pop();
    let newest = newest.as_ref();
    let paths = newest.and_then(|newest| newest.ingress_paths.as_deref()).unwrap_or_default();
    ExpressService {
        service_arn: from.service_arn.unwrap_or_default(),
        status_code,
        status_reason,
        health_check_path: newest
            .and_then(|newest| newest.health_check_path.as_deref())
            .map(mask::path),
        container_port: newest.and_then(|newest| newest.primary_container.as_ref()?.container_port),
        endpoints: paths.iter().map(|path| host(&path.endpoint)).collect(),
    }
}

/// An endpoint comes with a scheme or without.
fn host(endpoint: &str) -> String {
    let without_scheme = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    without_scheme.split('/').next().unwrap_or_default().to_ascii_lowercase()
}

pub fn listed_deployment(from: types::ServiceDeploymentBrief) -> ListedDeployment {
    ListedDeployment {
        service_deployment_arn: from.service_deployment_arn.unwrap_or_default(),
        target_service_revision_arn: from.target_service_revision_arn,
        status: text(from.status).unwrap_or_default(),
        status_reason: from.status_reason,
        created_at: time(from.created_at),
        started_at: time(from.started_at),
        finished_at: time(from.finished_at),
    }
}

pub fn service_deployment(from: types::ServiceDeployment) -> ServiceDeployment {
    ServiceDeployment {
        service_deployment_arn: from.service_deployment_arn.unwrap_or_default(),
        status: text(from.status).unwrap_or_default(),
        status_reason: from.status_reason,
        created_at: time(from.created_at),
        started_at: time(from.started_at),
        updated_at: time(from.updated_at),
        finished_at: time(from.finished_at),
        stopped_at: time(from.stopped_at),
        lifecycle_stage: text(from.lifecycle_stage),
        source_service_revisions: from
            .source_service_revisions
            .unwrap_or_default()
            .into_iter()
            .map(revision_summary)
            .collect(),
        target_service_revision: from.target_service_revision.map(revision_summary),
        deployment_configuration: from
            .deployment_configuration
            .map(deployment_configuration)
            .unwrap_or_default(),
        deployment_circuit_breaker: from.deployment_circuit_breaker.map(|breaker| {
            deployment::BreakerState {
                status: text(breaker.status),
                failure_count: breaker.failure_count,
                threshold: breaker.threshold,
            }
        }),
        alarms: from.alarms.map(|alarms| deployment::AlarmsState {
            status: text(alarms.status),
            alarm_names: alarms.alarm_names.unwrap_or_default(),
            triggered_alarm_names: alarms.triggered_alarm_names.unwrap_or_default(),
        }),
        rollback: from.rollback.map(|rollback| deployment::Rollback {
            reason: rollback.reason,
            started_at: time(rollback.started_at),
            service_revision_arn: rollback.service_revision_arn,
        }),
        lifecycle_hook_details: from
            .lifecycle_hook_details
            .unwrap_or_default()
            .into_iter()
            .map(hook)
            .collect(),
    }
}

fn hook(from: types::DeploymentLifecycleHookDetail) -> deployment::HookDetail {
    deployment::HookDetail {
        hook_id: from.hook_id,
        target_type: text(from.target_type),
        target_arn: from.target_arn,
        status: text(from.status),
        expires_at: time(from.expires_at),
        timeout_action: text(from.timeout_action),
    }
}

fn revision_summary(from: types::ServiceRevisionSummary) -> RevisionSummary {
    RevisionSummary {
        arn: from.arn.unwrap_or_default(),
        requested_task_count: from.requested_task_count,
        running_task_count: from.running_task_count,
        pending_task_count: from.pending_task_count,
        requested_production_traffic_weight: from.requested_production_traffic_weight,
    }
}

pub fn revision(from: types::ServiceRevision) -> Revision {
    let mut managed = from.ecs_managed_resources;
    let connections = managed.as_mut().and_then(|managed| managed.gateway_connections.take());
    let network = from.network_configuration.and_then(network_configuration).unwrap_or_default();
    let resolved = from
        .resolved_configuration
        .and_then(|resolved| resolved.load_balancers)
        .unwrap_or_default();
    let mut revision = Revision {
        service_revision_arn: from.service_revision_arn.unwrap_or_default(),
        task_definition: from.task_definition,
        created_at: time(from.created_at),
        container_images: from
            .container_images
            .unwrap_or_default()
            .into_iter()
            .map(container_image)
            .collect(),
        resolved_load_balancers: resolved.into_iter().map(resolved_load_balancer).collect(),
        security_groups: network.security_groups,
        subnets: network.subnets,
        assign_public_ip: network.assign_public_ip,
        launch_type: text(from.launch_type),
        capacity_providers: from
            .capacity_provider_strategy
            .unwrap_or_default()
            .into_iter()
            .map(|item| item.capacity_provider)
            .collect(),
        platform_version: from.platform_version,
        load_balancers: from
            .load_balancers
            .unwrap_or_default()
            .into_iter()
            .map(service_load_balancer)
            .collect(),
        service_connect_configuration: from.service_connect_configuration.map(service_connect),
        gateway_connectors: from
            .gateway_connectors
            .unwrap_or_default()
            .into_iter()
            .map(gateway_connector)
            .collect(),
        gateway_connections: connections
            .unwrap_or_default()
            .into_iter()
            .map(gateway_connection)
            .collect(),
        ..managed.map(managed_resources).unwrap_or_default()
    };
    let own = revision.service_security_groups.iter().filter_map(|group| group.arn.as_deref());
    revision.security_groups.extend(own.map(last).map(str::to_owned).collect::<Vec<_>>());
    revision.security_groups.sort();
    revision.security_groups.dedup();
    revision
}

fn gateway_connector(from: types::GatewayConnector) -> deployment::GatewayConnector {
    let access = from.filters.and_then(|filters| filters.access_types).unwrap_or_default();
    deployment::GatewayConnector {
        port_name: from.port_name,
        access_types: access.into_iter().filter_map(|access| text(Some(access))).collect(),
    }
}

fn gateway_connection(from: types::GatewayConnection) -> deployment::GatewayConnection {
    deployment::GatewayConnection {
        gateway_arn: from.gateway_arn,
        gateway_route_arn: from.gateway_route_arn,
        port_name: from.port_name,
        service_url: from.service_url,
        status: text(from.status),
    }
}

pub fn gateway(from: types::Gateway) -> deployment::Gateway {
    let errors = |failure: types::GatewayResourceFailure| {
        let arn = failure.arn;
        let error = move |error: types::GatewayOperationError| deployment::GatewayFailure {
            arn: arn.clone(),
            code: error.code,
            message: error.message,
        };
        failure.errors.unwrap_or_default().into_iter().map(error).collect::<Vec<_>>()
    };
    deployment::Gateway {
        gateway_arn: from.gateway_arn.unwrap_or_default(),
        name: from.name,
        status: text(from.status),
        failures: from.failures.unwrap_or_default().into_iter().flat_map(errors).collect(),
    }
}

fn resolved_load_balancer(from: types::ServiceRevisionLoadBalancer) -> ResolvedLoadBalancer {
    ResolvedLoadBalancer {
        target_group_arn: from.target_group_arn,
        production_listener_rule: from.production_listener_rule,
    }
}

/// The part of a revision that ECS made for an Express service.
fn managed_resources(from: types::EcsManagedResources) -> Revision {
    let scaling = from.auto_scaling;
    let policies = scaling
        .as_ref()
        .and_then(|scaling| scaling.application_auto_scaling_policies.clone())
        .unwrap_or_default();
    Revision {
        ingress_paths: from
            .ingress_paths
            .unwrap_or_default()
            .into_iter()
            .map(ingress_path)
            .collect(),
        scalable_target: scaling
            .and_then(|scaling| scaling.scalable_target)
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        application_auto_scaling_policies: policies
            .into_iter()
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at))
            .collect(),
        metric_alarms: from
            .metric_alarms
            .unwrap_or_default()
            .into_iter()
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at))
            .collect(),
        service_security_groups: from
            .service_security_groups
            .unwrap_or_default()
            .into_iter()
            .map(managed_security_group)
            .collect(),
        log_groups: from
            .log_groups
            .unwrap_or_default()
            .into_iter()
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at))
            .collect(),
        ..Revision::default()
    }
}

fn managed(
    arn: Option<String>,
    status: types::ManagedResourceStatus,
    status_reason: Option<String>,
    updated_at: aws_smithy_types::DateTime,
) -> ManagedResource {
    ManagedResource {
        arn,
        status: text(Some(status)),
        status_reason,
        updated_at: time(Some(updated_at)),
    }
}

fn managed_security_group(from: types::ManagedSecurityGroup) -> ManagedResource {
    managed(from.arn, from.status, from.status_reason, from.updated_at)
}

fn container_image(from: types::ContainerImage) -> ContainerImage {
    ContainerImage {
        container_name: from.container_name.unwrap_or_default(),
        image: from.image.unwrap_or_default(),
        image_digest: from.image_digest,
    }
}

fn ingress_path(from: types::ManagedIngressPath) -> IngressPath {
    IngressPath {
        access_type: text(Some(from.access_type)),
        endpoint: Some(host(&from.endpoint)),
        load_balancer: from
            .load_balancer
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        load_balancer_security_groups: from
            .load_balancer_security_groups
            .unwrap_or_default()
            .into_iter()
            .map(managed_security_group)
            .collect(),
        certificate: from
            .certificate
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        listener: from
            .listener
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        rule: from.rule.map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        target_groups: from
            .target_groups
            .unwrap_or_default()
            .into_iter()
            .map(managed_target_group)
            .collect(),
    }
}

fn managed_target_group(from: types::ManagedTargetGroup) -> ManagedTargetGroup {
    ManagedTargetGroup {
        arn: from.arn,
        status: text(Some(from.status)),
        status_reason: from.status_reason,
        updated_at: time(Some(from.updated_at)),
        health_check_path: Some(mask::path(&from.health_check_path)),
        health_check_port: Some(from.health_check_port),
        port: Some(from.port),
    }
}

pub fn task(from: types::Task) -> Task {
    let attachments = from.attachments.unwrap_or_default();
    let interface = attachments
        .iter()
        .find(|attachment| attachment.r#type.as_deref() == Some("ElasticNetworkInterface"));
    let detail = |name: &str| {
        let details =
            interface.and_then(|interface| interface.details.as_deref()).unwrap_or_default();
        details
            .iter()
            .find(|detail| detail.name.as_deref() == Some(name))
            .and_then(|detail| detail.value.clone())
    };
    Task {
        task_arn: from.task_arn.unwrap_or_default(),
        started_by: from.started_by,
        task_definition_arn: from.task_definition_arn.unwrap_or_default(),
        last_status: from.last_status.unwrap_or_default(),
        desired_status: from.desired_status.unwrap_or_default(),
        health_status: text(from.health_status),
        stop_code: text(from.stop_code),
        stopped_reason: from.stopped_reason.as_deref().map(mask::reason),
        availability_zone: from.availability_zone,
        created_at: time(from.created_at),
        pull_started_at: time(from.pull_started_at),
        pull_stopped_at: time(from.pull_stopped_at),
        started_at: time(from.started_at),
        stopping_at: time(from.stopping_at),
        stopped_at: time(from.stopped_at),
        network_interface_id: detail("networkInterfaceId"),
        private_ipv4_address: detail("privateIPv4Address"),
        subnet_id: detail("subnetId"),
        container_instance_arn: from.container_instance_arn,
        containers: from.containers.unwrap_or_default().into_iter().map(container).collect(),
    }
}

fn container(from: types::Container) -> Container {
    Container {
        name: from.name.unwrap_or_default(),
        image: from.image,
        image_digest: from.image_digest,
        last_status: from.last_status,
        exit_code: from.exit_code,
        reason: from.reason.as_deref().map(mask::reason),
        health_status: text(from.health_status),
        private_ipv4_address: from
            .network_interfaces
            .unwrap_or_default()
            .into_iter()
            .find_map(|interface| interface.private_ipv4_address),
        host_ports: from
            .network_bindings
            .unwrap_or_default()
            .into_iter()
            .filter_map(|binding| binding.host_port)
            .collect(),
    }
}

pub fn task_definition(from: types::TaskDefinition) -> TaskDefinition {
    let platform = from.runtime_platform.as_ref();
    TaskDefinition {
        task_definition_arn: from.task_definition_arn.unwrap_or_default(),
        family: from.family.unwrap_or_default(),
        revision: from.revision,
        network_mode: text(from.network_mode),
        cpu: from.cpu,
        memory: from.memory,
        task_role_arn: from.task_role_arn,
        execution_role_arn: from.execution_role_arn,
        cpu_architecture: text(platform.and_then(|platform| platform.cpu_architecture.as_ref())),
        operating_system_family: text(
            platform.and_then(|platform| platform.operating_system_family.as_ref()),
        ),
        container_definitions: from
            .container_definitions
            .unwrap_or_default()
            .into_iter()
            .map(container_definition)
            .collect(),
        requires_attributes: from
            .requires_attributes
            .unwrap_or_default()
            .into_iter()
            .map(instances::attribute)
            .collect(),
        placement_constraints: from
            .placement_constraints
            .unwrap_or_default()
            .into_iter()
            .map(instances::constraint_of_definition)
            .collect(),
        volumes: from.volumes.unwrap_or_default().into_iter().map(volume).collect(),
    }
}

fn volume(from: types::Volume) -> Volume {
    let (file_system_id, root_directory) = match from.efs_volume_configuration {
        Some(efs) => (Some(efs.file_system_id), efs.root_directory),
        None => (None, None),
    };
    Volume {
        name: from.name.unwrap_or_default(),
        host_source_path: from.host.and_then(|host| host.source_path),
        file_system_id,
        root_directory,
    }
}

/// Names and paths of parameters stay where they are: only of secrets there is more to ask.
fn injected_secret(from: &types::Secret) -> Option<InjectedSecret> {
    from.value_from
        .contains(":secretsmanager:")
        .then(|| InjectedSecret { name: from.name.clone(), value_from: from.value_from.clone() })
}

fn container_definition(from: types::ContainerDefinition) -> ContainerDefinition {
    let log = from.log_configuration;
    let option = |name: &str| log.as_ref().and_then(|log| log.options.as_ref()?.get(name).cloned());
    let environment = |variable: types::KeyValuePair| EnvironmentVariable {
        hosts: mask::hosts(
            variable.name.as_deref().unwrap_or_default(),
            variable.value.as_deref().unwrap_or_default(),
        ),
        name: variable.name.unwrap_or_default(),
    };
    let secrets = from.secrets.unwrap_or_default();
    let port = |mapping: types::PortMapping| PortMapping {
        name: mapping.name,
        container_port: mapping.container_port,
        host_port: mapping.host_port,
        protocol: text(mapping.protocol),
    };
    ContainerDefinition {
        name: from.name.unwrap_or_default(),
        image: from.image.unwrap_or_default(),
        essential: from.essential.unwrap_or(true),
        port_mappings: from.port_mappings.unwrap_or_default().into_iter().map(port).collect(),
        environment: from.environment.unwrap_or_default().into_iter().map(environment).collect(),
        injected_secrets: secrets.iter().filter_map(injected_secret).collect(),
        secrets: secrets.into_iter().map(|secret| secret.name).collect(),
        awslogs_group: option("awslogs-group"),
        awslogs_region: option("awslogs-region"),
        awslogs_stream_prefix: option("awslogs-stream-prefix"),
        log_driver: text(log.map(|log| log.log_driver)),
        firelens_type: text(from.firelens_configuration.map(|router| router.r#type)),
        version_consistency: text(from.version_consistency),
        has_health_check: from.health_check.is_some(),
        health_check: from.health_check.map(|check| HealthCheck {
            command: mask::arguments(&check.command),
            interval: check.interval,
            timeout: check.timeout,
            retries: check.retries,
            start_period: check.start_period,
        }),
        entry_point: from
            .entry_point
            .filter(|words| !words.is_empty())
            .map(|words| mask::arguments(&words)),
        command: from
            .command
            .filter(|words| !words.is_empty())
            .map(|words| mask::arguments(&words)),
        // ECS sends 0 where nothing is reserved.
        cpu: Some(from.cpu).filter(|cpu| *cpu != 0),
        memory: from.memory,
        memory_reservation: from.memory_reservation,
        stop_timeout: from.stop_timeout,
        gpu: gpus(from.resource_requirements.unwrap_or_default()),
        mount_points: from.mount_points.unwrap_or_default().into_iter().map(mount_point).collect(),
    }
}

fn mount_point(from: types::MountPoint) -> MountPoint {
    MountPoint {
        source_volume: from.source_volume,
        container_path: from.container_path,
        read_only: from.read_only,
    }
}

/// How many GPUs a container asks for.
fn gpus(requirements: Vec<types::ResourceRequirement>) -> Option<i32> {
    requirements
        .into_iter()
        .find(|requirement| requirement.r#type == types::ResourceType::Gpu)
        .and_then(|requirement| requirement.value.parse().ok())
}
