//! The report for people: on one screen by default, or the whole. Both fit the terminal from 40
//! columns on, and say the same without colour. Here is what both are drawn with.

mod brief;
mod expected;
mod full;
mod history;
mod path;
mod prose;

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use checks::check::Severity;
use checks::diagnosis::Verdict;

use super::{Detail, EvidenceReport, FindingReport, Print, Report, ShellReport, wording};

pub struct Text {
    pub width: usize,
    pub detail: Detail,
    /// Findings below are not printed.
    pub show: Severity,
    /// Whether the screen lists risks that will not hurt soon, too.
    pub risks: bool,
}

impl Default for Text {
    fn default() -> Text {
        Text { width: width(), detail: Detail::Full, show: Severity::Info, risks: true }
    }
}

/// As wide as nothing is: what reads a pipe wraps by itself.
const UNWRAPPED: usize = 10_000;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CODE: Style = AnsiColor::Cyan.on_default();

/// The columns of the terminal, or those that the environment tells; a pipe has no end of line.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || match std::io::stdout().is_terminal() {
        true => terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)),
        false => UNWRAPPED,
    };
    match columns.unwrap_or_else(terminal) {
        UNWRAPPED => UNWRAPPED,
        columns => columns.clamp(40, 120),
    }
}

/// A line of a list, cut where the terminal ends.
pub fn one_line(line: &str) -> String {
    match width() {
        UNWRAPPED => line.to_owned(),
        columns if line.chars().count() <= columns => line.to_owned(),
        columns => line.chars().take(columns - 1).chain(['…']).collect(),
    }
}

fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Sick => AnsiColor::Red.on_default().bold(),
        Verdict::Healthy => AnsiColor::Green.on_default().bold(),
        Verdict::AtRisk | Verdict::Unknown => AnsiColor::Yellow.on_default().bold(),
    }
}

fn colour(severity: Severity) -> Style {
    match severity {
        Severity::Critical => AnsiColor::Red.on_default().bold(),
        Severity::High => AnsiColor::Red.on_default(),
        Severity::Medium => AnsiColor::Yellow.on_default(),
        Severity::Low => AnsiColor::Blue.on_default(),
        Severity::Info => DIM,
    }
}

impl Print for Text {
    fn print(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        for (number, service) in report.services.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            match self.detail {
                Detail::Brief => self.brief(report, service, out)?,
                Detail::Full => self.full(report, service, out)?,
            }
        }
        Ok(())
    }
}

/// The finding and all that follows from it.
fn chain(finding: &FindingReport) -> Vec<&FindingReport> {
    std::iter::once(finding).chain(finding.explains.iter().flat_map(chain)).collect()
}

impl Text {
    fn heading(&self, out: &mut dyn Write, text: &str) -> anyhow::Result<()> {
        writeln!(out, "\n{BOLD}{text}{BOLD:#}")?;
        Ok(())
    }

    fn wrap(&self, text: &str, first: usize, rest: usize) -> Vec<String> {
        prose::lines(text, self.width, first, rest)
    }

    fn paragraph(
        &self,
        out: &mut dyn Write,
        indent: &str,
        style: Style,
        text: &str,
    ) -> anyhow::Result<()> {
        let columns = indent.chars().count();
        for line in self.wrap(text, columns, columns) {
            writeln!(out, "{indent}{style}{line}{style:#}")?;
        }
        Ok(())
    }

    fn item(&self, out: &mut dyn Write, bullet: &str, text: &str) -> anyhow::Result<()> {
        let columns = bullet.chars().count();
        for (number, line) in self.wrap(text, columns, columns).iter().enumerate() {
            let before = if number == 0 { bullet.to_owned() } else { " ".repeat(columns) };
            writeln!(out, "{before}{line}")?;
        }
        Ok(())
    }

    fn command(
        &self,
        out: &mut dyn Write,
        indent: &str,
        command: &ShellReport,
    ) -> anyhow::Result<()> {
        for line in self.command_lines(indent.chars().count(), command) {
            writeln!(out, "{indent}{line}")?;
        }
        Ok(())
    }

    /// A command that can be copied: broken only before an option or between words, and with a
    /// backslash. Each line stands after so many columns.
    fn command_lines(&self, columns: usize, command: &ShellReport) -> Vec<String> {
        let room = self.width.saturating_sub(columns + 4);
        let mut lines: Vec<String> = Vec::new();
        for word in together(&command.words) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
        let last = lines.len().saturating_sub(1);
        let numbered = lines.iter().enumerate();
        numbered
            .map(|(number, line)| {
                let before = if number == 0 { "$ " } else { "    " };
                let after = if number == last { "" } else { " \\" };
                format!("{CODE}{before}{line}{after}{CODE:#}")
            })
            .collect()
    }
}

/// The words of a command, an option together with its value.
fn together(words: &[String]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in words {
        match parts.last_mut() {
            Some(option)
                if option.starts_with("--") && !option.contains(' ') && !word.starts_with("--") =>
            {
                option.push(' ');
                option.push_str(word);
            }
            _ => parts.push(word.clone()),
        }
    }
    parts
}

/// `TargetHealth.Description: Request timed out (elasticloadbalancing:DescribeTargetHealth, 02:59
/// UTC)`.
fn fact(evidence: &EvidenceReport) -> String {
    let at = evidence
        .at
        .map(|at| format!(", {}", at.strftime("%Y-%m-%d %H:%M UTC")))
        .unwrap_or_default();
    format!("{}: {} ({}{at})", evidence.field, evidence.value, evidence.call.action())
}
