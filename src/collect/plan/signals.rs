//! What CloudWatch measured, and the alarms that a deployment listens to.

use std::collections::BTreeSet;

use checks::facts::inbound::answers;
use checks::facts::tasks::scaling;
use checks::seen::Seen;
use checks::snapshot::metric::{Metric, Owner};
use checks::snapshot::{Table, TargetGroup};
use futures::future::{Shared, join, join_all};

use super::Plan;
use crate::collect::cloudwatch::Query;
use crate::collect::last;

impl Plan<'_> {
    pub(super) async fn alarms(&self) {
        let Some(alarms) = &self.service.deployment_configuration.alarms else { return };
        let names = self.fresh("alarm", alarms.alarm_names.clone());
        let histories = join_all(names.iter().map(|name| self.aws.alarm_history(name)));
        let (table, histories) = join(self.aws.alarms(&names), histories).await;
        self.note(|snapshot| {
            snapshot.alarms.0.extend(table.0);
            snapshot.alarm_history = Table(names.into_iter().zip(histories).collect());
        });
    }

    /// The alarms of scaling policies, where the tasks have more to do than they can.
    pub(super) async fn alarms_of_scaling(&self) {
        let names = self.fresh("alarm", self.examined(scaling::alarms_to_see));
        if !names.is_empty() {
            let table = self.aws.alarms(&names).await;
            self.note(|snapshot| snapshot.alarms.0.extend(table.0));
        }
    }

    /// Every metric of the last hour; and what was usual before, where errors fill that hour.
    pub(super) async fn metrics(&self, groups: Shared<impl Future<Output = Vec<TargetGroup>>>) {
        let groups = groups.await;
        // CloudWatch knows nothing of gateway load balancers that would matter here.
        let is_measured = |arn: &&String| {
            arn.contains(":loadbalancer/app/") || arn.contains(":loadbalancer/net/")
        };
        let balancers: BTreeSet<&String> =
            groups.iter().flat_map(|group| &group.load_balancer_arns).filter(is_measured).collect();
        let mut queries = Query::of_service(
            &self.service.service_arn,
            last(&self.service.cluster_arn),
            &self.service.service_name,
        );
        queries.extend(
            balancers.iter().enumerate().flat_map(|(index, arn)| Query::of_balancer(index, arn)),
        );
        queries.extend(groups.iter().enumerate().flat_map(|(index, group)| {
            let balancer = group.load_balancer_arns.iter().find(is_measured);
            balancer
                .map(|balancer| Query::of_group(index, &group.target_group_arn, balancer))
                .unwrap_or_default()
        }));
        let mut table = self.aws.metrics(&queries, self.now).await;
        // Where no load balancer sends traffic there is nothing to measure.
        for group in groups.iter().filter(|group| group.load_balancer_arns.is_empty()) {
            let of_group = Metric::ALL.iter().filter(|metric| metric.owner() == Owner::TargetGroup);
            of_group.for_each(|metric| {
                table.insert(metric.of(&group.target_group_arn), Seen::Yes(None))
            });
        }
        self.note(|snapshot| snapshot.metrics.0.extend(table.0));
        let lasting = self.examined(answers::without_beginning);
        queries.retain(|query| query.tells_usual_of(&lasting));
        if !queries.is_empty() {
            let before = self.aws.metrics_before(&queries, self.now).await;
            self.note(|snapshot| snapshot.metrics_before = before);
        }
    }
}
