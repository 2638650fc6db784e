//! Why a container ended, in the words of its own log: the line that decides, and what it means.
//! What a runtime says by its log may have followed from something that it does not know, so all of
//! this is likely and never certain. The lines by which it is known are in `signatures`.

mod signatures;

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use crate::snapshot::LogLine;
use crate::text::{parsed, pattern, shortened};

/// What a crash is about, and so where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    Architecture,
    OutOfMemory,
    /// AWS denied the app something, or it has no credentials: a matter of the task role.
    AwsDenied,
    /// ECS's endpoint for credentials on the task itself does not answer.
    CredentialsEndpoint,
    /// A database or cache rejected the user, or does not know what it requested.
    Login,
    /// A database or cache rejected the password.
    Password,
    Schema,
    Exhausted,
    Dns,
    /// The container's own host name does not resolve.
    OwnName,
    Refused,
    /// No answer: what a security group or a missing route does.
    Silent,
    Tls,
    MissingVariable,
    /// The image has the wrong version of what runs the app.
    Runtime,
    MissingModule,
    PortTaken,
    LowPort,
    Permission,
    ReadOnly,
    DiskFull,
    /// The limit of open files and connections.
    FileLimit,
    /// A setting of the kernel, which the host has and the container cannot change.
    HostSetting,
    Setting,
    Migration,
    /// The runtime names what ended it, which says what and not why.
    Uncaught,
    NotBooted,
}

impl CrashKind {
    /// Whether a line only says that something went wrong, and how little it tells: a line of a
    /// lower rank has the word.
    fn rank(self) -> u8 {
        match self {
            CrashKind::NotBooted => 3,
            CrashKind::Uncaught => 2,
            CrashKind::Migration => 1,
            _ => 0,
        }
    }

    /// Where to look, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            CrashKind::Architecture => {
                "Build the image for the CPU of the tasks, or set the image's CPU in runtimePlatform."
            }
            CrashKind::OutOfMemory => {
                "Set the runtime's own limit below the task's memory, or give the task more; then find out what grows."
            }
            CrashKind::AwsDenied => {
                "Allow the task role (not the execution role) the action in the log, and deploy again."
            }
            CrashKind::CredentialsEndpoint => {
                "The container must reach 169.254.170.2 directly: it is ECS's endpoint in the task itself, and security groups do not apply. Add it to NO_PROXY, look for iptables rules in the image, and on instances, check that the ECS agent runs."
            }
            CrashKind::Login | CrashKind::Password => {
                "Compare user, password and names with those in the secret that the task gets; it may have been rotated."
            }
            CrashKind::Schema => {
                "Run the migrations on the database that the task uses, then start it again."
            }
            CrashKind::Exhausted => {
                "Use fewer connections per task (a pool, or RDS Proxy), or raise the database's connection limit."
            }
            CrashKind::Dns => {
                "Compare the name with the one in the task definition, and check whether the VPC resolves it: a private hosted zone, Cloud Map, Service Connect."
            }
            CrashKind::OwnName => {
                "Have the app use localhost or an IP address, or set hostname and extraHosts in the task definition: it is the container's own name, which the VPC's DNS does not know."
            }
            CrashKind::Refused => {
                "Check whether it runs and listens there, and whether the task definition has the right address."
            }
            CrashKind::Silent => {
                "Check whether its security groups allow the task, and whether the subnet has a route to it: no answer usually means the network."
            }
            CrashKind::Tls => {
                "Compare the certificate and its name with what the app trusts, and check whether the other side requires TLS."
            }
            CrashKind::MissingVariable => {
                "Set the variable under environment or secrets of the container, and deploy again: it is likely missing."
            }
            CrashKind::Runtime => {
                "Use a base image with the version that the app was built for, and deploy again."
            }
            CrashKind::MissingModule => {
                "Add it to the image, and deploy again; the same image with the same command fails anywhere."
            }
            CrashKind::PortTaken => {
                "Use the port in one process only: the containers of a task share their ports in awsvpc mode."
            }
            CrashKind::LowPort => {
                "Have it listen on a port above 1023, with the port mapping and target group to match, or run it as root."
            }
            CrashKind::Permission => {
                "Allow the image's user to read, write or run what the log names."
            }
            CrashKind::ReadOnly => {
                "Give it a volume for what it writes, or set readonlyRootFilesystem to false."
            }
            CrashKind::DiskFull => {
                "Request more ephemeralStorage in the task definition, or have it write less."
            }
            CrashKind::FileLimit => {
                "Raise nofile in ulimits of the container definition, and find files or connections that are never closed."
            }
            CrashKind::HostSetting => {
                "Set it on the instances (sysctl in their user data); where that is not possible, as on Fargate, configure the app to do without it (node.store.allow_mmap: false, or discovery.type: single-node)."
            }
            CrashKind::Setting => {
                "Fix the configuration that the log names, build the image, and deploy again."
            }
            CrashKind::Migration => {
                "Look at the migration's own error in the log, and fix the migration or the database's state."
            }
            CrashKind::Uncaught | CrashKind::NotBooted => {
                "Read the log from this line on, and fix the app or what it needs."
            }
        }
    }
}

/// The line that decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Crash<'a> {
    pub kind: CrashKind,
    /// What it means, as a clause: `Node.js cannot find module 'express'`.
    pub words: String,
    pub line: &'a LogLine,
    /// The one line of it, where an event of the log has several.
    pub quote: &'a str,
}

impl Crash<'_> {
    /// Whether the words leave out what the line says after the type of an exception.
    pub fn leaves_out_the_message(&self) -> bool {
        let message = self.quote.split_once(": ").map(|(_, message)| message);
        matches!(self.kind, CrashKind::Uncaught | CrashKind::Migration)
            && message.is_some_and(|message| !self.words.contains(message))
    }
}

/// How long before its last word a container may have said why it ends: what it said before, it
/// survived.
const LAST_MOMENTS: SignedDuration = SignedDuration::from_mins(2);

/// Reads the end of one container's log, oldest line first.
pub fn read(lines: &[LogLine]) -> Option<Crash<'_>> {
    let last = lines.iter().rev().find_map(|line| line.timestamp);
    let recent = |line: &&LogLine| {
        line.timestamp.zip(last).is_none_or(|(at, last)| last.duration_since(at) <= LAST_MOMENTS)
    };
    let spoken: Vec<(&LogLine, &str)> = lines
        .iter()
        .filter(recent)
        .flat_map(|line| line.message.lines().map(move |text| (line, text.trim())))
        .collect();
    let crashes: Vec<(usize, Crash)> = spoken
        .iter()
        .enumerate()
        .filter_map(|(at, (line, text))| Some((at, one(line, text)?)))
        .collect();
    let best = crashes.iter().map(|(_, crash)| crash.kind.rank()).min()?;
    // The last of those that tell most: with "Caused by:" the deepest cause stands last. In Python
    // it stands first.
    let mut decisive: Vec<(usize, Crash)> =
        crashes.into_iter().filter(|(_, crash)| crash.kind.rank() == best).collect();
    while let [.., (before, _), (at, _)] = decisive.as_slice()
        && spoken[*before..*at]
            .iter()
            .any(|(_, text)| text.ends_with(CHAINED[0]) || text.starts_with(CHAINED[1]))
    {
        decisive.pop();
    }
    decisive.pop().map(|(_, crash)| crash)
}

/// Everything in a log that says what goes wrong, oldest first, also where the container goes on.
pub fn all(lines: &[LogLine]) -> impl Iterator<Item = Crash<'_>> {
    let spoken = lines.iter().flat_map(|line| line.message.lines().map(move |text| (line, text)));
    spoken.filter_map(|(line, text)| one(line, text.trim()))
}

/// What Python writes between an exception and the one that followed from it.
const CHAINED: [&str; 2] = [
    "the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred",
];

fn one<'a>(line: &'a LogLine, text: &'a str) -> Option<Crash<'a>> {
    if is_harmless(text) {
        return None;
    }
    let (signature, it) = signatures::of(text)?;
    let words = signature.words.replace("$it", &shortened(&it, LONGEST_PART));
    Some(Crash {
        kind: signature.kind,
        words: format!("{words}{}", served_at(&it)),
        line,
        quote: text,
    })
}

/// What the app itself does not call an error.
static HARMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING)\b|"?level"?\s*[=:]\s*"?(?i:trace|debug|info|notice|warn|10\b|20\b|30\b|40\b)"#,
    )
});
static GRAVE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b(?:ERROR|FATAL|CRITICAL|PANIC|SEVERE)\b"));

fn is_harmless(text: &str) -> bool {
    let is = |pattern: &LazyLock<Option<Regex>>| {
        pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
    };
    is(&HARMLESS) && !is(&GRAVE)
}

/// What usually listens on the port of an address: ` (the port of Postgres)`.
fn served_at(address: &str) -> String {
    let port = address.rsplit_once(':').and_then(|(_, port)| parsed::<u16>(port));
    let served = PORTS.iter().find(|(known, _)| port == Some(*known));
    served.map_or_else(String::new, |(_, name)| format!(" (the port of {name})"))
}

const PORTS: &[(u16, &str)] = &[
    (3306, "MySQL"),
    (5432, "Postgres"),
    (5672, "RabbitMQ"),
    (6379, "Redis"),
    (9092, "Kafka"),
    (9200, "OpenSearch"),
    (11211, "Memcached"),
    (27017, "MongoDB"),
];

/// As much as fits into a clause of what a signature finds in a line.
const LONGEST_PART: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;

    fn log(messages: &[&str]) -> Vec<LogLine> {
        messages
            .iter()
            .map(|message| LogLine {
                timestamp: Some(minutes_ago(2)),
                message: (*message).into(),
                ..LogLine::default()
            })
            .collect()
    }

    fn words(messages: &[&str]) -> Option<String> {
        read(&log(messages)).map(|crash| crash.words)
    }

    #[test]
    fn the_deepest_cause_has_the_word() {
        let java = [
            "APPLICATION FAILED TO START",
            "org.springframework.beans.factory.BeanCreationException: Error creating bean with name 'orders'",
            "\tat org.springframework.boot.SpringApplication.run(SpringApplication.java:343)",
            "Caused by: org.hibernate.exception.JDBCConnectionException: Unable to open JDBC Connection",
            "Caused by: java.net.UnknownHostException: db.internal: Name or service not known",
            "\t... 24 more",
        ];
        assert_eq!(words(&java).as_deref(), Some("the name db.internal does not resolve"));
        let python = [
            "Traceback (most recent call last):",
            "KeyError: 'DATABASE_URL'",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
            "[2026-11-22 02:57:00 +0000] [1] [ERROR] Reason: Worker failed to boot.",
        ];
        assert_eq!(words(&python).as_deref(), Some("the variable DATABASE_URL is not set"));
    }

    #[test]
    fn a_line_that_decides_stands_before_one_that_only_says_that_it_went_wrong() {
        let go = [
            "panic: dial tcp 10.0.9.9:6379: connect: connection refused",
            "goroutine 1 [running]:",
            "exit status 2",
        ];
        assert_eq!(
            words(&go).as_deref(),
            Some("10.0.9.9:6379 refuses the connection (the port of Redis)")
        );
        let migration = [
            "ERROR:  permission denied for table orders",
            "Error: P3018: A migration failed to apply.",
        ];
        assert_eq!(
            words(&migration).as_deref(),
            Some("its database user has no permission for orders")
        );
        let python = [
            "Traceback (most recent call last):",
            "ValueError: no orders",
            "[ERROR] Reason: Worker failed to boot.",
        ];
        assert_eq!(words(&python).as_deref(), Some("it ends with an uncaught ValueError"));
    }

    #[test]
    fn of_several_crashes_the_newest_counts() {
        let twice = [
            "Error: connect ECONNREFUSED 10.0.9.9:5432",
            "retrying",
            "Error: Cannot find module 'pg-native'",
        ];
        assert_eq!(words(&twice).as_deref(), Some("Node.js cannot find module 'pg-native'"));
    }

    #[test]
    fn what_the_app_calls_a_warning_or_has_survived_is_no_crash() {
        assert_eq!(words(&["WARN  cache: connection refused, going on without", "bye"]), None);
        assert_eq!(words(&[r#"{"level":30,"msg":"connect ECONNREFUSED 10.0.9.9:6379"}"#]), None);
        assert!(words(&["2026-11-22 INFO and ERROR: connection refused"]).is_some());
        let mut survived = log(&["Error: connect ECONNREFUSED 10.0.9.9:5432", "bye"]);
        survived[0].timestamp = Some(minutes_ago(9));
        assert_eq!(read(&survived), None);
    }

    #[test]
    fn of_an_event_with_a_whole_stack_one_line_is_quoted() {
        let stack = log(&[
            "Error: Cannot find module 'express'\nRequire stack:\n- /app/server.js\n    at Module._load",
        ]);
        assert_eq!(
            read(&stack).map(|crash| crash.quote),
            Some("Error: Cannot find module 'express'")
        );
    }

    #[test]
    fn a_long_part_is_cut() {
        let long = format!("panic: {}", "x".repeat(200));
        assert!(words(&[&long]).is_some_and(|words| words.ends_with("x…)")));
    }
}
