//! The rollout: which deployment, at which stage, for how long, when it should end, what it would
//! go back to. The API has no start of a stage, so the last update stands for it; what is said with
//! it is "about".

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::time;
use crate::call::{Call, quote};
use crate::facts::inbound::traffic;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::service::{CircuitBreaker, DeploymentConfiguration};
use crate::text::{parsed, printed_as_in_json};

/// How a deployment moves traffic from the old version to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Tasks are replaced bit by bit; traffic follows them.
    Rolling,
    /// All traffic at once, when the new version is there as a whole.
    #[serde(rename = "blue/green")]
    BlueGreen,
    /// In equal steps.
    Linear,
    /// A small part first, then the rest.
    Canary,
    /// One that AWS has added since.
    #[serde(rename = "other")]
    Unknown,
}

printed_as_in_json!(Strategy);

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
}

/// Whether ECS itself runs the deployments; if not, CodeDeploy or an external controller does.
pub fn ecs_controls(patient: &Patient) -> bool {
    matches!(patient.service().deployment_controller.as_deref(), None | Some("ECS"))
}

/// Why the checks of deployments do not apply where ECS does not run them.
pub const OTHER_CONTROLLER: &str = "CodeDeploy or an external controller deploys";

/// The newest deployment, whatever came of it. What happened to older ones is history.
pub fn newest<'a>(patient: &Patient<'a>) -> Result<Option<&'a ServiceDeployment>, Blind> {
    Ok(patient.service_deployments()?.first())
}

/// The deployment that is under way.
pub fn under_way<'a>(patient: &Patient<'a>) -> Result<Option<&'a ServiceDeployment>, Blind> {
    Ok(newest(patient)?.filter(|deployment| is_under_way(deployment)))
}

pub fn is_under_way(deployment: &ServiceDeployment) -> bool {
    matches!(
        deployment.status.as_str(),
        "PENDING"
            | "IN_PROGRESS"
            | "STOP_REQUESTED"
            | "ROLLBACK_REQUESTED"
            | "ROLLBACK_IN_PROGRESS"
    )
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
    let weight = deployment
        .target_service_revision
        .as_ref()
        .and_then(|revision| revision.requested_production_traffic_weight);
    match (deployment.lifecycle_stage.as_deref()?, Strategy::of(configured)) {
        ("BAKE_TIME", _) => configured.bake_time_in_minutes.map(time::minutes),
        ("PRODUCTION_TRAFFIC_SHIFT", _)
            if weight.is_some_and(|weight| weight <= 0.0 || weight >= 100.0) =>
        {
            None
        }
        // The defaults are those of the API.
        ("PRODUCTION_TRAFFIC_SHIFT", Strategy::Canary) => {
            Some(time::minutes(configured.canary_bake_time_in_minutes.unwrap_or(10)))
        }
        ("PRODUCTION_TRAFFIC_SHIFT", Strategy::Linear) => {
            Some(time::minutes(configured.step_bake_time_in_minutes.unwrap_or(6)))
        }
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
        Strategy::Canary => {
            bake + time::minutes(configured.canary_bake_time_in_minutes.unwrap_or(10))
        }
        Strategy::Linear => {
            let steps = (100.0 / configured.step_percent.unwrap_or(10.0).max(0.1)).ceil() as i32;
            bake + time::minutes(
                configured.step_bake_time_in_minutes.unwrap_or(6).saturating_mul(steps),
            )
        }
        Strategy::Rolling | Strategy::BlueGreen | Strategy::Unknown => bake,
    }
}

/// A bake: ECS waits on purpose, to see whether an alarm fires before it calls the deployment done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bake {
    pub length: SignedDuration,
    /// About: it is counted from the last update.
    pub ends: Timestamp,
    /// Somebody set its length; if not, AWS works it out from the alarms.
    pub configured: bool,
}

/// The bake that the deployment is in now.
pub fn baking(patient: &Patient, deployment: &ServiceDeployment) -> Option<Bake> {
    if deployment.status != "IN_PROGRESS" {
        return None;
    }
    let (length, configured) = match bake(deployment) {
        Some(length) => (length, true),
        None => rolling_bake(patient, deployment)?,
    };
    let ends = time::after(stage_began(deployment)?, length);
    (patient.now() < ends).then_some(Bake { length, ends, configured })
}

/// A rolling deployment has no stage that says so: with alarms, it bakes once all its tasks run.
/// Unless it is configured, AWS says "less than five minutes"; twice that is as long as it can be
/// taken for one.
fn rolling_bake(
    patient: &Patient,
    deployment: &ServiceDeployment,
) -> Option<(SignedDuration, bool)> {
    let configured = &deployment.deployment_configuration;
    let alarms = configured.alarms.as_ref().is_some_and(|alarms| alarms.enable);
    let primary =
        patient.service().deployments.iter().find(|deployment| deployment.status == "PRIMARY")?;
    let complete = primary.running_count > 0
        && primary.running_count == primary.desired_count
        && primary.pending_count == 0;
    let bakes = Strategy::of(configured) == Strategy::Rolling && alarms && complete;
    bakes.then(|| match configured.bake_time_in_minutes {
        Some(minutes) => (time::minutes(minutes), true),
        None => (SignedDuration::from_mins(10), false),
    })
}

/// How long a deployment may take before anybody should call it stuck: grace, bakes, and draining
/// and ten minutes for each batch; never less than 25 minutes.
pub fn patience(
    patient: &Patient,
    deployment: &ServiceDeployment,
    draining: SignedDuration,
) -> SignedDuration {
    let grace = time::seconds(patient.service().health_check_grace_period_seconds.unwrap_or(0));
    let configured = &deployment.deployment_configuration;
    let each = draining + SignedDuration::from_mins(10);
    let whole =
        grace + all_bakes(configured) + each * batches(configured, patient.service().desired_count);
    whole.max(SignedDuration::from_mins(25))
}

/// In how many batches a rolling deployment must replace its tasks; other strategies start all of
/// them at once.
fn batches(configured: &DeploymentConfiguration, desired: i32) -> i32 {
    let desired = i64::from(desired.max(0));
    let most = desired * i64::from(configured.maximum_percent.unwrap_or(200)) / 100;
    let least = (desired * i64::from(configured.minimum_healthy_percent.unwrap_or(100)) + 99) / 100;
    match (Strategy::of(configured), most - least) {
        // With no room to move there is no batch to wait for.
        (Strategy::Rolling, room @ 1..) => {
            i32::try_from((desired + room - 1) / room).map_or(1, |batches| batches.max(1))
        }
        _ => 1,
    }
}

/// ECS waits for old targets to drain: 300 s where the group does not say, 3600 s at most.
pub const LONGEST_DRAINING: SignedDuration = SignedDuration::from_secs(3600);

/// The longest that a target group of the service drains.
pub fn draining(patient: &Patient) -> Result<SignedDuration, Blind> {
    let mut longest = SignedDuration::ZERO;
    for group in traffic::groups(patient)? {
        longest = longest.max(deregistration_delay(patient, group)?);
    }
    Ok(longest)
}

/// How long targets of a group may drain.
pub fn deregistration_delay(patient: &Patient, group: &str) -> Result<SignedDuration, Blind> {
    let delay = patient
        .target_group_attributes(group)?
        .and_then(|attributes| attributes.get("deregistration_delay.timeout_seconds"));
    Ok(time::seconds(delay.and_then(|delay| parsed(delay)).unwrap_or(300)))
}

/// The revision that ECS goes, went or would go back to.
pub fn back_to(deployment: &ServiceDeployment) -> Option<&str> {
    let chosen =
        deployment.rollback.as_ref().and_then(|rollback| rollback.service_revision_arn.as_deref());
    chosen.or(deployment.source_service_revisions.first().map(|source| source.arn.as_str()))
}

/// The task definition of a revision.
pub fn task_definition<'a>(
    patient: &Patient<'a>,
    revision: &str,
) -> Result<Option<&'a str>, Blind> {
    Ok(patient.revision(revision)?.and_then(|revision| revision.task_definition.as_deref()))
}

/// The task definition that a deployment brings: what is said of the deployment concerns this
/// version.
pub fn brings<'a>(
    patient: &Patient<'a>,
    deployment: &ServiceDeployment,
) -> Result<Option<&'a str>, Blind> {
    match &deployment.target_service_revision {
        Some(target) => task_definition(patient, &target.arn),
        None => Ok(None),
    }
}

/// `The deployment of api:13`, or its id where its version is not known.
pub fn name(deployment: &ServiceDeployment, brings: Option<&str>) -> String {
    match brings {
        Some(definition) => format!("The deployment of {}", short(definition)),
        None => format!("Deployment {}", short(&deployment.service_deployment_arn)),
    }
}

/// Evidence from the deployment itself.
pub fn evidence(
    deployment: &ServiceDeployment,
    field: &'static str,
    value: impl ToString,
) -> Evidence {
    Evidence::new(
        Call::DescribeServiceDeployments,
        &deployment.service_deployment_arn,
        field,
        value,
    )
}

/// The command that shows the deployment again.
pub fn see(patient: &Patient, deployment: &ServiceDeployment) -> String {
    Call::DescribeServiceDeployments.see(
        patient.cluster(),
        patient.name(),
        patient.arn(),
        &deployment.service_deployment_arn,
    )
}

/// The command that goes back to the version before.
pub fn stop(deployment: &ServiceDeployment) -> String {
    format!(
        "aws ecs stop-service-deployment --service-deployment-arn {} --stop-type ROLLBACK",
        deployment.service_deployment_arn
    )
}

/// The command that sets a service's deployment configuration. It replaces the whole, so all that
/// is known is sent.
pub fn configure(patient: &Patient, configured: &DeploymentConfiguration) -> String {
    let breaker = configured.deployment_circuit_breaker.as_ref();
    let parts = [
        ("strategy", configured.strategy.as_ref().map(|strategy| json!(strategy))),
        ("maximumPercent", configured.maximum_percent.map(|percent| json!(percent))),
        ("minimumHealthyPercent", configured.minimum_healthy_percent.map(|percent| json!(percent))),
        ("bakeTimeInMinutes", configured.bake_time_in_minutes.map(|minutes| json!(minutes))),
        ("canaryConfiguration", canary(configured)),
        ("linearConfiguration", linear(configured)),
        ("deploymentCircuitBreaker", breaker.map(circuit_breaker)),
        (
            "alarms",
            configured
                .alarms
                .as_ref()
                .map(|alarms| json!({ "alarmNames": alarms.alarm_names, "enable": alarms.enable, "rollback": alarms.rollback })),
        ),
    ];
    let whole: serde_json::Map<String, Value> =
        parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect();
    format!(
        "aws ecs update-service {} --deployment-configuration {}",
        patient.cli(),
        quote(&Value::Object(whole).to_string())
    )
}

/// A healthy task sets the count back unless that is turned off.
fn circuit_breaker(breaker: &CircuitBreaker) -> Value {
    match breaker.reset_on_healthy_task {
        Some(false) => {
            json!({ "enable": breaker.enable, "rollback": breaker.rollback, "resetOnHealthyTask": false })
        }
        Some(true) | None => json!({ "enable": breaker.enable, "rollback": breaker.rollback }),
    }
}

fn canary(configured: &DeploymentConfiguration) -> Option<Value> {
    let percent = configured.canary_percent?;
    Some(
        json!({ "canaryPercent": percent, "canaryBakeTimeInMinutes": configured.canary_bake_time_in_minutes.unwrap_or(10) }),
    )
}

fn linear(configured: &DeploymentConfiguration) -> Option<Value> {
    let percent = configured.step_percent?;
    Some(
        json!({ "stepPercent": percent, "stepBakeTimeInMinutes": configured.step_bake_time_in_minutes.unwrap_or(6) }),
    )
}

/// The short form of a deployment or revision ARN: its last part.
pub fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Whether the service's only deployment is so young that an empty target group or a missing task
/// says nothing yet. Beside an older deployment it says something: what that one had is gone.
pub fn just_began(patient: &Patient) -> bool {
    let began = match patient.service().deployments.as_slice() {
        [only] => only.created_at,
        _ => None,
    };
    began.is_some_and(|began| time::age(patient.now(), began) < SignedDuration::from_mins(3))
}
