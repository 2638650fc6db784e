//! The VPC does not resolve names, neither those of AWS nor those of its endpoints. It speaks only
//! where a stopped task's reason proves that something was not reached: a VPC with name servers of
//! its own may not need it.

use crate::aws::stop_reason::Destination;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::egress_path::{self, EgressPath};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::snapshot::VpcDns;
use crate::{aws, hcl};

crate::check! {
    /// DNS is off in the tasks' VPC, so names do not resolve, or do not resolve to its endpoints.
    ///
    /// # Why it matters
    ///
    /// Tasks reach the image registry, the secret store and CloudWatch Logs by name. Without
    /// `enableDnsSupport` Amazon's DNS server answers nothing; without `enableDnsHostnames` as
    /// well, the private names of endpoints and of Cloud Map are ignored.
    ///
    /// # How we tell
    ///
    /// Tasks on Fargate stopped because a name did not resolve, or timed out without an address,
    /// and `enableDnsSupport` of their VPC is off. Or they called a public address though the VPC
    /// has an endpoint with private DNS for it, and one of the two settings is off. A VPC may have
    /// its own name servers in its DHCP options, which are not read: so it is likely, not certain.
    ///
    /// Names that the app could not resolve, as its log has them, count as well where clients get
    /// errors, health checks fail or tasks stop. Names that only the VPC knows, of private zones
    /// and of Cloud Map, need both settings.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 modify-vpc-attribute --vpc-id <vpc> --enable-dns-support
    /// aws ec2 modify-vpc-attribute --vpc-id <vpc> --enable-dns-hostnames
    /// ```
    ///
    /// Terraform/OpenTofu: `enable_dns_support` and `enable_dns_hostnames` of `aws_vpc`.
    ///
    /// # See also
    ///
    /// `endpoint_unfit`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html>
    title: "DNS is off in the VPC",
    severity: High,
    role: Cause,
    explains: [
        RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable, ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeVpcEndpoints, DescribeVpcAttribute, DescribeTargetGroups, DescribeTargetHealth, DescribeTaskDefinition, GetLogEvents, GetMetricData,
    ],
    example: on worker, |snapshot| {
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp: lookup api.ecr.eu-west-2.amazonaws.com on 169.254.169.253:53: no such host",
        );
        snapshot.vpc_dns.change("vpc-1").into_iter().for_each(|dns| dns.enable_dns_support = false);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let paths = egress_path::failed(patient, findings);
    let mut unnamed = Vec::new();
    for path in &paths {
        if let Some(dns) = findings.see(path.names_off(patient)).flatten() {
            unnamed.push((path, dns.vpc_id.clone(), dns));
        }
    }
    for (paths, dns) in egress_path::together(unnamed) {
        findings.add(finding(patient, &paths, dns));
    }
    Ok(())
}

fn finding(patient: &Patient, paths: &[&EgressPath], dns: &VpcDns) -> Finding {
    let vpc = &dns.vpc_id;
    let (field, option, argument) = if dns.enable_dns_support {
        ("EnableDnsHostnames", "--enable-dns-hostnames", "enable_dns_hostnames")
    } else {
        ("EnableDnsSupport", "--enable-dns-support", "enable_dns_support")
    };
    let outcome = match paths[0].stranded.to {
        Destination::Address(address) => {
            format!("so the private DNS name of its endpoint is ignored, and tasks call {address}")
        }
        Destination::Unresolved => {
            "so the name does not resolve, unless the VPC has its own name servers".to_owned()
        }
        Destination::Unknown => {
            "so likely no name resolves there, unless the VPC has its own name servers".to_owned()
        }
    };
    let setting = format!("{}{}", field[..1].to_lowercase(), &field[1..]);
    let claim = format!("{setting} of VPC {vpc} is off, {outcome}");
    let remedy =
        Remedy::new("Turn on DNS in the VPC; endpoints with private DNS names need both settings.")
            .cli(aws!("ec2 modify-vpc-attribute --vpc-id {} {}", vpc, option))
            .terraform(hcl!(
                r#"
                resource "aws_vpc" "this" {
                  {} = true
                }"#,
                Name(argument)
            ));
    egress_path::finding(patient, Subject::new(Kind::Vpc, vpc), paths, &claim)
        .named()
        .because(Evidence::new(Call::DescribeVpcAttribute, vpc, field, false))
        .mend(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, endpoint};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::testing::{exam, says};

    #[test]
    fn names_vpc_and_setting() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "enableDnsSupport of VPC vpc-1 is off, so the name does not resolve, unless the VPC has its own name servers. 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn with_dns_on_or_tasks_that_start_it_says_nothing() {
        let mut snapshot = (CHECK.example)();
        snapshot.vpc_dns = baseline::worker().vpc_dns;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.vpc_dns.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut starts = baseline::worker();
        starts.vpc_dns = (CHECK.example)().vpc_dns;
        assert_eq!(exam(CHECK, &starts).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_public_address_beside_an_endpoint_with_private_dns_shows_that_names_do_not_count() {
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(
            &mut snapshot,
            2,
            "ResourceInitializationError: unable to pull secrets or registry auth: RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout",
        );
        snapshot.vpc_dns.change("vpc-1").unwrap().enable_dns_hostnames = false;
        assert!(
            says(CHECK, &snapshot).is_empty(),
            "without an endpoint, a public address is as it should be"
        );
        snapshot.endpoints.put("vpc-1", vec![endpoint("ecr.api")]);
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("enableDnsHostnames of VPC vpc-1 is off, so the private DNS name of its endpoint is ignored, and tasks call 52.94.53.1.")
        );
        // That they have no route there is how it should be, with or without a public subnet.
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table.routes.retain(|route| route.destination != "0.0.0.0/0");
        }
        assert!(says(super::super::no_route_out::CHECK, &snapshot).is_empty());
        snapshot.vpc_dns.change("vpc-1").unwrap().enable_dns_hostnames = true;
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_name_that_only_the_vpc_knows_needs_both_settings() {
        let says_of = |line: &str| {
            let mut snapshot = crate::baseline::fargate();
            let errors =
                crate::snapshot::metric::Metric::Target5xx.of(&crate::baseline::id::group("api"));
            snapshot.metrics.put(errors, crate::baseline::minutes(60.0));
            snapshot.vpc_dns.change("vpc-1").unwrap().enable_dns_hostnames = false;
            crate::baseline::peers::log(&mut snapshot, line);
            says(CHECK, &snapshot)
        };
        assert_eq!(
            says_of("Error: getaddrinfo ENOTFOUND api.corp.local"),
            [
                "enableDnsHostnames of VPC vpc-1 is off, so the name does not resolve, unless the VPC has its own name servers. The log says \"Error: getaddrinfo ENOTFOUND api.corp.local\"."
            ]
        );
        assert_eq!(says_of("Error: getaddrinfo ENOTFOUND api.example.com"), [""; 0]);
    }
}
