//! Who changed what on a service's path, and when, as CloudTrail has it: which resources it is
//! asked about, and what it told. It is asked only where the user wants it, because CloudTrail
//! allows two questions a second to a whole account.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::facts::deployment::rollback;
use crate::facts::inbound::traffic;
use crate::patient::Patient;
use crate::seen::{See, Unseen};
use crate::snapshot::TrailEvent;
use crate::text::and_list;

/// One resource that CloudTrail is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// An ARN, or the id or name that AWS uses for it.
    pub resource: String,
    /// What CloudTrail calls it. ECS names no resources in its events: these are asked for by their
    /// own names.
    pub by: By,
    /// IAM's events are in one region of the partition.
    pub is_global: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    ResourceName(String),
    EventNames(&'static [&'static str]),
}

const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// From when on CloudTrail is asked: shortly before the last good deployment began, but not more
/// than seven days ago.
pub fn since(patient: &Patient, unseen: &mut Unseen) -> Timestamp {
    let earliest = time::before(patient.now(), LONGEST);
    let good = unseen.see(rollback::last_success(patient)).flatten();
    let began = good.and_then(|good| good.started_at.or(good.created_at));
    began.map_or(earliest, |began| time::before(began, SignedDuration::from_mins(15)).max(earliest))
}

/// The resources on the path, those that deployments change first.
pub fn questions(patient: &Patient, unseen: &mut Unseen) -> Vec<Question> {
    let service: &[&str] = if patient.is_express() {
        &["UpdateService", "UpdateExpressGatewayService", "StopServiceDeployment"]
    } else {
        &["UpdateService", "StopServiceDeployment"]
    };
    let by_events = |resource: &str, events| Question {
        resource: resource.to_owned(),
        by: By::EventNames(events),
        is_global: false,
    };
    let by_name = |resource: &str| Question {
        resource: resource.to_owned(),
        by: By::ResourceName(resource.to_owned()),
        is_global: false,
    };
    let mut questions = vec![by_events(patient.arn(), service)];
    let definitions: BTreeSet<&str> = patient.service().definitions().collect();
    let families: BTreeSet<&str> = definitions
        .iter()
        .filter_map(|arn| arn.rsplit_once(':'))
        .map(|(family, _)| family)
        .collect();
    questions.extend(families.iter().map(|family| by_events(family, &["RegisterTaskDefinition"])));

    let forwards = unseen.see(traffic::forwards(patient)).unwrap_or_default();
    let rules: BTreeSet<&str> = forwards
        .iter()
        .map(|forward| {
            if forward.rule.is_default {
                forward.listener.listener_arn.as_str()
            } else {
                forward.rule.rule_arn.as_str()
            }
        })
        .collect();
    let groups = unseen.see(traffic::groups(patient)).unwrap_or_default();
    let balancers = unseen.see(traffic::balancers(patient)).unwrap_or_default();
    questions.extend(rules.iter().chain(&groups).map(|arn| by_name(arn)));

    let networks =
        patient.service().deployments.iter().filter_map(|one| one.network_configuration.as_ref());
    let mut security: BTreeSet<&str> =
        networks.flat_map(|network| &network.security_groups).map(String::as_str).collect();
    for balancer in &balancers {
        let found = unseen.see(patient.load_balancer(balancer)).flatten();
        security.extend(
            found.iter().flat_map(|balancer| &balancer.security_groups).map(String::as_str),
        );
    }
    let alarms = patient
        .service()
        .deployment_configuration
        .alarms
        .iter()
        .flat_map(|alarms| &alarms.alarm_names);
    questions.extend(
        security
            .into_iter()
            .chain(alarms.map(String::as_str))
            .chain(balancers.iter().copied())
            .map(by_name),
    );

    let mut roles: BTreeSet<&str> = BTreeSet::new();
    for definition in definitions {
        let found = unseen.see(patient.task_definition(definition)).flatten();
        roles.extend(
            found
                .iter()
                .flat_map(|found| [&found.execution_role_arn, &found.task_role_arn])
                .flatten()
                .map(String::as_str),
        );
    }
    questions.extend(roles.into_iter().map(|arn| Question {
        resource: arn.to_owned(),
        by: By::ResourceName(last(arn).to_owned()),
        is_global: true,
    }));
    questions
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// One thing that somebody did, or the same several times on end.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed<'a> {
    pub at: Timestamp,
    /// The last of several; the same as `at` for one.
    pub last: Timestamp,
    pub count: usize,
    pub who: String,
    pub event: &'a TrailEvent,
    /// `target group api`
    pub on: Vec<String>,
}

impl Deed<'_> {
    /// `ana (role admin): ModifyTargetGroup on target group api`
    pub fn words(&self) -> String {
        let refused = self
            .event
            .error_code
            .as_deref()
            .map_or_else(String::new, |code| format!(", refused: {code}"));
        format!("{}: {} on {}{refused}", self.who, self.event.event_name, and_list(&self.on))
    }
}

/// Everything that was found, oldest first; none where nobody asked for it.
pub fn read<'a>(patient: &Patient<'a>, unseen: &mut Unseen) -> Option<Vec<Deed<'a>>> {
    let trail = patient.trail()?;
    let mut deeds: Vec<Deed> = Vec::new();
    let forwards = unseen.see(traffic::forwards(patient)).unwrap_or_default();
    for question in questions(patient, &mut Unseen::default()) {
        let on = name(patient, &forwards, &question.resource);
        for event in unseen.see(patient.trail_events(&question.resource)).unwrap_or_default() {
            let Some(at) = event.event_time.filter(|at| *at >= trail.since && !is_routine(event))
            else {
                continue;
            };
            match deeds.iter_mut().find(|deed| deed.event.event_id == event.event_id) {
                Some(deed) => deed.on.push(on.clone()),
                None => deeds.push(Deed {
                    at,
                    last: at,
                    count: 1,
                    who: who(event),
                    event,
                    on: vec![on.clone()],
                }),
            }
        }
    }
    deeds.sort_by(|a, b| (a.at, &a.event.event_id).cmp(&(b.at, &b.event.event_id)));
    deeds.dedup_by(|next, deed| {
        let same = next.words() == deed.words();
        if same {
            deed.count += next.count;
            deed.last = next.last;
        }
        same
    });
    Some(deeds)
}

/// What ECS does with every task that comes or goes; of a person it would be news.
fn is_routine(event: &TrailEvent) -> bool {
    let by_ecs = event.invoked_by.as_deref() == Some("ecs.amazonaws.com");
    by_ecs && matches!(event.event_name.as_str(), "RegisterTargets" | "DeregisterTargets")
}

/// `ana (role admin)`, `ecs.amazonaws.com (role ecsInfrastructureRole)`, `ana`.
fn who(event: &TrailEvent) -> String {
    let name = event.invoked_by.as_deref().or(event.username.as_deref());
    match (name, event.role.as_deref()) {
        (Some(name), Some(role)) if name != role => format!("{name} (role {role})"),
        (Some(name), _) => name.to_owned(),
        (None, Some(role)) => format!("role {role}"),
        (None, None) => "somebody CloudTrail does not name".to_owned(),
    }
}

/// The name by which a user knows a resource.
fn name(patient: &Patient, forwards: &[traffic::Forward], resource: &str) -> String {
    match resource.splitn(6, ':').nth(5).map(|path| path.split_once('/').unwrap_or((path, path))) {
        Some(("service", _)) => format!("service {}", last(resource)),
        Some(("task-definition", family)) => format!("task definition {family}"),
        Some(("targetgroup", _)) => format!("target group {}", traffic::group_name(resource)),
        Some(("loadbalancer", _)) => format!("load balancer {}", traffic::balancer_name(resource)),
        Some((kind @ ("listener-rule" | "listener"), _)) => {
            let forward = forwards.iter().find(|forward| {
                forward.rule.rule_arn == resource
                    || (forward.rule.is_default && forward.listener.listener_arn == resource)
            });
            forward.map_or_else(
                || format!("{kind} {}", last(resource)),
                |forward| format!("the rule of {}", forward.name()),
            )
        }
        Some((kind, rest)) => format!("{kind} {}", last(rest)),
        None if resource.starts_with("sg-") => {
            let group = patient.security_group(resource).map_or(None, |group| group);
            format!("security group {}", group.map_or(resource, |group| &group.group_name))
        }
        None => format!("alarm {resource}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::snapshot::trail::Trail;

    fn event(number: u8, minutes: i64, name: &str) -> TrailEvent {
        TrailEvent {
            event_id: format!("event-{number}"),
            event_time: Some(minutes_ago(minutes)),
            event_name: name.into(),
            event_source: "elasticloadbalancing.amazonaws.com".into(),
            username: Some("ana".into()),
            role: Some("admin".into()),
            ..TrailEvent::default()
        }
    }

    fn with(events: &[(&str, Vec<TrailEvent>)]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let mut trail = Trail { since: minutes_ago(600), ..Trail::default() };
        let intent = Intent::default();
        let asked = questions(
            &Patient::new(&snapshot, &snapshot.services[0], &intent),
            &mut Unseen::default(),
        );
        asked.iter().for_each(|question| trail.events.put(&question.resource, Vec::new()));
        events.iter().for_each(|(resource, events)| trail.events.put(*resource, events.clone()));
        snapshot.trail = Some(trail);
        snapshot
    }

    fn told(snapshot: &Snapshot) -> (Vec<String>, Unseen) {
        let (intent, mut unseen) = (Intent::default(), Unseen::default());
        let deeds = read(&Patient::new(snapshot, &snapshot.services[0], &intent), &mut unseen)
            .unwrap_or_default();
        (deeds.iter().map(|deed| format!("{} {}", deed.count, deed.words())).collect(), unseen)
    }

    #[test]
    fn names_who_did_what_on_what_in_order() {
        let group = id::group("api");
        let refused = TrailEvent {
            error_code: Some("AccessDenied".into()),
            ..event(3, 10, "ModifyTargetGroup")
        };
        let snapshot = with(&[(
            &group,
            vec![refused, event(2, 20, "ModifyTargetGroup"), event(1, 21, "ModifyTargetGroup")],
        )]);
        let expected = [
            "2 ana (role admin): ModifyTargetGroup on target group api",
            "1 ana (role admin): ModifyTargetGroup on target group api, refused: AccessDenied",
        ];
        assert_eq!(told(&snapshot).0, expected);
    }

    #[test]
    fn what_ecs_does_with_every_task_is_no_news_and_of_a_person_it_is() {
        let group = id::group("api");
        let by_ecs = TrailEvent {
            invoked_by: Some("ecs.amazonaws.com".into()),
            ..event(1, 20, "RegisterTargets")
        };
        let snapshot = with(&[(&group, vec![by_ecs, event(2, 19, "DeregisterTargets")])]);
        assert_eq!(
            told(&snapshot).0,
            ["1 ana (role admin): DeregisterTargets on target group api"]
        );
    }

    #[test]
    fn an_event_on_two_resources_is_told_once() {
        let (group, arn) = (id::group("api"), baseline::fargate().services[0].service_arn.clone());
        let snapshot = with(&[(&group, vec![event(1, 20, "X")]), (&arn, vec![event(1, 20, "X")])]);
        assert_eq!(
            told(&snapshot).0,
            ["1 ana (role admin): X on service api and target group api"]
        );
    }

    #[test]
    fn what_was_before_is_history() {
        let snapshot = with(&[(&id::group("api"), vec![event(1, 700, "ModifyTargetGroup")])]);
        assert_eq!(told(&snapshot), (Vec::new(), Unseen::default()));
    }

    #[test]
    fn what_could_not_be_looked_up_is_not_nothing() {
        let mut snapshot = with(&[]);
        let refused = Seen::No(Why::Denied("no".into()));
        snapshot
            .trail
            .iter_mut()
            .for_each(|trail| trail.events.insert(id::group("api"), refused.clone()));
        assert_eq!(told(&snapshot).1.0.len(), 1);
        snapshot.trail = None;
        assert_eq!(told(&snapshot), (Vec::new(), Unseen::default()), "nobody asked");
    }

    #[test]
    fn begins_shortly_before_the_last_good_deployment_and_within_a_week() {
        let intent = Intent::default();
        let mut snapshot = baseline::fargate();
        let of = |snapshot: &Snapshot| {
            since(&Patient::new(snapshot, &snapshot.services[0], &intent), &mut Unseen::default())
        };
        let arn = snapshot.services[0].service_arn.clone();
        let listed = snapshot.listed_deployments.change(&arn).unwrap();
        listed[0].started_at = Some(minutes_ago(60));
        assert_eq!(of(&snapshot), minutes_ago(75));
        snapshot.listed_deployments.put(&arn, Vec::new());
        assert_eq!(of(&snapshot), minutes_ago(7 * 24 * 60));
    }

    #[test]
    fn asks_about_the_whole_path() {
        let intent = Intent::default();
        for (name, snapshot) in baseline::ALL {
            let snapshot = snapshot();
            let mut unseen = Unseen::default();
            let asked =
                questions(&Patient::new(&snapshot, &snapshot.services[0], &intent), &mut unseen);
            let resources: BTreeSet<&str> =
                asked.iter().map(|question| question.resource.as_str()).collect();
            assert_eq!(resources.len(), asked.len(), "{name}: one is asked about twice");
            assert_eq!(unseen, Unseen::default(), "{name}");
        }
    }
}
