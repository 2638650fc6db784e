//! Every table of a snapshot, declared once: what AWS tells, the key by which it is kept, the call
//! that tells it, and what a check calls to read it. The fields of [`super::Snapshot`] and the
//! accessors of [`crate::patient::Patient`] are both made from this list, with its comments as
//! their documentation and as that of the schema.

/// Hands the list to a macro that makes something of it. A row is
///
/// ```text
/// /// What it is.
/// target_health: [Target] by group via DescribeTargetHealth as targets;
/// ```
///
/// - `[Target]` is a list, which is empty where AWS has none; `Target` without brackets is one
///   thing, or none.
/// - The key is an argument of the accessor; `own_service` and `own_cluster` are the ARNs of the
///   patient itself, and no argument.
/// - `as` names the accessor, if it is not called like the table; `all` adds one for every value
///   that AWS told.
///
/// The order is that of the file. What stands in braces is a field without a table.
macro_rules! tables {
    ($make:ident) => {
        $make! {
            // Deployments and tasks.

            /// By service ARN.
            express_services: ExpressService
                by own_service via DescribeExpressGatewayService as express_service;
            /// By service ARN, newest first; the newest ones with their details.
            service_deployments: [ServiceDeployment]
                by own_service via DescribeServiceDeployments;
            /// By service ARN, newest first: every deployment that ECS still knows, in short. This
            /// is the list before its details were asked for.
            listed_deployments: [ListedDeployment] by own_service via ListServiceDeployments;
            /// By service revision ARN.
            revisions: Revision
                by arn via DescribeServiceRevisions as revision, all known_revisions;
            /// By gateway ARN, where the service's route on it failed.
            gateways: Gateway by arn via DescribeGateway as gateway;
            /// By service ARN: tasks that run, or are about to.
            running_tasks: [Task] by own_service via DescribeTasks;
            /// By service ARN: tasks that stopped, newest first; AWS keeps them for about an hour.
            stopped_tasks: [Task] by own_service via DescribeTasks;
            /// By service ARN: those old tasks that a deployment waits for (see
            /// [`crate::facts::deployment::protection`]).
            task_protection: [ProtectedTask] by own_service via GetTaskProtection;
            /// By task definition ARN, of whatever service.
            task_definitions: TaskDefinition
                by arn via DescribeTaskDefinition as task_definition, all task_definitions;
            /// By family: its newest active revision, whether it is deployed or not.
            newest_revisions: NewestRevisions by family via ListTaskDefinitions;

            // The way in.

            /// By target group ARN.
            target_groups: TargetGroup by arn via DescribeTargetGroups as target_group;
            /// By target group ARN: the registered targets.
            target_health: [Target] by group via DescribeTargetHealth as targets;
            /// By target group ARN.
            target_group_attributes: Attributes by arn via DescribeTargetGroupAttributes;
            /// By load balancer ARN.
            load_balancers: LoadBalancer by arn via DescribeLoadBalancers as load_balancer;
            /// By service ARN: the load balancers of its VPC that are not its own, where a variable
            /// may name a sibling (see [`crate::facts::peers::sibling::may_be_called`]).
            other_balancers: [String] by own_service via DescribeLoadBalancers;
            /// By load balancer ARN.
            load_balancer_attributes: Attributes by arn via DescribeLoadBalancerAttributes;
            /// By load balancer ARN.
            listeners: [Listener] by balancer via DescribeListeners;
            /// By listener ARN: every rule, in the order of evaluation, the default rule last.
            rules: [Rule] by listener via DescribeRules;
            /// By listener ARN, where the listener speaks TLS: its default certificate and all
            /// others.
            listener_certificates: [ListenerCertificate]
                by listener via DescribeListenerCertificates;
            /// By certificate ARN: those of the listeners, where ACM has them.
            certificates: Certificate by arn via ListCertificates as certificate;
            /// By load balancer ARN: the web ACL in front of it. Only application load balancers
            /// have one.
            web_acls: WebAcl by balancer via GetWebAclForResource as web_acl, all web_acls;
            /// By the ARN of an IP set, where a web ACL refers to it through which the service
            /// calls a sibling.
            ip_sets: IpSet by arn via GetIpSet as ip_set;
            /// By the name of the security policy of a TLS listener.
            ssl_policies: SslPolicy by name via DescribeSSLPolicies as ssl_policy;

            // The network.

            /// By security group id.
            security_groups: SecurityGroup by id via DescribeSecurityGroups as security_group;
            /// By subnet id.
            subnets: Subnet by id via DescribeSubnets as subnet;
            /// By VPC id.
            route_tables: [RouteTable] by vpc via DescribeRouteTables;
            /// By VPC id, like endpoints, NAT gateways and DNS: asked only where something cannot
            /// be reached; network ACLs also where a load balancer has public IPv6.
            network_acls: [NetworkAcl] by vpc via DescribeNetworkAcls;
            /// By VPC id.
            endpoints: [Endpoint] by vpc via DescribeVpcEndpoints;
            /// By VPC id.
            nat_gateways: [NatGateway] by vpc via DescribeNatGateways;
            /// By VPC id.
            vpc_dns: VpcDns by vpc via DescribeVpcAttribute;
            /// By peering connection id, where the route to an address leads to it that does not
            /// answer the app.
            peering_connections: PeeringConnection
                by id via DescribeVpcPeeringConnections as peering_connection;
            /// By transit gateway id, for the same reason: the VPCs that are attached to it.
            transit_attachments: [TransitAttachment]
                by gateway via DescribeTransitGatewayVpcAttachments;
            /// By prefix list id: its blocks, where a rule or a route that matters names it; none
            /// where the list is not to be found.
            prefix_lists: Blocks by id via GetManagedPrefixListEntries as prefix_list;
            /// By prefix list id: whose it is and what it is called, where an inbound rule of a
            /// load balancer names it.
            managed_prefix_lists: ManagedPrefixList
                by id via DescribeManagedPrefixLists as managed_prefix_list;
            /// By network interface id.
            interfaces: Interface by id via DescribeNetworkInterfaces as interface;
            /// By EC2 instance id, where a target is an instance: its primary interface, to which
            /// the load balancer talks; none where the instance is gone.
            instance_interfaces: Interface
                by instance via DescribeNetworkInterfaces as instance_interface;
            /// By NAT gateway id, where a sibling's load balancer is open to few: the public
            /// addresses that it lends.
            nat_addresses: NatAddresses by gateway via DescribeNatGateways;

            // Siblings and databases.

            /// By service ARN: siblings that the service may call.
            peers: Service by arn via DescribeServices as peer, all peers;
            /// By cluster ARN, where clients come in to the service by a load balancer.
            cluster_services: ClusterServices by own_cluster via ListServices;
            /// By service ARN: the others of a cluster that has few (see
            /// [`crate::facts::peers::callers`]).
            siblings: Sibling by arn via DescribeServices as sibling;
            /// By namespace, where the service uses Service Connect: the services that use it.
            namespace_services: NamespaceServices by namespace via ListServicesByNamespace;
            /// By the ARN of a service of Cloud Map.
            discovery_services: DiscoveryService by arn via GetService as discovery_service;
            /// By the ARN of a service of Cloud Map.
            discovery_instances: [DiscoveryInstance] by arn via ListInstances;
            /// By the ARN of a service of Cloud Map: `HEALTHY`, `UNHEALTHY` or `UNKNOWN` by the id
            /// of an instance.
            discovery_health: InstanceHealth by arn via GetInstancesHealthStatus;
            /// By identifier, where a variable names its host.
            db_instances: DbInstance by identifier via DescribeDBInstances as db_instance;
            /// By identifier, where a variable names its host.
            db_clusters: DbCluster by identifier via DescribeDBClusters as db_cluster;
            /// By name, where a variable names its host.
            db_proxies: DbProxy by name via DescribeDBProxies as db_proxy;
            /// By the proxy's name.
            db_proxy_targets: [DbProxyTarget] by proxy via DescribeDBProxyTargets;
            /// By id, where a connection to its host failed.
            replication_groups: ReplicationGroup
                by id via DescribeReplicationGroups as replication_group;
            /// By id, where a connection to its host failed, or to its replication group's.
            cache_clusters: CacheCluster by id via DescribeCacheClusters as cache_cluster;
            /// By name, where a connection to its host failed.
            serverless_caches: ServerlessCache
                by name via DescribeServerlessCaches as serverless_cache;
            /// By the ARN of a secret of Secrets Manager, where a container got it and its login is
            /// refused (see [`crate::facts::peers::login`]).
            secrets: Secret by arn via DescribeSecret as secret;

            // Images.

            /// By image as the task definition spells it, where its registry is ECR and it has a
            /// tag: what the tag points at now.
            images: Image by image via DescribeImages as image;
            /// By image: digests of the platform manifests behind a multi-architecture tag.
            image_platforms: [String] by image via BatchGetImage;
            /// By digest (`…/team/api@sha256:…`): what current revisions have pinned and the tag
            /// has no longer (see [`crate::aws::image::by_digest`]).
            pinned_images: PinnedImage by digest via BatchGetImage as pinned_image;
            /// By repository URI.
            repositories: Repository by uri via DescribeRepositories as repository;
            /// By repository URI, where a pinned digest may be in danger: what removes images.
            lifecycle_policies: LifecyclePolicy by uri via GetLifecyclePolicy as lifecycle_policy;

            // What scales it.

            /// By service ARN: none where nothing scales it.
            scalable_targets: ScalableTarget
                by own_service via DescribeScalableTargets as scalable_target;
            /// By service ARN.
            scaling_policies: [ScalingPolicy] by own_service via DescribeScalingPolicies;
            /// By service ARN, newest first: what was done, and what was tried and not done.
            scaling_activities: [ScalingActivity] by own_service via DescribeScalingActivities;
            /// By service ARN, where a schedule matters (see
            /// [`crate::facts::tasks::scaling::needs_schedule`]).
            scheduled_actions: [ScheduledAction] by own_service via DescribeScheduledActions;

            // Alarms, metrics and logs.

            /// By alarm name.
            alarms: Alarm by name via DescribeAlarms as alarm;
            /// By alarm name: state changes, newest first.
            alarm_history: [AlarmTransition] by name via DescribeAlarmHistory;
            /// By metric (see [`crate::snapshot::metric::Metric`]) and resource: one value a
            /// minute, oldest first.
            metrics: Series by key via GetMetricData as series;
            /// By the same key, where errors or slow answers fill that hour (see
            /// [`crate::facts::inbound::answers::without_beginning`]): one value of five minutes
            /// each, over the day before, oldest first.
            metrics_before: Series by key via GetMetricData as series_before;
            /// By `group:log-stream:stream`: the last lines, oldest first.
            logs: [LogLine] by stream via GetLogEvents as log_stream;
            /// By log group: lines that name `ELB-HealthChecker`, oldest first.
            health_checker_logs: [LogLine] by group via FilterLogEvents as health_checker_lines;
            {
                /// Who changed what, if the user asked for it.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub trail: Option<Trail>,
            }

            // Instances, and who may do what.

            /// By cluster ARN, while a service on instances lacks tasks (see
            /// [`crate::facts::tasks::capacity::matters`]).
            container_instances: [ContainerInstance] by own_cluster via DescribeContainerInstances;
            /// By cluster ARN.
            clusters: Cluster by own_cluster via DescribeClusters as cluster_details;
            /// By name.
            capacity_providers: CapacityProvider
                by name via DescribeCapacityProviders as capacity_provider;
            /// By name.
            auto_scaling_groups: AutoScalingGroup
                by name via DescribeAutoScalingGroups as auto_scaling_group;
            /// By name of the Auto Scaling group: what it did last, newest first.
            group_activities: [GroupActivity] by group via DescribeGroupActivities;
            /// By name: roles that ECS could not assume.
            roles: Role by name via GetRole as role;
            /// By role, action and resource that IAM refused (see
            /// [`crate::facts::access::refusal::Question::key`]).
            simulations: Simulation by key via SimulatePrincipalPolicy as simulation;
        }
    };
}

pub(crate) use tables;
