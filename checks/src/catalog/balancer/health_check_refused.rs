//! The health check reaches the task and nothing there answers it properly: the connection is refused or reset, or the
//! answer is malformed. What the app's own log says about where it listens narrows it down.

use std::collections::BTreeSet;

use crate::call::{Call, LOG_STREAM};
use crate::check::{Findings, NoAnswer};
use crate::finding::{Evidence, Kind, Remedy, Subject};
use crate::patient::Patient;
use crate::reading::health_check::{self, FailedCheck, Failure};
use crate::reading::listen::{self, Listening};
use crate::reading::stop::{self, Version};
use crate::reading::{container_log, reach, traffic};
use crate::seen::Blind;
use crate::snapshot::TargetGroup;

crate::check! {
    /// The balancer's health check gets through to the task, and there the connection is refused or reset, or what
    /// comes back is not HTTP as the target group expects it.
    ///
    /// # Why it matters
    ///
    /// The target stays unhealthy, and ECS replaces the task again and again. Requests of clients that reach such a
    /// task get 502.
    ///
    /// # How we tell
    ///
    /// `DescribeTargetHealth` gives the reason `Target.FailedHealthChecks` without a code. Something came back at once,
    /// so security groups and network are likely open. The line that the app logs when it starts tells more: that it
    /// listens on 127.0.0.1, or on another port. Only lines of the container that is registered with the group, of the
    /// version that fails, are read; and as some apps print `localhost` though they listen everywhere, it is "likely".
    /// Else a group that speaks HTTPS, HTTP/2 or gRPC may do so to an app that does not. While the service's grace
    /// period is not over for a task, it may still be starting, and nothing is said.
    ///
    /// # What to do
    ///
    /// Let the app listen on all addresses, on the port of the health check; or change the check:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-protocol HTTP --health-check-port traffic-port
    /// ```
    ///
    /// Terraform/OpenTofu: `container_port` in the `load_balancer` of `aws_ecs_service` or in the `primary_container`
    /// of `aws_ecs_express_gateway_service`; `protocol` and `port` in the `health_check` of `aws_lb_target_group`.
    ///
    /// # See also
    ///
    /// `targets_unhealthy`, `health_check_wrong_answer`, `exits_with_error`,
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
    title: "Nothing answers the health check properly on its port",
    severity: Critical,
    role: Cause,
    shows: HealthCheckRefused,
    explains: [TargetsUnhealthy],
    reads: [
        DescribeServices, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, unhealthy};
        let refused = |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![refused("10.0.1.21"), refused("10.0.2.22")]);
        let stream = format!("ecs/app/{}", id::task(1));
        let message = "INFO:     Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)".into();
        let line = crate::snapshot::LogLine { timestamp: Some(minutes_ago(3)), message, log_stream_name: stream.clone() };
        snapshot.logs.put(format!("/ecs/api{LOG_STREAM}{stream}"), vec![line]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let groups = traffic::groups(patient)?;
    if groups.is_empty() {
        return Err(NoAnswer::NotApplicable("no load balancer"));
    }
    for group in groups {
        let Some(failures) = findings.see(health_check::failures_past_grace(patient, group)) else { continue };
        let refused: Vec<&FailedCheck> = failures.iter().filter(|failed| failed.failure == Failure::Refused).collect();
        let Some(first) = refused.first() else { continue };
        let Some(settings) = findings.see(patient.target_group(group)).flatten() else { continue };
        let port = port_in_container(patient, settings, first);
        let lines = findings.see(start_lines(patient, group, &refused)).unwrap_or_default();
        let clue = Clue::of(settings, port, &lines);
        let name = traffic::group_name(group);
        let on_port = port.map(|port| format!(" on port {port}")).unwrap_or_default();
        let says = format!(
            "The health check of target group {name} gets through, but{on_port} the connection is refused or reset, or the answer is malformed. {}",
            clue.words()
        );
        findings.add(
            Subject::new(Kind::TargetGroup, group)
                .sick(says, first.evidence.clone())
                .because_all(clue.evidence(group))
                .mend(remedy(patient, settings, port, &clue))
                .concerns(Kind::TargetGroup, group)
                .concerns_all(Kind::TargetGroup, traffic::pair(patient, group)?),
        );
    }
    Ok(())
}

/// The port that the health check asks, as the app inside the container knows it.
fn port_in_container(patient: &Patient, group: &TargetGroup, failed: &FailedCheck) -> Option<i32> {
    match group.target_type.as_deref() {
        Some("ip") => reach::health_check_port(patient, group, failed.target),
        // An instance's port is Docker's choice; only that of the traffic is known to lead to the container's.
        _ => reach::health_check_port(patient, group, None),
    }
}

/// A line that the app logged when it started.
struct StartLine<'a> {
    listens: Listening<'a>,
    evidence: Evidence,
}

/// Start lines of the container that is registered with the group, of the versions whose targets fail.
fn start_lines<'a>(patient: &Patient<'a>, group: &str, refused: &[&FailedCheck<'a>]) -> Result<Vec<StartLine<'a>>, Blind> {
    let mut versions = Vec::new();
    for failed in refused {
        match failed.target {
            Some(target) => versions.extend(health_check::task_behind(patient, target)?.map(Version::of)),
            None => versions.extend(stop::primary_version(patient)),
        }
    }
    let container = traffic::container(patient, group);
    let mut lines = Vec::new();
    for stream in container_log::streams(patient)?.into_iter().filter(|stream| Some(stream.container) == container) {
        let task = stream.task;
        if !versions.iter().any(|version| version.started(task.started_by.as_deref(), &task.task_definition_arn)) {
            continue;
        }
        let of = format!("{}{LOG_STREAM}{}", stream.group, stream.stream);
        for line in patient.log_lines(stream.group, &stream.stream)? {
            if let Some(listens) = listen::read(&line.message) {
                let evidence = Evidence::new(Call::GetLogEvents, &of, "message", &line.message).at(line.timestamp);
                lines.push(StartLine { listens, evidence });
            }
        }
    }
    Ok(lines)
}

/// What narrows it down.
enum Clue<'l, 'a> {
    /// The app says that it listens for its own container only.
    Local(&'l StartLine<'a>),
    /// The app names one port, and it is not the one that is asked.
    OtherPort(i32, &'l StartLine<'a>),
    /// The check speaks something that not every app does: field and value.
    Protocol(&'static str, &'l str),
    None,
}

impl<'l, 'a> Clue<'l, 'a> {
    fn of(group: &'l TargetGroup, port: Option<i32>, lines: &'l [StartLine<'a>]) -> Clue<'l, 'a> {
        Clue::in_log(port, lines).unwrap_or(match (group.health_check_protocol.as_deref(), group.protocol_version.as_deref()) {
            (Some(protocol @ "HTTPS"), _) => Clue::Protocol("HealthCheckProtocol", protocol),
            (_, Some(version @ ("HTTP2" | "GRPC"))) => Clue::Protocol("ProtocolVersion", version),
            _ => Clue::None,
        })
    }

    fn in_log(port: Option<i32>, lines: &'l [StartLine<'a>]) -> Option<Clue<'l, 'a>> {
        let port = port?;
        let mut asked = lines.iter().filter(|line| line.listens.port.is_none_or(|named| named == port)).peekable();
        if asked.peek().is_some() {
            // One line for all addresses outweighs those for some: servers list what they listen on.
            let (local, open): (Vec<_>, Vec<_>) = asked.partition(|line| line.listens.is_local());
            return local.last().filter(|_| open.is_empty()).map(|line| Clue::Local(line));
        }
        let named: BTreeSet<i32> = lines.iter().filter_map(|line| line.listens.port).collect();
        lines.last().filter(|_| named.len() == 1).and_then(|line| Some(Clue::OtherPort(line.listens.port?, line)))
    }

    fn words(&self) -> String {
        match self {
            Clue::Local(line) => {
                format!("The app's log says that it listens on {}, which the balancer likely cannot reach.", line.listens.host.unwrap_or("localhost"))
            }
            Clue::OtherPort(port, _) => format!("The app's log says that it listens on port {port}, which is likely the one to ask."),
            Clue::Protocol(_, protocol) => format!("The check speaks {protocol}, which the app perhaps does not."),
            Clue::None => "The app likely does not listen there, or only on 127.0.0.1, or has not started.".to_owned(),
        }
    }

    fn evidence(&self, group: &str) -> Option<Evidence> {
        match self {
            Clue::Local(line) | Clue::OtherPort(_, line) => Some(line.evidence.clone()),
            Clue::Protocol(field, value) => Some(Evidence::new(Call::DescribeTargetGroups, group, field, value)),
            Clue::None => None,
        }
    }
}

fn remedy(patient: &Patient, group: &TargetGroup, port: Option<i32>, clue: &Clue) -> Remedy {
    let arn = &group.target_group_arn;
    let name = &group.target_group_name;
    let resource = |check: &str| format!("resource \"aws_lb_target_group\" \"{name}\" {{\n  health_check {{\n    {check}\n  }}\n}}");
    let own_port = group.health_check_port.as_deref().is_some_and(|port| port != "traffic-port");
    match clue {
        Clue::OtherPort(_, _) if own_port => Remedy::new("Let the health check ask the port of the traffic, or let the app listen on this one too.")
            .cli(format!("aws elbv2 modify-target-group --target-group-arn {arn} --health-check-port traffic-port"))
            .terraform(resource("port = \"traffic-port\"")),
        Clue::OtherPort(listens, _) if patient.is_express() => {
            Remedy::new(format!("Set the container's port to {listens}, and send the whole primary container."))
                .cli(format!(
                    "aws ecs update-express-gateway-service --service-arn {} --primary-container file://primary-container.json",
                    patient.arn()
                ))
                .terraform(format!(
                    "resource \"aws_ecs_express_gateway_service\" \"{}\" {{\n  primary_container {{\n    container_port = {listens}\n  }}\n}}",
                    patient.name()
                ))
        }
        Clue::OtherPort(listens, _) => {
            let container = traffic::container(patient, arn).unwrap_or("app");
            Remedy::new(format!(
                "Register port {listens} with the target group, and map it in the task definition; or let the app listen on the port that is asked."
            ))
            .cli(format!(
                "aws ecs update-service {} --load-balancers targetGroupArn={arn},containerName={container},containerPort={listens}",
                patient.cli()
            ))
            .terraform(format!(
                "resource \"aws_ecs_service\" \"{}\" {{\n  load_balancer {{\n    container_port = {listens}\n  }}\n}}",
                patient.name()
            ))
        }
        Clue::Protocol("HealthCheckProtocol", _) => Remedy::new("Let the health check speak HTTP, if the app does.")
            .cli(format!("aws elbv2 modify-target-group --target-group-arn {arn} --health-check-protocol HTTP"))
            .terraform(resource("protocol = \"HTTP\"")),
        Clue::Protocol(..) => {
            Remedy::new("If the app speaks HTTP/1.1, put a new target group in place of this one: the protocol version of a group is fixed.")
                .cli(format!("aws elbv2 describe-target-groups --target-group-arns {arn}"))
                .terraform(format!("resource \"aws_lb_target_group\" \"{name}\" {{\n  protocol_version = \"HTTP1\"\n}}"))
        }
        Clue::Local(_) | Clue::None => {
            let port = port.map_or_else(|| "the port that is asked".to_owned(), |port| format!("0.0.0.0:{port}"));
            let deploy = if patient.is_express() {
                format!("aws ecs update-express-gateway-service --service-arn {} --primary-container file://primary-container.json", patient.arn())
            } else {
                format!("aws ecs update-service {} --task-definition <family>:<revision>", patient.cli())
            };
            Remedy::new(format!("Let the app listen on {port}, often by a variable such as HOST=0.0.0.0, and deploy it."))
                .cli(deploy)
                .terraform("container_definitions = jsonencode([{\n  environment = [{ name = \"HOST\", value = \"0.0.0.0\" }]\n}])")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, NOW, id, minutes_ago, target, unhealthy};
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
        let line = |message: &&str| LogLine { timestamp: Some(minutes_ago(3)), message: (*message).into(), log_stream_name: "ecs/app/1".into() };
        snapshot.logs.put(stream("app"), messages.iter().map(line).collect());
        snapshot
    }

    fn group(snapshot: &mut Snapshot) -> &mut TargetGroup {
        snapshot.target_groups.change(&id::group("api")).unwrap()
    }

    const LOCAL: &str = "which the balancer likely cannot reach.";
    const SILENT: &str = "The app likely does not listen there, or only on 127.0.0.1, or has not started.";

    #[test]
    fn the_log_names_an_address_that_nobody_else_reaches() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The health check of target group api gets through, but on port 8080 the connection is refused or reset, or the answer is malformed. The app's log says that it listens on 127.0.0.1, which the balancer likely cannot reach."
            ]
        );
    }

    #[test]
    fn a_server_that_lists_all_its_addresses_is_not_local() {
        let flask = [" * Running on all addresses (0.0.0.0)", " * Running on http://127.0.0.1:8080", " * Running on http://10.0.1.21:8080"];
        assert!(says(CHECK, &logging(&flask))[0].ends_with(SILENT));
    }

    #[test]
    fn an_admin_port_for_the_container_itself_is_not_the_one_that_is_asked() {
        let both = ["admin listening on 127.0.0.1:9901", "listening on 0.0.0.0:8080"];
        assert!(says(CHECK, &logging(&both))[0].ends_with(SILENT));
    }

    #[test]
    fn the_log_names_another_port() {
        let found = says(CHECK, &logging(&["Example app listening on port 3000"]));
        assert!(found[0].ends_with("The app's log says that it listens on port 3000, which is likely the one to ask."), "{found:?}");
        assert!(says(CHECK, &logging(&["listening on :3000", "listening on :9090"]))[0].ends_with(SILENT), "which of the two is not known");
    }

    #[test]
    fn a_sidecars_log_is_not_the_apps() {
        let mut snapshot = logging(&[]);
        let definition = snapshot.services[0].task_definition.clone().unwrap();
        let containers = &mut snapshot.task_definitions.change(&definition).unwrap().container_definitions;
        let sidecar = crate::snapshot::ContainerDefinition { name: "proxy".into(), ..containers[0].clone() };
        containers.push(sidecar);
        let line = LogLine { message: "listening on 127.0.0.1:8080".into(), ..LogLine::default() };
        snapshot.logs.put(stream("proxy"), vec![line]);
        assert!(says(CHECK, &snapshot)[0].ends_with(SILENT));
    }

    #[test]
    fn another_versions_log_is_history() {
        let mut snapshot = (CHECK.example)();
        let service = snapshot.services[0].service_arn.clone();
        // The failing target is the second task's, of a new deployment; the log that was read is the first one's.
        let tasks = snapshot.running_tasks.change(&service).unwrap();
        tasks[1].started_by = Some("ecs-svc/1000000000000000013".into());
        let refused = unhealthy("10.0.2.22", 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![target("10.0.1.21", 8080, "eu-west-2a", "healthy"), refused]);
        assert!(says(CHECK, &snapshot)[0].ends_with(SILENT));
    }

    #[test]
    fn the_protocol_is_named_where_the_log_is_silent() {
        let mut snapshot = logging(&[]);
        group(&mut snapshot).health_check_protocol = Some("HTTPS".into());
        assert!(says(CHECK, &snapshot)[0].ends_with("The check speaks HTTPS, which the app perhaps does not."));
        group(&mut snapshot).health_check_protocol = Some("HTTP".into());
        group(&mut snapshot).protocol_version = Some("GRPC".into());
        assert!(says(CHECK, &snapshot)[0].ends_with("The check speaks GRPC, which the app perhaps does not."));
    }

    #[test]
    fn on_an_instance_the_containers_port_is_compared() {
        let mut snapshot = baseline::ec2();
        let refused = unhealthy("i-0a1b2c3d4e5f60001", 32768, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("web"), vec![refused]);
        let line = LogLine { message: "listening on 127.0.0.1:3000".into(), ..LogLine::default() };
        snapshot.logs.put(format!("/ecs/web{LOG_STREAM}ecs/web/{}", id::task(1)), vec![line.clone()]);
        snapshot.logs.put(format!("/ecs/web{LOG_STREAM}ecs/web/{}", id::task(2)), vec![line]);
        let found = says(CHECK, &snapshot);
        assert!(found[0].contains("on port 3000") && found[0].ends_with(LOCAL), "{found:?}");
    }

    #[test]
    fn a_health_check_on_its_own_port_goes_back_to_the_traffics() {
        let mut snapshot = logging(&["listening on :8080"]);
        group(&mut snapshot).health_check_port = Some("9000".into());
        let finding = exam(CHECK, &snapshot).findings.remove(0);
        assert!(finding.remedy.cli[0].ends_with("--health-check-port traffic-port"), "{:?}", finding.remedy);
    }

    #[test]
    fn without_the_log_it_says_less_and_stays_true() {
        let mut snapshot = (CHECK.example)();
        snapshot.logs.insert(stream("app"), Seen::No(Why::Denied("no".into())));
        let exam = exam(CHECK, &snapshot);
        assert_eq!((exam.outcome, exam.missed.len()), (Outcome::Sick, 1));
        assert!(exam.findings[0].says.ends_with(SILENT));
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
        let others = [("Target.ResponseCodeMismatch", "Health checks failed with these codes: [502]"), ("Target.Timeout", "Request timed out")];
        for (reason, description) in others {
            let mut snapshot = baseline::fargate();
            snapshot.target_health.put(id::group("api"), vec![unhealthy("10.0.1.21", 8080, reason, description)]);
            assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
        }
    }
}
