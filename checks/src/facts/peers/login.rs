//! Logins that a database or cache refuses now, as apps log them, and the secrets of Secrets
//! Manager that a container gets when its task starts. What the dates of a secret have to do with a
//! refusal is for a check to say.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::aws::arn::Arn;
use crate::aws::crash::{self, Crash, CrashKind};
use crate::aws::time;
use crate::call::{Call, LOG_STREAM};
use crate::facts::tasks::container_log::{self, Stream};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::{Blind, See, Unseen};
use crate::snapshot::InjectedSecret;

/// A container whose login is refused.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    pub stream: Stream<'a>,
    /// The first line in its log that says it, and when that was.
    pub first: Crash<'a>,
    pub since: Timestamp,
}

/// The containers whose logs of the last hour say that a password was refused.
pub fn refused<'a>(patient: &Patient<'a>, notes: &mut impl See) -> Vec<Refused<'a>> {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let streams = notes.see(container_log::streams(patient)).unwrap_or_default();
    let mut refused = Vec::new();
    for stream in streams {
        let lines = notes.see(patient.log_lines(stream.group, &stream.stream)).unwrap_or_default();
        let mut said = crash::all(lines).filter(|crash| crash.kind == CrashKind::Password);
        let dated = |crash: Crash<'a>| crash.line.timestamp.map(|at| (crash, at));
        let Some((first, since)) = said.next().and_then(dated) else { continue };
        let last = said.filter_map(|crash| crash.line.timestamp).max().unwrap_or(since);
        if last >= hour_ago {
            refused.push(Refused { stream, first, since });
        }
    }
    refused
}

impl Refused<'_> {
    pub fn evidence(&self) -> Evidence {
        let of = format!("{}{LOG_STREAM}{}", self.stream.group, self.stream.stream);
        Evidence::new(Call::GetLogEvents, of, "events.message", self.first.quote)
            .at(self.first.line.timestamp)
    }
}

/// A variable that has its value from a secret of the service's region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Injected<'a> {
    /// The ARN of the secret.
    pub secret: &'a str,
    pub variable: &'a str,
    pub value_from: &'a str,
}

/// The variables that a container of a version has from secrets, in whatever version is current
/// when its task starts.
pub fn injected<'a>(
    patient: &Patient<'a>,
    task_definition: &str,
    container: &str,
) -> Result<Vec<Injected<'a>>, Blind> {
    let definition = patient.task_definition(task_definition)?;
    let containers = definition.iter().flat_map(|definition| &definition.container_definitions);
    let ours = containers.filter(|one| one.name == container);
    let secrets = ours.flat_map(|container| &container.injected_secrets);
    Ok(secrets.filter_map(|from| read(from, patient.region())).collect())
}

/// Whether any variable of the current versions has its value from a secret.
pub fn is_any_injected(patient: &Patient) -> Result<bool, Blind> {
    for definition in patient.service().definitions() {
        let definition = patient.task_definition(definition)?;
        let containers = definition.iter().flat_map(|definition| &definition.container_definitions);
        let mut secrets = containers.flat_map(|container| &container.injected_secrets);
        if secrets.any(|from| read(from, patient.region()).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read<'a>(from: &'a InjectedSecret, region: &str) -> Option<Injected<'a>> {
    let secret = current(&from.value_from, region)?;
    Some(Injected { secret, variable: &from.name, value_from: &from.value_from })
}

/// The secret whose current version a `valueFrom` names:
/// `arn:aws:secretsmanager:region:account:secret:name-AbCdEf:json-key:version-stage:version-id`.
/// None where it names a version of its own, or a secret of another region, which is not asked.
fn current<'a>(value_from: &'a str, region: &str) -> Option<&'a str> {
    let end = value_from.match_indices(':').nth(6).map_or(value_from.len(), |(at, _)| at);
    let (secret, behind) = value_from.split_at(end);
    let behind: Vec<&str> = behind.split(':').skip(2).collect();
    let is_current = matches!(behind[..], [] | ["" | "AWSCURRENT"] | ["" | "AWSCURRENT", ""]);
    (is_current && Arn::read(secret)?.region == region).then_some(secret)
}

/// The secrets that may have to do with refused logins: the collector asks for just these.
pub fn secrets_in_question(patient: &Patient) -> BTreeSet<String> {
    let mut unseen = Unseen::default();
    let mut secrets = BTreeSet::new();
    for Refused { stream, .. } in refused(patient, &mut unseen) {
        let injected = injected(patient, &stream.task.task_definition_arn, stream.container);
        let injected = unseen.see(injected).unwrap_or_default();
        secrets.extend(injected.into_iter().map(|one| one.secret.to_owned()));
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::log;
    use crate::baseline::{self, id};
    use crate::snapshot::Snapshot;
    use crate::testing::of;

    #[test]
    fn of_what_a_variable_has_its_value_from_only_the_current_version_of_a_secret_counts() {
        let secret = id::secret("orders-db");
        let is = |behind: &str, secret: Option<&str>| {
            let value_from = format!("{}{behind}", id::secret("orders-db"));
            assert_eq!(current(&value_from, "eu-west-2"), secret, "{behind}");
        };
        for behind in ["", ":password::", ":password:AWSCURRENT:", ":::", ":password"] {
            is(behind, Some(&secret));
        }
        for behind in [":password:AWSPREVIOUS:", ":::9d4cb84b-ad69-40c0-a0ab-cead36b967e8"] {
            is(behind, None);
        }
        assert_eq!(current(&secret, "us-east-1"), None, "another region");
        assert_eq!(current("orders-db", "eu-west-2"), None);
    }

    #[test]
    fn only_a_refused_password_puts_a_secret_in_question() {
        let asked = |snapshot: &Snapshot| of(snapshot, secrets_in_question);
        let with = |line: &str| {
            let mut snapshot = baseline::worker();
            log(&mut snapshot, line);
            asked(&snapshot).into_iter().collect::<Vec<_>>()
        };
        assert!(asked(&baseline::worker()).is_empty());
        let refused = r#"FATAL:  password authentication failed for user "app""#;
        assert_eq!(with(refused), [id::secret("mailer-db")]);
        assert_eq!(
            with("Access denied for user 'app'@'10.0.11.37' (using password: YES)"),
            [id::secret("mailer-db")]
        );
        for other in ["ERROR:  permission denied for table orders", "connect ETIMEDOUT 10.0.21.5"] {
            assert!(with(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_refusal_that_is_long_past_is_none() {
        let mut snapshot = baseline::worker();
        log(&mut snapshot, "ERROR 1045 (28000): Access denied for user 'app'@'10.0.11.37'");
        snapshot.taken_at += SignedDuration::from_hours(2);
        assert!(of(&snapshot, secrets_in_question).is_empty());
    }
}
