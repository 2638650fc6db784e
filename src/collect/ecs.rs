//! What ECS tells: services, deployments, revisions, tasks, task definitions. Here values of environment variables and
//! commands are dropped; nothing behind this file ever had them.

use std::collections::BTreeSet;

use aws_sdk_ecs::types;
use checks::call::Call;
use checks::seen::{Blind, Seen, Why};
use checks::snapshot::deployment::{self, ContainerImage, IngressPath, ListedDeployment, ResolvedLoadBalancer, ServiceConnect};
use checks::snapshot::service::{self, NetworkConfiguration};
use checks::snapshot::{
    Container, ContainerDefinition, Deployment, EnvironmentVariable, ExpressService, HealthCheck, ManagedResource, ManagedTargetGroup,
    NewestRevisions, PortMapping, ProtectedTask, Revision, RevisionSummary, Service, ServiceDeployment, ServiceEvent, ServiceLoadBalancer, Table,
    Task, TaskDefinition,
};
use futures::future::{join, join_all};

use super::{Aws, last, mask, text, time};

/// How many of the newest deployments are asked for their details; the limit of one call.
const DEPLOYMENTS: usize = 20;

impl Aws {
    pub async fn clusters(&self) -> Seen<Vec<String>> {
        let pages = self.asker.pages(Call::ListClusters, |token| async {
            let page = self.ecs.list_clusters().max_results(100).set_next_token(token).send().await?;
            Ok((page.cluster_arns.unwrap_or_default(), page.next_token))
        });
        pages.await.map(Option::unwrap_or_default)
    }

    /// The ARNs of a cluster's services.
    pub async fn service_arns(&self, cluster: &str) -> Seen<Vec<String>> {
        let pages = self.asker.pages(Call::ListServices, |token| async {
            let page = self.ecs.list_services().cluster(cluster).max_results(100).set_next_token(token).send().await?;
            Ok((page.service_arns.unwrap_or_default(), page.next_token))
        });
        pages.await.map(Option::unwrap_or_default)
    }

    /// Services of one cluster by name or ARN, ten a call. `None`: there is no such cluster.
    pub async fn services(&self, cluster: &str, names: &[String]) -> Seen<Option<Vec<Service>>> {
        let batches = names.chunks(10).map(|names| {
            let request = self.ecs.describe_services().cluster(cluster).set_services(Some(names.to_vec()));
            self.asker.ask(Call::DescribeServices, request.send())
        });
        let mut services = Vec::new();
        for batch in join_all(batches).await {
            match batch {
                Seen::Yes(Some(reply)) => services.extend(reply.services.unwrap_or_default().into_iter().map(service)),
                Seen::Yes(None) => return Seen::Yes(None),
                Seen::No(why) => return Seen::No(why),
            }
        }
        Seen::Yes(Some(services))
    }

    pub async fn express_service(&self, arn: &str) -> Seen<Option<ExpressService>> {
        let request = self.ecs.describe_express_gateway_service().service_arn(arn).send();
        let reply = self.asker.ask(Call::DescribeExpressGatewayService, request).await;
        reply.map(|reply| reply.and_then(|reply| reply.service).map(express_service))
    }

    /// Every deployment that ECS still lists, newest first.
    pub async fn listed_deployments(&self, service: &Service) -> Seen<Vec<ListedDeployment>> {
        let pages = self.asker.pages(Call::ListServiceDeployments, |token| async {
            let request = self.ecs.list_service_deployments().service(&service.service_arn).cluster(&service.cluster_arn);
            let page = request.max_results(100).set_next_token(token).send().await?;
            Ok((page.service_deployments.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|listed| {
            let mut listed: Vec<_> = listed.unwrap_or_default().into_iter().map(listed_deployment).collect();
            listed.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
            listed
        })
    }

    /// The details of the newest of these deployments, newest first.
    pub async fn service_deployments(&self, listed: &Seen<Vec<ListedDeployment>>) -> Seen<Vec<ServiceDeployment>> {
        let listed = match listed {
            Seen::Yes(listed) => listed,
            Seen::No(why) => return behind(Call::ListServiceDeployments, why),
        };
        let arns: Vec<String> = listed.iter().take(DEPLOYMENTS).map(|deployment| deployment.service_deployment_arn.clone()).collect();
        if arns.is_empty() {
            return Seen::Yes(Vec::new());
        }
        let request = self.ecs.describe_service_deployments().set_service_deployment_arns(Some(arns)).send();
        self.asker.ask(Call::DescribeServiceDeployments, request).await.map(|reply| {
            let described = reply.and_then(|reply| reply.service_deployments).unwrap_or_default();
            let mut described: Vec<_> = described.into_iter().map(service_deployment).collect();
            described.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
            described
        })
    }

    /// Service revisions, twenty a call. Those from before October 2024 cannot be described: AWS has none.
    pub async fn revisions(&self, arns: BTreeSet<String>) -> Table<Revision> {
        let mut table = Table::default();
        let arns: Vec<String> = arns.into_iter().collect();
        let batches = arns.chunks(20).map(|batch| {
            let request = self.ecs.describe_service_revisions().set_service_revision_arns(Some(batch.to_vec())).send();
            self.asker.ask(Call::DescribeServiceRevisions, request)
        });
        for (batch, reply) in arns.chunks(20).zip(join_all(batches).await) {
            let reply = reply.map(|reply| reply.and_then(|reply| reply.service_revisions).unwrap_or_default());
            super::fill(&mut table, batch, reply.map(|found| found.into_iter().map(revision).collect()), |revision| &revision.service_revision_arn);
        }
        table
    }

    /// Tasks that run and tasks that stopped, the latter newest first.
    pub async fn tasks(&self, service: &Service) -> (Seen<Vec<Task>>, Seen<Vec<Task>>) {
        let (running, mut stopped) =
            join(self.tasks_of(service, types::DesiredStatus::Running), self.tasks_of(service, types::DesiredStatus::Stopped)).await;
        if let Seen::Yes(stopped) = &mut stopped {
            stopped.sort_by_key(|task| std::cmp::Reverse(task.stopped_at));
        }
        (running, stopped)
    }

    async fn tasks_of(&self, service: &Service, status: types::DesiredStatus) -> Seen<Vec<Task>> {
        let pages = self.asker.pages(Call::ListTasks, |token| async {
            let request = self.ecs.list_tasks().cluster(&service.cluster_arn).service_name(&service.service_name).desired_status(status.clone());
            let page = request.set_next_token(token).send().await?;
            Ok((page.task_arns.unwrap_or_default(), page.next_token))
        });
        let arns = match pages.await {
            Seen::Yes(arns) => arns.unwrap_or_default(),
            Seen::No(why) => return behind(Call::ListTasks, &why),
        };
        let batches = arns.chunks(100).map(|arns| {
            let request = self.ecs.describe_tasks().cluster(&service.cluster_arn).set_tasks(Some(arns.to_vec()));
            self.asker.ask(Call::DescribeTasks, request.send())
        });
        let mut tasks = Vec::new();
        for batch in join_all(batches).await {
            match batch {
                Seen::Yes(reply) => tasks.extend(reply.and_then(|reply| reply.tasks).unwrap_or_default().into_iter().map(task)),
                Seen::No(why) => return Seen::No(why),
            }
        }
        tasks.sort_by(|a, b| a.task_arn.cmp(&b.task_arn));
        Seen::Yes(tasks)
    }

    pub async fn task_definition(&self, arn: &str) -> Seen<Option<TaskDefinition>> {
        let request = self.ecs.describe_task_definition().task_definition(arn).send();
        let reply = self.asker.ask(Call::DescribeTaskDefinition, request).await;
        reply.map(|reply| reply.and_then(|reply| reply.task_definition).map(task_definition))
    }

    /// The newest active revision of a family; the next page has older ones.
    pub async fn newest_revisions(&self, family: &str) -> Seen<Option<NewestRevisions>> {
        let request = self.ecs.list_task_definitions().family_prefix(family).sort(types::SortOrder::Desc).max_results(1).send();
        self.asker.ask(Call::ListTaskDefinitions, request).await.map(|reply| {
            let task_definition_arns = reply?.task_definition_arns.unwrap_or_default();
            Some(NewestRevisions { family: family.to_owned(), task_definition_arns })
        })
    }

    /// Whether ECS may stop these tasks, a hundred at most.
    pub async fn task_protection(&self, cluster: &str, tasks: Vec<String>) -> Seen<Option<Vec<ProtectedTask>>> {
        let request = self.ecs.get_task_protection().cluster(cluster).set_tasks(Some(tasks)).send();
        self.asker.ask(Call::GetTaskProtection, request).await.map(|reply| {
            let protected = reply?.protected_tasks.unwrap_or_default().into_iter();
            Some(
                protected
                    .map(|task| ProtectedTask {
                        task_arn: task.task_arn.unwrap_or_default(),
                        protection_enabled: task.protection_enabled,
                        expiration_date: time(task.expiration_date),
                    })
                    .collect(),
            )
        })
    }
}

/// Unseen, because an earlier call was.
fn behind<T>(call: Call, why: &Why) -> Seen<T> {
    Seen::No(Why::Behind(Box::new(Blind { call, why: why.clone() })))
}

fn service(from: types::Service) -> Service {
    Service {
        service_arn: from.service_arn.unwrap_or_default(),
        service_name: from.service_name.unwrap_or_default(),
        cluster_arn: from.cluster_arn.unwrap_or_default(),
        status: from.status.unwrap_or_default(),
        desired_count: from.desired_count,
        running_count: from.running_count,
        pending_count: from.pending_count,
        launch_type: text(from.launch_type),
        capacity_providers: from.capacity_provider_strategy.unwrap_or_default().into_iter().map(|item| item.capacity_provider).collect(),
        platform_version: from.platform_version,
        task_definition: from.task_definition,
        deployment_configuration: from.deployment_configuration.map(deployment_configuration).unwrap_or_default(),
        deployment_controller: text(from.deployment_controller.map(|controller| controller.r#type)),
        deployments: from.deployments.unwrap_or_default().into_iter().map(deployment).collect(),
        task_sets: from.task_sets.unwrap_or_default().into_iter().map(task_set).collect(),
        events: from.events.unwrap_or_default().into_iter().map(event).collect(),
        load_balancers: from.load_balancers.unwrap_or_default().into_iter().map(service_load_balancer).collect(),
        network_configuration: from.network_configuration.and_then(network_configuration),
        health_check_grace_period_seconds: from.health_check_grace_period_seconds,
        scheduling_strategy: text(from.scheduling_strategy),
        created_at: time(from.created_at),
        current_service_deployment: from.current_service_deployment,
        current_service_revisions: from.current_service_revisions.unwrap_or_default().into_iter().filter_map(|revision| revision.arn).collect(),
        resource_management_type: text(from.resource_management_type),
    }
}

fn deployment_configuration(from: types::DeploymentConfiguration) -> service::DeploymentConfiguration {
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
        deployment_circuit_breaker: from.deployment_circuit_breaker.map(|breaker| service::CircuitBreaker {
            enable: breaker.enable,
            rollback: breaker.rollback,
            reset_on_healthy_task: breaker.reset_on_healthy_task,
        }),
        alarms: from.alarms.map(|alarms| service::DeploymentAlarms {
            alarm_names: alarms.alarm_names,
            enable: alarms.enable,
            rollback: alarms.rollback,
        }),
        lifecycle_hooks: from.lifecycle_hooks.unwrap_or_default().into_iter().map(lifecycle_hook).collect(),
    }
}

fn lifecycle_hook(from: types::DeploymentLifecycleHook) -> service::LifecycleHook {
    service::LifecycleHook {
        target_type: text(from.target_type),
        hook_target_arn: from.hook_target_arn,
        role_arn: from.role_arn,
        lifecycle_stages: from.lifecycle_stages.unwrap_or_default().into_iter().filter_map(|stage| text(Some(stage))).collect(),
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
        rollout_state_reason: from.rollout_state_reason,
        network_configuration: from.network_configuration.and_then(network_configuration),
    }
}

fn event(from: types::ServiceEvent) -> ServiceEvent {
    ServiceEvent { id: from.id.unwrap_or_default(), created_at: time(from.created_at), message: from.message.unwrap_or_default() }
}

fn service_load_balancer(from: types::LoadBalancer) -> ServiceLoadBalancer {
    let advanced = from.advanced_configuration.as_ref();
    ServiceLoadBalancer {
        alternate_target_group_arn: advanced.and_then(|advanced| advanced.alternate_target_group_arn.clone()),
        production_listener_rule: advanced.and_then(|advanced| advanced.production_listener_rule.clone()),
        test_listener_rule: advanced.and_then(|advanced| advanced.test_listener_rule.clone()),
        target_group_arn: from.target_group_arn,
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

fn express_service(from: types::EcsExpressGatewayService) -> ExpressService {
    let (status_code, status_reason) = from.status.map_or((None, None), |status| (text(status.status_code), status.status_reason));
    let mut configurations = from.active_configurations.unwrap_or_default();
    configurations.sort_by_key(|configuration| configuration.created_at);
    let newest = configurations.pop();
    let newest = newest.as_ref();
    let paths = newest.and_then(|newest| newest.ingress_paths.as_deref()).unwrap_or_default();
    ExpressService {
        service_arn: from.service_arn.unwrap_or_default(),
        status_code,
        status_reason,
        health_check_path: newest.and_then(|newest| newest.health_check_path.clone()),
        container_port: newest.and_then(|newest| newest.primary_container.as_ref()?.container_port),
        endpoints: paths.iter().map(|path| host(&path.endpoint)).collect(),
    }
}

/// An endpoint comes with a scheme or without.
fn host(endpoint: &str) -> String {
    let without_scheme = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    without_scheme.split('/').next().unwrap_or_default().to_ascii_lowercase()
}

fn listed_deployment(from: types::ServiceDeploymentBrief) -> ListedDeployment {
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

fn service_deployment(from: types::ServiceDeployment) -> ServiceDeployment {
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
        source_service_revisions: from.source_service_revisions.unwrap_or_default().into_iter().map(revision_summary).collect(),
        target_service_revision: from.target_service_revision.map(revision_summary),
        deployment_configuration: from.deployment_configuration.map(deployment_configuration).unwrap_or_default(),
        deployment_circuit_breaker: from.deployment_circuit_breaker.map(|breaker| deployment::BreakerState {
            status: text(breaker.status),
            failure_count: breaker.failure_count,
            threshold: breaker.threshold,
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
        lifecycle_hook_details: from.lifecycle_hook_details.unwrap_or_default().into_iter().map(hook).collect(),
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

fn revision(from: types::ServiceRevision) -> Revision {
    let managed = from.ecs_managed_resources;
    let network = from.network_configuration.and_then(network_configuration).unwrap_or_default();
    let resolved = from.resolved_configuration.and_then(|resolved| resolved.load_balancers).unwrap_or_default();
    let mut revision = Revision {
        service_revision_arn: from.service_revision_arn.unwrap_or_default(),
        task_definition: from.task_definition,
        created_at: time(from.created_at),
        container_images: from.container_images.unwrap_or_default().into_iter().map(container_image).collect(),
        resolved_load_balancers: resolved.into_iter().map(resolved_load_balancer).collect(),
        security_groups: network.security_groups,
        subnets: network.subnets,
        assign_public_ip: network.assign_public_ip,
        launch_type: text(from.launch_type),
        capacity_providers: from.capacity_provider_strategy.unwrap_or_default().into_iter().map(|item| item.capacity_provider).collect(),
        platform_version: from.platform_version,
        load_balancers: from.load_balancers.unwrap_or_default().into_iter().map(service_load_balancer).collect(),
        service_connect_configuration: from.service_connect_configuration.map(|connect| ServiceConnect {
            enabled: connect.enabled,
            namespace: connect.namespace,
            port_names: connect.services.unwrap_or_default().into_iter().map(|service| service.port_name).collect(),
        }),
        ..managed.map(managed_resources).unwrap_or_default()
    };
    let own = revision.service_security_groups.iter().filter_map(|group| group.arn.as_deref());
    revision.security_groups.extend(own.map(last).map(str::to_owned).collect::<Vec<_>>());
    revision.security_groups.sort();
    revision.security_groups.dedup();
    revision
}

fn resolved_load_balancer(from: types::ServiceRevisionLoadBalancer) -> ResolvedLoadBalancer {
    ResolvedLoadBalancer { target_group_arn: from.target_group_arn, production_listener_rule: from.production_listener_rule }
}

/// The part of a revision that ECS made for an Express service.
fn managed_resources(from: types::EcsManagedResources) -> Revision {
    let scaling = from.auto_scaling;
    let policies = scaling.as_ref().and_then(|scaling| scaling.application_auto_scaling_policies.clone()).unwrap_or_default();
    Revision {
        ingress_paths: from.ingress_paths.unwrap_or_default().into_iter().map(ingress_path).collect(),
        scalable_target: scaling.and_then(|scaling| scaling.scalable_target).map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        application_auto_scaling_policies: policies.into_iter().map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)).collect(),
        metric_alarms: from
            .metric_alarms
            .unwrap_or_default()
            .into_iter()
            .map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at))
            .collect(),
        service_security_groups: from.service_security_groups.unwrap_or_default().into_iter().map(managed_security_group).collect(),
        log_groups: from.log_groups.unwrap_or_default().into_iter().map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)).collect(),
        ..Revision::default()
    }
}

fn managed(
    arn: Option<String>,
    status: types::ManagedResourceStatus,
    status_reason: Option<String>,
    updated_at: aws_smithy_types::DateTime,
) -> ManagedResource {
    ManagedResource { arn, status: text(Some(status)), status_reason, updated_at: time(Some(updated_at)) }
}

fn managed_security_group(from: types::ManagedSecurityGroup) -> ManagedResource {
    managed(from.arn, from.status, from.status_reason, from.updated_at)
}

fn container_image(from: types::ContainerImage) -> ContainerImage {
    ContainerImage { container_name: from.container_name.unwrap_or_default(), image: from.image.unwrap_or_default(), image_digest: from.image_digest }
}

fn ingress_path(from: types::ManagedIngressPath) -> IngressPath {
    IngressPath {
        access_type: text(Some(from.access_type)),
        endpoint: Some(host(&from.endpoint)),
        load_balancer: from.load_balancer.map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        load_balancer_security_groups: from.load_balancer_security_groups.unwrap_or_default().into_iter().map(managed_security_group).collect(),
        certificate: from.certificate.map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        listener: from.listener.map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        rule: from.rule.map(|it| managed(it.arn, it.status, it.status_reason, it.updated_at)),
        target_groups: from.target_groups.unwrap_or_default().into_iter().map(managed_target_group).collect(),
    }
}

fn managed_target_group(from: types::ManagedTargetGroup) -> ManagedTargetGroup {
    ManagedTargetGroup {
        arn: from.arn,
        status: text(Some(from.status)),
        status_reason: from.status_reason,
        updated_at: time(Some(from.updated_at)),
        health_check_path: Some(from.health_check_path),
        health_check_port: Some(from.health_check_port),
        port: Some(from.port),
    }
}

fn task(from: types::Task) -> Task {
    let attachments = from.attachments.unwrap_or_default();
    let interface = attachments.iter().find(|attachment| attachment.r#type.as_deref() == Some("ElasticNetworkInterface"));
    let detail = |name: &str| {
        let details = interface.and_then(|interface| interface.details.as_deref()).unwrap_or_default();
        details.iter().find(|detail| detail.name.as_deref() == Some(name)).and_then(|detail| detail.value.clone())
    };
    Task {
        task_arn: from.task_arn.unwrap_or_default(),
        started_by: from.started_by,
        task_definition_arn: from.task_definition_arn.unwrap_or_default(),
        last_status: from.last_status.unwrap_or_default(),
        desired_status: from.desired_status.unwrap_or_default(),
        health_status: text(from.health_status),
        stop_code: text(from.stop_code),
        stopped_reason: from.stopped_reason,
        availability_zone: from.availability_zone,
        created_at: time(from.created_at),
        pull_started_at: time(from.pull_started_at),
        pull_stopped_at: time(from.pull_stopped_at),
        started_at: time(from.started_at),
        stopping_at: time(from.stopping_at),
        stopped_at: time(from.stopped_at),
        network_interface_id: detail("networkInterfaceId"),
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
        reason: from.reason,
        health_status: text(from.health_status),
        private_ipv4_address: from.network_interfaces.unwrap_or_default().into_iter().find_map(|interface| interface.private_ipv4_address),
        host_ports: from.network_bindings.unwrap_or_default().into_iter().filter_map(|binding| binding.host_port).collect(),
    }
}

fn task_definition(from: types::TaskDefinition) -> TaskDefinition {
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
        operating_system_family: text(platform.and_then(|platform| platform.operating_system_family.as_ref())),
        container_definitions: from.container_definitions.unwrap_or_default().into_iter().map(container_definition).collect(),
    }
}

fn container_definition(from: types::ContainerDefinition) -> ContainerDefinition {
    let log = from.log_configuration;
    let option = |name: &str| log.as_ref().and_then(|log| log.options.as_ref()?.get(name).cloned());
    let environment = |variable: types::KeyValuePair| EnvironmentVariable {
        hosts: mask::hosts(variable.value.as_deref().unwrap_or_default()),
        name: variable.name.unwrap_or_default(),
    };
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
        secrets: from.secrets.unwrap_or_default().into_iter().map(|secret| secret.name).collect(),
        awslogs_group: option("awslogs-group"),
        awslogs_region: option("awslogs-region"),
        awslogs_stream_prefix: option("awslogs-stream-prefix"),
        log_driver: text(log.map(|log| log.log_driver)),
        version_consistency: text(from.version_consistency),
        has_health_check: from.health_check.is_some(),
        health_check: from.health_check.map(|check| HealthCheck {
            command: mask::arguments(&check.command),
            interval: check.interval,
            timeout: check.timeout,
            retries: check.retries,
            start_period: check.start_period,
        }),
        entry_point: from.entry_point.filter(|words| !words.is_empty()).map(|words| mask::arguments(&words)),
        command: from.command.filter(|words| !words.is_empty()).map(|words| mask::arguments(&words)),
        // ECS sends 0 where nothing is reserved.
        cpu: Some(from.cpu).filter(|cpu| *cpu != 0),
        memory: from.memory,
        memory_reservation: from.memory_reservation,
    }
}
