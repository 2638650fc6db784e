//! What the report tells beside findings: how the newest deployment stands, what changed with it,
//! which code runs, and what happened in which order. Each part names the calls that it could not
//! see.

use std::collections::BTreeMap;

use checks::aws::time;
use checks::facts::deployment::rollout::Strategy;
use checks::patient::Patient;
use checks::seen::Unseen;
use checks::snapshot::Snapshot;
use checks::views::diff::{self, Area, Change, ComparedVersion, NoVersion, Trouble};
use checks::views::digests::{self, Compared};
use checks::views::progress::{self, Side};
use checks::views::timeline::{self, Entry, Source};
use checks::views::trail::{self, Deed};
use checks::words;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{MissedReport, Place, ShellReport, plain, unique};

/// What differs between two versions.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChangesReport {
    pub from: VersionReport,
    pub to: VersionReport,
    /// What the newest deployment fails of, if `to` is its version and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails_because: Option<&'static str>,
    /// Those that such a failure is usually about come first.
    pub changes: Vec<ChangeReport>,
    pub missed: Vec<MissedReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VersionReport {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChangeReport {
    pub area: Area,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    pub what: &'static str,
    /// What only the one version has, and what only the other; of variables and secrets the names.
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Of many of a kind only those that differ are named.
    pub is_set: bool,
    /// Such a failure is usually about such a change.
    pub likely: bool,
}

/// The newest deployment as it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RolloutReport {
    pub deployment: String,
    /// The task definition that it brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brings: Option<String>,
    pub strategy: Strategy,
    pub status: String,
    pub under_way: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// About: AWS tells no start of a stage, so it is the last update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_began: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// About, by the configured bakes, if nothing comes between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<Timestamp>,
    /// The new version first.
    pub versions: Vec<SideReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<BreakerReport>,
    pub alarms: Vec<AlarmReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackReport>,
    pub missed: Vec<MissedReport>,
}

/// Which of the two versions of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewOrOld {
    /// What the deployment brings.
    New,
    /// What it replaces.
    Old,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SideReport {
    pub side: NewOrOld,
    pub service_revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brings: Option<String>,
    pub requested_tasks: i32,
    pub running_tasks: i32,
    pub pending_tasks: i32,
    /// Percent of the traffic that the deployment wants it to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_asked: Option<f64>,
    /// Percent that the listener rule gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_set: Option<f64>,
}

/// Requests to the service's target groups since the stage began; three minutes to an hour ago.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RequestsReport {
    pub since: Timestamp,
    pub count: f64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BreakerReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    pub failures: i32,
    pub threshold: i32,
    /// Why it does not see the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AlarmReport {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it was in ALARM when the deployment began: then ECS ignores it. Absent where that is
    /// not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_before: Option<bool>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RollbackReport {
    pub trigger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Absent where ECS found nothing to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why ECS could not go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// Which code runs, by version and container.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DigestsReport {
    pub containers: Vec<DigestReport>,
    pub missed: Vec<MissedReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DigestReport {
    pub service_revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brings: Option<String>,
    pub container: String,
    /// As the task definition spells it.
    pub image: String,
    /// What ECS resolved the tag to when the deployment began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// How many running tasks report which digest.
    pub running: BTreeMap<String, usize>,
    /// What the tag has now; asked only of private ECR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_has: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_pushed_at: Option<Timestamp>,
    pub compared: Compared,
    /// The command that brings what the tag has now, if nothing says that it should not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<ShellReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TimelineReport {
    pub since: Timestamp,
    /// Oldest first.
    pub entries: Vec<EntryReport>,
    pub missed: Vec<MissedReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EntryReport {
    pub at: Timestamp,
    /// The last time, of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub count: usize,
    pub source: Source,
    pub says: String,
}

/// Who changed what on the traffic path, as CloudTrail has it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrailReport {
    /// From shortly before the last good deployment on, a week at most.
    pub since: Timestamp,
    /// Oldest first.
    pub events: Vec<DeedReport>,
    /// Resources with so many events that only the newest were read.
    pub cut: Vec<String>,
    pub missed: Vec<MissedReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeedReport {
    pub at: Timestamp,
    /// The last time, of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub count: usize,
    /// A user, or the session of a role with the role.
    pub who: String,
    /// The event's name, such as ModifyRule.
    pub what: String,
    /// The AWS service, such as elasticloadbalancing.amazonaws.com.
    pub source: String,
    pub on: Vec<String>,
    /// Why it was refused, if it was: then nothing has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    pub says: String,
}

/// Who asks about which service, for the commands that tell one part alone.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Heading {
    pub format: &'static str,
    pub taken_at: Timestamp,
    pub account: String,
    pub region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    pub service: String,
    pub cluster: String,
}

/// What `diff` tells: `ecs-doctor-diff/v1`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "ecs-doctor-diff/v1")]
pub struct Diff {
    #[serde(flatten)]
    pub heading: Heading,
    #[serde(flatten)]
    pub changes: ChangesReport,
    /// Where the user asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail: Option<TrailReport>,
}

/// What `timeline` tells: `ecs-doctor-timeline/v1`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "ecs-doctor-timeline/v1")]
pub struct Timeline {
    #[serde(flatten)]
    pub heading: Heading,
    #[serde(flatten)]
    pub timeline: TimelineReport,
}

impl Heading {
    pub fn new(format: &'static str, snapshot: &Snapshot, patient: &Patient) -> Heading {
        Heading {
            format,
            taken_at: snapshot.taken_at,
            account: plain(&snapshot.account),
            region: plain(&snapshot.region),
            example: snapshot.example.as_deref().map(plain),
            service: plain(patient.name()),
            cluster: plain(patient.cluster()),
        }
    }
}

fn missed(unseen: &Unseen) -> Vec<MissedReport> {
    unique(unseen.0.iter().map(MissedReport::new))
}

impl ChangesReport {
    /// Between two versions by name; without names between the last good one and the newest.
    pub fn new(
        patient: &Patient,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<ChangesReport, NoVersion> {
        let mut unseen = Unseen::default();
        let (before, after) = diff::pair(patient, from, to, &mut unseen)?;
        let trouble = if diff::is_newest(patient, &after, &mut unseen) {
            Trouble::of_newest(patient, &mut unseen)
        } else {
            Trouble::Unknown
        };
        Ok(ChangesReport {
            from: version(&before, &after),
            to: version(&after, &before),
            fails_because: trouble.words(),
            changes: diff::compare(&before, &after, trouble).into_iter().map(change).collect(),
            missed: missed(&unseen),
        })
    }
}

fn version(version: &ComparedVersion, other: &ComparedVersion) -> VersionReport {
    let definition = version.definition.map(|definition| definition.task_definition_arn.as_str());
    VersionReport {
        name: plain(&version.name_beside(other)),
        task_definition: definition
            .or(version.revision.and_then(|revision| revision.task_definition.as_deref()))
            .map(plain),
        service_revision: version.revision.map(|revision| plain(&revision.service_revision_arn)),
        created_at: version.revision.and_then(|revision| revision.created_at),
    }
}

fn change(change: Change) -> ChangeReport {
    let plain_all = |texts: Vec<String>| texts.iter().map(|text| plain(text)).collect();
    ChangeReport {
        area: change.area,
        container: change.container.as_deref().map(plain),
        what: change.what,
        before: plain_all(change.before),
        after: plain_all(change.after),
        is_set: change.is_set,
        likely: change.likely,
    }
}

impl RolloutReport {
    pub fn new(patient: &Patient) -> Option<RolloutReport> {
        let mut unseen = Unseen::default();
        let progress = progress::read(patient, &mut unseen)?;
        let deployment = progress.deployment;
        Some(RolloutReport {
            deployment: plain(&deployment.service_deployment_arn),
            brings: progress.brings.map(plain),
            strategy: progress.strategy,
            status: plain(&deployment.status),
            under_way: progress.is_under_way,
            began: progress.began,
            ended: progress.ended,
            stage: deployment
                .lifecycle_stage
                .as_deref()
                .filter(|_| progress.is_under_way)
                .map(plain),
            stage_began: progress.stage_began,
            waits_for: progress.waits_for.as_deref().map(plain),
            expected_end: progress.ends,
            versions: progress.sides.iter().map(side).collect(),
            requests: progress
                .requests
                .map(|requests| RequestsReport { since: requests.since, count: requests.count }),
            circuit_breaker: progress.breaker.map(|breaker| BreakerReport {
                status: breaker.state.status.as_deref().map(plain),
                failures: breaker.state.failure_count,
                threshold: breaker.state.threshold,
                blind: breaker.blind,
            }),
            alarms: progress
                .alarms
                .iter()
                .map(|alarm| AlarmReport {
                    name: plain(alarm.name),
                    state: alarm.state.map(plain),
                    since: alarm.since,
                    fired_before: alarm.fired_before,
                })
                .collect(),
            rollback: progress.rollback.map(|back| RollbackReport {
                trigger: plain(&back.trigger),
                at: back.at,
                from: back.from.map(plain),
                to: back.to.map(plain),
                why_not: back.why_not.map(plain),
            }),
            missed: missed(&unseen),
        })
    }
}

fn side(side: &Side) -> SideReport {
    SideReport {
        side: if side.is_new { NewOrOld::New } else { NewOrOld::Old },
        service_revision: plain(side.revision),
        brings: side.brings.map(plain),
        requested_tasks: side.requested,
        running_tasks: side.running,
        pending_tasks: side.pending,
        traffic_asked: side.asked,
        traffic_set: side.set,
    }
}

impl DigestsReport {
    pub fn new(patient: &Patient, place: &Place) -> DigestsReport {
        let mut unseen = Unseen::default();
        let rows = digests::read(patient, &mut unseen);
        let again = patient.update_service().and(words!("--force-new-deployment"));
        let containers = rows.iter().map(|row| DigestReport {
            service_revision: plain(&row.revision.service_revision_arn),
            brings: row
                .revision
                .task_definition
                .as_deref()
                .and_then(|arn| arn.rsplit('/').next())
                .map(plain),
            container: plain(row.container),
            image: plain(row.image),
            pinned: row.pinned.map(plain),
            running: row.running.iter().map(|(digest, tasks)| (plain(digest), *tasks)).collect(),
            tag_has: row.tag.map(|tag| plain(&tag.image_digest)),
            tag_pushed_at: row.tag.and_then(|tag| tag.image_pushed_at),
            compared: row.compared,
            fix: row.deploy_again.then(|| place.shell(&again)),
        });
        DigestsReport { containers: containers.collect(), missed: missed(&unseen) }
    }
}

impl TimelineReport {
    /// What happened in so long before the snapshot was taken.
    pub fn new(patient: &Patient, span: jiff::SignedDuration) -> TimelineReport {
        let mut unseen = Unseen::default();
        let since = time::before(patient.now(), span);
        let entries = timeline::read(patient, since, &mut unseen).iter().map(entry).collect();
        TimelineReport { since, entries, missed: missed(&unseen) }
    }
}

impl TrailReport {
    /// None where nobody asked CloudTrail.
    pub fn new(patient: &Patient) -> Option<TrailReport> {
        let mut unseen = Unseen::default();
        let asked = patient.trail()?;
        let events = trail::read(patient, &mut unseen)?.iter().map(deed).collect();
        let cut = asked.cut.iter().map(|resource| plain(resource)).collect();
        Some(TrailReport { since: asked.since, events, cut, missed: missed(&unseen) })
    }
}

fn deed(deed: &Deed) -> DeedReport {
    DeedReport {
        at: deed.at,
        until: (deed.count > 1).then_some(deed.last),
        count: deed.count,
        who: plain(&deed.who),
        what: plain(&deed.event.event_name),
        source: plain(&deed.event.event_source),
        on: deed.on.iter().map(|on| plain(on)).collect(),
        refused: deed.event.error_code.as_deref().map(plain),
        says: plain(&deed.words()),
    }
}

fn entry(entry: &Entry) -> EntryReport {
    EntryReport {
        at: entry.at,
        until: (entry.count > 1).then_some(entry.last),
        count: entry.count,
        source: entry.source,
        says: plain(&entry.says),
    }
}
