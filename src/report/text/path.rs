//! The request path: one line for a path on which all is well, one line for each hop of any other.
//! `✓` goes on, `✗` is where something is wrong or the request ends, `?` could not be seen, and
//! nothing is claimed beyond it.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use checks::facts::inbound::traffic;
use checks::views::request_path::{HopKind, Mark};

use super::{DIM, Text};
use crate::report::ServiceReport;
use crate::report::path::{BranchReport, HopReport, PathReport};

/// How many paths are drawn; all of them are in JSON.
const WAYS: usize = 4;

impl Text {
    /// The path of the URL that was asked about: that is the question, so it comes before everything
    /// else.
    pub(super) fn asked_paths(
        &self,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        for (number, path) in service.paths.iter().filter(|path| path.asked).enumerate() {
            self.heading(
                out,
                &if number == 0 {
                    format!("Request path of {}", path.url)
                } else {
                    format!("Then the request path of {}", path.url)
                },
            )?;
            self.hops(path, out)?;
        }
        if service.paths.iter().any(|path| path.asked) { self.probe(service, out) } else { Ok(()) }
    }

    /// The service's own paths: those on which something is wrong first.
    pub(super) fn own_paths(
        &self,
        service: &ServiceReport,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        if service.paths.is_empty() || service.paths.iter().any(|path| path.asked) {
            return Ok(());
        }
        self.heading(out, "Request path")?;
        let (good, bad): (Vec<&PathReport>, Vec<&PathReport>) =
            service.paths.iter().partition(|path| path.is_good());
        for (number, path) in bad.iter().take(WAYS).enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            self.item(out, "", &path.url)?;
            self.hops(path, out)?;
        }
        for path in good.iter().take(WAYS) {
            self.marked(out, Mark::Good, "✓ ", &in_short(path))?;
        }
        let more = bad.len().saturating_sub(WAYS) + good.len().saturating_sub(WAYS);
        if more > 0 {
            self.paragraph(
                out,
                "",
                DIM,
                &format!("{more} more of {} paths: `--output json` has all.", service.paths.len()),
            )?;
        }
        self.probe(service, out)
    }

    fn hops(&self, path: &PathReport, out: &mut dyn Write) -> anyhow::Result<()> {
        for hop in path.all_hops() {
            let mark = match hop.mark {
                Mark::Good => "✓",
                Mark::Bad => "✗",
                Mark::Unseen => "?",
            };
            let says = if hop.hop == HopKind::Rule {
                hop.says.trim_start_matches("rule ")
            } else {
                &hop.says
            };
            self.marked(out, hop.mark, &format!("{mark} {:<15} ", label(hop.hop)), says)?;
        }
        let why = if path.causes.is_empty() {
            String::new()
        } else {
            format!(" ({})", path.causes.join(", "))
        };
        self.item(out, "→ ", &format!("{}{why}", path.answer.says))
    }

    fn probe(&self, service: &ServiceReport, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in service.probe.iter().flat_map(|probe| &probe.words) {
            self.item(out, "• ", line)?;
        }
        Ok(())
    }

    /// A line with a mark, and its further lines below its words.
    fn marked(
        &self,
        out: &mut dyn Write,
        mark: Mark,
        bullet: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let style = match mark {
            Mark::Good => AnsiColor::Green.on_default(),
            Mark::Bad => AnsiColor::Red.on_default(),
            Mark::Unseen => Style::new(),
        };
        let columns = bullet.chars().count();
        for (number, line) in self.wrap(text, columns, columns).iter().enumerate() {
            match number {
                0 => writeln!(out, "{style}{bullet}{style:#}{line}")?,
                _ => writeln!(out, "{}{line}", " ".repeat(columns))?,
            }
        }
        Ok(())
    }
}

/// `https://api.example.com/ → web → HTTPS:443 → rule 10 → api → 2 of 2 targets healthy → 2 tasks
/// of api:12: the app answers`.
fn in_short(path: &PathReport) -> String {
    let join = |hops: &[HopReport]| {
        hops.iter()
            .map(|hop| hop.short.as_str())
            .filter(|short| !short.is_empty())
            .collect::<Vec<_>>()
            .join(" → ")
    };
    let branch = |branch: &BranchReport| match path.branches.len() {
        1 => join(&branch.hops),
        _ => format!("{} {}", traffic::percent_words(branch.percent), join(&branch.hops)),
    };
    let branches: Vec<String> = path.branches.iter().map(branch).collect();
    format!("{} → {} → {}: {}", path.url, join(&path.hops), branches.join("; "), path.answer.says)
}

pub(super) fn label(hop: HopKind) -> &'static str {
    match hop {
        HopKind::Name => "name",
        HopKind::LoadBalancer => "load balancer",
        HopKind::SecurityGroups => "security groups",
        HopKind::Listener => "listener",
        HopKind::WebAcl => "web ACL",
        HopKind::Rule => "rule",
        HopKind::TargetGroup => "target group",
        HopKind::Targets => "targets",
        HopKind::Tasks => "tasks",
    }
}
