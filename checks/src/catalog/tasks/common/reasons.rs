//! How a check reports a trouble that AWS gives as the reason: each version that has it is a
//! finding.

use crate::aws::stop_reason::Trouble;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::reason::{self, Told};
use crate::finding::Finding;
use crate::patient::Patient;

/// Reports each of these troubles that is current. What may not be seen of tasks is noted; events
/// may still tell.
pub fn each<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    troubles: &[Trouble],
    mut tell: impl FnMut(&Told<'a>, &mut Findings) -> Option<Finding>,
) -> Result<(), NoAnswer> {
    let told = reason::told(patient, findings);
    for told in told.iter().filter(|told| troubles.contains(&told.reason.trouble)) {
        if let Some(finding) = tell(told, findings) {
            findings.add(finding);
        }
    }
    Ok(())
}
