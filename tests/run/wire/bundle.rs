//! The replies of one account, as `make.py` writes them: one text file, with a request after `> `,
//! its answer's status after `< `, and the body below. What a request has to say to get an answer,
//! and how the answer travels, is not known here.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;

pub struct Bundle {
    pub now: String,
    /// The account that this one extends.
    pub base: Option<String>,
    pub replies: Vec<Reply>,
}

pub struct Reply {
    pub call: String,
    pub when: Value,
    /// None if the base has a reply here that this account has not.
    pub status: Option<u16>,
    /// As it stands in the file; of CBOR this is a description.
    pub body: String,
}

impl Bundle {
    pub fn read(account: &str) -> Bundle {
        Bundle::of(&read(&format!("{account}.txt")))
    }

    pub fn of(text: &str) -> Bundle {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (head, exchanges) = text.split_once("\n> ").unwrap_or((text, ""));
        let field = |name: &str| {
            let rest = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            rest.map(str::to_owned)
        };
        Bundle {
            now: field("now").expect("a time"),
            base: field("base"),
            replies: replies(exchanges),
        }
    }
}

/// Several requests may stand above the answer that they all get.
fn replies(exchanges: &str) -> Vec<Reply> {
    let (mut replies, mut waiting) = (Vec::new(), Vec::new());
    for exchange in exchanges.split("\n> ").filter(|exchange| !exchange.is_empty()) {
        let (request, answer) =
            exchange.split_once("\n< ").map_or((exchange, None), |(request, answer)| {
                (request, Some(answer.split_once('\n').unwrap_or((answer, ""))))
            });
        waiting.push(request);
        if let Some((status, body)) = answer {
            replies.extend(waiting.drain(..).map(|request| reply(request, status, body)));
        }
    }
    assert!(waiting.is_empty(), "requests without an answer: {waiting:?}");
    replies
}

fn reply(request: &str, status: &str, body: &str) -> Reply {
    let (call, when) = request.split_once(' ').expect("a call and what it asks");
    Reply {
        call: call.to_owned(),
        when: Value::from_str(when).unwrap_or_else(|error| panic!("{request}: {error}")),
        status: (status != "gone").then(|| status.parse().expect("a status")),
        body: body.to_owned(),
    }
}

pub fn read(file: &str) -> String {
    let path = [env!("CARGO_MANIFEST_DIR"), "tests", "wire", "replies", file];
    let path: PathBuf = path.iter().collect();
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; has make.py run?", path.display()))
}

/// The bytes of a CBOR body (RFC 8949) that is described as JSON: a number with a point is a
/// double, and a text that begins with `@` is the tag of a time.
pub fn cbor(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0xf6],
        Value::Bool(value) => vec![if *value { 0xf5 } else { 0xf4 }],
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => head(0, whole),
            (None, Some(negative)) => head(1, negative.unsigned_abs() - 1),
            (None, None) => double(number.as_f64().expect("a double")),
        },
        Value::String(text) => match text.strip_prefix('@') {
            Some(time) => [head(6, 1), double(epoch(time))].concat(),
            None => [head(3, text.len() as u64), text.as_bytes().to_vec()].concat(),
        },
        Value::Array(items) => {
            [head(4, items.len() as u64), items.iter().flat_map(cbor).collect()].concat()
        }
        Value::Object(members) => {
            let pairs = members.iter().flat_map(|(name, value)| {
                [cbor(&Value::from(name.as_str())), cbor(value)].concat()
            });
            [head(5, members.len() as u64), pairs.collect()].concat()
        }
    }
}

/// What an item is, and its value or length in as few bytes as it takes.
fn head(major: u8, number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let (code, size) = match number {
        0..24 => return vec![(major << 5) | bytes[7]],
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    [&[(major << 5) | code], &bytes[8 - size..]].concat()
}

fn double(number: f64) -> Vec<u8> {
    [&[0xfb][..], &number.to_be_bytes()].concat()
}

fn epoch(time: &str) -> f64 {
    let time: jiff::Timestamp = time.parse().unwrap_or_else(|error| panic!("{time}: {error}"));
    time.as_millisecond() as f64 / 1000.0
}
