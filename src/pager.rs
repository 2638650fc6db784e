//! The user's pager, which a long page goes through on a terminal, as git has it.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use anstream::{AutoStream, ColorChoice};

/// A pager that ends by itself if the page fits, and keeps colours and the screen.
const LESS: [&str; 2] = ["less", "-FRX"];

/// Whether there is a terminal, and a pager that has shown the page on it.
pub fn shows(page: &[u8]) -> bool {
    let stdout = std::io::stdout();
    stdout.is_terminal() && show(page, AutoStream::choice(&stdout)).is_some()
}

fn show(page: &[u8], choice: ColorChoice) -> Option<()> {
    let set = std::env::var("PAGER").unwrap_or_default();
    let words: Vec<&str> = set.split_whitespace().collect();
    let (program, arguments) = words.split_first().or_else(|| LESS.split_first())?;
    let mut pager = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().ok()?;
    let page = match choice {
        ColorChoice::Never => anstream::adapter::strip_bytes(page).into_vec(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => page.to_vec(),
    };
    // Whoever has seen enough closes the pager before it has read everything.
    let _seen_enough = pager.stdin.take()?.write_all(&page);
    pager.wait().ok().map(|_| ())
}
