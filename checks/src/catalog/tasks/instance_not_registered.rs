//! Instances run and ECS cannot use them: they never joined the cluster, or do not belong to a
//! capacity provider of the service. Instances that cannot be launched are for
//! `instance_launch_failed`; agents that lost their connection, for `agent_disconnected`.

use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::capacity::{Block, Supply};
use crate::facts::tasks::shortage;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::ContainerInstance;
use crate::text::{and_list, count, plural};
use crate::{aws, hcl};

crate::check! {
    /// EC2 instances run for the service's tasks, and ECS places no task on them: they did not
    /// register with the cluster, or they belong to no capacity provider.
    ///
    /// # Why it matters
    ///
    /// Tasks wait for instances that already exist and cost money. Auto Scaling sees healthy
    /// instances and launches no more.
    ///
    /// # How we tell
    ///
    /// Tasks wait for an instance, and instances of the Auto Scaling group have been `InService`
    /// for ten minutes without being among the container instances of the cluster. Or container
    /// instances are active and have no `capacityProviderName`, while the service's strategy names
    /// a provider that has none: ECS assigns an instance only when it registers, and only if the
    /// provider's own group launched it. Where the service names no provider, the groups of the
    /// cluster's providers are checked. Instances that were just launched do not count.
    ///
    /// # What to do
    ///
    /// Use an ECS-optimized AMI, set `ECS_CLUSTER` in the user data, and give the instances an
    /// instance profile that allows them to register and a route to ECS on port 443. Replace
    /// instances that belong to no provider:
    ///
    /// ```sh
    /// aws ecs list-container-instances --cluster <cluster>
    /// aws autoscaling start-instance-refresh --auto-scaling-group-name <group>
    /// ```
    ///
    /// Terraform/OpenTofu: `user_data` and `image_id` in `aws_launch_template`.
    ///
    /// # See also
    ///
    /// `instance_launch_failed`, `capacity_provider_empty`, `agent_disconnected`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/launch_container_instance.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html>
    title: "Instances run and ECS cannot use them",
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
        crate::baseline::lack_tasks(snapshot);
        crate::baseline::capacity::provide(snapshot);
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.put(cluster, Vec::new());
        crate::baseline::say(
            snapshot,
            38,
            "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider. See details in the troubleshooting section.",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for shortage in shortage::each(patient, findings)? {
        let (claim, remedy) = match shortage.blocked() {
            Some((supply, Block::Unregistered { in_service, missing })) => (
                unregistered(patient, supply, *in_service, missing),
                register(patient, supply, missing),
            ),
            Some((supply, Block::OfNoProvider(instances))) => {
                (of_no_provider(patient, supply, instances), replace(patient, supply, instances))
            }
            _ => continue,
        };
        findings.add(shortage.finding(patient, &claim).mend(remedy));
    }
    Ok(())
}

fn unregistered(patient: &Patient, supply: &Supply, in_service: usize, missing: &[&str]) -> String {
    let group = supply.group_name().unwrap_or_default();
    let which = match (missing.len(), in_service) {
        (1, 1) => "the only instance".to_owned(),
        (missing, all) if missing == all => format!("none of the {all} instances"),
        (missing, all) => format!("only {} of {all} instances", all - missing),
    };
    let cluster = patient.cluster();
    match (missing.len(), in_service) {
        (1, 1) => format!(
            "{which} in service in Auto Scaling group {group} ({}) did not register with cluster {cluster}",
            missing.join(", ")
        ),
        _ => format!(
            "{which} in service in Auto Scaling group {group} registered with cluster {cluster}"
        ),
    }
}

fn register(patient: &Patient, supply: &Supply, missing: &[&str]) -> Remedy {
    let cluster = patient.cluster();
    let group = supply.group_name().unwrap_or_default();
    Remedy::new(format!(
        "Find out why the agents do not register. They need an ECS-optimized AMI, ECS_CLUSTER={cluster} in the user data (without it they join the cluster default), an instance profile with AmazonEC2ContainerServiceforEC2Role, and a route to ECS on port 443. Then replace the instances."
    ))
    .cli(aws!("ecs list-container-instances --cluster default"))
    .cli(aws!("ec2 describe-instances --instance-ids").args(missing).and(crate::words!(
        "--query Reservations[].Instances[].[ImageId,SubnetId,IamInstanceProfile.Arn]"
    )))
    .cli(aws!("autoscaling start-instance-refresh --auto-scaling-group-name {}", group))
    .terraform(hcl!(
        r##"
        # in aws_launch_template
        user_data = base64encode("#!/bin/bash\necho ECS_CLUSTER={} >> /etc/ecs/ecs.config\n")"##,
        cluster
    ))
}

fn of_no_provider(patient: &Patient, supply: &Supply, instances: &[&ContainerInstance]) -> String {
    let names = and_list(instances.iter().map(|instance| instance.name()));
    let belong = plural(instances.len(), "belongs", "belong");
    format!(
        "{} of cluster {} ({names}) {belong} to no capacity provider, and the service's strategy uses only {}",
        count(instances.len(), "instance"),
        patient.cluster(),
        supply.name
    )
}

fn replace(patient: &Patient, supply: &Supply, instances: &[&ContainerInstance]) -> Remedy {
    let summary = format!(
        "Replace the instances: ECS assigns an instance to {} only when the provider's Auto Scaling group launches it. Until then, the service can use them with launch type EC2.",
        supply.name
    );
    let drain = aws!("ecs update-container-instances-state --cluster {}", patient.cluster())
        .and(crate::words!("--status DRAINING --container-instances"))
        .args(instances.iter().map(|instance| instance.id()));
    let remedy = Remedy::new(summary).cli(drain);
    let remedy = match supply.group_name() {
        Some(group) => remedy
            .cli(aws!("autoscaling start-instance-refresh --auto-scaling-group-name {}", group)),
        None => remedy,
    };
    remedy.terraform(hcl!(
        r#"
        resource "aws_autoscaling_group" {} {
          tag {
            key                 = "AmazonECSManaged"
            value               = true
            propagate_at_launch = true
          }
        }"#,
        supply.group_name().unwrap_or("ecs")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::GROUP, capacity::PROVIDER, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{GroupActivity, Snapshot};
    use crate::testing::{exam, says};

    fn instances(snapshot: &mut Snapshot) -> &mut Vec<ContainerInstance> {
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.change(&cluster).unwrap()
    }

    /// The example, with instances that registered.
    fn registered() -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let mut healthy = baseline::ec2();
        baseline::capacity::provide(&mut healthy);
        *instances(&mut snapshot) = instances(&mut healthy).clone();
        snapshot
    }

    fn launched(snapshot: &mut Snapshot, minutes: i64) {
        let launch = GroupActivity {
            description: Some("Launching a new EC2 instance: i-0a1b2c3d4e5f60001".into()),
            status_code: Some("Successful".into()),
            start_time: Some(minutes_ago(minutes)),
            ..GroupActivity::default()
        };
        snapshot.group_activities.put(GROUP, vec![launch]);
    }

    #[test]
    fn counts_those_that_never_registered() {
        let said = says(CHECK, &(CHECK.example)());
        assert_eq!(
            said,
            [
                "None of the 2 instances in service in Auto Scaling group web-asg registered with cluster prod: ECS could not place a task of web:12, the \
                 last time 38 min ago."
            ]
        );
        let mut one = registered();
        instances(&mut one).truncate(1);
        assert!(says(CHECK, &one)[0].starts_with("Only 1 of 2 instances in service in"));
    }

    #[test]
    fn the_groups_of_the_cluster_count_where_the_service_names_none() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].capacity_providers.clear();
        snapshot.services[0].launch_type = Some("EC2".into());
        snapshot.services[0].events[0].message =
            "(service web) was unable to place a task because no container instance met all of its requirements. Reason: No Container Instances were found in your cluster."
                .into();
        assert!(says(CHECK, &snapshot)[0].starts_with("None of the 2 instances in service"));
        snapshot.services[0].launch_type = Some("EXTERNAL".into());
        assert!(says(CHECK, &snapshot).is_empty(), "external instances come from nowhere");
    }

    #[test]
    fn instances_of_no_provider_are_of_no_use_to_a_strategy() {
        let mut snapshot = registered();
        instances(&mut snapshot).iter_mut().for_each(|one| one.capacity_provider_name = None);
        let said = says(CHECK, &snapshot);
        assert!(
            said[0].starts_with(
                "2 instances of cluster prod (i-0a1b2c3d4e5f60002 and i-0a1b2c3d4e5f60001) belong to no capacity provider, and the service's strategy uses \
                 only web-instances: "
            ),
            "{said:?}"
        );
        instances(&mut snapshot)[0].capacity_provider_name = Some(PROVIDER.into());
        assert!(says(CHECK, &snapshot).is_empty(), "the provider has one of its own");
    }

    #[test]
    fn instances_of_another_provider_are_that_one_s() {
        let mut snapshot = registered();
        instances(&mut snapshot)
            .iter_mut()
            .for_each(|one| one.capacity_provider_name = Some("gpu".into()));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn an_instance_that_was_just_launched_is_on_its_way() {
        let mut snapshot = (CHECK.example)();
        launched(&mut snapshot, 4);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        launched(&mut snapshot, 12);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_service_that_lacks_nothing_asks_nothing() {
        let mut snapshot = baseline::ec2();
        baseline::capacity::provide(&mut snapshot);
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.put(cluster, Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_instances_are_not_missing() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.insert(cluster, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
