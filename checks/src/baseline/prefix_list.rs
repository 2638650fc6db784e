//! Prefix lists as the sources of a load balancer's rules.

use super::{ACCOUNT, everywhere};
use crate::snapshot::{IpPermission, ManagedPrefixList, Snapshot};

/// Makes a list of this account's, and gives back its id.
pub fn list<'a>(snapshot: &mut Snapshot, id: &'a str, name: &str, blocks: &[&str]) -> &'a str {
    let list = ManagedPrefixList {
        prefix_list_id: id.into(),
        prefix_list_name: Some(name.into()),
        owner_id: Some(ACCOUNT.into()),
    };
    snapshot.managed_prefix_lists.put(id, list);
    snapshot.prefix_lists.put(id, blocks.iter().map(|block| (*block).to_owned()).collect());
    id
}

/// A list of AWS's own, of which these blocks are enough for a test.
pub fn of_cloudfront(snapshot: &mut Snapshot) -> &'static str {
    let id = list(
        snapshot,
        "pl-3b927c52",
        "com.amazonaws.global.cloudfront.origin-facing",
        &["13.124.199.0/24", "130.176.0.0/18", "15.158.0.0/16", "64.252.64.0/18"],
    );
    snapshot
        .managed_prefix_lists
        .change(id)
        .into_iter()
        .for_each(|list| list.owner_id = Some("AWS".into()));
    id
}

/// Lets the members of a list in on a port.
pub fn from_list(port: i32, list: &str) -> IpPermission {
    IpPermission {
        cidr_ip: Vec::new(),
        prefix_list_id: vec![list.into()],
        ..everywhere("tcp", Some(port))
    }
}
