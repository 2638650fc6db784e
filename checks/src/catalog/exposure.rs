//! Who could get in.

use crate::check::Check;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[];
