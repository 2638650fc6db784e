//! What the app complains of in its log while its health check fails: a call of its own that was
//! throttled or not answered before anything else that went wrong. It is evidence and proves no
//! cause.

use crate::aws::{dial, request_log};
use crate::catalog::balancer::common::refused_health_check::{self, Line};
use crate::check::Findings;
use crate::facts::inbound::health_check::FailedCheck;
use crate::facts::tasks::last_word;
use crate::finding::Evidence;
use crate::patient::Patient;

/// What a callee answers that is called too often.
const THROTTLED: [&str; 4] = ["too many requests", "rate limit", "rate exceeded", "throttl"];

/// The newest of the most telling lines of the container that is registered with the group, of the
/// versions whose targets fail.
pub fn complaint<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    group: &str,
    failures: &[FailedCheck<'a>],
) -> Option<Evidence> {
    let lines =
        findings.see(refused_health_check::lines(patient, group, failures)).unwrap_or_default();
    let told = |line: &Line| Some((rank(&line.line.message)?, line.line.timestamp));
    let telling = lines.into_iter().filter_map(|line| Some((told(&line)?, line)));
    telling.max_by_key(|(rank, _)| *rank).map(|(_, line)| line.evidence)
}

/// How much a line tells of what went wrong; none where it tells of nothing.
fn rank(line: &str) -> Option<u8> {
    let lower = line.to_ascii_lowercase();
    if request_log::request(line).is_some() {
        None
    } else if THROTTLED.iter().any(|word| lower.contains(word)) {
        Some(2)
    } else if dial::how(line).is_some() {
        Some(1)
    } else {
        last_word::names_a_failure(line).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_failed_tells_more_than_an_error() {
        for (line, told) in [
            ("ClientResponseError: 429, message='Too Many Requests', url='https://a.b/'", Some(2)),
            ("ThrottlingException: Rate exceeded", Some(2)),
            ("Error: connect ETIMEDOUT 203.0.113.80:443", Some(1)),
            ("ERROR Invalid HTTP_HOST header: '10.0.1.21'", Some(0)),
            ("listening on 0.0.0.0:8080", None),
            (r#"10.0.1.9 - - "GET /error HTTP/1.1" 500 "ELB-HealthChecker/2.0""#, None),
        ] {
            assert_eq!(rank(line), told, "{line}");
        }
    }
}
