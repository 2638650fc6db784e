//! A task with a public address whose own security groups let the world in: whoever knows the address goes around the
//! balancer, its rules and its web ACL. A public address alone is none: security groups decide.

use std::collections::BTreeSet;

use crate::check::{Findings, NoAnswer};
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::exposed::{self, Reachable};
use crate::reading::{and_list, ingress, reach, traffic};

crate::check! {
    /// A task behind a load balancer can be reached from the internet without the load balancer.
    ///
    /// # Why it matters
    ///
    /// Whatever the balancer keeps out, by its security groups, its rules, a login or a web ACL, gets in at the task's own
    /// address, and in plain text.
    ///
    /// # How we tell
    ///
    /// The network interface of a running task has a public address, the route of its subnet leads to an internet gateway,
    /// and the rules of its security groups together let in all of IPv4, or all of IPv6, on a port of its containers; where
    /// the task definition maps no port, on any port. Where targets are instances, it is the primary interface of the instance
    /// and the port of the host. Every address of IPv6 is public, if an internet gateway takes it; an
    /// egress-only one lets nobody in. A public address behind groups that let in the balancer only is normal:
    /// Express Mode gives tasks in public subnets public addresses. Without a public address such a rule opens the task
    /// to its VPC only, and is not judged. With `--expect-ingress`, what is expected is no finding.
    ///
    /// # What to do
    ///
    /// Let in the balancer's security group, then take the wide rule away:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <group> --protocol tcp --port <port> --source-group <balancer's group>
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port <port> --cidr 0.0.0.0/0
    /// ```
    ///
    /// Terraform/OpenTofu: `referenced_security_group_id` instead of `cidr_ipv4` in `aws_vpc_security_group_ingress_rule`;
    /// in private subnets with a way out, also `assign_public_ip = false`.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `task_security_group_blocks_balancer`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "A task can be reached around the balancer",
    severity: Medium,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers,
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
        return Err(NoAnswer::NotApplicable("no load balancer to go around"));
    }
    for reachable in exposed::tasks(patient, findings)? {
        let balancer = balancers.iter().find_map(|arn| findings.see(patient.load_balancer(arn)).flatten());
        let admitted = balancer.and_then(|balancer| balancer.security_groups.first());
        findings.add(tell(&reachable, admitted.map(String::as_str)));
    }
    Ok(())
}

fn tell(reachable: &Reachable, admitted: Option<&str>) -> Finding {
    let Reachable { openings, tasks, addresses } = reachable;
    let families: BTreeSet<&str> = openings.iter().map(|opening| opening.family.word()).collect();
    let ports: BTreeSet<i32> = openings.iter().filter_map(|opening| opening.port).collect();
    let groups: BTreeSet<&str> = openings.iter().map(|opening| opening.group.group_name.as_str()).collect();
    let says = format!(
        "{} can be reached around the balancer, at {}: security group {} lets in every {} address{}.",
        if tasks.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", tasks.len()) },
        and_list(addresses),
        and_list(groups),
        and_list(families),
        if ports.is_empty() { String::new() } else { format!(" on {}", ingress::port_words(&ports)) },
    );
    let mut evidence = reachable.evidence();
    let mut remedy = Remedy::new(
        "Let in the balancer's security group only. In subnets with a NAT gateway or the endpoints that the task needs, take the public address \
         away as well.",
    );
    if let Some((opening, needs)) = openings.iter().find_map(|opening| Some((opening, opening.needs?))) {
        let group = &opening.group.group_id;
        let balancer = admitted.unwrap_or("<balancer's group>");
        let source = format!("--source-group {balancer}");
        remedy = remedy.cli(format!("aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port {needs} {source}"));
        remedy = remedy.terraform(reach::ingress_in_terraform("from_balancer", group, balancer, needs));
    }
    let revoke: BTreeSet<String> =
        openings.iter().flat_map(|opening| opening.wide().map(|cidr| ingress::revoke(opening.group, opening.permission, cidr))).collect();
    remedy = revoke.into_iter().fold(remedy, Remedy::cli);
    let first = evidence.remove(0);
    Subject::new(Kind::Task, &tasks[0].0.task_arn)
        .sick(says, first)
        .because_all(evidence)
        .mend(remedy)
        .concerns_all(Kind::SecurityGroup, openings.iter().map(|opening| opening.group.group_id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::{self, everywhere, expose_tasks, from_block};
    use crate::exam::Outcome;
    use crate::snapshot::{IpPermission, Route, Snapshot};
    use crate::testing::{exam, exam_with, expecting, says};

    fn exposed(permissions: &[IpPermission]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        expose_tasks(&mut snapshot);
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions.extend_from_slice(permissions);
        snapshot
    }

    #[test]
    fn a_public_address_alone_is_no_exposure() {
        assert_eq!(exam(CHECK, &exposed(&[])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &baseline::express()).outcome, Outcome::Healthy);
    }

    #[test]
    fn two_halves_add_up_to_the_world() {
        let says = says(CHECK, &exposed(&[from_block(8080, "0.0.0.0/1"), from_block(8080, "128.0.0.0/1")]));
        assert_eq!(
            says,
            ["2 tasks can be reached around the balancer, at 198.51.100.21 and 198.51.100.22: security group api-tasks lets in every IPv4 address \
              on port 8080."]
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
                table.routes.push(Route { destination: "::/0".into(), target: Some(gateway.into()), state: Some("active".into()) });
            }
            let first = snapshot.interfaces.0.keys().next().unwrap().clone();
            snapshot.interfaces.change(&first).unwrap().ipv6_address = vec!["2001:db8::21".into()];
            let mut rule = from_block(8080, "10.0.0.0/8");
            rule.cidr_ipv6 = blocks.iter().map(|block| (*block).to_owned()).collect();
            snapshot.security_groups.change("sg-task").unwrap().ip_permissions.push(rule);
            says(CHECK, &snapshot)
        };
        let expected =
            "1 task can be reached around the balancer, at 2001:db8::21: security group api-tasks lets in every IPv6 address on port 8080.";
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
                snapshot.instance_interfaces.change(instance).unwrap().public_ip = Some(format!("198.51.100.{}", 31 + number));
            }
            snapshot.security_groups.change("sg-instance").unwrap().ip_permissions.push(permission);
            snapshot
        };
        let open = with(IpPermission { from_port: Some(1024), to_port: Some(65535), ..from_block(0, "0.0.0.0/0") });
        assert_eq!(
            says(CHECK, &open),
            [
                "2 tasks can be reached around the balancer, at 198.51.100.31 and 198.51.100.32: security group web-instances lets in every IPv4 address on ports 32768 and 32769."
            ]
        );
        let exam = exam(CHECK, &open);
        assert!(exam.findings[0].remedy.cli[0].contains("--group-id sg-instance --protocol tcp --port 32768-65535 --source-group sg-balancer"));
        assert_eq!(says(CHECK, &with(from_block(22, "0.0.0.0/0"))), [""; 0], "no task listens there");
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
            table.routes.iter_mut().filter(|route| route.destination == "0.0.0.0/0").for_each(|route| route.target = Some("nat-1".into()));
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
}
