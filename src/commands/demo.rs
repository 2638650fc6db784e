//! `ecs-doctor demo`: example accounts, recorded from replies in AWS's own shapes and diagnosed
//! like any other.

use anyhow::Result;

use crate::cli::{Demo, FailOn};
use crate::commands::diagnose::{self, Wishes};
use crate::config::Config;
use crate::exit::{Exit, UsageError};
use crate::{printed, replay};

/// An example account: its name, what happened there, and its snapshot.
struct Example {
    name: &'static str,
    about: &'static str,
    snapshot: &'static str,
}

macro_rules! examples {
    ($( $name:literal: $about:literal; )*) => {
        &[ $( Example { name: $name, about: $about, snapshot: include_str!(concat!("../../tests/recorded/", $name, ".json")) }, )* ]
    };
}

/// The first is the one that `demo` shows without a name.
const EXAMPLES: &[Example] = examples! {
    "green-console-503": "a new Express service: the console is green and the URL answers 503";
    "canary-without-traffic": "a deployment that has been at its canary for three hours, for lack of requests";
    "alarm-of-4xx": "a good version that a scanner's 404s rolled back";
    "latest-pushed-not-running": "a pushed :latest that never arrives";
    "narrow-rule-beside-wide-one": "a rule for one address that keeps nobody out";
    "custom-domain-after-deploy": "a custom domain that answers 503 after each deployment";
    "boomerang": "a dashboard that asks its API over the internet";
    "the-allow-list-and-the-dashboard": "an allow list that shuts out the own dashboard";
    "port-80-is-enough": "a security group that opens port 80, and bridge mode that needs others";
    "two-causes-two-versions": "two versions that fail to start, each for a reason of its own";
    "instances-without-room": "a task that no container instance has room for";
};

pub fn names() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().map(|example| example.name)
}

pub fn run(options: &Demo) -> Result<Exit> {
    if options.list {
        let width = EXAMPLES.iter().map(|example| example.name.len()).max().unwrap_or_default();
        printed::page(|out| {
            for example in EXAMPLES {
                writeln!(out, "{:width$}  {}", example.name, example.about)?;
            }
            Ok(())
        })?;
        return Ok(Exit::Fine);
    }
    let wanted = options.name.as_deref().unwrap_or(EXAMPLES[0].name);
    let Some(example) = EXAMPLES.iter().find(|example| example.name == wanted) else {
        let names: Vec<&str> = names().collect();
        return Err(UsageError(format!(
            "there is no example {wanted:?}; there are {}",
            names.join(", ")
        ))
        .into());
    };
    let mut snapshot = replay::parse(example.snapshot)?;
    snapshot.example = Some(example.about.to_owned());
    // Nobody expects anything of an account that is made up.
    let wishes = Wishes {
        config: &Config::default(),
        profile: None,
        report: &options.report,
        fail_on: FailOn::Never,
        beside: false,
    };
    diagnose::conclude(&snapshot, &wishes)
}
