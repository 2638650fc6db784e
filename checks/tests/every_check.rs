//! The laws that hold for every check at once. A new check is under them as soon as it is in its
//! group's list, so a check needs tests of its own only for its traps.

#![cfg(test)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use ecs_doctor_checks::baseline;
use ecs_doctor_checks::call::Call;
use ecs_doctor_checks::catalog;
use ecs_doctor_checks::check::{Check, Role};
use ecs_doctor_checks::diagnosis::diagnose;
use ecs_doctor_checks::exam::{Exam, Outcome, examine};
use ecs_doctor_checks::finding::Finding;
use ecs_doctor_checks::patient::Patient;
use ecs_doctor_checks::snapshot::{Alarm, ServerlessCache, Snapshot};
use ecs_doctor_checks::symptom::Symptom;
use serde_json::Value;

fn exam_of(check: &'static Check, snapshot: &Snapshot, forbidden: &[Call]) -> Exam {
    let intent = baseline::intent();
    let patient = Patient::new(snapshot, &snapshot.services[0], &intent)
        .blindfolded(forbidden.iter().copied());
    examine(check, &patient)
}

/// Every snapshot there is: the healthy ones, and each check's example.
fn snapshots() -> Vec<(String, Snapshot)> {
    let healthy = baseline::ALL.iter().map(|(name, make)| (format!("healthy {name}"), make()));
    let examples =
        catalog::checks().map(|check| (format!("example of {}", check.id()), (check.example)()));
    healthy
        .chain(examples)
        .chain([
            ("blocked Network Load Balancer".into(), behind_network_balancer()),
            ("endpoint that was passed by".into(), past_its_endpoint()),
            ("express service asked by URL".into(), asked_by_url(baseline::express())),
            ("deleted service whose role is there".into(), deleted(baseline::fargate())),
            ("deleted express service".into(), deleted(baseline::express())),
            ("service scaled by a queue".into(), scaled_by_a_queue()),
            ("service with a policy for its other half".into(), scaled_by_another_group()),
            ("worker whose cache does not answer".into(), without_its_cache()),
        ])
        .chain(
            [
                ("Target.Timeout", "Request timed out"),
                ("Target.FailedHealthChecks", "Health checks failed"),
                (
                    "Target.NotInUse",
                    "Target is in an Availability Zone that is not enabled for the load balancer",
                ),
            ]
            .map(|(reason, words)| {
                (format!("{words} behind a rule alone"), behind_a_rule_alone(reason, words))
            }),
        )
        .collect()
}

/// Tasks that do not admit their network load balancer, which says only that health checks fail.
fn behind_network_balancer() -> Snapshot {
    let blocked =
        catalog::find("task_security_group_blocks_balancer").expect("a check of the catalog");
    let (mut snapshot, group) = ((blocked.example)(), baseline::id::group("api"));
    snapshot.target_groups.change(&group).expect("its target group").protocol = Some("TCP".into());
    for target in snapshot.target_health.change(&group).expect("its targets") {
        (target.reason, target.description) =
            (Some("Target.FailedHealthChecks".into()), Some("Health checks failed".into()));
    }
    snapshot
}

/// Tasks that could not reach a public address, though the VPC has an endpoint with a private name
/// for what they asked.
fn past_its_endpoint() -> Snapshot {
    let no_route = catalog::find("no_route_out").expect("a check of the catalog");
    let mut snapshot = (no_route.example)();
    snapshot.endpoints.put("vpc-1", vec![baseline::endpoint("ecr.api")]);
    snapshot
}

/// A service that has drained for longer than it should, with a role that may do what it has to.
fn deleted(mut snapshot: Snapshot) -> Snapshot {
    let service = &mut snapshot.services[0];
    service.status = "DRAINING".into();
    (service.desired_count, service.running_count) = (0, 1);
    service.role_arn = Some(format!("arn:aws:iam::{}:role/api-lb", baseline::ACCOUNT));
    service.deployments[0].updated_at = Some(baseline::minutes_ago(95));
    let group = service.load_balancers.iter().find_map(|one| one.target_group_arn.clone());
    baseline::access::trust(&mut snapshot, "api-lb", &["ecs.amazonaws.com"]);
    let action = "elasticloadbalancing:DeregisterTargets";
    let group = group.expect("its target group");
    baseline::access::simulate(&mut snapshot, "api-lb", action, &group, "allowed");
    snapshot
}

/// An overloaded service that is scaled by a metric of the user's own, of which nothing is measured.
fn scaled_by_a_queue() -> Snapshot {
    let blind = catalog::find("scaling_metric_blind").expect("a check of the catalog");
    let mut snapshot = (blind.example)();
    let arn = snapshot.services[0].service_arn.clone();
    for policy in snapshot.scaling_policies.change(&arn).expect("its policies") {
        (policy.predefined_metric_type, policy.resource_label) = (None, None);
        policy.alarm_names = vec!["queue-high".into()];
    }
    let alarm = Alarm {
        alarm_name: "queue-high".into(),
        state_value: "INSUFFICIENT_DATA".into(),
        state_updated_timestamp: Some(baseline::minutes_ago(300)),
        ..Alarm::default()
    };
    snapshot.alarms.put("queue-high", alarm);
    snapshot
}

/// The same with a policy that counts the requests to another group, and CPU to spare.
fn scaled_by_another_group() -> Snapshot {
    let blind = catalog::find("scaling_metric_blind").expect("a check of the catalog");
    let mut snapshot = (blind.example)();
    snapshot.metrics = baseline::fargate().metrics;
    snapshot
}

/// A connection to a cache failed, and another one to a serverless cache.
fn without_its_cache() -> Snapshot {
    let mut snapshot = baseline::worker();
    let serverless = "pages-abc123.serverless.euw2.cache.amazonaws.com";
    baseline::peers::cache_in_trouble(&mut snapshot, "connect ETIMEDOUT 10.0.21.9:6379");
    baseline::peers::log(&mut snapshot, &format!("getaddrinfo ENOTFOUND {serverless}"));
    snapshot.serverless_caches.put("pages", ServerlessCache::default());
    snapshot
}

fn asked_by_url(snapshot: Snapshot) -> Snapshot {
    Snapshot { url: Some("https://nobody.example.com:8443/".into()), ..snapshot }
}

/// A second group that names no load balancer, though a rule forwards to it; and its health checks
/// fail.
fn behind_a_rule_alone(reason: &str, description: &str) -> Snapshot {
    let (mut snapshot, group) =
        (baseline::request_path::second_group("admin"), baseline::id::group("admin"));
    let protocol = if reason == "Target.FailedHealthChecks" { "TCP" } else { "HTTP" };
    snapshot.target_groups.change(&group).expect("the group").protocol = Some(protocol.into());
    *snapshot.target_health.change(&group).expect("its targets") =
        vec![baseline::unhealthy("10.0.1.21", 8080, reason, description)];
    snapshot
}

#[test]
fn finds_its_own_example() {
    for check in catalog::checks() {
        let exam = exam_of(check, &(check.example)(), &[]);
        assert_eq!(exam.outcome, Outcome::Sick, "{check:?} on its own example: {exam:?}");
    }
}

#[test]
fn is_silent_on_every_healthy_service() {
    for (name, make) in baseline::ALL {
        let snapshot = make();
        for check in catalog::checks() {
            let exam = exam_of(check, &snapshot, &[]);
            assert!(
                matches!(exam.outcome, Outcome::Healthy | Outcome::NotApplicable(_)),
                "{check:?} on the healthy {name} service: {:?} {:#?} {:?}",
                exam.outcome,
                exam.findings,
                exam.missed
            );
        }
    }
}

#[test]
fn is_never_healthy_when_blind() {
    for check in catalog::checks() {
        let snapshot = (check.example)();
        for call in check.reads.iter().copied().filter(|call| *call != Call::DescribeServices) {
            let exam = exam_of(check, &snapshot, &[call]);
            assert_ne!(exam.outcome, Outcome::Crashed, "{check:?} without {}", call.action());
            let read = exam.read.contains(&call);
            if read {
                assert!(
                    matches!(exam.outcome, Outcome::Sick | Outcome::CouldNotLook),
                    "{check:?} without {}: {:?}",
                    call.action(),
                    exam.outcome
                );
            }
            if read && exam.outcome == Outcome::CouldNotLook {
                assert!(
                    exam.missed.iter().any(|blind| blind.call == call),
                    "{check:?} does not name {}",
                    call.action()
                );
            }
        }
        let all: Vec<Call> =
            check.reads.iter().copied().filter(|call| *call != Call::DescribeServices).collect();
        if !all.is_empty() {
            let outcome = exam_of(check, &snapshot, &all).outcome;
            assert!(
                matches!(outcome, Outcome::Sick | Outcome::CouldNotLook),
                "{check:?} without any of its calls: {outcome:?}"
            );
        }
    }
}

#[test]
fn hiding_data_never_invents_a_finding() {
    let subjects = |exam: &Exam| {
        exam.findings.iter().map(|finding| finding.about.clone()).collect::<BTreeSet<_>>()
    };
    for (name, snapshot) in snapshots() {
        for check in catalog::checks() {
            let seen = subjects(&exam_of(check, &snapshot, &[]));
            let single = check.reads.iter().map(|call| vec![*call]);
            // Any two at once only where most is to be seen: of all examples that would take
            // minutes.
            let own = name.starts_with("healthy") || name.ends_with(&format!(" {}", check.id()));
            let pairs = check
                .reads
                .iter()
                .filter(|_| own)
                .flat_map(|a| check.reads.iter().map(|b| vec![*a, *b]));
            for forbidden in single.chain(pairs) {
                let blind = subjects(&exam_of(check, &snapshot, &forbidden));
                assert!(
                    blind.is_subset(&seen),
                    "{check:?} on the {name} invents {:?} without {forbidden:?}",
                    blind.difference(&seen)
                );
            }
        }
    }
}

#[test]
fn reads_exactly_the_calls_it_declares() {
    let snapshots = snapshots();
    let mut wrong = Vec::new();
    for check in catalog::checks() {
        let mut read = BTreeSet::new();
        for (_, snapshot) in &snapshots {
            read.extend(exam_of(check, snapshot, &[]).read);
        }
        let declared: BTreeSet<Call> = check.reads.iter().copied().collect();
        let [undeclared, unread] = [&read - &declared, &declared - &read];
        if !undeclared.is_empty() || !unread.is_empty() {
            wrong.push(format!("{check:?} reads {undeclared:?} too, and never {unread:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn evidence_is_in_the_snapshot() {
    for check in catalog::checks() {
        let snapshot = (check.example)();
        let json = serde_json::to_value(&snapshot).unwrap();
        for finding in exam_of(check, &snapshot, &[]).findings {
            assert!(!finding.evidence.is_empty(), "{check:?} has no evidence");
            for evidence in finding.evidence {
                assert!(
                    check.reads.contains(&evidence.call),
                    "{check:?} quotes {} and does not declare it",
                    evidence.call.action()
                );
                let mut around = Vec::new();
                subtrees(&json, &evidence.of.to_string(), &mut around);
                assert!(
                    !around.is_empty(),
                    "{check:?}: nothing in the snapshot is called {}",
                    evidence.of
                );
                let field = snake(evidence.field);
                assert!(
                    around.iter().any(|tree| has(tree, &field, &evidence.value)
                        || has(tree, evidence.field, &evidence.value)),
                    "{check:?}: no {field} with the value {:?} at {}",
                    evidence.value,
                    evidence.of
                );
            }
        }
    }
}

/// Every part of a document that is about `of`: the value of that key, or an object with a member
/// of that value.
fn subtrees<'a>(json: &'a Value, of: &str, found: &mut Vec<&'a Value>) {
    match json {
        Value::Object(members) => {
            if members.values().any(|value| value.as_str() == Some(of)) {
                found.push(json);
            }
            for (key, value) in members {
                if key == of || key.ends_with(&format!(" of {of}")) {
                    found.push(value);
                }
                subtrees(value, of, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| subtrees(item, of, found)),
        _ => {}
    }
}

/// Whether a value stands at a member of this name. Lists that are empty, and the values of a
/// table, have no name; what AWS has not is null, and as the answer to a question an empty list; a
/// value of a metric stands beside its minute.
fn has(json: &Value, field: &str, value: &str) -> bool {
    let is_number = |number: &serde_json::Number| {
        number.to_string() == value
            || number.as_f64().is_some_and(|number| value.parse() == Ok(number))
    };
    let is = |candidate: &Value| match candidate {
        // Of an event of a log that has several lines, one may be quoted.
        Value::String(text) => {
            text == value || (field == "message" && text.lines().any(|line| line.trim() == value))
        }
        Value::Number(number) => is_number(number),
        Value::Bool(truth) => truth.to_string() == value,
        Value::Null => value == "null",
        Value::Array(items) => match items.as_slice() {
            [] => value == "[]",
            [Value::String(_), Value::Number(number)] => is_number(number),
            _ => false,
        },
        _ => false,
    };
    match json {
        Value::Object(members) => members.iter().any(|(name, member)| {
            // Attributes of Elastic Load Balancing have dots in their names.
            let is_attribute = name.rsplit_once('.').is_some_and(|(_, last)| last == field);
            let named = name == field || is_attribute || (name == "type" && field == "kind");
            // A value of a metric stands in a pair with its minute.
            let in_pair = |item: &Value| item.as_array().is_some_and(|pair| pair.iter().any(is));
            let listed = named && matches!(member, Value::Array(items) if items.iter().any(|item| is(item) || in_pair(item)));
            // The values of a table of lists have no name of their own, like the entries of a
            // prefix list.
            let in_table = name == "yes" && field == "cidr" && matches!(member, Value::Array(items) if items.iter().any(is));
            (named && is(member))
                || listed
                || in_table
                || (value == "[]" && name == "yes" && (is(member) || member.is_null()))
                || has(member, field, value)
        }),
        Value::Array(items) => items.iter().any(|item| has(item, field, value)),
        _ => false,
    }
}

/// The last part of a field, as the snapshot spells it: `TargetHealth.Description` → `description`.
fn snake(field: &str) -> String {
    let last = field.rsplit('.').next().unwrap();
    let mut out = String::new();
    let mut before = '_';
    let mut chars = last.chars().peekable();
    while let Some(c) = chars.next() {
        // `DBInstanceStatus`: the last capital of a run begins the next word.
        let begins = !before.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && begins && before != '_' {
            out.push('_');
        }
        out.extend(c.to_lowercase());
        before = c;
    }
    out
}

/// A row of the contract: an id that users, scripts and tests rely on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'a> {
    id: &'a str,
    group: &'a str,
    role: &'a str,
    /// The id is reserved, and no check has it yet.
    planned: bool,
}

fn contract() -> Vec<Row<'static>> {
    let rows = include_str!("contract.txt").lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [group, id, role] => Row { id, group, role, planned: false },
        [group, id, role, "planned"] => Row { id, group, role, planned: true },
        _ => panic!("not a row of the contract: {line:?}"),
    })
    .collect()
}

#[test]
fn a_group_lists_exactly_the_files_of_its_folder() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog");
    for group in catalog::GROUPS {
        let listed: Vec<String> = group.checks.iter().map(|check| check.id().to_owned()).collect();
        let files: BTreeSet<String> = std::fs::read_dir(catalog.join(group.name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // What the checks of a group share is no check.
            .filter(|name| name != "common" && name != "common.rs")
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), files, "left: the list");
        assert_eq!(listed.len(), files.len(), "{} lists a check twice", group.name);
        assert!(group.checks.iter().all(|check| check.group() == group.name), "{}", group.name);
    }
}

#[test]
fn no_id_of_the_contract_is_renamed_or_dropped_and_every_check_has_one() {
    let mut ids = BTreeSet::new();
    for row in contract() {
        assert!(ids.insert(row.id), "{} is in contract.txt twice", row.id);
        match catalog::find(row.id) {
            Some(check) => {
                assert!(!row.planned, "{check:?} is there: take \"planned\" off its row");
                let role = check.role.to_string();
                let there = (check.group(), role.as_str());
                assert_eq!(there, (row.group, row.role), "{check:?} against contract.txt");
            }
            None => assert!(row.planned, "{} was renamed or dropped: no check has it", row.id),
        }
    }
    for check in catalog::checks() {
        let row = format!("{} {} {}", check.group(), check.id(), check.role);
        assert!(ids.contains(check.id()), "contract.txt needs the row {row:?}");
    }
}

/// The contract is written in a folder beside this repository, which a public clone has not: then
/// the test says so, past the capture of its output, and the law above has the last word.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read a file")]
fn the_copy_of_the_contract_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/checks.md");
    let Ok(shared) = std::fs::read_to_string(path) else {
        let note = "note: contract.txt was not compared: there is no ../shared/checks.md here";
        writeln!(std::io::stderr(), "{note}").unwrap();
        return;
    };
    let mut group = "";
    let mut rows = BTreeSet::new();
    for line in shared.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            group = heading.split(':').next().unwrap();
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.split(" | ").collect();
            rows.insert((cells[0].trim_matches(['|', ' ', '`']), group, cells[2]));
        }
    }
    let copy: BTreeSet<_> =
        contract().into_iter().map(|row| (row.id, row.group, row.role)).collect();
    // Ids may be added here before the contract has them; none is renamed or dropped.
    let lost: Vec<_> = rows.difference(&copy).collect();
    assert!(lost.is_empty(), "rows of the contract that contract.txt has not: {lost:?}");
}

#[test]
fn every_symptom_is_shown_and_explained() {
    for symptom in Symptom::ALL {
        assert!(
            catalog::checks().any(|check| check.shows == Some(*symptom)),
            "nothing shows {symptom:?}"
        );
        assert!(
            catalog::checks().any(|check| check.explains.contains(symptom)),
            "nothing explains {symptom:?}"
        );
    }
    for check in catalog::checks() {
        assert!(
            check.role != Role::Note || (check.shows.is_none() && check.explains.is_empty()),
            "{check:?} is a note and has a place in the map"
        );
        assert!(
            check.role != Role::Symptom || check.shows.is_some(),
            "{check:?} is a symptom and shows none"
        );
    }
}

#[test]
fn explanations_have_their_sections() {
    for check in catalog::checks() {
        let text = check.explanation;
        let mut at = 0;
        for section in ["# Why it matters", "# How we tell", "# What to do", "# See also"] {
            let found = text
                .find(section)
                .unwrap_or_else(|| panic!("{check:?} has no section {section:?}"));
            assert!(
                found > at,
                "{check:?}: {section:?} is out of order, or nothing stands before it"
            );
            at = found;
        }
        let what_to_do = text.split("# What to do").nth(1).unwrap();
        assert!(what_to_do.contains("```sh"), "{check:?}: what to do has no command");
        assert!(
            what_to_do.contains("Terraform/OpenTofu"),
            "{check:?}: what to do has no Terraform/OpenTofu"
        );
        assert!(
            check.title.len() <= 72 && !check.title.ends_with('.'),
            "{check:?}: a title is one short line without a full stop"
        );
    }
}

/// A check that is only shown its own trouble may well see it everywhere.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read a file")]
fn every_check_is_shown_a_look_alike() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog");
    for check in catalog::checks() {
        let file = catalog.join(check.group()).join(format!("{}.rs", check.id()));
        let source = std::fs::read_to_string(file).unwrap();
        let tests = source.split("#[cfg(test)]\nmod tests").nth(1).unwrap_or_default();
        let silent =
            ["is_empty()", "Outcome::Healthy", "Outcome::NotApplicable", "is_none", ".alone"];
        assert!(
            tests.contains("#[test]") && silent.iter().any(|word| tests.contains(word)),
            "{check:?} has no test in which it says nothing of a look-alike"
        );
    }
}

#[test]
fn findings_tell_what_to_do() {
    for check in catalog::checks() {
        for finding in exam_of(check, &(check.example)(), &[]).findings {
            let says = &finding.says();
            assert!(says.ends_with('.') && !says.contains('\n'), "{check:?} says {says:?}");
            assert!(follows_a_colon(&finding), "{check:?} claims {:?}", finding.claim);
            assert!(!finding.remedy.summary.is_empty(), "{check:?} has no remedy");
            if check.role == Role::Cause {
                assert!(
                    !finding.remedy.commands.is_empty(),
                    "{check:?} is a cause and has no command"
                );
            }
            for command in finding.remedy.shell() {
                assert!(command.starts_with("aws "), "{check:?}: {command}");
            }
        }
    }
}

/// What the user copies has to be of the partition that the service is in.
#[test]
fn every_arn_that_is_told_is_of_the_partition_of_the_service() {
    for check in catalog::checks() {
        let json = serde_json::to_string(&(check.example)()).unwrap();
        let in_china = serde_json::from_str(&json.replace("arn:aws:", "arn:aws-cn:")).unwrap();
        for finding in exam_of(check, &in_china, &[]).findings {
            let remedy = &finding.remedy;
            let terraform = remedy.terraform.as_ref().map(|code| code.as_str());
            let told = [remedy.shell().join("\n"), finding.says(), remedy.summary.clone()];
            for text in told.iter().map(String::as_str).chain(terraform) {
                assert!(!text.contains("arn:aws:"), "{check:?} tells of another partition: {text}");
            }
        }
    }
}

/// Whether a claim reads well after "Clients get 503:": it begins small, unless with a name or an
/// acronym, and is no sentence yet.
fn follows_a_colon(finding: &Finding) -> bool {
    let word = finding.claim.split([' ', '\'']).next().unwrap_or_default();
    let small = word.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit() || c == '"');
    let acronym = word.chars().filter(|c| c.is_uppercase()).count() > 1;
    let product = ["Fargate", "Express", "Docker", "Auto", "Amazon", "Cloud", "Service", "Spot"]
        .contains(&word);
    (finding.names || small || acronym || product) && !finding.claim.ends_with('.')
}

#[test]
fn same_input_gives_same_output() {
    let intent = baseline::intent();
    for (name, snapshot) in snapshots() {
        let tell =
            || format!("{:?}", diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent)));
        assert_eq!(tell(), tell(), "{name}");
    }
}
