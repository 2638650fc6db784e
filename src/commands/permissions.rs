//! `ecs-doctor permissions`: the least IAM policy that shows everything, made from the calls that
//! the program can make.

use anyhow::Result;
use checks::call::Call;

use crate::exit::Exit;
use crate::printed;

pub fn run() -> Result<Exit> {
    printed::page(|out| Ok(writeln!(out, "{}", policy()?)?))?;
    Ok(Exit::Fine)
}

/// Elastic Load Balancing's and most of these calls know no resources, so the policy has none but
/// `*`.
pub fn policy() -> Result<String> {
    let mut actions: Vec<&str> = Call::ALL.iter().flat_map(|call| call.needs()).collect();
    actions.sort_unstable();
    let statement = serde_json::json!({ "Sid": "EcsDoctor", "Effect": "Allow", "Action": actions, "Resource": "*" });
    Ok(serde_json::to_string_pretty(
        &serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_what_aws_looks_for_besides_and_nothing_that_writes() {
        let policy: serde_json::Value = serde_json::from_str(&policy().unwrap()).unwrap();
        let actions: Vec<&str> = policy["Statement"][0]["Action"]
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action.as_str().unwrap())
            .collect();
        assert!(actions.contains(&"wafv2:GetWebACL"), "{actions:?}");
        let reads = |action: &&str| {
            ["Describe", "List", "Get", "BatchGet", "Filter", "Lookup", "Simulate"]
                .iter()
                .any(|verb| action.contains(&format!(":{verb}")))
        };
        assert!(actions.iter().all(reads), "{actions:?}");
        assert!(
            !actions
                .iter()
                .any(|action| action.contains("SecretValue") || action.contains("GetParameter")),
            "{actions:?}"
        );
    }
}
