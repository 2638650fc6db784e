//! The finding that an app itself answers with errors, which is the same of 4xx and of 5xx. Each
//! check decides how many of them are too many.

use crate::catalog::balancer::common::running_logs;
use crate::facts::inbound::answers::{self, Lasting};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::metric::Metric;

/// How many answers of a target group are such errors, since when, and with what version it came.
pub fn finding(
    patient: &Patient,
    metric: Metric,
    group: &str,
    lasting: &Lasting,
    to_do: &str,
) -> Finding {
    let (at, peak) = lasting.peak;
    let class = if metric == Metric::Target4xx { "4xx" } else { "5xx" };
    let claim = format!(
        "the app behind target group {} answered {} with {class} {}",
        traffic::group_name(group),
        lasting.words(),
        lasting.span(patient.now())
    );
    Subject::new(Kind::TargetGroup, group)
        .sick(claim, Evidence::metric(metric, group, peak).at(Some(at)))
        .detail(lasting.history(patient.now()))
        .detail(answers::came_with_words(patient, lasting.since))
        .since(lasting.since)
        .mend(running_logs::read_on(Remedy::new(to_do), patient))
        .concerns(Kind::TargetGroup, group)
}
