//! Somebody, or AWS, has shifted traffic away from an Availability Zone: targets there are healthy
//! and get no requests.

use std::collections::BTreeMap;

use crate::aws;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::text::count;

crate::check! {
    /// A zonal shift keeps traffic away from the targets of an Availability Zone.
    ///
    /// # Why it matters
    ///
    /// The targets there look healthy and get no requests: that is expected. The rest of the
    /// service takes all of the traffic until the shift is cancelled or expires.
    ///
    /// # How we tell
    ///
    /// `AdministrativeOverride.State` of `DescribeTargetHealth` is `zonal_shift_active`.
    ///
    /// # What to do
    ///
    /// Nothing, as long as the shift is intended. To see and to cancel it:
    ///
    /// ```sh
    /// aws arc-zonal-shift list-zonal-shifts --status ACTIVE
    /// aws arc-zonal-shift cancel-zonal-shift --zonal-shift-id <id>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change; `enable_zonal_shift` in `aws_lb` allows shifts.
    ///
    /// # See also
    ///
    /// `targets_failing_open`, `single_task`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "Traffic is shifted away from a zone",
    severity: Info,
    role: Note,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetHealth],
    example: on fargate, |snapshot| {
        let group = crate::baseline::id::group("api");
        for target in snapshot.target_health.change(&group).into_iter().flatten().take(1) {
            target.administrative_override = Some(SHIFTED.into());
        }
    },
}

const SHIFTED: &str = "zonal_shift_active";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        let mut shifted: BTreeMap<&str, usize> = BTreeMap::new();
        for target in targets
            .iter()
            .filter(|target| target.administrative_override.as_deref() == Some(SHIFTED))
        {
            *shifted
                .entry(target.availability_zone.as_deref().unwrap_or("their zone"))
                .or_default() += 1;
        }
        for (zone, number) in shifted {
            let claim = format!(
                "traffic is shifted away from {zone}: {number} of {} in target group {} deliberately get no requests",
                count(targets.len(), "target"),
                traffic::group_name(group)
            );
            let remedy = Remedy::new("If the shift is intended, leave it. Otherwise cancel it.")
                .cli(aws!("arc-zonal-shift list-zonal-shifts --status ACTIVE"));
            findings.add(
                Subject::new(Kind::TargetGroup, group)
                    .sick(
                        claim,
                        Evidence::new(
                            Call::DescribeTargetHealth,
                            group,
                            "AdministrativeOverride",
                            SHIFTED,
                        ),
                    )
                    .mend(remedy)
                    .concerns(Kind::TargetGroup, group),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::testing::{exam, says};

    #[test]
    fn counts_the_targets_of_the_zone() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Traffic is shifted away from eu-west-2a: 1 of 2 targets in target group api deliberately get no requests."
            ]
        );
    }

    #[test]
    fn a_shift_that_could_be_made_is_none() {
        let mut snapshot = baseline::fargate();
        for target in snapshot.target_health.change(&id::group("api")).unwrap() {
            target.administrative_override = Some("no_override".into());
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
