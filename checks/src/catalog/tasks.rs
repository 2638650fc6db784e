//! Why tasks do not start, or do not stay.

use crate::check::Check;

mod exits_with_error;
mod normal_stops;
mod stop_evidence_expired;
mod tasks_keep_stopping;
mod too_few_running;

/// In catalog order.
pub(super) const CHECKS: &[Check] =
    &[too_few_running::CHECK, tasks_keep_stopping::CHECK, stop_evidence_expired::CHECK, exits_with_error::CHECK, normal_stops::CHECK];
