//! Metrics of the last hour, one value a minute, asked for in one batch.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The metrics that are asked for, by the resource they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Of a load balancer. On a load balancer that several services share these are not this
    /// service's alone.
    Requests,
    Elb5xx,
    Elb502,
    Elb503,
    Elb504,
    FixedResponses,
    /// Of a network load balancer, which knows connections and no requests.
    NewFlows,
    ElbResets,
    TargetResets,
    PortErrors,
    /// Of a target group.
    GroupRequests,
    ConnectionErrors,
    ResponseTime,
    Target5xx,
    Target4xx,
    Target3xx,
    HealthyHosts,
    UnhealthyHosts,
    /// Of the service.
    Cpu,
    Memory,
    /// Of a web ACL as a whole, or of one of its rules.
    WafBlocked,
    /// Of a load balancer that signs users in: how often it could not, and how often it did.
    AuthErrors,
    AuthSuccesses,
}

/// Which kind of resource a metric belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    LoadBalancer,
    NetworkBalancer,
    TargetGroup,
    Service,
    WebAcl,
    /// A load balancer, where a rule of it signs users in.
    SignIn,
}

impl Metric {
    pub const ALL: &[Metric] = &[
        Metric::Requests,
        Metric::Elb5xx,
        Metric::Elb502,
        Metric::Elb503,
        Metric::Elb504,
        Metric::FixedResponses,
        Metric::NewFlows,
        Metric::ElbResets,
        Metric::TargetResets,
        Metric::PortErrors,
        Metric::GroupRequests,
        Metric::ConnectionErrors,
        Metric::ResponseTime,
        Metric::Target5xx,
        Metric::Target4xx,
        Metric::Target3xx,
        Metric::HealthyHosts,
        Metric::UnhealthyHosts,
        Metric::Cpu,
        Metric::Memory,
        Metric::WafBlocked,
        Metric::AuthErrors,
        Metric::AuthSuccesses,
    ];

    /// CloudWatch's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Requests | Metric::GroupRequests => "RequestCount",
            Metric::Elb5xx => "HTTPCode_ELB_5XX_Count",
            Metric::Elb502 => "HTTPCode_ELB_502_Count",
            Metric::Elb503 => "HTTPCode_ELB_503_Count",
            Metric::Elb504 => "HTTPCode_ELB_504_Count",
            Metric::FixedResponses => "HTTP_Fixed_Response_Count",
            Metric::NewFlows => "NewFlowCount",
            Metric::ElbResets => "TCP_ELB_Reset_Count",
            Metric::TargetResets => "TCP_Target_Reset_Count",
            Metric::PortErrors => "PortAllocationErrorCount",
            Metric::ConnectionErrors => "TargetConnectionErrorCount",
            Metric::ResponseTime => "TargetResponseTime",
            Metric::WafBlocked => "BlockedRequests",
            Metric::AuthErrors => "ELBAuthError",
            Metric::AuthSuccesses => "ELBAuthSuccess",
            Metric::Target5xx => "HTTPCode_Target_5XX_Count",
            Metric::Target4xx => "HTTPCode_Target_4XX_Count",
            Metric::Target3xx => "HTTPCode_Target_3XX_Count",
            Metric::HealthyHosts => "HealthyHostCount",
            Metric::UnhealthyHosts => "UnHealthyHostCount",
            Metric::Cpu => "CPUUtilization",
            Metric::Memory => "MemoryUtilization",
        }
    }

    /// How evidence spells it: `RequestCount.Values`.
    pub fn field(self) -> &'static str {
        match self {
            Metric::Requests | Metric::GroupRequests => "RequestCount.Values",
            Metric::Elb5xx => "HTTPCode_ELB_5XX_Count.Values",
            Metric::Elb502 => "HTTPCode_ELB_502_Count.Values",
            Metric::Elb503 => "HTTPCode_ELB_503_Count.Values",
            Metric::Elb504 => "HTTPCode_ELB_504_Count.Values",
            Metric::FixedResponses => "HTTP_Fixed_Response_Count.Values",
            Metric::NewFlows => "NewFlowCount.Values",
            Metric::ElbResets => "TCP_ELB_Reset_Count.Values",
            Metric::TargetResets => "TCP_Target_Reset_Count.Values",
            Metric::PortErrors => "PortAllocationErrorCount.Values",
            Metric::ConnectionErrors => "TargetConnectionErrorCount.Values",
            Metric::ResponseTime => "TargetResponseTime.Values",
            Metric::WafBlocked => "BlockedRequests.Values",
            Metric::AuthErrors => "ELBAuthError.Values",
            Metric::AuthSuccesses => "ELBAuthSuccess.Values",
            Metric::Target5xx => "HTTPCode_Target_5XX_Count.Values",
            Metric::Target4xx => "HTTPCode_Target_4XX_Count.Values",
            Metric::Target3xx => "HTTPCode_Target_3XX_Count.Values",
            Metric::HealthyHosts => "HealthyHostCount.Values",
            Metric::UnhealthyHosts => "UnHealthyHostCount.Values",
            Metric::Cpu => "CPUUtilization.Values",
            Metric::Memory => "MemoryUtilization.Values",
        }
    }

    pub fn statistic(self) -> &'static str {
        match self {
            Metric::HealthyHosts => "Minimum",
            Metric::UnhealthyHosts | Metric::ResponseTime | Metric::Cpu | Metric::Memory => {
                "Maximum"
            }
            _ => "Sum",
        }
    }

    pub fn owner(self) -> Owner {
        match self {
            Metric::Requests
            | Metric::Elb5xx
            | Metric::Elb502
            | Metric::Elb503
            | Metric::Elb504
            | Metric::FixedResponses => Owner::LoadBalancer,
            Metric::NewFlows | Metric::ElbResets | Metric::TargetResets | Metric::PortErrors => {
                Owner::NetworkBalancer
            }
            Metric::Cpu | Metric::Memory => Owner::Service,
            Metric::WafBlocked => Owner::WebAcl,
            Metric::AuthErrors | Metric::AuthSuccesses => Owner::SignIn,
            _ => Owner::TargetGroup,
        }
    }

    /// The key in the snapshot's table: `HTTPCode_ELB_503_Count of arn:…`.
    pub fn of(self, resource: &str) -> String {
        format!("{} of {resource}", self.name())
    }
}

/// Values with the start of their minute. Without traffic CloudWatch has no values at all, which is
/// not an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Series {
    pub values: Vec<(Timestamp, f64)>,
}

impl Series {
    pub fn since(&self, start: Timestamp) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().filter(move |(at, _)| *at >= start).map(|(_, value)| *value)
    }

    pub fn sum_since(&self, start: Timestamp) -> f64 {
        self.since(start).sum()
    }
}
