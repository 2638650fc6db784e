//! Calls of an app to an API of API Gateway by its own name that were refused or not answered, as its
//! log has them. A refusal that says what the caller lacks was given by the API itself, and is no
//! such call.

use crate::aws::dial::{self, How};
use crate::aws::host::{self, AwsHost};
use crate::aws::request_log;

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// 403, and nothing else is said.
    Forbidden,
    /// No connection came about.
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCall<'a> {
    /// `a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com`
    pub host: &'a str,
    pub api: &'a str,
    pub region: &'a str,
    pub failure: Failure,
}

/// What an API says to a caller that it knows, and does not let in.
const OF_THE_API: [&str; 7] = [
    "missing authentication token",
    "not authorized",
    "explicit deny",
    "signature",
    "security token",
    "expired",
    "api key",
];

/// The call that a line says failed; none where it is about a request to the app itself.
pub fn read(line: &str) -> Option<FailedCall<'_>> {
    let (host, api, region) = named(line)?;
    // A proxy may be asked by the name of the API that stands before it.
    if request_log::request(line).is_some() && !line.contains(&format!("://{host}")) {
        return None;
    }
    let small = line.to_ascii_lowercase();
    let failure = match dial::how(line) {
        Some(How::TimedOut | How::Refused) => Failure::Unanswered,
        // The endpoint's names cover every API: who does not resolve one was not led there.
        Some(How::Unresolved) => return None,
        None if OF_THE_API.iter().any(|word| small.contains(word)) => return None,
        None if small.contains("forbidden") || has_403(line) => Failure::Forbidden,
        None => return None,
    };
    Some(FailedCall { host, api, region, failure })
}

/// The first API that a text names. A name with an endpoint in it (`a1b2c3d4e5-vpce-0123`) leads to
/// that endpoint by itself.
pub fn named(text: &str) -> Option<(&str, &str, &str)> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
    words.map(|word| word.trim_end_matches('.')).find_map(|word| match host::of_aws(word)? {
        AwsHost::Api { id, region } if !id.contains("-vpce-") => Some((word, id, region)),
        _ => None,
    })
}

fn has_403(line: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "403")
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com";

    fn failure(line: &str) -> Option<Failure> {
        read(line).map(|call| call.failure)
    }

    #[test]
    fn reads_how_clients_tell_of_a_refusal() {
        for line in [
            format!("AxiosError: Request failed with status code 403 POST https://{API}/prod/v1"),
            format!(
                "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://{API}/prod"
            ),
            format!("{{\"level\":\"error\",\"url\":\"https://{API}/prod\",\"status\":403}}"),
            format!(
                "403 Forbidden: \"{{\"message\":\"Forbidden\"}}\" from POST https://{API}/prod"
            ),
        ] {
            assert_eq!(failure(&line), Some(Failure::Forbidden), "{line}");
            assert_eq!(
                read(&line).map(|call| (call.api, call.region)),
                Some(("a1b2c3d4e5", "eu-west-2"))
            );
        }
        let slow = format!(
            "HTTPSConnectionPool(host='{API}', port=443): Max retries exceeded (Caused by ConnectTimeoutError)"
        );
        assert_eq!(failure(&slow), Some(Failure::Unanswered));
    }

    #[test]
    fn what_the_api_itself_says_and_what_others_are_asked_is_no_such_call() {
        for line in [
            format!("403 from https://{API}/prodd: {{\"message\":\"Missing Authentication Token\"}}"),
            format!("https://{API}/prod 403 User: anonymous is not authorized to perform: execute-api:Invoke"),
            format!("getaddrinfo ENOTFOUND {API}"),
            format!("POST https://{API}/prod 200 in 14 ms"),
            "403 Forbidden for url: https://api.example.com/v1".to_owned(),
            "403 https://a1b2c3d4e5-vpce-0123456789abcdef0.execute-api.eu-west-2.amazonaws.com/prod".to_owned(),
            format!("order 4031 sent to https://{API}/prod"),
        ] {
            assert_eq!(failure(&line), None, "{line}");
        }
    }
}
