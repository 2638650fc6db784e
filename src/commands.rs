//! One file a command: each does what its part of the command line asked for, and tells the exit
//! code.

pub mod checks;
pub mod completions;
pub mod config;
pub mod demo;
pub mod diagnose;
pub mod diff;
pub mod docs;
pub mod explain;
pub mod man;
pub mod permissions;
pub mod timeline;
