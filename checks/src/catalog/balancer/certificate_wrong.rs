//! A listener has no certificate for a host that its rules serve, or only one that has expired.

use std::collections::BTreeSet;

use crate::aws::{host, time};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::{self, Forward};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{Certificate, Listener};
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// A client that connects to a listener for one of the service's hosts gets a certificate for
    /// other names, or one that has expired.
    ///
    /// # Why it matters
    ///
    /// Browsers stop with `NET::ERR_CERT_COMMON_NAME_INVALID` or `NET::ERR_CERT_DATE_INVALID`, and
    /// other clients fail, before any request is made: it shows neither in the app's log nor in the
    /// load balancer's error metrics.
    ///
    /// # How we tell
    ///
    /// The hosts are those of the HTTPS rules that lead to the service. All certificates of the
    /// listener count, not only the default one: the load balancer picks by the name that the
    /// client sends (SNI). A `*` in a certificate stands for one label. Names, status and expiry
    /// date come from ACM. Where one of the certificates is not in ACM, or has more names than ACM
    /// lists, it may be the one, and nothing is claimed; nor of rules with wildcards or without a
    /// host, unless every certificate has expired. A service in front of the load balancer, such as
    /// CloudFront, may send another name than its clients do.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws acm request-certificate --domain-name <host> --validation-method DNS
    /// aws elbv2 add-listener-certificates --listener-arn <listener> --certificates CertificateArn=<arn>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_acm_certificate` with `aws_acm_certificate_validation`, and
    /// `aws_lb_listener_certificate`.
    ///
    /// # See also
    ///
    /// `no_rule_matches`, `tls_policy_old`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/https-listener-certificates.html>
    title: "No certificate of the listener matches the host",
    severity: Critical,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    ruled_out_by: RequestsOverTls,
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeListenerCertificates,
        ListCertificates,
    ],
    example: on fargate, |snapshot| {
        let certificate = crate::baseline::request_path::certificate();
        snapshot.certificates.change(&certificate).into_iter().for_each(|certificate| {
            certificate.domain_name = Some("shop.example.com".into());
            certificate.subject_alternative_name_summaries = vec!["shop.example.com".into()];
        });
        crate::baseline::shut_clients_out(snapshot);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let mut secure: Vec<&Forward> = forwards
        .iter()
        .filter(|forward| matches!(forward.listener.protocol.as_deref(), Some("HTTPS" | "TLS")))
        .collect();
    secure.sort_by(|a, b| a.listener.listener_arn.cmp(&b.listener.listener_arn));
    for forwards in secure.chunk_by(|a, b| a.listener.listener_arn == b.listener.listener_arn) {
        let listener = forwards[0].listener;
        let Some(certificates) = findings.see(certificates(patient, listener)) else { continue };
        let Some(certificates) = certificates else { continue };
        let expired: Vec<&Certificate> =
            certificates.iter().copied().filter(|one| is_expired(patient, one)).collect();
        if certificates.is_empty() {
            continue;
        }
        if expired.len() == certificates.len() {
            findings.add(all_expired(patient, listener, &expired));
            continue;
        }
        let hosts =
            forwards.iter().flat_map(|forward| forward.hosts()).filter(|host| host::is_name(host));
        let is_good = |host: &str, of: &[&Certificate]| of.iter().any(|one| covers(one, host));
        let valid: Vec<&Certificate> =
            certificates.iter().copied().filter(|one| !expired.contains(one)).collect();
        let bare: BTreeSet<&str> = hosts.filter(|host| !is_good(host, &valid)).collect();
        if !bare.is_empty() {
            findings.add(uncovered(
                listener,
                &bare.into_iter().collect::<Vec<_>>(),
                &valid,
                &expired,
            ));
        }
    }
    Ok(())
}

/// All certificates of a listener; none where one of them may be for any name.
fn certificates<'a>(
    patient: &Patient<'a>,
    listener: &Listener,
) -> Result<Option<Vec<&'a Certificate>>, Blind> {
    let mut all = Vec::new();
    for attached in patient.listener_certificates(&listener.listener_arn)? {
        if !attached.certificate_arn.contains(":acm:") {
            return Ok(None);
        }
        match patient.certificate(&attached.certificate_arn)? {
            Some(certificate) if !certificate.has_additional_subject_alternative_names => {
                all.push(certificate)
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(all))
}

fn covers(certificate: &Certificate, host: &str) -> bool {
    certificate
        .domain_name
        .iter()
        .chain(&certificate.subject_alternative_name_summaries)
        .any(|name| host::covers(name, host))
}

fn is_expired(patient: &Patient, certificate: &Certificate) -> bool {
    certificate.status.as_deref() == Some("EXPIRED")
        || certificate.not_after.is_some_and(|end| end <= patient.now())
}

fn end(certificate: &Certificate) -> Evidence {
    let of = &certificate.certificate_arn;
    match certificate.not_after {
        Some(end) => Evidence::new(Call::ListCertificates, of, "NotAfter", end),
        None => Evidence::new(
            Call::ListCertificates,
            of,
            "Status",
            certificate.status.as_deref().unwrap_or_default(),
        ),
    }
}

fn all_expired(patient: &Patient, listener: &Listener, expired: &[&Certificate]) -> Finding {
    let first = expired[0];
    let name = first.domain_name.as_deref().unwrap_or("its host");
    let since = first
        .not_after
        .map(|end| format!(" {} ago", time::words(time::age(patient.now(), end))))
        .unwrap_or_default();
    let claim = format!(
        "the certificate of {} on load balancer {} for {name} expired{since}: clients refuse to connect",
        port(listener),
        traffic::balancer_name(&listener.load_balancer_arn)
    );
    let remedy = Remedy::new("Renew the certificate where it was issued, or replace it with one from ACM, which renews its own automatically.")
        .cli(aws!("acm describe-certificate --certificate-arn {}", first.certificate_arn))
        .cli(aws!(
            "elbv2 modify-listener --listener-arn {} \
             --certificates CertificateArn=$CERTIFICATE_ARN",
            listener.listener_arn
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb_listener" "https" {
              certificate_arn = aws_acm_certificate_validation.this.certificate_arn
            }"#
        ));
    Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(claim, end(first))
        .because_all(expired.iter().skip(1).map(|certificate| end(certificate)))
        .mend(remedy)
        .concerns(Kind::Listener, &listener.listener_arn)
        .since(first.not_after)
}

fn uncovered(
    listener: &Listener,
    hosts: &[&str],
    valid: &[&Certificate],
    expired: &[&Certificate],
) -> Finding {
    let was = expired.iter().find(|one| hosts.iter().any(|host| covers(one, host)));
    let names: Vec<&str> = valid.iter().filter_map(|one| one.domain_name.as_deref()).collect();
    let why = match was {
        Some(_) => "The one that did has expired, and the others are for",
        None => "Its certificates are for",
    };
    let claim = format!(
        "no certificate of {} on load balancer {} matches {}: clients that connect by that name refuse the connection",
        port(listener),
        traffic::balancer_name(&listener.load_balancer_arn),
        and_list(hosts)
    );
    let remedy = Remedy::new(format!(
        "Request a certificate for {} and add it to the listener.",
        and_list(hosts)
    ))
    .cli(aws!("acm request-certificate --domain-name {} --validation-method DNS", hosts[0]))
    .cli(aws!(
        "elbv2 add-listener-certificates --listener-arn {} \
         --certificates CertificateArn=$CERTIFICATE_ARN",
        listener.listener_arn
    ))
    .terraform(hcl!(
        r#"
        resource "aws_lb_listener_certificate" "this" {
          listener_arn    = {}
          certificate_arn = aws_acm_certificate_validation.this.certificate_arn
        }"#,
        listener.listener_arn
    ));
    let of_names = valid.iter().flat_map(|one| {
        one.subject_alternative_name_summaries.iter().map(|name| {
            Evidence::new(
                Call::ListCertificates,
                &one.certificate_arn,
                "SubjectAlternativeNameSummaries",
                name,
            )
        })
    });
    let attached = Evidence::new(
        Call::DescribeListenerCertificates,
        &listener.listener_arn,
        "CertificateArn",
        &valid[0].certificate_arn,
    );
    Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(claim, attached)
        .detail(format!("{why} {}.", and_list(&names)))
        .because_all(of_names)
        .because_all(was.map(|one| end(one)))
        .mend(remedy)
        .concerns(Kind::Listener, &listener.listener_arn)
}

/// `HTTPS:443`
fn port(listener: &Listener) -> String {
    format!(
        "{}:{}",
        listener.protocol.as_deref().unwrap_or("listener"),
        listener.port.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, request_path::certificate};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{ListenerCertificate, Snapshot};
    use crate::testing::{exam, says};

    fn listener(snapshot: &Snapshot) -> String {
        snapshot.rules.0.keys().next().cloned().unwrap()
    }

    /// A second certificate on the listener.
    fn add(snapshot: &mut Snapshot, arn: &str, names: &[&str]) {
        let listener = listener(snapshot);
        let attached = snapshot.listener_certificates.change(&listener).unwrap();
        attached.push(ListenerCertificate { certificate_arn: arn.into(), is_default: false });
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let model = snapshot.certificates.change(&certificate()).unwrap().clone();
        let other = Certificate {
            certificate_arn: arn.into(),
            domain_name: names.first().cloned(),
            subject_alternative_name_summaries: names,
            ..model
        };
        snapshot.certificates.put(arn, other);
    }

    const OTHER: &str = "arn:aws:acm:eu-west-2:123456789012:certificate/other";

    #[test]
    fn names_the_host_and_what_there_is() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "No certificate of HTTPS:443 on load balancer web matches api.example.com: clients that connect by that name refuse the connection. Its certificates are for shop.example.com."
            ]
        );
    }

    #[test]
    fn a_certificate_of_another_host_on_the_same_listener_is_how_it_is_done() {
        let mut snapshot = baseline::fargate();
        add(&mut snapshot, OTHER, &["shop.example.net"]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        add(&mut snapshot, OTHER, &["*.example.com"]);
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "picked by name, not the default"
        );
    }

    #[test]
    fn what_acm_does_not_list_may_be_the_one() {
        let mut snapshot = (CHECK.example)();
        snapshot
            .certificates
            .change(&certificate())
            .unwrap()
            .has_additional_subject_alternative_names = true;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        let listener = listener(&snapshot);
        snapshot.listener_certificates.change(&listener).unwrap()[0].certificate_arn =
            "arn:aws:iam::123456789012:server-certificate/web".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        snapshot.certificates.insert(certificate(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_expired_certificate_is_none() {
        let mut snapshot = baseline::ec2();
        snapshot.certificates.change(&certificate()).unwrap().not_after = Some(minutes_ago(180));
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("for *.example.com expired 3 h ago: clients refuse to connect.")
        );
        let mut snapshot = baseline::fargate();
        snapshot.certificates.change(&certificate()).unwrap().not_after = Some(minutes_ago(180));
        let mut valid = snapshot.clone();
        add(&mut snapshot, OTHER, &["shop.example.com"]);
        snapshot.certificates.change(OTHER).unwrap().not_after = None;
        assert!(
            says(CHECK, &snapshot)[0].ends_with(
                "The one that did has expired, and the others are for shop.example.com."
            )
        );
        add(&mut valid, OTHER, &["api.example.com"]);
        valid.certificates.change(OTHER).unwrap().not_after = None;
        assert_eq!(
            exam(CHECK, &valid).outcome,
            Outcome::Healthy,
            "the new one is beside it already"
        );
    }

    #[test]
    fn a_wildcard_rule_names_no_host() {
        let mut snapshot = (CHECK.example)();
        let listener = listener(&snapshot);
        snapshot.rules.change(&listener).unwrap()[0].conditions[0].values =
            vec!["*.example.org".into()];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
