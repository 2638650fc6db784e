//! Everything AWS told us, and everything it would not, at one moment. Fields carry AWS's own names
//! in snake case, so that a piece of evidence can be found again in the API. Nothing secret is in
//! here: values of environment variables and commands never enter, of URLs only the host does.

pub mod access;
pub mod alarm;
pub mod balancer;
pub mod capacity;
pub mod certificate;
pub mod deployment;
pub mod image;
pub mod log;
pub mod metric;
pub mod network;
pub mod peers;
pub mod probe;
pub mod scaling;
pub mod service;
pub mod task;
pub mod task_definition;
pub mod trail;
pub mod vpc;
pub mod web_acl;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::{Role, Simulation};
pub use alarm::{Alarm, AlarmTransition};
pub use balancer::{
    Action, Condition, Listener, LoadBalancer, Rule, SslPolicy, Target, TargetGroup, WeightedGroup,
};
pub use capacity::{AutoScalingGroup, CapacityProvider, Cluster, ContainerInstance, GroupActivity};
pub use certificate::{Certificate, ListenerCertificate};
pub use deployment::{
    ManagedResource, ManagedTargetGroup, Revision, RevisionSummary, ServiceDeployment,
};
pub use image::{Image, LifecyclePolicy, PinnedImage, Repository};
pub use log::LogLine;
pub use metric::Series;
pub use network::{Interface, IpPermission, Route, RouteTable, SecurityGroup, Subnet};
pub use peers::{
    ClusterServices, DbCluster, DbInstance, DbProxy, DbProxyTarget, DiscoveryInstance,
    DiscoveryService, NamespaceServices, NatAddresses, Sibling,
};
pub use probe::{Probe, ProbeAnswer, ProbeFailure};
pub use scaling::{
    NotScaledReason, ScalableTarget, ScalingActivity, ScalingPolicy, ScheduledAction,
    SuspendedState,
};
pub use service::{Deployment, ExpressService, Service, ServiceEvent, ServiceLoadBalancer};
pub use task::{Container, ProtectedTask, Task};
pub use task_definition::{
    Arguments, ContainerDefinition, EnvironmentVariable, HealthCheck, NewestRevisions, PortMapping,
    TaskDefinition,
};
pub use trail::{Trail, TrailEvent};
pub use vpc::{AclEntry, Endpoint, ManagedPrefixList, NatGateway, NetworkAcl, VpcDns};
pub use web_acl::{IpSet, WebAcl, WebAclRule};

use crate::facts::inbound::request::Url;
use crate::seen::{Blind, Seen, Why};

/// The version of the snapshot file: a reader takes every minor version of its own major version.
pub const FORMAT: &str = "ecs-doctor-snapshot/1.0";

/// What was asked for a key: AWS has it, AWS has none, or AWS would not say. A key never asked for
/// is `NotAsked`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Table<V>(pub BTreeMap<String, Seen<Option<V>>>);

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table(BTreeMap::new())
    }
}

impl<V> Table<V> {
    pub fn get(&self, key: &str) -> Seen<Option<&V>> {
        match self.0.get(key) {
            Some(Seen::Yes(value)) => Seen::Yes(value.as_ref()),
            Some(Seen::No(why)) => Seen::No(why.clone()),
            None => Seen::No(Why::NotAsked),
        }
    }

    pub fn insert(&mut self, key: impl Into<String>, value: Seen<Option<V>>) {
        self.0.insert(key.into(), value);
    }

    /// Puts a value that AWS told us.
    pub fn put(&mut self, key: impl Into<String>, value: V) {
        self.insert(key, Seen::Yes(Some(value)));
    }

    /// The value for a test or an example to change, where AWS told us one.
    pub fn change(&mut self, key: &str) -> Option<&mut V> {
        match self.0.get_mut(key) {
            Some(Seen::Yes(value)) => value.as_mut(),
            _ => None,
        }
    }
}

/// How many calls were made, and how long all of it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Calls {
    pub total: u32,
    /// By IAM action.
    pub by_operation: BTreeMap<String, u32>,
    pub elapsed_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    pub format: String,
    /// The program that made it, with its version.
    pub made_by: String,
    /// The only clock: every age in a report is counted from here.
    pub taken_at: Timestamp,
    pub account: String,
    pub region: String,
    /// Set on accounts that are made up, so that no report of one passes for a real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    #[serde(default)]
    pub calls: Calls,
    /// Every call that was refused or broke, once.
    #[serde(default)]
    pub blind: Vec<Blind>,
    /// The URL that the user asked about; of its query what a rule asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// The services to examine.
    pub services: Vec<Service>,
    /// By service ARN.
    #[serde(default)]
    pub express_services: Table<ExpressService>,
    /// By service ARN, newest first; the newest ones with their details.
    #[serde(default)]
    pub service_deployments: Table<Vec<ServiceDeployment>>,
    /// The same list before its details were asked for, by service ARN, newest first.
    #[serde(default)]
    pub listed_deployments: Table<Vec<deployment::ListedDeployment>>,
    /// By service revision ARN.
    #[serde(default)]
    pub revisions: Table<Revision>,
    /// By service ARN: tasks that run, or are about to.
    #[serde(default)]
    pub running_tasks: Table<Vec<Task>>,
    /// By service ARN: tasks that stopped, newest first; AWS keeps them for about an hour.
    #[serde(default)]
    pub stopped_tasks: Table<Vec<Task>>,
    /// By service ARN: those old tasks that a deployment waits for (see
    /// [`crate::facts::deployment::protection`]).
    #[serde(default)]
    pub task_protection: Table<Vec<ProtectedTask>>,
    /// By task definition ARN.
    #[serde(default)]
    pub task_definitions: Table<TaskDefinition>,
    /// By family.
    #[serde(default)]
    pub newest_revisions: Table<NewestRevisions>,
    /// By target group ARN.
    #[serde(default)]
    pub target_groups: Table<TargetGroup>,
    /// By target group ARN: the registered targets.
    #[serde(default)]
    pub target_health: Table<Vec<Target>>,
    /// By target group ARN.
    #[serde(default)]
    pub target_group_attributes: Table<BTreeMap<String, String>>,
    /// By load balancer ARN.
    #[serde(default)]
    pub load_balancers: Table<LoadBalancer>,
    /// By service ARN: the load balancers of its VPC that are not its own, where a variable may
    /// name a sibling.
    #[serde(default)]
    pub other_balancers: Table<Vec<String>>,
    /// By load balancer ARN.
    #[serde(default)]
    pub load_balancer_attributes: Table<BTreeMap<String, String>>,
    /// By load balancer ARN.
    #[serde(default)]
    pub listeners: Table<Vec<Listener>>,
    /// By listener ARN: every rule, in the order of evaluation, the default rule last.
    #[serde(default)]
    pub rules: Table<Vec<Rule>>,
    /// By listener ARN, where the listener speaks TLS: its default certificate and all others.
    #[serde(default)]
    pub listener_certificates: Table<Vec<ListenerCertificate>>,
    /// By certificate ARN: those of the listeners, where ACM has them.
    #[serde(default)]
    pub certificates: Table<Certificate>,
    /// By load balancer ARN: the web ACL in front of it.
    #[serde(default)]
    pub web_acls: Table<WebAcl>,
    /// By the ARN of an IP set, where a web ACL refers to it through which the service calls a
    /// sibling.
    #[serde(default)]
    pub ip_sets: Table<IpSet>,
    /// By the name of the security policy of a TLS listener.
    #[serde(default)]
    pub ssl_policies: Table<SslPolicy>,
    /// By security group id.
    #[serde(default)]
    pub security_groups: Table<SecurityGroup>,
    /// By subnet id.
    #[serde(default)]
    pub subnets: Table<Subnet>,
    /// By VPC id.
    #[serde(default)]
    pub route_tables: Table<Vec<RouteTable>>,
    /// By VPC id, like endpoints, NAT gateways and DNS: asked only where something cannot be
    /// reached.
    #[serde(default)]
    pub network_acls: Table<Vec<NetworkAcl>>,
    /// By VPC id.
    #[serde(default)]
    pub endpoints: Table<Vec<Endpoint>>,
    /// By VPC id.
    #[serde(default)]
    pub nat_gateways: Table<Vec<NatGateway>>,
    /// By VPC id.
    #[serde(default)]
    pub vpc_dns: Table<VpcDns>,
    /// By prefix list id: its blocks, where a rule or a route that matters names it.
    #[serde(default)]
    pub prefix_lists: Table<Vec<String>>,
    /// By prefix list id: what it is called, where an inbound rule of a balancer names it.
    #[serde(default)]
    pub managed_prefix_lists: Table<ManagedPrefixList>,
    /// By network interface id.
    #[serde(default)]
    pub interfaces: Table<Interface>,
    /// By EC2 instance id, where a target is an instance: its primary interface, to which the
    /// balancer talks.
    #[serde(default)]
    pub instance_interfaces: Table<Interface>,
    /// By NAT gateway id, where a sibling's public door is narrow: the public addresses that it
    /// lends.
    #[serde(default)]
    pub nat_addresses: Table<NatAddresses>,
    /// By service ARN: siblings that the service may call.
    #[serde(default)]
    pub peers: Table<Service>,
    /// By cluster ARN, where clients come in to the service by a load balancer.
    #[serde(default)]
    pub cluster_services: Table<ClusterServices>,
    /// By service ARN: the others of a cluster that has few.
    #[serde(default)]
    pub siblings: Table<Sibling>,
    /// By namespace, where the service uses Service Connect.
    #[serde(default)]
    pub namespace_services: Table<NamespaceServices>,
    /// By the ARN of a service of Cloud Map.
    #[serde(default)]
    pub discovery_services: Table<DiscoveryService>,
    /// By the ARN of a service of Cloud Map.
    #[serde(default)]
    pub discovery_instances: Table<Vec<DiscoveryInstance>>,
    /// By the ARN of a service of Cloud Map: `HEALTHY`, `UNHEALTHY` or `UNKNOWN` by the id of an
    /// instance.
    #[serde(default)]
    pub discovery_health: Table<BTreeMap<String, String>>,
    /// By identifier, where a variable names its host.
    #[serde(default)]
    pub db_instances: Table<DbInstance>,
    /// By identifier, where a variable names its host.
    #[serde(default)]
    pub db_clusters: Table<DbCluster>,
    /// By name, where a variable names its host.
    #[serde(default)]
    pub db_proxies: Table<DbProxy>,
    /// By the proxy's name.
    #[serde(default)]
    pub db_proxy_targets: Table<Vec<DbProxyTarget>>,
    /// By image as the task definition spells it, where its registry is ECR and it has a tag.
    #[serde(default)]
    pub images: Table<Image>,
    /// By image: digests of the platform manifests behind a multi-architecture tag.
    #[serde(default)]
    pub image_platforms: Table<Vec<String>>,
    /// By digest (`…/team/api@sha256:…`): what current revisions have pinned and the tag has no
    /// longer.
    #[serde(default)]
    pub pinned_images: Table<PinnedImage>,
    /// By repository URI.
    #[serde(default)]
    pub repositories: Table<Repository>,
    /// By repository URI, where a pinned digest may be in danger.
    #[serde(default)]
    pub lifecycle_policies: Table<LifecyclePolicy>,
    /// By service ARN: none where nothing scales it.
    #[serde(default)]
    pub scalable_targets: Table<ScalableTarget>,
    /// By service ARN.
    #[serde(default)]
    pub scaling_policies: Table<Vec<ScalingPolicy>>,
    /// By service ARN, newest first: what was done, and what was tried and not done.
    #[serde(default)]
    pub scaling_activities: Table<Vec<ScalingActivity>>,
    /// By service ARN, where a schedule matters (see [`crate::facts::tasks::scaling::needs_schedule`]).
    #[serde(default)]
    pub scheduled_actions: Table<Vec<ScheduledAction>>,
    /// By alarm name.
    #[serde(default)]
    pub alarms: Table<Alarm>,
    /// By alarm name: state changes, newest first.
    #[serde(default)]
    pub alarm_history: Table<Vec<AlarmTransition>>,
    /// By metric (see [`metric::Metric`]) and resource: one value a minute, oldest first.
    #[serde(default)]
    pub metrics: Table<Series>,
    /// By `group:log-stream:stream`: the last lines, oldest first.
    #[serde(default)]
    pub logs: Table<Vec<LogLine>>,
    /// By log group: lines that name `ELB-HealthChecker`, oldest first.
    #[serde(default)]
    pub health_checker_logs: Table<Vec<LogLine>>,
    /// Who changed what, if the user asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Trail>,
    /// By cluster ARN, while a service on instances lacks tasks.
    #[serde(default)]
    pub container_instances: Table<Vec<ContainerInstance>>,
    /// By cluster ARN.
    #[serde(default)]
    pub clusters: Table<Cluster>,
    /// By name.
    #[serde(default)]
    pub capacity_providers: Table<CapacityProvider>,
    /// By name.
    #[serde(default)]
    pub auto_scaling_groups: Table<AutoScalingGroup>,
    /// By name of the Auto Scaling group: what it did last, newest first.
    #[serde(default)]
    pub group_activities: Table<Vec<GroupActivity>>,
    /// By name: roles that ECS could not assume.
    #[serde(default)]
    pub roles: Table<Role>,
    /// By role, action and resource that IAM refused (see
    /// [`crate::facts::access::refusal::Question::key`]).
    #[serde(default)]
    pub simulations: Table<Simulation>,
}

impl Snapshot {
    /// Keeps the URL that the user asks about, without what may be secret in it.
    pub fn ask_for(&mut self, url: &Url) {
        let rules =
            self.rules.0.values().filter_map(|rules| {
                if let Seen::Yes(rules) = rules { rules.as_deref() } else { None }
            });
        self.url = Some(url.kept(rules.flatten()));
    }
}
