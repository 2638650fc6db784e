//! The security groups of the tasks, or of the instances that they run on, do not allow the load
//! balancer on the port that it uses. Rules add up and only allow, so this is arithmetic; it speaks
//! only where every group is seen and no health check proves the contrary.

use std::collections::BTreeSet;

use crate::aws::admission::Admission;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::instance::EPHEMERAL;
use crate::facts::inbound::task_access::{self, TaskPorts};
use crate::facts::inbound::{inbound_rules, traffic};
use crate::facts::network::reach;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::{IpPermission, LoadBalancer, SecurityGroup, TargetGroup};
use crate::text::{and_list, capitalised};

crate::check! {
    /// The load balancer cannot connect to the tasks: no rule of the tasks' security groups allows
    /// it on the target port, or on the health check port.
    ///
    /// # Why it matters
    ///
    /// The health check times out, ECS replaces the tasks, and no request gets through. It happens
    /// when a load balancer gets a new security group and the tasks' rule still names the old one,
    /// when the container port changes, and in Express Mode with a security group of your own. On
    /// instances it happens when the group opens the container port or the listener port, and
    /// bridge mode gives each task another host port from 32768 up.
    ///
    /// # How we tell
    ///
    /// The security groups come from the tasks' network interfaces, or from the service where a
    /// task has none; where targets are instances, from the primary interface of each. All their
    /// inbound rules, including the prefix lists that they name, are compared with the load
    /// balancer's security groups and the CIDR blocks of its subnets. A rule for some addresses of
    /// these subnets might allow it: then nothing is claimed. Nor if a health check passes, or
    /// fails in a way that takes a connection: then the port is open. Instances that are gone, or
    /// whose port belongs to no task of the service, are left out. A Network Load Balancer without
    /// security groups connects from the addresses of its subnets. Of Network Load Balancers only
    /// the health checks are judged, as they may preserve their clients' addresses; but a port
    /// without any rule is closed to everybody. A failed health check of theirs proves nothing by
    /// itself, as it does not say how it failed.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <task's group> --protocol tcp --port <port> --source-group <balancer's group>
    /// ```
    ///
    /// Where Docker chooses the host port (no `hostPort`, or 0), open the whole range that it
    /// chooses from, 32768 to 65535.
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_ingress_rule` of the tasks' group, with the
    /// load balancer's group as `referenced_security_group_id`.
    ///
    /// # See also
    ///
    /// `health_check_times_out`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "The tasks' security groups do not allow the load balancer",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnhealthy, BalancerAnswers504],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeTasks, DescribeListeners, DescribeRules,
        DescribeTaskDefinition, DescribeNetworkInterfaces, DescribeSecurityGroups, DescribeSubnets, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{from_group, id, unhealthy};
        let slow = |address| unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        let mut stale = from_group(8080, "sg-old-balancer");
        stale.prefix_list_id = vec!["pl-0ff1ce".into()];
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["198.51.100.0/24".into()]);
        snapshot.security_groups.change("sg-task").into_iter().for_each(|group| group.ip_permissions = vec![stale.clone()]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let closed = task_access::closed(
        patient,
        findings,
        task_access::is_known_to_tasks,
        |balancer, opening| is_closed(patient, balancer, opening),
    )?;
    for closed in closed.ok_or(NoAnswer::NotApplicable(task_access::NOBODY_BEHIND))? {
        findings.add(finding(patient, closed.group, closed.balancer, &closed.ports)?);
    }
    Ok(())
}

/// Whether the security groups of the tasks behind an opening are proved to be closed to the load
/// balancer.
fn is_closed(
    patient: &Patient,
    balancer: &LoadBalancer,
    opening: &TaskPorts,
) -> Result<bool, Blind> {
    if opening.checked && opening.passes {
        return Ok(false);
    }
    if !patient.is_express() && admit_nobody(patient, opening)? {
        return Ok(true);
    }
    if opening.is_beyond_doubt(patient) || !task_access::is_balancers_own(balancer, opening) {
        return Ok(false);
    }
    for port in &opening.ports {
        if reach::into_task(patient, balancer, &opening.task_groups, *port)? != Admission::No {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the groups have no rule for any of the ports: then the source does not matter, and only
/// Express Mode adds rules itself.
fn admit_nobody(patient: &Patient, opening: &TaskPorts) -> Result<bool, Blind> {
    for port in &opening.ports {
        if !reach::admit_nobody(patient, &opening.task_groups, *port)? {
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
    let closed = reach::security_groups(patient, &opening.task_groups)?.unwrap_or_default();
    let arn = group.target_group_arn.as_str();
    let ids: Vec<&str> = opening.task_groups.iter().copied().collect();
    let ports = inbound_rules::port_words(&opening.ports);
    let by = if task_access::has_groups(balancer) {
        format!(" ({})", balancer.security_groups.join(", "))
    } else {
        String::new()
    };
    let claim = format!(
        "no rule of the {}' security groups ({}) allows load balancer {}{by} on {ports}, {}",
        opening.whose(),
        ids.join(", "),
        balancer.load_balancer_name,
        opening.effect(group)
    );
    let admitted = admitted(&closed, balancer, opening);
    let others = if admitted.is_empty() {
        String::new()
    } else {
        format!("They allow {}, which the load balancer does not have.", admitted.join(", "))
    };
    let bridge =
        if opening.dynamic { bridge_mode(patient, balancer, &closed)? } else { String::new() };
    let not_ecs = if patient.is_express() && closed.iter().all(|group| !group.ecs_managed) {
        "None of them is the one that Express Mode creates and keeps open to its load balancer."
    } else {
        ""
    };
    let without_groups = if task_access::has_groups(balancer) {
        ""
    } else {
        "The Network Load Balancer has no security group that a rule could name: it connects from the addresses of its subnets."
    };
    let mended = ids[0];
    let first = opening.ports.first().copied().unwrap_or_default();
    Ok(Subject::new(Kind::SecurityGroup, mended)
        .sick(claim, reach::what_it_admits(closed[0], first))
        .detail(without_groups)
        .detail(others)
        .detail(bridge)
        .detail(not_ecs)
        .because_all(closed.iter().skip(1).map(|group| reach::what_it_admits(group, first)))
        .because_all(opening.evidence(patient)?)
        .because_all(task_access::groups_of(balancer))
        .because_all(opening.failed.iter().map(|failed| failed.evidence.clone()))
        .mend(remedy(patient, balancer, opening, mended)?)
        .concerns(Kind::TargetGroup, arn)
        .concerns_all(Kind::TargetGroup, traffic::pair(patient, arn)?))
}

fn remedy(
    patient: &Patient,
    balancer: &LoadBalancer,
    opening: &TaskPorts,
    mended: &str,
) -> Result<Remedy, Blind> {
    let needs = opening.needs();
    let docker = if opening.dynamic {
        ", from which Docker chooses; or map a fixed hostPort and open that"
    } else {
        ""
    };
    if let Some(source) = balancer.security_groups.first() {
        let summary =
            format!("Allow the load balancer's security group on {}{docker}.", needs.words());
        return Ok(reach::let_in(Remedy::new(summary), "balancer", mended, source, needs));
    }
    let summary = format!(
        "Allow the load balancer's subnets on {}{docker}; and its clients, where the target group preserves their addresses.",
        needs.words()
    );
    let mut blocks = BTreeSet::new();
    for subnet in &balancer.subnets {
        match reach::subnet_block(patient, subnet) {
            Ok(block) => blocks.extend(block),
            Err(Blind { why: Why::NotAsked, .. }) => {}
            Err(blind) => return Err(blind),
        }
    }
    Ok(reach::let_blocks_in(Remedy::new(summary), mended, &blocks, needs))
}

/// How many ports bridge mode needs, and which of them are open.
fn bridge_mode(
    patient: &Patient,
    balancer: &LoadBalancer,
    closed: &[&SecurityGroup],
) -> Result<String, Blind> {
    let open = reach::open_to(patient, balancer, closed)?;
    let bridge = format!(
        "in bridge mode each task gets a different host port, from {} up.",
        EPHEMERAL.start()
    );
    Ok(if open.is_empty() {
        capitalised(&bridge)
    } else {
        let open = and_list(open.iter().map(|ports| ports.words()));
        format!("They allow it on {open} only; {bridge}")
    })
}

/// Other security groups that are allowed on the port: often the one that the load balancer had
/// before.
fn admitted<'a>(
    closed: &[&'a SecurityGroup],
    balancer: &LoadBalancer,
    opening: &TaskPorts,
) -> Vec<&'a str> {
    let own: Vec<&str> = closed.iter().map(|group| group.group_id.as_str()).collect();
    let covers = |permission: &&IpPermission| {
        opening.ports.iter().any(|port| reach::covers_tcp(permission, *port))
    };
    let permissions = closed.iter().flat_map(|group| &group.ip_permissions).filter(covers);
    let mut admitted: Vec<&str> =
        permissions.flat_map(|permission| &permission.group_id).map(String::as_str).collect();
    admitted.retain(|id| {
        !own.contains(id) && !balancer.security_groups.iter().any(|group| group == id)
    });
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::{INSTANCES, dynamic_ports};
    use crate::baseline::{self, everywhere, from_group, id, minutes_ago, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::Seen;
    use crate::snapshot::{IpPermission, ServiceEvent, Snapshot, Target};
    use crate::testing::{exam, says};

    fn admit(snapshot: &mut Snapshot, permission: IpPermission) {
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions = vec![permission];
    }

    fn with_targets(snapshot: &mut Snapshot, targets: Vec<Target>) {
        snapshot.target_health.put(id::group("api"), targets);
    }

    fn block(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(8080)) }
    }

    #[test]
    fn names_the_groups_the_port_and_the_stale_reference() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of the tasks' security groups (sg-task) allows load balancer web (sg-balancer) on port 8080, so the health check of target group api times out. They allow sg-old-balancer, which the load balancer does not have."
            ]
        );
    }

    #[test]
    fn the_balancer_is_admitted_by_its_subnets_or_by_the_world_too() {
        for cidr in ["10.0.3.0/24", "10.0.0.0/16", "0.0.0.0/0"] {
            let mut snapshot = (CHECK.example)();
            admit(&mut snapshot, block(cidr));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{cidr}");
        }
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, block("192.168.0.0/16"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick);
    }

    #[test]
    fn the_balancer_may_come_by_ipv6() {
        let mut snapshot = (CHECK.example)();
        for (subnet, block) in
            [("subnet-0c3", "2001:db8:0:3::/64"), ("subnet-0d4", "2001:db8:0:4::/64")]
        {
            snapshot.subnets.change(subnet).unwrap().ipv6_cidr_block = vec![block.into()];
        }
        admit(
            &mut snapshot,
            IpPermission {
                cidr_ip: Vec::new(),
                cidr_ipv6: vec!["2001:db8::/56".into()],
                ..block("")
            },
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_prefix_list_or_single_addresses_may_be_the_balancer() {
        let prefix_list = IpPermission {
            cidr_ip: Vec::new(),
            prefix_list_id: vec!["pl-0123".into()],
            ..block("")
        };
        for permission in [prefix_list, block("10.0.3.17/32")] {
            let mut snapshot = (CHECK.example)();
            admit(&mut snapshot, permission);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn a_prefix_list_admits_whom_it_has() {
        let mut snapshot = (CHECK.example)();
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["10.0.3.0/24".into()]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.prefix_lists.insert("pl-0ff1ce", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn rules_of_all_groups_add_up() {
        let mut snapshot = (CHECK.example)();
        for interface in ["eni-1", "eni-2"] {
            snapshot.interfaces.change(interface).unwrap().groups.push("sg-shared".into());
        }
        let shared = SecurityGroup {
            group_id: "sg-shared".into(),
            ip_permissions: vec![from_group(8080, "sg-balancer")],
            ..SecurityGroup::default()
        };
        snapshot.security_groups.put("sg-shared", shared);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.security_groups.insert("sg-shared", Seen::No(Why::Denied("no".into())));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "an unseen group may be the one that admits"
        );
        snapshot.security_groups.insert("sg-shared", Seen::Yes(None));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "so may one that is not shown to us"
        );
    }

    #[test]
    fn the_interface_has_the_word_and_not_the_configuration() {
        let mut snapshot = baseline::fargate();
        snapshot
            .security_groups
            .put("sg-new", SecurityGroup { group_id: "sg-new".into(), ..SecurityGroup::default() });
        snapshot.services[0].deployments[0]
            .network_configuration
            .as_mut()
            .unwrap()
            .security_groups = vec!["sg-new".into()];
        with_targets(
            &mut snapshot,
            vec![unhealthy("10.0.1.21", 8080, "Target.Timeout", "Request timed out")],
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.interfaces.insert("eni-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        snapshot.interfaces.insert("eni-1", Seen::Yes(None));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Sick,
            "an interface that is gone tells nothing, the configuration does"
        );
    }

    #[test]
    fn a_health_check_that_gets_through_proves_the_way_open() {
        let proofs = [
            target("10.0.1.21", 8080, "eu-west-2a", "healthy"),
            unhealthy(
                "10.0.1.21",
                8080,
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [404]",
            ),
            unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", "Health checks failed"),
        ];
        for proof in proofs {
            let mut snapshot = (CHECK.example)();
            with_targets(
                &mut snapshot,
                vec![proof, unhealthy("10.0.2.22", 8080, "Target.Timeout", "Request timed out")],
            );
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn without_a_result_yet_it_says_what_will_happen() {
        let mut snapshot = (CHECK.example)();
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "initial")]);
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("so the health check of target group api cannot get through.")
        );
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(1));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "the rule of a service this young may be on its way"
        );
    }

    #[test]
    fn tasks_that_run_and_are_not_registered_are_behind_the_group_too() {
        let mut snapshot = (CHECK.example)();
        with_targets(&mut snapshot, Vec::new());
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 1);
        let service = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.put(&service, Vec::new());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "nothing runs, nothing is blocked"
        );
    }

    #[test]
    fn in_a_kill_loop_the_event_is_the_evidence() {
        let mut snapshot = (CHECK.example)();
        let (service, group) = (snapshot.services[0].service_arn.clone(), id::group("api"));
        with_targets(&mut snapshot, Vec::new());
        let mut stopped = snapshot.running_tasks.change(&service).unwrap().split_off(1);
        stopped[0].stopped_reason =
            Some(format!("Task failed ELB health checks in (target-group {group})"));
        stopped[0].stopped_at = Some(minutes_ago(2));
        snapshot.running_tasks.put(&service, Vec::new());
        snapshot.stopped_tasks.put(&service, stopped);
        let message = format!(
            "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason Request timed out)."
        );
        snapshot.services[0].events.insert(
            0,
            ServiceEvent {
                id: "1".into(),
                created_at: Some(minutes_ago(3)),
                message: message.clone(),
            },
        );
        let exam = exam(CHECK, &snapshot);
        assert!(
            exam.findings[0].evidence.iter().any(|evidence| evidence.value == message),
            "{exam:?}"
        );
    }

    #[test]
    fn the_health_checks_own_port_has_to_be_open_too() {
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, from_group(8080, "sg-balancer"));
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("on port 9000, so the health check of target group api times out"),
            "{found:?}"
        );
    }

    #[test]
    fn a_health_check_on_another_port_says_nothing_about_the_requests() {
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, from_group(9000, "sg-balancer"));
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("on port 8080, so requests to target group api cannot get through"),
            "{found:?}"
        );
    }

    #[test]
    fn express_opens_only_the_group_it_makes() {
        let mut snapshot = baseline::express();
        let [live, _] = baseline::express_groups();
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions.clear();
        snapshot
            .target_health
            .put(&live, vec![unhealthy("10.0.1.21", 8080, "Target.Timeout", "Request timed out")]);
        assert!(says(CHECK, &snapshot)[0].ends_with(
            "None of them is the one that Express Mode creates and keeps open to its load balancer."
        ));
        snapshot.security_groups.change("sg-task").unwrap().ecs_managed = true;
        assert!(says(CHECK, &snapshot)[0].ends_with("times out."));
    }

    fn balancer(snapshot: &mut Snapshot) -> &mut LoadBalancer {
        let arn = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.change(&arn).unwrap()
    }

    #[test]
    fn an_application_balancer_without_security_groups_is_left_out() {
        let mut snapshot = (CHECK.example)();
        balancer(&mut snapshot).security_groups.clear();
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_network_balancer_without_security_groups_comes_by_its_subnets() {
        let mut snapshot = (CHECK.example)();
        behind_network_balancer(&mut snapshot);
        balancer(&mut snapshot).security_groups.clear();
        let found = exam(CHECK, &snapshot).findings.remove(0);
        assert_eq!(
            found.says(),
            "No rule of the tasks' security groups (sg-task) allows load balancer web on port 8080, so the health check of target group api fails. The Network Load Balancer has no security group that a rule could name: it connects from the addresses of its subnets. They allow sg-old-balancer, which the load balancer does not have."
        );
        let shell = found.remedy.shell();
        assert!(
            shell[0].contains("--group-id sg-task --protocol tcp --port 8080 --cidr 10.0."),
            "{shell:?}"
        );
        admit(&mut snapshot, block("10.0.0.0/16"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_any_rule_for_the_port_it_does_not_matter_who_comes_or_how_young_the_service_is() {
        let mut snapshot = (CHECK.example)();
        behind_network_balancer(&mut snapshot);
        balancer(&mut snapshot).security_groups.clear();
        balancer(&mut snapshot).subnets = vec!["subnet-nobody-knows".into()];
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(1));
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "initial")]);
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 0, "one rule may be for its addresses");
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions.clear();
        let found = exam(CHECK, &snapshot).findings.remove(0);
        assert!(found.claim.contains("cannot get through"), "{found:?}");
        assert!(found.remedy.shell()[0].ends_with("--cidr \"$BALANCER_SUBNET_CIDR\""), "{found:?}");
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "what passes, passes");
    }

    #[test]
    fn no_client_gets_to_a_port_without_a_rule_behind_a_network_balancer() {
        let mut snapshot = (CHECK.example)();
        behind_network_balancer(&mut snapshot);
        balancer(&mut snapshot).security_groups.clear();
        admit(
            &mut snapshot,
            IpPermission { from_port: Some(9000), to_port: Some(9000), ..block("10.0.0.0/16") },
        );
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("on port 8080, so requests to target group api cannot get through")
        );
        admit(
            &mut snapshot,
            IpPermission { from_port: Some(8080), to_port: Some(9000), ..block("203.0.113.0/24") },
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "of 8080 its clients decide");
    }

    /// Puts a network load balancer before the tasks, which does not say how health checks fail.
    fn behind_network_balancer(snapshot: &mut Snapshot) {
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .load_balancer_type = Some("network".into());
        let group = snapshot.target_groups.change(&id::group("api")).unwrap();
        (group.protocol, group.health_check_protocol) = (Some("TCP".into()), Some("TCP".into()));
        let failed =
            |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        with_targets(snapshot, vec![failed("10.0.1.21"), failed("10.0.2.22")]);
    }

    #[test]
    fn a_network_balancer_says_failed_where_others_say_timeout() {
        let mut snapshot = (CHECK.example)();
        behind_network_balancer(&mut snapshot);
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("on port 8080, so the health check of target group api fails.")
        );
        snapshot.target_health.change(&id::group("api")).unwrap()[0].state = "healthy".into();
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "one that passes proves the way open"
        );
    }

    #[test]
    fn a_network_balancer_may_hand_on_its_clients_addresses() {
        let mut snapshot = (CHECK.example)();
        behind_network_balancer(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).findings.len(), 1, "its health checks come from itself");
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions =
            vec![from_group(9000, "sg-balancer"), block("203.0.113.0/24")];
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        with_targets(&mut snapshot, vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "whom the tasks admit on port 8080 is a matter of the clients"
        );
    }

    // Instances as targets.

    fn slow(instance: &str, port: i32) -> Target {
        unhealthy(instance, port, "Target.Timeout", "Request timed out")
    }

    /// Two tasks in bridge mode on two instances, whose group has this rule.
    fn bridged(permission: IpPermission) -> Snapshot {
        let mut snapshot = baseline::ec2();
        snapshot
            .target_health
            .put(id::group("web"), vec![slow(INSTANCES[0], 32768), slow(INSTANCES[1], 32769)]);
        snapshot.security_groups.change("sg-instance").unwrap().ip_permissions = vec![permission];
        snapshot
    }

    fn mapping(snapshot: &mut Snapshot) -> &mut crate::snapshot::TaskDefinition {
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        snapshot.task_definitions.change(&definition).unwrap()
    }

    #[test]
    fn an_instance_opens_the_ports_that_docker_chooses() {
        let snapshot = bridged(from_group(80, "sg-balancer"));
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "No rule of the instances' security groups (sg-instance) allows load balancer web (sg-balancer) on ports 32768 and 32769, so the health check of target group web times out. They allow it on port 80 only; in bridge mode each task gets a different host port, from 32768 up."
            ]
        );
        let exam = exam(CHECK, &snapshot);
        assert!(exam.findings[0].remedy.shell()[0].contains(
            "--group-id sg-instance --protocol tcp --port 32768-65535 --source-group sg-balancer"
        ));
        assert!(
            exam.findings[0]
                .evidence
                .iter()
                .any(|evidence| evidence.of.to_string() == "eni-i1"
                    && evidence.value == "sg-instance"),
            "{exam:?}"
        );
        assert_eq!(
            exam.findings[0]
                .remedy
                .terraform
                .as_ref()
                .map(|code| code.contains("to_port                      = 65535")),
            Some(true)
        );
    }

    #[test]
    fn a_group_that_opens_the_dynamic_ports_is_open() {
        let all = IpPermission {
            ip_protocol: "-1".into(),
            from_port: None,
            to_port: None,
            ..from_group(0, "sg-balancer")
        };
        let by_subnets =
            IpPermission { from_port: Some(1024), to_port: Some(65535), ..block("10.0.0.0/16") };
        for permission in [dynamic_ports(), all, by_subnets] {
            assert_eq!(exam(CHECK, &bridged(permission)).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn a_range_that_misses_some_ports_is_told_for_those() {
        let snapshot = bridged(IpPermission {
            from_port: Some(32769),
            to_port: Some(61000),
            ..from_group(0, "sg-balancer")
        });
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("on port 32768, so")
                && found[0].contains("They allow it on ports 32769 to 61000 only"),
            "{found:?}"
        );
    }

    #[test]
    fn several_groups_of_an_instance_add_up() {
        let mut snapshot = bridged(from_group(80, "sg-balancer"));
        for instance in INSTANCES {
            snapshot.instance_interfaces.change(instance).unwrap().groups.push("sg-more".into());
        }
        let more = SecurityGroup {
            group_id: "sg-more".into(),
            ip_permissions: vec![dynamic_ports()],
            ..SecurityGroup::default()
        };
        snapshot.security_groups.put("sg-more", more);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.security_groups.insert("sg-more", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_instance_that_is_gone_or_unseen_tells_nothing() {
        let mut snapshot = bridged(from_group(80, "sg-balancer"));
        INSTANCES
            .iter()
            .for_each(|instance| snapshot.instance_interfaces.insert(*instance, Seen::Yes(None)));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        INSTANCES.iter().for_each(|instance| {
            snapshot.instance_interfaces.insert(*instance, Seen::No(Why::Denied("no".into())))
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn of_very_many_instances_the_healthy_ones_need_not_be_seen() {
        let mut snapshot = bridged(from_group(80, "sg-balancer"));
        snapshot.target_health.change(&id::group("web")).unwrap()[1].state = "healthy".into();
        snapshot.instance_interfaces.0.remove(INSTANCES[1]);
        assert!(says(CHECK, &snapshot)[0].contains("on port 32768,"));
    }

    #[test]
    fn an_instance_registered_by_an_auto_scaling_group_is_none_of_the_tasks() {
        let mut snapshot = bridged(dynamic_ports());
        snapshot.target_health.put(id::group("web"), vec![slow(INSTANCES[0], 3000)]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "nobody listens on the group's own port, whatever is open"
        );
    }

    #[test]
    fn a_fixed_port_of_the_host_is_opened_alone() {
        for mode in ["bridge", "host"] {
            let mut snapshot = bridged(from_group(80, "sg-balancer"));
            snapshot.target_health.put(id::group("web"), vec![slow(INSTANCES[0], 40080)]);
            let definition = mapping(&mut snapshot);
            definition.network_mode = Some(mode.into());
            let mapping = &mut definition.container_definitions[0].port_mappings[0];
            *(if mode == "host" { &mut mapping.container_port } else { &mut mapping.host_port }) =
                Some(40080);
            let found = exam(CHECK, &snapshot).findings;
            assert!(
                found[0]
                    .says()
                    .ends_with("on port 40080, so the health check of target group web times out."),
                "{found:?}"
            );
            assert!(found[0].remedy.shell()[0].contains("--port 40080 "), "{found:?}");
        }
    }

    #[test]
    fn an_instance_that_answers_proves_its_port_open() {
        let mut snapshot = bridged(from_group(80, "sg-balancer"));
        let refused = |instance, port| {
            unhealthy(instance, port, "Target.FailedHealthChecks", "Health checks failed")
        };
        snapshot.target_health.put(
            id::group("web"),
            vec![
                refused(INSTANCES[0], 32768),
                target(INSTANCES[1], 32769, "eu-west-2b", "healthy"),
            ],
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
