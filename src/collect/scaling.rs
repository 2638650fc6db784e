//! What Application Auto Scaling tells of one service: the bounds, the policies, the schedules, and
//! what they did lately.

use aws_sdk_applicationautoscaling::types::{self, ScalableDimension, ServiceNamespace};
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{
    NotScaledReason, ScalableTarget, ScalingActivity, ScalingPolicy, ScheduledAction,
    SuspendedState,
};

use super::{Aws, text, time};

/// One page of activities, newest first: about the last hours of a busy service, and weeks of a
/// quiet one.
const ACTIVITIES: i32 = 50;

impl Aws {
    pub async fn scalable_target(&self, resource: &str) -> Seen<Option<ScalableTarget>> {
        let request = self
            .scaling
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_ids(resource)
            .send();
        let reply = self.asker.ask(Call::DescribeScalableTargets, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.scalable_targets?.into_iter().next()).map(scalable_target)
        })
    }

    pub async fn scaling_policies(&self, resource: &str) -> Seen<Option<Vec<ScalingPolicy>>> {
        let pages = self.asker.pages(Call::DescribeScalingPolicies, |token| async {
            let request = self
                .scaling
                .describe_scaling_policies()
                .service_namespace(ServiceNamespace::Ecs)
                .resource_id(resource);
            let page = request
                .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.scaling_policies.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|found| found.map(|found| found.into_iter().map(scaling_policy).collect()))
    }

    /// What was done, and what was tried and not done, newest first.
    pub async fn scaling_activities(&self, resource: &str) -> Seen<Option<Vec<ScalingActivity>>> {
        let request = self
            .scaling
            .describe_scaling_activities()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .include_not_scaled_activities(true)
            .max_results(ACTIVITIES)
            .send();
        self.asker.ask(Call::DescribeScalingActivities, request).await.map(|reply| {
            let mut activities: Vec<ScalingActivity> = reply?
                .scaling_activities
                .unwrap_or_default()
                .into_iter()
                .map(scaling_activity)
                .collect();
            activities.sort_by_key(|activity| std::cmp::Reverse(activity.start_time));
            Some(activities)
        })
    }

    pub async fn scheduled_actions(&self, resource: &str) -> Seen<Option<Vec<ScheduledAction>>> {
        let pages = self.asker.pages(Call::DescribeScheduledActions, |token| async {
            let request = self
                .scaling
                .describe_scheduled_actions()
                .service_namespace(ServiceNamespace::Ecs)
                .resource_id(resource);
            let page = request
                .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.scheduled_actions.unwrap_or_default(), page.next_token))
        });
        pages
            .await
            .map(|found| found.map(|found| found.into_iter().map(scheduled_action).collect()))
    }
}

fn scalable_target(from: types::ScalableTarget) -> ScalableTarget {
    let suspended = from.suspended_state;
    let is = |part: fn(&types::SuspendedState) -> Option<bool>| {
        suspended.as_ref().and_then(part).unwrap_or(false)
    };
    ScalableTarget {
        resource_id: from.resource_id,
        min_capacity: from.min_capacity,
        max_capacity: from.max_capacity,
        suspended_state: SuspendedState {
            dynamic_scaling_in_suspended: is(|state| state.dynamic_scaling_in_suspended),
            dynamic_scaling_out_suspended: is(|state| state.dynamic_scaling_out_suspended),
            scheduled_scaling_suspended: is(|state| state.scheduled_scaling_suspended),
        },
    }
}

fn scaling_policy(from: types::ScalingPolicy) -> ScalingPolicy {
    let tracking = from.target_tracking_scaling_policy_configuration;
    let tracking = tracking.as_ref();
    let predefined =
        tracking.and_then(|tracking| tracking.predefined_metric_specification.as_ref());
    let customized =
        tracking.and_then(|tracking| tracking.customized_metric_specification.as_ref());
    ScalingPolicy {
        policy_name: from.policy_name,
        policy_type: text(Some(from.policy_type)).unwrap_or_default(),
        target_value: tracking.map(|tracking| tracking.target_value),
        predefined_metric_type: predefined
            .and_then(|metric| text(Some(&metric.predefined_metric_type))),
        metric_name: customized.and_then(|metric| metric.metric_name.clone()),
        resource_label: predefined.and_then(|metric| metric.resource_label.clone()),
        target_groups: customized.map(watched_groups).unwrap_or_default(),
        alarm_names: from
            .alarms
            .unwrap_or_default()
            .into_iter()
            .map(|alarm| alarm.alarm_name)
            .collect(),
    }
}

/// The target groups among the dimensions of a metric, or of those that an expression is made of.
fn watched_groups(metric: &types::CustomizedMetricSpecification) -> Vec<String> {
    let own = metric.dimensions().iter().map(|one| (&one.name, &one.value));
    let queried = metric.metrics().iter().filter_map(|query| query.metric_stat()?.metric());
    let queried = queried.flat_map(|metric| metric.dimensions()).map(|one| (&one.name, &one.value));
    let groups = own.chain(queried).filter(|(name, _)| *name == "TargetGroup");
    groups.map(|(_, value)| value.clone()).collect()
}

fn scaling_activity(from: types::ScalingActivity) -> ScalingActivity {
    let reason = |from: types::NotScaledReason| NotScaledReason {
        code: from.code,
        max_capacity: from.max_capacity,
    };
    ScalingActivity {
        activity_id: from.activity_id,
        description: from.description,
        cause: from.cause,
        start_time: time(Some(from.start_time)),
        status_code: text(Some(from.status_code)).unwrap_or_default(),
        status_message: from.status_message,
        not_scaled_reasons: from
            .not_scaled_reasons
            .unwrap_or_default()
            .into_iter()
            .map(reason)
            .collect(),
    }
}

fn scheduled_action(from: types::ScheduledAction) -> ScheduledAction {
    let bounds = from.scalable_target_action.as_ref();
    ScheduledAction {
        scheduled_action_name: from.scheduled_action_name,
        schedule: from.schedule,
        timezone: from.timezone,
        min_capacity: bounds.and_then(|bounds| bounds.min_capacity),
        max_capacity: bounds.and_then(|bounds| bounds.max_capacity),
    }
}
