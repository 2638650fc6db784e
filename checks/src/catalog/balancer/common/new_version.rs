//! The command that deploys a task definition which the user has corrected. Which field to change
//! is for each check to say.

use crate::command::Command;
use crate::patient::Patient;
use crate::{aws, words};

/// Express Mode takes the whole primary container; any other service the new revision of its task
/// definition.
pub fn deploy(patient: &Patient) -> Command {
    if patient.is_express() {
        aws!(
            "ecs update-express-gateway-service --service-arn {} \
             --primary-container file://primary-container.json",
            patient.arn()
        )
    } else {
        patient.update_service().and(words!("--task-definition $TASK_DEFINITION"))
    }
}
