//! Host names: which values of a listener rule are one, and for which a certificate is. How rules
//! match them is for the reading of requests.

/// Whether a value of a host condition is one host, and no pattern.
pub fn is_name(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
}

/// Whether a name of a certificate is for a host: a `*` stands for just the first label.
pub fn covers(name: &str, host: &str) -> bool {
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((first, rest))) => {
            !first.is_empty() && parent.eq_ignore_ascii_case(rest)
        }
        _ => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_certificate_is_one_label() {
        assert!(
            covers("*.example.com", "API.example.com")
                && covers("api.example.com", "api.example.com")
        );
        assert!(
            !covers("*.example.com", "a.b.example.com") && !covers("*.example.com", "example.com")
        );
    }
}
