//! The schemas of the formats, made from the types that are printed. Words that a field can have
//! are one `enum`, and what each means is told in its description: schemars would make a schema of
//! its own for each word, which few programs that read schemas take for an enumeration.

use anyhow::Result;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The schema of a format, as its page in the docs has it.
pub fn page<T: JsonSchema>() -> Result<String> {
    Ok(serde_json::to_string_pretty(&of::<T>())? + "\n")
}

fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(enumerate));
    settings.into_generator().into_root_schema_for::<T>()
}

/// Where each alternative is a word, or a list of words: one `enum` of all of them.
fn enumerate(schema: &mut Schema) {
    let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let Some(described) = alternatives.iter().map(words).collect::<Option<Vec<_>>>() else {
        return;
    };
    let described: Vec<(String, Option<String>)> = described.into_iter().flatten().collect();
    let explained: Vec<String> = described
        .iter()
        .filter_map(|(word, meaning)| Some(format!("- `{word}`: {}", meaning.as_deref()?)))
        .collect();
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{about}\n\n{}", explained.join("\n"));
    let words: Vec<String> = described.into_iter().map(|(word, _)| word).collect();
    schema.remove("oneOf");
    schema.insert("description".into(), description.trim().into());
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into());
}

/// The words of one alternative, each with what it means; none if it is no alternative of words.
fn words(alternative: &Value) -> Option<Vec<(String, Option<String>)>> {
    let meaning = alternative.get("description").and_then(Value::as_str);
    let several = alternative.get("enum").and_then(Value::as_array);
    let words = several.cloned().or_else(|| Some(vec![alternative.get("const")?.clone()]))?;
    let described = words.iter().map(|word| {
        Some((word.as_str()?.to_owned(), meaning.map(|meaning| meaning.replace('\n', " "))))
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use checks::call::Call;
    use checks::check::{Role, Severity};
    use checks::diagnosis::{Standing, Verdict};
    use checks::exam::Ended;
    use checks::facts::deployment::rollout::Strategy;
    use checks::facts::inbound::probe::{Maker, Stage};
    use checks::finding;
    use checks::seen::Blindness;
    use checks::views::diff::Area;
    use checks::views::digests::Compared;
    use checks::views::request_path::{By, HopKind, Mark};
    use checks::views::timeline::Source;
    use serde::Serialize;

    use super::*;
    use crate::report::history::NewOrOld;
    use crate::report::path::ComparedWith;
    use crate::report::{Report, ServiceKind};

    /// Scripts compare with these words. Each stands beside the value that prints it; a value without
    /// a word, or the other way round, fails.
    #[track_caller]
    fn spelled<T: JsonSchema + Serialize>(spelled: &[(T, &str)]) {
        let words: Vec<&str> = spelled.iter().map(|(_, word)| *word).collect();
        let printed: Vec<Value> =
            spelled.iter().map(|(value, _)| serde_json::to_value(value).unwrap()).collect();
        assert_eq!(printed, words, "as it is printed");
        let schema = of::<T>();
        let mut listed: Vec<&str> = schema
            .get("enum")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_str)
            .collect();
        let mut words = words;
        listed.sort_unstable();
        words.sort_unstable();
        assert_eq!(listed, words, "as the schema has it");
        assert_eq!(schema.get("type").unwrap(), "string");
        assert!(schema.get("oneOf").is_none());
    }

    #[test]
    fn every_word_is_spelled_as_ever_and_stands_in_the_schema() {
        spelled(&[
            (Severity::Critical, "critical"),
            (Severity::High, "high"),
            (Severity::Medium, "medium"),
            (Severity::Low, "low"),
            (Severity::Info, "info"),
        ]);
        spelled(&[
            (Role::Symptom, "symptom"),
            (Role::Cause, "cause"),
            (Role::Risk, "risk"),
            (Role::Note, "note"),
        ]);
        spelled(&[
            (Standing::Cause, "cause"),
            (Standing::Unexplained, "unexplained"),
            (Standing::Symptom, "symptom"),
            (Standing::Risk, "risk"),
            (Standing::Note, "note"),
        ]);
        spelled(&[
            (Verdict::Sick, "sick"),
            (Verdict::Unknown, "unknown"),
            (Verdict::AtRisk, "at_risk"),
            (Verdict::Healthy, "healthy"),
        ]);
        spelled(&[
            (Ended::Sick, "sick"),
            (Ended::Crashed, "crashed"),
            (Ended::CouldNotLook, "could_not_look"),
            (Ended::NotApplicable, "not_applicable"),
            (Ended::Healthy, "healthy"),
        ]);
        spelled(&[
            (Blindness::Denied, "denied"),
            (Blindness::NoAnswer, "no_answer"),
            (Blindness::Unreadable, "unreadable"),
            (Blindness::Declined, "declined"),
            (Blindness::NotAsked, "not_asked"),
            (Blindness::Behind, "behind"),
        ]);
        spelled(&[
            (ServiceKind::Express, "express"),
            (ServiceKind::Fargate, "fargate"),
            (ServiceKind::Ec2, "ec2"),
            (ServiceKind::ManagedInstances, "managed_instances"),
            (ServiceKind::External, "external"),
        ]);
        spelled(&[
            (finding::Kind::Service, "service"),
            (finding::Kind::Deployment, "deployment"),
            (finding::Kind::Revision, "service_revision"),
            (finding::Kind::TaskDefinition, "task_definition"),
            (finding::Kind::Task, "task"),
            (finding::Kind::Container, "container"),
            (finding::Kind::Image, "image"),
            (finding::Kind::TargetGroup, "target_group"),
            (finding::Kind::Target, "target"),
            (finding::Kind::LoadBalancer, "load_balancer"),
            (finding::Kind::Listener, "listener"),
            (finding::Kind::ListenerRule, "listener_rule"),
            (finding::Kind::SecurityGroup, "security_group"),
            (finding::Kind::Subnet, "subnet"),
            (finding::Kind::Vpc, "vpc"),
            (finding::Kind::Endpoint, "vpc_endpoint"),
            (finding::Kind::NetworkAcl, "network_acl"),
            (finding::Kind::Alarm, "alarm"),
            (finding::Kind::LogGroup, "log_group"),
            (finding::Kind::Database, "database"),
            (finding::Kind::Secret, "secret"),
            (finding::Kind::Cluster, "cluster"),
            (finding::Kind::ContainerInstance, "container_instance"),
            (finding::Kind::CapacityProvider, "capacity_provider"),
            (finding::Kind::AutoScalingGroup, "auto_scaling_group"),
            (finding::Kind::Certificate, "certificate"),
            (finding::Kind::WebAcl, "web_acl"),
            (finding::Kind::IpSet, "ip_set"),
            (finding::Kind::PrefixList, "prefix_list"),
            (finding::Kind::RouteTable, "route_table"),
            (finding::Kind::NatGateway, "nat_gateway"),
            (finding::Kind::Peering, "peering"),
            (finding::Kind::Gateway, "gateway"),
            (finding::Kind::NetworkInterface, "network_interface"),
            (finding::Kind::Namespace, "namespace"),
            (finding::Kind::DiscoveryService, "discovery_service"),
            (finding::Kind::Repository, "repository"),
            (finding::Kind::Role, "role"),
            (finding::Kind::Resource, "resource"),
        ]);
    }

    #[test]
    fn every_word_of_the_way_in_is_spelled_as_ever() {
        spelled(&[
            (HopKind::Name, "name"),
            (HopKind::LoadBalancer, "load_balancer"),
            (HopKind::SecurityGroups, "security_groups"),
            (HopKind::Listener, "listener"),
            (HopKind::WebAcl, "web_acl"),
            (HopKind::Rule, "rule"),
            (HopKind::TargetGroup, "target_group"),
            (HopKind::Targets, "targets"),
            (HopKind::Tasks, "tasks"),
        ]);
        spelled(&[(Mark::Good, "good"), (Mark::Bad, "bad"), (Mark::Unseen, "unseen")]);
        spelled(&[
            (By::App, "app"),
            (By::LoadBalancer, "load_balancer"),
            (By::Both, "both"),
            (By::Nobody, "nobody"),
            (By::Other, "other"),
            (By::Unknown, "unknown"),
        ]);
        spelled(&[
            (ComparedWith::NetworkInterfaces, "network_interfaces"),
            (ComparedWith::BalancerName, "balancer_name"),
        ]);
        spelled(&[
            (Maker::LoadBalancer, "load_balancer"),
            (Maker::LikelyLoadBalancer, "likely_load_balancer"),
            (Maker::App, "app"),
        ]);
        spelled(&[
            (Stage::Resolve, "resolve"),
            (Stage::Address, "address"),
            (Stage::Connect, "connect"),
            (Stage::Tls, "tls"),
            (Stage::Timeout, "timeout"),
            (Stage::Answer, "answer"),
        ]);
    }

    #[test]
    fn every_word_of_the_history_is_spelled_as_ever() {
        spelled(&[
            (Strategy::Rolling, "rolling"),
            (Strategy::BlueGreen, "blue/green"),
            (Strategy::Linear, "linear"),
            (Strategy::Canary, "canary"),
            (Strategy::Unknown, "other"),
        ]);
        spelled(&[(NewOrOld::New, "new"), (NewOrOld::Old, "old")]);
        spelled(&[
            (Area::Containers, "containers"),
            (Area::Image, "image"),
            (Area::Command, "command"),
            (Area::Environment, "environment"),
            (Area::Secrets, "secrets"),
            (Area::Ports, "ports"),
            (Area::HealthCheck, "health_check"),
            (Area::Size, "size"),
            (Area::Roles, "roles"),
            (Area::SecurityGroups, "security_groups"),
            (Area::Subnets, "subnets"),
            (Area::LoadBalancer, "load_balancer"),
            (Area::Platform, "platform"),
            (Area::ServiceConnect, "service_connect"),
            (Area::Logs, "logs"),
        ]);
        spelled(&[
            (Compared::Same, "same"),
            (Compared::Moved, "tag_moved"),
            (Compared::Mixed, "mixed"),
            (Compared::Unknown, "unknown"),
        ]);
        spelled(&[
            (Source::Deployment, "deployment"),
            (Source::Alarm, "alarm"),
            (Source::Scaling, "scaling"),
            (Source::Event, "event"),
            (Source::Task, "task"),
            (Source::Targets, "targets"),
            (Source::Trail, "trail"),
        ]);
    }

    /// Two types of one name would become `Kind` and `Kind2`, by the order in which they are met.
    #[test]
    fn the_schema_of_the_report_uses_the_enums() {
        let schema = of::<Report>();
        let named = |of: &str, field: &str, is: &str| {
            let property = &schema.get("$defs").unwrap()[of]["properties"][field]["$ref"];
            assert_eq!(property, &format!("#/$defs/{is}"), "{of}.{field}");
        };
        named("ServiceReport", "kind", "ServiceKind");
        named("ServiceReport", "verdict", "Verdict");
        named("FindingReport", "standing", "Standing");
        named("FindingReport", "severity", "Severity");
        named("SubjectReport", "kind", "SubjectKind");
        named("EvidenceReport", "call", "Call");
        named("SuspectReport", "call", "Call");
        named("SuspectReport", "why", "Blindness");
        named("ExamReport", "outcome", "Outcome");
        named("MissedReport", "call", "Call");
        named("MissedReport", "why", "Blindness");
        named("BlindReport", "call", "Call");
        named("BlindReport", "why", "Blindness");
        named("HopReport", "hop", "HopKind");
        named("HopReport", "mark", "Mark");
        named("AnswerReport", "by", "AnsweredBy");
        named("ProbeReport", "compared_with", "ComparedWith");
        named("ProbeAnswerReport", "by", "AnswerMaker");
        named("ProbeFailureReport", "stage", "ProbeStage");
        named("ChangeReport", "area", "ChangeArea");
        named("RolloutReport", "strategy", "Strategy");
        named("SideReport", "side", "NewOrOld");
        named("DigestReport", "compared", "Compared");
        named("EntryReport", "source", "EntrySource");
        assert!(Call::ALL.iter().all(|call| serde_json::to_value(call).unwrap() == call.action()));
    }

    #[test]
    fn an_enum_tells_what_its_words_mean() {
        let schema = of::<Severity>();
        let description = schema.get("description").unwrap().as_str().unwrap();
        assert!(description.contains("\n- `critical`: Clients are hurt now."), "{description}");
    }
}
