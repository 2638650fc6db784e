//! The health check uses a port on which the container does not serve: by what the app logs when it
//! starts, or because nothing in the task definition maps that port. Other refused checks are for
//! `health_check_refused`.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::catalog::balancer::common::new_version;
use crate::catalog::balancer::common::refused_health_check::{self, Line, Refused};
use crate::check::{Findings, NoAnswer};
use crate::command::Word;
use crate::facts::inbound::health_check::{self, FailedCheck};
use crate::facts::inbound::traffic;
use crate::facts::tasks::stop;
use crate::finding::{Evidence, Remedy};
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{TargetGroup, TaskDefinition};
use crate::text::and_list;
use crate::{aws, hcl, words};

crate::check! {
    /// The health check of a target group uses one port, and the app serves on another.
    ///
    /// # Why it matters
    ///
    /// Every connection is refused, the targets stay unhealthy, and ECS replaces the tasks again
    /// and again, although the app is healthy.
    ///
    /// # How we tell
    ///
    /// The check is refused: something came back at once, so the network allows it. And the app's
    /// log names one other port, and never that of the check; or the group's `HealthCheckPort` is a
    /// separate port that no container of the task definition maps, and the log does not name it
    /// either. Both are "likely": an app may listen without saying so. A management port that
    /// passes its check is fine, even if the task definition does not map it.
    ///
    /// # What to do
    ///
    /// Set the health check port to the traffic port, or register the port that the app serves on:
    ///
    /// ```sh
    /// aws elbv2 modify-target-group --target-group-arn <arn> --health-check-port traffic-port
    /// aws ecs update-service --cluster <cluster> --service <service> \
    ///   --load-balancers targetGroupArn=<arn>,containerName=<container>,containerPort=<port>
    /// ```
    ///
    /// Terraform/OpenTofu: `port` in the `health_check` of `aws_lb_target_group`; `container_port`
    /// in the `load_balancer` of `aws_ecs_service` or in the `primary_container` of
    /// `aws_ecs_express_gateway_service`.
    ///
    /// # See also
    ///
    /// `health_check_refused`, `targets_unhealthy`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshoot-service-load-balancers.html>
    title: "The health check uses a port that the app does not serve",
    severity: Critical,
    role: Cause,
    explains: [HealthCheckRefused],
    applies: [BehindLoadBalancer],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTargetGroups, DescribeTargetHealth, DescribeTasks, DescribeTaskDefinition, GetLogEvents,
    ],
    example: on fargate, |snapshot| {
        use crate::baseline::{id, minutes_ago, unhealthy};
        let refused = |address| unhealthy(address, 8080, "Target.FailedHealthChecks", "Health checks failed");
        snapshot.target_health.put(id::group("api"), vec![refused("10.0.1.21"), refused("10.0.2.22")]);
        let stream = format!("ecs/app/{}", id::task(1));
        let message = "Example app listening on port 3000".into();
        let line = crate::snapshot::LogLine { timestamp: Some(minutes_ago(3)), message, log_stream_name: stream.clone() };
        snapshot.logs.put(format!("/ecs/api{}{stream}", crate::call::LOG_STREAM), vec![line]);
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    for refused in refused_health_check::groups(patient, findings)? {
        let Refused { group, settings, ref failures } = refused;
        let first = refused.first();
        let Some(asked) = refused_health_check::port_in_container(patient, settings, first) else {
            continue;
        };
        let Some(lines) = findings.see(refused_health_check::lines(patient, group, failures))
        else {
            continue;
        };
        let Some(definition) = findings.see(definition(patient, first)).flatten() else { continue };
        let Some(wrong) = Wrong::of(settings, asked, &lines, definition) else { continue };
        let name = traffic::group_name(group);
        let claim = match first.past(patient.now()) {
            None => format!(
                "the health check of target group {name} uses port {asked}, but {}",
                wrong.words()
            ),
            Some((version, until)) => format!(
                "the health check of target group {name} failed on port {asked} of {version}{until}, and {}",
                wrong.words()
            ),
        };
        findings.add(
            refused
                .sick(patient, claim)?
                .because_all(own_port(settings).map(|port| {
                    Evidence::new(Call::DescribeTargetGroups, group, "HealthCheckPort", port)
                }))
                .because_all(wrong.evidence(definition))
                .mend(remedy(patient, settings, &wrong)),
        );
    }
    Ok(())
}

/// What the failing target's task was started from.
fn definition<'a>(
    patient: &Patient<'a>,
    failed: &FailedCheck,
) -> Result<Option<&'a TaskDefinition>, Blind> {
    let arn = match (failed.target, &failed.version) {
        (Some(target), _) => match health_check::task_behind(patient, target)? {
            Some(task) => Some(task.task_definition_arn.clone()),
            None => stop::primary_version(patient)
                .into_iter()
                .find_map(|version| version.task_definition),
        },
        (None, version) => {
            version.as_ref().and_then(|version| version.task_definition).map(str::to_owned)
        }
    };
    match arn {
        Some(arn) => patient.task_definition(&arn),
        None => Ok(None),
    }
}

/// A port for the health check alone.
fn own_port(group: &TargetGroup) -> Option<&str> {
    group.health_check_port.as_deref().filter(|port| *port != "traffic-port")
}

enum Wrong<'l, 'a> {
    /// The app's log names this one instead.
    Listens(i32, &'l Line<'a>),
    /// The task definition maps only these.
    Unmapped(BTreeSet<i32>),
}

impl<'l, 'a> Wrong<'l, 'a> {
    fn of(
        group: &TargetGroup,
        asked: i32,
        lines: &'l [Line<'a>],
        definition: &TaskDefinition,
    ) -> Option<Wrong<'l, 'a>> {
        if let Some((port, line)) = refused_health_check::other_port(lines, asked) {
            return Some(Wrong::Listens(port, line));
        }
        own_port(group)?;
        let named = lines.iter().filter_map(Line::listens).any(|at| at.port == Some(asked));
        let mapped: BTreeSet<i32> = definition
            .container_definitions
            .iter()
            .flat_map(|container| &container.port_mappings)
            .filter_map(|mapping| mapping.container_port)
            .collect();
        (!named && !mapped.is_empty() && !mapped.contains(&asked))
            .then_some(Wrong::Unmapped(mapped))
    }

    fn words(&self) -> String {
        match self {
            Wrong::Listens(port, _) => format!(
                "the app's log says that it listens on port {port}, which is likely the right one"
            ),
            Wrong::Unmapped(mapped) => format!(
                "the task definition maps only {}: likely nothing listens on the port of the check",
                and_list(mapped)
            ),
        }
    }

    fn evidence(&self, definition: &TaskDefinition) -> Vec<Evidence> {
        let of = &definition.task_definition_arn;
        match self {
            Wrong::Listens(_, line) => vec![line.evidence.clone()],
            Wrong::Unmapped(mapped) => mapped
                .iter()
                .map(|port| {
                    Evidence::new(
                        Call::DescribeTaskDefinition,
                        of,
                        "portMappings.containerPort",
                        port,
                    )
                })
                .collect(),
        }
    }
}

fn remedy(patient: &Patient, group: &TargetGroup, wrong: &Wrong) -> Remedy {
    match wrong {
        Wrong::Listens(listens, _) if own_port(group).is_none() => {
            serve_on(patient, &group.target_group_arn, *listens)
        }
        Wrong::Listens(..) | Wrong::Unmapped(_) => Remedy::new(
            "Set the health check port to the traffic port, or make the app listen on this port too.",
        )
        .cli(aws!(
            "elbv2 modify-target-group --target-group-arn {} --health-check-port traffic-port",
            group.target_group_arn
        ))
        .terraform(hcl!(
            r#"
            resource "aws_lb_target_group" {} {
              health_check {
                port = "traffic-port"
              }
            }"#,
            group.target_group_name
        )),
    }
}

/// Sends the traffic, and the health check with it, to the port that the app listens on.
fn serve_on(patient: &Patient, group: &str, port: i32) -> Remedy {
    if patient.is_express() {
        return Remedy::new(format!(
            "Set the container's port to {port}, and send the whole primary container."
        ))
        .cli(new_version::deploy(patient))
        .terraform(hcl!(
            r#"
            resource "aws_ecs_express_gateway_service" {} {
              primary_container {
                container_port = {}
              }
            }"#,
            patient.name(),
            port
        ));
    }
    let container = traffic::container(patient, group)
        .map_or_else(|| Word::needed("CONTAINER_NAME"), Word::new);
    Remedy::new(format!(
        "Register port {port} with the target group, and map it in the task definition; or make the app listen on the registered port."
    ))
    .cli(patient.update_service().and(words!(
        "--load-balancers targetGroupArn={},containerName={},containerPort={}",
        group,
        container,
        port
    )))
    .terraform(hcl!(
        r#"
        resource "aws_ecs_service" {} {
          load_balancer {
            container_port = {}
          }
        }"#,
        patient.name(),
        port
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id, minutes_ago};
    use crate::call::LOG_STREAM;
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{LogLine, Snapshot};
    use crate::testing::{exam, says};

    fn stream() -> String {
        format!("/ecs/api{LOG_STREAM}ecs/app/{}", id::task(1))
    }

    /// The app's log has these lines, and the check asks this port.
    fn logging(messages: &[&str], port: &str) -> Snapshot {
        let mut snapshot = (CHECK.example)();
        let line = |message: &&str| LogLine {
            timestamp: Some(minutes_ago(3)),
            message: (*message).into(),
            log_stream_name: "ecs/app/1".into(),
        };
        snapshot.logs.put(stream(), messages.iter().map(line).collect());
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some(port.into());
        snapshot
    }

    #[test]
    fn the_log_names_another_port() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "The health check of target group api uses port 8080, but the app's log says that it listens on port 3000, which is likely the right one."
            ]
        );
        let both = logging(&["listening on :3000", "listening on :9090"], "traffic-port");
        assert_eq!(exam(CHECK, &both).outcome, Outcome::Healthy, "which of the two is not known");
        let asked =
            logging(&["listening on 0.0.0.0:8080", "metrics listening on :9090"], "traffic-port");
        assert_eq!(exam(CHECK, &asked).outcome, Outcome::Healthy, "it listens where it is asked");
    }

    #[test]
    fn a_check_on_a_port_of_its_own_that_nobody_maps() {
        let snapshot = logging(&["ready"], "9000");
        assert_eq!(
            says(CHECK, &snapshot),
            [
                "The health check of target group api uses port 9000, but the task definition maps only 8080: likely nothing listens on the port of the check."
            ]
        );
        assert!(
            exam(CHECK, &snapshot).findings[0].remedy.shell()[0]
                .ends_with("--health-check-port traffic-port")
        );
    }

    #[test]
    fn a_management_port_that_the_app_names_or_maps_is_the_right_one() {
        assert_eq!(
            exam(CHECK, &logging(&["actuator listening on 127.0.0.1:9000"], "9000")).outcome,
            Outcome::Healthy
        );
        let mut snapshot = logging(&["ready"], "9000");
        let definition = id::ecs("task-definition/api:12");
        let mappings =
            &mut snapshot.task_definitions.change(&definition).unwrap().container_definitions[0]
                .port_mappings;
        let management =
            crate::snapshot::PortMapping { container_port: Some(9000), ..mappings[0].clone() };
        mappings.push(management);
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn a_management_port_that_passes_is_fine() {
        let mut snapshot = baseline::fargate();
        snapshot.target_groups.change(&id::group("api")).unwrap().health_check_port =
            Some("9000".into());
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::Healthy);
    }

    #[test]
    fn without_the_log_nothing_is_claimed() {
        let mut snapshot = logging(&[], "9000");
        snapshot.logs.insert(stream(), Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
