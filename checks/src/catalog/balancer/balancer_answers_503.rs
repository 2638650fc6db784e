//! The load balancer itself returns 503, proved by the request path: rule, weights, targets. Other
//! checks tell why no target is there.

use jiff::SignedDuration;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic::{self, Dead, Forward, GroupState};
use crate::facts::tasks::metric;
use crate::finding::{Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The load balancer has nowhere to send a request for this service, so it returns `503 Service
    /// Temporarily Unavailable` itself. The app never sees the request.
    ///
    /// # Why it matters
    ///
    /// This is the outage that clients see, while the console may show running tasks and a finished
    /// deployment.
    ///
    /// # How we tell
    ///
    /// By the request path: a rule of an HTTP listener forwards to a target group with a weight
    /// above 0, and the group has no registered target, or all of them are `unused`. With only
    /// draining targets it is likely, though AWS does not document it. A weighted rule does not
    /// fail over: the empty group's part of the traffic fails, even if other groups have targets.
    /// Unhealthy targets are no proof: the load balancer sends requests to them if it has no
    /// others. The metric `HTTPCode_ELB_503_Count` is quoted but never decides: it counts for the
    /// whole load balancer, which other services may share. A deployment younger than three minutes
    /// is not judged yet.
    ///
    /// # What to do
    ///
    /// The cause, shown above this in the report, has the fix. To see the request path for
    /// yourself:
    ///
    /// ```sh
    /// aws elbv2 describe-rules --listener-arn <arn>
    /// aws elbv2 describe-target-health --target-group-arn <arn>
    /// ```
    ///
    /// Terraform/OpenTofu: nothing to change here.
    ///
    /// # See also
    ///
    /// `target_group_empty`, `targets_unused`, `rule_points_at_empty_group`,
    /// `targets_failing_open`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The load balancer itself returns 503",
    severity: Critical,
    role: Symptom,
    shows: BalancerAnswers503,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, DescribeTargetHealth, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes};
        snapshot.target_health.put(id::group("api"), Vec::new());
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.metrics.put(Metric::Elb503.of(&balancer), minutes(41.0));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if rollout::just_began(patient) {
        return Ok(());
    }
    for forward in traffic::forwards(patient)?.iter().filter(|forward| forward.is_http()) {
        let mut dead = Vec::new();
        for share in forward.live() {
            dead.extend(findings.see(Dead::of(patient, share)).flatten());
        }
        if !dead.is_empty() {
            let counted = findings.see(counted(patient, forward)).flatten();
            findings.add(finding(patient, forward, &dead, counted));
        }
    }
    Ok(())
}

const SPAN: SignedDuration = SignedDuration::from_mins(15);

fn counted(patient: &Patient, forward: &Forward) -> Result<Option<metric::Recent>, Blind> {
    metric::recent(patient, Metric::Elb503, &forward.listener.load_balancer_arn, SPAN)
}

fn finding(
    patient: &Patient,
    forward: &Forward,
    dead: &[Dead],
    counted: Option<metric::Recent>,
) -> Finding {
    let balancer = traffic::balancer_name(&forward.listener.load_balancer_arn);
    let likely =
        if dead.iter().any(|dead| dead.state == GroupState::Draining) { "likely " } else { "" };
    let percent: f64 = dead.iter().map(|dead| dead.share.percent).sum();
    let part = if percent > 99.9 {
        "every request".into()
    } else {
        format!("about {} of the requests", traffic::percent_words(percent))
    };
    let why: Vec<String> = dead.iter().map(Dead::words).collect();
    let claim = format!(
        "load balancer {balancer} itself {likely}returns 503 for {part} to {}: {}",
        forward.name(),
        why.join("; ")
    );
    let told = counted.as_ref().map_or_else(String::new, |counted| {
        format!(
            "It returned {:.0} of them in 15 min, counted for all services behind it.",
            counted.sum
        )
    });
    let mut remedy = Remedy::new("Fix what keeps targets out of the group. The load balancer stops returning 503 as soon as a target is registered.")
        .cli(patient.see(Call::DescribeRules, &forward.rule.rule_arn));
    for Dead { share, .. } in dead {
        remedy = remedy.cli(patient.see(Call::DescribeTargetHealth, share.group));
    }
    let [weight, state] = dead[0].evidence(forward.rule);
    Subject::new(Kind::ListenerRule, &forward.rule.rule_arn)
        .sick(claim, state)
        .detail(told)
        .because(weight)
        .because_all(dead.iter().skip(1).flat_map(|dead| dead.evidence(forward.rule)))
        .because_all(counted.map(|counted| counted.evidence))
        .mend(remedy)
        .concerns(Kind::ListenerRule, &forward.rule.rule_arn)
        .concerns_all(Kind::TargetGroup, dead.iter().map(|dead| dead.share.group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, forward, id, minutes_ago, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with_targets(states: &[&str]) -> Snapshot {
        let mut snapshot = baseline::fargate();
        let targets =
            states.iter().map(|state| target("10.0.1.21", 8080, "eu-west-2a", state)).collect();
        snapshot.target_health.put(id::group("api"), targets);
        snapshot
    }

    fn first_rule(snapshot: &mut Snapshot) -> &mut crate::snapshot::Rule {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        &mut snapshot.rules.change(&listener).unwrap()[0]
    }

    #[test]
    fn an_empty_or_unused_group_is_proof() {
        let empty = says(CHECK, &with_targets(&[]));
        assert_eq!(
            empty,
            [
                "Load balancer web itself returns 503 for every request to api.example.com: target group api has no registered target."
            ]
        );
        let unused = says(CHECK, &with_targets(&["unused", "unused"]));
        assert!(
            unused[0].contains("itself returns 503 for every request")
                && unused[0].contains("does not use"),
            "{unused:?}"
        );
    }

    #[test]
    fn draining_alone_is_only_likely() {
        assert!(says(CHECK, &with_targets(&["draining"]))[0].contains("itself likely returns 503"));
    }

    #[test]
    fn unhealthy_targets_get_the_requests_and_are_no_proof() {
        let mut snapshot = baseline::fargate();
        let failing = unhealthy(
            "10.0.1.21",
            8080,
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        );
        snapshot.target_health.put(
            id::group("api"),
            vec![failing, target("10.0.2.22", 8080, "eu-west-2b", "draining")],
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_first_health_check_under_way_is_no_proof() {
        assert_eq!(exam(CHECK, &with_targets(&["initial"])).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_metric_alone_is_no_proof() {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(
            Metric::Elb503.of(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")),
            baseline::minutes(41.0),
        );
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_metric_is_quoted_with_its_caveat() {
        assert!(
            says(CHECK, &(CHECK.example)())[0].ends_with(
                "It returned 615 of them in 15 min, counted for all services behind it."
            )
        );
    }

    #[test]
    fn without_the_metric_the_way_is_still_proof() {
        let mut snapshot = (CHECK.example)();
        let metric = Metric::Elb503.of(&id::elb("loadbalancer/app/web/50dc6c495c0c9188"));
        snapshot.metrics.insert(metric, Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.findings.len(), exam.missed.len()), (Outcome::Sick, 1, 1));
    }

    #[test]
    fn an_idle_half_is_meant_to_be_empty() {
        assert_eq!(exam(CHECK, &baseline::express()).outcome, Outcome::Healthy);
    }

    #[test]
    fn weights_are_relative_and_do_not_fail_over() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        first_rule(&mut snapshot).actions = vec![forward(&[(&live, 950), (&idle, 50)])];
        let says = says(CHECK, &snapshot);
        assert_eq!(says.len(), 1);
        assert!(says[0].contains("for about 5 % of the requests"), "{says:?}");
    }

    #[test]
    fn a_network_balancer_has_no_status_codes() {
        let mut snapshot = with_targets(&[]);
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.listeners.change(&balancer).unwrap()[0].protocol = Some("TLS".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_test_rule_of_a_blue_green_deployment_is_no_way_for_clients() {
        let mut snapshot = with_targets(&[]);
        let rule = first_rule(&mut snapshot).rule_arn.clone();
        snapshot.services[0].load_balancers[0].test_listener_rule = Some(rule);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_first_three_minutes_of_a_deployment_say_nothing() {
        let mut snapshot = with_targets(&[]);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(2));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_targets_are_neither_healthy_nor_gone() {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.insert(id::group("api"), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
