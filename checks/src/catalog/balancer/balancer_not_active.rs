//! The load balancer itself is not ready: still being created, failed, or impaired.

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::LoadBalancer;
use crate::{aws, hcl};

crate::check! {
    /// A load balancer in front of the service is not in the state `active`.
    ///
    /// # Why it matters
    ///
    /// While it is `provisioning`, and once it has `failed`, clients cannot connect. An
    /// `active_impaired` one works but cannot scale: under more load it sheds requests. The usual
    /// reason is a subnet without free addresses.
    ///
    /// # How we tell
    ///
    /// `State.Code` of `DescribeLoadBalancers`, with AWS's own reason where it gives one. A load
    /// balancer younger than ten minutes may still be provisioning, which is normal. Subnets of the
    /// load balancer with fewer than 8 free addresses are named: AWS asks for at least 8 in each.
    ///
    /// # What to do
    ///
    /// Free addresses, or give the load balancer larger subnets. A failed one has to be recreated.
    ///
    /// ```sh
    /// aws elbv2 set-subnets --load-balancer-arn <arn> --subnets <subnet> <subnet>
    /// ```
    ///
    /// Terraform/OpenTofu: `subnets` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `managed_resource_failed`, `subnet_full`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html>
    title: "The load balancer is not active",
    severity: Critical,
    role: Cause,
    explains: [DeploymentStuck, RolledBack, RollbackFailed],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeLoadBalancers, DescribeSubnets],
    example: on fargate, |snapshot| {
        let balancer = crate::baseline::id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.change(&balancer).into_iter().for_each(|balancer| balancer.state = Some("active_impaired".into()));
        snapshot.subnets.change("subnet-0c3").into_iter().for_each(|subnet| subnet.available_ip_address_count = Some(3));
    },
}

/// So long a new load balancer may take.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// AWS wants so many free addresses in each subnet, for the load balancer to scale.
const ADDRESSES: i32 = 8;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for arn in traffic::balancers(patient)? {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        let Some(state) = balancer.state.as_deref().filter(|state| *state != "active") else {
            continue;
        };
        let young = balancer
            .created_time
            .is_some_and(|created| time::age(patient.now(), created) < PATIENCE);
        if state == "provisioning" && young {
            continue;
        }
        let full = full_subnets(patient, findings, balancer);
        let effect = match state {
            "provisioning" => "it is still being created, and clients cannot connect",
            "active_impaired" => "it works but cannot scale",
            "failed" => "it could not be created, and clients cannot connect",
            _ => "AWS does not count that as active",
        };
        let claim =
            format!("load balancer {} is in state {state}: {effect}", balancer.load_balancer_name);
        let told = balancer.state_reason.as_ref().map_or_else(String::new, |reason| {
            format!("AWS says: {}.", reason.trim_end_matches('.'))
        });
        let remedy = Remedy::new(match (state, full.is_empty()) {
            ("failed", _) => "Recreate the load balancer in subnets with enough free addresses.",
            (_, false) => "Free addresses in these subnets, or move the load balancer to others.",
            (_, true) => "Check AWS's reason for the state, and whether its subnets have enough free addresses.",
        })
        .cli(patient.see(Call::DescribeLoadBalancers, arn))
        .cli(aws!(
            "elbv2 set-subnets --load-balancer-arn {} --subnets $SUBNET_ID $OTHER_SUBNET_ID",
            arn
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb" {} {
              subnets = ["<subnet>", "<subnet>"]
            }"#,
            balancer.load_balancer_name
        ));
        let mut finding = Subject::new(Kind::LoadBalancer, arn)
            .sick(claim, Evidence::new(Call::DescribeLoadBalancers, arn, "State", state))
            .detail(told);
        if let Some(reason) = &balancer.state_reason {
            finding = finding.because(Evidence::new(
                Call::DescribeLoadBalancers,
                arn,
                "StateReason",
                reason,
            ));
        }
        for (subnet, free) in &full {
            finding = finding.detail(format!(
                "Its subnet {subnet} has {free} free addresses; AWS asks for at least {ADDRESSES}."
            ));
        }
        let rooms = full.iter().map(|(subnet, free)| {
            Evidence::new(Call::DescribeSubnets, *subnet, "AvailableIpAddressCount", free)
        });
        findings.add(finding.because_all(rooms).mend(remedy).concerns(Kind::LoadBalancer, arn));
    }
    Ok(())
}

fn full_subnets<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    balancer: &'a LoadBalancer,
) -> Vec<(&'a str, i32)> {
    let mut full = Vec::new();
    for id in &balancer.subnets {
        let free = findings
            .see(patient.subnet(id))
            .flatten()
            .and_then(|subnet| subnet.available_ip_address_count);
        full.extend(free.filter(|free| *free < ADDRESSES).map(|free| (id.as_str(), free)));
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn in_state(state: &str, minutes: i64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let balancer = snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap();
        balancer.state = Some(state.into());
        balancer.created_time = Some(minutes_ago(minutes));
        snapshot
    }

    #[test]
    fn names_the_subnet_without_room() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Load balancer web is in state active_impaired: it works but cannot scale. Its subnet subnet-0c3 has 3 free addresses; AWS asks for at least 8."
            ]
        );
    }

    #[test]
    fn a_new_balancer_may_be_provisioning_for_ten_minutes() {
        assert_eq!(exam(CHECK, &in_state("provisioning", 4)).outcome, Outcome::Healthy);
        assert!(says(CHECK, &in_state("provisioning", 25))[0].contains("still being created"));
        assert!(says(CHECK, &in_state("failed", 4))[0].contains("could not be created"));
    }

    #[test]
    fn a_full_subnet_of_an_active_balancer_is_no_trouble_of_it() {
        let mut snapshot = baseline::fargate();
        snapshot.subnets.change("subnet-0c3").unwrap().available_ip_address_count = Some(3);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_reason_is_quoted() {
        let mut snapshot = in_state("failed", 60);
        let balancer = snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap();
        balancer.state_reason =
            Some("You have reached the maximum number of load balancers.".into());
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("AWS says: You have reached the maximum number of load balancers.")
        );
    }
}
