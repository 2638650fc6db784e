//! Targets fail the load balancer's health check, in any target group of the service: in the one
//! that gets the traffic, or in the one that a new version waits in. The `health_check_…` checks
//! tell how they fail.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::health_check::{self, FailedCheck};
use crate::facts::inbound::traffic;
use crate::finding::{Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::text::plural;

crate::check! {
    /// Targets of the service fail the load balancer's health check.
    ///
    /// # Why it matters
    ///
    /// ECS stops a task whose target is unhealthy and starts another, again and again. A new
    /// version never gets traffic, and its deployment does not end. It is not yet an outage: a
    /// load balancer that has only unhealthy targets sends requests to all of them.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the state `unhealthy` now. While ECS keeps replacing tasks
    /// there are moments without a target: then a task of the current version that was stopped for
    /// this health check within half an hour, and the service event that says how it failed, tell
    /// the same. For a version that was rolled back, the events of its time tell how its targets
    /// failed, until a later deployment succeeds: the targets registered now are of another
    /// version. A single event about a target that has recovered is no finding. Both target groups
    /// of a blue/green pair count. During the service's grace period a target may be unhealthy
    /// because its task is still starting: while others are healthy that is no finding, and if none
    /// is, the finding says so.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. To see the load balancer's reason:
    ///
    /// ```sh
    /// aws elbv2 describe-target-health --target-group-arn <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `health_check_wrong_answer`, `health_check_refused`, `health_check_times_out`,
    /// `targets_failing_open`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "Targets fail the load balancer's health check",
    severity: High,
    role: Symptom,
    shows: TargetsUnhealthy,
    explains: [TasksKeepStopping, NoTarget, DeploymentStuck, ConnectionsReset],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, DescribeTasks,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, unhealthy};
        let slow = |address| unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in health_check::groups(patient, findings)? {
        let Some(failures) = findings.see(health_check::now_or_then(patient, group)) else {
            continue;
        };
        let Some(first) = failures.first() else { continue };
        let starting = findings.see(all_in_grace(patient, &failures));
        let is_past = first.given_up().is_some();
        let others_serve =
            !is_past && patient.targets(group)?.iter().any(|target| target.state == "healthy");
        // A task that starts while others serve does no harm; where that cannot be seen, nothing is
        // claimed.
        if others_serve && starting != Some(false) {
            continue;
        }
        let see_again = Remedy::new("Fix what makes the health check fail. ECS stops replacing the tasks as soon as it passes.")
            .cli(patient.see(Call::DescribeTargetHealth, group));
        let mut finding = Subject::new(Kind::TargetGroup, group)
            .sick(claim(patient, group, &failures)?, first.evidence.clone())
            .mend(see_again);
        if starting == Some(true) {
            let grace = patient.service().health_check_grace_period_seconds.unwrap_or(0);
            finding = finding.detail(format!(
                "The grace period of {grace} s is not over for them: they may still be starting."
            ));
        }
        for failed in &failures {
            if !finding.evidence.contains(&failed.evidence) {
                finding = finding.because(failed.evidence.clone());
            }
        }
        let live = findings.see(traffic::live_groups(patient));
        finding = finding.concerns(Kind::TargetGroup, group);
        // Only where traffic waits for this half can its targets be why the other half is empty.
        if live.is_some_and(|live| !live.contains(group)) {
            finding = finding.concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?);
        }
        let versions = findings.see(versions(patient, &failures)).unwrap_or_default();
        findings.add(finding.concerns_all(Kind::TaskDefinition, versions));
    }
    Ok(())
}

fn claim(patient: &Patient, group: &str, failures: &[FailedCheck]) -> Result<String, Blind> {
    let name = traffic::group_name(group);
    let reasons: BTreeSet<&str> =
        failures.iter().map(|failed| failed.description).filter(|text| !text.is_empty()).collect();
    let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
    let why = if reasons.is_empty() { reasons } else { format!(": {reasons}") };
    if let Some((version, until)) = failures.first().and_then(|failed| failed.past(patient.now())) {
        return Ok(format!(
            "targets of {version} failed the health check of target group {name}{until}{why}"
        ));
    }
    if failures.iter().all(|failed| failed.target.is_none()) {
        return Ok(format!(
            "target group {name} has no healthy target; ECS replaced the last one because it failed the health check{why}"
        ));
    }
    let registered =
        patient.targets(group)?.iter().filter(|target| !target.state.ends_with("draining")).count();
    Ok(format!(
        "{} of {registered} targets in target group {name} {} unhealthy{why}",
        failures.len(),
        plural(failures.len(), "is", "are")
    ))
}

fn all_in_grace(patient: &Patient, failures: &[FailedCheck]) -> Result<bool, Blind> {
    for failed in failures {
        match failed.target {
            Some(target) if health_check::in_grace(patient, target)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The task definitions of the failing targets: targets of the old version are not why the new one
/// does not come up. None where one of them cannot be told.
fn versions<'a>(
    patient: &Patient<'a>,
    failures: &[FailedCheck<'a>],
) -> Result<BTreeSet<String>, Blind> {
    let mut versions = BTreeSet::new();
    for failed in failures {
        match failed.target {
            Some(target) => match health_check::task_behind(patient, target)? {
                Some(task) => versions.insert(task.task_definition_arn.clone()),
                None => return Ok(BTreeSet::new()),
            },
            None => {
                let version = failed.version.as_ref();
                versions
                    .extend(version.and_then(|version| version.task_definition).map(str::to_owned));
                true
            }
        };
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, id, minutes_ago, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{ServiceEvent, Snapshot, Target, Task};
    use crate::testing::{exam, says};

    fn refused(address: &str) -> Target {
        unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed")
    }

    /// A task that ECS stopped for the health check, and the event that says how it failed.
    fn in_a_kill_loop() -> Snapshot {
        let mut snapshot = baseline::fargate();
        let group = id::group("api");
        let service = snapshot.services[0].service_arn.clone();
        snapshot.target_health.put(&group, Vec::new());
        let running = snapshot.running_tasks.change(&service).unwrap().remove(0);
        let stopped = Task {
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(format!(
                "Task failed ELB health checks in (target-group {group})"
            )),
            stopped_at: Some(minutes_ago(2)),
            last_status: "STOPPED".into(),
            ..running
        };
        snapshot.stopped_tasks.put(&service, vec![stopped]);
        snapshot.running_tasks.put(&service, Vec::new());
        snapshot.services[0].events.insert(0, event(&group, 3));
        snapshot
    }

    fn event(group: &str, minutes: i64) -> ServiceEvent {
        let message = format!(
            "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason Request timed out)."
        );
        ServiceEvent { id: "1".into(), created_at: Some(minutes_ago(minutes)), message }
    }

    #[test]
    fn counts_and_quotes_the_balancers_words() {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(
            id::group("api"),
            vec![refused("10.0.1.21"), target("10.0.2.22", 8080, "eu-west-2b", "healthy")],
        );
        assert_eq!(
            says(CHECK, &snapshot),
            ["1 of 2 targets in target group api is unhealthy: Health checks failed."]
        );
    }

    #[test]
    fn targets_on_their_way_out_do_not_count() {
        let mut snapshot = baseline::fargate();
        let draining = target("10.0.1.21", 8080, "eu-west-2a", "unhealthy.draining");
        snapshot.target_health.put(
            id::group("api"),
            vec![draining, target("10.0.2.22", 8080, "eu-west-2b", "healthy")],
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn targets_that_are_not_used_are_not_asked() {
        let mut snapshot = in_a_kill_loop();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.1.21", 8080, "eu-west-2a", "unused")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_event_about_a_target_that_recovered_is_no_finding() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].events.insert(0, event(&id::group("api"), 5));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_kill_loop_between_two_tasks_is_still_one() {
        let says = says(CHECK, &in_a_kill_loop());
        assert_eq!(
            says,
            [
                "Target group api has no healthy target; ECS replaced the last one because it failed the health check: Request timed out."
            ]
        );
    }

    #[test]
    fn an_old_versions_stop_says_nothing_about_today() {
        let mut snapshot = in_a_kill_loop();
        let service = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&service).unwrap()[0].started_by =
            Some("ecs-svc/1000000000000000011".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_task_may_start_while_others_serve() {
        let mut snapshot = baseline::fargate();
        let service = snapshot.services[0].service_arn.clone();
        let refused =
            unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(
            id::group("api"),
            vec![refused, target("10.0.2.22", 8080, "eu-west-2b", "healthy")],
        );
        assert_eq!(says(CHECK, &snapshot).len(), 1, "it started long ago");
        snapshot.running_tasks.change(&service).unwrap()[0].started_at =
            Some(baseline::NOW - jiff::SignedDuration::from_secs(50));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.running_tasks.insert(service, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn says_that_a_task_in_its_grace_period_may_still_be_starting() {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        assert!(!says(CHECK, &snapshot)[0].contains("grace period"));
        let tasks = snapshot.running_tasks.change(&service).unwrap();
        tasks[0].started_at = Some(minutes_ago(0));
        assert!(!says(CHECK, &snapshot)[0].contains("grace period"), "one of two is not young");
        snapshot.running_tasks.change(&service).unwrap()[1].started_at = Some(minutes_ago(0));
        assert!(says(CHECK, &snapshot)[0].ends_with(
            "The grace period of 60 s is not over for them: they may still be starting."
        ));
    }

    #[test]
    fn the_waiting_half_explains_the_empty_other_half_and_the_live_half_does_not() {
        let [live, idle] = express_groups();
        let mut snapshot = baseline::express();
        snapshot.target_health.put(&idle, vec![refused("10.0.1.21")]);
        let about = |snapshot: &Snapshot, other: &str| {
            let finding = exam(CHECK, snapshot).findings.remove(0);
            finding.clone().concerns(Kind::TargetGroup, other).scope == finding.scope
        };
        assert!(about(&snapshot, &live), "traffic waits for the idle half");
        snapshot.target_health.put(&idle, Vec::new());
        snapshot.target_health.put(&live, vec![refused("10.0.1.21")]);
        assert!(!about(&snapshot, &idle), "the idle half is empty on purpose");
    }

    #[test]
    fn unseen_rules_narrow_the_finding_and_do_not_widen_it() {
        let [live, idle] = express_groups();
        let mut snapshot = baseline::express();
        snapshot.target_health.put(&idle, vec![refused("10.0.1.21")]);
        let listeners: Vec<String> = snapshot.rules.0.keys().cloned().collect();
        snapshot.rules.insert(&listeners[0], Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        let finding = &exam.findings[0];
        assert_ne!(finding.clone().concerns(Kind::TargetGroup, live).scope, finding.scope);
    }

    #[test]
    fn names_the_version_whose_targets_fail() {
        let snapshot = (CHECK.example)();
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        assert_eq!(finding.clone().concerns(Kind::TaskDefinition, definition).scope, finding.scope);
    }

    #[test]
    fn a_first_version_that_fails_its_check_leaves_the_other_half_empty_and_that_is_the_503() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        let mismatch = unhealthy(
            "10.0.1.21",
            8080,
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        );
        snapshot.target_health.put(&live, Vec::new());
        snapshot.target_health.put(&idle, vec![mismatch]);
        let intent = crate::patient::Intent::default();
        let diagnosis = crate::diagnosis::diagnose(&crate::patient::Patient::new(
            &snapshot,
            &snapshot.services[0],
            &intent,
        ));
        let mut node = diagnosis
            .roots
            .iter()
            .find(|root| root.check.id() == "health_check_wrong_answer")
            .unwrap();
        let mut chain = vec![node.check.id()];
        while let Some(next) = node.explains.first() {
            node = next;
            chain.push(node.check.id());
        }
        assert_eq!(
            chain,
            [
                "health_check_wrong_answer",
                "targets_unhealthy",
                "target_group_empty",
                "balancer_answers_503"
            ]
        );
    }
}
