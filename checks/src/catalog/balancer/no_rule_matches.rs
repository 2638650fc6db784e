//! No rule of the listener matches the service's own host any more, or the URL that the user asked
//! about, so the default action answers.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::aws::url::Url;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::{Command, Word};
use crate::facts::inbound::entry;
use crate::facts::inbound::probe::{self, Leads};
use crate::facts::inbound::request::{self, Takes};
use crate::facts::inbound::traffic::{self, GroupState};
use crate::facts::tasks::metric;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::hcl::{Hcl, Name};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::deployment::IngressPath;
use crate::snapshot::metric::Metric;
use crate::snapshot::{Condition, Listener, Rule};
use crate::text::parsed;
use crate::{aws, hcl, words};

crate::check! {
    /// No rule of the listener matches the host that Express Mode gave to the service, or the URL
    /// given with `--url`, so the listener's default action answers: with Express Mode a plain 404.
    ///
    /// # Why it matters
    ///
    /// Every request for the URL gets the load balancer's own response, and the app never sees it.
    /// Somebody changed or deleted the rule that ECS created, or a new host or path has no rule
    /// yet.
    ///
    /// # How we tell
    ///
    /// The host is the endpoint of the ingress path that ECS manages. Every rule of the load
    /// balancer's listeners is matched against it as Elastic Load Balancing does:
    /// case-insensitively, with `*` and `?`. A rule without a host condition matches every host,
    /// and regular expressions are not read: with either, nothing is claimed.
    /// `HTTP_Fixed_Response_Count` is quoted, and counts for all services behind the load balancer.
    /// While ECS is still creating the rule, nothing is said.
    ///
    /// For other services it is not known which hosts they should have: only the URL given with
    /// `--url` is matched against the rules, as a GET, on the listener of its port. Nothing is said
    /// where a rule may match it, depending on a header or the source address; where the default
    /// action redirects or forwards to the service; or where a probe finds that the name resolves
    /// elsewhere. Where the name resolves to is not known otherwise.
    ///
    /// # What to do
    ///
    /// Add the host to ECS's rule again, and put your own host in a separate rule (priority 10 or
    /// higher leaves room for ECS). `modify-rule` replaces all conditions, so repeat those that the
    /// rule has; where the rule is gone, create one for the endpoint:
    ///
    /// ```sh
    /// aws elbv2 modify-rule --rule-arn <rule> --conditions Field=host-header,Values=<hosts that it has>,<endpoint>
    /// aws elbv2 create-rule --listener-arn <listener> --priority <free> --conditions Field=host-header,Values=<your host> \
    ///   --actions Type=forward,TargetGroupArn=<target group>
    /// ```
    ///
    /// Terraform/OpenTofu: an `aws_lb_listener_rule` of your own for your own host; leave ECS's
    /// rule out of the code.
    ///
    /// # See also
    ///
    /// `rule_points_at_empty_group`, `managed_resource_failed`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-work.html>
    title: "No listener rule matches the host or the URL",
    severity: Critical,
    role: Cause,
    explains: [],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeListeners, DescribeRules, GetMetricData,
    ],
    example: on express, |snapshot| {
        let listener = snapshot.rules.0.keys().next().cloned();
        if let Some(rules) = listener.and_then(|listener| snapshot.rules.change(&listener)) {
            rules[0].conditions[0].values = vec!["www.example.com".into()];
        }
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let url = patient.asked_url();
    if !patient.is_express() && url.is_none() {
        return Err(NoAnswer::NotApplicable(
            "not an Express service and no --url given: which hosts it should have is not known",
        ));
    }
    let told = of_express(patient, findings)?;
    if let Some(url) = url.filter(|url| !told.contains(&url.host)) {
        of_url(patient, findings, &url)?;
    }
    Ok(())
}

/// The endpoints that ECS made and no rule takes.
fn of_express(patient: &Patient, findings: &mut Findings) -> Result<BTreeSet<String>, Blind> {
    let mut told = BTreeSet::new();
    let mut paths: Vec<(&str, &IngressPath)> = Vec::new();
    if patient.is_express() {
        for arn in &patient.service().current_service_revisions {
            paths.extend(
                patient
                    .revision(arn)?
                    .iter()
                    .flat_map(|revision| &revision.ingress_paths)
                    .map(|path| (arn.as_str(), path)),
            );
        }
    }
    if paths.is_empty() {
        return Ok(told);
    }
    let rules = traffic::all_rules(patient)?;
    for (revision, path) in paths {
        let (Some(endpoint), Some("ACTIVE")) =
            (path.endpoint.as_deref(), path.rule.as_ref().and_then(|rule| rule.status.as_deref()))
        else {
            continue;
        };
        if rules.iter().any(|(_, rule)| may_take(rule, endpoint)) {
            continue;
        }
        let Some((listener, default)) =
            rules.iter().find(|(listener, rule)| rule.is_default && is_of(listener, path))
        else {
            continue;
        };
        let counted = findings.see(counted(patient, listener)).flatten();
        let managed = path.rule.as_ref().and_then(|rule| rule.arn.as_deref());
        let rule = rules
            .iter()
            .find(|(_, rule)| Some(rule.rule_arn.as_str()) == managed)
            .map(|(_, rule)| *rule);
        let remedy = remedy(patient, listener, rule, endpoint)?;
        findings.add(finding(revision, endpoint, listener, default, counted).mend(remedy));
        told.insert(endpoint.trim_start_matches("https://").to_ascii_lowercase());
    }
    Ok(told)
}

/// The URL that the user asked about, if just the default action of a listener takes it, and by
/// itself.
fn of_url(patient: &Patient, findings: &mut Findings, url: &Url) -> Result<(), Blind> {
    let probed = patient
        .probe()
        .filter(|probe| parsed::<Url>(&probe.url).is_some_and(|probed| probed.host == url.host));
    if probed.is_some_and(|probe| probe::leads(probe) == Leads::Elsewhere) {
        return Ok(());
    }
    let meant = entry::balancer_for(patient, url)?;
    let mut default = None;
    for (listener, rule) in traffic::all_rules(patient)?
        .into_iter()
        .filter(|(listener, _)| listener.port == Some(url.port))
    {
        match (request::takes(rule, url), rule.is_default) {
            (Takes::No, _) => {}
            // A default that forwards or redirects serves the URL, and of several load balancers
            // the name may lead to any.
            (_, true)
                if rule.actions.last().is_none_or(|action| action.kind != "fixed-response") =>
            {
                return Ok(());
            }
            (_, true) if meant == Some(listener.load_balancer_arn.as_str()) => {
                default = default.or(Some((listener, rule)))
            }
            (_, true) => {}
            // Somebody may get through, or another service has the URL: the drawn request path
            // shows that.
            (_, false) => return Ok(()),
        }
    }
    let Some((listener, default)) = default else { return Ok(()) };
    let counted = findings.see(counted(patient, listener)).flatten();
    let claim = format!(
        "no rule of load balancer {} matches {url}, the URL given with --url: if its name resolves here, {}",
        traffic::balancer_name(&listener.load_balancer_arn),
        answer(default)
    );
    findings.add(
        Subject::new(Kind::Listener, &listener.listener_arn)
            .sick(claim, Evidence::new(Call::DescribeRules, &default.rule_arn, "IsDefault", true))
            .detail(counted_words(counted.as_ref()))
            .because_all(status(default))
            .because_all(counted.map(|counted| counted.evidence))
            .mend(new_rule(patient, listener, url)?)
            .concerns(Kind::Listener, &listener.listener_arn),
    );
    Ok(())
}

/// A condition on the host or the path, with its values.
type Wanted<'a> = (&'a str, Vec<&'a str>);

/// A rule beside those of a listener, which sends requests to the group of the service that has the
/// traffic now.
struct Beside<'a> {
    listener: &'a str,
    /// Behind all others: none of them takes the requests.
    priority: u32,
    /// None where the service has no group.
    group: Option<&'a str>,
    /// What to know of a service that has two groups.
    pair: &'static str,
}

impl<'a> Beside<'a> {
    fn new(patient: &Patient<'a>, listener: &'a Listener) -> Result<Beside<'a>, Blind> {
        let own = traffic::groups(patient)?;
        // Where no rule forwards to the service any more, its targets tell which group is the live
        // one.
        let serves =
            |group: &&&str| matches!(traffic::state(patient, group), Ok(GroupState::Serves));
        let serving = own.iter().find(serves);
        let live = traffic::live_groups(patient)?.intersection(&own).next().copied();
        let group = live.or(serving.or(own.first()).copied());
        let last = patient
            .rules(&listener.listener_arn)?
            .iter()
            .filter_map(|rule| parsed::<u32>(&rule.priority))
            .max();
        let pair = if own.len() > 1 {
            " Each deployment moves the traffic between the service's two target groups: update the rule each time."
        } else {
            ""
        };
        Ok(Beside {
            listener: &listener.listener_arn,
            priority: last.unwrap_or(0) + 1,
            group,
            pair,
        })
    }

    /// Express Mode keeps the first priorities for its own rules.
    fn after_express(self) -> Beside<'a> {
        Beside { priority: self.priority.max(10), ..self }
    }

    /// The group by the name that the user knows.
    fn name(&self) -> &'a str {
        self.group.map_or("the target group", traffic::group_name)
    }

    fn cli(&self, wanted: &[Wanted]) -> Command {
        let group = self.group.map_or_else(|| Word::needed("TARGET_GROUP_ARN"), Word::new);
        aws!(
            "elbv2 create-rule --listener-arn {} --priority {} --conditions",
            self.listener,
            self.priority
        )
        .args(in_cli(wanted))
        .and(words!("--actions Type=forward,TargetGroupArn={}", group))
    }

    fn terraform(&self, name: &str, wanted: &[Wanted]) -> Hcl {
        let condition = |(field, values): &Wanted| {
            hcl!(
                r#"
                condition {
                  {} {
                    values = {}
                  }
                }"#,
                Name(field),
                values
            )
        };
        hcl!(
            r#"
            resource "aws_lb_listener_rule" {} {
              listener_arn = {}
              priority     = {}
              action {
                type             = "forward"
                target_group_arn = {}
              }
              {}
            }"#,
            name,
            self.listener,
            self.priority,
            self.group.unwrap_or("<target group>"),
            Hcl::lines(wanted.iter().map(condition))
        )
    }
}

/// Conditions as the AWS CLI takes them.
fn in_cli(wanted: &[Wanted]) -> Vec<String> {
    let condition = |(field, values): &Wanted| format!("Field={field},Values={}", values.join(","));
    wanted.iter().map(condition).collect()
}

/// A rule for a URL that none takes.
fn new_rule(patient: &Patient, listener: &Listener, url: &Url) -> Result<Remedy, Blind> {
    let beside = Beside::new(patient, listener)?;
    let mut wanted = vec![("host-header", vec![url.host.as_str()])];
    // Where the host has rules already, it is the path that none of them takes.
    if patient
        .rules(&listener.listener_arn)?
        .iter()
        .any(|rule| !rule.is_default && request::names_host(rule, &url.host))
    {
        wanted.push(("path-pattern", vec![url.path.as_str()]));
    }
    Ok(Remedy::new(format!(
        "If the URL is meant for this service, create a rule for it that forwards to {}.{}",
        beside.name(),
        beside.pair
    ))
    .cli(beside.cli(&wanted))
    .terraform(beside.terraform("asked", &wanted)))
}

/// How an endpoint gets its requests again: by the rule that ECS created, if it is still there, or
/// by one like it.
fn remedy(
    patient: &Patient,
    listener: &Listener,
    rule: Option<&Rule>,
    endpoint: &str,
) -> Result<Remedy, Blind> {
    let beside = Beside::new(patient, listener)?.after_express();
    let Some((rule, has)) = rule.and_then(|rule| Some((rule, extendable(rule)?))) else {
        let wanted = [("host-header", vec![endpoint])];
        let why = if rule.is_some() {
            "has conditions that the endpoint does not match"
        } else {
            "is gone"
        };
        return Ok(Remedy::new(format!(
            "The rule that ECS created {why}: create a rule for the endpoint that forwards to {}.{}",
            beside.name(),
            beside.pair
        ))
        .cli(beside.cli(&wanted))
        .terraform(beside.terraform("endpoint", &wanted)));
    };
    // All conditions are replaced at once: a condition that is not repeated here would be gone.
    let mut wanted = has.clone();
    wanted
        .iter_mut()
        .filter(|(field, _)| *field == "host-header")
        .for_each(|(_, hosts)| hosts.push(endpoint));
    let summary = "Add the host to the rule that ECS created again, and keep what the rule has now. ECS may overwrite its rule: put a host of your own in a separate rule, with a priority of 10 or higher.";
    Ok(Remedy::new(format!("{summary}{}", beside.pair))
        .cli(
            aws!("elbv2 modify-rule --rule-arn {} --conditions", rule.rule_arn)
                .args(in_cli(&wanted)),
        )
        .terraform(beside.terraform("own_host", &has)))
}

/// The conditions of a rule that can take one more host: those that fit into a few words. A rule
/// has five values at most.
fn extendable(rule: &Rule) -> Option<Vec<Wanted<'_>>> {
    let fits = |it: &Condition| {
        matches!(it.field.as_str(), "host-header" | "path-pattern")
            && !it.values.is_empty()
            && it.regex_values.is_empty()
    };
    let values: usize = rule.conditions.iter().map(|condition| condition.values.len()).sum();
    let mut wanted = Vec::new();
    for condition in rule.conditions.iter().filter(|condition| fits(condition)) {
        wanted.push((
            condition.field.as_str(),
            condition.values.iter().map(String::as_str).collect(),
        ));
    }
    (values < 5 && wanted.len() == rule.conditions.len()).then_some(wanted)
}

/// Whether a rule takes requests for a host, or may. The default rule takes what nobody wants.
fn may_take(rule: &Rule, endpoint: &str) -> bool {
    let forwards = rule.actions.iter().any(|action| action.kind == "forward");
    (forwards || !rule.is_default) && request::may_take_host(rule, endpoint)
}

fn is_of(listener: &Listener, path: &IngressPath) -> bool {
    path.listener
        .as_ref()
        .and_then(|managed| managed.arn.as_deref())
        .is_none_or(|arn| arn == listener.listener_arn)
}

fn counted(patient: &Patient, listener: &Listener) -> Result<Option<metric::Recent>, Blind> {
    metric::recent(
        patient,
        Metric::FixedResponses,
        &listener.load_balancer_arn,
        SignedDuration::from_mins(15),
    )
}

/// What the default rule does with a request.
fn answer(default: &Rule) -> String {
    let action = default.actions.last();
    match (
        action.map(|action| action.kind.as_str()),
        action.and_then(|action| action.status_code.as_deref()),
    ) {
        (Some("fixed-response"), Some(code)) => {
            format!("the default action returns {code}")
        }
        (Some(kind), _) => format!("the default action ({kind}) answers"),
        (None, _) => "the default action answers".to_owned(),
    }
}

fn counted_words(counted: Option<&metric::Recent>) -> String {
    counted.map_or_else(String::new, |counted| {
        format!(
            "It returned {:.0} fixed responses in 15 min, counted for all services behind it.",
            counted.sum
        )
    })
}

/// The status code of a fixed response.
fn status(default: &Rule) -> Option<Evidence> {
    let code = default.actions.last()?.status_code.as_deref()?;
    Some(Evidence::new(
        Call::DescribeRules,
        &default.rule_arn,
        "Actions.FixedResponseConfig.StatusCode",
        code,
    ))
}

fn finding(
    revision: &str,
    endpoint: &str,
    listener: &Listener,
    default: &Rule,
    counted: Option<metric::Recent>,
) -> Finding {
    let balancer = traffic::balancer_name(&listener.load_balancer_arn);
    let claim = format!(
        "no rule of load balancer {balancer} matches {endpoint}, the service's own host: {}",
        answer(default)
    );
    Subject::new(Kind::Listener, &listener.listener_arn)
        .sick(
            claim,
            Evidence::new(
                Call::DescribeServiceRevisions,
                revision,
                "ingressPaths.endpoint",
                endpoint,
            ),
        )
        .detail(counted_words(counted.as_ref()))
        .because_all(status(default))
        .because_all(counted.map(|counted| counted.evidence))
        .concerns(Kind::Listener, &listener.listener_arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, EXPRESS_HOST, express_groups, forward, target};
    use crate::exam::Outcome;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    #[test]
    fn names_host_and_answer() {
        let said = says(CHECK, &(CHECK.example)());
        let expected = format!(
            "No rule of load balancer ecs-express-gateway-alb-1a2b3c4d matches {EXPRESS_HOST}, the service's own host: the default action returns 404."
        );
        assert_eq!(said, [expected]);
    }

    #[test]
    fn the_hosts_that_the_rule_has_stay_in_it() {
        let path = Condition {
            field: "path-pattern".into(),
            values: vec!["/v1/*".into()],
            ..Condition::default()
        };
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot)[0].conditions.push(path);
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        let conditions = format!(
            " --conditions 'Field=host-header,Values=www.example.com,{EXPRESS_HOST}' 'Field=path-pattern,Values=/v1/*'"
        );
        assert!(
            remedy.shell()[0].starts_with("aws elbv2 modify-rule ")
                && remedy.shell()[0].ends_with(&conditions),
            "{remedy:?}"
        );
        let terraform = remedy.terraform.unwrap();
        for wanted in [
            "listener_arn = \"arn:",
            "priority     = 10\n",
            "target_group_arn = \"arn:",
            "values = [\"www.example.com\"]",
        ] {
            assert!(terraform.contains(wanted), "{wanted}: {terraform}");
        }
        rules(&mut snapshot)[0].conditions[1].field = "http-header".into();
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(
            remedy.shell()[0].starts_with("aws elbv2 create-rule "),
            "requests without the header need a rule, too: {remedy:?}"
        );
    }

    #[test]
    fn a_rule_that_is_gone_is_made_anew() {
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot).remove(0);
        let [first, second] = express_groups();
        // Nothing but its targets tells which group is the live one.
        for (live, idle) in [(&first, &second), (&second, &first)] {
            snapshot
                .target_health
                .put(live, vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy")]);
            snapshot.target_health.put(idle, Vec::new());
            let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
            let command = format!(
                " --priority 10 --conditions 'Field=host-header,Values={EXPRESS_HOST}' --actions 'Type=forward,TargetGroupArn={live}'"
            );
            assert!(
                remedy.shell()[0].starts_with("aws elbv2 create-rule --listener-arn arn:")
                    && remedy.shell()[0].ends_with(&command),
                "{remedy:?}"
            );
            assert!(remedy.terraform.unwrap().contains(&format!("values = [\"{EXPRESS_HOST}\"]")));
        }
    }

    #[test]
    fn wildcards_and_case_match_as_aws_has_it() {
        for pattern in
            ["*.ECS.eu-west-2.on.aws", "ap-????????????????????????????????.ecs.eu-west-2.on.aws"]
        {
            let mut snapshot = (CHECK.example)();
            rules(&mut snapshot)[0].conditions[0].values.push(pattern.into());
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{pattern}");
        }
    }

    #[test]
    fn a_rule_for_every_host_or_a_default_that_forwards_takes_it() {
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot)[0].conditions.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let mut snapshot = (CHECK.example)();
        rules(&mut snapshot).last_mut().unwrap().actions =
            vec![forward(&[(&express_groups()[0], 1)])];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_regular_expression_may_be_the_one() {
        let mut snapshot = (CHECK.example)();
        let condition = &mut rules(&mut snapshot)[0].conditions[0];
        condition.values.clear();
        // AWS does not say whether it has to match the whole host.
        condition.regex_values = vec!["^ap-".into()];
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_rule_in_the_making_is_too_early() {
        let mut snapshot = (CHECK.example)();
        let revision = snapshot.services[0].current_service_revisions[0].clone();
        snapshot.revisions.change(&revision).unwrap().ingress_paths[0]
            .rule
            .as_mut()
            .unwrap()
            .status = Some("PROVISIONING".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    /// A service that is not Express's, and a URL that the user asks about.
    fn asked(url: &str, change: impl FnOnce(&mut Vec<Rule>)) -> Snapshot {
        let mut snapshot = baseline::fargate();
        change(rules(&mut snapshot));
        snapshot.url = Some(url.into());
        snapshot
    }

    #[test]
    fn a_url_that_was_asked_about_gets_the_default_action() {
        let snapshot = asked("https://www.example.com/v1", |_| {});
        let finding = &exam(CHECK, &snapshot).findings[0];
        assert_eq!(
            finding.says(),
            "No rule of load balancer web matches https://www.example.com/v1, the URL given with --url: if its name resolves here, the default action returns \
             404."
        );
        assert!(
            finding.remedy.shell()[0].contains(
                "--priority 11 --conditions 'Field=host-header,Values=www.example.com' --actions"
            ),
            "{:?}",
            finding.remedy
        );
    }

    #[test]
    fn a_path_without_a_rule_is_given_one_of_its_own() {
        let paths = |rules: &mut Vec<Rule>| {
            let path = Condition {
                field: "path-pattern".into(),
                values: vec!["/v1/*".into()],
                ..Condition::default()
            };
            rules[0].conditions.push(path);
        };
        assert!(says(CHECK, &asked("https://api.example.com/v1/a", paths)).is_empty());
        let finding = &exam(CHECK, &asked("https://api.example.com/v2/a", paths)).findings[0];
        assert!(
            finding.remedy.shell()[0].contains(
                "'Field=host-header,Values=api.example.com' 'Field=path-pattern,Values=/v2/a'"
            ),
            "{:?}",
            finding.remedy
        );
    }

    #[test]
    fn a_url_that_some_rule_may_take_or_a_default_serves_is_no_finding() {
        use crate::snapshot::Action;
        assert_eq!(
            exam(CHECK, &asked("https://api.example.com/", |_| {})).outcome,
            Outcome::Healthy
        );
        let by_header = |rules: &mut Vec<Rule>| {
            rules[0].conditions = vec![Condition {
                field: "http-header".into(),
                values: vec!["beta".into()],
                ..Condition::default()
            }];
        };
        assert_eq!(
            exam(CHECK, &asked("https://www.example.com/", by_header)).outcome,
            Outcome::Healthy
        );
        let redirects = |rules: &mut Vec<Rule>| {
            rules[1].actions = vec![Action { kind: "redirect".into(), ..Action::default() }]
        };
        assert_eq!(
            exam(CHECK, &asked("https://www.example.com/", redirects)).outcome,
            Outcome::Healthy
        );
        assert_eq!(
            exam(CHECK, &asked("https://www.example.com:8443/", |_| {})).outcome,
            Outcome::Healthy,
            "no listener is another matter"
        );
    }

    #[test]
    fn of_two_balancers_the_one_that_the_url_is_for_is_judged() {
        use crate::baseline::id;
        let mut snapshot = baseline::fargate();
        let zone =
            baseline::peers::other_balancer(&mut snapshot, "zone", "internal", "zone.example.com");
        snapshot
            .target_groups
            .change(&id::group("api"))
            .unwrap()
            .load_balancer_arns
            .push(zone.clone());
        let listener = snapshot.listeners.change(&zone).unwrap()[0].listener_arn.clone();
        let default = rules(&mut snapshot).iter().find(|rule| rule.is_default).cloned().unwrap();
        snapshot.rules.put(&listener, vec![Rule { rule_arn: "zone-default".into(), ..default }]);
        snapshot.url = Some("https://zone-987654321.eu-west-2.elb.amazonaws.com/".into());
        let said = says(CHECK, &snapshot);
        assert!(
            said.len() == 1 && said[0].starts_with("No rule of load balancer zone matches "),
            "{said:?}"
        );
        snapshot.rules.change(&listener).unwrap()[0].actions =
            vec![forward(&[(&id::group("api"), 1)])];
        assert!(says(CHECK, &snapshot).is_empty(), "its default serves the URL");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_the_rules_matter() {
        let mut snapshot = asked("https://www.example.com/", |_| {});
        snapshot.probe = Some(crate::snapshot::Probe {
            url: "https://www.example.com/".into(),
            addresses: vec!["198.51.100.7".into()],
            balancer_addresses: vec!["203.0.113.10".into()],
            ..Default::default()
        });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn nobody_knows_which_hosts_another_service_should_have() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
    }
}
