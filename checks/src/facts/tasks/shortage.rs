//! Tasks that ECS cannot place for lack of instances, each with what keeps the instances from
//! coming: those of the service's capacity providers, or of the cluster's where the service names
//! none. Which trouble a block is, checks say.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::aws::stop_reason::Trouble;
use crate::aws::time;
use crate::call::Call;
use crate::facts::deployment::rollout;
use crate::facts::tasks::capacity::{self, Block, Supply};
use crate::facts::tasks::reason::{self, SETTLED, Told};
use crate::finding::{Evidence, Finding, Kind, Subject};
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::Task;

/// What tells that a version lacks instances.
#[derive(Debug)]
pub enum Sign<'a> {
    /// ECS says that it cannot place a task.
    Told(Box<Told<'a>>),
    /// Tasks wait for an instance, of which no event tells.
    Waiting { longest: &'a Task, tasks: usize },
}

/// What keeps instances from coming.
#[derive(Debug)]
pub enum Supplies<'a> {
    Blocked(Supply<'a>),
    /// Nothing that we see.
    Open,
    /// That may not be seen.
    Unseen,
}

/// A version that lacks instances.
#[derive(Debug)]
pub struct Shortage<'a> {
    pub sign: Sign<'a>,
    pub supplies: Supplies<'a>,
}

/// Every version that lacks instances now. What may not be seen is noted.
pub fn each<'a>(patient: &Patient<'a>, notes: &mut impl See) -> Result<Vec<Shortage<'a>>, Blind> {
    let troubles = [Trouble::CapacityProviderEmpty, Trouble::NoInstanceFits];
    let mut all = Vec::new();
    for told in reason::told(patient, notes) {
        if !troubles.contains(&told.reason.trouble) {
            continue;
        }
        // Of a version that was rolled back, only that there was no instance at all tells of today.
        let tells = told.is_primary || told.reason.trouble == Trouble::CapacityProviderEmpty;
        let supplies = if tells { supplies(patient, notes) } else { Supplies::Open };
        all.push(Shortage { sign: Sign::Told(Box::new(told)), supplies });
    }
    let told_of: BTreeSet<&str> = all.iter().filter_map(Shortage::task_definition).collect();
    if let Some((longest, tasks)) = waiting(patient)?
        && !told_of.contains(longest.task_definition_arn.as_str())
    {
        let supplies = supplies(patient, notes);
        all.push(Shortage { sign: Sign::Waiting { longest, tasks }, supplies });
    }
    Ok(all)
}

/// The task that has waited longest for an instance of a capacity provider, and how many wait.
fn waiting<'a>(patient: &Patient<'a>) -> Result<Option<(&'a Task, usize)>, Blind> {
    if capacity::providers(patient.service()).next().is_none() {
        return Ok(None);
    }
    let waits = |task: &&Task| {
        capacity::waits_for_instance(patient.service(), task) && age(patient, task) >= SETTLED
    };
    let waiting: Vec<&Task> = patient.running_tasks()?.iter().filter(waits).collect();
    let longest = waiting.iter().copied().max_by_key(|task| age(patient, task));
    Ok(longest.map(|longest| (longest, waiting.len())))
}

fn age(patient: &Patient, task: &Task) -> SignedDuration {
    task.created_at.map_or(SignedDuration::ZERO, |created| time::age(patient.now(), created))
}

/// The first supply that is blocked, where instances are worth a look.
fn supplies<'a>(patient: &Patient<'a>, notes: &mut impl See) -> Supplies<'a> {
    if !capacity::matters(patient.service(), patient.now()) {
        return Supplies::Open;
    }
    match notes.see(capacity::supplies(patient)) {
        None => Supplies::Unseen,
        Some(supplies) => {
            let blocked = supplies.into_iter().find(|supply| supply.block.is_some());
            blocked.map_or(Supplies::Open, Supplies::Blocked)
        }
    }
}

impl<'a> Shortage<'a> {
    fn task_definition(&self) -> Option<&'a str> {
        match &self.sign {
            Sign::Told(told) => Some(told.task_definition),
            Sign::Waiting { .. } => None,
        }
    }

    /// The supply that is blocked, with what blocks it.
    pub fn blocked(&self) -> Option<(&Supply<'a>, &Block<'a>)> {
        match &self.supplies {
            Supplies::Blocked(supply) => Some((supply, supply.block.as_ref()?)),
            Supplies::Open | Supplies::Unseen => None,
        }
    }

    /// A finding that this claim is why: with the tasks that bear it out, and what was seen behind
    /// the provider as evidence.
    pub fn finding(&self, patient: &Patient, claim: &str) -> Finding {
        let (definition, shown, evidence) = match &self.sign {
            Sign::Told(told) => (told.task_definition, lacks(patient, told), told.evidence.clone()),
            Sign::Waiting { longest, tasks } => (
                longest.task_definition_arn.as_str(),
                waits(patient, longest, *tasks),
                Evidence::new(
                    Call::DescribeTasks,
                    &longest.task_arn,
                    "lastStatus",
                    &longest.last_status,
                )
                .at(longest.created_at),
            ),
        };
        Subject::new(Kind::TaskDefinition, definition)
            .sick(format!("{claim}: {shown}"), evidence)
            .because_all(
                self.blocked()
                    .into_iter()
                    .flat_map(|(supply, block)| supply.evidence(patient, block)),
            )
            .concerns(Kind::TaskDefinition, definition)
            .concerns_no(Kind::TargetGroup)
    }
}

/// `ECS could not place a task of web:12, the last time 38 min ago`.
fn lacks(patient: &Patient, told: &Told) -> String {
    let version = told.version();
    match (told.tasks.len(), told.said) {
        (0, Some(at)) => format!(
            "ECS could not place a task of {version}, the last time {} ago",
            time::words(time::age(patient.now(), at))
        ),
        (0 | 1, _) => format!("ECS could not place a task of {version}"),
        (many, _) => format!("ECS could not place {many} tasks of {version}"),
    }
}

/// `a task of web:12 has been waiting for an instance for 12 min`.
fn waits(patient: &Patient, longest: &Task, tasks: usize) -> String {
    let version = rollout::short(&longest.task_definition_arn);
    let since = time::words(age(patient, longest));
    match tasks {
        1 => format!("a task of {version} has been waiting for an instance for {since}"),
        many => {
            format!("{many} tasks of {version} are waiting for instances, the longest for {since}")
        }
    }
}

impl Supply<'_> {
    /// The name of the Auto Scaling group behind it.
    pub fn group_name(&self) -> Option<&str> {
        self.group.map(|group| group.auto_scaling_group_name.as_str())
    }

    /// What makes us say that it is blocked.
    fn evidence(&self, patient: &Patient, block: &Block) -> Vec<Evidence> {
        let cluster = &patient.service().cluster_arn;
        let group = self.group_name().unwrap_or_default();
        let of_provider = |field, value: &str| {
            Evidence::new(Call::DescribeCapacityProviders, self.name, field, value)
        };
        let of_group = |field, value: &dyn ToString| {
            Evidence::new(Call::DescribeAutoScalingGroups, group, field, value.to_string())
        };
        match block {
            Block::NotOfCluster => {
                let status = self.provider.and_then(|provider| provider.status.as_deref());
                let status = status.map(|status| of_provider("status", status));
                let cluster = Evidence::new(Call::DescribeClusters, cluster, "clusterArn", cluster);
                status.into_iter().chain([cluster]).collect()
            }
            Block::NotActive(status) => vec![of_provider("status", status)],
            Block::UpdateFailed(reason) => vec![of_provider("updateStatusReason", reason)],
            Block::GroupGone(_) => {
                let arn =
                    self.provider.and_then(|provider| provider.auto_scaling_group_arn.as_deref());
                let field = "autoScalingGroupProvider.autoScalingGroupArn";
                arn.map(|arn| of_provider(field, arn)).into_iter().collect()
            }
            Block::LaunchFailed(activity) => {
                let of = |field, value: &Option<String>| {
                    value.as_ref().map(|value| {
                        Evidence::new(Call::DescribeGroupActivities, group, field, value)
                            .at(activity.start_time)
                    })
                };
                of("Activities.StatusCode", &activity.status_code)
                    .into_iter()
                    .chain(of("Activities.StatusMessage", &activity.status_message))
                    .collect()
            }
            Block::Suspended(process) => {
                vec![of_group("SuspendedProcesses.ProcessName", &process.process_name)]
            }
            Block::AtMaximum { desired, maximum } => {
                vec![of_group("MaxSize", maximum), of_group("DesiredCapacity", desired)]
            }
            Block::NotManaged { desired } => vec![
                of_provider("autoScalingGroupProvider.managedScaling.status", "DISABLED"),
                of_group("DesiredCapacity", desired),
            ],
            Block::Unregistered { missing, .. } => {
                missing.iter().map(|id| of_group("Instances.InstanceId", id)).collect()
            }
            Block::OfNoProvider(instances) => instances
                .iter()
                .map(|instance| {
                    Evidence::new(
                        Call::DescribeContainerInstances,
                        &instance.container_instance_arn,
                        "capacityProviderName",
                        "null",
                    )
                })
                .collect(),
        }
    }
}
