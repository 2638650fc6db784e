//! How AWS is asked: a client for each of its services, the search for the service, and what every
//! part of the collection shares. The plan says what is asked and when; one file for each AWS
//! service says how.

mod acm;
pub mod ask;
mod autoscaling;
mod cloudwatch;
mod credentials;
#[cfg(test)]
mod depth;
mod discovery;
mod ec2;
mod ecr;
mod ecs;
mod elasticache;
mod elbv2;
pub mod find;
mod iam;
mod logs;
mod plan;
pub mod probe;
pub mod progress;
mod rds;
mod scaling;
mod secretsmanager;
pub mod services;
pub mod trail;
mod transport;
mod url;
mod vpc;
mod wafv2;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use checks::patient::{Intent, Patient};
use checks::seen::Unseen;
use checks::seen::{Blind, Seen};
use checks::snapshot::{ClusterServices, Listener, LoadBalancer, Revision, Rule, Snapshot, Table};
use checks::views::diff;
use jiff::Timestamp;

use ask::Asker;
pub use plan::collect;
use transport::Transport;
pub use url::url;

/// How to reach AWS, as the user said.
#[derive(Clone, Debug)]
pub struct Connection {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub timeout: Duration,
    pub read_logs: bool,
}

/// Why AWS cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    #[error("no region: give --region, set AWS_REGION, or put one into the profile")]
    Region,
    #[error("no usable credentials: {0}; log in again, or name another --profile")]
    Credentials(String),
}

/// One client, and so one pool of connections, for each AWS service.
pub struct Aws {
    pub asker: Asker,
    region: String,
    read_logs: bool,
    /// What the search for a host has already asked.
    pub remembered: Mutex<Remembered>,
    ecs: aws_sdk_ecs::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    ec2: aws_sdk_ec2::Client,
    ecr: aws_sdk_ecr::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    acm: aws_sdk_acm::Client,
    waf: aws_sdk_wafv2::Client,
    trail: aws_sdk_cloudtrail::Client,
    /// IAM is one for all regions, and its events are in one of them.
    trail_of_iam: aws_sdk_cloudtrail::Client,
    scaling: aws_sdk_applicationautoscaling::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    iam: aws_sdk_iam::Client,
    discovery: aws_sdk_servicediscovery::Client,
    rds: aws_sdk_rds::Client,
    elasticache: aws_sdk_elasticache::Client,
    secretsmanager: aws_sdk_secretsmanager::Client,
}

/// Load balancers, listeners, rules, revisions and lists of services that were read to find the
/// service, so that its collection does not ask again.
#[derive(Default)]
pub struct Remembered {
    listeners: Table<Vec<Listener>>,
    rules: Table<Vec<Rule>>,
    revisions: Table<Revision>,
    services: Table<ClusterServices>,
    load_balancers: Option<Vec<LoadBalancer>>,
}

/// Takes an answer out of the memory; a refusal is remembered as well.
fn take<T>(table: &mut Table<T>, key: &str) -> Option<Seen<Option<T>>> {
    table.0.remove(key)
}

impl Aws {
    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn memory(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Region, profile, credentials and endpoints as every AWS tool takes them. The time that the
    /// user gives runs from when there are credentials.
    pub async fn connect(connection: &Connection) -> Result<Aws, NoWay> {
        let patience = connection.timeout;
        // How long an attempt and all of them may take, the transport and the asker know.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.mul_f32(0.2).min(Duration::from_secs(3)))
            .build();
        let transport = Transport::new(patience.mul_f32(0.3));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard())
            .http_client(transport.clone());
        if let Some(region) = &connection.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let profile = connection.profile.as_deref();
        if let Some(profile) = profile {
            let region = connection.region.as_deref();
            loader = loader.profile_name(profile);
            loader = loader.credentials_provider(credentials::of_profile(profile, region));
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(NoWay::Region);
        }
        let config = credentials::resolved(config, profile).await.map_err(NoWay::Credentials)?;
        let asker = Asker::new(patience);
        transport.until(asker.deadline());
        Aws::new(&config, asker, connection.read_logs).ok_or(NoWay::Region)
    }

    pub fn new(config: &SdkConfig, asker: Asker, read_logs: bool) -> Option<Aws> {
        Some(Aws {
            asker,
            region: config.region()?.to_string(),
            read_logs,
            remembered: Mutex::default(),
            ecs: aws_sdk_ecs::Client::new(config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            ecr: aws_sdk_ecr::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            acm: aws_sdk_acm::Client::new(config),
            waf: aws_sdk_wafv2::Client::new(config),
            trail: aws_sdk_cloudtrail::Client::new(config),
            trail_of_iam: aws_sdk_cloudtrail::Client::from_conf(
                aws_sdk_cloudtrail::config::Builder::from(config)
                    .region(trail::region_of_iam(config.region()?.as_ref()))
                    .build(),
            ),
            scaling: aws_sdk_applicationautoscaling::Client::new(config),
            autoscaling: aws_sdk_autoscaling::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            discovery: aws_sdk_servicediscovery::Client::new(config),
            rds: aws_sdk_rds::Client::new(config),
            elasticache: aws_sdk_elasticache::Client::new(config),
            secretsmanager: aws_sdk_secretsmanager::Client::new(config),
        })
    }
}

/// A version of the service that a user names, where the collection has not met it.
pub async fn version(aws: &Aws, snapshot: &mut Snapshot, wanted: &str) {
    let intent = Intent::default();
    let Some(service) = snapshot.services.first() else { return };
    if diff::find(&Patient::new(snapshot, service, &intent), wanted, &mut Unseen::default()).is_ok()
    {
        return;
    }
    // Numbers of task definitions are small; ids of service revisions have nineteen digits.
    let is_number = wanted.chars().all(|c| c.is_ascii_digit());
    if wanted.contains(":service-revision/") || (is_number && wanted.len() > 10) {
        let prefix = service.service_arn.replacen(":service/", ":service-revision/", 1);
        let arn = if is_number { format!("{prefix}/{wanted}") } else { wanted.to_owned() };
        let revisions = aws.revisions(BTreeSet::from([arn])).await;
        for definition in
            known(&revisions).into_iter().filter_map(|revision| revision.task_definition)
        {
            let answer = aws.task_definition(&definition).await;
            snapshot.task_definitions.insert(definition, answer);
        }
        snapshot.revisions.0.extend(revisions.0);
    } else {
        let family = service
            .definitions()
            .chain(service.task_definition.as_deref())
            .find_map(|arn| last(arn).split(':').next());
        let name = match family {
            Some(family) if is_number => format!("{family}:{wanted}"),
            _ => wanted.to_owned(),
        };
        match aws.task_definition(&name).await {
            Seen::Yes(Some(definition)) => {
                snapshot.task_definitions.put(definition.task_definition_arn.clone(), definition)
            }
            answer => snapshot.task_definitions.insert(name, answer),
        }
    }
}

/// The values of a table that AWS told us.
fn known<T: Clone>(table: &Table<T>) -> Vec<T> {
    table
        .0
        .values()
        .filter_map(|seen| if let Seen::Yes(value) = seen { value.clone() } else { None })
        .collect()
}

fn list<T: Clone>(seen: &Seen<Vec<T>>) -> Vec<T> {
    if let Seen::Yes(values) = seen { values.clone() } else { Vec::new() }
}

/// Puts the answer to a batch into a table: what was asked for and is not in the answer does not
/// exist.
fn fill<T>(
    table: &mut Table<T>,
    asked: &[String],
    answer: Seen<Vec<T>>,
    key: impl Fn(&T) -> &String,
) {
    match answer {
        Seen::Yes(found) => {
            asked.iter().for_each(|id| table.insert(id, Seen::Yes(None)));
            found.into_iter().for_each(|value| table.put(key(&value).clone(), value));
        }
        Seen::No(why) => asked.iter().for_each(|id| table.insert(id, Seen::No(why.clone()))),
    }
}

fn text<T: AsRef<str>>(value: Option<T>) -> Option<String> {
    value.map(|value| value.as_ref().to_owned())
}

fn time(at: Option<aws_smithy_types::DateTime>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).unwrap_or(0)).ok())
}

/// The last part of an ARN.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// What happened to the calls, for the record in the snapshot.
pub fn close(snapshot: &mut Snapshot, asker: &Asker, elapsed: Duration) {
    let ledger = asker.ledger();
    snapshot.calls.total = ledger.by_call.values().sum();
    snapshot.calls.by_operation =
        ledger.by_call.iter().map(|(call, count)| (call.action().to_owned(), *count)).collect();
    snapshot.calls.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let mut blind: Vec<Blind> = ledger.blind.iter().cloned().collect();
    blind.dedup_by(|a, b| a.call == b.call && a.why.blindness() == b.why.blindness());
    snapshot.blind = blind;
}
