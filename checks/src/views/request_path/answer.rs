//! Who makes the answer that the client sees: each part of the requests has an outcome, and
//! together they are the answer.

use schemars::JsonSchema;
use serde::Serialize;

use crate::aws::url::Url;
use crate::facts::inbound::traffic;

/// Who makes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "AnsweredBy")]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The tasks of the service.
    App,
    /// The load balancer itself: an error of its own, a redirect or a fixed response.
    LoadBalancer,
    /// Some requests get an answer of the load balancer's own, others the app's.
    Both,
    /// There is no answer: the connection fails.
    Nobody,
    /// Somebody else: a Lambda function, another load balancer, the tasks of another service.
    Other,
    /// A hop that decides could not be seen, or lets only some requests pass.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub by: By,
    /// The status code, where the load balancer itself answers.
    pub status: Option<String>,
    pub says: String,
    /// Where a redirect leads, without the query.
    pub location: Option<String>,
    /// The same with the query, which is followed and never shown.
    pub next: Option<Url>,
}

impl Answer {
    pub fn new(by: By, status: Option<&str>, says: impl Into<String>) -> Answer {
        Answer {
            by,
            status: status.map(str::to_owned),
            says: says.into(),
            location: None,
            next: None,
        }
    }
}

pub fn nobody(says: &str) -> Answer {
    Answer::new(By::Nobody, None, says)
}

/// What a part of the requests gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    App,
    /// An answer of the load balancer's own.
    Own {
        status: &'static str,
        likely: bool,
    },
    /// The app, if it answers at all; otherwise the load balancer with this status.
    AppUnless(&'static str),
    /// No answer: a network load balancer has no status codes.
    Fails,
    Other(&'static str),
    Unknown,
}

pub fn together(outcomes: &[(f64, Outcome)]) -> Answer {
    let of = |outcome: Outcome, percent: f64| {
        let all = percent > 99.9;
        let part = || {
            if all {
                String::new()
            } else {
                format!(" to about {}", traffic::percent_words(percent))
            }
        };
        match outcome {
            Outcome::App => {
                if all {
                    "the app answers".into()
                } else {
                    format!("the app answers about {}", traffic::percent_words(percent))
                }
            }
            Outcome::Own { status, likely } => format!(
                "the load balancer {}answers {status} itself{}",
                if likely { "likely " } else { "" },
                part()
            ),
            Outcome::Fails => {
                format!(
                    "the connection fails{}",
                    if all {
                        String::new()
                    } else {
                        format!(" for about {}", traffic::percent_words(percent))
                    }
                )
            }
            Outcome::AppUnless(status) => {
                format!(
                    "the app answers, or, where it does not, the load balancer with {status}{}",
                    part().replace(" to", " for")
                )
            }
            Outcome::Other(who) => format!("{who} answers{}", part()),
            Outcome::Unknown => {
                format!("who answers is not known{}", part().replace(" to", " for"))
            }
        }
    };
    // Groups that fare alike are told together.
    let mut parts: Vec<(f64, Outcome)> = Vec::new();
    for (percent, outcome) in outcomes {
        match parts.iter_mut().find(|(_, known)| known == outcome) {
            Some((sum, _)) => *sum += percent,
            None => parts.push((*percent, *outcome)),
        }
    }
    let says: Vec<String> = parts.iter().map(|(percent, outcome)| of(*outcome, *percent)).collect();
    let status = parts.iter().find_map(|(_, outcome)| {
        if let Outcome::Own { status, .. } = outcome { Some(*status) } else { None }
    });
    let by = match parts.as_slice() {
        [(_, Outcome::App)] => By::App,
        [(_, Outcome::Own { .. })] => By::LoadBalancer,
        [(_, Outcome::Fails)] => By::Nobody,
        [(_, Outcome::Other(_))] => By::Other,
        _ if parts
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Unknown | Outcome::AppUnless(_))) =>
        {
            By::Unknown
        }
        _ => By::Both,
    };
    Answer::new(by, status, says.join(", and "))
}
