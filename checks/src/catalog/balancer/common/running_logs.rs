//! Where to read on when an app answers badly: what its tasks log, by a command. What the program
//! itself read of these logs is for other checks.

use crate::aws;
use crate::facts::tasks::container_log;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::seen::{See, Unseen};

/// The remedy with a command for each log group of the service's containers; where none is known,
/// with one that lists the tasks.
pub fn read_on(remedy: Remedy, patient: &Patient) -> Remedy {
    // The commands are worth showing without what is not known.
    let groups = Unseen::default().see(container_log::groups(patient)).unwrap_or_default();
    if groups.is_empty() {
        let (cluster, service) = (patient.cluster(), patient.name());
        return remedy.cli(aws!("ecs list-tasks --cluster {} --service-name {}", cluster, service));
    }
    groups
        .into_iter()
        .map(|group| aws!("logs tail {} --since 30m", group))
        .fold(remedy, Remedy::cli)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::testing::of;

    #[test]
    fn names_the_log_groups_or_the_tasks() {
        let mut snapshot = baseline::fargate();
        let said = |snapshot: &_| {
            of(snapshot, |patient| read_on(Remedy::new(""), patient)).shell().remove(0)
        };
        assert!(said(&snapshot).starts_with("aws logs tail /ecs/"), "{}", said(&snapshot));
        snapshot.task_definitions.0.clear();
        assert_eq!(said(&snapshot), "aws ecs list-tasks --cluster prod --service-name api");
    }
}
