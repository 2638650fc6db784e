//! Makes a new check: its file, from a template that compiles, its two lines in the list of its
//! group, and its row in the contract of ids.
//! `cargo run -p ecs-doctor-checks --example new_check -- tasks disk_full`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a tool for developers reads, writes and speaks"
)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("new_check.template");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [group, id] = arguments.as_slice() else {
        eprintln!("usage: new_check <GROUP> <ID>, such as: new_check tasks disk_full");
        return ExitCode::from(2);
    };
    match make(Path::new(env!("CARGO_MANIFEST_DIR")), group, id) {
        Ok(file) => {
            println!("made {file}; the laws in tests/every_check.rs say what is missing");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("new_check: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn make(root: &Path, group: &str, id: &str) -> Result<String, String> {
    if !id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        || id.is_empty()
    {
        return Err(format!(
            "{id:?} is no id: use small letters, digits and underscores, and name the trouble"
        ));
    }
    let list = root.join(format!("src/catalog/{group}.rs"));
    let file = root.join(format!("src/catalog/{group}/{id}.rs"));
    let text = fs::read_to_string(&list)
        .map_err(|_| format!("there is no group {group:?}; see src/catalog.rs"))?;
    if file.exists() {
        return Err(format!("{id} is already there"));
    }
    fs::write(&file, TEMPLATE).map_err(|error| format!("{}: {error}", file.display()))?;
    fs::write(&list, with_lines(&text, id))
        .map_err(|error| format!("{}: {error}", list.display()))?;
    let contract = root.join("tests/contract.txt");
    fs::read_to_string(&contract)
        .and_then(|text| fs::write(&contract, with_row(&text, group, id)))
        .map_err(|error| format!("{}: {error}", contract.display()))?;
    Ok(format!("src/catalog/{group}/{id}.rs"))
}

/// The list with `mod id;` in its alphabetical place and the check at the end.
fn with_lines(text: &str, id: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = format!("mod {id};");
    let place = lines.iter().position(|other| other.starts_with("mod ") && *other > line);
    let last = lines.iter().rposition(|other| other.starts_with("mod "));
    let after_use = lines.iter().position(|other| other.starts_with("use ")).map_or(0, |at| at + 1);
    match (place, last) {
        (Some(at), _) => lines.insert(at, line),
        (None, Some(last)) => lines.insert(last + 1, line),
        (None, None) => lines.splice(after_use..after_use, [String::new(), line]).for_each(drop),
    }
    let entry = format!("    {id}::CHECK,");
    match lines.iter().rposition(|other| other == "];") {
        Some(end) => lines.insert(end, entry),
        None => lines
            .iter_mut()
            .filter(|other| other.ends_with("&[];"))
            .for_each(|other| *other = other.replace("&[];", &format!("&[\n{entry}\n];"))),
    }
    lines.join("\n") + "\n"
}

/// The contract with a row for the check, which is no longer planned; a new one is a cause, as the
/// template has it.
fn with_row(text: &str, group: &str, id: &str) -> String {
    let reserved = format!("{group} {id} ");
    let mut rows: Vec<&str> = text.lines().collect();
    let new = format!("{reserved}cause");
    match rows.iter().position(|row| row.starts_with(&reserved)) {
        Some(at) => rows[at] = rows[at].trim_end_matches(" planned"),
        None => rows.push(&new),
    }
    rows.join("\n") + "\n"
}
