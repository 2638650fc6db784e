//! Auto scaling watches what says nothing about the load: a target group that gets no traffic, one
//! that does not belong to the service, or alarms without data. Auto scaling that is suspended, or
//! at its maximum, has checks of its own.

use jiff::SignedDuration;

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::traffic::{self, group_name};
use crate::facts::tasks::{metric, scaling};
use crate::finding::{Evidence, Kind, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;
use crate::snapshot::{Alarm, ScalingPolicy};
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// The service is overloaded, and no scaling policy notices: each of them measures something
    /// else.
    ///
    /// # Why it matters
    ///
    /// No task is added, however long requests wait, while auto scaling looks configured and idle.
    ///
    /// # How we tell
    ///
    /// The tasks have used up their CPU or memory for ten minutes, or get more requests than the
    /// policy's target. And every policy is blind: `ResourceLabel` (or the dimension `TargetGroup`
    /// of a metric of your own) names a target group to which no listener rule sends traffic, such
    /// as the idle target group of a blue/green pair, or one that does not belong to the service;
    /// or all its alarms have been `INSUFFICIENT_DATA` for 30 minutes. One policy that measures the
    /// right thing is enough, and so is a policy for each target group of a pair. Without any
    /// traffic, nothing is reported. The policies of Express services are managed by ECS and not
    /// checked.
    ///
    /// # What to do
    ///
    /// Scale by CPU, which follows the tasks wherever the traffic goes; or give each target group
    /// of a pair its own policy:
    ///
    /// ```sh
    /// aws application-autoscaling put-scaling-policy --service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id service/<cluster>/<service> --policy-name cpu --policy-type TargetTrackingScaling --target-tracking-scaling-policy-configuration '{…}'
    /// ```
    ///
    /// Terraform/OpenTofu: `resource_label` in `predefined_metric_specification` of
    /// `aws_appautoscaling_policy`.
    ///
    /// # See also
    ///
    /// `saturated`, `scaling_suspended`, `scaling_at_maximum`,
    /// <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PredefinedMetricSpecification.html>,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html>
    title: "Auto scaling does not measure the load of the service",
    severity: Medium,
    role: Cause,
    explains: [Saturated, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeTargetGroups, DescribeTargetHealth, DescribeListeners, DescribeRules,
        DescribeScalableTargets, DescribeScalingPolicies, DescribeAlarms, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::minutes;
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&arn), minutes(98.0));
        if let Some(policy) = snapshot.scaling_policies.change(&arn).and_then(|all| all.first_mut()) {
            policy.policy_name = "requests".into();
            policy.predefined_metric_type = Some("ALBRequestCountPerTarget".into());
            policy.resource_label = Some("app/web/50dc6c495c0c9188/targetgroup/api-old/0123456789abcdef".into());
            policy.target_value = Some(300.0);
        }
    },
}

/// For how long an alarm may lack data before it counts as blind.
const SILENT: SignedDuration = SignedDuration::from_mins(30);

/// Over which time requests are counted.
const SPAN: SignedDuration = SignedDuration::from_mins(10);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let Some(target) = scaling::target(patient)? else {
        return Err(NoAnswer::NotApplicable("no auto scaling"));
    };
    if patient.is_express() {
        return Err(NoAnswer::NotApplicable("ECS itself manages what is measured"));
    }
    let policies = patient.scaling_policies()?;
    if target.suspended_state.dynamic_scaling_out_suspended
        || patient.service().desired_count >= target.max_capacity
        || policies.is_empty()
    {
        return Ok(());
    }
    let overloaded = scaling::is_overloaded(patient)?;
    let mut blind = Vec::new();
    for policy in policies {
        match blindness(patient, policy)? {
            Some(why) => blind.push((policy, why)),
            None => return Ok(()),
        }
    }
    for (policy, why) in blind {
        if overloaded || exceeds(patient, policy)? {
            tell(patient, findings, policy, &why)?;
        }
    }
    Ok(())
}

/// Why a policy notices nothing of the load.
enum Blindness<'a> {
    /// It counts requests to groups that get none: the service's own, or somebody else's.
    Group {
        watched: &'a str,
        own: bool,
    },
    Alarms(Vec<&'a Alarm>),
}

fn blindness<'a>(
    patient: &Patient<'a>,
    policy: &'a ScalingPolicy,
) -> Result<Option<Blindness<'a>>, Blind> {
    let watched = policy.watched_groups();
    if let Some(first) = watched.first() {
        let is_watched = |group: &&str| watched.iter().any(|watched| group.ends_with(watched));
        let live = traffic::live_groups(patient)?;
        let own = traffic::groups(patient)?.iter().any(is_watched);
        let blind = !live.is_empty() && !live.iter().any(is_watched);
        return Ok(blind.then_some(Blindness::Group { watched: first, own }));
    }
    if !scaling::alarms_to_see(patient).iter().any(|name| policy.alarm_names.contains(name)) {
        return Ok(None);
    }
    let mut alarms = Vec::new();
    for name in &policy.alarm_names {
        match patient.alarm(name)?.filter(|alarm| is_silent(patient, alarm)) {
            Some(alarm) => alarms.push(alarm),
            None => return Ok(None),
        }
    }
    Ok(Some(Blindness::Alarms(alarms)))
}

fn is_silent(patient: &Patient, alarm: &Alarm) -> bool {
    alarm.state_value == "INSUFFICIENT_DATA"
        && alarm.state_updated_timestamp.is_some_and(|at| time::age(patient.now(), at) >= SILENT)
}

/// Whether a target of the groups that get the traffic has more requests a minute than the policy
/// wants.
fn exceeds(patient: &Patient, policy: &ScalingPolicy) -> Result<bool, Blind> {
    let by_requests = policy.predefined_metric_type.as_deref() == Some("ALBRequestCountPerTarget");
    let Some(wanted) = policy.target_value.filter(|_| by_requests) else { return Ok(false) };
    for group in traffic::live_groups(patient)? {
        let healthy =
            patient.targets(group)?.iter().filter(|target| target.state == "healthy").count();
        let recent = metric::recent(patient, Metric::GroupRequests, group, SPAN)?;
        let a_minute = recent.map_or(0.0, |recent| recent.sum) / SPAN.as_mins() as f64;
        if healthy > 0 && a_minute / healthy as f64 > wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tell(
    patient: &Patient,
    findings: &mut Findings,
    policy: &ScalingPolicy,
    why: &Blindness,
) -> Result<(), Blind> {
    let name = &policy.policy_name;
    let (claim, evidence) = match why {
        Blindness::Group { watched, own } => {
            let live = and_list(traffic::live_groups(patient)?.into_iter().map(group_name));
            let what = match own {
                true => "to which no listener rule sends traffic",
                false => "which is not a target group of the service",
            };
            let claim = format!(
                "scaling policy {name} counts the requests of target group {}, {what}; the traffic goes to {live}",
                group_name(watched)
            );
            (claim, vec![watches(patient, policy, watched)])
        }
        Blindness::Alarms(alarms) => {
            let since = alarms.iter().filter_map(|alarm| alarm.state_updated_timestamp).max();
            let since = since.map_or_else(String::new, |at| {
                format!(" for {}", time::words(time::age(patient.now(), at)))
            });
            let (alarms_of, verb) = match alarms.len() {
                1 => ("the alarm of", "has"),
                _ => ("the alarms of", "have"),
            };
            let claim = format!(
                "{alarms_of} scaling policy {name} {verb} had no data{since}, so it changes nothing"
            );
            let states = alarms.iter().map(|alarm| {
                Evidence::new(
                    Call::DescribeAlarms,
                    &alarm.alarm_name,
                    "StateValue",
                    &alarm.state_value,
                )
                .at(alarm.state_updated_timestamp)
            });
            (claim, states.collect())
        }
    };
    let mut evidence = evidence.into_iter();
    let Some(first) = evidence.next() else { return Ok(()) };
    findings.add(
        patient
            .subject()
            .sick(claim, first)
            .because_all(evidence)
            .because(scaling::evidence(patient, "MaxCapacity", max(patient)?))
            .mend(remedy(patient, policy, why)?)
            .concerns(Kind::Service, patient.arn()),
    );
    Ok(())
}

fn max(patient: &Patient) -> Result<i32, Blind> {
    Ok(scaling::target(patient)?.map_or(0, |target| target.max_capacity))
}

/// What a policy watches, as it stands in the policy.
fn watches(patient: &Patient, policy: &ScalingPolicy, watched: &str) -> Evidence {
    let of = |field, value: &str| {
        Evidence::new(Call::DescribeScalingPolicies, patient.arn(), field, value)
    };
    match policy.resource_label.as_deref() {
        Some(label) => of("PredefinedMetricSpecification.ResourceLabel", label),
        None => of("CustomizedMetricSpecification.TargetGroups", watched),
    }
}

const CPU: &str = r#"{"TargetValue":60,"PredefinedMetricSpecification":{"PredefinedMetricType":"ECSServiceAverageCPUUtilization"}}"#;

fn remedy(patient: &Patient, policy: &ScalingPolicy, why: &Blindness) -> Result<Remedy, Blind> {
    let put = |name: &str, configuration: &str| {
        aws!(
            "application-autoscaling put-scaling-policy --service-namespace ecs \
             --scalable-dimension ecs:service:DesiredCount --resource-id service/{}/{} \
             --policy-name {} --policy-type TargetTrackingScaling \
             --target-tracking-scaling-policy-configuration {}",
            patient.cluster(),
            patient.name(),
            name,
            configuration
        )
    };
    let label = match why {
        Blindness::Group { .. } => label_of_live_group(patient)?,
        Blindness::Alarms(_) => None,
    };
    let remedy = match &label {
        Some(label) => {
            let wanted = policy.target_value.unwrap_or(1000.0);
            let configuration = format!(
                r#"{{"TargetValue":{wanted},"PredefinedMetricSpecification":{{"PredefinedMetricType":"ALBRequestCountPerTarget","ResourceLabel":"{label}"}}}}"#
            );
            Remedy::new(
                "Measure the target group that gets the traffic. Where deployments move the traffic to another group, scale by CPU, or give each group a policy.",
            )
            .cli(put(&policy.policy_name, &configuration))
        }
        None => Remedy::new(
            "Scale by CPU, which ECS itself measures, or publish the metric of the policy again.",
        ),
    };
    let lines = match &label {
        Some(label) => hcl!(
            "predefined_metric_type = {}\nresource_label         = {}",
            "ALBRequestCountPerTarget",
            label
        ),
        None => hcl!("predefined_metric_type = {}", "ECSServiceAverageCPUUtilization"),
    };
    Ok(remedy.cli(put("cpu", CPU)).terraform(hcl!(
        r#"
        # in target_tracking_scaling_policy_configuration of aws_appautoscaling_policy
        predefined_metric_specification {
          {}
        }"#,
        lines
    )))
}

/// The label of the group that gets the traffic, behind the application load balancer that sends
/// it there.
fn label_of_live_group(patient: &Patient) -> Result<Option<String>, Blind> {
    for group in traffic::live_groups(patient)? {
        let Some(row) = patient.target_group(group)? else { continue };
        for balancer in traffic::balancers_of(patient, row)? {
            let balancer = balancer.split_once(":loadbalancer/").map(|(_, name)| name);
            let group = group.split_once(":targetgroup/").map(|(_, name)| name);
            if let (Some(balancer), Some(group)) = (balancer, group) {
                return Ok(Some(format!("{balancer}/targetgroup/{group}")));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{id, minutes, minutes_ago};
    use crate::diagnosis::diagnose;
    use crate::exam::Outcome;
    use crate::patient::Intent;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn policies(snapshot: &mut Snapshot) -> &mut Vec<ScalingPolicy> {
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scaling_policies.change(&arn).unwrap()
    }

    /// The label of a group of this name behind the service's load balancer.
    fn label(group: &str) -> Option<String> {
        let group = id::group(group);
        let (_, group) = group.split_once(":targetgroup/").unwrap();
        Some(format!("app/web/50dc6c495c0c9188/targetgroup/{group}"))
    }

    /// A service with a pair, whose policy names one half of it.
    fn pair(watched: &str, cpu: f64) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&arn), minutes(cpu));
        snapshot.services[0].load_balancers[0].alternate_target_group_arn =
            Some(id::group("api-b"));
        snapshot.target_health.put(id::group("api-b"), Vec::new());
        let mut other = snapshot.target_groups.change(&id::group("api")).unwrap().clone();
        other.target_group_arn = id::group("api-b");
        snapshot.target_groups.put(id::group("api-b"), other);
        policies(&mut snapshot)[0].resource_label = label(watched);
        snapshot
    }

    #[test]
    fn names_policy_group_and_where_the_traffic_goes() {
        let exam = exam(CHECK, &pair("api-b", 98.0));
        assert_eq!(
            exam.findings[0].says(),
            "Scaling policy requests counts the requests of target group api-b, to which no listener rule sends traffic; the traffic goes to api."
        );
        let shell = exam.findings[0].remedy.shell().join("\n");
        assert!(shell.contains("targetgroup/api/6d0ecf831eec9f09"), "{shell}");
        assert!(shell.contains("ECSServiceAverageCPUUtilization"), "{shell}");
    }

    #[test]
    fn a_group_of_somebody_else_is_said_to_be_so() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .contains("api-old, which is not a target group of the service")
        );
    }

    #[test]
    fn the_half_that_gets_the_traffic_is_the_right_one() {
        assert_eq!(exam(CHECK, &pair("api", 98.0)).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_second_policy_that_measures_the_right_thing_is_enough() {
        for second in [
            ScalingPolicy {
                predefined_metric_type: Some("ECSServiceAverageCPUUtilization".into()),
                ..ScalingPolicy::default()
            },
            ScalingPolicy {
                predefined_metric_type: Some("ALBRequestCountPerTarget".into()),
                resource_label: label("api"),
                ..ScalingPolicy::default()
            },
        ] {
            let mut snapshot = pair("api-b", 98.0);
            policies(&mut snapshot).push(second);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }

    #[test]
    fn with_little_to_do_nothing_is_missed() {
        let quiet = pair("api-b", 20.0);
        assert_eq!(exam(CHECK, &quiet).outcome, Outcome::Healthy);
        let mut busy = quiet;
        busy.metrics.put(Metric::GroupRequests.of(&id::group("api")), minutes(900.0));
        assert_eq!(says(CHECK, &busy).len(), 1, "450 requests a minute for each of 2 targets");
        policies(&mut busy)[0].target_value = Some(500.0);
        assert_eq!(exam(CHECK, &busy).outcome, Outcome::Healthy, "the policy wants no more tasks");
    }

    #[test]
    fn at_its_maximum_or_suspended_it_has_another_trouble() {
        let mut snapshot = pair("api-b", 98.0);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.scalable_targets.change(&arn).unwrap().max_capacity = 2;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = pair("api-b", 98.0);
        let target = snapshot.scalable_targets.change(&arn).unwrap();
        target.suspended_state.dynamic_scaling_out_suspended = true;
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    /// A policy by a metric of the user's own, and the state of its alarm since so many minutes.
    fn by_queue(state: &str, minutes_back: i64) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        policies(&mut snapshot)[0] = ScalingPolicy {
            policy_name: "queue".into(),
            policy_type: "TargetTrackingScaling".into(),
            metric_name: Some("BacklogPerTask".into()),
            alarm_names: vec!["queue-high".into()],
            ..ScalingPolicy::default()
        };
        let alarm = Alarm {
            alarm_name: "queue-high".into(),
            state_value: state.into(),
            state_updated_timestamp: Some(minutes_ago(minutes_back)),
            ..Alarm::default()
        };
        snapshot.alarms.put("queue-high", alarm);
        snapshot
    }

    #[test]
    fn alarms_without_data_move_nothing() {
        assert_eq!(
            says(CHECK, &by_queue("INSUFFICIENT_DATA", 300)),
            ["The alarm of scaling policy queue has had no data for 5 h, so it changes nothing."]
        );
        for innocent in
            [by_queue("INSUFFICIENT_DATA", 12), by_queue("OK", 300), by_queue("ALARM", 3)]
        {
            assert_eq!(exam(CHECK, &innocent).outcome, Outcome::Healthy);
        }
        let mut unseen = by_queue("OK", 300);
        unseen.alarms.insert("queue-high", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &unseen).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn explains_why_nothing_was_done_about_the_load() {
        let (snapshot, intent) = (pair("api-b", 98.0), Intent::default());
        let diagnosis = diagnose(&Patient::new(&snapshot, &snapshot.services[0], &intent));
        let root = &diagnosis.roots[0];
        assert_eq!((root.check.id(), root.explains[0].check.id()), (CHECK.id(), "saturated"));
    }
}
