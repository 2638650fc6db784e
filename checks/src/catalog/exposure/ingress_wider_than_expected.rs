//! The load balancer allows addresses that the user did not expect. The account does not tell which
//! sources are intended, so this check runs only where the user stated them, and names each rule
//! and the command that removes it.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::cidr::{self, Cidr};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Command;
use crate::facts::inbound::inbound_rules::{self, Admitted, InboundRules, LetIn};
use crate::facts::inbound::instance::{self, EPHEMERAL};
use crate::facts::inbound::{health_check, traffic};
use crate::facts::network::reach::{self, Ports};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::{Expected, Intent, Patient};
use crate::seen::Blind;
use crate::snapshot::{IpPermission, SecurityGroup, Target};
use crate::text::{and_list, and_more};

/// How many rules are named in the sentence; all of them are in the evidence and in the remedy.
const NAMED: usize = 4;

crate::check! {
    /// The load balancer allows addresses outside those that you expect by `--expect-ingress`.
    ///
    /// # Why it matters
    ///
    /// Sources that you meant to keep out can reach the service. A narrow rule beside the wide one
    /// does not help: rules add up.
    ///
    /// # How we tell
    ///
    /// Each CIDR block that the security groups of the load balancer allow on a listener port must
    /// lie entirely within the blocks that you expect, taken together. IPv6 blocks count on
    /// dual-stack load balancers only. Blocks are judged as they stand, on an internal load
    /// balancer too. A rule that names a prefix list is judged by the blocks of the list, unless
    /// you expect the list itself: that covers every rule that names it, regardless of its entries.
    /// A security group as the source, and a list that was not seen, are named but not judged; a
    /// web ACL, and a network load balancer without security groups, are not examined.
    ///
    /// # What to do
    ///
    /// Allow the sources that you expect, then remove each rule that allows too much. Where the
    /// group is also the tasks' security group, first allow it as its own source, on the ports of
    /// the targets and of their health check:
    ///
    /// ```sh
    /// aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// ```
    ///
    /// A prefix list of your own can be narrowed instead, for every rule that names it; one of
    /// AWS's, such as CloudFront's, can be expected:
    ///
    /// ```sh
    /// aws ec2 modify-managed-prefix-list --prefix-list-id <list> --current-version <version> --remove-entries Cidr=<block>
    /// ecs-doctor <service> --expect-ingress <list>
    /// ```
    ///
    /// Terraform/OpenTofu: `cidr_ipv4` or `prefix_list_id` in
    /// `aws_vpc_security_group_ingress_rule`. The groups of an Express service's load balancer are
    /// ECS's own: there is no argument for them, and ECS may add the rule again.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`, `open_rule_beside_narrow_one`,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>,
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/managed-prefix-lists.html>
    title: "The load balancer allows unexpected addresses",
    severity: Medium,
    role: Cause,
    explains: [OpenToWorld, NarrowRuleVoid],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups,
        GetManagedPrefixListEntries, DescribeManagedPrefixLists, DescribeTargetHealth, DescribeTasks,
        DescribeNetworkInterfaces,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{everywhere, prefix_list};
        let office = prefix_list::list(snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24", "0.0.0.0/0"]);
        let wide = [everywhere("tcp", Some(443)), prefix_list::from_list(443, office)];
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions.extend(wide.clone()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let intent = patient.intent();
    if !intent.says_who() {
        return Err(NoAnswer::NotApplicable("no --expect-ingress given"));
    }
    let inbounds = inbound_rules::each(patient, findings)?;
    if inbounds.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer with security groups"));
    }
    let mut judged = false;
    for inbound in &inbounds {
        let let_in = inbound.lets_in(patient, findings, |list| !intent.expects_list(list));
        judged |= !let_in.blocks.is_empty() || let_in.unknown.is_empty();
        let outside: Vec<&Admitted> =
            let_in.blocks.iter().filter(|one| !intent.expects(&one.block)).collect();
        if !outside.is_empty() {
            tell(patient, findings, inbound, &let_in, &outside);
        }
    }
    // Which addresses a group as the source stands for is not known: that is not healthy.
    if judged {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("it allows only security groups, which are not judged"))
    }
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    inbound: &InboundRules,
    let_in: &LetIn,
    outside: &[&Admitted],
) {
    let rules = and_more(rules(patient, outside), NAMED);
    let claim = format!(
        "load balancer {} allows addresses outside {}: {rules}",
        inbound.name(),
        and_list(patient.intent().expected())
    );
    let not_judged = if let_in.unknown.is_empty() {
        String::new()
    } else {
        format!("Not judged: {}.", and_list(let_in.unknown(patient)))
    };
    let ports: BTreeSet<i32> = outside.iter().flat_map(|one| &one.ports).copied().collect();
    let balancer = &inbound.balancer.load_balancer_arn;
    let group = &outside[0].group.group_id;
    let lists: BTreeSet<&str> = outside.iter().filter_map(|one| one.list).collect();
    let ways_out: String = lists.into_iter().map(|list| way_out(patient, list)).collect();
    let mut remedy = inbound_rules::closing(
        &format!(
            "Allow the sources that you expect, then remove each rule that allows too much.{ways_out}"
        ),
        outside,
    );
    let opening = missing(patient.intent(), inbound, let_in, outside);
    // Expected sources are allowed before the others are removed.
    let mut commands: Vec<Command> = opening
        .iter()
        .map(|(port, expected)| inbound_rules::authorize(group, *port, expected))
        .collect();
    let mut code: Vec<Hcl> = (1..)
        .zip(&opening)
        .map(|(nth, (port, expected))| {
            let name = if nth == 1 { "clients".to_owned() } else { format!("clients_{nth}") };
            inbound_rules::terraform(&name, group, *port, &expected.to_string())
        })
        .collect();
    for (group, ports) in findings.see(cut_off(patient, inbound, outside)).unwrap_or_default() {
        let id = &group.group_id;
        remedy.summary.push_str(&format!(
            " {} is also the tasks' security group: the rules to remove are what allows the load balancer to reach them, so first allow the group as its own source.",
            group.group_name
        ));
        for ports in ports {
            let name = format!("from_balancer_{}", code.len() + 1);
            let both = reach::let_in(Remedy::default(), &name, id, id, ports);
            commands.extend(both.commands);
            code.extend(both.terraform);
        }
    }
    remedy.commands.splice(0..0, commands);
    if !code.is_empty() {
        remedy = remedy.terraform(Hcl::blocks(code));
    }
    let attached = Evidence::new(Call::DescribeLoadBalancers, balancer, "SecurityGroups", group);
    findings.add(
        Subject::new(Kind::LoadBalancer, balancer)
            .sick(claim, attached)
            .detail(not_judged)
            .because_all(inbound_rules::evidence(outside))
            .because_all(inbound.listens(&ports))
            .mend(remedy)
            .concerns(Kind::LoadBalancer, balancer)
            .concerns_all(
                Kind::SecurityGroup,
                outside.iter().map(|one| one.group.group_id.as_str()),
            ),
    );
}

/// The rules that allow too much, each once; of a prefix list those blocks that do.
fn rules(patient: &Patient, outside: &[&Admitted]) -> Vec<String> {
    let mut rules: Vec<(&str, String, Vec<&str>)> = Vec::new();
    for one in outside {
        let place = format!(
            "on {} (security group {})",
            inbound_rules::port_words(&one.ports),
            one.group.group_name
        );
        match rules.iter_mut().find(|(source, at, _)| *source == one.source() && *at == place) {
            Some((_, _, blocks)) if blocks.contains(&one.cidr) => {}
            Some((_, _, blocks)) => blocks.push(one.cidr),
            None => rules.push((one.source(), place, vec![one.cidr])),
        }
    }
    let words = |(source, place, blocks): (&str, String, Vec<&str>)| {
        let of_list = if blocks.contains(&source) {
            String::new()
        } else {
            format!(" in prefix list {}", inbound_rules::source_name(patient, source))
        };
        format!("{}{of_list} {place}", and_more(blocks, inbound_rules::NAMED))
    };
    rules.into_iter().map(words).collect()
}

/// What else can be done about a prefix list than to remove its rule.
fn way_out(patient: &Patient, list: &str) -> String {
    let name = inbound_rules::source_name(patient, list);
    if inbound_rules::is_own_list(patient, list) {
        format!(
            " Or remove those blocks from your list {name} with aws ec2 modify-managed-prefix-list: that affects every rule that names it."
        )
    } else {
        format!(
            " If the addresses in {name} are intended, expect the list: --expect-ingress {list}."
        )
    }
}

/// Expected sources that only the rules to remove allow, by port. A prefix list that allows too
/// much is removed as a whole, with the expected sources in it.
fn missing(
    intent: &Intent,
    inbound: &InboundRules,
    let_in: &LetIn,
    outside: &[&Admitted],
) -> Vec<(i32, Expected)> {
    let v6 = inbound
        .balancer
        .ip_address_type
        .as_deref()
        .is_some_and(|kind| kind.starts_with("dualstack"));
    let goes = |one: &Admitted| {
        outside
            .iter()
            .any(|other| other.permission == one.permission && other.source() == one.source())
    };
    let ports: BTreeSet<i32> = outside.iter().flat_map(|one| &one.ports).copied().collect();
    let mut missing = Vec::new();
    for port in ports {
        let stays: Vec<Cidr> = let_in
            .blocks
            .iter()
            .filter(|one| one.ports.contains(&port) && !goes(one))
            .map(|one| one.block)
            .collect();
        let is_missing = |expected: &Expected| match expected {
            Expected::Block(block) => (v6 || !block.is_v6()) && !cidr::within(block, &stays),
            Expected::List(list) => !inbound.names_list(list, port),
        };
        missing.extend(intent.expected().filter(is_missing).map(|expected| (port, expected)));
    }
    missing
}

/// Groups that the load balancer and the tasks have in common, with the ports on which only rules
/// to remove allow the load balancer to reach the tasks.
fn cut_off<'a>(
    patient: &Patient<'a>,
    inbound: &InboundRules<'a>,
    outside: &[&Admitted<'a>],
) -> Result<Vec<(&'a SecurityGroup, BTreeSet<Ports>)>, Blind> {
    let rules = || outside.iter().map(|one| (one.group, one.permission));
    let mut shared: BTreeMap<&str, (&SecurityGroup, BTreeSet<Ports>)> = BTreeMap::new();
    for arn in traffic::groups(patient)? {
        let Some(settings) = patient.target_group(arn)? else { continue };
        let balancers = traffic::balancers_of(patient, settings)?;
        if !balancers.contains(inbound.balancer.load_balancer_arn.as_str()) {
            continue;
        }
        for target in patient.targets(arn)? {
            let of_tasks = groups_of(patient, target)?;
            let port = if instance::is_one(target)
                && target.port.is_some_and(|port| EPHEMERAL.contains(&port))
            {
                Some(EPHEMERAL.into())
            } else {
                target.port.map(Ports::from)
            };
            let checked = traffic::health_check_port(settings, target)
                .filter(|port| target.port != Some(*port))
                .map(Ports::from);
            for ports in port.into_iter().chain(checked) {
                let is_cut = |group: &SecurityGroup, rule: &IpPermission| {
                    of_tasks.contains(group.group_id.as_str()) && opens(rule, ports)
                };
                for (group, _) in rules().filter(|(group, rule)| is_cut(group, rule)) {
                    if !lets_itself_in(group, ports) {
                        shared
                            .entry(&group.group_id)
                            .or_insert_with(|| (group, BTreeSet::new()))
                            .1
                            .insert(ports);
                    }
                }
            }
        }
    }
    Ok(shared.into_values().collect())
}

/// The security groups of the task behind a target, or of the instance that runs one.
fn groups_of<'a>(patient: &Patient<'a>, target: &Target) -> Result<BTreeSet<&'a str>, Blind> {
    if !instance::is_one(target) {
        return reach::task_groups(patient, Some(target));
    }
    let interface = if health_check::task_behind(patient, target)?.is_some() {
        patient.instance_interface(&target.id)?
    } else {
        None
    };
    Ok(interface.into_iter().flat_map(|interface| &interface.groups).map(String::as_str).collect())
}

/// Whether a rule is open on some of these ports.
fn opens(rule: &IpPermission, Ports(from, to): Ports) -> bool {
    let inside = rule.from_port.is_some_and(|port| (from..=to).contains(&port));
    reach::covers_tcp(rule, from)
        || (inside && rule.from_port.is_some_and(|port| reach::covers_tcp(rule, port)))
}

fn lets_itself_in(group: &SecurityGroup, Ports(from, to): Ports) -> bool {
    let rules = group.ip_permissions.iter().filter(|rule| rule.group_id.contains(&group.group_id));
    rules.into_iter().any(|rule| reach::covers_tcp(rule, from) && reach::covers_tcp(rule, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_group, prefix_list};
    use crate::exam::{Exam, Outcome};
    use crate::seen::{Seen, Why};
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, exam_with, expecting as expected};

    fn with(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    fn expecting(snapshot: &Snapshot, blocks: &[&str]) -> Exam {
        exam_with(CHECK, snapshot, &expected(blocks))
    }

    fn from(blocks: &[&str]) -> IpPermission {
        IpPermission {
            cidr_ip: blocks.iter().map(|block| (*block).to_owned()).collect(),
            ..everywhere("tcp", Some(443))
        }
    }

    #[test]
    fn asks_only_where_the_user_said_what_to_expect() {
        assert_eq!(
            exam(CHECK, &with(vec![from(&["0.0.0.0/0"])])).outcome,
            Outcome::NotApplicable("no --expect-ingress given")
        );
    }

    #[test]
    fn two_expected_halves_cover_a_whole_block() {
        let snapshot = with(vec![from(&["203.0.113.0/24"])]);
        assert_eq!(
            expecting(&snapshot, &["203.0.113.0/25", "203.0.113.128/25"]).outcome,
            Outcome::Healthy
        );
        assert_eq!(expecting(&snapshot, &["203.0.113.0/25"]).outcome, Outcome::Sick);
    }

    #[test]
    fn lets_the_expected_in_before_it_shuts_the_others_out() {
        let both = with(vec![from(&["203.0.113.0/24"]), everywhere("-1", None)]);
        let commands = |exam: Exam| exam.findings[0].remedy.shell();
        let revoke = "aws ec2 revoke-security-group-ingress --group-id sg-balancer --ip-permissions 'IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]'";
        assert_eq!(commands(expecting(&both, &["203.0.113.0/24"])), [revoke]);
        let authorize = "aws ec2 authorize-security-group-ingress --group-id sg-balancer --ip-permissions \
                         'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=192.0.2.0/24}]'";
        let commands = commands(expecting(&both, &["203.0.113.0/24", "192.0.2.0/24"]));
        assert_eq!(commands, [authorize, revoke]);
    }

    /// Nothing but the list lets anybody in.
    fn by_list(blocks: &[&str]) -> Snapshot {
        let mut snapshot = with(vec![prefix_list::from_list(443, "pl-0ff1ce")]);
        prefix_list::list(&mut snapshot, "pl-0ff1ce", "office", blocks);
        snapshot
    }

    #[test]
    fn a_list_is_judged_by_its_blocks() {
        let snapshot = by_list(&["203.0.113.0/24", "192.0.2.0/24"]);
        assert_eq!(
            expecting(&snapshot, &["203.0.113.0/24", "192.0.0.0/16"]).outcome,
            Outcome::Healthy
        );
        let finding = expecting(&snapshot, &["203.0.113.0/24"]).findings.remove(0);
        assert_eq!(
            finding.says(),
            "Load balancer web allows addresses outside 203.0.113.0/24: 192.0.2.0/24 in prefix list pl-0ff1ce (office) on port 443 \
             (security group web-balancer)."
        );
        // The office came in by the list only, and loses its way in with it.
        let open = "aws ec2 authorize-security-group-ingress --group-id sg-balancer --ip-permissions \
                    'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=203.0.113.0/24}]'";
        let shut = "aws ec2 revoke-security-group-ingress --group-id sg-balancer --ip-permissions \
                    'IpProtocol=tcp,FromPort=443,ToPort=443,PrefixListIds=[{PrefixListId=pl-0ff1ce}]'";
        assert_eq!(finding.remedy.shell(), [open, shut]);
        assert!(
            finding
                .remedy
                .summary
                .contains("remove those blocks from your list pl-0ff1ce (office)"),
            "{}",
            finding.remedy.summary
        );
    }

    #[test]
    fn an_expected_list_covers_the_rules_that_name_it() {
        let snapshot = by_list(&["203.0.113.0/24", "0.0.0.0/0"]);
        assert_eq!(expecting(&snapshot, &["pl-0ff1ce"]).outcome, Outcome::Healthy);
        assert_eq!(expecting(&snapshot, &["pl-0dd"]).outcome, Outcome::Sick, "another list");
        let unseen = with(vec![prefix_list::from_list(443, "pl-0ff1ce")]);
        assert_eq!(
            expecting(&unseen, &["pl-0ff1ce"]).outcome,
            Outcome::Healthy,
            "nobody has to look into it"
        );
        let mut beside = by_list(&["203.0.113.0/24"]);
        beside
            .security_groups
            .change("sg-balancer")
            .unwrap()
            .ip_permissions
            .push(everywhere("tcp", Some(443)));
        let finding = expecting(&beside, &["pl-0ff1ce", "pl-0dd"]).findings.remove(0);
        assert!(
            finding.says().contains("outside pl-0ff1ce and pl-0dd: 0.0.0.0/0 on port 443"),
            "{}",
            finding.says()
        );
        let opened = finding
            .remedy
            .shell()
            .into_iter()
            .filter(|command| command.contains("authorize"))
            .collect::<Vec<_>>();
        assert!(
            matches!(opened.as_slice(), [one] if one.ends_with("PrefixListIds=[{PrefixListId=pl-0dd}]'")),
            "{opened:?}"
        );
        assert!(
            finding
                .remedy
                .terraform
                .is_some_and(|text| text.contains("prefix_list_id    = \"pl-0dd\"")
                    && !text.contains("pl-0ff1ce"))
        );
    }

    #[test]
    fn a_list_of_awss_own_can_be_expected_and_not_narrowed() {
        let mut snapshot = baseline::fargate();
        let list = prefix_list::of_cloudfront(&mut snapshot);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![prefix_list::from_list(443, list)];
        let finding = expecting(&snapshot, &["203.0.113.0/24"]).findings.remove(0);
        let named = "13.124.199.0/24, 130.176.0.0/18, 15.158.0.0/16 and 1 more in prefix list pl-3b927c52 (com.amazonaws.global.cloudfront.origin-facing) on";
        assert!(finding.says().contains(named), "{}", finding.says());
        assert!(
            finding.remedy.summary.ends_with("expect the list: --expect-ingress pl-3b927c52."),
            "{}",
            finding.remedy.summary
        );
        assert_eq!(
            finding
                .evidence
                .iter()
                .filter(|evidence| evidence.call == Call::GetManagedPrefixListEntries)
                .count(),
            3
        );
        assert_eq!(expecting(&snapshot, &["pl-3b927c52"]).outcome, Outcome::Healthy);
    }

    #[test]
    fn blocks_of_ipv6_in_a_list_do_not_count_on_an_ipv4_balancer() {
        let mut snapshot = by_list(&["203.0.113.0/24", "::/0"]);
        assert_eq!(expecting(&snapshot, &["203.0.113.0/24"]).outcome, Outcome::Healthy);
        let balancer = baseline::id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.change(&balancer).unwrap().ip_address_type =
            Some("dualstack".into());
        assert!(
            expecting(&snapshot, &["203.0.113.0/24"]).findings[0]
                .says()
                .contains("::/0 in prefix list")
        );
    }

    #[test]
    fn a_list_that_was_refused_is_named_and_not_judged() {
        let mut alone = by_list(&[]);
        alone.prefix_lists.insert("pl-0ff1ce", Seen::No(Why::Denied("no".into())));
        assert_eq!(expecting(&alone, &["203.0.113.0/24"]).outcome, Outcome::CouldNotLook);
        alone
            .security_groups
            .change("sg-balancer")
            .unwrap()
            .ip_permissions
            .push(from(&["0.0.0.0/0"]));
        let beside = expecting(&alone, &["203.0.113.0/24"]);
        assert!(
            beside.findings[0].says().ends_with("Not judged: pl-0ff1ce (office)."),
            "{}",
            beside.findings[0].says()
        );
        assert!(beside.missed.iter().any(|blind| blind.call == Call::GetManagedPrefixListEntries));
        alone.managed_prefix_lists.insert("pl-0ff1ce", Seen::No(Why::Denied("no".into())));
        assert!(
            expecting(&alone, &["203.0.113.0/24"]).findings[0]
                .says()
                .ends_with("Not judged: pl-0ff1ce."),
            "without its name"
        );
    }

    #[test]
    fn a_group_is_named_and_not_judged() {
        let alone = expecting(&with(vec![from_group(443, "sg-office")]), &["203.0.113.0/24"]);
        assert_eq!(
            alone.outcome,
            Outcome::NotApplicable("it allows only security groups, which are not judged")
        );
    }

    #[test]
    fn ipv6_and_ports_that_nobody_can_use_do_not_count() {
        let v6 = IpPermission {
            cidr_ip: Vec::new(),
            cidr_ipv6: vec!["::/0".into()],
            ..everywhere("tcp", Some(443))
        };
        let snapshot = with(vec![from(&["203.0.113.0/24"]), everywhere("tcp", Some(22)), v6]);
        assert_eq!(expecting(&snapshot, &["203.0.113.0/24"]).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_long_list_is_cut_in_the_sentence_only() {
        let blocks = [
            "192.0.2.0/28",
            "192.0.2.16/28",
            "192.0.2.32/28",
            "192.0.2.48/28",
            "192.0.2.64/28",
            "192.0.2.80/28",
        ];
        let exam = expecting(&with(vec![from(&blocks)]), &["203.0.113.0/24"]);
        assert!(exam.findings[0].says().ends_with("and 2 more."), "{}", exam.findings[0].says());
        assert_eq!(
            exam.findings[0]
                .remedy
                .shell()
                .iter()
                .filter(|command| command.contains("revoke"))
                .count(),
            6
        );
    }

    #[test]
    fn explains_that_the_balancer_is_open() {
        let snapshot = with(vec![from(&["0.0.0.0/0"])]);
        let intent = expected(&["203.0.113.0/24"]);
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
        let diagnosis = crate::diagnosis::diagnose(&patient);
        let root = diagnosis.roots.iter().find(|root| root.check.id() == CHECK.id()).unwrap();
        assert!(
            root.explains.iter().any(|node| node.check.id() == "balancer_open_to_world"),
            "{root:?}"
        );
    }

    #[test]
    fn terraform_adds_only_what_is_not_there() {
        let snapshot = with(vec![from(&["203.0.113.0/24"]), everywhere("tcp", Some(443))]);
        let code =
            |blocks: &[&str]| expecting(&snapshot, blocks).findings.remove(0).remedy.terraform;
        assert_eq!(code(&["203.0.113.0/24"]), None);
        let two = code(&["203.0.113.0/24", "192.0.2.0/24", "198.51.100.0/24"]).unwrap();
        assert!(
            two.contains("\"clients\"")
                && two.contains("\"clients_2\"")
                && !two.contains("203.0.113.0/24"),
            "{two}"
        );
    }

    #[test]
    fn a_group_that_the_tasks_have_too_lets_itself_in_first() {
        let shared = |permissions: Vec<IpPermission>| {
            let mut snapshot = with(permissions);
            for seen in snapshot.interfaces.0.values_mut() {
                if let Seen::Yes(Some(interface)) = seen {
                    interface.groups = vec!["sg-balancer".into()];
                }
            }
            snapshot.target_groups.change(&baseline::id::group("api")).unwrap().health_check_port =
                Some("9000".into());
            expecting(&snapshot, &["203.0.113.0/24"]).findings.remove(0).remedy
        };
        let itself = |port| {
            format!(
                "aws ec2 authorize-security-group-ingress --group-id sg-balancer --protocol tcp --port {port} --source-group sg-balancer"
            )
        };
        let all = shared(vec![from(&["203.0.113.0/24"]), everywhere("-1", None)]);
        assert_eq!(all.shell()[..2], [itself(8080), itself(9000)]);
        assert!(
            all.shell()[2].contains("revoke")
                && all.summary.contains("is also the tasks' security group"),
            "{all:?}"
        );
        let some = shared(vec![
            from(&["203.0.113.0/24"]),
            everywhere("-1", None),
            from_group(8080, "sg-balancer"),
        ]);
        assert!(some.shell()[0] == itself(9000) && some.shell()[1].contains("revoke"), "{some:?}");
        let other = shared(vec![from(&["203.0.113.0/24"]), everywhere("tcp", Some(443))]);
        assert_eq!(other.commands.len(), 1, "the rule for clients lets nobody in to the tasks");
    }
}
