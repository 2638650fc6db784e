//! The service has a gateway connector, and no ECS gateway connects to it. Routes that failed on a
//! gateway are for `gateway_route_failed`.

use jiff::SignedDuration;

use crate::aws;
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::gateway;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Revision;
use crate::snapshot::deployment::{GatewayConnection, GatewayConnector};
use crate::text::and_list;

crate::check! {
    /// The service has a gateway connector but is connected to no gateway.
    ///
    /// # Why it matters
    ///
    /// No client reaches the service: it has no host name and no route. ECS does not repair this on
    /// its own.
    ///
    /// # How we tell
    ///
    /// A current service revision has `gatewayConnectors` and no `gatewayConnections` for that
    /// port, ten minutes after it was created. A gateway fits if it is associated with the cluster
    /// (`DISASSOCIATING` does not count), is in the service's VPC, covers every Availability Zone
    /// of the service's subnets and has an access type that the connector asks for. Which of these
    /// fails is not looked up. ECS rejects a request for which no gateway fits, so a gateway was
    /// likely disassociated or deleted later.
    ///
    /// # What to do
    ///
    /// Associate a gateway with the cluster that meets these conditions, then deploy again:
    ///
    /// ```sh
    /// aws ecs list-gateway-cluster-associations --cluster <cluster>
    /// aws ecs associate-gateway-with-cluster --cluster <cluster> --gateway <gateway>
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: not verified that the provider has gateways; use the commands.
    ///
    /// # See also
    ///
    /// `gateway_route_failed`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/gateway-troubleshooting.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/gateway-connect-service.html>
    title: "No gateway connects to the service's port",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck, RolledBack, RollbackFailed],
    reads: [DescribeServices, DescribeServiceRevisions],
    example: on worker, |snapshot| {
        let arn = snapshot.services[0].current_service_revisions[0].clone();
        if let Some(revision) = snapshot.revisions.change(&arn) {
            revision.gateway_connectors = vec![GatewayConnector { port_name: "http".into(), access_types: vec!["PRIVATE".into()] }];
        }
    },
}

/// How long ECS may take to connect a new revision.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let revisions = gateway::revisions(patient)?;
    if revisions.is_empty() {
        return Err(NoAnswer::NotApplicable("no gateway connector"));
    }
    for revision in revisions.into_iter().filter(|revision| is_settled(patient, revision)) {
        for connector in &revision.gateway_connectors {
            if !revision.gateway_connections.iter().any(|one| is_of(one, connector)) {
                tell(patient, findings, revision, connector);
            }
        }
    }
    Ok(())
}

fn is_settled(patient: &Patient, revision: &Revision) -> bool {
    patient.service().status == "ACTIVE"
        && revision.created_at.is_some_and(|at| time::age(patient.now(), at) >= PATIENCE)
}

/// Whether a connection is of this port, or does not tell its port.
fn is_of(connection: &GatewayConnection, connector: &GatewayConnector) -> bool {
    connection.port_name.as_deref().is_none_or(|port| port == connector.port_name)
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    revision: &Revision,
    connector: &GatewayConnector,
) {
    let port = &connector.port_name;
    let access = match connector.access_types.as_slice() {
        [] => String::new(),
        types => format!(" with access type {}", and_list(types)),
    };
    let claim = format!(
        "no gateway{access} of cluster {} connects to port {port} of the service, so clients cannot reach it",
        patient.cluster()
    );
    let remedy = Remedy::new(
        "Associate a gateway with the cluster that is in the service's VPC, covers all its Availability Zones and has the required access type; then deploy again.",
    )
    .cli(aws!("ecs list-gateway-cluster-associations --cluster {}", patient.cluster()))
    .cli(aws!(
        "ecs associate-gateway-with-cluster --cluster {} --gateway $GATEWAY",
        patient.cluster()
    ))
    .cli(patient.update_service().and(crate::words!("--force-new-deployment")));
    findings.add(
        Subject::new(Kind::Revision, &revision.service_revision_arn)
            .sick(
                claim,
                Evidence::new(
                    Call::DescribeServiceRevisions,
                    &revision.service_revision_arn,
                    "gatewayConnectors.portName",
                    port,
                ),
            )
            .detail("A gateway was likely disassociated or deleted after the deployment.")
            .mend(remedy),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn revision(snapshot: &mut Snapshot) -> &mut Revision {
        let arn = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&arn).unwrap()
    }

    #[test]
    fn names_port_access_type_and_cluster() {
        let said = says(CHECK, &(CHECK.example)());
        let cluster = baseline::worker().services[0].cluster_arn.clone();
        let cluster = crate::aws::arn::last(&cluster);
        let expected = format!(
            "No gateway with access type PRIVATE of cluster {cluster} connects to port http of the service"
        );
        assert!(said[0].starts_with(&expected), "{said:?}");
    }

    #[test]
    fn a_connection_in_whatever_state_is_one() {
        let mut snapshot = (CHECK.example)();
        revision(&mut snapshot).gateway_connections = vec![GatewayConnection {
            port_name: Some("http".into()),
            status: Some("CREATE_IN_PROGRESS".into()),
            ..GatewayConnection::default()
        }];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        revision(&mut snapshot).gateway_connections[0].port_name = Some("grpc".into());
        assert_eq!(says(CHECK, &snapshot).len(), 1, "another port has one");
    }

    #[test]
    fn a_new_revision_is_not_connected_at_once() {
        let mut snapshot = (CHECK.example)();
        revision(&mut snapshot).created_at = Some(minutes_ago(4));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_service_that_is_deleted_needs_no_gateway() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].status = "DRAINING".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_unseen_revision_is_not_unconnected() {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.insert(arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
