//! Findings in causal order: whatever explains stands before whatever is explained. An edge runs
//! from a finding whose check explains a symptom to a finding whose check shows it, if their scopes
//! overlap and the cause did not begin after the effect. It may pass through symptoms that were not
//! seen, where AWS forgets them or nobody could look, and then says so. There are no scores, so the
//! order can be explained.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog;
use crate::check::{Check, Role, Severity};
use crate::exam::{Exam, Outcome, examine};
use crate::finding::Finding;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
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
    /// Symptoms between what it stands under and itself that nobody saw, and nothing contradicts.
    pub by_way_of: Vec<Symptom>,
    pub explains: Vec<Node>,
    pub suspects: Vec<Suspect>,
}

impl Node {
    /// The worst severity of this finding and of all that follows from it; a note has that of a
    /// note.
    pub fn severity(&self) -> Severity {
        if self.standing == Standing::Note {
            return Severity::Info;
        }
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

#[derive(Clone, Copy)]
struct Found<'a> {
    check: &'static Check,
    finding: &'a Finding,
}

/// Why one finding stands under another.
#[derive(Clone, Debug)]
struct Edge {
    cause: usize,
    /// The symptoms between the two that nobody saw, from the cause on; none where the one explains
    /// the other at once.
    by_way_of: Vec<Symptom>,
}

/// All that was found, and what was not seen and may yet have been there.
struct Case<'a> {
    found: Vec<Found<'a>>,
    /// Checks that show a symptom, and neither found it nor can tell that it was not there.
    unsure: Vec<&'static Check>,
}

impl<'a> Case<'a> {
    fn new(exams: &'a [Exam]) -> Case<'a> {
        let of = |exam: &'a Exam| {
            exam.findings.iter().map(|finding| Found { check: exam.check, finding })
        };
        let unsure = |exam: &&Exam| match exam.outcome {
            Outcome::CouldNotLook | Outcome::Crashed => true,
            // What it found may be about another part of the service.
            Outcome::Healthy | Outcome::Sick => exam.check.shows.is_some_and(Symptom::passes),
            Outcome::NotApplicable(_) => false,
        };
        Case {
            found: exams.iter().flat_map(of).collect(),
            unsure: exams.iter().filter(unsure).map(|exam| exam.check).collect(),
        }
    }

    /// Whether one finding explains another, and by way of what.
    fn edge(&self, cause: usize, effect: usize) -> Option<Edge> {
        let (of, to) = (&self.found[cause], &self.found[effect]);
        let shown = to.check.shows.filter(|_| !to.finding.alone)?;
        let after = of.finding.since.zip(to.finding.since).is_some_and(|(of, to)| of > to);
        if after || !of.finding.scope.overlaps(&to.finding.scope) {
            return None;
        }
        Some(Edge { cause, by_way_of: self.way(of, to, shown)? })
    }

    /// The shortest way from what a finding explains to a symptom, through symptoms that were not
    /// seen where they would have had to be, and that nothing contradicts.
    fn way(&self, of: &Found, to: &Found, shown: Symptom) -> Option<Vec<Symptom>> {
        let mut ways: Vec<Vec<Symptom>> = vec![Vec::new()];
        let mut next = 0;
        while let Some(way) = ways.get(next).cloned() {
            next += 1;
            let explains = match way.last() {
                None => of.check.explains,
                Some(last) => self.unsure.iter().find(|check| check.shows == Some(*last))?.explains,
            };
            if explains.contains(&shown) {
                return Some(way);
            }
            for step in explains.iter().filter(|step| self.is_open(**step, of, to)) {
                if !ways.iter().any(|known| known.contains(step)) {
                    ways.push([way.clone(), vec![*step]].concat());
                }
            }
        }
        None
    }

    /// Whether a symptom may have been there between two findings though nobody saw it.
    fn is_open(&self, step: Symptom, of: &Found, to: &Found) -> bool {
        let seen = self.found.iter().any(|found| {
            found.check.shows == Some(step)
                && !found.finding.alone
                && found.finding.scope.overlaps(&of.finding.scope)
                && found.finding.scope.overlaps(&to.finding.scope)
        });
        !seen && self.unsure.iter().any(|check| check.shows == Some(step))
    }

    /// For each finding what it stands under. What explains it at once goes before what explains it
    /// by way of something unseen, and what is wrong before what somebody meant; of several, the one
    /// at the end of the longest chain, so that a chain of five reads as five steps and not as five
    /// children of one cause.
    fn parents(&self) -> Vec<Option<Edge>> {
        let all = 0..self.found.len();
        let edges: Vec<Vec<Edge>> = all
            .clone()
            .map(|effect| {
                all.clone().filter_map(|cause| self.edge(cause, effect)).collect::<Vec<_>>()
            })
            .collect();
        let mut depths = vec![None; self.found.len()];
        all.clone().for_each(|index| {
            depth(index, &edges, &mut depths);
        });
        let rank = |edge: &&Edge| {
            let is_wrong = !self.found[edge.cause].finding.meant;
            (is_wrong, edge.by_way_of.is_empty(), depths[edge.cause], Reverse(edge.cause))
        };
        edges.iter().map(|edges| edges.iter().max_by_key(rank).cloned()).collect()
    }
}

/// The length of the longest chain that leads to a finding. A law keeps the causal map free of
/// circles.
fn depth(index: usize, edges: &[Vec<Edge>], known: &mut [Option<usize>]) -> usize {
    if let Some(depth) = known[index] {
        return depth;
    }
    let mut longest = 0;
    for edge in &edges[index] {
        longest = longest.max(1 + edge.by_way_of.len() + depth(edge.cause, edges, known));
    }
    known[index] = Some(longest);
    longest
}

/// Puts what the exams found in order.
pub fn conclude(exams: Vec<Exam>) -> Diagnosis {
    let case = Case::new(&exams);
    let parents = case.parents();
    let (mut roots, mut notes): (Vec<Node>, Vec<Node>) = (0..case.found.len())
        .filter(|index| parents[*index].is_none())
        .map(|index| build(index, &case, &parents, &exams))
        .partition(|node| node.standing != Standing::Note);
    // A stable sort: what is equal in all of these stays in catalog order.
    let rank = |node: &Node| (node.standing, node.severity(), Reverse(node.weight()));
    roots.sort_by_key(rank);
    notes.sort_by_key(rank);
    Diagnosis { verdict: verdict(&roots, &exams), roots, notes, exams }
}

fn build(index: usize, case: &Case, parents: &[Option<Edge>], exams: &[Exam]) -> Node {
    let Found { check, finding } = case.found[index];
    let root = parents[index].is_none();
    let is_child = |child: &usize| parents[*child].as_ref().is_some_and(|edge| edge.cause == index);
    let explains: Vec<Node> = (0..case.found.len())
        .filter(is_child)
        .map(|child| build(child, case, parents, exams))
        .collect();
    let mut standing = if finding.meant { Standing::Note } else { Standing::of(check.role, root) };
    if standing == Standing::Risk && explains.iter().any(Node::is_symptom) {
        standing = Standing::Cause;
    }
    Node {
        check,
        finding: finding.clone(),
        standing,
        by_way_of: parents[index].clone().map(|edge| edge.by_way_of).unwrap_or_default(),
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

fn verdict(roots: &[Node], exams: &[Exam]) -> Verdict {
    let hurts = |root: &Node| root.severity() <= Severity::Medium;
    if roots.iter().any(|root| matches!(root.standing, Standing::Cause | Standing::Unexplained)) {
        Verdict::Sick
    } else if exams.iter().any(|exam| is_decisive(exam, exams)) {
        Verdict::Unknown
    } else if roots.iter().any(hurts) {
        Verdict::AtRisk
    } else {
        Verdict::Healthy
    }
}

/// Whether a check that could not look might have made the verdict sick, and nothing that was seen
/// rules it out: unseen is never healthy. What the user declined does not count. A cause is ruled
/// out where all that it would explain was looked for and is not there, or where a fact that it
/// names rules it out.
fn is_decisive(exam: &Exam, exams: &[Exam]) -> bool {
    let unseen = matches!(exam.outcome, Outcome::CouldNotLook | Outcome::Crashed);
    let declined = !exam.missed.is_empty()
        && exam.missed.iter().all(|missed| missed.origin().why == Why::Declined);
    let decides = match exam.check.role {
        Role::Symptom => true,
        Role::Cause => {
            exam.check.severity <= Severity::High
                && !exam.ruled_out
                && !is_ruled_out(exam.check, exams)
        }
        Role::Risk | Role::Note => false,
    };
    unseen && !declined && decides
}

fn is_ruled_out(cause: &Check, exams: &[Exam]) -> bool {
    let is_absent = |symptom: &Symptom| {
        let mut shown = exams.iter().filter(|exam| exam.check.shows == Some(*symptom)).peekable();
        shown.peek().is_some()
            && shown
                .all(|exam| matches!(exam.outcome, Outcome::Healthy | Outcome::NotApplicable(_)))
    };
    !cause.explains.is_empty() && cause.explains.iter().all(is_absent)
}

impl Diagnosis {
    /// The checks that could not look and might have made the verdict sick.
    pub fn decisive(&self) -> impl Iterator<Item = &Exam> {
        self.exams.iter().filter(|exam| is_decisive(exam, &self.exams))
    }
}

/// Exams are made by hand, and the diagnosis is read as an outline: a line for each root with its
/// standing, and under it, indented, what follows from it and whom it suspects.
#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::call::Call;
    use crate::finding::Kind;
    use crate::seen::Why;
    use crate::symptom::Symptom::*;
    use crate::testing::{made, trouble};

    fn cause(id: &'static str, explains: &'static [Symptom]) -> Check {
        Check { explains, ..made(id) }
    }

    fn risk(id: &'static str, explains: &'static [Symptom]) -> Check {
        Check { role: Role::Risk, ..cause(id, explains) }
    }

    fn symptom(id: &'static str, shows: Symptom, explains: &'static [Symptom]) -> Check {
        Check { role: Role::Symptom, shows: Some(shows), ..cause(id, explains) }
    }

    fn note(id: &'static str) -> Check {
        Check { role: Role::Note, ..made(id) }
    }

    fn exam(check: Check, outcome: Outcome, findings: Vec<Finding>, missed: &[Call]) -> Exam {
        let denied = |call: &Call| Blind { call: *call, why: Why::Denied("no".into()) };
        let missed = missed.iter().map(denied).collect();
        let check = Box::leak(Box::new(check));
        Exam { check, outcome, findings, missed, read: Vec::new(), ruled_out: false }
    }

    fn found(check: Check, findings: impl IntoIterator<Item = Finding>) -> Exam {
        exam(check, Outcome::Sick, findings.into_iter().collect(), &[])
    }

    fn sick(check: Check) -> Exam {
        found(check, [trouble("")])
    }

    fn ended(check: Check, outcome: Outcome) -> Exam {
        exam(check, outcome, Vec::new(), &[])
    }

    fn blind(check: Check, missed: &[Call]) -> Exam {
        exam(check, Outcome::CouldNotLook, Vec::new(), missed)
    }

    /// The word for it in JSON.
    fn json(value: &impl Serialize) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    fn outline(exams: impl IntoIterator<Item = Exam>) -> Vec<String> {
        let diagnosis = conclude(exams.into_iter().collect());
        let mut lines = Vec::new();
        for root in diagnosis.roots.iter().chain(&diagnosis.notes) {
            draw(root, &json(&root.standing), 1, &mut lines);
        }
        lines
    }

    fn draw(node: &Node, before: &str, depth: usize, lines: &mut Vec<String>) {
        lines.push(format!("{before} {} {}", node.check.id(), node.finding.about.id));
        let indent = "  ".repeat(depth);
        for suspect in &node.suspects {
            let (id, action) = (suspect.check.id(), suspect.missed.call.action());
            lines.push(format!("{indent}? {id} {action}"));
        }
        let dash = format!("{indent}-");
        node.explains.iter().for_each(|child| draw(child, &dash, depth + 1, lines));
        lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    }

    fn verdict_of(exams: impl IntoIterator<Item = Exam>) -> Verdict {
        conclude(exams.into_iter().collect()).verdict
    }

    /// Whether this cause explains this effect, where their checks would let it.
    fn joins(cause_finding: Finding, effect: Finding) -> bool {
        let lines = outline([
            found(symptom("unhealthy", TargetsUnhealthy, &[]), [effect]),
            found(cause("port", &[TargetsUnhealthy]), [cause_finding]),
        ]);
        lines.len() == 2 && lines[1].starts_with("  - unhealthy")
    }

    // The chain.

    #[test]
    fn a_cause_stands_before_what_it_explains_wherever_the_catalog_has_it() {
        let effect = || sick(symptom("unhealthy", TargetsUnhealthy, &[]));
        let root = || sick(cause("port", &[TargetsUnhealthy]));
        let told = ["cause port", "  - unhealthy"];
        assert_eq!(outline([effect(), root()]), told);
        assert_eq!(outline([root(), effect()]), told);
    }

    #[test]
    fn a_check_explains_only_the_symptoms_that_it_names() {
        assert_eq!(
            outline([
                sick(cause("port", &[TasksKeepStopping, NoTarget])),
                sick(symptom("unhealthy", TargetsUnhealthy, &[])),
                sick(cause("secret", &[])),
            ]),
            ["cause port", "cause secret", "unexplained unhealthy"]
        );
    }

    #[test]
    fn an_effect_stands_at_the_end_of_the_longest_chain() {
        // The port explains each step by itself, and each step the next one.
        let port = || sick(cause("port", &[TargetsUnhealthy, TasksKeepStopping, NoTarget]));
        let unhealthy = || sick(symptom("unhealthy", TargetsUnhealthy, &[TasksKeepStopping]));
        let stopping = || sick(symptom("stopping", TasksKeepStopping, &[NoTarget]));
        let empty = || sick(symptom("empty", NoTarget, &[]));
        let told = ["cause port", "  - unhealthy", "    - stopping", "      - empty"];
        assert_eq!(outline([port(), unhealthy(), stopping(), empty()]), told);
        assert_eq!(outline([empty(), stopping(), unhealthy(), port()]), told);
        assert_eq!(outline([stopping(), port(), empty(), unhealthy()]), told);
    }

    #[test]
    fn of_causes_at_the_same_depth_the_first_of_the_catalog_has_the_effect() {
        assert_eq!(
            outline([
                sick(cause("first", &[TargetsUnhealthy])),
                sick(symptom("unhealthy", TargetsUnhealthy, &[])),
                sick(cause("second", &[TargetsUnhealthy])),
            ]),
            ["cause first", "  - unhealthy", "cause second"]
        );
    }

    #[test]
    fn each_finding_of_a_check_has_its_own_place() {
        let group = |name: &str| trouble(name).concerns(Kind::TargetGroup, name);
        assert_eq!(
            outline([
                found(cause("port", &[TargetsUnhealthy]), [group("blue"), group("green")]),
                found(
                    symptom("unhealthy", TargetsUnhealthy, &[]),
                    [group("green"), group("blue"), group("grey")]
                ),
            ]),
            [
                "cause port blue",
                "  - unhealthy blue",
                "cause port green",
                "  - unhealthy green",
                "unexplained unhealthy grey"
            ]
        );
    }

    // What else has to hold for an edge.

    #[test]
    fn an_edge_needs_scopes_that_overlap() {
        let about = |name: &str| trouble("").concerns(Kind::TargetGroup, name);
        assert!(joins(about("blue"), about("blue")));
        assert!(joins(trouble(""), about("blue")), "the whole service has the group");
        assert!(joins(about("blue"), trouble("")));
        assert!(!joins(about("blue"), about("green")));
    }

    #[test]
    fn a_cause_does_not_begin_after_its_effect() {
        let since = |second: Option<i64>| {
            trouble("").since(second.map(|second| Timestamp::from_second(second).unwrap()))
        };
        for (cause, effect, joined) in [
            (Some(1), Some(2), true),
            (Some(2), Some(2), true),
            (Some(3), Some(2), false),
            (None, Some(2), true),
            (Some(3), None, true),
            (None, None, true),
        ] {
            assert_eq!(joins(since(cause), since(effect)), joined, "{cause:?} and {effect:?}");
        }
    }

    #[test]
    fn what_is_no_case_of_its_checks_symptom_is_explained_by_nothing_and_may_explain() {
        assert!(joins(trouble("").alone_if(false), trouble("").alone_if(false)));
        assert!(joins(trouble("").alone_if(true), trouble("")));
        assert!(!joins(trouble(""), trouble("").alone_if(true)));
    }

    // Standings.

    #[test]
    fn a_root_stands_as_its_check_says() {
        assert_eq!(
            outline([
                sick(note("pinned")),
                sick(risk("single", &[])),
                sick(symptom("unhealthy", TargetsUnhealthy, &[])),
                sick(cause("port", &[])),
            ]),
            ["cause port", "unexplained unhealthy", "risk single", "note pinned"]
        );
    }

    #[test]
    fn a_risk_that_explains_a_symptom_is_a_cause_now() {
        let open = || sick(symptom("open", OpenToWorld, &[]));
        let wide = || sick(Check { shows: Some(NarrowRuleVoid), ..risk("wide", &[OpenToWorld]) });
        let shared = || sick(risk("shared", &[NarrowRuleVoid]));
        assert_eq!(outline([wide(), open()]), ["cause wide", "  - open"]);
        assert_eq!(outline([shared(), wide()]), ["risk shared", "  - wide"], "nothing suffers yet");
        assert_eq!(
            outline([shared(), wide(), open()]),
            ["cause shared", "  - wide", "    - open"],
            "the symptom may be further down"
        );
    }

    #[test]
    fn a_risk_in_the_middle_of_a_chain_is_a_cause_too_only_if_a_symptom_follows() {
        let standing = |exams: Vec<Exam>| conclude(exams).roots[0].explains[0].standing;
        let middle = || Check { shows: Some(NarrowRuleVoid), ..risk("wide", &[OpenToWorld]) };
        let root = || sick(cause("shared", &[NarrowRuleVoid]));
        let open = sick(symptom("open", OpenToWorld, &[]));
        assert_eq!(standing(vec![root(), sick(middle())]), Standing::Risk);
        assert_eq!(standing(vec![root(), sick(middle()), open]), Standing::Cause);
    }

    #[test]
    fn what_somebody_meant_is_a_note_and_what_follows_from_it_no_trouble() {
        let zero = |meant| found(cause("zero", &[NoTarget]), [trouble("").meant_if(meant)]);
        let empty = || sick(symptom("empty", NoTarget, &[]));
        assert_eq!(outline([zero(true), empty()]), ["note zero", "  - empty"]);
        assert_eq!(verdict_of([zero(true), empty()]), Verdict::Healthy);
        assert_eq!(verdict_of([zero(false), empty()]), Verdict::Sick);
        let port = || sick(cause("port", &[NoTarget]));
        assert_eq!(
            outline([zero(true), empty(), port()]),
            ["cause port", "  - empty", "note zero"],
            "what is wrong goes before what is meant"
        );
    }

    #[test]
    fn a_note_is_no_root() {
        let diagnosis = conclude(vec![sick(note("pinned")), sick(cause("port", &[]))]);
        let ids = |nodes: &[Node]| nodes.iter().map(|node| node.check.id()).collect::<Vec<_>>();
        assert_eq!((ids(&diagnosis.roots), ids(&diagnosis.notes)), (vec!["port"], vec!["pinned"]));
    }

    // The order of the roots.

    #[test]
    fn roots_come_by_standing_then_severity_then_weight_then_catalog() {
        let of = |severity, check| sick(Check { severity, ..check });
        assert_eq!(
            outline([
                of(Severity::Critical, risk("risk", &[])),
                of(Severity::Low, cause("low", &[])),
                of(Severity::Critical, symptom("symptom", Saturated, &[])),
                of(Severity::High, cause("first", &[])),
                of(Severity::High, cause("second", &[])),
                of(Severity::High, cause("heavy", &[TargetsUnhealthy])),
                of(Severity::Low, symptom("unhealthy", TargetsUnhealthy, &[])),
                of(Severity::Medium, cause("grave in what follows", &[NoTarget])),
                of(Severity::Critical, symptom("empty", NoTarget, &[])),
            ]),
            [
                "cause grave in what follows",
                "  - empty",
                "cause heavy",
                "  - unhealthy",
                "cause first",
                "cause second",
                "cause low",
                "unexplained symptom",
                "risk risk"
            ]
        );
    }

    #[test]
    fn severity_and_weight_are_of_all_that_follows() {
        let of = |severity, check| sick(Check { severity, ..check });
        let diagnosis = conclude(vec![
            of(Severity::Medium, cause("port", &[TargetsUnhealthy, Saturated])),
            of(Severity::Low, symptom("unhealthy", TargetsUnhealthy, &[NoTarget])),
            of(Severity::High, symptom("empty", NoTarget, &[])),
            of(Severity::Info, symptom("saturated", Saturated, &[])),
        ]);
        let root = &diagnosis.roots[0];
        let of_each = |node: &Node| (node.check.id(), node.severity(), node.weight());
        assert_eq!(of_each(root), ("port", Severity::High, 3));
        assert_eq!(
            root.explains.iter().map(of_each).collect::<Vec<_>>(),
            [("unhealthy", Severity::High, 1), ("saturated", Severity::Info, 0)]
        );
    }

    // Verdicts.

    #[test]
    fn a_verdict_is_of_the_worst_that_stands() {
        let (cause, risk) = (|| sick(cause("port", &[])), || sick(risk("single", &[])));
        let (symptom, note) =
            (|| sick(symptom("unhealthy", TargetsUnhealthy, &[])), || sick(note("pinned")));
        assert_eq!(verdict_of([]), Verdict::Healthy);
        assert_eq!(verdict_of([note()]), Verdict::Healthy);
        assert_eq!(verdict_of([risk(), note()]), Verdict::AtRisk);
        assert_eq!(verdict_of([risk(), cause()]), Verdict::Sick);
        assert_eq!(verdict_of([symptom()]), Verdict::Sick);
    }

    #[test]
    fn unseen_is_never_healthy() {
        let shows = || symptom("unhealthy", TargetsUnhealthy, &[]);
        for (outcome, verdict) in [
            (Outcome::Healthy, Verdict::Healthy),
            (Outcome::NotApplicable("no load balancer"), Verdict::Healthy),
            (Outcome::CouldNotLook, Verdict::Unknown),
            (Outcome::Crashed, Verdict::Unknown),
        ] {
            assert_eq!(verdict_of([ended(shows(), outcome)]), verdict, "{outcome:?}");
        }
        for outcome in [Outcome::CouldNotLook, Outcome::Crashed] {
            let unseen = || ended(shows(), outcome);
            assert_eq!(verdict_of([unseen(), sick(risk("single", &[]))]), Verdict::Unknown);
            assert_eq!(verdict_of([unseen(), sick(cause("port", &[]))]), Verdict::Sick);
            assert_eq!(verdict_of([unseen(), sick(note("pinned"))]), Verdict::Unknown);
        }
    }

    #[test]
    fn a_blind_cause_is_decisive_unless_what_it_explains_is_not_there() {
        let port = || blind(cause("port", &[TargetsUnhealthy, NoTarget]), &[Call::DescribeTasks]);
        let unhealthy = |outcome| ended(symptom("unhealthy", TargetsUnhealthy, &[]), outcome);
        let empty = |outcome| ended(symptom("empty", NoTarget, &[]), outcome);
        for (first, second, verdict) in [
            (Outcome::Healthy, Outcome::Healthy, Verdict::Healthy),
            (Outcome::Healthy, Outcome::NotApplicable("no load balancer"), Verdict::Healthy),
            (Outcome::Healthy, Outcome::CouldNotLook, Verdict::Unknown),
            (Outcome::Crashed, Outcome::Healthy, Verdict::Unknown),
        ] {
            assert_eq!(
                verdict_of([port(), unhealthy(first), empty(second)]),
                verdict,
                "{first:?}, {second:?}"
            );
        }
        assert_eq!(verdict_of([port(), unhealthy(Outcome::Healthy)]), Verdict::Unknown);
        assert_eq!(
            verdict_of([blind(cause("certificate", &[]), &[Call::ListCertificates])]),
            Verdict::Unknown,
            "nothing else would show it"
        );
    }

    #[test]
    fn blindness_that_could_not_have_made_it_sick_is_not_decisive() {
        let missed = [Call::DescribeTasks];
        let minor = Check { severity: Severity::Medium, ..cause("tag", &[]) };
        for check in [risk("single", &[]), note("pinned"), minor] {
            assert_eq!(verdict_of([blind(check, &missed)]), Verdict::Healthy, "{check:?}");
        }
        let mut declined = blind(cause("certificate", &[]), &missed);
        declined.missed.iter_mut().for_each(|missed| missed.why = Why::Declined);
        assert_eq!(verdict_of([declined]), Verdict::Healthy, "the user did not want to know");
    }

    #[test]
    fn only_a_risk_that_will_hurt_is_told_by_the_verdict() {
        for (severity, verdict) in [
            (Severity::Medium, Verdict::AtRisk),
            (Severity::Low, Verdict::Healthy),
            (Severity::Info, Verdict::Healthy),
        ] {
            let risk = sick(Check { severity, ..risk("single", &[]) });
            assert_eq!(verdict_of([risk]), verdict);
        }
    }

    // What was not seen.

    #[test]
    fn an_explanation_reaches_through_what_passes_and_is_not_seen() {
        let port = || sick(cause("port", &[TargetsUnhealthy]));
        let unhealthy =
            |outcome| ended(symptom("unhealthy", TargetsUnhealthy, &[TasksKeepStopping]), outcome);
        let stopping =
            |outcome| ended(symptom("stopping", TasksKeepStopping, &[RolledBack]), outcome);
        let back = || sick(symptom("back", RolledBack, &[]));
        let told = ["cause port", "  - back"];
        for outcome in [Outcome::Healthy, Outcome::CouldNotLook, Outcome::Crashed] {
            assert_eq!(
                outline([port(), unhealthy(outcome), stopping(outcome), back()]),
                told,
                "{outcome:?}"
            );
        }
        let diagnosis =
            conclude(vec![port(), unhealthy(Outcome::Healthy), stopping(Outcome::Healthy), back()]);
        assert_eq!(diagnosis.roots[0].explains[0].by_way_of, [TargetsUnhealthy, TasksKeepStopping]);
    }

    #[test]
    fn it_does_not_reach_through_what_was_looked_for_and_lasts() {
        let port = || sick(cause("port", &[TooFewRunning]));
        let few = |outcome| ended(symptom("few", TooFewRunning, &[DeploymentStuck]), outcome);
        let stuck = || sick(symptom("stuck", DeploymentStuck, &[]));
        assert_eq!(
            outline([port(), few(Outcome::Healthy), stuck()]),
            ["cause port", "unexplained stuck"]
        );
        assert_eq!(
            outline([port(), few(Outcome::NotApplicable("no task is desired")), stuck()]),
            ["cause port", "unexplained stuck"]
        );
        assert_eq!(
            outline([port(), few(Outcome::CouldNotLook), stuck()]),
            ["cause port", "  - stuck"]
        );
    }

    #[test]
    fn what_is_seen_is_not_passed_by() {
        // The targets of green are unhealthy, so those of blue are what was not seen.
        let of = |name: &str| trouble(name).concerns(Kind::TargetGroup, name);
        let unhealthy =
            |name: &str| found(symptom("unhealthy", TargetsUnhealthy, &[NoTarget]), [of(name)]);
        let exams = |name: &str| {
            outline([
                found(cause("port", &[TargetsUnhealthy]), [of("blue")]),
                unhealthy(name),
                found(symptom("empty", NoTarget, &[]), [of("blue")]),
            ])
        };
        assert_eq!(exams("blue"), ["cause port blue", "  - unhealthy blue", "    - empty blue"]);
        assert_eq!(
            exams("green"),
            ["cause port blue", "  - empty blue", "unexplained unhealthy green"]
        );
    }

    #[test]
    fn what_explains_at_once_goes_before_what_reaches_far() {
        assert_eq!(
            outline([
                sick(cause("far", &[TargetsUnhealthy])),
                ended(
                    symptom("unhealthy", TargetsUnhealthy, &[TasksKeepStopping]),
                    Outcome::Healthy
                ),
                sick(symptom("stopping", TasksKeepStopping, &[])),
                sick(cause("near", &[TasksKeepStopping])),
            ]),
            ["cause near", "  - stopping", "cause far"]
        );
    }

    // Suspects.

    #[test]
    fn who_could_not_look_is_a_suspect_of_the_symptom_that_it_would_explain() {
        assert_eq!(
            outline([
                sick(symptom("unhealthy", TargetsUnhealthy, &[])),
                blind(
                    cause("port", &[TargetsUnhealthy]),
                    &[Call::DescribeSubnets, Call::DescribeNetworkAcls]
                ),
                blind(cause("of another symptom", &[NoTarget]), &[Call::DescribeSubnets]),
                ended(cause("crashed", &[TargetsUnhealthy]), Outcome::Crashed),
                ended(cause("healthy", &[TargetsUnhealthy]), Outcome::Healthy),
            ]),
            [
                "unexplained unhealthy",
                "  ? port ec2:DescribeSubnets",
                "  ? port ec2:DescribeNetworkAcls"
            ]
        );
    }

    #[test]
    fn a_suspect_may_be_two_blind_steps_away() {
        let empty = || sick(symptom("empty", NoTarget, &[]));
        let secret = || blind(cause("secret", &[TasksKeepStopping]), &[Call::DescribeSubnets]);
        let stopping = |outcome| {
            let missed = [Call::DescribeTasks];
            exam(symptom("stopping", TasksKeepStopping, &[NoTarget]), outcome, Vec::new(), &missed)
        };
        assert_eq!(
            outline([secret(), empty(), stopping(Outcome::CouldNotLook)]),
            [
                "unexplained empty",
                "  ? stopping ecs:DescribeTasks",
                "  ? secret ec2:DescribeSubnets"
            ]
        );
        assert_eq!(
            outline([secret(), empty(), stopping(Outcome::Healthy)]),
            ["unexplained empty"],
            "what lies between has been seen, and is not so"
        );
    }

    #[test]
    fn a_suspect_is_named_once_however_many_steps_lead_to_it() {
        assert_eq!(
            outline([
                sick(symptom("empty", NoTarget, &[])),
                blind(symptom("stopping", TasksKeepStopping, &[NoTarget]), &[Call::DescribeTasks]),
                blind(cause("secret", &[NoTarget, TasksKeepStopping]), &[Call::DescribeSubnets]),
            ]),
            [
                "unexplained empty",
                "  ? stopping ecs:DescribeTasks",
                "  ? secret ec2:DescribeSubnets"
            ]
        );
    }

    #[test]
    fn only_a_symptom_that_nothing_explains_has_suspects() {
        let exams = |root: Check| {
            [
                sick(symptom("empty", NoTarget, &[])),
                sick(root),
                blind(cause("port", &[TargetsUnhealthy, NoTarget]), &[Call::DescribeSubnets]),
            ]
        };
        assert_eq!(
            outline(exams(Check {
                shows: Some(TargetsUnhealthy),
                ..cause("deployment", &[NoTarget])
            })),
            ["cause deployment", "  - empty"]
        );
        assert_eq!(
            outline(exams(symptom("unhealthy", TargetsUnhealthy, &[NoTarget]))),
            ["unexplained unhealthy", "  ? port ec2:DescribeSubnets", "  - empty"]
        );
    }

    #[test]
    fn each_state_has_its_word() {
        let verdicts = [Verdict::Sick, Verdict::Unknown, Verdict::AtRisk, Verdict::Healthy];
        assert_eq!(
            verdicts.map(|verdict| json(&verdict)),
            ["sick", "unknown", "at_risk", "healthy"]
        );
        assert!(verdicts.is_sorted(), "the worst first");
        let standings = [Standing::Cause, Standing::Unexplained, Standing::Risk, Standing::Note];
        assert_eq!(
            standings.map(|standing| json(&standing)),
            ["cause", "unexplained", "risk", "note"]
        );
    }
}
