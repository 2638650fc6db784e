//! A secret exists and can be read, but ECS cannot use its format: registry credentials that are
//! not the expected JSON, or a valueFrom that is not the ARN of a secret. A key that is missing in
//! a secret's JSON is for `secret_missing`.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws;
use crate::aws::stop_reason::{self, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::finding::Remedy;
use crate::hcl;
use crate::patient::Patient;
use crate::text::pattern;

crate::check! {
    /// A secret of the task definition is not in a format that ECS can use.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start, although the secret exists and the role is allowed to
    /// read it.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while ECS fetched their secrets, and the end of the reason says
    /// that the value of `repositoryCredentials` could not be parsed ("unable to unmarshal secret
    /// value", "AuthorizationData is malformed"), or that `valueFrom` is not a valid ARN of Secrets
    /// Manager ("invalid ARN format"). A secret that is missing, or whose JSON lacks a key, is
    /// reported by `secret_missing`.
    ///
    /// # What to do
    ///
    /// Registry credentials are JSON with two keys, `username` and `password`:
    ///
    /// ```sh
    /// aws secretsmanager put-secret-value --secret-id <secret> --secret-string file://credentials.json
    /// ```
    ///
    /// Terraform/OpenTofu: `secret_string` of `aws_secretsmanager_secret_version`;
    /// `secrets[].valueFrom` in `container_definitions` of `aws_ecs_task_definition`.
    ///
    /// # See also
    ///
    /// `secret_missing`, `secret_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/private-auth.html>
    title: "A secret has the wrong format for ECS",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotPullContainerAuthError: asm fetching authorization data: unable to unmarshal secret value, invalid schema",
        );
    },
}

static SECRET: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?<it>arn:aws[^\s,:]*:secretsmanager:[^\s,]*:secret:[^\s:,]+)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::SecretMalformed], |told, _| {
        let text = told.text;
        let secret = stop_reason::part(&SECRET, text);
        let field = ["username", "password"]
            .into_iter()
            .find(|field| text.contains(&format!("fetching {field}")));
        let (claim, remedy) = if text.contains("AuthorizationData") || text.contains("asm fetching")
        {
            let claim = match field {
                Some(field) => format!(
                    "the secret of repositoryCredentials has no {field} in its JSON, or an empty one"
                ),
                None => {
                    "the secret of repositoryCredentials is not JSON with username and password"
                        .to_owned()
                }
            };
            (claim, of_registry(patient, secret))
        } else {
            (
                "a secret's valueFrom is not a valid ARN of Secrets Manager".to_owned(),
                Remedy::new(
                    "Set valueFrom to the full ARN of the secret, followed by :KEY:: for a key in its JSON, and deploy again.",
                )
                .cli(aws!(
                    "ecs describe-task-definition --task-definition {} \
                     --query taskDefinition.containerDefinitions[].[name,secrets]",
                    told.version()
                ))
                .cli(fixes::register())
                .terraform(hcl!(
                    r#"
                    resource "aws_ecs_task_definition" {} {
                      container_definitions = jsonencode([{
                        secrets = [{ name = var.name, valueFrom = aws_secretsmanager_secret.this.arn }]
                      }])
                    }"#,
                    patient.name()
                )),
            )
        };
        Some(told.finding(patient, &claim).mend(remedy.cli(told.see(patient))))
    })
}

fn of_registry(patient: &Patient, secret: Option<&str>) -> Remedy {
    Remedy::new(
        "Store the registry credentials as JSON with the two keys username and password, and deploy again.",
    )
    .cli(aws!(
        "secretsmanager put-secret-value --secret-id {} --secret-string file://credentials.json",
        secret.map_or(Word::needed("SECRET_ID"), Word::new)
    ))
    .terraform(hcl!(
        r#"
        resource "aws_secretsmanager_secret_version" {} {
          secret_string = jsonencode({ username = var.registry_username, password = var.registry_password })
        }"#,
        patient.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(text: &str) -> Vec<String> {
        says_of_failed_starts(CHECK, 2, text)
    }

    #[test]
    fn tells_credentials_of_a_registry_from_a_wrong_arn() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "The secret of repositoryCredentials is not JSON with username and password: 3 of 3"
        ));
        assert!(
            with("CannotPullContainerAuthError: asm fetching password: AuthorizationData is malformed, empty field")[0]
                .starts_with("The secret of repositoryCredentials has no password in its JSON")
        );
        assert!(
            with("fetching secret data from AWS Secrets Manager in region eu-west-2: an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN and try again.")[0]
                .starts_with("A secret's valueFrom is not a valid ARN of Secrets Manager: 2 of 2")
        );
    }

    #[test]
    fn a_secret_that_is_missing_or_denied_is_for_other_checks() {
        let head = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm:";
        for tail in [
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
            "retrieved secret from Secrets Manager did not contain json key PASSWORD",
            "AccessDeniedException: not authorized to perform: secretsmanager:GetSecretValue",
        ] {
            assert!(with(&format!("{head} {tail}")).is_empty(), "{tail}");
        }
    }
}
