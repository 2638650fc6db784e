//! Tasks of one deployment run different images. Tasks of two deployments may: that is what a
//! deployment is for.

use std::collections::BTreeMap;

use crate::aws::image::{self, short};
use crate::aws::time::{age, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Container, Revision, Task};
use crate::text::count;
use crate::{hcl, words};

crate::check! {
    /// Among the running tasks that one deployment started, the same container has different image
    /// digests.
    ///
    /// # Why it matters
    ///
    /// Clients reach one version or the other by chance. Errors come and go with the task that
    /// answers, and a restart may change which code runs.
    ///
    /// # How we tell
    ///
    /// Running tasks are grouped by the deployment that started them, since two versions side by
    /// side are normal while one replaces the other. A multi-architecture image counts once: its
    /// index and each platform behind it are the same image. Only images in ECR in the service's
    /// Region are checked, since this cannot be known of others; unless the task definition turns
    /// `versionConsistency` off, which alone explains the difference.
    ///
    /// # What to do
    ///
    /// Remove `"versionConsistency": "disabled"` from the container definition, if it is there, and
    /// deploy again:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `versionConsistency` in `container_definitions` of
    /// `aws_ecs_task_definition`; better, reference the image by its digest.
    ///
    /// # See also
    ///
    /// `digest_not_resolved`, `tag_moved`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "Tasks of one deployment run different images",
    severity: High,
    role: Cause,
    explains: [],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeImages, BatchGetImage],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let arn = snapshot.services[0].service_arn.clone();
        if let Some(task) = snapshot.running_tasks.change(&arn).and_then(|tasks| tasks.last_mut()) {
            task.containers[0].image_digest = Some(id::digest(2));
            task.started_at = Some(minutes_ago(30));
        }
        let image = id::image("api:1.4.2");
        if let Some(tag) = snapshot.images.change(&image) {
            tag.image_digest = id::digest(2);
            tag.image_manifest_media_type = Some("application/vnd.oci.image.index.v1+json".into());
        }
        snapshot.image_platforms.put(&image, vec![id::digest(3)]);
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).into_iter().for_each(|revision| revision.container_images[0].image_digest = None);
    },
}

/// The deployment that started the tasks, their task definition, and one container of it.
type Group<'a> = (&'a str, &'a str, &'a str);

/// Running tasks with one digest, oldest first.
type Share<'a> = (&'a str, Vec<&'a Task>);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut groups: BTreeMap<Group, Vec<(&Task, &Container)>> = BTreeMap::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let Some(by) = task.started_by.as_deref().filter(|by| by.starts_with("ecs-svc/")) else {
            continue;
        };
        for container in &task.containers {
            groups
                .entry((by, &task.task_definition_arn, &container.name))
                .or_default()
                .push((task, container));
        }
    }
    for ((_, definition, container), tasks) in groups {
        let shares = shares(&tasks);
        if shares.len() < 2 {
            continue;
        }
        let Some(consistency) = consistency(patient, definition, container)? else { continue };
        let spelled =
            tasks.iter().find_map(|(_, container)| container.image.as_deref()).unwrap_or_default();
        if consistency != Consistency::Disabled && are_one(patient, spelled, &shares)? {
            continue;
        }
        tell(patient, findings, definition, container, spelled, &consistency, &shares);
    }
    Ok(())
}

/// The digests with their tasks, the one with most tasks first.
fn shares<'a>(tasks: &[(&'a Task, &'a Container)]) -> Vec<Share<'a>> {
    let mut by_digest: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for (task, container) in tasks {
        if let Some(digest) = container.image_digest.as_deref() {
            by_digest.entry(digest).or_default().push(task);
        }
    }
    let mut shares: Vec<Share> = by_digest.into_iter().collect();
    shares.iter_mut().for_each(|(_, tasks)| tasks.sort_by_key(|task| task.started_at));
    shares.sort_by_key(|(_, tasks)| std::cmp::Reverse(tasks.len()));
    shares
}

/// Why tasks of one deployment may differ.
#[derive(Debug, PartialEq)]
enum Consistency {
    Disabled,
    /// The revision has no digest for the container: ECS could not resolve the tag.
    NotPinned(String),
    Enabled,
}

/// Of a container of the service's own; those that ECS adds are none of the task definition's.
fn consistency(
    patient: &Patient,
    definition: &str,
    container: &str,
) -> Result<Option<Consistency>, Blind> {
    let containers = patient
        .task_definition(definition)?
        .map_or(&[][..], |definition| &definition.container_definitions);
    let Some(found) = containers.iter().find(|one| one.name == container) else { return Ok(None) };
    if found.version_consistency.as_deref() == Some("disabled") {
        return Ok(Some(Consistency::Disabled));
    }
    for arn in &patient.service().current_service_revisions {
        let revision: Option<&Revision> = patient
            .revision(arn)?
            .filter(|revision| revision.task_definition.as_deref() == Some(definition));
        let image = revision.and_then(|revision| {
            revision.container_images.iter().find(|image| image.container_name == container)
        });
        if image.is_some_and(|image| image.image_digest.is_none()) {
            return Ok(Some(Consistency::NotPinned(arn.clone())));
        }
    }
    Ok(Some(Consistency::Enabled))
}

/// Whether these digests are one image after all: an index and the platforms behind it. For an
/// image that cannot be looked up this is unknown, so it may be.
fn are_one(patient: &Patient, spelled: &str, shares: &[Share]) -> Result<bool, Blind> {
    let is_here = image::in_ecr(spelled).is_some_and(|image| image.region == patient.region());
    if !is_here || image::tagged(spelled).is_none() {
        return Ok(true);
    }
    let Some(tag) = patient.image(spelled)?.filter(|tag| tag.is_index()) else { return Ok(false) };
    let platforms = patient.image_platforms(spelled)?;
    Ok(shares.iter().all(|(digest, _)| {
        *digest == tag.image_digest || platforms.iter().any(|platform| platform == digest)
    }))
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    definition: &str,
    container: &str,
    spelled: &str,
    consistency: &Consistency,
    shares: &[Share],
) {
    let told: Vec<String> =
        shares.iter().map(|(digest, tasks)| share(patient, digest, tasks)).collect();
    let version = rollout::short(definition);
    let why = match consistency {
        Consistency::Disabled => {
            "Its versionConsistency is disabled, so each task pulls what the tag points to when it starts."
        }
        Consistency::NotPinned(_) => {
            "ECS could not resolve the tag when it deployed, so each task pulls what the tag points to when it starts."
        }
        Consistency::Enabled => "",
    };
    let claim = format!(
        "tasks of one deployment of {version} run different images in container {container}: {}",
        told.join(", ")
    );
    let of = |(digest, tasks): &Share| {
        let task = tasks.first()?;
        Some(
            Evidence::new(Call::DescribeTasks, &task.task_arn, "containers.imageDigest", digest)
                .at(task.started_at),
        )
    };
    let mut digests = shares.iter().filter_map(of);
    let Some(first) = digests.next() else { return };
    let because = match consistency {
        Consistency::Disabled => Some(Evidence::new(
            Call::DescribeTaskDefinition,
            definition,
            "containerDefinitions.versionConsistency",
            "disabled",
        )),
        Consistency::NotPinned(arn) => Some(Evidence::new(
            Call::DescribeServiceRevisions,
            arn,
            "containerImages.imageDigest",
            "null",
        )),
        Consistency::Enabled => None,
    };
    let how = match consistency {
        Consistency::Disabled => {
            "Remove versionConsistency from the task definition and deploy again."
        }
        Consistency::NotPinned(_) | Consistency::Enabled => {
            "Deploy again, so that ECS pins one digest. Better, reference the image by its digest."
        }
    };
    let remedy =
        Remedy::new(how).cli(patient.update_service().and(words!("--force-new-deployment")));
    let terraform = hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          container_definitions = jsonencode([{
            name               = {}
            versionConsistency = "enabled"
          }])
        }"#,
        patient.name(),
        container
    );
    findings.add(
        Subject::new(Kind::Image, spelled)
            .sick(claim, first)
            .detail(why)
            .because_all(digests)
            .because_all(because)
            .mend(if patient.is_express() { remedy } else { remedy.terraform(terraform) })
            .concerns(Kind::TaskDefinition, definition)
            .concerns(Kind::Container, container),
    );
}

/// `2 tasks sha256:0123456789ab (for 30 min)`
fn share(patient: &Patient, digest: &str, tasks: &[&Task]) -> String {
    let since = tasks
        .first()
        .and_then(|task| task.started_at)
        .map_or_else(String::new, |at| format!(" (for {})", words(age(patient.now(), at))));
    format!("{} {}{since}", count(tasks.len(), "task"), short(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// The second of two tasks runs another image.
    fn mixed(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let task = &mut tasks(&mut snapshot)[1];
        task.containers[0].image_digest = Some(id::digest(2));
        task.started_at = Some(minutes_ago(30));
        change(&mut snapshot);
        snapshot
    }

    fn tasks(snapshot: &mut Snapshot) -> &mut Vec<Task> {
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&arn).unwrap()
    }

    fn definition(snapshot: &mut Snapshot) -> &mut crate::snapshot::ContainerDefinition {
        &mut snapshot
            .task_definitions
            .change(&id::ecs("task-definition/api:12"))
            .unwrap()
            .container_definitions[0]
    }

    #[test]
    fn says_which_tasks_run_what() {
        let said = says(CHECK, &mixed(|_| ()));
        let expected = "Tasks of one deployment of api:12 run different images in container app: 1 task sha256:111111111111 (for 2 days), 1 task \
                        sha256:222222222222 (for 30 min).";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn says_why_where_it_can() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .contains("ECS could not resolve the tag when it deployed")
        );
        let disabled =
            mixed(|snapshot| definition(snapshot).version_consistency = Some("disabled".into()));
        assert!(says(CHECK, &disabled)[0].contains("Its versionConsistency is disabled"));
    }

    #[test]
    fn two_deployments_side_by_side_may_differ() {
        let snapshot = mixed(|snapshot| {
            tasks(snapshot)[1].started_by = Some("ecs-svc/1000000000000000013".into())
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_index_and_its_platforms_are_one_image() {
        let index = |platforms: Vec<String>| {
            mixed(|snapshot| {
                let image = id::image("api:1.4.2");
                snapshot.images.change(&image).unwrap().image_manifest_media_type =
                    Some("application/vnd.oci.image.index.v1+json".into());
                snapshot.image_platforms.put(&image, platforms);
            })
        };
        assert_eq!(exam(CHECK, &index(vec![id::digest(2)])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &index(vec![id::digest(5)])).outcome, Outcome::Sick);
    }

    #[test]
    fn of_an_image_elsewhere_nobody_knows() {
        let elsewhere = |consistency: Option<&str>| {
            mixed(|snapshot| {
                tasks(snapshot)
                    .iter_mut()
                    .for_each(|task| task.containers[0].image = Some("nginx:1.27".into()));
                definition(snapshot).version_consistency = consistency.map(str::to_owned);
            })
        };
        assert_eq!(exam(CHECK, &elsewhere(None)).outcome, Outcome::Healthy);
        assert_eq!(
            exam(CHECK, &elsewhere(Some("disabled"))).outcome,
            Outcome::Sick,
            "that it may differ was asked for"
        );
    }

    #[test]
    fn containers_that_ecs_adds_and_tasks_that_start_do_not_count() {
        let sidecar = mixed(|snapshot| {
            tasks(snapshot)
                .iter_mut()
                .for_each(|task| task.containers[0].name = "ecs-service-connect-1a2b".into())
        });
        assert_eq!(exam(CHECK, &sidecar).outcome, Outcome::Healthy);
        let starts = mixed(|snapshot| tasks(snapshot)[1].last_status = "PENDING".into());
        assert_eq!(exam(CHECK, &starts).outcome, Outcome::Healthy);
        let unknown = mixed(|snapshot| tasks(snapshot)[1].containers[0].image_digest = None);
        assert_eq!(exam(CHECK, &unknown).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_hidden_tag_may_be_an_index() {
        let hidden = mixed(|snapshot| {
            snapshot.images.insert(id::image("api:1.4.2"), Seen::No(Why::Denied("no".into())))
        });
        assert_eq!(exam(CHECK, &hidden).outcome, Outcome::CouldNotLook);
    }
}
