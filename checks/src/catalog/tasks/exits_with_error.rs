//! An essential container exits with an error code of its own. It names container, code and count,
//! and quotes the end of the log; exit codes of signals, and clean exits, are for other checks.

use crate::aws::crash;
use crate::aws::exit_code;
use crate::aws::stop_reason::{self, Refused};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::access::refusal;
use crate::facts::deployment::rollout;
use crate::facts::tasks::ending::{self, Ended, Exit};
use crate::facts::tasks::last_word;
use crate::facts::tasks::stop::{self, Failures};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl;
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::snapshot::Task;

crate::check! {
    /// An essential container exits with an error code, which stops its task.
    ///
    /// # Why it matters
    ///
    /// ECS starts the task again, and it exits again. The version never works, and its deployment
    /// fails.
    ///
    /// # How we tell
    ///
    /// A stopped task has `EssentialContainerExited` and an essential container with an exit code
    /// that the app chose itself: not 0, and not 132, 134, 136, 137, 139 or 143, which are those of
    /// signals. It counts if two tasks of the version ended this way within the hour, or the newest
    /// one did, and it is not over. 126 and 127 mean that the command cannot be executed or was not
    /// found; on Windows, -1073741515 means that a DLL is missing. If several essential containers
    /// ended, exit codes and logs decide which was first; where they do not, all are named. The end
    /// of the container's log is searched for a line in which a runtime, a database or a shell says
    /// why it fails; that this is the cause is likely, not certain. Where no such line is known,
    /// the end of the log is quoted.
    ///
    /// # What to do
    ///
    /// Read the log to its end, and fix the app or what it needs: a variable, a secret, a database.
    ///
    /// ```sh
    /// aws logs get-log-events --log-group-name <group> --log-stream-name <prefix>/<container>/<task>
    /// ```
    ///
    /// Terraform/OpenTofu: `environment`, `secrets` and `command` in `container_definitions` of
    /// `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `tasks_keep_stopping`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
    title: "A container exits with an error",
    severity: High,
    role: Cause,
    shows: ContainerExits,
    explains: [TasksKeepStopping],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetLogEvents],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, log_at_last, minutes_ago};
        use crate::snapshot::{Container, ContainerDefinition};
        let arn = snapshot.services[0].service_arn.clone();
        let [definition, revision] = [id::ecs("task-definition/api:13"), id::ecs("service-revision/prod/api/4000000000000000013")];
        let current = snapshot.services[0].current_service_revisions[0].clone();
        if let Some(mut failed) = snapshot.revisions.change(&current).cloned() {
            failed.task_definition = Some(definition.clone());
            failed.service_revision_arn = revision.clone();
            snapshot.revisions.put(&revision, failed);
        }
        if let Some(mut version) = snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).cloned() {
            version.task_definition_arn = definition.clone();
            version.revision = 13;
            let proxy = ContainerDefinition { name: "proxy".into(), essential: true, ..ContainerDefinition::default() };
            version.container_definitions.push(proxy);
            snapshot.task_definitions.put(&definition, version);
        }
        if let Some(deployments) = snapshot.service_deployments.change(&arn) {
            let mut failed = deployments[0].clone();
            failed.service_deployment_arn = id::ecs("service-deployment/prod/api/deployment3");
            failed.status = "ROLLBACK_SUCCESSFUL".into();
            failed.started_at = Some(minutes_ago(30));
            failed.target_service_revision.iter_mut().for_each(|target| target.arn = revision.clone());
            deployments.insert(0, failed);
        }
        let stopped = |n: u8| Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            started_by: Some("ecs-svc/1000000000000000013".into()),
            task_definition_arn: definition.clone(),
            last_status: "STOPPED".into(),
            stop_code: Some("EssentialContainerExited".into()),
            stopped_reason: Some("Essential container in task exited".into()),
            created_at: Some(minutes_ago(i64::from(n) * 4 + 1)),
            stopped_at: Some(minutes_ago(i64::from(n) * 4)),
            containers: ["proxy", "app"].map(|name| Container { name: name.into(), exit_code: Some(1), ..Container::default() }).into(),
            ..Task::default()
        };
        snapshot.stopped_tasks.put(&arn, (3..=5).map(stopped).collect());
        log_at_last(snapshot, &["Error: required environment variable PAYMENTS_URL is not set"]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for failures in stop::failures(patient)? {
        // The task definition says which containers are essential, and so could have ended the
        // task.
        let Some(definition) = findings.see(patient.task_definition(failures.task_definition))
        else {
            continue;
        };
        for (exit, ended) in ending::exits(patient, &failures, definition, exit_code::is_of_the_app)
        {
            tell(patient, findings, &failures, exit, &ended);
        }
    }
    Ok(())
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    failures: &Failures,
    (container, code): Exit,
    ended: &Ended,
) {
    let tasks = &ended.tasks;
    let newest = tasks[0];
    let meaning = exit_code::meaning(code).map_or_else(String::new, |it| format!(" ({it})"));
    let version = rollout::short(failures.task_definition);
    let fate = if failures.is_primary { "" } else { ", which was rolled back," };
    let count = if tasks.len() == 1 {
        "the newest task".to_owned()
    } else {
        format!("{} tasks", tasks.len())
    };
    let logged = last_word::of(patient, findings, container, tasks);
    let claim = format!(
        "container {container} exits with code {code}{meaning}{}: {count} of {version}{fate} ended this way {}",
        logged.because(),
        stop::when(patient.now(), tasks)
    );
    let summary = match &logged.crash {
        Some(crash) => crash.kind.advice(),
        None => exit_code::advice(code)
            .unwrap_or("Read the log to its end, fix the app or what it needs, and deploy again."),
    };
    let see = |call: Call, id: &str| patient.see(call, id);
    let remedy = match &logged.stream {
        Some(stream) => Remedy::new(summary).cli(see(Call::GetLogEvents, stream)),
        None => Remedy::new(summary).cli(see(Call::DescribeTasks, newest.id())),
    };
    let remedy = match &logged.crash {
        Some(crash) if crash.kind == crash::CrashKind::MissingVariable => {
            remedy.terraform(variable(patient.name(), container))
        }
        Some(crash) if crash.kind == crash::CrashKind::AwsDenied => {
            allow(remedy, crash.quote, patient.name())
        }
        _ => remedy,
    };
    let finding = Subject::new(Kind::TaskDefinition, failures.task_definition)
        .sick(
            claim,
            Evidence::new(Call::DescribeTasks, &newest.task_arn, "containers.exitCode", code)
                .at(newest.stopped_at),
        )
        .detail(logged.says())
        .detail(ended.undecided())
        .because(stop::evidence(newest))
        .because_all(logged.evidence)
        .mend(remedy);
    // An exit is not a failed health check of a load balancer: where tasks stop for that, this is
    // not why.
    findings.add(
        finding
            .concerns(Kind::TaskDefinition, failures.task_definition)
            .concerns_no(Kind::TargetGroup),
    );
}

/// The statement that was missing, where IAM says which: it does not override an explicit deny. No
/// statement allows a key or all secrets on `*`.
fn allow(remedy: Remedy, denial: &str, service: &str) -> Remedy {
    let Refused { role: Some(role), action: Some(action), resource: Some(resource) } =
        stop_reason::refused(denial)
    else {
        return remedy;
    };
    let is_secret = action.starts_with("kms:") || action.starts_with("secretsmanager:");
    if denial.contains("explicit deny") || (is_secret && resource == "*") {
        return remedy;
    }
    refusal::allowing(remedy, role, service, action, resource)
}

fn variable(service: &str, container: &str) -> Hcl {
    hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          container_definitions = jsonencode([{
            name        = {}
            environment = [{ name = "NAME", value = "value" }]
          }])
        }"#,
        service,
        container
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::call::LOG_STREAM;
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::finding::Finding;
    use crate::patient::Intent;
    use crate::snapshot::{Container, ContainerDefinition, LogLine, Snapshot};
    use crate::testing::{exam, says};

    fn container(name: &str, code: i32) -> Container {
        Container { name: name.into(), exit_code: Some(code), ..Container::default() }
    }

    fn ended(n: u8, containers: Vec<Container>) -> Task {
        Task {
            task_arn: id::ecs(&format!("task/prod/{}", id::task(n))),
            started_by: Some("ecs-svc/1000000000000000012".into()),
            task_definition_arn: id::ecs("task-definition/api:12"),
            stop_code: Some("EssentialContainerExited".into()),
            stopped_reason: Some("Essential container in task exited".into()),
            stopped_at: Some(minutes_ago(i64::from(n))),
            containers,
            ..Task::default()
        }
    }

    fn with(stopped: Vec<Task>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        for task in &stopped {
            snapshot.logs.put(format!("/ecs/api{LOG_STREAM}ecs/app/{}", task.id()), Vec::new());
        }
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.put(arn, stopped);
        snapshot
    }

    #[test]
    fn names_container_code_count_and_the_last_word() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container app exits with code 1, likely because the variable PAYMENTS_URL is not set: 3 tasks of api:13, which was rolled back, ended this way within 8 min, the last 12 min ago."
            ]
        );
        let finding = &exam(CHECK, &(CHECK.example)()).findings[0];
        assert!(
            finding.remedy.summary.ends_with("it is likely missing."),
            "{}",
            finding.remedy.summary
        );
    }

    #[test]
    fn a_dll_that_is_missing_is_named_where_windows_says_so() {
        let code = -1_073_741_515;
        let finding = &exam(CHECK, &with(vec![ended(1, vec![container("app", code)])])).findings[0];
        assert!(finding.says().starts_with(
            "Container app exits with code -1073741515 (a DLL that it needs is missing): "
        ));
        assert!(finding.remedy.summary.contains("DLL"), "{}", finding.remedy.summary);
    }

    #[test]
    fn where_nobody_knows_who_was_first_all_are_named() {
        let both = || vec![container("proxy", 1), container("app", 1)];
        let said = says(CHECK, &with(vec![ended(1, both()), ended(2, both())]));
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("Container app exits with code 1: 2 tasks")
                && said[0]
                    .contains("Nothing shows whether container proxy (code 1) ended before that"),
            "{said:?}"
        );
    }

    #[test]
    fn codes_of_signals_and_a_clean_exit_are_not_the_apps_errors() {
        for code in [0, 132, 134, 136, 137, 139, 143] {
            let snapshot = with(vec![
                ended(1, vec![container("app", code)]),
                ended(2, vec![container("app", code)]),
            ]);
            assert!(says(CHECK, &snapshot).is_empty(), "{code}");
        }
    }

    #[test]
    fn a_helper_that_is_not_essential_does_not_end_a_task() {
        let both = || vec![container("migrate", 1), container("app", 0)];
        let mut snapshot = with(vec![ended(1, both()), ended(2, both())]);
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        definition
            .container_definitions
            .push(ContainerDefinition { name: "migrate".into(), ..ContainerDefinition::default() });
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.task_definitions.0.clear();
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "without the task definition nobody knows"
        );
    }

    #[test]
    fn running_out_of_memory_is_no_exit_of_its_own() {
        let mut app = container("app", 1);
        app.reason = Some("OutOfMemoryError: Container killed due to memory usage".into());
        assert!(
            says(CHECK, &with(vec![ended(1, vec![app.clone()]), ended(2, vec![app])])).is_empty()
        );
    }

    #[test]
    fn one_exit_counts_only_if_it_is_the_newest_and_not_over() {
        assert_eq!(says(CHECK, &with(vec![ended(3, vec![container("app", 2)])])).len(), 1);
        assert!(says(CHECK, &with(vec![ended(40, vec![container("app", 2)])])).is_empty());
        let other = Task { stop_code: Some("TaskFailedToStart".into()), ..ended(1, Vec::new()) };
        assert!(says(CHECK, &with(vec![other, ended(3, vec![container("app", 2)])])).is_empty());
    }

    #[test]
    fn a_task_that_ecs_stopped_may_exit_as_it_likes() {
        let scaled = |n| Task {
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(
                "Scaling activity initiated by (deployment ecs-svc/1000000000000000012)".into(),
            ),
            ..ended(n, vec![container("app", 1)])
        };
        assert!(says(CHECK, &with(vec![scaled(1), scaled(2)])).is_empty());
    }

    #[test]
    fn a_log_that_may_not_be_read_hides_the_words_and_not_the_exit() {
        let mut snapshot = with(vec![
            ended(1, vec![container("app", 127)]),
            ended(2, vec![container("app", 127)]),
        ]);
        snapshot.logs.0.clear();
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.missed.len(), 1);
        assert_eq!(
            exam.findings[0].says(),
            "Container app exits with code 127 (its command is not there): 2 tasks of api:12 ended this way within 60 s, the last 60 s ago. The end of its log could not be read."
        );
    }

    fn with_log(messages: &[&str]) -> Snapshot {
        let mut snapshot = with(vec![ended(1, vec![container("app", 1)])]);
        let line = |message: &&str| LogLine { message: (*message).into(), ..LogLine::default() };
        snapshot.logs.put(
            format!("/ecs/api{LOG_STREAM}ecs/app/{}", id::task(1)),
            messages.iter().map(line).collect(),
        );
        snapshot
    }

    #[test]
    fn names_what_the_log_says_and_where_to_look() {
        let finding = &exam(
            CHECK,
            &with_log(&[
                "listening",
                "Error: connect ECONNREFUSED 10.0.9.9:5432\n    at Socket",
                "bye",
                "  ",
            ]),
        )
        .findings[0];
        assert_eq!(
            finding.says(),
            "Container app exits with code 1, likely because 10.0.9.9:5432 refuses the connection (the port of Postgres): the newest task of api:12 ended this way 60 s ago."
        );
        let quoted = |finding: &Finding| {
            finding.evidence[2..].iter().map(|evidence| evidence.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(quoted(finding), ["Error: connect ECONNREFUSED 10.0.9.9:5432", "bye"]);
        assert!(finding.remedy.summary.starts_with("Check whether it runs and listens there"));
    }

    #[test]
    fn a_denial_names_the_statement_that_is_missing_unless_somebody_denied_it_on_purpose() {
        let denial = |why: &str| {
            let who = "User: arn:aws:sts::123456789012:assumed-role/api-task/01 is not authorized to perform: sqs:ReceiveMessage";
            let finding = exam(
                CHECK,
                &with_log(&[&format!(
                    "{who} on resource: arn:aws:sqs:eu-west-2:123456789012:mail {why}"
                )]),
            )
            .findings
            .remove(0);
            (
                finding.says().contains("likely because IAM denies it sqs:ReceiveMessage"),
                finding.remedy,
            )
        };
        let (named, remedy) =
            denial("because no identity-based policy allows the sqs:ReceiveMessage action");
        assert!(named);
        assert_eq!(
            remedy.shell()[1],
            "aws iam put-role-policy --role-name api-task --policy-name api --policy-document '{\"Version\":\"2012-10-17\",\"Statement\":\
             [{\"Effect\":\"Allow\",\"Action\":\"sqs:ReceiveMessage\",\"Resource\":\"arn:aws:sqs:eu-west-2:123456789012:mail\"}]}'"
        );
        let (named, remedy) = denial("with an explicit deny in a service control policy");
        assert!(named && remedy.terraform.is_none());
    }

    #[test]
    fn quotes_the_last_word_where_no_signature_is_known_and_keeps_it_short() {
        let long = format!("order 17 failed {}", "x".repeat(300));
        let says = &says(CHECK, &with_log(&["listening", &long, "bye"]))[0];
        assert!(
            says.contains(" Its log says \"order 17 failed xxx") && says.ends_with("x…\"."),
            "{says}"
        );
        assert!(!says.contains("likely"));
    }

    #[test]
    fn the_log_of_another_version_says_nothing_of_this() {
        let mut snapshot = with(vec![ended(1, vec![container("app", 1)])]);
        let old = Task {
            started_by: Some("ecs-svc/1000000000000000011".into()),
            ..ended(2, vec![container("app", 1)])
        };
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().push(old);
        let line =
            LogLine { message: "Error: Cannot find module 'express'".into(), ..LogLine::default() };
        snapshot.logs.put(format!("/ecs/api{LOG_STREAM}ecs/app/{}", id::task(2)), vec![line]);
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Container app exits with code 1: the newest task")
        );
    }

    #[test]
    fn explains_tasks_that_keep_stopping_unless_they_stop_for_the_balancer() {
        let exited =
            || vec![ended(1, vec![container("app", 1)]), ended(2, vec![container("app", 1)])];
        let explains = |snapshot: &Snapshot| {
            let intent = Intent::default();
            let diagnosis = diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent));
            diagnosis
                .roots
                .into_iter()
                .find(|root| root.check.id() == CHECK.id())
                .unwrap()
                .explains
                .len()
        };
        assert_eq!(explains(&with(exited())), 1);
        let unhealthy = |n| Task {
            stop_code: Some("ServiceSchedulerInitiated".into()),
            stopped_reason: Some(format!(
                "Task failed ELB health checks in (target-group {})",
                id::group("api")
            )),
            ..ended(n, Vec::new())
        };
        let mostly_unhealthy = exited().into_iter().chain([3, 4, 5].map(unhealthy)).collect();
        assert_eq!(explains(&with(mostly_unhealthy)), 0);
    }
}
