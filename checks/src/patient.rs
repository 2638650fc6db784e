//! One service of a snapshot, as a check meets it. Every fact is asked for here, and every question
//! is noted: that is how a check's declared reads are proved, and how a test can forbid a call.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::aws::arn;
use crate::aws::url::Url;
use crate::call::{Call, LOG_STREAM};
use crate::command::{Command, Words};
use crate::finding::{Evidence, Kind, Subject};
pub use crate::intent::{Expected, Intent};
use crate::seen::{Blind, Seen, Why};
use crate::snapshot::metric::{Metric, Series};
use crate::snapshot::*;
use crate::text::parsed;
use crate::{aws, words};

pub struct Patient<'a> {
    snapshot: &'a Snapshot,
    service: &'a Service,
    intent: &'a Intent,
    blindfold: BTreeSet<Call>,
    read: RefCell<BTreeSet<Call>>,
}

/// A row of a table: what AWS has for one key, nothing, or a refusal.
type Row<'a, T> = Result<Option<&'a T>, Blind>;

/// A row of a table of lists: where AWS has nothing, the list is empty.
type List<'a, T> = Result<&'a [T], Blind>;

/// The two ways to read a row; which one it is, the result says.
trait Told<'a, V> {
    fn of(row: Option<&'a V>) -> Self;
}

impl<'a, V> Told<'a, V> for Option<&'a V> {
    fn of(row: Option<&'a V>) -> Self {
        row
    }
}

impl<'a, T> Told<'a, Vec<T>> for &'a [T] {
    fn of(row: Option<&'a Vec<T>>) -> Self {
        row.map_or(&[], Vec::as_slice)
    }
}

impl<'a> Patient<'a> {
    pub fn new(snapshot: &'a Snapshot, service: &'a Service, intent: &'a Intent) -> Patient<'a> {
        Patient { snapshot, service, intent, blindfold: BTreeSet::new(), read: RefCell::default() }
    }

    /// The same patient with calls forbidden, as if IAM had refused them.
    pub fn blindfolded(mut self, calls: impl IntoIterator<Item = Call>) -> Patient<'a> {
        self.blindfold.extend(calls);
        self
    }

    pub(crate) fn forget_reads(&self) {
        self.read.borrow_mut().clear();
    }

    pub(crate) fn reads(&self) -> Vec<Call> {
        self.read.borrow().iter().copied().collect()
    }

    fn asks(&self, call: Call) -> Result<(), Blind> {
        self.read.borrow_mut().insert(call);
        if self.blindfold.contains(&call) {
            Err(Blind { call, why: Why::Denied(format!("{} is not allowed", call.action())) })
        } else {
            Ok(())
        }
    }

    fn told<V, T: Told<'a, V>>(
        &self,
        call: Call,
        table: &'a Table<V>,
        key: &str,
    ) -> Result<T, Blind> {
        self.asks(call)?;
        Ok(T::of(table.get(key).told_by(call)?))
    }

    fn all<V>(&self, call: Call, table: &'a Table<V>) -> Result<Vec<&'a V>, Blind> {
        self.asks(call)?;
        let told = table.0.values().filter_map(|seen| match seen {
            Seen::Yes(value) => value.as_ref(),
            Seen::No(_) => None,
        });
        Ok(told.collect())
    }

    // What needs no further call.

    /// The moment of the snapshot: the only clock.
    pub fn now(&self) -> Timestamp {
        self.snapshot.taken_at
    }

    pub fn region(&self) -> &'a str {
        &self.snapshot.region
    }

    pub fn account(&self) -> &'a str {
        &self.snapshot.account
    }

    /// `aws`, `aws-cn`, `aws-us-gov`: every ARN of the account begins with it.
    pub fn partition(&self) -> &'a str {
        arn::partition(self.arn())
    }

    pub fn intent(&self) -> &'a Intent {
        self.intent
    }

    /// The URL that the user asked about.
    pub fn asked_url(&self) -> Option<Url> {
        self.snapshot.url.as_deref().and_then(parsed)
    }

    /// What one GET to the service told, where the user wanted it.
    pub fn probe(&self) -> Option<&'a Probe> {
        self.snapshot.probe.as_ref()
    }

    /// The service itself. Without it there is no patient, so this cannot be blind.
    pub fn service(&self) -> &'a Service {
        self.read.borrow_mut().insert(Call::DescribeServices);
        self.service
    }

    /// The cluster's short name.
    pub fn cluster(&self) -> &'a str {
        self.service.cluster_arn.rsplit('/').next().unwrap_or(&self.service.cluster_arn)
    }

    pub fn name(&self) -> &'a str {
        &self.service.service_name
    }

    pub fn arn(&self) -> &'a str {
        &self.service.service_arn
    }

    pub fn is_express(&self) -> bool {
        self.service().resource_management_type.as_deref() == Some("ECS")
    }

    pub fn subject(&self) -> Subject {
        Subject::new(Kind::Service, self.arn())
    }

    /// Evidence from the service itself.
    pub fn evidence(&self, field: &'static str, value: impl ToString) -> Evidence {
        Evidence::new(Call::DescribeServices, self.arn(), field, value)
    }

    /// The options that name this service: `--cluster default --service api`.
    pub fn cli(&self) -> Words {
        words!("--cluster {} --service {}", self.cluster(), self.name())
    }

    /// The command that changes this service, without what it changes.
    pub fn update_service(&self) -> Command {
        aws!("ecs update-service").and(self.cli())
    }

    /// The command that shows what a call tells of a thing.
    pub fn see(&self, call: Call, id: impl AsRef<str>) -> Command {
        Evidence::new(call, id, "", "").see(self)
    }

    // What is more than one row of a table.

    /// Every revision of the service that AWS told us, in the order of their ARNs.
    pub fn revisions(&self) -> Result<Vec<&'a Revision>, Blind> {
        let prefix = self.arn().replacen(":service/", ":service-revision/", 1) + "/";
        let known = self.known_revisions()?.into_iter();
        Ok(known.filter(|revision| revision.service_revision_arn.starts_with(&prefix)).collect())
    }

    /// Every listener that AWS told us, of whatever load balancer.
    pub fn known_listeners(&self) -> Result<Vec<&'a Listener>, Blind> {
        Ok(self
            .all(Call::DescribeListeners, &self.snapshot.listeners)?
            .into_iter()
            .flatten()
            .collect())
    }

    /// A metric of a load balancer, a target group, or (with the service's ARN) of the service.
    pub fn metric(&self, metric: Metric, resource: &str) -> Row<'a, Series> {
        self.series(&metric.of(resource))
    }

    /// The day before the hour of such a metric, in values of five minutes each.
    pub fn metric_before(&self, metric: Metric, resource: &str) -> Row<'a, Series> {
        self.series_before(&metric.of(resource))
    }

    /// The last lines of one container of one task, oldest first.
    pub fn log_lines(&self, group: &str, stream: &str) -> List<'a, LogLine> {
        self.log_stream(&format!("{group}{LOG_STREAM}{stream}"))
    }

    /// What CloudTrail was asked, if the user wanted it.
    pub fn trail(&self) -> Option<&'a Trail> {
        self.snapshot.trail.as_ref()
    }

    /// Write events of a resource, newest first.
    pub fn trail_events(&self, resource: &str) -> List<'a, TrailEvent> {
        match self.trail() {
            Some(trail) => self.told(Call::LookupEvents, &trail.events, resource),
            None => Err(Blind { call: Call::LookupEvents, why: Why::NotAsked }),
        }
    }
}

/// What an accessor returns: `[Target]` is a list.
macro_rules! told {
    ([$item:ident]) => { List<'a, $item> };
    ($value:ident) => { Row<'a, $value> };
}

/// One accessor. Without a name of its own it is called like its table.
macro_rules! accessor {
    ($doc:tt $table:ident: $value:tt by $key:ident via $call:ident as) => {
        accessor! { $doc $table: $value by $key via $call as $table }
    };
    ([$($doc:tt)*] $table:ident: $value:tt by own_service via $call:ident as $name:ident) => {
        $($doc)*
        pub fn $name(&self) -> told!($value) {
            self.told(Call::$call, &self.snapshot.$table, self.arn())
        }
    };
    ([$($doc:tt)*] $table:ident: $value:tt by own_cluster via $call:ident as $name:ident) => {
        $($doc)*
        pub fn $name(&self) -> told!($value) {
            self.told(Call::$call, &self.snapshot.$table, &self.service.cluster_arn)
        }
    };
    ([$($doc:tt)*] $table:ident: $value:tt by $key:ident via $call:ident as $name:ident) => {
        $($doc)*
        pub fn $name(&self, $key: &str) -> told!($value) {
            self.told(Call::$call, &self.snapshot.$table, $key)
        }
    };
}

macro_rules! accessors {
    ($(
        $({ $($other:tt)* })?
        $(#[$doc:meta])*
        $table:ident: $value:tt by $key:ident via $call:ident
            $(as $name:ident $(, all $all:ident)?)?;
    )*) => {
        /// One accessor for each table of the snapshot.
        impl<'a> Patient<'a> {
            $(
                accessor! {
                    [$(#[$doc])* #[doc = concat!("\n\nTold by [`Call::", stringify!($call), "`].")]]
                    $table: $value by $key via $call as $($name)?
                }
                $($(
                    #[doc = concat!("All that AWS told of [`Snapshot::", stringify!($table), "`].")]
                    pub fn $all(&self) -> Result<Vec<&'a $value>, Blind> {
                        self.all(Call::$call, &self.snapshot.$table)
                    }
                )?)?
            )*
        }
    };
}

tables!(accessors);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};

    static INTENT: Intent = Intent { expect_ingress: Vec::new(), expect_lists: Vec::new() };

    fn patient(snapshot: &Snapshot) -> Patient<'_> {
        Patient::new(snapshot, &snapshot.services[0], &INTENT)
    }

    fn empty() -> Snapshot {
        let service = Service { service_arn: id::ecs("service/prod/api"), ..Service::default() };
        Snapshot { services: vec![service], ..Snapshot::default() }
    }

    #[test]
    fn a_row_is_a_value_nothing_or_a_refusal_and_never_one_for_the_other() {
        let call = Call::DescribeSubnets;
        let mut snapshot = empty();
        snapshot.subnets.put("seen", Subnet::default());
        snapshot.subnets.insert("gone", Seen::Yes(None));
        snapshot.subnets.insert("declined", Seen::No(Why::Declined));
        let patient = patient(&snapshot);
        assert_eq!(patient.subnet("seen"), Ok(Some(&Subnet::default())));
        assert_eq!(patient.subnet("gone"), Ok(None));
        assert_eq!(patient.subnet("declined"), Err(Blind { call, why: Why::Declined }));
        assert_eq!(patient.subnet("never asked"), Err(Blind { call, why: Why::NotAsked }));
    }

    #[test]
    fn a_list_that_aws_has_not_is_empty_and_one_that_was_refused_is_not() {
        let call = Call::ListServiceDeployments;
        let mut snapshot = empty();
        let arn = snapshot.services[0].service_arn.clone();
        let refused = Err(Blind { call, why: Why::NotAsked });
        assert_eq!(patient(&snapshot).listed_deployments(), refused);
        snapshot.listed_deployments.insert(&arn, Seen::Yes(None));
        assert_eq!(patient(&snapshot).listed_deployments(), Ok(&[][..]));
        snapshot.listed_deployments.put(&arn, vec![ListedDeployment::default()]);
        assert_eq!(patient(&snapshot).listed_deployments().map(<[_]>::len), Ok(1));
    }

    #[test]
    fn a_blindfold_hides_what_was_seen_as_if_iam_had_refused_it() {
        let snapshot = baseline::fargate();
        let blindfolded = patient(&snapshot).blindfolded([Call::DescribeTasks]);
        let refusal = blindfolded.running_tasks().unwrap_err();
        assert_eq!(refusal.call, Call::DescribeTasks);
        assert_eq!(refusal.why, Why::Denied("ecs:DescribeTasks is not allowed".into()));
        assert_eq!(
            blindfolded.service_deployments(),
            patient(&snapshot).service_deployments(),
            "other calls are seen"
        );
        assert_ne!(patient(&snapshot).running_tasks(), Ok(&[][..]));
    }

    #[test]
    fn a_blindfold_hides_what_is_told_of_many_too() {
        let snapshot = baseline::fargate();
        for (call, is_hidden) in [
            (Call::DescribeServiceRevisions, (|p| p.revisions().is_err()) as fn(&Patient) -> bool),
            (Call::DescribeTaskDefinition, |p| p.task_definitions().is_err()),
            (Call::DescribeServices, |p| p.peers().is_err()),
        ] {
            assert!(!is_hidden(&patient(&snapshot)), "{call:?}");
            assert!(is_hidden(&patient(&snapshot).blindfolded([call])), "{call:?}");
        }
    }

    #[test]
    fn every_question_is_noted_once_whatever_the_answer_was() {
        let snapshot = empty();
        let patient = patient(&snapshot).blindfolded([Call::DescribeSubnets]);
        assert_eq!(patient.reads(), []);
        for id in ["subnet-1", "subnet-2"] {
            assert!(patient.subnet(id).is_err());
        }
        assert!(patient.security_group("sg-1").is_err());
        patient.service();
        let noted = [Call::DescribeServices, Call::DescribeSubnets, Call::DescribeSecurityGroups];
        assert_eq!(BTreeSet::from_iter(patient.reads()), BTreeSet::from(noted));
        patient.forget_reads();
        assert_eq!(patient.reads(), []);
    }

    #[test]
    fn the_names_of_the_service_are_no_question() {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].cluster_arn = id::ecs("cluster/prod");
        snapshot.services[0].service_name = "api".into();
        let patient = patient(&snapshot);
        assert_eq!((patient.cluster(), patient.name()), ("prod", "api"));
        assert_eq!(patient.subject().id, snapshot.services[0].service_arn);
        assert_eq!(patient.reads(), []);
    }

    #[test]
    fn express_mode_is_told_by_who_manages_the_resources() {
        let mut snapshot = empty();
        for (manager, is_express) in [(None, false), (Some("CUSTOMER"), false), (Some("ECS"), true)]
        {
            snapshot.services[0].resource_management_type = manager.map(Into::into);
            assert_eq!(patient(&snapshot).is_express(), is_express, "{manager:?}");
        }
    }

    #[test]
    fn revisions_are_those_of_this_service_that_aws_told_us() {
        let mut snapshot = empty();
        let mut put = |rest: &str, told: bool| {
            let arn = id::ecs(&format!("service-revision/prod/{rest}"));
            let revision = Revision { service_revision_arn: arn.clone(), ..Revision::default() };
            let seen = if told { Seen::Yes(Some(revision)) } else { Seen::No(Why::NotAsked) };
            snapshot.revisions.insert(arn, seen);
        };
        put("api/1", true);
        put("api/2", false);
        put("api-admin/1", true);
        put("api/3", true);
        let patient = patient(&snapshot);
        let revisions = patient.revisions().unwrap();
        let told: Vec<&str> = revisions.iter().map(|it| it.service_revision_arn.as_str()).collect();
        let wanted = ["api/1", "api/3"].map(|it| id::ecs(&format!("service-revision/prod/{it}")));
        assert_eq!(told, wanted);
    }

    #[test]
    fn the_trail_was_not_asked_unless_the_user_wanted_it() {
        let mut snapshot = empty();
        let call = Call::LookupEvents;
        let not_asked = Err(Blind { call, why: Why::NotAsked });
        assert_eq!(patient(&snapshot).trail_events("arn"), not_asked);
        let mut trail = Trail::default();
        trail.events.put("arn", vec![TrailEvent::default()]);
        snapshot.trail = Some(trail);
        assert_eq!(patient(&snapshot).trail_events("arn").map(<[_]>::len), Ok(1));
        assert_eq!(patient(&snapshot).trail_events("another arn"), not_asked);
    }
}
