//! Auto scaling wants more tasks than its maximum. What that does to the tasks there are is for
//! `saturated` to say.

use jiff::SignedDuration;

use crate::aws::time;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::{metric, scaling};
use crate::finding::Remedy;
use crate::patient::Patient;
use crate::snapshot::metric::Metric;
use crate::{aws, hcl, words};

crate::check! {
    /// The service runs as many tasks as its auto scaling maximum allows, and its policies want
    /// more.
    ///
    /// # Why it matters
    ///
    /// From here on, more load makes every request slower: no more tasks are added, and only a line
    /// in the scaling activities shows it.
    ///
    /// # How we tell
    ///
    /// `desiredCount` is at the maximum of the scalable target, and the newest activity of auto
    /// scaling was not carried out for `AlreadyAtMaxCapacity`: within the last hour, or earlier, if
    /// the CPU has been used up for ten minutes now. A service that runs at its maximum and wants
    /// no more is skipped; so is a size that was fixed on purpose (minimum and maximum are the
    /// same) while the CPU has room.
    ///
    /// # What to do
    ///
    /// Raise the maximum, if subnets, quotas and the database behind it have room for more tasks;
    /// otherwise make each task larger.
    ///
    /// ```sh
    /// aws application-autoscaling register-scalable-target --service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id service/<cluster>/<service> --max-capacity 20
    /// aws ecs update-express-gateway-service --service-arn <arn> --scaling-target maxTaskCount=20   # Express Mode
    /// ```
    ///
    /// Terraform/OpenTofu: `max_capacity` in `aws_appautoscaling_target`, `scaling_target` in
    /// `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `saturated`, `scaling_suspended`,
    /// <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scaling-activities.html>
    title: "Auto scaling wants more tasks than its maximum",
    severity: Medium,
    role: Cause,
    explains: [Saturated],
    reads: [DescribeServices, DescribeScalableTargets, DescribeScalingActivities, GetMetricData],
    example: on fargate, |snapshot| {
        let arn = snapshot.services[0].service_arn.clone();
        crate::baseline::scaling::refuse_more(snapshot, 6);
        snapshot.scalable_targets.change(&arn).into_iter().for_each(|target| target.min_capacity = 1);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(target) = scaling::target(patient)? else {
        return Err(NoAnswer::NotApplicable("no auto scaling"));
    };
    let (desired, maximum) = (patient.service().desired_count, target.max_capacity);
    let newest = scaling::activities(patient)?.first();
    let Some(refused) = newest
        .filter(|activity| activity.refused_at_maximum() && desired >= maximum && maximum > 0)
    else {
        return Ok(());
    };
    let busy = findings
        .see(metric::lasting(patient, Metric::Cpu, patient.arn(), metric::LASTING, metric::BUSY))
        .flatten();
    let ago = refused.start_time.map(|at| time::age(patient.now(), at));
    let is_recent = ago.is_some_and(|ago| ago <= SignedDuration::from_hours(1))
        && target.min_capacity < maximum;
    if !is_recent && busy.is_none() {
        return Ok(());
    }
    let ago = ago.map_or_else(String::new, |ago| format!(" {} ago", time::words(ago)));
    let claim = format!(
        "the service cannot grow beyond {}, its auto scaling maximum: {} requested more{ago} and got none",
        scaling::tasks(maximum),
        refused.moved_by()
    );
    let more = maximum.saturating_mul(2);
    let remedy = Remedy::new(
        "Raise the maximum, if subnets, quotas and the database behind it have room for more tasks; otherwise make each task larger.",
    );
    let remedy = if patient.is_express() {
        remedy
            .cli(aws!(
                "ecs update-express-gateway-service --service-arn {} \
                 --scaling-target maxTaskCount={}",
                patient.arn(),
                more
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_express_gateway_service" {} {
                  scaling_target {
                    max_task_count = {}
                  }
                }"#,
                patient.name(),
                more
            ))
    } else {
        remedy
            .cli(scaling::register(patient, words!("--max-capacity {}", more)))
            .terraform(scaling::terraform(patient, hcl!("max_capacity = {}", more)))
    };
    findings.add(
        patient
            .subject()
            .sick(claim, scaling::evidence(patient, "MaxCapacity", maximum))
            .because(patient.evidence("desiredCount", desired))
            .because(scaling::did(refused, "NotScaledReasons.Code", "AlreadyAtMaxCapacity"))
            .because_all(busy.map(|busy| busy.evidence))
            .mend(remedy),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes, scaling::refuse_more};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn refused(minutes: i64) -> Snapshot {
        let mut snapshot = baseline::fargate();
        refuse_more(&mut snapshot, minutes);
        snapshot
            .scalable_targets
            .change(&snapshot.services[0].service_arn.clone())
            .unwrap()
            .min_capacity = 1;
        snapshot
    }

    fn change(
        mut snapshot: Snapshot,
        change: impl FnOnce(&mut crate::snapshot::ScalableTarget),
    ) -> Snapshot {
        let arn = snapshot.services[0].service_arn.clone();
        change(snapshot.scalable_targets.change(&arn).unwrap());
        snapshot
    }

    fn busy(mut snapshot: Snapshot) -> Snapshot {
        let metric = Metric::Cpu.of(&snapshot.services[0].service_arn);
        snapshot.metrics.put(metric, minutes(97.0));
        snapshot
    }

    #[test]
    fn says_who_wanted_more_and_when() {
        assert_eq!(
            says(CHECK, &refused(6)),
            [
                "The service cannot grow beyond 2 tasks, its auto scaling maximum: policy cpu requested more 6 min ago and got none."
            ]
        );
    }

    #[test]
    fn what_it_wanted_hours_ago_counts_only_while_the_cpu_is_used_up() {
        assert!(says(CHECK, &refused(200)).is_empty());
        assert_eq!(says(CHECK, &busy(refused(200))).len(), 1);
    }

    #[test]
    fn a_maximum_that_was_raised_since_is_no_limit() {
        assert!(says(CHECK, &change(refused(6), |target| target.max_capacity = 8)).is_empty());
    }

    #[test]
    fn an_activity_since_then_overrides_it() {
        let mut snapshot = refused(6);
        let arn = snapshot.services[0].service_arn.clone();
        let activities = snapshot.scaling_activities.change(&arn).unwrap();
        let mut later = activities[1].clone();
        later.start_time = Some(baseline::minutes_ago(2));
        activities.insert(0, later);
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_size_fixed_on_purpose_counts_only_while_the_cpu_is_used_up() {
        let fixed = || change(refused(6), |target| target.min_capacity = 2);
        assert!(says(CHECK, &fixed()).is_empty());
        assert_eq!(says(CHECK, &busy(fixed())).len(), 1);
    }

    #[test]
    fn at_its_maximum_and_content() {
        assert_eq!(
            exam(CHECK, &change(baseline::fargate(), |target| target.max_capacity = 2)).outcome,
            Outcome::Healthy
        );
        assert_eq!(
            exam(CHECK, &baseline::worker()).outcome,
            Outcome::NotApplicable("no auto scaling")
        );
    }

    #[test]
    fn unseen_is_not_healthy() {
        let mut snapshot = refused(6);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scaling_activities.insert(arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
