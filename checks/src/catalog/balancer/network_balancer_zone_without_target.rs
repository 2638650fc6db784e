//! A network load balancer without cross-zone load balancing has a zone without a target:
//! connections to its address there fail. Tasks in a zone that the load balancer does not have are
//! for another check, and so is a zone whose targets are all unhealthy.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::check::{Findings, NoAnswer};
use crate::facts::deployment::rollout;
use crate::facts::inbound::{health_check, traffic};
use crate::finding::{Evidence, Finding, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{LoadBalancer, Target, TargetGroup};
use crate::text::and_list;
use crate::{aws, hcl};

crate::check! {
    /// Cross-zone load balancing is off, and in one of the zones of a network load balancer the
    /// target group has no target.
    ///
    /// # Why it matters
    ///
    /// A network load balancer has one address in each of its zones, and without cross-zone load
    /// balancing the node there sends connections to targets of its own zone only. Where there is
    /// none, they hang or are reset. AWS removes the address of such a zone from DNS. Clients that
    /// cache it, that use the addresses directly, or that connect through PrivateLink still get
    /// there: it looks as if every second attempt failed.
    ///
    /// # How we tell
    ///
    /// `load_balancing.cross_zone.enabled` of the target group is `false`, or leaves it to the
    /// load balancer, where it is off unless turned on. At least one target is healthy, and none is
    /// registered in one of the load balancer's zones. Where the zone of a target is not known, or
    /// targets count for all zones, nothing is claimed; nor while a deployment has just begun.
    ///
    /// # What to do
    ///
    /// Turn it on, or run tasks in every zone of the load balancer:
    ///
    /// ```sh
    /// aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> --attributes Key=load_balancing.cross_zone.enabled,Value=true
    /// ```
    ///
    /// Terraform/OpenTofu: `enable_cross_zone_load_balancing` in `aws_lb`, or
    /// `load_balancing_cross_zone_enabled` in `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `zone_not_enabled`, `single_task`, `network_balancer_resets_connections`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-load-balancer-attributes.html>
    title: "A zone of the network load balancer has no target",
    severity: Medium,
    role: Risk,
    explains: [ConnectionsReset],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetGroupAttributes, DescribeTargetHealth, DescribeLoadBalancers,
        DescribeLoadBalancerAttributes, DescribeListeners, DescribeRules, DescribeTasks,
    ],
    example: on network, |snapshot| {
        let targets = snapshot.target_health.change(&crate::baseline::id::group("api"));
        targets.into_iter().for_each(|targets| {
            targets.truncate(1);
            // Of an instance AWS does not tell the zone.
            targets[0].availability_zone = None;
        });
        let arn = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.change(&arn).into_iter().for_each(|tasks| tasks.truncate(1));
        (snapshot.services[0].desired_count, snapshot.services[0].running_count) = (1, 1);
    },
}

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let mut examined = false;
    for group in traffic::groups(patient)? {
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let balancers = findings.see(traffic::balancers_of(patient, settings));
        for arn in balancers.into_iter().flatten() {
            let Some(balancer) = findings.see(patient.load_balancer(arn)).flatten() else {
                continue;
            };
            let is_network = balancer.load_balancer_type.as_deref() == Some("network");
            if !is_network || !matches!(settings.target_type.as_deref(), Some("ip" | "instance")) {
                continue;
            }
            examined = true;
            if rollout::just_began(patient) || balancer.availability_zones.len() < 2 {
                continue;
            }
            let found = findings.see(bare_zones(patient, settings, balancer)).flatten();
            let finding = found.and_then(|found| finding(settings, balancer, &found));
            finding.into_iter().for_each(|finding| findings.add(finding));
        }
    }
    if examined || !findings.hidden.is_empty() {
        Ok(())
    } else {
        Err(NoAnswer::NotApplicable("no tasks or instances behind a network load balancer"))
    }
}

/// The zones of a load balancer without a target, and where cross-zone load balancing is turned
/// off.
struct Bare<'a> {
    zones: Vec<&'a str>,
    /// Of the targets.
    others: BTreeSet<&'a str>,
    setting: Setting,
}

enum Setting {
    OfGroup,
    OfBalancer,
    /// Off, because nobody turned it on.
    Default,
}

fn bare_zones<'a>(
    patient: &Patient<'a>,
    group: &TargetGroup,
    balancer: &'a LoadBalancer,
) -> Result<Option<Bare<'a>>, Blind> {
    let arn = &group.target_group_arn;
    let is_there = |target: &&Target| {
        matches!(target.state.as_str(), "healthy" | "unavailable" | "initial" | "unhealthy")
    };
    let targets: Vec<&'a Target> = patient.targets(arn)?.iter().filter(is_there).collect();
    // Without a healthy target anywhere there is other trouble.
    if !targets.iter().any(|target| matches!(target.state.as_str(), "healthy" | "unavailable")) {
        return Ok(None);
    }
    let Some(setting) = turned_off(patient, arn, balancer)? else { return Ok(None) };
    let mut others = BTreeSet::new();
    for target in targets {
        match zone(patient, target)? {
            Some(zone) if zone != "all" => others.insert(zone),
            _ => return Ok(None),
        };
    }
    let zones: Vec<&str> = balancer
        .availability_zones
        .iter()
        .map(String::as_str)
        .filter(|zone| !others.contains(zone))
        .collect();
    // Targets in none of its zones are for another check.
    let serves = balancer.availability_zones.iter().any(|zone| others.contains(zone.as_str()));
    Ok((serves && !zones.is_empty()).then_some(Bare { zones, others, setting }))
}

/// Where cross-zone load balancing is off, if it is. A target group may leave it to the load
/// balancer.
fn turned_off(
    patient: &Patient,
    group: &str,
    balancer: &LoadBalancer,
) -> Result<Option<Setting>, Blind> {
    let of_group = patient.target_group_attributes(group)?.and_then(|all| all.get(CROSS_ZONE));
    match of_group.map(String::as_str) {
        Some("false") => return Ok(Some(Setting::OfGroup)),
        Some("true") => return Ok(None),
        _ => {}
    }
    let of_balancer = patient.load_balancer_attributes(&balancer.load_balancer_arn)?;
    Ok(match of_balancer.and_then(|all| all.get(CROSS_ZONE)).map(String::as_str) {
        Some("true") => None,
        Some(_) => Some(Setting::OfBalancer),
        None => Some(Setting::Default),
    })
}

/// The zone that a target is in: as the load balancer says, or as its task does.
fn zone<'a>(patient: &Patient<'a>, target: &'a Target) -> Result<Option<&'a str>, Blind> {
    if let Some(zone) = target.availability_zone.as_deref() {
        return Ok(Some(zone));
    }
    Ok(health_check::task_behind(patient, target)?
        .and_then(|task| task.availability_zone.as_deref()))
}

fn finding(group: &TargetGroup, balancer: &LoadBalancer, bare: &Bare) -> Option<Finding> {
    let (name, zones) = (&balancer.load_balancer_name, and_list(&bare.zones));
    let arn = &balancer.load_balancer_arn;
    let claim = format!(
        "cross-zone load balancing is off on network load balancer {name}, and target group {} has targets in {} only: connections to the load balancer's address in {zones} reach no task",
        traffic::group_name(&group.target_group_arn),
        and_list(&bare.others)
    );
    let of_zone =
        |zone: &&str| Evidence::new(Call::DescribeLoadBalancers, arn, "AvailabilityZones", zone);
    let off = match bare.setting {
        Setting::OfGroup => {
            let call = Call::DescribeTargetGroupAttributes;
            Some(Evidence::new(call, &group.target_group_arn, CROSS_ZONE, "false"))
        }
        Setting::OfBalancer => {
            Some(Evidence::new(Call::DescribeLoadBalancerAttributes, arn, CROSS_ZONE, "false"))
        }
        Setting::Default => None,
    };
    let mut of_zones = bare.zones.iter().map(of_zone);
    let first = of_zones.next()?;
    let finding = Subject::new(Kind::LoadBalancer, arn)
        .sick(claim, first)
        .detail(format!(
            "AWS removes the address of a zone without a healthy target from DNS; clients that use all addresses hang on {} of {}.",
            bare.zones.len(),
            balancer.availability_zones.len()
        ))
        .because_all(of_zones)
        .because_all(off)
        .mend(remedy(group, balancer, &bare.setting))
        .concerns(Kind::TargetGroup, &group.target_group_arn);
    Some(finding)
}

fn remedy(group: &TargetGroup, balancer: &LoadBalancer, setting: &Setting) -> Remedy {
    let remedy = Remedy::new(
        "Turn on cross-zone load balancing, or run at least one task in every zone of the load balancer.",
    );
    match setting {
        Setting::OfGroup => remedy
            .cli(aws!(
                "elbv2 modify-target-group-attributes --target-group-arn {} \
                 --attributes Key=load_balancing.cross_zone.enabled,Value=true",
                group.target_group_arn
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  load_balancing_cross_zone_enabled = "true"
                }"#,
                group.target_group_name
            )),
        Setting::OfBalancer | Setting::Default => remedy
            .cli(aws!(
                "elbv2 modify-load-balancer-attributes --load-balancer-arn {} \
                 --attributes Key=load_balancing.cross_zone.enabled,Value=true",
                balancer.load_balancer_arn
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb" {} {
                  enable_cross_zone_load_balancing = true
                }"#,
                balancer.load_balancer_name
            )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, network};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    fn with_attribute(of_group: bool, value: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let attributes = if of_group {
            snapshot.target_group_attributes.change(&id::group("api")).unwrap()
        } else {
            snapshot.load_balancer_attributes.change(&network::balancer()).unwrap()
        };
        attributes.insert(CROSS_ZONE.into(), value.into());
        snapshot
    }

    fn targets_of(snapshot: &mut Snapshot) -> &mut Vec<Target> {
        snapshot.target_health.change(&id::group("api")).unwrap()
    }

    #[test]
    fn names_the_zones_and_turns_it_on_where_it_is_off() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Cross-zone load balancing is off on network load balancer web, and target group api has targets in eu-west-2a only: connections to the load balancer's address in eu-west-2b reach no task. AWS removes the address of a zone without a healthy target from DNS; clients that use all addresses hang on 1 of 2."
            ]
        );
        let command =
            |snapshot: &Snapshot| exam(CHECK, snapshot).findings.remove(0).remedy.shell().remove(0);
        assert!(command(&(CHECK.example)()).contains("modify-load-balancer-attributes"));
        assert!(command(&with_attribute(true, "false")).contains("modify-target-group-attributes"));
    }

    #[test]
    fn where_it_is_on_a_zone_needs_no_target() {
        for of_group in [true, false] {
            let snapshot = with_attribute(of_group, "true");
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "{of_group}");
        }
        let mut snapshot = (CHECK.example)();
        let arn = network::balancer();
        snapshot.load_balancer_attributes.change(&arn).unwrap().remove(CROSS_ZONE);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Sick, "off by default");
    }

    #[test]
    fn an_application_balancer_crosses_zones() {
        let mut snapshot = baseline::fargate();
        targets_of(&mut snapshot).truncate(1);
        assert!(matches!(exam(CHECK, &snapshot).outcome, Outcome::NotApplicable(_)));
    }

    #[test]
    fn a_target_outside_the_vpc_counts_for_every_zone() {
        let mut snapshot = (CHECK.example)();
        let targets = targets_of(&mut snapshot);
        targets[0].availability_zone = Some("all".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_zone_of_a_target_is_known_by_itself_or_by_its_task() {
        let mut snapshot = (CHECK.example)();
        let targets = targets_of(&mut snapshot);
        targets[0].availability_zone = Some("eu-west-2b".into());
        assert!(says(CHECK, &snapshot)[0].contains("in eu-west-2b only"));
        targets_of(&mut snapshot)[0].availability_zone = None;
        let service = snapshot.services[0].service_arn.clone();
        snapshot.running_tasks.insert(service, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn targets_that_are_all_unhealthy_or_still_start_are_other_troubles() {
        let mut snapshot = (CHECK.example)();
        let targets = targets_of(&mut snapshot);
        let second = Target { availability_zone: Some("eu-west-2b".into()), ..targets[0].clone() };
        targets.push(Target { state: "initial".into(), ..second });
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "it starts there");
        let targets = targets_of(&mut snapshot);
        targets.truncate(1);
        targets[0].state = "unhealthy".into();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "none is healthy anywhere");
    }
}
