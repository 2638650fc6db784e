//! Why tasks stopped, grouped by deployment and reason. The reasons in words come before exit
//! codes: 137 alone is not memory, and a task that ECS stopped for a deployment or for scaling is
//! no failure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::aws::{exit_code, time};
use crate::call::Call;
use crate::facts::deployment::rollout;
use crate::facts::deployment::version::{self, State};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::service::TaskSet;
use crate::snapshot::{Container, Task, TaskDefinition};

use crate::facts::deployment::version::Mark;

/// Why a task stopped, as far as its own record tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopKind {
    /// The load balancer's health check of this target group failed, so ECS replaced the task.
    BalancerHealthCheck {
        group: String,
    },
    ContainerHealthCheck,
    /// An essential container exited.
    Exited {
        container: String,
        code: Option<i32>,
    },
    /// It never ran: image, secrets, network, placement.
    FailedToStart,
    /// A deployment or scaling activity of ECS stopped it: normal.
    Scaling,
    /// A person or a script stopped it.
    User,
    Spot,
    Maintenance,
    Other,
}

impl StopKind {
    pub fn of(task: &Task) -> StopKind {
        let reason = task.stopped_reason.as_deref().unwrap_or_default();
        let code = task.stop_code.as_deref().unwrap_or_default();
        if let Some((_, rest)) = reason.split_once("failed ELB health checks in") {
            let group =
                rest.trim_start().trim_start_matches("(target-group ").trim_start_matches('(');
            let end = group.find([')', ' ']).unwrap_or(group.len());
            return StopKind::BalancerHealthCheck { group: group[..end].to_owned() };
        }
        if reason.contains("failed container health checks") {
            return StopKind::ContainerHealthCheck;
        }
        if reason.contains("ECS is performing maintenance") {
            return StopKind::Maintenance;
        }
        if reason.starts_with("Scaling activity initiated by") {
            return StopKind::Scaling;
        }
        match code {
            "EssentialContainerExited" => match culprit(task) {
                Some(container) => StopKind::Exited {
                    container: container.name.clone(),
                    code: container.exit_code,
                },
                None => StopKind::Other,
            },
            "TaskFailedToStart" => StopKind::FailedToStart,
            "UserInitiated" => StopKind::User,
            "SpotInterruption" | "TerminationNotice" => StopKind::Spot,
            "InfrastructureHealth" => StopKind::Maintenance,
            _ => StopKind::Other,
        }
    }

    /// Whether it is a failure of the service, rather than something that ECS, AWS or a person did
    /// on purpose.
    pub fn is_failure(&self) -> bool {
        match self {
            StopKind::BalancerHealthCheck { .. }
            | StopKind::ContainerHealthCheck
            | StopKind::Exited { .. }
            | StopKind::FailedToStart => true,
            StopKind::Scaling
            | StopKind::User
            | StopKind::Spot
            | StopKind::Maintenance
            | StopKind::Other => false,
        }
    }

    /// Whether a deployment, scaling or a user stopped it: nothing to investigate.
    pub fn is_on_purpose(&self) -> bool {
        matches!(self, StopKind::Scaling | StopKind::User)
    }

    /// In a few words: `failed the load balancer's health check`.
    pub fn words(&self) -> String {
        match self {
            StopKind::BalancerHealthCheck { .. } => {
                "failed the load balancer's health check".into()
            }
            StopKind::ContainerHealthCheck => "failed the container's own health check".into(),
            StopKind::Exited { container, code: Some(code) } => {
                format!("container {container} exited with code {code}")
            }
            StopKind::Exited { container, code: None } => format!("container {container} exited"),
            StopKind::FailedToStart => "failed to start".into(),
            StopKind::Scaling => "stopped by a deployment or by scaling".into(),
            StopKind::User => "stopped by a user or a script".into(),
            StopKind::Spot => "Spot capacity was reclaimed".into(),
            StopKind::Maintenance => "replaced by AWS for maintenance".into(),
            StopKind::Other => "stopped for another reason".into(),
        }
    }
}

/// A container that may have ended the task, by the task's record alone: one that failed; one with
/// a clean exit only if none failed. Who it was, `ending` decides.
fn culprit(task: &Task) -> Option<&Container> {
    let failed = |c: &&Container| c.exit_code.is_some_and(|code| code != 0) || c.reason.is_some();
    // A container that was told to stop after another had ended reports SIGTERM or SIGKILL: it is
    // not the first.
    let told =
        |c: &&Container| c.exit_code.is_some_and(exit_code::is_from_outside) && c.reason.is_none();
    let own = || task.containers.iter().filter(|c| !is_added_by_aws(&c.name));
    own()
        .find(|c| failed(c) && !told(c))
        .or_else(|| own().find(|c| c.exit_code == Some(0)))
        .or_else(|| own().find(failed))
}

/// Whether AWS put a container into the task that no task definition has: GuardDuty's agent, which
/// is not essential, whatever becomes of it.
pub fn is_added_by_aws(name: &str) -> bool {
    name.starts_with("aws-guardduty-agent-")
}

/// Whether it is the proxy that Service Connect puts into the task: it has a health check of its
/// own, and ends the task with it.
pub fn is_service_connect_proxy(name: &str) -> bool {
    name.starts_with("ecs-service-connect-")
}

/// Whether a container can end its task. Of a single one that goes without saying.
pub fn can_end(patient: &Patient, task: &Task, name: &str) -> Result<bool, Blind> {
    let own = task.containers.iter().filter(|one| !is_added_by_aws(&one.name)).count();
    if own < 2 || is_added_by_aws(name) {
        return Ok(!is_added_by_aws(name));
    }
    Ok(is_essential(patient.task_definition(&task.task_definition_arn)?, name))
}

/// Tasks of one deployment that stopped for one reason, newest first.
#[derive(Debug)]
pub struct StopGroup<'a> {
    pub kind: StopKind,
    /// The id of the deployment that started them.
    pub started_by: Option<&'a str>,
    pub task_definition: &'a str,
    pub tasks: Vec<&'a Task>,
}

impl<'a> StopGroup<'a> {
    pub fn newest(&self) -> Option<&'a Task> {
        self.tasks.first().copied()
    }

    pub fn last_stop(&self) -> Option<Timestamp> {
        self.tasks.iter().filter_map(|task| task.stopped_at).max()
    }

    /// The newest task's reason, as evidence.
    pub fn evidence(&self) -> Option<Evidence> {
        let task = self.newest()?;
        let reason = task.stopped_reason.as_deref()?;
        Some(
            Evidence::new(Call::DescribeTasks, &task.task_arn, "stoppedReason", reason)
                .at(task.stopped_at),
        )
    }

    pub fn is_of(&self, revision: &[Mark]) -> bool {
        revision.iter().any(|version| version.started(self.started_by, self.task_definition))
    }
}

/// Every version that the service has now: the primary deployment, and those that still run beside
/// it; where another controller deploys, all task sets.
pub fn current_versions(patient: &Patient) -> Vec<Mark> {
    marks(version::current(patient))
}

/// The version that ECS is bringing up, or has brought up last; where another controller deploys,
/// the task set that serves and the one that is to replace it.
pub fn primary_version(patient: &Patient) -> Vec<Mark> {
    marks(version::primary(patient))
}

/// The versions whose stopped tasks tell of today's trouble: the one that ECS is bringing up or has
/// brought up last, and, if the newest deployment was rolled back, the one that it failed to bring
/// up.
pub fn failing_versions(patient: &Patient) -> Result<Vec<Mark>, Blind> {
    Ok(marks(version::troubled(patient)?))
}

fn marks(versions: Vec<version::Version>) -> Vec<Mark> {
    versions.into_iter().flat_map(|version| version.marks).collect()
}

/// Stopped tasks by deployment and reason, the largest group first.
pub fn groups<'a>(patient: &Patient<'a>) -> Result<Vec<StopGroup<'a>>, Blind> {
    let mut groups: BTreeMap<(Option<&str>, &str, StopKind), Vec<&'a Task>> = BTreeMap::new();
    for task in patient.stopped_tasks()? {
        let key =
            (task.started_by.as_deref(), task.task_definition_arn.as_str(), StopKind::of(task));
        groups.entry(key).or_default().push(task);
    }
    let mut groups: Vec<StopGroup> = groups
        .into_iter()
        .map(|((started_by, task_definition, kind), tasks)| StopGroup {
            kind,
            started_by,
            task_definition,
            tasks,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.tasks.len()));
    Ok(groups)
}

/// Tasks of one version that stopped for a failure, newest first: within the last hour, or, of a
/// version that ECS rolled back, ever.
#[derive(Debug)]
pub struct Failures<'a> {
    pub task_definition: &'a str,
    pub version: version::Version<'a>,
    /// Whether ECS still deploys this version; if not, it was rolled back.
    pub is_primary: bool,
    pub tasks: Vec<&'a Task>,
}

/// Failures of the versions that tell of today's trouble, without what is over.
pub fn failures<'a>(patient: &Patient<'a>) -> Result<Vec<Failures<'a>>, Blind> {
    let hour_ago = time::before(patient.now(), SignedDuration::from_hours(1));
    let versions = version::troubled(patient)?;
    let mut failures: Vec<Failures> = Vec::new();
    for task in patient.stopped_tasks()?.iter().filter(|task| StopKind::of(task).is_failure()) {
        let Some(version) = versions.iter().find(|version| version.has(task)) else { continue };
        let recent = task.stopped_at.is_some_and(|at| at >= hour_ago);
        if version.state == State::Current && !recent {
            continue;
        }
        let definition = task.task_definition_arn.as_str();
        match failures.iter_mut().find(|known| {
            known.task_definition == definition && known.version.state == version.state
        }) {
            Some(known) => known.tasks.push(task),
            None => failures.push(Failures {
                task_definition: definition,
                version: version.clone(),
                is_primary: !version.is_past(),
                tasks: vec![task],
            }),
        }
    }
    failures.sort_by_key(|failures| (failures.task_definition, failures.is_primary));
    let finished = succeeded(patient)?;
    // Of a version that was rolled back nothing is over until a later one succeeds.
    let has_passed = |failures: &Failures| {
        failures.version.state == State::Current
            && (finished.is_some_and(|at| is_over(patient, &failures.tasks, at))
                || has_ceased(patient, &failures.tasks))
    };
    failures.retain(|failures| !has_passed(failures));
    Ok(failures)
}

/// When the newest deployment succeeded.
fn succeeded(patient: &Patient) -> Result<Option<Timestamp>, Blind> {
    let newest = rollout::newest(patient)?;
    Ok(newest
        .filter(|deployment| deployment.status == "SUCCESSFUL")
        .and_then(|deployment| deployment.finished_at))
}

/// Whether a deployment succeeded after all of these stops, and all that are desired still run:
/// then they belonged to its start.
fn is_over(patient: &Patient, stops: &[&Task], succeeded: Timestamp) -> bool {
    let service = patient.service();
    service.running_count >= service.desired_count
        && stops.iter().all(|task| task.stopped_at.is_some_and(|at| at < succeeded))
}

/// The task definition says which containers are essential, and so can end the task; without it all
/// are, as by default. What AWS adds is in none.
pub fn is_essential(definition: Option<&TaskDefinition>, name: &str) -> bool {
    if is_added_by_aws(name) {
        return false;
    }
    let mut containers =
        definition.into_iter().flat_map(|definition| &definition.container_definitions);
    containers.find(|container| container.name == name).is_none_or(|container| container.essential)
}

/// Whether tasks no longer stop: all that are desired run, and the last stop was longer ago than
/// ten minutes and three times the usual time between two stops.
fn has_ceased(patient: &Patient, stops: &[&Task]) -> bool {
    let service = patient.service();
    let times: Vec<Timestamp> = stops.iter().filter_map(|task| task.stopped_at).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return false };
    let quiet = time::age(patient.now(), *last).as_secs();
    let usual = last.duration_since(*first).as_secs() / (times.len() as i64 - 1).max(1);
    let lacks = service.running_count < service.desired_count
        || service.current_task_sets().any(TaskSet::lacks_tasks);
    !lacks && quiet > (3 * usual).max(600)
}

/// Why a task stopped, in AWS's words, as evidence; its bare code where there are no words.
pub fn evidence(task: &Task) -> Evidence {
    let (field, value) = match (&task.stopped_reason, &task.stop_code) {
        (Some(reason), _) => ("stoppedReason", reason),
        (None, Some(code)) => ("stopCode", code),
        (None, None) => ("lastStatus", &task.last_status),
    };
    Evidence::new(Call::DescribeTasks, &task.task_arn, field, value).at(task.stopped_at)
}

/// `within 12 min, the last 3 min ago`; of one stop just `3 min ago`.
pub fn when(now: Timestamp, stops: &[&Task]) -> String {
    let times: Vec<Timestamp> = stops.iter().filter_map(|task| task.stopped_at).collect();
    match (times.iter().min(), times.iter().max()) {
        (Some(first), Some(last)) if first < last => {
            format!(
                "within {}, the last {} ago",
                time::words(last.duration_since(*first)),
                time::words(time::age(now, *last))
            )
        }
        (_, Some(last)) => format!("{} ago", time::words(time::age(now, *last))),
        _ => "within the last hour".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, minutes_ago};
    use crate::snapshot::{ContainerDefinition, RevisionSummary, Snapshot};
    use crate::testing::{each_stopped, newest_deployment, of};

    type Edit = fn(&mut Task);

    fn stopped(code: &str, reason: &str, containers: &[Container]) -> Task {
        Task {
            stop_code: Some(code.into()).filter(|code: &String| !code.is_empty()),
            stopped_reason: Some(reason.into()).filter(|reason: &String| !reason.is_empty()),
            containers: containers.to_vec(),
            ..Task::default()
        }
    }

    fn container(name: &str, exit_code: Option<i32>, reason: Option<&str>) -> Container {
        Container {
            name: name.into(),
            exit_code,
            reason: reason.map(Into::into),
            ..Container::default()
        }
    }

    #[test]
    fn the_words_of_a_stop_come_before_its_code() {
        let group = "arn:aws:elasticloadbalancing:eu-west-2:1:targetgroup/api/0123";
        let of_group = StopKind::BalancerHealthCheck { group: group.into() };
        let exited = StopKind::Exited { container: "app".into(), code: Some(1) };
        let app = [container("app", Some(1), None)];
        let elb = "Task failed ELB health checks in";
        for (code, reason, kind) in [
            ("ServiceSchedulerInitiated", format!("{elb} (target-group {group})"), &of_group),
            ("", format!("{elb} (target-group ({group}))"), &of_group),
            ("", format!("{elb} {group} and more"), &of_group),
            ("", "Task failed container health checks".into(), &StopKind::ContainerHealthCheck),
            ("", "ECS is performing maintenance on it".into(), &StopKind::Maintenance),
            ("InfrastructureHealth", String::new(), &StopKind::Maintenance),
            (
                "EssentialContainerExited",
                "Scaling activity initiated by (deployment ecs-svc/1)".into(),
                &StopKind::Scaling,
            ),
            ("EssentialContainerExited", "Essential container in task exited".into(), &exited),
            ("TaskFailedToStart", "CannotPullContainerError".into(), &StopKind::FailedToStart),
            ("UserInitiated", "Task stopped by user".into(), &StopKind::User),
            ("SpotInterruption", String::new(), &StopKind::Spot),
            ("TerminationNotice", String::new(), &StopKind::Spot),
            ("ServiceSchedulerInitiated", String::new(), &StopKind::Other),
            ("", String::new(), &StopKind::Other),
        ] {
            assert_eq!(&StopKind::of(&stopped(code, &reason, &app)), kind, "{code} {reason}");
        }
        let nobody = stopped("EssentialContainerExited", "", &[container("app", None, None)]);
        assert_eq!(StopKind::of(&nobody), StopKind::Other);
    }

    #[test]
    fn a_stop_is_a_failure_on_purpose_or_neither() {
        let exited = |code| StopKind::Exited { container: "app".into(), code };
        for (kind, is_failure, is_on_purpose, words) in [
            (
                StopKind::BalancerHealthCheck { group: "api".into() },
                true,
                false,
                "failed the load balancer's health check",
            ),
            (
                StopKind::ContainerHealthCheck,
                true,
                false,
                "failed the container's own health check",
            ),
            (exited(Some(3)), true, false, "container app exited with code 3"),
            (exited(None), true, false, "container app exited"),
            (StopKind::FailedToStart, true, false, "failed to start"),
            (StopKind::Scaling, false, true, "stopped by a deployment or by scaling"),
            (StopKind::User, false, true, "stopped by a user or a script"),
            (StopKind::Spot, false, false, "Spot capacity was reclaimed"),
            (StopKind::Maintenance, false, false, "replaced by AWS for maintenance"),
            (StopKind::Other, false, false, "stopped for another reason"),
        ] {
            assert_eq!((kind.is_failure(), kind.is_on_purpose()), (is_failure, is_on_purpose));
            assert_eq!(kind.words(), words);
        }
    }

    #[test]
    fn the_culprit_is_the_first_to_fail_and_not_who_was_told_to_stop() {
        let app = |code, reason| container("app", Some(code), reason);
        let side = |code: Option<i32>, reason| container("sidecar", code, reason);
        for (containers, name) in [
            (vec![side(Some(143), None), app(1, None)], Some("app")),
            (vec![side(Some(137), None), app(1, None)], Some("app")),
            (vec![side(Some(137), Some("OutOfMemoryError")), app(1, None)], Some("sidecar")),
            (vec![side(None, Some("CannotStartContainerError")), app(0, None)], Some("sidecar")),
            (vec![side(Some(143), None), app(0, None)], Some("app")),
            (vec![side(Some(0), None), app(2, None)], Some("app")),
            (vec![side(None, None), app(137, None)], Some("app")),
            (
                vec![container("aws-guardduty-agent-x", None, Some("CannotPull")), app(1, None)],
                Some("app"),
            ),
            (vec![container("aws-guardduty-agent-x", Some(1), None)], None),
            (vec![side(None, None)], None),
            (vec![], None),
        ] {
            let task = stopped("", "", &containers);
            let found = culprit(&task).map(|found| found.name.as_str());
            assert_eq!(found, name, "{containers:?}");
        }
    }

    #[test]
    fn a_version_is_known_by_its_deployment_or_else_by_its_task_definition() {
        let version =
            Mark { deployment: "ecs-svc/1".into(), task_definition: Some("api:12".into()) };
        assert!(version.started(Some("ecs-svc/1"), "api:11"));
        assert!(!version.started(Some("ecs-svc/2"), "api:12"));
        assert!(version.started(Some("a script"), "api:12"));
        assert!(!version.started(None, "api:11"));
        assert!(!Mark { task_definition: None, ..version }.started(None, "api:12"));
    }

    #[test]
    fn stops_are_grouped_by_version_and_reason_the_largest_group_first() {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 5, 1, None);
        let arn = snapshot.services[0].service_arn.clone();
        let tasks = snapshot.stopped_tasks.change(&arn).unwrap();
        tasks[1].started_by = Some("ecs-svc/1".into());
        tasks[2].stopped_reason = Some("Task failed container health checks".into());
        of(&snapshot, |patient| {
            let groups = groups(patient).unwrap();
            let sizes: Vec<usize> = groups.iter().map(|group| group.tasks.len()).collect();
            assert_eq!(sizes, [3, 1, 1]);
            let largest = &groups[0];
            let oldest = largest.tasks.last().and_then(|task| task.stopped_at);
            assert_eq!(oldest, Some(minutes_ago(18)));
            assert_eq!(largest.last_stop(), Some(minutes_ago(2)));
            assert_eq!(largest.newest().and_then(|task| task.stopped_at), largest.last_stop());
            assert!(largest.is_of(&primary_version(patient)));
            let other = groups.iter().find(|it| it.started_by == Some("ecs-svc/1")).unwrap();
            assert!(!other.is_of(&primary_version(patient)));
        });
    }

    fn failed(snapshot: &Snapshot) -> Vec<(bool, usize)> {
        of(snapshot, |patient| {
            let failures = failures(patient).unwrap();
            failures.iter().map(|it| (it.is_primary, it.tasks.len())).collect()
        })
    }

    fn exited(count: u8) -> Snapshot {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, count, 1, None);
        baseline::lack_tasks(&mut snapshot);
        snapshot
    }

    #[test]
    fn failures_are_of_the_primary_version_and_of_the_last_hour() {
        assert_eq!(failed(&exited(3)), [(true, 3)]);
        for (minutes, count) in [(60, 3), (61, 0)] {
            let old = |task: &mut Task| task.stopped_at = Some(minutes_ago(minutes));
            let left: usize =
                failed(&each_stopped(exited(3), old)).iter().map(|(_, tasks)| tasks).sum();
            assert_eq!(left, count, "{minutes} minutes ago");
        }
        let changes: [(&str, Edit); 3] = [
            ("nobody knows when", |task| task.stopped_at = None),
            ("another deployment's", |task| task.started_by = Some("ecs-svc/1".into())),
            ("on purpose", |task| {
                task.stopped_reason = Some("Scaling activity initiated by".into())
            }),
        ];
        for (why, change) in changes {
            assert_eq!(failed(&each_stopped(exited(3), change)), [], "{why}");
        }
    }

    /// Tasks that stopped for this reason many minutes ago, while the service has as many tasks as
    /// it should.
    fn ceased(minutes: &[i64]) -> bool {
        let mut snapshot = baseline::worker();
        baseline::exit_tasks(&mut snapshot, 1, 1, None);
        let arn = snapshot.services[0].service_arn.clone();
        let stopped = snapshot.stopped_tasks.change(&arn).unwrap();
        let model = stopped[0].clone();
        let at = |ago: &i64| Task { stopped_at: Some(minutes_ago(*ago)), ..model.clone() };
        *stopped = minutes.iter().map(at).collect();
        failed(&snapshot).is_empty()
    }

    #[test]
    fn stops_have_ceased_after_ten_minutes_and_thrice_the_usual_time_between_them() {
        assert!(!ceased(&[10]));
        assert!(ceased(&[11]));
        // Every four minutes: twelve would do, and every five minutes it is fifteen.
        assert!(!ceased(&[12, 16, 20]));
        assert!(ceased(&[13, 17, 21]));
        assert!(!ceased(&[14, 19]));
        assert!(ceased(&[16, 21]));
    }

    #[test]
    fn stops_have_not_ceased_while_tasks_are_missing() {
        let old = |task: &mut Task| task.stopped_at = Some(minutes_ago(30));
        let mut snapshot = each_stopped(exited(1), old);
        assert_eq!(failed(&snapshot), [(true, 1)]);
        snapshot.services[0].running_count = snapshot.services[0].desired_count;
        assert_eq!(failed(&snapshot), []);
    }

    /// The deployment of another version began ten minutes ago and was rolled back; its tasks were
    /// made so many minutes ago.
    fn rolled_back(status: &str, made: Option<i64>) -> Snapshot {
        let definition = baseline::id::ecs("task-definition/mailer:13");
        let revision = baseline::id::ecs("service-revision/prod/mailer/13");
        let mut snapshot = each_stopped(exited(2), |task| {
            task.started_by = Some("ecs-svc/13".into());
            task.task_definition_arn = definition.clone();
            task.created_at = made.map(minutes_ago);
        });
        let deployment = newest_deployment(&mut snapshot);
        deployment.status = status.into();
        deployment.started_at = Some(minutes_ago(10));
        deployment.target_service_revision =
            Some(RevisionSummary { arn: revision.clone(), ..Default::default() });
        let brought =
            crate::snapshot::Revision { task_definition: Some(definition), ..Default::default() };
        snapshot.revisions.put(revision, brought);
        snapshot
    }

    #[test]
    fn the_version_that_was_rolled_back_is_failing_too() {
        assert_eq!(failed(&rolled_back("ROLLBACK_SUCCESSFUL", Some(9))), [(false, 2)]);
        assert_eq!(failed(&rolled_back("ROLLBACK_SUCCESSFUL", Some(10))), [(false, 2)]);
        assert_eq!(failed(&rolled_back("ROLLBACK_SUCCESSFUL", Some(11))), [], "an older attempt");
        assert_eq!(failed(&rolled_back("ROLLBACK_SUCCESSFUL", None)), []);
        assert_eq!(failed(&rolled_back("SUCCESSFUL", Some(9))), []);
        let versions =
            of(&rolled_back("ROLLBACK_SUCCESSFUL", Some(9)), |p| failing_versions(p).unwrap());
        assert_eq!(versions.len(), 2, "each version once");
        let mut full = rolled_back("ROLLBACK_SUCCESSFUL", Some(9));
        full.services[0].running_count = full.services[0].desired_count;
        full = each_stopped(full, |task| task.stopped_at = Some(minutes_ago(30)));
        assert_eq!(failed(&full), [(false, 2)], "it did not cease, it was taken away");
    }

    #[test]
    fn who_is_essential_stands_in_the_task_definition() {
        let container = |name: &str, essential| ContainerDefinition {
            name: name.into(),
            essential,
            ..ContainerDefinition::default()
        };
        let definition = TaskDefinition {
            container_definitions: vec![container("app", true), container("init", false)],
            ..TaskDefinition::default()
        };
        let is = |name| is_essential(Some(&definition), name);
        assert!(is("app") && !is("init"));
        assert!(is("ecs-service-connect-x1y2"), "AWS adds it, and ends the task with it");
        assert!(!is("aws-guardduty-agent-x1y2") && !is_essential(None, "aws-guardduty-agent-x"));
        assert!(is_essential(None, "app"), "as by default");
    }

    #[test]
    fn a_stop_is_quoted_in_words_or_by_its_code_or_by_its_status() {
        let quoted = |task: Task| {
            let evidence = evidence(&Task { last_status: "STOPPED".into(), ..task });
            (evidence.field, evidence.value)
        };
        assert_eq!(quoted(stopped("Code", "Words.", &[])), ("stoppedReason", "Words.".into()));
        assert_eq!(quoted(stopped("Code", "", &[])), ("stopCode", "Code".into()));
        assert_eq!(quoted(stopped("", "", &[])), ("lastStatus", "STOPPED".into()));
    }

    #[test]
    fn stops_are_told_by_when_they_were() {
        let at =
            |minutes: Option<i64>| Task { stopped_at: minutes.map(minutes_ago), ..Task::default() };
        let told = |minutes: &[Option<i64>]| {
            let tasks: Vec<Task> = minutes.iter().copied().map(at).collect();
            when(NOW, &tasks.iter().collect::<Vec<_>>())
        };
        assert_eq!(told(&[Some(3), Some(15)]), "within 12 min, the last 3 min ago");
        assert_eq!(told(&[Some(3), None]), "3 min ago");
        assert_eq!(told(&[Some(3), Some(3)]), "3 min ago");
        assert_eq!(told(&[None]), "within the last hour");
    }

    #[test]
    fn a_group_is_quoted_by_its_newest_task() {
        let mut snapshot = exited(2);
        let quoted = |snapshot: &Snapshot| {
            of(snapshot, |patient| {
                let evidence = groups(patient).unwrap()[0].evidence();
                evidence.map(|it| (it.field, it.value, it.at))
            })
        };
        let reason = "Essential container in task exited".to_owned();
        assert_eq!(quoted(&snapshot), Some(("stoppedReason", reason, Some(minutes_ago(2)))));
        snapshot = each_stopped(snapshot, |task| task.stopped_reason = None);
        assert_eq!(quoted(&snapshot), None);
    }

    #[test]
    fn task_sets_are_versions_and_those_on_their_way_out_are_not_brought_up() {
        let mut snapshot = baseline::worker();
        baseline::roll_out(&mut snapshot, 30, |_| ());
        baseline::hand_over(&mut snapshot, "CODE_DEPLOY");
        let ids = |versions: Vec<Mark>| {
            versions.into_iter().map(|version| version.deployment).collect::<Vec<_>>()
        };
        let [new, old] = ["13", "12"].map(|version| format!("ecs-svc/10000000000000000{version}"));
        assert_eq!(ids(of(&snapshot, current_versions)), [new.clone(), old.clone()]);
        assert_eq!(ids(of(&snapshot, primary_version)), [new.clone(), old.clone()]);
        snapshot.services[0].task_sets[1].status = "DRAINING".into();
        for versions in [current_versions, primary_version] {
            assert_eq!(ids(of(&snapshot, versions)), std::slice::from_ref(&new));
        }
    }

    #[test]
    fn stops_have_not_ceased_while_a_task_set_lacks_tasks() {
        let mut snapshot = each_stopped(exited(1), |task| task.stopped_at = Some(minutes_ago(30)));
        baseline::hand_over(&mut snapshot, "EXTERNAL");
        let service = &mut snapshot.services[0];
        (service.running_count, service.desired_count) = (2, 2);
        (service.task_sets[0].computed_desired_count, service.task_sets[0].running_count) = (2, 1);
        assert_eq!(failed(&snapshot), [(true, 1)]);
        snapshot.services[0].task_sets[0].running_count = 2;
        assert_eq!(failed(&snapshot), []);
    }

    #[test]
    fn every_deployment_is_a_current_version_and_one_is_the_primary() {
        let mut snapshot = baseline::worker();
        let service = &mut snapshot.services[0];
        let mut older = service.deployments[0].clone();
        (older.id, older.status) = ("ecs-svc/1".into(), "ACTIVE".into());
        service.deployments.push(older);
        let primary = service.deployments[0].id.clone();
        let ids = |versions: Vec<Mark>| {
            versions.into_iter().map(|version| version.deployment).collect::<Vec<_>>()
        };
        assert_eq!(ids(of(&snapshot, current_versions)), [primary.clone(), "ecs-svc/1".into()]);
        assert_eq!(ids(of(&snapshot, primary_version)), [primary]);
    }

    /// A task of the newest version that failed so many minutes ago; the deployment succeeded four
    /// minutes ago.
    fn failed_before(minutes: i64, change: impl FnOnce(&mut Snapshot)) -> usize {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        newest_deployment(&mut snapshot).finished_at = Some(minutes_ago(4));
        let mut task = snapshot.running_tasks.change(&arn).unwrap()[0].clone();
        task.stop_code = Some("TaskFailedToStart".into());
        task.stopped_at = Some(minutes_ago(minutes));
        snapshot.stopped_tasks.put(&arn, vec![task]);
        change(&mut snapshot);
        of(&snapshot, |patient| failures(patient).unwrap().len())
    }

    #[test]
    fn what_failed_before_its_deployment_succeeded_is_history() {
        assert_eq!(failed_before(6, |_| ()), 0);
        assert_eq!(failed_before(3, |_| ()), 1, "it failed after that");
        let lacking = |snapshot: &mut Snapshot| snapshot.services[0].running_count -= 1;
        assert_eq!(failed_before(6, lacking), 1, "and has not been replaced");
        let under_way =
            |snapshot: &mut Snapshot| newest_deployment(snapshot).status = "IN_PROGRESS".into();
        assert_eq!(failed_before(6, under_way), 1, "no deployment has succeeded");
    }
}
