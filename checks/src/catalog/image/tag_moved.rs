//! The tag of an image points to something newer than what runs. ECS resolves a tag once a
//! deployment and then pins the digest, so neither waiting nor stopping tasks brings the newer
//! image.

use jiff::{SignedDuration, Timestamp};

use crate::aws::image;
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Container, Deployment, Image, Revision, Task};
use crate::{hcl, words};

/// A push that is younger may still be on its way into a deployment.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

crate::check! {
    /// Somebody pushed a new image under the tag that the service uses, and the service still runs
    /// the previous one.
    ///
    /// # Why it matters
    ///
    /// "I pushed the fix and nothing changed." ECS resolves a tag to a digest when a deployment
    /// begins, and starts every task of it from that digest. Stopping tasks, or letting ECS replace
    /// them, brings the old image again.
    ///
    /// # How we tell
    ///
    /// ECR's digest of the tag differs from the digest that the deployment pinned and from that of
    /// every running task, and it was pushed after the deployment began. A digest behind a
    /// multi-architecture tag counts as the tag's own. A push of the last two minutes, or a
    /// deployment that is younger than the push, is skipped. Only tags in private ECR are checked.
    ///
    /// # What to do
    ///
    /// Deploy again, so that ECS resolves the tag again:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Better, give each image its own tag or reference it by its digest. Terraform/OpenTofu:
    /// `force_new_deployment` with `triggers` in `aws_ecs_service`, or the digest of
    /// `data.aws_ecr_image` in the task definition.
    ///
    /// # See also
    ///
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
    title: "The tag points to a newer image than the one that runs",
    severity: Medium,
    role: Cause,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeImages, BatchGetImage],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let image = id::image("api:1.4.2");
        if let Some(pushed) = snapshot.images.change(&image) {
            pushed.image_digest = id::digest(2);
            pushed.image_pushed_at = Some(minutes_ago(50));
            pushed.image_manifest_media_type = Some("application/vnd.oci.image.index.v1+json".into());
        }
        snapshot.image_platforms.put(&image, vec![id::digest(3), id::digest(4)]);
        let arn = snapshot.services[0].service_arn.clone();
        if let Some(tasks) = snapshot.running_tasks.change(&arn) {
            tasks[0].started_at = Some(minutes_ago(20));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(primary) = patient.service().primary() else { return Ok(()) };
    let Some(name) = primary.task_definition.as_deref() else { return Ok(()) };
    let Some(definition) = patient.task_definition(name)? else { return Ok(()) };
    let version = stop::primary_version(patient);
    let is_current = |task: &&Task| {
        version
            .iter()
            .any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn))
    };
    let tasks: Vec<&Task> = patient
        .running_tasks()?
        .iter()
        .filter(|task| task.last_status == "RUNNING")
        .filter(is_current)
        .collect();
    let revision = revision(patient, name)?;
    for container in definition
        .container_definitions
        .iter()
        .filter(|container| image::tagged(&container.image).is_some())
    {
        let Some(tag) = findings.see(patient.image(&container.image)).flatten() else { continue };
        let pinned = revision.and_then(|revision| {
            Some((
                revision,
                revision
                    .container_images
                    .iter()
                    .find(|one| one.container_name == container.name)?,
            ))
        });
        let running: Vec<Running> =
            tasks.iter().filter_map(|task| Running::of(task, &container.name)).collect();
        let moved = Moved {
            image: &container.image,
            tag,
            pinned: pinned.and_then(|(revision, one)| {
                Some((revision.service_revision_arn.as_str(), one.image_digest.as_deref()?))
            }),
            running,
        };
        let Some(pushed) = moved.pushed_after(patient, primary) else { continue };
        let platforms = if tag.is_index() {
            findings.see(patient.image_platforms(&container.image))
        } else {
            Some(&[][..])
        };
        if platforms.is_some_and(|platforms| moved.is_stale(platforms)) {
            moved.tell(patient, findings, &container.name, name, pushed);
        }
    }
    Ok(())
}

/// The newest of the current revisions that runs this task definition.
fn revision<'a>(patient: &Patient<'a>, definition: &str) -> Result<Option<&'a Revision>, Blind> {
    let mut newest: Option<&Revision> = None;
    for arn in &patient.service().current_service_revisions {
        let found = patient
            .revision(arn)?
            .filter(|revision| revision.task_definition.as_deref() == Some(definition));
        newest = newest.into_iter().chain(found).max_by_key(|revision| revision.created_at);
    }
    Ok(newest)
}

/// A task with the digest that one of its containers runs.
struct Running<'a> {
    task: &'a Task,
    digest: &'a str,
}

impl<'a> Running<'a> {
    fn of(task: &'a Task, container: &str) -> Option<Running<'a>> {
        let digest = |container: &'a Container| container.image_digest.as_deref();
        Some(Running {
            task,
            digest: task.containers.iter().find(|one| one.name == container).and_then(digest)?,
        })
    }
}

/// What the tag has now, beside what was pinned and what runs.
struct Moved<'a> {
    image: &'a str,
    tag: &'a Image,
    /// The revision, and the digest that it pinned.
    pinned: Option<(&'a str, &'a str)>,
    running: Vec<Running<'a>>,
}

impl Moved<'_> {
    /// When the image was pushed, if the deployment cannot have known it and the push has settled.
    fn pushed_after(&self, patient: &Patient, primary: &Deployment) -> Option<Timestamp> {
        let pushed = self.tag.image_pushed_at?;
        let settled = time::age(patient.now(), pushed) >= SETTLED;
        (settled && primary.created_at.is_some_and(|began| began < pushed)).then_some(pushed)
    }

    /// Whether neither the deployment nor any of its tasks has what the tag has now. Where tasks
    /// differ, something else is wrong; where no digest is known at all, nothing can be said.
    fn is_stale(&self, platforms: &[String]) -> bool {
        let is_tags = |digest: &str| {
            digest == self.tag.image_digest || platforms.iter().any(|platform| platform == digest)
        };
        let mut known = self
            .pinned
            .iter()
            .map(|(_, digest)| *digest)
            .chain(self.running.iter().map(|running| running.digest))
            .peekable();
        known.peek().is_some() && !known.any(is_tags)
    }

    fn tell(
        &self,
        patient: &Patient,
        findings: &mut Findings,
        container: &str,
        definition: &str,
        pushed: Timestamp,
    ) {
        let Some(tagged) = image::tagged(self.image) else { return };
        let newest = image::short(&self.tag.image_digest);
        let age = time::words(time::age(patient.now(), pushed));
        let what = match (self.running.as_slice(), self.pinned) {
            ([], Some((_, digest))) => {
                format!("every task of this deployment starts {}", image::short(digest))
            }
            ([one], _) => format!("the running task has {}", image::short(one.digest)),
            (tasks, _) => {
                format!("{} running tasks have {}", tasks.len(), image::short(tasks[0].digest))
            }
        };
        let restarted: Vec<&Running> = self
            .running
            .iter()
            .filter(|one| one.task.started_at.is_some_and(|started| started > pushed))
            .collect();
        let claim = format!(
            "tag {} of {} is {newest}, pushed {age} ago, but {what}",
            tagged.tag, tagged.repository
        );
        let tasks = match restarted.len() {
            0 => None,
            1 => Some("One task that started"),
            _ => Some("Tasks that started"),
        };
        let detail = tasks.map_or_else(String::new, |tasks| {
            format!("{tasks} after the push got the old image too: ECS pins the digest until the next deployment.")
        });
        let of_image =
            |field, value: String| Evidence::new(Call::DescribeImages, self.image, field, value);
        let of_task = |one: &Running| {
            Evidence::new(
                Call::DescribeTasks,
                &one.task.task_arn,
                "containers.imageDigest",
                one.digest,
            )
        };
        let finding = Subject::new(Kind::Image, self.image)
            .sick(claim, of_image("imageDigest", self.tag.image_digest.clone()))
            .detail(detail)
            .because(of_image("imagePushedAt", pushed.to_string()).at(Some(pushed)))
            .because_all(self.pinned.map(|(revision, digest)| {
                Evidence::new(
                    Call::DescribeServiceRevisions,
                    revision,
                    "containerImages.imageDigest",
                    digest,
                )
            }))
            .because_all(self.running.first().map(of_task))
            .because_all(restarted.first().and_then(|one| {
                let started = one.task.started_at?;
                Some(
                    Evidence::new(Call::DescribeTasks, &one.task.task_arn, "startedAt", started)
                        .at(Some(started)),
                )
            }))
            .concerns(Kind::TaskDefinition, definition)
            .concerns(Kind::Container, container);
        let remedy = Remedy::new("Deploy again, so that ECS resolves the tag again. Better, give each image its own tag or reference it by its digest.")
            .cli(patient.update_service().and(words!("--force-new-deployment")));
        let terraform = hcl!(
            r#"
            data "aws_ecr_image" "{}" {
              repository_name = {}
              image_tag       = {}
            }

            resource "aws_ecs_service" {} {
              force_new_deployment = true
              triggers             = { image = data.aws_ecr_image.{}.image_digest }
            }"#,
            Name(container),
            tagged.repository,
            tagged.tag,
            patient.name(),
            Name(container)
        );
        findings.add(finding.mend(if patient.is_express() {
            remedy
        } else {
            remedy.terraform(terraform)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// The tag of a healthy service was moved fifty minutes ago.
    fn moved(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let tag = snapshot.images.change(&id::image("api:1.4.2")).unwrap();
        tag.image_digest = id::digest(2);
        tag.image_pushed_at = Some(minutes_ago(50));
        change(&mut snapshot);
        snapshot
    }

    fn tag(snapshot: &mut Snapshot) -> &mut Image {
        snapshot.images.change(&id::image("api:1.4.2")).unwrap()
    }

    fn tasks(snapshot: &mut Snapshot) -> &mut Vec<Task> {
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&arn).unwrap()
    }

    #[test]
    fn says_what_the_tag_has_and_what_runs() {
        assert_eq!(
            says(CHECK, &moved(|_| ())),
            [
                "Tag 1.4.2 of api is sha256:222222222222, pushed 50 min ago, but 2 running tasks have sha256:111111111111."
            ]
        );
    }

    #[test]
    fn says_that_a_restart_does_not_help() {
        let says = says(CHECK, &(CHECK.example)());
        assert!(
            says[0].ends_with("One task that started after the push got the old image too: ECS pins the digest until the next deployment."),
            "{says:?}"
        );
    }

    #[test]
    fn a_platform_of_the_tags_index_is_the_tags_image() {
        let index = |platforms: Vec<String>| {
            moved(|snapshot| {
                tag(snapshot).image_manifest_media_type =
                    Some("application/vnd.docker.distribution.manifest.list.v2+json".into());
                snapshot.image_platforms.put(id::image("api:1.4.2"), platforms);
            })
        };
        assert!(says(CHECK, &index(vec![id::digest(5), id::digest(1)])).is_empty());
        assert_eq!(says(CHECK, &index(vec![id::digest(5)])).len(), 1);
    }

    #[test]
    fn a_deployment_that_pinned_the_tags_digest_is_current_whatever_tasks_report() {
        let snapshot = moved(|snapshot| {
            let revision = snapshot.services[0].current_service_revisions[0].clone();
            snapshot.revisions.change(&revision).unwrap().container_images[0].image_digest =
                Some(id::digest(2));
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_push_in_progress_and_a_newer_deployment_are_left_alone() {
        assert!(
            says(CHECK, &moved(|snapshot| tag(snapshot).image_pushed_at = Some(minutes_ago(1))))
                .is_empty()
        );
        assert!(
            says(
                CHECK,
                &moved(|snapshot| snapshot.services[0].deployments[0].created_at =
                    Some(minutes_ago(40)))
            )
            .is_empty()
        );
    }

    #[test]
    fn tasks_that_differ_are_another_trouble() {
        assert!(
            says(
                CHECK,
                &moved(
                    |snapshot| tasks(snapshot)[0].containers[0].image_digest = Some(id::digest(2))
                )
            )
            .is_empty()
        );
    }

    #[test]
    fn without_a_running_task_the_pinned_digest_tells() {
        let says = says(CHECK, &moved(|snapshot| tasks(snapshot).clear()));
        assert!(
            says[0].ends_with("every task of this deployment starts sha256:111111111111."),
            "{says:?}"
        );
    }

    #[test]
    fn without_any_digest_nothing_is_said() {
        let snapshot = moved(|snapshot| {
            tasks(snapshot).iter_mut().for_each(|task| task.containers[0].image_digest = None);
            let revision = snapshot.services[0].current_service_revisions[0].clone();
            snapshot.revisions.change(&revision).unwrap().container_images.clear();
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn images_elsewhere_or_by_digest_are_not_asked_about() {
        for spelled in ["nginx:1.27".to_owned(), format!("{}@{}", id::image("api"), id::digest(1))]
        {
            let snapshot = moved(|snapshot| {
                let definition =
                    snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
                definition.container_definitions[0].image = spelled;
            });
            let exam = exam(CHECK, &snapshot);
            assert_eq!(exam.outcome, Outcome::Healthy);
            assert!(!exam.read.contains(&Call::DescribeImages));
        }
    }

    #[test]
    fn tasks_of_an_older_deployment_do_not_count() {
        let snapshot = moved(|snapshot| {
            tag(snapshot).image_digest = id::digest(1);
            tasks(snapshot)[0].started_by = Some("ecs-svc/1000000000000000011".into());
            tasks(snapshot)[0].containers[0].image_digest = Some(id::digest(7));
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
