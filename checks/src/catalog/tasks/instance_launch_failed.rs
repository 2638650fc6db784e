//! No instance can be launched for the tasks: by ECS itself, for a capacity provider of Managed
//! Instances, or by the Auto Scaling group behind a provider. A missing permission of the
//! infrastructure role is for `infrastructure_role_denied`; groups that do not try to launch are
//! for `capacity_provider_empty`.

use std::sync::LazyLock;

use regex::Regex;

use crate::aws::stop_reason::{self, Trouble};
use crate::aws::time;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::tasks::capacity::Block;
use crate::facts::tasks::reason::Told;
use crate::facts::tasks::shortage;
use crate::finding::{Finding, Remedy};
use crate::patient::Patient;
use crate::snapshot::GroupActivity;
use crate::text::pattern;
use crate::{aws, hcl, words};

crate::check! {
    /// EC2 refuses to launch an instance for the service's tasks.
    ///
    /// # Why it matters
    ///
    /// Without an instance, no task is placed. ECS and Auto Scaling keep trying, and each attempt
    /// fails the same way, in a part of the console that does not show the service.
    ///
    /// # How we tell
    ///
    /// For Managed Instances a service event or a stopped task says "Unable to launch instance(s)
    /// for capacity provider", with EC2's code: `VcpuLimitExceeded`,
    /// `MaxSpotInstanceCountExceeded`, `InsufficientInstanceCapacity`, `UnfulfillableCapacity`,
    /// `InsufficientFreeAddressesInSubnet` or another one. For an Auto Scaling group, its newest
    /// launch failed within the hour while tasks wait for an instance. Where the service names no
    /// capacity provider, the groups of the cluster's providers are checked, if there is no other
    /// instance. A failure followed by a successful launch does not count.
    ///
    /// # What to do
    ///
    /// Request a higher quota, allow more instance types or zones, or free addresses in the
    /// subnets:
    ///
    /// ```sh
    /// aws ecs describe-capacity-providers --capacity-providers <provider>
    /// aws autoscaling describe-scaling-activities --auto-scaling-group-name <group> --max-items 5
    /// ```
    ///
    /// Terraform/OpenTofu: `instance_requirements` and `network_configuration` in
    /// `aws_ecs_capacity_provider`, `mixed_instances_policy` in `aws_autoscaling_group`.
    ///
    /// # See also
    ///
    /// `infrastructure_role_denied`, `instance_not_registered`, `capacity_provider_empty`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instances-errors.html>,
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html>
    title: "EC2 refuses to launch an instance for the tasks",
    severity: High,
    role: Cause,
    explains: [NoInstanceFits, TasksFailToStart, TooFewRunning],
    reads: [
        DescribeServices,
        DescribeServiceDeployments,
        DescribeServiceRevisions,
        DescribeTasks,
        DescribeTaskDefinition,
        DescribeClusters,
        DescribeCapacityProviders,
        DescribeAutoScalingGroups,
        DescribeGroupActivities,
        DescribeContainerInstances,
    ],
    example: on worker, |snapshot| {
        crate::baseline::lack_tasks(snapshot);
        snapshot.services[0].launch_type = None;
        snapshot.services[0].capacity_providers = vec!["managed-arm".into()];
        crate::baseline::say(
            snapshot,
            8,
            "(service mailer) was unable to place a task. Reason: ResourceInitializationError: Unable to launch instance(s) for capacity provider managed-arm. VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to.",
        );
    },
}

static LAUNCH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"Unable to launch instance\(s\) for capacity provider (?<provider>[^\s.:]+)[.:]?\s*(?<code>[A-Z][A-Za-z.]+)?",
    )
});

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    reasons::each(patient, findings, &[Trouble::LaunchFailed], |told, _| {
        Some(by_ecs(patient, told))
    })?;
    for shortage in shortage::each(patient, findings)? {
        if let Some((supply, Block::LaunchFailed(activity))) = shortage.blocked() {
            let group = supply.group_name().unwrap_or_default();
            let claim = by_group(patient, supply.name, group, activity);
            findings.add(shortage.finding(patient, &claim).mend(fix_group(group)));
        }
    }
    Ok(())
}

/// What ECS itself says of an instance that it could not launch.
fn by_ecs(patient: &Patient, told: &Told) -> Finding {
    let captures = LAUNCH.as_ref().and_then(|pattern| pattern.captures(told.text));
    let named = |name| captures.as_ref().and_then(|found| found.name(name)).map(|it| it.as_str());
    let (provider, code) = (named("provider"), named("code"));
    let name = provider
        .map_or("a capacity provider".to_owned(), |name| format!("capacity provider {name}"));
    let refusal = Refusal::of(code.unwrap_or_default());
    let code = code.map_or_else(String::new, |code| format!(" ({code})"));
    let why = match refusal {
        Refusal::Other => format!("\"{}\"", stop_reason::quoted(after_code(told.text))),
        _ => refusal.words().to_owned(),
    };
    let claim = format!("ECS cannot launch an instance for {name}{code}: {why}");
    told.finding(patient, &claim).mend(refusal.remedy(patient, provider).cli(told.see(patient)))
}

/// EC2's own words: what follows the name of the provider.
fn after_code(text: &str) -> &str {
    text.split_once("for capacity provider ")
        .and_then(|(_, rest)| rest.split_once(' '))
        .map_or(text, |(_, words)| words)
}

/// Why EC2 refuses, by its error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Vcpus,
    SpotQuota,
    /// AWS has no such instance now.
    Capacity,
    Addresses,
    Other,
}

impl Refusal {
    fn of(code: &str) -> Refusal {
        match code {
            "VcpuLimitExceeded" | "InstanceLimitExceeded" => Refusal::Vcpus,
            "MaxSpotInstanceCountExceeded" => Refusal::SpotQuota,
            "InsufficientInstanceCapacity" | "UnfulfillableCapacity" => Refusal::Capacity,
            "InsufficientFreeAddressesInSubnet" => Refusal::Addresses,
            _ => Refusal::Other,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Refusal::Vcpus => "the account's quota of On-Demand vCPUs on EC2 is used up",
            Refusal::SpotQuota => "the account's quota of Spot vCPUs on EC2 is used up",
            Refusal::Capacity => {
                "EC2 has no capacity now for its instance types and Availability Zones"
            }
            Refusal::Addresses => "its subnets have no free addresses",
            Refusal::Other => "EC2 refuses the launch",
        }
    }

    fn remedy(self, patient: &Patient, provider: Option<&str>) -> Remedy {
        let name = provider.map_or(Word::needed("CAPACITY_PROVIDER"), Word::new);
        let see = aws!("ecs describe-capacity-providers --capacity-providers {}", name);
        let update = aws!(
            "ecs update-capacity-provider --name {} --cluster {} \
             --managed-instances-provider file://managed-instances.json",
            name,
            patient.cluster()
        );
        // Quotas of the standard instance families; others have codes of their own.
        let quota = |remedy: Remedy, code: &str| {
            remedy
                .cli(aws!(
                    "service-quotas get-service-quota --service-code ec2 --quota-code {}",
                    code
                ))
                .cli(
                    aws!("service-quotas request-service-quota-increase --service-code ec2")
                        .and(words!("--quota-code {} --desired-value $VCPUS", code)),
                )
                .terraform(hcl!(
                    r#"
                    resource "aws_servicequotas_service_quota" "ec2" {
                      service_code = "ec2"
                      quota_code   = {}
                      value        = var.vcpus
                    }"#,
                    code
                ))
        };
        match self {
            Refusal::Vcpus => quota(
                Remedy::new(
                    "Request a higher quota for the instance family, or stop instances that are not needed.",
                ),
                "L-1216C47A",
            ),
            Refusal::SpotQuota => quota(
                Remedy::new(
                    "Request a higher Spot quota, or allow the capacity provider to use On-Demand Instances.",
                ),
                "L-34B43A08",
            ),
            Refusal::Capacity => Remedy::new(
                "Allow more instance types, subnets in other Availability Zones, or On-Demand Instances beside Spot; ECS retries automatically.",
            )
            .cli(see)
            .cli(update)
            .terraform(hcl!(
                r#"
                # in managed_instances_provider of aws_ecs_capacity_provider
                instance_launch_template {
                  instance_requirements {
                    vcpu_count { min = 1 }
                    memory_mib { min = 1024 }
                  }
                }"#
            )),
            Refusal::Addresses => Remedy::new(
                "Give the capacity provider more or larger subnets, or free addresses in them.",
            )
            .cli(see)
            .cli(update)
            .terraform(hcl!(
                r#"
                # in managed_instances_provider of aws_ecs_capacity_provider
                instance_launch_template {
                  network_configuration { subnets = var.larger_subnets }
                }"#
            )),
            Refusal::Other => Remedy::new(
                "Fix what EC2 names in the capacity provider's launch settings; ECS retries automatically.",
            )
            .cli(see)
            .cli(update),
        }
    }
}

/// What the Auto Scaling group behind a provider tried last.
fn by_group(patient: &Patient, provider: &str, group: &str, activity: &GroupActivity) -> String {
    let at = activity.start_time.map_or_else(String::new, |at| {
        format!(" {} ago", time::words(time::age(patient.now(), at)))
    });
    let why = activity
        .status_message
        .as_deref()
        .map_or_else(String::new, |why| format!(" (\"{}\")", stop_reason::quoted(decisive(why))));
    format!(
        "Auto Scaling group {group} of capacity provider {provider} could not launch an instance{at}{why}"
    )
}

/// The sentence of a failed launch that has the reason, and not the one that says that there was
/// one.
fn decisive(message: &str) -> &str {
    let mut sentences = message.split(". ");
    sentences.find(|sentence| !sentence.starts_with("Could not launch")).unwrap_or(message)
}

fn fix_group(group: &str) -> Remedy {
    Remedy::new(
        "Allow the group more instance types or Availability Zones (a mixed instances policy), or fix what the message names: AMI, key pair, quota, role.",
    )
    .cli(aws!(
        "autoscaling update-auto-scaling-group --auto-scaling-group-name {} \
         --vpc-zone-identifier $SUBNET_ID,$OTHER_SUBNET_ID",
        group
    ))
    .terraform(hcl!(
        r#"
        # in aws_autoscaling_group
        mixed_instances_policy {
          launch_template {
            launch_template_specification {
              launch_template_id = aws_launch_template.ecs.id
            }
            override { instance_type = "m6i.large" }
            override { instance_type = "m5.large" }
          }
        }"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, capacity::GROUP, minutes_ago};
    use crate::call::Call;
    use crate::exam::{Outcome, examine};
    use crate::patient::Intent;
    use crate::snapshot::Snapshot;
    use crate::testing::{exam, says};

    /// Managed Instances under the worker, and what EC2 answered.
    fn refused(why: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        snapshot.services[0].events[0].message = format!(
            "(service mailer) was unable to place a task. Reason: ResourceInitializationError: Unable to launch instance(s) for capacity provider managed-arm. {why}"
        );
        snapshot
    }

    fn failed(minutes: i64, code: &str) -> GroupActivity {
        GroupActivity {
            description: Some("Launching a new EC2 instance.  Status Reason: no capacity".into()),
            status_code: Some(code.into()),
            status_message: Some(
                "Could not launch On-Demand Instances. We currently do not have sufficient t3.medium capacity. Launching EC2 instance failed."
                    .into(),
            ),
            start_time: Some(minutes_ago(minutes)),
            ..GroupActivity::default()
        }
    }

    /// A service on instances that ECS cannot place, and what its group tried.
    fn group(activities: &[GroupActivity], provided: bool) -> Snapshot {
        let mut snapshot = baseline::ec2();
        baseline::capacity::provide(&mut snapshot);
        baseline::lack_tasks(&mut snapshot);
        let cluster = snapshot.services[0].cluster_arn.clone();
        snapshot.container_instances.put(cluster, Vec::new());
        snapshot.auto_scaling_groups.change(GROUP).unwrap().instances.clear();
        if !provided {
            snapshot.services[0].capacity_providers.clear();
            snapshot.services[0].launch_type = Some("EC2".into());
        }
        let where_from = if provided { "capacity provider" } else { "cluster" };
        baseline::say(
            &mut snapshot,
            20,
            &format!(
                "(service web) was unable to place a task because no container instance met all of its requirements. Reason: No Container Instances were found in your {where_from}."
            ),
        );
        let all = [activities, &snapshot.group_activities.change(GROUP).unwrap().clone()].concat();
        snapshot.group_activities.put(GROUP, all);
        snapshot
    }

    #[test]
    fn each_code_has_its_words_and_its_fix() {
        for (code, words, fix) in [
            (
                "VcpuLimitExceeded: You have requested more",
                "quota of On-Demand vCPUs",
                "L-1216C47A",
            ),
            ("MaxSpotInstanceCountExceeded: Max spot", "quota of Spot vCPUs", "L-34B43A08"),
            (
                "InsufficientInstanceCapacity: We currently",
                "has no capacity now",
                "update-capacity-provider",
            ),
            (
                "UnfulfillableCapacity: Unable to fulfill",
                "has no capacity now",
                "update-capacity-provider",
            ),
            ("InsufficientFreeAddressesInSubnet: no", "no free addresses", "--name managed-arm"),
            (
                "InvalidParameterValue: The profile is bad.",
                "The profile is bad",
                "describe-capacity-providers",
            ),
        ] {
            let exam = exam(CHECK, &refused(code));
            let [finding] = exam.findings.as_slice() else { panic!("{code}: {:?}", exam.findings) };
            let name = code.split(':').next().unwrap();
            let begin = format!(
                "ECS cannot launch an instance for capacity provider managed-arm ({name}): "
            );
            assert!(finding.says().starts_with(&begin), "{}", finding.says());
            assert!(finding.says().contains(words), "{}", finding.says());
            let shell = finding.remedy.shell().join("\n");
            assert!(shell.contains(fix), "{shell}");
        }
    }

    #[test]
    fn a_permission_that_is_missing_is_told_elsewhere() {
        let denied = refused(
            "UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/infra/ECSManagedInstances is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/x",
        );
        assert_eq!(exam(CHECK, &denied).outcome, Outcome::Healthy);
    }

    #[test]
    fn what_started_since_then_had_an_instance() {
        let mut snapshot = (CHECK.example)();
        baseline::say(&mut snapshot, 2, "(service mailer) has started 1 tasks: (task 0123).");
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn the_group_behind_a_provider_is_quoted_until_a_launch_works() {
        for provided in [true, false] {
            let broken = group(&[failed(9, "Failed")], provided);
            let said = says(CHECK, &broken);
            assert!(
                said[0].starts_with(
                    "Auto Scaling group web-asg of capacity provider web-instances could not launch an instance 9 min ago (\"We currently do not have \
                     sufficient t3.medium capacity\"): ECS could not place a task of web:12"
                ),
                "{said:?}"
            );
            let works = group(&[failed(5, "Successful"), failed(9, "Failed")], provided);
            assert_eq!(exam(CHECK, &works).outcome, Outcome::Healthy);
            let history = group(&[failed(90, "Failed")], provided);
            assert_eq!(exam(CHECK, &history).outcome, Outcome::Healthy, "an hour ago is history");
        }
    }

    #[test]
    fn of_several_groups_of_the_cluster_none_counts_beside_instances() {
        let mut snapshot = group(&[failed(9, "Failed")], false);
        let cluster = snapshot.services[0].cluster_arn.clone();
        let there = baseline::ec2().container_instances.change(&cluster).unwrap().clone();
        snapshot.container_instances.put(&cluster, there);
        snapshot.clusters.change(&cluster).unwrap().capacity_providers.push("gpu".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_group_that_may_not_be_seen_is_no_finding() {
        let snapshot = group(&[failed(9, "Failed")], true);
        let intent = Intent::default();
        let check: &'static crate::check::Check = Box::leak(Box::new(CHECK));
        let blind = Patient::new(&snapshot, &snapshot.services[0], &intent)
            .blindfolded([Call::DescribeAutoScalingGroups]);
        assert_eq!(examine(check, &blind).outcome, Outcome::CouldNotLook);
    }
}
