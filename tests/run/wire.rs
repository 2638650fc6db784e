//! The loopback account: an HTTP server on 127.0.0.1 that answers as AWS answers for one of the
//! accounts in `tests/wire`.
//!
//! It serves bodies that were made from AWS's own service models, reads every request back into the
//! members of the API, and complains about what AWS would refuse or what we promised not to do. It
//! can also fail in the ways that AWS and networks fail. It knows nothing of `ecs-doctor`, and has
//! no service model of its own: what it needs of them is in `replies/requests.json`.

#[path = "wire/bundle.rs"]
pub mod bundle;
#[path = "wire/plant.rs"]
pub mod plant;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bundle::{Bundle, Reply};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What a call that only looks is named.
const LOOKING: [&str; 7] = ["Describe", "List", "Get", "BatchGet", "Filter", "Lookup", "Simulate"];

const WHO: &str = "arn:aws:sts::123456789012:assumed-role/oncall/ana";
const REQUEST_ID: &str = "11111111-2222-3333-4444-555555555555";

/// One of the accounts of `tests/wire`, served until it is dropped.
pub struct Account {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as the API's reference would write it: the members that were given, under their own
/// names.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub service: String,
    pub operation: String,
    pub input: Value,
}

impl Request {
    pub fn call(&self) -> String {
        format!("{}.{}", self.service, self.operation)
    }
}

/// A way in which a call can fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// IAM says no, in the words and with the code of the service.
    Denied,
    /// Asked too often.
    Throttled,
    /// The credentials were good once.
    ExpiredToken,
    /// A 500 in the service's own shape.
    ServerError,
    /// A page that some proxy made, with a 200.
    Garbage,
    /// The connection is reset instead of an answer.
    Reset,
    /// Half of the answer's body, then the end of the connection.
    Truncated,
    /// Half of the answer, with a length and an end as if it were all of it.
    Half,
    /// Half of the answer, and then nothing, for as long as the account lives.
    Stalled,
    /// A 200 without a body.
    Empty,
    /// An answer without members: `{}`, or nothing but a root element.
    Bare,
    /// An answer whose members have other types.
    WrongType,
    /// Another address to ask.
    Redirect,
    /// An answer of 40 MB.
    Huge,
    /// No answer, for as long as the account lives.
    Hanging,
    /// The right answer, after so many milliseconds.
    Slow(u64),
}

impl Account {
    /// Serves the account of that name, which has a file in `tests/wire/replies`.
    pub fn start(name: &str) -> Self {
        let shared = Arc::new(Shared::load(name));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the address just bound");
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve(listener, serving, stopped));
        });
        Self { shared, address, stop: Some(stop), thread: Some(thread) }
    }

    /// What `AWS_ENDPOINT_URL` has to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that the SDK needs in its environment to ask this account, and nobody else.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let settings = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
            ("AWS_REGION", "eu-west-2"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ];
        let mut settings: Vec<_> = settings.map(|(name, value)| (name, value.to_owned())).into();
        settings.push(("AWS_ENDPOINT_URL", self.endpoint()));
        settings
    }

    /// The time at which the account was seen, in RFC 3339.
    pub fn now(&self) -> &str {
        &self.shared.now
    }

    /// Makes a call such as `elbv2.DescribeTargetHealth`, or `*` for every call, fail from now on.
    pub fn fault(&self, call: &str, fault: Fault) {
        self.fault_first(usize::MAX, call, fault);
    }

    /// Makes only the next so many requests of a call fail.
    pub fn fault_first(&self, times: usize, call: &str, fault: Fault) {
        self.shared.log().faults.insert(call.to_owned(), (fault, times));
    }

    /// Puts secrets into the texts of every answer from now on.
    pub fn plant(&self) {
        self.shared.log().planter = Some(plant::Planter::default());
    }

    /// How many secrets were planted so far.
    pub fn planted(&self) -> usize {
        self.shared.log().planter.as_ref().map_or(0, |planter| planter.0)
    }

    /// The ids of the keys that requests were signed with.
    pub fn keys(&self) -> BTreeSet<String> {
        self.shared.log().keys.clone()
    }

    /// Every request so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log().requests.clone()
    }

    /// How often a call such as `ecs.DescribeServices` was made.
    pub fn count(&self, call: &str) -> usize {
        self.shared.log().requests.iter().filter(|request| request.call() == call).count()
    }

    /// What was wrong with the requests; a test asserts that this is empty.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.log().complaints.clone()
    }
}

impl Account {
    /// Answers one request without a connection: status, headers and body. Faults do not happen
    /// here.
    pub fn answer_here(
        &self,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
        let mut request = hyper::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let (service, request) =
            read_request(&self.shared, &parts, body).expect("a request that we know");
        let (_, complaints) = note(&self.shared, service, &request);
        let answer = proper(&self.shared, service, &request, &complaints);
        let mut headers = vec![("content-type", answer.content_type)];
        if service.protocol == Protocol::Cbor {
            headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
        }
        (answer.status, headers, answer.body)
    }
}

/// The answer that the account has, or an error that says it has none.
fn proper(shared: &Shared, service: &Service, request: &Request, complaints: &[String]) -> Answer {
    if let Some((status, reply)) = shared.reply(request) {
        let content_type = service.protocol.content_type().to_owned();
        let body = match &mut shared.log().planter {
            Some(planter) => service.protocol.planted(&reply.body, planter, &request.service),
            None => reply.body.clone(),
        };
        return Answer { status, content_type, body: service.protocol.bytes(&body) };
    }
    service.error(
        400,
        "InvalidRequestForThisAccount",
        complaints.last().map_or("no reply", String::as_str),
    )
}

impl Drop for Account {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What all connections of an account share.
struct Shared {
    now: String,
    /// The account's own replies, then those of the account that it extends, and so on.
    layers: Vec<Vec<Reply>>,
    services: BTreeMap<String, Service>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    requests: Vec<Request>,
    complaints: Vec<String>,
    answered: HashSet<String>,
    faults: HashMap<String, (Fault, usize)>,
    /// The ids of the keys that requests were signed with.
    keys: BTreeSet<String>,
    planter: Option<plant::Planter>,
}

struct Service {
    protocol: Protocol,
    /// The prefix of the service in IAM actions.
    iam: String,
    target: Option<String>,
    version: String,
    namespace: String,
    operations: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Json,
    Query,
    Ec2,
    Cbor,
}

impl Shared {
    fn load(name: &str) -> Self {
        let described: Value = serde_json::from_str(&bundle::read("requests.json")).expect("JSON");
        let services = described.as_object().expect("services").iter();
        let services =
            services.map(|(name, service)| (name.clone(), Service::read(service))).collect();
        let (mut layers, mut next, mut now) = (Vec::new(), Some(name.to_owned()), None);
        while let Some(name) = next {
            let bundle = Bundle::read(&name);
            layers.push(bundle.replies);
            next = bundle.base;
            now = now.or(Some(bundle.now));
        }
        Self { now: now.expect("a time"), layers, services, log: Mutex::default() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no thread that held the log panicked")
    }

    /// The reply whose `when` says most about the request, with its status; of two that say the
    /// same, that of the nearer layer.
    fn reply(&self, request: &Request) -> Option<(u16, &Reply)> {
        let call = request.call();
        let fits = |reply: &&Reply| reply.call == call && has(&request.input, &reply.when);
        let says = |(_, reply): &(u16, &Reply)| reply.when.as_object().map_or(0, Map::len);
        let mut fitting: Vec<&Reply> = Vec::new();
        for reply in self.layers.iter().flat_map(|layer| layer.iter().filter(fits)) {
            if fitting.iter().all(|nearer| nearer.when != reply.when) {
                fitting.push(reply);
            }
        }
        let there = fitting.into_iter().rev().filter_map(|reply| Some((reply.status?, reply)));
        there.max_by_key(says)
    }
}

impl Protocol {
    fn content_type(self) -> &'static str {
        match self {
            Protocol::Json => "application/x-amz-json-1.1",
            Protocol::Query => "text/xml",
            Protocol::Ec2 => "text/xml;charset=UTF-8",
            Protocol::Cbor => "application/cbor",
        }
    }

    /// A body with secrets in its texts.
    fn planted(self, body: &str, planter: &mut plant::Planter, service: &str) -> String {
        match self {
            Protocol::Json | Protocol::Cbor => planter.json(body, service == "logs"),
            Protocol::Query | Protocol::Ec2 => planter.xml(body),
        }
    }

    /// A body as it travels.
    fn bytes(self, body: &str) -> Vec<u8> {
        match self {
            Protocol::Cbor => {
                bundle::cbor(&serde_json::from_str(body).expect("a description of CBOR"))
            }
            Protocol::Json | Protocol::Query | Protocol::Ec2 => body.as_bytes().to_vec(),
        }
    }
}

impl Service {
    fn read(service: &Value) -> Self {
        let text = |key: &str| service[key].as_str().map(str::to_owned);
        let protocol = match service["protocol"].as_str().expect("a protocol") {
            "json" => Protocol::Json,
            "query" => Protocol::Query,
            "ec2" => Protocol::Ec2,
            "smithy-rpc-v2-cbor" => Protocol::Cbor,
            other => panic!("the loopback account does not speak {other} yet"),
        };
        Self {
            protocol,
            iam: text("iam").expect("a prefix"),
            target: text("target"),
            version: text("version").expect("a version"),
            namespace: text("namespace").unwrap_or_default(),
            operations: service["operations"].as_object().expect("operations").clone(),
        }
    }
}

/// Whether a request has what a reply's `when` wants: structures may have more, lists may be in
/// another order, and a member that is wanted as null must not be there.
fn has(asked: &Value, wanted: &Value) -> bool {
    match (asked, wanted) {
        (Value::Object(asked), Value::Object(wanted)) => {
            wanted.iter().all(|(member, wanted)| match asked.get(member) {
                Some(asked) => has(asked, wanted),
                None => wanted.is_null(),
            })
        }
        (Value::Array(asked), Value::Array(wanted)) => {
            asked.len() == wanted.len()
                && wanted
                    .iter()
                    .all(|item| asked.iter().any(|other| has(other, item) && has(item, other)))
        }
        (Value::Number(asked), Value::Number(wanted)) => asked.as_f64() == wanted.as_f64(),
        _ => asked == wanted,
    }
}

async fn serve(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<Infallible>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            Ok((stream, _)) = listener.accept() => drop(tokio::spawn(converse(stream, Arc::clone(&shared)))),
        }
    }
}

/// One connection with its many requests, and the way it ends when a fault ends it.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    let mut stream = connection.into_parts().io.into_inner();
    let Err(error) = ended else { return };
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(Hangup::Reset) => stream.set_zero_linger().expect("a socket that can be reset"),
        Some(Hangup::After(bytes)) => drop(stream.write_all(bytes).await),
        Some(Hangup::Stall(bytes)) => {
            drop(stream.write_all(bytes).await);
            std::future::pending::<()>().await;
        }
        None => {}
    }
}

/// How a connection ends that gets no proper answer.
#[derive(Debug)]
enum Hangup {
    Reset,
    After(Vec<u8>),
    Stall(Vec<u8>),
}

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the account hangs up")
    }
}

impl std::error::Error for Hangup {}

/// An answer before it is HTTP.
struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Hangup> {
    let (parts, body) = request.into_parts();
    let signed = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let key = signed.and_then(|it| it.split_once("Credential=")?.1.split('/').next());
    shared.log().keys.extend(key.map(str::to_owned));
    let body = body.collect().await.map_err(|_| Hangup::Reset)?.to_bytes();
    let (service, request) = match read_request(&shared, &parts, &body) {
        Ok(read) => read,
        Err(complaint) => {
            shared.log().complaints.push(complaint.clone());
            let answer = Answer {
                status: 400,
                content_type: "text/plain".to_owned(),
                body: complaint.into_bytes(),
            };
            return Ok(respond(answer, false));
        }
    };
    let (fault, complaints) = note(&shared, service, &request);
    let proper = || proper(&shared, service, &request, &complaints);
    let answer = match fault {
        None => proper(),
        Some(Fault::Slow(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            proper()
        }
        Some(Fault::Hanging) => std::future::pending().await,
        Some(Fault::Reset) => return Err(Hangup::Reset),
        Some(Fault::Truncated) => return Err(Hangup::After(half(&proper()))),
        Some(Fault::Stalled) => return Err(Hangup::Stall(half(&proper()))),
        Some(Fault::Half) => with_body(proper(), |body| body.truncate(body.len() / 2)),
        Some(Fault::Empty) => with_body(proper(), Vec::clear),
        Some(Fault::Huge) => with_body(proper(), |body| body.resize(40 << 20, b' ')),
        Some(Fault::Bare) => with_body(proper(), |body| {
            *body = service.bare(&request.operation);
        }),
        Some(Fault::WrongType) => with_body(proper(), |body| *body = service.other_types(body)),
        Some(Fault::Redirect) => Answer { status: 301, ..with_body(proper(), Vec::clear) },
        Some(Fault::Garbage) => Answer {
            status: 200,
            content_type: "text/html".to_owned(),
            body: b"<!doctype html><html><body>Please log in to the network.</body></html>"
                .to_vec(),
        },
        Some(fault) => service.failure(fault, &request.operation, shared.log().planter.as_mut()),
    };
    Ok(respond(answer, service.protocol == Protocol::Cbor))
}

/// The answer that the account has, with another body.
fn with_body(mut answer: Answer, change: impl FnOnce(&mut Vec<u8>)) -> Answer {
    change(&mut answer.body);
    answer
}

/// Writes a request down, with what is wrong about it, and says which fault meets it.
fn note(shared: &Shared, service: &Service, request: &Request) -> (Option<Fault>, Vec<String>) {
    let call = request.call();
    let mut complaints = mistakes(shared, service, request);
    let mut log = shared.log();
    let mut fault = None;
    for key in [call.as_str(), "*"] {
        if let Some((kind, times)) =
            log.faults.get_mut(key).filter(|(_, times)| fault.is_none() && *times > 0)
        {
            *times -= 1;
            fault = Some(*kind);
        }
    }
    if fault.is_none() && !log.answered.insert(format!("{call} {}", request.input)) {
        complaints.insert(0, format!("{call}: asked twice for {}", request.input));
    }
    log.requests.push(request.clone());
    log.complaints.extend(complaints.iter().cloned());
    (fault, complaints)
}

/// What AWS would refuse, what we promise not to do, and what the account cannot answer.
fn mistakes(shared: &Shared, service: &Service, request: &Request) -> Vec<String> {
    let call = request.call();
    let mut mistakes = Vec::new();
    if !LOOKING.iter().any(|verb| request.operation.starts_with(verb)) {
        mistakes.push(format!("{call}: may change something"));
    }
    let Some(operation) = service.operations.get(&request.operation) else {
        mistakes.push(format!("{call}: no account has a reply for this operation"));
        return mistakes;
    };
    for member in operation["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if matches!(&request.input[member], Value::Null) || request.input[member] == "" {
            mistakes.push(format!("{call}: lacks the required member {member}"));
        }
    }
    for (member, most) in operation["at_most"].as_object().into_iter().flatten() {
        let many = request.input[member].as_array().map_or(0, Vec::len) as u64;
        if Some(many) > most.as_u64() {
            mistakes.push(format!("{call}: {many} {member} in one request, AWS takes {most}"));
        }
    }
    match shared.reply(request) {
        None => mistakes.push(format!("{call}: the account has no reply for {}", request.input)),
        Some((200, reply)) if request.operation == "GetMetricData" => {
            let body: Value = serde_json::from_str(&reply.body).expect("a description of CBOR");
            let (asked, told) =
                (ids(&request.input["MetricDataQueries"]), ids(&body["MetricDataResults"]));
            if asked != told {
                let odd: Vec<_> = asked.symmetric_difference(&told).collect();
                mistakes.push(format!(
                    "{call}: either asked for or in the reply, but not both: {odd:?}"
                ));
            }
        }
        Some(_) => {}
    }
    mistakes
}

/// The metrics of a list of queries or of results.
fn ids(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(|item| item["Id"].as_str()).collect()
}

fn respond(answer: Answer, cbor: bool) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header("x-amzn-requestid", REQUEST_ID);
    if cbor {
        response = response.header("smithy-protocol", "rpc-v2-cbor");
    }
    response.body(Full::new(answer.body.into())).expect("a response")
}

/// An answer that promises its whole body and breaks off in the middle.
fn half(answer: &Answer) -> Vec<u8> {
    let Answer { status, content_type, body } = answer;
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status} \r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(&body[..length / 2]);
    bytes
}

/// Which service and operation a request is for, and what it asks: each protocol says so in another
/// place.
fn read_request<'a>(
    shared: &'a Shared,
    parts: &hyper::http::request::Parts,
    body: &[u8],
) -> Result<(&'a Service, Request), String> {
    let text = |name: &str| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let find =
        |fits: &dyn Fn(&Service) -> bool| shared.services.iter().find(|(_, service)| fits(service));
    let path = parts.uri.path();
    let of_target = |wanted: &str, protocol| {
        // botocore's name of CloudTrail has a package before it, that of the SDK has none.
        let is_it = |target: &str| target.rsplit('.').next() == Some(wanted);
        find(&|service| {
            service.protocol == protocol && service.target.as_deref().is_some_and(is_it)
        })
        .ok_or_else(|| format!("no service has the target {wanted}"))
    };
    let ((name, service), operation, input) =
        if let Some((target, operation)) = text("x-amz-target").split_once('.') {
            let input = serde_json::from_slice(body)
                .map_err(|error| format!("{operation}: not JSON: {error}"))?;
            (of_target(target, Protocol::Json)?, operation.to_owned(), input)
        } else if let ["", "service", target, "operation", operation] =
            path.split('/').collect::<Vec<_>>()[..]
        {
            if text("smithy-protocol") != "rpc-v2-cbor" {
                return Err(format!("{operation}: the header smithy-protocol is missing"));
            }
            (of_target(target, Protocol::Cbor)?, operation.to_owned(), read_cbor(body)?)
        } else {
            let mut form: BTreeMap<String, String> = serde_urlencoded::from_bytes(body)
                .map_err(|error| format!("{path}: no request that we know: {error}"))?;
            let version = form.remove("Version").unwrap_or_default();
            let operation = form.remove("Action").unwrap_or_default();
            let found = find(&|service| {
                service.version == version
                    && matches!(service.protocol, Protocol::Query | Protocol::Ec2)
            });
            let found = found.ok_or_else(|| {
                format!("{path}: no service has the version {version:?} of {operation:?}")
            })?;
            let input = match found.1.operations.get(&operation) {
                Some(known) => read_form(&operation, &known["input"], &form)?,
                None => json!(form),
            };
            (found, operation, input)
        };
    Ok((service, Request { service: name.clone(), operation, input }))
}

fn read_cbor(body: &[u8]) -> Result<Value, String> {
    fn plain(value: ciborium::Value) -> Value {
        match value {
            ciborium::Value::Bool(value) => json!(value),
            ciborium::Value::Integer(value) => {
                i64::try_from(value).map_or(Value::Null, |value| json!(value))
            }
            ciborium::Value::Float(value) => json!(value),
            ciborium::Value::Text(value) => json!(value),
            ciborium::Value::Bytes(value) => json!(String::from_utf8_lossy(&value)),
            ciborium::Value::Array(items) => items.into_iter().map(plain).collect(),
            ciborium::Value::Map(entries) => entries
                .into_iter()
                .map(|(key, value)| (key.into_text().unwrap_or_default(), plain(value)))
                .collect(),
            ciborium::Value::Tag(_, value) => plain(*value),
            _ => Value::Null,
        }
    }
    if body.is_empty() {
        return Ok(json!({}));
    }
    ciborium::from_reader(body).map(plain).map_err(|error| format!("not CBOR: {error}"))
}

/// A form such as `Filter.1.Value.1=vpc-0a1b` as the members that it stands for.
fn read_form(
    operation: &str,
    shape: &Value,
    form: &BTreeMap<String, String>,
) -> Result<Value, String> {
    let mut unread: BTreeSet<_> = form.keys().cloned().collect();
    let input = read_field(shape, "", form, &mut unread).unwrap_or_else(|| json!({}));
    match unread.first() {
        Some(name) => Err(format!("{operation}: the model has no parameter {name}")),
        None => Ok(input),
    }
}

fn read_field(
    shape: &Value,
    at: &str,
    form: &BTreeMap<String, String>,
    unread: &mut BTreeSet<String>,
) -> Option<Value> {
    if let Some(members) = shape["structure"].as_object() {
        let mut read = Map::new();
        for (wire, member) in members {
            let at = if at.is_empty() { wire.clone() } else { format!("{at}.{wire}") };
            if let Some(value) = read_field(&member[1], &at, form, unread) {
                read.insert(member[0].as_str().expect("a member's name").to_owned(), value);
            }
        }
        return (!read.is_empty()).then_some(Value::Object(read));
    }
    if !shape["list"].is_null() {
        let under =
            shape["under"].as_str().map_or_else(|| at.to_owned(), |under| format!("{at}.{under}"));
        let items: Vec<_> = (1..)
            .map_while(|n| read_field(&shape["list"], &format!("{under}.{n}"), form, unread))
            .collect();
        let empty = items.is_empty() && unread.remove(at);
        return (empty || !items.is_empty()).then_some(Value::Array(items));
    }
    let text = form.get(at)?;
    unread.remove(at);
    Some(match shape.as_str() {
        Some("integer" | "long" | "float" | "double") => {
            serde_json::from_str(text).unwrap_or_else(|_| json!(text))
        }
        Some("boolean") => json!(text == "true"),
        _ => json!(text),
    })
}

impl Service {
    /// A failure with the status, the code and the words of this service.
    fn failure(
        &self,
        fault: Fault,
        operation: &str,
        planter: Option<&mut plant::Planter>,
    ) -> Answer {
        let action = format!("{}:{operation}", self.iam);
        let mut denied = format!(
            "User: {WHO} is not authorized to perform: {action} because no identity-based policy allows the {action} action"
        );
        if let Some(planter) = planter {
            denied = planter.text(&denied);
        }
        let expired = "The security token included in the request is expired";
        match (fault, self.protocol) {
            (Fault::Denied, Protocol::Json | Protocol::Cbor) => {
                self.error(400, "AccessDeniedException", &denied)
            }
            (Fault::Denied, Protocol::Query) => self.error(403, "AccessDenied", &denied),
            (Fault::Denied, Protocol::Ec2) => {
                let denied = format!("You are not authorized to perform this operation. {denied}");
                self.error(403, "UnauthorizedOperation", &denied)
            }
            (Fault::Throttled, Protocol::Json | Protocol::Cbor) => {
                self.error(400, "ThrottlingException", "Rate exceeded")
            }
            (Fault::Throttled, Protocol::Query) => self.error(400, "Throttling", "Rate exceeded"),
            (Fault::Throttled, Protocol::Ec2) => {
                self.error(503, "RequestLimitExceeded", "Request limit exceeded.")
            }
            (Fault::ExpiredToken, Protocol::Json | Protocol::Cbor) => {
                self.error(400, "ExpiredTokenException", expired)
            }
            (Fault::ExpiredToken, Protocol::Query) => self.error(403, "ExpiredToken", expired),
            (Fault::ExpiredToken, Protocol::Ec2) => {
                self.error(400, "RequestExpired", "Request has expired.")
            }
            (Fault::ServerError, Protocol::Ec2) => {
                self.error(500, "InternalError", "An internal error has occurred")
            }
            (_, _) => self.error(500, "InternalFailure", "An internal error has occurred"),
        }
    }

    /// An answer to the operation that has nothing in it.
    fn bare(&self, operation: &str) -> Vec<u8> {
        match self.protocol {
            Protocol::Json => b"{}".to_vec(),
            Protocol::Cbor => bundle::cbor(&json!({})),
            Protocol::Query | Protocol::Ec2 => {
                format!("<{operation}Response></{operation}Response>").into_bytes()
            }
        }
    }

    /// The same answer with texts where lists and numbers were.
    fn other_types(&self, body: &[u8]) -> Vec<u8> {
        match self.protocol {
            Protocol::Json => {
                let body: Value = serde_json::from_slice(body).expect("JSON");
                let members = body.as_object().expect("an object").keys();
                let wrong: Map<String, Value> =
                    members.map(|member| (member.clone(), json!("wrong"))).collect();
                Value::Object(wrong).to_string().into_bytes()
            }
            Protocol::Cbor => bundle::cbor(&json!({ "MetricDataResults": "x", "MetricAlarms": 1 })),
            Protocol::Query | Protocol::Ec2 => {
                // Whatever stands alone in an element and is a number or a truth is one no more.
                let text = String::from_utf8_lossy(body);
                let parts = text.split('>').map(|part| match part.split_once('<') {
                    Some((inside, tag)) if inside.parse::<f64>().is_ok() => format!("wrong<{tag}"),
                    Some(("true" | "false", tag)) => format!("wrong<{tag}"),
                    _ => part.to_owned(),
                });
                parts.collect::<Vec<_>>().join(">").into_bytes()
            }
        }
    }

    /// An error in the shape of the service's protocol.
    fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        let escaped = message.replace('&', "&amp;").replace('<', "&lt;");
        let namespace = &self.namespace;
        let body = match self.protocol {
            Protocol::Json => {
                json!({ "__type": code, "message": message }).to_string().into_bytes()
            }
            Protocol::Cbor => {
                let type_name = format!("com.amazonaws.{}#{code}", self.iam);
                bundle::cbor(&json!({ "__type": type_name, "message": message }))
            }
            Protocol::Query => {
                let error =
                    format!("<Type>Sender</Type><Code>{code}</Code><Message>{escaped}</Message>");
                let request = format!("<RequestId>{REQUEST_ID}</RequestId>");
                format!(
                    r#"<ErrorResponse xmlns="{namespace}"><Error>{error}</Error>{request}</ErrorResponse>"#
                )
                .into_bytes()
            }
            Protocol::Ec2 => {
                let error =
                    format!("<Error><Code>{code}</Code><Message>{escaped}</Message></Error>");
                format!(
                    "<Response><Errors>{error}</Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
                )
                .into_bytes()
            }
        };
        Answer { status, content_type: self.protocol.content_type().to_owned(), body }
    }
}
