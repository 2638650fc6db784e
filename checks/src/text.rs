//! Words and patterns: lists, counts and plurals as sentences have them, and texts of AWS's or of a
//! log taken as numbers. What AWS's texts mean is for `aws`.

use std::fmt::Display;
use std::str::FromStr;

use regex::Regex;

/// Prints enums as JSON spells them: their words are spelled once, by the names of the variants.
macro_rules! printed_as_in_json {
    ($( $name:ty ),+) => {
        $(
            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    serde::Serialize::serialize(self, f)
                }
            }
        )+
    };
}
pub(crate) use printed_as_in_json;

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

/// The beginning of a text that is too long for its place.
pub fn shortened(text: &str, longest: usize) -> String {
    let cut: String = text.chars().take(longest).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// A clause as the start of a sentence.
pub fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
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

/// `1 target`, `2 targets`; for nouns that take an `s`.
pub fn count<N: Copy + PartialEq + From<u8> + Display>(number: N, noun: &str) -> String {
    format!("{number} {noun}{}", plural(number, "", "s"))
}

/// The word, or words, of one thing or of several: `is` and `are`, `subnet` and `subnets`.
pub fn plural<N: PartialEq + From<u8>, W>(number: N, one: W, several: W) -> W {
    if number == 1.into() { one } else { several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_one() {
        let words = |number: i32| plural(number, "is", "are");
        assert_eq!([0, 1, 2, 11].map(words), ["are", "is", "are", "are"]);
        let counted = |number: usize| count(number, "old task");
        assert_eq!([0, 1, 2].map(counted), ["0 old tasks", "1 old task", "2 old tasks"]);
    }

    #[test]
    fn a_clause_becomes_a_sentence_whatever_its_first_letter_is() {
        assert_eq!(capitalised("élan and IAM"), "Élan and IAM");
        assert_eq!(capitalised(""), "");
    }
}
