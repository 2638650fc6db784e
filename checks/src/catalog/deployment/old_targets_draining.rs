//! The new version is live and complete, and the old targets are still draining. A note that says
//! until when, so that nobody mistakes the last minutes of a deployment for a hang.

use jiff::Timestamp;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::aws::time::{after, age, clock, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout::{self, Strategy};
use crate::facts::inbound::traffic::{self, group_name};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::snapshot::{ServiceDeployment, Target};
use crate::text::{count, plural};

crate::check! {
    /// All tasks of the new version run, and the deployment waits for the old targets to finish
    /// their last requests.
    ///
    /// # Why it matters
    ///
    /// For up to five minutes by default, or up to an hour if configured, the deployment is
    /// `IN_PROGRESS` though nothing is left to do. That is normal; no client is affected.
    ///
    /// # How we tell
    ///
    /// A deployment is under way, at `CLEAN_UP` or, if it is a rolling one, with all its new tasks
    /// running beside an older deployment; targets of the service are `draining`; and since ECS
    /// began to drain them the deregistration delay of their group has not passed. Once it has,
    /// draining no longer explains the wait.
    ///
    /// # What to do
    ///
    /// Wait. To wait less next time, if no request takes that long:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group-attributes --target-group-arn <arn> --attributes Key=deregistration_delay.timeout_seconds,Value=30
    /// ```
    ///
    /// Terraform/OpenTofu: `deregistration_delay = 30` of `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `deployment_stuck`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-connection-draining.html>
    title: "The new version is live; the old targets are draining",
    severity: Info,
    role: Note,
    explains: [],
    applies: [DeployedByEcs],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetHealth, DescribeTargetGroupAttributes],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, roll_out, target};
        use crate::snapshot::ServiceEvent;
        roll_out(snapshot, 6, |_| ());
        let group = id::group("api");
        if let Some(targets) = snapshot.target_health.change(&group) {
            targets.extend(["10.0.1.11", "10.0.2.12"].map(|address| target(address, 8080, "eu-west-2a", "draining")));
        }
        let message = "(service api, taskSet ecs-svc/1000000000000000012) has begun draining connections on 2 tasks.";
        snapshot.services[0].events.insert(0, ServiceEvent { id: "e".into(), created_at: Some(minutes_ago(2)), message: message.into() });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(deployment) =
        rollout::under_way(patient)?.filter(|deployment| is_complete(patient, deployment))
    else {
        return Ok(());
    };
    let began = began(patient, deployment);
    for group in traffic::groups(patient)? {
        let draining: Vec<&Target> = patient
            .targets(group)?
            .iter()
            .filter(|target| target.state.ends_with("draining"))
            .collect();
        let Some(first) = draining.first() else { continue };
        let delay = findings.see(rollout::deregistration_delay(patient, group));
        let ends = began.as_ref().zip(delay).map(|((at, _), delay)| after(*at, delay));
        if ends.is_some_and(|ends| ends <= patient.now()) {
            continue;
        }
        let until = match (ends, delay) {
            (Some(ends), _) => {
                format!(" until about {}, in {}", clock(ends), words(age(ends, patient.now())))
            }
            (None, Some(delay)) => format!(" for up to {}", words(delay)),
            (None, None) => String::new(),
        };
        let brings = findings.see(rollout::brings(patient, deployment)).flatten();
        let old = count(draining.len(), "old target");
        let verb = plural(draining.len(), "is draining", "are draining");
        let claim = format!(
            "{} is live; {old} of target group {} {verb}{until}",
            rollout::name(deployment, brings),
            group_name(group)
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(
                    claim,
                    Evidence::new(
                        Call::DescribeTargetHealth,
                        group,
                        "TargetHealth.State",
                        &first.state,
                    ),
                )
                .because(rollout::evidence(deployment, "status", &deployment.status))
                .because_all(began.as_ref().map(|(_, event)| event.clone()))
                .mend(
                    Remedy::new(
                        "Wait: ECS completes the deployment once the old targets have drained.",
                    )
                    .cli(rollout::see(patient, deployment)),
                )
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TaskDefinition, brings),
        );
    }
    Ok(())
}

/// Whether nothing is left to do but to stop the old tasks.
fn is_complete(patient: &Patient, deployment: &ServiceDeployment) -> bool {
    let service = patient.service();
    let primary = service.primary();
    let all_run = primary.is_some_and(|primary| {
        primary.running_count > 0 && primary.running_count >= service.desired_count
    });
    let rolls = Strategy::of(&deployment.deployment_configuration) == Strategy::Rolling
        && service.deployments.len() > 1;
    deployment.status == "IN_PROGRESS"
        && all_run
        && (rolls || deployment.lifecycle_stage.as_deref() == Some("CLEAN_UP"))
}

/// When ECS began to drain the last of them, if it says so.
fn began(patient: &Patient, deployment: &ServiceDeployment) -> Option<(Timestamp, Evidence)> {
    let from = rollout::started(deployment)
        .unwrap_or_else(|| time::before(patient.now(), rollout::LONGEST_DRAINING));
    let mut events = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= from));
    let event =
        events.find(|event| matches!(event::read(&event.message), Event::Draining { .. }))?;
    Some((
        event.created_at?,
        patient.evidence("events.message", &event.message).at(event.created_at),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn example(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        change(&mut snapshot);
        snapshot
    }

    #[test]
    fn says_until_when() {
        let expected = "The deployment of api:13 is live; 2 old targets of target group api are draining until about 03:03 UTC, in 3 min.";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn past_the_delay_it_is_no_excuse() {
        let late =
            example(|snapshot| snapshot.services[0].events[0].created_at = Some(minutes_ago(6)));
        assert_eq!(exam(CHECK, &late).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_an_event_it_says_how_long_at_most() {
        let snapshot = example(|snapshot| drop(snapshot.services[0].events.remove(0)));
        assert!(
            says(CHECK, &snapshot)[0].ends_with("are draining for up to 5 min."),
            "{:?}",
            says(CHECK, &snapshot)
        );
    }

    #[test]
    fn a_hidden_delay_leaves_the_note_without_its_end() {
        let snapshot = example(|snapshot| {
            snapshot
                .target_group_attributes
                .insert(id::group("api"), Seen::No(Why::Denied("no".into())))
        });
        let exam = exam(CHECK, &snapshot);
        assert_eq!(exam.outcome, Outcome::Sick);
        assert!(
            exam.findings[0].says().ends_with("target group api are draining."),
            "{}",
            exam.findings[0].says()
        );
    }

    #[test]
    fn while_new_tasks_start_draining_is_not_what_it_waits_for() {
        let starts = example(|snapshot| snapshot.services[0].deployments[0].running_count = 1);
        assert_eq!(exam(CHECK, &starts).outcome, Outcome::Healthy);
        let arn = starts.services[0].service_arn.clone();
        let ended = example(|snapshot| {
            snapshot.service_deployments.change(&arn).unwrap()[0].status = "SUCCESSFUL".into()
        });
        assert_eq!(exam(CHECK, &ended).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_canary_drains_at_its_clean_up_only() {
        let arn = example(|_| ()).services[0].service_arn.clone();
        for (stage, expected) in [("BAKE_TIME", Outcome::Healthy), ("CLEAN_UP", Outcome::Sick)] {
            let snapshot = example(|snapshot| {
                let deployment = &mut snapshot.service_deployments.change(&arn).unwrap()[0];
                deployment.deployment_configuration.strategy = Some("CANARY".into());
                deployment.lifecycle_stage = Some(stage.into());
            });
            assert_eq!(exam(CHECK, &snapshot).outcome, expected, "{stage}");
        }
    }
}
