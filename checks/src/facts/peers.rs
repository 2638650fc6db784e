//! Who else there is: services that are called or call, and databases.

pub mod callee;
pub mod callers;
pub mod database;
pub mod login;
pub mod service_connect;
pub mod sibling;
