//! The subnet of the tasks has no route to what they need to start, or one that leads to something which is gone. It speaks
//! only where a stopped task's reason proves that the network is the trouble: a private subnet without a way out is fine
//! as long as endpoints serve it.

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::rollout;
use crate::reading::route::{self, Exit, Stranded, Way};

crate::check! {
    /// The tasks' subnet has no working route to the registry, to the store of the secrets or to CloudWatch Logs.
    ///
    /// # Why it matters
    ///
    /// On Fargate everything that a task needs to start goes over its own network interface. Without a way out, tasks time
    /// out before they run, and the messages speak of secrets, images or log groups.
    ///
    /// # How we tell
    ///
    /// Tasks stopped with the words of a timeout while they fetched their image, secrets or log group; and the route table of
    /// their subnet, its own or the VPC's main one, has no route to the address that did not answer, or its longest match
    /// leads to something that is not there any more (`blackhole`). Where the message has no address, the default route
    /// counts, and it is only likely: endpoints in the VPC would be another way. A private address is that of an endpoint, so
    /// routes are not the trouble. Instances pull for their tasks and are left out.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-route --route-table-id <table> --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat>
    /// ```
    ///
    /// Or endpoints for `ecr.api`, `ecr.dkr`, `logs`, `secretsmanager` or `ssm`, and a gateway endpoint for S3.
    /// Terraform/OpenTofu: `aws_route` and `aws_nat_gateway`, or `aws_vpc_endpoint`.
    ///
    /// # See also
    ///
    /// `public_ip_missing`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html>
    title: "The tasks' subnet has no working route out",
    severity: High,
    role: Cause,
    explains: [RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeRouteTables],
    example: on worker, |snapshot| {
        use crate::baseline::fail_to_start;
        fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
        for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
            table.routes.retain(|route| table.route_table_id != "rtb-private" || route.destination != "0.0.0.0/0");
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !rollout::ecs_controls(patient) {
        return Err(NoAnswer::NotApplicable(rollout::OTHER_CONTROLLER));
    }
    for stranded in route::stranded(patient, findings) {
        let Some(exit) = findings.see(route::out(patient, stranded.subnet, stranded.to)).flatten() else { continue };
        finding(patient, &stranded, &exit).into_iter().for_each(|finding| findings.add(finding));
    }
    Ok(())
}

fn finding(patient: &Patient, stranded: &Stranded, exit: &Exit) -> Option<Finding> {
    let (subnet, table) = (stranded.subnet, &exit.table.route_table_id);
    let to = stranded.to.map_or("to the world outside".to_owned(), |address| format!("to {address}, which did not answer"));
    let mut evidence = exit.destinations();
    let says = match exit.way {
        Way::Nowhere => format!("Subnet {subnet} has no route {to}: route table {table} has none"),
        Way::Blackhole(route) => {
            let target = route.target.as_deref().unwrap_or("its target");
            evidence.insert(0, Evidence::new(Call::DescribeRouteTables, table, "Routes.State", "blackhole"));
            format!("The route of subnet {subnet} {to} leads to {target}, which is gone: a blackhole in route table {table}")
        }
        Way::Internet(_) | Way::Elsewhere | Way::Unknown => return None,
    };
    // An endpoint with private names would have answered from a private address; without an address nobody knows.
    let unless = if stranded.to.is_some() { "" } else { ". Likely that is why, unless an endpoint in the VPC serves it" };
    let says = format!("{says}{unless}. {}.", stranded.told.count(patient.now()));
    let verb = if matches!(exit.way, Way::Blackhole(_)) { "replace-route" } else { "create-route" };
    let remedy = Remedy::new(
        "Give the subnet a route to a NAT gateway that is in a public subnet, or add endpoints for what the tasks need (ecr.api, ecr.dkr, S3 as a \
         gateway endpoint, logs, secretsmanager or ssm).",
    )
    .cli(format!("aws ec2 {verb} --route-table-id {table} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat gateway>"))
    .terraform(format!(
        "resource \"aws_route\" \"out\" {{\n  route_table_id         = \"{table}\"\n  destination_cidr_block = \"0.0.0.0/0\"\n  nat_gateway_id         = \
         aws_nat_gateway.this.id\n}}"
    ));
    let finding = Subject::new(Kind::Subnet, subnet)
        .sick(says, stranded.told.evidence.clone())
        .because_all(evidence)
        .mend(remedy)
        .concerns(Kind::Subnet, subnet)
        .concerns(Kind::TaskDefinition, stranded.told.task_definition);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::snapshot::{Route, Snapshot};
    use crate::testing::{exam, says};

    fn with(reason: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let routes = snapshot.route_tables.clone();
        baseline::fail_to_start(&mut snapshot, 2, reason);
        snapshot.route_tables = routes;
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.stopped_tasks.change(&arn).unwrap().iter_mut().for_each(|task| {
            task.started_by = Some("ecs-svc/1000000000000000012".into());
            task.subnet_id = Some("subnet-0a1".into());
        });
        snapshot
    }

    #[test]
    fn names_subnet_table_and_the_address_that_did_not_answer() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Subnet subnet-0a1 has no route to 52.94.53.1, which did not answer: route table rtb-private has none. 3 of 3 failed tasks of mailer:12 \
              stopped so within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn without_an_address_it_is_only_likely() {
        let found = says(CHECK, &with("CannotPullContainerError: context deadline exceeded"));
        assert!(found[0].contains("has no route to the world outside") && found[0].contains("Likely"), "{found:?}");
    }

    #[test]
    fn a_route_whose_gateway_is_gone_is_a_blackhole() {
        let mut snapshot = (CHECK.example)();
        let gone = Route { destination: "0.0.0.0/0".into(), target: Some("nat-0dead".into()), state: Some("blackhole".into()) };
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes.push(gone);
        assert!(says(CHECK, &snapshot)[0].contains("leads to nat-0dead, which is gone: a blackhole in route table rtb-private"));
    }

    #[test]
    fn a_private_address_or_a_name_that_does_not_resolve_is_no_matter_of_routes() {
        for tail in ["dial tcp 10.0.1.77:443: i/o timeout", "dial tcp: lookup api.ecr.eu-west-2.amazonaws.com: no such host"] {
            assert!(says(CHECK, &with(&format!("CannotPullContainerError: {tail}"))).is_empty(), "{tail}");
        }
    }

    #[test]
    fn a_private_subnet_whose_tasks_start_is_fine() {
        let mut snapshot = baseline::worker();
        snapshot.route_tables = (CHECK.example)().route_tables;
        assert!(says(CHECK, &snapshot).is_empty());
        assert!(says(CHECK, &with("CannotPullContainerError: failed to resolve ref mailer:1: not found")).is_empty());
    }

    #[test]
    fn instances_pull_for_their_tasks() {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].launch_type = Some("EC2".into());
        assert!(exam(CHECK, &snapshot).findings.is_empty());
    }

    #[test]
    fn a_subnet_without_a_table_of_its_own_has_the_main_one() {
        let mut snapshot = (CHECK.example)();
        snapshot.route_tables.change("vpc-1").unwrap()[0].subnet_ids.clear();
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn explains_the_registry_that_cannot_be_reached_and_so_the_tasks_that_do_not_start() {
        let snapshot = (CHECK.example)();
        let intent = crate::patient::Intent::default();
        let diagnosis = crate::diagnosis::diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let chain = |id: &str| diagnosis.roots.iter().find(|root| root.check.id() == id).cloned();
        let root = chain(CHECK.id()).unwrap();
        assert_eq!(root.explains[0].check.id(), "registry_unreachable");
        assert_eq!(root.explains[0].explains[0].check.id(), "tasks_fail_to_start");
    }
}
