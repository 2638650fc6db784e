//! A port that Service Connect offers is in no port mapping of the task definition: of the service
//! itself, or of a sibling that it calls. Then the name exists, and has no target.

use crate::aws::arn;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::peers::service_connect::{self, Endpoint};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::TaskDefinition;
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// Service Connect offers a port by a name that no port mapping of the task definition has.
    ///
    /// # Why it matters
    ///
    /// The name that other services call has no target, so every call fails.
    ///
    /// # How we tell
    ///
    /// `portName` in the Service Connect configuration of the primary deployment is compared with
    /// the names of the port mappings of all containers in its task definition, for this service
    /// and for the services that its variables name.
    ///
    /// # What to do
    ///
    /// Give the port mapping the name that Service Connect uses, or the other way round:
    ///
    /// ```sh
    /// aws ecs describe-task-definition --task-definition <definition> --query 'taskDefinition.containerDefinitions[].portMappings[]'
    /// aws ecs update-service --cluster <cluster> --service <service> --service-connect-configuration file://connect.json
    /// ```
    ///
    /// Terraform/OpenTofu: `port_name` in `service_connect_configuration`, and `portMappings` in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `service_connect_client_stale`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectService.html>
    title: "The Service Connect port name is in no port mapping",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace,
        GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::log;
        use crate::baseline::{id, roll_out};
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(definition) = snapshot.task_definitions.change(&id::ecs("task-definition/orders:7")) {
            definition.container_definitions[0].port_mappings[0].name = Some("web".into());
        }
        log(snapshot, "Error: connect ECONNREFUSED orders:8080");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    if service_connect::configuration(service).is_none() {
        return Err(NoAnswer::NotApplicable(service_connect::NOT_CONNECTED));
    }
    for endpoint in service_connect::endpoints(service) {
        if let Some(definition) = findings.see(without_port(patient, &endpoint)).flatten() {
            findings.add(
                finding(patient, &endpoint, definition, "")
                    .concerns(Kind::TaskDefinition, &definition.task_definition_arn),
            );
        }
    }
    for called in service_connect::called(patient, findings)? {
        let Some(definition) = findings.see(without_port(patient, &called.endpoint)).flatten()
        else {
            continue;
        };
        let failed = connection_errors::failed(patient, findings);
        let failed: Vec<_> =
            failed.iter().filter(|failed| failed.is_about(called.named.host, None)).collect();
        let finding =
            finding(patient, &called.endpoint, definition, &connection_errors::quote(&failed))
                .because_all(called.named.evidence());
        findings.add(connection_errors::join(finding, &failed));
    }
    Ok(())
}

/// The task definition of an endpoint, if it has no port of that name.
fn without_port<'a>(
    patient: &Patient<'a>,
    endpoint: &Endpoint,
) -> Result<Option<&'a TaskDefinition>, Blind> {
    let Some(definition) = endpoint.deployment.task_definition.as_deref() else { return Ok(None) };
    let has = |definition: &TaskDefinition| {
        names(definition).contains(&endpoint.offered.port_name.as_str())
    };
    Ok(patient.task_definition(definition)?.filter(|definition| !has(definition)))
}

fn names(definition: &TaskDefinition) -> Vec<&str> {
    let ports =
        definition.container_definitions.iter().flat_map(|container| &container.port_mappings);
    ports.filter_map(|port| port.name.as_deref()).collect()
}

fn finding(
    patient: &Patient,
    endpoint: &Endpoint,
    definition: &TaskDefinition,
    logged: &str,
) -> Finding {
    let (service, port) = (endpoint.service, &endpoint.offered.port_name);
    let names = names(definition);
    let known = if names.is_empty() {
        "no named port".to_owned()
    } else {
        format!("only {}", and_list(&names))
    };
    let version = rollout::short(&definition.task_definition_arn);
    let claim = format!(
        "service {} offers port {port} as {}, but {version} has {known}: the name has no target",
        service.service_name, endpoint.host
    );
    let evidence = Evidence::new(
        Call::DescribeServices,
        &service.service_arn,
        "serviceConnectConfiguration.services.portName",
        port,
    );
    let named = names.iter().map(|name| {
        Evidence::new(
            Call::DescribeTaskDefinition,
            &definition.task_definition_arn,
            "portMappings.name",
            name,
        )
    });
    let see = patient.see(Call::DescribeTaskDefinition, &definition.task_definition_arn);
    let deploy = aws!(
        "ecs update-service --cluster {} --service {} --task-definition $TASK_DEFINITION",
        arn::last(&service.cluster_arn),
        service.service_name
    );
    let offer = hcl!(
        r#"
        resource "aws_ecs_service" {} {
          service_connect_configuration {
            enabled = true
            service {
              port_name = {}
            }
          }
        }"#,
        service.service_name,
        names.first().unwrap_or(&"http")
    );
    let summary = format!(
        "Name the container port {port} in the task definition and deploy it, or offer a port name that the task definition has."
    );
    Subject::new(Kind::Service, &service.service_arn)
        .sick(claim, evidence)
        .detail(logged)
        .because_all(named)
        .mend(Remedy::new(summary).cli(see).cli(deploy).terraform(offer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{name_host, sibling};
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::seen::Seen;
    use crate::testing::{exam, says};

    #[test]
    fn names_service_port_name_and_what_the_version_has() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Service orders offers port http as orders, but orders:7 has only web: the name has no target. The log says \"Error: connect \
              ECONNREFUSED orders:8080\"."
            ]
        );
    }

    #[test]
    fn its_own_port_counts_too() {
        let mut snapshot = baseline::worker();
        let offered = snapshot.peers.change(&sibling()).unwrap().deployments[0]
            .service_connect_configuration
            .clone();
        snapshot.services[0].deployments[0].service_connect_configuration = offered;
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Service mailer offers port http as orders, but mailer:12 has no named port: the name has no target."
            ]
        );
    }

    #[test]
    fn any_container_may_have_the_port() {
        let mut snapshot = (CHECK.example)();
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/orders:7")).unwrap();
        let mut sidecar = definition.container_definitions[0].clone();
        sidecar.port_mappings[0].name = Some("http".into());
        definition.container_definitions.push(sidecar);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_sibling_that_nobody_here_calls_is_for_its_own_look() {
        let mut snapshot = (CHECK.example)();
        name_host(&mut snapshot, &[("BILLING_URL", "billing")]);
        snapshot.peers.insert(id::ecs("service/prod/billing"), Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
