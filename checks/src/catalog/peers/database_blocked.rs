//! A database or a cache that the service calls cannot be reached from the tasks: because of
//! security groups on either side, or because no route leads into its network. Whether the database
//! itself is available is for another check.

use crate::check::{Findings, NoAnswer};
use crate::facts::network::route::{self, NextHop};
use crate::facts::peers::callee::{self, Caller, Closed};
use crate::facts::peers::database::{self, Database, Told};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Subnet;
use crate::text::parsed;
use crate::{aws, hcl};

crate::check! {
    /// The tasks cannot reach an RDS database that one of their variables names, or an ElastiCache
    /// cache.
    ///
    /// # Why it matters
    ///
    /// Security groups drop what they do not allow, so connections hang until they time out. Tasks
    /// stop, fail their health checks or answer with errors, and the database looks perfectly
    /// healthy.
    ///
    /// # How we tell
    ///
    /// Hosts in variables that end in `.rds.amazonaws.com` name an instance, a cluster or a proxy;
    /// hosts that end in `.cache.amazonaws.com` name a cache, which is looked at only where the log
    /// shows a failed connection to it. Together, its security groups have no rule that allows the
    /// tasks' groups or addresses on its port; or the tasks' own groups block outbound traffic to
    /// it. Tasks in bridge or host mode use the groups and addresses of their instances, which are
    /// known where these are targets. If it is in another VPC to which the tasks' subnets have no
    /// route, that is why; with a route, addresses may be translated on the path, and nothing is
    /// claimed. A prefix list may allow any source. Log lines of the last hour that name the host
    /// or its port connect it with the failures of the tasks. Variables that come from secrets are
    /// never read.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <database's group> --protocol tcp --port 5432 --source-group <tasks' group>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_vpc_security_group_ingress_rule`.
    ///
    /// # See also
    ///
    /// `database_not_available`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "The tasks cannot reach their database",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, DescribeSecurityGroups,
        DescribeSubnets, DescribeRouteTables, DescribeNetworkInterfaces, DescribeDBInstances, DescribeDBClusters, DescribeDBProxies, DescribeReplicationGroups,
        DescribeCacheClusters, DescribeServerlessCaches, GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::log;
        use crate::baseline::roll_out;
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(group) = snapshot.security_groups.change("sg-database") {
            for permission in &mut group.ip_permissions {
                permission.group_id = vec!["sg-old-mailer".into()];
            }
        }
        log(snapshot, "Error: connect ETIMEDOUT 10.0.21.5:5432");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if patient.service().desired_count == 0 {
        return Err(NoAnswer::NotApplicable("no task is desired"));
    }
    let databases = database::named(patient, findings)?;
    if databases.is_empty() {
        return Err(NoAnswer::NotApplicable(database::NONE));
    }
    if databases.iter().all(|database| database.told.is_none()) {
        return Err(NoAnswer::NotApplicable(database::ELSEWHERE));
    }
    let Some(caller) = callee::caller(patient)? else {
        return Err(NoAnswer::NotApplicable(callee::NO_INTERFACE));
    };
    for database in databases {
        let Some(told) = database.told else { continue };
        if let Some(obstacle) = findings.see(obstacle(patient, &caller, &told)).flatten() {
            tell(patient, findings, &caller, &database, &told, &obstacle);
        }
    }
    Ok(())
}

/// What stands between the tasks and a database.
enum Obstacle<'a> {
    SecurityGroups(Closed<'a>),
    /// It is in another VPC, and no route leads there.
    Route {
        subnet: &'a str,
        vpc: &'a str,
        evidence: Vec<Evidence>,
    },
}

fn obstacle<'a>(
    patient: &Patient<'a>,
    caller: &Caller<'a>,
    told: &Told<'a>,
) -> Result<Option<Obstacle<'a>>, Blind> {
    let (Some(port), Some(group)) = (told.port(), told.security_groups().first()) else {
        return Ok(None);
    };
    let vpc = patient.security_group(group)?.and_then(|group| group.vpc_id.as_deref());
    match vpc.filter(|vpc| *vpc != caller.vpc) {
        Some(vpc) => no_route(patient, caller, told, vpc),
        None => Ok(caller
            .closed(patient, told.security_groups(), told.subnets(), port)?
            .map(Obstacle::SecurityGroups)),
    }
}

/// Whether no subnet of the tasks has a route to any subnet of a database in another VPC.
fn no_route<'a>(
    patient: &Patient<'a>,
    caller: &Caller<'a>,
    told: &Told<'a>,
    vpc: &'a str,
) -> Result<Option<Obstacle<'a>>, Blind> {
    // One that has a public address may be meant to be called there.
    let private = matches!(told, Told::Instance(instance) if !instance.publicly_accessible)
        || matches!(told, Told::Proxy(_) | Told::ServerlessCache(_));
    let address = |subnet: &Subnet| parsed(subnet.cidr_block.as_deref()?.split('/').next()?);
    let addresses: Option<Vec<_>> = told
        .subnets()
        .iter()
        .map(|id| Ok(patient.subnet(id)?.and_then(address)))
        .collect::<Result<_, Blind>>()?;
    let Some(addresses) = addresses.filter(|addresses| private && !addresses.is_empty()) else {
        return Ok(None);
    };
    let mut evidence = Vec::new();
    for subnet in &caller.subnets {
        for address in &addresses {
            match route::out(patient, subnet, Some(*address))? {
                // An internet gateway forwards no private address.
                Some(exit)
                    if matches!(
                        exit.next_hop,
                        NextHop::Nowhere | NextHop::Blackhole(_) | NextHop::Internet(_)
                    ) =>
                {
                    evidence = route::destinations(exit.table)
                }
                _ => return Ok(None),
            }
        }
    }
    Ok(caller.subnets.last().map(|subnet| Obstacle::Route { subnet, vpc, evidence }))
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    caller: &Caller,
    database: &Database,
    told: &Told,
    obstacle: &Obstacle,
) {
    let port = told.port().unwrap_or_default();
    let failed = connection_errors::failed(patient, findings);
    let failed: Vec<_> =
        failed.iter().filter(|failed| failed.is_about(database.host_name, Some(port))).collect();
    let name = database.name();
    let (subject, claim, evidence, remedy) = match obstacle {
        Obstacle::SecurityGroups(closed) => (
            closed.subject(),
            closed.claim(caller, &name, port),
            closed.evidence(port),
            closed.remedy(caller, told.security_groups(), port),
        ),
        Obstacle::Route { subnet, vpc, evidence } => (
            Subject::new(Kind::Subnet, *subnet),
            format!(
                "subnet {subnet} of the tasks has no route to {name}, which is in another VPC ({vpc}): they cannot connect"
            ),
            evidence.clone(),
            connect(subnet, vpc, caller.vpc),
        ),
    };
    let of_database = told.security_groups().iter().map(|group| database.group_evidence(group));
    let mut evidence = evidence.into_iter().chain(of_database);
    let Some(first) = evidence.next() else { return };
    let finding = subject
        .sick(claim, first)
        .detail(connection_errors::quote(&failed))
        .because_all(evidence)
        .because_all(database.named.iter().flat_map(callee::Named::evidence))
        .mend(remedy);
    findings.add(connection_errors::join(finding, &failed));
}

fn connect(subnet: &str, vpc: &str, own: &str) -> Remedy {
    Remedy::new("Run the service in the database's VPC, or connect the two VPCs by peering or a transit gateway, with routes in both directions.")
        .cli(aws!("ec2 describe-route-tables --filters Name=association.subnet-id,Values={}", subnet))
        .cli(aws!("ec2 create-vpc-peering-connection --vpc-id {} --peer-vpc-id {}", own, vpc))
        .terraform(hcl!(
            r#"
            resource "aws_vpc_peering_connection" "database" {
              vpc_id      = {}
              peer_vpc_id = {}
            }"#,
            own,
            vpc
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::peers::{
        CACHE_HOST, CLUSTER_HOST, INSTANCE_HOST, cache_in_trouble, log, name_host,
    };
    use crate::baseline::{self, everywhere, from_group, minutes_ago};
    use crate::call::Call;
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, ServerlessCache, Snapshot};
    use crate::testing::{exam, says};

    fn permissions<'a>(snapshot: &'a mut Snapshot, group: &str) -> &'a mut Vec<IpPermission> {
        &mut snapshot.security_groups.change(group).unwrap().ip_permissions
    }

    fn block(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(5432)) }
    }

    /// A database of its own for one variable, so that one finding is at stake.
    fn one() -> Snapshot {
        let mut snapshot = (CHECK.example)();
        name_host(&mut snapshot, &[("DATABASE_URL", INSTANCE_HOST)]);
        snapshot
    }

    #[test]
    fn names_database_variable_groups_port_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &one()),
            [
                "No rule of security group sg-database of database mailer-db (DATABASE_URL) allows the tasks (sg-task) on port 5432: they cannot connect. \
              The log says \"Error: connect ETIMEDOUT 10.0.21.5:5432\"."
            ]
        );
    }

    #[test]
    fn the_tasks_may_be_let_in_by_their_addresses_or_subnets() {
        for cidr in ["10.0.1.0/24", "10.0.0.0/8", "0.0.0.0/0", "10.0.1.21/32"] {
            let mut snapshot = one();
            *permissions(&mut snapshot, "sg-database") = vec![block(cidr)];
            assert!(says(CHECK, &snapshot).is_empty(), "{cidr}");
        }
        for other in
            [block("192.168.0.0/16"), from_group(3306, "sg-task"), from_group(5432, "sg-other")]
        {
            let mut snapshot = one();
            *permissions(&mut snapshot, "sg-database") = vec![other];
            assert_eq!(says(CHECK, &snapshot).len(), 1);
        }
    }

    #[test]
    fn a_prefix_list_or_a_group_that_is_not_shown_may_let_them_in() {
        let mut snapshot = one();
        *permissions(&mut snapshot, "sg-database") = vec![IpPermission {
            cidr_ip: Vec::new(),
            prefix_list_id: vec!["pl-1".into()],
            ..block("")
        }];
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.security_groups.insert("sg-database", Seen::Yes(None));
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.security_groups.insert("sg-database", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_rule_for_ipv6_may_be_how_they_meet() {
        let mut snapshot = one();
        let permission = IpPermission {
            cidr_ip: Vec::new(),
            cidr_ipv6: vec!["2a05:d01c::/36".into()],
            ..block("")
        };
        *permissions(&mut snapshot, "sg-database") = vec![permission];
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn the_tasks_own_group_may_not_let_them_out() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("DATABASE_URL", INSTANCE_HOST)]);
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress =
            vec![everywhere("tcp", Some(443))];
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "No rule of the tasks' security group sg-task allows outbound traffic to database mailer-db"
        ));
        for rule in [from_group(5432, "sg-database"), block("10.0.21.0/24"), block("10.0.0.0/16")] {
            snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress = vec![rule];
            assert!(
                says(CHECK, &snapshot).iter().all(|says| !says.contains("out to")),
                "{:?}",
                says(CHECK, &snapshot)
            );
        }
    }

    #[test]
    fn a_cluster_does_not_tell_its_addresses() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("DATABASE_URL", CLUSTER_HOST)]);
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress =
            vec![block("10.0.99.0/24")];
        assert!(says(CHECK, &snapshot).is_empty());
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress =
            vec![everywhere("tcp", Some(443))];
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn in_another_vpc_only_a_missing_route_proves_it() {
        let mut snapshot = one();
        snapshot.security_groups.change("sg-database").unwrap().vpc_id = Some("vpc-data".into());
        let subnets = ["subnet-data-a", "subnet-data-b"];
        snapshot.db_instances.change("mailer-db").unwrap().subnet_identifier =
            subnets.map(String::from).into();
        for id in subnets {
            let subnet = Subnet {
                subnet_id: id.into(),
                vpc_id: Some("vpc-data".into()),
                cidr_block: Some("10.9.1.0/24".into()),
                ..Subnet::default()
            };
            snapshot.subnets.put(id, subnet);
        }
        assert!(says(CHECK, &snapshot).is_empty(), "the NAT gateway's subnet may know a way");
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table.routes.retain(|route| route.target.as_deref() == Some("local"));
        }
        assert!(says(CHECK, &snapshot)[0].contains(
            "has no route to database mailer-db (DATABASE_URL), which is in another VPC (vpc-data)"
        ));
        snapshot.db_instances.change("mailer-db").unwrap().publicly_accessible = true;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_database_that_this_account_does_not_have_is_not_judged() {
        let mut snapshot = one();
        snapshot.db_instances.insert("mailer-db", Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(database::ELSEWHERE));
        name_host(
            &mut snapshot,
            &[("DATABASE_URL", "mailer-db.c9akciq32rgz.us-east-1.rds.amazonaws.com")],
        );
        assert!(
            matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)),
            "nor one in another region"
        );
    }

    #[test]
    fn tasks_in_bridge_mode_call_as_their_instances() {
        let with = |permission| {
            let mut snapshot = baseline::ec2();
            name_host(&mut snapshot, &[("DATABASE_URL", INSTANCE_HOST)]);
            *permissions(&mut snapshot, "sg-database") = vec![permission];
            snapshot
        };
        let closed = with(from_group(5432, "sg-old"));
        assert_eq!(
            says(CHECK, &closed),
            [
                "No rule of security group sg-database of database mailer-db (DATABASE_URL) allows the tasks' instances (sg-instance) on port 5432: they cannot connect."
            ]
        );
        for open in [from_group(5432, "sg-instance"), block("10.0.2.102/32"), block("10.0.0.0/16")]
        {
            assert!(says(CHECK, &with(open)).is_empty());
        }
        let mut out = with(from_group(5432, "sg-instance"));
        out.security_groups.change("sg-instance").unwrap().ip_permissions_egress =
            vec![everywhere("tcp", Some(443))];
        assert!(says(CHECK, &out)[0].starts_with("No rule of the instances' security group sg-instance allows outbound traffic to database mailer-db"));
    }

    #[test]
    fn instances_that_no_target_tells_are_not_judged() {
        let mut snapshot = baseline::ec2();
        *permissions(&mut snapshot, "sg-database") = Vec::new();
        INSTANCES.iter().for_each(|instance| {
            snapshot.instance_interfaces.insert(*instance, Seen::No(Why::Denied("no".into())))
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        INSTANCES
            .iter()
            .for_each(|instance| snapshot.instance_interfaces.insert(*instance, Seen::Yes(None)));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable(callee::NO_INTERFACE),
            "they are gone"
        );
        let mut snapshot = baseline::ec2();
        snapshot.target_health.put(baseline::id::group("web"), Vec::new());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(callee::NO_INTERFACE));
    }

    #[test]
    fn explains_tasks_that_end_only_where_the_log_joins_them() {
        let joined = |line: Option<&str>| {
            let mut snapshot = one();
            snapshot.logs = baseline::worker().logs;
            baseline::exit_tasks(&mut snapshot, 2, 1, None);
            for n in [3, 4] {
                let stream = format!("ecs/worker/{}", baseline::id::task(n));
                let lines = line.map(|message| crate::snapshot::LogLine {
                    timestamp: Some(minutes_ago(2)),
                    message: message.into(),
                    log_stream_name: stream.clone(),
                });
                snapshot.logs.put(
                    format!("/ecs/mailer{}{stream}", crate::call::LOG_STREAM),
                    lines.into_iter().collect(),
                );
            }
            let intent = Intent::default();
            let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
            let root = diagnosis
                .roots
                .iter()
                .find(|root| root.check.id() == "database_blocked")
                .cloned()
                .unwrap();
            root.explains.first().map(|node| node.check.id())
        };
        assert_eq!(
            joined(Some("Error: connect ETIMEDOUT 10.0.21.5:5432")),
            Some("exits_with_error")
        );
        assert_eq!(joined(Some("Error: MAIL_FROM is not set")), None);
        assert_eq!(joined(None), None);
    }

    const TIMEOUT: &str = "Error: connect ETIMEDOUT 10.0.21.9:6379";

    #[test]
    fn a_cache_that_lets_nobody_in_is_named_with_its_group() {
        let mut snapshot = baseline::worker();
        cache_in_trouble(&mut snapshot, TIMEOUT);
        assert!(says(CHECK, &snapshot).is_empty(), "its group lets the tasks in");
        *permissions(&mut snapshot, "sg-cache") = vec![from_group(6379, "sg-old")];
        let exam = exam(CHECK, &snapshot);
        assert_eq!(
            exam.findings[0].says(),
            "No rule of security group sg-cache of cache sessions (REDIS_URL) allows the tasks (sg-task) on port 6379: they cannot connect. The log says \
             \"Error: connect ETIMEDOUT 10.0.21.9:6379\"."
        );
        let shell = exam.findings[0].remedy.shell().join("\n");
        assert!(shell.contains("--group-id sg-cache") && shell.contains("6379"), "{shell}");
    }

    #[test]
    fn a_cache_that_only_the_log_names_is_looked_at_too() {
        let mut snapshot = baseline::worker();
        cache_in_trouble(
            &mut snapshot,
            &format!("redis: connect: dial tcp: lookup {CACHE_HOST}: i/o timeout"),
        );
        name_host(&mut snapshot, &[]);
        *permissions(&mut snapshot, "sg-cache") = vec![from_group(6379, "sg-old")];
        let said = says(CHECK, &snapshot);
        assert!(said[0].contains("security group sg-cache of cache sessions allows"), "{said:?}");
    }

    #[test]
    fn a_cache_without_a_failed_connection_is_not_asked_about() {
        let mut snapshot = baseline::worker();
        name_host(&mut snapshot, &[("REDIS_URL", CACHE_HOST)]);
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.outcome, Outcome::NotApplicable(database::NONE));
        assert!(!exam.read.contains(&Call::DescribeReplicationGroups));
    }

    #[test]
    fn a_serverless_cache_tells_its_own_groups() {
        let mut snapshot = baseline::ec2();
        let host = "pages-abc123.serverless.euw2.cache.amazonaws.com";
        name_host(&mut snapshot, &[("CACHE_ENDPOINT", host)]);
        log(&mut snapshot, "dial tcp 10.0.21.9:6379: i/o timeout");
        let cache = ServerlessCache {
            serverless_cache_name: "pages".into(),
            status: Some("AVAILABLE".into()),
            port: Some(6379),
            security_group_ids: vec!["sg-database".into()],
            ..ServerlessCache::default()
        };
        snapshot.serverless_caches.put("pages", cache);
        *permissions(&mut snapshot, "sg-database") = vec![from_group(5432, "sg-instance")];
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "No rule of security group sg-database of serverless cache pages (CACHE_ENDPOINT) allows the tasks' instances (sg-instance) on port 6379"
        ));
        *permissions(&mut snapshot, "sg-database") = vec![from_group(6379, "sg-instance")];
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_cache_that_may_not_be_seen_is_not_judged() {
        let mut snapshot = baseline::worker();
        cache_in_trouble(&mut snapshot, TIMEOUT);
        snapshot.replication_groups.insert("sessions", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_old_line_is_history() {
        let mut snapshot = one();
        snapshot.logs = baseline::worker().logs;
        log(&mut snapshot, "Error: connect ETIMEDOUT 10.0.21.5:5432");
        for lines in snapshot.logs.0.values_mut() {
            if let Seen::Yes(Some(lines)) = lines {
                lines.iter_mut().for_each(|line| line.timestamp = Some(minutes_ago(90)));
            }
        }
        assert!(!says(CHECK, &snapshot)[0].contains("log"));
    }
}
