//! Requests and their status codes, as web servers and frameworks log them: enough to see what
//! answers the balancer's health checker, and which other path would.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::snapshot::LogLine;
use crate::text::{parsed, pattern};

/// One request in a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub path: &'a str,
    pub code: u16,
}

/// `"GET /health HTTP/1.1" 200`, `GET /health 200 3ms`, `GET /health -> 200`.
static PLAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"\b(?:GET|HEAD) (?<path>/[^\s"?]*)[^\s"]*(?: HTTP/[0-9.]+)?"?(?: -| ->|:|,)? "?(?<code>[1-5][0-9]{2})\b"#,
    )
});
/// `{"path":"/health","status":200}` in whatever order and spelling the usual loggers have.
static PATH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r#""(?:path|url|uri|request_uri|requestPath|RequestPath)"\s*:\s*"(?<path>/[^"?]*)"#)
});
static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#""(?:status|statusCode|status_code|StatusCode|code)"\s*:\s*"?(?<code>[1-5][0-9]{2})\b"#,
    )
});

/// The request that a log line tells of, if it is the line of an access log.
pub fn request(line: &str) -> Option<Request<'_>> {
    let one = PLAIN.as_ref()?.captures(line);
    let (path, code) = match &one {
        Some(found) => (found.name("path")?, found.name("code")?),
        None => (
            PATH.as_ref()?.captures(line)?.name("path")?,
            CODE.as_ref()?.captures(line)?.name("code")?,
        ),
    };
    Some(Request { path: path.as_str(), code: parsed(code.as_str())? })
}

pub fn is_health_checker(line: &str) -> bool {
    line.contains("ELB-HealthChecker")
}

/// A path that the log shows to answer 2xx, the likeliest health check first: by its name, then by
/// how often.
pub fn path_that_answers<'a>(
    lines: impl IntoIterator<Item = &'a LogLine>,
) -> Option<(&'a str, &'a LogLine)> {
    let mut seen: BTreeMap<&str, (usize, &LogLine)> = BTreeMap::new();
    for line in lines {
        if let Some(Request { path, code: 200..=299 }) = request(&line.message) {
            let entry = seen.entry(path).or_insert((0, line));
            entry.0 += 1;
            entry.1 = line;
        }
    }
    let (path, (_, line)) =
        seen.into_iter().max_by_key(|(path, (count, _))| (named_for_health(path), *count))?;
    Some((path, line))
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

    #[test]
    fn reads_the_usual_access_logs() {
        let cases = [
            (
                r#"10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "GET / HTTP/1.1" 404 22 "-" "ELB-HealthChecker/2.0""#,
                "/",
                404,
            ),
            (r#"INFO:     10.0.1.20:4312 - "GET /health HTTP/1.1" 200 OK"#, "/health", 200),
            ("GET /healthz?full=1 200 1.2 ms - 15", "/healthz", 200),
            (r#"{"level":"info","status":204,"path":"/ready"}"#, "/ready", 204),
        ];
        for (line, path, code) in cases {
            assert_eq!(request(line), Some(Request { path, code }), "{line}");
        }
        assert_eq!(request("listening on :8080"), None);
        assert_eq!(request("took 200 ms"), None);
    }

    #[test]
    fn proposes_the_path_that_is_named_for_health() {
        let line = |message: &str| LogLine { message: message.into(), ..LogLine::default() };
        let lines = [
            line("GET /orders 200"),
            line("GET /orders 200"),
            line("GET /healthz 200"),
            line("GET / 404"),
        ];
        assert_eq!(path_that_answers(&lines).map(|(path, _)| path), Some("/healthz"));
        assert_eq!(path_that_answers(&lines[3..]), None);
    }
}
