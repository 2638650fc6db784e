//! An alarm was in ALARM when the deployment began, so ECS does not watch alarms for it. A risk:
//! nothing has gone wrong yet, but no alarm would stop a bad version either.

use jiff::Timestamp;

use crate::aws::time::clock;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::ServiceDeployment;

crate::check! {
    /// One of the alarms that should guard the deployment was already in ALARM when it began.
    ///
    /// # Why it matters
    ///
    /// ECS then ignores the alarms for the whole deployment: a bad version is not rolled back,
    /// although everything seems to be configured for it.
    ///
    /// # How we tell
    ///
    /// A deployment with alarms is under way, and the alarm's history, or its present state with
    /// the time of its last change, shows that it was in ALARM at the start. An alarm that fired
    /// later does not count. Some users report that such a deployment fails at once; AWS's
    /// documentation says that the alarms are ignored.
    ///
    /// # What to do
    ///
    /// Watch this deployment yourself. Before the next one, check that the alarms are OK:
    ///
    /// ```sh
    /// aws cloudwatch describe-alarms --alarm-names <name> --query 'MetricAlarms[].StateValue'
    /// ```
    ///
    /// Terraform/OpenTofu: `alarms` of `aws_ecs_service`, if the alarm is not suited to guard
    /// deployments.
    ///
    /// # See also
    ///
    /// `alarm_rolled_back`, `circuit_breaker_off`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html>
    title: "An alarm was firing when the deployment began, so ECS ignores alarms",
    severity: Medium,
    role: Risk,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeAlarms, DescribeAlarmHistory],
    example: on express, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        use crate::snapshot::AlarmTransition;
        roll_out(snapshot, 8, |deployment| deployment.lifecycle_stage = Some("SCALE_UP".into()));
        let name = "default/api/RollbackAlarm";
        if let Some(alarm) = snapshot.alarms.change(name) {
            alarm.state_value = "ALARM".into();
            alarm.state_updated_timestamp = Some(minutes_ago(50));
        }
        let fired = AlarmTransition { timestamp: Some(minutes_ago(50)), history_summary: "Alarm updated from OK to ALARM".into() };
        snapshot.alarm_history.put(name, vec![fired]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| deployment.status == "IN_PROGRESS")
    else {
        return Ok(());
    };
    let (Some(began), Some(alarms)) =
        (rollout::started(deployment), &deployment.deployment_configuration.alarms)
    else {
        return Ok(());
    };
    for name in alarms.alarm_names.iter().filter(|_| alarms.enable) {
        let Some(Some(firing)) = findings.see(was_firing(patient, name, began)) else { continue };
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        findings.add(
            tell(patient, deployment, brings, name, firing)
                .concerns_all(Kind::TaskDefinition, brings),
        );
    }
    Ok(())
}

fn tell(
    patient: &Patient,
    deployment: &ServiceDeployment,
    brings: Option<&str>,
    name: &str,
    firing: Evidence,
) -> Finding {
    let of = brings.map_or("the deployment".to_owned(), |definition| {
        format!("the deployment of {}", rollout::short(definition))
    });
    let at =
        rollout::started(deployment).map_or_else(String::new, |at| format!(" at {}", clock(at)));
    let claim = format!(
        "alarm {name} was in ALARM when {of} began{at}, so ECS ignores all alarms for it and none will roll it back"
    );
    let see = |call: Call| patient.see(call, name);
    Subject::new(Kind::Alarm, name)
        .sick(claim, firing)
        .because_all(deployment.started_at.map(|at| rollout::evidence(deployment, "startedAt", at)))
        .mend(
            Remedy::new("Watch this deployment yourself. Before the next one, fix what the alarm reports and wait until it is OK.")
                .cli(see(Call::DescribeAlarms))
                .cli(see(Call::DescribeAlarmHistory)),
        )
        .concerns(Kind::Alarm, name)
}

/// The proof that an alarm was in ALARM at a moment: the change before it; where the history does
/// not reach back so far, the change after it; and without any change, its state since then.
fn was_firing(patient: &Patient, name: &str, at: Timestamp) -> Result<Option<Evidence>, Blind> {
    let history = patient.alarm_history(name)?;
    let is_before = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment <= at);
    let before = history.iter().find(|change| is_before(change.timestamp));
    let after = history.iter().rev().find(|change| !is_before(change.timestamp));
    let told = match (before, after) {
        (Some(before), _) => Some((before, before.to_alarm())),
        (None, Some(after)) => Some((after, after.history_summary.contains("from ALARM"))),
        (None, None) => None,
    };
    if let Some((change, firing)) = told {
        let evidence = Evidence::new(
            Call::DescribeAlarmHistory,
            name,
            "AlarmHistoryItems.HistorySummary",
            &change.history_summary,
        );
        return Ok(firing.then(|| evidence.at(change.timestamp)));
    }
    let alarm = patient
        .alarm(name)?
        .filter(|alarm| alarm.state_value == "ALARM" && is_before(alarm.state_updated_timestamp));
    Ok(alarm.map(|alarm| {
        Evidence::new(Call::DescribeAlarms, name, "StateValue", "ALARM")
            .at(alarm.state_updated_timestamp)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{AlarmTransition, Snapshot};
    use crate::testing::{exam, says};

    const ALARM: &str = "default/api/RollbackAlarm";

    fn history(changes: &[(i64, &str)]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let change = |(minutes, summary): &(i64, &str)| AlarmTransition {
            timestamp: Some(minutes_ago(*minutes)),
            history_summary: (*summary).into(),
        };
        snapshot.alarm_history.put(ALARM, changes.iter().map(change).collect());
        snapshot
    }

    #[test]
    fn tells_what_ecs_will_not_do() {
        let expected = "Alarm default/api/RollbackAlarm was in ALARM when the deployment of api:13 began at 02:52 UTC, so ECS ignores all alarms for it and none will roll it back.";
        assert_eq!(says(CHECK, &(CHECK.example)()), [expected]);
    }

    #[test]
    fn an_alarm_that_was_ok_at_the_start_counts_whatever_it_is_now() {
        let fired_later = history(&[
            (3, "Alarm updated from OK to ALARM"),
            (90, "Alarm updated from ALARM to OK"),
        ]);
        assert_eq!(exam(CHECK, &fired_later).outcome, Outcome::Healthy);
        let mended_before = history(&[
            (20, "Alarm updated from ALARM to OK"),
            (50, "Alarm updated from OK to ALARM"),
        ]);
        assert_eq!(exam(CHECK, &mended_before).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_alarm_that_was_firing_and_is_ok_by_now_is_ignored_all_the_same() {
        let mended = history(&[
            (3, "Alarm updated from ALARM to OK"),
            (50, "Alarm updated from OK to ALARM"),
        ]);
        assert_eq!(exam(CHECK, &mended).outcome, Outcome::Sick);
        let only_the_later_change = history(&[(3, "Alarm updated from ALARM to OK")]);
        assert_eq!(exam(CHECK, &only_the_later_change).outcome, Outcome::Sick);
    }

    #[test]
    fn without_a_history_its_state_since_then_tells() {
        let mut snapshot = history(&[]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        snapshot.alarms.change(ALARM).unwrap().state_updated_timestamp = Some(minutes_ago(5));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "its state before is unknown");
    }

    #[test]
    fn alarms_that_are_off_and_deployments_that_ended_are_not_guarded() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let newest = &mut snapshot.service_deployments.change(&arn).unwrap()[0];
        newest.deployment_configuration.alarms.iter_mut().for_each(|alarms| alarms.enable = false);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        snapshot.service_deployments.change(&arn).unwrap()[0].status = "SUCCESSFUL".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_hidden_history_is_not_an_alarm_that_is_ok() {
        let mut snapshot = (CHECK.example)();
        snapshot.alarm_history.insert(ALARM, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
