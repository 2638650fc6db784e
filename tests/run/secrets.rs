//! Secrets: every text that AWS, an app or a person wrote is given one, and none may come out,
//! whatever is asked for and however it is printed.

use std::io::Write;
use std::path::Path;

use crate::doctor::{Run, doctor};
use crate::wire::plant::MARK;
use crate::wire::{Account, Fault};

/// Accounts with logs, stops, events, alarms, rollbacks, databases, rules, changes by people.
const ACCOUNTS: &[(&str, &str)] = &[
    ("naff", "api"),
    ("careless", "mailer"),
    ("fargate", "prod/api"),
    ("worker", "mailer"),
    ("ec2", "web"),
    ("who-changed-the-rule", "api"),
    ("alarm-of-4xx", "api"),
    ("two-causes-two-versions", "mailer"),
    ("latest-pushed-not-running", "api"),
    ("boomerang", "dashboard"),
    ("instances-without-room", "web"),
];

/// One run against a planted account: how many secrets were planted, and what came out.
fn run(name: &str, arguments: &[&str], fault: Option<(&str, Fault)>) -> (usize, Run) {
    let account = Account::start(name);
    account.plant();
    if let Some((call, fault)) = fault {
        account.fault(call, fault);
    }
    let run = doctor(arguments).at(&account).run();
    (account.planted(), run)
}

/// Every text that one account gives, whatever is asked: how many, with how many secrets planted,
/// and the lines in which one came out.
#[derive(Default)]
struct Found {
    planted: usize,
    read: usize,
    leaks: Vec<String>,
}

impl Found {
    fn of(name: &str, service: &str) -> Found {
        let mut found = Found::default();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-{name}.json"));
        let file = file.to_str().expect("UTF-8");
        let url = format!("https://ana:{MARK}@api.example.com/cb?code={MARK}&token={MARK}");
        let all: [&[&str]; 6] = [
            &[service, "-v", "--save", file],
            &[service, "-v", "--trail", "--output", "json"],
            &[service, "-v", "--probe", "--url", &url],
            &["diff", service, "--trail"],
            &["diff", service, "--output", "json"],
            &["timeline", service, "--since", "1d", "--trail"],
        ];
        for arguments in all {
            found.run(name, arguments, None);
        }
        found.look("--save", &std::fs::read_to_string(file).expect("a snapshot"));
        found.run(name, &[service, "-v"], Some(("*", Fault::Denied)));
        found
    }

    fn run(&mut self, name: &str, arguments: &[&str], fault: Option<(&str, Fault)>) {
        let (planted, run) = run(name, arguments, fault);
        assert!((0..=4).contains(&run.code), "{run:#?}");
        self.planted += planted;
        self.look(&format!("{name} {arguments:?}"), &run.stdout);
        self.look(&format!("{name} {arguments:?}, stderr"), &run.stderr);
    }

    fn look(&mut self, what: &str, text: &str) {
        self.read += 1;
        let leaks = text.lines().filter(|line| line.contains(MARK));
        self.leaks.extend(leaks.map(|line| format!("{what}: {line}")));
    }
}

#[test]
fn no_planted_secret_comes_out() {
    let mut all = Found::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = ACCOUNTS
            .iter()
            .map(|(name, service)| scope.spawn(move || Found::of(name, service)))
            .collect();
        for found in workers.into_iter().map(|worker| worker.join().expect("an account")) {
            all.planted += found.planted;
            all.read += found.read;
            all.leaks.extend(found.leaks);
        }
    });
    let figures = format!(
        "{} secrets planted, {} texts read. Planted secrets found: {}",
        all.planted,
        all.read,
        all.leaks.len()
    );
    writeln!(std::io::stderr(), "{figures}").expect("stderr");
    assert!(all.leaks.is_empty(), "{figures}\n{}", all.leaks.join("\n"));
    assert!(all.planted > 1000, "{figures}");
}
