//! The words of the report that no check has said: headlines and verdicts, in the present tense and
//! plain.

use checks::call::Call;
use checks::check::Role;
use checks::diagnosis::{Diagnosis, Node, Standing, Verdict};
use checks::exam::Outcome;
use checks::seen::Blindness;
use checks::symptom::Symptom;

use super::ServiceKind;
use super::history::NewOrOld;

/// One line that a tired person understands: what is felt, and why.
pub fn headline(diagnosis: &Diagnosis) -> String {
    match (diagnosis.verdict, diagnosis.roots.first()) {
        (Verdict::Sick, Some(root)) => {
            let why = first_sentence(&root.finding.says);
            match felt(root) {
                Some(words) if root.standing == Standing::Cause => {
                    format!("{words}: {}", within(why))
                }
                _ => why.to_owned(),
            }
        }
        (Verdict::Unknown, _) => match decisive(diagnosis) {
            Some(call) => format!(
                "Nobody knows: {} could not be asked, and without it there is no verdict.",
                call.action()
            ),
            None => "Nobody knows: a check that decides has failed.".to_owned(),
        },
        (Verdict::AtRisk, Some(root)) => {
            format!("Nothing suffers now. {}", first_sentence(&root.finding.says))
        }
        (Verdict::Healthy | Verdict::AtRisk | Verdict::Sick, _) => {
            "Nothing wrong was found.".to_owned()
        }
    }
}

/// What clients or operators feel of a cause: the gravest symptom that follows from it.
fn felt(root: &Node) -> Option<String> {
    fn shown(node: &Node, all: &mut Vec<Symptom>) {
        all.extend(node.check.shows);
        node.explains.iter().for_each(|effect| shown(effect, all));
    }
    let mut all = Vec::new();
    root.explains.iter().for_each(|effect| shown(effect, &mut all));
    all.iter().min().map(|symptom| capitalised(symptom.words()))
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The call without which a check that shows a symptom could not look.
fn decisive(diagnosis: &Diagnosis) -> Option<Call> {
    let blind = diagnosis
        .exams
        .iter()
        .filter(|exam| exam.check.role == Role::Symptom && exam.outcome == Outcome::CouldNotLook);
    blind.flat_map(|exam| &exam.missed).map(|missed| missed.origin().call).next()
}

/// A sentence that goes on after a colon: a common word loses its capital, a name keeps it.
fn within(sentence: &str) -> String {
    match sentence.split_once(' ') {
        Some((word, rest)) if COMMON.contains(&word) => format!("{} {rest}", word.to_lowercase()),
        _ => sentence.to_owned(),
    }
}

/// With which words findings begin, where these are no names.
const COMMON: &[&str] = &[
    "The",
    "A",
    "An",
    "All",
    "Of",
    "No",
    "One",
    "Alarm",
    "Calls",
    "Container",
    "Database",
    "Endpoint",
    "Gateway",
    "Load",
    "Log",
    "Network",
    "Role",
    "Rule",
    "Secret",
    "Security",
    "Service",
    "Subnets",
    "Tag",
    "Target",
    "Targets",
    "Task",
    "Tasks",
    "While",
];

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

/// A verdict as it stands in text.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Sick => "SICK",
        Verdict::AtRisk => "AT RISK",
        Verdict::Healthy => "HEALTHY",
        Verdict::Unknown => "UNKNOWN",
    }
}

/// What a finding is, as it stands above the finding.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Cause => "CAUSE",
        Standing::Unexplained => "UNEXPLAINED",
        Standing::Symptom => "SYMPTOM",
        Standing::Risk => "RISK",
        Standing::Note => "NOTE",
    }
}

/// A kind of service as people call it.
pub fn kind(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Express => "Express service",
        ServiceKind::Fargate => "Fargate service",
        ServiceKind::Ec2 => "EC2 service",
        ServiceKind::ManagedInstances => "service on Managed Instances",
        ServiceKind::External => "service on external instances",
    }
}

/// Which of the two versions of a deployment, in text.
pub fn side(side: NewOrOld) -> &'static str {
    match side {
        NewOrOld::New => "new",
        NewOrOld::Old => "old",
    }
}

/// Why a call was not answered, in text.
pub fn why(why: Blindness) -> &'static str {
    match why {
        Blindness::Denied => "denied",
        Blindness::NoAnswer => "no answer",
        Blindness::Unreadable => "unreadable answer",
        Blindness::Declined => "not asked, as you said",
        Blindness::NotAsked => "not in the snapshot",
        Blindness::Behind => "not known what to ask about",
    }
}
