//! A new target waits for its first health check. It is normal, and it is known when it ends: a
//! note, so that nobody investigates it.

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::health_check;
use crate::facts::inbound::traffic::{self, GroupState};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Target, TargetGroup};
use crate::text::{count, plural};

crate::check! {
    /// A target was registered a moment ago and has not had its first health check yet: its state
    /// is `initial`. Or it fails the check while its task is within the service's grace period.
    ///
    /// # Why it matters
    ///
    /// It is normal. If it is the only target of the group, clients may get an error until the
    /// check has passed.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the state `initial`, and the task with the target's address
    /// started no longer ago than the service's grace period, two intervals of the health check and
    /// one minute. After that it is no longer normal, and this note is silent. The same holds for a
    /// target that is `unhealthy` while the grace period is not over for its task, and others
    /// serve. A new target needs only one success, regardless of the healthy threshold.
    ///
    /// # What to do
    ///
    /// Wait. A shorter interval makes the wait shorter:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-interval-seconds 10
    /// ```
    ///
    /// Terraform/OpenTofu: `health_check { interval = 10 }` in `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-healthcheck.html>
    title: "A new target waits for its first health check",
    severity: Info,
    role: Note,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks],
    example: on fargate, |snapshot| {
        use crate::baseline::{NOW, id, target};
        let service = snapshot.services[0].service_arn.clone();
        for task in snapshot.running_tasks.change(&service).into_iter().flatten().take(1) {
            task.started_at = Some(NOW - SignedDuration::from_secs(40));
        }
        let new = Target { reason: Some("Elb.InitialHealthChecking".into()), ..target("10.0.1.21", 8080, "eu-west-2a", "initial") };
        snapshot.target_health.put(id::group("api"), vec![new, target("10.0.2.22", 8080, "eu-west-2b", "healthy")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        starting(patient, findings, group, targets);
        let initial: Vec<&Target> =
            targets.iter().filter(|target| target.state == "initial").collect();
        if initial.is_empty() {
            continue;
        }
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let Some(warming) = findings.see(warming(patient, settings, &initial)) else { continue };
        let Some((end, _)) = warming.iter().max_by_key(|(end, _)| *end) else { continue };
        let claim = format!(
            "in target group {}, {} of {} {} for the first health check; the result is due by {}",
            traffic::group_name(group),
            warming.len(),
            count(targets.len(), "target"),
            plural(warming.len(), "waits", "wait"),
            time::clock(*end)
        );
        let meanwhile = match GroupState::of(targets) {
            GroupState::Warming => "Until then requests to this group may fail.",
            _ => "",
        };
        let remedy = Remedy::new("Wait: one success is enough. Then look again.")
            .cli(patient.see(Call::DescribeTargetHealth, group));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        group,
                        "TargetHealth.State",
                        "initial",
                    ),
                )
                .detail(meanwhile)
                .because_all(warming.into_iter().map(|(_, task)| task))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group),
        );
    }
    Ok(())
}

/// Unhealthy targets of tasks that start within the grace period, while others serve.
fn starting(patient: &Patient, findings: &mut Findings, group: &str, targets: &[Target]) {
    let unhealthy = targets.iter().filter(|target| target.state == "unhealthy");
    let starting = unhealthy
        .filter(|target| findings.see(health_check::in_grace(patient, target)) == Some(true))
        .count();
    let grace = patient.service().health_check_grace_period_seconds.unwrap_or(0);
    if starting == 0 || !targets.iter().any(|target| target.state == "healthy") {
        return;
    }
    let claim = format!(
        "in target group {}, {starting} of {} {} unhealthy within the grace period of {grace} s: the task is likely still starting",
        traffic::group_name(group),
        count(targets.len(), "target"),
        plural(starting, "is", "are"),
    );
    let see = patient.see(Call::DescribeTargetHealth, group);
    findings.add(
        Subject::new(Kind::TargetGroup, group)
            .sick(
                claim,
                Evidence::new(Call::DescribeTargetHealth, group, "TargetHealth.State", "unhealthy"),
            )
            .because(patient.evidence("healthCheckGracePeriodSeconds", grace))
            .mend(
                Remedy::new(
                    "Wait until the grace period is over. After that an unhealthy target is reported.",
                )
                .cli(see),
            )
            .concerns(Kind::TargetGroup, group),
    );
}

/// The targets whose wait is normal: until when it is, and the start of the task.
fn warming(
    patient: &Patient,
    group: &TargetGroup,
    targets: &[&Target],
) -> Result<Vec<(Timestamp, Evidence)>, Blind> {
    let grace = patient.service().health_check_grace_period_seconds.unwrap_or(0);
    // Where the interval is unknown, the shortest one: nothing is called normal for longer than it
    // is.
    let interval = group.health_check_interval_seconds.unwrap_or(5);
    let patience = time::seconds(grace) + time::seconds(interval) * 2 + time::MINUTE;
    let mut warming = Vec::new();
    for target in targets {
        let Some(task) = health_check::task_behind(patient, target)? else { continue };
        let Some(start) = task.started_at else { continue };
        let end = time::after(start, patience);
        if patient.now() < end {
            let evidence = Evidence::new(Call::DescribeTasks, &task.task_arn, "startedAt", start)
                .at(Some(start));
            warming.push((end, evidence));
        }
    }
    Ok(warming)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, id, target};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// The task of the waiting target started this long ago.
    fn started(seconds: i64) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&service).unwrap()[0].started_at =
            Some(NOW - SignedDuration::from_secs(seconds));
        snapshot
    }

    #[test]
    fn says_when_the_wait_ends() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "In target group api, 1 of 2 targets waits for the first health check; the result is due by 03:02 UTC."
            ]
        );
    }

    #[test]
    fn ends_after_grace_two_intervals_and_a_minute() {
        assert_eq!(exam(CHECK, &started(179)).outcome, Outcome::Sick);
        assert_eq!(exam(CHECK, &started(180)).outcome, Outcome::Healthy);
    }

    #[test]
    fn warns_if_nobody_else_can_answer() {
        let mut snapshot = started(10);
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.1.21", 8080, "eu-west-2a", "initial")]);
        assert!(says(CHECK, &snapshot)[0].ends_with("Until then requests to this group may fail."));
    }

    #[test]
    fn a_target_without_a_task_is_not_called_normal() {
        let mut snapshot = baseline::fargate();
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.9.9", 8080, "eu-west-2a", "initial")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_instances_target_is_matched_by_its_port() {
        let mut snapshot = baseline::ec2();
        let service = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&service).unwrap()[1].started_at =
            Some(NOW - SignedDuration::from_secs(20));
        let targets = vec![
            target("i-0a1b2c3d4e5f60001", 32768, "eu-west-2a", "healthy"),
            target("i-0a1b2c3d4e5f60002", 32769, "eu-west-2b", "initial"),
        ];
        snapshot.target_health.put(id::group("web"), targets);
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 1);
    }

    #[test]
    fn a_task_may_fail_the_check_while_it_starts_and_others_serve() {
        let mut snapshot = started(40);
        let unhealthy = baseline::unhealthy(
            "10.0.1.21",
            8080,
            "Target.FailedHealthChecks",
            "Health checks failed",
        );
        let healthy = target("10.0.2.22", 8080, "eu-west-2b", "healthy");
        snapshot.target_health.put(id::group("api"), vec![unhealthy.clone(), healthy]);
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "In target group api, 1 of 2 targets is unhealthy within the grace period of 60 s: the task is likely still starting."
            ]
        );
        snapshot.target_health.put(id::group("api"), vec![unhealthy]);
        assert!(says(CHECK, &snapshot).is_empty(), "nobody serves");
    }
}
