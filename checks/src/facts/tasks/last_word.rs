//! What the log of a container that ended says in the end: of the newest task that says anything,
//! the line that decides, or the one that tells most. What a line means is in `aws::crash`.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::crash::{Crash, read};
use crate::call::{Call, LOG_STREAM};
use crate::facts::tasks::container_log;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::{LogLine, Task};
use crate::text::{pattern, shortened};

/// What a container's log says in the end.
#[derive(Debug, Default)]
pub struct LastWord<'a> {
    /// The stream, as the commands that show it name it.
    pub stream: Option<String>,
    pub crash: Option<Crash<'a>>,
    /// The line that tells most, where no signature is known.
    pub quote: Option<&'a str>,
    /// Whether there is a log that could not be read.
    pub hidden: bool,
    pub evidence: Vec<Evidence>,
}

/// As much of a log line as fits into a sentence.
const LONGEST_QUOTE: usize = 160;

/// The end of the log of the newest of these tasks that says anything.
pub fn of<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
    container: &str,
    tasks: &[&Task],
) -> LastWord<'a> {
    let streams = findings.see(container_log::streams(patient)).unwrap_or_default();
    let is_ours = |task: &Task| tasks.iter().any(|one| one.task_arn == task.task_arn);
    let mut silent = LastWord::default();
    for stream in
        streams.into_iter().filter(|stream| stream.container == container && is_ours(stream.task))
    {
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        match findings
            .see(patient.log_lines(stream.group, &stream.stream))
            .map(|lines| word(lines, &of))
        {
            Some(Some(word)) => return LastWord { stream: Some(of), ..word },
            Some(None) => {}
            None => silent.hidden = true,
        }
        silent.stream.get_or_insert(of);
    }
    silent
}

fn word<'a>(lines: &'a [LogLine], of: &str) -> Option<LastWord<'a>> {
    let spoken: Vec<&LogLine> =
        lines.iter().filter(|line| !line.message.trim().is_empty()).collect();
    let newest = *spoken.last()?;
    let crash = read(lines);
    let (line, quote) = match &crash {
        Some(crash) => (crash.line, crash.quote),
        None => {
            // Of those that tell as much, the last.
            let telling = spoken.iter().copied().max_by_key(|line| weight(&line.message));
            let telling = telling.unwrap_or(newest);
            (telling, first_line(telling))
        }
    };
    let mut quoted = vec![(line, quote)];
    quoted.extend((!std::ptr::eq(line, newest)).then(|| (newest, first_line(newest))));
    let evidence = quoted.into_iter().map(|(line, quote)| {
        Evidence::new(Call::GetLogEvents, of, "events.message", quote).at(line.timestamp)
    });
    Some(LastWord {
        crash,
        quote: Some(quote),
        evidence: evidence.collect(),
        ..LastWord::default()
    })
}

/// How a container ended, by its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It says that it was told to stop, and nothing went wrong before.
    Told,
    /// It says that something went wrong.
    Crashed,
    /// Neither, or it cannot be told.
    Silent,
}

/// What the log of a container of one task tells of how it ended. A log that may not be read tells
/// nothing: what quotes it says so.
pub fn manner(patient: &Patient, container: &str, task: &Task) -> Manner {
    let mut unseen = Unseen::default();
    let streams = unseen.see(container_log::streams(patient)).unwrap_or_default();
    let ours = streams
        .into_iter()
        .find(|one| one.container == container && one.task.task_arn == task.task_arn);
    let lines = ours.and_then(|one| unseen.see(patient.log_lines(one.group, &one.stream)));
    let lines = lines.unwrap_or_default();
    let farewell = lines.iter().position(|line| is_farewell(&line.message));
    let before = &lines[..farewell.unwrap_or(lines.len())];
    let failed = |line: &LogLine| names_a_failure(&line.message);
    match farewell {
        _ if read(before).is_some() => Manner::Crashed,
        Some(_) => Manner::Told,
        None if before.iter().any(failed) => Manner::Crashed,
        None => Manner::Silent,
    }
}

/// How programs say that they were told to stop.
static FAREWELL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)\bSIG(?:TERM|INT|QUIT)\b|\bsignal(?: number)?[ :=(]*15\b|received (?:a )?(?:termination|shutdown|stop) (?:signal|request)|signal: terminated|graceful(?:ly)? (?:shut|stop|exit|terminat)|\bshutting down\b|\bshutdown (?:requested|initiated|signal)",
    )
});

fn is_farewell(line: &str) -> bool {
    FAREWELL.as_ref().is_some_and(|pattern| pattern.is_match(line))
}

impl LastWord<'_> {
    /// `, likely because Node.js cannot find module 'express'`, where the log says so.
    pub fn because(&self) -> String {
        self.crash
            .as_ref()
            .map_or_else(String::new, |crash| format!(", likely because {}", crash.words))
    }

    /// ` Its log says "…".`, where no signature says it shorter, or one leaves out the message.
    pub fn says(&self) -> String {
        match &self.crash {
            Some(crash) if !crash.leaves_out_the_message() => String::new(),
            _ => self.quoted(),
        }
    }

    /// ` Its log says "…".`, whatever it means.
    pub fn quoted(&self) -> String {
        match self.quote {
            Some(quote) => format!(" Its log says \"{}\".", shortened(quote, LONGEST_QUOTE)),
            None if self.hidden => " The end of its log could not be read.".to_owned(),
            None => String::new(),
        }
    }
}

/// How much a line tells of why a program ended: an exception with its message more than the word
/// "error", and that more than a hint; a shutdown message least of all.
fn weight(line: &str) -> u8 {
    let small = line.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| small.contains(word));
    if EXCEPTION.as_ref().is_some_and(|pattern| pattern.is_match(line)) {
        4
    } else if says(&["error", "fatal", "panic", "exception"]) {
        3
    } else if names_a_failure(line) {
        2
    } else if is_farewell(line) || says(&["exiting", "aborting", "exit status"]) {
        0
    } else {
        1
    }
}

static EXCEPTION: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b(?:[A-Z]\w*)?(?:Error|Exception)(?: \[\w+\])?: \S"));

fn first_line(line: &LogLine) -> &str {
    line.message.trim().lines().next().unwrap_or_default().trim_end()
}

/// Whether a line says that something went wrong.
pub fn names_a_failure(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [
        "error",
        "exception",
        "fatal",
        "panic",
        "failed",
        "cannot",
        "could not",
        "not found",
        "denied",
        "refused",
    ]
    .iter()
    .any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(messages: &[&str]) -> String {
        let line = |message: &&str| LogLine { message: (*message).into(), ..LogLine::default() };
        let lines: Vec<LogLine> = messages.iter().map(line).collect();
        word(&lines, "").and_then(|word| word.quote).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_line_that_tells_most_is_quoted() {
        let error = "OrderError: no stock for 12";
        assert_eq!(quote(&[error, "the job failed", "error: see above"]), error);
        assert_eq!(quote(&["could not start", "cleaning up", "Exiting"]), "could not start");
        assert_eq!(quote(&["loading rules", "aborting"]), "loading rules");
        assert_eq!(quote(&["ready", "received SIGTERM, shutting down"]), "ready");
        assert_eq!(quote(&["error: one", "error: two"]), "error: two");
        assert_eq!(quote(&["one", "two"]), "two");
    }

    #[test]
    fn what_an_exception_says_is_quoted_beside_its_type() {
        let says = |line: &str| {
            let lines = [LogLine { message: line.into(), ..LogLine::default() }];
            word(&lines, "").map(|word| word.says()).unwrap_or_default()
        };
        assert_eq!(says("ValueError: no orders"), " Its log says \"ValueError: no orders\".");
        assert_eq!(says("panic: no orders"), "", "the words have it");
        assert_eq!(says("Error: Cannot find module 'express'"), "");
    }
}
