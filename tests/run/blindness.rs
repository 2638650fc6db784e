//! Whatever one call does, denied, throttled for ever, reset, hanging or answering with something
//! that is no answer: the rest of the diagnosis stands, the program ends in time, nothing is
//! invented, and what was not seen is never called healthy.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

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

/// For ever, or for the first so many times.
const ALWAYS: usize = usize::MAX;

/// What can go wrong with a call.
const FAULTS: &[(Fault, usize)] = &[
    (Fault::Denied, ALWAYS),
    (Fault::Throttled, ALWAYS),
    (Fault::Throttled, 3),
    (Fault::ServerError, ALWAYS),
    (Fault::Reset, ALWAYS),
    (Fault::Hanging, ALWAYS),
    (Fault::Stalled, ALWAYS),
    (Fault::Truncated, ALWAYS),
    (Fault::Half, ALWAYS),
    (Fault::Empty, ALWAYS),
    (Fault::Bare, ALWAYS),
    (Fault::Garbage, ALWAYS),
    (Fault::WrongType, ALWAYS),
    (Fault::Redirect, ALWAYS),
    (Fault::Huge, ALWAYS),
];

/// A cell of the table: an operation of an account, and what goes wrong with it.
struct Cell<'a> {
    account: (&'a str, &'a str),
    call: String,
    fault: Fault,
    times: usize,
}

impl Cell<'_> {
    /// Whoever waits for ever is not waited for long.
    fn waits(&self) -> bool {
        let waits = matches!(self.fault, Fault::Throttled | Fault::Hanging | Fault::Stalled);
        waits && self.times == ALWAYS
    }

    /// What is red about it; `whole` is what is found when nothing goes wrong.
    fn judged(&self, whole: &Value) -> Vec<String> {
        let (name, service) = self.account;
        let account = Account::start(name);
        account.fault_first(self.times, &self.call, self.fault);
        let mut arguments = vec![service, "--output", "json"];
        if self.waits() {
            arguments.extend(["--timeout", "4"]);
        }
        let began = Instant::now();
        let run = doctor(&arguments).at(&account).run();
        let took = began.elapsed().as_secs();
        let mut red = Vec::new();
        let mut expect = |holds: bool, words: String| {
            if !holds {
                let times = if self.times == ALWAYS { "for ever" } else { "at first" };
                red.push(format!("{name} {} {:?} {times}: {words}", self.call, self.fault));
            }
        };
        // The wall clock is that of a machine with much to do: it only tells what hangs.
        expect(took < 60, format!("took {took} s"));
        expect(run.stderr.is_empty(), format!("says {}", run.stderr));
        let Ok(report) = serde_json::from_str::<Value>(&run.stdout) else {
            expect(false, format!("no report: {run:?}"));
            return red;
        };
        let service = &report["services"][0];
        let (was, found): (BTreeSet<String>, BTreeSet<String>) =
            (checks(whole).into_iter().collect(), checks(service).into_iter().collect());
        let invented: Vec<_> = found.difference(&was).collect();
        expect(invented.is_empty(), format!("invents {invented:?}"));
        let exams = service["exams"].as_array().expect("exams");
        let crashed = exams.iter().any(|exam| exam["outcome"] == "crashed");
        expect(!crashed, "a check crashed".into());
        let blind = report["blind"].as_array().expect("a list");
        let action = action(&self.call);
        let is_hidden = blind.iter().any(|blind| blind["call"] == action);
        let verdict = (&service["verdict"], &whole["verdict"]);
        if !is_hidden {
            // What was told in the end, or meant the same, changes nothing.
            let harmless = self.times != ALWAYS || self.fault == Fault::WrongType;
            expect(harmless, format!("passes for an answer: {blind:?}"));
            expect(verdict.0 == verdict.1, format!("{} and not {}", verdict.0, verdict.1));
            expect(found == was, format!("finds {found:?}"));
            return red;
        }
        expect(self.times == ALWAYS, "was not asked again".into());
        expect(
            verdict.0 != "healthy" || verdict.1 == "healthy",
            "is healthier than the truth".into(),
        );
        expect(verdict.0 != "sick" || verdict.1 == "sick", "makes a healthy service sick".into());
        let why = |why: &str| blind.iter().any(|one| one["call"] == action && one["why"] == why);
        match self.fault {
            Fault::Denied => expect(why("denied"), format!("is not denied: {blind:?}")),
            Fault::Garbage
            | Fault::Half
            | Fault::Empty
            | Fault::Bare
            | Fault::WrongType
            | Fault::Huge => {
                expect(why("unreadable"), format!("is not unreadable: {blind:?}"));
            }
            _ => expect(why("no_answer") || why("unreadable"), format!("is not blind: {blind:?}")),
        }
        if self.waits() {
            return red;
        }
        let others: Vec<_> = blind.iter().filter(|blind| blind["call"] != action).collect();
        expect(others.is_empty(), format!("hides {others:?}, too"));
        // What still stands without the call: every check that did not need it.
        let missed = |exam: &&Value| exam["missed"].as_array().is_some_and(|it| !it.is_empty());
        let missed: BTreeSet<&str> =
            exams.iter().filter(missed).filter_map(|exam| exam["check"].as_str()).collect();
        let lost: Vec<_> = was
            .iter()
            .filter(|check| !found.contains(*check) && !missed.contains(check.as_str()))
            .collect();
        expect(lost.is_empty(), format!("loses {lost:?}, which did not miss it"));
        red
    }
}

/// A sick service keeps what can still be seen, and a healthy one is not made sick.
#[test]
fn whatever_one_call_does_nothing_is_invented_and_nothing_else_lost() {
    let accounts = [("naff", "api"), ("fargate", "prod/api")];
    let whole: Vec<Value> = accounts
        .iter()
        .map(|(name, service)| {
            doctor(&[service, "--output", "json"]).at(&Account::start(name)).run().service()
        })
        .collect();
    let mut cells = Vec::new();
    for (account, whole) in accounts.iter().zip(&whole) {
        for call in calls(account.0, account.1) {
            for (fault, times) in FAULTS {
                // That a call failed is told by each in the same way: the healthy one is asked
                // only what may pass for an answer.
                let is_shape = matches!(fault, Fault::Half | Fault::Empty | Fault::Bare);
                // Here an object without members is an answer: there is no web ACL.
                let says_none = call == "wafv2.GetWebACLForResource" && *fault == Fault::Bare;
                if !says_none && (account.0 == "naff" || is_shape) {
                    let (call, fault, times) = (call.clone(), *fault, *times);
                    cells.push((Cell { account: *account, call, fault, times }, whole));
                }
            }
        }
    }
    let size = cells.len();
    let queue = Mutex::new(cells.into_iter());
    let red = Mutex::new(Vec::new());
    // Some at a time: most of that time the program only waits.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some((cell, whole)) = next else { break };
                    let judged = cell.judged(whole);
                    judged.iter().for_each(|it| writeln!(std::io::stderr(), "{it}").unwrap());
                    red.lock().unwrap().extend(judged);
                }
            });
        }
    });
    let red = red.into_inner().unwrap();
    let figures = format!("{size} cells of operations and faults; red: {}", red.len());
    writeln!(std::io::stderr(), "{figures}").unwrap();
    assert!(red.is_empty(), "{figures}\n{}", red.join("\n"));
    assert!(size > 300, "{figures}");
}

#[test]
fn unseen_target_health_is_unknown_and_named() {
    let account = Account::start("express");
    account.fault("elbv2.DescribeTargetHealth", Fault::Denied);
    let run = doctor(&["api", "--output", "json"]).at(&account).run();
    assert_eq!(run.code, 0);
    assert_eq!(run.service()["verdict"], "unknown");
    let strict = doctor(&["api", "--strict", "--full"]).at(&account).run();
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
