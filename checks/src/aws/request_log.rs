//! Requests and their status codes, as web servers and frameworks log them: enough to see what
//! answers the load balancer's health checker, and which other path would. A request is taken only
//! from its own place in a line of a format that `formats` knows: what a client wrote, such as a
//! user agent that looks like a request, stands elsewhere in the line and is none.

mod formats;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::snapshot::LogLine;
use crate::text::parsed;

/// One request in a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub path: Cow<'a, str>,
    pub code: u16,
}

/// The request that a log line tells of, if it is the line of an access log.
pub fn request(line: &str) -> Option<Request<'_>> {
    let line = line.trim();
    if line.starts_with('{') {
        return of_json(line);
    }
    match formats::request(line) {
        Some((path, code)) => Some(Request { path: Cow::Borrowed(path), code: parsed(code)? }),
        None => of_pairs(line),
    }
}

/// The names that loggers give to what was asked for, and to the answer.
const PATHS: &[&str] = &[
    "path",
    "url",
    "uri",
    "request_uri",
    "requestPath",
    "RequestPath",
    "requestUrl",
    "request_path",
    "http.path",
    "url.path",
];
const CODES: &[&str] = &[
    "status",
    "statusCode",
    "status_code",
    "StatusCode",
    "code",
    "responseStatus",
    "http.status_code",
    "http.response.status_code",
];
const METHODS: &[&str] = &[
    "method",
    "request_method",
    "requestMethod",
    "RequestMethod",
    "http.method",
    "http.request.method",
];
/// Objects that some loggers put these into, and fields that hold a whole line of another format.
const WITHIN: &[&str] = &["req", "request", "httpRequest", "http", "res", "response"];
const LINES: &[&str] = &["message", "msg", "log"];

/// `{"path":"/health","status":200}` in whatever order and spelling the usual loggers have.
#[expect(
    clippy::disallowed_methods,
    reason = "a line that is no JSON is the line of another format, or none"
)]
fn of_json(line: &str) -> Option<Request<'static>> {
    let fields = serde_json::from_str::<Map<String, Value>>(line).ok()?;
    let field = |names: &[&str]| {
        let own = names.iter().find_map(|name| fields.get(*name).filter(|it| !it.is_object()));
        own.or_else(|| {
            let inner = WITHIN.iter().filter_map(|name| fields.get(*name)?.as_object());
            inner.flat_map(|object| names.iter().filter_map(|name| object.get(*name))).next()
        })
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (field(PATHS).map(text), field(CODES).map(text)) {
        (Some(path), Some(code)) => of_fields(field(METHODS).map(text).as_deref(), &path, &code),
        _ => {
            let inner = LINES.iter().find_map(|name| fields.get(*name)?.as_str())?.trim();
            let (path, code) = formats::request(inner)?;
            Some(Request { path: Cow::Owned(path.to_owned()), code: parsed(code)? })
        }
    }
}

/// `method=GET path=/health status=200`, as Lograge and Go's loggers write it: what stands in
/// quotes is one value, and of a name that stands twice the first counts.
fn of_pairs(line: &str) -> Option<Request<'static>> {
    let mut pairs: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = formats::without_lead(line);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.match_indices('"').find(|(at, _)| !quoted[..*at].ends_with('\\'));
                let (end, _) = end?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        pairs.entry(name).or_insert(value);
        rest = after.trim_start();
    }
    let field = |names: &[&str]| names.iter().find_map(|name| pairs.get(name).copied());
    of_fields(field(METHODS), field(PATHS)?, field(CODES)?)
}

fn of_fields(method: Option<&str>, path: &str, code: &str) -> Option<Request<'static>> {
    let asks = method.is_none_or(|method| matches!(method, "GET" | "HEAD"));
    let path = formats::path_of(path)?.to_owned();
    let code = parsed(code).filter(|code| (100..600).contains(code))?;
    asks.then_some(Request { path: Cow::Owned(path), code })
}

pub fn is_health_checker(line: &str) -> bool {
    line.contains("ELB-HealthChecker")
}

/// A path that the log shows to answer 2xx, the likeliest health check first: by its name, then by
/// how often. Anybody can ask an app for anything, so only a plain path is one to propose.
pub fn path_that_answers<'a>(
    lines: impl IntoIterator<Item = &'a LogLine>,
) -> Option<(String, &'a LogLine)> {
    let mut seen: BTreeMap<String, (usize, &LogLine)> = BTreeMap::new();
    for line in lines {
        if let Some(Request { path, code: 200..=299 }) = request(&line.message)
            && is_plain(&path)
        {
            let entry = seen.entry(path.into_owned()).or_insert((0, line));
            entry.0 += 1;
            entry.1 = line;
        }
    }
    let (path, (_, line)) =
        seen.into_iter().max_by_key(|(path, (count, _))| (named_for_health(path), *count))?;
    Some((path, line))
}

/// Longer than any path that somebody made for health checks.
const LONGEST_PATH: usize = 100;

/// Whether a path has only letters that mean nothing to a shell, to Terraform or to a reader.
fn is_plain(path: &str) -> bool {
    path.len() <= LONGEST_PATH
        && path.starts_with('/')
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "/_.~-".contains(c))
}

/// Whether a path's name says that it is there for health checks.
pub fn named_for_health(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["health", "ready", "live", "ping", "status", "up"].iter().any(|word| {
        path.rsplit('/').next().is_some_and(|last| last.trim_end_matches('z').starts_with(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(String, u16)> {
        request(line).map(|request| (request.path.into_owned(), request.code))
    }

    #[test]
    fn loggers_that_write_fields_are_read_by_their_keys() {
        for (line, path, code) in [
            (r#"{"level":"info","status":204,"path":"/ready"}"#, "/ready", 204),
            (r#"{"method":"GET","uri":"/health?x=1","status":200,"latency":5}"#, "/health", 200),
            (
                r#"{"level":30,"req":{"method":"GET","url":"/health"},"res":{"statusCode":404}}"#,
                "/health",
                404,
            ),
            (r#"{"request":{"method":"HEAD","uri":"/up"},"status":200}"#, "/up", 200),
            (
                r#"{"httpRequest":{"requestMethod":"GET","requestUrl":"http://a.b/up","status":200}}"#,
                "/up",
                200,
            ),
            (r#"{"status":"503","request_uri":"/a"}"#, "/a", 503),
            (r#"{"level":"info","message":"GET /health 200 1.2 ms - 15"}"#, "/health", 200),
            (
                r#"{"log":"10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] \"GET /x HTTP/1.1\" 404 2"}"#,
                "/x",
                404,
            ),
            (
                "method=GET path=/health format=html controller=H status=200 duration=5.1",
                "/health",
                200,
            ),
            (r#"at=info method=GET path="/health?a=b" host=a.b status=503"#, "/health", 503),
            (
                r#"time="2026-11-22T02:59:30Z" level=info msg="request" method=GET uri=/up status=200"#,
                "/up",
                200,
            ),
            (
                "I, [2026-11-22T02:59:30.123456 #1]  INFO -- : method=GET path=/up status=200",
                "/up",
                200,
            ),
        ] {
            assert_eq!(read(line), Some((path.to_owned(), code)), "{line}");
        }
    }

    #[test]
    fn what_a_client_wrote_is_no_request_of_its_own() {
        for line in [
            r#"{"level":"info","user_agent":"GET /evil/health 200"}"#,
            r#"{"ua":"\"path\":\"/evil\",\"status\":200"}"#,
            r#"{"headers":{"path":"/evil","status":200}}"#,
            r#"{"method":"POST","path":"/health","status":200}"#,
            r#"{"path":"/health","status":200"#,
            r#"{"path":"/health","status":2000}"#,
            r#"level=info ua="path=/evil status=200""#,
            r#"level=info ua="a \" path=/evil status=200""#,
            "request path=/evil status=200",
            "listening on :8080",
            "took 200 ms",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        let first = r#"method=GET path=/a status=404 ua=x path=/evil status=200"#;
        assert_eq!(read(first), Some(("/a".into(), 404)));
    }

    fn line(message: &str) -> LogLine {
        LogLine { message: message.into(), ..LogLine::default() }
    }

    #[test]
    fn proposes_the_path_that_is_named_for_health() {
        let lines = [
            line("GET /orders 200"),
            line("GET /orders 200"),
            line("GET /healthz 200"),
            line("GET / 404"),
        ];
        let proposed = |lines: &[LogLine]| path_that_answers(lines).map(|(path, _)| path);
        assert_eq!(proposed(&lines).as_deref(), Some("/healthz"));
        assert_eq!(proposed(&lines[3..]), None);
    }

    #[test]
    fn only_a_plain_path_is_proposed() {
        for path in [
            "/$(touch${IFS}x)/health",
            "/`id`/health",
            "/';id;'/health",
            "/a|b/health",
            "/%24%28id%29/health",
            "/${x}/health",
            "/caf\u{e9}/health",
            &format!("/{}/health", "a".repeat(100)),
        ] {
            assert_eq!(path_that_answers(&[line(&format!("GET {path} 200"))]), None, "{path}");
        }
        let found = path_that_answers(&[line("GET /a-b_c.d~e/1/health 200")]).is_some();
        assert!(found, "every letter that a path of ours may have");
    }
}
