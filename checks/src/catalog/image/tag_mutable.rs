//! The service runs a tag that anyone who is allowed to push can move. Whether it was moved is for
//! `tag_moved` to report.

use std::collections::BTreeSet;

use crate::aws::image::{self, InEcr, Reference};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Repository;
use crate::{aws, hcl};

crate::check! {
    /// The repository allows a tag that the service uses to be pushed again, to another image.
    ///
    /// # Why it matters
    ///
    /// What a tag pointed to yesterday is unknown today: a deployment of the same task definition
    /// may bring different code, a rollback may bring what the tag has now, and the previous image
    /// may be removed as untagged.
    ///
    /// # How we tell
    ///
    /// `imageTagMutability` of the repository is `MUTABLE`, or its exclusion filters make it so for
    /// this tag, and the primary deployment's task definition names an image by that tag. Only
    /// private ECR in the service's Region is checked.
    ///
    /// # What to do
    ///
    /// Give each build its own tag, then:
    ///
    /// ```sh
    /// aws ecr put-image-tag-mutability --repository-name <repository> --image-tag-mutability IMMUTABLE
    /// ```
    ///
    /// Pipelines that push `latest` fail then; `IMMUTABLE_WITH_EXCLUSION` can exempt that tag.
    /// Terraform/OpenTofu: `image_tag_mutability = "IMMUTABLE"` of `aws_ecr_repository`.
    ///
    /// # See also
    ///
    /// `tag_moved`, `digest_gone`,
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>
    title: "The service runs a tag that can be moved",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [DescribeServices, DescribeTaskDefinition, DescribeRepositories],
    example: on fargate, |snapshot| {
        let uri = crate::baseline::id::image("api");
        snapshot.repositories.change(&uri).into_iter().for_each(|repository| repository.image_tag_mutability = Some("MUTABLE".into()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(name) = patient.service().primary_definition() else { return Ok(()) };
    let Some(definition) = patient.task_definition(name)? else { return Ok(()) };
    let images: BTreeSet<&str> =
        definition.container_definitions.iter().map(|container| container.image.as_str()).collect();
    for spelled in images {
        let Some(InEcr { uri, reference: Reference::Tag(tag), .. }) =
            image::in_ecr(spelled).filter(|image| image.region == patient.region())
        else {
            continue;
        };
        let Some(repository) = findings
            .see(patient.repository(uri))
            .flatten()
            .filter(|repository| can_be_moved(repository, tag))
        else {
            continue;
        };
        let mutability = repository.image_tag_mutability.as_deref().unwrap_or_default();
        let name = &repository.repository_name;
        let claim = format!(
            "tag {tag} of {name} can be pushed again with another image: the repository's tags are {mutability}"
        );
        let remedy = Remedy::new("Give each build its own tag and make tags immutable, or reference the image by its digest.")
            .cli(aws!(
                "ecr put-image-tag-mutability --repository-name {} --image-tag-mutability IMMUTABLE",
                name
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecr_repository" {} {
                  name                 = {}
                  image_tag_mutability = "IMMUTABLE"
                }"#,
                name.replace('/', "_"),
                name
            ));
        findings.add(
            Subject::new(Kind::Image, spelled)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeRepositories,
                        uri,
                        "imageTagMutability",
                        mutability,
                    ),
                )
                .mend(remedy)
                .concerns(Kind::Image, spelled),
        );
    }
    Ok(())
}

fn can_be_moved(repository: &Repository, tag: &str) -> bool {
    let excluded =
        repository.image_tag_mutability_exclusion_filters.iter().any(|filter| matches(filter, tag));
    match repository.image_tag_mutability.as_deref() {
        Some("MUTABLE") => true,
        Some("MUTABLE_WITH_EXCLUSION") => !excluded,
        Some("IMMUTABLE_WITH_EXCLUSION") => excluded,
        _ => false,
    }
}

/// A filter with `*` for any characters.
fn matches(filter: &str, tag: &str) -> bool {
    match filter.split_once('*') {
        None => filter == tag,
        Some((start, rest)) => tag.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn repository(mutability: &str, filters: &[&str]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let repository = snapshot.repositories.change(&id::image("api")).unwrap();
        repository.image_tag_mutability = Some(mutability.into());
        repository.image_tag_mutability_exclusion_filters =
            filters.iter().map(|filter| (*filter).to_owned()).collect();
        snapshot
    }

    #[test]
    fn names_tag_and_repository() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Tag 1.4.2 of api can be pushed again with another image: the repository's tags are MUTABLE."
            ]
        );
    }

    #[test]
    fn exclusions_turn_it_round() {
        let cases = [
            ("IMMUTABLE", &[][..], false),
            ("IMMUTABLE_WITH_EXCLUSION", &["latest"], false),
            ("IMMUTABLE_WITH_EXCLUSION", &["1.*"], true),
            ("MUTABLE_WITH_EXCLUSION", &["1.4.*"], false),
            ("MUTABLE_WITH_EXCLUSION", &["*-rc*"], true),
            ("MUTABLE_WITH_EXCLUSION", &["*"], false),
        ];
        for (mutability, filters, sick) in cases {
            let found = exam(CHECK, &repository(mutability, filters)).outcome == Outcome::Sick;
            assert_eq!(found, sick, "{mutability} but {filters:?}");
        }
    }

    #[test]
    fn an_image_by_digest_or_elsewhere_has_no_tag_to_move() {
        for spelled in [
            format!("{}@{}", id::image("api"), id::digest(1)),
            "nginx:1.27".into(),
            id::image("api:1.4.2").replace("eu-west-2", "us-east-1"),
        ] {
            let mut snapshot = repository("MUTABLE", &[]);
            snapshot
                .task_definitions
                .change(&id::ecs("task-definition/api:12"))
                .unwrap()
                .container_definitions[0]
                .image = spelled.clone();
            let exam = exam(CHECK, &snapshot);
            assert_eq!(exam.outcome, Outcome::Healthy, "{spelled}");
            assert!(!exam.read.contains(&Call::DescribeRepositories), "{spelled}");
        }
    }
}
