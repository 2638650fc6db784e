//! What a check is, and the `check!` macro with which each file of the catalog declares its own.

use schemars::JsonSchema;
use serde::Serialize;

use crate::applies::Applies;
use crate::call::Call;
use crate::finding::Finding;
use crate::patient::Patient;
use crate::ruled_out::RuledOutBy;
use crate::seen::{Blind, See};
use crate::snapshot::Snapshot;
use crate::symptom::Symptom;
use crate::text::printed_as_in_json;

/// How bad it is; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients are hurt now.
    Critical,
    /// The service or its deployment fails.
    High,
    /// Something is wrong and will hurt.
    Medium,
    /// Worth knowing.
    Low,
    /// A note.
    Info,
}

impl Severity {
    pub const ALL: &[Severity] =
        &[Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
}

/// What a check's findings are in the causal order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Seen going wrong, remedied elsewhere.
    Symptom,
    /// The remedy is in this finding.
    Cause,
    /// Nothing suffers from it yet.
    Risk,
    /// A normal state that looks like trouble.
    Note,
}

printed_as_in_json!(Severity, Role);

/// Why a check did not come to an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum NoAnswer {
    /// The service has nothing for this check to look at, in a few words: "no load balancer".
    NotApplicable(&'static str),
    CouldNotLook(Blind),
}

impl From<Blind> for NoAnswer {
    fn from(blind: Blind) -> Self {
        NoAnswer::CouldNotLook(blind)
    }
}

/// What a check has found so far, kept even if it goes blind later.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) found: Vec<Finding>,
    pub(crate) hidden: Vec<Blind>,
}

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    /// Takes a row that may be hidden: notes the blindness and goes on with `None`.
    pub fn see<T>(&mut self, row: Result<T, Blind>) -> Option<T> {
        See::see(self, row)
    }
}

impl See for Findings {
    fn see<T>(&mut self, row: Result<T, Blind>) -> Option<T> {
        match row {
            Ok(value) => Some(value),
            Err(blind) => {
                self.hidden.push(blind);
                None
            }
        }
    }
}

pub type Look = fn(&Patient, &mut Findings) -> Result<(), NoAnswer>;

/// One check: a file that knows one trouble.
#[derive(Clone, Copy)]
pub struct Check {
    /// `module_path!()` of its file: group and id come from it, so that they are spelled once.
    pub path: &'static str,
    pub title: &'static str,
    /// The doc comment, in Markdown.
    pub explanation: &'static str,
    pub severity: Severity,
    pub role: Role,
    pub shows: Option<Symptom>,
    pub explains: &'static [Symptom],
    /// Which services it is about; of others it says that it does not apply.
    pub applies: &'static [Applies],
    /// A fact that rules its trouble out where it could not look.
    pub ruled_out_by: Option<RuledOutBy>,
    /// Every call whose answer the check reads.
    pub reads: &'static [Call],
    /// Makes a healthy service sick in exactly this way.
    pub example: fn() -> Snapshot,
    pub look: Look,
}

impl Check {
    /// The file name, which is the id everywhere.
    pub fn id(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }

    pub fn group(&self) -> &'static str {
        self.path.rsplit("::").nth(1).unwrap_or("")
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

/// Declares the check of a file: its doc comment is what `explain` prints, the free function `look`
/// below does the work.
///
/// `example: on express, |snapshot| { … }` names the healthy service to start from and makes it
/// sick.
#[macro_export]
macro_rules! check {
    (
        $( #[doc = $doc:literal] )*
        title: $title:literal,
        severity: $severity:ident,
        role: $role:ident,
        $( shows: $shows:ident, )?
        explains: [ $( $explains:ident ),* $(,)? ],
        $( applies: [ $( $applies:ident ),* $(,)? ], )?
        $( ruled_out_by: $fact:ident, )?
        reads: [ $( $reads:ident ),* $(,)? ],
        example: on $baseline:ident, |$snapshot:ident| $example:block $(,)?
    ) => {
        pub(super) const CHECK: $crate::check::Check = $crate::check::Check {
            path: module_path!(),
            title: $title,
            explanation: concat!( $( $doc, "\n", )* ),
            severity: $crate::check::Severity::$severity,
            role: $crate::check::Role::$role,
            shows: $crate::check!(@first $( $shows )?),
            explains: &[ $( $crate::symptom::Symptom::$explains ),* ],
            applies: &[ $( $( $crate::applies::Applies::$applies ),* )? ],
            ruled_out_by: $crate::check!(@fact $( $fact )?),
            reads: &[ $( $crate::call::Call::$reads ),* ],
            example: {
                fn example() -> $crate::snapshot::Snapshot {
                    let mut healthy = $crate::baseline::$baseline();
                    let $snapshot = &mut healthy;
                    $example;
                    healthy
                }
                example
            },
            look,
        };
    };
    (@fact) => { None };
    (@fact $fact:ident) => { Some($crate::ruled_out::RuledOutBy::$fact) };
    (@first) => { None };
    (@first $symptom:ident) => { Some($crate::symptom::Symptom::$symptom) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Call;
    use crate::seen::Why;
    use crate::testing::{made, trouble};

    #[test]
    fn group_and_id_are_the_folder_and_the_file() {
        let check = made("ecs_doctor_checks::catalog::tasks::disk_full");
        assert_eq!((check.group(), check.id()), ("tasks", "disk_full"));
        assert_eq!(format!("{check:?}"), "disk_full");
    }

    #[test]
    fn severities_and_roles_have_their_words_the_worst_first() {
        assert_eq!(
            Severity::ALL.iter().map(|severity| severity.to_string()).collect::<Vec<_>>(),
            ["critical", "high", "medium", "low", "info"]
        );
        assert!(Severity::ALL.is_sorted());
        let roles = [Role::Symptom, Role::Cause, Role::Risk, Role::Note];
        assert_eq!(roles.map(|role| role.to_string()), ["symptom", "cause", "risk", "note"]);
    }

    #[test]
    fn findings_keep_what_was_found_and_what_was_hidden() {
        let blind = Blind { call: Call::DescribeTasks, why: Why::Declined };
        let mut findings = Findings::default();
        findings.add(trouble("first"));
        assert_eq!(findings.see(Ok(7)), Some(7));
        assert_eq!(findings.see::<i32>(Err(blind.clone())), None);
        findings.add(trouble("second"));
        assert_eq!(findings.found, [trouble("first"), trouble("second")]);
        assert_eq!(findings.hidden, std::slice::from_ref(&blind));
        assert_eq!(NoAnswer::from(blind.clone()), NoAnswer::CouldNotLook(blind));
    }
}
