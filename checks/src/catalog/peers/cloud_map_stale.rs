//! Cloud Map lists no instance for a service whose tasks run, or tasks that are gone: of this
//! service, whose callers get errors, or of a sibling that it calls. Clients are not sent to what
//! Cloud Map holds back as unhealthy.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::aws;
use crate::aws::{arn, time};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::callee;
use crate::facts::peers::service_connect::{self, Names};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{DiscoveryInstance, Service};
use crate::text::{and_list, count, plural};

crate::check! {
    /// Cloud Map returns no address for a service whose tasks run, or addresses of tasks that are
    /// gone.
    ///
    /// # Why it matters
    ///
    /// Clients that call the service by its DNS name get no answer, or are sent to an address that
    /// no task has any more: some calls hang, others work, and the service itself is healthy.
    ///
    /// # How we tell
    ///
    /// The instances of the Cloud Map service that ECS registers tasks with (`serviceRegistries`)
    /// are compared with the tasks. None is registered though tasks have run for three minutes; or
    /// an instance that ECS registered for this service has the id of a task that is not running
    /// and did not stop within the last three minutes, and Cloud Map does not hold it back as
    /// `UNHEALTHY`. Of other services that a variable names by a private name, only an empty list
    /// counts.
    ///
    /// # What to do
    ///
    /// A new deployment registers its tasks; stale instances have to be deregistered:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// aws servicediscovery deregister-instance --service-id <service> --instance-id <instance>
    /// ```
    ///
    /// Terraform/OpenTofu: `service_registries` in `aws_ecs_service`, `dns_config` in
    /// `aws_service_discovery_service`.
    ///
    /// # See also
    ///
    /// `service_discovery_not_provisioned`, `vpc_dns_off`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-discovery.html>
    title: "Cloud Map lists no tasks of the service, or stopped ones",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace,
        GetService, ListInstances, GetInstancesHealthStatus, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::peers::{discovery, log, name_host};
        use crate::baseline::{id, roll_out};
        use crate::snapshot::DiscoveryService;
        use crate::snapshot::peers::ServiceRegistry;
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        let attributes = [("AWS_INSTANCE_IPV4", "10.0.1.99"), ("ECS_SERVICE_NAME", "api")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let gone = DiscoveryInstance { id: id::task(7), attributes: attributes.into() };
        if let Some(instances) = snapshot.discovery_instances.change(&discovery("srv-api")) {
            instances.push(gone);
        }
        let mut orders = snapshot.services[0].clone();
        orders.service_arn = id::ecs("service/prod/orders");
        orders.service_name = "orders".into();
        orders.service_registries = vec![ServiceRegistry { registry_arn: Some(discovery("srv-orders")), ..ServiceRegistry::default() }];
        snapshot.peers.put(orders.service_arn.clone(), orders);
        snapshot.discovery_instances.put(discovery("srv-orders"), Vec::new());
        let name = DiscoveryService { id: "srv-orders".into(), name: Some("orders".into()), ..DiscoveryService::default() };
        snapshot.discovery_services.put(discovery("srv-orders"), name);
        name_host(snapshot, &[("ORDERS_URL", "orders.prod.local")]);
        log(snapshot, "Error: getaddrinfo ENOTFOUND orders.prod.local");
    },
}

/// How long ECS may take to register a task, and to deregister it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(3);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let siblings = service_connect::siblings(patient, findings)?;
    let registries: Vec<&str> = registries(patient.service()).collect();
    if registries.is_empty() && siblings.iter().all(|sibling| sibling.service_registries.is_empty())
    {
        return Err(NoAnswer::NotApplicable("no service registry"));
    }
    for registry in registries {
        let Some(instances) = findings.see(patient.discovery_instances(registry)) else { continue };
        own(patient, findings, registry, instances)?;
    }
    for sibling in siblings {
        for registry in registries_that_should_be_full(patient, sibling) {
            if findings
                .see(patient.discovery_instances(registry))
                .is_some_and(<[DiscoveryInstance]>::is_empty)
            {
                of_sibling(patient, findings, sibling, registry)?;
            }
        }
    }
    Ok(())
}

fn registries(service: &Service) -> impl Iterator<Item = &str> {
    service.service_registries.iter().filter_map(|registry| registry.registry_arn.as_deref())
}

/// A service whose tasks have run for a while has tasks to register.
fn registries_that_should_be_full<'a>(
    patient: &Patient,
    sibling: &'a Service,
) -> impl Iterator<Item = &'a str> {
    let settled = sibling
        .primary()
        .and_then(|deployment| deployment.updated_at.or(deployment.created_at))
        .is_some_and(|at| is_past(patient, at));
    registries(sibling).filter(move |_| settled && sibling.running_count > 0)
}

fn is_past(patient: &Patient, at: Timestamp) -> bool {
    time::age(patient.now(), at) > PATIENCE
}

fn own(
    patient: &Patient,
    findings: &mut Findings,
    registry: &str,
    instances: &[DiscoveryInstance],
) -> Result<(), Blind> {
    let running = patient.running_tasks()?;
    let settled = running
        .iter()
        .filter(|task| {
            task.last_status == "RUNNING" && task.started_at.is_some_and(|at| is_past(patient, at))
        })
        .count();
    if instances.is_empty() {
        if settled > 0 {
            let name = name(patient, findings, registry);
            let claim = format!(
                "Cloud Map lists no instance for {name}, though {}: calls by that name fail",
                run(settled, "this service")
            );
            let finding = patient
                .subject()
                .sick(claim, Evidence::new(Call::ListInstances, registry, "Instances", "[]"))
                .because(patient.evidence("serviceRegistries.registryArn", registry));
            findings.add(connection_errors::join(
                finding.mend(again(patient.cluster(), patient.name())),
                &[],
            ));
        }
        return Ok(());
    }
    let stopping = patient
        .stopped_tasks()?
        .iter()
        .filter(|task| task.stopped_at.is_none_or(|at| !is_past(patient, at)));
    let alive: BTreeSet<&str> = running.iter().chain(stopping).map(|task| task.id()).collect();
    let ours = |instance: &&DiscoveryInstance| {
        instance.attributes.get("ECS_SERVICE_NAME").is_some_and(|name| name == patient.name())
    };
    let mut gone: Vec<&DiscoveryInstance> = instances
        .iter()
        .filter(ours)
        .filter(|instance| !alive.contains(instance.id.as_str()))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let health = patient.discovery_health(registry)?;
    gone.retain(|instance| {
        health
            .and_then(|health| health.get(&instance.id))
            .is_none_or(|health| health != "UNHEALTHY")
    });
    let Some(first) = gone.first() else { return Ok(()) };
    let addresses = gone.iter().filter_map(|instance| instance.attributes.get("AWS_INSTANCE_IPV4"));
    let name = name(patient, findings, registry);
    let (verb, there) = plural(gone.len(), ("is", "there"), ("are", "to them"));
    let claim = format!(
        "Cloud Map lists {} for {name}, {} of which {verb} gone ({}): calls that go {there} hang",
        count(instances.len(), "instance"),
        gone.len(),
        and_list(addresses)
    );
    let remedy =
        gone.iter().fold(Remedy::new("Deregister the stale instances."), |remedy, instance| {
            remedy.cli(aws!(
                "servicediscovery deregister-instance --service-id {} --instance-id {}",
                arn::last(registry),
                instance.id
            ))
        });
    let finding = patient
        .subject()
        .sick(claim, Evidence::new(Call::ListInstances, registry, "Instances.Id", &first.id))
        .because_all(gone.iter().skip(1).map(|instance| {
            Evidence::new(Call::ListInstances, registry, "Instances.Id", &instance.id)
        }))
        .because(patient.evidence("serviceRegistries.registryArn", registry));
    findings.add(connection_errors::join(finding.mend(remedy), &[]));
    Ok(())
}

fn of_sibling(
    patient: &Patient,
    findings: &mut Findings,
    sibling: &Service,
    registry: &str,
) -> Result<(), Blind> {
    let named = callee::named(patient)?;
    let calls = |host: &str| Names::of([host], None).call(sibling);
    let Some(named) = named.into_iter().find(|named| calls(named.host)) else { return Ok(()) };
    let failed = connection_errors::failed(patient, findings);
    let failed: Vec<_> = failed.iter().filter(|failed| failed.is_about(named.host, None)).collect();
    let claim = format!(
        "Cloud Map lists no instance for {} of service {}, though {}: {} ({}) does not resolve",
        name(patient, findings, registry),
        sibling.service_name,
        run(sibling.running_count.unsigned_abs() as usize, "it"),
        named.host,
        named.variable
    );
    let finding = Subject::new(Kind::Service, &sibling.service_arn)
        .sick(claim, Evidence::new(Call::ListInstances, registry, "Instances", "[]"))
        .detail(connection_errors::quote(&failed))
        .because(Evidence::new(
            Call::DescribeServices,
            &sibling.service_arn,
            "runningCount",
            sibling.running_count,
        ))
        .because_all(named.evidence())
        .mend(again(arn::last(&sibling.cluster_arn), &sibling.service_name));
    findings.add(connection_errors::join(finding, &failed));
    Ok(())
}

fn again(cluster: &str, service: &str) -> Remedy {
    Remedy::new("Force a new deployment: its tasks are registered when they run.").cli(aws!(
        "ecs update-service --cluster {} --service {} --force-new-deployment",
        cluster,
        service
    ))
}

/// `1 task of it runs`, `2 tasks of it run`.
fn run(tasks: usize, of: &str) -> String {
    format!("{} of {of} {}", count(tasks, "task"), plural(tasks, "runs", "run"))
}

/// `api (srv-e4anhexample0004)`, or the id alone where the name was not seen.
fn name(patient: &Patient, findings: &mut Findings, registry: &str) -> String {
    match findings
        .see(patient.discovery_service(registry))
        .flatten()
        .and_then(|service| service.name.as_deref())
    {
        Some(name) => format!("{name} ({})", arn::last(registry)),
        None => arn::last(registry).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::discovery;
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn instances(snapshot: &mut Snapshot) -> &mut Vec<DiscoveryInstance> {
        snapshot.discovery_instances.change(&discovery("srv-api")).unwrap()
    }

    fn with_gone() -> Snapshot {
        let mut snapshot = baseline::fargate();
        let attributes = [("AWS_INSTANCE_IPV4", "10.0.1.99"), ("ECS_SERVICE_NAME", "api")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        instances(&mut snapshot).push(DiscoveryInstance { id: id::task(7), attributes });
        snapshot
    }

    #[test]
    fn says_who_is_gone_and_who_is_not_there() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Cloud Map lists 3 instances for api (srv-api), 1 of which is gone (10.0.1.99): calls that go there hang.",
                "Cloud Map lists no instance for orders (srv-orders) of service orders, though 2 tasks of it run: orders.prod.local (ORDERS_URL) does not resolve. The \
                 log says \"Error: getaddrinfo ENOTFOUND orders.prod.local\"."
            ]
        );
    }

    #[test]
    fn an_empty_list_counts_once_tasks_have_run_for_a_while() {
        let mut snapshot = baseline::fargate();
        instances(&mut snapshot).clear();
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "Cloud Map lists no instance for api (srv-api), though 2 tasks of this service run"
        ));
        let arn = snapshot.services[0].service_arn.clone();
        snapshot
            .running_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.started_at = Some(minutes_ago(1)));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_task_that_has_just_stopped_is_on_its_way_out() {
        let mut snapshot = with_gone();
        baseline::stop_tasks(&mut snapshot, 1, |task| {
            task.task_arn = id::ecs(&format!("task/prod/{}", id::task(7)));
            task.stopped_at = Some(minutes_ago(1));
        });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn what_cloud_map_holds_back_hurts_nobody() {
        let mut snapshot = with_gone();
        snapshot
            .discovery_health
            .change(&discovery("srv-api"))
            .unwrap()
            .insert(id::task(7), "UNHEALTHY".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn what_somebody_else_registered_is_theirs() {
        let mut snapshot = with_gone();
        instances(&mut snapshot).last_mut().unwrap().attributes.remove("ECS_SERVICE_NAME");
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn without_a_registry_it_does_not_apply() {
        assert!(matches!(exam(CHECK, &baseline::ec2()).outcome, Outcome::NotApplicable(_)));
    }
}
