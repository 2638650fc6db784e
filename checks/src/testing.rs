//! What the tests inside check files share: one check on one snapshot, as the engine runs it.

use crate::baseline;
use crate::check::Check;
use crate::exam::{Exam, examine};
use crate::patient::{Intent, Patient};
use crate::snapshot::Snapshot;

pub fn exam(check: Check, snapshot: &Snapshot) -> Exam {
    exam_with(check, snapshot, &Intent::default())
}

pub fn exam_with(check: Check, snapshot: &Snapshot, intent: &Intent) -> Exam {
    let check: &'static Check = Box::leak(Box::new(check));
    examine(check, &Patient::new(snapshot, &snapshot.services[0], intent))
}

/// What the check says, finding by finding.
pub fn says(check: Check, snapshot: &Snapshot) -> Vec<String> {
    exam(check, snapshot).findings.into_iter().map(|finding| finding.says).collect()
}

/// What the check says of a worker of which so many tasks never ran, for this reason.
pub fn says_of_failed_starts(check: Check, count: u8, reason: &str) -> Vec<String> {
    let mut snapshot = baseline::worker();
    baseline::fail_to_start(&mut snapshot, count, reason);
    says(check, &snapshot)
}
