//! What scales the healthy services: target tracking by CPU for those behind a load balancer on
//! Fargate, nothing for the others.

use super::minutes_ago;
use crate::snapshot::{ScalableTarget, ScalingActivity, ScalingPolicy, Snapshot};

/// `count`: how many tasks a service has that is scaled; none for one that is not.
pub(super) fn add(snapshot: &mut Snapshot, count: Option<i32>) {
    use crate::seen::Seen;
    let arn = snapshot.services[0].service_arn.clone();
    let Some(count) = count else {
        snapshot.scalable_targets.insert(arn, Seen::Yes(None));
        return;
    };
    let resource_id =
        format!("service/{}", arn.split_once(":service/").map_or("", |(_, name)| name));
    snapshot.scalable_targets.put(
        &arn,
        ScalableTarget {
            resource_id,
            min_capacity: count,
            max_capacity: 10,
            ..ScalableTarget::default()
        },
    );
    snapshot.scaling_policies.put(
        &arn,
        vec![ScalingPolicy {
            policy_name: "cpu".into(),
            policy_type: "TargetTrackingScaling".into(),
            target_value: Some(60.0),
            predefined_metric_type: Some("ECSServiceAverageCPUUtilization".into()),
            alarm_names: vec!["TargetTracking-service/prod/api-AlarmHigh-92d0f1ab".into()],
            ..ScalingPolicy::default()
        }],
    );
    snapshot.scaling_activities.put(
        &arn,
        vec![ScalingActivity {
            activity_id: "e6c5f7d1-0000-4000-8000-000000000001".into(),
            description: format!("Setting desired count to {count}."),
            cause: "monitor alarm TargetTracking-service/prod/api-AlarmLow-5b1c7f02 in state ALARM triggered policy cpu".into(),
            start_time: Some(minutes_ago(9 * 60)),
            status_code: "Successful".into(),
            status_message: Some(format!("Successfully set desired count to {count}. Change successfully fulfilled by ecs.")),
            not_scaled_reasons: Vec::new(),
        }],
    );
}

/// Lets auto scaling be refused: it wanted more than its maximum, which all tasks of the service
/// make up.
pub fn refuse_more(snapshot: &mut Snapshot, minutes: i64) {
    use crate::snapshot::NotScaledReason;
    let (arn, desired) =
        (snapshot.services[0].service_arn.clone(), snapshot.services[0].desired_count);
    snapshot
        .scalable_targets
        .change(&arn)
        .into_iter()
        .for_each(|target| target.max_capacity = desired);
    let refused = ScalingActivity {
        activity_id: "e6c5f7d1-0000-4000-8000-000000000002".into(),
        description: "Attempting to scale due to alarm triggered".into(),
        cause: "monitor alarm TargetTracking-service/prod/api-AlarmHigh-92d0f1ab in state ALARM triggered policy cpu".into(),
        start_time: Some(minutes_ago(minutes)),
        status_code: "Failed".into(),
        not_scaled_reasons: vec![NotScaledReason { code: "AlreadyAtMaxCapacity".into(), max_capacity: Some(desired) }],
        ..ScalingActivity::default()
    };
    snapshot
        .scaling_activities
        .change(&arn)
        .into_iter()
        .for_each(|activities| activities.insert(0, refused.clone()));
}
