//! The rollout: which deployment, at which stage, for how long, when it should end, what it would
//! roll back to. The API does not report when a stage began, so the last update is used instead;
//! what is said with it is "about".

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::time;
use crate::call::Call;
use crate::command::{Command, Words};
use crate::facts::inbound::traffic;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::service::{CircuitBreaker, DeploymentConfiguration};
use crate::text::{parsed, printed_as_in_json};
use crate::{aws, words};

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
    patient.service().is_deployed_by_ecs()
}

/// Why the checks of deployments do not apply where ECS does not run them.
pub const OTHER_CONTROLLER: &str = "CodeDeploy or an external controller runs the deployments";

/// The newest deployment, whatever came of it. What happened to older ones is history. AWS refuses
/// to list those of another controller, and there are none.
pub fn newest<'a>(patient: &Patient<'a>) -> Result<Option<&'a ServiceDeployment>, Blind> {
    if !ecs_controls(patient) {
        return Ok(None);
    }
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
    let primary = patient.service().primary()?;
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

/// The revision that ECS rolls, rolled or would roll back to.
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

/// `the deployment of api:13`, or its id where its version is not known.
pub fn name(deployment: &ServiceDeployment, brings: Option<&str>) -> String {
    match brings {
        Some(definition) => format!("the deployment of {}", short(definition)),
        None => format!("deployment {}", short(&deployment.service_deployment_arn)),
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
pub fn see(patient: &Patient, deployment: &ServiceDeployment) -> Command {
    patient.see(Call::DescribeServiceDeployments, &deployment.service_deployment_arn)
}

/// The command that rolls back to the previous version.
pub fn stop(deployment: &ServiceDeployment) -> Command {
    aws!(
        "ecs stop-service-deployment --service-deployment-arn {} --stop-type ROLLBACK",
        deployment.service_deployment_arn
    )
}

/// The command that deploys the version of a failed deployment once more, after what failed it is
/// fixed. After a rollback the service has the old version, so the new one is named.
pub fn again(patient: &Patient, brings: Option<&str>) -> Command {
    let version = brings.filter(|_| !patient.is_express()).map(short);
    let named = version.map_or(Words::default(), |it| words!("--task-definition {}", it));
    patient.update_service().and(named).and(words!("--force-new-deployment"))
}

/// The command that sets a service's deployment configuration. It replaces the whole, so all that
/// is known is sent.
pub fn configure(patient: &Patient, configured: &DeploymentConfiguration) -> Command {
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
    patient.update_service().and(words!("--deployment-configuration {}", Value::Object(whole)))
}

/// A healthy task resets the count unless that is turned off.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, minutes_ago};
    use crate::snapshot::deployment::Rollback;
    use crate::snapshot::service::DeploymentAlarms;
    use crate::snapshot::{Deployment, RevisionSummary, Snapshot};
    use crate::testing::{newest_deployment, of};

    type Edit = fn(&mut Snapshot);

    const MINUTES: fn(i64) -> SignedDuration = SignedDuration::from_mins;

    fn strategy(name: &str) -> DeploymentConfiguration {
        DeploymentConfiguration { strategy: Some(name.into()), ..Default::default() }
    }

    fn in_status(status: &str) -> ServiceDeployment {
        ServiceDeployment { status: status.into(), ..Default::default() }
    }

    /// A deployment that began half an hour ago and has been at this stage for five minutes.
    fn at_stage(stage: &str, configured: DeploymentConfiguration) -> ServiceDeployment {
        ServiceDeployment {
            lifecycle_stage: Some(stage.into()),
            started_at: Some(minutes_ago(30)),
            updated_at: Some(minutes_ago(5)),
            deployment_configuration: configured,
            ..in_status("IN_PROGRESS")
        }
    }

    #[test]
    fn a_strategy_is_read_and_a_new_one_is_unknown() {
        for (name, read, words) in [
            ("ROLLING", Strategy::Rolling, "rolling"),
            ("BLUE_GREEN", Strategy::BlueGreen, "blue/green"),
            ("LINEAR", Strategy::Linear, "linear"),
            ("CANARY", Strategy::Canary, "canary"),
            ("SOMETHING_NEW", Strategy::Unknown, "other"),
        ] {
            let found = Strategy::of(&strategy(name));
            assert_eq!((found, found.to_string().as_str()), (read, words));
        }
        assert_eq!(Strategy::of(&DeploymentConfiguration::default()), Strategy::Rolling);
    }

    #[test]
    fn ecs_deploys_unless_another_controller_is_named() {
        let mut snapshot = baseline::fargate();
        for (controller, is_ecs) in [
            (None, true),
            (Some("ECS"), true),
            (Some("CODE_DEPLOY"), false),
            (Some("EXTERNAL"), false),
        ] {
            snapshot.services[0].deployment_controller = controller.map(Into::into);
            assert_eq!(of(&snapshot, ecs_controls), is_ecs, "{controller:?}");
        }
    }

    #[test]
    fn a_status_tells_what_is_under_way_and_what_is_rolled_back() {
        for (status, goes_on, goes_back) in [
            ("PENDING", true, false),
            ("IN_PROGRESS", true, false),
            ("STOP_REQUESTED", true, false),
            ("ROLLBACK_REQUESTED", true, true),
            ("ROLLBACK_IN_PROGRESS", true, true),
            ("ROLLBACK_SUCCESSFUL", false, true),
            ("ROLLBACK_FAILED", false, true),
            ("SUCCESSFUL", false, false),
            ("STOPPED", false, false),
        ] {
            let deployment = in_status(status);
            let read = (is_under_way(&deployment), is_rolled_back(&deployment));
            assert_eq!(read, (goes_on, goes_back), "{status}");
        }
    }

    #[test]
    fn only_the_newest_deployment_can_be_under_way() {
        let mut snapshot = baseline::fargate();
        assert_eq!(of(&snapshot, |p| under_way(p).map(|it| it.is_some())), Ok(false));
        newest_deployment(&mut snapshot).status = "IN_PROGRESS".into();
        assert_eq!(of(&snapshot, |p| under_way(p).map(|it| it.is_some())), Ok(true));
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&arn).unwrap().insert(0, in_status("SUCCESSFUL"));
        assert_eq!(of(&snapshot, |p| under_way(p).map(|it| it.is_some())), Ok(false));
    }

    #[test]
    fn both_versions_take_traffic_only_from_the_test_shift_to_the_bake() {
        let shifts = |stage: &str| shifts_traffic(&at_stage(stage, strategy("CANARY")));
        for stage in ["TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"] {
            assert!(shifts(stage), "{stage}");
        }
        for stage in ["SCALE_UP", "CLEAN_UP", "RECONCILE_SERVICE", "SOMETHING_NEW"] {
            assert!(!shifts(stage), "{stage}");
        }
        assert!(!shifts_traffic(&in_status("IN_PROGRESS")));
    }

    #[test]
    fn a_stage_waits_for_its_own_bake() {
        let configured = |name: &str, minutes: Option<i32>| DeploymentConfiguration {
            bake_time_in_minutes: Some(1),
            canary_bake_time_in_minutes: minutes,
            step_bake_time_in_minutes: minutes,
            ..strategy(name)
        };
        for (stage, name, minutes, waits) in [
            ("BAKE_TIME", "CANARY", Some(3), Some(1)),
            ("BAKE_TIME", "ROLLING", Some(3), Some(1)),
            ("PRODUCTION_TRAFFIC_SHIFT", "CANARY", Some(3), Some(3)),
            ("PRODUCTION_TRAFFIC_SHIFT", "CANARY", None, Some(10)),
            ("PRODUCTION_TRAFFIC_SHIFT", "LINEAR", Some(3), Some(3)),
            ("PRODUCTION_TRAFFIC_SHIFT", "LINEAR", None, Some(6)),
            ("PRODUCTION_TRAFFIC_SHIFT", "BLUE_GREEN", Some(3), None),
            ("SCALE_UP", "CANARY", Some(3), None),
        ] {
            let deployment = at_stage(stage, configured(name, minutes));
            assert_eq!(bake(&deployment), waits.map(MINUTES), "{name} at {stage}");
            let ends = waits.map(|minutes| minutes_ago(5 - minutes));
            assert_eq!(bake_ends(&deployment), ends, "{name} at {stage}");
        }
        assert_eq!(bake(&at_stage("BAKE_TIME", strategy("CANARY"))), None, "AWS works it out");
        assert_eq!(bake(&in_status("IN_PROGRESS")), None);
    }

    #[test]
    fn a_shift_waits_only_between_its_first_step_and_its_last() {
        for (weight, waits) in [
            (None, true),
            (Some(0.0), false),
            (Some(0.1), true),
            (Some(99.9), true),
            (Some(100.0), false),
        ] {
            let mut deployment = at_stage("PRODUCTION_TRAFFIC_SHIFT", strategy("CANARY"));
            deployment.target_service_revision = Some(RevisionSummary {
                requested_production_traffic_weight: weight,
                ..Default::default()
            });
            assert_eq!(bake(&deployment).is_some(), waits, "{weight:?}");
        }
    }

    #[test]
    fn all_bakes_of_a_deployment_add_up() {
        let all = |change: fn(&mut DeploymentConfiguration), name: &str| {
            let mut configured = strategy(name);
            change(&mut configured);
            all_bakes(&configured)
        };
        let bake = |c: &mut DeploymentConfiguration| c.bake_time_in_minutes = Some(5);
        for (name, none, five) in [
            ("ROLLING", 0, 5),
            ("BLUE_GREEN", 0, 5),
            ("CANARY", 10, 15),
            // Ten steps of six minutes.
            ("LINEAR", 60, 65),
        ] {
            assert_eq!(all(|_| (), name), MINUTES(none), "{name}");
            assert_eq!(all(bake, name), MINUTES(five), "{name}");
        }
        let canary = |c: &mut DeploymentConfiguration| c.canary_bake_time_in_minutes = Some(2);
        assert_eq!(all(canary, "CANARY"), MINUTES(2));
        let thirds = |c: &mut DeploymentConfiguration| {
            (c.step_percent, c.step_bake_time_in_minutes) = (Some(30.0), Some(2));
        };
        assert_eq!(all(thirds, "LINEAR"), MINUTES(8), "the last of four steps is a smaller one");
    }

    /// A rolling deployment with alarms, all of whose two tasks run.
    fn baking_service() -> Snapshot {
        let mut snapshot = baseline::fargate();
        let service = &mut snapshot.services[0];
        let primary = service.deployments.iter_mut().find(|it| it.status == "PRIMARY").unwrap();
        (primary.desired_count, primary.running_count, primary.pending_count) = (2, 2, 0);
        let deployment = newest_deployment(&mut snapshot);
        *deployment = ServiceDeployment {
            lifecycle_stage: None,
            ..at_stage("", DeploymentConfiguration::default())
        };
        deployment.deployment_configuration.alarms =
            Some(DeploymentAlarms { enable: true, ..Default::default() });
        snapshot
    }

    fn baking_in(snapshot: &Snapshot) -> Option<(SignedDuration, bool)> {
        of(snapshot, |p| baking(p, newest(p).unwrap().unwrap()).map(|b| (b.length, b.configured)))
    }

    #[test]
    fn a_rolling_deployment_with_alarms_bakes_once_all_its_tasks_run() {
        assert_eq!(baking_in(&baking_service()), Some((MINUTES(10), false)));
        let changes: [(&str, Edit); 8] = [
            ("it is over", |s| newest_deployment(s).status = "SUCCESSFUL".into()),
            ("it has not begun", |s| newest_deployment(s).status = "PENDING".into()),
            ("no alarm stops it", |s| {
                newest_deployment(s).deployment_configuration.alarms = None;
            }),
            ("its alarms are off", |s| {
                newest_deployment(s).deployment_configuration.alarms =
                    Some(DeploymentAlarms::default());
            }),
            ("another strategy has a stage for it", |s| {
                newest_deployment(s).deployment_configuration.strategy = Some("CANARY".into());
            }),
            ("a task is missing", |s| s.services[0].deployments[0].running_count = 1),
            ("a task is pending", |s| s.services[0].deployments[0].pending_count = 1),
            ("it has no task", |s| {
                let primary = &mut s.services[0].deployments[0];
                (primary.desired_count, primary.running_count) = (0, 0);
            }),
        ];
        for (why, change) in changes {
            let mut snapshot = baking_service();
            change(&mut snapshot);
            assert_eq!(baking_in(&snapshot), None, "{why}");
        }
    }

    #[test]
    fn a_bake_ends_when_it_was_configured_to() {
        let configured = |minutes| {
            let mut snapshot = baking_service();
            newest_deployment(&mut snapshot).deployment_configuration.bake_time_in_minutes =
                Some(minutes);
            baking_in(&snapshot)
        };
        assert_eq!(configured(6), Some((MINUTES(6), true)));
        assert_eq!(configured(5), None, "it was over this moment");
        let mut snapshot = baking_service();
        *newest_deployment(&mut snapshot) =
            at_stage("PRODUCTION_TRAFFIC_SHIFT", strategy("CANARY"));
        let bake = of(&snapshot, |p| baking(p, newest(p).unwrap().unwrap())).unwrap();
        assert_eq!((bake.length, bake.configured), (MINUTES(10), true));
        assert_eq!(bake.ends, minutes_ago(-5));
    }

    #[test]
    fn patience_counts_grace_bakes_and_draining_and_ten_minutes_for_each_batch() {
        let patience = |grace, desired, configured: DeploymentConfiguration| {
            let mut snapshot = baseline::fargate();
            snapshot.services[0].health_check_grace_period_seconds = grace;
            snapshot.services[0].desired_count = desired;
            let deployment =
                ServiceDeployment { deployment_configuration: configured, ..Default::default() };
            of(&snapshot, |p| patience(p, &deployment, MINUTES(5))).as_secs() / 60
        };
        let percents = |least, most| DeploymentConfiguration {
            minimum_healthy_percent: Some(least),
            maximum_percent: Some(most),
            ..Default::default()
        };
        assert_eq!(patience(None, 2, Default::default()), 25, "never less");
        assert_eq!(patience(Some(3600), 2, Default::default()), 75);
        let baked =
            DeploymentConfiguration { bake_time_in_minutes: Some(30), ..Default::default() };
        assert_eq!(patience(None, 2, baked), 45);
        // Four tasks, one at a time.
        assert_eq!(patience(None, 4, percents(100, 125)), 60);
        // At least one of three must stay: two at a time.
        assert_eq!(patience(None, 3, percents(1, 100)), 30);
        assert_eq!(patience(None, 4, percents(100, 100)), 25, "no room, no batch");
        let canary = DeploymentConfiguration { maximum_percent: Some(125), ..strategy("CANARY") };
        assert_eq!(patience(None, 4, canary), 25, "all of them at once");
        assert_eq!(patience(None, -1, Default::default()), 25);
    }

    #[test]
    fn the_longest_draining_of_all_groups_counts() {
        let mut snapshot = baseline::fargate();
        let delay = |snapshot: &mut Snapshot, seconds: Option<&str>| {
            let group = baseline::id::group("api");
            let attributes = seconds
                .map(|seconds| ("deregistration_delay.timeout_seconds".into(), seconds.into()));
            snapshot.target_group_attributes.put(group, attributes.into_iter().collect());
        };
        for (told, seconds) in [(Some("30"), 30), (Some("3600"), 3600), (None, 300)] {
            delay(&mut snapshot, told);
            assert_eq!(of(&snapshot, draining), Ok(SignedDuration::from_secs(seconds)));
        }
        assert_eq!(of(&baseline::worker(), draining), Ok(SignedDuration::ZERO));
    }

    #[test]
    fn ecs_goes_back_to_what_it_chose_or_came_from() {
        let mut deployment = in_status("IN_PROGRESS");
        assert_eq!(back_to(&deployment), None);
        let source = |arn: &str| RevisionSummary { arn: arn.into(), ..Default::default() };
        deployment.source_service_revisions = vec![source("before"), source("long before")];
        assert_eq!(back_to(&deployment), Some("before"));
        deployment.rollback = Some(Rollback::default());
        assert_eq!(back_to(&deployment), Some("before"));
        deployment.rollback =
            Some(Rollback { service_revision_arn: Some("chosen".into()), ..Default::default() });
        assert_eq!(back_to(&deployment), Some("chosen"));
    }

    #[test]
    fn a_deployment_is_named_by_what_it_brings() {
        let mut deployment = in_status("IN_PROGRESS");
        deployment.service_deployment_arn = "arn:aws:ecs:x:1:service-deployment/c/s/d1".into();
        let definition = "arn:aws:ecs:x:1:task-definition/api:13";
        assert_eq!(name(&deployment, Some(definition)), "the deployment of api:13");
        assert_eq!(name(&deployment, None), "deployment d1");
    }

    #[test]
    fn a_stage_began_with_the_last_update_or_with_the_deployment() {
        let (created, started, updated) = (minutes_ago(3), minutes_ago(2), minutes_ago(1));
        let mut deployment = in_status("IN_PROGRESS");
        let mut seen = vec![(stage_began(&deployment), super::started(&deployment))];
        deployment.created_at = Some(created);
        seen.push((stage_began(&deployment), super::started(&deployment)));
        deployment.started_at = Some(started);
        seen.push((stage_began(&deployment), super::started(&deployment)));
        deployment.updated_at = Some(updated);
        seen.push((stage_began(&deployment), super::started(&deployment)));
        assert_eq!(
            seen,
            [
                (None, None),
                (Some(created), Some(created)),
                (Some(started), Some(started)),
                (Some(updated), Some(started))
            ]
        );
    }

    #[test]
    fn a_service_has_just_begun_only_with_its_first_deployment_and_for_three_minutes() {
        let began = |ages: &[Option<i64>]| {
            let mut snapshot = baseline::fargate();
            let deployment = |seconds: &Option<i64>| Deployment {
                created_at: seconds.map(|it| NOW - SignedDuration::from_secs(it)),
                ..Default::default()
            };
            snapshot.services[0].deployments = ages.iter().map(deployment).collect();
            of(&snapshot, just_began)
        };
        assert!(began(&[Some(179)]));
        assert!(!began(&[Some(180)]));
        assert!(!began(&[None]));
        assert!(!began(&[]));
        assert!(!began(&[Some(10), Some(90)]), "what the older one had is gone");
    }

    #[test]
    fn a_deployment_brings_the_task_definition_of_its_revision() {
        let brings = |revision: Option<&str>| {
            let mut snapshot = baseline::fargate();
            let brought = crate::snapshot::Revision {
                task_definition: Some("api:13".into()),
                ..Default::default()
            };
            snapshot.revisions.put("known", brought);
            let deployment = ServiceDeployment {
                target_service_revision: revision
                    .map(|arn| RevisionSummary { arn: arn.into(), ..Default::default() }),
                ..Default::default()
            };
            of(&snapshot, |p| super::brings(p, &deployment).map(|it| it.map(str::to_owned)))
        };
        assert_eq!(brings(None), Ok(None));
        assert_eq!(brings(Some("known")), Ok(Some("api:13".into())));
        assert_eq!(
            brings(Some("never asked")).map_err(|blind| blind.call),
            Err(Call::DescribeServiceRevisions)
        );
    }
}
