//! The subnet of the tasks has no route to what they need to start, or one that leads to something
//! that no longer exists. It speaks only where a stopped task's reason proves that the network is
//! the trouble: a private subnet without an outbound route is fine as long as endpoints serve it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::egress_path::{self, EgressPath, Stop};
use crate::facts::network::route;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::snapshot::{NatGateway, RouteTable};
use crate::text::{and_list, plural};
use crate::{aws, hcl};

crate::check! {
    /// The tasks' subnet has no working route to the image registry, the secret store or CloudWatch
    /// Logs.
    ///
    /// # Why it matters
    ///
    /// On Fargate everything that a task needs to start goes over its own network interface.
    /// Without an outbound route, tasks time out before they run, and the error messages speak of
    /// secrets, images or log groups.
    ///
    /// # How we tell
    ///
    /// Tasks stopped with a timeout error while they fetched their image or secrets or set up their
    /// log group; and the route table of their subnet, its own or the VPC's main one, has no route
    /// to the address that did not answer, or its longest match leads to something that no longer
    /// exists (`blackhole`), to a NAT gateway that failed or was deleted, or to one in a subnet
    /// that has no route to the internet itself. Where the message has no address, the default
    /// route counts. No endpoint of the VPC serves the call; where one was meant to, that is
    /// `endpoint_unfit`. A private address is that of an endpoint, so routes are not the trouble.
    /// On EC2 the instance pulls for its tasks, so these are left out, as is what Fargate fetched
    /// itself before platform version 1.4.0.
    ///
    /// The app's own connections use the same route. Where clients get errors, health checks fail
    /// or tasks stop, log lines of the last hour about connections that got no answer count as
    /// well, with the address and port that they name. A name without an address counts as one on
    /// the internet unless it may be internal; that of an AWS service, unless the VPC has an
    /// endpoint for it. A refused connection reached its destination.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-route --route-table-id <table> --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat>
    /// ```
    ///
    /// Or endpoints for `ecr.api`, `ecr.dkr`, `logs`, `secretsmanager` or `ssm`, and a gateway
    /// endpoint for S3. Terraform/OpenTofu: `aws_route` and `aws_nat_gateway`, or
    /// `aws_vpc_endpoint`.
    ///
    /// # See also
    ///
    /// `public_ip_missing`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "The tasks' subnet has no working outbound route",
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
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
            table.routes.retain(|route| table.route_table_id != "rtb-private" || route.destination != "0.0.0.0/0");
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
            && let Some((table, stop)) = findings.see(path.stop(patient)).flatten()
            && !matches!(stop, Stop::NoPublicAddress(_))
        {
            let at = format!("{} {}", kind(&stop), whom(path));
            stops.push((path, at, (table, stop)));
        }
    }
    let table_of: BTreeMap<&str, &RouteTable> =
        stops.iter().map(|(path, _, (table, _))| (path.stranded.subnet, *table)).collect();
    for (paths, (_, stop)) in egress_path::together(stops) {
        let mut tables: Vec<&RouteTable> = Vec::new();
        for table in paths.iter().filter_map(|path| table_of.get(path.stranded.subnet)) {
            if !tables.iter().any(|known| known.route_table_id == table.route_table_id) {
                tables.push(table);
            }
        }
        // That there is none for this is only said where it is so, and of what tasks need to start.
        let lacks_endpoint =
            findings.see(paths[0].has_private_name(patient)).is_some_and(|has| !has);
        let by_start = paths.iter().find(|path| path.asks_aws());
        let endpoints = by_start
            .filter(|_| lacks_endpoint)
            .and_then(|path| findings.see(path.other_endpoints(patient)))
            .unwrap_or_default();
        findings.add(finding(patient, &paths, &tables, stop, endpoints));
    }
    Ok(())
}

/// What tells one trouble from another, in however many route tables it is: that there is no route,
/// or that the route leads to this one gateway.
fn kind(stop: &Stop) -> String {
    match stop {
        Stop::Nowhere | Stop::NoPublicAddress(_) => "nowhere".to_owned(),
        Stop::Blackhole(route) => {
            format!("blackhole {}", route.target.as_deref().unwrap_or_default())
        }
        Stop::DeadNat(_, gateway) | Stop::NatWithoutWay(gateway, _) => {
            format!("gateway {}", gateway.nat_gateway_id)
        }
    }
}

/// What an app or a log driver calls is told apart from what tasks need of AWS: each internal
/// address separately, the internet as one.
fn whom(path: &EgressPath) -> String {
    if path.asks_aws() {
        String::new()
    } else if path.is_inside() {
        path.destination()
    } else {
        "what it calls outside".to_owned()
    }
}

fn finding(
    patient: &Patient,
    paths: &[&EgressPath],
    tables: &[&RouteTable],
    stop: Stop,
    endpoints: Vec<Evidence>,
) -> Finding {
    let subnets = egress_path::subnet_words(paths);
    let ids: Vec<&str> = tables.iter().map(|table| table.route_table_id.as_str()).collect();
    let noun = plural(ids.len(), "route table", "route tables");
    let named = format!("{noun} {}", and_list(ids.iter().copied()));
    let to = paths[0].destination();
    let of_tables = |field: &'static str, value: &str| -> Vec<Evidence> {
        ids.iter().map(|id| Evidence::new(Call::DescribeRouteTables, id, field, value)).collect()
    };
    let of_gateway = |gateway: &NatGateway, field, value: &str| {
        Evidence::new(Call::DescribeNatGateways, &gateway.nat_gateway_id, field, value)
    };
    let mut evidence: Vec<Evidence> =
        tables.iter().flat_map(|table| route::destinations(table)).collect();
    let (claim, verb) = match stop {
        Stop::Blackhole(route) => {
            let target = route.target.as_deref().unwrap_or("its target");
            evidence.splice(0..0, of_tables("Routes.State", "blackhole"));
            (
                format!(
                    "the route of {subnets} in {named} leads to {target}, which no longer exists (blackhole), so nothing gets {to}"
                ),
                "replace-route",
            )
        }
        Stop::DeadNat(_, gateway) => {
            let why = gateway
                .failure_message
                .as_deref()
                .map(|message| format!(" ({})", message.trim_end_matches('.')))
                .unwrap_or_default();
            evidence = of_tables("Routes.Target", &gateway.nat_gateway_id);
            evidence.push(of_gateway(gateway, "State", &gateway.state));
            evidence.extend(
                gateway
                    .failure_message
                    .as_deref()
                    .map(|message| of_gateway(gateway, "FailureMessage", message)),
            );
            let name = &gateway.nat_gateway_id;
            (
                format!(
                    "the outbound route of {subnets} leads to NAT gateway {name} ({named}), whose state is {}{why}",
                    gateway.state
                ),
                "replace-route",
            )
        }
        Stop::NatWithoutWay(gateway, home) => {
            evidence = of_tables("Routes.Target", &gateway.nat_gateway_id);
            evidence.push(of_gateway(gateway, "SubnetId", home));
            let name = &gateway.nat_gateway_id;
            (
                format!(
                    "the outbound route of {subnets} leads to NAT gateway {name} in subnet {home}, which has no route to an internet gateway itself"
                ),
                "replace-route",
            )
        }
        Stop::Nowhere | Stop::NoPublicAddress(_) => {
            let no_endpoint = paths[0]
                .need
                .filter(|_| !endpoints.is_empty())
                .map(|need| format!(", and the VPC has no endpoint for {}", need.word()))
                .unwrap_or_default();
            evidence.extend(endpoints);
            let has = |several: bool| if several { "have" } else { "has" };
            let (verb, none) = (has(subnets.starts_with("subnets")), has(ids.len() > 1));
            (
                format!("{subnets} {verb} no route {to}: {named} {none} none{no_endpoint}"),
                "create-route",
            )
        }
    };
    let about = Subject::new(Kind::Subnet, paths[0].stranded.subnet);
    if let Some(address) = paths[0].stranded.address().filter(|_| paths[0].is_inside()) {
        let remedy = inside(ids.first().copied().unwrap_or_default(), verb, address);
        return egress_path::finding(patient, about, paths, &claim)
            .because_all(evidence)
            .mend(remedy);
    }
    let mut remedy = Remedy::new(if paths[0].asks_aws() {
        "Give the subnet a route to a NAT gateway in a public subnet, or add VPC endpoints for what the tasks need (ecr.api, ecr.dkr, a gateway endpoint for S3, logs, secretsmanager or ssm)."
    } else {
        "Give the subnet a route to a NAT gateway in a public subnet."
    });
    if matches!(stop, Stop::DeadNat(..) | Stop::NatWithoutWay(..)) {
        remedy = remedy.cli(aws!(
            "ec2 create-nat-gateway --subnet-id $PUBLIC_SUBNET_ID --allocation-id $ALLOCATION_ID"
        ));
    }
    for id in &ids {
        remedy = remedy.cli(aws!(
            "ec2 {} --route-table-id {} --destination-cidr-block 0.0.0.0/0 \
             --nat-gateway-id $NAT_GATEWAY_ID",
            verb,
            id
        ));
    }
    let remedy = remedy.terraform(in_terraform(&ids));
    egress_path::finding(patient, about, paths, &claim).because_all(evidence).mend(remedy)
}

/// A private address is in a network that is connected to the VPC, or was.
fn inside(table: &str, verb: &str, address: IpAddr) -> Remedy {
    Remedy::new(format!(
        "Give the subnet a route to the network of {address}, through the peering connection or transit gateway that connects it to the VPC, and check that there is a route back."
    ))
    .cli(aws!(
        "ec2 {} --route-table-id {} --destination-cidr-block $ITS_CIDR \
         --vpc-peering-connection-id $PEERING_CONNECTION_ID",
        verb,
        table
    ))
    .terraform(hcl!(
        r#"
        resource "aws_route" "peer" {
          route_table_id            = {}
          destination_cidr_block    = aws_vpc.peer.cidr_block
          vpc_peering_connection_id = aws_vpc_peering_connection.this.id
        }"#,
        table
    ))
}

fn in_terraform(tables: &[&str]) -> Hcl {
    match tables {
        [id] => hcl!(
            r#"
            resource "aws_route" "out" {
              route_table_id         = {}
              destination_cidr_block = "0.0.0.0/0"
              nat_gateway_id         = aws_nat_gateway.this.id
            }"#,
            id
        ),
        several => hcl!(
            r#"
            resource "aws_route" "out" {
              for_each               = toset({})
              route_table_id         = each.value
              destination_cidr_block = "0.0.0.0/0"
              nat_gateway_id         = aws_nat_gateway.this.id
            }"#,
            several.to_vec()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Route, Snapshot};
    use crate::testing::{exam, says};

    fn with(reason: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let routes = snapshot.route_tables.clone();
        baseline::fail_to_start(&mut snapshot, 2, reason);
        snapshot.route_tables = routes;
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(|task| {
            task.started_by = Some("ecs-svc/1000000000000000012".into());
            task.subnet_id = Some("subnet-0a1".into());
        });
        snapshot
    }

    const SLOW: &str = "CannotPullContainerError: ref pull has been retried 1 time(s): failed to do request: Head \"https://123456789012.dkr.ecr.eu-west-2.amazonaws.com/v2/mailer/manifests/1\": context deadline exceeded";

    #[test]
    fn names_subnet_table_and_the_address_that_did_not_answer() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Subnet subnet-0a1 has no route to 52.94.53.1, which did not answer: route table rtb-private has none, and the VPC has no endpoint for ecr.api. 3 of 3 failed tasks of mailer:12 \
                 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn without_an_address_the_default_route_counts() {
        let found = says(CHECK, &with(SLOW));
        assert!(
            found[0].starts_with(
                "Subnet subnet-0a1 has no route to ECR's registry: route table rtb-private has none, and the VPC has no endpoint for ecr.dkr."
            ),
            "{found:?}"
        );
    }

    #[test]
    fn an_endpoint_with_private_names_is_another_way() {
        let mut snapshot = with(SLOW);
        snapshot.endpoints.put("vpc-1", vec![baseline::endpoint("ecr.dkr")]);
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.endpoints.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "an endpoint that is not seen may be the way"
        );
    }

    fn by_nat(change: impl Fn(&mut NatGateway)) -> Vec<String> {
        let mut snapshot = (CHECK.example)();
        let route = Route {
            destination: "0.0.0.0/0".into(),
            target: Some("nat-1".into()),
            state: Some("active".into()),
        };
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes.push(route);
        snapshot.nat_gateways.change("vpc-1").unwrap().iter_mut().for_each(change);
        says(CHECK, &snapshot)
    }

    #[test]
    fn a_nat_gateway_in_a_public_subnet_works() {
        assert!(by_nat(|_| {}).is_empty());
        assert!(
            by_nat(|gateway| gateway.subnet_id = None).is_empty(),
            "a regional one is in no subnet"
        );
    }

    #[test]
    fn a_nat_gateway_that_failed_is_no_way_out() {
        let failed = by_nat(|gateway| {
            gateway.state = "failed".into();
            gateway.failure_message = Some("Network vpc-1 has no Internet gateway attached".into());
        });
        assert!(
            failed[0].starts_with("The outbound route of subnet subnet-0a1 leads to NAT gateway nat-1 (route table rtb-private), whose state is failed (Network vpc-1 has no Internet gateway attached)."),
            "{failed:?}"
        );
    }

    #[test]
    fn a_nat_gateway_in_a_private_subnet_is_no_way_out() {
        let private = by_nat(|gateway| gateway.subnet_id = Some("subnet-0b2".into()));
        assert!(
            private[0].contains(
                "nat-1 in subnet subnet-0b2, which has no route to an internet gateway itself"
            ),
            "{private:?}"
        );
        assert!(
            by_nat(|gateway| (gateway.connectivity_type, gateway.subnet_id) =
                (Some("private".into()), Some("subnet-0b2".into())))
            .is_empty()
        );
    }

    #[test]
    fn before_platform_version_1_4_fargate_logged_in_by_itself() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].platform_version = Some("1.3.0".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_route_whose_gateway_is_gone_is_a_blackhole() {
        let mut snapshot = (CHECK.example)();
        let gone = Route {
            destination: "0.0.0.0/0".into(),
            target: Some("nat-0dead".into()),
            state: Some("blackhole".into()),
        };
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes.push(gone);
        assert!(says(CHECK, &snapshot)[0].contains(
            "in route table rtb-private leads to nat-0dead, which no longer exists (blackhole)"
        ));
    }

    #[test]
    fn a_private_address_or_a_name_that_does_not_resolve_is_no_matter_of_routes() {
        for tail in [
            "dial tcp 10.0.1.77:443: i/o timeout",
            "dial tcp: lookup api.ecr.eu-west-2.amazonaws.com: no such host",
        ] {
            assert!(
                says(CHECK, &with(&format!("CannotPullContainerError: {tail}"))).is_empty(),
                "{tail}"
            );
        }
    }

    #[test]
    fn a_private_subnet_whose_tasks_start_is_fine() {
        let mut snapshot = baseline::worker();
        snapshot.route_tables = (CHECK.example)().route_tables;
        assert!(says(CHECK, &snapshot).is_empty());
        assert!(
            says(
                CHECK,
                &with("CannotPullContainerError: failed to resolve ref mailer:1: not found")
            )
            .is_empty()
        );
    }

    #[test]
    fn instances_pull_for_their_tasks() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].launch_type = Some("EC2".into());
        assert!(exam(CHECK, &snapshot).findings.is_empty());
    }

    #[test]
    fn a_subnet_without_a_table_of_its_own_has_the_main_one() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.change("vpc-1").unwrap()[0].subnet_ids.clear();
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    /// The subnets have a table each, as CDK makes them, and tasks failed in both.
    fn in_two_subnets(route: Option<Route>) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let tables = snapshot.route_tables.change("vpc-1").unwrap();
        let mut other = tables[0].clone();
        other.route_table_id = "rtb-other".into();
        other.subnet_ids = vec!["subnet-0b2".into()];
        tables[0].subnet_ids.retain(|subnet| subnet != "subnet-0b2");
        tables.push(other);
        tables.iter_mut().for_each(|table| table.routes.extend(route.clone()));
        let arn = snapshot.services[0].service_arn.clone();
        let stopped = snapshot.stopped_tasks.change(&arn).unwrap();
        stopped[0].subnet_id = Some("subnet-0b2".into());
        snapshot
    }

    #[test]
    fn the_same_want_in_two_route_tables_is_one_trouble() {
        let exam = exam(CHECK, &in_two_subnets(None));
        assert_eq!(exam.findings.len(), 1);
        let said = exam.findings[0].says();
        assert!(
            said.starts_with("Subnets subnet-0a1 and subnet-0b2 have no route to 52.94.53.1"),
            "{said}"
        );
        for table in ["rtb-private", "rtb-other"] {
            assert!(said.contains(table), "{said}");
            let mends = |command: &String| command.contains(&format!("--route-table-id {table} "));
            assert!(exam.findings[0].remedy.shell().iter().any(mends), "{table}");
        }
    }

    #[test]
    fn one_gateway_that_is_gone_is_one_trouble_and_two_are_two() {
        let route = |target: &str| Route {
            destination: "0.0.0.0/0".into(),
            target: Some(target.into()),
            state: Some("blackhole".into()),
        };
        let mut snapshot = in_two_subnets(Some(route("nat-0dead")));
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1, "{found:?}");
        let tables = snapshot.route_tables.change("vpc-1").unwrap();
        let last = tables.last_mut().unwrap().routes.last_mut().unwrap();
        *last = route("nat-1dead");
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn explains_the_registry_that_cannot_be_reached_and_so_the_tasks_that_do_not_start() {
        let snapshot = (CHECK.example)();
        let intent = crate::patient::Intent::default();
        let diagnosis =
            crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let chain = |id: &str| diagnosis.roots.iter().find(|root| root.check.id() == id).cloned();
        let root = chain(CHECK.id()).unwrap();
        assert_eq!(root.explains[0].check.id(), "registry_unreachable");
        assert_eq!(root.explains[0].explains[0].check.id(), "tasks_fail_to_start");
    }

    /// A service that answers with errors, out of whose subnets no way leads, and whose log says
    /// this.
    fn cut_off(message: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let errors = crate::snapshot::metric::Metric::Target5xx.of(&baseline::id::group("api"));
        snapshot.metrics.put(errors, baseline::minutes(60.0));
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
            table.routes.retain(|route| {
                table.route_table_id != "rtb-private" || route.destination != "0.0.0.0/0"
            });
        }
        baseline::peers::log(&mut snapshot, message);
        snapshot
    }

    fn roots(snapshot: &Snapshot) -> Vec<crate::diagnosis::Node> {
        let intent = crate::patient::Intent::default();
        crate::diagnosis::diagnose(&Patient::new(snapshot, &snapshot.services[0], &intent)).roots
    }

    #[test]
    fn an_app_that_calls_somebody_outside_needs_a_way_there() {
        let snapshot = cut_off("POST /v1/chat connect ETIMEDOUT 203.0.113.80:443");
        let roots = roots(&snapshot);
        assert_eq!(roots[0].check.id(), CHECK.id());
        assert_eq!(
            roots[0].finding.says(),
            "Subnet subnet-0a1 has no route to 203.0.113.80:443, which the app calls: route table rtb-private has none. The log says \"POST /v1/chat connect ETIMEDOUT 203.0.113.80:443\"."
        );
        assert!(roots[0].explains.iter().any(|node| node.check.id() == "app_answers_5xx"));
    }

    #[test]
    fn an_endpoint_for_something_else_is_no_way_to_somebody_outside() {
        let mut snapshot = cut_off("dial tcp 203.0.113.80:443: i/o timeout");
        snapshot.endpoints.insert("vpc-1", Seen::No(Why::NotAsked));
        assert_eq!(says(CHECK, &snapshot).len(), 1, "nor does it matter which there are");
    }

    #[test]
    fn a_service_of_aws_is_outside_unless_an_endpoint_has_its_name() {
        let calls = |endpoints: Vec<crate::snapshot::Endpoint>| {
            let line = "ConnectTimeoutError: Connect timeout on endpoint URL: \"https://sqs.eu-west-2.amazonaws.com/\"";
            let mut snapshot = cut_off(line);
            snapshot.endpoints.put("vpc-1", endpoints);
            says(CHECK, &snapshot)
        };
        let found = calls(Vec::new());
        assert!(
            found[0].starts_with(
                "Subnet subnet-0a1 has no route to sqs.eu-west-2.amazonaws.com:443, which the app calls: route table rtb-private has none."
            ),
            "{found:?}"
        );
        let unnamed =
            crate::snapshot::Endpoint { private_dns_enabled: false, ..baseline::endpoint("sqs") };
        assert_eq!(calls(vec![baseline::endpoint("sns"), unnamed]).len(), 1);
        assert!(calls(vec![baseline::endpoint("sqs")]).is_empty());
    }

    #[test]
    fn what_is_joined_to_the_vpc_needs_a_route_too() {
        let snapshot = cut_off("Error: connect ETIMEDOUT 172.31.4.9:5432");
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings[0].says().contains("no route to 172.31.4.9:5432"), "{exam:?}");
        let remedy = exam.findings[0].remedy.shell().join("\n");
        assert!(remedy.contains("--vpc-peering-connection-id"), "{remedy}");
        let inside = cut_off("Error: connect ETIMEDOUT 10.0.21.5:5432");
        assert_eq!(self::exam(CHECK, &inside).outcome, Outcome::Healthy, "in the VPC itself");
    }

    #[test]
    fn where_a_way_leads_out_somebody_else_is_slow() {
        let mut snapshot = cut_off("Error: connect ETIMEDOUT 203.0.113.80:443");
        snapshot.route_tables = baseline::fargate().route_tables;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_task_that_ends_because_of_it_stands_under_it() {
        let mut snapshot = cut_off("nothing");
        baseline::exit_tasks(&mut snapshot, 3, 1, None);
        baseline::log_at_last(&mut snapshot, &["Error: connect ETIMEDOUT 203.0.113.80:443"]);
        let roots = roots(&snapshot);
        assert_eq!(roots[0].check.id(), CHECK.id());
        assert!(roots[0].explains.iter().any(|node| node.check.id() == "exits_with_error"));
    }
}
