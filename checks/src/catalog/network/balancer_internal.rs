//! The load balancer is internal, and the user expects clients from the internet. Without an
//! expectation an internal load balancer is assumed to be intended, and this check has nothing to
//! say.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::LoadBalancer;
use crate::text::{and_list, plural};
use crate::{aws, hcl};

crate::check! {
    /// The load balancer is internal, but clients are expected from the internet.
    ///
    /// # Why it matters
    ///
    /// The name of an internal load balancer resolves to private addresses. From outside its
    /// network every connection times out, whatever the security groups allow. Express Mode creates
    /// an internal load balancer if it is given private subnets.
    ///
    /// # How we tell
    ///
    /// The load balancer's `Scheme` is `internal`, and `--expect-ingress` names a block of public
    /// addresses. Without `--expect-ingress` nothing tells who the clients are, so an internal load
    /// balancer is no finding. Nor are private blocks, of a VPN or a peered VPC.
    ///
    /// # What to do
    ///
    /// The scheme of a load balancer cannot be changed. Create another one in public subnets, and
    /// point the DNS name at it:
    ///
    /// ```sh
    /// aws elbv2 create-load-balancer --name <name> --scheme internet-facing --subnets <public subnets> --security-groups <group>
    /// ```
    ///
    /// Terraform/OpenTofu: `internal = false` of `aws_lb`, which replaces it; public subnets in the
    /// `network_configuration` of `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `balancer_in_private_subnet`, `balancer_closed_to_clients`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/how-elastic-load-balancing-works.html>
    title: "The load balancer is internal, but its clients are on the internet",
    severity: Critical,
    role: Cause,
    explains: [],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeLoadBalancers],
    example: on fargate, |snapshot| {
        use crate::baseline::id;
        let balancer = snapshot.load_balancers.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"));
        balancer.into_iter().for_each(|balancer| balancer.scheme = Some("internal".into()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let outside: Vec<_> =
        patient.intent().expect_ingress.iter().filter(|block| !block.is_private()).collect();
    if outside.is_empty() {
        return Ok(());
    }
    for arn in traffic::balancers(patient)? {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        if balancer.scheme.as_deref() != Some("internal") {
            continue;
        }
        let verb = plural(outside.len(), "is", "are");
        let claim = format!(
            "load balancer {} is internal, so its name resolves to private addresses, but {} from --expect-ingress {verb} on the internet",
            balancer.load_balancer_name,
            and_list(&outside)
        );
        let remedy = if patient.is_express() { express(patient) } else { another(balancer) };
        findings.add(
            Subject::new(Kind::LoadBalancer, arn)
                .sick(claim, Evidence::new(Call::DescribeLoadBalancers, arn, "Scheme", "internal"))
                .mend(remedy)
                .concerns(Kind::LoadBalancer, arn),
        );
    }
    Ok(())
}

/// ECS chooses the scheme of an Express service's load balancer by the subnets of the service.
fn express(patient: &Patient) -> Remedy {
    Remedy::new(
        "Give the Express service public subnets, so that ECS creates an internet-facing load balancer; or reach it from inside the network, over a VPN.",
    )
    .cli(aws!(
        "ecs update-express-gateway-service --service-arn {} \
         --network-configuration subnets=$PUBLIC_SUBNET_ID,$OTHER_PUBLIC_SUBNET_ID",
        patient.arn()
    ))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_express_gateway_service" {} {
          network_configuration {
            subnets = aws_subnet.public[*].id
          }
        }"#,
        patient.name()
    ))
}

/// The scheme of a load balancer cannot be changed.
fn another(balancer: &LoadBalancer) -> Remedy {
    Remedy::new(
        "Create an internet-facing load balancer in public subnets, and point the DNS name at it; or reach this one from inside the network, over a VPN.",
    )
    .cli(
        aws!(
            "elbv2 create-load-balancer --name {}-public --scheme internet-facing \
             --subnets $PUBLIC_SUBNET_ID $OTHER_PUBLIC_SUBNET_ID --security-groups",
            balancer.load_balancer_name
        )
        .args(&balancer.security_groups),
    )
    .terraform(hcl!(
        r#"
        resource "aws_lb" "this" {
          internal = false
        }"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::testing::{exam, exam_with, expecting};

    #[test]
    fn names_balancer_and_who_is_outside() {
        let exam =
            exam_with(CHECK, &(CHECK.example)(), &expecting(&["10.0.0.0/8", "203.0.113.0/24"]));
        assert_eq!(
            exam.findings[0].says(),
            "Load balancer web is internal, so its name resolves to private addresses, but 203.0.113.0/24 from --expect-ingress is on the internet."
        );
    }

    #[test]
    fn an_express_service_is_moved_to_public_subnets() {
        let mut snapshot = baseline::express();
        let balancers: Vec<String> = snapshot.load_balancers.0.keys().cloned().collect();
        for arn in &balancers {
            let balancer = snapshot.load_balancers.change(arn);
            balancer.into_iter().for_each(|it| it.scheme = Some("internal".into()));
        }
        let exam = exam_with(CHECK, &snapshot, &expecting(&["203.0.113.0/24"]));
        let shell = exam.findings[0].remedy.shell();
        assert!(shell[0].contains("ecs update-express-gateway-service"), "{shell:?}");
        assert_eq!(shell.len(), 1, "{shell:?}");
    }

    #[test]
    fn on_purpose_it_is_no_finding() {
        assert_eq!(exam(CHECK, &(CHECK.example)()).outcome, Outcome::Healthy);
        assert_eq!(
            exam_with(CHECK, &(CHECK.example)(), &expecting(&["10.0.0.0/8", "100.64.0.0/10"]))
                .outcome,
            Outcome::Healthy
        );
        assert_eq!(
            exam_with(CHECK, &baseline::fargate(), &expecting(&["203.0.113.0/24"])).outcome,
            Outcome::Healthy
        );
    }
}
