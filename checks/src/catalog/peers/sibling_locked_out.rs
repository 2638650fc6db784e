//! The service calls a sibling by its public name, and what guards the sibling's load balancer, its
//! security groups or its web ACL, blocks the address that the tasks come from. It needs the load
//! balancer's rules and the tasks' public addresses.

use std::collections::BTreeSet;

use crate::aws::cidr::Cidr;
use crate::aws::host::{self, AwsHost};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word};
use crate::facts::inbound::inbound_rules::{self, Admitted, InboundRules, LetIn};
use crate::facts::inbound::instance;
use crate::facts::inbound::web_acl::{self, Verdict};
use crate::facts::peers::callee::{self, Named};
use crate::facts::peers::service_connect;
use crate::facts::peers::sibling::{self, Callee, Source};
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Finding, Remedy};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{IpSet, LoadBalancer, WebAcl};
use crate::text::{and_list, parsed};
use crate::{aws, hcl, words};

crate::check! {
    /// The tasks call another service by its public name, and the security groups of its load
    /// balancer, or its web ACL, block their address.
    ///
    /// # Why it matters
    ///
    /// Somebody closed the load balancer to unknown addresses, and your own tasks come from one:
    /// the address of the NAT gateway, or one that changes with every task. Where security groups
    /// block them, their calls hang until they time out; a web ACL answers 403.
    ///
    /// # How we tell
    ///
    /// A variable of a current version names a host of another service behind an internet-facing
    /// load balancer of the VPC, or the load balancer's own name. The tasks' outbound route leads
    /// to a NAT gateway, or to the internet with an address of their own, or of their instances;
    /// and no rule of the load balancer's security groups allows that address on the listener's
    /// port. A rule that names a group does not count here: it covers private addresses only. A
    /// prefix list counts with its entries; where they were not seen, nothing is claimed. Log lines
    /// of the last hour that name the host connect it with the failures of the tasks.
    ///
    /// The rules of the web ACL are evaluated in their order for the address. IP sets, and
    /// statements that combine or negate others, are evaluated; where a rule that looks at anything
    /// else might allow the request, nothing is claimed.
    ///
    /// A rule for the host shows that the load balancer answers for it, and not that the name
    /// resolves to it. So without a log line it is "likely", unless the name is the load balancer's
    /// own or an Express endpoint; and a load balancer that allows CloudFront is left out, for
    /// calls then come from there. So is one that tasks may call over IPv6.
    ///
    /// # What to do
    ///
    /// Call the service by a private name. Or allow the NAT gateway's address, which stays the
    /// same:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <balancer's group> --protocol tcp --port 443 --cidr <address>/32
    /// aws wafv2 update-ip-set --scope REGIONAL --name <name> --id <id> --addresses <all addresses> --lock-token <token>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_vpc_security_group_ingress_rule`, `addresses` in
    /// `aws_wafv2_ip_set`, or `service_connect_configuration` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `calls_sibling_over_internet`, `ingress_wider_than_expected`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect.html>
    title: "The load balancer of the other service does not let these tasks in",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups,
        DescribeTargetHealth, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables,
        DescribeNetworkInterfaces, DescribeNatGateways, GetManagedPrefixListEntries, DescribeManagedPrefixLists, GetWebAclForResource, GetIpSet, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::peers::{allow_list, log, name_host, other_balancer};
        use crate::baseline::{forward, host_rule, id, prefix_list, roll_out};
        use crate::snapshot::NatAddresses;
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        let path = "app/web/50dc6c495c0c9188/f2f7dc8efc522ab2";
        let rule = host_rule(&id::elb(&format!("listener-rule/{path}/1111111111111111")), "20", "orders.example.com", forward(&[(&id::group("orders"), 1)]));
        if let Some(rules) = snapshot.rules.change(&id::elb(&format!("listener/{path}"))) {
            rules.insert(1, rule);
        }
        let office = prefix_list::list(snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24"]);
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions.push(prefix_list::from_list(443, office)));
        // The web ACL of another sibling knows the gateway.
        let shop = other_balancer(snapshot, "shop", "internet-facing", "billing.example.com");
        allow_list(snapshot, &shop, &["203.0.113.0/24", "18.130.1.2/32"]);
        name_host(snapshot, &[("ORDERS_URL", "orders.example.com"), ("BILLING_URL", "billing.example.com")]);
        snapshot.nat_addresses.put("nat-1", NatAddresses { nat_gateway_id: "nat-1".into(), public_ip: vec!["18.130.1.2".into()] });
        log(snapshot, "Error: connect ETIMEDOUT https://orders.example.com/v1");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if sibling::is_on_instances(patient) && instance::of_tasks(patient)?.is_empty() {
        return Err(NoAnswer::NotApplicable(callee::NO_INTERFACE));
    }
    let calls = sibling::calls(patient, findings)?;
    let calls: Vec<(Named, Callee)> =
        calls.into_iter().filter(|(_, callee)| callee.balancer().is_some()).collect();
    if calls.is_empty() {
        return Err(NoAnswer::NotApplicable(
            "it calls no other service behind a known public load balancer",
        ));
    }
    for (named, callee) in &calls {
        let Some(balancer) = callee.balancer() else { continue };
        let inbound = inbound_rules::of_balancer(patient, &balancer.load_balancer_arn, findings);
        if inbound.as_ref().is_some_and(|inbound| is_behind_a_cdn(patient, findings, inbound))
            || findings.see(may_come_by_v6(patient, balancer)) != Some(false)
        {
            continue;
        }
        let by_groups =
            inbound.and_then(|inbound| shut_by_groups(patient, findings, &inbound, callee));
        let shut = by_groups.or_else(|| findings.see(shut_by_web_acl(patient, balancer)).flatten());
        if let Some(shut) = shut {
            tell(patient, findings, named, callee, &shut);
        }
    }
    Ok(())
}

/// Whether CloudFront is allowed: then the name likely leads to a distribution, and calls come from
/// there.
fn is_behind_a_cdn(patient: &Patient, findings: &mut Findings, inbound: &InboundRules) -> bool {
    let lists: BTreeSet<&String> = inbound
        .groups
        .iter()
        .flat_map(|group| &group.ip_permissions)
        .flat_map(|one| &one.prefix_list_id)
        .collect();
    lists.into_iter().any(|id| {
        let list = findings.see(patient.managed_prefix_list(id)).flatten();
        list.is_some_and(|list| {
            list.prefix_list_name.as_deref().is_some_and(|name| name.contains("cloudfront"))
        })
    })
}

/// Whether tasks and load balancer both speak IPv6: the addresses by which the tasks come then are
/// not known.
fn may_come_by_v6(patient: &Patient, balancer: &LoadBalancer) -> Result<bool, Blind> {
    let speaks =
        balancer.ip_address_type.as_deref().is_some_and(|kind| kind.starts_with("dualstack"));
    if speaks { sibling::may_leave_by_v6(patient) } else { Ok(false) }
}

/// Addresses of the tasks that are blocked.
struct Shut<'a> {
    balancer: &'a LoadBalancer,
    sources: Vec<Source>,
    /// Other addresses of theirs are allowed.
    some_get_in: bool,
    by: Guard<'a>,
}

/// What blocks them.
enum Guard<'a> {
    Groups { let_in: LetIn<'a>, ports: BTreeSet<i32> },
    WebAcl { acl: &'a WebAcl, verdict: Verdict<'a>, sets: Vec<&'a IpSet> },
}

fn shut_by_groups<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    inbound: &InboundRules<'a>,
    callee: &Callee,
) -> Option<Shut<'a>> {
    let balancer = inbound.balancer;
    if inbound.groups.len() < balancer.security_groups.len()
        || sibling::is_open(patient, inbound, callee, findings)
    {
        return None;
    }
    let let_in = inbound.lets_in(patient, findings, |_| true);
    // A rule that names a group covers private addresses only; what is in a list that was not seen
    // is not known.
    if let_in.unknown.iter().any(|source| source.starts_with("pl-")) {
        return None;
    }
    let ports =
        if let Callee::Rule { ports, .. } = callee { ports.clone() } else { BTreeSet::new() };
    let admits = |source: &Source| {
        let here = |admitted: &Admitted| {
            ports.is_empty() || ports.iter().any(|port| admitted.ports.contains(port))
        };
        let_in.blocks.iter().any(|admitted| admitted.block.has(source.address) && here(admitted))
    };
    let (admitted, sources): (Vec<Source>, Vec<Source>) =
        findings.see(sibling::sources(patient))?.into_iter().partition(admits);
    (!sources.is_empty()).then_some(Shut {
        balancer,
        sources,
        some_get_in: !admitted.is_empty(),
        by: Guard::Groups { let_in, ports },
    })
}

fn shut_by_web_acl<'a>(
    patient: &Patient<'a>,
    balancer: &'a LoadBalancer,
) -> Result<Option<Shut<'a>>, Blind> {
    let Some(acl) = web_acl::before(patient, &balancer.load_balancer_arn)?
        .filter(|acl| !web_acl::ip_sets(acl).is_empty())
    else {
        return Ok(None);
    };
    let sources = sibling::sources(patient)?;
    let all = sources.len();
    let mut shut: Vec<(Source, Verdict)> = Vec::new();
    for source in sources {
        let verdict = web_acl::verdict(patient, acl, source.address)?;
        shut.extend((verdict != Verdict::Open).then_some((source, verdict)));
    }
    let Some((_, verdict)) = shut.first() else { return Ok(None) };
    let mut sets = Vec::new();
    for arn in web_acl::ip_sets(acl) {
        sets.extend(patient.ip_set(arn)?);
    }
    let by = Guard::WebAcl { acl, verdict: *verdict, sets };
    Ok(Some(Shut {
        balancer,
        some_get_in: shut.len() < all,
        sources: shut.into_iter().map(|(source, _)| source).collect(),
        by,
    }))
}

fn tell(patient: &Patient, findings: &mut Findings, named: &Named, callee: &Callee, shut: &Shut) {
    let failed = connection_errors::failed(patient, findings);
    let failed: Vec<_> = failed.iter().filter(|failed| failed.is_about(named.host, None)).collect();
    let nat: BTreeSet<&str> =
        shut.sources.iter().filter_map(|source| source.nat_gateway.as_deref()).collect();
    let addresses: BTreeSet<String> =
        shut.sources.iter().map(|source| source.address.to_string()).collect();
    let whose = match nat.is_empty() {
        true if shut.sources.iter().any(|source| source.of_instance) => {
            "public addresses of their instances, which change with each instance".to_owned()
        }
        true => "their own public addresses, which change with each task".to_owned(),
        false => format!("of {}", and_list(&nat)),
    };
    let (Shut { balancer, .. }, Named { variable, host, .. }) = (shut, named);
    let addresses = format!("{} ({whose})", and_list(&addresses));
    let refuses = match &shut.by {
        Guard::Groups { ports, .. } => {
            let on = if ports.is_empty() {
                String::new()
            } else {
                format!(" on {}", inbound_rules::port_words(ports))
            };
            format!(
                "load balancer {}, which answers for {variable} ({host}), does not allow {addresses}{on}",
                balancer.load_balancer_name
            )
        }
        Guard::WebAcl { acl, verdict, .. } => {
            let why = match verdict {
                Verdict::Rule(rule) => format!(" by rule {}", rule.name),
                Verdict::Default | Verdict::Open => ", which no rule allows".to_owned(),
            };
            let name = &balancer.load_balancer_name;
            format!(
                "web ACL {} of load balancer {name}, which answers for {variable} ({host}), blocks {addresses}{why}",
                acl.name
            )
        }
    };
    // A rule tells that the load balancer answers for the host, and not that its DNS leads there: a
    // CDN may stand between.
    let is_there = !failed.is_empty()
        || matches!(callee, Callee::Balancer(_))
        || host::of_aws(host) == Some(AwsHost::Express { region: patient.region() });
    let effect = match (shut.some_get_in, is_there) {
        (false, true) => "the tasks call from there, so they are blocked",
        (false, false) => {
            "the tasks call from there, so they are likely blocked, unless the name resolves to something else, such as a CDN"
        }
        (true, true) => "calls from there fail, and the others get through",
        (true, false) => {
            "calls from there likely fail, unless the name resolves to something else, such as a CDN, and the others get through"
        }
    };
    let mut sources = shut.sources.iter().map(|source| source.evidence.clone());
    let Some(first) = sources.next() else { return };
    let finding: Finding = patient
        .subject()
        .sick(format!("{refuses}: {effect}"), first)
        .detail(connection_errors::quote(&failed))
        .because_all(sources)
        .because_all(shut.evidence())
        .because_all(named.evidence())
        .mend(remedy(patient, shut));
    findings.add(connection_errors::join(finding, &failed));
}

impl Shut<'_> {
    fn evidence(&self) -> Vec<Evidence> {
        let arn = &self.balancer.load_balancer_arn;
        match &self.by {
            Guard::Groups { let_in, .. } => {
                let groups = self.balancer.security_groups.iter();
                let mut evidence =
                    inbound_rules::evidence(&let_in.blocks.iter().collect::<Vec<_>>());
                evidence.extend(groups.map(|group| {
                    Evidence::new(Call::DescribeLoadBalancers, arn, "SecurityGroups", group)
                }));
                evidence
            }
            Guard::WebAcl { verdict, sets, .. } => {
                let decided = match verdict {
                    Verdict::Rule(rule) => ("Rules.Name", rule.name.as_str()),
                    Verdict::Default | Verdict::Open => ("DefaultAction", "Block"),
                };
                let of_set = |set: &&IpSet| {
                    let some: Vec<String> =
                        set.addresses.iter().take(inbound_rules::NAMED).cloned().collect();
                    let arn = set.arn.clone();
                    let none = set.addresses.is_empty().then(|| "[]".to_owned());
                    some.into_iter().chain(none).map(move |address| {
                        Evidence::new(Call::GetIpSet, &arn, "Addresses", address)
                    })
                };
                let mut evidence =
                    vec![Evidence::new(Call::GetWebAclForResource, arn, decided.0, decided.1)];
                evidence.extend(sets.iter().flat_map(of_set));
                evidence
            }
        }
    }
}

fn remedy(patient: &Patient, shut: &Shut) -> Remedy {
    let lent: Vec<Cidr> = shut
        .sources
        .iter()
        .filter(|source| source.nat_gateway.is_some())
        .filter_map(|source| parsed(&source.address.to_string()))
        .collect();
    let opening = opening(shut, &lent);
    let terraform = opening.as_ref().map(|(_, terraform)| terraform.clone());
    let mut remedy = match opening {
        Some((opening, _)) => {
            let summary = "Allow the NAT gateway's address: it stays the same. Better, call the service by a private name, with Service Connect (set it up there \
                           first, then here) or an internal load balancer.";
            opening.into_iter().fold(Remedy::new(summary), Remedy::cli)
        }
        None if !lent.is_empty() => Remedy::new(
            "Call the service by a private name, with Service Connect (set it up there first, then here) or an internal load balancer; or change \
             what blocks the NAT gateway's address.",
        ),
        None => {
            let every = if shut.sources.iter().any(|source| source.of_instance) {
                "instance"
            } else {
                "task"
            };
            Remedy::new(format!(
                "Call the service by a private name, with Service Connect (set it up there first, then here) or an internal load balancer: the tasks' \
                 public addresses change with every {every}, so no allow list holds. Or route the tasks through a NAT gateway and allow its address."
            ))
        }
    };
    remedy = service_connect::joining(remedy, patient);
    if patient.is_express() {
        remedy.summary.push_str(" The Express Mode API has no Service Connect; update-service reportedly accepts it, which AWS does not document.");
    }
    match terraform {
        Some(terraform) => remedy.terraform(terraform),
        None => remedy,
    }
}

/// The commands that allow the addresses of NAT gateways, and the same as Terraform/OpenTofu; none
/// where there are none, or nothing that takes them.
fn opening(shut: &Shut, lent: &[Cidr]) -> Option<(Vec<Command>, Hcl)> {
    let first = lent.first()?;
    match &shut.by {
        Guard::Groups { ports, .. } => {
            let port =
                ports.iter().find(|port| **port == 443).or(ports.first()).copied().unwrap_or(443);
            let group = shut.balancer.security_groups.first()?;
            let commands = lent
                .iter()
                .map(|block| inbound_rules::authorize(group, port, block.to_string()))
                .collect();
            Some((commands, inbound_rules::terraform("clients", group, port, &first.to_string())))
        }
        Guard::WebAcl { acl, verdict, sets } => {
            let wanted = web_acl::letting_in(acl, verdict);
            let is_wanted = |set: &&&IpSet| {
                wanted.contains(&set.arn.as_str())
                    && set.ip_address_version.as_deref() == Some("IPV4")
            };
            let set = sets.iter().find(is_wanted)?;
            let blocks: Vec<String> = lent.iter().map(ToString::to_string).collect();
            let named = words!("--scope REGIONAL --name {} --id {}", set.name, set.id);
            let get = aws!("wafv2 get-ip-set").and(named.clone());
            // The update replaces all addresses, so those that are there by then come along.
            let added: Vec<String> = blocks.iter().map(|block| format!("'{block}'")).collect();
            let all = format!("[IPSet.Addresses,[{}]][]", added.join(","));
            let read = get
                .clone()
                .and(words!("--query {} --output json", all))
                .into_file("addresses.json");
            let token = Word::output(get.and(words!("--query LockToken --output text")));
            let write = aws!("wafv2 update-ip-set")
                .and(named)
                .and(words!("--addresses file://addresses.json --lock-token {}", token));
            let terraform = hcl!(
                r#"
                resource "aws_wafv2_ip_set" {} {
                  addresses = [
                    # and those that are there
                    {}
                  ]
                }"#,
                set.name,
                Hcl::lines(blocks.iter().map(|block| hcl!("{},", block)))
            );
            Some((vec![read, write], terraform))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::peers::{self, name_host};
    use crate::baseline::{self, everywhere, forward, host_rule, id, prefix_list};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::web_acl::Statement;
    use crate::snapshot::{Action, IpPermission, SecurityGroup, Snapshot, WebAclRule};
    use crate::testing::{exam, says};

    fn admit(snapshot: &mut Snapshot, permission: IpPermission) {
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.push(permission);
    }

    fn block(cidr: &str) -> IpPermission {
        IpPermission { cidr_ip: vec![cidr.into()], ..everywhere("tcp", Some(443)) }
    }

    #[test]
    fn names_variable_host_balancer_and_the_address_to_let_in() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Load balancer web, which answers for ORDERS_URL (orders.example.com), does not allow 18.130.1.2 (of nat-1) on port 443: the tasks call \
              from there, so they are blocked. The log says \"Error: connect ETIMEDOUT https://orders.example.com/v1\"."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings[0].remedy.clone();
        assert!(remedy.shell()[0].contains("CidrIp=18.130.1.2/32"), "{remedy:?}");
    }

    #[test]
    fn a_door_that_admits_the_address_or_everybody_is_open() {
        for cidr in ["18.130.1.2/32", "18.128.0.0/9", "0.0.0.0/0"] {
            let mut snapshot = (CHECK.example)();
            admit(&mut snapshot, block(cidr));
            assert!(says(CHECK, &snapshot).is_empty(), "{cidr}");
        }
        let mut snapshot = (CHECK.example)();
        admit(
            &mut snapshot,
            IpPermission { from_port: Some(80), to_port: Some(80), ..block("18.130.1.2/32") },
        );
        assert_eq!(says(CHECK, &snapshot).len(), 1, "another port");
    }

    #[test]
    fn the_door_may_be_that_of_another_balancer() {
        let mut snapshot = (CHECK.example)();
        let shop = id::elb("loadbalancer/app/shop/1111111111111111");
        snapshot.load_balancers.change(&shop).unwrap().security_groups = vec!["sg-shop".into()];
        let narrow = SecurityGroup {
            group_id: "sg-shop".into(),
            ip_permissions: vec![block("203.0.113.0/24")],
            ..SecurityGroup::default()
        };
        snapshot.security_groups.put("sg-shop", narrow);
        name_host(&mut snapshot, &[("BILLING_URL", "billing.example.com")]);
        assert!(
            says(CHECK, &snapshot)[0]
                .starts_with("Load balancer shop, which answers for BILLING_URL"),
            "{:?}",
            says(CHECK, &snapshot)
        );
    }

    /// The example with another sibling's web ACL only: it lets in these blocks.
    fn behind_a_web_acl(blocks: &[&str]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        peers::allow_list(
            &mut snapshot,
            &id::elb("loadbalancer/app/shop/1111111111111111"),
            blocks,
        );
        name_host(&mut snapshot, &[("BILLING_URL", "billing.example.com")]);
        snapshot
    }

    #[test]
    fn an_allow_list_may_have_forgotten_the_gateway() {
        let finding = &exam(CHECK, &behind_a_web_acl(&["203.0.113.0/24"])).findings[0];
        assert_eq!(
            finding.says(),
            "Web ACL inside-only of load balancer shop, which answers for BILLING_URL (billing.example.com), blocks 18.130.1.2 (of nat-1), which no \
             rule allows: the tasks call from there, so they are likely blocked, unless the name resolves to something else, such as a CDN."
        );
        let set = "--scope REGIONAL --name office --id 9f8e7d6c-";
        let commands = finding.remedy.shell();
        assert!(
            commands[0].starts_with(&format!("aws wafv2 get-ip-set {set}"))
                && commands[0].contains("[IPSet.Addresses,['18.130.1.2/32']][]")
                && commands[0].ends_with(" > addresses.json"),
            "{commands:?}"
        );
        assert!(
            commands[1].starts_with(&format!("aws wafv2 update-ip-set {set}"))
                && commands[1].contains(" --addresses file://addresses.json --lock-token \"$(aws "),
            "{commands:?}"
        );
        assert!(says(CHECK, &behind_a_web_acl(&["203.0.113.0/24", "18.130.0.0/16"])).is_empty());
    }

    /// Puts a rule before the others that blocks whoever is in a set with these blocks.
    fn block_list(snapshot: &mut Snapshot, blocks: &[&str]) {
        let addresses = blocks.iter().map(|block| (*block).to_owned()).collect();
        let ip_address_version = Some("IPV4".into());
        snapshot.ip_sets.put(
            "bad",
            IpSet {
                arn: "bad".into(),
                id: "bad-id".into(),
                name: "bad-bots".into(),
                ip_address_version,
                addresses,
            },
        );
        let statement = Statement {
            kind: "IPSetReference".into(),
            arn: Some("bad".into()),
            ..Statement::default()
        };
        let rule = WebAclRule {
            name: "bots".into(),
            action: Some("Block".into()),
            statement,
            ..WebAclRule::default()
        };
        snapshot
            .web_acls
            .change(&id::elb("loadbalancer/app/shop/1111111111111111"))
            .unwrap()
            .rules
            .insert(0, rule);
    }

    #[test]
    fn no_address_goes_into_a_block_list() {
        let mut beside = behind_a_web_acl(&["203.0.113.0/24"]);
        block_list(&mut beside, &["192.0.2.0/24"]);
        assert!(exam(CHECK, &beside).findings[0].remedy.shell()[0].contains("--name office"));
        let mut within = behind_a_web_acl(&["0.0.0.0/1"]);
        block_list(&mut within, &["18.130.1.2/32"]);
        let finding = &exam(CHECK, &within).findings[0];
        assert!(finding.says().contains("by rule bots"), "{}", finding.says());
        assert!(
            !finding.remedy.shell().iter().any(|command| command.contains("update-ip-set")),
            "{:?}",
            finding.remedy.shell()
        );
    }

    #[test]
    fn behind_cloudfront_calls_come_from_there() {
        let mut snapshot = (CHECK.example)();
        let list = prefix_list::of_cloudfront(&mut snapshot);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![prefix_list::from_list(443, list)];
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn one_open_listener_of_several_is_enough() {
        let mut snapshot = behind_a_web_acl(&[]);
        let shop = id::elb("loadbalancer/app/shop/1111111111111111");
        snapshot.web_acls.insert(&shop, Seen::Yes(None));
        snapshot.security_groups.change("sg-open").unwrap().ip_permissions =
            vec![block("18.130.1.2/32")];
        // The sibling's test listener has the same host, and comes first.
        let mut test = snapshot.listeners.change(&shop).unwrap()[0].clone();
        let rules = snapshot.rules.change(&test.listener_arn).unwrap().clone();
        (test.listener_arn, test.port) = ("test".into(), Some(8443));
        snapshot.rules.put("test", rules);
        snapshot.listeners.change(&shop).unwrap().insert(0, test);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn an_open_port_for_redirects_opens_no_other() {
        let mut snapshot = (CHECK.example)();
        baseline::plain_listener(
            &mut snapshot,
            "web",
            Action { kind: "redirect".into(), ..Action::default() },
        );
        admit(&mut snapshot, everywhere("tcp", Some(80)));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_rule_that_names_a_group_lets_nobody_in_from_the_internet() {
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, baseline::from_group(443, "sg-task"));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn by_ipv6_tasks_may_come_with_addresses_that_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .ip_address_type = Some("dualstack".into());
        assert_eq!(says(CHECK, &snapshot).len(), 1, "the tasks' subnets have IPv4 only");
        for subnet in snapshot.subnets.0.values_mut() {
            if let Seen::Yes(Some(subnet)) = subnet {
                subnet.ipv6_cidr_block = vec!["2a05:d01c:1:2::/64".into()];
            }
        }
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn of_two_addresses_one_may_get_in() {
        let mut snapshot = (CHECK.example)();
        snapshot.nat_addresses.change("nat-1").unwrap().public_ip.push("18.130.1.3".into());
        admit(&mut snapshot, block("18.130.1.2/32"));
        let said = says(CHECK, &snapshot).remove(0);
        assert!(
            said.contains("does not allow 18.130.1.3 (of nat-1)")
                && said.contains("calls from there fail"),
            "{said}"
        );
    }

    #[test]
    fn of_many_balancers_an_internal_one_may_be_the_private_way() {
        let mut snapshot = (CHECK.example)();
        name_host(&mut snapshot, &[("ORDERS_URL", "orders.example.com")]);
        for n in 0..=sibling::OTHERS {
            let other = peers::other_balancer(
                &mut snapshot,
                &format!("inside{n}"),
                "internal",
                "x.example.com",
            );
            snapshot.listeners.0.remove(&other);
        }
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn without_the_addresses_of_an_allow_list_nobody_knows() {
        let mut snapshot = behind_a_web_acl(&["203.0.113.0/24"]);
        snapshot.ip_sets.0.values_mut().for_each(|set| *set = Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn a_web_acl_without_addresses_does_not_ask_where_tasks_come_from() {
        let mut snapshot = behind_a_web_acl(&[]);
        let shop = id::elb("loadbalancer/app/shop/1111111111111111");
        snapshot.web_acls.change(&shop).unwrap().rules.clear();
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_prefix_list_lets_in_whom_it_has() {
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, prefix_list::from_list(443, "pl-1"));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "nobody has looked into it"
        );
        prefix_list::list(&mut snapshot, "pl-1", "office", &["203.0.113.0/24"]);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        prefix_list::list(&mut snapshot, "pl-1", "office", &["18.130.1.0/24"]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn addresses_of_their_own_are_new_with_every_task() {
        let mut snapshot = (CHECK.example)();
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table
                .routes
                .iter_mut()
                .filter(|route| route.destination == "0.0.0.0/0")
                .for_each(|route| route.target = Some("igw-1".into()));
        }
        assert!(
            says(CHECK, &snapshot).is_empty(),
            "without an address they get nowhere, which is another trouble"
        );
        snapshot.interfaces.change("eni-1").unwrap().public_ip = Some("3.8.1.1".into());
        let finding = &exam(CHECK, &snapshot).findings[0];
        assert!(
            finding
                .says()
                .contains("3.8.1.1 (their own public addresses, which change with each task)"),
            "{}",
            finding.says()
        );
        assert!(!finding.remedy.shell().iter().any(|command| command.contains("3.8.1.1")));
    }

    #[test]
    fn tasks_in_bridge_mode_come_from_the_addresses_of_their_instances() {
        let mut snapshot = baseline::ec2();
        let path = "app/web/50dc6c495c0c9188/f2f7dc8efc522ab2";
        let arn = id::elb(&format!("listener-rule/{path}/1111111111111111"));
        let rule =
            host_rule(&arn, "20", "orders.example.com", forward(&[(&id::group("orders"), 1)]));
        snapshot.rules.change(&id::elb(&format!("listener/{path}"))).unwrap().insert(0, rule);
        name_host(&mut snapshot, &[("ORDERS_URL", "orders.example.com")]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::CouldNotLook,
            "the NAT gateway's address is not known"
        );
        baseline::expose_tasks(&mut snapshot);
        snapshot.instance_interfaces.change(INSTANCES[0]).unwrap().public_ip =
            Some("3.8.1.1".into());
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().contains(
                "3.8.1.1 (public addresses of their instances, which change with each instance)"
            ),
            "{}",
            finding.says()
        );
        assert!(
            finding.remedy.summary.contains("change with every instance"),
            "{:?}",
            finding.remedy
        );
        admit(&mut snapshot, block("3.8.1.0/24"));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn nobody_knows_without_the_gateways_address() {
        let mut snapshot = (CHECK.example)();
        snapshot.nat_addresses.insert("nat-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn what_a_browser_is_told_is_no_call() {
        let mut snapshot = (CHECK.example)();
        name_host(
            &mut snapshot,
            &[
                ("NEXT_PUBLIC_ORDERS_URL", "orders.example.com"),
                ("FRONTEND_URL", "orders.example.com"),
            ],
        );
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_healthy_service_calls_nobody_by_the_public_way() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
    }
}
