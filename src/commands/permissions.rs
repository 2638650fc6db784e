//! `ecs-doctor permissions`: the least IAM policy that shows everything, made from the calls that the program can make.

use std::io::Write;

use anyhow::Result;
use checks::call::Call;

use crate::exit::Exit;

pub fn run() -> Result<Exit> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", policy()?)?;
    Ok(Exit::Fine)
}

/// Elastic Load Balancing's and most of these calls know no resources, so the policy has none but `*`.
pub fn policy() -> Result<String> {
    let mut actions: Vec<&str> = Call::ALL.iter().map(|call| call.action()).collect();
    actions.sort_unstable();
    let statement = serde_json::json!({ "Sid": "EcsDoctor", "Effect": "Allow", "Action": actions, "Resource": "*" });
    Ok(serde_json::to_string_pretty(&serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }))?)
}
