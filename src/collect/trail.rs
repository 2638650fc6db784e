//! What CloudTrail tells: who changed something on a service's path. One question after another,
//! with a pause between them, because CloudTrail allows two a second to a whole account and
//! everybody shares them.

use std::time::Duration;

use aws_config::Region;
use aws_sdk_cloudtrail::types::{self, LookupAttributeKey};
use aws_smithy_types::DateTime;
use checks::call::Call;
use checks::patient::{Intent, Patient};
use checks::seen::Unseen;
use checks::seen::{Seen, Why};
use checks::snapshot::{Snapshot, Trail, TrailEvent};
use checks::views::trail::{By, Question, questions, since};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Aws, last, time};

/// Between two questions; a little more than half a second.
pub const PACE: Duration = Duration::from_millis(550);

/// How many questions at most: with their pauses they have to end before the user's patience does.
const QUESTIONS: u32 = 24;

/// How many pages of fifty events are read of one kind.
const PAGES: usize = 2;

/// Where a partition keeps the events of IAM; of a partition that we do not know, the region
/// itself.
pub fn region_of_iam(region: &str) -> Region {
    Region::new(
        match region.split('-').next() {
            Some("cn") => "cn-north-1",
            Some("us") if region.starts_with("us-gov-") => "us-gov-west-1",
            Some("us" | "eu" | "ap" | "sa" | "ca" | "af" | "me" | "il" | "mx") => "us-east-1",
            _ => region,
        }
        .to_owned(),
    )
}

/// Asks who changed something on the path of the service that the snapshot tells of.
pub async fn trail(aws: &Aws, snapshot: &mut Snapshot, pace: Duration) {
    let (intent, mut unseen) = (Intent::default(), Unseen::default());
    let Some(service) = snapshot.services.first() else { return };
    let patient = Patient::new(snapshot, service, &intent);
    let mut inquiry = Inquiry {
        aws,
        since: since(&patient, &mut unseen),
        until: snapshot.taken_at,
        pace,
        asked: 0,
        refused: None,
    };
    let mut trail = Trail { since: inquiry.since, ..Trail::default() };
    for question in questions(&patient, &mut unseen) {
        if inquiry.asked >= QUESTIONS {
            break;
        }
        let (events, is_cut) = inquiry.answer(&question).await;
        trail.cut.extend(is_cut.then(|| question.resource.clone()));
        trail.events.insert(question.resource, events.map(Some));
    }
    snapshot.trail = Some(trail);
}

/// The questions so far.
struct Inquiry<'a> {
    aws: &'a Aws,
    since: Timestamp,
    until: Timestamp,
    pace: Duration,
    asked: u32,
    /// Who is refused once is refused always, and need not ask again.
    refused: Option<Why>,
}

impl Inquiry<'_> {
    /// The write events of a resource, and whether there are more than were read.
    async fn answer(&mut self, question: &Question) -> (Seen<Vec<TrailEvent>>, bool) {
        let attributes: Vec<(LookupAttributeKey, &str)> = match &question.by {
            By::ResourceName(name) => vec![(LookupAttributeKey::ResourceName, name)],
            By::EventNames(names) => {
                names.iter().map(|name| (LookupAttributeKey::EventName, *name)).collect()
            }
        };
        let (mut events, mut is_cut) = (Vec::new(), false);
        for (key, value) in attributes {
            let mut token = None;
            for page in 1.. {
                match self.page(question.is_global, key.clone(), value, token).await {
                    Seen::Yes((found, next)) => {
                        events.extend(
                            found.into_iter().filter_map(|event| write_event(event, question)),
                        );
                        token = next.filter(|next| !next.is_empty());
                    }
                    Seen::No(why) => return (Seen::No(why), false),
                }
                if token.is_none() {
                    break;
                }
                if page == PAGES {
                    is_cut = true;
                    break;
                }
            }
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.event_time));
        (Seen::Yes(events), is_cut)
    }

    async fn page(
        &mut self,
        is_global: bool,
        key: LookupAttributeKey,
        value: &str,
        token: Option<String>,
    ) -> Seen<(Vec<types::Event>, Option<String>)> {
        if let Some(why) = &self.refused {
            return Seen::No(why.clone());
        }
        if self.asked > 0 {
            // Who has no more time is told so by the asker at once.
            let ends = self.aws.asker.deadline();
            tokio::time::sleep_until(ends.min(Instant::now() + self.pace)).await;
        }
        self.asked += 1;
        let client = if is_global { &self.aws.trail_of_iam } else { &self.aws.trail };
        let attribute =
            types::LookupAttribute::builder().attribute_key(key).attribute_value(value).build();
        let attribute = match attribute {
            Ok(attribute) => attribute,
            Err(error) => return Seen::No(Why::Unreadable(error.to_string())),
        };
        let request = client
            .lookup_events()
            .lookup_attributes(attribute)
            .start_time(DateTime::from_secs(self.since.as_second()))
            .end_time(DateTime::from_secs(self.until.as_second()))
            .max_results(50)
            .set_next_token(token);
        let reply = self.aws.asker.ask(Call::LookupEvents, request.send()).await;
        if let Seen::No(why) = &reply {
            self.refused = Some(why.clone());
        }
        reply.map(|reply| {
            reply
                .map(|reply| (reply.events.unwrap_or_default(), reply.next_token))
                .unwrap_or_default()
        })
    }
}

/// What is needed of an event's record. Nothing else of it is read: a request may hold secrets.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    user_identity: Identity,
    error_code: Option<String>,
    request_parameters: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    invoked_by: Option<String>,
    session_context: SessionContext,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SessionContext {
    session_issuer: Issuer,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Issuer {
    user_name: Option<String>,
}

/// The names in a request by which an event of ECS tells its service or its family.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named {
    cluster: Value,
    service: Value,
    service_arn: Value,
    service_deployment_arn: Value,
    family: Value,
}

impl Named {
    /// Whether the request is about a resource: a service by name or ARN, or a family of task
    /// definitions.
    fn is_about(&self, resource: &str) -> bool {
        let Some((_, path)) = resource.split_once(":task-definition/") else {
            let mut parts = resource.rsplit('/');
            let (name, cluster) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let deployment = self.service_deployment_arn.as_str().unwrap_or_default();
            let in_cluster = self.cluster.as_str().is_none_or(|asked| last(asked) == cluster);
            return self.service_arn == resource
                || deployment.contains(&format!(":service-deployment/{cluster}/{name}/"))
                || (in_cluster && self.service.as_str().is_some_and(|asked| last(asked) == name));
        };
        self.family == path
    }
}

/// The event, if it changed something, or tried to, about this resource.
fn write_event(event: types::Event, question: &Question) -> Option<TrailEvent> {
    let record: Record = event
        .cloud_trail_event
        .as_deref()
        .and_then(|record| serde_json::from_str(record).ok())
        .unwrap_or_default();
    let named = || {
        record
            .request_parameters
            .as_ref()
            .is_some_and(|request| request.is_about(&question.resource))
    };
    let is_its_own = matches!(question.by, By::ResourceName(_)) || named();
    let is_write = event.read_only.as_deref() != Some("true");
    (is_its_own && is_write).then(|| TrailEvent {
        event_id: event.event_id.unwrap_or_default(),
        event_time: time(event.event_time),
        event_name: event.event_name.unwrap_or_default(),
        event_source: event.event_source.unwrap_or_default(),
        username: event.username,
        role: record.user_identity.session_context.session_issuer.user_name,
        invoked_by: record.user_identity.invoked_by,
        error_code: record.error_code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(resource: &str, by: By) -> Question {
        Question { resource: resource.into(), by, is_global: false }
    }

    fn event(record: Value) -> types::Event {
        types::Event::builder()
            .event_name("X")
            .read_only("false")
            .cloud_trail_event(record.to_string())
            .build()
    }

    #[test]
    fn nothing_of_a_request_is_kept() {
        let record = serde_json::json!({
            "userIdentity": { "type": "AssumedRole", "invokedBy": "ecs.amazonaws.com", "sessionContext": { "sessionIssuer": { "userName": "deploy" } } },
            "requestParameters": { "family": "api", "containerDefinitions": [{ "environment": [{ "name": "PASSWORD", "value": "hunter2" }] }] },
        });
        let family = asked(
            "arn:aws:ecs:eu-west-2:123456789012:task-definition/api",
            By::EventNames(&["RegisterTaskDefinition"]),
        );
        let kept = write_event(event(record), &family).unwrap();
        assert_eq!(
            (kept.role.as_deref(), kept.invoked_by.as_deref()),
            (Some("deploy"), Some("ecs.amazonaws.com"))
        );
        assert!(!format!("{kept:?}").contains("hunter2"));
    }

    #[test]
    fn an_event_of_another_service_is_not_this_ones() {
        let service = asked(
            "arn:aws:ecs:eu-west-2:123456789012:service/prod/api",
            By::EventNames(&["UpdateService"]),
        );
        let of = |request: Value| {
            write_event(event(serde_json::json!({ "requestParameters": request })), &service)
                .is_some()
        };
        for own in [
            serde_json::json!({ "service": "api", "cluster": "prod" }),
            serde_json::json!({ "service": service.resource, "cluster": "arn:aws:ecs:eu-west-2:123456789012:cluster/prod" }),
            serde_json::json!({ "serviceArn": service.resource }),
            serde_json::json!({ "serviceDeploymentArn": "arn:aws:ecs:eu-west-2:123456789012:service-deployment/prod/api/1a2b" }),
        ] {
            assert!(of(own.clone()), "{own}");
        }
        for other in [
            serde_json::json!({ "service": "mailer", "cluster": "prod" }),
            serde_json::json!({ "service": "api", "cluster": "test" }),
            serde_json::json!({ "serviceDeploymentArn": "arn:aws:ecs:eu-west-2:123456789012:service-deployment/prod/api-2/1a2b" }),
            Value::Null,
        ] {
            assert!(!of(other.clone()), "{other}");
        }
    }

    #[test]
    fn who_only_looked_changed_nothing() {
        let group = asked("sg-1", By::ResourceName("sg-1".into()));
        let read =
            types::Event::builder().event_name("DescribeSecurityGroups").read_only("true").build();
        assert_eq!(write_event(read, &group), None);
        assert!(
            write_event(types::Event::builder().event_name("X").build(), &group).is_some(),
            "a record that cannot be read is an event too"
        );
    }
}
