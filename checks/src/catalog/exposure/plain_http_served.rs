//! A listener serves the service over plain HTTP. A redirect to HTTPS is what it should be, and never a finding; whether
//! the app itself redirects is for the app to know, so the finding says "unless".

use crate::call::{Call, quote};
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::ingress::{self, Door};
use crate::reading::{and_list, traffic};
use crate::snapshot::{Action, Listener};

crate::check! {
    /// An internet-facing load balancer forwards plain HTTP to the service instead of redirecting it to HTTPS.
    ///
    /// # Why it matters
    ///
    /// Whoever is on the way can read and change what is sent, session cookies and passwords included. A browser that is
    /// not told to use HTTPS starts with HTTP.
    ///
    /// # How we tell
    ///
    /// A listener with the protocol HTTP has a rule that forwards to a target group of the service, and the security
    /// groups of the balancer let somebody in on its port. A redirect, a fixed response, an internal balancer, the test
    /// rule of a blue/green deployment and a rule for `/.well-known/` only are no finding. Whether the app answers such
    /// requests with a redirect of its own cannot be seen. Express Mode opens port 80 in the security group and makes no
    /// listener for it: such a port is closed, not plain.
    ///
    /// # What to do
    ///
    /// Let the listener redirect; a rule before its default action that forwards has to go or to redirect as well:
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
        DescribeSecurityGroups,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{from_block, id, plain_listener};
        plain_listener(snapshot, "web", crate::baseline::forward(&[(&id::group("api"), 1)]));
        snapshot.security_groups.change("sg-balancer").into_iter().for_each(|group| group.ip_permissions.push(from_block(80, "203.0.113.0/24")));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let doors = ingress::doors(patient, findings)?;
    if !doors.iter().any(Door::is_public) {
        return Err(NoAnswer::NotApplicable("no internet-facing load balancer with security groups"));
    }
    let ways = traffic::ways(patient)?;
    for door in doors.iter().filter(|door| door.is_public()) {
        for listener in door.listeners.iter().filter(|listener| listener.protocol.as_deref() == Some("HTTP")) {
            let here = ways.iter().filter(|way| way.listener.listener_arn == listener.listener_arn);
            let plain: Vec<&traffic::Way> = here.filter(|way| way.live().next().is_some() && !is_well_known(way)).collect();
            if !plain.is_empty() && listener.port.is_some_and(|port| door.lets_somebody_in(port)) {
                findings.add(tell(door, listener, &plain));
            }
        }
    }
    Ok(())
}

/// Certificates are proved to belong to a host at such a path, and that has to work over HTTP.
fn is_well_known(way: &traffic::Way) -> bool {
    let mut paths = way.rule.conditions.iter().filter(|condition| condition.field == "path-pattern");
    paths.any(|condition| condition.values.iter().all(|path| path.starts_with("/.well-known/")))
}

fn tell(door: &Door, listener: &Listener, plain: &[&traffic::Way]) -> Finding {
    let secure = door.listeners.iter().find(|other| other.protocol.as_deref() == Some("HTTPS")).and_then(|other| other.port);
    let says = format!(
        "Load balancer {} serves plain HTTP on port {}: it forwards {} and does not redirect, unless the app does.{}",
        door.name(),
        listener.port.unwrap_or_default(),
        and_list(plain.iter().map(|way| if way.rule.is_default { "whatever no other rule takes".into() } else { way.name() })),
        if secure.is_none() { " It has no HTTPS listener." } else { "" },
    );
    let redirect = quote(&format!("Type=redirect,RedirectConfig={{Protocol=HTTPS,Port={},StatusCode=HTTP_301}}", secure.unwrap_or(443)));
    let remedy = match secure {
        None => Remedy::new("Give the balancer an HTTPS listener with a certificate first; then let this one redirect."),
        Some(_) => Remedy::new("Redirect to HTTPS; requests that are forwarded today get a 301 from then on."),
    };
    let remedy = plain.iter().fold(remedy, |remedy, way| match (secure, way.rule.is_default) {
        (None, _) => remedy,
        (_, true) => remedy.cli(format!("aws elbv2 modify-listener --listener-arn {} --default-actions {redirect}", listener.listener_arn)),
        (_, false) => remedy.cli(format!("aws elbv2 modify-rule --rule-arn {} --actions {redirect}", way.rule.rule_arn)),
    });
    let terraform = format!(
        "default_action {{\n  type = \"redirect\"\n  redirect {{\n    protocol    = \"HTTPS\"\n    port        = \"{}\"\n    status_code = \"HTTP_301\"\n  }}\n}}",
        secure.unwrap_or(443)
    );
    let forwards = |way: &&traffic::Way| {
        let action: Option<&Action> = way.rule.actions.iter().find(|action| action.kind == "forward");
        action.map(|action| Evidence::new(Call::DescribeRules, &way.rule.rule_arn, "Actions.Type", &action.kind))
    };
    Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(says, Evidence::new(Call::DescribeListeners, &listener.listener_arn, "Protocol", "HTTP"))
        .because_all(plain.iter().filter_map(forwards))
        .mend(remedy.terraform(terraform))
        .concerns(Kind::LoadBalancer, &door.balancer.load_balancer_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, from_block, id, plain_listener};
    use crate::exam::Outcome;
    use crate::snapshot::{Condition, Snapshot};
    use crate::testing::{exam, says};

    fn plain(action: Action) -> Snapshot {
        let mut snapshot = baseline::fargate();
        plain_listener(&mut snapshot, "web", action);
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.push(from_block(80, "0.0.0.0/0"));
        snapshot
    }

    fn to_api() -> Action {
        forward(&[(&id::group("api"), 1)])
    }

    #[test]
    fn a_redirect_is_what_it_should_be() {
        let redirect =
            Action { kind: "redirect".into(), status_code: Some("HTTP_301".into()), redirect_protocol: Some("HTTPS".into()), ..Action::default() };
        assert_eq!(exam(CHECK, &plain(redirect)).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_rule_that_forwards_is_named_and_mended() {
        let exam = exam(CHECK, &plain(to_api()));
        let finding = &exam.findings[0];
        assert_eq!(
            finding.says,
            "Load balancer web serves plain HTTP on port 80: it forwards whatever no other rule takes and does not redirect, unless the app does."
        );
        assert!(finding.remedy.cli[0].starts_with("aws elbv2 modify-listener"), "{:?}", finding.remedy.cli);
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
        rules[0].conditions = vec![Condition { field: "path-pattern".into(), name: None, values: vec!["/.well-known/acme-challenge/*".into()] }];
        assert_eq!(says(CHECK, &snapshot), [""; 0]);
    }

    #[test]
    fn a_group_without_weight_gets_nothing() {
        assert_eq!(says(CHECK, &plain(forward(&[(&id::group("api"), 0)]))), [""; 0]);
    }

    #[test]
    fn an_internal_balancer_is_not_judged() {
        let mut snapshot = plain(to_api());
        snapshot.load_balancers.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap().scheme = Some("internal".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable("no internet-facing load balancer with security groups"));
    }

    #[test]
    fn hidden_groups_leave_it_open_who_comes_in() {
        let mut snapshot = plain(to_api());
        snapshot.security_groups.0.remove("sg-balancer");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
