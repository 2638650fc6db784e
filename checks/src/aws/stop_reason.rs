//! Why a task did not start or did not stay, in AWS's own words: the step that failed and the fault
//! behind it. The tail of a long reason counts before its head: a secrets message may be a network
//! fault, a log message may be IAM. The words are in `table`; what else hinders a step, with advice
//! of its own, is in `hindrances`.

mod hindrances;
#[cfg(test)]
mod literals;
mod table;

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

pub use self::hindrances::Hindrance;
use crate::text::{parsed, pattern};

/// What a reason says is wrong: each has a check of its own, or shares one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    ImageNotFound,
    ImagePullDenied,
    RegistryUnreachable,
    RegistryRateLimited,
    WrongArchitecture,
    DiskFull,
    SecretDenied,
    SecretMissing,
    SecretMalformed,
    SecretStoreUnreachable,
    LogGroupMissing,
    LogsDenied,
    LogsUnreachable,
    /// What the driver writes to instead of CloudWatch: Fluentd, FireLens, Splunk, syslog, GELF.
    LogDestinationUnreachable,
    LogOptionsWrong,
    RoleNotAssumable,
    OutOfMemory,
    DependencyNeverReady,
    ContainerCannotStart,
    NoInstanceFits,
    AgentDisconnected,
    CapacityProviderEmpty,
    FargateCapacityUnavailable,
    QuotaReached,
    SubnetFull,
    InterfaceNotProvisioned,
    ZoneUnsupported,
    FileSystemNotMounted,
    VolumeNotAttached,
    EnvironmentFileUnreadable,
    ComputeIncompatible,
    ServiceLinkedRoleBroken,
    /// A connection of the app itself failed: its log says so, and no reason of ECS's.
    AppUnreached,
    DiscoveryNotProvisioned,
    LaunchDenied,
    /// ECS itself could not launch an instance for a capacity provider.
    LaunchFailed,
}

impl Trouble {
    /// Whether it keeps ECS from launching a task at all, so that a task which was launched since
    /// then shows that it is over.
    pub fn is_of_placement(self) -> bool {
        matches!(
            self,
            Trouble::NoInstanceFits
                | Trouble::AgentDisconnected
                | Trouble::CapacityProviderEmpty
                | Trouble::FargateCapacityUnavailable
                | Trouble::QuotaReached
                | Trouble::ZoneUnsupported
                | Trouble::RoleNotAssumable
                | Trouble::LaunchDenied
                | Trouble::LaunchFailed
        )
    }
}

/// What ECS was about to do when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Pull,
    RegistryAuth,
    Secret,
    /// One of the two, and the text does not say which.
    SecretOrRegistryAuth,
    Log,
    EnvironmentFile,
    FileSystem,
    Container,
    /// FireLens, Fluentd and other drivers that do not write to CloudWatch.
    LogRouter,
    Interface,
    /// Instances for a capacity provider.
    Launch,
    /// Reading the task definition, before anything is placed.
    TaskDefinition,
    /// Anything else that the agent does.
    Agent,
}

impl Step {
    /// What failed, as the subject of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Step::Pull => "pulling the image",
            Step::RegistryAuth => "logging in to the registry",
            Step::Secret => "fetching a secret",
            Step::SecretOrRegistryAuth => "fetching secrets or logging in to the registry",
            Step::Log => "setting up the log driver",
            Step::LogRouter => "setting up FireLens or the log driver",
            Step::EnvironmentFile => "fetching an environment file",
            Step::FileSystem => "mounting a volume",
            Step::Container => "starting a container",
            Step::Interface => "creating the task's network interface",
            Step::Launch => "launching an instance",
            Step::TaskDefinition => "launching a task",
            Step::Agent => "a step of the ECS agent",
        }
    }

    /// Where to look when the words say no more.
    pub fn advice(self) -> &'static str {
        match self {
            Step::Pull | Step::RegistryAuth => {
                "Pull the image elsewhere by the same name: if that also fails, fix the image, its name or the registry."
            }
            Step::Secret | Step::SecretOrRegistryAuth => {
                "Compare valueFrom and repositoryCredentials in the task definition with the secret, and check whether Secrets Manager or Parameter Store throttles."
            }
            Step::Log => {
                "Compare logConfiguration in the task definition with the log driver's options."
            }
            Step::LogRouter => {
                "Check whether the log router container is in the task, starts first (dependsOn) and can read its configuration; CloudWatch is not involved."
            }
            Step::EnvironmentFile => {
                "Compare environmentFiles in the task definition with the bucket."
            }
            Step::FileSystem => {
                "Compare volumes and mountPoints in the task definition with the file system."
            }
            Step::Container => {
                "Compare what the message names (limits, devices, ports, user, mounts or memory) in the task definition and on the instance."
            }
            Step::Interface => {
                "Compare the service's subnets and security groups with those that exist: one of them was deleted."
            }
            Step::Launch => {
                "Add instance types, subnets or capacity to the capacity provider, or try again later."
            }
            Step::TaskDefinition => "Check which revisions of the task definition are active.",
            Step::Agent => "Read the ECS agent's log on the instance.",
        }
    }
}

/// What went wrong with it: what the tail of a reason tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Space,
    Platform,
    RateLimit,
    /// The encryption key may not be used.
    Key,
    Denied,
    Network,
    Missing,
    /// The secret is there, and no JSON that could have the key.
    NotJson,
    /// It is there, and not in the form that ECS can read.
    Malformed,
}

/// What one text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub trouble: Trouble,
    pub step: Option<Step>,
    pub fault: Option<Fault>,
}

/// Reads a stopped task's reason, a container's reason or a service event; none where nothing is
/// certain.
pub fn read(text: &str) -> Option<Reason> {
    let (mut whole, mut step, mut fault) = (None, None, None);
    for clue in table::clues(text) {
        match clue {
            table::Clue::Whole(trouble) => whole = whole.or(Some(trouble)),
            table::Clue::Step(one) => step = step.or(Some(one)),
            table::Clue::Fault(one) => fault = fault.or(Some(one)),
            // Of whole troubles that stand before it in the table, one has the word.
            table::Clue::Quoted(_) if whole.is_none() => return None,
            table::Clue::Quoted(_) => {}
        }
    }
    let trouble = match whole {
        Some(trouble) => trouble,
        // Of a pull, what hinders it has the word before what its words mean elsewhere.
        None if step == Some(Step::Pull) && hindrance(text).is_some() => return None,
        None => together(step?, fault)?,
    };
    Some(Reason { trouble, step, fault })
}

/// What ECS was about to do when it failed, also where nobody knows what the fault was.
pub fn step(text: &str) -> Option<Step> {
    table::clues(text).find_map(|clue| match clue {
        table::Clue::Step(step) | table::Clue::Quoted(step) => Some(step),
        table::Clue::Whole(_) | table::Clue::Fault(_) => None,
    })
}

/// What hinders the step that the text is about, where it is more than that it failed.
pub fn hindrance(text: &str) -> Option<&'static Hindrance> {
    hindrances::of(step(text)?, text)
}

/// What a step and its fault amount to; none where the text was cut off before it.
fn together(step: Step, fault: Option<Fault>) -> Option<Trouble> {
    Some(match (step, fault) {
        (_, Some(Fault::Space)) => Trouble::DiskFull,
        (Step::Pull | Step::Container, Some(Fault::Platform)) => Trouble::WrongArchitecture,
        (Step::EnvironmentFile, _) => Trouble::EnvironmentFileUnreadable,
        (Step::FileSystem, _) => Trouble::FileSystemNotMounted,
        (Step::Container, _) => Trouble::ContainerCannotStart,
        (Step::Pull, Some(Fault::RateLimit)) => Trouble::RegistryRateLimited,
        (Step::Pull | Step::RegistryAuth, Some(Fault::Denied | Fault::Key)) => {
            Trouble::ImagePullDenied
        }
        (Step::Pull | Step::RegistryAuth | Step::SecretOrRegistryAuth, Some(Fault::Network)) => {
            Trouble::RegistryUnreachable
        }
        (Step::Pull, Some(Fault::Missing)) => Trouble::ImageNotFound,
        (Step::Secret, Some(Fault::Denied | Fault::Key)) => Trouble::SecretDenied,
        (Step::Secret, Some(Fault::Network)) => Trouble::SecretStoreUnreachable,
        // A key cannot be in what is no JSON: to the task it is missing all the same.
        (Step::Secret, Some(Fault::Missing | Fault::NotJson)) => Trouble::SecretMissing,
        (Step::Secret, Some(Fault::Malformed)) => Trouble::SecretMalformed,
        (Step::Log, Some(Fault::Denied | Fault::Key)) => Trouble::LogsDenied,
        (Step::Log, Some(Fault::Network)) => Trouble::LogsUnreachable,
        (Step::Log, Some(Fault::Missing)) => Trouble::LogGroupMissing,
        (Step::Log, _) => Trouble::LogOptionsWrong,
        (
            Step::Pull
            | Step::RegistryAuth
            | Step::Secret
            | Step::SecretOrRegistryAuth
            | Step::LogRouter
            | Step::Interface
            | Step::Launch
            | Step::TaskDefinition
            | Step::Agent,
            _,
        ) => return None,
    })
}

/// Whom IAM refused what, as far as the words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused<'a> {
    pub role: Option<&'a str>,
    pub action: Option<&'a str>,
    pub resource: Option<&'a str>,
}

static ROLE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"assumed-role/(?<it>[^/\s]+)/"));
static ACTION: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"perform: (?<it>[a-z0-9-]+:[A-Za-z]+)"));
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"on resource: (?<it>\S+)"));

/// What a pattern calls `it` in a text.
pub fn part<'a>(pattern: &LazyLock<Option<Regex>>, text: &'a str) -> Option<&'a str> {
    pattern.as_ref()?.captures(text)?.name("it").map(|found| found.as_str())
}

pub fn refused(text: &str) -> Refused<'_> {
    Refused {
        role: part(&ROLE, text),
        action: part(&ACTION, text),
        resource: part(&RESOURCE, text),
    }
}

/// Where a connection went that failed, as far as the words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Address(IpAddr),
    /// A name that did not resolve: that is no matter of routes.
    Unresolved,
    Unknown,
}

static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"dial (?:tcp|udp) \[?(?<it>[0-9a-f.:]+?)\]?:\d+(?:[:\s]|$)"));

pub fn destination(text: &str) -> Destination {
    match part(&ADDRESS, text).and_then(parsed) {
        Some(address) => Destination::Address(address),
        None if text.contains("dial tcp: lookup") || text.contains("no such host") => {
            Destination::Unresolved
        }
        None => Destination::Unknown,
    }
}

/// As much of AWS's words as fits into a sentence.
const QUOTED: usize = 160;

/// AWS's words, cut to what fits into a sentence: the beginning, and of a long one the end, which
/// tells most.
pub fn quoted(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<char> = words.trim_end_matches('.').chars().collect();
    if words.len() <= QUOTED {
        return words.into_iter().collect();
    }
    let (head, tail) = (&words[..QUOTED / 3], &words[words.len() - QUOTED * 2 / 3..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_address_that_did_not_answer() {
        let address = |text| Destination::Address(parsed(text).unwrap());
        assert_eq!(
            destination("Post \"https://x/\": dial tcp 52.94.53.1:443: i/o timeout"),
            address("52.94.53.1")
        );
        assert_eq!(
            destination("dial tcp [2600:1f18::1]:443: i/o timeout"),
            address("2600:1f18::1")
        );
        assert_eq!(
            destination(
                "dial tcp: lookup api.ecr.eu-west-2.amazonaws.com on 10.0.0.2:53: no such host"
            ),
            Destination::Unresolved
        );
        assert_eq!(destination("context deadline exceeded"), Destination::Unknown);
    }

    #[test]
    fn names_role_action_and_resource_that_iam_refused() {
        let text = "User: arn:aws:sts::1:assumed-role/exec/01 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:x because";
        let refused = refused(text);
        assert_eq!(
            (refused.role, refused.action, refused.resource),
            (Some("exec"), Some("ecr:BatchGetImage"), Some("arn:aws:ecr:x"))
        );
    }

    #[test]
    fn of_a_long_reason_the_beginning_and_the_end_are_quoted() {
        assert_eq!(quoted(" Cannot  pull\nit.. "), "Cannot pull it");
        assert_eq!(quoted(&"x".repeat(160)), "x".repeat(160));
        let long = format!("{}{}", "a".repeat(100), "z".repeat(110));
        assert_eq!(quoted(&long), format!("{}…{}", "a".repeat(53), "z".repeat(106)));
    }

    #[test]
    fn a_name_did_not_resolve_by_either_word() {
        for text in ["dial tcp: lookup x on 10.0.0.2:53: i/o timeout", "x: no such host"] {
            assert_eq!(destination(text), Destination::Unresolved, "{text}");
        }
    }
}
