//! The URL that the user asks about does not reach the service: no listener on its port, one with
//! another protocol, or a rule that sends it elsewhere. A URL that only the default action matches
//! is for `no_rule_matches`; what is wrong behind the rule is for all other checks.

use crate::aws::url::Url;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::{entry, request, traffic};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Action, Listener, Rule};
use crate::text::and_list;
use crate::{aws, hcl, words};

crate::check! {
    /// The URL given with `--url` does not lead to the service: nothing listens on its port, the
    /// listener there has another protocol, or a rule answers it or forwards it elsewhere.
    ///
    /// # Why it matters
    ///
    /// Clients of this URL get an error, or the response of another service, while the service
    /// itself is healthy.
    ///
    /// # How we tell
    ///
    /// Only with `--url`. The URL's port is looked for among the listeners of the service's load
    /// balancer, and the rules of the listener are evaluated in order; a redirect to the same host
    /// is followed once. A rule that also has a condition on a header or a source address may or
    /// may not match: it is skipped. A redirect to another host is a response like any other.
    ///
    /// # What to do
    ///
    /// Use a URL that is served, or create a listener or a rule for this one:
    ///
    /// ```sh
    /// aws elbv2 create-listener --load-balancer-arn <load balancer> --protocol HTTPS --port 443 \
    ///   --certificates CertificateArn=<certificate> --default-actions Type=forward,TargetGroupArn=<target group>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener` for the port, or an `aws_lb_listener_rule` for the
    /// host and the path.
    ///
    /// # See also
    ///
    /// `no_rule_matches`, `certificate_wrong`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html>
    title: "The URL does not lead to the service",
    severity: High,
    role: Cause,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeLoadBalancers, DescribeListeners, DescribeRules,
    ],
    example: on fargate, |snapshot| {
        snapshot.url = Some("https://api.example.com:8443/".into());
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(url) = patient.asked_url() else {
        return Err(NoAnswer::NotApplicable("no --url given"));
    };
    // Whether a load balancer that is not read serves it is not known.
    if let Some(front) = traffic::unread(patient).first() {
        return Err(front.blind().into());
    }
    if traffic::groups(patient)?.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    match follow(patient, &url)? {
        Step::Ends(finding) => findings.add(*finding),
        Step::Redirect(next) if next.host == url.host && next != url => {
            if let Step::Ends(finding) = follow(patient, &next)? {
                findings.add(*finding);
            }
        }
        Step::Redirect(_) | Step::GoesOn => {}
    }
    Ok(())
}

/// What becomes of a request for a URL at its listener.
enum Step {
    Ends(Box<Finding>),
    Redirect(Url),
    /// It gets to the service, or is for another check.
    GoesOn,
}

fn follow(patient: &Patient, url: &Url) -> Result<Step, Blind> {
    let Some(balancer) = entry::balancer_for(patient, url)? else { return Ok(Step::GoesOn) };
    let listeners = patient.listeners(balancer)?;
    let Some(listener) = entry::listener_for(listeners, url) else {
        return Ok(Step::Ends(Box::new(no_listener(patient, url, balancer, listeners)?)));
    };
    if !entry::speaks(listener, url) {
        return Ok(Step::Ends(Box::new(other_protocol(url, listener))));
    }
    let Some(rule) = entry::rule_for(patient.rules(&listener.listener_arn)?, url) else {
        return Ok(Step::GoesOn);
    };
    by_rule(patient, url, listener, rule)
}

fn no_listener(
    patient: &Patient,
    url: &Url,
    balancer: &str,
    listeners: &[Listener],
) -> Result<Finding, Blind> {
    let others = and_list(listeners.iter().map(entry::listener_name));
    let claim = format!(
        "load balancer {} has no listener on port {}, so connections to {url} fail",
        traffic::balancer_name(balancer),
        url.port
    );
    let listens = if others.is_empty() {
        "It has no listeners at all.".to_owned()
    } else {
        format!("It listens on {others}.")
    };
    let of_port = |listener: &Listener| {
        Evidence::new(
            Call::DescribeListeners,
            &listener.listener_arn,
            "Port",
            listener.port.unwrap_or_default(),
        )
    };
    let mut evidence = listeners.iter().map(of_port);
    let first = evidence
        .next()
        .unwrap_or_else(|| Evidence::new(Call::DescribeListeners, balancer, "Listeners", "[]"));
    let group = own_group(patient)?;
    Ok(Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, first)
        .detail(listens)
        .because_all(evidence)
        .mend(new_listener(url, balancer, group))
        .concerns(Kind::LoadBalancer, balancer))
}

/// A listener for the port. HTTPS needs a certificate, which only the user knows.
fn new_listener(url: &Url, balancer: &str, group: Option<&str>) -> Remedy {
    let summary =
        "Use a URL whose port the load balancer listens on, or create a listener for this port.";
    let protocol = if url.scheme == "https" { "HTTPS" } else { "HTTP" };
    let command = aws!(
        "elbv2 create-listener --load-balancer-arn {} --protocol {} --port {} \
         --default-actions Type=forward,TargetGroupArn={}",
        balancer,
        protocol,
        url.port,
        group.map_or_else(|| Word::needed("TARGET_GROUP_ARN"), Word::new)
    );
    let (command, certificate) = if protocol == "HTTPS" {
        (
            command.and(words!("--certificates CertificateArn=$CERTIFICATE_ARN")),
            hcl!("certificate_arn   = aws_acm_certificate.this.arn"),
        )
    } else {
        (command, Hcl::default())
    };
    Remedy::new(summary).cli(command).terraform(hcl!(
        r#"
        resource "aws_lb_listener" "this" {
          load_balancer_arn = {}
          port              = {}
          protocol          = {}
          {}
          default_action {
            type             = "forward"
            target_group_arn = {}
          }
        }"#,
        balancer,
        url.port,
        protocol,
        certificate,
        group.unwrap_or("<target group>")
    ))
}

fn other_protocol(url: &Url, listener: &Listener) -> Finding {
    let arn = &listener.listener_arn;
    let protocol = listener.protocol.as_deref().unwrap_or_default();
    let claim = format!(
        "the listener on port {} of load balancer {} is {protocol}, but {url} needs {}: the connection fails",
        url.port,
        traffic::balancer_name(&listener.load_balancer_arn),
        url.scheme
    );
    let remedy = if url.scheme == "https" {
        Remedy::new(
            "Use http:// for this port, or change the listener to HTTPS with a certificate.",
        )
        .cli(aws!(
            "elbv2 modify-listener --listener-arn {} --protocol HTTPS \
                 --certificates CertificateArn=$CERTIFICATE_ARN",
            arn
        ))
    } else {
        Remedy::new("Use https:// for this port, or the port of an HTTP listener.")
            .cli(aws!("elbv2 describe-listeners --listener-arns {}", arn))
    };
    Subject::new(Kind::Listener, arn)
        .sick(claim, Evidence::new(Call::DescribeListeners, arn, "Protocol", protocol))
        .mend(remedy)
        .concerns(Kind::Listener, arn)
}

fn by_rule(patient: &Patient, url: &Url, listener: &Listener, rule: &Rule) -> Result<Step, Blind> {
    let Some(action) = rule.actions.last() else { return Ok(Step::GoesOn) };
    let outcome = match action.kind.as_str() {
        "redirect" => match entry::redirected(action, url).1 {
            Some(next) => return Ok(Step::Redirect(next)),
            None => return Ok(Step::GoesOn),
        },
        // That of a default action is for the check about hosts and URLs that no rule matches.
        "fixed-response" if !rule.is_default => Some(answers(action)),
        "forward" => leads_elsewhere(patient, action)?,
        _ => None,
    };
    let Some((outcome, evidence)) = outcome else { return Ok(Step::GoesOn) };
    let name = if rule.is_default {
        "the default rule".to_owned()
    } else {
        format!("rule {} ({})", rule.priority, and_list(rule.conditions.iter().map(request::words)))
    };
    let claim =
        format!("{name} matches {url} and {outcome}: the request never reaches the service");
    let group = own_group(patient)?;
    let remedy = Remedy::new(
        "Use a URL that a rule forwards to the service, or create a rule for this one with a lower priority number than the rule that matches it.",
    )
    .cli(aws!(
        "elbv2 create-rule --listener-arn {} --priority $PRIORITY \
         --conditions Field=host-header,Values={} Field=path-pattern,Values={} \
         --actions Type=forward,TargetGroupArn={}",
        listener.listener_arn,
        url.host,
        url.path,
        group.map_or_else(|| Word::needed("TARGET_GROUP_ARN"), Word::new)
    ))
    .terraform(hcl!(
        r#"
        resource "aws_lb_listener_rule" "asked" {
          listener_arn = {}
          action {
            type             = "forward"
            target_group_arn = {}
          }
          condition {
            host_header {
              values = [{}]
            }
          }
          condition {
            path_pattern {
              values = [{}]
            }
          }
        }"#,
        listener.listener_arn,
        group.unwrap_or("<target group>"),
        url.host,
        url.path
    ));
    let (field, value) = evidence;
    Ok(Step::Ends(Box::new(
        Subject::new(Kind::ListenerRule, &rule.rule_arn)
            .sick(claim, Evidence::new(Call::DescribeRules, &rule.rule_arn, field, value))
            .mend(remedy)
            .concerns(Kind::ListenerRule, &rule.rule_arn),
    )))
}

/// A target group of the service, the one with the traffic before any other.
fn own_group<'a>(patient: &Patient<'a>) -> Result<Option<&'a str>, Blind> {
    let own = traffic::groups(patient)?;
    let live = traffic::live_groups(patient)?.intersection(&own).next().copied();
    Ok(live.or(own.first().copied()))
}

/// What a rule does instead, and the field and the value that say so.
type Instead = (String, (&'static str, String));

fn answers(action: &Action) -> Instead {
    let code = action.status_code.as_deref().unwrap_or("a code");
    let told = ("Actions.FixedResponseConfig.StatusCode", code.to_owned());
    (format!("returns {code} as a fixed response"), told)
}

/// The groups that a rule forwards to, if none of those that get requests is the service's.
fn leads_elsewhere(patient: &Patient, action: &Action) -> Result<Option<Instead>, Blind> {
    let own = traffic::groups(patient)?;
    let live: Vec<&str> = action
        .target_groups
        .iter()
        .filter(|group| group.weight > 0)
        .map(|group| group.target_group_arn.as_str())
        .collect();
    let Some(first) = live.first().filter(|_| !live.iter().any(|group| own.contains(group))) else {
        return Ok(None);
    };
    // With weight 0 for the service's own group that rule is for another check.
    if action.target_groups.iter().any(|group| own.contains(group.target_group_arn.as_str())) {
        return Ok(None);
    }
    let names = and_list(live.iter().map(|group| traffic::group_name(group)));
    let told = ("ForwardConfig.TargetGroups.TargetGroupArn", (*first).to_owned());
    Ok(Some((format!("forwards it to {names}, which is not the service's"), told)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn asked(snapshot: &Snapshot, url: &str) -> Vec<String> {
        says(CHECK, &Snapshot { url: Some(url.into()), ..snapshot.clone() })
    }

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    #[test]
    fn a_port_without_a_listener_and_another_protocol_are_named() {
        let healthy = baseline::fargate();
        assert_eq!(
            asked(&healthy, "https://api.example.com:8443/"),
            [
                "Load balancer web has no listener on port 8443, so connections to https://api.example.com:8443/ fail. It listens on HTTPS:443."
            ]
        );
        assert_eq!(
            asked(&healthy, "http://api.example.com:443/"),
            [
                "The listener on port 443 of load balancer web is HTTPS, but http://api.example.com:443/ needs http: the connection fails."
            ]
        );
        let remedy = exam(CHECK, &(CHECK.example)()).findings.remove(0).remedy.shell().remove(0);
        assert!(remedy.contains("--protocol HTTPS --port 8443"), "{remedy}");
        assert!(remedy.contains(&id::group("api")), "{remedy}");
    }

    #[test]
    fn a_url_that_leads_to_the_service_is_fine_and_without_one_nothing_is_known() {
        let healthy = baseline::fargate();
        assert!(asked(&healthy, "https://api.example.com/v1").is_empty());
        assert!(matches!(exam(CHECK, &healthy).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_rule_that_answers_or_forwards_elsewhere_takes_it_away() {
        let mut snapshot = baseline::fargate();
        let fixed = Action {
            kind: "fixed-response".into(),
            status_code: Some("410".into()),
            ..Action::default()
        };
        rules(&mut snapshot).insert(0, host_rule("first", "5", "old.example.com", fixed));
        let other = forward(&[(&id::group("shop"), 1)]);
        rules(&mut snapshot).insert(0, host_rule("shop", "4", "shop.example.com", other));
        assert_eq!(
            asked(&snapshot, "https://old.example.com/"),
            [
                "Rule 5 (host old.example.com) matches https://old.example.com/ and returns 410 as a fixed response: the request never reaches the service."
            ]
        );
        assert_eq!(
            asked(&snapshot, "https://shop.example.com/"),
            [
                "Rule 4 (host shop.example.com) matches https://shop.example.com/ and forwards it to shop, which is not the service's: the request never reaches the service."
            ]
        );
        assert!(asked(&snapshot, "https://api.example.com/").is_empty());
    }

    #[test]
    fn a_redirect_is_followed_within_the_host() {
        let mut snapshot = baseline::fargate();
        let to = |port: &str, host: &str| Action {
            kind: "redirect".into(),
            redirect_port: Some(port.into()),
            redirect_host: Some(host.into()),
            ..Action::default()
        };
        for (action, ends) in [
            (to("443", "#{host}"), false),
            (to("8443", "#{host}"), true),
            (to("8443", "x.y"), false),
        ] {
            rules(&mut snapshot).retain(|rule| rule.priority != "1");
            let mut rule = host_rule("first", "1", "api.example.com", action);
            rule.conditions[0].field = "path-pattern".into();
            rule.conditions[0].values = vec!["/old".into()];
            rules(&mut snapshot).insert(0, rule);
            let said = asked(&snapshot, "https://api.example.com/old");
            assert_eq!(!said.is_empty(), ends, "{said:?}");
        }
    }

    #[test]
    fn what_is_not_seen_is_not_judged() {
        let mut snapshot = (CHECK.example)();
        let balancer = snapshot.listeners.0.keys().next().cloned().unwrap();
        snapshot.listeners.insert(balancer, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].load_balancers[0].target_group_arn = None;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook, "by a classic one");
    }
}
