//! What is pasted does what it says, whatever AWS, a log or a file put into it: every command of
//! every check's example, and of the same examples with payloads in their strings, is given to a
//! shell in which `aws` only notes its arguments. Terraform/OpenTofu code is read with the same
//! payloads. No payload may run.

#![cfg(test)]
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command as Process, Stdio};
use std::sync::LazyLock;

use ecs_doctor_checks::catalog;
use ecs_doctor_checks::check::Check;
use ecs_doctor_checks::command::Command;
use ecs_doctor_checks::exam::examine;
use ecs_doctor_checks::patient::{Expected, Intent, Patient};
use ecs_doctor_checks::snapshot::Snapshot;
use serde_json::Value;

/// What a shell, or Terraform, would run, split or expand if it were not one literal.
const PAYLOADS: &[&str] = &[
    "$(touch pwned)",
    "`touch pwned`",
    "';touch pwned;'",
    "\";touch pwned;\"",
    "\ntouch pwned\n",
    "&&touch${IFS}pwned #",
    "\\\"${file(\"pwned\")}%{if true}",
    "{a,b}~*?!\\",
];

/// The commands and the code that a check proposes for an account, as they are printed: with the
/// place and the profile of the user.
#[derive(Default)]
struct Printed {
    commands: BTreeMap<String, Command>,
    code: BTreeSet<String>,
}

impl Printed {
    fn add(&mut self, check: &'static Check, snapshot: &Snapshot) {
        let intent: Intent =
            ["203.0.113.0/24"].iter().map(|block| block.parse::<Expected>().unwrap()).collect();
        let Some(service) = snapshot.services.first() else { return };
        let patient = Patient::new(snapshot, service, &intent);
        for finding in examine(check, &patient).findings {
            let seen = finding.evidence.iter().map(|evidence| evidence.see(&patient));
            for command in finding.remedy.commands.iter().cloned().chain(seen) {
                let command = command.at("eu-west-2", Some("my $(touch x) profile"));
                self.commands.insert(command.to_string(), command);
            }
            self.code.extend(finding.remedy.terraform.map(|code| code.to_string()));
        }
    }
}

/// Every text of an account, and every key by which it is asked for one.
fn texts(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            if key.contains([':', '/', '-', '.']) {
                found.insert(key.clone());
            }
            texts(value, found);
        }),
        _ => {}
    }
}

/// The account with a text changed wherever it stands, so that what belongs together stays so.
fn changed(json: &Value, text: &str, into: &str) -> Value {
    match json {
        Value::String(here) if here == text => Value::String(into.to_owned()),
        Value::Array(items) => items.iter().map(|item| changed(item, text, into)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                // Keys of some tables are put together from several texts.
                let part = text.len() > 3 && key.contains(text);
                let key = if part || key == text { key.replace(text, into) } else { key.clone() };
                (key, changed(value, text, into))
            })
            .collect(),
        other => other.clone(),
    }
}

/// Whether a text, or the name at its end, is in something that is printed.
fn is_printed(text: &str, printed: &Printed) -> bool {
    let name = text.rsplit(['/', ':']).next().unwrap_or(text);
    let has = |printed: &String| name.len() > 1 && printed.contains(name);
    printed.commands.keys().any(has) || printed.code.iter().any(has)
}

/// The example of a check, and hostile variants of it: each text that reaches what is printed, with
/// the payloads behind it, and with nothing but payloads in its place. What no snapshot can have,
/// such as a time that is none, is left out.
fn print_all(check: &'static Check, all: &mut Printed) {
    let example = (check.example)();
    let mut own = Printed::default();
    own.add(check, &example);
    let json = serde_json::to_value(&example).unwrap();
    let mut found = BTreeSet::new();
    texts(&json, &mut found);
    found.retain(|text| is_printed(text, &own));
    let payload = PAYLOADS.concat();
    for text in &found {
        for hostile in [format!("{text}{payload}"), payload.clone()] {
            if let Ok(snapshot) = serde_json::from_value(changed(&json, text, &hostile)) {
                own.add(check, &snapshot);
            }
        }
    }
    all.commands.append(&mut own.commands);
    all.code.append(&mut own.code);
}

static EVERYTHING: LazyLock<Printed> = LazyLock::new(everything);

fn everything() -> Printed {
    let checks: Vec<&'static Check> = catalog::checks().collect();
    let halves = std::thread::scope(|scope| {
        let work = |checks: &'_ [&'static Check]| {
            let checks = checks.to_vec();
            scope.spawn(move || {
                let mut printed = Printed::default();
                checks.iter().for_each(|check| print_all(check, &mut printed));
                printed
            })
        };
        let workers: Vec<_> = checks.chunks(checks.len().div_ceil(2)).map(work).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut printed = Printed::default();
    for half in halves {
        printed.commands.extend(half.commands);
        printed.code.extend(half.code);
    }
    printed
}

/// What stands for the programs in the shell: `aws` notes how many arguments it got, and which;
/// whatever a payload would run notes that it ran. No other program can be found.
const STUBS: &str = r#"
aws() { printf '%s\0' "$#" "$@" >&3; printf OUTPUT; }
touch() { printf 'RAN\0' >&3; }
"#;

/// What the shell does with the commands: the arguments of each call of `aws`, and how often
/// anything else ran.
fn run(commands: &BTreeMap<String, Command>) -> (Vec<Vec<String>>, usize) {
    let folder = tempfile();
    let needs: BTreeSet<&str> = commands.values().flat_map(Command::needs).collect();
    let mut script = format!("{STUBS}exec 3>calls >/dev/null\n");
    needs.iter().for_each(|name| script.push_str(&format!("{name}='${name}'\n")));
    commands.keys().for_each(|command| script.push_str(&format!("{command}\n")));
    std::fs::write(folder.join("script"), script).unwrap();
    let nowhere = folder.join("nothing");
    let done = Process::new("/bin/sh")
        .arg("./script")
        .env_clear()
        .env("PATH", &nowhere)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && complaints.is_empty(), "the shell says: {complaints}");
    let noted = String::from_utf8(std::fs::read(folder.join("calls")).unwrap()).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let (mut calls, mut ran) = (Vec::new(), 0);
    let mut noted = noted.split_terminator('\0');
    while let Some(count) = noted.next() {
        match count.parse() {
            Ok(count) => calls.push(noted.by_ref().take(count).map(str::to_owned).collect()),
            Err(_) => ran += 1,
        }
    }
    (calls, ran)
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("ecs-doctor-pasted-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The calls of `aws` that a command should make: those whose output it takes come first.
fn meant(command: &Command) -> Vec<Vec<String>> {
    let mut calls: Vec<Vec<String>> = command.outputs().flat_map(meant).collect();
    let mut own = command.argv();
    for inner in command.outputs() {
        let printed = format!("$({inner})");
        own.iter_mut().for_each(|word| *word = word.replace(&printed, "OUTPUT"));
    }
    calls.push(own.split_off(1));
    calls
}

#[test]
fn a_pasted_command_does_what_it_says_and_nothing_else() {
    let printed = &*EVERYTHING;
    let (calls, ran) = run(&printed.commands);
    let meant: Vec<Vec<String>> = printed.commands.values().flat_map(meant).collect();
    let hostile = printed.commands.keys().filter(|command| command.contains("touch pwned")).count();
    let figures = format!(
        "{} commands pasted, {hostile} of them with payloads; payloads executed: {ran}",
        printed.commands.len()
    );
    writeln!(std::io::stderr(), "{figures}").unwrap();
    assert_eq!(ran, 0, "{figures}");
    for (call, meant) in calls.iter().zip(&meant) {
        assert_eq!(call, meant, "left: what the shell gave to aws; right: what was meant");
    }
    assert_eq!(calls.len(), meant.len());
    assert!(hostile > 300, "the payloads reach the commands: {figures}");
}

/// Whether a piece of Terraform/OpenTofu code is whole: strings end on their line, brackets close
/// in order, and outside strings and comments nothing stands that a template would not have.
fn read_hcl(code: &str) -> Result<(), String> {
    let mut open = Vec::new();
    for line in code.lines() {
        let mut letters = line.chars().peekable();
        while let Some(c) = letters.next() {
            match c {
                '"' => read_string(&mut letters, line)?,
                '#' => break,
                '{' | '[' | '(' => open.push(c),
                '}' | ']' | ')' => {
                    let pair = open.pop().map(|before| format!("{before}{c}"));
                    let closes = matches!(pair.as_deref(), Some("{}" | "[]" | "()"));
                    closes.then_some(()).ok_or(format!("{c} closes nothing: {line}"))?;
                }
                _ if c.is_ascii_alphanumeric() || " _.,=-+*/:<>?!&|".contains(c) => {}
                _ => return Err(format!("{c:?} outside a string: {line}")),
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stays open")) }
}

/// Reads to the end of a string. What is evaluated in it can only be an address of a template.
fn read_string(
    letters: &mut std::iter::Peekable<impl Iterator<Item = char>>,
    line: &str,
) -> Result<(), String> {
    while let Some(c) = letters.next() {
        match c {
            '"' => return Ok(()),
            '\\' => {
                letters.next();
            }
            '$' | '%' if letters.peek() == Some(&c) => {
                letters.next();
                letters.next_if(|next| *next == '{');
            }
            '$' | '%' if letters.peek() == Some(&'{') => {
                let inside: String = letters.by_ref().skip(1).take_while(|c| *c != '}').collect();
                let address =
                    inside.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]".contains(c));
                address.then_some(()).ok_or(format!("{inside:?} would be evaluated: {line}"))?;
            }
            _ => {}
        }
    }
    Err(format!("a string that does not end: {line}"))
}

#[test]
fn pasted_code_is_whole_and_evaluates_nothing_of_others() {
    let printed = &*EVERYTHING;
    for code in &printed.code {
        assert_eq!(read_hcl(code), Ok(()), "{code}");
    }
    let hostile = printed.code.iter().filter(|code| code.contains("touch")).count();
    writeln!(std::io::stderr(), "{} pieces of code, {hostile} with payloads", printed.code.len())
        .unwrap();
    assert!(hostile > 100);
}

#[test]
fn the_reader_of_code_refuses_what_is_broken() {
    for whole in ["a = \"b\" # it's", "a {\n  b = [\"${x.y}\", \"$${z}\"]\n}", "a = \"\\\"\""] {
        assert_eq!(read_hcl(whole), Ok(()), "{whole}");
    }
    for broken in ["a {", "a = [}", "a = \"b", "a = \"${file(1)}\"", "a = `b`", "a = \"\\\\\" \""] {
        assert!(read_hcl(broken).is_err(), "{broken}");
    }
}

/// A stranger may ask for any path, and may call himself what he likes.
#[test]
fn what_a_stranger_asks_for_reaches_no_command() {
    let check = catalog::find("health_check_wrong_answer").unwrap();
    let json = serde_json::to_value((check.example)()).unwrap();
    for (line, may) in [
        (r#""GET /evil/health HTTP/1.1" 200 2"#, true),
        ("GET /evil$(touch${IFS}pwned)/health 200", false),
        ("GET /evil`id`/health 200", false),
        (r#"10.0.1.20 - - "POST / HTTP/1.1" 404 22 "-" "GET /evil/health 200""#, false),
        (r#"the agent is "GET /evil/health HTTP/1.1" 200"#, false),
    ] {
        let own = r#""GET /health HTTP/1.1" 200 "curl/8.5.0""#;
        let snapshot = serde_json::from_value(changed(&json, own, line)).unwrap();
        let mut printed = Printed::default();
        printed.add(check, &snapshot);
        let mut changes = printed.commands.keys().filter(|it| it.contains("modify-target-group"));
        assert_eq!(changes.any(|it| it.contains("evil")), may, "{line}");
    }
}
