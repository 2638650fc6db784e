//! What a metric said in the last minutes. CloudWatch has no values where nothing happened, which is no error.

use jiff::SignedDuration;

use crate::call::Call;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::reading::time;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

/// The last minutes of a metric that had values above 0.
#[derive(Clone, Debug)]
pub struct Recent {
    pub sum: f64,
    pub peak: f64,
    /// The minute with the highest value.
    pub evidence: Evidence,
}

/// Sum and peak of a metric over the last minutes; none where it stayed at 0.
pub fn recent(patient: &Patient, metric: Metric, of: &str, span: SignedDuration) -> Result<Option<Recent>, Blind> {
    let start = time::before(patient.now(), span);
    let minutes = patient.metric(metric, of)?.into_iter().flat_map(|series| &series.values).filter(|(at, value)| *at >= start && *value > 0.0);
    let sum = minutes.clone().map(|(_, value)| value).sum();
    let peak = minutes.max_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(peak.map(|(at, peak)| Recent {
        sum,
        peak: *peak,
        evidence: Evidence::new(Call::GetMetricData, metric.of(of), metric.field(), peak).at(Some(*at)),
    }))
}
