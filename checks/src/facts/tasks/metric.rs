//! What a metric said in the last minutes. CloudWatch has no values where nothing happened, which
//! is no error.

use jiff::SignedDuration;

use crate::aws::time;
use crate::finding::Evidence;
use crate::patient::Patient;
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
pub fn recent(
    patient: &Patient,
    metric: Metric,
    of: &str,
    span: SignedDuration,
) -> Result<Option<Recent>, Blind> {
    let start = time::before(patient.now(), span);
    let minutes = patient
        .metric(metric, of)?
        .into_iter()
        .flat_map(|series| &series.values)
        .filter(|(at, value)| *at >= start && *value > 0.0);
    let sum = minutes.clone().map(|(_, value)| value).sum();
    let peak = minutes.max_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(peak.map(|(at, peak)| Recent {
        sum,
        peak: *peak,
        evidence: Evidence::metric(metric, of, peak).at(Some(*at)),
    }))
}

/// From here on a service is short of CPU, in percent of what it has.
pub const BUSY: f64 = 90.0;

/// For how long it has to be: a start or a short burst is over by then.
pub const LASTING: SignedDuration = SignedDuration::from_mins(10);

/// A metric that stayed high.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// The lowest that it was.
    pub low: f64,
    /// The minute in which it was.
    pub evidence: Evidence,
}

/// A metric that was at a limit or above in every one of the last minutes; none where it fell below
/// in one of them.
pub fn lasting(
    patient: &Patient,
    metric: Metric,
    of: &str,
    span: SignedDuration,
    limit: f64,
) -> Result<Option<Lasting>, Blind> {
    let start = time::before(patient.now(), span);
    let minutes = || {
        patient.metric(metric, of).map(|series| {
            series.into_iter().flat_map(|series| &series.values).filter(|(at, _)| *at >= start)
        })
    };
    // CloudWatch is a minute or two behind.
    let is_whole = minutes()?.count() as i64 + 2 >= span.as_mins();
    let lowest = minutes()?
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .filter(|(_, low)| is_whole && *low >= limit);
    Ok(lowest.map(|(at, low)| Lasting {
        low: *low,
        evidence: Evidence::metric(metric, of, low).at(Some(*at)),
    }))
}
