//! A sibling that the service calls by a private name does not allow its tasks, or their own groups
//! block outbound traffic to it. Only siblings in the same VPC are examined: between VPCs,
//! addresses may be translated.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::callee::{self, Caller};
use crate::facts::peers::service_connect::{self, Called};
use crate::facts::tasks::connection_errors;
use crate::finding::Evidence;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::service::NetworkConfiguration;

crate::check! {
    /// Security groups block the tasks' calls to another service by Service Connect.
    ///
    /// # Why it matters
    ///
    /// The name resolves and the called service is healthy, but calls hang: security groups drop
    /// what they do not allow. Service Connect goes from task to task, so the called service's
    /// tasks have to allow the callers, not its load balancer.
    ///
    /// # How we tell
    ///
    /// A variable of a current version names the alias of another service in the same namespace and
    /// VPC. Together, the security groups of that service's primary deployment have no rule that
    /// allows the tasks' groups or addresses on the container port, or on `ingressPortOverride`; or
    /// the tasks' own groups block outbound traffic to it. Tasks in bridge or host mode use the
    /// groups and addresses of their instances, which are known where these are targets. A prefix
    /// list may allow any source. Log lines of the last hour that name the host connect it with the
    /// failures of the tasks.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <called service's group> --protocol tcp --port <port> --source-group <tasks' group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_vpc_security_group_ingress_rule`.
    ///
    /// # See also
    ///
    /// `service_connect_client_stale`, `database_blocked`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html>
    title: "Security groups block the tasks' calls to another service",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace,
        DescribeSecurityGroups, DescribeSubnets, DescribeNetworkInterfaces, GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::log;
        use crate::baseline::{from_group, roll_out};
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(group) = snapshot.security_groups.change("sg-orders") {
            group.ip_permissions = vec![from_group(8080, "sg-balancer")];
        }
        log(snapshot, "Error: connect ETIMEDOUT http://orders:8080/v1/orders");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(own) = service_connect::configuration(patient.service()) else {
        return Err(NoAnswer::NotApplicable(service_connect::NOT_CONNECTED));
    };
    if own.namespace.is_none() {
        return Err(NoAnswer::NotApplicable(service_connect::BY_DEFAULT));
    }
    let called = service_connect::called(patient, findings)?;
    if called.is_empty() {
        return Ok(());
    }
    let Some(caller) = callee::caller(patient)? else {
        return Err(NoAnswer::NotApplicable(callee::NO_INTERFACE));
    };
    let mut judged = false;
    for called in called {
        let is_near = findings.see(is_near(patient, &caller, &called)).unwrap_or(true);
        judged |= is_near;
        if is_near
            && service_connect::same_namespace(own.namespace.as_deref(), called.endpoint.namespace)
                == Some(true)
            && let Some(port) = findings.see(port(patient, &called)).flatten()
        {
            tell(patient, findings, &caller, &called, port)?;
        }
    }
    if judged {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("the services that it calls are in another VPC"))
    }
}

/// Whether a sibling is in the VPC of the tasks, so that its security groups meet their addresses
/// as they are.
fn is_near(patient: &Patient, caller: &Caller, called: &Called) -> Result<bool, Blind> {
    for group in network(called).into_iter().flat_map(|network| &network.security_groups) {
        let vpc = patient.security_group(group)?.and_then(|group| group.vpc_id.as_deref());
        if vpc.is_some_and(|vpc| vpc != caller.vpc) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the sibling's proxy listens.
fn port(patient: &Patient, called: &Called) -> Result<Option<i32>, Blind> {
    match called.endpoint.offered.ingress_port_override {
        Some(port) => Ok(Some(port)),
        None => service_connect::container_port(patient, &called.endpoint),
    }
}

fn network<'a>(called: &Called<'a>) -> Option<&'a NetworkConfiguration> {
    called.endpoint.deployment.network_configuration.as_ref().or(called
        .endpoint
        .service
        .network_configuration
        .as_ref())
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    caller: &Caller,
    called: &Called,
    port: i32,
) -> Result<(), Blind> {
    let Some(network) = network(called) else { return Ok(()) };
    let Some(closed) = caller.closed(patient, &network.security_groups, &network.subnets, port)?
    else {
        return Ok(());
    };
    let (named, sibling) = (&called.named, called.endpoint.service);
    let failed = connection_errors::failed(patient, findings);
    let failed: Vec<_> = failed.iter().filter(|failed| failed.is_about(named.host, None)).collect();
    let claim = closed.claim(
        caller,
        &format!("service {} ({} names {})", sibling.service_name, named.variable, named.host),
        port,
    );
    let of_sibling = network.security_groups.iter().map(|group| {
        Evidence::new(
            Call::DescribeServices,
            &sibling.service_arn,
            "awsvpcConfiguration.securityGroups",
            group,
        )
    });
    let mut evidence = closed.evidence(port).into_iter().chain(of_sibling);
    let Some(first) = evidence.next() else { return Ok(()) };
    let finding = closed
        .subject()
        .sick(claim, first)
        .detail(connection_errors::quote(&failed))
        .because_all(evidence)
        .because_all(named.evidence())
        .mend(closed.remedy(caller, &network.security_groups, port));
    findings.add(connection_errors::join(finding, &failed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::sibling;
    use crate::baseline::{self, everywhere, from_group, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn closed() -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.logs = baseline::worker().logs;
        snapshot
    }

    fn admit(snapshot: &mut Snapshot, permission: IpPermission) {
        snapshot.security_groups.change("sg-orders").unwrap().ip_permissions = vec![permission];
    }

    #[test]
    fn names_the_groups_the_port_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of security group sg-orders of service orders (ORDERS_URL names orders) allows the tasks (sg-task) on port 8080: they cannot \
              connect. The log says \"Error: connect ETIMEDOUT http://orders:8080/v1/orders\"."
            ]
        );
    }

    #[test]
    fn the_tasks_may_be_let_in_by_their_addresses() {
        for cidr in ["10.0.1.0/24", "10.0.0.0/16", "0.0.0.0/0"] {
            let mut snapshot = closed();
            admit(
                &mut snapshot,
                IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(8080)) },
            );
            assert!(says(CHECK, &snapshot).is_empty(), "{cidr}");
        }
    }

    #[test]
    fn the_proxy_may_listen_on_another_port() {
        let mut snapshot = baseline::worker();
        let orders = snapshot.peers.change(&sibling()).unwrap();
        orders.deployments[0].service_connect_configuration.as_mut().unwrap().services[0]
            .ingress_port_override = Some(15000);
        assert!(says(CHECK, &snapshot)[0].contains("on port 15000"));
        admit(&mut snapshot, from_group(15000, "sg-task"));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_sibling_in_another_vpc_is_not_judged() {
        let mut snapshot = closed();
        snapshot.security_groups.change("sg-orders").unwrap().vpc_id = Some("vpc-2".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn without_the_siblings_port_nobody_knows() {
        let mut snapshot = closed();
        snapshot
            .task_definitions
            .insert(id::ecs("task-definition/orders:7"), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn the_tasks_own_group_may_not_let_them_out() {
        let mut snapshot = baseline::worker();
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress =
            vec![everywhere("tcp", Some(5432))];
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "No rule of the tasks' security group sg-task allows outbound traffic to service orders"
        ));
    }
    #[test]
    fn tasks_in_bridge_mode_call_as_their_instances() {
        let mut snapshot = baseline::ec2();
        admit(&mut snapshot, from_group(8080, "sg-balancer"));
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("allows the tasks' instances (sg-instance) on port 8080"),
            "{:?}",
            says(CHECK, &snapshot)
        );
        admit(&mut snapshot, from_group(8080, "sg-instance"));
        assert!(says(CHECK, &snapshot).is_empty());
        let group = id::group("web");
        snapshot.target_health.insert(&group, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
