//! Volumes that are mounted over the files that a container starts from. The command itself is
//! never in a snapshot, so the path comes from the runtime's words or from the log: the file that
//! was looked for and not found.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::part;
use crate::snapshot::{ContainerDefinition, MountPoint, TaskDefinition};
use crate::text::pattern;

/// A mount over something that was not found.
#[derive(Debug, PartialEq)]
pub struct Cover<'a> {
    /// What was looked for: a path, or a module.
    pub missing: String,
    /// Where the volume is mounted.
    pub path: &'a str,
    pub volume: Option<&'a str>,
}

/// The mount of this container that lies over what the runtime did not find.
pub fn over_command<'a>(
    definition: &'a TaskDefinition,
    container: &str,
    reason: &str,
) -> Option<Cover<'a>> {
    let command = part(&COMMAND, reason)?;
    let is_missing = ["not found", "no such file"].iter().any(|word| reason.contains(word));
    if !is_missing {
        return None;
    }
    // A bare name is looked for in all directories of the usual PATH.
    let paths: Vec<String> = match command {
        path if path.starts_with('/') => vec![path.to_owned()],
        name if name.contains('/') => Vec::new(),
        name => PATH.iter().map(|folder| format!("{folder}/{name}")).collect(),
    };
    let mounts = mounts(definition, container);
    let found = paths.iter().find_map(|path| over(&mounts, path))?;
    Some(Cover { missing: command.to_owned(), ..found })
}

/// The mount of this container that lies over what a line of its log says was not found.
pub fn over_line<'a>(
    definition: &'a TaskDefinition,
    container: &str,
    line: &str,
) -> Option<Cover<'a>> {
    let mounts = mounts(definition, container);
    if let Some(path) = FILES.iter().find_map(|pattern| {
        let found = pattern.captures(line)?.name("it")?;
        Some(found.as_str())
    }) {
        return over(&mounts, path);
    }
    MODULES.iter().find_map(|(pattern, folders)| {
        let module = pattern.as_ref()?.captures(line)?.name("it")?.as_str();
        mounts.iter().find_map(|(mount, path)| {
            folders.iter().any(|folder| path.ends_with(folder)).then(|| Cover {
                missing: module.to_owned(),
                path,
                volume: mount.source_volume.as_deref(),
            })
        })
    })
}

const PATH: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

static COMMAND: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"exec: "(?<it>[^"]+)""#));

/// How runtimes and shells name a file that is not there.
static FILES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"Cannot find (?:module|package) '(?<it>/[^']+)'",
        r"can't open file '(?<it>/[^']+)'",
        r"Unable to access jarfile (?<it>/\S+)",
        r"exec (?<it>/\S+): no such file or directory",
        r"does not exist: '(?<it>/[^']+)'",
        r"Failed opening required '(?<it>/[^']+)'",
        r"(?:sh|bash): (?:line )?(?:\d+: )?(?:can(?:no|')t open )?'?(?<it>/[\w./@+-]+)'?: (?:not found|[Nn]o such file)",
    ]
    .iter()
    .filter_map(|text| pattern(text))
    .collect()
});

/// Modules that are looked for by name, and the folders in which their packages are.
type Module = (Option<Regex>, &'static [&'static str]);

static MODULES: LazyLock<[Module; 4]> = LazyLock::new(|| {
    [
        (
            pattern(r"Cannot find (?:module|package) '(?<it>[^'./][^']*)'"),
            &["/node_modules"] as &[_],
        ),
        (
            pattern(r"No module named '?(?<it>[\w.]+)"),
            &["/site-packages", "/dist-packages", "/venv", "/.venv"],
        ),
        (
            pattern(r"Could not find (?<it>\S+) in (?:any of the sources|locally installed gems)"),
            &["/vendor/bundle", "/usr/local/bundle"],
        ),
        (pattern(r"Failed opening required '(?<it>vendor/[^']+)'"), &["/vendor"]),
    ]
});

/// The mounts of a container, each with its path, which does not end in a slash.
fn mounts<'a>(definition: &'a TaskDefinition, container: &str) -> Vec<(&'a MountPoint, &'a str)> {
    let is_it = |one: &&ContainerDefinition| one.name == container;
    let containers = definition.container_definitions.iter().filter(is_it);
    containers
        .flat_map(|one| &one.mount_points)
        .filter_map(|mount| Some((mount, mount.container_path.as_deref()?.trim_end_matches('/'))))
        .filter(|(_, path)| !path.is_empty())
        .collect()
}

fn over<'a>(mounts: &[(&'a MountPoint, &'a str)], file: &str) -> Option<Cover<'a>> {
    let lies_over = |path: &str| {
        file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // The deepest mount is the one that the container sees.
    let (mount, path) =
        mounts.iter().filter(|(_, path)| lies_over(path)).max_by_key(|(_, path)| path.len())?;
    Some(Cover { missing: file.to_owned(), path, volume: mount.source_volume.as_deref() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(paths: &[&str]) -> TaskDefinition {
        let mount = |path: &&str| MountPoint {
            source_volume: Some("code".into()),
            container_path: Some((*path).into()),
            read_only: None,
        };
        let app = ContainerDefinition {
            name: "app".into(),
            mount_points: paths.iter().map(mount).collect(),
            ..ContainerDefinition::default()
        };
        TaskDefinition { container_definitions: vec![app], ..TaskDefinition::default() }
    }

    fn line(paths: &[&str], line: &str) -> Option<(String, String)> {
        let definition = definition(paths);
        let cover = over_line(&definition, "app", line)?;
        Some((cover.missing, cover.path.to_owned()))
    }

    fn command(paths: &[&str], reason: &str) -> Option<String> {
        let definition = definition(paths);
        over_command(&definition, "app", reason).map(|cover| cover.path.to_owned())
    }

    #[test]
    fn a_file_that_was_not_found_is_covered_by_a_mount_of_a_folder_above_it() {
        for text in [
            "Error: Cannot find module '/app/server.js'",
            "python: can't open file '/app/server.js': [Errno 2] No such file or directory",
            "Error: Unable to access jarfile /app/server.js",
            "exec /app/server.js: no such file or directory",
            "/bin/sh: 1: /app/server.js: not found",
            "bash: /app/server.js: No such file or directory",
            "The application to execute does not exist: '/app/server.js'.",
        ] {
            let covered = Some(("/app/server.js".to_owned(), "/app".to_owned()));
            assert_eq!(line(&["/data", "/app/"], text), covered, "{text}");
            assert_eq!(line(&["/data", "/application", "/ap"], text), None, "{text}");
        }
        let both = line(&["/app", "/app/bin"], "exec /app/bin/run: no such file or directory");
        assert_eq!(both.map(|(_, path)| path).as_deref(), Some("/app/bin"));
    }

    #[test]
    fn a_module_is_covered_by_a_mount_over_the_folder_of_packages() {
        let node = "Error: Cannot find module 'express'";
        assert!(line(&["/app/node_modules"], node).is_some());
        assert_eq!(line(&["/app"], node), None, "the file that asks for it was found there");
        let python = "ModuleNotFoundError: No module named 'flask'";
        assert!(line(&["/opt/venv"], python).is_some());
        assert_eq!(line(&["/data"], python), None);
    }

    #[test]
    fn a_library_that_a_program_lacks_does_not_make_the_program_missing() {
        let library = "/app/server: error while loading shared libraries: libpq.so.5: cannot open shared object file: No such file or directory";
        assert_eq!(line(&["/app"], library), None);
    }

    #[test]
    fn a_command_is_looked_for_by_its_path_or_in_the_usual_folders() {
        let missing = |name: &str| format!("exec: \"{name}\": executable file not found in $PATH");
        assert_eq!(command(&["/app"], &missing("/app/run")).as_deref(), Some("/app"));
        assert_eq!(
            command(&["/usr/local/bin"], &missing("serve")).as_deref(),
            Some("/usr/local/bin")
        );
        assert_eq!(command(&["/app"], &missing("serve")), None);
        assert_eq!(command(&["/app"], &missing("./run")), None, "nobody knows from where");
        assert_eq!(command(&["/app"], "exec: \"/app/run\": permission denied"), None);
        assert_eq!(over_command(&definition(&["/app"]), "proxy", &missing("/app/run")), None);
    }
}
