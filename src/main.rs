//! ecs-doctor says why an Amazon ECS service misbehaves: it asks AWS once, read-only, and prints
//! the cause before its symptoms, with the evidence and the fix.

mod cli;
#[cfg(feature = "aws")]
mod collect;
mod commands;
mod config;
mod exit;
#[cfg(any(feature = "aws", test))]
mod mask;
mod replay;
mod report;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    cli::trace(cli.verbose);
    let done = match &cli.command {
        None => commands::diagnose::run(&cli.diagnose),
        Some(Command::Diff(diff)) => commands::diff::run(diff),
        Some(Command::Timeline(timeline)) => commands::timeline::run(timeline),
        Some(Command::Demo(demo)) => commands::demo::run(demo),
        Some(Command::Explain(explain)) => commands::explain::run(explain),
        Some(Command::Checks) => commands::checks::run(),
        Some(Command::Permissions) => commands::permissions::run(),
        Some(Command::Docs(docs)) => commands::docs::run(docs),
    };
    exit::report(done).into()
}
