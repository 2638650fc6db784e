//! What Cloud Map tells: since when a name exists, which instances it gives out, and which of them
//! it holds back.

use std::collections::BTreeMap;

use checks::call::Call;
use checks::seen::Seen;
use checks::snapshot::{DiscoveryInstance, DiscoveryService};

use super::{Aws, last, text, time};

impl Aws {
    pub async fn discovery_service(&self, arn: &str) -> Seen<Option<DiscoveryService>> {
        let request = self.discovery.get_service().id(last(arn)).send();
        self.asker.ask(Call::GetService, request).await.map(|reply| {
            let service = reply?.service?;
            let records = service.dns_config.map(|config| config.dns_records).unwrap_or_default();
            Some(DiscoveryService {
                health_check_custom_config: Some(service.health_check_custom_config.is_some()),
                id: service.id.unwrap_or_default(),
                name: service.name,
                create_date: time(service.create_date),
                record_types: records
                    .into_iter()
                    .filter_map(|record| text(Some(record.r#type)))
                    .collect(),
            })
        })
    }

    pub async fn discovery_instances(&self, arn: &str) -> Seen<Option<Vec<DiscoveryInstance>>> {
        let pages = self.asker.pages(Call::ListInstances, |token| async {
            let page = self
                .discovery
                .list_instances()
                .service_id(last(arn))
                .max_results(100)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.instances.unwrap_or_default(), page.next_token))
        });
        // Anybody may add attributes of their own: only these of Cloud Map and ECS are kept.
        let kept = ["AWS_INSTANCE_IPV4", "AWS_INSTANCE_PORT", "ECS_SERVICE_NAME"];
        pages.await.map(|instances| {
            let instance =
                |from: aws_sdk_servicediscovery::types::InstanceSummary| DiscoveryInstance {
                    id: from.id.unwrap_or_default(),
                    attributes: from
                        .attributes
                        .unwrap_or_default()
                        .into_iter()
                        .filter(|(name, _)| kept.contains(&name.as_str()))
                        .collect(),
                };
            Some(instances?.into_iter().map(instance).collect())
        })
    }

    pub async fn discovery_health(&self, arn: &str) -> Seen<Option<BTreeMap<String, String>>> {
        let pages = self.asker.pages(Call::GetInstancesHealthStatus, |token| async {
            let page = self
                .discovery
                .get_instances_health_status()
                .service_id(last(arn))
                .max_results(100)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.status.unwrap_or_default().into_iter().collect(), page.next_token))
        });
        pages.await.map(|statuses| {
            let statuses: Vec<(String, _)> = statuses?;
            Some(
                statuses
                    .into_iter()
                    .filter_map(|(id, status)| Some((id, text(Some(status))?)))
                    .collect(),
            )
        })
    }
}
