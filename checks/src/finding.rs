//! A finding: a trouble with its subject, the evidence for it and the remedy.
//! It is built so that it cannot exist without evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::Call;

/// What kind of thing a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[schemars(rename = "SubjectKind")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Service,
    Deployment,
    #[serde(rename = "service_revision")]
    Revision,
    TaskDefinition,
    Task,
    Container,
    Image,
    TargetGroup,
    Target,
    LoadBalancer,
    Listener,
    ListenerRule,
    SecurityGroup,
    Subnet,
    Vpc,
    #[serde(rename = "vpc_endpoint")]
    Endpoint,
    NetworkAcl,
    Alarm,
    LogGroup,
    Database,
}

/// One thing in the account: an ARN, or the id or name that AWS uses for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub kind: Kind,
    pub id: String,
}

impl Subject {
    pub fn new(kind: Kind, id: impl Into<String>) -> Subject {
        Subject { kind, id: id.into() }
    }

    /// A finding about this subject. It takes its first piece of evidence here, so that there is
    /// none without.
    pub fn sick(self, says: impl Into<String>, evidence: Evidence) -> Finding {
        Finding {
            scope: Scope::default(),
            about: self,
            says: says.into(),
            evidence: vec![evidence],
            remedy: Remedy::default(),
            since: None,
            alone: false,
        }
    }
}

/// What makes us say so: a call, the thing it was asked about, and a field with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub call: Call,
    /// What the call was asked about, or the element of its reply that has the field: an ARN, an id
    /// or a name.
    pub of: String,
    /// The field in AWS's own spelling, such as `TargetHealth.Description`.
    pub field: &'static str,
    pub value: String,
    pub at: Option<Timestamp>,
}

impl Evidence {
    pub fn new(
        call: Call,
        of: impl Into<String>,
        field: &'static str,
        value: impl ToString,
    ) -> Evidence {
        Evidence { call, of: of.into(), field, value: value.to_string(), at: None }
    }

    pub fn at(mut self, at: Option<Timestamp>) -> Evidence {
        self.at = at;
        self
    }
}

/// What to do: in a sentence, as commands, and as Terraform/OpenTofu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    pub summary: String,
    pub cli: Vec<String>,
    pub terraform: Option<String>,
}

impl Remedy {
    pub fn new(summary: impl Into<String>) -> Remedy {
        Remedy { summary: summary.into(), ..Remedy::default() }
    }

    pub fn cli(mut self, command: impl Into<String>) -> Remedy {
        self.cli.push(command.into());
        self
    }

    pub fn terraform(mut self, code: impl Into<String>) -> Remedy {
        self.terraform = Some(code.into());
        self
    }
}

/// The part of the service that a finding concerns: the whole, or just these groups, deployments or
/// containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<(Kind, String)>);

impl Scope {
    /// Two scopes overlap unless both name things of one kind and have none of them in common.
    pub fn overlaps(&self, other: &Scope) -> bool {
        let kinds: BTreeSet<Kind> = self.0.iter().map(|(kind, _)| *kind).collect();
        kinds.into_iter().all(|kind| {
            let theirs: Vec<&String> =
                other.0.iter().filter(|(k, _)| *k == kind).map(|(_, id)| id).collect();
            theirs.is_empty() || theirs.iter().any(|id| self.0.contains(&(kind, (*id).clone())))
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub about: Subject,
    /// One or two sentences in the present tense, with numbers and the names that the user knows.
    pub says: String,
    pub evidence: Vec<Evidence>,
    pub remedy: Remedy,
    pub scope: Scope,
    /// When the trouble began, where that is known.
    pub since: Option<Timestamp>,
    /// It is no case of the symptom that its check shows, so nothing explains it.
    pub alone: bool,
}

impl Finding {
    pub fn because(mut self, evidence: Evidence) -> Finding {
        self.evidence.push(evidence);
        self
    }

    pub fn because_all(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Finding {
        self.evidence.extend(evidence);
        self
    }

    pub fn mend(mut self, remedy: Remedy) -> Finding {
        self.remedy = remedy;
        self
    }

    /// Says that this is no case of the symptom that the check shows.
    pub fn alone_if(mut self, alone: bool) -> Finding {
        self.alone = alone;
        self
    }

    pub fn since(mut self, since: Option<Timestamp>) -> Finding {
        self.since = since;
        self
    }

    /// Limits the finding to this thing, beside those already named.
    pub fn concerns(mut self, kind: Kind, id: impl Into<String>) -> Finding {
        self.scope.0.insert((kind, id.into()));
        self
    }

    pub fn concerns_all<I: Into<String>>(
        mut self,
        kind: Kind,
        ids: impl IntoIterator<Item = I>,
    ) -> Finding {
        self.scope.0.extend(ids.into_iter().map(|id| (kind, id.into())));
        self
    }

    /// Says that nothing of this kind is concerned, so that it does not overlap with a finding
    /// about such a thing.
    pub fn concerns_no(mut self, kind: Kind) -> Finding {
        self.scope.0.insert((kind, String::new()));
        self
    }
}
