//! From service to service.

use crate::check::Check;

mod calls_sibling_over_internet;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[calls_sibling_over_internet::CHECK];
