//! A CloudWatch alarm that the deployment watches fired, and ECS rolled back because of it. Whether
//! the alarm counts the wrong thing is for `alarm_counts_client_errors` to say.

use crate::aws::time::{age, clock, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::{rollback, rollout};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::snapshot::{Alarm, AlarmTransition, ServiceDeployment};

crate::check! {
    /// While the newest deployment ran, one of its alarms went into ALARM, and ECS rolled back to
    /// the previous version.
    ///
    /// # Why it matters
    ///
    /// The tasks may have been healthy all the time: what counts is what the alarm measures, not
    /// the new version alone. If that is both target groups, errors of the old version roll back
    /// the new one.
    ///
    /// # How we tell
    ///
    /// A rollback of the newest service deployment began, and the deployment names the triggered
    /// alarms, or its alarm monitor is `TRIGGERED`, or a service event says "alarm detected". The
    /// alarm's history gives the time. An alarm that was in ALARM before the deployment began is
    /// ignored by ECS for the whole deployment, and by this check, too.
    ///
    /// # What to do
    ///
    /// See what fired, fix it, and deploy again once the alarm is OK:
    ///
    /// ```sh
    /// aws cloudwatch describe-alarm-history --alarm-name <name> --history-item-type StateUpdate
    /// ```
    ///
    /// Terraform/OpenTofu: `threshold`, `evaluation_periods` and `datapoints_to_alarm` of
    /// `aws_cloudwatch_metric_alarm`, if the alarm is too sensitive; which alarms count is set in
    /// `alarms` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `alarm_counts_client_errors`, `deployment_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html>
    title: "A CloudWatch alarm fired and rolled back the deployment",
    severity: High,
    role: Cause,
    shows: AlarmFired,
    explains: [RolledBack, RollbackFailed],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeAlarms, DescribeAlarmHistory],
    example: on express, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        use crate::snapshot::deployment::{AlarmsState, Rollback};
        let alarm = "default/api/RollbackAlarm";
        roll_out(snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.finished_at = Some(minutes_ago(28));
            deployment.alarms = Some(AlarmsState {
                status: Some("TRIGGERED".into()),
                alarm_names: vec![alarm.into()],
                triggered_alarm_names: vec![alarm.into()],
            });
            let old = deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
            deployment.rollback = Some(Rollback { reason: None, started_at: Some(minutes_ago(33)), service_revision_arn: old });
        });
        let transition = |minutes, summary: &str| AlarmTransition { timestamp: Some(minutes_ago(minutes)), history_summary: summary.into() };
        let history = vec![transition(20, "Alarm updated from ALARM to OK"), transition(34, "Alarm updated from OK to ALARM")];
        snapshot.alarm_history.put(alarm, history);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::newest(patient)? else { return Ok(()) };
    for name in rollback::fired_alarms(patient, deployment)? {
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        let alarm = findings.see(patient.alarm(name)).flatten();
        let went_off = findings.see(rollback::went_off(patient, deployment, name)).flatten();
        let event = rollback::alarm_event(patient, deployment);
        let claim = format!(
            "alarm {name} fired{} and {}",
            during(deployment, brings, went_off),
            went_back(deployment)
        );
        findings.add(
            Subject::new(Kind::Alarm, name)
                .sick(claim, proof(deployment, name))
                .detail(watches(alarm))
                .because(rollout::evidence(deployment, "status", &deployment.status))
                .because_all(went_off.map(|moment| {
                    Evidence::new(
                        Call::DescribeAlarmHistory,
                        name,
                        "AlarmHistoryItems.HistorySummary",
                        &moment.history_summary,
                    )
                    .at(moment.timestamp)
                }))
                .because_all(event.map(|event| {
                    patient.evidence("events.message", &event.message).at(event.created_at)
                }))
                .mend(remedy(patient, name, brings))
                .concerns(Kind::Alarm, name)
                .concerns_all(Kind::TaskDefinition, brings)
                .since(went_off.and_then(|moment| moment.timestamp)),
        );
    }
    Ok(())
}

/// What the deployment itself says of the alarm.
fn proof(deployment: &ServiceDeployment, name: &str) -> Evidence {
    let named = deployment
        .alarms
        .iter()
        .any(|alarms| alarms.triggered_alarm_names.iter().any(|triggered| triggered == name));
    rollout::evidence(
        deployment,
        if named { "alarms.triggeredAlarmNames" } else { "alarms.alarmNames" },
        name,
    )
}

fn during(
    deployment: &ServiceDeployment,
    brings: Option<&str>,
    went_off: Option<&AlarmTransition>,
) -> String {
    let of = brings.map_or("the deployment".to_owned(), |definition| {
        format!("the deployment of {}", rollout::short(definition))
    });
    match (went_off.and_then(|moment| moment.timestamp), rollout::started(deployment)) {
        (Some(at), Some(began)) => {
            format!(" at {}, {} into {of},", clock(at), words(age(at, began)))
        }
        _ => format!(" during {of},"),
    }
}

fn went_back(deployment: &ServiceDeployment) -> &'static str {
    match deployment.status.as_str() {
        "ROLLBACK_FAILED" => "ECS tried to roll back and could not",
        "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => {
            "ECS is rolling back to the previous version"
        }
        _ => "ECS rolled back to the previous version",
    }
}

fn watches(alarm: Option<&Alarm>) -> String {
    let Some(alarm) = alarm.filter(|alarm| !alarm.metric_names.is_empty()) else {
        return String::new();
    };
    let groups = match alarm.target_groups.len() {
        0 | 1 => String::new(),
        several => {
            format!(", across {several} target groups, so errors of the old version may count too")
        }
    };
    format!("It watches {}{groups}.", alarm.metric_names.join(", "))
}

fn remedy(patient: &Patient, name: &str, brings: Option<&str>) -> Remedy {
    let see = |call: Call| patient.see(call, name);
    let remedy = Remedy::new("See what fired. If the alarm is right, fix the app; if not, make it less sensitive. Deploy again once it is OK.")
        .cli(see(Call::DescribeAlarmHistory))
        .cli(see(Call::DescribeAlarms));
    if patient.is_express() {
        return remedy;
    }
    remedy.cli(rollout::again(patient, brings)).terraform(hcl!(
        r#"
        resource "aws_cloudwatch_metric_alarm" "rollback" {
          alarm_name          = {}
          evaluation_periods  = 3 # of so many periods,
          datapoints_to_alarm = 3 # this many must breach
        }"#,
        name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, roll_out};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::deployment::AlarmsState;
    use crate::snapshot::{ServiceEvent, Snapshot};
    use crate::testing::{exam, newest_deployment, says};

    const ALARM: &str = "default/api/RollbackAlarm";

    fn fired(minutes: i64) -> Vec<AlarmTransition> {
        vec![AlarmTransition {
            timestamp: Some(minutes_ago(minutes)),
            history_summary: "Alarm updated from OK to ALARM".into(),
        }]
    }

    #[test]
    fn names_the_alarm_its_moment_and_what_it_watches() {
        let exam = exam(CHECK, &(CHECK.example)());
        let expected = "Alarm default/api/RollbackAlarm fired at 02:26 UTC, 6 min into the deployment of api:13, and ECS rolled back to the previous version. It watches HTTPCode_Target_4XX_Count, HTTPCode_Target_5XX_Count, RequestCountPerTarget, across 2 target groups, so \
                        errors of the old version may count too.";
        assert_eq!(exam.findings[0].says(), expected);
        assert_eq!(exam.findings[0].since, Some(minutes_ago(34)));
    }

    #[test]
    fn an_alarm_that_fired_at_another_time_did_not_do_it() {
        let mut snapshot = (CHECK.example)();
        for other in [10, 55] {
            snapshot.alarm_history.put(ALARM, fired(other));
            let exam = exam(CHECK, &snapshot);
            assert_eq!(
                exam.findings[0].since, None,
                "{other} min ago: the deployment names the alarm, its history has no moment"
            );
            assert!(
                exam.findings[0].says().contains("fired during the deployment"),
                "{}",
                exam.findings[0].says()
            );
        }
    }

    #[test]
    fn of_several_alarms_only_those_fired_that_their_history_shows() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).alarms = Some(AlarmsState {
            status: Some("TRIGGERED".into()),
            alarm_names: vec!["latency".into(), ALARM.into()],
            triggered_alarm_names: vec![],
        });
        snapshot.alarm_history.put("latency", fired(10));
        let abouts: Vec<String> =
            exam(CHECK, &snapshot).findings.into_iter().map(|finding| finding.about.id).collect();
        assert_eq!(abouts, [ALARM]);
        snapshot.alarm_history.insert("latency", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_event_tells_of_a_rolling_deployment() {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.alarms =
                Some(AlarmsState { alarm_names: vec!["errors".into()], ..AlarmsState::default() });
        });
        snapshot.alarm_history.put("errors", Vec::new());
        snapshot.alarms.put("errors", Alarm::default());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "nothing says that the alarm fired"
        );
        let message = "(service api) (deployment ecs-svc/1000000000000000013) deployment failed: alarm detected.";
        let event = |minutes| ServiceEvent {
            id: "e".into(),
            created_at: Some(minutes_ago(minutes)),
            message: message.into(),
        };
        snapshot.services[0].events = vec![event(90)];
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "an event of an older deployment is history"
        );
        snapshot.services[0].events = vec![event(30)];
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Alarm errors fired during the deployment of api:13, and ECS rolled back to the previous version."
            ]
        );
    }

    #[test]
    fn a_rollback_by_the_breaker_is_not_the_alarms() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).alarms.iter_mut().for_each(|alarms| {
            alarms.status = Some("MONITORING_COMPLETE".into());
            alarms.triggered_alarm_names.clear();
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_alarm_that_stopped_nothing_rolled_nothing_back() {
        let mut snapshot = (CHECK.example)();
        newest_deployment(&mut snapshot).status = "IN_PROGRESS".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn it_explains_the_rollback_and_is_explained_by_what_it_counts() {
        use crate::diagnosis::{Node, diagnose};
        use crate::patient::{Intent, Patient};
        let chain = |snapshot: &Snapshot, root: &str| {
            let diagnosis =
                diagnose(&Patient::new(snapshot, &snapshot.services[0], &Intent::default()));
            let mut node: Option<&Node> =
                diagnosis.roots.iter().find(|node| node.check.id() == root);
            let mut ids = Vec::new();
            while let Some(Node { check, explains, .. }) = node {
                ids.push(check.id());
                node = explains.first();
            }
            ids
        };
        assert_eq!(
            chain(&(CHECK.example)(), "alarm_rolled_back"),
            ["alarm_rolled_back", "deployment_rolled_back"]
        );
        let counted = (super::super::alarm_counts_client_errors::CHECK.example)();
        let expected =
            ["alarm_counts_client_errors", "alarm_rolled_back", "deployment_rolled_back"];
        assert_eq!(chain(&counted, "alarm_counts_client_errors"), expected);
        let starved = (super::super::canary_starved_of_traffic::CHECK.example)();
        assert_eq!(
            chain(&starved, "canary_starved_of_traffic"),
            ["canary_starved_of_traffic", "deployment_stuck"]
        );
    }
}
