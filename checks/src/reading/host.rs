//! Host names as listener rules and certificates match them.

/// Whether a value of a host condition is one host, and no pattern.
pub fn is_name(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
}

/// Whether a value of a host condition takes a host: without regard to case, `*` for any characters and `?` for one.
pub fn matches(pattern: &str, host: &str) -> bool {
    glob(pattern.to_ascii_lowercase().as_bytes(), host.to_ascii_lowercase().as_bytes())
}

/// The same, but a value that is no such pattern is a regular expression, and may take any host.
pub fn may_match(pattern: &str, host: &str) -> bool {
    !is_name(&pattern.replace(['*', '?'], "")) || matches(pattern, host)
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => glob(pattern, text),
        ([a, pattern @ ..], [b, text @ ..]) => a == b && glob(pattern, text),
        _ => false,
    }
}

/// Whether a name of a certificate is for a host: a `*` stands for just the first label.
pub fn covers(name: &str, host: &str) -> bool {
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((first, rest))) => !first.is_empty() && parent.eq_ignore_ascii_case(rest),
        _ => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_elastic_load_balancing_has_it() {
        let yes = [("api.example.com", "API.example.com"), ("*.example.com", "a.b.example.com"), ("api-?.example.com", "api-1.example.com")];
        let no = [
            ("*.example.com", "example.com"),
            ("api-?.example.com", "api-12.example.com"),
            ("api.example.com", "api.example.com.evil"),
            ("api.example.com", "apixexample.com"),
        ];
        assert!(yes.iter().all(|(pattern, host)| matches(pattern, host) && may_match(pattern, host)));
        assert!(!no.iter().any(|(pattern, host)| may_match(pattern, host)));
        assert!(may_match("^api[0-9]+$", "www.example.com") && !matches("^api[0-9]+$", "www.example.com"), "a regular expression is not read");
    }

    #[test]
    fn a_star_in_a_certificate_is_one_label() {
        assert!(covers("*.example.com", "API.example.com") && covers("api.example.com", "api.example.com"));
        assert!(!covers("*.example.com", "a.b.example.com") && !covers("*.example.com", "example.com"));
    }
}
