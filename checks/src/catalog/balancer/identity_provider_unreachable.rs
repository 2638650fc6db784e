//! The load balancer signs users in and cannot reach the identity provider: its security groups do
//! not allow it, or its subnets have no route to it. A provider that answers with an error was
//! reached, and is not for this check.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::catalog::balancer::common::balancer_errors::SPAN;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::task_access;
use crate::facts::inbound::traffic::{self, Forward};
use crate::facts::network::{reach, route};
use crate::facts::peers::service_connect;
use crate::facts::tasks::metric::{self, Recent};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Name;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::metric::Metric;
use crate::snapshot::{Action, LoadBalancer, RouteTable, SecurityGroup};
use crate::text::{and_list, parsed, plural};
use crate::{aws, hcl, words};

crate::check! {
    /// A rule signs users in with OIDC or Amazon Cognito, and the load balancer cannot connect to
    /// the identity provider.
    ///
    /// # Why it matters
    ///
    /// The browser gets to the provider and back; then the load balancer itself has to call the
    /// provider's token and user info endpoints. Where it cannot, users get 500 when they return,
    /// and the app's log shows nothing of it.
    ///
    /// # How we tell
    ///
    /// No outbound rule of the load balancer's security groups covers the port of the provider's
    /// endpoints, which is 443 unless they name another. Or the route table of a subnet of the load
    /// balancer has no default route, or one that is a blackhole, or, where the load balancer has
    /// no public IPv4 address (it is internal, or `dualstack-without-public-ipv4`), one to an
    /// internet gateway; that counts for Amazon Cognito, and for other providers where
    /// `ELBAuthError` shows that sign-ins fail, since such a provider may be inside. Nothing is
    /// claimed where `ELBAuthSuccess` of the last 15 minutes shows that users do sign in. A wrong
    /// client secret, or a user who is refused, is `ELBAuthFailure` or a 561: there the provider
    /// was reached.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ec2 authorize-security-group-egress --group-id <load balancer's group> --protocol tcp --port 443 --cidr 0.0.0.0/0
    /// aws ec2 create-route --route-table-id <table> --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_vpc_security_group_egress_rule` of the load balancer's group, or
    /// an `aws_route` to an `aws_nat_gateway`.
    ///
    /// # See also
    ///
    /// `balancer_answers_5xx`, `balancer_egress_blocked`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html>
    title: "The load balancer cannot reach the identity provider",
    severity: Critical,
    role: Cause,
    explains: [BalancerAnswers5xx],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules, DescribeSecurityGroups, DescribeSubnets, DescribeRouteTables, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{from_group, id, minutes};
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        let sign_in = crate::snapshot::Action {
            kind: "authenticate-oidc".into(),
            provider_hosts: vec!["login.example.com".into()],
            ..Default::default()
        };
        let listener = snapshot.rules.0.keys().next().cloned().unwrap_or_default();
        if let Some(rule) = snapshot.rules.change(&listener).and_then(|rules| rules.first_mut()) {
            rule.actions.insert(0, sign_in);
        }
        if let Some(group) = snapshot.security_groups.change("sg-balancer") {
            group.ip_permissions_egress = vec![from_group(8080, "sg-task")];
        }
        for metric in [Metric::Elb5xx, Metric::AuthErrors] {
            snapshot.metrics.put(metric.of(&balancer), minutes(90.0));
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let mut signing: BTreeMap<&str, Vec<&Forward>> = BTreeMap::new();
    for forward in
        forwards.iter().filter(|forward| forward.rule.actions.iter().any(traffic::signs_in))
    {
        signing.entry(&forward.listener.load_balancer_arn).or_default().push(forward);
    }
    if signing.is_empty() {
        return Err(NoAnswer::NotApplicable("no rule signs users in"));
    }
    for (arn, forwards) in signing {
        let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else { continue };
        let Some(provider) = findings.see(Provider::of(patient, arn, &forwards)) else { continue };
        if provider.is_reached {
            continue;
        }
        let closed = findings.see(closed(patient, balancer, &provider)).flatten();
        let stranded = findings.see(stranded(patient, balancer, &provider)).unwrap_or_default();
        if let Some(groups) = closed {
            findings.add(of_groups(balancer, &groups, &provider));
        } else if !stranded.is_empty() {
            findings.add(of_routes(balancer, &stranded, &provider));
        }
    }
    Ok(())
}

/// The provider that tells a load balancer who its users are.
struct Provider<'a> {
    action: &'a Action,
    rules: Vec<&'a str>,
    hosts: Vec<&'a str>,
    ports: Vec<i32>,
    /// Sign-ins that failed, of the last minutes.
    errors: Option<Recent>,
    /// Whether users did sign in within the last minutes.
    is_reached: bool,
}

impl<'a> Provider<'a> {
    fn of(
        patient: &Patient,
        balancer: &str,
        forwards: &[&Forward<'a>],
    ) -> Result<Provider<'a>, Blind> {
        let actions = || {
            forwards
                .iter()
                .flat_map(|forward| &forward.rule.actions)
                .filter(|it| traffic::signs_in(it))
        };
        let mut hosts: Vec<&str> =
            actions().flat_map(|action| &action.provider_hosts).map(String::as_str).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let port = |host: &&str| host.rsplit_once(':').and_then(|(_, port)| parsed(port));
        let mut ports: Vec<i32> = hosts.iter().map(|host| port(host).unwrap_or(HTTPS)).collect();
        if ports.is_empty() {
            ports.push(HTTPS);
        }
        Ok(Provider {
            // There is one: the forwards were chosen by it.
            action: actions().next().unwrap_or(&forwards[0].rule.actions[0]),
            rules: forwards.iter().map(|forward| forward.rule.rule_arn.as_str()).collect(),
            hosts,
            ports,
            errors: asked(metric::recent(patient, Metric::AuthErrors, balancer, SPAN))?,
            is_reached: asked(metric::recent(patient, Metric::AuthSuccesses, balancer, SPAN))?
                .is_some(),
        })
    }

    /// `identity provider login.example.com`.
    fn name(&self) -> String {
        match (self.hosts.as_slice(), self.is_cognito()) {
            ([], true) => "Amazon Cognito".to_owned(),
            ([], false) => "the identity provider".to_owned(),
            (hosts, _) => format!("identity provider {}", and_list(hosts)),
        }
    }

    fn is_cognito(&self) -> bool {
        self.action.kind == "authenticate-cognito"
    }

    /// Whether only the VPC, or what is joined to it, knows it.
    fn is_inside(&self) -> bool {
        self.hosts.iter().any(|host| {
            let name = host.split(':').next().unwrap_or(host);
            service_connect::is_private(name, None)
        })
    }

    fn evidence(&self) -> impl Iterator<Item = Evidence> + '_ {
        let kind = self.action.kind.as_str();
        let of_rule =
            move |rule: &&str| Evidence::new(Call::DescribeRules, *rule, "Actions.Type", kind);
        self.rules
            .iter()
            .map(of_rule)
            .chain(self.errors.iter().map(|errors| errors.evidence.clone()))
    }

    /// How many could not sign in, where that was counted.
    fn count(&self) -> String {
        match &self.errors {
            Some(errors) => format!("{:.0} sign-ins failed in the last 15 min.", errors.sum),
            None => String::new(),
        }
    }
}

/// A metric that is asked for only where a rule signs users in: an older snapshot does not have it.
fn asked(recent: Result<Option<Recent>, Blind>) -> Result<Option<Recent>, Blind> {
    match recent {
        Err(Blind { why: Why::NotAsked, .. }) => Ok(None),
        other => other,
    }
}

/// The port of a provider that names no other.
const HTTPS: i32 = 443;

/// The load balancer's security groups, if they allow no outbound traffic on a port of the
/// provider.
fn closed<'a>(
    patient: &Patient<'a>,
    balancer: &LoadBalancer,
    provider: &Provider,
) -> Result<Option<Vec<&'a SecurityGroup>>, Blind> {
    let groups = reach::security_groups(patient, &balancer.security_groups)?;
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else { return Ok(None) };
    let rules = || groups.iter().flat_map(|group| &group.ip_permissions_egress);
    let is_open = |port: &i32| rules().any(|rule| reach::covers_tcp(rule, *port));
    Ok((!provider.ports.iter().all(is_open)).then_some(groups))
}

/// A subnet of the load balancer that has no usable route to the internet for it.
struct Stranded<'a> {
    subnet: &'a str,
    table: &'a RouteTable,
    next_hop: route::NextHop<'a>,
}

/// The subnets from which the load balancer cannot reach a provider that is outside.
fn stranded<'a>(
    patient: &Patient<'a>,
    balancer: &'a LoadBalancer,
    provider: &Provider,
) -> Result<Vec<Stranded<'a>>, Blind> {
    let counts = provider.is_cognito() || provider.errors.is_some();
    let mut stranded = Vec::new();
    if !counts || provider.is_inside() {
        return Ok(stranded);
    }
    for subnet in &balancer.subnets {
        let Some(exit) = route::out(patient, subnet, None)? else { continue };
        let is_closed = match exit.next_hop {
            route::NextHop::Nowhere | route::NextHop::Blackhole(_) => true,
            route::NextHop::Internet(_) => lacks_address(balancer),
            _ => false,
        };
        if is_closed {
            stranded.push(Stranded { subnet, table: exit.table, next_hop: exit.next_hop });
        }
    }
    Ok(stranded)
}

/// Whether a load balancer has no public IPv4 address, without which an internet gateway forwards
/// nothing.
fn lacks_address(balancer: &LoadBalancer) -> bool {
    balancer.scheme.as_deref() == Some("internal")
        || balancer.ip_address_type.as_deref() == Some("dualstack-without-public-ipv4")
}

fn of_groups(balancer: &LoadBalancer, groups: &[&SecurityGroup], provider: &Provider) -> Finding {
    let mended = groups[0].group_id.as_str();
    let port = provider.ports[0];
    let claim = format!(
        "no outbound rule of load balancer {}'s security groups ({}) allows port {port}, so it cannot reach {}, which signs users in",
        balancer.load_balancer_name,
        balancer.security_groups.join(", "),
        provider.name()
    );
    let remedy = Remedy::new(format!(
        "Allow the load balancer outbound traffic on port {port}, to the token and user info endpoints of the identity provider."
    ))
    .cli(aws!(
        "ec2 authorize-security-group-egress --group-id {} --protocol tcp --port {} \
         --cidr 0.0.0.0/0",
        mended,
        port
    ))
    .terraform(hcl!(
        r#"
        resource "aws_vpc_security_group_egress_rule" "identity_provider" {
          security_group_id = {}
          ip_protocol       = "tcp"
          from_port         = {}
          to_port           = {}
          cidr_ipv4         = "0.0.0.0/0"
        }"#,
        mended,
        port,
        port
    ));
    let about = Subject::new(Kind::SecurityGroup, mended);
    let others = groups.iter().skip(1).map(|group| reach::what_it_lets_out(group, port));
    finished(about.sick(claim, reach::what_it_lets_out(groups[0], port)), balancer, provider)
        .because_all(others)
        .because_all(task_access::groups_of(balancer))
        .mend(remedy)
}

fn of_routes(balancer: &LoadBalancer, stranded: &[Stranded], provider: &Provider) -> Finding {
    let subnets = and_list(stranded.iter().map(|one| one.subnet));
    let noun = plural(stranded.len(), "subnet", "subnets");
    let verb = plural(stranded.len(), "has", "have");
    let first = &stranded[0];
    let id = &first.table.route_table_id;
    let how = match first.next_hop {
        route::NextHop::Blackhole(_) => "its default route is a blackhole",
        route::NextHop::Internet(_) => {
            "its default route leads to an internet gateway, which needs a public address"
        }
        _ => "it has no default route",
    };
    let claim = format!(
        "{noun} {subnets} of load balancer {} {verb} no route to the internet for it (route table {id}: {how}), so it cannot reach {}, which signs users in",
        balancer.load_balancer_name,
        provider.name()
    );
    let arn = &balancer.load_balancer_arn;
    let of = |field, value: &str| Evidence::new(Call::DescribeLoadBalancers, arn, field, value);
    let kinds = [("Scheme", &balancer.scheme), ("IpAddressType", &balancer.ip_address_type)];
    let kinds = kinds.into_iter().filter_map(|(field, value)| Some(of(field, value.as_deref()?)));
    let place = of("AvailabilityZones.SubnetId", first.subnet);
    finished(Subject::new(Kind::LoadBalancer, arn).sick(claim, place), balancer, provider)
        .because_all(kinds)
        .because_all(route::destinations(first.table))
        .mend(to_the_internet(balancer, stranded))
}

/// A load balancer without a public address needs a NAT gateway to go out, any other its internet
/// gateway.
fn to_the_internet(balancer: &LoadBalancer, stranded: &[Stranded]) -> Remedy {
    let by_nat = lacks_address(balancer);
    let (summary, to, argument, target) = if by_nat {
        (
            "Give the load balancer's subnets a route to a NAT gateway that is in a public subnet.",
            words!("--nat-gateway-id $NAT_GATEWAY_ID"),
            "nat_gateway_id",
            "aws_nat_gateway.this.id",
        )
    } else {
        (
            "Give the load balancer's subnets a route to the internet gateway of the VPC.",
            words!("--gateway-id $INTERNET_GATEWAY_ID"),
            "gateway_id",
            "aws_internet_gateway.this.id",
        )
    };
    let is_new = matches!(stranded[0].next_hop, route::NextHop::Nowhere);
    let verb = if is_new { "create-route" } else { "replace-route" };
    let mut tables: Vec<&str> =
        stranded.iter().map(|one| one.table.route_table_id.as_str()).collect();
    tables.dedup();
    let remedy = tables.iter().fold(Remedy::new(summary), |remedy, table| {
        let command =
            aws!("ec2 {} --route-table-id {} --destination-cidr-block 0.0.0.0/0", verb, table);
        remedy.cli(command.and(to.clone()))
    });
    remedy.terraform(hcl!(
        r#"
        resource "aws_route" "identity_provider" {
          route_table_id         = {}
          destination_cidr_block = "0.0.0.0/0"
          {} = {}
        }"#,
        tables[0],
        Name(argument),
        Name(target)
    ))
}

fn finished(finding: Finding, balancer: &LoadBalancer, provider: &Provider) -> Finding {
    finding
        .detail("Users get 500 when they return from signing in.")
        .detail(provider.count())
        .because_all(provider.evidence())
        .concerns(Kind::LoadBalancer, &balancer.load_balancer_arn)
        .concerns_no(Kind::TargetGroup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, everywhere, from_group, id};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::Seen;
    use crate::snapshot::{IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    /// A service whose load balancer signs users in so, with what its group lets out.
    fn signing_in(kind: &str, egress: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        let action = Action { kind: kind.into(), ..Action::default() };
        snapshot.rules.change(&listener).unwrap()[0].actions.insert(0, action);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress = egress;
        snapshot
    }

    /// The same behind an internal load balancer in subnets whose default route leads there.
    fn internal(kind: &str, default: Option<&str>) -> Snapshot {
        let mut snapshot = signing_in(kind, vec![everywhere("-1", None)]);
        let own = snapshot.load_balancers.change(&balancer()).unwrap();
        own.scheme = Some("internal".into());
        let subnets = own.subnets.clone();
        for table in snapshot.route_tables.change("vpc-1").unwrap() {
            if table.subnet_ids.iter().any(|subnet| subnets.contains(subnet)) {
                let routes = &mut table.routes;
                match default {
                    Some(target) => routes
                        .iter_mut()
                        .filter(|route| route.destination == "0.0.0.0/0")
                        .for_each(|route| route.target = Some(target.into())),
                    None => routes.retain(|route| route.destination != "0.0.0.0/0"),
                }
            }
        }
        snapshot
    }

    #[test]
    fn names_group_port_and_provider() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No outbound rule of load balancer web's security groups (sg-balancer) allows port 443, so it cannot reach identity provider login.example.com, which signs users in. Users get 500 when they return from signing in. 1350 sign-ins failed in the last 15 min."
            ]
        );
    }

    #[test]
    fn who_is_let_out_on_443_may_ask_the_provider() {
        for rule in
            [everywhere("-1", None), everywhere("tcp", Some(443)), from_group(443, "sg-idp")]
        {
            let snapshot = signing_in("authenticate-oidc", vec![from_group(8080, "sg-task"), rule]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn a_provider_on_another_port_is_asked_there() {
        let mut snapshot = (CHECK.example)();
        for rule in snapshot.rules.0.values_mut().filter_map(|seen| match seen {
            Seen::Yes(rules) => rules.as_mut(),
            Seen::No(_) => None,
        }) {
            rule[0].actions[0].provider_hosts = vec!["login.example.com:8443".into()];
        }
        let group = snapshot.security_groups.change("sg-balancer").unwrap();
        group.ip_permissions_egress = vec![everywhere("tcp", Some(443))];
        assert!(says(CHECK, &snapshot)[0].contains("allows port 8443"));
    }

    #[test]
    fn users_who_sign_in_prove_the_way_open() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.put(Metric::AuthSuccesses.of(&balancer()), baseline::minutes(3.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_wrong_client_secret_is_no_matter_of_the_network() {
        let mut snapshot = signing_in("authenticate-oidc", vec![everywhere("-1", None)]);
        for metric in [Metric::AuthErrors, Metric::Elb5xx] {
            snapshot.metrics.put(metric.of(&balancer()), baseline::minutes(90.0));
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_internal_balancer_needs_a_nat_gateway_to_ask_cognito() {
        let found = says(CHECK, &internal("authenticate-cognito", Some("igw-1")));
        assert!(
            found[0].starts_with("Subnets subnet-0c3 and subnet-0d4 of load balancer web have no route to the internet for it")
                && found[0]
                    .contains("which needs a public address), so it cannot reach Amazon Cognito"),
            "{found:?}"
        );
        let found = says(CHECK, &internal("authenticate-cognito", None));
        assert!(found[0].contains("it has no default route"), "{found:?}");
        for way in ["nat-1", "tgw-1"] {
            let snapshot = internal("authenticate-cognito", Some(way));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{way}");
        }
    }

    #[test]
    fn another_provider_may_be_inside_unless_sign_ins_fail() {
        let mut snapshot = internal("authenticate-oidc", Some("igw-1"));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.metrics.put(Metric::AuthErrors.of(&balancer()), baseline::minutes(2.0));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
        for seen in snapshot.rules.0.values_mut() {
            if let Seen::Yes(Some(rules)) = seen {
                rules[0].actions[0].provider_hosts = vec!["keycloak.corp.internal".into()];
            }
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it is inside");
    }

    #[test]
    fn a_public_balancer_goes_out_by_its_internet_gateway() {
        let mut snapshot = internal("authenticate-cognito", Some("igw-1"));
        snapshot.load_balancers.change(&balancer()).unwrap().scheme =
            Some("internet-facing".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn it_explains_what_the_balancer_answers_by_itself() {
        let snapshot = (CHECK.example)();
        let intent = Intent::default();
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        assert_eq!(diagnosis.roots[0].check.id(), CHECK.id());
        assert_eq!(diagnosis.roots[0].explains[0].check.id(), "balancer_answers_5xx");
    }

    #[test]
    fn who_signs_nobody_in_asks_nobody_and_unseen_groups_may_let_it_out() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
        let mut snapshot = (CHECK.example)();
        snapshot.security_groups.insert("sg-balancer", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
