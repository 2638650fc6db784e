//! One service of a snapshot, as a check meets it. Every fact is asked for here, and every question
//! is noted: that is how a check's declared reads are proved, and how a test can forbid a call.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::call::{Call, LOG_STREAM};
use crate::facts::inbound::request::Url;
use crate::finding::{Evidence, Kind, Subject};
pub use crate::intent::{Expected, Intent};
use crate::seen::{Blind, Seen, Why};
use crate::snapshot::deployment::ListedDeployment;
use crate::snapshot::metric::{Metric, Series};
use crate::snapshot::*;
use crate::text::parsed;

pub struct Patient<'a> {
    snapshot: &'a Snapshot,
    service: &'a Service,
    intent: &'a Intent,
    blindfold: BTreeSet<Call>,
    read: RefCell<BTreeSet<Call>>,
}

/// A row of a table: what AWS has for one key, nothing, or a refusal.
type Row<'a, T> = Result<Option<&'a T>, Blind>;

/// The values of a table that AWS told us.
fn told<T>(table: &Table<T>) -> impl Iterator<Item = &T> {
    table.0.values().filter_map(|seen| match seen {
        Seen::Yes(value) => value.as_ref(),
        Seen::No(_) => None,
    })
}

impl<'a> Patient<'a> {
    pub fn new(snapshot: &'a Snapshot, service: &'a Service, intent: &'a Intent) -> Patient<'a> {
        Patient { snapshot, service, intent, blindfold: BTreeSet::new(), read: RefCell::default() }
    }

    /// The same patient with calls forbidden, as if IAM had refused them.
    pub fn blindfolded(mut self, calls: impl IntoIterator<Item = Call>) -> Patient<'a> {
        self.blindfold.extend(calls);
        self
    }

    pub(crate) fn forget_reads(&self) {
        self.read.borrow_mut().clear();
    }

    pub(crate) fn reads(&self) -> Vec<Call> {
        self.read.borrow().iter().copied().collect()
    }

    fn asks(&self, call: Call) -> Result<(), Blind> {
        self.read.borrow_mut().insert(call);
        if self.blindfold.contains(&call) {
            Err(Blind { call, why: Why::Denied(format!("{} is not allowed", call.action())) })
        } else {
            Ok(())
        }
    }

    fn row<T>(&self, call: Call, table: &'a Table<T>, key: &str) -> Row<'a, T> {
        self.asks(call)?;
        table.get(key).told_by(call)
    }

    fn list<T>(&self, call: Call, table: &'a Table<Vec<T>>, key: &str) -> Result<&'a [T], Blind> {
        Ok(self.row(call, table, key)?.map_or(&[], Vec::as_slice))
    }

    // What needs no further call.

    /// The moment of the snapshot: the only clock.
    pub fn now(&self) -> Timestamp {
        self.snapshot.taken_at
    }

    pub fn region(&self) -> &'a str {
        &self.snapshot.region
    }

    pub fn account(&self) -> &'a str {
        &self.snapshot.account
    }

    pub fn intent(&self) -> &'a Intent {
        self.intent
    }

    /// The URL that the user asked about.
    pub fn asked_url(&self) -> Option<Url> {
        self.snapshot.url.as_deref().and_then(parsed)
    }

    /// What one GET to the service told, where the user wanted it.
    pub fn probe(&self) -> Option<&'a Probe> {
        self.snapshot.probe.as_ref()
    }

    /// The service itself. Without it there is no patient, so this cannot be blind.
    pub fn service(&self) -> &'a Service {
        self.read.borrow_mut().insert(Call::DescribeServices);
        self.service
    }

    /// The cluster's short name.
    pub fn cluster(&self) -> &'a str {
        self.service.cluster_arn.rsplit('/').next().unwrap_or(&self.service.cluster_arn)
    }

    pub fn name(&self) -> &'a str {
        &self.service.service_name
    }

    pub fn arn(&self) -> &'a str {
        &self.service.service_arn
    }

    pub fn is_express(&self) -> bool {
        self.service().resource_management_type.as_deref() == Some("ECS")
    }

    pub fn subject(&self) -> Subject {
        Subject::new(Kind::Service, self.arn())
    }

    /// Evidence from the service itself.
    pub fn evidence(&self, field: &'static str, value: impl ToString) -> Evidence {
        Evidence::new(Call::DescribeServices, self.arn(), field, value)
    }

    /// The command-line options that name this service: `--cluster default --service api`.
    pub fn cli(&self) -> String {
        format!(
            "--cluster {} --service {}",
            crate::call::quote(self.cluster()),
            crate::call::quote(self.name())
        )
    }

    // Deployments and tasks.

    pub fn express_service(&self) -> Row<'a, ExpressService> {
        self.row(Call::DescribeExpressGatewayService, &self.snapshot.express_services, self.arn())
    }

    /// Every deployment that ECS still knows, newest first, in short.
    pub fn listed_deployments(&self) -> Result<&'a [ListedDeployment], Blind> {
        self.list(Call::ListServiceDeployments, &self.snapshot.listed_deployments, self.arn())
    }

    /// The newest deployments with their details, newest first.
    pub fn service_deployments(&self) -> Result<&'a [ServiceDeployment], Blind> {
        self.list(Call::DescribeServiceDeployments, &self.snapshot.service_deployments, self.arn())
    }

    pub fn revision(&self, arn: &str) -> Row<'a, Revision> {
        self.row(Call::DescribeServiceRevisions, &self.snapshot.revisions, arn)
    }

    /// Every revision of the service that AWS told us, in the order of their ARNs.
    pub fn revisions(&self) -> Result<Vec<&'a Revision>, Blind> {
        self.asks(Call::DescribeServiceRevisions)?;
        let prefix = self.arn().replacen(":service/", ":service-revision/", 1) + "/";
        Ok(told(&self.snapshot.revisions)
            .filter(|revision| revision.service_revision_arn.starts_with(&prefix))
            .collect())
    }

    pub fn running_tasks(&self) -> Result<&'a [Task], Blind> {
        self.list(Call::DescribeTasks, &self.snapshot.running_tasks, self.arn())
    }

    /// Tasks that stopped within about an hour, newest first.
    pub fn stopped_tasks(&self) -> Result<&'a [Task], Blind> {
        self.list(Call::DescribeTasks, &self.snapshot.stopped_tasks, self.arn())
    }

    pub fn task_definition(&self, arn: &str) -> Row<'a, TaskDefinition> {
        self.row(Call::DescribeTaskDefinition, &self.snapshot.task_definitions, arn)
    }

    /// The newest active revision of a family of task definitions, whether it is deployed or not.
    pub fn newest_revisions(&self, family: &str) -> Row<'a, NewestRevisions> {
        self.row(Call::ListTaskDefinitions, &self.snapshot.newest_revisions, family)
    }

    /// Old tasks that ECS may not stop; asked only while a deployment waits for them (see
    /// `facts::deployment::protection`).
    pub fn task_protection(&self) -> Result<&'a [ProtectedTask], Blind> {
        self.list(Call::GetTaskProtection, &self.snapshot.task_protection, self.arn())
    }

    /// Every task definition that AWS told us, of whatever service.
    pub fn task_definitions(&self) -> Result<Vec<&'a TaskDefinition>, Blind> {
        self.asks(Call::DescribeTaskDefinition)?;
        Ok(told(&self.snapshot.task_definitions).collect())
    }

    /// What CloudTrail was asked, if the user wanted it.
    pub fn trail(&self) -> Option<&'a Trail> {
        self.snapshot.trail.as_ref()
    }

    /// Write events of a resource, newest first.
    pub fn trail_events(&self, resource: &str) -> Result<&'a [TrailEvent], Blind> {
        match self.trail() {
            Some(trail) => self.list(Call::LookupEvents, &trail.events, resource),
            None => Err(Blind { call: Call::LookupEvents, why: Why::NotAsked }),
        }
    }

    // What scales it (see `facts::tasks::scaling`).

    pub fn scalable_target(&self) -> Row<'a, ScalableTarget> {
        self.row(Call::DescribeScalableTargets, &self.snapshot.scalable_targets, self.arn())
    }

    pub fn scaling_policies(&self) -> Result<&'a [ScalingPolicy], Blind> {
        self.list(Call::DescribeScalingPolicies, &self.snapshot.scaling_policies, self.arn())
    }

    /// What auto scaling did, or tried and did not do, newest first.
    pub fn scaling_activities(&self) -> Result<&'a [ScalingActivity], Blind> {
        self.list(Call::DescribeScalingActivities, &self.snapshot.scaling_activities, self.arn())
    }

    pub fn scheduled_actions(&self) -> Result<&'a [ScheduledAction], Blind> {
        self.list(Call::DescribeScheduledActions, &self.snapshot.scheduled_actions, self.arn())
    }

    // The way in.

    pub fn target_group(&self, arn: &str) -> Row<'a, TargetGroup> {
        self.row(Call::DescribeTargetGroups, &self.snapshot.target_groups, arn)
    }

    pub fn targets(&self, group: &str) -> Result<&'a [Target], Blind> {
        self.list(Call::DescribeTargetHealth, &self.snapshot.target_health, group)
    }

    pub fn target_group_attributes(&self, arn: &str) -> Row<'a, BTreeMap<String, String>> {
        self.row(Call::DescribeTargetGroupAttributes, &self.snapshot.target_group_attributes, arn)
    }

    pub fn load_balancer(&self, arn: &str) -> Row<'a, LoadBalancer> {
        self.row(Call::DescribeLoadBalancers, &self.snapshot.load_balancers, arn)
    }

    pub fn load_balancer_attributes(&self, arn: &str) -> Row<'a, BTreeMap<String, String>> {
        self.row(Call::DescribeLoadBalancerAttributes, &self.snapshot.load_balancer_attributes, arn)
    }

    pub fn listeners(&self, balancer: &str) -> Result<&'a [Listener], Blind> {
        self.list(Call::DescribeListeners, &self.snapshot.listeners, balancer)
    }

    /// Every rule of a listener, in the order of evaluation.
    pub fn rules(&self, listener: &str) -> Result<&'a [Rule], Blind> {
        self.list(Call::DescribeRules, &self.snapshot.rules, listener)
    }

    /// The default certificate of a listener and all others; asked only where the listener speaks
    /// TLS.
    pub fn listener_certificates(
        &self,
        listener: &str,
    ) -> Result<&'a [ListenerCertificate], Blind> {
        self.list(
            Call::DescribeListenerCertificates,
            &self.snapshot.listener_certificates,
            listener,
        )
    }

    /// A certificate of a listener, where it is in ACM.
    pub fn certificate(&self, arn: &str) -> Row<'a, Certificate> {
        self.row(Call::ListCertificates, &self.snapshot.certificates, arn)
    }

    /// The web ACL in front of an application load balancer.
    pub fn web_acl(&self, balancer: &str) -> Row<'a, WebAcl> {
        self.row(Call::GetWebAclForResource, &self.snapshot.web_acls, balancer)
    }

    /// The addresses of an IP set; asked only where a web ACL that has it may stand between the
    /// tasks and a sibling.
    pub fn ip_set(&self, arn: &str) -> Row<'a, IpSet> {
        self.row(Call::GetIpSet, &self.snapshot.ip_sets, arn)
    }

    pub fn ssl_policy(&self, name: &str) -> Row<'a, SslPolicy> {
        self.row(Call::DescribeSSLPolicies, &self.snapshot.ssl_policies, name)
    }

    // The network.

    pub fn security_group(&self, id: &str) -> Row<'a, SecurityGroup> {
        self.row(Call::DescribeSecurityGroups, &self.snapshot.security_groups, id)
    }

    pub fn subnet(&self, id: &str) -> Row<'a, Subnet> {
        self.row(Call::DescribeSubnets, &self.snapshot.subnets, id)
    }

    pub fn route_tables(&self, vpc: &str) -> Result<&'a [RouteTable], Blind> {
        self.list(Call::DescribeRouteTables, &self.snapshot.route_tables, vpc)
    }

    pub fn interface(&self, id: &str) -> Row<'a, Interface> {
        self.row(Call::DescribeNetworkInterfaces, &self.snapshot.interfaces, id)
    }

    /// The primary interface of an instance that is a target; none where the instance is gone.
    pub fn instance_interface(&self, instance: &str) -> Row<'a, Interface> {
        self.row(Call::DescribeNetworkInterfaces, &self.snapshot.instance_interfaces, instance)
    }

    pub fn network_acls(&self, vpc: &str) -> Result<&'a [NetworkAcl], Blind> {
        self.list(Call::DescribeNetworkAcls, &self.snapshot.network_acls, vpc)
    }

    pub fn endpoints(&self, vpc: &str) -> Result<&'a [Endpoint], Blind> {
        self.list(Call::DescribeVpcEndpoints, &self.snapshot.endpoints, vpc)
    }

    pub fn nat_gateways(&self, vpc: &str) -> Result<&'a [NatGateway], Blind> {
        self.list(Call::DescribeNatGateways, &self.snapshot.nat_gateways, vpc)
    }

    pub fn vpc_dns(&self, vpc: &str) -> Row<'a, VpcDns> {
        self.row(Call::DescribeVpcAttribute, &self.snapshot.vpc_dns, vpc)
    }

    /// The blocks behind a prefix list; none where the list is not to be found.
    pub fn prefix_list(&self, id: &str) -> Row<'a, Vec<String>> {
        self.row(Call::GetManagedPrefixListEntries, &self.snapshot.prefix_lists, id)
    }

    /// Whose a prefix list is, and what it is called.
    pub fn managed_prefix_list(&self, id: &str) -> Row<'a, ManagedPrefixList> {
        self.row(Call::DescribeManagedPrefixLists, &self.snapshot.managed_prefix_lists, id)
    }

    // Siblings and databases.

    /// A sibling service, by its ARN; asked only where this service may call it.
    pub fn peer(&self, arn: &str) -> Row<'a, Service> {
        self.row(Call::DescribeServices, &self.snapshot.peers, arn)
    }

    /// Every sibling that AWS told us of.
    pub fn peers(&self) -> Result<Vec<&'a Service>, Blind> {
        self.asks(Call::DescribeServices)?;
        Ok(told(&self.snapshot.peers).collect())
    }

    /// The services of the cluster; asked only where clients come in to the service by a load
    /// balancer.
    pub fn cluster_services(&self) -> Row<'a, ClusterServices> {
        self.row(Call::ListServices, &self.snapshot.cluster_services, &self.service.cluster_arn)
    }

    /// Another service of the cluster, by its ARN (see `facts::peers::callers`).
    pub fn sibling(&self, arn: &str) -> Row<'a, Sibling> {
        self.row(Call::DescribeServices, &self.snapshot.siblings, arn)
    }

    /// The load balancers in the VPC that are not the service's own, by their ARNs; asked only
    /// where a variable names a host that may be behind one (see
    /// `facts::peers::sibling::may_be_called`).
    pub fn other_balancers(&self) -> Result<&'a [String], Blind> {
        self.list(Call::DescribeLoadBalancers, &self.snapshot.other_balancers, self.arn())
    }

    /// The services that use a namespace of Service Connect.
    pub fn namespace_services(&self, namespace: &str) -> Row<'a, NamespaceServices> {
        self.row(Call::ListServicesByNamespace, &self.snapshot.namespace_services, namespace)
    }

    /// The public addresses of a NAT gateway.
    pub fn nat_addresses(&self, gateway: &str) -> Row<'a, NatAddresses> {
        self.row(Call::DescribeNatGateways, &self.snapshot.nat_addresses, gateway)
    }

    /// A service of Cloud Map, by its ARN.
    pub fn discovery_service(&self, arn: &str) -> Row<'a, DiscoveryService> {
        self.row(Call::GetService, &self.snapshot.discovery_services, arn)
    }

    pub fn discovery_instances(&self, arn: &str) -> Result<&'a [DiscoveryInstance], Blind> {
        self.list(Call::ListInstances, &self.snapshot.discovery_instances, arn)
    }

    /// What Cloud Map thinks of the instances, by their ids.
    pub fn discovery_health(&self, arn: &str) -> Row<'a, BTreeMap<String, String>> {
        self.row(Call::GetInstancesHealthStatus, &self.snapshot.discovery_health, arn)
    }

    pub fn db_instance(&self, identifier: &str) -> Row<'a, DbInstance> {
        self.row(Call::DescribeDBInstances, &self.snapshot.db_instances, identifier)
    }

    pub fn db_cluster(&self, identifier: &str) -> Row<'a, DbCluster> {
        self.row(Call::DescribeDBClusters, &self.snapshot.db_clusters, identifier)
    }

    pub fn db_proxy(&self, name: &str) -> Row<'a, DbProxy> {
        self.row(Call::DescribeDBProxies, &self.snapshot.db_proxies, name)
    }

    pub fn db_proxy_targets(&self, proxy: &str) -> Result<&'a [DbProxyTarget], Blind> {
        self.list(Call::DescribeDBProxyTargets, &self.snapshot.db_proxy_targets, proxy)
    }

    // Images, alarms, metrics, logs.

    /// What the tag of an image points at now; asked only for images in ECR that have a tag.
    pub fn image(&self, image: &str) -> Row<'a, Image> {
        self.row(Call::DescribeImages, &self.snapshot.images, image)
    }

    /// The digests of the platform manifests behind a multi-architecture tag.
    pub fn image_platforms(&self, image: &str) -> Result<&'a [String], Blind> {
        self.list(Call::BatchGetImage, &self.snapshot.image_platforms, image)
    }

    /// Whether a pinned digest is still in ECR, by its key (see `facts::image::reference::by_digest`); asked
    /// only where the tag has another one now.
    pub fn pinned_image(&self, key: &str) -> Row<'a, PinnedImage> {
        self.row(Call::BatchGetImage, &self.snapshot.pinned_images, key)
    }

    pub fn repository(&self, uri: &str) -> Row<'a, Repository> {
        self.row(Call::DescribeRepositories, &self.snapshot.repositories, uri)
    }

    /// What removes images from a repository; asked only where a pinned digest may be in danger.
    pub fn lifecycle_policy(&self, uri: &str) -> Row<'a, LifecyclePolicy> {
        self.row(Call::GetLifecyclePolicy, &self.snapshot.lifecycle_policies, uri)
    }

    pub fn alarm(&self, name: &str) -> Row<'a, Alarm> {
        self.row(Call::DescribeAlarms, &self.snapshot.alarms, name)
    }

    /// State changes of an alarm, newest first.
    pub fn alarm_history(&self, name: &str) -> Result<&'a [AlarmTransition], Blind> {
        self.list(Call::DescribeAlarmHistory, &self.snapshot.alarm_history, name)
    }

    /// A metric of a load balancer, a target group, or (with the service's ARN) of the service.
    pub fn metric(&self, metric: Metric, resource: &str) -> Row<'a, Series> {
        self.row(Call::GetMetricData, &self.snapshot.metrics, &metric.of(resource))
    }

    /// The last lines of one container of one task, oldest first.
    pub fn log_lines(&self, group: &str, stream: &str) -> Result<&'a [LogLine], Blind> {
        self.list(Call::GetLogEvents, &self.snapshot.logs, &format!("{group}{LOG_STREAM}{stream}"))
    }

    /// Lines of a log group that name the balancer's health checker, oldest first.
    pub fn health_checker_lines(&self, group: &str) -> Result<&'a [LogLine], Blind> {
        self.list(Call::FilterLogEvents, &self.snapshot.health_checker_logs, group)
    }

    // Instances, and who may do what.

    /// Every container instance of the cluster; asked only where `facts::tasks::capacity::matters`.
    pub fn container_instances(&self) -> Result<&'a [ContainerInstance], Blind> {
        self.list(
            Call::DescribeContainerInstances,
            &self.snapshot.container_instances,
            &self.service().cluster_arn,
        )
    }

    pub fn cluster_details(&self) -> Row<'a, Cluster> {
        self.row(Call::DescribeClusters, &self.snapshot.clusters, &self.service().cluster_arn)
    }

    pub fn capacity_provider(&self, name: &str) -> Row<'a, CapacityProvider> {
        self.row(Call::DescribeCapacityProviders, &self.snapshot.capacity_providers, name)
    }

    pub fn auto_scaling_group(&self, name: &str) -> Row<'a, AutoScalingGroup> {
        self.row(Call::DescribeAutoScalingGroups, &self.snapshot.auto_scaling_groups, name)
    }

    /// What an Auto Scaling group did last, newest first.
    pub fn group_activities(&self, group: &str) -> Result<&'a [GroupActivity], Blind> {
        self.list(Call::DescribeGroupActivities, &self.snapshot.group_activities, group)
    }

    /// A role, by its name; asked only of roles that ECS could not assume.
    pub fn role(&self, name: &str) -> Row<'a, Role> {
        self.row(Call::GetRole, &self.snapshot.roles, name)
    }

    /// Whether a role's policies allow what it was refused, by `facts::access::refusal::Question::key`.
    pub fn simulation(&self, key: &str) -> Row<'a, Simulation> {
        self.row(Call::SimulatePrincipalPolicy, &self.snapshot.simulations, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};

    static INTENT: Intent = Intent { expect_ingress: Vec::new(), expect_lists: Vec::new() };

    fn patient(snapshot: &Snapshot) -> Patient<'_> {
        Patient::new(snapshot, &snapshot.services[0], &INTENT)
    }

    fn empty() -> Snapshot {
        let service = Service { service_arn: id::ecs("service/prod/api"), ..Service::default() };
        Snapshot { services: vec![service], ..Snapshot::default() }
    }

    #[test]
    fn a_row_is_a_value_nothing_or_a_refusal_and_never_one_for_the_other() {
        let call = Call::DescribeSubnets;
        let mut snapshot = empty();
        snapshot.subnets.put("seen", Subnet::default());
        snapshot.subnets.insert("gone", Seen::Yes(None));
        snapshot.subnets.insert("declined", Seen::No(Why::Declined));
        let patient = patient(&snapshot);
        assert_eq!(patient.subnet("seen"), Ok(Some(&Subnet::default())));
        assert_eq!(patient.subnet("gone"), Ok(None));
        assert_eq!(patient.subnet("declined"), Err(Blind { call, why: Why::Declined }));
        assert_eq!(patient.subnet("never asked"), Err(Blind { call, why: Why::NotAsked }));
    }

    #[test]
    fn a_list_that_aws_has_not_is_empty_and_one_that_was_refused_is_not() {
        let call = Call::ListServiceDeployments;
        let mut snapshot = empty();
        let arn = snapshot.services[0].service_arn.clone();
        let refused = Err(Blind { call, why: Why::NotAsked });
        assert_eq!(patient(&snapshot).listed_deployments(), refused);
        snapshot.listed_deployments.insert(&arn, Seen::Yes(None));
        assert_eq!(patient(&snapshot).listed_deployments(), Ok(&[][..]));
        snapshot.listed_deployments.put(&arn, vec![ListedDeployment::default()]);
        assert_eq!(patient(&snapshot).listed_deployments().map(<[_]>::len), Ok(1));
    }

    #[test]
    fn a_blindfold_hides_what_was_seen_as_if_iam_had_refused_it() {
        let snapshot = baseline::fargate();
        let blindfolded = patient(&snapshot).blindfolded([Call::DescribeTasks]);
        let refusal = blindfolded.running_tasks().unwrap_err();
        assert_eq!(refusal.call, Call::DescribeTasks);
        assert_eq!(refusal.why, Why::Denied("ecs:DescribeTasks is not allowed".into()));
        assert_eq!(
            blindfolded.service_deployments(),
            patient(&snapshot).service_deployments(),
            "other calls are seen"
        );
        assert_ne!(patient(&snapshot).running_tasks(), Ok(&[][..]));
    }

    #[test]
    fn a_blindfold_hides_what_is_told_of_many_too() {
        let snapshot = baseline::fargate();
        for (call, is_hidden) in [
            (Call::DescribeServiceRevisions, (|p| p.revisions().is_err()) as fn(&Patient) -> bool),
            (Call::DescribeTaskDefinition, |p| p.task_definitions().is_err()),
            (Call::DescribeServices, |p| p.peers().is_err()),
        ] {
            assert!(!is_hidden(&patient(&snapshot)), "{call:?}");
            assert!(is_hidden(&patient(&snapshot).blindfolded([call])), "{call:?}");
        }
    }

    #[test]
    fn every_question_is_noted_once_whatever_the_answer_was() {
        let snapshot = empty();
        let patient = patient(&snapshot).blindfolded([Call::DescribeSubnets]);
        assert_eq!(patient.reads(), []);
        for id in ["subnet-1", "subnet-2"] {
            assert!(patient.subnet(id).is_err());
        }
        assert!(patient.security_group("sg-1").is_err());
        patient.service();
        let noted = [Call::DescribeServices, Call::DescribeSubnets, Call::DescribeSecurityGroups];
        assert_eq!(BTreeSet::from_iter(patient.reads()), BTreeSet::from(noted));
        patient.forget_reads();
        assert_eq!(patient.reads(), []);
    }

    #[test]
    fn the_names_of_the_service_are_no_question() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].cluster_arn = id::ecs("cluster/prod");
        snapshot.services[0].service_name = "api".into();
        let patient = patient(&snapshot);
        assert_eq!((patient.cluster(), patient.name()), ("prod", "api"));
        assert_eq!(patient.subject().id, snapshot.services[0].service_arn);
        assert_eq!(patient.reads(), []);
    }

    #[test]
    fn express_mode_is_told_by_who_manages_the_resources() {
        let mut snapshot = empty();
        for (manager, is_express) in [(None, false), (Some("CUSTOMER"), false), (Some("ECS"), true)]
        {
            snapshot.services[0].resource_management_type = manager.map(Into::into);
            assert_eq!(patient(&snapshot).is_express(), is_express, "{manager:?}");
        }
    }

    #[test]
    fn revisions_are_those_of_this_service_that_aws_told_us() {
        let mut snapshot = empty();
        let mut put = |rest: &str, told: bool| {
            let arn = id::ecs(&format!("service-revision/prod/{rest}"));
            let revision = Revision { service_revision_arn: arn.clone(), ..Revision::default() };
            let seen = if told { Seen::Yes(Some(revision)) } else { Seen::No(Why::NotAsked) };
            snapshot.revisions.insert(arn, seen);
        };
        put("api/1", true);
        put("api/2", false);
        put("api-admin/1", true);
        put("api/3", true);
        let patient = patient(&snapshot);
        let revisions = patient.revisions().unwrap();
        let told: Vec<&str> = revisions.iter().map(|it| it.service_revision_arn.as_str()).collect();
        let wanted = ["api/1", "api/3"].map(|it| id::ecs(&format!("service-revision/prod/{it}")));
        assert_eq!(told, wanted);
    }

    #[test]
    fn the_trail_was_not_asked_unless_the_user_wanted_it() {
        let mut snapshot = empty();
        let call = Call::LookupEvents;
        let not_asked = Err(Blind { call, why: Why::NotAsked });
        assert_eq!(patient(&snapshot).trail_events("arn"), not_asked);
        let mut trail = Trail::default();
        trail.events.put("arn", vec![TrailEvent::default()]);
        snapshot.trail = Some(trail);
        assert_eq!(patient(&snapshot).trail_events("arn").map(<[_]>::len), Ok(1));
        assert_eq!(patient(&snapshot).trail_events("another arn"), not_asked);
    }
}
