//! What the probe shows: where the name really resolves, and whether the load balancer or the app
//! answered. An answer with `server: awselb/2.0` is the load balancer's own; without that header,
//! its page gives the load balancer away.

use schemars::JsonSchema;
use serde::Serialize;

use crate::snapshot::{Probe, ProbeAnswer, ProbeFailure};

/// Who made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "AnswerMaker")]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// The load balancer itself, by its `server` header.
    LoadBalancer,
    /// The load balancer itself, by its page alone: the header can be switched off.
    LikelyLoadBalancer,
    /// The app, or something in front of it other than the load balancer.
    App,
}

pub fn maker(answer: &ProbeAnswer) -> Maker {
    match answer.server.as_deref() {
        Some(server) if server.starts_with("awselb/") => Maker::LoadBalancer,
        None if answer.balancer_page => Maker::LikelyLoadBalancer,
        _ => Maker::App,
    }
}

/// How far a request came that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ProbeStage")]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its name does not resolve.
    Resolve,
    /// The address is not the load balancer's, so nothing was sent.
    Address,
    /// There was no connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// There was no answer in time.
    Timeout,
    /// What came is no proper answer.
    Answer,
}

impl Stage {
    pub fn of(failure: &ProbeFailure) -> Stage {
        match failure.stage.as_str() {
            "resolve" => Stage::Resolve,
            "address" => Stage::Address,
            "connect" => Stage::Connect,
            "tls" => Stage::Tls,
            "timeout" => Stage::Timeout,
            _ => Stage::Answer,
        }
    }
}

/// Where the name of the probed URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    ToBalancer,
    Elsewhere,
    Nowhere,
    Unknown,
}

pub fn leads(probe: &Probe) -> Leads {
    let unresolved =
        probe.failure.as_ref().is_some_and(|failure| Stage::of(failure) == Stage::Resolve);
    match (probe.addresses.as_slice(), probe.balancer_addresses.as_slice()) {
        ([], _) if unresolved => Leads::Nowhere,
        ([], _) | (_, []) => Leads::Unknown,
        (addresses, own) if addresses.iter().any(|address| own.contains(address)) => {
            Leads::ToBalancer
        }
        _ => Leads::Elsewhere,
    }
}

/// Each step of the probe in a line.
pub fn words(probe: &Probe) -> Vec<String> {
    let answer = |answer: &ProbeAnswer| {
        let server = answer
            .server
            .as_deref()
            .map_or_else(|| "no server header".to_owned(), |server| format!("server {server}"));
        let maker = match maker(answer) {
            Maker::LoadBalancer => "the load balancer itself answered",
            Maker::LikelyLoadBalancer => {
                "likely the load balancer itself answered: the page is its own"
            }
            Maker::App => {
                "the app answered, or something in front of it other than the load balancer"
            }
        };
        format!(
            "GET {} got {} in {} ms, {server}: {maker}",
            answer.url, answer.status, answer.elapsed_ms
        )
    };
    let mut words: Vec<String> = probe.answers.iter().map(answer).collect();
    words.extend(probe.failure.as_ref().map(|failure| {
        let what = match Stage::of(failure) {
            Stage::Resolve => "the name does not resolve",
            Stage::Address => "nothing was sent",
            Stage::Connect => "no connection",
            Stage::Tls => "the TLS handshake failed",
            Stage::Timeout => "no answer in time",
            Stage::Answer => "no proper answer",
        };
        format!(
            "GET {}: {what} after {} ms: {}",
            failure.url,
            failure.elapsed_ms,
            failure.message.trim_end_matches('.')
        )
    }));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(server: Option<&str>, balancer_page: bool) -> ProbeAnswer {
        ProbeAnswer {
            url: "http://a.b/".into(),
            status: 503,
            server: server.map(Into::into),
            balancer_page,
            elapsed_ms: 12,
        }
    }

    #[test]
    fn the_header_tells_the_balancer_from_the_app() {
        assert_eq!(maker(&answer(Some("awselb/2.0"), false)), Maker::LoadBalancer);
        assert_eq!(maker(&answer(None, true)), Maker::LikelyLoadBalancer);
        assert_eq!(
            maker(&answer(Some("nginx"), true)),
            Maker::App,
            "an app's page may look the same"
        );
        assert_eq!(maker(&answer(None, false)), Maker::App);
    }

    #[test]
    fn one_address_of_the_balancer_is_enough() {
        let mut probe = Probe {
            addresses: vec!["1.2.3.4".into()],
            balancer_addresses: vec!["5.6.7.8".into(), "1.2.3.4".into()],
            ..Probe::default()
        };
        assert_eq!(leads(&probe), Leads::ToBalancer);
        probe.addresses = vec!["9.9.9.9".into()];
        assert_eq!(leads(&probe), Leads::Elsewhere);
        probe.balancer_addresses.clear();
        assert_eq!(leads(&probe), Leads::Unknown, "without its addresses nothing is compared");
        probe.addresses.clear();
        probe.failure = Some(ProbeFailure { stage: "resolve".into(), ..ProbeFailure::default() });
        assert_eq!(leads(&probe), Leads::Nowhere);
    }

    #[test]
    fn every_step_has_a_line() {
        let failure = ProbeFailure {
            url: "https://a.b/".into(),
            stage: "connect".into(),
            message: "Connection refused.".into(),
            elapsed_ms: 3,
        };
        let probe = Probe {
            answers: vec![answer(Some("awselb/2.0"), true)],
            failure: Some(failure),
            ..Probe::default()
        };
        assert_eq!(
            words(&probe),
            [
                "GET http://a.b/ got 503 in 12 ms, server awselb/2.0: the load balancer itself answered",
                "GET https://a.b/: no connection after 3 ms: Connection refused"
            ]
        );
    }
}
