//! The way to AWS and back, beneath the SDK. Who is asked for patience waits, as long as the user
//! does, and lets the others wait, too: the SDK would give up after three attempts, most of the
//! time being left. And an answer is read to its end, within bounds, before the SDK takes it for
//! one.

mod answer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use tokio::time::Instant;

pub use answer::BadAnswer;

/// More than any answer that we ask for has.
const LARGEST: usize = 32 << 20;
/// The first pause when AWS asks for patience; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What all connectors of a run share.
#[derive(Debug)]
struct Shared {
    /// How long one attempt may take, with its answer.
    attempt: Duration,
    /// When the user's patience ends; known when there are credentials.
    until: OnceLock<Instant>,
    /// By host: when it may be asked again.
    not_before: Mutex<BTreeMap<String, Instant>>,
}

#[derive(Clone, Debug)]
pub struct Transport {
    inner: SharedHttpClient,
    shared: Arc<Shared>,
}

impl Transport {
    pub fn new(attempt: Duration) -> Transport {
        let tls = Provider::Rustls(CryptoMode::AwsLc);
        let shared = Shared { attempt, until: OnceLock::new(), not_before: Mutex::default() };
        Transport {
            inner: Builder::new().tls_provider(tls).build_https(),
            shared: Arc::new(shared),
        }
    }

    /// From now on the user waits no longer than that.
    pub fn until(&self, deadline: Instant) {
        self.shared.until.get_or_init(|| deadline);
    }
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Line {
            inner: self.inner.http_connector(settings, components),
            shared: Arc::clone(&self.shared),
        })
    }
}

#[derive(Clone, Debug)]
struct Line {
    inner: SharedHttpConnector,
    shared: Arc<Shared>,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let line = self.clone();
        HttpConnectorFuture::new(async move { line.patiently(request).await })
    }
}

impl Line {
    /// Asks until there is an answer that does not ask for patience, or no time for another.
    async fn patiently(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let host = request.uri().split('/').nth(2).unwrap_or_default().to_owned();
        let mut pause = FIRST_PAUSE;
        loop {
            self.turn(&host).await;
            let again = request.try_clone();
            let (response, says_wait) = self.attempt(request.try_clone()).await?;
            let ends = self.shared.until.get().copied();
            let is_last = ends.is_none_or(|ends| Instant::now() + pause >= ends);
            if !says_wait || is_last || again.is_none() {
                return Ok(response);
            }
            self.postpone(&host, pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until the host may be asked again.
    async fn turn(&self, host: &str) {
        loop {
            let not_before = self.not_before().get(host).copied();
            match not_before.filter(|at| *at > Instant::now()) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => return,
            }
        }
    }

    fn postpone(&self, host: &str, pause: Duration) {
        let at = Instant::now() + pause;
        let mut not_before = self.not_before();
        let entry = not_before.entry(host.to_owned()).or_insert(at);
        *entry = at.max(*entry);
    }

    fn not_before(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
        self.shared.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(
        &self,
        request: Option<HttpRequest>,
    ) -> Result<(HttpResponse, bool), ConnectorError> {
        let Some(request) = request else {
            return Err(ConnectorError::user("a request that cannot be sent twice".into()));
        };
        let asked = answer::Asked::of(&request);
        let answered = async {
            let response = self.inner.call(request).await?;
            whole(response, &asked).await
        };
        let late = || ConnectorError::timeout("no answer in time".into());
        tokio::time::timeout(self.shared.attempt, answered).await.map_err(|_| late())?
    }
}

/// The answer with all of its body, and whether it asks for patience.
async fn whole(
    mut response: HttpResponse,
    asked: &answer::Asked,
) -> Result<(HttpResponse, bool), ConnectorError> {
    let mut stream = ByteStream::new(std::mem::replace(response.body_mut(), SdkBody::empty()));
    let mut body: Vec<u8> = Vec::new();
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| ConnectorError::io(error.into()))?;
        if body.len() + bytes.len() > LARGEST {
            return Err(unreadable(BadAnswer("it is larger than any answer is".into())));
        }
        body.extend_from_slice(&bytes);
    }
    let says_wait = match response.status().is_success() {
        true => {
            asked.judge(&body).map_err(unreadable)?;
            false
        }
        false => answer::asks_for_patience(response.status().as_u16(), &body),
    };
    *response.body_mut() = SdkBody::from(body);
    Ok((response, says_wait))
}

/// What was answered wrongly once would be so again: no kind, and so no other attempt.
fn unreadable(bad: BadAnswer) -> ConnectorError {
    ConnectorError::other(bad.into(), None)
}
