//! Tasks that a deployment has to stop and that may be protected from it: those of older
//! deployments. The collector asks about just these, so a service without a deployment under way
//! costs no call.

use crate::snapshot::{Service, Task};

/// How many tasks one call takes.
const AT_ONCE: usize = 100;

/// The running tasks of other deployments than the primary one.
pub fn old_tasks<'a>(service: &Service, running: &'a [Task]) -> Vec<&'a Task> {
    let Some(primary) = service.primary() else { return Vec::new() };
    let is_old = |task: &&Task| {
        task.started_by.as_deref().is_some_and(|by| by.starts_with("ecs-svc/") && by != primary.id)
    };
    running.iter().filter(is_old).take(AT_ONCE).collect()
}
