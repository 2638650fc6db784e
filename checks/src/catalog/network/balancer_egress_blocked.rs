//! The load balancer's security groups allow no outbound traffic to the tasks on the port that it
//! uses. Rules add up and only allow, so this is arithmetic; it speaks only where every group is
//! seen and no health check proves the contrary. Other destinations of the load balancer are for
//! other checks.

use crate::aws::admission::Admission;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::instance::EPHEMERAL;
use crate::facts::inbound::task_access::{self, TaskPorts};
use crate::facts::inbound::{inbound_rules, traffic};
use crate::facts::network::reach;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, TargetGroup};

crate::check! {
    /// The load balancer cannot connect to the tasks: no outbound rule of its security groups
    /// covers the target port, or the health check port, towards them.
    ///
    /// # Why it matters
    ///
    /// The health check times out, ECS replaces the tasks, and no request gets through. It happens
    /// when somebody removes the rule that allows all outbound traffic, or when the container port
    /// changes and the load balancer's rule does not.
    ///
    /// # How we tell
    ///
    /// All outbound rules of the load balancer's security groups, including the prefix lists that
    /// they name, are compared with the security groups and addresses of the tasks. Nothing is
    /// claimed where a health check passes, or fails in a way that takes a connection. Where
    /// targets are instances, the groups and addresses of their primary interfaces count; an
    /// instance that is gone shows nothing. Load balancers without security groups are left out.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-egress --group-id <balancer's group> --ip-permissions 'IpProtocol=tcp,FromPort=<port>,ToPort=<port>,UserIdGroupPairs=[{GroupId=<task's group>}]'
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_egress_rule` of the load balancer's group,
    /// with the tasks' group as `referenced_security_group_id`.
    ///
    /// # See also
    ///
    /// `task_security_group_blocks_balancer`, `network_acl_blocks`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-update-security-groups.html>
    title: "The load balancer's security groups block outbound traffic to the tasks",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnhealthy, BalancerAnswers504],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeTasks, DescribeListeners, DescribeRules,
        DescribeTaskDefinition, DescribeNetworkInterfaces, DescribeSecurityGroups, DescribeSubnets, GetManagedPrefixListEntries,
    ],
    example: on ec2, |snapshot| {
        use crate::baseline::instances::INSTANCES;
        use crate::baseline::{from_group, id, unhealthy};
        let slow = |instance, port| unhealthy(instance, port, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("web"), vec![slow(INSTANCES[0], 32768), slow(INSTANCES[1], 32769)]);
        let mut other = from_group(32768, "sg-old-instances");
        other.prefix_list_id = vec!["pl-0ff1ce".into()];
        other.to_port = Some(65535);
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["198.51.100.0/24".into()]);
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions_egress = vec![other.clone()]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let closed =
        task_access::closed(patient, findings, task_access::has_groups, |balancer, opening| {
            is_closed(patient, balancer, opening)
        })?;
    for closed in closed.ok_or(NoAnswer::NotApplicable(task_access::NOBODY_BEHIND))? {
        findings.add(finding(patient, closed.group, closed.balancer, &closed.ports)?);
    }
    Ok(())
}

/// Whether the load balancer's security groups are proved to allow no outbound traffic to any of
/// the tasks behind an opening.
fn is_closed(
    patient: &Patient,
    balancer: &LoadBalancer,
    opening: &TaskPorts,
) -> Result<bool, Blind> {
    if opening.is_beyond_doubt(patient) || !task_access::is_balancers_own(balancer, opening) {
        return Ok(false);
    }
    let targets: Vec<_> = if opening.targets.is_empty() {
        vec![None]
    } else {
        opening.targets.iter().copied().map(Some).collect()
    };
    for (target, port) in
        targets.iter().flat_map(|target| opening.ports.iter().map(move |port| (target, *port)))
    {
        if reach::out_to_task(patient, balancer, &opening.task_groups, *target, port)?
            != Admission::No
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn finding(
    patient: &Patient,
    group: &TargetGroup,
    balancer: &LoadBalancer,
    opening: &TaskPorts,
) -> Result<Finding, Blind> {
    let closed = reach::security_groups(patient, &balancer.security_groups)?.unwrap_or_default();
    let (whose, mended, needs) = (opening.whose(), closed[0].group_id.as_str(), opening.needs());
    let tasks: Vec<&str> = opening.task_groups.iter().copied().collect();
    let claim = format!(
        "no rule of load balancer {}'s security groups ({}) allows outbound traffic to the {whose} ({}) on {}, {}",
        balancer.load_balancer_name,
        balancer.security_groups.join(", "),
        tasks.join(", "),
        inbound_rules::port_words(&opening.ports),
        opening.effect(group)
    );
    let bridge = if opening.dynamic {
        format!(
            "In bridge mode each task gets a different host port, from {} up.",
            EPHEMERAL.start()
        )
    } else {
        String::new()
    };
    let remedy = Remedy::new(format!(
        "Allow outbound traffic from the load balancer to the {whose}' security group on {}.",
        needs.words()
    ));
    let remedy = reach::let_out(remedy, "tasks", mended, tasks[0], needs);
    let arn = &group.target_group_arn;
    let first = opening.ports.first().copied().unwrap_or_default();
    Ok(Subject::new(Kind::SecurityGroup, mended)
        .sick(claim, reach::what_it_lets_out(closed[0], first))
        .detail(bridge)
        .because_all(closed.iter().skip(1).map(|group| reach::what_it_lets_out(group, first)))
        .because_all(opening.evidence(patient)?)
        .because_all(task_access::groups_of(balancer))
        .because_all(opening.failed.iter().map(|failed| failed.evidence.clone()))
        .mend(remedy)
        .concerns(Kind::TargetGroup, arn)
        .concerns_all(Kind::TargetGroup, traffic::pair(patient, arn)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::{self, everywhere, from_group, id, target, unhealthy};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, SecurityGroup, Snapshot};
    use crate::testing::{exam, says};

    /// Tasks with addresses of their own; the load balancer has these rules for its way out.
    fn with(egress: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let slow = |address| unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress = egress;
        snapshot
    }

    fn to(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(8080)) }
    }

    #[test]
    fn names_balancer_groups_and_port() {
        let stale = IpPermission { from_port: Some(3000), ..from_group(8080, "sg-old-tasks") };
        assert_eq!(
            says(CHECK, &with(vec![stale])),
            [
                "No rule of load balancer web's security groups (sg-balancer) allows outbound traffic to the tasks (sg-task) on port 8080, so the health check of target group api times out."
            ]
        );
    }

    #[test]
    fn the_tasks_are_let_out_to_by_group_by_subnet_or_by_the_world() {
        for open in [from_group(8080, "sg-task"), to("10.0.0.0/16"), everywhere("-1", None)] {
            assert_eq!(exam(CHECK, &with(vec![open])).outcome, Outcome::Healthy);
        }
        assert_eq!(
            exam(CHECK, &with(vec![to("10.0.1.21/32")])).outcome,
            Outcome::Healthy,
            "one of the tasks is"
        );
        assert_eq!(exam(CHECK, &with(Vec::new())).outcome, Outcome::Sick);
        assert_eq!(exam(CHECK, &with(vec![from_group(8081, "sg-task")])).outcome, Outcome::Sick);
    }

    #[test]
    fn rules_of_all_groups_add_up_and_an_unseen_one_may_let_it_out() {
        let mut snapshot = with(Vec::new());
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .security_groups
            .push("sg-more".into());
        let more = SecurityGroup {
            group_id: "sg-more".into(),
            ip_permissions_egress: vec![to("10.0.0.0/8")],
            ..SecurityGroup::default()
        };
        snapshot.security_groups.put("sg-more", more);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.security_groups.insert("sg-more", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_health_check_that_gets_through_proves_the_way_open() {
        for proof in [
            target("10.0.1.21", 8080, "eu-west-2a", "healthy"),
            unhealthy(
                "10.0.1.21",
                8080,
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [404]",
            ),
        ] {
            let mut snapshot = with(Vec::new());
            snapshot.target_health.put(id::group("api"), vec![proof]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn requests_that_cannot_get_out_end_in_504() {
        let mut snapshot = (crate::catalog::find("balancer_answers_504").unwrap().example)();
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress =
            vec![from_group(9000, "sg-task")];
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).unwrap();
        assert!(root.explains.iter().any(|effect| effect.check.id() == "balancer_answers_504"));
    }

    #[test]
    fn instances_are_reached_on_the_ports_that_docker_chooses() {
        let with = |egress: Vec<IpPermission>| {
            let mut snapshot = (CHECK.example)();
            snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress = egress;
            exam(CHECK, &snapshot)
        };
        let closed = with(vec![from_group(3000, "sg-instance")]);
        assert_eq!(
            closed.findings.iter().map(Finding::says).collect::<Vec<_>>(),
            [
                "No rule of load balancer web's security groups (sg-balancer) allows outbound traffic to the instances (sg-instance) on ports 32768 and 32769, so the health check of target group web times out. In bridge mode each task gets a different host port, from 32768 up."
            ]
        );
        assert!(
            closed.findings[0].remedy.shell()[0].contains("FromPort=32768,ToPort=65535"),
            "{closed:?}"
        );
        let to = |cidr| IpPermission { from_port: Some(1024), to_port: Some(65535), ..to(cidr) };
        for open in [
            to("10.0.0.0/16"),
            IpPermission { to_port: Some(65535), ..from_group(32768, "sg-instance") },
        ] {
            assert_eq!(with(vec![open]).outcome, Outcome::Healthy);
        }
        let one = with(vec![to("10.0.1.101/32")]);
        assert!(
            one.findings[0].says().contains("on port 32769, so"),
            "the first instance is let out to: {one:?}"
        );
    }

    #[test]
    fn an_instance_that_is_gone_has_no_address() {
        let mut snapshot = (CHECK.example)();
        snapshot.target_health.change(&id::group("web")).unwrap().truncate(1);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
        snapshot.instance_interfaces.insert(INSTANCES[0], Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
