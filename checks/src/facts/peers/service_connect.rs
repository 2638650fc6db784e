//! Private names: the siblings that variables name, the names that Service Connect gives to their
//! ports, and in which namespace. The collector asks for just what is worked out here.

use std::collections::BTreeSet;

use crate::aws::host;
use crate::command::Command;
use crate::facts::peers::callee::{self, Named};
use crate::finding::Remedy;
use crate::hcl::Hcl;
use crate::patient::Patient;
use crate::seen::{Blind, See};
use crate::snapshot::peers::{ServiceConnect, ServiceConnectResource, ServiceConnectService};
use crate::snapshot::{Deployment, Service};
use crate::text::and_list;
use crate::{aws, hcl, words};

/// Why it does not apply.
pub const NOT_CONNECTED: &str = "no Service Connect";

/// Why it is not known which names the tasks know.
pub const BY_DEFAULT: &str = "it uses the default namespace of its cluster, which is not known";

/// Service Connect, where the service has it.
pub fn configuration(service: &Service) -> Option<&ServiceConnect> {
    service.primary()?.service_connect_configuration.as_ref().filter(|connect| connect.enabled)
}

/// A private name: one word, an end that the internet does not have, or a name in the namespace.
pub fn is_private(host: &str, namespace: Option<&str>) -> bool {
    let ends = [".local", ".internal", ".private", ".lan", ".corp", ".svc"];
    let one_word =
        !host.contains('.') && host != "localhost" && host.chars().any(|c| c.is_ascii_alphabetic());
    let in_namespace = namespace.is_some_and(|namespace| {
        host.strip_suffix(namespace).is_some_and(|rest| rest.ends_with('.'))
    });
    host::of_aws(host).is_none()
        && (one_word || in_namespace || ends.iter().any(|end| host.ends_with(end)))
}

/// The private names that variables hold.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    pub fn of<'h>(hosts: impl IntoIterator<Item = &'h str>, namespace: Option<&str>) -> Names {
        Names(
            hosts
                .into_iter()
                .filter(|host| is_private(host, namespace))
                .map(str::to_owned)
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first words: a sibling is often called like them.
    pub fn first_labels(&self) -> impl Iterator<Item = &str> {
        let labels: BTreeSet<&str> = self.0.iter().map(|host| first_label(host)).collect();
        labels.into_iter()
    }

    /// Whether one of the names is a name of this service.
    pub fn call(&self, service: &Service) -> bool {
        self.first_labels().any(|label| label == service.service_name)
            || endpoints(service).iter().any(|one| self.0.contains(&one.host))
    }
}

pub fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// A name and port by which Service Connect offers a service to others.
#[derive(Clone, Debug)]
pub struct Endpoint<'a> {
    pub service: &'a Service,
    pub deployment: &'a Deployment,
    pub offered: &'a ServiceConnectService,
    pub host: String,
    pub namespace: Option<&'a str>,
}

impl<'a> Endpoint<'a> {
    /// What ECS made of it in Cloud Map.
    pub fn resource(&self) -> Option<&'a ServiceConnectResource> {
        let name = self.offered.discovery_name.as_deref().unwrap_or(&self.offered.port_name);
        self.deployment
            .service_connect_resources
            .iter()
            .find(|resource| resource.discovery_name.as_deref() == Some(name))
    }
}

/// The names that a service offers; a name that is made of the namespace needs its name, which an
/// ARN is not.
pub fn endpoints(service: &Service) -> Vec<Endpoint<'_>> {
    let (Some(deployment), Some(connect)) = (service.primary(), configuration(service)) else {
        return Vec::new();
    };
    let namespace = connect.namespace.as_deref();
    let mut endpoints = Vec::new();
    for offered in &connect.services {
        let name = offered.discovery_name.as_deref().unwrap_or(&offered.port_name);
        let by_namespace = || {
            Some(format!(
                "{name}.{}",
                namespace.filter(|namespace| !namespace.starts_with("arn:"))?
            ))
        };
        for alias in &offered.client_aliases {
            if let Some(host) = alias.dns_name.clone().or_else(by_namespace) {
                endpoints.push(Endpoint {
                    service,
                    deployment,
                    offered,
                    host: host.to_ascii_lowercase(),
                    namespace,
                });
            }
        }
    }
    endpoints
}

/// The siblings that the service may call by private names, as far as they can be seen. None where
/// no variable has one.
pub fn siblings<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<&'a Service>, Blind> {
    let namespace =
        configuration(patient.service()).and_then(|connect| connect.namespace.as_deref());
    let named = callee::named(patient)?;
    let names = Names::of(named.iter().map(|named| named.host), namespace);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let own = patient.arn();
    let prefix = own.rsplit_once('/').map_or(own, |(prefix, _)| prefix);
    let mut arns: BTreeSet<String> =
        names.first_labels().map(|label| format!("{prefix}/{label}")).collect();
    if let Some(namespace) = namespace {
        arns.extend(
            findings
                .see(patient.namespace_services(namespace))
                .flatten()
                .into_iter()
                .flat_map(|listed| listed.service_arns.clone()),
        );
    }
    Ok(arns
        .iter()
        .filter(|arn| *arn != own)
        .filter_map(|arn| findings.see(patient.peer(arn)).flatten())
        .collect())
}

/// A variable that names a sibling's endpoint.
#[derive(Clone, Debug)]
pub struct Called<'a> {
    pub named: Named<'a>,
    pub endpoint: Endpoint<'a>,
}

/// The endpoints of siblings that variables name, in whatever namespace.
pub fn called<'a>(
    patient: &Patient<'a>,
    findings: &mut impl See,
) -> Result<Vec<Called<'a>>, Blind> {
    let siblings = siblings(patient, findings)?;
    let mut called = Vec::new();
    for named in callee::named(patient)? {
        let endpoints = siblings
            .iter()
            .flat_map(|sibling| endpoints(sibling))
            .filter(|endpoint| endpoint.host == named.host);
        called.extend(endpoints.map(|endpoint| Called { named, endpoint }));
    }
    Ok(called)
}

/// How two namespaces compare. One may be a name and the other an ARN: then the answer is not
/// known.
pub fn same_namespace(one: Option<&str>, other: Option<&str>) -> Option<bool> {
    let (one, other) = (one?, other?);
    (one.starts_with("arn:") == other.starts_with("arn:")).then(|| one == other)
}

/// The container's port behind an offered port, and whether the task definition has a port of that
/// name.
pub fn container_port(patient: &Patient, endpoint: &Endpoint) -> Result<Option<i32>, Blind> {
    let Some(definition) = endpoint.deployment.task_definition.as_deref() else { return Ok(None) };
    let Some(definition) = patient.task_definition(definition)? else { return Ok(None) };
    let mut ports =
        definition.container_definitions.iter().flat_map(|container| &container.port_mappings);
    Ok(ports
        .find(|port| port.name.as_deref() == Some(endpoint.offered.port_name.as_str()))
        .and_then(|port| port.container_port))
}

/// The command that sets Service Connect. It replaces all of it: what is not named is removed.
pub fn setting(patient: &Patient, configuration: &str) -> Command {
    patient.update_service().and(words!("--service-connect-configuration {}", configuration))
}

/// The commands that change what the service has of Service Connect, by way of connect.json: all of
/// it has to go along.
pub fn editing(remedy: Remedy, patient: &Patient) -> Remedy {
    let read = aws!(
        "ecs describe-services --cluster {} --services {} \
         --query services[0].deployments[0].serviceConnectConfiguration",
        patient.cluster(),
        patient.name()
    )
    .into_file("connect.json");
    remedy.cli(read).cli(setting(patient, "file://connect.json"))
}

/// The namespace that the service is in, in words; none without Service Connect.
fn place(patient: &Patient) -> Option<String> {
    let connect = configuration(patient.service())?;
    Some(connect.namespace.as_deref().map_or_else(
        || "the namespace of its cluster".into(),
        |namespace| format!("namespace {namespace}"),
    ))
}

/// How the service gets to know a private name that a sibling offers: as a client in the same
/// namespace. One that is in a namespace stays there, with all that it offers, and its next tasks
/// know the name.
pub fn joining(mut remedy: Remedy, patient: &Patient) -> Remedy {
    let resource = |lines: Hcl| {
        hcl!(
            r#"
            resource "aws_ecs_service" {} {
              {}
            }"#,
            patient.name(),
            lines
        )
    };
    if let Some(place) = place(patient) {
        remedy
            .summary
            .push_str(&format!(" This service is in {place}: move the called service there, then deploy this one again, so that its tasks learn the name."));
        return remedy
            .cli(patient.update_service().and(words!("--force-new-deployment")))
            .terraform(resource(hcl!("force_new_deployment = true")));
    }
    remedy.summary.push_str(" Replace namespace internal with yours.");
    let block =
        hcl!("service_connect_configuration {\n  enabled   = true\n  namespace = \"internal\"\n}");
    remedy.cli(setting(patient, "enabled=true,namespace=internal")).terraform(resource(block))
}

/// How the service offers a port to siblings by its own name, beside all that it offers already.
pub fn offering(mut remedy: Remedy, patient: &Patient, port_name: &str, port: i32) -> Remedy {
    let name = patient.name();
    let hosts = |one: &Endpoint| (one.offered.port_name == port_name).then(|| one.host.clone());
    let offered: BTreeSet<String> = endpoints(patient.service()).iter().filter_map(hosts).collect();
    if !offered.is_empty() {
        let place = place(patient).unwrap_or_default();
        remedy.summary.push_str(&format!(
            " In {place} it already has the name {}: move its callers there.",
            and_list(offered)
        ));
        return remedy;
    }
    let mut namespace = Some("internal");
    if let (Some(place), Some(connect)) = (place(patient), configuration(patient.service())) {
        let entry = format!(
            "{{\"portName\":\"{port_name}\",\"clientAliases\":[{{\"port\":{port},\"dnsName\":\"{name}\"}}]}}"
        );
        remedy.summary.push_str(&format!(" This service is in {place}: add {entry} to services in connect.json, and move its callers there."));
        remedy = editing(remedy, patient);
        namespace = connect.namespace.as_deref();
    } else {
        remedy.summary.push_str(" Replace namespace internal with yours.");
        let entry =
            format!("{{portName={port_name},clientAliases=[{{port={port},dnsName={name}}}]}}");
        remedy = remedy
            .cli(setting(patient, &format!("enabled=true,namespace=internal,services=[{entry}]")));
    }
    let namespace =
        namespace.map_or_else(Hcl::default, |namespace| hcl!("namespace = {}", namespace));
    remedy.terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          service_connect_configuration {
            enabled   = true
            {}
            service {
              port_name = {}
              client_alias {
                port     = {}
                dns_name = {}
              }
            }
          }
        }"#,
        name,
        namespace,
        port_name,
        port,
        name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline;
    use crate::patient::Intent;
    use crate::snapshot::peers::ClientAlias;

    /// What a service is told that has this of Service Connect.
    fn told(connect: Option<ServiceConnect>, how: impl Fn(Remedy, &Patient) -> Remedy) -> Remedy {
        let mut snapshot = baseline::fargate();
        snapshot.services[0].deployments[0].service_connect_configuration = connect;
        how(
            Remedy::new("Call it by a private name."),
            &Patient::new(&snapshot, &snapshot.services[0], &Intent::default()),
        )
    }

    fn in_prod(port_name: &str) -> Option<ServiceConnect> {
        let alias = ClientAlias { port: Some(80), dns_name: Some("shop".into()) };
        let offered = ServiceConnectService {
            port_name: port_name.into(),
            client_aliases: vec![alias],
            ..ServiceConnectService::default()
        };
        Some(ServiceConnect {
            enabled: true,
            namespace: Some("prod".into()),
            services: vec![offered],
        })
    }

    #[test]
    fn a_client_stays_in_its_namespace_with_what_it_offers() {
        let remedy = told(in_prod("admin"), joining);
        assert_eq!(
            remedy.shell(),
            ["aws ecs update-service --cluster prod --service api --force-new-deployment"]
        );
        assert!(
            remedy
                .summary
                .contains("This service is in namespace prod: move the called service there"),
            "{}",
            remedy.summary
        );
        let connect = in_prod("admin").map(|connect| ServiceConnect { namespace: None, ..connect });
        assert!(told(connect, joining).summary.contains("in the namespace of its cluster"));
        let plain = "aws ecs update-service --cluster prod --service api --service-connect-configuration 'enabled=true,namespace=internal'";
        let off = in_prod("admin").map(|connect| ServiceConnect { enabled: false, ..connect });
        assert_eq!(
            [told(None, joining).shell(), told(off, joining).shell()].concat(),
            [plain, plain]
        );
    }

    #[test]
    fn a_new_name_takes_none_away() {
        let offer =
            |connect| told(connect, |remedy, patient| offering(remedy, patient, "http", 8080));
        let remedy = offer(in_prod("admin"));
        assert!(
            remedy.shell()[1].ends_with("--service-connect-configuration file://connect.json"),
            "{:?}",
            remedy.shell()
        );
        assert!(remedy.summary.contains(
            r#"add {"portName":"http","clientAliases":[{"port":8080,"dnsName":"api"}]} to services"#
        ));
        assert!(remedy.terraform.is_some_and(|code| code.contains("namespace = \"prod\"")));
        assert!(
            offer(None).shell()[0]
                .contains("'enabled=true,namespace=internal,services=[{portName=http,")
        );
        let known = offer(in_prod("http"));
        assert!(
            known.commands.is_empty()
                && known.summary.ends_with(
                    "In namespace prod it already has the name shop: move its callers there."
                ),
            "{known:?}"
        );
    }

    #[test]
    fn private_names_are_told_from_public_ones() {
        for host in ["orders", "orders.prod.local", "db.internal", "orders.prod"] {
            assert!(is_private(host, Some("prod")), "{host}");
        }
        for host in [
            "api.stripe.com",
            "ap-01.ecs.eu-west-2.on.aws",
            "db.c9.eu-west-2.rds.amazonaws.com",
            "localhost",
            "10.0.0.5",
            "8080",
            "orders.prod",
        ] {
            assert!(!is_private(host, Some("beta")), "{host}");
        }
    }

    #[test]
    fn an_endpoint_without_a_name_of_its_own_has_that_of_the_namespace() {
        let hosts = |dns_name: Option<&str>, discovery: Option<&str>, namespace: &str| {
            let offered = ServiceConnectService {
                port_name: "http".into(),
                discovery_name: discovery.map(String::from),
                client_aliases: vec![ClientAlias {
                    port: Some(80),
                    dns_name: dns_name.map(String::from),
                }],
                ..ServiceConnectService::default()
            };
            let connect = ServiceConnect {
                enabled: true,
                namespace: Some(namespace.into()),
                services: vec![offered],
            };
            let deployment = Deployment {
                status: "PRIMARY".into(),
                service_connect_configuration: Some(connect),
                ..Deployment::default()
            };
            let service = Service { deployments: vec![deployment], ..Service::default() };
            endpoints(&service).into_iter().map(|one| one.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts(Some("Orders"), Some("o"), "prod"), ["orders"]);
        assert_eq!(hosts(None, Some("o"), "prod"), ["o.prod"]);
        assert_eq!(hosts(None, None, "prod"), ["http.prod"]);
        assert!(
            hosts(None, None, "arn:aws:servicediscovery:eu-west-2:123456789012:namespace/ns-1")
                .is_empty()
        );
    }

    #[test]
    fn a_name_and_an_arn_cannot_be_compared() {
        assert_eq!(same_namespace(Some("a"), Some("b")), Some(false));
        assert_eq!(same_namespace(Some("a"), Some("a")), Some(true));
        assert_eq!(
            same_namespace(
                Some("a"),
                Some("arn:aws:servicediscovery:eu-west-2:123456789012:namespace/ns-1")
            ),
            None
        );
        assert_eq!(same_namespace(None, Some("a")), None);
    }
}
