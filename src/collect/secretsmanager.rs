//! What Secrets Manager tells of a secret: its name and dates. Its value is never asked for, and what
//! else is told stays where it is.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::Secret;

use super::{Aws, time};

impl Aws {
    pub async fn secret(&self, arn: &str) -> Seen<Option<Secret>> {
        let request = self.secretsmanager.describe_secret().secret_id(arn).send();
        self.asker.ask(Call::DescribeSecret, request).await.map(|reply| reply.map(secret))
    }
}

fn secret(from: DescribeSecretOutput) -> Secret {
    Secret {
        arn: from.arn.unwrap_or_default(),
        name: from.name.unwrap_or_default(),
        last_changed_date: time(from.last_changed_date),
        last_rotated_date: time(from.last_rotated_date),
        deleted_date: time(from.deleted_date),
    }
}
