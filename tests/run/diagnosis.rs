//! The diagnosis through HTTP: the story's account, the healthy accounts, and how many calls it
//! takes.

use crate::doctor::{Run, checks, doctor};
use crate::wire::Account;

fn examine(account: &Account, arguments: &[&str]) -> Run {
    let run = doctor(arguments).at(account).run();
    assert_eq!(account.complaints(), Vec::<String>::new());
    run
}

#[test]
fn the_story_is_told_from_its_cause() {
    let account = Account::start("naff");
    let run = examine(&account, &["api", "--output", "json"]);
    assert_eq!(run.code, 1, "{run:#?}");
    let service = run.service();
    assert_eq!(service["verdict"], "sick");
    assert_eq!(service["kind"], "express");
    let root = &service["roots"][0];
    assert_eq!(root["check"], "health_check_wrong_answer");
    assert_eq!(root["standing"], "cause");
    let says = root["says"].as_str().unwrap();
    assert!(says.contains(" requests / and gets 404"), "{says}");
    let fix = root["remedy"]["cli"][0].as_str().unwrap();
    assert!(fix.ends_with("--health-check-path /health"), "{fix}");
    let chain = checks(&serde_json::json!({ "roots": [root] }));
    let expected = [
        "health_check_wrong_answer",
        "targets_unhealthy",
        "tasks_keep_stopping",
        "target_group_empty",
        "balancer_answers_503",
        "rollback_failed",
    ];
    assert_eq!(chain, expected);
    assert!(service["headline"].as_str().unwrap().starts_with("Clients get 503: "));
}

#[test]
fn the_demo_is_what_the_wire_records() {
    let account = Account::start("green-console-503");
    let live = examine(&account, &["api", "--output", "json"]).service();
    let demo = doctor(&["demo", "--output", "json"]).run();
    assert_eq!(demo.code, 0, "a demo fails only if it is asked to");
    assert_eq!(demo.service(), live);
    assert_eq!(doctor(&["demo", "--fail-on", "high"]).run().code, 1);
}

#[test]
fn healthy_accounts_have_no_cause() {
    for (name, service) in
        [("fargate", "api"), ("express", "api"), ("ec2", "web"), ("worker", "mailer")]
    {
        let account = Account::start(name);
        let run = examine(&account, &[service, "--output", "json"]);
        let report = run.service();
        assert_eq!(run.code, 0, "{name}: {run:#?}");
        let verdict = report["verdict"].as_str().unwrap();
        assert!(
            ["healthy", "at_risk"].contains(&verdict),
            "{name}: {verdict} {:#}",
            report["roots"]
        );
        for root in report["roots"].as_array().unwrap() {
            assert_eq!(root["standing"], "risk", "{name}: {root:#}");
        }
        assert_eq!(run.json()["blind"], serde_json::json!([]), "{name}");
        for exam in report["exams"].as_array().unwrap() {
            assert!(
                !["could_not_look", "crashed"].contains(&exam["outcome"].as_str().unwrap()),
                "{name}: {exam}"
            );
        }
    }
}

#[test]
fn every_call_is_made_once_and_counted() {
    for (name, service) in [
        ("fargate", "api"),
        ("express", "api"),
        ("naff", "api"),
        ("ec2", "web"),
        ("worker", "mailer"),
    ] {
        let account = Account::start(name);
        let run = examine(&account, &[service, "--output", "json"]);
        let total = run.json()["calls"]["total"].as_u64().unwrap();
        assert_eq!(total, account.requests().len() as u64, "{name}");
        // Express takes most: its load balancer, pair of groups and revision are asked about, and
        // what scales and guards it; and where its health check fails, more logs.
        assert!(total <= 45, "{name} takes {total} calls");
    }
}

#[test]
fn a_service_is_found_however_it_is_named() {
    for (account, typed) in [
        ("fargate", "api"),
        ("fargate", "prod/api"),
        ("fargate", "arn:aws:ecs:eu-west-2:123456789012:service/prod/api"),
        ("names", "https://api.example.com/orders?page=2"),
        ("names", "web-1436784512.eu-west-2.elb.amazonaws.com"),
        ("express-by-host", "https://ap-0123456789abcdef0123456789abcdef.ecs.eu-west-2.on.aws/"),
    ] {
        let account = Account::start(account);
        let run = examine(&account, &[typed, "--output", "json"]);
        assert_eq!(run.service()["service"], "api", "{typed}: {run:#?}");
    }
}

/// Protection of old tasks, pinned digests, lifecycle rules, repositories and newer versions are
/// asked about when they can matter, and read as AWS writes them.
#[test]
fn what_a_deployment_waits_for_and_what_it_could_not_start_again_is_told() {
    let account = Account::start("protected");
    let run = examine(&account, &["api", "--output", "json"]);
    let service = run.service();
    let says = |check: &str| {
        let all = ["roots", "notes"]
            .iter()
            .flat_map(|part| service[*part].as_array().into_iter().flatten());
        let found = all
            .filter(|finding| finding["check"] == check)
            .filter_map(|finding| finding["says"].as_str());
        found.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert!(
        says("task_protection_holds").contains("1 old task is protected from being stopped"),
        "{service:#}"
    );
    assert!(
        says("digest_gone").ends_with(
            "removes untagged images 1 day after they were pushed, which is the likely reason."
        ),
        "{service:#}"
    );
    assert!(says("tag_mutable").ends_with("MUTABLE_WITH_EXCLUSION."), "{service:#}");
    assert!(says("newer_revision_not_deployed").starts_with("api:14 is registered"), "{service:#}");
    assert_eq!(service["roots"][0]["check"], "task_protection_holds");
    let asked =
        |call: &str| account.requests().iter().filter(|request| request.call() == call).count();
    assert_eq!(
        ["ecs.GetTaskProtection", "ecr.BatchGetImage", "ecr.GetLifecyclePolicy"].map(asked),
        [1, 1, 1]
    );
}

/// A healthy service costs no call that could not matter to it.
#[test]
fn a_healthy_service_is_not_asked_what_cannot_matter() {
    let account = Account::start("fargate");
    examine(&account, &["api"]);
    for call in ["ecs.GetTaskProtection", "ecr.BatchGetImage", "ecr.GetLifecyclePolicy"] {
        assert!(account.requests().iter().all(|request| request.call() != call), "{call}");
    }
}
