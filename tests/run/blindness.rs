//! Whatever one call does, denied, throttled for ever, reset, truncated or hanging: the rest of the
//! diagnosis stands, the program ends in time, and what was not seen is never called healthy.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::doctor::{checks, doctor};
use crate::wire::{Account, Fault};

/// The calls of an account, apart from the one without which there is no service to examine.
fn calls(name: &str, service: &str) -> BTreeSet<String> {
    let account = Account::start(name);
    let run = doctor(&[service, "--output", "json"]).at(&account).run();
    assert!(run.code <= 1, "{run:#?}");
    account
        .requests()
        .iter()
        .map(|request| request.call())
        .filter(|call| call != "ecs.DescribeServices" && call != "ecs.ListClusters")
        .collect()
}

/// Runs every call with every fault, some at a time: most of that time the program only waits.
fn with_each(faults: &[Fault], look: impl Fn(&str, Fault) + Sync) {
    let calls = calls("naff", "api");
    let work: Vec<(String, Fault)> =
        calls.iter().flat_map(|call| faults.iter().map(|fault| (call.clone(), *fault))).collect();
    let queue = Mutex::new(work.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some((call, fault)) = next else { break };
                    look(&call, fault);
                }
            });
        }
    });
}

#[test]
fn one_call_that_fails_loses_nothing_else() {
    let whole = {
        let account = Account::start("naff");
        doctor(&["api", "--output", "json"]).at(&account).run().service()
    };
    let whole: BTreeSet<String> = checks(&whole).into_iter().collect();
    with_each(
        &[
            Fault::Denied,
            Fault::Throttled,
            Fault::Reset,
            Fault::Truncated,
            Fault::Garbage,
            Fault::ServerError,
        ],
        |call, fault| {
            let account = Account::start("naff");
            account.fault(call, fault);
            let run = doctor(&["api", "--output", "json"]).at(&account).run();
            let report = run.json();
            let service = &report["services"][0];
            let action = action(call);
            let why = if fault == Fault::Denied {
                "denied"
            } else if fault == Fault::Garbage {
                "unreadable"
            } else {
                ""
            };
            let blind = report["blind"].as_array().unwrap();
            assert!(blind.iter().any(|blind| blind["call"] == action && (why.is_empty() || blind["why"] == why)), "{call} {fault:?}: {blind:?}");
            assert_eq!(
                blind.iter().filter(|blind| blind["call"] != action).count(),
                0,
                "{call} {fault:?}: {blind:?}"
            );
            assert_ne!(service["verdict"], "healthy", "{call} {fault:?}");
            let found = checks(service);
            for check in &found {
                assert!(whole.contains(check), "{call} {fault:?} invents {check}");
            }
            // What still stands without the call: every check that did not need it.
            let missed: BTreeSet<&str> = service["exams"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|exam| exam["missed"].as_array().is_some_and(|missed| !missed.is_empty()))
                .filter_map(|exam| exam["check"].as_str())
                .collect();
            for check in &whole {
                assert!(
                    found.contains(check) || missed.contains(check.as_str()),
                    "{call} {fault:?} loses {check}, which did not miss it"
                );
            }
            assert!(
                service["exams"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|exam| exam["outcome"] != "crashed"),
                "{call} {fault:?}"
            );
            assert_eq!(run.stderr, "", "{call} {fault:?}");
        },
    );
}

/// That the run ends at all is what shows that the timeout holds: the account never answers.
#[test]
fn a_call_that_hangs_ends_with_the_timeout() {
    with_each(&[Fault::Hanging], |call, fault| {
        let unanswered = |patience: &str| {
            let account = Account::start("naff");
            account.fault(call, fault);
            let report = doctor(&["api", "--output", "json", "--timeout", patience])
                .at(&account)
                .run()
                .json();
            assert_ne!(report["services"][0]["verdict"], "healthy", "{call}");
            report["blind"]
                .as_array()
                .unwrap()
                .iter()
                .any(|blind| blind["call"] == action(call) && blind["why"] == "no_answer")
        };
        // On a machine with much to do, three seconds may be over before the call is made.
        assert!(unanswered("3") || unanswered("20"), "{call}");
    });
}

#[test]
fn unseen_target_health_is_unknown_and_named() {
    let account = Account::start("express");
    account.fault("elbv2.DescribeTargetHealth", Fault::Denied);
    let run = doctor(&["api", "--output", "json"]).at(&account).run();
    assert_eq!(run.code, 0);
    assert_eq!(run.service()["verdict"], "unknown");
    let strict = doctor(&["api", "--strict"]).at(&account).run();
    assert_eq!(strict.code, 3, "{strict:#?}");
    assert!(strict.stdout.contains("UNKNOWN"));
    assert!(
        strict.stdout.contains("\"elasticloadbalancing:DescribeTargetHealth\""),
        "{}",
        strict.stdout
    );
}

#[test]
fn a_symptom_without_its_cause_names_its_suspects() {
    let account = Account::start("naff");
    account.fault("elbv2.DescribeTargetHealth", Fault::Denied);
    let service = doctor(&["api", "--output", "json"]).at(&account).run().service();
    let root = &service["roots"][0];
    assert_eq!(root["standing"], "unexplained", "{root:#}");
    let suspects = root["suspects"].as_array().unwrap();
    assert!(
        suspects
            .iter()
            .any(|suspect| suspect["call"] == "elasticloadbalancing:DescribeTargetHealth"
                && suspect["why"] == "denied"),
        "{suspects:?}"
    );
}

/// Which load balancers are in the VPC nobody knows without knowing the VPC.
#[test]
fn without_the_subnets_no_host_is_cleared_of_being_a_siblings() {
    let outcome = |denied: Option<&str>| {
        let account = Account::start("neighbour-around-the-world");
        denied.into_iter().for_each(|call| account.fault(call, Fault::Denied));
        let run = doctor(&["mailer", "--output", "json"]).at(&account).run();
        let service = run.service();
        let exams = service["exams"].as_array().unwrap().clone();
        let exam =
            exams.iter().find(|exam| exam["check"] == "calls_sibling_over_internet").unwrap();
        exam["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome(None), "sick");
    for call in [
        "ec2.DescribeSubnets",
        "elbv2.DescribeLoadBalancers",
        "elbv2.DescribeListeners",
        "elbv2.DescribeRules",
    ] {
        assert_eq!(outcome(Some(call)), "could_not_look", "{call}");
    }
}

#[test]
fn a_prefix_list_that_may_not_be_read_is_not_judged() {
    let account = Account::start("an-office-list-that-somebody-widened");
    account.fault("ec2.GetManagedPrefixListEntries", Fault::Denied);
    let exam = |expected: &str| {
        let service = doctor(&["api", "--expect-ingress", expected, "--output", "json"])
            .at(&account)
            .run()
            .service();
        assert_eq!(service["roots"].as_array().map(Vec::len), Some(0), "{:#}", service["roots"]);
        let exams = service["exams"].as_array().unwrap();
        exams.iter().find(|exam| exam["check"] == "ingress_wider_than_expected").unwrap().clone()
    };
    let blocks = exam("203.0.113.0/24");
    assert_eq!(
        (&blocks["outcome"], &blocks["missed"][0]["call"]),
        (&"could_not_look".into(), &"ec2:GetManagedPrefixListEntries".into())
    );
    assert_eq!(
        exam("pl-0a7d3c9f8e4b21560")["outcome"],
        "healthy",
        "whoever expects the list needs no look into it"
    );
}

/// The IAM action of a call as the loopback account names it.
fn action(call: &str) -> String {
    call.replacen("elbv2.", "elasticloadbalancing:", 1).replacen('.', ":", 1)
}
