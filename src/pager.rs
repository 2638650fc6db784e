//! Where a long report goes: through the user's pager on a terminal, as git does it, and straight
//! to stdout everywhere else.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

use anstream::{AutoStream, ColorChoice};

/// A pager that ends by itself if the report fits, and keeps colours and the screen.
const LESS: [&str; 2] = ["less", "-FRX"];

pub enum Pager {
    Stdout(AutoStream<io::Stdout>),
    Child { child: Child, to: Box<dyn Write> },
}

impl Pager {
    /// A pager that cannot be started is none.
    pub fn open(long: bool) -> Pager {
        let stdout = io::stdout();
        if long
            && stdout.is_terminal()
            && let Some((child, to)) = start(AutoStream::choice(&stdout))
        {
            return Pager::Child { child, to };
        }
        Pager::Stdout(anstream::stdout())
    }

    /// Waits until the user has read.
    pub fn close(self) -> io::Result<()> {
        match self {
            Pager::Stdout(mut out) => out.flush(),
            Pager::Child { mut child, to } => {
                drop(to);
                child.wait().map(|_| ())
            }
        }
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Pager::Stdout(out) => out.write(bytes),
            Pager::Child { to, .. } => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Pager::Stdout(out) => out.flush(),
            Pager::Child { to, .. } => to.flush(),
        }
    }
}

fn start(choice: ColorChoice) -> Option<(Child, Box<dyn Write>)> {
    let set = std::env::var("PAGER").unwrap_or_default();
    let words: Vec<&str> = set.split_whitespace().collect();
    let (program, arguments) = words.split_first().or_else(|| LESS.split_first())?;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().ok()?;
    let to = child.stdin.take()?;
    Some((child, if choice == ColorChoice::Never { Box::new(Plain(to)) } else { Box::new(to) }))
}

/// A stream without what colours it.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text: Vec<u8> = anstream::adapter::strip_bytes(bytes).flatten().copied().collect();
        self.0.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
