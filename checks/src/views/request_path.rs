//! The path of a request, hop by hop: name, load balancer, security groups, listener, web ACL,
//! rule, target group, targets, tasks; and who makes the answer that the client sees. A hop that
//! could not be seen ends the path, unless it cannot turn it: nothing is claimed beyond it. The
//! path names no trouble and needs no evidence of its own: it shows how the facts that the checks
//! judge hang together.

mod answer;
mod branch;
mod mark;
mod walk;

use answer::nobody;
pub use answer::{Answer, By};
use schemars::JsonSchema;
use serde::Serialize;
use walk::Draft;

use crate::aws::url::Url;
use crate::facts::inbound::entry::{self, balancer_for, dns_name, listener_name};
use crate::facts::inbound::request;
use crate::facts::inbound::traffic;
use crate::patient::Patient;
use crate::seen::{Blind, Why};
use crate::snapshot::{Listener, Rule};
use crate::text::{and_list, parsed};

/// What a request meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "HopKind")]
#[serde(rename_all = "snake_case")]
pub enum HopKind {
    Name,
    LoadBalancer,
    SecurityGroups,
    Listener,
    WebAcl,
    Rule,
    TargetGroup,
    Targets,
    Tasks,
}

/// How a request fares at a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The request goes on from here as it should.
    Good,
    /// Something is wrong here, or the request ends here.
    Bad,
    /// We could not look.
    Unseen,
}

#[derive(Clone, Debug)]
pub struct Hop {
    pub kind: HopKind,
    pub mark: Mark,
    /// In a few words, for a path that is drawn in one line.
    pub short: String,
    pub says: String,
    /// The ARN or the name of what is met.
    pub id: Option<String>,
    pub missed: Option<Blind>,
}

/// A part of the requests: those that go to one target group.
#[derive(Clone, Debug)]
pub struct Branch {
    pub group: String,
    pub percent: f64,
    pub hops: Vec<Hop>,
}

#[derive(Clone, Debug)]
pub struct Path {
    /// `https://api.example.com/`; the host may be a pattern.
    pub url: String,
    /// What every request meets.
    pub hops: Vec<Hop>,
    /// Then its paths part, by weight.
    pub branches: Vec<Branch>,
    pub answer: Answer,
}

impl Path {
    /// Every hop, in the order of the path.
    pub fn all_hops(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().chain(self.branches.iter().flat_map(|branch| &branch.hops))
    }

    pub fn is_good(&self) -> bool {
        self.all_hops().all(|hop| hop.mark == Mark::Good) && self.answer.by == By::App
    }
}

/// The request paths of clients to the service; none without a load balancer.
pub fn own(patient: &Patient) -> Vec<Path> {
    let unread = traffic::unread(patient);
    let unread = unread.iter().map(|front| Draft::new(patient, patient.name()).unread(front));
    unread.chain(by_groups(patient)).collect()
}

/// The ways that lead to the service's target groups.
fn by_groups(patient: &Patient) -> Vec<Path> {
    let name = patient.name();
    let groups = match traffic::groups(patient) {
        Ok(groups) if groups.is_empty() => return Vec::new(),
        Ok(groups) => groups,
        Err(blind) => return vec![Draft::new(patient, name).hidden(HopKind::LoadBalancer, blind)],
    };
    let names = || and_list(groups.iter().map(|group| traffic::group_name(group)));
    let balancers = match traffic::balancers(patient) {
        Ok(balancers) if balancers.is_empty() => {
            let says = format!("no load balancer has target group {}", names());
            return vec![Draft::new(patient, name).ends(
                HopKind::LoadBalancer,
                None,
                says,
                nobody("no request can reach the service"),
            )];
        }
        Ok(balancers) => balancers,
        Err(blind) => return vec![Draft::new(patient, name).hidden(HopKind::LoadBalancer, blind)],
    };
    let is_own = |rule: &Rule| {
        let mut forwarded = rule.actions.iter().flat_map(|action| &action.target_groups);
        let test = patient
            .service()
            .load_balancers
            .iter()
            .any(|b| b.test_listener_rule.as_deref() == Some(rule.rule_arn.as_str()));
        !test && forwarded.any(|group| groups.contains(group.target_group_arn.as_str()))
    };
    let mut paths = Vec::new();
    for balancer in &balancers {
        let listeners = match patient.listeners(balancer) {
            Ok(listeners) => listeners,
            Err(blind) => {
                let mut draft = Draft::new(patient, traffic::balancer_name(balancer));
                paths.push(match draft.balancer(balancer) {
                    Some(_) => draft.hidden(HopKind::Listener, blind),
                    None => draft.done(),
                });
                continue;
            }
        };
        for listener in listeners {
            match patient.rules(&listener.listener_arn) {
                Ok(rules) => paths.extend(
                    rules
                        .iter()
                        .filter(|rule| is_own(rule))
                        .map(|rule| of_rule(patient, listener, rules, rule)),
                ),
                Err(blind) => paths.push(hidden_rules(patient, listener, blind)),
            }
        }
    }
    paths.extend(
        endpoints(patient)
            .iter()
            .filter(|url| !paths.iter().any(|path| is_for(path, url)))
            .map(|url| one_of_url(patient, url))
            .collect::<Vec<_>>(),
    );
    if paths.is_empty() {
        let mut draft = Draft::new(patient, name);
        for balancer in &balancers {
            if draft.balancer(balancer).is_none() {
                return vec![draft.done()];
            }
        }
        let says = format!(
            "no rule of {} forwards to target group {}",
            and_list(balancers.iter().map(|b| traffic::balancer_name(b))),
            names()
        );
        paths.push(draft.ends(
            HopKind::Rule,
            None,
            says,
            nobody("no request can reach the service"),
        ));
    }
    paths
}

/// The URLs that ECS gave to an Express service: they are request paths, whatever the rules say
/// now.
fn endpoints(patient: &Patient) -> Vec<Url> {
    match traffic::ingress_paths(patient) {
        Ok(paths) => paths.iter().filter_map(|path| parsed(path.endpoint.as_deref()?)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether a path is about the URL's host, or ends before that is known.
fn is_for(path: &Path, url: &Url) -> bool {
    parsed::<Url>(&path.url).is_some_and(|of| of.host == url.host)
        || path.hops.iter().any(|hop| hop.mark == Mark::Unseen && hop.kind != HopKind::WebAcl)
}

fn is_http(listener: &Listener) -> bool {
    matches!(listener.protocol.as_deref(), Some("HTTP" | "HTTPS"))
}

/// The URL that a rule takes: of wildcards in its path nothing is left, which `*` takes too; one in
/// its host stays.
fn example(patient: &Patient, listener: &Listener, rule: &Rule) -> Url {
    let first = |field: &str| {
        rule.conditions
            .iter()
            .find(|condition| condition.field == field)
            .and_then(|condition| condition.values.first())
    };
    let balancer = listener.load_balancer_arn.as_str();
    let host = first("host-header").map_or_else(
        || dns_name(patient, balancer).unwrap_or(traffic::balancer_name(balancer)),
        String::as_str,
    );
    let path = first("path-pattern")
        .map_or_else(|| "/".to_owned(), |pattern| pattern.replace('*', "").replace('?', "x"));
    Url {
        scheme: listener.protocol.as_deref().unwrap_or("tcp").to_ascii_lowercase(),
        host: host.to_owned(),
        port: listener.port.unwrap_or_default(),
        path: if is_http(listener) { path } else { String::new() },
        query: None,
    }
}

fn hidden_rules(patient: &Patient, listener: &Listener, blind: Blind) -> Path {
    let name = format!(
        "{} {}",
        traffic::balancer_name(&listener.load_balancer_arn),
        listener_name(listener)
    );
    let mut draft = Draft::new(patient, &name);
    if draft.enter(listener).is_none() {
        return draft.done();
    }
    draft.guard(listener);
    draft.hidden(HopKind::Rule, blind)
}

/// The way through one rule of the service. A rule before it may take all its requests.
fn of_rule(patient: &Patient, listener: &Listener, rules: &[Rule], rule: &Rule) -> Path {
    let url = example(patient, listener, rule);
    let mut draft = Draft::new(patient, &url.to_string());
    if draft.name(&url, &listener.load_balancer_arn).and_then(|()| draft.enter(listener)).is_none()
    {
        return draft.done();
    }
    draft.guard(listener);
    if let Some(first) = request::taken_before(rules, rule) {
        let says = format!(
            "{} comes before {} and takes all its requests",
            request::rule_within(first),
            request::rule_within(rule)
        );
        draft.path.hops.push(Hop::new(
            HopKind::Rule,
            Mark::Bad,
            Some(&first.rule_arn),
            String::new(),
            says,
        ));
        draft.act(&first.actions, listener, &url);
        return draft.done();
    }
    draft.good(
        HopKind::Rule,
        Some(&rule.rule_arn),
        request::rule_name(rule),
        request::rule_words(rule),
    );
    draft.act(&rule.actions, listener, &url);
    draft.done()
}

/// The path of a request for one URL, and, where that is a redirect to the same host, the path of
/// the next one.
pub fn of_url(patient: &Patient, url: &Url) -> Vec<Path> {
    let mut paths = vec![one_of_url(patient, url)];
    if let Some(next) = paths[0].answer.next.clone()
        && next.host == url.host
        && next != *url
    {
        paths.push(one_of_url(patient, &next));
    }
    paths
}

fn one_of_url(patient: &Patient, url: &Url) -> Path {
    let mut draft = Draft::new(patient, &url.to_string());
    let balancer = match balancer_for(patient, url) {
        Ok(Some(balancer)) => balancer,
        Ok(None) => {
            return draft.ends(
                HopKind::LoadBalancer,
                None,
                "the service has no load balancer".into(),
                nobody("no request can reach the service"),
            );
        }
        Err(blind) => return draft.hidden(HopKind::LoadBalancer, blind),
    };
    if draft.name(url, balancer).is_none() {
        return draft.done();
    }
    let listeners = match patient.listeners(balancer) {
        Ok(listeners) => listeners,
        Err(blind) => {
            return match draft.balancer(balancer) {
                Some(_) => draft.hidden(HopKind::Listener, blind),
                None => draft.done(),
            };
        }
    };
    let Some(listener) = entry::listener_for(listeners, url) else {
        if draft.balancer(balancer).is_none() {
            return draft.done();
        }
        let others = and_list(listeners.iter().map(listener_name));
        let says = format!(
            "none on port {}; the load balancer listens on {}",
            url.port,
            if others.is_empty() { "no port" } else { &others }
        );
        return draft.ends(HopKind::Listener, None, says, nobody("the connection fails"));
    };
    if draft.enter(listener).is_none() {
        return draft.done();
    }
    if !entry::speaks(listener, url) {
        let speaks = listener_name(listener);
        draft.path.hops.pop();
        let says = format!("{speaks}, which does not speak {}", url.scheme);
        return draft.ends(
            HopKind::Listener,
            Some(&listener.listener_arn),
            says,
            nobody("the connection fails"),
        );
    }
    draft.guard(listener);
    match patient.rules(&listener.listener_arn) {
        Ok(rules) => draft.choose(rules, listener, url),
        Err(blind) => return draft.hidden(HopKind::Rule, blind),
    }
    draft.done()
}

impl Hop {
    fn new(kind: HopKind, mark: Mark, id: Option<&str>, short: String, says: String) -> Hop {
        Hop { kind, mark, short, says, id: id.map(str::to_owned), missed: None }
    }

    fn unseen(kind: HopKind, blind: Blind) -> Hop {
        let origin = blind.origin();
        let why = match origin.why {
            Why::Denied(_) => "was denied",
            Why::NoAnswer(_) => "was not answered",
            Why::Unreadable(_) => "got an answer that cannot be read",
            Why::Declined | Why::NotAsked | Why::Behind(_) => "is not in the snapshot",
        };
        Hop {
            missed: Some(blind.clone()),
            ..Hop::new(
                kind,
                Mark::Unseen,
                None,
                String::new(),
                format!("not seen: {} {why}", origin.call.action()),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, express_groups, forward, host_rule, id, target, unhealthy};
    use crate::call::Call;
    use crate::patient::Intent;
    use crate::seen::Seen;
    use crate::snapshot::{Action, Condition, Probe, Snapshot, Task};

    fn with<T>(snapshot: &Snapshot, hidden: &[Call], look: impl FnOnce(&Patient) -> T) -> T {
        let intent = Intent::default();
        look(
            &Patient::new(snapshot, &snapshot.services[0], &intent)
                .blindfolded(hidden.iter().copied()),
        )
    }

    fn own(snapshot: &Snapshot) -> Vec<Path> {
        with(snapshot, &[], super::own)
    }

    fn asked(snapshot: &Snapshot, url: &str) -> Vec<Path> {
        with(snapshot, &[], |patient| of_url(patient, &url.parse().unwrap()))
    }

    fn drawn(path: &Path) -> Vec<String> {
        let mark = |mark| match mark {
            Mark::Good => '✓',
            Mark::Bad => '✗',
            Mark::Unseen => '?',
        };
        let kind =
            |kind| serde_json::to_value::<HopKind>(kind).unwrap().as_str().unwrap().to_owned();
        path.all_hops()
            .map(|hop| format!("{} {}: {}", mark(hop.mark), kind(hop.kind), hop.says))
            .collect()
    }

    fn rules(snapshot: &mut Snapshot) -> &mut Vec<Rule> {
        let listener = snapshot.rules.0.keys().next().cloned().unwrap();
        snapshot.rules.change(&listener).unwrap()
    }

    fn listener(snapshot: &mut Snapshot) -> &mut Listener {
        let balancer = snapshot.listeners.0.keys().next().cloned().unwrap();
        &mut snapshot.listeners.change(&balancer).unwrap()[0]
    }

    fn condition(field: &str, value: &str) -> Condition {
        Condition { field: field.into(), values: vec![value.into()], ..Condition::default() }
    }

    #[test]
    fn every_hop_of_a_healthy_service_is_told() {
        let paths = own(&baseline::fargate());
        assert_eq!(paths.len(), 1);
        assert_eq!(paths[0].url, "https://api.example.com/");
        assert_eq!(
            drawn(&paths[0]),
            [
                "✓ name: api.example.com, if it resolves to this load balancer",
                "✓ load_balancer: web: application, internet-facing, active, in 2 zones",
                "✓ security_groups: port 443 open to 203.0.113.0/24 and 198.51.100.0/24 (web-balancer)",
                "✓ listener: HTTPS:443",
                "✓ web_acl: web allows what no rule blocks; the rest gets 403",
                "✓ rule: rule 10: host api.example.com",
                "✓ target_group: api gets all requests",
                "✓ targets: 2 of 2 targets healthy",
                "✓ tasks: 2 tasks of api:12",
            ]
        );
        assert_eq!(
            (paths[0].answer.by, paths[0].answer.says.as_str()),
            (By::App, "the app answers")
        );
        assert!(paths[0].is_good());
    }

    #[test]
    fn healthy_services_have_only_good_ways() {
        for (name, make) in baseline::ALL {
            let paths = own(&make());
            assert_eq!(paths.is_empty(), *name == "worker", "{name}");
            assert!(paths.iter().all(Path::is_good), "{name}: {paths:#?}");
            assert!(
                paths.iter().all(|path| path.branches.len() == 1),
                "{name}: the idle half is no way"
            );
        }
    }

    #[test]
    fn without_a_target_the_balancer_answers_and_no_task_is_named() {
        let mut snapshot = baseline::fargate();
        snapshot.target_health.put(id::group("api"), Vec::new());
        let path = own(&snapshot).remove(0);
        assert_eq!(drawn(&path).last().unwrap(), "✗ targets: no target is registered");
        assert_eq!(
            (path.answer.by, path.answer.status.as_deref()),
            (By::LoadBalancer, Some("503"))
        );
        assert_eq!(path.answer.says, "the load balancer answers 503 itself");
    }

    #[test]
    fn weights_part_the_way() {
        let mut snapshot = baseline::express();
        let [live, idle] = express_groups();
        rules(&mut snapshot)[0].actions = vec![forward(&[(&live, 950), (&idle, 50)])];
        let path = own(&snapshot).remove(0);
        assert_eq!(
            path.branches.iter().map(|branch| branch.percent).collect::<Vec<_>>(),
            [95.0, 5.0]
        );
        assert_eq!((path.answer.by, path.answer.status.as_deref()), (By::Both, Some("503")));
        assert_eq!(
            path.answer.says,
            "the app answers about 95 %, and the load balancer answers 503 itself to about 5 %"
        );
    }

    #[test]
    fn a_closed_door_ends_the_way() {
        let mut snapshot = baseline::fargate();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.clear();
        let path = own(&snapshot).remove(0);
        assert_eq!(
            drawn(&path).last().unwrap(),
            "✗ security_groups: port 443 closed to everyone (web-balancer)"
        );
        assert_eq!(path.answer.by, By::Nobody);
    }

    #[test]
    fn a_web_acl_is_met_before_the_rules_where_there_is_one() {
        let mut snapshot = baseline::fargate();
        let web_acl = |snapshot: &Snapshot| {
            drawn(&own(snapshot)[0]).into_iter().find(|hop| hop.contains("web_acl"))
        };
        let balancer = snapshot.web_acls.0.keys().next().cloned().unwrap();
        snapshot.web_acls.change(&balancer).unwrap().rules.clear();
        assert_eq!(web_acl(&snapshot).unwrap(), "✓ web_acl: web blocks nothing");
        snapshot.web_acls.change(&balancer).unwrap().default_action = Some("Block".into());
        assert_eq!(
            web_acl(&snapshot).unwrap(),
            "✓ web_acl: web blocks what no rule allows, with 403"
        );
        assert_eq!(
            own(&snapshot)[0].answer.says,
            "the app answers; web ACL web answers 403 to what it does not allow"
        );
        snapshot.web_acls.insert(balancer, Seen::Yes(None));
        assert_eq!(web_acl(&snapshot), None);
    }

    #[test]
    fn a_web_acl_that_is_not_seen_does_not_end_the_way_and_qualifies_the_answer() {
        let hidden = [Call::GetWebAclForResource];
        let unless = "unless a web ACL, which could not be seen, blocks the request";
        for paths in [
            with(&baseline::fargate(), &hidden, super::own),
            with(&baseline::fargate(), &hidden, |patient| {
                of_url(patient, &"https://api.example.com/".parse().unwrap())
            }),
        ] {
            let drawn = drawn(&paths[0]);
            assert!(
                drawn
                    .contains(&"? web_acl: not seen: wafv2:GetWebACLForResource was denied".into())
            );
            assert_eq!(drawn.last().unwrap(), "✓ tasks: 2 tasks of api:12");
            assert_eq!(paths[0].answer.by, By::App);
            assert_eq!(paths[0].answer.says, format!("the app answers, {unless}"));
        }
        let hidden = [Call::GetWebAclForResource, Call::DescribeRules];
        let path = with(&baseline::fargate(), &hidden, super::own).remove(0);
        assert_eq!(path.answer.says, "who answers is not known");
    }

    #[test]
    fn nothing_is_claimed_beyond_a_hop_that_is_not_seen() {
        for (call, kind) in [
            (Call::DescribeTargetGroups, HopKind::LoadBalancer),
            (Call::DescribeLoadBalancers, HopKind::LoadBalancer),
            (Call::DescribeSecurityGroups, HopKind::SecurityGroups),
            (Call::DescribeListeners, HopKind::Listener),
            (Call::DescribeRules, HopKind::Rule),
            (Call::DescribeTargetHealth, HopKind::Targets),
            (Call::DescribeTasks, HopKind::Tasks),
        ] {
            for paths in [
                with(&baseline::fargate(), &[call], super::own),
                with(&baseline::fargate(), &[call], |patient| {
                    of_url(patient, &"https://api.example.com/".parse().unwrap())
                }),
            ] {
                let hops: Vec<&Hop> = paths[0].all_hops().collect();
                let last = hops.last().unwrap();
                assert_eq!(
                    (paths.len(), last.kind, last.mark),
                    (1, kind, Mark::Unseen),
                    "{call:?}"
                );
                assert!(hops.iter().rev().skip(1).all(|hop| hop.mark == Mark::Good), "{call:?}");
                assert_eq!(paths[0].answer.by, By::Unknown, "{call:?}");
                assert_eq!(last.says, format!("not seen: {} was denied", call.action()));
            }
        }
        let express = with(&baseline::express(), &[Call::DescribeServiceRevisions], super::own);
        assert_eq!((express.len(), express[0].hops[0].mark), (1, Mark::Unseen));
    }

    #[test]
    fn a_host_that_no_rule_takes_gets_the_default_action() {
        let path = asked(&baseline::fargate(), "https://www.example.com/v1?x=1").remove(0);
        assert_eq!(path.url, "https://www.example.com/v1");
        let last = drawn(&path).pop().unwrap();
        assert_eq!(
            last,
            "✗ rule: default rule: the other one does not take www.example.com/v1; it answers 404 with a fixed response"
        );
        assert_eq!(
            (path.answer.by, path.answer.status.as_deref()),
            (By::LoadBalancer, Some("404"))
        );
    }

    #[test]
    fn a_port_without_a_listener_and_the_wrong_scheme_end_the_way() {
        let path = asked(&baseline::fargate(), "https://api.example.com:8443/").remove(0);
        assert_eq!(
            drawn(&path).pop().unwrap(),
            "✗ listener: none on port 8443; the load balancer listens on HTTPS:443"
        );
        let path = asked(&baseline::fargate(), "http://api.example.com:443/").remove(0);
        assert_eq!(drawn(&path).pop().unwrap(), "✗ listener: HTTPS:443, which does not speak http");
        assert_eq!(path.answer.by, By::Nobody);
        let mut snapshot = baseline::fargate();
        listener(&mut snapshot).protocol = Some("TLS".into());
        let path = asked(&snapshot, "http://api.example.com:443/").remove(0);
        assert_eq!(
            (drawn(&path).pop().unwrap().as_str(), path.answer.by),
            ("✗ listener: TLS:443, which does not speak http", By::Nobody)
        );
    }

    #[test]
    fn a_listener_of_udp_asks_for_rules_of_udp() {
        let mut snapshot = baseline::fargate();
        (listener(&mut snapshot).protocol, listener(&mut snapshot).port) =
            (Some("UDP".into()), Some(53));
        let mut door = |protocol: &str| {
            snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions =
                vec![baseline::everywhere(protocol, Some(53))];
            drawn(&own(&snapshot)[0])[2].clone()
        };
        assert_eq!(
            door("udp"),
            "✓ security_groups: port 53 open to every IPv4 address (web-balancer)"
        );
        assert_eq!(door("tcp"), "✗ security_groups: port 53 closed to everyone (web-balancer)");
        listener(&mut snapshot).protocol = Some("TCP_UDP".into());
        assert!(
            own(&snapshot)[0]
                .hops
                .iter()
                .any(|hop| hop.kind == HopKind::SecurityGroups && hop.mark == Mark::Good),
            "either will do"
        );
    }

    #[test]
    fn a_redirect_leads_to_the_next_way() {
        let mut snapshot = baseline::fargate();
        let balancer = listener(&mut snapshot).load_balancer_arn.clone();
        let http = Listener {
            listener_arn: "http".into(),
            load_balancer_arn: balancer.clone(),
            port: Some(80),
            protocol: Some("HTTP".into()),
            ..Listener::default()
        };
        snapshot.listeners.change(&balancer).unwrap().push(http);
        let redirect = Action {
            kind: "redirect".into(),
            status_code: Some("HTTP_301".into()),
            redirect_protocol: Some("HTTPS".into()),
            redirect_port: Some("443".into()),
            redirect_host: Some("#{host}".into()),
            redirect_path: Some("/#{path}".into()),
            ..Action::default()
        };
        snapshot.rules.put(
            "http",
            vec![Rule {
                priority: "default".into(),
                is_default: true,
                actions: vec![redirect],
                ..Rule::default()
            }],
        );
        let clients = &mut snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions;
        clients.push(baseline::everywhere("tcp", Some(80)));
        let paths = asked(&snapshot, "http://api.example.com/v1");
        assert_eq!(
            paths[0].answer.says,
            "the load balancer answers 301 and sends the client to https://api.example.com/v1"
        );
        assert_eq!(
            (paths.len(), paths[1].url.as_str(), paths[1].answer.by),
            (2, "https://api.example.com/v1", By::App)
        );
        assert_eq!(own(&snapshot).len(), 1, "a redirect is no way of its own");
        // The query goes along, and is not shown.
        for rules in snapshot.rules.0.values_mut() {
            let Seen::Yes(Some(rules)) = rules else { continue };
            rules
                .iter_mut()
                .filter(|rule| !rule.is_default)
                .for_each(|rule| rule.conditions.push(condition("query-string", "v=1")));
        }
        let paths = asked(&snapshot, "http://api.example.com/v1?v=1");
        assert_eq!(paths[0].answer.location.as_deref(), Some("https://api.example.com/v1"));
        assert_eq!(
            (paths[1].url.as_str(), paths[1].answer.by),
            ("https://api.example.com/v1", By::App)
        );
        let redirect = &mut snapshot.rules.change("http").unwrap()[0].actions[0];
        (redirect.redirect_host, redirect.redirect_path) =
            (Some("www.example.com".into()), Some("/#{host}/#{path}/#{query}".into()));
        let answer = asked(&snapshot, "http://api.example.com/v1?v=1").remove(0).answer;
        assert_eq!(
            answer.location.as_deref(),
            Some("https://www.example.com/api.example.com/v1/#{query}")
        );
    }

    #[test]
    fn a_rule_that_takes_some_of_the_requests_before_is_named() {
        let mut snapshot = baseline::fargate();
        let canary = Rule {
            conditions: vec![Condition {
                name: Some("X-Canary".into()),
                ..condition("http-header", "1")
            }],
            ..host_rule("canary", "5", "api.example.com", forward(&[("other", 1)]))
        };
        rules(&mut snapshot).insert(0, canary);
        let path = asked(&snapshot, "https://api.example.com/").remove(0);
        assert!(
            drawn(&path).contains(&"✓ rule: rule 10: host api.example.com; rule 5 comes first for those with header X-Canary".into()),
            "{:#?}",
            drawn(&path)
        );
        assert!(path.is_good());
    }

    #[test]
    fn a_rule_that_takes_everything_before_hides_the_way() {
        let mut snapshot = baseline::fargate();
        let closed = Action {
            kind: "fixed-response".into(),
            status_code: Some("503".into()),
            ..Action::default()
        };
        let wide = Rule {
            conditions: vec![condition("path-pattern", "*")],
            ..host_rule("wide", "1", "", closed)
        };
        rules(&mut snapshot).insert(0, wide.clone());
        let path = own(&snapshot).remove(0);
        assert_eq!(
            drawn(&path).pop().unwrap(),
            "✗ rule: rule 1 (path *) comes before rule 10 (host api.example.com) and takes all its requests; it answers 503 with a fixed response"
        );
        assert_eq!(
            (path.answer.by, path.answer.status.as_deref()),
            (By::LoadBalancer, Some("503"))
        );
        rules(&mut snapshot)[0].conditions[0].values = vec!["/static/*".into()];
        assert!(own(&snapshot)[0].is_good(), "a part of the paths is no matter");
    }

    #[test]
    fn a_network_balancer_has_no_groups_no_conditions_and_no_status_codes() {
        let mut snapshot = baseline::fargate();
        let group = id::group("api");
        let listener = listener(&mut snapshot);
        listener.protocol = Some("TCP".into());
        let balancer = listener.load_balancer_arn.clone();
        snapshot.load_balancers.change(&balancer).unwrap().security_groups.clear();
        *rules(&mut snapshot) = vec![Rule {
            is_default: true,
            priority: "default".into(),
            actions: vec![forward(&[(&group, 1)])],
            ..Rule::default()
        }];
        let path = own(&snapshot).remove(0);
        assert_eq!(path.url, "tcp://web-1234567890.eu-west-2.elb.amazonaws.com:443");
        assert!(drawn(&path).contains(
            &"✓ security_groups: every address: the load balancer has no security group".into()
        ));
        assert!(path.is_good(), "{path:#?}");
        snapshot.target_health.put(&group, Vec::new());
        let answer = own(&snapshot).remove(0).answer;
        assert_eq!(
            (answer.by, answer.status, answer.says.as_str()),
            (By::Nobody, None, "the connection fails")
        );
    }

    #[test]
    fn of_targets_that_are_all_unhealthy_the_failure_tells_who_answers() {
        for (reason, description, by, status) in [
            (
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [404]",
                By::App,
                None,
            ),
            ("Target.FailedHealthChecks", "Health checks failed", By::LoadBalancer, Some("502")),
            ("Target.Timeout", "Request timed out", By::Unknown, None),
        ] {
            let mut snapshot = baseline::fargate();
            snapshot
                .target_health
                .put(id::group("api"), vec![unhealthy("10.0.1.21", 8080, reason, description)]);
            let path = own(&snapshot).remove(0);
            assert_eq!((path.answer.by, path.answer.status.as_deref()), (by, status), "{reason}");
            assert!(
                status.is_none() || path.answer.says.contains("likely"),
                "{}",
                path.answer.says
            );
            assert!(!path.is_good(), "unhealthy all the same");
        }
        let mut snapshot = baseline::fargate();
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        snapshot.target_health.put(
            id::group("api"),
            vec![unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", "Health checks failed")],
        );
        assert_eq!(
            own(&snapshot)[0].answer.says,
            "the app answers, or, where it does not, the load balancer with 502 or 504",
            "another port"
        );
    }

    #[test]
    fn versions_are_told_apart_and_strangers_are_no_tasks() {
        let mut snapshot = baseline::fargate();
        let arn = snapshot.services[0].service_arn.clone();
        let tasks: &mut Vec<Task> = snapshot.running_tasks.change(&arn).unwrap();
        tasks[1].task_definition_arn = tasks[1].task_definition_arn.replace(":12", ":13");
        assert_eq!(
            drawn(&own(&snapshot)[0]).pop().unwrap(),
            "✓ tasks: 1 task of api:12 and 1 task of api:13"
        );
        snapshot
            .target_health
            .put(id::group("api"), vec![target("10.0.9.9", 8080, "eu-west-2a", "healthy")]);
        let path = own(&snapshot).remove(0);
        assert_eq!(
            drawn(&path).pop().unwrap(),
            "✗ tasks: 1 target that no running task of api has"
        );
        assert_eq!(path.answer.by, By::Unknown);
    }

    #[test]
    fn a_prefix_list_is_named_and_an_empty_one_lets_nobody_in() {
        let mut snapshot = baseline::ec2();
        let door = |snapshot: &Snapshot| drawn(&own(snapshot)[0])[2].clone();
        assert_eq!(
            door(&snapshot),
            "✓ security_groups: port 443 open to 203.0.113.0/24 and pl-9a47e5 (partner) (web-balancer)"
        );
        snapshot.prefix_lists.put("pl-9a47e5", vec!["0.0.0.0/0".into()]);
        assert_eq!(
            door(&snapshot),
            "✓ security_groups: port 443 open to every IPv4 address (web-balancer)"
        );
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions.remove(0);
        snapshot.prefix_lists.put("pl-9a47e5", Vec::new());
        assert_eq!(
            door(&snapshot),
            "✗ security_groups: port 443 closed to everyone (web-balancer)"
        );
    }

    #[test]
    fn a_probe_tells_where_the_name_leads() {
        let mut snapshot = baseline::fargate();
        let probe = |address: &str| Probe {
            url: "https://api.example.com/".into(),
            addresses: vec![address.into()],
            balancer_addresses: vec!["203.0.113.10".into()],
            ..Probe::default()
        };
        snapshot.probe = Some(probe("203.0.113.10"));
        assert_eq!(
            drawn(&own(&snapshot)[0])[0],
            "✓ name: api.example.com resolves to 203.0.113.10, as the load balancer's own name does"
        );
        snapshot.probe = Some(Probe { by_interfaces: true, ..probe("203.0.113.10") });
        assert_eq!(
            drawn(&own(&snapshot)[0])[0],
            "✓ name: api.example.com resolves to 203.0.113.10, which the load balancer's network interfaces have"
        );
        snapshot.probe = Some(probe("198.51.100.7"));
        let path = own(&snapshot).remove(0);
        assert_eq!(
            drawn(&path)[0],
            "✗ name: api.example.com resolves to 198.51.100.7, none of the load balancer's: a CDN, an accelerator or a proxy is in front, or the DNS is wrong"
        );
        assert!(path.hops.len() > 1 && !path.is_good());
    }

    #[test]
    fn the_host_that_ecs_gave_is_a_way_in_though_no_rule_takes_it() {
        let mut snapshot = baseline::express();
        rules(&mut snapshot)[0].conditions[0].values = vec!["www.example.com".into()];
        let paths = own(&snapshot);
        assert_eq!(
            paths.iter().map(|path| path.answer.by).collect::<Vec<_>>(),
            [By::App, By::LoadBalancer]
        );
        assert_eq!(paths[1].url, format!("https://{}/", baseline::EXPRESS_HOST));
    }

    #[test]
    fn a_group_without_a_balancer_or_a_rule_has_no_way() {
        let mut snapshot = baseline::fargate();
        rules(&mut snapshot).remove(0);
        assert_eq!(
            drawn(&own(&snapshot)[0]).pop().unwrap(),
            "✗ rule: no rule of web forwards to target group api"
        );
        snapshot.target_groups.change(&id::group("api")).unwrap().load_balancer_arns.clear();
        assert_eq!(
            drawn(&own(&snapshot)[0]),
            ["✗ load_balancer: no load balancer has target group api"]
        );
    }
}
