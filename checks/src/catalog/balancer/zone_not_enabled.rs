//! Tasks run in an Availability Zone that the load balancer does not serve: their targets stay
//! unused.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::aws::event::{self, Event};
use crate::aws::time;
use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, Target};
use crate::text::{and_list, count, plural};
use crate::{aws, hcl};

crate::check! {
    /// Targets are in an Availability Zone that is not enabled for the load balancer, so it sends
    /// them nothing.
    ///
    /// # Why it matters
    ///
    /// A task there never gets a request and never becomes healthy. If all are there, the load
    /// balancer returns 503; if some are, deployments fail now and then, depending on where ECS
    /// starts a task. In Express Mode the first service of a VPC determines the load balancer's
    /// subnets for all later ones.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` says so itself, in the words `Target is in an Availability Zone that
    /// is not enabled for the load balancer`; while ECS is replacing tasks, a service event of the
    /// last half hour does. The load balancer's zones, and the service's subnets outside them, are
    /// named from `DescribeLoadBalancers` and `DescribeSubnets`.
    ///
    /// # What to do
    ///
    /// Add a subnet in that zone to the load balancer, or remove the zone from the service:
    ///
    /// ```sh
    /// aws elbv2 set-subnets --load-balancer-arn <arn> --subnets <all that it has> <one in the zone>
    /// ```
    ///
    /// Terraform/OpenTofu: `subnets` in `aws_lb`, or in the `network_configuration` of the service.
    ///
    /// # See also
    ///
    /// `targets_unused`, `balancer_answers_503`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>
    title: "Tasks run in a zone that is not enabled on the load balancer",
    severity: Critical,
    role: Cause,
    explains: [TargetsUnused, NoTarget, TasksKeepStopping, DeploymentStuck],
    applies: [BehindLoadBalancer],
    reads: [DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeLoadBalancers, DescribeSubnets, DescribeListeners, DescribeRules],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, target};
        let elsewhere = crate::snapshot::Target {
            reason: Some("Target.NotInUse".into()),
            description: Some(WORDS.into()),
            ..target("10.0.2.22", 8080, "eu-west-2c", "unused")
        };
        snapshot.target_health.put(id::group("api"), vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy"), elsewhere]);
        snapshot.subnets.change("subnet-0b2").into_iter().for_each(|subnet| subnet.availability_zone = Some("eu-west-2c".into()));
    },
}

const WORDS: &str = "Target is in an Availability Zone that is not enabled for the load balancer";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in traffic::groups(patient)? {
        let Some(targets) = findings.see(patient.targets(group)) else { continue };
        let outside: Vec<&Target> =
            targets.iter().filter(|target| target.description.as_deref() == Some(WORDS)).collect();
        let evidence = match outside.first() {
            Some(_) => {
                Evidence::new(Call::DescribeTargetHealth, group, "TargetHealth.Description", WORDS)
            }
            None if targets.is_empty() => match told(patient, group) {
                Some(evidence) => evidence,
                None => continue,
            },
            None => continue,
        };
        let balancer = findings.see(balancer(patient, group)).flatten();
        let stray = balancer
            .and_then(|balancer| findings.see(stray_subnets(patient, balancer)))
            .unwrap_or_default();
        findings.add(finding(patient, group, &outside, evidence, balancer, &stray)?);
    }
    Ok(())
}

/// The newest event about a target in the group, if that is its reason.
fn told(patient: &Patient, group: &str) -> Option<Evidence> {
    let recent = time::before(patient.now(), SignedDuration::from_mins(30));
    let events = patient
        .service()
        .events
        .iter()
        .filter(|event| event.created_at.is_some_and(|at| at >= recent));
    let (event, reason) =
        events.into_iter().find_map(|event| match event::read(&event.message) {
            Event::TargetUnhealthy { group: named, reason } if named == group => {
                Some((event, reason))
            }
            _ => None,
        })?;
    (reason == WORDS)
        .then(|| patient.evidence("events.message", &event.message).at(event.created_at))
}

fn balancer<'a>(patient: &Patient<'a>, group: &str) -> Result<Option<&'a LoadBalancer>, Blind> {
    let Some(group) = patient.target_group(group)? else { return Ok(None) };
    match traffic::balancers_of(patient, group)?.first() {
        Some(arn) => patient.load_balancer(arn),
        None => Ok(None),
    }
}

/// Subnets of the service in zones that the load balancer does not have, each with its zone.
fn stray_subnets<'a>(
    patient: &Patient<'a>,
    balancer: &LoadBalancer,
) -> Result<Vec<(&'a str, &'a str)>, Blind> {
    let mut stray = Vec::new();
    for id in reach::configured(patient, None).into_iter().flat_map(|network| &network.subnets) {
        if let Some(zone) =
            patient.subnet(id)?.and_then(|subnet| subnet.availability_zone.as_deref())
            && !balancer.availability_zones.iter().any(|served| served == zone)
        {
            stray.push((id.as_str(), zone));
        }
    }
    Ok(stray)
}

fn finding(
    patient: &Patient,
    group: &str,
    outside: &[&Target],
    evidence: Evidence,
    balancer: Option<&LoadBalancer>,
    stray: &[(&str, &str)],
) -> Result<Finding, Blind> {
    let zones: BTreeSet<&str> = outside
        .iter()
        .filter_map(|target| target.availability_zone.as_deref())
        .chain(stray.iter().map(|(_, zone)| *zone))
        .collect();
    let zone = if zones.is_empty() {
        "another zone".to_owned()
    } else {
        format!("zone {}", and_list(&zones))
    };
    let who = if outside.is_empty() { "tasks".to_owned() } else { count(outside.len(), "target") };
    let verb = plural(outside.len(), "is", "are");
    let name = traffic::group_name(group);
    let claim = format!(
        "{who} of target group {name} {verb} in {zone}, which is not enabled on the load balancer: it sends no requests there"
    );
    let serves = balancer.map_or_else(String::new, |balancer| {
        format!(
            "Load balancer {} serves {}.",
            balancer.load_balancer_name,
            and_list(&balancer.availability_zones)
        )
    });
    let arn = balancer.map_or_else(
        || Word::needed("LOAD_BALANCER_ARN"),
        |balancer| Word::new(&balancer.load_balancer_arn),
    );
    let own: Vec<&str> =
        balancer.into_iter().flat_map(|balancer| &balancer.subnets).map(String::as_str).collect();
    let fitting: Vec<&str> = reach::configured(patient, None)
        .into_iter()
        .flat_map(|network| &network.subnets)
        .map(String::as_str)
        .filter(|id| !stray.iter().any(|(other, _)| other == id))
        .collect();
    let remedy = if patient.is_express() {
        Remedy::new("Run the service only in subnets of the load balancer's zones: in Express Mode the first service of the VPC determined them.")
            .cli(aws!(
                "ecs update-express-gateway-service --service-arn {} \
                 --network-configuration subnets={}",
                patient.arn(),
                Word::list(&fitting)
            ))
            .terraform(hcl!(
                r#"
                resource "aws_ecs_express_gateway_service" {} {
                  network_configuration {
                    subnets = {}
                  }
                }"#,
                patient.name(),
                fitting
            ))
    } else {
        let wanted: Vec<&str> = own.iter().copied().chain(["<subnet in the zone>"]).collect();
        Remedy::new(format!("Add a subnet in {zone} to the load balancer, or remove that zone's subnets from the service."))
            .cli(
                aws!("elbv2 set-subnets --load-balancer-arn {} --subnets", arn)
                    .args(&own)
                    .arg(Word::needed("SUBNET_IN_THE_ZONE")),
            )
            .terraform(hcl!(
                r#"
                resource "aws_lb" "this" {
                  subnets = {}
                }"#,
                wanted
            ))
    };
    Ok(Subject::new(Kind::TargetGroup, group)
        .sick(claim, evidence)
        .detail(serves)
        .because_all(balancer.into_iter().flat_map(|balancer| {
            let zones = balancer.availability_zones.iter();
            zones.map(|zone| {
                Evidence::new(
                    Call::DescribeLoadBalancers,
                    &balancer.load_balancer_arn,
                    "AvailabilityZones",
                    zone,
                )
            })
        }))
        .because_all(
            stray.iter().map(|(id, zone)| {
                Evidence::new(Call::DescribeSubnets, *id, "AvailabilityZone", zone)
            }),
        )
        .mend(remedy)
        .concerns(Kind::TargetGroup, group)
        .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago, say};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn between_two_tasks(minutes: i64, reason: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let group = id::group("api");
        snapshot.target_health.put(&group, Vec::new());
        say(
            &mut snapshot,
            minutes,
            &format!(
                "(service api) (port 8080) is unhealthy in (target-group {group}) due to (reason {reason})."
            ),
        );
        snapshot
    }

    #[test]
    fn names_the_zone_and_those_that_are_served() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "1 target of target group api is in zone eu-west-2c, which is not enabled on the load balancer: it sends no requests there. Load balancer web serves eu-west-2a and eu-west-2b."
            ]
        );
    }

    #[test]
    fn an_event_tells_it_between_two_tasks_and_not_for_ever() {
        assert!(
            says(CHECK, &between_two_tasks(5, WORDS))[0]
                .starts_with("Tasks of target group api are in zone eu-west-2c")
        );
        assert_eq!(exam(CHECK, &between_two_tasks(45, WORDS)).outcome, Outcome::Healthy);
        assert_eq!(
            exam(CHECK, &between_two_tasks(5, "Request timed out")).outcome,
            Outcome::Healthy
        );
    }

    #[test]
    fn an_unused_target_for_another_reason_is_another_matter() {
        let mut snapshot = (CHECK.example)();
        for target in snapshot.target_health.change(&id::group("api")).unwrap() {
            target.description = target.description.as_ref().map(|_| {
                "Target group is not configured to receive traffic from the load balancer".into()
            });
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_the_balancers_zones_it_still_tells() {
        let mut snapshot = (CHECK.example)();
        let balancer = id::elb("loadbalancer/app/web/50dc6c495c0c9188");
        snapshot.load_balancers.insert(balancer, Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.findings.len(), exam.missed.len()), (1, 1));
        assert!(exam.findings[0].says().ends_with("it sends no requests there."));
    }

    #[test]
    fn express_keeps_the_balancers_zones() {
        let mut snapshot = baseline::express();
        let group = baseline::express_groups()[0].clone();
        let mut targets = snapshot.target_health.change(&group).unwrap().clone();
        targets[0].state = "unused".into();
        targets[0].description = Some(WORDS.into());
        snapshot.target_health.put(&group, targets);
        snapshot.services[0].deployments[0].created_at = Some(minutes_ago(20));
        let remedy = exam(CHECK, &snapshot).findings.remove(0).remedy;
        assert!(
            remedy.shell()[0].starts_with("aws ecs update-express-gateway-service"),
            "{remedy:?}"
        );
    }
}
