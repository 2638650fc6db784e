//! Which code runs.

use crate::check::Check;

mod digest_gone;
mod mixed_digests;
mod newer_revision_not_deployed;
mod tag_moved;
mod tag_mutable;

/// In catalog order.
pub(super) const CHECKS: &[Check] = &[
    tag_moved::CHECK,
    mixed_digests::CHECK,
    tag_mutable::CHECK,
    digest_gone::CHECK,
    newer_revision_not_deployed::CHECK,
];
