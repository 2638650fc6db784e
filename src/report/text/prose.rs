//! Text that fits its place: in prose an ARN is as long as it takes to recognise it, nothing that
//! could be copied is broken in two, and what is too long for its line ends with an ellipsis.

use std::borrow::Cow;
use std::sync::LazyLock;

use checks::aws::arn::Arn;
use regex::Regex;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// The shortest room in which a word is still shortened and not just cut off.
const LEAST: usize = 8;

static ARN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\barn:aws[a-z-]*:[A-Za-z0-9:/_.+=@*-]+[A-Za-z0-9_*-]").ok());

/// The lines of a text, none longer than `width`; the first begins after `first` columns and the
/// others after `rest`, which are not part of the lines.
pub(super) fn lines(text: &str, width: usize, first: usize, rest: usize) -> Vec<String> {
    let room = width.saturating_sub(first.max(rest)).max(LEAST);
    let words: Vec<String> =
        recognisable(text).split(' ').map(|word| middle_out(word, room)).collect();
    let text = words.join(" ");
    let (before, below) = (" ".repeat(first), " ".repeat(rest));
    let options = Options::new(width)
        .initial_indent(&before)
        .subsequent_indent(&below)
        .break_words(false)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let wrapped = textwrap::wrap(&text, options);
    let indents = std::iter::once(first).chain(std::iter::repeat(rest));
    let bare = |(line, indent): (&Cow<str>, usize)| line.chars().skip(indent).collect();
    wrapped.iter().zip(indents).map(bare).collect()
}

/// The beginning of a text, whole words as far as they fit.
pub(super) fn line(text: &str, room: usize) -> String {
    let mut lines = lines(text, room, 0, 0);
    let cut = lines.len() > 1;
    if lines.is_empty() {
        return String::new();
    }
    let first = lines.swap_remove(0);
    if cut { ellipsis(&first, room) } else { first }
}

/// The first lines of several, the last of which says that there was more.
pub(super) fn first(mut lines: Vec<String>, most: usize, room: usize) -> Vec<String> {
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = ellipsis(last, room);
        }
    }
    lines
}

/// A text with each long name in it by its beginning and its end.
pub(super) fn names(text: &str, longest: usize) -> String {
    let words: Vec<String> = text.split(' ').map(|word| middle_out(word, longest)).collect();
    words.join(" ")
}

fn ellipsis(line: &str, room: usize) -> String {
    let mut kept = line.to_owned();
    while kept.chars().count() + 2 > room {
        let cut = kept.rfind(' ').filter(|at| *at > 0);
        kept = match cut {
            Some(at) => kept[..at].to_owned(),
            None => kept.chars().take(room.saturating_sub(2)).collect(),
        };
    }
    format!("{} …", kept.trim_end_matches([',', ';', ':', ' ']))
}

/// With each ARN by its resource: `targetgroup/api/1a2b3c4d5e6f7081`.
fn recognisable(text: &str) -> Cow<'_, str> {
    let Some(arn) = ARN.as_ref() else { return Cow::Borrowed(text) };
    arn.replace_all(text, |found: &regex::Captures| {
        Arn::read(&found[0]).map_or_else(|| found[0].to_owned(), |arn| arn.resource.to_owned())
    })
}

/// A word that is too long for any line, by its beginning and its end.
fn middle_out(word: &str, room: usize) -> String {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() <= room {
        return word.to_owned();
    }
    let end = (room - 1) / 2;
    let begin = room - 1 - end;
    let (begin, end) = (&letters[..begin], &letters[letters.len() - end..]);
    begin.iter().chain(&['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str =
        "arn:aws:elasticloadbalancing:eu-west-2:123456789012:targetgroup/api/1a2b3c4d5e6f7081";

    #[test]
    fn an_arn_in_prose_is_its_resource_and_what_stands_around_it_stays() {
        let text = format!("failed health checks in (target-group {GROUP}), twice.");
        assert_eq!(
            lines(&text, 200, 0, 0),
            ["failed health checks in (target-group targetgroup/api/1a2b3c4d5e6f7081), twice."]
        );
    }

    #[test]
    fn nothing_is_broken_within_a_word_and_nothing_is_wider_than_the_line() {
        let url = "https://ap-0123456789abcdef0123456789abcdef.ecs.eu-west-2.on.aws/some/path";
        for width in 20..100 {
            let lines = lines(&format!("requests for {url} get 503"), width, 2, 6);
            assert!(lines.iter().all(|line| line.chars().count() + 2 <= width), "{lines:?}");
            let whole = width >= url.len() + 6;
            assert_eq!(lines.iter().any(|line| line.contains(url)), whole, "{width}: {lines:?}");
        }
    }

    #[test]
    fn what_does_not_fit_says_so() {
        assert_eq!(line("one two three", 20), "one two three");
        assert_eq!(line("one two three, four five", 16), "one two three …");
        let three = vec!["one".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(first(three.clone(), 2, 10), ["one", "two …"]);
        assert_eq!(first(three.clone(), 3, 10), three);
    }
}
