//! The proxy that Service Connect adds to the task has too little CPU or memory, or its timeout
//! cuts off calls that take longer. The first is arithmetic on the task definition, the second is
//! what the log shows.

use crate::aws::arn;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::peers::service_connect::{self, Called};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::TaskDefinition;
use crate::text::parsed;
use crate::{aws, hcl, words};

crate::check! {
    /// The Service Connect proxy has no CPU or memory left beside the containers, or its timeout is
    /// too short.
    ///
    /// # Why it matters
    ///
    /// All Service Connect calls go through the proxies of both services. One without CPU answers
    /// late, one without memory is killed and takes its task along; and one with a timeout of 15 s
    /// ends every call that takes 16.
    ///
    /// # How we tell
    ///
    /// The containers of the primary deployment's task definition reserve all of the task's CPU, or
    /// may use so much of its memory that less than 64 MiB are left, which AWS recommends for the
    /// proxy. Where containers have no limits of their own, what is left is not known, and nothing
    /// is claimed. A log line of the last hour with the proxy's words `upstream request timeout`
    /// shows the timeout: `perRequestTimeoutSeconds` of the service that a variable names, 15 s
    /// unless it is set.
    ///
    /// # What to do
    ///
    /// Give the task 256 CPU units and 64 MiB more than its containers need; or increase the
    /// timeout:
    ///
    /// ```sh
    /// aws ecs describe-services --cluster <cluster> --services <called service> --query 'services[0].deployments[0].serviceConnectConfiguration' > connect.json
    /// aws ecs update-service --cluster <cluster> --service <called service> --service-connect-configuration file://connect.json
    /// ```
    ///
    /// Terraform/OpenTofu: `cpu` and `memory` in `aws_ecs_task_definition`; `timeout` in
    /// `service_connect_configuration`.
    ///
    /// # See also
    ///
    /// `saturated`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html>
    title: "The Service Connect proxy has too little CPU, memory or time",
    severity: Medium,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace, GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::{id, peers};
        if let Some(definition) = snapshot.task_definitions.change(&id::ecs("task-definition/mailer:12")) {
            definition.container_definitions[0].memory = Some(512);
        }
        peers::log(snapshot, "504 upstream request timeout");
    },
}

/// What AWS recommends, in MiB.
const MEMORY: i32 = 64;
/// How long it waits for the answer to an HTTP request where nothing is set.
const SECONDS: i32 = 15;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service_connect::configuration(service).is_none() {
        return Err(NoAnswer::NotApplicable(service_connect::NOT_CONNECTED));
    }
    let definition = service.primary().and_then(|deployment| deployment.task_definition.as_deref());
    if let Some(definition) = definition
        && let Some(definition) = findings.see(patient.task_definition(definition)).flatten()
    {
        starved(patient, definition, findings);
    }
    let failed = connection_errors::failed(patient, findings);
    let cut: Vec<_> = failed
        .iter()
        .filter(|failed| failed.line.message.contains("upstream request timeout"))
        .collect();
    let Some(newest) = cut.first() else { return Ok(()) };
    for called in service_connect::called(patient, findings)?
        .iter()
        .filter(|called| called.endpoint.offered.per_request_timeout_seconds != Some(0))
    {
        findings.add(short(called, newest, &connection_errors::quote(&cut)));
    }
    Ok(())
}

fn starved(patient: &Patient, definition: &TaskDefinition, findings: &mut Findings) {
    let containers = &definition.container_definitions;
    let sum = |of: fn(&crate::snapshot::ContainerDefinition) -> Option<i32>| {
        containers.iter().map(of).sum::<Option<i32>>().unwrap_or_default()
    };
    let whole = |text: &Option<String>| text.as_deref().and_then(parsed::<i32>);
    let mut short: Vec<(String, Evidence)> = Vec::new();
    let evidence = |field, value: i32| {
        Evidence::new(Call::DescribeTaskDefinition, &definition.task_definition_arn, field, value)
    };
    if let Some(task) = whole(&definition.cpu)
        && sum(|container| container.cpu) >= task
    {
        short.push((format!("all of its {task} CPU units"), evidence("cpu", task)));
    }
    if let Some(task) = whole(&definition.memory) {
        let limits = sum(|container| container.memory);
        if task - limits < MEMORY {
            short.push((format!("{limits} of its {task} MiB of memory"), evidence("memory", task)));
        }
    }
    let words: Vec<&str> = short.iter().map(|(words, _)| words.as_str()).collect();
    let version = rollout::short(&definition.task_definition_arn);
    let claim = format!(
        "the containers of {version} may use {}: the Service Connect proxy beside them lacks the 256 CPU units and {MEMORY} MiB that AWS recommends",
        words.join(" and ")
    );
    let mut evidence = short.into_iter().map(|(_, evidence)| evidence);
    let Some(first) = evidence.next() else { return };
    let remedy = Remedy::new(format!(
        "Register a version of the task definition whose cpu and memory are 256 CPU units and {MEMORY} MiB more than its containers may use, and deploy it."
    ))
    .cli(aws!("ecs describe-task-definition --task-definition {}", definition.task_definition_arn))
    .cli(patient.update_service().and(words!("--task-definition $TASK_DEFINITION")))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_task_definition" {} {
          cpu    = 512
          memory = 1024
        }"#,
        definition.family
    ));
    findings.add(
        Subject::new(Kind::TaskDefinition, &definition.task_definition_arn)
            .sick(claim, first)
            .because_all(evidence)
            .mend(remedy)
            .concerns(Kind::TaskDefinition, &definition.task_definition_arn),
    );
}

fn short(called: &Called, newest: &connection_errors::Failed, logged: &str) -> Finding {
    let (sibling, set) =
        (called.endpoint.service, called.endpoint.offered.per_request_timeout_seconds);
    let seconds = set.unwrap_or(SECONDS);
    let by = if set.is_some() { "the configured" } else { "the default" };
    let claim = format!(
        "calls to {} are cut off after {seconds} s, {by} timeout of service {}, likely before it has answered",
        called.named.host, sibling.service_name
    );
    let value = set.map_or("null".to_owned(), |seconds| seconds.to_string());
    Subject::new(Kind::Service, &sibling.service_arn)
        .sick(claim, newest.evidence())
        .detail(logged)
        .because(Evidence::new(
            Call::DescribeServices,
            &sibling.service_arn,
            "services.timeout.perRequestTimeoutSeconds",
            value,
        ))
        .because_all(called.named.evidence())
        .mend(more_time(called))
}

fn more_time(called: &Called) -> Remedy {
    let sibling = called.endpoint.service;
    let (cluster, name) = (arn::last(&sibling.cluster_arn), &sibling.service_name);
    let read = aws!(
        "ecs describe-services --cluster {} --services {} \
         --query services[0].deployments[0].serviceConnectConfiguration",
        cluster,
        name
    );
    let write = aws!(
        "ecs update-service --cluster {} --service {} \
         --service-connect-configuration file://connect.json",
        cluster,
        name
    );
    Remedy::new("Find out why it takes so long; or increase timeout.perRequestTimeoutSeconds of its port in connect.json (0 means no limit), and deploy both services.")
        .cli(read.into_file("connect.json"))
        .cli(write)
        .terraform(hcl!(
            r#"
            resource "aws_ecs_service" {} {
              service_connect_configuration {
                enabled = true
                service {
                  port_name = {}
                  timeout {
                    per_request_timeout_seconds = 60
                  }
                }
              }
            }"#,
            name,
            called.endpoint.offered.port_name
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{log, sibling};
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// Two containers, with these limits each.
    fn with(cpu: Option<i32>, memory: Option<i32>) -> Snapshot {
        let mut snapshot = baseline::worker();
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/mailer:12")).unwrap();
        let mut sidecar = definition.container_definitions[0].clone();
        (sidecar.cpu, sidecar.memory) = (Some(64), Some(128));
        (definition.container_definitions[0].cpu, definition.container_definitions[0].memory) =
            (cpu, memory);
        definition.container_definitions.push(sidecar);
        snapshot
    }

    #[test]
    fn says_what_is_left_and_what_is_needed() {
        assert_eq!(
            says(CHECK, &with(Some(192), Some(384)))[0],
            "The containers of mailer:12 may use all of its 256 CPU units and 512 of its 512 MiB of memory: the Service Connect proxy beside them lacks \
             the 256 CPU units and 64 MiB that AWS recommends."
        );
    }

    #[test]
    fn the_larger_task_is_deployed() {
        let exam = exam(CHECK, &with(Some(192), Some(384)));
        let shell = exam.findings[0].remedy.shell();
        assert!(shell[1].ends_with("--task-definition \"$TASK_DEFINITION\""), "{shell:?}");
    }

    #[test]
    fn containers_without_limits_share_with_the_proxy() {
        assert!(says(CHECK, &with(None, None)).is_empty());
    }

    #[test]
    fn what_is_left_over_is_enough() {
        assert!(says(CHECK, &with(Some(128), Some(320))).is_empty());
        assert_eq!(says(CHECK, &with(Some(128), Some(321))).len(), 1);
    }

    #[test]
    fn a_call_that_is_cut_short_names_the_timeout() {
        let mut snapshot = baseline::worker();
        log(&mut snapshot, "POST /receipts 504 upstream request timeout");
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Calls to orders are cut off after 15 s, the default timeout of service orders, likely before it has answered. The log says \"POST /receipts 504 upstream \
              request timeout\"."
            ]
        );
        let offered = |snapshot: &mut Snapshot, seconds| {
            let orders = snapshot.peers.change(&sibling()).unwrap();
            orders.deployments[0].service_connect_configuration.as_mut().unwrap().services[0]
                .per_request_timeout_seconds = Some(seconds);
        };
        offered(&mut snapshot, 5);
        assert!(
            says(CHECK, &snapshot)[0].contains("are cut off after 5 s, the configured timeout")
        );
        offered(&mut snapshot, 0);
        assert!(says(CHECK, &snapshot).is_empty(), "0 turns it off");
    }

    #[test]
    fn without_service_connect_there_is_no_proxy() {
        let mut snapshot = with(Some(192), Some(384));
        snapshot.services[0].deployments[0]
            .service_connect_configuration
            .as_mut()
            .unwrap()
            .enabled = false;
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
