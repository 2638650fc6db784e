//! A command that a person may paste. It is made of words, never of text, so that what came from
//! AWS, from a log or from a file stays one argument whatever is in it; it is quoted here, once,
//! when it is printed. What a command does to the account comes from its operation.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes [`Words`] from a template: words stand between blanks, `{}` is a value and stays within
/// its word, `$NAME` is a value that only the user knows. Nothing in the template is quoted.
#[macro_export]
macro_rules! words {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const { $crate::command::holes($template, &[$( stringify!($value) ),*]) };
        $crate::command::Words::new(
            $template,
            &[$( $crate::command::Argument::word(&$value) ),*],
        )
    }};
}

/// Makes a [`Command`] of the AWS CLI from a template such as `"ecs describe-clusters --clusters {}"`.
#[macro_export]
macro_rules! aws {
    ($template:literal $(, $value:expr)* $(,)?) => {
        $crate::command::Command::aws($crate::words!($template $(, $value)*))
    };
}

/// What running a command does, the gravest last.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It only shows something.
    Read,
    /// It changes a setting; running tasks and their traffic go on.
    Write,
    /// ECS replaces or stops running tasks.
    ReplacesTasks,
    /// Requests that are served now may fail.
    InterruptsTraffic,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    /// A shell variable that the user sets.
    Needed(&'static str),
    /// What another command prints.
    Output(Box<Command>),
}

/// One argument of a command, whatever it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(Vec<Part>);

impl Word {
    pub fn new(text: impl Into<String>) -> Word {
        Word(vec![Part::Text(text.into())])
    }

    /// A value that only the user knows, as a shell variable: `NAT_GATEWAY_ID`.
    pub fn needed(name: &'static str) -> Word {
        Word(vec![Part::Needed(name)])
    }

    /// What a command prints: `"$(aws …)"`.
    pub fn output(command: Command) -> Word {
        Word(vec![Part::Output(Box::new(command))])
    }

    /// Several values in one word, as the AWS CLI's shorthand has lists: `a,b`.
    pub fn list(values: impl IntoIterator<Item = impl Argument>) -> Word {
        let mut word = Word::default();
        for value in values {
            if !word.0.is_empty() {
                word.push(Part::Text(",".into()));
            }
            value.word().0.into_iter().for_each(|part| word.push(part));
        }
        word
    }

    fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => self.0.push(part),
        }
    }

    /// The argument as the program gets it, with variables by their names.
    fn raw(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Needed(name) => format!("${name}"),
            Part::Output(command) => format!("$({command})"),
        };
        self.0.iter().map(part).collect()
    }

    /// The argument as a POSIX shell takes it.
    fn quoted(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => quote(text),
            Part::Needed(name) => format!("\"${name}\""),
            Part::Output(command) => format!("\"$({command})\""),
        };
        if self.0.is_empty() { quote("") } else { self.0.iter().map(part).collect() }
    }

    fn text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Quotes one word for a POSIX shell, where it needs it. No argument can have a NUL.
fn quote(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => String::from("''"),
    }
}

/// What can stand at a `{}` of a template.
pub trait Argument {
    fn word(&self) -> Word;
}

impl Argument for Word {
    fn word(&self) -> Word {
        self.clone()
    }
}

impl<T: Argument + ?Sized> Argument for &T {
    fn word(&self) -> Word {
        (**self).word()
    }
}

macro_rules! arguments {
    ($( $kind:ty ),*) => {
        $( impl Argument for $kind {
            fn word(&self) -> Word {
                Word::new(self.to_string())
            }
        } )*
    };
}
arguments!(str, String, i32, i64, u16, u32, u64, usize, f64, jiff::Timestamp, serde_json::Value);

/// Words that belong together: an option with its value, or a command without its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Word>);

/// Looks, while the program is compiled, that a template has as many `{}` as it is given values.
pub const fn holes(template: &str, values: &[&str]) {
    let bytes = template.as_bytes();
    let (mut at, mut found) = (0, 0);
    while at + 1 < bytes.len() {
        if bytes[at] == b'{' && bytes[at + 1] == b'}' {
            found += 1;
        }
        at += 1;
    }
    assert!(found == values.len(), "the template and its values differ in number");
}

impl Words {
    /// For [`words!`], which counts the values.
    pub fn new(template: &'static str, values: &[Word]) -> Words {
        let mut values = values.iter();
        Words(template.split_whitespace().map(|word| fill(word, &mut values)).collect())
    }

    pub fn and(mut self, more: Words) -> Words {
        self.0.extend(more.0);
        self
    }

    pub fn args(mut self, values: impl IntoIterator<Item = impl Argument>) -> Words {
        self.0.extend(values.into_iter().map(|value| value.word()));
        self
    }
}

/// Fills in one word of a template.
fn fill<'a>(template: &'static str, values: &mut impl Iterator<Item = &'a Word>) -> Word {
    let mut word = Word::default();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("{}") {
            values.next().into_iter().flat_map(|value| &value.0).for_each(|part| {
                word.push(part.clone());
            });
            rest = after;
        } else if let Some(after) = rest.strip_prefix('$') {
            let end = after.find(|c: char| !c.is_ascii_uppercase() && c != '_');
            let (name, after) = after.split_at(end.unwrap_or(after.len()));
            word.push(Part::Needed(name));
            rest = after;
        } else {
            let end = rest.match_indices(['{', '$']).map(|(at, _)| at).find(|at| {
                *at > 0 && (rest[*at..].starts_with("{}") || rest[*at..].starts_with('$'))
            });
            let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
            word.push(Part::Text(text.into()));
            rest = after;
        }
    }
    word
}

/// One command line. It is the AWS CLI's, or another read-only tool's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Command {
    words: Vec<Word>,
    /// The file that gets what it prints.
    into: Option<&'static str>,
}

impl Command {
    /// For [`aws!`].
    pub fn aws(words: Words) -> Command {
        Command::of("aws", words)
    }

    /// A command of another program.
    pub fn of(program: &'static str, words: Words) -> Command {
        Command { words: [vec![Word::new(program)], words.0].concat(), into: None }
    }

    /// One more argument.
    pub fn arg(mut self, value: impl Argument) -> Command {
        self.words.push(value.word());
        self
    }

    pub fn args(mut self, values: impl IntoIterator<Item = impl Argument>) -> Command {
        self.words.extend(values.into_iter().map(|value| value.word()));
        self
    }

    /// More words at the end.
    pub fn and(mut self, words: Words) -> Command {
        self.words.extend(words.0);
        self
    }

    /// What it prints goes to a file that a later command reads.
    pub fn into_file(mut self, name: &'static str) -> Command {
        self.into = Some(name);
        self
    }

    /// The arguments as the program gets them.
    pub fn argv(&self) -> Vec<String> {
        self.words.iter().map(Word::raw).collect()
    }

    /// The words as a POSIX shell takes them: joined by blanks they are the command.
    pub fn shell_words(&self) -> Vec<String> {
        let into = self.into.map(|name| format!("> {name}"));
        self.words.iter().map(Word::quoted).chain(into).collect()
    }

    /// Variables that the user has to set before, each once.
    pub fn needs(&self) -> Vec<&'static str> {
        let mut needs = Vec::new();
        for part in self.words.iter().flat_map(|word| &word.0) {
            let named = match part {
                Part::Text(_) => Vec::new(),
                Part::Needed(name) => vec![*name],
                Part::Output(command) => command.needs(),
            };
            let new = |name: &&'static str| !needs.contains(name);
            let new: Vec<&'static str> = named.into_iter().filter(new).collect();
            needs.extend(new);
        }
        needs
    }

    /// The commands whose output is a word of this one.
    pub fn outputs(&self) -> impl Iterator<Item = &Command> {
        self.words.iter().flat_map(|word| &word.0).filter_map(|part| match part {
            Part::Output(command) => Some(&**command),
            Part::Text(_) | Part::Needed(_) => None,
        })
    }

    pub fn effect(&self) -> Effect {
        let word = |at: usize| self.words.get(at).and_then(Word::text).unwrap_or_default();
        if word(0) != "aws" {
            return Effect::Read;
        }
        let has = |option: &str| self.words.iter().any(|word| word.text() == Some(option));
        effect(word(1), word(2), has)
    }

    /// The same command for one region, and for one profile where the user gave it. What names a
    /// region of its own keeps it.
    pub fn at(mut self, region: &str, profile: Option<&str>) -> Command {
        let is = |at: usize, text: &str| self.words.get(at).and_then(Word::text) == Some(text);
        if is(0, "aws") && self.words.len() > 2 {
            let has_region = (3..self.words.len()).any(|at| is(at, "--region"));
            let mut place = match has_region || region.is_empty() {
                true => Words::default(),
                false => words!("--region {}", region),
            };
            if let Some(profile) = profile {
                place.0.extend(words!("--profile {}", profile).0);
            }
            self.words.splice(3..3, place.0);
            for part in self.words.iter_mut().flat_map(|word| &mut word.0) {
                if let Part::Output(command) = part {
                    **command = command.clone().at(region, profile);
                }
            }
        }
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shell_words().join(" "))
    }
}

/// Verbs of the AWS CLI that only show something.
const READS: &[&str] =
    &["describe-", "list-", "get-", "filter-", "lookup-", "simulate-", "batch-get-", "head-"];

/// Operations by which ECS replaces or stops tasks, and by which traffic may be cut.
const REPLACES_TASKS: &[(&str, &str)] = &[
    ("ecs", "update-express-gateway-service"),
    ("ecs", "stop-service-deployment"),
    ("ecs", "stop-task"),
    ("ecs", "continue-service-deployment"),
];
const INTERRUPTS_TRAFFIC: &[(&str, &str)] = &[
    ("elbv2", "delete-"),
    ("elbv2", "modify-listener"),
    ("elbv2", "modify-rule"),
    ("elbv2", "set-subnets"),
    ("elbv2", "set-security-groups"),
    ("elbv2", "deregister-targets"),
    ("ec2", "revoke-security-group-"),
    ("ec2", "replace-route"),
    ("ec2", "delete-"),
    ("servicediscovery", "deregister-instance"),
    ("wafv2", "associate-web-acl"),
    ("wafv2", "update-"),
    ("arc-zonal-shift", "start-zonal-shift"),
];

/// What an update of a service changes without replacing its tasks.
const GENTLE_UPDATES: &[&str] = &[
    "--desired-count",
    "--health-check-grace-period-seconds",
    "--deployment-configuration",
    "--availability-zone-rebalancing",
];

fn effect(service: &str, operation: &str, has: impl Fn(&str) -> bool) -> Effect {
    let is_of = |list: &[(&str, &str)]| {
        list.iter().any(|(of, verb)| *of == service && operation.starts_with(verb))
    };
    let updates_service = (service, operation) == ("ecs", "update-service");
    if READS.iter().any(|verb| operation.starts_with(verb))
        || (service, operation) == ("logs", "tail")
    {
        Effect::Read
    } else if is_of(INTERRUPTS_TRAFFIC) {
        Effect::InterruptsTraffic
    } else if is_of(REPLACES_TASKS)
        || (updates_service
            && (has("--force-new-deployment") || !GENTLE_UPDATES.iter().any(|option| has(option))))
    {
        Effect::ReplacesTasks
    } else {
        Effect::Write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_value_has_it_stays_one_argument() {
        for value in ["$(touch x)", "a b", "';id;'", "`id`", "", "{a,b}", "--x", "*", "é", "a\nb"]
        {
            let command = aws!("logs tail {} --since 2h", value);
            assert_eq!(command.argv(), ["aws", "logs", "tail", value, "--since", "2h"]);
            assert_eq!(shlex::split(&command.to_string()), Some(command.argv()), "{value}");
        }
    }

    #[test]
    fn a_value_stays_within_its_word() {
        let command = aws!("ec2 x --filters Name=vpc-id,Values={} --y {a={}}", "v 1", 2);
        assert_eq!(command.argv()[3..], ["--filters", "Name=vpc-id,Values=v 1", "--y", "{a=2}"]);
    }

    #[test]
    fn what_the_user_has_to_know_is_a_variable() {
        let command = aws!("ec2 create-route --nat-gateway-id $NAT_GATEWAY_ID --x a={}", "$HOME");
        assert_eq!(command.needs(), ["NAT_GATEWAY_ID"]);
        assert_eq!(
            command.to_string(),
            r#"aws ec2 create-route --nat-gateway-id "$NAT_GATEWAY_ID" --x 'a=$HOME'"#
        );
        assert_eq!(command.argv()[4], "$NAT_GATEWAY_ID");
    }

    #[test]
    fn what_another_command_prints_is_a_word() {
        let token = aws!("wafv2 get-ip-set --id {} --query LockToken", "a b");
        let command = aws!("wafv2 update-ip-set --lock-token {}", Word::output(token));
        assert_eq!(
            command.to_string(),
            "aws wafv2 update-ip-set --lock-token \"$(aws wafv2 get-ip-set --id 'a b' --query LockToken)\""
        );
    }

    #[test]
    fn the_region_follows_the_operation() {
        let place = |profile| aws!("ecs list-tasks --cluster {}", "x").at("eu-west-2", profile);
        assert_eq!(place(None).to_string(), "aws ecs list-tasks --region eu-west-2 --cluster x");
        assert_eq!(
            place(Some("my prod")).argv()[3..7],
            ["--region", "eu-west-2", "--profile", "my prod"]
        );
        let elsewhere = aws!("ecr describe-images --region us-east-1").at("eu-west-2", Some("x"));
        assert_eq!(elsewhere.to_string(), "aws ecr describe-images --profile x --region us-east-1");
        let other = Command::of("curl", words!("{} {} {}", 1, 2, 3));
        assert_eq!(other.clone().at("eu-west-2", Some("x")), other);
    }

    #[test]
    fn the_effect_is_that_of_the_operation() {
        for (command, effect) in [
            (aws!("ecs describe-tasks"), Effect::Read),
            (aws!("logs tail x"), Effect::Read),
            (aws!("ecs update-service --desired-count 1"), Effect::Write),
            (aws!("ecs update-service --task-definition a:1"), Effect::ReplacesTasks),
            (
                aws!("ecs update-service --desired-count 1 --force-new-deployment"),
                Effect::ReplacesTasks,
            ),
            (aws!("elbv2 modify-rule --x y"), Effect::InterruptsTraffic),
            (aws!("elbv2 modify-target-group --x y"), Effect::Write),
            (aws!("ec2 authorize-security-group-ingress"), Effect::Write),
            (aws!("ec2 revoke-security-group-ingress"), Effect::InterruptsTraffic),
        ] {
            assert_eq!(command.effect(), effect, "{command}");
        }
    }

    #[test]
    fn a_list_is_one_word() {
        assert_eq!(Word::list(["a", "b c"]).quoted(), "'a,b c'");
        assert_eq!(
            aws!("x y").and(words!("--z {}", Word::list(["a"]))).args(["b"]).arg(1).to_string(),
            "aws x y --z a b 1"
        );
    }
}
