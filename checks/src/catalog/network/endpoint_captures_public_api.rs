//! The private DNS of an API Gateway endpoint resolves the names of all APIs of the region to the
//! endpoint, including those of public APIs, which it does not serve. It speaks only where the
//! app's log shows that such a call fails, and clients, health checks or tasks are affected.
//! Endpoints for other services are for another check.

use crate::aws::api_gateway::Failure;
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::network::captured::{self, Captured};
use crate::facts::network::egress_path::of_endpoint;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Endpoint;
use crate::text::{and_list, shortened};
use crate::{aws, hcl};

crate::check! {
    /// The app calls a public API of API Gateway, and the private DNS of an interface endpoint
    /// resolves the name to the endpoint, which serves private APIs only.
    ///
    /// # Why it matters
    ///
    /// An endpoint for `execute-api` with private DNS takes over the name of every API in the
    /// region, including public ones and those of other accounts: creating one for a private API
    /// cuts the whole VPC off from the others. From outside everything works; inside, the answer is
    /// 403 `{"message":"Forbidden"}`, or none at all where the endpoint's security groups do not
    /// allow the tasks.
    ///
    /// # How we tell
    ///
    /// Clients get errors, health checks fail or tasks stop, and the log of the last hour names an
    /// API (`<id>.execute-api.<region>.amazonaws.com`) with 403 or a failed connection; and the VPC
    /// of the tasks has an available interface endpoint for `execute-api` with private DNS, and DNS
    /// support and host names are on. A name that does not resolve, and a refusal that says what
    /// the caller lacks, is something else. Whether the API is public is not checked: the resource
    /// policy of a private API may refuse in the same way, which is why this is likely and not
    /// certain.
    ///
    /// # What to do
    ///
    /// Call the public API by a custom domain name, which the endpoint does not take over; or turn
    /// off private DNS, and call private APIs by the endpoint's own name:
    ///
    /// ```sh
    /// aws apigateway get-rest-api --rest-api-id <id> --query endpointConfiguration.types
    /// aws ec2 modify-vpc-endpoint --vpc-endpoint-id <endpoint> --no-private-dns-enabled
    /// ```
    ///
    /// Terraform/OpenTofu: `private_dns_enabled` of `aws_vpc_endpoint`;
    /// `aws_api_gateway_domain_name`.
    ///
    /// # See also
    ///
    /// `endpoint_unfit`, `vpc_dns_off`,
    /// <https://repost.aws/knowledge-center/api-gateway-vpc-connections>
    title: "An endpoint's private DNS captures a public API",
    severity: High,
    role: Cause,
    explains: [
        AppAnswers5xx, AppAnswersSlowly, AppAnswers4xx, ContainerExits, HealthCheckFailsInApp, HealthCheckTimesOut,
    ],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups, DescribeTargetHealth, DescribeSubnets, DescribeVpcEndpoints, DescribeVpcAttribute, GetLogEvents, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{endpoint, id, minutes, peers};
        let errors = crate::snapshot::metric::Metric::Target5xx.of(&id::group("api"));
        snapshot.metrics.put(errors, minutes(60.0));
        peers::log(
            snapshot,
            "HTTPError: 403 Client Error: Forbidden for url: https://a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com/prod/prices",
        );
        snapshot.endpoints.put("vpc-1", vec![endpoint("execute-api")]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for captured in captured::captured(patient, findings) {
        if let Some(endpoint) = findings.see(captured.endpoint(patient)).flatten() {
            findings.add(finding(&captured, endpoint));
        }
    }
    Ok(())
}

fn finding(captured: &Captured, endpoint: &Endpoint) -> Finding {
    let id = &endpoint.vpc_endpoint_id;
    let hosts = captured.hosts();
    let forbidden = captured.calls.iter().any(|(call, _)| call.failure == Failure::Forbidden);
    let effect = if forbidden { "gets 403" } else { "gets no connection" };
    let claim = format!(
        "the private DNS of endpoint {id} resolves {}, which the app calls, to the endpoint, which serves private APIs only: likely why the app {effect}",
        and_list(&hosts)
    );
    let api = captured.calls.first().map_or("", |(call, _)| call.api);
    let remedy = Remedy::new(
        "If the API is public, call it by a custom domain name, or turn off the endpoint's private DNS and call private APIs by the endpoint's own name. If it is private, allow the endpoint in its resource policy.",
    )
    .cli(aws!(
        "apigateway get-rest-api --rest-api-id {} --query endpointConfiguration.types",
        api
    ))
    .cli(aws!("ec2 modify-vpc-endpoint --vpc-endpoint-id {} --no-private-dns-enabled", id))
    .terraform(hcl!(
        r#"
        resource "aws_vpc_endpoint" "execute_api" {
          private_dns_enabled = false
        }"#
    ));
    Subject::new(Kind::Endpoint, id)
        .sick(claim, captured.newest.clone())
        .detail(said(captured))
        .because(of_endpoint(endpoint, "ServiceName", &endpoint.service_name))
        .because(of_endpoint(endpoint, "PrivateDnsEnabled", true))
        .because(Evidence::new(
            Call::DescribeVpcAttribute,
            captured.vpc,
            "EnableDnsHostnames",
            true,
        ))
        .mend(remedy)
        .concerns_all(
            Kind::TaskDefinition,
            captured.tasks.iter().map(|task| task.task_definition_arn.as_str()),
        )
        .concerns_all(Kind::TargetGroup, captured.groups.iter().copied())
}

/// `The log says "…", 4 times within 6 min.`
fn said(captured: &Captured) -> String {
    let times = || captured.calls.iter().filter_map(|(_, line)| line.timestamp);
    let often = match times().min().zip(times().max()) {
        Some((first, last)) if captured.calls.len() > 1 => format!(
            ", {} times within {}",
            captured.calls.len(),
            time::words(time::age(last, first))
        ),
        _ => String::new(),
    };
    let line = captured.calls.first().map_or("", |(_, line)| line.message.trim());
    let line = line.lines().next().unwrap_or_default();
    format!("The log says \"{}\"{often}.", shortened(line, 160))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, endpoint, id, minutes, peers};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::snapshot::metric::Metric;
    use crate::testing::{exam, says};

    const API: &str = "a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com";

    /// A service whose clients get errors, and whose log says this, in a VPC with this endpoint.
    fn saying(message: &str, endpoint: Endpoint) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::Target5xx.of(&id::group("api")), minutes(60.0));
        peers::log(&mut snapshot, message);
        snapshot.endpoints.put("vpc-1", vec![endpoint]);
        snapshot
    }

    #[test]
    fn names_endpoint_and_api() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The private DNS of endpoint vpce-execute-api resolves a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com, which the app calls, to the endpoint, which serves private APIs only: likely why the app gets 403. The log says \"HTTPError: 403 Client Error: Forbidden for url: https://a1b2c3d4e5.execute-api.eu-west-2.amazonaws.com/prod/prices\"."
            ]
        );
    }

    #[test]
    fn explains_what_clients_get() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let roots = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent)).roots;
        assert_eq!(roots[0].check.id(), CHECK.id());
        assert!(roots[0].explains.iter().any(|node| node.check.id() == "app_answers_5xx"));
    }

    #[test]
    fn a_worker_that_says_so_again_and_again_suffers() {
        let mut snapshot = baseline::worker();
        let line = format!("connect ETIMEDOUT 10.0.1.77:443 https://{API}/prod");
        for _ in 0..3 {
            peers::log(&mut snapshot, &line);
        }
        snapshot.endpoints.put("vpc-1", vec![endpoint("execute-api")]);
        let found = says(CHECK, &snapshot);
        assert!(found[0].contains("likely why the app gets no connection"), "{found:?}");
        for lines in snapshot.logs.0.values_mut() {
            if let Seen::Yes(Some(lines)) = lines {
                lines.pop();
            }
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_endpoint_without_private_names_or_for_something_else_captures_nothing() {
        let forbidden = format!("403 Forbidden https://{API}/prod");
        let unnamed = Endpoint { private_dns_enabled: false, ..endpoint("execute-api") };
        let pending = Endpoint { state: "pending".into(), ..endpoint("execute-api") };
        for other in [unnamed, pending, endpoint("sqs")] {
            assert_eq!(exam(CHECK, &saying(&forbidden, other)).outcome, Outcome::Healthy);
        }
        let mut snapshot = saying(&forbidden, endpoint("execute-api"));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        snapshot.vpc_dns.change("vpc-1").unwrap().enable_dns_hostnames = false;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "its names do not count");
    }

    #[test]
    fn what_the_api_refuses_itself_and_another_region_are_no_matter_of_the_endpoint() {
        for line in [
            format!("403 https://{API}/prod {{\"message\":\"Missing Authentication Token\"}}"),
            "403 Forbidden https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/prod".to_owned(),
            "403 Forbidden https://api.example.com/prod".to_owned(),
            format!("getaddrinfo ENOTFOUND {API}"),
        ] {
            let snapshot = saying(&line, endpoint("execute-api"));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{line}");
        }
    }

    #[test]
    fn an_app_may_live_with_it_and_endpoints_may_be_unseen() {
        let mut snapshot = (CHECK.example)();
        snapshot.endpoints.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut snapshot = (CHECK.example)();
        snapshot.metrics = baseline::fargate().metrics;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
