//! A service that only other services of the cluster call is on a load balancer that the whole
//! internet can reach. No API tells what a service is meant for, so it is inferred from the
//! variables that name its hosts, and is never more than likely.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::cidr::Cidr;
use crate::aws::host;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::Forward;
use crate::facts::inbound::{inbound_rules, traffic, web_acl};
use crate::facts::peers::callers::{self, Caller, Callers};
use crate::facts::peers::{callee, service_connect};
use crate::finding::{Evidence, Kind, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{
    Action, Condition, ContainerDefinition, LoadBalancer, PortMapping, ServiceLoadBalancer,
};
use crate::text::{and_list, plural};

crate::check! {
    /// Other services of the cluster call this one by its public name, no browser seems to use that
    /// name, and yet anybody on the internet can call it.
    ///
    /// # Why it matters
    ///
    /// An API that was written for internal use often trusts its callers. Behind an internet-facing
    /// load balancer everybody can call it, scanners first; and Express Mode gives a service only a
    /// public name.
    ///
    /// # How we tell
    ///
    /// The hosts of the rules that lead to the service on internet-facing load balancers, or the
    /// load balancer's own name where a rule matches every host, are looked for in the variables of
    /// the other services in the cluster (up to 10; with more, nothing is said). At least one names
    /// such a host, and no variable that is meant for browsers does, there or here
    /// (`NEXT_PUBLIC_…`, `VITE_…`, CORS origins, redirects, callbacks). Mobile apps, partners and
    /// web pages with the host hard-coded cannot be seen, so the verdict is only "likely". Rules
    /// with a condition on a source address or a header, or with a login, are not open to
    /// everybody, and if another service has no task definition of its own, nothing is said. A load
    /// balancer whose security groups do not allow every address is no finding, nor is one whose
    /// web ACL blocks unknown sources, nor a service for which `--expect-ingress` says that
    /// everybody is expected.
    ///
    /// # What to do
    ///
    /// Give the service a private name with Service Connect, point its callers at that name, and
    /// then remove it from the public load balancer. The scheme of a load balancer cannot be
    /// changed: an internal one has to be created.
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --service-connect-configuration \
    ///   'enabled=true,namespace=<namespace>,services=[{portName=<port>,clientAliases=[{port=<port>,dnsName=<name>}]}]'
    /// ```
    ///
    /// The command replaces the whole configuration: include what the service already offers.
    ///
    /// If others call it as well, state that, and this is no finding: `--expect-ingress 0.0.0.0/0`.
    ///
    /// Terraform/OpenTofu: `service_connect_configuration` in `aws_ecs_service`; `internal = true`
    /// in `aws_lb`.
    ///
    /// # See also
    ///
    /// `calls_sibling_over_internet`, `balancer_open_to_world`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect.html>
    title: "An internal service is likely open to the internet",
    severity: Medium,
    role: Risk,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        ListServices, DescribeServices, DescribeServiceRevisions, DescribeTaskDefinition, DescribeTargetGroups, DescribeLoadBalancers,
        DescribeListeners, DescribeRules, DescribeSecurityGroups, GetWebAclForResource,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{everywhere, peers};
        peers::sibling_names(snapshot, &[("API_URL", "api.example.com")]);
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions = vec![everywhere("tcp", Some(443))]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let names = public_names(patient)?;
    if names.is_empty() {
        return Err(NoAnswer::NotApplicable("no host name on an internet-facing load balancer"));
    }
    let callers = match callers::of(patient, &names.keys().cloned().collect())? {
        Callers::Unread => {
            return Err(NoAnswer::NotApplicable(
                "another service has no task definition of its own, so its calls are not known",
            ));
        }
        Callers::TooMany => {
            return Err(NoAnswer::NotApplicable(
                "the cluster has too many other services to look at all of them",
            ));
        }
        Callers::Browsers => {
            return Err(NoAnswer::NotApplicable("variables for browsers name it, too"));
        }
        Callers::Siblings(callers) if callers.is_empty() => {
            return Err(NoAnswer::NotApplicable("no other service names one of its hosts"));
        }
        Callers::Siblings(callers) => callers,
    };
    let open = open_to_others(patient, findings)?;
    let open: BTreeMap<&str, &LoadBalancer> =
        open.into_iter().map(|balancer| (balancer.load_balancer_arn.as_str(), balancer)).collect();
    for (arn, balancer) in open {
        let is_there = |caller: &&Caller| {
            names.get(&callers::plain(caller.named.host)).is_some_and(|at| at.contains(arn))
        };
        let here: Vec<&Caller> = callers.iter().filter(is_there).collect();
        if !here.is_empty() {
            tell(patient, findings, balancer, &here)?;
        }
    }
    Ok(())
}

/// The names by which the internet may call the service, in lower case, each with the load
/// balancers that answer there.
fn public_names<'a>(patient: &Patient<'a>) -> Result<BTreeMap<String, BTreeSet<&'a str>>, Blind> {
    let mut names: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for forward in traffic::forwards(patient)?.into_iter().filter(is_for_everybody) {
        let arn = forward.listener.load_balancer_arn.as_str();
        let Some(balancer) = patient
            .load_balancer(arn)?
            .filter(|balancer| balancer.scheme.as_deref() == Some("internet-facing"))
        else {
            continue;
        };
        let takes_any_host =
            !forward.rule.conditions.iter().any(|condition| condition.field == "host-header");
        let own = balancer.dns_name.as_deref().filter(|_| takes_any_host);
        for name in forward.hosts().filter(|value| host::is_name(value)).chain(own) {
            names.entry(name.to_ascii_lowercase()).or_default().insert(arn);
        }
    }
    Ok(names)
}

/// Whether a rule matches every request for its host and path: it may also have a condition on a
/// source address or a header, or a login.
fn is_for_everybody(forward: &Forward) -> bool {
    let is_about_name =
        |condition: &Condition| matches!(condition.field.as_str(), "host-header" | "path-pattern");
    let is_login = |action: &Action| {
        action.kind.starts_with("authenticate-") || action.kind == "jwt-validation"
    };
    forward.rule.conditions.iter().all(is_about_name) && !forward.rule.actions.iter().any(is_login)
}

/// The internet-facing load balancers that allow every address, unless everybody is expected or a
/// web ACL blocks unknown sources. A network load balancer without security groups allows every
/// address, too.
fn open_to_others<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
) -> Result<Vec<&'a LoadBalancer>, Blind> {
    let intent = patient.intent();
    let mut open = Vec::new();
    for arn in traffic::balancers(patient)? {
        let unguarded = |balancer: &&LoadBalancer| {
            balancer.scheme.as_deref() == Some("internet-facing")
                && balancer.security_groups.is_empty()
        };
        open.extend(
            patient
                .load_balancer(arn)?
                .filter(unguarded)
                .filter(|_| !intent.expect_ingress.iter().any(Cidr::is_world)),
        );
    }
    for inbound in
        inbound_rules::each(patient, findings)?.into_iter().filter(|inbound| inbound.is_public())
    {
        let blocks = inbound.lets_in(patient, findings, |_| false).blocks;
        let world = inbound
            .listeners
            .iter()
            .filter_map(|listener| inbound_rules::world(&blocks, false, listener.port?))
            .map(|(world, _)| world)
            .next();
        if world.is_some_and(|world| !intent.expects(&world)) {
            open.push(inbound.balancer);
        }
    }
    let mut unguarded = Vec::new();
    for balancer in open {
        if !web_acl::before(patient, &balancer.load_balancer_arn)?
            .is_some_and(web_acl::blocks_strangers)
        {
            unguarded.push(balancer);
        }
    }
    Ok(unguarded)
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    balancer: &LoadBalancer,
    callers: &[&Caller],
) -> Result<(), Blind> {
    let who: BTreeSet<String> = callers
        .iter()
        .map(|caller| format!("{} of {}", caller.named.variable, caller.sibling.service_name))
        .collect();
    let hosts: BTreeSet<&str> = callers.iter().map(|caller| caller.named.host).collect();
    let verb = plural(who.len(), "names", "name");
    let claim = format!(
        "{} {verb} {}, and no variable for browsers does: likely only other services call this one, and yet load balancer {} is open to the whole internet",
        and_list(who),
        and_list(hosts),
        balancer.load_balancer_name
    );
    let scheme = Evidence::new(
        Call::DescribeLoadBalancers,
        &balancer.load_balancer_arn,
        "Scheme",
        "internet-facing",
    );
    let runs = |caller: &&Caller| {
        Evidence::new(
            Call::DescribeServices,
            &caller.sibling.service_arn,
            "taskDefinition",
            caller.named.definition,
        )
    };
    findings.add(
        patient
            .subject()
            .sick(claim, scheme)
            .named()
            .because_all(callers.iter().map(runs))
            .because_all(callers.iter().flat_map(|caller| caller.named.evidence()))
            .mend(remedy(patient)?)
            .concerns(Kind::LoadBalancer, &balancer.load_balancer_arn),
    );
    Ok(())
}

/// The port that the service offers: the one that is behind the load balancer, and not that of an
/// agent beside the app.
fn port<'a>(patient: &Patient<'a>) -> Result<Option<&'a PortMapping>, Blind> {
    let registered = &patient.service().load_balancers;
    let is_registered = |container: &ContainerDefinition, port: &PortMapping| {
        let is_container = |name: &str| container.name == name;
        let is_here = |one: &ServiceLoadBalancer| {
            one.container_name.as_deref().is_some_and(is_container)
                && (one.container_port.is_none() || one.container_port == port.container_port)
        };
        // Express Mode registers nothing that the service shows: its container has a fixed name.
        registered.iter().any(is_here)
            || (registered.is_empty() && patient.is_express() && is_container("Main"))
    };
    let mut first = None;
    for definition in callee::versions(patient) {
        for container in patient
            .task_definition(definition)?
            .into_iter()
            .flat_map(|definition| &definition.container_definitions)
        {
            if let Some(port) =
                container.port_mappings.iter().find(|port| is_registered(container, port))
            {
                return Ok(Some(port));
            }
            first = first.or(container.port_mappings.first());
        }
    }
    Ok(first)
}

fn remedy(patient: &Patient) -> Result<Remedy, Blind> {
    let port = port(patient)?;
    let name = port.and_then(|port| port.name.as_deref());
    let number = port.and_then(|port| port.container_port).unwrap_or(80);
    let how = if patient.is_express() {
        " The Express Mode API has no Service Connect; update-service reportedly accepts it once the service runs, which AWS does not document: check again after each Express update. Or run it as a service without a public load balancer."
    } else {
        " Then move it to an internal load balancer, or to none: the scheme of a load balancer cannot be changed, so create an internal one."
    };
    let named = if name.is_some() {
        ""
    } else {
        " The port mapping needs a name first; http stands for it."
    };
    let summary = format!(
        "If partners, apps or web pages call it as well, leave it and state that with --expect-ingress 0.0.0.0/0. Otherwise give it a private name and point the other services at that name.{named}{how}"
    );
    Ok(service_connect::offering(Remedy::new(summary), patient, name.unwrap_or("http"), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, EXPRESS_HOST, everywhere, id, peers};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::peers::ServiceConnect;
    use crate::snapshot::web_acl::Statement;
    use crate::snapshot::{
        ClusterServices, EnvironmentVariable, Rule, Sibling, Snapshot, WebAclRule,
    };
    use crate::testing::{exam, exam_with, expecting, says};

    fn called(variable: &str, host: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        peers::sibling_names(&mut snapshot, &[(variable, host)]);
        snapshot
    }

    #[test]
    fn names_who_calls_by_what_and_the_balancer() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "API_URL of mailer names api.example.com, and no variable for browsers does: likely only other services call this one, and \
                 yet load balancer web is open to the whole internet."
            ]
        );
    }

    #[test]
    fn an_express_service_has_no_other_name() {
        let mut snapshot = baseline::express();
        peers::sibling_names(&mut snapshot, &[("API_URL", EXPRESS_HOST)]);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![everywhere("tcp", Some(443))];
        let finding = &exam(CHECK, &snapshot).findings[0];
        assert!(
            finding.says().starts_with(&format!("API_URL of mailer names {EXPRESS_HOST}")),
            "{}",
            finding.says()
        );
        assert!(finding.remedy.summary.contains("The Express Mode API has no Service Connect"));
    }

    #[test]
    fn the_port_behind_the_balancer_is_offered_and_no_agents() {
        let mut snapshot = (CHECK.example)();
        let own = snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        let mut agent = own.container_definitions[0].clone();
        agent.name = "datadog".into();
        agent.port_mappings = vec![PortMapping {
            name: Some("trace".into()),
            container_port: Some(8126),
            ..PortMapping::default()
        }];
        own.container_definitions.insert(0, agent);
        let command = exam(CHECK, &snapshot).findings.remove(0).remedy.shell().remove(0);
        assert!(
            command.contains("port=8080,dnsName=api") && !command.contains("trace"),
            "{command}"
        );
    }

    #[test]
    fn what_it_offers_already_stays() {
        let mut snapshot = (CHECK.example)();
        let connect = ServiceConnect {
            enabled: true,
            namespace: Some("prod".into()),
            ..ServiceConnect::default()
        };
        snapshot.services[0].deployments[0].service_connect_configuration = Some(connect);
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(
            remedy.shell()[1].ends_with("--service-connect-configuration file://connect.json"),
            "{:?}",
            remedy.shell()
        );
        assert!(remedy.summary.contains("This service is in namespace prod"), "{}", remedy.summary);
    }

    #[test]
    fn what_browsers_are_told_is_public_on_purpose() {
        let mut snapshot = called("NEXT_PUBLIC_API", "api.example.com");
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        // One sibling calls it and tells browsers, too.
        peers::sibling_names(
            &mut snapshot,
            &[("API_URL", "api.example.com"), ("CORS_ORIGIN", "API.example.com")],
        );
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        // The service itself tells them.
        let mut snapshot = (CHECK.example)();
        let own = snapshot.task_definitions.change(&id::ecs("task-definition/api:12")).unwrap();
        own.container_definitions[0].environment.push(EnvironmentVariable {
            name: "PUBLIC_URL".into(),
            hosts: vec!["api.example.com".into()],
        });
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_host_of_somebody_else_is_no_call() {
        assert!(matches!(
            exam(CHECK, &called("API_URL", "api.example.org")).outcome,
            Outcome::NotApplicable(_)
        ));
    }

    #[test]
    fn the_balancers_own_name_counts_where_a_rule_takes_every_host() {
        let dns = "web-1234567890.eu-west-2.elb.amazonaws.com";
        assert!(
            matches!(exam(CHECK, &called("API_URL", dns)).outcome, Outcome::NotApplicable(_)),
            "a host rule leads to it"
        );
        let mut snapshot = called("API_URL", dns);
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()[0].conditions.clear();
        assert!(says(CHECK, &snapshot)[0].contains(dns));
    }

    #[test]
    fn a_rule_that_asks_for_a_sender_or_a_login_is_not_for_everybody() {
        let changed = |change: &dyn Fn(&mut Rule)| {
            let mut snapshot = (CHECK.example)();
            let listener = snapshot.rules.0.keys().next().cloned().unwrap();
            change(&mut snapshot.rules.change(&listener).unwrap()[0]);
            exam(CHECK, &snapshot).outcome
        };
        let condition = |field: &str| Condition {
            field: field.into(),
            values: vec!["x".into()],
            ..Condition::default()
        };
        assert_eq!(changed(&|rule| rule.conditions.push(condition("path-pattern"))), Outcome::Sick);
        for field in ["source-ip", "http-header", "query-string"] {
            assert!(
                matches!(
                    changed(&|rule| rule.conditions.push(condition(field))),
                    Outcome::NotApplicable(_)
                ),
                "{field}"
            );
        }
        for kind in ["jwt-validation", "authenticate-oidc"] {
            let action = || Action { kind: kind.into(), ..Action::default() };
            assert!(
                matches!(
                    changed(&|rule| rule.actions.insert(0, action())),
                    Outcome::NotApplicable(_)
                ),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_pattern_of_hosts_is_not_every_host() {
        let mut snapshot = called("API_URL", "web-1234567890.eu-west-2.elb.amazonaws.com");
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let hosts = Condition {
            field: "host-header".into(),
            regex_values: vec!["^api[0-9]".into()],
            ..Condition::default()
        };
        snapshot.rules.change(&listener).unwrap()[0].conditions = vec![hosts];
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_balancer_has_its_name_in_a_second_form() {
        let name = "web-1234567890.eu-west-2.elb.amazonaws.com";
        let second = format!("dualstack.{name}");
        let mut snapshot = called("API_URL", &second);
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()[0].conditions.clear();
        assert!(says(CHECK, &snapshot)[0].contains(&second));
        peers::sibling_names(&mut snapshot, &[("API_URL", name), ("NEXT_PUBLIC_API", &second)]);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_sibling_of_task_sets_cannot_be_read() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        let web = id::ecs("service/prod/web");
        snapshot.cluster_services.change(&cluster).unwrap().service_arns.push(web.clone());
        let sibling = Sibling {
            service_arn: web.clone(),
            service_name: "web".into(),
            status: "ACTIVE".into(),
            ..Sibling::default()
        };
        snapshot.siblings.put(web, sibling);
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn an_internal_or_a_narrow_balancer_is_closed_to_the_internet() {
        let mut snapshot = (CHECK.example)();
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .scheme = Some("internal".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
            vec![baseline::from_block(443, "203.0.113.0/24")];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_allow_list_at_the_web_acl_keeps_the_internet_out() {
        let mut snapshot = (CHECK.example)();
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.web_acls.change(&balancer).unwrap().default_action = Some("Block".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.web_acls.insert(balancer, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_allow_list_may_be_a_rule_that_blocks_all_others() {
        let mut snapshot = (CHECK.example)();
        let set = Statement {
            kind: "IPSetReference".into(),
            arn: Some("office".into()),
            ..Statement::default()
        };
        let statement =
            Statement { kind: "Not".into(), statements: vec![set], ..Statement::default() };
        let acl =
            snapshot.web_acls.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap();
        acl.default_action = Some("Allow".into());
        acl.rules = vec![WebAclRule {
            name: "others".into(),
            action: Some("Block".into()),
            statement,
            ..WebAclRule::default()
        }];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_network_balancer_without_groups_lets_in_everybody() {
        let mut snapshot = (CHECK.example)();
        let balancer = snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap();
        (balancer.load_balancer_type, balancer.security_groups) =
            (Some("network".into()), Vec::new());
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn who_expects_everybody_is_told_nothing() {
        assert_eq!(
            exam_with(CHECK, &(CHECK.example)(), &expecting(&["0.0.0.0/0"])).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn in_a_large_cluster_nobody_says_who_else_calls() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        let service_arns =
            (0..=callers::SIBLINGS + 1).map(|n| id::ecs(&format!("service/prod/s{n}"))).collect();
        snapshot.cluster_services.put(&cluster, ClusterServices { service_arns, truncated: false });
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable(
                "the cluster has too many other services to look at all of them"
            )
        );
        snapshot
            .cluster_services
            .put(cluster, ClusterServices { service_arns: Vec::new(), truncated: true });
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable(
                "the cluster has too many other services to look at all of them"
            )
        );
    }

    #[test]
    fn a_sibling_that_may_not_be_seen_may_tell_browsers() {
        let mut snapshot = (CHECK.example)();
        let cluster = snapshot.services[0].cluster_arn.clone();
        let hidden = id::ecs("service/prod/web");
        snapshot.cluster_services.change(&cluster).unwrap().service_arns.push(hidden.clone());
        snapshot.siblings.insert(hidden.clone(), Seen::No(Why::NoAnswer("throttled".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        snapshot.siblings.insert(hidden, Seen::Yes(None));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "one that is gone says nothing");
    }

    #[test]
    fn a_sibling_that_is_being_deleted_calls_nobody() {
        let mut snapshot = (CHECK.example)();
        let mailer = id::ecs("service/prod/mailer");
        snapshot.siblings.change(&mailer).unwrap().status = "DRAINING".into();
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }
}
