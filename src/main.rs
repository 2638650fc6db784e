//! ecs-doctor says why an Amazon ECS service misbehaves: it asks AWS once, read-only, and prints
//! the cause before its symptoms, with the evidence and the fix.

mod anonymise;
mod cli;
#[cfg(feature = "aws")]
mod collect;
mod commands;
mod config;
mod exit;
#[cfg(test)]
mod fuzz;
#[cfg(any(feature = "aws", test))]
mod mask;
mod pager;
mod printed;
mod replay;
mod report;

use crate::cli::{Cli, Command};
use crate::exit::Exit;

fn main() -> std::process::ExitCode {
    let cli = cli::parse();
    cli.color.write_global();
    cli::trace(cli.verbose);
    exit::quietly(|| cli.sensible().and_then(|()| run(&cli))).into()
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        None => commands::diagnose::run(&cli.diagnose),
        Some(Command::Diff(diff)) => commands::diff::run(diff),
        Some(Command::Timeline(timeline)) => commands::timeline::run(timeline),
        Some(Command::Demo(demo)) => commands::demo::run(demo),
        Some(Command::Explain(explain)) => commands::explain::run(explain),
        Some(Command::Checks(checks)) => commands::checks::run(checks),
        Some(Command::Completions(completions)) => commands::completions::run(completions),
        Some(Command::Config(config)) => commands::config::run(config),
        Some(Command::Man(man)) => commands::man::run(man),
        Some(Command::Permissions) => commands::permissions::run(),
        Some(Command::Docs(docs)) => commands::docs::run(docs),
    }
}
