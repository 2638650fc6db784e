//! The service names a sibling by its Service Connect name, and is not in the sibling's namespace:
//! in another one, or in none. A name with dots may be in DNS, so it counts only with a log line
//! that says otherwise.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::service_connect::{self, Called};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Finding, Remedy};
use crate::hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::peers::ServiceConnect;

crate::check! {
    /// The service calls another service by a name that exists in another Service Connect namespace
    /// only.
    ///
    /// # Why it matters
    ///
    /// A service has one namespace, and its tasks know only the names in that one. For them the
    /// called service's name does not exist.
    ///
    /// # How we tell
    ///
    /// A variable of a current version names the alias of another service, of its cluster or
    /// namespace; that service is in another namespace than this one, or this one has no Service
    /// Connect at all; and no service in its own namespace has the name. One word, such as
    /// `orders`, resolves in no other way, unless it is a container of the same task; a name with
    /// dots may be in DNS, so it counts only if a log line of the last hour says that it does not
    /// resolve. A namespace that one side has by name and the other by ARN, or by the cluster's
    /// default, is not compared.
    ///
    /// # What to do
    ///
    /// Move both to one namespace, the server first:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <client> --service-connect-configuration enabled=true,namespace=<namespace>
    /// ```
    ///
    /// Terraform/OpenTofu: `namespace` in `service_connect_configuration` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `service_connect_client_stale`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html>
    title: "Client and server are in different Service Connect namespaces",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace,
        GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::{log, sibling};
        use crate::baseline::roll_out;
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(orders) = snapshot.peers.change(&sibling()) {
            for connect in orders.deployments.iter_mut().filter_map(|deployment| deployment.service_connect_configuration.as_mut()) {
                connect.namespace = Some("beta".into());
            }
        }
        if let Some(listed) = snapshot.namespace_services.change("internal") {
            listed.service_arns.truncate(1);
        }
        log(snapshot, "Error: getaddrinfo ENOTFOUND orders");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let own = service_connect::configuration(patient.service());
    let namespace = own.and_then(|own| own.namespace.as_deref());
    if own.is_some() && namespace.is_none() {
        return Err(NoAnswer::NotApplicable(service_connect::BY_DEFAULT));
    }
    if let Some(namespace) = namespace
        && findings
            .see(patient.namespace_services(namespace))
            .flatten()
            .is_some_and(|listed| listed.truncated)
    {
        return Err(NoAnswer::NotApplicable(
            "the namespace has more services than one page of results",
        ));
    }
    let all = service_connect::called(patient, findings)?;
    if own.is_none() && all.is_empty() {
        return Err(NoAnswer::NotApplicable(service_connect::NOT_CONNECTED));
    }
    for called in &all {
        let theirs = called.endpoint.namespace;
        let differs =
            own.is_none() || service_connect::same_namespace(namespace, theirs) == Some(false);
        // Somebody in the own namespace may have the name as well; one that is not comparable may
        // be there.
        let here = |other: &Called| {
            own.is_some()
                && service_connect::same_namespace(namespace, other.endpoint.namespace)
                    != Some(false)
        };
        if !differs
            || all.iter().any(|other| other.named.host == called.named.host && here(other))
            || is_container(patient, called)?
        {
            continue;
        }
        let failed = connection_errors::failed(patient, findings);
        let failed: Vec<_> =
            failed.iter().filter(|failed| failed.is_about(called.named.host, None)).collect();
        let unresolved =
            failed.iter().any(|failed| failed.how == connection_errors::How::Unresolved);
        if unresolved || !called.named.host.contains('.') {
            findings.add(connection_errors::join(
                finding(patient, called, own, &connection_errors::quote(&failed)),
                &failed,
            ));
        }
    }
    Ok(())
}

/// Whether a container of the same task has the name: bridge networking can link them.
fn is_container(patient: &Patient, called: &Called) -> Result<bool, Blind> {
    let containers = patient
        .task_definition(called.named.definition)?
        .into_iter()
        .flat_map(|definition| &definition.container_definitions);
    Ok(containers.into_iter().any(|container| container.name == called.named.host))
}

fn finding(
    patient: &Patient,
    called: &Called,
    own: Option<&ServiceConnect>,
    logged: &str,
) -> Finding {
    let (endpoint, named) = (&called.endpoint, &called.named);
    let (theirs, namespace) =
        (endpoint.namespace.unwrap_or_default(), own.and_then(|own| own.namespace.as_deref()));
    let here = match namespace {
        Some(namespace) => format!("is in namespace {namespace}"),
        None => "has no Service Connect".to_owned(),
    };
    let claim = format!(
        "{} names {}, which service {} offers in namespace {theirs}; this service {here}, so its tasks do not know the name",
        named.variable, named.host, endpoint.service.service_name
    );
    let of = |service: &str, value| {
        Evidence::new(
            Call::DescribeServices,
            service,
            "serviceConnectConfiguration.namespace",
            value,
        )
    };
    let own_namespace = match namespace {
        Some(namespace) => of(patient.arn(), namespace),
        None => patient.evidence("deployments.serviceConnectConfiguration", "null"),
    };
    patient
        .subject()
        .sick(claim, of(&endpoint.service.service_arn, theirs))
        .named()
        .detail(logged)
        .because(own_namespace)
        .because_all(named.evidence())
        .mend(remedy(patient, own, theirs))
}

/// The configuration is set as a whole: what the service offers itself has to go along.
fn remedy(patient: &Patient, own: Option<&ServiceConnect>, theirs: &str) -> Remedy {
    let remedy = if own.is_some_and(|own| !own.services.is_empty()) {
        let summary = format!(
            "Move this service to namespace {theirs}. It can be in one only, so the services that call it have to move, too. Change the namespace in connect.json."
        );
        service_connect::editing(Remedy::new(summary), patient)
    } else {
        let configuration = format!("enabled=true,namespace={theirs}");
        Remedy::new("Move this service to the namespace of the called service.")
            .cli(service_connect::setting(patient, &configuration))
    };
    remedy.terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          service_connect_configuration {
            enabled   = true
            namespace = {}
          }
        }"#,
        patient.name(),
        theirs
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{name_host, sibling};
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::snapshot::{ContainerDefinition, Snapshot};
    use crate::testing::{exam, says};

    fn quiet() -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.logs = baseline::worker().logs;
        snapshot
    }

    #[test]
    fn names_both_namespaces_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "ORDERS_URL names orders, which service orders offers in namespace beta; this service is in namespace internal, so its tasks do not know \
              the name. The log says \"Error: getaddrinfo ENOTFOUND orders\"."
            ]
        );
    }

    #[test]
    fn a_service_without_service_connect_knows_no_name() {
        let mut snapshot = quiet();
        snapshot.services[0].deployments[0].service_connect_configuration = None;
        assert!(says(CHECK, &snapshot)[0].contains("this service has no Service Connect"));
    }

    #[test]
    fn the_clusters_default_or_an_arn_may_be_the_same() {
        for namespace in [
            None,
            Some("arn:aws:servicediscovery:eu-west-2:123456789012:namespace/ns-1".to_owned()),
        ] {
            let mut snapshot = quiet();
            let listed = snapshot.namespace_services.change("internal").unwrap().clone();
            snapshot.namespace_services.put(namespace.clone().unwrap_or_default(), listed);
            snapshot.services[0].deployments[0]
                .service_connect_configuration
                .as_mut()
                .unwrap()
                .namespace = namespace;
            assert!(says(CHECK, &snapshot).is_empty());
        }
    }

    #[test]
    fn somebody_else_in_the_own_namespace_may_have_the_name() {
        let mut snapshot = quiet();
        let mut other = baseline::worker().peers.change(&sibling()).unwrap().clone();
        other.service_arn = id::ecs("service/other/orders");
        snapshot
            .namespace_services
            .change("internal")
            .unwrap()
            .service_arns
            .push(other.service_arn.clone());
        snapshot.peers.put(other.service_arn.clone(), other);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_name_with_dots_may_be_in_dns() {
        let mut snapshot = quiet();
        name_host(&mut snapshot, &[("ORDERS_URL", "orders.prod.local")]);
        let orders = snapshot.peers.change(&sibling()).unwrap();
        orders.deployments[0].service_connect_configuration.as_mut().unwrap().services[0]
            .client_aliases[0]
            .dns_name = Some("orders.prod.local".into());
        assert!(says(CHECK, &snapshot).is_empty());
        baseline::peers::log(
            &mut snapshot,
            "dial tcp: lookup orders.prod.local on 10.0.0.2:53: no such host",
        );
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_container_of_the_same_task_is_no_sibling() {
        let mut snapshot = quiet();
        let definition =
            snapshot.task_definitions.change(&id::ecs("task-definition/mailer:12")).unwrap();
        definition
            .container_definitions
            .push(ContainerDefinition { name: "orders".into(), ..ContainerDefinition::default() });
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_long_namespace_proves_no_absence() {
        let mut snapshot = quiet();
        snapshot.namespace_services.change("internal").unwrap().truncated = true;
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
