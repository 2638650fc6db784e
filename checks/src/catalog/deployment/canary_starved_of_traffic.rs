//! A canary or linear deployment is past its bake time and almost no requests arrive: with nothing
//! to evaluate, it does not continue. AWS does not document why, so the finding says "likely", and
//! only where nothing else holds it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::aws::time::{after, age, before, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::facts::inbound::traffic::{self, Forward};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::ServiceDeployment;
use crate::snapshot::metric::Metric;
use crate::snapshot::service::DeploymentConfiguration;
use crate::text::{and_list, plural};

crate::check! {
    /// A canary or linear deployment should have continued by now, but the service gets almost no
    /// requests, and its alarms have nothing to evaluate.
    ///
    /// # Why it matters
    ///
    /// The old and the new version both run, for hours, at twice the cost. Express Mode has no
    /// other strategy, so this hits small services most: 5 % of almost nothing is nothing.
    ///
    /// # How we tell
    ///
    /// The deployment is at `PRODUCTION_TRAFFIC_SHIFT` or `BAKE_TIME`, more than ten minutes past
    /// the bake time of that stage; it watches alarms and none has fired; all tasks of the new
    /// version run, and no hook waits. Since the stage began, the target groups of the service got
    /// less than one request a minute. Health checks are not in that metric, and CloudWatch has no
    /// values at all where there is no traffic. That requests make it continue has been observed,
    /// but is not documented.
    ///
    /// # What to do
    ///
    /// Send about 20 requests a minute to the service until the deployment ends, or roll back:
    ///
    /// ```sh
    /// aws ecs stop-service-deployment --service-deployment-arn <arn> --stop-type ROLLBACK
    /// ```
    ///
    /// Terraform/OpenTofu: `deployment_configuration { strategy = "ROLLING" }` of `aws_ecs_service`
    /// needs no traffic; `aws_ecs_express_gateway_service` has no argument for it.
    ///
    /// # See also
    ///
    /// `deployment_stuck`, `baking`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html>,
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>
    title: "The canary is past its bake time, and almost no requests arrive",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeAlarms, GetMetricData, DescribeTargetGroups, DescribeListeners, DescribeRules],
    example: on express, |snapshot| {
        use crate::baseline::{express_groups, minutes_ago, roll_out};
        use crate::snapshot::Series;
        roll_out(snapshot, 190, |deployment| {
            deployment.lifecycle_stage = Some("PRODUCTION_TRAFFIC_SHIFT".into());
            deployment.updated_at = Some(minutes_ago(184));
            deployment.target_service_revision.iter_mut().for_each(|target| target.requested_production_traffic_weight = Some(5.0));
            deployment.alarms.iter_mut().for_each(|alarms| alarms.status = Some("MONITORING".into()));
        });
        for group in express_groups() {
            snapshot.metrics.put(Metric::GroupRequests.of(&group), Series::default());
        }
    },
}

/// What a stage may take beyond its bake time before we call it late: shifting, and the delay of
/// metrics.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| waits_for_traffic(deployment))
    else {
        return Ok(());
    };
    let (Some(bake), Some(began)) = (rollout::bake(deployment), rollout::stage_began(deployment))
    else {
        return Ok(());
    };
    if patient.now() < after(began, bake + MARGIN) {
        return Ok(());
    }
    let from = began.max(before(patient.now(), SignedDuration::from_mins(60)));
    let span = age(patient.now(), from);
    let (requests, values) = requests(patient, from)?;
    if values.is_empty() || requests >= span.as_secs_f64() / 60.0 {
        return Ok(());
    }
    let brings = findings.see(rollout::brings(patient, deployment)).flatten();
    let stage = deployment.lifecycle_stage.as_deref().unwrap_or_default();
    let claim = format!(
        "{} has been at stage {stage} for about {}, though its bake time is {}",
        rollout::name(deployment, brings),
        words(age(patient.now(), began)),
        words(bake)
    );
    let detail = format!(
        "In the last {} the service got {}: likely too few for its alarms to judge the new version.",
        words(span),
        if requests == 1.0 { "1 request".to_owned() } else { format!("{requests} requests") }
    );
    let alarms = alarm_states(patient, findings, deployment);
    let elsewhere = findings.see(elsewhere(patient)).unwrap_or_default();
    findings.add(
        Subject::new(Kind::Deployment, &deployment.service_deployment_arn)
            .sick(claim, rollout::evidence(deployment, "lifecycleStage", stage))
            .detail(detail)
            .detail(elsewhere_words(&elsewhere))
            .because_all(
                deployment.updated_at.map(|at| rollout::evidence(deployment, "updatedAt", at)),
            )
            .because_all(values)
            .because_all(alarms)
            .because_all(elsewhere.iter().flat_map(led_away))
            .mend(remedy(patient, deployment))
            .concerns_all(Kind::TaskDefinition, brings),
    );
    Ok(())
}

/// Whether nothing but its alarms can hold it: it shifts step by step, its tasks run, no hook
/// waits, no alarm fired.
fn waits_for_traffic(deployment: &ServiceDeployment) -> bool {
    let shifts = matches!(
        Strategy::of(&deployment.deployment_configuration),
        Strategy::Canary | Strategy::Linear
    );
    let runs = deployment
        .target_service_revision
        .as_ref()
        .is_some_and(|target| target.running_task_count >= target.requested_task_count.max(1));
    let hook = deployment
        .lifecycle_hook_details
        .iter()
        .any(|hook| matches!(hook.status.as_deref(), Some("AWAITING_ACTION" | "IN_PROGRESS")));
    let judged = deployment.alarms.as_ref().is_some_and(|alarms| {
        !alarms.alarm_names.is_empty()
            && alarms.triggered_alarm_names.is_empty()
            && !matches!(alarms.status.as_deref(), Some("TRIGGERED" | "DISABLED"))
    });
    deployment.status == "IN_PROGRESS" && shifts && runs && judged && !hook
}

/// All requests to the service's target groups since a moment, and of each group the busiest minute
/// or else its last. One group that we cannot see could have had them all.
fn requests(patient: &Patient, from: Timestamp) -> Result<(f64, Vec<Evidence>), Blind> {
    let mut sum = 0.0;
    let mut evidence = Vec::new();
    for group in traffic::groups(patient)? {
        let values =
            patient.metric(Metric::GroupRequests, group)?.map_or(&[][..], |series| &series.values);
        let since = || values.iter().filter(|(at, _)| *at >= from);
        sum += since().map(|(_, count)| count).sum::<f64>();
        let minute = since().max_by(|a, b| a.1.total_cmp(&b.1)).or(values.last());
        let value = minute.map_or("[]".to_owned(), |(_, count)| count.to_string());
        evidence.push(
            Evidence::metric(Metric::GroupRequests, group, value).at(minute.map(|(at, _)| *at)),
        );
    }
    Ok((sum, evidence))
}

/// Rules that give all weight to groups that are no longer the service's: their requests
/// do not count for the deployment.
fn elsewhere<'a>(patient: &Patient<'a>) -> Result<Vec<Forward<'a>>, Blind> {
    let own = traffic::groups(patient)?;
    let mut forwards = traffic::forwards(patient)?;
    forwards.retain(|forward| {
        forward.live().count() > 0 && !forward.live().any(|share| own.contains(share.group))
    });
    Ok(forwards)
}

fn elsewhere_words(forwards: &[Forward]) -> String {
    if forwards.is_empty() {
        return String::new();
    }
    let names: BTreeSet<String> = forwards.iter().map(Forward::name).collect();
    let groups: BTreeSet<&str> = forwards
        .iter()
        .flat_map(|forward| forward.live().map(|share| traffic::group_name(share.group)))
        .collect();
    let noun = plural(groups.len(), "target group", "target groups");
    format!(
        "Requests for {} do not reach it: they go to {noun} {}, outside this service.",
        and_list(names),
        and_list(groups)
    )
}

/// The hosts that a rule is for, and the weight with which it leads away.
fn led_away(forward: &Forward) -> Vec<Evidence> {
    let of_rule = |field, value: &str| {
        Evidence::new(Call::DescribeRules, &forward.rule.rule_arn, field, value)
    };
    let hosts = forward.hosts().map(|host| of_rule("Conditions.Values", host));
    let weights = forward
        .live()
        .map(|share| of_rule("ForwardConfig.TargetGroups.Weight", &share.weight.to_string()));
    hosts.chain(weights).collect()
}

/// What its alarms say, and since when.
fn alarm_states(
    patient: &Patient,
    findings: &mut Findings,
    deployment: &ServiceDeployment,
) -> Vec<Evidence> {
    let names = deployment.alarms.iter().flat_map(|alarms| &alarms.alarm_names);
    let alarms = names.filter_map(|name| findings.see(patient.alarm(name)).flatten());
    alarms
        .map(|alarm| {
            Evidence::new(Call::DescribeAlarms, &alarm.alarm_name, "StateValue", &alarm.state_value)
                .at(alarm.state_updated_timestamp)
        })
        .collect()
}

fn remedy(patient: &Patient, deployment: &ServiceDeployment) -> Remedy {
    let now = "Send about 20 requests a minute to the service until the deployment ends, or roll back to the previous version.";
    let now_only = |summary: String| {
        Remedy::new(summary).cli(rollout::see(patient, deployment)).cli(rollout::stop(deployment))
    };
    if patient.is_express() {
        return now_only(format!("{now} Express Mode has no other strategy."));
    }
    let rolling = DeploymentConfiguration {
        strategy: Some("ROLLING".into()),
        canary_percent: None,
        step_percent: None,
        ..patient.service().deployment_configuration.clone()
    };
    now_only(format!("{now} For future deployments, the rolling strategy needs no traffic; the last command replaces the whole deployment configuration."))
        .cli(rollout::configure(patient, &rolling))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_service" {} {
              deployment_configuration {
                strategy = "ROLLING"
              }
            }"#,
            patient.name()
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{express_groups, minutes, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::snapshot::deployment::HookDetail;
    use crate::testing::{exam, newest_deployment, says};

    fn example(change: impl FnOnce(&mut ServiceDeployment)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(newest_deployment(&mut snapshot));
        snapshot
    }

    #[test]
    fn tells_stage_bake_and_requests() {
        let expected = "The deployment of api:13 has been at stage PRODUCTION_TRAFFIC_SHIFT for about 3 h 4 min, though its bake time is 3 min. In the last 60 min \
                        the service got 0 requests: likely too few for its alarms to judge the new version.";
        assert_eq!(
            says(CHECK, &example(|_| ())),
            [expected
                .replace("3 min. In", "180 s. In")
                .replace("180 s", &words(SignedDuration::from_mins(3)))]
        );
    }

    #[test]
    fn a_bake_and_its_margin_are_waited_for() {
        let snapshot = example(|deployment| deployment.updated_at = Some(minutes_ago(12)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let snapshot = example(|deployment| deployment.updated_at = Some(minutes_ago(14)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        let snapshot = example(|deployment| {
            deployment.deployment_configuration.canary_bake_time_in_minutes = Some(240)
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "four hours were asked for");
    }

    #[test]
    fn traffic_to_either_half_of_the_pair_is_traffic() {
        for group in express_groups() {
            let mut snapshot = example(|_| ());
            snapshot.metrics.put(Metric::GroupRequests.of(&group), minutes(1.0));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
            snapshot.metrics.put(Metric::GroupRequests.of(&group), minutes(0.5));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        }
    }

    #[test]
    fn says_whose_requests_go_elsewhere() {
        use crate::baseline::{express_groups, forward, host_rule, id};
        let [live, _] = express_groups();
        let with = |weights: &[(&str, i32)]| {
            let mut snapshot = (CHECK.example)();
            let listener = snapshot.rules.0.keys().next().cloned().unwrap();
            let rule = host_rule("rule", "10", "www.example.com", forward(weights));
            snapshot.rules.change(&listener).unwrap().insert(1, rule);
            says(CHECK, &snapshot).remove(0)
        };
        let former = id::group("former");
        let said = with(&[(&live, 0), (&former, 100)]);
        assert!(
            said.ends_with(
                "Requests for www.example.com do not reach it: they go to target group former, outside this service."
            ),
            "{said}"
        );
        assert!(!with(&[(&live, 100), (&former, 0)]).contains("www.example.com"));
    }

    #[test]
    fn one_request_is_no_plural() {
        let mut snapshot = example(|_| ());
        let series = crate::snapshot::Series { values: vec![(minutes_ago(7), 1.0)] };
        snapshot.metrics.put(Metric::GroupRequests.of(&express_groups()[0]), series);
        assert!(says(CHECK, &snapshot)[0].contains("the service got 1 request: likely"));
    }

    #[test]
    fn a_refused_metric_is_not_no_traffic() {
        let mut snapshot = example(|_| ());
        snapshot.metrics.insert(
            Metric::GroupRequests.of(&express_groups()[1]),
            Seen::No(Why::Denied("no".into())),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn what_else_holds_it_is_not_starvation() {
        type Edit = fn(&mut ServiceDeployment);
        let held: [(&str, Edit); 6] = [
            ("tasks of the new version do not run", |d| {
                d.target_service_revision
                    .iter_mut()
                    .for_each(|target| target.running_task_count = 1)
            }),
            ("a hook waits", |d| {
                d.lifecycle_hook_details = vec![HookDetail {
                    status: Some("AWAITING_ACTION".into()),
                    ..HookDetail::default()
                }]
            }),
            ("an alarm fired", |d| {
                d.alarms
                    .iter_mut()
                    .for_each(|alarms| alarms.triggered_alarm_names = alarms.alarm_names.clone())
            }),
            ("no alarm could judge", |d| d.alarms = None),
            ("it still starts its tasks", |d| d.lifecycle_stage = Some("SCALE_UP".into())),
            ("it is rolling back", |d| d.status = "ROLLBACK_IN_PROGRESS".into()),
        ];
        for (why, change) in held {
            assert_eq!(exam(CHECK, &example(change)).outcome, Outcome::Healthy, "{why}");
        }
    }

    #[test]
    fn a_rolling_deployment_needs_no_traffic() {
        let snapshot = example(|deployment| {
            deployment.deployment_configuration.strategy = Some("ROLLING".into())
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
