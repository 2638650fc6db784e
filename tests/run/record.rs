//! Records the example accounts of `demo` from the wire, and serves an account by hand. Both are
//! for developers: `cargo test --test run record::record -- --ignored`, and `ACCOUNT=naff cargo
//! test --test run record::serve -- --ignored --nocapture`.

use std::path::Path;

use crate::doctor::doctor;
use crate::wire::Account;

/// Every example of `demo`, with the service to examine.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("green-console-503", "api"),
    ("canary-without-traffic", "api"),
    ("alarm-of-4xx", "api"),
    ("latest-pushed-not-running", "api"),
    ("narrow-rule-beside-wide-one", "api"),
    ("custom-domain-after-deploy", "api"),
    ("boomerang", "dashboard"),
    ("the-allow-list-and-the-dashboard", "dashboard"),
    ("port-80-is-enough", "web"),
    ("two-causes-two-versions", "mailer"),
    ("instances-without-room", "web"),
];

/// The snapshot of an account, with a time and a made-up mark that never change.
pub fn snapshot(name: &str, service: &str) -> String {
    let account = Account::start(name);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("record-{name}.json"));
    let run = doctor(&[service, "--save", file.to_str().expect("UTF-8")]).at(&account).run();
    assert!(run.code <= 1, "{run:#?}");
    let json = std::fs::read_to_string(file).expect("the snapshot just saved");
    let mut snapshot: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    snapshot["calls"]["elapsed_ms"] = 0.into();
    serde_json::to_string_pretty(&snapshot).expect("JSON") + "\n"
}

fn recorded(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recorded/{name}.json"))
}

#[test]
fn recorded_snapshots_are_what_the_wire_tells() {
    for (name, service) in EXAMPLES {
        let committed = std::fs::read_to_string(recorded(name)).expect("a recorded snapshot");
        assert!(
            committed == snapshot(name, service),
            "tests/recorded/{name}.json is stale: cargo test --test run record::record -- --ignored"
        );
    }
}

#[test]
#[ignore = "writes tests/recorded"]
fn record() {
    for (name, service) in EXAMPLES {
        std::fs::write(recorded(name), snapshot(name, service)).expect("a folder to write to");
    }
}

#[test]
#[ignore = "serves until it is stopped"]
fn serve() {
    let account =
        Account::start(&std::env::var("ACCOUNT").expect("ACCOUNT, a name in tests/wire/replies"));
    for (name, value) in account.environment() {
        println!("export {name}={value}");
    }
    println!("export ECS_DOCTOR_NOW={}", account.now());
    loop {
        std::thread::park();
    }
}
