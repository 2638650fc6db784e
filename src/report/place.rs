//! Where the commands of a report go. Whoever pastes one must reach the account and the region
//! that were examined, whatever his own configuration says: so each names them, here, once, on its
//! way to a printer.

use checks::aws::arn::Arn;
use checks::command::{Command, Effect};
use checks::patient::Patient;
use schemars::JsonSchema;
use serde::Serialize;

use super::plain;

/// The region that was examined, and the profile by which, where the user gave one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    region: String,
    profile: Option<String>,
}

impl Place {
    /// A service's ARN says where it is; a region that AWS never has is nobody's.
    pub fn of(patient: &Patient, profile: Option<&str>) -> Place {
        let region = Arn::read(patient.arn()).map(|arn| arn.region);
        let region = region.filter(|region| !region.is_empty()).unwrap_or(patient.region());
        Place { region: region.to_owned(), profile: profile.map(str::to_owned) }
    }

    pub fn command(&self, command: &Command) -> CommandReport {
        let command = self.put(command);
        CommandReport {
            argv: command.argv().iter().map(|word| plain(word)).collect(),
            shell: ShellReport::new(&command),
            effect: command.effect(),
            needs: command.needs(),
        }
    }

    pub fn shell(&self, command: &Command) -> ShellReport {
        ShellReport::new(&self.put(command))
    }

    fn put(&self, command: &Command) -> Command {
        command.clone().at(&self.region, self.profile.as_deref())
    }
}

/// A command as a value, so that scripts need not take it apart.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CommandReport {
    /// The arguments as the program gets them; a variable stands as `$NAME`.
    pub argv: Vec<String>,
    pub shell: ShellReport,
    pub effect: Effect,
    /// Shell variables that the user has to set before.
    pub needs: Vec<&'static str>,
}

/// A command as a POSIX shell takes it: one line in JSON, words where a printer breaks lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct ShellReport {
    pub words: Vec<String>,
}

impl From<ShellReport> for String {
    fn from(shell: ShellReport) -> String {
        shell.words.join(" ")
    }
}

impl ShellReport {
    /// Without characters that could harm a terminal.
    fn new(command: &Command) -> ShellReport {
        ShellReport { words: command.shell_words().iter().map(|word| plain(word)).collect() }
    }
}
