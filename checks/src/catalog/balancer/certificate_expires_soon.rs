//! A certificate that clients are shown expires soon, and nothing renews it, or the renewal failed.
//! One that has expired already is for another check.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{Certificate, Listener};
use crate::{aws, hcl};

crate::check! {
    /// A certificate of one of the service's listeners expires within a month and is not renewed.
    ///
    /// # Why it matters
    ///
    /// When it expires, browsers and other clients refuse to connect at once.
    ///
    /// # How we tell
    ///
    /// `NotAfter` of a certificate on an HTTPS or TLS listener in the request path is within 30
    /// days. ACM does not renew an imported certificate; one that is valid for 100 days or less,
    /// such as those of Let's Encrypt, is likely replaced by automation, so only the last sixth of
    /// its lifetime counts. ACM renews its own certificates well before that: where it did not, it
    /// likely could not validate the domain, or the certificate is not eligible (`INELIGIBLE`).
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws acm describe-certificate --certificate-arn <arn>
    /// aws acm import-certificate --certificate-arn <arn> --certificate fileb://<certificate> --private-key fileb://<key>
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_acm_certificate` with `aws_acm_certificate_validation`, which ACM
    /// renews automatically as long as its DNS record stays.
    ///
    /// # See also
    ///
    /// `certificate_wrong`,
    /// <https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html>
    title: "A certificate in use expires soon and is not renewed",
    severity: Medium,
    role: Risk,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeListenerCertificates,
        ListCertificates,
    ],
    example: on fargate, |snapshot| {
        let certificate = crate::baseline::request_path::certificate();
        snapshot.certificates.change(&certificate).into_iter().for_each(|certificate| {
            certificate.kind = Some("IMPORTED".into());
            certificate.not_after = Some(crate::baseline::minutes_ago(-9 * 1440 - 60));
        });
    },
}

/// From here on it is soon. ACM begins to renew its own well before.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The life of a certificate that is made to be replaced by a machine.
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(100 * 24);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let is_secure =
        |listener: &&Listener| matches!(listener.protocol.as_deref(), Some("HTTPS" | "TLS"));
    let mut told = BTreeSet::new();
    for listener in forwards.iter().map(|forward| forward.listener).filter(is_secure) {
        let Some(attached) = findings.see(patient.listener_certificates(&listener.listener_arn))
        else {
            continue;
        };
        for attached in attached.iter().filter(|one| one.certificate_arn.contains(":acm:")) {
            let arn = &attached.certificate_arn;
            let Some(certificate) = findings.see(patient.certificate(arn)).flatten() else {
                continue;
            };
            if let Some(left) =
                left(patient, certificate).filter(|left| is_soon(certificate, *left))
                && told.insert(arn)
            {
                findings.add(finding(listener, certificate, left));
            }
        }
    }
    Ok(())
}

/// How long a certificate is still valid; none where it has expired, or its end is not known.
fn left(patient: &Patient, certificate: &Certificate) -> Option<SignedDuration> {
    let end = certificate.not_after?;
    (end > patient.now()).then(|| time::age(end, patient.now()))
}

fn is_soon(certificate: &Certificate, left: SignedDuration) -> bool {
    let life = certificate.not_before.zip(certificate.not_after);
    let life = life.map(|(begin, end)| time::age(end, begin));
    match life.filter(|life| *life <= SHORT_LIVED && is_imported(certificate)) {
        Some(life) => left <= life / 6,
        None => left <= SOON,
    }
}

fn is_imported(certificate: &Certificate) -> bool {
    certificate.kind.as_deref() == Some("IMPORTED")
}

fn finding(listener: &Listener, certificate: &Certificate, left: SignedDuration) -> Finding {
    let arn = &certificate.certificate_arn;
    let name = certificate.domain_name.as_deref().unwrap_or("its host");
    let claim = format!(
        "the certificate for {name} on load balancer {} expires in {}; after that clients refuse to connect",
        traffic::balancer_name(&listener.load_balancer_arn),
        time::words(left)
    );
    let of = |field, value: &str| Evidence::new(Call::ListCertificates, arn, field, value);
    let end = certificate.not_after.map(|end| end.to_string()).unwrap_or_default();
    let kind = certificate.kind.as_deref().map(|kind| of("Type", kind));
    let eligible =
        certificate.renewal_eligibility.as_deref().map(|it| of("RenewalEligibility", it));
    let (why, remedy) = match (certificate.kind.as_deref(), is_ineligible(certificate)) {
        (Some("IMPORTED"), _) => (
            "It was imported: ACM does not renew it.",
            Remedy::new("Import a new certificate under the same ARN, or replace it with one from ACM, which renews its own automatically.")
                .cli(aws!(
                    "acm import-certificate --certificate-arn {} --certificate $CERTIFICATE_FILE \
                     --private-key $PRIVATE_KEY_FILE --certificate-chain $CHAIN_FILE",
                    arn
                )),
        ),
        (_, true) => (
            "ACM reports that it is not eligible for renewal (INELIGIBLE).",
            Remedy::new("Request a new certificate and set it on the listener.")
                .cli(aws!("acm request-certificate --domain-name {} --validation-method DNS", name)),
        ),
        _ => (
            "ACM renews its own well before that: it likely could not validate the domain because the DNS record is gone.",
            Remedy::new("Check why ACM has not renewed it (RenewalSummary), and restore the DNS record that validates the domain.")
                .cli(aws!("acm describe-certificate --certificate-arn {}", arn)),
        ),
    };
    let remedy = remedy.terraform(hcl!(
        r#"
        resource "aws_acm_certificate" "this" {
          domain_name       = {}
          validation_method = "DNS"
        }
        resource "aws_lb_listener" "https" {
          certificate_arn = aws_acm_certificate_validation.this.certificate_arn
        }"#,
        name
    ));
    let attached = Evidence::new(
        Call::DescribeListenerCertificates,
        &listener.listener_arn,
        "CertificateArn",
        arn,
    );
    Subject::new(Kind::Certificate, arn)
        .sick(claim, of("NotAfter", &end))
        .detail(why)
        .because_all(kind)
        .because_all(eligible)
        .because(attached)
        .mend(remedy)
        .concerns(Kind::Listener, &listener.listener_arn)
}

fn is_ineligible(certificate: &Certificate) -> bool {
    certificate.renewal_eligibility.as_deref() == Some("INELIGIBLE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago, request_path};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// With this many days left, of this kind, and of a life of so many days.
    fn with(days: i64, kind: Option<&str>, life: Option<i64>) -> Snapshot {
        let mut snapshot = baseline::ec2();
        let certificate = snapshot.certificates.change(&request_path::certificate()).unwrap();
        certificate.kind = kind.map(Into::into);
        certificate.not_after = Some(minutes_ago(-days * 1440));
        certificate.not_before = life.map(|life| minutes_ago((life - days) * 1440));
        snapshot
    }

    #[test]
    fn says_when_and_why_nobody_renews_it() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The certificate for *.example.com on load balancer web expires in 9 days; after that clients refuse to connect. It was imported: ACM does not renew it."
            ]
        );
        let issued = says(CHECK, &with(12, Some("AMAZON_ISSUED"), Some(198)));
        assert!(issued[0].contains("it likely could not validate the domain"), "{issued:?}");
        let mut ineligible = with(12, Some("AMAZON_ISSUED"), Some(198));
        let certificate = ineligible.certificates.change(&request_path::certificate()).unwrap();
        certificate.renewal_eligibility = Some("INELIGIBLE".into());
        assert!(says(CHECK, &ineligible)[0].contains("not eligible for renewal (INELIGIBLE)"));
    }

    #[test]
    fn one_that_is_far_from_its_end_is_fine() {
        for kind in [Some("IMPORTED"), Some("AMAZON_ISSUED"), None] {
            let outcome = exam(CHECK, &with(31, kind, None)).outcome;
            assert_eq!(outcome, Outcome::Healthy, "{kind:?}");
        }
    }

    #[test]
    fn a_short_life_is_renewed_by_a_machine_late_in_it() {
        assert_eq!(exam(CHECK, &with(28, Some("IMPORTED"), Some(90))).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &with(8, Some("IMPORTED"), Some(90))).outcome, Outcome::Sick);
    }

    #[test]
    fn one_that_has_ended_is_another_trouble() {
        assert_eq!(exam(CHECK, &with(-1, Some("IMPORTED"), None)).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_acms_list_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        let arn = request_path::certificate();
        snapshot.certificates.insert(arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
