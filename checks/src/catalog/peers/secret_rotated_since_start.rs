//! Tasks run with the previous value of a secret of Secrets Manager, and what they log in to
//! refuses it. Without a log line that shows it nothing is claimed: an app may read its secret
//! itself, and a database may accept the previous password for a while.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::login::{self, Injected, Refused};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Secret, Task};
use crate::text::{and_list, count, plural, shortened};
use crate::{aws, hcl, words};

crate::check! {
    /// A secret was rotated or changed after the tasks that use it started, and their logins with
    /// the old password are now refused.
    ///
    /// # Why it matters
    ///
    /// ECS injects a secret into a container when its task starts, and never again. Open
    /// connections keep working; each new one is refused, so the app fails bit by bit, hours after
    /// anybody touched anything, and a new task would work.
    ///
    /// # How we tell
    ///
    /// A container's log of the last hour says that a password is refused (Postgres, MySQL, Redis
    /// or MongoDB). A variable of that container gets its value from a secret of Secrets Manager,
    /// and the secret's `LastRotatedDate`, or else its `LastChangedDate`, lies between the start of
    /// the task and the first such line; and a running task started before it. `LastChangedDate`
    /// also changes with a description or a tag, so that is reported as less certain. Logs do not
    /// show which of several passwords was refused: all of it is "likely". A rotation before the
    /// start, one after the first refused login, a `valueFrom` that names a version of its own, a
    /// parameter of Parameter Store, and a secret that the app reads itself are left out. The value
    /// of a secret is never read.
    ///
    /// # What to do
    ///
    /// New tasks get the new value:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `force_new_deployment` with `triggers` in `aws_ecs_service`. For the
    /// next rotation: force a deployment from an EventBridge rule on `RotationSucceeded`, or have
    /// the app read the secret again when a login is refused.
    ///
    /// # See also
    ///
    /// `exits_with_error`, `secret_denied`, `database_not_available`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>
    title: "A secret was rotated after the tasks that use it started",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, AppAnswers5xx],
    reads: [DescribeServices, DescribeTasks, DescribeTaskDefinition, GetLogEvents, DescribeSecret],
    example: on fargate, |snapshot| {
        use crate::baseline::peers::{log, rotate};
        use crate::baseline::{id, minutes_ago};
        use crate::snapshot::metric::Metric;
        rotate(snapshot, 23);
        log(snapshot, "FATAL:  password authentication failed for user \"orders\"");
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 20 { 84.0 } else { 1.0 })).collect();
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), crate::snapshot::Series { values });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !login::is_any_injected(patient)? {
        return Err(NoAnswer::NotApplicable(
            "no variable has its value from a secret of Secrets Manager",
        ));
    }
    let mut late: BTreeMap<&str, Late> = BTreeMap::new();
    for refused in login::refused(patient, findings) {
        let (task, container) = (refused.stream.task, refused.stream.container);
        let injected = login::injected(patient, &task.task_definition_arn, container);
        for injected in findings.see(injected).unwrap_or_default() {
            let Some(secret) = findings.see(patient.secret(injected.secret)).flatten() else {
                continue;
            };
            if let Some(moved) = Moved::between(secret, task.started_at, refused.since) {
                let known = late.entry(injected.secret);
                let known = known.or_insert_with(|| Late {
                    secret,
                    moved,
                    refused: refused.clone(),
                    variables: BTreeSet::new(),
                });
                known.variables.insert(injected);
            }
        }
    }
    for late in late.into_values() {
        let holders = late.holders(patient)?;
        if !holders.is_empty() {
            findings.add(finding(patient, &late, &holders));
        }
    }
    Ok(())
}

/// How and when a secret changed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moved {
    Rotated(Timestamp),
    Changed(Timestamp),
}

impl Moved {
    /// The change that lies between the start of a task and the first login that it was refused. A
    /// secret that was deleted changed for that.
    fn between(secret: &Secret, start: Option<Timestamp>, since: Timestamp) -> Option<Moved> {
        let start = start?;
        let fits = |at: &Timestamp| start < *at && *at <= since;
        let changed = secret.last_changed_date.filter(|_| secret.deleted_date.is_none());
        let rotated = secret.last_rotated_date.filter(fits).map(Moved::Rotated);
        rotated.or(changed.filter(fits).map(Moved::Changed))
    }

    fn at(self) -> Timestamp {
        match self {
            Moved::Rotated(at) | Moved::Changed(at) => at,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Moved::Rotated(_) => "rotated",
            Moved::Changed(_) => "changed",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Moved::Rotated(_) => "LastRotatedDate",
            Moved::Changed(_) => "LastChangedDate",
        }
    }
}

/// A secret that came too late for a container whose login is refused.
struct Late<'a> {
    secret: &'a Secret,
    moved: Moved,
    refused: Refused<'a>,
    variables: BTreeSet<Injected<'a>>,
}

impl<'a> Late<'a> {
    /// The running tasks that still have the previous value.
    fn holders(&self, patient: &Patient<'a>) -> Result<Vec<&'a Task>, Blind> {
        let container = self.refused.stream.container;
        let mut holders = Vec::new();
        for task in patient.running_tasks()? {
            let is_older = task.started_at.is_some_and(|start| start < self.moved.at());
            let injected = login::injected(patient, &task.task_definition_arn, container)?;
            if is_older && injected.iter().any(|one| self.variables.contains(one)) {
                holders.push(task);
            }
        }
        Ok(holders)
    }
}

fn finding(patient: &Patient, late: &Late, holders: &[&Task]) -> Finding {
    let Late { secret, moved, refused, variables } = late;
    let arn = variables.first().map_or(secret.arn.as_str(), |one| one.secret);
    let names: BTreeSet<&str> = variables.iter().map(|one| one.variable).collect();
    let claim = format!(
        "{} still {} the previous value of secret {} ({}), which was {} {} ago: likely why {}",
        count(holders.len(), "task"),
        plural(holders.len(), "has", "have"),
        secret.name,
        and_list(names),
        moved.word(),
        time::words(time::age(patient.now(), moved.at())),
        refused.first.words
    );
    let less_certain = match moved {
        Moved::Rotated(_) => "",
        Moved::Changed(_) => {
            "The change may have been to a description or a tag, and not to the value."
        }
    };
    let dated = |call, of: &str, field: &'static str, at: Timestamp| {
        Evidence::new(call, of, field, at).at(Some(at))
    };
    let started = holders.iter().filter_map(|task| {
        Some(dated(Call::DescribeTasks, &task.task_arn, "startedAt", task.started_at?))
    });
    let from = variables.iter().map(|one| {
        let definition = &refused.stream.task.task_definition_arn;
        let field = "containerDefinitions.secrets.valueFrom";
        Evidence::new(Call::DescribeTaskDefinition, definition, field, one.value_from)
    });
    Subject::new(Kind::Secret, arn)
        .sick(claim, dated(Call::DescribeSecret, arn, moved.field(), moved.at()))
        .detail("ECS injects a secret into a container when its task starts, and not again.")
        .detail(less_certain)
        .detail(format!(
            "Container {} logs since {}: \"{}\".",
            refused.stream.container,
            time::clock(refused.since),
            shortened(refused.first.quote, 160)
        ))
        .since(Some(moved.at()))
        .because_all(started)
        .because_all(from)
        .because(refused.evidence())
        .concerns_all(Kind::TaskDefinition, holders.iter().map(|task| &task.task_definition_arn))
        .mend(remedy(patient, late, arn))
}

fn remedy(patient: &Patient, late: &Late, arn: &str) -> Remedy {
    let redeploy = patient.update_service().and(words!("--force-new-deployment"));
    let code = hcl!(
        r#"
        resource "aws_ecs_service" {} {
          force_new_deployment = true
          triggers = {
            secret_changed = {}
          }
        }"#,
        patient.name(),
        late.moved.at().to_string()
    );
    let new_tasks = "Force a new deployment: new tasks get the new value.";
    let remedy = match late.secret.deleted_date {
        None => Remedy::new(new_tasks),
        Some(_) => Remedy::new(format!(
            "The secret was deleted since, and no task can start without it: restore it first. {new_tasks}"
        ))
        .cli(aws!("secretsmanager restore-secret --secret-id {}", arn)),
    };
    let remedy = remedy.cli(redeploy);
    if patient.is_express() { remedy } else { remedy.terraform(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{log, rotate};
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    const REFUSED: &str = "ERROR 1045 (28000): Access denied for user 'app'@'10.0.11.37'";

    /// A secret that was rotated 23 minutes ago, and a login that was refused two minutes ago.
    fn late(mut snapshot: Snapshot) -> Snapshot {
        rotate(&mut snapshot, 23);
        log(&mut snapshot, REFUSED);
        snapshot
    }

    fn secret<'s>(snapshot: &'s mut Snapshot, name: &str) -> &'s mut Secret {
        snapshot.secrets.change(&id::secret(name)).unwrap()
    }

    fn each_running(snapshot: &mut Snapshot, change: impl Fn(&mut Task)) {
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&arn).unwrap().iter_mut().for_each(change);
    }

    fn value_from(snapshot: &mut Snapshot, definition: &str, change: impl Fn(&mut String)) {
        let definition =
            snapshot.task_definitions.change(&id::ecs(&format!("task-definition/{definition}")));
        let containers = &mut definition.unwrap().container_definitions;
        containers[0].injected_secrets.iter_mut().for_each(|one| change(&mut one.value_from));
    }

    #[test]
    fn names_the_tasks_the_secret_the_variable_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "2 tasks still have the previous value of secret api-db (DATABASE_PASSWORD), which was rotated 23 min ago: likely why Postgres \
              rejects the password of user orders. ECS injects a secret into a container when its task starts, and not again. Container app logs since \
              02:58 UTC: \"FATAL:  password authentication failed for user \"orders\"\"."
            ]
        );
    }

    #[test]
    fn a_service_behind_a_balancer_is_told_alike() {
        let said = says(CHECK, &late(baseline::ec2()));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("likely why MySQL rejects user app"), "{said:?}");
    }

    #[test]
    fn new_tasks_are_the_remedy_in_the_shell_and_in_code() {
        let exam = exam(CHECK, &late(baseline::worker()));
        let remedy = &exam.findings[0].remedy;
        assert_eq!(
            remedy.shell(),
            ["aws ecs update-service --cluster prod --service mailer --force-new-deployment"]
        );
        let code = remedy.terraform.as_ref().unwrap().as_str();
        assert!(code.contains(&format!("secret_changed = \"{}\"", minutes_ago(23))), "{code}");
    }

    #[test]
    fn a_change_that_is_no_rotation_is_less_certain() {
        let mut snapshot = late(baseline::worker());
        let secret = secret(&mut snapshot, "mailer-db");
        secret.last_rotated_date = None;
        let said = says(CHECK, &snapshot);
        assert!(said[0].contains("which was changed 23 min ago"), "{said:?}");
        assert!(said[0].contains("The change may have been to a description or a tag"), "{said:?}");
    }

    #[test]
    fn a_deleted_secret_is_restored_before_tasks_are_started() {
        let mut snapshot = late(baseline::worker());
        secret(&mut snapshot, "mailer-db").deleted_date = Some(minutes_ago(-1440));
        let exam = exam(CHECK, &snapshot);
        let remedy = &exam.findings[0].remedy;
        assert!(
            remedy.shell()[0].starts_with("aws secretsmanager restore-secret"),
            "{:?}",
            remedy.shell()
        );
        secret(&mut snapshot, "mailer-db").last_rotated_date = None;
        assert!(says(CHECK, &snapshot).is_empty(), "what changed was that it was deleted");
    }

    #[test]
    fn without_a_refused_login_a_rotation_is_everyday() {
        let mut snapshot = baseline::worker();
        rotate(&mut snapshot, 23);
        assert!(says(CHECK, &snapshot).is_empty());
        log(&mut snapshot, "ERROR:  permission denied for table orders");
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_rotation_before_the_start_or_after_the_first_refusal_is_not_why() {
        let mut snapshot = late(baseline::worker());
        each_running(&mut snapshot, |task| task.started_at = Some(minutes_ago(22)));
        assert!(says(CHECK, &snapshot).is_empty(), "they got the new value");
        let mut snapshot = baseline::worker();
        log(&mut snapshot, REFUSED);
        rotate(&mut snapshot, 1);
        assert!(says(CHECK, &snapshot).is_empty(), "it was refused before");
    }

    #[test]
    fn once_every_running_task_has_the_new_value_it_is_over() {
        let mut snapshot = late(baseline::worker());
        let arn = snapshot.services[0].service_arn.clone();
        let old = snapshot.running_tasks.change(&arn).unwrap();
        let mut stopped = old.clone();
        old.iter_mut().for_each(|task| {
            task.task_arn.push_str("-new");
            task.started_at = Some(minutes_ago(1));
        });
        for task in &mut stopped {
            task.last_status = "STOPPED".into();
            task.stop_code = Some("EssentialContainerExited".into());
            task.stopped_at = Some(minutes_ago(1));
        }
        snapshot.stopped_tasks.put(&arn, stopped);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_version_of_its_own_is_not_rotated() {
        let mut snapshot = late(baseline::worker());
        value_from(&mut snapshot, "mailer:12", |from| from.push_str(":password:AWSCURRENT:"));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        let mut snapshot = late(baseline::worker());
        value_from(&mut snapshot, "mailer:12", |from| {
            from.push_str(":::9d4cb84b-ad69-40c0-a0ab-cead36b967e8");
        });
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_secret_that_may_not_be_seen_is_not_taken_for_a_quiet_one() {
        let mut snapshot = late(baseline::worker());
        snapshot.secrets.insert(id::secret("mailer-db"), Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings.is_empty());
        assert!(exam.missed.iter().any(|blind| blind.call == Call::DescribeSecret));
    }
}
