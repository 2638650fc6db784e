//! `ecs-doctor explain <CHECK>`: the doc comment of a check, as it stands on its page.

use std::io::Write;

use anyhow::Result;
use checks::catalog;

use crate::cli::Explain;
use crate::exit::{Exit, UsageError};

pub fn run(options: &Explain) -> Result<Exit> {
    let Some(check) = catalog::find(&options.check) else {
        return Err(unknown(&options.check).into());
    };
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", page(check))?;
    Ok(Exit::Fine)
}

/// A check's page in Markdown: what `explain` prints and what stands in the docs.
pub fn page(check: &checks::check::Check) -> String {
    let text: Vec<&str> =
        check.explanation.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let text = text.join("\n").replace("\n# ", "\n## ");
    let head = format!("{} · {} · {}", check.group(), check.role, check.severity);
    let reads: Vec<&str> = check.reads.iter().map(|call| call.action()).collect();
    format!(
        "# {}\n\n{}\n\n`{head}`\n\n{}\n\n## What it reads\n\n{}",
        check.id(),
        check.title,
        text.trim(),
        reads.join(", ")
    )
}

fn unknown(id: &str) -> UsageError {
    let mut near: Vec<(usize, &str)> = catalog::checks()
        .map(|check| (strsim::damerau_levenshtein(id, check.id()), check.id()))
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, id)| id).collect();
    UsageError(format!("there is no check {id:?}; the nearest: {}", near.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_section() {
        for check in catalog::checks() {
            let page = page(check);
            assert!(page.contains("\n## What to do\n"), "{page}");
            assert!(page.starts_with(&format!("# {}\n", check.id())));
        }
        assert!(
            unknown("tag_move").to_string().contains("tag_moved")
                || catalog::find("tag_moved").is_none()
        );
    }
}
