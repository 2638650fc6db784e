//! Findings in causal order: whatever explains stands before whatever is explained. An edge runs
//! from a finding whose check explains a symptom to a finding whose check shows it, if their scopes
//! overlap and the cause did not begin after the effect. There are no scores, so the order can be
//! explained.

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog;
use crate::check::{Check, Role, Severity};
use crate::exam::{Exam, Outcome, examine};
use crate::finding::Finding;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::symptom::Symptom;

/// The state of a service in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A symptom or a cause, now.
    Sick,
    /// A decisive call was refused: nobody knows.
    Unknown,
    /// Nothing suffers yet, but there are risks.
    AtRisk,
    /// Every decisive call was answered, and nothing was found but notes.
    Healthy,
}

/// What a finding is in this diagnosis; the order here is the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// What is felt follows from it, and its remedy mends that.
    Cause,
    /// A symptom that nothing we saw explains.
    Unexplained,
    /// A symptom that another finding explains, so that it stands below that one.
    Symptom,
    /// Nothing suffers from it yet.
    Risk,
    /// A normal state that looks like trouble.
    Note,
}

impl Standing {
    /// As far as the check itself tells; `root` if nothing explains the finding.
    fn of(role: Role, root: bool) -> Standing {
        match role {
            Role::Cause => Standing::Cause,
            Role::Symptom if root => Standing::Unexplained,
            Role::Symptom => Standing::Symptom,
            Role::Risk => Standing::Risk,
            Role::Note => Standing::Note,
        }
    }
}

/// A check that would explain a symptom, had it been able to look.
#[derive(Clone, Debug)]
pub struct Suspect {
    pub check: &'static Check,
    pub missed: Blind,
}

/// A finding with what follows from it.
#[derive(Clone, Debug)]
pub struct Node {
    pub check: &'static Check,
    pub finding: Finding,
    pub standing: Standing,
    pub explains: Vec<Node>,
    pub suspects: Vec<Suspect>,
}

impl Node {
    /// The worst severity of this finding and of all that follows from it.
    pub fn severity(&self) -> Severity {
        self.explains.iter().map(Node::severity).fold(self.check.severity, Severity::min)
    }

    /// Whether something goes wrong here or further down: then what explains it is no mere risk.
    fn is_symptom(&self) -> bool {
        self.check.role == Role::Symptom || self.explains.iter().any(Node::is_symptom)
    }

    /// How many findings follow from it.
    pub fn weight(&self) -> usize {
        self.explains.iter().map(|node| 1 + node.weight()).sum()
    }
}

#[derive(Clone, Debug)]
pub struct Diagnosis {
    pub verdict: Verdict,
    /// Causes, then unexplained symptoms, then risks.
    pub roots: Vec<Node>,
    pub notes: Vec<Node>,
    pub exams: Vec<Exam>,
}

/// Examines a patient with every check and puts the findings in order.
pub fn diagnose(patient: &Patient) -> Diagnosis {
    conclude(catalog::checks().map(|check| examine(check, patient)).collect())
}

struct Found<'a> {
    check: &'static Check,
    finding: &'a Finding,
}

fn conclude(exams: Vec<Exam>) -> Diagnosis {
    let found: Vec<Found> = exams
        .iter()
        .flat_map(|exam| exam.findings.iter().map(|finding| Found { check: exam.check, finding }))
        .collect();
    let parents: Vec<Option<usize>> = parents(&found);
    let node = |index: usize| build(index, &found, &parents, &exams);
    let mut roots: Vec<Node> = Vec::new();
    let mut notes: Vec<Node> = Vec::new();
    for index in (0..found.len()).filter(|index| parents[*index].is_none()) {
        let node = node(index);
        if node.standing == Standing::Note { notes.push(node) } else { roots.push(node) }
    }
    // A stable sort: what is equal in all of these stays in catalog order.
    roots.sort_by_key(|node| (node.standing, node.severity(), std::cmp::Reverse(node.weight())));
    Diagnosis { verdict: verdict(&roots, &exams), roots, notes, exams }
}

fn explains(cause: &Found, effect: &Found) -> bool {
    let after = matches!((cause.finding.since, effect.finding.since), (Some(cause), Some(effect)) if cause > effect);
    let joint = effect.check.shows.is_some_and(|symptom| cause.check.explains.contains(&symptom));
    joint && !effect.finding.alone && !after && cause.finding.scope.overlaps(&effect.finding.scope)
}

/// For each finding the one that it stands under: of all that explain it, the one at the end of the
/// longest chain, so that a chain of five reads as five steps and not as five children of one
/// cause.
fn parents(found: &[Found]) -> Vec<Option<usize>> {
    let causes: Vec<Vec<usize>> = found
        .iter()
        .map(|effect| (0..found.len()).filter(|cause| explains(&found[*cause], effect)).collect())
        .collect();
    let depth: Vec<usize> = (0..found.len()).map(|index| depth(index, &causes)).collect();
    causes
        .iter()
        .map(|causes| {
            causes.iter().copied().max_by_key(|cause| (depth[*cause], std::cmp::Reverse(*cause)))
        })
        .collect()
}

/// The length of the longest chain that leads to a finding. A law keeps the causal map free of
/// circles.
fn depth(index: usize, causes: &[Vec<usize>]) -> usize {
    causes[index].iter().map(|cause| 1 + depth(*cause, causes)).max().unwrap_or(0)
}

fn build(index: usize, found: &[Found], parents: &[Option<usize>], exams: &[Exam]) -> Node {
    let Found { check, finding } = &found[index];
    let children = (0..found.len()).filter(|child| parents[*child] == Some(index));
    let root = parents[index].is_none();
    let explains: Vec<Node> = children.map(|child| build(child, found, parents, exams)).collect();
    let mut standing = Standing::of(check.role, root);
    if standing == Standing::Risk && explains.iter().any(Node::is_symptom) {
        standing = Standing::Cause;
    }
    Node {
        check,
        finding: (*finding).clone(),
        standing,
        explains,
        suspects: if root && check.role == Role::Symptom {
            suspects(check, exams)
        } else {
            Vec::new()
        },
    }
}

/// Checks that would explain a symptom had they been able to look, and behind those that show
/// symptoms themselves the checks that would explain these: the real cause is often two blind steps
/// away.
fn suspects(symptom: &Check, exams: &[Exam]) -> Vec<Suspect> {
    let mut symptoms: Vec<Symptom> = symptom.shows.into_iter().collect();
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut next = 0;
    while let Some(shown) = symptoms.get(next).copied() {
        next += 1;
        let known: Vec<&str> = suspects.iter().map(|suspect| suspect.check.id()).collect();
        let blind = |exam: &&Exam| {
            exam.outcome == Outcome::CouldNotLook
                && exam.check.explains.contains(&shown)
                && !known.contains(&exam.check.id())
        };
        let found: Vec<&Exam> = exams.iter().filter(blind).collect();
        symptoms.extend(found.iter().filter_map(|exam| exam.check.shows));
        suspects.extend(found.iter().flat_map(|exam| {
            exam.missed.iter().map(|missed| Suspect { check: exam.check, missed: missed.clone() })
        }));
    }
    suspects
}

/// A call is decisive if a check that shows a symptom could not do without it: unseen is never
/// healthy.
fn verdict(roots: &[Node], exams: &[Exam]) -> Verdict {
    let unseen = |exam: &Exam| {
        exam.check.role == Role::Symptom
            && matches!(exam.outcome, Outcome::CouldNotLook | Outcome::Crashed)
    };
    if roots.iter().any(|root| matches!(root.standing, Standing::Cause | Standing::Unexplained)) {
        Verdict::Sick
    } else if exams.iter().any(unseen) {
        Verdict::Unknown
    } else if roots.is_empty() {
        Verdict::Healthy
    } else {
        Verdict::AtRisk
    }
}
