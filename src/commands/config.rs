//! `ecs-doctor config`: what is configured, file by file, the nearest first.

use anyhow::{Context, Result};

use crate::cli::ConfigFile;
use crate::config::Config;
use crate::exit::Exit;
use crate::printed;
use crate::report::plain;

pub fn run(options: &ConfigFile) -> Result<Exit> {
    // What a file says wrongly is an error here, too.
    let config = Config::load(options.config.as_deref())?;
    printed::page(|out| {
        let mut files = config.files().peekable();
        if files.peek().is_none() {
            writeln!(
                out,
                "Nothing is configured: there is no ./ecs-doctor.toml and no file of your own."
            )?;
        }
        for file in files {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("reading {}", file.display()))?;
            writeln!(out, "{}", plain(&file.display().to_string()))?;
            let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
            for line in text.lines().filter(says) {
                writeln!(out, "  {}", plain(line))?;
            }
        }
        Ok(())
    })?;
    Ok(Exit::Fine)
}
