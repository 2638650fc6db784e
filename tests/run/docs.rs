//! The docs: what is generated is what the program generates now, and what the README shows is what
//! the program prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::doctor::doctor;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
    {
        if entry.is_dir() {
            all.extend(files(&entry));
        } else {
            all.insert(entry.clone(), std::fs::read_to_string(&entry).expect("text"));
        }
    }
    all
}

#[test]
fn generated_pages_are_not_stale() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs");
    drop(std::fs::remove_dir_all(&fresh));
    assert_eq!(doctor(&["docs", fresh.to_str().unwrap()]).run().code, 0);
    let relative = |from: &Path| -> BTreeMap<PathBuf, String> {
        files(from)
            .into_iter()
            .map(|(path, text)| (path.strip_prefix(from).expect("below").to_owned(), text))
            .collect()
    };
    let committed = relative(&root().join("docs"));
    let fresh = relative(&fresh);
    for (path, text) in &fresh {
        assert!(
            committed.get(path) == Some(text),
            "docs/{} is stale: cargo run -- docs docs",
            path.display()
        );
    }
    for path in committed.keys().filter(|path| path.starts_with("checks")) {
        assert!(fresh.contains_key(path), "docs/{} is of no check", path.display());
    }
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let shown = readme
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a block of real output");
    let printed = doctor(&["demo"]).run().stdout;
    // The README may leave lines out at the end of a part, and says so with a line of dots.
    let mut rest = printed.as_str();
    for part in shown.split("…\n") {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("the program does not print:\n{part}\nit prints:\n{rest}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_readme_names_every_exit_code_and_option() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let help = doctor(&["--help"]).run().stdout;
    for option in help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches([',', ']', '.']))
    {
        let known = ["--help", "--version", "--verbose", "--timeout", "--no-logs", "--profile"]
            .contains(&option)
            || readme.contains(option);
        assert!(known, "the README does not mention {option}");
    }
}
