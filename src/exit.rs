//! Every exit code. Scripts rely on them.

use std::process::ExitCode;

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

/// Prints what went wrong, in one line, and tells the exit code. A reader that has gone away is no
/// error.
pub fn report(done: anyhow::Result<Exit>) -> Exit {
    let error = match done {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    let gone = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe);
    if gone {
        return Exit::Fine;
    }
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    anstream::eprintln!("ecs-doctor: {}", crate::report::plain(&line));
    if error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
}
