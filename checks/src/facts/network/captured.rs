//! Calls of the app to APIs of API Gateway that fail, and the VPC endpoint to which its private DNS
//! resolves them: it takes over the name of every API of the region, and serves private ones only.
//! A line counts only where something is affected; an app may log errors that it handles.

use crate::aws::api_gateway::{self, FailedCall};
use crate::facts::inbound::traffic;
use crate::facts::network::dialled;
use crate::facts::network::egress_path;
use crate::facts::tasks::connection_errors;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::{Endpoint, LogLine, Task};

/// Calls that fail out of one VPC.
#[derive(Debug)]
pub struct Captured<'a> {
    pub vpc: &'a str,
    /// The newest first.
    pub calls: Vec<(FailedCall<'a>, &'a LogLine)>,
    pub newest: Evidence,
    pub tasks: Vec<&'a Task>,
    /// The target groups whose tasks logged it; an empty name for tasks that ended.
    pub groups: Vec<&'a str>,
}

/// How often an app has to log it where nothing else shows that it is affected.
const OFTEN: usize = 3;

/// The calls that fail, where something is affected.
pub fn captured<'a>(patient: &Patient<'a>, findings: &mut impl See) -> Vec<Captured<'a>> {
    let Some((running, failing)) = findings.see(dialled::watched(patient)) else {
        return Vec::new();
    };
    if !running && !failing {
        return Vec::new();
    }
    let groups = findings.see(traffic::groups(patient)).unwrap_or_default();
    let mut all: Vec<Captured<'a>> = Vec::new();
    let lines =
        connection_errors::recent(patient, findings, |line| api_gateway::read(&line.message));
    for (call, line, stream) in lines {
        let is_up = dialled::is_up(stream.task);
        let is_own_region = call.region == patient.region();
        if !is_own_region || !(if is_up { running } else { failing }) {
            continue;
        }
        let subnet = stream.task.subnet_id.as_deref();
        let subnet = subnet.and_then(|subnet| findings.see(patient.subnet(subnet)).flatten());
        let Some(vpc) = subnet.and_then(|subnet| subnet.vpc_id.as_deref()) else { continue };
        let at = all.iter().position(|known| known.vpc == vpc).unwrap_or_else(|| {
            all.push(Captured {
                vpc,
                calls: Vec::new(),
                newest: connection_errors::evidence_of(line, &stream),
                tasks: Vec::new(),
                groups: Vec::new(),
            });
            all.len() - 1
        });
        let found = &mut all[at];
        found.calls.push((call, line));
        if !found.tasks.iter().any(|task| task.task_arn == stream.task.task_arn) {
            found.tasks.push(stream.task);
        }
        if is_up { found.groups.extend(&groups) } else { found.groups.push("") }
    }
    all.retain(|found| !found.groups.is_empty() || found.calls.len() >= OFTEN);
    all
}

/// Whether there are such calls, so that the collector asks what surrounds the tasks.
pub fn is_suspected(patient: &Patient) -> bool {
    !captured(patient, &mut Unseen::default()).is_empty()
}

impl<'a> Captured<'a> {
    /// The endpoint to which the names of all APIs lead.
    pub fn endpoint(&self, patient: &Patient<'a>) -> Result<Option<&'a Endpoint>, Blind> {
        let captures = |endpoint: &&Endpoint| {
            egress_path::is_interface(endpoint)
                && endpoint.private_dns_enabled
                && endpoint.state.eq_ignore_ascii_case("available")
                && endpoint.service_name.ends_with(".execute-api")
        };
        let Some(endpoint) = patient.endpoints(self.vpc)?.iter().find(captures) else {
            return Ok(None);
        };
        // Without both, private names count for nothing.
        let dns = patient.vpc_dns(self.vpc)?;
        let counts = dns.is_some_and(|dns| dns.enable_dns_support && dns.enable_dns_hostnames);
        Ok(counts.then_some(endpoint))
    }

    /// The names that were asked, each once.
    pub fn hosts(&self) -> Vec<&'a str> {
        let mut hosts: Vec<&str> = self.calls.iter().map(|(call, _)| call.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}
