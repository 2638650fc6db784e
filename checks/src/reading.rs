//! What several checks need to know, worked out once from the snapshot. A reading asks the patient
//! like a check does, so its blindness is noted like a check's; it names no trouble, that is the
//! catalog's part.

pub mod access;
pub mod acl;
pub mod address;
pub mod answers;
pub mod callee;
pub mod callers;
pub mod capacity;
pub mod connect;
pub mod container_log;
pub mod crash;
pub mod database;
pub mod dial;
pub mod diff;
pub mod digest;
pub mod door;
pub mod event;
pub mod exposed;
pub mod given_up;
pub mod health_check;
pub mod hook;
pub mod host;
pub mod image;
pub mod ingress;
pub mod instance;
pub mod journey;
pub mod listen;
pub mod log;
pub mod managed;
pub mod metric;
pub mod path;
pub mod policy;
pub mod probe;
pub mod progress;
pub mod protection;
pub mod reach;
pub mod reason;
pub mod refused;
pub mod request;
pub mod rollback;
pub mod rollout;
pub mod route;
pub mod scaling;
pub mod sibling;
pub mod start;
pub mod stop;
pub mod time;
pub mod timeline;
pub mod traffic;
pub mod trail;
pub mod web_acl;

use std::str::FromStr;

use regex::Regex;

use crate::seen::Blind;

/// What a reading could not see while it told the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unseen(pub Vec<Blind>);

impl Unseen {
    /// Takes what may be hidden: notes the blindness, each call once, and goes on with `None`.
    pub fn see<T>(&mut self, row: Result<T, Blind>) -> Option<T> {
        match row {
            Ok(value) => Some(value),
            Err(blind) => {
                if !self.0.iter().any(|known| known.origin().call == blind.origin().call) {
                    self.0.push(blind);
                }
                None
            }
        }
    }
}

/// A pattern of ours; a test sees to it that each one compiles.
#[expect(
    clippy::disallowed_methods,
    reason = "a pattern that does not compile matches nothing, and a test finds it"
)]
pub(crate) fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// Text of AWS's or of a log as a number or an address, where it is one.
#[expect(
    clippy::disallowed_methods,
    reason = "this is about the form of a text that we have, not about a call that failed"
)]
pub(crate) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// `a`, `a and b`, `a, b and c`.
pub fn and_list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// The first of many: `a, b, c and 42 more`.
pub fn and_more(items: impl IntoIterator<Item = impl ToString>, most: usize) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let more = items.len().saturating_sub(most);
    items.truncate(most);
    items.extend((more > 0).then(|| format!("{more} more")));
    and_list(items)
}

/// `1 target`, `2 targets`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
