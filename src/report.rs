//! The report: all that a printer may see, and at the same time the JSON that scripts rely on
//! (`ecs-doctor/v1`). Text from AWS and from logs is cleaned of control characters here, once, for
//! every printer.

mod accepted;
mod expected;
pub mod history;
pub mod json;
pub mod path;
mod place;
#[cfg_attr(
    not(any(feature = "aws", test)),
    expect(dead_code, reason = "without the SDK nobody is asked, but the schema is the same")
)]
pub mod services;
pub mod summary;
pub mod text;
pub mod wording;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

pub use accepted::AcceptedReport;
use checks::call::Call;
use checks::catalog::{GROUPS, Group};
use checks::check::{Role, Severity};
use checks::command::Effect;
use checks::diagnosis::{Diagnosis, Node, Standing, Verdict};
use checks::exam::{Ended, Exam, Outcome};
use checks::finding::Kind;
use checks::patient::Patient;
use checks::seen::{Blind, Blindness};
use checks::snapshot::Snapshot;
use checks::symptom::Symptom;
pub use expected::ExpectedReport;
use history::{ChangesReport, DigestsReport, RolloutReport, TimelineReport, TrailReport};
use jiff::{SignedDuration, Timestamp};
use path::{PathReport, ProbeReport};
pub use place::{CommandReport, Place, ShellReport};
use regex::{Captures, Regex};
use schemars::JsonSchema;
use serde::Serialize;
pub use summary::{FlatFinding, Summary};

pub const FORMAT: &str = "ecs-doctor/v1";

/// How much of a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What fits on a screen; of JSON, what a script decides by.
    Brief,
    Full,
}

/// One way to print a report.
pub trait Print {
    fn print(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()>;
}

/// A diagnosis of one or several services of one account and region.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "ecs-doctor/v1")]
pub struct Report {
    pub format: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// When AWS was asked; every age in the report is counted from here.
    pub taken_at: Timestamp,
    pub account: String,
    pub region: String,
    /// Set if the account is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    pub services: Vec<ServiceReport>,
    /// Every call that was refused or broke.
    pub blind: Vec<BlindReport>,
    pub calls: Calls,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ServiceReport {
    pub service: String,
    pub cluster: String,
    pub arn: String,
    pub kind: ServiceKind,
    pub verdict: Verdict,
    pub headline: String,
    pub summary: Summary,
    /// Every finding but the notes, flat: a root, then all that follows from it.
    pub findings: Vec<FlatFinding>,
    /// Causes, unexplained symptoms, risks; in this order.
    pub roots: Vec<FindingReport>,
    pub notes: Vec<FindingReport>,
    /// The path of the URL that was asked about, and the service's own.
    pub paths: Vec<PathReport>,
    /// What one GET got, with `--probe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeReport>,
    /// The newest deployment, where ECS itself controls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutReport>,
    /// From the last good version to the newest, if the newest deployment failed, went back or is
    /// stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesReport>,
    /// The last hour of a sick service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<TimelineReport>,
    /// Who changed what, where the user asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail: Option<TrailReport>,
    pub digests: DigestsReport,
    /// The file of expectations that this was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedReport>,
    /// Risks that a file accepts.
    pub accepted: Vec<AcceptedReport>,
    /// Checks that looked and found nothing.
    pub ruled_out: Vec<&'static str>,
    pub exams: Vec<ExamReport>,
}

/// What runs the tasks of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// ECS Express Mode, which runs on Fargate and manages load balancer and network itself.
    Express,
    /// Fargate, by launch type or capacity provider.
    Fargate,
    /// Container instances on EC2.
    Ec2,
    /// ECS Managed Instances.
    ManagedInstances,
    /// ECS Anywhere: instances outside of AWS.
    External,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FindingReport {
    pub check: &'static str,
    pub standing: Standing,
    /// The worst of this finding and of all that follows from it.
    pub severity: Severity,
    /// That of the check.
    pub own_severity: Severity,
    pub title: &'static str,
    /// The symptom that it shows, as an operator would say it.
    #[serde(skip)]
    pub shows: Option<&'static str>,
    pub says: String,
    pub subject: SubjectReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub evidence: Vec<EvidenceReport>,
    pub remedy: RemedyReport,
    /// Symptoms between what it follows from and itself that were not seen, and that nothing
    /// contradicts.
    pub by_way_of: Vec<&'static str>,
    /// What follows from it.
    pub explains: Vec<FindingReport>,
    /// Checks that would explain it, had they been able to look.
    pub suspects: Vec<SuspectReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SubjectReport {
    pub kind: Kind,
    /// An ARN, or the id or name that AWS uses for it.
    pub id: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EvidenceReport {
    pub call: Call,
    pub of: String,
    pub field: &'static str,
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The command that shows it.
    pub see: ShellReport,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RemedyReport {
    pub summary: String,
    /// The commands as a POSIX shell takes them.
    pub cli: Vec<String>,
    pub commands: Vec<CommandReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terraform: Option<String>,
}

impl RemedyReport {
    /// Whether its commands only read: then it tells where to look, and fixes nothing.
    pub fn only_looks(&self) -> bool {
        let reads = |command: &CommandReport| command.effect == Effect::Read;
        self.terraform.is_none() && !self.commands.is_empty() && self.commands.iter().all(reads)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SuspectReport {
    pub check: &'static str,
    pub call: Call,
    pub why: Blindness,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExamReport {
    pub check: &'static str,
    pub outcome: Ended,
    pub missed: Vec<MissedReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MissedReport {
    pub call: Call,
    pub why: Blindness,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlindReport {
    pub call: Call,
    pub why: Blindness,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Calls {
    pub total: u32,
    pub by_operation: BTreeMap<String, u32>,
    pub elapsed_ms: u64,
}

impl Report {
    pub fn new(snapshot: &Snapshot, services: Vec<ServiceReport>) -> Report {
        Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            taken_at: snapshot.taken_at,
            account: plain(&snapshot.account),
            region: plain(&snapshot.region),
            example: snapshot.example.as_deref().map(plain),
            services,
            blind: snapshot.blind.iter().map(blind).collect(),
            calls: Calls {
                total: snapshot.calls.total,
                by_operation: snapshot
                    .calls
                    .by_operation
                    .iter()
                    .map(|(call, count)| (plain(call), *count))
                    .collect(),
                elapsed_ms: snapshot.calls.elapsed_ms,
            },
        }
    }

    /// What a script decides by: without what was ruled out, and without the history.
    pub fn in_brief(&self) -> Report {
        let brief = |service: &ServiceReport| ServiceReport {
            changes: None,
            timeline: None,
            ruled_out: Vec::new(),
            exams: Vec::new(),
            ..service.clone()
        };
        Report { services: self.services.iter().map(brief).collect(), ..self.clone() }
    }

    /// The worst severity of anything but a note.
    pub fn worst(&self) -> Option<Severity> {
        self.services.iter().flat_map(|service| &service.roots).map(|root| root.severity).min()
    }
}

impl ServiceReport {
    /// With the profile that the user gave, if any.
    pub fn new(patient: &Patient, diagnosis: &Diagnosis, profile: Option<&str>) -> ServiceReport {
        let place = Place::of(patient, profile);
        let finding = |node: &Node| finding(patient, &place, node);
        let (paths, probe) = (PathReport::all(patient, diagnosis), ProbeReport::new(patient));
        let looked = diagnosis
            .exams
            .iter()
            .filter(|exam| exam.outcome == Outcome::Healthy && exam.check.role != Role::Note);
        let roots: Vec<FindingReport> = diagnosis.roots.iter().map(finding).collect();
        let exams: Vec<ExamReport> = diagnosis.exams.iter().map(exam).collect();
        let findings = summary::flat(&roots);
        ServiceReport {
            service: plain(patient.name()),
            cluster: plain(patient.cluster()),
            arn: plain(patient.arn()),
            kind: kind(patient),
            verdict: diagnosis.verdict,
            headline: plain(
                &path::headline(&paths, probe.as_ref(), diagnosis)
                    .unwrap_or_else(|| wording::headline(diagnosis)),
            ),
            summary: Summary::new(&roots, &findings, &exams),
            findings,
            roots,
            notes: diagnosis.notes.iter().map(finding).collect(),
            paths,
            probe,
            rollout: RolloutReport::new(patient),
            // A first deployment has nothing that it could be compared with.
            changes: if deployment_fails(diagnosis) {
                ChangesReport::new(patient, None, None).ok()
            } else {
                None
            },
            timeline: (diagnosis.verdict == Verdict::Sick)
                .then(|| TimelineReport::new(patient, SignedDuration::from_hours(1))),
            trail: TrailReport::new(patient),
            digests: DigestsReport::new(patient, &place),
            expected: None,
            accepted: Vec::new(),
            ruled_out: looked.map(|exam| exam.check.id()).collect(),
            exams,
        }
    }

    /// How many checks of each group were ruled out, in catalog order.
    pub fn ruled_out_by_group(&self) -> Vec<(&'static str, usize)> {
        let count = |group: &Group| {
            group.checks.iter().filter(|check| self.ruled_out.contains(&check.id())).count()
        };
        GROUPS
            .iter()
            .map(|group| (group.name, count(group)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    pub fn is_unknown(&self) -> bool {
        self.verdict == Verdict::Unknown
    }
}

/// Whether the newest deployment failed, went back or is stuck, as some check found.
fn deployment_fails(diagnosis: &Diagnosis) -> bool {
    let shown = diagnosis
        .exams
        .iter()
        .filter(|exam| exam.outcome == Outcome::Sick)
        .filter_map(|exam| exam.check.shows);
    shown.into_iter().any(|symptom| {
        matches!(symptom, Symptom::DeploymentStuck | Symptom::RolledBack | Symptom::RollbackFailed)
    })
}

fn kind(patient: &Patient) -> ServiceKind {
    let service = patient.service();
    let fargate = service.capacity_providers.iter().any(|provider| provider.starts_with("FARGATE"));
    match service.launch_type.as_deref() {
        _ if patient.is_express() => ServiceKind::Express,
        Some("FARGATE") => ServiceKind::Fargate,
        Some("EXTERNAL") => ServiceKind::External,
        Some("MANAGED_INSTANCES") => ServiceKind::ManagedInstances,
        None if fargate => ServiceKind::Fargate,
        Some(_) | None => ServiceKind::Ec2,
    }
}

fn finding(patient: &Patient, place: &Place, node: &Node) -> FindingReport {
    let found = &node.finding;
    let commands: Vec<CommandReport> =
        found.remedy.commands.iter().map(|command| place.command(command)).collect();
    let mut suspects: Vec<SuspectReport> = Vec::new();
    for suspect in &node.suspects {
        let origin = suspect.missed.origin();
        let row = SuspectReport {
            check: suspect.check.id(),
            call: origin.call,
            why: origin.why.blindness(),
        };
        if !suspects.contains(&row) {
            suspects.push(row);
        }
    }
    FindingReport {
        check: node.check.id(),
        standing: node.standing,
        severity: node.severity(),
        own_severity: node.check.severity,
        title: node.check.title,
        shows: node.check.shows.map(Symptom::words),
        says: plain(&found.says()),
        subject: SubjectReport { kind: found.about.kind, id: plain(&found.about.id) },
        since: found.since,
        evidence: found
            .evidence
            .iter()
            .map(|evidence| EvidenceReport {
                call: evidence.call,
                of: plain(&evidence.of.to_string()),
                field: evidence.field,
                value: plain(&evidence.value),
                at: evidence.at,
                see: place.shell(&evidence.see(patient)),
            })
            .collect(),
        remedy: RemedyReport {
            summary: plain(&found.remedy.summary),
            cli: commands.iter().map(|command| command.shell.clone().into()).collect(),
            commands,
            terraform: found
                .remedy
                .terraform
                .as_ref()
                .map(|code| code.as_str().lines().map(plain).collect::<Vec<_>>().join("\n")),
        },
        by_way_of: node.by_way_of.iter().map(|symptom| symptom.words()).collect(),
        explains: node.explains.iter().map(|effect| finding(patient, place, effect)).collect(),
        suspects,
    }
}

fn exam(exam: &Exam) -> ExamReport {
    let missed = exam.missed.iter().map(MissedReport::new);
    ExamReport { check: exam.check.id(), outcome: exam.outcome.ended(), missed: unique(missed) }
}

impl MissedReport {
    /// The call that went wrong first: the one that a user can mend.
    fn new(blind: &Blind) -> MissedReport {
        let origin = blind.origin();
        MissedReport { call: origin.call, why: origin.why.blindness() }
    }
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

fn blind(blind: &Blind) -> BlindReport {
    BlindReport {
        call: blind.call,
        why: blind.why.blindness(),
        message: blind.why.message().map(plain),
    }
}

/// What moves a cursor, changes a colour, turns the direction of a line, or cannot be seen: control
/// and format characters, separators of lines, and whatever Unicode would leave out where it has no
/// glyph. Selectors of a variant only choose between two looks of the letter before.
static HARMFUL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let classes = r"\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Default_Ignorable_Code_Point}";
    Regex::new(&format!(r"[[{classes}]--[\x{{FE00}}-\x{{FE0F}}]]")).ok()
});

/// Text that harms no terminal and hides nothing from a reader, whoever wrote it.
pub fn plain(text: &str) -> String {
    let Some(harmful) = HARMFUL.as_ref() else { return String::new() };
    let instead = |found: &Captures| match &found[0] {
        "\t" | "\n" | "\r" => " ",
        _ => "\u{fffd}",
    };
    harmful.replace_all(text, instead).into_owned()
}
