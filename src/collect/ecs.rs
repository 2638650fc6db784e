//! What ECS tells: services, deployments, revisions, tasks, task definitions.

mod convert;
mod instances;

use std::collections::BTreeSet;

use aws_sdk_ecs::types;
use checks::call::Call;
use checks::seen::{Blind, Seen, Why};
use checks::snapshot::deployment::{Gateway, ListedDeployment};
use checks::snapshot::{
    ClusterServices, ExpressService, NamespaceServices, NewestRevisions, ProtectedTask, Revision,
    Service, ServiceDeployment, Table, Task, TaskDefinition,
};
use futures::future::{join, join_all};

use super::{Aws, time};

/// How many of the newest deployments are asked for their details; the limit of one call.
const DEPLOYMENTS: usize = 20;

impl Aws {
    pub async fn clusters(&self) -> Seen<Vec<String>> {
        let pages = self.asker.pages(Call::ListClusters, |token| async {
            let page =
                self.ecs.list_clusters().max_results(100).set_next_token(token).send().await?;
            Ok((page.cluster_arns.unwrap_or_default(), page.next_token))
        });
        pages.await.map(Option::unwrap_or_default)
    }

    /// The ARNs of a cluster's services.
    pub async fn service_arns(&self, cluster: &str) -> Seen<Vec<String>> {
        let pages = self.asker.pages(Call::ListServices, |token| async {
            let page = self
                .ecs
                .list_services()
                .cluster(cluster)
                .max_results(100)
                .set_next_token(token)
                .send()
                .await?;
            Ok((page.service_arns.unwrap_or_default(), page.next_token))
        });
        pages.await.map(Option::unwrap_or_default)
    }

    /// The services of a cluster, as far as one page shows them: whoever wants few needs no more.
    pub async fn cluster_services(&self, cluster: &str) -> Seen<Option<ClusterServices>> {
        let request = self.ecs.list_services().cluster(cluster).max_results(100).send();
        self.asker.ask(Call::ListServices, request).await.map(|reply| {
            let reply = reply?;
            Some(ClusterServices {
                service_arns: reply.service_arns.unwrap_or_default(),
                truncated: reply.next_token.is_some(),
            })
        })
    }

    /// Services of one cluster by name or ARN, ten a call. `None`: there is no such cluster.
    pub async fn services(&self, cluster: &str, names: &[String]) -> Seen<Option<Vec<Service>>> {
        let batches = names.chunks(10).map(|names| {
            let request =
                self.ecs.describe_services().cluster(cluster).set_services(Some(names.to_vec()));
            self.asker.ask(Call::DescribeServices, request.send())
        });
        let mut services = Vec::new();
        for batch in join_all(batches).await {
            match batch {
                Seen::Yes(Some(reply)) => services
                    .extend(reply.services.unwrap_or_default().into_iter().map(convert::service)),
                Seen::Yes(None) => return Seen::Yes(None),
                Seen::No(why) => return Seen::No(why),
            }
        }
        Seen::Yes(Some(services))
    }

    pub async fn express_service(&self, arn: &str) -> Seen<Option<ExpressService>> {
        let request = self.ecs.describe_express_gateway_service().service_arn(arn).send();
        let reply = self.asker.ask(Call::DescribeExpressGatewayService, request).await;
        reply.map(|reply| reply.and_then(|reply| reply.service).map(convert::express_service))
    }

    pub async fn gateway(&self, arn: &str) -> Seen<Option<Gateway>> {
        let request = self.ecs.describe_gateway().gateway(arn).send();
        let reply = self.asker.ask(Call::DescribeGateway, request).await;
        reply.map(|reply| reply.and_then(|reply| reply.gateway).map(convert::gateway))
    }

    /// Every deployment that ECS still lists, newest first.
    pub async fn listed_deployments(&self, service: &Service) -> Seen<Vec<ListedDeployment>> {
        let pages = self.asker.pages(Call::ListServiceDeployments, |token| async {
            let request = self
                .ecs
                .list_service_deployments()
                .service(&service.service_arn)
                .cluster(&service.cluster_arn);
            let page = request.max_results(100).set_next_token(token).send().await?;
            Ok((page.service_deployments.unwrap_or_default(), page.next_token))
        });
        pages.await.map(|listed| {
            let mut listed: Vec<_> =
                listed.unwrap_or_default().into_iter().map(convert::listed_deployment).collect();
            listed.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
            listed
        })
    }

    /// The details of the newest of these deployments, newest first.
    pub async fn service_deployments(
        &self,
        listed: &Seen<Vec<ListedDeployment>>,
    ) -> Seen<Vec<ServiceDeployment>> {
        let listed = match listed {
            Seen::Yes(listed) => listed,
            Seen::No(why) => return behind(Call::ListServiceDeployments, why),
        };
        let arns: Vec<String> = listed
            .iter()
            .take(DEPLOYMENTS)
            .map(|deployment| deployment.service_deployment_arn.clone())
            .collect();
        if arns.is_empty() {
            return Seen::Yes(Vec::new());
        }
        let request =
            self.ecs.describe_service_deployments().set_service_deployment_arns(Some(arns)).send();
        self.asker.ask(Call::DescribeServiceDeployments, request).await.map(|reply| {
            let described = reply.and_then(|reply| reply.service_deployments).unwrap_or_default();
            let mut described: Vec<_> =
                described.into_iter().map(convert::service_deployment).collect();
            described.sort_by_key(|deployment| std::cmp::Reverse(deployment.created_at));
            described
        })
    }

    /// Service revisions, twenty a call. Those from before October 2024 cannot be described: AWS
    /// has none.
    pub async fn revisions(&self, arns: BTreeSet<String>) -> Table<Revision> {
        let mut table = Table::default();
        let arns: Vec<String> = arns.into_iter().collect();
        let batches = arns.chunks(20).map(|batch| {
            let request = self
                .ecs
                .describe_service_revisions()
                .set_service_revision_arns(Some(batch.to_vec()))
                .send();
            self.asker.ask(Call::DescribeServiceRevisions, request)
        });
        for (batch, reply) in arns.chunks(20).zip(join_all(batches).await) {
            let reply = reply
                .map(|reply| reply.and_then(|reply| reply.service_revisions).unwrap_or_default());
            super::fill(
                &mut table,
                batch,
                reply.map(|found| found.into_iter().map(convert::revision).collect()),
                |revision| &revision.service_revision_arn,
            );
        }
        table
    }

    /// Tasks that run and tasks that stopped, the latter newest first.
    pub async fn tasks(&self, service: &Service) -> (Seen<Vec<Task>>, Seen<Vec<Task>>) {
        let (running, mut stopped) = join(
            self.tasks_of(service, types::DesiredStatus::Running),
            self.tasks_of(service, types::DesiredStatus::Stopped),
        )
        .await;
        if let Seen::Yes(stopped) = &mut stopped {
            stopped.sort_by_key(|task| std::cmp::Reverse(task.stopped_at));
        }
        (running, stopped)
    }

    async fn tasks_of(&self, service: &Service, status: types::DesiredStatus) -> Seen<Vec<Task>> {
        let pages = self.asker.pages(Call::ListTasks, |token| async {
            let request = self
                .ecs
                .list_tasks()
                .cluster(&service.cluster_arn)
                .service_name(&service.service_name)
                .desired_status(status.clone());
            let page = request.set_next_token(token).send().await?;
            Ok((page.task_arns.unwrap_or_default(), page.next_token))
        });
        let arns = match pages.await {
            Seen::Yes(arns) => arns.unwrap_or_default(),
            Seen::No(why) => return behind(Call::ListTasks, &why),
        };
        let batches = arns.chunks(100).map(|arns| {
            let request = self
                .ecs
                .describe_tasks()
                .cluster(&service.cluster_arn)
                .set_tasks(Some(arns.to_vec()));
            self.asker.ask(Call::DescribeTasks, request.send())
        });
        let mut tasks = Vec::new();
        for batch in join_all(batches).await {
            match batch {
                Seen::Yes(reply) => tasks.extend(
                    reply
                        .and_then(|reply| reply.tasks)
                        .unwrap_or_default()
                        .into_iter()
                        .map(convert::task),
                ),
                Seen::No(why) => return Seen::No(why),
            }
        }
        tasks.sort_by(|a, b| a.task_arn.cmp(&b.task_arn));
        Seen::Yes(tasks)
    }

    pub async fn task_definition(&self, arn: &str) -> Seen<Option<TaskDefinition>> {
        let request = self.ecs.describe_task_definition().task_definition(arn).send();
        let reply = self.asker.ask(Call::DescribeTaskDefinition, request).await;
        reply.map(|reply| {
            reply.and_then(|reply| reply.task_definition).map(convert::task_definition)
        })
    }

    /// The newest active revision of a family; the next page has older ones.
    pub async fn newest_revisions(&self, family: &str) -> Seen<Option<NewestRevisions>> {
        let request = self
            .ecs
            .list_task_definitions()
            .family_prefix(family)
            .sort(types::SortOrder::Desc)
            .max_results(1)
            .send();
        self.asker.ask(Call::ListTaskDefinitions, request).await.map(|reply| {
            let task_definition_arns = reply?.task_definition_arns.unwrap_or_default();
            Some(NewestRevisions { family: family.to_owned(), task_definition_arns })
        })
    }

    /// The services that use a namespace. AWS takes one such call a second, so one page has to do.
    pub async fn namespace_services(&self, namespace: &str) -> Seen<Option<NamespaceServices>> {
        let request =
            self.ecs.list_services_by_namespace().namespace(namespace).max_results(100).send();
        self.asker.ask(Call::ListServicesByNamespace, request).await.map(|reply| {
            let reply = reply?;
            let service_arns = reply.service_arns.unwrap_or_default();
            Some(NamespaceServices {
                namespace: namespace.to_owned(),
                service_arns,
                truncated: reply.next_token.is_some(),
            })
        })
    }

    /// Whether ECS may stop these tasks, a hundred at most.
    pub async fn task_protection(
        &self,
        cluster: &str,
        tasks: Vec<String>,
    ) -> Seen<Option<Vec<ProtectedTask>>> {
        let request = self.ecs.get_task_protection().cluster(cluster).set_tasks(Some(tasks)).send();
        self.asker.ask(Call::GetTaskProtection, request).await.map(|reply| {
            let protected = reply?.protected_tasks.unwrap_or_default().into_iter();
            Some(
                protected
                    .map(|task| ProtectedTask {
                        task_arn: task.task_arn.unwrap_or_default(),
                        protection_enabled: task.protection_enabled,
                        expiration_date: time(task.expiration_date),
                    })
                    .collect(),
            )
        })
    }
}

/// Unseen, because an earlier call was.
fn behind<T>(call: Call, why: &Why) -> Seen<T> {
    Seen::No(Why::Behind(Box::new(Blind { call, why: why.clone() })))
}
