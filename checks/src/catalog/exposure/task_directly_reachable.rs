//! A task with a public address whose own security groups are open to the world: requests to that
//! address bypass the load balancer, its rules and its web ACL. A public address alone is no
//! finding: security groups decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Findings, NoAnswer};
use crate::command::Command;
use crate::facts::inbound::exposed::{self, Opening, Reachable};
use crate::facts::inbound::{inbound_rules, traffic};
use crate::facts::network::reach::{self, Ports};
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::SecurityGroup;
use crate::text::{and_list, count};

crate::check! {
    /// A task behind a load balancer can be reached from the internet without the load balancer.
    ///
    /// # Why it matters
    ///
    /// Requests that the load balancer would block, by its security groups, its rules, a login or a
    /// web ACL, get through at the task's own address, and in plain text.
    ///
    /// # How we tell
    ///
    /// The network interface of a running task has a public address, the route of its subnet leads
    /// to an internet gateway, and the rules of its security groups together allow all of IPv4, or
    /// all of IPv6, on a port of its containers; where the task definition maps no port, on any
    /// port. Where targets are instances, it is the primary interface of the instance and the host
    /// port. Every IPv6 address is public if an internet gateway routes it; an egress-only one
    /// allows no inbound traffic. A public address behind groups that allow only the load balancer
    /// is normal: Express Mode gives tasks in public subnets public addresses. Without a public
    /// address such a rule opens the task to its VPC only, and is not judged. With
    /// `--expect-ingress`, expected sources are no finding.
    ///
    /// # What to do
    ///
    /// Allow the security group of each load balancer on each port that it needs, that of the
    /// health check included, then remove the wide rule:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <group> --protocol tcp --port <port> --source-group <load balancer's group>
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port <port> --cidr 0.0.0.0/0
    /// ```
    ///
    /// A network load balancer without security groups can be allowed only by the CIDR blocks of
    /// its subnets; where its target groups preserve client IP addresses, the clients have to stay
    /// allowed. Terraform/OpenTofu: `referenced_security_group_id` instead of `cidr_ipv4` in
    /// `aws_vpc_security_group_ingress_rule`; in private subnets with a route to the internet, also
    /// `assign_public_ip = false`.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `task_security_group_blocks_balancer`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "A task can be reached directly, without the load balancer",
    severity: Medium,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, DescribeLoadBalancers,
        DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables, DescribeNetworkInterfaces,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{expose_tasks, from_block};
        expose_tasks(snapshot);
        snapshot.security_groups.change("sg-task").into_iter().for_each(|group| group.ip_permissions.push(from_block(8080, "0.0.0.0/0")));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let balancers = traffic::balancers(patient)?;
    if balancers.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer that could be bypassed"));
    }
    for reachable in exposed::tasks(patient, findings)? {
        let mut sources = Sources::Groups(BTreeSet::new());
        for arn in &balancers {
            let groups = findings
                .see(patient.load_balancer(arn))
                .flatten()
                .map(|balancer| &balancer.security_groups);
            sources = match (sources, groups) {
                (Sources::Groups(_), None) => Sources::Unknown,
                (Sources::Groups(_), Some(groups)) if groups.is_empty() => Sources::Subnets,
                (Sources::Groups(others), Some(groups)) => Sources::Groups(
                    others.into_iter().chain(groups.iter().map(String::as_str)).collect(),
                ),
                (settled, _) => settled,
            };
        }
        let checked = health_check_ports(patient, findings)?;
        findings.add(tell(&reachable, &sources, &checked));
    }
    Ok(())
}

/// By what a rule can name the load balancers.
enum Sources<'a> {
    Groups(BTreeSet<&'a str>),
    /// One of them has no security group.
    Subnets,
    /// One of them was not seen.
    Unknown,
}

/// The ports of the load balancers' health checks. What "traffic-port" means for an instance, its
/// opening says.
fn health_check_ports(
    patient: &Patient,
    findings: &mut Findings,
) -> Result<BTreeSet<Ports>, Blind> {
    let mut ports = BTreeSet::new();
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let is_fixed =
            settings.health_check_port.as_deref().is_some_and(|port| port != "traffic-port");
        if is_fixed || settings.target_type.as_deref() == Some("ip") {
            ports.extend(reach::health_check_port(patient, settings, None).map(Ports::from));
        }
    }
    Ok(ports)
}

/// The commands and the code that allow each load balancer on every port that it needs, wherever a
/// rule is not there already: the wide rule may be the only one that allows it, so this comes
/// first.
fn admit(
    mut remedy: Remedy,
    openings: &[Opening],
    sources: &BTreeSet<&str>,
    checked: &BTreeSet<Ports>,
) -> Remedy {
    let ports: BTreeSet<Ports> = openings
        .iter()
        .filter_map(|opening| opening.needs)
        .chain(checked.iter().copied())
        .collect();
    let groups: BTreeMap<&str, &SecurityGroup> =
        openings.iter().map(|opening| (opening.group.group_id.as_str(), opening.group)).collect();
    let mut code = Vec::new();
    for (group, source, ports) in groups.values().flat_map(|group| {
        sources.iter().flat_map(|source| ports.iter().map(|ports| (*group, *source, *ports)))
    }) {
        let is_there = group.ip_permissions.iter().any(|rule| {
            rule.group_id.iter().any(|id| id == source)
                && reach::covers_tcp(rule, ports.0)
                && reach::covers_tcp(rule, ports.1)
        });
        if !is_there {
            let name = if code.is_empty() {
                "from_balancer".to_owned()
            } else {
                format!("from_balancer_{}", code.len() + 1)
            };
            remedy = reach::let_in(remedy, &name, &group.group_id, source, ports);
            code.extend(remedy.terraform.take());
        }
    }
    if code.is_empty() { remedy } else { remedy.terraform(Hcl::blocks(code)) }
}

fn tell(reachable: &Reachable, sources: &Sources, checked: &BTreeSet<Ports>) -> Finding {
    let Reachable { openings, tasks, addresses } = reachable;
    let families: BTreeSet<&str> = openings.iter().map(|opening| opening.family.word()).collect();
    let ports: BTreeSet<i32> = openings.iter().filter_map(|opening| opening.port).collect();
    let groups: BTreeSet<&str> =
        openings.iter().map(|opening| opening.group.group_name.as_str()).collect();
    let claim = format!(
        "{} can be reached directly, without the load balancer, at {}: security group {} allows every {} address{}",
        count(tasks.len(), "task"),
        and_list(addresses),
        and_list(groups),
        and_list(families),
        if ports.is_empty() {
            String::new()
        } else {
            format!(" on {}", inbound_rules::port_words(&ports))
        },
    );
    let mut evidence = reachable.evidence();
    let otherwise = "In subnets with a NAT gateway or the VPC endpoints that the task needs, remove the public address as well.";
    let remedy = match sources {
        Sources::Groups(sources) => {
            let remedy =
                Remedy::new(format!("Allow only the load balancer's security group. {otherwise}"));
            let revoke: BTreeSet<Command> = openings
                .iter()
                .flat_map(|opening| {
                    opening
                        .wide()
                        .map(|cidr| inbound_rules::revoke(opening.group, opening.permission, cidr))
                })
                .collect();
            revoke.into_iter().fold(admit(remedy, openings, sources, checked), Remedy::cli)
        }
        // A command that removed the wide rule would cut off a load balancer that nothing else
        // allows.
        Sources::Subnets => Remedy::new(format!(
            "Narrow the wide rule, but do not just remove it: allow the CIDR blocks of the subnets of a network load balancer without security groups, for traffic and health checks, and where a target group preserves client IP addresses, the clients as well. {otherwise}"
        )),
        Sources::Unknown => Remedy::new(format!(
            "Allow the security group of each load balancer, on the ports of the containers and of the health check, before you remove the wide rule: one load balancer could not be examined. {otherwise}"
        )),
    };
    let first = evidence.remove(0);
    Subject::new(Kind::Task, &tasks[0].0.task_arn)
        .sick(claim, first)
        .because_all(evidence)
        .mend(remedy)
        .concerns_all(
            Kind::SecurityGroup,
            openings.iter().map(|opening| opening.group.group_id.as_str()),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::{self, everywhere, expose_tasks, from_block, from_group, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Route, Snapshot};
    use crate::testing::{exam, exam_with, expecting, says};

    fn exposed(permissions: &[IpPermission]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        expose_tasks(&mut snapshot);
        snapshot
            .security_groups
            .change("sg-task")
            .unwrap()
            .ip_permissions
            .extend_from_slice(permissions);
        snapshot
    }

    #[test]
    fn a_public_address_alone_is_no_exposure() {
        assert_eq!(exam(CHECK, &exposed(&[])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &baseline::express()).outcome, Outcome::Healthy);
    }

    #[test]
    fn two_halves_add_up_to_the_world() {
        let says = says(
            CHECK,
            &exposed(&[from_block(8080, "0.0.0.0/1"), from_block(8080, "128.0.0.0/1")]),
        );
        assert_eq!(
            says,
            [
                "2 tasks can be reached directly, without the load balancer, at 198.51.100.21 and 198.51.100.22: security group api-tasks allows every IPv4 address \
                 on port 8080."
            ]
        );
    }

    #[test]
    fn a_port_where_nothing_listens_does_not_count() {
        assert_eq!(says(CHECK, &exposed(&[from_block(22, "0.0.0.0/0")])), [""; 0]);
        assert_eq!(says(CHECK, &exposed(&[everywhere("-1", None)])).len(), 1);
    }

    #[test]
    fn a_private_address_is_not_on_the_internet() {
        let mut snapshot = exposed(&[from_block(8080, "0.0.0.0/0")]);
        let interfaces: Vec<String> = snapshot.interfaces.0.keys().cloned().collect();
        interfaces.iter().for_each(|id| snapshot.interfaces.change(id).unwrap().public_ip = None);
        assert_eq!(says(CHECK, &snapshot), [""; 0]);
    }

    #[test]
    fn ipv6_is_a_way_in_of_its_own() {
        let with = |gateway: &str, blocks: &[&str]| {
            let mut snapshot = baseline::fargate();
            for table in snapshot.route_tables.change("vpc-1").unwrap() {
                table.routes.push(Route {
                    destination: "::/0".into(),
                    target: Some(gateway.into()),
                    state: Some("active".into()),
                });
            }
            let first = snapshot.interfaces.0.keys().next().unwrap().clone();
            snapshot.interfaces.change(&first).unwrap().ipv6_address = vec!["2001:db8::21".into()];
            let mut rule = from_block(8080, "10.0.0.0/8");
            rule.cidr_ipv6 = blocks.iter().map(|block| (*block).to_owned()).collect();
            snapshot.security_groups.change("sg-task").unwrap().ip_permissions.push(rule);
            says(CHECK, &snapshot)
        };
        let expected = "1 task can be reached directly, without the load balancer, at 2001:db8::21: security group api-tasks allows every IPv6 address on port 8080.";
        assert_eq!(with("igw-1", &["::/0"]), [expected]);
        assert_eq!(with("eigw-1", &["::/0"]), [""; 0]);
        assert_eq!(with("igw-1", &["2001:db8::/32"]), [""; 0]);
    }

    #[test]
    fn an_instance_is_a_way_in_on_the_ports_of_its_tasks() {
        let with = |permission: IpPermission| {
            let mut snapshot = baseline::ec2();
            expose_tasks(&mut snapshot);
            for (number, instance) in INSTANCES.iter().enumerate() {
                snapshot.instance_interfaces.change(instance).unwrap().public_ip =
                    Some(format!("198.51.100.{}", 31 + number));
            }
            snapshot.security_groups.change("sg-instance").unwrap().ip_permissions.push(permission);
            snapshot
        };
        let open = with(IpPermission {
            from_port: Some(1024),
            to_port: Some(65535),
            ..from_block(0, "0.0.0.0/0")
        });
        assert_eq!(
            says(CHECK, &open),
            [
                "2 tasks can be reached directly, without the load balancer, at 198.51.100.31 and 198.51.100.32: security group web-instances allows every IPv4 address on ports 32768 and 32769."
            ]
        );
        let exam = exam(CHECK, &open);
        assert!(
            exam.findings[0].remedy.shell().iter().all(|command| command.contains("revoke")),
            "the load balancer has a rule of its own"
        );
        let mut without = open.clone();
        without
            .security_groups
            .change("sg-instance")
            .unwrap()
            .ip_permissions
            .retain(|rule| rule.group_id.is_empty());
        let cli = &crate::testing::exam(CHECK, &without).findings[0].remedy.shell();
        assert!(cli[0].contains("--group-id sg-instance --protocol tcp --port 32768-65535 --source-group sg-balancer"), "{cli:?}");
        assert_eq!(
            says(CHECK, &with(from_block(22, "0.0.0.0/0"))),
            [""; 0],
            "no task listens there"
        );
        let mut private = with(everywhere("-1", None));
        private.instance_interfaces.0.values_mut().for_each(|seen| {
            if let crate::seen::Seen::Yes(Some(interface)) = seen {
                interface.public_ip = None;
            }
        });
        assert_eq!(says(CHECK, &private), [""; 0]);
    }

    #[test]
    fn behind_a_nat_gateway_nobody_comes_in() {
        let mut snapshot = exposed(&[from_block(8080, "0.0.0.0/0")]);
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table
                .routes
                .iter_mut()
                .filter(|route| route.destination == "0.0.0.0/0")
                .for_each(|route| route.target = Some("nat-1".into()));
        }
        assert_eq!(says(CHECK, &snapshot), [""; 0]);
    }

    #[test]
    fn what_the_user_expects_is_no_finding() {
        let snapshot = exposed(&[from_block(8080, "0.0.0.0/0")]);
        let intent = expecting(&["0.0.0.0/0"]);
        assert_eq!(exam_with(CHECK, &snapshot, &intent).outcome, Outcome::Healthy);
    }

    #[test]
    fn groups_that_are_hidden_may_let_in_anybody() {
        let mut snapshot = exposed(&[]);
        snapshot.security_groups.0.remove("sg-task");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn lets_every_balancer_in_on_every_port_before_it_shuts_the_world_out() {
        let mut snapshot = exposed(&[]);
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .security_groups
            .push("sg-second".into());
        // The first of the two is let in on the port of the container already: the same rule again
        // is refused.
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions =
            vec![from_group(8080, "sg-balancer"), everywhere("-1", None)];
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        let authorize = |port, source| {
            format!(
                "aws ec2 authorize-security-group-ingress --group-id sg-task --protocol tcp --port {port} --source-group {source}"
            )
        };
        let revoke = "aws ec2 revoke-security-group-ingress --group-id sg-task --ip-permissions 'IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]'";
        let expected = [
            authorize(9000, "sg-balancer"),
            authorize(8080, "sg-second"),
            authorize(9000, "sg-second"),
            revoke.to_owned(),
        ];
        assert_eq!(remedy.shell(), expected);
        assert_eq!(
            remedy
                .terraform
                .unwrap()
                .as_str()
                .matches("resource \"aws_vpc_security_group_ingress_rule\"")
                .count(),
            3
        );
    }

    #[test]
    fn a_balancer_without_security_groups_keeps_its_only_way_in() {
        let mut snapshot = exposed(&[from_block(8080, "0.0.0.0/0")]);
        let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        let balancer = snapshot.load_balancers.change(&arn).unwrap();
        balancer.load_balancer_type = Some("network".into());
        balancer.security_groups.clear();
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(
            remedy.summary.contains("allow the CIDR blocks of the subnets"),
            "{}",
            remedy.summary
        );
        assert!(remedy.shell().is_empty() && remedy.terraform.is_none(), "{remedy:?}");
        snapshot.load_balancers.insert(&arn, Seen::No(Why::Denied("no".into())));
        assert!(exam(CHECK, &snapshot).findings[0].remedy.shell().is_empty(), "it may have none");
    }
}
