//! The law that the drawn way in and the verdict agree, over every check's example, every healthy
//! service and every account that the tests of the program have: what a reader sees on the way is
//! told by a finding, and what is found critical there is seen on the way.

#![cfg(test)]

use std::path::Path;

use ecs_doctor_checks::baseline;
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::check::{Role, Severity};
use ecs_doctor_checks::diagnosis::{Diagnosis, Node, Standing, Verdict, diagnose};
use ecs_doctor_checks::patient::{Intent, Patient};
use ecs_doctor_checks::snapshot::Snapshot;
use ecs_doctor_checks::views::request_path::{self, By, Hop, Mark};

/// Each account by name. A file that is no snapshot is none of ours.
#[expect(clippy::disallowed_methods, reason = "a test may read files")]
fn accounts() -> Vec<(String, Snapshot)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let mut accounts: Vec<(String, Snapshot)> = baseline::ALL
        .iter()
        .map(|(name, make)| (format!("healthy {name}"), make()))
        .chain(catalog::checks().map(|check| (check.id().to_owned(), (check.example)())))
        .collect();
    for folder in ["recorded", "cases"] {
        let files = std::fs::read_dir(tests.join(folder)).expect("the folder of accounts");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        let files = files.into_iter().filter(|file| {
            let name = file.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".want.json")
        });
        for file in files {
            let text = std::fs::read_to_string(&file).expect("UTF-8");
            let snapshot = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            accounts.push((file.display().to_string(), snapshot));
        }
    }
    accounts
}

/// Every service of every account with its diagnosis and its ways, as the report draws them.
fn each(mut judge: impl FnMut(&str, &Diagnosis, &[request_path::Path])) {
    let intent = Intent::default();
    for (name, snapshot) in accounts() {
        for service in &snapshot.services {
            let patient = Patient::new(&snapshot, service, &intent);
            let diagnosis = diagnose(&patient);
            let mut paths = request_path::own(&patient);
            if let Some(url) = patient.asked_url() {
                paths.extend(request_path::of_url(&patient, &url));
            }
            paths.iter_mut().for_each(|path| path.mark(&diagnosis));
            judge(&name, &diagnosis, &paths);
        }
    }
}

fn bad(path: &request_path::Path) -> impl Iterator<Item = &Hop> {
    path.all_hops().filter(|hop| hop.mark == Mark::Bad)
}

/// Whether a request gets what it should: the app's answer, or, of a redirect, its next URL.
fn is_served(path: &request_path::Path) -> bool {
    path.answer.by == By::App || path.answer.location.is_some()
}

fn nodes(node: &Node) -> Vec<&Node> {
    std::iter::once(node).chain(node.explains.iter().flat_map(nodes)).collect()
}

#[test]
fn a_way_that_does_not_lead_to_the_app_is_told_by_the_verdict_or_a_note() {
    let mut wrong = Vec::new();
    each(|name, diagnosis, paths| {
        let told = matches!(diagnosis.verdict, Verdict::Sick | Verdict::Unknown)
            || diagnosis.notes.iter().any(|note| is_about_ways(note, paths));
        for path in paths.iter().filter(|_| !told) {
            if !is_served(path) || bad(path).next().is_some() {
                let hops: Vec<&str> = bad(path).map(|hop| hop.says.as_str()).collect();
                wrong.push(format!(
                    "{name}: {:?}, but {}: {} {hops:?}",
                    diagnosis.verdict, path.url, path.answer.says
                ));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a note is about the service or about something on its ways.
fn is_about_ways(note: &Node, paths: &[request_path::Path]) -> bool {
    use ecs_doctor_checks::finding::Kind;
    let about = &note.finding.about;
    let hops = || paths.iter().flat_map(request_path::Path::all_hops);
    matches!(about.kind, Kind::Service | Kind::Deployment)
        || note
            .finding
            .scope
            .ids()
            .chain([about.id.as_str()])
            .any(|id| hops().any(|hop| hop.id.as_deref() == Some(id)))
}

#[test]
fn a_critical_cause_on_the_way_in_marks_a_hop() {
    let mut wrong = Vec::new();
    each(|name, diagnosis, paths| {
        let causes = diagnosis.roots.iter().filter(|root| root.standing == Standing::Cause);
        let critical = causes.flat_map(nodes).filter(|node| {
            node.check.role == Role::Cause && node.check.severity == Severity::Critical
        });
        for node in critical {
            let about = node.finding.about.id.as_str();
            let meets = |path: &&request_path::Path| {
                path.all_hops().any(|hop| hop.id.as_deref() == Some(about))
            };
            for path in paths.iter().filter(meets).filter(|path| bad(path).next().is_none()) {
                wrong.push(format!("{name}: {:?} marks no hop of {}", node.check, path.url));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
