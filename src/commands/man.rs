//! `ecs-doctor man [FOLDER]`: the manual page, or a page for each command in a folder.

use std::io::Write;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, Man};
use crate::exit::Exit;

pub fn run(options: &Man) -> Result<Exit> {
    match &options.folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("writing manual pages to {}", folder.display()))?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            let mut out = std::io::stdout().lock();
            out.write_all(&page)?;
            out.flush()?;
        }
    }
    Ok(Exit::Fine)
}
