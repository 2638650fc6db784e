//! What the user said that the account cannot know: who should be able to reach the load balancer,
//! by address or by prefix list.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use crate::aws::cidr::{self, Cidr};
use crate::text::parsed;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intent {
    /// Who should be able to reach the load balancer; empty, like the lists, where the user did not
    /// say.
    pub expect_ingress: Vec<Cidr>,
    /// Prefix lists whose members should be: each covers the rules that name it, whatever it has.
    pub expect_lists: Vec<String>,
}

/// One block or list, as the user writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Block(Cidr),
    List(String),
}

impl Intent {
    pub fn says_who(&self) -> bool {
        !self.expect_ingress.is_empty() || !self.expect_lists.is_empty()
    }

    /// Whether every address of a block may come in, by whatever rule.
    pub fn expects(&self, block: &Cidr) -> bool {
        cidr::within(block, &self.expect_ingress)
    }

    /// Whether a rule that names this prefix list may stand.
    pub fn expects_list(&self, list: &str) -> bool {
        self.expect_lists.iter().any(|expected| expected == list)
    }

    pub fn expected(&self) -> impl Iterator<Item = Expected> + '_ {
        let blocks = self.expect_ingress.iter().copied().map(Expected::Block);
        blocks.chain(self.expect_lists.iter().cloned().map(Expected::List))
    }
}

impl FromIterator<Expected> for Intent {
    fn from_iter<I: IntoIterator<Item = Expected>>(all: I) -> Intent {
        let mut intent = Intent::default();
        for expected in all {
            match expected {
                Expected::Block(block) => intent.expect_ingress.push(block),
                Expected::List(list) => intent.expect_lists.push(list),
            }
        }
        intent
    }
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_list = text
            .strip_prefix("pl-")
            .is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit()));
        let expected = if is_list {
            Some(Expected::List(text.into()))
        } else {
            parsed(text).map(Expected::Block)
        };
        expected
            .ok_or_else(|| format!("{text:?} is neither an address, nor a CIDR block such as 203.0.113.0/24, nor a prefix list such as pl-3b927c52"))
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Expected::Block(block) => block.fmt(f),
            Expected::List(list) => list.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_a_block() {
        let intent: Intent =
            ["203.0.113.0/24", "pl-3b927c52", "::/0"].into_iter().filter_map(parsed).collect();
        assert_eq!(
            intent.expected().map(|one| one.to_string()).collect::<Vec<_>>(),
            ["203.0.113.0/24", "::/0", "pl-3b927c52"]
        );
        for wrong in ["pl-", "pl-office", "10.0.0.0/33", "office", ""] {
            let said = wrong.parse::<Expected>().unwrap_err();
            assert!(said.contains("nor a prefix list"), "{said}");
        }
    }
}
