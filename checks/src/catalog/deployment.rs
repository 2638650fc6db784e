//! How the new version is doing: stuck, rolled back, baking, and what stopped it.

use crate::check::Check;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[];
