//! Requests come through a classic load balancer or VPC Lattice, which are not read. What clients
//! get there is not known, and the verdict says so; what else is wrong is for the other checks.

use crate::aws;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::{self, Unread};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;

crate::check! {
    /// The service gets requests through a Classic Load Balancer or VPC Lattice, which ecs-doctor
    /// does not read: no listener, no target, no health check.
    ///
    /// # Why it matters
    ///
    /// Whether clients get an answer is not known, even if all the rest is fine. So the verdict is
    /// `unknown`, unless something is found wrong elsewhere.
    ///
    /// # How we tell
    ///
    /// An entry of `loadBalancers` has a `loadBalancerName`, or no target group; or a deployment
    /// has `vpcLatticeConfigurations`.
    ///
    /// # What to do
    ///
    /// Look at the targets there:
    ///
    /// ```sh
    /// aws elb describe-instance-health --load-balancer-name <name>
    /// aws vpc-lattice list-targets --target-group-identifier <target group>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change. ecs-doctor reads `aws_lb`, but not `aws_elb`.
    ///
    /// # See also
    ///
    /// `target_group_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html>
    title: "Requests come through a load balancer that is not read",
    severity: Info,
    role: Note,
    explains: [],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        snapshot.services[0].load_balancers = vec![crate::snapshot::ServiceLoadBalancer {
            load_balancer_name: Some("web-classic".into()),
            container_name: Some("web".into()),
            container_port: Some(8080),
            ..Default::default()
        }];
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for front in traffic::unread(patient) {
        let claim = format!(
            "requests come through {}, which ecs-doctor does not read: whether clients get an answer is not known",
            front.words()
        );
        let remedy = Remedy::new("Look at the targets there.");
        let remedy = match front {
            Unread::Classic(Some(name)) => {
                remedy.cli(aws!("elb describe-instance-health --load-balancer-name {}", name))
            }
            Unread::Classic(None) => remedy,
            Unread::Lattice(arn) => {
                remedy.cli(aws!("vpc-lattice list-targets --target-group-identifier {}", arn))
            }
        };
        findings.add(patient.subject().sick(claim, evidence(patient, front)).mend(remedy));
    }
    Ok(())
}

fn evidence(patient: &Patient, front: Unread) -> Evidence {
    let (field, value) = match front {
        Unread::Classic(Some(name)) => ("loadBalancers.loadBalancerName", name),
        Unread::Classic(None) => ("loadBalancers.targetGroupArn", "null"),
        Unread::Lattice(arn) => ("deployments.vpcLatticeConfigurations.targetGroupArn", arn),
    };
    patient.evidence(field, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::diagnosis::{Verdict, diagnose};
    use crate::snapshot::Snapshot;
    use crate::snapshot::service::VpcLatticeConfiguration;
    use crate::testing::{of, says};

    fn verdict(snapshot: &Snapshot) -> Verdict {
        of(snapshot, |patient| diagnose(patient).verdict)
    }

    #[test]
    fn a_classic_load_balancer_is_named_and_nobody_knows_what_clients_get() {
        let mut snapshot = (CHECK.example)();
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Requests come through classic load balancer web-classic, which ecs-doctor does not read: whether clients get an answer is not known."
            ]
        );
        assert_eq!(verdict(&snapshot), Verdict::Unknown);
        snapshot.services[0].load_balancers[0].load_balancer_name = None;
        assert!(says(CHECK, &snapshot)[0].contains("a load balancer without a target group"));
        assert_eq!(verdict(&snapshot), Verdict::Unknown);
    }

    #[test]
    fn lattice_is_a_front_while_its_deployment_is_there() {
        let mut snapshot = baseline::fargate();
        let arn = "arn:aws:vpc-lattice:eu-west-2:123456789012:targetgroup/tg-0a1b2c3d4e5f60718";
        let lattice =
            VpcLatticeConfiguration { target_group_arn: arn.into(), ..Default::default() };
        snapshot.services[0].deployments[0].vpc_lattice_configurations = vec![lattice];
        assert!(
            says(CHECK, &snapshot)[0].contains("VPC Lattice target group tg-0a1b2c3d4e5f60718")
        );
        assert_eq!(verdict(&snapshot), Verdict::Unknown, "the other front is fine");
        snapshot.services[0].deployments[0].status = "INACTIVE".into();
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
