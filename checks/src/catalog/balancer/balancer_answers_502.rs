//! The load balancer itself returns 502: a target refused or broke a connection that carried a
//! request. Other checks tell why.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::catalog::balancer::common::balancer_errors::{self, Errors};
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::metric::Recent;
use crate::facts::tasks::stop::StopKind;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The load balancer itself returns `502 Bad Gateway`: it reached a target, and the target
    /// refused the connection, closed it in the middle of a request, or answered with something
    /// that is not HTTP.
    ///
    /// # Why it matters
    ///
    /// Clients see errors that are in no log of the app.
    ///
    /// # How we tell
    ///
    /// `HTTPCode_ELB_502_Count` of the load balancer has at least three in two of the last 15
    /// minutes. It counts for the whole load balancer: where other services share it, only those
    /// minutes are this service's in which `TargetConnectionErrorCount` of its own target groups
    /// counts too. Minutes in which a deployment or scaling stopped a task are left out: a burst
    /// just then comes from requests that the task did not finish. A 502 of the app itself is
    /// counted elsewhere. Tasks that failed within a minute of such errors are named as the reason.
    /// Where none did and no connection failed, the load balancer's idle timeout is quoted for
    /// comparison.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. Access logs show which requests
    /// failed:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> \
    ///   --attributes Key=access_logs.s3.enabled,Value=true Key=access_logs.s3.bucket,Value=<bucket>
    /// ```
    ///
    /// Terraform/OpenTofu: `access_logs` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `keep_alive_too_short`, `tasks_keep_stopping`, `health_check_refused`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The load balancer itself returns 502",
    severity: High,
    role: Symptom,
    shows: BalancerAnswers502,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTasks, DescribeLoadBalancerAttributes,
        GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes};
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.metrics.put(Metric::Elb502.of(&balancer), minutes(6.0));
        snapshot.metrics.put(Metric::ConnectionErrors.of(&id::group("api")), minutes(9.0));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for mut errors in balancer_errors::errors(patient, Metric::Elb502)? {
        let refused = errors.of_groups(patient, Metric::ConnectionErrors)?;
        if !errors.alone {
            keep_own(patient, &mut errors)?;
        }
        if errors.minutes.len() > 1 && errors.sum() >= 3.0 {
            let timeout = findings.see(balancer_errors::idle_timeout(patient, errors.balancer));
            findings.add(finding(patient, &errors, refused, timeout.flatten())?);
        }
    }
    Ok(())
}

/// Of a load balancer that others share only the minutes in which the service's own targets could
/// not be connected to.
fn keep_own(patient: &Patient, errors: &mut Errors) -> Result<(), Blind> {
    let mut own = BTreeSet::new();
    for group in &errors.groups {
        let counted = patient
            .metric(Metric::ConnectionErrors, group)?
            .into_iter()
            .flat_map(|series| &series.values);
        own.extend(counted.filter(|(_, value)| *value > 0.0).map(|(at, _)| *at));
    }
    errors.minutes.retain(|(at, _)| own.contains(at));
    Ok(())
}

fn finding(
    patient: &Patient,
    errors: &Errors,
    refused: Option<Recent>,
    timeout: Option<f64>,
) -> Result<Finding, Blind> {
    let failed = patient.stopped_tasks()?.iter().filter(|task| StopKind::of(task).is_failure());
    let versions: BTreeSet<&str> = failed
        .filter(|task| errors.minutes.iter().any(|(at, _)| balancer_errors::is_near(task, *at)))
        .map(|task| task.task_definition_arn.as_str())
        .collect();
    let claim = format!(
        "load balancer {} itself returned 502 for {}",
        errors.name(),
        errors.words(patient)?
    );
    let why = match (&refused, versions.is_empty()) {
        (_, false) => "Tasks failed in the same minutes.".to_owned(),
        (Some(refused), true) => format!(
            "{:.0} connections to targets failed: nothing listens there, or not always.",
            refused.sum
        ),
        (None, true) => {
            "There were no connection errors and no failed tasks: targets likely closed connections in use, or sent malformed responses.".to_owned()
        }
    };
    let remedy = Remedy::new("Fix what makes targets refuse or close connections. The access logs of the load balancer name the requests and the targets.")
        .cli(patient.see(Call::DescribeLoadBalancerAttributes, errors.balancer));
    let finding = Subject::new(Kind::LoadBalancer, errors.balancer)
        .sick(claim, errors.evidence())
        .detail(why)
        .mend(remedy);
    let finding = match (refused, timeout) {
        (Some(refused), _) => finding.because(refused.evidence),
        (None, Some(timeout)) if versions.is_empty() => {
            with_idle_timeout(finding, errors.balancer, timeout)
        }
        (None, _) => finding,
    };
    // Tasks that fail take a group's targets with them, whatever group they are registered with.
    Ok(if versions.is_empty() {
        finding
            .concerns_all(Kind::TargetGroup, errors.groups.iter().copied())
            .concerns_no(Kind::TaskDefinition)
    } else {
        finding.concerns_all(Kind::TaskDefinition, versions)
    })
}

/// The idle timeout to compare with the server's own, which no log names.
fn with_idle_timeout(finding: Finding, balancer: &str, timeout: f64) -> Finding {
    let mut finding = finding
        .detail(format!(
            "The load balancer keeps idle connections for {timeout:.0} s: a server that closes them sooner causes exactly this."
        ))
        .because(balancer_errors::idle_timeout_evidence(balancer, timeout));
    finding.remedy.summary = format!(
        "Set the server's keep-alive timeout higher than the load balancer's idle timeout of {timeout:.0} s (in Go IdleTimeout, or ReadTimeout where that is not set). If it already is, the access logs of the load balancer name the requests and the targets."
    );
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{
        self, exit_tasks, forward, host_rule, id, minutes, minutes_ago, stop_tasks,
    };
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn counting(values: &[(i64, f64)]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let values =
            values.iter().map(|(minutes, value)| (minutes_ago(*minutes), *value)).collect();
        snapshot.metrics.put(Metric::Elb502.of(&balancer()), Series { values });
        snapshot
    }

    fn share(snapshot: &mut Snapshot) {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let other = id::group("other");
        snapshot
            .rules
            .change(&listener)
            .unwrap()
            .insert(0, host_rule("arn:other", "5", "other.example.com", forward(&[(&other, 1)])));
    }

    #[test]
    fn counts_and_says_what_the_connections_say() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Load balancer web itself returned 502 for 90 of 1800 requests in the last 15 min. 135 connections to targets failed: nothing listens there, or not always."
            ]
        );
        assert!(
            says(CHECK, &counting(&[(9, 2.0), (4, 3.0)]))[0]
                .contains("targets likely closed connections in use")
        );
    }

    #[test]
    fn a_few_or_an_old_burst_are_no_symptom() {
        assert_eq!(exam(CHECK, &counting(&[(4, 40.0)])).outcome, Outcome::Healthy, "one minute");
        assert_eq!(
            exam(CHECK, &counting(&[(9, 1.0), (4, 1.0)])).outcome,
            Outcome::Healthy,
            "two requests"
        );
        assert_eq!(
            exam(CHECK, &counting(&[(40, 40.0), (39, 40.0)])).outcome,
            Outcome::Healthy,
            "long ago"
        );
    }

    #[test]
    fn a_burst_exactly_at_a_deployment_is_the_old_tasks_end() {
        let mut snapshot = counting(&[(3, 8.0), (2, 21.0), (1, 2.0)]);
        stop_tasks(&mut snapshot, 1, |task| {
            task.stopped_reason = Some(
                "Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into(),
            );
            task.stop_code = Some("ServiceSchedulerInitiated".into());
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let service = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.insert(service, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn on_a_shared_balancer_they_may_be_anothers() {
        let mut snapshot = counting(&[(9, 30.0), (4, 30.0), (3, 30.0)]);
        share(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let own = Series { values: vec![(minutes_ago(4), 12.0), (minutes_ago(3), 9.0)] };
        snapshot.metrics.put(Metric::ConnectionErrors.of(&id::group("api")), own);
        assert!(
            says(CHECK, &snapshot)[0].contains("for 60 requests in the last 15 min"),
            "only in the minutes of its own errors"
        );
    }

    #[test]
    fn tasks_that_failed_then_are_why_and_others_are_not() {
        let mut snapshot = counting(&[(3, 8.0), (2, 21.0)]);
        exit_tasks(&mut snapshot, 3, 1, None);
        let of = |snapshot: &Snapshot| exam(CHECK, snapshot).findings.remove(0);
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        assert_eq!(
            of(&snapshot).clone().concerns(Kind::TaskDefinition, &definition).scope,
            of(&snapshot).scope
        );
        let service = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&service).unwrap() {
            (task.stopping_at, task.stopped_at) = (Some(minutes_ago(50)), Some(minutes_ago(50)));
        }
        assert_ne!(
            of(&snapshot).clone().concerns(Kind::TaskDefinition, &definition).scope,
            of(&snapshot).scope
        );
    }

    #[test]
    fn a_crash_is_the_root_of_its_502() {
        let mut snapshot = counting(&[(7, 4.0), (6, 8.0), (3, 8.0), (2, 21.0)]);
        exit_tasks(&mut snapshot, 3, 1, None);
        let intent = crate::patient::Intent::default();
        let diagnosis =
            crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root =
            diagnosis.roots.iter().find(|root| root.check.id() == "exits_with_error").unwrap();
        let stopping =
            root.explains.iter().find(|node| node.check.id() == "tasks_keep_stopping").unwrap();
        assert!(
            stopping.explains.iter().any(|node| node.check.id() == "balancer_answers_502"),
            "{stopping:#?}"
        );
    }

    #[test]
    fn where_connections_break_the_idle_time_out_is_there_to_compare() {
        let snapshot = counting(&[(2, 3.0), (5, 4.0), (9, 2.0)]);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(finding.detail.contains("keeps idle connections for 60 s"), "{}", finding.detail);
        assert!(finding.remedy.summary.contains("idle timeout of 60 s"));
        let refused = exam(CHECK, &(CHECK.example)()).findings.remove(0);
        assert!(!refused.detail.contains("idle"), "{}", refused.detail);
    }

    #[test]
    fn the_apps_own_502_is_not_the_balancers() {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), minutes(30.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
