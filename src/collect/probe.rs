//! `--probe`: one GET to the service's own URL. It goes only to addresses that the load balancer's
//! network interfaces have, or, where EC2 tells none, the load balancer's own name; it follows
//! redirects only within the host, and sends nothing but the URL: no credentials, no cookies, and
//! of the query what a rule asks for. Whatever goes wrong is evidence as well.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use checks::aws::url::Url;
use checks::patient::{Intent, Patient};
use checks::seen::Seen;
use checks::snapshot::{LoadBalancer, Probe, ProbeAnswer, ProbeFailure, Snapshot};
use checks::text::{and_list, and_more, plural};
use checks::views::request_path::{self, HopKind};
use futures::future::join;
use tokio::time::Instant;

use super::Aws;
use super::ask::chain;

/// How long one GET may take, with its connection, where the user has that much time left.
const PATIENCE: Duration = Duration::from_secs(5);

fn patience(until: Instant) -> Duration {
    PATIENCE.min(until.saturating_duration_since(Instant::now()))
}

const REDIRECTS: usize = 3;
/// How many of the load balancer's addresses are named; a busy one has more.
const NAMED: usize = 8;
/// As much of a page as tells whose it is.
const PAGE: usize = 2048;

/// Probes the URL, or the first URL of the service itself, and keeps the result in the snapshot.
pub async fn run(aws: &Aws, snapshot: &mut Snapshot, url: Option<&Url>) {
    let (url, balancer) = match aim(snapshot, url) {
        Ok(aim) => aim,
        Err(why) => {
            let failure = failure(
                url.map(ToString::to_string).unwrap_or_default(),
                "address",
                why,
                Duration::ZERO,
            );
            snapshot.probe = Some(Probe {
                url: failure.url.clone(),
                failure: Some(failure),
                ..Probe::default()
            });
            return;
        }
    };
    let interfaces = match aws.balancer_addresses(&balancer).await {
        Seen::Yes(addresses) => addresses.unwrap_or_default(),
        Seen::No(_) => BTreeSet::new(),
    };
    let LoadBalancer { load_balancer_name: name, dns_name, .. } = balancer;
    let own = Own { name, dns_name: dns_name.unwrap_or_default(), interfaces };
    snapshot.probe = Some(probe(&Dns, &url, &own, aws.asker.deadline()).await);
}

/// The load balancer, as far as its addresses tell it from everything else.
struct Own {
    name: String,
    dns_name: String,
    /// The addresses of its network interfaces; empty where EC2 told none.
    interfaces: BTreeSet<IpAddr>,
}

/// The URL as it may be sent, and the load balancer that it is for.
fn aim(snapshot: &Snapshot, url: Option<&Url>) -> Result<(Url, LoadBalancer), String> {
    let service = snapshot.services.first().ok_or("there is no service")?;
    let intent = Intent::default();
    let patient = Patient::new(snapshot, service, &intent);
    let is_plain = |path: &&request_path::Path| {
        path.url.parse::<Url>().is_ok_and(|url| !url.host.contains('*'))
    };
    let paths = match url {
        Some(_) => {
            patient.asked_url().map(|url| request_path::of_url(&patient, &url)).unwrap_or_default()
        }
        None => request_path::own(&patient),
    };
    let path = paths
        .iter()
        .find(is_plain)
        .ok_or("the service has no URL of its own; name one with --url")?;
    let url = if url.is_some() { patient.asked_url() } else { path.url.parse().ok() };
    let balancer = path
        .hops
        .iter()
        .find(|hop| hop.kind == HopKind::LoadBalancer)
        .and_then(|hop| hop.id.as_deref());
    let balancer = balancer
        .and_then(|arn| patient.load_balancer(arn).ok().flatten())
        .filter(|balancer| balancer.dns_name.is_some());
    url.zip(balancer.cloned()).ok_or_else(|| {
        "the load balancer's name is not known, so nobody can tell whether the address is its own".into()
    })
}

fn failure(url: String, stage: &str, message: impl ToString, elapsed: Duration) -> ProbeFailure {
    ProbeFailure {
        url,
        stage: stage.into(),
        message: message.to_string(),
        elapsed_ms: milliseconds(elapsed),
    }
}

fn milliseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// One GET, and those that redirects within the host ask for, to addresses that are the load
/// balancer's.
async fn probe(dns: &dyn ResolveDns, url: &Url, balancer: &Own, until: Instant) -> Probe {
    let mut probe = Probe {
        url: url.to_string(),
        by_interfaces: !balancer.interfaces.is_empty(),
        ..Probe::default()
    };
    let began = Instant::now();
    // A name has only some of the load balancer's addresses at a time, and whoever lies about one
    // name lies about the other.
    let own = async {
        let by_name = async { resolve(dns, &balancer.dns_name, until).await.unwrap_or_default() };
        if probe.by_interfaces { balancer.interfaces.clone() } else { by_name.await }
    };
    let (addresses, own) = match join(resolve(dns, &url.host, until), own).await {
        (Ok(addresses), own) => (addresses, own),
        (Err(why), _) => {
            probe.failure = Some(failure(url.to_string(), "resolve", why, began.elapsed()));
            return probe;
        }
    };
    let texts = |addresses: &BTreeSet<IpAddr>| addresses.iter().map(ToString::to_string).collect();
    (probe.addresses, probe.balancer_addresses) = (texts(&addresses), texts(&own));
    let allowed: Vec<IpAddr> = addresses.intersection(&own).copied().collect();
    if allowed.is_empty() {
        probe.failure = Some(failure(
            url.to_string(),
            "address",
            elsewhere(&probe, url, balancer),
            began.elapsed(),
        ));
        return probe;
    }
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    let connector = Connector::builder().tls_provider(tls).build_with_resolver(Pinned(allowed));
    let mut next = url.clone();
    for left in (0..=REDIRECTS).rev() {
        let began = Instant::now();
        let patience = patience(until);
        let answered = tokio::time::timeout(patience, get(&connector, &next)).await;
        let (mut answer, location) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err((stage, message))) => {
                probe.failure = Some(failure(next.to_string(), stage, message, began.elapsed()));
                break;
            }
            Err(_) => {
                let message = format!("nothing came within {} s", patience.as_secs());
                probe.failure =
                    Some(failure(next.to_string(), "timeout", message, began.elapsed()));
                break;
            }
        };
        answer.elapsed_ms = milliseconds(began.elapsed());
        let is_redirect = (300..400).contains(&answer.status);
        probe.answers.push(answer);
        match location
            .and_then(|location| within(&next, &location))
            .filter(|_| is_redirect && left > 0)
        {
            Some(location) => next = location,
            None => break,
        }
    }
    probe
}

/// Why nothing is sent, and how the load balancer can be asked all the same.
fn elsewhere(probe: &Probe, url: &Url, balancer: &Own) -> String {
    let Own { name, dns_name, .. } = balancer;
    if probe.balancer_addresses.is_empty() {
        return format!(
            "the addresses of load balancer {name} are not known: EC2 told no network interfaces of it, and {dns_name} does not resolve"
        );
    }
    let whose = if probe.by_interfaces {
        "whose network interfaces have"
    } else {
        "whose own name resolves to"
    };
    let no_address = plural(probe.addresses.len(), "is no address", "are no addresses");
    let why = if url.host.eq_ignore_ascii_case(dns_name) {
        "It is the load balancer's own name, so whoever resolves names here says something else than AWS"
            .to_owned()
    } else {
        let itself = Url { host: dns_name.clone(), query: None, ..url.clone() };
        format!(
            "Something else stands there, likely a CDN, an accelerator or a proxy in front of it. --url {itself} asks the balancer itself, by a name \
             that certificates and rules for {} do not fit",
            url.host
        )
    };
    format!(
        "{} {no_address} of load balancer {name}, {whose} {}. {why}",
        and_list(&probe.addresses),
        and_more(&probe.balancer_addresses, NAMED)
    )
}

/// Where a redirect leads, if that is the same host.
fn within(url: &Url, location: &str) -> Option<Url> {
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        Url { path: "/".into(), query: None, ..url.clone() }
            .to_string()
            .trim_end_matches('/')
            .to_owned()
            + location
    } else {
        location.to_owned()
    };
    let next: Url = absolute.contains("://").then(|| absolute.parse().ok()).flatten()?;
    (next.host == url.host).then_some(next)
}

async fn get(
    connector: &Connector,
    url: &Url,
) -> Result<(ProbeAnswer, Option<String>), (&'static str, String)> {
    let query = url.query.as_deref().map_or_else(String::new, |query| format!("?{query}"));
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(format!("{url}{query}")).map_err(|error| ("answer", error.to_string()))?;
    request.headers_mut().insert("user-agent", concat!("ecs-doctor/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert("accept", "*/*");
    let response = connector.call(request).await.map_err(|error| explain(&error))?;
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let (status, server, location) =
        (response.status().as_u16(), header("server"), header("location"));
    let balancer_page = is_balancers(status, &page(response).await);
    Ok((
        ProbeAnswer { url: url.to_string(), status, server, balancer_page, elapsed_ms: 0 },
        location,
    ))
}

async fn page(response: HttpResponse) -> Vec<u8> {
    let mut body = ByteStream::new(response.into_body());
    let mut page = Vec::new();
    while page.len() < PAGE {
        match body.next().await {
            Some(Ok(bytes)) => page.extend(bytes),
            Some(Err(_)) | None => break,
        }
    }
    page.truncate(PAGE);
    page
}

/// The load balancer's pages are a heading and nothing else; nginx's, which look alike, have a line
/// below it.
fn is_balancers(status: u16, page: &[u8]) -> bool {
    let page = String::from_utf8_lossy(page);
    page.contains(&format!("<center><h1>{status} ")) && !page.contains("<hr>")
}

/// At which stage a request failed, and the innermost reason.
fn explain(error: &(dyn Error + 'static)) -> (&'static str, String) {
    let texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    let root = texts.last().cloned().unwrap_or_default();
    let says = |words: &[&str]| {
        texts.iter().any(|text| words.iter().any(|word| text.to_ascii_lowercase().contains(word)))
    };
    let stage = if says(&["certificate", "handshake", "corrupt message", "received fatal alert"]) {
        "tls"
    } else if says(&["tcp connect", "(connect)", "dns error"]) {
        "connect"
    } else {
        "answer"
    };
    (stage, root)
}

async fn resolve(
    dns: &dyn ResolveDns,
    host: &str,
    until: Instant,
) -> Result<BTreeSet<IpAddr>, String> {
    let answer = tokio::time::timeout(patience(until), dns.resolve_dns(host))
        .await
        .map_err(|_| "no answer in time".to_owned())?;
    let addresses = answer.map_err(|error| explain(&error).1)?;
    if addresses.is_empty() {
        Err("it has no address".into())
    } else {
        Ok(addresses.into_iter().collect())
    }
}

/// The system's own resolver.
#[derive(Clone, Debug)]
struct Dns;

impl ResolveDns for Dns {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves every name to the addresses that have been checked: so nothing can change between check
/// and connection.
#[derive(Clone, Debug)]
struct Pinned(Vec<IpAddr>);

impl ResolveDns for Pinned {
    fn resolve_dns<'a>(&'a self, _: &'a str) -> DnsFuture<'a> {
        DnsFuture::ready(Ok(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Names and their addresses, and nothing else.
    #[derive(Debug)]
    struct Names(BTreeMap<&'static str, &'static str>);

    impl ResolveDns for Names {
        fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
            DnsFuture::ready(match self.0.get(name) {
                Some(address) => Ok(vec![address.parse().unwrap()]),
                None => Err(ResolveDnsError::new("no such name")),
            })
        }
    }

    const BALANCER: &str = "web-1.elb.amazonaws.com";

    /// More time than any of these takes.
    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// The load balancer, and the addresses of its network interfaces.
    fn own(interfaces: &[&str]) -> Own {
        let interfaces = interfaces.iter().map(|address| address.parse().unwrap()).collect();
        Own { name: "web".into(), dns_name: BALANCER.into(), interfaces }
    }

    fn names() -> Names {
        Names(BTreeMap::from([
            (BALANCER, "127.0.0.1"),
            ("api.example.com", "127.0.0.1"),
            ("cdn.example.com", "127.0.0.2"),
        ]))
    }

    /// Serves these replies on loopback, one after another, and gives back what was asked.
    async fn serve(replies: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut asked = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let read = stream.read(&mut bytes).await.unwrap();
                asked.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            asked
        });
        (port, task)
    }

    fn reply(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn one_get_without_credentials_and_its_answer() {
        let page = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>";
        let (port, served) = serve(vec![reply(
            "503 Service Temporarily Unavailable",
            "server: awselb/2.0\r\n",
            page,
        )])
        .await;
        let probe = probe(
            &names(),
            &url(&format!("http://ana:hunter2@api.example.com:{port}/v1")),
            &own(&[]),
            soon(),
        )
        .await;
        let [answer] = probe.answers.as_slice() else { panic!("{probe:#?}") };
        assert_eq!(
            (answer.status, answer.server.as_deref(), answer.balancer_page),
            (503, Some("awselb/2.0"), true)
        );
        assert_eq!((probe.failure, probe.addresses), (None, vec!["127.0.0.1".to_owned()]));
        let asked = served.await.unwrap().join("").to_ascii_lowercase();
        assert!(
            asked.starts_with("get /v1 http/1.1\r\n")
                && asked.contains(&format!("host: api.example.com:{port}\r\n")),
            "{asked}"
        );
        assert!(
            !asked.contains("hunter2")
                && !asked.contains("authorization")
                && !asked.contains("cookie"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn nothing_is_sent_to_an_address_that_is_not_the_balancers() {
        let (port, served) = serve(vec![reply("200 OK", "", "")]).await;
        let probe =
            probe(&names(), &url(&format!("http://cdn.example.com:{port}/")), &own(&[]), soon())
                .await;
        let failure = probe.failure.unwrap();
        assert_eq!(failure.stage, "address");
        assert!(
            failure.message.starts_with("127.0.0.2 is no address of load balancer web, whose own name resolves to 127.0.0.1. "),
            "{}",
            failure.message
        );
        assert!(!probe.by_interfaces && probe.answers.is_empty() && !served.is_finished());
    }

    #[tokio::test]
    async fn interfaces_have_the_word_before_the_balancers_name() {
        let (port, _) = serve(vec![reply("200 OK", "", "")]).await;
        let at = url(&format!("http://api.example.com:{port}/v1?token=hunter2"));
        // DNS gives a few of a busy load balancer's addresses, and not the same to everybody.
        let known =
            Names(BTreeMap::from([(BALANCER, "192.0.2.1"), ("api.example.com", "127.0.0.1")]));
        let sent = probe(&known, &at, &own(&["10.0.1.12", "127.0.0.1", "192.0.2.1"]), soon()).await;
        assert_eq!((sent.answers.len(), sent.by_interfaces), (1, true), "{sent:#?}");
        assert_eq!(sent.balancer_addresses, ["10.0.1.12", "127.0.0.1", "192.0.2.1"]);
        // A resolver that lies, lies about both names.
        let lied =
            probe(&names(), &at, &own(&["3.8.1.2", "2001:db8::12", "10.0.1.12"]), soon()).await;
        let failure = lied.failure.unwrap();
        assert_eq!(
            (failure.stage.as_str(), failure.message),
            (
                "address",
                format!(
                    "127.0.0.1 is no address of load balancer web, whose network interfaces have 3.8.1.2, 10.0.1.12 and 2001:db8::12. Something else \
                     stands there, likely a CDN, an accelerator or a proxy in front of it. --url http://{BALANCER}:{port}/v1 asks the balancer itself, \
                     by a name that certificates and rules for api.example.com do not fit"
                )
            )
        );
        let own_name = probe(
            &names(),
            &url(&format!("http://{BALANCER}:{port}/")),
            &own(&["3.8.1.2"]),
            soon(),
        )
        .await
        .failure
        .unwrap();
        assert!(own_name.message.ends_with("says something else than AWS"), "{own_name:?}");
        let nobody = Names(BTreeMap::from([("api.example.com", "127.0.0.1")]));
        let unknown = probe(&nobody, &at, &own(&[]), soon()).await.failure.unwrap();
        assert!(
            unknown.message.starts_with("the addresses of load balancer web are not known"),
            "{unknown:?}"
        );
    }

    #[tokio::test]
    async fn redirects_are_followed_within_the_host_and_no_further_than_three() {
        let away = reply("302 Found", "location: http://elsewhere.example.com/\r\n", "");
        let home =
            |path: &str| reply("301 Moved Permanently", &format!("location: {path}\r\n"), "");
        let (port, served) = serve(vec![home("/login?next=/"), away.clone()]).await;
        let at = url(&format!("http://api.example.com:{port}/"));
        let statuses =
            |probe: &Probe| probe.answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
        assert_eq!(statuses(&probe(&names(), &at, &own(&[]), soon()).await), [301, 302]);
        assert!(served.await.unwrap()[1].starts_with("GET /login?next=/ "));
        let (port, _) = serve(vec![home("/"); 9]).await;
        let at = url(&format!("http://api.example.com:{port}/"));
        assert_eq!(statuses(&probe(&names(), &at, &own(&[]), soon()).await), [301; 4]);
    }

    #[tokio::test]
    async fn a_failure_is_evidence_in_plain_words() {
        let stage = async |text: String| {
            probe(&names(), &url(&text), &own(&[]), soon()).await.failure.unwrap()
        };
        let nowhere = stage("http://gone.example.com/".into()).await;
        assert_eq!((nowhere.stage.as_str(), nowhere.message.as_str()), ("resolve", "no such name"));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let refused = stage(format!("http://api.example.com:{closed}/")).await;
        assert_eq!(refused.stage, "connect", "{refused:?}");
        assert!(refused.message.contains("refused"), "{refused:?}");
        let (port, _) = serve(vec![reply("400 Bad Request", "", "")]).await;
        let plain = stage(format!("https://api.example.com:{port}/")).await;
        assert_eq!(plain.stage, "tls", "{plain:?}");
        let (port, _) = serve(vec!["nonsense".into()]).await;
        assert_eq!(stage(format!("http://api.example.com:{port}/")).await.stage, "answer");
    }

    #[test]
    fn the_balancers_page_is_told_from_nginx() {
        let page = |rest: &str| {
            format!(
                "<html><body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n{rest}</body></html>"
            )
        };
        assert!(is_balancers(502, page("").as_bytes()));
        assert!(!is_balancers(502, page("<hr><center>nginx</center>\r\n").as_bytes()));
        assert!(!is_balancers(503, page("").as_bytes()), "another status");
        assert!(!is_balancers(200, b"<h1>Welcome</h1>"));
    }
}
