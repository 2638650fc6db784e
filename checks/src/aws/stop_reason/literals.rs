//! A law: each text of `literals.txt` gets the verdict that stands beside it. The file is what the
//! table is measured by; where a text is from stands there, too.

use std::collections::{BTreeMap, BTreeSet};

use super::{hindrance, read, step};

/// A line of the file.
struct Literal {
    verdict: &'static str,
    source: &'static str,
    text: &'static str,
}

fn literals() -> Vec<Literal> {
    let lines = include_str!("literals.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.splitn(3, " | ");
            let mut part = || parts.next().unwrap_or_else(|| panic!("three parts: {line}"));
            Literal { verdict: part(), source: part(), text: part() }
        })
        .collect()
}

fn verdict(text: &str) -> String {
    match (read(text), step(text)) {
        (Some(reason), _) => format!("{:?}", reason.trouble),
        (None, Some(step)) => format!("quoted {step:?}"),
        (None, None) => "unknown".to_owned(),
    }
}

#[test]
fn each_literal_gets_its_verdict() {
    let wrong: Vec<String> = literals()
        .into_iter()
        .filter(|literal| verdict(literal.text) != literal.verdict)
        .map(|literal| format!("{}: {} | {}", literal.verdict, verdict(literal.text), literal.text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_literal_stands_once_and_says_where_it_is_from() {
    let mut texts = BTreeSet::new();
    for literal in literals() {
        assert!(texts.insert(literal.text), "twice: {}", literal.text);
        assert!(!literal.source.trim().is_empty(), "from nowhere: {}", literal.text);
    }
}

/// The size of the table, for whoever wants to know how much of it is understood: with
/// `--nocapture` it is printed.
#[test]
fn most_literals_are_classed_and_few_are_unknown() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let all = literals();
    for literal in &all {
        let class = match literal.verdict.split(' ').next() {
            Some("quoted") if hindrance(literal.text).is_some() => {
                "quoted, with a reason of its own"
            }
            Some("quoted") => "quoted",
            Some("unknown") => "unknown",
            _ => "classed",
        };
        *counts.entry(class).or_default() += 1;
    }
    println!("{} literals: {counts:?}", all.len());
    let count = |class: &str| counts.get(class).copied().unwrap_or_default();
    assert!(count("classed") * 2 > all.len(), "{counts:?}");
    assert!(count("unknown") * 10 < all.len(), "{counts:?}");
}
