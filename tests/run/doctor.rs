//! Runs the real binary, in an environment that has nothing but what a test gives it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// What one run said and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The report of the one service.
    pub fn service(&self) -> Value {
        self.json()["services"][0].clone()
    }
}

/// The program with these arguments; more environment can be added before `run`.
pub fn doctor(arguments: &[&str]) -> Doctor {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecs-doctor"));
    command
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "80")
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    Doctor(command)
}

pub struct Doctor(Command);

impl Doctor {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it in this folder.
    pub fn within(mut self, folder: &std::path::Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    #[cfg(feature = "aws")]
    pub fn at(mut self, account: &crate::wire::Account) -> Self {
        self.0
            .envs(account.environment())
            .env("ECS_DOCTOR_NOW", account.now())
            .env("ECS_DOCTOR_PACE_MS", "0");
        self
    }

    /// Starts it, with its standard output wherever the test wants it.
    pub fn spawn(mut self, stdout: Stdio) -> std::process::Child {
        self.0.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    pub fn run(mut self) -> Run {
        let output = self.0.output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Every finding of a service's report with its check, roots and what they explain.
#[cfg(feature = "aws")]
pub fn checks(service: &Value) -> Vec<String> {
    fn walk(findings: &Value, all: &mut Vec<String>) {
        for finding in findings.as_array().into_iter().flatten() {
            all.push(finding["check"].as_str().unwrap_or_default().to_owned());
            walk(&finding["explains"], all);
        }
    }
    let mut all = Vec::new();
    walk(&service["roots"], &mut all);
    all
}
