//! A snapshot for strangers: accounts, names, addresses and ids are others, the same in every
//! place, and the diagnosis stays what it was. It works on the words of texts: what two names have
//! in common they have afterwards, too, addresses lie in the blocks in which they lay, and what
//! sorted before something else still does. The words of AWS, of common software and of the report
//! stay, and so does whatever an app wrote into its log beside them.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use checks::snapshot::Snapshot;
use regex::{Captures, Regex};
use serde_json::Value;

pub fn anonymise(snapshot: &Snapshot) -> serde_json::Result<Snapshot> {
    let mut document = serde_json::to_value(snapshot)?;
    let names = Names::of(&document);
    if let Value::Object(members) = &mut document {
        for (member, part) in members.iter_mut().filter(|(member, _)| !is_own(member)) {
            // The keys of tables are ARNs and names; all other keys are ours.
            if let Value::Object(rows) = part
                && member != "calls"
            {
                let all = std::mem::take(rows).into_iter();
                rows.extend(all.map(|(key, row)| (names.renamed(&key), row)));
            }
            names.rename(part, member);
        }
    }
    serde_json::from_value(document)
}

/// What the program itself writes, and times, which tell nothing of anybody.
fn is_own(member: &str) -> bool {
    matches!(member, "format" | "made_by" | "region" | "example" | "field" | "call")
        || member.ends_with("_at")
        || matches!(member, "timestamp" | "timestamps")
}

/// Descriptions of people for people: no check reads them.
fn is_remark(member: &str, table: &str) -> bool {
    member == "description" && table.contains("security_group")
}

/// Members whose values are names that somebody gave: not AWS, and no variable in capitals, for
/// whose sake many a check reads it.
fn is_named(member: &str, text: &str) -> bool {
    let is_of_aws = matches!(member, "metric_name" | "metric_names" | "eval_action_name")
        || ["com.amazonaws.", "ecs."].iter().any(|start| text.starts_with(start));
    if is_of_aws || text.contains(' ') || !text.chars().any(|c| c.is_ascii_lowercase()) {
        return false;
    }
    let ends = ["_name", "_names", "_group", "_prefix", "_id", "_ids", "_uri"];
    let whole =
        ["name", "family", "image", "username", "role", "id", "group_name", "resource_id", "host"];
    ends.iter().any(|end| member.ends_with(end)) || whole.contains(&member)
}

static ARN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"\barn:[\w-]+:[\w-]*:[\w-]*:(?:\d{12}|aws)?:(?P<named>[^\s"',;)\]]+)"#).ok()
});

static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:[a-z0-9_-]+\.)+(?:com|net|org|io|dev|app|cloud|test|example|local|internal|private|lan|corp|svc|aws|cn|de|fr|uk|eu)\b").ok()
});

/// Addresses with their blocks, and words.
static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?P<four>\b\d{1,3}(?:[.-]\d{1,3}){3}\b(?:/\d{1,2}\b)?)|(?P<six>\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:/\d{1,3}\b)?)|(?P<word>[A-Za-z0-9]+)").ok()
});

/// Every word that is replaced, with what replaces it.
struct Names {
    words: BTreeMap<String, String>,
    key: RandomState,
}

impl Names {
    fn of(document: &Value) -> Names {
        let mut found = BTreeSet::new();
        collect(document, "", &mut found);
        let (mut words, mut ids) = (BTreeMap::new(), BTreeMap::<usize, Vec<&String>>::new());
        let names: Vec<&String> = found.iter().filter(|word| !is_id(word)).collect();
        let digits = names.len().to_string().len();
        for (number, name) in names.into_iter().enumerate() {
            words.insert(name.clone(), format!("n{number:0digits$}"));
        }
        for id in found.iter().filter(|word| is_id(word)) {
            ids.entry(id.len()).or_default().push(id);
        }
        for (length, ids) in ids {
            for (number, id) in ids.into_iter().enumerate() {
                // An id is of digits, or has letters, as before.
                let first = if id.chars().all(|c| c.is_ascii_digit()) { "1" } else { "a" };
                let rest = length - 1;
                words.insert(id.clone(), format!("{first}{number:0rest$}"));
            }
        }
        Names { words, key: RandomState::new() }
    }

    fn rename(&self, part: &mut Value, member: &str) {
        self.part(part, member, member);
    }

    fn part(&self, part: &mut Value, member: &str, table: &str) {
        match part {
            Value::String(text) if is_remark(member, table) => "…".clone_into(text),
            Value::String(text) if !is_own(member) => *text = self.renamed(text),
            Value::Array(parts) => {
                parts.iter_mut().for_each(|part| self.part(part, member, table));
            }
            Value::Object(members) => {
                for (member, part) in members.iter_mut() {
                    self.part(part, member, table);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn renamed(&self, text: &str) -> String {
        let Some(parts) = PARTS.as_ref() else { return String::new() };
        let replace = |found: &Captures| {
            let whole = &found[0];
            let address = if found.name("four").is_some() {
                self.four(whole)
            } else if found.name("six").is_some() {
                self.six(whole)
            } else {
                None
            };
            address.unwrap_or_else(|| self.in_words(whole))
        };
        parts.replace_all(text, replace).into_owned()
    }

    /// A text that is no address, word by word.
    fn in_words(&self, text: &str) -> String {
        let mut renamed = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            renamed.push_str(&self.word(&word));
            word.clear();
            renamed.push(c);
        }
        renamed.pop();
        renamed
    }

    fn word(&self, word: &str) -> String {
        match self.words.get(&word.to_ascii_lowercase()) {
            Some(name) if word.chars().any(|c| c.is_ascii_lowercase()) || is_id(word) => {
                name.clone()
            }
            Some(name) => name.to_ascii_uppercase(),
            None => word.to_owned(),
        }
    }

    /// `10.0.1.20`, `10.0.0.0/16`, and `10-0-1-20` in a name of a host.
    fn four(&self, text: &str) -> Option<String> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        let dotted: Ipv4Addr = address.replace('-', ".").parse().ok()?;
        let other = self.other_four(dotted, length).to_string();
        let other = if address.contains('-') { other.replace('.', "-") } else { other };
        Some(format!("{other}{}", &text[address.len()..]))
    }

    /// The first bits of a special block, or the first eight, stay, and so do the last eight: what
    /// is private, and the addresses of a network that have a meaning.
    fn other_four(&self, address: Ipv4Addr, length: u32) -> Ipv4Addr {
        let stays = match address.octets() {
            [0 | 127, ..] | [169, 254, ..] | [224..=255, ..] => 32,
            [172, 16..=31, ..] => 12,
            [192, 168, ..] => 16,
            [100, 64..=127, ..] => 10,
            _ => 8,
        };
        let bits = u128::from(u32::from(address)) << 96;
        let other = self.flipped(bits, stays, length.min(24)) >> 96;
        Ipv4Addr::from(u32::try_from(other).unwrap_or_else(|_| u32::from(address)))
    }

    fn six(&self, text: &str) -> Option<String> {
        let (address, length) = text.split_once('/').unwrap_or((text, "128"));
        let length: u32 = length.parse().ok().filter(|length| *length <= 128)?;
        let address: Ipv6Addr = address.parse().ok()?;
        let is_special = address.is_loopback() || address.is_unspecified();
        let stays = if is_special { 128 } else { 16 };
        let other = Ipv6Addr::from(self.flipped(u128::from(address), stays, length.min(64)));
        let block =
            text.split_once('/').map_or_else(String::new, |(_, length)| format!("/{length}"));
        Some(format!("{}{block}", IpAddr::V6(other)))
    }

    /// Whether a bit flips depends on nothing but the bits before it: so what had a prefix in
    /// common still has one, of the same length.
    fn flipped(&self, bits: u128, from: u32, to: u32) -> u128 {
        (from..to).fold(bits, |flipped, at| {
            let before = if at == 0 { 0 } else { bits >> (128 - at) };
            let flips = self.key.hash_one((at, before)) & 1 == 1;
            if flips { flipped ^ (1 << (127 - at)) } else { flipped }
        })
    }
}

/// Ids of AWS and accounts: digits of some length, or hexadecimal of both kinds. Those of nineteen
/// digits are numbers that ECS counts up.
fn is_id(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let hex = word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    let all_digits = digits == word.len();
    (all_digits && (8..=12).contains(&word.len()))
        || (hex && !all_digits && digits > 0 && word.len() >= 8)
}

fn collect(part: &Value, member: &str, found: &mut BTreeSet<String>) {
    match part {
        Value::String(_) if is_own(member) => {}
        Value::String(text) => {
            if is_named(member, text) {
                words(text, found);
            }
            for regex in [&*ARN, &*HOST].into_iter().flatten() {
                for names in regex.captures_iter(text) {
                    let named = names.name("named").or_else(|| names.get(0));
                    named.into_iter().for_each(|named| words(named.as_str(), found));
                }
            }
            // Ids stand in texts, too.
            let ids = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word));
            found.extend(ids.map(str::to_owned));
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, member, found)),
        Value::Object(members) => members.iter().for_each(|(member, part)| {
            if member.contains([':', '/', '.']) {
                collect(&Value::String(member.clone()), "", found);
            }
            collect(part, member, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The words of a name, in small letters: those that say something of whose it is.
fn words(name: &str, found: &mut BTreeSet<String>) {
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let word = word.to_ascii_lowercase();
        let is_number = word.chars().all(|c| c.is_ascii_digit());
        let is_version = word.starts_with('v') && word[1..].chars().all(|c| c.is_ascii_digit());
        if (word.len() > 1 && !is_number && !is_version && !KNOWN.contains(word.as_str()))
            || is_id(&word)
        {
            found.insert(word);
        }
    }
}

/// Words that say nothing of whose a thing is.
static KNOWN: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("anonymise/known.txt").split_whitespace().collect());

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use checks::diagnosis::{Diagnosis, Node, diagnose};
    use checks::patient::{Intent, Patient};

    use super::*;

    /// The demos, and the accounts of `tests/cases`.
    fn accounts() -> Vec<(PathBuf, Snapshot)> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folders = ["tests/recorded", "tests/cases"].map(|folder| root.join(folder));
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let files = files.map(|file| file.unwrap().path());
        let is_snapshot = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".want.json")
        };
        let snapshots = files.filter(is_snapshot);
        snapshots.map(|path| (path.clone(), crate::replay::load(&path).unwrap())).collect()
    }

    fn diagnoses(snapshot: &Snapshot) -> Vec<String> {
        fn tree(nodes: &[Node]) -> String {
            let of = |node: &Node| format!("{}({})", node.check.id(), tree(&node.explains));
            nodes.iter().map(of).collect::<Vec<_>>().join(" ")
        }
        let intent = Intent::default();
        let of = |diagnosis: Diagnosis| {
            let (roots, notes) = (tree(&diagnosis.roots), tree(&diagnosis.notes));
            format!("{:?}: {roots}; {notes}", diagnosis.verdict)
        };
        let patients = snapshot.services.iter();
        patients.map(|service| of(diagnose(&Patient::new(snapshot, service, &intent)))).collect()
    }

    #[test]
    fn an_anonymous_account_gets_the_same_diagnosis() {
        let mut wrong = Vec::new();
        let accounts = accounts();
        for (path, snapshot) in &accounts {
            let (own, other) = (diagnoses(snapshot), diagnoses(&anonymise(snapshot).unwrap()));
            if own != other {
                wrong.push(format!("{}\n  {own:?}\n  {other:?}", path.display()));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), accounts.len(), wrong.join("\n"));
        assert!(accounts.len() > 20);
    }

    #[test]
    fn nobody_is_told_whose_it_is() {
        for (path, snapshot) in accounts() {
            let said = serde_json::to_string(&anonymise(&snapshot).unwrap()).unwrap();
            let mut names = vec![format!(":{}:", snapshot.account)];
            for service in &snapshot.services {
                names.extend([service.service_arn.clone(), service.cluster_arn.clone()]);
            }
            let tasks = serde_json::to_value(&snapshot.running_tasks).unwrap();
            let tasks = tasks.as_object().unwrap().values().filter_map(|row| row["yes"].as_array());
            let ids =
                tasks.flatten().filter_map(|task| task["task_arn"].as_str()?.rsplit('/').next());
            names.extend(ids.map(str::to_owned));
            let left: Vec<&String> = names.iter().filter(|name| said.contains(*name)).collect();
            assert!(left.is_empty(), "{}: {left:?}", path.display());
        }
    }

    fn names(words: &[&str]) -> Names {
        let words =
            words.iter().enumerate().map(|(at, word)| ((*word).to_owned(), format!("n{at}")));
        Names { words: words.collect(), key: RandomState::new() }
    }

    #[test]
    fn what_names_have_in_common_they_keep() {
        let names = names(&["acme", "orders"]);
        for (own, other) in [
            ("acme-orders", "n0-n1"),
            ("/ecs/acme/orders:3", "/ecs/n0/n1:3"),
            ("ORDERS_HOST=orders.acme.com", "N1_HOST=n1.n0.com"),
            ("(service orders) has started 2 tasks.", "(service n1) has started 2 tasks."),
            ("reorders", "reorders"),
        ] {
            assert_eq!(names.renamed(own), other);
        }
    }

    #[test]
    fn an_address_stays_in_its_block() {
        let names = names(&[]);
        let block = |text: &str| names.renamed(text).parse::<ipnet::IpNet>().unwrap();
        let address = |text: &str| names.renamed(text).parse::<IpAddr>().unwrap();
        for (inside, around) in [
            ("10.20.17.5", "10.20.16.0/20"),
            ("10.20.17.5", "10.20.0.0/16"),
            ("203.0.113.71", "203.0.113.64/26"),
            ("192.168.7.9", "192.168.7.0/24"),
            ("2001:db8:1200:1::12", "2001:db8:1200::/48"),
        ] {
            assert!(block(around).contains(&address(inside)), "{inside} in {around}");
            assert_eq!(block(around).trunc(), block(around), "{around} has no bits of a host");
        }
        assert!(!block("10.20.0.0/20").contains(&address("10.20.16.5")));
        for same in ["0.0.0.0/0", "::/0", "127.0.0.1", "169.254.169.254", "10.0.0.0/8", "1.4.2"] {
            assert_eq!(names.renamed(same), same);
        }
        let dashed = names.renamed("ip-10-0-1-20.eu-west-2.compute.internal");
        let dotted = names.renamed("10.0.1.20").replace('.', "-");
        assert_eq!(dashed, format!("ip-{dotted}.eu-west-2.compute.internal"));
        assert!(address("10.20.17.5").to_string().starts_with("10."));
        assert_eq!(names.renamed("at 12:30:45 it"), "at 12:30:45 it");
    }
}
