//! A finding: a trouble with its subject, the evidence for it and the remedy.
//! It is built so that it cannot exist without evidence.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::{Call, LOG_STREAM};
use crate::command::Command;
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::snapshot::metric::{Metric, Owner};
use crate::text;

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
    Secret,
    Cluster,
    ContainerInstance,
    CapacityProvider,
    AutoScalingGroup,
    Certificate,
    WebAcl,
    IpSet,
    PrefixList,
    RouteTable,
    NatGateway,
    /// A peering connection or a transit gateway.
    Peering,
    Gateway,
    NetworkInterface,
    Namespace,
    DiscoveryService,
    Repository,
    Role,
    /// Whatever CloudTrail has events of.
    Resource,
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
    pub fn sick(self, claim: impl Into<String>, evidence: Evidence) -> Finding {
        Finding {
            scope: Scope::default(),
            about: self,
            claim: claim.into(),
            names: false,
            detail: String::new(),
            evidence: vec![evidence],
            remedy: Remedy::default(),
            since: None,
            alone: false,
            meant: false,
        }
    }
}

/// What a call was asked about, or the element of its reply that has the field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Thing(Subject),
    Metric(Metric, Subject),
    LogStream {
        group: String,
        stream: String,
    },
    /// Whether a role may do something to a resource.
    Question {
        role: String,
        action: String,
        resource: String,
    },
}

impl Of {
    /// The thing that a call is asked about by an id, by the key of a log stream, or by that of a
    /// question to IAM.
    fn asked(call: Call, id: &str) -> Of {
        if let Some((group, stream)) = id.split_once(LOG_STREAM) {
            return Of::LogStream { group: group.into(), stream: stream.into() };
        }
        let mut words = id.splitn(3, ' ').map(String::from);
        match (call, words.next(), words.next(), words.next()) {
            (Call::SimulatePrincipalPolicy, Some(role), Some(action), Some(resource)) => {
                Of::Question { role, action, resource }
            }
            _ => Of::Thing(Subject::new(call.about(), id)),
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Of::Thing(subject) => f.write_str(&subject.id),
            Of::Metric(metric, owner) => f.write_str(&metric.of(&owner.id)),
            Of::LogStream { group, stream } => write!(f, "{group}{LOG_STREAM}{stream}"),
            Of::Question { role, action, resource } => write!(f, "{role} {action} {resource}"),
        }
    }
}

/// What makes us say so: a call, the thing it was asked about, and a field with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub call: Call,
    pub of: Of,
    /// The field in AWS's own spelling, such as `TargetHealth.Description`.
    pub field: &'static str,
    pub value: String,
    pub at: Option<Timestamp>,
}

impl Evidence {
    /// Of a thing by its ARN, id or name; of a log stream by its key.
    pub fn new(
        call: Call,
        of: impl AsRef<str>,
        field: &'static str,
        value: impl ToString,
    ) -> Evidence {
        Evidence {
            call,
            of: Of::asked(call, of.as_ref()),
            field,
            value: value.to_string(),
            at: None,
        }
    }

    /// A value of a metric, with the resource that it is a metric of.
    pub fn metric(metric: Metric, owner: &str, value: impl ToString) -> Evidence {
        let kind = match metric.owner() {
            Owner::LoadBalancer | Owner::NetworkBalancer | Owner::SignIn => Kind::LoadBalancer,
            Owner::TargetGroup => Kind::TargetGroup,
            Owner::Service => Kind::Service,
            Owner::WebAcl => Kind::WebAcl,
        };
        Evidence {
            call: Call::GetMetricData,
            of: Of::Metric(metric, Subject::new(kind, owner)),
            field: metric.field(),
            value: value.to_string(),
            at: None,
        }
    }

    pub fn at(mut self, at: Option<Timestamp>) -> Evidence {
        self.at = at;
        self
    }

    /// The command that shows it.
    pub fn see(&self, patient: &Patient) -> Command {
        self.call.see(patient, &self.of)
    }
}

/// What to do: in a sentence, as commands, and as Terraform/OpenTofu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    pub summary: String,
    pub commands: Vec<Command>,
    pub terraform: Option<Hcl>,
}

impl Remedy {
    pub fn new(summary: impl Into<String>) -> Remedy {
        Remedy { summary: summary.into(), ..Remedy::default() }
    }

    pub fn cli(mut self, command: Command) -> Remedy {
        self.commands.push(command);
        self
    }

    pub fn terraform(mut self, code: Hcl) -> Remedy {
        self.terraform = Some(code);
        self
    }

    /// The commands as a shell takes them.
    pub fn shell(&self) -> Vec<String> {
        self.commands.iter().map(Command::to_string).collect()
    }
}

/// The part of the service that a finding concerns: the whole, or just these groups, deployments or
/// containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<(Kind, String)>);

impl Scope {
    /// What it names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, id)| id.as_str())
    }

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
    /// What is wrong, as a clause that can follow a colon: in the present tense, with numbers and
    /// the names that the user knows.
    pub claim: String,
    /// The claim begins with a name, which keeps its spelling at the start of a sentence.
    pub names: bool,
    /// What else there is to say, in whole sentences.
    pub detail: String,
    pub evidence: Vec<Evidence>,
    pub remedy: Remedy,
    pub scope: Scope,
    /// When the trouble began, where that is known.
    pub since: Option<Timestamp>,
    /// It is no case of the symptom that its check shows, so nothing explains it.
    pub alone: bool,
    /// Somebody arranged it: a note, whatever the check's findings are else, and what follows from
    /// it is no trouble.
    pub meant: bool,
}

impl Finding {
    /// The claim as a sentence.
    pub fn sentence(&self) -> String {
        let claim = if self.names { self.claim.clone() } else { text::capitalised(&self.claim) };
        format!("{claim}.")
    }

    /// The claim as a sentence, and the detail after it.
    pub fn says(&self) -> String {
        match self.detail.as_str() {
            "" => self.sentence(),
            detail => format!("{} {detail}", self.sentence()),
        }
    }

    /// Adds a sentence to what there is to say beside the claim.
    pub fn detail(mut self, sentence: impl AsRef<str>) -> Finding {
        let sentence = sentence.as_ref().trim();
        if !self.detail.is_empty() && !sentence.is_empty() {
            self.detail.push(' ');
        }
        self.detail.push_str(sentence);
        self
    }

    /// Says that the claim begins with a name.
    pub fn named(mut self) -> Finding {
        self.names = true;
        self
    }

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

    /// Says that somebody arranged it.
    pub fn meant_if(mut self, meant: bool) -> Finding {
        self.meant = meant;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trouble;

    fn scope(things: &[(Kind, &str)]) -> Scope {
        things.iter().fold(trouble("api"), |it, (kind, id)| it.concerns(*kind, *id)).scope
    }

    #[test]
    fn scopes_overlap_unless_both_name_things_of_a_kind_and_share_none() {
        let (group, task) = (Kind::TargetGroup, Kind::TaskDefinition);
        for (one, other, overlap) in [
            (&[][..], &[][..], true),
            (&[], &[(group, "blue")], true),
            (&[(group, "blue")], &[(group, "blue")], true),
            (&[(group, "blue")], &[(group, "green")], false),
            (&[(group, "blue")], &[(task, "blue")], true),
            (&[(group, "blue"), (group, "green")], &[(group, "green"), (group, "grey")], true),
            (&[(group, "blue"), (group, "green")], &[(group, "grey")], false),
            // Every kind that both name must have something in common.
            (&[(group, "blue"), (task, "api:1")], &[(group, "blue"), (task, "api:1")], true),
            (&[(group, "blue"), (task, "api:1")], &[(group, "blue"), (task, "api:2")], false),
            (&[(group, "blue"), (task, "api:1")], &[(group, "green"), (task, "api:1")], false),
            (&[(group, "blue"), (task, "api:1")], &[(task, "api:1")], true),
            (&[(group, "blue")], &[(task, "blue"), (group, "green")], false),
        ] {
            assert_eq!(scope(one).overlaps(&scope(other)), overlap, "{one:?} and {other:?}");
            assert_eq!(scope(other).overlaps(&scope(one)), overlap, "{other:?} and {one:?}");
        }
    }

    #[test]
    fn who_concerns_nothing_of_a_kind_overlaps_with_nobody_who_names_one() {
        let none = trouble("api").concerns_no(Kind::TargetGroup).scope;
        assert!(!none.overlaps(&scope(&[(Kind::TargetGroup, "blue")])));
        assert!(!scope(&[(Kind::TargetGroup, "blue")]).overlaps(&none));
        assert!(none.overlaps(&none));
        assert!(none.overlaps(&scope(&[])));
        assert!(none.overlaps(&scope(&[(Kind::TaskDefinition, "api:1")])));
    }

    #[test]
    fn a_finding_concerns_all_that_is_named() {
        let both = trouble("api").concerns_all(Kind::TargetGroup, ["blue", "green"]).scope;
        assert_eq!(both, scope(&[(Kind::TargetGroup, "blue"), (Kind::TargetGroup, "green")]));
        assert_eq!(trouble("api").concerns_all(Kind::TargetGroup, [""; 0]).scope, scope(&[]));
    }

    #[test]
    fn a_finding_keeps_its_evidence_in_order() {
        let evidence = |value: &str| Evidence::new(Call::DescribeTasks, "task", "stopCode", value);
        let finding = Subject::new(Kind::Service, "api")
            .sick("It is in trouble.", evidence("1"))
            .because(evidence("2"))
            .because_all([evidence("3"), evidence("4")]);
        let values: Vec<&str> = finding.evidence.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(values, ["1", "2", "3", "4"]);
    }
}
