//! A listener still accepts TLS 1.0 or 1.1. Elastic Load Balancing tells which protocols a policy
//! allows: the names of policies do not tell it reliably.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::Listener;
use crate::text::and_list;
use crate::{aws, hcl};

/// What AWS lists as no longer fit for new connections: RFC 8996 retired both.
const OLD: [&str; 2] = ["TLSv1", "TLSv1.1"];

/// Allows TLS 1.2 and 1.3, on application and network load balancers alike.
const MODERN: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

/// The same by a validated cryptographic module.
const MODERN_FIPS: &str = "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04";

crate::check! {
    /// A listener in front of the service accepts connections with TLS 1.0 or TLS 1.1.
    ///
    /// # Why it matters
    ///
    /// Both versions are retired (RFC 8996). Scanners and auditors report them, and no current
    /// browser uses them.
    ///
    /// # How we tell
    ///
    /// The security policy of each HTTPS or TLS listener that forwards to the service is looked up
    /// with `DescribeSSLPolicies`; it is old if its protocols have `TLSv1` or `TLSv1.1`. Old
    /// clients may be the reason for it: access logs show them before the change, and the metric
    /// `ClientTLSNegotiationErrorCount` counts those that fail after it.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws elbv2 modify-listener --listener-arn <listener> --ssl-policy ELBSecurityPolicy-TLS13-1-2-2021-06
    /// ```
    ///
    /// Where FIPS is required, use `ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04`. Terraform/OpenTofu:
    /// `ssl_policy` in `aws_lb_listener`.
    ///
    /// # See also
    ///
    /// `plain_http_served`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html>
    title: "A listener allows TLS 1.0 or 1.1",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeSSLPolicies],
    example: on fargate, |snapshot| {
        use crate::baseline::id;
        use crate::snapshot::SslPolicy;
        let policy = "ELBSecurityPolicy-2016-08";
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.listeners.change(&balancer).into_iter().flatten().for_each(|listener| listener.ssl_policy = Some(policy.into()));
        let protocols = vec!["TLSv1".into(), "TLSv1.1".into(), "TLSv1.2".into()];
        snapshot.ssl_policies.put(policy, SslPolicy { name: policy.into(), ssl_protocols: protocols });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let mut seen = BTreeSet::new();
    let listeners: Vec<(&Listener, &str)> = forwards
        .iter()
        .filter(|forward| {
            speaks_tls(forward.listener) && seen.insert(&forward.listener.listener_arn)
        })
        .filter_map(|forward| Some((forward.listener, forward.listener.ssl_policy.as_deref()?)))
        .collect();
    if listeners.is_empty() {
        return Err(NoAnswer::NotApplicable("no HTTPS or TLS listener forwards to the service"));
    }
    for (listener, name) in listeners {
        let Some(policy) = findings.see(patient.ssl_policy(name)).flatten() else { continue };
        let old: Vec<&str> = policy
            .ssl_protocols
            .iter()
            .map(String::as_str)
            .filter(|protocol| OLD.contains(protocol))
            .collect();
        if old.is_empty() {
            continue;
        }
        let claim = format!(
            "the listener on port {} of load balancer {} allows {} (policy {name})",
            listener.port.unwrap_or_default(),
            traffic::balancer_name(&listener.load_balancer_arn),
            and_list(&old),
        );
        let arn = &listener.listener_arn;
        let summary = "Set a policy that starts at TLS 1.2. Clients that support only older versions are then refused: look for them in the access logs first.";
        // A FIPS policy is replaced by a FIPS policy.
        let modern = if name.split('-').any(|part| part == "FIPS") { MODERN_FIPS } else { MODERN };
        let remedy = Remedy::new(summary)
            .cli(aws!("elbv2 modify-listener --listener-arn {} --ssl-policy {}", arn, modern))
            .terraform(hcl!(
                r#"
                resource "aws_lb_listener" "https" {
                  # …
                  ssl_policy = {}
                }"#,
                modern
            ));
        findings.add(
            Subject::new(Kind::Listener, arn)
                .sick(claim, Evidence::new(Call::DescribeListeners, arn, "SslPolicy", name))
                .because_all(old.iter().map(|protocol| {
                    Evidence::new(Call::DescribeSSLPolicies, name, "SslProtocols", protocol)
                }))
                .mend(remedy)
                .concerns(Kind::LoadBalancer, &listener.load_balancer_arn),
        );
    }
    Ok(())
}

/// A listener for plain HTTP may carry the name of a policy, too, and it means nothing there.
fn speaks_tls(listener: &Listener) -> bool {
    matches!(listener.protocol.as_deref(), Some("HTTPS" | "TLS"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, from_block, id, plain_listener};
    use crate::exam::Outcome;
    use crate::snapshot::SslPolicy;
    use crate::testing::{exam, says};

    #[test]
    fn what_a_policy_allows_is_looked_up_and_not_read_from_its_name() {
        let mut snapshot = baseline::fargate();
        let name = "ELBSecurityPolicy-TLS13-1-2-2021-06";
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.ssl_policies.put(
            name,
            SslPolicy {
                name: name.into(),
                ssl_protocols: vec!["TLSv1.1".into(), "TLSv1.3".into()],
            },
        );
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The listener on port 443 of load balancer web allows TLSv1.1 (policy ELBSecurityPolicy-TLS13-1-2-2021-06)."
            ]
        );
    }

    #[test]
    fn a_listener_that_leads_elsewhere_does_not_count() {
        let mut snapshot = baseline::fargate();
        plain_listener(&mut snapshot, "web", forward(&[(&id::group("other"), 1)]));
        snapshot
            .security_groups
            .change("sg-balancer")
            .unwrap()
            .ip_permissions
            .push(from_block(80, "0.0.0.0/0"));
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.listeners.change(&balancer).unwrap()[1].ssl_policy =
            Some("ELBSecurityPolicy-2015-05".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_policy_that_was_not_told_is_not_taken_for_a_good_one() {
        let mut snapshot = baseline::fargate();
        snapshot.ssl_policies.0.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn without_tls_there_is_no_policy() {
        assert!(matches!(exam(CHECK, &baseline::worker()).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_policy_that_a_plain_listener_carries_means_nothing() {
        let mut snapshot = (CHECK.example)();
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        for (protocol, is_old) in [("HTTP", false), ("TCP", false), ("TLS", true)] {
            snapshot.listeners.change(&balancer).unwrap()[0].protocol = Some(protocol.into());
            let found = !exam(CHECK, &snapshot).findings.is_empty();
            assert_eq!(found, is_old, "{protocol}");
        }
    }

    #[test]
    fn a_policy_of_fips_is_answered_with_one_of_fips() {
        let mut snapshot = baseline::fargate();
        let name = "ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04";
        snapshot.listeners.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")).unwrap()[0]
            .ssl_policy = Some(name.into());
        snapshot.ssl_policies.put(
            name,
            SslPolicy {
                name: name.into(),
                ssl_protocols: vec!["TLSv1.1".into(), "TLSv1.2".into()],
            },
        );
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(
            remedy.shell()[0].ends_with("--ssl-policy ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"),
            "{remedy:?}"
        );
        assert!(
            remedy
                .terraform
                .is_some_and(|text| text.contains("\"ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04\""))
        );
    }
}
