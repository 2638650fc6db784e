//! Who waits at a terminal is told what for. Nothing is written where nobody watches, and nothing
//! stays.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How long a silence may be, and how often the line is written anew.
const SILENCE: Duration = Duration::from_secs(2);

/// Waits for something, and meanwhile says for what.
pub async fn beside<T>(work: impl Future<Output = T>, words: impl Fn() -> String) -> T {
    let mut work = std::pin::pin!(work);
    let mut is_told = false;
    loop {
        match tokio::time::timeout(SILENCE, &mut work).await {
            Ok(done) => {
                if is_told {
                    write("");
                }
                return done;
            }
            Err(_) if std::io::stderr().is_terminal() => {
                is_told = true;
                write(&words());
            }
            Err(_) => {}
        }
    }
}

/// One line, in place of the one before.
fn write(words: &str) {
    let line = format!("\r\u{1b}[2K{}", crate::report::plain(words));
    // Whoever has closed standard error watches nothing.
    let _closed = std::io::stderr().write_all(line.as_bytes());
}
