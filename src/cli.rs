//! What was typed. Parsing does no work: it neither reads files nor asks anybody.

use std::ffi::OsString;
use std::path::PathBuf;

use checks::aws::url::Url;
use checks::check::Severity;
use checks::patient::Expected;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde::Deserialize;

use crate::config::Defaults;
use crate::exit::UsageError;
use crate::report::Detail;

/// There are other programs of this name: the report format tells this one.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (Rust, report format ecs-doctor/v1)");

/// Says why an Amazon ECS service misbehaves: cause first, with the evidence and the fix.
/// Read-only.
#[derive(Debug, Parser)]
#[command(version = VERSION, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  ecs-doctor                                  the clusters and services, with the state of each
  ecs-doctor api                              the one cluster that has the service `api`
  ecs-doctor prod/api --region eu-west-2
  ecs-doctor https://api.example.com/v1       the service behind a URL that fails, and the URL's way to it
  ecs-doctor api --url https://www.example.com/ --probe
  ecs-doctor api --full                       all that is known, through your pager
  ecs-doctor api -o json | jq '.services[0].headline'
  ecs-doctor api --save api.json              for a ticket; read it with --from api.json
  ecs-doctor diff api                         what changed since the last good version
  ecs-doctor timeline api --since 30m         what happened, in order
  ecs-doctor demo                             an example account, without AWS

Exit codes: 0 nothing at or above --fail-on · 1 findings · 2 wrong or ambiguous command line ·
3 nothing found, but a decisive call was refused (--strict) · 4 could not examine at all")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub diagnose: Diagnose,
    /// Tell on stderr what is asked of AWS, and how long it takes
    #[arg(short, long, global = true)]
    pub verbose: bool,
    #[command(flatten)]
    pub color: colorchoice_clap::Color,
}

fn command_names() -> Vec<String> {
    let names = Cli::command();
    let names = names.get_subcommands().map(|command| command.get_name().to_owned());
    names.chain(["help".to_owned()]).collect()
}

/// What was typed; `-v` may stand before a command, too. Where another option does, clap takes the
/// command for the name of a service, and whatever comes then for too much.
pub fn parse() -> Cli {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let is_verbose = |argument: &OsString| argument == "-v" || argument == "--verbose";
    let first = arguments.iter().skip(1).take_while(|argument| is_verbose(argument)).count();
    if first > 0 && !arguments.iter().any(|argument| argument == "--") {
        arguments[1..].rotate_left(first);
    }
    Cli::try_parse_from(&arguments).unwrap_or_else(|error| behind(&arguments, error).exit())
}

/// An error that says what to do where the trouble is an option before a command.
fn behind(arguments: &[OsString], error: clap::Error) -> clap::Error {
    let names = command_names();
    let is_command = |argument: &&OsString| names.iter().any(|name| *argument == name.as_str());
    match (error.kind(), arguments.iter().skip(2).find(is_command)) {
        (ErrorKind::UnknownArgument | ErrorKind::ArgumentConflict, Some(command)) => {
            let command = command.to_string_lossy();
            Cli::command().error(
                error.kind(),
                format!(
                    "options of the command `{command}` stand behind it: ecs-doctor {command} …"
                ),
            )
        }
        _ => error,
    }
}

/// Words of other programs of this kind, and where to find what they stand for.
const ELSEWHERE: &[(&str, &str)] = &[
    ("version", "`ecs-doctor --version` tells the version"),
    ("list", "`ecs-doctor` alone lists the services, `ecs-doctor checks` the checks"),
];

impl Cli {
    /// A command that came out as the name of a service is refused, before AWS is searched for it.
    pub fn sensible(&self) -> anyhow::Result<()> {
        let Diagnose { service: Some(typed), access, from: None, .. } = &self.diagnose else {
            return Ok(());
        };
        if self.command.is_some() || access.cluster.is_some() {
            return Ok(());
        }
        let service = format!("a service of that name is CLUSTER/{typed}");
        let names = command_names();
        let hint = if let Some((_, hint)) = ELSEWHERE.iter().find(|(word, _)| word == typed) {
            (*hint).to_owned()
        } else if names.contains(typed) {
            format!("options of a command stand behind it, as in `ecs-doctor {typed} --help`")
        } else if let Some(name) = names.iter().find(|name| is_slip(typed, name)) {
            format!("there is the command `{name}`")
        } else {
            return Ok(());
        };
        Err(UsageError(format!("{typed:?} looks like a command: {hint}; {service}")).into())
    }
}

/// One letter too many, too few or wrong, or two that changed places.
fn is_slip(typed: &str, name: &str) -> bool {
    name.len() > 3 && typed != name && strsim::damerau_levenshtein(typed, name) == 1
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare two versions of a service: the last good one and the newest, or any two
    Diff(Diff),
    /// List what happened to a service, in order
    Timeline(Timeline),
    /// Diagnose an embedded example account, without AWS
    Demo(Demo),
    /// Explain a check: what it finds, how it tells, what to do
    Explain(Explain),
    /// List every check
    Checks(Checks),
    /// Print the script that lets a shell complete the command line
    Completions(Completions),
    /// Print the manual page
    Man(Man),
    /// Print what is configured, and by which file
    Config(ConfigFile),
    /// Print the least IAM policy that shows everything
    Permissions,
    /// Write the generated pages of the docs
    #[command(hide = true)]
    Docs(Docs),
}

#[derive(Clone, Debug, Args)]
pub struct Diagnose {
    /// Service name, cluster/service, service ARN, or the URL or host that fails; without any, the
    /// services are listed
    pub service: Option<String>,
    #[command(flatten)]
    pub access: Access,
    /// The path of a request for this URL: listener, rule, group, tasks, and who answers
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// Send one GET to the URL, or to the service's own: without query or credentials, and to the
    /// load balancer's addresses only
    #[arg(long, conflicts_with = "from")]
    pub probe: bool,
    /// Read no logs
    #[arg(long)]
    pub no_logs: bool,
    /// Ask CloudTrail who changed what on the traffic path; two questions a second, so it takes
    /// some seconds more
    #[arg(long)]
    pub trail: bool,
    /// Save what AWS told, to diagnose it again later; without secrets, but with names and log
    /// lines. `-` is standard output, and the report goes to standard error
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Save it with other accounts, names, addresses and ids, for strangers; what an app wrote into
    /// its log stays
    #[arg(long, requires = "save")]
    pub anonymise: bool,
    /// Diagnose a saved snapshot instead of asking AWS; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "region", "profile", "no_logs", "trail"])]
    pub from: Option<PathBuf>,
    /// Read --expect-ingress from this file, for all services or one; default: ./ecs-doctor.toml,
    /// then the user's own
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub report: ReportOptions,
}

/// How AWS is asked.
#[derive(Clone, Debug, Args)]
pub struct Access {
    /// The cluster, by name or ARN; without it, the one cluster that has the service
    #[arg(long)]
    pub cluster: Option<String>,
    /// The AWS region
    #[arg(long)]
    pub region: Option<String>,
    /// The profile of the AWS configuration
    #[arg(long)]
    pub profile: Option<String>,
    /// Seconds until whatever has not answered counts as unseen
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor diff api                     what changed since the last good version
  ecs-doctor diff api --old 41 --new 42   any two versions
  ecs-doctor diff --from api.json         of a saved snapshot
  ecs-doctor diff api --trail             and who changed it")]
pub struct Diff {
    /// Service name, cluster/service, service ARN, or a URL or host that it answers; a snapshot of
    /// one service needs none
    #[arg(required_unless_present = "from")]
    pub service: Option<String>,
    /// The version to compare: a revision number or family:revision of a task definition, or the id
    /// or ARN of a service revision; without it, the last good version
    #[arg(long, value_name = "REV")]
    pub old: Option<String>,
    /// The version to compare it with; without it, what the newest deployment brings
    #[arg(long, value_name = "REV", alias = "to")]
    pub new: Option<String>,
    /// Work from a saved snapshot instead of asking AWS; `-` reads standard input
    #[arg(long, alias = "snapshot", value_name = "FILE", conflicts_with_all = ["cluster", "region", "profile", "trail"])]
    pub from: Option<PathBuf>,
    /// Ask CloudTrail, too, who changed what on the traffic path
    #[arg(long)]
    pub trail: bool,
    #[command(flatten)]
    pub access: Access,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor timeline api --since 30m
  ecs-doctor timeline api -o json | jq -r '.entries[] | [.at, .says] | @tsv'
  ecs-doctor timeline --from api.json")]
pub struct Timeline {
    /// Service name, cluster/service, service ARN, or a URL or host that it answers; a snapshot of
    /// one service needs none
    #[arg(required_unless_present = "from")]
    pub service: Option<String>,
    /// How long before the snapshot to begin: 45s, 30m, 2h or 1d
    #[arg(long, value_name = "SPAN", default_value = "2h", value_parser = span)]
    pub since: SignedDuration,
    /// Work from a saved snapshot instead of asking AWS; `-` reads standard input
    #[arg(long, alias = "snapshot", value_name = "FILE", conflicts_with_all = ["cluster", "region", "profile", "trail"])]
    pub from: Option<PathBuf>,
    /// Ask CloudTrail, too, who changed what on the traffic path
    #[arg(long)]
    pub trail: bool,
    #[command(flatten)]
    pub access: Access,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// `45s`, `30m`, `2h`, `1d`; not longer than a year.
fn span(text: &str) -> Result<SignedDuration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: i64 = text.strip_suffix(*unit)?.parse().ok()?;
        Some(SignedDuration::from_secs(number.checked_mul(*seconds)?))
    });
    let year = SignedDuration::from_secs(366 * 86_400);
    parsed
        .filter(|span| span.is_positive() && *span <= year)
        .ok_or_else(|| "a span is a number with s, m, h or d, such as 30m or 2h".into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor demo                         a green console and a URL that answers 503
  ecs-doctor demo --list
  ecs-doctor demo boomerang --full")]
pub struct Demo {
    /// The example; the story of a green console and a 503 without a name
    pub name: Option<String>,
    /// List the examples
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub report: ReportOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor explain health_check_wrong_answer
  ecs-doctor checks | grep rollback       to find a check")]
pub struct Explain {
    /// The check, such as health_check_wrong_answer
    pub check: String,
}

#[derive(Debug, Args)]
pub struct Checks {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor completions bash > ~/.local/share/bash-completion/completions/ecs-doctor
  ecs-doctor completions zsh > \"${fpath[1]}/_ecs-doctor\"
  ecs-doctor completions fish > ~/.config/fish/completions/ecs-doctor.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ecs-doctor man | man -l -
  ecs-doctor man ~/.local/share/man/man1")]
pub struct Man {
    /// Write a page for each command into this folder instead
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The file to read; default: ./ecs-doctor.toml, and under it the user's own
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Docs {
    /// Where to write them
    pub folder: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct ReportOptions {
    /// How to print the diagnosis; default: text
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    /// How much to print; default: brief for text, full for JSON
    #[arg(long, value_enum, value_name = "DETAIL")]
    pub detail: Option<DetailLevel>,
    /// Print the whole report; the same as --detail full
    #[arg(long, conflicts_with = "detail")]
    pub full: bool,
    /// List risks of low severity, too, in the brief report
    #[arg(long)]
    pub risks: bool,
    /// The columns of the text report; default: those of the terminal
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=1000))]
    pub width: Option<u16>,
    /// Exit with 1 from this severity on; default: high, for an example never
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub fail_on: Option<FailOn>,
    /// Print findings from this severity on; JSON always has all
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Info)]
    pub show: Level,
    /// Exit with 3 if nothing was found but a decisive call was refused
    #[arg(long)]
    pub strict: bool,
    /// Who should be able to reach the load balancer, by block or by prefix list; everything wider
    /// is a finding. Repeatable
    #[arg(long, value_name = "CIDR|pl-ID")]
    pub expect_ingress: Vec<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetailLevel {
    /// The answer, on one screen
    Brief,
    /// All that is known
    Full,
}

impl Diagnose {
    /// With what files say where the command line says nothing.
    pub fn with(mut self, defaults: &Defaults) -> Diagnose {
        self.access = self.access.with(defaults);
        self.report.output = self.report.output.or(defaults.output);
        self.report.detail = self.report.detail.or(defaults.detail);
        self
    }
}

impl Access {
    pub fn with(mut self, defaults: &Defaults) -> Access {
        self.cluster = self.cluster.or_else(|| defaults.cluster.clone());
        self.region = self.region.or_else(|| defaults.region.clone());
        self.profile = self.profile.or_else(|| defaults.profile.clone());
        self
    }
}

impl ReportOptions {
    pub fn output(&self) -> Format {
        self.output.unwrap_or(Format::Text)
    }

    /// A person gets the answer first, a script gets everything.
    pub fn detail(&self) -> Detail {
        match (self.detail, self.output()) {
            _ if self.full => Detail::Full,
            (Some(DetailLevel::Brief), _) | (None, Format::Text) => Detail::Brief,
            (Some(DetailLevel::Full), _) | (None, Format::Json) => Detail::Full,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Critical,
    High,
    Medium,
    Low,
    Info,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl Level {
    pub fn severity(self) -> Severity {
        match self {
            Level::Critical => Severity::Critical,
            Level::High => Severity::High,
            Level::Medium => Severity::Medium,
            Level::Low => Severity::Low,
            Level::Info => Severity::Info,
        }
    }
}

impl FailOn {
    pub fn severity(self) -> Option<Severity> {
        match self {
            FailOn::Critical => Some(Severity::Critical),
            FailOn::High => Some(Severity::High),
            FailOn::Medium => Some(Severity::Medium),
            FailOn::Low => Some(Severity::Low),
            FailOn::Never => None,
        }
    }
}

/// With `-v` our own steps go to stderr, and nothing of the SDK's, which would log whole requests.
pub fn trace(verbose: bool) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    if verbose {
        let ours = Targets::new().with_target("ecs_doctor", LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .without_time();
        let ansi = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        tracing_subscriber::registry().with(lines.with_ansi(ansi)).with(ours).init();
    }
}
