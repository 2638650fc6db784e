//! Images and the digests behind their tags.

pub mod pinned;
