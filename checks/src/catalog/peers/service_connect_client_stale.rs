//! A Service Connect name that the service calls is newer than the service's own deployment: its
//! tasks do not know it. Tasks that ECS has replaced since then are like those of the deployment,
//! so their age does not count.

use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::peers::service_connect;
use crate::facts::tasks::connection_errors;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::{hcl, words};

crate::check! {
    /// The service calls another service by a Service Connect name that was created after its own
    /// last deployment.
    ///
    /// # Why it matters
    ///
    /// The proxy of a task knows the names that the namespace had when its service was deployed. A
    /// newer name does not resolve there, though the called service is healthy and registered.
    ///
    /// # How we tell
    ///
    /// A variable of a current version names the alias of another service in the same namespace,
    /// whose service in Cloud Map has a `CreateDate` later than the primary deployment. Tasks that
    /// scaling or a failure started since then do not count: AWS gives them the configuration of
    /// the deployment. A name with dots may resolve in DNS anyway: then it is only likely.
    ///
    /// # What to do
    ///
    /// Deploy the client again; nothing else has to change:
    ///
    /// ```sh
    /// aws ecs update-service --cluster <cluster> --service <client> --force-new-deployment
    /// ```
    ///
    /// Terraform/OpenTofu: `force_new_deployment = true` in `aws_ecs_service`.
    ///
    /// # See also
    ///
    /// `service_connect_namespace_differs`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html>
    title: "It was deployed before the Service Connect name it calls existed",
    severity: High,
    role: Cause,
    explains: [ContainerExits, HealthCheckFailsInApp, TargetsUnhealthy, BalancerAnswers504, AppAnswers5xx, AppAnswersSlowly],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition, ListServicesByNamespace,
        GetService, GetLogEvents,
    ],
    example: on worker, |snapshot| {
        use crate::baseline::peers::{discovery, log};
        use crate::baseline::{minutes_ago, roll_out};
        roll_out(snapshot, 30, |deployment| deployment.status = "ROLLBACK_SUCCESSFUL".into());
        if let Some(name) = snapshot.discovery_services.change(&discovery("srv-orders")) {
            name.create_date = Some(minutes_ago(180));
        }
        log(snapshot, "Error: getaddrinfo ENOTFOUND orders");
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let service = patient.service();
    let (Some(own), Some(deployment)) =
        (service_connect::configuration(service), service.primary())
    else {
        return Err(NoAnswer::NotApplicable(service_connect::NOT_CONNECTED));
    };
    if own.namespace.is_none() {
        return Err(NoAnswer::NotApplicable(service_connect::BY_DEFAULT));
    }
    for called in service_connect::called(patient, findings)? {
        let (endpoint, host) = (&called.endpoint, called.named.host);
        let Some(arn) = endpoint.resource().and_then(|resource| resource.discovery_arn.as_deref())
        else {
            continue;
        };
        if service_connect::same_namespace(own.namespace.as_deref(), endpoint.namespace)
            != Some(true)
        {
            continue;
        }
        let Some(made) = findings
            .see(patient.discovery_service(arn))
            .flatten()
            .and_then(|name| name.create_date)
        else {
            continue;
        };
        let Some(deployed) = deployment.created_at.filter(|deployed| *deployed < made) else {
            continue;
        };
        let failed = connection_errors::failed(patient, findings);
        let failed: Vec<_> = failed.iter().filter(|failed| failed.is_about(host, None)).collect();
        let (ago, unless) = (
            |at| time::words(time::age(patient.now(), at)),
            if host.contains('.') { ", unless it is in DNS" } else { "" },
        );
        let claim = format!(
            "the name {host} ({}) of service {} was created {} ago, and this service was deployed {} ago: its tasks do not know the name{unless}",
            called.named.variable,
            endpoint.service.service_name,
            ago(made),
            ago(deployed)
        );
        let finding = patient
            .subject()
            .sick(claim, Evidence::new(Call::GetService, arn, "CreateDate", made))
            .detail(connection_errors::quote(&failed))
            .because(patient.evidence("deployments.createdAt", deployed))
            .because_all(called.named.evidence())
            .mend(
                Remedy::new(
                    "Force a new deployment of this service, so that its tasks learn the name.",
                )
                .cli(patient.update_service().and(words!("--force-new-deployment")))
                .terraform(hcl!(
                    r#"
                        resource "aws_ecs_service" {} {
                          force_new_deployment = true
                        }"#,
                    patient.name()
                )),
            );
        findings.add(connection_errors::join(finding, &failed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::peers::{discovery, name_host, sibling};
    use crate::baseline::{self, minutes_ago};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn made(minutes: i64) -> Snapshot {
        let mut snapshot = baseline::worker();
        snapshot.discovery_services.change(&discovery("srv-orders")).unwrap().create_date =
            Some(minutes_ago(minutes));
        snapshot
    }

    #[test]
    fn names_both_moments_and_what_the_log_says() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The name orders (ORDERS_URL) of service orders was created 3 h ago, and this service was deployed 3 days ago: its tasks do not know the \
              name. The log says \"Error: getaddrinfo ENOTFOUND orders\"."
            ]
        );
    }

    #[test]
    fn a_client_that_was_deployed_after_the_server_is_fine() {
        assert!(says(CHECK, &made(4 * 1440)).is_empty());
        let mut snapshot = made(180);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(60));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn a_name_that_nobody_calls_may_be_as_young_as_it_likes() {
        let mut snapshot = made(180);
        name_host(&mut snapshot, &[("BILLING_URL", "billing")]);
        snapshot.peers.insert(baseline::id::ecs("service/prod/billing"), Seen::Yes(None));
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn tasks_that_were_replaced_since_are_no_newer() {
        let mut snapshot = made(180);
        let arn = snapshot.services[0].service_arn.clone();
        snapshot
            .running_tasks
            .change(&arn)
            .unwrap()
            .iter_mut()
            .for_each(|task| task.started_at = Some(minutes_ago(10)));
        assert_eq!(says(CHECK, &snapshot).len(), 1);
    }

    #[test]
    fn a_name_in_another_namespace_is_another_trouble() {
        let mut snapshot = made(180);
        let orders = snapshot.peers.change(&sibling()).unwrap();
        orders.deployments[0].service_connect_configuration.as_mut().unwrap().namespace =
            Some("beta".into());
        assert!(says(CHECK, &snapshot).is_empty());
    }

    #[test]
    fn without_service_connect_it_does_not_apply() {
        assert!(matches!(exam(CHECK, &baseline::fargate()).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_sibling_that_is_not_shown_is_not_taken_for_none() {
        let mut snapshot = made(180);
        snapshot.peers.insert(sibling(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
