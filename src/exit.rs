//! Every exit code. Scripts rely on them.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use crate::report::plain;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: nothing at or above `--fail-on`.
    Fine,
    /// 1: findings at or above `--fail-on`.
    Findings,
    /// 2: the command line is wrong, or ambiguous.
    Usage,
    /// 3: nothing found, but a decisive call was refused; only with `--strict`.
    Unknown,
    /// 4: could not examine at all: no credentials, no such service, no network.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Unknown => 3,
            Exit::Failed => 4,
        })
    }
}

/// An error that the user can mend on the command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Runs what was asked for, prints what went wrong, in one line, and tells the exit code.
pub fn quietly(run: impl FnOnce() -> anyhow::Result<Exit>) -> Exit {
    // A panic is our mistake: its place helps us, and its trace nobody.
    std::panic::set_hook(Box::new(|panic| {
        tracing::info!("a panic: {}", plain(&panic.to_string()))
    }));
    let done = std::panic::catch_unwind(AssertUnwindSafe(run));
    match done {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            complain(&error);
            if error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            complain(&anyhow::anyhow!(
                "this is a mistake of the program: {}; please report it, with the snapshot that --save writes",
                said.unwrap_or("it stopped")
            ));
            Exit::Failed
        }
    }
}

/// One line on standard error.
pub fn complain(error: &anyhow::Error) {
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    // Whoever has closed standard error wants no line.
    let _closed = writeln!(anstream::stderr(), "ecs-doctor: {}", plain(&line));
}
