//! Every service of an account and region, or of one cluster, as batched calls tell them.

use checks::call::Call;
use checks::seen::{Seen, Why};
use checks::snapshot::Service;
use futures::future::join_all;

use super::{Aws, last};

/// What could not be listed: the cluster, or all of them, by which call, and why.
pub struct Unlisted {
    pub cluster: Option<String>,
    pub call: Call,
    pub why: Why,
}

impl Aws {
    /// The services that can be seen, and what could not be listed.
    pub async fn all_services(&self, cluster: Option<&str>) -> (Vec<Service>, Vec<Unlisted>) {
        let clusters = match cluster {
            Some(cluster) => vec![cluster.to_owned()],
            None => match self.clusters().await {
                Seen::Yes(clusters) => clusters,
                Seen::No(why) => {
                    let all = Unlisted { cluster: None, call: Call::ListClusters, why };
                    return (Vec::new(), vec![all]);
                }
            },
        };
        let (mut services, mut unlisted) = (Vec::new(), Vec::new());
        for listed in join_all(clusters.iter().map(|cluster| self.listed(cluster))).await {
            match listed {
                Ok(some) => services.extend(some),
                Err(some) => unlisted.push(some),
            }
        }
        (services, unlisted)
    }

    async fn listed(&self, cluster: &str) -> Result<Vec<Service>, Unlisted> {
        let unlisted = |call, why| Unlisted { cluster: Some(last(cluster).to_owned()), call, why };
        let names: Vec<String> = match self.service_arns(cluster).await {
            Seen::Yes(arns) => arns.iter().map(|arn| last(arn).to_owned()).collect(),
            Seen::No(why) => return Err(unlisted(Call::ListServices, why)),
        };
        match self.services(cluster, &names).await {
            Seen::Yes(services) => Ok(services.unwrap_or_default()),
            Seen::No(why) => Err(unlisted(Call::DescribeServices, why)),
        }
    }
}
