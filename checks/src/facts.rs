//! What several checks need to know of one service, worked out once from the snapshot. A fact asks
//! the patient like a check does, so its blindness is noted like a check's; it names no trouble,
//! that is the catalog's part.

pub mod access;
pub mod deployment;
pub mod image;
pub mod inbound;
pub mod network;
pub mod peers;
pub mod tasks;
