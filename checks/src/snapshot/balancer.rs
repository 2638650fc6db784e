//! Load balancers, listeners, rules, target groups and targets, as Elastic Load Balancing tells
//! them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attributes of a load balancer or a target group, by their names.
pub type Attributes = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LoadBalancer {
    pub load_balancer_arn: String,
    pub load_balancer_name: String,
    pub dns_name: Option<String>,
    /// `internet-facing` or `internal`.
    pub scheme: Option<String>,
    /// `application`, `network` or `gateway`.
    pub load_balancer_type: Option<String>,
    /// `active`, `provisioning`, `active_impaired` or `failed`.
    pub state: Option<String>,
    pub state_reason: Option<String>,
    pub ip_address_type: Option<String>,
    pub vpc_id: Option<String>,
    pub availability_zones: Vec<String>,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// `on` or `off`, of a network load balancer: whether they hold for what comes by PrivateLink.
    pub enforce_security_group_inbound_rules_on_private_link_traffic: Option<String>,
    pub created_time: Option<Timestamp>,
}

impl LoadBalancer {
    pub fn is_public(&self) -> bool {
        self.scheme.as_deref() == Some("internet-facing")
    }

    /// Whether its name has addresses of IPv6, too: with IPv4 beside them, or inside the VPC only.
    pub fn has_ipv6(&self) -> bool {
        self.ip_address_type.as_deref().is_some_and(|kind| kind.starts_with("dualstack"))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Listener {
    pub listener_arn: String,
    pub load_balancer_arn: String,
    pub port: Option<i32>,
    pub protocol: Option<String>,
    pub ssl_policy: Option<String>,
    pub default_actions: Vec<Action>,
}

/// What a listener's security policy allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SslPolicy {
    pub name: String,
    /// `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.3`.
    pub ssl_protocols: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rule {
    pub rule_arn: String,
    /// A number, or `default`.
    pub priority: String,
    pub is_default: bool,
    pub conditions: Vec<Condition>,
    pub actions: Vec<Action>,
}

/// One condition of a rule; all conditions of a rule must hold, any one of its values suffices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Condition {
    /// `host-header`, `path-pattern`, `http-header`, `http-request-method`, `query-string` or
    /// `source-ip`.
    pub field: String,
    /// For `http-header`: the header's name.
    pub name: Option<String>,
    /// None of a header, which may be the secret that a CDN and its origin share; of a query only
    /// the names: `version=`.
    pub values: Vec<String>,
    /// Regular expressions, of hosts and paths.
    pub regex_values: Vec<String>,
}

impl Condition {
    /// Drops the values of headers and queries, which may be secrets; names stay.
    pub fn forget_secrets(&mut self) {
        match self.field.as_str() {
            "http-header" => self.values.clear(),
            "query-string" => {
                for pair in &mut self.values {
                    let name = pair.split_once('=').map_or("", |(name, _)| name);
                    *pair = format!("{name}=");
                }
                self.values.dedup();
            }
            _ => return,
        }
        self.regex_values.clear();
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Action {
    /// `forward`, `redirect`, `fixed-response`, `authenticate-oidc` and others; the field is called
    /// `Type` at AWS.
    #[serde(rename = "type")]
    pub kind: String,
    /// For `forward`: where to, with relative weights of 0 to 999.
    pub target_groups: Vec<WeightedGroup>,
    /// For `fixed-response`, and for `redirect` (`HTTP_301`).
    pub status_code: Option<String>,
    pub redirect_protocol: Option<String>,
    pub redirect_port: Option<String>,
    pub redirect_host: Option<String>,
    pub redirect_path: Option<String>,
    /// For `authenticate-oidc`: the hosts of the token and user endpoints, which the load balancer
    /// asks itself; with a port where that is not 443.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provider_hosts: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WeightedGroup {
    pub target_group_arn: String,
    pub weight: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TargetGroup {
    pub target_group_arn: String,
    pub target_group_name: String,
    pub protocol: Option<String>,
    pub protocol_version: Option<String>,
    pub port: Option<i32>,
    pub vpc_id: Option<String>,
    /// `instance`, `ip`, `lambda` or `alb`.
    pub target_type: Option<String>,
    /// `ipv4` or `ipv6`.
    pub ip_address_type: Option<String>,
    pub load_balancer_arns: Vec<String>,
    pub health_check_enabled: Option<bool>,
    pub health_check_protocol: Option<String>,
    /// A number, or `traffic-port`.
    pub health_check_port: Option<String>,
    pub health_check_path: Option<String>,
    pub health_check_interval_seconds: Option<i32>,
    pub health_check_timeout_seconds: Option<i32>,
    pub healthy_threshold_count: Option<i32>,
    pub unhealthy_threshold_count: Option<i32>,
    /// Codes that count as healthy: `200`, `200,204` or `200-299`.
    pub matcher: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Target {
    /// An address or an instance.
    pub id: String,
    pub port: Option<i32>,
    pub availability_zone: Option<String>,
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining`, `unhealthy.draining` or
    /// `unavailable`.
    pub state: String,
    pub reason: Option<String>,
    pub description: Option<String>,
    /// `no_override`, `zonal_shift_active` and others: what an operator or AWS did, beside all
    /// health checks.
    pub administrative_override: Option<String>,
}
