//! What scales the service. Most have no auto scaling, and cost one call.

use checks::facts::tasks::scaling::{needs_schedule, resource};
use checks::seen::Seen;
use futures::future::join3;

use super::Plan;

impl Plan<'_> {
    pub(super) async fn scaling(&self) {
        let (service, arn) = (self.service, &self.service.service_arn);
        let Some(resource) = resource(service) else { return };
        let target = self.aws.scalable_target(&resource).await;
        self.note(|snapshot| snapshot.scalable_targets.insert(arn, target.clone()));
        // Without bounds there is nothing else; and where they were refused, no check asks any
        // further.
        let Seen::Yes(Some(bounds)) = target else { return };
        let activities = self.aws.scaling_activities(&resource);
        let activities = self.keep(|s| &mut s.scaling_activities, arn, activities);
        let at_once = needs_schedule(service, &bounds);
        let policies = async {
            let policies = self.aws.scaling_policies(&resource).await;
            let none = matches!(&policies, Seen::Yes(policies) if policies.iter().flatten().next().is_none());
            self.note(|snapshot| snapshot.scaling_policies.insert(arn, policies));
            if none && !at_once {
                self.schedule(&resource).await;
            }
        };
        let schedule = async {
            if at_once {
                self.schedule(&resource).await;
            }
        };
        join3(activities, policies, schedule).await;
    }

    async fn schedule(&self, resource: &str) {
        let schedule = self.aws.scheduled_actions(resource);
        self.keep(|s| &mut s.scheduled_actions, &self.service.service_arn, schedule).await;
    }
}
