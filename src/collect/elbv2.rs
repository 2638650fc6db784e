//! What Elastic Load Balancing tells: groups with their targets, load balancers, listeners, and all
//! rules of a listener.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types;
use checks::aws::url::Url;
use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{
    Action, Condition, Listener, ListenerCertificate, LoadBalancer, Rule, SslPolicy, Table, Target,
    TargetGroup, WeightedGroup,
};

use super::{Aws, fill, text, time};
use crate::mask;

impl Aws {
    pub async fn target_group(&self, arn: &str) -> Seen<Option<TargetGroup>> {
        let request = self.elb.describe_target_groups().target_group_arns(arn).send();
        let reply = self.asker.ask(Call::DescribeTargetGroups, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.target_groups?.into_iter().next()).map(target_group)
        })
    }

    pub async fn target_health(&self, group: &str) -> Seen<Option<Vec<Target>>> {
        let request = self.elb.describe_target_health().target_group_arn(group).send();
        let reply = self.asker.ask(Call::DescribeTargetHealth, request).await;
        reply.map(|reply| {
            reply.map(|reply| {
                reply
                    .target_health_descriptions
                    .unwrap_or_default()
                    .into_iter()
                    .map(target)
                    .collect()
            })
        })
    }

    pub async fn target_group_attributes(
        &self,
        group: &str,
    ) -> Seen<Option<BTreeMap<String, String>>> {
        let request = self.elb.describe_target_group_attributes().target_group_arn(group).send();
        let reply = self.asker.ask(Call::DescribeTargetGroupAttributes, request).await;
        reply.map(|reply| {
            reply.map(|reply| {
                reply
                    .attributes
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|pair| Some((pair.key?, pair.value?)))
                    .collect()
            })
        })
    }

    pub async fn load_balancer(&self, arn: &str) -> Seen<Option<LoadBalancer>> {
        let request = self.elb.describe_load_balancers().load_balancer_arns(arn).send();
        let reply = self.asker.ask(Call::DescribeLoadBalancers, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.load_balancers?.into_iter().next()).map(load_balancer)
        })
    }

    /// Every load balancer of the region, to find a service by a host.
    pub async fn all_load_balancers(&self) -> Seen<Vec<LoadBalancer>> {
        let pages = self.asker.pages(Call::DescribeLoadBalancers, |marker| async {
            let page =
                self.elb.describe_load_balancers().page_size(400).set_marker(marker).send().await?;
            Ok((page.load_balancers.unwrap_or_default(), page.next_marker))
        });
        pages.await.map(|all| all.unwrap_or_default().into_iter().map(load_balancer).collect())
    }

    pub async fn load_balancer_attributes(
        &self,
        arn: &str,
    ) -> Seen<Option<BTreeMap<String, String>>> {
        let request = self.elb.describe_load_balancer_attributes().load_balancer_arn(arn).send();
        let reply = self.asker.ask(Call::DescribeLoadBalancerAttributes, request).await;
        reply.map(|reply| {
            reply.map(|reply| {
                reply
                    .attributes
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|pair| Some((pair.key?, pair.value?)))
                    .collect()
            })
        })
    }

    pub async fn listeners(&self, balancer: &str) -> Seen<Option<Vec<Listener>>> {
        let pages = self.asker.pages(Call::DescribeListeners, |marker| async {
            let page = self
                .elb
                .describe_listeners()
                .load_balancer_arn(balancer)
                .set_marker(marker)
                .send()
                .await?;
            Ok((page.listeners.unwrap_or_default(), page.next_marker))
        });
        pages.await.map(|all| all.map(|all| all.into_iter().map(listener).collect()))
    }

    /// The default certificate of a listener and all others.
    pub async fn listener_certificates(
        &self,
        listener: &str,
    ) -> Seen<Option<Vec<ListenerCertificate>>> {
        let pages = self.asker.pages(Call::DescribeListenerCertificates, |marker| async {
            let page = self
                .elb
                .describe_listener_certificates()
                .listener_arn(listener)
                .set_marker(marker)
                .send()
                .await?;
            Ok((page.certificates.unwrap_or_default(), page.next_marker))
        });
        let certificate = |from: types::Certificate| ListenerCertificate {
            certificate_arn: from.certificate_arn.unwrap_or_default(),
            is_default: from.is_default.unwrap_or_default(),
        };
        pages.await.map(|all| all.map(|all| all.into_iter().map(certificate).collect()))
    }

    pub async fn ssl_policies(&self, names: &[String]) -> Table<SslPolicy> {
        let mut table = Table::default();
        if !names.is_empty() {
            let pages = self.asker.pages(Call::DescribeSSLPolicies, |marker| async {
                let page = self
                    .elb
                    .describe_ssl_policies()
                    .set_names(Some(names.to_vec()))
                    .set_marker(marker)
                    .send()
                    .await?;
                Ok((page.ssl_policies.unwrap_or_default(), page.next_marker))
            });
            let found = pages
                .await
                .map(|found| found.unwrap_or_default().into_iter().map(ssl_policy).collect());
            fill(&mut table, names, found, |policy| &policy.name);
        }
        table
    }

    /// Every rule of a listener, in the order of evaluation, the default rule last.
    pub async fn rules(&self, listener: &str) -> Seen<Option<Vec<Rule>>> {
        let pages = self.asker.pages(Call::DescribeRules, |marker| async {
            let page =
                self.elb.describe_rules().listener_arn(listener).set_marker(marker).send().await?;
            Ok((page.rules.unwrap_or_default(), page.next_marker))
        });
        pages.await.map(|all| {
            all.map(|all| {
                let mut rules: Vec<Rule> = all.into_iter().map(rule).collect();
                rules.sort_by_key(|rule| rule.priority.parse::<u32>().unwrap_or(u32::MAX));
                rules
            })
        })
    }
}

fn target_group(from: types::TargetGroup) -> TargetGroup {
    TargetGroup {
        target_group_arn: from.target_group_arn.unwrap_or_default(),
        target_group_name: from.target_group_name.unwrap_or_default(),
        protocol: text(from.protocol),
        protocol_version: from.protocol_version,
        port: from.port,
        vpc_id: from.vpc_id,
        target_type: text(from.target_type),
        ip_address_type: text(from.ip_address_type),
        load_balancer_arns: from.load_balancer_arns.unwrap_or_default(),
        health_check_enabled: from.health_check_enabled,
        health_check_protocol: text(from.health_check_protocol),
        health_check_port: from.health_check_port,
        health_check_path: from.health_check_path.as_deref().map(mask::path),
        health_check_interval_seconds: from.health_check_interval_seconds,
        health_check_timeout_seconds: from.health_check_timeout_seconds,
        healthy_threshold_count: from.healthy_threshold_count,
        unhealthy_threshold_count: from.unhealthy_threshold_count,
        matcher: from.matcher.and_then(|matcher| matcher.http_code.or(matcher.grpc_code)),
    }
}

fn target(from: types::TargetHealthDescription) -> Target {
    let (id, port, availability_zone) = from
        .target
        .map_or_else(Default::default, |target| (target.id, target.port, target.availability_zone));
    let (state, reason, description) = from.target_health.map_or((None, None, None), |health| {
        (text(health.state), text(health.reason), health.description)
    });
    let administrative_override =
        from.administrative_override.and_then(|applied| text(applied.state));
    Target {
        id: id.unwrap_or_default(),
        port,
        availability_zone,
        state: state.unwrap_or_default(),
        reason,
        description,
        administrative_override,
    }
}

fn load_balancer(from: types::LoadBalancer) -> LoadBalancer {
    let zones = from.availability_zones.unwrap_or_default();
    let (state, state_reason) =
        from.state.map_or((None, None), |state| (text(state.code), state.reason));
    LoadBalancer {
        load_balancer_arn: from.load_balancer_arn.unwrap_or_default(),
        load_balancer_name: from.load_balancer_name.unwrap_or_default(),
        dns_name: from.dns_name,
        scheme: text(from.scheme),
        load_balancer_type: text(from.r#type),
        state,
        state_reason,
        ip_address_type: text(from.ip_address_type),
        vpc_id: from.vpc_id,
        availability_zones: zones.iter().filter_map(|zone| zone.zone_name.clone()).collect(),
        subnets: zones.into_iter().filter_map(|zone| zone.subnet_id).collect(),
        security_groups: from.security_groups.unwrap_or_default(),
        enforce_security_group_inbound_rules_on_private_link_traffic: from
            .enforce_security_group_inbound_rules_on_private_link_traffic,
        created_time: time(from.created_time),
    }
}

fn ssl_policy(from: types::SslPolicy) -> SslPolicy {
    SslPolicy {
        name: from.name.unwrap_or_default(),
        ssl_protocols: from.ssl_protocols.unwrap_or_default(),
    }
}

fn listener(from: types::Listener) -> Listener {
    Listener {
        listener_arn: from.listener_arn.unwrap_or_default(),
        load_balancer_arn: from.load_balancer_arn.unwrap_or_default(),
        port: from.port,
        protocol: text(from.protocol),
        ssl_policy: from.ssl_policy,
        default_actions: from.default_actions.unwrap_or_default().into_iter().map(action).collect(),
    }
}

fn rule(from: types::Rule) -> Rule {
    Rule {
        rule_arn: from.rule_arn.unwrap_or_default(),
        priority: from.priority.unwrap_or_default(),
        is_default: from.is_default.unwrap_or_default(),
        conditions: from.conditions.unwrap_or_default().into_iter().map(condition).collect(),
        actions: from.actions.unwrap_or_default().into_iter().map(action).collect(),
    }
}

/// Old conditions have their values at the top, newer ones in the configuration of their field,
/// some in both.
fn condition(from: types::RuleCondition) -> Condition {
    let mut values = from.values.unwrap_or_default();
    let header = from.http_header_config;
    let mut regex_values = from.regex_values.unwrap_or_default();
    if let Some(config) = from.host_header_config {
        values.extend(config.values.unwrap_or_default());
        regex_values.extend(config.regex_values.unwrap_or_default());
    }
    if let Some(config) = from.path_pattern_config {
        values.extend(config.values.unwrap_or_default());
        regex_values.extend(config.regex_values.unwrap_or_default());
    }
    values.extend(
        from.http_request_method_config.and_then(|config| config.values).unwrap_or_default(),
    );
    values.extend(from.source_ip_config.and_then(|config| config.values).unwrap_or_default());
    let pairs = from.query_string_config.and_then(|config| config.values).unwrap_or_default();
    values.extend(pairs.into_iter().map(|pair| {
        format!("{}={}", pair.key.unwrap_or_default(), pair.value.unwrap_or_default())
    }));
    let name = header.and_then(|config| config.http_header_name);
    let mut condition =
        Condition { field: from.field.unwrap_or_default(), name, values, regex_values };
    condition.forget_secrets();
    condition.values = unique(condition.values);
    condition.regex_values = unique(condition.regex_values);
    condition
}

fn unique(values: Vec<String>) -> Vec<String> {
    let mut unique = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

/// A single group may come as `TargetGroupArn` alone, without a weight.
fn action(from: types::Action) -> Action {
    let weighted = from.forward_config.and_then(|config| config.target_groups).unwrap_or_default();
    let mut target_groups: Vec<WeightedGroup> = weighted
        .into_iter()
        .filter_map(|group| {
            Some(WeightedGroup {
                target_group_arn: group.target_group_arn?,
                weight: group.weight.unwrap_or(1),
            })
        })
        .collect();
    if target_groups.is_empty() {
        target_groups.extend(
            from.target_group_arn
                .map(|target_group_arn| WeightedGroup { target_group_arn, weight: 1 }),
        );
    }
    let redirect = from.redirect_config;
    let fixed = from.fixed_response_config.and_then(|config| config.status_code);
    Action {
        kind: text(from.r#type).unwrap_or_default(),
        target_groups,
        status_code: fixed
            .or_else(|| text(redirect.as_ref().and_then(|config| config.status_code.clone()))),
        redirect_protocol: redirect.as_ref().and_then(|config| config.protocol.clone()),
        redirect_port: redirect.as_ref().and_then(|config| config.port.clone()),
        redirect_host: redirect.as_ref().and_then(|config| config.host.clone()),
        redirect_path: redirect.and_then(|config| config.path),
        provider_hosts: from.authenticate_oidc_config.map(provider_hosts).unwrap_or_default(),
    }
}

/// Hosts only, with a port that is not the usual one: what a URL has besides is nobody's business.
fn provider_hosts(from: types::AuthenticateOidcActionConfig) -> Vec<String> {
    let endpoints = [from.token_endpoint, from.user_info_endpoint];
    let hosts = endpoints.into_iter().flatten().filter_map(|url| {
        let url: Url = url.parse().ok()?;
        Some(if url.port == 443 { url.host } else { format!("{}:{}", url.host, url.port) })
    });
    unique(hosts.collect())
}
