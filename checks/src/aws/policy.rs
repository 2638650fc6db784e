//! What a resource policy allows everybody: enough of IAM's language to read the policy of a VPC
//! endpoint. Conditions and named principals need more than we know, so they leave it open.

use serde_json::Value;

use crate::aws::admission::Admission;

/// Whether a policy lets an action on a resource through, whoever asks. `Unknown` where it depends
/// on who or how.
pub fn allows(policy: &str, action: &str, resource: &str) -> Admission {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return Admission::Unknown };
    let statements = many(policy.get("Statement"));
    let (mut allowed, mut perhaps) = (false, false);
    for statement in statements {
        let matches = names(statement, "Action", action, true)
            && names(statement, "Resource", resource, false);
        if !matches {
            continue;
        }
        let depends =
            statement.get("Condition").is_some() || !is_everybody(statement.get("Principal"));
        match (statement.get("Effect").and_then(Value::as_str), depends) {
            (Some("Deny"), false) => return Admission::No,
            (Some("Allow"), false) => allowed = true,
            _ => perhaps = true,
        }
    }
    match (allowed, perhaps) {
        (true, false) => Admission::Yes,
        (false, false) => Admission::No,
        (_, true) => Admission::Unknown,
    }
}

fn many(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(item) => vec![item],
        None => Vec::new(),
    }
}

/// Whether a statement's `Action` or `Resource` (or its opposite, `NotAction`) has a name.
fn names(statement: &Value, member: &str, name: &str, any_case: bool) -> bool {
    let has = |key: &str| {
        many(statement.get(key))
            .into_iter()
            .filter_map(Value::as_str)
            .any(|pattern| fits(pattern, name, any_case))
    };
    let not = format!("Not{member}");
    if statement.get(&not).is_some() { !has(&not) } else { has(member) }
}

fn is_everybody(principal: Option<&Value>) -> bool {
    let is_star =
        |value: &Value| many(Some(value)).into_iter().any(|one| one.as_str() == Some("*"));
    principal
        .is_some_and(|principal| is_star(principal) || principal.get("AWS").is_some_and(is_star))
}

/// Whether a pattern with `*` and `?` fits a name.
fn fits(pattern: &str, name: &str, any_case: bool) -> bool {
    let fold = |text: &str| if any_case { text.to_lowercase() } else { text.to_owned() };
    let (pattern, name): (Vec<char>, Vec<char>) =
        (fold(pattern).chars().collect(), fold(name).chars().collect());
    // Row by row: which beginnings of the name the beginning of the pattern fits.
    let mut fitting: Vec<bool> = (0..=name.len()).map(|length| length == 0).collect();
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        next[0] = wanted == '*' && fitting[0];
        for length in 1..=name.len() {
            next[length] = match wanted {
                '*' => fitting[length] || next[length - 1],
                '?' => fitting[length - 1],
                letter => fitting[length - 1] && letter == name[length - 1],
            };
        }
        fitting = next;
    }
    fitting[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: &str = "arn:aws:s3:::prod-eu-west-2-starport-layer-bucket/abc";

    fn layers(statements: &str) -> Admission {
        allows(
            &format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#),
            "s3:GetObject",
            LAYERS,
        )
    }

    #[test]
    fn reads_what_is_allowed_to_everybody() {
        assert_eq!(
            layers(r#"[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]"#),
            Admission::Yes
        );
        assert_eq!(
            layers(
                r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["s3:get*"],"Resource":["arn:aws:s3:::prod-*-starport-layer-bucket/*"]}"#
            ),
            Admission::Yes
        );
        assert_eq!(
            layers(
                r#"[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::ours/*"}]"#
            ),
            Admission::No
        );
        assert_eq!(
            layers(
                r#"[{"Effect":"Allow","Principal":"*","NotAction":"s3:GetObject","Resource":"*"}]"#
            ),
            Admission::No
        );
    }

    #[test]
    fn a_denial_for_everybody_has_the_word() {
        let allow = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
        assert_eq!(
            layers(&format!(
                r#"[{allow},{{"Effect":"Deny","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::ours/*"}}]"#
            )),
            Admission::No
        );
    }

    #[test]
    fn what_depends_on_who_or_how_stays_open() {
        assert_eq!(
            layers(
                r#"[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]"#
            ),
            Admission::Unknown
        );
        assert_eq!(
            layers(
                r#"[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"*","Resource":"*"}]"#
            ),
            Admission::Unknown
        );
        assert_eq!(layers("not json"), Admission::Unknown);
    }
}
