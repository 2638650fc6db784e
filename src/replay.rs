//! Snapshot files: what AWS told once, to be diagnosed again later, elsewhere, or in a test. A
//! reader takes every minor version of its own major version; fields that it does not know are left
//! out, fields that the file does not have count as not asked.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use checks::seen::Seen;
use checks::snapshot::{Condition, FORMAT, Snapshot};
use tempfile::NamedTempFile;

use crate::printed;

/// Whether the snapshot goes to standard output.
pub fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// Saves a snapshot: a new file that only its owner may read, and that takes the name when it is
/// whole.
pub fn save(snapshot: &Snapshot, file: &Path) -> Result<()> {
    let mut json = serde_json::to_string_pretty(snapshot)?;
    json.push('\n');
    if is_standard(file) {
        return printed::to(&mut std::io::stdout().lock(), json.as_bytes());
    }
    write(json.as_bytes(), file)
        .with_context(|| format!("could not save the snapshot to {}", file.display()))
}

fn write(json: &[u8], file: &Path) -> Result<()> {
    // Whoever can put a link there would choose what is overwritten.
    if let Ok(there) = std::fs::symlink_metadata(file)
        && !there.is_file()
    {
        bail!("it is a link, a folder or a device, and not a file");
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut new = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    new.write_all(json)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

pub fn load(file: &Path) -> Result<Snapshot> {
    let json = if is_standard(file) {
        let mut json = String::new();
        std::io::stdin()
            .read_to_string(&mut json)
            .context("could not read the snapshot from standard input")?;
        json
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("could not read the snapshot {}", file.display()))?
    };
    parse(&json).with_context(|| format!("{} is no snapshot of this program", file.display()))
}

pub fn parse(json: &str) -> Result<Snapshot> {
    let document: serde_json::Value = serde_json::from_str(json).context("it is not JSON")?;
    let Some(format) = document.get("format").and_then(|format| format.as_str()) else {
        bail!("it has no \"format\"; make one with --save");
    };
    if major(format) != major(FORMAT) {
        bail!("its format is {format}, and this program reads {FORMAT}");
    }
    let mut snapshot: Snapshot = serde_json::from_value(document).context("it is damaged")?;
    if snapshot.services.is_empty() {
        bail!("it has no service in it");
    }
    // Older versions kept the values of headers and queries.
    for rules in snapshot.rules.0.values_mut() {
        let Seen::Yes(Some(rules)) = rules else { continue };
        rules.iter_mut().flat_map(|rule| &mut rule.conditions).for_each(Condition::forget_secrets);
    }
    Ok(snapshot)
}

fn major(format: &str) -> &str {
    format.split('.').next().unwrap_or(format)
}
