//! Secrets for the texts of a reply: wherever AWS repeats what somebody wrote, a secret is put
//! behind it, each time in another shape. Names, ids and times stay as they are, so that the
//! account is still one.

use serde_json::Value;

/// What every planted secret has in it.
pub const MARK: &str = "hunter2planted";

/// Shapes in which AWS's own texts quote secrets.
const OF_AWS: &[&str] = &[
    "--password=hunter2planted",
    "postgres://app:hunter2planted@db.internal:5432/app",
    "https://ci:hunter2planted@registry.example.com/v2/api",
    "DB_PASSWORD=hunter2planted",
    "--token hunter2planted",
    r#"{\"password\":\"hunter2planted\"}"#,
    r#""apiKey": "hunter2planted""#,
    "Bearer hunter2planted0123456789",
    "root:hunter2planted@tcp(db:3306)/app",
    "https://x.example.com/cb?code=hunter2planted",
];

/// Shapes in which apps write them into their logs.
const OF_LOGS: &[&str] = &[
    "pass=hunter2planted",
    r#"{"pass":"hunter2planted"}"#,
    "app --password hunter2planted serve",
    "mysql -u root -phunter2planted",
    "root:hunter2planted@tcp(db:3306)/orders",
    r#"{\"password\":\"hunter2planted\"}"#,
    r#"password="correct horse hunter2planted""#,
    "Cookie: theme=dark; session=hunter2planted",
    "GET /blob?sig=hunter2planted",
    "GET /callback?code=hunter2planted",
    "AccountKey=hunter2planted==",
    "<password>hunter2planted</password>",
    "password%3Dhunter2planted",
    r#"{:password=>"hunter2planted"}"#,
    "https://hooks.slack.com/services/T0/B0/hunter2planted",
    "mail to hunter2planted@example.com",
    "Authorization: Digest response=hunter2planted",
];

/// What variables have in them.
const OF_VARIABLES: &[&str] = &[
    "hunter2planted",
    "vault://hunter2planted",
    "pushbullet://hunter2planted",
    "postgres://app:hunter2planted@db.internal:5432/app",
    "https://hooks.slack.com/services/T0/B0/hunter2planted",
];

/// Members whose texts somebody writes, whether or not there is a blank in them.
const WRITTEN: &[&str] = &[
    "message",
    "reason",
    "stoppedReason",
    "statusReason",
    "rolloutStateReason",
    "StateReason",
    "Description",
    "description",
    "StatusMessage",
];

/// How many secrets were planted.
#[derive(Default)]
pub struct Planter(pub usize);

impl Planter {
    fn next<'t>(&mut self, list: &[&'t str]) -> &'t str {
        self.0 += 1;
        list[self.0 % list.len()]
    }

    /// A text of AWS's.
    pub fn text(&mut self, text: &str) -> String {
        format!("{text} {}", self.next(OF_AWS))
    }

    /// A body that is JSON, or is described by it.
    pub fn json(&mut self, body: &str, is_log: bool) -> String {
        let mut body: Value = serde_json::from_str(body).expect("JSON");
        self.part(&mut body, "", is_log);
        serde_json::to_string(&body).expect("JSON")
    }

    fn part(&mut self, part: &mut Value, member: &str, is_log: bool) {
        match part {
            Value::String(text) => {
                let is_whole = text.starts_with(['{', '[', '@']);
                if !is_whole && (text.contains(' ') || WRITTEN.contains(&member)) {
                    let list = if is_log { OF_LOGS } else { OF_AWS };
                    *text = format!("{text} {}", self.next(list));
                }
            }
            Value::Array(parts) if member == "environment" => {
                for variable in parts {
                    // Of what calls itself a host, the host is what it says.
                    let is_host = variable["name"].as_str().is_some_and(|it| it.ends_with("HOST"));
                    let shapes = if is_host { &OF_VARIABLES[1..] } else { OF_VARIABLES };
                    variable["value"] = self.next(shapes).into();
                }
            }
            Value::Array(parts) if member == "command" || member == "entryPoint" => {
                parts.push(self.next(OF_AWS).into());
            }
            Value::Array(parts) => {
                parts.iter_mut().for_each(|part| self.part(part, member, is_log));
            }
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, part)| self.part(part, name, is_log));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A body that is XML: its texts with a blank, and the values of rules.
    pub fn xml(&mut self, body: &str) -> String {
        let mut planted = String::new();
        let mut element = "";
        for (number, part) in body.split('>').enumerate() {
            let (text, tag) = part.rsplit_once('<').unwrap_or(("", part));
            planted.push_str(if number == 0 { "" } else { ">" });
            let is_text = !text.trim().is_empty();
            planted.push_str(text);
            if is_text && (text.trim().contains(' ') || WRITTEN.contains(&element)) {
                let secret = self.next(OF_AWS).replace('<', "&lt;").replace('&', "&amp;");
                planted.push_str(&format!(" {secret}"));
            }
            if part.contains('<') {
                planted.push('<');
            }
            planted.push_str(if part.contains('<') { tag } else { part });
            element = tag.split([' ', '/']).next().unwrap_or_default();
        }
        planted
    }
}
