//! A network ACL drops the traffic between load balancer and tasks, or between tasks and what they
//! need to start, in one direction or the other. ACLs are stateless: answers go to high ports,
//! which have to be allowed, too.

use std::collections::BTreeSet;

use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::health_check::Failure;
use crate::facts::inbound::task_access::{self, Shut};
use crate::facts::inbound::traffic;
use crate::facts::network::egress_path::{self, EgressPath};
use crate::facts::network::network_acl::{self, Dropped};
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::hcl;
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, TargetGroup};
use crate::text::and_list;

crate::check! {
    /// A network ACL drops traffic from the tasks or to them.
    ///
    /// # Why it matters
    ///
    /// Traffic that an ACL drops times out, without any error. Often it is one Availability Zone:
    /// its subnets have an ACL of their own, which allows the requests and forgets the answers,
    /// which go to ports from 1024 up.
    ///
    /// # How we tell
    ///
    /// Health checks of a subnet's targets (tasks, or the instances that they run on) time out, or
    /// fail at a Network Load Balancer, which does not say how; or tasks of a subnet stopped with a
    /// timeout error while they fetched their image or secrets or set up their log group. Then the
    /// ACLs on the path are evaluated in the order of their rules, outbound and inbound: those of
    /// the load balancer's subnets and of the tasks' subnet for the health check port and for the
    /// answers to 1024 to 65535; or that of the tasks' subnet, and of its NAT gateway's, for port
    /// 443 and for the ephemeral ports of Linux. Something is claimed only where all of it is
    /// dropped; where it depends on addresses or ports, nothing. A health check that gets an answer
    /// from the same subnet proves that the path is open. Where only some of the load balancer's
    /// subnets are cut off, it is only likely.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-network-acl-entry --network-acl-id <acl> --egress --rule-number 90 --protocol tcp --port-range From=1024,To=65535 --cidr-block <block> --rule-action allow
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_network_acl_rule`.
    ///
    /// # See also
    ///
    /// `health_check_times_out`, `no_route_out`, `task_security_group_blocks_balancer`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html>
    title: "A network ACL blocks the traffic",
    severity: High,
    role: Cause,
    explains: [
        TargetsUnhealthy, RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable, ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, DescribeLoadBalancers, DescribeTasks, DescribeTaskDefinition, DescribeNetworkInterfaces, DescribeSubnets, DescribeRouteTables, DescribeNetworkAcls, DescribeVpcEndpoints, DescribeNatGateways, DescribeSecurityGroups, GetLogEvents, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, target, unhealthy};
        use crate::snapshot::{AclEntry, NetworkAcl};
        let fine = target("10.0.1.21", 8080, "eu-west-2a", "healthy");
        snapshot.target_health.put(id::group("api"), vec![fine, unhealthy("10.0.2.22", 8080, "Target.Timeout", "Request timed out")]);
        let entry = |egress, from, to| AclEntry {
            rule_number: 100,
            egress,
            protocol: "6".into(),
            rule_action: "allow".into(),
            cidr_block: Some("0.0.0.0/0".into()),
            from: Some(from),
            to: Some(to),
            ..AclEntry::default()
        };
        if let Some(acls) = snapshot.network_acls.change("vpc-1") {
            acls[0].subnet_id.retain(|id| id != "subnet-0b2");
            let entries = vec![entry(false, 1, 65535), entry(true, 443, 443)];
            acls.push(NetworkAcl { network_acl_id: "acl-2".into(), is_default: false, subnet_id: vec!["subnet-0b2".into()], entries });
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        if !matches!(settings.target_type.as_deref(), Some("ip" | "instance")) {
            continue;
        }
        let balancers = findings.see(traffic::balancers_of(patient, settings));
        for arn in balancers.into_iter().flatten() {
            let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else {
                continue;
            };
            for shut in by_acl(
                findings
                    .see(task_access::shut_by_acls(patient, settings, balancer))
                    .unwrap_or_default(),
            ) {
                findings.add(of_targets(patient, settings, balancer, &shut)?);
            }
        }
    }
    let paths = egress_path::failed(patient, findings);
    let mut dropped = Vec::new();
    for path in &paths {
        if let Some(found) = findings.see(path.dropped(patient)).flatten() {
            dropped.push((
                path,
                format!("{} {}", found.acl.network_acl_id, path.destination()),
                found,
            ));
        }
    }
    for (paths, dropped) in egress_path::together(dropped) {
        findings.add(of_tasks(patient, &paths, &dropped));
    }
    Ok(())
}

/// Subnets that the same ACL closes, together.
fn by_acl(shut: Vec<Shut>) -> Vec<Vec<Shut>> {
    let mut by_acl: Vec<Vec<Shut>> = Vec::new();
    for shut in shut {
        match by_acl.iter_mut().find(|others| {
            others[0].dropped[0].acl.network_acl_id == shut.dropped[0].acl.network_acl_id
        }) {
            Some(others) => others.push(shut),
            None => by_acl.push(vec![shut]),
        }
    }
    by_acl
}

fn of_targets(
    patient: &Patient,
    group: &TargetGroup,
    balancer: &LoadBalancer,
    shut: &[Shut],
) -> Result<Finding, Blind> {
    // What is dropped in another way, or elsewhere, shows once this is fixed.
    let dropped: Vec<Dropped> = shut[0]
        .dropped
        .iter()
        .filter(|dropped| dropped.is_alike(&shut[0].dropped[0]))
        .cloned()
        .collect();
    let subnets = and_list(shut.iter().map(|shut| shut.subnet));
    let (cut_off, all) = shut[0].cut_off;
    let fail = if shut[0].failed.failure == Failure::TimedOut { "time out" } else { "fail" };
    let outcome = if cut_off == all {
        format!(
            "so the health checks of target group {} {fail} in {subnets}",
            traffic::group_name(&group.target_group_arn)
        )
    } else {
        format!(
            "which cuts {subnets} off from {cut_off} of the {all} subnets of load balancer {}; likely why health checks {fail} there",
            balancer.load_balancer_name
        )
    };
    let claim = format!("{}, {outcome}", claim(&dropped));
    Ok(Subject::new(Kind::NetworkAcl, &dropped[0].acl.network_acl_id)
        .sick(claim, shut[0].failed.evidence.clone())
        .because_all(dropped[0].evidence())
        .mend(remedy(&dropped))
        .concerns_all(Kind::Subnet, shut.iter().map(|shut| shut.subnet))
        .concerns(Kind::TargetGroup, &group.target_group_arn)
        .concerns_all(Kind::TargetGroup, traffic::pair(patient, &group.target_group_arn)?))
}

fn of_tasks(patient: &Patient, paths: &[&EgressPath], dropped: &Dropped) -> Finding {
    let alike = std::slice::from_ref(dropped);
    let claim = format!(
        "{}, so the tasks of {} cannot get {}",
        claim(alike),
        egress_path::subnet_words(paths),
        paths[0].destination()
    );
    egress_path::finding(
        patient,
        Subject::new(Kind::NetworkAcl, &dropped.acl.network_acl_id),
        paths,
        &claim,
    )
    .because_all(dropped.evidence())
    .mend(remedy(alike))
}

fn claim(dropped: &[Dropped]) -> String {
    format!(
        "network ACL {} of subnet {} {}",
        dropped[0].acl.network_acl_id,
        dropped[0].crossing.subnet,
        network_acl::words(dropped)
    )
}

fn remedy(alike: &[Dropped]) -> Remedy {
    let acl = alike[0].acl;
    let mut summary = "Allow it with a rule before the one that denies it, and check that the other direction is allowed, too.".to_owned();
    let mut taken: BTreeSet<(bool, i32)> =
        acl.entries.iter().map(|entry| (entry.egress, entry.rule_number)).collect();
    let (mut commands, mut code) = (Vec::new(), Vec::new());
    for (nth, dropped) in alike.iter().enumerate() {
        let number = dropped.free_number(nth);
        // AWS refuses a second rule with the same number.
        if taken.insert((dropped.crossing.egress, number)) {
            commands.push(dropped.allow(number));
            code.push(in_terraform(dropped, number, nth));
        }
    }
    if let Some(entry) = alike[0].entry.filter(|_| commands.len() < alike.len()) {
        summary.push_str(&format!(
            " There are too few free rule numbers before rule {}: give that rule a higher number first.",
            entry.rule_number
        ));
    }
    let remedy = commands.into_iter().fold(Remedy::new(summary), Remedy::cli);
    if code.is_empty() { remedy } else { remedy.terraform(Hcl::blocks(code)) }
}

fn in_terraform(Dropped { acl, crossing, .. }: &Dropped, number: i32, nth: usize) -> Hcl {
    let name = if nth == 0 { "allow".to_owned() } else { format!("allow_{}", nth + 1) };
    let peer = crossing.peer.to_string();
    let block = if crossing.peer.is_v6() {
        hcl!("ipv6_cidr_block = {}", peer)
    } else {
        hcl!("cidr_block     = {}", peer)
    };
    hcl!(
        r#"
        resource "aws_network_acl_rule" {} {
          network_acl_id = {}
          egress         = {}
          rule_number    = {}
          protocol       = "tcp"
          rule_action    = "allow"
          {}
          from_port      = {}
          to_port        = {}
        }"#,
        name,
        acl.network_acl_id,
        crossing.egress,
        number,
        block,
        crossing.ports.start(),
        crossing.ports.end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::{self, id, minutes_ago, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{AclEntry, NetworkAcl, ServiceEvent, Snapshot};
    use crate::testing::{exam, says};

    fn entries(snapshot: &mut Snapshot) -> &mut Vec<AclEntry> {
        &mut snapshot.network_acls.change("vpc-1").unwrap()[1].entries
    }

    #[test]
    fn names_acl_subnet_direction_and_ports() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Network ACL acl-2 of subnet subnet-0b2 blocks outbound traffic to 10.0.3.0/24 and 10.0.4.0/24 on ports 1024 to 65535: no rule of it allows this, so the health checks of target group api time out in subnet-0b2."
            ]
        );
    }

    #[test]
    fn the_first_rule_that_matches_has_the_word() {
        let mut snapshot = (CHECK.example)();
        let deny = |number| AclEntry {
            rule_number: number,
            rule_action: "deny".into(),
            protocol: "-1".into(),
            from: None,
            to: None,
            ..entries(&mut (CHECK.example)())[0].clone()
        };
        entries(&mut snapshot)[1].to = Some(65535);
        entries(&mut snapshot).push(deny(110));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        entries(&mut snapshot).push(deny(90));
        assert!(says(CHECK, &snapshot)[0].contains(
            "blocks inbound traffic from 10.0.3.0/24 and 10.0.4.0/24 on port 8080: its rule 90 denies it"
        ));
    }

    #[test]
    fn a_part_of_the_ports_or_addresses_is_no_proof() {
        let mut snapshot = (CHECK.example)();
        (entries(&mut snapshot)[1].from, entries(&mut snapshot)[1].to) = (Some(32768), Some(65535));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_answer_from_the_subnet_proves_the_way_open() {
        let mut snapshot = (CHECK.example)();
        let answers = unhealthy(
            "10.0.2.22",
            8080,
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        );
        snapshot.target_health.put(id::group("api"), vec![answers]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.2.22", 8080, "eu-west-2b", "healthy")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_network_balancer_says_only_that_health_checks_fail() {
        let mut snapshot = (CHECK.example)();
        snapshot.target_groups.change(&id::group("api")).unwrap().protocol = Some("TCP".into());
        let failed =
            unhealthy("10.0.2.22", 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.change(&id::group("api")).unwrap()[1] = failed;
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("so the health checks of target group api fail in subnet-0b2."),
            "{:?}",
            says(CHECK, &snapshot)
        );
        snapshot.target_groups.change(&id::group("api")).unwrap().protocol = Some("HTTP".into());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "a refusal comes back from the task"
        );
    }

    #[test]
    fn the_default_acl_drops_nothing() {
        let mut snapshot = (CHECK.example)();
        snapshot.network_acls = baseline::fargate().network_acls;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.network_acls.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_acl_of_the_balancers_subnet_counts_and_if_it_is_one_of_two_it_is_likely() {
        let mut snapshot = (CHECK.example)();
        let acls = snapshot.network_acls.change("vpc-1").unwrap();
        acls[0].subnet_id.retain(|id| id != "subnet-0c3");
        acls[0].subnet_id.push("subnet-0b2".into());
        acls[1] = NetworkAcl { subnet_id: vec!["subnet-0c3".into()], ..acls[1].clone() };
        let found = says(CHECK, &snapshot);
        assert!(
            found[0]
                .contains("of subnet subnet-0c3 blocks outbound traffic to 10.0.2.22 on port 8080")
                && found[0].contains("1 of the 2 subnets of load balancer web; likely"),
            "{found:?}"
        );
    }

    #[test]
    fn between_two_tasks_of_a_kill_loop_the_replaced_one_tells_the_subnet() {
        let mut snapshot = (CHECK.example)();
        let group = id::group("api");
        baseline::stop_tasks(&mut snapshot, 1, |task| {
            task.stopped_reason =
                Some(format!("Task failed ELB health checks in (target-group {group})"));
            task.subnet_id = Some("subnet-0b2".into());
        });
        snapshot.target_health.put(&group, Vec::new());
        let message = format!(
            "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason Request timed out)."
        );
        snapshot.services[0]
            .events
            .insert(0, ServiceEvent { id: "1".into(), created_at: Some(minutes_ago(3)), message });
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn an_instance_is_reached_in_its_own_subnet_on_the_ports_that_docker_chooses() {
        let with = |from, to| {
            let mut snapshot = baseline::ec2();
            let slow = unhealthy(INSTANCES[1], 32769, "Target.Timeout", "Request timed out");
            snapshot.target_health.put(
                id::group("web"),
                vec![target(INSTANCES[0], 32768, "eu-west-2a", "healthy"), slow],
            );
            snapshot.network_acls = (CHECK.example)().network_acls;
            let entries = entries(&mut snapshot);
            (entries[0].from, entries[0].to) = (Some(from), Some(to));
            (entries[1].from, entries[1].to) = (Some(1024), Some(65535));
            snapshot
        };
        let found = says(CHECK, &with(80, 443));
        assert!(
            found[0].contains("of subnet subnet-0b2 blocks inbound traffic from 10.0.3.0/24 and 10.0.4.0/24 on ports 32768 to 65535: no rule of it allows"),
            "{found:?}"
        );
        assert_eq!(exam(CHECK, &with(32768, 61000)).outcome, Outcome::Healthy);
        assert!(
            says(CHECK, &with(49153, 65535))[0].contains("on port 32769: no rule"),
            "some of Docker's ports are open, this one is not"
        );
        let mut gone = with(80, 443);
        gone.instance_interfaces.insert(INSTANCES[1], Seen::Yes(None));
        assert_eq!(exam(CHECK, &gone).outcome, Outcome::Healthy);
        gone.instance_interfaces.insert(INSTANCES[1], Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &gone).outcome, Outcome::CouldNotLook);
    }

    /// Tasks that could not reach ECR, in a subnet whose ACL lets out these ports.
    fn stranded(out: (i32, i32), back: (i32, i32)) -> Snapshot {
        let mut snapshot = baseline::worker();
        let example = (CHECK.example)();
        baseline::fail_to_start(
            &mut snapshot,
            2,
            "ResourceInitializationError: unable to pull secrets or registry auth: RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
        snapshot.network_acls = example.network_acls;
        let acls = snapshot.network_acls.change("vpc-1").unwrap();
        acls[0].subnet_id.retain(|id| id != "subnet-0a1");
        acls[1].subnet_id = vec!["subnet-0a1".into()];
        (acls[1].entries[1].from, acls[1].entries[1].to) = (Some(out.0), Some(out.1));
        (acls[1].entries[0].from, acls[1].entries[0].to) = (Some(back.0), Some(back.1));
        snapshot
    }

    #[test]
    fn tasks_that_start_need_the_answers_let_back_in() {
        let found = says(CHECK, &stranded((443, 443), (443, 443)));
        assert!(
            found[0].starts_with("Network ACL acl-2 of subnet subnet-0a1 blocks inbound traffic from 52.94.53.1 on ports 32768 to 60999: no rule of it allows this, so the tasks of subnet subnet-0a1 cannot get to 52.94.53.1, which did not answer."),
            "{found:?}"
        );
        assert!(says(CHECK, &stranded((443, 443), (1024, 65535))).is_empty());
        assert!(
            says(CHECK, &stranded((80, 80), (1024, 65535)))[0]
                .contains("blocks outbound traffic to 52.94.53.1 on port 443")
        );
    }

    #[test]
    fn terraform_has_every_rule_that_the_commands_add() {
        let remedy = exam(CHECK, &(CHECK.example)()).findings.remove(0).remedy;
        let commands = remedy.shell();
        let code = remedy.terraform.unwrap();
        assert_eq!(
            (commands.len(), code.as_str().matches("resource \"aws_network_acl_rule\"").count()),
            (2, 2),
            "{code}"
        );
        assert!(
            code.contains("cidr_block     = \"10.0.3.0/24\"")
                && code.contains("cidr_block     = \"10.0.4.0/24\""),
            "{code}"
        );
    }

    #[test]
    fn a_number_that_is_taken_is_not_given_again() {
        let at = |number: i32| {
            let mut snapshot = (CHECK.example)();
            let first = entries(&mut snapshot)[0].clone();
            let deny = AclEntry {
                rule_number: number,
                rule_action: "deny".into(),
                protocol: "-1".into(),
                from: None,
                to: None,
                ..first
            };
            entries(&mut snapshot).push(deny);
            exam(CHECK, &snapshot).findings.remove(0).remedy
        };
        let none = at(1);
        assert!(none.commands.is_empty() && none.terraform.is_none(), "{none:?}");
        assert!(
            none.summary.ends_with("before rule 1: give that rule a higher number first."),
            "{}",
            none.summary
        );
        let one = at(2);
        assert!(
            matches!(one.shell().as_slice(), [only] if only.contains("--rule-number 1 ")),
            "{one:?}"
        );
        assert_eq!(at(3).commands.len(), 2);
    }

    #[test]
    fn an_ipv6_peer_has_an_argument_of_its_own() {
        let mut snapshot = stranded((80, 80), (1024, 65535));
        let arn = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&arn).unwrap() {
            task.stopped_reason = task
                .stopped_reason
                .as_ref()
                .map(|reason| reason.replace("52.94.53.1:443", "[2600:1f18::1]:443"));
        }
        let code = exam(CHECK, &snapshot).findings.remove(0).remedy.terraform.unwrap();
        assert!(code.contains("  ipv6_cidr_block = \"2600:1f18::1/128\""), "{code}");
    }
}
