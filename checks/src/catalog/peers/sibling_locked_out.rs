//! The service calls a sibling by its public name, and what guards the sibling's balancer, its security groups or its web ACL,
//! does not let in the address that the tasks come from. It needs the balancer's rules and the tasks' public addresses.

use std::collections::BTreeSet;

use crate::call::{Call, quote};
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Remedy};
use crate::patient::Patient;
use crate::reading::address::Cidr;
use crate::reading::callee::{self, Named};
use crate::reading::ingress::{self, Admitted, LetIn};
use crate::reading::sibling::{self, Callee, Source};
use crate::reading::web_acl::{self, Verdict};
use crate::reading::{and_list, dial, instance, parsed};
use crate::seen::Blind;
use crate::snapshot::{IpSet, LoadBalancer, WebAcl};

crate::check! {
    /// The tasks call a sibling by its public name, and the security groups of the sibling's load balancer, or its web ACL, do
    /// not let in their address.
    ///
    /// # Why it matters
    ///
    /// Somebody closed the balancer to strangers, and by the public way the own tasks are strangers: they come from the
    /// address of the NAT gateway, or from one that is new with every task. Where security groups shut them out, their calls
    /// hang until they time out; a web ACL answers 403.
    ///
    /// # How we tell
    ///
    /// A variable of a current version names a host of another service behind an internet-facing balancer of the VPC, or
    /// the balancer's own name. The tasks' way out leads to a NAT gateway, or to the internet with an address of their own,
    /// or of their instances; and no rule of the balancer's security groups admits that address on the listener's port. A
    /// rule that names a group does not count here: it knows private addresses only. A prefix list counts with what is in
    /// it; where that was not seen, nothing is claimed. Log lines of the last hour that name the host join it with what
    /// the tasks suffer.
    ///
    /// Of the web ACL the rules are gone through in their order with the address. IP sets, and statements that join others
    /// or turn them around, are evaluated; where a rule that looks at anything else might let the request through,
    /// nothing is claimed.
    ///
    /// # What to do
    ///
    /// Call the sibling by a private name. Or let the NAT gateway's address in, which stays the same:
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-ingress --group-id <balancer's group> --protocol tcp --port 443 --cidr <address>/32
    /// aws wafv2 update-ip-set --scope REGIONAL --name <name> --id <id> --addresses <all addresses> --lock-token <token>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_vpc_security_group_ingress_rule`, `addresses` in `aws_wafv2_ip_set`, or `service_connect_configuration` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `calls_sibling_over_internet`, `ingress_wider_than_expected`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect.html>
    title: "The sibling's public door is closed to these tasks",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, DescribeTargetGroups,
        DescribeTargetHealth, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables,
        DescribeNetworkInterfaces, DescribeNatGateways, GetManagedPrefixListEntries, GetWebAclForResource, GetIpSet, GetLogEvents,
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
    let calls: Vec<(Named, &LoadBalancer, Option<i32>)> = calls.into_iter().filter_map(|(named, callee)| through(named, callee)).collect();
    if calls.is_empty() {
        return Err(NoAnswer::NotApplicable("it calls no sibling behind a public balancer that we know"));
    }
    for (named, balancer, port) in calls {
        let by_groups = shut_by_groups(patient, findings, balancer, port);
        let shut = by_groups.or_else(|| findings.see(shut_by_web_acl(patient, balancer)).flatten());
        if let Some(shut) = shut {
            tell(patient, findings, &named, &shut);
        }
    }
    Ok(())
}

/// The balancer that a call goes through, and the port of its listener where that is known.
fn through<'a>(named: Named<'a>, callee: Callee<'a>) -> Option<(Named<'a>, &'a LoadBalancer, Option<i32>)> {
    match callee {
        Callee::Rule { listener, balancer, .. } => Some((named, balancer, listener.port)),
        Callee::Balancer(balancer) => Some((named, balancer, None)),
        Callee::Express => None,
    }
}

/// Addresses of the tasks that do not get in.
struct Shut<'a> {
    balancer: &'a LoadBalancer,
    sources: Vec<Source>,
    by: Guard<'a>,
}

/// What does not let them in.
enum Guard<'a> {
    Groups { let_in: LetIn<'a>, port: Option<i32> },
    WebAcl { acl: &'a WebAcl, verdict: Verdict<'a>, sets: Vec<&'a IpSet> },
}

fn shut_by_groups<'a>(patient: &Patient<'a>, findings: &mut Findings, balancer: &'a LoadBalancer, port: Option<i32>) -> Option<Shut<'a>> {
    let door = ingress::door(patient, &balancer.load_balancer_arn, findings)?;
    if door.groups.len() < balancer.security_groups.len() || door.is_open_to_world(patient, findings) {
        return None;
    }
    let let_in = door.lets_in(patient, findings, |_| true);
    if !let_in.unknown.is_empty() {
        return None;
    }
    let admits = |source: &Source| {
        let here = |admitted: &Admitted| port.is_none_or(|port| admitted.ports.contains(&port));
        let_in.blocks.iter().any(|admitted| admitted.block.has(source.address) && here(admitted))
    };
    let sources: Vec<Source> = findings.see(sibling::sources(patient))?.into_iter().filter(|source| !admits(source)).collect();
    (!sources.is_empty()).then_some(Shut { balancer, sources, by: Guard::Groups { let_in, port } })
}

fn shut_by_web_acl<'a>(patient: &Patient<'a>, balancer: &'a LoadBalancer) -> Result<Option<Shut<'a>>, Blind> {
    let Some(acl) = web_acl::before(patient, &balancer.load_balancer_arn)?.filter(|acl| !web_acl::ip_sets(acl).is_empty()) else { return Ok(None) };
    let mut shut: Vec<(Source, Verdict)> = Vec::new();
    for source in sibling::sources(patient)? {
        let verdict = web_acl::verdict(patient, acl, source.address)?;
        shut.extend((verdict != Verdict::Open).then_some((source, verdict)));
    }
    let Some((_, verdict)) = shut.first() else { return Ok(None) };
    let mut sets = Vec::new();
    for arn in web_acl::ip_sets(acl) {
        sets.extend(patient.ip_set(arn)?);
    }
    let by = Guard::WebAcl { acl, verdict: *verdict, sets };
    Ok(Some(Shut { balancer, sources: shut.into_iter().map(|(source, _)| source).collect(), by }))
}

fn tell(patient: &Patient, findings: &mut Findings, named: &Named, shut: &Shut) {
    let failed = dial::failed(patient, findings);
    let failed: Vec<_> = failed.iter().filter(|failed| failed.is_about(named.host, None)).collect();
    let nat: BTreeSet<&str> = shut.sources.iter().filter_map(|source| source.nat_gateway.as_deref()).collect();
    let addresses: BTreeSet<String> = shut.sources.iter().map(|source| source.address.to_string()).collect();
    let whose = match nat.is_empty() {
        true if shut.sources.iter().any(|source| source.of_instance) => "of their instances for as long as each of these lives".to_owned(),
        true => "their own for as long as each task lives".to_owned(),
        false => format!("of {}", and_list(&nat)),
    };
    let (Shut { balancer, .. }, Named { variable, host, .. }) = (shut, named);
    let addresses = format!("{} ({whose})", and_list(&addresses));
    let refuses = match &shut.by {
        Guard::Groups { port, .. } => {
            let on = port.map_or(String::new(), |port| format!(" on port {port}"));
            format!("Load balancer {}, where {variable} leads ({host}), does not admit {addresses}{on}", balancer.load_balancer_name)
        }
        Guard::WebAcl { acl, verdict, .. } => {
            let why = match verdict {
                Verdict::Rule(rule) => format!(" by rule {}", rule.name),
                Verdict::Default | Verdict::Open => ", which no rule lets through".to_owned(),
            };
            format!("Web ACL {} of load balancer {}, where {variable} leads ({host}), blocks {addresses}{why}", acl.name, balancer.load_balancer_name)
        }
    };
    let says = format!("{refuses}: that is where the tasks come from, so they are shut out.{}", dial::quote(&failed));
    let mut sources = shut.sources.iter().map(|source| source.evidence.clone());
    let Some(first) = sources.next() else { return };
    let finding: Finding = patient
        .subject()
        .sick(says, first)
        .because_all(sources)
        .because_all(shut.evidence())
        .because_all(named.evidence())
        .mend(remedy(patient, shut));
    findings.add(dial::join(finding, &failed));
}

impl Shut<'_> {
    fn evidence(&self) -> Vec<Evidence> {
        let arn = &self.balancer.load_balancer_arn;
        match &self.by {
            Guard::Groups { let_in, .. } => {
                let groups = self.balancer.security_groups.iter();
                let mut evidence = ingress::evidence(&let_in.blocks.iter().collect::<Vec<_>>());
                evidence.extend(groups.map(|group| Evidence::new(Call::DescribeLoadBalancers, arn, "SecurityGroups", group)));
                evidence
            }
            Guard::WebAcl { verdict, sets, .. } => {
                let decided = match verdict {
                    Verdict::Rule(rule) => ("Rules.Name", rule.name.as_str()),
                    Verdict::Default | Verdict::Open => ("DefaultAction", "Block"),
                };
                let of_set = |set: &&IpSet| {
                    let some: Vec<String> = set.addresses.iter().take(ingress::NAMED).cloned().collect();
                    let arn = set.arn.clone();
                    let none = set.addresses.is_empty().then(|| "[]".to_owned());
                    some.into_iter().chain(none).map(move |address| Evidence::new(Call::GetIpSet, &arn, "Addresses", address))
                };
                let mut evidence = vec![Evidence::new(Call::GetWebAclForResource, arn, decided.0, decided.1)];
                evidence.extend(sets.iter().flat_map(of_set));
                evidence
            }
        }
    }
}

fn remedy(patient: &Patient, shut: &Shut) -> Remedy {
    let express = if patient.is_express() {
        " Express Mode's own API has no Service Connect; update-service is said to take it, which AWS does not document."
    } else {
        ""
    };
    let connect = format!("aws ecs update-service {} --service-connect-configuration enabled=true,namespace=internal", patient.cli());
    let lent: Vec<Cidr> =
        shut.sources.iter().filter(|source| source.nat_gateway.is_some()).filter_map(|source| parsed(&source.address.to_string())).collect();
    let Some((opening, terraform)) = opening(shut, &lent) else {
        let every = if shut.sources.iter().any(|source| source.of_instance) { "instance" } else { "task" };
        return Remedy::new(format!(
            "Call the sibling by a private name, with Service Connect or an internal load balancer: the tasks' public addresses are new with every {every}, \
             so no list of addresses holds. Or send the tasks out by a NAT gateway and let its address in. The namespace internal stands for yours.{express}"
        ))
        .cli(connect);
    };
    let summary = "Let the NAT gateway's address in: it stays the same. Better, call the sibling by a private name, with Service Connect or an internal load \
                   balancer; the namespace internal stands for yours.";
    opening.into_iter().fold(Remedy::new(format!("{summary}{express}")), Remedy::cli).cli(connect).terraform(terraform)
}

/// The commands that let in the addresses that NAT gateways lend, and the same as Terraform/OpenTofu; none where there are none,
/// or nothing that takes them.
fn opening(shut: &Shut, lent: &[Cidr]) -> Option<(Vec<String>, String)> {
    let first = lent.first()?;
    match &shut.by {
        Guard::Groups { port, .. } => {
            let (group, port) = (shut.balancer.security_groups.first()?, port.unwrap_or(443));
            let commands = lent.iter().map(|block| ingress::authorize(group, port, block.to_string())).collect();
            Some((commands, ingress::terraform(group, port, &first.to_string())))
        }
        Guard::WebAcl { sets, .. } => {
            let set = sets.iter().find(|set| set.ip_address_version.as_deref() == Some("IPV4"))?;
            let blocks: Vec<String> = lent.iter().map(ToString::to_string).collect();
            let named = format!("--scope REGIONAL --name {} --id {}", quote(&set.name), quote(&set.id));
            // The call replaces all addresses, so those that are there come along.
            let told = |what: &str| format!("$(aws wafv2 get-ip-set {named} --query {what} --output text)");
            let command = format!(
                "aws wafv2 update-ip-set {named} --addresses {} {} --lock-token {}",
                told("IPSet.Addresses"),
                blocks.join(" "),
                told("LockToken")
            );
            let lines: String = blocks.iter().map(|block| format!("    \"{block}\",\n")).collect();
            let terraform =
                format!("resource \"aws_wafv2_ip_set\" \"{}\" {{\n  addresses = [\n    # and those that are there\n{lines}  ]\n}}", set.name);
            Some((vec![command], terraform))
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
    use crate::snapshot::{IpPermission, SecurityGroup, Snapshot};
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
                "Load balancer web, where ORDERS_URL leads (orders.example.com), does not admit 18.130.1.2 (of nat-1) on port 443: that is where the tasks \
              come from, so they are shut out. The log says \"Error: connect ETIMEDOUT https://orders.example.com/v1\"."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings[0].remedy.clone();
        assert!(remedy.cli[0].contains("CidrIp=18.130.1.2/32"), "{remedy:?}");
    }

    #[test]
    fn a_door_that_admits_the_address_or_everybody_is_open() {
        for cidr in ["18.130.1.2/32", "18.128.0.0/9", "0.0.0.0/0"] {
            let mut snapshot = (CHECK.example)();
            admit(&mut snapshot, block(cidr));
            assert!(says(CHECK, &snapshot).is_empty(), "{cidr}");
        }
        let mut snapshot = (CHECK.example)();
        admit(&mut snapshot, IpPermission { from_port: Some(80), to_port: Some(80), ..block("18.130.1.2/32") });
        assert_eq!(says(CHECK, &snapshot).len(), 1, "another port");
    }

    #[test]
    fn the_door_may_be_that_of_another_balancer() {
        let mut snapshot = (CHECK.example)();
        let shop = id::elb("loadbalancer/app/shop/1111111111111111");
        snapshot.load_balancers.change(&shop).unwrap().security_groups = vec!["sg-shop".into()];
        let narrow = SecurityGroup { group_id: "sg-shop".into(), ip_permissions: vec![block("203.0.113.0/24")], ..SecurityGroup::default() };
        snapshot.security_groups.put("sg-shop", narrow);
        name_host(&mut snapshot, &[("BILLING_URL", "billing.example.com")]);
        assert!(says(CHECK, &snapshot)[0].starts_with("Load balancer shop, where BILLING_URL leads"), "{:?}", says(CHECK, &snapshot));
    }

    /// The example with another sibling's web ACL only: it lets in these blocks.
    fn behind_a_web_acl(blocks: &[&str]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        peers::allow_list(&mut snapshot, &id::elb("loadbalancer/app/shop/1111111111111111"), blocks);
        name_host(&mut snapshot, &[("BILLING_URL", "billing.example.com")]);
        snapshot
    }

    #[test]
    fn an_allow_list_may_have_forgotten_the_gateway() {
        let finding = &exam(CHECK, &behind_a_web_acl(&["203.0.113.0/24"])).findings[0];
        assert_eq!(
            finding.says,
            "Web ACL inside-only of load balancer shop, where BILLING_URL leads (billing.example.com), blocks 18.130.1.2 (of nat-1), which no rule lets \
             through: that is where the tasks come from, so they are shut out."
        );
        let command = &finding.remedy.cli[0];
        assert!(
            command.starts_with("aws wafv2 update-ip-set --scope REGIONAL --name office --id 9f8e7d6c-") && command.contains(" 18.130.1.2/32 "),
            "{command}"
        );
        assert!(says(CHECK, &behind_a_web_acl(&["203.0.113.0/24", "18.130.0.0/16"])).is_empty());
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
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook, "nobody has looked into it");
        prefix_list::list(&mut snapshot, "pl-1", "office", &["203.0.113.0/24"]);
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        prefix_list::list(&mut snapshot, "pl-1", "office", &["18.130.1.0/24"]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn addresses_of_their_own_are_new_with_every_task() {
        let mut snapshot = (CHECK.example)();
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            table.routes.iter_mut().filter(|route| route.destination == "0.0.0.0/0").for_each(|route| route.target = Some("igw-1".into()));
        }
        assert!(says(CHECK, &snapshot).is_empty(), "without an address they get nowhere, which is another trouble");
        snapshot.interfaces.change("eni-1").unwrap().public_ip = Some("3.8.1.1".into());
        let finding = &exam(CHECK, &snapshot).findings[0];
        assert!(finding.says.contains("3.8.1.1 (their own for as long as each task lives)"), "{}", finding.says);
        assert!(!finding.remedy.cli.iter().any(|command| command.contains("3.8.1.1")));
    }

    #[test]
    fn tasks_in_bridge_mode_come_from_the_addresses_of_their_instances() {
        let mut snapshot = baseline::ec2();
        let path = "app/web/50dc6c495c0c9188/f2f7dc8efc522ab2";
        let arn = id::elb(&format!("listener-rule/{path}/1111111111111111"));
        let rule = host_rule(&arn, "20", "orders.example.com", forward(&[(&id::group("orders"), 1)]));
        snapshot.rules.change(&id::elb(&format!("listener/{path}"))).unwrap().insert(0, rule);
        name_host(&mut snapshot, &[("ORDERS_URL", "orders.example.com")]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook, "the NAT gateway's address is not known");
        baseline::expose_tasks(&mut snapshot);
        snapshot.instance_interfaces.change(INSTANCES[0]).unwrap().public_ip = Some("3.8.1.1".into());
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(finding.says.contains("3.8.1.1 (of their instances for as long as each of these lives)"), "{}", finding.says);
        assert!(finding.remedy.summary.contains("are new with every instance"), "{:?}", finding.remedy);
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
        name_host(&mut snapshot, &[("NEXT_PUBLIC_ORDERS_URL", "orders.example.com"), ("FRONTEND_URL", "orders.example.com")]);
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_healthy_service_calls_nobody_by_the_public_way() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
    }
}
