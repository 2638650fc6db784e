//! Unseen is never healthy, for causes too: every example of grave trouble is looked at with each
//! call denied, one at a time, and the verdict is sick or unknown. What is healthy does not become
//! sick for a call that was refused, and stays healthy where what is seen rules the unseen out.

#![cfg(test)]

use std::collections::BTreeSet;

use ecs_doctor_checks::baseline;
use ecs_doctor_checks::call::Call;
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::check::{Check, Role, Severity};
use ecs_doctor_checks::diagnosis::{Diagnosis, Verdict, conclude, diagnose};
use ecs_doctor_checks::exam::{Exam, Outcome, examine};
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::seen::{Seen, Why};
use ecs_doctor_checks::snapshot::Snapshot;

/// A patient who is examined again and again, each time with other calls denied.
struct Examined<'a> {
    snapshot: &'a Snapshot,
    intent: &'a Intent,
    whole: Diagnosis,
}

impl<'a> Examined<'a> {
    fn new(snapshot: &'a Snapshot, intent: &'a Intent) -> Examined<'a> {
        let whole = diagnose(&Patient::new(snapshot, &snapshot.services[0], intent));
        Examined { snapshot, intent, whole }
    }

    /// Every call that some check read, but for the one without which there is no patient.
    fn calls(&self) -> BTreeSet<Call> {
        let read = self.whole.exams.iter().flat_map(|exam| exam.read.iter().copied());
        read.filter(|call| *call != Call::DescribeServices).collect()
    }

    /// The diagnosis without these calls. A check that read none of them has nothing to say anew,
    /// unless it could not look anyway: then what rules it out may be hidden.
    fn without(&self, denied: &[Call]) -> Diagnosis {
        let patient = Patient::new(self.snapshot, &self.snapshot.services[0], self.intent)
            .blindfolded(denied.iter().copied());
        let again = |exam: &Exam| {
            exam.outcome == Outcome::CouldNotLook
                || exam.read.iter().any(|call| denied.contains(call))
        };
        let exams = self
            .whole
            .exams
            .iter()
            .map(|exam| if again(exam) { examine(exam.check, &patient) } else { exam.clone() });
        conclude(exams.collect())
    }
}

fn is_grave(check: &Check) -> bool {
    check.role == Role::Symptom || (check.role == Role::Cause && check.severity <= Severity::High)
}

#[test]
fn no_call_that_is_denied_makes_a_grave_trouble_healthy() {
    let (intent, mut wrong) = (baseline::intent(), Vec::new());
    for check in catalog::checks().filter(|check| is_grave(check)) {
        let snapshot = (check.example)();
        let examined = Examined::new(&snapshot, &intent);
        assert_eq!(examined.whole.verdict, Verdict::Sick, "the example of {check:?}");
        for call in examined.calls() {
            let verdict = examined.without(&[call]).verdict;
            if !matches!(verdict, Verdict::Sick | Verdict::Unknown) {
                wrong.push(format!("{check:?} is {verdict:?} without {}", call.action()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_call_that_is_denied_makes_a_healthy_service_sick() {
    for intent in [baseline::intent(), Intent::default()] {
        for (name, make) in baseline::ALL {
            let snapshot = make();
            let examined = Examined::new(&snapshot, &intent);
            for call in examined.calls() {
                let Diagnosis { verdict, roots, .. } = examined.without(&[call]);
                assert_ne!(
                    verdict,
                    Verdict::Sick,
                    "the healthy {name} without {}: {roots:?}",
                    call.action()
                );
            }
        }
    }
}

/// What would go wrong behind the other calls would be felt, and was looked for: certificates, the
/// web ACL and the load balancer's security groups by the requests that arrive, images and roles by
/// the tasks that run.
#[test]
fn a_role_with_few_permissions_gets_healthy_where_it_is_earned() {
    let (snapshot, intent) = (baseline::fargate(), Intent::default());
    let examined = Examined::new(&snapshot, &intent);
    let decides = |call: &Call| match examined.without(&[*call]).verdict {
        Verdict::Healthy => false,
        Verdict::Unknown => true,
        other => panic!("{other:?} without {}", call.action()),
    };
    let (decisive, others): (Vec<Call>, Vec<Call>) =
        examined.calls().into_iter().partition(decides);
    assert_eq!(
        decisive.iter().map(|call| call.action()).collect::<Vec<_>>(),
        [
            "ecs:DescribeServiceDeployments",
            "ecs:DescribeServiceRevisions",
            "ecs:DescribeTasks",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeRules",
            "ec2:DescribeSubnets",
            "ec2:DescribeRouteTables",
            "cloudwatch:GetMetricData",
        ]
    );
    for call in [Call::GetWebAclForResource, Call::ListCertificates, Call::DescribeSecurityGroups] {
        assert!(others.contains(&call), "{}", call.action());
    }
    let all_at_once = examined.without(&others);
    let decisive: Vec<&str> = all_at_once.decisive().map(|exam| exam.check.id()).collect();
    assert_eq!(all_at_once.verdict, Verdict::Healthy, "{decisive:?}");
}

/// Where nobody comes, nothing shows that somebody could.
#[test]
fn without_requests_what_keeps_clients_out_is_not_ruled_out() {
    let (mut snapshot, intent) = (baseline::fargate(), Intent::default());
    baseline::shut_clients_out(&mut snapshot);
    let examined = Examined::new(&snapshot, &intent);
    assert_eq!(examined.whole.verdict, Verdict::Healthy);
    for call in [Call::GetWebAclForResource, Call::ListCertificates, Call::DescribeSecurityGroups] {
        assert_eq!(examined.without(&[call]).verdict, Verdict::Unknown, "{}", call.action());
    }
}

#[test]
fn what_the_user_declined_does_not_count() {
    let intent = Intent::default();
    for (name, make) in baseline::ALL {
        let mut snapshot = make();
        snapshot.logs.0.values_mut().for_each(|told| *told = Seen::No(Why::Declined));
        let verdict = Examined::new(&snapshot, &intent).whole.verdict;
        assert_eq!(verdict, Verdict::Healthy, "{name}");
    }
}
