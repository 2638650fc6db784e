//! The balancer's security groups let nobody in where it listens, or not those whom the user expects. Rules add up and only
//! allow, so this is arithmetic; who should come in, only the user knows.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::address::Cidr;
use crate::reading::ingress::{self, Door};
use crate::reading::{and_list, reach};

crate::check! {
    /// No rule of the balancer's security groups lets a client in on a port that it listens on.
    ///
    /// # Why it matters
    ///
    /// Clients get no answer at all: no status code, just a timeout. Targets are healthy and every console is green.
    ///
    /// # How we tell
    ///
    /// All inbound rules of the balancer's security groups together cover none of the ports of its listeners, from nobody:
    /// no block, no group and no prefix list. Or, with `--expect-ingress`, they admit no address of a block that should
    /// reach it, while no prefix list or group might do so. A port 80 that is closed beside an open 443 is nothing. Network
    /// load balancers are left out, because traffic can get to them past their security groups.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <balancer's group> --protocol tcp --port 443 --cidr <block>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_ingress_rule` of the balancer's group.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `balancer_internal`, `balancer_in_private_subnet`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The balancer's security groups let no client in",
    severity: Critical,
    role: Cause,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeSecurityGroups,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::everywhere;
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(8443))]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let doors = ingress::doors(patient, findings)?;
    let application = |door: &&Door| door.balancer.load_balancer_type.as_deref() == Some("application");
    if !doors.iter().any(|door| application(&door)) {
        return Err(NoAnswer::NotApplicable("no application load balancer with security groups"));
    }
    for door in doors.iter().filter(application) {
        // A group that is not seen may let anybody in.
        if door.groups.len() == door.balancer.security_groups.len() {
            finding(patient, door).into_iter().for_each(|finding| findings.add(finding));
        }
    }
    Ok(())
}

fn finding(patient: &Patient, door: &Door) -> Option<Finding> {
    let ports: BTreeSet<i32> = door.listeners.iter().filter_map(|listener| listener.port).collect();
    let port = *ports.last()?;
    let admitted = door.admitted();
    let by_others = !door.not_judged().is_empty();
    let meets = |expected: &Cidr| admitted.iter().any(|one| one.block.covers(expected) || expected.covers(&one.block));
    let shut_out: Vec<&Cidr> = patient.intent().expect_ingress.iter().filter(|expected| !meets(expected)).collect();
    let names = door.groups.iter().map(|group| format!("{} ({})", group.group_name, group.group_id));
    let who = if admitted.is_empty() && !by_others {
        "anybody".to_owned()
    } else if !shut_out.is_empty() && !by_others {
        and_list(&shut_out)
    } else {
        return None;
    };
    let says = format!(
        "No rule of load balancer {}'s security groups, {}, lets {who} in on {}: connections time out.",
        door.name(),
        and_list(names),
        ingress::port_words(&ports)
    );
    let block = shut_out.first().map_or("203.0.113.0/24".to_owned(), |block| block.to_string());
    let group = &door.groups.first()?.group_id;
    let arn = &door.balancer.load_balancer_arn;
    let remedy = Remedy::new("Let the clients in (203.0.113.0/24 stands for them, where --expect-ingress does not say who they are).")
        .cli(format!("aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port {port} --cidr {block}"))
        .terraform(ingress::terraform(group, port, &block));
    Some(
        Subject::new(Kind::LoadBalancer, arn)
            .sick(says, reach::what_it_admits(door.groups.first()?, port))
            .because_all(door.groups.iter().skip(1).map(|group| reach::what_it_admits(group, port)))
            .because_all(door.groups.iter().map(|group| Evidence::new(Call::DescribeLoadBalancers, arn, "SecurityGroups", &group.group_id)))
            .because_all(door.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, arn),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_group, id};
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, exam_with, says};

    fn with(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    #[test]
    fn names_balancer_groups_and_port() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            ["No rule of load balancer web's security groups, web-balancer (sg-balancer), lets anybody in on port 443: connections time out."]
        );
    }

    #[test]
    fn whoever_is_let_in_by_block_group_or_list_is_somebody() {
        let by_list = IpPermission { cidr_ip: Vec::new(), prefix_list_id: vec!["pl-93a247fa".into()], ..everywhere("tcp", Some(443)) };
        for rule in [everywhere("-1", None), from_group(443, "sg-office"), by_list] {
            assert_eq!(exam(CHECK, &with(vec![rule])).outcome, Outcome::Healthy);
        }
        assert_eq!(exam(CHECK, &with(Vec::new())).outcome, Outcome::Sick);
    }

    #[test]
    fn one_port_that_is_open_beside_a_closed_one_is_enough() {
        let mut snapshot = with(vec![everywhere("tcp", Some(443))]);
        let listeners = snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap();
        listeners.push(crate::snapshot::Listener { listener_arn: "http".into(), port: Some(80), ..listeners[0].clone() });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn whom_the_user_expects_must_be_let_in() {
        let expect = |block: &str| Intent { expect_ingress: vec![block.parse().unwrap()] };
        let snapshot = baseline::fargate();
        assert_eq!(exam_with(CHECK, &snapshot, &expect("203.0.113.7/32")).outcome, Outcome::Healthy);
        assert_eq!(exam_with(CHECK, &snapshot, &expect("203.0.0.0/16")).outcome, Outcome::Healthy, "some of them are");
        let exam = exam_with(CHECK, &snapshot, &expect("192.0.2.0/24"));
        assert!(exam.findings[0].says.contains("lets 192.0.2.0/24 in on port 443"), "{exam:?}");
    }

    #[test]
    fn a_group_that_is_not_seen_may_let_anybody_in() {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.insert("sg-balancer", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
