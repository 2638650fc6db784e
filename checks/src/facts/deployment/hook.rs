//! Lifecycle hooks of a deployment: what they are called, which have failed, and for which one the
//! deployment waits.

use crate::snapshot::ServiceDeployment;
use crate::snapshot::deployment::HookDetail;

/// `arn:aws:lambda:…:function:smoke-test:live` → `smoke-test`.
pub fn function_name(arn: &str) -> &str {
    arn.split_once(":function:").map_or(arn, |(_, rest)| rest.split(':').next().unwrap_or(rest))
}

/// The function of a Lambda hook, the id of a pause.
pub fn name(hook: &HookDetail) -> &str {
    hook.target_arn
        .as_deref()
        .map(function_name)
        .or(hook.hook_id.as_deref())
        .unwrap_or("without an id")
}

pub fn has_failed(hook: &HookDetail) -> bool {
    match hook.status.as_deref() {
        Some("FAILED") => true,
        Some("TIMED_OUT") => hook.timeout_action.as_deref() != Some("CONTINUE"),
        _ => false,
    }
}

/// The Lambda function that the deployment asks again and again, and that has not said yet whether
/// it may go on.
pub fn running(deployment: &ServiceDeployment) -> Option<&HookDetail> {
    let mut hooks = deployment.lifecycle_hook_details.iter();
    hooks.find(|hook| {
        hook.status.as_deref() == Some("IN_PROGRESS")
            && hook.target_type.as_deref() != Some("PAUSE")
    })
}
