//! Accounts that nobody wrote with the checks in mind, as snapshots, each judged by its want: what a
//! right answer must contain. Those that are not right yet are listed, each with the reason, and the
//! list can only become shorter. How an account came to be is told in its want.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::doctor::{Run, doctor};

const SNAPSHOT: &str = ".snapshot.json";
const WANT: &str = ".want.json";

/// What a right answer contains. Whatever is left out may be anything.
///
/// Where a check is named, `a|b` means either, and `re:` begins a pattern; what has to be said is
/// always a pattern.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Want {
    /// For the reader of a failure.
    what_happened: String,
    service: Option<String>,
    cluster: Option<String>,
    /// The URL that is asked about with `--url`.
    url: Option<String>,
    exit_code: Option<i32>,
    #[serde(default)]
    verdict_one_of: Vec<String>,
    #[serde(default)]
    first_root_one_of: Vec<String>,
    #[serde(default)]
    standing_one_of: Vec<String>,
    /// Each is somewhere below the first root.
    #[serde(default)]
    below_it: Vec<String>,
    /// Each is in what the first root says, in its evidence or in its remedy.
    #[serde(default)]
    facts_in_the_root: Vec<String>,
    /// Of each list one is a root.
    #[serde(default)]
    further_roots: Vec<Vec<String>>,
    #[serde(default)]
    never_a_cause_or_unexplained_root: Vec<String>,
    /// Nowhere in the report, as whatever it stands.
    #[serde(default)]
    never_found: Vec<String>,
    #[serde(default)]
    no_cause_at_all: bool,
    /// How many roots may be causes or unexplained.
    troubles_at_most: Option<usize>,
    /// Each is found somewhere, among the findings or among what would fail next.
    #[serde(default)]
    blockers_named: Vec<String>,
    /// Each is in the text or in the JSON.
    #[serde(default)]
    said_somewhere: Vec<String>,
    /// Literally, neither in the text nor in the JSON.
    #[serde(default)]
    never_printed: Vec<String>,
}

#[test]
fn every_account_is_told_right_or_is_on_the_list() {
    let (accounts, mut missed) = (accounts(), missed());
    assert!(!accounts.is_empty(), "no accounts");
    let mut wrong = Vec::new();
    for (name, report) in judge_all(&accounts) {
        match (report, missed.remove(&name)) {
            (Some(report), None) => wrong.push(report),
            (None, Some(_)) => {
                wrong.push(format!("{name} is right now: take it off tests/cases/missed.txt"))
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    wrong.extend(missed.into_keys().map(|name| format!("{name} is on the list, and no account")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// The accounts that are not right yet, each with why.
fn missed() -> BTreeMap<String, String> {
    include_str!("../cases/missed.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, why) = line.split_once(": ").expect("an account, a colon and why");
            assert!(!why.trim().is_empty(), "{name} is on the list without a reason");
            (name.to_owned(), why.to_owned())
        })
        .collect()
}

struct Account {
    name: String,
    snapshot: PathBuf,
    want: Want,
}

/// Each snapshot of the folder has a want beside it, and each want a snapshot.
fn accounts() -> Vec<Account> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = std::fs::read_dir(&folder).expect("the accounts");
    let files: Vec<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .filter(|file| file.ends_with(".json"))
        .collect();
    let mut names: Vec<&str> =
        files.iter().filter_map(|file| file.strip_suffix(SNAPSHOT)).collect();
    assert_eq!(files.len(), 2 * names.len(), "each account has a snapshot and a want: {files:?}");
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| {
            let want = std::fs::read_to_string(folder.join(format!("{name}{WANT}")))
                .unwrap_or_else(|error| panic!("the want of {name}: {error}"));
            Account {
                name: name.to_owned(),
                snapshot: folder.join(format!("{name}{SNAPSHOT}")),
                want: serde_json::from_str(&want)
                    .unwrap_or_else(|error| panic!("the want of {name}: {error}")),
            }
        })
        .collect()
}

/// What is wrong with each, a few accounts at a time.
fn judge_all(accounts: &[Account]) -> Vec<(String, Option<String>)> {
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = accounts.len().div_ceil(at_once).max(1);
    std::thread::scope(|scope| {
        let judge = |few: &[Account]| {
            few.iter().map(|account| (account.name.clone(), account.judged())).collect::<Vec<_>>()
        };
        let threads: Vec<_> =
            accounts.chunks(share).map(|few| scope.spawn(move || judge(few))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("an account that can be judged"))
            .collect()
    })
}

impl Account {
    /// What was wanted and what came, where these differ.
    fn judged(&self) -> Option<String> {
        let answer = Answer::new(&self.run("json"), &self.run("text"));
        let unmet = answer.unmet(&self.want);
        (!unmet.is_empty()).then(|| {
            format!(
                "{}: {}\n  wanted: {}\n  came:   {}, exit code {}\n{}",
                self.name,
                self.want.what_happened,
                unmet.join("\n          "),
                answer.service["headline"],
                answer.code,
                answer.tree()
            )
        })
    }

    fn run(&self, output: &str) -> Run {
        let mut arguments =
            vec!["--from", self.snapshot.to_str().expect("UTF-8"), "--output", output];
        arguments.extend(self.want.url.iter().flat_map(|url| ["--url", url]));
        let run = doctor(&arguments).run();
        assert!(run.code <= 1 && run.stderr.is_empty(), "{}: {run:#?}", self.name);
        run
    }
}

/// A report, as a want asks about it.
struct Answer {
    service: Value,
    code: i32,
    /// Everything that was printed.
    printed: String,
}

impl Answer {
    fn new(json: &Run, text: &Run) -> Answer {
        // A line of text breaks anywhere; what is said in it does not.
        let unbroken = text.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        Answer {
            service: json.service(),
            code: json.code,
            printed: format!("{}\n{}\n{unbroken}", json.stdout, text.stdout),
        }
    }

    fn roots(&self) -> &[Value] {
        self.service["roots"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Roots that are no mere risk.
    fn troubles(&self) -> impl Iterator<Item = &Value> {
        self.roots().iter().filter(|root| {
            ["cause", "unexplained"].contains(&root["standing"].as_str().unwrap_or_default())
        })
    }

    /// Every wish that is not fulfilled.
    fn unmet(&self, want: &Want) -> Vec<String> {
        let nothing = Value::Null;
        let first = self.roots().first().unwrap_or(&nothing);
        let mut unmet = Vec::new();
        let mut wish = |met: bool, wanted: String| {
            if !met {
                unmet.push(wanted);
            }
        };
        let service = &self.service;
        for (field, name) in [("service", &want.service), ("cluster", &want.cluster)] {
            let Some(name) = name else { continue };
            wish(service[field] == name.as_str(), format!("the {field} is {name}"));
        }
        if let Some(code) = want.exit_code {
            wish(self.code == code, format!("exit code {code}"));
        }
        for (what, value, allowed) in [
            ("verdict", &service["verdict"], &want.verdict_one_of),
            ("first root", &first["check"], &want.first_root_one_of),
            ("standing of the first root", &first["standing"], &want.standing_one_of),
        ] {
            let met = allowed.is_empty() || allowed.iter().any(|word| value == word.as_str());
            wish(met, format!("{what} one of {allowed:?}"));
        }
        let below = found(&first["explains"]);
        for check in &want.below_it {
            wish(named(check, &below), format!("{check} below the first root"));
        }
        let told = told(first);
        for fact in &want.facts_in_the_root {
            wish(says(fact, &told), format!("{fact} in the first root"));
        }
        let check = |root: &Value| root["check"].as_str().unwrap_or_default().to_owned();
        let roots: Vec<String> = self.roots().iter().map(check).collect();
        for either in &want.further_roots {
            let met = either.iter().any(|check| named(check, &roots));
            wish(met, format!("a root of {either:?}"));
        }
        let troubles: Vec<String> = self.troubles().map(check).collect();
        for check in &want.never_a_cause_or_unexplained_root {
            let met = !named(check, &troubles);
            wish(met, format!("{check} is neither a cause nor an unexplained root"));
        }
        let all = found(service);
        for check in &want.never_found {
            wish(!named(check, &all), format!("{check} is not found"));
        }
        let caused = self.roots().iter().any(|root| root["standing"] == "cause");
        wish(!(want.no_cause_at_all && caused), "no cause".into());
        if let Some(most) = want.troubles_at_most {
            let met = troubles.len() <= most;
            wish(met, format!("at most {most} causes and unexplained roots"));
        }
        for blocker in &want.blockers_named {
            wish(named(blocker, &all), format!("{blocker} is named"));
        }
        for text in &want.said_somewhere {
            wish(says(text, &self.printed), format!("{text} is said"));
        }
        for text in &want.never_printed {
            wish(!self.printed.contains(text), format!("{text} is not printed"));
        }
        unmet
    }

    /// The roots and what follows from them, a line each.
    fn tree(&self) -> String {
        fn line(finding: &Value, indent: usize, tree: &mut String) {
            let field = |name: &str| finding[name].as_str().unwrap_or_default();
            *tree += &format!(
                "  {:indent$}{} ({}): {}\n",
                "",
                field("check"),
                field("standing"),
                field("says")
            );
            for effect in finding["explains"].as_array().into_iter().flatten() {
                line(effect, indent + 2, tree);
            }
        }
        let mut tree = String::new();
        self.roots().iter().for_each(|root| line(root, 2, &mut tree));
        tree
    }
}

/// The checks of all findings in a part of the report, wherever it has them. How an exam went and
/// who is suspected are no findings.
fn found(part: &Value) -> Vec<String> {
    match part {
        Value::Array(parts) => parts.iter().flat_map(found).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !["exams", "suspects"].contains(&name.as_str()))
            .flat_map(|(name, value)| match value {
                Value::String(check) if name == "check" => vec![check.clone()],
                value => found(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What a finding says, its evidence and its remedy, a line for each text.
fn told(finding: &Value) -> String {
    fn texts(part: &Value, all: &mut Vec<String>) {
        match part {
            Value::String(text) => all.push(text.clone()),
            Value::Array(parts) => parts.iter().for_each(|part| texts(part, all)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, all)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    ["says", "evidence", "remedy"].iter().for_each(|part| texts(&finding[part], &mut all));
    all.join("\n")
}

/// Whether a check is among these: `a|b` means either, and `re:` begins a pattern.
fn named(wanted: &str, checks: &[String]) -> bool {
    match wanted.strip_prefix("re:") {
        Some(pattern) => checks.iter().any(|check| says(pattern, check)),
        None => wanted.split('|').any(|wanted| checks.iter().any(|check| check == wanted)),
    }
}

fn says(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}

/// A want that everything fulfils judges nothing.
#[test]
fn each_wish_can_fail() {
    let report = serde_json::json!({
        "service": "api", "cluster": "prod", "verdict": "sick", "headline": "…",
        "roots": [{
            "check": "desired_zero", "standing": "cause", "says": "0 tasks", "evidence": [],
            "remedy": {"summary": "scale", "cli": []},
            "explains": [{"check": "target_group_empty", "explains": []}],
        }],
        "exams": [{"check": "saturated"}],
    });
    let answer = Answer { printed: report.to_string(), service: report, code: 1 };
    let want = |wish: Value| {
        let mut want = serde_json::json!({"what_happened": "…"});
        want.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        answer.unmet(&serde_json::from_value(want).expect("a want"))
    };
    let pairs = [
        (r#"{"service": "api"}"#, r#"{"cluster": "test"}"#),
        (r#"{"exit_code": 1}"#, r#"{"exit_code": 0}"#),
        (r#"{"verdict_one_of": ["sick"]}"#, r#"{"verdict_one_of": ["healthy"]}"#),
        (
            r#"{"first_root_one_of": ["a", "desired_zero"]}"#,
            r#"{"first_root_one_of": ["target_group_empty"]}"#,
        ),
        (r#"{"standing_one_of": ["cause"]}"#, r#"{"standing_one_of": ["risk"]}"#),
        (r#"{"below_it": ["a|target_group_empty"]}"#, r#"{"below_it": ["desired_zero"]}"#),
        (r#"{"below_it": ["re:^target_"]}"#, r#"{"below_it": ["re:^group_"]}"#),
        (r#"{"facts_in_the_root": ["\\d tasks"]}"#, r#"{"facts_in_the_root": ["prod"]}"#),
        (r#"{"further_roots": [["a", "desired_zero"]]}"#, r#"{"further_roots": [["saturated"]]}"#),
        (
            r#"{"never_a_cause_or_unexplained_root": ["target_group_empty"]}"#,
            r#"{"never_a_cause_or_unexplained_root": ["desired_zero"]}"#,
        ),
        (r#"{"never_found": ["saturated"]}"#, r#"{"never_found": ["target_group_empty"]}"#),
        (r#"{"no_cause_at_all": false}"#, r#"{"no_cause_at_all": true}"#),
        (r#"{"troubles_at_most": 1}"#, r#"{"troubles_at_most": 0}"#),
        (r#"{"blockers_named": ["target_group_empty"]}"#, r#"{"blockers_named": ["saturated"]}"#),
        (r#"{"said_somewhere": ["prod"]}"#, r#"{"said_somewhere": ["(?i)internal"]}"#),
        (r#"{"never_printed": ["secret"]}"#, r#"{"never_printed": ["0 tasks"]}"#),
    ];
    for (met, unmet) in pairs {
        let wish = |wish: &str| want(serde_json::from_str(wish).expect("JSON"));
        assert_eq!(wish(met), Vec::<String>::new(), "{met}");
        assert_eq!(wish(unmet).len(), 1, "{unmet}");
    }
}
