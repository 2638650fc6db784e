//! The log driver of a container cannot connect to its destination, which is not CloudWatch:
//! Fluentd, the log router of FireLens, Splunk, syslog or GELF. What blocks the connection is for
//! the network checks.

use std::net::IpAddr;

use crate::aws::dial::{self, How};
use crate::aws::stop_reason::Trouble;
use crate::call::Call;
use crate::catalog::tasks::common::reasons;
use crate::check::{Findings, NoAnswer};
use crate::facts::tasks::log_driver::{self, Driver, Elsewhere};
use crate::facts::tasks::reason::Told;
use crate::finding::{Evidence, Finding, Kind, Remedy};
use crate::patient::Patient;
use crate::{aws, hcl};

crate::check! {
    /// A container cannot start, because its log driver cannot connect to its destination: Fluentd,
    /// the log router of FireLens, Splunk, syslog or GELF.
    ///
    /// # Why it matters
    ///
    /// No task of this version can start: the log driver starts before the app. Neither a log group
    /// nor a route to CloudWatch Logs helps here, although the error often suggests it.
    ///
    /// # How we tell
    ///
    /// Tasks of the version stopped with "failed to initialize logging driver" or "failed to
    /// validate logger args", and the driver itself opened the connection or the reason names
    /// Fluentd, Splunk, syslog or GELF; or the containers that log have no `awslogs` driver in
    /// their task definition. `awslogs` never reports a bare connection error: its messages are
    /// about a log stream. With `awsfirelens`, the socket of the log router is missing, so the
    /// check also reports how that container ended. The Docker daemon of the instance connects, not
    /// the container: 127.0.0.1 is the instance.
    ///
    /// # What to do
    ///
    /// Start the log receiver before the containers that need it, or set the driver to connect
    /// later:
    ///
    /// ```sh
    /// aws ecs register-task-definition --cli-input-json file://task-definition.json   # logConfiguration.options: "fluentd-async": "true"
    /// ```
    ///
    /// Terraform/OpenTofu: `logConfiguration` and `firelensConfiguration` in
    /// `container_definitions`.
    ///
    /// # See also
    ///
    /// `log_driver_unfit`, `no_route_out`, `task_egress_blocked`,
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html>
    title: "The log driver's destination does not answer",
    severity: High,
    role: Cause,
    shows: LogsUnreachable,
    explains: [TasksFailToStart],
    reads: [
        DescribeServices, DescribeServiceDeployments, DescribeServiceRevisions, DescribeTasks, DescribeTaskDefinition,
    ],
    example: on worker, |snapshot| {
        let definition = crate::baseline::id::ecs("task-definition/mailer:12");
        for container in snapshot.task_definitions.change(&definition).into_iter().flat_map(|it| &mut it.container_definitions) {
            container.log_driver = Some("fluentd".into());
        }
        crate::baseline::fail_to_start(
            snapshot,
            3,
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial tcp 127.0.0.1:24224: connect: connection refused",
        );
    },
}

fn look(patient: &Patient, findings: &mut Findings) -> Result<(), NoAnswer> {
    let troubles = [Trouble::LogDestinationUnreachable, Trouble::LogsUnreachable];
    reasons::each(patient, findings, &troubles, |told, findings| {
        let elsewhere = findings.see(log_driver::elsewhere(patient, told)).flatten()?;
        Some(finding(patient, told, &elsewhere))
    })
}

fn finding(patient: &Patient, told: &Told, elsewhere: &Elsewhere) -> Finding {
    let whose =
        elsewhere.container.map_or("a container".to_owned(), |it| format!("container {it}"));
    let driver = elsewhere
        .driver
        .map_or("its log driver".to_owned(), |driver| format!("its log driver {}", driver.name()));
    let dialled = dial::read(told.text);
    let claim = format!("{whose} cannot start, because {driver} {}", effect(elsewhere, told));
    let is_near = elsewhere.driver == Some(Driver::FireLens)
        || told.text.contains("dial unix")
        || dialled.as_ref().is_some_and(|dial| dial.is_local() || dial.how == How::Refused);
    let subnets = told.tasks.iter().filter_map(|task| task.subnet_id.as_deref());
    let driver = elsewhere.driver.map(|driver| {
        let of = "containerDefinitions.logConfiguration.logDriver";
        Evidence::new(Call::DescribeTaskDefinition, told.task_definition, of, driver.name())
    });
    let finding = told
        .finding(patient, &claim)
        .because_all(driver)
        .detail("CloudWatch Logs is not involved.")
        .mend(remedy(patient, told, elsewhere));
    let finding = with_the_router(finding, told, elsewhere);
    // A destination that refuses was reached: no route or rule blocks the driver.
    if is_near {
        finding.concerns_no(Kind::Subnet)
    } else {
        finding.concerns_all(Kind::Subnet, subnets)
    }
}

/// What happened to the connection.
fn effect(elsewhere: &Elsewhere, told: &Told) -> String {
    let dialled = dial::read(told.text).map(|dial| (dial.to(), dial.how, dial.address));
    match (dialled, elsewhere.driver) {
        (Some((to, How::Refused, _)), _) => format!("is refused a connection to {to}"),
        (Some((to, How::Unresolved, _)), _) => format!("cannot resolve {to}"),
        (Some((to, How::TimedOut, _)), _) => format!("gets no answer from {to}"),
        (None, Some(Driver::FireLens)) => "finds no FireLens log router".to_owned(),
        (None, _) if told.text.contains("fluent.sock") => {
            "finds no /var/run/fluent.sock".to_owned()
        }
        (None, _) => "gets no answer from its destination".to_owned(),
    }
}

/// How the log router ended, where the driver is that of FireLens.
fn with_the_router(finding: Finding, told: &Told, elsewhere: &Elsewhere) -> Finding {
    if elsewhere.driver != Some(Driver::FireLens) {
        return finding;
    }
    let Some(router) = elsewhere.router else {
        return finding.detail("No container of the task definition is a log router.");
    };
    let ended = told.tasks.iter().find_map(|task| {
        let container = task.containers.iter().find(|container| container.name == router)?;
        Some((task, container.exit_code?))
    });
    match ended {
        Some((task, code)) => {
            finding.detail(format!("Its log router {router} had exited with code {code}.")).because(
                Evidence::new(Call::DescribeTasks, &task.task_arn, "containers.exitCode", code),
            )
        }
        None => finding.detail(format!("Its log router is container {router}.")),
    }
}

fn remedy(patient: &Patient, told: &Told, elsewhere: &Elsewhere) -> Remedy {
    let is_loopback = dial::read(told.text)
        .is_some_and(|dial| dial.address.is_some_and(|address: IpAddr| address.is_loopback()));
    let summary = match (elsewhere.driver, elsewhere.router) {
        (Some(Driver::FireLens), Some(router)) => {
            return Remedy::new(format!(
                "Look at the log of log router {router} and fix its image, configuration or role: it must run before the containers that log through it."
            ))
            .cli(see_containers(told))
            .cli(told.see(patient));
        }
        (Some(Driver::FireLens), None) => {
            "Add a log router to the task definition (a container with firelensConfiguration), and deploy it."
        }
        (Some(Driver::Fluentd), _) if is_loopback => {
            "Run Fluentd on the instance before its tasks, or set its address in fluentd-address; with fluentd-async the container starts without it."
        }
        (Some(Driver::Fluentd), _) => {
            "Check that Fluentd runs at this address (fluentd-address) and allows connections from the instances; with fluentd-async the container starts without it."
        }
        (Some(Driver::Splunk), _) => {
            "Check that the HTTP Event Collector answers at splunk-url, port included, and that the tasks have a route to it; with splunk-verify-connection=false the container starts without it."
        }
        (Some(Driver::Syslog), _) => {
            "Check that the syslog server listens at syslog-address with that protocol and allows connections from the instances."
        }
        (Some(Driver::Gelf), _) => {
            "Check that the server listens at gelf-address with that protocol and allows connections from the instances."
        }
        (None, _) => {
            "Check that the destination in the log driver's options is right, runs, and allows connections from the tasks."
        }
    };
    let remedy = Remedy::new(summary)
        .cli(see_containers(told))
        .cli(aws!("ecs register-task-definition --cli-input-json file://task-definition.json"));
    let (Some(driver), Some(container)) = (elsewhere.driver, elsewhere.container) else {
        return remedy;
    };
    match options(driver) {
        Some((option, value)) => remedy.terraform(hcl!(
            r#"
            resource "aws_ecs_task_definition" {} {
              container_definitions = jsonencode([{
                name             = {}
                logConfiguration = { logDriver = {}, options = { {} = {} } }
              }])
            }"#,
            patient.name(),
            container,
            driver.name(),
            option,
            value
        )),
        None => remedy.terraform(hcl!(
            r#"
            resource "aws_ecs_task_definition" {} {
              container_definitions = jsonencode([{
                name                  = "log_router"
                image                 = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
                essential             = true
                firelensConfiguration = { type = "fluentbit" }
              }])
            }"#,
            patient.name()
        )),
    }
}

/// The option that names the destination, or lets the container start without it.
fn options(driver: Driver) -> Option<(&'static str, &'static str)> {
    match driver {
        Driver::FireLens => None,
        Driver::Fluentd => Some(("fluentd-async", "true")),
        Driver::Splunk => Some(("splunk-verify-connection", "false")),
        Driver::Syslog => Some(("syslog-address", "tcp://ADDRESS:PORT")),
        Driver::Gelf => Some(("gelf-address", "udp://ADDRESS:PORT")),
    }
}

fn see_containers(told: &Told) -> crate::command::Command {
    aws!(
        "ecs describe-task-definition --task-definition {} \
         --query taskDefinition.containerDefinitions[].[name,logConfiguration,firelensConfiguration,dependsOn]",
        told.version()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::exam::Outcome;
    use crate::seen::{Seen, Why};
    use crate::snapshot::{Container, ContainerDefinition, Snapshot};
    use crate::testing::{exam, says, says_of_failed_starts};

    const DAEMON: &str = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: ";

    fn definition(snapshot: &mut Snapshot) -> &mut Vec<ContainerDefinition> {
        let arn = id::ecs("task-definition/mailer:12");
        &mut snapshot.task_definitions.change(&arn).unwrap().container_definitions
    }

    fn with(driver: &str, reason: &str) -> Snapshot {
        let mut snapshot = baseline::worker();
        definition(&mut snapshot)[0].log_driver = Some(driver.into());
        baseline::fail_to_start(&mut snapshot, 3, reason);
        snapshot
    }

    #[test]
    fn names_container_driver_and_address() {
        assert_eq!(
            says(CHECK, &(CHECK.example)()),
            [
                "Container worker cannot start, because its log driver fluentd is refused a connection to 127.0.0.1:24224: 3 of 3 failed tasks of mailer:12 stopped for this reason within 8 min, the last 2 min ago. CloudWatch Logs is not involved."
            ]
        );
    }

    #[test]
    fn each_driver_has_its_own_words() {
        for (driver, tail, expected) in [
            (
                "splunk",
                "Options \"https://splunk.example:8088/services/collector/event/1.0\": dial tcp 10.9.21.5:8088: i/o timeout",
                "log driver splunk gets no answer from 10.9.21.5:8088",
            ),
            (
                "syslog",
                "dial tcp 10.9.21.5:514: connect: connection refused",
                "log driver syslog is refused a connection to 10.9.21.5:514",
            ),
            (
                "gelf",
                "gelf: cannot connect to GELF endpoint: logs.corp.local:12201 dial tcp: lookup logs.corp.local on 10.0.0.2:53: no such host",
                "log driver gelf cannot resolve logs.corp.local",
            ),
            (
                "fluentd",
                "dial unix /var/run/fluent.sock: connect: no such file or directory",
                "log driver fluentd finds no /var/run/fluent.sock",
            ),
        ] {
            let found = says(CHECK, &with(driver, &format!("{DAEMON}{tail}")));
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn with_firelens_it_is_the_log_router_that_is_missing() {
        let text =
            format!("{DAEMON}dial unix /var/run/fluent.sock: connect: no such file or directory");
        let mut snapshot = with("awsfirelens", &text);
        let found = says(CHECK, &snapshot);
        assert!(found[0].contains("finds no FireLens log router"), "{found:?}");
        assert!(
            found[0].ends_with("No container of the task definition is a log router."),
            "{found:?}"
        );
        let router = ContainerDefinition {
            name: "log_router".into(),
            firelens_type: Some("fluentbit".into()),
            ..ContainerDefinition::default()
        };
        definition(&mut snapshot).push(router);
        let arn = snapshot.services[0].service_arn.clone();
        for task in snapshot.stopped_tasks.change(&arn).unwrap() {
            let ended =
                Container { name: "log_router".into(), exit_code: Some(1), ..Container::default() };
            task.containers.push(ended);
        }
        let found = exam(CHECK, &snapshot).findings.remove(0);
        assert!(
            found.says().ends_with("Its log router log_router had exited with code 1."),
            "{found:?}"
        );
        assert!(found.remedy.summary.contains("Look at the log of log router log_router"));
    }

    #[test]
    fn the_driver_has_the_word_where_the_reason_has_none() {
        let killed =
            "ResourceInitializationError: failed to validate logger args: : signal: killed";
        let found = says(CHECK, &with("splunk", killed));
        assert!(
            found[0].contains("log driver splunk gets no answer from its destination"),
            "{found:?}"
        );
        assert!(says_of_failed_starts(CHECK, 3, killed).is_empty(), "awslogs is CloudWatch's");
    }

    #[test]
    fn a_way_to_cloudwatch_and_a_token_that_is_wrong_are_other_troubles() {
        for tail in [
            "failed to create Cloudwatch log stream: RequestError: send request failed caused by: Post \"https://logs.eu-west-2.amazonaws.com/\": dial tcp 10.0.1.77:443: i/o timeout",
            "splunk: failed to verify connection - 403 Forbidden",
        ] {
            assert!(says(CHECK, &with("splunk", &format!("{DAEMON}{tail}"))).is_empty(), "{tail}");
        }
        let pull = "CannotPullContainerError: failed to resolve ref docker.io/fluent/fluentd:v1: failed to do request: dial tcp 34.205.13.154:443: i/o timeout";
        assert!(says_of_failed_starts(CHECK, 3, pull).is_empty(), "it is an image of Fluentd");
    }

    #[test]
    fn without_the_task_definition_nobody_knows_the_driver() {
        let mut snapshot = (CHECK.example)();
        let arn = id::ecs("task-definition/mailer:12");
        snapshot.task_definitions.insert(&arn, Seen::No(Why::Denied("no".into())));
        assert_eq!(exam(CHECK, &snapshot).outcome, Outcome::CouldNotLook);
    }
}
