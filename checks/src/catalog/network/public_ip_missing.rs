//! The subnet's way out is an internet gateway, and the tasks have no public address: whatever they send, nothing comes back.
//! It speaks only where a stopped task's reason proves that the network is the trouble.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::route::{self, Exit, Stranded, Way};
use crate::reading::{reach, rollout};

crate::check! {
    /// The tasks are in a public subnet and have no public address.
    ///
    /// # Why it matters
    ///
    /// An internet gateway takes only what has a public address. A task without one times out on everything outside its VPC,
    /// and does not start. `assignPublicIp` is off unless somebody turns it on.
    ///
    /// # How we tell
    ///
    /// Tasks on Fargate stopped with the words of a timeout while they fetched their image, secrets or log group; the route
    /// of their subnet leads to an internet gateway; and the deployment's `assignPublicIp` is not `ENABLED`. Where the
    /// message has no address it is only likely: endpoints in the VPC would be another way.
    ///
    /// # What to do
    ///
    /// Give the tasks public addresses, or put them into private subnets with a NAT gateway:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[…],securityGroups=[…],assignPublicIp=ENABLED}'
    /// ```
    ///
    /// Terraform/OpenTofu: `network_configuration { assign_public_ip = true }` of `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "The tasks are in a public subnet without a public address",
    severity: High,
    role: Cause,
    explains: [RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeRouteTables],
    example: on worker, |snapshot| {
        use crate::baseline::fail_to_start;
        fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. RequestError: send request failed caused by: Post \"https://secretsmanager.eu-west-2.amazonaws.com/\": dial tcp 52.94.54.7:443: i/o timeout",
        );
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
            table.routes.iter_mut().filter(|route| route.destination == "0.0.0.0/0").for_each(|route| route.target = Some("igw-1".into()));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !rollout::ecs_controls(patient) {
        return Err(NoAnswer::NotApplicable(rollout::OTHER_CONTROLLER));
    }
    // What a version that was rolled back had asked for is not known.
    for stranded in route::stranded(patient, findings).iter().filter(|stranded| stranded.told.is_primary) {
        let Some(exit) = findings.see(route::out(patient, stranded.subnet, stranded.to)).flatten() else { continue };
        finding(patient, stranded, &exit).into_iter().for_each(|finding| findings.add(finding));
    }
    Ok(())
}

fn finding(patient: &Patient, stranded: &Stranded, exit: &Exit) -> Option<Finding> {
    let Way::Internet(route) = exit.way else { return None };
    let network = reach::configured(patient, None).filter(|network| network.assign_public_ip.as_deref() != Some("ENABLED"))?;
    let subnet = stranded.subnet;
    let gateway = route.target.as_deref().unwrap_or("an internet gateway");
    let outcome = match stranded.to {
        Some(address) => format!("so they cannot reach {address}"),
        None => "so they likely reach nothing outside, unless an endpoint in the VPC serves it".to_owned(),
    };
    let says = format!(
        "The way out of subnet {subnet} is internet gateway {gateway}, and the tasks get no public address, {outcome}. {}.",
        stranded.told.count(patient.now())
    );
    let asked = network.assign_public_ip.as_deref().map(|asked| patient.evidence("networkConfiguration.awsvpcConfiguration.assignPublicIp", asked));
    let remedy = Remedy::new("Give the tasks a public address, or put them into private subnets behind a NAT gateway.")
        .cli(format!(
            "aws ecs update-service {} --network-configuration 'awsvpcConfiguration={{subnets=[{}],securityGroups=[{}],assignPublicIp=ENABLED}}'",
            patient.cli(),
            network.subnets.join(","),
            network.security_groups.join(",")
        ))
        .terraform(format!(
            "resource \"aws_ecs_service\" \"{}\" {{\n  network_configuration {{\n    assign_public_ip = true\n  }}\n}}",
            patient.name()
        ));
    let finding = Subject::new(Kind::Subnet, subnet)
        .sick(says, stranded.told.evidence.clone())
        .because(Evidence::new(Call::DescribeRouteTables, &exit.table.route_table_id, "Routes.Target", gateway))
        .because_all(asked)
        .mend(remedy)
        .concerns(Kind::Subnet, subnet)
        .concerns(Kind::TaskDefinition, stranded.told.task_definition);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::says;

    #[test]
    fn names_subnet_gateway_and_what_cannot_be_reached() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The way out of subnet subnet-0a1 is internet gateway igw-1, and the tasks get no public address, so they cannot reach 52.94.54.7. 3 of \
              3 failed tasks of mailer:12 stopped so within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn tasks_that_get_a_public_address_have_a_way_out() {
        let mut snapshot = (CHECK.example)();
        let enabled = Some("ENABLED".to_owned());
        snapshot.services[0].deployments[0].network_configuration.as_mut().unwrap().assign_public_ip = enabled;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_nat_gateway_needs_no_public_address() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes[1].target = Some("nat-1".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_public_subnet_whose_tasks_start_is_fine() {
        let mut snapshot = crate::baseline::worker();
        snapshot.route_tables = (CHECK.example)().route_tables;
        assert!(says(CHECK, &snapshot).is_empty());
    }
}
