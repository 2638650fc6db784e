//! The security groups of the tasks block the outbound traffic that they need. It speaks only where
//! a stopped task's reason proves that something was not reached; rules add up and only allow, so
//! the rest is arithmetic.

use crate::aws::cidr::Cidr;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::egress_path::{self, EgressPath};
use crate::facts::network::reach;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::SecurityGroup;
use crate::{aws, hcl};

crate::check! {
    /// No rule of the tasks' security groups allows outbound traffic to the image registry, the
    /// secret store or CloudWatch Logs.
    ///
    /// # Why it matters
    ///
    /// On Fargate everything that a task needs to start goes over its own network interface and
    /// through its security groups. If they allow no outbound traffic on port 443, no task starts.
    /// It happens when somebody removes the rule that allows all outbound traffic, or when
    /// Terraform creates the group: it removes that rule unless the configuration has it.
    ///
    /// # How we tell
    ///
    /// Tasks on Fargate stopped with a timeout error while they fetched their image or secrets or
    /// set up their log group; and no outbound rule of the primary deployment's security groups
    /// covers port 443 to the address that did not answer, to the endpoint that serves it, or,
    /// where neither is known, to any address on the internet. The entries of prefix lists count. A
    /// rule that may cover it counts as covering it. DNS works whatever security groups allow.
    ///
    /// The same holds for the app's own connections: where clients get errors, health checks fail
    /// or tasks stop, log lines about connections that got no answer count, with their address and
    /// port.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-egress --group-id <task's group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_egress_rule` of the tasks' group.
    ///
    /// # See also
    ///
    /// `no_route_out`, `endpoint_unfit`, `registry_unreachable`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
    title: "The tasks' security groups block outbound traffic",
    severity: High,
    role: Cause,
    explains: [
        RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable, ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeVpcEndpoints, DescribeSecurityGroups, GetManagedPrefixListEntries, DescribeTargetGroups, DescribeTargetHealth, DescribeTaskDefinition, GetLogEvents, GetMetricData,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::{everywhere, fail_to_start};
        fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
        let mut partners = everywhere("tcp", Some(443));
        partners.cidr_ip.clear();
        partners.prefix_list_id = vec!["pl-0ff1ce".into()];
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["198.51.100.0/24".into()]);
        snapshot.security_groups.change("sg-task").into_iter().for_each(|group| {
            group.ip_permissions_egress = vec![partners.clone(), everywhere("tcp", Some(5432))];
        });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let paths = egress_path::failed(patient, findings);
    let mut kept_in = Vec::new();
    for path in &paths {
        if let Some(groups) = findings.see(path.kept_in(patient)).flatten() {
            let port = path.port().unwrap_or(443);
            kept_in.push((path, path.destination(), (groups, port)));
        }
    }
    for (paths, (groups, port)) in egress_path::together(kept_in) {
        findings.add(finding(patient, &paths, &groups, port));
    }
    Ok(())
}

fn finding(
    patient: &Patient,
    paths: &[&EgressPath],
    groups: &[&SecurityGroup],
    port: i32,
) -> Finding {
    let ids: Vec<&str> = groups.iter().map(|group| group.group_id.as_str()).collect();
    let claim = format!(
        "no rule of the tasks' security groups ({}) allows outbound traffic on port {port} {}",
        ids.join(", "),
        paths[0].destination()
    );
    let own = paths[0].stranded.dialled.as_ref().and_then(|dialled| dialled.dial.address);
    let to = own.map(Cidr::from).filter(Cidr::is_private).unwrap_or(Cidr::WORLD);
    let summary = if own.is_some() {
        format!("Allow outbound traffic on port {port} to what the app calls.")
    } else {
        format!(
            "Allow outbound traffic on port {port}: to everywhere, or to the endpoints' security group and the S3 prefix list."
        )
    };
    let remedy = Remedy::new(summary)
        .cli(aws!(
            "ec2 authorize-security-group-egress --group-id {} --protocol tcp --port {} --cidr {}",
            ids[0],
            port,
            to.to_string()
        ))
        .terraform(hcl!(
            r#"
            resource "aws_vpc_security_group_egress_rule" "https" {
              security_group_id = {}
              ip_protocol       = "tcp"
              from_port         = {}
              to_port           = {}
              cidr_ipv4         = {}
            }"#,
            ids[0],
            port,
            port,
            to.to_string()
        ));
    egress_path::finding(patient, Subject::new(Kind::SecurityGroup, ids[0]), paths, &claim)
        .because_all(groups.iter().map(|group| reach::what_it_lets_out(group, port)))
        .mend(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, endpoint, everywhere, from_group};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn with(egress: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress = egress;
        snapshot
    }

    fn to(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(443)) }
    }

    #[test]
    fn names_groups_port_and_address() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of the tasks' security groups (sg-task) allows outbound traffic on port 443 to 52.94.53.1, which did not answer. 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn a_rule_for_the_address_in_whatever_way_lets_them_out() {
        for cidr in ["0.0.0.0/0", "52.94.0.0/16", "52.94.53.1/32"] {
            assert_eq!(exam(CHECK, &with(vec![to(cidr)])).outcome, Outcome::Healthy, "{cidr}");
        }
        assert_eq!(exam(CHECK, &with(vec![to("10.0.0.0/8")])).outcome, Outcome::Sick);
        let mut snapshot = (CHECK.example)();
        snapshot.prefix_lists.put("pl-0ff1ce", vec!["52.94.0.0/16".into()]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.prefix_lists.insert("pl-0ff1ce", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn towards_an_endpoint_a_rule_for_its_group_will_do() {
        let reason = "CannotPullContainerError: failed to do request: Head \"https://123456789012.dkr.ecr.eu-west-2.amazonaws.com/v2/\": context deadline exceeded";
        let mut snapshot = with(vec![from_group(443, "sg-endpoint")]);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot
            .stopped_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.stopped_reason = Some(reason.into()));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "there is no such endpoint");
        snapshot.endpoints.put("vpc-1", vec![endpoint("ecr.dkr")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn groups_of_tasks_that_start_may_let_out_what_they_like() {
        let mut snapshot = baseline::worker();
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions_egress.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_app_needs_a_rule_for_what_it_calls() {
        let says_of = |line: &str| {
            let mut snapshot = crate::baseline::fargate();
            let errors =
                crate::snapshot::metric::Metric::Target5xx.of(&crate::baseline::id::group("api"));
            snapshot.metrics.put(errors, crate::baseline::minutes(60.0));
            if let Some(group) = snapshot.security_groups.change("sg-task") {
                group.ip_permissions_egress = vec![crate::baseline::everywhere("tcp", Some(443))];
            }
            crate::baseline::peers::log(&mut snapshot, line);
            says(CHECK, &snapshot)
        };
        assert_eq!(
            says_of("Error: connect ETIMEDOUT 10.0.21.5:6379"),
            [
                "No rule of the tasks' security groups (sg-task) allows outbound traffic on port 6379 to 10.0.21.5:6379, which the app calls. The log says \"Error: connect ETIMEDOUT 10.0.21.5:6379\"."
            ]
        );
        assert_eq!(says_of("Error: connect ETIMEDOUT 203.0.113.80:443"), [""; 0]);
        assert_eq!(says_of("Error: connect ECONNREFUSED 10.0.21.5:6379"), [""; 0], "reached");
    }
}
