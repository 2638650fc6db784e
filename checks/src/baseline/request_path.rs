//! What guards the way in of the healthy services: certificates for their hosts, and a web ACL that
//! blocks nobody now; and a second way in for those that want one.

use jiff::SignedDuration;

use super::{ACCOUNT, NOW, REGION, everywhere, fargate, forward, host_rule, id};
use crate::snapshot::metric::{Metric, Series};
use crate::snapshot::web_acl::Statement;
use crate::snapshot::{
    AclEntry, Certificate, IpPermission, ListenerCertificate, Route, ServiceLoadBalancer, Snapshot,
    TargetGroup, WebAcl, WebAclRule,
};

/// The certificate of every healthy listener.
pub fn certificate() -> String {
    format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/7c6b5a49-3827-4165-9f0e-1d2c3b4a5968")
}

pub fn web_acl() -> String {
    format!(
        "arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/webacl/web/1a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9"
    )
}

/// Gives the listeners of a load balancer a certificate for every host that their rules name, and
/// the load balancer a web ACL.
pub(super) fn guard(snapshot: &mut Snapshot, balancer: &str) {
    let arn = certificate();
    let listeners: Vec<String> = snapshot
        .listeners
        .change(balancer)
        .into_iter()
        .flatten()
        .map(|listener| listener.listener_arn.clone())
        .collect();
    let mut hosts = vec!["*.example.com".to_owned()];
    for listener in &listeners {
        let conditions =
            snapshot.rules.change(listener).into_iter().flatten().flat_map(|rule| &rule.conditions);
        hosts.extend(
            conditions
                .filter(|condition| condition.field == "host-header")
                .flat_map(|condition| condition.values.clone()),
        );
        snapshot.listener_certificates.put(
            listener,
            vec![ListenerCertificate { certificate_arn: arn.clone(), is_default: true }],
        );
    }
    let certificate = Certificate {
        certificate_arn: arn.clone(),
        domain_name: hosts.first().cloned(),
        subject_alternative_name_summaries: hosts,
        has_additional_subject_alternative_names: false,
        status: Some("ISSUED".into()),
        kind: Some("AMAZON_ISSUED".into()),
        renewal_eligibility: Some("ELIGIBLE".into()),
        not_before: Some(NOW - SignedDuration::from_hours(195 * 24)),
        not_after: Some(NOW + SignedDuration::from_hours(200 * 24)),
    };
    snapshot.certificates.put(arn, certificate);
    let acl = WebAcl {
        arn: web_acl(),
        id: "1a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9".into(),
        name: "web".into(),
        default_action: Some("Allow".into()),
        metric_name: Some("web".into()),
        managed_by_firewall_manager: false,
        rules: vec![WebAclRule {
            name: "common".into(),
            priority: 0,
            action: None,
            override_action: Some("None".into()),
            metric_name: Some("common".into()),
            statement: Statement {
                kind: "ManagedRuleGroup".into(),
                name: Some("AWS AWSManagedRulesCommonRuleSet".into()),
                ..Statement::default()
            },
        }],
    };
    for blocked in [acl.arn.clone(), acl.metric_of("common")] {
        snapshot.metrics.put(Metric::WafBlocked.of(&blocked), Series::default());
    }
    snapshot.web_acls.put(balancer, acl);
}

/// A service whose tasks are registered in a second group, which names no load balancer, though a
/// rule forwards to it.
pub fn second_group(name: &str) -> Snapshot {
    let (mut snapshot, first, second) = (fargate(), id::group("api"), id::group(name));
    let own = &mut snapshot.services[0].load_balancers;
    own.push(ServiceLoadBalancer { target_group_arn: Some(second.clone()), ..own[0].clone() });
    let group = snapshot.target_groups.change(&first).cloned().unwrap_or_default();
    let group = TargetGroup {
        target_group_arn: second.clone(),
        target_group_name: name.into(),
        load_balancer_arns: Vec::new(),
        ..group
    };
    snapshot.target_groups.put(&second, group);
    let targets = snapshot.target_health.change(&first).cloned().unwrap_or_default();
    snapshot.target_health.put(&second, targets);
    let rule = host_rule(
        &id::elb("listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/20"),
        "20",
        "admin.example.com",
        forward(&[(&second, 1)]),
    );
    let listener = id::elb("listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2");
    snapshot.rules.change(&listener).into_iter().for_each(|rules| rules.insert(1, rule.clone()));
    snapshot
}

/// Gives the load balancer addresses of both families, and lets the world in by both: security
/// group, network ACL and routes.
pub fn dual_stack(snapshot: &mut Snapshot) {
    let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
    if let Some(balancer) = snapshot.load_balancers.change(&balancer) {
        balancer.ip_address_type = Some("dualstack".into());
    }
    for (subnet, block) in
        [("subnet-0c3", "2001:db8:1:3::/64"), ("subnet-0d4", "2001:db8:1:4::/64")]
    {
        snapshot.subnets.change(subnet).into_iter().for_each(|subnet| {
            subnet.ipv6_cidr_block = vec![block.into()];
        });
    }
    if let Some(group) = snapshot.security_groups.change("sg-balancer") {
        let everybody = everywhere("tcp", Some(443));
        group.ip_permissions = vec![IpPermission { cidr_ipv6: vec!["::/0".into()], ..everybody }];
    }
    for acl in snapshot.network_acls.change("vpc-1").into_iter().flatten() {
        let of_ipv6 = |entry: &AclEntry| AclEntry {
            rule_number: entry.rule_number + 1,
            cidr_block: None,
            ipv6_cidr_block: Some("::/0".into()),
            ..entry.clone()
        };
        acl.entries = acl.entries.iter().flat_map(|one| [one.clone(), of_ipv6(one)]).collect();
    }
    for table in snapshot.route_tables.change("vpc-1").into_iter().flatten() {
        let to_world = table.routes.iter().find(|route| route.destination == "0.0.0.0/0").cloned();
        table.routes.extend(
            to_world
                .filter(|_| !table.main)
                .map(|route| Route { destination: "::/0".into(), ..route }),
        );
    }
}

/// Makes a web ACL block whoever is not in an IP set.
pub fn let_in_only(acl: &mut WebAcl, set: &str) {
    acl.default_action = Some("Block".into());
    acl.rules.push(WebAclRule {
        name: "clients".into(),
        priority: 10,
        action: Some("Allow".into()),
        override_action: None,
        metric_name: None,
        statement: Statement {
            kind: "IPSetReference".into(),
            arn: Some(set.into()),
            ..Statement::default()
        },
    });
}
