//! What needs no AWS: how the command line is read, how the program ends, and what it writes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::doctor::doctor;

fn recorded(name: &str) -> String {
    format!("{}/tests/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// A folder of its own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn one_line(stderr: &str) {
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("ecs-doctor: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn an_option_before_a_command_does_not_make_it_a_service() {
    assert_eq!(doctor(&["-v", "demo"]).run().code, 0);
    assert_eq!(doctor(&["--verbose", "demo", "--list"]).run().code, 0);
    for arguments in [&["--output", "json", "demo"][..], &["--region", "eu-west-2", "checks"]] {
        let run = doctor(arguments).run();
        assert_eq!(run.code, 2, "{arguments:?}: {run:#?}");
        one_line(&run.stderr);
        assert!(run.stderr.contains("options of a command stand behind it"), "{}", run.stderr);
    }
    let run = doctor(&["--region", "eu-west-2", "timeline", "api"]).run();
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
    assert!(run.stderr.contains("options of the command `timeline` stand behind it"), "{run:#?}");
}

#[test]
fn what_is_nearly_a_command_is_not_searched_for() {
    for (typed, hint) in [
        ("timelin", "there is the command `timeline`"),
        ("chekcs", "there is the command `checks`"),
        ("demos", "there is the command `demo`"),
        ("version", "`ecs-doctor --version`"),
        ("list", "`ecs-doctor checks`"),
        ("complations", "there is the command `completions`"),
    ] {
        let run = doctor(&[typed]).run();
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{typed}: {run:#?}");
        one_line(&run.stderr);
        assert!(run.stderr.contains(hint), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("CLUSTER/{typed}")), "{}", run.stderr);
    }
}

#[test]
fn a_check_is_explained_by_either_spelling() {
    let explained = doctor(&["explain", "health_check_wrong_answer"]).run();
    assert_eq!(explained.code, 0);
    for other in ["health-check-wrong-answer", "Health_Check_Wrong_Answer"] {
        assert_eq!(doctor(&["explain", other]).run().stdout, explained.stdout);
    }
    let near = doctor(&["explain", "health-check-wrong-anser"]).run();
    assert!(near.stderr.contains("health_check_wrong_answer"), "{}", near.stderr);
    let far = doctor(&["explain", "quux"]).run();
    assert_eq!(far.code, 2);
    assert!(far.stderr.contains("`ecs-doctor checks` lists them"), "{}", far.stderr);
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let from = recorded("green-console-503");
    let code = |typed: &str| doctor(&[typed, "--from", &from]).run().code;
    assert_eq!([code("api"), code("default/api")], [1, 1]);
    assert_eq!(code("arn:aws:ecs:eu-west-2:123456789012:service/default/api"), 1);
    for other in [
        "other/api",
        "web",
        "arn:aws:ecs:eu-west-2:210987654321:service/default/api",
        "arn:aws:ecs:eu-west-2:123456789012:service/other/api",
    ] {
        let run = doctor(&[other, "--from", &from]).run();
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{other}: {run:#?}");
        one_line(&run.stderr);
        assert!(run.stderr.contains("it has default/api"), "{}", run.stderr);
    }
}

/// `… | head -1`: the reader goes away after a line, or before one.
#[test]
fn a_closed_pipe_ends_quietly_with_the_code_of_the_diagnosis() {
    let from = recorded("green-console-503");
    for (arguments, code) in [
        (&["--from", &from][..], 1),
        (&["--from", &from, "--output", "json"], 1),
        (&["demo"], 0),
        (&["checks"], 0),
        (&["timeline", "--from", &from], 0),
        (&["diff", "--snapshot", &recorded("alarm-of-4xx")], 0),
    ] {
        for lines in [0, 1] {
            let mut child = doctor(arguments).spawn(Stdio::piped());
            let mut out = child.stdout.take().expect("a pipe");
            if lines > 0 {
                out.read_exact(&mut [0]).expect("a byte");
            }
            drop(out);
            let done = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!((done.status.code(), said.as_str()), (Some(code), ""), "{arguments:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_saved_snapshot_is_for_its_owner_and_follows_no_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder("save");
    let from = recorded("green-console-503");
    let file = folder.join("saved.json");
    let save = |file: &Path| doctor(&["--from", &from, "--save", text(file)]).run();
    let plain = doctor(&["--from", &from]).run();
    for _ in ["new", "there already"] {
        let run = save(&file);
        assert_eq!((run.code, &run.stdout, run.stderr.as_str()), (1, &plain.stdout, ""));
        let mode = std::fs::metadata(&file).expect("the snapshot").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("its owner");
    }
    let (victim, link) = (folder.join("victim"), folder.join("link.json"));
    std::fs::write(&victim, "mine").expect("a file");
    symlink(&victim, &link).expect("a link");
    for refused in [&link, &folder, &folder.join("no/such/folder.json")] {
        let run = save(refused);
        assert_eq!((run.code, &run.stdout), (1, &plain.stdout), "the diagnosis is what it was");
        one_line(&run.stderr);
        assert!(run.stderr.contains("could not save"), "{}", run.stderr);
    }
    assert_eq!(std::fs::read_to_string(&victim).expect("a file"), "mine");
    let left = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(left, 3, "nothing half written is left");
}

#[test]
fn a_snapshot_can_go_to_standard_output() {
    let from = recorded("green-console-503");
    let run = doctor(&["--from", &from, "--save", "-"]).run();
    assert_eq!(run.code, 1);
    assert_eq!(run.json()["format"], "ecs-doctor-snapshot/1.0");
    assert_eq!(run.stderr, doctor(&["--from", &from]).run().stdout);
}

#[test]
fn an_anonymous_snapshot_is_told_the_same() {
    let file = folder("anonymous").join("saved.json");
    let from = recorded("the-allow-list-and-the-dashboard");
    let own = doctor(&["--from", &from, "--full", "--save", text(&file), "--anonymise"]).run();
    let other = doctor(&["--from", text(&file), "--full"]).run();
    assert_eq!(own.code, other.code);
    let heads = |text: &str| {
        let is_head =
            |line: &&str| line.starts_with("CAUSE, ") || line.starts_with("UNEXPLAINED, ");
        text.lines().filter(is_head).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!heads(&own.stdout).is_empty(), "{}", own.stdout);
    assert_eq!(heads(&own.stdout), heads(&other.stdout));
    let saved = std::fs::read_to_string(&file).expect("a snapshot");
    for own in ["123456789012", "dashboard"] {
        assert!(!saved.contains(own), "{own}");
    }
    assert_eq!(doctor(&["--from", &from, "--anonymise"]).run().code, 2, "it is for --save");
}

#[test]
fn a_file_of_expectations_is_named_with_what_it_silences() {
    let folder = folder("expects");
    let from = recorded("the-allow-list-and-the-dashboard");
    std::fs::write(folder.join("ecs-doctor.toml"), "expect-ingress = ['0.0.0.0/0', '::/0']")
        .unwrap();
    let json = |arguments: &[&str]| {
        let all = [&["--from", &from, "--output", "json"], arguments].concat();
        doctor(&all).within(&folder).run().service()
    };
    let expected = json(&[])["expected"].clone();
    assert_eq!(expected["file"], "./ecs-doctor.toml");
    let found = |service: &serde_json::Value| {
        let exams = service["exams"].as_array().expect("exams").iter();
        let sick = exams.filter(|exam| exam["outcome"] == "sick").map(|exam| exam["check"].clone());
        sick.collect::<Vec<_>>()
    };
    let (with, without) =
        (found(&json(&[])), found(&doctor(&["--from", &from, "--output", "json"]).run().service()));
    let silenced: Vec<_> = without.into_iter().filter(|check| !with.contains(check)).collect();
    assert!(!silenced.is_empty());
    assert_eq!(expected["silenced"], serde_json::Value::from(silenced.clone()));
    let text = doctor(&["--from", &from, "--full"]).within(&folder).run().stdout;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("./ecs-doctor.toml expects 0.0.0.0/0 and ::/0 to reach"), "{text}");
    assert!(text.contains(silenced[0].as_str().expect("an id")), "{text}");
    let screen = doctor(&["--from", &from]).within(&folder).run().stdout;
    assert!(screen.contains("./ecs-doctor.toml keeps "), "{screen}");
    assert_eq!(json(&["--expect-ingress", "10.0.0.0/8"])["expected"], serde_json::Value::Null);
}

/// Times at the edge of what can be written, and what else a file may have.
#[test]
fn no_file_makes_it_panic() {
    let folder = folder("edges");
    let json = std::fs::read_to_string(recorded("canary-without-traffic")).expect("a snapshot");
    for taken_at in
        ["9999-12-30T22:00:00.999999999Z", "-009999-01-02T01:59:59Z", "1970-01-01T00:00:00Z"]
    {
        let mut document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        document["taken_at"] = taken_at.into();
        let file = folder.join("edge.json");
        std::fs::write(&file, document.to_string()).expect("a folder to write to");
        for arguments in [&["--from"][..], &["timeline", "--from"], &["diff", "--snapshot"]] {
            let run = doctor(&[arguments, &[text(&file)]].concat()).run();
            assert!((0..=1).contains(&run.code), "{taken_at} {arguments:?}: {run:#?}");
        }
    }
}
