//! What a URL asks beyond the service itself: its way may lead to a target group of somebody else.

use std::collections::BTreeSet;

use checks::aws::url::Url;
use checks::facts::inbound::request;
use checks::patient::{Intent, Patient};
use checks::snapshot::Snapshot;
use checks::views::request_path;
use futures::future::{join, join_all};

use super::Aws;

/// Keeps the URL in the snapshot, and asks about the target groups on its way that nobody has asked
/// about.
pub async fn url(aws: &Aws, snapshot: &mut Snapshot, url: &Url) {
    request::ask_for(snapshot, url);
    let Some(service) = snapshot.services.first() else { return };
    let intent = Intent::default();
    let paths = request_path::of_url(&Patient::new(snapshot, service, &intent), url);
    let groups: BTreeSet<String> =
        paths.into_iter().flat_map(|path| path.branches).map(|branch| branch.group).collect();
    let unknown: Vec<String> =
        groups.into_iter().filter(|group| !snapshot.target_health.0.contains_key(group)).collect();
    let answers = join_all(
        unknown.iter().map(|group| join(aws.target_group(group), aws.target_health(group))),
    )
    .await;
    for (group, (described, health)) in unknown.into_iter().zip(answers) {
        snapshot.target_groups.insert(&group, described);
        snapshot.target_health.insert(group, health);
    }
}
