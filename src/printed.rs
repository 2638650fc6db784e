//! How a page leaves the program: it is written whole before its first byte goes out, so that what
//! fails on the way prints nothing by halves; and a reader that has seen enough ends nothing.

use std::io::{ErrorKind, Write};

use anyhow::Result;

use crate::pager;

/// Writes a page, and prints it on standard output.
pub fn page(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut page = Vec::new();
    write(&mut page)?;
    to(&mut anstream::stdout().lock(), &page)
}

/// A page that may be longer than a screen: on a terminal it goes through the user's pager.
pub fn long_page(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut page = Vec::new();
    write(&mut page)?;
    if pager::shows(&page) { Ok(()) } else { to(&mut anstream::stdout().lock(), &page) }
}

/// A page for people where standard output is taken by something for programs.
pub fn page_beside(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut page = Vec::new();
    write(&mut page)?;
    to(&mut anstream::stderr().lock(), &page)
}

/// `… | head -1` closes the pipe when it has its line: that is no error, and the exit code stays
/// what the diagnosis says.
pub fn to(out: &mut dyn Write, page: &[u8]) -> Result<()> {
    match out.write_all(page).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
