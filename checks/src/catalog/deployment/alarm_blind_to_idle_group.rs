//! The new version never becomes healthy, so it gets no traffic, so the alarms that count responses
//! can never fire, and nothing else would end the deployment. Why it does not become healthy is for
//! the checks of the health check to say.

use jiff::SignedDuration;

use crate::aws::time::{age, seconds, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::facts::inbound::traffic::{self, GroupState, group_name};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::service::{CircuitBreaker, DeploymentConfiguration};
use crate::snapshot::{Alarm, ServiceDeployment, Target};
use crate::text::and_list;

crate::check! {
    /// Only alarms on requests and responses guard the deployment, and the target group of the new
    /// version gets no requests.
    ///
    /// # Why it matters
    ///
    /// A new version that never passes its health check stays in its target group without traffic,
    /// and the alarms stay OK: they have nothing to count. With the circuit breaker off, the
    /// deployment hangs for up to 24 hours.
    ///
    /// # How we tell
    ///
    /// A blue/green, linear or canary deployment has been at `SCALE_UP` or `POST_SCALE_UP` for
    /// longer than its grace period plus 15 minutes; the target group that gets no traffic has no
    /// healthy target; the circuit breaker is off; and every alarm looks only at requests,
    /// responses or response times, and none is in ALARM. An alarm on unhealthy hosts or on the
    /// service itself is not blind.
    ///
    /// # What to do
    ///
    /// Roll back, and turn on the circuit breaker: it counts tasks, not responses.
    ///
    /// ```sh
    /// aws ecs stop-service-deployment --service-deployment-arn <arn> --stop-type ROLLBACK
    /// ```
    ///
    /// Terraform/OpenTofu: `deployment_circuit_breaker { enable = true rollback = true }` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `circuit_breaker_off`, `targets_unhealthy`, `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html>
    title: "The alarms cannot fire: the new version's target group gets no traffic",
    severity: Medium,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeListeners,
        DescribeRules, DescribeAlarms,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, minutes_ago, roll_out, unhealthy};
        roll_out(snapshot, 60, |deployment| {
            deployment.lifecycle_stage = Some("SCALE_UP".into());
            deployment.updated_at = Some(minutes_ago(55));
            deployment.deployment_configuration.deployment_circuit_breaker = None;
            deployment.deployment_circuit_breaker = None;
        });
        let target = unhealthy("10.0.1.31", 8080, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [500]");
        snapshot.target_health.put(&express_groups()[1], vec![target]);
    },
}

/// What the start of tasks and their first health checks may take beyond the grace period.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| only_alarms_guard(deployment))
    else {
        return Ok(());
    };
    let grace = seconds(patient.service().health_check_grace_period_seconds.unwrap_or(0));
    let Some(lasts) = rollout::stage_began(deployment)
        .map(|at| age(patient.now(), at))
        .filter(|lasts| *lasts > grace + MARGIN)
    else {
        return Ok(());
    };
    let alarms = alarms(patient, deployment)?;
    if alarms.is_empty()
        || !alarms.iter().all(|alarm| counts_answers(alarm) && alarm.state_value != "ALARM")
    {
        return Ok(());
    }
    let live = traffic::live_groups(patient)?;
    for group in traffic::groups(patient)?
        .into_iter()
        .filter(|group| !live.is_empty() && !live.contains(group))
    {
        let targets = patient.targets(group)?;
        let state = GroupState::of(targets);
        if !matches!(state, GroupState::FailsOpen | GroupState::Empty) {
            continue;
        }
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        let stage = deployment.lifecycle_stage.as_deref().unwrap_or_default();
        let names: Vec<&str> = alarms.iter().map(|alarm| alarm.alarm_name.as_str()).collect();
        let claim = format!(
            "{} has been at stage {stage} for about {}",
            rollout::name(deployment, brings),
            words(lasts)
        );
        let detail = format!(
            "Its target group {} has {} and gets no traffic, so {} nothing to count and cannot end the deployment, and the circuit breaker is off.",
            group_name(group),
            state.words(),
            if let [name] = names[..] {
                format!("alarm {name} has")
            } else {
                format!("alarms {} have", and_list(&names))
            }
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(claim, target_evidence(group, targets))
                .detail(detail)
                .because(rollout::evidence(deployment, "lifecycleStage", stage))
                .because_all(alarms.iter().map(|alarm| {
                    Evidence::new(
                        Call::DescribeAlarms,
                        &alarm.alarm_name,
                        "StateValue",
                        &alarm.state_value,
                    )
                }))
                .mend(remedy(patient, deployment))
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TaskDefinition, brings),
        );
    }
    Ok(())
}

/// Whether it still starts its tasks, and nothing but alarms could end it.
fn only_alarms_guard(deployment: &ServiceDeployment) -> bool {
    let configured = &deployment.deployment_configuration;
    let shifts = matches!(
        Strategy::of(configured),
        Strategy::BlueGreen | Strategy::Linear | Strategy::Canary
    );
    let starts =
        matches!(deployment.lifecycle_stage.as_deref(), Some("SCALE_UP" | "POST_SCALE_UP"));
    let breaker =
        configured.deployment_circuit_breaker.as_ref().is_some_and(|breaker| breaker.enable);
    let alarms = configured
        .alarms
        .as_ref()
        .is_some_and(|alarms| alarms.enable && !alarms.alarm_names.is_empty());
    deployment.status == "IN_PROGRESS" && shifts && starts && alarms && !breaker
}

/// Every alarm of the deployment: one that cannot be seen may be one that is not blind. One that
/// does not exist says nothing.
fn alarms<'a>(
    patient: &Patient<'a>,
    deployment: &ServiceDeployment,
) -> Result<Vec<&'a Alarm>, Blind> {
    let mut alarms = Vec::new();
    for name in
        deployment.deployment_configuration.alarms.iter().flat_map(|alarms| &alarms.alarm_names)
    {
        alarms.extend(patient.alarm(name)?);
    }
    Ok(alarms)
}

/// Whether it looks at nothing but what only traffic brings.
fn counts_answers(alarm: &Alarm) -> bool {
    let brought = |name: &String| {
        name.starts_with("HTTPCode_")
            || name.starts_with("RequestCount")
            || name.starts_with("TargetResponseTime")
    };
    !alarm.metric_names.is_empty() && alarm.metric_names.iter().all(brought)
}

fn target_evidence(group: &str, targets: &[Target]) -> Evidence {
    match targets.first() {
        Some(target) => {
            Evidence::new(Call::DescribeTargetHealth, group, "TargetHealth.State", &target.state)
        }
        None => Evidence::new(Call::DescribeTargetHealth, group, "TargetHealthDescriptions", "[]"),
    }
}

fn remedy(patient: &Patient, deployment: &ServiceDeployment) -> Remedy {
    let configured = &patient.service().deployment_configuration;
    let on = CircuitBreaker { enable: true, rollback: true, reset_on_healthy_task: None };
    let configured =
        DeploymentConfiguration { deployment_circuit_breaker: Some(on), ..configured.clone() };
    let remedy = Remedy::new(
        "Roll back now and turn on the circuit breaker: it counts failed tasks. The second command replaces the whole deployment configuration: add anything else that is set there, such as hooks.",
    )
    .cli(rollout::stop(deployment))
    .cli(rollout::configure(patient, &configured));
    if patient.is_express() {
        return remedy;
    }
    remedy.terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          deployment_circuit_breaker {
            enable   = true
            rollback = true
          }
        }"#,
        patient.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{express_groups, minutes_ago, target};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, newest_deployment, says};

    const ALARM: &str = "default/api/RollbackAlarm";

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    #[test]
    fn tells_group_alarm_and_breaker() {
        let expected = "The deployment of api:13 has been at stage SCALE_UP for about 55 min. Its target group ecs-gateway-tg-1a2b3c4d5e6f70002 has only \
                        unhealthy targets and gets no traffic, so alarm default/api/RollbackAlarm has nothing to count and cannot end the deployment, and the circuit breaker is off.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn a_breaker_ends_it_and_time_may_mend_it() {
        let on = CircuitBreaker { enable: true, rollback: true, reset_on_healthy_task: None };
        let guarded = example(|deployment| {
            deployment.deployment_configuration.deployment_circuit_breaker = Some(on)
        });
        assert_eq!(exam(CHECK, &guarded).outcome, Outcome::Healthy);
        assert_eq!(
            exam(CHECK, &example(|deployment| deployment.updated_at = Some(minutes_ago(14))))
                .outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn once_it_gets_traffic_the_alarms_see() {
        for stage in ["PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"] {
            assert_eq!(
                exam(CHECK, &example(|deployment| deployment.lifecycle_stage = Some(stage.into())))
                    .outcome,
                Outcome::Healthy,
                "{stage}"
            );
        }
    }

    #[test]
    fn a_new_version_that_is_healthy_needs_no_alarm() {
        for state in ["healthy", "initial"] {
            let mut snapshot = example(|_| ());
            snapshot
                .target_health
                .put(&express_groups()[1], vec![target("10.0.1.31", 8080, "eu-west-2a", state)]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{state}");
        }
    }

    #[test]
    fn an_alarm_over_hosts_or_one_that_fires_is_not_blind() {
        let mut snapshot = example(|_| ());
        snapshot.alarms.change(ALARM).unwrap().metric_names.push("UnHealthyHostCount".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = example(|_| ());
        snapshot.alarms.change(ALARM).unwrap().state_value = "ALARM".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_alarm_that_cannot_be_seen_may_not_be_blind() {
        let mut snapshot = example(|_| ());
        snapshot.alarms.insert(ALARM, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
