//! The stories: what happened, in words; the account in which it happened; and what the doctor
//! prints, to the letter. Each console block of a story is run with the real binary against the
//! loopback account of the story's name. With `UPDATE_STORIES=1` the blocks are written anew: read
//! what comes out as the person on call would.
#![cfg(feature = "aws")]

use std::num::NonZero;
use std::path::{Path, PathBuf};

use crate::doctor::doctor;
use crate::wire::Account;

const OPENS: &str = "```console\n$ ecs-doctor ";
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
    let told = |id: &str| stories.iter().flat_map(Story::reports).any(|report| finds(report, id));
    let untold: Vec<&str> =
        checks::catalog::checks().map(|check| check.id()).filter(|id| !told(id)).collect();
    let listed: Vec<&str> = include_str!("../stories/untold.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(untold, listed, "left: checks without a story; right: tests/stories/untold.txt");
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

    /// What its console blocks say now: arguments, output, exit code.
    fn reports(&self) -> impl Iterator<Item = &str> {
        self.text.split(OPENS).skip(1).map(|rest| rest.split(CLOSES).next().unwrap_or(rest))
    }

    /// The story with its console blocks as the program prints them.
    fn tell(&self) -> Result<String, String> {
        let accounts = self.text.matches("```yaml account\n").count();
        if accounts != 1 {
            return Err(format!("it has {accounts} blocks ```yaml account, not one"));
        }
        let mut parts = self.text.split(OPENS);
        let mut told = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let arguments = part.lines().next().unwrap_or_default();
            let (_, after) = part.split_once(CLOSES).ok_or("a console block does not end")?;
            told += &format!("{OPENS}{arguments}\n{}{CLOSES}{after}", self.run(arguments)?);
        }
        if told.matches(OPENS).count() == 0 {
            return Err("it has no console block that begins with $ ecs-doctor".into());
        }
        Ok(told)
    }

    fn run(&self, arguments: &str) -> Result<String, String> {
        let account = Account::start(self.name());
        let run = doctor(&arguments.split_whitespace().collect::<Vec<_>>()).at(&account).run();
        match account.complaints().as_slice() {
            [] => Ok(format!("{}{}exit code: {}", without_time(&run.stdout), run.stderr, run.code)),
            complaints => Err(format!("the account complains: {complaints:#?}\n{}", run.stderr)),
        }
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

/// Whether a report has a finding of the check. Findings stand at the end of a line or in brackets;
/// what was ruled out and what could not be looked at stands in neither.
fn finds(report: &str, check: &str) -> bool {
    report.contains(&format!("({check})"))
        || report.lines().any(|line| line.ends_with(&format!("  {check}")))
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
