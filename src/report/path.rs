//! Request paths, as the report has them: hop by hop, who makes the answer, what the probe got, and
//! which causes of the report stand in the way.

use std::collections::BTreeSet;

use checks::diagnosis::{Diagnosis, Node, Standing, Verdict};
use checks::facts::inbound::probe::{self, Maker, Stage};
use checks::patient::Patient;
use checks::views::request_path::{self, Branch, By, Hop, HopKind, Mark, Path};
use schemars::JsonSchema;
use serde::Serialize;

use super::{MissedReport, plain};

/// The path of a request, from its name to the tasks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PathReport {
    /// Without its query; the host may be a pattern.
    pub url: String,
    /// Whether it is the URL that was asked about; else it is one of the service's own paths.
    pub asked: bool,
    /// What every request meets. Nothing is claimed beyond a hop that is unseen, but for a web ACL:
    /// it blocks or does not, and the answer says so.
    pub hops: Vec<HopReport>,
    /// Then the ways part, by weight.
    pub branches: Vec<BranchReport>,
    pub answer: AnswerReport,
    /// Roots of this report that stand in the way, or have to do with it.
    pub causes: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HopReport {
    pub hop: HopKind,
    pub mark: Mark,
    pub says: String,
    #[serde(skip)]
    pub short: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<MissedReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BranchReport {
    pub target_group: String,
    /// Of the requests.
    pub percent: f64,
    pub hops: Vec<HopReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AnswerReport {
    pub by: By,
    /// The status code, where the load balancer itself answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    pub says: String,
    /// Where a redirect leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// What one GET got.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProbeReport {
    pub url: String,
    /// What its host resolves to.
    pub addresses: Vec<String>,
    /// What that is compared with.
    pub balancer_addresses: Vec<String>,
    pub compared_with: ComparedWith,
    /// The last one counts; those before are redirects within the host.
    pub answers: Vec<ProbeAnswerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ProbeFailureReport>,
    #[serde(skip)]
    pub words: Vec<String>,
}

/// Whose addresses those of the probed host are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedWith {
    /// The load balancer's network interfaces, by EC2.
    NetworkInterfaces,
    /// What the load balancer's own DNS name resolves to, where EC2 told no interfaces.
    BalancerName,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProbeAnswerReport {
    pub url: String,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    pub elapsed_ms: u64,
    pub by: Maker,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProbeFailureReport {
    pub url: String,
    pub stage: Stage,
    pub message: String,
    pub elapsed_ms: u64,
}

impl PathReport {
    /// The path of the URL that was asked about, if any, then the service's own.
    pub fn all(patient: &Patient, diagnosis: &Diagnosis) -> Vec<PathReport> {
        let asked =
            patient.asked_url().map(|url| request_path::of_url(patient, &url)).unwrap_or_default();
        let own = request_path::own(patient).into_iter().map(|path| (path, false));
        let paths = asked.into_iter().map(|path| (path, true)).chain(own);
        paths
            .map(|(mut path, asked)| {
                path.mark(diagnosis);
                PathReport::new(&path, asked, diagnosis)
            })
            .collect()
    }

    fn new(path: &Path, asked: bool, diagnosis: &Diagnosis) -> PathReport {
        PathReport {
            url: plain(&path.url),
            asked,
            hops: path.hops.iter().map(HopReport::new).collect(),
            branches: path.branches.iter().map(BranchReport::new).collect(),
            answer: AnswerReport {
                by: path.answer.by,
                status: path.answer.status.as_deref().map(plain),
                says: plain(&path.answer.says),
                location: path.answer.location.as_deref().map(plain),
            },
            causes: if path.is_good() { Vec::new() } else { causes(path, diagnosis) },
        }
    }

    pub fn all_hops(&self) -> impl Iterator<Item = &HopReport> {
        self.hops.iter().chain(self.branches.iter().flat_map(|branch| &branch.hops))
    }

    pub fn is_good(&self) -> bool {
        self.answer.by == By::App && self.all_hops().all(|hop| hop.mark == Mark::Good)
    }
}

/// Roots that are about something on the way, or that explain what is; and what somebody meant, for
/// that is why the way ends.
fn causes(path: &Path, diagnosis: &Diagnosis) -> Vec<&'static str> {
    let ids: BTreeSet<&str> = path.all_hops().filter_map(|hop| hop.id.as_deref()).collect();
    fn meets(node: &Node, ids: &BTreeSet<&str>) -> bool {
        ids.contains(node.finding.about.id.as_str())
            || node.explains.iter().any(|effect| meets(effect, ids))
    }
    let now = diagnosis
        .roots
        .iter()
        .filter(|root| matches!(root.standing, Standing::Cause | Standing::Unexplained))
        .chain(diagnosis.notes.iter().filter(|note| note.finding.meant));
    let mut causes: Vec<&'static str> =
        now.filter(|root| meets(root, &ids)).map(|root| root.check.id()).collect();
    causes.dedup();
    causes
}

/// Of a service that is not sick, but not reached: by the probe, or by the way of the URL that was
/// asked about.
pub fn headline(
    paths: &[PathReport],
    probe: Option<&ProbeReport>,
    diagnosis: &Diagnosis,
) -> Option<String> {
    if diagnosis.verdict == Verdict::Sick {
        return None;
    }
    if let Some(front) = diagnosis.notes.iter().find(|note| note.check.id() == "front_not_seen") {
        return Some(front.finding.sentence());
    }
    if let Some(probe) = probe.filter(|probe| {
        probe.failure.as_ref().is_none_or(|failure| failure.stage != Stage::Address)
    }) {
        let fine = probe.failure.is_none()
            && probe
                .answers
                .last()
                .is_some_and(|answer| answer.by == Maker::App && answer.status < 400);
        return probe.words.last().filter(|_| !fine).map(|words| format!("{words}."));
    }
    let asked = paths.iter().rfind(|path| path.asked)?;
    let elsewhere = match asked.answer.by {
        By::LoadBalancer | By::Nobody | By::Other => true,
        By::App | By::Both | By::Unknown => false,
    };
    elsewhere.then(|| format!("{} does not reach the service: {}.", asked.url, asked.answer.says))
}

impl HopReport {
    fn new(hop: &Hop) -> HopReport {
        HopReport {
            hop: hop.kind,
            mark: hop.mark,
            says: plain(&hop.says),
            short: plain(&hop.short),
            id: hop.id.as_deref().map(plain),
            missed: hop.missed.as_ref().map(MissedReport::new),
        }
    }
}

impl BranchReport {
    fn new(branch: &Branch) -> BranchReport {
        let hops = branch.hops.iter().map(HopReport::new).collect();
        BranchReport { target_group: plain(&branch.group), percent: branch.percent, hops }
    }
}

impl ProbeReport {
    pub fn new(patient: &Patient) -> Option<ProbeReport> {
        let probe = patient.probe()?;
        let all = |texts: &[String]| texts.iter().map(|text| plain(text)).collect();
        Some(ProbeReport {
            url: plain(&probe.url),
            addresses: all(&probe.addresses),
            balancer_addresses: all(&probe.balancer_addresses),
            compared_with: if probe.by_interfaces {
                ComparedWith::NetworkInterfaces
            } else {
                ComparedWith::BalancerName
            },
            answers: probe
                .answers
                .iter()
                .map(|answer| ProbeAnswerReport {
                    url: plain(&answer.url),
                    status: answer.status,
                    server: answer.server.as_deref().map(plain),
                    elapsed_ms: answer.elapsed_ms,
                    by: probe::maker(answer),
                })
                .collect(),
            failure: probe.failure.as_ref().map(|failure| ProbeFailureReport {
                url: plain(&failure.url),
                stage: Stage::of(failure),
                message: plain(&failure.message),
                elapsed_ms: failure.elapsed_ms,
            }),
            words: all(&probe::words(probe)),
        })
    }
}
