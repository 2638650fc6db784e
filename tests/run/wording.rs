//! Words that no text for people has: what is native English, and AWS's, stands beside each. It is
//! about the pages, the help, and every literal of the checks and of the report.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;

use crate::doctor::doctor;

/// What does not appear, as a pattern, and what to say.
const WORDS: &[(&str, &str)] = &[
    (r"\b[Mm]end(s|ed|ing)?\b", "fix, correct, repair"),
    (r"\b[Ww]hom\b", "who, which"),
    (r"\banew\b", "again; recreate"),
    (r"\b[Tt]he ways? (in|out)\b", "request path, route"),
    (r"\btakes? away\b", "remove"),
    (r"\bis good for\b", "matches"),
    (r"\basks? (for )?/", "requests"),
    (
        r"\b[Ll]et the (health check|load balancer|load balancer|service|tasks?) (ask|in|out)\b",
        "set, allow",
    ),
    (r"\b(said|stopped) so\b", "reported; stopped for this reason"),
    (r"\bnone is one\b", "there is none"),
    (r"\bmakes? .{1,30} void\b", "make pointless"),
    (r"\bdoors?\b", "load balancer, entry point"),
    (r"\bnext to no\b", "almost no"),
    (r"\b(came|comes?) about\b", "was made, happened"),
    (r"\b[Nn]obody knows\b", "inconclusive"),
    (r"\b[Nn]othing suffers\b", "no impact"),
    (r"\bgone around\b", "bypassed"),
    (r"\bmoves nothing\b", "is inactive"),
    (r"\bat no named stage\b", "no lifecycle stage reported"),
    (r"\b[Ff]ailed to come\b", "failed"),
    (r"\bthe last word\b", "takes precedence"),
    (r"\b[Nn]otes: normal states\b", "expected states"),
    (r"\bthe half of a pair\b", "one of the two target groups"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, extension, all);
        } else if path.extension().is_some_and(|it| it == extension) {
            all.push(path);
        }
    }
}

/// The literals of a source with a blank in them, doc comments among them, without its tests.
fn said_by(source: &str) -> Vec<String> {
    fn gather(tokens: TokenStream, said: &mut Vec<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => gather(group.stream(), said),
                TokenTree::Literal(literal) => said.push(literal.to_string()),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let program = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let mut said = Vec::new();
    gather(program.parse().expect("Rust"), &mut said);
    said.retain(|text| text.contains(' ') && text.contains('"'));
    said
}

/// Where a text has a word that it should not have.
fn faults(place: &str, text: &str) -> Vec<String> {
    let of = |(word, say): &(&str, &str)| {
        let found = Regex::new(word).expect("a pattern").find(text)?.as_str().to_owned();
        Some(format!("{place}: {found:?} (say: {say}) in {:?}", text.trim()))
    };
    WORDS.iter().filter_map(of).collect()
}

fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} places\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_pages_speak_plain_english() {
    let mut pages = vec![root().join("README.md")];
    files(&root().join("docs"), "md", &mut pages);
    let of = |page: &PathBuf| {
        let text = std::fs::read_to_string(page).expect("a page");
        let place = page.strip_prefix(root()).expect("below").display().to_string();
        text.lines().flat_map(|line| faults(&place, line)).collect::<Vec<_>>()
    };
    // Decisions are history: they keep the words of their day.
    let now = pages.iter().filter(|page| !page.starts_with(root().join("docs/decisions")));
    assert_none(now.flat_map(of).collect());
}

#[test]
fn the_help_speaks_plain_english() {
    let commands = ["", "diff", "timeline", "demo", "explain", "checks", "completions", "man"];
    let help = |command: &&str| {
        let arguments: Vec<&str> =
            [*command, "--help"].into_iter().filter(|it| !it.is_empty()).collect();
        doctor(&arguments).run().stdout
    };
    let of = |command: &&str| faults(&format!("{command} --help"), &help(command));
    assert_none(commands.iter().flat_map(of).collect());
}

#[test]
fn checks_and_report_speak_plain_english() {
    let mut sources = Vec::new();
    for folder in ["checks/src/catalog", "checks/src/facts", "checks/src/views", "src/report"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    let of = |source: &PathBuf| {
        let text = std::fs::read_to_string(source).expect("a source");
        let place = source.strip_prefix(root()).expect("below").display().to_string();
        said_by(&text).iter().flat_map(|said| faults(&place, said)).collect::<Vec<_>>()
    };
    assert_none(sources.iter().flat_map(of).collect());
}

#[test]
fn a_wrong_word_is_found_where_it_stands() {
    let source = "/// Mend it.\n// whom\nfn f() { g(\"Let the tasks in on port 80\") }\n#[cfg(test)]\nmod tests { nobody knows }";
    let found: Vec<String> = said_by(source).iter().flat_map(|said| faults("x", said)).collect();
    assert_eq!(found.len(), 2, "{found:?}");
}
