//! Something that ECS created for an Express service, or should have created, failed or is stuck. A
//! role that does not allow it is for `infrastructure_role_denied` to report.

use jiff::SignedDuration;

use crate::aws::rollback_reason;
use crate::aws::time::{age, words};
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::managed::{self, Managed};
use crate::finding::{Kind, Remedy};
use crate::patient::Patient;
use crate::snapshot::Revision;
use crate::words;

crate::check! {
    /// A resource that Express Mode manages for the service is `FAILED`, or has been `PROVISIONING`
    /// for too long.
    ///
    /// # Why it matters
    ///
    /// The console shows it on no main page: the deployment does not end, or the address does not
    /// respond, and only the resource's `statusReason` says why.
    ///
    /// # How we tell
    ///
    /// `ecsManagedResources` of the revision that the newest deployment brings: load balancer,
    /// certificate, listener, rule, target groups, security groups, scaling, alarms and log groups.
    /// `FAILED` counts at once; `PROVISIONING` after 15 minutes without a change, since a
    /// certificate or a load balancer takes a while. A resource that gives no reason and is
    /// `PROVISIONING` next to one that failed waits for that one, and is named with it. A denial by
    /// IAM is reported by `infrastructure_role_denied`.
    ///
    /// # What to do
    ///
    /// Read what ECS reports for the resource and fix that; ECS retries on its own:
    ///
    /// ```sh
    /// aws ecs describe-service-revisions --service-revision-arns <revision> --query 'serviceRevisions[0].ecsManagedResources'
    /// ```
    ///
    /// A resource that lost its tag `AmazonECSManaged=true` can no longer be changed by ECS.
    /// Terraform/OpenTofu: nothing to change, unless it took the resource over;
    /// `aws_ecs_express_gateway_service` manages none of them.
    ///
    /// # See also
    ///
    /// `infrastructure_role_denied`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/express-service-troubleshooting.html>
    title: "A resource that ECS manages for the service failed or is stuck",
    severity: High,
    role: Cause,
    explains: [TooFewRunning, DeploymentStuck, RolledBack, RollbackFailed],
    reads: [DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions],
    example: on express, |snapshot| {
        use crate::baseline::{minutes_ago, roll_out};
        roll_out(snapshot, 35, |deployment| deployment.lifecycle_stage = Some("PRE_SCALE_UP".into()));
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        if let Some(certificate) = snapshot.revisions.change(&newest).and_then(|revision| revision.ingress_paths[0].certificate.as_mut()) {
            certificate.status = Some("FAILED".into());
            certificate.status_reason = Some("The certificate could not be validated: the limit of certificates is reached.".into());
            certificate.updated_at = Some(minutes_ago(30));
        }
    },
}

/// A load balancer, its certificate and its listener take some minutes to create.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    if !patient.is_express() {
        return Err(NoAnswer::NotApplicable("ECS manages resources for Express services only"));
    }
    let Some(revision) = managed::revision(patient)? else { return Ok(()) };
    let resources = managed::resources(revision);
    let waiting = managed::waiting(&resources);
    for resource in resources.iter().filter(|resource| !waiting.contains(resource)) {
        let Some(state) = trouble(patient, revision, resource) else { continue };
        let why = resource.reason.map_or_else(
            || "ECS gives no reason".to_owned(),
            |reason| format!("ECS says: \"{}\"", reason.trim_end_matches('.')),
        );
        let name = resource.name();
        let mut evidence = resource.evidence(revision);
        let Some(first) = evidence.next() else { continue };
        let see = patient
            .see(Call::DescribeServiceRevisions, &revision.service_revision_arn)
            .and(words!("--query serviceRevisions[0].ecsManagedResources"));
        findings.add(
            resource
                .subject(revision)
                .sick(format!("the {name} that ECS manages for the service {state}"), first)
                .detail(format!("{why}."))
                .detail(managed::waiting_words(&waiting))
                .because_all(evidence)
                .mend(Remedy::new("Fix what ECS reports for it; ECS retries on its own.").cli(see))
                .since(resource.updated_at)
                .concerns_all(Kind::TaskDefinition, revision.task_definition.as_deref()),
        );
    }
    Ok(())
}

/// What is wrong with it, in words.
fn trouble(patient: &Patient, revision: &Revision, resource: &Managed) -> Option<String> {
    if resource.reason.and_then(rollback_reason::denied).is_some() {
        return None;
    }
    let since = resource.updated_at.or(revision.created_at);
    let lasts = since.map(|at| age(patient.now(), at));
    let ago = lasts.map_or_else(String::new, |lasts| format!(" for {}", words(lasts)));
    match resource.status {
        "FAILED" => Some(format!("has been FAILED{ago}")),
        "PROVISIONING" if lasts.is_some_and(|lasts| lasts > PATIENCE) => {
            Some(format!("has been PROVISIONING{ago}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, minutes_ago};
    use crate::exam::Outcome;
    use crate::snapshot::{ManagedResource, Snapshot};
    use crate::testing::{exam, says};

    fn example(change: impl FnOnce(&mut ManagedResource)) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        change(
            snapshot.revisions.change(&newest).unwrap().ingress_paths[0]
                .certificate
                .as_mut()
                .unwrap(),
        );
        snapshot
    }

    #[test]
    fn quotes_what_ecs_says_of_it() {
        let expected = "The certificate that ECS manages for the service has been FAILED for 30 min. ECS says: \"The certificate could not be validated: \
                        the limit of certificates is reached\".";
        assert_eq!(says(CHECK, &example(|_| ())), [expected]);
    }

    #[test]
    fn provisioning_takes_its_time() {
        let provisioning = |minutes| {
            example(|certificate| {
                certificate.status = Some("PROVISIONING".into());
                certificate.updated_at = Some(minutes_ago(minutes));
            })
        };
        assert_eq!(exam(CHECK, &provisioning(14)).outcome, Outcome::Healthy);
        assert_eq!(exam(CHECK, &provisioning(16)).outcome, Outcome::Sick);
    }

    /// The others with which the resource that failed is made.
    fn all_wait(snapshot: &mut Snapshot) {
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        let path = &mut snapshot.revisions.change(&newest).unwrap().ingress_paths[0];
        for resource in [&mut path.listener, &mut path.rule].into_iter().flatten() {
            resource.status = Some("PROVISIONING".into());
            resource.status_reason = None;
            resource.updated_at = Some(minutes_ago(30));
        }
    }

    #[test]
    fn what_waits_behind_a_failure_is_named_with_it_and_no_trouble_of_its_own() {
        let mut snapshot = example(|_| ());
        all_wait(&mut snapshot);
        let found = says(CHECK, &snapshot);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0]
                .ends_with("The listener and the listener rule are still PROVISIONING behind it."),
            "{found:?}"
        );
    }

    #[test]
    fn behind_a_refusal_too() {
        let mut snapshot = (super::super::infrastructure_role_denied::CHECK.example)();
        all_wait(&mut snapshot);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        let denied = says(super::super::infrastructure_role_denied::CHECK, &snapshot);
        assert!(denied[0].contains("are still PROVISIONING behind it."), "{denied:?}");
    }

    #[test]
    fn where_nothing_failed_whatever_is_late_is_a_trouble() {
        let mut snapshot = example(|certificate| certificate.status = Some("ACTIVE".into()));
        all_wait(&mut snapshot);
        assert_eq!(says(CHECK, &snapshot).len(), 2);
    }

    #[test]
    fn what_ecs_takes_away_has_not_failed() {
        for status in ["ACTIVE", "DEPROVISIONING", "DELETED"] {
            let snapshot = example(|certificate| certificate.status = Some(status.into()));
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{status}");
        }
    }

    #[test]
    fn a_refusal_by_iam_is_told_by_another() {
        let snapshot = (super::super::infrastructure_role_denied::CHECK.example)();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn every_kind_of_resource_is_looked_at() {
        let mut snapshot = (CHECK.example)();
        let newest = snapshot.services[0].current_service_revisions[0].clone();
        let revision = snapshot.revisions.change(&newest).unwrap();
        let all = managed::resources(revision).len();
        let fail = |resource: &mut ManagedResource| resource.status = Some("FAILED".into());
        let path = &mut revision.ingress_paths[0];
        [
            &mut path.load_balancer,
            &mut path.certificate,
            &mut path.listener,
            &mut path.rule,
            &mut revision.scalable_target,
        ]
        .into_iter()
        .for_each(|resource| resource.iter_mut().for_each(fail));
        path.load_balancer_security_groups.iter_mut().for_each(fail);
        path.target_groups.iter_mut().for_each(|group| group.status = Some("FAILED".into()));
        [
            &mut revision.metric_alarms,
            &mut revision.service_security_groups,
            &mut revision.log_groups,
        ]
        .into_iter()
        .for_each(|resources| resources.iter_mut().for_each(fail));
        assert_eq!(says(CHECK, &snapshot).len(), all);
    }

    #[test]
    fn other_services_have_no_managed_resources() {
        assert_eq!(
            exam(CHECK, &baseline::fargate()).outcome,
            Outcome::NotApplicable("ECS manages resources for Express services only")
        );
    }
}
