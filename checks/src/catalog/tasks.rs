//! Why tasks do not start, or do not stay.

use crate::check::Check;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[];
