//! What ACM tells of certificates: one list has the names and dates of all, so that no listener has
//! to wait for its own.

use aws_sdk_acm::types;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::Certificate;

use super::{Aws, text, time};

/// Without these ACM lists RSA certificates of up to 2048 bits only.
const KEY_TYPES: &[&str] = &[
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
];

impl Aws {
    pub async fn certificates(&self) -> Seen<Vec<Certificate>> {
        let every = types::Filters::builder()
            .set_key_types(Some(
                KEY_TYPES.iter().map(|kind| types::KeyAlgorithm::from(*kind)).collect(),
            ))
            .build();
        let pages = self.asker.pages(Call::ListCertificates, |token| async {
            let page = self
                .acm
                .list_certificates()
                .includes(every.clone())
                .max_items(1000)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.certificate_summary_list.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|all| all.unwrap_or_default().into_iter().map(certificate).collect())
    }
}

fn certificate(from: types::CertificateSummary) -> Certificate {
    Certificate {
        certificate_arn: from.certificate_arn.unwrap_or_default(),
        domain_name: from.domain_name,
        subject_alternative_name_summaries: from
            .subject_alternative_name_summaries
            .unwrap_or_default(),
        has_additional_subject_alternative_names: from
            .has_additional_subject_alternative_names
            .unwrap_or_default(),
        status: text(from.status),
        kind: text(from.r#type),
        renewal_eligibility: text(from.renewal_eligibility),
        not_before: time(from.not_before),
        not_after: time(from.not_after),
    }
}
