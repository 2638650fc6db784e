//! What the tests inside check files share: one check on one snapshot, as the engine runs it. For
//! the tests of the engine itself there are a check and a finding that are about nothing real.

use crate::baseline;
use crate::call::Call;
use crate::check::{Check, Role, Severity};
use crate::exam::{Exam, examine};
use crate::finding::{Evidence, Finding, Kind, Subject};
use crate::patient::{Expected, Intent, Patient};
use crate::snapshot::{ServiceDeployment, Snapshot, Task};

/// A check made for a test of the engine; it finds nothing, and the test changes what it is about.
pub fn made(id: &'static str) -> Check {
    Check {
        path: id,
        title: "",
        explanation: "",
        severity: Severity::High,
        role: Role::Cause,
        shows: None,
        explains: &[],
        applies: &[],
        ruled_out_by: None,
        reads: &[],
        example: Snapshot::default,
        look: |_, _| Ok(()),
    }
}

/// A finding made for a test of the engine, told from others by its subject.
pub fn trouble(subject: &str) -> Finding {
    let evidence = Evidence::new(Call::DescribeServices, subject, "status", "ACTIVE");
    Subject::new(Kind::Service, subject).sick("It is in trouble.", evidence)
}

pub fn exam(check: Check, snapshot: &Snapshot) -> Exam {
    exam_with(check, snapshot, &Intent::default())
}

pub fn exam_with(check: Check, snapshot: &Snapshot, intent: &Intent) -> Exam {
    let check: &'static Check = Box::leak(Box::new(check));
    examine(check, &Patient::new(snapshot, &snapshot.services[0], intent))
}

/// What a user says with `--expect-ingress`.
pub fn expecting(who: &[&str]) -> Intent {
    who.iter().map(|who| who.parse::<Expected>().unwrap()).collect()
}

/// What a fact is of the service of a snapshot: `of(&snapshot, |patient| …)`.
pub fn of<'s, T>(snapshot: &'s Snapshot, ask: impl FnOnce(&Patient<'s>) -> T) -> T {
    static NOBODY: Intent = Intent { expect_ingress: Vec::new(), expect_lists: Vec::new() };
    ask(&Patient::new(snapshot, &snapshot.services[0], &NOBODY))
}

/// What the check says, finding by finding.
pub fn says(check: Check, snapshot: &Snapshot) -> Vec<String> {
    exam(check, snapshot).findings.into_iter().map(|finding| finding.says()).collect()
}

/// What the check says of a worker of which so many tasks never ran, for this reason.
pub fn says_of_failed_starts(check: Check, count: u8, reason: &str) -> Vec<String> {
    let mut snapshot = baseline::worker();
    baseline::fail_to_start(&mut snapshot, count, reason);
    says(check, &snapshot)
}

/// The newest deployment of the service, to change it.
pub fn newest_deployment(snapshot: &mut Snapshot) -> &mut ServiceDeployment {
    let arn = snapshot.services[0].service_arn.clone();
    &mut snapshot.service_deployments.change(&arn).unwrap()[0]
}

/// The snapshot with each of its stopped tasks changed.
pub fn each_stopped(mut snapshot: Snapshot, change: impl Fn(&mut Task)) -> Snapshot {
    let arn = snapshot.services[0].service_arn.clone();
    snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(change);
    snapshot
}
