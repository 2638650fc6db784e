//! Every call that the program may make to AWS: its IAM action, its command, and what it is asked
//! for. The IAM policy, the docs, the "see for yourself" lines and the collector all come from this
//! one list.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::{arn, time};
use crate::command::{Command, Words};
use crate::facts::inbound::traffic;
use crate::finding::{Kind, Of, Subject};
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::metric::{Metric, Owner};
use crate::{aws, words};

macro_rules! calls {
    ($( $name:ident = $action:literal, $about:ident, $cli:literal, $why:literal; )*) => {
        /// A read-only call to AWS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call { $( #[doc = $why] $name, )* }

        impl Call {
            /// Every call that the program may make.
            pub const ALL: &[Call] = &[ $( Call::$name, )* ];

            /// The IAM action, which is also the spelling in JSON: `ecs:DescribeServices`.
            pub fn action(self) -> &'static str {
                match self { $( Call::$name => $action, )* }
            }

            /// The kind of thing that it is asked about.
            pub fn about(self) -> Kind {
                match self { $( Call::$name => Kind::$about, )* }
            }

            /// What the program asks it for.
            pub fn why(self) -> &'static str {
                match self { $( Call::$name => $why, )* }
            }

            /// The words of the command that shows the same, with names for its values.
            fn command(self) -> &'static str {
                match self { $( Call::$name => $cli, )* }
            }
        }
    };
}

calls! {
    ListClusters = "ecs:ListClusters", Cluster, "ecs list-clusters", "find the cluster that has the service";
    ListServices = "ecs:ListServices", Cluster, "ecs list-services --cluster {id}", "find a service by its URL; suggest the nearest names";
    DescribeServices = "ecs:DescribeServices", Service, "ecs describe-services --cluster {cluster} --services {service}", "the service, its deployments and events";
    DescribeExpressGatewayService = "ecs:DescribeExpressGatewayService", Service, "ecs describe-express-gateway-service --service-arn {id}", "how an Express service is configured";
    ListServiceDeployments = "ecs:ListServiceDeployments", Service, "ecs list-service-deployments --service {arn}", "the deployments of the last weeks";
    DescribeServiceDeployments = "ecs:DescribeServiceDeployments", Deployment, "ecs describe-service-deployments --service-deployment-arns {id}", "stage, circuit breaker, alarms and rollback of a deployment";
    DescribeServiceRevisions = "ecs:DescribeServiceRevisions", Revision, "ecs describe-service-revisions --service-revision-arns {id}", "pinned image digests; what Express manages";
    DescribeGateway = "ecs:DescribeGateway", Gateway, "ecs describe-gateway --gateway {id}", "why the service's route on a gateway failed";
    ListTasks = "ecs:ListTasks", Service, "ecs list-tasks --cluster {cluster} --service-name {service} --desired-status STOPPED", "running tasks, and those stopped within the last hour";
    DescribeTasks = "ecs:DescribeTasks", Task, "ecs describe-tasks --cluster {cluster} --tasks {id}", "why tasks stopped, and what the running ones run";
    DescribeTaskDefinition = "ecs:DescribeTaskDefinition", TaskDefinition, "ecs describe-task-definition --task-definition {id}", "images, ports and log groups";
    ListTaskDefinitions = "ecs:ListTaskDefinitions", TaskDefinition, "ecs list-task-definitions --family-prefix {id} --sort DESC --max-items 1", "whether a newer version is registered than the one that is deployed";
    ListServicesByNamespace = "ecs:ListServicesByNamespace", Namespace, "ecs list-services-by-namespace --namespace {id}", "the services that share a Service Connect namespace";
    GetTaskProtection = "ecs:GetTaskProtection", Task, "ecs get-task-protection --cluster {cluster} --tasks {id}", "whether old tasks are protected from being stopped, during a deployment";
    ListContainerInstances = "ecs:ListContainerInstances", Cluster, "ecs list-container-instances --cluster {cluster}", "the instances of the cluster, where a service on EC2 or external instances is short of tasks";
    DescribeContainerInstances = "ecs:DescribeContainerInstances", ContainerInstance, "ecs describe-container-instances --cluster {cluster} --container-instances {last}", "free CPU, memory and ports of each instance, and whether its agent is connected";
    DescribeClusters = "ecs:DescribeClusters", Cluster, "ecs describe-clusters --clusters {cluster}", "the capacity providers of the cluster";
    DescribeCapacityProviders = "ecs:DescribeCapacityProviders", CapacityProvider, "ecs describe-capacity-providers --capacity-providers {id}", "the Auto Scaling group behind a capacity provider";
    DescribeAutoScalingGroups = "autoscaling:DescribeAutoScalingGroups", AutoScalingGroup, "autoscaling describe-auto-scaling-groups --auto-scaling-group-names {id}", "size and limits of the Auto Scaling group";
    DescribeGroupActivities = "autoscaling:DescribeScalingActivities", AutoScalingGroup, "autoscaling describe-scaling-activities --auto-scaling-group-name {id} --max-items 5", "why no instance could be launched";
    DescribeTargetGroups = "elasticloadbalancing:DescribeTargetGroups", TargetGroup, "elbv2 describe-target-groups --target-group-arns {id}", "the health check: path, port, matcher, timing";
    DescribeTargetHealth = "elasticloadbalancing:DescribeTargetHealth", TargetGroup, "elbv2 describe-target-health --target-group-arn {id}", "which targets are healthy, and why not";
    DescribeTargetGroupAttributes = "elasticloadbalancing:DescribeTargetGroupAttributes", TargetGroup, "elbv2 describe-target-group-attributes --target-group-arn {id}", "how long targets drain";
    DescribeLoadBalancers = "elasticloadbalancing:DescribeLoadBalancers", LoadBalancer, "elbv2 describe-load-balancers --load-balancer-arns {id}", "scheme, security groups and Availability Zones of the load balancer";
    DescribeLoadBalancerAttributes = "elasticloadbalancing:DescribeLoadBalancerAttributes", LoadBalancer, "elbv2 describe-load-balancer-attributes --load-balancer-arn {id}", "idle timeout of the load balancer";
    DescribeListeners = "elasticloadbalancing:DescribeListeners", Listener, "elbv2 describe-listeners --load-balancer-arn {balancer}", "ports and default actions of the load balancer";
    DescribeRules = "elasticloadbalancing:DescribeRules", ListenerRule, "elbv2 describe-rules --rule-arns {id}", "which requests go to which target group";
    DescribeListenerCertificates = "elasticloadbalancing:DescribeListenerCertificates", Listener, "elbv2 describe-listener-certificates --listener-arn {id}", "the certificates of a listener, beside the default one";
    ListCertificates = "acm:ListCertificates", Certificate, "acm describe-certificate --certificate-arn {id}", "hosts and expiry of a certificate";
    GetWebAclForResource = "wafv2:GetWebACLForResource", WebAcl, "wafv2 get-web-acl-for-resource --resource-arn {id}", "the web ACL in front of the load balancer";
    GetIpSet = "wafv2:GetIPSet", IpSet, "wafv2 get-ip-set --scope REGIONAL --name {parent} --id {last}", "whether a web ACL that blocks by default allows anybody, and whether it allows tasks that call another service by its public name";
    DescribeSSLPolicies = "elasticloadbalancing:DescribeSSLPolicies", Listener, "elbv2 describe-ssl-policies --names {id}", "which TLS versions a listener allows";
    DescribeSecurityGroups = "ec2:DescribeSecurityGroups", SecurityGroup, "ec2 describe-security-groups --group-ids {id}", "which traffic is allowed at the load balancer and at the tasks";
    DescribeSubnets = "ec2:DescribeSubnets", Subnet, "ec2 describe-subnets --subnet-ids {id}", "Availability Zones, free addresses and VPCs of tasks and load balancer";
    DescribeRouteTables = "ec2:DescribeRouteTables", RouteTable, "ec2 describe-route-tables --filters Name={filter},Values={id}", "which subnets are public";
    DescribeNetworkInterfaces = "ec2:DescribeNetworkInterfaces", NetworkInterface, "ec2 describe-network-interfaces --network-interface-ids {id}", "addresses and security groups that tasks really have; with --probe, the addresses of the load balancer";
    DescribeNetworkAcls = "ec2:DescribeNetworkAcls", NetworkAcl, "ec2 describe-network-acls --filters Name={filter},Values={id}", "whether a network ACL drops traffic, where something cannot be reached";
    DescribeVpcEndpoints = "ec2:DescribeVpcEndpoints", Endpoint, "ec2 describe-vpc-endpoints --filters Name={filter},Values={id}", "whether AWS services have an endpoint in the VPC, where something cannot be reached";
    DescribeVpcAttribute = "ec2:DescribeVpcAttribute", Vpc, "ec2 describe-vpc-attribute --vpc-id {id} --attribute enableDnsSupport", "whether the VPC resolves names, where something cannot be reached";
    GetManagedPrefixListEntries = "ec2:GetManagedPrefixListEntries", PrefixList, "ec2 get-managed-prefix-list-entries --prefix-list-id {id}", "the addresses behind a prefix list that a rule or a route names";
    DescribeManagedPrefixLists = "ec2:DescribeManagedPrefixLists", PrefixList, "ec2 describe-managed-prefix-lists --prefix-list-ids {id}", "name and owner of a prefix list that allows clients at the load balancer";
    GetService = "servicediscovery:GetService", DiscoveryService, "servicediscovery get-service --id {last}", "when a Service Connect name was created";
    ListInstances = "servicediscovery:ListInstances", DiscoveryService, "servicediscovery list-instances --service-id {last}", "which addresses Cloud Map returns for the service";
    GetInstancesHealthStatus = "servicediscovery:GetInstancesHealthStatus", DiscoveryService, "servicediscovery get-instances-health-status --service-id {last}", "which of these addresses Cloud Map holds back";
    DescribeDBInstances = "rds:DescribeDBInstances", Database, "rds describe-db-instances --db-instance-identifier {id}", "whether a database that a variable names is available, and its security groups";
    DescribeDBClusters = "rds:DescribeDBClusters", Database, "rds describe-db-clusters --db-cluster-identifier {id}", "the same for a cluster";
    DescribeDBProxies = "rds:DescribeDBProxies", Database, "rds describe-db-proxies --db-proxy-name {id}", "the same for a proxy";
    DescribeDBProxyTargets = "rds:DescribeDBProxyTargets", Database, "rds describe-db-proxy-targets --db-proxy-name {id}", "whether the databases behind a proxy are available to it";
    DescribeReplicationGroups = "elasticache:DescribeReplicationGroups", Database, "elasticache describe-replication-groups --replication-group-id {id}", "whether a cache to which connections fail is available";
    DescribeCacheClusters = "elasticache:DescribeCacheClusters", Database, "elasticache describe-cache-clusters --cache-cluster-id {id}", "the same for one cluster, and its security groups";
    DescribeServerlessCaches = "elasticache:DescribeServerlessCaches", Database, "elasticache describe-serverless-caches --serverless-cache-name {id}", "the same for a serverless cache";
    DescribeSecret = "secretsmanager:DescribeSecret", Secret, "secretsmanager describe-secret --secret-id {id}", "when a secret that a container uses was rotated or changed, where its login is refused; never the value";
    DescribeNatGateways = "ec2:DescribeNatGateways", NatGateway, "ec2 describe-nat-gateways --nat-gateway-ids {id}", "whether the NAT gateway of a route works, where something cannot be reached; its public addresses";
    DescribeVpcPeeringConnections = "ec2:DescribeVpcPeeringConnections", Peering, "ec2 describe-vpc-peering-connections --vpc-peering-connection-ids {id}", "which VPC a route leads to, and whether the peering is active, where the app gets no answer from there";
    DescribeTransitGatewayVpcAttachments = "ec2:DescribeTransitGatewayVpcAttachments", Peering, "ec2 describe-transit-gateway-vpc-attachments --filters Name=transit-gateway-id,Values={id}", "the same for a transit gateway";
    DescribeImages = "ecr:DescribeImages", Image, "ecr describe-images --repository-name {repository} --image-ids {reference}", "the digest that a tag has now";
    BatchGetImage = "ecr:BatchGetImage", Image, "ecr batch-get-image --repository-name {repository} --image-ids {reference}", "the platforms behind a multi-architecture tag; whether a pinned digest is still there";
    DescribeRepositories = "ecr:DescribeRepositories", Repository, "ecr describe-repositories --repository-names {repository}", "whether tags are mutable";
    GetLifecyclePolicy = "ecr:GetLifecyclePolicy", Repository, "ecr get-lifecycle-policy --repository-name {repository}", "whether a rule removes images that a deployment has pinned";
    DescribeAlarms = "cloudwatch:DescribeAlarms", Alarm, "cloudwatch describe-alarms --alarm-names {id}", "alarms that can roll a deployment back";
    DescribeAlarmHistory = "cloudwatch:DescribeAlarmHistory", Alarm, "cloudwatch describe-alarm-history --history-item-type StateUpdate --alarm-name {id}", "when such an alarm fired";
    DescribeScalableTargets = "application-autoscaling:DescribeScalableTargets", Service, "application-autoscaling describe-scalable-targets --service-namespace ecs --resource-ids service/{cluster}/{service}", "the limits of auto scaling, and whether it is suspended";
    DescribeScalingPolicies = "application-autoscaling:DescribeScalingPolicies", Service, "application-autoscaling describe-scaling-policies --service-namespace ecs --resource-id service/{cluster}/{service}", "which policies scale the service";
    DescribeScalingActivities = "application-autoscaling:DescribeScalingActivities", Service, "application-autoscaling describe-scaling-activities --service-namespace ecs --include-not-scaled-activities --resource-id service/{cluster}/{service}", "when auto scaling changed the number of tasks, or could not";
    DescribeScheduledActions = "application-autoscaling:DescribeScheduledActions", Service, "application-autoscaling describe-scheduled-actions --service-namespace ecs --resource-id service/{cluster}/{service}", "whether a schedule set the service to zero";
    GetMetricData = "cloudwatch:GetMetricData", Service, "cloudwatch get-metric-data", "requests, errors, healthy hosts, CPU and memory of the last hour; where errors fill it, of the day before";
    GetLogEvents = "logs:GetLogEvents", LogGroup, "logs get-log-events --log-group-name {group} --log-stream-name {stream}", "the last lines of failing tasks";
    FilterLogEvents = "logs:FilterLogEvents", LogGroup, "logs filter-log-events --log-group-name {id} --filter-pattern ELB-HealthChecker", "the health checker's requests, as the app logs them";
    LookupEvents = "cloudtrail:LookupEvents", Resource, "cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue={id}", "with --trail: who changed what on the request path";
    GetRole = "iam:GetRole", Role, "iam get-role --role-name {id}", "the trust policy of a role that ECS could not assume";
    SimulatePrincipalPolicy = "iam:SimulatePrincipalPolicy", Role, "iam simulate-principal-policy --policy-source-arn {asked}", "whether the policies of a role allow what it was refused";
}

impl Call {
    /// Every action that has to be allowed for the call: its own, and what AWS looks for besides.
    /// WAF shows a web ACL only to principals that may read it.
    pub fn needs(self) -> impl Iterator<Item = &'static str> {
        let besides = match self {
            Call::GetWebAclForResource => Some("wafv2:GetWebACL"),
            _ => None,
        };
        [self.action()].into_iter().chain(besides)
    }

    /// The call of an action.
    pub fn of(action: &str) -> Option<Call> {
        Call::ALL.iter().copied().find(|call| call.action() == action)
    }

    /// The AWS CLI command that shows the user what we saw of a thing.
    pub fn see(self, patient: &Patient, of: &Of) -> Command {
        match of {
            Of::Metric(metric, owner) => seen_metric(patient, *metric, owner),
            Of::Question { role, action, resource } => aws!("iam simulate-principal-policy")
                .and(words!("--policy-source-arn {}", role))
                .and(words!("--action-names {}", action))
                .and(words!("--resource-arns {}", resource)),
            Of::Thing(_) | Of::LogStream { .. } => {
                let words = self.command().split_whitespace();
                Command::aws(Words::default().args(words.map(|word| named(word, patient, of))))
            }
        }
    }
}

/// A word of a command with its named values filled in.
fn named(word: &str, patient: &Patient, of: &Of) -> String {
    let Some((before, (name, after))) =
        word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return word.to_owned();
    };
    let id = of.to_string();
    let (cluster, service) = service_of(&id).unwrap_or((patient.cluster(), patient.name()));
    let (repository, reference) = image_parts(&id);
    let value = match (name, of) {
        ("group", Of::LogStream { group, .. }) => group,
        ("stream", Of::LogStream { stream, .. }) => stream,
        ("cluster", _) => cluster,
        ("service", _) => service,
        ("arn", _) => patient.arn(),
        ("repository", _) => repository,
        ("reference", _) => &reference,
        ("filter", _) => filter(&id),
        ("balancer", _) => &balancer_of(&id),
        ("parent", _) => id.rsplit('/').nth(1).unwrap_or(&id),
        ("last", _) => arn::last(&id),
        _ => &id,
    };
    format!("{before}{value}{}", named(after, patient, of))
}

/// A metric needs more than what it is a metric of: a namespace, and dimensions of several things.
fn seen_metric(patient: &Patient, metric: Metric, owner: &Subject) -> Command {
    let after = |id: &str, part: &str| {
        id.split_once(part).map_or_else(String::new, |(_, rest)| rest.to_owned())
    };
    let balancer = |id: &str| words!("Name=LoadBalancer,Value={}", after(id, ":loadbalancer/"));
    let (namespace, dimensions) = match metric.owner() {
        Owner::Service => (
            "AWS/ECS",
            words!(
                "Name=ClusterName,Value={} Name=ServiceName,Value={}",
                patient.cluster(),
                patient.name()
            ),
        ),
        Owner::LoadBalancer | Owner::NetworkBalancer | Owner::SignIn => {
            (namespace(&owner.id), balancer(&owner.id))
        }
        Owner::WebAcl => ("AWS/WAFV2", web_acl_dimensions(patient, &owner.id)),
        Owner::TargetGroup => {
            // The command is worth showing without what is not known.
            let group = Unseen::default().see(patient.target_group(&owner.id)).flatten();
            let attached = group.and_then(|group| {
                let balancers = Unseen::default().see(traffic::balancers_of(patient, group))?;
                balancers.into_iter().next()
            });
            let of_group =
                words!("Name=TargetGroup,Value=targetgroup/{}", after(&owner.id, ":targetgroup/"));
            let of_balancer = attached.map(balancer).unwrap_or_default();
            (attached.map_or(APPLICATION, |arn| namespace(arn)), of_group.and(of_balancer))
        }
    };
    aws!("cloudwatch get-metric-statistics --namespace {}", namespace)
        .and(words!("--metric-name {} --dimensions", metric.name()))
        .and(dimensions)
        .and(words!("--statistics {} --period 60", metric.statistic()))
        .and(words!(
            "--start-time {} --end-time {}",
            time::before(patient.now(), SignedDuration::from_hours(1)),
            patient.now()
        ))
}

const APPLICATION: &str = "AWS/ApplicationELB";

/// Where CloudWatch keeps the metrics of a load balancer and its target groups, by its ARN.
pub fn namespace(balancer: &str) -> &'static str {
    if balancer.contains(":loadbalancer/net/") { "AWS/NetworkELB" } else { APPLICATION }
}

/// Of a web ACL as a whole, or of one of its rules: CloudWatch has its own names for both.
fn web_acl_dimensions(patient: &Patient, owner: &str) -> Words {
    let told = Unseen::default().see(patient.web_acls()).unwrap_or_default();
    let acl = told.into_iter().find(|acl| owner.starts_with(&acl.arn));
    let rule = acl.and_then(|acl| owner.strip_prefix(acl.arn.as_str())?.strip_prefix('/'));
    words!(
        "Name=WebACL,Value={} Name=Rule,Value={} Name=Region,Value={}",
        acl.and_then(|acl| acl.metric_name.as_deref()).unwrap_or_default(),
        rule.unwrap_or("ALL"),
        patient.region()
    )
}

/// Cluster and name of the service that an ARN names: it may be another one.
fn service_of(arn: &str) -> Option<(&str, &str)> {
    arn.split_once(":service/")?.1.split_once('/')
}

/// What stands between group and stream where one log stream is named.
pub const LOG_STREAM: &str = ":log-stream:";

/// `123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/api:1.2` → (`team/api`, `imageTag=1.2`).
fn image_parts(image: &str) -> (&str, String) {
    let path = image.split_once('/').map_or(image, |(_, path)| path);
    match (path.split_once('@'), path.rsplit_once(':')) {
        (Some((repository, digest)), _) => (repository, format!("imageDigest={digest}")),
        (None, Some((repository, tag))) => (repository, format!("imageTag={tag}")),
        (None, None) => (path, "imageTag=latest".into()),
    }
}

/// The load balancer of a listener or a rule, from the ARN; any other ARN stays as it is.
fn balancer_of(arn: &str) -> String {
    for kind in [":listener-rule/", ":listener/"] {
        if let Some((head, tail)) = arn.split_once(kind) {
            let path: Vec<&str> = tail.split('/').take(3).collect();
            return format!("{head}:loadbalancer/{}", path.join("/"));
        }
    }
    arn.to_owned()
}

/// EC2's filter for things of this kind.
fn filter(id: &str) -> &'static str {
    match id.split('-').next() {
        Some("rtb") => "route-table-id",
        Some("acl") => "network-acl-id",
        Some("vpce") => "vpc-endpoint-id",
        _ => "vpc-id",
    }
}

impl Serialize for Call {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.action())
    }
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let action = String::deserialize(deserializer)?;
        Call::of(&action)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown call {action:?}")))
    }
}

impl JsonSchema for Call {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Call".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "The IAM action of a call to AWS, such as ecs:DescribeServices." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_known_by_its_action_and_no_two_share_one() {
        for call in Call::ALL {
            assert_eq!(Call::of(call.action()), Some(*call));
            let (service, action) = call.action().split_once(':').unwrap();
            assert!(!service.is_empty() && action.starts_with(char::is_uppercase), "{action}");
        }
        assert_eq!(Call::of("ecs:DeleteService"), None);
    }

    #[test]
    fn a_call_needs_its_action_and_what_aws_looks_for_besides() {
        let needs = |call: Call| call.needs().collect::<Vec<_>>();
        assert_eq!(needs(Call::DescribeTasks), ["ecs:DescribeTasks"]);
        assert_eq!(
            needs(Call::GetWebAclForResource),
            ["wafv2:GetWebACLForResource", "wafv2:GetWebACL"]
        );
    }

    #[test]
    fn json_spells_a_call_as_iam_does() {
        let json = serde_json::to_value(Call::DescribeTasks).unwrap();
        assert_eq!(json, "ecs:DescribeTasks");
        assert_eq!(serde_json::from_value::<Call>(json).unwrap(), Call::DescribeTasks);
        let unknown = serde_json::from_value::<Call>("ecs:DeleteService".into()).unwrap_err();
        assert!(unknown.to_string().contains("unknown call"), "{unknown}");
    }
}
