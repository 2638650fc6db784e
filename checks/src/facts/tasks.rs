//! Tasks and their containers: why they stopped or did not start, what their logs say, where they run
//! and how many there should be.

pub mod capacity;
pub mod connection_errors;
pub mod container_log;
pub mod ending;
pub mod last_word;
pub mod log_driver;
pub mod metric;
pub mod mount;
pub mod reason;
pub mod scaling;
pub mod shortage;
pub mod start;
pub mod stop;
