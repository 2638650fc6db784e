//! The other services of the cluster, and the versions that they run: to tell whether anybody but
//! them calls the service by its public name. Asked only where clients come in by a load balancer,
//! and never of a large cluster.

use checks::facts::peers::callers;
use checks::seen::Seen;
use checks::snapshot::{Service, Sibling};

use super::Plan;
use crate::collect::{fill, list, take};

impl Plan<'_> {
    pub(super) async fn cluster_services(&self) {
        if self.service.load_balancers.is_empty() && !self.is_express() {
            return;
        }
        let cluster = &self.service.cluster_arn;
        let remembered = take(&mut self.aws.memory().services, cluster);
        let listed = match remembered {
            Some(listed) => listed,
            None => self.aws.cluster_services(cluster).await,
        };
        let own = &self.service.service_arn;
        let others: Vec<String> = match &listed {
            Seen::Yes(Some(listed)) if !callers::are_too_many(listed, own) => {
                listed.service_arns.iter().filter(|arn| *arn != own).cloned().collect()
            }
            Seen::Yes(_) | Seen::No(_) => Vec::new(),
        };
        self.note(|snapshot| snapshot.cluster_services.insert(cluster, listed));
        if others.is_empty() {
            return;
        }
        let described = self.aws.services(cluster, &others).await;
        let siblings = described
            .map(|services| services.into_iter().flatten().map(sibling).collect::<Vec<_>>());
        let active = list(&siblings).into_iter().filter(|sibling| sibling.status == "ACTIVE");
        let definitions = active.filter_map(|sibling| sibling.task_definition).collect();
        self.note(|snapshot| {
            fill(&mut snapshot.siblings, &others, siblings, |sibling| &sibling.service_arn)
        });
        self.definitions(definitions).await;
    }
}

fn sibling(from: Service) -> Sibling {
    let Service { service_arn, service_name, status, task_definition, load_balancers, .. } = from;
    let groups = load_balancers
        .into_iter()
        .flat_map(|own| [own.target_group_arn, own.alternate_target_group_arn]);
    let target_groups = Some(groups.flatten().collect());
    Sibling { service_arn, service_name, status, task_definition, target_groups }
}
