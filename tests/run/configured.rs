//! What a file says once and for all: accepted risks with their last day, defaults, and what
//! `config` prints of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::doctor::{Run, doctor};

fn written(name: &str, text: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).expect("a folder to write to");
    file
}

/// A service at risk, by the example of a check of medium severity, with this configuration.
fn at_risk(name: &str, config: &str) -> Run {
    let check = ::checks::catalog::find("platform_version_old").expect("the check");
    let snapshot = serde_json::to_string(&(check.example)()).expect("JSON");
    let snapshot = written(&format!("{name}.json"), &snapshot);
    let config = written(&format!("{name}.toml"), config);
    let [snapshot, config] = [&snapshot, &config].map(|path| path.to_str().expect("UTF-8"));
    doctor(&["--from", snapshot, "--config", config, "--output", "json", "--fail-on", "low"]).run()
}

fn accept(until: &str) -> String {
    format!(
        "[[accept]]\ncheck = 'platform_version_old'\nreason = 'moves next month'\nuntil = '{until}'\n"
    )
}

fn has_risk(service: &Value) -> bool {
    let roots = service["roots"].as_array().expect("roots");
    roots.iter().any(|root| root["check"] == "platform_version_old")
}

#[test]
fn an_accepted_risk_leaves_the_findings_until_its_last_day() {
    let as_it_is = at_risk("as-it-is", "").service();
    assert!(has_risk(&as_it_is), "{as_it_is:#}");
    assert_eq!(as_it_is["accepted"], serde_json::json!([]));

    let accepted = at_risk("accepted", &accept("2099-12-31")).service();
    assert!(!has_risk(&accepted));
    assert_eq!(accepted["accepted"][0]["reason"], "moves next month");
    assert_eq!(accepted["accepted"][0]["expired"], false);
    let findings = accepted["findings"].as_array().expect("findings");
    assert!(findings.iter().all(|finding| finding["check"] != "platform_version_old"));

    let expired = at_risk("expired", &accept("2001-01-01")).service();
    assert!(has_risk(&expired), "it is back");
    assert_eq!(expired["accepted"][0]["expired"], true);
}

/// Only risks: what clients feel is not a matter of opinion.
#[test]
fn a_cause_cannot_be_accepted() {
    let text = "[[accept]]\ncheck = 'health_check_wrong_answer'\nreason = 'never mind'\n";
    let config = written("cause.toml", text);
    let run = doctor(&[
        "--from",
        "tests/recorded/green-console-503.json",
        "--config",
        config.to_str().expect("UTF-8"),
        "--output",
        "json",
    ])
    .run();
    assert_eq!(run.code, 1);
    assert_eq!(run.service()["roots"][0]["check"], "health_check_wrong_answer");
}

#[test]
fn what_is_wrong_in_a_file_is_one_line_with_its_place() {
    for (name, text, said) in [
        ("unknown-check", "[[accept]]\ncheck = 'no_such_check'\nreason = 'x'", "no check"),
        ("unknown-name", "\nexpect_ingress = []", "line 2: unknown field `expect_ingress`"),
        (
            "bad-day",
            "[[accept]]\ncheck = 'single_task'\nreason = 'x'\nuntil = 'soon'",
            "2027-01-31",
        ),
        ("bad-output", "output = 'xml'", "xml"),
    ] {
        let file = written(&format!("{name}.toml"), text);
        let run = doctor(&["config", "--config", file.to_str().expect("UTF-8")]).run();
        assert_eq!(run.code, 2, "{name}: {run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{name}: {run:#?}");
        assert!(run.stderr.contains(said), "{name}: {run:#?}");
    }
}

#[test]
fn a_default_stands_where_the_command_line_says_nothing() {
    let config = written("defaults.toml", "output = 'json'\n");
    let config = config.to_str().expect("UTF-8");
    let from = ["--from", "tests/recorded/green-console-503.json", "--config", config];
    assert!(doctor(&from).run().stdout.starts_with('{'));
    let text = doctor(&[&from[..], &["--output", "text"]].concat()).run().stdout;
    assert!(text.starts_with("✗ SICK"), "{text}");
    let printed = doctor(&["config", "--config", config]).run().stdout;
    assert!(printed.contains(config) && printed.contains("output = 'json'"), "{printed}");
}
