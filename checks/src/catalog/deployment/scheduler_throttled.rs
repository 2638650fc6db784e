//! ECS's own calls for the service are throttled, so it starts, stops and registers tasks late.
//! Throttled calls to the ECS API, of this program or of anything else, are not meant.

use jiff::SignedDuration;

use crate::aws;
use crate::aws::event::{self, Event};
use crate::aws::time::{age, before, words};
use crate::check::{Findings, NoAnswer};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::ServiceEvent;

crate::check! {
    /// ECS reports that its operations for the service are being throttled, and that it will retry
    /// later.
    ///
    /// # Why it matters
    ///
    /// ECS starts tasks and registers targets with calls of its own to EC2, Elastic Load Balancing
    /// and others. When these are throttled, deployments and scaling take long, and a target may be
    /// registered minutes after its task runs.
    ///
    /// # How we tell
    ///
    /// Two or more service events of the last hour say "operations are being throttled", the newest
    /// of them not half an hour old. A single one is retried without visible effect.
    ///
    /// # What to do
    ///
    /// Find what calls too often: other services that deploy at the same time, scripts that poll,
    /// scanners. The quotas:
    ///
    /// ```sh
    /// aws service-quotas list-service-quotas --service-code elasticloadbalancing
    /// aws cloudwatch get-metric-data …   # AWS/Usage, ThrottleCount
    /// ```
    ///
    /// Terraform/OpenTofu: `aws_servicequotas_service_quota`, for a quota that can be raised.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>
    title: "ECS's own calls for the service are throttled",
    severity: Medium,
    role: Risk,
    explains: [DeploymentStuck],
    reads: [DescribeServices],
    example: on fargate, |snapshot| {
        use crate::baseline::minutes_ago;
        let message = "(service api) operations are being throttled on elb. Will try again later.";
        let event = |n: i64| ServiceEvent { id: format!("throttled-{n}"), created_at: Some(minutes_ago(n * 7)), message: message.into() };
        snapshot.services[0].events.splice(0..0, (1..=3).map(event));
    },
}

const WINDOW: SignedDuration = SignedDuration::from_hours(1);
const RECENT: SignedDuration = SignedDuration::from_mins(30);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let from = before(patient.now(), WINDOW);
    let is_throttled = |event: &&ServiceEvent| {
        event.created_at.is_some_and(|at| at >= from)
            && event::read(&event.message) == Event::Throttled
    };
    let throttled: Vec<&ServiceEvent> =
        patient.service().events.iter().filter(is_throttled).collect();
    let times = || throttled.iter().filter_map(|event| event.created_at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let [newest, _, ..] = throttled.as_slice() else { return Ok(()) };
    let ago = age(patient.now(), last);
    if ago > RECENT {
        return Ok(());
    }
    let claim = format!(
        "ECS reported {} times within the last hour that its own operations for this service are throttled, the last time {} ago: starting, stopping and \
         registering tasks takes longer",
        throttled.len(),
        words(ago)
    );
    findings.add(
        patient
            .subject()
            .sick(claim, patient.evidence("events.message", &newest.message).at(newest.created_at))
            .mend(
                Remedy::new("Find what calls AWS too often in this account and Region and slow it down, or request a higher quota.")
                    .cli(aws!("service-quotas list-service-quotas --service-code elasticloadbalancing"))
                    .cli(aws!("service-quotas list-service-quotas --service-code ec2")),
            )
            .since(Some(first)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::minutes_ago;
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn throttled(ages: &[i64]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let message = "(service api) operations are being throttled. Will try again later.";
        let event = |minutes: &i64| ServiceEvent {
            id: "t".into(),
            created_at: Some(minutes_ago(*minutes)),
            message: message.into(),
        };
        snapshot.services[0].events = ages.iter().map(event).collect();
        snapshot
    }

    #[test]
    fn says_how_often_and_when_last() {
        assert!(
            says(CHECK, &throttled(&[3, 20, 50]))[0]
                .starts_with("ECS reported 3 times within the last hour")
        );
    }

    #[test]
    fn one_alone_or_long_ago_is_nothing() {
        assert_eq!(exam(CHECK, &throttled(&[3])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &throttled(&[35, 50])).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &throttled(&[3, 90])).outcome, Outcome::Healthy);
    }

    #[test]
    fn while_a_deployment_hangs_it_is_no_mere_risk() {
        use crate::baseline::roll_out;
        use crate::diagnosis::{Standing, Verdict, diagnose};
        use crate::patient::Intent;
        let diagnose_it = |snapshot: &Snapshot| {
            diagnose(&Patient::new(snapshot, &snapshot.services[0], &Intent::default()))
        };
        let mut snapshot = throttled(&[3, 20, 50]);
        assert_eq!(diagnose_it(&snapshot).verdict, Verdict::AtRisk);
        roll_out(&mut snapshot, 45, |_| ());
        let diagnosis = diagnose_it(&snapshot);
        let root =
            diagnosis.roots.iter().find(|root| root.check.id() == "scheduler_throttled").unwrap();
        assert_eq!((diagnosis.verdict, root.standing), (Verdict::Sick, Standing::Cause));
        assert_eq!(root.explains[0].check.id(), "deployment_stuck");
    }
}
