//! From what the user typed to one service: a name, `cluster/service`, an ARN, or the URL or host
//! that fails.

use std::collections::BTreeSet;

use checks::aws::url::Url;
use checks::call::Call;
use checks::facts::inbound::request::{Takes, names_host, takes};
use checks::seen::{Seen, Why};
use checks::snapshot::{ClusterServices, Listener, LoadBalancer, Revision, Rule, Service};
use futures::future::{join, join_all};

use super::{Aws, last};

/// What the user typed, taken apart; nothing has been asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Name {
        service: String,
        cluster: Option<String>,
    },
    /// A host alone, or with the rest of its URL.
    Host {
        host: String,
        url: Option<Url>,
    },
}

/// Why there is no service to examine.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    #[error("no service {name} in {place}{}", nearest(.names))]
    NoSuchService { name: String, place: String, names: Vec<String> },
    #[error("no cluster {0} in this account and region")]
    NoSuchCluster(String),
    #[error("no service of this account and region answers for {asked}{}", .told.as_deref().map(|told| format!(": {told}")).unwrap_or_default())]
    NoServiceFor { asked: String, told: Option<String> },
    #[error("{name} is in several places: {}; name one of them", .places.join(", "))]
    Ambiguous { name: String, places: Vec<String> },
    #[error("{what}: {} was {}{}", .call.action(), why_words(.why), .why.message().map(|message| format!(" ({message})")).unwrap_or_default())]
    Blind { what: &'static str, call: Call, why: Why },
}

fn nearest(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("; the nearest names: {}", names.join(", "))
    }
}

fn why_words(why: &Why) -> &'static str {
    match why {
        Why::Denied(_) => "denied",
        Why::NoAnswer(_) => "not answered",
        Why::Unreadable(_) => "answered with something unreadable",
        Why::Declined | Why::NotAsked | Why::Behind(_) => "not asked",
    }
}

impl Target {
    /// Service names have no dots and no slashes, so all four spellings can be told apart.
    pub fn parse(typed: &str, cluster: Option<&str>) -> Result<Target, String> {
        let cluster = cluster.map(str::to_owned);
        if let Some(rest) = typed.strip_prefix("arn:") {
            let path =
                rest.split_once(":service/").map(|(_, path)| path.split('/').collect::<Vec<_>>());
            return match path.as_deref() {
                Some([in_cluster, name]) => Ok(Target::Name {
                    service: (*name).into(),
                    cluster: cluster.or(Some((*in_cluster).into())),
                }),
                // The ARN format of before 2018 has no cluster in it.
                Some([name]) => Ok(Target::Name { service: (*name).into(), cluster }),
                _ => Err(format!(
                    "{typed} is not the ARN of an ECS service, such as arn:aws:ecs:eu-west-2:123456789012:service/prod/api"
                )),
            };
        }
        if typed.contains("://") {
            let url: Url = typed.parse()?;
            return Ok(Target::Host { host: url.host.clone(), url: Some(url) });
        }
        let host = |host: &str| Target::Host {
            host: host.split(':').next().unwrap_or(host).to_ascii_lowercase(),
            url: None,
        };
        match typed.split('/').collect::<Vec<_>>().as_slice() {
            [name] if name.contains('.') => Ok(host(name)),
            [name] if is_name(name) => Ok(Target::Name { service: (*name).into(), cluster }),
            [in_cluster, name] if is_name(in_cluster) && is_name(name) => match &cluster {
                Some(cluster) if cluster != in_cluster => Err(format!(
                    "{typed} names the cluster {in_cluster}, and --cluster names {cluster}"
                )),
                _ => Ok(Target::Name {
                    service: (*name).into(),
                    cluster: Some((*in_cluster).into()),
                }),
            },
            [name, ..] if name.contains('.') => Ok(host(name)),
            _ => Err(format!(
                "{typed:?} is no service name, cluster/service, service ARN, URL or host"
            )),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

pub async fn find(aws: &Aws, target: &Target) -> Result<Service, NotFound> {
    match target {
        Target::Name { service, cluster: Some(cluster) } => in_cluster(aws, service, cluster).await,
        Target::Name { service, cluster: None } => anywhere(aws, service).await,
        Target::Host { host, url } => by_host(aws, host, url.as_ref()).await,
    }
}

fn blind(what: &'static str, call: Call, why: Why) -> NotFound {
    NotFound::Blind { what, call, why }
}

async fn in_cluster(aws: &Aws, name: &str, cluster: &str) -> Result<Service, NotFound> {
    match aws.services(cluster, &[name.to_owned()]).await {
        Seen::Yes(Some(found)) => match found.into_iter().next() {
            Some(service) => Ok(service),
            None => Err(no_such_service(aws, name, &[cluster.to_owned()]).await),
        },
        Seen::Yes(None) => Err(NotFound::NoSuchCluster(last(cluster).to_owned())),
        Seen::No(why) => Err(blind("could not look for the service", Call::DescribeServices, why)),
    }
}

/// The one cluster that has the service. A deleted service stays visible for a while: a living one
/// comes first.
async fn anywhere(aws: &Aws, name: &str) -> Result<Service, NotFound> {
    let clusters = match aws.clusters().await {
        Seen::Yes(clusters) => clusters,
        Seen::No(why) => {
            return Err(blind(
                "could not look for the cluster; name it with --cluster",
                Call::ListClusters,
                why,
            ));
        }
    };
    let names = [name.to_owned()];
    let mut found = Vec::new();
    for answer in join_all(clusters.iter().map(|cluster| aws.services(cluster, &names))).await {
        match answer {
            Seen::Yes(services) => found.extend(services.into_iter().flatten()),
            Seen::No(why) => {
                return Err(blind(
                    "could not look for the service in every cluster; name one with --cluster",
                    Call::DescribeServices,
                    why,
                ));
            }
        }
    }
    let living = |service: &Service| service.status != "INACTIVE";
    if found.iter().any(living) {
        found.retain(living);
    }
    match found.len() {
        0 => Err(no_such_service(aws, name, &clusters).await),
        1 => Ok(found.remove(0)),
        _ => Err(NotFound::Ambiguous {
            name: name.to_owned(),
            places: found
                .iter()
                .map(|service| format!("{}/{}", last(&service.cluster_arn), service.service_name))
                .collect(),
        }),
    }
}

async fn no_such_service(aws: &Aws, name: &str, clusters: &[String]) -> NotFound {
    let place = match clusters {
        [] => "this account and region: it has no cluster".to_owned(),
        [cluster] => format!("cluster {}", last(cluster)),
        clusters => format!("any of {} clusters", clusters.len()),
    };
    let listed = join_all(clusters.iter().map(|cluster| aws.service_arns(cluster))).await;
    let arns = listed
        .into_iter()
        .filter_map(|arns| if let Seen::Yes(arns) = arns { Some(arns) } else { None })
        .flatten();
    let mut names: Vec<(usize, String)> = arns
        .map(|arn| {
            let other = last(&arn).to_owned();
            let holds = other.contains(name) || name.contains(other.as_str());
            let distance = if holds { 1 } else { strsim::damerau_levenshtein(name, &other) };
            (
                distance,
                if clusters.len() > 1 {
                    arn.rsplit('/')
                        .take(2)
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                        .collect::<Vec<_>>()
                        .join("/")
                } else {
                    other
                },
            )
        })
        .collect();
    names.sort();
    names.retain(|(distance, _)| *distance <= name.len().max(4) / 2 + 1);
    NotFound::NoSuchService {
        name: name.to_owned(),
        place,
        names: names.into_iter().take(3).map(|(_, name)| name).collect(),
    }
}

/// Every service of the account, to see which one has the target group or the endpoint.
async fn all_services(aws: &Aws) -> Result<Vec<Service>, NotFound> {
    let what = "could not list the services; name the service instead of the host";
    let clusters = match aws.clusters().await {
        Seen::Yes(clusters) => clusters,
        Seen::No(why) => return Err(blind(what, Call::ListClusters, why)),
    };
    let mut all = Vec::new();
    let lists = join_all(clusters.iter().map(|cluster| async move {
        match aws.service_arns(cluster).await {
            Seen::Yes(arns) => {
                aws.memory()
                    .services
                    .put(cluster, ClusterServices { service_arns: arns.clone(), truncated: false });
                (Call::DescribeServices, aws.services(cluster, &arns).await)
            }
            Seen::No(why) => (Call::ListServices, Seen::No(why)),
        }
    }));
    for (call, answer) in lists.await {
        match answer {
            Seen::Yes(services) => all.extend(services.into_iter().flatten()),
            Seen::No(why) => return Err(blind(what, call, why)),
        }
    }
    Ok(all)
}

async fn by_host(aws: &Aws, host: &str, url: Option<&Url>) -> Result<Service, NotFound> {
    let (candidates, services) = join(entries(aws, host), all_services(aws)).await;
    let (candidates, services) = (candidates?, services?);
    let living: Vec<Service> =
        services.into_iter().filter(|service| service.status != "INACTIVE").collect();
    let asked = url.map_or_else(|| host.to_owned(), ToString::to_string);
    // Who gets the request; else whoever has a rule for the host; else who gets it by a rule that
    // is for every host.
    for groups in [
        groups_of(&candidates, url, true),
        groups_for_host(&candidates, host),
        groups_of(&candidates, url, false),
    ] {
        if groups.is_empty() {
            continue;
        }
        let mut found: Vec<Service> = Vec::new();
        let answers = join_all(living.iter().map(|service| {
            let groups = &groups;
            async move {
                serves(aws, service, groups).await.map(|serves| serves.then(|| service.clone()))
            }
        }));
        for answer in answers.await {
            found.extend(answer?);
        }
        match found.len() {
            0 => {}
            1 => return Ok(found.remove(0)),
            _ => {
                let places = found
                    .iter()
                    .map(|service| {
                        format!("{}/{}", last(&service.cluster_arn), service.service_name)
                    })
                    .collect();
                return Err(NotFound::Ambiguous { name: asked, places });
            }
        }
    }
    Err(NotFound::NoServiceFor { asked, told: url.and_then(|url| told(&candidates, url)) })
}

/// Whether one of these target groups is the service's. Express services have theirs in their
/// revisions.
async fn serves(aws: &Aws, service: &Service, groups: &BTreeSet<String>) -> Result<bool, NotFound> {
    let own = service
        .load_balancers
        .iter()
        .flat_map(|balancer| [&balancer.target_group_arn, &balancer.alternate_target_group_arn]);
    if own.flatten().any(|group| groups.contains(group)) {
        return Ok(true);
    }
    if service.resource_management_type.as_deref() != Some("ECS") {
        return Ok(false);
    }
    let arns = &service.current_service_revisions;
    let known = |arn: &&String| aws.memory().revisions.0.contains_key(*arn);
    let unknown: BTreeSet<String> = arns.iter().filter(|arn| !known(arn)).cloned().collect();
    if !unknown.is_empty() {
        let revisions = aws.revisions(unknown).await;
        aws.memory().revisions.0.extend(revisions.0);
    }
    let revisions: Vec<Seen<Option<Revision>>> =
        arns.iter().filter_map(|arn| aws.memory().revisions.0.get(arn).cloned()).collect();
    for revision in revisions {
        match revision {
            Seen::Yes(revision) => {
                let paths = revision.iter().flat_map(|revision| &revision.ingress_paths);
                if paths
                    .flat_map(|path| &path.target_groups)
                    .filter_map(|group| group.arn.as_ref())
                    .any(|group| groups.contains(group))
                {
                    return Ok(true);
                }
            }
            Seen::No(why) => {
                return Err(blind(
                    "could not tell which service has the host",
                    Call::DescribeServiceRevisions,
                    why,
                ));
            }
        }
    }
    Ok(false)
}

/// A listener where a request for the host may arrive.
struct Entry {
    balancer: String,
    /// The host is the load balancer's own name, so the request is for it and for no other.
    by_name: bool,
    listener: Listener,
    rules: Vec<Rule>,
}

impl Entry {
    /// The rule that takes the request here. One that perhaps takes it before, by a header, is for
    /// few.
    fn taken(&self, url: &Url) -> Option<&Rule> {
        let here = self.listener.port == Some(url.port);
        self.rules.iter().find(|rule| here && takes(rule, url) == Takes::Yes)
    }
}

fn forwarded<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> BTreeSet<String> {
    rules
        .into_iter()
        .flat_map(|rule| &rule.actions)
        .flat_map(|action| &action.target_groups)
        .map(|group| group.target_group_arn.clone())
        .collect()
}

/// The groups that a request for the URL reaches, by rules that are meant for its host or by
/// others.
fn groups_of(candidates: &[Entry], url: Option<&Url>, meant: bool) -> BTreeSet<String> {
    let Some(url) = url else { return BTreeSet::new() };
    let is_meant =
        |candidate: &Entry, rule: &Rule| candidate.by_name || names_host(rule, &url.host);
    forwarded(candidates.iter().filter_map(|candidate| {
        candidate.taken(url).filter(|rule| is_meant(candidate, rule) == meant)
    }))
}

/// The groups of every rule that asks for the host, whatever else it asks for; by the load
/// balancer's own name, of all of its rules.
fn groups_for_host(candidates: &[Entry], host: &str) -> BTreeSet<String> {
    forwarded(candidates.iter().flat_map(|candidate| {
        candidate.rules.iter().filter(|rule| candidate.by_name || names_host(rule, host))
    }))
}

/// Who answers a URL that leads to no service.
fn told(candidates: &[Entry], url: &Url) -> Option<String> {
    let mut told = Vec::new();
    for candidate in candidates {
        let Some(rule) = candidate.taken(url) else { continue };
        let name = if rule.is_default {
            "the default rule".to_owned()
        } else {
            format!("rule {}", rule.priority)
        };
        let action = rule.actions.last().map_or("nothing", |action| action.kind.as_str());
        let code = rule
            .actions
            .last()
            .and_then(|action| action.status_code.as_deref())
            .map_or_else(String::new, |code| format!(" {}", code.trim_start_matches("HTTP_")));
        let on = format!(
            "{}:{} of {}",
            candidate.listener.protocol.as_deref().unwrap_or("port"),
            url.port,
            candidate.balancer
        );
        told.push((
            candidate.by_name || names_host(rule, &url.host),
            format!("{name} of {on} answers, by {action}{code}"),
        ));
    }
    let hosts: BTreeSet<&String> = candidates
        .iter()
        .flat_map(|candidate| &candidate.rules)
        .flat_map(|rule| &rule.conditions)
        .filter(|it| it.field == "host-header")
        .flat_map(|it| &it.values)
        .collect();
    let hosts: Vec<&str> = hosts.into_iter().map(String::as_str).take(5).collect();
    let hosts = if hosts.is_empty() {
        String::new()
    } else {
        format!("; rules ask for {}", hosts.join(", "))
    };
    let meant: Vec<String> =
        told.iter().filter(|(meant, _)| *meant).map(|(_, words)| words.clone()).collect();
    match (meant.is_empty(), told.as_slice()) {
        (false, _) => Some(meant.join("; ")),
        (true, []) => Some(format!("no load balancer listens on port {}{hosts}", url.port)),
        (true, [(_, words)]) => {
            Some(format!("no rule asks for {}; if its DNS leads here, {words}{hosts}", url.host))
        }
        (true, several) => {
            let words: Vec<&str> =
                several.iter().take(3).map(|(_, words)| words.as_str()).collect();
            Some(format!(
                "no rule asks for {}; wherever its DNS leads, {}{hosts}",
                url.host,
                words.join("; ")
            ))
        }
    }
}

/// The listeners of the load balancer that has the name, or of every load balancer.
async fn entries(aws: &Aws, host: &str) -> Result<Vec<Entry>, NotFound> {
    let what = "could not look for the host; name the service instead";
    let balancers = match aws.all_load_balancers().await {
        Seen::Yes(balancers) => balancers,
        Seen::No(why) => return Err(blind(what, Call::DescribeLoadBalancers, why)),
    };
    aws.memory().load_balancers = Some(balancers.clone());
    let named: Vec<_> = balancers
        .iter()
        .filter(|balancer| {
            balancer.dns_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host))
        })
        .collect();
    let by_name = !named.is_empty();
    let candidates = if by_name { named } else { balancers.iter().collect() };
    let mut entries = Vec::new();
    for found in
        join_all(candidates.into_iter().map(|balancer| entries_of(aws, balancer, by_name, what)))
            .await
    {
        entries.extend(found?);
    }
    Ok(entries)
}

async fn entries_of(
    aws: &Aws,
    balancer: &LoadBalancer,
    by_name: bool,
    what: &'static str,
) -> Result<Vec<Entry>, NotFound> {
    let arn = &balancer.load_balancer_arn;
    let listeners = aws.listeners(arn).await;
    aws.memory().listeners.insert(arn, listeners.clone());
    let listeners = match listeners {
        Seen::Yes(listeners) => listeners.unwrap_or_default(),
        Seen::No(why) => return Err(blind(what, Call::DescribeListeners, why)),
    };
    let mut entries = Vec::new();
    let rules = join_all(listeners.iter().map(|listener| aws.rules(&listener.listener_arn))).await;
    for (listener, rules) in listeners.into_iter().zip(rules) {
        aws.memory().rules.insert(&listener.listener_arn, rules.clone());
        match rules {
            Seen::Yes(rules) => {
                let rules = rules.unwrap_or_default();
                entries.push(Entry {
                    balancer: balancer.load_balancer_name.clone(),
                    by_name,
                    listener,
                    rules,
                });
            }
            Seen::No(why) => return Err(blind(what, Call::DescribeRules, why)),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use checks::snapshot::{Action, Condition, WeightedGroup};

    use super::*;

    #[test]
    fn takes_what_users_type() {
        let name = |service: &str, cluster: Option<&str>| Target::Name {
            service: service.into(),
            cluster: cluster.map(Into::into),
        };
        let host = |url: Option<&str>| Target::Host {
            host: "api.example.com".into(),
            url: url.map(|url| url.parse().unwrap()),
        };
        let cases = [
            ("api", name("api", None)),
            ("prod/api", name("api", Some("prod"))),
            ("arn:aws:ecs:eu-west-2:123456789012:service/prod/api", name("api", Some("prod"))),
            ("arn:aws:ecs:eu-west-2:123456789012:service/api", name("api", None)),
            ("https://API.example.com/v1?x=1", host(Some("https://api.example.com/v1?x=1"))),
            ("api.example.com:443", host(None)),
            ("http://user@api.example.com:8080", host(Some("http://api.example.com:8080/"))),
        ];
        for (typed, expected) in cases {
            assert_eq!(Target::parse(typed, None), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_what_was_typed() {
        for typed in
            ["", "a b", "ftp://x", "arn:aws:ecs:eu-west-2:123456789012:cluster/prod", "a/b/c"]
        {
            assert!(Target::parse(typed, None).is_err(), "{typed:?}");
        }
        assert!(Target::parse("prod/api", Some("test")).is_err());
        assert!(Target::parse("prod/api", Some("prod")).is_ok());
    }

    fn candidate(balancer: &str, rules: Vec<Rule>) -> Entry {
        let listener =
            Listener { port: Some(443), protocol: Some("HTTPS".into()), ..Listener::default() };
        Entry { balancer: balancer.into(), by_name: false, listener, rules }
    }

    fn rule(priority: &str, conditions: &[(&str, &str)], group: &str) -> Rule {
        let condition = |(field, value): &(&str, &str)| Condition {
            field: (*field).into(),
            values: vec![(*value).into()],
            ..Condition::default()
        };
        let action = match group {
            "404" => Action {
                kind: "fixed-response".into(),
                status_code: Some("404".into()),
                ..Action::default()
            },
            _ => Action {
                kind: "forward".into(),
                target_groups: vec![WeightedGroup { target_group_arn: group.into(), weight: 1 }],
                ..Action::default()
            },
        };
        let conditions = conditions.iter().map(condition).collect();
        Rule {
            priority: priority.into(),
            is_default: priority == "default",
            conditions,
            actions: vec![action],
            ..Rule::default()
        }
    }

    #[test]
    fn host_and_path_choose_the_rule() {
        let candidates = [candidate(
            "web",
            vec![
                rule("1", &[("host-header", "api.example.com"), ("path-pattern", "/v2/*")], "new"),
                rule("2", &[("host-header", "*.example.com")], "old"),
                rule("default", &[], "404"),
            ],
        )];
        let groups = |url: &str| {
            groups_of(&candidates, Some(&url.parse().unwrap()), true)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(groups("https://api.example.com/v2/orders"), ["new"]);
        assert_eq!(groups("https://api.example.com/v1"), ["old"]);
        assert!(groups("https://other.org/").is_empty());
        assert!(groups("https://api.example.com:8443/").is_empty(), "no such listener");
        assert_eq!(groups_for_host(&candidates, "api.example.com").len(), 2);
    }

    #[test]
    fn a_rule_for_the_host_comes_before_another_balancers_default() {
        let candidates = [
            candidate("a", vec![rule("default", &[], "everybody")]),
            candidate("b", vec![rule("1", &[("host-header", "api.example.com")], "api")]),
        ];
        let url = "https://api.example.com/".parse().unwrap();
        assert_eq!(groups_of(&candidates, Some(&url), true), BTreeSet::from(["api".to_owned()]));
        assert_eq!(
            groups_of(&candidates, Some(&url), false),
            BTreeSet::from(["everybody".to_owned()])
        );
    }

    #[test]
    fn a_url_without_a_service_is_told_who_answers() {
        let candidates = [candidate(
            "web",
            vec![
                rule("1", &[("host-header", "api.example.com")], "api"),
                rule("default", &[], "404"),
            ],
        )];
        let told = |url: &str| told(&candidates, &url.parse().unwrap()).unwrap();
        assert_eq!(
            told("https://www.example.com/"),
            "no rule asks for www.example.com; if its DNS leads here, the default rule of HTTPS:443 of web answers, by fixed-response 404; rules ask for api.example.com"
        );
        assert_eq!(
            told("https://api.example.com:8443/"),
            "no load balancer listens on port 8443; rules ask for api.example.com"
        );
    }
}
