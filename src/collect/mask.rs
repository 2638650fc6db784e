//! What never enters a snapshot: values of variables, commands, keys, tokens, passwords. Of a
//! variable the hosts of URLs are kept, of a command a fingerprint, of a log line everything but
//! what looks like a secret.

use std::sync::LazyLock;

use checks::snapshot::Arguments;
use regex::{Captures, Regex};

const MASK: &str = "***";
const LONGEST_LINE: usize = 1000;

/// Hosts of URLs in the value of a variable, and values that are themselves names of hosts: by
/// their end, or because the variable's name says that they are.
pub fn hosts(name: &str, value: &str) -> Vec<String> {
    let mut hosts: Vec<String> = value
        .match_indices("://")
        .filter_map(|(at, _)| host_of_url(&value[..at], &value[at + 3..]))
        .collect();
    if hosts.is_empty() {
        hosts.extend(value.split(',').filter_map(|one| bare_host(name, one.trim())));
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Ends that only names of hosts have: AWS's own, those of private zones, and the commonest of the
/// internet.
const ENDS: &[&str] = &[
    ".on.aws",
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".local",
    ".internal",
    ".private",
    ".lan",
    ".corp",
    ".svc",
    ".com",
    ".net",
    ".org",
    ".io",
    ".dev",
];

/// Words at the end of a variable's name by which its value is a host, or several.
const NAMED_FOR_HOSTS: &[&str] =
    &["HOST", "HOSTS", "HOSTNAME", "ENDPOINT", "ADDR", "ADDRESS", "SERVER", "SERVERS", "BROKERS"];

/// Words in a variable's name by which its value may be a secret, whatever it looks like.
const NAMED_FOR_SECRETS: &[&str] =
    &["PASS", "PWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "SALT"];

/// `db.prod.local`, `db.internal:5432`, and `orders:8080` if the variable is called `ORDERS_HOST`.
fn bare_host(name: &str, value: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let (host, port) = value.split_once(':').unwrap_or((value, "80"));
    let is_port = !port.is_empty() && port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit());
    if !is_port
        || !is_host(host)
        || !host.chars().any(|c| c.is_ascii_alphabetic())
        || NAMED_FOR_SECRETS.iter().any(|word| name.contains(word))
    {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let ends = ENDS.iter().any(|end| host.ends_with(end) && host.len() > end.len());
    let named =
        NAMED_FOR_HOSTS.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
            && !looks_random(&host)
            && host != "localhost";
    (ends || named).then_some(host)
}

/// The words of a command, as far as two commands can be told apart by it. Sixteen bits do not tell
/// which of a list of passwords was in it; one change of a command in 65536 goes unseen.
pub fn arguments(words: &[String]) -> Arguments {
    // FNV-1a: the same on every machine and in every version. A word ends with a byte that no text
    // has.
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash >> 48) ^ (hash >> 32) ^ (hash >> 16) ^ hash;
    Arguments { count: words.len(), fingerprint: format!("{:04x}", folded & 0xffff) }
}

/// The host after `scheme://`. A password may hold an `@` or a `/` that nobody escaped: so outside
/// HTTP only what follows the last `@` is taken for a host, and nothing that could be part of a
/// password ever is.
fn host_of_url(before: &str, after: &str) -> Option<String> {
    let word = after.split([' ', '"', '\'', ',', ';', '\n', '\t']).next()?;
    let http = before.ends_with("http") || before.ends_with("https");
    let authority = if http { word.split(['/', '?', '#']).next()? } else { word };
    let host = authority.rsplit('@').next()?.split(['/', '?', '#', ':']).next()?;
    (is_host(host)
        && !(http && host.len() != authority.len() && authority.matches('@').count() > 1))
        .then(|| host.to_ascii_lowercase())
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= 253 && text.split('.').all(label)
}

static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // A password may hold an `@` that nobody escaped: so all up to the last one goes.
        r#"(?P<keep>://)[^\s/@]*:(?:[^\s"'<>]*@|[^\s@]*@)"#,
        r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?",
        r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
        r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|sk-|sk_live_|sk_test_|rk_live_|SG\.)[A-Za-z0-9_.-]{10,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        r#"(?i)(?P<keep>[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization|cookie|signature|session[_-]?id|[_-]pass)[\w.-]*["']?\s*[:=]\s*["']?)(?:(?:bearer|basic)\s+)?[^\s"',;&)}\]]+"#,
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

/// Of AWS's own words less is masked than of a log line: they are full of ARNs, digests and ids of
/// tasks. What came from the user stands in options, variables and URLs.
static SECRETS_OF_THE_USER: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?",
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}",
        r#"(?i)(?P<keep>[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|cookie|signature|[_-]pass)[\w.-]*=["']?)[^\s"',;&)}\]]+"#,
        r#"(?i)(?P<keep>--[\w-]*(?:password|passwd|passphrase|pwd|secret|token|api-?key|credential)[\w-]*["']?,?\s+["']?)[^\s"',;)}\]]+"#,
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

static USER_OF_URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"://[^\s/@:]*:(?P<rest>[^\s"'<>]*)@"#).ok());

/// A reason or an event of AWS's without the secrets that it quotes from a command, a variable or a
/// URL.
pub fn reason(text: &str) -> String {
    let mut masked = text.to_owned();
    for secret in SECRETS_OF_THE_USER.iter() {
        masked = without(secret, &masked);
    }
    // After a host come its port and its path, in which an image's digest has an `@` too.
    let is_port = |rest: &str| {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        (1..=5).contains(&digits) && rest[digits..].starts_with('/')
    };
    match USER_OF_URL.as_ref() {
        Some(user) => user
            .replace_all(&masked, |found: &Captures| {
                if is_port(&found["rest"]) { found[0].to_owned() } else { format!("://{MASK}@") }
            })
            .into_owned(),
        None => masked,
    }
}

static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9/+_=-]{32,}").ok());

fn without(secret: &Regex, text: &str) -> String {
    secret
        .replace_all(text, |found: &Captures| {
            format!("{}{MASK}", found.name("keep").map_or("", |keep| keep.as_str()))
        })
        .into_owned()
}

/// A log line without what looks like a secret, and not longer than a screen can use.
pub fn line(text: &str) -> String {
    let mut masked = text.to_owned();
    for secret in SECRETS.iter() {
        masked = without(secret, &masked);
    }
    if let Some(word) = WORD.as_ref() {
        masked = word
            .replace_all(&masked, |found: &Captures| {
                if looks_random(&found[0]) { MASK.to_owned() } else { found[0].to_owned() }
            })
            .into_owned();
    }
    match masked.char_indices().nth(LONGEST_LINE) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None => masked,
    }
}

/// Long, and of small letters, capitals and digits without the separators of a path: no name of a
/// thing looks so.
fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
        && word.matches('/').count() < 3
        && !word.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_quotes_of_the_user_is_masked_and_its_own_words_are_not() {
        for said in [
            "exec: \"--password=hunter2\": executable file not found in $PATH",
            "exec: \"app --db-password hunter2 serve\": no such file",
            "[\"--token\", \"hunter2\"]: not found",
            "dial postgres://app:hunter2@db.internal:5432/app: refused",
            "pull https://ci:hunter2@registry.example.com/v2/api: 401",
            "redis://:hunter2@cache:6379 is no image",
            "DB_PASSWORD=hunter2: no such file",
        ] {
            let masked = reason(said);
            assert!(!masked.contains("hunter2") && masked.contains(MASK), "{masked}");
        }
        for said in [
            "(service web) has started 1 tasks: (task bc0f1cacc0f03af05a7cca512f44a6a5).",
            "failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf from secrets manager: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/0123456789abcdef0123456789abcdef is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf",
            "failed to do request: Head \"https://registry.internal:5000/v2/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\": dial tcp",
            "unable to retrieve ecr registry auth: ecr:GetAuthorizationToken on resource: *",
        ] {
            assert_eq!(reason(said), said);
        }
    }

    #[test]
    fn of_a_variable_only_hosts_are_kept() {
        let cases: &[(&str, &[&str])] = &[
            ("https://api.example.com/v1?token=abc", &["api.example.com"]),
            ("postgres://app:hunter2@db.internal:5432/orders", &["db.internal"]),
            ("postgres://app:p@ss/w.ord@db.internal/orders", &["db.internal"]),
            ("redis://:secret@cache:6379", &["cache"]),
            ("ap-0123.ecs.eu-west-2.on.aws", &["ap-0123.ecs.eu-west-2.on.aws"]),
            ("db.abc.eu-west-2.rds.amazonaws.com:5432", &["db.abc.eu-west-2.rds.amazonaws.com"]),
            ("http://a:8080, http://b:8080", &["a", "b"]),
            ("hunter2", &[]),
            ("SG.abcdefghijk.lmnopqrstuvwxyz", &[]),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", &[]),
            ("debug", &[]),
        ];
        for (value, expected) in cases {
            assert_eq!(hosts("VALUE", value), *expected, "{value}");
        }
    }

    #[test]
    fn a_bare_host_is_known_by_its_end_or_by_the_variables_name() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("DATABASE", "db.prod.local", &["db.prod.local"]),
            ("DATABASE", "DB.internal:5432", &["db.internal"]),
            ("UPSTREAM", "orders.example.com:443", &["orders.example.com"]),
            ("ORDERS_HOST", "orders:8080", &["orders"]),
            ("KAFKA_BROKERS", "b-1.kafka:9092,b-2.kafka:9092", &["b-1.kafka", "b-2.kafka"]),
            ("ORDERS", "orders:8080", &[]),
            ("LOGIN", "user:1234", &[]),
            ("HOST", "0.0.0.0", &[]),
            ("DB_HOST", "localhost", &[]),
            ("DB_HOST", "app:hunter2", &[]),
            ("DB_PASSWORD", "hunter2.local", &[]),
            ("HOST_TOKEN", "abc.def.com", &[]),
            ("MODE", "hunter2.local.5", &[]),
            ("MAIL_FROM", "ana@example.com", &[]),
            ("PATH_PREFIX", ".local", &[]),
        ];
        for (name, value, expected) in cases {
            assert_eq!(hosts(name, value), *expected, "{name}={value}");
        }
    }

    #[test]
    fn of_a_command_nothing_but_a_fingerprint_is_kept() {
        let of = |words: &[&str]| {
            arguments(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["serve", "--token=hunter2"]), of(&["serve", "--token=hunter2"]));
        assert_ne!(of(&["serve", "--token=hunter2"]), of(&["serve", "--token=hunter3"]));
        assert_ne!(of(&["a", "b"]).fingerprint, of(&["ab"]).fingerprint);
        assert_eq!(of(&["serve", "--token=hunter2"]).fingerprint.len(), 4);
    }

    #[test]
    fn secrets_leave_a_line() {
        let cases = [
            ("connect postgres://app:hunter2@db:5432/x failed", "hunter2"),
            ("connect mongodb+srv://app:p@hunter2@docdb:27017/x failed", "hunter2"),
            ("password=hunter2 user=ana", "hunter2"),
            ("DB_PASS=hunter2 node server.js", "hunter2"),
            (r#"{"apiKey":"hunter2","path":"/"}"#, "hunter2"),
            ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
            ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
            ("aws wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY1", "wJalrXUtn"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "eyJzdWIi"),
            ("GET /login?session_id=hunter2 200", "hunter2"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "ghp_"),
        ];
        for (text, secret) in cases {
            let masked = line(text);
            assert!(!masked.contains(secret), "{masked}");
            assert!(masked.contains(MASK), "{masked}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            r#"10.0.1.20 - - "GET /health HTTP/1.1" 404 22 "-" "ELB-HealthChecker/2.0""#,
            "Error: connect ECONNREFUSED 10.0.0.5:5432 at /usr/src/app/node_modules/pg-pool/index.js:45:11",
            "task 0123456789abcdef0123456789abcdef started",
            "Error: DATABASE_PASSWORD is not set",
            r#"FATAL:  password authentication failed for user "app""#,
            "KeyError: 'API_SECRET'",
            r#"nginx: [emerg] host not found in upstream "api:8080" in /etc/nginx/conf.d/default.conf:3"#,
        ] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(SECRETS.len(), 7);
        assert!(WORD.is_some());
    }
}
