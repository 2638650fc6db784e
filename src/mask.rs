//! What never enters a snapshot: values of variables, commands, keys, tokens, passwords. Of a
//! variable the hosts of URLs are kept, of a command a fingerprint, of every text everything but
//! what looks like a secret. How secrets look is data: `mask/own.toml` tells them by what stands
//! around them, `mask/gitleaks.toml` by their own marks.

mod rules;

use std::borrow::Cow;

use checks::snapshot::{Arguments, Snapshot};
use serde_json::Value;

use rules::{Where, looks_random};

const MASK: &str = "***";
const LONGEST_LINE: usize = 1000;
/// Longer texts than this AWS does not write; what is behind it is cut before it is read.
const LONGEST_TEXT: usize = 20_000;

/// Hosts of URLs in the value of a variable, and values that are themselves names of hosts: by
/// their end, or because the variable's name says that they are.
pub fn hosts(name: &str, value: &str) -> Vec<String> {
    let may_be_secret = named_for_secret(name);
    let mut hosts: Vec<String> = value
        .match_indices("://")
        .filter_map(|(at, _)| host_of_url(&value[..at], &value[at + 3..], may_be_secret))
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

fn named_for_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMED_FOR_SECRETS.iter().any(|word| name.contains(word))
}

/// Schemes after which a host comes. Others have whatever their tool likes there: the token of
/// `pushbullet://`, the path of `vault://`.
const SCHEMES_WITH_HOSTS: &[&str] = &[
    "http",
    "https",
    "ws",
    "wss",
    "grpc",
    "grpcs",
    "tcp",
    "udp",
    "tls",
    "ssl",
    "ftp",
    "sftp",
    "ssh",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "sqlserver",
    "oracle",
    "mongodb",
    "redis",
    "rediss",
    "valkey",
    "memcached",
    "cassandra",
    "clickhouse",
    "neo4j",
    "bolt",
    "couchbase",
    "elasticsearch",
    "opensearch",
    "influxdb",
    "amqp",
    "amqps",
    "kafka",
    "nats",
    "mqtt",
    "mqtts",
    "stomp",
    "pulsar",
    "smtp",
    "smtps",
    "imap",
    "imaps",
    "ldap",
    "ldaps",
    "etcd",
    "consul",
    "statsd",
    "otlp",
];

/// `db.prod.local`, `db.internal:5432`, and `orders:8080` if the variable is called `ORDERS_HOST`.
fn bare_host(name: &str, value: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let (host, port) = value.split_once(':').unwrap_or((value, "80"));
    let is_port = !port.is_empty() && port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit());
    if !is_port
        || !is_host(host)
        || !host.chars().any(|c| c.is_ascii_alphabetic())
        || named_for_secret(&name)
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
/// password ever is. Of a variable whose name says that its value is a secret, only what has a dot
/// or a port is one.
fn host_of_url(before: &str, after: &str, may_be_secret: bool) -> Option<String> {
    let scheme = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next()?;
    let base = scheme.split('+').next()?.to_ascii_lowercase();
    if !SCHEMES_WITH_HOSTS.contains(&base.as_str()) {
        return None;
    }
    let word = after.split([' ', '"', '\'', ',', ';', '\n', '\t']).next()?;
    let http = matches!(base.as_str(), "http" | "https");
    let authority = if http { word.split(['/', '?', '#']).next()? } else { word };
    let place = authority.rsplit('@').next()?.split(['/', '?', '#']).next()?;
    let host = place.split(':').next()?;
    let hides = http && host.len() != authority.len() && authority.matches('@').count() > 1;
    let doubtful = may_be_secret && !host.contains('.') && !place.contains(':');
    (is_host(host) && !hides && !doubtful && !looks_random(host)).then(|| host.to_ascii_lowercase())
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A text of AWS's own, such as a reason or an event, without the secrets that it quotes from a
/// command, a variable or a URL. Of AWS's words less is masked than of a log line.
pub fn reason(text: &str) -> String {
    rules::masked(cut(text, LONGEST_TEXT).as_ref(), Where::Aws)
}

/// A log line without what looks like a secret, and not longer than a screen can use.
pub fn line(text: &str) -> String {
    cut(&rules::masked(cut(text, LONGEST_TEXT).as_ref(), Where::Logs), LONGEST_LINE).into_owned()
}

/// The path of a health check; of its query the names stay.
pub fn path(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return reason(path) };
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    });
    format!("{}?{}", reason(path), names.collect::<Vec<_>>().join("&"))
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Every text of a snapshot, wherever it stands. Fields that are known to have secrets are masked
/// where they are read; this is for all others: a description, a name, a field of tomorrow. What
/// two places have in common they have afterwards, too.
pub fn everything(snapshot: Snapshot) -> serde_json::Result<Snapshot> {
    let mut document = serde_json::to_value(snapshot)?;
    texts(&mut document);
    serde_json::from_value(document)
}

fn texts(part: &mut Value) {
    match part {
        Value::String(text) => *text = reason(text),
        Value::Array(parts) => parts.iter_mut().for_each(texts),
        Value::Object(members) => {
            let all = std::mem::take(members).into_iter();
            members.extend(all.map(|(key, mut part)| {
                texts(&mut part);
                (reason(&key), part)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
    fn of_a_health_checks_query_the_names_stay() {
        assert_eq!(path("/health?token=hunter2&deep&a=b"), "/health?token=***&***&a=***");
        assert_eq!(path("/health"), "/health");
    }

    #[test]
    fn what_is_endless_is_cut() {
        assert!(line(&"a ".repeat(30_000_000)).len() < 1100);
        assert!(reason(&"a ".repeat(30_000_000)).len() < 20_100);
    }

    /// Recorded accounts have no secrets: so nothing in them looks like one, and nothing is lost.
    #[test]
    fn an_account_without_secrets_stays_as_it_is() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let snapshot = crate::replay::load(&file).unwrap();
            let texts = |snapshot| serde_json::to_value(snapshot).unwrap();
            assert_eq!(
                texts(everything(snapshot.clone()).unwrap()),
                texts(snapshot),
                "{}",
                file.display()
            );
            count += 1;
        }
        assert!(count > 5);
    }

    /// Appends a secret to every text, in turn of each shape.
    fn plant(part: &mut Value, planted: &mut usize) {
        const SHAPES: &[&str] = &[
            " --password=hunter2",
            " postgres://app:hunter2@db/x",
            " https://ci:hunter2@registry.example.com/v2",
            "?token=hunter2",
            " Cookie: a=1; b=hunter2",
            " ghp_hunter2hunter2hunter2hunter2hunter2z",
        ];
        match part {
            Value::String(text) => {
                *planted += 1;
                text.push_str(SHAPES[*planted % SHAPES.len()]);
            }
            Value::Array(parts) => parts.iter_mut().for_each(|part| plant(part, planted)),
            Value::Object(members) => members.values_mut().for_each(|part| plant(part, planted)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn whatever_text_of_an_account_has_a_secret_loses_it() {
        let example = include_str!("../tests/recorded/green-console-503.json");
        let mut account: Value = serde_json::from_str(example).unwrap();
        let mut planted = 0;
        plant(&mut account, &mut planted);
        texts(&mut account);
        let left = account.to_string().matches("hunter2").count();
        assert!(planted > 300, "{planted}");
        assert_eq!(left, 0, "of {planted} secrets: {account:#}");
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
            ("vault://hunter2", &[]),
            ("pushbullet://HUNTER2TOKEN", &[]),
            ("https://hunter2:x@hooks.example.com/T0/B0", &["hooks.example.com"]),
            ("postgresql+asyncpg://app:pw@db.internal/x", &["db.internal"]),
            ("jdbc:postgresql://db.internal:5432/x", &["db.internal"]),
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
            ("SECRET_URL", "redis://hunter2", &[]),
            ("SECRET_BACKEND", "http://hunter2", &[]),
            ("AUTH_URL", "http://auth:8080", &["auth"]),
            ("SECRET_URL", "https://secrets.example.com/x", &["secrets.example.com"]),
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
            ("pass=hunter2", "hunter2"),
            (r#"{"pass":"hunter2"}"#, "hunter2"),
            (r#"{"msg":"{\"password\":\"hunter2\",\"a\":1}"}"#, "hunter2"),
            ("app --password hunter2 serve", "hunter2"),
            ("mysql -u root -phunter2 orders", "hunter2"),
            ("mysqldump -phunter2", "hunter2"),
            ("run -uroot -phunter2", "hunter2"),
            ("curl -u ana:hunter2 https://example.com", "hunter2"),
            ("root:hunter2@tcp(db:3306)/orders", "hunter2"),
            (r#"password="correct horse hunter2 staple""#, "hunter2"),
            ("password: 'correct horse hunter2'", "hunter2"),
            ("Cookie: theme=dark; session=hunter2", "hunter2"),
            (r#"{"cookie":"a=1; b=hunter2"}"#, "hunter2"),
            ("Set-Cookie: sid=hunter2; Path=/", "hunter2"),
            ("GET /blob?sv=2022&sig=hunter2 200", "hunter2"),
            ("GET /callback?code=hunter2&state=x 302", "hunter2"),
            ("GET /o?X-Amz-Signature=hunter2 200", "hunter2"),
            ("AccountName=a;AccountKey=hunter2==;EndpointSuffix=x", "hunter2"),
            ("Endpoint=sb://x/;SharedAccessKey=hunter2=", "hunter2"),
            ("<password>hunter2</password>", "hunter2"),
            (r#"<ns:Password type="text">hunter2</ns:Password>"#, "hunter2"),
            ("body password%3Dhunter2%26user%3Dana", "hunter2"),
            (r#"{:password=>"hunter2"}"#, "hunter2"),
            (":api_key => 'hunter2'", "hunter2"),
            ("POST https://hooks.slack.com/services/T0/B0/hunter2", "hunter2"),
            ("https://discord.com/api/webhooks/1/hunter2", "hunter2"),
            ("mail to hunter2@example.com failed", "hunter2"),
            ("paid with 4111 1111 1111 1111 today", "4111"),
            ("https://hunter2@github.com/a/b.git", "hunter2"),
            ("Authorization: Digest username=ana, response=hunter2", "hunter2"),
            ("Proxy-Authorization: Basic aHVudGVyMg==", "aHVudGVy"),
            ("token := hunter2", "hunter2"),
            ("DATABASE_PASSWORD => hunter2", "hunter2"),
            ("SECRET_KEY_BASE=hunter2", "hunter2"),
            ("dapi0123456789abcdef0123456789abcdef", "dapi"),
            ("hf_abcdefghijklmnopqrstuvwxyzabcdefgh", "hf_abc"),
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
            "5 tests passed: 5",
            "exit code=1, status=404",
            "no permission for arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf",
            "not authorized to perform: secretsmanager:GetSecretValue on resource",
            "loaded 1669775999000 rows in 4111111111111112 ns",
            "listening on http://0.0.0.0:8080 -p 8080",
        ] {
            assert_eq!(line(text), text);
        }
    }
}
