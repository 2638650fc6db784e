//! The words of the report that no check has said: headlines and verdicts, in the present tense and
//! plain.

use checks::diagnosis::{Diagnosis, Node, Standing, Verdict};
use checks::exam::Outcome;
use checks::seen::Blindness;
use checks::symptom::Symptom;
use checks::text::{capitalised, count};

use super::ServiceKind;
use super::history::NewOrOld;

/// One line that a tired person understands: what is felt, and why.
pub fn headline(diagnosis: &Diagnosis) -> String {
    match (diagnosis.verdict, diagnosis.roots.first()) {
        (Verdict::Sick, Some(root)) => match felt(root) {
            Some(words) if root.standing == Standing::Cause => {
                format!("{}: {}.", capitalised(words), root.finding.claim)
            }
            _ => root.finding.sentence(),
        },
        (Verdict::Unknown, _) => {
            let mut missed = diagnosis.decisive().flat_map(|exam| &exam.missed);
            match missed.next().map(|missed| missed.origin().call) {
                Some(call) => format!(
                    "Inconclusive: {} was not answered, and without it there is no verdict.",
                    call.action()
                ),
                None => "Inconclusive: a check that decides has failed.".to_owned(),
            }
        }
        (Verdict::AtRisk, Some(root)) if clients_were_looked_at(diagnosis) => {
            format!("No impact now. {}", root.finding.sentence())
        }
        (Verdict::AtRisk, Some(root)) => root.finding.sentence(),
        (Verdict::Healthy | Verdict::AtRisk | Verdict::Sick, _) => well(diagnosis.roots.len()),
    }
}

/// The headline of a service that is well.
pub fn well(observations: usize) -> String {
    match observations {
        0 => "Nothing wrong was found.".to_owned(),
        some => format!("Nothing wrong was found; {}.", count(some, "observation")),
    }
}

/// Whether all that clients may feel was looked for. Where nothing counts what they get, nobody
/// knows.
fn clients_were_looked_at(diagnosis: &Diagnosis) -> bool {
    let mut exams = diagnosis
        .exams
        .iter()
        .filter(|exam| exam.check.shows.is_some_and(Symptom::is_felt_by_clients));
    exams.all(|exam| exam.outcome == Outcome::Healthy)
}

/// What clients or operators feel of a cause: the gravest symptom that follows from it.
fn felt(root: &Node) -> Option<&'static str> {
    fn shown(node: &Node, all: &mut Vec<Symptom>) {
        all.extend(node.check.shows);
        node.explains.iter().for_each(|effect| shown(effect, all));
    }
    let mut all = Vec::new();
    root.explains.iter().for_each(|effect| shown(effect, &mut all));
    all.iter().min().map(|symptom| symptom.words())
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

/// A verdict as a sign before its word.
pub fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Sick => "✗",
        Verdict::AtRisk => "!",
        Verdict::Healthy => "✓",
        Verdict::Unknown => "?",
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

/// A kind of service where there is room for a word.
pub fn kind_in_short(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Express => "Express",
        ServiceKind::Fargate => "Fargate",
        ServiceKind::Ec2 => "EC2",
        ServiceKind::ManagedInstances => "Managed Instances",
        ServiceKind::External => "ECS Anywhere",
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
