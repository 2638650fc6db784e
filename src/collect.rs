//! The plan: what is asked of AWS, and when. Everything is asked as soon as its inputs are known, nothing twice, and
//! nothing here fails: what AWS refuses becomes a blind spot of the snapshot.

pub mod ask;
mod cloudwatch;
#[cfg(test)]
mod depth;
mod ec2;
mod ecr;
mod ecs;
mod elbv2;
pub mod find;
mod logs;
mod mask;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use checks::call::LOG_STREAM;
use checks::patient::{Intent, Patient};
use checks::reading::image::{Reference, by_digest, has_left};
use checks::reading::stop::StopKind;
use checks::reading::{Unseen, container_log, diff, protection};
use checks::seen::{Blind, Seen, Why};
use checks::snapshot::deployment::IngressPath;
use checks::snapshot::{FORMAT, Image, Listener, PinnedImage, Revision, Rule, Service, Snapshot, Table, TargetGroup, Task, TaskDefinition};
use futures::FutureExt;
use futures::future::{Shared, join, join_all, join3, join4};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use ask::Asker;
use cloudwatch::Query;
use ecr::EcrImage;

/// How many of the newest deployments have their revisions read, beside the last one that succeeded.
const REVISIONS: usize = 4;

/// How to reach AWS, as the user said.
#[derive(Clone, Debug)]
pub struct Connection {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub timeout: Duration,
    pub read_logs: bool,
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
}

/// Listeners, rules and revisions that were read to find the service, so that its collection does not ask again.
#[derive(Default)]
pub struct Remembered {
    listeners: Table<Vec<Listener>>,
    rules: Table<Vec<Rule>>,
    revisions: Table<Revision>,
}

/// Takes an answer out of the memory; a refusal is remembered as well.
fn take<T>(table: &mut Table<T>, key: &str) -> Option<Seen<Option<T>>> {
    table.0.remove(key)
}

impl Aws {
    pub fn memory(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Region, profile, credentials and endpoints as every AWS tool takes them. `None`: there is no region.
    pub async fn connect(connection: &Connection) -> Option<Aws> {
        let patience = connection.timeout;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.mul_f32(0.2).min(Duration::from_secs(3)))
            .operation_attempt_timeout(patience.mul_f32(0.3))
            .operation_timeout(patience.mul_f32(0.7))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).retry_config(RetryConfig::standard());
        if let Some(region) = &connection.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &connection.profile {
            loader = loader.profile_name(profile);
        }
        let asker = Asker::new(patience);
        Aws::new(&loader.load().await, asker, connection.read_logs)
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
        })
    }
}

/// Everything AWS tells about one service, found before.
pub async fn collect(aws: &Aws, service: Service, now: Timestamp) -> Snapshot {
    let mut parts = service.service_arn.split(':').skip(3);
    let (region, account) = (parts.next().unwrap_or(&aws.region).to_owned(), parts.next().unwrap_or_default().to_owned());
    let draft = Snapshot {
        format: FORMAT.into(),
        made_by: concat!("ecs-doctor ", env!("CARGO_PKG_VERSION")).into(),
        taken_at: now,
        account,
        region,
        services: vec![service.clone()],
        ..Snapshot::default()
    };
    let plan = Plan { aws, service: &service, now, draft: Mutex::new(draft), claimed: Mutex::default(), definitions: Mutex::default() };
    plan.carry_out().await;
    plan.draft.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A version of the service that a user names, where the collection has not met it.
pub async fn version(aws: &Aws, snapshot: &mut Snapshot, wanted: &str) {
    let intent = Intent::default();
    let Some(service) = snapshot.services.first() else { return };
    if diff::find(&Patient::new(snapshot, service, &intent), wanted, &mut Unseen::default()).is_ok() {
        return;
    }
    // Numbers of task definitions are small; ids of service revisions have nineteen digits.
    let is_number = wanted.chars().all(|c| c.is_ascii_digit());
    if wanted.contains(":service-revision/") || (is_number && wanted.len() > 10) {
        let prefix = service.service_arn.replacen(":service/", ":service-revision/", 1);
        let arn = if is_number { format!("{prefix}/{wanted}") } else { wanted.to_owned() };
        let revisions = aws.revisions(BTreeSet::from([arn])).await;
        for definition in known(&revisions).into_iter().filter_map(|revision| revision.task_definition) {
            let answer = aws.task_definition(&definition).await;
            snapshot.task_definitions.insert(definition, answer);
        }
        snapshot.revisions.0.extend(revisions.0);
    } else {
        let families = service.deployments.iter().filter_map(|deployment| deployment.task_definition.as_deref());
        let family = families.chain(service.task_definition.as_deref()).find_map(|arn| last(arn).split(':').next());
        let name = match family {
            Some(family) if is_number => format!("{family}:{wanted}"),
            _ => wanted.to_owned(),
        };
        match aws.task_definition(&name).await {
            Seen::Yes(Some(definition)) => snapshot.task_definitions.put(definition.task_definition_arn.clone(), definition),
            answer => snapshot.task_definitions.insert(name, answer),
        }
    }
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
        let own_network = self.network_of_service(current.clone());
        let balancers = async {
            self.load_balancers(current.clone(), groups.clone()).await;
            self.health_beside(self.group_arns(current.clone()).await).await;
        };
        let of_groups = join(balancers, self.metrics(groups.clone()));
        let of_tasks = join3(self.logs(tasks.clone(), definitions.clone(), trouble), self.interfaces(tasks.clone()), self.protection(tasks));
        let of_versions = join3(self.history(current.clone()), self.images(definitions, current.clone()), self.newest_revisions());
        join4(of_groups, of_tasks, of_versions, join3(own_network, self.express_service(), self.alarms())).await;
    }

    fn note(&self, write: impl FnOnce(&mut Snapshot)) {
        write(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Of these ids those that nobody has asked about yet; from now on they count as asked. Whoever comes second gets
    /// nothing, so this is only for what goes into the snapshot and is waited for by nobody else.
    fn fresh(&self, kind: &'static str, ids: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().filter(|id| !id.is_empty() && claimed.insert((kind, id.clone()))).collect()
    }

    // Versions.

    async fn current_revisions(&self) -> Vec<Revision> {
        self.revisions(self.service.current_service_revisions.clone()).await
    }

    async fn revisions(&self, arns: Vec<String>) -> Vec<Revision> {
        let mut table = Table::default();
        let mut fresh: BTreeSet<String> = self.fresh("revision", arns).into_iter().collect();
        fresh.retain(|arn| match take(&mut self.aws.memory().revisions, arn) {
            Some(revision) => {
                table.insert(arn, revision);
                false
            }
            None => true,
        });
        table.0.extend(self.aws.revisions(fresh).await.0);
        let found = known(&table);
        self.note(|snapshot| snapshot.revisions.0.extend(table.0));
        found
    }

    /// The deployments, and the versions of the newest and of the last that succeeded, with their task definitions.
    async fn history(&self, current: Shared<impl Future<Output = Vec<Revision>>>) {
        let arn = self.service.service_arn.clone();
        let listed = self.aws.listed_deployments(self.service).await;
        let described = async {
            let described = self.aws.service_deployments(&listed).await;
            self.note(|snapshot| snapshot.service_deployments.insert(&arn, described.map(Some)));
        };
        let versions = async {
            let listed = match &listed {
                Seen::Yes(listed) => listed.as_slice(),
                Seen::No(_) => &[],
            };
            let good = listed.iter().filter(|deployment| deployment.status == "SUCCESSFUL").take(2);
            let good: Vec<String> = good.filter_map(|deployment| deployment.target_service_revision_arn.clone()).collect();
            let newest = listed.iter().take(REVISIONS).filter_map(|deployment| deployment.target_service_revision_arn.clone());
            let wanted = newest.chain(good.iter().cloned());
            let wanted = wanted.filter(|arn| !self.service.current_service_revisions.contains(arn)).collect();
            let older = self.revisions(wanted).await;
            let newest = current.await;
            let definitions = self.definitions(older.iter().chain(&newest).filter_map(|revision| revision.task_definition.clone()).collect());
            let goes_back = listed.first().is_some_and(|newest| newest.status.starts_with("ROLLBACK_") && newest.status != "ROLLBACK_SUCCESSFUL");
            let last_good = older.iter().filter(|revision| goes_back && good.first() == Some(&revision.service_revision_arn));
            join(definitions, self.way_back(last_good)).await;
        };
        join(described, versions).await;
        self.note(|snapshot| snapshot.listed_deployments.insert(&arn, listed.map(Some)));
    }

    /// Whether the version that ECS goes back to still has its images. Those of current versions are asked about anyway.
    async fn way_back<'b>(&self, revisions: impl Iterator<Item = &'b Revision>) {
        let images = revisions.flat_map(|revision| &revision.container_images);
        let pinned = images.filter_map(|image| Some((EcrImage::parse(&image.image)?, image.image_digest.clone()?)));
        let here = pinned.filter(|(image, _)| image.region == self.aws.region);
        join_all(here.map(|(image, digest)| self.pinned(image, [digest].into()))).await;
    }

    async fn express_service(&self) {
        if self.is_express() {
            let arn = &self.service.service_arn;
            let express = self.aws.express_service(arn).await;
            self.note(|snapshot| snapshot.express_services.insert(arn, express));
        }
    }

    fn definitions_of_deployments(&self) -> Vec<String> {
        let deployments = self.service.deployments.iter().filter_map(|deployment| deployment.task_definition.clone());
        deployments.chain(self.service.task_definition.clone()).collect()
    }

    async fn definitions(&self, arns: Vec<String>) -> Vec<TaskDefinition> {
        let arns: BTreeSet<String> = arns.into_iter().filter(|arn| !arn.is_empty()).collect();
        join_all(arns.iter().map(|arn| self.definition(arn))).await.into_iter().flatten().collect()
    }

    /// Several parts of the plan need the same task definition: the first asks, the others wait for the answer.
    async fn definition(&self, arn: &str) -> Option<TaskDefinition> {
        let answer = Arc::clone(self.definitions.lock().unwrap_or_else(PoisonError::into_inner).entry(arn.to_owned()).or_default());
        let ask = || async {
            let definition = self.aws.task_definition(arn).await;
            let known = if let Seen::Yes(definition) = &definition { definition.clone() } else { None };
            self.note(|snapshot| snapshot.task_definitions.insert(arn, definition));
            known
        };
        answer.get_or_init(ask).await.clone()
    }

    /// Whether a newer version is registered than any that is deployed; a service has one family of them.
    async fn newest_revisions(&self) {
        let families = self.definitions_of_deployments();
        let families = families.iter().filter_map(|arn| Some(last(arn).split_once(':')?.0.to_owned()));
        join_all(self.fresh("family", families).iter().map(|family| async move {
            let newest = self.aws.newest_revisions(family).await;
            self.note(|snapshot| snapshot.newest_revisions.insert(family, newest));
        }))
        .await;
    }

    /// The images by their tags, with the repositories they are in, and the digests that current revisions have pinned.
    async fn images(&self, definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>, current: Shared<impl Future<Output = Vec<Revision>>>) {
        let (definitions, current) = join(definitions, current).await;
        let containers = definitions.iter().flat_map(|definition| &definition.container_definitions);
        let images = self.fresh("image", containers.map(|container| container.image.clone()));
        let here = |spelled: &String| EcrImage::parse(spelled).is_some_and(|image| image.region == self.aws.region);
        let images: Vec<String> = images.into_iter().filter(here).collect();
        let of_images = join_all(images.iter().map(|spelled| {
            let pinned = current.iter().flat_map(|revision| &revision.container_images).filter(move |pinned| pinned.image == *spelled);
            self.image(spelled, pinned.filter_map(|pinned| pinned.image_digest.clone()).collect())
        }));
        let repositories = self.repositories(images.iter().filter_map(|spelled| EcrImage::parse(spelled)));
        join(of_images, repositories).await;
    }

    async fn repositories<'b>(&self, images: impl Iterator<Item = EcrImage<'b>>) {
        // Only a tag can be moved.
        let tagged: BTreeMap<&str, EcrImage> =
            images.filter(|image| matches!(image.reference, Reference::Tag(_))).map(|image| (image.uri, image)).collect();
        join_all(tagged.into_iter().map(|(uri, image)| async move {
            let repository = self.aws.repository(&image).await;
            self.note(|snapshot| snapshot.repositories.insert(uri, repository));
        }))
        .await;
    }

    /// One image as a task definition spells it, and what revisions have pinned of it.
    async fn image(&self, spelled: &str, pinned: BTreeSet<String>) {
        let Some(parsed) = EcrImage::parse(spelled) else { return };
        if let Reference::Digest(digest) = parsed.reference {
            return self.pinned(parsed, [digest.to_owned()].into()).await;
        }
        let image = self.aws.image(&parsed).await;
        let (is_index, left) = match &image {
            Seen::Yes(image) => {
                let left = pinned.into_iter().filter(|digest| has_left(image.as_ref(), digest)).collect();
                (image.as_ref().is_some_and(Image::is_index), left)
            }
            Seen::No(_) => (false, BTreeSet::new()),
        };
        self.note(|snapshot| snapshot.images.insert(spelled, image));
        let platforms = async {
            if is_index {
                let platforms = self.aws.image_platforms(&parsed).await;
                self.note(|snapshot| snapshot.image_platforms.insert(spelled, platforms));
            }
        };
        join(platforms, self.pinned(parsed, left)).await;
    }

    /// Whether pinned digests are still in the registry, and which rule would remove them.
    async fn pinned(&self, image: EcrImage<'_>, digests: BTreeSet<String>) {
        let keys = self.fresh("digest", digests.iter().map(|digest| by_digest(image.uri, digest)));
        if keys.is_empty() {
            return;
        }
        let images = async {
            let digests: Vec<&str> = keys.iter().filter_map(|key| Some(key.split_once('@')?.1)).collect();
            let found = self.aws.pinned_images(&image, &digests).await;
            self.note(|snapshot| fill_pinned(&mut snapshot.pinned_images, &keys, found));
        };
        let policy = async {
            for uri in self.fresh("lifecycle policy", [image.uri.to_owned()]) {
                let policy = self.aws.lifecycle_policy(&image).await;
                self.note(|snapshot| snapshot.lifecycle_policies.insert(uri, policy));
            }
        };
        join(images, policy).await;
    }

    async fn alarms(&self) {
        let Some(alarms) = &self.service.deployment_configuration.alarms else { return };
        let names = self.fresh("alarm", alarms.alarm_names.clone());
        let histories = join_all(names.iter().map(|name| self.aws.alarm_history(name)));
        let (table, histories) = join(self.aws.alarms(&names), histories).await;
        self.note(|snapshot| {
            snapshot.alarms = table;
            snapshot.alarm_history = Table(names.into_iter().zip(histories).collect());
        });
    }

    // Tasks.

    async fn tasks(&self) -> Tasks {
        let (running, stopped) = self.aws.tasks(self.service).await;
        let arn = &self.service.service_arn;
        let tasks = Tasks { running: list(&running), stopped: list(&stopped) };
        self.note(|snapshot| {
            snapshot.running_tasks.insert(arn, running.map(Some));
            snapshot.stopped_tasks.insert(arn, stopped.map(Some));
        });
        tasks
    }

    /// The last lines of the tasks that matter; where health checks fail, also what the health checker asked.
    async fn logs(
        &self,
        tasks: Shared<impl Future<Output = Tasks>>,
        definitions: Shared<impl Future<Output = Vec<TaskDefinition>>>,
        trouble: Shared<impl Future<Output = bool>>,
    ) {
        let streams = async {
            let tasks = tasks.clone().await;
            let chosen: Vec<&Task> = container_log::tasks_to_read(&tasks.stopped, &tasks.running).collect();
            let mut known = definitions.clone().await;
            known.extend(self.definitions(chosen.iter().map(|task| task.task_definition_arn.clone()).collect()).await);
            let keys: BTreeSet<(String, String)> = chosen
                .iter()
                .flat_map(|task| {
                    let definition = known.iter().filter(|definition| definition.task_definition_arn == task.task_definition_arn);
                    definition.flat_map(|definition| &definition.container_definitions).filter_map(|container| container_log::stream(container, task))
                })
                .map(|(group, stream)| (group.to_owned(), stream))
                .collect();
            join_all(keys.iter().map(|(group, stream)| async move {
                let lines = if self.aws.read_logs { self.aws.log_lines(group, stream).await } else { Seen::No(Why::Declined) };
                self.note(|snapshot| snapshot.logs.insert(format!("{group}{LOG_STREAM}{stream}"), lines));
            }))
            .await;
        };
        let health_checker = async {
            let (definitions, trouble) = join(definitions.clone(), trouble).await;
            let replaced = |task: &Task| matches!(StopKind::of(task), StopKind::BalancerHealthCheck { .. });
            if trouble || tasks.clone().await.stopped.iter().any(replaced) {
                let containers = definitions.iter().flat_map(|definition| &definition.container_definitions);
                let groups: BTreeSet<&str> = containers.filter_map(|container| container.awslogs_group.as_deref()).collect();
                join_all(groups.into_iter().map(|group| async move {
                    let lines = if self.aws.read_logs { self.aws.health_checker_lines(group, self.now).await } else { Seen::No(Why::Declined) };
                    self.note(|snapshot| snapshot.health_checker_logs.insert(group, lines));
                }))
                .await;
            }
        };
        join(streams, health_checker).await;
    }

    /// While tasks of an older deployment run beside the newest one: whether they may be stopped.
    async fn protection(&self, tasks: Shared<impl Future<Output = Tasks>>) {
        let tasks = tasks.await;
        let old: Vec<String> = protection::old_tasks(self.service, &tasks.running).iter().map(|task| task.task_arn.clone()).collect();
        if !old.is_empty() {
            let protected = self.aws.task_protection(&self.service.cluster_arn, old).await;
            self.note(|snapshot| snapshot.task_protection.insert(&self.service.service_arn, protected));
        }
    }

    async fn interfaces(&self, tasks: Shared<impl Future<Output = Tasks>>) {
        let tasks = tasks.await;
        let table = self.aws.interfaces(self.fresh("interface", tasks.running.into_iter().filter_map(|task| task.network_interface_id))).await;
        let groups = known(&table).into_iter().flat_map(|interface| interface.groups).collect();
        self.note(|snapshot| snapshot.interfaces = table);
        self.security_groups(groups).await;
    }

    // The way in.

    /// What ECS manages for an Express service is in its revision; no other service has to wait for that.
    async fn ingress_paths(&self, current: Shared<impl Future<Output = Vec<Revision>>>) -> Vec<IngressPath> {
        if self.is_express() { current.await.into_iter().flat_map(|revision| revision.ingress_paths).collect() } else { Vec::new() }
    }

    fn is_express(&self) -> bool {
        self.service.resource_management_type.as_deref() == Some("ECS")
    }

    /// The service's target groups: its own, and those that ECS manages.
    async fn group_arns(&self, current: Shared<impl Future<Output = Vec<Revision>>>) -> BTreeSet<String> {
        let paths = self.ingress_paths(current).await;
        let own = self.service.load_balancers.iter().flat_map(|balancer| [&balancer.target_group_arn, &balancer.alternate_target_group_arn]);
        let managed = paths.iter().flat_map(|path| &path.target_groups).map(|group| &group.arn);
        own.chain(managed).flatten().cloned().collect()
    }

    async fn target_groups(&self, current: Shared<impl Future<Output = Vec<Revision>>>) -> Vec<TargetGroup> {
        let arns = self.group_arns(current).await;
        let described = join_all(arns.iter().map(|arn| self.aws.target_group(arn)));
        let attributes = join_all(arns.iter().map(|arn| self.aws.target_group_attributes(arn)));
        // Attributes wait for nothing and nothing waits for them, but a join of both costs no round trip.
        let (described, attributes) = join(described, attributes).await;
        let table = Table(arns.iter().cloned().zip(described).collect());
        let found = known(&table);
        self.note(|snapshot| {
            snapshot.target_groups = table;
            snapshot.target_group_attributes = Table(arns.into_iter().zip(attributes).collect());
        });
        found
    }

    /// Whether some target is not healthy, or a group has none: then it is worth reading the health checker's lines.
    async fn target_health(&self, current: Shared<impl Future<Output = Vec<Revision>>>) -> bool {
        let arns = self.group_arns(current).await;
        let health = join_all(arns.iter().map(|arn| self.aws.target_health(arn))).await;
        let table = Table(arns.into_iter().zip(health).collect());
        let trouble = known(&table).iter().flatten().any(|target| matches!(target.state.as_str(), "unhealthy" | "initial"));
        self.note(|snapshot| snapshot.target_health.0.extend(table.0));
        trouble
    }

    /// A rule may split its traffic between a group of this service and one of another: then both have to be seen.
    async fn health_beside(&self, own: BTreeSet<String>) {
        let mut beside = BTreeSet::new();
        self.note(|snapshot| {
            for action in known(&snapshot.rules).iter().flatten().flat_map(|rule| &rule.actions) {
                let groups = || action.target_groups.iter().map(|group| &group.target_group_arn);
                if groups().any(|group| own.contains(group)) {
                    beside.extend(groups().filter(|group| !own.contains(*group)).cloned());
                }
            }
        });
        join_all(beside.iter().map(|group| async move {
            let health = self.aws.target_health(group).await;
            self.note(|snapshot| snapshot.target_health.insert(group, health));
        }))
        .await;
    }

    async fn load_balancers(&self, current: Shared<impl Future<Output = Vec<Revision>>>, groups: Shared<impl Future<Output = Vec<TargetGroup>>>) {
        // Express names its balancer in the revision, one step before its target groups do.
        let named = async {
            let paths = self.ingress_paths(current).await;
            self.each_load_balancer(paths.into_iter().filter_map(|path| path.load_balancer?.arn).collect()).await;
        };
        let attached = async {
            let groups = groups.await;
            let networks = self.vpcs(groups.iter().filter_map(|group| group.vpc_id.clone()).collect());
            let balancers = self.each_load_balancer(groups.into_iter().flat_map(|group| group.load_balancer_arns).collect());
            join(networks, balancers).await;
        };
        join(named, attached).await;
    }

    async fn each_load_balancer(&self, arns: Vec<String>) {
        join_all(self.fresh("load balancer", arns).iter().map(|arn| self.load_balancer(arn))).await;
    }

    async fn load_balancer(&self, arn: &str) {
        let balancer = async {
            let balancer = self.aws.load_balancer(arn).await;
            let (groups, subnets) = match &balancer {
                Seen::Yes(Some(balancer)) => (balancer.security_groups.clone(), balancer.subnets.clone()),
                Seen::Yes(None) | Seen::No(_) => Default::default(),
            };
            self.note(|snapshot| snapshot.load_balancers.insert(arn, balancer));
            join(self.security_groups(groups), self.subnets(subnets)).await;
        };
        let attributes = async {
            let attributes = self.aws.load_balancer_attributes(arn).await;
            self.note(|snapshot| snapshot.load_balancer_attributes.insert(arn, attributes));
        };
        let listeners = async {
            let remembered = take(&mut self.aws.memory().listeners, arn);
            let listeners = match remembered {
                Some(listeners) => listeners,
                None => self.aws.listeners(arn).await,
            };
            let arns: Vec<String> = match &listeners {
                Seen::Yes(listeners) => listeners.iter().flatten().map(|listener| listener.listener_arn.clone()).collect(),
                Seen::No(_) => Vec::new(),
            };
            self.note(|snapshot| snapshot.listeners.insert(arn, listeners));
            join_all(arns.iter().map(|listener| async move {
                let remembered = take(&mut self.aws.memory().rules, listener);
                let rules = match remembered {
                    Some(rules) => rules,
                    None => self.aws.rules(listener).await,
                };
                self.note(|snapshot| snapshot.rules.insert(listener, rules));
            }))
            .await;
        };
        join(balancer, join(attributes, listeners)).await;
    }

    async fn metrics(&self, groups: Shared<impl Future<Output = Vec<TargetGroup>>>) {
        let groups = groups.await;
        let is_application = |arn: &&String| arn.contains(":loadbalancer/app/");
        let balancers: BTreeSet<&String> = groups.iter().flat_map(|group| &group.load_balancer_arns).filter(is_application).collect();
        let mut queries = Query::of_service(&self.service.service_arn, last(&self.service.cluster_arn), &self.service.service_name);
        queries.extend(balancers.iter().enumerate().flat_map(|(index, arn)| Query::of_balancer(index, arn)));
        queries.extend(groups.iter().enumerate().flat_map(|(index, group)| {
            let balancer = group.load_balancer_arns.iter().find(is_application);
            balancer.map(|balancer| Query::of_group(index, &group.target_group_arn, balancer)).unwrap_or_default()
        }));
        let table = self.aws.metrics(&queries, self.now).await;
        self.note(|snapshot| snapshot.metrics = table);
    }

    // The network.

    async fn network_of_service(&self, current: Shared<impl Future<Output = Vec<Revision>>>) {
        let deployments = self.service.deployments.iter().filter_map(|deployment| deployment.network_configuration.as_ref());
        let networks: Vec<_> = self.service.network_configuration.iter().chain(deployments).collect();
        let subnets = networks.iter().flat_map(|network| network.subnets.clone()).collect();
        let groups = networks.iter().flat_map(|network| network.security_groups.clone()).collect();
        let of_revisions = async {
            self.security_groups(current.await.into_iter().flat_map(|revision| revision.security_groups).collect()).await;
        };
        join(join(self.subnets(subnets), self.security_groups(groups)), of_revisions).await;
    }

    async fn security_groups(&self, ids: Vec<String>) {
        let table = self.aws.security_groups(self.fresh("security group", ids)).await;
        self.note(|snapshot| snapshot.security_groups.0.extend(table.0));
    }

    async fn subnets(&self, ids: Vec<String>) {
        let table = self.aws.subnets(self.fresh("subnet", ids)).await;
        let networks: BTreeSet<String> = known(&table).into_iter().filter_map(|subnet| subnet.vpc_id).collect();
        self.note(|snapshot| snapshot.subnets.0.extend(table.0));
        self.vpcs(networks).await;
    }

    /// A VPC is named by the target groups one step before the balancer's subnets name it.
    async fn vpcs(&self, ids: BTreeSet<String>) {
        join_all(self.fresh("vpc", ids).iter().map(|vpc| async move {
            let tables = self.aws.route_tables(vpc).await;
            self.note(|snapshot| snapshot.route_tables.insert(vpc, tables));
        }))
        .await;
    }
}

/// The values of a table that AWS told us.
fn known<T: Clone>(table: &Table<T>) -> Vec<T> {
    table.0.values().filter_map(|seen| if let Seen::Yes(value) = seen { value.clone() } else { None }).collect()
}

fn list<T: Clone>(seen: &Seen<Vec<T>>) -> Vec<T> {
    if let Seen::Yes(values) = seen { values.clone() } else { Vec::new() }
}

/// Puts the answer to a batch into a table: what was asked for and is not in the answer does not exist.
fn fill<T>(table: &mut Table<T>, asked: &[String], answer: Seen<Vec<T>>, key: impl Fn(&T) -> &String) {
    match answer {
        Seen::Yes(found) => {
            asked.iter().for_each(|id| table.insert(id, Seen::Yes(None)));
            found.into_iter().for_each(|value| table.put(key(&value).clone(), value));
        }
        Seen::No(why) => asked.iter().for_each(|id| table.insert(id, Seen::No(why.clone()))),
    }
}

/// The same for digests, which the answer has in the order of the keys; none where the whole repository is gone.
fn fill_pinned(table: &mut Table<PinnedImage>, keys: &[String], answer: Seen<Option<Vec<PinnedImage>>>) {
    match answer {
        Seen::Yes(Some(found)) => keys.iter().zip(found).for_each(|(key, image)| table.put(key, image)),
        Seen::Yes(None) => keys.iter().for_each(|key| table.insert(key, Seen::Yes(None))),
        Seen::No(why) => keys.iter().for_each(|key| table.insert(key, Seen::No(why.clone()))),
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
    snapshot.calls.by_operation = ledger.by_call.iter().map(|(call, count)| (call.action().to_owned(), *count)).collect();
    snapshot.calls.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let mut blind: Vec<Blind> = ledger.blind.iter().cloned().collect();
    blind.dedup_by(|a, b| a.call == b.call && a.why.word() == b.why.word());
    snapshot.blind = blind;
}
