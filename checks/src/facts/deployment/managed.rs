//! What ECS made for an Express service and manages for it: one list of all resources of a
//! revision, whatever their kind.

use jiff::Timestamp;

use crate::call::Call;
use crate::facts::deployment::rollout;
use crate::finding::{Evidence, Kind, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{ManagedResource, Revision};
use crate::text::{and_list, capitalised};

/// One resource that ECS manages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Managed<'a> {
    /// `load balancer`, `target group` and others.
    pub kind: &'static str,
    /// Where a revision has it, for evidence.
    field: [&'static str; 2],
    pub arn: Option<&'a str>,
    pub status: &'a str,
    pub reason: Option<&'a str>,
    pub updated_at: Option<Timestamp>,
}

impl<'a> Managed<'a> {
    fn is_provisioning(&self) -> bool {
        self.status == "PROVISIONING"
    }

    fn of(
        kind: &'static str,
        field: [&'static str; 2],
        resource: &'a ManagedResource,
    ) -> Managed<'a> {
        Managed {
            kind,
            field,
            arn: resource.arn.as_deref(),
            status: resource.status.as_deref().unwrap_or_default(),
            reason: resource.status_reason.as_deref(),
            updated_at: resource.updated_at,
        }
    }

    /// Its name, from the ARN where it has one: a resource that could not be made has none.
    pub fn name(&self) -> String {
        match (self.arn, self.kind) {
            (None, kind) => kind.to_owned(),
            (Some(arn), "load balancer" | "target group") => {
                format!("{} {}", self.kind, arn.rsplit('/').nth(1).unwrap_or(arn))
            }
            (Some(arn), "alarm") => {
                format!("alarm {}", arn.rsplit(":alarm:").next().unwrap_or(arn))
            }
            (Some(arn), "log group") => {
                format!("log group {}", arn.rsplit(":log-group:").next().unwrap_or(arn))
            }
            (Some(arn), "security group") => {
                format!("security group {}", arn.rsplit('/').next().unwrap_or(arn))
            }
            (Some(_), kind) => kind.to_owned(),
        }
    }

    /// What a finding about it is about: the revision, where it has no ARN yet.
    pub fn subject(&self, revision: &Revision) -> Subject {
        let kind = match self.kind {
            "load balancer" => Kind::LoadBalancer,
            "security group" => Kind::SecurityGroup,
            "listener" => Kind::Listener,
            "listener rule" => Kind::ListenerRule,
            "target group" => Kind::TargetGroup,
            "alarm" => Kind::Alarm,
            "log group" => Kind::LogGroup,
            _ => Kind::Revision,
        };
        match self.arn {
            Some(arn) if kind != Kind::Revision => Subject::new(kind, arn),
            _ => Subject::new(Kind::Revision, &revision.service_revision_arn),
        }
    }

    /// Its status and what ECS says of it.
    pub fn evidence(&self, revision: &Revision) -> impl Iterator<Item = Evidence> {
        let of = revision.service_revision_arn.clone();
        let [status, reason] = self.field;
        let told = self
            .reason
            .map(|text| Evidence::new(Call::DescribeServiceRevisions, &of, reason, text));
        std::iter::once(
            Evidence::new(Call::DescribeServiceRevisions, of, status, self.status)
                .at(self.updated_at),
        )
        .chain(told)
    }
}

/// What is not made yet and gives no reason, where something else failed or was refused: it waits
/// for that, and is no fault of its own.
pub fn waiting<'a>(resources: &[Managed<'a>]) -> Vec<Managed<'a>> {
    let failed = |resource: &Managed| {
        resource.status == "FAILED" || (resource.is_provisioning() && resource.reason.is_some())
    };
    if !resources.iter().any(failed) {
        return Vec::new();
    }
    let waits = |resource: &&Managed| resource.is_provisioning() && resource.reason.is_none();
    resources.iter().filter(waits).copied().collect()
}

/// `The certificate and the listener are still PROVISIONING behind it.`; nothing where none waits.
pub fn waiting_words(waiting: &[Managed]) -> String {
    let names = and_list(waiting.iter().map(|resource| format!("the {}", resource.name())));
    match waiting.len() {
        0 => String::new(),
        1 => format!("{} is still PROVISIONING behind it.", capitalised(&names)),
        _ => format!("{} are still PROVISIONING behind it.", capitalised(&names)),
    }
}

macro_rules! field {
    ($path:literal) => {
        [
            concat!("ecsManagedResources.", $path, ".status"),
            concat!("ecsManagedResources.", $path, ".statusReason"),
        ]
    };
}

/// Every resource of a revision, the request path first.
pub fn resources(revision: &Revision) -> Vec<Managed<'_>> {
    let mut all = Vec::new();
    for path in &revision.ingress_paths {
        let groups = path.load_balancer_security_groups.iter();
        all.extend(
            path.load_balancer
                .iter()
                .map(|it| Managed::of("load balancer", field!("ingressPaths.loadBalancer"), it)),
        );
        all.extend(groups.map(|it| {
            Managed::of("security group", field!("ingressPaths.loadBalancerSecurityGroups"), it)
        }));
        all.extend(
            path.certificate
                .iter()
                .map(|it| Managed::of("certificate", field!("ingressPaths.certificate"), it)),
        );
        all.extend(
            path.listener
                .iter()
                .map(|it| Managed::of("listener", field!("ingressPaths.listener"), it)),
        );
        all.extend(
            path.rule
                .iter()
                .map(|it| Managed::of("listener rule", field!("ingressPaths.rule"), it)),
        );
        all.extend(path.target_groups.iter().map(|group| Managed {
            kind: "target group",
            field: field!("ingressPaths.targetGroups"),
            arn: group.arn.as_deref(),
            status: group.status.as_deref().unwrap_or_default(),
            reason: group.status_reason.as_deref(),
            updated_at: group.updated_at,
        }));
    }
    all.extend(
        revision
            .service_security_groups
            .iter()
            .map(|it| Managed::of("security group", field!("serviceSecurityGroups"), it)),
    );
    all.extend(
        revision
            .scalable_target
            .iter()
            .map(|it| Managed::of("scalable target", field!("autoScaling.scalableTarget"), it)),
    );
    let policies = revision.application_auto_scaling_policies.iter();
    all.extend(policies.map(|it| {
        Managed::of("scaling policy", field!("autoScaling.applicationAutoScalingPolicies"), it)
    }));
    all.extend(
        revision.metric_alarms.iter().map(|it| Managed::of("alarm", field!("metricAlarms"), it)),
    );
    all.extend(
        revision.log_groups.iter().map(|it| Managed::of("log group", field!("logGroups"), it)),
    );
    all
}

/// The revision whose resources matter now: the one that the newest deployment brings or brought,
/// or, where ECS lists no deployment, a current one.
pub fn revision<'a>(patient: &Patient<'a>) -> Result<Option<&'a Revision>, Blind> {
    let target = rollout::newest(patient)?
        .and_then(|deployment| deployment.target_service_revision.as_ref())
        .map(|target| target.arn.as_str());
    match target.or_else(|| patient.service().current_service_revisions.first().map(String::as_str))
    {
        Some(arn) => patient.revision(arn),
        None => Ok(None),
    }
}
