//! The primary interfaces of the instances behind the EC2 service, and their security group: it
//! lets the load balancer in where Docker takes host ports.

use super::{from_group, peers};
use crate::facts::inbound::instance::EPHEMERAL;
use crate::snapshot::service::NetworkConfiguration;
use crate::snapshot::{Interface, IpPermission, SecurityGroup, Snapshot};

/// The instances, in the order of their targets.
pub const INSTANCES: [&str; 2] = ["i-0a1b2c3d4e5f60001", "i-0a1b2c3d4e5f60002"];

pub(super) fn put(snapshot: &mut Snapshot) {
    for (instance, interface, subnet, address) in [
        (INSTANCES[0], "eni-i1", "subnet-0a1", "10.0.1.101"),
        (INSTANCES[1], "eni-i2", "subnet-0b2", "10.0.2.102"),
    ] {
        let row = Interface {
            network_interface_id: interface.into(),
            private_ip_address: Some(address.into()),
            groups: vec!["sg-instance".into()],
            subnet_id: Some(subnet.into()),
            status: Some("in-use".into()),
            ..Interface::default()
        };
        snapshot.instance_interfaces.put(instance, row);
    }
    let group = SecurityGroup {
        group_id: "sg-instance".into(),
        group_name: "web-instances".into(),
        vpc_id: Some("vpc-1".into()),
        ip_permissions: vec![dynamic_ports()],
        ip_permissions_egress: vec![super::everywhere("-1", None)],
        ..SecurityGroup::default()
    };
    snapshot.security_groups.put("sg-instance", group);
    call_others(snapshot);
}

/// What the worker calls these tasks call, too: with the addresses and the group of their
/// instances.
fn call_others(snapshot: &mut Snapshot) {
    peers::databases(snapshot);
    peers::connected(snapshot);
    let network = NetworkConfiguration {
        security_groups: vec!["sg-orders".into()],
        subnets: vec!["subnet-0a1".into()],
        ..NetworkConfiguration::default()
    };
    for deployment in snapshot
        .peers
        .change(&peers::sibling())
        .into_iter()
        .flat_map(|sibling| &mut sibling.deployments)
    {
        deployment.network_configuration = Some(network.clone());
    }
    // Tasks in bridge mode have no group of their own.
    snapshot.security_groups.0.remove("sg-task");
    for group in ["sg-database", "sg-pool", "sg-orders"] {
        for permission in snapshot
            .security_groups
            .change(group)
            .into_iter()
            .flat_map(|group| &mut group.ip_permissions)
        {
            permission.group_id = vec!["sg-instance".into()];
        }
    }
}

/// Lets the load balancer in on every port that Docker may take.
pub fn dynamic_ports() -> IpPermission {
    IpPermission {
        to_port: Some(*EPHEMERAL.end()),
        ..from_group(*EPHEMERAL.start(), "sg-balancer")
    }
}
