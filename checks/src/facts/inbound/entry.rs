//! Where a request for a URL enters: the load balancer that it is for, the listener that takes it,
//! the rule that decides, and where a redirect sends it. Who may come in there, and what becomes of
//! the request behind the rule, is for others.

use crate::aws::url::Url;
use crate::facts::inbound::request::{self, Takes};
use crate::facts::inbound::traffic;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Action, Listener, Rule};
use crate::text::parsed;

/// The service's load balancer that a URL is for: by its own name, by a rule that asks for the
/// host, or, where nothing tells, one that listens on the port.
pub fn balancer_for<'a>(patient: &Patient<'a>, url: &Url) -> Result<Option<&'a str>, Blind> {
    let balancers = traffic::balancers(patient)?;
    if let Some(named) = balancers.iter().find(|balancer| {
        dns_name(patient, balancer).is_some_and(|name| name.eq_ignore_ascii_case(&url.host))
    }) {
        return Ok(Some(named));
    }
    if balancers.len() <= 1 {
        return Ok(balancers.into_iter().next());
    }
    let mut listens = None;
    for balancer in &balancers {
        for listener in patient.listeners(balancer)? {
            if patient
                .rules(&listener.listener_arn)?
                .iter()
                .any(|rule| request::names_host(rule, &url.host))
            {
                return Ok(Some(balancer));
            }
            if listener.port == Some(url.port) {
                listens = listens.or(Some(*balancer));
            }
        }
    }
    Ok(listens.or(balancers.into_iter().next()))
}

pub fn dns_name<'a>(patient: &Patient<'a>, balancer: &str) -> Option<&'a str> {
    match patient.load_balancer(balancer) {
        Ok(balancer) => balancer.and_then(|balancer| balancer.dns_name.as_deref()),
        Err(_) => None,
    }
}

/// `HTTPS:443`.
pub fn listener_name(listener: &Listener) -> String {
    format!(
        "{}:{}",
        listener.protocol.as_deref().unwrap_or("listener"),
        listener.port.unwrap_or_default()
    )
}

/// The listener that a request for a URL connects to.
pub fn listener_for<'a>(listeners: &'a [Listener], url: &Url) -> Option<&'a Listener> {
    listeners.iter().find(|listener| listener.port == Some(url.port))
}

/// Whether a listener can understand a request for a URL. One of TCP hands on whatever comes.
pub fn speaks(listener: &Listener, url: &Url) -> bool {
    let protocol = listener.protocol.as_deref();
    match url.scheme.as_str() {
        "https" => protocol != Some("HTTP"),
        "http" => !matches!(protocol, Some("HTTPS" | "TLS")),
        _ => true,
    }
}

/// The first rule that takes every request for a URL.
pub fn rule_for<'a>(rules: &'a [Rule], url: &Url) -> Option<&'a Rule> {
    rules.iter().find(|rule| matches!(request::takes(rule, url), Takes::Yes))
}

/// Where a redirect leads: as it is shown, without the query, and as the client goes there. What it
/// does not change it keeps; `#{host}` and the like stand for the request's own, in each part.
pub fn redirected(action: &Action, url: &Url) -> (String, Option<Url>) {
    let query = url.query.as_deref().unwrap_or_default();
    let followed = parsed(&format!("{}?{query}", location(action, url, query)));
    // A query that goes into the path stays a keyword here.
    (
        location(action, url, "#{query}"),
        followed.map(|next| Url { query: url.query.clone(), ..next }),
    )
}

fn location(action: &Action, url: &Url, query: &str) -> String {
    let port = url.port.to_string();
    let keywords = [
        ("#{protocol}", url.scheme.as_str()),
        ("#{host}", &url.host),
        ("#{port}", &port),
        ("#{path}", url.path.trim_start_matches('/')),
        ("#{query}", query),
    ];
    let part = |pattern: Option<&str>, own: &str| {
        let filled = |text: String, (keyword, own): (&str, &str)| text.replace(keyword, own);
        pattern.map_or_else(
            || own.to_owned(),
            |pattern| keywords.into_iter().fold(pattern.to_owned(), filled),
        )
    };
    let scheme = part(action.redirect_protocol.as_deref(), &url.scheme).to_ascii_lowercase();
    let host = part(action.redirect_host.as_deref(), &url.host);
    let port = part(action.redirect_port.as_deref(), &port);
    let path = part(action.redirect_path.as_deref(), &url.path);
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let port = match (scheme.as_str(), port.as_str()) {
        ("https", "443") | ("http", "80") => String::new(),
        (_, port) => format!(":{port}"),
    };
    format!("{scheme}://{host}{port}{path}")
}
