//! The alarm that rolled the deployment back counts 4xx responses as errors, and those made it
//! fire: strangers who request the wrong thing can roll back a good version. It is silent where the
//! app itself failed.

use jiff::{SignedDuration, Timestamp};

use crate::aws::time::{age, before, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::deployment::{rollback, rollout};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::{Metric, Series};
use crate::snapshot::service::{DeploymentAlarms, DeploymentConfiguration};
use crate::snapshot::{Alarm, ServiceDeployment};
use crate::{aws, hcl};

crate::check! {
    /// A deployment alarm that counts 4xx responses fired, while the app answered almost no request
    /// with 5xx.
    ///
    /// # Why it matters
    ///
    /// 401, 403 and 404 are answers to what a client requested. Scanners, crawlers and expired
    /// logins cause them on any public service, at any time: the alarm makes each deployment a
    /// matter of luck. Express Mode creates such an alarm for every service: more than 1 % of 4xx
    /// and 5xx together, in 2 of 3 minutes, across both versions.
    ///
    /// # How we tell
    ///
    /// The alarm rolled back the newest deployment; among its metrics is
    /// `HTTPCode_Target_4XX_Count`, and besides it only other responses and requests of this
    /// service's target groups. In the ten minutes before it fired, 4xx outnumber 5xx a hundred to
    /// one. Where that is further back than the metrics reach, the last hour must show the same,
    /// and the finding says "likely". Health checks are not in these metrics, so a failing health
    /// check does not count here.
    ///
    /// # What to do
    ///
    /// Make the alarm count 5xx only:
    ///
    /// ```sh
    /// aws cloudwatch put-metric-alarm --alarm-name <name> --namespace AWS/ApplicationELB --metric-name HTTPCode_Target_5XX_Count …
    /// ```
    ///
    /// Express rewrites its alarm at the start of each deployment: there, block bots with a web
    /// ACL, or remove the alarm from the deployment configuration. Sources differ on whether
    /// Express accepts the latter.
    ///
    /// Terraform/OpenTofu: `metric_name = "HTTPCode_Target_5XX_Count"` of
    /// `aws_cloudwatch_metric_alarm`; none for Express.
    ///
    /// # See also
    ///
    /// `alarm_rolled_back`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-update-full.html>
    title: "The rollback alarm counts 4xx (client) errors",
    severity: High,
    role: Cause,
    explains: [AlarmFired],
    applies: [DeployedByEcs],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeAlarms, DescribeAlarmHistory, DescribeTargetGroups,
        GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, roll_out};
        use crate::snapshot::AlarmTransition;
        use crate::snapshot::deployment::{AlarmsState, Rollback};
        let (group, name) = (id::group("api"), "api-errors");
        roll_out(snapshot, 40, |deployment| {
            deployment.status = "ROLLBACK_SUCCESSFUL".into();
            deployment.rollback = Some(Rollback { started_at: Some(minutes_ago(33)), ..Rollback::default() });
            deployment.alarms = Some(AlarmsState {
                status: Some("TRIGGERED".into()),
                alarm_names: vec![name.into()],
                triggered_alarm_names: vec![name.into()],
            });
        });
        let alarm = Alarm {
            alarm_name: name.into(),
            state_value: "OK".into(),
            metric_names: vec![CLIENT_ERRORS.into(), Metric::Target5xx.name().into()],
            target_groups: group.rsplit(':').next().map(str::to_owned).into_iter().collect(),
            ..Alarm::default()
        };
        snapshot.alarms.put(name, alarm);
        let fired = AlarmTransition { timestamp: Some(minutes_ago(34)), history_summary: "Alarm updated from OK to ALARM".into() };
        snapshot.alarm_history.put(name, vec![fired]);
        let burst = Series { values: vec![(minutes_ago(37), 41.0), (minutes_ago(36), 63.0), (minutes_ago(35), 58.0)] };
        snapshot.metrics.put(Metric::Target4xx.of(&group), burst);
    },
}

/// How long before an alarm fires its metrics began to breach: periods, and the delay of the
/// metrics.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// How far the metrics of a snapshot reach back.
const REACH: SignedDuration = SignedDuration::from_mins(60);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) = rollout::newest(patient)? else { return Ok(()) };
    for name in rollback::fired_alarms(patient, deployment)? {
        let Some(alarm) = patient.alarm(name)?.filter(|alarm| counts_4xx(alarm)) else { continue };
        let Some(groups) = groups_of(patient, alarm)? else { continue };
        let moment = rollback::went_off(patient, deployment, name)?
            .and_then(|transition| transition.timestamp);
        let moment = moment.or(rollback::started(deployment)).or(deployment.finished_at);
        let reach = before(patient.now(), REACH);
        let seen = moment.map(|at| (before(at, WINDOW), at)).filter(|(start, _)| *start >= reach);
        let (start, end) = seen.unwrap_or((reach, patient.now()));
        let answers = Answers::of(patient, &groups, start, end)?;
        if !answers.are_clients_fault() {
            continue;
        }
        let (clients, app) = (answers.clients, answers.app);
        let what = match (seen, moment) {
            (Some(_), _) => format!(
                "in the 10 min before it fired there were {clients} responses with 4xx and {app} with 5xx"
            ),
            (None, Some(at)) => format!(
                "it fired {} ago, likely because of those: in the last hour there were {clients} responses with 4xx and {app} with 5xx",
                words(age(patient.now(), at))
            ),
            (None, None) => format!(
                "likely those made it fire: in the last hour there were {clients} responses with 4xx and {app} with 5xx"
            ),
        };
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        let remedy = remedy(patient, findings, deployment, alarm, &groups);
        findings.add(
            Subject::new(Kind::Alarm, name)
                .sick(
                    format!("alarm {name} counts 4xx (client) errors as failures; {what}"),
                    metric_evidence(alarm, name),
                )
                .because_all(answers.peak)
                .because(rollout::evidence(deployment, "status", &deployment.status))
                .mend(remedy)
                .concerns(Kind::Alarm, name)
                .concerns_all(Kind::TaskDefinition, brings),
        );
    }
    Ok(())
}

const CLIENT_ERRORS: &str = "HTTPCode_Target_4XX_Count";

/// Whether it counts 4xx, and nothing that could have made it fire beside answers of targets.
fn counts_4xx(alarm: &Alarm) -> bool {
    let known =
        |name: &String| name.starts_with("HTTPCode_Target_") || name.starts_with("RequestCount");
    alarm.metric_names.iter().any(|name| name == CLIENT_ERRORS)
        && alarm.metric_names.iter().all(known)
}

fn metric_evidence(alarm: &Alarm, name: &str) -> Evidence {
    let metric = alarm
        .metric_names
        .iter()
        .find(|metric| *metric == CLIENT_ERRORS)
        .map_or(CLIENT_ERRORS, String::as_str);
    Evidence::new(Call::DescribeAlarms, name, "Metrics.MetricNames", metric)
}

/// The ARNs of the alarm's target groups, if all of them are this service's: of others there are no
/// metrics.
fn groups_of<'a>(patient: &Patient<'a>, alarm: &Alarm) -> Result<Option<Vec<&'a str>>, Blind> {
    let ours = traffic::groups(patient)?;
    let found: Option<Vec<&str>> = alarm
        .target_groups
        .iter()
        .map(|group| {
            ours.iter().copied().find(|arn| arn.rsplit(':').next() == Some(group.as_str()))
        })
        .collect();
    Ok(found.filter(|groups| !groups.is_empty()))
}

/// What the targets answered in a window.
struct Answers {
    clients: f64,
    app: f64,
    /// The minute with most 4xx.
    peak: Option<Evidence>,
}

impl Answers {
    fn of(
        patient: &Patient,
        groups: &[&str],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Answers, Blind> {
        let mut answers = Answers { clients: 0.0, app: 0.0, peak: None };
        let mut most = 0.0;
        for group in groups {
            let clients = within(patient.metric(Metric::Target4xx, group)?, start, end);
            let app = within(patient.metric(Metric::Target5xx, group)?, start, end);
            answers.clients += clients.iter().map(|(_, count)| count).sum::<f64>();
            answers.app += app.iter().map(|(_, count)| count).sum::<f64>();
            for (at, count) in clients {
                if count > most {
                    most = count;
                    answers.peak =
                        Some(Evidence::metric(Metric::Target4xx, group, count).at(Some(at)));
                }
            }
        }
        Ok(answers)
    }

    /// A hundred to one: 5xx are then below 1 % of all requests, which is what Express's alarm
    /// allows.
    fn are_clients_fault(&self) -> bool {
        self.clients >= 5.0 && self.app * 100.0 <= self.clients
    }
}

fn within(series: Option<&Series>, start: Timestamp, end: Timestamp) -> Vec<(Timestamp, f64)> {
    series
        .iter()
        .flat_map(|series| &series.values)
        .copied()
        .filter(|(at, _)| start <= *at && *at <= end)
        .collect()
}

fn remedy(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
    alarm: &Alarm,
    groups: &[&str],
) -> Remedy {
    let name = &alarm.alarm_name;
    if patient.is_express() {
        let none = DeploymentAlarms { alarm_names: Vec::new(), enable: false, rollback: false };
        let configured = DeploymentConfiguration {
            alarms: Some(none),
            ..deployment.deployment_configuration.clone()
        };
        return Remedy::new(
            "Block bots with a web ACL and serve what they request, such as / and /robots.txt. Or remove the alarm from the deployment: the command replaces the whole configuration, ECS may put the alarm back at the next deployment, and not every Express service accepts it.",
        )
        .cli(rollout::configure(patient, &configured));
    }
    let group = groups.first().copied().unwrap_or_default();
    let balancers = findings
        .see(patient.target_group(group))
        .flatten()
        .and_then(|group| findings.see(traffic::balancers_of(patient, group)));
    let balancer = balancers
        .into_iter()
        .flatten()
        .find_map(|arn| arn.split_once(":loadbalancer/"))
        .map_or(Word::needed("LOAD_BALANCER"), |(_, name)| Word::new(name));
    let dimension = group.rsplit(':').next().unwrap_or(group);
    let put = aws!(
        "cloudwatch put-metric-alarm --alarm-name {} --namespace AWS/ApplicationELB \
         --metric-name HTTPCode_Target_5XX_Count \
         --dimensions Name=TargetGroup,Value={} Name=LoadBalancer,Value={} \
         --statistic Sum --period 60 --evaluation-periods 3 --datapoints-to-alarm 2 \
         --threshold 5 --comparison-operator GreaterThanThreshold \
         --treat-missing-data notBreaching",
        name,
        dimension,
        balancer
    );
    Remedy::new("Make the alarm count 5xx only; choose how many per minute are too many.")
        .cli(put)
        .terraform(hcl!(
            r#"
            resource "aws_cloudwatch_metric_alarm" "rollback" {
              alarm_name  = {}
              namespace   = "AWS/ApplicationELB"
              metric_name = "HTTPCode_Target_5XX_Count"
            }"#,
            name
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    const ALARM: &str = "default/api/RollbackAlarm";

    /// Express's own alarm, which ECS makes for every service.
    fn express() -> Snapshot {
        let mut snapshot = (super::super::alarm_rolled_back::CHECK.example)();
        count(&mut snapshot, Metric::Target4xx, &[(37, 41.0), (36, 63.0), (35, 58.0)]);
        snapshot
    }

    fn count(snapshot: &mut Snapshot, metric: Metric, values: &[(i64, f64)]) {
        let values =
            values.iter().map(|(minutes, value)| (minutes_ago(*minutes), *value)).collect();
        snapshot.metrics.put(metric.of(&express_groups()[0]), Series { values });
    }

    #[test]
    fn counts_both_kinds_of_errors() {
        let expected = "Alarm default/api/RollbackAlarm counts 4xx (client) errors as failures; in the 10 min before it fired there were 162 \
                        responses with 4xx and 0 with 5xx.";
        assert_eq!(says(CHECK, &express()), [expected]);
    }

    #[test]
    fn is_silent_where_the_app_failed_itself() {
        let mut snapshot = express();
        count(&mut snapshot, Metric::Target5xx, &[(36, 2.0)]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "2 of 162 may have made it fire"
        );
        count(&mut snapshot, Metric::Target5xx, &[(36, 1.0)]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "1 of 162 cannot have");
    }

    #[test]
    fn errors_at_another_time_are_not_asked_for() {
        let mut snapshot = express();
        count(&mut snapshot, Metric::Target5xx, &[(5, 400.0)]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        count(&mut snapshot, Metric::Target4xx, &[(5, 400.0)]);
        count(&mut snapshot, Metric::Target5xx, &[]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "these came long after the alarm"
        );
    }

    #[test]
    fn health_checks_that_fail_with_404_are_no_client_errors() {
        let mut snapshot = express();
        let mismatch = baseline::unhealthy(
            "10.0.1.23",
            8080,
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        );
        snapshot.target_health.put(express_groups()[1].as_str(), vec![mismatch]);
        count(&mut snapshot, Metric::Target4xx, &[]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn beyond_the_metrics_it_is_likely_at_most() {
        let mut snapshot = (super::super::alarm_rolled_back::CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        let deployment = &mut snapshot.service_deployments.change(&arn).unwrap()[0];
        deployment.started_at = Some(minutes_ago(200));
        deployment
            .rollback
            .iter_mut()
            .for_each(|rollback| rollback.started_at = Some(minutes_ago(190)));
        snapshot.alarm_history.put(ALARM, Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "nothing shows client errors");
        count(&mut snapshot, Metric::Target4xx, &[(30, 20.0), (10, 30.0)]);
        let said = says(CHECK, &snapshot);
        assert!(said[0].contains("it fired 3 h 10 min ago, likely because of those: in the last hour there were 50 responses"), "{said:?}");
    }

    #[test]
    fn a_refused_metric_is_not_taken_for_silence() {
        for metric in [Metric::Target4xx, Metric::Target5xx] {
            let mut snapshot = express();
            snapshot
                .metrics
                .insert(metric.of(&express_groups()[1]), Seen::No(Why::Denied("no".into())));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook, "{metric:?}");
        }
    }

    #[test]
    fn an_alarm_that_watches_other_things_too_may_have_fired_for_them() {
        for names in [
            &["HTTPCode_Target_4XX_Count", "TargetResponseTime"][..],
            &["HTTPCode_Target_5XX_Count"],
            &[],
        ] {
            let mut snapshot = express();
            snapshot.alarms.change(ALARM).unwrap().metric_names =
                names.iter().map(|name| (*name).into()).collect();
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{names:?}");
        }
    }

    #[test]
    fn the_groups_of_another_service_are_not_ours_to_judge() {
        for groups in [&[][..], &["targetgroup/other/6d0ecf831eec9f09"]] {
            let mut snapshot = express();
            snapshot.alarms.change(ALARM).unwrap().target_groups =
                groups.iter().map(|group| (*group).into()).collect();
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{groups:?}");
        }
    }

    #[test]
    fn an_alarm_that_fired_for_nothing_is_left_alone() {
        let mut snapshot = express();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.service_deployments.change(&arn).unwrap().remove(0);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_remedy_for_an_own_alarm_names_the_group_and_the_balancer() {
        let command = &exam(CHECK, &(CHECK.example)()).findings[0].remedy.shell()[0];
        let dimensions = "'Name=TargetGroup,Value=targetgroup/api/6d0ecf831eec9f09' 'Name=LoadBalancer,Value=app/web/50dc6c495c0c9188'";
        assert!(command.contains(dimensions), "{command}");
    }

    #[test]
    fn the_remedy_for_express_takes_the_alarm_out() {
        let command = &exam(CHECK, &express()).findings[0].remedy.shell()[0];
        assert!(
            command.contains(r#""alarms":{"alarmNames":[],"enable":false,"rollback":false}"#),
            "{command}"
        );
    }
}
