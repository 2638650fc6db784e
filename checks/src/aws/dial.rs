//! Connections that did not come about, as clients in the usual languages write it: to which address
//! or name, on which port, and how it failed. A request that was sent and never answered is no such
//! line: that connection was there. The words and places of each client are in `clients`.

mod clients;

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::text::{parsed, pattern};

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The name does not resolve.
    Unresolved,
    /// The other side, or what stands before it, says no.
    Refused,
    /// No answer in time.
    TimedOut,
}

/// How a connection failed, if the line tells of one that did.
pub fn how(line: &str) -> Option<How> {
    let line = line.to_ascii_lowercase();
    clients::WORDS.iter().find(|(word, _)| line.contains(word)).map(|(_, how)| *how)
}

/// A connection that did not come about, as one line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial<'a> {
    pub how: How,
    /// The name that was asked for, where the line has it.
    pub host: Option<&'a str>,
    /// The address that was tried, where the line has it.
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
}

static PLACES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    clients::PLACES.iter().filter_map(|place| pattern(&clients::spelled_out(place))).collect()
});

/// The connection that a line says did not come about, where it says to whom.
pub fn read(line: &str) -> Option<Dial<'_>> {
    let how = how(line)?;
    let small = line.to_ascii_lowercase();
    if how == How::TimedOut && clients::SENT.iter().any(|word| small.contains(word)) {
        return None;
    }
    let found = PLACES.iter().find_map(|place| place.captures(line))?;
    let to = found.name("to")?.as_str().trim_end_matches('.');
    let address = parsed::<IpAddr>(to).map(|address| address.to_canonical());
    let name = found.name("host").map(|host| host.as_str()).filter(|host| !host.is_empty());
    let host = if address.is_some() { name } else { Some(to) };
    Some(Dial { how, host, address, port: port(&found, line) })
}

/// The port that the line has, or the usual one of the URL that it stands in, or of the only URL.
fn port(found: &Captures, line: &str) -> Option<u16> {
    if let Some(port) = found.name("port") {
        return parsed(port.as_str());
    }
    let before = found.name("to").and_then(|to| line.get(..to.start())).unwrap_or_default();
    if before.ends_with("http://") { Some(80) } else { line.contains("https://").then_some(443) }
}

impl Dial<'_> {
    /// Whether it went to the task itself, to another container of it, or to what ECS has there for
    /// every task, such as the credentials at 169.254.170.2.
    pub fn is_local(&self) -> bool {
        match self.address {
            Some(IpAddr::V4(address)) => {
                address.is_loopback() || address.is_link_local() || address.is_unspecified()
            }
            Some(IpAddr::V6(address)) => {
                address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified()
            }
            None => self.host.is_some_and(|host| host == "localhost" || is_of_container(host)),
        }
    }

    /// `203.0.113.80:443`, `[2001:db8::1]:443`, `api.example.com`.
    pub fn to(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        match (self.address, self.host) {
            (Some(IpAddr::V6(address)), _) if self.port.is_some() => format!("[{address}]{port}"),
            (Some(address), _) => format!("{address}{port}"),
            (None, Some(host)) => format!("{host}{port}"),
            (None, None) => "another host".to_owned(),
        }
    }
}

/// Whether a name is the one that a container has of itself: twelve digits of its id, which nobody
/// else knows.
fn is_of_container(host: &str) -> bool {
    host.len() == 12
        && host.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && host.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_own_name_and_the_endpoints_on_the_task_are_local() {
        let is_local = |line: &str| read(line).map(|dial| dial.is_local());
        let own = "Local host name unknown: java.net.UnknownHostException: 823064ca3923: 823064ca3923: Name or service not known";
        assert_eq!(is_local(own), Some(true));
        assert_eq!(is_local("dial tcp 169.254.170.2:80: i/o timeout"), Some(true));
        assert_eq!(is_local("java.net.UnknownHostException: db.internal"), Some(false));
        assert_eq!(is_local("java.net.UnknownHostException: feedbackhub1"), Some(false));
    }

    #[test]
    fn reads_what_clients_log() {
        let cases = [
            ("Error: connect ECONNREFUSED 10.0.21.5:5432", Some(How::Refused)),
            ("Error: connect ETIMEDOUT 10.0.21.5:5432", Some(How::TimedOut)),
            ("Error: getaddrinfo ENOTFOUND orders", Some(How::Unresolved)),
            (
                "connection to server at \"db.example\" (10.0.21.5), port 5432 failed: Connection timed out",
                Some(How::TimedOut),
            ),
            ("dial tcp 10.0.21.5:3306: i/o timeout", Some(How::TimedOut)),
            ("dial tcp: lookup orders on 10.0.0.2:53: no such host", Some(How::Unresolved)),
            ("java.net.UnknownHostException: orders", Some(How::Unresolved)),
            (
                "sqlalchemy.exc.OperationalError: (2003, \"Can't connect to MySQL server on 'db.example'\")",
                Some(How::TimedOut),
            ),
            ("GET /orders 200 3.1 ms", None),
            ("FATAL: password authentication failed for user \"app\"", None),
        ];
        for (line, expected) in cases {
            assert_eq!(how(line), expected, "{line}");
        }
    }

    #[test]
    fn reads_where_it_went_in_every_language() {
        for (line, to) in [
            (
                "ERROR PROVIDER_TIMEOUT POST https://api.example.test/v1 connect ETIMEDOUT 203.0.113.80:443",
                "203.0.113.80:443",
            ),
            ("Error: connect EHOSTUNREACH 10.1.2.3:6379 - Local (10.0.1.5:41032)", "10.1.2.3:6379"),
            (
                "Error: getaddrinfo ENOTFOUND api.corp.local api.corp.local:8443",
                "api.corp.local:8443",
            ),
            ("getaddrinfo EAI_AGAIN api.example.com", "api.example.com"),
            (
                "ConnectTimeoutError: Connect Timeout Error (attempted address: api.example.com:443, timeout: 10000ms)",
                "api.example.com:443",
            ),
            (
                "ConnectTimeoutError: Connect Timeout Error (attempted addresses: 203.0.113.8:443, timeout: 10000ms)",
                "203.0.113.8:443",
            ),
            (
                "Get \"https://api.example.com/\": dial tcp 203.0.113.8:443: i/o timeout",
                "203.0.113.8:443",
            ),
            ("dial tcp [2001:db8::1]:443: connect: network is unreachable", "[2001:db8::1]:443"),
            ("dial tcp: lookup api.corp.local on 10.0.0.2:53: no such host", "api.corp.local"),
            (
                "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded with url: / (Caused by ConnectTimeoutError(<x>, 'Connection to api.example.com timed out. (connect timeout=5)'))",
                "api.example.com:443",
            ),
            (
                "botocore.exceptions.ConnectTimeoutError: Connect timeout on endpoint URL: \"https://sqs.eu-west-2.amazonaws.com/\"",
                "sqs.eu-west-2.amazonaws.com:443",
            ),
            (
                "connection to server at \"db.example\" (10.0.21.5), port 5432 failed: Connection timed out",
                "10.0.21.5:5432",
            ),
            (
                "psql: error: could not translate host name \"db.corp.local\" to address: Name or service not known",
                "db.corp.local",
            ),
            (
                "aiohttp: Cannot connect to host api.example.com:443 ssl:default [Connection timed out]",
                "api.example.com:443",
            ),
            (
                "org.apache.http.conn.ConnectTimeoutException: Connect to api.example.com:443 [api.example.com/203.0.113.8] failed: connect timed out",
                "203.0.113.8:443",
            ),
            (
                "java.net.SocketTimeoutException: failed to connect to api.example.com/203.0.113.8 (port 443) from /10.0.1.5 (port 40000) after 10000ms: timed out",
                "203.0.113.8:443",
            ),
            (
                "io.netty.channel.ConnectTimeoutException: connection timed out after 30000 ms: api.example.com/203.0.113.8:443",
                "203.0.113.8:443",
            ),
            (
                "java.net.UnknownHostException: api.corp.local: Name or service not known",
                "api.corp.local",
            ),
            (
                "System.Net.Http.HttpRequestException: Connection timed out (api.example.com:443)",
                "api.example.com:443",
            ),
            (
                "System.Net.Http.HttpRequestException: Name or service not known (api.corp.local:443)",
                "api.corp.local:443",
            ),
            (
                "Errno::ETIMEDOUT: Failed to open TCP connection to api.example.com:443 (Connection timed out)",
                "api.example.com:443",
            ),
            (
                "cURL error 28: Failed to connect to api.example.com port 443 after 30000 ms: Connection timed out",
                "api.example.com:443",
            ),
            ("curl: (6) Could not resolve host: api.corp.local", "api.corp.local"),
            (
                "upstream timed out (110: Connection timed out) while connecting to upstream, client: 10.0.3.9, upstream: \"http://10.0.1.5:8080/\"",
                "10.0.1.5:8080",
            ),
        ] {
            assert_eq!(read(line).map(|dial| dial.to()), Some(to.to_owned()), "{line}");
        }
    }

    #[test]
    fn an_answer_that_does_not_come_is_no_failed_connection() {
        for line in [
            "HTTPSConnectionPool(host='api.example.com', port=443): Read timed out. (read timeout=5)",
            "Get \"https://api.example.com/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            "Error: read ETIMEDOUT 10.0.21.5:5432",
            "Error: query timed out",
            "GET /orders 200 3.1 ms",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn every_pattern_compiles_and_knows_what_is_the_tasks_own() {
        assert_eq!(PLACES.len(), clients::PLACES.len());
        assert!(read("connect ECONNREFUSED 127.0.0.1:6379").is_some_and(|dial| dial.is_local()));
        assert!(read("dial tcp 169.254.170.2:80: i/o timeout").is_some_and(|dial| dial.is_local()));
        assert!(!read("connect ETIMEDOUT 10.0.0.9:6379").is_some_and(|dial| dial.is_local()));
        for own in [
            "connect ECONNREFUSED ::1:6379",
            "connect ECONNREFUSED ::ffff:127.0.0.1:6379",
            "Error 111 connecting to localhost:6379. Connection refused.",
            "Local host name unknown: java.net.UnknownHostException: 823064ca3923: 823064ca3923: Name or service not known",
        ] {
            assert!(read(own).is_some_and(|dial| dial.is_local()), "{own}");
        }
    }
}
