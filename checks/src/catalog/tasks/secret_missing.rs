//! A secret, its current version, a key in its JSON, or a parameter does not exist under the name
//! in the task definition.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Fault, Trouble};
use crate::catalog::tasks::common::{fixes, reasons};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::reason::Told;
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::text::pattern;
use crate::{aws, hcl, words};

crate::check! {
    /// A secret, key or parameter that the task definition names does not exist.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start. The name may be wrong, the secret in another region, its
    /// value not set yet, or the key missing from its JSON.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped while ECS fetched their secrets, and the end of the reason says
    /// that Secrets Manager cannot find the secret or its version, that the secret "did not contain
    /// json key" or is not JSON at all, or that parameters are invalid.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws secretsmanager describe-secret --secret-id <secret>
    /// aws ssm get-parameters --names <parameter> --query InvalidParameters
    /// aws secretsmanager put-secret-value --secret-id <secret> --secret-string file://secret.json
    /// ```
    ///
    /// Terraform/OpenTofu: `secrets[].valueFrom` in `container_definitions`: the ARN of the secret
    /// with `:KEY::` for a key in its JSON; `aws_secretsmanager_secret_version` for its value.
    ///
    /// # See also
    ///
    /// `secret_denied`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>
    title: "A secret that the tasks need does not exist",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key DATABASE_PASSWORD",
        );
    },
}

static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"json key (?<it>[^\s:,]+)"));
static SECRET: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"secret (?<it>arn:aws[^\s,]*:secret:[^\s:,]+)"));
static PARAMETERS: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"invalid (?:ssm )?parameters: (?<it>[^\s,]+(?:, ?[^\s,]+)*)"));

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::SecretMissing], |told, _| {
        let secret = stop_reason::part(&SECRET, told.text);
        let name = secret.map_or("a secret of the task definition".to_owned(), |arn| {
            format!("secret {}", arn.rsplit(':').next().unwrap_or(arn))
        });
        let parameters = stop_reason::part(&PARAMETERS, told.text);
        let claim = match (parameters, stop_reason::part(&KEY, told.text)) {
            (Some(parameters), _) => format!("Parameter Store has no {parameters}"),
            (None, Some(key)) => format!("{name} has no key {key} in its JSON"),
            (None, None) if told.text.contains("staging label") => {
                format!("{name} has no current value")
            }
            (None, None) if told.text.contains("marked for deletion") => {
                format!("{name} is marked for deletion")
            }
            (None, None) if told.reason.fault == Some(Fault::NotJson) => {
                format!(
                    "the value of {name} is not the JSON that the task definition expects (\"{}\")",
                    stop_reason::quoted(told.text)
                )
            }
            (None, None) => format!("{name} does not exist under that name in this region"),
        };
        let see = match (parameters, secret) {
            (Some(parameters), _) => aws!("ssm get-parameters --names")
                .args(parameters.split(',').map(str::trim))
                .and(words!("--query InvalidParameters")),
            (None, secret) => aws!(
                "secretsmanager describe-secret --secret-id {}",
                secret.map_or(Word::needed("SECRET_ID"), Word::new)
            ),
        };
        let remedy = Remedy::new(
            "Create what is missing (a secret's JSON is replaced as a whole), or correct valueFrom in the task definition, and deploy again.",
        )
        .cli(see);
        let remedy = filled(patient, told, remedy, parameters, secret).cli(told.see(patient));
        Some(told.finding(patient, &claim).mend(remedy))
    })
}

/// What creates or brings back what is missing, where the reason says what that is.
fn filled(
    patient: &Patient,
    told: &Told,
    remedy: Remedy,
    parameters: Option<&str>,
    secret: Option<&str>,
) -> Remedy {
    let id = secret.map_or(Word::needed("SECRET_ID"), Word::new);
    let is = |words: &str| told.text.contains(words);
    let remedy = match parameters {
        Some(parameters) => parameters.split(',').map(str::trim).fold(remedy, |remedy, name| {
            remedy.cli(aws!("ssm put-parameter --name {} --type SecureString --value $VALUE", name))
        }),
        None if is("marked for deletion") => {
            remedy.cli(aws!("secretsmanager restore-secret --secret-id {}", id))
        }
        None if is("json key")
            || is("staging label")
            || told.reason.fault == Some(Fault::NotJson) =>
        {
            remedy.cli(aws!(
                "secretsmanager put-secret-value --secret-id {} --secret-string file://secret.json",
                id
            ))
        }
        // Only the user knows whether the secret or the name is wrong.
        None => {
            return remedy.terraform(hcl!(
                r#"
                resource "aws_ecs_task_definition" {} {
                  container_definitions = jsonencode([{
                    secrets = [{ name = var.name, valueFrom = aws_secretsmanager_secret.this.arn }]
                  }])
                }"#,
                patient.name()
            ));
        }
    };
    remedy.cli(fixes::deploy(patient, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{says, says_of_failed_starts};

    fn with(tail: &str) -> Vec<String> {
        let text = format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret {tail}"
        );
        says_of_failed_starts(CHECK, 2, &text)
    }

    #[test]
    fn names_key_secret_or_parameter() {
        assert!(says(CHECK, &(CHECK.example)())[0].starts_with(
            "A secret of the task definition has no key DATABASE_PASSWORD in its JSON: 3 of 3"
        ));
        assert!(
            with("from ssm: service call has been retried 1 time(s): invalid ssm parameters: /mailer/key")[0]
                .starts_with("Parameter Store has no /mailer/key: ")
        );
        let gone = "from asm: failed to fetch secret arn:aws:secretsmanager:eu-west-2:123456789012:secret:db-AbCdEf from secrets manager: \
                    ResourceNotFoundException: Secrets Manager can't find the specified secret.";
        assert!(
            with(gone)[0]
                .starts_with("Secret db-AbCdEf does not exist under that name in this region: ")
        );
        let deleted = gone.replace(
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
            "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.",
        );
        assert!(with(&deleted)[0].starts_with("Secret db-AbCdEf is marked for deletion: "));
        let empty = "from asm: ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
        assert!(
            with(empty)[0].starts_with("A secret of the task definition has no current value: ")
        );
    }

    #[test]
    fn a_store_that_nobody_reaches_or_that_refuses_lacks_nothing() {
        assert!(
            with("from asm: There is a connection issue between the task and AWS Secrets Manager.")
                .is_empty()
        );
        assert!(
            with("from ssm: AccessDeniedException: not authorized to perform: ssm:GetParameters")
                .is_empty()
        );
    }
}
