//! A listener serves the service over plain HTTP. A redirect to HTTPS is as it should be, and never
//! a finding; whether the app itself redirects cannot be seen, so the finding says "unless".

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::inbound_rules::{self, InboundRules};
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{Action, Listener};
use crate::text::and_list;
use crate::{aws, hcl, words};

crate::check! {
    /// An internet-facing load balancer forwards plain HTTP to the service instead of redirecting
    /// it to HTTPS.
    ///
    /// # Why it matters
    ///
    /// Anybody on the network path can read and change the traffic, session cookies and passwords
    /// included. A browser that is not told to use HTTPS starts with HTTP.
    ///
    /// # How we tell
    ///
    /// A listener with the protocol HTTP has a rule that forwards to a target group of the service,
    /// and the security groups of the load balancer allow public addresses on its port. A redirect,
    /// a fixed response, an internal load balancer, the test rule of a blue/green deployment and a
    /// rule for `/.well-known/` only are no finding; nor is a port that is open to security groups,
    /// to private blocks or to CloudFront's own prefix list only: viewers talk to CloudFront, and a
    /// distribution that requests its origin over HTTP would loop on the redirect. Whether the app
    /// answers such requests with a redirect of its own cannot be seen. Express Mode opens port 80
    /// in the security group and creates no listener for it: such a port is closed, not plain.
    ///
    /// # What to do
    ///
    /// If an HTTPS listener forwards to the service, redirect this one to it; a rule that forwards
    /// before the default action has to redirect as well, or be removed. For a CloudFront
    /// distribution that uses this listener, first set its origin protocol policy to `https-only`.
    ///
    /// ```sh
    /// aws elbv2 modify-listener --listener-arn <listener> --default-actions 'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}'
    /// ```
    ///
    /// Terraform/OpenTofu: `default_action { type = "redirect" }` in `aws_lb_listener`.
    ///
    /// # See also
    ///
    /// `tls_policy_old`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>
    title: "HTTP is served, not redirected to HTTPS",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules,
        DescribeSecurityGroups, GetManagedPrefixListEntries, DescribeManagedPrefixLists,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, plain_listener, prefix_list};
        plain_listener(snapshot, "web", crate::baseline::forward(&[(&id::group("api"), 1)]));
        let office = prefix_list::from_list(80, prefix_list::list(snapshot, "pl-0ff1ce", "office", &["203.0.113.0/24"]));
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions.push(office.clone()));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let inbounds = inbound_rules::each(patient, findings)?;
    if !inbounds.iter().any(InboundRules::is_public) {
        return Err(NoAnswer::NotApplicable(
            "no internet-facing load balancer with security groups",
        ));
    }
    let forwards = traffic::forwards(patient)?;
    for inbound in inbounds.iter().filter(|inbound| inbound.is_public()) {
        for listener in
            inbound.listeners.iter().filter(|listener| listener.protocol.as_deref() == Some("HTTP"))
        {
            let here = forwards
                .iter()
                .filter(|forward| forward.listener.listener_arn == listener.listener_arn);
            let plain: Vec<&traffic::Forward> = here
                .filter(|forward| forward.live().next().is_some() && !is_well_known(forward))
                .collect();
            let Some(port) = listener.port.filter(|_| !plain.is_empty()) else { continue };
            let entrants = entrants(patient, findings, inbound, port);
            if entrants.public {
                let secure = forwards
                    .iter()
                    .find(|forward| is_secure(forward, inbound))
                    .and_then(|forward| forward.listener.port);
                findings.add(tell(inbound, listener, &plain, secure, entrants.cloudfront));
            }
        }
    }
    Ok(())
}

/// Which sources a port allows.
struct Entrants {
    /// Addresses that the internet routes, other than CloudFront's.
    public: bool,
    cloudfront: bool,
}

fn entrants<'a>(
    patient: &Patient<'a>,
    findings: &mut Findings,
    inbound: &InboundRules<'a>,
    port: i32,
) -> Entrants {
    let permissions = inbound
        .groups
        .iter()
        .flat_map(|group| &group.ip_permissions)
        .filter(|permission| reach::covers_tcp(permission, port));
    let (mut cloudfront, mut others) = (false, Vec::new());
    for list in permissions.flat_map(|permission| &permission.prefix_list_id) {
        // A list without a name may be CloudFront's: then it is not known whether it allows others.
        match findings
            .see(patient.managed_prefix_list(list))
            .flatten()
            .and_then(|list| list.prefix_list_name.as_deref())
        {
            Some(name)
                if name.contains("com.amazonaws.")
                    && name.ends_with(".cloudfront.origin-facing") =>
            {
                cloudfront = true
            }
            Some(_) => others.push(list.as_str()),
            None => {}
        }
    }
    let mut is_public = |looked_into: &[&str]| {
        let blocks = inbound.lets_in(patient, findings, |list| looked_into.contains(&list)).blocks;
        blocks.iter().any(|one| one.ports.contains(&port) && !one.block.is_private())
    };
    // Lists are looked into only where addresses alone do not tell.
    Entrants { public: is_public(&[]) || is_public(&others), cloudfront }
}

/// Whether clients get to the service by HTTPS here: a listener that leads elsewhere is nowhere to
/// redirect to.
fn is_secure(forward: &traffic::Forward, inbound: &InboundRules) -> bool {
    let listener = forward.listener;
    let is_here = listener.load_balancer_arn == inbound.balancer.load_balancer_arn;
    is_here && listener.protocol.as_deref() == Some("HTTPS") && forward.live().next().is_some()
}

/// Certificates are proved to belong to a host at such a path, and that has to work over HTTP.
fn is_well_known(forward: &traffic::Forward) -> bool {
    let mut paths =
        forward.rule.conditions.iter().filter(|condition| condition.field == "path-pattern");
    paths.any(|condition| {
        condition.regex_values.is_empty()
            && condition.values.iter().all(|path| path.starts_with("/.well-known/"))
    })
}

fn tell(
    inbound: &InboundRules,
    listener: &Listener,
    plain: &[&traffic::Forward],
    secure: Option<i32>,
    cloudfront: bool,
) -> Finding {
    let https = inbound
        .listeners
        .iter()
        .find(|other| other.protocol.as_deref() == Some("HTTPS"))
        .and_then(|other| other.port);
    let claim = format!(
        "load balancer {} serves plain HTTP on port {}: it forwards {} without a redirect to HTTPS, unless the app redirects",
        inbound.name(),
        listener.port.unwrap_or_default(),
        and_list(plain.iter().map(|forward| if forward.rule.is_default {
            "all requests that no other rule matches".into()
        } else {
            forward.name()
        }))
    );
    let secured = match (secure, https) {
        (Some(_), _) => "",
        (None, Some(_)) => "Its HTTPS listener does not forward to the service.",
        (None, None) => "It has no HTTPS listener.",
    };
    let mut summary = match (secure, https) {
        (Some(_), _) => {
            "Redirect to HTTPS. Requests that are forwarded now get a 301 from then on.".to_owned()
        }
        (None, Some(port)) => format!(
            "First forward to the service from the HTTPS listener on port {port}; then change this one to redirect."
        ),
        (None, None) => {
            "First create an HTTPS listener with a certificate; then change this one to redirect."
                .to_owned()
        }
    };
    if cloudfront {
        summary.push_str(
            " CloudFront is allowed here as well: before that, set the distribution's origin protocol policy to https-only, or it loops on the redirect.",
        );
    }
    let remedy = secure.map_or_else(
        || Remedy::new(&summary),
        |port| redirecting(Remedy::new(&summary), listener, plain, port),
    );
    let forwards = |forward: &&traffic::Forward| {
        let action: Option<&Action> =
            forward.rule.actions.iter().find(|action| action.kind == "forward");
        action.map(|action| {
            Evidence::new(Call::DescribeRules, &forward.rule.rule_arn, "Actions.Type", &action.kind)
        })
    };
    Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(
            claim,
            Evidence::new(Call::DescribeListeners, &listener.listener_arn, "Protocol", "HTTP"),
        )
        .detail(secured)
        .because_all(plain.iter().filter_map(forwards))
        .mend(remedy)
        .concerns(Kind::LoadBalancer, &inbound.balancer.load_balancer_arn)
}

fn redirecting(
    remedy: Remedy,
    listener: &Listener,
    plain: &[&traffic::Forward],
    port: i32,
) -> Remedy {
    let redirect =
        words!("Type=redirect,RedirectConfig={Protocol=HTTPS,Port={},StatusCode=HTTP_301}", port);
    let command = |forward: &traffic::Forward| {
        if forward.rule.is_default {
            aws!("elbv2 modify-listener --listener-arn {} --default-actions", listener.listener_arn)
        } else {
            aws!("elbv2 modify-rule --rule-arn {} --actions", forward.rule.rule_arn)
        }
    };
    let commands = plain.iter().map(|forward| command(forward).and(redirect.clone()));
    commands.fold(remedy, Remedy::cli).terraform(hcl!(
        r#"
        default_action {
          type = "redirect"
          redirect {
            protocol    = "HTTPS"
            port        = "{}"
            status_code = "HTTP_301"
          }
        }"#,
        port
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, from_block, from_group, id, plain_listener, prefix_list};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Condition, IpPermission, Snapshot};
    use crate::testing::{exam, says};

    fn plain(action: Action) -> Snapshot {
        let mut snapshot = baseline::fargate();
        plain_listener(&mut snapshot, "web", action);
        snapshot
            .security_groups
            .change("sg-balancer")
            .unwrap()
            .ip_permissions
            .push(from_block(80, "0.0.0.0/0"));
        snapshot
    }

    fn to_api() -> Action {
        forward(&[(&id::group("api"), 1)])
    }

    #[test]
    fn a_redirect_is_what_it_should_be() {
        let redirect = Action {
            kind: "redirect".into(),
            status_code: Some("HTTP_301".into()),
            redirect_protocol: Some("HTTPS".into()),
            ..Action::default()
        };
        assert_eq!(exam(CHECK, &plain(redirect)).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_rule_that_forwards_is_named_and_mended() {
        let exam = exam(CHECK, &plain(to_api()));
        let finding = &exam.findings[0];
        assert_eq!(
            finding.says(),
            "Load balancer web serves plain HTTP on port 80: it forwards all requests that no other rule matches without a redirect to HTTPS, unless the app redirects."
        );
        assert!(
            finding.remedy.shell()[0].starts_with("aws elbv2 modify-listener"),
            "{:?}",
            finding.remedy.shell()
        );
    }

    #[test]
    fn a_port_that_nobody_may_reach_is_not_served() {
        let mut snapshot = plain(to_api());
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.pop();
        assert_eq!(says(CHECK, &snapshot), [""; 0]);
    }

    #[test]
    fn proving_a_certificate_needs_http() {
        let mut snapshot = plain(to_api());
        let listener = id::elb("listener/app/web/50dc6c495c0c9188/0000000000000080");
        let rules = snapshot.rules.change(&listener).unwrap();
        rules[0].is_default = false;
        rules[0].conditions = vec![Condition {
            field: "path-pattern".into(),
            values: vec!["/.well-known/acme-challenge/*".into()],
            ..Condition::default()
        }];
        assert_eq!(says(CHECK, &snapshot), [""; 0]);
    }

    #[test]
    fn a_group_without_weight_gets_nothing() {
        assert_eq!(says(CHECK, &plain(forward(&[(&id::group("api"), 0)]))), [""; 0]);
    }

    #[test]
    fn an_internal_balancer_is_not_judged() {
        let mut snapshot = plain(to_api());
        snapshot
            .load_balancers
            .change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"))
            .unwrap()
            .scheme = Some("internal".into());
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::NotApplicable("no internet-facing load balancer with security groups")
        );
    }

    #[test]
    fn hidden_groups_leave_it_open_who_comes_in() {
        let mut snapshot = plain(to_api());
        snapshot.security_groups.0.remove("sg-balancer");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    fn open_to(permissions: Vec<IpPermission>) -> Snapshot {
        let mut snapshot = plain(to_api());
        prefix_list::of_cloudfront(&mut snapshot);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions = permissions;
        snapshot
    }

    #[test]
    fn cloudfront_is_not_sent_in_circles() {
        let list = || prefix_list::from_list(80, "pl-3b927c52");
        let mut alone = open_to(vec![list()]);
        assert_eq!(exam(CHECK, &alone).outcome, Outcome::Healthy);
        let summary = exam(CHECK, &open_to(vec![list(), from_block(80, "0.0.0.0/0")]))
            .findings
            .remove(0)
            .remedy
            .summary;
        assert!(
            summary.contains(
                "before that, set the distribution's origin protocol policy to https-only"
            ),
            "{summary}"
        );
        alone.managed_prefix_lists.insert("pl-3b927c52", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &alone).outcome, Outcome::CouldNotLook, "the list may be anybody's");
        let mut office = open_to(vec![prefix_list::from_list(80, "pl-0ff1ce")]);
        prefix_list::list(&mut office, "pl-0ff1ce", "office", &["203.0.113.0/24"]);
        assert_eq!(says(CHECK, &office).len(), 1);
    }

    #[test]
    fn nothing_is_redirected_to_a_listener_that_leads_elsewhere() {
        let mut snapshot = plain(to_api());
        let arn =
            snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap()
                [0]
            .listener_arn
            .clone();
        snapshot
            .rules
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|rule| rule.actions = vec![forward(&[(&id::group("other"), 1)])]);
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            finding.says().ends_with("Its HTTPS listener does not forward to the service."),
            "{}",
            finding.says()
        );
        assert!(
            finding
                .remedy
                .summary
                .starts_with("First forward to the service from the HTTPS listener on port 443"),
            "{:?}",
            finding.remedy
        );
        assert!(
            finding.remedy.shell().is_empty() && finding.remedy.terraform.is_none(),
            "{:?}",
            finding.remedy
        );
    }

    #[test]
    fn groups_and_private_blocks_are_not_the_internet() {
        assert_eq!(
            exam(CHECK, &open_to(vec![from_group(80, "sg-prober"), from_block(80, "10.0.0.0/8")]))
                .outcome,
            Outcome::Healthy
        );
    }
}
