//! The rules by which secrets are found in texts, read from the two lists beside this file. It
//! knows patterns, and not where texts come from.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Deserialize;

use super::MASK;

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// An app's: a secret may stand anywhere.
    Logs,
    /// AWS's own: full of ARNs, digests and ids of tasks.
    Aws,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// What NAME stands for in the patterns.
    #[serde(default)]
    name: String,
    rule: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and for what a test says"))]
    id: String,
    /// In small letters; without any, the rule is always tried.
    #[serde(default)]
    keywords: Vec<String>,
    of: Option<Where>,
    regex: String,
}

struct Rule {
    keywords: Vec<String>,
    of: Option<Where>,
    /// Made when it is first needed: most are for services that nobody here uses.
    regex: LazyLock<Option<Regex>, Box<dyn FnOnce() -> Option<Regex> + Send>>,
}

struct Rules {
    all: Vec<Rule>,
    /// Whether any keyword is in a text.
    hint: Option<Regex>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::read(&written()));

fn written() -> Vec<Written> {
    let lists = [include_str!("own.toml"), include_str!("gitleaks.toml")];
    let lists = lists.into_iter().filter_map(|list| toml::from_str::<List>(list).ok());
    lists
        .flat_map(|List { name, rule }| {
            rule.into_iter()
                .map(move |rule| Written { regex: rule.regex.replace("NAME", &name), ..rule })
        })
        .collect()
}

impl Rules {
    fn read(written: &[Written]) -> Rules {
        let rule = |rule: &Written| {
            let pattern = rule.regex.clone();
            Rule {
                keywords: rule.keywords.clone(),
                of: rule.of,
                regex: LazyLock::new(Box::new(move || Regex::new(&pattern).ok())),
            }
        };
        let keywords = written.iter().flat_map(|rule| &rule.keywords);
        let hint: Vec<String> = keywords.map(|word| regex::escape(word)).collect();
        Rules {
            all: written.iter().map(rule).collect(),
            hint: Regex::new(&format!("(?i){}", hint.join("|"))).ok(),
        }
    }
}

/// Without one of these nothing is assigned, asked for or quoted.
const SIGNS: &[char] = &['=', ' ', '<', '"', '\'', '@', '%', '?'];

/// The text with each secret replaced.
pub fn masked(text: &str, of: Where) -> String {
    let mut masked = text.to_owned();
    let has_sign =
        text.contains(SIGNS) || text.contains(if of == Where::Logs { ":" } else { "://" });
    let hinted = RULES.hint.as_ref().is_none_or(|hint| hint.is_match(text));
    let lower = if hinted { text.to_ascii_lowercase() } else { String::new() };
    let may_match = |rule: &&Rule| match rule.keywords.is_empty() {
        true => has_sign,
        false => hinted && rule.keywords.iter().any(|word| lower.contains(word.as_str())),
    };
    let rules = RULES.all.iter().filter(|rule| rule.of.is_none_or(|only| only == of));
    for rule in rules.filter(may_match) {
        if let Some(regex) = rule.regex.as_ref() {
            masked = without(regex, &masked, secret);
        }
    }
    if of == Where::Logs {
        for (regex, is_secret) in BY_LOOKS.iter() {
            let secret = |found: &Captures| {
                found.get(0).filter(|found| is_secret(found.as_str())).map(|found| found.range())
            };
            masked = without(regex, &masked, secret);
        }
    }
    masked
}

/// The group of that name, or the first, or all of it; none where the rule has such a group that
/// did not take part.
fn secret(found: &Captures) -> Option<Range<usize>> {
    if let Some(named) = found.name("secret") {
        return Some(named.range());
    }
    let mut groups = found.iter();
    let whole = groups.next().flatten();
    if found.len() == 1 { whole } else { groups.flatten().next() }.map(|group| group.range())
}

fn without(
    regex: &Regex,
    text: &str,
    secret: impl Fn(&Captures) -> Option<Range<usize>>,
) -> String {
    let mut masked = String::new();
    let mut done = 0;
    for secret in regex.captures_iter(text).filter_map(|found| secret(&found)) {
        masked.push_str(&text[done..secret.start]);
        masked.push_str(MASK);
        done = secret.end;
    }
    masked.push_str(&text[done..]);
    masked
}

type IsSecret = fn(&str) -> bool;

/// What is a secret by how it looks itself.
static BY_LOOKS: LazyLock<Vec<(Regex, IsSecret)>> = LazyLock::new(|| {
    let looks: [(&str, IsSecret); 2] =
        [(r"[A-Za-z0-9/+_=-]{32,}", looks_random), (r"\b[3-6]\d{3}(?:[ -]?\d){11,12}\b", is_card)];
    looks.into_iter().filter_map(|(regex, looks)| Some((Regex::new(regex).ok()?, looks))).collect()
});

/// Long, and of small letters, capitals and digits without the separators of a path: no name of a
/// thing looks so.
pub fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
        && word.matches('/').count() < 3
        && !word.contains("--")
}

/// A number as Visa, Mastercard, American Express, Discover and Diners give them, whose last digit
/// is right by Luhn's formula.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let begins = |start: &[u32]| digits.starts_with(start);
    let issued = match digits.len() {
        15 => begins(&[3, 4]) || begins(&[3, 7]),
        16 => begins(&[4]) || begins(&[5]) || begins(&[2, 2]) || begins(&[6]),
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().map(|(at, digit)| match at % 2 {
        0 => *digit,
        _ => digit * 2 - if *digit > 4 { 9 } else { 0 },
    });
    issued && luhn.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_can_be_read() {
        let written = written();
        assert!(written.len() > 100, "{}", written.len());
        let ids: BTreeSet<&str> = written.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids.len(), written.len(), "each has a name of its own");
        for rule in &written {
            assert!(Regex::new(&rule.regex).is_ok(), "{}", rule.id);
            let keywords = rule.keywords.iter();
            assert!(keywords.clone().all(|word| *word == word.to_lowercase()), "{}", rule.id);
        }
        assert!(RULES.hint.is_some());
        assert_eq!(BY_LOOKS.len(), 2);
    }

    #[test]
    fn a_card_has_the_right_digits() {
        for card in ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005"] {
            assert!(is_card(card), "{card}");
        }
        for other in ["4111111111111112", "1669775999000", "0123456789012345"] {
            assert!(!is_card(other), "{other}");
        }
    }
}
