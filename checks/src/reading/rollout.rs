//! The rollout: which deployment, at which stage, for how long, when it should end, what it would go back to.
//! The API has no start of a stage, so the last update stands for it; what is said with it is "about".

use jiff::{SignedDuration, Timestamp};

use crate::patient::Patient;
use crate::reading::time;
use crate::seen::Blind;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::service::DeploymentConfiguration;

/// How a strategy moves traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Rolling,
    BlueGreen,
    Linear,
    Canary,
    /// One that AWS has added since.
    Unknown,
}

impl Strategy {
    pub fn of(configuration: &DeploymentConfiguration) -> Strategy {
        match configuration.strategy.as_deref() {
            None | Some("ROLLING") => Strategy::Rolling,
            Some("BLUE_GREEN") => Strategy::BlueGreen,
            Some("LINEAR") => Strategy::Linear,
            Some("CANARY") => Strategy::Canary,
            Some(_) => Strategy::Unknown,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Strategy::Rolling => "rolling",
            Strategy::BlueGreen => "blue/green",
            Strategy::Linear => "linear",
            Strategy::Canary => "canary",
            Strategy::Unknown => "other",
        }
    }
}

/// Whether ECS itself runs the deployments; if not, CodeDeploy or an external controller does.
pub fn ecs_controls(patient: &Patient) -> bool {
    matches!(patient.service().deployment_controller.as_deref(), None | Some("ECS"))
}

/// The newest deployment, whatever came of it. What happened to older ones is history.
pub fn newest<'a>(patient: &Patient<'a>) -> Result<Option<&'a ServiceDeployment>, Blind> {
    Ok(patient.service_deployments()?.first())
}

/// The deployment that is under way.
pub fn under_way<'a>(patient: &Patient<'a>) -> Result<Option<&'a ServiceDeployment>, Blind> {
    Ok(newest(patient)?.filter(|deployment| is_under_way(deployment)))
}

pub fn is_under_way(deployment: &ServiceDeployment) -> bool {
    matches!(deployment.status.as_str(), "PENDING" | "IN_PROGRESS" | "STOP_REQUESTED" | "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS")
}

/// Whether ECS goes, or went, back from it to an older version.
pub fn is_rolled_back(deployment: &ServiceDeployment) -> bool {
    deployment.status.starts_with("ROLLBACK_")
}

pub fn started(deployment: &ServiceDeployment) -> Option<Timestamp> {
    deployment.started_at.or(deployment.created_at)
}

/// When its present stage began, about.
pub fn stage_began(deployment: &ServiceDeployment) -> Option<Timestamp> {
    deployment.updated_at.or(started(deployment))
}

/// Whether both versions may take traffic on purpose now.
pub fn shifts_traffic(deployment: &ServiceDeployment) -> bool {
    let stages = [
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
        "BAKE_TIME",
    ];
    deployment.lifecycle_stage.as_deref().is_some_and(|stage| stages.contains(&stage))
}

/// The bake that the present stage is configured to wait for.
pub fn bake(deployment: &ServiceDeployment) -> Option<SignedDuration> {
    let configured = &deployment.deployment_configuration;
    let weight = deployment.target_service_revision.as_ref().and_then(|revision| revision.requested_production_traffic_weight);
    match (deployment.lifecycle_stage.as_deref()?, Strategy::of(configured)) {
        ("BAKE_TIME", _) => configured.bake_time_in_minutes.map(time::minutes),
        ("PRODUCTION_TRAFFIC_SHIFT", _) if weight.is_some_and(|weight| weight <= 0.0 || weight >= 100.0) => None,
        // The defaults are those of the API.
        ("PRODUCTION_TRAFFIC_SHIFT", Strategy::Canary) => Some(time::minutes(configured.canary_bake_time_in_minutes.unwrap_or(10))),
        ("PRODUCTION_TRAFFIC_SHIFT", Strategy::Linear) => Some(time::minutes(configured.step_bake_time_in_minutes.unwrap_or(6))),
        _ => None,
    }
}

/// When the bake of the present stage ends, about.
pub fn bake_ends(deployment: &ServiceDeployment) -> Option<Timestamp> {
    Some(time::after(stage_began(deployment)?, bake(deployment)?))
}

/// All bakes of a deployment together.
pub fn all_bakes(configured: &DeploymentConfiguration) -> SignedDuration {
    let bake = time::minutes(configured.bake_time_in_minutes.unwrap_or(0));
    match Strategy::of(configured) {
        Strategy::Canary => bake + time::minutes(configured.canary_bake_time_in_minutes.unwrap_or(10)),
        Strategy::Linear => {
            let steps = (100.0 / configured.step_percent.unwrap_or(10.0).max(0.1)).ceil() as i32;
            bake + time::minutes(configured.step_bake_time_in_minutes.unwrap_or(6).saturating_mul(steps))
        }
        Strategy::Rolling | Strategy::BlueGreen | Strategy::Unknown => bake,
    }
}

/// How long a deployment may take before anybody should call it stuck: grace, bakes, draining, and ten minutes for
/// the rest; never less than 25 minutes.
pub fn patience(patient: &Patient, deployment: &ServiceDeployment, draining: SignedDuration) -> SignedDuration {
    let grace = time::seconds(patient.service().health_check_grace_period_seconds.unwrap_or(0));
    let whole = grace + all_bakes(&deployment.deployment_configuration) + draining + SignedDuration::from_mins(10);
    whole.max(SignedDuration::from_mins(25))
}

/// The short form of a deployment or revision ARN: its last part.
pub fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Whether the primary deployment is so young that an empty target group or a missing task says nothing yet.
pub fn just_began(patient: &Patient) -> bool {
    let began = patient.service().deployments.iter().filter(|deployment| deployment.status == "PRIMARY").find_map(|deployment| deployment.created_at);
    began.is_some_and(|began| time::age(patient.now(), began) < SignedDuration::from_mins(3))
}
