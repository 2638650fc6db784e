//! Where the logs of a container that cannot start go, if not to CloudWatch: by the words of the
//! reason, and where they leave it open, by the log drivers of the task definition. Why there is no
//! answer is for the checks to say.

use crate::aws::stop_reason::Trouble;
use crate::facts::tasks::reason::Told;
use crate::patient::Patient;
use crate::seen::Blind;
use crate::snapshot::{ContainerDefinition, TaskDefinition};

/// A log driver that sends the lines to a receiver that must run when the container starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A container of the task, the log router, takes the lines.
    FireLens,
    Fluentd,
    Splunk,
    Syslog,
    Gelf,
}

impl Driver {
    const ALL: [Driver; 5] =
        [Driver::FireLens, Driver::Fluentd, Driver::Splunk, Driver::Syslog, Driver::Gelf];

    /// As a task definition spells it.
    pub fn name(self) -> &'static str {
        match self {
            Driver::FireLens => "awsfirelens",
            Driver::Fluentd => "fluentd",
            Driver::Splunk => "splunk",
            Driver::Syslog => "syslog",
            Driver::Gelf => "gelf",
        }
    }

    fn of(container: &ContainerDefinition) -> Option<Driver> {
        let driver = container.log_driver.as_deref();
        Driver::ALL.into_iter().find(|known| Some(known.name()) == driver)
    }

    /// Whether the words can be those of this driver: what is peculiar to one is for no other.
    fn may_say(self, text: &str) -> bool {
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let is_of = |driver: Driver| match driver {
            Driver::FireLens => says(&["fluent", "firelens", ":24224"]),
            Driver::Fluentd => says(&["fluent", ":24224"]),
            Driver::Splunk => says(&["splunk", "services/collector"]),
            Driver::Syslog => says(&["syslog", ":514:", "/dev/log"]),
            Driver::Gelf => says(&["gelf"]),
        };
        is_of(self) || !Driver::ALL.into_iter().any(is_of)
    }
}

/// A log driver that could not be set up, and is not that of CloudWatch.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    /// None where the words and the task definition leave it open.
    pub driver: Option<Driver>,
    /// The container whose logs they are, where only one can be meant.
    pub container: Option<&'a str>,
    /// The log router of the task, if it has one.
    pub router: Option<&'a str>,
}

/// Where the logs should go about which ECS complains; none where that is CloudWatch.
pub fn elsewhere<'a>(
    patient: &Patient<'a>,
    told: &Told<'a>,
) -> Result<Option<Elsewhere<'a>>, Blind> {
    let by_words = match told.reason.trouble {
        Trouble::LogDestinationUnreachable => true,
        Trouble::LogsUnreachable => false,
        _ => return Ok(None),
    };
    // The words of `awslogs`, and those of ECS about it, name what they are about.
    if !by_words && told.text.to_ascii_lowercase().contains("cloudwatch") {
        return Ok(None);
    }
    let Some(definition) = patient.task_definition(told.task_definition)? else {
        return Ok(by_words.then(|| Elsewhere {
            driver: only(Driver::ALL.into_iter().filter(|driver| is_named(*driver, told.text))),
            container: told.container,
            router: None,
        }));
    };
    if !by_words && !asks_elsewhere(definition, told.container) {
        return Ok(None);
    }
    let meant: Vec<(&ContainerDefinition, Driver)> = containers(definition, told.container)
        .filter_map(|container| Some((container, Driver::of(container)?)))
        .filter(|(_, driver)| driver.may_say(told.text))
        .collect();
    let routers = definition.container_definitions.iter();
    Ok(Some(Elsewhere {
        driver: only(meant.iter().map(|(_, driver)| *driver)),
        container: only(meant.iter().map(|(container, _)| container.name.as_str()))
            .or(told.container),
        router: only(
            routers
                .filter(|container| container.firelens_type.is_some())
                .map(|container| container.name.as_str()),
        ),
    }))
}

/// The containers that the words may be about: the one that they name, or all.
fn containers<'a>(
    definition: &'a TaskDefinition,
    named: Option<&str>,
) -> impl Iterator<Item = &'a ContainerDefinition> {
    let all = definition.container_definitions.iter();
    all.filter(move |container| named.is_none_or(|name| container.name == name))
}

/// Whether each of these containers that logs at all has a driver that asks somebody else.
fn asks_elsewhere(definition: &TaskDefinition, named: Option<&str>) -> bool {
    let mut logging =
        containers(definition, named).filter(|container| container.log_driver.is_some()).peekable();
    logging.peek().is_some() && logging.all(|container| Driver::of(container).is_some())
}

fn is_named(driver: Driver, text: &str) -> bool {
    driver != Driver::FireLens
        && Driver::ALL.into_iter().any(|other| !other.may_say(text))
        && driver.may_say(text)
}

/// The only one of its kind.
fn only<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{self, id};
    use crate::check::Findings;
    use crate::facts::tasks::reason;
    use crate::snapshot::Snapshot;
    use crate::testing::of;

    const REFUSED: &str = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: dial tcp 10.0.21.5:24224: connect: connection refused";
    const KILLED: &str =
        "ResourceInitializationError: failed to validate logger args: : signal: killed";

    /// A worker whose containers log so: by name and driver.
    fn logging(text: &str, drivers: &[(&str, &str)]) -> Snapshot {
        let mut snapshot = baseline::worker();
        baseline::fail_to_start(&mut snapshot, 3, text);
        let definition = id::ecs("task-definition/mailer:12");
        let definition = snapshot.task_definitions.change(&definition).unwrap();
        let model = definition.container_definitions[0].clone();
        definition.container_definitions = drivers
            .iter()
            .map(|(name, driver)| ContainerDefinition {
                name: (*name).into(),
                log_driver: Some((*driver).into()),
                ..model.clone()
            })
            .collect();
        snapshot
    }

    /// The driver and the container, where logs go elsewhere.
    fn told(text: &str, drivers: &[(&str, &str)]) -> Option<(Option<Driver>, Option<String>)> {
        of(&logging(text, drivers), |patient| {
            let told = reason::told(patient, &mut Findings::default());
            let found = elsewhere(patient, &told[0]).unwrap()?;
            Some((found.driver, found.container.map(str::to_owned)))
        })
    }

    #[test]
    fn the_drivers_of_the_task_definition_have_the_word() {
        let app = Some("app".to_owned());
        for (text, driver, expected) in [
            (REFUSED, "fluentd", Driver::Fluentd),
            (REFUSED, "awsfirelens", Driver::FireLens),
            (KILLED, "splunk", Driver::Splunk),
            (KILLED, "awsfirelens", Driver::FireLens),
        ] {
            assert_eq!(told(text, &[("app", driver)]), Some((Some(expected), app.clone())));
        }
        assert_eq!(told(KILLED, &[("app", "awslogs")]), None);
        assert_eq!(
            told(KILLED, &[("app", "splunk"), ("proxy", "awslogs")]),
            None,
            "it may be either, and ECS says CloudWatch"
        );
    }

    #[test]
    fn of_several_drivers_the_words_choose() {
        let found = told(REFUSED, &[("app", "fluentd"), ("proxy", "gelf"), ("log", "awslogs")]);
        assert_eq!(found, Some((Some(Driver::Fluentd), Some("app".into()))));
        let found = told(REFUSED, &[("app", "fluentd"), ("proxy", "fluentd")]);
        assert_eq!(found, Some((Some(Driver::Fluentd), None)));
    }

    #[test]
    fn what_awslogs_says_is_about_cloudwatch() {
        let text = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: dial tcp 10.0.1.77:443: i/o timeout";
        assert_eq!(told(text, &[("app", "splunk")]), None);
    }

    #[test]
    fn without_a_task_definition_the_words_tell_what_they_can() {
        let mut snapshot = logging(REFUSED, &[("app", "fluentd")]);
        let definition = id::ecs("task-definition/mailer:12");
        snapshot.task_definitions.insert(&definition, crate::seen::Seen::Yes(None));
        let driver = of(&snapshot, |patient| {
            let told = reason::told(patient, &mut Findings::default());
            elsewhere(patient, &told[0]).unwrap().and_then(|found| found.driver)
        });
        assert_eq!(driver, Some(Driver::Fluentd));
    }
}
