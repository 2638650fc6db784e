//! What a user types and gets: names that do not exist, credentials that do not work, files that
//! are none.

use crate::doctor::doctor;
use crate::wire::{Account, Fault};

fn one_line(stderr: &str) {
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("ecs-doctor: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_name_in_two_clusters_is_2_and_both_are_named() {
    let account = Account::start("names");
    let run = doctor(&["api"]).at(&account).run();
    assert_eq!(run.code, 2, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("prod/api") && run.stderr.contains("test/api"), "{}", run.stderr);
    assert_eq!(account.complaints(), Vec::<String>::new());
    let account = Account::start("names");
    assert_eq!(doctor(&["api", "--cluster", "prod"]).at(&account).run().code, 0);
}

#[test]
fn a_name_that_does_not_exist_is_4_with_the_nearest() {
    for arguments in [&["apy"][..], &["prod/apy"]] {
        let account = Account::start("names");
        let run = doctor(arguments).at(&account).run();
        assert_eq!(run.code, 4, "{run:#?}");
        one_line(&run.stderr);
        assert!(run.stderr.contains("no service apy"), "{}", run.stderr);
        assert!(run.stderr.contains("api") && !run.stderr.contains("mailer"), "{}", run.stderr);
        assert_eq!(account.complaints(), Vec::<String>::new());
    }
}

#[test]
fn a_host_that_no_service_has_is_4() {
    let account = Account::start("names");
    let run = doctor(&["https://shop.example.com/"]).at(&account).run();
    assert_eq!(run.code, 4, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("shop.example.com"), "{}", run.stderr);
}

#[test]
fn credentials_that_expired_are_one_line_and_4() {
    let account = Account::start("fargate");
    account.fault("*", Fault::ExpiredToken);
    let run = doctor(&["prod/api"]).at(&account).run();
    assert_eq!(run.code, 4, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

#[test]
fn no_credentials_are_one_line_and_4() {
    let account = Account::start("fargate");
    let mut run = doctor(&["prod/api"]);
    for (name, value) in account.environment() {
        if !name.contains("KEY") {
            run = run.env(name, &value);
        }
    }
    let run = run.run();
    assert_eq!(run.code, 4, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);
}

/// AWS's own tools ask the account of the profile, too, whatever stands in the environment.
#[test]
fn a_profile_wins_over_the_environment_and_a_missing_one_is_named() {
    let config = "[profile prod]\nregion = eu-west-2\naws_access_key_id = AKIDPROD\naws_secret_access_key = x\n\
        [profile empty]\nregion = eu-west-2\n";
    let file = folder("profiles", &[("config", config)]).join("config");
    let run = |profile: &str| {
        let account = Account::start("fargate");
        let run = doctor(&["prod/api", "--profile", profile, "--output", "json"])
            .at(&account)
            .env("AWS_CONFIG_FILE", file.to_str().unwrap())
            .run();
        (run, account.keys())
    };
    let (known, keys) = run("prod");
    assert_eq!(known.code, 0, "{known:#?}");
    assert_eq!(keys, std::collections::BTreeSet::from(["AKIDPROD".to_owned()]));
    assert!(known.stdout.contains(" --region eu-west-2 --profile prod "), "{}", known.stdout);
    for (profile, says) in
        [("nowhere", "there is no profile nowhere"), ("empty", "profile empty has none")]
    {
        let (run, keys) = run(profile);
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{profile}: {run:#?}");
        one_line(&run.stderr);
        assert!(run.stderr.contains("no usable credentials"), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{}", run.stderr);
        assert!(keys.is_empty(), "nobody was asked");
    }
}

#[test]
fn a_service_of_another_account_or_region_is_not_its_namesake() {
    let account = Account::start("fargate");
    let own = "arn:aws:ecs:eu-west-2:123456789012:service/prod/api";
    assert_eq!(doctor(&[own]).at(&account).run().code, 0);
    let run = doctor(&["arn:aws:ecs:eu-west-2:210987654321:service/prod/api"])
        .at(&Account::start("fargate"))
        .run();
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{run:#?}");
    one_line(&run.stderr);
    for account in ["210987654321", "123456789012"] {
        assert!(run.stderr.contains(account), "{}", run.stderr);
    }
    let account = Account::start("fargate");
    let run = doctor(&[own, "--region", "us-east-1"]).at(&account).run();
    assert_eq!(run.code, 2, "{run:#?}");
    one_line(&run.stderr);
    assert_eq!(account.requests(), [], "AWS was asked first");
}

#[test]
fn no_region_is_one_line_and_4() {
    let run = doctor(&["api"])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .run();
    assert_eq!(run.code, 4, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("--region"), "{}", run.stderr);
}

#[test]
fn no_network_is_one_line_and_4() {
    let account = Account::start("fargate");
    account.fault("*", Fault::Reset);
    let run = doctor(&["prod/api"]).at(&account).run();
    assert_eq!(run.code, 4, "{run:#?}");
    one_line(&run.stderr);
    assert!(run.stderr.contains("ecs:DescribeServices"), "{}", run.stderr);
}

/// Nobody named a service: batched calls tell which there are, and how ECS says that they are.
#[test]
fn without_a_service_they_are_listed() {
    let account = Account::start("naff");
    let run = doctor(&[]).at(&account).run();
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stdout.contains("default/api"), "{}", run.stdout);
    assert!(run.stdout.contains(" tasks "), "{}", run.stdout);
    let json = doctor(&["--output", "json"]).at(&account).run().json();
    assert_eq!(json["format"], "ecs-doctor-services/v1");
    assert_eq!(json["services"][0]["service"], "api");
    let calls = account.requests();
    assert!(
        calls.iter().all(|call| {
            ["ecs.ListClusters", "ecs.ListServices", "ecs.DescribeServices"]
                .contains(&call.call().as_str())
        }),
        "{calls:#?}"
    );
}

#[test]
fn a_list_that_is_refused_says_so() {
    let account = Account::start("naff");
    account.fault("ecs.ListServices", Fault::Denied);
    let run = doctor(&[]).at(&account).run();
    assert!(run.stdout.contains("could not be listed: ecs:ListServices denied"), "{run:#?}");
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &["api", "--output", "yaml"][..],
        &["api", "--timeout", "0"],
        &["api", "--expect-ingress", "office"],
        &["a b"],
        &["prod/api", "--cluster", "test"],
        &["explain", "health_check_wrong"],
        &["demo", "no_such_example"],
        &["--no-such-flag"],
    ] {
        let run = doctor(arguments).run();
        assert_eq!(run.code, 2, "{arguments:?}: {run:#?}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_snapshot_says_again_what_was_said() {
    let account = Account::start("naff");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("saved.json");
    let name = file.to_str().unwrap();
    let live = doctor(&["api", "--save", name]).at(&account).run();
    let again = doctor(&["--from", name]).run();
    assert_eq!(live.stdout, again.stdout);
    assert_eq!(live.code, again.code);
    let other = doctor(&["web", "--from", name]).run();
    assert_eq!(other.code, 4, "{other:#?}");
    one_line(&other.stderr);
}

#[test]
fn a_snapshot_that_cannot_be_saved_costs_no_diagnosis() {
    let account = Account::start("naff");
    let run = doctor(&["api", "--save", "/no/such/folder/api.json"]).at(&account).run();
    assert_eq!(run.code, 1, "the code is the diagnosis': {run:#?}");
    one_line(&run.stderr);
    assert!(run.stdout.contains("health_check_wrong_answer"), "{}", run.stdout);
}

#[test]
fn a_file_that_is_no_snapshot_is_one_line_and_4() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, text) in [
        ("empty", ""),
        ("text", "hello"),
        ("other", "{}"),
        ("newer", r#"{"format":"ecs-doctor-snapshot/2.0"}"#),
        ("cut", r#"{"format":"ecs-doctor-snapshot/1.0"}"#),
    ] {
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, text).unwrap();
        let run = doctor(&["--from", file.to_str().unwrap()]).run();
        assert_eq!(run.code, 4, "{name}: {run:#?}");
        one_line(&run.stderr);
    }
    assert_eq!(doctor(&["--from", "/no/such/file"]).run().code, 4);
}

#[test]
fn without_logs_none_are_asked_for() {
    let account = Account::start("naff");
    let run = doctor(&["api", "--no-logs", "--output", "json"]).at(&account).run();
    assert_eq!(run.code, 1);
    assert!(account.requests().iter().all(|request| request.service != "logs"));
    assert_eq!(run.service()["roots"][0]["check"], "health_check_wrong_answer");
}

#[test]
fn verbose_goes_to_stderr_and_shows_no_secret() {
    let account = Account::start("naff");
    let run = doctor(&["api", "-v", "--output", "json"]).at(&account).run();
    assert!(run.stderr.contains("ecs:DescribeServices"), "{}", run.stderr);
    for secret in ["AKIDEXAMPLE", "Authorization", "Signature"] {
        assert!(!run.stderr.contains(secret), "{secret}");
    }
    run.json();
}

#[test]
fn text_has_no_colour_unless_asked_and_no_control_characters() {
    let plain = doctor(&["demo"]).run().stdout;
    assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{plain:?}");
    let coloured = doctor(&["demo"]).env("CLICOLOR_FORCE", "1").run().stdout;
    assert!(coloured.contains('\u{1b}'));
    let refused = doctor(&["demo"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run().stdout;
    assert_eq!(refused, plain);
}

#[test]
fn text_fits_the_terminal() {
    for columns in ["60", "80", "120"] {
        let account = Account::start("naff");
        let run = doctor(&["api"]).at(&account).env("COLUMNS", columns).run();
        let width: usize = columns.parse().unwrap();
        for line in run.stdout.lines() {
            // A word that is longer than a line, an ARN or a name of a rule, cannot be broken and
            // still be copied.
            let longest =
                line.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
            assert!(line.chars().count() <= width || longest > width / 2, "{columns}: {line}");
        }
    }
}

#[test]
fn no_secret_gets_into_a_snapshot_a_report_or_a_trace() {
    let account = Account::start("careless");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("careless.json");
    let run = doctor(&["mailer", "-v", "--output", "json", "--save", file.to_str().unwrap()])
        .at(&account)
        .run();
    assert!(run.code <= 1, "{run:#?}");
    let snapshot = std::fs::read_to_string(file).unwrap();
    for text in [&snapshot, &run.stdout, &run.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        snapshot.contains("DATABASE_URL") && snapshot.contains("db.internal"),
        "names and hosts are kept"
    );
    assert!(
        snapshot.contains("connecting to postgres://***db.internal"),
        "log lines are kept, masked"
    );
}

/// A folder of its own, with files in it.
fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    files.iter().for_each(|(file, text)| std::fs::write(folder.join(file), text).unwrap());
    folder
}

#[test]
fn what_is_expected_can_stand_in_a_file() {
    let folder = folder(
        "config",
        &[("ecs-doctor.toml", "[service.'prod/api']\nexpect-ingress = ['203.0.113.0/24']\n")],
    );
    let file = folder.join("ecs-doctor.toml");
    let found = |run: crate::doctor::Run| {
        run.service()["roots"].to_string().contains("ingress_wider_than_expected")
    };
    let account = Account::start("fargate");
    assert!(found(
        doctor(&["prod/api", "--output", "json", "--config", file.to_str().unwrap()])
            .at(&account)
            .run()
    ));
    assert!(found(
        doctor(&["prod/api", "--output", "json"])
            .at(&Account::start("fargate"))
            .within(&folder)
            .run()
    ));
    assert!(!found(
        doctor(&["prod/api", "--output", "json", "--expect-ingress", "0.0.0.0/0"])
            .at(&Account::start("fargate"))
            .within(&folder)
            .run()
    ));
}

#[test]
fn a_wrong_configuration_is_one_line_and_2() {
    let folder =
        folder("wrong-config", &[("ecs-doctor.toml", "expect-ingres = ['203.0.113.0/24']\n")]);
    let account = Account::start("fargate");
    let run = doctor(&["prod/api"]).at(&account).within(&folder).run();
    assert_eq!(run.code, 2, "{run:#?}");
    one_line(&run.stderr);
    assert!(
        run.stderr.contains("ecs-doctor.toml: line 1: unknown field `expect-ingres`"),
        "{}",
        run.stderr
    );
    assert_eq!(account.requests(), [], "AWS was asked first");
    let missing = doctor(&["prod/api", "--config", "no-such-file.toml"]).at(&account).run();
    assert_eq!(missing.code, 2, "{missing:#?}");
    one_line(&missing.stderr);
}
