//! The load balancer itself returns 5xx other than 502, 503 and 504: 500 and 561 where it signs
//! users in, and others. Other checks tell why.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::answers::{self, Lasting};
use crate::facts::inbound::traffic::{self, Forward};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::metric::Metric;

crate::check! {
    /// The load balancer itself returns 5xx other than 502, 503 and 504: most often 500 or 561,
    /// where it fails to sign users in.
    ///
    /// # Why it matters
    ///
    /// These requests never reach a target, so they are in no log of the app and in no metric of
    /// its target groups.
    ///
    /// # How we tell
    ///
    /// `HTTPCode_ELB_5XX_Count` of the load balancer without those of 502, 503 and 504, and, where
    /// a rule answers with a fixed 5xx, without fixed responses. It counts if it lasts for at least
    /// five minutes and until now, with at least ten such answers in the last 15 minutes, and they
    /// are a fifth of all, or a twentieth where that is at least twice what was usual before.
    /// `RequestCount` has only requests for which a target was chosen, so these come on top of it.
    /// On a load balancer that other services share, they count as this service's only where its
    /// rules alone sign users in.
    ///
    /// # What to do
    ///
    /// The cause has the fix. Access logs have a reason for each such error in `error_reason`:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> \
    ///   --attributes Key=access_logs.s3.enabled,Value=true Key=access_logs.s3.bucket,Value=<bucket>
    /// ```
    ///
    /// Terraform/OpenTofu: `access_logs` in `aws_lb`.
    ///
    /// # See also
    ///
    /// `identity_provider_unreachable`, `balancer_answers_502`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The load balancer itself returns 5xx",
    severity: High,
    role: Symptom,
    shows: BalancerAnswers5xx,
    explains: [],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetMetricData,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago};
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        let values = (1..=60).rev().map(|ago| (minutes_ago(ago), if ago <= 25 { 90.0 } else { 0.0 })).collect();
        snapshot.metrics.put(Metric::Elb5xx.of(&balancer), crate::snapshot::Series { values });
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let forwards = traffic::forwards(patient)?;
    let mut balancers: BTreeMap<&str, Vec<&Forward>> = BTreeMap::new();
    for forward in forwards.iter().filter(|forward| forward.is_http()) {
        balancers.entry(&forward.listener.load_balancer_arn).or_default().push(forward);
    }
    for (balancer, forwards) in balancers {
        if let Some(lasting) = lasting(patient, balancer)?
            && are_own(patient, balancer, &forwards)?
        {
            findings.add(finding(patient, balancer, &forwards, &lasting));
        }
    }
    Ok(())
}

/// Such answers that last; those that a rule gives on purpose are none.
fn lasting(patient: &Patient, balancer: &str) -> Result<Option<Lasting>, Blind> {
    let of_others = answers::OF_OTHER_CHECKS;
    let without = |others: &[Metric]| -> Result<Option<Lasting>, Blind> {
        let minutes = answers::of_balancer(patient, balancer, others)?;
        Ok(answers::lasting(&minutes, patient.now()).filter(Lasting::is_trouble))
    };
    let lasting = without(&of_others)?;
    if lasting.is_some() && answers_5xx_on_purpose(patient, balancer)? {
        return without(&[&of_others[..], &[Metric::FixedResponses]].concat());
    }
    Ok(lasting)
}

/// Whether a rule of the load balancer answers with a fixed 5xx.
fn answers_5xx_on_purpose(patient: &Patient, balancer: &str) -> Result<bool, Blind> {
    for listener in patient.listeners(balancer)? {
        let actions = patient.rules(&listener.listener_arn)?.iter().flat_map(|rule| &rule.actions);
        let mut fixed = actions.filter(|action| action.kind == "fixed-response");
        if fixed.any(|action| action.status_code.as_deref().is_some_and(|it| it.starts_with('5'))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether they are this service's: it has the load balancer for itself, or only its own rules sign
/// users in.
fn are_own(patient: &Patient, balancer: &str, forwards: &[&Forward]) -> Result<bool, Blind> {
    if traffic::serves_nobody_else(patient, balancer)? {
        return Ok(true);
    }
    let own: BTreeSet<&str> =
        forwards.iter().map(|forward| forward.rule.rule_arn.as_str()).collect();
    let mut signing = BTreeSet::new();
    for listener in patient.listeners(balancer)? {
        let rules = patient.rules(&listener.listener_arn)?.iter();
        let rules = rules.filter(|rule| rule.actions.iter().any(traffic::signs_in));
        signing.extend(rules.map(|rule| rule.rule_arn.as_str()));
    }
    Ok(!signing.is_empty() && signing.is_subset(&own))
}

fn finding(patient: &Patient, balancer: &str, forwards: &[&Forward], lasting: &Lasting) -> Finding {
    let (at, peak) = lasting.peak;
    let claim = format!(
        "load balancer {} itself answered {} with 5xx other than 502, 503 and 504 {}",
        traffic::balancer_name(balancer),
        lasting.words(),
        lasting.span(patient.now())
    );
    let signs_in = forwards.iter().flat_map(|forward| &forward.rule.actions).any(traffic::signs_in);
    let why = if signs_in {
        "It signs users in before it forwards: it likely cannot reach the identity provider (500), or the provider answers with an error (561)."
    } else {
        ""
    };
    let remedy = Remedy::new(
        "Look at the access logs of the load balancer: error_reason has a reason for each of these errors.",
    )
    .cli(patient.see(Call::DescribeLoadBalancerAttributes, balancer));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, Evidence::metric(Metric::Elb5xx, balancer, peak).at(Some(at)))
        .detail(lasting.history(patient.now()))
        .detail(why)
        .since(lasting.since)
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, forward, host_rule, id, minutes as steady, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Action, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<crate::snapshot::Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    fn sign_in() -> Action {
        Action { kind: "authenticate-oidc".into(), ..Action::default() }
    }

    #[test]
    fn says_how_many_and_since_when() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Load balancer web itself answered 1350 of 3150 requests (43 %) with 5xx other than 502, 503 and 504 in the last 15 min. It began 25 min ago; before that it was none."
            ]
        );
    }

    #[test]
    fn where_it_signs_users_in_that_is_likely_why() {
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot)[0].actions.insert(0, sign_in());
        assert!(says(CHECK, &snapshot)[0].contains("it likely cannot reach the identity provider"));
    }

    #[test]
    fn the_other_three_have_checks_of_their_own() {
        for metric in [Metric::Elb502, Metric::Elb503, Metric::Elb504] {
            let mut snapshot = baseline::fargate();
            snapshot.metrics.put(Metric::Elb5xx.of(&balancer()), steady(90.0));
            snapshot.metrics.put(metric.of(&balancer()), steady(90.0));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{metric:?}");
        }
    }

    #[test]
    fn a_fixed_response_is_on_purpose() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.put(Metric::FixedResponses.of(&balancer()), steady(90.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "it answers 404");
        rules(&mut snapshot).iter_mut().flat_map(|rule| &mut rule.actions).for_each(|action| {
            action.status_code = action.status_code.take().map(|_| "500".into());
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn on_a_shared_balancer_they_may_be_anothers() {
        let mut snapshot = (CHECK.example)();
        let other = host_rule("arn:other", "5", "o.example.com", forward(&[("arn:other", 1)]));
        rules(&mut snapshot).insert(0, other);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        rules(&mut snapshot)[1].actions.insert(0, sign_in());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "only its own rule signs in");
        rules(&mut snapshot)[0].actions.insert(0, sign_in());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "another's does as well");
    }

    #[test]
    fn a_few_and_a_burst_are_no_symptom() {
        let mut snapshot = baseline::fargate();
        for (name, values) in [
            ("a burst", (1..=3).map(|ago| (minutes_ago(ago), 60.0)).collect::<Vec<_>>()),
            ("a few", (1..=60).map(|ago| (minutes_ago(61 - ago), 0.1)).collect()),
        ] {
            let series = crate::snapshot::Series { values: values.into_iter().rev().collect() };
            snapshot.metrics.put(Metric::Elb5xx.of(&balancer()), series);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{name}");
        }
    }

    #[test]
    fn without_the_metric_nobody_knows() {
        let mut snapshot = (CHECK.example)();
        snapshot.metrics.insert(Metric::Elb5xx.of(&balancer()), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
