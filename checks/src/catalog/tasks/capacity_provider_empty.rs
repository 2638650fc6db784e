//! The capacity provider has no container instances, or the cluster has too many tasks waiting for
//! them. The provider and its Auto Scaling group show why; launches that fail, and instances that
//! do not register, are for other checks.

use jiff::SignedDuration;

use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::capacity::{self, ARRIVAL, Block, Supply};
use crate::facts::tasks::reason::{self, Told};
use crate::facts::tasks::shortage::{self, Sign, Supplies};
use crate::finding::{Finding, Remedy};
use crate::patient::Patient;
use crate::text::and_list;
use crate::{aws, hcl, words};

crate::check! {
    /// The service's capacity provider has no instances for its tasks and launches none, or too
    /// many tasks are already waiting.
    ///
    /// # Why it matters
    ///
    /// No task is placed until instances are launched, which may never happen: the Auto Scaling
    /// group may be at its maximum, suspended or deleted.
    ///
    /// # How we tell
    ///
    /// A service event says "No Container Instances were found in your capacity provider", or that
    /// the limit of 500 tasks in `PROVISIONING` per cluster was exceeded; or no instance fits; or
    /// tasks wait in `PROVISIONING` for longer than three minutes. Then the first problem found is
    /// reported: the cluster does not have the provider, the provider is not active, the group is
    /// deleted, launching is suspended, the group is at its maximum, or nothing scales it. Launches
    /// that fail and instances that do not register have checks of their own. New instances take
    /// some minutes: within ten minutes of the first event, and while tasks only wait, one of these
    /// problems is needed for a finding.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs describe-capacity-providers --capacity-providers <provider>
    /// aws autoscaling describe-scaling-activities --auto-scaling-group-name <group> --max-items 5
    /// aws autoscaling update-auto-scaling-group --auto-scaling-group-name <group> --max-size <number>
    /// ```
    ///
    /// Terraform/OpenTofu: `max_size` of `aws_autoscaling_group`, `managed_scaling` of
    /// `aws_ecs_capacity_provider`.
    ///
    /// # See also
    ///
    /// `instance_launch_failed`, `instance_not_registered`, `no_instance_fits`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html>
    title: "The capacity provider has no instances",
    severity: High,
    role: Cause,
    explains: [NoInstanceFits, TasksFailToStart, TooFewRunning],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        DescribeClusters,
        DescribeCapacityProviders,
        DescribeAutoScalingGroups,
        DescribeGroupActivities,
        DescribeContainerInstances,
    ],
    example: on ec2, |snapshot| {
        use crate::baseline::capacity::GROUP;
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::capacity::provide(snapshot);
        if let Some(group) = snapshot.auto_scaling_groups.change(GROUP) {
            (group.max_size, group.desired_capacity) = (Some(2), Some(2));
        }
        crate::baseline::say(
            snapshot,
            38,
            "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider. See details in the troubleshooting section.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for shortage in shortage::each(patient, findings)? {
        match (&shortage.sign, shortage.blocked()) {
            (_, Some((supply, block))) => {
                let told = claim(patient, supply, block).zip(remedy(patient, supply, block));
                if let Some((claim, remedy)) = told {
                    findings.add(shortage.finding(patient, &claim).mend(remedy));
                }
            }
            // Whether instances are on their way cannot be known without looking, and if they are
            // there is nothing to find.
            (Sign::Told(told), None) => {
                let empty = told.reason.trouble == Trouble::CapacityProviderEmpty;
                let young = first_said(patient).is_some_and(|age| age < ARRIVAL);
                let open = matches!(shortage.supplies, Supplies::Open);
                if empty && open && !young {
                    findings.add(unblocked(patient, told));
                }
            }
            (Sign::Waiting { .. }, None) => {}
        }
    }
    Ok(())
}

/// How long ago ECS first said that there are no instances, of all that tells of now.
fn first_said(patient: &Patient) -> Option<SignedDuration> {
    let is_it = |message: &str| {
        stop_reason::read(message)
            .is_some_and(|reason| reason.trouble == Trouble::CapacityProviderEmpty)
    };
    let complaints = reason::complaints(patient);
    let first = complaints.iter().rev().find(|event| is_it(&event.message))?;
    first.created_at.map(|at| time::age(patient.now(), at))
}

/// What ECS says, where nothing that we see keeps instances from coming.
fn unblocked(patient: &Patient, told: &Told) -> Finding {
    let providers: Vec<&str> = capacity::providers(patient.service()).collect();
    let named =
        if providers.is_empty() { String::new() } else { format!(" {}", and_list(&providers)) };
    let claim = match told.text.contains("provisioning capacity limit") {
        true => {
            "too many tasks of the cluster are waiting for instances (the limit is 500)".to_owned()
        }
        false => format!("capacity provider{named} has no container instances"),
    };
    let see = match providers.is_empty() {
        true => aws!("ecs describe-clusters --clusters {}", patient.cluster()),
        false => aws!("ecs describe-capacity-providers --capacity-providers").args(&providers),
    };
    let remedy = Remedy::new(
        "Find out why the Auto Scaling group provides no instances: check its maximum, its scaling activities, and whether its instances register.",
    );
    told.finding(patient, &claim).mend(remedy.cli(see).cli(told.see(patient)))
}

/// What blocks the supply; none where that has a check of its own.
fn claim(patient: &Patient, supply: &Supply, block: &Block) -> Option<String> {
    let name = supply.name;
    let group = supply.group_name().unwrap_or_default();
    Some(match block {
        Block::NotOfCluster => {
            format!("capacity provider {name} is not associated with cluster {}", patient.cluster())
        }
        Block::NotActive(status) => format!("capacity provider {name} is {status}"),
        Block::UpdateFailed(reason) => format!(
            "capacity provider {name} could not be updated (\"{}\")",
            stop_reason::quoted(reason)
        ),
        Block::GroupGone(group) => {
            format!("Auto Scaling group {group} of capacity provider {name} does not exist")
        }
        Block::Suspended(process) => {
            let why = process
                .suspension_reason
                .as_deref()
                .map_or_else(String::new, |why| format!(" (\"{}\")", stop_reason::quoted(why)));
            format!(
                "Auto Scaling group {group} of capacity provider {name} launches no instances, because its process {} is suspended{why}",
                process.process_name
            )
        }
        Block::AtMaximum { desired, maximum } => {
            format!(
                "Auto Scaling group {group} of capacity provider {name} is at its maximum ({desired} of {maximum} instances)"
            )
        }
        Block::NotManaged { desired } => {
            format!(
                "nothing scales capacity provider {name}: its managed scaling is off, and the desired capacity of Auto Scaling group {group} is {desired}"
            )
        }
        Block::LaunchFailed(_) | Block::Unregistered { .. } | Block::OfNoProvider(_) => {
            return None;
        }
    })
}

/// What fixes it; none where that has a check of its own.
fn remedy(patient: &Patient, supply: &Supply, block: &Block) -> Option<Remedy> {
    let (name, cluster) = (supply.name, patient.cluster());
    let group = supply.group_name().map_or(Word::needed("AUTO_SCALING_GROUP"), Word::new);
    let describe = aws!("ecs describe-capacity-providers --capacity-providers {}", name);
    Some(match block {
        Block::NotOfCluster => Remedy::new(
            "Associate the capacity provider with the cluster; the command sets the cluster's whole list and its default strategy.",
        )
        .cli(aws!(
            "ecs describe-clusters --clusters {} \
             --query clusters[].[capacityProviders,defaultCapacityProviderStrategy]",
            cluster
        ))
        .cli(
            aws!("ecs put-cluster-capacity-providers --cluster {}", cluster)
                .and(words!(
                    "--default-capacity-provider-strategy $DEFAULT_STRATEGY --capacity-providers"
                ))
                .args(of_cluster(patient))
                .arg(name),
        )
        .terraform(hcl!(
            r#"
            resource "aws_ecs_cluster_capacity_providers" "cluster" {
              cluster_name       = {}
              capacity_providers = {}
            }"#,
            cluster,
            of_cluster(patient).into_iter().chain([name]).collect::<Vec<&str>>()
        )),
        Block::NotActive(_) | Block::GroupGone(_) => Remedy::new(
            "Give the service a capacity provider that works (this starts a new deployment), or recreate what is missing.",
        )
        .cli(patient.update_service().and(words!(
            "--capacity-provider-strategy capacityProvider=$CAPACITY_PROVIDER,weight=1 \
             --force-new-deployment"
        )))
        .cli(aws!(
            "ecs describe-clusters --clusters {} --query clusters[].capacityProviders",
            cluster
        ))
        .cli(describe)
        .terraform(hcl!(
            r#"
            # in aws_ecs_service
            capacity_provider_strategy {
              capacity_provider = var.capacity_provider
              weight            = 1
            }"#
        )),
        Block::UpdateFailed(_) => Remedy::new(
            "Fix what ECS reports about the update, then update the capacity provider again.",
        )
        .cli(describe),
        Block::Suspended(process) => {
            Remedy::new("Find out who suspended it and why, then resume it.").cli(aws!(
                "autoscaling resume-processes --auto-scaling-group-name {} --scaling-processes {}",
                group,
                process.process_name
            ))
        }
        Block::AtMaximum { maximum, .. } => {
            let more = *maximum + (*maximum).max(2) / 2;
            Remedy::new("Raise the maximum of the group, or run fewer or smaller tasks.")
                .cli(aws!(
                    "autoscaling update-auto-scaling-group --auto-scaling-group-name {} \
                     --max-size {}",
                    group,
                    more
                ))
                .terraform(hcl!(
                    r#"
                    # in aws_autoscaling_group
                    max_size = {}"#,
                    more
                ))
        }
        Block::NotManaged { desired } => Remedy::new(
            "Turn on managed scaling, so that ECS scales the group, or add instances manually.",
        )
        .cli(aws!(
            "autoscaling set-desired-capacity --auto-scaling-group-name {} --desired-capacity {}",
            group,
            desired.saturating_add(1)
        ))
        .cli(aws!(
            "ecs update-capacity-provider --name {} --auto-scaling-group-provider \
             managedScaling={status=ENABLED,targetCapacity=100}",
            name
        ))
        .terraform(hcl!(
            r#"
            # in auto_scaling_group_provider of aws_ecs_capacity_provider
            managed_scaling {
              status = "ENABLED"
            }"#
        )),
        Block::LaunchFailed(_) | Block::Unregistered { .. } | Block::OfNoProvider(_) => {
            return None;
        }
    })
}

/// The capacity providers that the cluster has.
fn of_cluster<'a>(patient: &Patient<'a>) -> Vec<&'a str> {
    match patient.cluster_details() {
        Ok(Some(cluster)) => cluster.capacity_providers.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::GROUP, capacity::PROVIDER, minutes_ago};
    use crate::call::Call;
    use crate::exam::{Outcome, examine};
    use crate::patient::Intent;
    use crate::snapshot::capacity::SuspendedProcess;
    use crate::snapshot::{AutoScalingGroup, GroupActivity, Snapshot};
    use crate::testing::{exam, says};

    /// A task that waits for an instance since some minutes, in a cluster with none; `change` is
    /// told of the group.
    fn waiting(
        minutes: i64,
        change: impl FnOnce(&mut AutoScalingGroup, &mut Vec<GroupActivity>),
    ) -> Snapshot {
        let mut snapshot = baseline::ec2();
        let arn = snapshot.services[0].service_arn.clone();
        let mut task = snapshot.running_tasks.change(&arn).unwrap()[0].clone();
        baseline::capacity::provide(&mut snapshot);
        baseline::lack_tasks(&mut snapshot);
        (task.last_status, task.container_instance_arn, task.created_at) =
            ("PROVISIONING".into(), None, Some(minutes_ago(minutes)));
        snapshot.running_tasks.put(&arn, vec![task]);
        let mut activities = snapshot.group_activities.change(GROUP).unwrap().clone();
        change(snapshot.auto_scaling_groups.change(GROUP).unwrap(), &mut activities);
        snapshot.group_activities.put(GROUP, activities);
        snapshot
    }

    fn failed(minutes: i64) -> GroupActivity {
        GroupActivity {
            description: Some("Launching a new EC2 instance.  Status Reason: no capacity".into()),
            status_code: Some("Failed".into()),
            status_message: Some("We currently do not have sufficient t3.medium capacity. Launching EC2 instance failed.".into()),
            start_time: Some(minutes_ago(minutes)),
            ..GroupActivity::default()
        }
    }

    #[test]
    fn names_the_group_that_is_at_its_maximum() {
        let exam = exam(CHECK, &(CHECK.example)());
        let expected = "Auto Scaling group web-asg of capacity provider web-instances is at its maximum (2 of 2 instances): ECS could not place a task of web:12, the last time 38 min ago.";
        assert_eq!(exam.findings[0].says(), expected);
        assert!(
            exam.findings[0].remedy.shell()[0]
                .ends_with("--auto-scaling-group-name web-asg --max-size 3")
        );
    }

    #[test]
    fn tasks_that_wait_are_enough_where_no_instance_can_come() {
        let says = says(CHECK, &waiting(12, |group, _| group.max_size = Some(2)));
        let expected = "Auto Scaling group web-asg of capacity provider web-instances is at its maximum (2 of 2 instances): a task of web:12 has been \
                        waiting for an instance for 12 min.";
        assert_eq!(says, [expected]);
    }

    #[test]
    fn instances_that_are_on_their_way_take_some_minutes() {
        let up = |minutes| {
            waiting(minutes, |group, activities| {
                (group.desired_capacity, group.instances) = (Some(1), Vec::new());
                let launching =
                    GroupActivity { status_code: Some("InProgress".into()), ..failed(4) };
                activities.insert(0, launching);
            })
        };
        assert_eq!(exam(CHECK, &up(5)).outcome, Outcome::Healthy);
        let mut said = up(5);
        baseline::say(
            &mut said,
            6,
            "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider.",
        );
        assert_eq!(
            exam(CHECK, &said).outcome,
            Outcome::Healthy,
            "the event is young, and nothing keeps instances away"
        );
        let intent = Intent::default();
        let check: &'static crate::check::Check = Box::leak(Box::new(CHECK));
        let blind = Patient::new(&said, &said.services[0], &intent)
            .blindfolded([Call::DescribeAutoScalingGroups]);
        assert_eq!(
            examine(check, &blind).outcome,
            Outcome::CouldNotLook,
            "not seeing them is no finding"
        );
    }

    #[test]
    fn launches_that_fail_and_instances_that_do_not_register_are_told_elsewhere() {
        let broken = waiting(12, |_, activities| activities.insert(0, failed(9)));
        assert_eq!(exam(CHECK, &broken).outcome, Outcome::Healthy);
        let mut lost = waiting(12, |_, _| ());
        let cluster = lost.services[0].cluster_arn.clone();
        lost.container_instances.put(&cluster, Vec::new());
        assert_eq!(exam(CHECK, &lost).outcome, Outcome::Healthy);
    }

    #[test]
    fn each_thing_that_keeps_instances_away_has_its_own_words() {
        let suspended = waiting(12, |group, _| {
            group.suspended_processes = vec![SuspendedProcess {
                process_name: "Launch".into(),
                suspension_reason: Some("User suspended".into()),
            }];
        });
        assert!(says(CHECK, &suspended)[0].contains(
            "launches no instances, because its process Launch is suspended (\"User suspended\")"
        ));
        let harmless = waiting(12, |group, _| {
            group.suspended_processes = vec![SuspendedProcess {
                process_name: "AZRebalance".into(),
                suspension_reason: None,
            }];
        });
        assert!(says(CHECK, &harmless).is_empty());
        let mut off = waiting(12, |_, _| ());
        off.capacity_providers.change(PROVIDER).unwrap().managed_scaling.as_mut().unwrap().status =
            Some("DISABLED".into());
        assert!(says(CHECK, &off)[0].starts_with("Nothing scales capacity provider web-instances"));
        let mut inactive = waiting(12, |_, _| ());
        inactive.capacity_providers.change(PROVIDER).unwrap().status = Some("INACTIVE".into());
        assert!(
            says(CHECK, &inactive)[0].starts_with("Capacity provider web-instances is INACTIVE: ")
        );
        let mut managed = waiting(12, |_, _| ());
        managed.capacity_providers.insert(PROVIDER, crate::seen::Seen::Yes(None));
        assert!(
            says(CHECK, &managed).is_empty(),
            "the cluster has it, and ECS tells no more of it"
        );
        let mut foreign = waiting(12, |_, _| ());
        let cluster = foreign.services[0].cluster_arn.clone();
        foreign.clusters.change(&cluster).unwrap().capacity_providers.clear();
        assert!(
            says(CHECK, &foreign)[0].starts_with(
                "Capacity provider web-instances is not associated with cluster prod: "
            )
        );
    }

    #[test]
    fn without_a_provider_ecs_has_the_word() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(
            &mut snapshot,
            38,
            "(service web) was unable to place tasks in your cluster because the tasks provisioning capacity limit was exceeded.",
        );
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Too many tasks of the cluster are waiting for instances (the limit is 500): reported by ECS for web:12, 38 min ago."
            ]
        );
    }

    #[test]
    fn instances_without_room_are_not_none() {
        let mut snapshot = baseline::ec2();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(
            &mut snapshot,
            8,
            "(service web) was unable to place a task because no container instance met all of its requirements.",
        );
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
