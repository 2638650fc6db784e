//! The layers of the crate, as the folders have them: which may use which. The picture of them in
//! `docs/architecture.md` is compared with the imports of the code, so it cannot go stale. And what
//! is written at one place only, as far as the sources tell: commands, HCL, plurals.

#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "it reads the sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The folders that are layers; all other modules are the engine.
const FOLDERS: [&str; 6] = ["aws", "baseline", "catalog", "facts", "snapshot", "views"];

type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn layer(module: &str) -> &str {
    if FOLDERS.contains(&module) { module } else { "engine" }
}

/// The modules of the crate that a source names, outside of its tests and comments.
fn named(source: &str) -> BTreeSet<String> {
    let code: String = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split("};").next().unwrap_or_default();
                named.extend(list.split(',').map(|item| word(item.trim())));
            }
            None => {
                named.insert(word(rest));
            }
        }
    }
    named
}

/// Which layer uses which, in the code.
fn used() -> Uses {
    let mut uses: Uses = BTreeMap::new();
    let source = root().join("src");
    for file in files(&source) {
        let path = file.strip_prefix(&source).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "testing"].contains(&module) {
            continue;
        }
        let from = layer(module).to_owned();
        let to = named(&fs::read_to_string(&file).unwrap());
        // `aws!`, `hcl!`, `words!` and `check!` are macros of the engine, with names of their own.
        let to = to.iter().filter(|name| !["words", "aws!"].contains(&name.as_str()));
        let to: BTreeSet<String> =
            to.map(|name| layer(name).to_owned()).filter(|to| *to != from).collect();
        uses.entry(from).or_default().extend(to);
    }
    uses
}

/// Which layer may use which, in the picture.
fn drawn() -> Uses {
    let page = fs::read_to_string(root().join("../docs/architecture.md")).unwrap();
    let picture = page.split("```layers\n").nth(1).expect("a block ```layers in architecture.md");
    let picture = picture.split("```").next().unwrap();
    let row = |line: &str| {
        let (from, to) = line.split_once('→')?;
        let to = to.split('·').next()?.split(',').map(|to| to.trim().to_owned());
        Some((from.trim().to_owned(), to.filter(|to| !to.is_empty()).collect()))
    };
    picture.lines().filter_map(row).collect()
}

#[test]
fn the_picture_of_the_layers_is_that_of_the_imports() {
    assert_eq!(used(), drawn(), "left: the imports; right: docs/architecture.md");
}

#[test]
fn no_layer_uses_what_stands_above_it() {
    let uses = used();
    let forbidden = [
        ("aws", "facts"),
        ("aws", "views"),
        ("aws", "catalog"),
        ("snapshot", "aws"),
        ("snapshot", "facts"),
        ("facts", "views"),
        ("facts", "catalog"),
        ("views", "catalog"),
        ("catalog", "views"),
    ];
    for (from, to) in forbidden {
        assert!(!uses.get(from).is_some_and(|uses| uses.contains(to)), "{from} uses {to}");
    }
}

#[test]
fn groups_of_checks_do_not_use_each_other() {
    let catalog = root().join("src/catalog");
    for file in files(&catalog) {
        let own = file.strip_prefix(&catalog).unwrap().iter().next().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&file).unwrap();
        for rest in source.split("crate::catalog::").skip(1) {
            let group = rest.split("::").next().unwrap_or_default();
            assert!(group == own || !catalog.join(group).is_dir(), "{}: {group}", file.display());
        }
    }
}

/// A fact says what is, and notes what it could not see: whether that is a trouble, a check says.
#[test]
fn no_fact_takes_or_makes_findings() {
    for file in files(&root().join("src/facts")) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        assert!(!code.contains("Findings"), "{}", file.display());
    }
}

/// Shell and HCL are written as templates only, so that whatever comes from AWS is quoted in one
/// place.
#[test]
fn nobody_writes_shell_or_hcl_as_text() {
    let (catalog, facts) = (root().join("src/catalog"), root().join("src/facts"));
    for file in files(&catalog).into_iter().chain(files(&facts)) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            let place = format!("{}:{}: {line}", file.display(), number + 1);
            assert!(line.starts_with("//") || !line.contains("\"aws "), "{place}");
            assert!(!(line.contains("format!(") && line.contains("resource \\\"aws_")), "{place}");
        }
    }
}

/// Plurals and capitals are made by `text`. A pattern finds the usual ways to make them by hand: a
/// choice between two words by whether it is one, a sentence of its own for one, an `s` behind a
/// value, and a first letter in upper case.
#[test]
fn nobody_makes_a_plural_or_a_capital_by_hand() {
    let by_hand = [
        r#"(?:== 1|!= 1|> 1|< 2)\s*\{\s*\(?"\w[^"]{0,24}"(?:,\s*"[^"]*")*\)?\s*\}\s*else"#,
        r#"\b1(?: =>|\s*\{)\s*"1 "#,
        r"\{\w*\}s\b",
        r"char::to_(?:ascii_)?uppercase",
    ]
    .map(|pattern| Regex::new(pattern).unwrap());
    let (checks, program) = (root().join("src"), root().join("../src"));
    for file in files(&checks).into_iter().chain(files(&program)) {
        if file == checks.join("text.rs") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        let found: Vec<String> = by_hand
            .iter()
            .flat_map(|pattern| pattern.find_iter(&source))
            .map(|found| {
                let line = source[..found.start()].lines().count();
                format!("{}:{line}: {:?}; text.rs has `plural`", file.display(), found.as_str())
            })
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
