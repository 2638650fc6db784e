//! The stories: what happened, in words; the account in which it happened; and what the doctor
//! says of it. Each `console` block of a story is run with the real binary against the loopback
//! account of the story's name, and what it must hold is written below, block by block. With
//! `UPDATE_STORIES=1` the blocks are written anew: read what comes out as the person on call would.
//!
//! A console block shows the part of the whole report (`--full`) that the story is about. After it
//! come the brief report of the same account, which is what the command prints by itself, and the
//! diagnosis:
//!
//! ````text
//! ```console with Request path, plain_http_served
//! $ ecs-doctor api
//! SICK  Clients get 503: …
//!
//! CAUSE, critical  health_check_wrong_answer
//! …
//! exit code: 1
//! ```
//!
//! ```brief
//! ✗ SICK  default/api · Express · eu-west-2 · 123456789012   2026-11-22 03:00 UTC
//! …
//! ```
//!
//! ```diagnosis
//! sick
//! cause health_check_wrong_answer
//! └─ targets_unhealthy
//!    └─ target_group_empty
//! risk plain_http_served
//! ```
//! ````
//!
//! - `console` has the headline, and every cause and unexplained symptom with what follows from it;
//!   the first of them also has its evidence and its fix.
//! - `console with …` has besides what it names: a section, by how its heading begins, or the row
//!   of a risk or a note, by the check.
//! - `console whole` has the whole report. About ten stories have it, so that every section is told
//!   somewhere and a new risk of low severity does not rewrite the others.
//! - What is no diagnosis, such as `ecs-doctor diff`, is shown whole, and no diagnosis follows it.
//! - `brief` has the screen but for its last lines, which count what is not told.
//! - `diagnosis` has the verdict, and each cause, unexplained symptom and risk of more than low
//!   severity with the tree of what it explains; risks of low severity and notes where the block
//!   above names them, or is whole. What is explained stands there as a symptom, if it does not say
//!   otherwise.
#![cfg(feature = "aws")]

mod excerpt;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use excerpt::About;

use crate::doctor::{Run, doctor};
use crate::wire::Account;

const CONSOLE: &str = "\n```console";
const BRIEF: &str = "\n```brief\n";
const DIAGNOSIS: &str = "\n```diagnosis\n";
const CLOSES: &str = "\n```\n";

#[test]
fn the_doctor_says_what_the_stories_tell() {
    let stories = all();
    assert!(!stories.is_empty(), "no stories");
    let update = std::env::var_os("UPDATE_STORIES").is_some();
    let told = tell_all(&stories);
    let mut wrong = Vec::new();
    for (story, told) in stories.iter().zip(told) {
        match told {
            Ok(text) if text == story.text => {}
            Ok(text) if update => {
                std::fs::write(&story.path, text).expect("a story that can be written")
            }
            Ok(text) => {
                wrong.push(format!("{}:\n{}", story.name(), difference(&story.text, &text)))
            }
            Err(problem) => wrong.push(format!("{}: {problem}", story.name())),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} stories differ (UPDATE_STORIES=1 writes them anew)\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// Checks that have no story yet are listed: a new check needs one, and the list can only become
/// shorter.
#[test]
fn every_check_finds_something_in_a_story() {
    let stories = all();
    let told: Vec<&str> = stories.iter().flat_map(Story::findings).collect();
    let untold: Vec<&str> =
        checks::catalog::checks().map(|check| check.id()).filter(|id| !told.contains(id)).collect();
    let listed: Vec<&str> = include_str!("../stories/untold.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(untold, listed, "left: checks without a story; right: tests/stories/untold.txt");
}

/// Whole reports are accepted rather than read when they all change at once.
#[test]
fn few_stories_hold_a_whole_report() {
    let stories = all();
    let whole: Vec<&str> = stories
        .iter()
        .filter(|story| story.text.contains("\n```console whole\n"))
        .map(Story::name)
        .collect();
    assert!((1..=12).contains(&whole.len()), "{} stories: {whole:?}", whole.len());
}

/// Tells a few stories at a time: the doctor's patience is counted in seconds, also on a small
/// machine.
fn tell_all(stories: &[Story]) -> Vec<Result<String, String>> {
    let at_once = 2 * std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = stories.len().div_ceil(at_once).max(1);
    std::thread::scope(|scope| {
        let tell = |few: &[Story]| few.iter().map(Story::tell).collect::<Vec<_>>();
        let threads: Vec<_> =
            stories.chunks(share).map(|few| scope.spawn(move || tell(few))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a story that does not panic"))
            .collect()
    })
}

struct Story {
    path: PathBuf,
    text: String,
}

fn all() -> Vec<Story> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let files =
        std::fs::read_dir(folder).expect("the stories").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| Story { text: std::fs::read_to_string(&path).expect("a story"), path })
        .collect()
}

impl Story {
    fn name(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).expect("a name")
    }

    /// The checks of which its diagnoses have a finding: the last word of each line but the first,
    /// which is the verdict.
    fn findings(&self) -> impl Iterator<Item = &str> {
        let blocks = self.text.split(DIAGNOSIS).skip(1).filter_map(|rest| rest.split_once(CLOSES));
        blocks
            .flat_map(|(block, _)| block.lines().skip(1).filter_map(|line| line.rsplit(' ').next()))
    }

    /// The story with its blocks as the program would have them.
    fn tell(&self) -> Result<String, String> {
        let accounts = self.text.matches("```yaml account\n").count();
        if accounts != 1 {
            return Err(format!("it has {accounts} blocks ```yaml account, not one"));
        }
        let mut parts = self.text.split(CONSOLE);
        let mut told = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (block, after) = part.split_once(CLOSES).ok_or("a console block does not end")?;
            let (fence, shown) = block.split_once('\n').ok_or("a console block is empty")?;
            let command = shown.lines().next().unwrap_or_default();
            let arguments =
                command.strip_prefix("$ ecs-doctor ").ok_or("no `$ ecs-doctor` in a block")?;
            let Told { report, diagnosed } = self.run(arguments, &About::read(fence)?)?;
            told += &format!("{CONSOLE}{fence}\n{command}\n{report}{CLOSES}");
            if let Some((brief, diagnosis)) = diagnosed {
                told += &format!("{BRIEF}{brief}{CLOSES}{DIAGNOSIS}{diagnosis}{CLOSES}");
            }
            told += without(DIAGNOSIS, without(BRIEF, after));
        }
        if !told.contains(CONSOLE) {
            return Err("it has no console block that begins with $ ecs-doctor".into());
        }
        Ok(told)
    }

    /// What a command says of what the story is about; and the brief report and the diagnosis, if it
    /// makes one.
    fn run(&self, arguments: &str, about: &About) -> Result<Told, String> {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let text = self.ask(&arguments)?;
        let json = self.ask(&[&arguments[..], &["--output", "json"]].concat())?;
        if text.code != json.code {
            return Err(format!("it ends with {}, and as JSON with {}", text.code, json.code));
        }
        let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap_or_default();
        let end = format!("{}exit code: {}", text.stderr, text.code);
        match report["services"].as_array().map(Vec::as_slice) {
            None => {
                let report = format!("{}{end}", without_time(&text.stdout));
                Ok(Told { report, diagnosed: None })
            }
            Some([service]) => {
                let full = self.ask(&[&arguments[..], &["--full"]].concat())?;
                let shown = about.excerpt(&without_time(&full.stdout), service)?;
                let diagnosed = (without_counts(&text.stdout), about.diagnosis(service));
                Ok(Told { report: format!("{shown}{end}"), diagnosed: Some(diagnosed) })
            }
            Some(services) => Err(format!("{} services in one report", services.len())),
        }
    }

    fn ask(&self, arguments: &[&str]) -> Result<Run, String> {
        let account = Account::start(self.name());
        let run = doctor(arguments).at(&account).run();
        match account.complaints().as_slice() {
            [] => Ok(run),
            complaints => Err(format!("the account complains: {complaints:#?}\n{}", run.stderr)),
        }
    }
}

/// What one command of a story says.
struct Told {
    report: String,
    diagnosed: Option<(String, String)>,
}

/// What follows, without the block that was there.
fn without<'a>(opens: &str, after: &'a str) -> &'a str {
    after
        .strip_prefix(opens)
        .and_then(|rest| rest.split_once(CLOSES))
        .map_or(after, |(_, rest)| rest)
}

/// The brief report but for what it only counts: a new risk of low severity is one more in nearly
/// every account.
fn without_counts(brief: &str) -> String {
    let told = brief.lines().take_while(|line| !line.contains(" passed ·"));
    told.filter(|line| !counts(line)).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn counts(line: &str) -> bool {
    let first: Vec<&str> = line.split(' ').take(2).collect();
    match first.as_slice() {
        [number, noun] => {
            number.parse::<usize>().is_ok()
                && ["cause", "consequence", "risk", "low", "unexplained", "expected"]
                    .iter()
                    .any(|word| noun.starts_with(word))
        }
        _ => false,
    }
}

/// No two runs take the same time, nor always the same number of calls: what is asked in one call
/// depends on what is known in time.
fn without_time(report: &str) -> String {
    let rest = |line: &str| {
        line.split_once(" calls, ")?
            .1
            .split_once(" ms, ")
            .map(|(_, rest)| format!("… calls, … ms, {rest}\n"))
    };
    report.lines().map(|line| rest(line).unwrap_or_else(|| format!("{line}\n"))).collect()
}

/// The lines that differ: from the first to the last.
fn difference(old: &str, new: &str) -> String {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    (old, new) = (old.split_off(before), new.split_off(before));
    let after = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let removed = old[..old.len() - after].iter().map(|line| format!("- {line}\n"));
    let added = new[..new.len() - after].iter().map(|line| format!("+ {line}\n"));
    format!("from line {}\n{}", before + 1, removed.chain(added).collect::<String>())
}
