//! Which code runs.

use crate::check::Check;

mod tag_moved;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[tag_moved::CHECK];
