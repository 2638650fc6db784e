//! The service calls a sibling by its public name: out to the internet and back in through the load
//! balancer. It reads hosts in environment variables and compares them with what the load balancers
//! of its VPC answer for.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::facts::peers::callee::{self, Named};
use crate::facts::peers::service_connect;
use crate::facts::peers::sibling::{self, Callee};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::{and_list, count, plural};

crate::check! {
    /// An environment variable names the public host of another service, behind a load balancer of
    /// the same VPC or in Express Mode: the calls go out to the internet and come back in.
    ///
    /// # Why it matters
    ///
    /// The detour costs time and NAT traffic, and it breaks on the day that the load balancer is
    /// closed to unknown addresses: the tasks come from such an address.
    ///
    /// # How we tell
    ///
    /// Hosts of URLs in the variables of the current task definitions are compared with the host
    /// conditions of other services' rules on internet-facing load balancers, with the load
    /// balancers' own names, and with Express hosts (`*.ecs.<region>.on.aws`). The load balancers
    /// are the service's own and the others of its VPC; where those are more than 5, their rules
    /// are not read. The service's own hosts do not count, nor variables that are meant for
    /// browsers (`NEXT_PUBLIC_…`, `VITE_…`, CORS origins, redirects, callbacks), nor hosts that
    /// only a wildcard rule would match, nor hosts for which an internal load balancer has a rule,
    /// too: a private hosted zone may point there. An Express endpoint that none of these load
    /// balancers has may be private: then it is "likely". Variables from secrets are never read.
    ///
    /// # What to do
    ///
    /// Give the called service a private name, with Service Connect or an internal load balancer,
    /// and call that. A service without Service Connect joins the namespace of the called service;
    /// one that has it is deployed again, so that its tasks learn the name:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --service-connect-configuration enabled=true,namespace=<namespace>
    /// aws ecs update-service --cluster <cluster> --service <service> --force-new-deployment
    /// ```
    ///
    /// The Express Mode API has no Service Connect. `update-service` reportedly accepts it on an
    /// Express service that runs; AWS does not document it, so check after each Express update.
    ///
    /// Terraform/OpenTofu: `service_connect_configuration` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `balancer_open_to_world`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect.html>
    title: "It calls another of your services over the internet",
    severity: Medium,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTaskDefinition, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners,
        DescribeRules,
    ],
    example: on express, |snapshot| {
        use crate::baseline::{forward, host_rule, id};
        use crate::snapshot::EnvironmentVariable;
        let host = "or-fedcba9876543210fedcba9876543210.ecs.eu-west-2.on.aws";
        let path = "app/ecs-express-gateway-alb-1a2b3c4d/50dc6c495c0c9188/f2f7dc8efc522ab2";
        let rule = host_rule(&id::elb(&format!("listener-rule/{path}/1111111111111111")), "2", host, forward(&[(&id::group("orders"), 1)]));
        if let Some(rules) = snapshot.rules.change(&id::elb(&format!("listener/{path}"))) {
            rules.insert(1, rule);
        }
        let variable = EnvironmentVariable { name: "ORDERS_URL".into(), hosts: vec![host.into()] };
        if let Some(definition) = snapshot.task_definitions.change(&id::ecs("task-definition/api:12")) {
            definition.container_definitions[0].environment.push(variable);
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let calls = sibling::calls(patient, findings)?;
    if !calls.is_empty() {
        tell(patient, findings, &calls, callee::secrets(patient)?, &traffic::balancers(patient)?);
    }
    Ok(())
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    calls: &[(Named, Callee)],
    secrets: usize,
    own: &BTreeSet<&str>,
) {
    let route = |(name, callee): &(Named, Callee)| match callee {
        Callee::Rule { balancer, .. } => {
            format!(
                "{} names {}, a service behind load balancer {}",
                name.variable, name.host, balancer.load_balancer_name
            )
        }
        Callee::Balancer(balancer) => {
            let whose =
                if own.contains(balancer.load_balancer_arn.as_str()) { "its own" } else { "the" };
            format!(
                "{} names {}, {whose} load balancer {}",
                name.variable, name.host, balancer.load_balancer_name
            )
        }
        Callee::Express => {
            format!("{} names {}, likely a public Express service", name.variable, name.host)
        }
    };
    let routes: BTreeSet<String> = calls.iter().map(route).collect();
    let claim = format!(
        "calls to another service go out to the internet and back in: {}",
        and_list(routes)
    );
    let unread = match secrets {
        0 => String::new(),
        some => format!(
            "{} {} from secrets and {} not read.",
            count(some, "variable"),
            plural(some, "comes", "come"),
            plural(some, "was", "were")
        ),
    };
    let mut evidence: Vec<Evidence> = Vec::new();
    for (name, callee) in calls {
        evidence.extend(name.evidence());
        match callee {
            Callee::Rule { rule, balancer, .. } => {
                let values = rule
                    .conditions
                    .iter()
                    .flat_map(|condition| &condition.values)
                    .filter(|value| value.eq_ignore_ascii_case(name.host));
                evidence.extend(values.map(|value| {
                    Evidence::new(
                        Call::DescribeRules,
                        &rule.rule_arn,
                        "HostHeaderConfig.Values",
                        value,
                    )
                }));
                evidence.push(Evidence::new(
                    Call::DescribeLoadBalancers,
                    &balancer.load_balancer_arn,
                    "Scheme",
                    "internet-facing",
                ));
            }
            Callee::Balancer(balancer) => {
                evidence.push(Evidence::new(
                    Call::DescribeLoadBalancers,
                    &balancer.load_balancer_arn,
                    "Scheme",
                    "internet-facing",
                ));
            }
            Callee::Express => {}
        }
    }
    let mut evidence = evidence.into_iter();
    let Some(first) = evidence.next() else { return };
    findings.add(
        patient
            .subject()
            .sick(claim, first)
            .detail(unread)
            .because_all(evidence)
            .mend(remedy(patient)),
    );
}

fn remedy(patient: &Patient) -> Remedy {
    let summary = if patient.is_express() {
        "Give the called service a private name and call that. The Express Mode API has no Service Connect; update-service reportedly accepts it once the \
         service runs, which AWS does not document: try it on the called service first, and check it after each Express update. Or run both as \
         services with their own load balancers."
    } else {
        "Give the called service a private name, with Service Connect (set it up there first, then here) or an internal load balancer, and put that name in \
         the variable."
    };
    service_connect::joining(Remedy::new(summary), patient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, EXPRESS_HOST, forward, host_rule, id, peers};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::peers::ServiceConnect;
    use crate::snapshot::{Action, EnvironmentVariable, Snapshot};
    use crate::testing::{exam, says};

    const LISTENER: &str = "app/web/50dc6c495c0c9188/f2f7dc8efc522ab2";

    fn name(snapshot: &mut Snapshot, definition: &str, variable: &str, host: &str) {
        let definition = snapshot
            .task_definitions
            .change(&id::ecs(&format!("task-definition/{definition}")))
            .unwrap();
        definition.container_definitions[0]
            .environment
            .push(EnvironmentVariable { name: variable.into(), hosts: vec![host.into()] });
    }

    /// A service whose load balancer has a rule for a sibling's host, and that names a host in a
    /// variable.
    fn fargate(rule: &str, action: Action, variable: &str, host: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let rule = host_rule(
            &id::elb(&format!("listener-rule/{LISTENER}/1111111111111111")),
            "20",
            rule,
            action,
        );
        snapshot.rules.change(&id::elb(&format!("listener/{LISTENER}"))).unwrap().insert(1, rule);
        name(&mut snapshot, "api:12", variable, host);
        snapshot
    }

    fn orders(variable: &str) -> Snapshot {
        fargate(
            "orders.example.com",
            forward(&[(&id::group("orders"), 1)]),
            variable,
            "Orders.example.com",
        )
    }

    #[test]
    fn names_the_variable_the_host_and_what_it_could_not_read() {
        assert_eq!(
            says(CHECK, &orders("ORDERS_URL")),
            [
                "Calls to another service go out to the internet and back in: ORDERS_URL names Orders.example.com, a service behind load balancer web. 1 \
              variable comes from secrets and was not read."
            ]
        );
    }

    #[test]
    fn what_the_service_has_of_service_connect_stays() {
        let mut snapshot = orders("ORDERS_URL");
        let commands =
            |snapshot: &Snapshot| exam(CHECK, snapshot).findings.remove(0).remedy.shell();
        assert!(
            commands(&snapshot)[0]
                .ends_with(" --service-connect-configuration 'enabled=true,namespace=internal'")
        );
        let connect = ServiceConnect {
            enabled: true,
            namespace: Some("prod".into()),
            ..ServiceConnect::default()
        };
        snapshot.services[0].deployments[0].service_connect_configuration = Some(connect);
        assert_eq!(
            commands(&snapshot),
            ["aws ecs update-service --cluster prod --service api --force-new-deployment"]
        );
    }

    #[test]
    fn what_a_browser_is_told_does_not_count() {
        for variable in [
            "NEXT_PUBLIC_API",
            "VITE_API",
            "REACT_APP_API",
            "PUBLIC_URL",
            "CORS_HOSTS",
            "ALLOWED_ORIGINS",
            "OAUTH_REDIRECT_URI",
            "CALLBACK_URL",
        ] {
            assert!(says(CHECK, &orders(variable)).is_empty(), "{variable}");
        }
    }

    #[test]
    fn its_own_host_is_no_sibling() {
        let mut snapshot = orders("CORS_HOSTS");
        name(&mut snapshot, "api:12", "SELF_URL", "api.example.com");
        assert!(says(CHECK, &snapshot).is_empty());
        let mut express = baseline::express();
        name(&mut express, "api:12", "SELF_URL", EXPRESS_HOST);
        assert!(says(CHECK, &express).is_empty());
    }

    #[test]
    fn a_host_that_only_a_wildcard_matches_may_live_elsewhere() {
        let snapshot = fargate(
            "*.example.com",
            forward(&[(&id::group("orders"), 1)]),
            "MAIL_URL",
            "mail.example.com",
        );
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_rule_that_only_redirects_is_no_service() {
        let redirect = Action { kind: "redirect".into(), ..Action::default() };
        assert!(
            says(CHECK, &fargate("old.example.com", redirect, "OLD_URL", "old.example.com"))
                .is_empty()
        );
    }

    #[test]
    fn an_internal_balancer_is_the_private_way() {
        let mut snapshot = orders("ORDERS_URL");
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .scheme = Some("internal".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn the_balancers_own_name_counts_unless_it_leads_back_here() {
        let dns = "dualstack.web-1234567890.eu-west-2.elb.amazonaws.com";
        let mut by_host = baseline::fargate();
        name(&mut by_host, "api:12", "ORDERS_URL", dns);
        assert!(says(CHECK, &by_host)[0].contains("its own load balancer web"));
        let mut by_default = baseline::ec2();
        name(&mut by_default, "web:12", "SELF_URL", dns);
        assert!(says(CHECK, &by_default).is_empty());
    }

    #[test]
    fn an_express_host_that_is_not_ours_is_likely_public() {
        let mut snapshot = baseline::worker();
        name(&mut snapshot, "mailer:12", "API_URL", EXPRESS_HOST);
        assert!(says(CHECK, &snapshot)[0].contains("likely a public Express service"));
        name(&mut snapshot, "mailer:12", "OTHER", "api.stripe.com");
        assert!(!says(CHECK, &snapshot)[0].contains("stripe"));
    }

    #[test]
    fn a_sibling_may_be_behind_another_balancer_of_the_vpc() {
        let mut worker = baseline::worker();
        peers::other_balancer(&mut worker, "shop", "internet-facing", "billing.example.com");
        name(&mut worker, "mailer:12", "BILLING_URL", "billing.example.com");
        assert!(says(CHECK, &worker)[0].contains(
            "BILLING_URL names billing.example.com, a service behind load balancer shop."
        ));
        let mut by_name = baseline::worker();
        peers::other_balancer(&mut by_name, "shop", "internet-facing", "billing.example.com");
        name(
            &mut by_name,
            "mailer:12",
            "BILLING_URL",
            "shop-987654321.eu-west-2.elb.amazonaws.com",
        );
        assert!(
            says(CHECK, &by_name)[0].contains("the load balancer shop."),
            "{:?}",
            says(CHECK, &by_name)
        );
    }

    #[test]
    fn where_an_internal_balancer_has_the_host_too_a_private_zone_may_lead_there() {
        let mut snapshot = orders("ORDERS_URL");
        peers::other_balancer(&mut snapshot, "inside", "internal", "orders.example.com");
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_balancer_that_may_not_be_seen_may_be_the_private_way() {
        let mut snapshot = orders("ORDERS_URL");
        let inside =
            peers::other_balancer(&mut snapshot, "inside", "internal", "orders.example.com");
        snapshot.listeners.insert(inside, Seen::No(Why::NoAnswer("throttled".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn of_many_other_balancers_just_the_names_are_known() {
        let mut worker = baseline::worker();
        for n in 0..=sibling::OTHERS {
            let other = peers::other_balancer(
                &mut worker,
                &format!("shop{n}"),
                "internet-facing",
                "billing.example.com",
            );
            worker.listeners.0.remove(&other);
        }
        name(&mut worker, "mailer:12", "BILLING_URL", "billing.example.com");
        assert!(says(CHECK, &worker).is_empty());
        name(&mut worker, "mailer:12", "SHOP_URL", "shop3-987654321.eu-west-2.elb.amazonaws.com");
        assert!(says(CHECK, &worker)[0].contains("SHOP_URL names"));
    }

    #[test]
    fn private_names_addresses_and_aws_itself_are_no_siblings() {
        for host in [
            "orders",
            "10.0.1.7",
            "orders.prod.internal",
            "orders.prod.local",
            "sqs.eu-west-2.amazonaws.com",
            "abc.lambda-url.eu-west-2.on.aws",
        ] {
            assert!(!sibling::may_be_one(host), "{host}");
        }
        for host in [
            "internal-web-1.eu-west-2.elb.amazonaws.com",
            "mailer-db.c9akciq32rgz.eu-west-2.rds.amazonaws.com",
        ] {
            assert!(!sibling::may_be_one(host), "{host}");
        }
        assert!(
            sibling::may_be_one("orders.example.com")
                && sibling::may_be_one("web-1.eu-west-2.elb.amazonaws.com")
        );
    }

    #[test]
    fn without_hosts_nothing_more_is_asked() {
        let exam = exam(CHECK, &baseline::fargate());
        assert_eq!(
            (exam.outcome, exam.read),
            (Outcome::Healthy, vec![Call::DescribeServices, Call::DescribeTaskDefinition])
        );
    }

    #[test]
    fn without_the_rules_it_does_not_know_its_own_hosts() {
        let mut snapshot = orders("ORDERS_URL");
        snapshot.rules.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
