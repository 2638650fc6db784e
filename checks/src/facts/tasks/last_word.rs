//! What the log of a container that ended says in the end: of the newest task that says anything,
//! the line that decides, or the one that tells most. What a line means is in `aws::crash`.

use crate::aws::crash::{Crash, read};
use crate::call::{Call, LOG_STREAM};
use crate::facts::tasks::container_log;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::See;
use crate::snapshot::{LogLine, Task};
use crate::text::shortened;

/// What a container's log says in the end.
#[derive(Debug, Default)]
pub struct LastWord<'a> {
    /// The stream, as the commands that show it name it.
    pub stream: Option<String>,
    pub crash: Option<Crash<'a>>,
    /// The line that tells most, where no signature is known.
    pub quote: Option<&'a str>,
    /// Whether there is a log, and nobody let us read it.
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
            let telling = spoken
                .iter()
                .rev()
                .copied()
                .find(|line| names_a_failure(&line.message))
                .unwrap_or(newest);
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

impl LastWord<'_> {
    /// `, likely because Node.js cannot find module 'express'`, where the log says so.
    pub fn because(&self) -> String {
        self.crash
            .as_ref()
            .map_or_else(String::new, |crash| format!(", likely because {}", crash.words))
    }

    /// ` Its log says "…".`, where no signature says it shorter.
    pub fn says(&self) -> String {
        match (&self.crash, self.quote) {
            (None, Some(quote)) => {
                format!(" Its log says \"{}\".", shortened(quote, LONGEST_QUOTE))
            }
            (None, None) if self.hidden => {
                " What it logged in the end could not be read.".to_owned()
            }
            _ => String::new(),
        }
    }
}

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
