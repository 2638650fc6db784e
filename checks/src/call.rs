//! Every call that the program may make to AWS: its IAM action, its command, and what it is asked
//! for. The IAM policy, the docs, the "see for yourself" lines and the collector all come from this
//! one list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! calls {
    ($( $name:ident = $action:literal, $cli:literal, $why:literal; )*) => {
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

            /// What the program asks it for.
            pub fn why(self) -> &'static str {
                match self { $( Call::$name => $why, )* }
            }

            fn command(self) -> &'static str {
                match self { $( Call::$name => $cli, )* }
            }
        }
    };
}

calls! {
    ListClusters = "ecs:ListClusters", "aws ecs list-clusters", "find the cluster that has the service";
    ListServices = "ecs:ListServices", "aws ecs list-services --cluster {id}", "find a service by its URL; suggest the nearest names";
    DescribeServices = "ecs:DescribeServices", "aws ecs describe-services --cluster {cluster} --services {service}", "the service, its deployments and events";
    DescribeExpressGatewayService = "ecs:DescribeExpressGatewayService", "aws ecs describe-express-gateway-service --service-arn {id}", "what an Express service was asked to be";
    ListServiceDeployments = "ecs:ListServiceDeployments", "aws ecs list-service-deployments --service {arn}", "the deployments of the last weeks";
    DescribeServiceDeployments = "ecs:DescribeServiceDeployments", "aws ecs describe-service-deployments --service-deployment-arns {id}", "stage, breaker, alarms and rollback of a deployment";
    DescribeServiceRevisions = "ecs:DescribeServiceRevisions", "aws ecs describe-service-revisions --service-revision-arns {id}", "pinned image digests; what Express manages";
    ListTasks = "ecs:ListTasks", "aws ecs list-tasks --cluster {cluster} --service-name {service} --desired-status STOPPED", "running tasks, and those stopped within the last hour";
    DescribeTasks = "ecs:DescribeTasks", "aws ecs describe-tasks --cluster {cluster} --tasks {id}", "why tasks stopped, and what the running ones run";
    DescribeTaskDefinition = "ecs:DescribeTaskDefinition", "aws ecs describe-task-definition --task-definition {id}", "images, ports and log groups";
    ListTaskDefinitions = "ecs:ListTaskDefinitions", "aws ecs list-task-definitions --family-prefix {quoted} --sort DESC --max-items 1", "whether a newer version is registered than the one that is deployed";
    ListServicesByNamespace = "ecs:ListServicesByNamespace", "aws ecs list-services-by-namespace --namespace {id}", "the siblings that share a Service Connect namespace";
    GetTaskProtection = "ecs:GetTaskProtection", "aws ecs get-task-protection --cluster {cluster} --tasks {id}", "whether old tasks are protected from being stopped, during a deployment";
    ListContainerInstances = "ecs:ListContainerInstances", "aws ecs list-container-instances --cluster {cluster}", "the instances of the cluster, where a service on EC2 or external instances lacks tasks";
    DescribeContainerInstances = "ecs:DescribeContainerInstances", "aws ecs describe-container-instances --cluster {cluster} --container-instances {last}", "what each instance has left, and whether its agent is connected";
    DescribeClusters = "ecs:DescribeClusters", "aws ecs describe-clusters --clusters {cluster}", "the capacity providers of the cluster";
    DescribeCapacityProviders = "ecs:DescribeCapacityProviders", "aws ecs describe-capacity-providers --capacity-providers {quoted}", "the Auto Scaling group behind a capacity provider";
    DescribeAutoScalingGroups = "autoscaling:DescribeAutoScalingGroups", "aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names {quoted}", "how large the group is, and may become";
    DescribeGroupActivities = "autoscaling:DescribeScalingActivities", "aws autoscaling describe-scaling-activities --auto-scaling-group-name {quoted} --max-items 5", "why no instance could be launched";
    DescribeTargetGroups = "elasticloadbalancing:DescribeTargetGroups", "aws elbv2 describe-target-groups --target-group-arns {id}", "the health check: path, port, matcher, timing";
    DescribeTargetHealth = "elasticloadbalancing:DescribeTargetHealth", "aws elbv2 describe-target-health --target-group-arn {id}", "which targets are healthy, and why not";
    DescribeTargetGroupAttributes = "elasticloadbalancing:DescribeTargetGroupAttributes", "aws elbv2 describe-target-group-attributes --target-group-arn {id}", "how long targets drain";
    DescribeLoadBalancers = "elasticloadbalancing:DescribeLoadBalancers", "aws elbv2 describe-load-balancers --load-balancer-arns {id}", "scheme, security groups and zones of the balancer";
    DescribeLoadBalancerAttributes = "elasticloadbalancing:DescribeLoadBalancerAttributes", "aws elbv2 describe-load-balancer-attributes --load-balancer-arn {id}", "idle timeout of the balancer";
    DescribeListeners = "elasticloadbalancing:DescribeListeners", "aws elbv2 describe-listeners --load-balancer-arn {balancer}", "ports and default actions of the balancer";
    DescribeRules = "elasticloadbalancing:DescribeRules", "aws elbv2 describe-rules --rule-arns {id}", "which host goes to which target group";
    DescribeListenerCertificates = "elasticloadbalancing:DescribeListenerCertificates", "aws elbv2 describe-listener-certificates --listener-arn {id}", "the certificates of a listener, beside the default one";
    ListCertificates = "acm:ListCertificates", "aws acm describe-certificate --certificate-arn {id}", "for which hosts a certificate is, and until when";
    GetWebAclForResource = "wafv2:GetWebACLForResource", "aws wafv2 get-web-acl-for-resource --resource-arn {id}", "the web ACL in front of the balancer";
    GetIpSet = "wafv2:GetIPSet", "aws wafv2 get-ip-set --scope REGIONAL --name {parent} --id {last}", "whether a web ACL lets in the addresses that tasks come from, where they call a sibling by its public name";
    DescribeSSLPolicies = "elasticloadbalancing:DescribeSSLPolicies", "aws elbv2 describe-ssl-policies --names {id}", "which versions of TLS a listener allows";
    DescribeSecurityGroups = "ec2:DescribeSecurityGroups", "aws ec2 describe-security-groups --group-ids {id}", "who is let in, at the balancer and at the tasks";
    DescribeSubnets = "ec2:DescribeSubnets", "aws ec2 describe-subnets --subnet-ids {id}", "zones, addresses and networks of tasks and balancer";
    DescribeRouteTables = "ec2:DescribeRouteTables", "aws ec2 describe-route-tables --filters Name={filter},Values={id}", "which subnets are public";
    DescribeNetworkInterfaces = "ec2:DescribeNetworkInterfaces", "aws ec2 describe-network-interfaces --network-interface-ids {id}", "addresses and security groups that tasks really have; with --probe, the addresses of the balancer";
    DescribeNetworkAcls = "ec2:DescribeNetworkAcls", "aws ec2 describe-network-acls --filters Name={filter},Values={id}", "whether a network ACL drops traffic, where something cannot be reached";
    DescribeVpcEndpoints = "ec2:DescribeVpcEndpoints", "aws ec2 describe-vpc-endpoints --filters Name={filter},Values={id}", "whether AWS can be reached without the internet, where it cannot be reached";
    DescribeVpcAttribute = "ec2:DescribeVpcAttribute", "aws ec2 describe-vpc-attribute --vpc-id {id} --attribute enableDnsSupport", "whether the VPC resolves names, where something cannot be reached";
    GetManagedPrefixListEntries = "ec2:GetManagedPrefixListEntries", "aws ec2 get-managed-prefix-list-entries --prefix-list-id {id}", "the addresses behind a prefix list that a rule or a route names";
    DescribeManagedPrefixLists = "ec2:DescribeManagedPrefixLists", "aws ec2 describe-managed-prefix-lists --prefix-list-ids {id}", "the name of a prefix list that lets clients in to the balancer, and whose it is";
    GetService = "servicediscovery:GetService", "aws servicediscovery get-service --id {last}", "since when a name of Service Connect exists";
    ListInstances = "servicediscovery:ListInstances", "aws servicediscovery list-instances --service-id {last}", "which addresses Cloud Map gives out for the service";
    GetInstancesHealthStatus = "servicediscovery:GetInstancesHealthStatus", "aws servicediscovery get-instances-health-status --service-id {last}", "which of these addresses Cloud Map holds back";
    DescribeDBInstances = "rds:DescribeDBInstances", "aws rds describe-db-instances --db-instance-identifier {id}", "whether a database that a variable names is available, and whom it lets in";
    DescribeDBClusters = "rds:DescribeDBClusters", "aws rds describe-db-clusters --db-cluster-identifier {id}", "the same of a cluster";
    DescribeDBProxies = "rds:DescribeDBProxies", "aws rds describe-db-proxies --db-proxy-name {id}", "the same of a proxy";
    DescribeDBProxyTargets = "rds:DescribeDBProxyTargets", "aws rds describe-db-proxy-targets --db-proxy-name {id}", "whether the databases behind a proxy answer it";
    DescribeNatGateways = "ec2:DescribeNatGateways", "aws ec2 describe-nat-gateways --nat-gateway-ids {id}", "whether the NAT gateway of a route works, where something cannot be reached; the address it lends";
    DescribeImages = "ecr:DescribeImages", "aws ecr describe-images --repository-name {repository} --image-ids {reference}", "the digest that a tag has now";
    BatchGetImage = "ecr:BatchGetImage", "aws ecr batch-get-image --repository-name {repository} --image-ids {reference}", "the platforms behind a multi-architecture tag; whether a pinned digest is still there";
    DescribeRepositories = "ecr:DescribeRepositories", "aws ecr describe-repositories --repository-names {repository}", "whether tags can be moved";
    GetLifecyclePolicy = "ecr:GetLifecyclePolicy", "aws ecr get-lifecycle-policy --repository-name {repository}", "whether a rule removes images that a deployment has pinned";
    DescribeAlarms = "cloudwatch:DescribeAlarms", "aws cloudwatch describe-alarms --alarm-names {quoted}", "alarms that can roll a deployment back";
    DescribeAlarmHistory = "cloudwatch:DescribeAlarmHistory", "aws cloudwatch describe-alarm-history --history-item-type StateUpdate --alarm-name {quoted}", "when such an alarm fired";
    DescribeScalableTargets = "application-autoscaling:DescribeScalableTargets", "aws application-autoscaling describe-scalable-targets --service-namespace ecs --resource-ids service/{cluster}/{service}", "the bounds of auto scaling, and whether it is suspended";
    DescribeScalingPolicies = "application-autoscaling:DescribeScalingPolicies", "aws application-autoscaling describe-scaling-policies --service-namespace ecs --resource-id service/{cluster}/{service}", "what the service is scaled by";
    DescribeScalingActivities = "application-autoscaling:DescribeScalingActivities", "aws application-autoscaling describe-scaling-activities --service-namespace ecs --include-not-scaled-activities --resource-id service/{cluster}/{service}", "when auto scaling changed the number of tasks, or could not";
    DescribeScheduledActions = "application-autoscaling:DescribeScheduledActions", "aws application-autoscaling describe-scheduled-actions --service-namespace ecs --resource-id service/{cluster}/{service}", "whether a schedule set the service to zero";
    GetMetricData = "cloudwatch:GetMetricData", "aws cloudwatch get-metric-data", "requests, errors, healthy hosts, CPU and memory of the last hour";
    GetLogEvents = "logs:GetLogEvents", "aws logs get-log-events --log-group-name {group} --log-stream-name {stream}", "the last lines of failing tasks";
    FilterLogEvents = "logs:FilterLogEvents", "aws logs filter-log-events --log-group-name {id} --filter-pattern ELB-HealthChecker", "the health checker's requests, as the app logs them";
    LookupEvents = "cloudtrail:LookupEvents", "aws cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue={quoted}", "with --trail: who changed what on the traffic path";
    GetRole = "iam:GetRole", "aws iam get-role --role-name {quoted}", "whom a role trusts that ECS could not assume";
    SimulatePrincipalPolicy = "iam:SimulatePrincipalPolicy", "aws iam simulate-principal-policy --policy-source-arn {asked}", "whether the policies of a role allow what it was refused";
}

impl Call {
    /// Every action that has to be allowed for the call: its own, and what AWS looks for besides.
    /// WAF tells of a web ACL only whom it would let read it.
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

    /// The AWS CLI command that shows the user what we saw. `id` is what was asked about.
    pub fn see(self, cluster: &str, service: &str, arn: &str, id: &str) -> String {
        let (repository, reference) = image_parts(id);
        let (group, stream) = id.split_once(LOG_STREAM).unwrap_or((id, ""));
        let (cluster, service) = service_of(id).unwrap_or((cluster, service));
        self.command()
            .replace("{cluster}", cluster)
            .replace("{service}", service)
            .replace("{arn}", arn)
            .replace("{repository}", repository)
            .replace("{reference}", &reference)
            .replace("{group}", group)
            .replace("{stream}", stream)
            .replace("{filter}", filter(id))
            .replace("{balancer}", &balancer_of(id))
            .replace("{parent}", id.rsplit('/').nth(1).unwrap_or(id))
            .replace("{last}", id.rsplit('/').next().unwrap_or(id))
            .replace("{asked}", &asked(id))
            .replace("{quoted}", &quote(id))
            .replace("{id}", id)
    }
}

/// Cluster and name of the service that an ARN names: it may be a sibling.
fn service_of(arn: &str) -> Option<(&str, &str)> {
    arn.split_once(":service/")?.1.split_once('/')
}

/// What stands between group and stream where one log stream is named.
pub const LOG_STREAM: &str = ":log-stream:";

/// `role action resource` as the options that ask about them.
fn asked(id: &str) -> String {
    let mut words = id.splitn(3, ' ').map(quote);
    let mut asked = words.next().unwrap_or_default();
    for (option, word) in [" --action-names ", " --resource-arns "].iter().zip(words) {
        asked += option;
        asked += &word;
    }
    asked
}

/// Quotes one word for a POSIX shell, where it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

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
