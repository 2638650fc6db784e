//! The web ACL blocks requests of clients: blocked requests went up, and requests that reach the
//! app went down; or it allows no request at all. That it blocks something is its purpose, and no
//! finding.

use jiff::{SignedDuration, Timestamp};

use crate::aws::time;
use crate::call::Call;
use crate::catalog::balancer::common::balancer_errors;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::{traffic, web_acl};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::{Hcl, Name};
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::metric::Metric;
use crate::snapshot::{WebAcl, WebAclRule};
use crate::{aws, hcl};

crate::check! {
    /// The web ACL in front of the load balancer returns 403 for most requests: this began within
    /// the last hour, or its rules allow no request at all.
    ///
    /// # Why it matters
    ///
    /// Clients are blocked before the load balancer chooses a target, so the app's log shows
    /// nothing of it. A new or stricter rule, or an allow list without a client's address, does
    /// that; the service's own tasks may be among the clients.
    ///
    /// # How we tell
    ///
    /// By CloudWatch's `BlockedRequests` of the web ACL and the load balancer's `RequestCount`,
    /// which leaves out what was blocked. In the last 15 minutes at least 30 requests were blocked,
    /// and at least half of all; before that, within the hour, at most one in five was; and
    /// requests that get through fell below half of what they were. Then likely clients are
    /// blocked. An attack adds blocked requests without reducing the others; scanners blocked by an
    /// allow list were there before. `BlockedRequests` counts for everything that the web ACL
    /// protects, so only the drop in this load balancer's own requests shows that they are its
    /// clients. The rule that blocks most is named. A 403 of the app itself is not counted here.
    ///
    /// A web ACL that blocks by default and has no rule that can allow a request blocks everything
    /// from the first minute: its IP sets are read, and an empty one allows nothing. Where an IP
    /// set was not read, it is likely if for the whole hour the default action blocked at least
    /// thirty requests a minute, and two in five of all.
    ///
    /// # What to do
    ///
    /// Set the rule to Count while you look at the requests that it matches, or add the addresses
    /// to its IP set:
    ///
    /// ```sh
    /// aws wafv2 get-sampled-requests --web-acl-arn <arn> --rule-metric-name <rule> --scope REGIONAL \
    ///   --time-window StartTime=<time>,EndTime=<time> --max-items 100
    /// aws wafv2 update-ip-set --name <name> --scope REGIONAL --id <id> --addresses <all addresses> --lock-token <token>
    /// ```
    ///
    /// Terraform/OpenTofu: `action { count {} }` or `override_action { count {} }` in the `rule` of
    /// `aws_wafv2_web_acl`; `addresses` in `aws_wafv2_ip_set`.
    ///
    /// # See also
    ///
    /// `no_rule_matches`, `balancer_closed_to_clients`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The web ACL blocks most requests",
    severity: Critical,
    role: Cause,
    explains: [],
    applies: [BehindLoadBalancer],
    ruled_out_by: Requests,
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeListeners, DescribeRules, GetWebAclForResource, GetIpSet, GetMetricData],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, request_path};
        let series = |now: f64, before: f64| crate::snapshot::Series {
            values: (1..=60).rev().map(|minute| (minutes_ago(minute), if minute <= 20 { now } else { before })).collect(),
        };
        let acl = request_path::web_acl();
        if let Some(acl) = snapshot.web_acls.change(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")) {
            request_path::let_in_only(acl, "office");
        }
        let addresses = vec!["203.0.113.0/24".into()];
        snapshot.ip_sets.put("office", crate::snapshot::IpSet { addresses, ..Default::default() });
        snapshot.metrics.put(Metric::WafBlocked.of(&acl), series(110.0, 1.0));
        snapshot.metrics.put(Metric::WafBlocked.of(&format!("{acl}/common")), series(110.0, 1.0));
        snapshot.metrics.put(Metric::Requests.of(&id::elb("loadbalancer/app/web/50dc6c495c0c9188")), series(9.0, 120.0));
        snapshot.metrics.put(Metric::GroupRequests.of(&id::group("api")), series(9.0, 120.0));
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let balancers = traffic::balancers(patient)?;
    let mut guarded = false;
    for balancer in balancers.into_iter().filter(|arn| arn.contains(":loadbalancer/app/")) {
        let Some(acl) = findings.see(patient.web_acl(balancer)).flatten() else { continue };
        guarded = true;
        let blocked = findings.see(span_of(patient, &acl.arn, Metric::WafBlocked));
        let passed = findings.see(span_of(patient, balancer, Metric::Requests));
        let spans = blocked.as_ref().zip(passed.as_ref());
        if let Some(closed) = findings.see(closed(patient, acl, spans)).flatten() {
            findings.add(of_closed(balancer, acl, blocked.as_ref(), closed));
        } else if let (Some(blocked), Some(passed)) = (blocked, passed)
            && locks_clients_out(&blocked, &passed)
        {
            let rule = findings.see(busiest(patient, acl)).flatten();
            findings.add(finding(patient, balancer, acl, &blocked, &passed, rule));
        }
    }
    if guarded { Ok(()) } else { Err(NoAnswer::NotApplicable("no web ACL")) }
}

/// A metric in the last minutes and in the rest of the hour before them, by the minute.
struct Span {
    now: f64,
    per_minute_now: f64,
    per_minute_before: f64,
    peak: Option<(Timestamp, f64)>,
}

fn span_of(patient: &Patient, of: &str, metric: Metric) -> Result<Span, Blind> {
    let start = time::before(patient.now(), balancer_errors::SPAN);
    let values =
        patient.metric(metric, of)?.map(|series| series.values.as_slice()).unwrap_or_default();
    let sum = |recent: bool| {
        values
            .iter()
            .filter(|(at, _)| (*at >= start) == recent)
            .map(|(_, value)| value)
            .sum::<f64>()
    };
    // It may have begun in the ten minutes before: these are neither now nor before.
    let settled = time::before(start, SignedDuration::from_mins(10));
    let before: f64 = values.iter().filter(|(at, _)| *at < settled).map(|(_, value)| value).sum();
    Ok(Span {
        now: sum(true),
        per_minute_now: sum(true) / 15.0,
        per_minute_before: before / 35.0,
        peak: values
            .iter()
            .filter(|(at, _)| *at >= start)
            .copied()
            .max_by(|a, b| a.1.total_cmp(&b.1)),
    })
}

fn locks_clients_out(blocked: &Span, passed: &Span) -> bool {
    let share = |blocked: f64, passed: f64| {
        if blocked + passed > 0.0 { blocked / (blocked + passed) } else { 0.0 }
    };
    let most_now = share(blocked.per_minute_now, passed.per_minute_now) >= 0.5;
    let few_before = share(blocked.per_minute_before, passed.per_minute_before) <= 0.2;
    blocked.now >= 30.0 && most_now && few_before && fell(passed)
}

/// Whether there were clients, and fewer than half of their requests get through now.
fn fell(passed: &Span) -> bool {
    passed.per_minute_before >= 1.0 && passed.per_minute_now < passed.per_minute_before / 2.0
}

/// Why a web ACL that blocks by default allows no request.
enum Closed {
    /// No rule can allow a request.
    ForAll,
    /// What its rules allow is not known; its default action blocks a lot, all the time.
    Likely,
}

/// Whether it allows nothing, which takes no metrics to know, or likely none of the clients.
fn closed(
    patient: &Patient,
    acl: &WebAcl,
    spans: Option<(&Span, &Span)>,
) -> Result<Option<Closed>, Blind> {
    let unseen = match web_acl::lets_nobody_in(patient, acl) {
        Ok(true) => return Ok(Some(Closed::ForAll)),
        Ok(false) => return Ok(None),
        Err(unseen) => unseen,
    };
    let Some((blocked, passed)) = spans else { return Ok(None) };
    let much = |blocked: f64, passed: f64| blocked >= 30.0 && blocked >= 0.4 * (blocked + passed);
    let by_default = busiest(patient, acl)?.is_none_or(|(_, most)| most < blocked.now / 2.0);
    let steadily = much(blocked.per_minute_now, passed.per_minute_now)
        && much(blocked.per_minute_before, passed.per_minute_before);
    match unseen.why {
        Why::NotAsked if by_default && steadily => Ok(Some(Closed::Likely)),
        Why::NotAsked => Ok(None),
        _ => Err(unseen),
    }
}

fn of_closed(balancer: &str, acl: &WebAcl, blocked: Option<&Span>, closed: Closed) -> Finding {
    let claim = match closed {
        Closed::ForAll => format!(
            "web ACL {} blocks every request to load balancer {}: its default action is Block, and no rule can allow one",
            acl.name,
            traffic::balancer_name(balancer)
        ),
        Closed::Likely => format!(
            "web ACL {} returned 403 for {:.0} requests in the last 15 min, all by its default action: its rules likely do not allow the clients of load balancer {}",
            acl.name,
            blocked.map_or(0.0, |blocked| blocked.now),
            traffic::balancer_name(balancer)
        ),
    };
    let sets = web_acl::letting_in(acl, &web_acl::Verdict::Default);
    let remedy = Remedy::new(
        "Add the clients' addresses to what it allows, or set its default action to Allow while you investigate.",
    )
    .cli(aws!("wafv2 get-web-acl --name {} --scope REGIONAL --id {}", acl.name, acl.id));
    let remedy = sets.iter().fold(remedy, |remedy, arn| {
        let mut parts = arn.rsplit('/');
        let (id, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        remedy.cli(aws!("wafv2 get-ip-set --name {} --scope REGIONAL --id {}", name, id)).cli(aws!(
            "wafv2 update-ip-set --name {} --scope REGIONAL --id {} --addresses $ADDRESSES \
                 --lock-token $LOCK_TOKEN",
            name,
            id
        ))
    });
    let remedy = remedy.terraform(hcl!(
        r#"
        resource "aws_wafv2_ip_set" "clients" {
          addresses = var.addresses
        }"#
    ));
    let counted = blocked
        .and_then(|blocked| blocked.peak)
        .map(|(at, peak)| Evidence::metric(Metric::WafBlocked, &acl.arn, peak).at(Some(at)));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(
            claim,
            Evidence::new(Call::GetWebAclForResource, balancer, "WebACL.DefaultAction", "Block"),
        )
        .because(Evidence::new(Call::GetWebAclForResource, balancer, "WebACL.Name", &acl.name))
        .because_all(counted)
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

/// The rule that blocks most now, with how much.
fn busiest<'a>(patient: &Patient, acl: &'a WebAcl) -> Result<Option<(&'a WebAclRule, f64)>, Blind> {
    let mut most: Option<(&WebAclRule, f64)> = None;
    for rule in &acl.rules {
        let Some(metric) = &rule.metric_name else { continue };
        let blocked = span_of(patient, &acl.metric_of(metric), Metric::WafBlocked)?.now;
        if blocked > most.map_or(0.0, |(_, most)| most) {
            most = Some((rule, blocked));
        }
    }
    Ok(most)
}

fn finding(
    patient: &Patient,
    balancer: &str,
    acl: &WebAcl,
    blocked: &Span,
    passed: &Span,
    rule: Option<(&WebAclRule, f64)>,
) -> Finding {
    let claim = format!(
        "web ACL {} returned 403 for {:.0} requests in the last 15 min, and requests that reach load balancer {} fell from {:.0} to {:.0} a minute: it likely blocks clients",
        acl.name,
        blocked.now,
        traffic::balancer_name(balancer),
        passed.per_minute_before,
        passed.per_minute_now
    );
    let by = match rule {
        Some((rule, number)) if number >= blocked.now / 2.0 => {
            format!("Rule {} blocked {number:.0} of them.", rule.name)
        }
        _ if acl.default_action.as_deref() == Some("Block") => {
            "Its default action blocks what no rule allows.".to_owned()
        }
        _ => String::new(),
    };
    let start = time::before(patient.now(), balancer_errors::SPAN);
    let metric = rule.and_then(|(rule, _)| rule.metric_name.as_deref()).unwrap_or("ALL");
    let group = rule.is_some_and(|(rule, _)| rule.action.is_none());
    let name = rule.map_or("<rule>", |(rule, _)| rule.name.as_str());
    let action = if group { "override_action" } else { "action" };
    let nothing = Hcl::default();
    let remedy = Remedy::new("Look at samples of the blocked requests. Then set the rule to Count (edit web-acl.json), or add the clients' addresses to what it allows.")
        .cli(aws!(
            "wafv2 get-sampled-requests --web-acl-arn {} --rule-metric-name {} --scope REGIONAL \
             --time-window StartTime={},EndTime={} --max-items 100",
            acl.arn,
            metric,
            start,
            patient.now()
        ))
        .cli(aws!("wafv2 get-web-acl --name {} --scope REGIONAL --id {}", acl.name, acl.id))
        .cli(aws!(
            "wafv2 update-web-acl --name {} --scope REGIONAL --id {} \
             --cli-input-json file://web-acl.json",
            acl.name,
            acl.id
        ))
        .terraform(hcl!(
            r#"
            resource "aws_wafv2_web_acl" "this" {
              rule {
                name = {}
                {} {
                  count {{}}
                }
              }
            }"#,
            name,
            Name(action),
            nothing
        ));
    let (at, peak) = blocked.peak.map_or((None, 0.0), |(at, peak)| (Some(at), peak));
    let counted = Evidence::metric(Metric::WafBlocked, &acl.arn, peak).at(at);
    let through = passed
        .peak
        .map(|(at, peak)| Evidence::metric(Metric::Requests, balancer, peak).at(Some(at)));
    Subject::new(Kind::LoadBalancer, balancer)
        .sick(claim, counted)
        .detail(by)
        .because_all(through)
        .because(Evidence::new(Call::GetWebAclForResource, balancer, "WebACL.Name", &acl.name))
        .mend(remedy)
        .concerns(Kind::LoadBalancer, balancer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes, minutes_ago, request_path};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Series, Snapshot};
    use crate::testing::{exam, says};

    fn balancer() -> String {
        id::elb("loadbalancer/app/web/50dc6c495c0c9188")
    }

    fn counting(blocked: Series, passed: Series) -> Snapshot {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::WafBlocked.of(&request_path::web_acl()), blocked);
        snapshot.metrics.put(Metric::Requests.of(&balancer()), passed);
        snapshot
    }

    fn step(now: f64, before: f64) -> Series {
        Series {
            values: (1..=60)
                .rev()
                .map(|minute| (minutes_ago(minute), if minute <= 20 { now } else { before }))
                .collect(),
        }
    }

    #[test]
    fn says_what_fell_and_which_rule_blocks() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Web ACL web returned 403 for 1650 requests in the last 15 min, and requests that reach load balancer web fell from 120 to 9 a minute: it likely blocks clients. Rule common blocked 1650 of them."
            ]
        );
    }

    /// Makes the web ACL one that lets in only who is in an IP set.
    fn allow_list(snapshot: &mut Snapshot, addresses: Option<&[&str]>) {
        let arn = "arn:aws:wafv2:eu-west-2:123456789012:regional/ipset/clients/a1f2";
        let acl = snapshot.web_acls.change(&balancer()).unwrap();
        acl.rules.clear();
        request_path::let_in_only(acl, arn);
        if let Some(addresses) = addresses {
            let addresses = addresses.iter().map(|block| (*block).to_owned()).collect();
            snapshot.ip_sets.put(arn, crate::snapshot::IpSet { addresses, ..Default::default() });
        }
    }

    #[test]
    fn an_empty_allow_list_blocks_all_from_the_first_minute() {
        let mut snapshot = counting(minutes(110.0), Series::default());
        allow_list(&mut snapshot, Some(&[]));
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "Web ACL web blocks every request to load balancer web: its default action is Block, and no rule can allow one."
            ]
        );
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy.shell().join("\n");
        assert!(remedy.contains("update-ip-set --name clients"), "{remedy}");
        allow_list(&mut snapshot, Some(&["203.0.113.0/24"]));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it lets somebody in");
    }

    #[test]
    fn that_it_lets_nobody_in_takes_no_metrics_to_know() {
        let mut snapshot = counting(Series::default(), Series::default());
        let unrestricted = snapshot.web_acls.change(&balancer()).unwrap();
        (unrestricted.default_action, unrestricted.rules) = (Some("Block".into()), Vec::new());
        assert_eq!(says(CHECK, &snapshot).len(), 1, "nothing has been counted yet");
        for (of, metric) in
            [(request_path::web_acl(), Metric::WafBlocked), (balancer(), Metric::Requests)]
        {
            snapshot.metrics.insert(metric.of(&of), Seen::No(Why::Denied("no".into())));
        }
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_list_that_was_not_asked_about_is_likely_why_where_the_default_blocks_much() {
        let mut snapshot = counting(minutes(110.0), minutes(120.0));
        allow_list(&mut snapshot, None);
        assert!(
            says(CHECK, &snapshot)[0]
                .contains("all by its default action: its rules likely do not allow")
        );
        let mut scanned = counting(minutes(20.0), minutes(10.0));
        allow_list(&mut scanned, None);
        assert_eq!(exam(CHECK, &scanned).outcome, Outcome::Healthy, "scanners");
    }

    #[test]
    fn blocking_an_attack_is_its_purpose() {
        assert_eq!(
            exam(CHECK, &counting(step(900.0, 0.0), minutes(120.0))).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn scanners_at_an_allow_list_were_there_before() {
        assert_eq!(exam(CHECK, &counting(minutes(20.0), step(0.0, 3.0))).outcome, Outcome::Healthy);
        assert_eq!(
            exam(CHECK, &counting(step(20.0, 0.0), Series::default())).outcome,
            Outcome::Healthy,
            "nobody had come through"
        );
    }

    #[test]
    fn fewer_requests_without_blocks_are_a_quiet_hour() {
        assert_eq!(
            exam(CHECK, &counting(Series::default(), step(1.0, 120.0))).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn the_apps_own_403_is_not_the_web_acls() {
        let mut snapshot = baseline::fargate();
        snapshot.metrics.put(Metric::Target4xx.of(&id::group("api")), minutes(80.0));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_a_web_acl_there_is_nothing_to_say() {
        let mut snapshot = (CHECK.example)();
        snapshot.web_acls.insert(balancer(), Seen::Yes(None));
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
        snapshot.web_acls.insert(balancer(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
