//! The instances under the EC2 service, with room to spare, and a capacity provider that could
//! bring more. The collector asks for them only while a service lacks tasks, so healthy checks
//! never look at them.

use super::{NOW, id, minutes_ago};
use crate::snapshot::capacity::{GroupInstance, ManagedScaling, Resources};
use crate::snapshot::{
    AutoScalingGroup, CapacityProvider, Cluster, ContainerInstance, GroupActivity, Snapshot,
};

/// The name of the capacity provider, and of the group behind it.
pub const PROVIDER: &str = "web-instances";
pub const GROUP: &str = "web-asg";

/// The container instance that runs the first task.
pub fn instance(digit: u8) -> String {
    id::ecs(&format!("container-instance/prod/{}", id::task(digit)))
}

pub(super) fn put(snapshot: &mut Snapshot) {
    let cluster = snapshot.services[0].cluster_arn.clone();
    let instances =
        [(7, "i-0a1b2c3d4e5f60002", "eu-west-2b"), (8, "i-0a1b2c3d4e5f60001", "eu-west-2a")].map(
            |(digit, name, zone)| ContainerInstance {
                container_instance_arn: instance(digit),
                ec2_instance_id: Some(name.into()),
                status: "ACTIVE".into(),
                agent_connected: true,
                agent_version: Some("1.89.2".into()),
                overall_status: Some("OK".into()),
                running_tasks_count: 1,
                registered_at: Some(minutes_ago(30 * 1440)),
                registered_resources: resources(2048, 3884),
                remaining_resources: resources(1792, 3372),
                attributes: [
                    ("ecs.availability-zone", zone),
                    ("ecs.instance-type", "t3.medium"),
                    ("ecs.os-type", "linux"),
                ]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
                ..ContainerInstance::default()
            },
        );
    snapshot.container_instances.put(&cluster, instances.into());
    let row = Cluster {
        cluster_arn: cluster.clone(),
        status: Some("ACTIVE".into()),
        capacity_providers: vec!["FARGATE".into()],
    };
    snapshot.clusters.put(cluster, row);
}

fn resources(cpu: i32, memory: i32) -> Resources {
    Resources {
        cpu: Some(cpu),
        memory: Some(memory),
        ports: ["22", "2375", "2376", "51678", "51679"].map(String::from).into(),
        ..Resources::default()
    }
}

/// Lets a capacity provider bring the service's instances: its group has one in service and may
/// have four.
pub fn provide(snapshot: &mut Snapshot) {
    let cluster = snapshot.services[0].cluster_arn.clone();
    snapshot.services[0].capacity_providers = vec![PROVIDER.into()];
    snapshot.services[0].launch_type = None;
    let instances = snapshot.container_instances.change(&cluster).into_iter().flatten();
    let members = instances.map(|instance| {
        instance.capacity_provider_name = Some(PROVIDER.into());
        GroupInstance {
            instance_id: instance.ec2_instance_id.clone().unwrap_or_default(),
            lifecycle_state: Some("InService".into()),
            instance_type: Some("t3.medium".into()),
        }
    });
    let members: Vec<GroupInstance> = members.collect();
    snapshot.clusters.put(
        &cluster,
        Cluster {
            cluster_arn: cluster.clone(),
            status: Some("ACTIVE".into()),
            capacity_providers: vec!["FARGATE".into(), PROVIDER.into()],
        },
    );
    snapshot.capacity_providers.put(
        PROVIDER,
        CapacityProvider {
            name: PROVIDER.into(),
            status: Some("ACTIVE".into()),
            update_status: None,
            update_status_reason: None,
            auto_scaling_group_arn: Some(format!(
                "arn:aws:autoscaling:eu-west-2:123456789012:autoScalingGroup:1f2e3d4c:autoScalingGroupName/{GROUP}"
            )),
            managed_scaling: Some(ManagedScaling { status: Some("ENABLED".into()), target_capacity: Some(100) }),
        },
    );
    snapshot.auto_scaling_groups.put(
        GROUP,
        AutoScalingGroup {
            auto_scaling_group_name: GROUP.into(),
            min_size: Some(0),
            max_size: Some(4),
            desired_capacity: Some(members.len() as i32),
            instances: members,
            ..AutoScalingGroup::default()
        },
    );
    let launched = GroupActivity {
        activity_id: "0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f".into(),
        description: Some("Launching a new EC2 instance: i-0a1b2c3d4e5f60001".into()),
        status_code: Some("Successful".into()),
        status_message: None,
        start_time: Some(NOW - jiff::SignedDuration::from_hours(30 * 24)),
    };
    snapshot.group_activities.put(GROUP, vec![launched]);
}
