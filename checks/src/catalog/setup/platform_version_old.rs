//! The service is pinned to an old Fargate platform version, or still runs on one that was current
//! when it was deployed.

use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::text::parsed;
use crate::{hcl, words};

crate::check! {
    /// The service runs on an old Fargate platform version.
    ///
    /// # Why it matters
    ///
    /// Before 1.4.0 there is no EFS and no Service Connect, and image pulls and secrets use a
    /// network interface of Fargate instead of the task's own. AWS retires old versions: tasks can
    /// then no longer be started on them.
    ///
    /// # How we tell
    ///
    /// On Linux, `platformVersion` of the service is a number below 1.4.0; or it is `LATEST`, and
    /// the running deployment was created when that was an older one. Windows has versions of its
    /// own, and 1.0.0 is a current one.
    ///
    /// # What to do
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <service> --platform-version LATEST --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `platform_version = "LATEST"` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `compute_incompatible`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-linux-fargate.html>
    title: "The Fargate platform version is old",
    severity: Low,
    role: Risk,
    explains: [],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        let service = &mut snapshot.services[0];
        service.platform_version = Some("1.3.0".into());
        service.deployments[0].platform_version = Some("1.3.0".into());
    },
}

/// The newest that Linux has, since 2020.
const CURRENT: [u32; 3] = [1, 4, 0];

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let primary = service.primary();
    let running = primary.and_then(|primary| primary.platform_version.as_deref());
    if service.platform_version.is_none() && running.is_none() {
        return Err(NoAnswer::NotApplicable("not on Fargate"));
    }
    if service
        .platform_family
        .as_deref()
        .is_some_and(|family| !family.eq_ignore_ascii_case("linux"))
    {
        return Err(NoAnswer::NotApplicable("Windows has platform versions of its own"));
    }
    let field = |of: &'static str, version: Option<&str>| {
        version.filter(|version| is_old(version)).map(|version| patient.evidence(of, version))
    };
    let pinned: Option<Evidence> = field("platformVersion", service.platform_version.as_deref());
    let made = field("deployments.platformVersion", running);
    let (claim, evidence) = match (pinned, made) {
        (Some(pinned), _) => (
            format!(
                "the service is pinned to Fargate platform version {}, which is older than 1.4.0",
                pinned.value
            ),
            pinned,
        ),
        (None, Some(made)) => (
            format!(
                "the tasks run on Fargate platform version {}: LATEST was no newer when they were deployed",
                made.value
            ),
            made,
        ),
        (None, None) => return Ok(()),
    };
    let remedy = Remedy::new(
        "Deploy with LATEST, in a test environment first: from 1.4.0 on, pulls, secrets and logs need a route from the task's own subnet.",
    )
    .cli(patient.update_service().and(words!("--platform-version LATEST --force-new-deployment")))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          platform_version = "LATEST"
        }"#,
        patient.name()
    ));
    findings.add(patient.subject().sick(claim, evidence).mend(remedy));
    Ok(())
}

/// Whether it is a version that is less than the current one; `LATEST` is none.
fn is_old(version: &str) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(parsed).collect();
    parts.is_some_and(|parts| parts.as_slice() < CURRENT.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with(service: &str, deployment: &str) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].platform_version = Some(service.into());
        snapshot.services[0].deployments[0].platform_version = Some(deployment.into());
        snapshot
    }

    #[test]
    fn says_whether_it_is_held_or_was_left() {
        assert_eq!(
            says(CHECK, &with("1.3.0", "1.3.0")),
            ["The service is pinned to Fargate platform version 1.3.0, which is older than 1.4.0."]
        );
        assert_eq!(
            says(CHECK, &with("LATEST", "1.3.0")),
            [
                "The tasks run on Fargate platform version 1.3.0: LATEST was no newer when they were deployed."
            ]
        );
    }

    #[test]
    fn a_newer_version_than_we_know_is_not_old() {
        for version in ["1.4.0", "1.5.0", "1.10.0", "2.0.0"] {
            assert!(says(CHECK, &with(version, version)).is_empty(), "{version}");
        }
    }

    #[test]
    fn windows_counts_for_itself() {
        let mut snapshot = with("1.0.0", "1.0.0");
        snapshot.services[0].platform_family = Some("Windows_Server_2022_Core".into());
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        assert!(matches!(exam(CHECK, &baseline::ec2()).outcome, Outcome::NotApplicable(_)));
    }
}
