//! A path as far as it is the same for all requests: name, load balancer, security groups,
//! listener, web ACL, rule.

use std::slice;

use super::answer::{Answer, By, nobody, together};
use super::{Hop, HopKind, Mark, Path, endpoints};
use crate::aws::url::Url;
use crate::facts::inbound::entry::{dns_name, listener_name, redirected};
use crate::facts::inbound::inbound_rules::{self, InboundRules};
use crate::facts::inbound::probe::{self, Leads};
use crate::facts::inbound::request::{self, Takes};
use crate::facts::inbound::traffic::{self, Unread};
use crate::facts::inbound::web_acl;
use crate::patient::Patient;
use crate::seen::{Blind, Unseen};
use crate::snapshot::{Action, Listener, LoadBalancer, Rule};
use crate::text::{and_list, and_more, count, parsed};

/// A path while it is walked. A step that gives nothing has written down why the path ends there.
pub(super) struct Draft<'p, 'a> {
    pub(super) patient: &'p Patient<'a>,
    pub(super) path: Path,
    /// The web ACL on the path, if it blocks what no rule allows.
    allow_list: Option<&'a str>,
    /// There may be a web ACL on the path, which could not be seen.
    maybe_blocked: bool,
}

impl<'p, 'a> Draft<'p, 'a> {
    pub(super) fn new(patient: &'p Patient<'a>, url: &str) -> Draft<'p, 'a> {
        let answer = Answer::new(By::Unknown, None, "who answers is not known");
        Draft {
            patient,
            path: Path { url: url.to_owned(), hops: Vec::new(), branches: Vec::new(), answer },
            allow_list: None,
            maybe_blocked: false,
        }
    }

    pub(super) fn done(mut self) -> Path {
        let answered = !matches!(self.path.answer.by, By::Nobody | By::Unknown);
        if let Some(acl) = self.allow_list.filter(|_| answered) {
            self.path
                .answer
                .says
                .push_str(&format!("; web ACL {acl} answers 403 to what it does not allow"));
        }
        if self.maybe_blocked && answered {
            let unless = ", unless a web ACL, which could not be seen, blocks the request";
            self.path.answer.says.push_str(unless);
        }
        self.path
    }

    pub(super) fn good(
        &mut self,
        kind: HopKind,
        id: Option<&str>,
        short: impl Into<String>,
        says: impl Into<String>,
    ) {
        self.path.hops.push(Hop::new(kind, Mark::Good, id, short.into(), says.into()));
    }

    pub(super) fn ends(
        mut self,
        kind: HopKind,
        id: Option<&str>,
        says: String,
        answer: Answer,
    ) -> Path {
        self.end(kind, id, says, answer);
        self.done()
    }

    fn end(&mut self, kind: HopKind, id: Option<&str>, says: String, answer: Answer) {
        self.path.hops.push(Hop::new(kind, Mark::Bad, id, String::new(), says));
        self.path.answer = answer;
    }

    pub(super) fn hidden(mut self, kind: HopKind, blind: Blind) -> Path {
        self.path.hops.push(Hop::unseen(kind, blind));
        self.done()
    }

    /// A front that is not read: nothing is claimed from there on.
    pub(super) fn unread(mut self, front: &Unread) -> Path {
        let says = format!("{}, which is not read", front.words());
        let hop = Hop::new(HopKind::LoadBalancer, Mark::Unseen, None, String::new(), says);
        self.path.hops.push(Hop { missed: Some(front.blind()), ..hop });
        self.done()
    }

    /// Where the name leads. Only a probe asks DNS, so a name that is not the load balancer's own
    /// is a condition of all that follows.
    pub(super) fn name(&mut self, url: &Url, balancer: &str) -> Option<()> {
        let (host, id) = (&url.host, Some(url.host.as_str()));
        let probe = self
            .patient
            .probe()
            .filter(|probe| parsed::<Url>(&probe.url).is_some_and(|probed| probed.host == *host));
        let addresses = probe.map(|probe| and_list(&probe.addresses)).unwrap_or_default();
        match probe.map(probe::leads) {
            Some(Leads::Nowhere) => {
                self.end(
                    HopKind::Name,
                    id,
                    format!("{host} does not resolve"),
                    nobody("no connection is made"),
                );
                return None;
            }
            Some(Leads::Elsewhere) => {
                // A CDN may stand there and hand on to the load balancer: so the path goes on, for
                // what gets there.
                let says = format!(
                    "{host} resolves to {addresses}, none of the load balancer's: a CDN, an accelerator or a proxy is in front, or the DNS is wrong"
                );
                self.path.hops.push(Hop::new(HopKind::Name, Mark::Bad, id, String::new(), says));
            }
            Some(Leads::ToBalancer) => {
                let compared = match probe {
                    Some(probe) if probe.by_interfaces => {
                        "which the load balancer's network interfaces have"
                    }
                    _ => "as the load balancer's own name does",
                };
                self.good(
                    HopKind::Name,
                    id,
                    "",
                    format!("{host} resolves to {addresses}, {compared}"),
                );
            }
            Some(Leads::Unknown) | None => {
                let is_own = dns_name(self.patient, balancer)
                    .is_some_and(|own| own.eq_ignore_ascii_case(host));
                let says = match (is_own, self.is_managed(host)) {
                    (true, _) => format!("{host}, the load balancer's own name"),
                    (_, true) => format!("{host}, the name that ECS gave to the service"),
                    _ => format!("{host}, if it resolves to this load balancer"),
                };
                self.good(HopKind::Name, id, "", says);
            }
        }
        Some(())
    }

    /// Whether the host is an endpoint of an Express service.
    fn is_managed(&self, host: &str) -> bool {
        endpoints(self.patient).iter().any(|url| url.host == host)
    }

    /// Load balancer, security groups and listener.
    pub(super) fn enter(&mut self, listener: &Listener) -> Option<()> {
        let balancer = self.balancer(&listener.load_balancer_arn)?;
        self.admission(balancer, listener)?;
        let name = listener_name(listener);
        self.good(HopKind::Listener, Some(&listener.listener_arn), name.clone(), name);
        Some(())
    }

    pub(super) fn balancer(&mut self, arn: &str) -> Option<&'a LoadBalancer> {
        let name = traffic::balancer_name(arn);
        let balancer = match self.patient.load_balancer(arn) {
            Ok(Some(balancer)) => balancer,
            Ok(None) => {
                self.end(
                    HopKind::LoadBalancer,
                    Some(arn),
                    format!("{name} does not exist"),
                    nobody("the connection fails"),
                );
                return None;
            }
            Err(blind) => {
                self.path.hops.push(Hop::unseen(HopKind::LoadBalancer, blind));
                return None;
            }
        };
        let kind = balancer.load_balancer_type.as_deref().unwrap_or("load balancer");
        let scheme = balancer.scheme.as_deref().unwrap_or("scheme not known");
        let state = balancer.state.as_deref().unwrap_or("active");
        let says = format!(
            "{name}: {kind}, {scheme}, {state}, in {}",
            count(balancer.availability_zones.len(), "zone")
        );
        match state {
            "provisioning" | "failed" => {
                self.end(HopKind::LoadBalancer, Some(arn), says, nobody("the connection fails"));
                return None;
            }
            "active" => self.good(HopKind::LoadBalancer, Some(arn), name, says),
            _ => self.path.hops.push(Hop::new(
                HopKind::LoadBalancer,
                Mark::Bad,
                Some(arn),
                String::new(),
                says,
            )),
        }
        Some(balancer)
    }

    /// Which sources the load balancer's security groups allow on the listener's port.
    fn admission(&mut self, balancer: &LoadBalancer, listener: &Listener) -> Option<()> {
        let port = listener.port.unwrap_or_default();
        if balancer.security_groups.is_empty() {
            self.good(
                HopKind::SecurityGroups,
                None,
                String::new(),
                "every address: the load balancer has no security group",
            );
            return Some(());
        }
        let mut groups = Vec::new();
        for id in &balancer.security_groups {
            match self.patient.security_group(id) {
                Ok(group) => groups.extend(group),
                Err(blind) => {
                    self.path.hops.push(Hop::unseen(HopKind::SecurityGroups, blind));
                    return None;
                }
            }
        }
        let ids = balancer.security_groups.join(", ");
        let names = and_list(groups.iter().map(|group| &group.group_name));
        let inbound = InboundRules { balancer, listeners: slice::from_ref(listener), groups };
        let let_in = inbound.lets_in(self.patient, &mut Unseen::default(), |_| true);
        let mut sources: Vec<String> = Vec::new();
        for (v6, family) in [(false, "every IPv4 address"), (true, "every IPv6 address")] {
            match inbound_rules::world(&let_in.blocks, v6, port) {
                Some(_) => sources.push(family.into()),
                None => {
                    let here = let_in.blocks.iter().filter(|one| one.block.is_v6() == v6);
                    sources.extend(
                        here.map(|one| inbound_rules::source_name(self.patient, one.source())),
                    );
                }
            }
        }
        sources.extend(let_in.unknown(self.patient));
        sources.dedup();
        if sources.is_empty() {
            let answer = nobody("no connection gets through: clients time out");
            self.end(
                HopKind::SecurityGroups,
                Some(&ids),
                format!("port {port} closed to everyone ({names})"),
                answer,
            );
            return None;
        }
        self.good(
            HopKind::SecurityGroups,
            Some(&ids),
            String::new(),
            format!("port {port} open to {} ({names})", and_more(sources, 3)),
        );
        Some(())
    }

    /// What the web ACL before an application load balancer does; where there is none, there is no
    /// hop. One that could not be seen does not change where a request goes: the path goes on, and
    /// its answer is qualified.
    pub(super) fn guard(&mut self, listener: &Listener) {
        match web_acl::before(self.patient, &listener.load_balancer_arn) {
            Ok(None) => {}
            Ok(Some(acl)) => {
                let does = if web_acl::blocks_strangers(acl) {
                    self.allow_list = Some(&acl.name);
                    "blocks what no rule allows, with 403"
                } else if web_acl::blocks_nothing(acl) {
                    "blocks nothing"
                } else {
                    "allows what no rule blocks; the rest gets 403"
                };
                self.good(
                    HopKind::WebAcl,
                    Some(&acl.arn),
                    format!("web ACL {}", acl.name),
                    format!("{} {does}", acl.name),
                );
            }
            Err(blind) => {
                self.path.hops.push(Hop::unseen(HopKind::WebAcl, blind));
                self.maybe_blocked = true;
            }
        }
    }

    /// The first rule that takes the request. Rules before it that only perhaps take it are named.
    pub(super) fn choose(&mut self, rules: &[Rule], listener: &Listener, url: &Url) {
        let mut perhaps = Vec::new();
        for rule in rules {
            match request::takes(rule, url) {
                Takes::No => {}
                Takes::Perhaps(condition) => perhaps.push(format!(
                    "{} comes first for those with {}",
                    request::rule_name(rule),
                    request::words(condition)
                )),
                Takes::Yes => {
                    let before = if perhaps.is_empty() {
                        String::new()
                    } else {
                        format!("; {}", perhaps.join("; "))
                    };
                    let others = rules.iter().filter(|other| !other.is_default).count();
                    let words = match (rule.is_default, others) {
                        (false, _) => request::rule_words(rule),
                        (true, 0) => "default rule, the only one".into(),
                        (true, 1) => format!(
                            "default rule: the other one does not take {}{}",
                            url.host, url.path
                        ),
                        (true, others) => format!(
                            "default rule: of {others} others none takes {}{}",
                            url.host, url.path
                        ),
                    };
                    self.good(
                        HopKind::Rule,
                        Some(&rule.rule_arn),
                        request::rule_name(rule),
                        format!("{words}{before}"),
                    );
                    return self.act(&rule.actions, listener, url);
                }
            }
        }
        // A network load balancer may have no rules, only the default action of its listener.
        self.act(&listener.default_actions, listener, url);
    }

    /// What the rule does with the request.
    pub(super) fn act(&mut self, actions: &[Action], listener: &Listener, url: &Url) {
        let login = actions.iter().find(|action| {
            action.kind.starts_with("authenticate-") || action.kind == "jwt-validation"
        });
        if let (Some(login), Some(rule)) = (login, self.path.hops.last_mut()) {
            rule.says.push_str(&format!(
                "; first {}, and requests that fail it get the load balancer's own redirect or 401",
                login.kind
            ));
        }
        let Some(last) = actions.iter().rfind(|action| {
            !action.kind.starts_with("authenticate-") && action.kind != "jwt-validation"
        }) else {
            return;
        };
        let status = last.status_code.as_deref().map(|code| code.trim_start_matches("HTTP_"));
        match last.kind.as_str() {
            "forward" => self.forward(last, listener),
            "fixed-response" => {
                let code = status.unwrap_or("a code");
                if let Some(rule) = self.path.hops.last_mut() {
                    rule.says.push_str(&format!("; it answers {code} with a fixed response"));
                    rule.mark = Mark::Bad;
                }
                let says = format!(
                    "the load balancer answers {code} with a fixed response; the app never sees the request"
                );
                self.path.answer = Answer::new(By::LoadBalancer, status, says);
            }
            "redirect" => {
                let (location, next) = redirected(last, url);
                let code = status.unwrap_or("a redirect");
                if let Some(rule) = self.path.hops.last_mut() {
                    rule.says.push_str("; it redirects");
                }
                let says =
                    format!("the load balancer answers {code} and sends the client to {location}");
                self.path.answer = Answer {
                    location: Some(location),
                    next,
                    ..Answer::new(By::LoadBalancer, status, says)
                };
            }
            _ => {}
        }
    }

    fn forward(&mut self, action: &Action, listener: &Listener) {
        let weights = action.target_groups.iter().map(|group| group.weight);
        let total = weights.fold(0, i32::saturating_add);
        // Without any weight above 0 nothing is claimed: AWS does not say what happens then.
        let mut outcomes = Vec::new();
        for group in action.target_groups.iter().filter(|group| group.weight > 0) {
            let percent = f64::from(group.weight) * 100.0 / f64::from(total);
            let (branch, outcome) = self.branch(&group.target_group_arn, percent, listener);
            outcomes.push((percent, outcome));
            self.path.branches.push(branch);
        }
        if !outcomes.is_empty() {
            self.path.answer = together(&outcomes);
        }
    }
}
