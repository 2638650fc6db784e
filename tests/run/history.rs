//! `diff`, `timeline`, and the parts of the report beside findings: they say the same of an account
//! and of its saved snapshot, this year and next, and no more than was seen.

use std::path::Path;

use ::checks::baseline::{self, id, minutes_ago, roll_out};
use ::checks::snapshot::deployment::Rollback;
use ::checks::snapshot::{EnvironmentVariable, Snapshot};
use serde_json::Value;

use crate::doctor::{Run, doctor};

const GREEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/green-console-503.json");

/// A snapshot as a file.
fn saved(name: &str, snapshot: &Snapshot) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{name}.json"));
    std::fs::write(&file, serde_json::to_string(snapshot).expect("JSON"))
        .expect("a folder to write to");
    file.to_str().expect("UTF-8").to_owned()
}

/// Version 13 with less memory, another variable and another image, rolled back to 12.
fn rolled_back() -> Snapshot {
    let mut snapshot = baseline::fargate();
    roll_out(&mut snapshot, 40, |deployment| {
        let old = deployment.source_service_revisions.first().map(|revision| revision.arn.clone());
        deployment.status = "ROLLBACK_SUCCESSFUL".into();
        deployment.finished_at = Some(minutes_ago(19));
        deployment.rollback = Some(Rollback {
            reason: None,
            started_at: Some(minutes_ago(24)),
            service_revision_arn: old,
        });
    });
    let definition =
        snapshot.task_definitions.change(&id::ecs("task-definition/api:13")).expect("version 13");
    definition.memory = Some("256".into());
    definition.container_definitions[0].image = id::image("api:1.5.0");
    definition.container_definitions[0]
        .environment
        .push(EnvironmentVariable { name: "FEATURE_X".into(), hosts: Vec::new() });
    let revision = snapshot
        .revisions
        .change(&id::ecs("service-revision/prod/api/4000000000000000013"))
        .expect("its revision");
    revision.container_images[0].image = id::image("api:1.5.0");
    revision.container_images[0].image_digest = Some(id::digest(2));
    snapshot
}

fn fine(run: Run) -> Run {
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    run
}

fn valid(report: &Value, schema: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(schema);
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("the schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn diff_compares_the_last_good_version_with_the_newest() {
    let file = saved("rolled-back", &rolled_back());
    let run = fine(doctor(&["diff", "api", "--from", &file]).run());
    for line in [
        "What differs between api:12 and api:13",
        "- environment of app: with FEATURE_X",
        "- memory: 512 → 256",
        "- image of app: api:1.4.2 (sha256:111111111111) → api:1.5.0",
    ] {
        assert!(run.stdout.contains(line), "{line} is not in\n{}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
}

#[test]
fn diff_takes_any_two_versions_by_any_name() {
    let file = saved("any-two", &rolled_back());
    let diff = |from: &str, to: &str| {
        fine(
            doctor(&[
                "diff", "api", "--from", &file, "--old", from, "--new", to, "--output", "json",
            ])
            .run(),
        )
        .json()
    };
    let there = diff("12", "4000000000000000013");
    valid(&there, "diff.schema.json");
    assert_eq!(there["format"], "ecs-doctor-diff/v1");
    let back = diff("api:13", "api:12");
    let of = |diff: &Value, side: &str| {
        let change = diff["changes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|change| change["area"] == "size")
            .unwrap();
        change[side].clone()
    };
    assert_eq!(of(&there, "after"), serde_json::json!(["256"]));
    assert_eq!(of(&back, "before"), serde_json::json!(["256"]));
    assert_eq!(diff("13", "13")["changes"], serde_json::json!([]));
}

/// `--from` is a snapshot for every command.
#[test]
fn a_version_in_the_place_of_a_snapshot_is_one_line_and_2() {
    for version in ["41", "api:41"] {
        let run = doctor(&["diff", "api", "--from", version]).run();
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains("--old and --new"), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    }
}

#[test]
fn a_version_that_is_not_there_is_one_line_and_4() {
    let file = saved("not-there", &rolled_back());
    for arguments in [&["--old", "7"][..], &["--new", "api:99"], &["--old", "4000000000000000099"]]
    {
        let run = doctor(&[&["diff", "api", "--from", &file][..], arguments].concat()).run();
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{run:#?}");
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.ends_with("there are api:12, api:13\n"), "{}", run.stderr);
    }
    let first = doctor(&["diff", "api", "--from", GREEN]).run();
    assert_eq!(first.code, 4);
    assert!(first.stderr.contains("no earlier successful deployment"), "{}", first.stderr);
}

#[test]
fn a_timeline_is_in_order_and_what_repeats_is_one_line() {
    let run = fine(doctor(&["timeline", "api", "--from", GREEN]).run());
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    let json = fine(doctor(&["timeline", "api", "--from", GREEN, "--output", "json"]).run()).json();
    valid(&json, "timeline.schema.json");
    let entries = json["entries"].as_array().unwrap();
    let times: Vec<&str> = entries.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let before_the_end: Vec<&Value> = entries
        .iter()
        .take_while(|entry| !entry["says"].as_str().unwrap().contains("starts to roll back"))
        .filter(|entry| entry["count"] == 3)
        .collect();
    assert_eq!(
        before_the_end.len(),
        2,
        "three tasks ran, and three targets were unhealthy: {entries:#?}"
    );
    let sources: Vec<&str> =
        entries.iter().map(|entry| entry["source"].as_str().unwrap()).collect();
    for source in ["deployment", "alarm", "event", "task", "targets"] {
        assert!(sources.contains(&source), "{sources:?}");
    }
}

#[test]
fn a_timeline_begins_where_it_is_told_to() {
    let since = |span: &str| {
        fine(
            doctor(&["timeline", "api", "--from", GREEN, "--since", span, "--output", "json"])
                .run(),
        )
        .json()
    };
    assert_eq!(since("30m")["since"], "2026-11-22T02:30:00Z");
    assert!(
        since("30m")["entries"].as_array().unwrap().len()
            < since("2h")["entries"].as_array().unwrap().len()
    );
    assert_eq!(since("1s")["entries"], serde_json::json!([]));
    for wrong in ["", "2", "h", "-2h", "0h", "2w", "99999999999999999999d", "1000d"] {
        assert_eq!(
            doctor(&["timeline", "api", "--from", GREEN, &format!("--since={wrong}")]).run().code,
            2,
            "{wrong:?}"
        );
    }
}

#[test]
fn the_clock_is_the_snapshots() {
    let file = saved("clock", &rolled_back());
    for arguments in [
        &["timeline", "api", "--from", GREEN][..],
        &["diff", "api", "--from", &file],
        &["--from", &file],
    ] {
        let now = doctor(arguments).run();
        let next_year = doctor(arguments).env("ECS_DOCTOR_NOW", "2027-11-22T03:00:00Z").run();
        assert_eq!(now.stdout, next_year.stdout);
    }
}

#[test]
fn a_report_tells_the_rollback_what_changed_and_the_last_hour() {
    let file = saved("report", &rolled_back());
    let service = doctor(&["--from", &file, "--output", "json"]).run().service();
    assert_eq!(service["rollout"]["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(service["rollout"]["rollback"]["from"], "api:13");
    assert_eq!(service["rollout"]["rollback"]["to"], "api:12");
    assert_eq!(service["changes"]["from"]["name"], "api:12");
    assert_eq!(service["changes"]["changes"].as_array().unwrap().len(), 3);
    assert!(!service["timeline"]["entries"].as_array().unwrap().is_empty());
    let text = doctor(&["--from", &file, "--full"]).run().stdout;
    for heading in [
        "\nThe deployment of api:13\n",
        "\nWhat changed from api:12, the last good version\n",
        "\nThe last hour\n",
    ] {
        assert!(text.contains(heading), "{heading} is not in\n{text}");
    }
    assert!(!text.contains("Which code runs"), "what runs is what the tag has:\n{text}");
}

#[test]
fn a_healthy_service_has_digests_and_nothing_to_tell() {
    for (name, snapshot) in baseline::ALL {
        let file = saved(&format!("healthy-{name}"), &snapshot());
        let service = doctor(&["--from", &file, "--output", "json"]).run().service();
        assert_eq!(service["digests"]["containers"][0]["compared"], "same", "{name}");
        assert_eq!(
            (&service["timeline"], &service["changes"]),
            (&Value::Null, &Value::Null),
            "{name}"
        );
        let text = doctor(&["--from", &file, "--full"]).run().stdout;
        for heading in ["The deployment", "What changed", "The last hour", "Which code runs"] {
            assert!(!text.contains(heading), "{name}: {text}");
        }
    }
}

#[test]
fn a_tag_that_moved_is_a_row_of_the_table_with_the_command() {
    let mut snapshot = baseline::fargate();
    let tag = snapshot.images.change(&id::image("api:1.4.2")).expect("the tag");
    tag.image_digest = id::digest(2);
    tag.image_pushed_at = Some(minutes_ago(50));
    let file = saved("moved", &snapshot);
    let text = doctor(&["--from", &file, "--full"]).run().stdout;
    let (_, table) = text.split_once("\nWhich code runs\n").expect("the table");
    assert!(table.contains("111111111111 in 2") && table.contains("222222222222"), "{table}");
    assert!(table.contains("A new deployment brings what the tag has now:"), "{table}");
    let row =
        doctor(&["--from", &file, "--output", "json"]).run().service()["digests"]["containers"][0]
            .clone();
    assert_eq!(row["compared"], "tag_moved");
    assert!(row["fix"].as_str().unwrap().ends_with("--force-new-deployment"));
}

#[test]
fn a_rollout_under_way_says_what_it_waits_for_and_when_it_ends() {
    let mut snapshot = baseline::express();
    roll_out(&mut snapshot, 9, |deployment| {
        deployment.lifecycle_stage = Some("PRODUCTION_TRAFFIC_SHIFT".into());
        deployment.updated_at = Some(minutes_ago(1));
        deployment
            .target_service_revision
            .as_mut()
            .expect("a target")
            .requested_production_traffic_weight = Some(5.0);
    });
    let file = saved("under-way", &snapshot);
    let text = doctor(&["--from", &file, "--full"]).run().stdout;
    for line in [
        "- canary, IN_PROGRESS for 9 min, expected to end at about 03:05 UTC",
        "- at stage PRODUCTION_TRAFFIC_SHIFT for about 60 s; waits for its bake time of",
        "- new version api:13: 2 of 2 tasks run; traffic: 5 % requested",
        "- 720 requests since 02:57 UTC",
        "- circuit breaker: 0 of 3 failures",
        "- alarm default/api/RollbackAlarm: OK for 3 days",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[cfg(feature = "aws")]
mod live {
    use super::*;
    use crate::wire::{Account, Fault};

    #[test]
    fn an_account_and_its_snapshot_tell_the_same() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("history-live.json");
        let name = file.to_str().unwrap();
        let account = Account::start("naff");
        doctor(&["api", "--save", name]).at(&account).run();
        let account = Account::start("naff");
        let live = fine(doctor(&["timeline", "api", "--output", "json"]).at(&account).run());
        assert_eq!(
            live.stdout,
            fine(doctor(&["timeline", "api", "--from", name, "--output", "json"]).run()).stdout
        );
        assert!(
            account.requests().iter().all(|request| request.service != "logs"),
            "a timeline needs no logs"
        );
    }

    #[test]
    fn a_version_that_the_service_no_longer_runs_is_asked_for() {
        let account = Account::start("fargate");
        let run = doctor(&["diff", "api", "--old", "3", "--new", "12"]).at(&account).run();
        let asked = |request: &crate::wire::Request| {
            request.call() == "ecs.DescribeTaskDefinition"
                && request.input["taskDefinition"] == "api:3"
        };
        assert_eq!(
            account.requests().iter().filter(|request| asked(request)).count(),
            1,
            "{run:#?}"
        );
        assert_eq!(run.code, 4);
        assert!(run.stderr.contains("there is no version 3 of api"), "{}", run.stderr);
    }

    #[test]
    fn what_could_not_be_seen_is_said() {
        let account = Account::start("naff");
        account.fault("cloudwatch.DescribeAlarmHistory", Fault::Denied);
        let run = fine(doctor(&["timeline", "api"]).at(&account).run());
        assert!(
            run.stdout.contains(
                "Not everything could be seen: cloudwatch:DescribeAlarmHistory (denied)."
            ),
            "{}",
            run.stdout
        );
        let account = Account::start("fargate");
        account.fault("ecs.DescribeServiceDeployments", Fault::Denied);
        let run = doctor(&["diff", "api"]).at(&account).run();
        assert_eq!(run.code, 4, "{run:#?}");
        assert!(run.stderr.contains("ecs:DescribeServiceDeployments denied"), "{}", run.stderr);
    }

    /// The report, the comparison and the timeline of an account, of its snapshot, and of its
    /// snapshot next year.
    #[test]
    fn the_same_snapshot_tells_the_same_for_ever() {
        for name in [
            "express",
            "canary",
            "naff",
            "rolled-back-by-breaker",
            "hook-not-called",
            "no-way-back",
            "pause-for-somebody",
            "work-in-progress",
        ] {
            let service = if name == "work-in-progress" { "mailer" } else { "api" };
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{name}.json"));
            let file = file.to_str().unwrap();
            let live = doctor(&[service, "--save", file, "--output", "json"])
                .at(&Account::start(name))
                .run();
            let without_calls = |run: Run| {
                let mut report = run.json();
                valid(&report, "report.schema.json");
                report.as_object_mut().unwrap().remove("calls");
                (run.code, report)
            };
            let live = without_calls(live);
            let again = |year: &str| {
                without_calls(
                    doctor(&["--from", file, "--output", "json"]).env("ECS_DOCTOR_NOW", year).run(),
                )
            };
            assert!(
                live == again("2026-11-22T03:00:00Z") && live == again("2027-11-22T03:00:00Z"),
                "{name}"
            );
            for (command, option) in [("diff", "--from"), ("timeline", "--from")] {
                let live =
                    doctor(&[command, service, "--output", "json"]).at(&Account::start(name)).run();
                // A snapshot of one service needs no name.
                let saved = doctor(&[command, option, file, "--output", "json"]).run();
                assert_eq!(
                    (live.code, live.stdout),
                    (saved.code, saved.stdout),
                    "{command} {name}"
                );
            }
        }
    }

    #[test]
    fn cloudtrail_is_asked_only_when_wanted_and_the_snapshot_keeps_what_it_told() {
        let asked = |arguments: &[&str]| {
            let account = Account::start("who-changed-the-rule");
            let run = doctor(arguments).at(&account).run();
            assert_eq!(account.complaints(), Vec::<String>::new());
            (run, account.count("cloudtrail.LookupEvents"))
        };
        assert_eq!(asked(&["api"]).1, 0);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("history-trail.json");
        let file = file.to_str().unwrap();
        let (run, questions) = asked(&["api", "--trail", "--save", file, "--output", "json"]);
        assert!((2..=24).contains(&questions), "{questions} questions");
        valid(&run.json(), "report.schema.json");
        let (live, _) = asked(&["diff", "api", "--trail", "--output", "json"]);
        valid(&live.json(), "diff.schema.json");
        assert_eq!(live.json()["trail"]["events"][1]["who"], "apply-platform (role terraform)");
        assert_eq!(
            live.stdout,
            fine(doctor(&["diff", "--from", file, "--output", "json"]).run()).stdout
        );
        assert_eq!(live.json()["trail"], run.service()["trail"]);
        let timeline = fine(doctor(&["timeline", "--from", file, "--since", "7h"]).run()).stdout;
        assert!(
            timeline.contains("20:48  apply-platform (role terraform): ModifyRule on the rule of"),
            "{timeline}"
        );
        assert!(
            !std::fs::read_to_string(file).unwrap().contains("requestParameters"),
            "a request may hold secrets"
        );
    }

    #[test]
    fn a_trail_that_is_denied_is_asked_once_and_said() {
        let account = Account::start("who-changed-the-rule");
        account.fault("cloudtrail.LookupEvents", Fault::Denied);
        let run = fine(doctor(&["diff", "api", "--trail"]).at(&account).run());
        assert_eq!(account.count("cloudtrail.LookupEvents"), 1);
        assert!(
            run.stdout.contains("Not everything could be seen: cloudtrail:LookupEvents (denied)."),
            "{}",
            run.stdout
        );
        assert!(!run.stdout.contains("Nobody changed anything"), "{}", run.stdout);
    }

    #[test]
    fn nothing_found_is_said_too() {
        let run = doctor(&["api", "--trail", "--full"]).at(&Account::start("fargate")).run();
        assert!(
            run.stdout.contains("CloudTrail has no change on the request path."),
            "{}",
            run.stdout
        );
        assert!(run.stdout.contains("CloudTrail can be 15 minutes late"), "{}", run.stdout);
    }
}
