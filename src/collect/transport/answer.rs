//! Whether the body of an answer is one. A proxy, a broken connection or a half-dead server can
//! answer with 200 and nothing, half a document, or an object without members; the SDK would make
//! empty lists of it, and an empty list is a fact.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde::de::IgnoredAny;

use crate::collect::ask::THROTTLED;

/// An answer that tells nothing, however it is read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

/// What was asked for, as far as the shape of the answer depends on it.
pub enum Asked {
    Json {
        operation: String,
    },
    /// The root element of the answer, and whether a result must be in it.
    Xml {
        operation: String,
    },
    Cbor {
        operation: String,
    },
    Unknown,
}

/// Members without which the answer to an operation is none; AWS gives them even when there is
/// nothing to tell.
const REQUIRED: &[(&str, &str)] = &[
    ("DescribeServices", "services"),
    ("DescribeTasks", "tasks"),
    ("DescribeClusters", "clusters"),
    ("DescribeTaskDefinition", "taskDefinition"),
    ("DescribeServiceDeployments", "serviceDeployments"),
    ("DescribeServiceRevisions", "serviceRevisions"),
    ("DescribeContainerInstances", "containerInstances"),
    ("DescribeCapacityProviders", "capacityProviders"),
    ("ListClusters", "clusterArns"),
    ("ListServices", "serviceArns"),
    ("ListTasks", "taskArns"),
    ("ListServiceDeployments", "serviceDeployments"),
    ("ListContainerInstances", "containerInstanceArns"),
    ("GetLogEvents", "events"),
    ("DescribeCertificate", "Certificate"),
    ("LookupEvents", "Events"),
    ("GetMetricData", "MetricDataResults"),
];

/// Operations to which an empty object is an answer: there is none.
const MAY_BE_EMPTY: &[&str] = &["GetWebACLForResource"];

impl Asked {
    /// Each protocol says the operation in another place.
    pub fn of(request: &HttpRequest) -> Asked {
        let last = |text: &str, at: char| text.rsplit(at).next().unwrap_or(text).to_owned();
        if let Some(target) = request.headers().get("x-amz-target") {
            return Asked::Json { operation: last(target, '.') };
        }
        if request.headers().get("smithy-protocol").is_some() {
            return Asked::Cbor { operation: last(request.uri(), '/') };
        }
        let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
        match body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
            Some(operation) => Asked::Xml { operation: operation.to_owned() },
            None => Asked::Unknown,
        }
    }

    pub fn judge(&self, body: &[u8]) -> Result<(), BadAnswer> {
        if body.iter().all(u8::is_ascii_whitespace) && !matches!(self, Asked::Unknown) {
            return Err(BadAnswer("it is empty".into()));
        }
        match self {
            Asked::Json { operation } => json(operation, body),
            Asked::Xml { operation } => xml(operation, &String::from_utf8_lossy(body)),
            // A map of no members, by its length or by its end.
            Asked::Cbor { .. } if matches!(body, [0xa0] | [0xbf, 0xff]) => {
                Err(BadAnswer("it has no members".into()))
            }
            Asked::Cbor { operation } => match required(operation) {
                Some(member) if !has(body, member) => Err(lacks(member)),
                _ => Ok(()),
            },
            Asked::Unknown => Ok(()),
        }
    }
}

fn required(operation: &str) -> Option<&'static str> {
    REQUIRED.iter().find(|(of, _)| *of == operation).map(|(_, member)| *member)
}

fn lacks(member: &str) -> BadAnswer {
    BadAnswer(format!("it lacks {member}"))
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

fn json(operation: &str, body: &[u8]) -> Result<(), BadAnswer> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body)
        .map_err(|error| BadAnswer(format!("it is no JSON object: {error}")))?;
    match required(operation) {
        Some(member) if !members.contains_key(member) => Err(lacks(member)),
        _ if members.is_empty() && !MAY_BE_EMPTY.contains(&operation) => {
            Err(BadAnswer("it has no members".into()))
        }
        _ => Ok(()),
    }
}

/// One root element of the operation's name, which closes, with something in it besides the frame
/// of a result and the id of the request.
fn xml(operation: &str, body: &str) -> Result<(), BadAnswer> {
    let root = format!("{operation}Response");
    let body = body.trim();
    let body = match body.strip_prefix("<?") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest).trim_start(),
        None => body,
    };
    let after = |text: &str| text.starts_with(['>', ' ', '\n', '\t', '\r']);
    let opens = body.strip_prefix('<').and_then(|rest| rest.strip_prefix(root.as_str()));
    let Some(inside) = opens.filter(|rest| after(rest)).and_then(|rest| rest.split_once('>'))
    else {
        return Err(BadAnswer(format!("it is no {root}")));
    };
    let Some(inside) = inside.1.strip_suffix(&format!("</{root}>")) else {
        return Err(BadAnswer(format!("its {root} does not end")));
    };
    let result = format!("{operation}Result>");
    let meta = ["requestId>", "RequestId>", "ResponseMetadata>", &result];
    let elements = inside.split('<').skip(1).filter(|part| !part.starts_with('/'));
    let is_meta = |part: &&str| meta.iter().any(|it| part.starts_with(it));
    match elements.filter(|part| !is_meta(part)).count() {
        0 => Err(BadAnswer(format!("its {root} has nothing in it"))),
        _ => Ok(()),
    }
}

/// AWS's ways to say "later": a status of its own, or a code in whatever shape.
pub fn asks_for_patience(status: u16, body: &[u8]) -> bool {
    status == 429 || (status >= 400 && THROTTLED.iter().any(|code| has_code(body, code)))
}

/// The code as a word, so that none is found in a message that only speaks of it.
fn has_code(body: &[u8], code: &str) -> bool {
    ["\"", "#", ">"].iter().any(|before| has(body, &format!("{before}{code}")))
        || body.windows(code.len() + 1).any(|window| {
            // Of CBOR, a byte with the length stands before a text.
            &window[1..] == code.as_bytes() && !window[0].is_ascii()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(protocol: &str, operation: &str) -> Asked {
        let operation = operation.to_owned();
        match protocol {
            "json" => Asked::Json { operation },
            "xml" => Asked::Xml { operation },
            _ => Asked::Cbor { operation },
        }
    }

    #[test]
    fn what_is_no_answer_is_told_from_one_that_says_nothing_is_there() {
        for (protocol, operation, body, is_one) in [
            ("json", "DescribeServices", r#"{"services":[],"failures":[]}"#, true),
            ("json", "DescribeServices", r#"{"failures":[]}"#, false),
            ("json", "DescribeServices", "{}", false),
            ("json", "DescribeServices", "", false),
            ("json", "DescribeServices", "[]", false),
            ("json", "DescribeServices", r#"{"services":[]"#, false),
            ("json", "DescribeServices", "<html></html>", false),
            ("json", "GetWebACLForResource", "{}", true),
            ("json", "DescribeImages", "{}", false),
            (
                "xml",
                "DescribeRules",
                "<?xml version=\"1.0\"?>\n<DescribeRulesResponse xmlns=\"x\"><DescribeRulesResult><Rules/></DescribeRulesResult></DescribeRulesResponse>\n",
                true,
            ),
            ("xml", "DescribeRules", "<DescribeRulesResponse><DescribeRulesResult><Rules>", false),
            ("xml", "DescribeRules", "<DescribeRulesResponse/>", false),
            (
                "xml",
                "DescribeRules",
                "<DescribeRulesResponse><DescribeRulesResult></DescribeRulesResult></DescribeRulesResponse>",
                false,
            ),
            ("xml", "DescribeRules", "<DescribeRulesResponse></DescribeRulesResponse>", false),
            (
                "xml",
                "DescribeSubnets",
                "<DescribeSubnetsResponse><requestId>1</requestId></DescribeSubnetsResponse>",
                false,
            ),
            (
                "xml",
                "DescribeSubnets",
                "<DescribeSubnetsResponse><requestId>1</requestId><subnetSet/></DescribeSubnetsResponse>",
                true,
            ),
            ("xml", "DescribeSubnets", "<!doctype html><html></html>", false),
            ("cbor", "GetMetricData", "\u{1}MetricDataResults", true),
            ("cbor", "GetMetricData", "x", false),
            ("cbor", "DescribeAlarms", "x", true),
        ] {
            let judged = asked(protocol, operation).judge(body.as_bytes());
            assert_eq!(judged.is_ok(), is_one, "{operation} {body}: {judged:?}");
        }
    }

    #[test]
    fn a_map_without_members_is_no_answer() {
        for bare in [&[0xa0][..], &[0xbf, 0xff]] {
            assert!(asked("cbor", "DescribeAlarms").judge(bare).is_err(), "{bare:?}");
        }
    }

    #[test]
    fn patience_is_asked_for_by_a_code_and_not_by_a_message() {
        for (status, body, asks) in [
            (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, true),
            (400, r#"{"__type":"com.amazonaws.ecs#ThrottlingException"}"#, true),
            (503, "<Error><Code>RequestLimitExceeded</Code></Error>", true),
            (429, "", true),
            (400, r#"{"__type":"AccessDeniedException","message":"a ThrottlingException"}"#, false),
            (500, r#"{"__type":"InternalFailure"}"#, false),
        ] {
            assert_eq!(asks_for_patience(status, body.as_bytes()), asks, "{status} {body}");
        }
    }
}
