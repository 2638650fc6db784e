//! The whole report: the causal chain with the cause first, its evidence and the fix; the request
//! path hop by hop, the deployment, the last hour; then risks as a table, notes, what was ruled out,
//! and what could not be looked at with the IAM statement that would help.

use std::collections::BTreeMap;
use std::io::Write;

use anstyle::Style;
use checks::call::Call;
use checks::diagnosis::Standing;
use checks::exam::Ended;
use checks::seen::Blindness;
use checks::text::{and_list, count};
use comfy_table::{ContentArrangement, Table, presets};

use super::{BOLD, CODE, DIM, Text, chain, colour, fact, verdict_style};
use crate::report::wording;
use crate::report::{EvidenceReport, FindingReport, Report, ServiceReport, ShellReport};

impl Text {
    pub(super) fn full(
        &self,
        report: &Report,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let kind = wording::kind(service.kind);
        let place = format!(
            "{}: {kind} in cluster {}, {}, account {}",
            service.service, service.cluster, report.region, report.account
        );
        self.paragraph(out, "", DIM, &place)?;
        self.paragraph(
            out,
            "",
            DIM,
            &format!("seen {}", report.taken_at.strftime("%Y-%m-%d %H:%M UTC")),
        )?;
        if let Some(example) = &report.example {
            self.paragraph(out, "", BOLD, &format!("EXAMPLE, not your account: {example}."))?;
        }
        writeln!(out)?;
        let verdict = wording::verdict(service.verdict);
        let style = verdict_style(service.verdict);
        let lines = self.wrap(&service.headline, verdict.len() + 2, verdict.len() + 2);
        for (number, line) in lines.iter().enumerate() {
            match number {
                0 => writeln!(out, "{style}{verdict}{style:#}  {BOLD}{line}{BOLD:#}")?,
                _ => writeln!(out, "{}{BOLD}{line}{BOLD:#}", " ".repeat(verdict.len() + 2))?,
            }
        }
        self.asked_paths(service, out)?;
        let shown = |finding: &&FindingReport| finding.severity <= self.show;
        let roots: Vec<&FindingReport> = service.roots.iter().filter(shown).collect();
        let (now, later): (Vec<_>, Vec<_>) =
            roots.into_iter().partition(|root| root.standing != Standing::Risk);
        for root in now {
            self.root(root, out)?;
        }
        self.own_paths(service, out)?;
        self.rollout(service, report.taken_at, out)?;
        self.changes(service, out)?;
        self.trail(service.trail.as_ref(), out)?;
        self.last_hour(service, report.taken_at, out)?;
        self.digests(service, out)?;
        self.risks(&later, out)?;
        self.notes(service, out)?;
        self.ruled_out(service, out)?;
        self.expected(service, out)?;
        self.blind(report, service, out)?;
        self.footer(report, out)
    }

    fn root(&self, root: &FindingReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let style = colour(root.severity);
        let label = wording::standing(root.standing);
        writeln!(out, "\n{style}{label}, {}{style:#}  {}", root.severity, root.check)?;
        self.paragraph(out, "  ", BOLD, root.title)?;
        self.paragraph(out, "  ", Style::new(), &root.says)?;
        if let Some(since) = root.since {
            self.paragraph(
                out,
                "  ",
                DIM,
                &format!("since {}", since.strftime("%Y-%m-%d %H:%M UTC")),
            )?;
        }
        if !root.explains.is_empty() {
            writeln!(out, "\n  {BOLD}Consequences{BOLD:#}")?;
            self.effects(&root.explains, "  ", root.evidence.iter().collect(), out)?;
        }
        self.suspects(root, out)?;
        writeln!(out, "\n  {BOLD}Evidence{BOLD:#}")?;
        self.evidence(&root.evidence, out)?;
        let label = if root.remedy.only_looks() { "Look" } else { "Fix" };
        writeln!(out, "\n  {BOLD}{label}{BOLD:#}")?;
        self.paragraph(out, "  ", Style::new(), &root.remedy.summary)?;
        for command in &root.remedy.commands {
            self.command(out, "    ", &command.shell)?;
        }
        if let Some(terraform) = &root.remedy.terraform {
            writeln!(out, "  Terraform/OpenTofu:")?;
            for line in terraform.lines() {
                writeln!(out, "    {CODE}{line}{CODE:#}")?;
            }
        }
        Ok(())
    }

    fn suspects(&self, root: &FindingReport, out: &mut dyn Write) -> anyhow::Result<()> {
        if root.suspects.is_empty() {
            return Ok(());
        }
        let mut by_call: BTreeMap<(&str, Blindness), Vec<&str>> = BTreeMap::new();
        for suspect in &root.suspects {
            by_call.entry((suspect.call.action(), suspect.why)).or_default().push(suspect.check);
        }
        writeln!(
            out,
            "\n  {BOLD}Suspects{BOLD:#}: these checks would explain it, and could not look"
        )?;
        for ((call, why), checks) in by_call {
            self.item(
                out,
                "  - ",
                &format!("{call} ({}): {}", wording::why(why), checks.join(", ")),
            )?;
        }
        Ok(())
    }

    /// A tree, one branch an effect; each says the one piece of evidence that decides, unless its
    /// cause has said it.
    fn effects<'a>(
        &self,
        effects: &'a [FindingReport],
        indent: &str,
        told: Vec<&'a EvidenceReport>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        for (number, effect) in effects.iter().enumerate() {
            let last = number + 1 == effects.len();
            let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let style = colour(effect.severity);
            let below = format!("{indent}{trunk}");
            let stem =
                if effect.explains.is_empty() { below.clone() } else { format!("{below}│  ") };
            let title = self.wrap(
                &format!("{} ({})", effect.title, effect.check),
                indent.chars().count() + 3,
                below.chars().count(),
            );
            for (number, line) in title.iter().enumerate() {
                let before = if number == 0 { format!("{indent}{branch}") } else { below.clone() };
                writeln!(out, "{before}{style}{line}{style:#}")?;
            }
            self.paragraph(out, &stem, Style::new(), &effect.says)?;
            if !effect.by_way_of.is_empty() {
                let way = and_list(&effect.by_way_of);
                self.paragraph(out, &stem, DIM, &format!("By way of: {way}; not seen."))?;
            }
            let mut told = told.clone();
            if let Some(evidence) = effect.evidence.first()
                && !told.iter().any(|told| told.of == evidence.of && fact(told) == fact(evidence))
            {
                self.paragraph(out, &stem, DIM, &fact(evidence))?;
                told.push(evidence);
            }
            self.effects(&effect.explains, &below, told, out)?;
        }
        Ok(())
    }

    fn evidence(&self, evidence: &[EvidenceReport], out: &mut dyn Write) -> anyhow::Result<()> {
        let mut seen: Vec<&ShellReport> = Vec::new();
        for piece in evidence {
            self.item(out, "  - ", &fact(piece))?;
        }
        for piece in evidence {
            if !seen.contains(&&piece.see) {
                seen.push(&piece.see);
            }
        }
        writeln!(out, "  See for yourself:")?;
        for command in seen {
            self.command(out, "    ", command)?;
        }
        Ok(())
    }

    fn risks(&self, risks: &[&FindingReport], out: &mut dyn Write) -> anyhow::Result<()> {
        if risks.is_empty() {
            return Ok(());
        }
        self.heading(out, "Risks (no impact yet)")?;
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table
            .set_width(u16::try_from(self.width).unwrap_or(80))
            .set_header(["severity", "finding"]);
        for risk in risks {
            for part in chain(risk) {
                table.add_row([
                    part.severity.to_string(),
                    format!("{}\n{}\nFix: {}", part.check, part.says, part.remedy.summary),
                ]);
            }
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        self.paragraph(
            out,
            "",
            DIM,
            "`ecs-doctor explain <check>` tells more; `--output json` has the commands.",
        )
    }

    fn notes(&self, service: &ServiceReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let notes: Vec<_> =
            service.notes.iter().filter(|note| note.severity <= self.show).collect();
        if notes.is_empty() {
            return Ok(());
        }
        self.heading(out, "Expected states")?;
        for note in notes {
            self.item(out, "- ", &format!("{} ({})", note.says, note.check))?;
        }
        Ok(())
    }

    fn ruled_out(&self, service: &ServiceReport, out: &mut dyn Write) -> anyhow::Result<()> {
        if service.ruled_out.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = service
            .ruled_out_by_group()
            .iter()
            .map(|(group, count)| format!("{group} {count}"))
            .collect();
        self.heading(out, "Ruled out")?;
        self.paragraph(
            out,
            "",
            DIM,
            &format!(
                "{}, by group: {}. `--output json` names them.",
                count(service.ruled_out.len(), "check"),
                groups.join(", ")
            ),
        )
    }

    fn blind(
        &self,
        report: &Report,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let missed: Vec<_> = service
            .exams
            .iter()
            .flat_map(|exam| exam.missed.iter().map(|missed| (missed, exam.check)))
            .collect();
        let crashed: Vec<&str> = service
            .exams
            .iter()
            .filter(|exam| exam.outcome == Ended::Crashed)
            .map(|exam| exam.check)
            .collect();
        if missed.is_empty() && report.blind.is_empty() && crashed.is_empty() {
            return Ok(());
        }
        self.heading(out, "Could not look")?;
        let mut calls: Vec<(Call, Blindness)> =
            report.blind.iter().map(|blind| (blind.call, blind.why)).collect();
        calls.extend(missed.iter().map(|(missed, _)| (missed.call, missed.why)));
        calls.sort_unstable_by_key(|(call, why)| (call.action(), *why));
        calls.dedup();
        for (call, why) in &calls {
            let said = report
                .blind
                .iter()
                .find(|blind| blind.call == *call && blind.why == *why)
                .and_then(|blind| blind.message.as_deref());
            let hidden: Vec<&str> = missed
                .iter()
                .filter(|(missed, _)| missed.call == *call && missed.why == *why)
                .map(|(_, check)| *check)
                .collect();
            let mut line = format!("{}: {}", call.action(), wording::why(*why));
            match (hidden.is_empty(), said) {
                (false, _) => line.push_str(&format!("; hidden from {}", hidden.join(", "))),
                (true, _) => line.push_str("; no check missed it"),
            }
            self.item(out, "- ", &line)?;
            if let Some(said) = said.filter(|_| *why != Blindness::Denied) {
                self.paragraph(out, "  ", DIM, said)?;
            }
        }
        for check in crashed {
            self.item(
                out,
                "- ",
                &format!("{check} crashed: please report it, with the snapshot of --save"),
            )?;
        }
        let mut denied: Vec<Call> = calls
            .iter()
            .filter(|(_, why)| *why == Blindness::Denied)
            .map(|(call, _)| *call)
            .collect();
        denied.dedup();
        if !denied.is_empty() {
            writeln!(out, "  This IAM statement would help:")?;
            let needed = denied.into_iter().flat_map(Call::needs);
            let actions: Vec<String> = needed.map(|action| format!("\"{action}\"")).collect();
            writeln!(
                out,
                "    {CODE}{{ \"Effect\": \"Allow\", \"Resource\": \"*\", \"Action\": ["
            )?;
            for (number, action) in actions.iter().enumerate() {
                writeln!(
                    out,
                    "      {action}{}",
                    if number + 1 == actions.len() { "" } else { "," }
                )?;
            }
            writeln!(out, "    ] }}{CODE:#}")?;
        }
        Ok(())
    }

    fn footer(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        let calls = &report.calls;
        writeln!(out)?;
        self.paragraph(
            out,
            "",
            DIM,
            &format!("{} calls, {} ms, read-only.", calls.total, calls.elapsed_ms),
        )
    }
}
