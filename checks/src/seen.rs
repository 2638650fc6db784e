//! What we know of one thing AWS could have told us: the value, or why we have none. `Seen` has no
//! `ok()`, `unwrap_or()`, `iter()` or `is_empty()` on purpose: a refused call must never pass for
//! an empty answer, so every reader has to say what it does about blindness.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::text::printed_as_in_json;

/// A value that AWS told us, or the reason why we have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    Yes(T),
    No(Why),
}

/// Why we could not see something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// IAM said no; granting the action mends it.
    Denied(String),
    /// Throttled, timed out, unreachable, or AWS failed.
    NoAnswer(String),
    /// AWS answered something that we could not understand: our bug.
    Unreadable(String),
    /// The user asked us not to look.
    Declined,
    /// The snapshot is older than this question.
    NotAsked,
    /// We never learned what to ask about, because an earlier call was not answered.
    Behind(Box<Blind>),
}

/// Why a call told nothing, without what was said; by its word, as the report lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blindness {
    /// What to ask about was never learned, because an earlier call was not answered.
    Behind,
    /// The user asked not to look.
    Declined,
    /// IAM said no; granting the action mends it.
    Denied,
    /// Throttled, timed out, unreachable, or AWS failed.
    NoAnswer,
    /// The snapshot has no answer to this question: it is older, or did not need one.
    NotAsked,
    /// AWS answered something that the program could not understand: its own bug.
    Unreadable,
}

printed_as_in_json!(Blindness);

/// One call that we could not make, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Blind {
    pub call: Call,
    pub why: Why,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Seen::No(Why::NotAsked)
    }
}

impl<T> Seen<T> {
    pub fn as_ref(&self) -> Seen<&T> {
        match self {
            Seen::Yes(value) => Seen::Yes(value),
            Seen::No(why) => Seen::No(why.clone()),
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Seen::Yes(value) => Seen::Yes(change(value)),
            Seen::No(why) => Seen::No(why),
        }
    }

    /// The value, or the call that would have told us; `?` in a check turns it into "could not
    /// look".
    pub fn told_by(self, call: Call) -> Result<T, Blind> {
        match self {
            Seen::Yes(value) => Ok(value),
            Seen::No(why) => Err(Blind { call, why }),
        }
    }
}

impl Why {
    pub fn blindness(&self) -> Blindness {
        match self {
            Why::Denied(_) => Blindness::Denied,
            Why::NoAnswer(_) => Blindness::NoAnswer,
            Why::Unreadable(_) => Blindness::Unreadable,
            Why::Declined => Blindness::Declined,
            Why::NotAsked => Blindness::NotAsked,
            Why::Behind(_) => Blindness::Behind,
        }
    }

    /// What AWS or the network said, where it said anything.
    pub fn message(&self) -> Option<&str> {
        match self {
            Why::Denied(message) | Why::NoAnswer(message) | Why::Unreadable(message) => {
                Some(message)
            }
            Why::Behind(blind) => blind.why.message(),
            Why::Declined | Why::NotAsked => None,
        }
    }
}

impl Blind {
    /// The call that went wrong first: the one that a user can mend.
    pub fn origin(&self) -> &Blind {
        match &self.why {
            Why::Behind(earlier) => earlier.origin(),
            Why::Denied(_)
            | Why::NoAnswer(_)
            | Why::Unreadable(_)
            | Why::Declined
            | Why::NotAsked => self,
        }
    }
}

/// Takes what may be hidden: notes the blindness, and goes on with `None`. A check's findings do so,
/// and whatever else a fact is asked by.
pub trait See {
    fn see<T>(&mut self, row: Result<T, Blind>) -> Option<T>;
}

/// What a fact or a view could not see while it told the rest, each call once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unseen(pub Vec<Blind>);

impl See for Unseen {
    fn see<T>(&mut self, row: Result<T, Blind>) -> Option<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn blind(call: Call, why: Why) -> Blind {
        Blind { call, why }
    }

    fn denied(call: Call) -> Blind {
        blind(call, Why::Denied("not authorized".into()))
    }

    /// The chain of calls: subnets were not asked, because the tasks were not told.
    fn behind(call: Call, earlier: Blind) -> Blind {
        blind(call, Why::Behind(Box::new(earlier)))
    }

    #[test]
    fn a_value_is_changed_and_a_refusal_stays_as_it_is() {
        assert_eq!(Seen::Yes(2).map(|number| number + 1), Seen::Yes(3));
        assert_eq!(Seen::No::<i32>(Why::Declined).map(|n| n + 1), Seen::No(Why::Declined));
        assert_eq!(Seen::Yes("a".to_owned()).as_ref(), Seen::Yes(&"a".to_owned()));
        assert_eq!(Seen::No::<i32>(Why::Declined).as_ref(), Seen::No(Why::Declined));
    }

    #[test]
    fn what_was_never_asked_is_unseen() {
        assert_eq!(Seen::<i32>::default(), Seen::No(Why::NotAsked));
    }

    #[test]
    fn a_refusal_names_the_call_that_would_have_told() {
        assert_eq!(Seen::Yes(1).told_by(Call::DescribeTasks), Ok(1));
        assert_eq!(
            Seen::No::<i32>(Why::Declined).told_by(Call::DescribeTasks),
            Err(blind(Call::DescribeTasks, Why::Declined))
        );
    }

    #[test]
    fn the_origin_is_the_call_that_went_wrong_first() {
        let first = denied(Call::DescribeTasks);
        assert_eq!(first.origin(), &first);
        let second = behind(Call::DescribeSubnets, first.clone());
        assert_eq!(second.origin(), &first);
        assert_eq!(behind(Call::DescribeRouteTables, second).origin(), &first);
    }

    #[test]
    fn every_reason_has_its_word_and_only_aws_and_the_network_a_message() {
        let said = || "not authorized".to_owned();
        for (why, word, message) in [
            (Why::Denied(said()), "denied", Some("not authorized")),
            (Why::NoAnswer(said()), "no_answer", Some("not authorized")),
            (Why::Unreadable(said()), "unreadable", Some("not authorized")),
            (Why::Declined, "declined", None),
            (Why::NotAsked, "not_asked", None),
            (Why::Behind(Box::new(denied(Call::ListTasks))), "behind", Some("not authorized")),
            (Why::Behind(Box::new(blind(Call::ListTasks, Why::Declined))), "behind", None),
        ] {
            assert_eq!((why.blindness().to_string().as_str(), why.message()), (word, message));
        }
    }

    #[test]
    fn what_is_hidden_is_noted_once_for_each_call_that_went_wrong_first() {
        let mut unseen = Unseen::default();
        assert_eq!(unseen.see(Ok(7)), Some(7));
        assert!(unseen.0.is_empty());
        let tasks = denied(Call::DescribeTasks);
        let told = [
            tasks.clone(),
            tasks.clone(),
            behind(Call::DescribeSubnets, tasks.clone()),
            denied(Call::DescribeSubnets),
        ];
        for blind in told {
            assert_eq!(unseen.see::<i32>(Err(blind)), None);
        }
        assert_eq!(unseen.0, [tasks, denied(Call::DescribeSubnets)]);
    }
}
