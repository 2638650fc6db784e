//! The capacity provider has no container instances to give, or the cluster may not wait for more
//! of them. Why stands in the provider, in the Auto Scaling group behind it, and in what that group
//! tried last.

use jiff::SignedDuration;

use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::deployment::rollout;
use crate::facts::tasks::capacity::{self, ARRIVAL, Block, Supply};
use crate::facts::tasks::reason::{self, SETTLED, Told};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Task;
use crate::text::{and_list, count};
use crate::{aws, hcl};

crate::check! {
    /// The service's capacity provider has no instances for its tasks, and none are coming; or too
    /// many tasks wait already.
    ///
    /// # Why it matters
    ///
    /// No task is placed until instances come, and they may never: the Auto Scaling group may be at
    /// its maximum, suspended, or its instances may fail to launch or to register.
    ///
    /// # How we tell
    ///
    /// A service event says "No Container Instances were found in your capacity provider", or that
    /// the provisioning limit of 500 tasks a cluster was exceeded; or no instance fits; or tasks
    /// wait in `PROVISIONING` for longer than three minutes. Then the first thing that is amiss is
    /// named: the cluster lacks the provider, the provider is not active, the group is gone, its
    /// newest launch failed within the hour, launching is suspended, instances are in service that
    /// no agent registered, the group is at its maximum, or nobody scales it. Instances that are on
    /// their way take some minutes: within ten of the first event, and while tasks only wait, it
    /// takes one of these to be a finding.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs describe-capacity-providers --capacity-providers <provider>
    /// aws autoscaling describe-scaling-activities --auto-scaling-group-name <group> --max-items 5
    /// ```
    ///
    /// Terraform/OpenTofu: `max_size` of `aws_autoscaling_group`, `managed_scaling` of
    /// `aws_ecs_capacity_provider`.
    ///
    /// # See also
    ///
    /// `no_instance_fits`, `agent_disconnected`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html>
    title: "The capacity provider has no instances to give",
    severity: High,
    role: Cause,
    explains: [NoInstanceFits, TasksFailToStart, TooFewRunning],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
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
    let mut told_of = Vec::new();
    reason::each(
        patient,
        findings,
        &[Trouble::CapacityProviderEmpty, Trouble::NoInstanceFits],
        |told, findings| {
            told_of.push(told.task_definition);
            let empty = told.reason.trouble == Trouble::CapacityProviderEmpty;
            let supplies = supplies(patient, findings);
            let blocked = supplies.iter().flatten().find(|supply| supply.block.is_some());
            let young = empty && first_said(patient).is_some_and(|age| age < ARRIVAL);
            match blocked {
                // Whether instances are on their way cannot be known without looking, and if they
                // are there is nothing to find.
                None if !empty || young => None,
                None => Some(unblocked(patient, told)),
                Some(supply) => {
                    let claim = claim(patient, supply);
                    let finding = if empty || told.is_primary {
                        told.finding(patient, &claim)
                    } else {
                        return None;
                    };
                    Some(mended(patient, supply, finding).mend(remedy(patient, supply)))
                }
            }
        },
    )?;
    of_waiting(patient, findings, &told_of)
}

/// Tasks that wait for an instance of which no event tells.
fn of_waiting(
    patient: &Patient,
    findings: &mut Findings,
    told_of: &[&str],
) -> Result<(), NoAnswer> {
    if capacity::providers(patient.service()).next().is_none() {
        return Ok(());
    }
    let age = |task: &Task| {
        task.created_at.map_or(SignedDuration::ZERO, |created| time::age(patient.now(), created))
    };
    let waits = |task: &&Task| {
        capacity::waits_for_instance(patient.service(), task) && age(task) >= SETTLED
    };
    let waiting: Vec<&Task> = patient.running_tasks()?.iter().filter(waits).collect();
    let Some(longest) = waiting.iter().copied().max_by_key(|task| age(task)) else { return Ok(()) };
    if told_of.contains(&longest.task_definition_arn.as_str()) {
        return Ok(());
    }
    let supplies = supplies(patient, findings);
    let Some(supply) = supplies.iter().flatten().find(|supply| supply.block.is_some()) else {
        return Ok(());
    };
    let (version, since) =
        (rollout::short(&longest.task_definition_arn), time::words(age(longest)));
    let waits = match waiting.len() {
        1 => format!("a task of {version} has been waiting for an instance for {since}"),
        many => format!("{many} tasks of {version} wait for instances, the longest for {since}"),
    };
    let evidence =
        Evidence::new(Call::DescribeTasks, &longest.task_arn, "lastStatus", &longest.last_status)
            .at(longest.created_at);
    let finding = Subject::new(Kind::TaskDefinition, &longest.task_definition_arn)
        .sick(format!("{}: {waits}", claim(patient, supply)), evidence)
        .concerns(Kind::TaskDefinition, &longest.task_definition_arn)
        .concerns_no(Kind::TargetGroup);
    findings.add(mended(patient, supply, finding).mend(remedy(patient, supply)));
    Ok(())
}

/// What stands behind each of the service's providers; none where that may not be seen, or is not
/// worth a look.
fn supplies<'a>(patient: &Patient<'a>, findings: &mut Findings) -> Option<Vec<Supply<'a>>> {
    if !capacity::matters(patient.service(), patient.now()) {
        return None;
    }
    let supplies: Result<Vec<Supply>, _> = capacity::providers(patient.service())
        .map(|name| capacity::supply(patient, name))
        .collect();
    findings.see(supplies)
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
        true => "too many tasks of the cluster wait for instances: its limit is 500".to_owned(),
        false => format!("capacity provider{named} has no container instances"),
    };
    let see = match providers.is_empty() {
        true => aws!("ecs describe-clusters --clusters {}", patient.cluster()),
        false => aws!("ecs describe-capacity-providers --capacity-providers").args(&providers),
    };
    let remedy = Remedy::new(
        "See why the Auto Scaling group brings no instances: its maximum, its scaling activities, and whether they register.",
    );
    told.finding(patient, &claim).mend(remedy.cli(see).cli(told.see(patient)))
}

fn claim(patient: &Patient, supply: &Supply) -> String {
    let Supply { name, group, block, .. } = supply;
    let group = group.map_or("", |group| group.auto_scaling_group_name.as_str());
    let Some(block) = block else {
        return format!("capacity provider {name} has no container instances");
    };
    match block {
        Block::NotOfCluster => {
            format!("cluster {} does not have capacity provider {name}", patient.cluster())
        }
        Block::NotActive(status) => format!("capacity provider {name} is {status}"),
        Block::UpdateFailed(reason) => format!(
            "capacity provider {name} could not be updated (\"{}\")",
            stop_reason::quoted(reason)
        ),
        Block::GroupGone(group) => {
            format!("Auto Scaling group {group} of capacity provider {name} does not exist")
        }
        Block::LaunchFailed(activity) => {
            let at = activity.start_time.map_or_else(String::new, |at| {
                format!(" {} ago", time::words(time::age(patient.now(), at)))
            });
            let why = activity.status_message.as_deref().map_or_else(String::new, |why| {
                format!(" (\"{}\")", stop_reason::quoted(decisive(why)))
            });
            format!(
                "Auto Scaling group {group} of capacity provider {name} could not launch an instance{at}{why}"
            )
        }
        Block::Suspended(process) => {
            let why = process
                .suspension_reason
                .as_deref()
                .map_or_else(String::new, |why| format!(" (\"{}\")", stop_reason::quoted(why)));
            format!(
                "Auto Scaling group {group} of capacity provider {name} launches nothing, since its process {} is suspended{why}",
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
                "nobody scales capacity provider {name}: its managed scaling is off, and Auto Scaling group {group} is wanted at {desired}"
            )
        }
        Block::Unregistered { in_service, registered } => format!(
            "of {} in service in Auto Scaling group {group} only {registered} registered with cluster {}",
            count(*in_service, "instance"),
            patient.cluster()
        ),
    }
}

/// The sentence of a failed launch that has the reason, and not the one that says that there was
/// one.
fn decisive(message: &str) -> &str {
    let mut sentences = message.split(". ");
    sentences.find(|sentence| !sentence.starts_with("Could not launch")).unwrap_or(message)
}

/// The finding with what was seen behind the provider.
fn mended(patient: &Patient, supply: &Supply, finding: Finding) -> Finding {
    let Some(block) = &supply.block else { return finding };
    let cluster = &patient.service().cluster_arn;
    let of_provider = |field, value: &str| {
        Evidence::new(Call::DescribeCapacityProviders, supply.name, field, value)
    };
    let of_group = |field, value: &dyn ToString| {
        let group = supply.group.map_or("", |group| group.auto_scaling_group_name.as_str());
        Evidence::new(Call::DescribeAutoScalingGroups, group, field, value.to_string())
    };
    finding.because_all(match block {
        Block::NotOfCluster => {
            let status = supply
                .provider
                .and_then(|provider| provider.status.as_deref())
                .map(|status| of_provider("status", status));
            status
                .into_iter()
                .chain([Evidence::new(Call::DescribeClusters, cluster, "clusterArn", cluster)])
                .collect()
        }
        Block::NotActive(status) => vec![of_provider("status", status)],
        Block::UpdateFailed(reason) => vec![of_provider("updateStatusReason", reason)],
        Block::GroupGone(_) => {
            let arn =
                supply.provider.and_then(|provider| provider.auto_scaling_group_arn.as_deref());
            arn.map(|arn| of_provider("autoScalingGroupProvider.autoScalingGroupArn", arn))
                .into_iter()
                .collect()
        }
        Block::LaunchFailed(activity) => {
            let group = supply.group.map_or("", |group| group.auto_scaling_group_name.as_str());
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
        Block::NotManaged { desired } => {
            vec![
                of_provider("autoScalingGroupProvider.managedScaling.status", "DISABLED"),
                of_group("DesiredCapacity", desired),
            ]
        }
        Block::Unregistered { .. } => {
            let instances = supply.group.into_iter().flat_map(|group| &group.instances);
            instances
                .map(|instance| of_group("Instances.InstanceId", &instance.instance_id))
                .collect()
        }
    })
}

fn remedy(patient: &Patient, supply: &Supply) -> Remedy {
    let (name, cluster) = (supply.name, patient.cluster());
    let group = supply.group.map_or(Word::needed("AUTO_SCALING_GROUP"), |group| {
        Word::new(&group.auto_scaling_group_name)
    });
    let describe = aws!("ecs describe-capacity-providers --capacity-providers {}", name);
    let activities = aws!(
        "autoscaling describe-scaling-activities --auto-scaling-group-name {} --max-items 5",
        group
    );
    let Some(block) = &supply.block else {
        return Remedy::new("See why no instance comes.").cli(describe).cli(activities);
    };
    match block {
        Block::NotOfCluster | Block::NotActive(_) | Block::GroupGone(_) => {
            Remedy::new(
                "Give the cluster the capacity provider that the service names, or have the \
                 service name one that the cluster has.",
            )
            .cli(aws!(
                "ecs describe-clusters --clusters {} --query clusters[].capacityProviders",
                cluster
            ))
            .cli(describe)
            .terraform(hcl!(
                r#"
                resource "aws_ecs_cluster_capacity_providers" "cluster" {
                  cluster_name       = {}
                  capacity_providers = [{}]
                }"#,
                cluster,
                name
            ))
        }
        Block::UpdateFailed(_) => Remedy::new(
            "Mend what ECS says of the update, and update the capacity provider again.",
        )
        .cli(describe),
        Block::LaunchFailed(_) => Remedy::new(
            "Let the group use more instance types or zones (a mixed instances policy), or mend \
             what the message names: AMI, key pair, quota, role.",
        )
        .cli(aws!(
            "autoscaling update-auto-scaling-group --auto-scaling-group-name {} \
             --vpc-zone-identifier $SUBNET_ID,$OTHER_SUBNET_ID",
            group
        ))
        .terraform(hcl!(
            r#"
            # in aws_autoscaling_group
            mixed_instances_policy {
              launch_template {
                launch_template_specification {
                  launch_template_id = aws_launch_template.ecs.id
                }
                override { instance_type = "m6i.large" }
                override { instance_type = "m5.large" }
              }
            }"#
        )),
        Block::Suspended(process) => Remedy::new("Ask who suspended it and why, then resume it.")
            .cli(aws!(
                "autoscaling resume-processes --auto-scaling-group-name {} --scaling-processes {}",
                group,
                process.process_name
            )),
        Block::AtMaximum { maximum, .. } => {
            let more = *maximum + (*maximum).max(2) / 2;
            Remedy::new("Raise the maximum of the group, or ask for fewer or smaller tasks.")
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
            "Let ECS scale the group (managed scaling), or add instances by hand.",
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
        Block::Unregistered { .. } => Remedy::new(format!(
            "See why the agents do not register: ECS_CLUSTER={cluster} in the user data, an \
             instance profile with AmazonEC2ContainerServiceforEC2Role, an ECS-optimized AMI, and \
             a way to ECS on port 443."
        ))
        .cli(aws!("ecs list-container-instances --cluster {}", cluster))
        .cli(aws!(
            "autoscaling describe-auto-scaling-groups --auto-scaling-group-names {} \
             --query AutoScalingGroups[].Instances[]",
            group
        ))
        .terraform(hcl!(
            r##"
            # in aws_launch_template
            user_data = base64encode("#!/bin/bash\necho ECS_CLUSTER={} >> /etc/ecs/ecs.config\n")"##,
            cluster
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::GROUP, capacity::PROVIDER, minutes_ago};
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
        let expected = "Auto Scaling group web-asg of capacity provider web-instances is at its maximum (2 of 2 instances): ECS said so of web:12 38 min ago.";
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
    fn a_launch_that_failed_is_quoted_until_one_works() {
        let broken = waiting(12, |_, activities| activities.insert(0, failed(9)));
        assert!(says(CHECK, &broken)[0].starts_with(
            "Auto Scaling group web-asg of capacity provider web-instances could not launch an instance 9 min ago (\"We currently do not have sufficient \
             t3.medium capacity\"): a task"
        ));
        let mended = waiting(12, |_, activities| {
            activities.insert(0, failed(9));
            activities
                .insert(0, GroupActivity { status_code: Some("Successful".into()), ..failed(5) });
        });
        assert!(says(CHECK, &mended).is_empty());
        assert!(
            says(CHECK, &waiting(12, |_, activities| activities.insert(0, failed(90)))).is_empty(),
            "an hour ago is history"
        );
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
            "launches nothing, since its process Launch is suspended (\"User suspended\")"
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
        assert!(says(CHECK, &off)[0].starts_with("Nobody scales capacity provider web-instances"));
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
            says(CHECK, &foreign)[0]
                .starts_with("Cluster prod does not have capacity provider web-instances: ")
        );
        let mut lost = waiting(12, |_, _| ());
        lost.container_instances.put(&cluster, Vec::new());
        assert!(says(CHECK, &lost)[0].starts_with("Of 2 instances in service in Auto Scaling group web-asg only 0 registered with cluster prod: "));
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
                "Too many tasks of the cluster wait for instances: its limit is 500: ECS said so of web:12 38 min ago."
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
