//! A task with a public address whose own security groups let the world in: whoever knows the address goes around the
//! balancer, its rules and its web ACL. A public address alone is none: security groups decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::address::{self, Cidr};
use crate::reading::route::{self, Way};
use crate::reading::{and_list, ingress, parsed, reach, traffic};
use crate::seen::Blind;
use crate::snapshot::{Interface, IpPermission, SecurityGroup, Task};

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
    /// The network interface of a running task has a public IPv4 address, the route of its subnet leads to an internet
    /// gateway, and the rules of its security groups together let in all of IPv4 on a port of its containers; where the
    /// task definition maps no port, on any port. A public address behind groups that let in the balancer only is normal:
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
        DescribeServices, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups, DescribeLoadBalancers,
        DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables, DescribeNetworkInterfaces,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{expose_tasks, from_block};
        expose_tasks(snapshot);
        snapshot.security_groups.change("sg-task").into_iter().for_each(|group| group.ip_permissions.push(from_block(8080, "0.0.0.0/0")));
    },
}

/// A rule of a task's group that lets the world in, with the port that it opens; none where it opens every port.
struct Opening<'a> {
    group: &'a SecurityGroup,
    permission: &'a IpPermission,
    port: Option<i32>,
}

/// The tasks of one version that are reachable, and the rules that make them so.
struct Reachable<'a> {
    openings: Vec<Opening<'a>>,
    tasks: Vec<(&'a Task, &'a Interface)>,
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let balancers = traffic::balancers(patient)?;
    if balancers.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer to go around"));
    }
    let mut reachable: BTreeMap<&str, Reachable> = BTreeMap::new();
    for task in patient.running_tasks()?.iter().filter(|task| task.last_status == "RUNNING") {
        let Some(id) = task.network_interface_id.as_deref() else { continue };
        let Some(interface) = findings.see(patient.interface(id)).flatten() else { continue };
        if interface.public_ip.is_none() || !findings.see(is_on_internet(patient, interface)).unwrap_or_default() {
            continue;
        }
        let Some(openings) = findings.see(openings(patient, task, interface)) else { continue };
        if !openings.is_empty() {
            reachable.entry(&task.task_definition_arn).or_insert_with(|| Reachable { openings, tasks: Vec::new() }).tasks.push((task, interface));
        }
    }
    for Reachable { openings, tasks } in reachable.into_values() {
        let balancer = balancers.iter().find_map(|arn| findings.see(patient.load_balancer(arn)).flatten());
        let admitted = balancer.and_then(|balancer| balancer.security_groups.first());
        findings.add(tell(&openings, &tasks, admitted.map(String::as_str)));
    }
    Ok(())
}

fn is_on_internet(patient: &Patient, interface: &Interface) -> Result<bool, Blind> {
    let Some(subnet) = interface.subnet_id.as_deref() else { return Ok(false) };
    Ok(route::out(patient, subnet, None)?.is_some_and(|exit| matches!(exit.way, Way::Internet(_))))
}

/// The rules that let the world in where the task listens: on the ports of its containers, or anywhere if it maps none.
fn openings<'a>(patient: &Patient<'a>, task: &Task, interface: &Interface) -> Result<Vec<Opening<'a>>, Blind> {
    let mut groups = Vec::new();
    for id in &interface.groups {
        groups.extend(patient.security_group(id)?);
    }
    let permissions = || groups.iter().flat_map(|group| group.ip_permissions.iter().map(move |permission| (*group, permission)));
    let definition = patient.task_definition(&task.task_definition_arn)?;
    let containers = definition.into_iter().flat_map(|definition| &definition.container_definitions);
    let ports: BTreeSet<i32> = containers.flat_map(|container| &container.port_mappings).filter_map(|mapping| mapping.container_port).collect();
    let mut openings = Vec::new();
    let mut open = |port: Option<i32>, here: Vec<(&'a SecurityGroup, &'a IpPermission)>| {
        if let Some(world) = world(&here)
            && !address::within(&world, &patient.intent().expect_ingress)
        {
            openings.extend(here.into_iter().filter(|(_, one)| names_public(one)).map(|(group, permission)| Opening { group, permission, port }));
        }
    };
    for port in &ports {
        open(Some(*port), permissions().filter(|(_, permission)| reach::covers_tcp(permission, *port)).collect());
    }
    if ports.is_empty() {
        permissions().for_each(|one| open(one.1.from_port, vec![one]));
    }
    Ok(openings)
}

/// All of IPv4, if these rules together let it in.
fn world(permissions: &[(&SecurityGroup, &IpPermission)]) -> Option<Cidr> {
    let blocks: Vec<Cidr> = permissions.iter().flat_map(|(_, permission)| &permission.cidr_ip).filter_map(|cidr| parsed(cidr)).collect();
    address::together(&blocks).into_iter().find(|block| block.is_world() && !block.is_v6())
}

/// Whether a rule is a part of the world's way in, and not a private block beside it.
fn names_public(permission: &IpPermission) -> bool {
    permission.cidr_ip.iter().filter_map(|cidr| parsed::<Cidr>(cidr)).any(|block| block.length() <= 1)
}

fn tell(openings: &[Opening], tasks: &[(&Task, &Interface)], admitted: Option<&str>) -> Finding {
    let addresses: Vec<&str> = tasks.iter().filter_map(|(_, interface)| interface.public_ip.as_deref()).collect();
    let ports: BTreeSet<i32> = openings.iter().filter_map(|opening| opening.port).collect();
    let groups: BTreeSet<&str> = openings.iter().map(|opening| opening.group.group_name.as_str()).collect();
    let says = format!(
        "{} can be reached around the balancer, at {}: security group {} lets in every IPv4 address{}.",
        if tasks.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", tasks.len()) },
        and_list(&addresses),
        and_list(groups),
        if ports.is_empty() { String::new() } else { format!(" on {}", ingress::port_words(&ports)) },
    );
    let rules = openings.iter().flat_map(|opening| {
        let wide = opening.permission.cidr_ip.iter().filter(|cidr| parsed::<Cidr>(cidr).is_some_and(|block| block.length() <= 1));
        wide.map(|cidr| Evidence::new(Call::DescribeSecurityGroups, &opening.group.group_id, "IpPermissions.IpRanges.CidrIp", cidr))
    });
    let mut evidence: Vec<Evidence> = Vec::new();
    let public = tasks.iter().filter_map(|(_, interface)| {
        let address = interface.public_ip.as_ref()?;
        Some(Evidence::new(Call::DescribeNetworkInterfaces, &interface.network_interface_id, "Association.PublicIp", address))
    });
    for one in public.chain(rules) {
        if !evidence.contains(&one) {
            evidence.push(one);
        }
    }
    let mut remedy = Remedy::new(
        "Let in the balancer's security group only. In subnets with a NAT gateway or the endpoints that the task needs, take the public address \
         away as well.",
    );
    if let (Some(opening), Some(port)) = (openings.first(), ports.first()) {
        let group = &opening.group.group_id;
        let balancer = admitted.unwrap_or("<balancer's group>");
        let source = format!("--source-group {balancer}");
        remedy = remedy.cli(format!("aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port {port} {source}"));
        let resource = "resource \"aws_vpc_security_group_ingress_rule\" \"from_balancer\"";
        remedy = remedy.terraform(format!(
            "{resource} {{\n  security_group_id            = \"{group}\"\n  referenced_security_group_id = \"{balancer}\"\n  ip_protocol                  = \
             \"tcp\"\n  from_port                    = {port}\n  to_port                      = {port}\n}}"
        ));
    }
    let revoke: BTreeSet<String> = openings
        .iter()
        .flat_map(|opening| {
            let wide = opening.permission.cidr_ip.iter().filter(|cidr| parsed::<Cidr>(cidr).is_some_and(|block| block.length() <= 1));
            wide.map(|cidr| ingress::revoke(opening.group, opening.permission, cidr))
        })
        .collect();
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
    use crate::baseline::{self, everywhere, expose_tasks, from_block};
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, exam_with, says};

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
        let intent = Intent { expect_ingress: vec!["0.0.0.0/0".parse().unwrap()] };
        assert_eq!(exam_with(CHECK, &snapshot, &intent).outcome, Outcome::Healthy);
    }

    #[test]
    fn groups_that_are_hidden_may_let_in_anybody() {
        let mut snapshot = exposed(&[]);
        snapshot.security_groups.0.remove("sg-task");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
