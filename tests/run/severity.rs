//! A root is as grave as the worst that follows from it, in every format, and the exit code follows
//! from the roots: for every account of `tests/cases`.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::doctor::{Run, doctor};

/// The worst first.
const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

fn rank(finding: &Value, field: &str) -> usize {
    let severity = finding[field].as_str().expect("a severity");
    SEVERITIES.iter().position(|known| *known == severity).expect("a severity that is known")
}

/// The worst that a finding and all that follows from it are by themselves.
fn worst(finding: &Value) -> usize {
    let effects = finding["explains"].as_array().into_iter().flatten();
    effects.map(worst).fold(rank(finding, "own_severity"), usize::min)
}

fn snapshots() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = std::fs::read_dir(&folder).expect("the accounts");
    files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(".snapshot.json"))
        .collect()
}

fn run(snapshot: &Path, output: &str, fail_on: &str) -> Run {
    let from = snapshot.to_str().expect("UTF-8");
    doctor(&["--from", from, "--full", "--output", output, "--fail-on", fail_on]).run()
}

/// What is wrong with the severities of one account.
fn complaints(snapshot: &Path) -> Vec<String> {
    let name = snapshot.file_name().expect("a name").to_string_lossy();
    let json = run(snapshot, "json", "high");
    let roots = json.service()["roots"].as_array().cloned().unwrap_or_default();
    let text = run(snapshot, "text", "medium");
    let mut complaints = Vec::new();
    let ranks: Vec<usize> = roots.iter().map(|root| rank(root, "severity")).collect();
    for (root, rank) in roots.iter().zip(&ranks) {
        let check = root["check"].as_str().expect("a check");
        if *rank != worst(root) {
            complaints.push(format!("{name}: {check} is {}", SEVERITIES[*rank]));
        }
        let line = format!(
            "{}, {}  {check}",
            root["standing"].as_str().expect("a standing").to_uppercase(),
            SEVERITIES[*rank]
        );
        // Risks stand in a table.
        if root["standing"] != "risk" && !text.stdout.contains(&line) {
            complaints.push(format!("{name}: the text has no {line:?}"));
        }
    }
    let runs = [
        ("high", json.code),
        ("medium", text.code),
        ("low", run(snapshot, "json", "low").code),
        ("critical", run(snapshot, "text", "critical").code),
    ];
    for (level, code) in runs {
        let limit = SEVERITIES.iter().position(|known| *known == level).expect("a severity");
        let expected = i32::from(ranks.iter().any(|rank| *rank <= limit));
        if code != expected {
            complaints.push(format!("{name}: exit code {code} with --fail-on {level}"));
        }
    }
    complaints
}

#[test]
fn a_root_is_as_grave_as_the_worst_that_follows_from_it() {
    let snapshots = snapshots();
    assert!(!snapshots.is_empty(), "no accounts");
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = snapshots.len().div_ceil(at_once).max(1);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = snapshots
            .chunks(share)
            .map(|few| {
                scope.spawn(|| few.iter().flat_map(|one| complaints(one)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("accounts")).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_worst_may_be_far_below() {
    let finding = serde_json::json!({
        "own_severity": "medium", "severity": "medium",
        "explains": [{
            "own_severity": "high",
            "explains": [{ "own_severity": "critical", "explains": [] }],
        }],
    });
    assert_eq!(SEVERITIES[worst(&finding)], "critical");
    assert_ne!(rank(&finding, "severity"), worst(&finding), "and that would be seen");
}
