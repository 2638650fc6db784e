//! ECS stops tasks that Cloud Map never reports as healthy: the Cloud Map service has no custom
//! health check, or it was deleted. What Cloud Map lists of running tasks is for `cloud_map_stale`.

use std::collections::BTreeSet;

use crate::aws::arn;
use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::reason::{self, Told};
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// ECS stops each task before it serves, because Cloud Map does not confirm the task's
    /// registration in time.
    ///
    /// # Why it matters
    ///
    /// No task of the service ever runs, though its image, its network and its code are fine: ECS
    /// starts a task, waits for Cloud Map, and stops it again.
    ///
    /// # How we tell
    ///
    /// Tasks stopped with, or an ECS event says, "Timeout waiting for service discovery instance
    /// provisioning to complete". ECS reports the health of a task through the custom health check
    /// of the Cloud Map service in `serviceRegistries`: `GetService` shows whether it has
    /// `HealthCheckCustomConfig`, and whether the service exists at all. Where it has one, or where
    /// that is not known, the cause is only likely. A timeout of the network interface is another
    /// trouble.
    ///
    /// # What to do
    ///
    /// The custom health check can only be set when the Cloud Map service is created. Create
    /// another one and register the ECS service there:
    ///
    /// ```sh
    /// aws servicediscovery create-service --name <name> --dns-config '…' --health-check-custom-config FailureThreshold=1
    /// aws ecs update-service --cluster <cluster> --service <service> --service-registries registryArn=<ARN> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `health_check_custom_config` in `aws_service_discovery_service`.
    ///
    /// # See also
    ///
    /// `cloud_map_stale`, `interface_not_provisioned`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-discovery.html>,
    /// <https://docs.aws.amazon.com/cloud-map/latest/api/API_HealthCheckCustomConfig.html>
    title: "Cloud Map never confirms the tasks' registration",
    severity: High,
    role: Cause,
    explains: [TasksFailToStart],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, GetService],
    example: on fargate, |snapshot| {
        use crate::baseline::peers::discovery;
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "Timeout waiting for service discovery instance provisioning to complete.",
        );
        if let Some(registry) = snapshot.discovery_services.change(&discovery("srv-api")) {
            registry.health_check_custom_config = Some(false);
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let registries: BTreeSet<&str> = patient
        .service()
        .service_registries
        .iter()
        .filter_map(|registry| registry.registry_arn.as_deref())
        .collect();
    let told = reason::told(patient, findings);
    for told in told.iter().filter(|it| it.reason.trouble == Trouble::DiscoveryNotProvisioned) {
        let suspects: Vec<Suspect> = registries
            .iter()
            .map(|registry| Suspect { registry, fault: fault(patient, findings, registry) })
            .collect();
        let worst = suspects.iter().max_by_key(|suspect| suspect.fault);
        findings.add(finding(patient, told, worst));
    }
    Ok(())
}

/// What may keep a registry from confirming a task; what is more certain is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It has a custom health check, so it is something else.
    Other,
    /// Whether it has one was not seen, or was not kept.
    Unknown,
    NoCustomHealthCheck,
    Gone,
}

struct Suspect<'a> {
    registry: &'a str,
    fault: Fault,
}

fn fault(patient: &Patient, findings: &mut Findings, registry: &str) -> Fault {
    match findings.see(patient.discovery_service(registry)) {
        None => Fault::Unknown,
        Some(None) => Fault::Gone,
        Some(Some(service)) => match service.health_check_custom_config {
            None => Fault::Unknown,
            Some(false) => Fault::NoCustomHealthCheck,
            Some(true) => Fault::Other,
        },
    }
}

fn finding(patient: &Patient, told: &Told, worst: Option<&Suspect>) -> Finding {
    let name = worst.map_or("the Cloud Map service", |suspect| arn::last(suspect.registry));
    let claim = match worst.map(|suspect| suspect.fault) {
        Some(Fault::Gone) => {
            format!("Cloud Map service {name} does not exist, so no task can be registered")
        }
        Some(Fault::NoCustomHealthCheck) => format!(
            "Cloud Map service {name} has no HealthCheckCustomConfig, so ECS cannot report its tasks as healthy there"
        ),
        Some(Fault::Other) => format!(
            "Cloud Map did not confirm the registration of a task in {name}, though it has HealthCheckCustomConfig"
        ),
        Some(Fault::Unknown) | None => format!(
            "Cloud Map did not confirm the registration of a task; likely {name} has no HealthCheckCustomConfig"
        ),
    };
    let evidence = worst.and_then(|suspect| match suspect.fault {
        Fault::NoCustomHealthCheck | Fault::Other => Some(Evidence::new(
            Call::GetService,
            suspect.registry,
            "HealthCheckCustomConfig",
            suspect.fault == Fault::Other,
        )),
        Fault::Gone => Some(patient.evidence("serviceRegistries.registryArn", suspect.registry)),
        Fault::Unknown => None,
    });
    told.finding(patient, &claim).because_all(evidence).mend(remedy(patient, told, worst))
}

fn remedy(patient: &Patient, told: &Told, worst: Option<&Suspect>) -> Remedy {
    let id = worst.map_or(Word::needed("DISCOVERY_SERVICE_ID"), |suspect| {
        Word::new(arn::last(suspect.registry))
    });
    let see = aws!("servicediscovery get-service --id {}", id);
    if worst.is_some_and(|suspect| suspect.fault == Fault::Other) {
        return Remedy::new(
            "Look whether Cloud Map throttles the account, or whether its quota of instances is used up; ECS retries automatically.",
        )
        .cli(see)
        .cli(told.see(patient));
    }
    Remedy::new(
        "Create a Cloud Map service with HealthCheckCustomConfig, since it cannot be added to an existing one, and put its ARN in serviceRegistries.",
    )
    .cli(see)
    .cli(aws!(
        "servicediscovery create-service --name {} --namespace-id $NAMESPACE_ID \
         --dns-config DnsRecords=[{Type=A,TTL=10}] --health-check-custom-config FailureThreshold=1",
        patient.name()
    ))
    .cli(
        patient
            .update_service()
            .and(crate::words!("--service-registries registryArn=$REGISTRY_ARN --force-new-deployment")),
    )
    .terraform(hcl!(
        r#"
        resource "aws_service_discovery_service" {} {
          health_check_custom_config {
            failure_threshold = {}
          }
        }"#,
        patient.name(),
        1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::baseline::peers::discovery;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(custom: Option<bool>) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot
            .discovery_services
            .change(&discovery("srv-api"))
            .unwrap()
            .health_check_custom_config = custom;
        snapshot
    }

    #[test]
    fn names_the_registry_and_what_it_lacks() {
        let exam = exam(CHECK, &(CHECK.example)());
        assert!(
            exam.findings[0].says().starts_with(
                "Cloud Map service srv-api has no HealthCheckCustomConfig, so ECS cannot report its tasks as healthy there: "
            ),
            "{}",
            exam.findings[0].says()
        );
        let remedy = exam.findings[0].remedy.shell().join("\n");
        assert!(remedy.contains("--health-check-custom-config"), "{remedy}");
    }

    #[test]
    fn an_older_snapshot_makes_it_likely_and_a_present_one_does_not() {
        assert!(
            says(CHECK, &with(None))[0].contains("likely srv-api has no HealthCheckCustomConfig")
        );
        assert!(
            says(CHECK, &with(Some(true)))[0].contains("though it has HealthCheckCustomConfig")
        );
    }

    #[test]
    fn a_registry_that_is_gone_registers_nobody() {
        let mut snapshot = with(None);
        snapshot.discovery_services.insert(discovery("srv-api"), Seen::Yes(None));
        assert!(says(CHECK, &snapshot)[0].starts_with("Cloud Map service srv-api does not exist"));
    }

    #[test]
    fn where_cloud_map_may_not_be_asked_it_is_likely_and_said_so() {
        let mut snapshot = with(None);
        let denied = Seen::No(Why::Denied("no".into()));
        snapshot.discovery_services.insert(discovery("srv-api"), denied);
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings[0].says().contains("likely"));
        assert_eq!(exam.missed[0].call, Call::GetService);
    }

    #[test]
    fn an_event_tells_of_a_worker_as_well() {
        let mut snapshot = baseline::worker();
        baseline::lack_tasks(&mut snapshot);
        baseline::say(
            &mut snapshot,
            12,
            "(service mailer) was unable to place a task. Reason: Timeout waiting for service discovery instance provisioning to complete.",
        );
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "Cloud Map did not confirm the registration of a task; likely the Cloud Map service has no"
        ));
    }

    #[test]
    fn a_timeout_of_something_else_is_another_trouble() {
        let mut snapshot = with(Some(false));
        baseline::fail_to_start(
            &mut snapshot,
            3,
            "Timeout waiting for network interface provisioning to complete.",
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_registry_without_the_custom_check_hurts_nobody_while_tasks_start() {
        let mut snapshot = baseline::fargate();
        snapshot
            .discovery_services
            .change(&discovery("srv-api"))
            .unwrap()
            .health_check_custom_config = Some(false);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
