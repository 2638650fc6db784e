//! What IAM tells of a role that ECS could not use: whom it trusts, and whether its policies allow
//! what was refused. It is asked only after such a failure. Of a trust policy the services and the
//! names of conditions are kept.

use aws_sdk_iam::types;
use checks::call::Call;
use checks::facts::access::refusal::Question;
use checks::seen::Seen;
use checks::snapshot::access::{MatchedStatement, TrustPolicy};
use checks::snapshot::{Role, Simulation};
use serde_json::Value;

use super::{Aws, text};

impl Aws {
    pub async fn role(&self, name: &str) -> Seen<Option<Role>> {
        let request = self.iam.get_role().role_name(name).send();
        self.asker.ask(Call::GetRole, request).await.map(|reply| {
            let role = reply?.role?;
            Some(Role {
                assume_role_policy_document: trust(
                    role.assume_role_policy_document.as_deref().unwrap_or_default(),
                ),
                role_name: role.role_name,
                arn: role.arn,
            })
        })
    }

    /// Whether the role's own policies allow it. A role that is not there has none.
    pub async fn simulation(&self, question: &Question<'_>) -> Seen<Option<Simulation>> {
        let request = self
            .iam
            .simulate_principal_policy()
            .policy_source_arn(&question.role)
            .action_names(question.action);
        let request = request
            .set_resource_arns(question.resource.map(|resource| vec![resource.to_owned()]))
            .send();
        self.asker.ask(Call::SimulatePrincipalPolicy, request).await.map(|reply| {
            let result = reply?.evaluation_results.unwrap_or_default().into_iter().next()?;
            Some(simulation(&question.role, result))
        })
    }
}

fn simulation(role: &str, from: types::EvaluationResult) -> Simulation {
    let statement = |from: types::Statement| MatchedStatement {
        source_policy_id: from.source_policy_id,
        source_policy_type: text(from.source_policy_type),
    };
    Simulation {
        policy_source_arn: role.to_owned(),
        eval_action_name: from.eval_action_name,
        eval_resource_name: from.eval_resource_name,
        eval_decision: from.eval_decision.as_str().to_owned(),
        matched_statements: from
            .matched_statements
            .unwrap_or_default()
            .into_iter()
            .map(statement)
            .collect(),
        missing_context_values: from.missing_context_values.unwrap_or_default(),
        allowed_by_permissions_boundary: from
            .permissions_boundary_decision_detail
            .map(|detail| detail.allowed_by_permissions_boundary),
        allowed_by_organizations: from
            .organizations_decision_detail
            .map(|detail| detail.allowed_by_organizations),
    }
}

/// A trust policy as IAM sends it: JSON, percent-encoded.
fn trust(document: &str) -> TrustPolicy {
    let document: Value = serde_json::from_str(&percent_decoded(document)).unwrap_or_default();
    let mut trust = TrustPolicy::default();
    for statement in one_or_many(&document["Statement"]) {
        if statement["Effect"] != "Allow" {
            trust.denies = true;
            continue;
        }
        let assumes = one_or_many(&statement["Action"])
            .filter_map(Value::as_str)
            .any(|action| matches!(action, "sts:AssumeRole" | "sts:*" | "*"));
        if assumes {
            // `"Principal": "*"` trusts everybody, whom a condition may then narrow.
            let principal = &statement["Principal"];
            let services =
                one_or_many(if principal.is_string() { principal } else { &principal["Service"] });
            trust.service.extend(services.filter_map(Value::as_str).map(str::to_owned));
            let conditions = statement["Condition"]
                .as_object()
                .into_iter()
                .flat_map(|operators| operators.values());
            trust.condition.extend(
                conditions.filter_map(Value::as_object).flat_map(|keys| keys.keys().cloned()),
            );
        }
    }
    trust
}

fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Null => [].iter(),
        Value::Array(many) => many.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whom_a_role_trusts() {
        let document = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ec2.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
        assert_eq!(
            trust(document),
            TrustPolicy {
                service: vec!["ec2.amazonaws.com".into()],
                condition: Vec::new(),
                denies: false
            }
        );
        let document = r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": ["ecs-tasks.amazonaws.com"]}, "Action": ["sts:AssumeRole"],
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}}"#;
        let expected = TrustPolicy {
            service: vec!["ecs-tasks.amazonaws.com".into()],
            condition: vec!["aws:SourceAccount".into()],
            denies: false,
        };
        assert_eq!(trust(document), expected);
        assert_eq!(trust("no policy"), TrustPolicy::default());
    }
}
