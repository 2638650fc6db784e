//! What IAM says of the roles of the made-up services. It is asked only after a failure, so no
//! healthy service has any of it.

use super::ACCOUNT;
use crate::snapshot::access::{MatchedStatement, TrustPolicy};
use crate::snapshot::{Role, Simulation, Snapshot};

/// Lets IAM say of a role whether its policies allow the action on the resource: `allowed`,
/// `implicitDeny` or `explicitDeny`, the latter by policy `no-secrets`.
pub fn simulate(snapshot: &mut Snapshot, role: &str, action: &str, resource: &str, decision: &str) {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
    let policy = MatchedStatement {
        source_policy_id: Some("no-secrets".into()),
        source_policy_type: Some("user-managed".into()),
    };
    let simulation = Simulation {
        policy_source_arn: role.clone(),
        eval_action_name: action.into(),
        eval_resource_name: Some(resource.into()),
        eval_decision: decision.into(),
        matched_statements: if decision == "explicitDeny" { vec![policy] } else { Vec::new() },
        ..Simulation::default()
    };
    snapshot.simulations.put(format!("{role} {action} {resource}"), simulation);
}

/// Lets a role trust these services.
pub fn trust(snapshot: &mut Snapshot, role: &str, services: &[&str]) {
    let policy = TrustPolicy {
        service: services.iter().map(|service| (*service).into()).collect(),
        ..TrustPolicy::default()
    };
    let row = Role {
        role_name: role.into(),
        arn: format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
        assume_role_policy_document: policy,
    };
    snapshot.roles.put(role, row);
}
