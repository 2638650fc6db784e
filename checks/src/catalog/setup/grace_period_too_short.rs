//! ECS replaces tasks while they are still starting. It is a matter of arithmetic: how long the app
//! takes until it listens, how soon the load balancer marks it unhealthy, how long ECS ignores
//! that, and when the tasks were killed.

use jiff::{SignedDuration, Timestamp};

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::deployment::version::Version;
use crate::facts::inbound::traffic;
use crate::facts::tasks::start::{self, Start};
use crate::facts::tasks::stop::{self, Failures, StopKind};
use crate::finding::{Evidence, Finding, Kind, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{TargetGroup, Task};
use crate::{aws, hcl, words};

crate::check! {
    /// The app takes longer to start than the health check grace period allows for.
    ///
    /// # Why it matters
    ///
    /// Each task is stopped shortly before or after it is ready, and the next one starts from the
    /// beginning. It may have worked for years, until the app grew, or a smaller machine made it
    /// slower.
    ///
    /// # How we tell
    ///
    /// The start takes from `startedAt` of a task to the log line in which its app says that it
    /// listens. By then the load balancer has marked the target unhealthy
    /// (`UnhealthyThresholdCount` checks, `HealthCheckIntervalSeconds` apart), and it takes
    /// `HealthyThresholdCount` more passed checks until it is healthy again. If
    /// `healthCheckGracePeriodSeconds` is less than both together, and two tasks of this version
    /// were stopped because of the load balancer's health check before that time was over, the
    /// grace period is too short. An app that answers with a status code of its own, 404 or 401 or
    /// a redirect, does not count: no grace period fixes that. The log must have been read, and the
    /// app must log when it is ready.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --health-check-grace-period-seconds 300
    /// ```
    ///
    /// Terraform/OpenTofu: `health_check_grace_period_seconds` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `health_check_refused`, `health_check_times_out`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-healthcheck.html>
    title: "Tasks are killed while they are still starting",
    severity: High,
    role: Cause,
    explains: [HealthCheckRefused, HealthCheckTimesOut, TargetsUnhealthy, TasksKeepStopping],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups,
        GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        slow_start(snapshot, 138, 150);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        for group in traffic::groups(patient)? {
            let Some(found) = findings.see(too_short(patient, &failures, group)).flatten() else {
                continue;
            };
            findings.add(found);
        }
    }
    Ok(())
}

fn too_short(
    patient: &Patient,
    failures: &Failures,
    group: &str,
) -> Result<Option<Finding>, Blind> {
    let lived: Vec<(&Task, SignedDuration)> = failures
        .tasks
        .iter()
        .filter_map(|task| Some((*task, killed_after(task, group)?)))
        .collect();
    if lived.len() < 2 || answers_by_itself(patient, &failures.version, group) {
        return Ok(None);
    }
    let (Some(container), Some(settings)) =
        (traffic::container(patient, group), patient.target_group(group)?)
    else {
        return Ok(None);
    };
    let Some(start) = start::slowest(patient, failures.task_definition, container)? else {
        return Ok(None);
    };
    let grace = time::seconds(patient.service().health_check_grace_period_seconds.unwrap_or(0));
    let Some(patience) =
        Patience::of(settings, start.took).filter(|patience| grace < patience.needed)
    else {
        return Ok(None);
    };
    let cut: Vec<_> = lived.into_iter().filter(|(_, lived)| *lived < patience.needed).collect();
    Ok((cut.len() > 1).then(|| tell(patient, failures, settings, &start, &patience, &cut)))
}

/// How long after its start ECS began to stop a task because of the health check of this group.
fn killed_after(task: &Task, group: &str) -> Option<SignedDuration> {
    let because = matches!(StopKind::of(task), StopKind::BalancerHealthCheck { group: named } if named == group);
    let ended = task.stopping_at.or(task.stopped_at)?;
    Some(ended.duration_since(task.started_at?)).filter(|_| because)
}

/// Whether the app answered the health check with a code of its own; what comes back while it
/// starts is 502 or 503 at most.
fn answers_by_itself(patient: &Patient, version: &Version, group: &str) -> bool {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let tells = |at: Timestamp| if version.is_past() { version.lived(at) } else { at >= hour_ago };
    patient.service().events.iter().filter(|event| event.created_at.is_some_and(tells)).any(
        |event| match event::read(&event.message) {
            Event::TargetUnhealthy { group: named, reason } if named == group => {
                reason.contains("these codes: [")
                    && !["[502]", "[503]"].iter().any(|code| reason.contains(code))
            }
            _ => false,
        },
    )
}

/// How the target group times its checks, and how long a task needs in all to be healthy.
struct Patience {
    interval: i32,
    failures: i32,
    passes: i32,
    needed: SignedDuration,
}

impl Patience {
    /// None where the app is ready before the load balancer marks it unhealthy: then the first
    /// check that passes makes it healthy.
    fn of(settings: &TargetGroup, took: SignedDuration) -> Option<Patience> {
        let interval = settings.health_check_interval_seconds?;
        let (failures, passes) =
            (settings.unhealthy_threshold_count?, settings.healthy_threshold_count?);
        // The first check may come at once, so the last that counts may be one interval sooner.
        let gives_up = time::seconds(interval.saturating_mul(failures.saturating_sub(1)));
        (took > gives_up).then(|| Patience {
            interval,
            failures,
            passes,
            needed: took + time::seconds(interval.saturating_mul(passes)),
        })
    }
}

fn tell(
    patient: &Patient,
    failures: &Failures,
    settings: &TargetGroup,
    start: &Start,
    patience: &Patience,
    cut: &[(&Task, SignedDuration)],
) -> Finding {
    let group = settings.target_group_arn.as_str();
    let grace = patient.service().health_check_grace_period_seconds;
    let seconds = |span: SignedDuration| span.as_secs();
    let (shortest, longest) = (
        cut.iter().map(|(_, lived)| seconds(*lived)).min(),
        cut.iter().map(|(_, lived)| seconds(*lived)).max(),
    );
    let lived = match (shortest, longest) {
        (Some(shortest), Some(longest)) if shortest < longest => {
            format!("{shortest} to {longest} s")
        }
        (_, longest) => format!("{} s", longest.unwrap_or_default()),
    };
    let Patience { interval, failures: fails, passes, needed } = patience;
    let (took, needed) = (seconds(start.took), seconds(*needed));
    let version = rollout::short(failures.task_definition);
    let (needs, is) = if failures.is_primary { ("needs", "is") } else { ("needed", "was") };
    let claim = format!(
        "{version}{} {needs} {took} s until it listens, and {is} killed after {lived}: the load balancer marks it unhealthy after {fails} checks {interval} s apart, and the grace period is {} s",
        failures.version.fate(),
        grace.unwrap_or(0),
    );
    let detail =
        format!("With the {passes} checks that it must pass again, it likely needs {needed} s.");
    // Some room, and a round number.
    let enough = (needed / 30 + 2) * 30;
    let remedy = Remedy::new(format!(
        "Raise the grace period to {enough} s, so that ECS waits for the app to start; then find out why it takes so long. A lower healthy threshold helps, too."
    ))
    .cli(patient.update_service().and(words!("--health-check-grace-period-seconds {}", enough)))
    .cli(aws!(
        "elbv2 modify-target-group --target-group-arn {} --healthy-threshold-count 2",
        group
    ));
    let remedy = if patient.is_express() {
        remedy
    } else {
        remedy.terraform(hcl!(
            r#"
            resource "aws_ecs_service" {} {
              health_check_grace_period_seconds = {}
            }"#,
            patient.name(),
            enough
        ))
    };
    let of_group =
        |field, value: i32| Evidence::new(Call::DescribeTargetGroups, group, field, value);
    let of_task = |(task, _): &(&Task, SignedDuration)| stop::evidence(task);
    patient
        .subject()
        .sick(claim, start.evidence.clone())
        .named()
        .detail(detail)
        .because_all(
            start.task.started_at.map(|at| {
                Evidence::new(Call::DescribeTasks, &start.task.task_arn, "startedAt", at)
            }),
        )
        .because_all(grace.map(|grace| patient.evidence("healthCheckGracePeriodSeconds", grace)))
        .because(of_group("UnhealthyThresholdCount", *fails))
        .because(of_group("HealthCheckIntervalSeconds", *interval))
        .because(of_group("HealthyThresholdCount", *passes))
        .because_all(cut.iter().take(1).map(of_task))
        .mend(remedy)
        .concerns(Kind::TaskDefinition, failures.task_definition)
        .concerns(Kind::TargetGroup, group)
}

/// Has three tasks killed some seconds after they began, whose app says after some seconds that it
/// listens.
fn slow_start(snapshot: &mut crate::snapshot::Snapshot, listens_after: i64, killed_after: i64) {
    use crate::baseline::{id, stop_tasks};
    use crate::snapshot::LogLine;
    let group = id::group("api");
    stop_tasks(snapshot, 3, |task| {
        task.stop_code = Some("ServiceSchedulerInitiated".into());
        task.stopped_reason =
            Some(format!("Task failed ELB health checks in (target-group {group})"));
        task.started_at = task.stopping_at.map(|at| at - SignedDuration::from_secs(killed_after));
    });
    let arn = snapshot.services[0].service_arn.clone();
    for task in snapshot.stopped_tasks.change(&arn).cloned().unwrap_or_default().iter().take(2) {
        let stream = format!("ecs/app/{}", task.id());
        let timestamp = task.started_at.map(|at| at + SignedDuration::from_secs(listens_after));
        let message = "Tomcat started on port(s): 8080 (http) with context path ''".into();
        let line = LogLine { timestamp, message, log_stream_name: stream.clone() };
        let is_written = listens_after <= killed_after;
        snapshot.logs.put(
            format!("/ecs/api{}{stream}", crate::call::LOG_STREAM),
            is_written.then_some(line).into_iter().collect(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, say, unhealthy};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn slow(listens_after: i64, killed_after: i64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        slow_start(&mut snapshot, listens_after, killed_after);
        snapshot
    }

    fn graced(mut snapshot: Snapshot, grace: i32) -> Snapshot {
        snapshot.services[0].health_check_grace_period_seconds = Some(grace);
        snapshot
    }

    #[test]
    fn does_the_sum() {
        assert_eq!(
            says(CHECK, &slow(138, 150)),
            [
                "api:12 needs 138 s until it listens, and is killed after 150 s: the load balancer marks it unhealthy after 2 checks 30 s apart, and the grace period is \
                 60 s. With the 5 checks that it must pass again, it likely needs 288 s."
            ]
        );
    }

    #[test]
    fn a_start_within_the_grace_period_was_not_the_trouble() {
        assert!(says(CHECK, &graced(slow(138, 320), 300)).is_empty());
        assert!(
            says(CHECK, &graced(slow(138, 150), 300)).is_empty(),
            "killed sooner than the grace period allows, so for another reason"
        );
    }

    #[test]
    fn an_app_that_is_ready_at_once_is_killed_for_something_else() {
        assert!(says(CHECK, &slow(4, 95)).is_empty());
    }

    #[test]
    fn tasks_that_had_the_time_they_need_are_killed_for_something_else() {
        assert!(says(CHECK, &slow(40, 400)).is_empty());
    }

    #[test]
    fn no_grace_period_heals_a_404() {
        let mut snapshot = slow(138, 150);
        let reason = "Health checks failed with these codes: [404]";
        let group = id::group("api");
        say(
            &mut snapshot,
            5,
            &format!(
                "(service api) (task {}) (port 8080) is unhealthy in (target-group {group}) due to (reason {reason}).",
                id::task(3)
            ),
        );
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_502_may_be_a_proxy_whose_app_still_starts() {
        let mut snapshot = slow(138, 150);
        let reason = "Health checks failed with these codes: [502]";
        let group = id::group("api");
        say(
            &mut snapshot,
            5,
            &format!(
                "(service api) (task {}) (port 8080) is unhealthy in (target-group {group}) due to (reason {reason}).",
                id::task(3)
            ),
        );
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn an_app_that_does_not_say_when_it_listens_proves_nothing() {
        assert_eq!(exam(CHECK, &slow(138, 95)).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_app_that_listens_for_itself_only_never_gets_healthy() {
        let mut snapshot = slow(138, 150);
        for lines in snapshot.logs.0.values_mut() {
            if let Seen::Yes(Some(lines)) = lines {
                lines.iter_mut().for_each(|line| {
                    line.message = "Uvicorn running on http://127.0.0.1:8080".into()
                });
            }
        }
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn one_task_proves_nothing_and_an_older_version_tells_nothing_of_today() {
        let mut snapshot = slow(138, 150);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().truncate(1);
        assert!(says(CHECK, &snapshot).is_empty());
        let mut snapshot = slow(138, 150);
        snapshot
            .stopped_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.started_by = Some("ecs-svc/1000000000000000011".into()));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn unread_logs_are_not_quick_ones() {
        let mut snapshot = slow(138, 150);
        snapshot.logs.0.values_mut().for_each(|lines| *lines = Seen::No(Why::Declined));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn stands_above_the_refused_health_check_and_the_stops() {
        let mut snapshot = slow(138, 150);
        let refused =
            |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot
            .target_health
            .put(id::group("api"), vec![refused("10.0.1.21"), refused("10.0.2.22")]);
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let mut chain = vec![&diagnosis.roots[0]];
        while let Some(next) = chain.last().and_then(|node| node.explains.first()) {
            chain.push(next);
        }
        let chain: Vec<&str> = chain.iter().map(|node| node.check.id()).collect();
        assert_eq!(
            chain,
            [CHECK.id(), "health_check_refused", "targets_unhealthy", "tasks_keep_stopping"]
        );
    }
}
