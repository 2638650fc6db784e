//! Which code runs.

use crate::check::Check;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[];
