//! From what the user typed to one service: a name, `cluster/service`, an ARN, or the URL or host that fails.

use std::collections::BTreeSet;

use checks::call::Call;
use checks::seen::{Seen, Why};
use checks::snapshot::{Rule, Service};
use futures::future::join_all;

use super::{Aws, last};

/// What the user typed, taken apart; nothing has been asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Name { service: String, cluster: Option<String> },
    Host(String),
}

/// Why there is no service to examine.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    #[error("no service {name} in {place}{}", nearest(.names))]
    NoSuchService { name: String, place: String, names: Vec<String> },
    #[error("no cluster {0} in this account and region")]
    NoSuchCluster(String),
    #[error("no service of this account and region answers for {0}")]
    NoServiceFor(String),
    #[error("{name} is in several places: {}; name one with --cluster", .places.join(", "))]
    Ambiguous { name: String, places: Vec<String> },
    #[error("{what}: {} was {}{}", .call.action(), why_words(.why), .why.message().map(|message| format!(" ({message})")).unwrap_or_default())]
    Blind { what: &'static str, call: Call, why: Why },
}

fn nearest(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; the nearest names: {}", names.join(", ")) }
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
            let path = rest.split_once(":service/").map(|(_, path)| path.split('/').collect::<Vec<_>>());
            return match path.as_deref() {
                Some([in_cluster, name]) => Ok(Target::Name { service: (*name).into(), cluster: cluster.or(Some((*in_cluster).into())) }),
                // The ARN format of before 2018 has no cluster in it.
                Some([name]) => Ok(Target::Name { service: (*name).into(), cluster }),
                _ => Err(format!("{typed} is not the ARN of an ECS service, such as arn:aws:ecs:eu-west-2:123456789012:service/prod/api")),
            };
        }
        if let Some((scheme, rest)) = typed.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
            if !matches!(scheme, "http" | "https") || host.is_empty() {
                return Err(format!("{typed} is not an HTTP URL, such as https://api.example.com/"));
            }
            return Ok(Target::Host(host.to_ascii_lowercase()));
        }
        match typed.split('/').collect::<Vec<_>>().as_slice() {
            [host] if host.contains('.') => Ok(Target::Host(host.split(':').next().unwrap_or(host).to_ascii_lowercase())),
            [name] if is_name(name) => Ok(Target::Name { service: (*name).into(), cluster }),
            [in_cluster, name] if is_name(in_cluster) && is_name(name) => match &cluster {
                Some(cluster) if cluster != in_cluster => Err(format!("{typed} names the cluster {in_cluster}, and --cluster names {cluster}")),
                _ => Ok(Target::Name { service: (*name).into(), cluster: Some((*in_cluster).into()) }),
            },
            [host, ..] if host.contains('.') => Ok(Target::Host(host.to_ascii_lowercase())),
            _ => Err(format!("{typed:?} is no service name, cluster/service, service ARN, URL or host")),
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
        Target::Host(host) => by_host(aws, host).await,
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

/// The one cluster that has the service. A deleted service stays visible for a while: a living one comes first.
async fn anywhere(aws: &Aws, name: &str) -> Result<Service, NotFound> {
    let clusters = match aws.clusters().await {
        Seen::Yes(clusters) => clusters,
        Seen::No(why) => return Err(blind("could not look for the cluster; name it with --cluster", Call::ListClusters, why)),
    };
    let names = [name.to_owned()];
    let mut found = Vec::new();
    for answer in join_all(clusters.iter().map(|cluster| aws.services(cluster, &names))).await {
        match answer {
            Seen::Yes(services) => found.extend(services.into_iter().flatten()),
            Seen::No(why) => {
                return Err(blind("could not look for the service in every cluster; name one with --cluster", Call::DescribeServices, why));
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
            places: found.iter().map(|service| format!("{}/{}", last(&service.cluster_arn), service.service_name)).collect(),
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
    let arns = listed.into_iter().filter_map(|arns| if let Seen::Yes(arns) = arns { Some(arns) } else { None }).flatten();
    let mut names: Vec<(usize, String)> = arns
        .map(|arn| {
            let other = last(&arn).to_owned();
            let holds = other.contains(name) || name.contains(other.as_str());
            let distance = if holds { 1 } else { strsim::damerau_levenshtein(name, &other) };
            (
                distance,
                if clusters.len() > 1 { arn.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/") } else { other },
            )
        })
        .collect();
    names.sort();
    names.retain(|(distance, _)| *distance <= name.len().max(4) / 2 + 1);
    NotFound::NoSuchService { name: name.to_owned(), place, names: names.into_iter().take(3).map(|(_, name)| name).collect() }
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
            Seen::Yes(arns) => (Call::DescribeServices, aws.services(cluster, &arns).await),
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

async fn by_host(aws: &Aws, host: &str) -> Result<Service, NotFound> {
    let (groups, services) = futures::future::join(groups_for(aws, host), all_services(aws)).await;
    let (groups, services) = (groups?, services?);
    let mut found: Vec<Service> = Vec::new();
    let answers = join_all(services.into_iter().filter(|service| service.status != "INACTIVE").map(|service| {
        let groups = &groups;
        async move { serves(aws, &service, groups).await.map(|serves| serves.then_some(service)) }
    }));
    for answer in answers.await {
        found.extend(answer?);
    }
    match found.len() {
        0 => Err(NotFound::NoServiceFor(host.to_owned())),
        1 => Ok(found.remove(0)),
        _ => Err(NotFound::Ambiguous {
            name: host.to_owned(),
            places: found.iter().map(|service| format!("{}/{}", last(&service.cluster_arn), service.service_name)).collect(),
        }),
    }
}

/// Whether one of these target groups is the service's. Express services have theirs in their revisions.
async fn serves(aws: &Aws, service: &Service, groups: &BTreeSet<String>) -> Result<bool, NotFound> {
    let own = service.load_balancers.iter().flat_map(|balancer| [&balancer.target_group_arn, &balancer.alternate_target_group_arn]);
    if own.flatten().any(|group| groups.contains(group)) {
        return Ok(true);
    }
    if service.resource_management_type.as_deref() != Some("ECS") {
        return Ok(false);
    }
    let revisions = aws.revisions(service.current_service_revisions.iter().cloned().collect()).await;
    aws.memory().revisions.0.extend(revisions.0.clone());
    for revision in revisions.0.into_values() {
        match revision {
            Seen::Yes(revision) => {
                let paths = revision.iter().flat_map(|revision| &revision.ingress_paths);
                if paths.flat_map(|path| &path.target_groups).filter_map(|group| group.arn.as_ref()).any(|group| groups.contains(group)) {
                    return Ok(true);
                }
            }
            Seen::No(why) => return Err(blind("could not tell which service has the host", Call::DescribeServiceRevisions, why)),
        }
    }
    Ok(false)
}

/// The target groups that a request for the host reaches: by the balancer's own name, all of its rules; by another
/// host, the rules that ask for it.
async fn groups_for(aws: &Aws, host: &str) -> Result<BTreeSet<String>, NotFound> {
    let what = "could not look for the host; name the service instead";
    let balancers = match aws.all_load_balancers().await {
        Seen::Yes(balancers) => balancers,
        Seen::No(why) => return Err(blind(what, Call::DescribeLoadBalancers, why)),
    };
    let named: Vec<_> =
        balancers.iter().filter(|balancer| balancer.dns_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host))).collect();
    let by_name = !named.is_empty();
    let candidates = if by_name { named } else { balancers.iter().collect() };
    let rules = join_all(candidates.into_iter().map(|balancer| rules_of(aws, &balancer.load_balancer_arn, what))).await;
    let mut groups = BTreeSet::new();
    for rules in rules {
        for rule in rules?.iter().filter(|rule| by_name || asks_for(rule, host)) {
            groups.extend(rule.actions.iter().flat_map(|action| &action.target_groups).map(|group| group.target_group_arn.clone()));
        }
    }
    Ok(groups)
}

async fn rules_of(aws: &Aws, balancer: &str, what: &'static str) -> Result<Vec<Rule>, NotFound> {
    let listeners = aws.listeners(balancer).await;
    aws.memory().listeners.insert(balancer, listeners.clone());
    let listeners = match listeners {
        Seen::Yes(listeners) => listeners.unwrap_or_default(),
        Seen::No(why) => return Err(blind(what, Call::DescribeListeners, why)),
    };
    let mut all = Vec::new();
    let rules = join_all(listeners.iter().map(|listener| aws.rules(&listener.listener_arn))).await;
    for (listener, rules) in listeners.iter().zip(rules) {
        aws.memory().rules.insert(&listener.listener_arn, rules.clone());
        match rules {
            Seen::Yes(rules) => all.extend(rules.unwrap_or_default()),
            Seen::No(why) => return Err(blind(what, Call::DescribeRules, why)),
        }
    }
    Ok(all)
}

fn asks_for(rule: &Rule, host: &str) -> bool {
    let hosts = rule.conditions.iter().filter(|condition| condition.field == "host-header").flat_map(|condition| &condition.values);
    hosts.into_iter().any(|pattern| checks::reading::host::matches(pattern, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_users_type() {
        let name = |service: &str, cluster: Option<&str>| Target::Name { service: service.into(), cluster: cluster.map(Into::into) };
        let cases = [
            ("api", name("api", None)),
            ("prod/api", name("api", Some("prod"))),
            ("arn:aws:ecs:eu-west-2:123456789012:service/prod/api", name("api", Some("prod"))),
            ("arn:aws:ecs:eu-west-2:123456789012:service/api", name("api", None)),
            ("https://API.example.com/v1?x=1", Target::Host("api.example.com".into())),
            ("api.example.com:443", Target::Host("api.example.com".into())),
            ("http://user@api.example.com:8080", Target::Host("api.example.com".into())),
        ];
        for (typed, expected) in cases {
            assert_eq!(Target::parse(typed, None), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_what_was_typed() {
        for typed in ["", "a b", "ftp://x", "arn:aws:ecs:eu-west-2:123456789012:cluster/prod", "a/b/c"] {
            assert!(Target::parse(typed, None).is_err(), "{typed:?}");
        }
        assert!(Target::parse("prod/api", Some("test")).is_err());
        assert!(Target::parse("prod/api", Some("prod")).is_ok());
    }
}
