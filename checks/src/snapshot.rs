//! Everything AWS told us, and everything it would not, at one moment. Fields carry AWS's own names
//! in snake case, so that a piece of evidence can be found again in the API. Nothing secret is in
//! here: values of environment variables and commands never enter, of URLs only the host does.

pub mod access;
pub mod alarm;
pub mod balancer;
pub mod capacity;
pub mod certificate;
pub mod deployment;
pub mod image;
pub mod log;
pub mod metric;
pub mod network;
pub mod peers;
pub mod probe;
pub mod scaling;
pub mod service;
mod tables;
pub mod task;
pub mod task_definition;
pub mod trail;
pub mod vpc;
pub mod web_acl;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use tables::tables;

pub use access::*;
pub use alarm::*;
pub use balancer::*;
pub use capacity::*;
pub use certificate::*;
pub use deployment::*;
pub use image::*;
pub use log::*;
pub use metric::*;
pub use network::*;
pub use peers::*;
pub use probe::*;
pub use scaling::*;
pub use service::*;
pub use task::*;
pub use task_definition::*;
pub use trail::*;
pub use vpc::*;
pub use web_acl::*;

use crate::seen::{Blind, Seen, Why};

/// The version of the snapshot file: a reader takes every minor version of its own major version.
pub const FORMAT: &str = "ecs-doctor-snapshot/1.0";

/// What was asked for a key: AWS has it, AWS has none, or AWS would not say. A key never asked for
/// is `NotAsked`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Table<V>(pub BTreeMap<String, Seen<Option<V>>>);

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table(BTreeMap::new())
    }
}

impl<V> Table<V> {
    pub fn get(&self, key: &str) -> Seen<Option<&V>> {
        match self.0.get(key) {
            Some(Seen::Yes(value)) => Seen::Yes(value.as_ref()),
            Some(Seen::No(why)) => Seen::No(why.clone()),
            None => Seen::No(Why::NotAsked),
        }
    }

    pub fn insert(&mut self, key: impl Into<String>, value: Seen<Option<V>>) {
        self.0.insert(key.into(), value);
    }

    /// Puts a value that AWS told us.
    pub fn put(&mut self, key: impl Into<String>, value: V) {
        self.insert(key, Seen::Yes(Some(value)));
    }

    /// The value for a test or an example to change, where AWS told us one.
    pub fn change(&mut self, key: &str) -> Option<&mut V> {
        match self.0.get_mut(key) {
            Some(Seen::Yes(value)) => value.as_mut(),
            _ => None,
        }
    }
}

/// How many calls were made, and how long all of it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Calls {
    pub total: u32,
    /// By IAM action.
    pub by_operation: BTreeMap<String, u32>,
    pub elapsed_ms: u64,
}

/// The type of a field: `[Target]` is a table of lists.
macro_rules! table {
    ([$item:ident]) => { Table<Vec<$item>> };
    ($value:ident) => { Table<$value> };
}

macro_rules! snapshot {
    ($(
        $({ $($other:tt)* })?
        $(#[$doc:meta])*
        $table:ident: $value:tt by $key:ident via $call:ident
            $(as $accessor:ident $(, all $all:ident)?)?;
    )*) => {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct Snapshot {
            pub format: String,
            /// The program that made it, with its version.
            pub made_by: String,
            /// The only clock: every age in a report is counted from here.
            pub taken_at: Timestamp,
            pub account: String,
            pub region: String,
            /// Set on accounts that are made up, so that no report of one passes for a real one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub example: Option<String>,
            #[serde(default)]
            pub calls: Calls,
            /// Every call that was refused or broke, once.
            #[serde(default)]
            pub blind: Vec<Blind>,
            /// The URL that the user asked about; of its query what a rule asks for.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub url: Option<String>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub probe: Option<Probe>,
            /// The services to examine.
            pub services: Vec<Service>,
            $(
                $($($other)*)?
                $(#[$doc])*
                #[serde(default)]
                pub $table: table!($value),
            )*
        }
    };
}

tables!(snapshot);
