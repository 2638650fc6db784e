//! What EC2 Auto Scaling tells of the groups behind capacity providers: their size, and what they
//! did last.

use aws_sdk_autoscaling::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::capacity::{GroupInstance, SuspendedProcess};
use checks::snapshot::{AutoScalingGroup, GroupActivity, Table};

use super::{Aws, fill, text, time};

/// How many of the newest activities tell why no instance comes.
const ACTIVITIES: i32 = 10;

impl Aws {
    pub async fn auto_scaling_groups(&self, names: &[String]) -> Table<AutoScalingGroup> {
        let mut table = Table::default();
        let request = self
            .autoscaling
            .describe_auto_scaling_groups()
            .set_auto_scaling_group_names(Some(names.to_vec()))
            .send();
        let reply = self.asker.ask(Call::DescribeAutoScalingGroups, request).await;
        let found = reply.map(|reply| {
            reply
                .and_then(|reply| reply.auto_scaling_groups)
                .unwrap_or_default()
                .into_iter()
                .map(group)
                .collect()
        });
        fill(&mut table, names, found, |group| &group.auto_scaling_group_name);
        table
    }

    /// What a group did last, newest first.
    pub async fn group_activities(&self, group: &str) -> Seen<Option<Vec<GroupActivity>>> {
        let request = self
            .autoscaling
            .describe_scaling_activities()
            .auto_scaling_group_name(group)
            .max_records(ACTIVITIES)
            .send();
        self.asker.ask(Call::DescribeGroupActivities, request).await.map(|reply| {
            let mut activities: Vec<_> =
                reply?.activities.unwrap_or_default().into_iter().map(activity).collect();
            activities.sort_by_key(|activity| std::cmp::Reverse(activity.start_time));
            Some(activities)
        })
    }
}

fn group(from: types::AutoScalingGroup) -> AutoScalingGroup {
    AutoScalingGroup {
        auto_scaling_group_name: from.auto_scaling_group_name.unwrap_or_default(),
        min_size: from.min_size,
        max_size: from.max_size,
        desired_capacity: from.desired_capacity,
        instances: from.instances.unwrap_or_default().into_iter().map(instance).collect(),
        suspended_processes: from
            .suspended_processes
            .unwrap_or_default()
            .into_iter()
            .map(suspended)
            .collect(),
        status: from.status,
    }
}

fn instance(from: types::Instance) -> GroupInstance {
    GroupInstance {
        instance_id: from.instance_id.unwrap_or_default(),
        lifecycle_state: text(from.lifecycle_state),
        instance_type: from.instance_type,
    }
}

fn suspended(from: types::SuspendedProcess) -> SuspendedProcess {
    SuspendedProcess {
        process_name: from.process_name.unwrap_or_default(),
        suspension_reason: from.suspension_reason,
    }
}

fn activity(from: types::Activity) -> GroupActivity {
    GroupActivity {
        activity_id: from.activity_id.unwrap_or_default(),
        description: from.description,
        status_code: text(from.status_code),
        status_message: from.status_message,
        start_time: time(from.start_time),
    }
}
