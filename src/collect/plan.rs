//! The plan: what is asked of AWS, and when. Everything is asked as soon as its inputs are known,
//! nothing twice, and nothing here fails: what AWS refuses becomes a blind spot of the snapshot.
//! Each part has a file of its own.

mod access;
mod calls;
mod capacity;
mod certificates;
mod images;
mod inbound_rules;
mod instances;
mod network;
mod other_balancers;
mod peers;
mod request_path;
mod scaling;
mod siblings;
mod signals;
mod tasks;
mod versions;
mod vpc;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use checks::seen::Seen;
use checks::snapshot::{Certificate, FORMAT, Service, Snapshot, Table, Task, TaskDefinition};
use futures::FutureExt;
use futures::future::{join, join3, join4, join5};
use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};

use super::Aws;

/// Everything AWS tells about one service, found before.
pub async fn collect(aws: &Aws, service: Service, now: Timestamp) -> Snapshot {
    let mut parts = service.service_arn.split(':').skip(3);
    let (region, account) = (
        parts.next().unwrap_or(&aws.region).to_owned(),
        parts.next().unwrap_or_default().to_owned(),
    );
    let draft = Snapshot {
        format: FORMAT.into(),
        made_by: concat!("ecs-doctor ", env!("CARGO_PKG_VERSION")).into(),
        taken_at: now,
        account,
        region,
        services: vec![service.clone()],
        ..Snapshot::default()
    };
    let plan = Plan {
        aws,
        service: &service,
        now,
        draft: Mutex::new(draft),
        claimed: Mutex::default(),
        definitions: Mutex::default(),
        unreached: watch::channel(None).0,
        certificates: OnceCell::new(),
    };
    plan.carry_out().await;
    plan.draft.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The collection for one service, in progress.
struct Plan<'a> {
    aws: &'a Aws,
    service: &'a Service,
    now: Timestamp,
    draft: Mutex<Snapshot>,
    /// What has been asked about, so that nothing is asked twice.
    claimed: Mutex<BTreeSet<(&'static str, String)>>,
    /// Task definitions by ARN, asked for once and waited for by all.
    definitions: Mutex<BTreeMap<String, Arc<OnceCell<Option<TaskDefinition>>>>>,
    /// Whether something cannot be reached, once that is known.
    unreached: watch::Sender<Option<bool>>,
    /// ACM's list, asked for by the first listener that speaks TLS.
    certificates: OnceCell<Seen<Vec<Certificate>>>,
}

/// The tasks of a service; where they could not be seen, none.
#[derive(Clone, Default)]
struct Tasks {
    running: Vec<Task>,
    stopped: Vec<Task>,
}

impl Plan<'_> {
    /// Each part runs as soon as the parts that it waits for have answered.
    async fn carry_out(&self) {
        let current = self.current_revisions().shared();
        let tasks = self.tasks().shared();
        let definitions = self.definitions(self.definitions_of_deployments()).shared();
        let groups = self.target_groups(current.clone()).shared();
        let trouble = self.target_health(current.clone()).shared();
        let own_vpcs = self.own_vpcs().shared();
        let own_network = self.network_of_service(current.clone(), own_vpcs.clone());
        let balancers = async {
            self.load_balancers(current.clone(), groups.clone()).await;
            self.health_beside(self.group_arns(current.clone()).await).await;
        };
        let metrics = self.metrics(groups.clone()).shared();
        let logs = self.logs(tasks.clone(), definitions.clone(), trouble.clone()).shared();
        let history = self.history(current.clone()).shared();
        let suffering = async {
            join3(metrics.clone(), logs.clone(), history.clone()).await;
        };
        let of_groups = join(balancers, metrics.clone());
        let unreached = self.find_unreached(tasks.clone(), trouble.clone(), suffering);
        let interfaces = join(self.interfaces(tasks.clone()), self.instance_interfaces(trouble));
        let of_tasks = join4(logs.clone(), interfaces, self.protection(tasks.clone()), unreached);
        let of_roles = async {
            join(tasks.clone(), definitions.clone()).await;
            self.refusals().await;
        };
        let of_secrets = async {
            logs.clone().await;
            self.secrets().await;
        };
        let others =
            self.other_balancers(definitions.clone(), current.clone(), groups.clone(), own_vpcs);
        let caches = async {
            join3(logs.clone(), history.clone(), tasks.clone()).await;
            join(self.caches(), self.gateways()).await;
        };
        let of_peers =
            join4(self.peers(definitions.clone()), self.cluster_services(), others, caches);
        // It waits for what surrounds the tasks, which waits for the history.
        let given_up = self.given_up(history.clone(), current.clone(), tasks.clone());
        let of_versions = join4(
            history.clone(),
            given_up,
            self.images(definitions.clone(), current.clone()),
            self.newest_revisions(),
        );
        let scaling = async {
            join(self.scaling(), metrics.clone()).await;
            self.alarms_of_scaling().await;
        };
        let of_itself =
            join5(own_network, self.express_service(), self.alarms(), scaling, self.capacity());
        join5(of_groups, of_tasks, of_versions, of_itself, join3(of_roles, of_peers, of_secrets))
            .await;
        join(self.calls_of_siblings(), self.joined_networks()).await;
    }

    fn note(&self, write: impl FnOnce(&mut Snapshot)) {
        write(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for one answer, and keeps it as a row of a table.
    async fn keep<V>(
        &self,
        table: fn(&mut Snapshot) -> &mut Table<V>,
        key: &str,
        answer: impl Future<Output = Seen<Option<V>>>,
    ) {
        let answer = answer.await;
        self.note(|snapshot| table(snapshot).insert(key, answer));
    }

    /// Of these ids those that nobody has asked about yet; from now on they count as asked. Whoever
    /// comes second gets nothing, so this is only for what goes into the snapshot and is waited for
    /// by nobody else.
    fn fresh(&self, kind: &'static str, ids: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().filter(|id| !id.is_empty() && claimed.insert((kind, id.clone()))).collect()
    }
}
