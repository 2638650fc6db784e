//! How many round trips the collection is deep, measured without a clock: every answer is held back
//! until nothing more can be asked without one, then all of them are given at once. Each such wave
//! is one round trip.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::ask::Asker;
use super::find::{Target, find};
use super::{Aws, collect};

#[path = "../../tests/run/wire.rs"]
#[expect(dead_code, reason = "the tests of the binary use the rest")]
mod wire;

/// Answers from an account of `tests/wire`, without a network, when the wave comes.
#[derive(Clone)]
struct Held {
    account: Arc<wire::Account>,
    /// What is asked, and how to let its answer go.
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

type Waiting = (String, futures::channel::oneshot::Sender<()>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl HttpConnector for Held {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (go, wave) = futures::channel::oneshot::channel();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let call = request.headers().get("x-amz-target").unwrap_or(request.uri());
        self.waiting.lock().unwrap().push((format!("{call} {body}"), go));
        let account = Arc::clone(&self.account);
        HttpConnectorFuture::new(async move {
            wave.await.unwrap();
            let headers = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>();
            let path = request
                .uri()
                .split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .map_or_else(|| "/".into(), |(_, path)| format!("/{path}"));
            let (status, headers, body) =
                account.answer_here(&path, &headers, request.body().bytes().unwrap_or_default());
            let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
            for (name, value) in headers {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

impl HttpClient for Held {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A waker that only remembers that it was called.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waves of answers until the service is found and everything is collected.
fn waves(account: &str, typed: &str) -> Vec<Vec<String>> {
    let held = Held { account: Arc::new(wire::Account::start(account)), waiting: Arc::default() };
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-2"))
        .endpoint_url("http://127.0.0.1:9")
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIDEXAMPLE",
            "example",
            None,
            None,
            "test",
        )))
        .http_client(SharedHttpClient::new(held.clone()))
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let aws = Aws::new(&config, Asker::new(Duration::from_secs(60)), true).unwrap();
        let now = held.account.now().parse().unwrap();
        let target = Target::parse(typed, None).unwrap();
        let mut work = pin!(async {
            let service = find(&aws, &target).await.unwrap();
            collect(&aws, service, now).await
        });
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut waves: Vec<Vec<String>> = Vec::new();
        poll_fn(|_| {
            loop {
                flag.0.store(false, Ordering::SeqCst);
                if work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return Poll::Ready(std::mem::take(&mut waves));
                }
                if flag.0.load(Ordering::SeqCst) {
                    continue;
                }
                let wave: Vec<_> = std::mem::take(&mut *held.waiting.lock().unwrap());
                assert!(!wave.is_empty(), "nothing is asked and nothing is done");
                waves.push(wave.iter().map(|(call, _)| call.clone()).collect());
                wave.into_iter().for_each(|(_, go)| assert!(go.send(()).is_ok()));
            }
        })
        .await
    })
}

#[test]
fn a_service_is_diagnosed_in_five_round_trips() {
    for (account, typed) in [
        ("fargate", "api"),
        ("ec2", "web"),
        ("port-80-is-enough", "web"),
        ("worker", "mailer"),
        ("express", "api"),
        ("naff", "api"),
        ("protected", "api"),
        ("locked-out-by-the-web-acl", "api"),
        ("group-at-its-maximum", "web"),
        ("secret-denied", "mailer"),
        ("database", "api"),
        ("connected", "mailer"),
    ] {
        let waves = waves(account, typed);
        assert!(
            waves.len() <= 5,
            "{account}: {} round trips one after another: {waves:#?}",
            waves.len()
        );
    }
}

/// Where a variable names a host that may be a sibling's, the load balancers of the VPC are asked
/// about as well; and where one has it, what guards that.
#[test]
fn a_call_of_a_sibling_by_its_public_name_costs_two_more() {
    for (account, typed) in [
        ("neighbour-around-the-world", "mailer"),
        ("the-allow-list-and-the-dashboard", "dashboard"),
        ("sibling-locked-out", "api"),
    ] {
        let waves = waves(account, typed);
        assert!(
            waves.len() <= 7,
            "{account}: {} round trips one after another: {waves:#?}",
            waves.len()
        );
    }
}

/// A prefix list is named by a group of the load balancer, which is known last: what is in it costs
/// one round trip more.
#[test]
fn a_prefix_list_at_the_door_costs_one_more() {
    // Where tasks share the group with the load balancer, it is known before anybody knows that it
    // is the load balancer's.
    for (account, most) in [("an-office-list-that-somebody-widened", 6), ("one-group-for-all", 5)] {
        let waves = waves(account, "api");
        assert!(waves.len() <= most, "{account}: {waves:#?}");
        let asked =
            |call: &str| waves.iter().flatten().filter(|asked| asked.contains(call)).count();
        assert_eq!(
            (asked("DescribeManagedPrefixLists"), asked("GetManagedPrefixListEntries")),
            (1, 1),
            "{account}"
        );
    }
}

/// With its cluster named, a service needs no search.
#[test]
fn a_named_cluster_saves_one() {
    assert_eq!(waves("fargate", "prod/api").len() + 1, waves("fargate", "api").len());
}
