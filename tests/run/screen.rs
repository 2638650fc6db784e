//! The brief report fits a screen, whatever it tells: over the examples of all checks, the accounts
//! of `tests/cases` and the demos, in lines and in columns.

use std::path::{Path, PathBuf};

use crate::doctor::doctor;

/// Every snapshot that the tests have, as arguments of the program.
fn accounts() -> Vec<Vec<String>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut files: Vec<PathBuf> = Vec::new();
    for check in ::checks::catalog::checks() {
        let file = folder.join(format!("screen-{}.json", check.id()));
        std::fs::write(&file, serde_json::to_string(&(check.example)()).expect("JSON"))
            .expect("a folder to write to");
        files.push(file);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for folder in ["cases", "recorded"] {
        let found = std::fs::read_dir(root.join(folder)).expect("a folder of accounts");
        files.extend(found.map(|file| file.expect("a file").path()).filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".want.json")
        }));
    }
    files.sort();
    let from = |file: PathBuf| vec!["--from".to_owned(), file.to_string_lossy().into_owned()];
    files.into_iter().map(from).collect()
}

/// Lines of a command that is too long for any screen, or the shell variable above it.
fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("$ aws ") || line.starts_with("--") || line.starts_with('\'')
}

#[test]
fn the_brief_report_fits_a_screen() {
    let mut told: Vec<(usize, usize, String)> = Vec::new();
    for account in accounts() {
        let arguments: Vec<&str> = account.iter().map(String::as_str).collect();
        let json = doctor(&[&arguments[..], &["--output", "json"]].concat()).run().json();
        let [service] = json["services"].as_array().expect("services").as_slice() else {
            continue;
        };
        for columns in [80, 120] {
            let run = doctor(&arguments).env("COLUMNS", &columns.to_string()).run();
            let roots = service["roots"].as_array().expect("roots");
            let told_apart =
                |root: &&serde_json::Value| root["standing"] != "risk" || root["severity"] != "low";
            let causes = roots.iter().filter(told_apart).count();
            let lines = run.stdout.lines().count();
            let most = 24 + 2 * causes.saturating_sub(1).min(8);
            assert!(lines <= most, "{arguments:?}: {lines} lines\n{}", run.stdout);
            let wide =
                run.stdout.lines().find(|line| line.chars().count() > columns && !is_command(line));
            assert_eq!(wide, None, "{arguments:?} at {columns} columns\n{}", run.stdout);
            told.push((columns, lines, arguments[1].to_owned()));
        }
    }
    for columns in [80, 120] {
        let mut lines: Vec<usize> =
            told.iter().filter(|(at, ..)| *at == columns).map(|(_, lines, _)| *lines).collect();
        lines.sort_unstable();
        let most = lines.last().expect("reports");
        println!(
            "{} brief reports at {columns} columns: {} lines in the middle, {most} at most",
            lines.len(),
            lines[lines.len() / 2]
        );
    }
}

/// What can be copied is whole: every command of the screen is one of the report's.
#[test]
fn no_command_and_no_id_is_broken() {
    for account in accounts() {
        let arguments: Vec<&str> = account.iter().map(String::as_str).collect();
        let json = doctor(&[&arguments[..], &["--output", "json"]].concat()).run().json();
        let known: Vec<String> = json["services"]
            .as_array()
            .expect("services")
            .iter()
            .flat_map(|service| service["roots"].as_array().expect("roots"))
            .flat_map(|root| root["remedy"]["cli"].as_array().expect("commands"))
            .map(|command| command.as_str().expect("a command").to_owned())
            .collect();
        let run = doctor(&arguments).run();
        let joined = run.stdout.replace(" \\\n", " ");
        for command in joined.lines().filter_map(|line| line.trim_start().strip_prefix("$ ")) {
            let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                known.iter().any(|known| known.split_whitespace().eq(command.split(' '))),
                "{arguments:?}: {command}"
            );
        }
    }
}
