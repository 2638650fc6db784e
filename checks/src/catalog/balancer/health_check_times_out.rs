//! The health check gets no answer in time, although security groups and network ACLs allow it.
//! Where they do not, or where that cannot be told, it is for the checks of the network and the
//! symptom itself.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::aws::admission::Admission;
use crate::call::Call;
use crate::catalog::balancer::common::complaint::complaint;
use crate::check::{Findings, NoAnswer};
use crate::facts::inbound::health_check::{self, FailedCheck, Failure};
use crate::facts::inbound::task_access;
use crate::facts::inbound::traffic;
use crate::facts::network::reach;
use crate::facts::tasks::metric;
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::TargetGroup;
use crate::snapshot::metric::Metric;
use crate::text::shortened;
use crate::{aws, hcl};

crate::check! {
    /// The load balancer's health check gets no answer before its timeout, although the security
    /// groups and network ACLs of the load balancer and the tasks allow it.
    ///
    /// # Why it matters
    ///
    /// The target stays unhealthy and ECS replaces the task, which has to start all over again.
    /// Requests of clients that reach such a task wait and finally get 504.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the reason `Target.Timeout`, and the security groups of the
    /// load balancer (outbound) and of the tasks (inbound) both allow the port, and no network ACL
    /// between their subnets drops it. Then the app most likely accepts the connection and is too
    /// slow: because it lacks CPU, or because the health check's path does too much. The most
    /// telling line of the app's log is quoted: a throttled or unanswered call of the app rather
    /// than any other error. Where targets are instances, the security groups are those of their
    /// primary interfaces. Of a version that ECS rolled back, the events of its time and the
    /// settings of its revision count. The check is silent while the service's grace period is not
    /// over for the task. Routes and firewalls on the network path are not examined: if only the
    /// targets of one zone time out, they are the likelier cause.
    ///
    /// # What to do
    ///
    /// Make the health check's path answer at once, give the app more CPU, or raise the timeout:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-timeout-seconds 10 --health-check-interval-seconds 30
    /// ```
    ///
    /// Terraform/OpenTofu: `timeout` and `interval` in the `health_check` of `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `task_security_group_blocks_balancer`, `network_acl_blocks`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The health check times out, although nothing seen blocks it",
    severity: Critical,
    role: Cause,
    shows: HealthCheckTimesOut,
    explains: [TargetsUnhealthy, TargetsFlapping, BalancerAnswers504, AppAnswersSlowly],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, DescribeLoadBalancers, DescribeNetworkInterfaces, DescribeSecurityGroups, DescribeSubnets, DescribeNetworkAcls, GetManagedPrefixListEntries, GetMetricData, GetLogEvents, DescribeListeners, DescribeRules,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes, unhealthy};
        let slow = |address| unhealthy(address, 8080, "Target.Timeout", "Request timed out");
        snapshot.target_health.put(id::group("api"), vec![slow("10.0.1.21"), slow("10.0.2.22")]);
        let service = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&service), minutes(98.0));
    },
}

/// From here on a service is short of CPU, in percent of what it has.
const BUSY: f64 = 90.0;

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for group in health_check::groups(patient, findings)? {
        let Some(failures) = findings.see(health_check::failures_past_grace(patient, group)) else {
            continue;
        };
        let slow: Vec<&FailedCheck> =
            failures.iter().filter(|failed| failed.failure == Failure::TimedOut).collect();
        let Some(first) = slow.first() else { continue };
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let Some(open) = findings.see(all_open(patient, settings, &slow)) else { continue };
        if !open {
            continue;
        }
        let limit = settings.health_check_timeout_seconds.unwrap_or(5);
        let interval = settings.health_check_interval_seconds.unwrap_or(30);
        let name = traffic::group_name(group);
        let past = first.past(patient.now());
        let claim = match &past {
            None => format!(
                "the health check of target group {name} gets no answer within {limit} s, although security groups and network ACLs allow it"
            ),
            Some((version, until)) => format!(
                "the health check of target group {name} got no answer from {version} within {limit} s{until}, although security groups and network ACLs allow it"
            ),
        };
        let busy = if past.is_none() { findings.see(busy(patient)).flatten() } else { None };
        let zone = findings.see(only_zone(patient, group, &slow)).flatten();
        let complaint = complaint(patient, findings, group, &failures);
        let why = match (&busy, zone) {
            (Some(cpu), _) => format!(
                "In the last 5 min the service reached {:.0} % of its CPU, so the app is likely too busy to answer.",
                cpu.peak
            ),
            (None, Some(zone)) => format!(
                "Only targets in {zone} time out: the likely reason is a route of that zone's subnets or a firewall, which were not examined."
            ),
            (None, None) if past.is_some() => {
                "The app was likely too slow to answer, or hung.".to_owned()
            }
            (None, None) => "The app is likely too slow to answer, or hangs.".to_owned(),
        };
        let says = complaint
            .as_ref()
            .map(|complaint| format!("Its log says \"{}\".", shortened(&complaint.value, 160)));
        let longer = (limit * 2).min(60);
        let interval = interval.max(longer + 5);
        let summary = "Make the health check's path answer at once and without a database. Otherwise raise the timeout, or give the app more CPU.";
        let remedy = Remedy::new(summary)
            .cli(aws!(
                "elbv2 modify-target-group --target-group-arn {} --health-check-timeout-seconds {} \
                 --health-check-interval-seconds {}",
                group,
                longer,
                interval
            ))
            .terraform(hcl!(
                r#"
                resource "aws_lb_target_group" {} {
                  health_check {
                    timeout  = {}
                    interval = {}
                  }
                }"#,
                name,
                longer,
                interval
            ));
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(claim, first.evidence.clone())
                .detail(why)
                .detail(says.unwrap_or_default())
                .because_all(complaint)
                .because_all(settings.health_check_timeout_seconds.map(|limit| {
                    Evidence::new(
                        Call::DescribeTargetGroups,
                        group,
                        "HealthCheckTimeoutSeconds",
                        limit,
                    )
                }))
                .because_all(busy.map(|cpu| cpu.evidence))
                .mend(remedy)
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?)
                .concerns_all(
                    Kind::TaskDefinition,
                    first.given_up().and_then(|version| version.task_definition),
                ),
        );
    }
    Ok(())
}

/// The service's CPU of the last minutes, if it was short of it.
fn busy(patient: &Patient) -> Result<Option<metric::Recent>, Blind> {
    let window = SignedDuration::from_mins(5);
    let cpu = metric::recent(patient, Metric::Cpu, patient.arn(), window)?;
    Ok(cpu.filter(|cpu| cpu.peak >= BUSY))
}

/// Whether security groups and network ACLs are proved to allow every one of these health checks,
/// from every load balancer.
fn all_open<'a>(
    patient: &Patient<'a>,
    settings: &'a TargetGroup,
    slow: &[&FailedCheck],
) -> Result<bool, Blind> {
    let balancers = traffic::balancers_of(patient, settings)?;
    for arn in &balancers {
        let Some(balancer) =
            patient.load_balancer(arn)?.filter(|balancer| !balancer.security_groups.is_empty())
        else {
            return Ok(false);
        };
        if !task_access::shut_by_acls(patient, settings, balancer)?.is_empty() {
            return Ok(false);
        }
        for failed in slow {
            let groups = reach::groups_of(patient, failed)?;
            let Some(port) = reach::health_check_port(patient, settings, failed.target) else {
                return Ok(false);
            };
            let open = |admission| admission == Admission::Yes;
            if !open(reach::into_task(patient, balancer, &groups, port)?)
                || !open(reach::out_to_task(patient, balancer, &groups, failed.target, port)?)
            {
                return Ok(false);
            }
        }
    }
    Ok(!balancers.is_empty() && matches!(settings.target_type.as_deref(), Some("ip" | "instance")))
}

/// The one zone whose targets time out, while targets of other zones are healthy.
fn only_zone<'a>(
    patient: &Patient<'a>,
    group: &str,
    slow: &[&FailedCheck<'a>],
) -> Result<Option<&'a str>, Blind> {
    let zones: BTreeSet<Option<&str>> = slow
        .iter()
        .map(|failed| failed.target.and_then(|target| target.availability_zone.as_deref()))
        .collect();
    let healthy: BTreeSet<Option<&str>> = patient
        .targets(group)?
        .iter()
        .filter(|target| target.state == "healthy")
        .map(|target| target.availability_zone.as_deref())
        .collect();
    let alone = zones.len() == 1 && !healthy.is_empty() && zones.is_disjoint(&healthy);
    Ok(zones.into_iter().next().flatten().filter(|_| alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::instances::INSTANCES;
    use crate::baseline::{self, NOW, id, minutes, target, unhealthy};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Snapshot, Target};
    use crate::testing::{exam, says};

    fn slow(address: &str) -> Target {
        unhealthy(address, 8080, "Target.Timeout", "Request timed out")
    }

    /// All targets time out, with CPU to spare.
    fn sick() -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        snapshot.metrics.put(Metric::Cpu.of(&service), minutes(20.0));
        snapshot
    }

    #[test]
    fn says_that_nothing_blocks_it() {
        assert_eq!(
            says(CHECK, &sick()),
            [
                "The health check of target group api gets no answer within 5 s, although security groups and network ACLs allow it. The app is likely too slow to answer, or hangs."
            ]
        );
    }

    #[test]
    fn a_busy_cpu_is_the_likely_reason() {
        assert!(
            says(CHECK, &(CHECK.example)())[0]
                .ends_with("In the last 5 min the service reached 98 % of its CPU, so the app is likely too busy to answer.")
        );
    }

    #[test]
    fn one_zone_alone_points_at_its_network() {
        let mut snapshot = sick();
        snapshot.target_health.put(
            id::group("api"),
            vec![slow("10.0.1.21"), target("10.0.2.22", 8080, "eu-west-2b", "healthy")],
        );
        assert!(says(CHECK, &snapshot)[0].contains("Only targets in eu-west-2a time out"));
    }

    #[test]
    fn is_silent_where_the_tasks_security_group_blocks() {
        let mut snapshot = sick();
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn is_silent_where_the_balancers_security_group_blocks() {
        let mut snapshot = sick();
        snapshot.security_groups.change("sg-balancer").unwrap().ip_permissions_egress.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn is_silent_where_a_network_acl_drops_it_and_where_none_is_seen() {
        let mut snapshot = sick();
        snapshot.network_acls.change("vpc-1").unwrap()[0].entries.clear();
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        snapshot.network_acls.insert("vpc-1", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn is_silent_where_only_the_health_checks_own_port_is_blocked() {
        let mut snapshot = sick();
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_prefix_list_proves_nothing() {
        let mut snapshot = sick();
        let permission = &mut snapshot.security_groups.change("sg-task").unwrap().ip_permissions[0];
        permission.group_id.clear();
        permission.prefix_list_id.push("pl-0123".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn unseen_security_groups_are_not_open() {
        let mut snapshot = sick();
        snapshot.security_groups.insert("sg-task", Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }

    #[test]
    fn an_instance_has_to_be_open_and_seen() {
        let mut snapshot = baseline::ec2();
        snapshot
            .target_health
            .put(id::group("web"), vec![Target { port: Some(32768), ..slow(INSTANCES[0]) }]);
        assert!(says(CHECK, &snapshot)[0].starts_with(
            "The health check of target group web gets no answer within 5 s, although"
        ));
        snapshot.instance_interfaces.insert(INSTANCES[0], Seen::Yes(None));
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "an instance that is gone proves nothing"
        );
        snapshot.instance_interfaces.insert(INSTANCES[0], Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
        let mut snapshot = baseline::ec2();
        snapshot
            .target_health
            .put(id::group("web"), vec![Target { port: Some(3000), ..slow(INSTANCES[0]) }]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy, "a port that no task has");
    }

    #[test]
    fn a_task_in_its_grace_period_may_be_slow() {
        let mut snapshot = sick();
        let service = snapshot.services[0].service_arn.clone();
        for task in snapshot.running_tasks.change(&service).unwrap() {
            task.started_at = Some(NOW - SignedDuration::from_secs(50));
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn an_answer_or_a_refusal_is_not_a_timeout() {
        let mut snapshot = baseline::fargate();
        let refused =
            unhealthy("10.0.1.21", 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![refused]);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }
}
