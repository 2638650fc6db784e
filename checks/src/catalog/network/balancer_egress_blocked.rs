//! The security groups of the balancer do not let it out to the tasks on the port that it asks. Rules add up and only
//! allow, so this is arithmetic; it speaks only where every group is seen and no health check proves the contrary.

use crate::check::{Findings, NoAnswer};
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::door::{self, Door};
use crate::reading::reach::{self, Admission};
use crate::reading::traffic;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, SecurityGroup, TargetGroup};

crate::check! {
    /// The balancer may not connect to the tasks: no outbound rule of its security groups covers the port of the target, or
    /// of the health check, towards them.
    ///
    /// # Why it matters
    ///
    /// The health check times out, ECS replaces the tasks, and no request gets through. It happens when somebody takes away
    /// the rule that lets out everything, or when the container's port changes and the balancer's rule does not.
    ///
    /// # How we tell
    ///
    /// All outbound rules of the balancer's security groups together, with what is in the prefix lists that they name, are
    /// held against the security groups and addresses of the tasks. Nothing is claimed where a health check passes, or fails
    /// in a way that takes a connection. Balancers without security groups, and instances as targets, are left out.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-egress --group-id <balancer's group> --ip-permissions 'IpProtocol=tcp,FromPort=<port>,ToPort=<port>,UserIdGroupPairs=[{GroupId=<task's group>}]'
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_egress_rule` of the balancer's group, with the tasks' group as
    /// `referenced_security_group_id`.
    ///
    /// # See also
    ///
    /// `task_security_group_blocks_balancer`, `network_acl_blocks`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-update-security-groups.html>
    title: "The balancer's security groups do not let it out to the tasks",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnhealthy],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeTasks,
        DescribeNetworkInterfaces, DescribeSecurityGroups, DescribeSubnets, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{from_group, id, unhealthy};
        let slow = |address| unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        let mut other = from_group(3000, "sg-task");
        other.prefix_list_id = vec!["pl-0ff1ce".into()];
        other.to_port = Some(8080);
        other.group_id = vec!["sg-old-tasks".into()];
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["198.51.100.0/24".into()]);
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions_egress = vec![other.clone()]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    door::each(patient, findings, |group, balancer, door, findings| {
        if let Some(closed) = findings.see(closed(patient, balancer, door)).flatten() {
            findings.add(finding(patient, group, balancer, door, &closed)?);
        }
        Ok(())
    })
}

/// The balancer's security groups, if they are proved to let nothing out to any of the tasks behind a door.
fn closed<'a>(patient: &Patient<'a>, balancer: &LoadBalancer, door: &Door) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
    if door.is_beyond_doubt(patient) {
        return Ok(None);
    }
    let targets: Vec<_> = if door.targets.is_empty() { vec![None] } else { door.targets.iter().copied().map(Some).collect() };
    for target in targets {
        if reach::out_to_task(patient, balancer, &door.task_groups, target, door.port)? != Admission::No {
            return Ok(None);
        }
    }
    reach::security_groups(patient, &balancer.security_groups)
}

fn finding(patient: &Patient, group: &TargetGroup, balancer: &LoadBalancer, door: &Door, closed: &[&SecurityGroup]) -> Result<Finding, Blind> {
    let (port, mended) = (door.port, closed[0].group_id.as_str());
    let tasks: Vec<&str> = door.task_groups.iter().copied().collect();
    let says = format!(
        "No rule of load balancer {}'s security groups ({}) lets it out to the tasks ({}) on port {port}, {}.",
        balancer.load_balancer_name,
        balancer.security_groups.join(", "),
        tasks.join(", "),
        door.effect(group)
    );
    let remedy = Remedy::new(format!("Let the balancer out to the tasks' security group on port {port}."));
    let remedy = reach::let_out(remedy, "tasks", mended, tasks[0], port);
    let arn = &group.target_group_arn;
    Ok(Subject::new(Kind::SecurityGroup, mended)
        .sick(says, reach::what_it_lets_out(closed[0], port))
        .because_all(closed.iter().skip(1).map(|group| reach::what_it_lets_out(group, port)))
        .because_all(door::groups_of(balancer))
        .because_all(door.timed_out.clone())
        .mend(remedy)
        .concerns(Kind::TargetGroup, arn)
        .concerns_all(Kind::TargetGroup, traffic::pair(patient, arn)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_group, id, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn with(egress: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress = egress;
        snapshot
    }

    fn to(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(8080)) }
    }

    #[test]
    fn names_balancer_groups_and_port() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of load balancer web's security groups (sg-balancer) lets it out to the tasks (sg-task) on port 8080, so the health check of target group api times out."
            ]
        );
    }

    #[test]
    fn the_tasks_are_let_out_to_by_group_by_subnet_or_by_the_world() {
        for open in [from_group(8080, "sg-task"), to("10.0.0.0/16"), everywhere("-1", None)] {
            assert_eq!(exam(CHECK, &with(vec![open])).outcome, Outcome::Healthy);
        }
        assert_eq!(exam(CHECK, &with(vec![to("10.0.1.21/32")])).outcome, Outcome::Healthy, "one of the tasks is");
        assert_eq!(exam(CHECK, &with(Vec::new())).outcome, Outcome::Sick);
        assert_eq!(exam(CHECK, &with(vec![from_group(8081, "sg-task")])).outcome, Outcome::Sick);
    }

    #[test]
    fn rules_of_all_groups_add_up_and_an_unseen_one_may_let_it_out() {
        let mut snapshot = with(Vec::new());
        snapshot.load_balancers.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap().security_groups.push("sg-more".into());
        let more = SecurityGroup { group_id: "sg-more".into(), ip_permissions_egress: vec![to("10.0.0.0/8")], ..SecurityGroup::default() };
        snapshot.security_groups.put("sg-more", more);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.security_groups.insert("sg-more", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_health_check_that_gets_through_proves_the_way_open() {
        for proof in [
            target("10.0.1.21", 8080, "eu-west-2a", "healthy"),
            unhealthy("10.0.1.21", 8080, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [404]"),
        ] {
            let mut snapshot = (CHECK.example)();
            snapshot.target_health.put(id::group("api"), vec![proof]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn instances_are_left_out() {
        assert!(matches!(exam(CHECK, &baseline::ec2()).outcome, Outcome::NotApplicable(_)));
    }
}
