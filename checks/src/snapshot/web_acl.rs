//! The web ACL in front of a load balancer, as AWS WAF tells it: what it does with a request that
//! no rule takes, and each rule with its action. Pattern sets and rule groups are there by their
//! ARN or name only, IP sets with their addresses where a caller's has to be looked up.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebAcl {
    pub arn: String,
    pub id: String,
    pub name: String,
    /// `Allow` or `Block`: for a request that no rule has decided.
    pub default_action: Option<String>,
    /// How CloudWatch calls it.
    pub metric_name: Option<String>,
    pub managed_by_firewall_manager: bool,
    /// In the order of their priority.
    pub rules: Vec<WebAclRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebAclRule {
    pub name: String,
    pub priority: i32,
    /// `Block`, `Allow`, `Count`, `Captcha` or `Challenge`; absent where a rule group decides.
    pub action: Option<String>,
    /// For a rule group: `None` leaves its rules their actions, `Count` makes them only count.
    pub override_action: Option<String>,
    pub metric_name: Option<String>,
    pub statement: Statement,
}

/// What a rule looks at. A statement that joins or turns around others has them inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Statement {
    /// AWS's name for it without the word statement: `IPSetReference`, `Not`, `RateBased`,
    /// `ManagedRuleGroup` …
    pub kind: String,
    /// Of the IP set, pattern set or rule group that it refers to.
    pub arn: Option<String>,
    /// Of an IP set: the header that is taken for the client's address, where one is.
    pub header_name: Option<String>,
    /// Of a managed rule group, with its vendor: `AWS AWSManagedRulesCommonRuleSet`.
    pub name: Option<String>,
    pub statements: Vec<Statement>,
    /// Of a size constraint: which part of the request is too large, where that is its body, `Body`
    /// or `JsonBody`; how it is compared, `GT` or `GE` for what is larger; and with how many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison_operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// Of a managed rule group: the rules that got another action here, and which.
    pub rule_action_overrides: BTreeMap<String, String>,
}

/// Addresses that rules refer to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IpSet {
    pub arn: String,
    pub id: String,
    pub name: String,
    /// `IPV4` or `IPV6`: all of its blocks are of one family.
    pub ip_address_version: Option<String>,
    pub addresses: Vec<String>,
}

impl WebAcl {
    /// What the metrics of one rule are kept under; those of the whole web ACL are under its ARN.
    pub fn metric_of(&self, rule: &str) -> String {
        format!("{}/{rule}", self.arn)
    }
}
