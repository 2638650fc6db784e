//! The subnet's outbound route leads to an internet gateway, and the tasks have no public address:
//! they never get an answer. It speaks only where a stopped task's reason proves that the network
//! is the trouble.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::deployment::version::Network;
use crate::facts::network::egress_path::{self, EgressPath, Stop};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{Route, RouteTable};
use crate::{hcl, words};

crate::check! {
    /// The tasks are in a public subnet and have no public address.
    ///
    /// # Why it matters
    ///
    /// An internet gateway forwards only traffic from public addresses. A task without one times
    /// out on everything outside its VPC, and does not start. `assignPublicIp` is off by default.
    ///
    /// # How we tell
    ///
    /// Tasks on Fargate stopped with a timeout error while they fetched their image or secrets or
    /// set up their log group; the route of their subnet leads to an internet gateway; and the
    /// deployment's `assignPublicIp` is not `ENABLED`. No endpoint of the VPC serves the call;
    /// where one was meant to, that is `endpoint_unfit`. Connections of the app that got no answer,
    /// as its log has them, count as well where clients get errors, health checks fail or tasks
    /// stop.
    ///
    /// # What to do
    ///
    /// Give the tasks public addresses, or run them in private subnets with a NAT gateway:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[…],securityGroups=[…],assignPublicIp=ENABLED}'
    /// ```
    ///
    /// Terraform/OpenTofu: `network_configuration { assign_public_ip = true }` of
    /// `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "The tasks are in a public subnet without a public address",
    severity: High,
    role: Cause,
    explains: [
        RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable, ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeRouteTables, DescribeVpcEndpoints, DescribeNatGateways, DescribeSecurityGroups, DescribeVpcAttribute, DescribeTargetGroups, DescribeTargetHealth, DescribeTaskDefinition, GetLogEvents, GetMetricData,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::fail_to_start;
        fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. RequestError: send request failed caused by: Post \"https://secretsmanager.eu-west-2.amazonaws.com/\": dial tcp 52.94.54.7:443: i/o timeout",
        );
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
            table.routes.iter_mut().filter(|route| route.destination == "0.0.0.0/0").for_each(|route| route.target = Some("igw-1".into()));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let paths = egress_path::failed(patient, findings);
    let mut stops = Vec::new();
    for path in &paths {
        // Where an endpoint was meant to be the route, or its name was, that is the trouble.
        if findings.see(path.unfit(patient)).is_some_and(|unfit| unfit.is_none())
            && findings.see(path.names_off(patient)).is_some_and(|dns| dns.is_none())
            && let Some((table, Stop::NoPublicAddress(route))) =
                findings.see(path.stop(patient)).flatten()
        {
            // Public subnets have the same gateway, in a table each or in one.
            stops.push((path, route.target.clone().unwrap_or_default(), (table, route)));
        }
    }
    for (paths, (table, route)) in egress_path::together(stops) {
        // Where an address is known, it is no endpoint's, and which of them there are tells
        // nothing.
        let by_name = paths[0].stranded.address().is_none();
        let endpoints = if by_name {
            findings.see(paths[0].other_endpoints(patient)).unwrap_or_default()
        } else {
            Vec::new()
        };
        let network = findings.see(paths[0].stranded.told.version.network(patient)).flatten();
        findings.add(finding(patient, &paths, network, table, route, endpoints));
    }
    Ok(())
}

fn finding(
    patient: &Patient,
    paths: &[&EgressPath],
    network: Option<Network>,
    table: &RouteTable,
    route: &Route,
    endpoints: Vec<Evidence>,
) -> Finding {
    let gateway = route.target.as_deref().unwrap_or("an internet gateway");
    let outcome = match (paths[0].stranded.address(), paths[0].need) {
        (Some(address), _) => format!("so they cannot reach {address}"),
        (None, Some(need)) => {
            format!("so they cannot reach {}, for which the VPC has no endpoint", need.words())
        }
        (None, None) => "so they cannot reach the internet".to_owned(),
    };
    let claim = format!(
        "the outbound route of {} leads to internet gateway {gateway}, but the tasks get no public address, {outcome}",
        egress_path::subnet_words(paths)
    );
    let version = &paths[0].stranded.told.version;
    let asked = network.and_then(|network| network.assign_public_ip).map(|asked| {
        let field = "networkConfiguration.awsvpcConfiguration.assignPublicIp";
        version.evidence(patient, field, asked)
    });
    let ids = |ids: fn(Network) -> &[String]| Word::list(network.into_iter().flat_map(ids));
    let remedy = Remedy::new(
        "Give the tasks a public address, or run them in private subnets behind a NAT gateway.",
    )
    .cli(patient.update_service().and(words!(
        "--network-configuration \
         awsvpcConfiguration={subnets=[{}],securityGroups=[{}],assignPublicIp=ENABLED}",
        ids(|network| network.subnets),
        ids(|network| network.security_groups)
    )))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          network_configuration {
            assign_public_ip = true
          }
        }"#,
        patient.name()
    ));
    egress_path::finding(
        patient,
        Subject::new(Kind::Subnet, paths[0].stranded.subnet),
        paths,
        &claim,
    )
    .because(Evidence::new(
        Call::DescribeRouteTables,
        &table.route_table_id,
        "Routes.Target",
        gateway,
    ))
    .because_all(asked)
    .because_all(endpoints)
    .mend(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says;

    #[test]
    fn names_subnet_gateway_and_what_cannot_be_reached() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The outbound route of subnet subnet-0a1 leads to internet gateway igw-1, but the tasks get no public address, so they cannot reach 52.94.54.7. 3 of \
                 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn tasks_that_get_a_public_address_have_a_way_out() {
        let mut snapshot = (CHECK.example)();
        let enabled = Some("ENABLED".to_owned());
        snapshot.services[0].deployments[0]
            .network_configuration
            .as_mut()
            .unwrap()
            .assign_public_ip = enabled;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_nat_gateway_needs_no_public_address() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes[1].target = Some("nat-1".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_public_subnet_whose_tasks_start_is_fine() {
        let mut snapshot = crate::baseline::worker();
        snapshot.route_tables = (CHECK.example)().route_tables;
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
