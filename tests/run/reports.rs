//! The formats: every report validates against the committed schema, and nothing that came from AWS
//! can move a cursor.

use std::path::Path;

use serde_json::Value;

use crate::doctor::doctor;

fn schema() -> jsonschema::Validator {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("the schema")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// The example of every check is a snapshot; so every kind of finding is in some report.
#[test]
fn every_report_is_valid_and_every_finding_prints() {
    let schema = schema();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for check in ::checks::catalog::checks() {
        let file = folder.join(format!("example-{}.json", check.id()));
        std::fs::write(&file, serde_json::to_string(&(check.example)()).expect("JSON"))
            .expect("a folder to write to");
        let from = file.to_str().expect("UTF-8");
        let expected =
            ["--expect-ingress", "203.0.113.0/24", "--expect-ingress", "198.51.100.0/24"];
        let json = doctor(&[&["--from", from, "--output", "json"][..], &expected].concat()).run();
        assert!(json.code <= 1, "{}: {json:#?}", check.id());
        let report = json.json();
        let errors: Vec<String> = schema
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", check.id());
        let without: Vec<String> = shells(&report).filter(|it| !names_the_region(it)).collect();
        assert!(without.is_empty(), "{}: {without:#?}", check.id());
        let text = doctor(&[&["--from", from, "--full"][..], &expected].concat()).run();
        assert!(
            text.stdout.contains(check.id()),
            "{} is not in the text:\n{}",
            check.id(),
            text.stdout
        );
    }
}

/// Every command of a report, as a shell takes it.
fn shells(part: &Value) -> Box<dyn Iterator<Item = String> + '_> {
    match part {
        Value::String(text) => Box::new(text.starts_with("aws ").then(|| text.clone()).into_iter()),
        Value::Array(parts) => Box::new(parts.iter().flat_map(shells)),
        Value::Object(parts) => Box::new(parts.values().flat_map(shells)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether each `aws` in a command, also one whose output is a word of it, asks the region once.
fn names_the_region(command: &str) -> bool {
    let calls = command.matches("aws ").count();
    command.matches(" --region eu-west-2").count() == calls && !command.contains("--profile")
}

/// Characters that turn a line, or that nobody sees.
const UNSEEN: &str = "\u{202e}\u{61c}\u{ad}\u{115f}\u{180e}\u{3164}\u{ffa0}\u{fff9}\u{200b}\u{2066}\u{e0041}\u{e000}";

#[test]
fn control_characters_never_reach_the_terminal() {
    let mut snapshot = ::checks::baseline::fargate();
    let service = &mut snapshot.services[0];
    service.service_name = format!("api\u{1b}[2J\u{9b}31m{UNSEEN}");
    snapshot.calls.by_operation.insert(format!("ecs:X\u{1b}[2J{UNSEEN}"), 1);
    let service = &mut snapshot.services[0];
    service.desired_count = 9;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("control.json");
    std::fs::write(&file, serde_json::to_string(&snapshot).expect("JSON"))
        .expect("a folder to write to");
    for output in ["text", "json"] {
        let run = doctor(&["--from", file.to_str().expect("UTF-8"), "--output", output]).run();
        let harmful = |c: char| c != '\n' && (c.is_control() || UNSEEN.contains(c));
        assert!(!run.stdout.chars().any(harmful), "{output}: {:?}", run.stdout);
        assert!(run.stdout.contains("api\u{fffd}[2J"), "{output}");
    }
}
