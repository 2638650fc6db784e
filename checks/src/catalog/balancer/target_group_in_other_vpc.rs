//! The target group is in another VPC than the tasks, or is for another IP address type than its
//! load balancer has.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::TargetGroup;
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// The target group belongs to another VPC than the subnets of the tasks, or takes IPv6
    /// addresses although its load balancer has IPv4 only.
    ///
    /// # Why it matters
    ///
    /// ECS cannot register the tasks there. The VPC and the IP address type of a target group
    /// cannot be changed, so this stays until another one replaces it.
    ///
    /// # How we tell
    ///
    /// `VpcId` of the group is not that of any subnet that the service runs its tasks in; or
    /// `IpAddressType` is `ipv6` for the group and `ipv4` for the load balancer. With a healthy
    /// target in the group nothing is said. Tasks on instances that share the instance's address
    /// are left out: their subnets are not in the service.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws elbv2 create-target-group --name <name> --target-type ip --protocol HTTP --port <port> --vpc-id <vpc of the tasks>
    /// ```
    ///
    /// Terraform/OpenTofu: `vpc_id` and `ip_address_type` in `aws_lb_target_group`, which replace
    /// it.
    ///
    /// # See also
    ///
    /// `target_type_mismatch`, `target_group_missing`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html>
    title: "The target group does not fit the network of the tasks",
    severity: High,
    role: Cause,
    explains: [NoTarget, TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeSubnets, DescribeListeners, DescribeRules],
    example: on fargate, |snapshot| {
        let group = crate::baseline::id::group("api");
        snapshot.target_groups.change(&group).into_iter().for_each(|group| group.vpc_id = Some("vpc-old".into()));
        snapshot.target_health.put(group, Vec::new());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        if targets.iter().any(|target| target.state == "healthy") {
            continue;
        }
        let faults = [
            findings.see(other_vpc(patient, settings)),
            findings.see(other_family(patient, settings)),
        ];
        faults.into_iter().flatten().flatten().for_each(|finding| findings.add(finding));
    }
    Ok(())
}

fn other_vpc(patient: &Patient, group: &TargetGroup) -> Result<Option<Finding>, Blind> {
    let (Some(vpc), Some(network)) = (group.vpc_id.as_deref(), reach::configured(patient, None))
    else {
        return Ok(None);
    };
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for id in &network.subnets {
        // A subnet that is not to be found may be in the right one.
        let Some(of) = patient.subnet(id)?.and_then(|subnet| subnet.vpc_id.as_deref()) else {
            return Ok(None);
        };
        seen.push((id, of));
    }
    let Some((subnet, of)) = seen.first().copied() else { return Ok(None) };
    if seen.iter().any(|(_, of)| *of == vpc) {
        return Ok(None);
    }
    let vpcs: BTreeSet<&str> = seen.iter().map(|(_, of)| *of).collect();
    let claim = format!(
        "target group {} is in VPC {vpc}, but the tasks run in subnets of {}: ECS cannot register them there",
        group.target_group_name,
        and_list(&vpcs)
    );
    let finding = Subject::new(Kind::TargetGroup, &group.target_group_arn)
        .sick(
            claim,
            Evidence::new(Call::DescribeTargetGroups, &group.target_group_arn, "VpcId", vpc),
        )
        .because(Evidence::new(Call::DescribeSubnets, subnet, "VpcId", of));
    Ok(Some(mended(finding, group, Some(of), "vpc_id", of)))
}

fn other_family<'a>(
    patient: &Patient<'a>,
    group: &'a TargetGroup,
) -> Result<Option<Finding>, Blind> {
    for arn in traffic::balancers_of(patient, group)? {
        let Some(balancer) = patient.load_balancer(arn)? else { continue };
        if group.ip_address_type.as_deref() == Some("ipv6")
            && balancer.ip_address_type.as_deref() == Some("ipv4")
        {
            let claim = format!(
                "target group {} takes IPv6 addresses, but load balancer {} has IPv4 only: it cannot reach them",
                group.target_group_name, balancer.load_balancer_name
            );
            let finding = Subject::new(Kind::TargetGroup, &group.target_group_arn)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeTargetGroups,
                        &group.target_group_arn,
                        "IpAddressType",
                        "ipv6",
                    ),
                )
                .because(Evidence::new(Call::DescribeLoadBalancers, arn, "IpAddressType", "ipv4"));
            return Ok(Some(mended(
                finding,
                group,
                group.vpc_id.as_deref(),
                "ip_address_type",
                "ipv4",
            )));
        }
    }
    Ok(None)
}

fn mended(
    finding: Finding,
    group: &TargetGroup,
    vpc: Option<&str>,
    argument: &str,
    value: &str,
) -> Finding {
    let name = &group.target_group_name;
    let (protocol, port) = (group.protocol.as_deref().unwrap_or("HTTP"), group.port.unwrap_or(80));
    let kind = group.target_type.as_deref().unwrap_or("ip");
    let vpc = vpc.map_or_else(|| Word::needed("VPC_ID"), Word::new);
    let remedy = Remedy::new(format!(
        "Create a target group in the tasks' network, and replace {name} with it in the listener rule and in the service."
    ))
    .cli(aws!(
        "elbv2 create-target-group --name {}-2 --target-type {} --protocol {} --port {} \
         --vpc-id {}",
        name,
        kind,
        protocol,
        port,
        vpc
    ))
    .terraform(hcl!(
        r#"
        resource "aws_lb_target_group" {} {
          {} = {}
        }"#,
        name,
        Name(argument),
        value
    ));
    finding.mend(remedy).concerns(Kind::TargetGroup, &group.target_group_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::seen::Seen;
    use crate::testing::{exam, says};

    #[test]
    fn names_both_networks() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Target group api is in VPC vpc-old, but the tasks run in subnets of vpc-1: ECS cannot register them there."
            ]
        );
    }

    #[test]
    fn a_healthy_target_proves_the_contrary() {
        let mut snapshot = baseline::fargate();
        snapshot.target_groups.change(&id::group("api")).unwrap().vpc_id =
            Some("vpc-shared".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_subnet_that_is_gone_may_have_been_in_the_right_one() {
        let mut snapshot = (CHECK.example)();
        snapshot.subnets.insert("subnet-0b2", Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_group_for_another_family_than_its_balancers() {
        let mut snapshot = baseline::fargate();
        let group = id::group("api");
        snapshot.target_health.put(&group, Vec::new());
        snapshot.target_groups.change(&group).unwrap().ip_address_type = Some("ipv6".into());
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("takes IPv6 addresses, but load balancer web has IPv4 only")
        );
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.change(&balancer).unwrap().ip_address_type =
            Some("dualstack".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn tasks_that_share_their_instances_address_have_no_subnets_to_compare() {
        let mut snapshot = baseline::ec2();
        let group = id::group("web");
        snapshot.target_health.put(&group, Vec::new());
        snapshot.target_groups.change(&group).unwrap().vpc_id = Some("vpc-old".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
