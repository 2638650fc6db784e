//! `ecs-doctor explain <CHECK>`: the doc comment of a check, as it stands on its page.

use anyhow::Result;
use checks::catalog;

use crate::cli::Explain;
use crate::exit::{Exit, UsageError};
use crate::printed;

pub fn run(options: &Explain) -> Result<Exit> {
    let id = options.check.trim().to_ascii_lowercase().replace('-', "_");
    let Some(check) = catalog::find(&id) else {
        return Err(unknown(&options.check, &id).into());
    };
    printed::page(|out| Ok(writeln!(out, "{}", page(check))?))?;
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

/// With the names that may have been meant: those that have it in them, and those that differ in
/// no more than a third of it.
fn unknown(typed: &str, id: &str) -> UsageError {
    let distance = |other: &str| match id.len() > 3 && other.contains(id) {
        true => 1,
        false => strsim::damerau_levenshtein(id, other),
    };
    let mut near: Vec<(usize, &str)> = catalog::checks()
        .map(|check| (distance(check.id()), check.id()))
        .filter(|(distance, _)| *distance <= id.len() / 3)
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, id)| id).collect();
    UsageError(match near.as_slice() {
        [] => format!("there is no check {typed:?}; `ecs-doctor checks` lists them"),
        near => format!("there is no check {typed:?}; the nearest: {}", near.join(", ")),
    })
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
        let said = |id: &str| unknown(id, id).to_string();
        assert!(said("tag_move").contains("tag_moved"));
        assert!(said("wrong_answer").contains("health_check_wrong_answer"));
        assert!(said("hello").ends_with("`ecs-doctor checks` lists them"), "{}", said("hello"));
    }
}
