//! ECS could not create, change or remove the service's route on a gateway. A service that no
//! gateway connects at all is for `gateway_unfit`.

use crate::aws;
use crate::aws::{arn, stop_reason};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::gateway;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::deployment::{Gateway, GatewayConnection, GatewayFailure};
use crate::text::capitalised;

crate::check! {
    /// ECS could not provision the service's route on a gateway.
    ///
    /// # Why it matters
    ///
    /// Clients reach the service by the host name of that route. Without it nothing answers there,
    /// and after a failed update the old settings stay, while the gateway itself is `ACTIVE`.
    ///
    /// # How we tell
    ///
    /// `gatewayConnections` of a current service revision has a route in the state `CREATE_FAILED`,
    /// `UPDATE_FAILED` or `DELETE_FAILED`. The reason is in `failures` of the gateway, for the
    /// route's ARN. Whether the targets behind an active route are healthy is not read.
    ///
    /// # What to do
    ///
    /// Fix what the reason names: the gateway's infrastructure role, a quota, or something that was
    /// changed outside ECS. Then deploy again:
    ///
    /// ```sh
    /// aws ecs describe-gateway --gateway <gateway>
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: the policies of the gateway's infrastructure role, with
    /// `aws_iam_role_policy_attachment`.
    ///
    /// # See also
    ///
    /// `gateway_unfit`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/gateway-troubleshooting.html>
    title: "The service's route on a gateway failed",
    severity: High,
    role: Cause,
    explains: [DeploymentStuck, RolledBack, RollbackFailed],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeGateway],
    example: on worker, |snapshot| {
        use crate::snapshot::deployment::GatewayConnector;
        let gateway = crate::baseline::id::ecs("gateway/web");
        let route = crate::baseline::id::ecs("gateway-route/web/0123456789abcdef");
        let arn = snapshot.services[0].current_service_revisions[0].clone();
        if let Some(revision) = snapshot.revisions.change(&arn) {
            revision.gateway_connectors = vec![GatewayConnector { port_name: "http".into(), ..GatewayConnector::default() }];
            revision.gateway_connections = vec![GatewayConnection {
                gateway_arn: Some(gateway.clone()),
                gateway_route_arn: Some(route.clone()),
                port_name: Some("http".into()),
                status: Some("CREATE_FAILED".into()),
                ..GatewayConnection::default()
            }];
        }
        let failure = GatewayFailure {
            arn: Some(route),
            code: Some("AccessDenied".into()),
            message: Some("The infrastructure role is not authorized to perform: elasticloadbalancing:CreateRule".into()),
        };
        snapshot.gateways.put(
            gateway.clone(),
            Gateway { gateway_arn: gateway, name: Some("web".into()), status: Some("ACTIVE".into()), failures: vec![failure] },
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let revisions = gateway::revisions(patient)?;
    if revisions.is_empty() {
        return Err(NoAnswer::NotApplicable("no gateway connector"));
    }
    for revision in revisions {
        for connection in &revision.gateway_connections {
            if gateway::failed(connection) {
                tell(patient, findings, &revision.service_revision_arn, connection);
            }
        }
    }
    Ok(())
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    revision: &str,
    connection: &GatewayConnection,
) {
    let arn = connection.gateway_arn.as_deref().unwrap_or_default();
    let status = connection.status.as_deref().unwrap_or_default();
    let gateway = findings.see(patient.gateway(arn)).flatten();
    let route = connection.gateway_route_arn.as_deref();
    let of_route = |failure: &&GatewayFailure| failure.arn.as_deref() == route;
    let failure = gateway.and_then(|gateway| gateway.failures.iter().find(of_route));
    let name = gateway.and_then(|gateway| gateway.name.as_deref()).unwrap_or(arn::last(arn));
    let what = match status.split('_').next() {
        Some("UPDATE") => "update",
        Some("DELETE") => "remove",
        _ => "create",
    };
    let reason = failure.and_then(|failure| failure.message.as_deref());
    let why = reason
        .map_or_else(String::new, |message| format!(" (\"{}\")", stop_reason::quoted(message)));
    let port = connection.port_name.as_deref().unwrap_or_default();
    let claim = format!("ECS could not {what} the route to port {port} on gateway {name}{why}");
    let evidence =
        |field, value: &str| Evidence::new(Call::DescribeServiceRevisions, revision, field, value);
    let of_gateway = reason.map(|message| {
        Evidence::new(Call::DescribeGateway, arn, "failures.errors.message", message)
    });
    let remedy =
        Remedy::new("Fix the error that the gateway reports for the route, then deploy again.")
            .cli(aws!("ecs describe-gateway --gateway {}", arn))
            .cli(patient.update_service().and(crate::words!("--force-new-deployment")));
    findings.add(
        Subject::new(Kind::Gateway, arn)
            .sick(claim, evidence("gatewayConnections.status", status))
            .detail(
                failure
                    .and_then(|failure| failure.code.as_deref())
                    .map_or_else(String::new, |code| {
                        format!("{}.", capitalised(&format!("the error code is {code}")))
                    }),
            )
            .because_all(of_gateway)
            .mend(remedy),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(status: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&arn).unwrap().gateway_connections[0].status =
            Some(status.into());
        snapshot
    }

    #[test]
    fn quotes_what_the_gateway_says_of_the_route() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "ECS could not create the route to port http on gateway web (\"The infrastructure role is not authorized to perform: \
                 elasticloadbalancing:CreateRule\"). The error code is AccessDenied."
            ]
        );
        assert!(
            says(CHECK, &with("UPDATE_FAILED"))[0].starts_with("ECS could not update the route")
        );
    }

    #[test]
    fn a_route_that_is_being_made_or_is_there_is_no_trouble() {
        for status in ["ACTIVE", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"] {
            assert_eq!(exam(CHECK, &with(status)).outcome, Outcome::Healthy, "{status}");
        }
    }

    #[test]
    fn a_failure_of_another_route_is_that_one_s() {
        let mut snapshot = with("CREATE_FAILED");
        let gateway = baseline::id::ecs("gateway/web");
        snapshot.gateways.change(&gateway).unwrap().failures[0].arn = Some("other".into());
        assert_eq!(
            says(CHECK, &snapshot),
            ["ECS could not create the route to port http on gateway web."]
        );
    }

    #[test]
    fn without_the_gateway_the_state_of_the_route_is_enough() {
        let mut snapshot = with("CREATE_FAILED");
        let gateway = baseline::id::ecs("gateway/web");
        snapshot.gateways.insert(gateway, Seen::No(Why::Denied("no".into())));
        assert!(says(CHECK, &snapshot)[0].starts_with("ECS could not create the route"));
    }

    #[test]
    fn a_service_without_a_connector_has_no_gateway() {
        let outcome = exam(CHECK, &baseline::fargate()).outcome;
        assert!(matches!(outcome, Outcome::NotApplicable(_)));
    }
}
