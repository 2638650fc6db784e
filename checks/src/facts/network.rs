//! The network between two ends: security groups, network ACLs, routes, and the path out of a subnet.

pub mod captured;
pub mod dialled;
pub mod egress_path;
pub mod joined;
pub mod network_acl;
pub mod reach;
pub mod route;
