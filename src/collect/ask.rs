//! The one place where an outcome of the SDK becomes `Seen` or blind. It also counts the calls,
//! bounds how many go to one AWS service at a time, and ends each of them when the user's time is
//! up.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use checks::call::Call;
use checks::seen::{Blind, Seen, Why};
use checks::text::and_more;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::transport::BadAnswer;
use crate::mask;
use crate::report::plain;

/// How many calls one AWS service gets at the same time, so that a look at a service never
/// throttles its console.
const AT_ONCE: &[(&str, usize)] = &[
    ("ecs", 12),
    ("elasticloadbalancing", 10),
    ("ec2", 8),
    ("cloudwatch", 2),
    ("logs", 4),
    ("ecr", 6),
    ("acm", 4),
    ("application-autoscaling", 4),
    ("autoscaling", 4),
    ("cloudtrail", 1),
    ("iam", 4),
    ("rds", 4),
    ("elasticache", 4),
    ("secretsmanager", 4),
    ("servicediscovery", 4),
    ("wafv2", 4),
];

/// Error codes by which AWS says that IAM, or an organisation's policy, does not allow a call.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "Client.UnauthorizedOperation",
    "NotAuthorized",
];

/// Error codes by which AWS says that it does not accept the credentials themselves.
const NOT_WHO_YOU_SAY: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "OptInRequired",
];

/// Error codes by which AWS asks for patience; by the time we see one there was no more of it.
pub(super) const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "BandwidthLimitExceeded",
    "LimitExceededException",
];

/// What happened to all calls together.
#[derive(Default)]
pub struct Ledger {
    pub by_call: BTreeMap<Call, u32>,
    pub blind: BTreeSet<Blind>,
    /// What AWS or the SDK said about the credentials, if they were the trouble.
    pub credentials: Option<String>,
}

pub struct Asker {
    deadline: Instant,
    timeout_words: String,
    /// Calls that were made and have no answer yet.
    awaited: Mutex<BTreeMap<Call, u32>>,
    gates: BTreeMap<&'static str, Semaphore>,
    ledger: Mutex<Ledger>,
}

pub type Outcome<T, E> = Result<T, SdkError<E, HttpResponse>>;

type Request<'a, T, E> = std::pin::Pin<Box<dyn Future<Output = Outcome<T, E>> + 'a>>;

impl Asker {
    pub fn new(timeout: std::time::Duration) -> Asker {
        Asker {
            deadline: Instant::now() + timeout,
            timeout_words: format!("no answer within {} s", timeout.as_secs()),
            awaited: Mutex::default(),
            gates: AT_ONCE
                .iter()
                .map(|(service, permits)| (*service, Semaphore::new(*permits)))
                .collect(),
            ledger: Mutex::default(),
        }
    }

    /// When the user's patience ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is waited for, in words.
    pub fn waiting(&self) -> String {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let calls: Vec<&str> = awaited
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(call, _)| call.action())
            .collect();
        match calls.as_slice() {
            [] => "working".into(),
            calls => format!("waiting for {}", and_more(calls, 3)),
        }
    }

    fn note_awaited(&self, call: Call, change: impl FnOnce(u32) -> u32) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let count = awaited.entry(call).or_default();
        *count = change(*count);
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call. `Yes(None)` means that AWS answered: there is no such thing.
    ///
    /// The SDK's futures are tens of kilobytes large: boxed here, none of those that wait for them
    /// is.
    pub fn ask<'a, T, E>(
        &'a self,
        call: Call,
        request: impl Future<Output = Outcome<T, E>> + 'a,
    ) -> impl Future<Output = Seen<Option<T>>> + 'a
    where
        T: 'a,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.ask_boxed(call, Box::pin(request))
    }

    async fn ask_boxed<T, E>(&self, call: Call, request: Request<'_, T, E>) -> Seen<Option<T>>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.note_awaited(call, |count| count + 1);
        let answer = tokio::time::timeout_at(self.deadline, self.send(call, request)).await;
        self.note_awaited(call, |count| count.saturating_sub(1));
        let seen = match answer {
            Ok(Ok(value)) => Seen::Yes(Some(value)),
            Ok(Err(error)) => self.explain(&error),
            Err(_) => Seen::No(Why::NoAnswer(self.timeout_words.clone())),
        };
        if let Seen::No(why) = &seen {
            tracing::info!(
                call = call.action(),
                why = %why.blindness(),
                message = why.message().map(plain),
                "blind"
            );
            self.ledger().blind.insert(Blind { call, why: why.clone() });
        }
        seen
    }

    async fn send<T, E>(&self, call: Call, request: Request<'_, T, E>) -> Outcome<T, E> {
        let service = call.action().split(':').next().unwrap_or_default();
        // A semaphore that is never closed always gives its permit.
        let _permit = match self.gates.get(service) {
            Some(gate) => gate.acquire().await.ok(),
            None => None,
        };
        *self.ledger().by_call.entry(call).or_default() += 1;
        let began = Instant::now();
        let outcome = request.await;
        tracing::info!(
            call = call.action(),
            ms = began.elapsed().as_millis() as u64,
            ok = outcome.is_ok(),
            "asked"
        );
        outcome
    }

    /// Asks page by page. A page that is refused makes the whole list unseen: a part of a list
    /// proves no absence.
    pub async fn pages<T, E, Fut>(
        &self,
        call: Call,
        mut page: impl FnMut(Option<String>) -> Fut,
    ) -> Seen<Option<Vec<T>>>
    where
        E: ProvideErrorMetadata + Error + 'static,
        Fut: Future<Output = Outcome<(Vec<T>, Option<String>), E>>,
    {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            match self.ask(call, page(token.clone())).await {
                Seen::Yes(Some((items, next))) => {
                    all.extend(items);
                    let next = next.filter(|next| !next.is_empty());
                    if next.is_none() || next == token {
                        return Seen::Yes(Some(all));
                    }
                    token = next;
                }
                Seen::Yes(None) => return Seen::Yes(None),
                Seen::No(why) => return Seen::No(why),
            }
        }
    }

    fn explain<T, E>(&self, error: &SdkError<E, HttpResponse>) -> Seen<Option<T>>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let why = match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or_default();
                let message = &mask::reason(service.err().message().unwrap_or_default());
                let status = service.raw().status().as_u16();
                if is_not_found(code, message) {
                    return Seen::Yes(None);
                }
                by_code(code, message, status, || {
                    self.note_credentials(&format!("{code}: {message}"))
                })
            }
            SdkError::ResponseError(_) => {
                Why::Unreadable(format!("the reply could not be read: {}", root_of(error)))
            }
            SdkError::TimeoutError(_) => Why::NoAnswer("no answer in time".into()),
            _ => {
                if let Some(bad) = find::<BadAnswer>(error) {
                    Why::Unreadable(format!("the reply could not be read: {bad}"))
                } else if let Some(credentials) = find::<CredentialsError>(error) {
                    self.note_credentials(&in_short(credentials));
                    Why::NoAnswer("no usable credentials".into())
                } else {
                    Why::NoAnswer(format!("AWS could not be reached: {}", root_of(error)))
                }
            }
        };
        Seen::No(why)
    }

    fn note_credentials(&self, message: &str) {
        self.ledger().credentials.get_or_insert_with(|| message.to_owned());
    }
}

fn by_code(code: &str, message: &str, status: u16, note_credentials: impl FnOnce()) -> Why {
    let said = if message.is_empty() { code.to_owned() } else { message.to_owned() };
    if DENIED.contains(&code) {
        Why::Denied(said)
    } else if THROTTLED.contains(&code) || status == 429 {
        Why::NoAnswer(format!("throttled: {said}"))
    } else if NOT_WHO_YOU_SAY.contains(&code) {
        note_credentials();
        Why::NoAnswer(format!("{code}: {said}"))
    } else if status >= 500 {
        Why::NoAnswer(format!("AWS failed with HTTP {status} {said}").trim_end().to_owned())
    } else if code.is_empty() {
        Why::Unreadable(format!("the reply could not be read (HTTP {status})"))
    } else {
        Why::Unreadable(format!("AWS did not take the request: {code}: {message}"))
    }
}

/// Not-found is an answer. AWS spells it in a different way in each service.
fn is_not_found(code: &str, message: &str) -> bool {
    code.ends_with("NotFound")
        || code.ends_with("NotFoundFault")
        || code.ends_with("NotFoundException")
        || code == "NoSuchEntity"
        || (code == "ClientException" && message.starts_with("Unable to describe task definition"))
}

/// The first error of a type in a chain of errors.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The innermost error, which is the one that says what went wrong.
pub(super) fn root_of(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(|root| mask::reason(&root.to_string())).unwrap_or_default()
}

pub(super) fn in_short(error: &CredentialsError) -> String {
    let root = root_of(error);
    if root.contains("no providers in chain")
        || matches!(error, CredentialsError::CredentialsNotLoaded(_))
    {
        "none were found in the environment, the profile, SSO, the container or the instance".into()
    } else {
        root
    }
}
