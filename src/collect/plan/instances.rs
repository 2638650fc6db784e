//! The instances that are targets, because their tasks have no network interface of their own: each
//! instance's primary interface, and the security groups and the subnet that decide who reaches it.

use std::collections::BTreeSet;

use checks::facts::inbound::instance;
use checks::snapshot::{Snapshot, Target};
use futures::future::{Shared, join};

use super::Plan;
use crate::collect::known;

/// How many instances are looked at: as many as one call takes.
const INSTANCES: usize = 200;

impl Plan<'_> {
    pub(super) async fn instance_interfaces(&self, health: Shared<impl Future<Output = bool>>) {
        health.await;
        let mut targets: Vec<Target> = Vec::new();
        self.note(|snapshot: &mut Snapshot| {
            targets = known(&snapshot.target_health)
                .into_iter()
                .flatten()
                .filter(instance::is_one)
                .collect()
        });
        let instances = instances(&targets);
        if instances.is_empty() {
            return;
        }
        let table = self.aws.instance_interfaces(&instances).await;
        let interfaces = known(&table);
        self.note(|snapshot| snapshot.instance_interfaces = table);
        let subnets: BTreeSet<String> =
            interfaces.iter().filter_map(|interface| interface.subnet_id.clone()).collect();
        let groups: BTreeSet<String> =
            interfaces.into_iter().flat_map(|interface| interface.groups).collect();
        join(
            self.security_groups(groups.into_iter().collect()),
            self.subnets(subnets.into_iter().collect()),
        )
        .await;
    }
}

/// The instances of these targets, each once. Of very many those with trouble come first: what is
/// healthy can be reached.
fn instances(targets: &[Target]) -> Vec<String> {
    let mut instances: Vec<String> = Vec::new();
    let (healthy, troubled): (Vec<&Target>, Vec<&Target>) =
        targets.iter().partition(|target| target.state == "healthy");
    for id in troubled.into_iter().chain(healthy).map(|target| &target.id) {
        if instances.len() < INSTANCES && !instances.contains(id) {
            instances.push(id.clone());
        }
    }
    instances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_with_trouble_come_first_and_each_comes_once() {
        let target = |id: &str, state: &str| Target {
            id: id.into(),
            state: state.into(),
            ..Target::default()
        };
        assert_eq!(
            instances(&[
                target("i-1", "healthy"),
                target("i-2", "unhealthy"),
                target("i-2", "healthy")
            ]),
            ["i-2", "i-1"]
        );
        let mut many: Vec<Target> =
            (0..INSTANCES).map(|number| target(&format!("i-{number}"), "healthy")).collect();
        many.push(target("i-sick", "unhealthy"));
        let chosen = instances(&many);
        assert_eq!((chosen.len(), chosen[0].as_str()), (INSTANCES, "i-sick"));
    }
}
