//! The parts of the report beside findings, in words: the deployment as it stands, what changed
//! with it, which code runs, and the last hour. They are short where nothing needs them: the whole
//! is in JSON, and `diff` and `timeline` print theirs alone.

use std::io::Write;

use anstyle::Style;
use checks::aws::image;
use checks::aws::time;
use checks::facts::deployment::rollout::Strategy;
use checks::facts::inbound::traffic;
use checks::text::count;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};

use super::{BOLD, DIM, Text, wording};
use crate::report::history::{
    ChangeReport, ChangesReport, Diff, DigestReport, EntryReport, Heading, RolloutReport,
    SideReport, Timeline, TimelineReport, TrailReport,
};
use crate::report::{MissedReport, ServiceReport};

/// How many lines of the last hour a report has room for.
const LINES: usize = 8;

impl Text {
    pub fn diff(&self, diff: &Diff, out: &mut dyn Write) -> anyhow::Result<()> {
        self.place(&diff.heading, out)?;
        let changes = &diff.changes;
        writeln!(out)?;
        self.paragraph(
            out,
            "",
            BOLD,
            &format!("What differs between {} and {}", changes.from.name, changes.to.name),
        )?;
        self.each_change(changes, out)?;
        self.trail(diff.trail.as_ref(), out)
    }

    pub fn timeline(&self, timeline: &Timeline, out: &mut dyn Write) -> anyhow::Result<()> {
        self.place(&timeline.heading, out)?;
        let TimelineReport { since, entries, missed } = &timeline.timeline;
        let span = time::words(timeline.heading.taken_at.duration_since(*since));
        writeln!(out)?;
        if entries.is_empty() {
            self.paragraph(
                out,
                "",
                Style::new(),
                &format!("Nothing happened in the {span} before."),
            )?;
        }
        self.entries(entries, timeline.heading.taken_at, out)?;
        self.missed(missed, out)
    }

    fn place(&self, heading: &Heading, out: &mut dyn Write) -> anyhow::Result<()> {
        let Heading { service, cluster, region, account, taken_at, .. } = heading;
        let at = taken_at.strftime("%Y-%m-%d %H:%M UTC");
        self.paragraph(
            out,
            "",
            DIM,
            &format!("Service {service} in cluster {cluster}, {region} {account}, {at}"),
        )?;
        match &heading.example {
            Some(example) => {
                self.paragraph(out, "", BOLD, &format!("EXAMPLE, not your account: {example}."))
            }
            None => Ok(()),
        }
    }

    /// The deployment while it is under way, and after it has failed.
    pub(super) fn rollout(
        &self,
        service: &ServiceReport,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Some(rollout) = service
            .rollout
            .as_ref()
            .filter(|rollout| rollout.under_way || rollout.rollback.is_some())
        else {
            return Ok(());
        };
        let what =
            rollout.brings.as_deref().map_or_else(String::new, |brings| format!(" of {brings}"));
        self.heading(out, &format!("The deployment{what}"))?;
        self.item(out, "- ", &state(rollout, now))?;
        if let Some(stage) = stage(rollout, now) {
            self.item(out, "- ", &stage)?;
        }
        if let Some(back) = &rollout.rollback {
            let at = back.at.map_or_else(String::new, |at| format!(" at {}", time::clock(at)));
            self.item(out, "- ", &format!("rollback began{at}: {}", back.trigger))?;
            let from =
                back.from.as_deref().map_or_else(String::new, |from| format!(" from {from}"));
            let to = back.to.as_deref().map_or_else(String::new, |to| format!(" to {to}"));
            let how = match &back.why_not {
                Some(why) => format!("rollback{from}{to} failed: {}", why.trim_end_matches('.')),
                None if rollout.status == "ROLLBACK_FAILED" => {
                    format!("rollback{from}{to} failed")
                }
                None if rollout.under_way => format!("rolling back{from}{to}"),
                None => format!("rolled back{from}{to}"),
            };
            self.item(out, "- ", &how)?;
        }
        for version in &rollout.versions {
            self.item(out, "- ", &side(version))?;
        }
        // Rolling deployments do not shift traffic, so how much there is does not hold them.
        if let Some(requests) =
            rollout.requests.as_ref().filter(|_| rollout.strategy != Strategy::Rolling)
        {
            let noun = if requests.count == 1.0 { "request" } else { "requests" };
            self.item(
                out,
                "- ",
                &format!("{} {noun} since {}", requests.count, time::clock(requests.since)),
            )?;
        }
        if let Some(breaker) = rollout.circuit_breaker.as_ref().filter(|breaker| {
            (rollout.under_way && breaker.threshold > 0) || breaker.blind.is_some()
        }) {
            let counted = (breaker.threshold > 0)
                .then(|| format!("{} of {} failures", breaker.failures, breaker.threshold));
            let words: Vec<&str> =
                counted.as_deref().into_iter().chain(breaker.blind.as_deref()).collect();
            self.item(out, "- ", &format!("circuit breaker: {}", words.join("; ")))?;
        }
        for alarm in &rollout.alarms {
            let state = alarm.state.as_deref().unwrap_or("state not known");
            let since = alarm.since.map_or_else(String::new, |since| {
                format!(" for {}", time::words(time::age(now, since)))
            });
            let ignored = if alarm.fired_before == Some(true) {
                "; it was firing when the deployment began, so ECS ignores it"
            } else {
                ""
            };
            self.item(out, "- ", &format!("alarm {}: {state}{since}{ignored}", alarm.name))?;
        }
        self.missed(&rollout.missed, out)
    }

    pub(super) fn changes(
        &self,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Some(changes) = &service.changes else { return Ok(()) };
        self.heading(
            out,
            &format!("What changed from {}, the last good version", changes.from.name),
        )?;
        self.each_change(changes, out)
    }

    fn each_change(&self, changes: &ChangesReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let likely = changes.changes.iter().any(|change| change.likely);
        if let Some(why) = changes.fails_because.filter(|_| likely) {
            self.paragraph(
                out,
                "",
                DIM,
                &format!(
                    "{} fails because {why}. Changes that often cause this are marked *.",
                    changes.to.name
                ),
            )?;
        }
        for change in &changes.changes {
            self.item(out, if change.likely { "* " } else { "- " }, &change_words(change))?;
        }
        if changes.changes.is_empty() {
            let same = changes.from.service_revision == changes.to.service_revision
                && changes.from.task_definition == changes.to.task_definition;
            self.item(
                out,
                "- ",
                if same {
                    "nothing: it is the same version"
                } else {
                    "nothing that can be compared"
                },
            )?;
        }
        self.paragraph(
            out,
            "",
            DIM,
            "Values of variables and secrets are never read, so a changed value does not show.",
        )?;
        self.missed(&changes.missed, out)
    }

    /// Who changed what, where CloudTrail was asked.
    pub(super) fn trail(
        &self,
        trail: Option<&TrailReport>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Some(TrailReport { since, events, cut, missed }) = trail else { return Ok(()) };
        self.heading(
            out,
            &format!("Who changed what since {}", since.strftime("%Y-%m-%d %H:%M UTC")),
        )?;
        for event in events {
            let until = event.until.map_or_else(String::new, |until| {
                format!(" ({} times until {})", event.count, until.strftime("%m-%d %H:%M"))
            });
            self.item(
                out,
                &format!("{}  ", event.at.strftime("%m-%d %H:%M")),
                &format!("{}{until}", event.says),
            )?;
        }
        if events.is_empty() && missed.is_empty() {
            self.paragraph(out, "", Style::new(), "CloudTrail has no change on the request path.")?;
        }
        for resource in cut {
            self.paragraph(
                out,
                "",
                DIM,
                &format!("{resource} has more events than were read: only the newest are shown."),
            )?;
        }
        self.paragraph(
            out,
            "",
            DIM,
            "CloudTrail can be 15 minutes late, and not every event names its resources.",
        )?;
        self.missed(missed, out)
    }

    /// The newest lines of the last hour.
    pub(super) fn last_hour(
        &self,
        service: &ServiceReport,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Some(timeline) =
            service.timeline.as_ref().filter(|timeline| !timeline.entries.is_empty())
        else {
            return Ok(());
        };
        self.heading(out, "The last hour")?;
        let earlier = timeline.entries.len().saturating_sub(LINES);
        if earlier > 0 {
            let rest = format!(
                "{} before: `ecs-doctor timeline {}/{}` shows them.",
                count(earlier, "line"),
                service.cluster,
                service.service
            );
            self.paragraph(out, "", DIM, &rest)?;
        }
        self.entries(&timeline.entries[earlier..], now, out)?;
        self.missed(&timeline.missed, out)
    }

    fn entries(
        &self,
        entries: &[EntryReport],
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        // A list of one day needs no dates.
        let dated = entries
            .first()
            .is_some_and(|first| time::age(now, first.at) >= SignedDuration::from_hours(24));
        let clock =
            |at: Timestamp| at.strftime(if dated { "%m-%d %H:%M" } else { "%H:%M" }).to_string();
        for entry in entries {
            let times = match entry.until {
                Some(until) if clock(until) == clock(entry.at) => {
                    format!(" ({} times)", entry.count)
                }
                Some(until) => format!(" ({} times until {})", entry.count, clock(until)),
                None => String::new(),
            };
            self.item(out, &format!("{}  ", clock(entry.at)), &format!("{}{times}", entry.says))?;
        }
        Ok(())
    }

    /// The table of digests, where they differ.
    pub(super) fn digests(
        &self,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let rows = &service.digests.containers;
        // The version before may well run what its tag had before: a deployment is there to change
        // that.
        let newest = |row: &&DigestReport| {
            rows.first().is_some_and(|first| first.service_revision == row.service_revision)
        };
        if !rows.iter().filter(newest).any(|row| row.compared.differs()) {
            return Ok(());
        }
        self.heading(out, "Which code runs")?;
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width).unwrap_or(80)).set_header([
            "image",
            "pinned",
            "running",
            "tag has now",
        ]);
        for row in rows {
            let name = row.image.rsplit('/').next().unwrap_or(&row.image);
            let brings = row.brings.as_deref().unwrap_or("?");
            let running: Vec<String> = row
                .running
                .iter()
                .map(|(digest, tasks)| format!("{} in {tasks}", hex(digest)))
                .collect();
            let running = if running.is_empty() { "-".to_owned() } else { running.join("\n") };
            let tag = row.tag_has.as_deref().map_or("-", hex);
            table.add_row([
                format!("{name}\n{brings} {}", row.container),
                row.pinned.as_deref().map_or("-", hex).to_owned(),
                running,
                tag.to_owned(),
            ]);
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        if let Some(fix) = rows.iter().find_map(|row| row.fix.as_ref()) {
            self.paragraph(out, "", Style::new(), "A new deployment brings what the tag has now:")?;
            self.command(out, "  ", fix)?;
        }
        self.missed(&service.digests.missed, out)
    }

    fn missed(&self, missed: &[MissedReport], out: &mut dyn Write) -> anyhow::Result<()> {
        if missed.is_empty() {
            return Ok(());
        }
        let calls: Vec<String> = missed
            .iter()
            .map(|missed| format!("{} ({})", missed.call.action(), wording::why(missed.why)))
            .collect();
        self.paragraph(
            out,
            "",
            DIM,
            &format!("Not everything could be seen: {}.", calls.join(", ")),
        )
    }
}

/// The digits of a digest that tell it from others.
fn hex(digest: &str) -> &str {
    let short = image::short(digest);
    short.strip_prefix("sha256:").unwrap_or(short)
}

/// `canary, IN_PROGRESS for 9 min, expected to end at about 03:05 UTC`.
fn state(rollout: &RolloutReport, now: Timestamp) -> String {
    let span = match (rollout.began, rollout.ended) {
        (_, Some(ended)) => format!(", ended {} ago", time::words(time::age(now, ended))),
        (Some(began), None) => format!(" for {}", time::words(time::age(now, began))),
        (None, None) => String::new(),
    };
    let end = rollout
        .expected_end
        .map_or_else(String::new, |end| format!(", expected to end at about {}", time::clock(end)));
    format!("{}, {}{span}{end}", rollout.strategy, rollout.status)
}

fn stage(rollout: &RolloutReport, now: Timestamp) -> Option<String> {
    let since = rollout.stage_began.map_or_else(String::new, |began| {
        format!(" for about {}", time::words(time::age(now, began)))
    });
    match (&rollout.stage, &rollout.waits_for) {
        (Some(stage), Some(waits)) => Some(format!("at stage {stage}{since}; waits for {waits}")),
        (Some(stage), None) => Some(format!("at stage {stage}{since}")),
        (None, Some(waits)) => Some(format!("waits for {waits}")),
        (None, None) => None,
    }
}

/// `new version api:13: 1 of 1 tasks run; traffic: 5 % requested, 0 % in the listener rule`: by the
/// deployment, and in the listener rule.
fn side(side: &SideReport) -> String {
    let name = side.brings.as_deref().map_or_else(String::new, |brings| format!(" {brings}"));
    let percent = traffic::percent_words;
    let traffic = match (side.traffic_asked, side.traffic_set) {
        (Some(asked), Some(set)) => {
            format!(
                "; traffic: {} requested, {} in the listener rule",
                percent(asked),
                percent(set)
            )
        }
        (Some(asked), None) => format!("; traffic: {} requested", percent(asked)),
        (None, Some(set)) => format!("; traffic: {} set", percent(set)),
        (None, None) => String::new(),
    };
    let pending = if side.pending_tasks > 0 {
        format!(", {} pending", side.pending_tasks)
    } else {
        String::new()
    };
    format!(
        "{} version{name}: {} of {} tasks run{pending}{traffic}",
        wording::side(side.side),
        side.running_tasks,
        side.requested_tasks
    )
}

/// `image of app: api:1.4.2 → api:1.5.0`, `environment of app: without OLD, with NEW`.
fn change_words(change: &ChangeReport) -> String {
    let of = change
        .container
        .as_deref()
        .map_or_else(String::new, |container| format!(" of {container}"));
    let (before, after) = (change.before.join(", "), change.after.join(", "));
    let how = match (before.is_empty(), after.is_empty()) {
        (false, false) if !change.is_set => format!("{before} → {after}"),
        (false, false) => format!("without {before}; with {after}"),
        (false, true) if !change.is_set => format!("{before} → none"),
        (false, true) => format!("without {before}"),
        (true, _) if !change.is_set => format!("none → {after}"),
        (true, _) => format!("with {after}"),
    };
    format!("{}{of}: {how}", change.what)
}
