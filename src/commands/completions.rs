//! `ecs-doctor completions <SHELL>`: what a shell needs to complete the command line, with the names
//! of the examples and of the checks.

use std::io::Write;

use anyhow::Result;
use checks::catalog;
use clap::CommandFactory;
use clap::builder::PossibleValuesParser;

use crate::cli::{Cli, Completions};
use crate::commands::demo;
use crate::exit::Exit;

pub fn run(options: &Completions) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut with_names(), "ecs-doctor", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Fine)
}

/// The command line with the values that an argument can have: the program itself is more lenient,
/// and names the nearest.
fn with_names() -> clap::Command {
    let examples = PossibleValuesParser::new(demo::names());
    let checks = PossibleValuesParser::new(catalog::checks().map(|check| check.id()));
    Cli::command()
        .mut_subcommand("demo", |demo| {
            demo.mut_arg("name", |name| name.value_parser(examples.clone()))
        })
        .mut_subcommand("explain", |explain| {
            explain.mut_arg("check", |check| check.value_parser(checks.clone()))
        })
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn shells_are_told_the_examples_and_the_checks() {
        for shell in [Shell::Bash, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut with_names(), "ecs-doctor", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in demo::names().chain(catalog::checks().map(|check| check.id())) {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
