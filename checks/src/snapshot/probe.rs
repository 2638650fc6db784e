//! One GET to the service's own URL, made where the user asked for it with `--probe`. Of the answer
//! only status, server and timing are kept, never its body.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Probe {
    pub url: String,
    /// What the host of the URL resolves to.
    pub addresses: Vec<String>,
    /// What it is compared with: the addresses of the load balancer's network interfaces; where EC2
    /// told none, what the load balancer's own name resolves to.
    pub balancer_addresses: Vec<String>,
    /// Whether these are those of its network interfaces.
    pub by_interfaces: bool,
    /// The answers, in order: the last is the one that counts, those before are redirects within
    /// the host.
    pub answers: Vec<ProbeAnswer>,
    /// Why there is no further answer.
    pub failure: Option<ProbeFailure>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProbeAnswer {
    pub url: String,
    pub status: u16,
    pub server: Option<String>,
    /// The page is the one that the load balancer has for this status.
    pub balancer_page: bool,
    pub elapsed_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProbeFailure {
    pub url: String,
    /// `resolve`, `address` (it is not the load balancer's, so nothing was sent), `connect`, `tls`,
    /// `timeout` or `answer`.
    pub stage: String,
    pub message: String,
    pub elapsed_ms: u64,
}
