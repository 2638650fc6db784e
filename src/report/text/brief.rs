//! The report on one screen: verdict, first cause, request path, why, then, and the fix; a line for
//! each further cause, and what else there is as counts. What does not fit is left to `--full`, and
//! the screen says so.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use checks::aws::time;
use checks::check::Severity;
use checks::command::Effect;
use checks::diagnosis::{Standing, Verdict};
use checks::exam::Ended;
use checks::seen::Blindness;
use checks::text::{and_list, count};
use checks::views::request_path::{By, HopKind, Mark};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::prose;
use super::{BOLD, CODE, DIM, Text, colour};
use crate::report::path::{HopReport, PathReport};
use crate::report::wording::{self, sign};
use crate::report::{
    EvidenceReport, FindingReport, MissedReport, Report, ServiceReport, Summary, unique,
};

/// The lines of a report with one cause.
const LINES: usize = 24;
/// What each further cause may add, and the most that they add together.
const FURTHER: usize = 2;
const FURTHER_AT_MOST: usize = 16;
/// The columns of the words `why`, `then` and `fix`, and those before what they introduce.
const LABEL: usize = 6;
const MARGIN: usize = 8;
/// The room that the source of evidence takes beside it.
const SOURCE: usize = 28;
/// The column at which a line ends that has something at its right edge, where there is more room.
const EDGE: usize = 100;
/// The longest words of a hop on the drawn path, and the longest name in them.
const HOP: usize = 40;
const NAME: usize = 24;

/// The parts of the screen, each whole.
#[derive(Default)]
struct Screen {
    head: Vec<String>,
    headline: Vec<String>,
    /// The severity, the check and since when.
    about: Option<String>,
    path: Vec<String>,
    /// Each piece of evidence whole.
    why: Vec<Vec<String>>,
    then: Vec<String>,
    suspects: Vec<String>,
    fix: Fix,
    further: Vec<String>,
    closing: Vec<String>,
}

#[derive(Default)]
struct Fix {
    label: &'static str,
    summary: Vec<String>,
    /// Each command whole.
    commands: Vec<Vec<String>>,
    code: Vec<String>,
    /// Whether there is code that no screen has room for.
    too_wide: bool,
}

/// How much of each part is shown.
#[derive(Clone, Copy)]
struct Shown {
    path: usize,
    why: usize,
    then: usize,
    suspects: usize,
    summary: usize,
    commands: usize,
    code: bool,
    further: usize,
}

/// What every screen has.
const LEAST: Shown = Shown {
    path: 2,
    why: 1,
    then: 1,
    suspects: 1,
    summary: 1,
    commands: 0,
    code: false,
    further: 9,
};

/// What is added as long as there is room, the most useful first.
const MORE: &[fn(&mut Shown)] = &[
    |shown| shown.commands = 1,
    |shown| shown.summary = 2,
    |shown| shown.path = 4,
    |shown| shown.summary = 3,
    |shown| shown.why = 2,
    |shown| shown.then = 2,
    |shown| shown.suspects = 2,
    |shown| shown.commands = 2,
    |shown| shown.commands = 3,
    |shown| shown.code = true,
    |shown| shown.then = 4,
    |shown| shown.why = 3,
    |shown| shown.why = 4,
    |shown| shown.commands = usize::MAX,
    |shown| shown.path = 8,
    |shown| shown.further = usize::MAX,
];

impl Text {
    pub(super) fn brief(
        &self,
        report: &Report,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let told: Vec<&FindingReport> =
            service.roots.iter().filter(|root| self.tells(root)).collect();
        let mut screen = Screen {
            head: self.head(report, service),
            headline: self.headline(service),
            closing: self.closing(service, told.len()),
            ..Screen::default()
        };
        let troubled = !told.is_empty() || service.verdict == Verdict::Unknown;
        if troubled || service.paths.iter().any(|path| path.asked) {
            screen.path = self.paths(service);
        }
        if let Some((first, others)) = told.split_first() {
            screen.about = Some(self.about(first, report.taken_at));
            screen.why = self.why(first, report.taken_at);
            screen.then = self.then(first);
            screen.suspects = self.suspected(first);
            screen.fix = self.fix(first);
            screen.further = others.iter().map(|root| self.further(root)).collect();
        }
        let further = (FURTHER * screen.further.len()).min(FURTHER_AT_MOST);
        for line in screen.fitted(LINES + further, self.width) {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Whether a root has its own place on the screen; risks that will not hurt are counted only.
    fn tells(&self, root: &FindingReport) -> bool {
        let grave = root.standing != Standing::Risk || root.severity <= Severity::Medium;
        root.severity <= self.show && (grave || self.risks)
    }

    fn head(&self, report: &Report, service: &ServiceReport) -> Vec<String> {
        let style = super::verdict_style(service.verdict);
        let verdict = format!("{} {}", sign(service.verdict), wording::verdict(service.verdict));
        let kind = wording::kind_in_short(service.kind);
        let mut place = format!(
            "{}/{} · {kind} · {} · {}",
            service.cluster, service.service, report.region, report.account
        );
        if report.example.is_some() {
            place = format!("EXAMPLE {place}");
        }
        let time = moment(report.taken_at, &TimeZone::system());
        let unseen = unseen_words(service);
        let columns = |parts: &[&str]| parts.iter().map(|part| part.chars().count()).sum::<usize>();
        if unseen.is_none() && columns(&[&verdict, &place, &time]) + 4 <= self.width {
            let gap = self.width.min(EDGE) - columns(&[&verdict, &place, &time]) - 2;
            let gap = " ".repeat(gap);
            return vec![format!("{style}{verdict}{style:#}  {place}{gap}{DIM}{time}{DIM:#}")];
        }
        let words = unseen.map_or(verdict.clone(), |unseen| format!("{verdict}, {unseen}"));
        let lines = prose::first(prose::lines(&words, self.width, 0, 2), 2, self.width - 2);
        let alone = lines.len() == 1 && columns(&[&words, &time]) + 2 <= self.width;
        let mut head = indented(lines, 0, 2, style);
        if alone {
            let gap = " ".repeat(self.width.min(EDGE) - columns(&[&words, &time]));
            head.iter_mut().for_each(|line| line.push_str(&format!("{gap}{DIM}{time}{DIM:#}")));
        } else {
            place.push_str(&format!(" · {time}"));
        }
        head.extend(indented(prose::lines(&place, self.width, 2, 2), 2, 2, DIM));
        head
    }

    fn headline(&self, service: &ServiceReport) -> Vec<String> {
        let lines = prose::lines(&service.headline, self.width, 2, 2);
        indented(prose::first(lines, 3, self.width - 2), 2, 2, BOLD)
    }

    /// `critical · health_check_wrong_answer · since 02:25 UTC (35 min)`, as far as there is room.
    fn about(&self, root: &FindingReport, now: Timestamp) -> String {
        let style = colour(root.severity);
        let severity = root.severity.to_string();
        let unexplained = root.standing == Standing::Unexplained;
        let unexplained = unexplained.then(|| "no cause found".to_owned());
        let since = root.since.map(|at| since(at, now));
        let mut columns = 2 + severity.chars().count();
        let mut rest = String::new();
        for part in [Some(root.check.to_owned()), unexplained, since].into_iter().flatten() {
            columns += 3 + part.chars().count();
            if columns <= self.width {
                rest.push_str(&format!(" · {part}"));
            }
        }
        format!("  {style}{severity}{style:#}{DIM}{rest}{DIM:#}")
    }

    /// The paths that were asked about, else the worst of the service's own.
    fn paths(&self, service: &ServiceReport) -> Vec<String> {
        let asked: Vec<&PathReport> = service.paths.iter().filter(|path| path.asked).collect();
        let own = service
            .paths
            .iter()
            .find(|path| !path.is_good())
            .or_else(|| service.paths.first().filter(|_| service.verdict != Verdict::Healthy));
        let shown = if asked.is_empty() { Vec::from_iter(own) } else { asked };
        let mut lines: Vec<String> = shown.iter().flat_map(|path| self.drawn(path)).collect();
        if let Some(said) = service.probe.iter().flat_map(|probe| probe.words.last()).next() {
            lines.push(format!("  {}", prose::line(said, self.width - 2)));
        }
        lines
    }

    fn drawn(&self, path: &PathReport) -> Vec<String> {
        let mut common: Vec<(Mark, String)> = path.hops.iter().filter_map(station).collect();
        let unseen = path.all_hops().last().is_some_and(|hop| hop.mark == Mark::Unseen);
        let end = (!unseen).then(|| (path.is_good(), answer_words(path)));
        let of = |hops: &[HopReport]| hops.iter().filter_map(station).collect::<Vec<_>>();
        match path.branches.as_slice() {
            [] => self.way("client", &common, end),
            [only] => {
                common.extend(of(&only.hops));
                self.way("client", &common, end)
            }
            several => {
                let mut lines = self.way("client", &common, None);
                for branch in several {
                    let begin = format!("  {} %", branch.percent.round());
                    lines.extend(self.way(&begin, &of(&branch.hops), None));
                }
                lines
            }
        }
    }

    /// `client → ✓ web → ✓ HTTPS:443 → ✗ no target → 503`, broken only before an arrow.
    fn way(
        &self,
        begin: &str,
        stations: &[(Mark, String)],
        end: Option<(bool, String)>,
    ) -> Vec<String> {
        let hops = stations.iter().map(|(mark, words)| match mark {
            Mark::Good => (AnsiColor::Green, "✓ ", words.as_str()),
            Mark::Bad => (AnsiColor::Red, "✗ ", words.as_str()),
            Mark::Unseen => (AnsiColor::Yellow, "? ", words.as_str()),
        });
        let end = end.iter().map(|(good, words)| match good {
            true => (AnsiColor::Green, "", words.as_str()),
            false => (AnsiColor::Red, "", words.as_str()),
        });
        let mut lines = vec![(format!("  {begin}"), 2 + begin.chars().count())];
        for (colour, sign, words) in hops.chain(end) {
            let words = prose::line(words, self.width.saturating_sub(MARGIN));
            let columns = sign.chars().count() + words.chars().count();
            let style = colour.on_default();
            let styled = match sign {
                "" => format!("{style}{words}{style:#}"),
                _ => format!("{style}{sign}{style:#}{words}"),
            };
            match lines.last_mut() {
                Some((line, used)) if *used + 3 + columns <= self.width => {
                    line.push_str(&format!(" → {styled}"));
                    *used += 3 + columns;
                }
                _ => lines.push((format!("    → {styled}"), 6 + columns)),
            }
        }
        lines.into_iter().map(|(line, _)| line).collect()
    }

    /// The evidence that decides; what one call told stands on one line as far as it fits.
    fn why(&self, root: &FindingReport, now: Timestamp) -> Vec<Vec<String>> {
        let room = self.width.saturating_sub(MARGIN);
        let mut told: Vec<(String, &EvidenceReport)> = Vec::new();
        for evidence in &root.evidence {
            let fact = format!("{}: {}", evidence.field, evidence.value);
            if told.iter().any(|(line, _)| *line == fact) {
                continue;
            }
            match told.last_mut() {
                Some((line, before))
                    if before.call == evidence.call
                        && before.of == evidence.of
                        && before.at == evidence.at
                        && line.chars().count() + fact.chars().count() + SOURCE <= room =>
                {
                    line.push_str(&format!(" · {fact}"));
                }
                _ => told.push((fact, evidence)),
            }
        }
        told.iter().map(|(fact, evidence)| beside(fact, &source(evidence, now), room)).collect()
    }

    /// What follows, in the order in which it does; one line for each end.
    fn then(&self, root: &FindingReport) -> Vec<String> {
        fn ends(effects: &[FindingReport], before: &[String], all: &mut Vec<Vec<String>>) {
            for (number, effect) in effects.iter().enumerate() {
                let mut way: Vec<String> = match number {
                    0 => before.to_vec(),
                    _ => Vec::new(),
                };
                way.extend(effect.by_way_of.iter().map(|symptom| format!("({symptom})")));
                let words = effect.shows.unwrap_or(effect.title);
                if !way.iter().any(|told| told == words) {
                    way.push(words.to_owned());
                }
                match effect.explains.as_slice() {
                    [] => all.push(way),
                    below => ends(below, &way, all),
                }
            }
        }
        let mut all = Vec::new();
        ends(&root.explains, &[], &mut all);
        let room = self.width.saturating_sub(MARGIN);
        let ways = unique(all.iter().map(|way| way.join(" → ")));
        ways.iter().flat_map(|way| prose::lines(way, room, 0, 2)).collect()
    }

    fn suspected(&self, root: &FindingReport) -> Vec<String> {
        let Some(first) = root.suspects.first() else { return Vec::new() };
        let same = |suspect: &&crate::report::SuspectReport| suspect.call == first.call;
        let checks: Vec<&str> =
            root.suspects.iter().filter(same).map(|suspect| suspect.check).collect();
        let words =
            format!("{} ({}: {})", checks.join(", "), first.call.action(), wording::why(first.why));
        let room = self.width.saturating_sub(MARGIN);
        prose::first(prose::lines(&words, room, 0, 0), 2, room)
    }

    fn fix(&self, root: &FindingReport) -> Fix {
        let remedy = &root.remedy;
        let room = self.width.saturating_sub(MARGIN);
        let only_reads = remedy.only_looks();
        let shown =
            remedy.commands.iter().filter(|command| only_reads || command.effect != Effect::Read);
        let command = |command: &crate::report::CommandReport| {
            let needs = command.needs.iter().map(|name| format!("{CODE}{name}=…{CODE:#}"));
            needs.chain(self.command_lines(MARGIN, &command.shell)).collect()
        };
        let code: Vec<&str> = remedy.terraform.iter().flat_map(|code| code.lines()).collect();
        let fits = code.iter().all(|line| line.chars().count() + 2 <= room);
        Fix {
            label: if only_reads { "look" } else { "fix" },
            summary: prose::first(prose::lines(&remedy.summary, room, 0, 0), 3, room),
            commands: shown.map(command).collect(),
            code: code
                .iter()
                .filter(|_| fits)
                .map(|line| format!("{CODE}{line}{CODE:#}"))
                .collect(),
            too_wide: !fits,
        }
    }

    fn further(&self, root: &FindingReport) -> String {
        let style = colour(root.severity);
        let label = format!("{} {}: ", root.severity, root.check);
        let room = self.width.saturating_sub(MARGIN + label.chars().count());
        let says = prose::line(&root.says, room);
        format!("{style}{}{style:#} {DIM}{}:{DIM:#} {says}", root.severity, root.check)
    }

    /// How many of each there are, and how to see them.
    fn closing(&self, service: &ServiceReport, told: usize) -> Vec<String> {
        let Summary { causes, unexplained, symptoms, risks, observations, unseen, .. } =
            service.summary;
        let mut counts: Vec<String> = Vec::new();
        let mut add = |number: usize, noun: &str| {
            counts.extend((number > 0).then(|| count(number, noun)));
        };
        add(causes, "cause");
        add(unexplained, "unexplained symptom");
        add(symptoms, "consequence");
        add(risks, "risk");
        if observations > 0 && !self.risks {
            counts.push(format!("{} (--risks)", count(observations, "low risk")));
        }
        let notes = service.notes.len();
        counts.extend((notes > 0).then(|| count(notes, "expected state")));
        counts.push(format!("{} passed", service.ruled_out.len()));
        counts.push(match unseen {
            0 => "nothing unseen".to_owned(),
            some => format!("{} could not look", count(some, "check")),
        });
        let mut closing = prose::lines(&counts.join(" · "), self.width, 0, 2);
        closing.extend(self.shaped(service));
        if told > 0 || unseen > 0 {
            let explain =
                service.roots.first().map(|root| format!("ecs-doctor explain {}", root.check));
            let more: Vec<String> =
                std::iter::once("more: --full".to_owned()).chain(explain).collect();
            closing.extend(prose::lines(&more.join(" · "), self.width, 0, 2));
        }
        closing.iter().map(|line| format!("{DIM}{line}{DIM:#}")).collect()
    }
}

impl Text {
    /// What files did to the report: they may be somebody else's.
    fn shaped(&self, service: &ServiceReport) -> Vec<String> {
        let silenced = service.expected.iter().filter(|expected| !expected.silenced.is_empty());
        let silenced = silenced.map(|expected| {
            format!("{} keeps {} silent", expected.file, and_list(&expected.silenced))
        });
        let accepted = service.accepted.iter().map(|accepted| match accepted.expired {
            true => format!(
                "{} accepted {} until {}",
                accepted.file,
                accepted.check,
                accepted.until.as_deref().unwrap_or_default()
            ),
            false => format!("{} accepts {} ({})", accepted.file, accepted.check, accepted.reason),
        });
        let said: Vec<String> = silenced.chain(accepted).collect();
        match said.is_empty() {
            true => Vec::new(),
            false => vec![prose::line(&said.join("; "), self.width)],
        }
    }
}

impl Fix {
    fn lines(&self, shown: &Shown, room: usize) -> Vec<String> {
        let mut lines = prose::first(self.summary.clone(), shown.summary, room);
        lines.extend(self.commands.iter().take(shown.commands).flatten().cloned());
        if shown.code && !self.code.is_empty() {
            lines.push("Terraform/OpenTofu:".to_owned());
            lines.extend(self.code.iter().map(|line| format!("  {line}")));
        }
        let hidden = (!shown.code && !self.code.is_empty()) || self.too_wide;
        if hidden || shown.commands < self.commands.len() {
            lines.push(format!("{DIM}--full has the rest of the fix{DIM:#}"));
        }
        lines
    }
}

impl Screen {
    /// As much of each part as the lines have room for.
    fn fitted(&self, most: usize, width: usize) -> Vec<String> {
        let room = width.saturating_sub(MARGIN);
        let mut shown = LEAST;
        for add in MORE {
            let mut tried = shown;
            add(&mut tried);
            if self.lines(&tried, room).len() <= most {
                shown = tried;
            }
        }
        self.lines(&shown, room)
    }

    /// The parts that there are, with one free line between them.
    fn lines(&self, shown: &Shown, room: usize) -> Vec<String> {
        let first = |lines: &[String], most| prose::first(lines.to_vec(), most, room);
        let reasons = [
            labelled("why", self.why[..shown.why.min(self.why.len())].concat()),
            labelled("then", first(&self.then, shown.then)),
            labelled("maybe", first(&self.suspects, shown.suspects)),
        ];
        let further = self.further.iter().take(shown.further).cloned().collect();
        let parts = [
            self.headline.iter().chain(&self.about).cloned().collect(),
            self.path.iter().take(shown.path).cloned().collect(),
            reasons.concat(),
            labelled(self.fix.label, self.fix.lines(shown, room)),
            labelled("also", further),
        ];
        // A service that is well needs three lines, and no room between them.
        let gap = (!self.path.is_empty() || !self.why.is_empty()).then(String::new);
        let mut lines = self.head.clone();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            lines.extend(gap.clone());
            lines.extend(part);
        }
        lines.extend(gap);
        lines.extend(self.closing.clone());
        lines
    }
}

/// Lines with a word before the first.
fn labelled(label: &str, lines: Vec<String>) -> Vec<String> {
    let line = |(number, line)| match number {
        0 => format!("  {BOLD}{label:<LABEL$}{BOLD:#}{line}"),
        _ => format!("{}{line}", " ".repeat(MARGIN)),
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// A hop as a station of the drawn path. What every path has, and what is as it should be, is left
/// out.
fn station(hop: &HopReport) -> Option<(Mark, String)> {
    let plain = match hop.hop {
        HopKind::Name | HopKind::SecurityGroups | HopKind::WebAcl | HopKind::Tasks => true,
        HopKind::LoadBalancer
        | HopKind::Listener
        | HopKind::Rule
        | HopKind::TargetGroup
        | HopKind::Targets => false,
    };
    if hop.mark == Mark::Good && plain {
        return None;
    }
    let words = match (hop.short.as_str(), hop.says.as_str()) {
        ("", says) if hop.mark != Mark::Unseen && says.chars().count() <= HOP => says,
        ("", _) => super::path::label(hop.hop),
        (short, _) => short,
    };
    Some((hop.mark, prose::names(words, NAME)))
}

fn answer_words(path: &PathReport) -> String {
    let by = match path.answer.by {
        By::App => "the app answers",
        By::Both => "the app or the load balancer answers",
        By::LoadBalancer => "the load balancer answers",
        By::Nobody => "no connection",
        By::Other => "somebody else answers",
        By::Unknown => "?",
    };
    path.answer.status.clone().unwrap_or_else(|| by.to_owned())
}

/// `15 checks could not look: elasticloadbalancing:DescribeRules denied`.
fn unseen_words(service: &ServiceReport) -> Option<String> {
    let missed: Vec<&MissedReport> = service
        .exams
        .iter()
        .flat_map(|exam| &exam.missed)
        .filter(|missed| missed.why != Blindness::Declined)
        .collect();
    let crashed = service.exams.iter().find(|exam| exam.outcome == Ended::Crashed);
    let Some(first) = missed.first() else {
        return crashed.map(|exam| format!("check {} crashed", exam.check));
    };
    let calls = unique(missed.iter().map(|missed| missed.call)).len();
    let others = match calls {
        1 => String::new(),
        more => format!(" and {}", count(more - 1, "other call")),
    };
    Some(format!(
        "{} could not look: {} {}{others}",
        count(service.summary.unseen, "check"),
        first.call.action(),
        wording::why(first.why)
    ))
}

/// The operation that told it, and when it was.
fn source(evidence: &EvidenceReport, now: Timestamp) -> String {
    let action = evidence.call.action();
    let operation = action.rsplit(':').next().unwrap_or(action);
    match evidence.at {
        Some(at) if day(at) == day(now) => format!("{operation} {}", hour(at)),
        Some(at) => format!("{operation} {}", at.strftime("%m-%d %H:%M")),
        None => operation.to_owned(),
    }
}

/// Words, and at the end of their line where they come from; without that where they are longer.
fn beside(words: &str, source: &str, room: usize) -> Vec<String> {
    let lines = prose::lines(words, room, 0, 0);
    let (used, source_columns) = (words.chars().count(), source.chars().count());
    match lines.as_slice() {
        [line] if used + 2 + source_columns <= room => {
            let gap =
                " ".repeat(room.min(EDGE - MARGIN).saturating_sub(used + source_columns).max(2));
            vec![format!("{line}{gap}{DIM}{source}{DIM:#}")]
        }
        _ => prose::first(lines, 2, room),
    }
}

/// `since 02:25 UTC (35 min)`.
fn since(at: Timestamp, now: Timestamp) -> String {
    let span = time::words(time::age(now, at));
    match day(at) == day(now) {
        true => format!("since {} UTC ({span})", hour(at)),
        false => format!("since {} UTC ({span})", at.strftime("%Y-%m-%d %H:%M")),
    }
}

/// `2026-11-22 03:00 UTC`, with the local time where that is another.
fn moment(at: Timestamp, local: &TimeZone) -> String {
    let utc = at.strftime("%Y-%m-%d %H:%M UTC");
    let there = at.to_zoned(local.clone());
    if there.offset().is_zero() {
        return utc.to_string();
    }
    format!("{utc} ({} local)", there.strftime("%H:%M"))
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn hour(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}

fn indented(lines: Vec<String>, first: usize, rest: usize, style: Style) -> Vec<String> {
    let indents = std::iter::once(first).chain(std::iter::repeat(rest));
    let line =
        |(line, indent): (String, usize)| format!("{}{style}{line}{style:#}", " ".repeat(indent));
    lines.into_iter().zip(indents).map(line).collect()
}
