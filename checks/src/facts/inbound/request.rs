//! A request as a load balancer sees it, and whether a listener rule takes it: every condition of
//! the rule must hold, any one of its values suffices. Only the URL is known of the request, and
//! that it is a GET: what depends on its sender or on further headers is not decided, and neither
//! is a regular expression that could be read in two ways.

use crate::aws::url::Url;
use crate::seen::Seen;
use crate::snapshot::{Condition, Rule, Snapshot};

/// Whether a rule takes a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes<'a> {
    No,
    /// This condition decides, and nothing here tells how.
    Perhaps(&'a Condition),
    Yes,
}

pub fn takes<'a>(rule: &'a Rule, url: &Url) -> Takes<'a> {
    let mut perhaps = None;
    for condition in &rule.conditions {
        match holds(condition, url) {
            Some(true) => {}
            Some(false) => return Takes::No,
            None => perhaps = perhaps.or(Some(condition)),
        }
    }
    perhaps.map_or(Takes::Yes, Takes::Perhaps)
}

/// Whether a condition holds; none where nothing here tells.
fn holds(condition: &Condition, url: &Url) -> Option<bool> {
    let any = |text: &str, case: Case| {
        if condition.values.iter().any(|pattern| matches(pattern, text, case)) {
            return Some(true);
        }
        any_regex(&condition.regex_values, text, case)
    };
    match condition.field.as_str() {
        "host-header" => any(&url.host, Case::Ignored),
        "path-pattern" => any(&url.path, Case::Counts),
        "http-request-method" => Some(condition.values.iter().any(|method| method == "GET")),
        "query-string" => {
            let any = |is: fn(&str, (&str, &str)) -> bool| {
                condition.values.iter().any(|wanted| url.pairs().any(|pair| is(wanted, pair)))
            };
            let pair = |wanted: &str, pair: (&str, &str)| {
                !wanted.ends_with('=') && pair_matches(wanted, pair)
            };
            match (any(pair), any(name_matches)) {
                (true, _) => Some(true),
                (false, true) => None,
                (false, false) => Some(false),
            }
        }
        // The sender and its headers; and whatever AWS adds one day.
        _ => None,
    }
}

/// Whether the rule names the host: then the request is meant for it, and for no other load
/// balancer's default.
pub fn names_host(rule: &Rule, host: &str) -> bool {
    of_host(rule).any(|condition| takes_host(condition, host) == Some(true))
}

/// Whether the rule may take requests for the host, as far as hosts go: it names it, perhaps, or it
/// names none.
pub fn may_take_host(rule: &Rule, host: &str) -> bool {
    of_host(rule).all(|condition| takes_host(condition, host) != Some(false))
}

fn of_host(rule: &Rule) -> impl Iterator<Item = &Condition> {
    rule.conditions.iter().filter(|condition| condition.field == "host-header")
}

/// None where a regular expression would have to decide and cannot.
fn takes_host(condition: &Condition, host: &str) -> Option<bool> {
    let by_value = condition.values.iter().any(|pattern| matches(pattern, host, Case::Ignored));
    if by_value { Some(true) } else { any_regex(&condition.regex_values, host, Case::Ignored) }
}

/// Whether a rule takes every request that another one would take: then the other, if it comes
/// later, gets none.
pub fn covers(wide: &Rule, narrow: &Rule) -> bool {
    wide.conditions.iter().all(|condition| {
        let case = match condition.field.as_str() {
            "host-header" => Case::Ignored,
            "path-pattern" => Case::Counts,
            _ => return false,
        };
        // A `?` would match another pattern's `*`, which stands for more.
        let pattern = |wanted: &str| {
            condition.values.iter().any(|value| {
                value == wanted || (!value.contains('?') && matches(value, wanted, case))
            })
        };
        match narrow.conditions.iter().find(|other| other.field == condition.field) {
            Some(other) => {
                other.regex_values.is_empty() && other.values.iter().all(|value| pattern(value))
            }
            None => {
                case == Case::Counts
                    && condition.values.iter().any(|value| value == "*" || value == "/*")
            }
        }
    })
}

/// Keeps the URL that the user asks about in a snapshot, without what may be secret in it.
pub fn ask_for(snapshot: &mut Snapshot, url: &Url) {
    let told = snapshot.rules.0.values().filter_map(|rules| match rules {
        Seen::Yes(rules) => rules.as_deref(),
        Seen::No(_) => None,
    });
    snapshot.url = Some(kept(url, told.flatten()));
}

/// The URL as a snapshot may keep it: of its query only the names that some rule asks for.
fn kept<'r>(url: &Url, rules: impl IntoIterator<Item = &'r Rule>) -> String {
    let conditions: Vec<&Condition> = rules
        .into_iter()
        .flat_map(|rule| &rule.conditions)
        .filter(|it| it.field == "query-string")
        .collect();
    let asked = |pair: &(&str, &str)| {
        conditions
            .iter()
            .flat_map(|condition| &condition.values)
            .any(|wanted| name_matches(wanted, *pair) || pair_matches(wanted, *pair))
    };
    let pairs: Vec<String> = url.pairs().filter(asked).map(|(key, _)| format!("{key}=")).collect();
    if pairs.is_empty() { url.to_string() } else { format!("{url}?{}", pairs.join("&")) }
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Counts,
    Ignored,
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str, case: Case) -> bool {
    let mut regex = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            // A query's own `*` or `?` is written with a backslash before it.
            '\\' => regex
                .push_str(&regex::escape(letters.next().unwrap_or('\\').encode_utf8(&mut [0; 4]))),
            letter => regex.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    is_match(&format!("^(?:{regex})$"), text, case == Case::Ignored) == Some(true)
}

/// A condition of a query is `name=value`, without regard to case; without a name, the value of
/// any.
fn pair_matches(wanted: &str, (key, value): (&str, &str)) -> bool {
    let (wanted_key, wanted_value) = wanted.split_once('=').unwrap_or(("", wanted));
    let decoded = decoded(value);
    let is_value =
        [value, decoded.as_str()].iter().any(|value| matches(wanted_value, value, Case::Ignored));
    is_value && (wanted_key.is_empty() || matches(wanted_key, key, Case::Ignored))
}

/// Whether a condition whose value was dropped asks for a pair of this name.
fn name_matches(wanted: &str, (key, _): (&str, &str)) -> bool {
    wanted
        .strip_suffix('=')
        .is_some_and(|name| name.is_empty() || matches(name, key, Case::Ignored))
}

/// `%20` and the like as what they stand for.
fn decoded(text: &str) -> String {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, after @ ..] if *first == b'%' => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// AWS does not say whether a regular expression must match the whole, nor whether case counts:
/// where that makes a difference, nothing is decided.
fn any_regex(patterns: &[String], text: &str, case: Case) -> Option<bool> {
    let one = |pattern: &String| {
        let strictly = is_match(&format!("^(?:{pattern})$"), text, case == Case::Ignored)?;
        let loosely = is_match(pattern, text, true)?;
        if strictly == loosely { Some(strictly) } else { None }
    };
    let found: Vec<Option<bool>> = patterns.iter().map(one).collect();
    if found.contains(&Some(true)) {
        Some(true)
    } else if found.contains(&None) {
        None
    } else {
        Some(false)
    }
}

/// Whether the text matches; none where the expression is none that we can read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is about the form of a pattern that we have, not about a call that failed"
)]
fn is_match(regex: &str, text: &str, ignore_case: bool) -> Option<bool> {
    let built = regex::RegexBuilder::new(regex)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .build();
    Some(built.ok()?.is_match(text))
}

/// A condition in words: `host api.example.com`, `header X-Canary`. What may be secret is not in
/// them.
pub fn words(condition: &Condition) -> String {
    let mut condition = condition.clone();
    condition.forget_secrets();
    let values: Vec<&str> =
        condition.values.iter().chain(&condition.regex_values).map(String::as_str).collect();
    let values = values.join(" or ");
    match condition.field.as_str() {
        "host-header" => format!("host {values}"),
        "path-pattern" => format!("path {values}"),
        "http-header" => format!("header {}", condition.name.as_deref().unwrap_or("?")),
        "http-request-method" => format!("method {values}"),
        "query-string" => {
            format!("query {}", values.replace('=', "=…").replace(" or =…", " or …"))
        }
        "source-ip" => format!("source IP {values}"),
        field => format!("{field} {values}"),
    }
}

/// `rule 10`, `default rule`.
pub fn rule_name(rule: &Rule) -> String {
    if rule.is_default { "default rule".into() } else { format!("rule {}", rule.priority) }
}

fn conditions(rule: &Rule) -> String {
    rule.conditions.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// `rule 10: host api.example.com, path /v1/*`.
pub fn rule_words(rule: &Rule) -> String {
    if rule.conditions.is_empty() {
        rule_name(rule)
    } else {
        format!("{}: {}", rule_name(rule), conditions(rule))
    }
}

/// `rule 10 (host api.example.com, path /v1/*)`.
pub fn rule_within(rule: &Rule) -> String {
    if rule.conditions.is_empty() {
        rule_name(rule)
    } else {
        format!("{} ({})", rule_name(rule), conditions(rule))
    }
}

/// The rule that takes every request of another before that has its turn.
pub fn taken_before<'a>(rules: &'a [Rule], rule: &Rule) -> Option<&'a Rule> {
    rules
        .iter()
        .take_while(|other| other.rule_arn != rule.rule_arn)
        .find(|other| covers(other, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn rule(conditions: &[(&str, &[&str])]) -> Rule {
        let condition = |(field, values): &(&str, &[&str])| Condition {
            field: (*field).into(),
            values: values.iter().map(|value| (*value).into()).collect(),
            ..Condition::default()
        };
        Rule { conditions: conditions.iter().map(condition).collect(), ..Rule::default() }
    }

    fn taken(conditions: &[(&str, &[&str])], asked: &str) -> Option<bool> {
        match takes(&rule(conditions), &url(asked)) {
            Takes::Yes => Some(true),
            Takes::No => Some(false),
            Takes::Perhaps(_) => None,
        }
    }

    #[test]
    fn a_url_is_taken_apart_without_its_user() {
        let it = url("HTTPS://ana:hunter2@API.example.com:8443/v1/a?x=1#top");
        assert_eq!(
            (it.scheme.as_str(), it.host.as_str(), it.port, it.path.as_str()),
            ("https", "api.example.com", 8443, "/v1/a")
        );
        assert_eq!(it.to_string(), "https://api.example.com:8443/v1/a");
        assert_eq!(url("http://api.example.com?x").to_string(), "http://api.example.com/");
        assert_eq!(url("api.example.com/v1").to_string(), "https://api.example.com/v1");
        for wrong in
            ["ftp://a.b/", "https://", "https://a b/", "https://a.b:0/", "https://a.b:70000/"]
        {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_match_without_case_and_with_wildcards() {
        assert_eq!(
            taken(&[("host-header", &["*.Example.com"])], "https://API.example.com/"),
            Some(true)
        );
        assert_eq!(
            taken(&[("host-header", &["ap?.example.com"])], "https://api.example.com/"),
            Some(true)
        );
        assert_eq!(
            taken(&[("host-header", &["*.example.com"])], "https://example.com/"),
            Some(false)
        );
        assert_eq!(
            taken(&[("host-header", &["api.example.com"])], "https://apixexample.com/"),
            Some(false)
        );
    }

    #[test]
    fn the_case_of_a_path_counts_and_its_query_is_not_part_of_it() {
        assert_eq!(
            taken(&[("path-pattern", &["/v1/*"])], "https://a.b/v1/orders?next=/v2"),
            Some(true)
        );
        assert_eq!(taken(&[("path-pattern", &["/V1/*"])], "https://a.b/v1/orders"), Some(false));
        assert_eq!(taken(&[("path-pattern", &["/v1"])], "https://a.b/v1/"), Some(false));
        assert_eq!(taken(&[("path-pattern", &["*x=1"])], "https://a.b/?x=1"), Some(false));
    }

    #[test]
    fn all_conditions_and_any_value() {
        let both: &[(&str, &[&str])] =
            &[("host-header", &["a.b", "c.d"]), ("path-pattern", &["/v1", "/v2"])];
        assert_eq!(taken(both, "https://c.d/v2"), Some(true));
        assert_eq!(taken(both, "https://c.d/v3"), Some(false));
    }

    #[test]
    fn a_query_matches_by_pair_or_value_without_case() {
        let query = |wanted: &str, asked: &str| taken(&[("query-string", &[wanted])], asked);
        assert_eq!(query("version=v?", "https://a.b/?x=1&Version=V2"), Some(true));
        assert_eq!(query("=beta", "https://a.b/?channel=beta"), Some(true));
        assert_eq!(query(r"q=\*", "https://a.b/?q=x"), Some(false));
        assert_eq!(query(r"q=\*", "https://a.b/?q=%2A"), Some(true));
        assert_eq!(query("version=v1", "https://a.b/"), Some(false));
        assert_eq!(decoded("a%20b%2G%e2%82%ac%"), "a b%2G€%");
    }

    #[test]
    fn a_query_whose_value_was_dropped_is_decided_only_where_its_name_is_missing() {
        let query = |wanted: &str, asked: &str| taken(&[("query-string", &[wanted])], asked);
        assert_eq!(query("version=", "https://a.b/?x=1&Version=V2"), None);
        assert_eq!(query("version=", "https://a.b/?x=1"), Some(false));
        assert_eq!(query("=", "https://a.b/?x=1"), None, "a value of any name");
        assert_eq!(query("=", "https://a.b/"), Some(false));
    }

    #[test]
    fn values_that_may_be_secrets_are_forgotten() {
        let forgotten = |field: &str| {
            let mut condition = Condition {
                field: field.into(),
                name: Some("X-Origin".into()),
                values: vec!["token=hunter2".into(), "hunter2".into()],
                regex_values: vec!["hunter2".into()],
            };
            condition.forget_secrets();
            (condition.name.is_some(), condition.values, condition.regex_values)
        };
        assert_eq!(forgotten("http-header"), (true, vec![], vec![]));
        assert_eq!(
            forgotten("query-string"),
            (true, vec!["token=".to_owned(), "=".to_owned()], vec![])
        );
        let (_, values, regex) = forgotten("path-pattern");
        assert_eq!((values.len(), regex.len()), (2, 1), "a path is no secret");
    }

    #[test]
    fn what_the_url_does_not_tell_is_not_decided_unless_another_condition_fails() {
        assert_eq!(taken(&[("source-ip", &["10.0.0.0/8"])], "https://a.b/"), None);
        assert_eq!(taken(&[("http-header", &["*"])], "https://a.b/"), None);
        assert_eq!(
            taken(&[("http-header", &["*"]), ("host-header", &["c.d"])], "https://a.b/"),
            Some(false)
        );
        assert_eq!(taken(&[("http-request-method", &["POST"])], "https://a.b/"), Some(false));
        assert_eq!(
            taken(&[("http-request-method", &["get"])], "https://a.b/"),
            Some(false),
            "case counts"
        );
    }

    #[test]
    fn a_regular_expression_decides_only_where_every_reading_agrees() {
        let regex = |pattern: &str, asked: &str| {
            let condition = Condition {
                field: "path-pattern".into(),
                regex_values: vec![pattern.into()],
                ..Condition::default()
            };
            holds(&condition, &url(asked))
        };
        assert_eq!(regex("^/v[0-9]+/.*$", "https://a.b/v12/x"), Some(true));
        assert_eq!(regex("^/v[0-9]+/.*$", "https://a.b/w"), Some(false));
        assert_eq!(regex("/v1", "https://a.b/v1/x"), None, "a part of it matches");
        assert_eq!(regex("/V1/x", "https://a.b/v1/x"), None, "by case");
        assert_eq!(regex("(", "https://a.b/"), None, "not to be read");
    }

    #[test]
    fn a_snapshot_keeps_of_the_query_what_a_rule_asks_for() {
        let rules = [rule(&[("query-string", &["version=*"])])];
        assert_eq!(
            kept(&url("https://a.b/x?token=hunter2&version=2"), &rules),
            "https://a.b/x?version="
        );
        let rules = [rule(&[("query-string", &["version="])])];
        let file = kept(&url("https://a.b/x?token=hunter2&version=2"), &rules);
        assert_eq!(file, "https://a.b/x?version=");
        assert_eq!(takes(&rules[0], &url(&file)), Takes::Perhaps(&rules[0].conditions[0]));
        assert_eq!(kept(&url("https://a.b/x?token=hunter2"), []), "https://a.b/x");
    }

    #[test]
    fn a_rule_covers_another_only_if_it_takes_all_of_its_requests() {
        let covered = |wide: &[(&str, &[&str])], narrow: &[(&str, &[&str])]| {
            covers(&rule(wide), &rule(narrow))
        };
        let api: &[(&str, &[&str])] = &[("host-header", &["api.example.com"])];
        for wide in [
            &[("path-pattern", &["*"] as &[&str])][..],
            &[("host-header", &["*.example.com"])],
            api,
            &[],
        ] {
            assert!(covered(wide, api), "{wide:?}");
        }
        assert!(!covered(&[("path-pattern", &["/"])], api), "the root is a part");
        assert!(!covered(&[("host-header", &["www.example.com"])], api));
        assert!(!covered(&[("http-header", &["*"])], api));
        assert!(!covered(api, &[("path-pattern", &["/v1"])]), "of another host too");
        assert!(covered(&[("path-pattern", &["/v1/*"])], &[("path-pattern", &["/v1/orders/*"])]));
        assert!(!covered(&[("path-pattern", &["/v1/?"])], &[("path-pattern", &["/v1/*"])]));
        assert!(
            !covered(api, &[("host-header", &["api.example.com", "www.example.com"])]),
            "one of two hosts is a part"
        );
    }

    #[test]
    fn conditions_have_words() {
        let words = |field: &str, name: Option<&str>, values: &[&str]| {
            let values = values.iter().map(|value| (*value).into()).collect();
            super::words(&Condition {
                field: field.into(),
                name: name.map(Into::into),
                values,
                ..Condition::default()
            })
        };
        assert_eq!(words("host-header", None, &["a.b", "c.d"]), "host a.b or c.d");
        assert_eq!(words("http-header", Some("X-Canary"), &["1"]), "header X-Canary");
        assert_eq!(words("query-string", None, &["v=1", "=beta"]), "query v=… or …");
    }
}
