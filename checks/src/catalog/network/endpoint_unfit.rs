//! The endpoint that the tasks need is missing, closed, without private names, or its policy
//! refuses. It speaks only where a stopped task's reason proves that something was not reached, and
//! where no other route leads out of the subnet; an endpoint that is not needed may be configured
//! in any way.

use crate::aws::admission::Admission;
use crate::aws::policy;
use crate::aws::stop_reason::{self, Trouble};
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word, Words};
use crate::facts::network::egress_path::{self, EgressPath, Need, Unfit, of_endpoint};
use crate::facts::network::reach;
use crate::facts::tasks::reason::{self, Told};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::Endpoint;
use crate::text::{and_list, plural};
use crate::{aws, hcl, words};

crate::check! {
    /// A VPC endpoint that the tasks need is missing, not available, without private DNS, closed to
    /// them, or its policy refuses them.
    ///
    /// # Why it matters
    ///
    /// In a subnet without a route to the internet, tasks reach ECR, S3, CloudWatch Logs, Secrets
    /// Manager and Parameter Store through VPC endpoints only. If one is missing or misconfigured,
    /// no task starts. The error messages speak of images, secrets or roles.
    ///
    /// # How we tell
    ///
    /// Tasks on Fargate stopped with a timeout error, and their subnet has no other route out. The
    /// endpoint for the service that they called does not exist, though the VPC has others; or its
    /// state is not `available`; or it has no private DNS, so the name resolves outside the VPC;
    /// or, for S3, it is not in the subnet's route table; or none of its security groups allows the
    /// tasks on port 443, even though a task may have called a public address. A policy counts
    /// where AWS names it in its refusal, or where S3 answers 403 for the image layers that ECR
    /// keeps there, and the policy allows nobody `s3:GetObject` on that bucket. An endpoint in
    /// another Availability Zone than the task's is fine.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id <vpc> --service-name com.amazonaws.<region>.ecr.api --subnet-ids <subnets> --security-group-ids <group> --private-dns-enabled
    /// aws ec2 modify-vpc-endpoint --vpc-endpoint-id <endpoint> --private-dns-enabled
    /// aws ec2 modify-vpc-endpoint --vpc-endpoint-id <endpoint> --add-route-table-ids <table>
    /// ```
    ///
    /// Terraform/OpenTofu: `private_dns_enabled`, `security_group_ids`, `route_table_ids` and
    /// `policy` of `aws_vpc_endpoint`.
    ///
    /// # See also
    ///
    /// `no_route_out`, `vpc_dns_off`, `registry_unreachable`, `secret_store_unreachable`,
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html>
    title: "A VPC endpoint that the tasks need is missing or misconfigured",
    severity: High,
    role: Cause,
    explains: [RegistryUnreachable, SecretStoreUnreachable, LogsUnreachable, TasksFailToStart],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeSubnets, DescribeRouteTables, DescribeVpcEndpoints, DescribeNatGateways, DescribeSecurityGroups, DescribeVpcAttribute, DescribeTargetGroups, DescribeTargetHealth, DescribeTaskDefinition, GetLogEvents, GetMetricData,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::{endpoint, endpoint_group, fail_to_start};
        fail_to_start(
            snapshot,
            3,
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 10.0.1.77:443: i/o timeout",
        );
        snapshot.endpoints.put("vpc-1", vec![endpoint("ecr.api"), endpoint("ecr.dkr")]);
        snapshot.security_groups.put("sg-endpoint", endpoint_group("10.9.0.0/16"));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let paths = egress_path::failed(patient, findings);
    let mut unfit = Vec::new();
    for path in &paths {
        if let (Some(need), Some(found)) = (path.need, findings.see(path.unfit(patient)).flatten())
        {
            let at = format!("{need:?} {found:?}");
            unfit.push((path, at, (need, found)));
        }
    }
    for (paths, (need, unfit)) in egress_path::together(unfit) {
        let own = findings.see(paths[0].task_groups(patient)).unwrap_or_default();
        findings.add(finding(patient, &paths, need, &unfit, own.first().copied()));
    }
    for told in
        reason::told(patient, findings).iter().filter(|told| egress_path::is_of_endpoint(told.text))
    {
        if let Some(finding) = findings.see(refusal(patient, told)).flatten() {
            findings.add(finding);
        }
    }
    Ok(())
}

fn finding(
    patient: &Patient,
    paths: &[&EgressPath],
    need: Need,
    unfit: &Unfit,
    own_group: Option<&str>,
) -> Finding {
    let (subnets, vpc, word, name) =
        (egress_path::subnet_words(paths), paths[0].vpc, need.word(), need.words());
    let has_no_way =
        format!("{subnets} {} no other route to {name}", plural(paths.len(), "has", "have"));
    let modify = |endpoint: &Endpoint, option: Words| {
        aws!("ec2 modify-vpc-endpoint --vpc-endpoint-id {}", endpoint.vpc_endpoint_id).and(option)
    };
    let subject = |endpoint: &Endpoint| Subject::new(Kind::Endpoint, &endpoint.vpc_endpoint_id);
    let (subject, claim, evidence, remedy) = match unfit {
        Unfit::Missing(others) => {
            let services = and_list(others.iter().map(|endpoint| short(endpoint)));
            let evidence = others
                .iter()
                .map(|endpoint| of_endpoint(endpoint, "ServiceName", &endpoint.service_name))
                .collect();
            let remedy = Remedy::new(format!("Add an endpoint for {word} to the VPC."))
                .cli(create(patient, need, paths[0]))
                .terraform(hcl!(
                    r#"
                    resource "aws_vpc_endpoint" {} {
                      vpc_id       = {}
                      service_name = {}
                    }"#,
                    Name(word),
                    vpc,
                    service_name(patient, need)
                        .unwrap_or_else(|| format!("<endpoint service of {word}>"))
                ));
            let claim = format!(
                "VPC {vpc} has endpoints for {services}, and none for {word}: {has_no_way}"
            );
            (Subject::new(Kind::Vpc, vpc), claim, evidence, remedy)
        }
        Unfit::NotAvailable(endpoint) => (
            subject(endpoint),
            format!(
                "endpoint {} for {word} is in state {}, and {has_no_way}",
                endpoint.vpc_endpoint_id, endpoint.state
            ),
            vec![of_endpoint(endpoint, "State", &endpoint.state)],
            renewed(patient, need, paths[0], endpoint),
        ),
        Unfit::NoPrivateNames(endpoint) => (
            subject(endpoint),
            format!(
                "endpoint {} for {word} has no private DNS, so the name of {name} resolves outside the VPC; {has_no_way}",
                endpoint.vpc_endpoint_id
            ),
            vec![of_endpoint(endpoint, "PrivateDnsEnabled", false)],
            Remedy::new("Turn on private DNS of the endpoint.")
                .cli(modify(endpoint, words!("--private-dns-enabled")))
                .terraform(hcl!(
                    r#"
                    resource "aws_vpc_endpoint" "this" {
                      private_dns_enabled = true
                    }"#
                )),
        ),
        Unfit::NotInTable(endpoint, table) => (
            subject(endpoint),
            format!(
                "gateway endpoint {} for {word} is not in route table {}, and {has_no_way}{}",
                endpoint.vpc_endpoint_id,
                table.route_table_id,
                if need == Need::S3 { ", where ECR keeps the layers of images" } else { "" }
            ),
            endpoint
                .route_table_ids
                .iter()
                .map(|id| of_endpoint(endpoint, "RouteTableIds", id))
                .collect(),
            Remedy::new("Add the subnet's route table to the endpoint.")
                .cli(modify(endpoint, words!("--add-route-table-ids {}", table.route_table_id)))
                .terraform(hcl!(
                    r#"
                    resource "aws_vpc_endpoint_route_table_association" "s3" {
                      vpc_endpoint_id = {}
                      route_table_id  = {}
                    }"#,
                    endpoint.vpc_endpoint_id,
                    table.route_table_id
                )),
        ),
        Unfit::Closed(endpoint, groups) => {
            let own = own_group.unwrap_or_default();
            let ids = groups.iter().map(|group| group.group_id.as_str());
            let claim = format!(
                "no rule of the security groups of endpoint {} for {word} ({}) allows the tasks in {subnets} on port 443",
                endpoint.vpc_endpoint_id,
                ids.clone().collect::<Vec<_>>().join(", ")
            );
            let mut evidence: Vec<Evidence> =
                ids.map(|id| of_endpoint(endpoint, "Groups", id)).collect();
            evidence.extend(groups.iter().map(|group| reach::what_it_admits(group, 443)));
            let group = &groups[0].group_id;
            let remedy = Remedy::new("Allow the tasks' security group on port 443.")
                .cli(aws!(
                    "ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port 443 \
                     --source-group {}",
                    group,
                    own
                ))
                .terraform(reach::ingress_in_terraform("endpoint", group, own, 443));
            (subject(endpoint), claim, evidence, remedy)
        }
    };
    egress_path::finding(patient, subject, paths, &claim).because_all(evidence).mend(remedy)
}

/// An endpoint that failed or was rejected never becomes available: another one has to take its
/// place, and its private DNS names with it. One that is still on its way is only looked at.
fn renewed(patient: &Patient, need: Need, path: &EgressPath, endpoint: &Endpoint) -> Remedy {
    let id = &endpoint.vpc_endpoint_id;
    match endpoint.state.to_ascii_lowercase().as_str() {
        "failed" | "rejected" | "expired" => Remedy::new("Recreate the endpoint.")
            .cli(aws!("ec2 delete-vpc-endpoints --vpc-endpoint-ids {}", id))
            .cli(create(patient, need, path)),
        "deleting" | "deleted" => {
            Remedy::new("Create the endpoint again.").cli(create(patient, need, path))
        }
        _ => Remedy::new("Look at the endpoint's state: it may wait for its owner to accept it.")
            .cli(aws!("ec2 describe-vpc-endpoints --vpc-endpoint-ids {}", id)),
    }
}

fn create(patient: &Patient, need: Need, path: &EgressPath) -> Command {
    let kind = match need {
        Need::S3 => words!("--vpc-endpoint-type Gateway --route-table-ids $ROUTE_TABLE_ID"),
        _ => words!(
            "--vpc-endpoint-type Interface --private-dns-enabled \
             --security-group-ids $SECURITY_GROUP_ID --subnet-ids {}",
            path.stranded.subnet
        ),
    };
    aws!(
        "ec2 create-vpc-endpoint --vpc-id {} --service-name {}",
        path.vpc,
        service_name(patient, need)
            .map_or_else(|| Word::needed("ENDPOINT_SERVICE_NAME"), Word::new)
    )
    .and(kind)
}

/// The name of the endpoint service. In China and elsewhere some begin with another domain, which
/// `describe-vpc-endpoint-services` tells.
fn service_name(patient: &Patient, need: Need) -> Option<String> {
    let is_plain = matches!(patient.partition(), "aws" | "aws-us-gov");
    is_plain.then(|| format!("com.amazonaws.{}.{}", patient.region(), need.word()))
}

/// `ecr.api`, of `com.amazonaws.eu-west-2.ecr.api` and `cn.com.amazonaws.cn-north-1.ecr.api`.
fn short(endpoint: &Endpoint) -> &str {
    let name = endpoint.service_name.as_str();
    let in_region = name.split_once("amazonaws.").and_then(|(_, rest)| rest.split_once('.'));
    in_region.map_or(name, |(_, short)| short)
}

/// A longer policy does not fit a line of a report.
const QUOTED: usize = 400;

/// A refusal by the endpoint's policy and not by a role's.
fn refusal<'a>(patient: &Patient<'a>, told: &Told<'a>) -> Result<Option<Finding>, Blind> {
    let denied = matches!(
        told.reason.trouble,
        Trouble::ImagePullDenied | Trouble::SecretDenied | Trouble::LogsDenied
    );
    let (Some(need), true) = (Need::of(told), denied) else { return Ok(None) };
    let of_tasks = told.tasks.iter().find_map(|task| task.subnet_id.as_deref());
    let network = told.version.network(patient)?;
    let configured = network.and_then(|network| network.subnets.first()).map(String::as_str);
    let Some(subnet) = of_tasks.or(configured) else { return Ok(None) };
    let Some(vpc) = patient.subnet(subnet)?.and_then(|subnet| subnet.vpc_id.as_deref()) else {
        return Ok(None);
    };
    let layers = format!(
        "arn:{}:s3:::prod-{}-starport-layer-bucket/*",
        patient.partition(),
        patient.region()
    );
    let named = told.text.contains("VPC endpoint policy");
    let refuses = |endpoint: &&Endpoint| {
        let policy = endpoint.policy_document.as_deref();
        named
            || policy.is_some_and(|policy| {
                policy::allows(policy, "s3:GetObject", &layers) == Admission::No
            })
    };
    let Some(endpoint) =
        patient.endpoints(vpc)?.iter().filter(|endpoint| need.is_served_by(endpoint)).find(refuses)
    else {
        return Ok(None);
    };
    let action = if named {
        stop_reason::refused(told.text).action.unwrap_or("the call")
    } else {
        "s3:GetObject on the bucket of ECR's layers"
    };
    let id = &endpoint.vpc_endpoint_id;
    let claim = format!(
        "the policy of endpoint {id} for {} does not allow {action}, whatever the role allows: {}",
        need.word(),
        told.count(patient.now())
    );
    let remedy = Remedy::new(
        "Allow it in the endpoint's policy, or reset that to the default, which allows everything.",
    )
    .cli(aws!("ec2 modify-vpc-endpoint --vpc-endpoint-id {} --reset-policy", id))
    .terraform(hcl!(
        r#"
            resource "aws_vpc_endpoint" "this" {
              policy = data.aws_iam_policy_document.endpoint.json
            }"#
    ));
    Ok(Some(
        Subject::new(Kind::Endpoint, id)
            .sick(claim, told.evidence.clone())
            .because(of_endpoint(endpoint, "ServiceName", &endpoint.service_name))
            .because_all(
                endpoint
                    .policy_document
                    .as_deref()
                    .filter(|policy| policy.len() <= QUOTED)
                    .map(|policy| of_endpoint(endpoint, "PolicyDocument", policy)),
            )
            .mend(remedy)
            .concerns(Kind::TaskDefinition, told.task_definition)
            .concerns_no(Kind::TargetGroup),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, endpoint, endpoint_group};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    const OUTSIDE: &str = "RequestError: send request failed caused by: Post \"https://api.ecr.eu-west-2.amazonaws.com/\": dial tcp 52.94.53.1:443: i/o timeout";
    const LAYERS: &str = "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: failed to do request: Get \"https://prod-eu-west-2-starport-layer-bucket.s3.eu-west-2.amazonaws.com/abc\": dial tcp 52.95.148.10:443: i/o timeout";

    /// A subnet without an outbound route, and these endpoints.
    fn private(reason: &str, endpoints: Vec<Endpoint>) -> Snapshot {
        let mut snapshot = baseline::worker();
        let reason = reason.replace(
            "RequestError",
            "ResourceInitializationError: unable to pull secrets or registry auth: RequestError",
        );
        baseline::fail_to_start(&mut snapshot, 2, &reason);
        snapshot.route_tables.change("vpc-1").unwrap()[0].routes.truncate(1);
        snapshot.endpoints.put("vpc-1", endpoints);
        snapshot.security_groups.put("sg-endpoint", endpoint_group("10.0.0.0/16"));
        snapshot
    }

    fn gateway(tables: &[&str]) -> Endpoint {
        let route_table_ids = tables.iter().map(|id| (*id).into()).collect();
        Endpoint {
            vpc_endpoint_type: "Gateway".into(),
            private_dns_enabled: false,
            route_table_ids,
            ..endpoint("s3")
        }
    }

    #[test]
    fn names_endpoint_group_and_subnet_that_it_does_not_admit() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No rule of the security groups of endpoint vpce-ecr-api for ecr.api (sg-endpoint) allows the tasks in subnet subnet-0a1 on port 443. 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago."
            ]
        );
    }

    #[test]
    fn an_endpoint_that_admits_the_tasks_by_block_or_group_is_fit() {
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.put("sg-endpoint", endpoint_group("10.0.1.0/24"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut by_group = endpoint_group("10.9.0.0/16");
        by_group.ip_permissions.push(baseline::from_group(443, "sg-task"));
        snapshot.security_groups.put("sg-endpoint", by_group);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.security_groups.insert("sg-endpoint", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn without_private_dns_the_name_leads_out() {
        let unnamed = Endpoint { private_dns_enabled: false, ..endpoint("ecr.api") };
        let found = says(CHECK, &private(OUTSIDE, vec![unnamed.clone()]));
        assert!(
            found[0].starts_with("Endpoint vpce-ecr-api for ecr.api has no private DNS, so the name of ECR resolves outside the VPC; subnet subnet-0a1 has no other route to ECR."),
            "{found:?}"
        );
        let mut with_nat = private(OUTSIDE, vec![unnamed]);
        with_nat.route_tables = baseline::worker().route_tables;
        assert!(says(CHECK, &with_nat).is_empty(), "by NAT the name may well lead out");
    }

    #[test]
    fn one_that_is_missing_among_others_is_named() {
        let found = says(
            CHECK,
            &private(
                OUTSIDE,
                vec![endpoint("ecr.dkr"), endpoint("logs"), gateway(&["rtb-private"])],
            ),
        );
        assert!(
            found[0]
                .starts_with("VPC vpc-1 has endpoints for ecr.dkr, logs and s3, and none for ecr.api: subnet subnet-0a1 has no other route to ECR."),
            "{found:?}"
        );
        assert!(
            says(CHECK, &private(OUTSIDE, vec![gateway(&["rtb-private"])])).is_empty(),
            "a gateway for S3 is no sign of a closed VPC"
        );
    }

    #[test]
    fn one_that_failed_is_recreated_and_one_that_is_pending_only_looked_at() {
        let shell = |state: &str| {
            let unfit = Endpoint { state: state.into(), ..endpoint("ecr.api") };
            exam(CHECK, &private(OUTSIDE, vec![unfit])).findings.remove(0).remedy.shell()
        };
        let failed = shell("failed");
        assert!(failed[0].contains("delete-vpc-endpoints"), "{failed:?}");
        assert!(failed[1].contains("create-vpc-endpoint"), "{failed:?}");
        assert!(shell("deleted")[0].contains("create-vpc-endpoint"));
        assert!(shell("pending")[0].contains("describe-vpc-endpoints"));
    }

    #[test]
    fn one_that_is_not_available_is_named() {
        let pending = Endpoint { state: "pending".into(), ..endpoint("ecr.api") };
        assert!(
            says(CHECK, &private(OUTSIDE, vec![pending]))[0]
                .starts_with("Endpoint vpce-ecr-api for ecr.api is in state pending")
        );
        let in_capitals = Endpoint { state: "Available".into(), ..endpoint("ecr.api") };
        assert!(says(CHECK, &private(OUTSIDE, vec![in_capitals])).is_empty());
    }

    #[test]
    fn a_gateway_for_s3_must_be_in_the_subnets_table() {
        let found =
            says(CHECK, &private(LAYERS, vec![endpoint("ecr.api"), gateway(&["rtb-public"])]));
        assert!(
            found[0].starts_with(
                "Gateway endpoint vpce-s3 for s3 is not in route table rtb-private, and subnet subnet-0a1 has no other route to S3, where ECR keeps"
            ),
            "{found:?}"
        );
        assert!(
            says(CHECK, &private(LAYERS, vec![endpoint("ecr.api"), gateway(&["rtb-private"])]))
                .is_empty()
        );
    }

    #[test]
    fn a_policy_counts_where_the_refusal_names_it() {
        let text = |by: &str| {
            format!(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/01 is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no {by} policy allows the ecr:GetAuthorizationToken action"
            )
        };
        let found = says(CHECK, &private(&text("VPC endpoint"), vec![endpoint("ecr.api")]));
        assert!(
            found[0].starts_with("The policy of endpoint vpce-ecr-api for ecr.api does not allow ecr:GetAuthorizationToken, whatever the role allows"),
            "{found:?}"
        );
        assert!(
            says(CHECK, &private(&text("identity-based"), vec![endpoint("ecr.api")])).is_empty()
        );
    }

    #[test]
    fn a_policy_for_own_buckets_keeps_ecrs_layers_away() {
        let text = "CannotPullContainerError: failed to copy: httpReadSeeker: failed open: unexpected status code https://prod-eu-west-2-starport-layer-bucket.s3.eu-west-2.amazonaws.com/abc: 403 Forbidden";
        let policy = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ours","arn:aws:s3:::ours/*"]}]}"#;
        let own = Endpoint { policy_document: Some(policy.into()), ..gateway(&["rtb-private"]) };
        assert!(
            says(CHECK, &private(text, vec![own]))[0]
                .contains("does not allow s3:GetObject on the bucket of ECR's layers")
        );
        assert!(
            says(CHECK, &private(text, vec![gateway(&["rtb-private"])])).is_empty(),
            "the default lets everything through"
        );
    }
}
