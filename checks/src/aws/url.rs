//! URLs, taken apart as far as a load balancer looks at them.

use std::fmt;
use std::str::FromStr;

use crate::text::parsed;

/// A URL, taken apart. What identifies its user (`user:password@`) and its fragment never get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `http` or `https`; of a network load balancer's listener the protocol, in small letters.
    pub scheme: String,
    pub host: String,
    pub port: i32,
    pub path: String,
    /// What follows the question mark, as it was typed.
    pub query: Option<String>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let wrong = || format!("{text} is not an HTTP URL, such as https://api.example.com/");
        let (scheme, rest) =
            text.split_once("://").map_or(("https", text), |(scheme, rest)| (scheme, rest));
        let scheme = scheme.to_ascii_lowercase();
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, None), |(rest, query)| (rest, Some(query.to_owned())));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) =
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let port = match port {
            None => Url::default_port(&scheme),
            Some(port) => parsed(port).filter(|port| (1..=65_535).contains(port)),
        };
        let is_name = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        match port.filter(|_| is_name && matches!(scheme.as_str(), "http" | "https")) {
            Some(port) => {
                Ok(Url { scheme, host: host.to_ascii_lowercase(), port, path: path.into(), query })
            }
            None => Err(wrong()),
        }
    }
}

/// Without the query, which may hold what is nobody's business.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if Url::default_port(&self.scheme) != Some(self.port) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl Url {
    fn default_port(scheme: &str) -> Option<i32> {
        match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        }
    }

    /// The pairs of the query; a name without a value has an empty one.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts =
            self.query.as_deref().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        parts.map(|part| part.split_once('=').unwrap_or((part, "")))
    }
}
