//! The versions of a service: each deployment or task set, what it runs and in which network, when
//! it lived, and what became of it. Whatever failed is judged by the version it happened to,
//! whichever is registered or PRIMARY now. How a rollout goes is for `rollout` to say, and how ECS
//! rolls back for `rollback`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::facts::deployment::{rollback, rollout};
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::service::{NetworkConfiguration, TaskSet};
use crate::snapshot::{Deployment, Revision, ServiceDeployment, Task};

/// Something that tells tasks of one version from those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The id of the deployment or the task set.
    pub deployment: String,
    pub task_definition: Option<String>,
}

impl Mark {
    pub fn of(task: &Task) -> Mark {
        Mark {
            deployment: task.started_by.clone().unwrap_or_default(),
            task_definition: Some(task.task_definition_arn.clone()),
        }
    }

    pub fn started(&self, started_by: Option<&str>, task_definition: &str) -> bool {
        match started_by {
            Some(id) if id.starts_with("ecs-svc/") => id == self.deployment,
            _ => self.task_definition.as_deref() == Some(task_definition),
        }
    }
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// ECS, or another controller, runs it or brings it up.
    Current,
    /// Its deployment failed, and nothing took its place.
    Failed,
    /// Its deployment failed, and ECS is rolling back, or rolled back, to the previous version.
    RolledBack,
}

/// Where the tasks of a version are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network<'a> {
    pub subnets: &'a [String],
    pub security_groups: &'a [String],
    pub assign_public_ip: Option<&'a str>,
}

impl<'a> From<&'a NetworkConfiguration> for Network<'a> {
    fn from(configured: &'a NetworkConfiguration) -> Network<'a> {
        Network {
            subnets: &configured.subnets,
            security_groups: &configured.security_groups,
            assign_public_ip: configured.assign_public_ip.as_deref(),
        }
    }
}

/// One version of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Version<'a> {
    pub task_definition: Option<&'a str>,
    pub state: State,
    pub began: Option<Timestamp>,
    /// When ECS turned away from it.
    pub ended: Option<Timestamp>,
    /// How its tasks are told from others.
    pub marks: Vec<Mark>,
    /// The ARN of its revision, where that is certain.
    revision: Option<&'a str>,
    deployment: Option<&'a Deployment>,
}

impl<'a> Version<'a> {
    fn of_deployment(deployment: &'a Deployment, state: State) -> Version<'a> {
        Version {
            task_definition: deployment.task_definition.as_deref(),
            state,
            began: deployment.created_at,
            ended: None,
            marks: vec![Mark {
                deployment: deployment.id.clone(),
                task_definition: deployment.task_definition.clone(),
            }],
            revision: None,
            deployment: Some(deployment),
        }
    }

    fn of_set(set: &'a TaskSet) -> Version<'a> {
        Version {
            task_definition: set.task_definition.as_deref(),
            state: State::Current,
            began: None,
            ended: None,
            marks: vec![Mark {
                deployment: set.id.clone(),
                task_definition: set.task_definition.clone(),
            }],
            revision: None,
            deployment: None,
        }
    }

    /// `api:13`
    pub fn name(&self) -> &'a str {
        self.task_definition.map_or("a version", rollout::short)
    }

    /// What became of it, in words that follow its name; nothing where its deployment did not fail.
    pub fn fate(&self) -> &'static str {
        match self.state {
            State::Current => "",
            State::Failed => ", whose deployment failed,",
            State::RolledBack => ", which was rolled back,",
        }
    }

    /// Whether its deployment failed for good: what it failed of stands until a later deployment
    /// succeeds.
    pub fn is_given_up(&self) -> bool {
        self.state != State::Current && self.revision.is_some()
    }

    pub fn is_past(&self) -> bool {
        self.state == State::RolledBack
    }

    /// Whether this version started the task.
    pub fn has(&self, task: &Task) -> bool {
        self.marks
            .iter()
            .any(|mark| mark.started(task.started_by.as_deref(), &task.task_definition_arn))
    }

    /// Whether it lived at that time.
    pub fn lived(&self, at: Timestamp) -> bool {
        self.began.is_none_or(|began| at >= began) && self.ended.is_none_or(|ended| at <= ended)
    }

    fn revision(&self, patient: &Patient<'a>) -> Result<Option<&'a Revision>, Blind> {
        self.revision.map_or(Ok(None), |arn| patient.revision(arn))
    }

    /// The network that it asks for, or asked for: by its revision, else by its deployment. What
    /// the service has now is that of the version that runs, and of no other.
    pub fn network(&self, patient: &Patient<'a>) -> Result<Option<Network<'a>>, Blind> {
        let revision = self.revision(patient)?.filter(|revision| !revision.subnets.is_empty());
        if let Some(revision) = revision {
            return Ok(Some(Network {
                subnets: &revision.subnets,
                security_groups: &revision.security_groups,
                assign_public_ip: revision.assign_public_ip.as_deref(),
            }));
        }
        let own = self.deployment.and_then(|deployment| deployment.network_configuration.as_ref());
        let of_service = || patient.service().network_configuration.as_ref();
        let network = own.or_else(|| if self.is_past() { None } else { of_service() });
        Ok(network.map(Network::from))
    }

    /// Evidence of a setting that it asks for: in its revision, else in the service.
    pub fn evidence(&self, patient: &Patient, field: &'static str, value: &str) -> Evidence {
        match self.revision {
            Some(arn) => Evidence::new(Call::DescribeServiceRevisions, arn, field, value),
            None => patient.evidence(field, value),
        }
    }

    /// The target groups that its tasks were registered with, as its revision has them.
    pub fn target_groups(&self, patient: &Patient<'a>) -> Result<BTreeSet<&'a str>, Blind> {
        let mut groups = BTreeSet::new();
        if let Some(revision) = self.revision(patient)? {
            for balancer in &revision.load_balancers {
                groups.extend(balancer.target_group_arn.as_deref());
                groups.extend(balancer.alternate_target_group_arn.as_deref());
            }
            let resolved = &revision.resolved_load_balancers;
            groups.extend(resolved.iter().filter_map(|group| group.target_group_arn.as_deref()));
            let managed = revision.ingress_paths.iter().flat_map(|path| &path.target_groups);
            groups.extend(managed.filter_map(|group| group.arn.as_deref()));
        }
        Ok(groups)
    }
}

/// The versions that the service has now: of deployments, the primary one and those that still run
/// beside it; of task sets, all that are not on their way out.
pub fn current<'a>(patient: &Patient<'a>) -> Vec<Version<'a>> {
    let service = patient.service();
    let of_deployments = service.deployments.iter().map(|deployment| {
        let state = if deployment.rollout_state.as_deref() == Some("FAILED") {
            State::Failed
        } else {
            State::Current
        };
        Version::of_deployment(deployment, state)
    });
    of_deployments.chain(service.current_task_sets().map(Version::of_set)).collect()
}

/// The versions that are being brought up, or were brought up last: the primary deployment; with
/// another controller, the task sets, of which it may be any.
pub fn primary<'a>(patient: &Patient<'a>) -> Vec<Version<'a>> {
    let is_primary = |version: &Version| {
        version.deployment.is_none_or(|deployment| deployment.status == "PRIMARY")
    };
    current(patient).into_iter().filter(is_primary).collect()
}

/// The versions that tell of today's trouble: those that are being brought up or were brought up
/// last and, until a later deployment succeeds, the one that ECS gave up.
pub fn troubled<'a>(patient: &Patient<'a>) -> Result<Vec<Version<'a>>, Blind> {
    let mut versions = primary(patient);
    if !rollout::ecs_controls(patient) {
        return Ok(versions);
    }
    let Some(failed) = rollout::newest(patient)?.filter(|deployment| rollback::began(deployment))
    else {
        return Ok(versions);
    };
    let primary =
        versions.iter_mut().find(|version| !rollback::is_done(failed) && is_of(version, failed));
    if let Some(primary) = primary
        && let Some(target) = &failed.target_service_revision
        && rollout::brings(patient, failed)?
            .is_none_or(|brings| primary.task_definition == Some(brings))
    {
        // There was nothing to roll back to.
        primary.state = State::Failed;
        primary.revision = Some(&target.arn);
        return Ok(versions);
    }
    versions.extend(given_up(patient, failed)?);
    Ok(versions)
}

/// Whether it was the circuit breaker that ended the newest deployment: too many of its tasks did not
/// come up.
pub fn was_broken_off(patient: &Patient) -> Result<bool, Blind> {
    let breaker = rollout::newest(patient)?
        .and_then(|deployment| deployment.deployment_circuit_breaker.as_ref());
    Ok(breaker.is_some_and(|breaker| breaker.status.as_deref() == Some("TRIGGERED")))
}

/// Both are told of the same act within this time.
const AT_ONCE: SignedDuration = SignedDuration::from_mins(1);

/// Whether this version is what a deployment brings: it began with that. The one that ECS rolls
/// back to began before.
fn is_of(version: &Version, deployment: &ServiceDeployment) -> bool {
    let made = deployment.created_at.or(deployment.started_at);
    version.began.zip(made).is_some_and(|(began, made)| time::after(began, AT_ONCE) >= made)
}

/// The version that a deployment brought and ECS gave up. ECS drops it from the service's
/// deployments, so it is known by its revision, and its tasks by the id in the event that says that
/// it failed, or by being of its task definition and younger than the deployment.
fn given_up<'a>(
    patient: &Patient<'a>,
    failed: &'a ServiceDeployment,
) -> Result<Option<Version<'a>>, Blind> {
    let Some(target) = &failed.target_service_revision else { return Ok(None) };
    let Some(definition) = rollout::task_definition(patient, &target.arn)? else { return Ok(None) };
    let began = rollout::started(failed);
    let ended = rollback::started(failed).or(failed.finished_at);
    let mut ids: BTreeSet<&str> = ids_in_events(patient, began).collect();
    let back: BTreeSet<&str> = patient
        .service()
        .deployments
        .iter()
        .filter(|deployment| deployment.status == "PRIMARY")
        .map(|deployment| deployment.id.as_str())
        .collect();
    for task in
        patient.stopped_tasks()?.iter().filter(|task| task.task_definition_arn == definition)
    {
        let its_own =
            began.is_none_or(|began| task.created_at.is_some_and(|created| created >= began));
        ids.extend(task.started_by.as_deref().filter(|_| its_own));
    }
    let marks = ids.difference(&back).map(|id| Mark {
        deployment: (*id).to_owned(),
        task_definition: Some(definition.to_owned()),
    });
    Ok(Some(Version {
        task_definition: Some(definition),
        state: State::RolledBack,
        began,
        ended,
        marks: marks.collect(),
        revision: Some(&target.arn),
        deployment: None,
    }))
}

/// The ids of deployments that failed since then, by the events that say so.
fn ids_in_events<'a>(
    patient: &Patient<'a>,
    since: Option<Timestamp>,
) -> impl Iterator<Item = &'a str> {
    let recent = patient.service().events.iter().filter(move |event| {
        event.created_at.is_some_and(|at| since.is_none_or(|since| at >= since))
    });
    recent.filter_map(|event| match event::read(&event.message) {
        Event::DeploymentFailed { deployment, .. } => Some(deployment),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, roll_out, say, stop_tasks};
    use crate::snapshot::Snapshot;
    use crate::snapshot::deployment::Rollback;
    use crate::testing::{each_stopped, newest_deployment, of};

    const NEW: &str = "ecs-svc/1000000000000000013";

    /// The deployment of version 13 began 40 minutes ago, and ECS rolled back 24 minutes ago.
    fn gone_back(status: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        roll_out(&mut snapshot, 40, |deployment| {
            deployment.status = status.into();
            deployment.rollback =
                Some(Rollback { started_at: Some(minutes_ago(24)), ..Rollback::default() });
        });
        snapshot
    }

    /// Name, state and marks of each version that tells of today's trouble.
    fn troubled_of(snapshot: &Snapshot) -> Vec<(String, State, Vec<String>)> {
        of(snapshot, |patient| {
            let told = |version: Version| {
                let ids = version.marks.iter().map(|mark| mark.deployment.clone()).collect();
                (version.name().to_owned(), version.state, ids)
            };
            troubled(patient).unwrap().into_iter().map(told).collect()
        })
    }

    fn primary_of_12() -> (String, State, Vec<String>) {
        ("api:12".into(), State::Current, vec!["ecs-svc/1000000000000000012".into()])
    }

    fn of_13(ids: &[&str]) -> (String, State, Vec<String>) {
        let ids = ids.iter().map(|id| (*id).into()).collect();
        ("api:13".into(), State::RolledBack, ids)
    }

    #[test]
    fn a_version_is_given_up_until_a_later_one_succeeds() {
        assert_eq!(troubled_of(&baseline::fargate()), [primary_of_12()]);
        let mut snapshot = gone_back("ROLLBACK_SUCCESSFUL");
        assert_eq!(troubled_of(&snapshot), [primary_of_12(), of_13(&[])]);
        let arn = snapshot.services[0].service_arn.clone();
        let deployments = snapshot.service_deployments.change(&arn).unwrap();
        let later = ServiceDeployment { status: "SUCCESSFUL".into(), ..deployments[0].clone() };
        deployments.insert(0, later);
        assert_eq!(troubled_of(&snapshot), [primary_of_12()]);
    }

    #[test]
    fn a_version_that_was_given_up_has_the_tasks_that_are_younger_than_its_deployment() {
        let mut snapshot = gone_back("ROLLBACK_SUCCESSFUL");
        stop_tasks(&mut snapshot, 2, |task| {
            task.started_by = Some(NEW.into());
            task.task_definition_arn = id::ecs("task-definition/api:13");
            task.created_at = Some(minutes_ago(30));
        });
        assert_eq!(troubled_of(&snapshot)[1], of_13(&[NEW]));
        let older = each_stopped(snapshot, |task| task.created_at = Some(minutes_ago(41)));
        assert_eq!(troubled_of(&older)[1], of_13(&[]), "of an earlier try");
    }

    #[test]
    fn an_event_tells_the_id_where_the_tasks_are_forgotten() {
        let mut snapshot = gone_back("ROLLBACK_SUCCESSFUL");
        let failed = format!("(service api) (deployment {NEW}) deployment failed: it did.");
        say(&mut snapshot, 41, &failed);
        assert_eq!(troubled_of(&snapshot)[1], of_13(&[]), "of an earlier try");
        say(&mut snapshot, 25, &failed);
        assert_eq!(troubled_of(&snapshot)[1], of_13(&[NEW]));
    }

    #[test]
    fn a_version_without_one_to_go_back_to_failed_and_stays() {
        let mut snapshot = gone_back("ROLLBACK_FAILED");
        let service = &mut snapshot.services[0];
        service.deployments[0].created_at = Some(minutes_ago(40));
        let definition = service.deployments[0].task_definition.clone();
        let target = newest_deployment(&mut snapshot).target_service_revision.clone().unwrap();
        snapshot.revisions.change(&target.arn).unwrap().task_definition = definition;
        let (name, _, ids) = primary_of_12();
        assert_eq!(troubled_of(&snapshot), [(name, State::Failed, ids)]);
    }

    #[test]
    fn task_sets_are_versions_unless_they_are_on_their_way_out() {
        let mut snapshot = baseline::fargate();
        let service = &mut snapshot.services[0];
        service.deployment_controller = Some("CODE_DEPLOY".into());
        service.deployments.clear();
        let set = |id: &str, status: &str| TaskSet {
            id: id.into(),
            status: status.into(),
            task_definition: Some(id::ecs(&format!("task-definition/api:{}", &id[8..]))),
            ..TaskSet::default()
        };
        service.task_sets = vec![
            set("ecs-svc/1", "PRIMARY"),
            set("ecs-svc/2", "ACTIVE"),
            set("ecs-svc/3", "DRAINING"),
        ];
        let told = |number: &str| {
            (format!("api:{number}"), State::Current, vec![format!("ecs-svc/{number}")])
        };
        assert_eq!(troubled_of(&snapshot), [told("1"), told("2")]);
        of(&snapshot, |patient| {
            let versions = current(patient);
            let task = Task { started_by: Some("ecs-svc/2".into()), ..Task::default() };
            assert!(versions[1].has(&task) && !versions[0].has(&task));
            assert!(versions[0].network(patient).unwrap().is_some(), "that of the service");
        });
    }

    #[test]
    fn a_version_that_was_given_up_has_the_network_of_its_revision_or_none() {
        let mut snapshot = gone_back("ROLLBACK_SUCCESSFUL");
        let target = newest_deployment(&mut snapshot).target_service_revision.clone().unwrap();
        let groups = |snapshot: &Snapshot| {
            of(snapshot, |patient| {
                let versions = troubled(patient).unwrap();
                let network = versions[1].network(patient).unwrap();
                network.map(|network| network.security_groups.to_vec())
            })
        };
        let revision = snapshot.revisions.change(&target.arn).unwrap();
        revision.subnets = Vec::new();
        assert_eq!(groups(&snapshot), None, "that of the service is of another version");
        let revision = snapshot.revisions.change(&target.arn).unwrap();
        revision.subnets = vec!["subnet-a".into()];
        revision.security_groups = vec!["sg-13".into()];
        assert_eq!(groups(&snapshot), Some(vec!["sg-13".into()]));
    }

    #[test]
    fn a_version_lives_from_its_deployment_until_ecs_turns_away() {
        let snapshot = gone_back("ROLLBACK_SUCCESSFUL");
        of(&snapshot, |patient| {
            let versions = troubled(patient).unwrap();
            let lived = |minutes: i64| versions[1].lived(minutes_ago(minutes));
            assert_eq!([41, 40, 24, 23].map(lived), [false, true, true, false]);
            assert_eq!(versions[1].fate(), ", which was rolled back,");
            assert!(versions[0].lived(minutes_ago(0)) && versions[0].fate().is_empty());
        });
    }
}
