//! What nobody would write and somebody may send: accounts with odd values in odd places, events
//! and log lines of any letters, rules and URLs of any shape. Nothing may panic, and no check may
//! crash. The seed is fixed, so that a run says tomorrow what it says today.

use checks::aws::url::Url;
use checks::diagnosis::diagnose;
use checks::exam::Outcome;
use checks::facts::inbound::request;
use checks::patient::{Intent, Patient};
use checks::snapshot::{Condition, Rule, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::report::text::Text;
use crate::report::{Print, Report, ServiceReport};
use crate::{anonymise, mask, replay};

const ACCOUNTS: &[&str] = &[
    include_str!("../tests/recorded/green-console-503.json"),
    include_str!("../tests/recorded/canary-without-traffic.json"),
    include_str!("../tests/recorded/the-allow-list-and-the-dashboard.json"),
    include_str!("../tests/recorded/instances-without-room.json"),
    include_str!("../tests/recorded/boomerang.json"),
];

fn runner(cases: u32) -> TestRunner {
    let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Values at the edges of what a field may have: a number, a time and a text.
fn odd() -> impl Strategy<Value = (Value, &'static str, String)> {
    let numbers =
        [json!(0), json!(-1), json!(i32::MAX), json!(i32::MIN), json!(i64::MAX), json!(1e308)];
    let times = [
        "9999-12-30T22:00:00.999999999Z",
        "-009999-01-02T01:59:59Z",
        "1970-01-01T00:00:00Z",
        "2026-11-22T02:59:59Z",
    ];
    let texts =
        ["", "0.0.0.0/0", "::/0", "arn:", "arn:aws:ecs:::service/", "://", "{{}}", "-1", "*"];
    let long = "a".repeat(100_000);
    let texts = texts.map(str::to_owned).into_iter().chain([long]).collect::<Vec<_>>();
    let texts = prop_oneof![prop::sample::select(texts), ".{0,40}"];
    (prop::sample::select(numbers.to_vec()), prop::sample::select(times.to_vec()), texts)
}

/// A value of the same kind: others the loader refuses.
fn in_place_of(value: &Value, (number, time, text): (Value, &str, String)) -> Value {
    match value {
        Value::Number(_) => number,
        Value::Bool(is) => json!(!is),
        Value::String(was) if was.parse::<jiff::Timestamp>().is_ok() => time.into(),
        Value::String(_) => text.into(),
        other => other.clone(),
    }
}

/// The JSON pointer of every value of a document that has none within.
fn leaves(part: &Value, at: &str, all: &mut Vec<String>) {
    match part {
        Value::Array(parts) if !parts.is_empty() => {
            let parts = parts.iter().enumerate();
            parts.for_each(|(number, part)| leaves(part, &format!("{at}/{number}"), all));
        }
        Value::Object(parts) if !parts.is_empty() => {
            for (member, part) in parts {
                let member = member.replace('~', "~0").replace('/', "~1");
                leaves(part, &format!("{at}/{member}"), all);
            }
        }
        _ => all.push(at.to_owned()),
    }
}

/// Everything that is done with a snapshot.
fn examine(snapshot: &Snapshot) {
    let intent = Intent::default();
    let services = snapshot.services.iter().map(|service| {
        let patient = Patient::new(snapshot, service, &intent);
        let diagnosis = diagnose(&patient);
        for exam in &diagnosis.exams {
            assert_ne!(exam.outcome, Outcome::Crashed, "{} crashed", exam.check.id());
        }
        ServiceReport::new(&patient, &diagnosis, None)
    });
    let report = Report::new(snapshot, services.collect());
    Text::default().print(&report, &mut Vec::new()).unwrap();
    serde_json::to_string(&report).unwrap();
}

#[test]
fn an_odd_value_anywhere_in_an_account_crashes_nothing() {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), odd()), 1..6);
    let cases = (0..ACCOUNTS.len(), changes);
    let examined = std::cell::Cell::new(0);
    runner(150)
        .run(&cases, |(account, changes)| {
            let mut document: Value = serde_json::from_str(ACCOUNTS[account]).unwrap();
            let mut all = Vec::new();
            leaves(&document, "", &mut all);
            for (place, value) in changes {
                let leaf = document.pointer_mut(&all[place.index(all.len())]).unwrap();
                *leaf = in_place_of(leaf, value);
            }
            // What no field can have is refused by the loader, in one line.
            if let Ok(snapshot) = replay::parse(&document.to_string()) {
                examine(&snapshot);
                examined.set(examined.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(examined.get() > 75, "only {} were snapshots", examined.get());
}

#[test]
fn no_text_is_too_odd_for_the_grammars() {
    let words = prop_oneof![
        Just("(service api)"),
        Just("(task "),
        Just("has started 2 tasks"),
        Just("(target-group arn:"),
        Just("was unable to place a task"),
        Just("unhealthy in"),
        Just("due to (reason "),
        Just(")"),
        Just("CannotPullContainerError: "),
        Just("ResourceInitializationError: "),
        Just("\"GET / HTTP/1.1\" 200"),
        Just("dial tcp 10.0.0.1:5432: "),
        Just("Error: connect ECONNREFUSED "),
        Just("password="),
        Just("é\u{202e}\u{0}"),
    ];
    let text =
        proptest::collection::vec(prop_oneof![words.prop_map(str::to_owned), ".{0,12}"], 0..12);
    runner(1500)
        .run(&text, |parts| {
            let text = parts.concat();
            checks::aws::event::read(&text);
            checks::aws::event::about(&text);
            checks::aws::stop_reason::read(&text);
            checks::aws::rollback_reason::read(&text);
            checks::aws::request_log::request(&text);
            checks::aws::dial::read(&text);
            checks::aws::listen_line::read(&text);
            mask::line(&text);
            mask::reason(&text);
            crate::report::plain(&text);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_rule_takes_or_leaves_every_url() {
    let field = prop_oneof![
        Just("host-header"),
        Just("path-pattern"),
        Just("http-header"),
        Just("query-string"),
        Just("http-request-method"),
        Just("source-ip"),
        Just("x"),
    ];
    let text = || prop_oneof!["[a-z*?./=&-]{0,20}", ".{0,10}", Just("(a+)+$".to_owned())];
    let texts = || proptest::collection::vec(text(), 0..3);
    let condition = (field, texts(), texts(), proptest::option::of(text()));
    let rules = proptest::collection::vec(condition, 0..4);
    runner(1500)
        .run(&(rules, "https?://[a-z.*-]{1,20}(:[0-9]{1,5})?(/.{0,20})?"), |(conditions, url)| {
            let conditions = conditions.into_iter().map(|(field, values, regex_values, name)| {
                Condition { field: field.into(), name, values, regex_values }
            });
            let rule = Rule { conditions: conditions.collect(), ..Rule::default() };
            if let Ok(url) = url.parse::<Url>() {
                request::takes(&rule, &url);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_can_be_loaded_can_be_anonymised() {
    for account in ACCOUNTS {
        let snapshot = replay::parse(account).unwrap();
        examine(&anonymise::anonymise(&snapshot).unwrap());
    }
}
