//! The health check reaches the task and nothing there answers it properly: the connection is
//! refused or reset, or the answer is malformed. What the app's own log says about where it listens
//! narrows it down.

use crate::call::Call;
use crate::catalog::balancer::common::new_version;
use crate::catalog::balancer::common::refused_health_check::{self, Line, Refused};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::task_access;
use crate::facts::inbound::traffic;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::snapshot::TargetGroup;
use crate::{aws, hcl};

crate::check! {
    /// The load balancer's health check reaches the task, but the connection is refused or reset,
    /// or the response is not the HTTP that the target group expects.
    ///
    /// # Why it matters
    ///
    /// The target stays unhealthy, and ECS replaces the task again and again. Requests of clients
    /// that reach such a task get 502.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the reason `Target.FailedHealthChecks` without a code.
    /// Something came back at once, so security groups and network are likely open. The line that
    /// the app logs when it starts tells more: that it listens on 127.0.0.1. Another port or
    /// another protocol is for the checks of those. Only lines of the container that is registered
    /// with the group, of the version that fails, are read; and as some apps print `localhost`
    /// though they listen everywhere, it is "likely". A network load balancer gives this reason for
    /// every failure: there the check may as well be dropped on the network path, and nothing is
    /// said where a security group or a network ACL is proved to block it. Otherwise a group that
    /// uses HTTPS, HTTP/2 or gRPC may have an app that does not. While the service's grace period
    /// is not over for a task, it may still be starting, and nothing is said.
    ///
    /// # What to do
    ///
    /// Make the app listen on all addresses, on the port of the health check; or change the check:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-protocol HTTP --health-check-port traffic-port
    /// ```
    ///
    /// Terraform/OpenTofu: `container_port` in the `load_balancer` of `aws_ecs_service` or in the
    /// `primary_container` of `aws_ecs_express_gateway_service`; `protocol` and `port` in the
    /// `health_check` of `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `health_check_wrong_port`, `health_check_wrong_protocol`,
    /// `exits_with_error`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "The health check is refused or gets no valid response",
    severity: Critical,
    role: Cause,
    shows: HealthCheckRefused,
    explains: [TargetsUnhealthy, BalancerAnswers502, ConnectionsReset],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents, DescribeListeners, DescribeRules,
        DescribeLoadBalancers, DescribeNetworkInterfaces, DescribeSecurityGroups, DescribeSubnets, DescribeNetworkAcls, GetManagedPrefixListEntries,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, unhealthy};
        let refused = |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![refused("10.0.1.21"), refused("10.0.2.22")]);
        let stream = format!("ecs/app/{}", id::task(1));
        let message = "INFO:     Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)".into();
        let line = crate::snapshot::LogLine { timestamp: Some(minutes_ago(3)), message, log_stream_name: stream.clone() };
        snapshot.logs.put(format!("/ecs/api{}{stream}", crate::call::LOG_STREAM), vec![line]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for refused in refused_health_check::groups(patient, findings)? {
        let Refused { group, settings, ref failures } = refused;
        let first = refused.first();
        let port = refused_health_check::port_in_container(patient, settings, first);
        let lines =
            findings.see(refused_health_check::lines(patient, group, failures)).unwrap_or_default();
        let clue = Clue::of(settings, port, &lines);
        let name = traffic::group_name(group);
        let on_port = port.map(|port| format!(" on port {port}")).unwrap_or_default();
        // Where something is proved to drop it, that is the cause; and where that cannot be told,
        // it may be.
        if refused.may_be_dropped()
            && findings.see(task_access::is_shut(patient, settings, failures)) != Some(false)
        {
            continue;
        }
        let past = first.past(patient.now());
        let fails = match (&past, refused.may_be_dropped()) {
            (None, true) => format!(
                "fails{on_port}: it is refused, dropped on the network path, or gets a wrong answer; a network load balancer does not say which"
            ),
            (Some((version, until)), true) => format!(
                "failed{on_port} for {version}{until}: it was refused, dropped on the network path, or got a wrong answer; a network load balancer does not say which"
            ),
            (None, false) => format!(
                "reaches the task, but{on_port} the connection is refused or reset, or the answer is malformed"
            ),
            (Some((version, until)), false) => format!(
                "reached {version}, but{on_port} the connection was refused or reset, or the answer was malformed{until}"
            ),
        };
        let claim = format!("the health check of target group {name} {fails}");
        findings.add(
            refused
                .sick(patient, claim)?
                .detail(clue.words(past.is_some()))
                .because_all(clue.evidence(group))
                .mend(remedy(patient, settings, port, &clue)),
        );
    }
    Ok(())
}

/// What narrows it down, as far as other checks do not.
enum Clue<'l, 'a> {
    /// The app says that it listens for its own container only: at this host.
    Local(&'a str, &'l Line<'a>),
    /// The check speaks something that not every app does: field and value.
    Protocol(&'static str, &'l str),
    None,
}

impl<'l, 'a> Clue<'l, 'a> {
    fn of(group: &'l TargetGroup, port: Option<i32>, lines: &'l [Line<'a>]) -> Clue<'l, 'a> {
        Clue::in_log(port, lines).unwrap_or(
            match (group.health_check_protocol.as_deref(), group.protocol_version.as_deref()) {
                (Some(protocol @ "HTTPS"), _) => Clue::Protocol("HealthCheckProtocol", protocol),
                (_, Some(version @ ("HTTP2" | "GRPC"))) => {
                    Clue::Protocol("ProtocolVersion", version)
                }
                _ => Clue::None,
            },
        )
    }

    fn in_log(port: Option<i32>, lines: &'l [Line<'a>]) -> Option<Clue<'l, 'a>> {
        let port = port?;
        let starts = lines.iter().filter_map(|line| Some((line.listens()?, line)));
        // One line for all addresses outweighs those for some: servers list what they listen on.
        let (local, open): (Vec<_>, Vec<_>) = starts
            .filter(|(at, _)| at.port.is_none_or(|named| named == port))
            .partition(|(at, _)| at.is_local());
        local
            .last()
            .filter(|_| open.is_empty())
            .map(|(at, line)| Clue::Local(at.host.unwrap_or("localhost"), line))
    }

    fn words(&self, past: bool) -> String {
        match self {
            Clue::Local(host, _) => format!(
                "The app's log says that it listens on {host}, which the load balancer likely cannot reach."
            ),
            Clue::Protocol(_, protocol) => {
                format!("The check uses {protocol}, which the app may not support.")
            }
            Clue::None if past => {
                "The app likely did not listen there, or only on 127.0.0.1, or had not started."
                    .to_owned()
            }
            Clue::None => {
                "The app likely does not listen there, or only on 127.0.0.1, or has not started."
                    .to_owned()
            }
        }
    }

    fn evidence(&self, group: &str) -> Option<Evidence> {
        match self {
            Clue::Local(_, line) => Some(line.evidence.clone()),
            Clue::Protocol(field, value) => {
                Some(Evidence::new(Call::DescribeTargetGroups, group, field, value))
            }
            Clue::None => None,
        }
    }
}

fn remedy(patient: &Patient, group: &TargetGroup, port: Option<i32>, clue: &Clue) -> Remedy {
    let arn = &group.target_group_arn;
    let name = &group.target_group_name;
    match clue {
        Clue::Protocol("HealthCheckProtocol", _) => {
            Remedy::new("Set the health check protocol to HTTP, if the app speaks HTTP.")
                .cli(aws!(
                    "elbv2 modify-target-group --target-group-arn {} --health-check-protocol HTTP",
                    arn
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_lb_target_group" {} {
                      health_check {
                        protocol = "HTTP"
                      }
                    }"#,
                    name
                ))
        }
        Clue::Protocol(..) => {
            let summary = "If the app speaks HTTP/1.1, replace this target group with a new one: the protocol version of a target group cannot be changed.";
            Remedy::new(summary)
                .cli(aws!(
                    "elbv2 create-target-group --name {}-2 --target-type {} --protocol {} \
                     --protocol-version HTTP1 --port {} --vpc-id {}",
                    name,
                    group.target_type.as_deref().unwrap_or("ip"),
                    group.protocol.as_deref().unwrap_or("HTTP"),
                    group.port.unwrap_or(80),
                    group.vpc_id.as_deref().map_or_else(|| Word::needed("VPC_ID"), Word::new)
                ))
                .terraform(hcl!(
                    r#"
                    resource "aws_lb_target_group" {} {
                      protocol_version = "HTTP1"
                    }"#,
                    name
                ))
        }
        Clue::Local(..) | Clue::None => {
            let port = port.map_or_else(
                || "the port of the health check".to_owned(),
                |port| format!("0.0.0.0:{port}"),
            );
            Remedy::new(format!(
                "Make the app listen on {port}, often with a variable such as HOST=0.0.0.0, and deploy it."
            ))
            .cli(new_version::deploy(patient))
            .terraform(hcl!(
                r#"
                container_definitions = jsonencode([{
                  environment = [{ name = "HOST", value = "0.0.0.0" }]
                }])"#
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, id, minutes_ago, target, unhealthy};
    use crate::call::LOG_STREAM;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{LogLine, Snapshot};
    use crate::testing::{exam, says};

    fn stream(container: &str) -> String {
        format!("/ecs/api{LOG_STREAM}ecs/{container}/{}", id::task(1))
    }

    /// The app's log has these lines.
    fn logging(messages: &[&str]) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let line = |message: &&str| LogLine {
            timestamp: Some(minutes_ago(3)),
            message: (*message).into(),
            log_stream_name: "ecs/app/1".into(),
        };
        snapshot.logs.put(stream("app"), messages.iter().map(line).collect());
        snapshot
    }

    fn group(snapshot: &mut Snapshot) -> &mut TargetGroup {
        snapshot.target_groups.change(&id::group("api")).unwrap()
    }

    const LOCAL: &str = "which the load balancer likely cannot reach.";
    const SILENT: &str =
        "The app likely does not listen there, or only on 127.0.0.1, or has not started.";

    #[test]
    fn the_log_names_an_address_that_nobody_else_reaches() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The health check of target group api reaches the task, but on port 8080 the connection is refused or reset, or the answer is malformed. The app's log says that it listens on 127.0.0.1, which the load balancer likely cannot reach."
            ]
        );
    }

    #[test]
    fn a_network_balancer_does_not_say_whether_the_way_is_open() {
        let mut snapshot = (CHECK.example)();
        (group(&mut snapshot).protocol, group(&mut snapshot).health_check_protocol) =
            (Some("TCP".into()), Some("TCP".into()));
        let found = says(CHECK, &snapshot);
        assert!(
            found[0]
                .contains("api fails on port 8080: it is refused, dropped on the network path,")
                && found[0].ends_with(LOCAL),
            "{found:?}"
        );
        snapshot.security_groups.change("sg-task").unwrap().ip_permissions.clear();
        assert_eq!(
            exam(CHECK, &snapshot).outcome,
            Outcome::Healthy,
            "the security group is the cause"
        );
        group(&mut snapshot).protocol = Some("HTTP".into());
        assert!(
            says(CHECK, &snapshot)[0].contains("api reaches the task"),
            "an application load balancer would say that it timed out"
        );
    }

    #[test]
    fn a_server_that_lists_all_its_addresses_is_not_local() {
        let flask = [
            " * Running on all addresses (0.0.0.0)",
            " * Running on http://127.0.0.1:8080",
            " * Running on http://10.0.1.21:8080",
        ];
        assert!(says(CHECK, &logging(&flask))[0].ends_with(SILENT));
    }

    #[test]
    fn an_admin_port_for_the_container_itself_is_not_the_one_that_is_asked() {
        let both = ["admin listening on 127.0.0.1:9901", "listening on 0.0.0.0:8080"];
        assert!(says(CHECK, &logging(&both))[0].ends_with(SILENT));
    }

    #[test]
    fn a_sidecars_log_is_not_the_apps() {
        let mut snapshot = logging(&[]);
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        let containers =
            &mut snapshot.task_definitions.change(&definition).unwrap().container_definitions;
        let sidecar =
            crate::snapshot::ContainerDefinition { name: "proxy".into(), ..containers[0].clone() };
        containers.push(sidecar);
        let line = LogLine { message: "listening on 127.0.0.1:8080".into(), ..LogLine::default() };
        snapshot.logs.put(stream("proxy"), vec![line]);
        assert!(says(CHECK, &snapshot)[0].ends_with(SILENT));
    }

    #[test]
    fn another_versions_log_is_history() {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        // The failing target is the second task's, of a new deployment; the log that was read is
        // the first one's.
        let tasks = snapshot.running_tasks.change(&service).unwrap();
        tasks[1].started_by = Some("ecs-svc/1000000000000000013".into());
        let refused =
            unhealthy("10.0.2.22", 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(
            id::group("api"),
            vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy"), refused],
        );
        assert!(says(CHECK, &snapshot)[0].ends_with(SILENT));
    }

    #[test]
    fn the_protocol_is_named_where_the_log_is_silent() {
        let mut snapshot = logging(&[]);
        group(&mut snapshot).health_check_protocol = Some("HTTPS".into());
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("The check uses HTTPS, which the app may not support.")
        );
        group(&mut snapshot).health_check_protocol = Some("HTTP".into());
        group(&mut snapshot).protocol_version = Some("GRPC".into());
        assert!(
            says(CHECK, &snapshot)[0]
                .ends_with("The check uses GRPC, which the app may not support.")
        );
    }

    #[test]
    fn on_an_instance_the_containers_port_is_compared() {
        let mut snapshot = baseline::ec2();
        let refused = unhealthy(
            "i-0a1b2c3d4e5f60001",
            32768,
            "Target.FailedHealthChecks",
            "Health checks failed",
        );
        snapshot.target_health.put(id::group("web"), vec![refused]);
        let line = LogLine { message: "listening on 127.0.0.1:3000".into(), ..LogLine::default() };
        snapshot
            .logs
            .put(format!("/ecs/web{LOG_STREAM}ecs/web/{}", id::task(1)), vec![line.clone()]);
        snapshot.logs.put(format!("/ecs/web{LOG_STREAM}ecs/web/{}", id::task(2)), vec![line]);
        let found = says(CHECK, &snapshot);
        assert!(found[0].contains("on port 3000") && found[0].ends_with(LOCAL), "{found:?}");
    }

    #[test]
    fn without_the_log_it_says_less_and_stays_true() {
        let mut snapshot = (CHECK.example)();
        snapshot.logs.insert(stream("app"), Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.missed.len()), (Outcome::Sick, 1));
        assert!(exam.findings[0].says().ends_with(SILENT));
    }

    #[test]
    fn a_task_in_its_grace_period_may_still_be_starting() {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        for task in snapshot.running_tasks.change(&service).unwrap() {
            task.started_at = Some(NOW - jiff::SignedDuration::from_secs(20));
        }
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_code_or_a_timeout_is_no_refusal() {
        let others = [
            ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [502]"),
            ("Target.Timeout", "Request timed out"),
        ];
        for (reason, description) in others {
            let mut snapshot = baseline::fargate();
            snapshot
                .target_health
                .put(id::group("api"), vec![unhealthy("10.0.1.21", 8080, reason, description)]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }
}
