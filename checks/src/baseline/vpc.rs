//! The VPC around a healthy service: the default network ACL, a NAT gateway, DNS, and no endpoints.

use crate::snapshot::*;

pub fn surround(snapshot: &mut Snapshot) {
    let entry = |rule_number, egress, action: &str| AclEntry {
        rule_number,
        egress,
        protocol: "-1".into(),
        rule_action: action.into(),
        cidr_block: Some("0.0.0.0/0".into()),
        ..AclEntry::default()
    };
    let acl = NetworkAcl {
        network_acl_id: "acl-1".into(),
        is_default: true,
        subnet_id: ["subnet-0a1", "subnet-0b2", "subnet-0c3", "subnet-0d4"]
            .map(String::from)
            .into(),
        entries: vec![
            entry(100, true, "allow"),
            entry(32767, true, "deny"),
            entry(100, false, "allow"),
            entry(32767, false, "deny"),
        ],
    };
    snapshot.network_acls.put("vpc-1", vec![acl]);
    snapshot.endpoints.put("vpc-1", Vec::new());
    let gateway = NatGateway {
        nat_gateway_id: "nat-1".into(),
        state: "available".into(),
        subnet_id: Some("subnet-0c3".into()),
        connectivity_type: Some("public".into()),
        failure_message: None,
    };
    snapshot.nat_gateways.put("vpc-1", vec![gateway]);
    snapshot.vpc_dns.put(
        "vpc-1",
        VpcDns { vpc_id: "vpc-1".into(), enable_dns_support: true, enable_dns_hostnames: true },
    );
}

/// An interface endpoint in the VPC, as it should be.
pub fn endpoint(service: &str) -> Endpoint {
    Endpoint {
        vpc_endpoint_id: format!("vpce-{}", service.replace('.', "-")),
        vpc_endpoint_type: "Interface".into(),
        service_name: format!("com.amazonaws.{}.{service}", super::REGION),
        state: "available".into(),
        private_dns_enabled: true,
        policy_document: Some(
            r#"{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}"#
                .into(),
        ),
        subnet_ids: vec!["subnet-0a1".into(), "subnet-0b2".into()],
        groups: vec!["sg-endpoint".into()],
        route_table_ids: Vec::new(),
    }
}

/// The security group of endpoints, which lets the VPC in.
pub fn endpoint_group(cidr: &str) -> SecurityGroup {
    let mut rule = super::everywhere("tcp", Some(443));
    rule.cidr_ip = vec![cidr.into()];
    SecurityGroup {
        group_id: "sg-endpoint".into(),
        group_name: "endpoints".into(),
        ip_permissions: vec![rule],
        ..SecurityGroup::default()
    }
}
