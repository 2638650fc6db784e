//! What differs between two versions of a service, and which of it the failure is likely about.
//! Secrets stay out: of variables and secrets only the names are compared, of commands a
//! fingerprint, so a changed value goes unseen. It says what changed, and not that the change is
//! the cause.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::aws::image;
use crate::facts::deployment::{rollback, rollout};
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop;
use crate::patient::Patient;
use crate::seen::Unseen;
use crate::seen::{Blind, See};
use crate::snapshot::{
    Arguments, ContainerDefinition, Revision, ServiceDeployment, TaskDefinition,
};
use crate::text::count;

/// One of two versions that are compared: a service revision, a task definition, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparedVersion<'a> {
    pub revision: Option<&'a Revision>,
    pub definition: Option<&'a TaskDefinition>,
}

/// Why there is no version to compare.
#[derive(Clone, Debug, PartialEq)]
pub enum NoVersion {
    /// No version of that name was collected; these were.
    Unknown {
        wanted: String,
        known: Vec<String>,
    },
    /// There is no deployment, or none that succeeded before it.
    NothingToCompare,
    Blind(Blind),
}

impl From<Blind> for NoVersion {
    fn from(blind: Blind) -> Self {
        NoVersion::Blind(blind)
    }
}

impl<'a> ComparedVersion<'a> {
    /// A service revision with its task definition.
    pub fn of_revision(
        patient: &Patient<'a>,
        arn: &str,
        unseen: &mut Unseen,
    ) -> Option<ComparedVersion<'a>> {
        let revision = unseen.see(patient.revision(arn)).flatten()?;
        let definition = revision
            .task_definition
            .as_deref()
            .and_then(|arn| unseen.see(patient.task_definition(arn)).flatten());
        Some(ComparedVersion { revision: Some(revision), definition })
    }

    /// `api:13`, the name that people know; without a task definition the id of the service
    /// revision.
    pub fn name(&self) -> &'a str {
        let definition = self.definition.map(|definition| definition.task_definition_arn.as_str());
        match (
            definition.or(self.revision.and_then(|revision| revision.task_definition.as_deref())),
            self.revision,
        ) {
            (Some(arn), _) => rollout::short(arn),
            (None, Some(revision)) => rollout::short(&revision.service_revision_arn),
            (None, None) => "?",
        }
    }

    /// The name of one of two versions. A forced deployment has a revision of its own, but no task
    /// definition.
    pub fn name_beside(&self, other: &ComparedVersion) -> String {
        match self.revision {
            Some(revision) if self.name() == other.name() => {
                format!(
                    "{} (service revision {})",
                    self.name(),
                    rollout::short(&revision.service_revision_arn)
                )
            }
            _ => self.name().to_owned(),
        }
    }
}

/// The version that a user names: a revision number or `family:revision` of a task definition, or
/// the id or ARN of a service revision. Of several service revisions with one task definition it is
/// the newest.
pub fn find<'a>(
    patient: &Patient<'a>,
    wanted: &str,
    unseen: &mut Unseen,
) -> Result<ComparedVersion<'a>, NoVersion> {
    let revisions = unseen.see(patient.revisions()).unwrap_or_default();
    let definitions = unseen.see(patient.task_definitions()).unwrap_or_default();
    let named = |revision: &&&Revision| {
        revision.service_revision_arn == wanted
            || rollout::short(&revision.service_revision_arn) == wanted
    };
    if let Some(revision) = revisions.iter().find(named) {
        return ComparedVersion::of_revision(patient, &revision.service_revision_arn, unseen)
            .ok_or(NoVersion::NothingToCompare);
    }
    let own = families(patient, &revisions);
    let meant = |definition: &TaskDefinition| {
        let name = rollout::short(&definition.task_definition_arn);
        definition.task_definition_arn == wanted
            || name == wanted
            || (own.contains(family(name)) && definition.revision.to_string() == wanted)
    };
    let known = |arn: &str| {
        definitions.iter().copied().find(|definition| definition.task_definition_arn == arn)
    };
    let of_revisions = revisions.iter().filter(|revision| {
        let arn = revision.task_definition.as_deref().unwrap_or_default();
        known(arn).map_or_else(
            || arn == wanted || (!arn.is_empty() && rollout::short(arn) == wanted),
            meant,
        )
    });
    if let Some(revision) = of_revisions.max_by_key(|revision| revision.created_at) {
        return ComparedVersion::of_revision(patient, &revision.service_revision_arn, unseen)
            .ok_or(NoVersion::NothingToCompare);
    }
    match definitions.iter().copied().find(|definition| meant(definition)) {
        Some(definition) => Ok(ComparedVersion { revision: None, definition: Some(definition) }),
        None => Err(NoVersion::Unknown {
            wanted: wanted.to_owned(),
            known: names(&revisions, &definitions, &own),
        }),
    }
}

/// The families of the task definitions that the service runs, or ran.
fn families<'a>(patient: &Patient<'a>, revisions: &[&'a Revision]) -> BTreeSet<&'a str> {
    let service = patient.service();
    let all = service
        .definitions()
        .chain(service.task_definition.as_deref())
        .chain(revisions.iter().filter_map(|revision| revision.task_definition.as_deref()));
    all.map(|arn| family(rollout::short(arn))).collect()
}

/// `api:13` → `api`.
fn family(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

fn names(
    revisions: &[&Revision],
    definitions: &[&TaskDefinition],
    own: &BTreeSet<&str>,
) -> Vec<String> {
    let of_revisions = revisions
        .iter()
        .filter_map(|revision| revision.task_definition.as_deref())
        .map(rollout::short);
    let of_definitions =
        definitions.iter().map(|definition| rollout::short(&definition.task_definition_arn));
    let all: BTreeSet<&str> =
        of_revisions.chain(of_definitions.filter(|name| own.contains(family(name)))).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Two versions by name; without a name the last good version, and the newest.
pub fn pair<'a>(
    patient: &Patient<'a>,
    from: Option<&str>,
    to: Option<&str>,
    unseen: &mut Unseen,
) -> Result<(ComparedVersion<'a>, ComparedVersion<'a>), NoVersion> {
    let to = match to {
        Some(name) => find(patient, name, unseen)?,
        None => collected(patient, newest(patient)?, unseen)?,
    };
    let from = match (from, rollout::newest(patient)) {
        (Some(name), _) => find(patient, name, unseen)?,
        (None, deployment) => {
            let good = deployment?.and_then(|deployment| last_good(patient, deployment, unseen));
            collected(patient, good.ok_or(NoVersion::NothingToCompare)?, unseen)?
        }
    };
    Ok((from, to))
}

/// The service revision that the newest deployment brings.
fn newest<'a>(patient: &Patient<'a>) -> Result<&'a str, NoVersion> {
    let target = rollout::newest(patient)?
        .and_then(|deployment| deployment.target_service_revision.as_ref());
    target.map(|target| target.arn.as_str()).ok_or(NoVersion::NothingToCompare)
}

/// Whether this is the version that the newest deployment brings.
pub fn is_newest(patient: &Patient, version: &ComparedVersion, unseen: &mut Unseen) -> bool {
    let newest = unseen
        .see(rollout::newest(patient))
        .flatten()
        .and_then(|deployment| deployment.target_service_revision.as_ref());
    newest.is_some_and(|newest| {
        version.revision.is_some_and(|revision| revision.service_revision_arn == newest.arn)
    })
}

fn collected<'a>(
    patient: &Patient<'a>,
    arn: &str,
    unseen: &mut Unseen,
) -> Result<ComparedVersion<'a>, NoVersion> {
    patient.revision(arn)?.ok_or(NoVersion::NothingToCompare)?;
    ComparedVersion::of_revision(patient, arn, unseen).ok_or(NoVersion::NothingToCompare)
}

/// What ECS rolled back to; if it did not, what the last deployment before that succeeded brought,
/// or what ran before.
fn last_good<'a>(
    patient: &Patient<'a>,
    newest: &'a ServiceDeployment,
    unseen: &mut Unseen,
) -> Option<&'a str> {
    let back =
        newest.rollback.as_ref().and_then(|rollback| rollback.service_revision_arn.as_deref());
    let listed = unseen.see(patient.listed_deployments()).unwrap_or_default();
    let earlier = listed
        .iter()
        .filter(|deployment| deployment.service_deployment_arn != newest.service_deployment_arn);
    let succeeded = earlier.filter(|deployment| {
        deployment.status == "SUCCESSFUL" && deployment.created_at <= newest.created_at
    });
    let before = newest.source_service_revisions.first().map(|revision| revision.arn.as_str());
    back.or(succeeded
        .filter_map(|deployment| deployment.target_service_revision_arn.as_deref())
        .next())
        .or(before)
}

/// What a change is about; in the order in which changes are most often to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "ChangeArea")]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Which containers there are, and which are essential.
    Containers,
    Image,
    /// Entry point, command, and the stop timeout.
    Command,
    /// Names of variables, and the hosts in their values.
    Environment,
    /// Names of secrets.
    Secrets,
    Ports,
    /// The container's own, or the load balancer's.
    HealthCheck,
    /// CPU and memory.
    Size,
    /// Task role and execution role.
    Roles,
    SecurityGroups,
    Subnets,
    LoadBalancer,
    Platform,
    ServiceConnect,
    Logs,
}

/// What the newest deployment fails of, as far as its tasks and alarms tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    BalancerHealthCheck,
    ContainerHealthCheck,
    Start,
    Exit,
    Memory,
    Alarm,
    Unknown,
}

impl Trouble {
    /// In a few words, for "it fails because …"; none where it is not known.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Trouble::BalancerHealthCheck => Some("its tasks fail the load balancer's health check"),
            Trouble::ContainerHealthCheck => {
                Some("its tasks fail the container's own health check")
            }
            Trouble::Start => Some("its tasks fail to start"),
            Trouble::Exit => Some("its containers exit"),
            Trouble::Memory => Some("its containers run out of memory"),
            Trouble::Alarm => Some("an alarm fired"),
            Trouble::Unknown => None,
        }
    }

    /// The areas that such a failure is usually about, the most telling first.
    fn areas(self) -> &'static [Area] {
        use Area::*;
        match self {
            Trouble::BalancerHealthCheck => &[
                HealthCheck,
                Ports,
                LoadBalancer,
                SecurityGroups,
                Command,
                Image,
                Environment,
                Secrets,
                Subnets,
                Size,
                Containers,
            ],
            Trouble::ContainerHealthCheck => {
                &[HealthCheck, Command, Image, Environment, Secrets, Size, Containers]
            }
            Trouble::Start => &[
                Image,
                Secrets,
                Roles,
                Subnets,
                SecurityGroups,
                Platform,
                Size,
                Command,
                Logs,
                Containers,
            ],
            Trouble::Exit => &[
                Image,
                Command,
                Environment,
                Secrets,
                Roles,
                SecurityGroups,
                ServiceConnect,
                Containers,
            ],
            Trouble::Memory => &[Size, Image, Command, Environment, Containers],
            Trouble::Alarm => &[
                Image,
                Command,
                Environment,
                Secrets,
                Roles,
                SecurityGroups,
                ServiceConnect,
                Size,
                Containers,
            ],
            Trouble::Unknown => &[],
        }
    }

    /// What the newest deployment fails of: an alarm that fired, or what most of its tasks stopped
    /// for.
    pub fn of_newest(patient: &Patient, unseen: &mut Unseen) -> Trouble {
        let Some(newest) = unseen
            .see(rollout::newest(patient))
            .flatten()
            .filter(|newest| newest.status != "SUCCESSFUL")
        else {
            return Trouble::Unknown;
        };
        if unseen
            .see(rollback::fired_alarms(patient, newest))
            .is_some_and(|alarms| !alarms.is_empty())
        {
            return Trouble::Alarm;
        }
        let versions = unseen.see(stop::failing_versions(patient)).unwrap_or_default();
        let groups = unseen.see(stop::groups(patient)).unwrap_or_default();
        let since = rollout::started(newest);
        // Tasks of the version that ECS rolls back to may fail as well, for another reason.
        let brings = unseen.see(rollout::brings(patient, newest)).flatten();
        let is_its_own = |group: &&stop::StopGroup| {
            group.is_of(&versions) && brings.is_none_or(|brings| brings == group.task_definition)
        };
        let most = groups
            .iter()
            .filter(is_its_own)
            .find(|group| group.kind.is_failure() && group.last_stop() >= since);
        let killed = |group: &stop::StopGroup| {
            let reasons = group
                .newest()
                .into_iter()
                .flat_map(|task| &task.containers)
                .filter_map(|container| container.reason.as_deref());
            reasons.into_iter().any(|reason| reason.contains("OutOfMemory"))
        };
        match most.map(|group| (&group.kind, killed(group))) {
            Some((stop::StopKind::BalancerHealthCheck { .. }, _)) => Trouble::BalancerHealthCheck,
            Some((stop::StopKind::ContainerHealthCheck, _)) => Trouble::ContainerHealthCheck,
            Some((stop::StopKind::FailedToStart, _)) => Trouble::Start,
            Some((_, true)) => Trouble::Memory,
            Some((stop::StopKind::Exited { .. }, _)) => Trouble::Exit,
            _ if has_unhealthy_target(patient, unseen) => Trouble::BalancerHealthCheck,
            _ => Trouble::Unknown,
        }
    }
}

fn has_unhealthy_target(patient: &Patient, unseen: &mut Unseen) -> bool {
    let groups = unseen.see(traffic::groups(patient)).unwrap_or_default();
    groups.into_iter().any(|group| {
        unseen
            .see(patient.targets(group))
            .unwrap_or_default()
            .iter()
            .any(|target| target.state == "unhealthy")
    })
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub area: Area,
    pub container: Option<String>,
    /// `image`, `environment`, `memory`.
    pub what: &'static str,
    /// What one version has and the other has not, or has otherwise.
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Many of a kind, such as variables, of which only those that differ are named.
    pub is_set: bool,
    /// Such a failure is usually about such a change.
    pub likely: bool,
}

/// Everything that differs between two versions, what the trouble is likely about first.
pub fn compare(from: &ComparedVersion, to: &ComparedVersion, trouble: Trouble) -> Vec<Change> {
    let mut changes = Changes::default();
    if let (Some(from), Some(to)) = (from.definition, to.definition) {
        changes.definitions(from, to);
    }
    changes.images(from, to);
    if let (Some(from), Some(to)) = (from.revision, to.revision) {
        changes.revisions(from, to);
    }
    let mut changes = changes.found;
    let rank = |area: Area| trouble.areas().iter().position(|one| *one == area);
    for change in &mut changes {
        // A tag that was only renamed brings the code that ran before.
        change.likely = rank(change.area).is_some() && change.what != SAME_IMAGE;
    }
    changes.sort_by_key(|change| {
        (!change.likely, rank(change.area).unwrap_or(usize::MAX), change.area)
    });
    changes
}

/// What a change of the tag is called if the digest is the same.
const SAME_IMAGE: &str = "tag of the same image";

#[derive(Default)]
struct Changes {
    found: Vec<Change>,
}

impl Changes {
    fn add(
        &mut self,
        area: Area,
        container: Option<&str>,
        what: &'static str,
        before: Vec<String>,
        after: Vec<String>,
        is_set: bool,
    ) {
        if before != after {
            self.found.push(Change {
                area,
                container: container.map(str::to_owned),
                what,
                before,
                after,
                is_set,
                likely: false,
            });
        }
    }

    fn value<T: ToString + PartialEq>(
        &mut self,
        area: Area,
        container: Option<&str>,
        what: &'static str,
        from: Option<T>,
        to: Option<T>,
    ) {
        let text = |value: Option<T>| value.iter().map(ToString::to_string).collect();
        self.add(area, container, what, text(from), text(to), false);
    }

    fn set(
        &mut self,
        area: Area,
        container: Option<&str>,
        what: &'static str,
        from: Vec<String>,
        to: Vec<String>,
    ) {
        let without = |all: &[String], others: &[String]| {
            let kept: BTreeSet<&String> = all.iter().filter(|one| !others.contains(one)).collect();
            kept.into_iter().cloned().collect::<Vec<_>>()
        };
        self.add(area, container, what, without(&from, &to), without(&to, &from), true);
    }

    fn definitions(&mut self, from: &TaskDefinition, to: &TaskDefinition) {
        let role = |arn: &Option<String>| arn.as_deref().map(|arn| rollout::short(arn).to_owned());
        self.value(Area::Size, None, "cpu", from.cpu.as_ref(), to.cpu.as_ref());
        self.value(Area::Size, None, "memory", from.memory.as_ref(), to.memory.as_ref());
        self.value(
            Area::Platform,
            None,
            "network mode",
            from.network_mode.as_ref(),
            to.network_mode.as_ref(),
        );
        self.value(
            Area::Platform,
            None,
            "cpu architecture",
            from.cpu_architecture.as_ref(),
            to.cpu_architecture.as_ref(),
        );
        self.value(
            Area::Platform,
            None,
            "operating system",
            from.operating_system_family.as_ref(),
            to.operating_system_family.as_ref(),
        );
        self.value(
            Area::Roles,
            None,
            "task role",
            role(&from.task_role_arn),
            role(&to.task_role_arn),
        );
        self.value(
            Area::Roles,
            None,
            "execution role",
            role(&from.execution_role_arn),
            role(&to.execution_role_arn),
        );
        let names = |definition: &TaskDefinition| {
            definition
                .container_definitions
                .iter()
                .map(|container| container.name.clone())
                .collect()
        };
        self.set(Area::Containers, None, "containers", names(from), names(to));
        for (before, after) in both(from, to) {
            self.containers(before, after);
        }
    }

    fn containers(&mut self, from: &ContainerDefinition, to: &ContainerDefinition) {
        let name = Some(to.name.as_str());
        let words = |arguments: &Option<Arguments>| arguments.as_ref().map(arguments_words);
        self.value(
            Area::Command,
            name,
            "entry point",
            words(&from.entry_point),
            words(&to.entry_point),
        );
        self.value(Area::Command, name, "command", words(&from.command), words(&to.command));
        let variables = |container: &ContainerDefinition| {
            container.environment.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        self.set(Area::Environment, name, "environment", variables(from), variables(to));
        for variable in &to.environment {
            // Both values are URLs or hosts at AWS, and they lead elsewhere.
            let before = from.environment.iter().find(|one| {
                one.name == variable.name && !one.hosts.is_empty() && !variable.hosts.is_empty()
            });
            if let Some(before) = before.filter(|before| before.hosts != variable.hosts) {
                let hosts =
                    |hosts: &[String]| Some(format!("{} at {}", variable.name, hosts.join(", ")));
                self.value(
                    Area::Environment,
                    name,
                    "host in the environment",
                    hosts(&before.hosts),
                    hosts(&variable.hosts),
                );
            }
        }
        self.set(Area::Secrets, name, "secrets", from.secrets.clone(), to.secrets.clone());
        let ports = |container: &ContainerDefinition| {
            let port = |port: &crate::snapshot::PortMapping| {
                let number = port.container_port.map_or("?".to_owned(), |port| port.to_string());
                let host = port
                    .host_port
                    .filter(|host| Some(*host) != port.container_port && *host != 0)
                    .map(|host| format!(" on host port {host}"));
                format!(
                    "{number}/{}{}",
                    port.protocol.as_deref().unwrap_or("tcp"),
                    host.unwrap_or_default()
                )
            };
            container.port_mappings.iter().map(port).collect()
        };
        self.set(Area::Ports, name, "ports", ports(from), ports(to));
        let check = |container: &ContainerDefinition| {
            container.health_check.as_ref().map(|check| {
                let number = |number: Option<i32>, default: i32| number.unwrap_or(default);
                let (interval, timeout) = (number(check.interval, 30), number(check.timeout, 5));
                let (retries, start) = (number(check.retries, 3), number(check.start_period, 0));
                format!("{}, every {interval} s, timeout {timeout} s, {retries} tries, {start} s to start", arguments_words(&check.command))
            })
        };
        self.value(
            Area::HealthCheck,
            name,
            "health check of the container",
            check(from),
            check(to),
        );
        self.value(Area::Size, name, "cpu", from.cpu, to.cpu);
        self.value(Area::Size, name, "memory", from.memory, to.memory);
        self.value(
            Area::Size,
            name,
            "memory reservation",
            from.memory_reservation,
            to.memory_reservation,
        );
        self.value(Area::Command, name, "stop timeout", from.stop_timeout, to.stop_timeout);
        self.value(Area::Containers, name, "essential", Some(from.essential), Some(to.essential));
        self.value(
            Area::Logs,
            name,
            "log driver",
            from.log_driver.as_ref(),
            to.log_driver.as_ref(),
        );
        self.value(
            Area::Logs,
            name,
            "log group",
            from.awslogs_group.as_ref(),
            to.awslogs_group.as_ref(),
        );
    }

    /// Images by spelling and pinned digest: one tag may be two images, and two tags may be one.
    fn images(&mut self, from: &ComparedVersion, to: &ComparedVersion) {
        for name in containers(from).intersection(&containers(to)) {
            let ((before, old), (after, new)) = (image_of(from, name), image_of(to, name));
            let text = |spelled: Option<&str>, digest: Option<&str>| match (
                spelled.map(rollout::short),
                digest.map(image::short),
            ) {
                (Some(spelled), Some(digest)) if !spelled.contains('@') => {
                    Some(format!("{spelled} ({digest})"))
                }
                (Some(spelled), _) => Some(spelled.to_owned()),
                (None, digest) => digest.map(str::to_owned),
            };
            let differs = before != after || (old.is_some() && new.is_some() && old != new);
            // Where only one digest is known, it must not look as if the image had changed.
            let (shown_old, shown_new) =
                if old.is_some() && new.is_some() { (old, new) } else { (None, None) };
            if differs {
                let what = if old.is_some() && old == new { SAME_IMAGE } else { "image" };
                let (before, after) = match (text(before, shown_old), text(after, shown_new)) {
                    // Same name and tag in another registry.
                    (short, other) if short == other => {
                        (before.map(str::to_owned), after.map(str::to_owned))
                    }
                    texts => texts,
                };
                self.value(Area::Image, Some(name), what, before, after);
            }
        }
    }

    fn revisions(&mut self, from: &Revision, to: &Revision) {
        self.set(
            Area::SecurityGroups,
            None,
            "security groups",
            from.security_groups.clone(),
            to.security_groups.clone(),
        );
        self.set(Area::Subnets, None, "subnets", from.subnets.clone(), to.subnets.clone());
        self.value(
            Area::Subnets,
            None,
            "public address",
            from.assign_public_ip.as_ref(),
            to.assign_public_ip.as_ref(),
        );
        self.value(
            Area::Platform,
            None,
            "launch type",
            from.launch_type.as_ref(),
            to.launch_type.as_ref(),
        );
        self.set(
            Area::Platform,
            None,
            "capacity providers",
            from.capacity_providers.clone(),
            to.capacity_providers.clone(),
        );
        self.value(
            Area::Platform,
            None,
            "platform version",
            from.platform_version.as_ref(),
            to.platform_version.as_ref(),
        );
        let balancers = |revision: &Revision| {
            let balancers = revision.load_balancers.iter().map(|balancer| {
                let group =
                    traffic::group_name(balancer.target_group_arn.as_deref().unwrap_or_default());
                let port = balancer.container_port.map_or("?".to_owned(), |port| port.to_string());
                format!(
                    "{group} to port {port} of {}",
                    balancer.container_name.as_deref().unwrap_or_default()
                )
            });
            balancers.collect()
        };
        self.set(Area::LoadBalancer, None, "target groups", balancers(from), balancers(to));
        let checks = |revision: &Revision| {
            let groups = revision.ingress_paths.iter().flat_map(|path| &path.target_groups);
            let checks = groups.filter_map(|group| {
                Some(format!(
                    "{} on port {}",
                    group.health_check_path.as_deref()?,
                    group.health_check_port?
                ))
            });
            checks.collect::<BTreeSet<_>>().into_iter().collect()
        };
        self.set(
            Area::HealthCheck,
            None,
            "health check of the load balancer",
            checks(from),
            checks(to),
        );
        let connect = |revision: &Revision| {
            let on =
                revision.service_connect_configuration.as_ref().filter(|connect| connect.enabled);
            on.map(|connect| {
                let names: Vec<&str> =
                    connect.services.iter().map(|service| service.port_name.as_str()).collect();
                let ports =
                    if names.is_empty() { "client only".to_owned() } else { names.join(", ") };
                format!(
                    "{} ({ports})",
                    rollout::short(connect.namespace.as_deref().unwrap_or("default namespace"))
                )
            })
        };
        self.value(Area::ServiceConnect, None, "Service Connect", connect(from), connect(to));
    }
}

/// Containers that both task definitions have, by name.
fn both<'a>(
    from: &'a TaskDefinition,
    to: &'a TaskDefinition,
) -> Vec<(&'a ContainerDefinition, &'a ContainerDefinition)> {
    let before =
        |name: &str| from.container_definitions.iter().find(|container| container.name == name);
    to.container_definitions
        .iter()
        .filter_map(|after| Some((before(&after.name)?, after)))
        .collect()
}

fn arguments_words(arguments: &Arguments) -> String {
    format!("{}, fingerprint {}", count(arguments.count, "word"), arguments.fingerprint)
}

fn containers<'a>(version: &ComparedVersion<'a>) -> BTreeSet<&'a str> {
    let defined = version
        .definition
        .into_iter()
        .flat_map(|definition| &definition.container_definitions)
        .map(|one| one.name.as_str());
    let pinned = version
        .revision
        .into_iter()
        .flat_map(|revision| &revision.container_images)
        .map(|one| one.container_name.as_str());
    if version.definition.is_some() { defined.collect() } else { pinned.collect() }
}

/// A container's image as it is spelled, and the digest that ECS pinned.
fn image_of<'a>(
    version: &ComparedVersion<'a>,
    container: &str,
) -> (Option<&'a str>, Option<&'a str>) {
    let defined = version
        .definition
        .into_iter()
        .flat_map(|definition| &definition.container_definitions)
        .find(|one| one.name == container);
    let pinned = version
        .revision
        .into_iter()
        .flat_map(|revision| &revision.container_images)
        .find(|one| one.container_name == container);
    let spelled = defined.map(|one| one.image.as_str()).or(pinned.map(|one| one.image.as_str()));
    (spelled, pinned.and_then(|one| one.image_digest.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, roll_out};
    use crate::patient::Intent;
    use crate::snapshot::deployment::Rollback;
    use crate::snapshot::peers::{ServiceConnect, ServiceConnectService};
    use crate::snapshot::{EnvironmentVariable, Snapshot, Task};

    /// A deployment of version 13 that differs from 12, and was rolled back because its tasks fail
    /// the health check.
    fn failed(change: impl FnOnce(&mut TaskDefinition, &mut Revision)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            let old =
                deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.finished_at = Some(minutes_ago(19));
            deployment.rollback = Some(Rollback {
                reason: None,
                started_at: Some(minutes_ago(24)),
                service_revision_arn: old,
            });
        });
        let definition = id::ecs("task-definition/api:13");
        let revision = id::ecs("service-revision/prod/api/4000000000000000013");
        change(
            snapshot.task_definitions.change(&definition).unwrap(),
            snapshot.revisions.change(&revision).unwrap(),
        );
        let arn = snapshot.services[0].service_arn.clone();
        let stopped = |n: u8| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            started_by: Some("ecs-svc/1000000000000000013".into()),
            task_definition_arn: definition.clone(),
            stopped_reason: Some("Task failed ELB health checks in (target-group arn)".into()),
            created_at: Some(minutes_ago(38)),
            stopped_at: Some(minutes_ago(20 + i64::from(n))),
            ..Task::default()
        };
        snapshot.stopped_tasks.put(&arn, (1..=3).map(stopped).collect());
        snapshot
    }

    fn with<T>(snapshot: &Snapshot, look: impl FnOnce(&Patient, &mut Unseen) -> T) -> T {
        let intent = Intent::default();
        look(&Patient::new(snapshot, &snapshot.services[0], &intent), &mut Unseen::default())
    }

    fn words(change: &Change) -> String {
        let of = change
            .container
            .as_deref()
            .map(|container| format!(" of {container}"))
            .unwrap_or_default();
        let likely = if change.likely { "likely: " } else { "" };
        format!(
            "{likely}{}{of}: {} → {}",
            change.what,
            change.before.join(", "),
            change.after.join(", ")
        )
    }

    fn changes(snapshot: &Snapshot) -> Vec<String> {
        with(snapshot, |patient, unseen| {
            let (from, to) = pair(patient, None, None, unseen).unwrap();
            assert_eq!((from.name(), to.name()), ("api:12", "api:13"));
            compare(&from, &to, Trouble::of_newest(patient, unseen)).iter().map(words).collect()
        })
    }

    #[test]
    fn what_the_failure_is_about_comes_first() {
        let snapshot = failed(|definition, revision| {
            definition.memory = Some("1024".into());
            definition.execution_role_arn = Some("arn:aws:iam::123456789012:role/other".into());
            let container = &mut definition.container_definitions[0];
            container.image = id::image("api:1.5.0");
            container.port_mappings[0].container_port = Some(3000);
            container
                .environment
                .push(EnvironmentVariable { name: "PORT".into(), hosts: Vec::new() });
            container.secrets.clear();
            container.command = Some(Arguments { count: 2, fingerprint: "9f3c".into() });
            revision.container_images[0].image = id::image("api:1.5.0");
            revision.container_images[0].image_digest = Some(id::digest(2));
            revision.security_groups = vec!["sg-other".into()];
            revision.service_connect_configuration = Some(ServiceConnect {
                enabled: true,
                namespace: Some("prod".into()),
                services: vec![ServiceConnectService {
                    port_name: "http".into(),
                    ..ServiceConnectService::default()
                }],
            });
        });
        let expected = [
            "likely: ports of app: 8080/tcp → 3000/tcp",
            "likely: security groups: sg-task → sg-other",
            "likely: command of app:  → 2 words, fingerprint 9f3c",
            "likely: image of app: api:1.4.2 (sha256:111111111111) → api:1.5.0 (sha256:222222222222)",
            "likely: environment of app:  → PORT",
            "likely: secrets of app: DATABASE_PASSWORD → ",
            "likely: memory: 512 → 1024",
            "execution role: ecsTaskExecutionRole → other",
            "Service Connect:  → prod (http)",
        ];
        assert_eq!(changes(&snapshot), expected);
    }

    #[test]
    fn one_tag_may_be_two_images() {
        let snapshot =
            failed(|_, revision| revision.container_images[0].image_digest = Some(id::digest(2)));
        assert_eq!(
            changes(&snapshot),
            [
                "likely: image of app: api:1.4.2 (sha256:111111111111) → api:1.4.2 (sha256:222222222222)"
            ]
        );
    }

    #[test]
    fn another_tag_of_the_same_image_is_no_suspect() {
        let snapshot = failed(|definition, _| {
            definition.container_definitions[0].image = id::image("api:stable")
        });
        assert_eq!(
            changes(&snapshot),
            [
                "tag of the same image of app: api:1.4.2 (sha256:111111111111) → api:stable (sha256:111111111111)"
            ]
        );
    }

    #[test]
    fn a_digest_that_is_known_of_one_version_only_is_no_change() {
        assert_eq!(
            changes(&failed(|_, revision| revision.container_images.clear())),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_variable_that_leads_to_another_host_is_told_without_its_value() {
        let at = |host: &str| {
            vec![EnvironmentVariable { name: "DATABASE_URL".into(), hosts: vec![host.into()] }]
        };
        let mut snapshot = failed(|definition, _| {
            definition.container_definitions[0].environment = at("db-b.internal")
        });
        let before = snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        before.container_definitions[0].environment = at("db-a.internal");
        assert_eq!(
            changes(&snapshot),
            [
                "likely: host in the environment of app: DATABASE_URL at db-a.internal → DATABASE_URL at db-b.internal"
            ]
        );
    }

    #[test]
    fn out_of_memory_is_about_size() {
        let mut snapshot = failed(|definition, _| definition.memory = Some("256".into()));
        let arn = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&arn).unwrap() {
            task.stop_code = Some("EssentialContainerExited".into());
            task.stopped_reason = Some("Essential container in task exited".into());
            let reason = Some("OutOfMemoryError: Container killed due to memory usage".into());
            task.containers = vec![crate::snapshot::Container {
                name: "app".into(),
                exit_code: Some(137),
                reason,
                ..Default::default()
            }];
        }
        assert_eq!(with(&snapshot, Trouble::of_newest), Trouble::Memory);
        assert_eq!(changes(&snapshot), ["likely: memory: 512 → 256"]);
    }

    #[test]
    fn a_success_has_no_trouble() {
        assert_eq!(with(&baseline::fargate(), Trouble::of_newest), Trouble::Unknown);
    }

    #[test]
    fn versions_are_found_by_every_name() {
        let snapshot = failed(|_, _| ());
        let arn = id::ecs("service-revision/prod/api/4000000000000000013");
        for wanted in
            ["13", "api:13", "4000000000000000013", &arn, &id::ecs("task-definition/api:13")]
        {
            with(&snapshot, |patient, unseen| {
                assert_eq!(find(patient, wanted, unseen).unwrap().name(), "api:13", "{wanted}")
            });
        }
        with(&snapshot, |patient, unseen| {
            let known = vec!["api:12".to_owned(), "api:13".to_owned()];
            assert_eq!(
                find(patient, "11", unseen),
                Err(NoVersion::Unknown { wanted: "11".into(), known })
            );
        });
    }

    #[test]
    fn versions_of_other_services_are_not_this_ones() {
        let mut snapshot = failed(|_, _| ());
        let other = id::ecs("task-definition/mailer:7");
        snapshot.task_definitions.put(
            &other,
            TaskDefinition {
                task_definition_arn: other.clone(),
                family: "mailer".into(),
                revision: 7,
                ..Default::default()
            },
        );
        with(&snapshot, |patient, unseen| {
            assert!(find(patient, "7", unseen).is_err());
            assert_eq!(
                find(patient, "mailer:7", unseen).unwrap().name(),
                "mailer:7",
                "by its whole name it is what the user wants"
            );
        });
    }

    #[test]
    fn a_forced_deployment_is_told_from_the_one_before() {
        let mut snapshot = failed(|_, _| ());
        let revision = id::ecs("service-revision/prod/api/4000000000000000013");
        snapshot.revisions.change(&revision).unwrap().task_definition =
            Some(id::ecs("task-definition/api:12"));
        with(&snapshot, |patient, unseen| {
            let (from, to) = pair(patient, None, None, unseen).unwrap();
            assert_eq!(from.name_beside(&to), "api:12 (service revision 4000000000000000012)");
            assert_eq!(to.name_beside(&from), "api:12 (service revision 4000000000000000013)");
        });
    }

    #[test]
    fn a_first_deployment_has_nothing_to_compare() {
        let mut snapshot = failed(|_, _| ());
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.listed_deployments.change(&arn).unwrap().truncate(1);
        let newest = &mut snapshot.service_deployments.change(&arn).unwrap()[0];
        newest.rollback = None;
        newest.source_service_revisions.clear();
        with(&snapshot, |patient, unseen| {
            assert_eq!(pair(patient, None, None, unseen), Err(NoVersion::NothingToCompare))
        });
    }

    #[test]
    fn a_version_that_was_not_collected_is_said_to_be_unseen() {
        let snapshot = baseline::fargate();
        // The deployment before the newest brought revision 11, which nobody asked about.
        with(&snapshot, |patient, unseen| {
            assert!(matches!(pair(patient, None, None, unseen), Err(NoVersion::Blind(_))))
        });
    }
}
