//! Where an app says that it listens: the line that servers and frameworks log when they start. It
//! is what the app claims, and some print `localhost` while they listen everywhere: say "likely"
//! with it.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use crate::text::{parsed, pattern};

/// The address and the port that a log line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening<'a> {
    pub host: Option<&'a str>,
    pub port: Option<i32>,
}

impl Listening<'_> {
    /// Whether only the container itself can reach it.
    pub fn is_local(&self) -> bool {
        let Some(host) = self.host else { return false };
        let address: Option<IpAddr> = parsed(host.trim_matches(['[', ']']));
        host.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback())
    }
}

/// `listening on 127.0.0.1:8080`, `running on http://0.0.0.0:5000`, `started on port(s): 8080`,
/// `listening on :3000`.
static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(?:listening|running|serving|started|ready|bound)(?: (?:on|at|to))?(?: all addresses| address)?:? *\(?(?:[a-z]{2,5}://)?",
        r"(?:(?<host>localhost|\*|::|\[[0-9a-f:]*\]|\d+\.\d+\.\d+\.\d+)(?::(?<port>\d{2,5})\b)?",
        r"|(?:port(?:\(s\))?:? *|:)(?<only>\d{2,5})\b)",
        r"|\blistening (?:on|at) (?<bare>\d{2,5})\b",
    ))
});

/// Where a log line says that the app listens, if it is such a line.
pub fn read(line: &str) -> Option<Listening<'_>> {
    let found = LINE.as_ref()?.captures(line)?;
    let port = ["port", "only", "bare"]
        .iter()
        .find_map(|name| found.name(name))
        .and_then(|port| parsed(port.as_str()));
    Some(Listening { host: found.name("host").map(|host| host.as_str()), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_log_when_they_start() {
        let cases = [
            ("Server listening on http://127.0.0.1:8080", Some("127.0.0.1"), Some(8080), true),
            (
                "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
                Some("127.0.0.1"),
                Some(8000),
                true,
            ),
            (
                "[2026-11-22 02:58:00 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)",
                Some("0.0.0.0"),
                Some(8000),
                false,
            ),
            ("Now listening on: http://localhost:5000", Some("localhost"), Some(5000), true),
            ("Now listening on: http://[::]:8080", Some("[::]"), Some(8080), false),
            ("* Listening on tcp://[::1]:9292", Some("[::1]"), Some(9292), true),
            (" * Running on all addresses (0.0.0.0)", Some("0.0.0.0"), None, false),
            (" * Running on http://10.0.1.21:5000", Some("10.0.1.21"), Some(5000), false),
            (
                r#"{"level":30,"msg":"Server listening at http://127.0.0.1:3000"}"#,
                Some("127.0.0.1"),
                Some(3000),
                true,
            ),
            ("Example app listening on port 3000!", None, Some(3000), false),
            ("listening on 8080", None, Some(8080), false),
            ("listening on :8080", None, Some(8080), false),
            (
                "Tomcat started on port(s): 8080 (http) with context path ''",
                None,
                Some(8080),
                false,
            ),
        ];
        for (line, host, port, local) in cases {
            let read = read(line).unwrap_or_else(|| panic!("not read: {line}"));
            assert_eq!((read.host, read.port, read.is_local()), (host, port, local), "{line}");
        }
    }

    #[test]
    fn other_lines_say_nothing_about_listening() {
        let lines = [
            "GET /orders 200 3.1 ms",
            "connected to redis running on cache.internal:6379",
            "started 12 workers",
            "running on 16 cores",
            "started at 02:58:00",
            "running migrations on 10.0.0.5",
        ];
        for line in lines {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
