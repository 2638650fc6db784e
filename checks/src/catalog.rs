//! Every check, by group. A group is a folder and a list; a check is one file in it and two lines
//! here below.

mod balancer;
mod deployment;
mod exposure;
mod image;
mod network;
mod peers;
mod setup;
mod tasks;

use crate::check::Check;

/// A group of checks, as `checks.md` has them.
pub struct Group {
    pub name: &'static str,
    /// What its checks look at, in a few words.
    pub about: &'static str,
    pub checks: &'static [Check],
}

pub const GROUPS: &[Group] = &[
    Group { name: "balancer", about: "from the client to a target", checks: balancer::CHECKS },
    Group { name: "deployment", about: "how the new version is doing", checks: deployment::CHECKS },
    Group { name: "tasks", about: "why they do not start, or do not stay", checks: tasks::CHECKS },
    Group { name: "network", about: "what can reach what", checks: network::CHECKS },
    Group { name: "exposure", about: "who could get in", checks: exposure::CHECKS },
    Group { name: "peers", about: "service to service", checks: peers::CHECKS },
    Group { name: "image", about: "which code runs", checks: image::CHECKS },
    Group { name: "setup", about: "settings that hurt", checks: setup::CHECKS },
];

/// Every check, in catalog order.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    GROUPS.iter().flat_map(|group| group.checks)
}

pub fn find(id: &str) -> Option<&'static Check> {
    checks().find(|check| check.id() == id)
}
